package workflows_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/testenv"
	"github.com/mdocket/mdocket/worker"
	"github.com/mdocket/mdocket/workflows/messages"
)

const batchID = "b1"

// fakeBatcher keeps one batch in memory and counts how often each item was done. Its zero state is that of an unknown batch.
type fakeBatcher struct {
	mu      sync.Mutex
	state   domain.BatchState
	makes   bool           // requests, whose workflows are to be started
	done    []int          // by item: how often
	started []int          // by item: how often
	running int            // pages now
	most    map[string]int // by method: pages at once, at the most
	failing map[string]int // by method: how often it still fails, half-way for a page
	calls   map[string]int // by method
	meeting chan struct{}  // pages wait here for each other, if it is not nil
}

func (f *fakeBatcher) begin(total int) {
	f.state, f.done, f.started = domain.BatchReceived, make([]int, total+1), make([]int, total+1)
	f.most, f.failing, f.calls = map[string]int{}, map[string]int{}, map[string]int{}
}

func (f *fakeBatcher) called(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

// enter locks, counts the call and says whether it is to fail.
func (f *fakeBatcher) enter(method string) (fails bool, err error) {
	f.mu.Lock()
	if f.state == "" {
		return false, domain.NotFound("batch")
	}
	f.calls[method]++
	if f.failing[method] > 0 {
		f.failing[method]--
		return true, nil
	}
	return false, nil
}

func (f *fakeBatcher) BeginBatch(context.Context, string) (messages.BatchSnapshot, error) {
	fails, err := f.enter("BeginBatch")
	defer f.mu.Unlock()
	if fails || err != nil {
		return messages.BatchSnapshot{}, errOr(err)
	}
	if f.state == domain.BatchReceived {
		f.state = domain.BatchRunning
	}
	return messages.BatchSnapshot{State: f.state, Total: len(f.done) - 1, Requests: f.makes}, nil
}

func (f *fakeBatcher) RunBatch(_ context.Context, page messages.BatchPage, progress func(int) error) error {
	return f.page("RunBatch", page, progress, f.done)
}

func (f *fakeBatcher) StartRequests(_ context.Context, page messages.BatchPage, progress func(int) error) error {
	return f.page("StartRequests", page, progress, f.started)
}

// page counts each item of a page once.
func (f *fakeBatcher) page(method string, page messages.BatchPage, progress func(int) error, count []int) error {
	fails, err := f.enter(method)
	f.running++
	f.most[method] = max(f.most[method], f.running)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if f.meeting != nil {
		f.meeting <- struct{}{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.running-- }()
	for n := page.From; n <= page.To; n++ {
		if fails && n == (page.From+page.To)/2 {
			return errDown
		}
		if count[n] == 0 {
			count[n]++
		}
	}
	return progress(page.To + 1)
}

func (f *fakeBatcher) EndBatch(context.Context, string) (messages.BatchResult, error) {
	fails, err := f.enter("EndBatch")
	defer f.mu.Unlock()
	if fails || err != nil {
		return messages.BatchResult{}, errOr(err)
	}
	f.state = domain.BatchCompleted
	result := messages.BatchResult{Total: len(f.done) - 1}
	for _, times := range f.done[1:] {
		result.Completed += times
	}
	return result, nil
}

func errOr(err error) error {
	if err == nil {
		err = errDown
	}
	return err
}

// batchRun is one batch in the SDK's test environment.
type batchRun struct {
	t       *testing.T
	env     *testsuite.TestWorkflowEnvironment
	batcher *fakeBatcher
}

func newBatchRun(t *testing.T, total int) *batchRun {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(quiet))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(20 * time.Second)
	issuer := newFakeIssuer(env.Now)
	issuer.batches.begin(total)
	worker.RegisterRequests(env, bind(issuer, nil))
	return &batchRun{t: t, env: env, batcher: &issuer.batches}
}

func (r *batchRun) run(in messages.BatchInput) (messages.BatchResult, error) {
	r.env.ExecuteWorkflow(messages.WorkflowBatch, in)
	require.True(r.t, r.env.IsWorkflowCompleted())
	var result messages.BatchResult
	if err := r.env.GetWorkflowError(); err != nil {
		return result, err
	}
	return result, r.env.GetWorkflowResult(&result)
}

func TestBatchDoesEveryItem(t *testing.T) {
	for name, c := range map[string]struct{ total, pages int }{
		"one item":                      {1, 1},
		"one page":                      {500, 1},
		"one more":                      {501, 2},
		"more pages than run at a time": {4999, 10},
	} {
		t.Run(name, func(t *testing.T) {
			r := newBatchRun(t, c.total)
			result, err := r.run(messages.BatchInput{BatchID: batchID})
			require.NoError(t, err)
			require.Equal(t, messages.BatchResult{Total: c.total, Completed: c.total}, result)
			require.Equal(t, c.pages, r.batcher.called("RunBatch"))
			require.LessOrEqual(t, r.batcher.most["RunBatch"], 3)
			require.Equal(t, domain.BatchCompleted, r.batcher.state)
			require.Zero(t, r.batcher.called("StartRequests"), "there are none")
		})
	}
}

// The workflows of requests are started page by page, one after the other, when all items are done.
func TestBatchStartsItsRequests(t *testing.T) {
	r := newBatchRun(t, 1201)
	r.batcher.makes = true
	r.batcher.failing["StartRequests"] = 7 // the test environment tries an activity ten times
	r.env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if info.ActivityType.Name == "StartRequests" {
			r.batcher.mu.Lock()
			defer r.batcher.mu.Unlock()
			require.Equal(t, domain.BatchCompleted, r.batcher.state)
		}
	})
	result, err := r.run(messages.BatchInput{BatchID: batchID})
	require.NoError(t, err)
	require.Equal(t, messages.BatchResult{Total: 1201, Completed: 1201}, result)
	require.Equal(t, 1, r.batcher.most["StartRequests"])
	for n, times := range r.batcher.started[1:] {
		require.Equal(t, 1, times, n)
	}
}

