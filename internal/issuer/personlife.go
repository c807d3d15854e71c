package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/failpoint"
	"github.com/mdocket/mdocket/internal/store"
)

// Vetting says that somebody looked at the evidence of a person's data.
type Vetting struct {
	VettedOn domain.Date
	Notes    string
	Version  int // of the person, as it was looked at; 0 = as it is now
}

// ApprovePersonData sets the approval of a person's data (A3). Nobody approves their own; the day must not be in the future. Approving
// again moves the day.
func (is *Issuer) ApprovePersonData(ctx context.Context, caller domain.Caller, id string, v Vetting) (domain.Person, error) {
	if err := is.needFor(ctx, caller, domain.PermPeopleApprove, "person", id); err != nil {
		return domain.Person{}, err
	}
	if caller.Owns(id) {
		return domain.Person{}, domain.Errorf(domain.CodeSelfApproval, "somebody else has to approve your own data")
	}
	var problems domain.Problems
	switch _, err := domain.ParseDate(string(v.VettedOn)); {
	case err != nil || v.VettedOn == "":
		problems.Add("vetted_on", "must be a day as YYYY-MM-DD")
	case v.VettedOn > domain.DateOf(is.Now()):
		problems.Add("vetted_on", "must not be in the future")
	}
	checkNote(&problems, "notes", v.Notes, 2*maxNote)
	if err := problems.Err(domain.CodeInvalid, "the input breaks a rule"); err != nil {
		return domain.Person{}, err
	}
	e := is.personEntry(caller, "person.approve_data", id)
	e.Notes = v.Notes
	return is.setApproval(ctx, caller, id, e, func(old domain.Person) (domain.DataApproval, error) {
		if v.Version != 0 && v.Version != old.Version {
			return domain.DataApproval{}, domain.Errorf(domain.CodeConflict, "the person was changed meanwhile; read it again").
				With("version", fmt.Sprint(old.Version))
		}
		return domain.DataApproval{By: caller.AccountID, At: is.Now(), VettedOn: v.VettedOn}, nil
	})
}

// WithdrawDataApproval takes the approval of a person's data back; the reason is required.
func (is *Issuer) WithdrawDataApproval(ctx context.Context, caller domain.Caller, id, reason string) (domain.Person, error) {
	if err := is.needFor(ctx, caller, domain.PermPeopleApprove, "person", id); err != nil {
		return domain.Person{}, err
	}
	var problems domain.Problems
	if reason == "" {
		problems.Add("reason", "is required")
	}
	checkNote(&problems, "reason", reason, maxNote)
	if err := problems.Err(domain.CodeInvalid, "the input breaks a rule"); err != nil {
		return domain.Person{}, err
	}
	e := is.personEntry(caller, "person.withdraw_data_approval", id)
	e.Reason = reason
	return is.setApproval(ctx, caller, id, e, func(old domain.Person) (domain.DataApproval, error) {
		if !old.DataApproval.Approved() {
			return domain.DataApproval{}, domain.Errorf(domain.CodeWrongState, "the person's data are not approved")
		}
		return domain.DataApproval{}, nil
	})
}

func (is *Issuer) setApproval(ctx context.Context, caller domain.Caller, id string, e domain.AuditEntry,
	approval func(old domain.Person) (domain.DataApproval, error)) (domain.Person, error) {
	var p domain.Person
	err := is.changingPerson(ctx, caller, domain.PermPeopleApprove, id, func(tx *store.Tx, old domain.Person) error {
		next := old
		var err error
		if next.DataApproval, err = approval(old); err != nil {
			return err
		}
		next.Version, next.UpdatedAt = old.Version+1, is.Now()
		if err := tx.UpdatePerson(ctx, next); err != nil {
			return fmt.Errorf("update person: %w", err)
		}
		if err := is.recheckDocuments(ctx, tx, id); err != nil {
			return err
		}
		e.Changes = map[string]domain.Change{"data_approved": {Before: string(old.DataApproval.VettedOn),
			After: string(next.DataApproval.VettedOn)}}
		if err := tx.AppendAudit(ctx, e); err != nil {
			return err
		}
		p, err = tx.Person(ctx, id)
		return found(err, "person")
	})
	return p, is.personRefused(ctx, p, err)
}

// DeactivatePerson keeps a person from receiving documents and disables those they have (A4); documents is the number of those. It needs a
// reason.
func (is *Issuer) DeactivatePerson(ctx context.Context, caller domain.Caller, id string, reason domain.CancelReason, notes string) (
	p domain.Person, documents int, err error) {
	e := is.personEntry(caller, "person.deactivate", id)
	e.Reason, e.Notes = string(reason), notes
	return is.setStatus(ctx, caller, id, domain.PersonInactive, domain.DocumentDisable, e)
}

