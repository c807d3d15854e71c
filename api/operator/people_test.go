package operator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func fullPerson() map[string]any {
	return map[string]any{"external_id": "E-1", "logon_name": "ada", "given_name": "Ada", "family_name": "Beispiel",
		"email":  "ada@holder.example",
		"mobile": "079 123 45 68", "birth_date": "1985-12-10", "group": "Traffic/Licences", "language": "de-CH", "status": "active",
		"max_expiry": "2040-01-01", "external_mobile_id": "mdm-1",
		"attributes": map[string]any{"sex": 2, "nested": map[string]any{"list": []any{"a", true}}}}
}

func TestPersonLife(t *testing.T) {
	s := newServer(t)
	a := s.call(t, s.admin, http.MethodPost, "/v1/people", fullPerson())
	person := a.object(t, http.StatusCreated)
	id := text(t, person, "id")
	require.Equal(t, "/v1/people/"+id, a.header.Get("Location"))
	for member, want := range fullPerson() {
		switch member {
		case "mobile":
			require.Equal(t, "+41791234568", person[member])
		case "attributes":
			require.Equal(t, map[string]any{"sex": 2.0, "nested": map[string]any{"list": []any{"a", true}}}, person[member])
		default:
			require.Equal(t, want, person[member])
		}
	}
	require.Equal(t, person, s.call(t, s.admin, http.MethodGet, "/v1/people/"+id, nil).object(t, http.StatusOK))

	change := map[string]any{"given_name": "Ada", "family_name": "Neu", "status": "inactive", "version": person["version"]}
	changed := s.call(t, s.admin, http.MethodPut, "/v1/people/"+id, change).object(t, http.StatusOK)
	require.Equal(t, "Neu", changed["family_name"])
	require.Equal(t, "inactive", changed["status"])
	require.NotContains(t, changed, "email", "what is left out is emptied")
	require.Equal(t, 2.0, changed["version"])
	s.changesNothing(t, func() {
		p := s.call(t, s.admin, http.MethodPut, "/v1/people/"+id, change).refused(t, domain.CodeConflict)
		require.Equal(t, "2", p.Details["version"])
	})
}

func TestPeopleInPagesAndSearch(t *testing.T) {
	s := newServer(t)
	var made []string
	for i := range 5 {
		p := s.Person(t, func(p *domain.Person) {
			p.ExternalID, p.FamilyName = fmt.Sprintf("X-%d", i), fmt.Sprintf("Name%d", i%2)
			if i == 4 {
				p.Status = domain.PersonInactive
			}
		})
		made = append([]string{p.ID}, made...)
	}
	var got []string
	after := ""
	for range 3 {
		a := s.call(t, s.admin, http.MethodGet, "/v1/people?limit=2&after="+after, nil)
		for _, p := range a.items(t) {
			got = append(got, text(t, p, "id"))
		}
		after, _ = a.object(t, http.StatusOK)["next"].(string)
	}
	require.Equal(t, made, got)
	require.Empty(t, after)
	require.Len(t, s.call(t, s.admin, http.MethodGet, "/v1/people?status=inactive", nil).items(t), 1)
	for _, c := range []struct {
		by   map[string]any
		want int
	}{
		{map[string]any{"external_id": "X-3"}, 1},
		{map[string]any{"family_name": "Name0"}, 3},
		{map[string]any{"family_name": "Name0", "status": "active"}, 2},
		{map[string]any{"email": "erika@holder.example", "limit": 4}, 4},
		{map[string]any{"email": "else@holder.example"}, 0},
		{map[string]any{"family_name": "name*"}, 5},
		{map[string]any{"given_name": "ERIKA", "family_name": "name1"}, 2},
		{map[string]any{"group": "Traffic", "groups_below": true}, 5},
		{map[string]any{"group": "Traffic"}, 0},
		{map[string]any{"mobile": "+41 79*", "birth_date": "1990-03-01"}, 5},
		{map[string]any{"id": made[2], "data_approved": false}, 1},
		{map[string]any{"max_expiry_until": "2040-01-01"}, 0},
		{map[string]any{"logon_name": "x", "external_mobile_id": "y"}, 0},
		{map[string]any{"after": made[3]}, 1},
	} {
		require.Len(t, s.call(t, s.admin, http.MethodPost, "/v1/people/search", c.by).items(t), c.want, "%v", c.by)
	}
}

