package format_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/mdoc"
)

// composed has maps that are made of their fields.
const composed = `
id: composed
version: 1
doc_type: org.example.composed.1
digest_algorithm: SHA-256
status_bits: 2
display: [{locale: en, name: Composed}]
name_spaces:
  - name: a
    elements:
      - identifier: whole
        type: map
        mandatory: true
        min_fields: 2
        fields:
          - {name: born, type: full-date, mandatory: true}
          - {name: number, type: tstr}
          - {name: from, type: tdate}
          - {name: color, type: tstr}
          - name: inner
            type: map
            fields: [{name: n, type: uint, max: 9}, {name: s, type: tstr, mandatory: true}]
        source:
          fields:
            born: {person: birth_date}
            number: {computed: serial}
            inner: {attribute: inner, else: {fields: {n: {attribute: n}, s: {attribute: s, else: {constant: preset}}}}}
        display: {en: Whole}
      - identifier: optional
        type: map
        min_fields: 2
        fields: [{name: a, type: tstr}, {name: b, type: uint, mandatory: true}, {name: c, type: bool}]
        source: {fields: {a: {attribute: a}, b: {attribute: b}, c: {computed: age_over(18)}}}
      - identifier: strict
        type: map
        fields: [{name: a, type: tstr}, {name: b, type: uint, mandatory: true}]
        source: {fields: {a: {attribute: a}, b: {attribute: b}}}
      - {identifier: list, type: array, single: true, items: {type: uint}, source: {attribute: list}}
`

func TestComposed(t *testing.T) {
	f, err := format.Parse("composed.yaml", []byte(composed))
	require.NoError(t, err)
	for _, c := range []struct {
		name       string
		born       domain.Date
		attributes map[string]any
		want       map[string]any
		problems   map[string][]string
		atRequest  map[string][]string // where other than problems
	}{
		{"fields in the order of the format", "1990-03-01", map[string]any{"a": "x", "b": "3", "list": "7"}, map[string]any{
			"whole": mdoc.Map{
				{Key: "born", Value: mdoc.FullDate("1990-03-01")}, {Key: "number", Value: "77"},
				{Key: "inner", Value: mdoc.Map{{Key: "s", Value: "preset"}}},
			},
			"optional": mdoc.Map{{Key: "a", Value: "x"}, {Key: "b", Value: uint64(3)}, {Key: "c", Value: true}},
			"strict":   mdoc.Map{{Key: "a", Value: "x"}, {Key: "b", Value: uint64(3)}},
			"list":     []any{uint64(7)},
		}, nil, nil},
		{"a field's own attribute comes first", "1990-03-01", map[string]any{"inner": map[string]any{"s": "own"}, "n": "4", "b": "1"},
			map[string]any{
				"whole": mdoc.Map{
					{Key: "born", Value: mdoc.FullDate("1990-03-01")}, {Key: "number", Value: "77"},
					{Key: "inner", Value: mdoc.Map{{Key: "s", Value: "own"}}},
				},
				"optional": mdoc.Map{{Key: "b", Value: uint64(1)}, {Key: "c", Value: true}},
				"strict":   mdoc.Map{{Key: "b", Value: uint64(1)}},
			}, nil, nil},
		{"mandatory fields", "", map[string]any{"a": "x"}, nil, map[string][]string{
			"whole":    {"does not fit: field born is required: person has no birth_date"},
			"optional": {"does not fit: field b is required: person has no attribute b", "does not fit: the map has fewer than 2 fields"},
			"strict":   {"does not fit: field b is required: person has no attribute b"},
		}, map[string][]string{
			"optional": {"does not fit: field b is required: person has no attribute b", "does not fit: the map has fewer than 2 fields"},
			"strict":   {"does not fit: field b is required: person has no attribute b"},
			"whole":    {"does not fit: field born is required: person has no birth_date"},
		}},
		{"everything wrong at once", "yesterday", map[string]any{"n": "10", "s": true, "a": 1.5, "b": "x", "list": []any{"x", "y"}}, nil,
			map[string][]string{
				"whole": {
					"does not fit: person's birth_date is not a day as YYYY-MM-DD",
					"does not fit: attribute n is above the highest value of the format",
					"does not fit: attribute s is not text",
				},
				"optional": {
					"does not fit: attribute a is not text",
					"does not fit: attribute b is not a whole number from 0 up",
					"does not fit: person's birth_date is not a day as YYYY-MM-DD",
				},
				"strict": {"does not fit: attribute a is not text", "does not fit: attribute b is not a whole number from 0 up"},
				"list": {
					"does not fit: attribute list[0] is not a whole number from 0 up",
					"does not fit: attribute list[1] is not a whole number from 0 up",
				},
			}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := format.Input{Serial: "77", ValidFrom: from, ValidUntil: until, Signed: signed}
			in.Person.BirthDate, in.Person.Attributes = c.born, c.attributes
			spaces, err := f.Build(in)
			if c.problems == nil {
				require.NoError(t, err)
				require.Equal(t, c.want, values(spaces))
				require.NoError(t, f.Check(in.Person))
				return
			}
			require.Equal(t, c.problems, fields(t, err))
			if c.atRequest == nil {
				c.atRequest = c.problems
			}
			require.Equal(t, c.atRequest, fields(t, f.Check(in.Person)))
		})
	}
}

