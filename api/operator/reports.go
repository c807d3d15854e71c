package operator

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/danielgtaylor/huma/v2/negotiation"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type reportColumn struct {
	Name     string `json:"name"`
	Kind     string `json:"kind" enum:"id,text,choice,number,time"`
	Personal bool   `json:"personal,omitempty" doc:"Empty in rows about people whom the permission people_read does not reach"`
}

type reportFilter struct {
	Name    string   `json:"name" doc:"Query parameter of read-report"`
	Kind    string   `json:"kind" enum:"id,text,choice,number,day,group"`
	Values  []string `json:"values,omitempty" doc:"Of a choice"`
	Min     int      `json:"min,omitempty" doc:"Of a number"`
	Max     int      `json:"max,omitempty" doc:"Of a number"`
	Default string   `json:"default,omitempty" doc:"Holds when the parameter is left out"`
}

type report struct {
	Name        string         `json:"name"`
	About       string         `json:"about"`
	Columns     []reportColumn `json:"columns"`
	Filters     []reportFilter `json:"filters"`
	Sorts       []string       `json:"sorts" doc:"Columns that rows can be sorted by; with a - in front from high to low"`
	DefaultSort string         `json:"default_sort"`
}

func reportDTO(r issuer.Report) report {
	return report{Name: r.Name, About: r.About, Sorts: r.Sorts, DefaultSort: r.DefaultSort,
		Columns: rest.ListOf(r.Columns, func(c issuer.ReportColumn) reportColumn {
			return reportColumn{Name: c.Name, Kind: string(c.Kind), Personal: c.Personal}
		}),
		Filters: rest.ListOf(r.Filters, func(f issuer.ReportFilter) reportFilter {
			return reportFilter{Name: f.Name, Kind: string(f.Kind), Values: f.Values, Min: f.Min, Max: f.Max, Default: f.Default}
		})}
}

// AsCSV lets a caller have all of a list as CSV instead of a page of it as JSON.
type AsCSV struct {
	Accept string `header:"Accept" hidden:"true"`
	Format string `query:"format" enum:"json,csv" doc:"csv: all rows as a download, whatever the limit; the same as Accept: text/csv"`
}

// wanted says whether CSV is.
func (f AsCSV) wanted() bool {
	if f.Format != "" {
		return f.Format == "csv"
	}
	return negotiation.SelectQValueFast(f.Accept, []string{mediaTypeJSON, mediaTypeCSV}) == mediaTypeCSV
}

// reportInput has every filter of every report; which of them a report has, list-reports says.
type reportInput struct {
	AsCSV
	Name            string `path:"name" maxLength:"64" doc:"Name of the report"`
	Sort            string `query:"sort" maxLength:"64" doc:"Column to sort by, with a - in front from high to low; the report's own order when left out"`
	After           string `query:"after" maxLength:"4096" doc:"The next of the page before; empty for the first page"`
	Limit           int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Most items on the page"`
	State           string `query:"state" maxLength:"64"`
	Platform        string `query:"platform" maxLength:"64"`
	ProfileID       string `query:"profile_id" maxLength:"64"`
	PersonID        string `query:"person_id" maxLength:"64"`
	Group           string `query:"group" maxLength:"2400" doc:"Path of a group: people of it and of the groups below it"`
	Category        string `query:"category" maxLength:"600" doc:"Credential group"`
	DocType         string `query:"doc_type" maxLength:"600"`
	Serial          string `query:"serial" maxLength:"64"`
	Days            string `query:"days" maxLength:"8" doc:"Ends within so many days from now"`
	IssuedFrom      string `query:"issued_from" maxLength:"10" doc:"Days are YYYY-MM-DD in UTC, both ends included"`
	IssuedUntil     string `query:"issued_until" maxLength:"10"`
	ValidUntilFrom  string `query:"valid_until_from" maxLength:"10"`
	ValidUntilUntil string `query:"valid_until_until" maxLength:"10"`
	RequestedBy     string `query:"requested_by" maxLength:"64" doc:"Account"`
	CreatedBy       string `query:"created_by" maxLength:"64" doc:"Account"`
	Channel         string `query:"channel" maxLength:"64"`
	Operation       string `query:"operation" maxLength:"64"`
	Reason          string `query:"reason" maxLength:"64"`
	Kind            string `query:"kind" maxLength:"64"`
	RequestID       string `query:"request_id" maxLength:"64"`
	WaitingFrom     string `query:"waiting_from" maxLength:"10"`
	WaitingUntil    string `query:"waiting_until" maxLength:"10"`
	DeadlineUntil   string `query:"deadline_until" maxLength:"10"`
	CreatedFrom     string `query:"created_from" maxLength:"10"`
	CreatedUntil    string `query:"created_until" maxLength:"10"`
	FailedFrom      string `query:"failed_from" maxLength:"10"`
	FailedUntil     string `query:"failed_until" maxLength:"10"`
}

