package notify_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/notify"
)

var deadline = time.Date(2026, time.March, 14, 15, 9, 0, 0, time.FixedZone("CET", 3600))

const link = "https://issuer.example/c/abc?x=1&y=2"

func collectionLink() notify.CollectionLink {
	return notify.CollectionLink{
		ServerName: "City of A & B", GivenName: "Ada", DocumentName: "Driving Licence", Link: link, Deadline: deadline,
	}
}

func authenticationCode() notify.AuthenticationCode {
	return notify.AuthenticationCode{ServerName: "City of A & B", DocumentName: "Driving Licence", Code: "12345678", ValidUntil: deadline}
}

func approvalReminder() notify.ApprovalReminder {
	return notify.ApprovalReminder{
		ServerName: "City of A & B", DocumentName: "Driving Licence", RequestID: "req-1", WaitingSince: deadline.Add(-time.Hour),
		Deadline: deadline, ReviewURL: "https://issuer.example/review/req-1",
	}
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func load(t *testing.T, overlay fs.FS) *notify.Templates {
	t.Helper()
	templates, err := notify.LoadTemplates(overlay)
	require.NoError(t, err)
	return templates
}

func TestShippedTemplates(t *testing.T) {
	templates := load(t, nil)
	tests := []struct {
		name, language string
		data           notify.Data
		wantSubject    string
		wantText       []string // in text and, escaped, in HTML
		wantSMS        string
	}{
		{
			"link", "en", collectionLink(), "City of A & B: collect your Driving Licence",
			[]string{"Hello Ada,", link, "14 March 2026, 15:09 CET"}, "",
		},
		{
			"link in German", "de", collectionLink(), "City of A & B: Driving Licence abholen",
			[]string{"Guten Tag Ada,", link, "14. März 2026, 15:09 Uhr CET"}, "",
		},
		{
			"code", "en", authenticationCode(), "City of A & B: your code for Driving Licence", []string{"1234 5678", "14 March 2026, 15:09 CET"},
			"City of A & B: 1234 5678 is your code for Driving Licence, valid until 14 March 2026, 15:09 CET. Never tell it to anybody.",
		},
		{
			"code in German", "de", authenticationCode(), "City of A & B: Ihr Code für Driving Licence",
			[]string{"1234 5678", "14. März 2026, 15:09 Uhr CET"},
			"City of A & B: 1234 5678 ist Ihr Code für Driving Licence, gültig bis 14. März 2026, 15:09 Uhr CET. Nennen Sie ihn niemandem.",
		},
		{
			"reminder", "en", approvalReminder(), "City of A & B: a request for Driving Licence waits for a decision",
			[]string{"req-1", "14 March 2026, 14:09 CET", "14 March 2026, 15:09 CET", "https://issuer.example/review/req-1"}, "",
		},
		{
			"reminder in German", "de", approvalReminder(), "City of A & B: Ein Antrag auf Driving Licence wartet auf eine Entscheidung",
			[]string{"req-1", "14. März 2026, 14:09 Uhr CET", "https://issuer.example/review/req-1"}, "",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := templates.Render(test.language, test.data)
			require.NoError(t, err)
			require.Equal(t, test.language, got.Language)
			require.Equal(t, test.wantSubject, got.Subject)
			require.Equal(t, test.wantSMS, got.SMS)
			for _, want := range test.wantText {
				require.Contains(t, got.Text, want)
				require.Contains(t, got.HTML, strings.ReplaceAll(want, "&", "&amp;"))
			}
			require.Contains(t, got.HTML, `<html lang="`+test.language+`">`)
			require.Contains(t, got.HTML, "City of A &amp; B")
			for _, remote := range []string{"<img", "<script", "<link", "src=", "url("} {
				require.NotContains(t, got.HTML, remote, "nothing is fetched from elsewhere")
			}
		})
	}
}

func TestRenderGroupsCodes(t *testing.T) {
	templates := load(t, nil)
	for code, want := range map[string]string{
		"1234": "1234", "12345": "1234 5", "123456": "123 456", "12345678": "1234 5678", "123456789": "123 456 789",
		"123456789012": "1234 5678 9012",
	} {
		data := authenticationCode()
		data.Code = code
		got, err := templates.Render("en", data)
		require.NoError(t, err)
		require.Contains(t, got.Text, "\n"+want+"\n")
	}
}