func TestBadSearches(t *testing.T) {
	s := newServer(t)
	for name, c := range map[string]struct {
		body  map[string]any
		field string
	}{
		"no such group":   {map[string]any{"group": "No/Where"}, "group"},
		"below nothing":   {map[string]any{"groups_below": true}, "group"},
		"day":             {map[string]any{"birth_date": "10.12.1985"}, "birth_date"},
		"other day":       {map[string]any{"max_expiry_until": "soon"}, "max_expiry_until"},
		"status":          {map[string]any{"status": "gone"}, "status"},
		"mobile":          {map[string]any{"mobile": "12"}, "mobile"},
		"mobile's start":  {map[string]any{"mobile": "079*"}, "mobile"},
		"approved":        {map[string]any{"data_approved": "yes"}, "data_approved"},
		"unknown field":   {map[string]any{"shoe_size": "43"}, "shoe_size"},
		"page":            {map[string]any{"after": "x"}, "after"},
		"too many":        {map[string]any{"limit": 501}, "limit"},
		"not text":        {map[string]any{"family_name": 5}, "family_name"},
		"list, not field": {map[string]any{"id": []string{nobody}}, "id"},
	} {
		p := s.call(t, s.admin, http.MethodPost, "/v1/people/search", c.body).refused(t, domain.CodeInvalid)
		require.Equal(t, c.field, p.Errors[0].Field, name)
	}
	for _, query := range []string{"group_id=" + nobody, "data_approved=maybe", "groups_below=true", "group=Traffic", "family_name=x", "status=gone"} {
		s.call(t, s.admin, http.MethodGet, "/v1/people?"+query, nil).refused(t, domain.CodeInvalid)
	}
}

func TestBadPeople(t *testing.T) {
	s := newServer(t)
	taken := s.Person(t, func(p *domain.Person) { p.ExternalID = "TAKEN" })
	with := func(member string, value any) map[string]any {
		p := fullPerson()
		p[member] = value
		return p
	}
	for name, c := range map[string]struct {
		body  map[string]any
		code  domain.Code
		field string
	}{
		"no given name":      {with("given_name", ""), domain.CodeInvalid, "given_name"},
		"name not text":      {with("family_name", 5), domain.CodeInvalid, "family_name"},
		"name too long":      {with("family_name", strings.Repeat("ä", 151)), domain.CodeInvalid, "family_name"},
		"line feed":          {with("group", "a\nb"), domain.CodeInvalid, "group"},
		"no such group":      {with("group", "No/Where"), domain.CodeInvalid, "group"},
		"e-mail":             {with("email", "ada"), domain.CodeInvalid, "email"},
		"mobile":             {with("mobile", "12"), domain.CodeInvalid, "mobile"},
		"birth date":         {with("birth_date", "10.12.1985"), domain.CodeInvalid, "birth_date"},
		"impossible day":     {with("max_expiry", "2030-02-30"), domain.CodeInvalid, "max_expiry"},
		"status":             {with("status", "retired"), domain.CodeInvalid, "status"},
		"attributes no list": {with("attributes", []any{}), domain.CodeInvalid, "attributes"},
		"attribute name":     {with("attributes", map[string]any{"a b": 1}), domain.CodeInvalid, "attributes"},
		"external id taken":  {with("external_id", taken.ExternalID), domain.CodeConflict, ""},
		"id given":           {with("id", nobody), domain.CodeInvalid, "id"},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				p := s.call(t, s.admin, http.MethodPost, "/v1/people", c.body).refused(t, c.code)
				if c.field != "" {
					require.Equal(t, c.field, p.Errors[0].Field)
				}
				c.body["version"] = taken.Version
				if name == "external id taken" {
					return
				}
				s.call(t, s.admin, http.MethodPut, "/v1/people/"+taken.ID, c.body).refused(t, c.code)
			})
		})
	}
	t.Run("every problem at once", func(t *testing.T) {
		p := s.call(t, s.admin, http.MethodPost, "/v1/people", map[string]any{"given_name": " ", "family_name": "", "email": "x", "mobile": "x"}).
			refused(t, domain.CodeInvalid)
		require.Len(t, p.Errors, 4)
	})
	t.Run("change without version", func(t *testing.T) {
		p := s.call(t, s.admin, http.MethodPut, "/v1/people/"+taken.ID, fullPerson()).refused(t, domain.CodeInvalid)
		require.Equal(t, "version", p.Errors[0].Field)
	})
}

