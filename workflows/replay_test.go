package workflows_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/testenv"
	"github.com/mdocket/mdocket/worker"
	"github.com/mdocket/mdocket/workflows"
	"github.com/mdocket/mdocket/workflows/messages"
)

// A change of workflow code must replay every recorded history. Where it cannot, it goes behind workflow.GetVersion and the old histories
// stay; -update only adds what the present code does.
var update = flag.Bool("update", false, "record the histories in testdata/histories anew")

const histories = "testdata/histories"

// maxEvents bounds the history of the usual way from approval to collection: events are what an issuance costs.
const maxEvents = 32

// way is one way through an issuance, walked against a real server and recorded.
type way struct {
	name    string
	request request
	walk    func(s *stage)
	ends    domain.RequestState
}

var ways = []way{
	{
		name: "approve-collect", ends: domain.RequestIssued,
		request: request{state: domain.RequestReceived, approval: true, remind: time.Hour},
		walk: func(s *stage) {
			s.must(domain.ActApprove, domain.RequestAwaitingCollection)
			s.waitSent(1)
			s.must(domain.ActCollect, domain.RequestIssued)
		},
	},
	{
		name: "reject", ends: domain.RequestRejected,
		request: request{state: domain.RequestReceived, approval: true},
		walk:    func(s *stage) { s.must(domain.ActReject, domain.RequestRejected) },
	},
	{
		name: "expire", ends: domain.RequestExpired,
		request: request{state: domain.RequestReceived, approval: true},
		walk:    func(*stage) {},
	},
	{
		name: "cancel", ends: domain.RequestCanceled,
		request: request{state: domain.RequestReceived},
		walk: func(s *stage) {
			s.waitSent(1)
			s.must(domain.ActCancel, domain.RequestCanceled)
		},
	},
	{
		name: "collect", ends: domain.RequestIssued,
		request: request{state: domain.RequestReceived},
		walk: func(s *stage) {
			s.waitSent(1)
			s.must(domain.ActCollect, domain.RequestIssued)
		},
	},
	{
		name: "lock-resend-collect", ends: domain.RequestIssued,
		request: request{state: domain.RequestReceived},
		walk: func(s *stage) {
			s.waitSent(1)
			s.issuer.with(s.id, func(r *request) { r.state = domain.RequestLocked })
			s.lock()
			s.waitCalled("Begin", 2)
			s.refused(domain.ActCollect, domain.CodeWrongState)
			s.must(domain.ActResend, domain.RequestAwaitingCollection)
			s.waitSent(2)
			s.must(domain.ActCollect, domain.RequestIssued)
		},
	},
	{
		name: "refused-by-sql", ends: domain.RequestCanceled,
		request: request{state: domain.RequestReceived},
		walk: func(s *stage) {
			s.waitSent(1)
			s.issuer.refuse[s.actID(domain.ActCollect)] = domain.Errorf(domain.CodeKeyReused, "the key belongs to another document")
			s.refused(domain.ActCollect, domain.CodeKeyReused)
			s.issuer.refuse[s.actID(domain.ActCancel)] = domain.Errorf(domain.CodeAlreadyDecided, "somebody was first")
			s.refused(domain.ActCancel, domain.CodeAlreadyDecided)
			s.must(domain.ActCancel, domain.RequestCanceled)
		},
	},
	{
		name: "remind-retry", ends: domain.RequestIssued,
		request: request{state: domain.RequestReceived, approval: true, remind: 300 * time.Millisecond},
		walk: func(s *stage) {
			s.waitCalled("RemindApprovers", 2)
			s.issuer.failing["Apply"], s.issuer.failing["Sign"] = 2, 2
			s.must(domain.ActApprove, domain.RequestAwaitingCollection)
			s.must(domain.ActCollect, domain.RequestIssued)
		},
	},
}

// stage is the scene of one way: a workflow on the server and the issuer behind it.
type stage struct {
	t      *testing.T
	id     string
	client client.Client
	issuer *fakeIssuer
	acts   int
}

// actID gives the id of the next act of the kind.
func (s *stage) actID(kind domain.ActKind) string {
	return string(kind) + "-" + string(rune('a'+s.acts))
}

func (s *stage) act(kind domain.ActKind) (messages.Snapshot, error) {
	ref := s.issuer.act(kind, s.id, s.actID(kind))
	s.acts++
	ctx, cancel := context.WithTimeout(s.t.Context(), 15*time.Second)
	defer cancel()
	handle, err := s.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: messages.IssuanceID(s.id), UpdateID: ref.ActID, UpdateName: string(kind), Args: []any{ref},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	require.NoError(s.t, err)
	var snap messages.Snapshot
	return snap, handle.Get(ctx, &snap)
}

func (s *stage) must(kind domain.ActKind, want domain.RequestState) {
	s.t.Helper()
	snap, err := s.act(kind)
	require.NoError(s.t, err)
	require.Equal(s.t, want, snap.State)
}

func (s *stage) refused(kind domain.ActKind, want domain.Code) {
	s.t.Helper()
	_, err := s.act(kind)
	refused, ok := messages.AsRefusal(err)
	require.True(s.t, ok, "%v", err)
	require.Equal(s.t, want, refused.Code)
}

func (s *stage) lock() {
	require.NoError(s.t, s.client.SignalWorkflow(s.t.Context(), messages.IssuanceID(s.id), "", messages.SignalLocked, nil))
}

// waitSent waits until the workflow knows that the messages of the generation were sent: until no activity of it is pending.
func (s *stage) waitSent(generation int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.issuer.mu.Lock()
		sent := len(s.issuer.notified) == generation
		s.issuer.mu.Unlock()
		d, err := s.client.DescribeWorkflowExecution(s.t.Context(), messages.IssuanceID(s.id), "")
		return sent && err == nil && len(d.GetPendingActivities()) == 0 && d.GetPendingWorkflowTask() == nil
	}, 10*time.Second, 20*time.Millisecond)
}

