package oid4vci

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// CredentialRequest is the body of a request to the credential endpoint (Credential Request). Exactly one of
// CredentialConfigurationID and CredentialIdentifier is set. Proofs is empty when none were sent.
type CredentialRequest struct {
	CredentialConfigurationID string              `json:"credential_configuration_id,omitempty"`
	CredentialIdentifier      string              `json:"credential_identifier,omitempty"`
	Proofs                    Proofs              `json:"proofs,omitzero"`
	ResponseEncryption        *ResponseEncryption `json:"credential_response_encryption,omitempty"`
}

// Proofs are key proofs of one type; the other is empty. Attestation has exactly one entry when used.
type Proofs struct {
	JWT         []string `json:"jwt,omitempty"`
	Attestation []string `json:"attestation,omitempty"`
}

// ResponseEncryption is what the wallet wants the response encrypted with: its public JWK and JWE algorithms.
type ResponseEncryption struct {
	JWK json.RawMessage `json:"jwk"`
	Enc string          `json:"enc"`
	Zip string          `json:"zip,omitempty"`
}

// ParseCredentialRequest reads a credential request of at most MaxCredentialRequest bytes with at most maxProofs proofs
// (the batch_size of the metadata, 1 without one). Unknown members are ignored; a name given twice is refused. Whether a
// proof is good is ProofVerifier's matter, and so is a request without proofs, which parses.
//
// Requests of drafts before 1.0 carried one "proof" instead of "proofs"; alone, it is refused with invalid_proof.
// Errors have the codes invalid_credential_request, invalid_proof and invalid_encryption_parameters.
func ParseCredentialRequest(body []byte, maxProofs int) (CredentialRequest, *Error) {
	m, err := members(body, MaxCredentialRequest)
	if err != nil {
		return CredentialRequest{}, malformed(InvalidCredentialRequest, err)
	}
	var r CredentialRequest
	if r.CredentialConfigurationID, err = identifier(m, "credential_configuration_id"); err != nil {
		return CredentialRequest{}, malformed(InvalidCredentialRequest, err)
	}
	if r.CredentialIdentifier, err = identifier(m, "credential_identifier"); err != nil {
		return CredentialRequest{}, malformed(InvalidCredentialRequest, err)
	}
	if (r.CredentialConfigurationID == "") == (r.CredentialIdentifier == "") {
		return CredentialRequest{}, NewError(InvalidCredentialRequest,
			"exactly one of credential_configuration_id and credential_identifier is needed")
	}
	var refused *Error
	if r.Proofs, refused = parseProofs(m, maxProofs); refused != nil {
		return CredentialRequest{}, refused
	}
	if r.ResponseEncryption, refused = parseResponseEncryption(m); refused != nil {
		return CredentialRequest{}, refused
	}
	return r, nil
}

func parseProofs(m map[string]json.RawMessage, maxProofs int) (Proofs, *Error) {
	byType, present, err := member[map[string]json.RawMessage](m, "proofs")
	switch {
	case err != nil:
		return Proofs{}, malformed(InvalidProof, err)
	case !present && m["proof"] != nil:
		return Proofs{}, NewError(InvalidProof, "proof is not part of OpenID4VCI 1.0, send proofs with an array of jwt")
	case !present:
		return Proofs{}, nil
	case len(byType) != 1:
		return Proofs{}, NewError(InvalidProof, "proofs has exactly one proof type")
	}
	jwt, hasJWT, err := member[[]string](byType, ProofTypeJWT)
	if err != nil {
		return Proofs{}, malformed(InvalidProof, err)
	}
	attestation, hasAttestation, err := member[[]string](byType, ProofTypeAttestation)
	if err != nil {
		return Proofs{}, malformed(InvalidProof, err)
	}
	switch {
	case hasJWT && len(jwt) == 0:
		return Proofs{}, NewError(InvalidProof, "jwt is empty")
	case hasJWT && len(jwt) > maxProofs:
		return Proofs{}, NewError(InvalidProof, fmt.Sprintf("more than %d proofs", maxProofs))
	case hasJWT:
		return Proofs{JWT: jwt}, nil
	case hasAttestation && len(attestation) != 1:
		return Proofs{}, NewError(InvalidProof, "attestation has exactly one entry")
	case hasAttestation:
		return Proofs{Attestation: attestation}, nil
	default:
		return Proofs{}, NewError(InvalidProof, "proof type is not supported")
	}
}

func parseResponseEncryption(m map[string]json.RawMessage) (*ResponseEncryption, *Error) {
	e, present, err := member[map[string]json.RawMessage](m, "credential_response_encryption")
	if err != nil {
		return nil, malformed(InvalidEncryptionParameters, err)
	}
	if !present {
		return nil, nil
	}
	parsed := ResponseEncryption{JWK: e["jwk"]}
	if parsed.Enc, err = identifier(e, "enc"); err != nil {
		return nil, malformed(InvalidEncryptionParameters, err)
	}
	if parsed.Zip, err = identifier(e, "zip"); err != nil {
		return nil, malformed(InvalidEncryptionParameters, err)
	}
	if len(parsed.JWK) == 0 || parsed.JWK[0] != '{' || parsed.Enc == "" {
		return nil, NewError(InvalidEncryptionParameters, "jwk and enc are needed")
	}
	return &parsed, nil
}

// identifier reads a bounded string, empty when absent.
func identifier(m map[string]json.RawMessage, memberName string) (string, error) {
	v, present, err := member[string](m, memberName)
	if err != nil {
		return "", err
	}
	if present && (v == "" || len(v) > maxName) {
		return "", fmt.Errorf("%w: %s is empty or too long", ErrMalformed, memberName)
	}
	return v, nil
}

