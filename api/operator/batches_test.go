package operator_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/workflows/messages"
)

// issueMany issues a document to each of so many people and gives their ids.
func (s *server) issueMany(t testing.TB, n int) []string {
	t.Helper()
	profile := s.Profile(t, "many")
	ids := make([]string, n)
	for i := range ids {
		ids[i] = s.Issue(t, s.Person(t).ID, profile.ID).ID
	}
	return ids
}

func (s *server) post(t testing.TB, path string, body any, header ...string) answer {
	t.Helper()
	return s.call(t, s.admin, http.MethodPost, path, body, header...)
}

func (s *server) get(t testing.TB, path string) answer {
	t.Helper()
	return s.call(t, s.admin, http.MethodGet, path, nil)
}

func TestBatches(t *testing.T) { onBoth(t, testBatches) }

func testBatches(t *testing.T, s *server) {
	docs := s.issueMany(t, 8)
	wish := map[string]any{"operation": "disable", "documents": append(docs, nobody), "reason": "stolen", "notes": "the whole box"}
	preview := s.post(t, "/v1/batches/preview", wish).object(t, http.StatusOK)
	require.Equal(t, map[string]any{"operation": "disable", "total": 9.0, "checked": 9.0,
		"refused": []any{map[string]any{"code": "not_found", "count": 1.0}}}, preview)

	a := s.post(t, "/v1/batches", wish, "Idempotency-Key", "box")
	b := a.object(t, http.StatusCreated)
	id := text(t, b, "id")
	require.Equal(t, "/v1/batches/"+id, a.header.Get("Location"))
	for member, want := range map[string]any{"operation": "disable", "reason": "stolen", "notes": "the whole box", "state": "completed",
		"total":   9.0,
		"pending": 0.0, "in_progress": 0.0, "completed": 8.0, "failed": 1.0, "created_by": s.Admin().AccountID} {
		require.Equal(t, want, b[member], member)
	}
	require.NotContains(t, b, "item", "only a batch of one has it at hand")
	require.Equal(t, b, s.post(t, "/v1/batches", wish, "Idempotency-Key", "box").object(t, http.StatusCreated))
	require.Equal(t, b, s.get(t, "/v1/batches/"+id).object(t, http.StatusOK))
	listed := s.get(t, "/v1/batches?operation=disable&state=completed&created_by="+s.Admin().AccountID).items(t)
	require.Equal(t, []map[string]any{b}, listed)
	require.Empty(t, s.get(t, "/v1/batches?state=running").items(t))

	failed := s.get(t, "/v1/batches/"+id+"/items?state=failed").items(t)
	require.Len(t, failed, 1)
	require.Equal(t, []any{1.0, nobody, "failed", "not_found", "document not found"},
		[]any{failed[0]["n"], failed[0]["subject_id"], failed[0]["state"], failed[0]["code"], failed[0]["message"]})
	var pages []map[string]any
	next := "0"
	for next != "" {
		a := s.get(t, "/v1/batches/"+id+"/items?limit=4&after="+next)
		pages = append(pages, a.items(t)...)
		next = ""
		if n, ok := a.object(t, http.StatusOK)["next"]; ok {
			next = fmt.Sprint(n)
		}
	}
	require.Len(t, pages, 9)
	for i, it := range pages[1:] {
		require.InEpsilon(t, float64(i+2), it["n"], 0)
		d, err := s.Store.Document(t.Context(), text(t, it, "subject_id"))
		require.NoError(t, err)
		require.Equal(t, []any{d.ID, d.Serial, "android", d.PersonID, d.RequestID, "completed"},
			[]any{it["document_id"], it["serial"], it["platform"], it["person_id"], it["request_id"], it["state"]})
	}
}

func TestBatchByFilter(t *testing.T) { onBoth(t, testBatchByFilter) }

