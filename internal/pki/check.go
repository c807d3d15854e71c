package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Clauses that violations name. They name the profile rather than its table: the tables are numbered differently in the
// editions of the standard.
const (
	clauseGeneral          = "ISO/IEC 18013-5 Annex B, B.1.1 general"
	clauseIACA             = "ISO/IEC 18013-5 Annex B, IACA root certificate"
	clauseLink             = "ISO/IEC 18013-5 Annex B, IACA link certificate"
	clauseDocumentSigner   = "ISO/IEC 18013-5 Annex B, document signer certificate"
	clauseStatusListSigner = "ISO/IEC 18013-5 Annex B, revocation list signer certificate"
	clauseCRL              = "ISO/IEC 18013-5 Annex B, CRL"
)

// minSerialBits tells serial numbers that cannot have been drawn with 63 random bits: an honest one is shorter only once in
// 65,536 times.
const minSerialBits = 48

// forbiddenExtensions may not stand in any certificate.
var forbiddenExtensions = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{oidPolicyMappings, "policy mappings"},
	{oidNameConstraints, "name constraints"},
	{oidPolicyConstraints, "policy constraints"},
	{oidInhibitAnyPolicy, "inhibit any policy"},
	{oidFreshestCRL, "freshest CRL"},
}

// CheckIACA returns every rule of the IACA root profile that the certificate breaks, rule ids "iaca.…". It does not look at
// the clock.
func CheckIACA(cert *x509.Certificate) []Violation {
	c := &checker{prefix: "iaca", clause: clauseIACA}
	if !c.present(cert) {
		return c.violations
	}
	c.common(cert)
	c.authority(cert)
	c.issuerAltName(cert)
	c.optionalCRLDistributionPoint(cert)
	c.criticalExtensions(cert.Extensions, oidKeyUsage, oidBasicConstraints)
	c.require(bytes.Equal(cert.RawIssuer, cert.RawSubject), "issuer", "issuer and subject must be the same name, byte for byte")
	c.signature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature, cert)
	return c.violations
}

// CheckLinkCertificate returns every rule that a link certificate from the old IACA root to its successor breaks, rule ids
// "link.…". It does not look at the clock.
func CheckLinkCertificate(cert, old, successor *x509.Certificate) []Violation {
	c := &checker{prefix: "link", clause: clauseLink}
	if !c.present(cert) {
		return c.violations
	}
	c.common(cert)
	c.authority(cert)
	c.issuerAltName(cert)
	c.optionalCRLDistributionPoint(cert)
	c.criticalExtensions(cert.Extensions, oidKeyUsage, oidBasicConstraints)
	c.issuedBy(cert, old)
	if successor == nil {
		c.fail("successor.missing", "there is no certificate of the successor to check against")
		return c.violations
	}
	c.require(bytes.Equal(cert.RawSubject, successor.RawSubject), "subject", "subject must be the successor's, byte for byte")
	c.require(bytes.Equal(cert.RawSubjectPublicKeyInfo, successor.RawSubjectPublicKeyInfo), "key", "key must be the successor's")
	return c.violations
}

// CheckDocumentSigner returns every rule of the document signer profile that the certificate breaks as a certificate of the
// given IACA at the given time, rule ids "ds.…". The IACA is taken as trusted and itself conforming ([CheckIACA]); without
// one the certificate is refused.
func CheckDocumentSigner(cert, iaca *x509.Certificate, now time.Time) []Violation {
	c := &checker{prefix: "ds", clause: clauseDocumentSigner}
	if !c.present(cert) {
		return c.violations
	}
	c.common(cert)
	c.signer(cert, MaxDocumentSignerValidity, now)
	c.documentSignerUsage(cert)
	c.issuerAltName(cert)
	if findExtension(cert.Extensions, oidCRLDistributionPoints) == nil {
		c.fail("crl_distribution_point", "CRL distribution points are missing")
	}
	c.optionalCRLDistributionPoint(cert)
	c.criticalExtensions(cert.Extensions, oidKeyUsage, oidExtendedKeyUsage)
	c.issuedBy(cert, iaca)
	return c.violations
}

