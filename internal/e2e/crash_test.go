package e2e_test

import (
	"database/sql"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/internal/testenv"
)

// crash is a place at which a process dies.
type crash struct {
	place  string
	late   bool   // not before the holder has link and code: the place is passed several times
	worker bool   // which of the two dies
	resend bool   // the holder has to ask for a new code: what was lost cannot be given twice
	twice  bool   // a message goes out a second time, unchanged
	cancel bool   // at a cancellation with approval instead of an issuance
	once   string // file that is made at the death, so that there is no second one
}

// crashes holds every failpoint.
var crashes = []crash{
	{place: "request.committed"},
	{place: "request.started"},
	{place: "begin.committed", worker: true},
	{place: "act.recorded"},
	{place: "act.answered"},
	{place: "apply.committed", worker: true},
	{place: "notify.sent", worker: true, twice: true},
	{place: "token.redeemed", resend: true},
	{place: "act.recorded", late: true},
	{place: "sign.intent", worker: true},
	{place: "sign.signed", worker: true},
	{place: "sign.stored", worker: true},
	{place: "act.answered", late: true},
	{place: "collect.signed"},
	{place: "cancellation.committed", cancel: true},
	{place: "cancellation.begin.committed", cancel: true, worker: true},
	{place: "cancellation.act.recorded", cancel: true},
	{place: "cancellation.apply.committed", cancel: true, worker: true},
}

func (c crash) String() string {
	if c.late {
		return c.place + " at collection"
	}
	return c.place
}

var failpointCall = regexp.MustCompile(`\bfailpoint\.Hit\(([^)]*)\)`)

// failpoints lists the failpoints in the source.
func failpoints(t testing.TB) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && path != root) {
			return fs.SkipDir
		}
		if entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, call := range failpointCall.FindAllSubmatch(source, -1) {
			name := string(call[1])
			require.Regexp(t, `^"[^"]+"$`, name, "%s: a failpoint is named by a literal", path)
			names = append(names, strings.Trim(name, `"`))
		}
		return nil
	})
	require.NoError(t, err)
	return names
}

// A process that is killed at the worst moments, and started again, costs at most a repetition: there is one document, its status is
// valid, and nothing that was given out twice differs.
func TestCrash(t *testing.T) {
	t.Parallel()
	places := map[string]bool{}
	for _, c := range crashes {
		places[c.place] = true
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(places)), failpoints(t), "every failpoint has a case, and a name of its own")
	temporal := testenv.Temporal(t)
	blueprint := newSite(t, siteOptions{temporal: temporal})
	blueprint.startAPI(t)
	blueprint.waitReady(t)
	office := openOffice(t, blueprint.url, adminName, blueprint.password, 1)
	blueprint.api.stop(t)
	for _, c := range crashes {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			c.once = filepath.Join(t.TempDir(), "died")
			site := newSite(t, siteOptions{program: mortalProgram(t), temporal: temporal, namespace: newNamespace(t, temporal), like: blueprint,
				env: []string{"MDOCKET_FAILPOINT=" + c.place, "MDOCKET_FAILPOINT_ONCE=" + c.once}})
			if c.late {
				require.NoError(t, os.WriteFile(c.once, nil, 0o600))
			}
			site.start(t)
			if at := office.at(t, site.url, adminName, site.password); c.cancel {
				c.surviveCancellation(t, site, at)
			} else {
				c.survive(t, site, at)
			}
			require.FileExists(t, c.once, "the process has died")
			deaths := [2]int64{site.api.deaths.Load(), site.worker.deaths.Load()}
			if c.worker {
				require.Equal(t, [2]int64{0, 1}, deaths)
			} else {
				require.Equal(t, [2]int64{1, 0}, deaths)
			}
		})
	}
}

// survive issues an mDL while a process dies on the way, and looks at what is left.
func (c crash) survive(t *testing.T, s *site, office *office) {
	holder := newHolder(t, s.postURL, 0)
	id := office.ask(t, office.people[0], "mdl")
	office.waitState(t, id, domain.RequestAwaitingApproval)
	office.approve(t, id)
	letters := holder.read(t, 0)
	if c.late {
		require.NoError(t, os.Remove(c.once))
	}
	if c.resend {
		letters = c.lose(t, office, holder, id, letters)
	}
	documents := holder.collect(t, letters, 2)

	require.Equal(t, string(domain.RequestIssued), office.look(t, id).State)
	for _, d := range documents {
		requireValid(t, s.url, d)
	}
	_, err := holder.wallet.Client().FetchOffer(t.Context(), letters.link)
	require.Error(t, err, "the link of a collected document leads nowhere")
	db := s.open(t)
	requireOneDocument(t, db, id, len(documents))
	c.requireMessages(t, db, holder, id)
	require.Contains(t, auditOf(t, s.database), "intact")
}

