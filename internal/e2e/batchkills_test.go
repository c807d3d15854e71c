package e2e_test

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"encoding/csv"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/mdocket/mdocket/internal/bench"
	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/standalone/devserver"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/testenv"
	"github.com/mdocket/mdocket/workflows/messages"
)

// mostEvents is how many events a history may have; Temporal warns soon after.
const mostEvents = 10_000

// The worker, PostgreSQL, Temporal and the API are each killed in the middle of a batch of 20,000 documents: every document is canceled,
// and once (G2, G4).
func TestBatchKilledEverywhere(t *testing.T) {
	t.Parallel()
	const documents = 20_000
	postgres, err := testenv.StartLastingPostgres()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, postgres.Stop()) })
	temporal := newEngine(t, "error")
	s := newSite(t, siteOptions{database: postgres.URL(), temporal: temporal.options.HostPort})
	s.start(t)
	office := openOffice(t, s.url, adminName, s.password, 1)
	profile := seedFreeDocuments(t, s, office, documents)
	execute(t, s.database, witness...)

	path, key := "/v1/batches", client.IdempotencyKey(rand.Text())
	wish := map[string]any{"operation": "cancel", "reason": "withdrawn", "document_filter": map[string]any{"profile_id": profile}}
	ask := func() (b batch) {
		require.NoError(t, office.a.Do(t.Context(), http.MethodPost, path, wish, &b, key))
		return b
	}
	made := ask()
	require.Equal(t, documents, made.Total)
	w := batchWatch{db: openLasting(t, s.database), id: made.ID}
	for _, victim := range []struct {
		name string
		from int // so many items are done before
		die  func()
	}{
		{"the worker", documents / 10, func() { s.worker.kill(t) }},
		{"PostgreSQL", documents * 3 / 10, func() {
			require.NoError(t, postgres.Kill())
			require.False(t, s.ready(t.Context()), "nothing is accepted without the database")
			require.NoError(t, postgres.Start())
		}},
		{"Temporal", documents / 2, func() {
			temporal.kill(t)
			require.True(t, s.ready(t.Context()), "batches are accepted without the engine")
			temporal.start(t)
		}},
		{"the API", documents * 7 / 10, func() { s.api.kill(t) }},
	} {
		w.reach(t, victim.from)
		before := w.done(t)
		victim.die()
		after := w.done(t)
		t.Logf("%s was killed with %d items done, and was started again with %d done", victim.name, before, after)
		require.Less(t, after, documents, "%s was killed on the way", victim.name)
		s.waitReady(t)
		require.Equal(t, made.ID, ask().ID, "who got no answer may ask again")
		w.reach(t, after+1)
	}
	w.reach(t, documents)
	var got batch
	until(t, patience, "the batch is completed", func() (bool, error) {
		err := office.a.Do(t.Context(), http.MethodGet, path+"/"+made.ID, nil, &got)
		return got.State == "completed", err
	})

	require.Equal(t, batch{ID: made.ID, State: "completed", Total: documents, Completed: documents}, got)
	require.Equal(t, got, ask())
	require.Equal(t, []int64{1, 1}, []int64{s.worker.deaths.Load(), s.api.deaths.Load()})
	w.requireOnce(t, documents)
	requireResults(t, office.a, made.ID, documents)
	requireShortHistories(t, temporal.options.HostPort, made.ID)
	require.Contains(t, auditOf(t, s.database), "intact")
}

// seedFreeDocuments puts documents into the database that may be canceled without approval, and gives their profile.
func seedFreeDocuments(t *testing.T, s *site, office *office, n int) (profile string) {
	t.Helper()
	free := example.Profiles()[0]
	free.Name, free.Options.ValidateCancellation = "free", false
	profile = create(t, office.a, "/v1/profiles", free)
	db, err := store.Open(t.Context(), s.database)
	require.NoError(t, err)
	require.NoError(t, bench.SeedDocuments(t.Context(), db, profile, n))
	require.NoError(t, db.Close())
	return profile
}

// witness has PostgreSQL itself note every change of a document's state, of what verifiers are told of it, and of an item's result.
var witness = []string{
	`CREATE TABLE witness (changed TEXT NOT NULL, subject TEXT NOT NULL)`,
	`CREATE FUNCTION witness() RETURNS trigger AS $$ BEGIN
		INSERT INTO witness VALUES (TG_TABLE_NAME, to_jsonb(NEW) ->> TG_ARGV[0]);
		RETURN NULL;
	END $$ LANGUAGE plpgsql`,
	`CREATE TRIGGER witness AFTER UPDATE OF state ON documents FOR EACH ROW EXECUTE FUNCTION witness('id')`,
	`CREATE TRIGGER witness AFTER UPDATE OF value ON status_entries FOR EACH ROW EXECUTE FUNCTION witness('document_id')`,
	`CREATE TRIGGER witness AFTER UPDATE OF state ON batch_items FOR EACH ROW EXECUTE FUNCTION witness('subject_id')`,
}

