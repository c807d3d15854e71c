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

// Engine carries acts out at once, as the workflow of a request would: begin, apply or sign, then send what waits to be sent. What a
// workflow does with time (deadlines, reminders, further tries) a test does itself, by calling the issuer.
type Engine struct {
	issuer *issuer.Issuer

	mu      sync.Mutex
	down    bool
	running map[string]bool
	locked  []string
}

// SetDown makes every call fail with CodeEngineUnavailable, or ends that.
func (e *Engine) SetDown(down bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.down = down
}

// Forget drops the workflow of a request, so that acts on it find none.
func (e *Engine) Forget(requestID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.running, requestID)
}

// Locked gives the requests that the issuer told of a lock.
func (e *Engine) Locked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.locked...)
}

// StartIssuance implements issuer.Engine.
func (e *Engine) StartIssuance(ctx context.Context, requestID string) error {
	e.mu.Lock()
	down, running := e.down, e.running[requestID]
	if !down {
		if e.running == nil {
			e.running = map[string]bool{}
		}
		e.running[requestID] = true
	}
	e.mu.Unlock()
	switch {
	case down:
		return unavailable()
	case running:
		return nil
	}
	// A workflow starts by itself: its troubles do not reach the caller.
	_, _ = e.step(ctx, requestID, func() (messages.Snapshot, error) { return e.issuer.Begin(ctx, requestID) })
	return nil
}

// Act implements issuer.Engine.
func (e *Engine) Act(ctx context.Context, kind domain.ActKind, ref messages.ActRef) (messages.Snapshot, error) {
	e.mu.Lock()
	down, running := e.down, e.running[ref.RequestID]
	e.mu.Unlock()
	switch {
	case down:
		return messages.Snapshot{}, unavailable()
	case !running:
		return messages.Snapshot{}, engine.ErrNoWorkflow
	}
	return e.step(ctx, ref.RequestID, func() (messages.Snapshot, error) {
		if kind == domain.ActCollect {
			return e.issuer.Sign(ctx, ref)
		}
		return e.issuer.Apply(ctx, ref)
	})
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

// step runs an activity, again when it met another one, and sends what it left to be sent.
func (e *Engine) step(ctx context.Context, requestID string, activity func() (messages.Snapshot, error)) (messages.Snapshot, error) {
	const tries = 5
	var snap messages.Snapshot
	var err error
	for range tries {
		var refused *domain.Error
		if snap, err = activity(); err == nil || errors.As(err, &refused) {
			break
		}
	}
	if err == nil && snap.Unsent {
		// Delivery is never the caller's problem; what failed stays pending.
		_ = e.issuer.Notify(ctx, requestID, snap.Generation)
	}
	return snap, err
}

func unavailable() error {
	return domain.Errorf(domain.CodeEngineUnavailable, "the workflow engine does not answer; try again")
}
