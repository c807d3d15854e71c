package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// updateOf is an update of a document.
func updateOf(s samples, documentID string) domain.Request {
	r := request(s)
	r.Replaces = documentID
	return r
}

// newVersion takes an update to a document that is issued.
func newVersion(t *testing.T, b backend, s samples, update domain.Request) domain.Document {
	t.Helper()
	ctx := t.Context()
	act := s.act
	act.ID, act.RequestID = id(), update.ID
	require.NoError(t, b.InsertAct(ctx, act))
	d := document(s)
	d.RequestID, d.ActID, d.State = update.ID, act.ID, domain.DocumentActive
	require.NoError(t, b.InsertDocument(ctx, d))
	update.State, update.DocumentID = domain.RequestIssued, d.ID
	require.NoError(t, b.MoveRequest(ctx, update, domain.RequestAwaitingCollection, update.Generation))
	return d
}

func TestOpenUpdates(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s, other := insertSamples(t, b), insertSamples(t, b)
		none, err := b.OpenUpdates(ctx)
		require.NoError(t, err)
		require.Empty(t, none)
		first := updateOf(s, s.document.ID)
		require.NoError(t, b.InsertRequest(ctx, first))
		got, err := b.Request(ctx, first.ID)
		require.NoError(t, err)
		require.Equal(t, first, got)
		require.ErrorIs(t, b.InsertRequest(ctx, updateOf(s, s.document.ID)), store.ErrExists, "one open update of a document")
		require.Error(t, b.InsertRequest(ctx, updateOf(s, id())), "of a document that is not there")
		theirs := updateOf(other, other.document.ID)
		require.NoError(t, b.InsertRequest(ctx, theirs))

		open, err := b.OpenUpdates(ctx, s.document.ID, id())
		require.NoError(t, err)
		require.Equal(t, []domain.Request{first}, open)
		open, err = b.OpenUpdates(ctx, s.document.ID, other.document.ID)
		require.NoError(t, err)
		require.Len(t, open, 2)

		hold := func(documentID string) (r domain.Request, err error) {
			txErr := b.Tx(ctx, func(tx *store.Tx) error {
				r, err = tx.HoldOpenUpdate(ctx, documentID)
				return nil
			})
			require.NoError(t, txErr)
			return r, err
		}
		held, err := hold(s.document.ID)
		require.NoError(t, err)
		require.Equal(t, first, held)

		// An update that came to nothing is in nobody's way.
		ended := first
		ended.State = domain.RequestExpired
		require.NoError(t, b.MoveRequest(ctx, ended, first.State, first.Generation))
		_, err = hold(s.document.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
		second := updateOf(s, s.document.ID)
		require.NoError(t, b.InsertRequest(ctx, second))
		newVersion(t, b, s, second)
		require.ErrorIs(t, b.InsertRequest(ctx, updateOf(s, s.document.ID)), store.ErrExists, "a document is replaced once")
		_, err = hold(s.document.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

func TestNewestVersion(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		newest := func(documentID string) string {
			d, err := b.NewestVersion(ctx, documentID)
			require.NoError(t, err)
			return d.ID
		}
		versions := []string{s.document.ID}
		for range 3 {
			update := updateOf(s, versions[len(versions)-1])
			require.NoError(t, b.InsertRequest(ctx, update))
			require.Equal(t, versions[len(versions)-1], newest(s.document.ID), "an open update changes nothing")
			versions = append(versions, newVersion(t, b, s, update).ID)
		}
		for _, v := range versions {
			require.Equal(t, versions[3], newest(v))
		}
		want, err := b.Document(ctx, versions[3])
		require.NoError(t, err)
		got, err := b.NewestVersion(ctx, s.document.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, err = b.NewestVersion(ctx, id())
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

func TestRefreshChain(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		hold := func(generation int) (r domain.Request, c store.RefreshChain, err error) {
			txErr := b.Tx(ctx, func(tx *store.Tx) error {
				r, c, err = tx.HoldRefreshChain(ctx, s.request.ID, generation)
				return nil
			})
			require.NoError(t, txErr)
			return r, c, err
		}
		_, _, err := hold(1)
		require.ErrorIs(t, err, store.ErrNotFound, "not issued yet")
		issued := s.request
		issued.State, issued.DocumentID = domain.RequestIssued, s.document.ID
		require.NoError(t, b.MoveRequest(ctx, issued, s.request.State, 1))
		_, _, err = hold(2)
		require.ErrorIs(t, err, store.ErrNotFound, "another generation")
		r, c, err := hold(1)
		require.NoError(t, err)
		require.Equal(t, issued, r)
		require.Zero(t, c)
		want := store.RefreshChain{Used: 7, Mark: "abc", Ended: true}
		require.NoError(t, b.SetRefreshChain(ctx, s.request.ID, want))
		_, c, err = hold(1)
		require.NoError(t, err)
		require.Equal(t, want, c)
		require.ErrorIs(t, b.SetRefreshChain(ctx, id(), want), store.ErrChanged)
	})
}
