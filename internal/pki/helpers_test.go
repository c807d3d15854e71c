package pki_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/pki"
)

var (
	start   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	day     = 24 * time.Hour
	crlURL  = "https://iaca.example/crl"
	contact = "https://iaca.example/contact"
)

// authority is an IACA with its key.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

func iacaOptions() pki.IACAOptions {
	return pki.IACAOptions{
		Subject:       pki.Subject{Country: "UT", StateOrProvince: "UT-NO", Organization: "Utopia", CommonName: "Utopia IACA"},
		IssuerAltName: contact,
		CRLURL:        crlURL,
		NotBefore:     start,
		Validity:      9 * 365 * day,
	}
}

func signerOptions() pki.SignerOptions {
	return pki.SignerOptions{CommonName: "Utopia signer 1", Organization: "Utopia", NotBefore: start, NotAfter: start.Add(400 * day)}
}

func newAuthority(t testing.TB, curve elliptic.Curve) authority {
	t.Helper()
	key := newKey(t, curve)
	cert, err := pki.NewIACA(rand.Reader, key, iacaOptions())
	require.NoError(t, err)
	return authority{key: key, cert: cert}
}

func newDocumentSigner(t testing.TB, a authority) *x509.Certificate {
	t.Helper()
	cert, err := pki.NewDocumentSigner(rand.Reader, a.cert, a.key, newKey(t, elliptic.P256()).Public(), signerOptions())
	require.NoError(t, err)
	return cert
}

func newStatusListSigner(t testing.TB, a authority) *x509.Certificate {
	t.Helper()
	options := signerOptions()
	options.NotAfter = start.Add(1187 * day)
	cert, err := pki.NewStatusListSigner(rand.Reader, a.cert, a.key, newKey(t, elliptic.P256()).Public(), options)
	require.NoError(t, err)
	return cert
}

func newCRL(t testing.TB, a authority, revoked ...pki.Revocation) *x509.RevocationList {
	t.Helper()
	crl, err := pki.NewCRL(rand.Reader, a.cert, a.key, pki.CRLOptions{
		Number: big.NewInt(7), ThisUpdate: start, NextUpdate: start.Add(30 * day), Revoked: revoked,
	})
	require.NoError(t, err)
	return crl
}

func rules(violations []pki.Violation) []string {
	found := make([]string, 0, len(violations))
	for _, violation := range violations {
		found = append(found, violation.Rule)
	}
	return found
}

// tbsCertificate is the signed part of a certificate, to be changed in ways crypto/x509 does not offer.
type tbsCertificate struct {
	Version            int `asn1:"optional,explicit,default:0,tag:0"`
	SerialNumber       *big.Int
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Issuer             asn1.RawValue
	Validity           struct{ NotBefore, NotAfter time.Time }
	Subject            asn1.RawValue
	PublicKey          asn1.RawValue
	Extensions         []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
}

// tbsRevocationList is the signed part of a CRL.
type tbsRevocationList struct {
	Version            int
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Issuer             asn1.RawValue
	ThisUpdate         time.Time
	NextUpdate         time.Time                 `asn1:"optional"`
	Revoked            []pkix.RevokedCertificate `asn1:"optional"`
	Extensions         []pkix.Extension          `asn1:"omitempty,optional,explicit,tag:0"`
}

var (
	ecdsaWithSHA1   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}
	ecdsaWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

// reissue changes a certificate and signs it again.
func reissue(t testing.TB, cert *x509.Certificate, key *ecdsa.PrivateKey, change func(*tbsCertificate)) []byte {
	t.Helper()
	var tbs tbsCertificate
	rest, err := asn1.Unmarshal(cert.RawTBSCertificate, &tbs)
	require.NoError(t, err)
	require.Empty(t, rest)
	tbs.SignatureAlgorithm.Algorithm = ecdsaWithSHA256
	tbs.Extensions = slices.Clone(tbs.Extensions)
	change(&tbs)
	return signTBS(t, tbs, tbs.SignatureAlgorithm, key)
}

