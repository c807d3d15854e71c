package engine_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/engine"
	"github.com/mdocket/mdocket/internal/testenv"
	"github.com/mdocket/mdocket/worker"
	"github.com/mdocket/mdocket/workflows/messages"
)

var quiet = slog.New(slog.DiscardHandler)

// issuer carries out every act as the test says.
type issuer struct {
	mu         sync.Mutex
	calls      map[string]int
	apply      func(messages.ActRef) (messages.Snapshot, error)
	sign       func(context.Context, messages.ActRef) (messages.Snapshot, error)
	decide     func() (messages.CancellationSnapshot, error)
	reconciled chan struct{}
}

func (i *issuer) count(method string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls[method]++
}

func (i *issuer) called(method string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls[method]
}

func (i *issuer) Begin(context.Context, string) (messages.Snapshot, error) {
	i.count("Begin")
	return messages.Snapshot{State: domain.RequestAwaitingCollection, Generation: 1}, nil
}

func (i *issuer) Apply(_ context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	i.count("Apply")
	return i.apply(ref)
}

func (i *issuer) Sign(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	i.count("Sign")
	return i.sign(ctx, ref)
}

func (i *issuer) Reconcile(ctx context.Context, start func(context.Context, string) error) (int, error) {
	i.count("Reconcile")
	select {
	case i.reconciled <- struct{}{}:
	default:
	}
	return 1, start(ctx, "reconciled")
}

func (i *issuer) SendNotices(context.Context) (int, error) {
	i.count("SendNotices")
	return 0, nil
}

func (i *issuer) Expire(context.Context, string) (messages.Snapshot, error) {
	return messages.Snapshot{State: domain.RequestExpired}, nil
}

func (i *issuer) BeginCancellation(context.Context, string) (messages.CancellationSnapshot, error) {
	return messages.CancellationSnapshot{State: domain.CancellationAwaitingApproval, Deadline: time.Now().Add(time.Hour)}, nil
}

func (i *issuer) ApplyCancellation(context.Context, messages.CancellationActRef) (messages.CancellationSnapshot, error) {
	i.count("ApplyCancellation")
	return i.decide()
}

func (i *issuer) ExpireCancellation(context.Context, string) (messages.CancellationSnapshot, error) {
	return messages.CancellationSnapshot{State: domain.CancellationAwaitingApproval, Deadline: time.Now().Add(time.Hour)}, nil
}

func (i *issuer) BeginBatch(context.Context, string) (messages.BatchSnapshot, error) {
	return messages.BatchSnapshot{State: domain.BatchRunning, Total: 1}, nil
}

func (i *issuer) RunBatch(context.Context, messages.BatchPage, func(int) error) error {
	i.count("RunBatch")
	return nil
}

func (i *issuer) StartRequests(context.Context, messages.BatchPage, func(int) error) error {
	return nil
}

func (i *issuer) EndBatch(context.Context, string) (messages.BatchResult, error) {
	return messages.BatchResult{Total: 1, Completed: 1}, nil
}

func (i *issuer) SweepDocuments(context.Context) (messages.ExpiryResult, error) {
	i.count("SweepDocuments")
	return messages.ExpiryResult{}, nil
}

func (i *issuer) Notify(context.Context, string, int) error          { return nil }
func (i *issuer) RemindApprovers(context.Context, string, int) error { return nil }

// newEngine gives an engine with running workers.
func newEngine(t *testing.T, actTimeout time.Duration) (*engine.Engine, *issuer) {
	e, err := engine.NewLazy(engine.Options{
		HostPort: testenv.Temporal(t), Namespace: "default", PayloadKeys: [][]byte{newKey}, Logger: quiet, ActTimeout: actTimeout,
	})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	canceled := messages.Snapshot{State: domain.RequestCanceled, Generation: 1}
	issued := messages.Snapshot{State: domain.RequestIssued, Generation: 1}
	i := &issuer{
		calls: map[string]int{},
		decide: func() (messages.CancellationSnapshot, error) {
			return messages.CancellationSnapshot{State: domain.CancellationApproved}, nil
		},
		apply:      func(messages.ActRef) (messages.Snapshot, error) { return canceled, nil },
		sign:       func(context.Context, messages.ActRef) (messages.Snapshot, error) { return issued, nil },
		reconciled: make(chan struct{}, 1),
	}
	acts := worker.Activities{Issuance: activities.NewIssuance(i, e.StartIssuance, quiet), Cancellation: activities.NewCancellation(i, quiet),
		Notices: activities.NewNotices(i, quiet), Expiry: activities.NewExpiry(i, quiet), Batch: activities.NewBatch(i, quiet)}
	workers := worker.New(e, acts, quiet, worker.Options{})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { workers.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	select {
	case <-workers.Ready():
	case <-time.After(20 * time.Second):
		require.Fail(t, "the workers did not start")
	}
	return e, i
}

func act(request, id string) messages.ActRef { return messages.ActRef{RequestID: request, ActID: id} }

func history(t *testing.T, e *engine.Engine, requestID string) *historypb.History {
	h := &historypb.History{}
	events := e.Client().GetWorkflowHistory(t.Context(), messages.IssuanceID(requestID), "", false, 0)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		h.Events = append(h.Events, event)
	}
	return h
}

