package domain_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// allowedFacts are facts that every rule allows; change breaks some.
func allowedFacts(change ...func(f *domain.Facts)) domain.Facts {
	o := domain.ProfileOptions{DisplayName: "Licence", Format: "iso-mdl"}
	o.Defaults()
	f := domain.Facts{Stage: domain.AtRequest, Now: noon, Channel: domain.RequestByOperator, FormatKnown: true, Settings: domain.DefaultSettings(),
		Person: domain.Person{ID: "p", Status: domain.PersonActive, GivenName: "Ada", FamilyName: "Beispiel", Email: "a@b.example",
			Mobile: "+41791234567", HasPortrait: true, LogonName: "ada", Attributes: map[string]any{}},
		Profile:     domain.Profile{ID: "mine", Name: "mdl", Options: o},
		SignerLimit: noon.AddDate(1, 0, 0), DefaultLimit: noon.AddDate(1, -1, 0)}
	for _, c := range change {
		c(&f)
	}
	return f
}

var stages = map[domain.Stage]string{domain.AtRequest: "request", domain.AtApproval: "approval", domain.AtCollection: "collection"}

func codesOf(v domain.Verdict) []domain.Code {
	var out []domain.Code
	for _, e := range v.Refusals {
		out = append(out, e.Code)
	}
	return out
}

// at judges the same facts at every stage and says where they are refused with the code.
func refusedAt(t *testing.T, code domain.Code, change ...func(f *domain.Facts)) []string {
	t.Helper()
	var out []string
	for _, stage := range []domain.Stage{domain.AtRequest, domain.AtApproval, domain.AtCollection} {
		f := allowedFacts(change...)
		f.Stage = stage
		v := f.Judge()
		if len(v.Refusals) == 0 {
			require.NoError(t, v.Err())
			require.False(t, v.ValidUntil.IsZero())
			continue
		}
		require.Equal(t, []domain.Code{code}, codesOf(v), stages[stage])
		require.Equal(t, code, domain.CodeOf(v.Err()))
		out = append(out, stages[stage])
	}
	return out
}

func TestNothingIsRefused(t *testing.T) {
	require.Empty(t, refusedAt(t, ""))
}

// TestRulesByStage walks the table "What is looked at when" of docs/profiles.md.
func TestRulesByStage(t *testing.T) {
	everywhere := []string{"request", "approval", "collection"}
	beforeCollection := []string{"request", "approval"}
	option := func(change func(o *domain.ProfileOptions)) func(f *domain.Facts) {
		return func(f *domain.Facts) { change(&f.Profile.Options) }
	}
	for name, c := range map[string]struct {
		change func(f *domain.Facts)
		code   domain.Code
		at     []string
	}{
		"active person":    {func(f *domain.Facts) { f.Person.Status = domain.PersonInactive }, domain.CodePersonInactive, everywhere},
		"format installed": {func(f *domain.Facts) { f.FormatKnown = false }, domain.CodeUnknownFormat, everywhere},
		"mandatory elements": {func(f *domain.Facts) { f.Misfits.Add("birth_date", "is required") }, domain.CodeMissingData,
			everywhere},
		"portrait": {func(f *domain.Facts) { f.Person.HasPortrait, f.Profile.Options.EnforcePhoto = false, true }, domain.CodeMissingData,
			everywhere},
		"requisite data":   {option(func(o *domain.ProfileOptions) { o.RequisiteData = []string{"external_id"} }), domain.CodeMissingData, everywhere},
		"data approved":    {option(func(o *domain.ProfileOptions) { o.RequireDataApproved = true }), domain.CodeDataNotApproved, everywhere},
		"channel on":       {func(f *domain.Facts) { f.Settings.SMSEnabled = false }, domain.CodeChannelOff, beforeCollection},
		"contact data":     {func(f *domain.Facts) { f.Person.Mobile = "" }, domain.CodeMissingContact, beforeCollection},
		"holder receives":  {option(func(o *domain.ProfileOptions) { o.CanReceive = []string{"r"} }), domain.CodeRoleMissing, everywhere},
		"holder collects":  {option(func(o *domain.ProfileOptions) { o.CanCollect = []string{"r"} }), domain.CodeRoleMissing, everywhere},
		"requester's role": {option(func(o *domain.ProfileOptions) { o.CanRequest = []string{"r"} }), domain.CodeRoleMissing, []string{"request"}},
		"approver's role":  {option(func(o *domain.ProfileOptions) { o.CanValidate = []string{"r"} }), domain.CodeRoleMissing, []string{"approval"}},
		"lifetime":         {func(f *domain.Facts) { f.Person.MaxExpiry = "2020-01-01" }, domain.CodeLifetimeOver, everywhere},
		"signer": {option(func(o *domain.ProfileOptions) { o.LifetimeDays = 600 }), domain.CodeLifetimeBeyondSigner,
			everywhere},
		"exclusive group": {func(f *domain.Facts) {
			f.Profile.Options.ExclusiveGroup = "g"
			f.Documents = []domain.Document{{ID: "d", ProfileID: "other", ExclusiveGroup: "g", State: domain.DocumentActive,
				ValidUntil: noon.AddDate(1, 0, 0)}}
		}, domain.CodeExclusiveGroup, everywhere},
		"logon name": {func(f *domain.Facts) { f.Person.LogonName, f.Profile.Options.LogonCode = "", domain.LogonCodeSimple },
			domain.CodeMissingData, beforeCollection},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.at, refusedAt(t, c.code, c.change))
		})
	}
}

