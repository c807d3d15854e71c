package scenarios_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
)

// B8: logon codes follow the rules of the settings and open self-service; I4: too many wrong ones lock the code.
func TestB8I4LogonCodes(t *testing.T) {
	s := enter(t)
	role := id(t, s.admin.post(t, "/v1/roles", object{"name": unique("holder"), "permissions": []string{"request_self", "collect"}}))
	settings := s.admin.get(t, "/v1/settings")
	settings["self_service_role"] = role
	s.admin.put(t, "/v1/settings", settings)

	asks, _ := s.operators(t)
	person := s.person(t, with{"logon_name": unique("logon")})
	logonName := text(t, s.admin.get(t, "/v1/people/"+person), "logon_name")
	shown := asks.post(t, "/v1/people/"+person+"/logon-code", object{"kind": "complex", "deliver": "screen"})
	rule, err := domain.ParseLogonCodeRule(text(t, settings, "logon_code_complex"))
	require.NoError(t, err)
	require.True(t, rule.Matches(text(t, shown, "code")))

	signIn := func(name, code string) (string, error) {
		var session struct {
			Token string `json:"token"`
		}
		err := client.New(s.url, "").Do(t.Context(), http.MethodPost, "/v1/sessions", object{"logon_name": name, "logon_code": code}, &session)
		return session.Token, err
	}
	token, err := signIn(logonName, text(t, shown, "code"))
	require.NoError(t, err)
	me := &party{s.admin.As(token), "holder"}
	require.Equal(t, person, me.get(t, "/v1/me")["person_id"])
	me.post(t, "/v1/me/requests", object{"profile_id": s.profile(t)})
	me.refused(t, domain.CodeForbidden, http.MethodGet, "/v1/people/"+person, nil)

	// A profile may have a code made and sent when its document can be collected.
	other := s.person(t, with{"logon_name": unique("logon")})
	asks.ask(t, other, s.profile(t, with{"logon_code": "simple", "notification_scheme": "code_by_email"}))
	until(t, "a logon code is sent", func() bool {
		sent := s.admin.items(t, "/v1/notifications?kind=logon_code&state=sent&person_id="+other)
		return len(sent) == 1
	})

	for range 6 {
		_, err = signIn(logonName, "wrong-code!")
		require.Error(t, err)
	}
	_, err = signIn(logonName, text(t, shown, "code"))
	require.Error(t, err, "locked")
	again := asks.post(t, "/v1/people/"+person+"/logon-code", object{"kind": "simple", "deliver": "screen"})
	_, err = signIn(logonName, text(t, again, "code"))
	require.NoError(t, err, "a new code opens again")

	// Sign-ins of accounts lock likewise.
	name, password := unique("clerk"), unique("a long password")
	s.admin.post(t, "/v1/accounts", object{"name": name, "password": password})
	open := func(password string) error {
		return client.New(s.url, "").Do(t.Context(), http.MethodPost, "/v1/sessions", object{"name": name, "password": password}, nil)
	}
	require.NoError(t, open(password))
	for range 5 {
		require.Error(t, open("wrong password"))
	}
	require.Equal(t, string(domain.CodeSignInLocked), client.CodeOf(open(password)))
}

// I1: nothing is granted by default; every permission opens what it names and nothing else.
func TestI1Permissions(t *testing.T) {
	s := enter(t)
	nobody := s.account(t, "", nil)
	person, profile := s.person(t), s.profile(t)
	for method, paths := range map[string][]string{http.MethodGet: {"/v1/people", "/v1/people/" + person, "/v1/profiles", "/v1/requests", "/v1/documents",
		"/v1/settings", "/v1/audit", "/v1/roles", "/v1/groups", "/v1/notifications", "/v1/templates", "/v1/reviews"},
		http.MethodPost: {"/v1/people/" + person + "/deactivate", "/v1/people/" + person + "/approve-data"}} {
		for _, path := range paths {
			in := any(nil)
			if method == http.MethodPost {
				in = object{"reason": "left", "vetted_on": "2026-01-01"}
			}
			nobody.refused(t, domain.CodeForbidden, method, path, dropped(path, in))
		}
	}
	nobody.refused(t, domain.CodeForbidden, http.MethodPost, "/v1/requests", object{"person_id": person, "profile_id": profile})
	reader := s.account(t, "", all(domain.PermPeopleRead))
	reader.get(t, "/v1/people/"+person)
	reader.refused(t, domain.CodeForbidden, http.MethodPost, "/v1/people", object{"given_name": "A", "family_name": "B"})
}

