package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/worker"
	"github.com/mdocket/mdocket/workflows"
	"github.com/mdocket/mdocket/workflows/messages"
)

// run is one workflow in the SDK's test environment, where time passes at once while nothing else happens.
type run struct {
	t      *testing.T
	env    *testsuite.TestWorkflowEnvironment
	issuer *fakeIssuer
	began  time.Time
}

// newRun prepares the workflow of request "r1".
func newRun(t *testing.T, r request) *run {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(quiet))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(10 * time.Second)
	issuer := newFakeIssuer(env.Now)
	if r.deadline.IsZero() {
		r.deadline = env.Now().Add(issuer.lifetime)
	}
	issuer.requests["r1"] = &r
	worker.RegisterRequests(env, bind(issuer, nil))
	return &run{t: t, env: env, issuer: issuer, began: env.Now()}
}

// answer is what an update came to.
type answer struct {
	accepted bool
	done     bool
	snap     messages.Snapshot
	err      error
}

func (a *answer) code() domain.Code {
	refused, ok := messages.AsRefusal(a.err)
	if !ok {
		return ""
	}
	return refused.Code
}

// update sends an act after a while.
func (r *run) update(after time.Duration, kind domain.ActKind, actID string) *answer {
	a := &answer{}
	r.env.RegisterDelayedCallback(func() { r.send(a, kind, actID) }, after)
	return a
}

// updates sends two acts at the same moment after a while.
func (r *run) updates(after time.Duration, first, second domain.ActKind) (*answer, *answer) {
	a, b := &answer{}, &answer{}
	r.env.RegisterDelayedCallback(func() {
		r.send(a, first, "first")
		r.send(b, second, "second")
	}, after)
	return a, b
}

func (r *run) send(a *answer, kind domain.ActKind, actID string) {
	r.env.UpdateWorkflow(string(kind), actID, &testsuite.TestUpdateCallback{
		OnAccept: func() { a.accepted = true },
		OnReject: func(err error) { a.done, a.err = true, err },
		OnComplete: func(result any, err error) {
			a.done, a.err = true, err
			if err == nil {
				a.snap = result.(messages.Snapshot)
			}
		},
	}, r.issuer.act(kind, "r1", actID))
}

// signAfterApply holds every Sign until the workflow has the result of an Apply.
func (r *run) signAfterApply() {
	applied := make(chan struct{})
	r.issuer.entered = func(method string) {
		if method == "Sign" {
			<-applied
		}
	}
	r.env.SetOnLocalActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) {
		if r.issuer.called("Apply") == 1 && r.issuer.called("Sign") == 0 {
			close(applied)
		}
	})
}

// finish runs the workflow to its end and gives how the request ended and after what time.
func (r *run) finish() (domain.RequestState, time.Duration) {
	r.env.ExecuteWorkflow(messages.WorkflowIssuance, messages.IssuanceInput{RequestID: "r1"})
	require.True(r.t, r.env.IsWorkflowCompleted())
	require.NoError(r.t, r.env.GetWorkflowError())
	var result messages.IssuanceResult
	require.NoError(r.t, r.env.GetWorkflowResult(&result))
	return result.State, r.env.Now().Sub(r.began)
}

// Every act in every state is carried out or refused as domain.ActKind.AllowedIn says.
func TestActsInStates(t *testing.T) {
	ends := map[domain.ActKind]domain.RequestState{
		domain.ActApprove: domain.RequestAwaitingCollection,
		domain.ActReject:  domain.RequestRejected,
		domain.ActCancel:  domain.RequestCanceled,
		domain.ActResend:  domain.RequestAwaitingCollection,
		domain.ActCollect: domain.RequestIssued,
	}
	for _, state := range []domain.RequestState{domain.RequestAwaitingApproval, domain.RequestAwaitingCollection, domain.RequestLocked} {
		for kind, end := range ends {
			t.Run(fmt.Sprintf("%s in %s", kind, state), func(t *testing.T) {
				r := newRun(t, request{state: state})
				got := r.update(time.Minute, kind, "act")
				final, after := r.finish()
				require.True(t, got.done)
				require.Equal(t, kind.AllowedIn(state), got.accepted)
				if !got.accepted {
					require.Equal(t, domain.CodeWrongState, got.code())
					require.Equal(t, domain.RequestExpired, final)
					require.Zero(t, r.issuer.called("Apply")+r.issuer.called("Sign"))
					return
				}
				require.NoError(t, got.err)
				require.Equal(t, end, got.snap.State)
				if end.Open() {
					require.Equal(t, domain.RequestExpired, final)
					require.GreaterOrEqual(t, after, 24*time.Hour+time.Minute)
				} else {
					require.Equal(t, end, final)
					require.Equal(t, time.Minute, after)
				}
			})
		}
	}
}

