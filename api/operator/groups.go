package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type group struct {
	ID        string    `json:"id"`
	ParentID  string    `json:"parent_id,omitempty" doc:"Of the group above; absent at the top"`
	Name      string    `json:"name"`
	Path      string    `json:"path" doc:"The names from the top down, such as Division/Department"`
	People    *int      `json:"people,omitempty" doc:"How many people are in this very group, where that was asked for"`
	Version   int       `json:"version" doc:"Grows with every change; a change names the version it was made from"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func groupDTO(g domain.Group) group {
	return group{ID: g.ID, ParentID: g.ParentID, Name: g.Name, Path: g.Path, Version: g.Version, CreatedAt: g.CreatedAt.UTC(),
		UpdatedAt: g.UpdatedAt.UTC()}
}

type newGroupInput struct {
	rest.Idempotent
	Body struct {
		Name     string `json:"name" maxLength:"600"`
		ParentID string `json:"parent_id,omitempty" maxLength:"64" doc:"Of the group above; left out for the top, which needs scope all"`
	}
}

type listGroupsInput struct {
	Sizes bool `query:"sizes" doc:"Count the people of each group"`
}

type changeGroupInput struct {
	rest.ByID
	Body struct {
		Name     *string `json:"name,omitempty" maxLength:"600" doc:"Left out: stays"`
		ParentID *string `json:"parent_id,omitempty" maxLength:"64" doc:"Left out: stays; empty: to the top"`
		Version  int     `json:"version" minimum:"1" doc:"The version that was read"`
	}
}

func (o *operator) groups() {
	changes := []domain.Permission{domain.PermGroups}
	reads := []domain.Permission{domain.PermPeopleRead, domain.PermGroups}
	const scope = " Scope division reaches the groups below the caller's own only."
	add(o, rest.Operation{ID: "create-group", Method: http.MethodPost, Path: "/v1/groups", Tag: tagGroups, Status: http.StatusCreated,
		Needs: changes, Summary: "Create a group",
		Description: "Adds a group to the tree of divisions and departments; names are unique below the same group." + scope,
		Problems:    []domain.Code{domain.CodeConflict, domain.CodeIdempotencyReused}}, o.createGroup)
	add(o, rest.Operation{ID: "list-groups", Method: http.MethodGet, Path: "/v1/groups", Tag: tagGroups, Needs: reads,
		Summary: "List groups", Description: "The groups within the caller's scope, each right after the one above it.",
		Problems: []domain.Code{domain.CodeInvalid}}, o.listGroups)
	add(o, rest.Operation{ID: "get-group", Method: http.MethodGet, Path: "/v1/groups/{id}", Tag: tagGroups, Needs: reads,
		Summary: "Read a group", Description: "Gives one group.", Problems: []domain.Code{domain.CodeNotFound}}, o.getGroup)
	add(o, rest.Operation{ID: "change-group", Method: http.MethodPatch, Path: "/v1/groups/{id}", Tag: tagGroups, Needs: changes,
		Summary: "Rename or move a group",
		Description: "Changes the members that are given; everything below moves along, never below itself. The version must be the one that was " +
			"read, or the answer is 409 with the present version in details." + scope,
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeConflict}}, o.changeGroup)
	add(o, rest.Operation{ID: "delete-group", Method: http.MethodDelete, Path: "/v1/groups/{id}", Tag: tagGroups, Needs: changes,
		Summary: "Delete a group", Description: "Removes a group that has neither people nor groups." + scope,
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeNotEmpty}}, o.deleteGroup)
}

func (o *operator) createGroup(ctx context.Context, caller domain.Caller, in *newGroupInput) (*rest.Created[group], error) {
	g, err := o.Issuer.CreateGroup(ctx, caller, in.Key, issuer.NewGroup{Name: in.Body.Name, ParentID: in.Body.ParentID})
	if err != nil {
		return nil, err
	}
	return &rest.Created[group]{Location: "/v1/groups/" + g.ID, Body: groupDTO(g)}, nil
}

func (o *operator) listGroups(ctx context.Context, caller domain.Caller, in *listGroupsInput) (*rest.Reply[rest.List[group]], error) {
	all, err := o.Issuer.Groups(ctx, caller, in.Sizes)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[group]{Items: rest.ListOf(all, func(v issuer.GroupView) group {
		g := groupDTO(v.Group)
		if in.Sizes {
			g.People = &v.People
		}
		return g
	})}), nil
}

func (o *operator) getGroup(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[group], error) {
	g, err := o.Issuer.Group(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(groupDTO(g)), nil
}

func (o *operator) changeGroup(ctx context.Context, caller domain.Caller, in *changeGroupInput) (*rest.Reply[group], error) {
	g, err := o.Issuer.ChangeGroup(ctx, caller, in.ID, issuer.GroupChange{Name: in.Body.Name, ParentID: in.Body.ParentID,
		Version: in.Body.Version})
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(groupDTO(g)), nil
}

func (o *operator) deleteGroup(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Nothing, error) {
	return nil, o.Issuer.DeleteGroup(ctx, caller, in.ID)
}