// CheckStatusListSigner returns every rule of the revocation list signer profile that the certificate breaks as a
// certificate of the given IACA at the given time, rule ids "status.…". The IACA is taken as [CheckDocumentSigner] takes it.
func CheckStatusListSigner(cert, iaca *x509.Certificate, now time.Time) []Violation {
	c := &checker{prefix: "status", clause: clauseStatusListSigner}
	if !c.present(cert) {
		return c.violations
	}
	c.common(cert)
	c.signer(cert, MaxStatusListSignerValidity, now)
	c.statusListUsage(cert)
	c.optionalCRLDistributionPoint(cert)
	c.criticalExtensions(cert.Extensions, oidKeyUsage, oidExtendedKeyUsage) // a critical usage has its own rule
	c.issuedBy(cert, iaca)
	return c.violations
}

// CheckCRL returns every rule that a revocation list breaks as the full CRL of the given IACA at the given time, rule ids
// "crl.…".
func CheckCRL(crl *x509.RevocationList, iaca *x509.Certificate, now time.Time) []Violation {
	c := &checker{prefix: "crl", clause: clauseCRL}
	if crl == nil {
		c.fail("missing", "there is no CRL")
		return c.violations
	}
	c.require(crl.Number != nil && crl.Number.Sign() >= 0 && crl.Number.BitLen() < 8*serialOctets,
		"number", "CRL number must be present, not negative and at most 20 octets")
	if findExtension(crl.Extensions, oidDeltaCRLIndicator) != nil || findExtension(crl.Extensions, oidIssuingDistribution) != nil {
		c.fail("full", "the list must be full: no delta CRL indicator, no issuing distribution point")
	}
	c.criticalExtensions(crl.Extensions, oidDeltaCRLIndicator, oidIssuingDistribution) // these two have their own rule
	for _, entry := range crl.RevokedCertificateEntries {
		if slices.ContainsFunc(entry.Extensions, func(e pkix.Extension) bool { return e.Critical }) {
			c.fail("entry.extension.critical", "an entry has a critical extension")
			break
		}
	}
	c.updates(crl, now)
	c.algorithm(crl.SignatureAlgorithm)
	if iaca == nil {
		c.fail("issuer.missing", "there is no IACA certificate to check against")
		return c.violations
	}
	c.require(bytes.Equal(crl.RawIssuer, iaca.RawSubject), "issuer", "issuer must be the IACA's subject, byte for byte")
	c.authorityKeyID(crl.AuthorityKeyId, iaca)
	c.signature(crl.SignatureAlgorithm, crl.RawTBSRevocationList, crl.Signature, iaca)
	return c.violations
}

// checker collects the violations of one profile.
type checker struct {
	prefix     string
	clause     string
	violations []Violation
}

func (c *checker) fail(rule, text string) {
	c.failUnder(c.clause, rule, text)
}

func (c *checker) failUnder(clause, rule, text string) {
	c.violations = append(c.violations, Violation{Rule: c.prefix + "." + rule, Text: text, Clause: clause})
}

func (c *checker) require(holds bool, rule, text string) {
	if !holds {
		c.fail(rule, text)
	}
}

func (c *checker) present(cert *x509.Certificate) bool {
	c.require(cert != nil, "missing", "there is no certificate")
	return cert != nil
}

// common checks what every profile of Annex B asks for.
func (c *checker) common(cert *x509.Certificate) {
	c.require(cert.Version == 3, "version", fmt.Sprintf("certificate must be X.509 version 3, is version %d", cert.Version))
	c.serial(cert.SerialNumber)
	c.algorithm(cert.SignatureAlgorithm)
	if _, err := keyAlgorithm(cert.PublicKey); err != nil {
		c.fail("key.curve", "key must be ECDSA on P-256, P-384 or P-521, named")
	}
	c.require(!cert.NotAfter.Before(cert.NotBefore), "validity.order", "notAfter is before notBefore")
	c.subject(cert)
	c.subjectKeyID(cert)
	for _, forbidden := range forbiddenExtensions {
		if findExtension(cert.Extensions, forbidden.oid) != nil {
			c.failUnder(clauseGeneral, "extension.forbidden", "extension "+forbidden.name+" is forbidden")
		}
	}
}

func (c *checker) serial(serial *big.Int) {
	if serial == nil || serial.Sign() <= 0 {
		c.fail("serial.positive", "serial number must be positive")
		return
	}
	// The encoding has one more octet when the top bit is set.
	c.require(serial.BitLen() < 8*serialOctets, "serial.octets", "serial number must have at most 20 octets")
	c.require(serial.BitLen() >= minSerialBits, "serial.random", "serial number is too short to hold 63 random bits")
}

func (c *checker) algorithm(algorithm x509.SignatureAlgorithm) {
	c.require(permittedAlgorithm(algorithm), "signature.algorithm", "signature must be ECDSA with SHA-256, SHA-384 or SHA-512")
}

