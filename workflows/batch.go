package workflows

import (
	"context"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// batching names the activities of a batch; it is never called through.
var batching *activities.Batch

const (
	// pageSize is how many items one activity takes: so many that a batch of a hundred thousand has a short history, so few that a worker
	// that dies leaves little to be looked at again.
	pageSize = 500
	// pagesAtOnce is how many pages of one batch are worked on side by side. Items wait for each other at the end of the audit's chain, so
	// more would only wait.
	pagesAtOnce = 3
	// startsAtOnce is how many pages have the workflows of their requests started side by side: those are the load, not the starting.
	startsAtOnce = 1
)

// Batch carries out a batch page by page until every item is done, and then starts the workflows of the requests that items became: what is
// accepted comes first, and is quick. It knows numbers of items only; which they are, and which of them are done, is in SQL. An unknown batch
// is the only failure: items that fail are results. Nothing stops a batch, so there are no updates.
func Batch(ctx workflow.Context, in messages.BatchInput) (messages.BatchResult, error) {
	w := &batch{id: in.BatchID, next: max(in.Next, 1)}
	return w.run(ctx)
}

// batch is the state of one run.
type batch struct {
	id      string
	next    int   // first item of the next page: to be done or, once the batch is completed, to be started
	running int   // pages
	failed  error // of a page
}

// run is the story: begin, hand out pages, end, and start what the batch made.
func (w *batch) run(ctx workflow.Context) (messages.BatchResult, error) {
	var snap messages.BatchSnapshot
	if err := workflow.ExecuteLocalActivity(inSQL(ctx), batching.BeginBatch, w.id).Get(ctx, &snap); err != nil {
		return messages.BatchResult{}, err
	}
	if snap.State != domain.BatchCompleted {
		if err := w.pages(ctx, batching.RunBatch, snap.Total, pagesAtOnce); err != nil {
			return messages.BatchResult{}, err
		}
		w.next = 1
	}
	var result messages.BatchResult
	if err := workflow.ExecuteLocalActivity(inSQL(ctx), batching.EndBatch, w.id).Get(ctx, &result); err != nil || !snap.Requests {
		return result, err
	}
	return result, w.pages(ctx, batching.StartRequests, snap.Total, startsAtOnce)
}

// pageActivity is what is done with a page.
type pageActivity func(context.Context, messages.BatchPage) error

// pages hands out pages, a few at a time, until all are done. When the history has become long, the pages that run are waited for, and
// the next run goes on after them.
func (w *batch) pages(ctx workflow.Context, do pageActivity, total, atOnce int) error {
	ctx = paging(ctx)
	done := workflow.NewSelector(ctx)
	for w.failed == nil && (w.next <= total || w.running > 0) {
		afresh := workflow.GetInfo(ctx).GetContinueAsNewSuggested() && w.next <= total
		if afresh && w.running == 0 {
			return workflow.NewContinueAsNewError(ctx, messages.WorkflowBatch, messages.BatchInput{BatchID: w.id, Next: w.next})
		}
		for !afresh && w.running < atOnce && w.next <= total {
			page := messages.BatchPage{BatchID: w.id, From: w.next, To: min(w.next+pageSize-1, total)}
			w.next = page.To + 1
			w.running++
			done.AddFuture(workflow.ExecuteActivity(ctx, do, page), w.pageDone(ctx))
		}
		done.Select(ctx)
	}
	return w.failed
}

func (w *batch) pageDone(ctx workflow.Context) func(workflow.Future) {
	return func(page workflow.Future) {
		w.running--
		if err := page.Get(ctx, nil); err != nil {
			w.failed = err
		}
	}
}

// paging gives the options of the activities that take a page: each is tried again for ever, and a worker that died is noticed by its silence.
func paging(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           messages.QueueBatches,
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    messages.Heartbeat,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second,
		},
	})
}
