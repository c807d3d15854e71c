package domain

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// PersonStatus says whether a person can receive documents.
type PersonStatus string

// The statuses of a person (A1).
const (
	PersonActive   PersonStatus = "active"
	PersonInactive PersonStatus = "inactive"
)

// DataApproval says that somebody has checked a person's data against evidence (A3). It is no personal data.
type DataApproval struct {
	By       string // account id; empty = not approved
	At       time.Time
	VettedOn Date // the day the evidence was looked at
}

// Approved says whether the data are approved.
func (a DataApproval) Approved() bool { return a.By != "" }

// Person is a holder or future holder of documents (A1). Everything but ID, group, Status, DataApproval, Version and the times is personal
// data.
type Person struct {
	ID               string
	ExternalID       string // employee number or the like; unique when set
	LogonName        string
	GivenName        string
	FamilyName       string
	Email            string
	Mobile           string // E.164
	BirthDate        Date
	GroupID          string
	Group            string // path of the group, "Division/Department"
	Language         string // BCP 47 tag of the messages to this person; empty = the server's default
	Status           PersonStatus
	MaxExpiry        Date // no document of this person is valid after this day
	ExternalMobileID string
	Attributes       map[string]any // values for document formats: string, bool, float64, []any, map[string]any
	HasPortrait      bool
	HasSignature     bool
	DataApproval     DataApproval
	ErasedAt         time.Time // zero = not erased
	Version          int       // grows with every change
	CreatedAt        time.Time
	UpdatedAt        time.Time
}

// Erased says that the record keeps no personal data any more (A4).
func (p *Person) Erased() bool { return !p.ErasedAt.IsZero() }

// SameIdentity says that the data which an approval vouches for are the same: names, birth date and attributes (A3). Images count too, but
// are not here.
func (p *Person) SameIdentity(q *Person) bool {
	if p.GivenName != q.GivenName || p.FamilyName != q.FamilyName || p.BirthDate != q.BirthDate || len(p.Attributes) != len(q.Attributes) {
		return false
	}
	if len(p.Attributes) == 0 {
		return true
	}
	a, err1 := json.Marshal(p.Attributes) // members come sorted
	b, err2 := json.Marshal(q.Attributes)
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}

// SameRecord says that everything that is kept of the person is the same, but for approval, images and what tells versions apart.
func (p *Person) SameRecord(q *Person) bool {
	return p.SameIdentity(q) && p.ExternalID == q.ExternalID && p.LogonName == q.LogonName && p.Email == q.Email && p.Mobile == q.Mobile &&
		p.GroupID == q.GroupID && p.Language == q.Language && p.Status == q.Status && p.MaxExpiry == q.MaxExpiry &&
		p.ExternalMobileID == q.ExternalMobileID
}

// ImageKind says what an image of a person shows.
type ImageKind string

// The kinds of image (A1).
const (
	ImagePortrait  ImageKind = "portrait"
	ImageSignature ImageKind = "signature"
)

// Image is a picture of a person, kept as it came.
type Image struct {
	PersonID   string
	Kind       ImageKind
	MediaType  string // image/jpeg or image/jp2
	Bytes      []byte
	CapturedAt time.Time // zero = not known
}

// languageTag is the shape of RFC 5646; whether the language exists does not matter here: unknown ones get the server's default.
var languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$`)

const (
	maxText       = 150 // ISO/IEC 18013-5 7.2.1: text at most 150 characters
	maxAttributes = 200
)

// Check reports every field that breaks a rule. E-mail and mobile number are checked for form elsewhere, where the libraries for them are.
func (p *Person) Check() Problems {
	var ps Problems
	for _, f := range []struct {
		name, value string
		required    bool
	}{
		{"external_id", p.ExternalID, false},
		{"logon_name", p.LogonName, false},
		{"given_name", p.GivenName, true},
		{"family_name", p.FamilyName, true},
		{"external_mobile_id", p.ExternalMobileID, false},
	} {
		checkText(&ps, f.name, f.value, f.required)
	}
	checkTextUpTo(&ps, "group", p.Group, MaxGroupPath)
	checkDay(&ps, "birth_date", p.BirthDate)
	checkDay(&ps, "max_expiry", p.MaxExpiry)
	if p.Status != PersonActive && p.Status != PersonInactive {
		ps.Add("status", "must be active or inactive")
	}
	if p.Language != "" && !languageTag.MatchString(p.Language) {
		ps.Add("language", "must be a language tag such as en or de-CH")
	}
	if len(p.Attributes) > maxAttributes {
		ps.Add("attributes", "are more than %d", maxAttributes)
	}
	for name := range p.Attributes {
		if name == "" || len(name) > 100 || strings.ContainsFunc(name, unicode.IsSpace) {
			ps.Add("attributes", "hold a name that is empty, over 100 characters or has spaces")
			break
		}
	}
	return ps
}

func checkText(ps *Problems, field, value string, required bool) {
	if required && strings.TrimSpace(value) == "" {
		ps.Add(field, "is required")
		return
	}
	checkTextUpTo(ps, field, value, maxText)
}

func checkTextUpTo(ps *Problems, field, value string, most int) {
	switch {
	case !utf8.ValidString(value):
		ps.Add(field, "is not valid UTF-8")
	case utf8.RuneCountInString(value) > most:
		ps.Add(field, "is longer than %d characters", most)
	case strings.ContainsFunc(value, unicode.IsControl):
		ps.Add(field, "has control characters")
	}
}

func checkDay(ps *Problems, field string, d Date) {
	if _, err := ParseDate(string(d)); err != nil {
		ps.Add(field, "must be a day as YYYY-MM-DD")
	}
}
