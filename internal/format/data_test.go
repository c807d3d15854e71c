package format_test

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
)

func data(t *testing.T, f *format.Format, in format.Input) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, f.WriteData(&out, in.Person, in.Images))
	return out.String()
}

// What a document is made from changes with the person, and with nothing else.
func TestWriteData(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*format.Input)
		mdl    bool // whether it is other data for the driving licence
		badge  bool
	}{
		"nothing": {func(*format.Input) {}, false, false},
		"the document": {func(in *format.Input) {
			in.Serial, in.ValidFrom, in.ValidUntil, in.Signed = "9", until, until.AddDate(1, 0, 0), until
		}, false, false},
		"a name":                  {func(in *format.Input) { in.Person.FamilyName = "Musterfrau" }, true, true},
		"the birth date":          {func(in *format.Input) { in.Person.BirthDate = "1990-03-02" }, true, false},
		"e-mail":                  {func(in *format.Input) { in.Person.Email = "other@example.org" }, false, true},
		"what nobody maps":        {func(in *format.Input) { in.Person.Mobile, in.Person.Attributes["shoe_size"] = "+41790000000", 38.0 }, false, false},
		"an attribute":            {func(in *format.Input) { in.Person.Attributes["resident_city"] = "Elsewhere" }, true, false},
		"the same, as a number":   {func(in *format.Input) { in.Person.Attributes["height"] = 170.0 }, false, false},
		"one that does not fit":   {func(in *format.Input) { in.Person.Attributes["height"] = "tall" }, true, false},
		"none any more":           {func(in *format.Input) { delete(in.Person.Attributes, "height") }, true, false},
		"its own number no more":  {func(in *format.Input) { delete(in.Person.Attributes, "document_number") }, true, false},
		"inside a structure":      {func(in *format.Input) { privilege(in)["vehicle_category_code"] = "C" }, true, false},
		"another portrait":        {func(in *format.Input) { portrait(in, []byte{0xff, 0xd8, 9}, captured) }, true, true},
		"the day of the portrait": {func(in *format.Input) { portrait(in, in.Images[domain.ImagePortrait].Bytes, captured.AddDate(0, 0, 1)) }, true, false},
		"no birth date":           {func(in *format.Input) { in.Person.BirthDate = "" }, true, false},
	} {
		for id, differs := range map[string]bool{"iso-mdl": c.mdl, "staff-badge": c.badge} {
			changed := fullInput()
			c.change(&changed)
			f := load(t, id)
			require.Equal(t, differs, data(t, f, fullInput()) != data(t, f, changed), "%s: %s", id, name)
		}
	}
}

func privilege(in *format.Input) map[string]any {
	all, _ := in.Person.Attributes["driving_privileges"].([]any)
	one, _ := all[0].(map[string]any)
	return one
}

func portrait(in *format.Input, b []byte, at time.Time) {
	in.Images = maps.Clone(in.Images)
	in.Images[domain.ImagePortrait] = domain.Image{Kind: domain.ImagePortrait, Bytes: b, CapturedAt: at}
}

// ages is a format whose ages stand in every kind of place.
func ages(t *testing.T, elements string) *format.Format {
	t.Helper()
	f, err := format.Parse("ages.yaml", []byte(`id: ages
version: 1
doc_type: org.example.ages
digest_algorithm: SHA-256
status_bits: 1
display:
  - {locale: en, name: Ages}
name_spaces:
  - name: org.example.ages
    elements:
      - {identifier: name, type: tstr, mandatory: true, source: {person: family_name}}
`+elements))
	require.NoError(t, err)
	return f
}

func TestNextTurn(t *testing.T) {
	day := func(s string) time.Time { return domain.Date(s).Start() }
	over := ages(t, `      - {identifier: age_over_18, type: bool, source: {computed: age_over(18)}}
      - {identifier: age_over_65, type: bool, source: {attribute: pensioner, else: {computed: age_over(65)}}}
`)
	years := ages(t, `      - {identifier: age_in_years, type: uint, source: {computed: age_in_years}}
`)
	inside := ages(t, `      - identifier: ages
        type: map
        fields:
          - {name: adult, type: bool}
          - {name: born, type: uint}
        source: {fields: {adult: {computed: age_over(18)}, born: {computed: age_birth_year}}}
`)
	for name, c := range map[string]struct {
		format *format.Format
		born   domain.Date
		after  string
		want   string // empty = never
	}{
		"before":                        {over, "2008-05-04", "2026-05-03", "2026-05-04"},
		"on the day it is over":         {over, "2008-05-04", "2026-05-04", "2073-05-04"},
		"born in time to come":          {over, "2030-05-04", "2026-05-03", "2048-05-04"},
		"all turned":                    {over, "1950-05-04", "2026-05-03", ""},
		"leap day, 18 in a common year": {over, "2008-02-29", "2026-01-01", "2026-03-01"},
		"every year":                    {years, "2008-05-04", "2026-05-04", "2027-05-04"},
		"every year, tomorrow":          {years, "2008-05-04", "2027-05-03", "2027-05-04"},
		"every year, leap day":          {years, "2008-02-29", "2027-03-01", "2028-02-29"},
		"in a map":                      {inside, "2008-05-04", "2026-01-01", "2026-05-04"},
		"no birth date":                 {over, "", "2026-01-01", ""},
		"no such day":                   {over, "2008-13-01", "2026-01-01", ""},
	} {
		got := c.format.NextTurn(domain.Person{BirthDate: c.born}, day(c.after))
		if c.want == "" {
			require.Zero(t, got, name)
			continue
		}
		require.Equal(t, day(c.want), got, name)
		require.True(t, c.format.StatesAges(), name)
		require.NotEqual(t, c.born.Age(got), c.born.Age(got.Add(-1)), "%s: the age turns then", name)
	}
	attested := domain.Person{BirthDate: "1961-05-04", Attributes: map[string]any{"pensioner": true}}
	require.Zero(t, over.NextTurn(attested, day("2026-01-01")), "the attribute says it, not the birth date")
	for id, want := range map[string]bool{"iso-mdl": true, "aamva-mdl": true, "eu-pid": true, "staff-badge": false} {
		require.Equal(t, want, load(t, id).StatesAges(), id)
	}
	born := ages(t, `      - {identifier: age_birth_year, type: uint, source: {computed: age_birth_year}}
`)
	require.False(t, born.StatesAges())
	require.Zero(t, born.NextTurn(domain.Person{BirthDate: "2008-05-04"}, day("2026-01-01")))
}

// Whenever an age of a built document changes, NextTurn has said so.
func TestTurnsAreThoseOfBuild(t *testing.T) {
	f, in := load(t, "iso-mdl"), fullInput()
	for _, born := range []domain.Date{"2012-02-29", "2008-12-31", "1965-01-01"} {
		in.Person.BirthDate = born
		for at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2027; {
			next := f.NextTurn(in.Person, at)
			require.True(t, next.After(at))
			var before []any
			for _, moment := range []time.Time{at, next.Add(-time.Second), next} {
				in.ValidFrom, in.ValidUntil = moment, moment.AddDate(1, 0, 0)
				spaces, err := f.Build(in)
				require.NoError(t, err)
				var ages []any
				for _, name := range []string{"age_in_years", "age_over_13", "age_over_16", "age_over_18", "age_over_60"} {
					ages = append(ages, values(spaces)[name])
				}
				if moment.Equal(next) {
					require.NotEqual(t, before, ages)
				} else if before != nil {
					require.Equal(t, before, ages)
				}
				before = ages
			}
			at = next
		}
	}
}
