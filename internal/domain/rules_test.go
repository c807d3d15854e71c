package domain_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

func fields(ps domain.Problems) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = p.Field
	}
	return out
}

func TestSettingsCheck(t *testing.T) {
	require.Empty(t, domain.DefaultSettings().Check())
	const (
		complexity = "authentication_code_complexity"
		lifetime   = "authentication_code_lifetime"
	)
	secs := func(n int64) domain.Seconds { return domain.Seconds(time.Duration(n) * time.Second) }
	for name, c := range map[string]struct {
		change func(s *domain.Settings)
		want   []string
	}{
		"complexity":             {func(s *domain.Settings) { s.AuthenticationCodeComplexity = "04-99N" }, []string{complexity}},
		"letters in codes":       {func(s *domain.Settings) { s.AuthenticationCodeComplexity = "04-08U" }, []string{complexity}},
		"no attempts":            {func(s *domain.Settings) { s.AuthenticationCodeAttempts = 0 }, []string{"authentication_code_attempts"}},
		"21 attempts":            {func(s *domain.Settings) { s.AuthenticationCodeAttempts = 21 }, []string{"authentication_code_attempts"}},
		"20 attempts":            {func(s *domain.Settings) { s.AuthenticationCodeAttempts = 20 }, nil},
		"code never expires":     {func(s *domain.Settings) { s.AuthenticationCodeLifetime = 0 }, nil},
		"code lifetime short":    {func(s *domain.Settings) { s.AuthenticationCodeLifetime = secs(59) }, []string{lifetime}},
		"code lifetime long":     {func(s *domain.Settings) { s.AuthenticationCodeLifetime = secs(366*86400 + 1) }, []string{lifetime}},
		"screen code never ends": {func(s *domain.Settings) { s.ScreenCodeLifetime = 0 }, []string{"screen_code_lifetime"}},
		"screen code too long":   {func(s *domain.Settings) { s.ScreenCodeLifetime = secs(3601) }, []string{"screen_code_lifetime"}},
		"no deadlines": {func(s *domain.Settings) { s.ApprovalDeadline, s.CollectionDeadline = 0, 0 },
			[]string{"approval_deadline", "collection_deadline"}},
		"no reminders":       {func(s *domain.Settings) { s.ApprovalReminder = 0 }, nil},
		"reminders too rare": {func(s *domain.Settings) { s.ApprovalReminder = secs(366*86400 + 1) }, []string{"approval_reminder"}},
		"SMS without e-mail": {func(s *domain.Settings) { s.EmailEnabled = false }, []string{"sms_enabled"}},
		"neither channel":    {func(s *domain.Settings) { s.EmailEnabled, s.SMSEnabled = false, false }, nil},
		"e-mail without SMS": {func(s *domain.Settings) { s.SMSEnabled = false }, nil},
		"no logon code rules": {func(s *domain.Settings) { s.LogonCodeSimple, s.LogonCodeComplex = "", "12-08N" },
			[]string{"logon_code_simple", "logon_code_complex"}},
		"logon code never expires":  {func(s *domain.Settings) { s.LogonCodeLifetime = 0 }, nil},
		"logon code lifetime short": {func(s *domain.Settings) { s.LogonCodeLifetime = secs(59) }, []string{"logon_code_lifetime"}},
		"logon code lifetime long":  {func(s *domain.Settings) { s.LogonCodeLifetime = secs(366*86400 + 1) }, []string{"logon_code_lifetime"}},
		"no logon attempts":         {func(s *domain.Settings) { s.LogonCodeAttempts = 0 }, []string{"logon_code_attempts"}},
		"21 logon attempts":         {func(s *domain.Settings) { s.LogonCodeAttempts = 21 }, []string{"logon_code_attempts"}},
		"addresses": {func(s *domain.Settings) { s.PublicBaseURL, s.QRBaseURL = "https://a.example", "https://192.0.2.7:8443" },
			nil},
		"bad addresses": {func(s *domain.Settings) { s.PublicBaseURL, s.QRBaseURL = "a.example", "https://a.example/" },
			[]string{"public_base_url", "qr_base_url"}},
		"everything at once": {func(s *domain.Settings) { *s = domain.Settings{SMSEnabled: true} }, []string{
			complexity, "authentication_code_attempts", "screen_code_lifetime", "approval_deadline",
			"collection_deadline", "logon_code_simple", "logon_code_complex", "logon_code_attempts", "sms_enabled"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := domain.DefaultSettings()
			c.change(&s)
			require.ElementsMatch(t, c.want, fields(s.Check()))
		})
	}
}

