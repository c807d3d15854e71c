// Package activities adapts the issuing authority's acts to Temporal: each activity decodes, calls the Issuer and translates the error into
// one that Temporal retries or not. There are no rules in here.
package activities

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// Issuer is what the issuance workflow needs from the issuing authority. Every method may be called again after it succeeded or died
// half-way, and then gives the same outcome. A *domain.Error is final, save CodeInternal and CodeEngineUnavailable; any other error is
// worth a retry.
type Issuer interface {
	// Begin moves a received request to awaiting_approval or awaiting_collection; in any other state it only reads. CodeNotFound ends
	// the workflow.
	Begin(ctx context.Context, requestID string) (messages.Snapshot, error)
	// Apply carries out a recorded act (approve, reject, cancel, resend) under the rules of the state SQL has now.
	Apply(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error)
	// Expire ends the request if the deadline of its present state has passed; else it only reads.
	Expire(ctx context.Context, requestID string) (messages.Snapshot, error)
	// Notify sends the unsent messages of the generation. An error means that something is still unsent and another try may help; failures
	// for good are recorded and are no error here.
	Notify(ctx context.Context, requestID string, generation int) error
	// RemindApprovers sends the n-th reminder. The count begins at 1, and again at 1 when the workflow was started anew.
	RemindApprovers(ctx context.Context, requestID string, n int) error
	// Sign carries out a recorded collect act: the document is signed and stored when it returns without error.
	Sign(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error)
	// Reconcile calls start for each open request that may have no workflow and gives how many it started. A start that was not needed
	// is harmless.
	Reconcile(ctx context.Context, start func(ctx context.Context, requestID string) error) (int, error)
}

// Issuance holds the activities of one issuance and of the reconciliation; worker registers its methods under their names.
type Issuance struct {
	issuer Issuer
	start  func(ctx context.Context, requestID string) error
	log    *slog.Logger
}

// NewIssuance builds the activities. start starts the workflow of a request; the logger gets the text of failures that Temporal must not
// have.
func NewIssuance(issuer Issuer, start func(ctx context.Context, requestID string) error, log *slog.Logger) *Issuance {
	return &Issuance{issuer: issuer, start: start, log: log}
}

// Begin is Issuer.Begin.
func (a *Issuance) Begin(ctx context.Context, requestID string) (messages.Snapshot, error) {
	return call(ctx, a, func() (messages.Snapshot, error) { return a.issuer.Begin(ctx, requestID) })
}

// Apply is Issuer.Apply.
func (a *Issuance) Apply(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	return call(ctx, a, func() (messages.Snapshot, error) { return a.issuer.Apply(ctx, ref) })
}

// Expire is Issuer.Expire.
func (a *Issuance) Expire(ctx context.Context, requestID string) (messages.Snapshot, error) {
	return call(ctx, a, func() (messages.Snapshot, error) { return a.issuer.Expire(ctx, requestID) })
}

// Notify is Issuer.Notify.
func (a *Issuance) Notify(ctx context.Context, in messages.NotifyInput) error {
	return a.do(ctx, func() error { return a.issuer.Notify(ctx, in.RequestID, in.Generation) })
}

// RemindApprovers is Issuer.RemindApprovers.
func (a *Issuance) RemindApprovers(ctx context.Context, in messages.ReminderInput) error {
	return a.do(ctx, func() error { return a.issuer.RemindApprovers(ctx, in.RequestID, in.N) })
}

// Sign is Issuer.Sign; it runs on the signing queue.
func (a *Issuance) Sign(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	return call(ctx, a, func() (messages.Snapshot, error) { return a.issuer.Sign(ctx, ref) })
}

// Reconcile starts the workflows of open requests that have none.
func (a *Issuance) Reconcile(ctx context.Context) (messages.ReconcileResult, error) {
	return call(ctx, a, func() (messages.ReconcileResult, error) {
		started, err := a.issuer.Reconcile(ctx, a.start)
		return messages.ReconcileResult{Started: started}, err
	})
}

// call runs one act that gives something.
func call[T any](ctx context.Context, a *Issuance, act func() (T, error)) (result T, err error) {
	err = a.do(ctx, func() (err error) {
		result, err = act()
		return err
	})
	return result, err
}

// do runs one act and makes of its error what Temporal may see. A panic counts as an error like any other; left to the SDK, its text and
// stack would reach Temporal.
func (a *Issuance) do(ctx context.Context, act func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = a.translate(ctx, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return a.translate(ctx, act())
}

// translate: a refusal travels whole and ends the retries. Of everything else Temporal learns only that it happened: texts of drivers and
// servers may quote data, so they go to the log, and a correlation id ties the two together.
func (a *Issuance) translate(ctx context.Context, err error) error {
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
	a.log.ErrorContext(ctx, "activity failed", "activity", info.ActivityType.Name, "workflow_id", info.WorkflowExecution.ID,
		"attempt", info.Attempt, "correlation_id", correlation, "error", err)
	return temporal.NewApplicationError("internal error, correlation id "+correlation, string(domain.CodeInternal))
}
