// Package workflows holds what takes time: an issuance waits for approval, collection and deadlines, a reconciliation finds what was left
// lying. Workflows decide nothing about documents; they wait, keep the order and call activities. The truth is in SQL, so a workflow that
// was lost is started anew and goes on from there.
package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// activity names the activities; it is never called through.
var activity *activities.Issuance

// expireAgain is how long to wait before asking again when SQL's clock has not reached a deadline that the engine's clock has passed.
const expireAgain = 10 * time.Second

// Issuance takes one request from its receipt to its end. It answers the updates approve, reject, cancel, resend and collect with the
// request's Snapshot, or refuses them with a domain code as the error's type. An unknown request is the only failure; rejected, canceled,
// expired and failed are results.
func Issuance(ctx workflow.Context, in messages.IssuanceInput) (messages.IssuanceResult, error) {
	w := &issuance{id: in.RequestID}
	if err := w.setup(ctx); err != nil {
		return messages.IssuanceResult{}, err
	}
	return w.run(ctx)
}

// issuance is the state of one run. Handlers put snapshots into it, the main loop acts on them.
type issuance struct {
	id      string
	begun   bool  // Begin has answered
	failed  error // why Begin refused
	snap    messages.Snapshot
	changed workflow.Channel // wakes the main loop
	stale   bool             // SQL may know more than snap

	alarm       workflow.Future // the running timer, if any
	alarmAt     time.Time
	cancelAlarm workflow.CancelFunc

	expireAfter time.Time // no sooner is Expire asked again
	reminders   int       // sent or being sent
	remindedAt  time.Time // of the last one, or when waiting for approval began

	sending       int // generation whose messages are being sent; 0 = none
	cancelSending workflow.CancelFunc
}

// setup registers the handlers, before anything that could let an update in.
func (w *issuance) setup(ctx workflow.Context) error {
	w.changed = workflow.NewBufferedChannel(ctx, 1)
	for _, kind := range []domain.ActKind{domain.ActApprove, domain.ActReject, domain.ActCancel, domain.ActResend, domain.ActCollect} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, string(kind),
			func(ctx workflow.Context, ref messages.ActRef) (messages.Snapshot, error) {
				return w.act(ctx, kind, ref)
			},
			workflow.UpdateHandlerOptions{Validator: func(ref messages.ActRef) error { return w.validate(kind, ref) }})
		if err != nil {
			return err
		}
	}
	return nil
}

// run is the story: begin, then wait and act until the request has ended.
func (w *issuance) run(ctx workflow.Context) (messages.IssuanceResult, error) {
	err := workflow.ExecuteLocalActivity(inSQL(ctx), activity.Begin, w.id).Get(ctx, &w.snap)
	w.begun, w.failed, w.remindedAt = true, err, workflow.Now(ctx)
	for err == nil && w.snap.State.Open() {
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			err = w.startAfresh(ctx)
			break
		}
		if err = w.catchUp(ctx); err == nil {
			err = w.wait(ctx)
		}
	}
	// Running timers and unsent messages need no cancelling here: they end with the workflow. Handlers must have answered before.
	untilAnswered, _ := workflow.NewDisconnectedContext(ctx)
	if waitErr := workflow.Await(untilAnswered, func() bool { return workflow.AllHandlersFinished(ctx) }); waitErr != nil {
		return messages.IssuanceResult{}, waitErr
	}
	if err != nil && w.snap.State.Open() || w.failed != nil {
		return messages.IssuanceResult{}, err
	}
	return messages.IssuanceResult{State: w.snap.State}, nil
}

// startAfresh ends this run in favour of one with a short history. The next run learns everything from SQL, so signals, timers and messages
// of this one may be dropped.
func (w *issuance) startAfresh(ctx workflow.Context) error {
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	return workflow.NewContinueAsNewError(ctx, messages.WorkflowIssuance, messages.IssuanceInput{RequestID: w.id})
}

