package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/engine"
	"github.com/mdocket/mdocket/internal/failpoint"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/workflows/messages"
)

// Approval is what an approver may decide beside yes.
type Approval struct {
	ProfileID  string      // another profile; empty = the one asked for
	ExpiryDate domain.Date // last day of validity; empty = as asked for
	Reason     string
}

// Approve lets a request through (C3). The caller must be neither requester nor recipient.
func (is *Issuer) Approve(ctx context.Context, caller domain.Caller, id string, a Approval) (domain.Request, error) {
	r, err := is.reviewable(ctx, caller, id)
	if err != nil {
		return r, err
	}
	if err := allowedSoon(domain.ActApprove, r); err != nil {
		return r, err
	}
	if _, err := domain.ParseDate(string(a.ExpiryDate)); err != nil {
		return r, invalid("expiry_date", "must be a day as YYYY-MM-DD")
	}
	if r.Kind() == domain.RequestUpdate && a.ProfileID != "" && a.ProfileID != r.ProfileID {
		return r, otherProfile()
	}
	params := store.ActParams{ProfileID: a.ProfileID, ExpiryDate: a.ExpiryDate}
	f, err := is.approvalFacts(ctx, r, params)
	if err != nil {
		return r, err
	}
	f.ActorRoles = caller.Roles
	if err := f.Judge().Err(); err != nil {
		return r, err
	}
	return is.decide(ctx, caller, r, store.Act{Kind: domain.ActApprove, Reason: a.Reason, Params: params})
}

// approvalFacts loads what the rules of an approval look at: for the profile that is approved, which need not be the one asked for. Whose roles count
// is for the caller to add. Other open requests count when the profile is another one: until then, this request was let in beside them.
func (is *Issuer) approvalFacts(ctx context.Context, r domain.Request, a store.ActParams) (domain.Facts, error) {
	in := NewRequest{PersonID: r.PersonID, ProfileID: r.ProfileID, ExpiryDate: r.ExpiryDate}
	if a.ProfileID != "" {
		in.ProfileID = a.ProfileID
	}
	if a.ExpiryDate != "" {
		in.ExpiryDate = a.ExpiryDate
	}
	f, err := is.facts(ctx, domain.AtApproval, in)
	if err != nil {
		return f, err
	}
	f.Channel, f.OnScreen, f.Update = r.Channel, r.Channel == domain.RequestByHolder, r.Kind() == domain.RequestUpdate
	if in.ProfileID != r.ProfileID {
		f.OpenRequests, err = openRequests(ctx, is.Store.Queries, f.Profile, r.PersonID)
		f.OpenRequests = slices.DeleteFunc(f.OpenRequests, func(other domain.Request) bool { return other.ID == r.ID })
	}
	return f, err
}

// Reject refuses a request for good; the reason is required.
func (is *Issuer) Reject(ctx context.Context, caller domain.Caller, id, reason string) (domain.Request, error) {
	r, err := is.reviewable(ctx, caller, id)
	if err != nil {
		return r, err
	}
	if reason == "" {
		return r, invalid("reason", "is required")
	}
	return is.decide(ctx, caller, r, store.Act{Kind: domain.ActReject, Reason: reason})
}

// CancelRequest ends an open request: by whoever made it, or by an operator who may request for its person; an update by one who may update, too.
func (is *Issuer) CancelRequest(ctx context.Context, caller domain.Caller, id, reason string) (domain.Request, error) {
	r, err := is.visibleRequest(ctx, caller, id)
	if err != nil {
		return r, err
	}
	if r.RequestedBy != caller.AccountID {
		if err := is.mayHandle(ctx, caller, r, is.mayRequest(ctx, caller, "request", r.PersonID)); err != nil {
			return r, err
		}
	}
	return is.decide(ctx, caller, r, store.Act{Kind: domain.ActCancel, Reason: reason})
}

// Resend makes a new link and code, which makes the old ones invalid, and sends them (D3). It also unlocks a locked request. Of an update it sends the
// message again.
func (is *Issuer) Resend(ctx context.Context, caller domain.Caller, id string) (domain.Request, error) {
	r, err := is.visibleRequest(ctx, caller, id)
	if err != nil {
		return r, err
	}
	if err := is.mayHandle(ctx, caller, r, is.needFor(ctx, caller, domain.PermRequest, "request", r.PersonID)); err != nil {
		return r, err
	}
	return is.decide(ctx, caller, r, store.Act{Kind: domain.ActResend})
}

