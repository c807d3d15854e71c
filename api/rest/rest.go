// Package rest is what the JSON APIs under /v1 have in common, whoever they are for: how an operation is described and registered, how its
// caller is recognised, and the forms of lists, pages and answers. It knows no operation; those are in the folders beside it, one for each
// audience.
package rest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/domain"
)

// SecurityScheme names the bearer tokens in the OpenAPI document.
const SecurityScheme = "bearer"

// bodyTimeout bounds how long a body may take to arrive. The deadline stays on the connection until the answer, so it is longer than any
// act takes.
const bodyTimeout = 2 * time.Minute

// Registrar is where operations are added. The adapter of its API must be humagin.
type Registrar struct {
	API    huma.API
	Access *access.Authenticator
	Log    *slog.Logger
}

// Operation describes one endpoint. What every operation has is added to it: authentication, its problems, the internal error.
type Operation struct {
	ID          string
	Method      string
	Path        string
	Tag         string
	Summary     string
	Description string
	Status      int                 // of success; 0 = 200 with a body, 204 without
	Needs       []domain.Permission // one of them
	Problems    []domain.Code       // beside those that every operation has
	Public      bool                // without a token
	MaxBody     int64               // bytes; 0 = 1 MiB
	RequestBody *huma.RequestBody   // where it is not JSON
	Responses   map[string]*huma.Response
}

// Add registers an operation whose handler gets the caller.
func Add[I, O any](r Registrar, op Operation, handler func(ctx context.Context, caller domain.Caller, in *I) (*O, error)) {
	codes := slices.Clone(op.Problems)
	out := huma.Operation{OperationID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary, Tags: []string{op.Tag},
		DefaultStatus: op.Status, MaxBodyBytes: op.MaxBody, RequestBody: op.RequestBody, Responses: op.Responses}
	if hasBody(op.Method) {
		out.BodyReadTimeout = bodyTimeout
		codes = append(codes, domain.CodeInvalid, problem.CodeMalformed, problem.CodeUnsupportedMediaType, problem.CodeTooLarge)
	}
	if !op.Public {
		codes = append(codes, domain.CodeUnauthenticated)
		out.Security = []map[string][]string{{SecurityScheme: {}}}
		out.Middlewares = huma.Middlewares{r.authenticate}
	}
	if len(op.Needs) > 0 {
		codes = append(codes, domain.CodeForbidden)
	}
	out.Description = describe(op, codes)
	for _, c := range append(codes, domain.CodeInternal) {
		if s := problem.Status(c); !slices.Contains(out.Errors, s) {
			out.Errors = append(out.Errors, s)
		}
	}
	slices.Sort(out.Errors)
	huma.Register(r.API, out, func(ctx context.Context, in *I) (*O, error) {
		result, err := handler(ctx, signedInOf(ctx).caller, in)
		if err != nil {
			return nil, problem.From(ctx, r.Log, err)
		}
		return result, nil
	})
}

func hasBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// describe finishes the description with what the operation needs and which problems it has.
func describe(op Operation, codes []domain.Code) string {
	var b strings.Builder
	b.WriteString(op.Description)
	if len(op.Needs) > 0 {
		names := make([]string, len(op.Needs))
		for i, p := range op.Needs {
			names[i] = "`" + string(p) + "`"
		}
		fmt.Fprintf(&b, "\n\nPermission: %s.", strings.Join(names, " or "))
	}
	names := make([]string, 0, len(codes))
	for _, c := range codes {
		if name := "`" + string(c) + "`"; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > 0 {
		fmt.Fprintf(&b, "\n\nProblems: %s.", strings.Join(names, ", "))
	}
	return b.String()
}

// signedIn is who calls, and with what.
type signedIn struct {
	caller domain.Caller
	token  string
}

type signedInKey struct{}

func signedInOf(ctx context.Context) signedIn {
	s, _ := ctx.Value(signedInKey{}).(signedIn)
	return s
}

// Token gives the bearer token that the call was made with; empty in a public operation.
func Token(ctx context.Context) string { return signedInOf(ctx).token }

// authenticate lets a call with a valid bearer token (RFC 6750, header field only) through.
func (r Registrar) authenticate(ctx huma.Context, next func(huma.Context)) {
	scheme, token, ok := strings.Cut(ctx.Header("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		refuse(ctx, problem.New(ctx.Context(), domain.CodeUnauthenticated, "a bearer token is needed"))
		return
	}
	token = strings.TrimSpace(token)
	caller, err := r.Access.Authenticate(ctx.Context(), token)
	if err != nil {
		refuse(ctx, problem.From(ctx.Context(), r.Log, err))
		return
	}
	next(huma.WithValue(ctx, signedInKey{}, signedIn{caller: caller, token: token}))
}

// refuse answers with a problem from outside a handler.
func refuse(ctx huma.Context, p *problem.Problem) { p.Write(humagin.Unwrap(ctx).Writer) }