// A request that has ended gives its state at once: the workflow may be started for any request.
func TestEndedRequests(t *testing.T) {
	for _, state := range domain.RequestStates() {
		if state.Open() {
			continue
		}
		t.Run(string(state), func(t *testing.T) {
			r := newRun(t, request{state: state})
			final, after := r.finish()
			require.Equal(t, state, final)
			require.Zero(t, after)
		})
	}
}

func TestApproveNotifyCollect(t *testing.T) {
	r := newRun(t, request{state: domain.RequestReceived, approval: true})
	approve := r.update(time.Hour, domain.ActApprove, "a1")
	collect := r.update(2*time.Hour, domain.ActCollect, "a2")
	final, after := r.finish()
	require.NoError(t, approve.err)
	require.Equal(t, 1, approve.snap.Generation)
	require.NoError(t, collect.err)
	require.Equal(t, domain.RequestIssued, collect.snap.State)
	require.Equal(t, domain.RequestIssued, final)
	require.Equal(t, 2*time.Hour, after)
	require.Equal(t, []int{1}, r.issuer.notified)
}

func TestUnknownRequestFails(t *testing.T) {
	r := newRun(t, request{})
	delete(r.issuer.requests, "r1")
	early := r.update(0, domain.ActCancel, "a1")
	r.env.ExecuteWorkflow(messages.WorkflowIssuance, messages.IssuanceInput{RequestID: "r1"})
	refused, ok := messages.AsRefusal(r.env.GetWorkflowError())
	require.True(t, ok)
	require.Equal(t, domain.CodeNotFound, refused.Code)
	require.Equal(t, 1, r.issuer.called("Begin"), "an unknown request is not asked for again")
	require.True(t, early.done)
	require.Equal(t, domain.CodeNotFound, early.code())
}

func TestActOfAnotherRequestIsRefused(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval})
	var got error
	r.env.RegisterDelayedCallback(func() {
		r.env.UpdateWorkflow(messages.UpdateApprove, "a1", &testsuite.TestUpdateCallback{
			OnAccept: func() {}, OnReject: func(err error) { got = err }, OnComplete: func(any, error) {},
		}, messages.ActRef{RequestID: "r2", ActID: "a1"})
	}, time.Minute)
	r.finish()
	refused, ok := messages.AsRefusal(got)
	require.True(t, ok)
	require.Equal(t, domain.CodeInvalid, refused.Code)
}

func TestSecondDecisionIsRefused(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval})
	first := r.update(time.Minute, domain.ActApprove, "a1")
	second := r.update(2*time.Minute, domain.ActReject, "a2")
	r.finish()
	require.NoError(t, first.err)
	require.False(t, second.accepted)
	require.Equal(t, domain.CodeWrongState, second.code())
}

// Of two decisions at the same moment the validator lets both pass, and SQL takes one of them.
func TestDecisionsAtOnce(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval})
	reject, approve := r.updates(time.Minute, domain.ActReject, domain.ActApprove)
	r.update(time.Hour, domain.ActCollect, "a1")
	final, _ := r.finish()
	require.True(t, reject.accepted && reject.done)
	require.True(t, approve.accepted && approve.done)
	winner, loser, end := reject, approve, domain.RequestRejected
	if reject.err != nil {
		winner, loser, end = approve, reject, domain.RequestIssued
	}
	require.NoError(t, winner.err)
	require.Equal(t, domain.CodeWrongState, loser.code())
	require.Equal(t, end, final)
}

