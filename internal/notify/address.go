package notify

import (
	"errors"
	"net/mail"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Errors of [NormalizeMobile] and [ValidEmail]. They never hold the input.
var (
	// ErrMobile is a text that is no valid mobile number.
	ErrMobile = errors.New("not a valid mobile number")
	// ErrRegion is a default region unknown to the numbering plan.
	ErrRegion = errors.New("not a region with telephone numbers")
	// ErrEmail is a text that is no plain e-mail address.
	ErrEmail = errors.New("not a valid e-mail address")
)

const (
	// maxNumberInput leaves room for the 15 digits of E.164 with any usual grouping.
	maxNumberInput = 40
	unknownRegion  = "ZZ"
)

// NormalizeMobile turns a mobile number as people write it into E.164 ("+491701234567"). defaultRegion is the ISO 3166-1
// alpha-2 code that national numbers belong to; with "" only international numbers are accepted. Numbers that the numbering
// plan knows as anything but mobile are refused, as are extensions and letters. Errors: [ErrMobile], [ErrRegion].
func NormalizeMobile(number, defaultRegion string) (string, error) {
	region := strings.ToUpper(defaultRegion)
	if region == "" {
		region = unknownRegion
	} else if !phonenumbers.GetSupportedRegions()[region] {
		return "", ErrRegion
	}
	number = strings.TrimSpace(number)
	// The parser takes letters, other scripts' digits and text around a number; a person who types those is asked again.
	if len(number) > maxNumberInput || strings.LastIndex(number, "+") > 0 ||
		strings.ContainsFunc(number, func(r rune) bool { return !strings.ContainsRune("+0123456789 ()./-", r) }) {
		return "", ErrMobile
	}
	parsed, err := phonenumbers.Parse(number, region)
	if err != nil || parsed.GetExtension() != "" || !phonenumbers.IsValidNumber(parsed) {
		return "", ErrMobile
	}
	// Some plans, such as the North American one, do not tell mobile from fixed numbers.
	if kind := phonenumbers.GetNumberType(parsed); kind != phonenumbers.MOBILE && kind != phonenumbers.FIXED_LINE_OR_MOBILE {
		return "", ErrMobile
	}
	return phonenumbers.Format(parsed, phonenumbers.E164), nil
}

// Limits of RFC 5321, 4.5.3.1, and RFC 1035, 2.3.4.
const (
	maxAddress   = 254
	maxLocalPart = 64
	maxLabel     = 63
)

// ValidEmail checks that a text is one plain e-mail address: "local@domain.tld" in ASCII (an international domain in its xn--
// form), a local part without quotes, a domain of two or more labels, no display name, nothing around it. The error is
// [ErrEmail].
func ValidEmail(address string) error {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Name != "" || parsed.Address != address || len(address) > maxAddress {
		return ErrEmail
	}
	local, domain, found := strings.Cut(address, "@")
	if !found || len(local) > maxLocalPart || !isDotAtom(local) || !isDomain(domain) {
		return ErrEmail
	}
	return nil
}

// isDotAtom checks dot-atom-text of RFC 5322, 3.2.3.
func isDotAtom(text string) bool {
	for atom := range strings.SplitSeq(text, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtext(r) }) {
			return false
		}
	}
	return true
}

func isAtext(r rune) bool {
	return isLetterOrDigit(r) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

func isLetterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// isDomain checks for a host name of two or more labels whose last one is no number.
func isDomain(domain string) bool {
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > maxLabel || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.ContainsFunc(label, func(r rune) bool { return !isLetterOrDigit(r) && r != '-' }) {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