// what is only known with the document does not hide what is wrong already
func TestComposedLater(t *testing.T) {
	f, err := format.Parse("composed.yaml", []byte(composed))
	require.NoError(t, err)
	err = f.Check(domain.Person{BirthDate: "1990-03-01", Attributes: map[string]any{"n": "10", "b": "1"}})
	require.Equal(t, map[string][]string{"whole": {"does not fit: attribute n is above the highest value of the format"}}, fields(t, err))
}

func TestPreviewOfNobody(t *testing.T) {
	for _, id := range shippedIDs {
		t.Run(id, func(t *testing.T) {
			f, in := load(t, id), format.Input{ValidFrom: from, ValidUntil: until, Signed: signed}
			_, err := f.Build(in)
			want := fields(t, err)
			preview, err := f.Preview(in)
			require.NoError(t, err)
			require.False(t, preview.OK())
			require.Equal(t, len(want), preview.Faulty())
			require.Len(t, preview.Elements, len(f.Claims()), "every element is shown")
			for i, claim := range f.Claims() {
				e := preview.Elements[i]
				require.Equal(t, []any{claim.NameSpace, claim.Element, claim.Mandatory}, []any{e.NameSpace, e.Identifier, e.Mandatory})
				require.NotEmpty(t, e.Type)
				require.NotEmpty(t, e.Source)
				require.Len(t, e.Display, len(f.Display))
				if len(e.Problems) > 0 {
					require.Empty(t, e.Value)
				}
			}
		})
	}
}

func TestPreviewForms(t *testing.T) {
	in := format.Input{ValidFrom: from, ValidUntil: until, Signed: signed}
	in.Person.Attributes = map[string]any{
		"text": "a\"\u202e", "uint": "3", "int": "-5", "bool": true, "bytes": "AQI", "day": "2024-02-29", "moment": "2024-02-29T01:30:00+02:00",
		"either": "2024-02-29", "list": []any{"1"}, "map": map[string]any{"a": true, "z": float64(-1)}, "any": []any{1.25, float64(2), "x"},
	}
	preview, err := everyFormat(t).Preview(in)
	require.NoError(t, err)
	require.True(t, preview.OK(), "%v", preview)
	require.Equal(t, []any{"every-type", 3, "org.example.every.1"}, []any{preview.Format, preview.Version, preview.DocType})
	type shown struct{ typ, source, value string }
	got := map[string]shown{}
	for _, e := range preview.Elements {
		got[e.NameSpace+"/"+e.Identifier] = shown{e.Type, e.Source, e.Value}
	}
	require.Equal(t, map[string]shown{
		"a/text":       {"tstr", "attribute text", `"a\"\u202e"`},
		"a/uint":       {"uint", "attribute uint", "3"},
		"a/int":        {"int", "attribute int, else constant 7", "-5"},
		"a/bool":       {"bool", "attribute bool", "true"},
		"a/bytes":      {"bstr", "attribute bytes", "h'0102'"},
		"a/day":        {"full-date", "attribute day", `1004("2024-02-29")`},
		"a/moment":     {"tdate", "attribute moment", `0("2024-02-28T23:30:00Z")`},
		"a/either":     {"tdate-or-full-date", "attribute either", `1004("2024-02-29")`},
		"a/list":       {"array of uint", "attribute list", "[1]"},
		"a/map":        {"map", "attribute map", `{"z": -1, "a": true}`},
		"a/any":        {"any", "attribute any", `[1.25, 2, "x"]`},
		"b/text":       {"tstr", "attribute other", ""},
		"c/fixed":      {"tstr", `constant "DE"`, `"DE"`},
		"c/structure":  {"array of map", `constant [{"n": 1}, {"n": 2}]`, `[{"n": 1}, {"n": 2}]`},
		"c/issued":     {"tdate", "computed issue_date", `0("2026-03-01T09:30:15Z")`},
		"c/issued_day": {"tdate-or-full-date", "computed issue_date", `1004("2026-03-01")`},
		"c/made":       {"full-date", "computed signing_date", `1004("2026-02-28")`},
	}, got)

	f, err := format.Parse("composed.yaml", []byte(composed))
	require.NoError(t, err)
	preview, err = f.Preview(in)
	require.NoError(t, err)
	require.Equal(t, `fields (born: person birth_date; number: computed serial; inner: attribute inner, else fields (n: attribute n; `+
		`s: attribute s, else constant "preset"))`, preview.Elements[0].Source)
}

