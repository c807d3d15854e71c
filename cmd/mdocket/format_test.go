package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/format"
)

func formatFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const cardFormat = `id: card
version: 1
doc_type: org.example.card.1
digest_algorithm: SHA-256
status_bits: 2
display: [{locale: en, name: Card}]
name_spaces:
  - name: org.example.card.1
    elements:
      - {identifier: name, type: tstr, mandatory: true, source: {person: family_name}, display: {en: Name}}
      - {identifier: portrait, type: bstr, mandatory: true, source: {image: portrait}}
      - {identifier: mark, type: bstr, source: {image: signature}}
      - {identifier: numbers, type: array, items: {type: uint}, source: {attribute: numbers}}
`

func TestFormatList(t *testing.T) {
	t.Setenv("MDOCKET_FORMATS_DIR", "")
	code, out, errs := mdocket(t, "format", "list")
	require.Zero(t, code, errs)
	require.Equal(t, `aamva-mdl    version 1  org.iso.18013.5.1.mDL    Mobile driver's license
eu-pid       version 1  eu.europa.ec.eudi.pid.1  Personal ID
iso-mdl      version 1  org.iso.18013.5.1.mDL    Mobile driving licence
photo-id     version 1  org.iso.23220.photoID.1  Photo ID
staff-badge  version 1  org.mdocket.badge.1      Staff badge
`, out)

	t.Setenv("MDOCKET_FORMATS_DIR", filepath.Dir(formatFile(t, "card.yaml", cardFormat)))
	code, out, errs = mdocket(t, "format", "list")
	require.Zero(t, code, errs)
	require.Regexp(t, `(?m)^card +version 1  org\.example\.card\.1 +Card$`, out)

	t.Setenv("MDOCKET_FORMATS_DIR", filepath.Join(t.TempDir(), "missing"))
	code, _, errs = mdocket(t, "format", "list")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "load formats: ")
}

// An operator starts from a shipped format: the version must be raised, then the file is good.
func TestFormatShowAndCheck(t *testing.T) {
	code, shown, errs := mdocket(t, "format", "show", "eu-pid")
	require.Zero(t, code, errs)
	same := formatFile(t, "pid.yaml", shown)
	code, out, errs := mdocket(t, "format", "check", same)
	require.Equal(t, 1, code)
	require.Regexp(t, `^`+regexp.QuoteMeta(same)+`:\d+:10: version 1 of format eu-pid is already in shipped:formats/eu-pid-1\.yaml\n$`, out)
	require.Equal(t, "mdocket: the formats have 1 mistake(s)\n", errs)

	raised := formatFile(t, "pid.yaml", strings.Replace(shown, "version: 1\n", "version: 2\n", 1))
	code, out, errs = mdocket(t, "format", "check", raised)
	require.Zero(t, code, errs)
	require.Equal(t, raised+": OK\n", out)

	broken := formatFile(t, "broken.yaml", strings.NewReplacer("type: bstr", "type: bytes", "SHA-256", "MD5").Replace(cardFormat))
	code, out, errs = mdocket(t, "format", "check", raised, broken, broken+".none")
	require.Equal(t, 1, code)
	require.Equal(t, "mdocket: the formats have 4 mistake(s)\n", errs)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Equal(t, broken+":4:19: digest_algorithm must be SHA-256, SHA-384 or SHA-512", lines[0])
	require.Contains(t, lines[1], broken+`:11:38: type "bytes" is not known`)
	require.Contains(t, lines[2], broken+`:12:34: type "bytes" is not known`)
	require.Contains(t, lines[3], "open format: ")

	code, _, errs = mdocket(t, "format", "show", "none")
	require.Equal(t, 1, code)
	require.Equal(t, "mdocket: read format: \"none\" is not shipped\n", errs)
	for _, args := range [][]string{{"format", "check"}, {"format", "show"}, {"format", "preview"}, {"format", "draw"}} {
		code, _, errs = mdocket(t, args...)
		require.Equal(t, 2, code, errs)
	}
}

