package operator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func TestDocumentLife(t *testing.T) {
	s := newServer(t)
	person, profile := s.Person(t), s.Profile(t, "mdl")
	issued := s.Issue(t, person.ID, profile.ID)
	path := "/v1/documents/" + issued.ID

	d := s.call(t, s.admin, http.MethodGet, path, nil).object(t, http.StatusOK)
	require.Equal(t, "active", d["state"])
	require.Equal(t, issued.Serial, d["serial"])
	require.Equal(t, "android", d["platform"])
	require.Equal(t, []any{
		map[string]any{"act": "disable", "allowed": true},
		map[string]any{"act": "enable", "allowed": false, "code": "wrong_state",
			"why": "the document is active, which does not allow to enable it"},
		map[string]any{"act": "cancel", "allowed": true},
		map[string]any{"act": "request_cancel", "allowed": false, "code": "wrong_state",
			"why": "the profile asks for no approval: the document can be canceled directly"},
		map[string]any{"act": "update", "allowed": true},
	}, d["allowed_actions"])

	copies := s.call(t, s.admin, http.MethodGet, path+"/copies", nil).items(t)
	require.Len(t, copies, 1)
	require.Len(t, copies[0]["key_thumbprint"], 43)
	require.Contains(t, copies[0]["status_list_uri"], "/status-lists/")
	require.Equal(t, true, copies[0]["kept"])

	act := func(name string, body map[string]any) answer {
		return s.call(t, s.admin, http.MethodPost, path+"/"+name, body)
	}
	require.Equal(t, "disabled", act("disable", map[string]any{"reason": "lost", "notes": "in the train"}).object(t, http.StatusOK)["state"])
	s.changesNothing(t, func() {
		p := act("disable", map[string]any{"reason": "lost"}).refused(t, domain.CodeWrongState)
		require.Equal(t, "disabled", p.Details["state"])
	})
	require.Equal(t, "active", act("enable", map[string]any{}).object(t, http.StatusOK)["state"])
	require.Equal(t, "canceled", act("cancel", map[string]any{"reason": "stolen"}).object(t, http.StatusOK)["state"])
	s.changesNothing(t, func() {
		act("cancel", map[string]any{"reason": "stolen"}).refused(t, domain.CodeWrongState)
		act("enable", map[string]any{}).refused(t, domain.CodeWrongState)
	})

	history := s.call(t, s.admin, http.MethodGet, path+"/history", nil).items(t)
	last := history[len(history)-1]
	require.Equal(t, "document.cancel", last["action"])
	require.Equal(t, "stolen", last["reason"])
	require.Equal(t, map[string]any{"state": map[string]any{"before": "active", "after": "canceled"}}, last["changes"])
	page := s.call(t, s.admin, http.MethodGet, path+"/history?limit=2", nil).object(t, http.StatusOK)
	require.Equal(t, history[1]["seq"], page["next"])
	require.Equal(t, history[2:], s.call(t, s.admin, http.MethodGet, fmt.Sprintf("%s/history?after=%.0f", path, page["next"]), nil).items(t))
	request := s.call(t, s.admin, http.MethodGet, "/v1/requests/"+issued.RequestID, nil).object(t, http.StatusOK)
	require.Equal(t, issued.ID, request["document_id"])
	require.Equal(t, "issued", request["state"])
}

func TestDocumentLists(t *testing.T) {
	s := newServer(t)
	one, other, profile := s.Person(t), s.Person(t), s.Profile(t, "mdl")
	first, second := s.Issue(t, one.ID, profile.ID), s.Issue(t, other.ID, profile.ID)
	holder := s.Token(t, s.Caller(t, "holder", one.ID, issuertest.Grants{domain.PermDocumentsRead: domain.ScopeSelf}))
	ids := func(token, query string) []any {
		var out []any
		for _, d := range s.call(t, token, http.MethodGet, "/v1/documents"+query, nil).items(t) {
			out = append(out, d["id"])
		}
		return out
	}
	require.Equal(t, []any{second.ID, first.ID}, ids(s.admin, ""))
	require.Equal(t, []any{first.ID}, ids(holder, ""))
	require.Equal(t, []any{second.ID}, ids(s.admin, "?person_id="+other.ID))
	require.Equal(t, []any{first.ID}, ids(s.admin, "?serial="+first.Serial))
	require.Equal(t, []any{first.ID}, ids(s.admin, "?limit=1&after="+second.ID))
	require.Len(t, ids(s.admin, "?state=active&profile_id="+profile.ID), 2)
	require.Empty(t, ids(s.admin, "?state=canceled"))
	s.call(t, holder, http.MethodGet, "/v1/documents/"+second.ID, nil).refused(t, domain.CodeNotFound)
}

