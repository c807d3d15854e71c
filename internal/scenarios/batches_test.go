package scenarios_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/bench"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// F3 in bulk: one batch asks for newer versions of many documents. Each holder's wallet gets its own; what the single update would refuse, fails
// with the same code (G1, G3).
func TestF3G1G3BatchUpdate(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	profile, other := s.profile(t, with{"format": "staff-badge"}), s.profile(t, with{"format": "staff-badge"})
	held := func(profile string) (document string, by *holder) {
		person := s.person(t)
		request := asks.ask(t, person, profile)
		by = s.holder(t, person)
		by.collects(t)
		return text(t, asks.get(t, "/v1/requests/"+request), "document_id"), by
	}
	first, holder := held(profile)
	second, _ := held(profile)
	suspended, _ := held(profile)
	foreign, _ := held(other)
	asks.post(t, "/v1/documents/"+suspended+"/disable", object{"reason": "lost"})

	wish := object{"operation": "update", "profile_id": profile, "reason": "reprovision", "notes": "new layout",
		"documents": []string{first, second, suspended, foreign}}
	preview := asks.post(t, "/v1/batches/preview", wish)
	require.Equal(t, []any{"update", profile, 4.0}, []any{preview["operation"], preview["profile_id"], preview["total"]})
	require.Equal(t, []any{object{"code": "invalid", "count": 1.0}, object{"code": "wrong_state", "count": 1.0}}, preview["refused"])
	wrong := asks.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/batches", object{"operation": "update", "reason": "lost",
		"documents": []string{first, second}})
	require.Equal(t, []string{"reason"}, wrong.fields)

	batch := asks.post(t, "/v1/batches", wish)
	path := "/v1/batches/" + id(t, batch)
	until(t, "the batch is done", func() bool { return asks.get(t, path)["state"] == "completed" })
	results := map[any]object{}
	for _, it := range asks.items(t, path+"/items") {
		results[it["subject_id"]] = it
	}
	for document, code := range map[string]domain.Code{suspended: domain.CodeWrongState, foreign: domain.CodeInvalid} {
		require.Equal(t, []any{"failed", string(code)}, []any{results[document]["state"], results[document]["code"]})
		asks.refused(t, code, http.MethodPost, "/v1/documents/"+document+"/update", object{"reason": "reprovision", "profile_id": profile})
	}
	for _, document := range []string{first, second} {
		require.Equal(t, "completed", results[document]["state"])
		asks.waits(t, text(t, results[document], "request_id"), domain.RequestAwaitingCollection)
	}
	asks.refused(t, domain.CodeConflict, http.MethodPost, "/v1/documents/"+first+"/update", object{"reason": "reprovision"})

	kept, err := holder.store.Documents()
	require.NoError(t, err)
	_, err = holder.Refresh(t.Context(), kept[0].ID)
	require.NoError(t, err)
	require.Equal(t, "superseded", s.state(t, first))
	require.Equal(t, "active", s.state(t, second), "until its wallet comes")
}

// G4: a large batch has pages that go on where the last one ended, a short history and results as CSV, and tells its progress while it runs (G2).
func TestG4LargeBatch(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	profile := s.profile(t, with{"format": "staff-badge", "notification_scheme": "none"})
	const many = 3000
	require.NoError(t, bench.SeedDocuments(t.Context(), house.Store, profile, many))
	wish := object{"operation": "cancel", "reason": "withdrawn", "document_filter": object{"profile_id": profile}}
	preview := asks.post(t, "/v1/batches/preview", wish)
	require.Equal(t, []any{float64(many), 1000.0}, []any{preview["total"], preview["checked"]}, "a preview looks at the first items only")
	batch := id(t, asks.post(t, "/v1/batches", wish))
	path := "/v1/batches/" + batch

	told, err := asks.Send(t.Context(), http.MethodGet, path+"/events", "", nil) // ends with the batch
	require.NoError(t, err)
	events := strings.Split(strings.TrimSpace(string(told)), "\n\n")
	var last object
	require.NoError(t, json.Unmarshal([]byte(strings.SplitN(events[len(events)-1], "data: ", 2)[1]), &last))
	require.Equal(t, []any{"completed", float64(many), 0.0}, []any{last["state"], last["completed"], last["failed"]})
	asks.refused(t, domain.CodeNotFound, http.MethodPost, path+"/cancel", object{})

	const page = 500
	for next := 0; next < many; next += page {
		items := asks.items(t, fmt.Sprintf("%s/items?limit=%d&after=%d", path, page, next))
		require.Len(t, items, page)
		require.EqualValues(t, next+1, items[0]["n"])
		require.EqualValues(t, next+page, items[page-1]["n"])
	}
	download, err := asks.Send(t.Context(), http.MethodGet, path+"/items.csv", "", nil)
	require.NoError(t, err)
	rows, err := csv.NewReader(strings.NewReader(string(download))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, many+1)
	require.Equal(t, "state", rows[0][7])
	for i, row := range rows[1:] {
		require.Equal(t, []string{fmt.Sprint(i + 1), "completed"}, []string{row[0], row[7]})
	}
	d, err := house.Engine.Client().DescribeWorkflowExecution(t.Context(), messages.BatchID(batch), "")
	require.NoError(t, err)
	events100k := d.GetWorkflowExecutionInfo().GetHistoryLength() * 100_000 / many
	require.Less(t, events100k, int64(10_000), "a hundred thousand items stay far from Temporal's limit")
}
