package worker_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/engine"
	"github.com/mdocket/mdocket/internal/standalone/devserver"
	"github.com/mdocket/mdocket/internal/testenv"
	"github.com/mdocket/mdocket/worker"
	"github.com/mdocket/mdocket/workflows/messages"
)

var quiet = slog.New(slog.DiscardHandler)

// issuer signs as the test says; everything else is quickly done.
type issuer struct {
	sign func()
}

func (i *issuer) snapshot(state domain.RequestState) (messages.Snapshot, error) {
	return messages.Snapshot{State: state, Generation: 1}, nil
}

func (i *issuer) Begin(context.Context, string) (messages.Snapshot, error) {
	return i.snapshot(domain.RequestAwaitingCollection)
}

func (i *issuer) Apply(context.Context, messages.ActRef) (messages.Snapshot, error) {
	return i.snapshot(domain.RequestCanceled)
}

func (i *issuer) Expire(context.Context, string) (messages.Snapshot, error) {
	return i.snapshot(domain.RequestExpired)
}

func (i *issuer) Sign(context.Context, messages.ActRef) (messages.Snapshot, error) {
	i.sign()
	return i.snapshot(domain.RequestIssued)
}

func (i *issuer) Notify(context.Context, string, int) error          { return nil }
func (i *issuer) RemindApprovers(context.Context, string, int) error { return nil }

func (i *issuer) SendNotices(context.Context) (int, error) { return 0, nil }

func (i *issuer) BeginCancellation(context.Context, string) (messages.CancellationSnapshot, error) {
	return messages.CancellationSnapshot{State: domain.CancellationAwaitingApproval}, nil
}

func (i *issuer) ApplyCancellation(context.Context, messages.CancellationActRef) (messages.CancellationSnapshot, error) {
	return messages.CancellationSnapshot{State: domain.CancellationApproved}, nil
}

func (i *issuer) ExpireCancellation(context.Context, string) (messages.CancellationSnapshot, error) {
	return messages.CancellationSnapshot{State: domain.CancellationExpired}, nil
}

func (i *issuer) BeginBatch(context.Context, string) (messages.BatchSnapshot, error) {
	return messages.BatchSnapshot{State: domain.BatchRunning, Total: 1}, nil
}

func (i *issuer) RunBatch(context.Context, messages.BatchPage, func(int) error) error { return nil }

func (i *issuer) StartRequests(context.Context, messages.BatchPage, func(int) error) error {
	return nil
}

func (i *issuer) EndBatch(context.Context, string) (messages.BatchResult, error) {
	return messages.BatchResult{Total: 1, Completed: 1}, nil
}

func (i *issuer) SweepDocuments(context.Context) (messages.ExpiryResult, error) {
	return messages.ExpiryResult{}, nil
}

func (i *issuer) Reconcile(context.Context, func(context.Context, string) error) (int, error) {
	return 0, nil
}

// start runs workers until the returned function is called, which waits for their end.
func start(t *testing.T, address string, i *issuer) (*engine.Engine, *worker.Workers, func()) {
	e, err := engine.NewLazy(engine.Options{
		HostPort: address, Namespace: "default", PayloadKeys: [][]byte{make([]byte, 32)}, Logger: quiet, CallTimeout: 2 * time.Second,
	})
	require.NoError(t, err)
	acts := worker.Activities{Issuance: activities.NewIssuance(i, e.StartIssuance, quiet), Cancellation: activities.NewCancellation(i, quiet),
		Notices: activities.NewNotices(i, quiet), Expiry: activities.NewExpiry(i, quiet), Batch: activities.NewBatch(i, quiet)}
	w := worker.New(e, acts, quiet, worker.Options{StopTimeout: 10 * time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	stop := sync.OnceFunc(func() {
		cancel()
		running.Wait()
		e.Close()
	})
	t.Cleanup(stop)
	return e, w, stop
}

func waitReady(t *testing.T, w *worker.Workers) {
	t.Helper()
	select {
	case <-w.Ready():
	case <-time.After(30 * time.Second):
		require.Fail(t, "the workers did not start")
	}
}

// The process may start before Temporal does, and leaves nothing running when it stops.
func TestTemporalComesLater(t *testing.T) {
	cli, err := devserver.FindCLI("../bin")
	require.NoError(t, err)
	running := goleak.IgnoreCurrent()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	e, w, stop := start(t, address, &issuer{})
	require.Error(t, e.Ping(t.Context()))
	select {
	case <-w.Ready():
		require.Fail(t, "ready without Temporal")
	default:
	}
	server, err := devserver.Start(t.Context(), devserver.Options{CLI: cli, HostPort: address})
	require.NoError(t, err)
	waitReady(t, w)
	require.NoError(t, e.StartIssuance(t.Context(), "r1"))
	snap, err := e.Act(t.Context(), domain.ActCancel, messages.ActRef{RequestID: "r1", ActID: "a1"})
	require.NoError(t, err)
	require.Equal(t, domain.RequestCanceled, snap.State)
	require.NoError(t, e.StartCancellation(t.Context(), "c1"))
	ended, err := e.ActOnCancellation(t.Context(), domain.CancellationApprove, messages.CancellationActRef{CancellationID: "c1", ActID: "a1"})
	require.NoError(t, err)
	require.Equal(t, domain.CancellationApproved, ended.State)
	require.NoError(t, e.StartBatch(t.Context(), "b1"))
	var result messages.BatchResult
	require.NoError(t, e.Client().GetWorkflow(t.Context(), messages.BatchID("b1"), "").Get(t.Context(), &result))
	require.Equal(t, messages.BatchResult{Total: 1, Completed: 1}, result)
	stop()
	require.NoError(t, server.Stop())
	goleak.VerifyNone(t, running)
}

// Stopping waits for a signature that is being made.
func TestStopIsGraceful(t *testing.T) {
	signing, release := make(chan struct{}), make(chan struct{})
	var signed atomic.Bool
	e, w, stop := start(t, testenv.Temporal(t), &issuer{sign: func() {
		close(signing)
		<-release
		signed.Store(true)
	}})
	waitReady(t, w)
	require.NoError(t, e.StartIssuance(t.Context(), "graceful"))
	ctx, giveUp := context.WithTimeout(t.Context(), 20*time.Second)
	defer giveUp()
	var asking sync.WaitGroup
	asking.Go(func() {
		// The answer is not waited for: nobody is left to bring it to the workflow.
		_, _ = e.Act(ctx, domain.ActCollect, messages.ActRef{RequestID: "graceful", ActID: "a1"})
	})
	<-signing
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		require.Fail(t, "stopped while a signature was being made")
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	select {
	case <-stopped:
	case <-time.After(20 * time.Second):
		require.Fail(t, "did not stop")
	}
	require.True(t, signed.Load())
	giveUp()
	asking.Wait()
}

func TestStopWithoutTemporal(t *testing.T) {
	running := goleak.IgnoreCurrent()
	_, _, stop := start(t, "127.0.0.1:1", &issuer{})
	stop()
	goleak.VerifyNone(t, running)
}