func TestUpdateBeforeBeginWaits(t *testing.T) {
	r := newRun(t, request{state: domain.RequestReceived, approval: true})
	r.issuer.failing["Begin"] = 3
	early := r.update(0, domain.ActApprove, "a1")
	r.issuer.entered = func(method string) {
		if method == "Apply" {
			require.Equal(t, 4, r.issuer.called("Begin"))
		}
	}
	r.update(time.Hour, domain.ActCollect, "a2")
	final, _ := r.finish()
	require.NoError(t, early.err)
	require.Equal(t, domain.RequestAwaitingCollection, early.snap.State)
	require.Equal(t, domain.RequestIssued, final)
}

// SQL may know more than the workflow, whose run may have been lost and started anew.
func TestSQLRefuses(t *testing.T) {
	already := domain.Errorf(domain.CodeAlreadyDecided, "somebody decided first").With("by", "account-7")
	missing := &domain.Error{Code: domain.CodeMissingData, Message: "data is missing",
		Fields: []domain.FieldError{{Field: "portrait", Problem: "is required"}}}
	for name, test := range map[string]struct {
		state domain.RequestState
		kind  domain.ActKind
		err   *domain.Error
	}{
		"a step in SQL": {domain.RequestAwaitingApproval, domain.ActApprove, already},
		"signing":       {domain.RequestAwaitingCollection, domain.ActCollect, missing},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, request{state: test.state})
			r.issuer.refuse["a1"] = fmt.Errorf("wrapped: %w", test.err)
			refused := r.update(time.Minute, test.kind, "a1")
			again := r.update(time.Hour, test.kind, "a2")
			r.update(2*time.Hour, domain.ActCancel, "a3")
			r.finish()
			require.True(t, refused.accepted)
			got, ok := messages.AsRefusal(refused.err)
			require.True(t, ok)
			require.Equal(t, test.err, got)
			require.NoError(t, again.err, "the workflow goes on waiting after a refusal")
		})
	}
}

func TestSQLOutageFailsNothing(t *testing.T) {
	r := newRun(t, request{state: domain.RequestReceived, approval: true})
	r.issuer.failing["Begin"] = 6
	r.issuer.failing["Apply"] = 6
	approve := r.update(time.Minute, domain.ActApprove, "a1")
	r.update(time.Hour, domain.ActCollect, "a2")
	final, _ := r.finish()
	require.NoError(t, approve.err)
	require.Equal(t, domain.RequestIssued, final)
	require.Equal(t, 7, r.issuer.called("Begin"))
	require.Equal(t, 7, r.issuer.called("Apply"))
}

func TestSignIsTriedAgain(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingCollection})
	r.issuer.failing["Sign"] = 3
	collect := r.update(time.Hour, domain.ActCollect, "a1")
	final, _ := r.finish()
	require.NoError(t, collect.err)
	require.Equal(t, domain.RequestIssued, final)
	require.Equal(t, 4, r.issuer.called("Sign"))
}

func TestSignWithoutEndIsGivenUp(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingCollection})
	r.issuer.failing["Sign"] = -1
	collect := r.update(time.Hour, domain.ActCollect, "a1")
	resend := r.update(2*time.Hour, domain.ActResend, "a2")
	r.finish()
	require.Equal(t, domain.CodeEngineUnavailable, collect.code())
	require.NotContains(t, collect.err.Error(), "192.0.2.1")
	require.NoError(t, resend.err)
	require.Equal(t, 2, r.issuer.called("Begin"), "the act may have been done all the same, so SQL is asked")
}

func TestDeadlines(t *testing.T) {
	for _, state := range []domain.RequestState{domain.RequestAwaitingApproval, domain.RequestAwaitingCollection, domain.RequestLocked} {
		t.Run(string(state), func(t *testing.T) {
			r := newRun(t, request{state: state})
			final, after := r.finish()
			require.Equal(t, domain.RequestExpired, final)
			require.Equal(t, 24*time.Hour, after)
			require.Equal(t, 1, r.issuer.called("Expire"))
		})
	}
}