func TestRefusalsComeBackWhole(t *testing.T) {
	e, i := newEngine(t, 0)
	require.NoError(t, e.StartIssuance(t.Context(), "refusals"))
	want := &domain.Error{
		Code: domain.CodeMissingData, Message: "canary: data is missing", Details: map[string]string{"format": "mdl"},
		Fields: []domain.FieldError{{Field: "portrait", Problem: "is required"}},
	}
	i.apply = func(messages.ActRef) (messages.Snapshot, error) { return messages.Snapshot{}, want }
	i.sign = func(context.Context, messages.ActRef) (messages.Snapshot, error) { return messages.Snapshot{}, want }
	for _, kind := range []domain.ActKind{domain.ActResend, domain.ActCollect} {
		_, err := e.Act(t.Context(), kind, act("refusals", string(kind)))
		var got *domain.Error
		require.ErrorAs(t, err, &got)
		require.Equal(t, want, got)
	}
	var tries atomic.Int32
	i.apply = func(messages.ActRef) (messages.Snapshot, error) {
		if tries.Add(1) == 1 {
			panic("canary")
		}
		return messages.Snapshot{}, want
	}
	_, err := e.Act(t.Context(), domain.ActResend, act("refusals", "panic"))
	require.ErrorIs(t, err, want)
	require.EqualValues(t, 2, tries.Load())
	_, err = e.Act(t.Context(), domain.ActApprove, act("refusals", "late"))
	require.ErrorIs(t, err, domain.Errorf(domain.CodeWrongState, ""))

	// What Temporal keeps of all this is unreadable.
	raw, err := proto.Marshal(history(t, e, "refusals"))
	require.NoError(t, err)
	require.True(t, bytes.Contains(raw, []byte("binary/encrypted")))
	require.True(t, bytes.Contains(raw, []byte(domain.CodeMissingData)), "the code is the error's type")
	for _, text := range []string{"request_id", "act_id", "awaiting_collection", "canary", "portrait", "goroutine", "json/plain"} {
		require.False(t, bytes.Contains(raw, []byte(text)), text)
	}
}

func TestStartIsRepeatable(t *testing.T) {
	e, i := newEngine(t, 0)
	require.NoError(t, e.StartIssuance(t.Context(), "start"))
	first, err := e.Client().DescribeWorkflowExecution(t.Context(), messages.IssuanceID("start"), "")
	require.NoError(t, err)
	require.NoError(t, e.StartIssuance(t.Context(), "start"))
	second, err := e.Client().DescribeWorkflowExecution(t.Context(), messages.IssuanceID("start"), "")
	require.NoError(t, err)
	require.Equal(t, first.GetWorkflowExecutionInfo().GetExecution().GetRunId(), second.GetWorkflowExecutionInfo().GetExecution().GetRunId())

	// A run that was lost does not stand in the way of another.
	require.NoError(t, e.Client().TerminateWorkflow(t.Context(), messages.IssuanceID("start"), "", "lost"))
	_, err = e.Act(t.Context(), domain.ActCancel, act("start", "a1"))
	require.ErrorIs(t, err, engine.ErrNoWorkflow)
	require.NoError(t, e.StartIssuance(t.Context(), "start"))
	snap, err := e.Act(t.Context(), domain.ActCancel, act("start", "a1"))
	require.NoError(t, err)
	require.Equal(t, domain.RequestCanceled, snap.State)
	require.Equal(t, 1, i.called("Apply"))
}

// A batch that has ended may be started again: it looks at SQL and ends.
func TestStartBatch(t *testing.T) {
	e, i := newEngine(t, 0)
	for n := 1; n <= 2; n++ {
		require.NoError(t, e.StartBatch(t.Context(), "batch"))
		var result messages.BatchResult
		require.NoError(t, e.Client().GetWorkflow(t.Context(), messages.BatchID("batch"), "").Get(t.Context(), &result))
		require.Equal(t, messages.BatchResult{Total: 1, Completed: 1}, result)
		require.Equal(t, n, i.called("RunBatch"))
	}
}

