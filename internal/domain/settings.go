package domain

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Settings are what administrators tune while the server runs (B9, B15). Durations are whole seconds in JSON.
type Settings struct {
	// Version grows with every change, from 1.
	Version int `json:"version"`
	// AuthenticationCodeComplexity is mm-nnN: mm to nn digits.
	AuthenticationCodeComplexity string `json:"authentication_code_complexity"`
	// AuthenticationCodeLifetime is how long a code works; 0 = as long as the request.
	AuthenticationCodeLifetime Seconds `json:"authentication_code_lifetime"`
	// ScreenCodeLifetime is the same for codes that an operator reads on screen, from the moment they are shown.
	ScreenCodeLifetime Seconds `json:"screen_code_lifetime"`
	// AuthenticationCodeAttempts is how many codes may be tried before the request is locked.
	AuthenticationCodeAttempts int `json:"authentication_code_attempts"`
	// ApprovalDeadline is how long a request waits for approval before it expires.
	ApprovalDeadline Seconds `json:"approval_deadline"`
	// ApprovalReminder is how often approvers are reminded; 0 = never.
	ApprovalReminder Seconds `json:"approval_reminder"`
	// CollectionDeadline is how long a request waits for the wallet before it expires.
	CollectionDeadline Seconds `json:"collection_deadline"`
	// ExpiryReminderDays is how many days before its last day of validity the holder of a document is reminded; empty = never.
	ExpiryReminderDays []int `json:"expiry_reminder_days"`
	// LogonCodeSimple and LogonCodeComplex are the rules of logon codes: mm-nn, then classes U L S N, then [excluded characters].
	LogonCodeSimple  string `json:"logon_code_simple"`
	LogonCodeComplex string `json:"logon_code_complex"`
	// LogonCodeLifetime is how long a logon code works; 0 = until it is replaced.
	LogonCodeLifetime Seconds `json:"logon_code_lifetime"`
	// LogonCodeAttempts is how many wrong logon codes lock the code.
	LogonCodeAttempts int `json:"logon_code_attempts"`
	// SelfServiceRole is the role, in scope self, of whoever signs in with a logon code; empty = such sign-ins are off.
	SelfServiceRole string `json:"self_service_role"`
	// RequestBeforeDataApproval lets requests be made before the person's data are approved, where a profile demands that (B6). They wait.
	RequestBeforeDataApproval bool `json:"request_before_data_approval"`
	// PublicBaseURL and QRBaseURL are where links in messages and on the collection page, and in QR codes, lead; empty = as the server is
	// configured. The credential issuer identifier and the addresses of status lists stay as configured: they are part of what was signed.
	PublicBaseURL string `json:"public_base_url"`
	QRBaseURL     string `json:"qr_base_url"`
	// EmailEnabled and SMSEnabled are the global switches of the channels.
	EmailEnabled bool `json:"email_enabled"`
	SMSEnabled   bool `json:"sms_enabled"`
	// BiometricVerification demands of the wallets of every profile an attestation that their keys are used only after their user was authenticated,
	// with at least this resistance; empty = off.
	BiometricVerification AttackPotential `json:"biometric_verification"`
}

// Seconds is a duration that JSON writes as a whole number of seconds.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(int64(time.Duration(s) / time.Second))
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	var n *int64 // null is no number: it must not pass for 0, which often means "for ever"
	if err := json.Unmarshal(b, &n); err != nil || n == nil {
		return fmt.Errorf("read seconds: want a whole number")
	}
	const most = 10 * 366 * 24 * 3600
	if *n < 0 || *n > most {
		return fmt.Errorf("read seconds: want 0 to %d", most)
	}
	*s = Seconds(time.Duration(*n) * time.Second)
	return nil
}

