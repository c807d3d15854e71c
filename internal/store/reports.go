package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

// ReportKind says what a column of a report, or a value that narrows it, is.
type ReportKind string

// The kinds. Days and groups only narrow.
const (
	ReportID     ReportKind = "id"     // a UUID or another word of ours
	ReportText   ReportKind = "text"   // what somebody typed, or a wallet or gateway sent
	ReportChoice ReportKind = "choice" // one of a closed list
	ReportNumber ReportKind = "number"
	ReportTime   ReportKind = "time"
	ReportDay    ReportKind = "day"   // a day in UTC
	ReportGroup  ReportKind = "group" // a group and every group below it
)

// ReportColumn is one column.
type ReportColumn struct {
	Name     string
	Kind     ReportKind
	Personal bool // only for readers of people

	sql    string
	unique bool // no two rows have the same
}

// ReportFilter is one way to narrow a report.
type ReportFilter struct {
	Name    string
	Kind    ReportKind
	Values  []string // of a choice
	Min     int      // of a number
	Max     int
	Default string // holds when nothing is said

	column  string
	compare string // what the column is to the value: =, >=, < the next day, <= so many days from now, or stateIs
	seek    bool   // an index on the column gives rows in the report's order, or few of them
}

// ReportValue is what a filter is set to.
type ReportValue struct {
	Text   string // id, text or choice
	Number int
	Day    time.Time // its beginning
	Group  string    // id
}

// Report is a table that people read and download: which rows there are, and how they can be narrowed and sorted (J3). Every column that rows can be
// sorted by is without personal data, for its value is part of the place where the next page begins.
type Report struct {
	Name        string
	About       string
	Columns     []ReportColumn
	Filters     []ReportFilter
	Sorts       []string // columns
	DefaultSort string   // one of them, after a - when descending

	// from is what is read. Where it groups rows, {where} stands for the conditions before grouping.
	from string
	// fromWithin is read instead by those who do not reach everybody.
	fromWithin string
	person     string // column of the person that a row is about
	holder     bool   // persons p is that person, groups g the group
	id         string // column that no two rows share
	where      string // holds for every row
	clock      bool   // the columns or where take the present instant as $1
}

// Sort gives the column that rows are sorted by, and whether from high to low; false when the report cannot be sorted so.
func (r Report) Sort(by string) (column ReportColumn, descending, ok bool) {
	name, descending := strings.CutPrefix(by, "-")
	i := slices.IndexFunc(r.Columns, func(c ReportColumn) bool { return c.Name == name })
	if i < 0 || !slices.Contains(r.Sorts, name) {
		return ReportColumn{}, false, false
	}
	return r.Columns[i], descending, true
}

// ReportByName gives one report.
func ReportByName(name string) (Report, bool) {
	i := slices.IndexFunc(reports, func(r Report) bool { return r.Name == name })
	if i < 0 {
		return Report{}, false
	}
	return reports[i], true
}

// Reports lists the reports.
func Reports() []Report { return slices.Clone(reports) }

// stateNow is the state of a document at the instant $1; see domain.Document's StateAt.
const stateNow = `CASE WHEN d.state IN ('active', 'disabled') AND d.valid_until <= $1 THEN 'expired' ELSE d.state END`

// notEnded is that a document is active or disabled as far as is stored.
const notEnded = `d.state NOT IN ('prepared', 'canceled', 'expired', 'superseded')`

// stateIs compares the state of a document now.
const stateIs = "is now"

var documentTables = tablesOf("documents", "d")