func TestRenderCleansNames(t *testing.T) {
	data := collectionLink()
	data.GivenName = ""
	data.ServerName = "City\r\nBcc: eve@home.example\u202e <b>"
	data.DocumentName = strings.Repeat("long ", 100)
	got, err := load(t, nil).Render("en", data)
	require.NoError(t, err)
	require.Contains(t, got.Text, "Hello,")
	require.True(t, strings.HasPrefix(got.Subject, "City Bcc: eve@home.example <b>: collect your long "))
	require.NotContains(t, got.Subject, "\n")
	require.Less(t, len(got.Subject), 300)
	require.NotContains(t, got.HTML, "<b>")
	require.NotContains(t, got.Text, "\u202e")
}

func TestRenderRefusesBadData(t *testing.T) {
	templates := load(t, nil)
	tests := map[string]struct {
		data notify.Data
		want string
	}{
		"no names": {notify.CollectionLink{Link: link, Deadline: deadline}, "DocumentName is missing"},
		"no time":  {notify.CollectionLink{ServerName: "S", DocumentName: "D", Link: link}, "Deadline is missing"},
		"no link":  {notify.CollectionLink{ServerName: "S", DocumentName: "D", Deadline: deadline}, "Link is not"},
		"link of another scheme": {
			notify.CollectionLink{ServerName: "S", DocumentName: "D", Link: "javascript:secret", Deadline: deadline}, "Link is not",
		},
		"link with a break": {
			notify.CollectionLink{ServerName: "S", DocumentName: "D", Link: "https://secret.example/\n", Deadline: deadline}, "Link is not",
		},
		"letters in code": {notify.AuthenticationCode{ServerName: "S", DocumentName: "D", Code: "secret", ValidUntil: deadline}, "Code is not"},
		"short code":      {notify.AuthenticationCode{ServerName: "S", DocumentName: "D", Code: "123", ValidUntil: deadline}, "Code is not"},
		"link beside code": {
			notify.AuthenticationCode{ServerName: "S", DocumentName: "https://secret", Code: "1234", ValidUntil: deadline}, "contains a link",
		},
		"nothing at all":    {nil, "no data"},
		"reminder, nothing": {notify.ApprovalReminder{}, "RequestID is missing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := templates.Render("en", test.data)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "secret")
			require.Empty(t, got)
		})
	}
}

// french is an overlay with one kind in a language that is not shipped.
func french() fstest.MapFS {
	return fstest.MapFS{
		"fr/collection_link.subject.txt": {Data: []byte("\ufeffVotre {{.DocumentName}}\r\n")},
		"fr/collection_link.text.txt": {Data: []byte(
			"{{with .GivenName}}Bonjour {{.}} de {{$.ServerName}}{{else}}Bonjour{{end}}\r\n{{.Link}} {{.Deadline}}",
		)},
		"fr/collection_link.html.html": {Data: []byte(`<p>{{.GivenName}}</p><a href="{{.Link}}">{{.Link}}</a>`)},
		"fr/.hidden":                   {Data: []byte("passed over")},
		".git/config":                  {Data: []byte("passed over")},
	}
}

func TestOverlay(t *testing.T) {
	templates := load(t, french())
	got, err := templates.Render("fr-CA", collectionLink())
	require.NoError(t, err)
	require.Equal(t, "fr", got.Language)
	require.Equal(t, "Votre Driving Licence", got.Subject)
	require.Equal(t, "Bonjour Ada de City of A & B\n"+link+" 2026-03-14 15:09 CET", got.Text)
	require.Equal(t, `<p>Ada</p><a href="https://issuer.example/c/abc?x=1&amp;y=2">https://issuer.example/c/abc?x=1&amp;y=2</a>`, got.HTML)

	got, err = templates.Render("fr", authenticationCode())
	require.NoError(t, err)
	require.Equal(t, "en", got.Language, "a kind that the language has not comes in English")

	got, err = load(t, fstest.MapFS{"de/authentication_code.sms.txt": {Data: []byte("{{.Code}}")}}).Render("de", authenticationCode())
	require.NoError(t, err)
	require.Equal(t, "1234 5678", got.SMS, "one part replaced")
	require.Contains(t, got.Text, "Guten Tag", "the others as shipped")
}

