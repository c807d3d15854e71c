package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/standalone"
	"github.com/mdocket/mdocket/internal/statuslist"
)

// listRead is what npm/statuslist.mjs says of a list.
type listRead struct {
	Typ         string `json:"typ"`
	Sub         string `json:"sub"`
	Exp         int64  `json:"exp"`
	Iat         int64  `json:"iat"`
	TTL         int64  `json:"ttl"`
	Aggregation string `json:"aggregation"`
	Bits        int    `json:"bits"`
	Signed      bool   `json:"signed"`
	Statuses    []int  `json:"statuses"`
}

// readByOthers has @sd-jwt/jwt-status-list read the list that a document names, at the place it names.
func readByOthers(t testing.TB, roots, jwt string, index uint64) listRead {
	t.Helper()
	var lists []listRead
	runOthers(t, "statuslist.mjs", map[string]any{"root": roots, "lists": []any{map[string]any{"jwt": jwt, "indices": []uint64{index}}}}, &lists)
	require.Len(t, lists, 1)
	return lists[0]
}

// statusRef is where a document says its status is.
func statusRef(t testing.TB, document []byte) mdoc.StatusRef {
	t.Helper()
	parsed, err := mdoc.Parse(document)
	require.NoError(t, err)
	require.NotNil(t, parsed.MSO.Status)
	return *parsed.MSO.Status
}

// fetchAs gets something public in one of its forms.
func fetchAs(t testing.TB, url, accept string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, accept, resp.Header.Get("Content-Type"))
	return body
}

// A reader of status lists written by others reads ours: valid, suspended, revoked for good (F7). And a verifier without a network gets
// along with files (F8).
func TestStatusListsReadByOthers(t *testing.T) {
	t.Parallel()
	server := startAlone(t, filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "127.0.0.1:0")
	office := openOffice(t, server.url, standalone.AdminName, server.password, 2)
	licenceRequest, licences := issue(t, office, newHolder(t, server.mailbox, 0), office.people[0], "mdl", 2)
	badgeRequest, badges := issue(t, office, newHolder(t, server.mailbox, 1), office.people[1], "staff-badge", 1)
	roots := fetch(t, server.url+"/pki/iaca.pem")

	var all struct {
		StatusLists []string `json:"status_lists"`
	}
	require.NoError(t, json.Unmarshal([]byte(fetch(t, server.url+"/status-lists")), &all))
	read := func(document []byte) listRead {
		t.Helper()
		ref := statusRef(t, document)
		require.Contains(t, all.StatusLists, ref.URI)
		got := readByOthers(t, roots, string(fetchAs(t, ref.URI, statuslist.MediaTypeJWT)), ref.Index)
		require.Equal(t, "statuslist+jwt", got.Typ)
		require.Equal(t, ref.URI, got.Sub)
		require.Equal(t, server.url+"/status-lists", got.Aggregation)
		require.True(t, got.Signed)
		require.InDelta(t, time.Now().Unix(), got.Iat, 60)
		require.Greater(t, got.Exp, time.Now().Unix())
		require.EqualValues(t, 45, got.TTL)
		return got
	}
	for _, document := range [][]byte{licences[0], licences[1], badges[0]} {
		require.Equal(t, []int{0}, read(document).Statuses)
	}
	require.Equal(t, 1, read(licences[0]).Bits)
	require.Equal(t, 2, read(badges[0]).Bits)
	verifyWithFiles(t, roots, licences[0], 0)

	change := func(requestID, act string) {
		t.Helper()
		require.NoError(t, office.a.Do(t.Context(), http.MethodPost, "/v1/documents/"+office.look(t, requestID).DocumentID+"/"+act,
			map[string]string{"reason": "lost"}, nil))
	}
	change(badgeRequest, "disable")
	change(licenceRequest, "cancel")
	until(t, patience, "both lists tell", func() (bool, error) {
		return read(badges[0]).Statuses[0] == 2 && read(licences[0]).Statuses[0] == 1, nil
	})
	require.Equal(t, []int{1}, read(licences[1]).Statuses, "every copy")
	verifyWithFiles(t, roots, licences[0], 1)
	var online struct {
		Valid bool `json:"valid"`
	}
	answer, err := http.Post(server.url+"/verify", "application/cbor", bytes.NewReader(badges[0]))
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&online))
	require.NoError(t, answer.Body.Close())
	require.False(t, online.Valid)
	server.process.stop(t)
}

// verifyWithFiles has `mdocket verify` check a document with files alone: the roots, and the status list in each form.
func verifyWithFiles(t *testing.T, roots string, document []byte, code int) {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	ref := statusRef(t, document)
	cwt := file("list.cwt", fetchAs(t, ref.URI, statuslist.MediaTypeCWT))
	jwt := file("list.jwt", fetchAs(t, ref.URI, statuslist.MediaTypeJWT))
	args := []string{"verify", file("document.cbor", document), "--roots", file("roots.pem", []byte(roots)), "--offline"}
	for _, list := range []string{cwt, jwt} {
		got := run(t, cleanEnv(), program(t), append(args, "--status-list", list)...)
		require.Equal(t, code, got.code, got.stderr)
		require.Equal(t, code == 0, strings.HasSuffix(got.stdout, "status    valid\nverified\n"), got.stdout)

		got = run(t, cleanEnv(), program(t), append(args, "--status-list", list, "--json")...)
		require.Equal(t, code, got.code, got.stderr)
		var report struct {
			Valid     bool `json:"valid"`
			Documents []struct {
				Checks []struct {
					Check   string `json:"check"`
					Outcome string `json:"outcome"`
				} `json:"checks"`
			} `json:"documents"`
		}
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &report), got.stdout)
		require.Equal(t, code == 0, report.Valid)
		require.Len(t, report.Documents, 1)
		require.Len(t, report.Documents[0].Checks, 7)
	}
	got := run(t, cleanEnv(), program(t), args...)
	require.Equal(t, 1, got.code, "without a list the status is not known")
	require.Contains(t, got.stdout, "status    unknown (the status list was not looked at)\n")
	got = run(t, cleanEnv(), program(t), append(args, "--status-list", ref.URI)...)
	require.Equal(t, 2, got.code, "--offline takes no URL")
	got = run(t, cleanEnv(), program(t), append(args[:len(args)-1:len(args)-1], "--status-list", ref.URI)...)
	require.Equal(t, code, got.code, got.stderr)
}

// What keeps a verification from being made ends with code 2 and one line, so that scripts tell it from a document that does not hold.
func TestVerificationsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	garbage, roots, missing := file("garbage.cbor", "\xa2\x6anot a document"), file("roots.pem", iaca(t)), filepath.Join(dir, "missing")
	for name, args := range map[string][]string{
		"missing file":           {missing, "--roots", roots},
		"missing roots":          {garbage, "--roots", missing},
		"broken roots":           {garbage, "--roots", garbage},
		"unreachable roots":      {garbage, "--roots", "http://127.0.0.1:1/pki/iaca.pem"},
		"missing list":           {garbage, "--roots", roots, "--status-list", missing},
		"unreachable list":       {garbage, "--roots", roots, "--status-list", "http://127.0.0.1:1/list"},
		"missing transcript":     {garbage, "--roots", roots, "--transcript", missing},
		"transcript not of CBOR": {garbage, "--roots", roots, "--transcript", file("transcript", "\x82")},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, cleanEnv(), program(t), append([]string{"verify"}, args...)...)
			require.Equal(t, 2, got.code, got.stderr)
			require.Empty(t, got.stdout)
			require.Regexp(t, "^mdocket: [^\n]+\n$", got.stderr)
		})
	}
}
