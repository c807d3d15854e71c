package scenarios_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/verifier"
)

// A1: a person is created, read, changed, found by any field, and imported.
func TestA1People(t *testing.T) {
	s := enter(t)
	group := unique("Office")
	s.admin.post(t, "/v1/groups", object{"name": group})
	name := unique("p")
	person := s.person(t, with{"external_id": name, "logon_name": name + ".logon", "given_name": "Jürgen", "family_name": "Ölmann-" + name, "group": group,
		"email": name + "@holder.example", "birth_date": "1971-02-03", "external_mobile_id": "device-" + name, "max_expiry": "2031-01-01"})
	p := s.admin.get(t, "/v1/people/"+person)
	require.Equal(t, group, p["group"])
	require.Equal(t, true, p["has_portrait"])

	found := func(search object) []string {
		var ids []string
		for _, one := range itemsOf(s.admin.post(t, "/v1/people/search", search)) {
			ids = append(ids, id(t, one))
		}
		return ids
	}
	for field, value := range (object{"id": person, "external_id": name, "logon_name": strings.ToUpper(name) + ".LOGON", "family_name": "ölmann-" + name,
		"email": strings.ToUpper(name) + "@holder.example", "mobile": p["mobile"], "group": group,
		"external_mobile_id": "device-" + name}) {
		require.Equal(t, []string{person}, found(object{field: value}), field)
	}
	require.Equal(t, []string{person}, found(object{"family_name": "ölmann-" + name[:5] + "*", "given_name": "JÜRGEN", "birth_date": "1971-02-03",
		"status": "active", "max_expiry_until": "2031-01-01", "external_id": name}))
	require.Empty(t, found(object{"external_id": name, "status": "inactive"}))

	change := object{"given_name": "Jürgen", "family_name": "Neu", "external_id": name, "version": p["version"]}
	changed := s.admin.put(t, "/v1/people/"+person, change)
	require.Equal(t, "Neu", changed["family_name"])
	require.Equal(t, "active", changed["status"])
	s.admin.refused(t, domain.CodeConflict, http.MethodPut, "/v1/people/"+person, change)
	problem := s.admin.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/people", object{"given_name": "", "family_name": "x", "email": "no address",
		"mobile": "12", "birth_date": "yesterday", "group": "No/Such"})
	require.Subset(t, problem.fields, []string{"given_name", "email", "mobile", "birth_date"})
	s.admin.refused(t, domain.CodeConflict, http.MethodPost, "/v1/people", object{"given_name": "A", "family_name": "B", "external_id": name})

	for form, file := range map[string]string{
		"text/csv":             "external_id,given_name,family_name,group,portrait,attribute.sex\n" + name + "-1,Ada,B," + group + "," + base64Portrait() + ",2\n" + name + "-2,,B,,,\n",
		"application/json":     `[{"external_id":"` + name + `-3","given_name":"Ada","family_name":"B","attributes":{"sex":2}},{"given_name":"x"}]`,
		"application/x-ndjson": `{"external_id":"` + name + `-4","given_name":"Ada","family_name":"B"}` + "\n" + `{"external_id":"` + name + `-5","given_name":"","family_name":"B"}`,
	} {
		answer, err := s.admin.Send(t.Context(), http.MethodPost, "/v1/people/import", form, strings.NewReader(file))
		require.NoError(t, err, form)
		var results []any
		var summary object
		for _, line := range lines(t, answer) {
			if line["summary"] != nil {
				summary = line["summary"].(object)
			} else if line["result"] != nil {
				results = append(results, line["result"])
			}
		}
		require.Equal(t, []any{"created", "refused"}, results, form)
		require.EqualValues(t, 1, summary["created"], form)
		require.EqualValues(t, 1, summary["refused"], form)
	}
	require.Len(t, found(object{"external_id": name + "-*"}), 3, "good rows went in")
}

// A2: groups are a tree; people belong to one.
func TestA2Groups(t *testing.T) {
	s := enter(t)
	name := unique("Division")
	division := id(t, s.admin.post(t, "/v1/groups", object{"name": name}))
	left := id(t, s.admin.post(t, "/v1/groups", object{"name": "Left", "parent_id": division}))
	right := id(t, s.admin.post(t, "/v1/groups", object{"name": "Right", "parent_id": division}))
	leaf := s.admin.post(t, "/v1/groups", object{"name": "Leaf", "parent_id": left})
	require.Equal(t, name+"/Left/Leaf", leaf["path"])
	person := s.person(t, with{"group": name + "/Left/Leaf"})

	moved := s.admin.call(t, http.MethodPatch, "/v1/groups/"+left, object{"parent_id": right, "name": "Links", "version": 1})
	require.Equal(t, name+"/Right/Links", moved["path"])
	require.Equal(t, name+"/Right/Links/Leaf", s.admin.get(t, "/v1/people/"+person)["group"], "what is below moves along")
	s.admin.refused(t, domain.CodeInvalid, http.MethodPatch, "/v1/groups/"+right, object{"parent_id": left, "version": 1})
	s.admin.refused(t, domain.CodeConflict, http.MethodPatch, "/v1/groups/"+left, object{"name": "x", "version": 1})
	s.admin.refused(t, domain.CodeConflict, http.MethodPost, "/v1/groups", object{"name": "Right", "parent_id": division})
	s.admin.refused(t, domain.CodeNotEmpty, http.MethodDelete, "/v1/groups/"+id(t, leaf), nil)
	people := itemsOf(s.admin.post(t, "/v1/people/search", object{"group": name, "groups_below": true}))
	require.Len(t, people, 1)
	require.Empty(t, itemsOf(s.admin.post(t, "/v1/people/search", object{"group": name})))
}

