package operator_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func withGuardedCancel(o *domain.ProfileOptions) { o.ValidateCancellation = true }

func TestCancellationWithApproval(t *testing.T) { onBoth(t, testCancellationWithApproval) }

func testCancellationWithApproval(t *testing.T, s *server) {
	d := s.Issue(t, s.Person(t).ID, s.Profile(t, "guarded", withGuardedCancel).ID)
	document := "/v1/documents/" + d.ID
	acts := func() []any {
		return s.call(t, s.admin, http.MethodGet, document, nil).object(t, http.StatusOK)["allowed_actions"].([]any)[2:4]
	}
	require.Equal(t, []any{
		map[string]any{"act": "cancel", "allowed": false, "code": "approval_required",
			"why": "the profile asks for another operator's approval before a document is canceled"},
		map[string]any{"act": "request_cancel", "allowed": true},
	}, acts())
	p := s.call(t, s.admin, http.MethodPost, document+"/cancel", map[string]any{"reason": "lost"}).refused(t, domain.CodeApprovalRequired)
	require.Equal(t, map[string]string{"act": "request_cancel"}, p.Details)

	ask := func() answer {
		return s.call(t, s.admin, http.MethodPost, document+"/request-cancel", map[string]any{"reason": "lost", "notes": "in the train"},
			"Idempotency-Key", "k1")
	}
	a := ask()
	c := a.object(t, http.StatusCreated)
	path := "/v1/cancellations/" + text(t, c, "id")
	require.Equal(t, path, a.header.Get("Location"))
	require.Equal(t, c, ask().object(t, http.StatusCreated), "repeated")
	require.Equal(t, c, s.call(t, s.admin, http.MethodGet, path, nil).object(t, http.StatusOK))
	require.Equal(t, []any{"awaiting_approval", "lost", "in the train", d.ID, d.PersonID, s.Admin().AccountID},
		[]any{c["state"], c["reason"], c["notes"], c["document_id"], c["person_id"], c["requested_by"]})
	require.Contains(t, c, "deadline")
	require.NotContains(t, c, "decision")
	require.Equal(t, "conflict", acts()[1].(map[string]any)["code"])
	s.changesNothing(t, func() {
		p := s.call(t, s.admin, http.MethodPost, document+"/request-cancel", map[string]any{"reason": "stolen"}).refused(t, domain.CodeConflict)
		require.Equal(t, c["id"], p.Details["cancellation_id"])
		s.call(t, s.admin, http.MethodPost, path+"/approve", map[string]any{}).refused(t, domain.CodeSelfApproval)
	})

	approver := s.Caller(t, "approver", "", issuertest.All(domain.PermApprove))
	token := s.Token(t, approver)
	require.Equal(t, []map[string]any{c}, s.call(t, token, http.MethodGet, "/v1/cancellation-reviews", nil).items(t))
	require.Empty(t, s.call(t, s.admin, http.MethodGet, "/v1/cancellation-reviews", nil).items(t), "asked for by themself")
	require.Empty(t, s.call(t, token, http.MethodGet, "/v1/reviews", nil).items(t), "that list is of requests")
	approved := s.call(t, token, http.MethodPost, path+"/approve", map[string]any{"reason": "seen the report"}).object(t, http.StatusOK)
	require.Equal(t, "approved", approved["state"])
	require.Equal(t, []any{approver.AccountID, "seen the report"}, []any{text(t, approved, "decision", "by"), text(t, approved, "decision", "reason")})
	require.Equal(t, "canceled", s.call(t, s.admin, http.MethodGet, document, nil).object(t, http.StatusOK)["state"])

	other := s.Token(t, s.Caller(t, "other-approver", "", issuertest.All(domain.PermApprove, domain.PermCancel)))
	s.changesNothing(t, func() {
		p := s.call(t, other, http.MethodPost, path+"/reject", map[string]any{"reason": "late"}).refused(t, domain.CodeAlreadyDecided)
		require.Equal(t, "approved", p.Details["decision"])
		require.Equal(t, approver.AccountID, p.Details["decided_by"])
		require.Equal(t, text(t, approved, "decision", "at")[:19], p.Details["decided_at"][:19])
		s.call(t, other, http.MethodPost, path+"/withdraw", map[string]any{}).refused(t, domain.CodeWrongState)
		s.call(t, other, http.MethodPost, document+"/request-cancel", map[string]any{"reason": "lost"}).refused(t, domain.CodeWrongState)
	})
	var actions []any
	for _, e := range s.call(t, s.admin, http.MethodGet, document+"/history", nil).items(t) {
		actions = append(actions, e["action"])
	}
	require.Equal(t, []any{"cancellation.create", "cancellation.begin", "cancellation.approve", "document.cancel"}, actions[len(actions)-4:])
}

