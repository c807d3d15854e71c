package scenarios_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/internal/wallet"
)

// B1: every save makes a version, requests go by the latest one, unknown options are refused.
func TestB1ProfileVersions(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	profile := s.profile(t, with{"lifetime_days": 100})
	person := s.person(t)
	request := asks.ask(t, person, profile)
	p := s.admin.get(t, "/v1/profiles/"+profile)
	options := p["options"].(object)
	options["lifetime_days"] = 10
	changed := s.admin.put(t, "/v1/profiles/"+profile, object{"version": 1, "comment": "shorter", "options": options})
	require.EqualValues(t, 2, changed["version"])
	s.admin.refused(t, domain.CodeConflict, http.MethodPut, "/v1/profiles/"+profile, object{"version": 1, "comment": "late", "options": options})
	require.Len(t, s.admin.items(t, "/v1/profiles/"+profile+"/versions"), 2)
	s.holder(t, person).collects(t)
	d := s.admin.get(t, "/v1/documents/"+text(t, asks.get(t, "/v1/requests/"+request), "document_id"))
	require.EqualValues(t, 2, d["profile_version"], "collection goes by the latest version")
	require.WithinDuration(t, time.Now().AddDate(0, 0, 10), at(t, d, "valid_until"), time.Hour)

	options["surprise"] = true
	s.admin.refused(t, domain.CodeInvalid, http.MethodPut, "/v1/profiles/"+profile, object{"version": 2, "comment": "x", "options": options})
	s.admin.refused(t, domain.CodeConflict, http.MethodPost, "/v1/profiles", object{"name": p["name"], "comment": "x", "options": object{
		"display_name": "x", "format": "iso-mdl"}})
	s.admin.refused(t, domain.CodeUnknownFormat, http.MethodPost, "/v1/profiles", object{"name": unique("p"), "comment": "x", "options": object{
		"display_name": "x", "format": "papyrus"}})
}

func at(t *testing.T, o object, name string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text(t, o, name))
	require.NoError(t, err)
	return when
}

// B2: issue and cancellation may need another person's approval.
func TestB2Approval(t *testing.T) {
	s := enter(t)
	asks, approves := s.operators(t)
	person, profile := s.person(t), s.profile(t, with{"validate_issuance": true, "validate_cancellation": true})
	request := asks.ask(t, person, profile)
	asks.waits(t, request, domain.RequestAwaitingApproval)
	approves.post(t, "/v1/requests/"+request+"/approve", object{})
	s.holder(t, person).collects(t)
	document := text(t, asks.waits(t, request, domain.RequestIssued), "document_id")
	asks.refused(t, domain.CodeApprovalRequired, http.MethodPost, "/v1/documents/"+document+"/cancel", object{"reason": "lost"})
	wish := id(t, asks.post(t, "/v1/documents/"+document+"/request-cancel", object{"reason": "lost"}))
	approves.post(t, "/v1/cancellations/"+wish+"/approve", object{})
	require.Equal(t, "canceled", s.state(t, document))
}

// B3: the shortest of the profile's days, the date asked for and the person's maximum counts; the signer is never outlived.
func TestB3Lifetime(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	day := func(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly) }
	person := s.person(t, with{"max_expiry": day(50)})
	free := s.person(t)
	until := func(person, profile string, changes ...with) any {
		return asks.post(t, "/v1/requests/preview", merged(object{"person_id": person, "profile_id": profile}, changes))["valid_until"]
	}
	days := s.profile(t, with{"lifetime_days": 100})
	require.Equal(t, day(100), until(free, days))
	require.Equal(t, day(50), until(person, days))
	require.Equal(t, day(20), until(person, days, with{"expiry_date": day(20)}))
	require.Equal(t, day(50), until(person, days, with{"expiry_date": day(70)}))
	asks.refused(t, domain.CodeLifetimeBeyondSigner, http.MethodPost, "/v1/requests", object{"person_id": free, "profile_id": s.profile(t),
		"expiry_date": day(900)})
	asks.refused(t, domain.CodeLifetimeOver, http.MethodPost, "/v1/requests", object{"person_id": free, "profile_id": days, "expiry_date": day(-2)})
	s.admin.refused(t, domain.CodeLifetimeBeyondSigner, http.MethodPost, "/v1/profiles", object{"name": unique("p"), "comment": "x", "options": object{
		"display_name": "x", "format": "iso-mdl", "lifetime_days": 5000}})
}

