package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// canceling names the activities of a cancellation; it is never called through.
var canceling *activities.Cancellation

// Cancellation lets one wish to cancel a document wait for another operator's approval, until its deadline. It answers the updates approve,
// reject and withdraw with a CancellationSnapshot, or refuses them with a domain code as the error's type. An unknown cancellation is the
// only failure; rejected, withdrawn and expired are results.
func Cancellation(ctx workflow.Context, in messages.CancellationInput) (messages.CancellationResult, error) {
	w := &cancellation{id: in.CancellationID}
	if err := w.setup(ctx); err != nil {
		return messages.CancellationResult{}, err
	}
	return w.run(ctx)
}

// cancellation is the state of one run.
type cancellation struct {
	id     string
	begun  bool  // BeginCancellation has answered
	failed error // why it refused
	snap   messages.CancellationSnapshot
	stale  bool            // SQL may know more than snap
	alarm  workflow.Future // the running timer, if any
	pause  time.Duration   // at least, before the deadline is looked at again
}

// setup registers the handlers, before anything that could let an update in.
func (w *cancellation) setup(ctx workflow.Context) error {
	for _, kind := range domain.CancellationActs() {
		err := workflow.SetUpdateHandlerWithOptions(ctx, string(kind), w.act,
			workflow.UpdateHandlerOptions{Validator: func(ref messages.CancellationActRef) error { return w.validate(kind, ref) }})
		if err != nil {
			return err
		}
	}
	return nil
}

// run is the story: begin, then wait until the cancellation has ended. Nothing has to be done in between, so there is one timer and no loop
// over what is due; and few updates reach the history, so the run never has to be continued as a new one.
func (w *cancellation) run(ctx workflow.Context) (messages.CancellationResult, error) {
	err := workflow.ExecuteLocalActivity(inSQL(ctx), canceling.BeginCancellation, w.id).Get(ctx, &w.snap)
	w.begun, w.failed = true, err
	for err == nil && w.snap.State.Open() {
		err = w.wait(ctx)
	}
	untilAnswered, _ := workflow.NewDisconnectedContext(ctx)
	if waitErr := workflow.Await(untilAnswered, func() bool { return workflow.AllHandlersFinished(ctx) }); waitErr != nil {
		return messages.CancellationResult{}, waitErr
	}
	if err != nil && w.snap.State.Open() || w.failed != nil {
		return messages.CancellationResult{}, err
	}
	return messages.CancellationResult{State: w.snap.State}, nil
}

// validate refuses what cannot succeed, so that it leaves no trace in history. Before BeginCancellation nothing is known, and SQL decides.
func (w *cancellation) validate(kind domain.CancellationAct, ref messages.CancellationActRef) error {
	if ref.CancellationID != w.id || ref.ActID == "" {
		return messages.Refusal(domain.Errorf(domain.CodeInvalid, "the act does not belong to this cancellation"))
	}
	if w.begun && !kind.AllowedIn(w.snap.State) {
		return messages.Refusal(domain.Errorf(domain.CodeWrongState, "the cancellation is %s; %s is not possible", w.snap.State, kind).
			With("state", string(w.snap.State)))
	}
	return nil
}

// act carries out an update. SQL has the last word: what it refuses although the validator let it pass, it refuses because it knows more.
func (w *cancellation) act(ctx workflow.Context, ref messages.CancellationActRef) (messages.CancellationSnapshot, error) {
	var none, snap messages.CancellationSnapshot
	if err := workflow.Await(ctx, func() bool { return w.begun }); err != nil {
		return none, err
	}
	if w.failed != nil {
		return none, w.failed
	}
	if err := workflow.ExecuteLocalActivity(inSQL(ctx), canceling.ApplyCancellation, ref).Get(ctx, &snap); err != nil {
		w.stale = true
		if refused, ok := messages.AsRefusal(err); ok {
			return none, messages.Refusal(refused)
		}
		return none, err
	}
	w.store(snap)
	return snap, nil
}

// store takes over a snapshot, unless an end is known already: there is no way back from one, so the snapshot is older.
func (w *cancellation) store(snap messages.CancellationSnapshot) {
	if w.snap.State.Open() {
		w.snap = snap
	}
}

// wait sleeps until an act ends the cancellation. At the deadline, and when SQL may know more, it looks at SQL. The error says that the
// workflow was canceled.
func (w *cancellation) wait(ctx workflow.Context) error {
	if w.alarm == nil && !w.snap.Deadline.IsZero() {
		w.alarm = workflow.NewTimer(ctx, max(w.pause, w.snap.Deadline.Sub(workflow.Now(ctx))))
	}
	due := func() bool { return w.alarm != nil && w.alarm.IsReady() }
	if err := workflow.Await(ctx, func() bool { return !w.snap.State.Open() || w.stale || due() }); err != nil {
		return err
	}
	if !w.snap.State.Open() {
		return nil // the timer ends with the workflow
	}
	if due() {
		w.alarm, w.pause = nil, expireAgain
	}
	w.stale = false
	var snap messages.CancellationSnapshot
	if err := workflow.ExecuteLocalActivity(inSQL(ctx), canceling.ExpireCancellation, w.id).Get(ctx, &snap); err != nil {
		return err
	}
	w.store(snap)
	return nil
}
