package bench

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// A short run takes every figure: what is measured works.
func TestPeopleRows(t *testing.T) {
	rows, err := peopleRows(t.Context(), Options{Dir: t.TempDir(), Rounds: 1, People: 1000, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.Len(t, rows, 3)
	require.Equal(t, "people.import (1000, sqlite)", rows[0].Name)
	require.Equal(t, "people.import.memory (sqlite)", rows[1].Name)
	require.Equal(t, "people.search.p95 (1000, sqlite)", rows[2].Name)
	for _, r := range rows {
		require.Positive(t, r.Value, r.Name)
		require.Positive(t, r.Ratio, r.Name)
	}
}
