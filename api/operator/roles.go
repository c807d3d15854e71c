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
	return role{ID: r.ID, Name: r.Name, Version: r.Version(), Permissions: listOf(r.Permissions, func(p domain.Permission) permission { return permission(p) })}
}

// SaveRole is what a caller says of a role.
type SaveRole struct {
	Name        string       `json:"name" maxLength:"100"`
	Permissions []permission `json:"permissions" maxItems:"100" doc:"All that the role allows"`
}

func (s SaveRole) role() issuer.SaveRole {
	return issuer.SaveRole{Name: s.Name, Permissions: listOf(s.Permissions,
		func(p permission) domain.Permission { return domain.Permission(p) })}
}

type newRoleInput struct {
	Idempotent
	Body SaveRole
}

type changeRoleInput struct {
	ByID
	Body struct {
		SaveRole
		Version string `json:"version" maxLength:"64" doc:"The version that was read"`
	}
}

func (o *operator) roles() {
	needs := []domain.Permission{domain.PermRoles}
	add(o, operation{id: "create-role", method: http.MethodPost, path: "/v1/roles", tag: tagAccounts, status: http.StatusCreated, needs: needs,
		summary: "Create a role", description: "Adds a named set of permissions.",
		problems: []domain.Code{domain.CodeConflict, domain.CodeIdempotencyReused}}, o.createRole)
	add(o, operation{id: "list-roles", method: http.MethodGet, path: "/v1/roles", tag: tagAccounts, needs: needs,
		summary: "List roles", description: "Lists every role by name."}, o.listRoles)
	add(o, operation{id: "change-role", method: http.MethodPut, path: "/v1/roles/{id}", tag: tagAccounts, needs: needs,
		summary: "Change a role",
		description: "Replaces name and permissions, for every account that has the role. The version must be the one that was read, or the answer " +
			"is 409 with the present one in details.",
		problems: []domain.Code{domain.CodeNotFound, domain.CodeConflict}}, o.changeRole)
}

func (o *operator) createRole(ctx context.Context, caller domain.Caller, in *newRoleInput) (*created[role], error) {
	r, err := o.Issuer.CreateRole(ctx, caller, in.Key, in.Body.role())
	if err != nil {
		return nil, err
	}
	return &created[role]{Location: "/v1/roles/" + r.ID, Body: roleDTO(r)}, nil
}

func (o *operator) listRoles(ctx context.Context, caller domain.Caller, _ *nothing) (*reply[list[role]], error) {
	all, err := o.Issuer.Roles(ctx, caller)
	if err != nil {
		return nil, err
	}
	return replyWith(list[role]{Items: listOf(all, roleDTO)}), nil
}

func (o *operator) changeRole(ctx context.Context, caller domain.Caller, in *changeRoleInput) (*reply[role], error) {
	r, err := o.Issuer.ChangeRole(ctx, caller, in.ID, in.Body.Version, in.Body.role())
	if err != nil {
		return nil, err
	}
	return replyWith(roleDTO(r)), nil
}
