package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/engine"
	"github.com/mdocket/mdocket/internal/failpoint"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/workflows/messages"
)

// Where a profile says validate_cancellation, a document is not canceled directly: one operator asks for it and another one approves (B2, F4).
// An open cancellation ends with its document: it expires when the document ends in any other way, so an approval never finds one that cannot be
// canceled any more.

// NewCancellation is a wish to cancel a document.
type NewCancellation struct {
	DocumentID string              `json:"document_id"`
	Reason     domain.CancelReason `json:"reason"`
	Notes      string              `json:"notes,omitempty"`
}

// RequestCancellation asks for another operator's approval to cancel a document. Like a request, a cancellation that was accepted is never lost.
func (is *Issuer) RequestCancellation(ctx context.Context, caller domain.Caller, key string, in NewCancellation) (domain.Cancellation, error) {
	if err := caller.Need(domain.PermCancel); err != nil {
		return domain.Cancellation{}, err
	}
	if err := checkReason(domain.DocumentRequestCancel, in.Reason, in.Notes); err != nil {
		return domain.Cancellation{}, err
	}
	d, err := is.Store.Document(ctx, in.DocumentID)
	if err != nil {
		return domain.Cancellation{}, found(err, "document")
	}
	if d.State == domain.DocumentPrepared {
		return domain.Cancellation{}, domain.NotFound("document")
	}
	if err := is.needFor(ctx, caller, domain.PermCancel, "document", d.PersonID); err != nil {
		return domain.Cancellation{}, err
	}
	profile, err := is.loadProfile(ctx, d.ProfileID)
	if err != nil {
		return domain.Cancellation{}, err
	}
	// Read before the key is looked up: whoever then sees an earlier call's cancellation sees its key too, and is not told of a conflict with itself.
	open, err := is.openCancellations(ctx, d)
	if err != nil {
		return domain.Cancellation{}, err
	}
	const act = "cancellation.create"
	id, replayed, err := is.replay(ctx, caller, act, key, in)
	if err != nil {
		return domain.Cancellation{}, err
	}
	if !replayed {
		if err := documentAllowed(is.asOfNow(d), profile, open[d.ID], domain.DocumentRequestCancel); err != nil {
			return domain.Cancellation{}, err
		}
		now := is.Now()
		c := domain.Cancellation{ID: newID(), DocumentID: d.ID, PersonID: d.PersonID, RequestedBy: caller.AccountID, Reason: in.Reason,
			Notes: in.Notes, State: domain.CancellationReceived, CreatedAt: now, UpdatedAt: now}
		id, _, err = is.create(ctx, caller, act, key, in, c.ID, func(tx *store.Tx) error {
			if err := tx.HoldDocument(ctx, d.ID, d.State); err != nil {
				return fmt.Errorf("hold document: %w", err)
			}
			if err := tx.InsertCancellation(ctx, c); err != nil {
				return fmt.Errorf("insert cancellation: %w", err)
			}
			e := is.cancellationEntry(caller, act, c, "")
			e.Reason, e.Notes = string(c.Reason), c.Notes
			return tx.AppendAudit(ctx, e)
		})
		if errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrExists) {
			err = domain.Errorf(domain.CodeConflict, "the document was changed meanwhile; read it again")
		}
		if err != nil {
			return domain.Cancellation{}, err
		}
		failpoint.Hit("cancellation.committed")
	}
	if err := is.Engine.StartCancellation(ctx, id); err != nil {
		is.Log.WarnContext(ctx, "cancellation accepted, workflow not started yet", "cancellation_id", id, "code", string(domain.CodeOf(err)))
	}
	c, err := is.Store.Cancellation(ctx, id)
	return c, found(err, "cancellation")
}

// ApproveCancellation cancels the document for good. The caller must be neither who asked for it nor the holder; reason is optional.
func (is *Issuer) ApproveCancellation(ctx context.Context, caller domain.Caller, id, reason string) (domain.Cancellation, error) {
	c, err := is.reviewableCancellation(ctx, caller, id)
	if err != nil {
		return c, err
	}
	return is.decideCancellation(ctx, caller, c, domain.CancellationApprove, reason)
}

// RejectCancellation leaves the document as it is; the reason is required.
func (is *Issuer) RejectCancellation(ctx context.Context, caller domain.Caller, id, reason string) (domain.Cancellation, error) {
	c, err := is.reviewableCancellation(ctx, caller, id)
	if err != nil {
		return c, err
	}
	if reason == "" {
		return c, invalid("reason", "is required")
	}
	return is.decideCancellation(ctx, caller, c, domain.CancellationReject, reason)
}

