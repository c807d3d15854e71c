package activities_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// batcher answers every call with the same error and keeps what it was asked.
type batcher struct {
	err   error
	steps []int // of progress
	asked string
}

func (b *batcher) BeginBatch(_ context.Context, id string) (messages.BatchSnapshot, error) {
	b.asked = "begin " + id
	return messages.BatchSnapshot{State: domain.BatchRunning, Total: 9}, b.err
}

func (b *batcher) RunBatch(_ context.Context, page messages.BatchPage, progress func(int) error) error {
	return b.page("run", page, progress)
}

func (b *batcher) StartRequests(_ context.Context, page messages.BatchPage, progress func(int) error) error {
	return b.page("start", page, progress)
}

func (b *batcher) page(what string, page messages.BatchPage, progress func(int) error) error {
	b.asked = fmt.Sprintf("%s %s from %d to %d", what, page.BatchID, page.From, page.To)
	for _, next := range b.steps {
		if err := progress(next); err != nil {
			return err
		}
	}
	return b.err
}

func (b *batcher) EndBatch(_ context.Context, id string) (messages.BatchResult, error) {
	b.asked = "end " + id
	return messages.BatchResult{Total: 9, Completed: 8, Failed: 1}, b.err
}

func batchStage(b *batcher) (*testsuite.TestActivityEnvironment, *activities.Batch, *bytes.Buffer) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	written := &bytes.Buffer{}
	a := activities.NewBatch(b, slog.New(slog.NewTextHandler(written, nil)))
	env.RegisterActivity(a)
	return env, a, written
}

func TestBatchActivities(t *testing.T) {
	page := messages.BatchPage{BatchID: "b1", From: 3, To: 7}
	for name, c := range map[string]struct {
		err   error
		final bool
	}{
		"no error":  {},
		"a refusal": {domain.NotFound("batch"), true},
		"an outage": {errors.New("canary of a driver"), false},
	} {
		t.Run(name, func(t *testing.T) {
			b := &batcher{err: c.err, steps: []int{5, 8}}
			env, a, written := batchStage(b)
			for asks, run := range map[string]func() (any, error){
				"begin b1":             func() (any, error) { return env.ExecuteActivity(a.BeginBatch, "b1") },
				"run b1 from 3 to 7":   func() (any, error) { return env.ExecuteActivity(a.RunBatch, page) },
				"start b1 from 3 to 7": func() (any, error) { return env.ExecuteActivity(a.StartRequests, page) },
				"end b1":               func() (any, error) { return env.ExecuteActivity(a.EndBatch, "b1") },
			} {
				written.Reset()
				_, err := run()
				require.Equal(t, asks, b.asked)
				if c.err == nil {
					require.NoError(t, err)
					continue
				}
				var app *temporal.ApplicationError
				require.ErrorAs(t, err, &app)
				require.Equal(t, c.final, app.NonRetryable())
				require.NotContains(t, err.Error(), "canary")
				require.Equal(t, !c.final, bytes.Contains(written.Bytes(), []byte("canary")))
			}
		})
	}
}

// A further try goes on where the one before said it was.
func TestBatchGoesOnFromTheHeartbeat(t *testing.T) {
	for name, c := range map[string]struct {
		beat any
		asks string
	}{
		"later":     {40, "run b1 from 40 to 99"},
		"earlier":   {2, "run b1 from 11 to 99"},
		"something": {"else", "run b1 from 11 to 99"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &batcher{}
			env, a, _ := batchStage(b)
			env.SetHeartbeatDetails(c.beat)
			_, err := env.ExecuteActivity(a.RunBatch, messages.BatchPage{BatchID: "b1", From: 11, To: 99})
			require.NoError(t, err)
			require.Equal(t, c.asks, b.asked)
		})
	}
}

// A worker that is being stopped gives its page back after the chunk it is at, and says how far it came.
func TestStoppingWorkerGivesItsPageBack(t *testing.T) {
	b := &batcher{steps: []int{101, 201, 301}}
	env, a, _ := batchStage(b)
	stop := make(chan struct{})
	env.SetWorkerStopChannel(stop)
	var beats []int
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var next int
		require.NoError(t, details.Get(&next))
		beats = append(beats, next)
	})
	close(stop)
	_, err := env.ExecuteActivity(a.RunBatch, messages.BatchPage{BatchID: "b1", From: 1, To: 500})
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable())
	require.Equal(t, []int{101}, beats)
}
