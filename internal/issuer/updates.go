package issuer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/failpoint"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/workflows/messages"
)

// An update makes a document anew with the latest version of its profile and format and the latest data of its holder (F3). It is a request like any
// other, but for its end: there is neither link nor code, the wallet that has the document asks for the new version with its refresh token, and when that
// is stored it takes the old one's place in the same transaction. Until then the document stays as it is. An update that is open when its document comes
// to an end is canceled with it.
//
// Every transaction that holds both takes the document before its update, as before its cancellation, so that no two wait for each other.

// NewUpdate is a wish for an update.
type NewUpdate struct {
	DocumentID string `json:"document_id"`
	ProfileID  string `json:"profile_id,omitempty"` // the document's own, if given
	Reason     string `json:"reason"`               // domain.ReasonReprovision
	Notes      string `json:"notes,omitempty"`
}

// UpdateDocument asks for a newer version of a document. Like every request, an update that was accepted is never lost.
func (is *Issuer) UpdateDocument(ctx context.Context, caller domain.Caller, key string, in NewUpdate) (domain.Request, error) {
	if err := caller.Need(domain.PermUpdate); err != nil {
		return domain.Request{}, err
	}
	if err := checkUpdate(in); err != nil {
		return domain.Request{}, err
	}
	d, err := is.Store.Document(ctx, in.DocumentID)
	if err != nil {
		return domain.Request{}, found(err, "document")
	}
	if d.State == domain.DocumentPrepared {
		return domain.Request{}, domain.NotFound("document")
	}
	if err := is.needFor(ctx, caller, domain.PermUpdate, "document", d.PersonID); err != nil {
		return domain.Request{}, err
	}
	if in.ProfileID != "" && in.ProfileID != d.ProfileID {
		return domain.Request{}, otherProfile()
	}
	const act = "request.update"
	id, replayed, err := is.replay(ctx, caller, act, key, in)
	if err != nil {
		return domain.Request{}, err
	}
	if !replayed {
		if id, err = is.acceptUpdate(ctx, caller, act, key, d, in); err != nil {
			return domain.Request{}, err
		}
		failpoint.Hit("update.committed")
	}
	if err := is.Engine.StartIssuance(ctx, id); err != nil {
		is.Log.WarnContext(ctx, "update accepted, workflow not started yet", "request_id", id, "code", string(domain.CodeOf(err)))
	}
	failpoint.Hit("update.started")
	r, err := is.Store.Request(ctx, id)
	return r, found(err, "request")
}

func checkUpdate(in NewUpdate) error {
	var problems domain.Problems
	if in.Reason != domain.ReasonReprovision {
		problems.Add("reason", "must be %s", domain.ReasonReprovision)
	}
	checkNote(&problems, "notes", in.Notes, 2*maxNote)
	return problems.Err(domain.CodeInvalid, "the input breaks a rule")
}

func otherProfile() error {
	return invalid("profile_id", "must be that of the document: an update does not change it")
}

// acceptUpdate stores an update that the rules allow and gives its id.
func (is *Issuer) acceptUpdate(ctx context.Context, caller domain.Caller, act, key string, d domain.Document, in NewUpdate) (string, error) {
	r, err := is.prepareUpdate(ctx, caller, d)
	if err != nil {
		// A call with the same key may just have been accepted, and its update be the one in the way.
		if id, replayed, replayErr := is.replay(ctx, caller, act, key, in); replayErr == nil && replayed {
			return id, nil
		}
		return "", err
	}
	id, _, err := is.create(ctx, caller, act, key, in, r.ID, func(tx *store.Tx) error {
		e, err := is.insertUpdate(ctx, tx, caller, r, in.Notes)
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, e)
	})
	if errors.Is(err, store.ErrChanged) {
		err = domain.Errorf(domain.CodeConflict, "the document was changed meanwhile; read it again")
	}
	return id, err
}

// prepareUpdate holds an update of the document to the rules and gives it as it is to be stored. A last day of validity that was given for the document
// holds for its next version too.
func (is *Issuer) prepareUpdate(ctx context.Context, caller domain.Caller, d domain.Document) (domain.Request, error) {
	return theOne(is.prepareUpdates(ctx, caller, d))
}

// prepareUpdates is prepareUpdate for many documents, in the same order.
func (is *Issuer) prepareUpdates(ctx context.Context, caller domain.Caller, docs ...domain.Document) ([]prepared, error) {
	waits, err := is.openWishesOf(ctx, is.Store.Queries, docs...)
	if err != nil {
		return nil, err
	}
	origins, err := is.Store.RequestsByID(ctx, distinct(docs, func(d domain.Document) string { return d.RequestID })...)
	if err != nil {
		return nil, fmt.Errorf("load requests: %w", err)
	}
	out := make([]prepared, len(docs))
	var wishes []NewRequest
	var places []int // of the wishes among the documents
	for i, d := range docs {
		if out[i].err = updateAllowed(is.asOfNow(d), waits[d.ID]); out[i].err == nil {
			places = append(places, i)
			wishes = append(wishes, NewRequest{PersonID: d.PersonID, ProfileID: d.ProfileID, ExpiryDate: origins[d.RequestID].ExpiryDate,
				replaces: d.ID})
		}
	}
	judged, err := is.prepareRequests(ctx, caller, wishes...)
	for i, p := range judged {
		out[places[i]] = p
	}
	return out, err
}