// reissueCRL changes a CRL and signs it again.
func reissueCRL(t testing.TB, crl *x509.RevocationList, key *ecdsa.PrivateKey, change func(*tbsRevocationList)) []byte {
	t.Helper()
	var tbs tbsRevocationList
	rest, err := asn1.Unmarshal(crl.RawTBSRevocationList, &tbs)
	require.NoError(t, err)
	require.Empty(t, rest)
	tbs.SignatureAlgorithm.Algorithm = ecdsaWithSHA256
	tbs.Extensions = slices.Clone(tbs.Extensions)
	change(&tbs)
	return signTBS(t, tbs, tbs.SignatureAlgorithm, key)
}

func signTBS(t testing.TB, tbs any, algorithm pkix.AlgorithmIdentifier, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	signed, err := asn1.Marshal(tbs)
	require.NoError(t, err)
	hash := sha256.Sum256(signed)
	digest, function := hash[:], crypto.SHA256
	if algorithm.Algorithm.Equal(ecdsaWithSHA1) {
		weak := sha1.Sum(signed)
		digest, function = weak[:], crypto.SHA1
	}
	signature, err := key.Sign(rand.Reader, digest, function)
	require.NoError(t, err)
	der, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: signed}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	require.NoError(t, err)
	return der
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	require.NoError(t, err)
	return der
}

// Extensions by their last arc under 2.5.29.
const (
	extSubjectKeyID         = 14
	extKeyUsage             = 15
	extIssuerAltName        = 18
	extBasicConstraints     = 19
	extCRLNumber            = 20
	extDeltaCRL             = 27
	extIssuingDistribution  = 28
	extNameConstraints      = 30
	extCRLDistribution      = 31
	extPolicyMappings       = 33
	extAuthorityKeyID       = 35
	extPolicyConstraints    = 36
	extExtendedKeyUsage     = 37
	extFreshestCRL          = 46
	extInhibitAnyPolicy     = 54
	extPrivateKeyUsePeriods = 16
)

func extensionID(arc int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, arc} }

func withoutExtension(extensions []pkix.Extension, arc int) []pkix.Extension {
	return slices.DeleteFunc(extensions, func(e pkix.Extension) bool { return e.Id.Equal(extensionID(arc)) })
}

func setCritical(extensions []pkix.Extension, arc int, critical bool) {
	for i := range extensions {
		if extensions[i].Id.Equal(extensionID(arc)) {
			extensions[i].Critical = critical
		}
	}
}

func setValue(extensions []pkix.Extension, arc int, value []byte) {
	for i := range extensions {
		if extensions[i].Id.Equal(extensionID(arc)) {
			extensions[i].Value = value
		}
	}
}

// Name attributes by their last arc under 2.5.4.
const (
	nameCN      = 3
	nameCountry = 6
	nameState   = 8
)

type nameAttribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type nameSET []nameAttribute

// editName changes the value of one attribute, or removes the attribute when edit returns false.
func editName(t testing.TB, name *asn1.RawValue, arc int, edit func(value *asn1.RawValue) bool) {
	t.Helper()
	var sequence, edited []nameSET
	_, err := asn1.Unmarshal(name.FullBytes, &sequence)
	require.NoError(t, err)
	for _, set := range sequence {
		keep := true
		for i := range set {
			if set[i].Type.Equal(asn1.ObjectIdentifier{2, 5, 4, arc}) {
				set[i].Value.FullBytes = nil
				keep = edit(&set[i].Value)
			}
		}
		if keep {
			edited = append(edited, set)
		}
	}
	*name = asn1.RawValue{FullBytes: encode(t, edited)}
}

func remove(*asn1.RawValue) bool { return false }

func setText(text string) func(*asn1.RawValue) bool {
	return func(value *asn1.RawValue) bool {
		value.Bytes = []byte(text)
		return true
	}
}

func setTag(tag int) func(*asn1.RawValue) bool {
	return func(value *asn1.RawValue) bool {
		value.Tag = tag
		return true
	}
}
