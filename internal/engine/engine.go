// Package engine is the way to Temporal: the client with its payload encryption, and the few things that the issuing authority asks of it.
// It holds no rules and no workflows; whoever calls it has checked permissions and recorded the act in SQL before.
package engine

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// ErrNoWorkflow says that no workflow of the request or cancellation is running. If that is still open in SQL, start one and repeat.
var ErrNoWorkflow = errors.New("no such workflow is running")

const (
	defaultCallTimeout = 5 * time.Second
	defaultActTimeout  = 30 * time.Second
	longestAsk         = 3 * time.Second
)

// schedules are the workflows that run again and again. The next run of each finds whatever a missed one would have found.
var schedules = []struct {
	id, workflow string
	every        time.Duration
}{
	{messages.ScheduleReconcile, messages.WorkflowReconcile, 15 * time.Second},
	{messages.ScheduleNotices, messages.WorkflowNotices, 10 * time.Second},
	{messages.ScheduleExpiry, messages.WorkflowExpiry, 30 * time.Second},
}

// Options say how to reach Temporal.
type Options struct {
	HostPort    string
	Namespace   string
	TLS         *tls.Config // nil = plain text
	PayloadKeys [][]byte    // AES-256 keys of 32 bytes; the first encrypts, the others still decrypt
	Logger      *slog.Logger
	CallTimeout time.Duration // of a start, a signal or a ping; 0 = 5 s
	ActTimeout  time.Duration // of a whole act with its repetitions; 0 = 30 s
}

// Engine talks to Temporal. It is safe for concurrent use.
type Engine struct {
	client      client.Client
	log         *slog.Logger
	callTimeout time.Duration
	actTimeout  time.Duration
	// askAgain bounds one wait for an answer. Rarely an answer gets lost on its way although the workflow gave it long ago; asking again
	// under the same update id brings it.
	askAgain time.Duration
}

// NewLazy builds the engine without connecting: it fails on wrong options only, and calls fail with CodeEngineUnavailable until Temporal is
// there.
func NewLazy(o Options) (*Engine, error) {
	codec, err := NewPayloadCodec(o.PayloadKeys)
	if err != nil {
		return nil, err
	}
	encrypted := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec)
	c, err := client.NewLazyClient(client.Options{
		HostPort:      o.HostPort,
		Namespace:     o.Namespace,
		Logger:        log.NewStructuredLogger(o.Logger),
		Identity:      "mdocket-" + rand.Text()[:8], // tells processes apart without naming the host
		DataConverter: encrypted,
		FailureConverter: temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
			DataConverter:          encrypted,
			EncodeCommonAttributes: true,
		}),
		// Payloads are encrypted, which leaves nothing to compress.
		ConnectionOptions:       client.ConnectionOptions{TLS: o.TLS, GrpcCompression: &client.GrpcCompressionNone{}},
		WorkerHeartbeatInterval: -1, // off: they would carry the host's name
	})
	if err != nil {
		return nil, fmt.Errorf("build Temporal client: %w", err)
	}
	e := &Engine{client: c, log: o.Logger, callTimeout: o.CallTimeout, actTimeout: o.ActTimeout}
	if e.callTimeout <= 0 {
		e.callTimeout = defaultCallTimeout
	}
	if e.actTimeout <= 0 {
		e.actTimeout = defaultActTimeout
	}
	e.askAgain = min(longestAsk, e.actTimeout/4)
	return e, nil
}

// Client gives the Temporal client. Workers must use it too: only then can a start hand the first task straight to a worker of this
// process.
func (e *Engine) Client() client.Client { return e.client }

// Close ends the connection.
func (e *Engine) Close() { e.client.Close() }

// Ping asks whether Temporal answers; if not, the error has CodeEngineUnavailable.
func (e *Engine) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.callTimeout)
	defer cancel()
	if _, err := e.client.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return e.unavailable(ctx, "ping", err)
	}
	return nil
}

// StartIssuance starts the workflow of a request. That it is running already is a success; a run that ended does not prevent a new one.
// Fails with CodeEngineUnavailable.
func (e *Engine) StartIssuance(ctx context.Context, requestID string) error {
	return e.start(ctx, messages.WorkflowIssuance, messages.IssuanceID(requestID), messages.IssuanceInput{RequestID: requestID})
}

// StartCancellation is StartIssuance for a cancellation that needs approval.
func (e *Engine) StartCancellation(ctx context.Context, cancellationID string) error {
	return e.start(ctx, messages.WorkflowCancellation, messages.CancellationID(cancellationID),
		messages.CancellationInput{CancellationID: cancellationID})
}

// StartBatch is StartIssuance for a batch.
func (e *Engine) StartBatch(ctx context.Context, batchID string) error {
	return e.start(ctx, messages.WorkflowBatch, messages.BatchID(batchID), messages.BatchInput{BatchID: batchID})
}

func (e *Engine) start(ctx context.Context, workflow, id string, input any) error {
	ctx, cancel := context.WithTimeout(ctx, e.callTimeout)
	defer cancel()
	_, err := e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       id,
		TaskQueue:                                messages.QueueRequests,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		EnableEagerStart:                         true,
	}, workflow, input)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if err == nil || errors.As(err, &started) {
		return nil
	}
	return e.unavailable(ctx, "start "+workflow, err)
}