func TestLanguageFallback(t *testing.T) {
	templates := load(t, nil)
	for asked, want := range map[string]string{
		"de": "de", "DE": "de", "de-AT": "de", "de-Latn-AT": "de", "en-GB": "en", "fr": "en",
		"": "en", "not a tag": "en", "../../etc": "en", "de_AT": "en",
	} {
		got, err := templates.Render(asked, collectionLink())
		require.NoError(t, err)
		require.Equal(t, want, got.Language, asked)
	}
	regional := fstest.MapFS{}
	for name, file := range french() {
		if rest, found := strings.CutPrefix(name, "fr/"); found {
			regional["de-AT/"+rest] = file
		}
	}
	got, err := load(t, regional).Render("de-at", collectionLink())
	require.NoError(t, err)
	require.Equal(t, "de-at", got.Language)
	require.Contains(t, got.Text, "14. März 2026")
}

func TestOverlayThroughSymbolicLinks(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "..data", "en"), 0o750))
	target := filepath.Join(root, "..data", "en", "authentication_code.sms.txt")
	require.NoError(t, os.WriteFile(target, []byte("mounted {{.Code}}"), 0o600))
	require.NoError(t, os.Symlink(filepath.Join("..data", "en"), filepath.Join(root, "en")))
	got, err := load(t, os.DirFS(root)).Render("en", authenticationCode())
	require.NoError(t, err)
	require.Equal(t, "mounted 1234 5678", got.SMS)
}

// xhtml is how many e-mail editors begin.
const xhtml = `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:v = 'urn:schemas-microsoft-com:vml'><body>{{.Code}}</body></html>`

