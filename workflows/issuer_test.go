package workflows_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/worker"
	"github.com/mdocket/mdocket/workflows/messages"
)

var quiet = slog.New(slog.DiscardHandler)

// bind gives the activities of both issuers; start may be nil where nothing is reconciled.
func bind(issuer *fakeIssuer, start func(context.Context, string) error) worker.Activities {
	return worker.Activities{Issuance: activities.NewIssuance(issuer, start, quiet),
		Cancellation: activities.NewCancellation(&issuer.cancellations, quiet), Notices: activities.NewNotices(issuer, quiet),
		Expiry: activities.NewExpiry(issuer, quiet), Batch: activities.NewBatch(&issuer.batches, quiet)}
}

// errDown stands for a database or a mail server that does not answer.
var errDown = errors.New("connection refused by 192.0.2.1")

// request is one request of the fakeIssuer, as SQL would have it.
type request struct {
	state      domain.RequestState
	approval   bool // is needed
	generation int
	deadline   time.Time
	remind     time.Duration
	unsent     bool
}

// fakeIssuer keeps requests and acts in memory and follows the rules of the real issuing authority.
type fakeIssuer struct {
	mu       sync.Mutex
	now      func() time.Time
	lifetime time.Duration // of a deadline
	requests map[string]*request
	acts     map[string]domain.ActKind    // recorded; "" once carried out
	refuse   map[string]error             // by act id
	stale    map[string]messages.Snapshot // by act id: what the act gives instead of being carried out
	failing  map[string]int               // by method: how often it still fails; -1 = always
	calls    map[string]int               // by method
	notified []int                        // generations
	reminded []int
	entered  func(method string) // called unlocked at the start of each call

	cancellations fakeCanceler
	batches       fakeBatcher
}

func newFakeIssuer(now func() time.Time) *fakeIssuer {
	return &fakeIssuer{
		now: now, lifetime: 24 * time.Hour, requests: map[string]*request{}, acts: map[string]domain.ActKind{}, refuse: map[string]error{},
		stale: map[string]messages.Snapshot{}, failing: map[string]int{}, calls: map[string]int{}, entered: func(string) {},
		cancellations: fakeCanceler{
			now: now, lifetime: 24 * time.Hour, acts: map[string]domain.CancellationAct{}, refuse: map[string]error{},
			failing: map[string]int{}, calls: map[string]int{},
		},
	}
}

// act records an act and gives its reference.
func (f *fakeIssuer) act(kind domain.ActKind, requestID, actID string) messages.ActRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acts[actID] = kind
	return messages.ActRef{RequestID: requestID, ActID: actID}
}

func (f *fakeIssuer) with(id string, change func(*request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.requests[id])
}

