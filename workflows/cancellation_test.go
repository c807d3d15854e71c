package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/testenv"
	"github.com/mdocket/mdocket/worker"
	"github.com/mdocket/mdocket/workflows/messages"
)

// cancelRun is one cancellation in the SDK's test environment, where time passes at once while nothing else happens.
type cancelRun struct {
	t        *testing.T
	env      *testsuite.TestWorkflowEnvironment
	canceler *fakeCanceler
	began    time.Time
}

func newCancelRun(t *testing.T, state domain.CancellationState) *cancelRun {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(quiet))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(10 * time.Second)
	issuer := newFakeIssuer(env.Now)
	c := &issuer.cancellations
	c.state, c.deadline = state, env.Now().Add(c.lifetime)
	worker.RegisterRequests(env, bind(issuer, nil))
	return &cancelRun{t: t, env: env, canceler: c, began: env.Now()}
}

// cancelAnswer is what an update came to.
type cancelAnswer struct {
	accepted, done bool
	snap           messages.CancellationSnapshot
	err            error
}

func (a *cancelAnswer) code() domain.Code {
	refused, ok := messages.AsRefusal(a.err)
	if !ok {
		return ""
	}
	return refused.Code
}

// update sends acts at the same moment after a while; their ids are "first", "second" and so on with the kind before them.
func (r *cancelRun) update(after time.Duration, kinds ...domain.CancellationAct) []*cancelAnswer {
	var out []*cancelAnswer
	for range kinds {
		out = append(out, &cancelAnswer{})
	}
	r.env.RegisterDelayedCallback(func() {
		for i, kind := range kinds {
			r.send(out[i], kind, r.canceler.act(kind, string(kind)+"-"+after.String()))
		}
	}, after)
	return out
}

func (r *cancelRun) send(a *cancelAnswer, kind domain.CancellationAct, ref messages.CancellationActRef) {
	r.env.UpdateWorkflow(string(kind), ref.ActID, &testsuite.TestUpdateCallback{
		OnAccept: func() { a.accepted = true },
		OnReject: func(err error) { a.done, a.err = true, err },
		OnComplete: func(result any, err error) {
			a.done, a.err = true, err
			if err == nil {
				a.snap = result.(messages.CancellationSnapshot)
			}
		},
	}, ref)
}

// finish runs the workflow to its end and gives how the cancellation ended and after what time.
func (r *cancelRun) finish() (domain.CancellationState, time.Duration) {
	r.env.ExecuteWorkflow(messages.WorkflowCancellation, messages.CancellationInput{CancellationID: cancellationID})
	require.True(r.t, r.env.IsWorkflowCompleted())
	require.NoError(r.t, r.env.GetWorkflowError())
	var result messages.CancellationResult
	require.NoError(r.t, r.env.GetWorkflowResult(&result))
	return result.State, r.env.Now().Sub(r.began)
}

func TestCancellationActs(t *testing.T) {
	for _, kind := range domain.CancellationActs() {
		for _, state := range []domain.CancellationState{domain.CancellationReceived, domain.CancellationAwaitingApproval} {
			t.Run(string(kind)+" of "+string(state), func(t *testing.T) {
				r := newCancelRun(t, state)
				got := r.update(time.Hour, kind)[0]
				end, after := r.finish()
				require.NoError(t, got.err)
				require.Equal(t, kind.Target(), got.snap.State)
				require.Equal(t, kind.Target(), end)
				require.Equal(t, time.Hour, after)
				require.Zero(t, r.canceler.called("ExpireCancellation"))
			})
		}
	}
}

// A cancellation that has ended gives its state at once: the workflow may be started for any cancellation.
func TestEndedCancellations(t *testing.T) {
	for _, state := range domain.CancellationStates() {
		if state.Open() {
			continue
		}
		t.Run(string(state), func(t *testing.T) {
			end, after := newCancelRun(t, state).finish()
			require.Equal(t, state, end)
			require.Zero(t, after)
		})
	}
}

func TestCancellationExpires(t *testing.T) {
	r := newCancelRun(t, domain.CancellationReceived)
	end, after := r.finish()
	require.Equal(t, domain.CancellationExpired, end)
	require.Equal(t, 24*time.Hour, after)
	require.Equal(t, 1, r.canceler.called("ExpireCancellation"))
}