func TestActIsRepeatable(t *testing.T) {
	e, i := newEngine(t, 0)
	require.NoError(t, e.StartIssuance(t.Context(), "repeat"))
	resent := messages.Snapshot{
		State: domain.RequestAwaitingCollection, Generation: 2, Deadline: time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC), Unsent: true,
	}
	i.apply = func(messages.ActRef) (messages.Snapshot, error) { return resent, nil }
	for range 2 {
		snap, err := e.Act(t.Context(), domain.ActResend, act("repeat", "a1"))
		require.NoError(t, err)
		require.Equal(t, resent, snap)
	}
	require.Equal(t, 1, i.called("Apply"))

	// After the workflow has ended, too: the wallet may have missed the answer that ended it.
	for range 2 {
		snap, err := e.Act(t.Context(), domain.ActCollect, act("repeat", "a2"))
		require.NoError(t, err)
		require.Equal(t, domain.RequestIssued, snap.State)
		require.NoError(t, e.Client().GetWorkflow(t.Context(), messages.IssuanceID("repeat"), "").Get(t.Context(), nil))
	}
	require.Equal(t, 1, i.called("Sign"))
	_, err := e.Act(t.Context(), domain.ActCollect, act("repeat", "a3"))
	require.ErrorIs(t, err, engine.ErrNoWorkflow)
}

// A cancellation is started and acted on like a request, by an id of its own.
func TestCancellations(t *testing.T) {
	e, i := newEngine(t, 0)
	ref := messages.CancellationActRef{CancellationID: "one", ActID: "a1"}
	_, err := e.ActOnCancellation(t.Context(), domain.CancellationApprove, ref)
	require.ErrorIs(t, err, engine.ErrNoWorkflow)
	for range 2 {
		require.NoError(t, e.StartCancellation(t.Context(), "one"))
	}
	want := domain.Errorf(domain.CodeAlreadyDecided, "canary: somebody decided first").With("decided_by", "account-7")
	approve := i.decide
	i.decide = func() (messages.CancellationSnapshot, error) { return messages.CancellationSnapshot{}, want }
	_, err = e.ActOnCancellation(t.Context(), domain.CancellationReject, messages.CancellationActRef{CancellationID: "one", ActID: "a0"})
	var got *domain.Error
	require.ErrorAs(t, err, &got)
	require.Equal(t, want, got)
	i.decide = approve
	for range 2 {
		snap, err := e.ActOnCancellation(t.Context(), domain.CancellationApprove, ref)
		require.NoError(t, err)
		require.Equal(t, domain.CancellationApproved, snap.State)
		require.NoError(t, e.Client().GetWorkflow(t.Context(), messages.CancellationID("one"), "").Get(t.Context(), nil))
	}
	require.Equal(t, 2, i.called("ApplyCancellation"))
	_, err = e.ActOnCancellation(t.Context(), domain.CancellationApprove, messages.CancellationActRef{CancellationID: "one", ActID: "a2"})
	require.ErrorIs(t, err, engine.ErrNoWorkflow)
}

func TestActAsksAgain(t *testing.T) {
	e, i := newEngine(t, 4*time.Second) // asks again after one second
	require.NoError(t, e.StartIssuance(t.Context(), "slow"))
	began := time.Now()
	i.sign = func(ctx context.Context, _ messages.ActRef) (messages.Snapshot, error) {
		select {
		case <-ctx.Done():
			return messages.Snapshot{}, ctx.Err()
		case <-time.After(1500 * time.Millisecond):
			return messages.Snapshot{State: domain.RequestIssued, Generation: 1}, nil
		}
	}
	snap, err := e.Act(t.Context(), domain.ActCollect, act("slow", "a1"))
	require.NoError(t, err)
	require.Equal(t, domain.RequestIssued, snap.State)
	require.Greater(t, time.Since(began), 1400*time.Millisecond)
	require.Equal(t, 1, i.called("Sign"))
}

func TestActGivesUp(t *testing.T) {
	e, i := newEngine(t, 800*time.Millisecond)
	require.NoError(t, e.StartIssuance(t.Context(), "never"))
	release := make(chan struct{})
	i.sign = func(context.Context, messages.ActRef) (messages.Snapshot, error) {
		<-release
		return messages.Snapshot{State: domain.RequestIssued, Generation: 1}, nil
	}
	_, err := e.Act(t.Context(), domain.ActCollect, act("never", "a1"))
	require.Equal(t, domain.CodeEngineUnavailable, domain.CodeOf(err))
	close(release)
	require.NoError(t, e.Client().GetWorkflow(t.Context(), messages.IssuanceID("never"), "").Get(t.Context(), nil),
		"the act is carried out all the same")
	snap, err := e.Act(t.Context(), domain.ActCollect, act("never", "a1"))
	require.NoError(t, err)
	require.Equal(t, domain.RequestIssued, snap.State)
}

