package issuer

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// A document whose profile is derived from another one stands on a document of that profile: it is made only for a holder who has an active
// one, does not outlive it, and is canceled with it when the holder is left without one. The latest version of the profile says what it is
// derived from.

// holdParent locks the document that the new one is derived from, if any, before that is stored: whoever cancels it meanwhile comes first, and
// then this collection is looked at again, or after it, and then finds what is derived from it.
func holdParent(ctx context.Context, tx *store.Tx, f domain.Facts) error {
	parent, derived := f.Parent()
	if !derived {
		return nil
	}
	if _, err := holdActive(ctx, tx, parent.ID); err != nil {
		return fmt.Errorf("hold parent: %w", err)
	}
	return nil
}

// cancelDerived cancels what is derived from a document that was canceled in this transaction, and what is derived from that, unless the
// holder has another one to stand on. It gives the entries for the audit.
func (is *Issuer) cancelDerived(ctx context.Context, tx *store.Tx, canceled domain.Document, reason domain.CancelReason) (
	[]domain.AuditEntry, error) {
	derived, _, err := is.derivedFrom(ctx, tx, canceled)
	if err != nil || len(derived) == 0 {
		return nil, err
	}
	// The parents of one document are canceled one after the other: of two at the same moment, each would take the other for one that is left.
	if err := tx.HoldPerson(ctx, canceled.PersonID); err != nil {
		return nil, fmt.Errorf("hold person: %w", err)
	}
	derived, parentLeft, err := is.derivedFrom(ctx, tx, canceled)
	if err != nil || parentLeft {
		return nil, err
	}
	var entries []domain.AuditEntry
	for _, d := range derived {
		ended, err := is.moveDocument(ctx, tx, d, domain.DocumentCanceled, "")
		if err != nil {
			return nil, err
		}
		if err := is.queueCancellation(ctx, tx, d, reason); err != nil {
			return nil, err
		}
		further, err := is.cancelDerived(ctx, tx, d, reason)
		if err != nil {
			return nil, err
		}
		e := is.documentEntry(domain.System(), "document.cancel", d, domain.DocumentCanceled)
		e.Reason, e.Notes = string(reason), "derived from "+canceled.ID
		entries = append(append(append(entries, e), ended...), further...)
	}
	return entries, nil
}

// derivedFrom gives the holder's live documents that are derived from one of the profile of a document that has ended, and whether the holder has
// another one of that profile.
func (is *Issuer) derivedFrom(ctx context.Context, tx *store.Tx, ended domain.Document) (derived []domain.Document, parentLeft bool, err error) {
	held, err := tx.LiveDocuments(ctx, ended.PersonID)
	if err != nil {
		return nil, false, fmt.Errorf("load documents: %w", err)
	}
	for _, d := range held {
		if !is.documentState(d).Live() {
			continue
		}
		if d.ProfileID == ended.ProfileID {
			parentLeft = true
			continue
		}
		profile, err := tx.Profile(ctx, d.ProfileID)
		if err != nil {
			return nil, false, fmt.Errorf("load profile: %w", err)
		}
		if profile.Options.DerivedFrom == ended.ProfileID {
			derived = append(derived, d)
		}
	}
	return derived, parentLeft, nil
}

// checkDerived reports a profile to be derived from that does not exist, is the profile itself, or whose documents a new one would cancel.
func (is *Issuer) checkDerived(ctx context.Context, problems *domain.Problems, name string, o domain.ProfileOptions) error {
	if o.DerivedFrom == "" {
		return nil
	}
	parent, err := is.Store.Profile(ctx, o.DerivedFrom)
	if errors.Is(err, store.ErrNotFound) {
		problems.Add("derived_from", "names no profile")
		return nil
	}
	if err != nil {
		return fmt.Errorf("load profile: %w", err)
	}
	if parent.Name == name {
		problems.Add("derived_from", "must be another profile")
	}
	if o.OnReissue == domain.ReissueCancel && o.CredentialGroup != "" && o.CredentialGroup == parent.Options.CredentialGroup {
		problems.Add("derived_from", "names a profile of the credential group, whose documents on_reissue cancels")
	}
	return nil
}
