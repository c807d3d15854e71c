package format

import (
	"strings"
	"time"

	"github.com/goccy/go-yaml/token"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/mdoc"
)

// Format is one version of a document format, checked and compiled. It is safe for concurrent use; its fields are not to be changed.
type Format struct {
	ID              string
	Version         int // from 1
	DocType         string
	Display         []Display // at least one
	DigestAlgorithm mdoc.DigestAlgorithm
	StatusBits      int // 1 = valid or invalid for good, 2 = may also be suspended

	expectedUpdateDays int // 0 = the document promises no update
	spaces             []nameSpace

	versionAt, docTypeAt token.Position // in the file, for what only other files show to be wrong
}

// Display says how wallets and pages show the document in one language.
type Display struct {
	Locale          string // BCP 47 tag
	Name            string
	Description     string // may be empty
	BackgroundColor string // "#rrggbb" or empty
	TextColor       string // "#rrggbb" or empty
}

// Label is the name of a data element in one language.
type Label struct {
	Locale string // BCP 47 tag
	Name   string
}

// Claim describes one data element for the issuer metadata (OpenID4VCI 1.0, credential_metadata): the path is [NameSpace, Element].
type Claim struct {
	NameSpace string
	Element   string
	Mandatory bool
	Display   []Label // in the order of the file; empty when the file has none
}

// Claims lists every data element in the order of the file.
func (f *Format) Claims() []Claim {
	var claims []Claim
	for _, space := range f.spaces {
		for _, e := range space.elements {
			claims = append(claims, Claim{NameSpace: space.name, Element: e.identifier, Mandatory: e.mandatory, Display: e.labels})
		}
	}
	return claims
}

// ExpectedUpdate gives the MSO's expectedUpdate for a document signed at the given time. It is nil when the format has no such rule or
// when the document ends before the update would come.
func (f *Format) ExpectedUpdate(signed, validUntil time.Time) *time.Time {
	at := signed.AddDate(0, 0, f.expectedUpdateDays)
	if f.expectedUpdateDays == 0 || !at.Before(validUntil) {
		return nil
	}
	return &at
}

type nameSpace struct {
	name     string
	elements []element
}

type element struct {
	identifier string
	errorField string // identifier, or "name space/identifier" where two name spaces have the same one
	mandatory  bool
	schema     schema
	source     source
	labels     []Label
}

// sourceKind says which of the keys of a source was given.
type sourceKind string

const (
	sourcePerson    sourceKind = "person"
	sourceAttribute sourceKind = "attribute"
	sourceImage     sourceKind = "image"
	sourceConstant  sourceKind = "constant"
	sourceComputed  sourceKind = "computed"
	sourceFields    sourceKind = "fields"
)

// source says where the value of an element comes from.
type source struct {
	kind     sourceKind
	name     string                      // of the person's field, the attribute, the image or the computation
	person   func(*domain.Person) string // of sourcePerson
	constant any                         // of sourceConstant, already of the element's type
	computed func(facts) (any, presence) // of sourceComputed
	fields   []*source                   // of sourceFields: one for each field of the map, in its order; nil = none
	fallback *source                     // asked when this one has no value; nil = none
}

// describe names the source in error texts.
func (s *source) describe() string {
	if s.kind == sourcePerson {
		return "person's " + s.name
	}
	return string(s.kind) + " " + s.name
}

// absence says, for error texts, what was looked for and not there.
func (s *source) absence() string {
	var texts []string
	for ; s != nil; s = s.fallback {
		switch s.kind {
		case sourcePerson, sourceImage:
			texts = append(texts, "person has no "+s.name)
		case sourceAttribute:
			texts = append(texts, "person has no attribute "+s.name)
		case sourceComputed:
			texts = append(texts, "nothing to compute "+s.name+" from")
		case sourceConstant:
			texts = append(texts, "the constant is empty")
		case sourceFields:
			for _, part := range s.fields {
				if part != nil {
					texts = append(texts, part.absence())
				}
			}
		}
	}
	return strings.Join(texts, ", ")
}

// outline says where the value is looked for, in the order in which it is.
func (s *source) outline(schema *schema) string {
	var texts []string
	for ; s != nil; s = s.fallback {
		switch s.kind {
		case sourceConstant:
			texts = append(texts, "constant "+diagnostic(s.constant))
		case sourceFields:
			var parts []string
			for i, part := range s.fields {
				if part != nil {
					parts = append(parts, schema.fields[i].name+": "+part.outline(&schema.fields[i].schema))
				}
			}
			texts = append(texts, "fields ("+strings.Join(parts, "; ")+")")
		case sourcePerson, sourceAttribute, sourceImage, sourceComputed:
			texts = append(texts, string(s.kind)+" "+s.name)
		}
	}
	return strings.Join(texts, ", else ")
}
