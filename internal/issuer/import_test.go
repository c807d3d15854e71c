package issuer_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func encodeBase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// importFile imports as the caller and gives rows in short: "line result code field,field".
func importFile(t testing.TB, f *issuertest.Fixture, caller domain.Caller, o issuer.ImportOptions, file io.Reader) ([]string, []issuer.ImportRow, error) {
	t.Helper()
	var short []string
	var rows []issuer.ImportRow
	err := f.Issuer.ImportPeople(t.Context(), caller, file, o, func(r issuer.ImportRow) error {
		var fields []string
		for _, p := range r.Problems {
			fields = append(fields, p.Field)
		}
		short = append(short, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", r.Line, r.Result, r.Code, strings.Join(fields, ","))))
		rows = append(rows, r)
		return nil
	})
	return short, rows, err
}

// importNDJSON imports one person; a refusal is an error.
func importNDJSON(t *testing.T, f *issuertest.Fixture, row map[string]any) error {
	t.Helper()
	form, err := json.Marshal(row)
	require.NoError(t, err)
	_, rows, err := importFile(t, f, f.Admin(), issuer.ImportOptions{Format: issuer.ImportNDJSON}, bytes.NewReader(form))
	if err == nil && rows[0].Code != "" {
		err = fmt.Errorf("refused: %v", rows[0].Problems)
	}
	return err
}

func TestImportJSON(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		portrait := encodeBase64(issuertest.Portrait())
		person := `{"external_id": "J1", "logon_name": "ada", "given_name": "Ada", "family_name": "Love\nlace"}`
		rows := []string{
			person,
			`{"external_id":"J2","given_name":"Grace","family_name":"Hopper \"}{][,","mobile":"079 123 45 67","group":"Traffic/Licences",` +
				`"attributes":{"sex":2,"list":[{"a":[1,"]"]}]},"portrait":"` + portrait + `","status":"active","email":""}`,
			`{"external_id":"J3","given_name":"A","family_name":5,"shoe_size":43}`,
			`{"external_id":"J4","given_name":"A","family_name":"B","attributes":[1]}`,
			`{"external_id":"J5","given_name":"A","family_name":"B","portrait":"?"}`,
			`{"external_id":"J6","given_name":"A","family_name":"B","portrait":"AAAA","group":"No/Where"}`,
			`{"external_id":"J7","given_name":"A","family_name":"B","group":"No/Where"}`,
			`["given_name","A"]`, `null`, `"text"`, `12`, `{"given_name"}`, "{\"given_name\":\"\xff\"}",
			`{"external_id":"J8","given_name":"A","family_name":null}`,
			`{"external_id":"J8","given_name":"\u0000","family_name":"B"}`,
			`{"external_id":"J2","given_name":"Grace","family_name":"Murray"}`,
			`{"Given_Name":"A","family_name":"B"}`,
			`{}`,
		}
		want := []string{
			"refused invalid family_name", "created", "refused invalid family_name,row", "refused invalid attributes", "refused invalid portrait",
			"refused image_invalid portrait", "refused invalid group", "refused invalid row", "refused invalid row", "refused invalid row",
			"refused invalid row", "refused invalid row", "refused invalid row", "refused invalid family_name", "refused invalid given_name", "updated",
			"refused invalid row", "refused invalid given_name,family_name",
		}
		check := func(short []string, results []issuer.ImportRow, line func(i int) int, updated bool) {
			require.Len(t, short, len(want))
			for i, w := range want {
				if updated && w == "created" {
					w = "updated"
				}
				require.Equal(t, fmt.Sprintf("%d %s", line(i), w), short[i], rows[i])
			}
			p := readPerson(t, f, results[15].PersonID)
			require.Equal(t, results[1].PersonID, p.ID)
			require.Equal(t, "Murray", p.FamilyName)
			require.True(t, p.HasPortrait)
			require.Empty(t, p.Attributes, "what is left out is emptied")
			require.Empty(t, p.Group)
		}
		short, results, err := importFile(t, f, f.Admin(), issuer.ImportOptions{Format: issuer.ImportNDJSON},
			strings.NewReader("\ufeff"+strings.Join(rows, "\n\n")))
		require.NoError(t, err)
		check(short, results, func(i int) int { return 1 + 2*i }, false)
		short, results, err = importFile(t, f, f.Admin(), issuer.ImportOptions{Format: issuer.ImportJSON},
			strings.NewReader("\ufeff \n[\n "+strings.Join(rows, " ,\n ")+"\r\n]\n"))
		require.NoError(t, err)
		check(short, results, func(i int) int { return 3 + i }, true)
	})
}