func permittedAlgorithm(algorithm x509.SignatureAlgorithm) bool {
	return algorithm == x509.ECDSAWithSHA256 || algorithm == x509.ECDSAWithSHA384 || algorithm == x509.ECDSAWithSHA512
}

func (c *checker) subject(cert *x509.Certificate) {
	attributes := attributesOf(cert.RawSubject)
	countries := valuesOf(attributes, oidCountryName)
	if len(countries) != 1 || !countryCode.Match(countries[0].Value.Bytes) {
		c.fail("subject.country", "subject must have one country of two upper-case letters")
	} else if countries[0].Value.Tag != asn1.TagPrintableString {
		c.fail("subject.country.encoding", "country must be a PrintableString")
	}
	commonNames := valuesOf(attributes, oidCommonName)
	c.require(len(commonNames) > 0 && len(commonNames[0].Value.Bytes) > 0, "subject.common_name", "subject must have a common name")
	for _, oid := range []asn1.ObjectIdentifier{
		oidCommonName, oidLocalityName, oidStateOrProvinceName, oidOrganizationName, oidOrganizationalUnitName,
	} {
		for _, found := range valuesOf(attributes, oid) {
			if tag := found.Value.Tag; tag != asn1.TagPrintableString && tag != asn1.TagUTF8String {
				c.fail("subject.encoding", "subject attribute "+oid.String()+" must be a PrintableString or UTF8String")
			}
		}
	}
}

func (c *checker) subjectKeyID(cert *x509.Certificate) {
	if len(cert.SubjectKeyId) == 0 {
		c.fail("subject_key_id", "subject key identifier is missing")
		return
	}
	want, err := keyID(cert.RawSubjectPublicKeyInfo)
	c.require(err == nil && bytes.Equal(cert.SubjectKeyId, want),
		"subject_key_id.value", "subject key identifier must be the SHA-1 hash of the public key")
}

// authority checks what IACA root and link certificates share.
func (c *checker) authority(cert *x509.Certificate) {
	c.require(!cert.NotAfter.After(cert.NotBefore.AddDate(MaxIACAYears, 0, 0)),
		"validity.limit", fmt.Sprintf("validity must be at most %d years", MaxIACAYears))
	c.keyUsage(cert, iacaKeyUsage, "key usage must be keyCertSign and cRLSign only")
	constraints := findExtension(cert.Extensions, oidBasicConstraints)
	if constraints == nil || !cert.IsCA || cert.MaxPathLen != 0 || !cert.MaxPathLenZero {
		c.fail("basic_constraints", "basic constraints must be CA with path length 0")
		return
	}
	c.require(constraints.Critical, "basic_constraints.critical", "basic constraints must be critical")
}

// signer checks what document signers and status-list signers share.
func (c *checker) signer(cert *x509.Certificate, maxValidity time.Duration, now time.Time) {
	c.require(cert.NotAfter.Sub(cert.NotBefore) <= maxValidity,
		"validity.limit", fmt.Sprintf("validity must be at most %d days", maxValidity/(24*time.Hour)))
	c.require(!now.Before(cert.NotBefore), "validity.not_yet", "certificate is not valid yet")
	c.require(!now.After(cert.NotAfter), "validity.expired", "certificate has expired")
	c.keyUsage(cert, signerKeyUsage, "key usage must be digitalSignature only")
	c.require(!cert.IsCA, "basic_constraints", "basic constraints must not say CA")
}

func (c *checker) keyUsage(cert *x509.Certificate, want x509.KeyUsage, text string) {
	extension := findExtension(cert.Extensions, oidKeyUsage)
	if extension == nil || cert.KeyUsage != want {
		c.fail("key_usage", text)
		return
	}
	c.require(extension.Critical, "key_usage.critical", "key usage must be critical")
}

func (c *checker) documentSignerUsage(cert *x509.Certificate) {
	extension := findExtension(cert.Extensions, oidExtendedKeyUsage)
	if extension == nil || len(cert.ExtKeyUsage) > 0 || len(cert.UnknownExtKeyUsage) != 1 ||
		!cert.UnknownExtKeyUsage[0].Equal(oidDocumentSigner) {
		c.fail("extended_key_usage", "extended key usage must be "+oidDocumentSigner.String()+" alone")
		return
	}
	c.require(extension.Critical, "extended_key_usage.critical", "extended key usage must be critical")
}

