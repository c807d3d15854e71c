package operator_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api"
	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// sample is a good call of one operation; the path has an id that exists where it takes one.
type sample struct {
	method, path string
	body         any
	header       []string
	unknown      string              // the same path with an id that does not exist; empty = it takes none
	open         bool                // needs no permission
	needs        domain.Permission   // the permission that alone opens it
	also         []domain.Permission // further ones that do
	person       string              // the caller's own person, where the operation is about that
}

const nobody = "01890000-0000-7000-8000-000000000000"

// samples has a good call for every operation but sign-in.
func (s *server) samples(t testing.TB) map[string]sample {
	t.Helper()
	person := s.Person(t)
	profile := s.Profile(t, "sample")
	approved := s.Profile(t, "sample-approved", func(o *domain.ProfileOptions) { o.ValidateIssuance = true })
	account := s.Caller(t, "sample-account", "", issuertest.Grants{})
	requester := s.Token(t, s.Caller(t, "sample-requester", "", issuertest.All(domain.PermRequest)))
	ask := func(profileID string) string {
		return text(t, s.call(t, requester, http.MethodPost, "/v1/requests", map[string]any{"person_id": person.ID, "profile_id": profileID}).
			object(t, http.StatusCreated), "id")
	}
	made := s.call(t, s.admin, http.MethodPost, "/v1/roles", map[string]any{"name": "sample-role", "permissions": []string{"audit"}}).
		object(t, http.StatusCreated)
	role := text(t, made, "id")
	key := text(t, s.call(t, s.admin, http.MethodPost, "/v1/accounts/"+account.AccountID+"/api-keys", map[string]any{"label": "sample"}).
		object(t, http.StatusOK+1), "id")
	toCancel, toDisable, toEnable := s.Issue(t, person.ID, profile.ID), s.Issue(t, person.ID, profile.ID), s.Issue(t, person.ID, profile.ID)
	s.call(t, s.admin, http.MethodPost, "/v1/documents/"+toEnable.ID+"/disable", map[string]any{"reason": "lost"}).object(t, http.StatusOK)
	guarded := s.Profile(t, "sample-guarded", func(o *domain.ProfileOptions) { o.ValidateCancellation = true })
	toRequestCancel := s.Issue(t, person.ID, guarded.ID)
	wish := func() string {
		return text(t, s.call(t, s.admin, http.MethodPost, "/v1/documents/"+s.Issue(t, person.ID, guarded.ID).ID+"/request-cancel",
			map[string]any{"reason": "lost"}).object(t, http.StatusCreated), "id")
	}
	inBatch := map[string]any{"operation": "disable", "documents": []string{s.Issue(t, person.ID, profile.ID).ID}, "reason": "lost"}
	batch := text(t, s.call(t, s.admin, http.MethodPost, "/v1/batches", map[string]any{"operation": "request", "people": []string{person.ID},
		"profile_id": approved.ID}).object(t, http.StatusCreated), "id")
	settings := s.call(t, s.admin, http.MethodGet, "/v1/settings", nil).object(t, http.StatusOK)
	of := func(path, id, rest string) (string, string) { return path + id + rest, path + nobody + rest }

	out := map[string]sample{
		"sign-out":       {method: http.MethodDelete, path: "/v1/sessions/current", open: true},
		"me":             {method: http.MethodGet, path: "/v1/me", open: true},
		"create-account": {method: http.MethodPost, path: "/v1/accounts", body: map[string]any{"name": "fresh"}, needs: domain.PermRoles},
		"list-accounts":  {method: http.MethodGet, path: "/v1/accounts", needs: domain.PermRoles},
		"create-role": {method: http.MethodPost, path: "/v1/roles", body: map[string]any{"name": "fresh", "permissions": []string{}},
			needs: domain.PermRoles},
		"list-roles":    {method: http.MethodGet, path: "/v1/roles", needs: domain.PermRoles},
		"create-person": {method: http.MethodPost, path: "/v1/people", body: personBody(), needs: domain.PermPeopleWrite},
		"list-people":   {method: http.MethodGet, path: "/v1/people", needs: domain.PermPeopleRead},
		"search-people": {method: http.MethodPost, path: "/v1/people/search", body: map[string]any{}, needs: domain.PermPeopleRead},
		"import-people": {method: http.MethodPost, path: "/v1/people/import", body: "given_name,family_name\nA,B\n",
			header: []string{"Content-Type", "text/csv"}, needs: domain.PermPeopleWrite},
		"create-profile": {method: http.MethodPost, path: "/v1/profiles", body: profileBody("fresh"), needs: domain.PermProfilesWrite},
		"list-profiles":  {method: http.MethodGet, path: "/v1/profiles", needs: domain.PermProfilesRead},
		"list-formats":   {method: http.MethodGet, path: "/v1/formats", needs: domain.PermProfilesRead},
		"create-request": {method: http.MethodPost, path: "/v1/requests", body: map[string]any{"person_id": person.ID,
			"profile_id": profile.ID}, needs: domain.PermRequest},
		"preview-request": {method: http.MethodPost, path: "/v1/requests/preview", body: map[string]any{"person_id": person.ID,
			"profile_id": profile.ID}, needs: domain.PermRequest},
		"list-requests": {method: http.MethodGet, path: "/v1/requests", needs: domain.PermRequest,
			also: []domain.Permission{domain.PermApprove, domain.PermUpdate, domain.PermRequestSelf}},
		"list-reviews":   {method: http.MethodGet, path: "/v1/reviews", needs: domain.PermApprove},
		"list-documents": {method: http.MethodGet, path: "/v1/documents", needs: domain.PermDocumentsRead},
		"list-cancellations": {method: http.MethodGet, path: "/v1/cancellations", needs: domain.PermCancel,
			also: []domain.Permission{domain.PermApprove}},
		"list-cancellation-reviews": {method: http.MethodGet, path: "/v1/cancellation-reviews", needs: domain.PermApprove},
		"preview-batch":             {method: http.MethodPost, path: "/v1/batches/preview", body: inBatch, needs: domain.PermDisable},
		"create-batch":              {method: http.MethodPost, path: "/v1/batches", body: inBatch, needs: domain.PermDisable},
		"list-batches": {method: http.MethodGet, path: "/v1/batches", needs: domain.PermReports,
			also: []domain.Permission{domain.PermRequest, domain.PermDisable, domain.PermCancel}},
		"get-settings":    {method: http.MethodGet, path: "/v1/settings", needs: domain.PermSettings},
		"change-settings": {method: http.MethodPut, path: "/v1/settings", body: settings, needs: domain.PermSettings},
		"preview-format": {method: http.MethodPost, path: "/v1/formats/preview", body: map[string]any{"format_id": "photo-id"},
			needs: domain.PermProfilesRead},
		"list-notifications": {method: http.MethodGet, path: "/v1/notifications", needs: domain.PermReports},
		"list-templates":     {method: http.MethodGet, path: "/v1/templates", needs: domain.PermSettings},
		"preview-message": {method: http.MethodPost, path: "/v1/templates/preview", body: map[string]any{"kind": "cancellation"},
			needs: domain.PermSettings},
		"list-reports": {method: http.MethodGet, path: "/v1/reports", needs: domain.PermReports},
		"read-report":  {method: http.MethodGet, path: "/v1/reports/documents", unknown: "/v1/reports/nothing", needs: domain.PermReports},
		"list-audit":   {method: http.MethodGet, path: "/v1/audit", needs: domain.PermAudit},
		"verify-audit": {method: http.MethodGet, path: "/v1/audit/verification", needs: domain.PermAudit},
	}
	add := func(id, method, path, thing, rest string, body any, needs domain.Permission, also ...domain.Permission) {
		known, unknown := of(path, thing, rest)
		out[id] = sample{method: method, path: known, unknown: unknown, body: body, needs: needs, also: also}
	}
	get, post, put := http.MethodGet, http.MethodPost, http.MethodPut
	add("get-account", get, "/v1/accounts/", account.AccountID, "", nil, domain.PermRoles)
	add("change-account", http.MethodPatch, "/v1/accounts/", account.AccountID, "", map[string]any{"email": "new@issuer.example"},
		domain.PermRoles)
	add("assign-roles", put, "/v1/accounts/", account.AccountID, "/roles", map[string]any{"roles": []any{}}, domain.PermRoles)
	add("create-api-key", post, "/v1/accounts/", account.AccountID, "/api-keys", map[string]any{"label": "fresh"}, domain.PermRoles)
	add("list-api-keys", get, "/v1/accounts/", account.AccountID, "/api-keys", nil, domain.PermRoles)
	add("revoke-api-key", http.MethodDelete, "/v1/accounts/"+account.AccountID+"/api-keys/", key, "", nil, domain.PermRoles)
	add("change-role", put, "/v1/roles/", role, "", map[string]any{"name": "sample-role", "permissions": []string{"audit"},
		"version": made["version"]}, domain.PermRoles)
	add("get-person", get, "/v1/people/", person.ID, "", nil, domain.PermPeopleRead)
	body := personBody()
	toChange := s.Person(t)
	body["version"] = toChange.Version
	add("change-person", put, "/v1/people/", toChange.ID, "", body, domain.PermPeopleWrite)
	add("put-image", put, "/v1/people/", person.ID, "/images/signature", issuertest.Portrait(), domain.PermPeopleWrite)
	image := out["put-image"]
	image.header = []string{"Content-Type", "image/jpeg"}
	out["put-image"] = image
	add("get-image", get, "/v1/people/", person.ID, "/images/portrait", nil, domain.PermPeopleRead)
	add("get-profile", get, "/v1/profiles/", profile.ID, "", nil, domain.PermProfilesRead)
	change := profileBody("")
	delete(change, "name")
	change["version"] = 1
	add("change-profile", put, "/v1/profiles/", profile.ID, "", change, domain.PermProfilesWrite)
	add("list-profile-versions", get, "/v1/profiles/", profile.ID, "/versions", nil, domain.PermProfilesRead)
	add("get-format", get, "/v1/formats/", "iso-mdl", "", nil, domain.PermProfilesRead)
	request := ask(profile.ID)
	seen := []domain.Permission{domain.PermApprove}
	add("get-request", get, "/v1/requests/", request, "", nil, domain.PermRequest, domain.PermApprove, domain.PermUpdate)
	add("get-request-timeline", get, "/v1/requests/", request, "/timeline", nil, domain.PermRequest, domain.PermApprove, domain.PermUpdate)
	add("list-request-messages", get, "/v1/requests/", request, "/messages", nil, domain.PermRequest, domain.PermApprove, domain.PermUpdate)
	add("approve-request", post, "/v1/requests/", ask(approved.ID), "/approve", map[string]any{}, domain.PermApprove)
	add("reject-request", post, "/v1/requests/", ask(approved.ID), "/reject", map[string]any{"reason": "no"}, domain.PermApprove)
	add("cancel-request", post, "/v1/requests/", ask(profile.ID), "/cancel", map[string]any{}, domain.PermRequest)
	add("resend-request", post, "/v1/requests/", ask(profile.ID), "/resend", nil, domain.PermRequest)
	add("view-code", post, "/v1/requests/", ask(profile.ID), "/code", nil, domain.PermViewCode)
	add("get-document", get, "/v1/documents/", toCancel.ID, "", nil, domain.PermDocumentsRead)
	add("get-document-history", get, "/v1/documents/", toCancel.ID, "/history", nil, domain.PermDocumentsRead)
	add("list-document-copies", get, "/v1/documents/", toCancel.ID, "/copies", nil, domain.PermDocumentsRead)
	add("disable-document", post, "/v1/documents/", toDisable.ID, "/disable", map[string]any{"reason": "lost"}, domain.PermDisable)
	add("enable-document", post, "/v1/documents/", toEnable.ID, "/enable", map[string]any{}, domain.PermDisable)
	add("cancel-document", post, "/v1/documents/", toCancel.ID, "/cancel", map[string]any{"reason": "stolen"}, domain.PermCancel)
	add("request-cancel-document", post, "/v1/documents/", toRequestCancel.ID, "/request-cancel", map[string]any{"reason": "stolen"},
		domain.PermCancel)
	add("update-document", post, "/v1/documents/", s.Issue(t, person.ID, profile.ID).ID, "/update", map[string]any{"reason": "reprovision"},
		domain.PermUpdate)
	add("get-batch", get, "/v1/batches/", batch, "", nil, domain.PermReports)
	add("list-batch-items", get, "/v1/batches/", batch, "/items", nil, domain.PermReports)
	add("download-batch-items", get, "/v1/batches/", batch, "/items.csv", nil, domain.PermReports)
	add("watch-batch", get, "/v1/batches/", batch, "/events", nil, domain.PermReports)
	add("get-cancellation", get, "/v1/cancellations/", wish(), "", nil, domain.PermCancel, seen...)
	add("approve-cancellation", post, "/v1/cancellations/", wish(), "/approve", map[string]any{}, domain.PermApprove)
	add("reject-cancellation", post, "/v1/cancellations/", wish(), "/reject", map[string]any{"reason": "no"}, domain.PermApprove)
	add("withdraw-cancellation", post, "/v1/cancellations/", wish(), "/withdraw", map[string]any{}, domain.PermCancel)
	s.selfServiceSamples(t, out)
	s.standingSamples(t, out)
	s.groupSamples(t, out)
	return out
}

