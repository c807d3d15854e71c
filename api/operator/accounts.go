package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// Account is somebody or something that signs in.
type Account struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Email    string `json:"email,omitempty" doc:"Where approval reminders go"`
	PersonID string `json:"person_id,omitempty"`
	Disabled bool   `json:"disabled"`
}

func accountDTO(a domain.Account) Account {
	return Account{ID: a.ID, Name: a.Name, Email: a.Email, PersonID: a.PersonID, Disabled: a.Disabled}
}

// assignment gives a role in a scope.
type assignment struct {
	RoleID string       `json:"role_id" maxLength:"64"`
	Scope  domain.Scope `json:"scope" enum:"none,self,department,division,all" doc:"Whom the role's permissions reach"`
}

type accountWithRoles struct {
	Account
	Roles []assignment `json:"roles"`
}

type newAccountInput struct {
	rest.Idempotent
	Body struct {
		Name     string `json:"name" maxLength:"100" doc:"What the account signs in with; unique"`
		Email    string `json:"email,omitempty" maxLength:"320"`
		PersonID string `json:"person_id,omitempty" maxLength:"64" doc:"The account's own person"`
		Password string `json:"password,omitempty" maxLength:"1024" format:"password" doc:"12 to 256 characters; without one the account only uses API keys"`
	}
}

type changeAccountInput struct {
	rest.ByID
	Body struct {
		Email    *string `json:"email,omitempty" maxLength:"320"`
		Password *string `json:"password,omitempty" maxLength:"1024" format:"password"`
		Disabled *bool   `json:"disabled,omitempty"`
	}
}

type assignRolesInput struct {
	rest.ByID
	Body struct {
		Roles []assignment `json:"roles" maxItems:"100"`
	}
}

// APIKey is a secret of an account, without the secret.
type APIKey struct {
	ID        string     `json:"id"`
	Label     string     `json:"label"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Revoked   bool       `json:"revoked"`
	CreatedAt time.Time  `json:"created_at"`
}

func apiKeyDTO(k issuer.APIKey) APIKey {
	return APIKey{ID: k.ID, Label: k.Label, ExpiresAt: rest.Optional(k.ExpiresAt), Revoked: k.Revoked, CreatedAt: k.CreatedAt.UTC()}
}

type newAPIKey struct {
	APIKey
	Secret string `json:"secret" doc:"The bearer token. It is shown this once."`
}

type newAPIKeyInput struct {
	rest.ByID
	Body struct {
		Label     string     `json:"label" minLength:"1" maxLength:"100"`
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Absent: the key works until it is revoked"`
	}
}

type apiKeyInput struct {
	rest.ByID
	KeyID string `path:"key_id" maxLength:"64"`
}

