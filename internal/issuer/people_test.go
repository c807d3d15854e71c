package issuer_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func TestPeople(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		p := issuertest.NewPerson()
		p.ExternalID, p.Mobile, p.Status = "E1", "079 123 45 67", ""
		created, err := f.Issuer.CreatePerson(ctx, f.Admin(), "", p)
		require.NoError(t, err)
		require.Equal(t, "+41791234567", created.Mobile, "E.164, with the country the server is in")
		require.Equal(t, domain.PersonActive, created.Status)
		require.Equal(t, 1, created.Version)
		require.Equal(t, p.Attributes, created.Attributes)

		head := f.AuditHead(t)
		_, err = f.Issuer.CreatePerson(ctx, f.Admin(), "", p)
		codeIs(t, domain.CodeConflict, err)
		bad := domain.Person{ExternalID: "E2", FamilyName: "A\x00", Email: "not an address", Mobile: "12", BirthDate: "tomorrow", Status: "lost"}
		_, err = f.Issuer.CreatePerson(ctx, f.Admin(), "", bad)
		codeIs(t, domain.CodeInvalid, err)
		require.ElementsMatch(t, []string{"given_name", "family_name", "email", "mobile", "birth_date", "status"}, fieldsOf(t, err))
		for _, value := range []string{"not an address", "tomorrow", "lost"} {
			require.NotContains(t, err.Error(), value)
		}

		changed := created
		changed.FamilyName, changed.Status = "Neumann", domain.PersonInactive
		updated, err := f.Issuer.UpdatePerson(ctx, f.Admin(), changed)
		require.NoError(t, err)
		require.Equal(t, 2, updated.Version)
		require.Equal(t, "Neumann", updated.FamilyName)
		require.Equal(t, created.CreatedAt, updated.CreatedAt)
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), changed)
		codeIs(t, domain.CodeConflict, err)
		require.Equal(t, "2", detail(t, err, "version"))
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), domain.Person{ID: "none", GivenName: "A", FamilyName: "B", Status: domain.PersonActive})
		codeIs(t, domain.CodeNotFound, err)
		bad.ID = created.ID
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), bad)
		codeIs(t, domain.CodeInvalid, err)
		other := issuertest.NewPerson()
		other, err = f.Issuer.CreatePerson(ctx, f.Admin(), "", other)
		require.NoError(t, err)
		other.ExternalID = "E1"
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), other)
		codeIs(t, domain.CodeConflict, err)
		require.Equal(t, head+2, f.AuditHead(t), "what was refused changed nothing")
		entries, err := f.Issuer.Audit(ctx, f.Admin(), issuer.AuditFilter{PersonID: created.ID}, 0, 0)
		require.NoError(t, err)
		require.Equal(t, map[string]domain.Change{"status": {Before: "active", After: "inactive"}}, entries[1].Changes)

		// Scope self sees and changes itself only.
		created, _, err = f.Issuer.ActivatePerson(ctx, f.Admin(), created.ID, "")
		require.NoError(t, err)
		self := f.Caller(t, "self", created.ID, issuertest.Grants{domain.PermPeopleRead: domain.ScopeSelf, domain.PermPeopleWrite: domain.ScopeSelf})
		_, err = f.Issuer.Person(ctx, self, other.ID)
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.UpdatePerson(ctx, self, other)
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.CreatePerson(ctx, self, "", p)
		codeIs(t, domain.CodeForbidden, err)
		people, err := f.Issuer.People(ctx, self, issuer.PersonFilter{}, "", "", 0)
		require.NoError(t, err)
		require.Len(t, people, 1)
		require.Equal(t, created.ID, people[0].ID)
		all, err := f.Issuer.People(ctx, f.Admin(), issuer.PersonFilter{FamilyName: "Neumann"}, "", "", 0)
		require.NoError(t, err)
		require.Len(t, all, 1)
		homeless := f.Caller(t, "homeless", "", issuertest.Grants{domain.PermPeopleRead: domain.ScopeSelf})
		people, err = f.Issuer.People(ctx, homeless, issuer.PersonFilter{}, "", "", 0)
		require.NoError(t, err)
		require.Empty(t, people)
	})
}

