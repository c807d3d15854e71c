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
	worker bool   // which of the two comes to the place
	peer   bool   // not the one at the place dies, but the other one, while the first goes on
	resend bool   // the holder has to ask for a new code: what was lost cannot be given twice
	twice  bool   // a message goes out a second time, unchanged
	once   string // file that is made at the death, so that there is no second one

	// survive does what leads to the place while a process dies on the way, and looks at what is left.
	survive func(crash, *testing.T, *site, *office)
}

// crashes holds every failpoint, with the death of the process that comes to it.
var crashes = []crash{
	{place: "request.committed", survive: crash.surviveIssuance},
	{place: "request.started", survive: crash.surviveIssuance},
	{place: "begin.committed", worker: true, survive: crash.surviveIssuance},
	{place: "act.recorded", survive: crash.surviveIssuance},
	{place: "act.answered", survive: crash.surviveIssuance},
	{place: "apply.committed", worker: true, survive: crash.surviveIssuance},
	{place: "notify.sent", worker: true, twice: true, survive: crash.surviveIssuance},
	{place: "token.redeemed", resend: true, survive: crash.surviveIssuance},
	{place: "act.recorded", late: true, survive: crash.surviveIssuance},
	{place: "sign.intent", worker: true, survive: crash.surviveIssuance},
	{place: "sign.signed", worker: true, survive: crash.surviveIssuance},
	{place: "sign.stored", worker: true, survive: crash.surviveIssuance},
	{place: "act.answered", late: true, survive: crash.surviveIssuance},
	{place: "collect.signed", survive: crash.surviveIssuance},
	{place: "cancellation.committed", survive: crash.surviveCancellation},
	{place: "cancellation.begin.committed", worker: true, survive: crash.surviveCancellation},
	{place: "cancellation.act.recorded", survive: crash.surviveCancellation},
	{place: "cancellation.apply.committed", worker: true, survive: crash.surviveCancellation},
	{place: "update.committed", survive: crash.surviveUpdate},
	{place: "update.started", survive: crash.surviveUpdate},
	{place: "report.committed", survive: crash.surviveReport},
	{place: "erase.committed", survive: crash.surviveErasure},
}

// ofPeer gives the same moment with the death of the other process: nothing is lost that the process at the place was about to give out.
func (c crash) ofPeer() crash {
	c.peer, c.resend, c.twice = true, false, false
	return c
}

// victim names the process that dies.
func (c crash) victim() string {
	if c.worker != c.peer {
		return "worker"
	}
	return "api"
}

func (c crash) String() string {
	name := c.place
	if c.late {
		name += " at collection"
	}
	return name + ", " + c.victim() + " dies"
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
		for _, c := range []crash{c, c.ofPeer()} {
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				c.run(t, office, siteOptions{program: mortalProgram(t), temporal: temporal, namespace: newNamespace(t, temporal),
					like: blueprint})
			})
		}
	}
}

// run has the process die in an installation of the case's own, and demands that it died once and the other one never.
func (c crash) run(t *testing.T, office *office, o siteOptions) {
	c.once = filepath.Join(t.TempDir(), "died")
	o.env = []string{"MDOCKET_FAILPOINT=" + c.place, "MDOCKET_FAILPOINT_ONCE=" + c.once}
	site := newSite(t, o)
	if c.peer {
		site.env = append(site.env, "MDOCKET_FAILPOINT_PEER="+site.pidFile(c.victim()))
	}
	if c.late {
		require.NoError(t, os.WriteFile(c.once, nil, 0o600))
	}
	site.start(t)
	c.survive(c, t, site, office.at(t, site.url, adminName, site.password))
	require.FileExists(t, c.once, "the place was passed")
	site.waitReady(t) // whoever died is back, and can be stopped in good order
	want := map[string]int64{"api": 0, "worker": 0}
	want[c.victim()] = 1
	require.Equal(t, want, map[string]int64{"api": site.api.deaths.Load(), "worker": site.worker.deaths.Load()})
}

// surviveIssuance issues an mDL.
func (c crash) surviveIssuance(t *testing.T, s *site, office *office) {
	holder := newHolder(t, s.postURL, 0)
	id := office.ask(t, office.people[0], "mdl")
	office.waitState(t, id, domain.RequestAwaitingApproval)
	office.approve(t, id)
	letters := holder.read(t, 0)
	db := s.open(t)
	until(t, patience, "link and code are noted as sent", func() (bool, error) {
		return count(t, db, `SELECT count(*) FROM messages WHERE request_id = $1 AND kind IN ('collection_link', 'authentication_code')
			AND state <> 'sent'`, id) == 0, nil
	})
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
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM requests`))
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

// requireMessages looks at the messages with a link or a code. It demands that all of one generation and kind say the same, that those of
// different generations do not, and that none went out more often than the crash explains.
func (c crash) requireMessages(t *testing.T, db *sql.DB, holder *holder, requestID string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT id, generation, kind FROM messages WHERE request_id = $1`, requestID)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	type row struct {
		generation int
		kind       domain.MessageKind
	}
	intents, others := map[string]row{}, map[string]bool{}
	for rows.Next() {
		var id string
		var r row
		require.NoError(t, rows.Scan(&id, &r.generation, &r.kind))
		if r.kind == domain.MessageCollectionLink || r.kind == domain.MessageAuthenticationCode {
			intents[id] = r
		} else {
			others[id] = true
		}
	}
	require.NoError(t, rows.Err())
	generations := 1
	if c.resend {
		generations = 2
	}
	require.Len(t, intents, 3*generations, "link and code by e-mail, code by SMS")

	mail, err := holder.mail(t.Context())
	require.NoError(t, err)
	sent, said, by, extra := map[string]bool{}, map[row]string{}, map[string]row{}, 0
	for _, m := range mail {
		id, _, _ := strings.Cut(m.MessageID, "@")
		if m.Kind == mailbox.SMS {
			id = m.ID
		}
		if others[id] {
			continue
		}
		r, known := intents[id]
		require.True(t, known, "every message has its row")
		if sent[id] {
			extra++
		}
		sent[id] = true
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
	switch {
	case c.twice:
		require.Equal(t, 1, extra)
	case c.peer && !c.worker: // the worker may have been sending
		require.LessOrEqual(t, extra, 1)
	default:
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
