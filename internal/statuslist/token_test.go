package statuslist_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-jose/go-jose/v4"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/stretchr/testify/require"
	"github.com/veraison/go-cose"
)

const listURI = "https://issuer.example/status/1"

var issuedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// authority is a root with one signer of status lists.
type authority struct {
	root   *x509.Certificate
	signer statuslist.Signer
}

func (a authority) options() statuslist.VerifyOptions {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return statuslist.VerifyOptions{Roots: pool, Now: issuedAt.Add(time.Hour), URI: listURI}
}

func newKey(tb testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(tb, err)
	return key
}

// newAuthority makes a root and a signer; change adapts the template of the signer's certificate.
func newAuthority(tb testing.TB, curve elliptic.Curve, change ...func(*x509.Certificate)) authority {
	tb.Helper()
	rootKey := newKey(tb, curve)
	rootTemplate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Utopia IACA"},
		NotBefore: issuedAt.AddDate(-1, 0, 0), NotAfter: issuedAt.AddDate(8, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Utopia status"},
		NotBefore: issuedAt.AddDate(0, -1, 0), NotAfter: issuedAt.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, f := range change {
		f(template)
	}
	key := newKey(tb, curve)
	root := certify(tb, rootTemplate, rootTemplate, rootKey.Public(), rootKey)
	leaf := certify(tb, template, root, key.Public(), rootKey)
	return authority{root: root, signer: statuslist.Signer{Key: key, Chain: []*x509.Certificate{leaf}}}
}

func certify(tb testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	require.NoError(tb, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return certificate
}

func newToken(tb testing.TB) statuslist.Token {
	tb.Helper()
	list, err := statuslist.Build(2, 1024, maps.All(map[uint64]statuslist.Status{
		7: statuslist.Invalid, 412: statuslist.Suspended,
	}))
	require.NoError(tb, err)
	return statuslist.Token{
		Subject:        listURI,
		IssuedAt:       issuedAt,
		Expires:        issuedAt.Add(24 * time.Hour),
		TTL:            time.Hour,
		AggregationURI: "https://issuer.example/status",
		List:           list,
	}
}

// encoding is one of the two forms of a token, so that tests hold for both.
type encoding struct {
	name   string
	of     func(*statuslist.Signed) string
	verify func(string, statuslist.VerifyOptions) (*statuslist.Token, error)
}

var encodings = []encoding{
	{
		"CWT",
		func(signed *statuslist.Signed) string { return string(signed.CWT) },
		func(data string, opts statuslist.VerifyOptions) (*statuslist.Token, error) {
			return statuslist.VerifyCWT([]byte(data), opts)
		},
	},
	{"JWT", func(signed *statuslist.Signed) string { return signed.JWT }, statuslist.VerifyJWT},
}

func sign(tb testing.TB, token statuslist.Token, signer statuslist.Signer) *statuslist.Signed {
	tb.Helper()
	signed, err := token.Sign(signer)
	require.NoError(tb, err)
	return signed
}

func forBoth(t *testing.T, test func(t *testing.T, form encoding)) {
	t.Helper()
	for _, form := range encodings {
		t.Run(form.name, func(t *testing.T) { test(t, form) })
	}
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

func TestTokenRoundTrip(t *testing.T) {
	forBoth(t, func(t *testing.T, form encoding) {
		for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			issuer, token := newAuthority(t, curve), newToken(t)
			key, ok := issuer.signer.Key.(*ecdsa.PrivateKey)
			require.True(t, ok)
			for _, signer := range []crypto.Signer{key, module{key}} {
				issuer.signer.Key = signer
				verified, err := form.verify(form.of(sign(t, token, issuer.signer)), issuer.options())
				require.NoError(t, err)
				require.Equal(t, &token, verified)
			}
		}
	})
}

func TestTokenThroughIntermediate(t *testing.T) {
	rootKey, middleKey, key := newKey(t, elliptic.P256()), newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	ca := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: issuedAt.AddDate(-1, 0, 0), NotAfter: issuedAt.AddDate(8, 0, 0),
			KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
		}
	}
	root := certify(t, ca(1, "root"), ca(1, "root"), rootKey.Public(), rootKey)
	middle := certify(t, ca(2, "middle"), root, middleKey.Public(), rootKey)
	leaf := certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "status"},
		NotBefore: issuedAt, NotAfter: issuedAt.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}, middle, key.Public(), middleKey)
	forBoth(t, func(t *testing.T, form encoding) {
		signed := sign(t, newToken(t), statuslist.Signer{Key: key, Chain: []*x509.Certificate{leaf, middle}})
		_, err := form.verify(form.of(signed), authority{root: root}.options())
		require.NoError(t, err)
	})
}

