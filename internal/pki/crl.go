package pki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"
)

// CRLOptions describe a certificate revocation list.
type CRLOptions struct {
	Number     *big.Int // greater than that of every earlier list
	ThisUpdate time.Time
	NextUpdate time.Time // at most 90 days after ThisUpdate
	Revoked    []Revocation
}

// Revocation is one entry of a CRL.
type Revocation struct {
	SerialNumber *big.Int
	At           time.Time
	Reason       int // CRLReason of RFC 5280, 5.3.1; 0 is unspecified
}

// NewCRL makes a full certificate revocation list (version 2) of the IACA. All certificates ever revoked and not yet expired
// belong in it.
//
// Errors: [*ProfileError], for example when NextUpdate is more than 90 days away.
func NewCRL(random io.Reader, iaca *x509.Certificate, signer crypto.Signer, options CRLOptions) (*x509.RevocationList, error) {
	if iaca == nil {
		return nil, errors.New("make CRL: the IACA certificate is missing")
	}
	algorithm, err := keyAlgorithm(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("make CRL: choose signature algorithm: %w", err)
	}
	entries := make([]x509.RevocationListEntry, len(options.Revoked))
	for i, revocation := range options.Revoked {
		entries[i] = x509.RevocationListEntry{
			SerialNumber:   revocation.SerialNumber,
			RevocationTime: revocation.At.UTC().Truncate(time.Second),
			ReasonCode:     revocation.Reason,
		}
	}
	der, err := x509.CreateRevocationList(random, &x509.RevocationList{
		SignatureAlgorithm:        algorithm,
		Number:                    options.Number,
		ThisUpdate:                options.ThisUpdate.UTC().Truncate(time.Second),
		NextUpdate:                options.NextUpdate.UTC().Truncate(time.Second),
		RevokedCertificateEntries: entries,
	}, iaca, signer)
	if err != nil {
		return nil, fmt.Errorf("make CRL: %w", err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("make CRL: read signed list: %w", err)
	}
	if violations := CheckCRL(crl, iaca, crl.ThisUpdate); len(violations) > 0 {
		return nil, &ProfileError{Violations: violations}
	}
	return crl, nil
}
