package format_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/mdoc"
)

var (
	from   = time.Date(2026, 3, 1, 9, 30, 15, 0, time.UTC)
	until  = time.Date(2028, 2, 29, 23, 59, 59, 0, time.UTC)
	signed = time.Date(2026, 2, 28, 9, 30, 0, 0, time.UTC)

	captured = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC) // the portrait
)

func load(t testing.TB, id string) *format.Format {
	t.Helper()
	registry, err := format.Load("")
	require.NoError(t, err)
	f, ok := registry.Get(id)
	require.True(t, ok)
	return f
}

// fullInput has a value for every element of the mDL and the staff badge.
func fullInput() format.Input {
	b64 := base64.StdEncoding.EncodeToString
	return format.Input{
		Person: domain.Person{
			ExternalID: "E-1007", GivenName: "Erika", FamilyName: "Mustermann", Email: "erika@example.org", BirthDate: "1990-03-01",
			Group: "Traffic/Licences", HasPortrait: true, HasSignature: true,
			Attributes: map[string]any{
				"issuing_country": "UT", "issuing_authority": "Utopia Licensing", "document_number": "D-77",
				"driving_privileges": []any{
					map[string]any{"vehicle_category_code": "A", "issue_date": "2018-08-09", "expiry_date": "2028-09-01"},
					map[string]any{"vehicle_category_code": "B", "codes": []any{
						map[string]any{"value": "2024", "code": "01", "sign": ">="},
					}},
				},
				"un_distinguishing_sign": "UTO", "administrative_number": "ADM-1", "sex": float64(2), "height": "170", "weight": float64(64),
				"eye_colour": "dichromatic", "hair_colour": "auburn", "birth_place": "Sample City", "resident_address": "Sample Street 1",
				"issuing_jurisdiction": "UT-UA", "nationality": "UT", "resident_city": "Sample City", "resident_state": "Utopia",
				"resident_postal_code": "12345", "resident_country": "UT",
				"biometric_template_face": b64([]byte{1, 2}), "biometric_template_finger": b64([]byte{3}),
				"biometric_template_signature_sign": b64([]byte{4, 5, 6}), "biometric_template_iris": "-_8=",
				"family_name_national_character": "Мустерманн", "given_name_national_character": "Ерика",
				"job_title": "Examiner", "organisation": "Utopia Licensing", "access_level": "3",
			},
		},
		Images: map[domain.ImageKind]domain.Image{
			domain.ImagePortrait:  {Kind: domain.ImagePortrait, Bytes: []byte{0xff, 0xd8, 1}, CapturedAt: captured},
			domain.ImageSignature: {Kind: domain.ImageSignature, Bytes: []byte{0xff, 0xd8, 2}},
		},
		Serial: "0123456789", ValidFrom: from, ValidUntil: until, Signed: signed,
	}
}

func values(spaces []mdoc.NameSpace) map[string]any {
	all := map[string]any{}
	for _, space := range spaces {
		for _, e := range space.Elements {
			all[e.Identifier] = e.Value
		}
	}
	return all
}

func TestBuildFullMDL(t *testing.T) {
	f := load(t, "iso-mdl")
	spaces, err := f.Build(fullInput())
	require.NoError(t, err)
	require.Len(t, spaces, 1)
	require.Equal(t, "org.iso.18013.5.1", spaces[0].Name)
	got := values(spaces)
	require.Equal(t, map[string]any{
		"family_name": "Mustermann", "given_name": "Erika", "birth_date": mdoc.FullDate("1990-03-01"),
		"issue_date": mdoc.FullDate("2026-03-01"), "expiry_date": mdoc.FullDate("2028-02-29"),
		"issuing_country": "UT", "issuing_authority": "Utopia Licensing", "document_number": "D-77", "portrait": []byte{0xff, 0xd8, 1},
		"driving_privileges": []any{
			mdoc.Map{
				{Key: "vehicle_category_code", Value: "A"},
				{Key: "issue_date", Value: mdoc.FullDate("2018-08-09")},
				{Key: "expiry_date", Value: mdoc.FullDate("2028-09-01")},
			},
			mdoc.Map{
				{Key: "vehicle_category_code", Value: "B"},
				{Key: "codes", Value: []any{
					mdoc.Map{{Key: "code", Value: "01"}, {Key: "sign", Value: ">="}, {Key: "value", Value: "2024"}},
				}},
			},
		},
		"un_distinguishing_sign": "UTO", "administrative_number": "ADM-1", "sex": uint64(2), "height": uint64(170), "weight": uint64(64),
		"eye_colour": "dichromatic", "hair_colour": "auburn", "birth_place": "Sample City", "resident_address": "Sample Street 1",
		"portrait_capture_date": mdoc.TDate("2026-01-02T03:04:05Z"), "age_in_years": uint64(36), "age_birth_year": uint64(1990),
		"age_over_13": true, "age_over_16": true, "age_over_18": true, "age_over_21": true, "age_over_25": true,
		"age_over_60": false, "age_over_62": false, "age_over_65": false, "age_over_68": false,
		"issuing_jurisdiction": "UT-UA", "nationality": "UT", "resident_city": "Sample City", "resident_state": "Utopia",
		"resident_postal_code": "12345", "resident_country": "UT",
		"biometric_template_face": []byte{1, 2}, "biometric_template_finger": []byte{3},
		"biometric_template_signature_sign": []byte{4, 5, 6}, "biometric_template_iris": []byte{0xfb, 0xff},
		"family_name_national_character": "Мустерманн", "given_name_national_character": "Ерика",
		"signature_usual_mark": []byte{0xff, 0xd8, 2},
	}, got)
	require.Len(t, f.Claims(), len(got), "every element of the format is in the full document")
	for i, claim := range f.Claims() {
		require.Equal(t, spaces[0].Elements[i].Identifier, claim.Element, "the file's order is the document's order")
	}
	require.NoError(t, f.Check(fullInput().Person))
}

