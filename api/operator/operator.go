// Package operator is the API of operators, approvers, administrators and machine clients: everything under /v1, one file for each resource.
// It translates: JSON into the acts of internal/issuer and back. What is allowed, to whom and when, is decided there and not here.
package operator

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
	"github.com/mdocket/mdocket/internal/issuer"
)

// ImportPath is the route, as Gin writes it, whose body is read as a stream and may be larger than others.
const ImportPath = "/v1/people/import"

// SecurityScheme names the bearer tokens in the OpenAPI document.
const SecurityScheme = "bearer"

// Deps are the parts the API works with.
type Deps struct {
	Issuer *issuer.Issuer
	Access *access.Authenticator
	Log    *slog.Logger
}

type operator struct {
	Deps
	api huma.API
}

// Register adds every operation to the API, whose adapter must be humagin.
func Register(api huma.API, d Deps) {
	o := &operator{Deps: d, api: api}
	o.sessions()
	o.accounts()
	o.roles()
	o.people()
	o.images()
	o.imports()
	o.profiles()
	o.formats()
	o.requests()
	o.documents()
	o.copies()
	o.cancellations()
	o.notifications()
	o.settings()
	o.audit()
}

// Tags lists the groups of operations in the order of the documentation.
func Tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: tagSessions, Description: "Signing in and out"},
		{Name: tagAccounts, Description: "Accounts, roles and API keys"},
		{Name: tagPeople, Description: "Holders and future holders of documents"},
		{Name: tagProfiles, Description: "Credential profiles and document formats"},
		{Name: tagRequests, Description: "Requests, approval and collection"},
		{Name: tagDocuments, Description: "Issued documents"},
		{Name: tagCancellations, Description: "Cancellations that need another operator's approval"},
		{Name: tagNotifications, Description: "Messages to holders and approvers"},
		{Name: tagSettings, Description: "Settings in force"},
		{Name: tagAudit, Description: "The append-only audit"},
	}
}

const (
	tagSessions      = "Sessions"
	tagAccounts      = "Accounts"
	tagPeople        = "People"
	tagProfiles      = "Profiles"
	tagRequests      = "Requests"
	tagDocuments     = "Documents"
	tagCancellations = "Cancellations"
	tagNotifications = "Notifications"
	tagSettings      = "Settings"
	tagAudit         = "Audit"
)

// bodyTimeout bounds how long a body may take to arrive. The deadline stays on the connection until the answer, so it is longer than any act takes.
const bodyTimeout = 2 * time.Minute

// operation describes one endpoint. What every operation has is added to it: authentication, its problems, the internal error.
type operation struct {
	id          string
	method      string
	path        string
	tag         string
	summary     string
	description string
	status      int                 // of success; 0 = 200 with a body, 204 without
	needs       []domain.Permission // one of them
	problems    []domain.Code       // beside those that every operation has
	public      bool                // without a token
	maxBody     int64               // bytes; 0 = 1 MiB
	requestBody *huma.RequestBody   // where it is not JSON
	responses   map[string]*huma.Response
}

// add registers an operation whose handler gets the caller.
func add[I, O any](o *operator, op operation, handler func(ctx context.Context, caller domain.Caller, in *I) (*O, error)) {
	codes := slices.Clone(op.problems)
	out := huma.Operation{OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Tags: []string{op.tag},
		DefaultStatus: op.status, MaxBodyBytes: op.maxBody, RequestBody: op.requestBody, Responses: op.responses}
	if hasBody(op.method) {
		out.BodyReadTimeout = bodyTimeout
		codes = append(codes, domain.CodeInvalid, problem.CodeMalformed, problem.CodeUnsupportedMediaType, problem.CodeTooLarge)
	}
	if !op.public {
		codes = append(codes, domain.CodeUnauthenticated)
		out.Security = []map[string][]string{{SecurityScheme: {}}}
		out.Middlewares = huma.Middlewares{o.authenticate}
	}
	if len(op.needs) > 0 {
		codes = append(codes, domain.CodeForbidden)
	}
	out.Description = describe(op, codes)
	for _, c := range append(codes, domain.CodeInternal) {
		if s := problem.Status(c); !slices.Contains(out.Errors, s) {
			out.Errors = append(out.Errors, s)
		}
	}
	slices.Sort(out.Errors)
	huma.Register(o.api, out, func(ctx context.Context, in *I) (*O, error) {
		result, err := handler(ctx, signedInOf(ctx).caller, in)
		if err != nil {
			return nil, problem.From(ctx, o.Log, err)
		}
		return result, nil
	})
}

func hasBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// describe finishes the description with what the operation needs and which problems it has.
func describe(op operation, codes []domain.Code) string {
	var b strings.Builder
	b.WriteString(op.description)
	if len(op.needs) > 0 {
		names := make([]string, len(op.needs))
		for i, p := range op.needs {
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

// authenticate lets a call with a valid bearer token (RFC 6750, header field only) through.
func (o *operator) authenticate(ctx huma.Context, next func(huma.Context)) {
	scheme, token, ok := strings.Cut(ctx.Header("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		refuse(ctx, problem.New(ctx.Context(), domain.CodeUnauthenticated, "a bearer token is needed"))
		return
	}
	token = strings.TrimSpace(token)
	caller, err := o.Access.Authenticate(ctx.Context(), token)
	if err != nil {
		refuse(ctx, problem.From(ctx.Context(), o.Log, err))
		return
	}
	next(huma.WithValue(ctx, signedInKey{}, signedIn{caller: caller, token: token}))
}

// refuse answers with a problem from outside a handler.
func refuse(ctx huma.Context, p *problem.Problem) { p.Write(humagin.Unwrap(ctx).Writer) }

// ByID is the id in a path.
type ByID struct {
	ID string `path:"id" maxLength:"64" doc:"Id of the thing"`
}

// Idempotent is the header field of creating calls (C2).
type Idempotent struct {
	Key string `header:"Idempotency-Key" maxLength:"255" pattern:"^[!-~]+$" doc:"Chosen by the client, new for each new thing. A call that is repeated with the same key and content gives the thing the first one made."`
}

// Paging asks for one keyset page, newest first.
type Paging struct {
	After string `query:"after" maxLength:"64" doc:"The next of the page before; empty for the first page"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Most items on the page"`
}

// page is one page of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Give it as after for the next page; absent on the last page"`
}

// pageOf makes a page of what a list gave; a full page may have a next one.
func pageOf[D, T any](all []D, limit int, dto func(D) T, id func(D) string) page[T] {
	p := page[T]{Items: listOf(all, dto)}
	if len(all) == limit && limit > 0 {
		p.Next = id(all[len(all)-1])
	}
	return p
}

// listOf translates a list; it is never null.
func listOf[D, T any](all []D, dto func(D) T) []T {
	out := make([]T, len(all))
	for i, d := range all {
		out[i] = dto(d)
	}
	return out
}

// list is a list that comes whole.
type list[T any] struct {
	Items []T `json:"items"`
}

// reply is a response with a body and nothing else.
type reply[T any] struct {
	Body T
}

func replyWith[T any](body T) *reply[T] { return &reply[T]{Body: body} }

// created is the response of a creating call.
type created[T any] struct {
	Location string `header:"Location" doc:"Path of the new thing"`
	Body     T
}

// nothing is the input or output of an operation that has none.
type nothing struct{}

// optional gives nil for no time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