func TestCWTLayout(t *testing.T) {
	issuer, token := newAuthority(t, elliptic.P256()), newToken(t)
	signed := sign(t, token, issuer.signer).CWT
	require.Equal(t, []byte{0xd2, 0x84}, signed[:2], "tagged COSE_Sign1")
	var message cose.Sign1Message
	require.NoError(t, message.UnmarshalCBOR(signed))
	require.Equal(t, cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: cose.AlgorithmES256,
		cose.HeaderLabelType:      statuslist.MediaTypeCWT,
		cose.HeaderLabelX5Chain:   issuer.signer.Chain[0].Raw,
	}, message.Headers.Protected)
	require.Empty(t, message.Headers.Unprotected)

	lst, err := token.List.Compress()
	require.NoError(t, err)
	var claims map[uint64]any
	require.NoError(t, cbor.Unmarshal(message.Payload, &claims))
	require.Equal(t, map[uint64]any{
		2: listURI, 6: uint64(issuedAt.Unix()), 4: uint64(issuedAt.Unix() + 86400), 65534: uint64(3600),
		65533: map[any]any{"bits": uint64(2), "lst": lst, "aggregation_uri": "https://issuer.example/status"},
	}, claims)
}

func TestJWTLayout(t *testing.T) {
	issuer, token := newAuthority(t, elliptic.P256()), newToken(t)
	token.TTL, token.AggregationURI = 0, ""
	signed := sign(t, token, issuer.signer).JWT
	parts := strings.Split(signed, ".")
	require.Len(t, parts, 3)
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	require.NoError(t, err)
	wantHeader, err := json.Marshal(map[string]any{
		"alg": "ES256", "typ": "statuslist+jwt", "x5c": [][]byte{issuer.signer.Chain[0].Raw},
	})
	require.NoError(t, err)
	require.JSONEq(t, string(wantHeader), string(header))

	lst, err := token.List.Compress()
	require.NoError(t, err)
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	require.Equal(t, `{"sub":"`+listURI+`","iat":1772366400,"exp":1772452800,"status_list":{"bits":2,"lst":"`+
		base64.RawURLEncoding.EncodeToString(lst)+`"}}`, string(payload))
}

func TestSignRefuses(t *testing.T) {
	issuer, other := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	tests := []struct {
		name   string
		want   error
		change func(*statuslist.Token, *statuslist.Signer)
	}{
		{"no subject", statuslist.ErrToken, func(t *statuslist.Token, _ *statuslist.Signer) { t.Subject = "" }},
		{"no list", statuslist.ErrToken, func(t *statuslist.Token, _ *statuslist.Signer) { t.List = nil }},
		{"no exp", statuslist.ErrToken, func(t *statuslist.Token, _ *statuslist.Signer) { t.Expires = time.Time{} }},
		{"no iat", statuslist.ErrToken, func(t *statuslist.Token, _ *statuslist.Signer) { t.IssuedAt = time.Time{} }},
		{"exp before iat", statuslist.ErrToken, func(t *statuslist.Token, _ *statuslist.Signer) { t.Expires = t.IssuedAt }},
		{"negative ttl", statuslist.ErrToken, func(t *statuslist.Token, _ *statuslist.Signer) { t.TTL = -time.Second }},
		{"endless ttl", statuslist.ErrToken, func(t *statuslist.Token, _ *statuslist.Signer) { t.TTL = 1<<63 - 1 }},
		{"signer expires earlier", statuslist.ErrSigner, func(t *statuslist.Token, s *statuslist.Signer) {
			t.Expires = s.Chain[0].NotAfter.Add(time.Second)
		}},
		{"signer begins later", statuslist.ErrSigner, func(t *statuslist.Token, s *statuslist.Signer) {
			t.IssuedAt = s.Chain[0].NotBefore.Add(-time.Second)
		}},
		{"no key", statuslist.ErrSigner, func(_ *statuslist.Token, s *statuslist.Signer) { s.Key = nil }},
		{"no certificate", statuslist.ErrSigner, func(_ *statuslist.Token, s *statuslist.Signer) { s.Chain = nil }},
		{"nil certificate", statuslist.ErrSigner, func(_ *statuslist.Token, s *statuslist.Signer) { s.Chain = []*x509.Certificate{nil} }},
		{"other key", statuslist.ErrSigner, func(_ *statuslist.Token, s *statuslist.Signer) { s.Key = other }},
		{"RSA key", statuslist.ErrSigner, func(_ *statuslist.Token, s *statuslist.Signer) { s.Key = rsaKey }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, signer := newToken(t), issuer.signer
			test.change(&token, &signer)
			_, err := token.Sign(signer)
			require.ErrorIs(t, err, test.want)
		})
	}
}