func TestBuildStaffBadge(t *testing.T) {
	f := load(t, "staff-badge")
	require.Equal(t, 2, f.StatusBits)
	spaces, err := f.Build(fullInput())
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"employee_number": "E-1007", "given_name": "Erika", "family_name": "Mustermann", "badge_number": "0123456789",
		"valid_from": mdoc.FullDate("2026-03-01"), "valid_until": mdoc.FullDate("2028-02-29"), "department": "Traffic/Licences",
		"portrait": []byte{0xff, 0xd8, 1}, "job_title": "Examiner", "organisation": "Utopia Licensing", "access_level": "3",
		"email": "erika@example.org",
	}, values(spaces))
}

// structured attributes that came as text, as a CSV import brings them
func TestBuildFromText(t *testing.T) {
	in := fullInput()
	in.Person.Attributes["driving_privileges"] = `[{"vehicle_category_code":"B","codes":[{"code":"96"}]}]`
	in.Person.Attributes["sex"] = "1"
	delete(in.Person.Attributes, "document_number")
	spaces, err := load(t, "iso-mdl").Build(in)
	require.NoError(t, err)
	got := values(spaces)
	require.Equal(t, uint64(1), got["sex"])
	require.Equal(t, "0123456789", got["document_number"], "falls back to the serial")
	require.Equal(t, []any{mdoc.Map{
		{Key: "vehicle_category_code", Value: "B"}, {Key: "codes", Value: []any{mdoc.Map{{Key: "code", Value: "96"}}}},
	}}, got["driving_privileges"])

	in.Person.Attributes["driving_privileges"] = "[]"
	spaces, err = load(t, "iso-mdl").Build(in)
	require.NoError(t, err)
	require.Equal(t, []any{}, values(spaces)["driving_privileges"], "an empty list is a value")
}

func TestBuildLeavesOutOptional(t *testing.T) {
	in := fullInput()
	for name := range in.Person.Attributes {
		if !slices.Contains([]string{"issuing_country", "issuing_authority", "driving_privileges", "un_distinguishing_sign"}, name) {
			in.Person.Attributes[name] = "  "
		}
	}
	portrait := in.Images[domain.ImagePortrait]
	portrait.CapturedAt = time.Time{}
	in.Images = map[domain.ImageKind]domain.Image{domain.ImagePortrait: portrait}
	spaces, err := load(t, "iso-mdl").Build(in)
	require.NoError(t, err)
	require.Len(t, spaces[0].Elements, len(mandatoryMDL)+len([]string{"age_in_years", "age_birth_year"})+9)
}

func fields(t *testing.T, err error) map[string][]string {
	t.Helper()
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, domain.CodeMissingData, e.Code)
	all := map[string][]string{}
	for _, f := range e.Fields {
		all[f.Field] = append(all[f.Field], f.Problem)
	}
	return all
}

