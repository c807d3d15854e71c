package issuer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// ReportText is the kind of columns with what somebody typed, or a wallet or gateway sent.
const ReportText = store.ReportText

// ReportQuery asks for a report.
type ReportQuery struct {
	Name    string
	Filters map[string]string // by name, as text; empty ones do not narrow
	Sort    string            // a column, after a - for descending; empty = the report's own order
	After   string            // the Next of the page before
	Limit   int               // 0 = 50; an export has no limit
}

// ReportPage is some rows of a report.
type ReportPage struct {
	Columns []ReportColumn
	Rows    [][]any // string, int64, time.Time, or nil for none; one for each column
	Next    string  // empty on the last page
}

// exportPage is how many rows of an export are in memory at a time.
const exportPage = 1000

// Reports lists the reports there are (J3).
func (is *Issuer) Reports(caller domain.Caller) ([]Report, error) {
	if err := caller.Need(domain.PermReports); err != nil {
		return nil, err
	}
	return store.Reports(), nil
}

// Report reads one page of a report: rows about people whom the permission reports reaches. Personal data are left empty in rows about people whom the
// permission people_read does not reach.
func (is *Issuer) Report(ctx context.Context, caller domain.Caller, q ReportQuery) (ReportPage, error) {
	r, want, err := is.reportQuery(ctx, caller, q)
	if err != nil {
		return ReportPage{}, err
	}
	pg, err := page("", q.Limit)
	if err != nil {
		return ReportPage{}, err
	}
	want.Limit = pg.Limit
	out, last, err := is.reportPage(ctx, caller, r, want)
	if err == nil && last != nil {
		out.Next = reportCursor{Report: r.Name, Sort: want.Sort, Value: last.Value, ID: last.ID}.text()
	}
	return out, err
}

// ExportReport gives write all rows of a report, page by page; at least one page, which may be empty. Two audit entries frame it: before the first
// row is read one that says what was asked for, afterwards one that says how many rows were handed over and whether they were all.
//
// Each page is read by itself, so that no reader, however slow, keeps the database from its work. What changes meanwhile may be in the export or not.
func (is *Issuer) ExportReport(ctx context.Context, caller domain.Caller, q ReportQuery, write func(ReportPage) error) error {
	if q.After != "" {
		return invalid("after", "is not for exports, which begin at the beginning")
	}
	r, want, err := is.reportQuery(ctx, caller, q)
	if err != nil {
		return err
	}
	want.Limit = exportPage
	return is.export(ctx, caller, r.Name, told(r, q, want), func(ctx context.Context, count func(n int)) error {
		for {
			out, last, err := is.reportPage(ctx, caller, r, want)
			if err != nil {
				return err
			}
			if err := write(out); err != nil {
				return fmt.Errorf("write rows: %w", err)
			}
			count(len(out.Rows))
			if last == nil {
				return nil
			}
			want.After = last
		}
	})
}

// export frames the export of a list with its audit entries. changes say what was asked for.
func (is *Issuer) export(ctx context.Context, caller domain.Caller, name string, changes map[string]domain.Change,
	run func(ctx context.Context, count func(n int)) error) error {
	note := func(ctx context.Context, action string, changes map[string]domain.Change) error {
		e := is.entry(caller, action, name)
		e.Changes = changes
		if err := is.Store.Tx(ctx, func(tx *store.Tx) error { return tx.AppendAudit(ctx, e) }); err != nil {
			return fmt.Errorf("audit export: %w", err)
		}
		return nil
	}
	if err := note(ctx, "report.export_started", changes); err != nil {
		return err
	}
	rows := 0
	failed := run(ctx, func(n int) { rows += n })
	ended := map[string]domain.Change{"rows": {After: strconv.Itoa(rows)}, "complete": {After: strconv.FormatBool(failed == nil)}}
	for name, c := range changes {
		ended[name] = c
	}
	const patience = 10 * time.Second
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // whoever asked may be gone
	defer cancel()
	return errors.Join(failed, note(ending, "report.export", ended))
}

// told gives what an export was asked for, for the audit. Of values that a caller is free to make up only the fact is told, for they might name a person.
func told(r Report, q ReportQuery, want store.ReportQuery) map[string]domain.Change {
	out := map[string]domain.Change{"sort": {After: want.Sort}}
	for _, f := range r.Filters {
		v, given := q.Filters[f.Name], q.Filters[f.Name] != ""
		if !given {
			v, given = f.Default, f.Default != ""
		}
		if !given {
			continue
		}
		switch f.Kind {
		case store.ReportText:
			v = "given"
		case store.ReportGroup:
			v = want.Values[f.Name].Group
		case store.ReportID, store.ReportChoice, store.ReportNumber, store.ReportTime, store.ReportDay:
		}
		out["filter."+f.Name] = domain.Change{After: v}
	}
	return out
}

