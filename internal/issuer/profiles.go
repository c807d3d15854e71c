package issuer

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/store"
)

// SaveProfile is what a caller says of a profile.
type SaveProfile struct {
	Name    string                `json:"name"`
	Comment string                `json:"comment"`
	Options domain.ProfileOptions `json:"options"`
}

// CreateProfile adds a credential profile as version 1 (B1).
func (is *Issuer) CreateProfile(ctx context.Context, caller domain.Caller, key string, in SaveProfile) (domain.Profile, error) {
	if err := needAll(caller, domain.PermProfilesWrite); err != nil {
		return domain.Profile{}, err
	}
	id, replayed, err := is.replay(ctx, caller, "profile.create", key, in)
	if err != nil {
		return domain.Profile{}, err
	}
	if !replayed {
		options, err := is.checkProfile(ctx, in)
		if err != nil {
			return domain.Profile{}, err
		}
		p := domain.Profile{ID: newID(), Name: in.Name, Version: 1, Comment: in.Comment, Options: options, CreatedBy: caller.AccountID,
			CreatedAt: is.Now()}
		id, _, err = is.create(ctx, caller, "profile.create", key, in, p.ID, func(tx *store.Tx) error {
			err := tx.InsertProfile(ctx, p)
			if errors.Is(err, store.ErrExists) {
				return domain.Errorf(domain.CodeConflict, "another profile has this name")
			}
			if err != nil {
				return fmt.Errorf("insert profile: %w", err)
			}
			return tx.AppendAudit(ctx, is.profileEntry(caller, "profile.create", p, 0))
		})
		if err != nil {
			return domain.Profile{}, err
		}
	}
	return is.loadProfile(ctx, id)
}

// ChangeProfile adds the version after the one the caller read; CodeConflict when there is a newer one. The name stays.
func (is *Issuer) ChangeProfile(ctx context.Context, caller domain.Caller, id string, version int, in SaveProfile) (domain.Profile, error) {
	if err := needAll(caller, domain.PermProfilesWrite); err != nil {
		return domain.Profile{}, err
	}
	old, err := is.loadProfile(ctx, id)
	if err != nil {
		return domain.Profile{}, err
	}
	in.Name = old.Name
	options, err := is.checkProfile(ctx, in)
	if err != nil {
		return domain.Profile{}, err
	}
	p := domain.Profile{ID: id, Name: old.Name, Version: version + 1, Comment: in.Comment, Options: options, CreatedBy: caller.AccountID,
		CreatedAt: is.Now()}
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		err := tx.AddProfileVersion(ctx, p)
		if errors.Is(err, store.ErrChanged) {
			return domain.Errorf(domain.CodeConflict, "the profile was changed meanwhile; read it again").
				With("version", fmt.Sprint(old.Version))
		}
		if err != nil {
			return fmt.Errorf("change profile: %w", err)
		}
		if old.Options.Renewal.Any() || options.Renewal.Any() {
			if err := recheckLater(ctx, tx, store.DocumentRecheck{ProfileID: id}); err != nil {
				return err
			}
		}
		return tx.AppendAudit(ctx, is.profileEntry(caller, "profile.change", p, version))
	})
	if err != nil {
		return domain.Profile{}, err
	}
	return is.loadProfile(ctx, id)
}

func (is *Issuer) profileEntry(caller domain.Caller, action string, p domain.Profile, before int) domain.AuditEntry {
	e := is.entry(caller, action, p.ID)
	e.Notes = p.Comment
	e.Changes = map[string]domain.Change{"version": {Before: fmt.Sprint(before), After: fmt.Sprint(p.Version)}}
	return e
}

