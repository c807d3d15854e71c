// Package activities adapts the issuing authority's acts to Temporal: each activity decodes, calls the Issuer and translates the error into
// one that Temporal retries or not. There are no rules in here.
package activities

import (
	"context"
	"log/slog"

	"github.com/mdocket/mdocket/workflows/messages"
)

// Issuer is what the issuance workflow needs from the issuing authority. Every method may be called again after it succeeded or died
// half-way, and then gives the same outcome. A *domain.Error is final, save CodeInternal and CodeEngineUnavailable; any other error is
// worth a retry.
type Issuer interface {
	// Begin moves a received request to awaiting_approval or awaiting_collection, or to failed when its document could never be collected; in
	// any other state it only reads. CodeNotFound ends the workflow.
	Begin(ctx context.Context, requestID string) (messages.Snapshot, error)
	// Apply carries out a recorded act (approve, reject, cancel, resend) under the rules of the state SQL has now.
	Apply(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error)
	// Expire ends the request, as expired or failed, if the deadline of its present state has passed; else it only reads.
	Expire(ctx context.Context, requestID string) (messages.Snapshot, error)
	// Notify sends the unsent messages of the generation. An error means that something is still unsent and another try may help; failures
	// for good are recorded and are no error here.
	Notify(ctx context.Context, requestID string, generation int) error
	// RemindApprovers sends the n-th reminder. The count begins at 1, and again at 1 when the workflow was started anew.
	RemindApprovers(ctx context.Context, requestID string, n int) error
	// Sign carries out a recorded collect act: when it returns without error, the document is signed and stored or, as the snapshot says, the
	// request has failed.
	Sign(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error)
	// Reconcile calls start for each open request that may have no workflow, starts those of cancellations likewise, and gives how many it
	// started. A start that was not needed is harmless.
	Reconcile(ctx context.Context, start func(ctx context.Context, requestID string) error) (int, error)
}

// Issuance holds the activities of one issuance and of the reconciliation; worker registers its methods under their names.
type Issuance struct {
	guard
	issuer Issuer
	start  func(ctx context.Context, requestID string) error
}

// NewIssuance builds the activities. start starts the workflow of a request; the logger gets the text of failures that Temporal must not
// have.
func NewIssuance(issuer Issuer, start func(ctx context.Context, requestID string) error, log *slog.Logger) *Issuance {
	return &Issuance{guard: guard{log: log}, issuer: issuer, start: start}
}

// Begin is Issuer.Begin.
func (a *Issuance) Begin(ctx context.Context, requestID string) (messages.Snapshot, error) {
	return call(ctx, a.guard, func() (messages.Snapshot, error) { return a.issuer.Begin(ctx, requestID) })
}

// Apply is Issuer.Apply.
func (a *Issuance) Apply(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	return call(ctx, a.guard, func() (messages.Snapshot, error) { return a.issuer.Apply(ctx, ref) })
}

// Expire is Issuer.Expire.
func (a *Issuance) Expire(ctx context.Context, requestID string) (messages.Snapshot, error) {
	return call(ctx, a.guard, func() (messages.Snapshot, error) { return a.issuer.Expire(ctx, requestID) })
}

// Notify is Issuer.Notify.
func (a *Issuance) Notify(ctx context.Context, in messages.NotifyInput) error {
	defer keepAlive(ctx)()
	return a.do(ctx, func() error { return a.issuer.Notify(ctx, in.RequestID, in.Generation) })
}

// RemindApprovers is Issuer.RemindApprovers.
func (a *Issuance) RemindApprovers(ctx context.Context, in messages.ReminderInput) error {
	return a.do(ctx, func() error { return a.issuer.RemindApprovers(ctx, in.RequestID, in.N) })
}

// Sign is Issuer.Sign; it runs on the signing queue.
func (a *Issuance) Sign(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	return call(ctx, a.guard, func() (messages.Snapshot, error) { return a.issuer.Sign(ctx, ref) })
}

// Reconcile starts the workflows of open requests and cancellations that have none.
func (a *Issuance) Reconcile(ctx context.Context) (messages.ReconcileResult, error) {
	return call(ctx, a.guard, func() (messages.ReconcileResult, error) {
		started, err := a.issuer.Reconcile(ctx, a.start)
		return messages.ReconcileResult{Started: started}, err
	})
}