var reports = []Report{
	{
		Name: "mobile-documents", About: "Documents that holders have now: active or disabled, and not past their end",
		Columns: documentReportColumns(), Sorts: documentSorts, DefaultSort: "-issued_at",
		Filters: documentReportFilters(domain.DocumentActive, domain.DocumentDisabled),
		from:    documentTables, person: "d.person_id", holder: true, id: "d.id", clock: true,
		where: notEnded + ` AND NOT d.valid_until <= $1`,
	},
	{
		Name: "documents", About: "Every document ever issued, with its state now",
		Columns: documentReportColumns(), Sorts: documentSorts, DefaultSort: "-issued_at",
		Filters: documentReportFilters(domain.DocumentActive, domain.DocumentDisabled, domain.DocumentCanceled, domain.DocumentExpired,
			domain.DocumentSuperseded),
		from: documentTables, person: "d.person_id", holder: true, id: "d.id", clock: true,
		where: `d.state <> 'prepared'`,
	},
	{
		Name: "expiring-documents", About: "Documents that end within a number of days, the soonest first",
		Columns: documentReportColumns(), Sorts: []string{"valid_until"}, DefaultSort: "valid_until",
		Filters: append([]ReportFilter{{Name: "days", Kind: ReportNumber, Min: 1, Max: 3650, Default: "30", column: "d.valid_until", compare: "<="}},
			documentReportFilters(domain.DocumentActive, domain.DocumentDisabled)...),
		from: documentTables, person: "d.person_id", holder: true, id: "d.id", clock: true,
		where: `d.valid_until > $1 AND ` + notEnded,
	},
	{
		Name: "issued-documents", About: "How many documents were issued, by category (credential group), profile and state now",
		Columns: []ReportColumn{
			{Name: "category", Kind: ReportText, sql: "r.category"},
			{Name: "profile_id", Kind: ReportID, sql: "r.profile_id"},
			{Name: "profile", Kind: ReportID, sql: "f.name"},
			{Name: "state", Kind: ReportChoice, sql: "r.state"},
			{Name: "documents", Kind: ReportNumber, sql: "r.documents"},
			{Name: "first_issued_at", Kind: ReportTime, sql: "r.first_issued_at"},
			{Name: "last_issued_at", Kind: ReportTime, sql: "r.last_issued_at"},
		},
		Sorts: []string{"category", "documents"}, DefaultSort: "category",
		Filters: []ReportFilter{
			profileFilter("d"), textFilter("category", "d.credential_group"), platformFilter(), groupFilter(),
			fromFilter("issued_from", "d.signed_at"), untilFilter("issued_until", "d.signed_at"),
		},
		from: `(SELECT d.credential_group AS category, d.profile_id, ` + stateNow + ` AS state, count(*) AS documents,
			min(d.signed_at) AS first_issued_at, max(d.signed_at) AS last_issued_at
			FROM documents d LEFT JOIN persons p ON p.id = d.person_id LEFT JOIN groups g ON g.id = p.group_id {where} GROUP BY 1, 2, 3) r JOIN profiles f ON f.id = r.profile_id`,
		person: "d.person_id", holder: true, id: "r.category || ' ' || r.profile_id || ' ' || r.state", clock: true,
		where: `d.state <> 'prepared'`,
	},
	{
		Name: "reviews", About: "Requests that wait for an approver, the longest waiting first",
		Columns: columns([]ReportColumn{
			{Name: "id", Kind: ReportID, sql: "r.id"},
			{Name: "purpose", Kind: ReportChoice, sql: "CASE WHEN r.replaces IS NULL THEN 'issuance' ELSE 'update' END"},
			{Name: "waiting_since", Kind: ReportTime, sql: "r.created_at"},
			{Name: "deadline", Kind: ReportTime, sql: "r.approval_deadline"},
			{Name: "requested_by", Kind: ReportID, sql: "r.requested_by"},
			{Name: "channel", Kind: ReportChoice, sql: "r.channel"},
			{Name: "profile_id", Kind: ReportID, sql: "r.profile_id"},
			{Name: "profile", Kind: ReportID, sql: "f.name"},
		}, holderColumns("r")),
		Sorts: []string{"id", "deadline"}, DefaultSort: "id",
		Filters: []ReportFilter{
			profileFilter("r"), personFilter("r"), idFilter("requested_by", "r.requested_by"), channelFilter(), groupFilter(),
			fromFilter("waiting_from", "r.created_at"), untilFilter("waiting_until", "r.created_at"),
			untilFilter("deadline_until", "r.approval_deadline"),
		},
		from: tablesOf("requests", "r"), person: "r.person_id", holder: true, id: "r.id",
		where: `r.state = 'awaiting_approval'`,
	},
	{
		Name: "requests", About: "Requests in every state, the latest first",
		Columns: columns([]ReportColumn{
			{Name: "id", Kind: ReportID, sql: "r.id"},
			{Name: "state", Kind: ReportChoice, sql: "r.state"},
			{Name: "purpose", Kind: ReportChoice, sql: "CASE WHEN r.replaces IS NULL THEN 'issuance' ELSE 'update' END"},
			{Name: "channel", Kind: ReportChoice, sql: "r.channel"},
			{Name: "profile_id", Kind: ReportID, sql: "r.profile_id"},
			{Name: "profile", Kind: ReportID, sql: "f.name"},
			{Name: "requested_by", Kind: ReportID, sql: "r.requested_by"},
			{Name: "created_at", Kind: ReportTime, sql: "r.created_at"},
			{Name: "approval_deadline", Kind: ReportTime, sql: "r.approval_deadline"},
			{Name: "decided_by", Kind: ReportID, sql: "r.decided_by"},
			{Name: "decided_at", Kind: ReportTime, sql: "r.decided_at"},
			{Name: "collection_deadline", Kind: ReportTime, sql: "r.collection_deadline"},
			{Name: "failure_code", Kind: ReportChoice, sql: "r.failure_code"},
			{Name: "document_id", Kind: ReportID, sql: "r.document_id"},
			{Name: "updated_at", Kind: ReportTime, sql: "r.updated_at"},
		}, holderColumns("r")),
		Sorts: []string{"id"}, DefaultSort: "-id",
		Filters: []ReportFilter{
			indexed(choiceFilter("state", "r.state", domain.RequestStates()...)), profileFilter("r"), personFilter("r"),
			idFilter("requested_by", "r.requested_by"), channelFilter(), groupFilter(),
			fromFilter("created_from", "r.created_at"), untilFilter("created_until", "r.created_at"),
		},
		from: tablesOf("requests", "r"), person: "r.person_id", holder: true, id: "r.id",
	},
	{
		Name: "cancellations", About: "Cancellations that take another operator's approval, the latest first",
		Columns: columns([]ReportColumn{
			{Name: "id", Kind: ReportID, sql: "c.id"},
			{Name: "state", Kind: ReportChoice, sql: "c.state"},
			{Name: "reason", Kind: ReportChoice, sql: "c.reason"},
			{Name: "document_id", Kind: ReportID, sql: "c.document_id"},
			{Name: "serial", Kind: ReportID, sql: "d.serial"},
			{Name: "profile_id", Kind: ReportID, sql: "d.profile_id"},
			{Name: "profile", Kind: ReportID, sql: "f.name"},
			{Name: "requested_by", Kind: ReportID, sql: "c.requested_by"},
			{Name: "created_at", Kind: ReportTime, sql: "c.created_at"},
			{Name: "deadline", Kind: ReportTime, sql: "c.deadline"},
			{Name: "decided_by", Kind: ReportID, sql: "c.decided_by"},
			{Name: "decided_at", Kind: ReportTime, sql: "c.decided_at"},
		}, holderColumns("c")),
		Sorts: []string{"id"}, DefaultSort: "-id",
		Filters: []ReportFilter{
			indexed(choiceFilter("state", "c.state", domain.CancellationStates()...)),
			choiceFilter("reason", "c.reason", domain.CancelReasons()...), profileFilter("d"), personFilter("c"),
			idFilter("requested_by", "c.requested_by"), groupFilter(),
			fromFilter("created_from", "c.created_at"), untilFilter("created_until", "c.created_at"),
		},
		from: `cancellations c JOIN persons p ON p.id = c.person_id LEFT JOIN documents d ON d.id = c.document_id
			LEFT JOIN profiles f ON f.id = d.profile_id LEFT JOIN groups g ON g.id = p.group_id`,
		person: "c.person_id", holder: true, id: "c.id",
	},
	{
		Name: "batches", About: "Batches with the outcomes of their items, the latest first; in a scope below all, of the items about people in scope",
		Columns: []ReportColumn{
			{Name: "id", Kind: ReportID, sql: "b.id"},
			{Name: "operation", Kind: ReportChoice, sql: "b.operation"},
			{Name: "state", Kind: ReportChoice, sql: "b.state"},
			{Name: "profile_id", Kind: ReportID, sql: "COALESCE(b.profile_id, '')"},
			{Name: "profile", Kind: ReportID, sql: "COALESCE(f.name, '')"},
			{Name: "reason", Kind: ReportChoice, sql: "b.reason"},
			{Name: "created_by", Kind: ReportID, sql: "b.created_by"},
			{Name: "items", Kind: ReportNumber, sql: "b.total"},
			{Name: "completed", Kind: ReportNumber, sql: "b.completed"},
			{Name: "failed", Kind: ReportNumber, sql: "b.failed"},
			{Name: "open", Kind: ReportNumber, sql: "b.total - b.completed - b.failed"},
			{Name: "created_at", Kind: ReportTime, sql: "b.created_at"},
			{Name: "ended_at", Kind: ReportTime, sql: "b.ended_at"},
		},
		Sorts: []string{"id"}, DefaultSort: "-id",
		Filters: []ReportFilter{
			choiceFilter("state", "b.state", domain.BatchReceived, domain.BatchRunning, domain.BatchCompleted),
			choiceFilter("operation", "b.operation", domain.BatchOperations()...), profileFilter("b"), indexed(idFilter("created_by", "b.created_by")),
			fromFilter("created_from", "b.created_at"), untilFilter("created_until", "b.created_at"),
		},
		from: `batches b LEFT JOIN profiles f ON f.id = b.profile_id`,
		fromWithin: `(SELECT b.id, b.operation, b.state, b.profile_id, b.reason, b.created_by, b.created_at, b.ended_at, count(*) AS total,
			sum(CASE WHEN i.state = 'completed' THEN 1 ELSE 0 END) AS completed, sum(CASE WHEN i.state = 'failed' THEN 1 ELSE 0 END) AS failed
			FROM batches b JOIN batch_items i ON i.batch_id = b.id {where} GROUP BY b.id) b LEFT JOIN profiles f ON f.id = b.profile_id`,
		person: "i.person_id", id: "b.id",
	},
	{
		Name: "failed-notifications", About: "Messages that were given up, with the last answer of the gateway, the latest first",
		Columns: columns([]ReportColumn{
			{Name: "id", Kind: ReportID, sql: "m.id"},
			{Name: "kind", Kind: ReportChoice, sql: "m.kind"},
			{Name: "channel", Kind: ReportChoice, sql: "m.channel"},
			{Name: "request_id", Kind: ReportID, sql: "COALESCE(m.request_id, '')"},
			{Name: "document_id", Kind: ReportID, sql: "m.document_id"},
			{Name: "account_id", Kind: ReportID, sql: "m.account_id"},
			{Name: "tries", Kind: ReportNumber, sql: "m.tries"},
			{Name: "last_answer", Kind: ReportText, sql: `COALESCE((SELECT a.answer FROM message_attempts a WHERE a.message_id = m.id
				ORDER BY a.id DESC LIMIT 1), '')`},
			{Name: "created_at", Kind: ReportTime, sql: "m.created_at"},
			{Name: "failed_at", Kind: ReportTime, sql: "m.updated_at"},
		}, holderColumns("m")),
		Sorts: []string{"id"}, DefaultSort: "-id",
		Filters: []ReportFilter{
			choiceFilter("kind", "m.kind", domain.MessageKinds()...), choiceFilter("channel", "m.channel", domain.ChannelEmail, domain.ChannelSMS),
			personFilter("m"), indexed(idFilter("request_id", "m.request_id")), groupFilter(),
			fromFilter("failed_from", "m.updated_at"), untilFilter("failed_until", "m.updated_at"),
		},
		from:   `messages m JOIN persons p ON p.id = m.person_id LEFT JOIN groups g ON g.id = p.group_id`,
		person: "m.person_id", holder: true, id: "m.id",
		where: `m.state = 'failed'`,
	},
}