// validate refuses what cannot succeed, so that it leaves no trace in history. Before Begin nothing is known, and SQL decides.
func (w *issuance) validate(kind domain.ActKind, ref messages.ActRef) error {
	if ref.RequestID != w.id || ref.ActID == "" {
		return messages.Refusal(domain.Errorf(domain.CodeInvalid, "the act does not belong to this request"))
	}
	if w.begun && !kind.AllowedIn(w.snap.State) {
		return messages.Refusal(domain.Errorf(domain.CodeWrongState, "the request is %s; %s is not possible", w.snap.State, kind).
			With("state", string(w.snap.State)))
	}
	return nil
}

// act carries out an update. SQL has the last word: it may refuse what the validator let pass.
func (w *issuance) act(ctx workflow.Context, kind domain.ActKind, ref messages.ActRef) (messages.Snapshot, error) {
	if err := workflow.Await(ctx, func() bool { return w.begun }); err != nil {
		return messages.Snapshot{}, err
	}
	if w.failed != nil {
		return messages.Snapshot{}, w.failed
	}
	var step workflow.Future
	if kind == domain.ActCollect {
		step = workflow.ExecuteActivity(signing(ctx), activity.Sign, ref)
	} else {
		step = workflow.ExecuteLocalActivity(inSQL(ctx), activity.Apply, ref)
	}
	var snap messages.Snapshot
	if err := step.Get(ctx, &snap); err != nil {
		return messages.Snapshot{}, w.answer(err)
	}
	w.store(snap)
	return snap, nil
}

// answer makes of a step's failure what the caller gets. A refusal goes through as it is. A step that found no end in time may still have
// done its work, so the loop looks at SQL again.
func (w *issuance) answer(err error) error {
	if refused, ok := messages.AsRefusal(err); ok {
		return messages.Refusal(refused)
	}
	if temporal.IsCanceledError(err) {
		return err
	}
	w.stale = true
	w.changed.SendAsync(true)
	return messages.Refusal(domain.Errorf(domain.CodeEngineUnavailable, "the act was not finished in time; try again"))
}

// store takes over a snapshot, unless one that was read later came in first: requests move from generation to generation and, within one,
// from state to state in one direction only.
func (w *issuance) store(snap messages.Snapshot) {
	if !w.snap.State.Open() || snap.State.Open() && older(snap, w.snap) {
		return
	}
	if snap.State != w.snap.State {
		w.expireAfter = time.Time{}
	}
	w.snap = snap
	w.changed.SendAsync(true) // a full channel has woken the loop already
}

func older(a, b messages.Snapshot) bool {
	if a.Generation != b.Generation {
		return a.Generation < b.Generation
	}
	return b.State == domain.RequestLocked && a.State != domain.RequestLocked
}

// catchUp does everything that is due now.
func (w *issuance) catchUp(ctx workflow.Context) error {
	if w.stale {
		w.stale = false
		if err := w.look(ctx, activity.Begin); err != nil {
			return err
		}
	}
	now := workflow.Now(ctx)
	if at := w.expiresAt(); !at.IsZero() && !now.Before(at) {
		w.expireAfter = now.Add(expireAgain)
		return w.look(ctx, activity.Expire)
	}
	if at := w.remindsAt(); !at.IsZero() && !now.Before(at) {
		w.remind(ctx, now)
	}
	if w.snap.State.Open() {
		w.send(ctx, now)
	}
	return nil
}

// look asks SQL for the request by a local activity that takes its id.
func (w *issuance) look(ctx workflow.Context, local any) error {
	var snap messages.Snapshot
	if err := workflow.ExecuteLocalActivity(inSQL(ctx), local, w.id).Get(ctx, &snap); err != nil {
		return err
	}
	w.store(snap)
	return nil
}

// expiresAt gives when Expire is to be asked; zero = never.
func (w *issuance) expiresAt() time.Time {
	if w.snap.Deadline.IsZero() || w.snap.Deadline.After(w.expireAfter) {
		return w.snap.Deadline
	}
	return w.expireAfter
}

// remindsAt gives when the next reminder is due; zero = never.
func (w *issuance) remindsAt() time.Time {
	if w.snap.State != domain.RequestAwaitingApproval || w.snap.ReminderEvery <= 0 {
		return time.Time{}
	}
	return w.remindedAt.Add(w.snap.ReminderEvery)
}