// dropped gives the body that fits the path.
func dropped(path string, in any) any {
	o, ok := in.(object)
	if !ok {
		return nil
	}
	if path[len(path)-4:] == "data" {
		return object{"vetted_on": o["vetted_on"]}
	}
	return object{"reason": o["reason"]}
}

// I2: department and division reach their part of the tree in lists, searches, reports and acts; what is outside looks as if it did not exist.
func TestI2Scopes(t *testing.T) {
	s := enter(t)
	top := unique("Division")
	division := id(t, s.admin.post(t, "/v1/groups", object{"name": top}))
	for _, name := range []string{"A", "B"} {
		s.admin.post(t, "/v1/groups", object{"name": name, "parent_id": division})
	}
	boss, clerk := s.person(t, with{"group": top}), s.person(t, with{"group": top + "/A"})
	inA, inB, outside := s.person(t, with{"group": top + "/A"}), s.person(t, with{"group": top + "/B"}), s.person(t)
	rights := []domain.Permission{domain.PermPeopleRead, domain.PermPeopleWrite, domain.PermRequest, domain.PermDocumentsRead, domain.PermReports,
		domain.PermCancel}
	people := []string{boss, clerk, inA, inB, outside}
	profile := s.profile(t, with{"format": "staff-badge"})
	documents, requests := map[string]string{}, map[string]string{}
	for _, p := range people {
		documents[p], _ = s.issue(t, p, profile)
		requests[p] = text(t, s.admin.get(t, "/v1/documents/"+documents[p]), "request_id")
	}
	for name, c := range map[string]struct {
		of    string
		scope domain.Scope
		sees  []string
	}{
		"self":              {clerk, domain.ScopeSelf, []string{clerk}},
		"department":        {clerk, domain.ScopeDepartment, []string{clerk, inA}},
		"division":          {boss, domain.ScopeDivision, []string{boss, clerk, inA, inB}},
		"department at top": {boss, domain.ScopeDepartment, []string{boss}},
	} {
		t.Run(name, func(t *testing.T) {
			who := s.account(t, c.of, in(c.scope, rights...))
			var listed, searched, documented, requested, notified []string
			for _, p := range who.items(t, "/v1/people?limit=500") {
				listed = append(listed, id(t, p))
			}
			for _, p := range itemsOf(who.post(t, "/v1/people/search", object{"limit": 500})) {
				searched = append(searched, id(t, p))
			}
			for _, d := range who.items(t, "/v1/documents?limit=500") {
				documented = append(documented, text(t, d, "person_id"))
			}
			for _, r := range who.items(t, "/v1/requests?limit=500") {
				requested = append(requested, text(t, r, "person_id"))
			}
			for _, m := range who.items(t, "/v1/notifications?kind=collection_link&limit=500") {
				notified = append(notified, text(t, m, "person_id"))
			}
			for what, got := range map[string][]string{"people": listed, "search": searched, "documents": documented, "requests": requested,
				"notifications": notified} {
				require.ElementsMatch(t, c.sees, got, what)
			}
			sees := map[string]bool{}
			for _, p := range c.sees {
				sees[p] = true
			}
			for _, p := range people {
				if sees[p] {
					who.get(t, "/v1/people/"+p)
					who.get(t, "/v1/documents/"+documents[p])
					who.get(t, "/v1/requests/"+requests[p])
					continue
				}
				none := who.refused(t, domain.CodeNotFound, http.MethodGet, "/v1/people/nobody-at-all", nil)
				for path, in := range map[string]any{"/v1/people/" + p: nil, "/v1/documents/" + documents[p]: nil, "/v1/requests/" + requests[p]: nil} {
					who.refused(t, domain.CodeNotFound, http.MethodGet, path, in)
				}
				hidden := who.refused(t, domain.CodeNotFound, http.MethodGet, "/v1/people/"+p, nil)
				require.Equal(t, none.detail, hidden.detail, "nothing tells them apart")
				who.refused(t, domain.CodeNotFound, http.MethodPost, "/v1/documents/"+documents[p]+"/cancel", object{"reason": "lost"})
				who.refused(t, domain.CodeNotFound, http.MethodPost, "/v1/requests", object{"person_id": p, "profile_id": profile})
				who.refused(t, domain.CodeNotFound, http.MethodPost, "/v1/people/"+p+"/deactivate", object{"reason": "left"})
				require.Equal(t, "active", s.state(t, documents[p]))
			}
		})
	}
}