// TestDataApprovalTable walks the table "Photo and approved data" of docs/profiles.md.
func TestDataApprovalTable(t *testing.T) {
	for _, required := range []bool{false, true} {
		for _, approved := range []bool{false, true} {
			for _, early := range []bool{false, true} {
				t.Run(fmt.Sprintf("required %t, approved %t, setting %t", required, approved, early), func(t *testing.T) {
					var want []string
					switch {
					case !required || approved:
					case early:
						want = []string{"approval", "collection"}
					default:
						want = []string{"request", "approval", "collection"}
					}
					require.Equal(t, want, refusedAt(t, domain.CodeDataNotApproved, func(f *domain.Facts) {
						f.Profile.Options.RequireDataApproved, f.Settings.RequestBeforeDataApproval = required, early
						if approved {
							f.Person.DataApproval = domain.DataApproval{By: "a", At: noon, VettedOn: "2026-05-04"}
						}
						require.Equal(t, required && !approved, f.NeedsDataApproval())
					}))
				})
			}
		}
	}
}

// TestRoleTable walks the table "Role sets" of docs/profiles.md: what the holder and the caller have, against what the profile asks for.
func TestRoleTable(t *testing.T) {
	type set = []string
	for name, c := range map[string]struct {
		receive, collect, request, validate set
		holder, actor                       set
		stage                               domain.Stage
		want                                []string // fields of the refusal
	}{
		"no sets":                       {stage: domain.AtRequest},
		"receive and collect":           {receive: set{"a"}, collect: set{"b"}, holder: set{"b", "a"}, stage: domain.AtCollection},
		"receive alone":                 {receive: set{"a"}, collect: set{"b"}, holder: set{"a"}, stage: domain.AtRequest, want: set{"can_collect"}},
		"collect alone":                 {receive: set{"a"}, collect: set{"b"}, holder: set{"b"}, stage: domain.AtRequest, want: set{"can_receive"}},
		"neither":                       {receive: set{"a"}, collect: set{"b"}, stage: domain.AtCollection, want: set{"can_receive", "can_collect"}},
		"one of several":                {receive: set{"a", "b"}, holder: set{"z", "b"}, stage: domain.AtRequest},
		"caller's role is not holder's": {receive: set{"a"}, actor: set{"a"}, stage: domain.AtRequest, want: set{"can_receive"}},
		"requester may":                 {request: set{"a"}, actor: set{"a"}, stage: domain.AtRequest},
		"requester may not":             {request: set{"a"}, holder: set{"a"}, actor: set{"b"}, stage: domain.AtRequest, want: set{"can_request"}},
		"approver need not request":     {request: set{"a"}, actor: set{"b"}, stage: domain.AtApproval},
		"approver may":                  {validate: set{"a"}, actor: set{"a"}, stage: domain.AtApproval},
		"approver may not":              {validate: set{"a"}, actor: set{"b"}, stage: domain.AtApproval, want: set{"can_validate"}},
		"everything lacks": {receive: set{"a"}, collect: set{"a"}, request: set{"a"}, validate: set{"a"}, stage: domain.AtRequest,
			want: set{"can_receive", "can_collect", "can_request"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := allowedFacts(func(f *domain.Facts) {
				o := &f.Profile.Options
				o.CanReceive, o.CanCollect, o.CanRequest, o.CanValidate = c.receive, c.collect, c.request, c.validate
				f.HolderRoles, f.ActorRoles, f.Stage = c.holder, c.actor, c.stage
			}).Judge().Err()
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			var refused *domain.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, domain.CodeRoleMissing, refused.Code)
			require.Equal(t, c.want, fields(refused.Fields))
		})
	}
	o := domain.ProfileOptions{CanValidate: set{"a"}}
	require.NoError(t, o.CheckValidator(set{"a"}))
	require.Equal(t, domain.CodeRoleMissing, domain.CodeOf(o.CheckValidator(nil)))
	require.NoError(t, domain.ProfileOptions{}.CheckValidator(nil))
}

