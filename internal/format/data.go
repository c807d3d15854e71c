package format

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

// WriteData writes what the elements are made from as far as it is the person's: the same data give the same bytes. Of an age that is the
// birth date. Left out are constants and what comes from the document: its serial number and its times.
func (f *Format) WriteData(w io.Writer, person domain.Person, images map[domain.ImageKind]domain.Image) error {
	from := facts{person: &person, document: &Input{Images: images}}
	out := json.NewEncoder(w)
	for i := range f.spaces {
		for j := range f.spaces[i].elements {
			e := &f.spaces[i].elements[j]
			value := e.source.data(from, &e.schema)
			if value == nil {
				continue
			}
			if err := out.Encode([]any{f.spaces[i].name, e.identifier, value}); err != nil {
				return fmt.Errorf("write data of %s: %w", e.errorField, err)
			}
		}
	}
	return nil
}

// data gives the person's value, or nil, of the first source that has one.
func (s *source) data(from facts, schema *schema) any {
	for ; s != nil; s = s.fallback {
		switch s.kind {
		case sourceConstant:
			return nil
		case sourceComputed:
			if value, ends := s.dataComputed(from); ends {
				return value
			}
		case sourceFields:
			if value := s.dataFields(from, schema); value != nil {
				return value
			}
		case sourcePerson, sourceAttribute, sourceImage:
			raw, state := s.raw(from)
			if state != present {
				continue
			}
			var c conversion
			if value := c.convert(schema, raw); len(c.misfits) == 0 {
				return value // so that 180 and "180" are the same
			}
			return raw
		}
	}
	return nil
}

// dataComputed gives what is computed from, and whether it has a value, so that no other source is asked.
func (s *source) dataComputed(from facts) (value any, ends bool) {
	switch {
	case s.aged():
		return from.person.BirthDate, from.person.BirthDate != ""
	case s.name == "portrait_capture_date":
		taken, state := s.raw(from)
		return taken, state == present
	}
	return nil, true
}

func (s *source) dataFields(from facts, schema *schema) any {
	values, known := make([]any, len(s.fields)), false
	for i, part := range s.fields {
		values[i] = part.data(from, &schema.fields[i].schema)
		known = known || values[i] != nil
	}
	if !known {
		return nil
	}
	return values
}

// StatesAges says whether an element's value can change as the person grows older.
func (f *Format) StatesAges() bool {
	ages := false
	for i := range f.spaces {
		for j := range f.spaces[i].elements {
			ages = ages || f.spaces[i].elements[j].source.statesAge()
		}
	}
	return ages
}

func (s *source) statesAge() bool {
	for ; s != nil; s = s.fallback {
		if s.aged() && s.name != "age_birth_year" || slices.ContainsFunc(s.fields, (*source).statesAge) {
			return true
		}
	}
	return false
}

// NextTurn gives when, after the instant, the first age that the elements state turns for the person; zero when none will. Ages turn with
// the start of the day (UTC).
func (f *Format) NextTurn(person domain.Person, after time.Time) time.Time {
	if person.BirthDate.Start().IsZero() {
		return time.Time{}
	}
	var first time.Time
	from := facts{person: &person, document: &Input{}}
	for i := range f.spaces {
		for j := range f.spaces[i].elements {
			f.spaces[i].elements[j].source.drawn(from, func(s *source) {
				if at := s.turn(person.BirthDate, after); !at.IsZero() && (first.IsZero() || at.Before(first)) {
					first = at
				}
			})
		}
	}
	return first
}

// drawn calls visit for the source that has a value, of a map for those of its fields, and says whether there was one.
func (s *source) drawn(from facts, visit func(*source)) bool {
	for ; s != nil; s = s.fallback {
		found := false
		switch s.kind {
		case sourceFields:
			for _, part := range s.fields {
				found = part.drawn(from, visit) || found
			}
		case sourceConstant, sourceComputed:
			found = !s.aged() || from.person.BirthDate != ""
		case sourcePerson, sourceAttribute, sourceImage:
			_, state := s.raw(from)
			found = state == present
		}
		if found {
			visit(s)
			return true
		}
	}
	return false
}

// aged says whether the value is computed from the birth date.
func (s *source) aged() bool { return s.kind == sourceComputed && strings.HasPrefix(s.name, "age_") }

// turn gives when the computed age changes next; zero when it does not any more, or is no age.
func (s *source) turn(born domain.Date, after time.Time) time.Time {
	years := 0
	argument, over := strings.CutPrefix(s.name, "age_over(")
	switch {
	case s.kind == sourceComputed && s.name == "age_in_years":
		years = born.Age(after) + 1
	case s.kind == sourceComputed && over:
		years, _ = strconv.Atoi(strings.TrimSuffix(argument, ")")) // the parser has read it
	default:
		return time.Time{}
	}
	birth := born.Start()
	at := time.Date(birth.Year()+years, birth.Month(), birth.Day(), 0, 0, 0, 0, time.UTC) // of 29 February 1 March, as Age has it
	if !at.After(after) {
		return time.Time{}
	}
	return at
}