// Three pages wait for each other: with fewer at a time they would wait for ever.
func TestPagesRunSideBySide(t *testing.T) {
	r := newBatchRun(t, 1500)
	r.batcher.meeting = make(chan struct{})
	var meeting sync.WaitGroup
	meeting.Go(func() {
		for range 3 {
			<-r.batcher.meeting
		}
	})
	all := make(chan struct{})
	go func() { defer close(all); meeting.Wait() }()
	_, err := r.run(messages.BatchInput{BatchID: batchID})
	require.NoError(t, err)
	<-all
	require.Equal(t, 3, r.batcher.called("RunBatch"))
}

// A batch that has ended gives its result at once: the workflow may be started for any batch.
func TestEndedBatch(t *testing.T) {
	r := newBatchRun(t, 700)
	r.batcher.state = domain.BatchCompleted
	result, err := r.run(messages.BatchInput{BatchID: batchID})
	require.NoError(t, err)
	require.Equal(t, 700, result.Total)
	require.Zero(t, r.batcher.called("RunBatch"))

	r = newBatchRun(t, 1700)
	r.batcher.state, r.batcher.makes = domain.BatchCompleted, true
	_, err = r.run(messages.BatchInput{BatchID: batchID, Next: 501})
	require.NoError(t, err)
	require.Zero(t, r.batcher.called("RunBatch"))
	require.Equal(t, 3, r.batcher.called("StartRequests"), "a run that goes on begins with the page after the last one that was started")
	require.Zero(t, r.batcher.started[500])
	require.Equal(t, 1, r.batcher.started[501])
}

func TestUnknownBatch(t *testing.T) {
	r := newBatchRun(t, 1)
	r.batcher.state = ""
	_, err := r.run(messages.BatchInput{BatchID: batchID})
	refused, ok := messages.AsRefusal(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, domain.CodeNotFound, refused.Code)
}

// An outage delays a batch, however long it lasts, and nothing is done twice.
func TestBatchOutlastsAnOutage(t *testing.T) {
	r := newBatchRun(t, 1200)
	r.batcher.failing = map[string]int{"BeginBatch": 40, "RunBatch": 12, "EndBatch": 40} // the test environment tries an activity ten times
	began := r.env.Now()
	result, err := r.run(messages.BatchInput{BatchID: batchID})
	require.NoError(t, err)
	require.Equal(t, 1200, result.Completed)
	for n, times := range r.batcher.done[1:] {
		require.Equal(t, 1, times, n)
	}
	require.Greater(t, r.env.Now().Sub(began), time.Minute)
}