// reviewable loads a request for an approver (C3, B13).
func (is *Issuer) reviewable(ctx context.Context, caller domain.Caller, id string) (domain.Request, error) {
	if err := caller.Need(domain.PermApprove); err != nil {
		return domain.Request{}, err
	}
	r, err := is.Store.Request(ctx, id)
	if err != nil {
		return r, found(err, "request")
	}
	if err := is.needFor(ctx, caller, domain.PermApprove, "request", r.PersonID); err != nil {
		return domain.Request{}, err
	}
	if r.RequestedBy == caller.AccountID || caller.Owns(r.PersonID) {
		return r, domain.Errorf(domain.CodeSelfApproval, "a request is decided by somebody who neither made it nor receives the document")
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return r, err
	}
	return r, profile.Options.CheckValidator(caller.Roles)
}

// decide records the act, has the workflow carry it out and gives the request as it is then.
func (is *Issuer) decide(ctx context.Context, caller domain.Caller, r domain.Request, act store.Act) (domain.Request, error) {
	var problems domain.Problems
	checkNote(&problems, "reason", act.Reason, maxNote)
	if err := problems.Err(domain.CodeInvalid, "the input breaks a rule"); err != nil {
		return r, err
	}
	if err := allowedSoon(act.Kind, r); err != nil {
		return r, err
	}
	act.AccountID = caller.AccountID
	if _, err := is.act(ctx, r, act); err != nil {
		return r, err
	}
	out, err := is.Store.Request(ctx, r.ID)
	return out, found(err, "request")
}

// act records an act on a request and has the workflow carry it out. A request without a running workflow gets one: SQL is the truth, the workflow
// picks up from there.
func (is *Issuer) act(ctx context.Context, r domain.Request, act store.Act) (messages.Snapshot, error) {
	act.ID, act.RequestID, act.CreatedAt = newID(), r.ID, is.Now()
	if err := is.Store.InsertAct(ctx, act); err != nil {
		return messages.Snapshot{}, fmt.Errorf("record act: %w", err)
	}
	failpoint.Hit("act.recorded")
	ref := messages.ActRef{RequestID: r.ID, ActID: act.ID}
	snap, err := is.Engine.Act(ctx, act.Kind, ref)
	if errors.Is(err, engine.ErrNoWorkflow) {
		if err := is.Engine.StartIssuance(ctx, r.ID); err != nil {
			return messages.Snapshot{}, err
		}
		snap, err = is.Engine.Act(ctx, act.Kind, ref)
	}
	failpoint.Hit("act.answered")
	if errors.Is(err, engine.ErrNoWorkflow) { // it has ended in between
		err = domain.Errorf(domain.CodeEngineUnavailable, "the workflow of the request ended meanwhile; try again")
	}
	if c := domain.CodeOf(err); c == domain.CodeWrongState || c == domain.CodeEngineUnavailable {
		// The answer may have got lost on its way, and a repetition finds the act done.
		if recorded, loadErr := is.Store.Act(ctx, act.ID); loadErr == nil && recorded.Applied {
			return is.reload(ctx, r.ID)
		}
		// The workflow only knows the state, or nothing any more; SQL knows who decided.
		if now, loadErr := is.Store.Request(ctx, r.ID); loadErr == nil {
			if better := allowed(act.Kind, now); better != nil {
				err = better
			}
		}
	}
	return snap, err
}

// allowedSoon lets every act on a request pass that was just accepted: the workflow lets it wait until it has begun.
func allowedSoon(kind domain.ActKind, r domain.Request) error {
	if r.State == domain.RequestReceived {
		return nil
	}
	return allowed(kind, r)
}

