package issuer

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/store"
)

// CreatePerson adds a person (A1). Id, version and times are given by the act; the status is active unless said otherwise.
func (is *Issuer) CreatePerson(ctx context.Context, caller domain.Caller, key string, p domain.Person) (domain.Person, error) {
	if err := needAll(caller, domain.PermPeopleWrite); err != nil {
		return domain.Person{}, err
	}
	id, replayed, err := is.replay(ctx, caller, "person.create", key, p)
	if err != nil {
		return domain.Person{}, err
	}
	if !replayed {
		fresh, err := is.preparePerson(p)
		if err != nil {
			return domain.Person{}, err
		}
		id, _, err = is.create(ctx, caller, "person.create", key, p, fresh.ID, func(tx *store.Tx) error {
			return is.insertPerson(ctx, tx, caller, fresh)
		})
		if err != nil {
			return domain.Person{}, err
		}
	}
	out, err := is.Store.Person(ctx, id)
	return out, found(err, "person")
}

// preparePerson normalizes and checks a new person and gives it an id.
func (is *Issuer) preparePerson(p domain.Person) (domain.Person, error) {
	now := is.Now()
	p.ID, p.Version, p.CreatedAt, p.UpdatedAt = newID(), 1, now, now
	if p.Status == "" {
		p.Status = domain.PersonActive
	}
	return p, is.checkPerson(&p)
}

// checkPerson brings e-mail and mobile number to their stored form and reports every field that breaks a rule.
func (is *Issuer) checkPerson(p *domain.Person) error {
	problems := p.Check()
	if p.Email != "" {
		if err := notify.ValidEmail(p.Email); err != nil {
			problems.Add("email", "is not an e-mail address")
		}
	}
	if p.Mobile != "" {
		mobile, err := notify.NormalizeMobile(p.Mobile, is.cfg.DefaultRegion)
		if err != nil {
			problems.Add("mobile", "is not a mobile number; write it with the country code, as in +41791234567")
		}
		p.Mobile = mobile
	}
	return problems.Err(domain.CodeInvalid, "the person's data break a rule")
}

func (is *Issuer) insertPerson(ctx context.Context, tx *store.Tx, caller domain.Caller, p domain.Person) error {
	err := tx.InsertPerson(ctx, p)
	if errors.Is(err, store.ErrExists) {
		return domain.Errorf(domain.CodeConflict, "another person has this external id")
	}
	if err != nil {
		return fmt.Errorf("insert person: %w", err)
	}
	e := is.entry(caller, "person.create", p.ID)
	e.PersonID = p.ID
	return tx.AppendAudit(ctx, e)
}

// UpdatePerson changes the person that has p.ID and p.Version: the version the caller read; CodeConflict when it was changed since.
func (is *Issuer) UpdatePerson(ctx context.Context, caller domain.Caller, p domain.Person) (domain.Person, error) {
	if err := is.needFor(ctx, caller, domain.PermPeopleWrite, "person", p.ID); err != nil {
		return domain.Person{}, err
	}
	if err := is.checkPerson(&p); err != nil {
		return domain.Person{}, err
	}
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		old, err := tx.Person(ctx, p.ID)
		if err := found(err, "person"); err != nil {
			return err
		}
		next := p
		next.Version, next.CreatedAt, next.UpdatedAt = p.Version+1, old.CreatedAt, is.Now()
		switch err := tx.UpdatePerson(ctx, next); {
		case errors.Is(err, store.ErrChanged):
			return domain.Errorf(domain.CodeConflict, "the person was changed meanwhile; read it again").
				With("version", fmt.Sprint(old.Version))
		case errors.Is(err, store.ErrExists):
			return domain.Errorf(domain.CodeConflict, "another person has this external id")
		case err != nil:
			return fmt.Errorf("update person: %w", err)
		}
		return tx.AppendAudit(ctx, is.personUpdate(caller, old, next))
	})
	if err != nil {
		return domain.Person{}, err
	}
	out, err := is.Store.Person(ctx, p.ID)
	return out, found(err, "person")
}

func (is *Issuer) personUpdate(caller domain.Caller, old, next domain.Person) domain.AuditEntry {
	e := is.entry(caller, "person.update", old.ID)
	e.PersonID = old.ID
	if old.Status != next.Status {
		e.Changes = map[string]domain.Change{"status": {Before: string(old.Status), After: string(next.Status)}}
	}
	return e
}

// Person reads one person.
func (is *Issuer) Person(ctx context.Context, caller domain.Caller, id string) (domain.Person, error) {
	if err := is.needFor(ctx, caller, domain.PermPeopleRead, "person", id); err != nil {
		return domain.Person{}, err
	}
	p, err := is.Store.Person(ctx, id)
	return p, found(err, "person")
}

// People lists people, newest first.
func (is *Issuer) People(ctx context.Context, caller domain.Caller, want store.PersonFilter, after string, limit int) ([]domain.Person, error) {
	if err := caller.Need(domain.PermPeopleRead); err != nil {
		return nil, err
	}
	pg, err := page(after, limit)
	if err != nil {
		return nil, err
	}
	want.Within = caller.Within(domain.PermPeopleRead)
	out, err := is.Store.People(ctx, want, pg)
	if err != nil {
		return nil, fmt.Errorf("list people: %w", err)
	}
	return out, nil
}

// PutImage stores a person's portrait or signature; the bytes must decode as a picture (CodeImageInvalid).
func (is *Issuer) PutImage(ctx context.Context, caller domain.Caller, im domain.Image) error {
	if err := is.needFor(ctx, caller, domain.PermPeopleWrite, "person", im.PersonID); err != nil {
		return err
	}
	mediaType, err := checkImage(im.Kind, im.Bytes)
	if err != nil {
		return err
	}
	im.MediaType = mediaType
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Person(ctx, im.PersonID); err != nil {
			return found(err, "person")
		}
		return is.insertImage(ctx, tx, caller, im)
	})
}

func (is *Issuer) insertImage(ctx context.Context, tx *store.Tx, caller domain.Caller, im domain.Image) error {
	if err := tx.PutImage(ctx, im); err != nil {
		return fmt.Errorf("store image: %w", err)
	}
	e := is.entry(caller, "person.image", im.PersonID)
	e.PersonID = im.PersonID
	e.Changes = map[string]domain.Change{string(im.Kind): {After: im.MediaType}}
	return tx.AppendAudit(ctx, e)
}

// Image reads a person's image.
func (is *Issuer) Image(ctx context.Context, caller domain.Caller, personID string, kind domain.ImageKind) (domain.Image, error) {
	if err := is.needFor(ctx, caller, domain.PermPeopleRead, "person", personID); err != nil {
		return domain.Image{}, err
	}
	images, err := is.Store.Images(ctx, personID)
	if err != nil {
		return domain.Image{}, fmt.Errorf("load images: %w", err)
	}
	im, ok := images[kind]
	if !ok {
		return domain.Image{}, domain.NotFound("image")
	}
	return im, nil
}
