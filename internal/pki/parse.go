package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Sizes above which input is refused unread.
const (
	// MaxCertificateSize bounds a certificate or request, in bytes of input.
	MaxCertificateSize = 64 << 10
	// MaxCRLSize bounds a revocation list, in bytes of input.
	MaxCRLSize = 16 << 20
)

// ErrTooLarge is returned for input above the size limits.
var ErrTooLarge = errors.New("too large")

// Types of PEM blocks.
const (
	pemCertificate = "CERTIFICATE"
	pemCRL         = "X509 CRL"
	pemRequest     = "CERTIFICATE REQUEST"
)

// ParseCertificate reads one certificate, DER or PEM. Text around the PEM block is allowed, a second block is not. Keys with
// a compressed point or explicit curve parameters, which Annex B forbids, cannot be read.
func ParseCertificate(input []byte) (*x509.Certificate, error) {
	der, err := toDER(input, pemCertificate, MaxCertificateSize)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	return cert, nil
}

// ParseCRL reads one certificate revocation list, DER or PEM.
func ParseCRL(input []byte) (*x509.RevocationList, error) {
	der, err := toDER(input, pemCRL, MaxCRLSize)
	if err != nil {
		return nil, fmt.Errorf("parse CRL: %w", err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("parse CRL: %w", err)
	}
	if len(crl.Raw) != len(der) {
		return nil, errors.New("parse CRL: trailing data")
	}
	return crl, nil
}

// EncodeCertificate returns a certificate as PEM.
func EncodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: cert.Raw})
}

// EncodeCSR returns a certificate request as PEM.
func EncodeCSR(request *x509.CertificateRequest) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemRequest, Bytes: request.Raw})
}

// toDER unwraps PEM. DER is told by its first two octets: a SEQUENCE with a long-form length, which no text starts with.
func toDER(input []byte, blockType string, limit int) ([]byte, error) {
	if len(input) > limit {
		return nil, fmt.Errorf("more than %d bytes: %w", limit, ErrTooLarge)
	}
	if len(input) > 1 && input[0] == 0x30 && input[1] >= 0x80 {
		return input, nil
	}
	block, rest := pem.Decode(input)
	if block == nil {
		return nil, errors.New("neither DER nor PEM")
	}
	if block.Type != blockType {
		return nil, fmt.Errorf("the PEM block is not of type %s", blockType)
	}
	if bytes.Contains(rest, []byte("-----BEGIN ")) {
		return nil, errors.New("more than one PEM block")
	}
	return block.Bytes, nil
}