func TestImportJSONFiles(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	const row = `{"given_name":"A","family_name":"B"}`
	long := `{"given_name":"` + strings.Repeat("a", 4<<20) + `"}`
	for name, c := range map[string]struct {
		format issuer.ImportFormat
		file   string
		rows   int
		good   bool
	}{
		"empty list":           {issuer.ImportJSON, " [ ] ", 0, true},
		"rows":                 {issuer.ImportJSON, "[" + row + "," + row + "]", 2, true},
		"empty":                {issuer.ImportJSON, "", 0, false},
		"object":               {issuer.ImportJSON, row, 0, false},
		"CSV":                  {issuer.ImportJSON, "given_name,family_name\n", 0, false},
		"not closed":           {issuer.ImportJSON, "[" + row, 1, false},
		"ends in a row":        {issuer.ImportJSON, "[" + row + `,{"given_name": "A`, 1, false},
		"ends after a comma":   {issuer.ImportJSON, "[" + row + ",", 1, false},
		"no comma":             {issuer.ImportJSON, "[" + row + row + "]", 1, false},
		"comma too many":       {issuer.ImportJSON, "[" + row + ",]", 1, false},
		"goes on":              {issuer.ImportJSON, "[" + row + "] x", 1, false},
		"row too long":         {issuer.ImportJSON, "[" + row + "," + long + "]", 1, false},
		"NDJSON empty":         {issuer.ImportNDJSON, "\n\r\n", 0, true},
		"NDJSON":               {issuer.ImportNDJSON, row + "\r\n" + row, 2, true},
		"NDJSON line too long": {issuer.ImportNDJSON, row + "\n" + long, 1, false},
		"unknown format":       {"xml", row, 0, false},
	} {
		_, rows, err := importFile(t, f, f.Admin(), issuer.ImportOptions{Format: c.format}, strings.NewReader(c.file))
		if c.good {
			require.NoError(t, err, name)
		} else {
			codeIs(t, domain.CodeInvalid, err, name)
		}
		require.Len(t, rows, c.rows, name)
		for _, r := range rows {
			require.Equal(t, "created", r.Result, name)
		}
	}
	for format, file := range map[issuer.ImportFormat]string{issuer.ImportJSON: "[" + row + "," + row[:20], issuer.ImportNDJSON: row + "\n" + row} {
		broken := errors.New("the file broke off")
		short, _, err := importFile(t, f, f.Admin(), issuer.ImportOptions{Format: format}, &failing{file, broken})
		require.ErrorIs(t, err, broken)
		require.Equal(t, []string{"1 created"}, short, "what came whole is in")
	}
}

func FuzzImportJSON(f *testing.F) {
	fixture := issuertest.New(f, issuertest.Options{})
	for _, seed := range []string{`[{"given_name":"A","family_name":"B"}]`, `[{"given_name":"A","family_name":"B","attributes":{"a":[1]}},]`, `[1,"]",{]`,
		"[\"\\\"\"", `{}`, "\ufeff[]", `[{"portrait":"AAAA","given_name":"\u0000"}] x`} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, file string, list bool) {
		o := issuer.ImportOptions{Format: issuer.ImportNDJSON}
		if list {
			o.Format = issuer.ImportJSON
		}
		short, rows, err := importFile(t, fixture, fixture.Admin(), o, strings.NewReader(file))
		if err != nil {
			codeIs(t, domain.CodeInvalid, err)
		}
		if list && err == nil && !json.Valid([]byte(strings.TrimPrefix(file, "\ufeff"))) {
			for _, r := range rows {
				if r.Result == "refused" {
					return // a bad element spoils no other
				}
			}
			t.Fatal("what is not JSON was read without any refusal")
		}
		for i, r := range rows {
			require.NotEqual(t, domain.CodeInternal, r.Code, short[i])
			require.Equal(t, r.Result == "refused", r.Code != "")
			require.Positive(t, r.Line)
		}
	})
}

// TestImportChunks puts what the database refuses into the middle of rows that are stored together: only that row is refused.
func TestImportChunks(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		taken := f.Person(t, func(p *domain.Person) { p.LogonName = "Taken" })
		var file strings.Builder
		file.WriteString("external_id,given_name,family_name,logon_name,group\n")
		for i := range 250 {
			logon, group := fmt.Sprintf("user%d", i), ""
			switch i {
			case 130:
				logon = "TAKEN"
			case 140:
				logon = "user139"
			case 150:
				group = "No/Where"
			}
			fmt.Fprintf(&file, "C%d,A,B,%s,%s\n", i%240, logon, group)
		}
		short, rows, err := importFile(t, f, f.Admin(), asCSV, strings.NewReader(file.String()))
		require.NoError(t, err)
		require.Len(t, rows, 250)
		for i, r := range rows {
			require.Equal(t, i+2, r.Line)
			switch {
			case i == 130 || i == 140:
				require.Equal(t, fmt.Sprintf("%d refused conflict logon_name", i+2), short[i])
			case i == 150:
				require.Equal(t, fmt.Sprintf("%d refused invalid group", i+2), short[i])
			case i >= 240:
				require.Equal(t, "updated", r.Result)
				require.Equal(t, rows[i-240].PersonID, r.PersonID)
			default:
				require.Equal(t, "created", r.Result)
			}
		}
		require.Equal(t, taken, readPerson(t, f, taken.ID))
		people, err := f.Issuer.People(t.Context(), f.Admin(), issuer.PersonFilter{ExternalID: "C*"}, "", "", 500)
		require.NoError(t, err)
		require.Len(t, people, 237)
	})
}

