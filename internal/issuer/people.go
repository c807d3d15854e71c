package issuer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/store"
)

// Whoever creates, changes or imports a person needs people_write for the group they are in and for the group they come into; see
// reach.place. The group is told by its path. Whatever changes a person goes through changePerson, so that approval of data and documents
// follow in one way.

// CreatePerson adds a person (A1). Id, version and times are given by the act; the status is active unless said otherwise.
func (is *Issuer) CreatePerson(ctx context.Context, caller domain.Caller, key string, p domain.Person) (domain.Person, error) {
	if err := caller.Need(domain.PermPeopleWrite); err != nil {
		return domain.Person{}, err
	}
	const act = "person.create"
	id, replayed, err := is.replay(ctx, caller, act, key, p)
	if err != nil {
		return domain.Person{}, err
	}
	if !replayed {
		fresh, err := is.preparePerson(p)
		if err != nil {
			return domain.Person{}, err
		}
		id, _, err = is.create(ctx, caller, act, key, p, fresh.ID, func(tx *store.Tx) error {
			group, err := placePerson(ctx, tx, caller, fresh.Group, "", true)
			if err != nil {
				return err
			}
			next := fresh
			next.GroupID = group
			if err := tx.InsertPerson(ctx, next); err != nil {
				return err
			}
			return tx.AppendAudit(ctx, is.personEntry(caller, act, next.ID))
		})
		if err != nil {
			return domain.Person{}, is.personRefused(ctx, fresh, err)
		}
	}
	return is.ownWork(ctx, caller, id)
}

// ownWork reads a person whom the caller has just written.
func (is *Issuer) ownWork(ctx context.Context, caller domain.Caller, id string) (domain.Person, error) {
	p, err := is.Store.Person(ctx, id)
	if err == nil && p.Erased() {
		err = store.ErrNotFound
	}
	if err != nil {
		return domain.Person{}, found(err, "person")
	}
	if err := is.needReach(ctx, caller.Within(domain.PermPeopleWrite), "person", id); err != nil {
		return domain.Person{}, err
	}
	return p, nil
}

// preparePerson normalizes and checks a new person and gives it an id.
func (is *Issuer) preparePerson(p domain.Person) (domain.Person, error) {
	now := is.Now()
	p.ID, p.Version, p.CreatedAt, p.UpdatedAt = newID(), 1, now, now
	p.GroupID, p.DataApproval, p.ErasedAt = "", domain.DataApproval{}, time.Time{}
	if p.Status == "" {
		p.Status = domain.PersonActive
	}
	return p, is.checkPerson(&p)
}

// checkPerson brings e-mail, mobile number and path of the group to their stored form and reports every field that breaks a rule.
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
			problems.Add("mobile", mobileProblem)
		}
		p.Mobile = mobile
	}
	p.Group = norm.NFC.String(p.Group)
	return problems.Err(domain.CodeInvalid, "the person's data break a rule")
}

const mobileProblem = "is not a mobile number; write it with the country code, as in +41791234567"

// placePerson decides the group of one person; see reach.place.
func placePerson(ctx context.Context, tx *store.Tx, caller domain.Caller, path, old string, fresh bool) (string, error) {
	r, err := reachOf(ctx, tx.Queries, caller.Within(domain.PermPeopleWrite))
	if err != nil {
		return "", err
	}
	groups := map[string]domain.Group{}
	if path != "" {
		if groups, err = tx.GroupsByPath(ctx, path); err != nil {
			return "", fmt.Errorf("load group: %w", err)
		}
	}
	return r.place(groups, path, old, fresh)
}

// personRefused turns what the store says of a person into the caller's. Of whoever has the external id or logon name it says nothing.
func (is *Issuer) personRefused(ctx context.Context, p domain.Person, err error) error {
	switch {
	case errors.Is(err, store.ErrNoGroup):
		return invalid("group", "names no group")
	case errors.Is(err, store.ErrChanged):
		return domain.Errorf(domain.CodeConflict, "the person or a document of the person was changed meanwhile; try again")
	case !errors.Is(err, store.ErrExists):
		return err
	}
	var taken domain.Problems
	for _, unique := range []struct {
		field, value string
		find         func(context.Context, string) (domain.Person, error)
	}{
		{"external_id", p.ExternalID, is.Store.PersonByExternalID},
		{"logon_name", p.LogonName, is.Store.PersonByLogonName},
	} {
		switch other, err := unique.find(ctx, unique.value); {
		case unique.value == "" || errors.Is(err, store.ErrNotFound):
		case err != nil:
			return fmt.Errorf("look for who has the %s: %w", unique.field, err)
		case other.ID != p.ID:
			taken.Add(unique.field, "is taken")
		}
	}
	return &domain.Error{Code: domain.CodeConflict, Message: "the external id or the logon name is taken", Fields: taken}
}

