package activities

import (
	"context"
	"log/slog"

	"github.com/mdocket/mdocket/workflows/messages"
)

// Notifier is what the sweep of notices needs from the issuing authority.
type Notifier interface {
	// SendNotices sends the notices that are due and gives how many went out. It may run any number of times at once.
	SendNotices(ctx context.Context) (int, error)
}

// Notices holds the activity that sends messages no workflow waits for.
type Notices struct {
	guard
	issuer Notifier
}

// NewNotices builds the activity. The logger gets the text of failures that Temporal must not have.
func NewNotices(issuer Notifier, log *slog.Logger) *Notices {
	return &Notices{guard: guard{log: log}, issuer: issuer}
}

// SendNotices is Notifier.SendNotices.
func (a *Notices) SendNotices(ctx context.Context) (messages.NoticesResult, error) {
	defer keepAlive(ctx)()
	return call(ctx, a.guard, func() (messages.NoticesResult, error) {
		sent, err := a.issuer.SendNotices(ctx)
		return messages.NoticesResult{Sent: sent}, err
	})
}
