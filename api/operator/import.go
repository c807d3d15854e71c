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
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

const (
	mediaTypeCSV    = "text/csv"
	mediaTypeNDJSON = "application/x-ndjson"

	// flushRows is how many rows are answered together.
	flushRows = 64
	// importPatience is how long an import waits for its caller to send or to read on.
	importPatience = time.Minute
)

type importInput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
}

// ImportRow is the outcome of one row.
type ImportRow struct {
	Line       int         `json:"line" doc:"Of the file; the header is line 1"`
	ExternalID string      `json:"external_id,omitempty"`
	PersonID   string      `json:"person_id,omitempty"`
	Result     string      `json:"result" enum:"created,updated,refused"`
	Code       domain.Code `json:"code,omitempty"`
	Problems   []finding   `json:"problems,omitempty"`
}

type importSummary struct {
	Created int `json:"created"`
	Updated int `json:"updated"`
	Refused int `json:"refused"`
}

// importLine documents one line of the answer: a row, or the last line.
type importLine struct {
	ImportRow
	Summary *importSummary   `json:"summary,omitempty" doc:"On the last line, when the whole file was read"`
	Problem *problem.Problem `json:"problem,omitempty" doc:"On the last line, when reading stopped early; the rows before stay"`
}

func (o *operator) imports() {
	schemas := o.api.OpenAPI().Components.Schemas
	line := schemas.Schema(reflect.TypeFor[importLine](), true, "ImportLine")
	add(o, operation{id: "import-people", method: http.MethodPost, path: ImportPath, tag: tagPeople,
		needs: []domain.Permission{domain.PermPeopleWrite},
		requestBody: &huma.RequestBody{Required: true, Description: "CSV (RFC 4180) in UTF-8; the first line names the columns",
			Content: map[string]*huma.MediaType{mediaTypeCSV: {Schema: &huma.Schema{Type: huma.TypeString}}}},
		responses: map[string]*huma.Response{"200": {Description: "One JSON value on each line (NDJSON): every row in the order of the file, then " +
			"the summary", Content: map[string]*huma.MediaType{mediaTypeNDJSON: {Schema: line}}}},
		summary: "Import people",
		description: "Adds the people of a CSV file or, where the external id is known, changes them; each row by itself. Columns: external_id, " +
			"logon_name, given_name, family_name, email, mobile, birth_date, group, language, status, max_expiry, external_mobile_id, portrait " +
			"(base64), and attribute.NAME. given_name and family_name are needed. A field that is left empty is emptied; images stay.\n\n" +
			"Rows are answered while the file is read, so a client must read while it sends. A bad first line is answered with 422 and changes " +
			"nothing. The last line is {\"summary\": …}; without it, or with {\"problem\": …}, the import stopped there, and may be repeated.",
	}, o.importPeople)
}

func (o *operator) importPeople(ctx context.Context, caller domain.Caller, in *importInput) (*huma.StreamResponse, error) {
	if t, _, err := mime.ParseMediaType(in.ContentType); err != nil || t != mediaTypeCSV {
		return nil, problem.New(ctx, problem.CodeUnsupportedMediaType, "the body must be text/csv")
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		c := humagin.Unwrap(hctx)
		out := &importAnswer{w: c.Writer, control: http.NewResponseController(c.Writer)}
		err := out.begin()
		if err == nil {
			err = o.Issuer.ImportPeople(ctx, caller, &importBody{r: c.Request.Body}, out.row)
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

// importBody marks what goes wrong with the body as the caller's.
type importBody struct{ r io.Reader }

// brokenBody is a request body that could not be read to its end.
type brokenBody struct{ err error }

func (b *brokenBody) Error() string { return "read body: " + b.err.Error() }
func (b *brokenBody) Unwrap() error { return b.err }

func (b *importBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &brokenBody{err}
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

// importAnswer writes one line for each row.
type importAnswer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	started bool
	rows    int
	summary importSummary
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
	until := time.Now().Add(importPatience)
	for _, set := range []func(time.Time) error{a.control.SetReadDeadline, a.control.SetWriteDeadline} {
		if err := set(until); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return nil
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
	err := a.line(ImportRow{Line: r.Line, ExternalID: r.ExternalID, PersonID: r.PersonID, Result: r.Result, Code: r.Code,
		Problems: listOf(r.Problems, func(f domain.FieldError) finding { return finding(f) })})
	if err != nil {
		return err
	}
	if a.rows++; a.rows%flushRows != 0 {
		return nil
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
