package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/store"
)

// Who waits for a turn can leave, and leaves nothing behind.
func TestWaitingForATurnEnds(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		s := insertSamples(t, b)
		hold := func(tx *store.Tx) error { return tx.HoldPerson(t.Context(), s.person.ID) }
		require.NoError(t, b.Tx(t.Context(), func(tx *store.Tx) error {
			require.NoError(t, hold(tx))
			gone, leave := context.WithCancel(t.Context())
			waits := make(chan error, 1)
			go func() { waits <- b.Tx(gone, func(tx *store.Tx) error { return tx.HoldPerson(gone, s.person.ID) }) }()
			leave()
			require.Error(t, <-waits)
			return nil
		}))
		require.NoError(t, b.Tx(t.Context(), hold))
	})
}
