// Package problem is the form of every error of the API: a problem document (RFC 9457), made in one place from the codes of internal/domain.
// Wallet endpoints answer with OAuth errors instead; those are not here.
//
// What a document holds goes to callers: never the text of an unknown error, never a value that the caller sent.
package problem

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/telemetry"
)

// MediaType is the content type of a problem document.
const MediaType = "application/problem+json"

// typePrefix begins the type of every problem; the code follows.
const typePrefix = "urn:mdocket:problem:"

// Codes of what goes wrong in HTTP itself, before any act. They are listed in docs/errors.md with those of the domain.
const (
	CodeMalformed            domain.Code = "malformed"              // the body cannot be read
	CodeMethodNotAllowed     domain.Code = "method_not_allowed"     // the path exists, the method does not
	CodeUnsupportedMediaType domain.Code = "unsupported_media_type" // the body has a content type that is not taken here
	CodeNotAcceptable        domain.Code = "not_acceptable"         // none of the forms there are is one the caller takes
	CodeNotSupported         domain.Code = "not_supported"          // a part of a standard that this server does not offer
	CodeTooLarge             domain.Code = "too_large"              // the body is larger than allowed
	CodeTimeout              domain.Code = "timeout"                // the body took too long to arrive
	CodeNotReady             domain.Code = "not_ready"              // a component the server needs does not answer
	CodeClientClosed         domain.Code = "client_closed"          // the caller went away; only logs and metrics see this
)

// statusClientClosed is what logs and metrics show for a caller that went away before there was an answer.
const statusClientClosed = 499

// Problem is a problem document. It is an error, so that handlers can return it.
type Problem struct {
	Type          string            `json:"type" doc:"URN of the kind of problem; ends with the code" example:"urn:mdocket:problem:not_found"`
	Title         string            `json:"title" doc:"The kind of problem in words, the same for every occurrence"`
	Status        int               `json:"status" doc:"HTTP status of the answer" example:"404"`
	Detail        string            `json:"detail,omitempty" doc:"What went wrong this time"`
	Code          domain.Code       `json:"code" doc:"Stable name of the kind of problem, see docs/errors.md" example:"not_found"`
	CorrelationID string            `json:"correlation_id,omitempty" doc:"Finds the server's log records of this call"`
	Errors        []Field           `json:"errors,omitempty" doc:"Every value that breaks a rule"`
	Details       map[string]string `json:"details,omitempty" doc:"Further facts: ids, states, times"`

	retryAfter int // seconds; 0 = not said
}

// Field says what is wrong with one value; it never repeats the value.
type Field struct {
	Field   string `json:"field" doc:"Name of the member, parameter or header, with dots into objects and [n] into lists"`
	Problem string `json:"problem" doc:"What is wrong with it"`
}

type kind struct {
	status int
	title  string
}

// kinds maps every code to its HTTP status and title.
var kinds = map[domain.Code]kind{
	domain.CodeInvalid:              {http.StatusUnprocessableEntity, "The input breaks a rule"},
	domain.CodeNotFound:             {http.StatusNotFound, "Not found"},
	domain.CodeConflict:             {http.StatusConflict, "Exists already or was changed meanwhile"},
	domain.CodeWrongState:           {http.StatusConflict, "The state does not allow this"},
	domain.CodeAlreadyDecided:       {http.StatusConflict, "Somebody decided before"},
	domain.CodeUnauthenticated:      {http.StatusUnauthorized, "Valid credentials are needed"},
	domain.CodeSignInLocked:         {http.StatusTooManyRequests, "Signing in is locked"},
	domain.CodeForbidden:            {http.StatusForbidden, "A permission is missing"},
	domain.CodeSelfApproval:         {http.StatusForbidden, "Somebody else has to decide"},
	domain.CodeApprovalRequired:     {http.StatusConflict, "An approval is needed"},
	domain.CodePersonInactive:       {http.StatusConflict, "The person is not active"},
	domain.CodeDataNotApproved:      {http.StatusConflict, "The data are not approved"},
	domain.CodeRoleMissing:          {http.StatusForbidden, "The profile is for other roles"},
	domain.CodeExclusiveGroup:       {http.StatusConflict, "The person holds a document that excludes this one"},
	domain.CodeRequestOpen:          {http.StatusConflict, "Another request is open"},
	domain.CodeDeviceRefused:        {http.StatusConflict, "The device does not pass"},
	domain.CodeDeviceUnknown:        {http.StatusServiceUnavailable, "The device management does not answer"},
	domain.CodeNotEmpty:             {http.StatusConflict, "Not empty"},
	domain.CodeMissingData:          {http.StatusUnprocessableEntity, "Data of the person are missing"},
	domain.CodeMissingContact:       {http.StatusUnprocessableEntity, "Contact data of the person are missing"},
	domain.CodeChannelOff:           {http.StatusConflict, "A channel is switched off"},
	domain.CodeImageInvalid:         {http.StatusUnprocessableEntity, "The picture is not usable"},
	domain.CodeUnknownFormat:        {http.StatusUnprocessableEntity, "The document format is not installed"},
	domain.CodeLifetimeBeyondSigner: {http.StatusUnprocessableEntity, "No document signer lasts that long"},
	domain.CodeLifetimeOver:         {http.StatusUnprocessableEntity, "The document would have expired"},
	domain.CodeIdempotencyReused:    {http.StatusUnprocessableEntity, "The idempotency key was used for something else"},
	domain.CodeEngineUnavailable:    {http.StatusServiceUnavailable, "The workflow engine does not answer"},
	domain.CodeCodeWrong:            {http.StatusUnprocessableEntity, "The authentication code is wrong"},
	domain.CodeCodeLocked:           {http.StatusConflict, "Too many wrong codes"},
	domain.CodeOfferInvalid:         {http.StatusNotFound, "The offer is not valid"},
	domain.CodeOfferExpired:         {http.StatusGone, "The offer has expired"},
	domain.CodeTokenInvalid:         {http.StatusUnauthorized, "The access token is not valid"},
	domain.CodeNonceInvalid:         {http.StatusUnprocessableEntity, "The nonce is not valid"},
	domain.CodeKeyReused:            {http.StatusConflict, "The key belongs to another document"},
	domain.CodeKeyCount:             {http.StatusUnprocessableEntity, "The number of keys is not allowed"},
	domain.CodeKeyNotAttested:       {http.StatusUnprocessableEntity, "The key is not attested as demanded"},
	domain.CodeRateLimited:          {http.StatusTooManyRequests, "Too many calls"},
	domain.CodeInternal:             {http.StatusInternalServerError, "The server failed"},

	CodeMalformed:            {http.StatusBadRequest, "The body cannot be read"},
	CodeMethodNotAllowed:     {http.StatusMethodNotAllowed, "The method is not allowed here"},
	CodeUnsupportedMediaType: {http.StatusUnsupportedMediaType, "The content type is not taken here"},
	CodeNotAcceptable:        {http.StatusNotAcceptable, "There is no such form"},
	CodeNotSupported:         {http.StatusNotImplemented, "This is not offered here"},
	CodeTooLarge:             {http.StatusRequestEntityTooLarge, "The body is too large"},
	CodeTimeout:              {http.StatusRequestTimeout, "The body took too long"},
	CodeNotReady:             {http.StatusServiceUnavailable, "The server is not ready"},
	CodeClientClosed:         {statusClientClosed, "The caller went away"},
}