func TestSignReportsFailingKey(t *testing.T) {
	issuer := newAuthority(t, elliptic.P256())
	// The first signature is the one of the CWT, the second the one of the JWT.
	for good := range 2 {
		signer := statuslist.Signer{Key: &broken{Signer: issuer.signer.Key, good: good}, Chain: issuer.signer.Chain}
		_, err := newToken(t).Sign(signer)
		require.ErrorIs(t, err, errBroken)
	}
}

var errBroken = errors.New("module does not answer")

// broken is a key that stops working after some good signatures.
type broken struct {
	crypto.Signer
	good int
}

func (b *broken) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if b.good == 0 {
		return nil, errBroken
	}
	b.good--
	return b.Signer.Sign(random, digest, opts)
}

func TestVerifyRefuses(t *testing.T) {
	issuer, stranger := newAuthority(t, elliptic.P256()), newAuthority(t, elliptic.P256())
	tests := []struct {
		name   string
		want   error
		change func(*statuslist.VerifyOptions)
	}{
		{"no roots", statuslist.ErrChain, func(o *statuslist.VerifyOptions) { o.Roots = nil }},
		{"other root", statuslist.ErrChain, func(o *statuslist.VerifyOptions) { o.Roots = stranger.options().Roots }},
		{"certificate expired", statuslist.ErrChain, func(o *statuslist.VerifyOptions) { o.Now = issuedAt.AddDate(2, 0, 0) }},
		{"other URI", statuslist.ErrSubject, func(o *statuslist.VerifyOptions) { o.URI += "0" }},
		{"no URI", statuslist.ErrSubject, func(o *statuslist.VerifyOptions) { o.URI = "" }},
		{"expired", statuslist.ErrExpired, func(o *statuslist.VerifyOptions) { o.Now = issuedAt.Add(24 * time.Hour) }},
		{"too many entries", statuslist.ErrTooLarge, func(o *statuslist.VerifyOptions) { o.MaxEntries = 1020 }},
	}
	forBoth(t, func(t *testing.T, form encoding) {
		signed := form.of(sign(t, newToken(t), issuer.signer))
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				opts := issuer.options()
				test.change(&opts)
				_, err := form.verify(signed, opts)
				require.ErrorIs(t, err, test.want)
			})
		}
		t.Run("beyond the bound", func(t *testing.T) {
			_, err := form.verify(strings.Repeat("A", 2*statuslist.DefaultMaxEntries+1<<17), issuer.options())
			require.ErrorIs(t, err, statuslist.ErrTooLarge)
		})
		for name, data := range map[string]string{"nothing": "", "another type": "\x01", "three dots": "a.b.c"} {
			t.Run(name, func(t *testing.T) {
				_, err := form.verify(data, issuer.options())
				require.ErrorIs(t, err, statuslist.ErrMalformed)
			})
		}
	})
}

// Holders and servers may have certificates under the same root; they must not be able to sign a list.
func TestVerifyRefusesOtherPurposes(t *testing.T) {
	for name, change := range map[string]func(*x509.Certificate){
		"client certificate": func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
		"key agreement":      func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement },
		"certificate authority": func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid, c.MaxPathLenZero = true, true, true
			c.KeyUsage |= x509.KeyUsageCertSign
		},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := newAuthority(t, elliptic.P256(), change)
			forBoth(t, func(t *testing.T, form encoding) {
				_, err := form.verify(form.of(sign(t, newToken(t), issuer.signer)), issuer.options())
				require.ErrorIs(t, err, statuslist.ErrChain)
			})
		})
	}
}

