package format_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/format"
)

// head is a faultless beginning of six lines; elements follow from line 9 on.
const head = `id: x
version: 1
doc_type: org.example.1
digest_algorithm: SHA-256
status_bits: 2
display: [{locale: en, name: X}]
name_spaces:
  - {name: org.example.1, elements: [{identifier: a, type: tstr, mandatory: true, source: {attribute: a}},
`

// element puts one element, in flow style, into the faultless file; it starts in line 9, column 1.
func element(text string) string { return head + text + "]}\n" }

func problems(t *testing.T, file string) []string {
	t.Helper()
	_, err := format.Parse("f.yaml", []byte(file))
	if err == nil {
		return nil
	}
	var e *format.ParseError
	require.ErrorAs(t, err, &e)
	require.Equal(t, "f.yaml", e.Name)
	require.NotEmpty(t, e.Problems)
	return strings.Split(e.Error(), "\n")
}

// types is the list that a problem with a type ends with.
const types = "tstr, uint, int, bool, bstr, full-date, tdate, tdate-or-full-date, array, map, any"

func TestParseProblems(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"faultless", element(`{identifier: b, type: uint, source: {attribute: b}}`), nil},
		{"empty", "", []string{"f.yaml:1:1: the file must hold exactly one YAML document"}},
		{"two documents", "a: 1\n---\nb: 1\n", []string{"f.yaml:1:1: the file must hold exactly one YAML document"}},
		{"a list", "- a\n", []string{"f.yaml:1:1: a format must be a map"}},
		{"an alias", "*a\n", []string{"f.yaml:1:1: a format must be a map"}},
		{"not YAML", "id: x\nversion: [1\n", []string{"f.yaml:2:10: not YAML: sequence end token ']' not found"}},
		{"too large", strings.Repeat("#", 256<<10+1), []string{"f.yaml:1:1: the file is larger than 262144 bytes"}},
		{"too many keys", strings.Repeat("a: b\n", 10001), []string{"f.yaml:1:1: the file has more than 30000 YAML tokens"}},
		{"too deep", "a: " + strings.Repeat("[", 17), []string{"f.yaml:1:20: is nested too deeply"}},
		{"too deep in a line", "- - - - - a", []string{"f.yaml:1:9: is nested too deeply"}},
		{"nothing there", "id: x\n", []string{
			"f.yaml:1:1: display is required",
			"f.yaml:1:1: version is required",
			"f.yaml:1:1: doc_type is required",
			"f.yaml:1:1: digest_algorithm is required",
			"f.yaml:1:1: status_bits is required",
			"f.yaml:1:1: name_spaces is required",
		}},
		{"every line wrong", `id: Not An Id
version: zero
doc_type: org.example.ü
digest_algorithm: MD5
status_bits: 3
validity: {expected_update_days: 0, more: 1}
colour: red
display:
  - locale: english language
    name: ""
    background_color: blue
  - just text
  - {locale: de, name: X}
  - {locale: de, name: X, text_color: "#12345"}
name_spaces:
  - name: org.exämple
    elements:
      - identifier: a
        type: text
      - type: tstr
        mandatory: yes
        source:
  - name: org.example
    elements: []
`, []string{
			`f.yaml:1:5: id must be 1 to 63 of a-z, 0-9 and dash, starting with a letter or digit`,
			`f.yaml:2:10: version must be a whole number from 1 to 1000000`,
			`f.yaml:3:11: doc_type must be 1 to 100 ASCII characters without spaces`,
			`f.yaml:4:19: digest_algorithm must be SHA-256, SHA-384 or SHA-512`,
			`f.yaml:5:14: status_bits must be a whole number from 1 to 2`,
			`f.yaml:6:34: expected_update_days must be a whole number from 1 to 3650`,
			`f.yaml:6:37: validity has no key "more"; its keys are expected_update_days`,
			`f.yaml:7:1: a format has no key "colour"; its keys are ` +
				`id, version, doc_type, display, digest_algorithm, status_bits, validity, name_spaces`,
			`f.yaml:9:13: locale must be a language tag such as en or de-CH`,
			`f.yaml:10:11: name is empty`,
			`f.yaml:11:23: background_color must be #rrggbb`,
			`f.yaml:12:5: an item of display must be a map`,
			`f.yaml:14:14: locale "de" occurs twice, first in line 13`,
			`f.yaml:14:39: text_color must be #rrggbb`,
			`f.yaml:16:11: name must be 1 to 100 ASCII characters without spaces`,
			`f.yaml:18:9: source is required`,
			`f.yaml:19:15: type "text" is not known; the types are ` + types,
			`f.yaml:20:9: identifier is required`,
			`f.yaml:21:20: mandatory must be true or false`,
			`f.yaml:22:9: source has no value`,
			`f.yaml:24:15: elements must be a list with at least one item`,
		}},
		{"mDL with two bits", strings.Replace(element(""), "org.example.1\ndigest", "org.iso.18013.5.1.mDL\ndigest", 1), []string{
			"f.yaml:5:14: status_bits of org.iso.18013.5.1.mDL must be 1: an mDL cannot be suspended (ISO/IEC 18013-5)",
		}},
		{"nothing mandatory", strings.Replace(element(""), "mandatory: true, ", "", 1), []string{
			"f.yaml:7:1: at least one element must be mandatory: a document cannot be empty",
		}},
		{"nothing mandatory, and more", strings.Replace(strings.Replace(element(`{identifier: b, type: odd, source: {attribute: b}}`),
			"mandatory: true, ", "", 1), "id: x", "id: X", 1), []string{
			"f.yaml:1:5: id must be 1 to 63 of a-z, 0-9 and dash, starting with a letter or digit",
			"f.yaml:7:1: at least one element must be mandatory: a document cannot be empty",
			`f.yaml:9:23: type "odd" is not known; the types are ` + types,
		}},
		{"no map, and nothing mandatory that could be read", strings.Replace(element(`just text`), "mandatory: true, ", "", 1), []string{
			"f.yaml:9:1: an element must be a map",
		}},
		{"no maps at all", strings.Replace(element(""), "[{locale: en, name: X}]", "[en]", 1) + "  - just text\n", []string{
			"f.yaml:6:11: an item of display must be a map",
			"f.yaml:10:5: an item of name_spaces must be a map",
		}},
		{"display of an element", element(`{identifier: b, type: tstr, source: {attribute: a}, display: B},
{identifier: c, type: tstr, source: {attribute: a}, display: {english language: C, de: "", fr: ` + strings.Repeat("x", 151) + `, it: 5}},
{identifier: d, type: tstr, source: {attribute: a}, display: }`), []string{
			"f.yaml:9:62: display must be a map",
			"f.yaml:10:63: locale must be a language tag such as en or de-CH",
			"f.yaml:10:88: de is empty",
			"f.yaml:10:96: fr must be UTF-8 text of at most 150 characters",
			"f.yaml:10:253: it must be text; put it in quotes",
			"f.yaml:11:53: display has no value",
		}},
		{"too many of everything", strings.Replace(element("{identifier: b, type: tstr, enum: ["+
			strings.Join(repeat(501, func(i int) string { return fmt.Sprintf("v%03d", i) }), ", ")+"], source: {attribute: a}}"),
			"[{locale: en, name: X}]", "["+strings.Join(repeat(51, func(i int) string {
				return fmt.Sprintf("{locale: en-%03d, name: X}", i)
			}), ", ")+"]", 1), []string{
			"f.yaml:6:1361: display has more than 50 items",
			"f.yaml:9:3036: enum has more than 500 items",
		}},
		{"what formats have no use for", element(`{identifier: b, type: int, enum: [*a, 1], source: {attribute: b}},
{identifier: c, type: map, fields: [just text, {name: a, type: any}], source: {constant: {a: *b}}},
{identifier: d, type: any, source: {constant: {1: b}}},
{identifier: e, type: any, source: {constant: }},
{identifier: ` + strings.Repeat("f", 70) + `, type: ` + strings.Repeat("odd", 30) + `, source: {attribute: a}}`), []string{
			"f.yaml:9:35: must be text, a number, true, false, a list or a map",
			"f.yaml:10:37: a field must be a map",
			"f.yaml:10:94: must be text, a number, true, false, a list or a map",
			"f.yaml:11:48: a key of the value must be plain text",
			"f.yaml:12:37: constant has no value",
			`f.yaml:13:92: type "` + strings.Repeat("odd", 20) + `…" is not known; the types are ` + types,
		}},
		{"pattern too long", element(`{identifier: b, type: tstr, pattern: ` + strings.Repeat("x", 501) + `, source: {attribute: a}}`), []string{
			"f.yaml:9:38: pattern is longer than 500 characters",
		}},
		{"attribute too long", element(`{identifier: b, type: tstr, source: {attribute: ` + strings.Repeat("x", 101) + `}}`), []string{
			"f.yaml:9:49: attribute must be a name of at most 100 characters without spaces",
		}},
		{"repeated key", "id: y\n" + element(""), []string{`f.yaml:2:1: key "id" occurs twice`}},
		{"repeated name space", element("") + "  - {name: org.example.1, elements: [{identifier: a, type: any, source: {attribute: b}}]}\n",
			[]string{
				`f.yaml:10:12: name space "org.example.1" occurs twice, first in line 8`,
			}},
		{"repeated element", element(`{identifier: a, type: tstr, source: {attribute: a}}`), []string{
			`f.yaml:9:14: element "a" occurs twice, first in line 8`,
		}},
		{"identifier not ASCII", element(`{identifier: größe, type: tstr, source: {attribute: a}}`), []string{
			"f.yaml:9:14: identifier must be 1 to 100 ASCII characters without spaces",
		}},
		{"identifier a number", element(`{identifier: 5, type: tstr, source: {attribute: a}}`), []string{
			"f.yaml:9:14: identifier must be text; put it in quotes",
		}},
		{"key a number", element(`{5: b, identifier: b, type: tstr, source: {attribute: a}}`), []string{
			"f.yaml:9:2: a key of an element must be plain text",
		}},
		{"anchor", element(`{identifier: b, type: tstr, source: &s {attribute: a}}`), []string{"f.yaml:9:37: source must be a map"}},
		{"tag", element(`{identifier: b, type: tstr, source: !!map {attribute: a}}`), []string{"f.yaml:9:37: source must be a map"}},
		{"no source", element(`{identifier: b, type: tstr, mandatory: true, source: {}}`), []string{
			"f.yaml:9:54: a source needs one of person, attribute, image, constant, computed, fields",
		}},
		{"two sources", element(`{identifier: b, type: tstr, source: {attribute: a, person: email}}`), []string{
			"f.yaml:9:52: a source is one of person, attribute, image, constant, computed, fields; this one has attribute and person",
		}},
		{"unknown source", element(`{identifier: b, type: tstr, source: {ldap: a}}`), []string{
			"f.yaml:9:37: a source needs one of person, attribute, image, constant, computed, fields",
			`f.yaml:9:38: source has no key "ldap"; its keys are person, attribute, image, constant, computed, fields, else`,
		}},
		{"else in else", element(`{identifier: b, type: tstr, source: {attribute: a, else: {attribute: b, else: {constant: c}}}}`), []string{
			`f.yaml:9:73: source has no key "else"; its keys are person, attribute, image, constant, computed, fields`,
		}},
		{"unknown person field", element(`{identifier: b, type: tstr, source: {person: shoe_size}}`), []string{
			`f.yaml:9:46: person has no field "shoe_size"; its fields are birth_date, email, external_id, family_name, given_name, group, ` +
				`language, logon_name, mobile`,
		}},
		{"person of another type", element(`{identifier: b, type: tstr, source: {person: birth_date}}`), []string{
			`f.yaml:9:46: person "birth_date" cannot be of type tstr`,
		}},
		{"unknown image", element(`{identifier: b, type: bstr, source: {image: thumb}}`), []string{
			"f.yaml:9:45: image must be portrait or signature",
		}},
		{"image as text", element(`{identifier: b, type: tstr, source: {image: portrait}}`), []string{
			`f.yaml:9:45: image "portrait" cannot be of type tstr`,
		}},
		{"attribute with a space", element(`{identifier: b, type: tstr, source: {attribute: shoe size}}`), []string{
			"f.yaml:9:49: attribute must be a name of at most 100 characters without spaces",
		}},
		{"unknown computation", element(`{identifier: b, type: uint, source: {computed: luck}}`), []string{
			`f.yaml:9:48: computed "luck" is not known; known are age_over(NN), age_birth_year, age_in_years, expiry_date, issue_date, ` +
				`portrait_capture_date, serial, signing_date`,
		}},
		{"age too high", element(`{identifier: b, type: bool, source: {computed: age_over(100)}}`), []string{
			"f.yaml:9:48: age_over takes an age from 0 to 99",
		}},
		{"age below 0", element(`{identifier: b, type: bool, source: {computed: age_over(-1)}}`), []string{
			"f.yaml:9:48: age_over takes an age from 0 to 99",
		}},
		{"age as number", element(`{identifier: b, type: uint, source: {computed: age_over(18)}}`), []string{
			`f.yaml:9:48: computed "age_over(18)" cannot be of type uint`,
		}},
		{"age under another name", element(`{identifier: age_over_18, type: bool, source: {computed: age_over(21)}}`), []string{
			"f.yaml:9:58: element age_over_18 cannot come from age_over(21)",
		}},
		{"constant of another type", element(`{identifier: b, type: full-date, source: {constant: 2020-02-30}}`), []string{
			"f.yaml:9:53: the constant is not a day as YYYY-MM-DD",
		}},
		{"constant alias", element(`{identifier: b, type: any, source: {constant: [*a]}}`), []string{
			"f.yaml:9:48: must be text, a number, true, false, a list or a map",
		}},
		{"empty constant", element(`{identifier: b, type: tstr, source: {constant: ""}}`), []string{"f.yaml:9:48: the constant is empty"}},
		{"closed list", element(`{identifier: b, type: uint, max: 3, enum: [1, 1, 4, "2", -1], source: {attribute: b}}`), []string{
			`f.yaml:9:47: value "1" occurs twice, first in line 9`,
			"f.yaml:9:50: the value of the closed list is above the highest value of the format",
			"f.yaml:9:53: the closed list of type uint holds numbers only",
			"f.yaml:9:58: the value of the closed list is not a whole number from 0 up",
		}},
		{"limits of another type", element(`{identifier: b, type: bool, min: 1, pattern: x, source: {attribute: b}}`), []string{
			"f.yaml:9:29: min does not go with type bool",
			"f.yaml:9:37: pattern does not go with type bool",
		}},
		{"limits", element(`{identifier: b, type: int, min: 2, max: 1, source: {attribute: b}},
{identifier: c, type: tstr, max_length: 151, pattern: "(", source: {attribute: b}}`), []string{
			"f.yaml:9:41: max is below min",
			"f.yaml:10:41: max_length must be a whole number from 1 to 150",
			"f.yaml:10:55: pattern is not a regular expression (RE2)",
		}},
		{"structures", element(`{identifier: b, type: array, source: {attribute: b}},
{identifier: c, type: map, fields: [{name: a, type: int}, {name: a, type: odd}, {name: d, type: array, items: {}}], source: {attribute: b}},
{identifier: d, type: array, items: {type: array, items: {type: int, source: 1}}, source: {constant: [[1]]}}`), []string{
			"f.yaml:9:1: items is required",
			`f.yaml:10:66: field "a" occurs twice, first in line 10`,
			`f.yaml:10:75: type "odd" is not known; the types are ` + types,
			"f.yaml:10:111: type is required",
			`f.yaml:11:70: items has no key "source"; its keys are type, enum, min, max, max_length, pattern, items, min_items, ` +
				`max_items, single, fields, min_fields`,
		}},
		{"limits of structures", element(`{identifier: b, type: array, min_items: 3, max_items: 2, single: maybe, items: {type: int}, source: {image: b}},
{identifier: c, type: map, min_fields: 2, fields: [{name: a, type: int}], source: {attribute: c}},
{identifier: d, type: tstr, min_items: 1, single: true, min_fields: 1, source: {attribute: d}},
{identifier: e, type: array, min_items: 2, items: {type: int}, source: {constant: [1]}},
{identifier: f, type: map, min_fields: 1, fields: [{name: a, type: int}], source: {constant: {}}}`), []string{
			"f.yaml:9:41: min_items must be a whole number from 1 to 2",
			"f.yaml:9:66: single must be true or false",
			"f.yaml:9:109: image must be portrait or signature",
			"f.yaml:10:40: min_fields must be a whole number from 1 to 1",
			"f.yaml:11:29: min_items does not go with type tstr",
			"f.yaml:11:43: single does not go with type tstr",
			"f.yaml:11:57: min_fields does not go with type tstr",
			"f.yaml:12:83: the constant has fewer than 2 items",
			"f.yaml:13:94: the constant has fewer than 1 fields",
		}},
		{"sources of fields", element(`{identifier: b, type: tstr, source: {fields: {a: {attribute: a}}}},
{identifier: c, type: map, fields: [{name: a, type: int, mandatory: true}, {name: d, type: full-date}], source: {fields: {
  b: {attribute: b}, d: {person: email}, d: {attribute: d}}}},
{identifier: e, type: map, fields: [{name: a, type: int}], source: {fields: {}}},
{identifier: f, type: map, fields: [{name: a, type: int}], source: {fields: [a]}},
{identifier: g, type: map, fields: [{name: a, type: int}], source: {fields: }},
{identifier: h, type: map, fields: [{name: a, type: int}, {name: age_over_18, type: bool}], source: {fields: {
  a: {constant: x, else: {attribute: a, else: {attribute: b}}}, age_over_18: {computed: age_over(21)}}}},
{identifier: i, type: odd, source: {fields: {a: {attribute: "a b"}, b: }}}`), []string{
			"f.yaml:9:38: fields cannot be of type tstr",
			`f.yaml:10:122: field "a" is mandatory and has no source`,
			`f.yaml:11:3: the map has no field "b"`,
			`f.yaml:11:34: person "email" cannot be of type full-date`,
			`f.yaml:11:42: key "d" occurs twice`,
			"f.yaml:12:77: fields is empty",
			"f.yaml:13:77: fields must be a map",
			"f.yaml:14:69: fields has no value",
			"f.yaml:16:17: the constant is not a whole number",
			`f.yaml:16:41: source has no key "else"; its keys are person, attribute, image, constant, computed, fields`,
			"f.yaml:16:89: element age_over_18 cannot come from age_over(21)",
			`f.yaml:17:23: type "odd" is not known; the types are ` + types,
			"f.yaml:17:61: attribute must be a name of at most 100 characters without spaces",
			"f.yaml:17:69: b has no value",
		}},
		{"structures too deep", element(`{identifier: b, type: array, source: {attribute: b}, ` + strings.Repeat("items: {type: array, ", 6) +
			`items: {type: int}` + strings.Repeat("}", 7)), []string{
			"f.yaml:9:187: arrays and maps are nested more than 6 deep",
		}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, problems(t, c.file)) })
	}
}

