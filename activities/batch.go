package activities

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"go.temporal.io/sdk/activity"

	"github.com/mdocket/mdocket/workflows/messages"
)

// Batcher is what the batch workflow needs from the issuing authority. What is said of Issuer's methods holds for these too.
type Batcher interface {
	// BeginBatch lets a received batch run; in any other state it only reads. CodeNotFound ends the workflow.
	BeginBatch(ctx context.Context, id string) (messages.BatchSnapshot, error)
	// RunBatch carries out those items of a page that are not done. Each is done once, however often the page is run, and an item that is
	// refused is no error. progress is told how far all items are done; an error of progress stops the run there.
	RunBatch(ctx context.Context, page messages.BatchPage, progress func(next int) error) error
	// StartRequests starts the workflows of the requests that the items of a page became, as far as they have not begun. progress is as above.
	StartRequests(ctx context.Context, page messages.BatchPage, progress func(next int) error) error
	// EndBatch ends a batch whose items are all done.
	EndBatch(ctx context.Context, id string) (messages.BatchResult, error)
}

// Batch holds the activities of one batch; worker registers its methods under their names.
type Batch struct {
	guard
	issuer Batcher
}

// NewBatch builds the activities. The logger gets the text of failures that Temporal must not have.
func NewBatch(issuer Batcher, log *slog.Logger) *Batch {
	return &Batch{guard: guard{log: log}, issuer: issuer}
}

// BeginBatch is Batcher.BeginBatch.
func (a *Batch) BeginBatch(ctx context.Context, id string) (messages.BatchSnapshot, error) {
	return call(ctx, a.guard, func() (messages.BatchSnapshot, error) { return a.issuer.BeginBatch(ctx, id) })
}

// errStopping ends a page early where the worker is being stopped; another worker goes on with it.
var errStopping = errors.New("the worker is being stopped")

// RunBatch is Batcher.RunBatch; it runs on the queue of batches. Its heartbeats say which item is the oldest that is not done, and a
// further try begins there.
func (a *Batch) RunBatch(ctx context.Context, page messages.BatchPage) error {
	return a.page(ctx, page, a.issuer.RunBatch)
}

// StartRequests is Batcher.StartRequests, on the same queue and with heartbeats like those of RunBatch.
func (a *Batch) StartRequests(ctx context.Context, page messages.BatchPage) error {
	return a.page(ctx, page, a.issuer.StartRequests)
}

func (a *Batch) page(ctx context.Context, page messages.BatchPage,
	run func(ctx context.Context, page messages.BatchPage, progress func(next int) error) error) error {
	if activity.HasHeartbeatDetails(ctx) {
		var next int
		if err := activity.GetHeartbeatDetails(ctx, &next); err == nil && next > page.From {
			page.From = next
		}
	}
	var oldest atomic.Int64
	oldest.Store(int64(page.From))
	defer keepTelling(ctx, func() []any { return []any{int(oldest.Load())} })()
	stopping := activity.GetWorkerStopChannel(ctx)
	return a.do(ctx, func() error {
		return run(ctx, page, func(next int) error {
			oldest.Store(int64(next))
			select {
			case <-stopping:
				activity.RecordHeartbeat(ctx, next)
				return errStopping
			default:
				return ctx.Err()
			}
		})
	})
}

// EndBatch is Batcher.EndBatch.
func (a *Batch) EndBatch(ctx context.Context, id string) (messages.BatchResult, error) {
	return call(ctx, a.guard, func() (messages.BatchResult, error) { return a.issuer.EndBatch(ctx, id) })
}
