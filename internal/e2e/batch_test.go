package e2e_test

import (
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/bench"
	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/testenv"
)

// batch is a batch as the API shows it.
type batch struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	Total      int    `json:"total"`
	Pending    int    `json:"pending"`
	InProgress int    `json:"in_progress"`
	Completed  int    `json:"completed"`
	Failed     int    `json:"failed"`
}

// useSQLite gives the site an SQLite file, which its processes share, instead of its database.
func (s *site) useSQLite(t testing.TB) {
	t.Helper()
	s.database = "sqlite:" + filepath.Join(s.dir, "mdocket.db")
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	var settings map[string]any
	require.NoError(t, json.Unmarshal(text, &settings))
	settings["database"] = s.database
	text, err = json.Marshal(settings)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.config, text, 0o600))
	mustRun(t, s.env, s.program, "migrate", "--database", s.database)
	s.makeAdmin(t)
}

// A worker that is killed in the middle of a batch, again and again, leaves no item undone and none done twice (G2).
func TestBatchSurvivesTheWorker(t *testing.T) {
	t.Parallel()
	temporal := testenv.Temporal(t)
	s := newSite(t, siteOptions{temporal: temporal, namespace: newNamespace(t, temporal), bare: true})
	s.useSQLite(t)
	s.start(t)
	const documents, requests = 4000, 1500
	office := openOffice(t, s.url, adminName, s.password, 1)
	db, err := store.Open(t.Context(), s.database)
	require.NoError(t, err)
	seed := func(name string, n int) (profile string) {
		badge := example.Profiles()[1]
		badge.Name, badge.Options.NotificationScheme = name, domain.NotifyNone
		profile = create(t, office.a, "/v1/profiles", badge)
		require.NoError(t, bench.SeedDocuments(t.Context(), db, profile, n))
		return profile
	}
	profile, updated := seed("free", documents), seed("updated", requests)
	require.NoError(t, db.Close())
	raw, err := sql.Open("sqlite", s.database[len("sqlite:"):])
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })

	canceled := s.killedOnTheWay(t, office, documents, 3, map[string]any{"operation": "cancel", "reason": "withdrawn",
		"document_filter": map[string]any{"profile_id": profile}})
	for what, query := range map[string]string{
		"canceled":          `SELECT count(*) FROM documents WHERE state = 'canceled'`,
		"told to verifiers": `SELECT count(*) FROM status_entries WHERE value = 1 AND document_id IN (SELECT id FROM documents)`,
		"audited":           `SELECT count(*) FROM audit_entries WHERE action = 'document.cancel'`,
		"audited each":      `SELECT count(DISTINCT document_id) FROM audit_entries WHERE action = 'document.cancel'`,
		"items done":        `SELECT count(*) FROM batch_items WHERE state = 'completed'`,
	} {
		require.Equal(t, documents, count(t, raw, query), what)
	}

	people := texts(t, raw, `SELECT DISTINCT person_id FROM documents WHERE state = 'canceled' ORDER BY person_id LIMIT $1`, requests)
	asked := s.killedOnTheWay(t, office, requests, 1, map[string]any{"operation": "request", "profile_id": profile, "people": people})
	for what, query := range map[string]string{
		"requests":     `SELECT count(*) FROM requests WHERE state <> 'issued'`,
		"one each":     `SELECT count(DISTINCT person_id) FROM requests WHERE state <> 'issued'`,
		"audited":      `SELECT count(*) FROM audit_entries WHERE action = 'request.create'`,
		"in the batch": `SELECT count(DISTINCT request_id) FROM batch_items WHERE request_id IN (SELECT id FROM requests)`,
	} {
		require.Equal(t, requests, count(t, raw, query), what)
	}
	renewed := s.killedOnTheWay(t, office, requests, 1, map[string]any{"operation": "update", "reason": "reprovision",
		"document_filter": map[string]any{"profile_id": updated}})
	for what, query := range map[string]string{
		"updates":      `SELECT count(*) FROM requests WHERE replaces IS NOT NULL`,
		"one each":     `SELECT count(DISTINCT replaces) FROM requests`,
		"audited":      `SELECT count(*) FROM audit_entries WHERE action = 'request.update'`,
		"in the batch": `SELECT count(DISTINCT i.request_id) FROM batch_items i JOIN requests r ON r.id = i.request_id WHERE r.replaces = i.subject_id`,
	} {
		require.Equal(t, requests, count(t, raw, query), what)
	}
	s.worker.kill(t) // while workflows are started
	until(t, patience, "every request and update has its workflow", func() (bool, error) {
		return count(t, raw, `SELECT count(*) FROM requests WHERE state = 'received'`) == 0, nil
	})
	require.Equal(t, 2*requests, count(t, raw, `SELECT count(*) FROM requests WHERE state = 'awaiting_collection'`))
	for _, b := range []string{canceled, asked, renewed} {
		require.Equal(t, 1, count(t, raw, `SELECT count(*) FROM audit_entries WHERE action = 'batch.end' AND subject = $1`, b))
	}
	require.Zero(t, s.api.deaths.Load())
	require.Contains(t, auditOf(t, s.database), "intact")
}

// killedOnTheWay makes a batch and kills the worker so many times, each time after some more items are done, and waits for the end.
func (s *site) killedOnTheWay(t *testing.T, office *office, total, times int, wish map[string]any) (id string) {
	t.Helper()
	var b batch
	require.NoError(t, office.a.Do(t.Context(), http.MethodPost, "/v1/batches", wish, &b, client.IdempotencyKey(rand.Text())))
	require.Equal(t, total, b.Total)
	look := func() error { return office.a.Do(t.Context(), http.MethodGet, "/v1/batches/"+b.ID, nil, &b) }
	for range times {
		before := b.Completed
		until(t, patience, "some more items are done", func() (bool, error) { return b.Completed > before, look() })
		require.Equal(t, "running", b.State, "killed on the way")
		s.worker.kill(t)
		require.NoError(t, look())
	}
	until(t, patience, "the batch is completed", func() (bool, error) { return b.State == "completed", look() })
	require.Equal(t, batch{ID: b.ID, State: "completed", Total: total, Completed: total}, b)
	return b.ID
}

// texts gives the one column of a query.
func texts(t *testing.T, db *sql.DB, query string, args ...any) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		out = append(out, text)
	}
	require.NoError(t, rows.Err())
	return out
}