func TestCancellationPastItsDeadlineExpiresAtOnce(t *testing.T) {
	r := newCancelRun(t, domain.CancellationAwaitingApproval)
	r.canceler.deadline = r.began.Add(-time.Hour)
	end, after := r.finish()
	require.Equal(t, domain.CancellationExpired, end)
	require.Zero(t, after)
}

func TestCancellationDeadlineWithSQLBehind(t *testing.T) {
	r := newCancelRun(t, domain.CancellationReceived)
	r.canceler.behind = 25 * time.Second
	end, after := r.finish()
	require.Equal(t, domain.CancellationExpired, end)
	require.Equal(t, 24*time.Hour+30*time.Second, after)
	require.Equal(t, 4, r.canceler.called("ExpireCancellation"))
}

func TestUnknownCancellationFails(t *testing.T) {
	r := newCancelRun(t, "")
	early := r.update(0, domain.CancellationApprove)[0]
	r.env.ExecuteWorkflow(messages.WorkflowCancellation, messages.CancellationInput{CancellationID: cancellationID})
	refused, ok := messages.AsRefusal(r.env.GetWorkflowError())
	require.True(t, ok)
	require.Equal(t, domain.CodeNotFound, refused.Code)
	require.Equal(t, 1, r.canceler.called("BeginCancellation"))
	require.True(t, early.done)
	require.Equal(t, domain.CodeNotFound, early.code())
}

func TestActOfAnotherCancellationIsRefused(t *testing.T) {
	for name, ref := range map[string]messages.CancellationActRef{
		"other": {CancellationID: "c2", ActID: "a1"},
		"no id": {CancellationID: cancellationID},
	} {
		t.Run(name, func(t *testing.T) {
			r := newCancelRun(t, domain.CancellationAwaitingApproval)
			got := &cancelAnswer{}
			r.env.RegisterDelayedCallback(func() { r.send(got, domain.CancellationApprove, ref) }, time.Minute)
			r.finish()
			require.False(t, got.accepted)
			require.Equal(t, domain.CodeInvalid, got.code())
		})
	}
}

// Of acts at the same moment the validator lets all pass, and SQL takes the first.
func TestCancellationActsAtOnce(t *testing.T) {
	r := newCancelRun(t, domain.CancellationAwaitingApproval)
	all := r.update(time.Minute, domain.CancellationActs()...)
	end, after := r.finish()
	require.Equal(t, time.Minute, after)
	taken := 0
	for i, a := range all {
		require.True(t, a.accepted && a.done)
		if a.err != nil {
			require.Equal(t, domain.CodeWrongState, a.code())
			continue
		}
		taken++
		require.Equal(t, domain.CancellationActs()[i].Target(), end)
	}
	require.Equal(t, 1, taken)
}

func TestCancellationUpdateBeforeBeginWaits(t *testing.T) {
	r := newCancelRun(t, domain.CancellationReceived)
	r.canceler.failing["BeginCancellation"] = 3
	early := r.update(0, domain.CancellationApprove)[0]
	end, _ := r.finish()
	require.NoError(t, early.err)
	require.Equal(t, domain.CancellationApproved, end)
}

// An outage of SQL delays and loses nothing.
func TestCancellationOutlastsAnOutage(t *testing.T) {
	r := newCancelRun(t, domain.CancellationReceived)
	r.canceler.failing["ApplyCancellation"], r.canceler.failing["ExpireCancellation"] = 8, 8
	got := r.update(time.Hour, domain.CancellationReject)[0]
	end, after := r.finish()
	require.NoError(t, got.err)
	require.Equal(t, domain.CancellationRejected, end)
	require.Greater(t, after, time.Hour)
}

// When the document ended by itself, its cancellation ended in SQL with it: the refused approval makes the workflow look.
func TestCancellationEndedBehindTheWorkflow(t *testing.T) {
	r := newCancelRun(t, domain.CancellationReceived)
	r.env.RegisterDelayedCallback(func() { r.canceler.become(domain.CancellationExpired) }, time.Minute)
	got := r.update(time.Hour, domain.CancellationApprove)[0]
	end, after := r.finish()
	require.True(t, got.accepted)
	require.Equal(t, domain.CodeWrongState, got.code())
	require.Equal(t, domain.CancellationExpired, end)
	require.Equal(t, time.Hour, after)
}

