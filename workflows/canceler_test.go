package workflows_test

import (
	"context"
	"sync"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// fakeCanceler keeps one cancellation, "c1", and its acts in memory and follows the rules of the real issuing authority. Its zero state is
// that of an unknown cancellation.
type fakeCanceler struct {
	mu       sync.Mutex
	now      func() time.Time
	lifetime time.Duration // of the deadline
	state    domain.CancellationState
	deadline time.Time
	behind   time.Duration                     // by which SQL's clock is behind the engine's
	acts     map[string]domain.CancellationAct // recorded; "" once carried out
	refuse   map[string]error                  // by act id
	failing  map[string]int                    // by method: how often it still fails
	calls    map[string]int                    // by method
}

const cancellationID = "c1"

// act records an act and gives its reference.
func (f *fakeCanceler) act(kind domain.CancellationAct, actID string) messages.CancellationActRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acts[actID] = kind
	return messages.CancellationActRef{CancellationID: cancellationID, ActID: actID}
}

// become changes the state behind the workflow's back.
func (f *fakeCanceler) become(s domain.CancellationState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = s
}

func (f *fakeCanceler) called(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

// enter locks, counts the call and fails if the test wants it to.
func (f *fakeCanceler) enter(ctx context.Context, method string) error {
	f.mu.Lock()
	f.calls[method]++
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if f.failing[method] > 0 {
		f.failing[method]--
		return errDown
	}
	if f.state == "" {
		return domain.Errorf(domain.CodeNotFound, "not found")
	}
	return nil
}

func (f *fakeCanceler) snapshot() messages.CancellationSnapshot {
	s := messages.CancellationSnapshot{State: f.state}
	if f.state == domain.CancellationAwaitingApproval {
		s.Deadline = f.deadline
	}
	return s
}

func (f *fakeCanceler) BeginCancellation(ctx context.Context, _ string) (messages.CancellationSnapshot, error) {
	err := f.enter(ctx, "BeginCancellation")
	defer f.mu.Unlock()
	if err != nil {
		return messages.CancellationSnapshot{}, err
	}
	if f.state == domain.CancellationReceived {
		f.state, f.deadline = domain.CancellationAwaitingApproval, f.now().Add(f.lifetime)
	}
	return f.snapshot(), nil
}

func (f *fakeCanceler) ApplyCancellation(ctx context.Context, ref messages.CancellationActRef) (messages.CancellationSnapshot, error) {
	err := f.enter(ctx, "ApplyCancellation")
	defer f.mu.Unlock()
	if err != nil {
		return messages.CancellationSnapshot{}, err
	}
	if err := f.refuse[ref.ActID]; err != nil {
		return messages.CancellationSnapshot{}, err
	}
	kind := f.acts[ref.ActID]
	if kind == "" {
		return f.snapshot(), nil
	}
	if !kind.AllowedIn(f.state) {
		return messages.CancellationSnapshot{}, domain.Errorf(domain.CodeWrongState, "SQL says %s", f.state)
	}
	f.acts[ref.ActID], f.state = "", kind.Target()
	return f.snapshot(), nil
}

func (f *fakeCanceler) ExpireCancellation(ctx context.Context, _ string) (messages.CancellationSnapshot, error) {
	err := f.enter(ctx, "ExpireCancellation")
	defer f.mu.Unlock()
	if err != nil {
		return messages.CancellationSnapshot{}, err
	}
	if f.state.Open() && !f.now().Add(-f.behind).Before(f.deadline) {
		f.state = domain.CancellationExpired
	}
	return f.snapshot(), nil
}
