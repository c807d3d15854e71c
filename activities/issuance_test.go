package activities_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// issuer answers every call with the same snapshot or error and keeps what it was asked.
type issuer struct {
	snap  messages.Snapshot
	err   error
	panic bool
	asked string
}

func (i *issuer) answer(format string, args ...any) (messages.Snapshot, error) {
	i.asked = fmt.Sprintf(format, args...)
	if i.panic {
		panic("canary in a panic")
	}
	return i.snap, i.err
}

func (i *issuer) Begin(_ context.Context, id string) (messages.Snapshot, error) {
	return i.answer("begin %s", id)
}

func (i *issuer) Apply(_ context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	return i.answer("apply %s %s", ref.RequestID, ref.ActID)
}

func (i *issuer) Sign(_ context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	return i.answer("sign %s %s", ref.RequestID, ref.ActID)
}

func (i *issuer) Expire(_ context.Context, id string) (messages.Snapshot, error) {
	return i.answer("expire %s", id)
}

func (i *issuer) Notify(_ context.Context, id string, generation int) error {
	_, err := i.answer("notify %s %d", id, generation)
	return err
}

func (i *issuer) RemindApprovers(_ context.Context, id string, n int) error {
	_, err := i.answer("remind %s %d", id, n)
	return err
}

func (i *issuer) Reconcile(ctx context.Context, start func(context.Context, string) error) (int, error) {
	if _, err := i.answer("reconcile"); err != nil {
		return 0, err
	}
	return 1, start(ctx, "r9")
}

func (i *issuer) SendNotices(context.Context) (int, error) {
	_, err := i.answer("send notices")
	return 7, err
}

func (i *issuer) SweepDocuments(context.Context) (messages.ExpiryResult, error) {
	_, err := i.answer("sweep documents")
	return messages.ExpiryResult{Expired: 7, Reminded: 8, Renewed: 9}, err
}

// The fixed answer to everything about a cancellation.
var ended = messages.CancellationSnapshot{State: domain.CancellationApproved}

func (i *issuer) BeginCancellation(_ context.Context, id string) (messages.CancellationSnapshot, error) {
	_, err := i.answer("begin cancellation %s", id)
	return ended, err
}

func (i *issuer) ApplyCancellation(_ context.Context, ref messages.CancellationActRef) (messages.CancellationSnapshot, error) {
	_, err := i.answer("apply cancellation %s %s", ref.CancellationID, ref.ActID)
	return ended, err
}

func (i *issuer) ExpireCancellation(_ context.Context, id string) (messages.CancellationSnapshot, error) {
	_, err := i.answer("expire cancellation %s", id)
	return ended, err
}

// stage is the SDK's test environment around the activities.
type stage struct {
	env     *testsuite.TestActivityEnvironment
	issuer  *issuer
	a       *activities.Issuance
	c       *activities.Cancellation
	n       *activities.Notices
	e       *activities.Expiry
	log     bytes.Buffer
	started []string
}

func newStage(i *issuer) *stage {
	s := &stage{issuer: i}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	s.env = suite.NewTestActivityEnvironment()
	s.a = activities.NewIssuance(i, func(_ context.Context, id string) error {
		s.started = append(s.started, id)
		return nil
	}, slog.New(slog.NewTextHandler(&s.log, nil)))
	s.env.RegisterActivity(s.a)
	s.c = activities.NewCancellation(i, slog.New(slog.NewTextHandler(&s.log, nil)))
	s.env.RegisterActivity(s.c)
	s.n = activities.NewNotices(i, slog.New(slog.NewTextHandler(&s.log, nil)))
	s.env.RegisterActivity(s.n)
	s.e = activities.NewExpiry(i, slog.New(slog.NewTextHandler(&s.log, nil)))
	s.env.RegisterActivity(s.e)
	return s
}

// each names every activity, its argument and what the issuer is to be asked.
func (s *stage) each() []struct {
	activity any
	args     []any
	asks     string
} {
	ref := messages.ActRef{RequestID: "r1", ActID: "a1"}
	return []struct {
		activity any
		args     []any
		asks     string
	}{
		{s.a.Begin, []any{"r1"}, "begin r1"},
		{s.a.Apply, []any{ref}, "apply r1 a1"},
		{s.a.Sign, []any{ref}, "sign r1 a1"},
		{s.a.Expire, []any{"r1"}, "expire r1"},
		{s.a.Notify, []any{messages.NotifyInput{RequestID: "r1", Generation: 3}}, "notify r1 3"},
		{s.a.RemindApprovers, []any{messages.ReminderInput{RequestID: "r1", N: 2}}, "remind r1 2"},
		{s.a.Reconcile, nil, "reconcile"},
		{s.n.SendNotices, nil, "send notices"},
		{s.e.SweepDocuments, nil, "sweep documents"},
		{s.c.BeginCancellation, []any{"c1"}, "begin cancellation c1"},
		{s.c.ApplyCancellation, []any{messages.CancellationActRef{CancellationID: "c1", ActID: "a1"}}, "apply cancellation c1 a1"},
		{s.c.ExpireCancellation, []any{"c1"}, "expire cancellation c1"},
	}
}