func jpegOf(t testing.TB, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, w, h)), nil))
	return b.Bytes()
}

// codestream is a grey JPEG 2000 picture of one tile, whose data say nothing.
func codestream(w, h uint32) []byte {
	b := []byte{0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0}
	for _, v := range []uint32{w + 3, h + 5, 3, 5, w + 3, h + 5, 0, 0} { // the picture lies at an offset
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = append(b, 0, 1, 7, 1, 1)                                            // one component of 8 bits
	b = append(b, 0xff, 0x52, 0, 12, 0, 0, 0, 1, 0, 0, 4, 4, 0, 1)          // coding style: no decomposition
	b = append(b, 0xff, 0x5c, 0, 4, 0x40, 0x40)                             // no quantization
	b = append(b, 0xff, 0x90, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x93, 0) // the tile, up to the end
	return append(b, 0xff, 0xd9)
}

func box(kind string, content []byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(content)+8)), kind...), content...)
}

// jp2 puts a codestream into a JP2 file; lengths 0 and 1 are the special forms of the last box.
func jp2(stream []byte, length uint32) []byte {
	b := append(box("jP  ", []byte{0x0d, 0x0a, 0x87, 0x0a}), box("ftyp", []byte("jp2 "))...)
	b = append(b, box("jp2h", nil)...)
	switch length {
	case 0:
		return append(append(b, 0, 0, 0, 0, 'j', 'p', '2', 'c'), stream...)
	case 1:
		b = append(b, 0, 0, 0, 1, 'j', 'p', '2', 'c')
		return append(binary.BigEndian.AppendUint64(b, uint64(len(stream)+16)), stream...)
	}
	return append(b, box("jp2c", stream)...)
}