func TestVerifyCWTFindsTampering(t *testing.T) {
	issuer, stranger := newAuthority(t, elliptic.P256()), newAuthority(t, elliptic.P256())
	signed := sign(t, newToken(t), issuer.signer).CWT
	// resign makes a token with a good signature over changed headers or claims.
	resign := func(t *testing.T, header cose.ProtectedHeader, payload []byte) []byte {
		t.Helper()
		var message cose.Sign1Message
		require.NoError(t, message.UnmarshalCBOR(signed))
		protected := maps.Clone(message.Headers.Protected)
		maps.Copy(protected, header)
		maps.DeleteFunc(protected, func(_, value any) bool { return value == nil })
		if payload == nil {
			payload = message.Payload
		}
		signer, err := cose.NewSigner(cose.AlgorithmES256, issuer.signer.Key)
		require.NoError(t, err)
		changed, err := cose.Sign1(rand.Reader, signer, cose.Headers{Protected: protected}, payload, nil)
		require.NoError(t, err)
		return changed
	}
	claims := func(t *testing.T, change map[uint64]any) []byte {
		t.Helper()
		var message cose.Sign1Message
		require.NoError(t, message.UnmarshalCBOR(signed))
		var all map[uint64]any
		require.NoError(t, cbor.Unmarshal(message.Payload, &all))
		for key, value := range change {
			all[key] = value
			if value == nil {
				delete(all, key)
			}
		}
		encoded, err := cbor.Marshal(all)
		require.NoError(t, err)
		return encoded
	}
	certificate := issuer.signer.Chain[0].Raw
	endless := slices.Repeat([]any{certificate}, 9)
	notANumber := cbor.RawMessage{0xf9, 0x7e, 0x00}
	notCompressed := map[string]any{"bits": 1, "lst": []byte{1}}
	flipped := slices.Clone(signed)
	flipped[len(flipped)-1] ^= 1

	for name, test := range map[string]struct {
		data []byte
		want error
	}{
		"nothing changed":        {resign(t, nil, nil), nil},
		"untagged":               {signed[1:], nil},
		"float times":            {resign(t, nil, claims(t, map[uint64]any{6: 1772366400.5})), nil},
		"x5chain of one":         {resign(t, cose.ProtectedHeader{int64(33): []any{certificate}}, nil), nil},
		"signature":              {flipped, statuslist.ErrSignature},
		"trailing data":          {append(slices.Clone(signed), 0), statuslist.ErrMalformed},
		"CWT tag":                {append([]byte{0xd8, 0x3d}, signed...), statuslist.ErrMalformed},
		"other typ":              {resign(t, cose.ProtectedHeader{int64(16): "application/cwt"}, nil), statuslist.ErrMalformed},
		"no typ":                 {resign(t, cose.ProtectedHeader{int64(16): nil}, nil), statuslist.ErrMalformed},
		"no x5chain":             {resign(t, cose.ProtectedHeader{int64(33): nil}, nil), statuslist.ErrMalformed},
		"x5chain of texts":       {resign(t, cose.ProtectedHeader{int64(33): []any{"x"}}, nil), statuslist.ErrMalformed},
		"x5chain of no DER":      {resign(t, cose.ProtectedHeader{int64(33): []byte{1}}, nil), statuslist.ErrMalformed},
		"endless x5chain":        {resign(t, cose.ProtectedHeader{int64(33): endless}, nil), statuslist.ErrMalformed},
		"other certificate":      {resign(t, cose.ProtectedHeader{int64(33): stranger.signer.Chain[0].Raw}, nil), statuslist.ErrChain},
		"critical header":        {resign(t, cose.ProtectedHeader{int64(2): []any{int64(99)}, int64(99): 1}, nil), statuslist.ErrSignature},
		"no claims":              {resign(t, nil, []byte{0x01}), statuslist.ErrMalformed},
		"no subject":             {resign(t, nil, claims(t, map[uint64]any{2: nil})), statuslist.ErrMalformed},
		"no iat":                 {resign(t, nil, claims(t, map[uint64]any{6: nil})), statuslist.ErrMalformed},
		"no exp":                 {resign(t, nil, claims(t, map[uint64]any{4: nil})), statuslist.ErrMalformed},
		"exp as text":            {resign(t, nil, claims(t, map[uint64]any{4: "soon"})), statuslist.ErrMalformed},
		"exp not a number":       {resign(t, nil, claims(t, map[uint64]any{4: notANumber})), statuslist.ErrMalformed},
		"ttl of nothing":         {resign(t, nil, claims(t, map[uint64]any{65534: 0})), statuslist.ErrMalformed},
		"ttl of ages":            {resign(t, nil, claims(t, map[uint64]any{65534: uint64(1 << 62)})), statuslist.ErrMalformed},
		"no status list":         {resign(t, nil, claims(t, map[uint64]any{65533: nil})), statuslist.ErrBits},
		"bits of another number": {resign(t, nil, claims(t, map[uint64]any{65533: map[string]any{"bits": 3}})), statuslist.ErrBits},
		"lst not compressed":     {resign(t, nil, claims(t, map[uint64]any{65533: notCompressed})), statuslist.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := statuslist.VerifyCWT(test.data, issuer.options())
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.want)
		})
	}
}

