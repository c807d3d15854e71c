package operator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

const (
	mediaTypeCSV    = "text/csv"
	mediaTypeJSON   = "application/json"
	mediaTypeNDJSON = "application/x-ndjson"

	// flushRows is how many rows are answered together.
	flushRows = 64
	// progressRows and progressEvery are how often progress is told, whichever comes first.
	progressRows  = 1000
	progressEvery = time.Second
	// importPatience is how long an import waits for its caller to send or to read on.
	importPatience = time.Minute
)

var importFormats = map[string]issuer.ImportFormat{mediaTypeCSV: issuer.ImportCSV, mediaTypeJSON: issuer.ImportJSON,
	mediaTypeNDJSON: issuer.ImportNDJSON}

type importInput struct {
	ContentType  string `header:"Content-Type" hidden:"true"`
	CreateGroups bool   `query:"create_groups" doc:"Make groups that are not there; needs the permission groups in scope all"`
	Results      string `query:"results" enum:"all,refused" default:"all" doc:"Which rows are answered"`
}

// ImportRow is the outcome of one row.
type ImportRow struct {
	Line       int         `json:"line" doc:"Of the file, where the row starts; the first line is 1"`
	ExternalID string      `json:"external_id,omitempty"`
	PersonID   string      `json:"person_id,omitempty"`
	Result     string      `json:"result" enum:"created,updated,refused"`
	Code       domain.Code `json:"code,omitempty"`
	Problems   []finding   `json:"problems,omitempty"`
}

// importProgress is how far an import has come.
type importProgress struct {
	Rows  int   `json:"rows" doc:"Stored or refused so far"`
	Bytes int64 `json:"bytes" doc:"Read of the body so far"`
}

type importSummary struct {
	Created int `json:"created"`
	Updated int `json:"updated"`
	Refused int `json:"refused"`
}

// importLine documents one line of the answer: a row, progress, or the last line.
type importLine struct {
	ImportRow
	Progress *importProgress  `json:"progress,omitempty" doc:"On a line of its own, at least every 1,000 rows or every second in which rows were stored"`
	Summary  *importSummary   `json:"summary,omitempty" doc:"On the last line, when the whole file was read"`
	Problem  *problem.Problem `json:"problem,omitempty" doc:"On the last line, when reading stopped early; the rows before stay"`
}

func (o *operator) imports() {
	schemas := o.api.OpenAPI().Components.Schemas
	line := schemas.Schema(reflect.TypeFor[importLine](), true, "ImportLine")
	object := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true,
		Description: "As in create-person, and portrait as base64; members are text but for attributes"}
	asJSON, asNDJSON := &huma.MediaType{}, &huma.MediaType{}
	add(o, rest.Operation{ID: "import-people", Method: http.MethodPost, Path: ImportPath, Tag: tagPeople,
		Needs: []domain.Permission{domain.PermPeopleWrite},
		RequestBody: &huma.RequestBody{Required: true, Description: "UTF-8: CSV (RFC 4180) whose first line names the columns, a JSON list, or one " +
			"JSON object on each line (NDJSON)",
			Content: map[string]*huma.MediaType{mediaTypeCSV: {Schema: &huma.Schema{Type: huma.TypeString}},
				mediaTypeJSON: asJSON, mediaTypeNDJSON: asNDJSON}},
		Responses: map[string]*huma.Response{"200": {Description: "One JSON value on each line (NDJSON): every row in the order of the file, progress " +
			"between them, then the summary", Content: map[string]*huma.MediaType{mediaTypeNDJSON: {Schema: line}}}},
		Summary: "Import people",
		Description: "Adds the people of a file or, where the external id is known, changes them; each row by itself. Columns: external_id, " +
			"logon_name, given_name, family_name, email, mobile, birth_date, group, language, status, max_expiry, external_mobile_id, portrait " +
			"(base64), and attribute.NAME; in JSON the members of the same names, and attributes. given_name and family_name are needed. A field " +
			"that is left empty is emptied; images and, when it is left out, the status stay. What follows from a change is as in change-person.\n\n" +
			"A row may have 4 MiB; the file any number of rows. Rows are stored and answered about a hundred at a time while the file is read, so a " +
			"client must read while it sends, and must not wait for an answer before it sends on. A bad beginning of the file is answered with 422 and " +
			"changes nothing. The last line is {\"summary\": …}; without it, or with {\"problem\": …}, the import stopped there, and may be repeated.",
	}, o.importPeople)
	// Set late, or huma would read the body by them.
	asJSON.Schema, asNDJSON.Schema = &huma.Schema{Type: huma.TypeArray, Items: object}, object
}

