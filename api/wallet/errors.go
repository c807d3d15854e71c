package wallet

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// endpoint says whose error codes an answer has.
type endpoint int

const (
	atOther      endpoint = iota // metadata, offer, nonce: the standard names no error codes
	atToken                      // RFC 6749, 5.2; Token Error Response
	atCredential                 // RFC 6750, 3.1; Credential Error Response
)

// refusal is how a domain code is told to wallets; an empty code is one that cannot come up at that endpoint.
type refusal struct {
	token, credential oid4vci.ErrorCode
	status            int    // 0 = what the error code's standard says
	says              string // instead of the error's own text, with the request to name to the issuer
}

// refusals holds every domain code a wallet may be told beside those of denied. Any other is our fault and answered with server_error.
var refusals = map[domain.Code]refusal{
	domain.CodeCodeWrong:    {token: oid4vci.InvalidGrant},
	domain.CodeCodeLocked:   {token: oid4vci.InvalidGrant, credential: oid4vci.CredentialRequestDenied},
	domain.CodeOfferInvalid: {token: oid4vci.InvalidGrant, credential: oid4vci.CredentialRequestDenied},
	domain.CodeOfferExpired: {token: oid4vci.InvalidGrant, credential: oid4vci.CredentialRequestDenied},

	domain.CodeTokenInvalid: {token: oid4vci.InvalidGrant, credential: oid4vci.InvalidToken},
	domain.CodeNonceInvalid: {credential: oid4vci.InvalidNonce},
	domain.CodeKeyReused:    {credential: oid4vci.InvalidProof},
	domain.CodeKeyCount:     {credential: oid4vci.InvalidProof},
	domain.CodeInvalid:      {credential: oid4vci.InvalidCredentialRequest},

	domain.CodeWrongState: {credential: oid4vci.CredentialRequestDenied},

	domain.CodeKeyNotAttested: {credential: oid4vci.InvalidProof},

	domain.CodeRateLimited: {token: oid4vci.TemporarilyUnavailable, credential: oid4vci.TemporarilyUnavailable,
		status: http.StatusTooManyRequests},
	domain.CodeEngineUnavailable: {token: oid4vci.TemporarilyUnavailable, credential: oid4vci.TemporarilyUnavailable},
	domain.CodeDeviceUnknown:     {credential: oid4vci.TemporarilyUnavailable, says: "the issuer cannot answer now; try again later"},
}

// denied is how a refusal by the profile's rules is told: which rule it was says something of the holder, and is for the issuer to tell.
var denied = refusal{credential: oid4vci.CredentialRequestDenied,
	says: "the issuer's rules do not allow the document to be collected now; ask the issuer"}

// Statuses of the offer endpoint.
var offerStatus = map[domain.Code]int{
	domain.CodeOfferInvalid: http.StatusNotFound,
	domain.CodeOfferExpired: http.StatusGone,
	domain.CodeCodeLocked:   http.StatusLocked,
}

// Seconds to wait when the issuer names none.
const (
	retryLimited     = "60"
	retryUnavailable = "5"
)

// statusError is an error answer with a status other than its code's.
type statusError struct {
	status int
	sent   *oid4vci.Error
}

func (e *statusError) Error() string { return e.sent.Error() }

// refuse answers with an error: an error of the protocol as it is, a domain error by the table, anything else as server_error with a log
// entry, because inner texts are not for callers.
func (s *server) refuse(c *gin.Context, at endpoint, err error) {
	var asIs *oid4vci.Error
	var withStatus *statusError
	var known *domain.Error
	switch {
	case errors.As(err, &withStatus):
		s.sendError(c, at, withStatus.status, withStatus.sent)
	case errors.As(err, &asIs):
		s.sendError(c, at, asIs.Status(), asIs)
	case errors.As(err, &known) && s.refuseKnown(c, at, known):
	default:
		ctx := c.Request.Context()
		if ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "wallet request failed", "route", c.FullPath(), "error", err)
		}
		s.sendError(c, at, http.StatusInternalServerError, oid4vci.NewError(oid4vci.ServerError, ""))
	}
}

// refuseKnown answers a domain error that has a place in the table; false for one that has none.
func (s *server) refuseKnown(c *gin.Context, at endpoint, err *domain.Error) bool {
	row, known := refusals[err.Code]
	if !known && err.Code.RefusesCollection() {
		row = denied
	}
	code, status := row.credential, row.status
	switch at {
	case atCredential:
	case atToken:
		code = row.token
	case atOther:
		if offerStatus[err.Code] == 0 {
			return false
		}
		code, status = oid4vci.InvalidRequest, offerStatus[err.Code]
	}
	if code == "" {
		return false
	}
	// Fields stay unsaid: which of a person's data are missing is not for a wallet's log.
	description := err.Message
	if row.says != "" {
		description = row.says
		if id := err.Details["request_id"]; id != "" {
			description += ", reference " + id
		}
	}
	if left := err.Details["attempts_left"]; left != "" {
		description = fmt.Sprintf("%s, attempts left: %s", description, left)
	}
	answer := oid4vci.NewError(code, description)
	if status == 0 {
		status = answer.Status()
	}
	if retry := err.Details["retry_after"]; retry != "" {
		c.Header("Retry-After", retry)
	}
	s.sendError(c, at, status, answer)
	return true
}

// sendError writes the error, with the headers its status asks for.
func (s *server) sendError(c *gin.Context, at endpoint, status int, answer *oid4vci.Error) {
	s.Log.InfoContext(c.Request.Context(), "wallet request refused", "route", c.FullPath(), "status", status, "error", string(answer.Code))
	noStore(c)
	if at == atCredential && status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", answer.BearerChallenge())
	}
	if c.Writer.Header().Get("Retry-After") == "" {
		switch status {
		case http.StatusTooManyRequests:
			c.Header("Retry-After", retryLimited)
		case http.StatusServiceUnavailable:
			c.Header("Retry-After", retryUnavailable)
		}
	}
	s.send(c, status, answer)
}