func TestSettingsAddresses(t *testing.T) {
	for _, address := range []string{"", "https://issuer.example", "http://localhost:8080", "https://[2001:db8::1]:443"} {
		s := domain.DefaultSettings()
		s.QRBaseURL = address
		require.Empty(t, s.Check(), address)
	}
	for _, address := range []string{"issuer.example", "ftp://issuer.example", "https://", "https://issuer.example/", "https://issuer.example/x",
		"https://issuer.example?x=1", "https://issuer.example#x", "https://me@issuer.example", "https://issuer.example:", "HTTPS://issuer.example",
		"https://issuer example", "https://issuer.example\n", " https://issuer.example", "https://" + strings.Repeat("a", 300), "https:issuer.example",
		"https://issüer.example", "javascript:alert(1)", "//issuer.example"} {
		s := domain.DefaultSettings()
		s.PublicBaseURL = address
		ps := s.Check()
		require.Equal(t, []string{"public_base_url"}, fields(ps), address)
		require.NotContains(t, ps[0].Problem, "issuer", "no value is repeated")
	}
}

func TestSettingsJSON(t *testing.T) {
	form, err := json.Marshal(domain.DefaultSettings())
	require.NoError(t, err)
	require.Contains(t, string(form), `"screen_code_lifetime":120,`)
	var back domain.Settings
	require.NoError(t, json.Unmarshal(form, &back))
	require.Equal(t, domain.DefaultSettings(), back)

	for _, bad := range []string{`-1`, `1.5`, `"120"`, `null`, `true`, `{}`, `1e3`, `316224001`, `99999999999999999999`} {
		err := json.Unmarshal([]byte(`{"authentication_code_lifetime":`+bad+`}`), &domain.Settings{})
		require.ErrorContains(t, err, "read seconds", bad)
	}
}

func FuzzSeconds(f *testing.F) {
	for _, seed := range []string{"0", "120", "-1", "null", "1e2", "316224000"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, form []byte) {
		var s domain.Seconds
		if json.Unmarshal(form, &s) != nil {
			return
		}
		require.GreaterOrEqual(t, s, domain.Seconds(0))
		again, err := json.Marshal(s)
		require.NoError(t, err)
		var back domain.Seconds
		require.NoError(t, json.Unmarshal(again, &back))
		require.Equal(t, s, back)
	})
}

func TestPersonCheck(t *testing.T) {
	good := domain.Person{GivenName: "Ada", FamilyName: "Ümlaut-李", Status: domain.PersonActive, BirthDate: "1990-02-28", Language: "de-CH",
		Attributes: map[string]any{"sex": 2.0}}
	require.Empty(t, good.Check())

	long := strings.Repeat("ä", 151)
	many := map[string]any{}
	for i := range 201 {
		many[fmt.Sprint(i)] = i
	}
	bad := domain.Person{ExternalID: long, LogonName: "a\x00b", GivenName: " ", FamilyName: "\xff", ExternalMobileID: long,
		BirthDate: "1.2.1990", MaxExpiry: "2026-02-30", Status: "gone", Language: "x\x00y", Attributes: many}
	require.ElementsMatch(t, []string{"external_id", "logon_name", "given_name", "family_name", "external_mobile_id", "birth_date",
		"max_expiry", "status", "language", "attributes"}, fields(bad.Check()), "every problem is named")
	for _, p := range bad.Check() {
		require.NotContains(t, p.Problem, "ä", "no value is repeated")
	}

	for name, attributes := range map[string]map[string]any{"empty": {"": 1}, "space": {"a b": 1}, "long": {strings.Repeat("a", 101): 1}} {
		p := good
		p.Attributes = attributes
		require.Equal(t, []string{"attributes"}, fields(p.Check()), name)
	}
	for _, language := range []string{"", "en", "de-CH", "zh-Hant-TW", "sl-rozaj-biske-1994"} {
		p := good
		p.Language = language
		require.Empty(t, p.Check(), language)
	}
	for _, language := range []string{"e", "en_US", "en-", "-en", "en us", "germanlanguage", strings.Repeat("a", 36)} {
		p := good
		p.Language = language
		require.Equal(t, []string{"language"}, fields(p.Check()), language)
	}
	p := good
	p.GivenName = strings.Repeat("ä", 150)
	require.Empty(t, p.Check(), "150 characters, not bytes")
}