// B4: another document of the group is left, disabled or canceled on collection; a previous one of the same profile is canceled.
func TestB4Reissue(t *testing.T) {
	s := enter(t)
	for onReissue, state := range map[string]string{"keep": "active", "disable": "disabled", "cancel": "canceled"} {
		t.Run(onReissue, func(t *testing.T) {
			person, group := s.person(t), unique("group")
			first, _ := s.issue(t, person, s.profile(t, with{"format": "staff-badge", "credential_group": group}))
			asks, _ := s.operators(t)
			next := s.profile(t, with{"format": "staff-badge", "credential_group": group, "on_reissue": onReissue})
			request := asks.ask(t, person, next)
			holder := s.holder(t, person)
			link, code := holder.reads(t, 2)
			require.Equal(t, "active", s.state(t, first), "until it is collected")
			holder.collectsWith(t, link, code)
			asks.waits(t, request, domain.RequestIssued)
			require.Equal(t, state, s.state(t, first))
		})
	}
	t.Run("over existing", func(t *testing.T) {
		person, profile := s.person(t), s.profile(t, with{"format": "staff-badge", "issue_over_existing": true})
		first, _ := s.issue(t, person, profile)
		asks, _ := s.operators(t)
		asks.ask(t, person, profile)
		holder := s.holder(t, person)
		link, code := holder.reads(t, 2)
		holder.collectsWith(t, link, code)
		require.Equal(t, "canceled", s.state(t, first))
	})
}

// B5: an exclusive group allows documents of one profile; one open request at a time, held against any number of callers at once.
func TestB5ExclusiveAndBlocking(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	group := unique("exclusive")
	person := s.person(t)
	s.issue(t, person, s.profile(t, with{"exclusive_group": group}))
	asks.refused(t, domain.CodeExclusiveGroup, http.MethodPost, "/v1/requests", object{"person_id": person,
		"profile_id": s.profile(t, with{"exclusive_group": group})})

	other, blocking := s.person(t), s.profile(t, with{"block_multiple_requests": true, "credential_group": unique("group")})
	var mu sync.Mutex
	var made []string
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			var r object
			err := asks.Do(t.Context(), http.MethodPost, "/v1/requests", object{"person_id": other, "profile_id": blocking}, &r)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made = append(made, r["id"].(string))
			} else if client.CodeOf(err) != string(domain.CodeRequestOpen) {
				t.Errorf("refused otherwise: %v", err)
			}
		})
	}
	all.Wait()
	require.Len(t, made, 1)
	asks.post(t, "/v1/requests/"+made[0]+"/cancel", object{})
	asks.ask(t, other, blocking)
}

// B6: photo, data and approval of data are demanded at request and again at collection; every missing value is listed.
func TestB6RequiredData(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	bare := id(t, s.admin.post(t, "/v1/people", object{"given_name": "A", "family_name": "B", "email": unique("x") + "@holder.example",
		"mobile": mobileOf(unique("x"))}))
	strict := s.profile(t, with{"format": "staff-badge", "enforce_photo": true, "requisite_data": []string{"birth_date", "external_id",
		"attribute.clearance"}})
	problem := asks.refused(t, domain.CodeMissingData, http.MethodPost, "/v1/requests", object{"person_id": bare, "profile_id": strict})
	require.Subset(t, problem.fields, []string{"portrait", "birth_date", "external_id", "attribute.clearance"})

	person := s.person(t)
	easy := s.profile(t, with{"format": "staff-badge"})
	asks.ask(t, person, easy)
	holder := s.holder(t, person)
	link, code := holder.reads(t, 1)
	p := s.admin.get(t, "/v1/profiles/"+easy)
	options := p["options"].(object)
	options["requisite_data"] = []string{"attribute.clearance"}
	s.admin.put(t, "/v1/profiles/"+easy, object{"version": 1, "comment": "stricter", "options": options})
	_, err := holder.Collect(t.Context(), link, code, wallet.CollectOptions{})
	require.ErrorContains(t, err, "credential_request_denied", "held at collection too")
}

