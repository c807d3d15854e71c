package format

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/mdoc"
)

// Input is what the data elements of one document are made from.
type Input struct {
	Person domain.Person
	Images map[domain.ImageKind]domain.Image
	Serial string // the document's serial number
	// ValidFrom is also the day ages are counted for. Days are taken in UTC.
	ValidFrom, ValidUntil, Signed time.Time
}

// Build makes the data elements. Optional elements without a value are left out, and so is a name space without elements.
//
// When a mandatory element has no value, or a value does not fit its element, the error is a *domain.Error with CodeMissingData whose
// Fields list every such element and what is wrong, without values. Other errors are mistakes of the caller.
//
// Byte strings and constants are shared with the input and with the format: the result is to be read only.
func (f *Format) Build(in Input) ([]mdoc.NameSpace, error) {
	if err := in.checkTimes(); err != nil {
		return nil, fmt.Errorf("build data elements: %w", err)
	}
	spaces, problems := f.fill(facts{person: &in.Person, document: &in})
	return spaces, missing(problems)
}

func (in *Input) checkTimes() error {
	if in.ValidFrom.IsZero() || in.Signed.IsZero() || !in.ValidFrom.Before(in.ValidUntil) {
		return errors.New("the times of the document are not set or not in order")
	}
	return nil
}

// Check reports, with the same error as Build, what is missing or does not fit as far as it can be known before there is a document: the
// images count as usable when the person record says they are there, and what comes from the document (its serial number, its times, when
// the portrait was taken) is left to Build.
func (f *Format) Check(person domain.Person) error {
	_, problems := f.fill(facts{person: &person})
	return missing(problems)
}

func missing(problems domain.Problems) error {
	return problems.Err(domain.CodeMissingData, "data for the document is missing or does not fit")
}

// facts are what values are drawn from. document is nil as long as there is no document.
type facts struct {
	person   *domain.Person
	document *Input
}

// presence says whether a source has a value.
type presence int

const (
	absent  presence = iota
	present          // there is a value
	later            // there will be one once there is a document
	broken           // it is computed from a birth date that is not a day
)

