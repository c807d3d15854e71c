package operator_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// groupSamples has a good call for every operation on groups.
func (s *server) groupSamples(t testing.TB, out map[string]sample) {
	t.Helper()
	add := func(id, method, thing string, body any, needs domain.Permission, also ...domain.Permission) {
		out[id] = sample{method: method, path: "/v1/groups/" + thing, unknown: "/v1/groups/" + nobody, body: body, needs: needs, also: also}
	}
	out["create-group"] = sample{method: http.MethodPost, path: "/v1/groups", body: map[string]any{"name": "Fresh"}, needs: domain.PermGroups}
	out["list-groups"] = sample{method: http.MethodGet, path: "/v1/groups", needs: domain.PermPeopleRead, also: []domain.Permission{domain.PermGroups}}
	add("get-group", http.MethodGet, s.Group(t, "Sample").ID, nil, domain.PermPeopleRead, domain.PermGroups)
	add("change-group", http.MethodPatch, s.Group(t, "Sample/Change").ID, map[string]any{"name": "Changed", "version": 1}, domain.PermGroups)
	add("delete-group", http.MethodDelete, s.Group(t, "Sample/Delete").ID, nil, domain.PermGroups)
}

func TestGroups(t *testing.T) { onBoth(t, testGroups) }

func testGroups(t *testing.T, s *server) {
	a := s.call(t, s.admin, http.MethodPost, "/v1/groups", map[string]any{"name": "Division"}, "Idempotency-Key", "g1")
	division := a.object(t, http.StatusCreated)
	id := text(t, division, "id")
	require.Equal(t, "/v1/groups/"+id, a.header.Get("Location"))
	require.NotContains(t, division, "parent_id")
	require.Equal(t, division, s.call(t, s.admin, http.MethodPost, "/v1/groups", map[string]any{"name": "Division"}, "Idempotency-Key", "g1").
		object(t, http.StatusCreated))
	s.call(t, s.admin, http.MethodPost, "/v1/groups", map[string]any{"name": "Other"}, "Idempotency-Key", "g1").
		refused(t, domain.CodeIdempotencyReused)
	department := s.call(t, s.admin, http.MethodPost, "/v1/groups", map[string]any{"name": "Department", "parent_id": id}).
		object(t, http.StatusCreated)
	require.Equal(t, "Division/Department", department["path"])
	person := s.call(t, s.admin, http.MethodPost, "/v1/people", map[string]any{"given_name": "A", "family_name": "B",
		"group": "Division/Department"}).object(t, http.StatusCreated)
	require.Equal(t, department["id"], person["group_id"])

	listed := s.call(t, s.admin, http.MethodGet, "/v1/groups?sizes=true", nil).items(t)
	require.Equal(t, "Division", listed[0]["path"])
	require.Equal(t, 0.0, listed[0]["people"])
	require.Equal(t, "Division/Department", listed[1]["path"])
	require.Equal(t, 1.0, listed[1]["people"])
	require.NotContains(t, s.call(t, s.admin, http.MethodGet, "/v1/groups", nil).items(t)[0], "people")

	moved := s.call(t, s.admin, http.MethodPatch, "/v1/groups/"+text(t, department, "id"), map[string]any{"name": "Office", "parent_id": "",
		"version": 1}).object(t, http.StatusOK)
	require.Equal(t, "Office", moved["path"])
	require.Equal(t, 2.0, moved["version"])
	require.Equal(t, moved, s.call(t, s.admin, http.MethodGet, "/v1/groups/"+text(t, department, "id"), nil).object(t, http.StatusOK))
	require.Equal(t, "Office", s.call(t, s.admin, http.MethodGet, "/v1/people/"+text(t, person, "id"), nil).object(t, http.StatusOK)["group"])

	s.changesNothing(t, func() {
		for name, c := range map[string]struct {
			method, path string
			body         any
			code         domain.Code
			field        string
		}{
			"no name":           {http.MethodPost, "/v1/groups", map[string]any{}, domain.CodeInvalid, "name"},
			"empty name":        {http.MethodPost, "/v1/groups", map[string]any{"name": ""}, domain.CodeInvalid, "name"},
			"long name":         {http.MethodPost, "/v1/groups", map[string]any{"name": strings.Repeat("a", 151)}, domain.CodeInvalid, "name"},
			"path as name":      {http.MethodPost, "/v1/groups", map[string]any{"name": "a/b"}, domain.CodeInvalid, "name"},
			"no such parent":    {http.MethodPost, "/v1/groups", map[string]any{"name": "a", "parent_id": nobody}, domain.CodeInvalid, "parent_id"},
			"taken":             {http.MethodPost, "/v1/groups", map[string]any{"name": "Division"}, domain.CodeConflict, ""},
			"unknown member":    {http.MethodPost, "/v1/groups", map[string]any{"name": "a", "path": "b"}, domain.CodeInvalid, "path"},
			"change nothing of": {http.MethodPatch, "/v1/groups/" + id, map[string]any{"name": "x"}, domain.CodeInvalid, "version"},
			"stale":             {http.MethodPatch, "/v1/groups/" + id, map[string]any{"name": "x", "version": 9}, domain.CodeConflict, ""},
			"below itself":      {http.MethodPatch, "/v1/groups/" + id, map[string]any{"parent_id": id, "version": 1}, domain.CodeInvalid, "parent_id"},
			"change nobody":     {http.MethodPatch, "/v1/groups/" + nobody, map[string]any{"name": "x", "version": 1}, domain.CodeNotFound, ""},
			"not empty":         {http.MethodDelete, "/v1/groups/" + text(t, department, "id"), nil, domain.CodeNotEmpty, ""},
			"delete nothing":    {http.MethodDelete, "/v1/groups/" + nobody, nil, domain.CodeNotFound, ""},
			"sizes":             {http.MethodGet, "/v1/groups?sizes=many", nil, domain.CodeInvalid, "sizes"},
		} {
			t.Run(name, func(t *testing.T) {
				p := s.call(t, s.admin, c.method, c.path, c.body).refused(t, c.code)
				if c.field != "" {
					require.Equal(t, c.field, p.Errors[0].Field)
				}
				if name == "stale" {
					require.Equal(t, "1", p.Details["version"])
				}
			})
		}
	})
	a = s.call(t, s.admin, http.MethodDelete, "/v1/groups/"+id, nil)
	require.Equal(t, http.StatusNoContent, a.status, string(a.body))
	s.call(t, s.admin, http.MethodGet, "/v1/groups/"+id, nil).refused(t, domain.CodeNotFound)

	narrow := s.Caller(t, "narrow", s.Person(t).ID, issuertest.Grants{domain.PermPeopleRead: domain.ScopeDepartment})
	seen := s.call(t, s.Token(t, narrow), http.MethodGet, "/v1/groups", nil).items(t)
	require.Len(t, seen, 1)
	require.Equal(t, issuertest.PersonGroup, seen[0]["path"])
}
