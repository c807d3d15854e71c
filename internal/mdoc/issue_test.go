package mdoc_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/stretchr/testify/require"
	"github.com/veraison/go-cose"
)

func TestIssueRoundTrip(t *testing.T) {
	tests := []struct {
		name      string
		curve     elliptic.Curve
		device    elliptic.Curve
		digest    mdoc.DigestAlgorithm
		algorithm cose.Algorithm
	}{
		{"P-256", elliptic.P256(), elliptic.P256(), mdoc.SHA256, cose.AlgorithmES256},
		{"P-384", elliptic.P384(), elliptic.P521(), mdoc.SHA384, cose.AlgorithmES384},
		{"P-521", elliptic.P521(), elliptic.P384(), mdoc.SHA512, cose.AlgorithmES512},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			issuer, device := newAuthority(t, test.curve), newKey(t, test.device)
			req := newRequest(&device.PublicKey)
			req.DigestAlgorithm = test.digest
			update := signedAt.AddDate(0, 3, 0)
			req.ExpectedUpdate = &update

			issued, err := mdoc.Issue(rand.Reader, req, issuer.signer)
			require.NoError(t, err)
			parsed, err := mdoc.Parse(issued.Bytes)
			require.NoError(t, err)
			verified, err := parsed.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt, DocType: docTypeMDL})
			require.NoError(t, err)

			require.Equal(t, req.NameSpaces, verified.NameSpaces)
			require.Equal(t, issued.MSO, verified.MSO)
			require.Equal(t, req.Status, verified.MSO.Status)
			require.Equal(t, &update, verified.MSO.Validity.ExpectedUpdate)
			require.True(t, device.PublicKey.Equal(verified.MSO.DeviceKey))
			require.Equal(t, issuer.signer.Chain[0].Raw, verified.Signer.Raw)

			encoded, err := issued.MSO.MarshalCBOR()
			require.NoError(t, err)
			require.Equal(t, parsed.MSOBytes, encoded)
		})
	}
}

// The layout that wallets and readers rely on: key order, tags, and what is protected.
func TestIssueLayout(t *testing.T) {
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	issued, err := mdoc.Issue(stream(1), newRequest(&device.PublicKey), issuer.signer)
	require.NoError(t, err)

	var wire struct {
		NameSpaces map[string][]cbor.RawTag `cbor:"nameSpaces"`
		IssuerAuth struct {
			_           struct{} `cbor:",toarray"`
			Protected   []byte
			Unprotected map[int64]any
			Payload     []byte
			Signature   []byte
		} `cbor:"issuerAuth"`
	}
	require.NoError(t, cbor.Unmarshal(issued.Bytes, &wire))
	require.Equal(t, []byte{0xa1, 0x01, 0x26}, wire.IssuerAuth.Protected)
	require.Equal(t, map[int64]any{33: issuer.signer.Chain[0].Raw}, wire.IssuerAuth.Unprotected)
	require.Equal(t, []byte{0xd8, 0x18}, wire.IssuerAuth.Payload[:2])
	require.Len(t, wire.IssuerAuth.Signature, 64)

	for _, raws := range wire.NameSpaces {
		for _, raw := range raws {
			require.EqualValues(t, 24, raw.Number)
			var item []byte
			require.NoError(t, cbor.Unmarshal(raw.Content, &item))
			text, err := cbor.Diagnose(item)
			require.NoError(t, err)
			requireOrder(t, text, `"digestID"`, `"random"`, `"elementIdentifier"`, `"elementValue"`)
		}
	}
	msoBytes, err := mdoc.UnwrapEncoded(wire.IssuerAuth.Payload)
	require.NoError(t, err)
	text, err := cbor.Diagnose(msoBytes)
	require.NoError(t, err)
	requireOrder(t, text, `"version": "1.0"`, `"digestAlgorithm": "SHA-256"`, `"valueDigests"`, `"deviceKeyInfo"`, `"docType"`,
		`"validityInfo"`, `"signed": 0("2026-03-01T12:00:00Z")`, `"validFrom"`, `"validUntil"`,
		`"status": {"status_list": {"idx": 412, "uri": "https://issuer.example/status/1"}}`)
}

