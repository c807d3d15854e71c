package e2e_test

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/verifier"
)

// Where the profile asks for it, one operator asks for a cancellation and another approves. It is asked for while Temporal is down, and waits
// through another death of it; then a verifier of the document learns that it is invalid (F4).
func TestCancellationWithApproval(t *testing.T) {
	t.Parallel()
	temporal := newEngine(t, "error")
	site := newSite(t, siteOptions{temporal: temporal.options.HostPort})
	site.start(t)
	office := openOffice(t, site.url, adminName, site.password, 1)
	document, copies := guardedDocument(t, office, newHolder(t, site.postURL, 0))
	act := func(c *client.Client, path string, in map[string]string) (state string, err error) {
		var out struct {
			State string `json:"state"`
		}
		err = persist(t, func() error { return c.Do(t.Context(), http.MethodPost, path, in, &out) })
		return out.State, err
	}

	_, err := act(office.a, document+"/cancel", map[string]string{"reason": "lost"})
	require.Equal(t, string(domain.CodeApprovalRequired), client.CodeOf(err))
	temporal.kill(t)
	wish := "/v1/cancellations/" + create(t, office.a, document+"/request-cancel", map[string]string{"reason": "lost"})
	temporal.start(t)
	until(t, patience, "the cancellation waits for approval", func() (bool, error) {
		var out struct {
			State string `json:"state"`
		}
		err := office.a.Do(t.Context(), http.MethodGet, wish, nil, &out)
		return out.State == string(domain.CancellationAwaitingApproval), err
	})
	_, err = act(office.a, wish+"/approve", map[string]string{})
	require.Equal(t, string(domain.CodeSelfApproval), client.CodeOf(err))
	temporal.kill(t)
	temporal.start(t)
	requireValid(t, site.url, copies[0])
	state, err := act(office.b, wish+"/approve", map[string]string{"reason": "seen the report"})
	require.NoError(t, err)
	require.Equal(t, string(domain.CancellationApproved), state)
	until(t, patience, "the status list says invalid", func() (bool, error) {
		return verify(t, site.url, copies[0]) == verifier.StatusInvalid, nil
	})
	_, err = act(office.b, wish+"/reject", map[string]string{"reason": "late"})
	require.Equal(t, string(domain.CodeAlreadyDecided), client.CodeOf(err))

	site.api.stop(t)
	site.worker.stop(t)
	require.Zero(t, site.api.deaths.Load()+site.worker.deaths.Load())
	require.Contains(t, auditOf(t, site.database), "intact")
}

// guardedDocument issues a document that is only canceled with another operator's approval, and gives its path and its copies.
func guardedDocument(t *testing.T, office *office, holder *holder) (path string, copies [][]byte) {
	t.Helper()
	guarded := example.Profiles()[0]
	guarded.Name, guarded.Options.ValidateIssuance, guarded.Options.ValidateCancellation = "guarded", false, true
	office.profiles["guarded"] = create(t, office.a, "/v1/profiles", guarded)
	requestID, copies := issue(t, office, holder, office.people[0], "guarded", 1)
	return "/v1/documents/" + office.look(t, requestID).DocumentID, copies
}

// surviveCancellation cancels a document with approval.
func (c crash) surviveCancellation(t *testing.T, s *site, office *office) {
	document, copies := guardedDocument(t, office, newHolder(t, s.postURL, 0))
	var wish struct {
		ID    string `json:"id"`
		State string `json:"state"`
	}
	key := client.IdempotencyKey(rand.Text())
	require.NoError(t, persist(t, func() error {
		return office.a.Do(t.Context(), http.MethodPost, document+"/request-cancel", map[string]string{"reason": "lost"}, &wish, key)
	}))
	approveCancellation(t, office, wish.ID)
	requireCanceled(t, s, copies[0])
}

// surviveReport has the holder report a document lost, which takes it out of use at once and cancels it after an approval.
func (c crash) surviveReport(t *testing.T, s *site, office *office) {
	document, copies := guardedDocument(t, office, newHolder(t, s.postURL, 0))
	holder := office.holder(t, office.people[0])
	var reported struct {
		State        string `json:"state"`
		Cancellation string `json:"cancellation_id"`
	}
	path := "/v1/me/documents/" + strings.TrimPrefix(document, "/v1/documents/") + "/report-lost"
	require.NoError(t, persist(t, func() error {
		return holder.Do(t.Context(), http.MethodPost, path, map[string]string{"reason": "lost"}, &reported)
	}))
	require.Equal(t, string(domain.DocumentDisabled), reported.State)
	require.NotEmpty(t, reported.Cancellation)
	approveCancellation(t, office, reported.Cancellation)
	requireCanceled(t, s, copies[0])
}