// B7: link and code travel as the scheme says, never in one message.
func TestB7NotificationSchemes(t *testing.T) {
	s := enter(t)
	for scheme, want := range map[string][]string{"default": {"email link", "email code", "sms code"}, "code_by_email": {"email link", "email code"},
		"code_by_sms": {"email link", "sms code"}, "none": nil} {
		t.Run(scheme, func(t *testing.T) {
			asks, _ := s.operators(t)
			person := s.person(t)
			request := asks.ask(t, person, s.profile(t, with{"notification_scheme": scheme}))
			asks.waits(t, request, domain.RequestAwaitingCollection)
			holder := s.holder(t, person)
			until(t, "everything is sent", func() bool { return len(holder.mail(t)) >= len(want) })
			var got []string
			for _, m := range holder.mail(t) {
				link, code := mailbox.FindLink(m.Text) != "", mailbox.FindCode(m.Text) != ""
				require.NotEqual(t, link, code, "a link or a code, never both")
				what := string(m.Kind) + " code"
				if link {
					what = string(m.Kind) + " link"
				}
				got = append(got, what)
			}
			require.ElementsMatch(t, want, got)
			if scheme == "none" {
				shown := asks.post(t, "/v1/requests/"+request+"/code", nil)
				holder.collectsWith(t, text(t, shown, "link"), text(t, shown, "code"))
				timeline := asks.items(t, "/v1/requests/"+request+"/timeline")
				var actions []any
				for _, e := range timeline {
					actions = append(actions, e["action"])
				}
				require.Contains(t, actions, "request.view_code", "reading is on record")
			}
		})
	}
}

// B9: codes are digits of the length that the setting says, single use, and locked after too many tries.
func TestB9AuthenticationCodes(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	settings := s.admin.get(t, "/v1/settings")
	require.Equal(t, "04-08N", settings["authentication_code_complexity"])
	require.EqualValues(t, 720*3600, settings["authentication_code_lifetime"])
	person := s.person(t)
	request := asks.ask(t, person, s.profile(t))
	holder := s.holder(t, person)
	link, code := holder.reads(t, 1)
	require.Regexp(t, `^[0-9]{8}$`, code)
	wrong := "0" + code[1:]
	if wrong == code {
		wrong = "1" + code[1:]
	}
	for range 5 {
		_, err := holder.Collect(t.Context(), link, wrong, wallet.CollectOptions{})
		require.Error(t, err)
	}
	asks.waits(t, request, domain.RequestLocked)
	asks.post(t, "/v1/requests/"+request+"/resend", nil)
	link, code = holder.reads(t, 2)
	holder.collectsWith(t, link, code[:4]+" "+code[4:])
}