// ActivatePerson lets a person receive documents again and enables exactly the documents that deactivating disabled; documents is the
// number of those.
func (is *Issuer) ActivatePerson(ctx context.Context, caller domain.Caller, id, notes string) (p domain.Person, documents int, err error) {
	e := is.personEntry(caller, "person.activate", id)
	e.Notes = notes
	return is.setStatus(ctx, caller, id, domain.PersonActive, domain.DocumentEnable, e)
}

// setStatus needs the reasons that the act on the documents needs.
func (is *Issuer) setStatus(ctx context.Context, caller domain.Caller, id string, status domain.PersonStatus, act domain.DocumentAct,
	e domain.AuditEntry) (p domain.Person, documents int, err error) {
	if err := is.needFor(ctx, caller, domain.PermPeopleWrite, "person", id); err != nil {
		return p, 0, err
	}
	if err := checkReason(act, domain.CancelReason(e.Reason), e.Notes); err != nil {
		return p, 0, err
	}
	err = is.changingPerson(ctx, caller, domain.PermPeopleWrite, id, func(tx *store.Tx, old domain.Person) error {
		if old.Status == status {
			return domain.Errorf(domain.CodeWrongState, "the person is %s already", status).With("state", string(status))
		}
		if err := keepsOwn(caller, old, status); err != nil {
			return err
		}
		next := old
		next.Status = status
		entries, err := is.changePerson(ctx, tx, old, next, false, e)
		if err != nil {
			return err
		}
		documents = len(entries) - 1 // besides the person's own, each is of a document
		if err := tx.AppendAudit(ctx, entries...); err != nil {
			return err
		}
		p, err = tx.Person(ctx, id)
		return found(err, "person")
	})
	if err != nil {
		return domain.Person{}, 0, is.personRefused(ctx, p, err)
	}
	return p, documents, nil
}

// Erase is a wish to erase a person's data; Confirm repeats the person's id.
type Erase struct {
	Reason  domain.CancelReason
	Notes   string // stays in the audit for good: no personal data
	Confirm string
}

// Erasure tells what went with a person's data.
type Erasure struct {
	Documents int      // canceled
	Requests  int      // canceled
	Accounts  []string // retired, by id; whoever calls ends their sessions
}

// ErasePerson destroys a person's data for good (A4): the documents are canceled, open requests and cancellations end, accounts are
// retired, and of the record only id, group and times are left, for the audit to refer to.
//
// Everything but the requests happens in one transaction, which comes first. From its commit on no personal data is left, and no document
// can come of an open request any more: a collection looks at the person in the transaction that makes the document active. What may be
// left after a crash, or while the engine is down, are therefore open requests of nobody: harmless, ended by their deadline at the latest,
// and by this call when it is repeated, which may be done any number of times. The other way round a crash would leave the data.
func (is *Issuer) ErasePerson(ctx context.Context, caller domain.Caller, id string, in Erase) (Erasure, error) {
	if err := is.needFor(ctx, caller, domain.PermPeopleWrite, "person", id); err != nil {
		return Erasure{}, err
	}
	p, err := is.Store.Person(ctx, id)
	if err != nil {
		return Erasure{}, found(err, "person")
	}
	var problems domain.Problems
	if !slices.Contains(domain.CancelReasons(), in.Reason) {
		problems.Add("reason", "is required: one of lost, stolen, damaged, compromised, withdrawn, left, other")
	}
	checkNote(&problems, "notes", in.Notes, 2*maxNote)
	if in.Confirm != id {
		problems.Add("confirm", "must be the id of the person")
	}
	if err := problems.Err(domain.CodeInvalid, "the input breaks a rule"); err != nil {
		return Erasure{}, err
	}
	if caller.Owns(id) {
		return Erasure{}, domain.Errorf(domain.CodeForbidden, "somebody else has to erase your own data")
	}
	out, err := is.eraseRecord(ctx, caller, p, in)
	if err != nil {
		return Erasure{}, is.personRefused(ctx, domain.Person{}, err)
	}
	failpoint.Hit("erase.committed")
	out.Requests, err = is.cancelRequestsOf(ctx, caller, id)
	return out, err
}