// selfServiceSamples adds what people do for themselves, and the logon codes that let them.
func (s *server) selfServiceSamples(t testing.TB, out map[string]sample) {
	t.Helper()
	person := s.Person(t, func(p *domain.Person) { p.LogonName = "sample.holder" })
	profile := s.Profile(t, "sample-own")
	ask := func() string {
		return text(t, s.call(t, s.admin, http.MethodPost, "/v1/requests", map[string]any{"person_id": person.ID, "profile_id": profile.ID}).
			object(t, http.StatusCreated), "id")
	}
	own := func(id, method, path string, body any, needs domain.Permission) {
		out[id] = sample{method: method, path: "/v1/me" + path, body: body, needs: needs, person: person.ID}
	}
	own("list-my-profiles", http.MethodGet, "/profiles", nil, domain.PermRequestSelf)
	own("create-my-request", http.MethodPost, "/requests", map[string]any{"profile_id": profile.ID}, domain.PermRequestSelf)
	own("list-my-requests", http.MethodGet, "/requests", nil, domain.PermRequestSelf)
	own("get-my-request", http.MethodGet, "/requests/"+ask(), nil, domain.PermRequestSelf)
	own("cancel-my-request", http.MethodPost, "/requests/"+ask()+"/cancel", nil, domain.PermRequestSelf)
	own("get-my-request-qr", http.MethodGet, "/requests/"+ask()+"/qr", nil, domain.PermCollect)
	own("list-my-documents", http.MethodGet, "/documents", nil, domain.PermRequestSelf)
	own("report-my-document-lost", http.MethodPost, "/documents/"+s.Issue(t, person.ID, profile.ID).ID+"/report-lost",
		map[string]any{"reason": "lost"}, domain.PermRequestSelf)
	out["create-logon-code"] = sample{method: http.MethodPost, path: "/v1/people/" + person.ID + "/logon-code",
		unknown: "/v1/people/" + nobody + "/logon-code", body: map[string]any{"kind": "simple", "deliver": "email"}, needs: domain.PermRequest}
}