func TestProfileCheck(t *testing.T) {
	good := domain.ProfileOptions{DisplayName: "Driving licence", Format: "iso-mdl"}
	good.Defaults()
	shown := true
	require.Equal(t, domain.ProfileOptions{DisplayName: "Driving licence", Format: "iso-mdl", NotificationScheme: domain.NotifyDefault,
		OnReissue: domain.ReissueDisable, MaxCopies: 1, LogonCode: domain.LogonCodeNone,
		MDM: domain.MDMRule{Restriction: domain.MDMUnrestricted}, SelfService: domain.SelfServiceOptions{ShowQR: &shown,
			UserID: "{email}", ServerName: "{server_name}", ProfileName: "MobileID {common_name}", NotifyOutcome: domain.OutcomeTold}}, good)
	require.Empty(t, domain.CheckProfile("mdl", good))
	kept := domain.ProfileOptions{NotificationScheme: domain.NotifyNone, OnReissue: domain.ReissueKeep, MaxCopies: 7}
	hidden := false
	kept.LogonCode = domain.LogonCodeSimple
	kept.MDM = domain.MDMRule{Restriction: domain.MDMMustBeRegistered, System: "devices"}
	kept.SelfService = domain.SelfServiceOptions{ShowQR: &hidden, ValidityDays: 9, UserID: "u", ServerName: "s", ProfileName: "p",
		NotifyOutcome: domain.OutcomeQuiet}
	same := kept
	same.Defaults()
	require.Equal(t, kept, same, "what was said stays")

	require.ElementsMatch(t, []string{"name", "display_name", "format", "notification_scheme", "on_reissue", "lifetime_days", "max_copies",
		"credential_group", "exclusive_group", "requisite_data[0]", "requisite_data[2]", "requisite_data[3]", "requisite_data[4]", "logon_code",
		"mdm.required_attributes", "can_receive[1]", "can_validate", "self_service.validity_days", "self_service.user_id",
		"self_service.notify_outcome"}, fields(domain.CheckProfile("-x", domain.ProfileOptions{NotificationScheme: "pigeon", OnReissue: "burn",
		LifetimeDays: -1, MaxCopies: 31, CredentialGroup: "a\x07", ExclusiveGroup: " a", LogonCode: "hard",
		RequisiteData: []string{"shoe_size", "portrait", "attribute.", "attribute.a b", "portrait"},
		MDM:           domain.MDMRule{Restriction: domain.MDMMustNotBeRegistered, RequiredAttributes: "a=b"},
		CanReceive:    []string{"r", "r"}, CanValidate: make([]string, 101),
		SelfService: domain.SelfServiceOptions{ValidityDays: -1, UserID: "{mail}", NotifyOutcome: "often"}})), "every problem is named")
	for _, name := range []string{"", "Mdl", "m dl", ".mdl", "mdl/1", strings.Repeat("a", 64), "mdl\n"} {
		require.Equal(t, []string{"name"}, fields(domain.CheckProfile(name, good)), "%q", name)
	}
}

func TestDeliveries(t *testing.T) {
	link := domain.Delivery{Channel: domain.ChannelEmail, Kind: domain.MessageCollectionLink}
	email := domain.Delivery{Channel: domain.ChannelEmail, Kind: domain.MessageAuthenticationCode}
	sms := domain.Delivery{Channel: domain.ChannelSMS, Kind: domain.MessageAuthenticationCode}
	for scheme, want := range map[domain.NotificationScheme][]domain.Delivery{
		domain.NotifyDefault: {link, email, sms}, domain.NotifyCodeByEmail: {link, email}, domain.NotifyCodeBySMS: {link, sms},
		domain.NotifyNone: nil,
	} {
		require.Equal(t, want, scheme.Deliveries(), scheme)
		require.True(t, scheme.Valid())
	}
	require.False(t, domain.NotificationScheme("pigeon").Valid())
	require.Empty(t, domain.NotificationScheme("pigeon").Deliveries())
}