// TestExclusiveGroupTable walks the rows "exclusive" of the table "Groups" of docs/profiles.md.
func TestExclusiveGroupTable(t *testing.T) {
	live := domain.Document{ID: "d", ProfileID: "other", ExclusiveGroup: "g", State: domain.DocumentActive, ValidUntil: noon.Add(time.Hour)}
	for name, c := range map[string]struct {
		group   string
		change  func(d *domain.Document)
		refused bool
	}{
		"other profile, same group": {"g", func(*domain.Document) {}, true},
		"disabled is still held":    {"g", func(d *domain.Document) { d.State = domain.DocumentDisabled }, true},
		"same profile":              {"g", func(d *domain.Document) { d.ProfileID = "mine" }, false},
		"other group":               {"h", func(*domain.Document) {}, false},
		"no group":                  {"", func(d *domain.Document) { d.ExclusiveGroup = "" }, false},
		"canceled":                  {"g", func(d *domain.Document) { d.State = domain.DocumentCanceled }, false},
		"past its end":              {"g", func(d *domain.Document) { d.ValidUntil = noon }, false},
		"never collected":           {"g", func(d *domain.Document) { d.State = domain.DocumentPrepared }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := live
			c.change(&d)
			err := allowedFacts(func(f *domain.Facts) {
				f.Profile.Options.ExclusiveGroup, f.Documents = c.group, []domain.Document{d}
			}).Judge().Err()
			if !c.refused {
				require.NoError(t, err)
				return
			}
			var refused *domain.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, domain.CodeExclusiveGroup, refused.Code)
			require.Equal(t, "d", refused.Details["document_id"])
		})
	}
}

// TestBlockTable walks the rows "block" of the table "Groups" of docs/profiles.md: one request against another open one of the person.
func TestBlockTable(t *testing.T) {
	for name, c := range map[string]struct {
		group, otherGroup       string
		blocks, otherBlocks     bool
		sameProfile             bool
		otherState              domain.RequestState
		refused, canMeetAnother bool
	}{
		"both block":                 {"g", "g", true, true, false, domain.RequestReceived, true, true},
		"this one blocks":            {"g", "g", true, false, false, domain.RequestAwaitingApproval, true, true},
		"the open one blocks":        {"g", "g", false, true, false, domain.RequestAwaitingCollection, true, true},
		"neither blocks":             {"g", "g", false, false, false, domain.RequestReceived, false, true},
		"locked is open":             {"g", "g", true, true, false, domain.RequestLocked, true, true},
		"ended":                      {"g", "g", true, true, false, domain.RequestIssued, false, true},
		"other group":                {"g", "h", true, true, false, domain.RequestReceived, false, true},
		"no groups, other profile":   {"", "", true, true, false, domain.RequestReceived, false, true},
		"no group, same profile":     {"", "", true, true, true, domain.RequestReceived, true, true},
		"no group, nothing blocks":   {"", "", false, false, true, domain.RequestReceived, false, false},
		"group named like a profile": {"mine", "", true, true, true, domain.RequestReceived, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			other := domain.Profile{ID: "other", Options: domain.ProfileOptions{CredentialGroup: c.otherGroup, BlockMultipleRequests: c.otherBlocks}}
			if c.sameProfile {
				other.ID = "mine"
			}
			f := allowedFacts(func(f *domain.Facts) {
				f.Profile.Options.CredentialGroup, f.Profile.Options.BlockMultipleRequests = c.group, c.blocks
				f.OpenRequests = []domain.Request{{ID: "r", PersonID: "p", State: c.otherState, BlockGroup: other.BlockGroup(), Blocking: c.otherBlocks}}
			})
			require.Equal(t, c.canMeetAnother, f.Profile.MeetsOthers())
			request := domain.Request{ID: "new", BlockGroup: f.Profile.BlockGroup(), Blocking: c.blocks}
			require.Equal(t, c.canMeetAnother, request.MeetsOthers())
			require.Nil(t, domain.Request{ID: "r", BlockGroup: request.BlockGroup, Blocking: true}.Blocked(f.OpenRequests), "nothing blocks itself")
			err := f.Judge().Err()
			if !c.refused {
				require.NoError(t, err)
				return
			}
			var refused *domain.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, domain.CodeRequestOpen, refused.Code)
			require.Equal(t, "r", refused.Details["request_id"])
		})
	}
}

