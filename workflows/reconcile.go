package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/workflows/messages"
)

// Reconcile starts the workflows of open requests that have none: their first start failed, or the engine lost them. A schedule runs it
// again and again, so a run that fails is not repeated for long.
func Reconcile(ctx workflow.Context) (messages.ReconcileResult, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 2},
	})
	var result messages.ReconcileResult
	err := workflow.ExecuteActivity(ctx, activity.Reconcile).Get(ctx, &result)
	return result, err
}