func TestAuditChain(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	entry := domain.AuditEntry{Seq: 7, At: at, Actor: "a", Action: "b", Subject: "c", PersonID: "d", RequestID: "e", DocumentID: "f",
		Channel: "g", Reason: "h", Notes: "i", Changes: map[string]domain.Change{"state": {Before: "x", After: "y"}}, Hash: "ignored"}
	want := entry.Chain("previous")
	require.Len(t, want, 64)
	require.Equal(t, want, entry.Chain("previous"))
	require.NotEqual(t, want, entry.Chain("another"), "the entry before is part of it")

	// Each field changed, one at a time; a field that is added later and not hashed fails here.
	for i := range reflect.TypeFor[domain.AuditEntry]().NumField() {
		field := reflect.TypeFor[domain.AuditEntry]().Field(i)
		changed := entry
		v := reflect.ValueOf(&changed).Elem().Field(i)
		switch v.Interface().(type) {
		case string:
			v.SetString(v.String() + "!")
		case int64:
			v.SetInt(8)
		case time.Time:
			v.Set(reflect.ValueOf(at.Add(time.Microsecond)))
		case map[string]domain.Change:
			v.Set(reflect.ValueOf(map[string]domain.Change{"state": {Before: "x", After: "z"}}))
		default:
			t.Fatalf("no change known for %s", field.Name)
		}
		if field.Name == "Hash" {
			require.Equal(t, want, changed.Chain("previous"))
			continue
		}
		require.NotEqual(t, want, changed.Chain("previous"), field.Name)
	}

	// What a database may make of an entry without changing it.
	same := entry
	same.At = at.In(time.FixedZone("x", 3600)).Add(999 * time.Nanosecond)
	require.Equal(t, want, same.Chain("previous"))
	none, empty := entry, entry
	none.Changes, empty.Changes = nil, map[string]domain.Change{}
	require.Equal(t, none.Chain(""), empty.Chain(""))
}

func TestScope(t *testing.T) {
	order := []domain.Scope{domain.ScopeNone, domain.ScopeSelf, domain.ScopeDepartment, domain.ScopeDivision, domain.ScopeAll}
	require.Equal(t, order, domain.Scopes())
	for i, a := range order {
		require.True(t, a.Valid())
		for j, b := range order {
			require.Equal(t, order[max(i, j)], a.Wider(b), "%s and %s", a, b)
		}
	}
	require.False(t, domain.Scope("").Valid())
	require.False(t, domain.Scope("galaxy").Valid())
	require.Equal(t, domain.ScopeAll, domain.Scope("").Wider(domain.ScopeAll))
}

func TestCallerWithin(t *testing.T) {
	with := func(s domain.Scope) domain.Caller {
		return domain.Caller{AccountID: "a", PersonID: "p", GroupID: "g", Grants: map[domain.Permission]domain.Scope{domain.PermCancel: s}}
	}
	for name, c := range map[string]struct {
		caller domain.Caller
		want   domain.Within
		has    bool
	}{
		"all":                      {with(domain.ScopeAll), domain.Within{All: true}, true},
		"division":                 {with(domain.ScopeDivision), domain.Within{PersonID: "p", GroupID: "g", Below: true}, true},
		"department":               {with(domain.ScopeDepartment), domain.Within{PersonID: "p", GroupID: "g"}, true},
		"self":                     {with(domain.ScopeSelf), domain.Within{PersonID: "p"}, true},
		"none":                     {with(domain.ScopeNone), domain.Within{}, false},
		"unknown scope":            {with("galaxy"), domain.Within{}, true},
		"no grant":                 {domain.Caller{PersonID: "p", GroupID: "g"}, domain.Within{}, false},
		"the system has no rights": {domain.System(), domain.Within{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, c.caller.Within(domain.PermCancel))
			require.Equal(t, c.want, c.caller.Within(domain.PermDisable, domain.PermCancel), "a permission one lacks changes nothing")
			require.Equal(t, c.want == domain.Within{}, c.want.Nobody())
			require.Equal(t, c.has, c.caller.Has(domain.PermCancel))
			if c.has {
				require.NoError(t, c.caller.Need(domain.PermCancel))
			} else {
				require.Equal(t, domain.CodeForbidden, domain.CodeOf(c.caller.Need(domain.PermCancel)))
			}
		})
	}
	require.True(t, domain.Caller{PersonID: "p"}.Owns("p"))
	require.False(t, domain.Caller{PersonID: "p"}.Owns("q"))
	require.False(t, domain.Caller{}.Owns(""), "nobody is nobody's own")
}

func TestPermissions(t *testing.T) {
	seen := map[domain.Permission]bool{}
	for _, p := range domain.Permissions() {
		require.True(t, p.Valid())
		require.False(t, seen[p])
		seen[p] = true
	}
	require.False(t, domain.Permission("everything").Valid())
}
