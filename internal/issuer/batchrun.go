package issuer

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/workflows/messages"
)

const (
	chunkSize    = 100     // items of one transaction
	chunkStarts  = 8       // of one chunk, whose workflows are started side by side
	itemTries    = 5       // of an item that others change meanwhile
	channelBatch = "batch" // of the audit entries of documents
)

// BeginBatch lets a received batch run; in any other state it only reads.
func (is *Issuer) BeginBatch(ctx context.Context, id string) (messages.BatchSnapshot, error) {
	err := is.Store.BeginBatch(ctx, id, is.Now())
	if err != nil && !errors.Is(err, store.ErrChanged) {
		return messages.BatchSnapshot{}, fmt.Errorf("begin batch: %w", err)
	}
	b, err := is.Store.Batch(ctx, id)
	if err != nil {
		return messages.BatchSnapshot{}, found(err, "batch")
	}
	return messages.BatchSnapshot{State: b.State, Total: b.Total, Requests: b.Operation.MakesRequests()}, nil
}

// EndBatch ends a batch whose items are all done, once.
func (is *Issuer) EndBatch(ctx context.Context, id string) (messages.BatchResult, error) {
	b, err := is.Store.Batch(ctx, id)
	if err != nil {
		return messages.BatchResult{}, found(err, "batch")
	}
	if b.State != domain.BatchCompleted {
		err = is.Store.Tx(ctx, func(tx *store.Tx) error {
			if err := tx.CompleteBatch(ctx, id, is.Now()); err != nil {
				return fmt.Errorf("complete batch: %w", err)
			}
			if b, err = tx.Batch(ctx, id); err != nil {
				return fmt.Errorf("load batch: %w", err)
			}
			e := is.entry(domain.System(), "batch.end", id)
			e.Changes = map[string]domain.Change{"completed": {After: fmt.Sprint(b.Completed)}, "failed": {After: fmt.Sprint(b.Failed)}}
			return tx.AppendAudit(ctx, e)
		})
	}
	return messages.BatchResult{Total: b.Total, Completed: b.Completed, Failed: b.Failed}, err
}

// RunBatch carries out the items of a page that are not done, chunk by chunk, and tells progress after each how far all of them are done.
// It may be run again, and by several at once: an item is done once. An item that is refused is done too.
func (is *Issuer) RunBatch(ctx context.Context, page messages.BatchPage, progress func(next int) error) error {
	b, err := is.Store.Batch(ctx, page.BatchID)
	if err != nil {
		return found(err, "batch")
	}
	if err := is.Store.HandOut(ctx, b.ID, page.To, is.Now()); err != nil {
		return fmt.Errorf("hand out items: %w", err)
	}
	for next := page.From; ; {
		items, err := is.Store.PendingBatchItems(ctx, b.ID, next, page.To, chunkSize)
		if err != nil {
			return fmt.Errorf("load items: %w", err)
		}
		if len(items) == 0 {
			return nil
		}
		if err := is.runChunk(ctx, b, items); err != nil {
			return err
		}
		next = items[len(items)-1].N + 1
		if err := progress(next); err != nil {
			return err
		}
	}
}

// runChunk carries out items in one transaction or, where that fails because of one of them, each in one of its own.
func (is *Issuer) runChunk(ctx context.Context, b domain.Batch, items []domain.BatchItem) error {
	caller, err := is.batchCaller(ctx, b)
	if err != nil {
		return err
	}
	steps, err := is.judgeItems(ctx, b, caller, items)
	if err != nil {
		return err
	}
	err = is.applyItems(ctx, b, caller, steps)
	if !contested(err) {
		return err
	}
	for _, it := range items {
		if err := is.runItem(ctx, b, caller, it); err != nil {
			return err
		}
	}
	return nil
}

// contested says that a transaction failed because of what it is about, and not because of the database.
func contested(err error) bool {
	_, refused := final(err)
	return refused || errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrExists)
}

// final gives the refusal in err, if it is one for good: everything else is worth another try.
func final(err error) (*domain.Error, bool) {
	refused, ok := asDomain(err)
	if !ok || refused.Code == domain.CodeInternal || refused.Code == domain.CodeEngineUnavailable {
		return nil, false
	}
	return refused, true
}

