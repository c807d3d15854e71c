package domain

import (
	"slices"
	"strings"
	"time"
)

// Stage is a point of a request's way at which its rules are looked at.
type Stage int

// The stages.
const (
	AtRequest    Stage = iota + 1 // when it is made, and in its preview
	AtApproval                    // when somebody approves it, for the profile that is approved
	AtCollection                  // when a wallet comes, for the latest version of the profile
)

// Facts are everything that the rules of a profile look at (B3 to B7, B13). The rule for the holder's device is not here: see [MDMRule].
type Facts struct {
	Stage    Stage
	Update   bool // of a document that the person has (F3): nothing is sent that the holder would have to type
	Now      time.Time
	Person   Person
	Profile  Profile
	Settings Settings
	Channel  RequestChannel
	Expiry   Date // last day of validity asked for; empty = none
	OnScreen bool // the holder can see link and code on a screen of their own (C5)

	HolderRoles []string // roles of the enabled accounts of the person
	ActorRoles  []string // roles of whoever requests or approves; not looked at when a wallet comes

	Documents    []Document // the person's live documents, without the one that is being collected
	OpenRequests []Request  // the person's other open requests, where they count

	FormatKnown bool     // the document format is installed
	Misfits     Problems // mandatory data elements without a value, and values that do not fit, as the format says

	SignerLimit  time.Time // as in Lifetime
	DefaultLimit time.Time
}

// Verdict is what the rules say.
type Verdict struct {
	ValidUntil time.Time // end of validity of a document collected now; zero when the lifetime is refused
	Refusals   []*Error  // one for each code, the most fundamental first; empty = allowed
}

// Judge looks at every rule of the stage.
func (f Facts) Judge() Verdict {
	var v Verdict
	for _, rule := range []func() *Error{f.checkRoles, f.checkActive, f.checkFormat, f.checkApproved, f.checkExclusive, f.checkOpen,
		f.checkChannels, f.checkData, f.checkContact} {
		if refused := rule(); refused != nil {
			v.Refusals = append(v.Refusals, refused)
		}
	}
	until, refused := f.Lifetime().validUntil(f.Now)
	if refused != nil {
		v.Refusals = append(v.Refusals, refused)
	}
	v.ValidUntil = until
	return v
}

// Err gives nil when everything is allowed, the refusal when there is one, and else one Error with the code and the text of the most fundamental
// refusal and the fields of all.
func (v Verdict) Err() error {
	switch len(v.Refusals) {
	case 0:
		return nil
	case 1:
		return v.Refusals[0]
	}
	first := v.Refusals[0]
	out := Errorf(first.Code, "%s", first.Message)
	for _, refused := range v.Refusals {
		out.Fields = append(out.Fields, refused.Findings()...)
		for name, value := range refused.Details {
			if out.Details[name] == "" {
				out = out.With(name, value)
			}
		}
	}
	return out
}

// Findings gives the fields of the refusal; one without fields gives one that is named after its code.
func (e *Error) Findings() []FieldError {
	if len(e.Fields) > 0 {
		return e.Fields
	}
	return []FieldError{{Field: string(e.Code), Problem: e.Message}}
}

// Lifetime gives what limits the lifetime.
func (f Facts) Lifetime() Lifetime {
	parent, _ := f.Parent()
	l := Lifetime{ParentEnd: parent.ValidUntil, Days: f.Profile.Options.LifetimeDays, RequestedDate: f.Expiry, PersonMax: f.Person.MaxExpiry, SignerLimit: f.SignerLimit,
		DefaultLimit: f.DefaultLimit}
	if f.Channel == RequestByHolder {
		l.SelfServiceDays = DefaultLifetimeDays
		if days := f.Profile.Options.SelfService.ValidityDays; days != 0 {
			l.SelfServiceDays = days
		}
	}
	return l
}