func personBody() map[string]any {
	return map[string]any{"given_name": "Ada", "family_name": "Beispiel", "email": "ada@holder.example", "birth_date": "1985-12-10"}
}

func profileBody(name string) map[string]any {
	return map[string]any{"name": name, "comment": "first", "options": map[string]any{"display_name": "Licence", "format": "iso-mdl",
		"notification_scheme": "code_by_email"}}
}

// operations reads the ids of all operations from the OpenAPI document.
func operations(t testing.TB) []string {
	t.Helper()
	document, err := api.Document()
	require.NoError(t, err)
	var d struct {
		Paths map[string]map[string]struct {
			OperationID string `yaml:"operationId"`
		}
	}
	require.NoError(t, yaml.Unmarshal(document, &d))
	var ids []string
	for _, methods := range d.Paths {
		for _, op := range methods {
			ids = append(ids, op.OperationID)
		}
	}
	slices.Sort(ids)
	return ids
}

func (s *server) sampleCall(t testing.TB, token string, c sample, path string) answer {
	t.Helper()
	return s.call(t, token, c.method, path, c.body, c.header...)
}

func TestPermissionMatrix(t *testing.T) { onBoth(t, testPermissionMatrix) }

func testPermissionMatrix(t *testing.T, s *server) {
	samples := s.samples(t)
	require.Equal(t, operations(t), sortedKeys(samples, "sign-in"), "every operation has a sample")

	none := s.Token(t, s.Caller(t, "without-any", "", issuertest.Grants{}))
	// Callers with every permission whose scope reaches somebody, but nobody of the samples: only themself, another department, another division.
	elsewhere := s.Group(t, "Elsewhere/Office")
	outside := map[domain.Scope]string{}
	for _, scope := range []domain.Scope{domain.ScopeSelf, domain.ScopeDepartment, domain.ScopeDivision} {
		who := s.Person(t, func(p *domain.Person) { p.Group = elsewhere.Path })
		outside[scope] = s.Token(t, s.Caller(t, "outside-"+string(scope), who.ID, everything(scope)))
	}
	for id, c := range samples {
		t.Run(id, func(t *testing.T) {
			s.changesNothing(t, func() {
				p := s.sampleCall(t, "", c, c.path)
				p.refused(t, domain.CodeUnauthenticated)
				require.Equal(t, "Bearer", p.header.Get("WWW-Authenticate"))
				s.sampleCall(t, "mdk_"+nobody+"_guess", c, c.path).refused(t, domain.CodeUnauthenticated)
				if c.open {
					return
				}
				s.sampleCall(t, none, c, c.path).refused(t, domain.CodeForbidden)
				if c.unknown != "" {
					s.sampleCall(t, s.admin, c, c.unknown).refused(t, domain.CodeNotFound)
				}
				if c.person != "" || !personal(c.needs) || groupInBody(id) {
					return
				}
				for scope, token := range outside {
					a := s.sampleCall(t, token, c, c.path)
					if c.unknown == "" {
						continue // a list, whose items are held to the scope below and in the scenarios
					}
					require.Contains(t, []int{http.StatusForbidden, http.StatusNotFound}, a.status, "%s: %s", scope, a.body)
					if a.status == http.StatusNotFound {
						require.Equal(t, s.sampleCall(t, token, c, c.unknown).object(t, http.StatusNotFound)["detail"],
							a.object(t, http.StatusNotFound)["detail"], "what is out of reach looks as if it did not exist")
					}
				}
			})
		})
	}
	for id, c := range samples {
		for i, p := range append([]domain.Permission{c.needs}, c.also...) {
			if c.open {
				continue
			}
			t.Run(fmt.Sprintf("%s with %s alone", id, p), func(t *testing.T) {
				token := s.Token(t, s.Caller(t, strings.ReplaceAll(fmt.Sprintf("%s-%d", id, i), "_", "-"), c.person, issuertest.All(p)))
				a := s.sampleCall(t, token, c, c.path)
				require.Less(t, a.status, 300, string(a.body))
				require.Equal(t, "no-store", a.header.Get("Cache-Control"))
			})
		}
	}
}