func TestIdempotentCreation(t *testing.T) {
	s := newServer(t)
	person, profile := s.Person(t), s.Profile(t, "mdl")
	other := s.Token(t, s.Caller(t, "other-admin", "", issuertest.All(domain.Permissions()...)))
	for path, c := range map[string]struct{ body, different map[string]any }{
		"/v1/people":   {personBody(), fullPerson()},
		"/v1/accounts": {map[string]any{"name": "acc1"}, map[string]any{"name": "acc2"}},
		"/v1/roles":    {map[string]any{"name": "role1", "permissions": []string{}}, map[string]any{"name": "role2", "permissions": []string{}}},
		"/v1/profiles": {profileBody("prof1"), profileBody("prof2")},
		"/v1/requests": {map[string]any{"person_id": person.ID, "profile_id": profile.ID},
			map[string]any{"person_id": person.ID, "profile_id": profile.ID, "expiry_date": "2027-01-01"}},
	} {
		t.Run(path, func(t *testing.T) {
			key := []string{"Idempotency-Key", "key-for" + path}
			first := s.call(t, s.admin, http.MethodPost, path, c.body, key...).object(t, http.StatusCreated)
			s.changesNothing(t, func() {
				again := s.call(t, s.admin, http.MethodPost, path, c.body, key...).object(t, http.StatusCreated)
				require.Equal(t, first, again)
				s.call(t, s.admin, http.MethodPost, path, c.different, key...).refused(t, domain.CodeIdempotencyReused)
			})
			// Keys are each caller's own.
			s.call(t, other, http.MethodPost, path, c.different, key...).object(t, http.StatusCreated)
		})
	}
}

func TestImages(t *testing.T) {
	s := newServer(t)
	person := s.call(t, s.admin, http.MethodPost, "/v1/people", personBody()).object(t, http.StatusCreated)
	path := "/v1/people/" + text(t, person, "id") + "/images/"
	s.call(t, s.admin, http.MethodGet, path+"portrait", nil).refused(t, domain.CodeNotFound)
	a := s.call(t, s.admin, http.MethodPut, path+"portrait?captured_at=2026-01-02T03:04:05Z", issuertest.Portrait(), "Content-Type",
		"image/jpeg")
	require.Equal(t, http.StatusNoContent, a.status, string(a.body))
	got := s.call(t, s.admin, http.MethodGet, path+"portrait", nil)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "image/jpeg", got.header.Get("Content-Type"))
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.Equal(t, issuertest.Portrait(), got.body)
	require.Equal(t, true, s.call(t, s.admin, http.MethodGet, "/v1/people/"+text(t, person, "id"), nil).object(t,
		http.StatusOK)["has_portrait"])

	for name, c := range map[string]struct {
		path, mediaType string
		body            []byte
		code            domain.Code
	}{
		"not a picture":    {path + "portrait", "image/jpeg", []byte("hello"), domain.CodeImageInvalid},
		"cut off":          {path + "portrait", "image/jpeg", issuertest.Portrait()[:200], domain.CodeImageInvalid},
		"empty":            {path + "portrait", "image/jpeg", []byte{}, problem.CodeMalformed},
		"other media type": {path + "portrait", "image/png", issuertest.Portrait(), problem.CodeUnsupportedMediaType},
		"no media type":    {path + "portrait", "", issuertest.Portrait(), problem.CodeUnsupportedMediaType},
		"too large":        {path + "portrait", "image/jpeg", bytes.Repeat([]byte{1}, 1<<20+1), problem.CodeTooLarge},
		"largest":          {path + "portrait", "image/jpeg", bytes.Repeat([]byte{1}, 1<<20), domain.CodeImageInvalid},
		"unknown kind":     {path + "thumb", "image/jpeg", issuertest.Portrait(), domain.CodeInvalid},
		"captured at":      {path + "portrait?captured_at=yesterday", "image/jpeg", issuertest.Portrait(), domain.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				s.call(t, s.admin, http.MethodPut, c.path, c.body, "Content-Type", c.mediaType).refused(t, c.code)
			})
		})
	}
}

// importLine is one line of an import's answer.
type importLine struct {
	Line     int             `json:"line"`
	Result   string          `json:"result"`
	PersonID string          `json:"person_id"`
	Code     domain.Code     `json:"code"`
	Problems []problem.Field `json:"problems"`
	Summary  *struct {
		Created, Updated, Refused int
	} `json:"summary"`
	Progress *struct {
		Rows  int
		Bytes int64
	} `json:"progress"`
	Problem *problem.Problem `json:"problem"`
}

