package pki

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"regexp"
	"unicode"
	"unicode/utf8"
)

var countryCode = regexp.MustCompile(`^[A-Z]{2}$`)

// Subject is a distinguished name with the attributes Annex B speaks of. Country (ISO 3166-1 alpha-2, upper case) and
// CommonName are mandatory.
type Subject struct {
	Country         string
	StateOrProvince string
	Locality        string
	Organization    string
	CommonName      string
}

// name encodes the subject. Text that fits becomes a PrintableString, other text a UTF8String; a country always fits.
func (s Subject) name() (pkix.Name, error) {
	if !countryCode.MatchString(s.Country) {
		return pkix.Name{}, errors.New("country must be two upper-case letters")
	}
	if s.CommonName == "" {
		return pkix.Name{}, errors.New("common name is missing")
	}
	name := pkix.Name{Country: []string{s.Country}, CommonName: s.CommonName}
	for _, attribute := range []struct {
		label string
		value string
		limit int // upper bounds of X.520
		set   func(string)
	}{
		{"common name", s.CommonName, 64, func(string) {}},
		{"state or province", s.StateOrProvince, 128, func(v string) { name.Province = []string{v} }},
		{"locality", s.Locality, 128, func(v string) { name.Locality = []string{v} }},
		{"organization", s.Organization, 64, func(v string) { name.Organization = []string{v} }},
	} {
		if attribute.value == "" {
			continue
		}
		if !plainText(attribute.value) || utf8.RuneCountInString(attribute.value) > attribute.limit {
			return pkix.Name{}, fmt.Errorf("%s must be at most %d printable characters", attribute.label, attribute.limit)
		}
		attribute.set(attribute.value)
	}
	return name, nil
}

func plainText(text string) bool {
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// attribute is one AttributeTypeAndValue with its value as encoded: the checks look at the string type too.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// relativeNameSET is a RelativeDistinguishedName; encoding/asn1 takes the SET from the type's name.
type relativeNameSET []attribute

// attributesOf lists the attributes of an encoded name, none if it is not one.
func attributesOf(rawName []byte) []attribute {
	var sequence []relativeNameSET
	if rest, err := asn1.Unmarshal(rawName, &sequence); err != nil || len(rest) > 0 {
		return nil
	}
	var attributes []attribute
	for _, relativeName := range sequence {
		attributes = append(attributes, relativeName...)
	}
	return attributes
}

// valuesOf picks the attributes of one type.
func valuesOf(attributes []attribute, oid asn1.ObjectIdentifier) []attribute {
	var found []attribute
	for _, candidate := range attributes {
		if candidate.Type.Equal(oid) {
			found = append(found, candidate)
		}
	}
	return found
}

// valueOf returns the text of the only attribute of a type, "" if there is none or more than one.
func valueOf(attributes []attribute, oid asn1.ObjectIdentifier) string {
	if found := valuesOf(attributes, oid); len(found) == 1 {
		return string(found[0].Value.Bytes)
	}
	return ""
}
