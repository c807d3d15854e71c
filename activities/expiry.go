package activities

import (
	"context"
	"log/slog"

	"github.com/mdocket/mdocket/workflows/messages"
)

// DocumentSweeper is what the sweep of documents needs from the issuing authority.
type DocumentSweeper interface {
	// SweepDocuments does what is due about documents and counts it. It may run any number of times at once.
	SweepDocuments(ctx context.Context) (messages.ExpiryResult, error)
}

// Expiry holds the activity that does what time brings to documents.
type Expiry struct {
	guard
	issuer DocumentSweeper
}

// NewExpiry builds the activity. The logger gets the text of failures that Temporal must not have.
func NewExpiry(issuer DocumentSweeper, log *slog.Logger) *Expiry {
	return &Expiry{guard: guard{log: log}, issuer: issuer}
}

// SweepDocuments is DocumentSweeper.SweepDocuments.
func (a *Expiry) SweepDocuments(ctx context.Context) (messages.ExpiryResult, error) {
	defer keepAlive(ctx)()
	return call(ctx, a.guard, func() (messages.ExpiryResult, error) { return a.issuer.SweepDocuments(ctx) })
}
