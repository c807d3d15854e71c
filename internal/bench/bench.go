// Package bench measures mdocket: each figure is taken beside a floor or a peer in the same run and given as a ratio, since machines are noisy and
// absolute times say little. It is run by `mdocket bench`.
package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Row is one figure. Floor is what it is compared with, in the same unit; Ratio is named in the markdown table.
type Row struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Floor float64 `json:"floor"`
	Ratio float64 `json:"ratio"`

	Against string `json:"-"` // what the floor is
	Target  string `json:"-"` // what the ratio has to keep
}

// Options of a run.
type Options struct {
	Binary string // of mdocket, for the start-up figures
	BinDir string // of the Temporal CLI
	Dir    string // throw-away folder
	Rounds int    // of each comparison; the median counts
	Each   int    // issuances in one round
	Items  int    // of the large batch
	People int    // that are imported and searched

	Database string // of the batches, and where databases for the people are made; empty = SQLite files in Dir
	Out      io.Writer
	Log      *slog.Logger
}

type part struct {
	names []string
	run   func(context.Context, Options) ([]Row, error)
}

var parts = []part{
	{[]string{"mdoc"}, issueRows},
	{[]string{"verify"}, verifyRows},
	{[]string{"status"}, statusRows},
	{[]string{"issuance", "collect"}, loadRows},
	{[]string{"batch"}, batchRows},
	{[]string{"people"}, peopleRows},
	{[]string{"reports"}, reportRows},
	{[]string{"start"}, startRows},
}

// Parts names what can be measured by itself.
func Parts() []string {
	var out []string
	for _, p := range parts {
		out = append(out, p.names...)
	}
	return out
}

// Run takes every figure of the parts named by only, or of all when only is empty.
func Run(ctx context.Context, o Options, only []string) ([]Row, error) {
	var rows []Row
	for _, part := range parts {
		if len(only) > 0 && !slices.ContainsFunc(part.names, func(n string) bool { return slices.Contains(only, n) }) {
			continue
		}
		fmt.Fprintf(o.Out, "… measuring %s\n", strings.Join(part.names, ", "))
		got, err := part.run(ctx, o)
		if err != nil {
			return rows, fmt.Errorf("measure %s: %w", part.names[0], err)
		}
		for _, r := range got {
			fmt.Fprintf(o.Out, "  %-28s %10.2f %-6s", r.Name, r.Value, r.Unit)
			if r.Floor != 0 {
				fmt.Fprintf(o.Out, " floor %10.2f  ratio %.2f  %s", r.Floor, r.Ratio, r.Target)
			}
			fmt.Fprintln(o.Out)
		}
		rows = append(rows, got...)
	}
	return rows, nil
}

// WriteJSON writes the rows as a list.
func WriteJSON(path string, rows []Row) error {
	form, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if err := os.WriteFile(path, append(form, '\n'), 0o600); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}

const (
	tableStart = "<!-- figures: written by make bench -->"
	tableEnd   = "<!-- end of figures -->"
)

// WriteMarkdown puts the table between the two marks of the page, and leaves the words around it.
func WriteMarkdown(path string, rows []Row, at time.Time) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read page of figures: %w", err)
	}
	head, rest, ok := strings.Cut(string(page), tableStart)
	_, tail, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("the page of figures lacks its marks %q and %q", tableStart, tableEnd)
	}
	var b strings.Builder
	b.WriteString(head + tableStart + "\n\n")
	fmt.Fprintf(&b, "`make bench` on %s, %s, %d processors (%s/%s):\n\n", at.UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(),
		runtime.GOOS, runtime.GOARCH)
	b.WriteString("| figure | value | floor | ratio | target | against |\n|---|---:|---:|---:|---|---|\n")
	for _, r := range rows {
		floor, ratio := "-", "-"
		if r.Floor != 0 {
			floor, ratio = fmt.Sprintf("%.2f %s", r.Floor, r.Unit), fmt.Sprintf("%.2f", r.Ratio)
		}
		fmt.Fprintf(&b, "| `%s` | %.2f %s | %s | %s | %s | %s |\n", r.Name, r.Value, r.Unit, floor, ratio, r.Target, r.Against)
	}
	b.WriteString("\n" + tableEnd + tail)
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a page of the documentation
		return fmt.Errorf("write page of figures: %w", err)
	}
	return nil
}

// pair is a value and the floor taken beside it.
type pair struct{ value, floor float64 }

// middle gives the pair whose ratio (as ratio makes it of a pair) is the median, and that ratio.
func middle(pairs []pair, ratio func(pair) float64) (pair, float64) {
	s := slices.Clone(pairs)
	slices.SortFunc(s, func(a, b pair) int { return cmp.Compare(ratio(a), ratio(b)) })
	if len(s) == 0 {
		return pair{}, 0
	}
	m := s[len(s)/2]
	return m, ratio(m)
}

func valueByFloor(p pair) float64 { return p.value / p.floor }
func floorByValue(p pair) float64 { return p.floor / p.value }

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return s[len(s)/2]
}

// percentile gives the value below which the share p of the durations lies, in milliseconds.
func percentile(v []time.Duration, p float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return float64(s[min(len(s)-1, int(p*float64(len(s))))].Microseconds()) / 1000
}