// runItem carries out one item that others may be changing at the same time.
func (is *Issuer) runItem(ctx context.Context, b domain.Batch, caller domain.Caller, it domain.BatchItem) error {
	for try := 1; ; try++ {
		left, err := is.Store.PendingBatchItems(ctx, b.ID, it.N, it.N, 1)
		if err != nil {
			return fmt.Errorf("load item: %w", err)
		}
		if len(left) == 0 {
			return nil // somebody else was given the same page
		}
		steps, err := is.judgeItems(ctx, b, caller, left)
		if err != nil {
			return err
		}
		if try > itemTries {
			steps[0].refused = domain.Errorf(domain.CodeConflict, "others change it again and again; try it once more later")
		}
		err = is.applyItems(ctx, b, caller, steps)
		if refused, ok := final(err); ok {
			steps[0].refused = refused
			err = is.applyItems(ctx, b, caller, steps)
		}
		if try > itemTries || !contested(err) {
			return err
		}
	}
}

// batchCaller is who made the batch, with the rights of this moment: none, once the account is disabled.
func (is *Issuer) batchCaller(ctx context.Context, b domain.Batch) (domain.Caller, error) {
	caller, err := is.Store.Caller(ctx, b.CreatedBy)
	if errors.Is(err, store.ErrNotFound) {
		return domain.Caller{AccountID: b.CreatedBy}, nil
	}
	if err != nil {
		return domain.Caller{}, fmt.Errorf("load creator: %w", err)
	}
	caller.Machine = b.Machine
	return caller, nil
}

// StartRequests starts the workflows of the requests that the items of a page became, and tells progress after each chunk how far that is done. They
// are not waited for. It may be run again, and by several at once: a request that has begun is left alone, and a second start does no harm.
func (is *Issuer) StartRequests(ctx context.Context, page messages.BatchPage, progress func(next int) error) error {
	for next := page.From; ; {
		items, err := is.Store.RequestsOfBatch(ctx, page.BatchID, next, page.To, chunkSize)
		if err != nil {
			return fmt.Errorf("load requests: %w", err)
		}
		if len(items) == 0 {
			return nil
		}
		g, starting := errgroup.WithContext(ctx)
		g.SetLimit(chunkStarts)
		for _, it := range items {
			g.Go(func() error {
				if starting.Err() != nil {
					return starting.Err()
				}
				return is.Engine.StartIssuance(starting, it.RequestID)
			})
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("start request: %w", err)
		}
		next = items[len(items)-1].N + 1
		if err := progress(next); err != nil {
			return err
		}
	}
}

// step is an item with what is to be done: refused, or a change of the document, or the request to be stored.
type step struct {
	item     domain.BatchItem
	refused  *domain.Error
	document domain.Document
	request  domain.Request
}

// judgeItems holds items to the rules of the single act, all at once.
func (is *Issuer) judgeItems(ctx context.Context, b domain.Batch, caller domain.Caller, items []domain.BatchItem) ([]step, error) {
	steps := make([]step, len(items))
	people := make([]string, len(items))
	for i, it := range items {
		steps[i].item, people[i] = it, it.PersonID
	}
	permission := b.Operation.Permission()
	if refused, ok := final(caller.Need(permission)); ok {
		for i := range steps {
			steps[i].refused = refused
		}
		return steps, nil
	}
	reached, err := is.reached(ctx, caller.Within(permission), people...)
	if err != nil {
		return nil, err
	}
	act, documents := b.Operation.DocumentAct()
	for i := range steps {
		if s := &steps[i]; s.item.PersonID == "" || !reached[s.item.PersonID] {
			s.refused = domain.NotFound(subjectOf(b.Operation))
		}
	}
	if !documents {
		return steps, is.judgeRequests(ctx, b, caller, steps)
	}
	if err := is.findDocuments(ctx, steps); err != nil {
		return nil, err
	}
	if act == domain.DocumentUpdate {
		return steps, is.judgeUpdates(ctx, b, caller, steps)
	}
	return steps, is.judgeChanges(ctx, act, steps)
}

// findDocuments adds the documents to the steps.
func (is *Issuer) findDocuments(ctx context.Context, steps []step) error {
	ids := make([]string, len(steps))
	for i, s := range steps {
		ids[i] = s.item.SubjectID
	}
	docs, err := is.Store.DocumentsByID(ctx, ids...)
	if err != nil {
		return fmt.Errorf("load documents: %w", err)
	}
	for i := range steps {
		s := &steps[i]
		if s.document = docs[s.item.SubjectID]; s.refused == nil && (s.document.ID == "" || s.document.State == domain.DocumentPrepared) {
			s.refused = domain.NotFound("document")
		}
	}
	return nil
}

func (is *Issuer) judgeChanges(ctx context.Context, act domain.DocumentAct, steps []step) error {
	profiles := map[string]domain.Profile{}
	for _, s := range open(steps) {
		profile, ok := profiles[s.document.ProfileID]
		if !ok {
			var err error
			if profile, err = is.loadProfile(ctx, s.document.ProfileID); err != nil {
				return err
			}
			profiles[s.document.ProfileID] = profile
		}
		if err := s.settle(documentAllowed(is.asOfNow(s.document), profile, "", act)); err != nil {
			return err
		}
	}
	return nil
}

