package activities

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// guard stands between acts and Temporal: it decides what Temporal may see of a failure.
type guard struct {
	log *slog.Logger
}

// call runs one act that gives something.
func call[T any](ctx context.Context, g guard, act func() (T, error)) (result T, err error) {
	err = g.do(ctx, func() (err error) {
		result, err = act()
		return err
	})
	return result, err
}

// do runs one act and makes of its error what Temporal may see. A panic counts as an error like any other, but for its value, which may hold data; left to the SDK, its text and
// stack would reach Temporal.
func (g guard) do(ctx context.Context, act func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = g.translate(ctx, fmt.Errorf("panic of type %T\n%s", p, debug.Stack()))
		}
	}()
	return g.translate(ctx, act())
}

// translate: a refusal travels whole and ends the retries. Of everything else Temporal learns only that it happened: texts of drivers and
// servers may quote data, so they go to the log, and a correlation id ties the two together.
func (g guard) translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var refused *domain.Error
	if errors.As(err, &refused) && refused.Code != domain.CodeInternal && refused.Code != domain.CodeEngineUnavailable {
		return messages.Refusal(refused)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	info := activity.GetInfo(ctx)
	correlation := rand.Text()
	g.log.WarnContext(ctx, "activity failed, will be tried again", "activity", info.ActivityType.Name, "workflow_id", info.WorkflowExecution.ID,
		"attempt", info.Attempt, "correlation_id", correlation, "error", err)
	return temporal.NewApplicationError("internal error, correlation id "+correlation, string(domain.CodeInternal))
}

// keepAlive reports to Temporal that the worker is alive until the function it gives is called, so that the work of a dead one is taken over soon.
func keepAlive(ctx context.Context) (stop func()) {
	return keepTelling(ctx, func() []any { return nil })
}

// keepTelling is keepAlive with what a further try should know.
func keepTelling(ctx context.Context, what func() []any) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var reporting sync.WaitGroup
	reporting.Go(func() {
		tick := time.NewTicker(messages.Heartbeat / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				activity.RecordHeartbeat(ctx, what()...)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); reporting.Wait() }
}
