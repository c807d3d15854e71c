package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// Groups form the tree by which scopes reach people (A2, I2). Changes of the tree happen one at a time: each holds the end of the audit
// before it looks, so that two moves can never hang groups below each other.

// NewGroup is a group to be made.
type NewGroup struct {
	Name     string `json:"name"`
	ParentID string `json:"parent_id,omitempty"` // empty = at the top
}

// GroupChange is what is to change of a group; nil stays. Version is the one that was read.
type GroupChange struct {
	Name     *string
	ParentID *string // empty = to the top
	Version  int
}

// GroupView is a group with the number of its own people, where that was asked for.
type GroupView struct {
	domain.Group
	People int
}

// CreateGroup adds a group (A2). At the top only scope all may do so; scope division only in or below its own group.
func (is *Issuer) CreateGroup(ctx context.Context, caller domain.Caller, key string, in NewGroup) (domain.Group, error) {
	if err := needTree(caller); err != nil {
		return domain.Group{}, err
	}
	in.Name = norm.NFC.String(in.Name)
	const act = "group.create"
	id, replayed, err := is.replay(ctx, caller, act, key, in)
	if err != nil {
		return domain.Group{}, err
	}
	if !replayed {
		if err := domain.CheckGroupName(in.Name).Err(domain.CodeInvalid, "the group breaks a rule"); err != nil {
			return domain.Group{}, err
		}
		fresh := newID()
		id, _, err = is.create(ctx, caller, act, key, in, fresh, func(tx *store.Tx) error {
			tree, err := holdTree(ctx, tx, caller)
			if err != nil {
				return err
			}
			parent, err := tree.parent(ctx, tx, in.ParentID)
			if err != nil {
				return err
			}
			_, e, err := is.insertGroup(ctx, tx, caller, fresh, parent, in.Name)
			if err != nil {
				return err
			}
			return tx.AppendAudit(ctx, e)
		})
		if err != nil {
			return domain.Group{}, err
		}
	}
	return is.Group(ctx, caller, id)
}

// insertGroup adds a group below a parent; a parent without id is the top.
func (is *Issuer) insertGroup(ctx context.Context, tx *store.Tx, caller domain.Caller, id string, parent domain.Group, name string) (
	domain.Group, domain.AuditEntry, error) {
	now := is.Now()
	g := domain.Group{ID: id, ParentID: parent.ID, Name: name, Path: domain.PathBelow(parent.Path, name), Version: 1, CreatedAt: now,
		UpdatedAt: now}
	if err := domain.CheckGroupPath(g.Path).Err(domain.CodeInvalid, "the group breaks a rule"); err != nil {
		return g, domain.AuditEntry{}, err
	}
	if err := tx.InsertGroup(ctx, g); err != nil {
		return g, domain.AuditEntry{}, groupRefused(err)
	}
	e := is.entry(caller, "group.create", g.ID)
	e.Changes = map[string]domain.Change{"path": {After: g.Path}}
	return g, e, nil
}

// ChangeGroup renames a group or moves it, with everything below it. It never comes below itself, and its version must be the one that was
// read (CodeConflict). Scope division reaches the groups below its own only, and moves them no further.
func (is *Issuer) ChangeGroup(ctx context.Context, caller domain.Caller, id string, c GroupChange) (domain.Group, error) {
	if err := needTree(caller); err != nil {
		return domain.Group{}, err
	}
	if c.Name != nil {
		name := norm.NFC.String(*c.Name)
		c.Name = &name
		if err := domain.CheckGroupName(name).Err(domain.CodeInvalid, "the group breaks a rule"); err != nil {
			return domain.Group{}, err
		}
	}
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		tree, err := holdTree(ctx, tx, caller)
		if err != nil {
			return err
		}
		old, err := tree.changeable(ctx, tx, id)
		if err != nil {
			return err
		}
		if old.Version != c.Version {
			return domain.Errorf(domain.CodeConflict, "the group was changed meanwhile; read it again").With("version", fmt.Sprint(old.Version))
		}
		next, err := changedGroup(ctx, tx, tree, old, c)
		if err != nil {
			return err
		}
		next.Version, next.UpdatedAt = old.Version+1, is.Now()
		if err := moveTree(ctx, tx, old, next); err != nil {
			return err
		}
		if old.Path != next.Path {
			if err := recheckLater(ctx, tx, store.DocumentRecheck{GroupID: id}); err != nil {
				return err
			}
		}
		e := is.entry(caller, "group.change", id)
		e.Changes = map[string]domain.Change{"path": {Before: old.Path, After: next.Path}}
		return tx.AppendAudit(ctx, e)
	})
	if err != nil {
		return domain.Group{}, err
	}
	return is.Group(ctx, caller, id)
}