func readLines(t *testing.T, r io.Reader) []importLine {
	t.Helper()
	var out []importLine
	dec := json.NewDecoder(r)
	for {
		var l importLine
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		out = append(out, l)
	}
}

func TestImport(t *testing.T) {
	s := newServer(t)
	file := "external_id,given_name,family_name,mobile,attribute.sex\n" +
		"I-1,Ada,Eins,079 123 45 68,2\n" +
		"I-2,,Zwei,,1\n" +
		"I-1,Ada,Neu,,2\n" +
		"I-3,Too,Short\n"
	a := s.call(t, s.admin, http.MethodPost, "/v1/people/import", file, "Content-Type", "text/csv; charset=utf-8")
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	require.Equal(t, "application/x-ndjson", a.header.Get("Content-Type"))
	lines := readLines(t, bytes.NewReader(a.body))
	require.Len(t, lines, 5)
	require.Equal(t, []string{"created", "refused", "updated", "refused"},
		[]string{lines[0].Result, lines[1].Result, lines[2].Result, lines[3].Result})
	require.Equal(t, []int{2, 3, 4, 5}, []int{lines[0].Line, lines[1].Line, lines[2].Line, lines[3].Line})
	require.Equal(t, []problem.Field{{Field: "given_name", Problem: "is required"}}, lines[1].Problems)
	require.Equal(t, lines[0].PersonID, lines[2].PersonID)
	require.Equal(t, 1, lines[4].Summary.Created)
	require.Equal(t, 1, lines[4].Summary.Updated)
	require.Equal(t, 2, lines[4].Summary.Refused)
	p := s.call(t, s.admin, http.MethodGet, "/v1/people/"+lines[0].PersonID, nil).object(t, http.StatusOK)
	require.Equal(t, "Neu", p["family_name"])
}

func TestBadImports(t *testing.T) {
	s := newServer(t)
	for name, c := range map[string]struct {
		file, mediaType string
		code            domain.Code
	}{
		"empty":            {"", "text/csv", domain.CodeInvalid},
		"unknown column":   {"given_name,family_name,shoe_size\n", "text/csv", domain.CodeInvalid},
		"column twice":     {"given_name,family_name,given_name\n", "text/csv", domain.CodeInvalid},
		"columns missing":  {"external_id\n1\n", "text/csv", domain.CodeInvalid},
		"not CSV":          {"given_name,family_name\nA,B\n", "application/xml", problem.CodeUnsupportedMediaType},
		"CSV as JSON":      {"given_name,family_name\nA,B\n", "application/json", domain.CodeInvalid},
		"object as list":   {`{"given_name": "A", "family_name": "B"}`, "application/json", domain.CodeInvalid},
		"empty JSON":       {"", "application/json", domain.CodeInvalid},
		"no media type":    {"given_name,family_name\nA,B\n", "", problem.CodeUnsupportedMediaType},
		"header not quote": {"given\"name,family_name\n", "text/csv", domain.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				s.call(t, s.admin, http.MethodPost, "/v1/people/import", c.file, "Content-Type", c.mediaType).refused(t, c.code)
			})
		})
	}
}

func TestImportFormats(t *testing.T) {
	s := newServer(t)
	for mediaType, file := range map[string]string{
		"text/csv":             "external_id,given_name,family_name,group\nF-1,Ada,,\nF-2,Ada,Zwei,New/Group\n",
		"application/json":     `[{"external_id":"F-1","given_name":"Ada"},{"external_id":"F-2","given_name":"Ada","family_name":"Zwei","group":"New/Group"}]`,
		"application/x-ndjson": `{"external_id":"F-1","given_name":"Ada"}` + "\n" + `{"external_id":"F-2","given_name":"Ada","family_name":"Zwei","group":"New/Group"}`,
	} {
		t.Run(mediaType, func(t *testing.T) {
			a := s.call(t, s.admin, http.MethodPost, "/v1/people/import?create_groups=true&results=refused", file, "Content-Type", mediaType)
			require.Equal(t, http.StatusOK, a.status, string(a.body))
			lines := readLines(t, bytes.NewReader(a.body))
			require.Len(t, lines, 2, "refused rows and the summary")
			require.Equal(t, "refused", lines[0].Result)
			require.Equal(t, []problem.Field{{Field: "family_name", Problem: "is required"}}, lines[0].Problems)
			require.Equal(t, 1, lines[1].Summary.Refused)
			require.Equal(t, 1, lines[1].Summary.Created+lines[1].Summary.Updated)
		})
	}
	found := s.call(t, s.admin, http.MethodPost, "/v1/people/search", map[string]any{"external_id": "F-*"}).items(t)
	require.Len(t, found, 1)
	require.Equal(t, "New/Group", found[0]["group"])

	file := "given_name,family_name\nA,B\n"
	writer := s.Token(t, s.Caller(t, "writer", "", issuertest.All(domain.PermPeopleWrite)))
	s.changesNothing(t, func() {
		s.call(t, writer, http.MethodPost, "/v1/people/import?create_groups=true", file, "Content-Type", "text/csv").refused(t, domain.CodeForbidden)
		for _, query := range []string{"results=none", "create_groups=maybe", "groups=x"} {
			s.call(t, writer, http.MethodPost, "/v1/people/import?"+query, file, "Content-Type", "text/csv").refused(t, domain.CodeInvalid)
		}
	})
}