func testBatchByFilter(t *testing.T, s *server) {
	profile := s.Profile(t, "licence")
	s.Group(t, "Parks")
	here := s.Person(t, func(p *domain.Person) { p.FamilyName = "Ångström" })
	s.Person(t, func(p *domain.Person) { p.Group = "Parks" })
	b := s.post(t, "/v1/batches", map[string]any{"operation": "request", "profile_id": profile.ID,
		"person_filter": map[string]any{"family_name": "ång*", "group": "Traffic", "groups_below": true}}).object(t, http.StatusCreated)
	item, ok := b["item"].(map[string]any)
	require.True(t, ok, "one selected: the answer says what came of it")
	require.Equal(t, here.ID, item["person_id"])
	require.NotEmpty(t, item["request_id"])
	preview := s.post(t, "/v1/batches/preview", map[string]any{"operation": "request", "profile_id": profile.ID,
		"person_filter": map[string]any{}}).
		object(t, http.StatusOK)
	require.Equal(t, []any{2.0, 2.0, profile.ID, "licence", []any{}},
		[]any{preview["total"], preview["checked"], preview["profile_id"], preview["profile_name"], preview["refused"]})

	s.Issue(t, here.ID, s.Profile(t, "other").ID)
	b = s.post(t, "/v1/batches", map[string]any{"operation": "cancel", "reason": "withdrawn",
		"document_filter": map[string]any{"group": "Traffic/Licences", "state": "active"}}).object(t, http.StatusCreated)
	require.InEpsilon(t, 1.0, b["completed"], 0)
	s.post(t, "/v1/batches", map[string]any{"operation": "cancel", "reason": "withdrawn",
		"document_filter": map[string]any{"group": "Parks"}}).
		refused(t, domain.CodeNotFound)
}

func TestBatchOfUpdates(t *testing.T) { onBoth(t, testBatchOfUpdates) }

