package problem_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/telemetry"
)

func edgeCodes() []domain.Code {
	return []domain.Code{problem.CodeMalformed, problem.CodeMethodNotAllowed, problem.CodeUnsupportedMediaType, problem.CodeTooLarge,
		problem.CodeTimeout, problem.CodeNotReady, problem.CodeClientClosed, problem.CodeNotAcceptable, problem.CodeNotSupported}
}

func TestEveryCodeHasAStatusATitleAndADescription(t *testing.T) {
	docs, err := os.ReadFile("../../docs/errors.md")
	require.NoError(t, err)
	titles := map[string]domain.Code{}
	for _, code := range append(domain.Codes(), edgeCodes()...) {
		p := problem.New(t.Context(), code, "")
		require.NotEmpty(t, p.Title, code)
		require.Empty(t, titles[p.Title], "%s has the title of %s", code, titles[p.Title])
		titles[p.Title] = code
		if code != domain.CodeInternal {
			require.Less(t, p.Status, 600, code)
			require.NotEqual(t, http.StatusInternalServerError, p.Status, "%s is not mapped", code)
		}
		row := fmt.Sprintf("| `%s` | %d |", code, p.Status)
		require.Contains(t, string(docs), row, "docs/errors.md lacks the code or has another status")
	}
}

func TestEveryDocumentedCodeExists(t *testing.T) {
	docs, err := os.ReadFile("../../docs/errors.md")
	require.NoError(t, err)
	known := map[string]bool{}
	for _, code := range append(domain.Codes(), edgeCodes()...) {
		known[string(code)] = true
	}
	rows := 0
	for line := range strings.Lines(string(docs)) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			code, _, _ := strings.Cut(rest, "`")
			require.True(t, known[code], "docs/errors.md describes %s, which does not exist", code)
			rows++
		}
	}
	require.Len(t, known, rows)
}

