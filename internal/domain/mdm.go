package domain

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MDMRestriction says what a person's device must be to the mobile device management (MDM) when a document is collected (B10).
type MDMRestriction string

// The restrictions.
const (
	MDMUnrestricted        MDMRestriction = "unrestricted"
	MDMMustBeRegistered    MDMRestriction = "must_be_registered"     // the person has an external mobile id and the MDM knows it
	MDMMustNotBeRegistered MDMRestriction = "must_not_be_registered" // the person has none or the MDM does not know it
)

// MDMRule is the rule of a profile for the device that a document is collected with (B10). The zero value restricts nothing.
type MDMRule struct {
	Restriction        MDMRestriction `json:"restriction"`
	System             string         `json:"system,omitempty"`              // which MDM; may be empty where there is only one
	RequiredAttributes string         `json:"required_attributes,omitempty"` // see [ParseRequiredAttributes]
}

// Defaults fills what was left out.
func (r *MDMRule) Defaults() {
	if r.Restriction == "" {
		r.Restriction = MDMUnrestricted
	}
}

var mdmSystemName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ValidMDMSystem says whether name can be that of an MDM: 1 to 63 of a-z, 0-9, dash and underscore, starting with a letter or digit.
func ValidMDMSystem(name string) bool { return mdmSystemName.MatchString(name) }

// Check reports every rule that r breaks. Whether the MDM exists is for whoever knows the configuration.
func (r MDMRule) Check() Problems {
	var ps Problems
	switch r.Restriction {
	case "", MDMUnrestricted, MDMMustBeRegistered, MDMMustNotBeRegistered:
	default:
		ps.Add("restriction", "must be unrestricted, must_be_registered or must_not_be_registered")
		return ps
	}
	if r.System != "" {
		if !r.restricts() {
			ps.Add("system", "needs a restriction")
		} else if !ValidMDMSystem(r.System) {
			ps.Add("system", "must be the name of a configured MDM")
		}
	}
	if r.RequiredAttributes != "" {
		if r.Restriction != MDMMustBeRegistered {
			ps.Add("required_attributes", "needs must_be_registered")
		} else if _, err := parseRequiredAttributes(r.RequiredAttributes); err != nil {
			ps.Add("required_attributes", "%s", err)
		}
	}
	return ps
}

func (r MDMRule) restricts() bool { return r.Restriction != "" && r.Restriction != MDMUnrestricted }

// NeedsLookup says whether the MDM has to be asked for the device of a person with this external mobile id, which is empty when there is none.
func (r MDMRule) NeedsLookup(externalID string) bool { return r.restricts() && hasMobileID(externalID) }

func hasMobileID(externalID string) bool { return strings.TrimSpace(externalID) != "" }

// MDMReason names why a device may be used or not.
type MDMReason string

// The reasons.
const (
	MDMAllowed          MDMReason = "allowed"
	MDMNoMobileID       MDMReason = "no_external_mobile_id" // must be registered, and the person has no id to look for
	MDMNotRegistered    MDMReason = "not_registered"        // must be registered, and the MDM does not know the id
	MDMRegistered       MDMReason = "registered"            // must not be registered, and the MDM knows the id
	MDMAttributesDiffer MDMReason = "attributes_differ"     // registered, but required attributes do not hold
)

// MDMVerdict is what an [MDMRule] says of a device. The zero value does not allow it.
type MDMVerdict struct {
	Reason MDMReason
	// Attributes are the names of the required attributes that do not hold.
	Attributes []string
}

// Allowed says whether the document may be collected.
func (v MDMVerdict) Allowed() bool { return v.Reason == MDMAllowed }

// Text says the reason in words, without personal data.
func (v MDMVerdict) Text() string {
	switch v.Reason {
	case MDMAllowed:
		return "the device may be used"
	case MDMNoMobileID:
		return "the person has no external mobile id, and the device must be registered in the mobile device management"
	case MDMNotRegistered:
		return "the device must be registered in the mobile device management, and is not"
	case MDMRegistered:
		return "the device must not be registered in the mobile device management, and is"
	case MDMAttributesDiffer:
		return "the mobile device management says otherwise than required of " + strings.Join(v.Attributes, ", ")
	}
	return "the device has not been checked"
}

