package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

func cancellation(s samples) domain.Cancellation {
	return domain.Cancellation{ID: id(), DocumentID: s.document.ID, PersonID: s.person.ID, RequestedBy: "me", Reason: domain.ReasonLost,
		Notes: "in the train", State: domain.CancellationAwaitingApproval, Deadline: kept.Add(time.Hour), CreatedAt: kept, UpdatedAt: kept}
}

func TestCancellations(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		c := cancellation(s)
		require.NoError(t, b.InsertCancellation(ctx, c))
		got, err := b.Cancellation(ctx, c.ID)
		require.NoError(t, err)
		require.Equal(t, c, got)
		for _, state := range []domain.CancellationState{domain.CancellationReceived, domain.CancellationAwaitingApproval} {
			second := cancellation(s)
			second.State = state
			require.ErrorIs(t, b.InsertCancellation(ctx, second), store.ErrExists, "a document has one open cancellation")
		}
		open, err := b.OpenCancellations(ctx, "none", s.document.ID)
		require.NoError(t, err)
		require.Equal(t, []domain.Cancellation{c}, open)
		for _, none := range [][]string{{}, {"none"}, {"a\x00b"}} {
			open, err = b.OpenCancellations(ctx, none...)
			require.NoError(t, err)
			require.Empty(t, open)
		}

		moved := c
		moved.State, moved.DecidedBy, moved.DecidedAt, moved.DecisionReason = domain.CancellationRejected, "you", kept, "no"
		moved.Deadline, moved.UpdatedAt = kept.Add(2*time.Hour), kept.Add(time.Minute)
		require.ErrorIs(t, b.MoveCancellation(ctx, moved, domain.CancellationReceived), store.ErrChanged)
		require.NoError(t, b.MoveCancellation(ctx, moved, c.State))
		require.ErrorIs(t, b.MoveCancellation(ctx, moved, c.State), store.ErrChanged, "once")
		got, err = b.Cancellation(ctx, c.ID)
		require.NoError(t, err)
		require.Equal(t, moved, got)
		open, err = b.OpenCancellations(ctx, s.document.ID)
		require.NoError(t, err)
		require.Empty(t, open)

		later := cancellation(s)
		later.RequestedBy = "you"
		require.NoError(t, b.InsertCancellation(ctx, later), "an ended one is not in the way")
		ids := func(want store.CancellationFilter, page store.Page) []string {
			all, err := b.Cancellations(ctx, want, page)
			require.NoError(t, err)
			out := []string{}
			for _, c := range all {
				out = append(out, c.ID)
			}
			return out
		}
		all := store.Page{Limit: 10}
		require.Equal(t, []string{later.ID, c.ID}, ids(store.CancellationFilter{Within: everybody}, all))
		require.Equal(t, []string{c.ID}, ids(store.CancellationFilter{Within: everybody}, store.Page{After: later.ID, Limit: 10}))
		require.Equal(t, []string{later.ID}, ids(store.CancellationFilter{Within: everybody}, store.Page{Limit: 1}))
		require.Equal(t, []string{c.ID}, ids(store.CancellationFilter{Within: everybody, State: domain.CancellationRejected}, all))
		require.Equal(t, []string{c.ID}, ids(store.CancellationFilter{Within: everybody, NotRequestedBy: "you"}, all))
		require.Len(t, ids(store.CancellationFilter{Within: everybody, DocumentID: s.document.ID, PersonID: s.person.ID}, all), 2)
		require.Empty(t, ids(store.CancellationFilter{Within: everybody, NotForPerson: s.person.ID}, all))
		require.Empty(t, ids(store.CancellationFilter{Within: everybody, DocumentID: "other"}, all))
	})
}

func TestCancellationActs(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		c := cancellation(insertSamples(t, b))
		require.NoError(t, b.InsertCancellation(ctx, c))
		for _, kind := range domain.CancellationActs() {
			act := store.CancellationAct{ID: id(), CancellationID: c.ID, Kind: kind, AccountID: "me", Reason: "fine", CreatedAt: kept}
			require.NoError(t, b.InsertCancellationAct(ctx, act))
			got, err := b.CancellationAct(ctx, act.ID)
			require.NoError(t, err)
			require.Equal(t, act, got)
			require.NoError(t, b.MarkCancellationActApplied(ctx, act.ID))
			require.ErrorIs(t, b.MarkCancellationActApplied(ctx, act.ID), store.ErrChanged, "once")
			got, err = b.CancellationAct(ctx, act.ID)
			require.NoError(t, err)
			require.True(t, got.Applied)
		}
		require.Error(t, b.InsertCancellationAct(ctx, store.CancellationAct{ID: id(), CancellationID: "none", Kind: domain.CancellationApprove}))
		require.Error(t, b.InsertCancellationAct(ctx, store.CancellationAct{ID: id(), CancellationID: c.ID, Kind: "collect"}))
	})
}

func TestCancellationsToStart(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		at := kept.AddDate(0, 1, 0)
		var due []string
		for _, c := range []struct {
			state             domain.CancellationState
			created, deadline time.Time
			due               bool
		}{
			{domain.CancellationReceived, at.Add(-time.Second), time.Time{}, true},
			{domain.CancellationReceived, at, time.Time{}, false},
			{domain.CancellationAwaitingApproval, kept, at.Add(-time.Microsecond), true},
			{domain.CancellationAwaitingApproval, kept, at.Add(time.Second), false},
			{domain.CancellationExpired, kept, kept, false},
			{domain.CancellationApproved, kept, kept, false},
		} {
			x := cancellation(insertSamples(t, b))
			x.State, x.CreatedAt, x.Deadline = c.state, c.created, c.deadline
			require.NoError(t, b.InsertCancellation(ctx, x))
			if c.due {
				due = append(due, x.ID)
			}
		}
		ids, err := b.CancellationsToStart(ctx, at, 100)
		require.NoError(t, err)
		require.Equal(t, due, ids)
		ids, err = b.CancellationsToStart(ctx, at, 1)
		require.NoError(t, err)
		require.Len(t, ids, 1)
	})
}

func TestHoldDocument(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := insertSamples(t, b).document
		hold := func(id string, state domain.DocumentState) error {
			return b.Tx(t.Context(), func(tx *store.Tx) error { return tx.HoldDocument(t.Context(), id, state) })
		}
		require.NoError(t, hold(d.ID, d.State))
		require.ErrorIs(t, hold(d.ID, domain.DocumentCanceled), store.ErrChanged)
		require.ErrorIs(t, hold("none", d.State), store.ErrChanged)
	})
}