var documentSorts = []string{"issued_at", "valid_until", "serial", "person_id"}

func documentReportColumns() []ReportColumn {
	return columns([]ReportColumn{
		{Name: "id", Kind: ReportID, sql: "d.id"},
		{Name: "serial", Kind: ReportID, sql: "d.serial", unique: true},
		{Name: "doc_type", Kind: ReportID, sql: "d.doc_type"},
		{Name: "category", Kind: ReportText, sql: "d.credential_group"},
		{Name: "profile_id", Kind: ReportID, sql: "d.profile_id"},
		{Name: "profile", Kind: ReportID, sql: "f.name"},
		{Name: "profile_version", Kind: ReportNumber, sql: "d.profile_version"},
		{Name: "format", Kind: ReportID, sql: "d.format_id"},
		{Name: "format_version", Kind: ReportNumber, sql: "d.format_version"},
		{Name: "platform", Kind: ReportChoice, sql: "d.platform"},
		{Name: "state", Kind: ReportChoice, sql: stateNow},
		{Name: "issued_at", Kind: ReportTime, sql: "d.signed_at"},
		{Name: "valid_from", Kind: ReportTime, sql: "d.valid_from"},
		{Name: "valid_until", Kind: ReportTime, sql: "d.valid_until"},
		{Name: "copies", Kind: ReportNumber, sql: "d.copies"},
		{Name: "request_id", Kind: ReportID, sql: "d.request_id"},
		{Name: "updated_at", Kind: ReportTime, sql: "d.updated_at"},
	}, holderColumns("d"))
}