// allowed refuses an act that the request's state does not allow; after a decision it names the first one.
func allowed(kind domain.ActKind, r domain.Request) error {
	if kind.AllowedIn(r.State) {
		return nil
	}
	deciding := kind == domain.ActApprove || kind == domain.ActReject
	if deciding && r.DecidedBy != "" {
		decision := "approved"
		if r.State == domain.RequestRejected {
			decision = "rejected"
		}
		return domain.Errorf(domain.CodeAlreadyDecided, "somebody decided on this request before").
			With("decision", decision).With("decided_by", r.DecidedBy).With("decided_at", r.DecidedAt.UTC().Format(time.RFC3339)).
			With("state", string(r.State))
	}
	return domain.Errorf(domain.CodeWrongState, "the request is %s, which does not allow to %s it", r.State, kind).With("state", string(r.State))
}

// Begin moves a received request on its way and tells the workflow where it stands. A request whose document could never be collected fails, before
// anybody is asked or told. It may be called at any time in a request's life.
func (is *Issuer) Begin(ctx context.Context, requestID string) (messages.Snapshot, error) {
	r, err := is.Store.Request(ctx, requestID)
	if err != nil {
		return messages.Snapshot{}, found(err, "request")
	}
	if r.State != domain.RequestReceived {
		return is.snapshot(ctx, r)
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return messages.Snapshot{}, err
	}
	code, err := is.prevented(ctx, r, profile)
	if err != nil {
		return messages.Snapshot{}, err
	}
	if code != "" {
		if err := is.failRequest(ctx, r, domain.System(), code); err != nil {
			return messages.Snapshot{}, err
		}
		return is.reload(ctx, requestID)
	}
	err = is.moveRequest(ctx, r, domain.System(), "request.begin", "", func(tx *store.Tx, next *domain.Request, s domain.Settings) error {
		if profile.Options.ValidateIssuance {
			next.State = domain.RequestAwaitingApproval
			next.ApprovalDeadline = is.Now().Add(time.Duration(s.ApprovalDeadline))
			return nil
		}
		return is.openCollection(ctx, tx, next, profile, s)
	})
	if err != nil {
		return messages.Snapshot{}, err
	}
	failpoint.Hit("begin.committed")
	return is.reload(ctx, requestID)
}

// Apply carries out a recorded act other than collection, once.
func (is *Issuer) Apply(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	act, err := is.Store.Act(ctx, ref.ActID)
	if err != nil {
		return messages.Snapshot{}, found(err, "act")
	}
	r, err := is.Store.Request(ctx, act.RequestID)
	if err != nil {
		return messages.Snapshot{}, found(err, "request")
	}
	if act.Applied {
		return is.snapshot(ctx, r)
	}
	if err := allowed(act.Kind, r); err != nil {
		return messages.Snapshot{}, err
	}
	profileID := r.ProfileID
	if act.Params.ProfileID != "" {
		profileID = act.Params.ProfileID
	}
	profile, err := is.loadProfile(ctx, profileID)
	if err != nil {
		return messages.Snapshot{}, err
	}
	if act.Kind == domain.ActApprove {
		if err := is.approvable(ctx, r, act.Params); err != nil {
			return messages.Snapshot{}, err
		}
	}
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		if profileID != r.ProfileID {
			moved := domain.Request{ID: r.ID, PersonID: r.PersonID, BlockGroup: profile.BlockGroup(),
				Blocking: profile.Options.BlockMultipleRequests}
			if err := holdBlock(ctx, tx, moved); err != nil {
				return err
			}
		}
		return is.moveRequestIn(ctx, tx, r, domain.Caller{AccountID: act.AccountID}, "request."+string(act.Kind), act.Reason,
			func(tx *store.Tx, next *domain.Request, s domain.Settings) error {
				if err := tx.MarkActApplied(ctx, act.ID); err != nil {
					return err
				}
				return is.applyAct(ctx, tx, next, act, profile, s)
			})
	})
	if err != nil {
		return messages.Snapshot{}, err
	}
	failpoint.Hit("apply.committed")
	return is.reload(ctx, r.ID)
}

// approvable looks at the rules of an approval once more when it takes effect. That the approver may decide was settled when the act was recorded.
func (is *Issuer) approvable(ctx context.Context, r domain.Request, a store.ActParams) error {
	f, err := is.approvalFacts(ctx, r, a)
	if err != nil {
		return err
	}
	f.ActorRoles = f.Profile.Options.CanValidate
	return f.Judge().Err()
}

