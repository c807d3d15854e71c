package issuer

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mdocket/mdocket/internal/domain"
)

// maxRecord bounds one row, portrait included, so that an unclosed quote does not read the rest of the file into memory.
const maxRecord = 4 << 20

const (
	importPortrait = "portrait"   // base64 of a JPEG or JPEG 2000
	importAttrs    = "attributes" // of JSON: an object
	importAttr     = "attribute." // of CSV: then the name; JSON where it starts with [ or {
)

// importFields are the fields of a person that a row has as text.
var importFields = map[string]func(p *domain.Person, v string){
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

// importRows reads the rows of a file. A row that breaks a rule comes with its err; the error of next means that no further row can be
// read, io.EOF that there is none.
type importRows interface {
	next() (*importRow, error)
}

// openImport reads as far as the first row.
func openImport(file io.Reader, f ImportFormat) (importRows, error) {
	switch f {
	case ImportCSV:
		return openCSV(file)
	case ImportJSON:
		rows := &jsonRows{in: bufio.NewReader(file), line: 1}
		return rows, rows.open()
	case ImportNDJSON:
		return &ndjsonRows{in: bufio.NewReader(file)}, nil
	}
	return nil, invalid("format", "must be csv, json or ndjson")
}

// errRecordTooLong ends reading.
var errRecordTooLong = invalid("file", fmt.Sprintf("has a row of more than %d MiB, or a quote that is never closed; rows before it are in",
	maxRecord>>20))

func errNotRead(err error) error { return fmt.Errorf("read import: %w", err) }

func refuseRow(line int, field, problem string) *importRow {
	return &importRow{line: line, err: invalid(field, problem)}
}

// csvRows reads a CSV file.
type csvRows struct {
	in      *csv.Reader
	bounded *recordReader
	columns []string
}

func openCSV(file io.Reader) (*csvRows, error) {
	bounded := &recordReader{from: file, left: maxRecord}
	r := csv.NewReader(bounded)
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return nil, invalid("file", "is empty or not CSV")
	}
	columns, err := importHeader(header)
	r.FieldsPerRecord = -1
	return &csvRows{in: r, bounded: bounded, columns: columns}, err
}

func (c *csvRows) next() (*importRow, error) {
	c.bounded.left = maxRecord
	record, err := c.in.Read()
	var broken *csv.ParseError
	switch {
	case errors.As(err, &broken) && !errors.Is(err, errRecordTooLong): // where the row ends is a guess
		return refuseRow(broken.StartLine, "row", "has broken quoting"), nil
	case errors.Is(err, errRecordTooLong), errors.Is(err, io.EOF):
		return nil, err
	case err != nil:
		return nil, errNotRead(err)
	}
	line, _ := c.in.FieldPos(0)
	return c.row(line, record), nil
}

func (c *csvRows) row(line int, record []string) *importRow {
	row := &importRow{line: line}
	var problems domain.Problems
	if len(record) != len(c.columns) {
		problems.Add("row", "has %d fields, the header has %d", len(record), len(c.columns))
		record = nil
	}
	for i, v := range record {
		row.size += len(v)
		name := c.columns[i]
		if !utf8.ValidString(v) {
			problems.Add(name, "is not valid UTF-8")
			continue
		}
		if v == "" {
			continue
		}
		switch set, known := importFields[name]; {
		case known:
			set(&row.person, v)
		case name == importPortrait:
			row.takePortrait(&problems, v)
		default:
			value, err := attributeValue(v)
			if err != nil {
				problems.Add(name, "starts like JSON but is not")
			}
			if row.person.Attributes == nil {
				row.person.Attributes = map[string]any{}
			}
			row.person.Attributes[strings.TrimPrefix(name, importAttr)] = value
		}
	}
	row.err = problems.Err(domain.CodeInvalid, "the row breaks a rule")
	return row
}

// takePortrait reads base64; the row then holds the bytes in place of the text.
func (row *importRow) takePortrait(problems *domain.Problems, v string) {
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		problems.Add(importPortrait, "is not base64")
		return
	}
	row.portrait = &domain.Image{Kind: domain.ImagePortrait, Bytes: b}
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