func TestPreviewBytes(t *testing.T) {
	for want, picture := range map[string][]byte{
		"jpeg, 4 bytes":                       {0xff, 0xd8, 0xff, 0xe0},
		"jpeg 2000, 13 bytes":                 []byte("\x00\x00\x00\x0cjP  \r\n\x87\n\x00"),
		"jpeg 2000, 5 bytes":                  {0xff, 0x4f, 0xff, 0x51, 0},
		"17 bytes":                            make([]byte, 17),
		"h'" + strings.Repeat("00", 16) + "'": make([]byte, 16),
	} {
		in := minimalInput("eu-pid")
		in.Images = map[domain.ImageKind]domain.Image{domain.ImagePortrait: {Bytes: picture}}
		preview, err := load(t, "eu-pid").Preview(in)
		require.NoError(t, err)
		found := false
		for _, e := range preview.Elements {
			if e.Identifier == "portrait" {
				require.Equal(t, want, e.Value)
				found = true
			}
		}
		require.True(t, found)
	}
}

func TestPreviewAsJSON(t *testing.T) {
	f, err := format.Parse("composed.yaml", []byte(composed))
	require.NoError(t, err)
	in := format.Input{Serial: "77", ValidFrom: from, ValidUntil: until, Signed: signed}
	in.Person.BirthDate, in.Person.Attributes = "1990-03-01", map[string]any{"list": "x"}
	preview, err := f.Preview(in)
	require.NoError(t, err)
	preview.Elements = append(preview.Elements[:1], preview.Elements[3])
	got, err := json.Marshal(preview)
	require.NoError(t, err)
	require.JSONEq(t, `{"format": "composed", "version": 1, "doc_type": "org.example.composed.1", "elements": [
		{"name_space": "a", "identifier": "whole", "display": {"en": "Whole"}, "type": "map", "mandatory": true,
		 "source": "fields (born: person birth_date; number: computed serial; inner: attribute inner, else `+
		`fields (n: attribute n; s: attribute s, else constant \"preset\"))",
		 "value": "{\"born\": 1004(\"1990-03-01\"), \"number\": \"77\", \"inner\": {\"s\": \"preset\"}}"},
		{"name_space": "a", "identifier": "list", "type": "array of uint", "mandatory": false, "source": "attribute list",
		 "problems": ["does not fit: attribute list[0] is not a whole number from 0 up"]}]}`, string(got))
}

func TestPreviewRefusesTimesOutOfOrder(t *testing.T) {
	in := sampleInput()
	in.ValidUntil = in.ValidFrom
	_, err := load(t, "iso-mdl").Preview(in)
	require.Error(t, err)
	require.Equal(t, domain.CodeInternal, domain.CodeOf(err))
}

func TestSampleInput(t *testing.T) {
	in := format.SampleInput(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC))
	require.Empty(t, in.Person.Check(), "the sample person keeps the rules of people")
	for _, id := range shippedIDs {
		preview, err := load(t, id).Preview(in)
		require.NoError(t, err)
		require.True(t, preview.OK(), "%s", id)
	}
	in.Person.Attributes["sex"] = "changed"
	require.Equal(t, float64(2), format.SampleInput(from).Person.Attributes["sex"], "every caller has a sample of its own")
}
