package domain

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// NotificationScheme says how link and code reach the holder (B7). Link and code never travel in one message.
type NotificationScheme string

// The notification schemes.
const (
	NotifyDefault     NotificationScheme = "default"       // link by e-mail; code by e-mail and by SMS
	NotifyCodeByEmail NotificationScheme = "code_by_email" // link by e-mail; code by a second e-mail
	NotifyCodeBySMS   NotificationScheme = "code_by_sms"   // link by e-mail; code by SMS
	NotifyNone        NotificationScheme = "none"          // nothing is sent; an operator reads both on screen
)

// Deliveries gives the messages of the scheme in the order they are sent.
func (n NotificationScheme) Deliveries() []Delivery {
	link := Delivery{ChannelEmail, MessageCollectionLink}
	byEmail := Delivery{ChannelEmail, MessageAuthenticationCode}
	bySMS := Delivery{ChannelSMS, MessageAuthenticationCode}
	switch n {
	case NotifyDefault:
		return []Delivery{link, byEmail, bySMS}
	case NotifyCodeByEmail:
		return []Delivery{link, byEmail}
	case NotifyCodeBySMS:
		return []Delivery{link, bySMS}
	case NotifyNone:
		return nil
	}
	return nil
}

// Deliveries gives every message that goes to the holder when a document can be collected, in the order they are sent. The logon code goes
// the way of the authentication code, but once; where the scheme sends nothing, an operator reads both on screen.
func (o ProfileOptions) Deliveries() []Delivery {
	return append(o.NotificationScheme.Deliveries(), o.logonDeliveries()...)
}

// logonDeliveries gives the messages with the logon code, if the profile has one (B8).
func (o ProfileOptions) logonDeliveries() []Delivery {
	if !o.hasLogonCode() {
		return nil
	}
	switch o.NotificationScheme {
	case NotifyDefault, NotifyCodeByEmail:
		return []Delivery{{ChannelEmail, MessageLogonCode}}
	case NotifyCodeBySMS:
		return []Delivery{{ChannelSMS, MessageLogonCode}}
	case NotifyNone:
	}
	return nil
}

func (o ProfileOptions) hasLogonCode() bool { return o.LogonCode != "" && o.LogonCode != LogonCodeNone }

// Valid says whether n is one of the schemes.
func (n NotificationScheme) Valid() bool {
	switch n {
	case NotifyDefault, NotifyCodeByEmail, NotifyCodeBySMS, NotifyNone:
		return true
	}
	return false
}

// OnReissue says what happens to the person's other live documents of the same credential group when a document is collected (B4).
type OnReissue string

// The choices of OnReissue.
const (
	ReissueKeep    OnReissue = "keep"
	ReissueDisable OnReissue = "disable"
	ReissueCancel  OnReissue = "cancel"
)

// DefaultLifetimeDays is the lifetime of a document whose profile sets none (B3).
const DefaultLifetimeDays = 730

// Profile is one version of a credential profile (B1): which document, under which rules.
type Profile struct {
	ID        string
	Name      string // unique; also the credential configuration id for wallets
	Version   int
	Comment   string
	Options   ProfileOptions
	CreatedBy string
	CreatedAt time.Time
}

// BlockGroup names what the profile's requests count as one of (B5): its credential group or, without one, the profile itself.
func (p Profile) BlockGroup() string {
	if p.Options.CredentialGroup != "" {
		return blockByGroup + p.Options.CredentialGroup
	}
	return "profile " + p.ID
}

const blockByGroup = "group "

// MeetsOthers says whether a request of the profile can stand in the way of another one, or another one in its.
func (p Profile) MeetsOthers() bool {
	return p.Options.BlockMultipleRequests || p.Options.CredentialGroup != ""
}