// applyAct changes the request as the act says. profile is the one that the request is of from then on.
func (is *Issuer) applyAct(ctx context.Context, tx *store.Tx, next *domain.Request, act store.Act, profile domain.Profile, s domain.Settings) error {
	switch act.Kind {
	case domain.ActApprove:
		if next.ProfileID != profile.ID {
			next.ProfileID, next.BlockGroup, next.Blocking = profile.ID, profile.BlockGroup(), profile.Options.BlockMultipleRequests
		}
		if act.Params.ExpiryDate != "" {
			next.ExpiryDate = act.Params.ExpiryDate
		}
		next.DecidedBy, next.DecidedAt, next.DecisionReason = act.AccountID, is.Now(), act.Reason
		return is.openCollection(ctx, tx, next, profile, s)
	case domain.ActReject:
		next.State = domain.RequestRejected
		next.DecidedBy, next.DecidedAt, next.DecisionReason = act.AccountID, is.Now(), act.Reason
		return nil
	case domain.ActCancel:
		next.State, next.FailureCode = domain.RequestCanceled, ""
		return is.abandon(ctx, tx, next.ID)
	case domain.ActResend:
		return is.openCollection(ctx, tx, next, profile, s)
	case domain.ActCollect:
		return domain.Errorf(domain.CodeInvalid, "a collection is signed, not applied")
	}
	return domain.Errorf(domain.CodeInvalid, "unknown act")
}

// Expire ends a request whose deadline has passed; before that, it only tells where the request stands. One whose last collection was refused has
// failed (C4): the holder came in time.
func (is *Issuer) Expire(ctx context.Context, requestID string) (messages.Snapshot, error) {
	r, err := is.Store.Request(ctx, requestID)
	if err != nil {
		return messages.Snapshot{}, found(err, "request")
	}
	if end := deadline(r); !r.State.Open() || end.IsZero() || is.Now().Before(end) {
		return is.snapshot(ctx, r)
	}
	if r.FailureCode != "" {
		err = is.failRequest(ctx, r, domain.System(), r.FailureCode)
		if err != nil {
			return messages.Snapshot{}, err
		}
		return is.reload(ctx, requestID)
	}
	err = is.moveRequest(ctx, r, domain.System(), "request.expire", "", func(tx *store.Tx, next *domain.Request, _ domain.Settings) error {
		next.State = domain.RequestExpired
		return is.abandon(ctx, tx, next.ID)
	})
	if err != nil {
		return messages.Snapshot{}, err
	}
	return is.reload(ctx, requestID)
}

// failRequest ends a request that cannot lead to a document.
func (is *Issuer) failRequest(ctx context.Context, r domain.Request, caller domain.Caller, code domain.Code) error {
	return is.moveRequest(ctx, r, caller, "request.fail", "", func(tx *store.Tx, next *domain.Request, _ domain.Settings) error {
		next.State, next.FailureCode = domain.RequestFailed, code
		return is.abandon(ctx, tx, next.ID)
	})
}

// refuseCollection keeps with the request why the rules refused its collection, so that operators see it (C4), and gives where the request stands if
// that ended it, else the refusal. The audit has each code once for each generation.
func (is *Issuer) refuseCollection(ctx context.Context, r domain.Request, refused *domain.Error) (messages.Snapshot, error) {
	if refused.Code.EndsCollection() {
		err := is.failRequest(ctx, r, wallet(), refused.Code)
		if err == nil {
			return is.reload(ctx, r.ID)
		}
		if !errors.Is(err, store.ErrChanged) { // else somebody else has moved it meanwhile
			return messages.Snapshot{}, err
		}
		return messages.Snapshot{}, refused
	}
	if r.FailureCode == refused.Code {
		return messages.Snapshot{}, refused
	}
	const action = "request.refused"
	generation := domain.Change{After: strconv.Itoa(r.Generation)}
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		next, err := tx.HoldRequest(ctx, r.ID, r.State, r.Generation)
		if err != nil {
			return fmt.Errorf("hold request: %w", err)
		}
		if next.FailureCode == refused.Code {
			return nil
		}
		e := is.transition(wallet(), action, next, r.State)
		e.Reason, e.Notes = string(refused.Code), cut(refused.Error(), maxNote)
		e.Changes = map[string]domain.Change{"failure_code": {Before: string(next.FailureCode), After: string(refused.Code)}, "generation": generation}
		next.FailureCode, next.UpdatedAt = refused.Code, is.Now()
		if err := tx.MoveRequest(ctx, next, r.State, r.Generation); err != nil {
			return fmt.Errorf("note refusal: %w", err)
		}
		const most = 1000
		told, err := tx.Audit(ctx, store.AuditFilter{RequestID: r.ID, Action: action}, 0, most)
		if err != nil {
			return fmt.Errorf("load timeline: %w", err)
		}
		if slices.ContainsFunc(told, func(old domain.AuditEntry) bool {
			return old.Reason == e.Reason && old.Changes["generation"] == generation
		}) {
			return nil
		}
		return tx.AppendAudit(ctx, e)
	})
	if err != nil && !errors.Is(err, store.ErrChanged) {
		return messages.Snapshot{}, err
	}
	return messages.Snapshot{}, refused
}

