package mdoc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math/big"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/stretchr/testify/require"
)

const (
	docTypeMDL   = "org.iso.18013.5.1.mDL"
	nameSpaceMDL = "org.iso.18013.5.1"
)

var (
	signedAt   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	validUntil = signedAt.AddDate(0, 6, 0)
)

// authority is an IACA root with one document signer.
type authority struct {
	root   *x509.Certificate
	signer mdoc.Signer
}

func (a authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

func newAuthority(tb testing.TB, curve elliptic.Curve) authority {
	tb.Helper()
	return newAuthorityFor(tb, curve, func(*x509.Certificate) {})
}

// newAuthorityFor lets a test change the template of the document signer's certificate.
func newAuthorityFor(tb testing.TB, curve elliptic.Curve, change func(ds *x509.Certificate)) authority {
	tb.Helper()
	rootKey := newKey(tb, curve)
	root := certify(tb, &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Country: []string{"UT"}, CommonName: "Utopia IACA"},
		NotBefore:             signedAt.AddDate(-1, 0, 0),
		NotAfter:              signedAt.AddDate(8, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}, nil, rootKey.Public(), rootKey)

	key := newKey(tb, curve)
	template := dsTemplate()
	change(template)
	ds := certify(tb, template, root, key.Public(), rootKey)
	return authority{root: root, signer: mdoc.Signer{Key: key, Chain: []*x509.Certificate{ds}}}
}

func dsTemplate() *x509.Certificate {
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 0, 18013, 5, 1, 2}})
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{Country: []string{"UT"}, CommonName: "Utopia DS"},
		NotBefore:    signedAt.AddDate(0, -1, 0),
		NotAfter:     signedAt.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage},
		},
	}
}

func certify(tb testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	tb.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	require.NoError(tb, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return certificate
}

func newKey(tb testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(tb, err)
	return key
}

// stream is a reproducible source of randomness.
func stream(seed byte) io.Reader { return mrand.NewChaCha8([32]byte{seed}) }

// newRequest is an ordinary mDL with a domestic name space.
func newRequest(device *ecdsa.PublicKey) mdoc.Request {
	return mdoc.Request{
		DocType: docTypeMDL,
		NameSpaces: []mdoc.NameSpace{
			{Name: nameSpaceMDL, Elements: []mdoc.Element{
				{Identifier: "family_name", Value: "Mustermann"},
				{Identifier: "given_name", Value: "Erika"},
				{Identifier: "birth_date", Value: mdoc.FullDate("1964-08-12")},
				{Identifier: "portrait", Value: []byte{0xff, 0xd8, 0xff, 0xe0}},
				{Identifier: "portrait_capture_date", Value: mdoc.TDate("2026-01-02T03:04:05Z")},
				{Identifier: "height", Value: uint64(175)},
				{Identifier: "age_over_18", Value: true},
				{Identifier: "driving_privileges", Value: []any{
					mdoc.Map{
						{Key: "vehicle_category_code", Value: "B"},
						{Key: "issue_date", Value: mdoc.FullDate("1984-01-31")},
						{Key: "codes", Value: []any{mdoc.Map{{Key: "code", Value: "01"}}}},
					},
				}},
			}},
			{Name: nameSpaceMDL + ".UT", Elements: []mdoc.Element{{Identifier: "resident_county", Value: "123"}}},
		},
		DigestAlgorithm: mdoc.SHA256,
		DeviceKey:       device,
		Signed:          signedAt,
		ValidFrom:       signedAt,
		ValidUntil:      validUntil,
		Status:          &mdoc.StatusRef{Index: 412, URI: "https://issuer.example/status/1"},
	}
}

// vectors reads the example values of ISO/IEC 18013-5 Annex D. They lie beside the checkout.
func vectors(tb testing.TB) map[string][]byte {
	tb.Helper()
	folder := os.Getenv("MDOCKET_VECTORS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		tb.Skipf("no test vectors: set MDOCKET_VECTORS to the folder that holds them")
	}
	content, err := os.ReadFile(filepath.Join(folder, "iso18013-5-annex-d.json"))
	require.NoError(tb, err)
	var file struct {
		Values map[string]string `json:"values"`
	}
	require.NoError(tb, json.Unmarshal(content, &file))
	values := make(map[string][]byte, len(file.Values))
	for name, text := range file.Values {
		values[name], err = hex.DecodeString(text)
		require.NoError(tb, err)
	}
	return values
}