// DefaultSettings are in force until somebody changes them.
func DefaultSettings() Settings {
	return Settings{
		Version:                      1,
		AuthenticationCodeComplexity: "04-08N",
		AuthenticationCodeLifetime:   Seconds(720 * time.Hour),
		ScreenCodeLifetime:           Seconds(120 * time.Second),
		AuthenticationCodeAttempts:   5,
		ApprovalDeadline:             Seconds(720 * time.Hour),
		ApprovalReminder:             Seconds(72 * time.Hour),
		CollectionDeadline:           Seconds(720 * time.Hour),
		ExpiryReminderDays:           []int{60, 30, 14, 7},
		LogonCodeSimple:              DefaultLogonCodeSimple,
		LogonCodeComplex:             DefaultLogonCodeComplex,
		LogonCodeLifetime:            Seconds(720 * time.Hour),
		LogonCodeAttempts:            5,
		EmailEnabled:                 true,
		SMSEnabled:                   true,
	}
}

// Check reports every value out of range and every bad combination. Whether the role exists, whether http will do for addresses, and
// whether any wallet can meet what is demanded, is for whoever knows the server.
func (s Settings) Check() Problems {
	var ps Problems
	if _, err := ParseCodeComplexity(s.AuthenticationCodeComplexity); err != nil {
		ps.Add("authentication_code_complexity", "must be mm-nnN with 04 <= mm <= nn <= 12, for example 04-08N")
	}
	if s.AuthenticationCodeAttempts < 1 || s.AuthenticationCodeAttempts > 20 {
		ps.Add("authentication_code_attempts", "must be 1 to 20")
	}
	between := func(field string, v Seconds, lo, hi time.Duration) {
		if d := time.Duration(v); d < lo || d > hi {
			ps.Add(field, "must be %d to %d seconds", int64(lo/time.Second), int64(hi/time.Second))
		}
	}
	const year = 366 * 24 * time.Hour
	if s.AuthenticationCodeLifetime != 0 {
		between("authentication_code_lifetime", s.AuthenticationCodeLifetime, time.Minute, year)
	}
	between("screen_code_lifetime", s.ScreenCodeLifetime, 30*time.Second, time.Hour)
	between("approval_deadline", s.ApprovalDeadline, time.Second, year)
	between("collection_deadline", s.CollectionDeadline, time.Second, year)
	if s.ApprovalReminder != 0 {
		between("approval_reminder", s.ApprovalReminder, time.Second, year)
	}
	checkReminders(&ps, s.ExpiryReminderDays)
	for _, rule := range []struct{ field, value string }{
		{"logon_code_simple", s.LogonCodeSimple}, {"logon_code_complex", s.LogonCodeComplex},
	} {
		if _, err := ParseLogonCodeRule(rule.value); err != nil {
			ps.Add(rule.field, "%s", strings.TrimPrefix(err.Error(), "parse logon code rule: "))
		}
	}
	if s.LogonCodeLifetime != 0 {
		between("logon_code_lifetime", s.LogonCodeLifetime, time.Minute, year)
	}
	if s.LogonCodeAttempts < 1 || s.LogonCodeAttempts > 20 {
		ps.Add("logon_code_attempts", "must be 1 to 20")
	}
	checkBase(&ps, "public_base_url", s.PublicBaseURL)
	checkBase(&ps, "qr_base_url", s.QRBaseURL)
	if s.SMSEnabled && !s.EmailEnabled {
		ps.Add("sms_enabled", "cannot be on while email_enabled is off: the link travels by e-mail")
	}
	if !s.BiometricVerification.Valid() {
		ps.Add("biometric_verification", potentialTexts)
	}
	return ps
}

// checkBase: scheme and host, nothing else.
func checkBase(ps *Problems, field, base string) {
	if base == "" {
		return
	}
	u, err := url.Parse(base)
	if err != nil || len(base) > maxBase || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" ||
		base != u.Scheme+"://"+u.Host || base != u.String() || strings.HasSuffix(base, ":") {
		ps.Add(field, "must be https:// and a host, without user, path, query and fragment")
	}
}

const maxBase = 300 // characters
