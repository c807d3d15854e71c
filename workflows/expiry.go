package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/workflows/messages"
)

var expiry *activities.Expiry

// Expiry does what time brings to documents: reminders, renewals, their end.
func Expiry(ctx workflow.Context) (messages.ExpiryResult, error) {
	var result messages.ExpiryResult
	err := workflow.ExecuteActivity(sweeping(ctx), expiry.SweepDocuments).Get(ctx, &result)
	return result, err
}