func TestDeadlineMoved(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval})
	later := r.began.Add(72 * time.Hour)
	r.env.RegisterDelayedCallback(func() { r.issuer.with("r1", func(q *request) { q.deadline = later }) }, time.Hour)
	final, after := r.finish()
	require.Equal(t, domain.RequestExpired, final)
	require.Equal(t, 72*time.Hour, after)
	require.Equal(t, 2, r.issuer.called("Expire"))
}

// The timer of a far deadline gives way to a nearer one.
func TestDeadlineComesNearer(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval})
	r.issuer.lifetime = time.Hour
	r.update(time.Minute, domain.ActApprove, "a1")
	final, after := r.finish()
	require.Equal(t, domain.RequestExpired, final)
	require.Equal(t, time.Hour+time.Minute, after)
}

// SQL's clock may be behind the engine's. Then Expire is asked again with pauses, not in a tight loop.
func TestDeadlineWithClocksApart(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval})
	r.issuer.now = func() time.Time { return r.env.Now().Add(-time.Minute) }
	final, after := r.finish()
	require.Equal(t, domain.RequestExpired, final)
	require.Equal(t, 24*time.Hour+time.Minute, after)
	require.Equal(t, 7, r.issuer.called("Expire"))
}

func TestNoDeadlineMeansNoTimer(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval})
	r.issuer.with("r1", func(q *request) { q.deadline = time.Time{} })
	timers := 0
	r.env.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
	r.update(1000*time.Hour, domain.ActReject, "a1")
	final, _ := r.finish()
	require.Equal(t, domain.RequestRejected, final)
	require.Zero(t, r.issuer.called("Expire"))
	require.Zero(t, timers)
}

func TestReminders(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval, remind: 5 * time.Hour})
	final, after := r.finish()
	require.Equal(t, domain.RequestExpired, final)
	require.Equal(t, 24*time.Hour, after)
	require.Equal(t, []int{1, 2, 3, 4}, r.issuer.reminded)
}

func TestRemindersEndWithApproval(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval, remind: time.Hour})
	r.update(90*time.Minute, domain.ActApprove, "a1")
	r.update(20*time.Hour, domain.ActCollect, "a2")
	final, _ := r.finish()
	require.Equal(t, domain.RequestIssued, final)
	require.Equal(t, []int{1}, r.issuer.reminded)
}

func TestReminderThatFailsHoldsUpNothing(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval, remind: 10 * time.Hour})
	r.issuer.failing["RemindApprovers"] = -1
	approve := r.update(10*time.Hour+time.Second, domain.ActApprove, "a1")
	r.update(15*time.Hour, domain.ActCollect, "a2")
	final, _ := r.finish()
	require.NoError(t, approve.err)
	require.Equal(t, domain.RequestIssued, final)
	require.Equal(t, 5, r.issuer.called("RemindApprovers"), "the tries are bounded")
}

func TestNotifyIsTriedAgain(t *testing.T) {
	r := newRun(t, request{state: domain.RequestReceived})
	r.issuer.failing["Notify"] = 4
	collect := r.update(10*time.Minute, domain.ActCollect, "a1")
	r.finish()
	require.NoError(t, collect.err)
	require.Equal(t, []int{1}, r.issuer.notified)
	require.Equal(t, 5, r.issuer.called("Notify"))
}

func TestNotifyEndsWithTheDeadline(t *testing.T) {
	r := newRun(t, request{state: domain.RequestReceived})
	r.issuer.failing["Notify"] = -1
	final, after := r.finish()
	require.Equal(t, domain.RequestExpired, final)
	require.Equal(t, 24*time.Hour, after)
	require.Empty(t, r.issuer.notified)
	require.Greater(t, r.issuer.called("Notify"), 5)
}

// Messages that could not be sent in time are tried again when the deadline turns out to have been moved.
func TestNotifyAgainWithAMovedDeadline(t *testing.T) {
	r := newRun(t, request{state: domain.RequestReceived})
	r.issuer.failing["Notify"] = -1
	r.env.RegisterDelayedCallback(func() {
		r.issuer.with("r1", func(q *request) { q.deadline = q.deadline.Add(24 * time.Hour) })
	}, time.Hour)
	r.env.RegisterDelayedCallback(func() {
		r.issuer.mu.Lock()
		defer r.issuer.mu.Unlock()
		r.issuer.failing["Notify"] = 0
	}, 23*time.Hour+59*time.Minute)
	r.issuer.entered = func(method string) {
		if method == "Notify" && r.env.Now().Sub(r.began) > 23*time.Hour+59*time.Minute {
			require.GreaterOrEqual(t, r.env.Now().Sub(r.began), 24*time.Hour)
		}
	}
	final, _ := r.finish()
	require.Equal(t, domain.RequestExpired, final)
	require.Equal(t, []int{1}, r.issuer.notified)
}