// A3: data are approved by their own call and the approval ends when identity data change.
func TestA3DataApproval(t *testing.T) {
	s := enter(t)
	vetter := s.account(t, "", all(domain.PermPeopleApprove))
	person := s.person(t)
	path := "/v1/people/" + person
	s.admin.refused(t, domain.CodeInvalid, http.MethodPost, path+"/approve-data", object{"vetted_on": "2999-01-01"})
	_, approves := s.operators(t)
	approves.refused(t, domain.CodeForbidden, http.MethodPost, path+"/approve-data", object{"vetted_on": "2026-01-01"})
	vetter.post(t, path+"/approve-data", object{"vetted_on": "2026-01-01", "notes": "passport seen"})
	p := s.admin.get(t, path)
	require.Equal(t, "2026-01-01", p["data_approval"].(object)["vetted_on"])
	body := func(p object, changes object) object {
		out := object{"version": p["version"]}
		for _, f := range []string{"external_id", "given_name", "family_name", "email", "mobile", "birth_date", "attributes"} {
			out[f] = p[f]
		}
		return merged(out, []with{changes})
	}
	p = s.admin.put(t, path, body(p, object{"email": unique("new") + "@holder.example"}))
	require.NotNil(t, p["data_approval"], "an address is no identity data")
	p = s.admin.put(t, path, body(p, object{"family_name": "Other"}))
	require.Nil(t, p["data_approval"])
	vetter.post(t, path+"/approve-data", object{"vetted_on": "2026-02-01"})
	vetter.post(t, path+"/withdraw-data-approval", object{"reason": "forged"})
	require.Nil(t, s.admin.get(t, path)["data_approval"])

	// Nobody approves their own data.
	own := s.account(t, person, all(domain.PermPeopleApprove))
	own.refused(t, domain.CodeSelfApproval, http.MethodPost, path+"/approve-data", object{"vetted_on": "2026-01-01"})

	// And a profile may demand it.
	profile := s.profile(t, with{"require_data_approved": true})
	asks, _ := s.operators(t)
	asks.refused(t, domain.CodeDataNotApproved, http.MethodPost, "/v1/requests", object{"person_id": person, "profile_id": profile})
	vetter.post(t, path+"/approve-data", object{"vetted_on": "2026-01-01"})
	asks.ask(t, person, profile)
}

// A4: deactivating disables documents, activating enables just those, erasing ends everything and leaves no personal data.
func TestA4Deactivation(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	badge := s.profile(t, with{"format": "staff-badge", "display_name": "Badge"})
	person := s.person(t)
	first, bytes := s.issue(t, person, badge)
	other := s.profile(t, with{"format": "staff-badge", "display_name": "Other badge"})
	request := asks.ask(t, person, other)
	holder := s.holder(t, person)
	link, code := holder.reads(t, 2)
	second := func() string {
		holder.collectsWith(t, link, code)
		return text(t, asks.get(t, "/v1/requests/"+request), "document_id")
	}()
	asks.post(t, "/v1/documents/"+second+"/disable", object{"reason": "lost"})

	answer := s.admin.post(t, "/v1/people/"+person+"/deactivate", object{"reason": "left"})
	require.EqualValues(t, 1, answer["documents"])
	require.Equal(t, "disabled", s.state(t, first))
	until(t, "verifiers are told", func() bool { return s.checks(t, bytes) == verifier.StatusSuspended })
	asks.refused(t, domain.CodePersonInactive, http.MethodPost, "/v1/requests", object{"person_id": person, "profile_id": badge})
	s.admin.refused(t, domain.CodeWrongState, http.MethodPost, "/v1/people/"+person+"/deactivate", object{"reason": "left"})

	s.admin.post(t, "/v1/people/"+person+"/activate", object{})
	require.Equal(t, "active", s.state(t, first))
	require.Equal(t, "disabled", s.state(t, second), "an operator disabled this one")

	s.admin.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/people/"+person+"/erase", object{"reason": "withdrawn", "confirm": "yes"})
	open := asks.ask(t, person, badge)
	asks.waits(t, open, domain.RequestAwaitingCollection)
	done := s.admin.post(t, "/v1/people/"+person+"/erase", object{"reason": "withdrawn", "confirm": person})
	require.EqualValues(t, 2, done["documents"])
	s.admin.refused(t, domain.CodeNotFound, http.MethodGet, "/v1/people/"+person, nil)
	require.Equal(t, "canceled", s.state(t, first))
	asks.waits(t, open, domain.RequestCanceled)
	history := s.admin.items(t, "/v1/documents/"+first+"/history")
	require.NotEmpty(t, history, "what was done stays on record")
	require.NotContains(t, text(t, history[0], "actor"), "holder.example")
	require.Equal(t, true, s.admin.get(t, "/v1/audit/verification")["intact"])
	until(t, "verifiers are told", func() bool { return s.checks(t, bytes) == verifier.StatusInvalid })
}