func TestLock(t *testing.T) {
	e, i := newEngine(t, 0)
	require.ErrorIs(t, e.Lock(t.Context(), "unknown"), engine.ErrNoWorkflow)
	require.NoError(t, e.StartIssuance(t.Context(), "lock"))
	require.NoError(t, e.Lock(t.Context(), "lock"))
	require.Eventually(t, func() bool { return i.called("Begin") == 2 }, 10*time.Second, 10*time.Millisecond)
}

func TestSchedules(t *testing.T) {
	e, i := newEngine(t, 0)
	schedule := e.Client().ScheduleClient().GetHandle(t.Context(), messages.ScheduleReconcile)
	every := func() time.Duration {
		d, err := schedule.Describe(t.Context())
		require.NoError(t, err)
		require.Len(t, d.Schedule.Spec.Intervals, 1)
		return d.Schedule.Spec.Intervals[0].Every
	}
	require.Equal(t, 15*time.Second, every(), "the workers created it")
	require.NoError(t, e.EnsureSchedules(t.Context()))

	require.NoError(t, schedule.Update(t.Context(), client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			in.Description.Schedule.Spec.Intervals[0].Every = time.Hour
			return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
		},
	}))
	require.Equal(t, time.Hour, every())
	require.NoError(t, e.EnsureSchedules(t.Context()))
	require.Equal(t, 15*time.Second, every())

	other, err := e.Client().ScheduleClient().GetHandle(t.Context(), messages.ScheduleNotices).Describe(t.Context())
	require.NoError(t, err)
	require.Equal(t, 10*time.Second, other.Schedule.Spec.Intervals[0].Every)
	require.NoError(t, e.Client().ScheduleClient().GetHandle(t.Context(), messages.ScheduleNotices).Trigger(t.Context(), client.ScheduleTriggerOptions{}))
	require.Eventually(t, func() bool { return i.called("SendNotices") > 0 }, 20*time.Second, 10*time.Millisecond)

	third, err := e.Client().ScheduleClient().GetHandle(t.Context(), messages.ScheduleExpiry).Describe(t.Context())
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, third.Schedule.Spec.Intervals[0].Every)
	require.NoError(t, e.Client().ScheduleClient().GetHandle(t.Context(), messages.ScheduleExpiry).Trigger(t.Context(), client.ScheduleTriggerOptions{}))
	require.Eventually(t, func() bool { return i.called("SweepDocuments") > 0 }, 20*time.Second, 10*time.Millisecond)

	require.NoError(t, schedule.Trigger(t.Context(), client.ScheduleTriggerOptions{}))
	select {
	case <-i.reconciled:
	case <-time.After(20 * time.Second):
		require.Fail(t, "the schedule did not run")
	}
	require.Eventually(t, func() bool {
		_, err := e.Client().DescribeWorkflowExecution(t.Context(), messages.IssuanceID("reconciled"), "")
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

// Without Temporal every call gives a typed error within the time of its context, and says nothing about hosts.
func TestEngineDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	e, err := engine.NewLazy(engine.Options{HostPort: address, Namespace: "default", PayloadKeys: [][]byte{newKey}, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	for name, call := range map[string]func(context.Context) error{
		"ping":               e.Ping,
		"start":              func(ctx context.Context) error { return e.StartIssuance(ctx, "r1") },
		"start cancellation": func(ctx context.Context) error { return e.StartCancellation(ctx, "c1") },
		"act on cancellation": func(ctx context.Context) error {
			_, err := e.ActOnCancellation(ctx, domain.CancellationApprove, messages.CancellationActRef{CancellationID: "c1", ActID: "a1"})
			return err
		},
		"lock":      func(ctx context.Context) error { return e.Lock(ctx, "r1") },
		"schedules": e.EnsureSchedules,
		"act": func(ctx context.Context) error {
			_, err := e.Act(ctx, domain.ActCollect, act("r1", "a1"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := call(ctx)
			require.Less(t, time.Since(began), 2*time.Second)
			require.ErrorIs(t, err, domain.Errorf(domain.CodeEngineUnavailable, ""))
			require.NotContains(t, err.Error(), "127.0.0.1")
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := engine.NewLazy(engine.Options{HostPort: "127.0.0.1:1", Namespace: "default", Logger: quiet})
	require.Error(t, err)
	require.False(t, errors.Is(err, engine.ErrNoWorkflow))
}