// A re-send raises the generation: the messages of the one before are given up.
func TestResendReplacesNotify(t *testing.T) {
	r := newRun(t, request{state: domain.RequestReceived})
	r.issuer.failing["Notify"] = -1
	canceled := 0
	r.env.SetOnActivityCanceledListener(func(info *activity.Info) {
		require.Equal(t, "Notify", info.ActivityType.Name)
		canceled++
	})
	resend := r.update(time.Hour, domain.ActResend, "a1")
	r.env.RegisterDelayedCallback(func() {
		r.issuer.mu.Lock()
		defer r.issuer.mu.Unlock()
		r.issuer.failing["Notify"] = 0
	}, time.Hour)
	r.update(20*time.Hour, domain.ActCollect, "a2")
	final, _ := r.finish()
	require.Equal(t, domain.RequestIssued, final)
	require.Equal(t, 2, resend.snap.Generation)
	require.Equal(t, []int{2}, r.issuer.notified)
}

func TestLock(t *testing.T) {
	r := newRun(t, request{state: domain.RequestReceived})
	r.issuer.failing["Notify"] = -1
	r.env.RegisterDelayedCallback(func() {
		r.issuer.with("r1", func(q *request) { q.state = domain.RequestLocked })
		r.env.SignalWorkflow(messages.SignalLocked, nil)
	}, time.Hour)
	tries := 0
	r.env.RegisterDelayedCallback(func() { tries = r.issuer.called("Notify") }, 2*time.Hour)
	collect := r.update(8*time.Hour, domain.ActCollect, "a1")
	r.env.RegisterDelayedCallback(func() {
		require.Equal(t, tries, r.issuer.called("Notify"), "nothing is sent while the request is locked")
		r.issuer.mu.Lock()
		defer r.issuer.mu.Unlock()
		r.issuer.failing["Notify"] = 0
	}, 9*time.Hour)
	resend := r.update(10*time.Hour, domain.ActResend, "a2")
	again := r.update(11*time.Hour, domain.ActCollect, "a3")
	final, _ := r.finish()
	require.False(t, collect.accepted)
	require.Equal(t, domain.CodeWrongState, collect.code())
	require.NoError(t, resend.err)
	require.NoError(t, again.err)
	require.Equal(t, domain.RequestIssued, final)
	require.Equal(t, []int{2}, r.issuer.notified)
}

// A signal that comes after the operator has sent a new code must not lock the request again.
func TestLateLock(t *testing.T) {
	r := newRun(t, request{state: domain.RequestReceived})
	r.env.RegisterDelayedCallback(func() { r.env.SignalWorkflow(messages.SignalLocked, nil) }, time.Hour)
	collect := r.update(2*time.Hour, domain.ActCollect, "a1")
	r.finish()
	require.NoError(t, collect.err)
}

// Two steps that overlap may come back in another order than SQL took them in.
func TestOlderSnapshotsAreIgnored(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingCollection, generation: 1})
	r.issuer.lifetime = 48 * time.Hour
	r.issuer.stale["first"] = messages.Snapshot{State: domain.RequestAwaitingCollection, Generation: 1, Deadline: r.began.Add(time.Minute)}
	r.signAfterApply()
	slow, resend := r.updates(time.Hour, domain.ActCollect, domain.ActResend)
	final, after := r.finish()
	require.NoError(t, slow.err)
	require.NoError(t, resend.err)
	require.Equal(t, domain.RequestExpired, final)
	require.Equal(t, 49*time.Hour, after, "the deadline of the newer generation holds")
}