// UpdatePerson changes the person that has p.ID and p.Version: the version the caller read; CodeConflict when it was changed since. An
// empty status stays as it is; every other empty field is emptied.
func (is *Issuer) UpdatePerson(ctx context.Context, caller domain.Caller, p domain.Person) (domain.Person, error) {
	if err := is.needFor(ctx, caller, domain.PermPeopleWrite, "person", p.ID); err != nil {
		return domain.Person{}, err
	}
	status := p.Status
	if status == "" {
		p.Status = domain.PersonActive
	}
	if err := is.checkPerson(&p); err != nil {
		return domain.Person{}, err
	}
	err := is.changingPerson(ctx, caller, domain.PermPeopleWrite, p.ID, func(tx *store.Tx, old domain.Person) error {
		if old.Version != p.Version {
			return domain.Errorf(domain.CodeConflict, "the person was changed meanwhile; read it again").With("version", fmt.Sprint(old.Version))
		}
		next := p
		if status == "" {
			next.Status = old.Status
		}
		var err error
		if next.GroupID, err = placePerson(ctx, tx, caller, p.Group, old.GroupID, false); err != nil {
			return err
		}
		if err := keepsOwn(caller, old, next.Status); err != nil {
			return err
		}
		entries, err := is.changePerson(ctx, tx, old, next, false, is.personEntry(caller, "person.update", old.ID))
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, entries...)
	})
	if err != nil {
		return domain.Person{}, is.personRefused(ctx, p, err)
	}
	return is.ownWork(ctx, caller, p.ID)
}

// keepsOwn refuses callers who deactivate themselves: nobody might be left to let them in again.
func keepsOwn(caller domain.Caller, p domain.Person, status domain.PersonStatus) error {
	if caller.Owns(p.ID) && p.Status == domain.PersonActive && status == domain.PersonInactive {
		return domain.Errorf(domain.CodeForbidden, "somebody else has to deactivate your own person")
	}
	return nil
}

// changingPerson runs fn in a transaction that holds the person, whom the permission must reach, and does so again when a document of the
// person was changed by somebody else in between (store.ErrChanged).
func (is *Issuer) changingPerson(ctx context.Context, caller domain.Caller, p domain.Permission, id string,
	fn func(tx *store.Tx, old domain.Person) error) error {
	const tries = 5
	for i := 1; ; i++ {
		err := is.Store.Tx(ctx, func(tx *store.Tx) error {
			old, err := holdPerson(ctx, tx, id)
			if err != nil {
				return err
			}
			r, err := reachOf(ctx, tx.Queries, caller.Within(p))
			if err != nil {
				return err
			}
			if !r.person(old) {
				return domain.NotFound("person")
			}
			return fn(tx, old)
		})
		if !errors.Is(err, store.ErrChanged) || i == tries {
			return err
		}
	}
}

// holdPerson locks a person who is not erased to the end of the transaction and reads them.
func holdPerson(ctx context.Context, tx *store.Tx, id string) (domain.Person, error) {
	err := tx.HoldPerson(ctx, id)
	if errors.Is(err, store.ErrChanged) {
		return domain.Person{}, domain.NotFound("person")
	}
	if err != nil {
		return domain.Person{}, fmt.Errorf("hold person: %w", err)
	}
	p, err := tx.Person(ctx, id)
	if err == nil && p.Erased() {
		err = store.ErrNotFound
	}
	return p, found(err, "person")
}

func (is *Issuer) personEntry(caller domain.Caller, action, id string) domain.AuditEntry {
	e := is.entry(caller, action, id)
	e.PersonID = id
	return e
}

