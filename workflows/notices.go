package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/workflows/messages"
)

var notices *activities.Notices

// Notices sends the messages that no workflow waits for.
func Notices(ctx workflow.Context) (messages.NoticesResult, error) {
	var result messages.NoticesResult
	err := workflow.ExecuteActivity(sweeping(ctx), notices.SendNotices).Get(ctx, &result)
	return result, err
}

// sweeping gives the options of an activity that does whatever is due. A schedule runs it again and again, so a run that fails is not repeated.
func sweeping(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    messages.Heartbeat,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
	})
}