// checkProfile fills defaults and reports every rule the profile breaks: with the code of the one kind of problem, or CodeInvalid where there are
// several.
func (is *Issuer) checkProfile(ctx context.Context, in SaveProfile) (domain.ProfileOptions, error) {
	o := in.Options
	o.Defaults()
	problems := domain.CheckProfile(in.Name, o)
	checkNote(&problems, "comment", in.Comment, maxNote)
	is.chooseMDM(&problems, &o.MDM)
	is.Attestors.at(is.Now()).CheckProfile(&problems, o)
	if err := is.checkRoles(ctx, &problems, o); err != nil {
		return o, err
	}
	if err := is.checkDerived(ctx, &problems, in.Name, o); err != nil {
		return o, err
	}
	is.checkRenewal(&problems, o)
	var others []*domain.Error
	if _, ok := is.Formats.Get(o.Format); !ok && o.Format != "" {
		others = append(others, domain.UnknownFormat())
	}
	if most := is.authority.maxLifetimeDays(); o.LifetimeDays > most {
		others = append(others, &domain.Error{Code: domain.CodeLifetimeBeyondSigner, Message: "no document signer certificate lasts that long",
			Fields: []domain.FieldError{{Field: "lifetime_days", Problem: fmt.Sprintf("must be at most %d", most)}}})
	}
	if len(problems) == 0 && len(others) == 1 {
		return o, others[0]
	}
	for _, other := range others {
		problems = append(problems, other.Fields...)
	}
	return o, problems.Err(domain.CodeInvalid, "the profile breaks a rule")
}

// checkRenewal reports what only the signers and the format show to be wrong with the renewal.
func (is *Issuer) checkRenewal(problems *domain.Problems, o domain.ProfileOptions) {
	if most := is.authority.usualLifetimeDays(); o.Renewal.BeforeExpiryDays >= most && o.LifetimeDays == 0 {
		problems.Add("renewal.before_expiry_days", "must be less than the %d days that every document signer covers", most)
	}
	if f, ok := is.Formats.Get(o.Format); ok && o.Renewal.OnAge && !f.StatesAges() {
		problems.Add("renewal.on_age", "needs a format with an age that is computed")
	}
}

// chooseMDM writes the system that the rule means into it, so that the rule means the same when another one is configured beside it.
func (is *Issuer) chooseMDM(problems *domain.Problems, rule *domain.MDMRule) {
	if len(rule.Check()) > 0 || rule.Restriction == domain.MDMUnrestricted {
		return
	}
	if is.MDM == nil {
		problems.Add("mdm.restriction", "needs a device management, and none is configured")
		return
	}
	system, err := is.MDM.Choose(rule.System)
	if err != nil {
		problems.Add("mdm.system", "must be the name of a configured MDM")
		return
	}
	rule.System = system
}

// checkRoles reports role ids that name no role.
func (is *Issuer) checkRoles(ctx context.Context, problems *domain.Problems, o domain.ProfileOptions) error {
	for _, set := range o.RoleSets() {
		for i, id := range set.Roles {
			_, err := is.Store.Role(ctx, id)
			switch {
			case errors.Is(err, store.ErrNotFound):
				problems.Add(fmt.Sprintf("%s[%d]", set.Name, i), "names no role")
			case err != nil:
				return fmt.Errorf("load role: %w", err)
			}
		}
	}
	return nil
}

// Profile reads the current version.
func (is *Issuer) Profile(ctx context.Context, caller domain.Caller, id string) (domain.Profile, error) {
	if err := caller.Need(domain.PermProfilesRead); err != nil {
		return domain.Profile{}, err
	}
	return is.loadProfile(ctx, id)
}

// Profiles lists the current version of every profile.
func (is *Issuer) Profiles(ctx context.Context, caller domain.Caller) ([]domain.Profile, error) {
	if err := caller.Need(domain.PermProfilesRead); err != nil {
		return nil, err
	}
	out, err := is.Store.Profiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	return out, nil
}

// ProfileVersions lists every version of a profile, newest first.
func (is *Issuer) ProfileVersions(ctx context.Context, caller domain.Caller, id string) ([]domain.Profile, error) {
	if err := caller.Need(domain.PermProfilesRead); err != nil {
		return nil, err
	}
	out, err := is.Store.ProfileVersions(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("list profile versions: %w", err)
	}
	if len(out) == 0 {
		return nil, domain.NotFound("profile")
	}
	return out, nil
}

// DocumentFormats lists the installed document formats.
func (is *Issuer) DocumentFormats(caller domain.Caller) ([]*format.Format, error) {
	if err := caller.Need(domain.PermProfilesRead); err != nil {
		return nil, err
	}
	return is.Formats.List(), nil
}

func (is *Issuer) loadProfile(ctx context.Context, id string) (domain.Profile, error) {
	p, err := is.Store.Profile(ctx, id)
	return p, found(err, "profile")
}