func TestMissingListsEverything(t *testing.T) {
	f := load(t, "iso-mdl")
	_, err := f.Build(format.Input{ValidFrom: from, ValidUntil: until, Signed: signed})
	require.Equal(t, map[string][]string{
		"family_name":            {"is required: person has no family_name"},
		"given_name":             {"is required: person has no given_name"},
		"birth_date":             {"is required: person has no birth_date"},
		"issuing_country":        {"is required: person has no attribute issuing_country"},
		"issuing_authority":      {"is required: person has no attribute issuing_authority"},
		"document_number":        {"is required: person has no attribute document_number, nothing to compute serial from"},
		"portrait":               {"is required: person has no portrait"},
		"driving_privileges":     {"is required: person has no attribute driving_privileges"},
		"un_distinguishing_sign": {"is required: person has no attribute un_distinguishing_sign"},
	}, fields(t, err))

	atRequest := fields(t, f.Check(domain.Person{}))
	require.NotContains(t, atRequest, "document_number", "the serial is not known before there is a document")
	require.Len(t, atRequest, 8)
	person := fullInput().Person
	person.HasPortrait = false
	require.Equal(t, map[string][]string{"portrait": {"is required: person has no portrait"}}, fields(t, f.Check(person)))
}

func TestIllTypedListsEverythingWithoutValues(t *testing.T) {
	const canary = "canary-7731"
	in := fullInput()
	in.Person.FamilyName = strings.Repeat(canary, 20)
	in.Person.BirthDate = canary
	for name, value := range map[string]any{
		"issuing_country": canary, "issuing_authority": []any{canary}, "sex": float64(3), "height": canary, "weight": -1.5,
		"eye_colour": canary, "biometric_template_face": "!" + canary, "nationality": "UT\n", "hair_colour": true,
		"driving_privileges": []any{
			map[string]any{"issue_date": canary, "codes": canary},
			canary,
			nil,
			map[string]any{"vehicle_category_code": "B", canary: canary},
		},
	} {
		in.Person.Attributes[name] = value
	}
	f := load(t, "iso-mdl")
	_, err := f.Build(in)
	want := map[string][]string{
		"family_name":             {"does not fit: person's family_name is longer than 150 characters"},
		"birth_date":              {"does not fit: person's birth_date is not a day as YYYY-MM-DD"},
		"issuing_country":         {"does not fit: attribute issuing_country does not have the form that the format asks for"},
		"issuing_authority":       {"does not fit: attribute issuing_authority is not text"},
		"sex":                     {"does not fit: attribute sex is not in the closed list of the format"},
		"height":                  {"does not fit: attribute height is not a whole number from 0 up"},
		"weight":                  {"does not fit: attribute weight is not a whole number from 0 up"},
		"eye_colour":              {"does not fit: attribute eye_colour is not in the closed list of the format"},
		"hair_colour":             {"does not fit: attribute hair_colour is not text"},
		"biometric_template_face": {"does not fit: attribute biometric_template_face is not base64"},
		"nationality":             {"does not fit: attribute nationality does not have the form that the format asks for"},
		"driving_privileges": {
			"does not fit: attribute driving_privileges[0].vehicle_category_code is required",
			"does not fit: attribute driving_privileges[0].issue_date is not a day as YYYY-MM-DD",
			"does not fit: attribute driving_privileges[0].codes is not a list",
			"does not fit: attribute driving_privileges[1] is not a map",
			"does not fit: attribute driving_privileges[2] is empty",
			"does not fit: attribute driving_privileges[3] has a field that the format does not have",
		},
	}
	for _, name := range []string{"age_in_years", "age_birth_year", "age_over_13", "age_over_16", "age_over_18", "age_over_21", "age_over_25",
		"age_over_60", "age_over_62", "age_over_65", "age_over_68"} {
		want[name] = want["birth_date"]
	}
	require.Equal(t, want, fields(t, err))
	require.NotContains(t, err.Error(), "canary")
	require.Equal(t, want, fields(t, f.Check(in.Person)), "the same is found at request time")
}