func TestRequisiteData(t *testing.T) {
	whole := domain.Person{Status: domain.PersonActive, ExternalID: "x", LogonName: "x", GivenName: "x", FamilyName: "x", Email: "x", Mobile: "x",
		BirthDate: "2000-01-01", GroupID: "x", Language: "en", MaxExpiry: "2027-01-01", ExternalMobileID: "x", HasPortrait: true,
		HasSignature: true, Attributes: map[string]any{"text": "x", "no": false, "zero": 0.0, "list": []any{1.0}, "map": map[string]any{"a": 1.0}}}
	all := append(domain.Requisites(), "attribute.text", "attribute.no", "attribute.zero", "attribute.list", "attribute.map")
	require.True(t, slices.IsSorted(domain.Requisites()))
	require.Empty(t, refusedAt(t, "", func(f *domain.Facts) { f.Person, f.Profile.Options.RequisiteData = whole, all }))

	empty := domain.Person{Status: domain.PersonActive, Attributes: map[string]any{"text": "  ", "list": []any{}, "map": map[string]any{}, "no": nil}}
	err := allowedFacts(func(f *domain.Facts) {
		f.Stage, f.Person, f.Profile.Options.RequisiteData = domain.AtCollection, empty, all
	}).Judge().Err()
	var refused *domain.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, domain.CodeMissingData, refused.Code)
	require.Equal(t, all, fields(refused.Fields), "every missing one is listed")
}

// Everything that is wrong is told at once, with the code of what is most fundamental.
func TestAllProblemsAtOnce(t *testing.T) {
	f := allowedFacts(func(f *domain.Facts) {
		f.Person = domain.Person{ID: "p", Status: domain.PersonInactive, MaxExpiry: "2020-01-01"}
		o := &f.Profile.Options
		o.CanReceive, o.RequireDataApproved, o.EnforcePhoto, o.RequisiteData = []string{"r"}, true, true, []string{"portrait", "email", "birth_date"}
		o.ExclusiveGroup, o.BlockMultipleRequests, o.LogonCode = "g", true, domain.LogonCodeComplex
		f.Misfits.Add("birth_date", "is required by the format")
		f.Documents = []domain.Document{{ID: "d", ProfileID: "other", ExclusiveGroup: "g", State: domain.DocumentActive, ValidUntil: noon.Add(time.Hour)}}
		f.OpenRequests = []domain.Request{{ID: "r", State: domain.RequestReceived, BlockGroup: f.Profile.BlockGroup()}}
		f.Settings.SMSEnabled, f.FormatKnown = false, false
	})
	v := f.Judge()
	require.Equal(t, []domain.Code{domain.CodeRoleMissing, domain.CodePersonInactive, domain.CodeUnknownFormat, domain.CodeDataNotApproved,
		domain.CodeExclusiveGroup, domain.CodeRequestOpen, domain.CodeChannelOff, domain.CodeMissingData, domain.CodeMissingContact,
		domain.CodeLifetimeOver}, codesOf(v))
	require.True(t, v.ValidUntil.IsZero())
	var all *domain.Error
	require.ErrorAs(t, v.Err(), &all)
	require.Equal(t, domain.CodeRoleMissing, all.Code)
	require.Equal(t, []string{"can_receive", "person_inactive", "format", "data_not_approved", "exclusive_group", "request_open", "sms_enabled",
		"birth_date", "portrait", "email", "logon_name", "email", "mobile", "lifetime_over"}, fields(all.Fields))
	require.Equal(t, map[string]string{"document_id": "d", "request_id": "r"}, all.Details)
}

