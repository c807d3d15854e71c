package notify

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"unicode/utf8"
)

//go:embed templates
var embedded embed.FS

const (
	// fallbackLanguage is shipped complete, so every message has a text.
	fallbackLanguage = "en"
	maxTemplateFile  = 64 << 10
	maxRendered      = 512 << 10
	maxSubject       = 200
	// maxSMS is the length in characters of three joined messages in the GSM alphabet.
	maxSMS = 459
)

// The parts of a kind, as file name endings.
const (
	partSubject = "subject.txt"
	partText    = "text.txt"
	partHTML    = "html.html"
	partSMS     = "sms.txt"
)

// Templates are the texts of all kinds of message in all languages. They are safe for concurrent use.
type Templates struct {
	languages map[string]map[Kind]partSet // by lower-case language tag
	files     []TemplateFile
}

// partSet are the parsed parts of one kind in one language by part name.
type partSet map[string]executor

// executor is what text/template and html/template have in common.
type executor interface {
	Execute(out io.Writer, data any) error
}

// Rendered is a message ready to send. Subject, Text and HTML belong to the e-mail, SMS to the short message; parts that the
// kind does not have are empty.
type Rendered struct {
	Subject, Text, HTML, SMS string
	// Language that the texts are in.
	Language string
}

// TemplateFile is a template in use.
type TemplateFile struct {
	// Name is "<language>/<kind>.<part>" with the language in lower case.
	Name     string
	Language string
	Kind     Kind
	// Part is one of [Kind.Parts].
	Part string
	// Operator says that the file is the operator's and not the one shipped.
	Operator bool
}

// TemplateProblem is one thing wrong with a template file.
type TemplateProblem struct {
	// File is "<language>/<kind>.<part>".
	File string
	// Line counts from 1; 0 means the file as a whole.
	Line int
	Text string
}

// Error implements error as "file:line: text".
func (p *TemplateProblem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ": " + p.Text
}

// LoadTemplates reads the shipped templates and lays an operator's over them; overlay may be nil. The overlay holds one
// folder per language with files "<kind>.<part>", for example "fr/collection_link.subject.txt"; names beginning with a dot
// are passed over. A language of the operator's own needs all [Kind.Parts] of each kind that it has.
//
// Every template is parsed and rendered with the [Kind.Samples]. The error holds every problem (see [TemplateProblems]): unknown
// files, syntax, unknown fields, words that an enumerated field never is, missing link or code, a link or code in the subject,
// and whatever would bring link and code into one message.
//
// Templates use the actions if, else, with, the comparisons and the fields of their kind; there is nothing to loop over and
// no function to call.
func LoadTemplates(overlay fs.FS) (*Templates, error) {
	shipped, err := ShippedTemplates()
	if err != nil {
		return nil, err
	}
	sources, problems := readSources(shipped)
	var operators map[templateName]string
	if overlay != nil {
		var overlayProblems []*TemplateProblem
		operators, overlayProblems = readSources(overlay)
		maps.Copy(sources, operators)
		problems = append(problems, overlayProblems...)
	}
	templates := &Templates{languages: make(map[string]map[Kind]partSet)}
	for _, name := range slices.SortedFunc(maps.Keys(sources), compareNames) {
		parsed, found := parseAndCheck(name, sources[name])
		problems = append(problems, found...)
		_, operator := operators[name]
		templates.add(name, parsed, operator)
	}
	problems = append(problems, templates.incomplete()...)
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b *TemplateProblem) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
		})
		joined := make([]error, 0, len(problems))
		for _, problem := range problems {
			joined = append(joined, problem)
		}
		return nil, fmt.Errorf("load templates: %w", errors.Join(joined...))
	}
	return templates, nil
}

// ShippedTemplates is the tree of the templates shipped, in the layout that [LoadTemplates] reads.
func ShippedTemplates() (fs.FS, error) {
	shipped, err := fs.Sub(embedded, "templates")
	if err != nil {
		return nil, fmt.Errorf("open shipped templates: %w", err)
	}
	return shipped, nil
}

// TemplateProblems gives the problems in an error of [LoadTemplates], ordered by file and line; nil when it has none.
func TemplateProblems(err error) []*TemplateProblem {
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return nil
	}
	var problems []*TemplateProblem
	for _, each := range joined.Unwrap() {
		if problem, ok := errors.AsType[*TemplateProblem](each); ok {
			problems = append(problems, problem)
		}
	}
	return problems
}

// Languages lists the languages that have templates, as lower-case tags in the order of the alphabet.
func (t *Templates) Languages() []string { return slices.Sorted(maps.Keys(t.languages)) }

// Files lists the templates in use by name.
func (t *Templates) Files() []TemplateFile { return slices.Clone(t.files) }

// Render makes the texts of a message in the language asked for, else in the language without its region ("de" for "de-AT"),
// else in English. It fails on data that no message can be made from; the error holds none of it.
func (t *Templates) Render(language string, data Data) (Rendered, error) {
	if data == nil {
		return Rendered{}, errors.New("render message: no data")
	}
	kind := data.kind()
	for _, candidate := range languageChain(language) {
		parts, found := t.languages[candidate][kind]
		if !found {
			continue
		}
		values, err := data.values(candidate)
		if err != nil {
			return Rendered{}, fmt.Errorf("render %s: %w", kind, err)
		}
		return parts.render(kind, candidate, values)
	}
	return Rendered{}, fmt.Errorf("render %s: no template", kind)
}

