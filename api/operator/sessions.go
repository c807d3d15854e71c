package operator

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/domain"
)

// Sign-ins from one address, whether they succeed or not: too few to try common passwords on many accounts, enough for an office behind one address.
const (
	signInsPerWindow = 60
	signInWindow     = time.Minute
)

// signInInput carries a name and password, or a logon name and logon code.
type signInInput struct {
	Body struct {
		Name      string `json:"name,omitempty" maxLength:"100" doc:"Of a local account"`
		Password  string `json:"password,omitempty" maxLength:"1024" format:"password"`
		LogonName string `json:"logon_name,omitempty" maxLength:"150" doc:"Of a holder, instead of name and password"`
		LogonCode string `json:"logon_code,omitempty" maxLength:"128" format:"password"`
	}
	address string
}

// byLogonCode says whether it is a holder who signs in. Anything but one whole pair is refused.
func (in *signInInput) byLogonCode() (bool, error) {
	var problems domain.Problems
	logon := in.Body.LogonName != "" || in.Body.LogonCode != ""
	need := func(field, value string, wanted bool) {
		switch {
		case wanted && value == "":
			problems.Add(field, "is required")
		case !wanted && value != "":
			problems.Add(field, "cannot be given with logon_name and logon_code")
		}
	}
	need("name", in.Body.Name, !logon)
	need("password", in.Body.Password, !logon)
	if logon {
		need("logon_name", in.Body.LogonName, true)
		need("logon_code", in.Body.LogonCode, true)
	}
	return logon, problems.Err(domain.CodeInvalid, "the input breaks a rule")
}

// Resolve notes the caller's address.
func (in *signInInput) Resolve(ctx huma.Context) []error {
	in.address = humagin.Unwrap(ctx).ClientIP()
	return nil
}

type session struct {
	Token     string    `json:"token" doc:"Bearer token; it also ends after an hour without use"`
	ExpiresAt time.Time `json:"expires_at" doc:"The token works no longer than this"`
}

func (o *operator) sessions() {
	add(o, rest.Operation{ID: "sign-in", Method: http.MethodPost, Path: "/v1/sessions", Tag: tagSessions, Status: http.StatusCreated, Public: true,
		Summary: "Sign in",
		Description: "Opens a session, for the name and password of a local account, or for the logon name and logon code of a holder. After five " +
			"failures in a row a local account is locked for a while; a logon code is locked for good, and a new one has to be made.",
		Problems: []domain.Code{domain.CodeUnauthenticated, domain.CodeSignInLocked, domain.CodeForbidden, domain.CodeRateLimited}}, o.signIn)
	add(o, rest.Operation{ID: "sign-out", Method: http.MethodDelete, Path: "/v1/sessions/current", Tag: tagSessions,
		Summary:     "Sign out",
		Description: "Ends the session of the token. An API key has no session; it is revoked instead.",
		Problems:    []domain.Code{domain.CodeWrongState}}, o.signOut)
}

func (o *operator) signIn(ctx context.Context, _ domain.Caller, in *signInInput) (*rest.Reply[session], error) {
	byLogonCode, err := in.byLogonCode()
	if err != nil {
		return nil, err
	}
	ok, wait, err := o.Issuer.Cache.Allow(ctx, "sign-in|"+cache.Source(in.address), signInsPerWindow, signInWindow)
	if err != nil {
		o.Log.WarnContext(ctx, "rate limit not available", "error", err)
	} else if !ok {
		return nil, domain.Errorf(domain.CodeRateLimited, "too many sign-ins from this address; try again later").
			With("retry_after", strconv.Itoa(int(wait.Seconds())+1))
	}
	s, err := o.openSession(ctx, in, byLogonCode)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(session{Token: s.Token, ExpiresAt: s.ExpiresAt.UTC()}), nil
}

func (o *operator) openSession(ctx context.Context, in *signInInput, byLogonCode bool) (access.Session, error) {
	if !byLogonCode {
		return o.Access.SignIn(ctx, in.Body.Name, in.Body.Password)
	}
	account, err := o.Issuer.AcceptLogonCode(ctx, in.Body.LogonName, in.Body.LogonCode, in.address)
	if err != nil {
		return access.Session{}, err
	}
	return o.Access.OpenSession(ctx, account)
}

func (o *operator) signOut(ctx context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Nothing, error) {
	if caller.Machine {
		return nil, domain.Errorf(domain.CodeWrongState, "the call was made with an API key, which has no session")
	}
	return nil, o.Access.SignOut(ctx, rest.Token(ctx))
}
