package operator

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/domain"
)

// Sign-ins from one address, whether they succeed or not: too few to try common passwords on many accounts, enough for an office behind one address.
const (
	signInsPerWindow = 60
	signInWindow     = time.Minute
)

// signInInput carries a name and password.
type signInInput struct {
	Body struct {
		Name     string `json:"name" minLength:"1" maxLength:"100"`
		Password string `json:"password" minLength:"1" maxLength:"1024" format:"password"`
	}
	address string
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

type grant struct {
	Permission permission   `json:"permission"`
	Scope      domain.Scope `json:"scope" enum:"self,all"`
}

type me struct {
	AccountID string  `json:"account_id"`
	PersonID  string  `json:"person_id,omitempty" doc:"The account's own person"`
	Machine   bool    `json:"machine" doc:"Signed in with an API key"`
	Grants    []grant `json:"grants"`
}

func (o *operator) sessions() {
	add(o, operation{id: "sign-in", method: http.MethodPost, path: "/v1/sessions", tag: tagSessions, status: http.StatusCreated, public: true,
		summary:     "Sign in",
		description: "Checks the name and password of a local account and opens a session. After five failures in a row the account is locked for a while.",
		problems:    []domain.Code{domain.CodeUnauthenticated, domain.CodeSignInLocked, domain.CodeRateLimited}}, o.signIn)
	add(o, operation{id: "sign-out", method: http.MethodDelete, path: "/v1/sessions/current", tag: tagSessions,
		summary:     "Sign out",
		description: "Ends the session of the token. An API key has no session; it is revoked instead.",
		problems:    []domain.Code{domain.CodeWrongState}}, o.signOut)
	add(o, operation{id: "me", method: http.MethodGet, path: "/v1/me", tag: tagSessions,
		summary:     "Who am I",
		description: "Gives the caller's account and what it may do, and where."}, o.me)
}

func (o *operator) signIn(ctx context.Context, _ domain.Caller, in *signInInput) (*reply[session], error) {
	ok, wait, err := o.Issuer.Cache.Allow(ctx, "sign-in|"+cache.Source(in.address), signInsPerWindow, signInWindow)
	if err != nil {
		o.Log.WarnContext(ctx, "rate limit not available", "error", err)
	} else if !ok {
		return nil, domain.Errorf(domain.CodeRateLimited, "too many sign-ins from this address; try again later").
			With("retry_after", strconv.Itoa(int(wait.Seconds())+1))
	}
	s, err := o.Access.SignIn(ctx, in.Body.Name, in.Body.Password)
	if err != nil {
		return nil, err
	}
	return replyWith(session{Token: s.Token, ExpiresAt: s.ExpiresAt.UTC()}), nil
}

func (o *operator) signOut(ctx context.Context, caller domain.Caller, _ *nothing) (*nothing, error) {
	if caller.Machine {
		return nil, domain.Errorf(domain.CodeWrongState, "the call was made with an API key, which has no session")
	}
	return nil, o.Access.SignOut(ctx, signedInOf(ctx).token)
}

func (o *operator) me(_ context.Context, caller domain.Caller, _ *nothing) (*reply[me], error) {
	out := me{AccountID: caller.AccountID, PersonID: caller.PersonID, Machine: caller.Machine, Grants: []grant{}}
	for _, p := range domain.Permissions() {
		if caller.Has(p) {
			out.Grants = append(out.Grants, grant{Permission: permission(p), Scope: caller.Grants[p]})
		}
	}
	return replyWith(out), nil
}