func TestImages(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		p, err := f.Issuer.CreatePerson(ctx, f.Admin(), "", issuertest.NewPerson())
		require.NoError(t, err)
		var pngOf bytes.Buffer
		require.NoError(t, png.Encode(&pngOf, image.NewGray(image.Rect(0, 0, 16, 16))))
		good := jpegOf(t, 16, 16)
		huge := append([]byte(nil), good...) // the header says 65535 by 65535
		at := bytes.Index(huge, []byte{0xff, 0xc0})
		copy(huge[at+5:], []byte{0xff, 0xff, 0xff, 0xff})
		for name, c := range map[string]struct {
			b    []byte
			want string // media type; empty = refused
		}{
			"JPEG":                     {good, "image/jpeg"},
			"smallest":                 {jpegOf(t, 8, 8), "image/jpeg"},
			"largest":                  {jpegOf(t, 2048, 8), "image/jpeg"},
			"JPEG 2000 codestream":     {codestream(64, 80), "image/jp2"},
			"JP2":                      {jp2(codestream(64, 80), 9), "image/jp2"},
			"JP2, last box to the end": {jp2(codestream(64, 80), 0), "image/jp2"},
			"JP2, long box":            {jp2(codestream(64, 80), 1), "image/jp2"},
			"nothing":                  {nil, ""},
			"PNG":                      {pngOf.Bytes(), ""},
			"text":                     {[]byte("portrait"), ""},
			"JPEG cut short":           {good[:len(good)/2], ""},
			"JPEG header only":         {good[:at], ""},
			"JPEG too small":           {jpegOf(t, 7, 16), ""},
			"JPEG too wide":            {jpegOf(t, 2049, 8), ""},
			"JPEG of huge dimension":   {huge, ""},
			"JPEG of too many scans":   {append(append([]byte(nil), good[:len(good)-2]...), bytes.Repeat([]byte{0xff, 0xda, 0, 2}, 32)...), ""},
			"JPEG of more than 1 MiB":  {append(good, make([]byte, 1<<20)...), ""},
			"JPEG 2000 cut short":      {codestream(64, 80)[:24], ""},
			"JPEG 2000 without end":    {codestream(64, 80)[:len(codestream(64, 80))-2], ""},
			"JPEG 2000 too large":      {codestream(2049, 80), ""},
			"JPEG 2000 of no size":     {codestream(0, 0), ""},
			"JP2 without codestream":   {jp2(nil, 9)[:32], ""},
			"JP2 with a broken box":    {append(jp2(nil, 9)[:32], 0, 0, 0, 7, 'j', 'p', '2', 'c'), ""},
			"JP2 with a box too long":  {append(jp2(nil, 9)[:32], 0xff, 0, 0, 7, 'j', 'p', '2', 'c'), ""},
			"JP2 with a cut long box":  {append(jp2(nil, 9)[:32], 0, 0, 0, 1, 'j', 'p', '2', 'c'), ""},
		} {
			err := f.Issuer.PutImage(ctx, f.Admin(), domain.Image{PersonID: p.ID, Kind: domain.ImagePortrait, Bytes: c.b})
			if c.want == "" {
				codeIs(t, domain.CodeImageInvalid, err, name)
				require.Equal(t, []string{"portrait"}, fieldsOf(t, err), name)
				continue
			}
			require.NoError(t, err, name)
			im, err := f.Issuer.Image(ctx, f.Admin(), p.ID, domain.ImagePortrait)
			require.NoError(t, err)
			require.Equal(t, c.want, im.MediaType, name)
			require.Equal(t, c.b, im.Bytes, "kept as it came")
		}
		codeIs(t, domain.CodeInvalid, f.Issuer.PutImage(ctx, f.Admin(), domain.Image{PersonID: p.ID, Kind: "tattoo", Bytes: good}))
		codeIs(t, domain.CodeNotFound, f.Issuer.PutImage(ctx, f.Admin(), domain.Image{PersonID: "none", Kind: domain.ImagePortrait, Bytes: good}))
		_, err = f.Issuer.Image(ctx, f.Admin(), p.ID, domain.ImageSignature)
		codeIs(t, domain.CodeNotFound, err)
		reader := operator(t, f, "reader", domain.PermPeopleRead)
		codeIs(t, domain.CodeForbidden, f.Issuer.PutImage(ctx, reader, domain.Image{PersonID: p.ID, Kind: domain.ImagePortrait, Bytes: good}))

		// A JPEG 2000 portrait goes into a document as it is.
		stream := codestream(64, 80)
		require.NoError(t, f.Issuer.PutImage(ctx, f.Admin(), domain.Image{PersonID: p.ID, Kind: domain.ImagePortrait, Bytes: stream}))
		_, signed := issue(t, f, p, f.Profile(t, "mdl"), 1)
		require.Equal(t, stream, values(verify(t, f, signed[0]))["portrait"])
	})
}

func FuzzImages(f *testing.F) {
	fixture := issuertest.New(f, issuertest.Options{})
	p, err := fixture.Issuer.CreatePerson(f.Context(), fixture.Admin(), "", issuertest.NewPerson())
	require.NoError(f, err)
	for _, seed := range [][]byte{jpegOf(f, 16, 16), codestream(64, 80), jp2(codestream(9, 9), 0), jp2(codestream(9, 9), 1), jp2(nil, 9), {0xff, 0xd8}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := fixture.Issuer.PutImage(t.Context(), fixture.Admin(), domain.Image{PersonID: p.ID, Kind: domain.ImagePortrait, Bytes: b})
		if err != nil {
			codeIs(t, domain.CodeImageInvalid, err)
			return
		}
		im, err := fixture.Issuer.Image(t.Context(), fixture.Admin(), p.ID, domain.ImagePortrait)
		require.NoError(t, err)
		require.Equal(t, b, im.Bytes)
	})
}

var asCSV = issuer.ImportOptions{Format: issuer.ImportCSV}

// importAll imports the file as the administrator and gives its rows as importFile does.
func importAll(t testing.TB, f *issuertest.Fixture, file string) ([]string, []issuer.ImportRow, error) {
	t.Helper()
	return importFile(t, f, f.Admin(), asCSV, strings.NewReader(file))
}

