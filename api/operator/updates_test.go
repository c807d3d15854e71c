package operator_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func TestUpdateDocument(t *testing.T) { onBoth(t, testUpdateDocument) }

func testUpdateDocument(t *testing.T, s *server) {
	person, profile := s.Person(t), s.Profile(t, "mdl")
	d := s.Issue(t, person.ID, profile.ID)
	document := "/v1/documents/" + d.ID
	clerk := s.Caller(t, "clerk", "", issuertest.All(domain.PermUpdate))
	token := s.Token(t, clerk)
	ask := func(body map[string]any, header ...string) answer {
		return s.call(t, token, http.MethodPost, document+"/update", body, header...)
	}
	for name, body := range map[string]map[string]any{"no reason": {}, "another reason": {"reason": "lost"}, "another profile": {
		"reason": "reprovision", "profile_id": s.Profile(t, "other").ID}, "unknown member": {"reason": "reprovision", "x": 1}} {
		t.Run(name, func(t *testing.T) { s.changesNothing(t, func() { ask(body).refused(t, domain.CodeInvalid) }) })
	}

	good := map[string]any{"reason": "reprovision", "notes": "married", "profile_id": profile.ID}
	a := ask(good, "Idempotency-Key", "k1")
	r := a.object(t, http.StatusCreated)
	path := "/v1/requests/" + text(t, r, "id")
	require.Equal(t, path, a.header.Get("Location"))
	require.Equal(t, []any{"update", d.ID, "awaiting_collection", profile.ID, person.ID, clerk.AccountID},
		[]any{r["kind"], r["replaces"], r["state"], r["profile_id"], r["person_id"], r["requested_by"]})
	require.Equal(t, r, ask(good, "Idempotency-Key", "k1").object(t, http.StatusCreated), "repeated")
	require.Equal(t, r, s.call(t, token, http.MethodGet, path, nil).object(t, http.StatusOK))
	require.Equal(t, []map[string]any{r}, s.call(t, token, http.MethodGet, "/v1/requests?state=awaiting_collection", nil).items(t))
	messages := s.call(t, token, http.MethodGet, path+"/messages", nil).items(t)
	require.Len(t, messages, 1)
	require.Equal(t, "reprovision", messages[0]["kind"])

	s.changesNothing(t, func() {
		p := ask(good).refused(t, domain.CodeConflict)
		require.Equal(t, map[string]string{"request_id": text(t, r, "id")}, p.Details)
		s.call(t, s.admin, http.MethodPost, path+"/code", nil).refused(t, domain.CodeWrongState)
	})
	acts := s.call(t, s.admin, http.MethodGet, document, nil).object(t, http.StatusOK)["allowed_actions"].([]any)
	require.Equal(t, map[string]any{"act": "update", "allowed": false, "code": "conflict", "why": "an update of the document is under way"},
		acts[len(acts)-1])
	sent := s.call(t, token, http.MethodPost, path+"/resend", nil).object(t, http.StatusOK)
	require.EqualValues(t, 2, sent["generation"])
	ended := s.call(t, token, http.MethodPost, path+"/cancel", map[string]any{"reason": "by mistake"}).object(t, http.StatusOK)
	require.Equal(t, "canceled", ended["state"])

	plain := s.call(t, s.admin, http.MethodPost, "/v1/requests", map[string]any{"person_id": person.ID, "profile_id": profile.ID}).
		object(t, http.StatusCreated)
	require.Equal(t, "issue", plain["kind"])
	require.NotContains(t, plain, "replaces")
	s.changesNothing(t, func() {
		s.call(t, token, http.MethodPost, "/v1/requests/"+text(t, plain, "id")+"/cancel", map[string]any{}).refused(t, domain.CodeForbidden)
		s.call(t, token, http.MethodPost, "/v1/requests/"+text(t, plain, "id")+"/resend", nil).refused(t, domain.CodeForbidden)
	})
	s.call(t, s.admin, http.MethodPost, document+"/disable", map[string]any{"reason": "lost"}).object(t, http.StatusOK)
	s.changesNothing(t, func() {
		p := ask(good).refused(t, domain.CodeWrongState)
		require.Equal(t, map[string]string{"state": "disabled"}, p.Details)
	})
}
