package issuertest

import (
	"context"
	"errors"
	"sync"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/engine"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/workflows/messages"
)

// Engine carries acts out at once, as the workflow of a request or cancellation would: begin, apply or sign, then send what waits to be sent. What a
// workflow does with time (deadlines, reminders, further tries) a test does itself, by calling the issuer.
type Engine struct {
	issuer *issuer.Issuer

	mu      sync.Mutex
	down    bool
	running map[string]bool
	locked  []string
	lose    error // what the answers of acts are replaced with; nil = they come through
}

// LoseAnswers makes acts be carried out but answered with the error, or ends that with nil.
func (e *Engine) LoseAnswers(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lose = err
}

func (e *Engine) lost() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lose
}

// SetDown makes every call fail with CodeEngineUnavailable, or ends that.
func (e *Engine) SetDown(down bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.down = down
}

// Forget drops the workflow of a request or cancellation, so that acts on it find none.
func (e *Engine) Forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.running, id)
}

// Locked gives the requests that the issuer told of a lock.
func (e *Engine) Locked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.locked...)
}

// StartIssuance implements issuer.Engine.
func (e *Engine) StartIssuance(ctx context.Context, requestID string) error {
	running, err := e.start(requestID)
	if err != nil || running {
		return err
	}
	// A workflow starts by itself: its troubles do not reach the caller.
	_, _ = e.step(ctx, requestID, func() (messages.Snapshot, error) { return e.issuer.Begin(ctx, requestID) })
	return nil
}

// start notes that the workflow of the id runs, and says whether it did before.
func (e *Engine) start(id string) (running bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		return false, unavailable()
	}
	running = e.running[id]
	if e.running == nil {
		e.running = map[string]bool{}
	}
	e.running[id] = true
	return running, nil
}

// reach fails when no workflow of the id can be asked.
func (e *Engine) reach(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.down:
		return unavailable()
	case !e.running[id]:
		return engine.ErrNoWorkflow
	}
	return nil
}

// Act implements issuer.Engine.
func (e *Engine) Act(ctx context.Context, kind domain.ActKind, ref messages.ActRef) (messages.Snapshot, error) {
	if err := e.reach(ref.RequestID); err != nil {
		return messages.Snapshot{}, err
	}
	snap, err := e.step(ctx, ref.RequestID, func() (messages.Snapshot, error) {
		if kind == domain.ActCollect {
			return e.issuer.Sign(ctx, ref)
		}
		return e.issuer.Apply(ctx, ref)
	})
	if lost := e.lost(); lost != nil {
		return messages.Snapshot{}, lost
	}
	return snap, err
}

// StartCancellation implements issuer.Engine.
func (e *Engine) StartCancellation(ctx context.Context, cancellationID string) error {
	running, err := e.start(cancellationID)
	if err != nil || running {
		return err
	}
	// A workflow starts by itself: its troubles do not reach the caller.
	_, _ = untilRefused(func() (messages.CancellationSnapshot, error) { return e.issuer.BeginCancellation(ctx, cancellationID) })
	return nil
}

// ActOnCancellation implements issuer.Engine.
func (e *Engine) ActOnCancellation(ctx context.Context, _ domain.CancellationAct,
	ref messages.CancellationActRef) (messages.CancellationSnapshot, error) {
	if err := e.reach(ref.CancellationID); err != nil {
		return messages.CancellationSnapshot{}, err
	}
	snap, err := untilRefused(func() (messages.CancellationSnapshot, error) { return e.issuer.ApplyCancellation(ctx, ref) })
	if lost := e.lost(); lost != nil {
		return messages.CancellationSnapshot{}, lost
	}
	return snap, err
}

// StartBatch implements issuer.Engine.
func (e *Engine) StartBatch(ctx context.Context, batchID string) error {
	running, err := e.start(batchID)
	if err != nil || running {
		return err
	}
	// A workflow starts by itself: its troubles do not reach the caller.
	_ = e.RunBatch(ctx, batchID)
	return nil
}

// RunBatch takes a batch to its end, in pages of seven items. Requests that cannot be started are left to the reconciler.
func (e *Engine) RunBatch(ctx context.Context, batchID string) error {
	snap, err := e.issuer.BeginBatch(ctx, batchID)
	if err != nil {
		return err
	}
	if err := pages(ctx, batchID, snap.Total, e.issuer.RunBatch); err != nil {
		return err
	}
	if _, err := e.issuer.EndBatch(ctx, batchID); err != nil || !snap.Requests {
		return err
	}
	_ = pages(ctx, batchID, snap.Total, e.issuer.StartRequests)
	return nil
}

func pages(ctx context.Context, batchID string, total int, do func(context.Context, messages.BatchPage, func(int) error) error) error {
	const size = 7
	for from := 1; from <= total; from += size {
		page := messages.BatchPage{BatchID: batchID, From: from, To: min(from+size-1, total)}
		if err := do(ctx, page, func(int) error { return ctx.Err() }); err != nil {
			return err
		}
	}
	return nil
}

// Lock implements issuer.Engine.
func (e *Engine) Lock(_ context.Context, requestID string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		return unavailable()
	}
	e.locked = append(e.locked, requestID)
	return nil
}

// step runs an activity and sends what it left to be sent.
func (e *Engine) step(ctx context.Context, requestID string, activity func() (messages.Snapshot, error)) (messages.Snapshot, error) {
	snap, err := untilRefused(activity)
	if err == nil && snap.Unsent {
		// Delivery is never the caller's problem; what failed stays pending.
		_ = e.issuer.Notify(ctx, requestID, snap.Generation)
	}
	return snap, err
}

// untilRefused runs an activity, again when it met another one.
func untilRefused[T any](activity func() (T, error)) (result T, err error) {
	const tries = 5
	for range tries {
		var refused *domain.Error
		if result, err = activity(); err == nil || errors.As(err, &refused) {
			break
		}
	}
	return result, err
}

func unavailable() error {
	return domain.Errorf(domain.CodeEngineUnavailable, "the workflow engine does not answer; try again")
}