func TestIssueChainOfSeveral(t *testing.T) {
	root := newKey(t, elliptic.P256())
	rootCert := certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"},
		NotBefore: signedAt.AddDate(-1, 0, 0), NotAfter: signedAt.AddDate(5, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}, nil, root.Public(), root)
	middle := newKey(t, elliptic.P256())
	middleCert := certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Middle"},
		NotBefore: signedAt.AddDate(-1, 0, 0), NotAfter: signedAt.AddDate(5, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}, rootCert, middle.Public(), root)
	key := newKey(t, elliptic.P256())
	ds := certify(t, dsTemplate(), middleCert, key.Public(), middle)
	device := newKey(t, elliptic.P256())

	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey),
		mdoc.Signer{Key: key, Chain: []*x509.Certificate{ds, middleCert}})
	require.NoError(t, err)
	parsed, err := mdoc.Parse(issued.Bytes)
	require.NoError(t, err)
	require.Len(t, parsed.Chain, 2)
	_, err = parsed.Verify(mdoc.VerifyOptions{Roots: authority{root: rootCert}.roots(), Now: signedAt})
	require.NoError(t, err)

	for name, chain := range map[string][]*x509.Certificate{
		"with the root": {ds, middleCert, rootCert},
		"out of order":  {ds, ds},
	} {
		_, err = mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), mdoc.Signer{Key: key, Chain: chain})
		require.ErrorIs(t, err, mdoc.ErrSigner, name)
	}
}

func TestIssueIsReproducible(t *testing.T) {
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	content := func(seed byte) (items [][]byte, mso []byte) {
		issued, err := mdoc.Issue(stream(seed), newRequest(&device.PublicKey), issuer.signer)
		require.NoError(t, err)
		parsed, err := mdoc.Parse(issued.Bytes)
		require.NoError(t, err)
		for _, ns := range parsed.NameSpaces {
			for _, item := range ns.Items {
				items = append(items, item.Raw)
			}
		}
		return items, parsed.MSOBytes
	}
	items, mso := content(1)
	sameItems, sameMSO := content(1)
	require.Equal(t, items, sameItems)
	require.Equal(t, mso, sameMSO)

	otherItems, otherMSO := content(2)
	require.NotEqual(t, mso, otherMSO)
	for i := range items {
		require.NotEqual(t, items[i], otherItems[i])
	}
}

func TestPreparedSignsOnce(t *testing.T) {
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	key := &flaky{Signer: issuer.signer.Key, failures: 1}
	issuer.signer.Key = key
	prepared, err := mdoc.Prepare(stream(1), newRequest(&device.PublicKey), issuer.signer)
	require.NoError(t, err)
	_, err = prepared.Sign()
	require.ErrorIs(t, err, errFlaky)
	issued, err := prepared.Sign()
	require.NoError(t, err)
	_, err = prepared.Sign()
	require.ErrorIs(t, err, mdoc.ErrSpent)

	parsed, err := mdoc.Parse(issued.Bytes)
	require.NoError(t, err)
	_, err = parsed.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt})
	require.NoError(t, err)
}

var errFlaky = errors.New("module does not answer")

// flaky is a key whose first uses fail.
type flaky struct {
	crypto.Signer
	failures int
}

func (f *flaky) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if f.failures > 0 {
		f.failures--
		return nil, errFlaky
	}
	return f.Signer.Sign(random, digest, opts)
}