func TestImportMakesGroups(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		file := "given_name,family_name,group\nA,B,Traffic/New/Deep\nA,B,Traffic/New\nA,B,Fresh\nA,B,Fresh//x\nA,B,/Fresh\nA,B,Fresh/ x\nA,B,\n" +
			"A,,Not/Made\n"
		head := f.AuditHead(t)
		short, _, err := importFile(t, f, f.Admin(), asCSV, strings.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, []string{"2 refused invalid group", "3 refused invalid group", "4 refused invalid group", "5 refused invalid group",
			"6 refused invalid group", "7 refused invalid group", "8 created", "9 refused invalid family_name"}, short)
		require.Equal(t, head+1, f.AuditHead(t))

		o := issuer.ImportOptions{Format: issuer.ImportCSV, CreateGroups: true}
		for _, grants := range []issuertest.Grants{issuertest.All(domain.PermPeopleWrite),
			{domain.PermPeopleWrite: domain.ScopeAll, domain.PermGroups: domain.ScopeDivision}} {
			caller := f.Caller(t, fmt.Sprintf("caller-%d", len(grants)), f.Person(t).ID, grants)
			_, rows, err := importFile(t, f, caller, o, strings.NewReader(file))
			codeIs(t, domain.CodeForbidden, err)
			require.Empty(t, rows)
		}
		short, rows, err := importFile(t, f, f.Admin(), o, strings.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, []string{"2 created", "3 created", "4 created", "5 refused invalid group", "6 refused invalid group",
			"7 refused invalid group", "8 created", "9 refused invalid family_name"}, short)
		require.Equal(t, "Traffic/New/Deep", readPerson(t, f, rows[0].PersonID).Group)
		all, err := f.Issuer.Groups(ctx, f.Admin(), false)
		require.NoError(t, err)
		require.Equal(t, []string{"Fresh", "Traffic", "Traffic/Licences", "Traffic/New", "Traffic/New/Deep"}, pathsOf(all))
		entries, err := f.Issuer.Audit(ctx, f.Admin(), issuer.AuditFilter{Action: "group.create"}, 0, 0)
		require.NoError(t, err)
		require.Equal(t, "import", entries[len(entries)-1].Channel)
	})
}

// TestImportWithinScope: below scope all, an import makes and changes people of the own groups only; of others it says no more than that an
// id is taken.
func TestImportWithinScope(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		f.Group(t, "Top/Own/Below")
		f.Group(t, "Top/Beside")
		f.Person(t, func(p *domain.Person) { p.ExternalID, p.Group = "IN", "Top/Own/Below" })
		out := f.Person(t, func(p *domain.Person) { p.ExternalID, p.Group, p.LogonName = "OUT", "Top/Beside", "out" })
		division := officer(t, f, "division", "Top/Own", domain.ScopeDivision, domain.PermPeopleWrite)
		file := "external_id,given_name,family_name,logon_name,group\n" +
			"IN,A,B,,Top/Own\n" +
			"OUT,A,B,,Top/Own\n" +
			"OUT,A,B,,Top/Beside\n" +
			"N1,A,B,out,Top/Own\n" +
			"N2,A,B,,Top/Beside\n" +
			"N3,A,B,,Top\n" +
			"N4,A,B,,\n" +
			"N5,A,B,,Top/Own/Below\n" +
			"IN,A,B,,Top/Beside\n" +
			"IN,A,B,,\n"
		short, _, err := importFile(t, f, division, asCSV, strings.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, []string{"2 updated", "3 refused conflict external_id", "4 refused conflict external_id", "5 refused conflict logon_name",
			"6 refused invalid group", "7 refused invalid group", "8 refused invalid group", "9 created", "10 refused invalid group",
			"11 refused invalid group"}, short)
		require.Equal(t, out, readPerson(t, f, out.ID))
		for _, grants := range []issuertest.Grants{{domain.PermPeopleWrite: domain.ScopeSelf}, {domain.PermPeopleWrite: domain.ScopeNone}} {
			caller := f.Caller(t, fmt.Sprint("caller-", grants[domain.PermPeopleWrite]), f.Person(t).ID, grants)
			_, _, err := importFile(t, f, caller, asCSV, strings.NewReader(file))
			codeIs(t, domain.CodeForbidden, err)
		}
	})
}
