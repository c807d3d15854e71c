package operator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// standingSamples has a good call for every act on a person beside their data.
func (s *server) standingSamples(t testing.TB, out map[string]sample) {
	t.Helper()
	add := func(id, person, rest string, body any, needs domain.Permission) {
		out[id] = sample{method: http.MethodPost, path: "/v1/people/" + person + rest, unknown: "/v1/people/" + nobody + rest, body: body, needs: needs}
	}
	admin := s.Admin()
	inactive, approved, erased := s.Person(t), s.Person(t), s.Person(t)
	_, _, err := s.Issuer.DeactivatePerson(t.Context(), admin, inactive.ID, domain.ReasonLeft, "")
	require.NoError(t, err)
	_, err = s.Issuer.ApprovePersonData(t.Context(), admin, approved.ID, issuer.Vetting{VettedOn: "2026-01-02"})
	require.NoError(t, err)
	add("approve-person-data", s.Person(t).ID, "/approve-data", map[string]any{"vetted_on": "2026-01-02"}, domain.PermPeopleApprove)
	add("withdraw-person-data-approval", approved.ID, "/withdraw-data-approval", map[string]any{"reason": "forged"}, domain.PermPeopleApprove)
	add("deactivate-person", s.Person(t).ID, "/deactivate", map[string]any{"reason": "left"}, domain.PermPeopleWrite)
	add("activate-person", inactive.ID, "/activate", map[string]any{}, domain.PermPeopleWrite)
	add("erase-person", erased.ID, "/erase", map[string]any{"reason": "left", "confirm": erased.ID}, domain.PermPeopleWrite)
}

func TestApprovalOfData(t *testing.T) { onBoth(t, testApprovalOfData) }

func testApprovalOfData(t *testing.T, s *server) {
	person := s.Person(t)
	path := "/v1/people/" + person.ID
	approver := s.Caller(t, "approver", "", issuertest.All(domain.PermPeopleApprove))
	token := s.Token(t, approver)
	got := s.call(t, token, http.MethodPost, path+"/approve-data", map[string]any{"vetted_on": "2026-01-02", "notes": "passport",
		"version": person.Version}).object(t, http.StatusOK)
	require.Equal(t, map[string]any{"by": approver.AccountID, "vetted_on": "2026-01-02"}, without(got["data_approval"], "at"))
	for member := range got {
		require.Contains(t, []string{"id", "status", "version", "data_approval"}, member, "no personal data without people_read")
	}
	read := s.call(t, s.admin, http.MethodGet, path, nil).object(t, http.StatusOK)
	require.Equal(t, got["data_approval"], read["data_approval"])
	require.Len(t, s.call(t, s.admin, http.MethodGet, "/v1/people?data_approved=true", nil).items(t), 1)
	require.Empty(t, s.call(t, s.admin, http.MethodGet, "/v1/people?data_approved=false", nil).items(t))

	self := s.Token(t, s.Caller(t, "self", person.ID, issuertest.All(domain.PermPeopleApprove)))
	s.changesNothing(t, func() {
		for name, c := range map[string]struct {
			token, rest string
			body        map[string]any
			code        domain.Code
			field       string
		}{
			"own data":       {self, "/approve-data", map[string]any{"vetted_on": "2026-01-02"}, domain.CodeSelfApproval, ""},
			"no day":         {token, "/approve-data", map[string]any{}, domain.CodeInvalid, "vetted_on"},
			"empty day":      {token, "/approve-data", map[string]any{"vetted_on": ""}, domain.CodeInvalid, "vetted_on"},
			"not a day":      {token, "/approve-data", map[string]any{"vetted_on": "today"}, domain.CodeInvalid, "vetted_on"},
			"future":         {token, "/approve-data", map[string]any{"vetted_on": time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)}, domain.CodeInvalid, "vetted_on"},
			"long notes":     {token, "/approve-data", map[string]any{"vetted_on": "2026-01-02", "notes": strings.Repeat("n", 2001)}, domain.CodeInvalid, "notes"},
			"stale":          {token, "/approve-data", map[string]any{"vetted_on": "2026-01-02", "version": person.Version}, domain.CodeConflict, ""},
			"no reason":      {token, "/withdraw-data-approval", map[string]any{}, domain.CodeInvalid, "reason"},
			"empty reason":   {token, "/withdraw-data-approval", map[string]any{"reason": ""}, domain.CodeInvalid, "reason"},
			"unknown member": {token, "/withdraw-data-approval", map[string]any{"reason": "x", "why": "y"}, domain.CodeInvalid, "why"},
		} {
			t.Run(name, func(t *testing.T) {
				p := s.call(t, c.token, http.MethodPost, path+c.rest, c.body).refused(t, c.code)
				if c.field != "" {
					require.Equal(t, c.field, p.Errors[0].Field)
				}
			})
		}
	})
	got = s.call(t, token, http.MethodPost, path+"/withdraw-data-approval", map[string]any{"reason": "forged"}).object(t, http.StatusOK)
	require.NotContains(t, got, "data_approval")
	s.call(t, token, http.MethodPost, path+"/withdraw-data-approval", map[string]any{"reason": "again"}).refused(t, domain.CodeWrongState)
}