// ProfileOptions are the rules of a profile. The JSON form is stored and is the API's form. What they mean where two of them meet is told in
// docs/profiles.md.
type ProfileOptions struct {
	DisplayName          string             `json:"display_name"`
	Format               string             `json:"format"`
	ValidateIssuance     bool               `json:"validate_issuance"`
	ValidateCancellation bool               `json:"validate_cancellation"`
	LifetimeDays         int                `json:"lifetime_days,omitempty"` // 0 = unset
	NotificationScheme   NotificationScheme `json:"notification_scheme"`
	MaxCopies            int                `json:"max_copies"`

	// Of documents of the same person (B4, B5).
	CredentialGroup       string    `json:"credential_group,omitempty"`
	OnReissue             OnReissue `json:"on_reissue"`
	IssueOverExisting     bool      `json:"issue_over_existing"`
	ExclusiveGroup        string    `json:"exclusive_group,omitempty"`
	BlockMultipleRequests bool      `json:"block_multiple_requests"`

	DerivedFrom string `json:"derived_from,omitempty"` // id of the profile whose document the holder must have, and with which this one ends (A4, F4)

	// What the person must have (B6).
	EnforcePhoto        bool     `json:"enforce_photo"`
	RequisiteData       []string `json:"requisite_data,omitempty"` // fields of the person, or attribute.NAME
	RequireDataApproved bool     `json:"require_data_approved"`

	LogonCode LogonCodeKind `json:"logon_code"` // sent when the document can be collected (B8)

	MDM MDMRule `json:"mdm"` // what the holder's device must be to the mobile device management (B10)

	KeyAttestation Resistances `json:"key_attestation"` // what the wallet's keys must be attested, at least (E3)

	// Ids of the roles that may; empty = every role, and none is needed (B13).
	CanReceive  []string `json:"can_receive,omitempty"`
	CanRequest  []string `json:"can_request,omitempty"`
	CanValidate []string `json:"can_validate,omitempty"`
	CanCollect  []string `json:"can_collect,omitempty"`

	SelfService SelfServiceOptions `json:"self_service"`

	Renewal RenewalOptions `json:"renewal"` // without anybody asking (F6)
}

// LogonCodeKind says which rule a logon code follows (B8).
type LogonCodeKind string

// The kinds of logon code; the rules of simple and complex ones are settings.
const (
	LogonCodeNone    LogonCodeKind = "none"
	LogonCodeSimple  LogonCodeKind = "simple"
	LogonCodeComplex LogonCodeKind = "complex"
)

// Outcome says whether the holder is told how an issuance ended.
type Outcome string

// The choices of Outcome.
const (
	OutcomeTold  Outcome = "always"
	OutcomeQuiet Outcome = "never"
)

// SelfServiceOptions are what a holder sees of a profile (B14).
type SelfServiceOptions struct {
	// ShowQR lets the holder collect by a QR code on screen; without it the link goes by e-mail only.
	ShowQR *bool `json:"show_qr,omitempty"`
	// ValidityDays bounds documents that holders ask for themselves; 0 = DefaultLifetimeDays.
	ValidityDays int `json:"validity_days,omitempty"`
	// UserID, ServerName and ProfileName are shown beside the QR code. They may hold {email}, {logon_name}, {common_name}, {server_name} and
	// {display_name}.
	UserID      string `json:"user_id,omitempty"`
	ServerName  string `json:"server_name,omitempty"`
	ProfileName string `json:"profile_name,omitempty"`
	// NotifyOutcome tells the holder about success and failure; it holds for requests of every channel.
	NotifyOutcome Outcome `json:"notify_outcome,omitempty"`
}

// MaxCopiesLimit is the most copies of one document (one per wallet key) that a profile may allow.
const MaxCopiesLimit = 30

// Defaults fills what was left out.
func (o *ProfileOptions) Defaults() {
	if o.NotificationScheme == "" {
		o.NotificationScheme = NotifyDefault
	}
	if o.OnReissue == "" {
		o.OnReissue = ReissueDisable
	}
	if o.MaxCopies == 0 {
		o.MaxCopies = 1
	}
	if o.LogonCode == "" {
		o.LogonCode = LogonCodeNone
	}
	o.MDM.Defaults()
	if o.SelfService.ShowQR == nil {
		shown := true
		o.SelfService.ShowQR = &shown
	}
	for _, text := range []struct {
		value     *string
		otherwise string
	}{
		{&o.SelfService.UserID, "{email}"},
		{&o.SelfService.ServerName, "{server_name}"},
		{&o.SelfService.ProfileName, "MobileID {common_name}"},
	} {
		if *text.value == "" {
			*text.value = text.otherwise
		}
	}
	if o.SelfService.NotifyOutcome == "" {
		o.SelfService.NotifyOutcome = OutcomeTold
	}
}

var profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// CheckProfile reports every rule that name and options break. Whether the format, the roles and the device management system that it names
// exist is for whoever knows them.
func CheckProfile(name string, o ProfileOptions) Problems {
	var ps Problems
	if !profileName.MatchString(name) {
		ps.Add("name", "must be 1 to 63 of a-z, 0-9, dot, dash, underscore, starting with a letter or digit")
	}
	checkText(&ps, "display_name", o.DisplayName, true)
	if o.Format == "" {
		ps.Add("format", "is required: the id of a document format")
	}
	if !o.NotificationScheme.Valid() {
		ps.Add("notification_scheme", "must be default, code_by_email, code_by_sms or none")
	}
	switch o.OnReissue {
	case ReissueKeep, ReissueDisable, ReissueCancel:
	default:
		ps.Add("on_reissue", "must be keep, disable or cancel")
	}
	switch o.LogonCode {
	case LogonCodeNone, LogonCodeSimple, LogonCodeComplex:
	default:
		ps.Add("logon_code", "must be none, simple or complex")
	}
	if o.LifetimeDays < 0 {
		ps.Add("lifetime_days", "must be at least 1")
	}
	if o.MaxCopies < 1 || o.MaxCopies > MaxCopiesLimit {
		ps.Add("max_copies", "must be between 1 and %d", MaxCopiesLimit)
	}
	checkGroup(&ps, "credential_group", o.CredentialGroup)
	checkGroup(&ps, "exclusive_group", o.ExclusiveGroup)
	checkRequisites(&ps, o.RequisiteData)
	for _, set := range o.RoleSets() {
		checkRoleSet(&ps, set)
	}
	for _, p := range o.MDM.Check() {
		ps.Add("mdm."+p.Field, "%s", p.Problem)
	}
	o.KeyAttestation.check(&ps, "key_attestation.")
	o.SelfService.check(&ps)
	o.checkRenewal(&ps)
	return ps
}

