// Package worker runs workflows and activities: it binds them to their queues and keeps the workers going while Temporal comes and goes.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	sdk "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/internal/engine"
	"github.com/mdocket/mdocket/workflows"
	"github.com/mdocket/mdocket/workflows/messages"
)

// Registry is what RegisterRequests binds to: a worker, or the SDK's test environment.
type Registry interface {
	sdk.WorkflowRegistry
	sdk.ActivityRegistry
}

// Activities are what the workers carry out.
type Activities struct {
	Issuance     *activities.Issuance
	Cancellation *activities.Cancellation
	Batch        *activities.Batch
	Notices      *activities.Notices
	Expiry       *activities.Expiry
}

// RegisterRequests binds the workflows and the activities of the requests queue.
func RegisterRequests(r Registry, a Activities) {
	r.RegisterWorkflowWithOptions(workflows.Issuance, workflow.RegisterOptions{Name: messages.WorkflowIssuance})
	r.RegisterWorkflowWithOptions(workflows.Cancellation, workflow.RegisterOptions{Name: messages.WorkflowCancellation})
	r.RegisterWorkflowWithOptions(workflows.Batch, workflow.RegisterOptions{Name: messages.WorkflowBatch})
	r.RegisterWorkflowWithOptions(workflows.Reconcile, workflow.RegisterOptions{Name: messages.WorkflowReconcile})
	r.RegisterWorkflowWithOptions(workflows.Notices, workflow.RegisterOptions{Name: messages.WorkflowNotices})
	r.RegisterWorkflowWithOptions(workflows.Expiry, workflow.RegisterOptions{Name: messages.WorkflowExpiry})
	r.RegisterActivity(a.Issuance)
	r.RegisterActivity(a.Cancellation)
	r.RegisterActivity(a.Batch)
	r.RegisterActivity(a.Notices)
	r.RegisterActivity(a.Expiry)
}

// RegisterSigning binds the activities of the signing queue.
func RegisterSigning(r sdk.ActivityRegistry, a Activities) {
	r.RegisterActivityWithOptions(a.Issuance.Sign, activity.RegisterOptions{Name: "Sign"})
}

// RegisterBatches binds the activities of the queue of batches.
func RegisterBatches(r sdk.ActivityRegistry, a Activities) {
	r.RegisterActivityWithOptions(a.Batch.RunBatch, activity.RegisterOptions{Name: "RunBatch"})
	r.RegisterActivityWithOptions(a.Batch.StartRequests, activity.RegisterOptions{Name: "StartRequests"})
}

// Options size the workers of one process. Zero values give the defaults.
type Options struct {
	Activities  int           // messages, reminders and reconciliations at once; default 50
	SQLSteps    int           // local activities at once; default 32
	Signatures  int           // sign activities at once; default twice the processors
	Pages       int           // pages of batches at once; default 4
	Cached      int           // workflows kept in memory between their steps; default 1000. Holds for the whole process
	StopTimeout time.Duration // for running activities when stopping; default 20 s
}

func (o *Options) defaults() {
	for _, f := range []struct {
		value   *int
		without int
	}{{&o.Activities, 50}, {&o.SQLSteps, 32}, {&o.Signatures, 2 * runtime.GOMAXPROCS(0)}, {&o.Pages, 4}, {&o.Cached, 1000}} {
		if *f.value <= 0 {
			*f.value = f.without
		}
	}
	if o.StopTimeout <= 0 {
		o.StopTimeout = 20 * time.Second
	}
}

// Workers are the workers of one process: for requests, for signing, for batches.
type Workers struct {
	engine     *engine.Engine
	activities Activities
	options    Options
	log        *slog.Logger
	ready      chan struct{}
	started    sync.Once
}

// New prepares the workers; Run starts them. The engine must be the one that starts workflows, so that first tasks need no way through
// Temporal.
func New(e *engine.Engine, a Activities, log *slog.Logger, o Options) *Workers {
	o.defaults()
	return &Workers{engine: e, activities: a, options: o, log: log, ready: make(chan struct{})}
}

// Ready is closed once the workers have started for the first time.
func (w *Workers) Ready() <-chan struct{} { return w.ready }

const (
	firstPause   = 200 * time.Millisecond
	longestPause = 10 * time.Second
)

// Run works until the context ends, then lets running activities finish within StopTimeout. While Temporal cannot be reached it tries again
// and again. Call it once.
func (w *Workers) Run(ctx context.Context) {
	sdk.SetStickyWorkflowCacheSize(w.options.Cached)
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		if err := w.runOnce(ctx); err != nil {
			w.log.WarnContext(ctx, "workers are not running, will try again", "pause", pause, "error", err)
		}
		if time.Since(began) > longestPause {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// runOnce starts the workers and stops them when the context ends or one of them cannot go on.
func (w *Workers) runOnce(ctx context.Context) error {
	if err := w.engine.Ping(ctx); err != nil {
		return err
	}
	if err := w.engine.EnsureSchedules(ctx); err != nil {
		return err
	}
	fatal := make(chan error, 3) // one of each worker
	onFatal := func(err error) { fatal <- err }
	requests := sdk.New(w.engine.Client(), messages.QueueRequests, sdk.Options{
		MaxConcurrentActivityExecutionSize:      w.options.Activities,
		MaxConcurrentLocalActivityExecutionSize: w.options.SQLSteps,
		MaxConcurrentWorkflowTaskPollers:        workflowPollers,
		MaxConcurrentActivityTaskPollers:        activityPollers,
		WorkerStopTimeout:                       w.options.StopTimeout,
		OnFatalError:                            onFatal,
	})
	RegisterRequests(requests, w.activities)
	signing := sdk.New(w.engine.Client(), messages.QueueSigning, sdk.Options{
		MaxConcurrentActivityExecutionSize: w.options.Signatures,
		MaxConcurrentActivityTaskPollers:   activityPollers,
		DisableWorkflowWorker:              true,
		WorkerStopTimeout:                  w.options.StopTimeout,
		OnFatalError:                       onFatal,
	})
	RegisterSigning(signing, w.activities)
	batches := sdk.New(w.engine.Client(), messages.QueueBatches, sdk.Options{
		MaxConcurrentActivityExecutionSize: w.options.Pages,
		MaxConcurrentActivityTaskPollers:   batchPollers,
		DisableWorkflowWorker:              true,
		WorkerStopTimeout:                  w.options.StopTimeout,
		OnFatalError:                       onFatal,
	})
	RegisterBatches(batches, w.activities)
	var stopping sync.WaitGroup
	defer func() {
		// Stop is due even where Start failed. It waits until activities have ended, so all stop side by side.
		stopping.Go(requests.Stop)
		stopping.Go(signing.Stop)
		stopping.Go(batches.Stop)
		stopping.Wait()
	}()
	if err := errors.Join(requests.Start(), signing.Start(), batches.Start()); err != nil {
		return err
	}
	w.started.Do(func() { close(w.ready) })
	select {
	case <-ctx.Done():
		return nil
	case err := <-fatal:
		return err
	}
}

// A poller is one open call that waits at Temporal. Two to eight of them make no difference in time or processor use that shows in
// measurements at 100 issuances a second and less.
const (
	workflowPollers = 4
	activityPollers = 4
	batchPollers    = 2 // pages take seconds
)