// WithdrawCancellation takes the wish back: by whoever asked, or by an operator who may cancel the document.
func (is *Issuer) WithdrawCancellation(ctx context.Context, caller domain.Caller, id, reason string) (domain.Cancellation, error) {
	c, err := is.Cancellation(ctx, caller, id)
	if err != nil {
		return c, err
	}
	if c.RequestedBy != caller.AccountID {
		if err := is.needFor(ctx, caller, domain.PermCancel, "cancellation", c.PersonID); err != nil {
			return c, err
		}
	}
	return is.decideCancellation(ctx, caller, c, domain.CancellationWithdraw, reason)
}

// Cancellation reads one cancellation, for a caller who may cancel, or approve for, its person; others do not learn that it exists.
func (is *Issuer) Cancellation(ctx context.Context, caller domain.Caller, id string) (domain.Cancellation, error) {
	if !caller.Has(domain.PermCancel) && !caller.Has(domain.PermApprove) {
		return domain.Cancellation{}, caller.Need(domain.PermCancel)
	}
	c, err := is.Store.Cancellation(ctx, id)
	if err != nil {
		return c, found(err, "cancellation")
	}
	if err := is.needReach(ctx, caller.Within(domain.PermCancel, domain.PermApprove), "cancellation", c.PersonID); err != nil {
		return domain.Cancellation{}, err
	}
	return c, nil
}

// Cancellations lists cancellations, newest first.
func (is *Issuer) Cancellations(ctx context.Context, caller domain.Caller, want store.CancellationFilter, after string,
	limit int) ([]domain.Cancellation, error) {
	if !caller.Has(domain.PermCancel) && !caller.Has(domain.PermApprove) {
		return nil, caller.Need(domain.PermCancel)
	}
	want.Within = caller.Within(domain.PermCancel, domain.PermApprove)
	return is.listCancellations(ctx, want, after, limit)
}

// CancellationReviews lists what waits for this approver: in scope, not asked for by and not for a document of themself.
func (is *Issuer) CancellationReviews(ctx context.Context, caller domain.Caller, after string, limit int) ([]domain.Cancellation, error) {
	if err := caller.Need(domain.PermApprove); err != nil {
		return nil, err
	}
	return is.listCancellations(ctx, store.CancellationFilter{Within: caller.Within(domain.PermApprove),
		State: domain.CancellationAwaitingApproval, NotRequestedBy: caller.AccountID, NotForPerson: caller.PersonID}, after, limit)
}

func (is *Issuer) listCancellations(ctx context.Context, want store.CancellationFilter, after string, limit int) ([]domain.Cancellation, error) {
	pg, err := page(after, limit)
	if err != nil {
		return nil, err
	}
	out, err := is.Store.Cancellations(ctx, want, pg)
	if err != nil {
		return nil, fmt.Errorf("list cancellations: %w", err)
	}
	return out, nil
}

// reviewableCancellation loads a cancellation for an approver.
func (is *Issuer) reviewableCancellation(ctx context.Context, caller domain.Caller, id string) (domain.Cancellation, error) {
	if err := caller.Need(domain.PermApprove); err != nil {
		return domain.Cancellation{}, err
	}
	c, err := is.Store.Cancellation(ctx, id)
	if err != nil {
		return c, found(err, "cancellation")
	}
	if err := is.needFor(ctx, caller, domain.PermApprove, "cancellation", c.PersonID); err != nil {
		return domain.Cancellation{}, err
	}
	if c.RequestedBy == caller.AccountID || caller.Owns(c.PersonID) {
		return c, domain.Errorf(domain.CodeSelfApproval, "a cancellation is decided by somebody who neither asked for it nor holds the document")
	}
	return c, nil
}

// decideCancellation records the act, has the workflow carry it out and gives the cancellation as it is then.
func (is *Issuer) decideCancellation(ctx context.Context, caller domain.Caller, c domain.Cancellation, kind domain.CancellationAct,
	reason string) (domain.Cancellation, error) {
	var problems domain.Problems
	checkNote(&problems, "reason", reason, maxNote)
	if err := problems.Err(domain.CodeInvalid, "the input breaks a rule"); err != nil {
		return c, err
	}
	if c.State != domain.CancellationReceived { // then the workflow lets the act wait until it has begun
		if err := allowedCancellation(kind, c); err != nil {
			return c, err
		}
	}
	act := store.CancellationAct{ID: newID(), CancellationID: c.ID, Kind: kind, AccountID: caller.AccountID, Reason: reason, CreatedAt: is.Now()}
	if err := is.Store.InsertCancellationAct(ctx, act); err != nil {
		return c, fmt.Errorf("record act: %w", err)
	}
	failpoint.Hit("cancellation.act.recorded")
	err := is.actOnCancellation(ctx, kind, messages.CancellationActRef{CancellationID: c.ID, ActID: act.ID})
	if recorded, loadErr := is.Store.CancellationAct(ctx, act.ID); err != nil && loadErr == nil && recorded.Applied {
		err = nil // the answer got lost on its way
	}
	now, loadErr := is.Store.Cancellation(ctx, c.ID)
	switch {
	case domain.CodeOf(err) == domain.CodeWrongState && loadErr == nil && allowedCancellation(kind, now) != nil:
		// The workflow only knows the state; SQL knows who decided.
		return now, allowedCancellation(kind, now)
	case err != nil:
		return c, err
	}
	return now, found(loadErr, "cancellation")
}