func TestTemplateProblems(t *testing.T) {
	tests := []struct {
		name, file, source string
		want               string
	}{
		{"syntax", "en/collection_link.text.txt", "a\nb {{.Link", "en/collection_link.text.txt:2: unclosed action"},
		{"HTML syntax", "en/collection_link.html.html", "\n<a href='{{.Link}}", "en/collection_link.html.html: "},
		{
			"unknown field", "en/collection_link.text.txt", "{{.Link}}\n\n{{.Lnk}}",
			"en/collection_link.text.txt:3: unknown field .Lnk, known are .Deadline",
		},
		{
			"unknown field in a branch", "en/collection_link.text.txt", "{{.Link}}{{if .GivenName}}{{else}}{{.Lnk}}{{end}}",
			"text.txt:1: unknown field .Lnk",
		},
		{
			"code beside link", "en/collection_link.text.txt", "{{.Link}}\n{{.Code}}",
			"text.txt:2: .Code does not belong here: link and code must never be in one",
		},
		{
			"code beside link, hidden", "en/collection_link.html.html", "{{.Link}}{{if false}}{{$.Code}}{{end}}",
			"html.html:1: .Code does not belong here",
		},
		{
			"link beside code", "en/authentication_code.text.txt", "{{.Code}} {{.Link}}",
			"text.txt:1: .Link does not belong here: link and code",
		},
		{
			"link beside code in SMS", "de/authentication_code.sms.txt", "{{.Code}} {{with .Link}}{{.}}{{end}}",
			"sms.txt:1: .Link does not belong here",
		},
		{"link in reminder", "en/approval_reminder.text.txt", "{{.ReviewURL}} {{.Link}}", "text.txt:1: .Link does not belong here"},
		{"link missing", "en/collection_link.text.txt", "Hello", "text.txt: must always show .Link"},
		{"link shown at times", "en/collection_link.text.txt", "{{if .GivenName}}{{.Link}}{{end}}x", "text.txt: must always show .Link"},
		{"code missing", "en/authentication_code.html.html", "<p>Hello</p>", "html.html: must always show .Code"},
		{"review missing", "en/approval_reminder.text.txt", "Hello", "text.txt: must always show .ReviewURL"},
		{"code in subject", "en/authentication_code.subject.txt", "{{.Code}}", "subject.txt: subject must not show .Code"},
		{"subject of two lines", "en/collection_link.subject.txt", "a\nb", "subject.txt: subject must be one line"},
		{"subject too long", "en/collection_link.subject.txt", strings.Repeat("a", 201), "subject.txt: subject is longer"},
		{"subject empty", "en/collection_link.subject.txt", " \n", "subject.txt: renders to nothing"},
		{"SMS too long", "en/authentication_code.sms.txt", "{{.Code}}" + strings.Repeat("a", 460), "sms.txt: SMS is longer"},
		{"loop", "en/collection_link.text.txt", "{{.Link}}{{range 1000000000}}{{end}}", "text.txt:1: this action is not supported"},
		{"function", "en/collection_link.text.txt", `{{.Link}}{{printf "%1000000d" 1}}`, "text.txt:1: function printf is not supported"},
		{"call of a field", "en/collection_link.text.txt", `{{.Link}}{{.Deadline.Format}}`, "text.txt:1: a value has no fields"},
		{
			"field of a string", "en/collection_link.text.txt", `{{.Link}}{{with .GivenName}}{{.Link}}{{end}}`,
			`text.txt:1: within "with" write $.Link`,
		},
		{"everything", "en/collection_link.text.txt", `{{.Link}}{{.}}`, "text.txt:1: name a field"},
		{"everything by variable", "en/collection_link.text.txt", `{{.Link}}{{$}}`, "text.txt:1: name a field"},
		{
			"define", "en/collection_link.text.txt", "{{.Link}}\n{{define \"a\"}}{{.Code}}{{end}}",
			"text.txt:2: templates within templates are not supported",
		},
		{
			"template", "en/collection_link.text.txt", `{{.Link}}{{template "en/collection_link.text.txt" .}}`,
			"text.txt:1: templates within templates",
		},
		{"unknown kind", "en/collection_lnk.text.txt", "x", "en/collection_lnk.text.txt: is not the file of a known kind"},
		{
			"unknown part", "en/collection_link.sms.txt", "{{.Link}}",
			"en/collection_link.sms.txt: is not the file of a known kind and part",
		},
		{
			"word that is none", "en/cancellation.text.txt", "{{.DocumentName}}\n{{if eq .Cause \"lost\" \"stollen\"}}x{{end}}",
			"text.txt:2: .Cause is never \"stollen\", known are lost, stolen,",
		},
		{
			"word of another kind", "de/outcome_failure.html.html", "{{.DocumentName}}{{if false}}\n{{if ne \"lost\" $.Cause}}x{{end}}{{end}}",
			"html.html:2: .Cause is never \"lost\", known are rejected,",
		},
		{
			"word for readers", "en/cancellation.subject.txt", "Canceled: {{.Cause}}",
			"subject.txt:1: .Cause is not for readers: write a text for each, as in {{if eq .Cause \"lost\"}}",
		},
		{"word by with", "en/cancellation.subject.txt", "{{with .Cause}}{{.}}{{end}}", "subject.txt:1: .Cause is not for readers"},
		{"word by pipe", "en/cancellation.subject.txt", "{{.Cause | eq \"lost\"}}", "subject.txt:1: .Cause is not for readers"},
		{"number against text", "en/expiry_reminder.text.txt", "{{.ValidUntil}}\n{{if eq .DaysLeft 1}}{{end}}", "text.txt:2: "},
		{"link for sign-in", "en/logon_code.text.txt", "{{.Code}} {{.SignInURL}}", "text.txt:1: unknown field .SignInURL"},
		{"link field beside a logon code", "en/logon_code.sms.txt", "{{.Code}} {{.Link}}", "sms.txt:1: .Link does not belong here"},
		{
			"address beside a logon code", "de/logon_code.text.txt", "{{.Code}}\n\nAnmelden:\nHTTPS://issuer.example\n{{.ServerName}}",
			"text.txt:4: no link belongs here: link and code must never be in one message",
		},
		{
			"address beside a code, hidden", "en/authentication_code.html.html",
			"{{.Code}}\n{{if false}}\n<a href=\"https://issuer.example\">x</a>{{end}}", "html.html:3: no link belongs here",
		},
		{"address without scheme", "en/logon_code.sms.txt", "{{.Code}} www.issuer.example", "sms.txt:1: no link belongs here"},
		{"address in an action", "en/logon_code.sms.txt", "{{.Code}}\n{{\"https://issuer.example\"}}", "sms.txt:2: no link belongs here"},
		{"schemas are no links", "en/logon_code.html.html", xhtml, ""},
		{"other words with www", "en/logon_code.sms.txt", "{{.Code}} awww.", ""},
		{"file outside a folder", "README", "x", "README: folder cannot be read"},
		{"folder that is no language", "templates.d/x", "x", "templates.d: is not a language tag"},
		{"folder for a file", "en/collection_link.text.txt/x", "x", "en/collection_link.text.txt: "},
		{"not UTF-8", "en/collection_link.text.txt", "\xff{{.Link}}", "text.txt: file is not UTF-8"},
		{"too large", "en/collection_link.text.txt", "{{.Link}}" + strings.Repeat("a", 1<<16), "text.txt: file is too large"},
		{"parts missing", "fr/authentication_code.sms.txt", "{{.Code}}", "fr/authentication_code.html.html: is missing"},
		{"same language twice", "EN/collection_link.text.txt", "{{.Link}}", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			templates, err := notify.LoadTemplates(fstest.MapFS{test.file: {Data: []byte(test.source)}})
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.Nil(t, templates)
			require.ErrorContains(t, err, test.want)
			var problem *notify.TemplateProblem
			require.ErrorAs(t, err, &problem)
			require.NotEmpty(t, problem.File)
		})
	}
}

