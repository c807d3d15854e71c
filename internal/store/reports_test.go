package store_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// reportDay is when everything of fillReports is looked at.
var reportDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fillReports adds n documents with their requests, a cancellation of each hundredth, a given-up message of each fiftieth, and a batch of a hundred
// items for each thousand. People hold them who are in groups: g2 is the top of a third of all, which are more than are looked up one by one, and
// g42 holds few.
func fillReports(t testing.TB, b backend, people, n int) {
	t.Helper()
	instant := func(base, minutes string) string {
		if b.driver == "sqlite" {
			return "strftime('%Y-%m-%dT%H:%M:%S.000000Z', '" + base + "', '+' || (" + minutes + ") || ' minutes')"
		}
		return "(TIMESTAMPTZ '" + base + " 00:00:00Z' + (" + minutes + ") * INTERVAL '1 minute')"
	}
	no := map[string]string{"sqlite": "0", "postgres": "FALSE"}[b.driver]
	at := instant("2025-12-01", "0")
	series := func(to int) string {
		return fmt.Sprintf(" FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n) AS n", to)
	}
	name := func(kind, i string) string { return "'" + kind + "' || CAST(1000000 + (" + i + ") AS TEXT)" }
	holder := name("p", fmt.Sprintf("(i * 31) %% %d + 1", people))
	for _, statement := range []string{
		`INSERT INTO groups (id, parent_id, name, path, version, created_at, updated_at) SELECT 'g' || i, CASE WHEN i > 10 THEN 'g' || (i % 10 + 1) END,
			'G' || i, CASE WHEN i > 10 THEN 'G' || (i % 10 + 1) || '/' ELSE '' END || 'G' || i, 1, ` + at + `, ` + at + series(150),
		`INSERT INTO persons (id, external_id, logon_name, given_name, family_name, email, mobile, birth_date, group_id, language, status, max_expiry,
			external_mobile_id, attributes, version, created_at, updated_at) SELECT ` + name("p", "i") + `, 'E' || i, '', 'Ada' || i, 'Love' || i, '', '', '',
			CASE WHEN i % 97 = 0 THEN NULL WHEN i % 3 = 0 THEN 'g11' ELSE 'g' || ((i * 7919) % 150 + 1) END, '', 'active', '', '', '{}', 1, ` + at + `, ` + at + series(people),
		`INSERT INTO profiles (id, name, version) SELECT 'f' || i, 'profile-' || i, 1` + series(3),
		`INSERT INTO requests (id, person_id, profile_id, channel, requested_by, state, expiry_date, generation, code_digits, attempts, redeemed,
			approval_deadline, decided_by, decision_reason, failure_code, document_id, created_at, updated_at)
			SELECT ` + name("r", "i") + `, ` + holder + `, 'f' || (i % 3 + 1), 'operator', 'a' || (i % 5), CASE WHEN i % 40 = 0 THEN 'awaiting_approval'
			WHEN i % 41 = 0 THEN 'rejected' ELSE 'issued' END, '', 1, 8, 0, ` + no + `, ` + instant("2025-02-01", "i * 7 % 1000") + `, '', '', '',
			` + name("d", "i") + `, ` + instant("2025-01-01", "i") + `, ` + at + series(n),
		`INSERT INTO request_acts (id, request_id, kind, account_id, reason, params, fingerprint, applied, created_at)
			SELECT 'x', id, 'collect', 'wallet', '', '{}', '', ` + no + `, ` + at + ` FROM requests WHERE id = ` + name("r", "1"),
		`INSERT INTO documents (id, serial, request_id, act_id, person_id, profile_id, profile_version, format_id, format_version, doc_type, platform,
			state, credential_group, signer_id, signed_at, valid_from, valid_until, copies, created_at, updated_at)
			SELECT ` + name("d", "i") + `, ` + name("S", fmt.Sprintf("i * 7919 %% %d", n)) + `, ` + name("r", "i") + `, 'x', ` + holder + `, 'f' || (i % 3 + 1),
			1, 'iso-mdl', 2, 'org.iso.18013.5.1.mDL', CASE WHEN i % 2 = 0 THEN 'ios' ELSE 'android' END, CASE WHEN i % 100 = 0 THEN 'canceled'
			WHEN i % 101 = 0 THEN 'disabled' WHEN i % 103 = 0 THEN 'superseded' WHEN i % 107 = 0 THEN 'prepared' ELSE 'active' END,
			CASE WHEN i % 3 = 0 THEN '' ELSE 'mdl' END, 's', ` + instant("2025-01-01", "i / 3") + `, ` + instant("2025-01-01", "i / 3") + `,
			` + instant("2025-12-20", "i * 7919 % 60000") + `, 2, ` + instant("2025-01-01", "i") + `, ` + at + series(n),
		`INSERT INTO cancellations (id, document_id, person_id, requested_by, reason, notes, state, decided_by, decision_reason, created_at, updated_at)
			SELECT 'c' || id, id, person_id, 'a1', 'lost', '', 'approved', 'a2', '', created_at, updated_at FROM documents WHERE state = 'canceled'`,
		`INSERT INTO messages (id, request_id, person_id, document_id, generation, channel, kind, cause, state, account_id, tries, created_at, updated_at)
			SELECT 'm' || id, id, person_id, '', 1, 'email', 'collection_link', '', CASE WHEN CAST(substr(id, 2) AS INTEGER) % 50 = 0 THEN 'failed'
			ELSE 'sent' END, '', 3, created_at, updated_at FROM requests`,
		`INSERT INTO message_attempts (id, message_id, outcome, answer, at) SELECT 'n' || id, id, 'refused', '550 no such mailbox', updated_at FROM messages
			WHERE state = 'failed'`,
		`INSERT INTO batches (id, operation, profile_id, expiry_date, reason, notes, created_by, machine, state, total, begun, completed, failed,
			created_at, updated_at) SELECT ` + name("b", "i") + `, 'request', 'f1', '', '', '', 'a1', ` + no + `, 'running', 101, 101, 50, 25, ` + at +
			`, ` + at + series(max(n/1000, 1)),
		`INSERT INTO batch_items (batch_id, n, subject_id, person_id, request_id, state, code, message, updated_at)
			SELECT b.id, n.i, 'x', CASE WHEN n.i = 101 THEN '' ELSE ` + name("p", fmt.Sprintf("n.i * 13 %% %d + 1", people)) + ` END, '',
			CASE n.i % 4 WHEN 0 THEN 'failed' WHEN 1 THEN 'pending' ELSE 'completed' END, '', '', ` + at + series(101) + ` CROSS JOIN batches b`,
	} {
		_, err := b.raw.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	if b.driver == "postgres" {
		_, err := b.raw.ExecContext(t.Context(), `ANALYZE`)
		require.NoError(t, err)
	}
}

// texts reads one column around the store.
func texts(t testing.TB, b backend, query string) []string {
	t.Helper()
	rows, err := b.raw.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var out []string
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		out = append(out, text)
	}
	require.NoError(t, rows.Err())
	return out
}

