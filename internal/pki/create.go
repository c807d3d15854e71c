package pki

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"
)

// serialOctets is the longest serial number Annex B allows.
const serialOctets = 20

// IACAOptions describe an IACA root certificate.
type IACAOptions struct {
	Subject       Subject
	IssuerAltName string // e-mail address or absolute URI of the issuing authority
	CRLURL        string // http(s) address where the CRL is published
	NotBefore     time.Time
	Validity      time.Duration // at most 20 years; 9 are enough for mDL only
}

// SignerOptions describe a document signer or a status-list signer. Country comes from the IACA, state or province too when
// the IACA has one (another one given here is refused).
type SignerOptions struct {
	CommonName      string
	StateOrProvince string
	Locality        string
	Organization    string
	CRLURL          string // empty: where the IACA certificate says
	NotBefore       time.Time
	NotAfter        time.Time // never past the IACA's
}

// NewIACA makes a self-signed IACA root certificate for the key of signer.
//
// Errors: [*ProfileError] when the options make no certificate of the profile (too long a validity, for example).
func NewIACA(random io.Reader, signer crypto.Signer, options IACAOptions) (*x509.Certificate, error) {
	template, err := iacaTemplate(options)
	if err != nil {
		return nil, fmt.Errorf("make IACA certificate: %w", err)
	}
	cert, err := sign(random, template, nil, signer.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("make IACA certificate: %w", err)
	}
	return conforming(cert, CheckIACA(cert))
}

// NewDocumentSigner makes a document signer certificate for a public key, signed by the IACA.
//
// Errors: [*ProfileError], for example when NotAfter is past the IACA's or more than 457 days after NotBefore.
func NewDocumentSigner(
	random io.Reader, iaca *x509.Certificate, iacaSigner crypto.Signer, public crypto.PublicKey, options SignerOptions,
) (*x509.Certificate, error) {
	usage, err := extendedKeyUsage(oidDocumentSigner, true)
	if err != nil {
		return nil, fmt.Errorf("make document signer certificate: %w", err)
	}
	cert, err := newSigner(random, iaca, iacaSigner, public, options, usage)
	if err != nil {
		return nil, fmt.Errorf("make document signer certificate: %w", err)
	}
	return conforming(cert, CheckDocumentSigner(cert, iaca, cert.NotBefore))
}

// NewStatusListSigner makes a certificate for signing status lists (the revocation-list signer of Annex B), signed by the
// IACA. It carries the status-list extended key usage, not critical.
//
// Errors: [*ProfileError], for example when it would last more than 1187 days.
func NewStatusListSigner(
	random io.Reader, iaca *x509.Certificate, iacaSigner crypto.Signer, public crypto.PublicKey, options SignerOptions,
) (*x509.Certificate, error) {
	usage, err := extendedKeyUsage(oidStatusListSigner, false)
	if err != nil {
		return nil, fmt.Errorf("make status-list signer certificate: %w", err)
	}
	cert, err := newSigner(random, iaca, iacaSigner, public, options, usage)
	if err != nil {
		return nil, fmt.Errorf("make status-list signer certificate: %w", err)
	}
	return conforming(cert, CheckStatusListSigner(cert, iaca, cert.NotBefore))
}

// NewLinkCertificate makes the certificate by which verifiers that trust the old IACA come to trust its successor: the
// successor's subject and key, signed by the old key. It lasts from notBefore to the earlier end of the two roots.
func NewLinkCertificate(
	random io.Reader, old *x509.Certificate, oldSigner crypto.Signer, successor *x509.Certificate, notBefore time.Time,
) (*x509.Certificate, error) {
	if old == nil || successor == nil {
		return nil, errors.New("make link certificate: a root certificate is missing")
	}
	altName := findExtension(old.Extensions, oidIssuerAltName)
	if altName == nil {
		return nil, errors.New("make link certificate: the old IACA certificate has no issuer alternative name")
	}
	notAfter := old.NotAfter
	if successor.NotAfter.Before(notAfter) {
		notAfter = successor.NotAfter
	}
	cert, err := sign(random, &x509.Certificate{
		RawSubject:            successor.RawSubject,
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              iacaKeyUsage,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		CRLDistributionPoints: old.CRLDistributionPoints,
		ExtraExtensions:       []pkix.Extension{*altName},
	}, old, successor.PublicKey, oldSigner)
	if err != nil {
		return nil, fmt.Errorf("make link certificate: %w", err)
	}
	return conforming(cert, CheckLinkCertificate(cert, old, successor))
}