// reportQuery checks what was asked for.
func (is *Issuer) reportQuery(ctx context.Context, caller domain.Caller, q ReportQuery) (Report, store.ReportQuery, error) {
	var want store.ReportQuery
	if err := caller.Need(domain.PermReports); err != nil {
		return Report{}, want, err
	}
	r, ok := store.ReportByName(q.Name)
	if !ok {
		return r, want, domain.NotFound("report")
	}
	want = store.ReportQuery{Within: caller.Within(domain.PermReports), Personal: caller.Has(domain.PermPeopleRead), Now: is.Now(),
		Sort: q.Sort, Values: map[string]store.ReportValue{}}
	if want.Sort == "" {
		want.Sort = r.DefaultSort
	}
	var problems domain.Problems
	if _, _, ok := r.Sort(want.Sort); !ok {
		problems.Add("sort", "is not a column that the report can be sorted by")
	} else if q.After != "" {
		if want.After = readCursor(q.After, r, want.Sort); want.After == nil {
			problems.Add("after", "must be the next of the page before, of the same report and sort")
		}
	}
	for name, text := range q.Filters {
		if text != "" && !slices.ContainsFunc(r.Filters, func(f ReportFilter) bool { return f.Name == name }) {
			problems.Add(name, "does not narrow this report")
		}
	}
	for _, f := range r.Filters {
		text := q.Filters[f.Name]
		if text == "" {
			text = f.Default
		}
		switch {
		case text == "":
		case f.Kind == store.ReportGroup:
			id, err := is.reportGroup(ctx, want.Within, text)
			if err != nil {
				return r, want, err
			}
			want.Values[f.Name] = store.ReportValue{Group: id}
		default:
			v, problem := reportValue(f, text)
			if problem != "" {
				problems.Add(f.Name, "%s", problem)
			}
			want.Values[f.Name] = v
		}
	}
	slices.SortFunc(problems, func(a, b domain.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return r, want, problems.Err(domain.CodeInvalid, "the input breaks a rule")
}

// reportGroup gives the id of the group at a path.
func (is *Issuer) reportGroup(ctx context.Context, w domain.Within, path string) (string, error) {
	in := store.PersonFilter{Within: w}
	if err := is.findGroup(ctx, &in, path); err != nil {
		return "", err
	}
	return in.GroupID, nil
}

// maxReportText bounds texts that narrow a report, in characters.
const maxReportText = 150

// reportValue reads what a filter is set to.
func reportValue(f ReportFilter, text string) (v store.ReportValue, problem string) {
	v.Text = text
	switch f.Kind {
	case store.ReportID:
		if uuid.Validate(text) != nil {
			return v, "must be an id"
		}
	case store.ReportChoice:
		if !slices.Contains(f.Values, text) {
			return v, "is not one of the values it can have"
		}
	case store.ReportNumber:
		n, err := strconv.Atoi(text)
		if err != nil || n < f.Min || n > f.Max {
			return v, fmt.Sprintf("must be a number from %d to %d", f.Min, f.Max)
		}
		v.Number = n
	case store.ReportDay:
		day, err := time.Parse(time.DateOnly, text)
		if err != nil || day.Year() < 1 || day.Year() > 9998 {
			return v, "must be a day as YYYY-MM-DD"
		}
		v.Day = day
	case store.ReportText, store.ReportTime, store.ReportGroup:
		if utf8.RuneCountInString(text) > maxReportText {
			return v, fmt.Sprintf("is longer than %d characters", maxReportText)
		}
	}
	return v, ""
}

// reportPage reads a page without what the caller may not see. last is the place of its last row when there may be another page.
func (is *Issuer) reportPage(ctx context.Context, caller domain.Caller, r Report, want store.ReportQuery) (
	out ReportPage, last *store.ReportKey, err error) {
	rows, err := is.Store.Report(ctx, r, want)
	if errors.Is(err, store.ErrReportKey) {
		return out, nil, invalid("after", "must be the next of the page before, of the same report and sort")
	}
	if err != nil {
		return out, nil, fmt.Errorf("read report: %w", err)
	}
	if err := is.blank(ctx, caller, r, rows); err != nil {
		return out, nil, err
	}
	out.Columns, out.Rows = r.Columns, make([][]any, len(rows))
	for i, row := range rows {
		out.Rows[i] = row.Values
	}
	if len(rows) == want.Limit {
		last = &rows[len(rows)-1].Key
	}
	return out, last, nil
}

// blank empties the personal data of people whose data the caller may not read.
func (is *Issuer) blank(ctx context.Context, caller domain.Caller, r Report, rows []store.ReportRow) error {
	reads := caller.Within(domain.PermPeopleRead)
	if reads.All || !slices.ContainsFunc(r.Columns, func(c ReportColumn) bool { return c.Personal }) {
		return nil
	}
	people := make([]string, len(rows))
	for i, row := range rows {
		people[i] = row.PersonID
	}
	seen, err := is.reached(ctx, reads, people...)
	if err != nil {
		return err
	}
	for _, row := range rows {
		for i, c := range r.Columns {
			if c.Personal && !seen[row.PersonID] {
				row.Values[i] = ""
			}
		}
	}
	return nil
}

// reportCursor is the place where a page begins. It gives no access to anything: a page shows what its caller may see, wherever it begins.
type reportCursor struct {
	Report string `json:"r"`
	Sort   string `json:"s"`
	Value  string `json:"v"`
	ID     string `json:"i"`
}

func (c reportCursor) text() string {
	form, err := json.Marshal(c)
	if err != nil { // four texts
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(form)
}

// readCursor gives the place a cursor stands for, or nil when it is not one of this report and order.
func readCursor(text string, r Report, sort string) *store.ReportKey {
	form, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !utf8.Valid(form) {
		return nil
	}
	var c reportCursor
	if json.Unmarshal(form, &c) != nil || c.Report != r.Name || c.Sort != sort || c.ID == "" {
		return nil
	}
	return &store.ReportKey{Value: c.Value, ID: c.ID}
}