// without gives an object less one member.
func without(object any, member string) map[string]any {
	out := map[string]any{}
	if members, ok := object.(map[string]any); ok {
		for name, value := range members {
			if name != member {
				out[name] = value
			}
		}
	}
	return out
}

func TestStatusAndErasing(t *testing.T) { onBoth(t, testStatusAndErasing) }

func testStatusAndErasing(t *testing.T, s *server) {
	person, profile := s.Person(t), s.Profile(t, "mdl")
	d := s.Issue(t, person.ID, profile.ID)
	path := "/v1/people/" + person.ID
	got := s.call(t, s.admin, http.MethodPost, path+"/deactivate", map[string]any{"reason": "left", "notes": "n"}).object(t, http.StatusOK)
	require.Equal(t, "inactive", got["status"])
	require.Equal(t, 1.0, got["documents"])
	require.NotContains(t, got, "given_name")
	require.Equal(t, "disabled", s.call(t, s.admin, http.MethodGet, "/v1/documents/"+d.ID, nil).object(t, http.StatusOK)["state"])
	// A change that leaves the status out does not let anybody in again.
	read := s.call(t, s.admin, http.MethodGet, path, nil).object(t, http.StatusOK)
	changed := s.call(t, s.admin, http.MethodPut, path, map[string]any{"given_name": "A", "family_name": "B", "version": read["version"]}).
		object(t, http.StatusOK)
	require.Equal(t, "inactive", changed["status"])
	got = s.call(t, s.admin, http.MethodPost, path+"/activate", map[string]any{"notes": "back"}).object(t, http.StatusOK)
	require.Equal(t, "active", got["status"])
	require.Equal(t, "active", s.call(t, s.admin, http.MethodGet, "/v1/documents/"+d.ID, nil).object(t, http.StatusOK)["state"])

	person = s.Person(t)
	path = "/v1/people/" + person.ID
	account, err := s.Issuer.CreateAccount(t.Context(), s.Admin(), "", issuer.NewAccount{Name: "holder", PersonID: person.ID,
		Password: issuertest.AdminPassword})
	require.NoError(t, err)
	signedIn, err := s.Access.SignIn(t.Context(), "holder", issuertest.AdminPassword)
	require.NoError(t, err)
	s.call(t, signedIn.Token, http.MethodGet, "/v1/me", nil).object(t, http.StatusOK)
	s.changesNothing(t, func() {
		for name, c := range map[string]struct {
			rest  string
			body  map[string]any
			code  domain.Code
			field string
		}{
			"deactivate without reason": {"/deactivate", map[string]any{}, domain.CodeInvalid, "reason"},
			"deactivate, odd reason":    {"/deactivate", map[string]any{"reason": "because"}, domain.CodeInvalid, "reason"},
			"activate the active":       {"/activate", map[string]any{}, domain.CodeWrongState, ""},
			"activate with reason":      {"/activate", map[string]any{"reason": "left"}, domain.CodeInvalid, "reason"},
			"erase without reason":      {"/erase", map[string]any{"confirm": person.ID}, domain.CodeInvalid, "reason"},
			"erase unconfirmed":         {"/erase", map[string]any{"reason": "left"}, domain.CodeInvalid, "confirm"},
			"erase somebody else":       {"/erase", map[string]any{"reason": "left", "confirm": nobody}, domain.CodeInvalid, "confirm"},
			"erase, long notes": {"/erase", map[string]any{"reason": "left", "confirm": person.ID, "notes": strings.Repeat("n", 2001)},
				domain.CodeInvalid, "notes"},
		} {
			t.Run(name, func(t *testing.T) {
				p := s.call(t, s.admin, http.MethodPost, path+c.rest, c.body).refused(t, c.code)
				if c.field != "" {
					require.Equal(t, c.field, p.Errors[0].Field)
				}
			})
		}
	})
	s.Engine.SetDown(true)
	s.call(t, s.admin, http.MethodPost, "/v1/requests", map[string]any{"person_id": person.ID, "profile_id": profile.ID}).
		object(t, http.StatusCreated)
	body := map[string]any{"reason": "left", "confirm": person.ID}
	s.call(t, s.admin, http.MethodPost, path+"/erase", body).refused(t, domain.CodeEngineUnavailable)
	s.call(t, signedIn.Token, http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)
	s.call(t, s.admin, http.MethodGet, path, nil).refused(t, domain.CodeNotFound)
	s.Engine.SetDown(false)
	done := s.call(t, s.admin, http.MethodPost, path+"/erase", body).object(t, http.StatusOK)
	require.Equal(t, map[string]any{"id": person.ID, "documents": 0.0, "requests": 1.0, "accounts": 1.0}, done)
	require.Empty(t, s.call(t, s.admin, http.MethodPost, "/v1/people/search", map[string]any{"id": person.ID}).items(t))
	login, err := s.Store.AccountByName(t.Context(), "retired-"+account.ID)
	require.NoError(t, err)
	require.True(t, login.Account.Disabled)
}
