package store_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/store"
)

func TestStatusLists(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		_, err := b.ReserveStatus(ctx, 1, 100, 1)
		require.ErrorIs(t, err, store.ErrNotFound)
		one := store.StatusList{ID: id(), Bits: 1, Capacity: 100}
		two := store.StatusList{ID: id(), Bits: 2, Capacity: 100}
		require.NoError(t, b.InsertStatusList(ctx, one, now))
		require.NoError(t, b.InsertStatusList(ctx, two, now))
		got, err := b.ReserveStatus(ctx, 2, 100, 3)
		require.NoError(t, err)
		require.Equal(t, store.StatusList{ID: two.ID, Bits: 2, Capacity: 100, Used: 3}, got)
		_, err = b.ReserveStatus(ctx, 2, 100, 73)
		require.ErrorIs(t, err, store.ErrNotFound, "three quarters at the most")
		_, err = b.ReserveStatus(ctx, 2, 200, 1)
		require.ErrorIs(t, err, store.ErrNotFound, "a list of another capacity takes no more")
		lists, err := b.StatusLists(ctx)
		require.NoError(t, err)
		require.Equal(t, []store.StatusList{one, got}, lists)
		read, err := b.StatusList(ctx, two.ID)
		require.NoError(t, err)
		require.Equal(t, got, read)

		for idx := range uint64(4) {
			ok, err := b.TakeStatusIndex(ctx, two.ID, idx, "d"+fmt.Sprint(idx/2))
			require.NoError(t, err)
			require.True(t, ok)
		}
		ok, err := b.TakeStatusIndex(ctx, two.ID, 3, "d9")
		require.NoError(t, err)
		require.False(t, ok, "never twice")
		require.NoError(t, b.SetStatus(ctx, "d1", 2))
		require.NoError(t, b.SetStatus(ctx, "d0", 1))
		require.NoError(t, b.SetStatus(ctx, "d0", 0))
		entries, err := b.SetStatusEntries(ctx, two.ID)
		require.NoError(t, err)
		require.Equal(t, []store.StatusEntry{{0, 1}, {1, 1}, {2, 2}, {3, 2}}, entries, "invalid is for good")
		require.NoError(t, b.SetStatus(ctx, "d1", 0))
		entries, err = b.SetStatusEntries(ctx, two.ID)
		require.NoError(t, err)
		require.Equal(t, []store.StatusEntry{{0, 1}, {1, 1}}, entries)
	})
}

// Sixteen writers fill a small list: no index is given twice, and it never gets fuller than three quarters.
func TestStatusIndicesUnderConcurrency(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		list := store.StatusList{ID: id(), Bits: 1, Capacity: 64}
		require.NoError(t, b.InsertStatusList(ctx, list, now))
		var reserved, taken atomic.Int64
		g, gctx := errgroup.WithContext(ctx)
		for w := range 16 {
			g.Go(func() error {
				for range 5 {
					_, err := b.ReserveStatus(gctx, 1, list.Capacity, 1)
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					if err == nil {
						reserved.Add(1)
					}
				}
				for idx := range uint64(list.Capacity) {
					ok, err := b.TakeStatusIndex(gctx, list.ID, idx, fmt.Sprint(w))
					if err != nil {
						return err
					}
					if ok {
						taken.Add(1)
					}
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		require.EqualValues(t, 48, reserved.Load())
		require.EqualValues(t, list.Capacity, taken.Load(), "each index once")
		got, err := b.StatusList(ctx, list.ID)
		require.NoError(t, err)
		require.EqualValues(t, 48, got.Used)
	})
}

// Decoys are places that are taken, count as used, are invalid, and belong to nobody.
func TestDecoys(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		list := store.StatusList{ID: id(), Bits: 1, Capacity: 4096}
		require.NoError(t, b.InsertStatusList(ctx, list, now))
		decoys := make([]uint64, 1201) // more than one statement takes
		for i := range decoys {
			decoys[i] = uint64(3 * i)
		}
		insert := func(indices []uint64) error {
			return b.Tx(ctx, func(tx *store.Tx) error { return tx.InsertDecoys(ctx, list.ID, indices) })
		}
		require.NoError(t, insert(decoys))
		require.NoError(t, insert(nil))
		require.ErrorIs(t, insert([]uint64{1, 3}), store.ErrExists)

		read, err := b.StatusList(ctx, list.ID)
		require.NoError(t, err)
		require.EqualValues(t, len(decoys), read.Used, "the refused ones are not counted")
		entries, err := b.SetStatusEntries(ctx, list.ID)
		require.NoError(t, err)
		require.Len(t, entries, len(decoys))
		for i, e := range entries {
			require.Equal(t, store.StatusEntry{Idx: decoys[i], Value: 1}, e)
		}
		ok, err := b.TakeStatusIndex(ctx, list.ID, 3, "d")
		require.NoError(t, err)
		require.False(t, ok, "never a document's")
		holder, value, err := b.StatusAt(ctx, list.ID, 3)
		require.NoError(t, err)
		require.Empty(t, holder)
		require.EqualValues(t, 1, value)
	})
}

