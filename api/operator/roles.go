package operator

import (
	"context"
	"net/http"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// permission lists its values in the OpenAPI document.
type permission = rest.Permission

type role struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Permissions []permission `json:"permissions"`
	Version     string       `json:"version" doc:"Changes with every change; a change names the version it was made from"`
}

func roleDTO(r domain.Role) role {
	return role{ID: r.ID, Name: r.Name, Version: r.Version(), Permissions: rest.ListOf(r.Permissions, func(p domain.Permission) permission { return permission(p) })}
}

// SaveRole is what a caller says of a role.
type SaveRole struct {
	Name        string       `json:"name" maxLength:"100"`
	Permissions []permission `json:"permissions" maxItems:"100" doc:"All that the role allows"`
}

func (s SaveRole) role() issuer.SaveRole {
	return issuer.SaveRole{Name: s.Name, Permissions: rest.ListOf(s.Permissions,
		func(p permission) domain.Permission { return domain.Permission(p) })}
}

type newRoleInput struct {
	rest.Idempotent
	Body SaveRole
}

type changeRoleInput struct {
	rest.ByID
	Body struct {
		SaveRole
		Version string `json:"version" maxLength:"64" doc:"The version that was read"`
	}
}

func (o *operator) roles() {
	needs := []domain.Permission{domain.PermRoles}
	add(o, rest.Operation{ID: "create-role", Method: http.MethodPost, Path: "/v1/roles", Tag: tagAccounts, Status: http.StatusCreated, Needs: needs,
		Summary: "Create a role", Description: "Adds a named set of permissions.",
		Problems: []domain.Code{domain.CodeConflict, domain.CodeIdempotencyReused}}, o.createRole)
	add(o, rest.Operation{ID: "list-roles", Method: http.MethodGet, Path: "/v1/roles", Tag: tagAccounts, Needs: needs,
		Summary: "List roles", Description: "Lists every role by name."}, o.listRoles)
	add(o, rest.Operation{ID: "change-role", Method: http.MethodPut, Path: "/v1/roles/{id}", Tag: tagAccounts, Needs: needs,
		Summary: "Change a role",
		Description: "Replaces name and permissions, for every account that has the role. The version must be the one that was read, or the answer " +
			"is 409 with the present one in details.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeConflict}}, o.changeRole)
}

func (o *operator) createRole(ctx context.Context, caller domain.Caller, in *newRoleInput) (*rest.Created[role], error) {
	r, err := o.Issuer.CreateRole(ctx, caller, in.Key, in.Body.role())
	if err != nil {
		return nil, err
	}
	return &rest.Created[role]{Location: "/v1/roles/" + r.ID, Body: roleDTO(r)}, nil
}

func (o *operator) listRoles(ctx context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Reply[rest.List[role]], error) {
	all, err := o.Issuer.Roles(ctx, caller)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[role]{Items: rest.ListOf(all, roleDTO)}), nil
}

func (o *operator) changeRole(ctx context.Context, caller domain.Caller, in *changeRoleInput) (*rest.Reply[role], error) {
	r, err := o.Issuer.ChangeRole(ctx, caller, in.ID, in.Body.Version, in.Body.role())
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(roleDTO(r)), nil
}