// The bound of self-service holds for what holders ask for themselves, and for nothing else.
func TestSelfServiceLifetime(t *testing.T) {
	for name, c := range map[string]struct {
		channel           domain.RequestChannel
		days, selfService int
		asked             domain.Date
		want              time.Time
	}{
		"holder, bound":                 {domain.RequestByHolder, 0, 100, "", noon.AddDate(0, 0, 100)},
		"holder, bound beyond lifetime": {domain.RequestByHolder, 50, 100, "", noon.AddDate(0, 0, 50)},
		"holder, bound within lifetime": {domain.RequestByHolder, 200, 100, "", noon.AddDate(0, 0, 100)},
		"holder, no bound":              {domain.RequestByHolder, 200, 0, "", noon.AddDate(0, 0, 200)},
		"holder, nothing set":           {domain.RequestByHolder, 0, 0, "", noon.AddDate(1, -1, 0)},
		"holder, earlier day":           {domain.RequestByHolder, 0, 100, "2026-06-01", time.Date(2026, 6, 1, 23, 59, 59, 0, time.UTC)},
		"holder, bound beyond signer":   {domain.RequestByHolder, 0, 700, "", noon.AddDate(1, -1, 0)},
		"operator":                      {domain.RequestByOperator, 0, 100, "", noon.AddDate(1, -1, 0)},
		"client":                        {domain.RequestByClient, 200, 100, "", noon.AddDate(0, 0, 200)},
	} {
		t.Run(name, func(t *testing.T) {
			v := allowedFacts(func(f *domain.Facts) {
				f.Channel, f.Profile.Options.LifetimeDays, f.Profile.Options.SelfService.ValidityDays = c.channel, c.days, c.selfService
				f.Expiry = c.asked
			}).Judge()
			require.NoError(t, v.Err())
			require.Equal(t, c.want, v.ValidUntil)
		})
	}
}

// A holder whom no message reaches, and who sees link and code on screen, needs no contact data and no channel.
func TestDeliveriesOnScreen(t *testing.T) {
	unreachable := func(f *domain.Facts) { f.Person.Email, f.Person.Mobile = "", "" }
	screen := func(f *domain.Facts) { f.Channel, f.OnScreen = domain.RequestByHolder, true }
	require.Equal(t, []string{"request", "approval"}, refusedAt(t, domain.CodeMissingContact, unreachable))
	require.Empty(t, refusedAt(t, "", unreachable, screen))
	require.Empty(t, allowedFacts(unreachable, screen).Deliveries())
	require.Len(t, allowedFacts(screen).Deliveries(), 3)
	require.Equal(t, []string{"request", "approval"}, refusedAt(t, domain.CodeMissingContact, screen, func(f *domain.Facts) { f.Person.Mobile = "" }),
		"where some messages would arrive, all have to")
}

func TestProfileDeliveries(t *testing.T) {
	link := domain.Delivery{Channel: domain.ChannelEmail, Kind: domain.MessageCollectionLink}
	code := domain.Delivery{Channel: domain.ChannelEmail, Kind: domain.MessageAuthenticationCode}
	sms := domain.Delivery{Channel: domain.ChannelSMS, Kind: domain.MessageAuthenticationCode}
	logon := domain.Delivery{Channel: domain.ChannelEmail, Kind: domain.MessageLogonCode}
	logonSMS := domain.Delivery{Channel: domain.ChannelSMS, Kind: domain.MessageLogonCode}
	for scheme, want := range map[domain.NotificationScheme][]domain.Delivery{
		domain.NotifyDefault: {link, code, sms, logon}, domain.NotifyCodeByEmail: {link, code, logon},
		domain.NotifyCodeBySMS: {link, sms, logonSMS}, domain.NotifyNone: nil,
	} {
		o := domain.ProfileOptions{NotificationScheme: scheme, LogonCode: domain.LogonCodeComplex}
		require.Equal(t, want, o.Deliveries(), scheme)
		o.LogonCode = domain.LogonCodeNone
		require.Equal(t, scheme.Deliveries(), o.Deliveries(), scheme)
	}
}