// actOnCancellation has the workflow carry out a recorded act. A cancellation without a running workflow gets one: SQL is the truth, the workflow
// picks up from there.
func (is *Issuer) actOnCancellation(ctx context.Context, kind domain.CancellationAct, ref messages.CancellationActRef) error {
	_, err := is.Engine.ActOnCancellation(ctx, kind, ref)
	if !errors.Is(err, engine.ErrNoWorkflow) {
		return err
	}
	if err := is.Engine.StartCancellation(ctx, ref.CancellationID); err != nil {
		return err
	}
	_, err = is.Engine.ActOnCancellation(ctx, kind, ref)
	if errors.Is(err, engine.ErrNoWorkflow) { // it has ended in between; the caller looks at SQL
		return domain.Errorf(domain.CodeWrongState, "the workflow of the cancellation ended meanwhile; try again")
	}
	return err
}

// allowedCancellation refuses an act that the cancellation's state does not allow; after a decision it names the first one.
func allowedCancellation(kind domain.CancellationAct, c domain.Cancellation) error {
	if kind.AllowedIn(c.State) {
		return nil
	}
	if kind.Decides() && c.DecidedBy != "" {
		return domain.Errorf(domain.CodeAlreadyDecided, "somebody decided on this cancellation before").
			With("decision", string(c.State)).With("decided_by", c.DecidedBy).With("decided_at", c.DecidedAt.UTC().Format(time.RFC3339)).
			With("state", string(c.State))
	}
	return domain.Errorf(domain.CodeWrongState, "the cancellation is %s, which does not allow to %s it", c.State, kind).
		With("state", string(c.State))
}

// BeginCancellation lets a received cancellation wait for approval, no longer than the document lives, and tells the workflow where it stands. It
// may be called at any time in a cancellation's life.
func (is *Issuer) BeginCancellation(ctx context.Context, id string) (messages.CancellationSnapshot, error) {
	c, err := is.Store.Cancellation(ctx, id)
	if err != nil {
		return messages.CancellationSnapshot{}, found(err, "cancellation")
	}
	if c.State != domain.CancellationReceived {
		return cancellationSnapshot(c), nil
	}
	d, err := is.Store.Document(ctx, c.DocumentID)
	if err != nil {
		return messages.CancellationSnapshot{}, fmt.Errorf("load document: %w", err)
	}
	settings, err := loadSettings(ctx, is.Store.Queries)
	if err != nil {
		return messages.CancellationSnapshot{}, err
	}
	next := c
	next.State = domain.CancellationAwaitingApproval
	next.Deadline = earlierOf(is.Now().Add(time.Duration(settings.ApprovalDeadline)), d.ValidUntil)
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		e, err := is.moveCancellation(ctx, tx, domain.System(), "cancellation.begin", next, c.State)
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, e)
	})
	if err != nil {
		return messages.CancellationSnapshot{}, err
	}
	failpoint.Hit("cancellation.begin.committed")
	return cancellationSnapshot(next), nil
}

