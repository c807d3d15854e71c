package activities

import (
	"context"
	"log/slog"

	"github.com/mdocket/mdocket/workflows/messages"
)

// Canceler is what the cancellation workflow needs from the issuing authority. What is said of Issuer's methods holds for these too.
type Canceler interface {
	// BeginCancellation moves a received cancellation to awaiting_approval; in any other state it only reads. CodeNotFound ends the workflow.
	BeginCancellation(ctx context.Context, id string) (messages.CancellationSnapshot, error)
	// ApplyCancellation carries out a recorded act (approve, reject, withdraw) under the rules of the state SQL has now. When an approval
	// returns without error, the document is canceled.
	ApplyCancellation(ctx context.Context, ref messages.CancellationActRef) (messages.CancellationSnapshot, error)
	// ExpireCancellation ends the cancellation if its deadline has passed; else it only reads.
	ExpireCancellation(ctx context.Context, id string) (messages.CancellationSnapshot, error)
}

// Cancellation holds the activities of one cancellation; worker registers its methods under their names.
type Cancellation struct {
	guard
	issuer Canceler
}

// NewCancellation builds the activities. The logger gets the text of failures that Temporal must not have.
func NewCancellation(issuer Canceler, log *slog.Logger) *Cancellation {
	return &Cancellation{guard: guard{log: log}, issuer: issuer}
}

// BeginCancellation is Canceler.BeginCancellation.
func (a *Cancellation) BeginCancellation(ctx context.Context, id string) (messages.CancellationSnapshot, error) {
	return call(ctx, a.guard, func() (messages.CancellationSnapshot, error) { return a.issuer.BeginCancellation(ctx, id) })
}

// ApplyCancellation is Canceler.ApplyCancellation.
func (a *Cancellation) ApplyCancellation(ctx context.Context, ref messages.CancellationActRef) (messages.CancellationSnapshot, error) {
	return call(ctx, a.guard, func() (messages.CancellationSnapshot, error) { return a.issuer.ApplyCancellation(ctx, ref) })
}

// ExpireCancellation is Canceler.ExpireCancellation.
func (a *Cancellation) ExpireCancellation(ctx context.Context, id string) (messages.CancellationSnapshot, error) {
	return call(ctx, a.guard, func() (messages.CancellationSnapshot, error) { return a.issuer.ExpireCancellation(ctx, id) })
}