func iacaTemplate(options IACAOptions) (*x509.Certificate, error) {
	subject, err := options.Subject.name()
	if err != nil {
		return nil, err
	}
	altName, err := issuerAltName(options.IssuerAltName)
	if err != nil {
		return nil, err
	}
	if !isWebURL(options.CRLURL) {
		return nil, errors.New("CRL URL must be an http or https URL")
	}
	return &x509.Certificate{
		Subject:               subject,
		NotBefore:             options.NotBefore,
		NotAfter:              options.NotBefore.Add(options.Validity),
		KeyUsage:              iacaKeyUsage,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		CRLDistributionPoints: []string{options.CRLURL},
		ExtraExtensions:       []pkix.Extension{altName},
	}, nil
}

func newSigner(
	random io.Reader, iaca *x509.Certificate, iacaSigner crypto.Signer, public crypto.PublicKey, options SignerOptions, usage pkix.Extension,
) (*x509.Certificate, error) {
	if iaca == nil {
		return nil, errors.New("the IACA certificate is missing")
	}
	altName := findExtension(iaca.Extensions, oidIssuerAltName)
	if altName == nil {
		return nil, errors.New("the IACA certificate has no issuer alternative name")
	}
	iacaSubject := attributesOf(iaca.RawSubject)
	state := options.StateOrProvince
	if state == "" {
		state = valueOf(iacaSubject, oidStateOrProvinceName)
	}
	subject, err := Subject{
		Country:         valueOf(iacaSubject, oidCountryName),
		StateOrProvince: state,
		Locality:        options.Locality,
		Organization:    options.Organization,
		CommonName:      options.CommonName,
	}.name()
	if err != nil {
		return nil, err
	}
	crlURLs := iaca.CRLDistributionPoints
	if options.CRLURL != "" {
		crlURLs = []string{options.CRLURL}
	}
	for _, crlURL := range crlURLs {
		if !isWebURL(crlURL) {
			return nil, errors.New("CRL URL must be an http or https URL")
		}
	}
	return sign(random, &x509.Certificate{
		Subject:               subject,
		NotBefore:             options.NotBefore,
		NotAfter:              options.NotAfter,
		KeyUsage:              signerKeyUsage,
		CRLDistributionPoints: crlURLs,
		ExtraExtensions:       []pkix.Extension{{Id: oidIssuerAltName, Value: altName.Value}, usage},
	}, iaca, public, iacaSigner)
}

// sign fills in what every certificate has and signs; a nil issuer means self-signed.
func sign(
	random io.Reader, template, issuer *x509.Certificate, public crypto.PublicKey, signer crypto.Signer,
) (*x509.Certificate, error) {
	var err error
	if template.SignatureAlgorithm, err = keyAlgorithm(signer.Public()); err != nil {
		return nil, fmt.Errorf("choose signature algorithm: %w", err)
	}
	if _, err = keyAlgorithm(public); err != nil {
		return nil, fmt.Errorf("certify key: %w", err)
	}
	keyInfo, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	if template.SubjectKeyId, err = keyID(keyInfo); err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	if template.SerialNumber, err = newSerial(random); err != nil {
		return nil, err
	}
	// Certificates count in seconds; a fraction would be cut off when encoding and read back differently.
	template.NotBefore = template.NotBefore.UTC().Truncate(time.Second)
	template.NotAfter = template.NotAfter.UTC().Truncate(time.Second)
	if issuer == nil {
		issuer = template
	} else {
		// Set here because crypto/x509 leaves it out when the two names are equal, as in a link certificate.
		template.AuthorityKeyId = issuer.SubjectKeyId
	}
	der, err := x509.CreateCertificate(random, template, issuer, public, signer)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read signed certificate: %w", err)
	}
	return cert, nil
}

// newSerial draws a positive serial number of exactly 20 octets, 158 bits of them random.
func newSerial(random io.Reader) (*big.Int, error) {
	octets := make([]byte, serialOctets)
	if _, err := io.ReadFull(random, octets); err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	octets[0] = octets[0]&0x7f | 0x40 // positive, and no leading zeros to drop
	return new(big.Int).SetBytes(octets), nil
}

// conforming lets out only what passes its own check.
func conforming(cert *x509.Certificate, violations []Violation) (*x509.Certificate, error) {
	if len(violations) > 0 {
		return nil, &ProfileError{Violations: violations}
	}
	return cert, nil
}