// readReport reads a report page by page.
func readReport(t testing.TB, b backend, r store.Report, want store.ReportQuery) []store.ReportRow {
	t.Helper()
	want.Now = reportDay
	if want.Sort == "" {
		want.Sort = r.DefaultSort
	}
	if want.Limit == 0 {
		want.Limit = 100_000
	}
	var all []store.ReportRow
	for {
		rows, err := b.Report(t.Context(), r, want)
		require.NoError(t, err, r.Name)
		all = append(all, rows...)
		if len(rows) < want.Limit {
			return all
		}
		want.After = &rows[len(rows)-1].Key
	}
}

func reportNamed(t testing.TB, name string) store.Report {
	t.Helper()
	r, ok := store.ReportByName(name)
	require.True(t, ok)
	return r
}

// cell gives one value of a row by the name of its column.
func cell(t testing.TB, r store.Report, row store.ReportRow, column string) any {
	t.Helper()
	i := slices.IndexFunc(r.Columns, func(c store.ReportColumn) bool { return c.Name == column })
	require.GreaterOrEqual(t, i, 0, column)
	require.Len(t, row.Values, len(r.Columns))
	return row.Values[i]
}

// sets are scopes: everybody, many and few people, one, and nobody. Own persons are in the group of their scope.
var sets = map[string]domain.Within{
	"all": everybody, "division": {PersonID: "p1000011", GroupID: "g2", Below: true}, "department": {PersonID: "p1000010", GroupID: "g42"},
	"self": {PersonID: "p1000010"}, "nobody": {},
}