// everything gives every permission in one scope.
func everything(scope domain.Scope) issuertest.Grants {
	out := issuertest.Grants{}
	for _, p := range domain.Permissions() {
		out[p] = scope
	}
	return out
}

// personal says whether a permission is about people, so that scopes between none and all mean something.
func personal(p domain.Permission) bool {
	return slices.Contains([]domain.Permission{domain.PermRequest, domain.PermApprove, domain.PermViewCode, domain.PermCancel, domain.PermDisable,
		domain.PermUpdate, domain.PermDocumentsRead, domain.PermPeopleRead, domain.PermPeopleWrite, domain.PermPeopleApprove}, p)
}

// groupInBody: which group it is about, and so whom, is in the body or is a group of its own; what scopes mean then is tested with people and groups.
func groupInBody(id string) bool {
	return slices.Contains([]string{"create-person", "change-person", "import-people", "create-group", "get-group", "change-group", "delete-group"}, id)
}

// TestScopeMatrix lets callers do everything in the scope that reaches just the people of the samples, with the one permission it needs: what is
// about people works as in scope all, what is not is refused.
func TestScopeMatrix(t *testing.T) {
	for scope, group := range map[domain.Scope]string{domain.ScopeDepartment: issuertest.PersonGroup, domain.ScopeDivision: "Traffic"} {
		t.Run(string(scope), func(t *testing.T) {
			s := newServer(t)
			samples := s.samples(t)
			who := s.Person(t, func(p *domain.Person) { p.Group = group })
			for id, c := range samples {
				if c.open || c.person != "" || groupInBody(id) {
					continue
				}
				t.Run(id, func(t *testing.T) {
					token := s.Token(t, s.Caller(t, strings.ReplaceAll("in-"+id, "_", "-"), who.ID, issuertest.Grants{c.needs: scope}))
					a := s.sampleCall(t, token, c, c.path)
					if personal(c.needs) {
						require.Less(t, a.status, 300, string(a.body))
						return
					}
					if a.status >= 300 {
						require.Contains(t, []int{http.StatusForbidden, http.StatusNotFound}, a.status, string(a.body))
					}
				})
			}
		})
	}
}