// changePerson writes a held person and what follows from the change: an approval of the data ends when what it vouched for changes (A3),
// documents follow the status (A4). otherImage says that an image changed in the same transaction. It gives the entries for the audit, that
// of the change first; e says who did what and why, and its changes are completed.
func (is *Issuer) changePerson(ctx context.Context, tx *store.Tx, old, next domain.Person, otherImage bool, e domain.AuditEntry) (
	[]domain.AuditEntry, error) {
	next.ID, next.Version, next.CreatedAt, next.UpdatedAt, next.ErasedAt = old.ID, old.Version+1, old.CreatedAt, is.Now(), old.ErasedAt
	next.DataApproval = old.DataApproval
	changes := maps.Clone(e.Changes)
	if changes == nil {
		changes = map[string]domain.Change{}
	}
	if old.DataApproval.Approved() && (otherImage || !old.SameIdentity(&next)) {
		next.DataApproval = domain.DataApproval{}
		changes["data_approved"] = domain.Change{Before: string(old.DataApproval.VettedOn)}
	}
	if old.Status != next.Status {
		changes["status"] = domain.Change{Before: string(old.Status), After: string(next.Status)}
	}
	if old.GroupID != next.GroupID {
		changes["group_id"] = domain.Change{Before: old.GroupID, After: next.GroupID}
	}
	if err := tx.UpdatePerson(ctx, next); err != nil {
		return nil, fmt.Errorf("update person: %w", err)
	}
	if !old.SameRecord(&next) {
		if err := is.recheckDocuments(ctx, tx, old.ID); err != nil {
			return nil, err
		}
	}
	e.Changes = changes
	if old.Status == next.Status {
		return []domain.AuditEntry{e}, nil
	}
	followed, err := is.followStatus(ctx, tx, next, e)
	return append([]domain.AuditEntry{e}, followed...), err
}

// followStatus lets the documents follow their person (A4): those that are active are disabled with an inactive person, and exactly those
// enabled with an active one that were disabled for that. A document past its end stays as it is, and so does what an operator or another
// document disabled.
func (is *Issuer) followStatus(ctx context.Context, tx *store.Tx, p domain.Person, because domain.AuditEntry) ([]domain.AuditEntry, error) {
	docs, err := tx.LiveDocuments(ctx, p.ID)
	if err != nil {
		return nil, fmt.Errorf("load documents: %w", err)
	}
	act, to, note := domain.DocumentDisable, domain.DocumentDisabled, "the person was deactivated"
	if p.Status == domain.PersonActive {
		act, to, note = domain.DocumentEnable, domain.DocumentActive, "the person was activated"
	}
	var entries []domain.AuditEntry
	for _, d := range docs {
		follows := is.documentState(d) == domain.DocumentActive
		if p.Status == domain.PersonActive {
			follows = is.documentState(d) == domain.DocumentDisabled && d.DisabledBy == domain.DisabledByPerson
		}
		if !follows {
			continue
		}
		ended, err := is.moveDocument(ctx, tx, d, to, domain.DisabledByPerson)
		if err != nil {
			return nil, err
		}
		e := is.documentEntry(domain.Caller{AccountID: because.Actor}, "document."+string(act), d, to)
		e.Channel, e.Reason, e.Notes = because.Channel, because.Reason, note
		entries = append(append(entries, e), ended...)
	}
	return entries, nil
}

// Person reads one person. Whoever is erased is not found.
func (is *Issuer) Person(ctx context.Context, caller domain.Caller, id string) (domain.Person, error) {
	if err := is.needFor(ctx, caller, domain.PermPeopleRead, "person", id); err != nil {
		return domain.Person{}, err
	}
	p, err := is.Store.Person(ctx, id)
	if err == nil && p.Erased() {
		err = store.ErrNotFound
	}
	if err != nil {
		return domain.Person{}, found(err, "person")
	}
	return p, nil
}

// People lists people, newest first. group is the path of a group, instead of its id in the filter; a group that the caller does not reach
// looks as if it did not exist. A mobile number is looked for in its stored form.
func (is *Issuer) People(ctx context.Context, caller domain.Caller, want store.PersonFilter, group, after string,
	limit int) ([]domain.Person, error) {
	if err := caller.Need(domain.PermPeopleRead); err != nil {
		return nil, err
	}
	pg, err := page(after, limit)
	if err != nil {
		return nil, err
	}
	want.Within = caller.Within(domain.PermPeopleRead)
	if err := is.checkSearch(&want); err != nil {
		return nil, err
	}
	if err := is.findGroup(ctx, &want, group); err != nil {
		return nil, err
	}
	out, err := is.Store.People(ctx, want, pg)
	if err != nil {
		return nil, fmt.Errorf("list people: %w", err)
	}
	return out, nil
}