// Whatever the order and however small the pages: every row comes once, in order.
func TestReportsComeInPages(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		fillReports(t, b, 3500, 1500)
		for _, r := range store.Reports() {
			for name, within := range sets {
				for _, sort := range append(slices.Clone(r.Sorts), "-"+strings.Join(r.Sorts, " -")) {
					for _, by := range strings.Fields(sort) {
						t.Run(r.Name+" "+name+" by "+by, func(t *testing.T) {
							whole := readReport(t, b, r, store.ReportQuery{Within: within, Sort: by})
							paged := readReport(t, b, r, store.ReportQuery{Within: within, Sort: by, Limit: max(7, len(whole)/11)})
							require.Equal(t, whole, paged)
							column, descending, ok := r.Sort(by)
							require.True(t, ok)
							require.True(t, slices.IsSortedFunc(whole, func(x, y store.ReportRow) int {
								c := compareKeys(t, column.Kind, x.Key, y.Key)
								if descending {
									c = -c
								}
								return c
							}))
							switch name {
							case "all":
								require.NotEmpty(t, whole)
							case "nobody":
								require.Empty(t, whole)
							}
						})
					}
				}
			}
		}
	})
}

func compareKeys(t *testing.T, kind store.ReportKind, x, y store.ReportKey) int {
	t.Helper()
	if kind == store.ReportNumber {
		var a, b int
		_, err := fmt.Sscan(x.Value+" "+y.Value, &a, &b)
		require.NoError(t, err)
		return cmp.Or(cmp.Compare(a, b), strings.Compare(x.ID, y.ID))
	}
	return cmp.Or(strings.Compare(x.Value, y.Value), strings.Compare(x.ID, y.ID))
}