func TestTemplateProblemsComeTogether(t *testing.T) {
	_, err := notify.LoadTemplates(fstest.MapFS{
		"de/collection_link.text.txt":     {Data: []byte("{{.Lnk}}\n{{.Cod}}")},
		"en/authentication_code.sms.txt":  {Data: []byte("{{.Link}}")},
		"en/authentication_code.fax":      {Data: []byte("x")},
		"fr/collection_link.subject.txt":  {Data: []byte("Votre {{.DocumentName}}")},
		"FR/collection_link.subject.txt":  {Data: []byte("Votre {{.DocumentName}}")},
		"en/approval_reminder.html.html":  {Data: []byte("{{if}}")},
		"en/approval_reminder.text.txt":   {Data: []byte("{{.ReviewURL}}")},
		"en/collection_link.subject.html": {Data: []byte("x")},
	})
	require.Error(t, err)
	var got []string
	for _, problem := range notify.TemplateProblems(fmt.Errorf("start: %w", err)) {
		require.ErrorContains(t, err, problem.Error())
		got = append(got, problem.Error())
	}
	wants := []string{
		"de/collection_link.text.txt:1: ", "de/collection_link.text.txt:2: ", "en/approval_reminder.html.html:1: ",
		"en/authentication_code.fax: ", "en/authentication_code.sms.txt:1: ", "en/collection_link.subject.html: ",
		"fr/collection_link.html.html: is missing", "fr/collection_link.subject.txt: another folder", "fr/collection_link.text.txt: is missing",
	}
	require.Len(t, got, len(wants), "%q", got)
	for i, want := range wants {
		require.True(t, strings.HasPrefix(got[i], want), "%q begins %q", got[i], want)
	}
}

func TestTemplateProblemsOfOtherErrors(t *testing.T) {
	for _, err := range []error{nil, errors.New("x"), errors.Join(errors.New("x"), errors.New("y"))} {
		require.Empty(t, notify.TemplateProblems(err))
	}
}