// insertUpdate is the part in the transaction of an update that the rules allow; it gives the entry for the audit. store.ErrChanged when the document is
// not active any more.
func (is *Issuer) insertUpdate(ctx context.Context, tx *store.Tx, caller domain.Caller, r domain.Request, notes string) (domain.AuditEntry, error) {
	entries, err := is.insertUpdates(ctx, tx, caller, notes, r)
	if err != nil {
		return domain.AuditEntry{}, err
	}
	return entries[0], nil
}

// insertUpdates is insertUpdate for many at once; one that is refused refuses all.
func (is *Issuer) insertUpdates(ctx context.Context, tx *store.Tx, caller domain.Caller, notes string, all ...domain.Request) ([]domain.AuditEntry, error) {
	if err := tx.HoldPeople(ctx, distinct(all, func(r domain.Request) string { return r.PersonID })...); err != nil {
		return nil, fmt.Errorf("hold people: %w", err)
	}
	held, err := tx.HoldDocuments(ctx, domain.DocumentActive, distinct(all, func(r domain.Request) string { return r.Replaces })...)
	if err != nil {
		return nil, fmt.Errorf("hold documents: %w", err)
	}
	waits, err := is.openWishesOf(ctx, tx.Queries, slices.Collect(maps.Values(held))...)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if err := updateAllowed(is.asOfNow(held[r.Replaces]), waits[r.Replaces]); err != nil {
			return nil, err
		}
	}
	entries, err := is.insertRequests(ctx, tx, caller, all...)
	if err != nil {
		return nil, err
	}
	for i, r := range all {
		e := &entries[i]
		e.Action, e.DocumentID, e.Reason, e.Notes = "request.update", r.Replaces, domain.ReasonReprovision, notes
	}
	return entries, nil
}

// holdActive locks a document to the end of the transaction; store.ErrChanged unless it is active.
func holdActive(ctx context.Context, tx *store.Tx, id string) (domain.Document, error) {
	if err := tx.HoldDocument(ctx, id, domain.DocumentActive); err != nil {
		return domain.Document{}, fmt.Errorf("hold document: %w", err)
	}
	d, err := tx.Document(ctx, id)
	if err != nil {
		return d, fmt.Errorf("load document: %w", err)
	}
	return d, nil
}

// wishes are what waits to be done with a document.
type wishes struct {
	cancellationID string          // of the open cancellation, if any
	update         *domain.Request // the open update, if any
}

// openWishes gives what waits to be done with one document.
func (is *Issuer) openWishes(ctx context.Context, q store.Queries, d domain.Document) (wishes, error) {
	waits, err := is.openWishesOf(ctx, q, d)
	return waits[d.ID], err
}

// openWishesOf gives what waits to be done with the documents, by document.
func (is *Issuer) openWishesOf(ctx context.Context, q store.Queries, docs ...domain.Document) (map[string]wishes, error) {
	ids := distinct(docs, func(d domain.Document) string { return d.ID })
	cancellations, err := q.OpenCancellations(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("load open cancellations: %w", err)
	}
	updates, err := q.OpenUpdates(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("load open updates: %w", err)
	}
	out := make(map[string]wishes, len(docs))
	for _, c := range cancellations {
		out[c.DocumentID] = wishes{cancellationID: c.ID}
	}
	for i, u := range updates {
		out[u.Replaces] = wishes{cancellationID: out[u.Replaces].cancellationID, update: &updates[i]}
	}
	return out, nil
}

// updateAllowed holds the rules of asking for an update beside permission, scope and profile: an active document, and no other wish in the way (F3, F5).
func updateAllowed(d domain.Document, waits wishes) error {
	if _, ok := domain.DocumentUpdate.Target(d.State); !ok {
		return domain.Errorf(domain.CodeWrongState, "the document is %s, which does not allow to update it", d.State).With("state", string(d.State))
	}
	switch {
	case waits.cancellationID != "":
		return domain.Errorf(domain.CodeConflict, "somebody asked for the cancellation of the document, and it is not decided yet").
			With("cancellation_id", waits.cancellationID)
	case waits.update != nil:
		return domain.Errorf(domain.CodeConflict, "an update of the document is under way").With("request_id", waits.update.ID)
	}
	return nil
}

// openUpdate lets the update be collected by the wallet that has the document, no longer than that lives, and queues the message that says so.
func (is *Issuer) openUpdate(ctx context.Context, tx *store.Tx, r *domain.Request, profile domain.Profile) error {
	d, err := tx.Document(ctx, r.Replaces)
	if err != nil {
		return fmt.Errorf("load document: %w", err)
	}
	r.CollectionDeadline = earlierOf(r.CollectionDeadline, d.ValidUntil)
	r.CodeDigits, r.CodeExpiresAt = 0, r.CollectionDeadline
	return is.queueDeliveries(ctx, tx, *r, profile.Options.UpdateDeliveries())
}