// Verdict applies the rule to the person's external mobile id, empty when there is none, and to what the MDM answered: whether it found the
// device, and the device as encoding/json decodes it. Without an id, found and device do not count. The error is that of a rule that does not
// pass [MDMRule.Check]; such a rule allows nothing.
func (r MDMRule) Verdict(externalID string, found bool, device any) (MDMVerdict, error) {
	if ps := r.Check(); len(ps) > 0 {
		return MDMVerdict{}, ps.Err(CodeInvalid, "the device rule of the profile is not valid")
	}
	known := hasMobileID(externalID) && found
	switch {
	case r.Restriction == MDMMustNotBeRegistered && known:
		return MDMVerdict{Reason: MDMRegistered}, nil
	case r.Restriction != MDMMustBeRegistered:
		return MDMVerdict{Reason: MDMAllowed}, nil
	case !hasMobileID(externalID):
		return MDMVerdict{Reason: MDMNoMobileID}, nil
	case !known:
		return MDMVerdict{Reason: MDMNotRegistered}, nil
	}
	required, err := ParseRequiredAttributes(r.RequiredAttributes)
	if err != nil {
		return MDMVerdict{}, err
	}
	if unmet := required.Unmet(device); len(unmet) > 0 {
		return MDMVerdict{Reason: MDMAttributesDiffer, Attributes: unmet}, nil
	}
	return MDMVerdict{Reason: MDMAllowed}, nil
}

// RequiredAttribute is one attribute that a device must have.
type RequiredAttribute struct {
	Path  []string // names of fields, or numbers of entries in lists, from the outside in
	Value string
}

// RequiredAttributes are attributes that a device must have, all of them.
type RequiredAttributes []RequiredAttribute

const (
	maxRequiredAttributes     = 50
	maxRequiredAttributesText = 4096 // bytes
)

// ParseRequiredAttributes reads "field=value, a.b=value": comparisons with commas between. Dots walk into nested objects, and into lists by the
// number of the entry, the first being 0. Spaces around names, "=", values and commas do not count. A name with a dot, a space or one of , = "
// in it is put in double quotes, and so is a value that has one of , = " in it, spaces at its ends, or nothing at all; a double quote within is
// doubled: "@odata.type"=x, owner.name="Smith, ""Ann""". The empty text requires nothing. Errors name the position, in characters from 1.
func ParseRequiredAttributes(s string) (RequiredAttributes, error) {
	attributes, err := parseRequiredAttributes(s)
	if err != nil {
		return nil, fmt.Errorf("parse required attributes: %w", err)
	}
	return attributes, nil
}

func parseRequiredAttributes(s string) (RequiredAttributes, error) {
	if len(s) > maxRequiredAttributesText {
		return nil, fmt.Errorf("are longer than %d bytes", maxRequiredAttributesText)
	}
	p := attributeParser{text: s}
	if p.space(); p.rest() == "" {
		return nil, nil
	}
	var attributes RequiredAttributes
	seen := map[string]bool{}
	for {
		p.space()
		start := p.at
		attribute, err := p.attribute()
		if err != nil {
			return nil, err
		}
		if seen[attribute.name()] {
			p.at = start
			return nil, p.errorf("names a field for the second time")
		}
		seen[attribute.name()] = true
		if attributes = append(attributes, attribute); len(attributes) > maxRequiredAttributes {
			return nil, fmt.Errorf("are more than %d", maxRequiredAttributes)
		}
		if p.rest() == "" {
			return attributes, nil
		}
		if !p.take(",") {
			return nil, p.errorf("wants a comma")
		}
	}
}

// attributeParser walks over the text from the front.
type attributeParser struct {
	text string
	at   int // in bytes
}

func (p *attributeParser) rest() string { return p.text[p.at:] }

func (p *attributeParser) errorf(format string, args ...any) error {
	return fmt.Errorf("%s at position %d", fmt.Sprintf(format, args...), utf8.RuneCountInString(p.text[:p.at])+1)
}

func (p *attributeParser) take(s string) bool {
	if !strings.HasPrefix(p.rest(), s) {
		return false
	}
	p.at += len(s)
	return true
}

func (p *attributeParser) space() { p.at += len(p.rest()) - len(strings.TrimLeft(p.rest(), " ")) }