func TestImport(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		portrait := base64.StdEncoding.EncodeToString(issuertest.Portrait())
		file := "\ufeffexternal_id,given_name,family_name,mobile,birth_date,status,portrait,attribute.sex,attribute.driving_privileges\r\n" +
			"E1,Ada,\"Love\nlace\",,,,,,\r\n" + // line 2: a line break in a name
			"E2,\"Grace \"\"G\"\"\",Hopper,079 123 45 67,1906-12-09,,'" + portrait + "',1,\r\n" + // 4: base64 with junk
			"E3,Grace,Hopper,079 123 45 67,1906-12-09,," + portrait + ",2,\"[{\"\"vehicle_category_code\"\":\"\"B\"\"}]\"\r\n" + // 5
			"E4,Short,Row\r\n" + // 6
			"E5,Long,Row,,,,,,,,\r\n" + // 7
			"\r\n" + // 8: empty lines do not count
			"E6,Bad\"quote,Row,,,,,,\r\n" + // 9
			"E7,\xff\xfe,Latin,,,,,,\r\n" + // 10
			"E8,,Nameless,x,31.12.1990,dead,AAAA,,\r\n" + // 11
			"E9,Json,Bad,,,,,,\"[1]]\"\r\n" + // 12
			"E3,Grace,Murray,,,,,,\r\n" + // 13: the same person again
			",No,Id,,,,,,\r\n" + // 14
			",No,Id,,,,,,\r\n" + // 15
			"E10,Last,\"Row,,,,,,\r\n" // 16: the quote is never closed
		short, rows, err := importAll(t, f, file)
		require.NoError(t, err)
		require.Equal(t, []string{
			"2 refused invalid family_name",
			"4 refused invalid portrait",
			"5 created",
			"6 refused invalid row",
			"7 refused invalid row",
			"9 refused invalid row",
			"10 refused invalid given_name",
			"11 refused invalid given_name,birth_date,status,mobile,portrait",
			"12 refused invalid attribute.driving_privileges",
			"13 updated",
			"14 created",
			"15 created",
			"16 refused invalid row",
		}, short)
		require.Equal(t, rows[2].PersonID, rows[9].PersonID)
		p, err := f.Issuer.Person(ctx, f.Admin(), rows[2].PersonID)
		require.NoError(t, err)
		require.Equal(t, "Murray", p.FamilyName)
		require.Empty(t, p.Mobile, "fields the file leaves empty are emptied")
		require.True(t, p.HasPortrait, "images it leaves out stay")
		require.Equal(t, 2, p.Version)
		all, err := f.Issuer.People(ctx, f.Admin(), issuer.PersonFilter{}, "", "", 0)
		require.NoError(t, err)
		require.Len(t, all, 3, "bad rows change nothing")

		// A file without a status column lets nobody in again.
		p.Status = domain.PersonInactive
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), p)
		require.NoError(t, err)
		short, _, err = importAll(t, f, "given_name,family_name,external_id\nGrace,Hopper,E3\n")
		require.NoError(t, err)
		require.Equal(t, []string{"2 updated"}, short)
		p, err = f.Issuer.Person(ctx, f.Admin(), p.ID)
		require.NoError(t, err)
		require.Equal(t, domain.PersonInactive, p.Status)
		_, _, err = importAll(t, f, "given_name,family_name,external_id,status\nGrace,Hopper,E3,active\n")
		require.NoError(t, err)
		entries, err := f.Issuer.Audit(ctx, f.Admin(), issuer.AuditFilter{PersonID: p.ID, Action: "person.update"}, 0, 0)
		require.NoError(t, err)
		require.Equal(t, map[string]domain.Change{"status": {Before: "inactive", After: "active"}}, entries[len(entries)-1].Changes)
		require.Equal(t, "import", entries[len(entries)-1].Channel)
	})
}

// A quote that is never closed makes one row of the rest of the file; it is not read into memory.
func TestImportStopsAtARowWithoutEnd(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	endless := io.MultiReader(strings.NewReader("given_name,family_name\nAda,Lace\nBo,\""), &filler{left: 1 << 40})
	rows := 0
	err := f.Issuer.ImportPeople(t.Context(), f.Admin(), endless, asCSV, func(issuer.ImportRow) error { rows++; return nil })
	codeIs(t, domain.CodeInvalid, err)
	require.Contains(t, err.Error(), "more than 4 MiB")
	require.Equal(t, 1, rows, "the good row before it is in")
}

