package store_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// What is asked for many at once is what would be said of each, whatever their number.
func TestManyAtOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		var all []samples
		for range 5 {
			all = append(all, insertSamples(t, b))
		}
		for n := range len(all) + 1 {
			var people, requests, documents []string
			for _, s := range all[:n] {
				people, requests, documents = append(people, s.person.ID), append(requests, s.request.ID), append(documents, s.document.ID)
			}
			gotPeople, err := b.PeopleByID(ctx, append(people, id())...)
			require.NoError(t, err)
			gotRequests, err := b.RequestsByID(ctx, append(requests, id())...)
			require.NoError(t, err)
			open, err := b.OpenRequests(ctx, people...)
			require.NoError(t, err)
			require.Len(t, gotPeople, n)
			require.Len(t, gotRequests, n)
			require.Len(t, open, n)
			for i, s := range all[:n] {
				require.Equal(t, []any{s.person, s.request, s.request}, []any{gotPeople[s.person.ID], gotRequests[s.request.ID], open[i]})
			}
			var held map[string]domain.Document
			require.NoError(t, b.Tx(ctx, func(tx *store.Tx) (err error) {
				if err = tx.HoldPeople(ctx, people...); err == nil {
					held, err = tx.HoldDocuments(ctx, domain.DocumentPrepared, documents...)
				}
				return err
			}))
			require.Len(t, held, n)
			for _, s := range all[:n] {
				require.Equal(t, s.document, held[s.document.ID])
			}
		}

		hold := func(what func(tx *store.Tx) error) error { return b.Tx(ctx, what) }
		require.ErrorIs(t, hold(func(tx *store.Tx) error { return tx.HoldPeople(ctx, all[0].person.ID, id()) }), store.ErrChanged, "one is not there")
		require.NoError(t, b.Activate(ctx, all[1].document, domain.Plan{}, kept))
		for name, ids := range map[string][]string{"another state": {all[0].document.ID, all[1].document.ID}, "not there": {all[0].document.ID, id()}} {
			require.ErrorIs(t, hold(func(tx *store.Tx) error {
				_, err := tx.HoldDocuments(ctx, domain.DocumentPrepared, ids...)
				return err
			}), store.ErrChanged, name)
		}

		some := []domain.Request{request(all[0]), request(all[1])}
		require.NoError(t, b.InsertRequests(ctx, some))
		got, err := b.RequestsByID(ctx, some[0].ID, some[1].ID)
		require.NoError(t, err)
		require.Equal(t, map[string]domain.Request{some[0].ID: some[0], some[1].ID: some[1]}, got)
		more := []domain.Request{request(all[2]), some[1]}
		require.ErrorIs(t, b.InsertRequests(ctx, more), store.ErrExists)
		_, err = b.Request(ctx, more[0].ID)
		require.ErrorIs(t, err, store.ErrNotFound, "one that is refused refuses all")
	})
}

// The states that queries take for open or live are those of the domain.
func TestOpenAndLiveStates(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		has := func(ids []string, id string) bool { return slices.Contains(ids, id) }
		for _, state := range domain.RequestStates() {
			r := request(s)
			r.State = state
			require.NoError(t, b.InsertRequest(ctx, r))
			open, err := b.OpenRequests(ctx, s.person.ID)
			require.NoError(t, err)
			require.Equal(t, state.Open(), has(idsOf(open, func(r domain.Request) string { return r.ID }), r.ID), state)

			d := document(s)
			d.RequestID = r.ID
			u := updateOf(s, d.ID)
			u.State = state
			require.NoError(t, b.InsertDocument(ctx, d))
			require.NoError(t, b.InsertRequest(ctx, u))
			updates, err := b.OpenUpdates(ctx, d.ID)
			require.NoError(t, err)
			require.Equal(t, state.Open(), len(updates) == 1, state)
		}
		for _, state := range domain.DocumentStates() {
			other := insertSamples(t, b)
			require.NoError(t, b.Activate(ctx, other.document, domain.Plan{}, kept))
			require.NoError(t, b.MoveDocument(ctx, other.document.ID, domain.DocumentActive, state, "", kept))
			live, err := b.LiveDocuments(ctx, other.person.ID, s.person.ID)
			require.NoError(t, err)
			require.Equal(t, state.Live(), len(live) == 1, state)
		}
		for _, state := range domain.CancellationStates() {
			other := insertSamples(t, b)
			c := cancellation(other)
			c.State = state
			require.NoError(t, b.InsertCancellation(ctx, c))
			open, err := b.OpenCancellations(ctx, other.document.ID)
			require.NoError(t, err)
			require.Equal(t, state.Open(), len(open) == 1, state)
		}
	})
}

func idsOf[T any](all []T, id func(T) string) []string {
	var out []string
	for _, x := range all {
		out = append(out, id(x))
	}
	return out
}

// The requests of a batch that have only been received are found, page by page.
func TestRequestsOfBatch(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		states := []domain.RequestState{domain.RequestReceived, domain.RequestAwaitingCollection, domain.RequestReceived, "", domain.RequestReceived}
		items, done := make([]domain.BatchItem, len(states)), make([]domain.BatchItem, len(states))
		for i, state := range states {
			r := request(s)
			items[i] = domain.BatchItem{SubjectID: s.document.ID, PersonID: s.person.ID}
			done[i] = domain.BatchItem{N: i + 1, State: domain.ItemFailed, Code: domain.CodeWrongState}
			if r.State = state; state != "" {
				require.NoError(t, b.InsertRequest(ctx, r))
				done[i] = domain.BatchItem{N: i + 1, State: domain.ItemCompleted, RequestID: r.ID}
			}
		}
		batch := insertBatch(t, b, batchOf(domain.BatchUpdate), items...)
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.EndBatchItems(ctx, batch.ID, done, kept) }))
		find := func(from, to, limit int) (out []int) {
			found, err := b.RequestsOfBatch(ctx, batch.ID, from, to, limit)
			require.NoError(t, err)
			for _, it := range found {
				require.Equal(t, done[it.N-1].RequestID, it.RequestID)
				out = append(out, it.N)
			}
			return out
		}
		require.Equal(t, []int{1, 3, 5}, find(1, 5, 10))
		require.Equal(t, []int{1, 3}, find(1, 5, 2))
		require.Equal(t, []int{3}, find(2, 4, 10))
		require.Empty(t, find(4, 4, 10))

		one, err := b.BatchItems(ctx, store.BatchItemFilter{BatchID: batch.ID, Within: everybody}, 0, 1)
		require.NoError(t, err)
		require.Equal(t, done[0].RequestID, one[0].RequestID, "of an update, the update and not the request that the document came of")
	})
}
