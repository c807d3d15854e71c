package operator_test

import (
	"crypto/x509"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/wallet"
)

// options gives the options of a profile body.
func options(more map[string]any) map[string]any {
	o := map[string]any{"display_name": "Licence", "format": "iso-mdl", "notification_scheme": "code_by_email"}
	maps.Copy(o, more)
	return o
}

func TestProfileOptions(t *testing.T) {
	_, root, err := wallet.NewAttestor(time.Now())
	require.NoError(t, err)
	s := newServerOn(t, issuertest.Options{Attestors: issuer.Attestors{Certificates: []*x509.Certificate{root},
		Most: domain.Resistances{KeyStorage: domain.PotentialHigh, UserAuthentication: domain.PotentialHigh}}})
	role := text(t, s.call(t, s.admin, http.MethodPost, "/v1/roles", map[string]any{"name": "members", "permissions": []string{}}).
		object(t, http.StatusCreated), "id")
	given := options(map[string]any{
		"validate_issuance": true, "validate_cancellation": true, "lifetime_days": 90.0, "max_copies": 2.0, "credential_group": "licences",
		"on_reissue": "cancel", "issue_over_existing": true, "exclusive_group": "identity", "block_multiple_requests": true, "enforce_photo": true,
		"requisite_data": []any{"email", "attribute.sex"}, "require_data_approved": true, "logon_code": "complex",
		"mdm":             map[string]any{"restriction": "unrestricted"},
		"key_attestation": map[string]any{"key_storage": "iso_18045_high", "user_authentication": "iso_18045_basic"},
		"can_receive":     []any{role}, "can_request": []any{role}, "can_validate": []any{role}, "can_collect": []any{role},
		"self_service": map[string]any{"show_qr": false, "validity_days": 30.0, "user_id": "{logon_name}", "server_name": "x", "profile_name": "y",
			"notify_outcome": "never"},
		"derived_from": s.Profile(t, "base").ID,
		"renewal":      map[string]any{"before_expiry_days": 10.0, "on_change": true, "on_age": true},
	})
	made := s.call(t, s.admin, http.MethodPost, "/v1/profiles", map[string]any{"name": "all", "comment": "c", "options": given}).
		object(t, http.StatusCreated)
	require.Equal(t, given, made["options"], "every option comes back as it was given")
	require.Equal(t, made, s.call(t, s.admin, http.MethodGet, "/v1/profiles/"+text(t, made, "id"), nil).object(t, http.StatusOK))

	plain := s.call(t, s.admin, http.MethodPost, "/v1/profiles", map[string]any{"name": "plain", "options": options(nil)}).
		object(t, http.StatusCreated)["options"].(map[string]any)
	require.Equal(t, "disable", plain["on_reissue"])
	require.Equal(t, "none", plain["logon_code"])
	require.Equal(t, map[string]any{"restriction": "unrestricted"}, plain["mdm"])
	require.Equal(t, map[string]any{}, plain["key_attestation"])
	require.Equal(t, map[string]any{"show_qr": true, "user_id": "{email}", "server_name": "{server_name}", "profile_name": "MobileID {common_name}",
		"notify_outcome": "always"}, plain["self_service"])
}

