package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/workflows/messages"
)

var expiry *activities.Expiry

// Expiry does what time brings to documents: reminders, renewals, their end. A schedule runs it again and again, so a run that fails is
// not repeated.
func Expiry(ctx workflow.Context) (messages.ExpiryResult, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    messages.Heartbeat,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var result messages.ExpiryResult
	err := workflow.ExecuteActivity(ctx, expiry.SweepDocuments).Get(ctx, &result)
	return result, err
}
