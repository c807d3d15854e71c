// Package pki makes and checks the certificates of ISO/IEC 18013-5 Annex B: the IACA root, its link certificate, document
// signers, status-list (revocation-list) signers and the certificate revocation list.
//
// Making ([NewIACA], [NewDocumentSigner], [NewStatusListSigner], [NewLinkCertificate], [NewCRL]) takes a crypto.Signer, so the
// private key may live anywhere; what is made has passed the package's own check. Checking ([CheckIACA],
// [CheckDocumentSigner], [CheckStatusListSigner], [CheckLinkCertificate], [CheckCRL]) names every rule a certificate breaks,
// not only the first.
//
// The package is not a path validator: building a chain, trust decisions and looking a certificate up in a CRL are left to
// crypto/x509 and the caller. Of the curves of Annex B it knows P-256, P-384 and P-521.
package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"strings"
	"time"
)

// Limits of Annex B.
const (
	// MaxIACAYears is the longest validity of an IACA root or link certificate, in years.
	MaxIACAYears = 20
	// MaxDocumentSignerValidity is the longest validity of a document signer certificate.
	MaxDocumentSignerValidity = 457 * 24 * time.Hour
	// MaxStatusListSignerValidity is the longest validity of a status-list signer certificate.
	MaxStatusListSignerValidity = 1187 * 24 * time.Hour
	// MaxCRLValidity is the longest time from a CRL's thisUpdate to its nextUpdate.
	MaxCRLValidity = 90 * 24 * time.Hour
)

const (
	iacaKeyUsage   = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	signerKeyUsage = x509.KeyUsageDigitalSignature
)

// Extended key usages.
var (
	oidDocumentSigner   = asn1.ObjectIdentifier{1, 0, 18013, 5, 1, 2}
	oidStatusListSigner = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 30}
)

// Extensions (RFC 5280).
var (
	oidSubjectKeyID           = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage               = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidIssuerAltName          = asn1.ObjectIdentifier{2, 5, 29, 18}
	oidBasicConstraints       = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidDeltaCRLIndicator      = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingDistribution    = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidNameConstraints        = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidCRLDistributionPoints  = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidPolicyMappings         = asn1.ObjectIdentifier{2, 5, 29, 33}
	oidAuthorityKeyID         = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidPolicyConstraints      = asn1.ObjectIdentifier{2, 5, 29, 36}
	oidExtendedKeyUsage       = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidFreshestCRL            = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidInhibitAnyPolicy       = asn1.ObjectIdentifier{2, 5, 29, 54}
	oidCountryName            = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidCommonName             = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidLocalityName           = asn1.ObjectIdentifier{2, 5, 4, 7}
	oidStateOrProvinceName    = asn1.ObjectIdentifier{2, 5, 4, 8}
	oidOrganizationName       = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidOrganizationalUnitName = asn1.ObjectIdentifier{2, 5, 4, 11}
)

// Violation is one broken rule.
type Violation struct {
	Rule   string // stable id, for example "ds.key_usage.critical"
	Text   string // what is wrong, for a person
	Clause string // where the rule stands
}

// String returns rule, text and clause in one line.
func (v Violation) String() string {
	return v.Rule + ": " + v.Text + " (" + v.Clause + ")"
}

// ProfileError is returned instead of a certificate or CRL that would break its profile.
type ProfileError struct {
	Violations []Violation // at least one
}

// Error lists all violations.
func (e *ProfileError) Error() string {
	lines := make([]string, len(e.Violations))
	for i, violation := range e.Violations {
		lines[i] = violation.String()
	}
	return "profile violated: " + strings.Join(lines, "; ")
}
