package issuer

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/workflows/messages"
)

// Every live document has a plan: when it is to be looked at next. A sweep by schedule takes those that are due and does what
// domain.Upkeep decides: remind the holder, ask for a renewal, let the document expire. What it does and the plan that says that it is
// done are one transaction, which demands that the plan is the one that was decided on: so any number of sweeps may run, and die, at any
// place.
//
// Whatever changes what a plan was made from has the documents looked at again: a person's change those that are renewed, in its own
// transaction; a change of rules or of a group leaves a note for the sweep, which may mean very many.

const (
	documentsAtOnce = 200
	settleAfter     = time.Hour // after its issue a document is looked at once more: the rules may have changed while it was signed
	troubleAfter    = time.Hour // a document that cannot be looked at waits, so that the others get their turn
)

// SweepDocuments does everything that is due about documents now, and counts it. It may run any number of times at once.
func (is *Issuer) SweepDocuments(ctx context.Context) (messages.ExpiryResult, error) {
	var done messages.ExpiryResult
	for began := is.Now(); is.Now().Sub(began) < sweepPatience; {
		marked, err := is.Store.NextRecheck(ctx, is.Now(), documentsAtOnce)
		if err != nil {
			return done, fmt.Errorf("have documents looked at again: %w", err)
		}
		due, err := is.Store.DueDocuments(ctx, is.Now(), documentsAtOnce)
		if err != nil {
			return done, fmt.Errorf("find due documents: %w", err)
		}
		if len(due) == 0 && !marked {
			break
		}
		if err := is.tendAll(ctx, due, &done); err != nil {
			return done, err
		}
	}
	return done, nil
}

// rules are what plans are made from beside documents and people. They are read after the documents: who changes them has the documents
// looked at again, and then a plan that was made from the old ones is not written.
type rules struct {
	settings domain.Settings
	profiles map[string]domain.Profile
}

func (is *Issuer) rulesFor(ctx context.Context, due []store.DueDocument) (rules, error) {
	out := rules{profiles: map[string]domain.Profile{}}
	for _, d := range due {
		if _, known := out.profiles[d.ProfileID]; known {
			continue
		}
		profile, err := is.loadProfile(ctx, d.ProfileID)
		if err != nil {
			return out, err
		}
		out.profiles[d.ProfileID] = profile
	}
	var err error
	out.settings, err = loadSettings(ctx, is.Store.Queries)
	return out, err
}

// tendAll looks at each document. Plans that come with nothing to do are written together.
func (is *Issuer) tendAll(ctx context.Context, due []store.DueDocument, done *messages.ExpiryResult) error {
	if len(due) == 0 {
		return nil
	}
	r, err := is.rulesFor(ctx, due)
	if err != nil {
		return err
	}
	plans := map[string]domain.Plan{} // of documents with nothing to do
	for _, d := range due {
		care, err := is.careFor(ctx, d, r)
		switch {
		case err != nil:
		case care.Idle():
			plans[d.ID] = care.Plan
			continue
		default:
			err = is.tend(ctx, d, care, r.profiles[d.ProfileID], done)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			is.Log.ErrorContext(ctx, "document not looked at", "document_id", d.ID, "error", err)
			later := d.Plan
			later.NextAt = is.Now().Add(troubleAfter)
			plans[d.ID] = later
		}
	}
	// In the order of their ids, in which everybody locks documents.
	slices.SortFunc(due, func(a, b store.DueDocument) int { return cmp.Compare(a.ID, b.ID) })
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		for _, d := range due {
			plan, ok := plans[d.ID]
			if !ok {
				continue
			}
			if err := tx.SetPlan(ctx, d, plan); err != nil && !errors.Is(err, store.ErrChanged) {
				return fmt.Errorf("plan document: %w", err)
			}
		}
		return nil
	})
}

// careFor decides what is to be done about a document. The person is looked at only where a renewal may hang on it.
func (is *Issuer) careFor(ctx context.Context, d store.DueDocument, r rules) (domain.Care, error) {
	renewal := r.profiles[d.ProfileID].Options.Renewal
	u := domain.Upkeep{Now: is.Now(), Document: d.Document, Plan: d.Plan, Reminders: r.settings.ExpiryReminderDays, Renewal: renewal}
	if renewal.OnChange || renewal.OnAge {
		if err := is.addData(ctx, &u); err != nil {
			return domain.Care{}, err
		}
	}
	if !u.Plan.Tried.IsZero() {
		last, err := is.Store.LastUpdate(ctx, d.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return domain.Care{}, fmt.Errorf("load last update: %w", err)
		}
		ended := last.State == domain.RequestRejected || last.State == domain.RequestCanceled
		u.Declined = ended && !last.UpdatedAt.Before(u.Plan.Tried)
	}
	return u.Decide(), nil
}

// addData adds what the person's data say, as the version of the format reads them that the document was made with. Where that is not
// installed any more they say nothing.
func (is *Issuer) addData(ctx context.Context, u *domain.Upkeep) error {
	f, ok := is.Formats.GetVersion(u.Document.FormatID, u.Document.FormatVersion)
	if !ok {
		return nil
	}
	person, err := is.Store.Person(ctx, u.Document.PersonID)
	if err != nil {
		return fmt.Errorf("load person: %w", err)
	}
	if u.Renewal.OnAge {
		u.Turn, u.TurnAfter = turns(f, person, u.Document.ValidFrom, u.Now)
	}
	if !u.Renewal.OnChange {
		return nil
	}
	images, err := is.Store.Images(ctx, person.ID)
	if err != nil {
		return fmt.Errorf("load images: %w", err)
	}
	u.Digest, err = is.dataDigest(f, u.Document.ID, person, images)
	return err
}