// B10: the device management decides at collection, with a clear refusal.
func TestB10DeviceManagement(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	must := s.profile(t, with{"mdm": object{"restriction": "must_be_registered", "required_attributes": "compliant=true, os.name=android"}})
	mustNot := s.profile(t, with{"mdm": object{"restriction": "must_not_be_registered"}})
	for name, c := range map[string]struct {
		profile, device string
		want            string // empty = collected
	}{
		"registered, compliant":        {must, "known-compliant-", ""},
		"registered, not compliant":    {must, "known-", "credential_request_denied"},
		"not registered":               {must, "stranger-", "credential_request_denied"},
		"no device":                    {must, "", "credential_request_denied"},
		"must not be, stranger":        {mustNot, "stranger-", ""},
		"must not be, no device":       {mustNot, "", ""},
		"must not be, but is":          {mustNot, "known-", "credential_request_denied"},
		"device management is down":    {must, "down-", "503"},
		"down, must not be registered": {mustNot, "down-", "503"},
	} {
		t.Run(name, func(t *testing.T) {
			device := c.device
			if device != "" {
				device = unique(strings.TrimSuffix(device, "-"))
			}
			person := s.person(t, with{"external_mobile_id": device})
			request := asks.ask(t, person, c.profile)
			holder := s.holder(t, person)
			link, code := holder.reads(t, 1)
			_, err := holder.Collect(t.Context(), link, code, wallet.CollectOptions{})
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			if c.want != "503" {
				require.ErrorContains(t, err, c.want)
				require.Equal(t, "device_refused", asks.get(t, "/v1/requests/"+request)["failure_code"])
			}
			require.Equal(t, "awaiting_collection", asks.get(t, "/v1/requests/"+request)["state"], "it can be mended")
		})
	}
	s.admin.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/profiles", object{"name": unique("p"), "comment": "x", "options": object{
		"display_name": "x", "format": "iso-mdl", "mdm": object{"restriction": "must_not_be_registered", "required_attributes": "a=b"}}})
}

// B11: five formats are shipped; a file is tried on a person, or refused with every mistake by line, before any profile uses it.
func TestB11Formats(t *testing.T) {
	s := enter(t)
	var names []any
	for _, f := range s.admin.items(t, "/v1/formats") {
		names = append(names, f["id"])
	}
	require.Subset(t, names, []any{"iso-mdl", "aamva-mdl", "eu-pid", "photo-id", "staff-badge"})
	person := s.person(t)
	for _, format := range []string{"iso-mdl", "staff-badge", "photo-id", "aamva-mdl", "eu-pid"} {
		p := s.admin.post(t, "/v1/formats/preview", object{"format_id": format})
		require.Equal(t, true, p["ok"], format)
		s.admin.post(t, "/v1/formats/preview", object{"format_id": format, "person_id": person})
	}
	problem := s.admin.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/formats/preview", object{"source": "id: x\nversion: many\nsurprise: 1\n"})
	require.Contains(t, strings.Join(problem.fields, " "), "source:2:")
	own := "id: library\nversion: 1\ndoc_type: org.example.library.1\ndigest_algorithm: SHA-256\nstatus_bits: 2\ndisplay: [{locale: en, name: Library}]\n" +
		"name_spaces: [{name: org.example.library.1, elements: [{identifier: family_name, type: tstr, mandatory: true, source: {person: family_name}, display: {en: Family name}}]}]\n"
	p := s.admin.post(t, "/v1/formats/preview", object{"source": own, "person_id": person})
	require.Equal(t, true, p["ok"])
}

// B13: a profile is for the roles it names; a holder needs both receive and collect.
func TestB13RoleSets(t *testing.T) {
	s := enter(t)
	role := func() string {
		return id(t, s.admin.post(t, "/v1/roles", object{"name": unique("role"), "permissions": []string{}}))
	}
	receives, collects, requests, validates := role(), role(), role(), role()
	profile := s.profile(t, with{"validate_issuance": true, "can_receive": []string{receives}, "can_collect": []string{collects},
		"can_request": []string{requests}, "can_validate": []string{validates}})
	person := s.person(t)
	give := func(p *party, more ...string) {
		me := p.get(t, "/v1/me")
		account := s.admin.get(t, "/v1/accounts/"+text(t, me, "account_id"))
		roles, _ := account["roles"].([]any)
		for _, r := range more {
			roles = append(roles, object{"role_id": r, "scope": "self"})
		}
		s.admin.put(t, "/v1/accounts/"+text(t, me, "account_id")+"/roles", object{"roles": roles})
	}
	asks, approves := s.operators(t)
	wish := object{"person_id": person, "profile_id": profile}
	asks.refused(t, domain.CodeRoleMissing, http.MethodPost, "/v1/requests", wish)
	give(asks, requests)
	asks.refused(t, domain.CodeRoleMissing, http.MethodPost, "/v1/requests", wish)
	holder := s.account(t, person, in(domain.ScopeSelf, domain.PermRequestSelf))
	give(holder, receives)
	asks.refused(t, domain.CodeRoleMissing, http.MethodPost, "/v1/requests", wish)
	give(holder, collects)
	request := asks.ask(t, person, profile)
	asks.waits(t, request, domain.RequestAwaitingApproval)
	approves.refused(t, domain.CodeRoleMissing, http.MethodPost, "/v1/requests/"+request+"/approve", object{})
	require.Empty(t, reviewsOf(t, approves, request))
	give(approves, validates)
	require.Len(t, reviewsOf(t, approves, request), 1)
	approves.post(t, "/v1/requests/"+request+"/approve", object{})
	s.holder(t, person).collects(t)
}