func TestActivitiesAskTheIssuer(t *testing.T) {
	s := newStage(&issuer{snap: messages.Snapshot{State: domain.RequestAwaitingCollection, Generation: 4}})
	for _, c := range s.each() {
		t.Run(c.asks, func(t *testing.T) {
			value, err := s.env.ExecuteActivity(c.activity, c.args...)
			require.NoError(t, err)
			require.Equal(t, c.asks, s.issuer.asked)
			if !value.HasValue() {
				return
			}
			if c.asks == "send notices" {
				var result messages.NoticesResult
				require.NoError(t, value.Get(&result))
				require.Equal(t, messages.NoticesResult{Sent: 7}, result)
				return
			}
			if c.asks == "sweep documents" {
				var result messages.ExpiryResult
				require.NoError(t, value.Get(&result))
				require.Equal(t, messages.ExpiryResult{Expired: 7, Reminded: 8, Renewed: 9}, result)
				return
			}
			if c.asks == "reconcile" {
				var result messages.ReconcileResult
				require.NoError(t, value.Get(&result))
				require.Equal(t, messages.ReconcileResult{Started: 1}, result)
				require.Equal(t, []string{"r9"}, s.started)
				return
			}
			if strings.Contains(c.asks, "cancellation") {
				var snap messages.CancellationSnapshot
				require.NoError(t, value.Get(&snap))
				require.Equal(t, ended, snap)
				return
			}
			var snap messages.Snapshot
			require.NoError(t, value.Get(&snap))
			require.Equal(t, s.issuer.snap, snap)
		})
	}
	require.Empty(t, s.log.String())
}

func TestRefusalsEndTheRetries(t *testing.T) {
	want := &domain.Error{Code: domain.CodeMissingData, Message: "data is missing", Details: map[string]string{"format": "mdl"},
		Fields: []domain.FieldError{{Field: "portrait", Problem: "is required"}}}
	s := newStage(&issuer{err: fmt.Errorf("sign document: %w", want)})
	for _, c := range s.each() {
		t.Run(c.asks, func(t *testing.T) {
			_, err := s.env.ExecuteActivity(c.activity, c.args...)
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.True(t, app.NonRetryable())
			require.Equal(t, string(domain.CodeMissingData), app.Type())
			require.NotContains(t, app.Message(), "missing", "the message may be stored in clear")
			got, ok := messages.AsRefusal(err)
			require.True(t, ok)
			require.Equal(t, want, got)
		})
	}
	require.Empty(t, s.log.String())
}

func TestOtherErrorsAreRetriedAndStayInside(t *testing.T) {
	for name, i := range map[string]*issuer{
		"unknown":            {err: errors.New("canary of a driver")},
		"internal":           {err: domain.Errorf(domain.CodeInternal, "canary of ours")},
		"engine unavailable": {err: domain.Errorf(domain.CodeEngineUnavailable, "canary of the engine")},
		"panic":              {panic: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(i)
			for _, c := range s.each() {
				s.log.Reset()
				_, err := s.env.ExecuteActivity(c.activity, c.args...)
				var app *temporal.ApplicationError
				require.ErrorAs(t, err, &app)
				require.False(t, app.NonRetryable())
				require.Equal(t, string(domain.CodeInternal), app.Type())
				require.NotContains(t, err.Error(), "canary")
				_, ok := messages.AsRefusal(err)
				require.False(t, ok)
				if i.panic {
					require.NotContains(t, s.log.String(), "canary", "what a panic holds may be anything")
					require.Contains(t, s.log.String(), "panic of type string")
				} else {
					require.Contains(t, s.log.String(), "canary")
				}
				_, correlation, found := bytes.Cut([]byte(app.Message()), []byte("correlation id "))
				require.True(t, found)
				require.Contains(t, s.log.String(), string(correlation))
			}
		})
	}
}