// ApplyCancellation carries out a recorded act, once. An approval cancels the document in the same transaction.
func (is *Issuer) ApplyCancellation(ctx context.Context, ref messages.CancellationActRef) (messages.CancellationSnapshot, error) {
	act, err := is.Store.CancellationAct(ctx, ref.ActID)
	if err != nil {
		return messages.CancellationSnapshot{}, found(err, "act")
	}
	c, err := is.Store.Cancellation(ctx, act.CancellationID)
	if err != nil {
		return messages.CancellationSnapshot{}, found(err, "cancellation")
	}
	if act.Applied {
		return cancellationSnapshot(c), nil
	}
	if err := allowedCancellation(act.Kind, c); err != nil {
		return messages.CancellationSnapshot{}, err
	}
	d, err := is.Store.Document(ctx, c.DocumentID)
	if err != nil {
		return messages.CancellationSnapshot{}, fmt.Errorf("load document: %w", err)
	}
	if state := is.documentState(d); act.Kind == domain.CancellationApprove && !state.Live() {
		return messages.CancellationSnapshot{}, domain.Errorf(domain.CodeWrongState, "the document is %s, which does not allow to cancel it", state).
			With("state", string(state))
	}
	next := c
	next.State = act.Kind.Target()
	if act.Kind.Decides() {
		next.DecidedBy, next.DecidedAt, next.DecisionReason = act.AccountID, is.Now(), act.Reason
	}
	caller := domain.Caller{AccountID: act.AccountID}
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		if act.Kind == domain.CancellationApprove {
			// The document comes first in every transaction that holds both, or two of them could wait for each other.
			if err := tx.HoldDocument(ctx, d.ID, d.State); err != nil {
				return fmt.Errorf("hold document: %w", err)
			}
		}
		if err := tx.MarkCancellationActApplied(ctx, act.ID); err != nil {
			return fmt.Errorf("mark act: %w", err)
		}
		e, err := is.moveCancellation(ctx, tx, caller, "cancellation."+string(act.Kind), next, c.State)
		if err != nil {
			return err
		}
		e.Reason = act.Reason
		entries := []domain.AuditEntry{e}
		if act.Kind == domain.CancellationApprove {
			ended, err := is.moveDocument(ctx, tx, d, domain.DocumentCanceled, "")
			if err != nil {
				return err
			}
			if err := is.queueCancellation(ctx, tx, d, c.Reason); err != nil {
				return err
			}
			derived, err := is.cancelDerived(ctx, tx, d, c.Reason)
			if err != nil {
				return err
			}
			ended = append(ended, derived...)
			e := is.documentEntry(caller, "document.cancel", d, domain.DocumentCanceled)
			e.Reason, e.Notes = string(c.Reason), c.Notes
			entries = append(append(entries, e), ended...)
		}
		return tx.AppendAudit(ctx, entries...)
	})
	if err != nil {
		return messages.CancellationSnapshot{}, err
	}
	failpoint.Hit("cancellation.apply.committed")
	return cancellationSnapshot(next), nil
}

// ExpireCancellation ends a cancellation whose deadline has passed; before that, it only tells where it stands.
func (is *Issuer) ExpireCancellation(ctx context.Context, id string) (messages.CancellationSnapshot, error) {
	c, err := is.Store.Cancellation(ctx, id)
	if err != nil {
		return messages.CancellationSnapshot{}, found(err, "cancellation")
	}
	if !c.State.Open() || c.Deadline.IsZero() || is.Now().Before(c.Deadline) {
		return cancellationSnapshot(c), nil
	}
	next := c
	next.State = domain.CancellationExpired
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		e, err := is.moveCancellation(ctx, tx, domain.System(), "cancellation.expire", next, c.State)
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, e)
	})
	if err != nil {
		return messages.CancellationSnapshot{}, err
	}
	return cancellationSnapshot(next), nil
}

// expireCancellationsOf ends the open cancellation of a document that comes to its end in another way, and gives the entries for the audit. Its
// workflow finds out when somebody acts on it, or at the deadline.
func (is *Issuer) expireCancellationsOf(ctx context.Context, tx *store.Tx, d domain.Document, to domain.DocumentState) ([]domain.AuditEntry, error) {
	open, err := tx.OpenCancellations(ctx, d.ID)
	if err != nil {
		return nil, fmt.Errorf("load open cancellations: %w", err)
	}
	var entries []domain.AuditEntry
	for _, c := range open {
		from := c.State
		c.State = domain.CancellationExpired
		e, err := is.moveCancellation(ctx, tx, domain.System(), "cancellation.expire", c, from)
		if err != nil {
			return nil, err
		}
		e.Notes = "the document is " + string(to)
		entries = append(entries, e)
	}
	return entries, nil
}

// moveCancellation writes next where the cancellation is still in the state from (else store.ErrChanged, worth a retry) and gives the entry for
// the audit.
func (is *Issuer) moveCancellation(ctx context.Context, tx *store.Tx, caller domain.Caller, action string, next domain.Cancellation,
	from domain.CancellationState) (domain.AuditEntry, error) {
	if !from.Can(next.State) {
		return domain.AuditEntry{}, domain.Errorf(domain.CodeWrongState, "a cancellation cannot go from %s to %s", from, next.State)
	}
	next.UpdatedAt = is.Now()
	if err := tx.MoveCancellation(ctx, next, from); err != nil {
		return domain.AuditEntry{}, fmt.Errorf("move cancellation: %w", err)
	}
	return is.cancellationEntry(caller, action, next, from), nil
}

func (is *Issuer) cancellationEntry(caller domain.Caller, action string, c domain.Cancellation, from domain.CancellationState) domain.AuditEntry {
	e := is.entry(caller, action, c.ID)
	e.PersonID, e.DocumentID = c.PersonID, c.DocumentID
	e.Changes = map[string]domain.Change{"state": {Before: string(from), After: string(c.State)}}
	return e
}

// cancellationSnapshot is what the workflow needs to know.
func cancellationSnapshot(c domain.Cancellation) messages.CancellationSnapshot {
	snap := messages.CancellationSnapshot{State: c.State}
	if c.State == domain.CancellationAwaitingApproval {
		snap.Deadline = c.Deadline
	}
	return snap
}