// Over many documents every element gets every id, no salt occurs twice, and the MSO lists ids in ascending order.
func TestDigestIDsAreShuffled(t *testing.T) {
	const documents, elements = 400, 5
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	req := newRequest(&device.PublicKey)
	req.NameSpaces = req.NameSpaces[:1]
	req.NameSpaces[0].Elements = req.NameSpaces[0].Elements[:elements]

	var counts [elements][elements]int
	salts := map[string]struct{}{}
	random := stream(7)
	for range documents {
		issued, err := mdoc.Issue(random, req, issuer.signer)
		require.NoError(t, err)
		parsed, err := mdoc.Parse(issued.Bytes)
		require.NoError(t, err)
		seen := map[uint64]bool{}
		for i, item := range parsed.NameSpaces[0].Items {
			require.Less(t, item.DigestID, uint64(elements))
			require.False(t, seen[item.DigestID])
			seen[item.DigestID] = true
			counts[i][item.DigestID]++
			require.Len(t, item.Random, 16)
			salts[string(item.Random)] = struct{}{}
		}
		for i, digest := range issued.MSO.ValueDigests[0].Digests {
			require.EqualValues(t, i, digest.ID)
		}
	}
	require.Len(t, salts, documents*elements)
	for _, row := range counts {
		for _, count := range row {
			require.InDelta(t, documents/elements, count, documents/elements/2)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	other := newKey(t, elliptic.P256())
	p224 := newKey(t, elliptic.P224())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	setElement := func(e mdoc.Element) func(*mdoc.Request, *mdoc.Signer) {
		return func(r *mdoc.Request, _ *mdoc.Signer) { r.NameSpaces[0].Elements[0] = e }
	}
	setValue := func(v any) func(*mdoc.Request, *mdoc.Signer) {
		return setElement(mdoc.Element{Identifier: "family_name", Value: v})
	}
	deep := any("bottom")
	for range 20 {
		deep = []any{deep}
	}

	tests := []struct {
		name   string
		want   error
		change func(*mdoc.Request, *mdoc.Signer)
	}{
		{"no docType", mdoc.ErrRequest, func(r *mdoc.Request, _ *mdoc.Signer) { r.DocType = "" }},
		{"no name spaces", mdoc.ErrRequest, func(r *mdoc.Request, _ *mdoc.Signer) { r.NameSpaces = nil }},
		{"nameless name space", mdoc.ErrRequest, func(r *mdoc.Request, _ *mdoc.Signer) { r.NameSpaces[0].Name = "" }},
		{"name space twice", mdoc.ErrRequest, func(r *mdoc.Request, _ *mdoc.Signer) { r.NameSpaces[1].Name = nameSpaceMDL }},
		{"no digest algorithm", mdoc.ErrRequest, func(r *mdoc.Request, _ *mdoc.Signer) { r.DigestAlgorithm = "" }},
		{"unknown digest algorithm", mdoc.ErrRequest, func(r *mdoc.Request, _ *mdoc.Signer) { r.DigestAlgorithm = "SHA-1" }},
		{"no device key", mdoc.ErrRequest, func(r *mdoc.Request, _ *mdoc.Signer) { r.DeviceKey = nil }},
		{"device key on another curve", mdoc.ErrRequest, func(r *mdoc.Request, _ *mdoc.Signer) { r.DeviceKey = &p224.PublicKey }},
		{"status without URI", mdoc.ErrRequest, func(r *mdoc.Request, _ *mdoc.Signer) { r.Status = &mdoc.StatusRef{Index: 1} }},
		{"no elements", mdoc.ErrElement, func(r *mdoc.Request, _ *mdoc.Signer) { r.NameSpaces[1].Elements = nil }},
		{"larger than any mdoc", mdoc.ErrRequest, setValue(make([]byte, 8<<20))},
		{"nameless element", mdoc.ErrElement, setElement(mdoc.Element{Value: "x"})},
		{"element twice", mdoc.ErrElement, setElement(mdoc.Element{Identifier: "given_name", Value: "x"})},
		{"no value", mdoc.ErrElement, setValue(nil)},
		{"long text", mdoc.ErrElement, setValue(strings.Repeat("é", 151))},
		{"long text inside", mdoc.ErrElement, setValue([]any{mdoc.Map{{Key: "k", Value: strings.Repeat("x", 151)}}})},
		{"long text in a Go map", mdoc.ErrElement, setValue(map[string]string{"k": strings.Repeat("x", 151)})},
		{"text not UTF-8", mdoc.ErrElement, setValue("\xff\xfe")},
		{"bad full-date", mdoc.ErrElement, setValue(mdoc.FullDate("2026-02-30"))},
		{"bad tdate", mdoc.ErrElement, setValue(mdoc.TDate("2026-02-03T04:05:06.5Z"))},
		{"bad tdate offset", mdoc.ErrElement, setValue(mdoc.TDate("2026-02-03T04:05:06+01:00"))},
		{"bad date inside", mdoc.ErrElement, setValue([]any{mdoc.FullDate("soon")})},
		{"map key twice", mdoc.ErrElement, setValue(mdoc.Map{{Key: "k", Value: 1}, {Key: "k", Value: 2}})},
		{"nil inside", mdoc.ErrElement, setValue(mdoc.Map{{Key: "k"}})},
		{"not encodable", mdoc.ErrElement, setValue(make(chan int))},
		{"too deep", mdoc.ErrElement, setValue(deep)},
		{"raw value malformed", mdoc.ErrElement, setValue(cbor.RawMessage{0x82, 0x01})},
		{"raw value of indefinite length", mdoc.ErrElement, setValue(cbor.RawMessage{0x9f, 0x01, 0xff})},
		{"validFrom before signed", mdoc.ErrValidity, func(r *mdoc.Request, _ *mdoc.Signer) { r.ValidFrom = signedAt.Add(-time.Second) }},
		{"validUntil not after validFrom", mdoc.ErrValidity, func(r *mdoc.Request, _ *mdoc.Signer) { r.ValidUntil = r.ValidFrom }},
		{"expectedUpdate before signed", mdoc.ErrValidity, func(r *mdoc.Request, _ *mdoc.Signer) {
			early := signedAt.AddDate(0, 0, -1)
			r.ExpectedUpdate = &early
		}},
		{"beyond the signer", mdoc.ErrSignerValidity, func(r *mdoc.Request, s *mdoc.Signer) {
			r.ValidUntil = s.Chain[0].NotAfter.Add(time.Second)
		}},
		{"before the signer", mdoc.ErrSignerValidity, func(r *mdoc.Request, s *mdoc.Signer) {
			r.Signed = s.Chain[0].NotBefore.Add(-time.Second)
		}},
		{"no time at all", mdoc.ErrSignerValidity, func(r *mdoc.Request, _ *mdoc.Signer) { r.Signed = time.Time{} }},
		{"no key", mdoc.ErrSigner, func(_ *mdoc.Request, s *mdoc.Signer) { s.Key = nil }},
		{"no certificate", mdoc.ErrSigner, func(_ *mdoc.Request, s *mdoc.Signer) { s.Chain = nil }},
		{"nil certificate", mdoc.ErrSigner, func(_ *mdoc.Request, s *mdoc.Signer) { s.Chain = []*x509.Certificate{nil} }},
		{"certificate of another key", mdoc.ErrSigner, func(_ *mdoc.Request, s *mdoc.Signer) { s.Key = other }},
		{"RSA key", mdoc.ErrSigner, func(_ *mdoc.Request, s *mdoc.Signer) { s.Key = rsaKey }},
		{"signer on another curve", mdoc.ErrSigner, func(_ *mdoc.Request, s *mdoc.Signer) { s.Key = p224 }},
		{"root as signer", mdoc.ErrSigner, func(_ *mdoc.Request, s *mdoc.Signer) { s.Chain = append(s.Chain, issuer.root) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req, signer := newRequest(&device.PublicKey), issuer.signer
			signer.Chain = slices.Clone(signer.Chain)
			test.change(&req, &signer)
			_, err := mdoc.Issue(rand.Reader, req, signer)
			require.ErrorIs(t, err, test.want)
			require.NotContains(t, err.Error(), "Mustermann")
		})
	}
}

func TestIssueReportsFailingRandomness(t *testing.T) {
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	_, err := mdoc.Issue(bytes.NewReader(make([]byte, 40)), newRequest(&device.PublicKey), issuer.signer)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// module stands for a key in a hardware module: only crypto.Signer, and it insists on being told the hash.
type module struct{ key *ecdsa.PrivateKey }

func (m module) Public() crypto.PublicKey { return m.key.Public() }

func (m module) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc().Size() != len(digest) {
		return nil, io.ErrShortBuffer
	}
	return m.key.Sign(random, digest, opts)
}

func TestIssueWithHardwareKey(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		issuer, device := newAuthority(t, curve), newKey(t, elliptic.P256())
		key, ok := issuer.signer.Key.(*ecdsa.PrivateKey)
		require.True(t, ok)
		issuer.signer.Key = module{key}
		issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
		require.NoError(t, err)
		parsed, err := mdoc.Parse(issued.Bytes)
		require.NoError(t, err)
		_, err = parsed.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt})
		require.NoError(t, err)
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		name        string
		value, want any
	}{
		{"int", 7, uint64(7)},
		{"negative int", -7, int64(-7)},
		{"int64", int64(math.MaxInt64), uint64(math.MaxInt64)},
		{"smallest int64", int64(math.MinInt64), int64(math.MinInt64)},
		{"uint", uint(300), uint64(300)},
		{"uint8", uint8(9), uint64(9)},
		{"largest uint64", uint64(math.MaxUint64), uint64(math.MaxUint64)},
		{"false", false, false},
		{"150 characters", strings.Repeat("é", 150), strings.Repeat("é", 150)},
		{"empty array", []any{}, []any{}},
		{"texts", []string{"a", "b"}, []any{"a", "b"}},
		{"large bytes", bytes.Repeat([]byte{1}, 70000), bytes.Repeat([]byte{1}, 70000)},
		{"Go map, sorted", map[string]any{"bb": 1, "a": mdoc.FullDate("2026-01-02")},
			mdoc.Map{{Key: "a", Value: mdoc.FullDate("2026-01-02")}, {Key: "bb", Value: uint64(1)}}},
		{"struct, sorted", struct {
			Sign string     `cbor:"sign"`
			At   mdoc.TDate `cbor:"at"`
		}{"<=", "2026-01-02T03:04:05Z"}, mdoc.Map{{Key: "at", Value: mdoc.TDate("2026-01-02T03:04:05Z")}, {Key: "sign", Value: "<="}}},
		{"raw", cbor.RawMessage{0x18, 0x64}, uint64(100)},
		{"raw null", cbor.RawMessage{0xf6}, nil},
		{"float stays raw", cbor.RawMessage{0xf9, 0x3c, 0x00}, cbor.RawMessage{0xf9, 0x3c, 0x00}},
		{"number keys stay raw", cbor.RawMessage{0xa1, 0x01, 0x02}, cbor.RawMessage{0xa1, 0x01, 0x02}},
		{"bignum stays raw", cbor.RawMessage{0xc2, 0x41, 0x01}, cbor.RawMessage{0xc2, 0x41, 0x01}},
		{"huge negative stays raw", cbor.RawMessage{0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
			cbor.RawMessage{0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{"untagged date is text", "2026-01-02", "2026-01-02"},
		{"new full-date", mdoc.NewFullDate(time.Date(2026, 5, 6, 23, 0, 0, 0, time.FixedZone("", 3600))), mdoc.FullDate("2026-05-06")},
		{"new tdate", mdoc.NewTDate(time.Date(2026, 5, 6, 0, 30, 0, 999, time.FixedZone("", 3600))), mdoc.TDate("2026-05-05T23:30:00Z")},
	}
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := newRequest(&device.PublicKey)
			req.NameSpaces = []mdoc.NameSpace{{Name: "n", Elements: []mdoc.Element{{Identifier: "e", Value: test.value}}}}
			issued, err := mdoc.Issue(rand.Reader, req, issuer.signer)
			require.NoError(t, err)
			parsed, err := mdoc.Parse(issued.Bytes)
			require.NoError(t, err)
			require.Equal(t, test.want, parsed.NameSpaces[0].Items[0].Value)
		})
	}
}

func requireOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	from := 0
	for _, part := range parts {
		at := strings.Index(text[from:], part)
		require.GreaterOrEqual(t, at, 0, part)
		from += at + len(part)
	}
}

// A buffer changes where the result lies and nothing else.
func TestBufferIsReused(t *testing.T) {
	issuer, req := newAuthority(t, elliptic.P256()), licence(t)
	fresh, err := mdoc.Prepare(bytes.NewReader(make([]byte, 1<<16)), req, issuer.signer)
	require.NoError(t, err)
	want, err := fresh.Sign()
	require.NoError(t, err)

	req.Buffer = bytes.Repeat([]byte{0xff}, 64<<10)
	got, err := mdoc.Issue(bytes.NewReader(make([]byte, 1<<16)), req, issuer.signer)
	require.NoError(t, err)
	require.Same(t, &req.Buffer[0], &got.Bytes[0])
	require.Equal(t, want.Bytes[:len(want.Bytes)-64], got.Bytes[:len(got.Bytes)-64], "all but the signature")
	parsed, err := mdoc.Parse(got.Bytes)
	require.NoError(t, err)
	_, err = parsed.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt})
	require.NoError(t, err)

	req.Buffer = make([]byte, 10)
	small, err := mdoc.Issue(bytes.NewReader(make([]byte, 1<<16)), req, issuer.signer)
	require.NoError(t, err)
	require.Equal(t, want.Bytes[:len(want.Bytes)-64], small.Bytes[:len(small.Bytes)-64])
}