// mayHandle says whether the caller may cancel or re-send a request: an update is for those who may update, beside those who may request, to whom otherwise
// is the answer.
func (is *Issuer) mayHandle(ctx context.Context, caller domain.Caller, r domain.Request, otherwise error) error {
	if otherwise == nil || r.Kind() != domain.RequestUpdate || !caller.Has(domain.PermUpdate) {
		return otherwise
	}
	return is.needFor(ctx, caller, domain.PermUpdate, "request", r.PersonID)
}

// noCode refuses link and code of an update: it has neither.
func noCode(r domain.Request) error {
	if r.Kind() != domain.RequestUpdate {
		return nil
	}
	return domain.Errorf(domain.CodeWrongState, "an update has neither link nor code: the wallet that has the document asks for it").
		With("state", string(r.State))
}

// checkReplaced refuses to collect an update while its document is not active, or somebody wants it canceled: a new version must not outrun that.
func (is *Issuer) checkReplaced(ctx context.Context, q store.Queries, r domain.Request) error {
	if r.Kind() != domain.RequestUpdate {
		return nil
	}
	d, err := q.Document(ctx, r.Replaces)
	if err != nil {
		return fmt.Errorf("load document: %w", err)
	}
	state := is.documentState(d)
	if state != domain.DocumentActive {
		return domain.Errorf(domain.CodeWrongState, "the document to be updated is %s", state).With("state", string(state))
	}
	waits, err := is.openWishes(ctx, q, d)
	if err == nil && waits.cancellationID != "" {
		err = domain.Errorf(domain.CodeWrongState, "somebody asked for the cancellation of the document to be updated, and it is not decided yet").
			With("state", string(state)).With("cancellation_id", waits.cancellationID)
	}
	return err
}

// holdReplaced locks the document of an update, which must be active and nobody want canceled, before its new version is stored.
func (is *Issuer) holdReplaced(ctx context.Context, tx *store.Tx, r domain.Request) error {
	if r.Kind() != domain.RequestUpdate {
		return nil
	}
	if _, err := holdActive(ctx, tx, r.Replaces); err != nil {
		return err
	}
	return is.checkReplaced(ctx, tx.Queries, r)
}

// refuseUpdate keeps with the update why it was not collected. It may be tried again, unless its document has come to an end: then the update fails.
func (is *Issuer) refuseUpdate(ctx context.Context, r domain.Request, refused *domain.Error) (messages.Snapshot, error) {
	if !domain.ActCollect.AllowedIn(r.State) {
		return messages.Snapshot{}, refused
	}
	if domain.DocumentState(refused.Details["state"]).Live() {
		return is.refuseCollection(ctx, r, refused)
	}
	err := is.failRequest(ctx, r, wallet(), refused.Code)
	switch {
	case errors.Is(err, store.ErrChanged): // somebody else has ended it
		return messages.Snapshot{}, refused
	case err != nil:
		return messages.Snapshot{}, err
	}
	return is.reload(ctx, r.ID)
}

// replace lets the new version of a document take its place.
func (is *Issuer) replace(ctx context.Context, tx *store.Tx, w work) ([]domain.AuditEntry, error) {
	old, err := tx.Document(ctx, w.request.Replaces)
	if err != nil {
		return nil, fmt.Errorf("load document: %w", err)
	}
	ended, err := is.moveDocument(ctx, tx, old, domain.DocumentSuperseded, "")
	if err != nil {
		return nil, err
	}
	e := is.documentEntry(wallet(), "document.supersede", old, domain.DocumentSuperseded)
	e.Notes = "replaced by " + w.document.ID
	return append([]domain.AuditEntry{e}, ended...), nil
}

// endUpdatesOf ends the open update of a document that comes to its end, and gives the entries for the audit. Its workflow finds out when somebody acts
// on it, or at the deadline.
func (is *Issuer) endUpdatesOf(ctx context.Context, tx *store.Tx, d domain.Document, to domain.DocumentState) ([]domain.AuditEntry, error) {
	r, err := tx.HoldOpenUpdate(ctx, d.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hold open update: %w", err)
	}
	next, action := r, "request.cancel"
	if next.State = domain.RequestCanceled; to == domain.DocumentExpired {
		next.State, action = domain.RequestExpired, "request.expire"
	}
	next.UpdatedAt = is.Now()
	if err := tx.MoveRequest(ctx, next, r.State, r.Generation); err != nil {
		return nil, fmt.Errorf("end update: %w", err)
	}
	if err := is.abandon(ctx, tx, r.ID); err != nil {
		return nil, err
	}
	e := is.transition(domain.System(), action, next, r.State)
	e.Notes = "the document is " + string(to)
	return []domain.AuditEntry{e}, nil
}