func TestVerifyJWTFindsTampering(t *testing.T) {
	issuer, other := newAuthority(t, elliptic.P256()), newAuthority(t, elliptic.P384())
	token := newToken(t)
	signed := sign(t, token, issuer.signer).JWT
	parts := strings.Split(signed, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	x5c := func(a authority) []string { return []string{base64.StdEncoding.EncodeToString(a.signer.Chain[0].Raw)} }
	resign := func(t *testing.T, header map[jose.HeaderKey]any, payload string) string {
		t.Helper()
		options := new(jose.SignerOptions).WithType("statuslist+jwt").WithHeader("x5c", x5c(issuer))
		for name, value := range header {
			options.WithHeader(name, value)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: issuer.signer.Key}, options)
		require.NoError(t, err)
		object, err := signer.Sign([]byte(payload))
		require.NoError(t, err)
		compact, err := object.CompactSerialize()
		require.NoError(t, err)
		return compact
	}
	changed := func(old, replacement string) string {
		require.Contains(t, string(payload), old)
		return strings.Replace(string(payload), old, replacement, 1)
	}
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	noX5C, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: issuer.signer.Key},
		new(jose.SignerOptions).WithType("statuslist+jwt"))
	require.NoError(t, err)
	object, err := noX5C.Sign(payload)
	require.NoError(t, err)
	withoutX5C, err := object.CompactSerialize()
	require.NoError(t, err)

	for name, test := range map[string]struct {
		data string
		want error
	}{
		"nothing changed":    {resign(t, nil, string(payload)), nil},
		"float times":        {resign(t, nil, changed(`"iat":1772366400`, `"iat":1772366400.25`)), nil},
		"payload":            {parts[0] + "." + encode(changed("/1", "/2")) + "." + parts[2], statuslist.ErrSignature},
		"other typ":          {resign(t, map[jose.HeaderKey]any{"typ": "JWT"}, string(payload)), statuslist.ErrMalformed},
		"no x5c":             {withoutX5C, statuslist.ErrChain},
		"other certificate":  {resign(t, map[jose.HeaderKey]any{"x5c": x5c(other)}, string(payload)), statuslist.ErrChain},
		"no algorithm":       {encode(`{"alg":"none","typ":"statuslist+jwt"}`) + "." + parts[1] + ".", statuslist.ErrMalformed},
		"not JSON":           {resign(t, nil, "x"), statuslist.ErrMalformed},
		"name twice":         {resign(t, nil, changed(`"iat"`, `"sub":"x","iat"`)), statuslist.ErrMalformed},
		"no exp":             {resign(t, nil, changed(`"exp"`, `"expp"`)), statuslist.ErrMalformed},
		"negative ttl":       {resign(t, nil, changed(`"ttl":3600`, `"ttl":-3600`)), statuslist.ErrMalformed},
		"lst not base64":     {resign(t, nil, changed(`"lst":"`, `"lst":"!`)), statuslist.ErrMalformed},
		"lst not compressed": {resign(t, nil, changed(`"lst":"eN`, `"lst":"AA`)), statuslist.ErrMalformed},
		"bits":               {resign(t, nil, changed(`"bits":2`, `"bits":7`)), statuslist.ErrBits},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := statuslist.VerifyJWT(test.data, issuer.options())
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.want)
		})
	}
}

func FuzzVerifyCWT(f *testing.F) {
	issuer := newAuthority(f, elliptic.P256())
	signed := sign(f, newToken(f), issuer.signer).CWT
	f.Add(signed)
	f.Add(signed[1:])
	f.Fuzz(func(t *testing.T, data []byte) {
		opts := issuer.options()
		opts.MaxEntries = 1 << 16
		if token, err := statuslist.VerifyCWT(data, opts); err == nil {
			require.Equal(t, listURI, token.Subject)
		}
		if token, err := statuslist.DecodeClaimsCWT(data); err == nil {
			require.LessOrEqual(t, token.List.Len(), uint64(1<<16))
		}
	})
}

func FuzzVerifyJWT(f *testing.F) {
	issuer := newAuthority(f, elliptic.P256())
	signed := sign(f, newToken(f), issuer.signer).JWT
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(signed, ".")[1])
	require.NoError(f, err)
	f.Add(signed, payload)
	f.Fuzz(func(t *testing.T, data string, payload []byte) {
		opts := issuer.options()
		opts.MaxEntries = 1 << 16
		if token, err := statuslist.VerifyJWT(data, opts); err == nil {
			require.Equal(t, listURI, token.Subject)
		}
		if token, err := statuslist.DecodeClaimsJWT(payload); err == nil {
			require.LessOrEqual(t, token.List.Len(), uint64(1<<16))
		}
	})
}