// roleIn says whether one of the roles is in a role set of a profile; an empty set asks for none (B13).
func roleIn(set, roles []string) bool {
	return len(set) == 0 || slices.ContainsFunc(roles, func(id string) bool { return slices.Contains(set, id) })
}

// checkRoles: the holder must be able to receive and to collect; whoever requests or approves must be one of those who may.
func (f Facts) checkRoles() *Error {
	o := f.Profile.Options
	var lacking Problems
	need := func(field string, set, roles []string, who string) {
		if !roleIn(set, roles) {
			lacking.Add(field, "has none of the %s's roles", who)
		}
	}
	need("can_receive", o.CanReceive, f.HolderRoles, "holder")
	need("can_collect", o.CanCollect, f.HolderRoles, "holder")
	switch f.Stage {
	case AtRequest:
		need("can_request", o.CanRequest, f.ActorRoles, "requester")
	case AtApproval:
		need("can_validate", o.CanValidate, f.ActorRoles, "approver")
	case AtCollection:
	}
	return refusalOf(lacking, CodeRoleMissing, "the profile is for other roles")
}

// CheckValidator refuses an approver who has none of the roles that may decide on requests of the profile (B13).
func (o ProfileOptions) CheckValidator(roles []string) error {
	if roleIn(o.CanValidate, roles) {
		return nil
	}
	return &Error{Code: CodeRoleMissing, Message: "the profile is for other roles",
		Fields: []FieldError{{Field: "can_validate", Problem: "has none of the approver's roles"}}}
}

func (f Facts) checkActive() *Error {
	if f.Person.Status == PersonActive {
		return nil
	}
	return Errorf(CodePersonInactive, "only an active person can receive a document")
}

func (f Facts) checkFormat() *Error {
	if f.FormatKnown {
		return nil
	}
	return UnknownFormat()
}

// UnknownFormat says that a profile names a format that is not installed.
func UnknownFormat() *Error {
	return &Error{Code: CodeUnknownFormat, Message: "the document format is not installed",
		Fields: []FieldError{{Field: "format", Problem: "names no installed document format"}}}
}

// NeedsDataApproval says that the profile demands approved data and the person's are not (B6).
func (f Facts) NeedsDataApproval() bool {
	return f.Profile.Options.RequireDataApproved && !f.Person.DataApproval.Approved()
}

// checkApproved: a setting lets requests be made before the data are approved; nothing lets them be approved or collected.
func (f Facts) checkApproved() *Error {
	if !f.NeedsDataApproval() || (f.Stage == AtRequest && f.Settings.RequestBeforeDataApproval) {
		return nil
	}
	return Errorf(CodeDataNotApproved, "the profile demands that the person's data are approved, and they are not")
}

// checkExclusive: no live document of another profile of the exclusive group (B5).
func (f Facts) checkExclusive() *Error {
	group := f.Profile.Options.ExclusiveGroup
	if group == "" {
		return nil
	}
	for _, d := range f.Documents {
		if d.ExclusiveGroup == group && d.ProfileID != f.Profile.ID && d.StateAt(f.Now).Live() {
			return Errorf(CodeExclusiveGroup, "the person holds a document of another profile of the exclusive group").With("document_id", d.ID)
		}
	}
	return nil
}

// Parent gives the document that one of the profile is derived from, if it is: of the active ones of that profile the one that ends last; none when the
// person has none.
func (f Facts) Parent() (parent Document, derived bool) {
	if f.Profile.Options.DerivedFrom == "" {
		return parent, false
	}
	for _, d := range f.Documents {
		if d.ProfileID == f.Profile.Options.DerivedFrom && d.StateAt(f.Now) == DocumentActive && d.ValidUntil.After(parent.ValidUntil) {
			parent = d
		}
	}
	return parent, true
}

func (f Facts) checkOpen() *Error {
	return Request{BlockGroup: f.Profile.BlockGroup(), Blocking: f.Profile.Options.BlockMultipleRequests}.Blocked(f.OpenRequests)
}