func TestBadProfileOptions(t *testing.T) {
	s := newServer(t)
	for name, c := range map[string]struct {
		more  map[string]any
		code  domain.Code
		field string
	}{
		"unknown option":         {map[string]any{"enforce_fingerprint": true}, domain.CodeInvalid, "options"},
		"unknown mdm option":     {map[string]any{"mdm": map[string]any{"device": "x"}}, domain.CodeInvalid, "options.mdm"},
		"unknown self-service":   {map[string]any{"self_service": map[string]any{"colour": "red"}}, domain.CodeInvalid, "options.self_service"},
		"other case":             {map[string]any{"Enforce_Photo": true}, domain.CodeInvalid, "options"},
		"no such scheme":         {map[string]any{"notification_scheme": "pigeon"}, domain.CodeInvalid, "options.notification_scheme"},
		"no such logon code":     {map[string]any{"logon_code": "hard"}, domain.CodeInvalid, "options.logon_code"},
		"no such restriction":    {map[string]any{"mdm": map[string]any{"restriction": "any"}}, domain.CodeInvalid, "options.mdm.restriction"},
		"no such resistance":     {map[string]any{"key_attestation": map[string]any{"key_storage": "tee"}}, domain.CodeInvalid, "options.key_attestation.key_storage"},
		"no attestor":            {map[string]any{"key_attestation": map[string]any{"key_storage": "iso_18045_basic"}}, domain.CodeInvalid, "key_attestation.key_storage"},
		"unknown renewal":        {map[string]any{"renewal": map[string]any{"weekly": true}}, domain.CodeInvalid, "options.renewal"},
		"negative renewal":       {map[string]any{"renewal": map[string]any{"before_expiry_days": -1}}, domain.CodeInvalid, "renewal.before_expiry_days"},
		"renewal at once":        {map[string]any{"lifetime_days": 30, "renewal": map[string]any{"before_expiry_days": 30}}, domain.CodeInvalid, "renewal.before_expiry_days"},
		"renewal without ages":   {map[string]any{"format": "staff-badge", "renewal": map[string]any{"on_age": true}}, domain.CodeInvalid, "renewal.on_age"},
		"no MDM":                 {map[string]any{"mdm": map[string]any{"restriction": "must_be_registered"}}, domain.CodeInvalid, "mdm.restriction"},
		"attributes without MDM": {map[string]any{"mdm": map[string]any{"required_attributes": "a=b"}}, domain.CodeInvalid, "mdm.required_attributes"},
		"no such role":           {map[string]any{"can_receive": []string{nobody}}, domain.CodeInvalid, "can_receive[0]"},
		"no such field":          {map[string]any{"requisite_data": []string{"shoe_size"}}, domain.CodeInvalid, "requisite_data[0]"},
		"template":               {map[string]any{"self_service": map[string]any{"user_id": "{password}"}}, domain.CodeInvalid, "self_service.user_id"},
		"group with spaces":      {map[string]any{"exclusive_group": "a "}, domain.CodeInvalid, "exclusive_group"},
		"nothing to derive from": {map[string]any{"derived_from": nobody}, domain.CodeInvalid, "derived_from"},
		"no such format":         {map[string]any{"format": "gone"}, domain.CodeUnknownFormat, "format"},
		"too long":               {map[string]any{"lifetime_days": 5000}, domain.CodeLifetimeBeyondSigner, "lifetime_days"},
		"text for a number":      {map[string]any{"lifetime_days": "90"}, domain.CodeInvalid, "options.lifetime_days"},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				p := s.call(t, s.admin, http.MethodPost, "/v1/profiles", map[string]any{"name": "bad", "options": options(c.more)}).refused(t, c.code)
				require.Contains(t, p.Errors[0].Field, c.field)
			})
		})
	}
}

// previewed gives the obstacles of a preview as code and field.
func previewed(t *testing.T, preview map[string]any) []string {
	t.Helper()
	out := []string{}
	for _, p := range preview["problems"].([]any) {
		o := p.(map[string]any)
		require.NotEmpty(t, text(t, o, "problem"))
		out = append(out, text(t, o, "code")+" "+text(t, o, "field"))
	}
	return out
}

// Every refusal of a profile's rules reaches the caller with its code, its status and all findings; the preview tells the same.
func TestRefusedByRules(t *testing.T) {
	s := newServer(t)
	role := text(t, s.call(t, s.admin, http.MethodPost, "/v1/roles", map[string]any{"name": "members", "permissions": []string{}}).
		object(t, http.StatusCreated), "id")
	person := s.Person(t)
	excluding := s.Profile(t, "excluding", func(o *domain.ProfileOptions) { o.ExclusiveGroup = "ids" })
	held := s.Issue(t, person.ID, excluding.ID)
	blocking := s.Profile(t, "blocking", func(o *domain.ProfileOptions) { o.BlockMultipleRequests = true })
	open := text(t, s.ask(t, s.admin, person.ID, blocking.ID), "id")
	for name, c := range map[string]struct {
		options func(o *domain.ProfileOptions)
		profile string
		code    domain.Code
		status  int
		detail  [2]string
		told    []string
	}{
		"roles": {options: func(o *domain.ProfileOptions) { o.CanReceive, o.CanRequest = []string{role}, []string{role} }, code: domain.CodeRoleMissing,
			status: http.StatusForbidden, told: []string{"role_missing can_receive", "role_missing can_request"}},
		"data not approved": {options: func(o *domain.ProfileOptions) { o.RequireDataApproved = true }, code: domain.CodeDataNotApproved,
			status: http.StatusConflict, told: []string{"data_not_approved data_not_approved"}},
		"exclusive group": {options: func(o *domain.ProfileOptions) { o.ExclusiveGroup = "ids" }, code: domain.CodeExclusiveGroup,
			status: http.StatusConflict, detail: [2]string{"document_id", held.ID}, told: []string{"exclusive_group exclusive_group"}},
		"request open": {profile: blocking.ID, code: domain.CodeRequestOpen, status: http.StatusConflict, detail: [2]string{"request_id", open},
			told: []string{"request_open request_open"}},
		"requisite data": {options: func(o *domain.ProfileOptions) { o.RequisiteData = []string{"logon_name", "attribute.eye_colour"} },
			code: domain.CodeMissingData, status: http.StatusUnprocessableEntity,
			told: []string{"missing_data logon_name", "missing_data attribute.eye_colour"}},
		"several": {options: func(o *domain.ProfileOptions) { o.RequireDataApproved, o.RequisiteData = true, []string{"language"} },
			code: domain.CodeDataNotApproved, status: http.StatusConflict, told: []string{"data_not_approved data_not_approved", "missing_data language"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.options != nil {
				c.profile = s.Profile(t, strings.ReplaceAll(name, " ", "-"), c.options).ID
			}
			body := map[string]any{"person_id": person.ID, "profile_id": c.profile}
			s.changesNothing(t, func() {
				p := s.call(t, s.admin, http.MethodPost, "/v1/requests", body).refused(t, c.code)
				require.Equal(t, c.status, problem.Status(c.code))
				if c.detail[0] != "" {
					require.Equal(t, c.detail[1], p.Details[c.detail[0]])
				}
				require.Equal(t, c.told, previewed(t, s.call(t, s.admin, http.MethodPost, "/v1/requests/preview", body).object(t, http.StatusOK)))
				if len(c.told) > 1 {
					require.Len(t, p.Errors, len(c.told))
				}
			})
		})
	}
	t.Run("who would be asked", func(t *testing.T) {
		guarded := s.Profile(t, "guarded", withApproval)
		s.Caller(t, "boss", "", issuertest.All(domain.PermApprove))
		preview := s.call(t, s.admin, http.MethodPost, "/v1/requests/preview", map[string]any{"person_id": person.ID, "profile_id": guarded.ID}).
			object(t, http.StatusOK)
		require.Equal(t, true, preview["needs_approval"])
		require.Equal(t, 1.0, preview["approvers"], "the administrator asks, so only the other one counts")
		require.Equal(t, false, preview["needs_data_approval"])
	})
}