// checkGroup: groups are compared exactly, so that spaces at the ends would make two out of one.
func checkGroup(ps *Problems, field, group string) {
	checkText(ps, field, group, false)
	if group != strings.TrimSpace(group) {
		ps.Add(field, "must not start or end with spaces")
	}
}

// maxRequisites bounds lists in options.
const maxRequisites = 100

func checkRequisites(ps *Problems, fields []string) {
	if len(fields) > maxRequisites {
		ps.Add("requisite_data", "are more than %d", maxRequisites)
		return
	}
	for i, field := range fields {
		at := fmt.Sprintf("requisite_data[%d]", i)
		attribute, isAttribute := strings.CutPrefix(field, attributePrefix)
		switch {
		case slices.Index(fields, field) < i:
			ps.Add(at, "is there twice")
		case isAttribute && !attributeName(attribute):
			ps.Add(at, "must name an attribute of 1 to 100 characters without spaces")
		case !isAttribute && requisites[field] == nil:
			ps.Add(at, "must be %s or attribute.NAME", strings.Join(Requisites(), ", "))
		}
	}
}

func attributeName(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, unicode.IsSpace)
}

// RoleSet is one of a profile's sets of role ids (B13).
type RoleSet struct {
	Name  string // as in JSON
	Roles []string
}

// RoleSets lists the role sets of the profile.
func (o ProfileOptions) RoleSets() []RoleSet {
	return []RoleSet{{"can_receive", o.CanReceive}, {"can_request", o.CanRequest}, {"can_validate", o.CanValidate},
		{"can_collect", o.CanCollect}}
}

func checkRoleSet(ps *Problems, set RoleSet) {
	if len(set.Roles) > maxRequisites {
		ps.Add(set.Name, "are more than %d", maxRequisites)
		return
	}
	for i, id := range set.Roles {
		if slices.Index(set.Roles, id) < i {
			ps.Add(fmt.Sprintf("%s[%d]", set.Name, i), "is there twice")
		}
	}
}

// maxValidityDays bounds what makes no sense as a validity.
const maxValidityDays = 36525

func (o SelfServiceOptions) check(ps *Problems) {
	if o.ValidityDays < 0 || o.ValidityDays > maxValidityDays {
		ps.Add("self_service.validity_days", "must be between 1 and %d", maxValidityDays)
	}
	switch o.NotifyOutcome {
	case OutcomeTold, OutcomeQuiet:
	default:
		ps.Add("self_service.notify_outcome", "must be always or never")
	}
	for _, text := range []struct{ field, value string }{
		{"self_service.user_id", o.UserID}, {"self_service.server_name", o.ServerName}, {"self_service.profile_name", o.ProfileName},
	} {
		checkText(ps, text.field, text.value, false)
		if strings.ContainsAny(displayPlaceholder.ReplaceAllLiteralString(text.value, ""), "{}") {
			ps.Add(text.field, "may hold no braces but in {email}, {logon_name}, {common_name}, {server_name} and {display_name}")
		}
	}
}

// displayPlaceholder is what may be in the texts shown beside a QR code.
var displayPlaceholder = regexp.MustCompile(`\{(email|logon_name|common_name|server_name|display_name)\}`)

// Display are the texts that are shown beside a QR code (B14).
type Display struct {
	UserID      string
	ServerName  string
	ProfileName string
}

// Display fills the texts for a person.
func (o ProfileOptions) Display(p Person, serverName string) Display {
	fill := strings.NewReplacer("{email}", p.Email, "{logon_name}", p.LogonName, "{server_name}", serverName, "{display_name}", o.DisplayName,
		"{common_name}", strings.TrimSpace(p.GivenName+" "+p.FamilyName))
	return Display{UserID: fill.Replace(o.SelfService.UserID), ServerName: fill.Replace(o.SelfService.ServerName),
		ProfileName: fill.Replace(o.SelfService.ProfileName)}
}