// A collection that the rules refuse for good, and a request that could never be collected, end the workflow; nothing is waited for any more.
func TestFailedRequests(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingCollection, generation: 1})
	r.issuer.stale["first"] = messages.Snapshot{State: domain.RequestFailed, Generation: 1}
	collected := r.update(time.Minute, domain.ActCollect, "first")
	end, after := r.finish()
	require.NoError(t, collected.err)
	require.Equal(t, domain.RequestFailed, collected.snap.State)
	require.Equal(t, domain.RequestFailed, end)
	require.Equal(t, time.Minute, after)

	late := newRun(t, request{state: domain.RequestFailed})
	end, after = late.finish()
	require.Equal(t, domain.RequestFailed, end)
	require.Zero(t, after)
}

func TestCancelWhileSigning(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingCollection})
	r.signAfterApply()
	collect, cancel := r.updates(time.Hour, domain.ActCollect, domain.ActCancel)
	final, _ := r.finish()
	require.NoError(t, cancel.err)
	require.True(t, collect.done, "the workflow does not end before all have their answer")
	require.Equal(t, domain.CodeWrongState, collect.code())
	require.Equal(t, domain.RequestCanceled, final)
}

func TestWorkflowCanceledInTemporal(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval})
	r.env.RegisterDelayedCallback(r.env.CancelWorkflow, time.Hour)
	r.env.ExecuteWorkflow(messages.WorkflowIssuance, messages.IssuanceInput{RequestID: "r1"})
	var canceled *temporal.CanceledError
	require.ErrorAs(t, r.env.GetWorkflowError(), &canceled)
	require.Equal(t, domain.RequestAwaitingApproval, r.issuer.requests["r1"].state, "SQL still has it open")
}

func TestLongHistoryStartsAfresh(t *testing.T) {
	r := newRun(t, request{state: domain.RequestAwaitingApproval, remind: time.Hour})
	r.env.RegisterDelayedCallback(func() { r.env.SetContinueAsNewSuggested(true) }, 90*time.Minute)
	r.env.ExecuteWorkflow(messages.WorkflowIssuance, messages.IssuanceInput{RequestID: "r1"})
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, r.env.GetWorkflowError(), &again)
	require.Equal(t, messages.WorkflowIssuance, again.WorkflowType.Name)
	require.Equal(t, 2*time.Hour, r.env.Now().Sub(r.began))
}

func TestReconcile(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(quiet))
	env := suite.NewTestWorkflowEnvironment()
	issuer := newFakeIssuer(env.Now)
	issuer.requests["r1"] = &request{state: domain.RequestReceived}
	issuer.requests["r2"] = &request{state: domain.RequestIssued}
	var started []string
	start := func(_ context.Context, id string) error {
		started = append(started, id)
		return nil
	}
	worker.RegisterRequests(env, bind(issuer, start))
	env.ExecuteWorkflow(workflows.Reconcile)
	require.NoError(t, env.GetWorkflowError())
	var result messages.ReconcileResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, messages.ReconcileResult{Started: 1}, result)
	require.Equal(t, []string{"r1"}, started)
}

func TestReconcileWithoutEngine(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(quiet))
	env := suite.NewTestWorkflowEnvironment()
	issuer := newFakeIssuer(env.Now)
	issuer.requests["r1"] = &request{state: domain.RequestReceived}
	start := func(context.Context, string) error {
		return errors.Join(errDown, domain.Errorf(domain.CodeEngineUnavailable, "try again"))
	}
	worker.RegisterRequests(env, bind(issuer, start))
	env.ExecuteWorkflow(workflows.Reconcile)
	require.Error(t, env.GetWorkflowError())
	require.Equal(t, 2, issuer.called("Reconcile"), "the schedule comes again soon, so the tries are few")
}

func TestNotices(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(quiet))
	env := suite.NewTestWorkflowEnvironment()
	issuer := newFakeIssuer(env.Now)
	worker.RegisterRequests(env, bind(issuer, func(context.Context, string) error { return nil }))
	env.ExecuteWorkflow(workflows.Notices)
	require.NoError(t, env.GetWorkflowError())
	var result messages.NoticesResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, messages.NoticesResult{Sent: 1}, result)
	require.Equal(t, 1, issuer.called("SendNotices"), "the schedule comes again soon, so there is one try")
}
