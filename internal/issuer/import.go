package issuer

import (
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// ImportRow is the outcome of one row of an import.
type ImportRow struct {
	Line       int                 `json:"line"` // of the file, where the row starts; the header is line 1
	ExternalID string              `json:"external_id,omitempty"`
	PersonID   string              `json:"person_id,omitempty"`
	Result     string              `json:"result"` // created, updated or refused
	Code       domain.Code         `json:"code,omitempty"`
	Problems   []domain.FieldError `json:"problems,omitempty"`
}

const (
	importPortrait = "portrait"   // base64 of a JPEG or JPEG 2000
	importAttr     = "attribute." // then the name; JSON where it starts with [ or {
)

// personColumns are the columns of an import besides portrait and attribute.NAME.
var personColumns = map[string]func(p *domain.Person, v string){
	"external_id":        func(p *domain.Person, v string) { p.ExternalID = v },
	"logon_name":         func(p *domain.Person, v string) { p.LogonName = v },
	"given_name":         func(p *domain.Person, v string) { p.GivenName = v },
	"family_name":        func(p *domain.Person, v string) { p.FamilyName = v },
	"email":              func(p *domain.Person, v string) { p.Email = v },
	"mobile":             func(p *domain.Person, v string) { p.Mobile = v },
	"birth_date":         func(p *domain.Person, v string) { p.BirthDate = domain.Date(v) },
	"group":              func(p *domain.Person, v string) { p.Group = v },
	"language":           func(p *domain.Person, v string) { p.Language = v },
	"status":             func(p *domain.Person, v string) { p.Status = domain.PersonStatus(v) },
	"max_expiry":         func(p *domain.Person, v string) { p.MaxExpiry = domain.Date(v) },
	"external_mobile_id": func(p *domain.Person, v string) { p.ExternalMobileID = v },
}

// ImportPeople reads a CSV file (RFC 4180, UTF-8, first line names the columns) row by row and adds or, by external id, changes one person for
// each; report is called for every row in order. Good rows go in; bad rows are reported and change nothing. Memory does not grow with the file.
// An error means that the header is bad, or that reading stopped; rows reported before stay.
func (is *Issuer) ImportPeople(ctx context.Context, caller domain.Caller, file io.Reader, report func(ImportRow) error) error {
	if err := needAll(caller, domain.PermPeopleWrite); err != nil {
		return err
	}
	bounded := &recordReader{from: file, left: maxRecord}
	r := csv.NewReader(bounded)
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return invalid("file", "is empty or not CSV")
	}
	columns, err := importHeader(header)
	if err != nil {
		return err
	}
	r.FieldsPerRecord = -1
	for {
		bounded.left = maxRecord
		record, err := r.Read()
		if errors.Is(err, errRecordTooLong) {
			return invalid("file", fmt.Sprintf("has a row of more than %d MiB, or a quote that is never closed; rows before it are in", maxRecord>>20))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			var broken *csv.ParseError
			if !errors.As(err, &broken) {
				return fmt.Errorf("read import: %w", err)
			}
			if err := report(brokenRow(broken.StartLine)); err != nil {
				return err
			}
			continue
		}
		line, _ := r.FieldPos(0)
		row := is.importRow(ctx, caller, columns, record)
		row.Line = line
		if err := report(row); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// maxRecord bounds one row, portrait included, so that an unclosed quote does not read the rest of the file into memory.
const maxRecord = 4 << 20

var errRecordTooLong = errors.New("row too long")

// recordReader gives at most left bytes until left is set again.
type recordReader struct {
	from io.Reader
	left int
}

func (r *recordReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := r.from.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// brokenRow is a row whose quoting is wrong: where it ends is a guess.
func brokenRow(line int) ImportRow {
	return ImportRow{Line: line, Result: "refused", Code: domain.CodeInvalid,
		Problems: []domain.FieldError{{Field: "row", Problem: "has broken quoting"}}}
}

func importHeader(header []string) ([]string, error) {
	columns := make([]string, len(header))
	seen := map[string]bool{}
	var problems domain.Problems
	for i, name := range header {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		_, known := personColumns[name]
		attribute := strings.HasPrefix(name, importAttr) && len(name) > len(importAttr)
		switch {
		case !known && !attribute && name != importPortrait:
			problems.Add("file", "has an unknown column at place %d", i+1)
		case seen[name]:
			problems.Add("file", "has the column at place %d twice", i+1)
		}
		seen[name] = true
		columns[i] = name
	}
	for _, must := range []string{"given_name", "family_name"} {
		if !seen[must] {
			problems.Add("file", "lacks the column %s", must)
		}
	}
	return columns, problems.Err(domain.CodeInvalid, "the first line must name the columns")
}

// importRow adds or changes one person in its own transaction.
func (is *Issuer) importRow(ctx context.Context, caller domain.Caller, columns, record []string) ImportRow {
	p, portrait, err := parseRow(columns, record)
	row := ImportRow{ExternalID: p.ExternalID}
	if err == nil {
		row.PersonID, row.Result, err = is.upsertPerson(ctx, caller, p, portrait)
	}
	if err == nil {
		return row
	}
	var refused *domain.Error
	if !errors.As(err, &refused) {
		is.Log.ErrorContext(ctx, "import row failed", "error", err)
		refused = domain.Errorf(domain.CodeInternal, "the row could not be stored; try it again")
	}
	row.Result, row.Code, row.Problems = "refused", refused.Code, refused.Fields
	if len(row.Problems) == 0 {
		row.Problems = []domain.FieldError{{Field: "row", Problem: refused.Message}}
	}
	return row
}

func parseRow(columns, record []string) (domain.Person, []byte, error) {
	p := domain.Person{Attributes: map[string]any{}}
	var portrait []byte
	var problems domain.Problems
	if len(record) != len(columns) {
		problems.Add("row", "has %d fields, the header has %d", len(record), len(columns))
		return p, nil, problems.Err(domain.CodeInvalid, "the row breaks a rule")
	}
	for i, v := range record {
		name := columns[i]
		if !utf8.ValidString(v) {
			problems.Add(name, "is not valid UTF-8")
			continue
		}
		if v == "" {
			continue
		}
		switch set, known := personColumns[name]; {
		case known:
			set(&p, v)
		case name == importPortrait:
			b, err := base64.StdEncoding.DecodeString(v)
			if err != nil {
				problems.Add(name, "is not base64")
			}
			portrait = b
		default:
			value, err := attributeValue(v)
			if err != nil {
				problems.Add(name, "starts like JSON but is not")
			}
			p.Attributes[strings.TrimPrefix(name, importAttr)] = value
		}
	}
	return p, portrait, problems.Err(domain.CodeInvalid, "the row breaks a rule")
}

// attributeValue takes lists and objects as JSON and everything else as text; the document format gives text its type.
func attributeValue(v string) (any, error) {
	if !strings.HasPrefix(v, "[") && !strings.HasPrefix(v, "{") {
		return v, nil
	}
	var out any
	if err := json.Unmarshal([]byte(v), &out); err != nil {
		return nil, errors.New("not JSON")
	}
	return out, nil
}

// upsertPerson adds the person, or changes the one with the same external id. Fields the file leaves empty are emptied; the status and images it
// leaves out stay: a file about names does not let anybody in again.
func (is *Issuer) upsertPerson(ctx context.Context, caller domain.Caller, p domain.Person, portrait []byte) (id, result string, err error) {
	fresh, err := is.preparePerson(p)
	var problems *domain.Error
	if err != nil && !errors.As(err, &problems) {
		return "", "", err
	}
	image := domain.Image{Kind: domain.ImagePortrait, Bytes: portrait}
	if portrait != nil {
		mediaType, imageErr := checkImage(domain.ImagePortrait, portrait)
		var refused *domain.Error
		if errors.As(imageErr, &refused) {
			if problems == nil {
				problems = refused
			} else {
				problems.Fields = append(problems.Fields, refused.Fields...)
			}
		}
		image.MediaType = mediaType
	}
	if problems != nil {
		return "", "", problems
	}
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		id, result = fresh.ID, "created"
		old, err := tx.PersonByExternalID(ctx, fresh.ExternalID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if err := is.insertPerson(ctx, tx, caller, fresh); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("load person: %w", err)
		default:
			next := fresh
			next.ID, next.Version, next.CreatedAt = old.ID, old.Version+1, old.CreatedAt
			if p.Status == "" {
				next.Status = old.Status
			}
			id, result = old.ID, "updated"
			switch err := tx.UpdatePerson(ctx, next); {
			case errors.Is(err, store.ErrChanged):
				return domain.Errorf(domain.CodeConflict, "the person was changed meanwhile; import the row again")
			case err != nil:
				return fmt.Errorf("update person: %w", err)
			}
			e := is.personUpdate(caller, old, next)
			e.Channel = "import"
			if err := tx.AppendAudit(ctx, e); err != nil {
				return err
			}
		}
		if portrait == nil {
			return nil
		}
		image.PersonID = id
		return is.insertImage(ctx, tx, caller, image)
	})
	return id, result, err
}