func (o *operator) accounts() {
	needs := []domain.Permission{domain.PermRoles}
	add(o, rest.Operation{ID: "create-account", Method: http.MethodPost, Path: "/v1/accounts", Tag: tagAccounts, Status: http.StatusCreated,
		Needs:       needs,
		Summary:     "Create an account",
		Description: "Adds an account without any role: it may do nothing until it is given one.",
		Problems:    []domain.Code{domain.CodeConflict, domain.CodeIdempotencyReused}}, o.createAccount)
	add(o, rest.Operation{ID: "list-accounts", Method: http.MethodGet, Path: "/v1/accounts", Tag: tagAccounts, Needs: needs,
		Summary: "List accounts", Description: "Newest first.", Problems: []domain.Code{domain.CodeInvalid}}, o.listAccounts)
	add(o, rest.Operation{ID: "get-account", Method: http.MethodGet, Path: "/v1/accounts/{id}", Tag: tagAccounts, Needs: needs,
		Summary: "Read an account", Description: "Gives one account with its roles.", Problems: []domain.Code{domain.CodeNotFound}}, o.getAccount)
	add(o, rest.Operation{ID: "change-account", Method: http.MethodPatch, Path: "/v1/accounts/{id}", Tag: tagAccounts, Needs: needs,
		Summary: "Change an account",
		Description: "Changes the members that are given. A new password, or disabling the account, ends its sessions; API keys of a disabled " +
			"account do not work.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.changeAccount)
	add(o, rest.Operation{ID: "assign-roles", Method: http.MethodPut, Path: "/v1/accounts/{id}/roles", Tag: tagAccounts, Needs: needs,
		Summary: "Assign roles", Description: "Replaces the roles of an account.", Problems: []domain.Code{domain.CodeNotFound}}, o.assignRoles)
	add(o, rest.Operation{ID: "create-api-key", Method: http.MethodPost, Path: "/v1/accounts/{id}/api-keys", Tag: tagAccounts,
		Status: http.StatusCreated, Needs: needs,
		Summary: "Create an API key",
		Description: "Gives the secret of the key this once. The call takes no idempotency key, because the secret is not kept: after a lost " +
			"answer, revoke the key and create another.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.createAPIKey)
	add(o, rest.Operation{ID: "list-api-keys", Method: http.MethodGet, Path: "/v1/accounts/{id}/api-keys", Tag: tagAccounts, Needs: needs,
		Summary: "List API keys", Description: "Lists an account's keys without their secrets, newest first.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.listAPIKeys)
	add(o, rest.Operation{ID: "revoke-api-key", Method: http.MethodDelete, Path: "/v1/accounts/{id}/api-keys/{key_id}", Tag: tagAccounts,
		Needs:   needs,
		Summary: "Revoke an API key", Description: "Ends the key for good.", Problems: []domain.Code{domain.CodeNotFound}}, o.revokeAPIKey)
}

func (o *operator) createAccount(ctx context.Context, caller domain.Caller, in *newAccountInput) (*rest.Created[Account], error) {
	a, err := o.Issuer.CreateAccount(ctx, caller, in.Key, issuer.NewAccount{Name: in.Body.Name, Email: in.Body.Email,
		PersonID: in.Body.PersonID, Password: in.Body.Password})
	if err != nil {
		return nil, err
	}
	return &rest.Created[Account]{Location: "/v1/accounts/" + a.ID, Body: accountDTO(a)}, nil
}

func (o *operator) listAccounts(ctx context.Context, caller domain.Caller, in *rest.Paging) (*rest.Reply[rest.Page[Account]], error) {
	all, err := o.Issuer.Accounts(ctx, caller, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.PageOf(all, in.Limit, accountDTO, func(a domain.Account) string { return a.ID })), nil
}

func (o *operator) getAccount(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[accountWithRoles], error) {
	a, roles, err := o.Issuer.Account(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(accountWithRoles{Account: accountDTO(a), Roles: rest.ListOf(roles, func(r domain.Assignment) assignment {
		return assignment{RoleID: r.RoleID, Scope: r.Scope}
	})}), nil
}

func (o *operator) changeAccount(ctx context.Context, caller domain.Caller, in *changeAccountInput) (*rest.Reply[Account], error) {
	a, err := o.Issuer.ChangeAccount(ctx, caller, in.ID, issuer.AccountChange{Email: in.Body.Email, Password: in.Body.Password,
		Disabled: in.Body.Disabled})
	if err != nil {
		return nil, err
	}
	if in.Body.Password != nil || a.Disabled {
		if err := o.Access.SignOutAll(ctx, a.ID); err != nil {
			return nil, err
		}
	}
	return rest.ReplyWith(accountDTO(a)), nil
}

func (o *operator) assignRoles(ctx context.Context, caller domain.Caller, in *assignRolesInput) (*rest.Reply[accountWithRoles], error) {
	err := o.Issuer.AssignRoles(ctx, caller, in.ID, rest.ListOf(in.Body.Roles, func(a assignment) domain.Assignment {
		return domain.Assignment{RoleID: a.RoleID, Scope: a.Scope}
	}))
	if err != nil {
		return nil, err
	}
	return o.getAccount(ctx, caller, &in.ByID)
}

func (o *operator) createAPIKey(ctx context.Context, caller domain.Caller, in *newAPIKeyInput) (*rest.Reply[newAPIKey], error) {
	var expires time.Time
	if in.Body.ExpiresAt != nil {
		expires = *in.Body.ExpiresAt
	}
	k, secret, err := o.Issuer.CreateAPIKey(ctx, caller, in.ID, in.Body.Label, expires)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(newAPIKey{APIKey: apiKeyDTO(k), Secret: secret}), nil
}

func (o *operator) listAPIKeys(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[rest.List[APIKey]], error) {
	all, err := o.Issuer.APIKeys(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[APIKey]{Items: rest.ListOf(all, apiKeyDTO)}), nil
}

func (o *operator) revokeAPIKey(ctx context.Context, caller domain.Caller, in *apiKeyInput) (*rest.Nothing, error) {
	return nil, o.Issuer.RevokeAPIKey(ctx, caller, in.ID, in.KeyID)
}