// A refusal that left the cancellation open leaves the workflow waiting, under the same deadline.
func TestCancellationRefusedBySQLGoesOn(t *testing.T) {
	r := newCancelRun(t, domain.CancellationReceived)
	want := domain.Errorf(domain.CodeWrongState, "the document is over").With("state", "expired")
	r.canceler.refuse["approve-1h0m0s"] = want
	first := r.update(time.Hour, domain.CancellationApprove)[0]
	end, after := r.finish()
	refused, ok := messages.AsRefusal(first.err)
	require.True(t, ok)
	require.Equal(t, want, refused)
	require.Equal(t, domain.CancellationExpired, end)
	require.Equal(t, 24*time.Hour, after)
}

func TestCanceledCancellationWorkflow(t *testing.T) {
	r := newCancelRun(t, domain.CancellationReceived)
	r.env.RegisterDelayedCallback(r.env.CancelWorkflow, time.Hour)
	r.env.ExecuteWorkflow(messages.WorkflowCancellation, messages.CancellationInput{CancellationID: cancellationID})
	require.True(t, temporal.IsCanceledError(r.env.GetWorkflowError()), "%v", r.env.GetWorkflowError())
}

// maxCancellationEvents bounds the history of a cancellation that is decided.
const maxCancellationEvents = 13

// cancellationWays are the ways through a cancellation, walked against a real server and recorded.
var cancellationWays = []struct {
	name string
	acts []domain.CancellationAct // one after the other; all but the last are refused by SQL
	ends domain.CancellationState
}{
	{"cancellation-approve", []domain.CancellationAct{domain.CancellationApprove}, domain.CancellationApproved},
	{"cancellation-reject", []domain.CancellationAct{domain.CancellationReject}, domain.CancellationRejected},
	{"cancellation-withdraw", []domain.CancellationAct{domain.CancellationWithdraw}, domain.CancellationWithdrawn},
	{"cancellation-expire", nil, domain.CancellationExpired},
	{"cancellation-refused-by-sql", []domain.CancellationAct{domain.CancellationApprove, domain.CancellationReject},
		domain.CancellationRejected},
}

// Every handler and the timer work on a real server, and what it recorded replays.
func TestCancellationWaysOnServer(t *testing.T) {
	c, err := client.Dial(client.Options{
		HostPort: testenv.Temporal(t), Logger: log.NewStructuredLogger(quiet), Identity: "recorder", WorkerHeartbeatInterval: -1,
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	for _, p := range cancellationWays {
		t.Run(p.name, func(t *testing.T) {
			issuer := newFakeIssuer(time.Now)
			canceler := &issuer.cancellations
			canceler.state = domain.CancellationReceived
			if p.ends == domain.CancellationExpired {
				canceler.lifetime = 500 * time.Millisecond
			}
			startWorkers(t, c, issuer)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			id := messages.CancellationID(cancellationID)
			run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: messages.QueueRequests, EnableEagerStart: true},
				messages.WorkflowCancellation, messages.CancellationInput{CancellationID: cancellationID})
			require.NoError(t, err)
			for i, kind := range p.acts {
				actID := string(kind) + "-a"
				last := i == len(p.acts)-1
				if !last {
					canceler.refuse[actID] = domain.Errorf(domain.CodeWrongState, "the document is over")
				}
				handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: id, UpdateID: actID, UpdateName: string(kind),
					Args: []any{canceler.act(kind, actID)}, WaitForStage: client.WorkflowUpdateStageCompleted})
				require.NoError(t, err)
				var snap messages.CancellationSnapshot
				err = handle.Get(ctx, &snap)
				if !last {
					_, ok := messages.AsRefusal(err)
					require.True(t, ok, "%v", err)
					require.Eventually(t, func() bool { return canceler.called("ExpireCancellation") == 1 }, 10*time.Second, 10*time.Millisecond)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, p.ends, snap.State)
			}
			var result messages.CancellationResult
			require.NoError(t, run.Get(ctx, &result))
			require.Equal(t, p.ends, result.State)

			history := download(t, c, id, run.GetRunID())
			require.NoError(t, replay(history))
			t.Logf("%d events", len(history.GetEvents()))
			if len(p.acts) == 1 {
				require.LessOrEqual(t, len(history.GetEvents()), maxCancellationEvents)
			}
			if *update {
				writeHistory(t, p.name, history)
			}
		})
	}
}