func documentReportFilters(states ...domain.DocumentState) []ReportFilter {
	state := choiceFilter("state", "d.state", states...)
	state.compare = stateIs
	return []ReportFilter{
		state, platformFilter(), profileFilter("d"), personFilter("d"), groupFilter(),
		textFilter("category", "d.credential_group"), textFilter("doc_type", "d.doc_type"), indexed(textFilter("serial", "d.serial")),
		fromFilter("issued_from", "d.signed_at"), untilFilter("issued_until", "d.signed_at"),
		fromFilter("valid_until_from", "d.valid_until"), untilFilter("valid_until_until", "d.valid_until"),
	}
}

// holderColumns tell of the person p in the group g whom a table names.
func holderColumns(table string) []ReportColumn {
	return []ReportColumn{
		{Name: "person_id", Kind: ReportID, sql: table + ".person_id"},
		{Name: "group", Kind: ReportText, sql: "COALESCE(g.path, '')"},
		{Name: "external_id", Kind: ReportText, Personal: true, sql: "p.external_id"},
		{Name: "given_name", Kind: ReportText, Personal: true, sql: "p.given_name"},
		{Name: "family_name", Kind: ReportText, Personal: true, sql: "p.family_name"},
	}
}

func columns(some ...[]ReportColumn) []ReportColumn { return slices.Concat(some...) }

