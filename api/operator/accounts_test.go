package operator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func (s *server) signIn(t testing.TB, name, password string) answer {
	t.Helper()
	return s.call(t, "", http.MethodPost, "/v1/sessions", map[string]any{"name": name, "password": password})
}

func TestSessions(t *testing.T) {
	s := newServer(t)
	session := s.signIn(t, issuertest.AdminName, issuertest.AdminPassword).object(t, http.StatusCreated)
	token := text(t, session, "token")
	ends, err := time.Parse(time.RFC3339, text(t, session, "expires_at"))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(8*time.Hour), ends, time.Minute)

	me := s.call(t, token, http.MethodGet, "/v1/me", nil).object(t, http.StatusOK)
	require.Equal(t, s.Admin().AccountID, me["account_id"])
	require.Equal(t, false, me["machine"])
	require.Len(t, me["grants"], len(domain.Permissions()))

	require.Equal(t, http.StatusNoContent, s.call(t, token, http.MethodDelete, "/v1/sessions/current", nil).status)
	s.call(t, token, http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)
	s.call(t, s.admin, http.MethodDelete, "/v1/sessions/current", nil).refused(t, domain.CodeWrongState)
}

func TestSignInFailuresLookTheSameAndLock(t *testing.T) {
	s := newServer(t)
	unknown := s.signIn(t, "nobody", "correct horse battery staple").refused(t, domain.CodeUnauthenticated)
	wrong := s.signIn(t, issuertest.AdminName, "wrong horse battery staple").refused(t, domain.CodeUnauthenticated)
	require.Equal(t, unknown.Detail, wrong.Detail)
	var locked answer
	for range 4 {
		locked = s.signIn(t, issuertest.AdminName, "wrong horse battery staple")
	}
	locked.refused(t, domain.CodeSignInLocked)
	require.NotEmpty(t, locked.header.Get("Retry-After"))
	s.signIn(t, issuertest.AdminName, issuertest.AdminPassword).refused(t, domain.CodeSignInLocked)
	s.Clock.Advance(16 * time.Minute)
	s.signIn(t, issuertest.AdminName, issuertest.AdminPassword).object(t, http.StatusCreated)
}

func TestSignInsFromOneAddressAreLimited(t *testing.T) {
	s := newServer(t)
	var last answer
	for range 61 {
		// Too long to be worth a hash, so this is quick.
		last = s.signIn(t, "nobody", strings.Repeat("a", 1024))
	}
	last.refused(t, domain.CodeRateLimited)
	require.NotEmpty(t, last.header.Get("Retry-After"))
}

