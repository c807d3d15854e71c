package bench

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// floor is the leanest workflow with the waits of an issuance: eager start, a local activity at the start and in the approve Update, one regular
// activity in the collect Update. No SQL, no message, no signature: what the engine alone costs.
type floor struct {
	client client.Client
	worker worker.Worker
}

const (
	floorQueue   = "bench-floor"
	floorApprove = "approve"
	floorCollect = "collect"

	// pollers as our own workers have them, so that only the work differs.
	pollers = 4
)

func floorStep(context.Context, string) (string, error) { return "ok", nil }

func floorWorkflow(ctx workflow.Context, id string) error {
	local := workflow.LocalActivityOptions{ScheduleToCloseTimeout: 10 * time.Second}
	regular := workflow.ActivityOptions{StartToCloseTimeout: 30 * time.Second, RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second}}
	approved, collected := false, false
	step := func(ctx workflow.Context) error {
		var answer string
		return workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, local), floorStep, id).Get(ctx, &answer)
	}
	err := workflow.SetUpdateHandler(ctx, floorApprove, func(ctx workflow.Context, _ string) (string, error) {
		if err := step(ctx); err != nil {
			return "", err
		}
		approved = true
		return "ok", nil
	})
	if err != nil {
		return err
	}
	err = workflow.SetUpdateHandler(ctx, floorCollect, func(ctx workflow.Context, id string) (string, error) {
		var answer string
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, regular), "floorStep", id).Get(ctx, &answer)
		collected = err == nil
		return answer, err
	})
	if err != nil {
		return err
	}
	if err := step(ctx); err != nil {
		return err
	}
	if err := workflow.Await(ctx, func() bool { return approved && collected }); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

func startFloor(address string, quiet *slog.Logger) (*floor, error) {
	c, err := client.Dial(client.Options{HostPort: address, Logger: log.NewStructuredLogger(quiet),
		ConnectionOptions: client.ConnectionOptions{GrpcCompression: &client.GrpcCompressionNone{}}})
	if err != nil {
		return nil, fmt.Errorf("dial engine: %w", err)
	}
	w := worker.New(c, floorQueue, worker.Options{MaxConcurrentWorkflowTaskPollers: pollers, MaxConcurrentActivityTaskPollers: pollers})
	w.RegisterWorkflow(floorWorkflow)
	w.RegisterActivityWithOptions(floorStep, activity.RegisterOptions{Name: "floorStep"})
	if err := w.Start(); err != nil {
		c.Close()
		return nil, fmt.Errorf("start worker: %w", err)
	}
	return &floor{client: c, worker: w}, nil
}

func (f *floor) close() {
	f.worker.Stop()
	f.client.Close()
}

func (f *floor) begin(ctx context.Context, id string) error {
	_, err := f.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: floorQueue, EnableEagerStart: true,
		WorkflowExecutionErrorWhenAlreadyStarted: true, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE}, floorWorkflow, id)
	return err
}

func (f *floor) update(ctx context.Context, id, name string) error {
	h, err := f.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: id, UpdateName: name, UpdateID: id + name,
		Args: []any{id}, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		return err
	}
	return h.Get(ctx, nil)
}