// Act has the workflow carry out a recorded act and gives the request as it is afterwards. The act's id makes it harmless to repeat: the
// same act gives the same answer. Fails with the *domain.Error of whoever refused it, with ErrNoWorkflow, or with CodeEngineUnavailable
// when there was no answer in time; the act may then still be carried out.
func (e *Engine) Act(ctx context.Context, kind domain.ActKind, ref messages.ActRef) (messages.Snapshot, error) {
	return update[messages.Snapshot](ctx, e, client.UpdateWorkflowOptions{
		WorkflowID: messages.IssuanceID(ref.RequestID),
		UpdateID:   ref.ActID,
		UpdateName: string(kind), // the updates are named as the acts
		Args:       []any{ref},
	})
}

// ActOnCancellation is Act for a cancellation.
func (e *Engine) ActOnCancellation(ctx context.Context, kind domain.CancellationAct,
	ref messages.CancellationActRef) (messages.CancellationSnapshot, error) {
	return update[messages.CancellationSnapshot](ctx, e, client.UpdateWorkflowOptions{
		WorkflowID: messages.CancellationID(ref.CancellationID),
		UpdateID:   ref.ActID,
		UpdateName: string(kind),
		Args:       []any{ref},
	})
}

// update sends an update until it is answered, and gives the snapshot it is answered with.
func update[T any](ctx context.Context, e *Engine, o client.UpdateWorkflowOptions) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, e.actTimeout)
	defer cancel()
	var none T
	for {
		snap, err := ask[T](ctx, e, o)
		if err == nil {
			return snap, nil
		}
		if refused, ok := messages.AsRefusal(err); ok {
			return none, refused
		}
		var notFound *serviceerror.NotFound
		if errors.As(err, &notFound) {
			return none, fmt.Errorf("%s: %w", o.UpdateName, ErrNoWorkflow)
		}
		var late *client.WorkflowUpdateServiceTimeoutOrCanceledError
		if !errors.As(err, &late) || ctx.Err() != nil {
			return none, e.unavailable(ctx, o.UpdateName, err)
		}
		if err := e.Ping(ctx); err != nil {
			return none, err
		}
	}
}

// ask sends the update, or joins it if it was sent before, and waits a while for its outcome.
func ask[T any](ctx context.Context, e *Engine, o client.UpdateWorkflowOptions) (snap T, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.askAgain)
	defer cancel()
	o.WaitForStage = client.WorkflowUpdateStageCompleted
	handle, err := e.client.UpdateWorkflow(ctx, o)
	if err == nil {
		err = handle.Get(ctx, &snap)
	}
	return snap, err
}

// Lock tells the workflow that the request was locked. Nothing depends on it: SQL refuses what a locked request does not allow. Fails with
// ErrNoWorkflow or CodeEngineUnavailable.
func (e *Engine) Lock(ctx context.Context, requestID string) error {
	ctx, cancel := context.WithTimeout(ctx, e.callTimeout)
	defer cancel()
	err := e.client.SignalWorkflow(ctx, messages.IssuanceID(requestID), "", messages.SignalLocked, nil)
	var notFound *serviceerror.NotFound
	switch {
	case err == nil:
		return nil
	case errors.As(err, &notFound):
		return fmt.Errorf("signal lock: %w", ErrNoWorkflow)
	}
	return e.unavailable(ctx, "signal lock", err)
}

// EnsureSchedules creates the schedules, or brings those that exist to the present interval. Fails with CodeEngineUnavailable.
func (e *Engine) EnsureSchedules(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.callTimeout)
	defer cancel()
	for _, s := range schedules {
		if err := e.ensureSchedule(ctx, s.id, s.workflow, s.every); err != nil {
			return e.unavailable(ctx, "ensure schedules", err)
		}
	}
	return nil
}

func (e *Engine) ensureSchedule(ctx context.Context, id, workflow string, every time.Duration) error {
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}}
	_, err := e.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:   id,
		Spec: spec,
		Action: &client.ScheduleWorkflowAction{
			ID:                       id,
			Workflow:                 workflow,
			TaskQueue:                messages.QueueRequests,
			WorkflowExecutionTimeout: 5 * time.Minute,
		},
		Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute,
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		err = e.client.ScheduleClient().GetHandle(ctx, id).Update(ctx, client.ScheduleUpdateOptions{
			DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
				schedule := in.Description.Schedule
				if now := schedule.Spec.Intervals; len(now) == 1 && now[0].Every == every {
					return nil, temporal.ErrSkipScheduleUpdate
				}
				schedule.Spec = &spec
				return &client.ScheduleUpdate{Schedule: &schedule}, nil
			},
		})
	}
	return err
}

// unavailable logs what went wrong and gives the error for callers, who learn only that they may try again.
func (e *Engine) unavailable(ctx context.Context, what string, err error) error {
	e.log.WarnContext(ctx, "the workflow engine did not answer", "call", what, "error", err)
	return domain.Errorf(domain.CodeEngineUnavailable, "the workflow engine does not answer; try again")
}