func (f *fakeIssuer) called(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

// enter locks, counts the call and fails if the test wants it to.
func (f *fakeIssuer) enter(ctx context.Context, method, id string) (*request, error) {
	f.entered(method)
	f.mu.Lock()
	f.calls[method]++
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if n := f.failing[method]; n != 0 {
		f.failing[method] = max(n-1, -1)
		return nil, errDown
	}
	r, ok := f.requests[id]
	if !ok {
		return nil, domain.Errorf(domain.CodeNotFound, "not found")
	}
	return r, nil
}

func (f *fakeIssuer) snapshot(r *request) messages.Snapshot {
	s := messages.Snapshot{State: r.state, Generation: r.generation, Deadline: r.deadline, Unsent: r.unsent}
	if r.state == domain.RequestAwaitingApproval {
		s.ReminderEvery = r.remind
	}
	if !r.state.Open() {
		s.Deadline = time.Time{}
	}
	return s
}

func (f *fakeIssuer) offer(r *request) {
	r.state, r.unsent, r.deadline = domain.RequestAwaitingCollection, true, f.now().Add(f.lifetime)
	r.generation++
}

func (f *fakeIssuer) Begin(ctx context.Context, requestID string) (messages.Snapshot, error) {
	r, err := f.enter(ctx, "Begin", requestID)
	defer f.mu.Unlock()
	if err != nil {
		return messages.Snapshot{}, err
	}
	if r.state == domain.RequestReceived {
		if r.approval {
			r.state, r.deadline = domain.RequestAwaitingApproval, f.now().Add(f.lifetime)
		} else {
			f.offer(r)
		}
	}
	return f.snapshot(r), nil
}

func (f *fakeIssuer) Apply(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	return f.carryOut(ctx, "Apply", ref)
}

func (f *fakeIssuer) Sign(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	return f.carryOut(ctx, "Sign", ref)
}

func (f *fakeIssuer) carryOut(ctx context.Context, method string, ref messages.ActRef) (messages.Snapshot, error) {
	r, err := f.enter(ctx, method, ref.RequestID)
	defer f.mu.Unlock()
	if err != nil {
		return messages.Snapshot{}, err
	}
	if err := f.refuse[ref.ActID]; err != nil {
		return messages.Snapshot{}, err
	}
	if stale, ok := f.stale[ref.ActID]; ok {
		return stale, nil
	}
	kind, ok := f.acts[ref.ActID]
	if !ok {
		return messages.Snapshot{}, domain.Errorf(domain.CodeNotFound, "no such act")
	}
	if kind == "" {
		return f.snapshot(r), nil
	}
	if !kind.AllowedIn(r.state) {
		return messages.Snapshot{}, domain.Errorf(domain.CodeWrongState, "SQL says %s", r.state)
	}
	f.acts[ref.ActID] = ""
	switch kind {
	case domain.ActApprove, domain.ActResend:
		f.offer(r)
	case domain.ActReject:
		r.state = domain.RequestRejected
	case domain.ActCancel:
		r.state = domain.RequestCanceled
	case domain.ActCollect:
		r.state = domain.RequestIssued
	}
	return f.snapshot(r), nil
}

func (f *fakeIssuer) Expire(ctx context.Context, requestID string) (messages.Snapshot, error) {
	r, err := f.enter(ctx, "Expire", requestID)
	defer f.mu.Unlock()
	if err != nil {
		return messages.Snapshot{}, err
	}
	if r.state.Open() && !f.now().Before(r.deadline) {
		r.state = domain.RequestExpired
	}
	return f.snapshot(r), nil
}

func (f *fakeIssuer) Notify(ctx context.Context, requestID string, generation int) error {
	r, err := f.enter(ctx, "Notify", requestID)
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	if r.generation == generation {
		f.notified = append(f.notified, generation)
		r.unsent = false
	}
	return nil
}

func (f *fakeIssuer) RemindApprovers(ctx context.Context, requestID string, n int) error {
	_, err := f.enter(ctx, "RemindApprovers", requestID)
	defer f.mu.Unlock()
	if err == nil {
		f.reminded = append(f.reminded, n)
	}
	return err
}

func (f *fakeIssuer) SendNotices(context.Context) (int, error) {
	f.entered("SendNotices")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls["SendNotices"]++
	return f.calls["SendNotices"], nil
}

func (f *fakeIssuer) SweepDocuments(context.Context) (messages.ExpiryResult, error) {
	f.entered("SweepDocuments")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls["SweepDocuments"]++
	if n := f.failing["SweepDocuments"]; n != 0 {
		f.failing["SweepDocuments"] = max(n-1, -1)
		return messages.ExpiryResult{}, errDown
	}
	return messages.ExpiryResult{Expired: 1, Reminded: 2, Renewed: 3}, nil
}

func (f *fakeIssuer) Reconcile(ctx context.Context, start func(context.Context, string) error) (int, error) {
	f.entered("Reconcile")
	f.mu.Lock()
	f.calls["Reconcile"]++
	var open []string
	for id, r := range f.requests {
		if r.state == domain.RequestReceived {
			open = append(open, id)
		}
	}
	f.mu.Unlock()
	for _, id := range open {
		if err := start(ctx, id); err != nil {
			return 0, err
		}
	}
	return len(open), nil
}