// Blocked refuses the request when another open one of the same person and block group stands in its way: when this one, or the other, is of a
// profile that blocks (B5).
func (r Request) Blocked(others []Request) *Error {
	for _, other := range others {
		if other.ID != r.ID && other.State.Open() && other.BlockGroup == r.BlockGroup && (r.Blocking || other.Blocking) {
			return RequestOpen().With("request_id", other.ID)
		}
	}
	return nil
}

// MeetsOthers says whether the request can stand in the way of another one, or another one in its.
func (r Request) MeetsOthers() bool {
	return r.Blocking || strings.HasPrefix(r.BlockGroup, blockByGroup)
}

// RequestOpen says that another request is in the way.
func RequestOpen() *Error {
	return Errorf(CodeRequestOpen, "the person has an open request, and the profile allows one of its group at a time")
}

// checkChannels: what the delivery needs must be switched on.
func (f Facts) checkChannels() *Error {
	var off Problems
	for _, channel := range f.channels() {
		switch {
		case channel == ChannelEmail && !f.Settings.EmailEnabled:
			off.Add("email_enabled", "is off, and the profile's notification scheme needs e-mail")
		case channel == ChannelSMS && !f.Settings.SMSEnabled:
			off.Add("sms_enabled", "is off, and the profile's notification scheme needs SMS")
		}
	}
	return refusalOf(off, CodeChannelOff, "a channel is switched off")
}

// checkContact: only the contact data that the delivery needs is required (C1).
func (f Facts) checkContact() *Error {
	var missing Problems
	for _, channel := range f.channels() {
		switch {
		case channel == ChannelEmail && f.Person.Email == "":
			missing.Add("email", "is needed by the profile's notification scheme")
		case channel == ChannelSMS && f.Person.Mobile == "":
			missing.Add("mobile", "is needed by the profile's notification scheme")
		}
	}
	return refusalOf(missing, CodeMissingContact, "contact data is missing")
}

// Unreachable says that no message can be sent to the person.
func (p Person) Unreachable() bool { return p.Email == "" && p.Mobile == "" }

// Deliveries gives the messages that the holder gets when the document can be collected: none to somebody who sees link and code on screen because no
// message arrives.
func (f Facts) Deliveries() []Delivery {
	if f.OnScreen && f.Person.Unreachable() {
		return nil
	}
	return f.Profile.Options.Deliveries()
}

// channels gives those that link and codes travel on; none once they have arrived, and none for an update, which needs neither: its message only says
// that it is there.
func (f Facts) channels() []Channel {
	var out []Channel
	if f.Stage == AtCollection || f.Update {
		return nil
	}
	for _, d := range f.Deliveries() {
		if !slices.Contains(out, d.Channel) {
			out = append(out, d.Channel)
		}
	}
	return out
}

// checkData lists everything that is missing: mandatory data elements, the portrait, the profile's requisite data (B6), and the document that this one is
// derived from.
func (f Facts) checkData() *Error {
	missing := slices.Clone(f.Misfits)
	add := func(field, problem string) {
		if !slices.ContainsFunc(missing, func(p FieldError) bool { return p.Field == field }) {
			missing.Add(field, "%s", problem)
		}
	}
	if f.Profile.Options.EnforcePhoto && !f.Person.HasPortrait {
		add(string(ImagePortrait), "is required by the profile (enforce_photo)")
	}
	for _, field := range f.Profile.Options.RequisiteData {
		if !f.Person.has(field) {
			add(field, "is required by the profile (requisite_data)")
		}
	}
	if parent, derived := f.Parent(); derived && parent.ID == "" {
		add("derived_from", "the person has no active document of the profile that this one is derived from")
	}
	if f.Stage != AtCollection && !f.Update && f.Profile.Options.hasLogonCode() && f.Person.LogonName == "" {
		add("logon_name", "is needed to sign in with the profile's logon code")
	}
	return refusalOf(missing, CodeMissingData, "data for the document is missing or does not fit")
}

