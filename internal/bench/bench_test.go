package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMiddleIsThePairWithTheMedianRatio(t *testing.T) {
	pairs := []pair{{10, 10}, {30, 10}, {20, 10}, {5, 50}, {100, 10}}
	m, ratio := middle(pairs, valueByFloor)
	require.Equal(t, pair{20, 10}, m)
	require.InDelta(t, 2, ratio, 1e-9)
	m, ratio = middle(pairs, floorByValue)
	require.Equal(t, pair{20, 10}, m)
	require.InDelta(t, 0.5, ratio, 1e-9)
	require.Equal(t, pair{10, 10}, pairs[0], "the order of the rounds stays")
}

func TestPercentile(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(100-i)*time.Millisecond)
	}
	require.InDelta(t, 96, percentile(times, 0.95), 1e-9)
	require.Zero(t, percentile(nil, 0.95))
}

func TestFiguresAreWritten(t *testing.T) {
	dir := t.TempDir()
	rows := []Row{{Name: "a.b", Value: 2, Unit: "ms", Floor: 1, Ratio: 2, Against: "nothing", Target: "≤ 3"}, {Name: "c", Value: 7, Unit: "MiB"}}
	file := filepath.Join(dir, "build", "bench.json")
	require.NoError(t, WriteJSON(file, rows))
	form, err := os.ReadFile(file)
	require.NoError(t, err)
	var got []map[string]any
	require.NoError(t, json.Unmarshal(form, &got))
	require.Equal(t, map[string]any{"name": "a.b", "value": 2.0, "unit": "ms", "floor": 1.0, "ratio": 2.0}, got[0])

	page := filepath.Join(dir, "page.md")
	require.NoError(t, os.WriteFile(page, []byte("before\n"+tableStart+"\nold\n"+tableEnd+"\nafter\n"), 0o600))
	require.NoError(t, WriteMarkdown(page, rows, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)))
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(text), "before\n"+tableStart)
	require.Contains(t, string(text), "| `a.b` | 2.00 ms | 1.00 ms | 2.00 | ≤ 3 | nothing |\n| `c` | 7.00 MiB | - | - |  |  |\n")
	require.Contains(t, string(text), tableEnd+"\nafter\n")
	require.NotContains(t, string(text), "old")

	require.NoError(t, os.WriteFile(page, []byte("no marks"), 0o600))
	require.Error(t, WriteMarkdown(page, rows, time.Now()))
}