// I3: accounts with passwords and API keys; a key acts until it is revoked.
func TestI3AccountsAndKeys(t *testing.T) {
	s := enter(t)
	name, password := unique("clerk"), unique("a long password")
	account := id(t, s.admin.post(t, "/v1/accounts", object{"name": name, "password": password}))
	var session struct {
		Token string `json:"token"`
	}
	require.NoError(t, client.New(s.url, "").Do(t.Context(), http.MethodPost, "/v1/sessions", object{"name": name, "password": password}, &session))
	clerk := &party{s.admin.As(session.Token), name}
	require.Equal(t, name, clerk.get(t, "/v1/me")["account_name"])
	key := s.admin.post(t, "/v1/accounts/"+account+"/api-keys", object{"label": "machine"})
	machine := &party{s.admin.As(text(t, key, "secret")), name}
	require.Equal(t, true, machine.get(t, "/v1/me")["machine"])
	require.NoError(t, s.admin.Do(t.Context(), http.MethodDelete, "/v1/accounts/"+account+"/api-keys/"+id(t, key), nil, nil))
	machine.refused(t, domain.CodeUnauthenticated, http.MethodGet, "/v1/me", nil)
	s.admin.call(t, http.MethodPatch, "/v1/accounts/"+account, object{"disabled": true})
	clerk.refused(t, domain.CodeUnauthenticated, http.MethodGet, "/v1/me", nil)
}

// Self-service: what a holder can get, ask for, follow, cancel, has, and reports lost.
func TestSelfService(t *testing.T) {
	s := enter(t)
	person, other := s.person(t), s.person(t)
	me := s.account(t, person, in(domain.ScopeSelf, domain.PermRequestSelf, domain.PermCollect))
	profile := s.profile(t, with{"format": "staff-badge"})
	canceled := id(t, me.post(t, "/v1/me/requests", object{"profile_id": profile}))
	me.post(t, "/v1/me/requests/"+canceled+"/cancel", nil)
	require.Equal(t, "canceled", me.get(t, "/v1/me/requests/"+canceled)["state"])
	request := id(t, me.post(t, "/v1/me/requests", object{"profile_id": profile}))
	holder := s.holder(t, person)
	until(t, "it can be collected", func() bool { return me.get(t, "/v1/me/requests/"+request)["state"] == "awaiting_collection" })
	qr := me.get(t, "/v1/me/requests/"+request+"/qr")
	holder.collectsWith(t, text(t, qr, "link"), text(t, qr, "code"))
	require.Equal(t, "issued", me.get(t, "/v1/me/requests/"+request)["state"])
	mine := me.items(t, "/v1/me/documents")
	require.Len(t, mine, 1)
	theirs, _ := s.issue(t, other, profile)
	me.refused(t, domain.CodeNotFound, http.MethodPost, "/v1/me/documents/"+theirs+"/report-lost", object{"reason": "lost"})
	me.post(t, "/v1/me/documents/"+id(t, mine[0])+"/report-lost", object{"reason": "lost", "notes": "on the train"})
	require.Equal(t, "canceled", s.state(t, id(t, mine[0])))
	require.Equal(t, "active", s.state(t, theirs))

	s.admin.post(t, "/v1/people/"+person+"/deactivate", object{"reason": "left"})
	err := me.Do(t.Context(), http.MethodPost, "/v1/me/requests", object{"profile_id": profile}, nil)
	require.Contains(t, []string{string(domain.CodePersonInactive), string(domain.CodeUnauthenticated)}, client.CodeOf(err))
}