// openLasting gives a connection to a database that is killed now and then, which may break one that is not used any more.
func openLasting(t *testing.T, database string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", database)
	require.NoError(t, err)
	db.SetMaxIdleConns(0)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// batchWatch looks at a batch in the database, beside the program.
type batchWatch struct {
	db *sql.DB
	id string
}

func (w batchWatch) done(t *testing.T) int {
	t.Helper()
	return count(t, w.db, `SELECT completed + failed FROM batches WHERE id = $1`, w.id)
}

// reach returns when so many items are done. However slow the machine is, there has to be progress.
func (w batchWatch) reach(t *testing.T, n int) {
	t.Helper()
	for done := w.done(t); done < n; {
		before := done
		until(t, patience, "more items are done", func() (bool, error) {
			done = w.done(t)
			return done > before, nil
		})
	}
}

// requireOnce demands that each of the documents was canceled, and once: by its row, by what PostgreSQL saw, and by the audit.
func (w batchWatch) requireOnce(t *testing.T, documents int) {
	t.Helper()
	ofBatch := `SELECT subject_id FROM batch_items WHERE state = 'completed' AND batch_id = $1`
	require.Equal(t, 1, count(t, w.db, `SELECT count(*) FROM batches`))
	require.Equal(t, 1, count(t, w.db, `SELECT count(*) FROM audit_entries WHERE action = 'batch.end' AND subject = $1`, w.id))
	for what, query := range map[string]string{
		"items done":        `SELECT count(*) FROM (` + ofBatch + `) AS done`,
		"canceled":          `SELECT count(*) FROM documents WHERE state = 'canceled' AND id IN (` + ofBatch + `)`,
		"told to verifiers": `SELECT count(*) FROM status_entries WHERE value = 1 AND document_id IN (` + ofBatch + `)`,
		"audited":           `SELECT count(*) FROM audit_entries WHERE action = 'document.cancel' AND document_id IN (` + ofBatch + `)`,
	} {
		require.Equal(t, documents, count(t, w.db, query, w.id), what)
	}
	for _, table := range []string{"documents", "status_entries", "batch_items"} {
		require.Equal(t, documents, count(t, w.db, `SELECT count(*) FROM witness WHERE changed = $1`, table), "changes of %s", table)
		require.Equal(t, documents, count(t, w.db, `SELECT count(DISTINCT subject) FROM witness WHERE changed = $1`, table), "changed %s", table)
	}
	for _, of := range []string{"document_id", "DISTINCT document_id"} {
		require.Equal(t, documents, count(t, w.db, `SELECT count(`+of+`) FROM audit_entries WHERE document_id <> ''`), "one entry each")
	}
}

// requireResults reads the results of a completed batch as its owner does: all documents are canceled, and that is all their history.
func requireResults(t *testing.T, c *client.Client, batchID string, documents int) {
	t.Helper()
	table, err := c.Send(t.Context(), http.MethodGet, "/v1/batches/"+batchID+"/items.csv", "", nil)
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	require.NoError(t, err)
	subject, state := slices.Index(rows[0], "subject_id"), slices.Index(rows[0], "state")
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		require.Equal(t, string(domain.ItemCompleted), row[state])
		seen[row[subject]] = true
	}
	require.Len(t, rows, 1+documents)
	require.Len(t, seen, documents)
	for _, n := range []int{1, documents / 2, documents} {
		var history struct {
			Items []struct {
				Action string `json:"action"`
			} `json:"items"`
		}
		require.NoError(t, c.Do(t.Context(), http.MethodGet, "/v1/documents/"+rows[n][subject]+"/history", nil, &history))
		require.Len(t, history.Items, 1)
		require.Equal(t, "document.cancel", history.Items[0].Action)
	}
}

// requireShortHistories demands that the workflow of the batch has ended well, and that no run of any workflow has a long history.
func requireShortHistories(t *testing.T, address, batchID string) {
	t.Helper()
	c := dialEngine(t, address, devserver.DefaultNamespace)
	until(t, patience, "the workflow has ended", func() (bool, error) {
		got, err := c.DescribeWorkflowExecution(t.Context(), messages.BatchID(batchID), "")
		return got.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, err
	})
	runs := 0
	for _, listed := range append(listWorkflows(t, c, ""), listWorkflows(t, c, "TemporalNamespaceDivision = 'TemporalScheduler'")...) {
		run := listed.GetExecution()
		got, err := c.DescribeWorkflowExecution(t.Context(), run.GetWorkflowId(), run.GetRunId())
		require.NoError(t, err)
		events := got.GetWorkflowExecutionInfo().GetHistoryLength()
		require.Less(t, events, int64(mostEvents), run.GetWorkflowId())
		if run.GetWorkflowId() == messages.BatchID(batchID) {
			runs++
			t.Logf("the batch took %d events", events)
		}
	}
	require.Equal(t, 1, runs)
}