func reviewsOf(t *testing.T, p *party, request string) []object {
	t.Helper()
	var out []object
	for _, r := range p.items(t, "/v1/reviews?limit=500") {
		if r["id"] == request {
			out = append(out, r)
		}
	}
	return out
}

// B14: what a holder sees of a profile, and whether they are told of the outcome.
func TestB14HolderOptions(t *testing.T) {
	s := enter(t)
	person := s.person(t)
	me := s.account(t, person, in(domain.ScopeSelf, domain.PermRequestSelf, domain.PermCollect))
	profile := s.profile(t, with{"self_service": object{"profile_name": "Mobile {common_name}", "user_id": "{logon_name}|{email}"}})
	var mine object
	for _, p := range me.items(t, "/v1/me/profiles") {
		if p["id"] == profile {
			mine = p
		}
	}
	require.NotNil(t, mine)
	require.Equal(t, true, mine["show_qr"])
	require.Contains(t, mine["display"].(object)["profile_name"], "Mobile ")
	require.Contains(t, mine["display"].(object)["user_id"], "@holder.example")

	me.post(t, "/v1/me/requests", object{"profile_id": profile})
	holder := s.holder(t, person)
	holder.collects(t)
	require.NotContains(t, holder.receives(t, "wallet").Text, "{{")
	until(t, "the outcome is told", func() bool {
		return len(s.admin.items(t, "/v1/notifications?kind=outcome_success&person_id="+person)) == 1
	})

	quiet := s.person(t)
	s.issue(t, quiet, s.profile(t, with{"self_service": object{"notify_outcome": "never"}}))
	require.Empty(t, s.admin.items(t, "/v1/notifications?kind=outcome_success&person_id="+quiet))
}

// B15: settings are typed, bounded, and refuse combinations that cannot work.
func TestB15Settings(t *testing.T) {
	s := enter(t)
	settings := s.admin.get(t, "/v1/settings")
	change := func(changes object) object {
		out := object{}
		for k, v := range settings {
			out[k] = v
		}
		return merged(out, []with{changes})
	}
	for name, changes := range map[string]object{
		"sms without e-mail": {"email_enabled": false, "sms_enabled": true},
		"code with letters":  {"authentication_code_complexity": "04-08U"},
		"attempts":           {"authentication_code_attempts": 0},
		"logon rule":         {"logon_code_simple": "12-4N"},
		"role":               {"self_service_role": "01890000-0000-7000-8000-000000000000"},
		"base URL":           {"public_base_url": "ftp://x"},
		"no such level":      {"biometric_verification": "face"},
		"more than attested": {"biometric_verification": "iso_18045_high"},
	} {
		problem := s.admin.refused(t, domain.CodeInvalid, http.MethodPut, "/v1/settings", change(changes))
		require.NotEmpty(t, problem.fields, name)
	}
	err := s.admin.Do(t.Context(), http.MethodPut, "/v1/settings", change(object{"authentication_code_attempts": "five"}), nil)
	require.True(t, isRefusal(err))
	require.Equal(t, settings["authentication_code_attempts"], s.admin.get(t, "/v1/settings")["authentication_code_attempts"], "nothing changed")
}