// filler reads as many a's as it says, and no more than a little is ever asked for.
type filler struct{ left int64 }

func (f *filler) Read(p []byte) (int, error) {
	if f.left < 1<<40-8<<20 {
		return 0, errors.New("too much was read")
	}
	for i := range p {
		p[i] = 'a'
	}
	f.left -= int64(len(p))
	return len(p), nil
}

func TestImportHeaders(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	for name, file := range map[string]string{
		"empty": "", "no family name": "given_name\nA\n", "unknown column": "given_name,family_name,shoe_size\n",
		"twice": "given_name,family_name,email,email\n", "attribute without name": "given_name,family_name,attribute.\n",
		"not text": "\xff\xfe\x00g\n", "broken quoting": "given_name,\"family\n",
	} {
		rows, _, err := importAll(t, f, file)
		codeIs(t, domain.CodeInvalid, err, name)
		require.Empty(t, rows)
	}
	err := f.Issuer.ImportPeople(t.Context(), operator(t, f, "reader", domain.PermPeopleRead), strings.NewReader("x"), asCSV, nil)
	codeIs(t, domain.CodeForbidden, err)

	full := errors.New("the client left")
	seen := 0
	err = f.Issuer.ImportPeople(t.Context(), f.Admin(), strings.NewReader("given_name,family_name\nA,B\nC,D\n"), asCSV, func(issuer.ImportRow) error {
		seen++
		return full
	})
	require.ErrorIs(t, err, full)
	require.Equal(t, 1, seen)
	broken := errors.New("the file broke off")
	err = f.Issuer.ImportPeople(t.Context(), f.Admin(), &failing{"given_name,family_name\nA,B\n", broken}, asCSV, func(issuer.ImportRow) error { return nil })
	require.ErrorIs(t, err, broken)
}

// failing reads text and then err.
type failing struct {
	text string
	err  error
}

func (r *failing) Read(p []byte) (int, error) {
	if r.text == "" {
		return 0, r.err
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

func FuzzImport(f *testing.F) {
	fixture := issuertest.New(f, issuertest.Options{})
	for _, seed := range []string{"given_name,family_name\nA,B\n", "given_name,family_name,portrait\nA,B,\"x\ny\"\n", "\"", "a,b\n\xff,\"\"\"\n",
		"given_name,family_name,attribute.x,external_id\nA,B,\"[1]]\",E\n", "given_name,family_name,status\nA,B,\x00\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		short, rows, err := importAll(t, fixture, file)
		if err != nil {
			codeIs(t, domain.CodeInvalid, err)
		}
		for i, r := range rows {
			require.NotEqual(t, domain.CodeInternal, r.Code, short[i])
			require.Equal(t, r.Result == "refused", r.Code != "")
			require.Equal(t, r.Result == "refused", r.PersonID == "" || len(r.Problems) > 0)
			require.Greater(t, r.Line, 1)
		}
	})
}

// Two imports of one file at the same time: each person exists once.
func TestParallelImports(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		var file strings.Builder
		file.WriteString("external_id,given_name,family_name\n")
		for i := range 30 {
			fmt.Fprintf(&file, "E%d,A,B\n", i)
		}
		done := make(chan error, 2)
		for range 2 {
			go func() {
				done <- f.Issuer.ImportPeople(t.Context(), f.Admin(), strings.NewReader(file.String()), asCSV, func(r issuer.ImportRow) error {
					if r.Result == "refused" && r.Code != domain.CodeConflict {
						return fmt.Errorf("line %d: %s", r.Line, r.Code)
					}
					return nil
				})
			}()
		}
		for range 2 {
			select {
			case err := <-done:
				require.NoError(t, err)
			case <-time.After(30 * time.Second):
				t.Fatal("an import did not end")
			}
		}
		all, err := f.Issuer.People(t.Context(), f.Admin(), issuer.PersonFilter{}, "", "", 100)
		require.NoError(t, err)
		require.Len(t, all, 30)
	})
}
