package format

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/mdocket/mdocket/internal/mdoc"
)

// Preview shows what a document of a format would hold for one person. Everything in it but the format is personal data: it is for the
// eyes of who asked for it, not for logs.
type Preview struct {
	Format   string           `json:"format"` // id
	Version  int              `json:"version"`
	DocType  string           `json:"doc_type"`
	Elements []PreviewElement `json:"elements"` // every element of the format, in its order
}

// PreviewElement is one data element of a Preview. Without value and problems it is optional and would be left out of the document.
type PreviewElement struct {
	NameSpace  string            `json:"name_space"`
	Identifier string            `json:"identifier"`
	Display    map[string]string `json:"display,omitempty"` // name by language tag
	Type       string            `json:"type"`              // as format files spell it; "array of tstr"
	Mandatory  bool              `json:"mandatory"`
	Source     string            `json:"source"` // "attribute document_number, else computed serial"
	// Value is written in CBOR diagnostic notation (RFC 8949 8): 1004("2026-03-01"). Of a picture or other long byte string only kind and
	// length are told: "jpeg, 48112 bytes".
	Value    string   `json:"value,omitempty"`
	Problems []string `json:"problems,omitempty"` // what is missing or does not fit; the same texts as of Build
}

// OK says whether a document can be made.
func (p *Preview) OK() bool { return p.Faulty() == 0 }

// Faulty counts the elements with problems.
func (p *Preview) Faulty() int {
	n := 0
	for i := range p.Elements {
		if len(p.Elements[i].Problems) > 0 {
			n++
		}
	}
	return n
}

// Preview shows the value, the absence or the problems of every element, none hiding another. It finds problems exactly where Build does.
// The error is a mistake of the caller: times that are not set or not in order.
func (f *Format) Preview(in Input) (Preview, error) {
	if err := in.checkTimes(); err != nil {
		return Preview{}, fmt.Errorf("preview data elements: %w", err)
	}
	p := Preview{Format: f.ID, Version: f.Version, DocType: f.DocType}
	from := facts{person: &in.Person, document: &in}
	for i := range f.spaces {
		space := &f.spaces[i]
		for j := range space.elements {
			e := &space.elements[j]
			shown := PreviewElement{NameSpace: space.name, Identifier: e.identifier, Type: e.schema.String(), Mandatory: e.mandatory,
				Source: e.source.outline(&e.schema)}
			if len(e.labels) > 0 {
				shown.Display = make(map[string]string, len(e.labels))
			}
			for _, label := range e.labels {
				shown.Display[label.Locale] = label.Name
			}
			switch o := e.outcome(from); {
			case len(o.problems) > 0:
				shown.Problems = o.problems
			case o.state == present:
				shown.Value = diagnostic(o.value)
			}
			p.Elements = append(p.Elements, shown)
		}
	}
	return p, nil
}

// maxHexBytes is the longest byte string that is shown whole.
const maxHexBytes = 16

// diagnostic writes a value in CBOR diagnostic notation. Quoting goes beyond JSON's: what a terminal would not print is escaped.
func diagnostic(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case mdoc.FullDate:
		return "1004(" + strconv.Quote(string(v)) + ")"
	case mdoc.TDate:
		return "0(" + strconv.Quote(string(v)) + ")"
	case []byte:
		return diagnosticBytes(v)
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = diagnostic(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case mdoc.Map:
		parts := make([]string, len(v))
		for i, entry := range v {
			parts[i] = strconv.Quote(entry.Key) + ": " + diagnostic(entry.Value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(value) // whole numbers, true and false
}

// pictures are the kinds of picture that a person may have, by their first bytes.
var pictures = []struct{ name, magic string }{
	{"jpeg", "\xff\xd8\xff"},
	{"jpeg 2000", "\x00\x00\x00\x0cjP  \r\n\x87\n"},
	{"jpeg 2000", "\xff\x4f\xff\x51"}, // a bare codestream
}

func diagnosticBytes(v []byte) string {
	for _, picture := range pictures {
		if bytes.HasPrefix(v, []byte(picture.magic)) {
			return fmt.Sprintf("%s, %d bytes", picture.name, len(v))
		}
	}
	if len(v) > maxHexBytes {
		return fmt.Sprintf("%d bytes", len(v))
	}
	return "h'" + hex.EncodeToString(v) + "'"
}