// deadlines is a connection that notes its deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error  { d.read = append(d.read, at); return nil }
func (d *deadlines) SetWriteDeadline(at time.Time) error { d.write = append(d.write, at); return nil }

// TestImportTellsProgress: every thousand rows at the latest, and with each the caller gets more time.
func TestImportTellsProgress(t *testing.T) {
	s := newServer(t)
	const rows = 2500
	file := "given_name,family_name\n" + strings.Repeat("A,B\n", rows)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/people/import?results=refused", strings.NewReader(file))
	req.Header.Set("Content-Type", "text/csv")
	req.Header.Set("Authorization", "Bearer "+s.admin)
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	s.handler.ServeHTTP(w, req)
	lines := readLines(t, w.Body)
	require.GreaterOrEqual(t, len(lines), 3)
	last := lines[len(lines)-1]
	require.Equal(t, rows, last.Summary.Created)
	seen := 0
	for _, l := range lines[:len(lines)-1] {
		require.NotNil(t, l.Progress)
		require.Greater(t, l.Progress.Rows, seen)
		require.LessOrEqual(t, l.Progress.Rows-seen, 1000)
		require.Positive(t, l.Progress.Bytes)
		require.LessOrEqual(t, l.Progress.Bytes, int64(len(file)))
		seen = l.Progress.Rows
	}
	require.GreaterOrEqual(t, seen, 2000)
	for _, moved := range [][]time.Time{w.read, w.write} {
		require.GreaterOrEqual(t, len(moved), 3)
		require.True(t, slices.IsSortedFunc(moved, time.Time.Compare))
	}
}

// TestImportAnswersWhileItReads sends the next rows only after earlier ones were answered.
func TestImportAnswersWhileItReads(t *testing.T) {
	s := newServer(t)
	web := httptest.NewServer(s.handler)
	t.Cleanup(web.Close)
	body, file := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/v1/people/import", body)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "text/csv")
	req.Header.Set("Authorization", "Bearer "+s.admin)
	answered := make(chan struct{})
	sent := make(chan error, 1)
	go func() {
		row := strings.Repeat(",\n", 200) // refused rows are quick
		_, err := io.WriteString(file, "given_name,family_name\n"+row)
		<-answered
		if err == nil {
			_, err = io.WriteString(file, "Ada,Letzte\n")
		}
		sent <- err
		_ = file.Close()
	}()
	resp, err := web.Client().Do(req)
	require.NoError(t, err, "the header of the answer comes before the body was sent")
	t.Cleanup(func() { require.NoError(t, resp.Body.Close()) })
	require.Equal(t, http.StatusOK, resp.StatusCode)
	close(answered)
	lines := readLines(t, resp.Body)
	require.NoError(t, <-sent)
	require.Len(t, lines, 202)
	require.Equal(t, "created", lines[200].Result)
	require.NotNil(t, lines[201].Summary)
	require.Equal(t, 200, lines[201].Summary.Refused)
}

func TestImportThatIsCutOffSaysSo(t *testing.T) {
	s := newServer(t)
	body := io.MultiReader(strings.NewReader("given_name,family_name\nAda,Eins\nAda,Zwei\n"), errReader{})
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/people/import", body)
	req.Header.Set("Content-Type", "text/csv")
	req.Header.Set("Authorization", "Bearer "+s.admin)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, req)
	lines := readLines(t, w.Body)
	require.NotEmpty(t, lines)
	last := lines[len(lines)-1]
	require.NotNil(t, last.Problem)
	require.Equal(t, problem.CodeMalformed, last.Problem.Code)
	require.Nil(t, last.Summary)
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