func (is *Issuer) judgeUpdates(ctx context.Context, b domain.Batch, caller domain.Caller, steps []step) error {
	for _, s := range open(steps) {
		if b.ProfileID != "" && b.ProfileID != s.document.ProfileID {
			s.refused, _ = final(otherProfile())
		}
	}
	left := open(steps)
	docs := make([]domain.Document, len(left))
	for i, s := range left {
		docs[i] = s.document
	}
	all, err := is.prepareUpdates(ctx, caller, docs...)
	return settleRequests(left, all, err)
}

func (is *Issuer) judgeRequests(ctx context.Context, b domain.Batch, caller domain.Caller, steps []step) error {
	left := open(steps)
	wishes := make([]NewRequest, len(left))
	for i, s := range left {
		wishes[i] = NewRequest{PersonID: s.item.PersonID, ProfileID: b.ProfileID, ExpiryDate: b.ExpiryDate}
	}
	all, err := is.prepareRequests(ctx, caller, wishes...)
	return settleRequests(left, all, err)
}

// open gives the steps that are not refused.
func open(steps []step) []*step {
	var out []*step
	for i := range steps {
		if steps[i].refused == nil {
			out = append(out, &steps[i])
		}
	}
	return out
}

// settle keeps a refusal with the step; any other error is one of all steps.
func (s *step) settle(err error) error {
	refused, ok := final(err)
	if ok {
		s.refused, err = refused, nil
	}
	return err
}

func settleRequests(steps []*step, all []prepared, err error) error {
	for i, p := range all {
		steps[i].request = p.request
		err = errors.Join(err, steps[i].settle(p.err))
	}
	return err
}

// applyItems does in one transaction what was found to be allowed, and notes what came of every item.
func (is *Issuer) applyItems(ctx context.Context, b domain.Batch, caller domain.Caller, steps []step) error {
	done := make([]domain.BatchItem, len(steps))
	failed := 0
	for i, s := range steps {
		done[i] = domain.BatchItem{N: s.item.N, RequestID: s.request.ID, State: domain.ItemCompleted}
		if s.refused != nil {
			done[i] = domain.BatchItem{N: s.item.N, State: domain.ItemFailed, Code: s.refused.Code, Message: s.refused.Error()}
			failed++
		}
	}
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		// First, so that of two who were given the same items the second one waits, and then finds them done.
		if err := tx.EndBatchItems(ctx, b.ID, done, is.Now()); err != nil {
			return fmt.Errorf("end items: %w", err)
		}
		entries, err := is.carryOut(ctx, tx, b, caller, open(steps))
		if err != nil {
			return err
		}
		if err := tx.CountBatchItems(ctx, b.ID, len(done)-failed, failed, is.Now()); err != nil {
			return fmt.Errorf("count items: %w", err)
		}
		if len(entries) == 0 {
			return nil
		}
		return tx.AppendAudit(ctx, entries...)
	})
}

// carryOut is the part in the transaction of the items that the rules allow; it gives the entries for the audit.
func (is *Issuer) carryOut(ctx context.Context, tx *store.Tx, b domain.Batch, caller domain.Caller, steps []*step) ([]domain.AuditEntry, error) {
	act, documents := b.Operation.DocumentAct()
	if documents && act != domain.DocumentUpdate {
		return is.changeDocuments(ctx, tx, b, caller, steps)
	}
	requests := make([]domain.Request, len(steps))
	for i, s := range steps {
		requests[i] = s.request
	}
	var entries []domain.AuditEntry
	var err error
	if documents {
		entries, err = is.insertUpdates(ctx, tx, caller, b.Notes, requests...)
	} else {
		entries, err = is.insertRequests(ctx, tx, caller, requests...)
	}
	for i := range entries {
		entries[i].Notes, entries[i].Changes["batch"] = b.Notes, domain.Change{After: b.ID}
	}
	return entries, err
}

// changeDocuments is carryOut of changes of documents.
func (is *Issuer) changeDocuments(ctx context.Context, tx *store.Tx, b domain.Batch, caller domain.Caller, steps []*step) (
	[]domain.AuditEntry, error) {
	act, _ := b.Operation.DocumentAct()
	change := documentChange{act: act, reason: b.Reason, notes: b.Notes, channel: channelBatch}
	var entries []domain.AuditEntry
	for _, s := range steps {
		own, err := is.changeDocument(ctx, tx, caller, s.document, change)
		if err != nil {
			return nil, err
		}
		own[0].Changes["batch"] = domain.Change{After: b.ID}
		entries = append(entries, own...)
	}
	return entries, nil
}