func TestCancellationRejectedAndWithdrawn(t *testing.T) {
	s := newServer(t)
	d := s.Issue(t, s.Person(t).ID, s.Profile(t, "guarded", withGuardedCancel).ID)
	approver := s.Token(t, s.Caller(t, "approver", "", issuertest.All(domain.PermApprove)))
	ask := func() string {
		c := s.call(t, s.admin, http.MethodPost, "/v1/documents/"+d.ID+"/request-cancel", map[string]any{"reason": "lost"})
		return text(t, c.object(t, http.StatusCreated), "id")
	}
	ids := func(query string) []any {
		out := []any{}
		for _, c := range s.call(t, s.admin, http.MethodGet, "/v1/cancellations"+query, nil).items(t) {
			out = append(out, c["id"])
		}
		return out
	}
	first := ask()
	rejected := s.call(t, approver, http.MethodPost, "/v1/cancellations/"+first+"/reject", map[string]any{"reason": "no proof"}).
		object(t, http.StatusOK)
	require.Equal(t, []string{"rejected", "no proof"}, []string{text(t, rejected, "state"), text(t, rejected, "decision", "reason")})
	second := ask()
	withdrawn := s.call(t, s.admin, http.MethodPost, "/v1/cancellations/"+second+"/withdraw", map[string]any{"reason": "found again"}).
		object(t, http.StatusOK)
	require.Equal(t, "withdrawn", withdrawn["state"])
	require.NotContains(t, withdrawn, "decision")
	third := ask()
	require.Equal(t, "active", s.call(t, s.admin, http.MethodGet, "/v1/documents/"+d.ID, nil).object(t, http.StatusOK)["state"])

	require.Equal(t, []any{third, second, first}, ids(""))
	require.Equal(t, []any{third, second, first}, ids("?document_id="+d.ID))
	require.Equal(t, []any{first}, ids("?state=rejected"))
	require.Equal(t, []any{second}, ids("?limit=1&after="+third))
	require.Empty(t, ids("?document_id="+nobody))
	s.call(t, s.admin, http.MethodGet, "/v1/cancellations?state=failed", nil).refused(t, domain.CodeInvalid)
}

func TestBadCancellations(t *testing.T) {
	s := newServer(t)
	person := s.Person(t)
	guarded, plain := s.Issue(t, person.ID, s.Profile(t, "guarded", withGuardedCancel).ID), s.Issue(t, person.ID, s.Profile(t, "plain").ID)
	c := s.call(t, s.admin, http.MethodPost, "/v1/documents/"+guarded.ID+"/request-cancel", map[string]any{"reason": "lost"}).
		object(t, http.StatusCreated)
	path := "/v1/cancellations/" + text(t, c, "id")
	for name, call := range map[string]struct {
		path string
		body map[string]any
		code domain.Code
	}{
		"no reason":          {"/v1/documents/" + guarded.ID + "/request-cancel", map[string]any{}, domain.CodeInvalid},
		"unknown reason":     {"/v1/documents/" + guarded.ID + "/request-cancel", map[string]any{"reason": "boredom"}, domain.CodeInvalid},
		"not needed":         {"/v1/documents/" + plain.ID + "/request-cancel", map[string]any{"reason": "lost"}, domain.CodeWrongState},
		"reject unexplained": {path + "/reject", map[string]any{}, domain.CodeInvalid},
		"long reason":        {path + "/withdraw", map[string]any{"reason": strings.Repeat("a", 1001)}, domain.CodeInvalid},
		"unknown member":     {path + "/approve", map[string]any{"profile_id": "p"}, domain.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() { s.call(t, s.admin, http.MethodPost, call.path, call.body).refused(t, call.code) })
		})
	}
}