func (in *reportInput) query() issuer.ReportQuery {
	return issuer.ReportQuery{Name: in.Name, Sort: in.Sort, After: in.After, Limit: in.Limit, Filters: map[string]string{
		"state": in.State, "platform": in.Platform, "profile_id": in.ProfileID, "person_id": in.PersonID, "group": in.Group, "category": in.Category,
		"doc_type": in.DocType, "serial": in.Serial, "days": in.Days, "issued_from": in.IssuedFrom, "issued_until": in.IssuedUntil,
		"valid_until_from": in.ValidUntilFrom, "valid_until_until": in.ValidUntilUntil, "requested_by": in.RequestedBy, "created_by": in.CreatedBy,
		"channel": in.Channel, "operation": in.Operation, "reason": in.Reason, "kind": in.Kind, "request_id": in.RequestID,
		"waiting_from": in.WaitingFrom, "waiting_until": in.WaitingUntil, "deadline_until": in.DeadlineUntil, "created_from": in.CreatedFrom,
		"created_until": in.CreatedUntil, "failed_from": in.FailedFrom, "failed_until": in.FailedUntil,
	}}
}

type reportPage struct {
	Items []map[string]any `json:"items" doc:"Each with a member for every column: text, number, time (RFC 3339), or null for no time"`
	Next  string           `json:"next,omitempty" doc:"Give it as after for the next page; absent on the last page"`
}

func (o *operator) reports() {
	needs := []domain.Permission{domain.PermReports}
	add(o, rest.Operation{ID: "list-reports", Method: http.MethodGet, Path: "/v1/reports", Tag: tagReports, Needs: needs,
		Summary: "List reports", Description: "The reports there are, with their columns, and what they can be narrowed and sorted by."}, o.listReports)
	add(o, rest.Operation{ID: "read-report", Method: http.MethodGet, Path: "/v1/reports/{name}", Tag: tagReports, Needs: needs,
		Summary: "Read a report",
		Description: "Rows about people within the caller's scope, narrowed by the report's filters. " + csvNote + " A parameter that does not narrow the " +
			"report is refused.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeInvalid}, Responses: jsonOrCSV[reportPage](o, "ReportPage")}, o.readReport)
}

func (o *operator) listReports(_ context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Reply[rest.List[report]], error) {
	all, err := o.Issuer.Reports(caller)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[report]{Items: rest.ListOf(all, reportDTO)}), nil
}

func (o *operator) readReport(ctx context.Context, caller domain.Caller, in *reportInput) (*huma.StreamResponse, error) {
	q := in.query()
	if in.wanted() {
		return o.download(ctx, in.Name, func(out *csvAnswer) error {
			return o.Issuer.ExportReport(ctx, caller, q, func(p issuer.ReportPage) error {
				return out.page(columnNames(p.Columns), len(p.Rows), func(i int) []string { return csvRow(p.Columns, p.Rows[i]) })
			})
		}), nil
	}
	p, err := o.Issuer.Report(ctx, caller, q)
	if err != nil {
		return nil, err
	}
	out := reportPage{Next: p.Next, Items: rest.ListOf(p.Rows, func(row []any) map[string]any {
		item := make(map[string]any, len(row))
		for i, c := range p.Columns {
			item[c.Name] = row[i]
		}
		return item
	})}
	return answerJSON(out)
}

func columnNames(columns []issuer.ReportColumn) []string {
	return rest.ListOf(columns, func(c issuer.ReportColumn) string { return c.Name })
}

// csvRow writes a row's values as CSV has them.
func csvRow(columns []issuer.ReportColumn, row []any) []string {
	out := make([]string, len(row))
	for i, v := range row {
		switch v := v.(type) {
		case string:
			out[i] = v
			if columns[i].Kind == issuer.ReportText {
				out[i] = harmless(v)
			}
		case int64:
			out[i] = strconv.FormatInt(v, 10)
		case time.Time:
			out[i] = csvTime(v)
		}
	}
	return out
}

func csvTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// harmless keeps a spreadsheet from taking a text for a formula.
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}