// malformed turns a parser's error, which repeats nothing of the message, into an error response.
func malformed(code ErrorCode, err error) *Error {
	return NewError(code, err.Error())
}

// CredentialResponse is the answer of the credential and deferred credential endpoints (Credential Response): either
// Credentials, sent with 200, or TransactionID and Interval (seconds), sent with 202.
type CredentialResponse struct {
	Credentials    []IssuedCredential `json:"credentials,omitempty"`
	NotificationID string             `json:"notification_id,omitempty"`
	TransactionID  string             `json:"transaction_id,omitempty"`
	Interval       int                `json:"interval,omitempty"`
}

// IssuedCredential holds one document; for mso_mdoc the base64url form of a CBOR-encoded IssuerSigned.
type IssuedCredential struct {
	Credential string `json:"credential"`
}

// NewIssuedMdoc wraps the bytes of an IssuerSigned.
func NewIssuedMdoc(issuerSigned []byte) IssuedCredential {
	return IssuedCredential{Credential: base64.RawURLEncoding.EncodeToString(issuerSigned)}
}

// Mdoc returns the bytes of the IssuerSigned. The error is ErrMalformed.
func (c IssuedCredential) Mdoc() ([]byte, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(c.Credential)
	if err != nil || len(data) == 0 {
		return nil, fmt.Errorf("decode credential: %w: not base64url", ErrMalformed)
	}
	return data, nil
}

// ParseCredentialResponse reads a credential response of at most MaxCredentialResponse bytes. Errors are ErrMalformed.
func ParseCredentialResponse(data []byte) (CredentialResponse, error) {
	r, err := decode[CredentialResponse](data, MaxCredentialResponse)
	if err != nil {
		return CredentialResponse{}, fmt.Errorf("parse credential response: %w", err)
	}
	var problem error
	switch {
	case (len(r.Credentials) > 0) == (r.TransactionID != ""):
		problem = errors.New("exactly one of credentials and transaction_id is needed")
	case r.TransactionID != "" && (r.Interval <= 0 || r.NotificationID != ""):
		problem = errors.New("transaction_id comes with a positive interval and without notification_id")
	case len(r.TransactionID) > maxSecret || len(r.NotificationID) > maxSecret:
		problem = errors.New("transaction_id or notification_id is too long")
	}
	if problem != nil {
		return CredentialResponse{}, fmt.Errorf("parse credential response: %w: %w", ErrMalformed, problem)
	}
	return r, nil
}

// DeferredCredentialRequest is the body of a request to the deferred credential endpoint.
type DeferredCredentialRequest struct {
	TransactionID      string              `json:"transaction_id"`
	ResponseEncryption *ResponseEncryption `json:"credential_response_encryption,omitempty"`
}

// ParseDeferredCredentialRequest reads a deferred credential request of at most MaxSmallRequest bytes. Errors have the
// codes invalid_credential_request and invalid_encryption_parameters.
func ParseDeferredCredentialRequest(body []byte) (DeferredCredentialRequest, *Error) {
	m, err := members(body, MaxSmallRequest)
	if err != nil {
		return DeferredCredentialRequest{}, malformed(InvalidCredentialRequest, err)
	}
	id, _, err := member[string](m, "transaction_id")
	if err != nil || id == "" || len(id) > maxSecret {
		return DeferredCredentialRequest{}, NewError(InvalidCredentialRequest, "transaction_id is missing or not a usable string")
	}
	encryption, refused := parseResponseEncryption(m)
	if refused != nil {
		return DeferredCredentialRequest{}, refused
	}
	return DeferredCredentialRequest{TransactionID: id, ResponseEncryption: encryption}, nil
}

// NotificationEvent is what a wallet reports about issued credentials.
type NotificationEvent string

// Events of the notification endpoint: stored; not stored by the holder's will; not stored for any other reason.
const (
	CredentialAccepted NotificationEvent = "credential_accepted"
	CredentialDeleted  NotificationEvent = "credential_deleted"
	CredentialFailure  NotificationEvent = "credential_failure"
)

// NotificationRequest is the body of a request to the notification endpoint.
type NotificationRequest struct {
	NotificationID   string            `json:"notification_id"`
	Event            NotificationEvent `json:"event"`
	EventDescription string            `json:"event_description,omitempty"`
}

// ParseNotificationRequest reads a notification request of at most MaxSmallRequest bytes. The description is brought into
// the allowed characters and cut at 300 bytes. Errors have the code invalid_notification_request.
func ParseNotificationRequest(body []byte) (NotificationRequest, *Error) {
	m, err := members(body, MaxSmallRequest)
	if err != nil {
		return NotificationRequest{}, malformed(InvalidNotificationRequest, err)
	}
	id, _, err := member[string](m, "notification_id")
	if err != nil || id == "" || len(id) > maxSecret {
		return NotificationRequest{}, NewError(InvalidNotificationRequest, "notification_id is missing or not a usable string")
	}
	event, _, err := member[NotificationEvent](m, "event")
	if err != nil {
		return NotificationRequest{}, malformed(InvalidNotificationRequest, err)
	}
	switch event {
	case CredentialAccepted, CredentialDeleted, CredentialFailure:
	default:
		return NotificationRequest{}, NewError(InvalidNotificationRequest, "event is not known")
	}
	description, _, err := member[string](m, "event_description")
	if err != nil {
		return NotificationRequest{}, malformed(InvalidNotificationRequest, err)
	}
	return NotificationRequest{
		NotificationID: id, Event: event, EventDescription: printable(description),
	}, nil
}