func TestFrom(t *testing.T) {
	var logs strings.Builder
	log, err := telemetry.NewLogger(&logs, "json", "debug")
	require.NoError(t, err)
	ctx := telemetry.WithCorrelationID(t.Context(), "the-id")
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		err    error
		status int
		code   domain.Code
		logged string
	}{
		"domain":          {ctx, domain.Errorf(domain.CodeWrongState, "no"), 409, domain.CodeWrongState, ""},
		"wrapped":         {ctx, fmt.Errorf("act: %w", domain.Errorf(domain.CodeNotFound, "no")), 404, domain.CodeNotFound, ""},
		"problem":         {ctx, problem.New(ctx, problem.CodeTooLarge, "no"), 413, problem.CodeTooLarge, ""},
		"too large":       {ctx, fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 5}), 413, problem.CodeTooLarge, ""},
		"unknown":         {ctx, errors.New("secret cause"), 500, domain.CodeInternal, "secret cause"},
		"caller is gone":  {canceled, fmt.Errorf("read: %w", context.Canceled), 499, problem.CodeClientClosed, "went away"},
		"someone else is": {ctx, fmt.Errorf("read: %w", context.Canceled), 500, domain.CodeInternal, "canceled"},
		"unknown code":    {ctx, domain.Errorf("made_up", "no"), 500, "made_up", ""},
	} {
		t.Run(name, func(t *testing.T) {
			logs.Reset()
			p := problem.From(c.ctx, log, c.err)
			require.Equal(t, c.status, p.Status)
			require.Equal(t, c.code, p.Code)
			require.Equal(t, "urn:mdocket:problem:"+string(c.code), p.Type)
			require.Equal(t, "the-id", p.CorrelationID)
			require.NotContains(t, p.Detail, "secret")
			require.Equal(t, c.logged != "", logs.Len() > 0)
			require.Contains(t, logs.String(), c.logged)
			if c.logged != "" {
				require.Contains(t, logs.String(), "the-id")
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	soon := time.Now().Add(90 * time.Second).UTC().Format(time.RFC3339)
	for name, c := range map[string]struct {
		err        *domain.Error
		challenge  string
		retryAfter string // one of, by comma
	}{
		"unauthenticated": {domain.Errorf(domain.CodeUnauthenticated, "no"), "Bearer", ""},
		"token":           {domain.Errorf(domain.CodeTokenInvalid, "no"), "Bearer", ""},
		"limited":         {domain.Errorf(domain.CodeRateLimited, "no").With("retry_after", "17"), "", "17"},
		"limited, unsaid": {domain.Errorf(domain.CodeRateLimited, "no"), "", "60"},
		"locked":          {domain.Errorf(domain.CodeSignInLocked, "no").With("until", soon), "", "88,89,90,91"},
		"locked no more":  {domain.Errorf(domain.CodeSignInLocked, "no").With("until", "2020-01-01T00:00:00Z"), "", "1"},
		"engine":          {domain.Errorf(domain.CodeEngineUnavailable, "no"), "", "5"},
		"other":           {domain.Errorf(domain.CodeConflict, "no"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			problem.From(t.Context(), slog.Default(), c.err).Write(w)
			require.Equal(t, c.challenge, w.Header().Get("WWW-Authenticate"))
			require.Contains(t, strings.Split(c.retryAfter, ","), w.Header().Get("Retry-After"))
			require.Equal(t, problem.MediaType, w.Header().Get("Content-Type"))
		})
	}
}

func TestWriteGivesEveryMember(t *testing.T) {
	w := httptest.NewRecorder()
	e := &domain.Error{Code: domain.CodeMissingData, Message: "data are missing", Fields: []domain.FieldError{{Field: "a",
		Problem: "is required"}}}
	problem.From(telemetry.WithCorrelationID(t.Context(), "id"), slog.Default(), e.With("k", "v")).Write(w)
	require.Equal(t, http.StatusUnprocessableEntity, w.Code)
	require.JSONEq(t, `{"type": "urn:mdocket:problem:missing_data", "title": "Data of the person are missing", "status": 422,
		"detail": "data are missing", "code": "missing_data", "correlation_id": "id", "errors": [{"field": "a", "problem": "is required"}],
		"details": {"k": "v"}}`, w.Body.String())
}

func TestHumasRefusalsHoldNoValue(t *testing.T) {
	problem.UseInHuma()
	const canary = "Mustermann"
	detail := func(where, message string) error {
		return &huma.ErrorDetail{Location: where, Message: message, Value: canary}
	}
	for name, c := range map[string]struct {
		status  int
		message string
		errs    []error
		want    int
		code    domain.Code
		field   problem.Field
	}{
		"missing": {422, "validation failed", []error{detail("body", "expected required property name to be present")}, 422, "invalid",
			problem.Field{Field: "name", Problem: "is required"}},
		"missing deep": {422, "validation failed", []error{detail("body.options", "expected required property format to be present")}, 422,
			"invalid", problem.Field{Field: "options.format", Problem: "is required"}},
		"unknown": {422, "validation failed", []error{detail("body.nmae", "unexpected property")}, 422, "invalid",
			problem.Field{Field: "nmae", Problem: "is not known"}},
		"odd name": {422, "validation failed", []error{detail("body."+canary+" Erika", "unexpected property")}, 422, "invalid",
			problem.Field{Field: "body", Problem: "is not known"}},
		"query": {422, "validation failed", []error{detail("query.limit", "expected number <= 500")}, 422, "invalid",
			problem.Field{Field: "limit", Problem: "is not valid: expected number <= 500"}},
		"quoting": {422, "validation failed", []error{detail("body.email", "expected string to be RFC 5322 email: "+canary)}, 422,
			"invalid", problem.Field{Field: "email", Problem: "is not valid: expected string to be RFC 5322 email"}},
		"from Go": {422, "validation failed", []error{detail("body", `parsing time "`+canary+`"`)}, 422, "invalid",
			problem.Field{Field: "body", Problem: "is not valid"}},
		"plain error": {422, "validation failed", []error{errors.New(canary)}, 422, "invalid", problem.Field{Field: "body",
			Problem: "is not valid"}},
		"broken JSON": {400, "validation failed", []error{detail("body", "invalid character 'M' "+canary)}, 400, problem.CodeMalformed,
			problem.Field{}},
		"no body": {400, "request body is required", nil, 400, problem.CodeMalformed, problem.Field{}},
		"media type": {415, "validation failed", []error{detail("body", "unknown content type: "+canary)}, 415,
			problem.CodeUnsupportedMediaType, problem.Field{}},
		"large":         {413, "request body is too large", nil, 413, problem.CodeTooLarge, problem.Field{}},
		"limit reached": {500, "cannot read request body", []error{&http.MaxBytesError{Limit: 1}}, 413, problem.CodeTooLarge, problem.Field{}},
		"slow":          {408, "request body read timeout", nil, 408, problem.CodeTimeout, problem.Field{}},
		"cut off":       {500, "cannot read request body", []error{errors.New("unexpected EOF")}, 400, problem.CodeMalformed, problem.Field{}},
		"problem":       {500, "", []error{problem.New(t.Context(), domain.CodeConflict, "")}, 409, domain.CodeConflict, problem.Field{}},
		"else":          {500, canary, []error{errors.New(canary)}, 500, domain.CodeInternal, problem.Field{}},
	} {
		t.Run(name, func(t *testing.T) {
			e := huma.NewError(c.status, c.message, c.errs...)
			p, ok := e.(*problem.Problem)
			require.True(t, ok)
			require.Equal(t, c.want, p.Status)
			require.Equal(t, c.code, p.Code)
			if c.field.Field != "" {
				require.Equal(t, []problem.Field{c.field}, p.Errors)
			}
			body, err := json.Marshal(p)
			require.NoError(t, err)
			require.NotContains(t, string(body), canary)
		})
	}
}