func (c *checker) statusListUsage(cert *x509.Certificate) {
	extension := findExtension(cert.Extensions, oidExtendedKeyUsage)
	if extension == nil {
		return
	}
	c.require(slices.ContainsFunc(cert.UnknownExtKeyUsage, oidStatusListSigner.Equal),
		"extended_key_usage", "extended key usage, when present, must hold "+oidStatusListSigner.String())
	c.require(!extension.Critical, "extended_key_usage.critical", "extended key usage must not be critical")
}

func (c *checker) issuerAltName(cert *x509.Certificate) {
	extension := findExtension(cert.Extensions, oidIssuerAltName)
	c.require(extension != nil && namesContact(extension.Value),
		"issuer_alternative_name", "issuer alternative name must be present with an e-mail address or URI")
}

func (c *checker) optionalCRLDistributionPoint(cert *x509.Certificate) {
	extension := findExtension(cert.Extensions, oidCRLDistributionPoints)
	if extension == nil {
		return
	}
	uris, plain := distributionPoints(extension.Value)
	c.require(uris, "crl_distribution_point", "every CRL distribution point must have a URI")
	c.require(plain, "crl_distribution_point.plain", "CRL distribution points must have neither reasons nor cRLIssuer")
}

// criticalExtensions refuses critical extensions beyond the permitted ones. Forbidden extensions are left to their own rule.
func (c *checker) criticalExtensions(extensions []pkix.Extension, permitted ...asn1.ObjectIdentifier) {
	for _, forbidden := range forbiddenExtensions {
		permitted = append(permitted, forbidden.oid)
	}
	for _, extension := range extensions {
		if extension.Critical && !slices.ContainsFunc(permitted, extension.Id.Equal) {
			c.fail("extension.critical", "extension "+extension.Id.String()+" must not be critical")
		}
	}
}

// issuedBy checks a certificate against the IACA it comes from.
func (c *checker) issuedBy(cert, iaca *x509.Certificate) {
	if iaca == nil {
		c.fail("issuer.missing", "there is no IACA certificate to check against")
		return
	}
	c.require(bytes.Equal(cert.RawIssuer, iaca.RawSubject), "issuer", "issuer must be the IACA's subject, byte for byte")
	c.signature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature, iaca)
	c.authorityKeyID(cert.AuthorityKeyId, iaca)
	c.require(!cert.NotAfter.After(iaca.NotAfter), "validity.iaca", "certificate must not outlast the IACA's")

	own, theirs := attributesOf(cert.RawSubject), attributesOf(iaca.RawSubject)
	// A malformed country is reported by its own rule.
	if country := valueOf(own, oidCountryName); countryCode.MatchString(country) {
		c.require(country == valueOf(theirs, oidCountryName), "subject.country.iaca", "country must be the IACA's")
	}
	if state := valueOf(theirs, oidStateOrProvinceName); state != "" {
		c.require(valueOf(own, oidStateOrProvinceName) == state, "subject.state", "state or province must be the IACA's")
	}
}

// signature verifies with the key of the issuer, unless the algorithm has already been refused.
func (c *checker) signature(algorithm x509.SignatureAlgorithm, signed, signature []byte, issuer *x509.Certificate) {
	if !permittedAlgorithm(algorithm) {
		return
	}
	if _, ok := issuer.PublicKey.(*ecdsa.PublicKey); !ok || issuer.CheckSignature(algorithm, signed, signature) != nil {
		c.fail("signature", "the signature does not verify with the IACA's key")
	}
}

func (c *checker) authorityKeyID(id []byte, iaca *x509.Certificate) {
	c.require(len(id) > 0 && bytes.Equal(id, iaca.SubjectKeyId),
		"authority_key_id", "authority key identifier must be present and equal the IACA's subject key identifier")
}

func (c *checker) updates(crl *x509.RevocationList, now time.Time) {
	c.require(!now.Before(crl.ThisUpdate), "this_update", "thisUpdate is in the future")
	if crl.NextUpdate.IsZero() {
		c.fail("next_update", "nextUpdate is missing")
		return
	}
	if crl.NextUpdate.Before(crl.ThisUpdate) {
		c.fail("next_update.order", "nextUpdate is before thisUpdate")
		return
	}
	c.require(crl.NextUpdate.Sub(crl.ThisUpdate) <= MaxCRLValidity,
		"next_update.limit", fmt.Sprintf("nextUpdate must be at most %d days after thisUpdate", MaxCRLValidity/(24*time.Hour)))
	c.require(!now.After(crl.NextUpdate), "next_update.past", "the list is out of date")
}
