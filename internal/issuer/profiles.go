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
		options, err := is.checkProfile(in)
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
	options, err := is.checkProfile(in)
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

// checkProfile fills defaults and reports every rule the profile breaks.
func (is *Issuer) checkProfile(in SaveProfile) (domain.ProfileOptions, error) {
	o := in.Options
	o.Defaults()
	problems := domain.CheckProfile(in.Name, o)
	checkNote(&problems, "comment", in.Comment, maxNote)
	if err := problems.Err(domain.CodeInvalid, "the profile breaks a rule"); err != nil {
		return o, err
	}
	if _, ok := is.Formats.Get(o.Format); !ok {
		return o, unknownFormat()
	}
	if most := is.authority.maxLifetimeDays(); o.LifetimeDays > most {
		return o, &domain.Error{Code: domain.CodeLifetimeBeyondSigner, Message: "no document signer certificate lasts that long",
			Fields: []domain.FieldError{{Field: "lifetime_days", Problem: fmt.Sprintf("must be at most %d", most)}}}
	}
	return o, nil
}

func unknownFormat() error {
	return &domain.Error{Code: domain.CodeUnknownFormat, Message: "the document format is not installed",
		Fields: []domain.FieldError{{Field: "format", Problem: "names no installed document format"}}}
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
