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
	chunkReaders = 8       // of one chunk, that look at the rules or start workflows side by side
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
	return messages.BatchSnapshot{State: b.State, Total: b.Total}, nil
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
	if documents {
		return steps, is.judgeDocuments(ctx, act, steps, reached)
	}
	return steps, is.judgeRequests(ctx, b, caller, steps, reached)
}

func (is *Issuer) judgeDocuments(ctx context.Context, act domain.DocumentAct, steps []step, reached map[string]bool) error {
	ids := make([]string, len(steps))
	for i, s := range steps {
		ids[i] = s.item.SubjectID
	}
	docs, err := is.Store.DocumentsByID(ctx, ids...)
	if err != nil {
		return fmt.Errorf("load documents: %w", err)
	}
	profiles := map[string]domain.Profile{}
	for i := range steps {
		s := &steps[i]
		d, ok := docs[s.item.SubjectID]
		if !ok || s.item.PersonID == "" || !reached[s.item.PersonID] || d.State == domain.DocumentPrepared {
			s.refused = domain.NotFound("document")
			continue
		}
		profile, ok := profiles[d.ProfileID]
		if !ok {
			if profile, err = is.loadProfile(ctx, d.ProfileID); err != nil {
				return err
			}
			profiles[d.ProfileID] = profile
		}
		s.document = d
		if err := documentAllowed(is.asOfNow(d), profile, "", act); err != nil {
			if s.refused, ok = final(err); !ok {
				return err
			}
		}
	}
	return nil
}

func (is *Issuer) judgeRequests(ctx context.Context, b domain.Batch, caller domain.Caller, steps []step, reached map[string]bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(chunkReaders)
	for i := range steps {
		s := &steps[i]
		if s.item.PersonID == "" || !reached[s.item.PersonID] {
			s.refused = domain.NotFound("person")
			continue
		}
		g.Go(func() error {
			var err error
			s.request, err = is.prepareRequest(ctx, caller, NewRequest{PersonID: s.item.PersonID, ProfileID: b.ProfileID, ExpiryDate: b.ExpiryDate})
			if refused, ok := final(err); ok {
				s.refused, err = refused, nil
			}
			return err
		})
	}
	return g.Wait()
}

// applyItems does in one transaction what was found to be allowed, and notes what came of every item. Requests are started afterwards.
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
	act, documents := b.Operation.DocumentAct()
	change := documentChange{act: act, reason: b.Reason, notes: b.Notes, channel: channelBatch}
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		// First, so that of two who were given the same items the second one waits, and then finds them done.
		if err := tx.EndBatchItems(ctx, b.ID, done, is.Now()); err != nil {
			return fmt.Errorf("end items: %w", err)
		}
		var entries []domain.AuditEntry
		for _, s := range steps {
			if s.refused != nil {
				continue
			}
			if documents {
				own, err := is.changeDocument(ctx, tx, caller, s.document, change)
				if err != nil {
					return err
				}
				own[0].Changes["batch"] = domain.Change{After: b.ID}
				entries = append(entries, own...)
				continue
			}
			e, err := is.insertRequest(ctx, tx, caller, s.request)
			if err != nil {
				return err
			}
			e.Notes, e.Changes["batch"] = b.Notes, domain.Change{After: b.ID}
			entries = append(entries, e)
		}
		if err := tx.CountBatchItems(ctx, b.ID, len(done)-failed, failed, is.Now()); err != nil {
			return fmt.Errorf("count items: %w", err)
		}
		if len(entries) == 0 {
			return nil
		}
		return tx.AppendAudit(ctx, entries...)
	})
	if err != nil || documents {
		return err
	}
	is.startRequests(ctx, b, steps)
	return nil
}

// startRequests starts the workflows of new requests, until one cannot be started: the reconciler starts the rest. They are not waited for.
func (is *Issuer) startRequests(ctx context.Context, b domain.Batch, steps []step) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(chunkReaders)
	for _, s := range steps {
		if s.refused != nil {
			continue
		}
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return is.Engine.StartIssuance(ctx, s.request.ID)
		})
	}
	if err := g.Wait(); err != nil {
		is.Log.WarnContext(ctx, "requests of a batch accepted, some workflows not started yet", "batch_id", b.ID,
			"code", string(domain.CodeOf(err)))
	}
}