// tablesOf joins holder, group and profile to a table.
func tablesOf(table, as string) string {
	return table + " " + as + " JOIN persons p ON p.id = " + as + ".person_id LEFT JOIN profiles f ON f.id = " + as +
		".profile_id LEFT JOIN groups g ON g.id = p.group_id"
}

func idFilter(name, column string) ReportFilter {
	return ReportFilter{Name: name, Kind: ReportID, column: column, compare: "="}
}

func textFilter(name, column string) ReportFilter {
	return ReportFilter{Name: name, Kind: ReportText, column: column, compare: "="}
}

func choiceFilter[T ~string](name, column string, values ...T) ReportFilter {
	out := ReportFilter{Name: name, Kind: ReportChoice, column: column, compare: "="}
	for _, v := range values {
		out.Values = append(out.Values, string(v))
	}
	return out
}

// fromFilter and untilFilter give the days from one to another, both included.
func fromFilter(name, column string) ReportFilter {
	return ReportFilter{Name: name, Kind: ReportDay, column: column, compare: ">="}
}

func untilFilter(name, column string) ReportFilter {
	return ReportFilter{Name: name, Kind: ReportDay, column: column, compare: "<"}
}

func indexed(f ReportFilter) ReportFilter {
	f.seek = true
	return f
}