// turns gives when the ages of a document turn: the last time until now or, if none did, the first; and the time after that.
func turns(f *format.Format, person domain.Person, issued, now time.Time) (at, after time.Time) {
	at = f.NextTurn(person, issued)
	for after = next(f, person, at); !after.IsZero() && !after.After(now); after = next(f, person, at) {
		at = after
	}
	return at, after
}

// next is the turn after one, zero after none.
func next(f *format.Format, person domain.Person, turn time.Time) time.Time {
	if turn.IsZero() {
		return turn
	}
	return f.NextTurn(person, turn)
}

// dataDigest tells data of a document apart without keeping them. It is keyed, so that they cannot be guessed from it, and differs from
// document to document.
func (is *Issuer) dataDigest(f *format.Format, documentID string, person domain.Person, images map[domain.ImageKind]domain.Image) (
	string, error) {
	mac := hmac.New(sha256.New, is.dataKey)
	mac.Write([]byte(documentID))
	if err := f.WriteData(mac, person, images); err != nil {
		return "", err
	}
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// firstPlan plans what is to come for a document that is being issued.
func (is *Issuer) firstPlan(w work) domain.Plan {
	u := domain.Upkeep{Now: w.facts.Now, Document: w.document, Plan: domain.Plan{Digest: w.digest}, Digest: w.digest,
		Reminders: w.facts.Settings.ExpiryReminderDays, Renewal: w.facts.Profile.Options.Renewal}
	u.Document.State = domain.DocumentActive
	if u.Renewal.OnAge {
		u.Turn = w.format.NextTurn(w.facts.Person, w.document.ValidFrom)
	}
	plan := u.Decide().Plan
	plan.NextAt = earlierOf(plan.NextAt, u.Now.Add(settleAfter))
	return plan
}

// recheckDocuments has the documents of a changed person looked at again, where they are renewed.
func (is *Issuer) recheckDocuments(ctx context.Context, tx *store.Tx, personID string) error {
	if err := tx.RecheckDocumentsOf(ctx, personID, is.Now()); err != nil {
		return fmt.Errorf("have documents looked at again: %w", err)
	}
	return nil
}

// recheckLater leaves the sweep a note of a change that may concern very many documents.
func recheckLater(ctx context.Context, tx *store.Tx, r store.DocumentRecheck) error {
	r.ID = newID()
	if err := tx.InsertDocumentRecheck(ctx, r); err != nil {
		return fmt.Errorf("note documents to be looked at again: %w", err)
	}
	return nil
}

// tend does what is to be done. When the document was changed meanwhile, or another sweep was first, nothing is done: the next look tells
// what is left.
func (is *Issuer) tend(ctx context.Context, d store.DueDocument, care domain.Care, profile domain.Profile,
	done *messages.ExpiryResult) error {
	if care.Expire {
		return is.expireDocument(ctx, d.Document, done)
	}
	var r renewal
	if care.Renew != "" {
		var err error
		if r, err = is.prepareRenewal(ctx, d, care.Renew); err != nil {
			return err
		}
	}
	err := is.carry(ctx, d, care, profile, &r)
	if _, refused := asDomain(err); refused { // the rules were met before the transaction, but not in it
		if r, err = refusedRenewal(d, err); err == nil {
			err = is.carry(ctx, d, care, profile, &r)
		}
	}
	if errors.Is(err, store.ErrChanged) {
		return nil
	}
	if err != nil {
		return err
	}
	if care.Remind != 0 {
		done.Reminded++
	}
	if r.update != nil {
		done.Renewed++
		is.startRenewal(ctx, *r.update)
	}
	return nil
}

// carry is the transaction of tend.
func (is *Issuer) carry(ctx context.Context, d store.DueDocument, care domain.Care, profile domain.Profile, r *renewal) error {
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		entries, err := is.recordRenewal(ctx, tx, d, care.Renew, r)
		if err != nil {
			return err
		}
		plan := care.Plan
		if care.Renew != "" {
			plan.Refused = r.refused
		}
		if err := tx.SetPlan(ctx, d, plan); err != nil {
			return fmt.Errorf("plan document: %w", err)
		}
		if care.Remind != 0 {
			if err := is.queueReminder(ctx, tx, d.Document, care.Remind, profile); err != nil {
				return err
			}
		}
		return tx.AppendAudit(ctx, entries...)
	})
}

// queueReminder tells the holder that the document expires, if there is an address. A profile that sends nothing does not send this either.
func (is *Issuer) queueReminder(ctx context.Context, tx *store.Tx, d domain.Document, days int, profile domain.Profile) error {
	if profile.Options.NotificationScheme == domain.NotifyNone {
		return nil
	}
	person, err := tx.Person(ctx, d.PersonID)
	if err != nil {
		return fmt.Errorf("load person: %w", err)
	}
	if person.Email == "" {
		return nil
	}
	return is.queueNotice(ctx, tx, notice{kind: domain.MessageExpiryReminder, channel: domain.ChannelEmail, personID: d.PersonID,
		requestID: d.RequestID, documentID: d.ID, cause: strconv.Itoa(days)})
}

// expireDocument ends a document past its end. What verifiers are told has not to change: they have counted it as expired since its end.
func (is *Issuer) expireDocument(ctx context.Context, d domain.Document, done *messages.ExpiryResult) error {
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		ended, err := is.moveDocument(ctx, tx, d, domain.DocumentExpired, "")
		if err != nil {
			return err
		}
		e := is.documentEntry(domain.System(), "document.expire", d, domain.DocumentExpired)
		return tx.AppendAudit(ctx, append([]domain.AuditEntry{e}, ended...)...)
	})
	switch {
	case err == nil:
		done.Expired++
	case errors.Is(err, store.ErrChanged):
		return nil
	}
	return err
}