func (s *stage) waitCalled(method string, times int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.issuer.called(method) >= times }, 10*time.Second, 10*time.Millisecond)
}

// Every handler, activity and timer works on a real server, and what it recorded replays.
func TestWaysOnServer(t *testing.T) {
	c, err := client.Dial(client.Options{
		HostPort: testenv.Temporal(t), Logger: log.NewStructuredLogger(quiet), Identity: "recorder", WorkerHeartbeatInterval: -1,
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	for _, p := range ways {
		t.Run(p.name, func(t *testing.T) {
			issuer := newFakeIssuer(time.Now)
			if p.ends == domain.RequestExpired {
				issuer.lifetime = 500 * time.Millisecond
			}
			r := p.request
			issuer.requests[p.name] = &r
			startWorkers(t, c, issuer)
			run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
				ID: messages.IssuanceID(p.name), TaskQueue: messages.QueueRequests, EnableEagerStart: true,
			}, messages.WorkflowIssuance, messages.IssuanceInput{RequestID: p.name})
			require.NoError(t, err)
			p.walk(&stage{t: t, id: p.name, client: c, issuer: issuer})
			var result messages.IssuanceResult
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			require.NoError(t, run.Get(ctx, &result))
			require.Equal(t, p.ends, result.State)

			history := download(t, c, messages.IssuanceID(p.name), run.GetRunID())
			require.NoError(t, replay(history))
			t.Logf("%d events", len(history.GetEvents()))
			if p.name == "approve-collect" {
				require.LessOrEqual(t, len(history.GetEvents()), maxEvents)
			}
			if *update {
				writeHistory(t, p.name, history)
			}
		})
	}
}

func startWorkers(t *testing.T, c client.Client, issuer *fakeIssuer) {
	a := bind(issuer, nil)
	requests := sdkworker.New(c, messages.QueueRequests, sdkworker.Options{})
	worker.RegisterRequests(requests, a)
	signing := sdkworker.New(c, messages.QueueSigning, sdkworker.Options{DisableWorkflowWorker: true})
	worker.RegisterSigning(signing, a)
	require.NoError(t, requests.Start())
	t.Cleanup(requests.Stop)
	require.NoError(t, signing.Start())
	t.Cleanup(signing.Stop)
	batches := sdkworker.New(c, messages.QueueBatches, sdkworker.Options{DisableWorkflowWorker: true})
	worker.RegisterBatches(batches, a)
	require.NoError(t, batches.Start())
	t.Cleanup(batches.Stop)
}

func download(t *testing.T, c client.Client, workflowID, runID string) *historypb.History {
	h := &historypb.History{}
	events := c.GetWorkflowHistory(t.Context(), workflowID, runID, false, 0)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		h.Events = append(h.Events, event)
	}
	return h
}

func replay(h *historypb.History) error {
	replayer := sdkworker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(workflows.Issuance, workflow.RegisterOptions{Name: messages.WorkflowIssuance})
	replayer.RegisterWorkflowWithOptions(workflows.Cancellation, workflow.RegisterOptions{Name: messages.WorkflowCancellation})
	replayer.RegisterWorkflowWithOptions(workflows.Batch, workflow.RegisterOptions{Name: messages.WorkflowBatch})
	return replayer.ReplayWorkflowHistory(log.NewStructuredLogger(quiet), h)
}

func writeHistory(t *testing.T, name string, h *historypb.History) {
	for _, event := range h.GetEvents() {
		queue := event.GetWorkflowTaskScheduledEventAttributes().GetTaskQueue()
		if queue.GetKind() == enumspb.TASK_QUEUE_KIND_STICKY {
			queue.Name = "sticky" // else it names the host that recorded
		}
	}
	text, err := protojson.Marshal(h)
	require.NoError(t, err)
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, err = zip.Write(text)
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	require.NoError(t, os.MkdirAll(histories, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(histories, name+".json.gz"), packed.Bytes(), 0o644))
}

func readHistory(t *testing.T, file string) *historypb.History {
	packed, err := os.ReadFile(file)
	require.NoError(t, err)
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	text, err := io.ReadAll(zip)
	require.NoError(t, err)
	h, err := client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
	require.NoError(t, err)
	return h
}

func TestReplay(t *testing.T) {
	if *update {
		t.Skip("the histories are being recorded in this run")
	}
	files, err := filepath.Glob(filepath.Join(histories, "*.json.gz"))
	require.NoError(t, err)
	for _, p := range ways {
		require.Contains(t, files, filepath.Join(histories, p.name+".json.gz"), "every way has a recorded history")
	}
	for _, p := range cancellationWays {
		require.Contains(t, files, filepath.Join(histories, p.name+".json.gz"), "every way has a recorded history")
	}
	for _, p := range batchWays {
		require.Contains(t, files, filepath.Join(histories, p.name+".json.gz"), "every way has a recorded history")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { require.NoError(t, replay(readHistory(t, file))) })
	}
}

// The replay test is worth something only if it notices a history that the code would not produce.
func TestReplayNoticesChanges(t *testing.T) {
	if *update {
		t.Skip("the histories are being recorded in this run")
	}
	h := readHistory(t, filepath.Join(histories, "approve-collect.json.gz"))
	changed := proto.CloneOf(h)
	for _, event := range changed.GetEvents() {
		if a := event.GetActivityTaskScheduledEventAttributes(); a.GetActivityType().GetName() == "Notify" {
			a.ActivityType.Name = "RemindApprovers"
		}
	}
	require.False(t, proto.Equal(h, changed))
	require.Error(t, replay(changed))
}