func TestAccountLife(t *testing.T) {
	s := newServer(t)
	person := s.Person(t)
	a := s.call(t, s.admin, http.MethodPost, "/v1/accounts", map[string]any{"name": "op1", "email": "op1@issuer.example",
		"person_id": person.ID,
		"password":  "a long enough password"})
	account := a.object(t, http.StatusCreated)
	id := text(t, account, "id")
	require.Equal(t, "/v1/accounts/"+id, a.header.Get("Location"))
	require.Equal(t, map[string]any{"id": id, "name": "op1", "email": "op1@issuer.example", "person_id": person.ID, "disabled": false},
		account)

	role := s.call(t, s.admin, http.MethodPost, "/v1/roles", map[string]any{"name": "readers", "permissions": []string{"people_read"}}).
		object(t, http.StatusCreated)
	withRoles := s.call(t, s.admin, http.MethodPut, "/v1/accounts/"+id+"/roles",
		map[string]any{"roles": []any{map[string]any{"role_id": role["id"], "scope": "self"}}}).object(t, http.StatusOK)
	require.Equal(t, []any{map[string]any{"role_id": role["id"], "scope": "self"}}, withRoles["roles"])
	require.Equal(t, withRoles, s.call(t, s.admin, http.MethodGet, "/v1/accounts/"+id, nil).object(t, http.StatusOK))

	token := text(t, s.signIn(t, "op1", "a long enough password").object(t, http.StatusCreated), "token")
	require.Len(t, s.call(t, token, http.MethodGet, "/v1/people", nil).items(t), 1)

	// A new password ends the sessions.
	s.call(t, s.admin, http.MethodPatch, "/v1/accounts/"+id, map[string]any{"password": "another long password"}).object(t, http.StatusOK)
	s.call(t, token, http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)
	token = text(t, s.signIn(t, "op1", "another long password").object(t, http.StatusCreated), "token")

	// So does disabling, which also stops API keys.
	key := s.call(t, s.admin, http.MethodPost, "/v1/accounts/"+id+"/api-keys", map[string]any{"label": "laptop"}).object(t, http.StatusCreated)
	s.call(t, text(t, key, "secret"), http.MethodGet, "/v1/me", nil).object(t, http.StatusOK)
	s.call(t, s.admin, http.MethodPatch, "/v1/accounts/"+id, map[string]any{"disabled": true}).object(t, http.StatusOK)
	s.call(t, token, http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)
	s.call(t, text(t, key, "secret"), http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)
	s.call(t, s.admin, http.MethodPatch, "/v1/accounts/"+id, map[string]any{"disabled": false}).object(t, http.StatusOK)
	s.call(t, token, http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)

	listed := s.call(t, s.admin, http.MethodGet, "/v1/accounts/"+id+"/api-keys", nil).items(t)
	require.Len(t, listed, 1)
	require.NotContains(t, listed[0], "secret")
	require.Equal(t, http.StatusNoContent, s.call(t, s.admin, http.MethodDelete, "/v1/accounts/"+id+"/api-keys/"+text(t, key, "id"),
		nil).status)
	s.call(t, text(t, key, "secret"), http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)

	var names []any
	for _, a := range s.call(t, s.admin, http.MethodGet, "/v1/accounts", nil).items(t) {
		names = append(names, a["name"])
	}
	require.Equal(t, []any{"op1", "admin"}, names)
}

func TestAPIKeyExpires(t *testing.T) {
	s := newServer(t)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	key := s.call(t, s.admin, http.MethodPost, "/v1/accounts/"+s.Admin().AccountID+"/api-keys",
		map[string]any{"label": "short", "expires_at": until.Format(time.RFC3339)}).object(t, http.StatusCreated)
	require.Equal(t, until.Format(time.RFC3339), key["expires_at"])
	s.call(t, text(t, key, "secret"), http.MethodGet, "/v1/me", nil).object(t, http.StatusOK)
	s.Clock.Advance(2 * time.Hour)
	s.call(t, text(t, key, "secret"), http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)
}

func TestRoles(t *testing.T) {
	s := newServer(t)
	role := s.call(t, s.admin, http.MethodPost, "/v1/roles", map[string]any{"name": "clerks", "permissions": []string{"request", "approve"}}).
		object(t, http.StatusCreated)
	body := map[string]any{"name": "clerks", "permissions": []string{"audit"}, "version": role["version"]}
	changed := s.call(t, s.admin, http.MethodPut, "/v1/roles/"+text(t, role, "id"), body).object(t, http.StatusOK)
	stale := s.call(t, s.admin, http.MethodPut, "/v1/roles/"+text(t, role, "id"), body).refused(t, domain.CodeConflict)
	require.Equal(t, changed["version"], stale.Details["version"])
	delete(body, "version")
	s.call(t, s.admin, http.MethodPut, "/v1/roles/"+text(t, role, "id"), body).refused(t, domain.CodeInvalid)
	require.Equal(t, []any{"audit"}, changed["permissions"])
	require.Contains(t, s.call(t, s.admin, http.MethodGet, "/v1/roles", nil).items(t), changed)
}

