package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/internal/verifier"
)

// updateWaits is the subject of the message about an update, in English or German.
var updateWaits = regexp.MustCompile(`an update of your|Aktualisierung`)

// commandWallet is the wallet of the command line.
type commandWallet struct {
	t       testing.TB
	program string
	dir     string
}

func (w commandWallet) run(args ...string) string {
	w.t.Helper()
	return mustRun(w.t, cleanEnv(), w.program, append([]string{"wallet", "--dir", w.dir}, args...)...)
}

// export gives the first copy of a document.
func (w commandWallet) export(id string) []byte {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "document.cbor")
	w.run("export", id, file)
	document, err := os.ReadFile(file)
	require.NoError(w.t, err)
	return document
}

// Documents are updated while the engine dies: it is asked for and waits, one e-mail without link or code says so, the wallet gets the new version
// without any code, and a verifier learns that the old one is invalid (E6, F3). A document that is canceled is not refreshed any more.
func TestUpdateReachesTheWallet(t *testing.T) {
	t.Parallel()
	temporal := newEngine(t, "error")
	site := newSite(t, siteOptions{temporal: temporal.options.HostPort})
	site.start(t)
	office := openOffice(t, site.url, adminName, site.password, 1)
	renewed := example.Profiles()[0]
	renewed.Name, renewed.Options.ValidateIssuance = "renewed", false
	office.profiles["renewed"] = create(t, office.a, "/v1/profiles", renewed)

	w := commandWallet{t, site.program, filepath.Join(t.TempDir(), "wallet")}
	h := newHolder(t, site.postURL, 0)
	requestID := office.ask(t, office.people[0], "renewed")
	l := h.read(t, 0)
	collected := regexp.MustCompile(`as (\S+), 2 copy`).FindStringSubmatch(w.run("collect", l.link, "--code", l.code, "--copies", "2"))
	require.NotNil(t, collected)
	id := collected[1]
	old := w.export(id)
	requireValid(t, site.url, old)
	require.Regexp(t, `up to date, valid until`, w.run("refresh", id))

	version, days := 1, 200
	update := func() string {
		documentID := office.look(t, requestID).DocumentID
		renewed.Options.LifetimeDays = days
		require.NoError(t, office.a.Do(t.Context(), http.MethodPut, "/v1/profiles/"+office.profiles["renewed"],
			map[string]any{"version": version, "comment": "shorter", "options": renewed.Options}, nil))
		version, days = version+1, days/2
		temporal.kill(t)
		u := create(t, office.a, "/v1/documents/"+documentID+"/update", map[string]string{"reason": domain.ReasonReprovision})
		require.Equal(t, string(domain.RequestReceived), office.look(t, u).State)
		temporal.start(t)
		office.waitState(t, u, domain.RequestAwaitingCollection)
		return u
	}
	for round := range 2 {
		u := update()
		var told mailbox.Message
		until(t, patience, "the holder is told", func() (bool, error) {
			all, err := h.mail(t.Context())
			for _, m := range all {
				if m.Seq > l.last && updateWaits.MatchString(m.Subject) {
					told = m
				}
			}
			return told.Seq != 0, err
		})
		require.Equal(t, mailbox.Email, told.Kind)
		require.Empty(t, mailbox.FindLink(told.Text))
		require.Empty(t, mailbox.FindCode(told.Text))
		requireValid(t, site.url, old)

		require.Regexp(t, `^`+id+`  \S+  updated, valid until`, w.run("refresh", "--all"))
		fresh := w.export(id)
		requireValid(t, site.url, fresh)
		parsed, err := mdoc.Parse(fresh)
		require.NoError(t, err)
		validity := parsed.MSO.Validity
		require.Equal(t, 200/(round+1), int(validity.ValidUntil.Sub(validity.ValidFrom)/(24*time.Hour)), "by the latest version of the profile")
		until(t, patience, "the status list says that the old version is invalid", func() (bool, error) {
			return verify(t, site.url, old) == verifier.StatusInvalid, nil
		})
		office.waitState(t, u, domain.RequestIssued)
		require.Regexp(t, `up to date`, w.run("refresh", id))
		requestID, old = u, fresh
		all, err := h.mail(t.Context())
		require.NoError(t, err)
		l.last = all[len(all)-1].Seq
	}
	db := site.open(t)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM documents WHERE state = 'active'`))
	require.Equal(t, 2, count(t, db, `SELECT count(*) FROM documents WHERE state = 'superseded'`))

	u := update()
	document := "/v1/documents/" + office.look(t, requestID).DocumentID
	require.NoError(t, office.a.Do(t.Context(), http.MethodPost, document+"/cancel", map[string]string{"reason": "lost"}, nil))
	require.Equal(t, string(domain.RequestCanceled), office.look(t, u).State)
	got := run(t, cleanEnv(), site.program, "wallet", "--dir", w.dir, "refresh", id)
	require.Equal(t, 1, got.code)
	require.Regexp(t, `^mdocket: the issuer does not refresh the document[^\n]+\n$`, got.stderr)
	got = run(t, cleanEnv(), site.program, "wallet", "--dir", w.dir, "refresh", "--all")
	require.Equal(t, 1, got.code)
	require.Contains(t, got.stderr, "1 of 1 documents were not refreshed")
	require.Equal(t, old, w.export(id))
	require.Equal(t, 0, count(t, db, `SELECT count(*) FROM documents WHERE state = 'active'`))

	site.api.stop(t)
	site.worker.stop(t)
	require.Zero(t, site.api.deaths.Load()+site.worker.deaths.Load())
	require.Contains(t, auditOf(t, site.database), "intact")
}