// eraseRecord is the transaction of ErasePerson; of whoever is erased it only tells the accounts.
func (is *Issuer) eraseRecord(ctx context.Context, caller domain.Caller, p domain.Person, in Erase) (Erasure, error) {
	var out Erasure
	id := p.ID
	if !p.Erased() {
		err := is.changingPerson(ctx, caller, domain.PermPeopleWrite, id, func(tx *store.Tx, old domain.Person) error {
			e := is.personEntry(caller, "person.erase", id)
			e.Reason, e.Notes = string(in.Reason), in.Notes
			canceled, ended, err := is.endDocumentsOf(ctx, tx, caller, id)
			if err != nil {
				return err
			}
			out.Documents = canceled
			retired, err := is.retireAccounts(ctx, tx, caller, id)
			if err != nil {
				return err
			}
			if err := is.forget(ctx, tx, old); err != nil {
				return err
			}
			return tx.AppendAudit(ctx, slices.Concat([]domain.AuditEntry{e}, ended, retired)...)
		})
		if domain.CodeOf(err) == domain.CodeNotFound {
			if p, loadErr := is.Store.Person(ctx, id); loadErr == nil && p.Erased() {
				out, err = Erasure{}, nil // somebody else was faster: this call repeats theirs
			}
		}
		if err != nil {
			return out, err
		}
	}
	accounts, err := is.Store.AccountsOfPerson(ctx, id)
	if err != nil {
		return out, fmt.Errorf("load accounts: %w", err)
	}
	for _, a := range accounts {
		out.Accounts = append(out.Accounts, a.ID)
	}
	return out, nil
}

// endDocumentsOf cancels what is live of a person's documents and gives how many that were, with the entries for the audit. Of a document
// past its end only an open cancellation ends.
func (is *Issuer) endDocumentsOf(ctx context.Context, tx *store.Tx, caller domain.Caller, personID string) (
	canceled int, entries []domain.AuditEntry, err error) {
	docs, err := tx.LiveDocuments(ctx, personID)
	if err != nil {
		return 0, nil, fmt.Errorf("load documents: %w", err)
	}
	for _, d := range docs {
		var ended []domain.AuditEntry
		if is.documentState(d).Live() {
			e := is.documentEntry(caller, "document.cancel", d, domain.DocumentCanceled)
			e.Reason, e.Notes = string(domain.ReasonWithdrawn), "the person was erased"
			entries = append(entries, e)
			canceled++
			ended, err = is.moveDocument(ctx, tx, d, domain.DocumentCanceled, "")
		} else {
			ended, err = is.expireCancellationsOf(ctx, tx, d, domain.DocumentExpired)
		}
		if err != nil {
			return 0, nil, err
		}
		entries = append(entries, ended...)
	}
	return canceled, entries, nil
}

// forget blanks the record and removes what is kept of a person beside it.
func (is *Issuer) forget(ctx context.Context, tx *store.Tx, p domain.Person) error {
	now := is.Now()
	blank := domain.Person{ID: p.ID, GroupID: p.GroupID, Status: domain.PersonInactive, ErasedAt: now, Version: p.Version + 1,
		CreatedAt: p.CreatedAt, UpdatedAt: now}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"blank person", func() error { return tx.UpdatePerson(ctx, blank) }},
		{"drop images", func() error { return tx.DeleteImages(ctx, p.ID) }},
		{"drop signed bytes", func() error { return tx.DropSignedOf(ctx, p.ID) }},
		{"drop logon code", func() error { return tx.DeleteLogonCode(ctx, p.ID) }},
		{"drop messages", func() error { return tx.DropMessages(ctx, p.ID, now) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// retireAccounts takes name, address, password and keys off the accounts of a person.
func (is *Issuer) retireAccounts(ctx context.Context, tx *store.Tx, caller domain.Caller, personID string) ([]domain.AuditEntry, error) {
	accounts, err := tx.AccountsOfPerson(ctx, personID)
	if err != nil {
		return nil, fmt.Errorf("load accounts: %w", err)
	}
	var entries []domain.AuditEntry
	for _, a := range accounts {
		if err := tx.RetireAccount(ctx, a.ID, "retired-"+a.ID); err != nil {
			return nil, fmt.Errorf("retire account: %w", err)
		}
		e := is.entry(caller, "account.retire", a.ID)
		e.PersonID = personID
		entries = append(entries, e)
	}
	return entries, nil
}

// cancelRequestsOf ends the open requests of an erased person through their workflows, all that can be ended even when one cannot, and
// gives how many were.
func (is *Issuer) cancelRequestsOf(ctx context.Context, caller domain.Caller, personID string) (int, error) {
	open, err := is.Store.OpenRequests(ctx, personID)
	if err != nil {
		return 0, fmt.Errorf("load open requests: %w", err)
	}
	n := 0
	var failed error
	for _, r := range open {
		_, err := is.act(ctx, r, store.Act{Kind: domain.ActCancel, AccountID: caller.AccountID, Reason: "the person was erased"})
		switch {
		case err == nil:
			n++
		case domain.CodeOf(err) == domain.CodeWrongState: // it ended by itself meanwhile
		default:
			failed = errors.Join(failed, err)
		}
	}
	return n, failed
}