// csvNote is what the descriptions of lists that come as CSV too have in common.
const csvNote = "With format=csv or Accept: text/csv all rows come as a download: CSV (RFC 4180) in UTF-8 whose first line names the columns. Texts that a " +
	"spreadsheet could take for formulas begin with an apostrophe. An answer that breaks off before its proper end is not whole. Downloads are audited."

// jsonOrCSV describes the answer of a list that comes as CSV too.
func jsonOrCSV[T any](o *operator, name string) map[string]*huma.Response {
	page := o.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, name)
	return map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		mediaTypeJSON: {Schema: page}, mediaTypeCSV: {Schema: &huma.Schema{Type: huma.TypeString}}}}}
}

// answerJSON answers with a body where the other answer is a stream.
func answerJSON(body any) (*huma.StreamResponse, error) {
	form, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		hctx.SetHeader("Content-Type", mediaTypeJSON)
		hctx.SetStatus(http.StatusOK)
		_, _ = hctx.BodyWriter().Write(append(form, '\n')) // whoever stops reading is gone
	}}, nil
}

// download streams CSV. What goes wrong before the first row is answered with a problem document; after that the connection is cut, so that nobody
// takes the answer for whole.
func (o *operator) download(ctx context.Context, name string, run func(out *csvAnswer) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		out := newCSVAnswer(humagin.Unwrap(hctx).Writer, name)
		err := run(out)
		switch {
		case err == nil:
		case !out.started:
			problem.From(ctx, o.Log, err).Write(out.w)
		default:
			if out.gone {
				o.Log.InfoContext(ctx, "the caller went away", "error", err)
			} else {
				_ = problem.From(ctx, o.Log, err) // for the log
			}
			panic(http.ErrAbortHandler)
		}
	}}
}

// downloadPatience is how long a download waits for its caller to read on.
const downloadPatience = time.Minute

// csvAnswer writes pages of rows and sends each at once.
type csvAnswer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	csv     *csv.Writer
	name    string
	started bool
	gone    bool // the caller
}

func newCSVAnswer(w http.ResponseWriter, name string) *csvAnswer {
	a := &csvAnswer{w: w, control: http.NewResponseController(w), csv: csv.NewWriter(w), name: name}
	a.csv.UseCRLF = true
	return a
}

// page writes n rows, and the names of the columns before the first page.
func (a *csvAnswer) page(columns []string, n int, row func(i int) []string) error {
	err := a.send(columns, n, row)
	a.gone = err != nil
	return err
}

func (a *csvAnswer) send(columns []string, n int, row func(i int) []string) error {
	if err := a.control.SetWriteDeadline(time.Now().Add(downloadPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if !a.started {
		a.started = true
		h := a.w.Header()
		h.Set("Content-Type", mediaTypeCSV+"; charset=utf-8; header=present")
		h.Set("Content-Disposition", `attachment; filename="`+a.name+`.csv"`)
		h.Set("Connection", "close") // its deadline is not for another call
		a.w.WriteHeader(http.StatusOK)
		if err := a.csv.Write(columns); err != nil {
			return err
		}
	}
	for i := range n {
		if err := a.csv.Write(row(i)); err != nil {
			return err
		}
	}
	if a.csv.Flush(); a.csv.Error() != nil {
		return a.csv.Error()
	}
	if err := a.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