// changedGroup gives name, parent and path of the group as they are to be.
func changedGroup(ctx context.Context, tx *store.Tx, tree treeReach, old domain.Group, c GroupChange) (domain.Group, error) {
	next := old
	if c.Name != nil {
		next.Name = *c.Name
	}
	above := strings.TrimSuffix(strings.TrimSuffix(old.Path, old.Name), domain.GroupSeparator)
	if c.ParentID != nil && *c.ParentID != old.ParentID {
		parent, err := tree.parent(ctx, tx, *c.ParentID)
		if err != nil {
			return next, err
		}
		if parent.ID == old.ID || strings.HasPrefix(parent.Path, old.Path+domain.GroupSeparator) {
			return next, invalid("parent_id", "must not be the group itself or one below it")
		}
		next.ParentID, above = parent.ID, parent.Path
	}
	next.Path = domain.PathBelow(above, next.Name)
	return next, nil
}

// moveTree writes a group and the paths of all below it.
func moveTree(ctx context.Context, tx *store.Tx, old, next domain.Group) error {
	below, err := tx.GroupsBelow(ctx, old.ID)
	if err != nil {
		return fmt.Errorf("load groups: %w", err)
	}
	for _, g := range below {
		path := next.Path + strings.TrimPrefix(g.Path, old.Path)
		if err := domain.CheckGroupPath(path).Err(domain.CodeInvalid, "the groups below break a rule then"); err != nil {
			return err
		}
	}
	if err := tx.UpdateGroup(ctx, next); err != nil {
		return groupRefused(err)
	}
	if next.Path == old.Path {
		return nil
	}
	for _, g := range below {
		if g.ID == old.ID {
			continue
		}
		if err := tx.SetGroupPath(ctx, g.ID, next.Path+strings.TrimPrefix(g.Path, old.Path)); err != nil {
			return fmt.Errorf("move group: %w", err)
		}
	}
	return nil
}

// DeleteGroup removes a group without people and groups (CodeNotEmpty).
func (is *Issuer) DeleteGroup(ctx context.Context, caller domain.Caller, id string) error {
	if err := needTree(caller); err != nil {
		return err
	}
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		tree, err := holdTree(ctx, tx, caller)
		if err != nil {
			return err
		}
		g, err := tree.changeable(ctx, tx, id)
		if err != nil {
			return err
		}
		err = tx.DeleteGroup(ctx, id)
		if errors.Is(err, store.ErrChanged) {
			return domain.Errorf(domain.CodeNotEmpty, "the group has people or groups")
		}
		if err != nil {
			return fmt.Errorf("delete group: %w", err)
		}
		e := is.entry(caller, "group.delete", id)
		e.Changes = map[string]domain.Change{"path": {Before: g.Path}}
		return tx.AppendAudit(ctx, e)
	})
}

// Group reads one group, for a caller who may see its people or change groups there.
func (is *Issuer) Group(ctx context.Context, caller domain.Caller, id string) (domain.Group, error) {
	w, err := seesGroups(caller)
	if err != nil {
		return domain.Group{}, err
	}
	r, err := reachOf(ctx, is.Store.Queries, w)
	if err != nil {
		return domain.Group{}, err
	}
	if !r.group(id) {
		return domain.Group{}, domain.NotFound("group")
	}
	g, err := is.Store.Group(ctx, id)
	return g, found(err, "group")
}

// Groups lists the groups that the caller may see, each right after the one above it; sizes counts the people of each.
func (is *Issuer) Groups(ctx context.Context, caller domain.Caller, sizes bool) ([]GroupView, error) {
	w, err := seesGroups(caller)
	if err != nil {
		return nil, err
	}
	r, err := reachOf(ctx, is.Store.Queries, w)
	if err != nil {
		return nil, err
	}
	all, err := is.Store.Groups(ctx)
	if err != nil {
		return nil, fmt.Errorf("load groups: %w", err)
	}
	var people map[string]int
	if sizes {
		if people, err = is.Store.GroupSizes(ctx); err != nil {
			return nil, fmt.Errorf("count people: %w", err)
		}
	}
	var out []GroupView
	for _, g := range all {
		if r.group(g.ID) {
			out = append(out, GroupView{Group: g, People: people[g.ID]})
		}
	}
	slices.SortFunc(out, func(a, b GroupView) int { // the separator sorts before every other character
		return slices.Compare(strings.Split(a.Path, domain.GroupSeparator), strings.Split(b.Path, domain.GroupSeparator))
	})
	return out, nil
}

// seesGroups gives whose groups the caller may see.
func seesGroups(caller domain.Caller) (domain.Within, error) {
	if !caller.Has(domain.PermPeopleRead) && !caller.Has(domain.PermGroups) {
		return domain.Within{}, caller.Need(domain.PermPeopleRead)
	}
	return caller.Within(domain.PermPeopleRead, domain.PermGroups), nil
}

// reach is a set of people as the tree is at one moment.
type reach struct {
	domain.Within
	groups map[string]bool // whose people all belong to the set; not filled where All is set
}