func (is *Issuer) checkSearch(want *store.PersonFilter) error {
	var problems domain.Problems
	for _, day := range []struct {
		field string
		value domain.Date
	}{{"birth_date", want.BirthDate}, {"max_expiry_until", want.MaxExpiryUntil}} {
		if _, err := domain.ParseDate(string(day.value)); err != nil {
			problems.Add(day.field, "must be a day as YYYY-MM-DD")
		}
	}
	if want.Status != "" && want.Status != domain.PersonActive && want.Status != domain.PersonInactive {
		problems.Add("status", "must be active or inactive")
	}
	mobile, problem := is.searchedMobile(want.Mobile)
	if problem != "" {
		problems.Add("mobile", "%s", problem)
	}
	want.Mobile = mobile
	return problems.Err(domain.CodeInvalid, "the search breaks a rule")
}

// searchedMobile gives the stored form of a mobile number or, with a * at its end, of how it starts.
func (is *Issuer) searchedMobile(typed string) (number, problem string) {
	start, prefix := strings.CutSuffix(typed, "*")
	switch {
	case typed == "":
		return "", ""
	case !prefix:
		number, err := notify.NormalizeMobile(typed, is.cfg.DefaultRegion)
		if err != nil {
			return "", mobileProblem
		}
		return number, ""
	}
	start = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "", "/", "").Replace(start)
	if rest, ok := strings.CutPrefix(start, "00"); ok {
		start = "+" + rest
	}
	if start != "" && (start[0] != '+' || strings.Trim(start[1:], "0123456789") != "") {
		return "", "must start with + and the country code"
	}
	return start + "*", ""
}

// findGroup turns the path into the id, and refuses groups that the set does not hold.
func (is *Issuer) findGroup(ctx context.Context, want *store.PersonFilter, path string) error {
	if path == "" && want.GroupID == "" {
		if want.GroupsBelow {
			return invalid("group", "is required for groups below it")
		}
		return nil
	}
	r, err := reachOf(ctx, is.Store.Queries, want.Within)
	if err != nil {
		return err
	}
	field := "group"
	var g domain.Group
	if path != "" {
		g, err = is.Store.GroupByPath(ctx, norm.NFC.String(path))
	} else {
		field = "group_id"
		g, err = is.Store.Group(ctx, want.GroupID)
	}
	if errors.Is(err, store.ErrNotFound) || (err == nil && !r.group(g.ID)) {
		return invalid(field, "names no group")
	}
	if err != nil {
		return fmt.Errorf("load group: %w", err)
	}
	want.GroupID = g.ID
	return nil
}

// PutImage stores a person's portrait or signature; the bytes must decode as a picture (CodeImageInvalid). Another picture than before ends
// an approval of the person's data.
func (is *Issuer) PutImage(ctx context.Context, caller domain.Caller, im domain.Image) error {
	if err := is.needFor(ctx, caller, domain.PermPeopleWrite, "person", im.PersonID); err != nil {
		return err
	}
	mediaType, err := checkImage(im.Kind, im.Bytes)
	if err != nil {
		return err
	}
	im.MediaType = mediaType
	err = is.changingPerson(ctx, caller, domain.PermPeopleWrite, im.PersonID, func(tx *store.Tx, old domain.Person) error {
		e, other, err := is.putImage(ctx, tx, caller, old, im)
		if err != nil {
			return err
		}
		entries, err := is.changePerson(ctx, tx, old, old, other, e)
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, entries...)
	})
	return is.personRefused(ctx, domain.Person{}, err)
}

// putImage stores an image of a held person. It gives the entry for the audit, and whether the picture is another one than before; that is
// looked at only where an approval hangs on it.
func (is *Issuer) putImage(ctx context.Context, tx *store.Tx, caller domain.Caller, p domain.Person, im domain.Image) (
	e domain.AuditEntry, other bool, err error) {
	im.PersonID = p.ID
	e = is.personEntry(caller, "person.image", p.ID)
	e.Changes = map[string]domain.Change{string(im.Kind): {After: im.MediaType}}
	if p.DataApproval.Approved() {
		images, err := tx.Images(ctx, p.ID)
		if err != nil {
			return e, false, fmt.Errorf("load images: %w", err)
		}
		other = !bytes.Equal(images[im.Kind].Bytes, im.Bytes)
	}
	if err := tx.PutImage(ctx, im); err != nil {
		return e, false, fmt.Errorf("store image: %w", err)
	}
	return e, other, is.recheckDocuments(ctx, tx, p.ID)
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