func profileFilter(table string) ReportFilter { return idFilter("profile_id", table+".profile_id") }
func personFilter(table string) ReportFilter {
	return indexed(idFilter("person_id", table+".person_id"))
}

func platformFilter() ReportFilter {
	return choiceFilter("platform", "d.platform", domain.PlatformAndroid, domain.PlatformIOS, domain.PlatformOther)
}

func channelFilter() ReportFilter {
	return choiceFilter("channel", "r.channel", domain.RequestByOperator, domain.RequestByHolder, domain.RequestByClient)
}

// groupFilter is added as a set of people, as the scope is.
func groupFilter() ReportFilter { return ReportFilter{Name: "group", Kind: ReportGroup} }

// ReportQuery asks for one keyset page of a report.
type ReportQuery struct {
	Within   domain.Within
	Personal bool                   // read the columns with personal data too; else they are empty
	Values   map[string]ReportValue // by filter
	Now      time.Time
	Sort     string     // as Report.Sort takes it
	After    *ReportKey // of the last row of the page before
	Limit    int
}

// ReportKey is the place of a row in the order of a report.
type ReportKey struct {
	Value string // of the sorted column: text as it is, a number in decimal, an instant as ReportInstant writes it
	ID    string
}

// ReportRow is one row.
type ReportRow struct {
	Key      ReportKey
	PersonID string // whom it is about, if it is about one person
	Values   []any  // of the columns: string, int64, time.Time, or nil for none
}

// ReportInstant writes an instant as keys have it.
func ReportInstant(t time.Time) string { return t.UTC().Format(timeForm) }

// ErrReportKey means that a key is not of the column that is sorted by.
var ErrReportKey = errors.New("store: not a key of this order")

// argument gives a key's value as the query takes it.
func (k ReportKey) argument(kind ReportKind) (any, error) {
	switch kind {
	case ReportTime:
		t, err := time.Parse(timeForm, k.Value)
		if err != nil {
			return nil, ErrReportKey
		}
		return At(t), nil
	case ReportNumber:
		n, err := strconv.ParseInt(k.Value, 10, 64)
		if err != nil {
			return nil, ErrReportKey
		}
		return n, nil
	case ReportID, ReportText, ReportChoice, ReportDay, ReportGroup:
	}
	return k.Value, nil
}