// attributePrefix begins the names of attributes among requisite data.
const attributePrefix = "attribute."

// requisites are what requisite_data may name beside attributes, and whether a person has it.
var requisites = map[string]func(p Person) bool{
	"external_id":        func(p Person) bool { return p.ExternalID != "" },
	"logon_name":         func(p Person) bool { return p.LogonName != "" },
	"given_name":         func(p Person) bool { return p.GivenName != "" },
	"family_name":        func(p Person) bool { return p.FamilyName != "" },
	"email":              func(p Person) bool { return p.Email != "" },
	"mobile":             func(p Person) bool { return p.Mobile != "" },
	"birth_date":         func(p Person) bool { return p.BirthDate != "" },
	"group":              func(p Person) bool { return p.GroupID != "" },
	"language":           func(p Person) bool { return p.Language != "" },
	"max_expiry":         func(p Person) bool { return p.MaxExpiry != "" },
	"external_mobile_id": func(p Person) bool { return p.ExternalMobileID != "" },
	"portrait":           func(p Person) bool { return p.HasPortrait },
	"signature":          func(p Person) bool { return p.HasSignature },
}

// Requisites lists what requisite_data may name beside attribute.NAME, in alphabetical order.
func Requisites() []string {
	out := make([]string, 0, len(requisites))
	for name := range requisites {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// has says whether the person has a value for a name of requisite_data.
func (p Person) has(name string) bool {
	if attribute, ok := strings.CutPrefix(name, attributePrefix); ok {
		return !blank(p.Attributes[attribute])
	}
	has := requisites[name]
	return has != nil && has(p)
}

// blank says that an attribute says nothing; false and 0 do say something.
func blank(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(v) == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// collectionRefusals are the codes with which rules refuse a collection.
var collectionRefusals = []Code{CodeRoleMissing, CodePersonInactive, CodeUnknownFormat, CodeDataNotApproved, CodeExclusiveGroup, CodeMissingData,
	CodeLifetimeBeyondSigner, CodeLifetimeOver, CodeDeviceRefused, CodeDeviceUnknown}

// CollectionRefusals lists the codes with which rules refuse a collection; such a code is kept with the request (C4).
func CollectionRefusals() []Code { return slices.Clone(collectionRefusals) }

// RefusesCollection says whether c is one of [CollectionRefusals].
func (c Code) RefusesCollection() bool { return slices.Contains(collectionRefusals, c) }

// EndsCollection says whether a collection refused with c ends the request: no wallet can ever get the document. All else can be mended.
func (c Code) EndsCollection() bool { return c == CodeLifetimeOver }

// PreventsBegin says whether c ends a request before anything was sent: its collection could not pass.
func (c Code) PreventsBegin() bool { return c == CodeLifetimeOver || c == CodeUnknownFormat }

// CheckShowQR says whether the holder may see the request's QR code on screen (C5): not before an approval that is needed, and only where the
// profile shows it.
func CheckShowQR(r Request, o ProfileOptions) error {
	switch {
	case r.State == RequestAwaitingApproval || (r.State == RequestReceived && o.ValidateIssuance):
		return Errorf(CodeApprovalRequired, "the request has not been approved yet").With("state", string(r.State))
	case r.State != RequestAwaitingCollection:
		return Errorf(CodeWrongState, "the request is %s, which has no QR code", r.State).With("state", string(r.State))
	case o.SelfService.ShowQR != nil && !*o.SelfService.ShowQR:
		return Errorf(CodeForbidden, "the profile sends the link by e-mail only")
	}
	return nil
}

// refusalOf is Problems.Err that gives an *Error.
func refusalOf(ps Problems, code Code, message string) *Error {
	if len(ps) == 0 {
		return nil
	}
	return &Error{Code: code, Message: message, Fields: ps}
}