// remind sends one reminder beside the loop. Reminders missed while no worker ran are not made up for.
func (w *issuance) remind(ctx workflow.Context, now time.Time) {
	w.reminders++
	w.remindedAt = now
	in := messages.ReminderInput{RequestID: w.id, N: w.reminders}
	workflow.Go(ctx, func(ctx workflow.Context) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Minute,
			RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 10 * time.Second, BackoffCoefficient: 2, MaximumAttempts: 5},
		})
		if err := workflow.ExecuteActivity(ctx, activity.RemindApprovers, in).Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("approvers not reminded", "n", in.N, "error", err)
		}
	})
}

// send starts sending the messages of the present generation if they are unsent, beside the loop and until the deadline, and stops sending
// those of a generation that was replaced or locked.
func (w *issuance) send(ctx workflow.Context, now time.Time) {
	generation, wanted := w.snap.Generation, w.snap.State == domain.RequestAwaitingCollection
	if w.sending != 0 && (w.sending != generation || !wanted) {
		w.cancelSending()
		w.sending = 0
	}
	if !wanted || !w.snap.Unsent || w.sending == generation {
		return
	}
	var left time.Duration // 0 = for ever
	if !w.snap.Deadline.IsZero() {
		if left = w.snap.Deadline.Sub(now); left <= 0 {
			return
		}
	}
	ctx, w.cancelSending = workflow.WithCancel(ctx)
	w.sending = generation
	workflow.Go(ctx, func(ctx workflow.Context) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout:    5 * time.Minute,
			HeartbeatTimeout:       messages.Heartbeat,
			ScheduleToCloseTimeout: left,
			RetryPolicy: &temporal.RetryPolicy{
				InitialInterval: 5 * time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Minute,
			},
		})
		in := messages.NotifyInput{RequestID: w.id, Generation: generation}
		err := workflow.ExecuteActivity(ctx, activity.Notify, in).Get(ctx, nil)
		if w.sending != generation {
			return // replaced meanwhile
		}
		w.sending = 0
		if err != nil {
			workflow.GetLogger(ctx).Warn("messages not sent", "generation", generation, "error", err)
		}
		if w.snap.Generation == generation {
			// Another try needs a newer snapshot that says unsent, for example after the deadline was moved.
			w.snap.Unsent = false
		}
	})
}

// wait sleeps until something is due or something changed. The error says that the workflow was canceled.
func (w *issuance) wait(ctx workflow.Context) error {
	if !w.snap.State.Open() || w.stale {
		return nil
	}
	w.setAlarm(ctx, earlier(w.expiresAt(), w.remindsAt()))
	var err error
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { err = ctx.Err() })
	selector.AddReceive(w.changed, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	selector.AddReceive(workflow.GetSignalChannel(ctx, messages.SignalLocked), func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		w.stale = true
	})
	if w.alarm != nil {
		selector.AddFuture(w.alarm, func(workflow.Future) { w.alarm = nil })
	}
	selector.Select(ctx)
	return err
}

// setAlarm sees to it that a timer fires at the given time or earlier. One that fires earlier is left running: nothing is due then and it
// is set again, which costs less over all requests than two events at every change of state.
func (w *issuance) setAlarm(ctx workflow.Context, at time.Time) {
	if at.IsZero() || w.alarm != nil && !w.alarmAt.After(at) {
		return
	}
	if w.alarm != nil {
		w.cancelAlarm()
	}
	ctx, w.cancelAlarm = workflow.WithCancel(ctx)
	w.alarm, w.alarmAt = workflow.NewTimer(ctx, at.Sub(workflow.Now(ctx))), at
}

// earlier gives the earlier of two times of which either may be zero for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// inSQL gives the options of local activities: short steps in SQL, tried again until SQL is back. Waits beyond the time of a workflow task
// become timers, so an outage holds no worker and fails no workflow. Handlers inherit no options, hence a function and not a field.
func inSQL(ctx workflow.Context) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 100 * 365 * 24 * time.Hour, // for ever
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: time.Minute,
		},
	})
}

// signing gives the options of the sign activity: a wallet waits for it, so it is tried again for two minutes at most.
func signing(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              messages.QueueSigning,
		StartToCloseTimeout:    10 * time.Second, // a signature takes milliseconds; a wallet waits while a dead worker is given up
		ScheduleToCloseTimeout: 2 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second,
		},
	})
}