func TestBadAccountsAndRoles(t *testing.T) {
	s := newServer(t)
	admin := "/v1/accounts/" + s.Admin().AccountID
	for name, c := range map[string]struct {
		method, path string
		body         map[string]any
		code         domain.Code
		field        string
	}{
		"name missing": {http.MethodPost, "/v1/accounts", map[string]any{}, domain.CodeInvalid, "name"},
		"name form":    {http.MethodPost, "/v1/accounts", map[string]any{"name": "No Spaces"}, domain.CodeInvalid, "name"},
		"name taken":   {http.MethodPost, "/v1/accounts", map[string]any{"name": "admin"}, domain.CodeConflict, ""},
		"e-mail":       {http.MethodPost, "/v1/accounts", map[string]any{"name": "x1", "email": "no address"}, domain.CodeInvalid, "email"},
		"nobody": {http.MethodPost, "/v1/accounts", map[string]any{"name": "x1", "person_id": nobody}, domain.CodeInvalid,
			"person_id"},
		"short password": {http.MethodPost, "/v1/accounts", map[string]any{"name": "x1", "password": "short"}, domain.CodeInvalid,
			"password"},
		"change: e-mail":   {http.MethodPatch, admin, map[string]any{"email": "no address"}, domain.CodeInvalid, "email"},
		"change: password": {http.MethodPatch, admin, map[string]any{"password": "short"}, domain.CodeInvalid, "password"},
		"disable oneself":  {http.MethodPatch, admin, map[string]any{"disabled": true}, domain.CodeInvalid, "disabled"},
		"change: name":     {http.MethodPatch, admin, map[string]any{"name": "other"}, domain.CodeInvalid, "name"},
		"roles missing":    {http.MethodPut, admin + "/roles", map[string]any{}, domain.CodeInvalid, "roles"},
		"roles null":       {http.MethodPut, admin + "/roles", map[string]any{"roles": nil}, domain.CodeInvalid, "roles"},
		"unknown role": {http.MethodPut, admin + "/roles", map[string]any{"roles": []any{map[string]any{"role_id": nobody,
			"scope": "all"}}}, domain.CodeInvalid, "role_id"},
		"unknown scope": {http.MethodPut, admin + "/roles", map[string]any{"roles": []any{map[string]any{"role_id": nobody,
			"scope": "planet"}}}, domain.CodeInvalid, "roles[0].scope"},
		"key without label": {http.MethodPost, admin + "/api-keys", map[string]any{"label": ""}, domain.CodeInvalid, "label"},
		"key in the past": {http.MethodPost, admin + "/api-keys", map[string]any{"label": "a", "expires_at": "2020-01-01T00:00:00Z"},
			domain.CodeInvalid, "expires_at"},
		"key at no time": {http.MethodPost, admin + "/api-keys", map[string]any{"label": "a", "expires_at": "tomorrow"},
			domain.CodeInvalid, "expires_at"},
		"role name": {http.MethodPost, "/v1/roles", map[string]any{"name": "!", "permissions": []string{}}, domain.CodeInvalid, "name"},
		"role name taken": {http.MethodPost, "/v1/roles", map[string]any{"name": "administrator", "permissions": []string{}},
			domain.CodeConflict, ""},
		"unknown permission": {http.MethodPost, "/v1/roles", map[string]any{"name": "r1", "permissions": []string{"fly"}}, domain.CodeInvalid,
			"permissions[0]"},
		"no permissions":   {http.MethodPost, "/v1/roles", map[string]any{"name": "r1"}, domain.CodeInvalid, "permissions"},
		"sign-in, no name": {http.MethodPost, "/v1/sessions", map[string]any{"password": "x"}, domain.CodeInvalid, "name"},
		"sign-in, more": {http.MethodPost, "/v1/sessions", map[string]any{"name": "x", "password": "x", "otp": "1"}, domain.CodeInvalid,
			"otp"},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				p := s.call(t, s.admin, c.method, c.path, c.body).refused(t, c.code)
				if c.field != "" {
					require.Equal(t, c.field, p.Errors[0].Field)
				}
			})
		})
	}
}