// A scope shows exactly the rows about people it reaches; what is about nobody is for scope all.
func TestReportsKeepToTheScope(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		fillReports(t, b, 3500, 1500)
		for name, within := range sets {
			reached := map[string]bool{}
			for some := range slices.Chunk(texts(t, b, `SELECT id FROM persons`), 1000) {
				got, err := b.PersonsWithin(t.Context(), within, some...)
				require.NoError(t, err)
				for id := range got {
					reached[id] = true
				}
			}
			for _, r := range store.Reports() {
				if !slices.ContainsFunc(r.Columns, func(c store.ReportColumn) bool { return c.Personal }) {
					continue
				}
				t.Run(r.Name+" "+name, func(t *testing.T) {
					var want []store.ReportRow
					for _, row := range readReport(t, b, r, store.ReportQuery{Within: everybody}) {
						if reached[row.PersonID] {
							want = append(want, row)
						}
					}
					require.Equal(t, want, readReport(t, b, r, store.ReportQuery{Within: within}))
				})
			}
			t.Run("batches "+name, func(t *testing.T) {
				r := reportNamed(t, "batches")
				var items, completed, failed int64
				for _, item := range texts(t, b, `SELECT person_id || ' ' || state FROM batch_items WHERE batch_id = 'b1000001'`) {
					person, state, _ := strings.Cut(item, " ")
					if within.All || reached[person] {
						items++
						completed += map[string]int64{"completed": 1}[state]
						failed += map[string]int64{"failed": 1}[state]
					}
				}
				all := readReport(t, b, r, store.ReportQuery{Within: within})
				if items == 0 {
					require.Empty(t, all)
					return
				}
				row := all[len(all)-1]
				require.Equal(t, "b1000001", row.Key.ID)
				require.Equal(t, items, cell(t, r, row, "items"))
				require.Equal(t, completed, cell(t, r, row, "completed"))
				require.Equal(t, failed, cell(t, r, row, "failed"))
				require.Equal(t, items-completed-failed, cell(t, r, row, "open"))
			})
			t.Run("counts "+name, func(t *testing.T) {
				counts, documents := reportNamed(t, "issued-documents"), reportNamed(t, "documents")
				want, got := map[string]int64{}, map[string]int64{}
				for _, row := range readReport(t, b, documents, store.ReportQuery{Within: within}) {
					want[fmt.Sprint(cell(t, documents, row, "category"), cell(t, documents, row, "profile"), cell(t, documents, row, "state"))]++
				}
				for _, row := range readReport(t, b, counts, store.ReportQuery{Within: within}) {
					n, ok := cell(t, counts, row, "documents").(int64)
					require.True(t, ok)
					got[fmt.Sprint(cell(t, counts, row, "category"), cell(t, counts, row, "profile"), cell(t, counts, row, "state"))] = n
				}
				require.Equal(t, want, got)
			})
		}
	})
}

