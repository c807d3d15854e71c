// Package selfservice is the API of holders: everything under /v1/me, for whoever the caller's own person is. It translates: JSON into the
// acts of internal/issuer and back. What is allowed, and what a holder may know, is decided there and not here.
package selfservice

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// Deps are the parts the API works with.
type Deps struct {
	Issuer *issuer.Issuer
	Access *access.Authenticator
	Log    *slog.Logger
}

type server struct {
	Deps
	rest rest.Registrar
}

// Register adds every operation to the API, whose adapter must be humagin.
func Register(api huma.API, d Deps) {
	s := &server{Deps: d, rest: rest.Registrar{API: api, Access: d.Access, Log: d.Log}}
	s.whoAmI()
	s.profiles()
	s.requests()
	s.documents()
}

const tag = "Self-service"

// Tags lists the groups of operations in the order of the documentation.
func Tags() []*huma.Tag {
	return []*huma.Tag{{Name: tag, Description: "What holders do for themselves"}}
}

// needs is what everything but looking at oneself and collecting needs.
var needs = []domain.Permission{domain.PermRequestSelf}

type grant struct {
	Permission rest.Permission `json:"permission"`
	Scope      domain.Scope    `json:"scope" enum:"self,department,division,all"`
}

type me struct {
	AccountID   string  `json:"account_id"`
	AccountName string  `json:"account_name"`
	PersonID    string  `json:"person_id,omitempty" doc:"The account's own person"`
	DisplayName string  `json:"display_name,omitempty" doc:"Of the person: given and family name"`
	Machine     bool    `json:"machine" doc:"Signed in with an API key"`
	Grants      []grant `json:"grants"`
}

func (s *server) whoAmI() {
	rest.Add(s.rest, rest.Operation{ID: "me", Method: http.MethodGet, Path: "/v1/me", Tag: tag,
		Summary:     "Who am I",
		Description: "Gives the caller's account, its own person, and what the account may do, and where. For everybody who is signed in."}, s.me)
}

func (s *server) me(ctx context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Reply[me], error) {
	self, err := s.Issuer.Me(ctx, caller)
	if err != nil {
		return nil, err
	}
	out := me{AccountID: self.Account.ID, AccountName: self.Account.Name, PersonID: caller.PersonID, DisplayName: self.DisplayName,
		Machine: caller.Machine, Grants: []grant{}}
	for _, p := range domain.Permissions() {
		if caller.Has(p) {
			out.Grants = append(out.Grants, grant{Permission: rest.Permission(p), Scope: caller.Grants[p]})
		}
	}
	return rest.ReplyWith(out), nil
}