func (f *Format) fill(from facts) ([]mdoc.NameSpace, domain.Problems) {
	var problems domain.Problems
	spaces := make([]mdoc.NameSpace, 0, len(f.spaces))
	for i := range f.spaces {
		space := &f.spaces[i]
		elements := make([]mdoc.Element, 0, len(space.elements))
		for j := range space.elements {
			e := &space.elements[j]
			outcome := e.outcome(from)
			for _, problem := range outcome.problems {
				problems = append(problems, domain.FieldError{Field: e.errorField, Problem: problem})
			}
			if outcome.state == present {
				elements = append(elements, mdoc.Element{Identifier: e.identifier, Value: outcome.value})
			}
		}
		if len(elements) > 0 {
			spaces = append(spaces, mdoc.NameSpace{Name: space.name, Elements: elements})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return spaces, nil
}

// outcome is what came of looking for a value. With problems, the value is not to be used; they say what is wrong without repeating it.
type outcome struct {
	value    any
	state    presence
	problems []string
}

func (e *element) outcome(from facts) outcome {
	o := e.source.outcome(from, &e.schema)
	if o.state == absent && e.mandatory {
		o.problems = append(o.problems, "is required: "+e.source.absence())
	}
	return o
}

// outcome asks the source, and then those it falls back on, until one has a value, and brings it to the schema's type.
func (s *source) outcome(from facts, schema *schema) outcome {
	for ; s != nil; s = s.fallback {
		if o := s.own(from, schema); o.state != absent {
			return o
		}
	}
	return outcome{}
}

// own is the outcome of this source alone.
func (s *source) own(from facts, schema *schema) outcome {
	if s.kind == sourceFields {
		return s.compose(from, schema)
	}
	raw, state := s.raw(from)
	if state == broken {
		return outcome{state: broken, problems: []string{"does not fit: person's birth_date is not a day as YYYY-MM-DD"}}
	}
	if state != present || s.kind == sourceConstant {
		return outcome{value: raw, state: state}
	}
	var c conversion
	o := outcome{value: c.convert(schema, raw), state: present}
	for _, misfit := range c.misfits {
		o.problems = append(o.problems, "does not fit: "+s.describe()+misfit)
	}
	return o
}

// compose makes a map out of the sources of its fields. It has no value when none of them has.
func (s *source) compose(from facts, schema *schema) outcome {
	m := make(mdoc.Map, 0, len(s.fields))
	var o outcome
	var missing []string
	waiting := false
	for i, part := range s.fields {
		f := &schema.fields[i]
		inner := part.outcome(from, &f.schema)
		o.problems = append(o.problems, inner.problems...)
		switch inner.state {
		case present:
			m = append(m, mdoc.Entry{Key: f.name, Value: inner.value})
		case absent:
			if f.mandatory {
				missing = append(missing, "does not fit: field "+f.name+" is required: "+part.absence())
			}
		case later:
			waiting = true
		case broken:
		}
	}
	switch {
	case waiting:
		o.state = later
	case len(m) == 0 && len(o.problems) == 0:
		return outcome{}
	default:
		o.value, o.state = m, present
		if len(m) < schema.minFields && len(o.problems) == 0 {
			missing = append(missing, "does not fit: the map has fewer than "+strconv.Itoa(schema.minFields)+" fields")
		}
	}
	o.problems = append(o.problems, missing...)
	return o
}

// raw gives the value as the source has it.
func (s *source) raw(from facts) (any, presence) {
	switch s.kind {
	case sourcePerson:
		return given(s.person(from.person))
	case sourceAttribute:
		return given(from.person.Attributes[s.name])
	case sourceImage:
		return from.image(domain.ImageKind(s.name))
	case sourceConstant:
		return s.constant, present
	case sourceComputed:
		return s.computed(from)
	case sourceFields: // see compose
	}
	return nil, absent
}

func given(raw any) (any, presence) {
	if isBlank(raw) {
		return nil, absent
	}
	return raw, present
}

func (from facts) image(kind domain.ImageKind) (any, presence) {
	if from.document != nil {
		return given(from.document.Images[kind].Bytes)
	}
	if (kind == domain.ImagePortrait && from.person.HasPortrait) || (kind == domain.ImageSignature && from.person.HasSignature) {
		return nil, later
	}
	return nil, absent
}

// personFields are the fields of a person that a source may name.
var personFields = map[string]func(*domain.Person) string{
	"external_id": func(p *domain.Person) string { return p.ExternalID },
	"logon_name":  func(p *domain.Person) string { return p.LogonName },
	"given_name":  func(p *domain.Person) string { return p.GivenName },
	"family_name": func(p *domain.Person) string { return p.FamilyName },
	"email":       func(p *domain.Person) string { return p.Email },
	"mobile":      func(p *domain.Person) string { return p.Mobile },
	"birth_date":  func(p *domain.Person) string { return string(p.BirthDate) },
	"group":       func(p *domain.Person) string { return p.Group },
	"language":    func(p *domain.Person) string { return p.Language },
}

// computation is a value that is worked out, and the types an element may have for it.
type computation struct {
	types []valueType
	value func(facts) (any, presence)
}

var (
	dateTypes   = []valueType{typeFullDate, typeTDate, typeEitherDate}
	numberTypes = []valueType{typeUint, typeInt}
)

// computations are the values that a source may name, besides age_over(NN).
var computations = map[string]computation{
	"age_in_years":          {numberTypes, ageInYears},
	"age_birth_year":        {numberTypes, birthYear},
	"issue_date":            {dateTypes, documentTime(func(in *Input) time.Time { return in.ValidFrom })},
	"expiry_date":           {dateTypes, documentTime(func(in *Input) time.Time { return in.ValidUntil })},
	"signing_date":          {dateTypes, documentTime(func(in *Input) time.Time { return in.Signed })},
	"portrait_capture_date": {dateTypes, portraitCaptured},
	"serial":                {[]valueType{typeText}, serialNumber},
}

// ageOver attests whether the person has completed the years when the document becomes valid (ISO/IEC 18013-5 7.2.5).
func ageOver(years int) func(facts) (any, presence) {
	return func(from facts) (any, presence) {
		born, state := birthDay(from)
		if state != present || from.document == nil {
			return nil, untilDocument(state)
		}
		return born.Age(from.document.ValidFrom) >= years, present
	}
}

// ageInYears is negative, and then fits no unsigned element, when the document becomes valid before the birth.
func ageInYears(from facts) (any, presence) {
	born, state := birthDay(from)
	if state != present || from.document == nil {
		return nil, untilDocument(state)
	}
	return int64(born.Age(from.document.ValidFrom)), present
}

func birthYear(from facts) (any, presence) {
	born, state := birthDay(from)
	return int64(born.Start().Year()), state
}

func birthDay(from facts) (domain.Date, presence) {
	born := from.person.BirthDate
	switch {
	case born == "":
		return "", absent
	case born.Start().IsZero():
		return "", broken
	}
	return born, present
}

// untilDocument turns what is known of a value's origin into what is known of the value before there is a document.
func untilDocument(state presence) presence {
	if state == present {
		return later
	}
	return state
}

func documentTime(pick func(*Input) time.Time) func(facts) (any, presence) {
	return func(from facts) (any, presence) {
		if from.document == nil {
			return nil, later
		}
		return pick(from.document), present
	}
}

func portraitCaptured(from facts) (any, presence) {
	if from.document == nil {
		return from.image(domain.ImagePortrait)
	}
	portrait := from.document.Images[domain.ImagePortrait]
	if len(portrait.Bytes) == 0 || portrait.CapturedAt.IsZero() {
		return nil, absent
	}
	return portrait.CapturedAt, present
}

func serialNumber(from facts) (any, presence) {
	if from.document == nil {
		return nil, later
	}
	return given(from.document.Serial)
}
