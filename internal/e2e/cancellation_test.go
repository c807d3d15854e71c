package e2e_test

import (
	"crypto/rand"
	"net/http"
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
	document, copies := guardedDocument(t, site, office)
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
func guardedDocument(t *testing.T, s *site, office *office) (path string, copies [][]byte) {
	t.Helper()
	guarded := example.Profiles()[0]
	guarded.Name, guarded.Options.ValidateIssuance, guarded.Options.ValidateCancellation = "guarded", false, true
	office.profiles["guarded"] = create(t, office.a, "/v1/profiles", guarded)
	requestID, copies := issue(t, office, newHolder(t, s.postURL, 0), office.people[0], "guarded", 1)
	return "/v1/documents/" + office.look(t, requestID).DocumentID, copies
}

// surviveCancellation cancels a document with approval while a process dies on the way, and looks at what is left.
func (c crash) surviveCancellation(t *testing.T, s *site, office *office) {
	document, copies := guardedDocument(t, s, office)
	var wish struct {
		ID    string `json:"id"`
		State string `json:"state"`
	}
	key := client.IdempotencyKey(rand.Text())
	require.NoError(t, persist(t, func() error {
		return office.a.Do(t.Context(), http.MethodPost, document+"/request-cancel", map[string]string{"reason": "lost"}, &wish, key)
	}))
	path := "/v1/cancellations/" + wish.ID
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
	db := s.open(t)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM cancellations WHERE state = 'approved'`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM cancellations`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM documents WHERE state = 'canceled'`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM audit_entries WHERE action = 'document.cancel'`))
	require.Zero(t, count(t, db, `SELECT count(*) FROM status_entries WHERE value <> 1`))
	require.Equal(t, verifier.StatusInvalid, verify(t, s.url, copies[0]))
	require.Contains(t, auditOf(t, s.database), "intact")
}
