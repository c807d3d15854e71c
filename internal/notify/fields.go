package notify

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Fields that more than one kind has, or that the check of templates knows.
const (
	fieldServer    = "ServerName"
	fieldGivenName = "GivenName"
	fieldDocument  = "DocumentName"
	fieldReview    = "ReviewURL"
	fieldCause     = "Cause"
	// These two must never meet in one message.
	fieldLink = "Link"
	fieldCode = "Code"
)

// fieldSet collects the fields of a message and what is wrong with them.
type fieldSet struct {
	language string
	values   map[string]string
	problems []error
}

func newFields(language string) *fieldSet {
	return &fieldSet{language: language, values: make(map[string]string)}
}

func (f *fieldSet) done() (map[string]string, error) { return f.values, errors.Join(f.problems...) }

func (f *fieldSet) refuse(field, text string) {
	f.problems = append(f.problems, errors.New(field+" "+text))
}

// maxName bounds a name in a message; real names and document names are far shorter.
const maxName = 200

func (f *fieldSet) name(field, value string) {
	f.optionalName(field, value)
	if f.values[field] == "" {
		f.refuse(field, "is missing")
	}
}

// optionalName takes a name as one line. A name with a link in it is refused: it could bring a link beside a code, or lead
// the reader elsewhere.
func (f *fieldSet) optionalName(field, value string) {
	value = strings.Join(strings.FieldsFunc(value, isLineNoise), " ")
	if strings.Contains(value, "://") {
		f.refuse(field, "contains a link")
	}
	if runes := []rune(value); len(runes) > maxName {
		value = string(runes[:maxName])
	}
	f.values[field] = strings.ToValidUTF8(strings.TrimSpace(value), "")
}

// isLineNoise knows white space, control characters and the marks that turn the direction of what follows.
func isLineNoise(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

func (f *fieldSet) address(field, value string) {
	parsed, err := url.Parse(value)
	switch {
	case err != nil, parsed.Scheme != "https" && parsed.Scheme != "http", parsed.Host == "", strings.ContainsFunc(value, isLineNoise):
		f.refuse(field, "is not an absolute http(s) address")
	}
	f.values[field] = value
}

// word takes one of the values of an enumerated field.
func (f *fieldSet) word(field, value string, known []string) {
	if !slices.Contains(known, value) {
		f.refuse(field, "is not one of those known")
	}
	f.values[field] = value
}

func (f *fieldSet) count(field string, value int) {
	if value < 0 {
		f.refuse(field, "is negative")
	}
	f.values[field] = strconv.Itoa(value)
}

const (
	minCode   = 4
	maxDigits = 12
	maxCode   = 64
)

// digits shows a code of digits in groups of four, or of three where that comes out even.
func (f *fieldSet) digits(field, value string) {
	if len(value) < minCode || len(value) > maxDigits || strings.Trim(value, "0123456789") != "" {
		f.refuse(field, "is not 4 to 12 digits")
		return
	}
	size := 4
	if len(value)%4 != 0 && len(value)%3 == 0 {
		size = 3
	}
	var groups []string
	for group := range slices.Chunk([]byte(value), size) {
		groups = append(groups, string(group))
	}
	f.values[field] = strings.Join(groups, " ")
}

// symbols takes a code of printable characters; spaces would be lost or added in typing, so it has none and is not grouped.
func (f *fieldSet) symbols(field, value string) {
	if len(value) < minCode || len(value) > maxCode || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		f.refuse(field, "is not 4 to 64 letters, digits and symbols")
		return
	}
	f.values[field] = value
}

func (f *fieldSet) time(field string, value time.Time) { f.when(field, value, formatTime) }

func (f *fieldSet) date(field string, value time.Time) { f.when(field, value, formatDate) }

func (f *fieldSet) when(field string, value time.Time, format func(string, time.Time) string) {
	if value.IsZero() {
		f.refuse(field, "is missing")
	}
	f.values[field] = format(f.language, value)
}

// optionalTime is empty for the zero time.
func (f *fieldSet) optionalTime(field string, value time.Time) {
	f.values[field] = ""
	if !value.IsZero() {
		f.time(field, value)
	}
}

var germanMonths = [...]string{
	"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember",
}

// formatDate writes a date in the language's usual form; languages that are not shipped get digits only.
func formatDate(language string, value time.Time) string {
	base, _, _ := strings.Cut(language, "-")
	switch base {
	case "en":
		return value.Format("2 January 2006")
	case "de":
		return value.Format("2. ") + germanMonths[value.Month()-1] + value.Format(" 2006")
	default:
		return value.Format(time.DateOnly)
	}
}

// formatTime writes a time in the language's usual form, in the time's own zone.
func formatTime(language string, value time.Time) string {
	base, _, _ := strings.Cut(language, "-")
	date := formatDate(language, value)
	switch base {
	case "en":
		return date + value.Format(", 15:04 MST")
	case "de":
		return date + value.Format(", 15:04 Uhr MST")
	default:
		return date + value.Format(" 15:04 MST")
	}
}