// Status gives the HTTP status of a code; 500 for a code that is not one of ours.
func Status(code domain.Code) int { return lookup(code).status }

func lookup(code domain.Code) kind {
	if k, ok := kinds[code]; ok {
		return k
	}
	return kinds[domain.CodeInternal]
}

// New makes a problem of the code. The detail must hold nothing that the caller sent.
func New(ctx context.Context, code domain.Code, detail string) *Problem {
	k := lookup(code)
	return &Problem{Type: typePrefix + string(code), Title: k.title, Status: k.status, Detail: detail, Code: code,
		CorrelationID: telemetry.CorrelationID(ctx)}
}

// From makes the problem of an error. A domain error says what it says; a body that ended too early or grew too large is the caller's; anything
// else is logged in full and answered with the correlation id alone.
func From(ctx context.Context, log *slog.Logger, err error) *Problem {
	var ready *Problem
	var refused *domain.Error
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &refused):
		return fromDomain(ctx, refused)
	}
	if p := fromRead(ctx, err); p != nil {
		return p
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		log.InfoContext(ctx, "the caller went away", "error", err)
		return New(ctx, CodeClientClosed, "")
	}
	log.ErrorContext(ctx, "call failed", "error", err)
	return New(ctx, domain.CodeInternal, "the correlation id finds the cause in the server's log")
}

func fromDomain(ctx context.Context, e *domain.Error) *Problem {
	p := New(ctx, e.Code, e.Message)
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, Field{Field: f.Field, Problem: f.Problem})
	}
	p.Details = e.Details
	p.retryAfter = retryAfter(e)
	return p
}

// fromRead is about a request body that could not be read; nil for other errors.
func fromRead(ctx context.Context, err error) *Problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		p := New(ctx, CodeTooLarge, "the body is larger than this endpoint takes")
		p.Details = map[string]string{"limit": strconv.FormatInt(tooLarge.Limit, 10)}
		return p
	}
	return nil
}

// retryAfter reads when a caller may come again from the details: retry_after (seconds) or until (RFC 3339).
func retryAfter(e *domain.Error) int {
	const engine, limited = 5, 60 // seconds, where the act does not say
	if s, err := strconv.Atoi(e.Details["retry_after"]); err == nil && s > 0 {
		return s
	}
	if until, err := time.Parse(time.RFC3339, e.Details["until"]); err == nil {
		return max(1, int(time.Until(until).Seconds())+1)
	}
	switch lookup(e.Code).status {
	case http.StatusServiceUnavailable:
		return engine
	case http.StatusTooManyRequests:
		return limited
	}
	return 0
}

// Error implements error: the code and the detail.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// GetStatus gives the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType gives the content type of the document.
func (p *Problem) ContentType(string) string { return MediaType }

// GetHeaders gives the header fields that belong to the problem.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	return h
}

// Write answers with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil { // texts and numbers always marshal
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", MediaType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // nobody is left to tell
}