func TestBadDocumentActs(t *testing.T) {
	s := newServer(t)
	guarded := s.Profile(t, "guarded", func(o *domain.ProfileOptions) { o.ValidateCancellation = true })
	d := s.Issue(t, s.Person(t).ID, guarded.ID)
	for name, c := range map[string]struct {
		act  string
		body map[string]any
		code domain.Code
	}{
		"disable without reason": {"disable", map[string]any{}, domain.CodeInvalid},
		"unknown reason":         {"disable", map[string]any{"reason": "boredom"}, domain.CodeInvalid},
		"long notes":             {"disable", map[string]any{"reason": "lost", "notes": strings.Repeat("a", 2001)}, domain.CodeInvalid},
		"enable with reason":     {"enable", map[string]any{"reason": "lost"}, domain.CodeInvalid},
		"enable active":          {"enable", map[string]any{}, domain.CodeWrongState},
		"cancel without reason":  {"cancel", map[string]any{"notes": "x"}, domain.CodeInvalid},
		"cancel needs approval":  {"cancel", map[string]any{"reason": "lost"}, domain.CodeApprovalRequired},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				s.call(t, s.admin, http.MethodPost, "/v1/documents/"+d.ID+"/"+c.act, c.body).refused(t, c.code)
			})
		})
	}
	t.Run("unknown state in list", func(t *testing.T) {
		s.call(t, s.admin, http.MethodGet, "/v1/documents?state=prepared", nil).refused(t, domain.CodeInvalid)
	})
}

func TestProfiles(t *testing.T) {
	s := newServer(t)
	p := s.call(t, s.admin, http.MethodPost, "/v1/profiles", profileBody("mdl")).object(t, http.StatusCreated)
	path := "/v1/profiles/" + text(t, p, "id")
	require.Equal(t, 1.0, p["version"])
	require.Equal(t, map[string]any{"display_name": "Licence", "format": "iso-mdl", "notification_scheme": "code_by_email", "max_copies": 1.0,
		"on_reissue": "disable", "logon_code": "none", "mdm": map[string]any{"restriction": "unrestricted"}, "renewal": map[string]any{}, "key_attestation": map[string]any{},
		"self_service": map[string]any{"show_qr": true, "user_id": "{email}", "server_name": "{server_name}",
			"profile_name": "MobileID {common_name}", "notify_outcome": "always"}}, p["options"])

	change := map[string]any{"version": 1, "comment": "longer", "options": map[string]any{"display_name": "Licence", "format": "iso-mdl",
		"lifetime_days": 90, "max_copies": 5, "on_reissue": "keep", "notification_scheme": "none", "credential_group": "licences",
		"validate_issuance": true, "validate_cancellation": true, "issue_over_existing": true}}
	changed := s.call(t, s.admin, http.MethodPut, path, change).object(t, http.StatusOK)
	require.Equal(t, 2.0, changed["version"])
	require.Equal(t, 90.0, changed["options"].(map[string]any)["lifetime_days"])
	require.Equal(t, changed, s.call(t, s.admin, http.MethodGet, path, nil).object(t, http.StatusOK))
	require.Equal(t, []map[string]any{changed}, s.call(t, s.admin, http.MethodGet, "/v1/profiles", nil).items(t))
	versions := s.call(t, s.admin, http.MethodGet, path+"/versions", nil).items(t)
	require.Equal(t, []any{2.0, 1.0}, []any{versions[0]["version"], versions[1]["version"]})
	s.changesNothing(t, func() {
		r := s.call(t, s.admin, http.MethodPut, path, change).refused(t, domain.CodeConflict)
		require.Equal(t, "2", r.Details["version"])
	})
}

