package issuer

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// needFor refuses a caller without the permission; things of people whom the permission does not reach look as if they did not exist.
func (is *Issuer) needFor(ctx context.Context, caller domain.Caller, p domain.Permission, what, personID string) error {
	if err := caller.Need(p); err != nil {
		return err
	}
	return is.needReach(ctx, caller.Within(p), what, personID)
}

// needReach refuses with not found unless the set holds the person.
func (is *Issuer) needReach(ctx context.Context, w domain.Within, what, personID string) error {
	ok, err := is.reaches(ctx, w, personID)
	if err == nil && !ok {
		err = domain.NotFound(what)
	}
	return err
}

// reaches says whether the set holds the person.
func (is *Issuer) reaches(ctx context.Context, w domain.Within, personID string) (bool, error) {
	reached, err := is.reached(ctx, w, personID)
	return reached[personID], err
}

// reached gives which of the people the set holds.
func (is *Issuer) reached(ctx context.Context, w domain.Within, personIDs ...string) (map[string]bool, error) {
	if w.GroupID == "" { // known without asking
		out := map[string]bool{}
		for _, id := range personIDs {
			out[id] = w.All || (id != "" && id == w.PersonID)
		}
		return out, nil
	}
	out, err := is.Store.PersonsWithin(ctx, w, personIDs...)
	if err != nil {
		return nil, fmt.Errorf("look up scope: %w", err)
	}
	return out, nil
}

// needAll refuses a caller who holds the permission for some people only: for acts that concern no person.
func needAll(caller domain.Caller, p domain.Permission) error {
	if err := caller.Need(p); err != nil {
		return err
	}
	if !caller.Within(p).All {
		return domain.Errorf(domain.CodeForbidden, "the permission %s is missing in scope all", p).With("permission", string(p))
	}
	return nil
}

// needGroup refuses a caller whose permission does not reach the people of the group; empty = people without a group. Groups out of reach look as
// if they did not exist.
func (is *Issuer) needGroup(ctx context.Context, caller domain.Caller, p domain.Permission, groupID string) error {
	if err := caller.Need(p); err != nil {
		return err
	}
	w := caller.Within(p)
	switch {
	case w.All:
		if groupID == "" {
			return nil
		}
		_, err := is.Store.Group(ctx, groupID)
		if errors.Is(err, store.ErrNotFound) {
			return invalid("group", "names no group")
		}
		if err != nil {
			return fmt.Errorf("load group: %w", err)
		}
		return nil
	case w.GroupID == "":
		return domain.Errorf(domain.CodeForbidden, "the permission %s reaches no group", p).With("permission", string(p))
	case groupID == w.GroupID:
		return nil
	case groupID == "":
		return invalid("group", "is required: the permission reaches one part of the groups only")
	case w.Below:
		below, err := is.Store.GroupsBelow(ctx, w.GroupID)
		if err != nil {
			return fmt.Errorf("load groups: %w", err)
		}
		for _, g := range below {
			if g.ID == groupID {
				return nil
			}
		}
	}
	return invalid("group", "names no group")
}