// cut shortens a text to so many characters.
func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most])
	}
	return text
}

// moveRequest changes a request in one transaction with its audit entry. If its state or generation changed since seen was read, it is an error
// that is worth a retry (store.ErrChanged); everything else is taken as it is now.
func (is *Issuer) moveRequest(ctx context.Context, seen domain.Request, caller domain.Caller, action, reason string,
	change func(tx *store.Tx, next *domain.Request, s domain.Settings) error) error {
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		return is.moveRequestIn(ctx, tx, seen, caller, action, reason, change)
	})
}

// moveRequestIn is moveRequest in a transaction that does more.
func (is *Issuer) moveRequestIn(ctx context.Context, tx *store.Tx, seen domain.Request, caller domain.Caller, action, reason string,
	change func(tx *store.Tx, next *domain.Request, s domain.Settings) error) error {
	s, err := loadSettings(ctx, tx.Queries)
	if err != nil {
		return err
	}
	r, err := tx.HoldRequest(ctx, seen.ID, seen.State, seen.Generation)
	if err != nil {
		return fmt.Errorf("hold request: %w", err)
	}
	next := r
	next.UpdatedAt = is.Now()
	if err := change(tx, &next, s); err != nil {
		return err
	}
	if next.State != r.State && !r.State.Can(next.State) {
		return domain.Errorf(domain.CodeWrongState, "a request cannot go from %s to %s", r.State, next.State)
	}
	err = tx.MoveRequest(ctx, next, r.State, r.Generation)
	if errors.Is(err, store.ErrExists) {
		return domain.RequestOpen()
	}
	if err != nil {
		return fmt.Errorf("move request: %w", err)
	}
	if r.State.Open() && !next.State.Open() {
		if err := is.queueEnd(ctx, tx, next); err != nil {
			return err
		}
	}
	e := is.transition(caller, action, next, r.State)
	e.Reason = reason
	for name, c := range map[string]domain.Change{
		"profile_id":   {Before: r.ProfileID, After: next.ProfileID},
		"failure_code": {Before: string(r.FailureCode), After: string(next.FailureCode)},
	} {
		if c.Before != c.After {
			if e.Changes == nil {
				e.Changes = map[string]domain.Change{}
			}
			e.Changes[name] = c
		}
	}
	return tx.AppendAudit(ctx, e)
}

// openCollection raises the generation, which makes a new link and code and ends the old ones, makes the profile's logon code, and queues the
// messages.
func (is *Issuer) openCollection(ctx context.Context, tx *store.Tx, r *domain.Request, profile domain.Profile, s domain.Settings) error {
	complexity, err := domain.ParseCodeComplexity(s.AuthenticationCodeComplexity)
	if err != nil {
		return fmt.Errorf("read setting: %w", err)
	}
	now := is.Now()
	r.State, r.CodeDigits = domain.RequestAwaitingCollection, complexity.Max
	r.Generation++
	r.Attempts, r.Redeemed, r.FailureCode = 0, false, ""
	r.CollectionDeadline = now.Add(time.Duration(s.CollectionDeadline))
	r.CodeExpiresAt = r.CollectionDeadline
	if life := time.Duration(s.AuthenticationCodeLifetime); life != 0 && now.Add(life).Before(r.CodeExpiresAt) {
		r.CodeExpiresAt = now.Add(life)
	}
	if err := tx.ReplaceMessages(ctx, r.ID, now); err != nil {
		return fmt.Errorf("replace messages: %w", err)
	}
	if r.Kind() == domain.RequestUpdate {
		return is.openUpdate(ctx, tx, r, profile)
	}
	if err := is.renewLogonCode(ctx, tx, r.PersonID, profile.Options.LogonCode, s); err != nil {
		return err
	}
	return is.queueDeliveries(ctx, tx, *r, profile.Options.Deliveries())
}