func repeat(n int, line func(int) string) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = line(i)
	}
	return lines
}

func TestParseStopsListing(t *testing.T) {
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "{identifier: e%d, type: array, items: {type: odd}, source: {constant: [1]}},\n", i)
	}
	listed := problems(t, element(b.String()))
	require.Len(t, listed, 101)
	require.Equal(t, "f.yaml: 200 more mistakes", listed[100])
}

func TestRegistry(t *testing.T) {
	faultless := element("")
	write := func(t *testing.T, files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		return dir
	}
	version := func(n string) string { return strings.Replace(faultless, "version: 1", "version: "+n, 1) }

	t.Run("latest version", func(t *testing.T) {
		registry, err := format.Load(write(t, map[string]string{"a.yaml": version("10"), "b.yaml": version("9"), "readme.txt": "x"}))
		require.NoError(t, err)
		f, ok := registry.Get("x")
		require.True(t, ok)
		require.Equal(t, 10, f.Version)
		f, ok = registry.GetVersion("x", 9)
		require.True(t, ok)
		require.Equal(t, 9, f.Version)
		_, ok = registry.GetVersion("x", 1)
		require.False(t, ok)
		_, ok = registry.Get("y")
		require.False(t, ok)
		var ids []string
		for _, f := range registry.List() {
			ids = append(ids, f.ID)
		}
		require.Equal(t, append(slices.Clone(shippedIDs), "x"), ids)
	})
	t.Run("every file is reported", func(t *testing.T) {
		dir := write(t, map[string]string{
			"a.yaml": faultless,
			"b.yaml": faultless,
			"c.yaml": strings.Replace(version("2"), "doc_type: org.example.1", "doc_type: org.example.2", 1),
			"d.yaml": strings.Replace(faultless, "status_bits: 2", "status_bits: 5", 1),
			"e.yaml": strings.Replace(faultless, "id: x", "id: iso-mdl", 1),
		})
		_, err := format.Load(dir)
		var e *format.ParseError
		require.ErrorAs(t, err, &e)
		require.Equal(t, []string{
			dir + "/b.yaml:2:10: version 1 of format x is already in " + dir + "/a.yaml",
			dir + "/c.yaml:3:11: format x has another doc_type in " + dir + "/a.yaml",
			dir + "/d.yaml:5:14: status_bits must be a whole number from 1 to 2",
			dir + "/e.yaml:2:10: version 1 of format iso-mdl is already in shipped:formats/iso-mdl-1.yaml",
		}, strings.Split(err.Error(), "\n"))
	})
	t.Run("single files", func(t *testing.T) {
		dir := write(t, map[string]string{"a.yml": faultless, "b.yaml": version("0"), "c.yaml": version("1")})
		file := func(name string) string { return filepath.Join(dir, name) }
		registry, err := format.LoadFiles(file("a.yml"))
		require.NoError(t, err)
		_, ok := registry.Get("x")
		require.True(t, ok)
		_, err = format.LoadFiles(file("a.yml"), file("b.yaml"), file("c.yaml"), file("none.yaml"))
		require.ErrorIs(t, err, os.ErrNotExist)
		require.Equal(t, []string{
			file("b.yaml") + ":2:10: version must be a whole number from 1 to 1000000",
			file("c.yaml") + ":2:10: version 1 of format x is already in " + file("a.yml"),
		}, strings.Split(err.Error(), "\n")[:2])
	})
	t.Run("shipped files", func(t *testing.T) {
		for _, id := range shippedIDs {
			name, data, err := format.ShippedFile(id)
			require.NoError(t, err)
			f, err := format.Parse(name, data)
			require.NoError(t, err)
			require.Equal(t, id, f.ID)
		}
		_, _, err := format.ShippedFile("x")
		require.Error(t, err)
	})
	t.Run("no such directory", func(t *testing.T) {
		_, err := format.Load(filepath.Join(t.TempDir(), "none"))
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("formats/*.yaml")
	require.NoError(f, err)
	require.NotEmpty(f, paths)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte(everyType))
	f.Add([]byte(element("{identifier: b, type: any, source: {constant: [{a: 1.5}]}}")))
	f.Add([]byte(composed))
	f.Add([]byte("? a\n: - b\n- &x !!str |\n  y\n<<: *x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := format.Parse("fuzz.yaml", data)
		if err != nil {
			var e *format.ParseError
			require.ErrorAs(t, err, &e)
			require.Nil(t, parsed)
			require.NotEmpty(t, e.Problems)
			for _, p := range e.Problems {
				require.Positive(t, p.Line)
				require.Positive(t, p.Column)
				require.NotEmpty(t, p.Message)
			}
			return
		}
		in := fullInput()
		preview, err := parsed.Preview(in)
		require.NoError(t, err)
		spaces, err := parsed.Build(in)
		require.Equal(t, err == nil, preview.OK(), "the preview finds problems where Build does")
		if err == nil {
			require.NotEmpty(t, spaces, "a format that parses makes no empty document")
			_, err = mdocBytes(spaces)
			require.NoError(t, err)
		}
	})
}

func TestDocumentedExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "formats.md"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "```yaml\n")
	require.True(t, found)
	example, _, found := strings.Cut(rest, "```")
	require.True(t, found)
	f, err := format.Parse("docs/formats.md", []byte(example))
	require.NoError(t, err)
	require.Equal(t, "library-card", f.ID)
	require.Len(t, f.Claims(), 5)
}
