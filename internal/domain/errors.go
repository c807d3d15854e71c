package domain

import (
	"errors"
	"fmt"
	"strings"
)

// Code names one kind of failure for machines. Codes are part of the interface: they are stable, and every one is listed in docs/errors.md.
type Code string

// The codes. What each means to a caller is said in docs/errors.md.
const (
	CodeInvalid              Code = "invalid"                // a value breaks a rule; Fields says which
	CodeNotFound             Code = "not_found"              // no such thing, or not for this caller to know of
	CodeConflict             Code = "conflict"               // it exists already, or was changed meanwhile
	CodeWrongState           Code = "wrong_state"            // the thing is in a state that does not allow the act
	CodeAlreadyDecided       Code = "already_decided"        // somebody decided first; Details says who and when
	CodeUnauthenticated      Code = "unauthenticated"        // no valid credentials
	CodeSignInLocked         Code = "sign_in_locked"         // too many failed sign-ins
	CodeForbidden            Code = "forbidden"              // a permission is missing
	CodeSelfApproval         Code = "self_approval"          // the approver is the requester or the recipient
	CodeApprovalRequired     Code = "approval_required"      // the profile demands another person's approval for this
	CodePersonInactive       Code = "person_inactive"        // only an active person can receive a document
	CodeDataNotApproved      Code = "data_not_approved"      // the profile demands approved data, and the person's are not
	CodeRoleMissing          Code = "role_missing"           // the profile is for other roles than the holder's or the caller's
	CodeExclusiveGroup       Code = "exclusive_group"        // the person holds a document of another profile of the exclusive group
	CodeRequestOpen          Code = "request_open"           // the profile allows one open request of its credential group at a time
	CodeDeviceRefused        Code = "device_refused"         // the device management does not say of the holder's device what the profile demands
	CodeDeviceUnknown        Code = "device_unknown"         // the device management could not be asked; try again
	CodeNotEmpty             Code = "not_empty"              // the group has people or groups
	CodeMissingData          Code = "missing_data"           // mandatory data elements have no value; Fields lists every one
	CodeMissingContact       Code = "missing_contact"        // the chosen delivery needs contact data the person lacks
	CodeChannelOff           Code = "channel_off"            // e-mail or SMS is switched off by a setting
	CodeImageInvalid         Code = "image_invalid"          // not a JPEG or JPEG 2000 picture, or too large
	CodeUnknownFormat        Code = "unknown_format"         // the profile names a document format that is not installed
	CodeLifetimeBeyondSigner Code = "lifetime_beyond_signer" // no document signer certificate can cover the lifetime
	CodeLifetimeOver         Code = "lifetime_over"          // the document would have expired before it starts
	CodeIdempotencyReused    Code = "idempotency_key_reused" // the key was used before with other content
	CodeEngineUnavailable    Code = "engine_unavailable"     // the workflow engine does not answer; try again
	CodeCodeWrong            Code = "code_wrong"             // the authentication code is wrong
	CodeCodeLocked           Code = "code_locked"            // too many wrong codes
	CodeOfferInvalid         Code = "offer_invalid"          // the link or pre-authorized code is unknown, used or replaced
	CodeOfferExpired         Code = "offer_expired"          // too late
	CodeTokenInvalid         Code = "token_invalid"          // the access or refresh token is unknown, expired or replaced, or its document is out of use
	CodeNonceInvalid         Code = "nonce_invalid"          // a c_nonce is unknown, too old or was used for other keys
	CodeKeyReused            Code = "key_reused"             // a wallet key already belongs to another document
	CodeKeyCount             Code = "key_count"              // more keys than the profile allows
	CodeKeyNotAttested       Code = "key_not_attested"       // a wallet key comes without the attestation that is demanded
	CodeRateLimited          Code = "rate_limited"           // too many calls from one place
	CodeInternal             Code = "internal"               // our fault; the correlation id finds it in the log
)

// Codes lists every code.
func Codes() []Code {
	return []Code{CodeInvalid, CodeNotFound, CodeConflict, CodeWrongState, CodeAlreadyDecided, CodeUnauthenticated,
		CodeSignInLocked, CodeForbidden, CodeSelfApproval, CodeApprovalRequired, CodePersonInactive, CodeDataNotApproved,
		CodeRoleMissing, CodeExclusiveGroup, CodeRequestOpen, CodeDeviceRefused, CodeDeviceUnknown, CodeNotEmpty, CodeMissingData,
		CodeMissingContact, CodeChannelOff, CodeImageInvalid, CodeUnknownFormat, CodeLifetimeBeyondSigner, CodeLifetimeOver,
		CodeIdempotencyReused, CodeEngineUnavailable, CodeCodeWrong, CodeCodeLocked, CodeOfferInvalid, CodeOfferExpired,
		CodeTokenInvalid, CodeNonceInvalid, CodeKeyReused, CodeKeyCount, CodeKeyNotAttested, CodeRateLimited, CodeInternal}
}

// FieldError says what is wrong with one value. Problem never repeats the value.
type FieldError struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// Error is a refusal that a caller can act on. Its text goes to callers and logs, so it never holds personal data.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError
	// Details are further facts a caller may show: ids, states, times. No personal data.
	Details map[string]string
}

// Error gives the message followed by the fields, on one line.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return e.Message
	}
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + " " + f.Problem
	}
	return e.Message + ": " + strings.Join(parts, "; ")
}

// Is reports whether target is an *Error of the same code, so that errors.Is(err, domain.Errorf(code, "")) works.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code
}

// Errorf builds an Error without fields.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// With adds one detail and returns the same error.
func (e *Error) With(key, value string) *Error {
	if e.Details == nil {
		e.Details = map[string]string{}
	}
	e.Details[key] = value
	return e
}

// NotFound says that there is no such thing, or not for the caller to know of: both look the same.
func NotFound(what string) *Error { return Errorf(CodeNotFound, "%s not found", what) }

// CodeOf gives the code of err, or CodeInternal when err is not an Error.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Problems collects field errors so that all of them are reported at once.
type Problems []FieldError

// Add notes one problem.
func (p *Problems) Add(field, format string, args ...any) {
	*p = append(*p, FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
}

// Err gives an Error with every problem, or nil when there is none.
func (p Problems) Err(code Code, message string) error {
	if len(p) == 0 {
		return nil
	}
	return &Error{Code: code, Message: message, Fields: p}
}
