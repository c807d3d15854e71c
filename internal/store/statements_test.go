package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/store"
)

// More transactions at once than there are connections, each with texts nobody asked before: to prepare them must not wait for one more connection.
func TestPreparedInTransactions(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		s := insertSamples(t, b)
		g, ctx := errgroup.WithContext(t.Context())
		for range 60 {
			g.Go(func() error {
				return b.Tx(ctx, func(tx *store.Tx) error {
					if _, err := tx.Person(ctx, s.person.ID); err != nil {
						return err
					}
					_, err := tx.Request(ctx, s.request.ID)
					return err
				})
			})
		}
		require.NoError(t, g.Wait())
	})
}

func TestPreparedTextsAreBounded(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		_, most := b.Prepared()
		for i := range most + 20 {
			require.NoError(t, b.Exec(ctx, fmt.Sprintf(`UPDATE requests SET attempts = %d WHERE id = $1`, i), s.request.ID))
			r, err := b.Request(ctx, s.request.ID)
			require.NoError(t, err)
			require.Equal(t, i, r.Attempts)
		}
		kept, _ := b.Prepared()
		require.Equal(t, most, kept)
	})
}

// A text stays good when the table it asks has changed since.
func TestPreparedTextsOutliveAMigration(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		read := func() {
			for range 10 { // PostgreSQL plans anew for the first few
				r, err := b.Request(ctx, s.request.ID)
				require.NoError(t, err)
				require.Equal(t, s.request, r)
			}
		}
		read()
		_, err := b.raw.ExecContext(ctx, `ALTER TABLE requests ADD COLUMN added TEXT NOT NULL DEFAULT ''`)
		require.NoError(t, err)
		read()
	})
}