// attribute reads one comparison and the spaces behind it.
func (p *attributeParser) attribute() (RequiredAttribute, error) {
	var a RequiredAttribute
	for {
		name, err := p.item("a field name", ".,= ", `"`)
		if err != nil {
			return a, err
		}
		if name == "" {
			return a, p.errorf("has an empty field name")
		}
		a.Path = append(a.Path, name)
		if !p.take(".") {
			break
		}
	}
	p.space()
	if !p.take("=") {
		return a, p.errorf("wants = after a field name")
	}
	p.space()
	var err error
	a.Value, err = p.item("a value", ",", `="`)
	p.space()
	return a, err
}

// item reads text in quotes, or bare text up to one of the characters in ends. Bare text has no spaces at its end and none of the characters in
// quotable.
func (p *attributeParser) item(what, ends, quotable string) (string, error) {
	if strings.HasPrefix(p.rest(), `"`) {
		return p.quoted(what)
	}
	length := strings.IndexAny(p.rest(), ends+quotable)
	if length < 0 {
		length = len(p.rest())
	}
	text := strings.TrimRight(p.rest()[:length], " ")
	if text == "" {
		return "", p.errorf("wants %s", what)
	}
	if bad := strings.IndexFunc(text, unwritable); bad >= 0 {
		p.at += bad
		return "", p.errorf("has a character that cannot be written")
	}
	p.at += length
	if rest := p.rest(); rest != "" && strings.IndexByte(quotable, rest[0]) >= 0 {
		return "", p.errorf("wants quotes around %s with such a character", what)
	}
	return text, nil
}

func (p *attributeParser) quoted(what string) (string, error) {
	start := p.at
	p.at++
	var text strings.Builder
	for {
		length := strings.IndexByte(p.rest(), '"')
		if length < 0 {
			p.at = start
			return "", p.errorf("opens quotes around %s that are not closed", what)
		}
		part := p.rest()[:length]
		if bad := strings.IndexFunc(part, unwritable); bad >= 0 {
			p.at += bad
			return "", p.errorf("has a character that cannot be written")
		}
		text.WriteString(part)
		p.at += length + 1
		if !p.take(`"`) {
			return text.String(), nil
		}
		text.WriteByte('"')
	}
}

// unwritable characters are control characters and broken UTF-8.
func unwritable(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }

// String gives the attributes in a form that [ParseRequiredAttributes] reads back.
func (a RequiredAttributes) String() string {
	parts := make([]string, len(a))
	for i, attribute := range a {
		value := attribute.Value
		if value == "" || strings.ContainsAny(value, `,="`) || strings.Trim(value, " ") != value {
			value = quote(value)
		}
		parts[i] = attribute.name() + "=" + value
	}
	return strings.Join(parts, ", ")
}

func (a RequiredAttribute) name() string {
	names := make([]string, len(a.Path))
	for i, name := range a.Path {
		if names[i] = name; strings.ContainsAny(name, `.,=" `) {
			names[i] = quote(name)
		}
	}
	return strings.Join(names, ".")
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// Unmet gives the names, as they are written in the rule, of the attributes that do not hold for device, a JSON value as encoding/json decodes it
// into an any, best with UseNumber. Names and texts must be exactly equal. Numbers and booleans are compared by their JSON text: 1.0 is not 1.
// What is missing, null, a list or an object equals no value. The answer holds no values.
func (a RequiredAttributes) Unmet(device any) []string {
	var unmet []string
	for _, attribute := range a {
		text, scalar := jsonText(jsonAt(device, attribute.Path))
		if !scalar || text != attribute.Value {
			unmet = append(unmet, attribute.name())
		}
	}
	return unmet
}

// jsonAt walks along path; it gives nil where nothing is.
func jsonAt(value any, path []string) any {
	for _, name := range path {
		switch container := value.(type) {
		case map[string]any:
			value = container[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(container) || strconv.Itoa(i) != name {
				return nil
			}
			value = container[i]
		default:
			return nil
		}
	}
	return value
}

// jsonText gives the text of a JSON text, number or boolean.
func jsonText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return v.String(), true
	case float64:
		text, err := json.Marshal(v)
		return string(text), err == nil
	}
	return "", false
}