// A refused collection shows in the request: the code, and the timeline with what is missing.
func TestRefusedCollectionShows(t *testing.T) {
	s := newServer(t)
	person, profile := s.Person(t), s.Profile(t, "mdl")
	path := "/v1/requests/" + text(t, s.ask(t, s.admin, person.ID, profile.ID), "id")
	require.NotContains(t, s.call(t, s.admin, http.MethodGet, path, nil).object(t, http.StatusOK), "failure_code")
	p, err := s.Store.Person(t.Context(), person.ID)
	require.NoError(t, err)
	p.MaxExpiry = "2020-01-01"
	_, err = s.Issuer.UpdatePerson(t.Context(), s.Admin(), p)
	require.NoError(t, err)
	shown := s.call(t, s.admin, http.MethodPost, path+"/code", nil).object(t, http.StatusOK)
	offer, err := s.Issuer.Offer(t.Context(), text(t, shown, "link")[len(issuertest.BaseURL)+len("/c/"):])
	require.NoError(t, err)
	token, err := s.Issuer.Redeem(t.Context(), offer.PreAuthorizedCode, text(t, shown, "code"), "192.0.2.1")
	require.NoError(t, err)
	_, err = s.Issuer.Collect(t.Context(), issuer.Collect{AccessToken: token.AccessToken, ConfigurationID: profile.Name,
		Keys: []issuer.WalletKey{s.WalletKey(t)}})
	require.Equal(t, domain.CodeLifetimeOver, domain.CodeOf(err))
	r := s.call(t, s.admin, http.MethodGet, path, nil).object(t, http.StatusOK)
	require.Equal(t, "failed", r["state"])
	require.Equal(t, "lifetime_over", r["failure_code"])
}

func TestSettingsVersion(t *testing.T) {
	s := newServer(t)
	read := s.call(t, s.admin, http.MethodGet, "/v1/settings", nil).object(t, http.StatusOK)
	require.Equal(t, 1.0, read["version"])
	mine, theirs := maps.Clone(read), maps.Clone(read)
	mine["logon_code_attempts"], theirs["logon_code_attempts"] = 3, 4
	changed := s.call(t, s.admin, http.MethodPut, "/v1/settings", mine).object(t, http.StatusOK)
	require.Equal(t, 2.0, changed["version"])
	s.changesNothing(t, func() {
		p := s.call(t, s.admin, http.MethodPut, "/v1/settings", theirs).refused(t, domain.CodeConflict)
		require.Equal(t, "2", p.Details["version"])
		delete(theirs, "version")
		s.call(t, s.admin, http.MethodPut, "/v1/settings", theirs).refused(t, domain.CodeInvalid)
		theirs["version"], theirs["public_base_url"], theirs["self_service_role"] = 2, "http://plain.example", nobody
		p = s.call(t, s.admin, http.MethodPut, "/v1/settings", theirs).refused(t, domain.CodeInvalid)
		require.Len(t, p.Errors, 2)
	})
	require.Equal(t, changed, s.call(t, s.admin, http.MethodGet, "/v1/settings", nil).object(t, http.StatusOK))
}