// A long history ends in a fresh run that goes on after the last page of the old one.
func TestBatchContinuesAsNew(t *testing.T) {
	r := newBatchRun(t, 5000)
	r.env.SetContinueAsNewSuggested(true)
	_, err := r.run(messages.BatchInput{BatchID: batchID, Next: 1001})
	var afresh *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &afresh)
	require.Zero(t, r.batcher.called("RunBatch"), "no page is begun in a run that is about to end")

	r = newBatchRun(t, 5000)
	r.env.SetOnActivityCompletedListener(func(info *activity.Info, _ converter.EncodedValue, _ error) {
		if info.ActivityType.Name == "RunBatch" {
			r.env.SetContinueAsNewSuggested(true)
		}
	})
	_, err = r.run(messages.BatchInput{BatchID: batchID, Next: 1001})
	require.ErrorAs(t, err, &afresh)
	require.Equal(t, messages.WorkflowBatch, afresh.WorkflowType.Name)
	var next messages.BatchInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(afresh.Input, &next))
	require.Equal(t, batchID, next.BatchID)
	require.Equal(t, 1001+500*r.batcher.called("RunBatch"), next.Next, "every page that was begun has ended")
	require.Zero(t, r.batcher.running)
	require.NotZero(t, r.batcher.called("RunBatch"))

	r = newBatchRun(t, 5000)
	r.env.SetContinueAsNewSuggested(true)
	_, err = r.run(messages.BatchInput{BatchID: batchID, Next: 5001})
	require.NoError(t, err, "nothing is left to go on with")

	r = newBatchRun(t, 5000)
	r.batcher.makes = true
	r.env.SetOnActivityCompletedListener(func(info *activity.Info, _ converter.EncodedValue, _ error) {
		if info.ActivityType.Name == "StartRequests" {
			r.env.SetContinueAsNewSuggested(true)
		}
	})
	_, err = r.run(messages.BatchInput{BatchID: batchID})
	require.ErrorAs(t, err, &afresh)
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(afresh.Input, &next))
	require.Equal(t, 501, next.Next)
	require.Equal(t, domain.BatchCompleted, r.batcher.state, "so that the next run knows what it goes on with")
}

func TestCanceledBatchWorkflow(t *testing.T) {
	r := newBatchRun(t, 700)
	r.batcher.failing["BeginBatch"] = 1_000_000
	r.env.RegisterDelayedCallback(r.env.CancelWorkflow, time.Hour)
	_, err := r.run(messages.BatchInput{BatchID: batchID})
	require.True(t, temporal.IsCanceledError(err), "%v", err)
}

// batchWays are the ways through a batch, walked against a real server and recorded.
var batchWays = []struct {
	name  string
	total int
	fails int // tries of pages
	makes bool
	ended bool
}{
	{name: "batch-pages", total: 2600},
	{name: "batch-requests", total: 2600, makes: true},
	{name: "batch-retry", total: 700, fails: 2},
	{name: "batch-ended", total: 700, ended: true},
}

// A batch of a hundred thousand must be far from the limit of Temporal (51,200 events, and 10,240 from which it warns).
const maxEventsOfBatch = 10_000

// Every activity works on a real server, and what it recorded replays.
func TestBatchWaysOnServer(t *testing.T) {
	c, err := client.Dial(client.Options{
		HostPort: testenv.Temporal(t), Logger: log.NewStructuredLogger(quiet), Identity: "recorder", WorkerHeartbeatInterval: -1,
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	for _, p := range batchWays {
		t.Run(p.name, func(t *testing.T) {
			issuer := newFakeIssuer(time.Now)
			batcher := &issuer.batches
			batcher.begin(p.total)
			batcher.failing["RunBatch"], batcher.makes = p.fails, p.makes
			if p.ended {
				batcher.state = domain.BatchCompleted
			}
			startWorkers(t, c, issuer)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			id := messages.BatchID(batchID)
			run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: messages.QueueRequests, EnableEagerStart: true},
				messages.WorkflowBatch, messages.BatchInput{BatchID: batchID})
			require.NoError(t, err)
			var result messages.BatchResult
			require.NoError(t, run.Get(ctx, &result))
			require.Equal(t, p.total, result.Total)
			for n, times := range batcher.done[1:] {
				require.Equal(t, !p.ended, times == 1, n)
				require.Equal(t, p.makes, batcher.started[n+1] == 1, n)
			}

			history := download(t, c, id, run.GetRunID())
			require.NoError(t, replay(history))
			events := len(history.GetEvents())
			t.Logf("%d events", events)
			if p.total == 2600 {
				pages := batcher.called("RunBatch")
				require.Equal(t, 6, pages)
				require.Less(t, (events/pages+1)*100_000/500, maxEventsOfBatch)
			}
			if *update {
				writeHistory(t, p.name, history)
			}
		})
	}
}