// B15: a policy of biometric verification holds for every profile, as far as wallets can be attested to meet it.
func TestB15BiometricVerification(t *testing.T) {
	s := enterAlone(t)
	demand := func(level string) {
		settings := s.admin.get(t, "/v1/settings")
		settings["biometric_verification"] = level
		s.admin.put(t, "/v1/settings", settings)
	}
	defer demand("")
	settings := s.admin.get(t, "/v1/settings")
	require.Empty(t, settings["biometric_verification"], "it is off")
	settings["biometric_verification"] = "iso_18045_high"
	problem := s.admin.refused(t, domain.CodeInvalid, http.MethodPut, "/v1/settings", settings)
	require.Equal(t, []string{"biometric_verification"}, problem.fields, "no wallet could meet it")

	person, profile := s.person(t), s.profile(t)
	demand("iso_18045_moderate")
	asks, _ := s.operators(t)
	asks.ask(t, person, profile)
	plain := s.holder(t, person)
	link, code := plain.reads(t, 1)
	_, err := plain.Collect(t.Context(), link, code, wallet.CollectOptions{})
	require.ErrorIs(t, err, wallet.ErrUnsupported, "the issuer says what it demands")
	s.checks(t, s.holderWith(t, person, attesting("", "iso_18045_moderate")).collects(t))
}

// attesting is an attestor that is trusted and states this.
func attesting(keyStorage, userAuthentication string) *wallet.Attestor {
	a := attestor
	a.KeyStorage, a.UserAuthentication = keyStorage, userAuthentication
	return &a
}

// E3: a profile demands key attestations, at the first document and at every update.
func TestE3KeyAttestation(t *testing.T) {
	s := enter(t)
	options := func(storage, authentication string) object {
		return object{"name": unique("profile"), "options": object{"display_name": "x", "format": "iso-mdl",
			"key_attestation": object{"key_storage": storage, "user_authentication": authentication}}}
	}
	problem := s.admin.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/profiles", options("iso_18045_high", "iso_18045_high"))
	require.Equal(t, []string{"key_attestation.user_authentication"}, problem.fields, "nobody is trusted that far")
	require.True(t, isRefusal(s.admin.Do(t.Context(), http.MethodPost, "/v1/profiles", options("face", ""), nil)))

	person := s.person(t)
	profile := s.profile(t, with{"key_attestation": object{"key_storage": "iso_18045_high"}})
	asks, _ := s.operators(t)
	request := asks.ask(t, person, profile)
	link, code := s.holder(t, person).reads(t, 1)
	for name, unfit := range map[string]*wallet.Attestor{"none": nil, "weak": attesting("iso_18045_moderate", "iso_18045_moderate")} {
		_, err := s.holderWith(t, person, unfit).Collect(t.Context(), link, code, wallet.CollectOptions{})
		require.ErrorIs(t, err, wallet.ErrUnsupported, name)
	}
	h := s.holderWith(t, person, attesting("iso_18045_high", ""))
	got, err := h.Collect(t.Context(), link, code, wallet.CollectOptions{})
	require.NoError(t, err)

	document := text(t, asks.waits(t, request, domain.RequestIssued), "document_id")
	asks.post(t, "/v1/documents/"+document+"/update", object{"reason": "reprovision"})
	until(t, "the update is collected", func() bool {
		refreshed, err := h.Refresh(t.Context(), got.Document.ID)
		require.NoError(t, err)
		return refreshed.Updated
	})
	var noted []string
	for _, e := range s.admin.items(t, "/v1/audit?action=request.issue&person_id="+person) {
		changes, _ := e["changes"].(object)
		attested, _ := changes["key_attestation"].(object)
		noted = append(noted, text(t, attested, "after"))
	}
	require.Len(t, noted, 2)
	require.Contains(t, noted[1], `"key_storage":"iso_18045_high"`)
}