func TestBadProfiles(t *testing.T) {
	s := newServer(t)
	s.Profile(t, "taken")
	with := func(member string, value any) map[string]any {
		p := profileBody("new")
		p["options"].(map[string]any)[member] = value
		return p
	}
	for name, c := range map[string]struct {
		body  map[string]any
		code  domain.Code
		field string
	}{
		"name":            {profileBody("No Spaces"), domain.CodeInvalid, "name"},
		"name taken":      {profileBody("taken"), domain.CodeConflict, ""},
		"unknown option":  {with("colour", "red"), domain.CodeInvalid, "options.colour"},
		"unknown format":  {with("format", "library-card"), domain.CodeUnknownFormat, "format"},
		"no format":       {with("format", ""), domain.CodeInvalid, "format"},
		"scheme":          {with("notification_scheme", "pigeon"), domain.CodeInvalid, "options.notification_scheme"},
		"on reissue":      {with("on_reissue", "burn"), domain.CodeInvalid, "options.on_reissue"},
		"copies":          {with("max_copies", 31), domain.CodeInvalid, "max_copies"},
		"copies negative": {with("max_copies", -1), domain.CodeInvalid, "max_copies"},
		"copies broken":   {with("max_copies", 1.5), domain.CodeInvalid, "options.max_copies"},
		"lifetime":        {with("lifetime_days", -1), domain.CodeInvalid, "lifetime_days"},
		"lifetime long":   {with("lifetime_days", 458), domain.CodeLifetimeBeyondSigner, "lifetime_days"},
		"comment": {map[string]any{"name": "new", "comment": strings.Repeat("a", 1001), "options": with("max_copies", 1)["options"]},
			domain.CodeInvalid, "comment"},
		"no options": {map[string]any{"name": "new"}, domain.CodeInvalid, "options"},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				p := s.call(t, s.admin, http.MethodPost, "/v1/profiles", c.body).refused(t, c.code)
				if c.field != "" {
					require.Equal(t, c.field, p.Errors[0].Field)
				}
			})
		})
	}
}

func TestFormats(t *testing.T) {
	s := newServer(t)
	var ids []any
	for _, f := range s.call(t, s.admin, http.MethodGet, "/v1/formats", nil).items(t) {
		ids = append(ids, f["id"])
		require.NotContains(t, f, "elements")
	}
	require.Equal(t, []any{"aamva-mdl", "eu-pid", "iso-mdl", "photo-id", "staff-badge"}, ids)
	f := s.call(t, s.admin, http.MethodGet, "/v1/formats/iso-mdl", nil).object(t, http.StatusOK)
	require.Equal(t, "org.iso.18013.5.1.mDL", f["doc_type"])
	require.Equal(t, "SHA-256", f["digest_algorithm"])
	require.Contains(t, f["elements"], map[string]any{"name_space": "org.iso.18013.5.1", "element": "family_name", "mandatory": true,
		"display": map[string]any{"en": "Family name", "de": "Familienname"}})
}