// queueDeliveries queues the messages of a request's generation, for its workflow to send.
func (is *Issuer) queueDeliveries(ctx context.Context, tx *store.Tx, r domain.Request, deliveries []domain.Delivery) error {
	now := is.Now()
	for _, d := range deliveries {
		err := tx.InsertMessage(ctx, store.Message{ID: newID(), RequestID: store.OptionalID(r.ID), PersonID: r.PersonID, Generation: r.Generation,
			Channel: d.Channel, Kind: d.Kind, State: store.MessagePending, CreatedAt: store.At(now), UpdatedAt: store.At(now)})
		if err != nil {
			return fmt.Errorf("queue message: %w", err)
		}
	}
	return nil
}

// abandon gives up what an ended request leaves behind: unsent messages, and a document that was prepared but never signed, whose status
// indices become invalid so that none is ever live without a document.
func (is *Issuer) abandon(ctx context.Context, tx *store.Tx, requestID string) error {
	if err := tx.ReplaceMessages(ctx, requestID, is.Now()); err != nil {
		return fmt.Errorf("drop messages: %w", err)
	}
	d, err := tx.DocumentOfRequest(ctx, requestID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load document: %w", err)
	}
	if err := tx.MoveDocument(ctx, d.ID, domain.DocumentPrepared, domain.DocumentCanceled, "", is.Now()); err != nil {
		return fmt.Errorf("give up prepared document: %w", err)
	}
	return tx.SetStatus(ctx, d.ID, uint8(statuslist.Invalid))
}

// deadline gives the deadline of the present state.
func deadline(r domain.Request) time.Time {
	switch r.State {
	case domain.RequestAwaitingApproval:
		return r.ApprovalDeadline
	case domain.RequestAwaitingCollection, domain.RequestLocked:
		return r.CollectionDeadline
	case domain.RequestReceived, domain.RequestIssued, domain.RequestRejected, domain.RequestCanceled, domain.RequestExpired,
		domain.RequestFailed:
	}
	return time.Time{}
}

func (is *Issuer) reload(ctx context.Context, requestID string) (messages.Snapshot, error) {
	r, err := is.Store.Request(ctx, requestID)
	if err != nil {
		return messages.Snapshot{}, fmt.Errorf("load request: %w", err)
	}
	return is.snapshot(ctx, r)
}

// snapshot is what the workflow needs to know.
func (is *Issuer) snapshot(ctx context.Context, r domain.Request) (messages.Snapshot, error) {
	snap := messages.Snapshot{State: r.State, Generation: r.Generation, Deadline: deadline(r)}
	switch r.State {
	case domain.RequestAwaitingApproval:
		s, err := loadSettings(ctx, is.Store.Queries)
		if err != nil {
			return snap, err
		}
		snap.ReminderEvery = time.Duration(s.ApprovalReminder)
	case domain.RequestAwaitingCollection:
		pending, err := is.Store.PendingMessages(ctx, r.ID, r.Generation)
		if err != nil {
			return snap, fmt.Errorf("load messages: %w", err)
		}
		snap.Unsent = len(pending) > 0
	case domain.RequestReceived, domain.RequestIssued, domain.RequestRejected, domain.RequestCanceled, domain.RequestExpired,
		domain.RequestFailed, domain.RequestLocked:
	}
	return snap, nil
}

func asDomain(err error) (*domain.Error, bool) {
	var e *domain.Error
	ok := errors.As(err, &e)
	return e, ok
}
