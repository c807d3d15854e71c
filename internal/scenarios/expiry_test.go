package scenarios_test

import (
	"database/sql"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	_ "modernc.org/sqlite" // the database of the stage

	apiclient "github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/verifier"
	"github.com/mdocket/mdocket/workflows/messages"
)

// F6: the holder is reminded before the document expires, then it does; profiles renew documents before that, when the data change, and
// when an age turns.
func TestF6ExpiryAndRenewal(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	reader := s.account(t, "", all(domain.PermReports, domain.PermRequest, domain.PermDocumentsRead))
	require.Equal(t, []any{60.0, 30.0, 14.0, 7.0}, s.admin.get(t, "/v1/settings")["expiry_reminder_days"])
	s.admin.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/profiles", object{"name": unique("profile"), "options": object{
		"display_name": "Badge", "format": "staff-badge", "renewal": object{"on_age": true, "before_expiry_days": 730}}})

	t.Run("reminders and the end", func(t *testing.T) {
		person := s.person(t)
		document, _ := s.issue(t, person, s.profile(t, with{"lifetime_days": 100}))
		serial := text(t, asks.get(t, "/v1/documents/"+document), "serial")
		reminders := func() int {
			return len(reader.items(t, "/v1/notifications?kind=expiry_reminder&state=sent&person_id="+person))
		}
		s.passes(t, document, 70)
		until(t, "the holder is reminded", func() bool { return reminders() == 1 })
		require.Contains(t, s.holder(t, person).receives(t, "in 30 days").Text, "is valid until")
		s.passes(t, document, 25)
		until(t, "the holder is reminded again", func() bool { return reminders() == 2 })
		s.passes(t, document, 6)
		require.Equal(t, "expired", s.state(t, document), "at once, whenever the sweep comes")
		require.Equal(t, false, (&party{apiclient.New(s.url, ""), "a verifier"}).get(t, "/verify/"+serial)["valid"])
		until(t, "the end is on record", func() bool { return s.happened(t, document, "document.expire") == 1 })
		asks.refused(t, domain.CodeWrongState, http.MethodPost, "/v1/documents/"+document+"/update", object{"reason": "reprovision"})
		require.Equal(t, 2, reminders())
	})
	for name, c := range map[string]struct {
		renewal object
		brings  func(t *testing.T, person, document string)
	}{
		"before the end": {object{"before_expiry_days": 20}, func(t *testing.T, _, document string) { s.passes(t, document, 85) }},
		"other data": {object{"on_change": true}, func(t *testing.T, person, _ string) {
			p := s.admin.get(t, "/v1/people/"+person)
			s.admin.put(t, "/v1/people/"+person, object{"version": p["version"], "given_name": p["given_name"], "family_name": "Newname",
				"email": p["email"], "mobile": p["mobile"], "birth_date": p["birth_date"], "attributes": p["attributes"], "external_id": p["external_id"]})
			s.sweeps(t)
		}},
		"an age": {object{"on_age": true}, func(t *testing.T, _, document string) { s.passes(t, document, 20) }},
	} {
		t.Run(name, func(t *testing.T) {
			adult := time.Now().UTC().AddDate(-18, 0, -10).Format(time.DateOnly)
			person := s.person(t, with{"birth_date": adult})
			profile := s.profile(t, with{"lifetime_days": 100, "renewal": c.renewal})
			request := asks.ask(t, person, profile)
			holder := s.holder(t, person)
			old := holder.collects(t)
			document := text(t, asks.get(t, "/v1/requests/"+request), "document_id")
			c.brings(t, person, document)
			var update object
			until(t, "the renewal waits", func() bool {
				for _, r := range reader.items(t, "/v1/requests?person_id="+person+"&state=awaiting_collection") {
					if r["replaces"] == document {
						update = r
						return true
					}
				}
				return false
			})
			require.Equal(t, "system", update["requested_by"])
			require.False(t, strings.Contains(holder.receives(t, "update").Text, "/c/"), "neither link nor code")
			kept, err := holder.store.Documents()
			require.NoError(t, err)
			_, err = holder.Refresh(t.Context(), kept[0].ID)
			require.NoError(t, err)
			fresh, _, err := holder.store.Copy(kept[0].ID, 0)
			require.NoError(t, err)
			require.NotEqual(t, old, fresh)
			require.Equal(t, verifier.StatusValid, s.checks(t, fresh))
			require.Equal(t, "superseded", s.state(t, document))
			require.Equal(t, 1, s.happened(t, document, "request.update"))
		})
	}
}

// happened counts an action in the history of a document.
func (s *stage) happened(t *testing.T, document, action string) int {
	t.Helper()
	n := 0
	for _, e := range s.admin.items(t, "/v1/documents/"+document+"/history") {
		if e["action"] == action {
			n++
		}
	}
	return n
}

// passes makes a document older, as if days had passed, which no API can do.
func (s *stage) passes(t *testing.T, document string, days int) {
	t.Helper()
	path, ok := strings.CutPrefix(house.Config.Database, "sqlite:")
	require.True(t, ok)
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	const form = "2006-01-02T15:04:05.000000Z" // as times are stored
	var times [3]string
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT signed_at, valid_from, valid_until FROM documents WHERE id = $1`, document).
		Scan(&times[0], &times[1], &times[2]))
	for i, text := range times {
		at, err := time.Parse(form, text)
		require.NoError(t, err)
		times[i] = at.AddDate(0, 0, -days).Format(form)
	}
	_, err = db.ExecContext(t.Context(), `UPDATE documents SET signed_at = $1, valid_from = $2, valid_until = $3, next_at = $1 WHERE id = $4`,
		times[0], times[1], times[2], document)
	require.NoError(t, err)
	s.sweeps(t)
}

// sweeps has the schedule run now.
func (s *stage) sweeps(t *testing.T) {
	t.Helper()
	schedule := house.Engine.Client().ScheduleClient().GetHandle(t.Context(), messages.ScheduleExpiry)
	require.NoError(t, schedule.Trigger(t.Context(), client.ScheduleTriggerOptions{}))
}
