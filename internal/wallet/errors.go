package wallet

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// Errors a caller decides on. None of the package's errors repeats a link, a code, a token or an element value.
var (
	// ErrTransactionCodeNeeded: the offer asks for a transaction code and none was given. Nothing was sent that uses the
	// offer up; ask the holder and collect again.
	ErrTransactionCodeNeeded = errors.New("the offer asks for a transaction code")
	// ErrUnsupported: the offer or the issuer demands something this wallet cannot do.
	ErrUnsupported = errors.New("not supported by this wallet")
	// ErrNoAnswer: the connection failed or broke off before the answer was read. The request may have been carried out.
	ErrNoAnswer = errors.New("no answer")
	// ErrBadAnswer: the answer is not what the protocol asks for.
	ErrBadAnswer = errors.New("answer not usable")
	// ErrBadDocument: an issued document does not verify, is of another docType, or is not bound to a key of this wallet.
	ErrBadDocument = errors.New("issued document refused")
	// ErrNoRefreshToken: the issuer gave no refresh token with the document.
	ErrNoRefreshToken = errors.New("the document has no refresh token")
	// ErrNotFound: the store has nothing by that id.
	ErrNotFound = errors.New("not found")
)

// ProtocolError is an answer with an error status.
type ProtocolError struct {
	Step   string // what was asked for, as in "request token"
	Status int    // HTTP status
	// Code is the OAuth or OpenID4VCI error code; empty when the answer carried none.
	Code oid4vci.ErrorCode
	// Description is the issuer's text for developers, in printable ASCII.
	Description string
	// RetryAfter is how long the issuer asks to wait; 0 if it does not say.
	RetryAfter time.Duration
}

// Error names step, status and code. The description is left to the caller, who knows where the text goes.
func (e *ProtocolError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("%s: status %d", e.Step, e.Status)
	}
	return fmt.Sprintf("%s: %s (status %d)", e.Step, e.Code, e.Status)
}

// DeferredError says that the issuer has accepted the request and will issue later. The collection is kept; Resume goes
// on with it.
type DeferredError struct {
	CollectionID string
	// Interval is the least time to wait before Resume.
	Interval time.Duration
}

// Error says when to ask again.
func (e *DeferredError) Error() string {
	return fmt.Sprintf("the issuer issues later, ask again in %s", e.Interval)
}

// hasCode tells whether the error is an answer with that code.
func hasCode(err error, code oid4vci.ErrorCode) bool {
	var refused *ProtocolError
	return errors.As(err, &refused) && refused.Code == code
}

// isTransient tells whether the same request may succeed when sent again: no answer, or one that blames the moment.
func isTransient(err error) bool {
	var refused *ProtocolError
	if errors.As(err, &refused) {
		return refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests
	}
	return errors.Is(err, ErrNoAnswer)
}

// isTokenRefused tells whether the access token is not, or no longer, good.
func isTokenRefused(err error) bool {
	var refused *ProtocolError
	return errors.As(err, &refused) && refused.Status == http.StatusUnauthorized
}

// isOver tells whether a collection that was begun cannot be finished any more: the access token is no longer good, or the
// issuer will not issue.
func isOver(err error) bool {
	return isTokenRefused(err) || hasCode(err, oid4vci.CredentialRequestDenied)
}