func TestDisplay(t *testing.T) {
	o := domain.ProfileOptions{DisplayName: "Licence"}
	o.Defaults()
	p := domain.Person{GivenName: "Ada", FamilyName: "{email}", Email: "a@b.example", LogonName: "ada"}
	require.Equal(t, domain.Display{UserID: "a@b.example", ServerName: "Office", ProfileName: "MobileID Ada {email}"}, o.Display(p, "Office"))
	o.SelfService.UserID = "{logon_name} of {server_name}: {display_name}"
	require.Empty(t, domain.CheckProfile("x", withFormat(o)))
	require.Equal(t, "ada of Office: Licence", o.Display(p, "Office").UserID)
	for _, text := range []string{"{", "}", "{}", "{mail}", "{{email}}", "{email", "{EMAIL}", "{e\nmail}"} {
		o.SelfService.ProfileName = text
		require.Contains(t, fields(domain.CheckProfile("x", withFormat(o))), "self_service.profile_name", text)
	}
}

func withFormat(o domain.ProfileOptions) domain.ProfileOptions {
	o.Format = "iso-mdl"
	return o
}

func TestCollectionRefusals(t *testing.T) {
	for _, code := range domain.Codes() {
		require.Equal(t, slices.Contains(domain.CollectionRefusals(), code), code.RefusesCollection(), code)
		if code.EndsCollection() {
			require.True(t, code.RefusesCollection(), code)
			require.True(t, code.PreventsBegin(), code)
		}
	}
	require.True(t, domain.CodeUnknownFormat.PreventsBegin())
	require.False(t, domain.CodeUnknownFormat.EndsCollection(), "a format can be installed again")
	// A refusal that the facts know of at collection is one of those that are kept with the request.
	v := allowedFacts(func(f *domain.Facts) {
		f.Stage, f.Person, f.FormatKnown = domain.AtCollection, domain.Person{MaxExpiry: "2020-01-01"}, false
		o := &f.Profile.Options
		o.CanReceive, o.RequireDataApproved, o.EnforcePhoto, o.ExclusiveGroup = []string{"r"}, true, true, "g"
		f.Documents = []domain.Document{{ProfileID: "x", ExclusiveGroup: "g", State: domain.DocumentActive, ValidUntil: noon.Add(time.Hour)}}
	}).Judge()
	require.Len(t, v.Refusals, 7)
	for _, refused := range v.Refusals {
		require.True(t, refused.Code.RefusesCollection(), refused.Code)
	}
}

// TestShowQRTable: a QR code is shown only for a request that waits for collection, and never before an approval that is needed (C5).
func TestShowQRTable(t *testing.T) {
	shown, hidden := true, false
	for _, state := range domain.RequestStates() {
		for _, approval := range []bool{false, true} {
			for name, show := range map[string]*bool{"default": nil, "shown": &shown, "hidden": &hidden} {
				t.Run(fmt.Sprintf("%s, approval %t, %s", state, approval, name), func(t *testing.T) {
					err := domain.CheckShowQR(domain.Request{State: state}, domain.ProfileOptions{ValidateIssuance: approval,
						SelfService: domain.SelfServiceOptions{ShowQR: show}})
					want := domain.CodeWrongState
					switch {
					case state == domain.RequestAwaitingApproval, state == domain.RequestReceived && approval:
						want = domain.CodeApprovalRequired
					case state == domain.RequestAwaitingCollection && show == &hidden:
						want = domain.CodeForbidden
					case state == domain.RequestAwaitingCollection:
						require.NoError(t, err)
						return
					}
					require.Equal(t, want, domain.CodeOf(err))
				})
			}
		}
	}
}