// approveCancellation waits until a cancellation can be approved, and has operator b do so.
func approveCancellation(t *testing.T, office *office, id string) {
	t.Helper()
	var wish struct {
		State string `json:"state"`
	}
	path := "/v1/cancellations/" + id
	until(t, patience, "the cancellation waits for approval", func() (bool, error) {
		err := persist(t, func() error { return office.a.Do(t.Context(), http.MethodGet, path, nil, &wish) })
		return wish.State == string(domain.CancellationAwaitingApproval), err
	})
	err := persist(t, func() error {
		return office.b.Do(t.Context(), http.MethodPost, path+"/approve", map[string]string{}, nil)
	})
	if client.CodeOf(err) != string(domain.CodeAlreadyDecided) {
		require.NoError(t, err)
	}
}

// requireCanceled demands that the only document there is was canceled once, by its only cancellation.
func requireCanceled(t *testing.T, s *site, document []byte) {
	t.Helper()
	db := s.open(t)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM cancellations WHERE state = 'approved'`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM cancellations`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM documents WHERE state = 'canceled'`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM audit_entries WHERE action = 'document.cancel'`))
	require.Zero(t, count(t, db, `SELECT count(*) FROM status_entries WHERE value <> 1`))
	require.Equal(t, verifier.StatusInvalid, verify(t, s.url, document))
	require.Contains(t, auditOf(t, s.database), "intact")
}

// surviveUpdate has a document made anew, which the wallet that has it fetches.
func (c crash) surviveUpdate(t *testing.T, s *site, office *office) {
	holder := newHolder(t, s.postURL, 0)
	document, copies := guardedDocument(t, office, holder)
	held, err := holder.wallet.List()
	require.NoError(t, err)
	require.Len(t, held, 1)
	var update request
	key := client.IdempotencyKey(rand.Text())
	require.NoError(t, persist(t, func() error {
		return office.a.Do(t.Context(), http.MethodPost, document+"/update", map[string]string{"reason": "reprovision"}, &update, key)
	}))
	office.waitState(t, update.ID, domain.RequestAwaitingCollection)
	requireValid(t, s.url, copies[0])
	fetched, err := holder.wallet.Refresh(t.Context(), held[0].ID)
	require.NoError(t, err)
	require.True(t, fetched.Updated)
	require.Equal(t, string(domain.RequestIssued), office.look(t, update.ID).State)
	version, _, err := holder.store.Copy(fetched.Document.ID, 0)
	require.NoError(t, err)
	requireValid(t, s.url, version)
	require.Equal(t, verifier.StatusInvalid, verify(t, s.url, copies[0]))
	db := s.open(t)
	require.Equal(t, 2, count(t, db, `SELECT count(*) FROM requests`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM documents WHERE state = 'superseded'`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM documents WHERE state = 'active'`))
	require.Equal(t, 2, count(t, db, `SELECT count(*) FROM documents`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM status_entries WHERE value <> 1`))
	require.Contains(t, auditOf(t, s.database), "intact")
}

// surviveErasure erases the data of a person who has a document and an open request.
func (c crash) surviveErasure(t *testing.T, s *site, office *office) {
	_, copies := guardedDocument(t, office, newHolder(t, s.postURL, 0))
	person := office.people[0]
	open := office.ask(t, person, "mdl")
	office.waitState(t, open, domain.RequestAwaitingApproval)
	require.NoError(t, persist(t, func() error {
		return office.admin.Do(t.Context(), http.MethodPost, "/v1/people/"+person+"/erase",
			map[string]string{"reason": "withdrawn", "confirm": person}, nil)
	}))
	err := persist(t, func() error { return office.admin.Do(t.Context(), http.MethodGet, "/v1/people/"+person, nil, nil) })
	require.Equal(t, string(domain.CodeNotFound), client.CodeOf(err))
	require.Equal(t, string(domain.RequestCanceled), office.look(t, open).State)
	db := s.open(t)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM persons WHERE id = $1 AND erased_at IS NOT NULL AND given_name = '' AND family_name = ''
		AND email = '' AND mobile = ''`, person))
	require.Zero(t, count(t, db, `SELECT count(*) FROM person_images WHERE person_id = $1`, person))
	require.Zero(t, count(t, db, `SELECT count(*) FROM document_copies WHERE issuer_signed IS NOT NULL`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM documents WHERE state = 'canceled'`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM documents`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM audit_entries WHERE action = 'person.erase'`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM audit_entries WHERE action = 'document.cancel'`))
	require.Zero(t, count(t, db, `SELECT count(*) FROM status_entries WHERE value <> 1`))
	require.Equal(t, verifier.StatusInvalid, verify(t, s.url, copies[0]))
	require.Contains(t, auditOf(t, s.database), "intact")
}