func testBatchOfUpdates(t *testing.T, s *server) {
	docs := s.issueMany(t, 3)
	first, err := s.Store.Document(t.Context(), docs[0])
	require.NoError(t, err)
	other := s.Issue(t, first.PersonID, s.Profile(t, "other").ID).ID
	wish := map[string]any{"operation": "update", "documents": append(docs, other), "profile_id": first.ProfileID, "reason": "reprovision"}
	preview := s.post(t, "/v1/batches/preview", wish).object(t, http.StatusOK)
	require.Equal(t, map[string]any{"operation": "update", "profile_id": first.ProfileID, "profile_name": "many", "total": 4.0, "checked": 4.0,
		"refused": []any{map[string]any{"code": "invalid", "count": 1.0}}}, preview)
	b := s.post(t, "/v1/batches", wish).object(t, http.StatusCreated)
	require.Equal(t, []any{"update", first.ProfileID, "reprovision", "completed", 3.0, 1.0},
		[]any{b["operation"], b["profile_id"], b["reason"], b["state"], b["completed"], b["failed"]})
	require.Equal(t, []map[string]any{b}, s.get(t, "/v1/batches?operation=update").items(t))
	items := "/v1/batches/" + text(t, b, "id") + "/items"
	failed := s.get(t, items+"?state=failed").items(t)
	require.Len(t, failed, 1)
	single := s.post(t, "/v1/documents/"+other+"/update", map[string]any{"reason": "reprovision", "profile_id": first.ProfileID}).
		refused(t, domain.CodeInvalid)
	require.Equal(t, []any{other, "invalid"}, []any{failed[0]["subject_id"], failed[0]["code"]})
	require.Contains(t, failed[0]["message"], single.Errors[0].Problem, "what the single operation says")
	require.NotContains(t, failed[0], "request_id")
	for _, it := range s.get(t, items+"?state=completed").items(t) {
		r := s.get(t, "/v1/requests/"+text(t, it, "request_id")).object(t, http.StatusOK)
		require.Equal(t, []any{"update", it["document_id"], it["person_id"]}, []any{r["kind"], r["replaces"], r["person_id"]})
		require.Equal(t, it["subject_id"], it["document_id"])
	}
	rows, err := csv.NewReader(strings.NewReader(string(s.get(t, items+".csv").body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 5)

	b = s.post(t, "/v1/batches", map[string]any{"operation": "update", "documents": docs[:1], "reason": "reprovision"}).
		object(t, http.StatusCreated)
	item, ok := b["item"].(map[string]any)
	require.True(t, ok)
	require.Equal(t, []any{"failed", "conflict", first.Serial}, []any{item["state"], item["code"], item["serial"]})
}

func TestBatchRefusals(t *testing.T) {
	s := newServer(t)
	profile := s.Profile(t, "licence").ID
	for name, c := range map[string]struct {
		body  map[string]any
		field string
	}{
		"no operation":    {map[string]any{"documents": []string{nobody}}, "operation"},
		"other operation": {map[string]any{"operation": "erase", "documents": []string{nobody}}, "operation"},
		"no selection":    {map[string]any{"operation": "enable"}, "operation"},
		"wrong selection": {map[string]any{"operation": "enable", "person_filter": map[string]any{}}, "person_filter"},
		"no such group":   {map[string]any{"operation": "enable", "document_filter": map[string]any{"group": "X"}}, "document_filter.group"},
		"not a day": {map[string]any{"operation": "request", "profile_id": profile, "person_filter": map[string]any{"birth_date": "soon"}},
			"person_filter.birth_date"},
		"no reason":              {map[string]any{"operation": "cancel", "documents": []string{nobody}}, "reason"},
		"no reason to update":    {map[string]any{"operation": "update", "documents": []string{nobody}}, "reason"},
		"reason not reprovision": {map[string]any{"operation": "update", "documents": []string{nobody}, "reason": "lost"}, "reason"},
		"reprovision to cancel":  {map[string]any{"operation": "cancel", "documents": []string{nobody}, "reason": "reprovision"}, "reason"},
		"too many":               {map[string]any{"operation": "enable", "documents": make([]string, 10_001)}, "documents"},
		"unknown in filter": {map[string]any{"operation": "enable", "document_filter": map[string]any{"colour": "red"}},
			"document_filter.colour"},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				for _, path := range []string{"/v1/batches", "/v1/batches/preview"} {
					p := s.post(t, path, c.body).refused(t, domain.CodeInvalid)
					var fields []string
					for _, f := range p.Errors {
						fields = append(fields, f.Field)
					}
					require.Contains(t, fields, c.field)
				}
			})
		})
	}
	for _, rest := range []string{"", "/items", "/items.csv", "/events"} {
		s.get(t, "/v1/batches/"+nobody+rest).refused(t, domain.CodeNotFound)
	}
	s.get(t, "/v1/batches?after=x").refused(t, domain.CodeInvalid)
}

