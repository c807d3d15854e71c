package bench

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
)

func TestZZ(t *testing.T) {
	dir, _ := os.MkdirTemp("/dev/shm", "b")
	defer os.RemoveAll(dir)
	o := Options{Dir: dir, People: 100000, Rounds: 1, Log: slog.New(slog.DiscardHandler)}
	open := func(name string) (string, func() error, error) {
		return "sqlite:" + filepath.Join(o.Dir, name+".db"), func() error { return nil }, nil
	}
	_, err := importInto(t.Context(), o, open, "x", o.People, func(s *peopleServer) error {
		db, err := openBare(s.dsn)
		require.NoError(t, err)
		defer db.Close()
		for _, an := range []bool{false, true} {
			if an {
				db.Exec("ANALYZE")
			}
			api := client.New(s.url, s.secret)
			for k := range 6 {
				var a, b []time.Duration
				for i := range 40 {
					q := ask(k, i*2371%o.People)
					st := time.Now()
					require.NoError(t, queryBare(t.Context(), db, q))
					a = append(a, time.Since(st))
					var page struct{ Items []json.RawMessage }
					st = time.Now()
					require.NoError(t, api.Do(t.Context(), http.MethodPost, "/v1/people/search", q.body, &page))
					b = append(b, time.Since(st))
				}
				t.Logf("analyzed %v kind %d bare p50 %.2f p95 %.2f api p50 %.2f p95 %.2f", an, k, percentile(a, .5), percentile(a, .95), percentile(b, .5), percentile(b, .95))
			}
			rows, err := db.Query("EXPLAIN QUERY PLAN SELECT id, given_name FROM persons WHERE id IN (SELECT id FROM persons WHERE erased_at IS NULL AND family_key >= 'family1' AND family_key < 'family2' ORDER BY id DESC LIMIT 50) ORDER BY id DESC")
			require.NoError(t, err)
			for rows.Next() {
				var x, y, z int
				var d string
				rows.Scan(&x, &y, &z, &d)
				t.Log(d)
			}
			rows.Close()
		}
		return nil
	})
	require.NoError(t, err)
}