// reachOf looks the groups of the set up.
func reachOf(ctx context.Context, q store.Queries, w domain.Within) (reach, error) {
	r := reach{Within: w}
	switch {
	case w.All || w.GroupID == "":
	case w.Below:
		below, err := q.GroupsBelow(ctx, w.GroupID)
		if err != nil {
			return r, fmt.Errorf("look up scope: %w", err)
		}
		r.groups = make(map[string]bool, len(below))
		for _, g := range below {
			r.groups[g.ID] = true
		}
	default:
		r.groups = map[string]bool{w.GroupID: true}
	}
	return r, nil
}

// group says whether the set holds all people of the group; no group holds those without one.
func (r reach) group(id string) bool { return r.All || (id != "" && r.groups[id]) }

// person says whether the set holds the person.
func (r reach) person(p domain.Person) bool {
	return r.All || (p.ID != "" && p.ID == r.PersonID) || r.group(p.GroupID)
}

// place decides which group somebody comes into whose present group is old and who is asked to be in the one of the path; empty = in none.
// Whoever changes the group must reach the people of both: scopes below all bring nobody in from elsewhere, and let nobody out. Groups out
// of reach look as if they did not exist.
func (r reach) place(groups map[string]domain.Group, path, old string, fresh bool) (string, error) {
	g, found := groups[path]
	unchanged := !fresh && g.ID == old && (path == "" || found)
	switch {
	case unchanged:
		return old, nil
	case r.All && (path == "" || found):
		return g.ID, nil
	case r.All:
		return "", invalid("group", "names no group")
	case r.GroupID == "":
		return "", domain.Errorf(domain.CodeForbidden, "the permission %s reaches no group", domain.PermPeopleWrite).
			With("permission", string(domain.PermPeopleWrite))
	case path == "":
		return "", invalid("group", "is required: the permission reaches one part of the groups only")
	case !found || !r.group(g.ID) || !fresh && !r.group(old):
		return "", invalid("group", "names no group")
	}
	return g.ID, nil
}

// treeReach is where the caller may change the tree.
type treeReach struct {
	reach
	caller domain.Caller
}

// needTree refuses a caller who may change no group anywhere.
func needTree(caller domain.Caller) error {
	if err := caller.Need(domain.PermGroups); err != nil {
		return err
	}
	if w := caller.Within(domain.PermGroups); !w.All && (!w.Below || w.GroupID == "") {
		return domain.Errorf(domain.CodeForbidden, "the permission %s is missing in scope division or all", domain.PermGroups).
			With("permission", string(domain.PermGroups))
	}
	return nil
}

// holdTree keeps everybody else from changing the tree to the end of the transaction.
func holdTree(ctx context.Context, tx *store.Tx, caller domain.Caller) (treeReach, error) {
	if err := tx.HoldAudit(ctx); err != nil {
		return treeReach{}, fmt.Errorf("wait for other changes of groups: %w", err)
	}
	r, err := reachOf(ctx, tx.Queries, caller.Within(domain.PermGroups))
	return treeReach{reach: r, caller: caller}, err
}

// parent reads the group that another one is to come below; the empty id is the top.
func (t treeReach) parent(ctx context.Context, tx *store.Tx, id string) (domain.Group, error) {
	if id == "" {
		if !t.All {
			return domain.Group{}, invalid("parent_id", "is required: the permission reaches one part of the groups only")
		}
		return domain.Group{}, nil
	}
	g, err := tx.Group(ctx, id)
	if errors.Is(err, store.ErrNotFound) || (err == nil && !t.group(id)) {
		return domain.Group{}, invalid("parent_id", "names no group")
	}
	if err != nil {
		return g, fmt.Errorf("load group: %w", err)
	}
	return g, nil
}

// changeable reads a group that the caller may change: any in scope all, else those below the own one. What the caller cannot see looks as
// if it did not exist.
func (t treeReach) changeable(ctx context.Context, tx *store.Tx, id string) (domain.Group, error) {
	if !t.group(id) {
		sees, err := reachOf(ctx, tx.Queries, t.caller.Within(domain.PermPeopleRead))
		if err != nil {
			return domain.Group{}, err
		}
		if !sees.group(id) {
			return domain.Group{}, domain.NotFound("group")
		}
	}
	g, err := tx.Group(ctx, id)
	if err != nil {
		return g, found(err, "group")
	}
	if !t.All && (id == t.GroupID || !t.group(id)) {
		return g, domain.Errorf(domain.CodeForbidden, "the permission %s reaches the groups below your own only", domain.PermGroups).
			With("permission", string(domain.PermGroups))
	}
	return g, nil
}

// groupRefused turns what the store says of a group into the caller's.
func groupRefused(err error) error {
	switch {
	case errors.Is(err, store.ErrExists):
		return domain.Errorf(domain.CodeConflict, "another group has this name there")
	case errors.Is(err, store.ErrNoGroup):
		return invalid("parent_id", "names no group")
	}
	return fmt.Errorf("store group: %w", err)
}
