package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/standalone"
)

// mdlDocument and mdlResult are what npm/verify.mjs takes and gives.
type mdlDocument struct {
	DocType      string `json:"docType"`
	IssuerSigned []byte `json:"issuerSigned"` // base64 in JSON
}

type mdlResult struct {
	Error  string `json:"error"`
	Checks []struct {
		Category string `json:"category"`
		ID       string `json:"id"`
		Status   string `json:"status"`
		Check    string `json:"check"`
		Reason   string `json:"reason"`
	} `json:"checks"`
	Elements map[string]map[string]any `json:"elements"`
}

// failures lists the checks that failed, but for the one that an IssuerSigned alone cannot pass: nobody has presented it, so no device
// signed.
func (r mdlResult) failures() []string {
	var out []string
	for _, c := range r.Checks {
		if c.Status != "PASSED" && c.ID != "DOCUMENT_DEVICE_SIGNATURE_PRESENCE" {
			out = append(out, c.Category+" "+c.ID+": "+c.Reason)
		}
	}
	return out
}

// runOthers runs a script of npm with the input as JSON and reads the JSON it gives.
func runOthers(t testing.TB, script string, in, out any) {
	t.Helper()
	form, err := json.Marshal(in)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir = filepath.Join(root, "internal", "e2e", "npm")
	cmd.Stdin = bytes.NewReader(form)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	printed, err := cmd.Output()
	require.NoError(t, err, "run `make components` if the npm packages are missing\n%s", &stderr)
	require.NoError(t, json.Unmarshal(printed, out))
}

// verifyByOthers has @auth0/mdl verify documents.
func verifyByOthers(t testing.TB, roots string, documents ...mdlDocument) []mdlResult {
	t.Helper()
	var results []mdlResult
	runOthers(t, "verify.mjs", map[string]any{"roots": []string{roots}, "documents": documents}, &results)
	require.Len(t, results, len(documents))
	return results
}

// A verifier written by others accepts what is issued, reads the values that went in, and refuses the same bytes with one bit turned over.
func TestVerifierOfOthers(t *testing.T) {
	server := startAlone(t, filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "127.0.0.1:0")
	began := time.Now()
	office := openOffice(t, server.url, standalone.AdminName, server.password, 2)
	_, licences := issue(t, office, newHolder(t, server.mailbox, 0), office.people[0], "mdl", 2)
	_, badges := issue(t, office, newHolder(t, server.mailbox, 1), office.people[1], "staff-badge", 1)
	const mdl, badge = "org.iso.18013.5.1.mDL", "org.mdocket.badge.1"

	results := verifyByOthers(t, fetch(t, server.url+"/pki/iaca.pem"),
		mdlDocument{mdl, licences[0]}, mdlDocument{mdl, licences[1]}, mdlDocument{badge, badges[0]},
		mdlDocument{mdl, flip(t, licences[0], "Bianchi", "Ahrens")}, mdlDocument{badge, flip(t, badges[0], "Bianchi", "Ahrens")},
		mdlDocument{mdl, flipLast(licences[0])}, mdlDocument{mdl, badges[0]}, mdlDocument{mdl, licences[0][:len(licences[0])-1]})
	strangers := verifyByOthers(t, iaca(t), mdlDocument{mdl, licences[0]})

	for i := range 3 {
		require.Empty(t, results[i].Error)
		require.Empty(t, results[i].failures())
		require.Greater(t, len(results[i].Checks), 15)
	}
	portrait, err := example.Portrait(0)
	require.NoError(t, err)
	dayIn := func(days int) []any { // two at midnight
		day := func(from time.Time) any { return fullDate(from.UTC().AddDate(0, 0, days).Format(time.DateOnly)) }
		return []any{day(began), day(time.Now())}
	}
	for i := range 2 {
		got := results[i].Elements["org.iso.18013.5.1"]
		for name, want := range map[string]any{
			"given_name": "Ada", "family_name": "Ahrens", "birth_date": fullDate("1960-01-01"),
			"document_number": "UT4000000", "issuing_country": "UT", "issuing_authority": "Utopia Road Office", "un_distinguishing_sign": "UTO",
			"sex": 1.0, "height": 155.0, "eye_colour": "brown", "age_over_18": true, "age_over_65": true, "age_birth_year": 1960.0,
			"portrait": map[string]any{"bytes": base64.StdEncoding.EncodeToString(portrait)},
			"driving_privileges": []any{map[string]any{"vehicle_category_code": "B", "issue_date": fullDate("2019-04-01"),
				"expiry_date": fullDate("2034-04-01")}},
		} {
			require.Equal(t, want, got[name], name)
		}
		require.Contains(t, dayIn(0), got["issue_date"])
		require.Contains(t, dayIn(365), got["expiry_date"])
	}
	require.Equal(t, "E00002", results[2].Elements[badge]["employee_number"])
	require.Equal(t, "Registry/Counter", results[2].Elements[badge]["department"])

	for i := 3; i < len(results); i++ {
		require.True(t, results[i].Error != "" || len(results[i].failures()) > 0, "document %d was changed and is accepted", i)
	}
	require.NotEmpty(t, strangers[0].failures(), "a root that did not sign")
}

func fullDate(day string) map[string]any { return map[string]any{"fullDate": day} }

// flip turns one bit of the first of the texts that is in the document.
func flip(t testing.TB, document []byte, texts ...string) []byte {
	t.Helper()
	for _, text := range texts {
		if at := bytes.Index(document, []byte(text)); at >= 0 {
			out := bytes.Clone(document)
			out[at] ^= 1
			return out
		}
	}
	require.FailNow(t, "the document holds none of the texts")
	return nil
}

// flipLast turns one bit of the signature, which is where a document ends.
func flipLast(document []byte) []byte {
	out := bytes.Clone(document)
	out[len(out)-1] ^= 1
	return out
}