func importHeader(header []string) ([]string, error) {
	columns := make([]string, len(header))
	seen := map[string]bool{}
	var problems domain.Problems
	for i, name := range header {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		_, known := importFields[name]
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

// ndjsonRows reads one JSON value from each line; empty lines do not count.
type ndjsonRows struct {
	in   *bufio.Reader
	line int
}

func (n *ndjsonRows) next() (*importRow, error) {
	for {
		text, err := n.readLine()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		text = bytes.TrimSpace(text)
		if n.line == 1 {
			text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
		}
		if len(text) > 0 {
			return jsonRow(n.line, text), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readLine reads to the end of the line or, with io.EOF, of the file.
func (n *ndjsonRows) readLine() ([]byte, error) {
	n.line++
	var text []byte
	for {
		part, err := n.in.ReadSlice('\n')
		if len(text)+len(part) > maxRecord {
			return nil, errRecordTooLong
		}
		text = append(text, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, errNotRead(err)
		}
		return text, err
	}
}

// jsonRows reads the elements of one list. Elements are cut out before they are parsed, so that a bad one spoils no other.
type jsonRows struct {
	in    *bufio.Reader
	line  int
	later bool // an element was read
}

func errList(problem string) error { return invalid("file", problem+"; rows before it are in") }

// open reads to the bracket.
func (j *jsonRows) open() error {
	if mark, err := j.in.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = j.in.Discard(3)
	}
	c, err := j.skipSpace()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err != nil || c != '[' {
		return invalid("file", "is not a JSON list")
	}
	return nil
}

func (j *jsonRows) next() (*importRow, error) {
	c, err := j.skipSpace()
	if err == nil && j.later && c != ']' {
		if c != ',' {
			return nil, errList("has no comma between two rows")
		}
		c, err = j.skipSpace()
		if c == ']' && err == nil {
			return nil, errList("has a comma too many")
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil, errList("ends before its list does")
	case err != nil:
		return nil, err
	case c == ']':
		return nil, j.end()
	}
	j.later = true
	line := j.line
	text, err := j.element(c)
	if err != nil {
		return nil, err
	}
	return jsonRow(line, text), nil
}

// end gives io.EOF where nothing follows the list.
func (j *jsonRows) end() error {
	switch _, err := j.skipSpace(); {
	case errors.Is(err, io.EOF):
		return io.EOF
	case err != nil:
		return err
	}
	return errList("goes on after its list")
}

// read gives the next byte and counts lines.
func (j *jsonRows) read() (byte, error) {
	c, err := j.in.ReadByte()
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, errNotRead(err)
	}
	if c == '\n' {
		j.line++
	}
	return c, err
}

// skipSpace gives the next byte that is no white space.
func (j *jsonRows) skipSpace() (byte, error) {
	for {
		c, err := j.read()
		if err != nil || !slices.Contains([]byte(" \t\r\n"), c) {
			return c, err
		}
	}
}

// element cuts out the value that starts with c: up to where its brackets are closed or, without brackets, to the next comma or bracket.
func (j *jsonRows) element(c byte) ([]byte, error) {
	var text []byte
	depth, quoted, escaped := 0, false, false
	for {
		text = append(text, c)
		if len(text) > maxRecord {
			return nil, errRecordTooLong
		}
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
			if depth <= 0 {
				return text, nil
			}
		}
		if depth == 0 && !quoted {
			if ahead, err := j.in.Peek(1); err == nil && (ahead[0] == ',' || ahead[0] == ']') {
				return text, nil
			}
		}
		var err error
		if c, err = j.read(); errors.Is(err, io.EOF) {
			return nil, errList("ends in the middle of a row")
		} else if err != nil {
			return nil, err
		}
	}
}

// jsonRow reads a person from a JSON object: the fields as text, attributes as an object, the portrait as base64.
func jsonRow(line int, text []byte) *importRow {
	row := &importRow{line: line, size: len(text)}
	var members map[string]json.RawMessage
	if !utf8.Valid(text) {
		return refuseRow(line, "row", "is not valid UTF-8")
	}
	if text[0] != '{' || json.Unmarshal(text, &members) != nil {
		return refuseRow(line, "row", "is not a JSON object")
	}
	var problems domain.Problems
	for name, value := range members {
		set, known := importFields[name]
		switch {
		case name == importAttrs:
			if value[0] != '{' || json.Unmarshal(value, &row.person.Attributes) != nil {
				problems.Add(name, "must be an object")
			}
		case !known && name != importPortrait:
			problems.Add("row", "has an unknown member")
		default:
			var v string
			if value[0] != '"' || json.Unmarshal(value, &v) != nil {
				problems.Add(name, "must be text")
				continue
			}
			switch {
			case v == "":
			case known:
				set(&row.person, v)
			default:
				row.takePortrait(&problems, v)
			}
		}
	}
	slices.SortFunc(problems, func(a, b domain.FieldError) int { return strings.Compare(a.Field, b.Field) }) // members come in any order
	row.err = problems.Err(domain.CodeInvalid, "the row breaks a rule")
	return row
}