// lose tries to collect, loses the answer with the access token and gets a new link and code; the old ones are worth nothing then.
func (c crash) lose(t *testing.T, office *office, holder *holder, id string, old letters) letters {
	t.Helper()
	issuing := holder.wallet.Client()
	offer, err := issuing.FetchOffer(t.Context(), old.link)
	require.NoError(t, err)
	issuer, err := issuing.Metadata(t.Context(), offer)
	require.NoError(t, err)
	_, err = issuing.Token(t.Context(), issuer, offer, old.code)
	require.Error(t, err, "the answer is lost")
	office.look(t, id) // the API is back
	_, err = issuing.Token(t.Context(), issuer, offer, old.code)
	require.ErrorContains(t, err, "invalid_grant", "a code is redeemed once")

	office.resend(t, id)
	now := holder.read(t, old.last)
	require.NotEqual(t, old.link, now.link)
	require.NotEqual(t, old.code, now.code)
	_, err = issuing.FetchOffer(t.Context(), old.link)
	require.Error(t, err, "an older link leads nowhere")
	_, err = issuing.Token(t.Context(), issuer, offer, now.code)
	require.ErrorContains(t, err, "invalid_grant", "the code of the newest message does not work with an older link")
	return now
}

// requireOneDocument demands that the request has one document, that it is active with so many copies, and that no other place in a
// status list counts as valid.
func requireOneDocument(t *testing.T, db *sql.DB, requestID string, copies int) {
	t.Helper()
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM documents`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM documents d JOIN requests r ON r.document_id = d.id
		WHERE r.id = $1 AND d.request_id = r.id AND d.state = 'active' AND d.copies = $2`, requestID, copies))
	require.Equal(t, copies, count(t, db, `SELECT count(*) FROM document_copies WHERE issuer_signed IS NOT NULL`))
	require.Equal(t, copies, count(t, db, `SELECT count(*) FROM (SELECT DISTINCT list_id, status_index FROM document_copies) x`),
		"every copy has a place of its own")
	require.Equal(t, copies, count(t, db, `SELECT count(*) FROM document_copies c JOIN documents d ON d.id = c.document_id
		JOIN status_entries e ON e.list_id = c.list_id AND e.idx = c.status_index AND e.document_id = d.id
		WHERE d.state = 'active' AND e.value = 0`))
	require.Zero(t, count(t, db, `SELECT count(*) FROM status_entries e WHERE e.value <> 1 AND NOT EXISTS (SELECT 1 FROM document_copies c
		JOIN documents d ON d.id = c.document_id WHERE c.list_id = e.list_id AND c.status_index = e.idx AND d.state = 'active')`),
		"a place without an active document is invalid")
}

func count(t *testing.T, db *sql.DB, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), query, args...).Scan(&n), query)
	return n
}

// requireMessages demands that all messages of one generation and kind say the same, that those of different generations do not, and
// that none went out more often than the crash explains.
func (c crash) requireMessages(t *testing.T, db *sql.DB, holder *holder, requestID string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT id, generation, kind FROM messages WHERE request_id = $1`, requestID)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	type row struct {
		generation int
		kind       domain.MessageKind
	}
	intents := map[string]row{}
	for rows.Next() {
		var id string
		var r row
		require.NoError(t, rows.Scan(&id, &r.generation, &r.kind))
		intents[id] = r
	}
	require.NoError(t, rows.Err())
	generations := 1
	if c.resend {
		generations = 2
	}
	require.Len(t, intents, 3*generations, "link and code by e-mail, code by SMS")

	mail, err := holder.mail(t.Context())
	require.NoError(t, err)
	sent, said, by := map[string]int{}, map[row]string{}, map[string]row{}
	for _, m := range mail {
		id, _, _ := strings.Cut(m.MessageID, "@")
		if m.Kind == mailbox.SMS {
			id = m.ID
		}
		r, known := intents[id]
		require.True(t, known, "every message has its row")
		sent[id]++
		secret := secretOf(t, r.kind, m.Text)
		if before, ok := said[r]; ok {
			require.Equal(t, before, secret, "generation %d", r.generation)
		}
		if first, ok := by[secret]; ok {
			require.Equal(t, first, r, "a link or code of one generation only")
		}
		said[r], by[secret] = secret, r
	}
	require.Len(t, sent, len(intents), "every intent has gone out")
	extra := len(mail) - len(intents)
	if c.twice {
		require.Equal(t, 1, extra)
	} else {
		require.Zero(t, extra)
	}
}

// secretOf gives the link or the code in a message.
func secretOf(t *testing.T, kind domain.MessageKind, text string) string {
	t.Helper()
	secret := mailbox.FindLink(text)
	if kind == domain.MessageAuthenticationCode {
		require.Empty(t, secret, "link and code never travel in one message")
		secret = digits(mailbox.FindCode(text))
	}
	require.NotEmpty(t, secret)
	return secret
}
