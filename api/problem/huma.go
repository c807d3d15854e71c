package problem

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mdocket/mdocket/internal/domain"
)

// UseInHuma lets huma answer its own refusals (validation, bodies that cannot be read) with problem documents, compare member names
// exactly and refuse null for a list. Huma keeps all this for the whole process, so it is called before the first API is made.
func UseInHuma() { useInHuma() }

var useInHuma = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return fromHuma(context.Background(), status, message, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		return fromHuma(ctx.Context(), status, message, errs)
	}
})

func fromHuma(ctx context.Context, status int, message string, errs []error) *Problem {
	for _, err := range errs {
		var ready *Problem
		if errors.As(err, &ready) {
			return ready
		}
		if p := fromRead(ctx, err); p != nil {
			return p
		}
	}
	switch status {
	case http.StatusUnprocessableEntity:
		p := New(ctx, domain.CodeInvalid, "the input breaks a rule")
		for _, err := range errs {
			p.Errors = append(p.Errors, field(err))
		}
		return p
	case http.StatusBadRequest:
		if message == "request body is required" {
			return New(ctx, CodeMalformed, "a body is needed")
		}
		return New(ctx, CodeMalformed, "the body is not JSON in UTF-8")
	case http.StatusUnsupportedMediaType:
		return New(ctx, CodeUnsupportedMediaType, "this endpoint does not take a body of this content type")
	case http.StatusRequestEntityTooLarge:
		return New(ctx, CodeTooLarge, "the body is larger than this endpoint takes")
	case http.StatusRequestTimeout:
		return New(ctx, CodeTimeout, "the body took too long to arrive")
	}
	if message == "cannot read request body" {
		return New(ctx, CodeMalformed, "the body ended too early")
	}
	return New(ctx, domain.CodeInternal, "")
}

var (
	missingMember = regexp.MustCompile(`^expected required property (\w+) to be present$`)
	plainPath     = regexp.MustCompile(`^[A-Za-z0-9_.\[\]-]{1,200}$`)
)

// field turns one finding of huma's validation into ours, without the value that huma keeps beside it. Texts of huma that could quote the value
// are replaced.
func field(err error) Field {
	var detail *huma.ErrorDetail
	if !errors.As(err, &detail) {
		return Field{Field: "body", Problem: "is not valid"}
	}
	path := detail.Location
	for _, where := range []string{"body.", "query.", "path.", "header."} {
		if rest, ok := strings.CutPrefix(path, where); ok {
			path = rest
			break
		}
	}
	if !plainPath.MatchString(path) {
		path = "body"
	}
	switch m := missingMember.FindStringSubmatch(detail.Message); {
	case m != nil && path == "body":
		return Field{Field: m[1], Problem: "is required"}
	case m != nil:
		return Field{Field: path + "." + m[1], Problem: "is required"}
	case detail.Message == "unexpected property", detail.Message == "unknown query parameter":
		return Field{Field: path, Problem: "is not known"}
	case strings.HasPrefix(detail.Message, "required "):
		return Field{Field: path, Problem: "is required"}
	case strings.HasPrefix(detail.Message, "expected "):
		text, _, _ := strings.Cut(detail.Message, ": ") // after the colon some texts quote the value
		return Field{Field: path, Problem: "is not valid: " + text}
	}
	return Field{Field: path, Problem: "is not valid"}
}