func sortedKeys(samples map[string]sample, more ...string) []string {
	out := more
	for id := range samples {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

func TestBearerTokens(t *testing.T) {
	s := newServer(t)
	for name, header := range map[string]string{
		"none":         "",
		"basic":        "Basic YWRtaW46YWRtaW4=",
		"scheme alone": "Bearer",
		"empty":        "Bearer ",
		"not ours":     "Bearer abc",
		"no secret":    "Bearer mdk_" + nobody,
		"session":      "Bearer mds_unknown",
	} {
		t.Run(name, func(t *testing.T) {
			s.call(t, "", http.MethodGet, "/v1/me", nil, "Authorization", header).refused(t, domain.CodeUnauthenticated)
		})
	}
	s.call(t, "", http.MethodGet, "/v1/me", nil, "Authorization", "bearer "+s.admin).object(t, http.StatusOK)
}

func TestWhatNoOperationTakes(t *testing.T) { onBoth(t, testWhatNoOperationTakes) }

func testWhatNoOperationTakes(t *testing.T, s *server) {
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		code               domain.Code
	}{
		"no body":           {http.MethodPost, "/v1/people", "", nil, problem.CodeMalformed},
		"not JSON":          {http.MethodPost, "/v1/people", `{"given_name": "Erika`, nil, problem.CodeMalformed},
		"two values":        {http.MethodPost, "/v1/people", `{} {}`, nil, problem.CodeMalformed},
		"not UTF-8":         {http.MethodPost, "/v1/people", "{\"given_name\": \"\xff\"}", nil, problem.CodeMalformed},
		"NUL":               {http.MethodPost, "/v1/people", `{"given_name": "a\u0000b"}`, nil, problem.CodeMalformed},
		"NUL in path":       {http.MethodGet, "/v1/people/a%00b", "", nil, problem.CodeMalformed},
		"NUL in query":      {http.MethodGet, "/v1/documents?serial=%00", "", nil, problem.CodeMalformed},
		"not UTF-8 in path": {http.MethodGet, "/v1/people/%ff", "", nil, problem.CodeMalformed},
		"form": {http.MethodPost, "/v1/people", "given_name=a", []string{"Content-Type", "application/x-www-form-urlencoded"},
			problem.CodeUnsupportedMediaType},
		"text":           {http.MethodPost, "/v1/people", "{}", []string{"Content-Type", "text/plain"}, problem.CodeUnsupportedMediaType},
		"too large":      {http.MethodPost, "/v1/people", `{"given_name": "` + strings.Repeat("a", 3<<20) + `"}`, nil, problem.CodeTooLarge},
		"large for JSON": {http.MethodPost, "/v1/people", `{"given_name": "` + strings.Repeat("a", 1<<20) + `"}`, nil, problem.CodeTooLarge},
		"a list":         {http.MethodPost, "/v1/people", `[]`, nil, domain.CodeInvalid},
		"null":           {http.MethodPost, "/v1/people", `null`, nil, domain.CodeInvalid},
		"unknown member": {http.MethodPost, "/v1/people", `{"given_name": "a", "family_name": "b", "shoe_size": 4711}`, nil,
			domain.CodeInvalid},
		"other case":        {http.MethodPost, "/v1/people", `{"Given_Name": "a", "family_name": "b"}`, nil, domain.CodeInvalid},
		"unknown parameter": {http.MethodGet, "/v1/people?family_name=Mustermann", "", nil, domain.CodeInvalid},
		"limit not number":  {http.MethodGet, "/v1/people?limit=many", "", nil, domain.CodeInvalid},
		"limit too large":   {http.MethodGet, "/v1/people?limit=501", "", nil, domain.CodeInvalid},
		"limit zero":        {http.MethodGet, "/v1/people?limit=0", "", nil, domain.CodeInvalid},
		"after not an id":   {http.MethodGet, "/v1/people?after=x", "", nil, domain.CodeInvalid},
		"bad key": {http.MethodPost, "/v1/people", `{"given_name": "a", "family_name": "b"}`, []string{"Idempotency-Key", "a b"},
			domain.CodeInvalid},
		"bad key bytes": {http.MethodPost, "/v1/people", `{"given_name": "a", "family_name": "b"}`, []string{"Idempotency-Key", "\xff"},
			domain.CodeInvalid},
		"long id":        {http.MethodGet, "/v1/people/" + strings.Repeat("a", 65), "", nil, domain.CodeInvalid},
		"no such path":   {http.MethodGet, "/v1/nothing", "", nil, domain.CodeNotFound},
		"no such method": {http.MethodDelete, "/v1/people", "", nil, problem.CodeMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				var body any
				if c.body != "" {
					body = c.body
				}
				a := s.call(t, s.admin, c.method, c.path, body, c.header...)
				p := a.refused(t, c.code)
				for _, sent := range []string{"Erika", "Mustermann", "4711", "many"} {
					require.NotContains(t, string(a.body), sent)
				}
				if c.code == domain.CodeInvalid {
					require.NotEmpty(t, p.Errors)
				}
			})
		})
	}
}
