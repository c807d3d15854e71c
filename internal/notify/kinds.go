package notify

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Kind names what a message is about; it is the first part of the template's file name.
type Kind string

// The kinds.
const (
	KindCollectionLink     Kind = "collection_link"     // e-mail
	KindAuthenticationCode Kind = "authentication_code" // e-mail and SMS
	KindApprovalReminder   Kind = "approval_reminder"   // e-mail
)

// Data is what a message is made from: [CollectionLink], [AuthenticationCode] or [ApprovalReminder].
type Data interface {
	kind() Kind
	// values gives the template's fields, checked and in the forms of a language. Errors hold no data.
	values(language string) (map[string]string, error)
}

// CollectionLink tells the holder where to collect the document. It has no place for a code.
type CollectionLink struct {
	// ServerName is what the holder knows the issuer by.
	ServerName string
	// GivenName is for the salutation and may be empty.
	GivenName string
	// DocumentName is the document as people call it.
	DocumentName string
	// Link is the https (or http) address of the collection page.
	Link string
	// Deadline is shown in its own time zone.
	Deadline time.Time
}

// AuthenticationCode gives the holder the code to type. It has no place for a link, and its names must not contain one.
type AuthenticationCode struct {
	ServerName, DocumentName string
	// Code is 4 to 12 digits; it is shown in groups, "1234 5678".
	Code string
	// ValidUntil is shown in its own time zone.
	ValidUntil time.Time
}

// ApprovalReminder tells an approver of a request that waits for a decision.
type ApprovalReminder struct {
	ServerName, DocumentName, RequestID string
	// WaitingSince and Deadline are shown in their own time zones.
	WaitingSince, Deadline time.Time
	// ReviewURL is the https (or http) address where approvers decide.
	ReviewURL string
}

// Fields that must never meet in one message.
const (
	fieldLink = "Link"
	fieldCode = "Code"
)

// kindInfo is what the check of templates knows of a kind.
type kindInfo struct {
	parts []string
	// required is the field without which the message has no point.
	required string
	// samples cover optional fields set and unset.
	samples []Data
}

// fields lists the fields that templates of the kind may use.
func (i kindInfo) fields() []string {
	for _, sample := range i.samples {
		if values, err := sample.values(fallbackLanguage); err == nil {
			return slices.Sorted(maps.Keys(values))
		}
	}
	return nil
}

var (
	sampleTime = time.Date(2026, time.March, 14, 15, 9, 0, 0, time.UTC)

	kinds = map[Kind]kindInfo{
		KindCollectionLink: {
			parts: emailParts, required: fieldLink,
			samples: []Data{
				CollectionLink{"Sample Authority", "Ada", "Sample Licence", "https://issuer.example/collect/sample", sampleTime},
				CollectionLink{"Sample Authority", "", "Sample Licence", "https://issuer.example/collect/sample", sampleTime},
			},
		},
		KindAuthenticationCode: {
			parts: append([]string{partSMS}, emailParts...), required: fieldCode,
			samples: []Data{AuthenticationCode{"Sample Authority", "Sample Licence", "90817263", sampleTime}},
		},
		KindApprovalReminder: {
			parts: emailParts, required: "ReviewURL",
			samples: []Data{ApprovalReminder{
				"Sample Authority", "Sample Licence", "sample-request", sampleTime, sampleTime.Add(time.Hour),
				"https://issuer.example/review/sample",
			}},
		},
	}
)

func (CollectionLink) kind() Kind { return KindCollectionLink }

func (c CollectionLink) values(language string) (map[string]string, error) {
	fields := newFields(language)
	fields.name("ServerName", c.ServerName)
	fields.optionalName("GivenName", c.GivenName)
	fields.name("DocumentName", c.DocumentName)
	fields.address(fieldLink, c.Link)
	fields.time("Deadline", c.Deadline)
	return fields.done()
}

func (AuthenticationCode) kind() Kind { return KindAuthenticationCode }

func (a AuthenticationCode) values(language string) (map[string]string, error) {
	fields := newFields(language)
	fields.name("ServerName", a.ServerName)
	fields.name("DocumentName", a.DocumentName)
	fields.code(fieldCode, a.Code)
	fields.time("ValidUntil", a.ValidUntil)
	return fields.done()
}

func (ApprovalReminder) kind() Kind { return KindApprovalReminder }

func (a ApprovalReminder) values(language string) (map[string]string, error) {
	fields := newFields(language)
	fields.name("ServerName", a.ServerName)
	fields.name("DocumentName", a.DocumentName)
	fields.name("RequestID", a.RequestID)
	fields.time("WaitingSince", a.WaitingSince)
	fields.time("Deadline", a.Deadline)
	fields.address("ReviewURL", a.ReviewURL)
	return fields.done()
}

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

func (f *fieldSet) time(field string, value time.Time) {
	if value.IsZero() {
		f.refuse(field, "is missing")
	}
	f.values[field] = formatTime(f.language, value)
}

const (
	minCode = 4
	maxCode = 12
)

// code shows digits in groups of four, or of three where that comes out even.
func (f *fieldSet) code(field, value string) {
	if len(value) < minCode || len(value) > maxCode || strings.Trim(value, "0123456789") != "" {
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

var germanMonths = [...]string{
	"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember",
}

// formatTime writes a time in the language's usual form, in the time's own zone; languages that are not shipped get digits only.
func formatTime(language string, value time.Time) string {
	base, _, _ := strings.Cut(language, "-")
	switch base {
	case "en":
		return value.Format("2 January 2006, 15:04 MST")
	case "de":
		return value.Format("2. ") + germanMonths[value.Month()-1] + value.Format(" 2006, 15:04 Uhr MST")
	default:
		return value.Format("2006-01-02 15:04 MST")
	}
}