func TestSettings(t *testing.T) {
	s := newServer(t)
	defaults := s.call(t, s.admin, http.MethodGet, "/v1/settings", nil).object(t, http.StatusOK)
	require.Equal(t, map[string]any{"authentication_code_complexity": "04-08N", "authentication_code_lifetime": 2592000.0,
		"screen_code_lifetime": 120.0, "authentication_code_attempts": 5.0, "approval_deadline": 2592000.0, "approval_reminder": 259200.0,
		"collection_deadline": 2592000.0, "expiry_reminder_days": []any{60.0, 30.0, 14.0, 7.0}, "email_enabled": true, "sms_enabled": true, "logon_code_simple": "12-12N",
		"logon_code_complex": "12-12ULSN[BGIlOQDSZ]", "logon_code_lifetime": 2592000.0, "logon_code_attempts": 5.0, "self_service_role": "",
		"request_before_data_approval": false, "public_base_url": "", "qr_base_url": "", "biometric_verification": "",
		"version": 1.0}, defaults)
	with := func(name string, value any) map[string]any {
		out := map[string]any{}
		for k, v := range defaults {
			out[k] = v
		}
		if out[name] = value; value == nil {
			delete(out, name)
		}
		return out
	}
	silent := s.call(t, s.admin, http.MethodPut, "/v1/settings", with("expiry_reminder_days", []int{})).object(t, http.StatusOK)
	require.Equal(t, []any{}, silent["expiry_reminder_days"])
	defaults = silent
	changed := s.call(t, s.admin, http.MethodPut, "/v1/settings", with("authentication_code_attempts", 3)).object(t, http.StatusOK)
	require.Equal(t, 3.0, changed["authentication_code_attempts"])
	require.Equal(t, changed, s.call(t, s.admin, http.MethodGet, "/v1/settings", nil).object(t, http.StatusOK))

	for name, c := range map[string]struct {
		setting string
		value   any
	}{
		"missing":         {"sms_enabled", nil},
		"unknown":         {"colour", "red"},
		"complexity":      {"authentication_code_complexity", "04-08UN"},
		"attempts":        {"authentication_code_attempts", 0},
		"negative":        {"approval_deadline", -1},
		"beyond any time": {"collection_deadline", 9007199254740991},
		"not whole":       {"approval_reminder", 1.5},
		"too short":       {"screen_code_lifetime", 1},
		"combination":     {"email_enabled", false},
		"text":            {"email_enabled", "yes"},
		"logon rule":      {"logon_code_complex", "12-12"},
		"logon attempts":  {"logon_code_attempts", 21},
		"no such role":    {"self_service_role", nobody},
		"address":         {"public_base_url", "https://issuer.example/path"},
		"plain address":   {"qr_base_url", "http://issuer.example"},
		"no attestor":     {"biometric_verification", "iso_18045_basic"},
		"no such level":   {"biometric_verification", "fingerprint"},
		"reminder today":  {"expiry_reminder_days", []int{7, 0}},
		"reminder twice":  {"expiry_reminder_days", []int{7, 30, 7}},
		"many reminders":  {"expiry_reminder_days", []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		"early reminder":  {"expiry_reminder_days", []int{366}},
		"reminders null":  {"expiry_reminder_days", []int(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				p := s.call(t, s.admin, http.MethodPut, "/v1/settings", with(c.setting, c.value)).refused(t, domain.CodeInvalid)
				require.NotEmpty(t, p.Errors)
			})
		})
	}
}

func TestAudit(t *testing.T) {
	s := newServer(t)
	person := s.Person(t)
	head := float64(s.AuditHead(t))
	first := s.call(t, s.admin, http.MethodGet, "/v1/audit?limit=2", nil)
	page := first.items(t)
	require.Len(t, page, 2)
	require.Equal(t, []any{1.0, 2.0}, []any{page[0]["seq"], page[1]["seq"]})
	require.Equal(t, 2.0, first.object(t, http.StatusOK)["next"])
	rest := s.call(t, s.admin, http.MethodGet, "/v1/audit?after=2", nil)
	require.Len(t, rest.items(t), int(head)-2)
	require.NotContains(t, rest.object(t, http.StatusOK), "next")
	mine := s.call(t, s.admin, http.MethodGet, "/v1/audit?action=person.create&person_id="+person.ID, nil).items(t)
	require.Len(t, mine, 1)
	require.Equal(t, s.Admin().AccountID, mine[0]["actor"])
	require.NotEmpty(t, mine[0]["hash"])

	check := s.call(t, s.admin, http.MethodGet, "/v1/audit/verification", nil).object(t, http.StatusOK)
	_, hash, err := s.Store.AuditHead(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]any{"intact": true, "entries": head, "head": hash}, check)
	s.call(t, s.admin, http.MethodGet, "/v1/audit?after=-1", nil).refused(t, domain.CodeInvalid)
}
