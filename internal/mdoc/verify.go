package mdoc

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/veraison/go-cose"
)

const minRandomBytes = 16

// oidDocumentSigner is the extended key usage of a document signer (ISO/IEC 18013-5 Annex B).
var oidDocumentSigner = asn1.ObjectIdentifier{1, 0, 18013, 5, 1, 2}

// Check names one check of a verification.
type Check string

// The checks of ISO/IEC 18013-5 clause 9.3.1, in the order in which they are made.
const (
	// CheckChain: the document signer's certificate leads to a trusted IACA root, is in force, and is for signing mdocs.
	CheckChain Check = "chain"
	// CheckSignature: issuerAuth is signed by the key of that certificate.
	CheckSignature Check = "signature"
	// CheckDigests: every item has its digest in the MSO.
	CheckDigests Check = "digests"
	// CheckDocType: the MSO is for the docType that was expected.
	CheckDocType Check = "doctype"
	// CheckValidity: the MSO is in force, and was signed while the signer's certificate was.
	CheckValidity Check = "validity"
	// CheckDevice: the presentation is signed by the device key of the MSO. Only Document.Verify makes it.
	CheckDevice Check = "device"
)

// Problem is one finding of a check that failed. Detail names fields and data elements, never values.
type Problem struct {
	Check  Check
	Detail string
}

// VerificationError lists every problem that was found.
type VerificationError struct {
	Problems []Problem
}

// Error names the failed checks with their findings.
func (e *VerificationError) Error() string {
	parts := make([]string, len(e.Problems))
	for i, problem := range e.Problems {
		parts[i] = string(problem.Check) + ": " + problem.Detail
	}
	return "mdoc not verified: " + strings.Join(parts, "; ")
}

// VerifyOptions says what a verifier trusts and expects.
type VerifyOptions struct {
	// Roots are the trusted IACA certificates. Without any, nothing verifies.
	Roots *x509.CertPool
	// Now is the time for which everything must be in force.
	Now time.Time
	// DocType is the docType that was asked for, or that the DeviceResponse names. Empty: any.
	DocType string
}

// Verified is what a verified mdoc says.
type Verified struct {
	MSO MobileSecurityObject
	// Signer is the document signer's certificate.
	Signer     *x509.Certificate
	NameSpaces []NameSpace
}

// Verify makes all checks and returns the content only if none failed. Otherwise the error is a *VerificationError with every
// problem. It does not ask for the status of the document or of the certificates: see MSO.Status.
func (s *IssuerSigned) Verify(opts VerifyOptions) (*Verified, error) {
	if problems := s.problems(opts); len(problems) > 0 {
		return nil, &VerificationError{Problems: problems}
	}
	return s.verified(), nil
}

func (s *IssuerSigned) verified() *Verified {
	nameSpaces := make([]NameSpace, 0, len(s.NameSpaces))
	for _, ns := range s.NameSpaces {
		elements := make([]Element, 0, len(ns.Items))
		for _, item := range ns.Items {
			elements = append(elements, item.Element)
		}
		nameSpaces = append(nameSpaces, NameSpace{Name: ns.Name, Elements: elements})
	}
	return &Verified{MSO: s.MSO, Signer: s.Chain[0], NameSpaces: nameSpaces}
}

func (s *IssuerSigned) problems(opts VerifyOptions) []Problem {
	var found []Problem
	add := func(check Check, format string, args ...any) {
		found = append(found, Problem{Check: check, Detail: fmt.Sprintf(format, args...)})
	}
	if err := s.checkChain(opts); err != nil {
		add(CheckChain, "%v", err)
	}
	if err := verifySign1(s.auth, s.Chain[0].PublicKey); err != nil {
		add(CheckSignature, "%v", err)
	}
	s.checkDigests(func(format string, args ...any) { add(CheckDigests, format, args...) })
	if opts.DocType != "" && opts.DocType != s.MSO.DocType {
		add(CheckDocType, "MSO is for another docType")
	}
	s.checkValidity(opts.Now, func(format string, args ...any) { add(CheckValidity, format, args...) })
	return found
}

func (s *IssuerSigned) checkChain(opts VerifyOptions) error {
	if opts.Roots == nil {
		return errors.New("no trusted IACA root is given") // x509 would fall back on the roots of the system
	}
	signer := s.Chain[0]
	if signer.IsCA || signer.KeyUsage != x509.KeyUsageDigitalSignature || !hasDocumentSignerUsage(signer) {
		return errors.New("certificate is not one of a document signer")
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range s.Chain[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := signer.Verify(x509.VerifyOptions{
		Roots:         opts.Roots,
		Intermediates: intermediates,
		CurrentTime:   opts.Now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // x509 does not know the usage that is checked above
	})
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return errors.New("certificate does not lead to a trusted IACA root")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return errors.New("a certificate is expired or not yet valid")
	default:
		return fmt.Errorf("certificate is refused: %w", err)
	}
}

func hasDocumentSignerUsage(certificate *x509.Certificate) bool {
	for _, usage := range certificate.UnknownExtKeyUsage {
		if usage.Equal(oidDocumentSigner) {
			return true
		}
	}
	return false
}

// verifySign1 verifies the signature with the one algorithm that belongs to the key's curve.
func verifySign1(message *cose.UntaggedSign1Message, public any) error {
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return errCurve
	}
	c, err := curveOf(key)
	if err != nil {
		return err
	}
	if _, critical := message.Headers.Protected[cose.HeaderLabelCritical]; critical {
		return errors.New("critical header is not understood")
	}
	if algorithm, err := message.Headers.Protected.Algorithm(); err != nil || algorithm != c.algorithm {
		return errors.New("algorithm is missing or does not belong to the key")
	}
	verifier, err := cose.NewVerifier(c.algorithm, key)
	if err != nil {
		return fmt.Errorf("use public key: %w", err)
	}
	if err := message.Verify(nil, verifier); err != nil {
		return errors.New("signature does not verify")
	}
	return nil
}

func (s *IssuerSigned) checkDigests(add func(format string, args ...any)) {
	for _, ns := range s.NameSpaces {
		ids := make(map[uint64]struct{}, len(ns.Items))
		identifiers := make(map[string]struct{}, len(ns.Items))
		for _, item := range ns.Items {
			if !s.MSO.matches(ns.Name, item) {
				add("%q in %q has no matching digest", item.Identifier, ns.Name)
			}
			if len(item.Random) < minRandomBytes {
				add("random of %q in %q is too short", item.Identifier, ns.Name)
			}
			_, sameID := ids[item.DigestID]
			_, sameIdentifier := identifiers[item.Identifier]
			if sameID || sameIdentifier {
				add("%q in %q occurs twice", item.Identifier, ns.Name)
			}
			ids[item.DigestID], identifiers[item.Identifier] = struct{}{}, struct{}{}
		}
	}
}

func (s *IssuerSigned) checkValidity(now time.Time, add func(format string, args ...any)) {
	v, signer := s.MSO.Validity, s.Chain[0]
	if v.Signed.Before(signer.NotBefore) || v.Signed.After(signer.NotAfter) {
		add("signed outside the validity of the document signer's certificate")
	}
	if v.ValidFrom.Before(v.Signed) || !v.ValidUntil.After(v.ValidFrom) {
		add("dates are not in order")
	}
	if now.Before(v.ValidFrom) {
		add("not yet valid")
	}
	if now.After(v.ValidUntil) {
		add("expired")
	}
}
