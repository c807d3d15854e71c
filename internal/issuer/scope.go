package issuer

import (
	"context"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
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
