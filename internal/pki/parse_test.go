package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/pki"
)

func TestParseCertificate(t *testing.T) {
	cert := newAuthority(t, elliptic.P256()).cert
	encoded := pki.EncodeCertificate(cert)
	for name, input := range map[string][]byte{
		"DER":                  cert.Raw,
		"PEM":                  encoded,
		"PEM with text around": append(append([]byte("0 subject: Utopia\n"), encoded...), "\n-- \n"...),
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := pki.ParseCertificate(input)
			require.NoError(t, err)
			require.Equal(t, cert.Raw, parsed.Raw)
		})
	}
	for name, input := range map[string][]byte{
		"nothing":            nil,
		"text":               []byte("not a certificate"),
		"cut off":            cert.Raw[:len(cert.Raw)-1],
		"trailing octet":     append(bytes.Clone(cert.Raw), 0),
		"two PEM blocks":     append(bytes.Clone(encoded), encoded...),
		"private key":        pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: cert.Raw}),
		"PEM around nothing": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pki.ParseCertificate(input)
			require.ErrorContains(t, err, "parse certificate")
		})
	}
	_, err := pki.ParseCertificate(make([]byte, pki.MaxCertificateSize+1))
	require.ErrorIs(t, err, pki.ErrTooLarge)
}

// TestParseCertificateRefusesKeys covers the two key encodings that Annex B forbids: they never get as far as a check.
func TestParseCertificateRefusesKeys(t *testing.T) {
	iaca := newAuthority(t, elliptic.P256())
	key, ok := iaca.cert.PublicKey.(*ecdsa.PublicKey)
	require.True(t, ok)
	point, err := key.Bytes()
	require.NoError(t, err)
	compressed := append([]byte{2 + point[64]&1}, point[1:33]...)
	ecKey := asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	p256 := asn1.RawValue{FullBytes: encode(t, asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7})}
	explicit := asn1.RawValue{FullBytes: encode(t, struct{ Version int }{1})}
	type algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters asn1.RawValue
	}
	type keyInfo struct {
		Algorithm algorithm
		Key       asn1.BitString
	}
	for name, info := range map[string]keyInfo{
		"compressed point":    {algorithm{ecKey, p256}, asn1.BitString{Bytes: compressed, BitLength: 8 * len(compressed)}},
		"explicit parameters": {algorithm{ecKey, explicit}, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}},
	} {
		t.Run(name, func(t *testing.T) {
			der := reissue(t, iaca.cert, iaca.key, func(tbs *tbsCertificate) { tbs.PublicKey = asn1.RawValue{FullBytes: encode(t, info)} })
			_, err := pki.ParseCertificate(der)
			require.ErrorContains(t, err, "parse certificate")
		})
	}
}

func TestParseCRL(t *testing.T) {
	crl := newCRL(t, newAuthority(t, elliptic.P256()))
	for name, input := range map[string][]byte{
		"DER": crl.Raw, "PEM": pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl.Raw}),
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := pki.ParseCRL(input)
			require.NoError(t, err)
			require.Equal(t, crl.Raw, parsed.Raw)
		})
	}
	for name, input := range map[string][]byte{
		"nothing":        nil,
		"trailing octet": append(bytes.Clone(crl.Raw), 0),
		"certificate":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: crl.Raw}),
		"cut off":        crl.Raw[:len(crl.Raw)-1],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pki.ParseCRL(input)
			require.ErrorContains(t, err, "parse CRL")
		})
	}
}

var update = flag.Bool("update", false, "make the stored certificates and CRL anew")

// stored are certificates and a CRL made once and kept, so that every fuzzing process has the same and so that what was
// issued in the past goes on passing.
type stored struct {
	iaca, signer, status *x509.Certificate
	crl                  *x509.RevocationList
}

func loadStored(t testing.TB) stored {
	t.Helper()
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		return content
	}
	certificate := func(name string) *x509.Certificate {
		cert, err := pki.ParseCertificate(read(name))
		require.NoError(t, err)
		return cert
	}
	crl, err := pki.ParseCRL(read("crl.der"))
	require.NoError(t, err)
	return stored{certificate("iaca.der"), certificate("document_signer.der"), certificate("status_list_signer.der"), crl}
}

func TestStoredCertificatesPass(t *testing.T) {
	if *update {
		iaca := newAuthority(t, elliptic.P256())
		revoked := pki.Revocation{SerialNumber: big.NewInt(99), At: start, Reason: 1}
		for name, content := range map[string][]byte{
			"iaca.der":               iaca.cert.Raw,
			"document_signer.der":    newDocumentSigner(t, iaca).Raw,
			"status_list_signer.der": newStatusListSigner(t, iaca).Raw,
			"crl.der":                newCRL(t, iaca, revoked).Raw,
		} {
			require.NoError(t, os.WriteFile(filepath.Join("testdata", name), content, 0o600))
		}
	}
	s := loadStored(t)
	require.Empty(t, pki.CheckIACA(s.iaca))
	require.Empty(t, pki.CheckDocumentSigner(s.signer, s.iaca, start))
	require.Empty(t, pki.CheckStatusListSigner(s.status, s.iaca, start))
	require.Empty(t, pki.CheckCRL(s.crl, s.iaca, start))
}

// FuzzCheckCertificate reads arbitrary bytes as a certificate and runs every check on it. Nothing but what the IACA at hand
// has signed may pass.
func FuzzCheckCertificate(f *testing.F) {
	s := loadStored(f)
	f.Add(s.iaca.Raw)
	f.Add(s.signer.Raw)
	f.Add(s.status.Raw)
	f.Add(pki.EncodeCertificate(s.signer))
	f.Fuzz(func(t *testing.T, input []byte) {
		cert, err := pki.ParseCertificate(input)
		if err != nil {
			require.Nil(t, cert)
			return
		}
		requireOnly(t, cert, s.iaca, pki.CheckIACA(cert))
		requireOnly(t, cert, s.signer, pki.CheckDocumentSigner(cert, s.iaca, start))
		requireOnly(t, cert, s.status, pki.CheckStatusListSigner(cert, s.iaca, start))
		require.NotEmpty(t, pki.CheckLinkCertificate(cert, s.iaca, s.signer))
		pki.CheckDocumentSigner(s.signer, cert, start) // the IACA is the caller's choice: here it need only not panic
	})
}

// FuzzCheckCRL does the same for revocation lists.
func FuzzCheckCRL(f *testing.F) {
	s := loadStored(f)
	f.Add(s.crl.Raw)
	f.Fuzz(func(t *testing.T, input []byte) {
		crl, err := pki.ParseCRL(input)
		if err != nil {
			require.Nil(t, crl)
			return
		}
		if len(pki.CheckCRL(crl, s.iaca, start)) == 0 {
			require.Equal(t, s.crl.RawTBSRevocationList, crl.RawTBSRevocationList)
		}
	})
}

func requireOnly(t *testing.T, cert, expected *x509.Certificate, violations []pki.Violation) {
	t.Helper()
	if len(violations) == 0 {
		require.Equal(t, expected.RawTBSCertificate, cert.RawTBSCertificate)
	}
}