// Every filter leaves exactly the rows whose column says so.
func TestReportFilters(t *testing.T) {
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		require.NoError(t, err)
		return d
	}
	is := func(column string, value any) func(t *testing.T, r store.Report, row store.ReportRow) bool {
		return func(t *testing.T, r store.Report, row store.ReportRow) bool { return cell(t, r, row, column) == value }
	}
	between := func(column string, from, to time.Time) func(t *testing.T, r store.Report, row store.ReportRow) bool {
		return func(t *testing.T, r store.Report, row store.ReportRow) bool {
			v, ok := cell(t, r, row, column).(time.Time)
			require.True(t, ok)
			return !v.Before(from) && v.Before(to)
		}
	}
	far := day("2100-01-01")
	text := func(s string) store.ReportValue { return store.ReportValue{Text: s} }
	cases := []struct {
		report, filter string
		value          store.ReportValue
		keeps          func(t *testing.T, r store.Report, row store.ReportRow) bool
	}{
		{"mobile-documents", "state", text("disabled"), is("state", "disabled")},
		{"documents", "state", text("expired"), is("state", "expired")},
		{"documents", "state", text("active"), is("state", "active")},
		{"documents", "state", text("canceled"), is("state", "canceled")},
		{"documents", "platform", text("ios"), is("platform", "ios")},
		{"documents", "profile_id", text("f2"), is("profile_id", "f2")},
		{"documents", "person_id", text("p1000010"), is("person_id", "p1000010")},
		{"documents", "category", text("mdl"), is("category", "mdl")},
		{"documents", "doc_type", text("org.iso.18013.5.1.mDL"), is("doc_type", "org.iso.18013.5.1.mDL")},
		{"documents", "serial", text("S1000010"), is("serial", "S1000010")},
		{"documents", "issued_from", store.ReportValue{Day: day("2025-01-01")}, between("issued_at", day("2025-01-01"), far)},
		{"documents", "valid_until_from", store.ReportValue{Day: day("2025-12-30")}, between("valid_until", day("2025-12-30"), far)},
		{"documents", "valid_until_until", store.ReportValue{Day: day("2025-12-30")}, between("valid_until", time.Time{}, day("2025-12-31"))},
		{"expiring-documents", "days", store.ReportValue{Number: 3}, between("valid_until", reportDay, day("2026-01-04"))},
		{"requests", "state", text("rejected"), is("state", "rejected")},
		{"requests", "requested_by", text("a3"), is("requested_by", "a3")},
		{"requests", "created_from", store.ReportValue{Day: day("2025-01-02")}, between("created_at", day("2025-01-02"), far)},
		{"requests", "created_until", store.ReportValue{Day: day("2025-01-01")}, between("created_at", time.Time{}, day("2025-01-02"))},
		{"reviews", "deadline_until", store.ReportValue{Day: day("2025-02-01")}, between("deadline", time.Time{}, day("2025-02-02"))},
		{"cancellations", "state", text("approved"), is("state", "approved")},
		{"cancellations", "reason", text("lost"), is("reason", "lost")},
		{"batches", "operation", text("request"), is("operation", "request")},
		{"batches", "created_by", text("a1"), is("created_by", "a1")},
		{"failed-notifications", "kind", text("collection_link"), is("kind", "collection_link")},
		{"failed-notifications", "request_id", text("r1000050"), is("request_id", "r1000050")},
		{"issued-documents", "category", text("mdl"), is("category", "mdl")},
		{"issued-documents", "profile_id", text("f2"), is("profile_id", "f2")},
	}
	eachBackend(t, func(t *testing.T, b backend) {
		fillReports(t, b, 3500, 1500)
		for _, c := range cases {
			t.Run(c.report+" "+c.filter+" "+c.value.Text, func(t *testing.T) {
				r := reportNamed(t, c.report)
				var want []store.ReportRow
				all := store.ReportQuery{Within: everybody}
				if c.report == "expiring-documents" {
					all.Values = map[string]store.ReportValue{"days": {Number: 3650}}
				}
				for _, row := range readReport(t, b, r, all) {
					if c.keeps(t, r, row) {
						want = append(want, row)
					}
				}
				require.NotEmpty(t, want)
				require.Equal(t, want, readReport(t, b, r, store.ReportQuery{Within: everybody, Values: map[string]store.ReportValue{c.filter: c.value}}))
			})
		}
		for _, r := range store.Reports() {
			for _, f := range r.Filters {
				values := map[string]store.ReportValue{f.Name: {Text: "\x00 nothing", Number: 1, Day: reportDay, Group: "g2"}}
				t.Run(r.Name+" takes "+f.Name, func(t *testing.T) {
					rows := readReport(t, b, r, store.ReportQuery{Within: everybody, Values: values})
					if f.Kind == store.ReportID || f.Kind == store.ReportText || f.Kind == store.ReportChoice {
						require.Empty(t, rows)
					}
				})
			}
			if i := slices.IndexFunc(r.Columns, func(c store.ReportColumn) bool { return c.Name == "group" }); i >= 0 {
				t.Run(r.Name+" of a group", func(t *testing.T) {
					var want []store.ReportRow
					for _, row := range readReport(t, b, r, store.ReportQuery{Within: everybody}) {
						if path := fmt.Sprint(row.Values[i]); path == "G2" || strings.HasPrefix(path, "G2/") {
							want = append(want, row)
						}
					}
					require.Equal(t, want, readReport(t, b, r, store.ReportQuery{Within: everybody,
						Values: map[string]store.ReportValue{"group": {Group: "g2"}}}))
				})
			}
		}
	})
}

// Personal data are read only when they are wanted, and nothing can be sorted by them.
func TestReportsKeepPersonalDataBack(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		fillReports(t, b, 500, 500)
		for _, r := range store.Reports() {
			for _, personal := range []bool{false, true} {
				rows := readReport(t, b, r, store.ReportQuery{Within: everybody, Personal: personal})
				require.NotEmpty(t, rows)
				for i, c := range r.Columns {
					if c.Personal {
						require.NotContains(t, r.Sorts, c.Name)
						require.Equal(t, personal, rows[0].Values[i] != "", c.Name)
						require.NotEmpty(t, rows[0].PersonID)
					}
				}
			}
		}
	})
}

func TestReportKeysOfAnotherOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		for report, sort := range map[string]string{"documents": "issued_at", "issued-documents": "-documents"} {
			_, err := b.Report(t.Context(), reportNamed(t, report), store.ReportQuery{Within: everybody, Sort: sort, Limit: 1,
				After: &store.ReportKey{Value: "' OR 1=1", ID: "x"}})
			require.ErrorIs(t, err, store.ErrReportKey)
		}
		_, err := b.Report(t.Context(), reportNamed(t, "documents"), store.ReportQuery{Within: everybody, Sort: "given_name", Limit: 1})
		require.Error(t, err)
		_, ok := store.ReportByName("nothing")
		require.False(t, ok)
	})
}

// No page of a list is sorted from all its rows: pages deep in a list take as long as the first.
func TestReportsAreReadInOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		fillReports(t, b, 10_000, 20_000)
		for _, r := range store.Reports() {
			for _, by := range r.Sorts {
				if r.Name == "issued-documents" || by == "deadline" { // counts, and a sort of what waits now
					continue
				}
				within := []domain.Within{everybody, sets["division"]}
				if r.Name == "batches" { // too few, and in a scope all items are counted
					continue
				}
				for _, w := range within {
					for _, sort := range []string{by, "-" + by} {
						t.Run(fmt.Sprint(r.Name, " by ", sort, " of ", w), func(t *testing.T) {
							want := store.ReportQuery{Within: w, Sort: sort, Limit: 50, Now: reportDay}
							rows, err := b.Report(t.Context(), r, want)
							require.NoError(t, err)
							require.NotEmpty(t, rows)
							for range 2 {
								require.NotContains(t, plan(t, b, r, want), map[string]string{"sqlite": "TEMP B-TREE", "postgres": "Sort Key"}[b.driver])
								want.After = &rows[len(rows)/2].Key
							}
						})
					}
				}
			}
		}
		if b.driver == "postgres" { // it goes by how many rows there are of what
			return
		}
		for report, filters := range map[string]map[string]store.ReportValue{
			"documents": {"state": {Text: "active"}, "platform": {Text: "ios"}, "profile_id": {Text: "f1"}, "category": {Text: "mdl"}, "group": {Group: "g2"},
				"valid_until_from": {Day: reportDay}, "valid_until_until": {Day: reportDay}, "issued_from": {Day: reportDay}, "issued_until": {Day: reportDay}},
			"mobile-documents": {"state": {Text: "disabled"}},
			"requests":         {"state": {Text: "issued"}, "created_from": {Day: reportDay}, "requested_by": {Text: "a1"}, "profile_id": {Text: "f1"}},
			"cancellations":    {"state": {Text: "approved"}, "reason": {Text: "lost"}},
		} {
			for name, value := range filters {
				t.Run(report+" with "+name, func(t *testing.T) {
					r := reportNamed(t, report)
					require.NotContains(t, plan(t, b, r, store.ReportQuery{Within: everybody, Sort: r.DefaultSort, Limit: 50, Now: reportDay,
						Values: map[string]store.ReportValue{name: value}}), "TEMP B-TREE")
				})
			}
		}
	})
}

// plan gives how the database reads a page.
func plan(t testing.TB, b backend, r store.Report, want store.ReportQuery) string {
	t.Helper()
	query, args, err := b.ReportText(t.Context(), r, want)
	require.NoError(t, err)
	explain := map[string]string{"sqlite": "EXPLAIN QUERY PLAN ", "postgres": "EXPLAIN "}[b.driver]
	rows, err := b.raw.QueryContext(t.Context(), explain+query, args...)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var out strings.Builder
	for rows.Next() {
		line := make([]any, len(columns))
		for i := range line {
			line[i] = new(any)
		}
		require.NoError(t, rows.Scan(line...))
		fmt.Fprintln(&out, *line[len(line)-1].(*any))
	}
	require.NoError(t, rows.Err())
	return out.String()
}
