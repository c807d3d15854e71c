package store_test

import (
	"testing"
	"time"
	"fmt"
	"os"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

func TestMeasure(t *testing.T) {
	if os.Getenv("MEASURE") == "" { t.Skip() }
	eachBackend(t, func(t *testing.T, b backend) {
		s := time.Now()
		fillReports(t, b, 100_000, 200_000)
		fmt.Println("fill", time.Since(s))
		for _, name := range []string{"documents", "mobile-documents", "requests", "reviews", "failed-notifications", "issued-documents", "batches"} {
			r := reportNamed(t, name)
			for _, w := range []domain.Within{everybody, sets["division"], sets["department"]} {
			for _, by := range r.Sorts[:1] {
				for _, limit := range []int{1000} {
				if limit == 50 && !w.All { continue }
				want := store.ReportQuery{Within: w, Sort: by, Limit: limit, Now: reportDay, Personal: true}
				var times []time.Duration
				n := 0
				for {
					s := time.Now()
					rows, err := b.Report(t.Context(), r, want)
					require.NoError(t, err)
					times = append(times, time.Since(s))
					n += len(rows)
					if len(rows) < want.Limit || len(times) > 400 { break }
					want.After = &rows[len(rows)-1].Key
				}
				var sum time.Duration
				for _, d := range times { sum += d }
				tenth := func(from, to int) time.Duration { x := slices.Sorted(slices.Values(times[from:to])); if len(x)==0 {return 0}; return x[len(x)/2].Round(10*time.Microsecond) }
				k := len(times)
				fmt.Printf("%s %s by %s limit %d group %q: rows %d pages %d total %v first %v median first tenth %v last tenth %v max %v\n", b.driver, name, by, limit, w.GroupID, n, k, sum.Round(time.Millisecond), times[0].Round(10*time.Microsecond), tenth(0, (k+9)/10), tenth(k-(k+9)/10, k), slices.Max(times).Round(10*time.Microsecond))
			}
			}
			}
		}
		// rare filters
		r := reportNamed(t, "documents")
		for _, v := range []map[string]store.ReportValue{{"state": {Text: "disabled"}}, {"serial": {Text: "S1000010"}}, {"person_id": {Text: "p1000010"}}, {"group": {Group: "g2"}}, {"profile_id":{Text: "nothing"}}} {
			s := time.Now()
			rows, err := b.Report(t.Context(), r, store.ReportQuery{Within: everybody, Sort: r.DefaultSort, Limit: 500, Now: reportDay, Values: v})
			require.NoError(t, err)
			fmt.Println(b.driver, v, len(rows), time.Since(s))
		}
	})
}