func TestBatchDownload(t *testing.T) {
	s := newServer(t)
	docs := s.issueMany(t, 3)
	id := text(t, s.post(t, "/v1/batches", map[string]any{"operation": "disable", "documents": append(docs, nobody), "reason": "lost"}).
		object(t, http.StatusCreated), "id")
	a := s.get(t, "/v1/batches/"+id+"/items.csv")
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "text/csv; charset=utf-8", a.header.Get("Content-Type"))
	require.Contains(t, a.header.Get("Content-Disposition"), "attachment")
	rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 5)
	require.Equal(t, []string{"n", "subject_id", "person_id", "request_id", "document_id", "serial", "platform", "state", "code", "message",
		"updated_at"}, rows[0])
	require.Equal(t, []string{"1", nobody, "", "", "", "", "", "failed", "not_found", "document not found"}, rows[1][:10])
	d, err := s.Store.Document(t.Context(), rows[2][1])
	require.NoError(t, err)
	require.Equal(t, []string{"2", d.ID, d.PersonID, d.RequestID, d.ID, d.Serial, "android", "completed", "", ""}, rows[2][:10])

	rows, err = csv.NewReader(strings.NewReader(string(s.get(t, "/v1/batches/"+id+"/items.csv?state=failed").body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
}

// A download takes as many pages as it needs.
func TestLongBatchDownload(t *testing.T) {
	s := newServer(t)
	const many = 1203
	people := make([]string, many)
	for i := range people {
		people[i] = fmt.Sprintf("01890000-0000-7000-8000-%012d", i+1)
	}
	people[0] = s.Person(t).ID // one of them exists
	s.Engine.SetDown(true)
	id := text(t, s.post(t, "/v1/batches", map[string]any{"operation": "request", "people": people, "profile_id": s.Profile(t, "p").ID}).
		object(t, http.StatusCreated), "id")
	rows, err := csv.NewReader(strings.NewReader(string(s.get(t, "/v1/batches/"+id+"/items.csv").body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, many+1)
	for i, row := range rows[1:] {
		require.Equal(t, fmt.Sprint(i+1), row[0])
		require.Equal(t, "pending", row[7])
	}
}

// received makes a batch of documents that is not begun yet.
func (s *server) received(t testing.TB, n int) string {
	t.Helper()
	docs := s.issueMany(t, n)
	s.Engine.SetDown(true)
	return text(t, s.post(t, "/v1/batches", map[string]any{"operation": "disable", "documents": docs, "reason": "lost"}).
		object(t, http.StatusCreated), "id")
}

// watch opens the stream of a batch on a real server.
func (s *server) watch(t testing.TB, base, id string) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/batches/"+id+"/events", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.admin)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	return bufio.NewReader(resp.Body)
}

// event reads the next event of a stream.
func event(t testing.TB, from *bufio.Reader) map[string]any {
	t.Helper()
	var lines [3]string
	for i := range lines {
		var err error
		lines[i], err = from.ReadString('\n')
		require.NoError(t, err)
	}
	require.Equal(t, "event: progress\n", lines[0])
	require.Equal(t, "\n", lines[2])
	var out map[string]any
	require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(lines[1], "data: ")), &out))
	return out
}

func TestBatchEvents(t *testing.T) { onBoth(t, testBatchEvents) }

func testBatchEvents(t *testing.T, s *server) {
	id := s.received(t, 3)
	web := httptest.NewServer(s.handler)
	defer web.Close()
	events := s.watch(t, web.URL, id)
	first := event(t, events)
	require.Equal(t, []any{"received", 3.0, 3.0, 0.0, 0.0, 0.0},
		[]any{first["state"], first["total"], first["pending"], first["in_progress"], first["completed"], first["failed"]})

	_, err := s.Issuer.BeginBatch(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, s.Issuer.RunBatch(t.Context(), messages.BatchPage{BatchID: id, From: 1, To: 1}, func(int) error { return nil }))
	for now := first; now["completed"] != 1.0; {
		now = event(t, events)
		require.Contains(t, []any{"received", "running"}, now["state"])
	}
	require.NoError(t, s.Engine.RunBatch(t.Context(), id))
	last := first
	for last["state"] != "completed" {
		last = event(t, events)
	}
	require.InEpsilon(t, 3.0, last["completed"], 0)
	require.NotEmpty(t, last["ended_at"])
	_, err = events.ReadByte()
	require.ErrorIs(t, err, io.EOF, "the stream ends with the batch")
}

// A server that stops does not wait for the streams of batches that go on.
func TestStreamsEndWithTheServer(t *testing.T) {
	s := newServer(t)
	id := s.received(t, 2)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := &http.Server{Handler: s.handler, ReadHeaderTimeout: time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	for range 2 {
		event(t, s.watch(t, "http://"+listener.Addr().String(), id))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, web.Shutdown(ctx))
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}

// A stream or download that fails on its way is cut off, so that nobody takes it for whole.
func TestBrokenStreamsAreCut(t *testing.T) {
	s := newServerOn(t, issuertest.Options{})
	id := s.received(t, 2)
	web := httptest.NewServer(s.handler)
	defer web.Close()
	events := s.watch(t, web.URL, id)
	event(t, events)
	require.NoError(t, s.Store.Close())
	_, err := events.ReadByte()
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF)
}