func TestStatusAt(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		list := store.StatusList{ID: id(), Bits: 2, Capacity: 100}
		require.NoError(t, b.InsertStatusList(ctx, list, now))
		_, err := b.TakeStatusIndex(ctx, list.ID, 7, "d")
		require.NoError(t, err)
		require.NoError(t, b.SetStatus(ctx, "d", 2))
		holder, value, err := b.StatusAt(ctx, list.ID, 7)
		require.NoError(t, err)
		require.Equal(t, "d", holder)
		require.EqualValues(t, 2, value)
		for _, nobody := range []struct {
			list string
			idx  uint64
		}{{list.ID, 8}, {"none", 7}, {"\x00", 7}, {list.ID, 1 << 63}} {
			_, _, err := b.StatusAt(ctx, nobody.list, nobody.idx)
			require.ErrorIs(t, err, store.ErrNotFound)
		}
	})
}

// Of those who want to sign a list one is let; the next one after the period, when the first has stored its result, or when its claim is
// over.
func TestStatusTokenClaims(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		list := store.StatusList{ID: id(), Bits: 1, Capacity: 100}
		require.NoError(t, b.InsertStatusList(ctx, list, now))
		_, err := b.StatusToken(ctx, list.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
		const period, lasts = time.Minute, 10 * time.Second
		claim := func(who string, at time.Time) bool {
			t.Helper()
			ok, err := b.ClaimStatusToken(ctx, list.ID, who, at, at.Add(-period), at.Add(lasts))
			require.NoError(t, err)
			return ok
		}
		token := func(at time.Time) store.StatusToken {
			return store.StatusToken{CWT: []byte{1, byte(at.Second())}, JWT: []byte("j"), BuiltAt: store.At(at),
				ExpiresAt: store.At(at.Add(time.Hour))}
		}
		require.True(t, claim("a", now))
		require.False(t, claim("b", now.Add(lasts-time.Microsecond)), "a is at it")
		read, err := b.StatusToken(ctx, list.ID)
		require.NoError(t, err)
		require.Equal(t, store.StatusToken{Claimed: true}, read, "claimed but not signed")

		require.NoError(t, b.StoreStatusToken(ctx, list.ID, "a", token(now)))
		want := token(now)
		want.Revision = 1
		read, err = b.StatusToken(ctx, list.ID)
		require.NoError(t, err)
		require.Equal(t, want, read)
		require.ErrorIs(t, b.StoreStatusToken(ctx, list.ID, "a", token(now)), store.ErrChanged, "once for each claim")
		require.False(t, claim("b", now.Add(period-time.Microsecond)), "signed in this period")

		later := now.Add(period)
		require.True(t, claim("b", later))
		require.True(t, claim("c", later.Add(lasts)), "b did not finish")
		require.ErrorIs(t, b.StoreStatusToken(ctx, list.ID, "b", token(later)), store.ErrChanged, "too late")
		require.NoError(t, b.ReleaseStatusToken(ctx, list.ID, "b", later), "nothing of c's")
		require.False(t, claim("d", later.Add(lasts)))
		require.NoError(t, b.ReleaseStatusToken(ctx, list.ID, "c", later.Add(lasts+time.Second)))
		require.False(t, claim("d", later.Add(lasts)), "the pause after a failure")
		read, err = b.StatusToken(ctx, list.ID)
		require.NoError(t, err)
		require.Equal(t, want, read, "what there was is still there, and nobody is at it")
		require.True(t, claim("d", later.Add(lasts+time.Second)))
		require.NoError(t, b.StoreStatusToken(ctx, list.ID, "d", token(later.Add(lasts+time.Second))))
		read, err = b.StatusToken(ctx, list.ID)
		require.NoError(t, err)
		require.EqualValues(t, 2, read.Revision)
	})
}

func TestOneOfManyClaimsAStatusToken(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		list := store.StatusList{ID: id(), Bits: 1, Capacity: 100}
		require.NoError(t, b.InsertStatusList(ctx, list, now))
		for round := range 3 {
			at := now.Add(time.Duration(round) * time.Hour)
			var claimed atomic.Int64
			g, gctx := errgroup.WithContext(ctx)
			for range 16 {
				g.Go(func() error {
					ok, err := b.ClaimStatusToken(gctx, list.ID, id(), at, at.Add(-time.Minute), at.Add(time.Minute))
					if ok {
						claimed.Add(1)
					}
					return err
				})
			}
			require.NoError(t, g.Wait())
			require.EqualValues(t, 1, claimed.Load())
		}
	})
}