func TestFilesInUse(t *testing.T) {
	overlay := french()
	overlay["DE/logon_code.sms.txt"] = file("{{.Code}}")
	templates := load(t, overlay)
	require.Equal(t, []string{"de", "en", "fr"}, templates.Languages())
	var operators []notify.TemplateFile
	names := make(map[string]bool)
	for _, file := range templates.Files() {
		require.Equal(t, file.Language+"/"+string(file.Kind)+"."+file.Part, file.Name)
		names[file.Name] = true
		if file.Operator {
			operators = append(operators, file)
		}
	}
	require.Equal(t, []notify.TemplateFile{
		{Name: "de/logon_code.sms.txt", Language: "de", Kind: "logon_code", Part: "sms.txt", Operator: true},
		{Name: "fr/collection_link.html.html", Language: "fr", Kind: "collection_link", Part: "html.html", Operator: true},
		{Name: "fr/collection_link.subject.txt", Language: "fr", Kind: "collection_link", Part: "subject.txt", Operator: true},
		{Name: "fr/collection_link.text.txt", Language: "fr", Kind: "collection_link", Part: "text.txt", Operator: true},
	}, operators)
	shipped, err := notify.ShippedTemplates()
	require.NoError(t, err)
	count := len(operators) - 1 // one of them is shipped too
	require.NoError(t, fs.WalkDir(shipped, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			count++
			require.True(t, names[path], path)
		}
		return err
	}))
	require.Len(t, names, count)
}

func TestPreview(t *testing.T) {
	templates := load(t, nil)
	for _, kind := range notify.Kinds() {
		got, err := templates.Preview("de-AT", kind)
		require.NoError(t, err)
		require.Equal(t, "de", got.Language)
		require.Contains(t, got.Subject, "Sample Authority")
	}
	_, err := templates.Preview("de", "fax")
	require.ErrorIs(t, err, notify.ErrKind)
}

func TestOverlayFolderMissing(t *testing.T) {
	_, err := notify.LoadTemplates(os.DirFS(filepath.Join(t.TempDir(), "missing")))
	require.ErrorContains(t, err, ".: folder cannot be read")
}

// FuzzTemplateOverlay gives every part of a kind any text: it is refused with a place, or renders with the link in it and no code.
func FuzzTemplateOverlay(f *testing.F) {
	f.Add("en/collection_link.text.txt", "{{if .GivenName}}Hello {{.GivenName}}{{end}} {{.Link}} {{.Deadline}}")
	f.Add("en/collection_link.html.html", `<a href="{{.Link}}">{{.Link}}</a>`)
	f.Add("en/collection_link.subject.txt", "{{.ServerName}}")
	f.Add("en/authentication_code.sms.txt", "{{with .Code}}{{.}}{{end}} {{eq .Code .ServerName}}")
	f.Add("de/approval_reminder.text.txt", "{{.ReviewURL}}{{/* comment */}}")
	f.Add("en/cancellation.text.txt", "{{.DocumentName}}{{if eq .Cause \"lost\" \"stolen\"}}lost{{else if ne \"other\" $.Cause}}x{{end}}")
	f.Add("en/logon_code.html.html", xhtml)
	f.Add("de/logon_code.text.txt", "{{.Code}}\n{{- /**/ -}}\nhttps://issuer.example")
	f.Add("en/collection_link.text.txt", "{{define \"x\"}}{{end}}{{.Link}}{{$x := .Code}}{{break}}")
	f.Fuzz(func(t *testing.T, file, source string) {
		templates, err := notify.LoadTemplates(fstest.MapFS{file: {Data: []byte(source)}})
		if err != nil {
			var problem *notify.TemplateProblem
			require.ErrorAs(t, err, &problem)
			return
		}
		for _, kind := range notify.Kinds() {
			for _, sample := range kind.Samples() {
				for _, language := range templates.Languages() {
					_, err := templates.Render(language, sample)
					require.NoError(t, err, "what is checked with the samples makes messages of them")
				}
			}
		}
		for _, language := range []string{"en", "de"} {
			got, err := templates.Render(language, collectionLink())
			if err != nil {
				continue // a comparison can turn out otherwise than with the samples
			}
			require.Contains(t, got.Text+got.HTML, "issuer.example/c/abc")
			require.NotContains(t, got.Subject, "\n")
			got, err = templates.Render(language, authenticationCode())
			require.NoError(t, err)
			require.Contains(t, got.Text+got.SMS, "1234 5678")
		}
	})
}
