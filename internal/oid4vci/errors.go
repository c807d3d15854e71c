package oid4vci

import (
	"fmt"
	"net/http"
	"strings"
)

// ErrorCode is the value of the "error" member of an OAuth 2.0 or OpenID4VCI error response.
type ErrorCode string

// Codes of the token endpoint (RFC 6749, 5.2; RFC 9396, 5; RFC 9449, 5; attestation-based client authentication).
const (
	InvalidRequest              ErrorCode = "invalid_request"
	InvalidClient               ErrorCode = "invalid_client"
	InvalidGrant                ErrorCode = "invalid_grant"
	UnauthorizedClient          ErrorCode = "unauthorized_client"
	UnsupportedGrantType        ErrorCode = "unsupported_grant_type"
	InvalidScope                ErrorCode = "invalid_scope"
	InvalidAuthorizationDetails ErrorCode = "invalid_authorization_details"
	InvalidDPoPProof            ErrorCode = "invalid_dpop_proof"
	UseDPoPNonce                ErrorCode = "use_dpop_nonce"
	InvalidClientAttestation    ErrorCode = "invalid_client_attestation"
)

// Codes of protected resources (RFC 6750, 3.1).
const (
	InvalidToken      ErrorCode = "invalid_token"
	InsufficientScope ErrorCode = "insufficient_scope"
)

// Codes of the credential and deferred credential endpoints (Credential Request Errors, Deferred Credential Error Response).
const (
	InvalidCredentialRequest       ErrorCode = "invalid_credential_request"
	UnknownCredentialConfiguration ErrorCode = "unknown_credential_configuration"
	UnknownCredentialIdentifier    ErrorCode = "unknown_credential_identifier"
	InvalidProof                   ErrorCode = "invalid_proof"
	InvalidNonce                   ErrorCode = "invalid_nonce"
	InvalidEncryptionParameters    ErrorCode = "invalid_encryption_parameters"
	CredentialRequestDenied        ErrorCode = "credential_request_denied"
	InvalidTransactionID           ErrorCode = "invalid_transaction_id"
)

// Codes of the notification endpoint (Notification Error Response).
const (
	InvalidNotificationID      ErrorCode = "invalid_notification_id"
	InvalidNotificationRequest ErrorCode = "invalid_notification_request"
)

// Codes for trouble on the server's side (RFC 6749, 4.1.2.1), sent with 500 and 503.
const (
	ServerError            ErrorCode = "server_error"
	TemporarilyUnavailable ErrorCode = "temporarily_unavailable"
)

// Error is the JSON body of an error response. Build it with NewError, which keeps the description within the
// characters the standards allow.
type Error struct {
	Code        ErrorCode `json:"error"`
	Description string    `json:"error_description,omitempty"`
	URI         string    `json:"error_uri,omitempty"`
}

// maxDescription bounds an error description, in bytes.
const maxDescription = 300

// NewError builds an error response. Characters outside %x20-21 / %x23-5B / %x5D-7E (anything but printable ASCII, the
// quotation mark, the backslash) are replaced, and the description is cut at 300 bytes. The description reaches the
// developer of the other side: it names what is wrong with the message and never repeats a value from it.
func NewError(code ErrorCode, description string) *Error {
	return &Error{Code: code, Description: printable(description)}
}

// printable brings text into the characters and the length of an error description.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() == maxDescription {
			break
		}
		switch {
		case r == '"':
			b.WriteByte('\'')
		case r == '\\':
			b.WriteByte('/')
		case r < 0x20 || r > 0x7e:
			b.WriteByte('?')
		default:
			b.WriteByte(byte(r))
		}
	}
	return b.String()
}

// Error returns code and description.
func (e *Error) Error() string {
	if e.Description == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Description
}

// Status is the HTTP status the standards give to the code; 400 where they name none. An endpoint that answers the
// DPoP codes as a protected resource uses 401 instead (RFC 9449, 7.1).
func (e *Error) Status() int {
	switch e.Code {
	case InvalidClient, InvalidToken:
		return http.StatusUnauthorized
	case InsufficientScope:
		return http.StatusForbidden
	case ServerError:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}

// BearerChallenge is the value of the WWW-Authenticate header that goes with the error at a protected resource
// (RFC 6750, 3).
func (e *Error) BearerChallenge() string {
	if e.Description == "" {
		return fmt.Sprintf(`Bearer error="%s"`, e.Code)
	}
	return fmt.Sprintf(`Bearer error="%s", error_description="%s"`, e.Code, e.Description)
}

// ParseError reads an error response. The description is brought into the allowed characters, so it can be shown. An
// answer without an "error" member is ErrMalformed: it did not come from an endpoint of this protocol.
func ParseError(data []byte) (*Error, error) {
	sent, err := decode[Error](data, MaxSmallResponse)
	if err != nil {
		return nil, fmt.Errorf("parse error response: %w", err)
	}
	if sent.Code == "" || len(sent.Code) > 100 {
		return nil, fmt.Errorf("parse error response: %w: no error code", ErrMalformed)
	}
	return NewError(ErrorCode(printable(string(sent.Code))), sent.Description), nil
}