func (o *operator) importPeople(ctx context.Context, caller domain.Caller, in *importInput) (*huma.StreamResponse, error) {
	mediaType, _, err := mime.ParseMediaType(in.ContentType)
	format, known := importFormats[mediaType]
	if err != nil || !known {
		return nil, problem.New(ctx, problem.CodeUnsupportedMediaType, "the body must be text/csv, application/json or application/x-ndjson")
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		c := humagin.Unwrap(hctx)
		out := newImportAnswer(c.Writer, in.Results == "refused")
		body := &importBody{r: c.Request.Body, progress: out.extendSometimes}
		out.read = func() int64 { return body.n }
		err := out.begin()
		if err == nil {
			err = o.Issuer.ImportPeople(ctx, caller, body, issuer.ImportOptions{Format: format, CreateGroups: in.CreateGroups}, out.row)
		}
		var broken *brokenBody
		switch {
		case err == nil:
			out.end(importLast{Summary: &out.summary})
			return
		case errors.As(err, &broken):
			err = bodyProblem(ctx, broken)
		}
		p := problem.From(ctx, o.Log, err)
		if !out.started {
			p.Write(c.Writer)
			return
		}
		out.end(importLast{Problem: p})
	}}, nil
}

// importBody counts what is read of the body, tells of it, and marks what goes wrong with it as the caller's.
type importBody struct {
	r        io.Reader
	n        int64
	progress func() error
}

// brokenBody is a request body that could not be read to its end.
type brokenBody struct{ err error }

func (b *brokenBody) Error() string { return "read body: " + b.err.Error() }
func (b *brokenBody) Unwrap() error { return b.err }

func (b *importBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, &brokenBody{err}
	}
	if n > 0 {
		if err := b.progress(); err != nil {
			return n, err
		}
	}
	return n, err
}

func bodyProblem(ctx context.Context, broken *brokenBody) error {
	var tooLarge *http.MaxBytesError
	if errors.As(broken, &tooLarge) {
		return tooLarge
	}
	return problem.New(ctx, problem.CodeMalformed, "the body ended too early")
}

// importLast is the last line of an answer.
type importLast struct {
	Summary *importSummary   `json:"summary,omitempty"`
	Problem *problem.Problem `json:"problem,omitempty"`
}

// importAnswer writes one line for each row, and progress in between.
type importAnswer struct {
	w           http.ResponseWriter
	control     *http.ResponseController
	refusedOnly bool
	read        func() int64 // bytes of the body so far

	started  bool
	rows     int
	summary  importSummary
	told     time.Time // when progress was told last
	toldRows int       // how many rows there were then
	extended time.Time // when the deadlines were moved on last
}

func newImportAnswer(w http.ResponseWriter, refusedOnly bool) *importAnswer {
	return &importAnswer{w: w, control: http.NewResponseController(w), refusedOnly: refusedOnly, told: time.Now()}
}

// begin allows writing before the body is read to its end. Where the server cannot (it always can over HTTP/2), it goes without.
func (a *importAnswer) begin() error {
	if err := a.control.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return a.extend()
}

// extend gives the caller another while to send and to read.
func (a *importAnswer) extend() error {
	a.extended = time.Now()
	until := a.extended.Add(importPatience)
	for _, set := range []func(time.Time) error{a.control.SetReadDeadline, a.control.SetWriteDeadline} {
		if err := set(until); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return nil
}

// extendSometimes is extend, but no more often than it makes a difference.
func (a *importAnswer) extendSometimes() error {
	if time.Since(a.extended) < importPatience/60 {
		return nil
	}
	return a.extend()
}

func (a *importAnswer) row(r issuer.ImportRow) error {
	switch r.Result {
	case "created":
		a.summary.Created++
	case "updated":
		a.summary.Updated++
	default:
		a.summary.Refused++
	}
	a.rows++
	if r.Code != "" || !a.refusedOnly {
		err := a.line(ImportRow{Line: r.Line, ExternalID: r.ExternalID, PersonID: r.PersonID, Result: r.Result, Code: r.Code,
			Problems: rest.ListOf(r.Problems, func(f domain.FieldError) finding { return finding(f) })})
		if err != nil {
			return err
		}
	}
	if a.rows-a.toldRows >= progressRows || time.Since(a.told) >= progressEvery {
		return a.tellProgress()
	}
	if a.rows%flushRows == 0 {
		return a.flush()
	}
	return a.extendSometimes()
}

func (a *importAnswer) tellProgress() error {
	a.told, a.toldRows = time.Now(), a.rows
	err := a.line(struct {
		Progress importProgress `json:"progress"`
	}{importProgress{Rows: a.rows, Bytes: a.read()}})
	if err != nil {
		return err
	}
	return a.flush()
}

// flush sends what is written, if anything is.
func (a *importAnswer) flush() error {
	if !a.started {
		return a.extend()
	}
	if err := a.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return a.extend()
}

func (a *importAnswer) line(v any) error {
	if !a.started {
		a.started = true
		a.w.Header().Set("Content-Type", mediaTypeNDJSON)
		a.w.Header().Set("Connection", "close") // its deadlines are not for another call
		a.w.WriteHeader(http.StatusOK)
	}
	return json.NewEncoder(a.w).Encode(v)
}

// end writes the last line; if the caller is gone, nobody misses it.
func (a *importAnswer) end(last importLast) { _ = a.line(last) }