// languageChain lists the tags to try, from the one asked for to the fallback, in lower case.
func languageChain(language string) []string {
	var chain []string
	if isLanguageTag(language) {
		for tag := strings.ToLower(language); tag != ""; {
			chain = append(chain, tag)
			shorter := strings.LastIndexByte(tag, '-')
			tag = tag[:max(shorter, 0)]
		}
	}
	return append(chain, fallbackLanguage)
}

var languageTagPattern = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$`)

// isLanguageTag checks the shape of a BCP 47 tag.
func isLanguageTag(text string) bool { return languageTagPattern.MatchString(text) }

func (p partSet) render(kind Kind, language string, values map[string]string) (Rendered, error) {
	message := Rendered{Language: language}
	for part, target := range map[string]*string{
		partSubject: &message.Subject, partText: &message.Text, partHTML: &message.HTML, partSMS: &message.SMS,
	} {
		template, found := p[part]
		if !found {
			continue
		}
		text, err := execute(template, values)
		if err != nil {
			// The library's text can quote values.
			return Rendered{}, fmt.Errorf("render %s: part %s failed", kind, part)
		}
		*target = text
	}
	message.Subject, message.SMS = strings.TrimSpace(message.Subject), strings.TrimSpace(message.SMS)
	if hasControl(message.Subject) {
		return Rendered{}, fmt.Errorf("render %s: subject has a line break", kind)
	}
	return message, nil
}

func execute(template executor, values map[string]string) (string, error) {
	out := &boundedBuffer{}
	if err := template.Execute(out, values); err != nil {
		return "", err
	}
	return out.String(), nil
}

// boundedBuffer refuses to grow beyond what a message can be.
type boundedBuffer struct{ bytes.Buffer }

var errTooLong = errors.New("text is too long")

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxRendered {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

// templateName is where a template belongs.
type templateName struct {
	language string // lower case
	kind     Kind
	part     string
}

func (n templateName) file() string { return n.language + "/" + string(n.kind) + "." + n.part }

func compareNames(a, b templateName) int { return strings.Compare(a.file(), b.file()) }

// readSources reads a template tree. It lists folders itself because a mounted volume may consist of symbolic links, which
// walking does not follow.
func readSources(tree fs.FS) (map[templateName]string, []*TemplateProblem) {
	sources := make(map[templateName]string)
	var problems []*TemplateProblem
	report := func(file, text string) { problems = append(problems, &TemplateProblem{File: file, Text: text}) }
	folders, err := fs.ReadDir(tree, ".")
	if err != nil {
		report(".", "folder cannot be read: "+pathReason(err))
		return sources, problems
	}
	for _, folder := range folders {
		language := folder.Name()
		if strings.HasPrefix(language, ".") {
			continue
		}
		if !isLanguageTag(language) {
			report(language, "is not a language tag")
			continue
		}
		files, err := fs.ReadDir(tree, language)
		if err != nil {
			report(language, "folder cannot be read: "+pathReason(err))
			continue
		}
		for _, file := range files {
			path := language + "/" + file.Name()
			kind, part, _ := strings.Cut(file.Name(), ".")
			name := templateName{strings.ToLower(language), Kind(kind), part}
			switch _, twice := sources[name]; {
			case strings.HasPrefix(file.Name(), "."):
				continue
			case !slices.Contains(kinds[name.kind].parts, part):
				report(path, "is not the file of a known kind and part")
				continue
			case twice:
				report(path, "another folder of the same language has this file")
				continue
			}
			source, err := readSource(tree, path)
			if err != nil {
				report(path, pathReason(err))
				continue
			}
			sources[name] = source
		}
	}
	return sources, problems
}

func readSource(tree fs.FS, path string) (source string, err error) {
	file, err := tree.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err := io.ReadAll(io.LimitReader(file, maxTemplateFile+1))
	switch {
	case err != nil:
		return "", err
	case len(content) > maxTemplateFile:
		return "", errors.New("file is too large")
	case !utf8.Valid(content) || bytes.ContainsRune(content, 0):
		return "", errors.New("file is not UTF-8 text")
	}
	text := strings.TrimPrefix(string(content), "\ufeff") // editors leave byte order marks
	return strings.ReplaceAll(text, "\r\n", "\n"), nil
}

// pathReason is the reason of a file error without the path, which the problem names already.
func pathReason(err error) string {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err.Error()
	}
	return err.Error()
}

func (t *Templates) add(name templateName, parsed executor, operator bool) {
	t.files = append(t.files, TemplateFile{name.file(), name.language, name.kind, name.part, operator})
	if t.languages[name.language] == nil {
		t.languages[name.language] = make(map[Kind]partSet)
	}
	if t.languages[name.language][name.kind] == nil {
		t.languages[name.language][name.kind] = make(partSet)
	}
	t.languages[name.language][name.kind][name.part] = parsed
}

// incomplete lists what is missing: a language that has a kind has all of it, or a message would be put together from two languages.
func (t *Templates) incomplete() []*TemplateProblem {
	var problems []*TemplateProblem
	for language, byKind := range t.languages {
		for kind, parts := range byKind {
			for _, part := range kinds[kind].parts {
				if _, found := parts[part]; !found {
					problems = append(problems, &TemplateProblem{File: templateName{language, kind, part}.file(), Text: "is missing"})
				}
			}
		}
	}
	return problems
}

// parseSource reads a template as text or HTML by its part.
func parseSource(name templateName, source string) (executor, *texttemplate.Template, error) {
	text, err := texttemplate.New(name.file()).Option("missingkey=error").Parse(source)
	if err != nil || name.part != partHTML {
		return text, text, err
	}
	html, err := htmltemplate.New(name.file()).Option("missingkey=error").Parse(source)
	return html, text, err
}