func TestAges(t *testing.T) {
	f := load(t, "iso-mdl")
	day := func(s string) time.Time {
		at, err := time.Parse(time.DateTime, s)
		require.NoError(t, err)
		return at
	}
	for _, c := range []struct {
		name   string
		born   domain.Date
		from   time.Time
		age    uint64
		over18 bool
	}{
		{"the day before", "2008-06-15", day("2026-06-14 23:59:59"), 17, false},
		{"the birthday", "2008-06-15", day("2026-06-15 00:00:00"), 18, true},
		{"the day after", "2008-06-15", day("2026-06-16 00:00:00"), 18, true},
		{"29 February, last of February of a common year", "2008-02-29", day("2026-02-28 23:59:59"), 17, false},
		{"29 February, 1 March of a common year", "2008-02-29", day("2026-03-01 00:00:00"), 18, true},
		{"29 February, leap year", "2008-02-29", day("2028-02-29 00:00:00"), 20, true},
		{"a zone ahead of UTC counts in UTC", "2008-06-15", day("2026-06-14 22:30:00").In(time.FixedZone("", 2*3600)), 17, false},
		{"new-born", "2026-06-15", day("2026-06-15 00:00:00"), 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := fullInput()
			in.Person.BirthDate, in.ValidFrom = c.born, c.from
			spaces, err := f.Build(in)
			require.NoError(t, err)
			got := values(spaces)
			require.Equal(t, c.age, got["age_in_years"])
			require.Equal(t, c.over18, got["age_over_18"])
			require.Equal(t, mdoc.NewFullDate(c.from.UTC()), got["issue_date"])
		})
	}
	t.Run("valid before birth", func(t *testing.T) {
		in := fullInput()
		in.Person.BirthDate = "2026-03-02"
		_, err := f.Build(in)
		require.Contains(t, fields(t, err), "age_in_years")
	})
}

func TestBuildRefusesTimesOutOfOrder(t *testing.T) {
	for name, spoil := range map[string]func(*format.Input){
		"no start":          func(in *format.Input) { in.ValidFrom = time.Time{} },
		"no signing time":   func(in *format.Input) { in.Signed = time.Time{} },
		"ends as it starts": func(in *format.Input) { in.ValidUntil = in.ValidFrom },
	} {
		t.Run(name, func(t *testing.T) {
			in := fullInput()
			spoil(&in)
			_, err := load(t, "iso-mdl").Build(in)
			require.Error(t, err)
			require.Equal(t, domain.CodeInternal, domain.CodeOf(err))
		})
	}
}

const everyType = `
id: every-type
version: 3
doc_type: org.example.every.1
digest_algorithm: SHA-512
status_bits: 2
validity: {expected_update_days: 30}
display:
  - {locale: en, name: Every type}
name_spaces:
  - name: a
    elements:
      - {identifier: text, type: tstr, max_length: 3, source: {attribute: text}, mandatory: true, display: {en: Text, fr-CH: Texte}}
      - {identifier: uint, type: uint, min: 1, max: 5, source: {attribute: uint}}
      - {identifier: int, type: int, min: -5, enum: [-5, 7], source: {attribute: int, else: {constant: 7}}}
      - {identifier: bool, type: bool, source: {attribute: bool}}
      - {identifier: bytes, type: bstr, max_length: 2, source: {attribute: bytes}}
      - {identifier: day, type: full-date, source: {attribute: day}}
      - {identifier: moment, type: tdate, source: {attribute: moment}}
      - {identifier: either, type: tdate-or-full-date, source: {attribute: either}}
      - {identifier: list, type: array, max_items: 2, items: {type: uint}, source: {attribute: list}}
      - {identifier: map, type: map, fields: [{name: z, type: int, mandatory: true}, {name: a, type: bool}], source: {attribute: map}}
      - {identifier: any, type: any, source: {attribute: any}}
  - name: b
    elements:
      - {identifier: text, type: tstr, source: {attribute: other}}
  - name: c
    elements:
      - {identifier: fixed, type: tstr, source: {constant: "DE"}}
      - {identifier: structure, type: array, items: {type: map, fields: [{name: n, type: uint}]}, source: {constant: [{n: 1}, {n: 2}]}}
      - {identifier: issued, type: tdate, source: {computed: issue_date}}
      - {identifier: issued_day, type: tdate-or-full-date, source: {computed: issue_date}}
      - {identifier: made, type: full-date, source: {computed: signing_date}}
`

func everyFormat(t testing.TB) *format.Format {
	t.Helper()
	f, err := format.Parse("every.yaml", []byte(everyType))
	require.NoError(t, err)
	return f
}