func TestFormatPreview(t *testing.T) {
	t.Setenv("MDOCKET_FORMATS_DIR", "")
	for _, id := range []string{"aamva-mdl", "eu-pid", "iso-mdl", "photo-id", "staff-badge"} {
		code, out, errs := mdocket(t, "format", "preview", id)
		require.Zero(t, code, errs)
		require.Contains(t, out, id+" version 1, docType ")
		require.Contains(t, out, "for the built-in sample person\n")
		require.Contains(t, out, `"Mustermann"`)
		require.NotContains(t, out, "left out")
		require.NotContains(t, out, "PROBLEM")
	}

	card := formatFile(t, "card.yaml", cardFormat)
	person := formatFile(t, "person.json", `{"family_name": "Muster", "status": "active", "attributes": {"numbers": ["one", -1]}}`)
	code, out, errs := mdocket(t, "format", "preview", card, "--person", person)
	require.Equal(t, 1, code)
	require.Equal(t, "mdocket: the document cannot be made: 2 data element(s) have problems\n", errs)
	require.Equal(t, `card version 1, docType org.example.card.1, for `+person+`

org.example.card.1
  name      Name  tstr           mandatory  "Muster"
  portrait        bstr           mandatory  PROBLEM: is required: person has no portrait
  mark            bstr           optional   (left out)
  numbers         array of uint  optional   PROBLEM: does not fit: attribute numbers[0] is not a whole number from 0 up
                                            PROBLEM: does not fit: attribute numbers[1] is not a whole number from 0 up
`, out)

	person = formatFile(t, "person.json", `{"family_name": "Muster", "attributes": {"numbers": "[1,2]"}}`)
	picture := formatFile(t, "picture.jpg", "\xff\xd8\xff\xe0")
	code, out, errs = mdocket(t, "format", "preview", card, "--person", person, "--portrait", picture, "--signature", picture, "--json")
	require.Zero(t, code, errs)
	var preview format.Preview
	require.NoError(t, json.Unmarshal([]byte(out), &preview))
	var values []string
	for _, e := range preview.Elements {
		values = append(values, e.Value)
	}
	require.Equal(t, []string{`"Muster"`, "jpeg, 4 bytes", "jpeg, 4 bytes", "[1, 2]"}, values)

	t.Setenv("MDOCKET_FORMATS_DIR", filepath.Dir(card))
	code, out, errs = mdocket(t, "format", "preview", "card", "--portrait", picture)
	require.Zero(t, code, errs)
	require.Contains(t, out, "jpeg, 4 bytes")
}

func TestFormatPreviewRefuses(t *testing.T) {
	t.Setenv("MDOCKET_FORMATS_DIR", "")
	good := formatFile(t, "person.json", "{}")
	person := func(text string) []string { return []string{"eu-pid", "--person", formatFile(t, "person.json", text)} }
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"an unknown format":        {[]string{"none"}, `read format: "none" is neither the id of a format nor a file`},
		"a folder":                 {[]string{t.TempDir()}, "read format: "},
		"a broken format":          {[]string{formatFile(t, "f.yaml", "id: 5\n")}, "f.yaml:1:5: id must be text; put it in quotes"},
		"no person":                {[]string{"eu-pid", "--person", "none.json"}, "read person: "},
		"no portrait":              {[]string{"eu-pid", "--person", good, "--portrait", "none.jpg"}, "read portrait: "},
		"an unknown field":         {person(`{"shoe_size": 42}`), `read person: json: unknown field "shoe_size"`},
		"no JSON":                  {person("Erika"), "read person: "},
		"a field of another type":  {person(`{"given_name": 1}`), "read person: "},
		"two people":               {person("{}{}"), "read person: "},
		"a person that is a novel": {person(strings.Repeat(" ", 8<<20+1)), "is larger than 8388608 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := mdocket(t, append([]string{"format", "preview"}, c.args...)...)
			require.Equal(t, 1, code)
			require.Empty(t, out)
			require.Contains(t, errs, c.want)
		})
	}
}