// Report reads a page. ErrReportKey when After is not of this order.
func (q Queries) Report(ctx context.Context, r Report, want ReportQuery) ([]ReportRow, error) {
	if want.Within.Nobody() {
		return nil, nil
	}
	query, args, err := q.reportQuery(ctx, r, want)
	if err != nil {
		return nil, err
	}
	rows, err := q.ext.QueryContext(ctx, query, args...)
	if unstorable(err) {
		return nil, nil
	}
	if err != nil {
		return nil, translate(err)
	}
	defer func() { _ = rows.Close() }()
	sorted, _, _ := r.Sort(want.Sort)
	var out []ReportRow
	for rows.Next() {
		row, err := scanReport(rows, r, sorted)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, translate(rows.Err())
}

// reportQuery gives the SQL. All of its text is ours; whatever a caller says is an argument.
func (q Queries) reportQuery(ctx context.Context, r Report, want ReportQuery) (string, []any, error) {
	sorted, descending, ok := r.Sort(want.Sort)
	if !ok {
		return "", nil, fmt.Errorf("report %s cannot be sorted so", r.Name)
	}
	var f filter
	if r.clock {
		f.args = append(f.args, At(want.Now))
	}
	if r.where != "" {
		f.conds = append(f.conds, r.where)
	}
	from := r.from
	if !want.Within.All {
		if r.fromWithin != "" {
			from = r.fromWithin
		}
		if err := q.addPeople(ctx, &f, r.person, r.holder, want.Within); err != nil {
			return "", nil, err
		}
	}
	for _, narrow := range r.Filters {
		v, given := want.Values[narrow.Name]
		switch {
		case !given:
		case narrow.Kind == ReportGroup:
			if err := q.addPeople(ctx, &f, r.person, r.holder, domain.Within{GroupID: v.Group, Below: true}); err != nil {
				return "", nil, err
			}
		default:
			f.narrow(narrow, v, want.Now, sorted)
		}
	}
	if before, after, grouped := strings.Cut(from, "{where}"); grouped {
		from, f.conds = before+f.where()+after, nil
	}
	order, err := keyset(&f, sorted, r.id, descending, want.After)
	if err != nil {
		return "", nil, err
	}
	return "SELECT " + r.selected(want.Personal, sorted) + " FROM " + from + f.where() + order + " LIMIT " + strconv.Itoa(want.Limit), f.args, nil
}

// narrow adds a filter.
func (f *filter) narrow(by ReportFilter, v ReportValue, now time.Time, sorted ReportColumn) {
	var value any = v.Text
	switch {
	case by.compare == stateIs:
		f.stateNow(domain.DocumentState(v.Text))
		return
	case by.Kind == ReportNumber:
		value = At(now.AddDate(0, 0, v.Number))
	case by.Kind == ReportDay && by.compare == "<":
		value = At(v.Day.AddDate(0, 0, 1))
	case by.Kind == ReportDay:
		value = At(v.Day)
	}
	if by.seek || by.column == sorted.sql {
		f.add(by.column+" "+by.compare+" ?", value)
	} else {
		f.add("NOT "+by.column+" "+opposite[by.compare]+" ?", value)
	}
}

// opposite gives the comparison that holds where another does not. SQLite takes no index for a negated one, and so reads rows in the order of the
// report: an index on the filter's column would give them in another, and every page would have to sort all of them. PostgreSQL, which knows how many
// rows there are of what, sees through it.
var opposite = map[string]string{"=": "<>", ">=": "<", "<": ">=", "<=": ">"}

// stateNow adds that a document is in the state at the instant $1; see domain.Document's StateAt.
func (f *filter) stateNow(state domain.DocumentState) {
	switch {
	case state == domain.DocumentExpired:
		f.add("(NOT d.state <> 'expired' OR (" + notEnded + " AND NOT d.valid_until > $1))")
	case state.Live():
		f.add("NOT d.state <> ? AND NOT d.valid_until <= $1", string(state))
	default:
		f.add("NOT d.state <> ?", string(state))
	}
}

// keyset adds that rows come after a place, and gives the order.
func keyset(f *filter, sorted ReportColumn, id string, descending bool, after *ReportKey) (string, error) {
	compare, direction := ">", ""
	if descending {
		compare, direction = "<", " DESC"
	}
	columns := []string{sorted.sql, id}
	if sorted.unique || sorted.sql == id {
		columns = columns[:1]
	}
	if after != nil {
		v, err := after.argument(sorted.Kind)
		if err != nil {
			return "", err
		}
		args := []any{v, after.ID}[:len(columns)]
		f.add("("+strings.Join(columns, ", ")+") "+compare+" (?"+strings.Repeat(", ?", len(columns)-1)+")", args...)
	}
	return " ORDER BY " + strings.Join(columns, direction+", ") + direction, nil
}

// selected gives what is read: the row's own id, its person, what it is sorted by, and the columns.
func (r Report) selected(personal bool, sorted ReportColumn) string {
	person := "''"
	if slices.ContainsFunc(r.Columns, func(c ReportColumn) bool { return c.Personal }) {
		person = r.person
	}
	out := []string{r.id, person, sorted.sql}
	for _, c := range r.Columns {
		if c.Personal && !personal {
			out = append(out, "''")
		} else {
			out = append(out, c.sql)
		}
	}
	return strings.Join(out, ", ")
}

func scanReport(rows *sql.Rows, r Report, sorted ReportColumn) (ReportRow, error) {
	var out ReportRow
	key := &reportCell{kind: sorted.Kind}
	cells := make([]reportCell, len(r.Columns))
	into := []any{&out.Key.ID, &out.PersonID, key}
	for i, c := range r.Columns {
		cells[i].kind = c.Kind
		into = append(into, &cells[i])
	}
	if err := rows.Scan(into...); err != nil {
		return out, fmt.Errorf("read row of report: %w", err)
	}
	out.Values = make([]any, len(cells))
	for i := range cells {
		out.Values[i] = cells[i].value
	}
	switch v := key.value.(type) {
	case string:
		out.Key.Value = v
	case int64:
		out.Key.Value = strconv.FormatInt(v, 10)
	case time.Time:
		out.Key.Value = ReportInstant(v)
	}
	return out, nil
}

// reportCell reads one value of a kind.
type reportCell struct {
	kind  ReportKind
	value any
}

// Scan implements sql.Scanner.
func (c *reportCell) Scan(v any) error {
	if v == nil {
		c.value = nil
		return nil
	}
	switch c.kind {
	case ReportTime:
		var t Time
		if err := t.Scan(v); err != nil {
			return err
		}
		c.value = t.Time
	case ReportNumber:
		var n sql.NullInt64
		if err := n.Scan(v); err != nil {
			return fmt.Errorf("read number: %w", err)
		}
		c.value = n.Int64
	case ReportID, ReportText, ReportChoice, ReportDay, ReportGroup:
		var s sql.NullString
		if err := s.Scan(v); err != nil {
			return fmt.Errorf("read text: %w", err)
		}
		c.value = s.String
	}
	return nil
}

// fewPeople is how many people are looked up one by one.
const fewPeople = 1000

// addPeople narrows to rows about the people of a set; person is their column. The rows of few people are found through them and sorted. With many
// people rows are read in their order and those of others left out on the way: then no page sorts, and all pages together read the table once. That
// takes that persons p is the person and groups g the group, which joined says.
func (q Queries) addPeople(ctx context.Context, f *filter, person string, joined bool, w domain.Within) error {
	few := true
	if joined {
		var err error
		if few, err = q.fewWithin(ctx, w); err != nil {
			return err
		}
	}
	switch {
	case w.GroupID == "":
		f.within(person, w)
	case few:
		f.add(person+" IN (SELECT CAST(? AS TEXT) UNION ALL SELECT id FROM persons WHERE group_id IN ("+groupSet(w.Below)+"))", w.PersonID, w.GroupID)
	default: // COALESCE lets the database look at groups last: from the groups on, it would have to sort what it finds
		f.add("(p.id = ? OR COALESCE(g.id, '') IN ("+groupSet(w.Below)+"))", w.PersonID, w.GroupID)
	}
	return nil
}

func (q Queries) fewWithin(ctx context.Context, w domain.Within) (bool, error) {
	if w.GroupID == "" {
		return true, nil
	}
	var f filter
	f.inGroup("group_id", w.GroupID, w.Below)
	var n int
	err := q.get(ctx, &n, `SELECT count(*) FROM (SELECT id FROM persons`+f.where()+` LIMIT `+strconv.Itoa(fewPeople+1)+`) AS people`, f.args...)
	return n <= fewPeople, err
}