func TestValues(t *testing.T) {
	const bad = "does not fit: attribute "
	deep := any("x")
	for range 12 {
		deep = []any{deep}
	}
	for _, c := range []struct {
		element string
		raw     any
		want    any    // of the element, or nil
		problem string // after "does not fit: attribute <element>"
	}{
		{"text", "abc", "abc", ""},
		{"text", "äöü", "äöü", ""},
		{"text", "abcd", nil, " is longer than 3 characters"},
		{"text", "a\xff", nil, " is not valid UTF-8"},
		{"text", float64(1), nil, " is not text"},
		{"uint", float64(5), uint64(5), ""},
		{"uint", "1", uint64(1), ""},
		{"uint", json.Number("3"), uint64(3), ""},
		{"uint", "0", nil, " is below the lowest value of the format"},
		{"uint", float64(6), nil, " is above the highest value of the format"},
		{"uint", "18446744073709551615", nil, " is above the highest value of the format"},
		{"uint", 1.5, nil, " is not a whole number from 0 up"},
		{"uint", float64(-1), nil, " is not a whole number from 0 up"},
		{"uint", 1e30, nil, " is not a whole number from 0 up"},
		{"uint", true, nil, " is not a whole number from 0 up"},
		{"int", "-5", int64(-5), ""},
		{"int", "-6", nil, " is below the lowest value of the format"},
		{"int", "6", nil, " is not in the closed list of the format"},
		{"int", "x", nil, " is not a whole number"},
		{"int", nil, int64(7), ""},
		{"bool", "true", true, ""},
		{"bool", false, false, ""},
		{"bool", "yes", nil, " is neither true nor false"},
		{"bool", []any{}, nil, " is neither true nor false"},
		{"bytes", "AQI=", []byte{1, 2}, ""},
		{"bytes", "AQI", []byte{1, 2}, ""},
		{"bytes", "AQID", nil, " is longer than 2 bytes"},
		{"bytes", "A", nil, " is not base64"},
		{"bytes", float64(1), nil, " is not base64"},
		{"day", "2024-02-29", mdoc.FullDate("2024-02-29"), ""},
		{"day", "2023-02-29", nil, " is not a day as YYYY-MM-DD"},
		{"day", "2024-02-29T00:00:00Z", nil, " is not a day as YYYY-MM-DD"},
		{"day", float64(20240229), nil, " is not a day as YYYY-MM-DD"},
		{"moment", "2024-02-29T01:30:00.7+02:00", mdoc.TDate("2024-02-28T23:30:00Z"), ""},
		{"moment", "2024-02-29", nil, " is not a time as YYYY-MM-DDThh:mm:ssZ"},
		{"either", "2024-02-29", mdoc.FullDate("2024-02-29"), ""},
		{"either", "2024-02-29T01:30:00Z", mdoc.TDate("2024-02-29T01:30:00Z"), ""},
		{"either", "tomorrow", nil, " is neither a day as YYYY-MM-DD nor a time as YYYY-MM-DDThh:mm:ssZ"},
		{"list", []any{"1", float64(2)}, []any{uint64(1), uint64(2)}, ""},
		{"list", "[1,2]", []any{uint64(1), uint64(2)}, ""},
		{"list", "[1,2] x", nil, " is not a list"},
		{"list", "1,2", nil, " is not a list"},
		{"list", map[string]any{}, nil, " is not a list"},
		{"list", []any{"1", "2", "3"}, nil, " has more than 2 items"},
		{"list", []any{"1", ""}, nil, "[1] is empty"},
		{"map", map[string]any{"a": true, "z": "-1"}, mdoc.Map{{Key: "z", Value: int64(-1)}, {Key: "a", Value: true}}, ""},
		{"map", `{"z": 9}`, mdoc.Map{{Key: "z", Value: int64(9)}}, ""},
		{"map", map[string]any{"a": true}, nil, ".z is required"},
		{"map", map[string]any{"z": "1", "q": "1"}, nil, " has a field that the format does not have"},
		{"map", "x", nil, " is not a map"},
		{"any", "text", "text", ""},
		{"any", "12", "12", ""},
		{"any", float64(12), int64(12), ""},
		{"any", 1.25, 1.25, ""},
		{"any", true, true, ""},
		{"any", []any{"a", map[string]any{"b": float64(1), "a": false}},
			[]any{"a", mdoc.Map{{Key: "a", Value: false}, {Key: "b", Value: int64(1)}}}, ""},
		{"any", strings.Repeat("x", 151), nil, " is longer than 150 characters"},
		{"any", []any{nil}, nil, "[0] is of a type that a document cannot hold"},
		{"any", struct{}{}, nil, " is of a type that a document cannot hold"},
		{"any", deep, nil, strings.Repeat("[0]", 9) + " is nested too deeply"},
		{"any", make([]any, 1001), nil, " has more than 1000 items"},
	} {
		t.Run(fmt.Sprintf("%s %.20v", c.element, c.raw), func(t *testing.T) {
			f := everyFormat(t)
			in := format.Input{ValidFrom: from, ValidUntil: until, Signed: signed}
			in.Person.Attributes = map[string]any{"text": "ok", c.element: c.raw}
			spaces, err := f.Build(in)
			if c.problem != "" {
				name := c.element
				if name == "text" {
					name = "a/text" // the other name space has an element of this name too
				}
				require.Equal(t, map[string][]string{name: {bad + c.element + c.problem}}, fields(t, err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, values(spaces)[c.element])
			_, err = mdocBytes(spaces)
			require.NoError(t, err)
		})
	}
}

// mdocBytes encodes every value, so that the types are ones that package mdoc takes.
func mdocBytes(spaces []mdoc.NameSpace) (int, error) {
	size := 0
	for _, space := range spaces {
		for _, e := range space.Elements {
			encoded, err := mdoc.Map{{Key: e.Identifier, Value: e.Value}}.MarshalCBOR()
			if err != nil {
				return 0, err
			}
			size += len(encoded)
		}
	}
	return size, nil
}

func TestConstantsAndTimes(t *testing.T) {
	f := everyFormat(t)
	in := format.Input{ValidFrom: from, ValidUntil: until, Signed: signed}
	in.Person.Attributes = map[string]any{"text": "ok"}
	spaces, err := f.Build(in)
	require.NoError(t, err)
	require.Len(t, spaces, 2, "a name space without values is left out")
	require.Equal(t, "c", spaces[1].Name)
	require.Equal(t, map[string]any{
		"text": "ok", "int": int64(7), "fixed": "DE",
		"structure":  []any{mdoc.Map{{Key: "n", Value: uint64(1)}}, mdoc.Map{{Key: "n", Value: uint64(2)}}},
		"issued":     mdoc.TDate("2026-03-01T09:30:15Z"),
		"issued_day": mdoc.FullDate("2026-03-01"),
		"made":       mdoc.FullDate("2026-02-28"),
	}, values(spaces))

	at := f.ExpectedUpdate(signed, until)
	require.NotNil(t, at)
	require.Equal(t, signed.AddDate(0, 0, 30), *at)
	require.Nil(t, f.ExpectedUpdate(signed, signed.AddDate(0, 0, 30)), "no update is promised for after the end")
	require.Nil(t, load(t, "iso-mdl").ExpectedUpdate(signed, until))
}

func TestClaims(t *testing.T) {
	claims := everyFormat(t).Claims()
	require.Len(t, claims, 17)
	require.Equal(t, format.Claim{
		NameSpace: "a", Element: "text", Mandatory: true,
		Display: []format.Label{{Locale: "en", Name: "Text"}, {Locale: "fr-CH", Name: "Texte"}},
	}, claims[0])
	require.Equal(t, format.Claim{NameSpace: "c", Element: "made"}, claims[16])
}

// mandatoryMDL is the list of standards: ISO/IEC 18013-5 7.2.1.
var mandatoryMDL = []string{
	"family_name", "given_name", "birth_date", "issue_date", "expiry_date", "issuing_country", "issuing_authority", "document_number",
	"portrait", "driving_privileges", "un_distinguishing_sign",
}

func TestShippedFormats(t *testing.T) {
	registry, err := format.Load("")
	require.NoError(t, err)
	var ids []string
	for _, f := range registry.List() {
		ids = append(ids, f.ID)
		require.NotEmpty(t, f.Display)
		for _, claim := range f.Claims() {
			require.Len(t, claim.Display, len(f.Display), "%s has a name in every language of the format", claim.Element)
		}
	}
	require.Equal(t, shippedIDs, ids)

	mdl := load(t, "iso-mdl")
	require.Equal(t, "org.iso.18013.5.1.mDL", mdl.DocType)
	require.Equal(t, 1, mdl.StatusBits)
	require.Equal(t, mdoc.SHA256, mdl.DigestAlgorithm)
	require.Equal(t, 1, mdl.Version)
	var mandatory []string
	for _, claim := range mdl.Claims() {
		if claim.Mandatory {
			mandatory = append(mandatory, claim.Element)
		}
	}
	require.Equal(t, mandatoryMDL, mandatory)
}

func BenchmarkBuild(b *testing.B) {
	f := load(b, "iso-mdl")
	in := fullInput()
	for name := range in.Person.Attributes {
		if strings.HasPrefix(name, "resident_") || strings.HasPrefix(name, "biometric_") || strings.HasSuffix(name, "_character") {
			delete(in.Person.Attributes, name)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Build(in); err != nil {
			b.Fatal(err)
		}
	}
}
