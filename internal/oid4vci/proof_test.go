package oid4vci_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

const (
	issuerID  = "https://issuer.example.org/dmv"
	goodNonce = "a-good-nonce"
)

var now = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

func newVerifier() oid4vci.ProofVerifier {
	return oid4vci.ProofVerifier{
		Audience:   issuerID,
		Algorithms: []string{"ES256", "ES384", "ES512"},
		Now:        func() time.Time { return now },
		MaxAge:     5 * time.Minute,
		Leeway:     time.Minute,
		CheckNonce: func(_ context.Context, nonce string) error {
			if !strings.HasPrefix(nonce, goodNonce) {
				return oid4vci.ErrNonceRefused
			}
			return nil
		},
	}
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

type object = map[string]any

// jwkOf is the public JWK of a key, written without the package under test.
func jwkOf(t testing.TB, key *ecdsa.PrivateKey) object {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	size := (len(point) - 1) / 2
	return object{
		"kty": "EC", "crv": key.Curve.Params().Name,
		"x": base64.RawURLEncoding.EncodeToString(point[1 : 1+size]),
		"y": base64.RawURLEncoding.EncodeToString(point[1+size:]),
	}
}

func goodClaims() object {
	return object{"aud": issuerID, "iat": now.Unix(), "nonce": goodNonce}
}

func goodHeader(t testing.TB, key *ecdsa.PrivateKey) object {
	t.Helper()
	alg := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[key.Curve.Params().Name]
	return object{"typ": "openid4vci-proof+jwt", "alg": alg, "jwk": jwkOf(t, key)}
}

func with(base object, changes object) object {
	merged := maps.Clone(base)
	maps.Copy(merged, changes)
	return merged
}

func without(base object, names ...string) object {
	rest := maps.Clone(base)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}

// sign makes a compact JWS out of whatever header and claims it is given: values to be encoded, or JSON text.
func sign(t testing.TB, key *ecdsa.PrivateKey, header, claims any) string {
	t.Helper()
	input := segment(t, header) + "." + segment(t, claims)
	hash := map[string]crypto.Hash{"P-256": crypto.SHA256, "P-384": crypto.SHA384, "P-521": crypto.SHA512}[key.Curve.Params().Name]
	h := hash.New()
	h.Write([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	require.NoError(t, err)
	size := (key.Curve.Params().BitSize + 7) / 8
	signature := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func segment(t testing.TB, v any) string {
	t.Helper()
	data, isText := []byte(nil), false
	if text, ok := v.(string); ok {
		data, isText = []byte(text), true
	}
	if !isText {
		var err error
		data, err = json.Marshal(v)
		require.NoError(t, err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func certify(t testing.TB, public any, signer crypto.Signer) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "device"}, NotBefore: now, NotAfter: now.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(der)
}

func requireRefused(t testing.TB, err error, code oid4vci.ErrorCode, part string) {
	t.Helper()
	var refused *oid4vci.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code)
	require.Contains(t, refused.Description, part)
}

func TestVerifyJWTProofsAccepts(t *testing.T) {
	p256 := newKey(t, elliptic.P256())
	p384 := newKey(t, elliptic.P384())
	p521 := newKey(t, elliptic.P521())
	leaf := certify(t, &p256.PublicKey, p256)
	tests := []struct {
		name  string
		key   *ecdsa.PrivateKey
		proof string
	}{
		{"ES256", p256, sign(t, p256, goodHeader(t, p256), goodClaims())},
		{"ES384", p384, sign(t, p384, goodHeader(t, p384), goodClaims())},
		{"ES512", p521, sign(t, p521, goodHeader(t, p521), goodClaims())},
		{"audience as array of one", p256, sign(t, p256, goodHeader(t, p256), with(goodClaims(), object{"aud": []string{issuerID}}))},
		{"fractional iat", p256, sign(t, p256, goodHeader(t, p256), with(goodClaims(), object{"iat": float64(now.Unix()) + 0.5}))},
		{"clock a little ahead", p256, sign(t, p256, goodHeader(t, p256), with(goodClaims(), object{"iat": now.Add(59 * time.Second).Unix()}))},
		{"clock behind", p256, sign(t, p256, goodHeader(t, p256), with(goodClaims(), object{"iat": now.Add(-6 * time.Minute).Unix()}))},
		{"x5c", p256, sign(t, p256, with(without(goodHeader(t, p256), "jwk"), object{"x5c": []string{leaf}}), goodClaims())},
		{"unknown header and claim", p256, sign(t, p256, with(goodHeader(t, p256), object{"vendor": 1}),
			with(goodClaims(), object{"vendor": object{}}))},
		{"jwk with use and alg", p256, sign(t, p256,
			with(goodHeader(t, p256), object{"jwk": with(jwkOf(t, p256), object{"use": "sig", "alg": "ES256", "kid": "1"})}), goodClaims())},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			verified, err := newVerifier().VerifyJWTProofs(t.Context(), []string{tt.proof})
			require.NoError(t, err)
			require.Len(t, verified, 1)
			require.True(t, tt.key.PublicKey.Equal(verified[0].Key))
			require.Equal(t, goodNonce, verified[0].Nonce)
			require.Len(t, verified[0].Thumbprint, 43)
		})
	}
}

func TestVerifyJWTProofsRefuses(t *testing.T) {
	key, other, p384 := newKey(t, elliptic.P256()), newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	header, claims := goodHeader(t, key), goodClaims()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	d, err := key.Bytes()
	require.NoError(t, err)
	privateJWK := with(jwkOf(t, key), object{"d": base64.RawURLEncoding.EncodeToString(d)})
	good := sign(t, key, header, claims)
	input := good[:strings.LastIndex(good, ".")]
	flat := jwkOf(t, key)
	flat["y"] = flat["x"]

	withHeader := func(changes object) string { return sign(t, key, with(header, changes), claims) }
	withJWK := func(jwk any) string { return withHeader(object{"jwk": jwk}) }
	withClaims := func(changes object) string { return sign(t, key, header, with(claims, changes)) }
	withoutClaim := func(name string) string { return sign(t, key, header, without(claims, name)) }
	x5c := func(v any) string { return sign(t, key, with(without(header, "jwk"), object{"x5c": v}), claims) }

	tests := []struct {
		name  string
		proof string
		code  oid4vci.ErrorCode
		part  string
	}{
		{"empty", "", oid4vci.InvalidProof, "not a JWT"},
		{"garbage", "garbage", oid4vci.InvalidProof, "not a JWT"},
		{"two parts", input, oid4vci.InvalidProof, "not a JWT"},
		{"four parts", good + ".x", oid4vci.InvalidProof, "not a JWT"},
		{"line break", good[:20] + "\n" + good[20:], oid4vci.InvalidProof, "not a JWT"},
		{"padding", good + "==", oid4vci.InvalidProof, "not a JWT"},
		{"oversize", good + strings.Repeat("A", 40<<10), oid4vci.InvalidProof, "longer"},
		{"header no JSON", sign(t, key, "{", claims), oid4vci.InvalidProof, "header"},
		{"header an array", sign(t, key, "[]", claims), oid4vci.InvalidProof, "header"},
		{"header null", sign(t, key, "null", claims), oid4vci.InvalidProof, "header"},
		{"claims no JSON", sign(t, key, header, "nonsense"), oid4vci.InvalidProof, "claims"},
		{"claim given twice", sign(t, key, header,
			fmt.Sprintf(`{"aud":"x","aud":"%s","iat":%d,"nonce":"%s"}`, issuerID, now.Unix(), goodNonce)), oid4vci.InvalidProof, "twice"},
		{"claim names in other case", sign(t, key, header,
			fmt.Sprintf(`{"AUD":"%s","iat":%d,"nonce":"%s"}`, issuerID, now.Unix(), goodNonce)), oid4vci.InvalidProof, "aud"},

		{"typ JWT", withHeader(object{"typ": "JWT"}), oid4vci.InvalidProof, "typ"},
		{"typ missing", sign(t, key, without(header, "typ"), claims), oid4vci.InvalidProof, "typ"},
		{"typ a number", withHeader(object{"typ": 5}), oid4vci.InvalidProof, "typ"},
		{"alg missing", sign(t, key, without(header, "alg"), claims), oid4vci.InvalidProof, "alg"},
		{"alg none", segment(t, with(header, object{"alg": "none"})) + "." + segment(t, claims) + ".", oid4vci.InvalidProof, "alg"},
		{"alg HS256", hs256(t, with(header, object{"alg": "HS256"}), claims), oid4vci.InvalidProof, "alg"},
		{"alg RS256", withHeader(object{"alg": "RS256"}), oid4vci.InvalidProof, "alg"},
		{"alg EdDSA", withHeader(object{"alg": "EdDSA"}), oid4vci.InvalidProof, "alg"},
		{"alg ES256K", withHeader(object{"alg": "ES256K"}), oid4vci.InvalidProof, "alg"},
		{"crit", withHeader(object{"crit": []string{"exp"}, "exp": 1}), oid4vci.InvalidProof, "crit"},
		{"unencoded payload", withHeader(object{"b64": false}), oid4vci.InvalidProof, "b64"},
		{"P-384 key with ES256", sign(t, p384, with(goodHeader(t, p384), object{"alg": "ES256"}), claims), oid4vci.InvalidProof, "curve"},
		{"P-256 key with ES512", withHeader(object{"alg": "ES512"}), oid4vci.InvalidProof, "curve"},

		{"no key", sign(t, key, without(header, "jwk"), claims), oid4vci.InvalidProof, "exactly one"},
		{"kid alone", sign(t, key, with(without(header, "jwk"), object{"kid": "did:example:1#0"}), claims), oid4vci.InvalidProof, "kid"},
		{"kid beside jwk", withHeader(object{"kid": "1"}), oid4vci.InvalidProof, "kid"},
		{"x5c beside jwk", withHeader(object{"x5c": []string{certify(t, &key.PublicKey, key)}}), oid4vci.InvalidProof, "exactly one"},
		{"private jwk", withJWK(privateJWK), oid4vci.InvalidProof, "private"},
		{"jwk null", withJWK(nil), oid4vci.InvalidProof, "jwk"},
		{"jwk a string", withJWK("key"), oid4vci.InvalidProof, "jwk"},
		{"jwk RSA", withJWK(object{"kty": "RSA", "n": "AQAB", "e": "AQAB"}), oid4vci.InvalidProof, "kty"},
		{"jwk symmetric", withJWK(object{"kty": "oct", "k": "AQAB"}), oid4vci.InvalidProof, "private"},
		{"jwk for encryption", withJWK(with(jwkOf(t, key), object{"use": "enc"})), oid4vci.InvalidProof, "use"},
		{"jwk for another alg", withJWK(with(jwkOf(t, key), object{"alg": "ES384"})), oid4vci.InvalidProof, "alg"},
		{"jwk unknown curve", withJWK(with(jwkOf(t, key), object{"crv": "secp256k1"})), oid4vci.InvalidProof, "crv"},
		{"jwk short x", withJWK(with(jwkOf(t, key), object{"x": "AQAB"})), oid4vci.InvalidProof, "x is not"},
		{"jwk without y", withJWK(without(jwkOf(t, key), "y")), oid4vci.InvalidProof, "y is not"},
		{"jwk x a number", withJWK(with(jwkOf(t, key), object{"x": 5})), oid4vci.InvalidProof, "x is not"},
		{"jwk off the curve", withJWK(flat), oid4vci.InvalidProof, "not on the curve"},
		{"x5c empty", x5c([]string{}), oid4vci.InvalidProof, "x5c"},
		{"x5c no list", x5c("MII"), oid4vci.InvalidProof, "x5c"},
		{"x5c too many", x5c(strings.Split(strings.Repeat("MII,", 9), ",")), oid4vci.InvalidProof, "x5c"},
		{"x5c no base64", x5c([]string{"*"}), oid4vci.InvalidProof, "x5c"},
		{"x5c no certificate", x5c([]string{"MIIB"}), oid4vci.InvalidProof, "x5c"},
		{"x5c RSA", x5c([]string{certify(t, &rsaKey.PublicKey, rsaKey)}), oid4vci.InvalidProof, "x5c"},
		{"x5c of another key", x5c([]string{certify(t, &other.PublicKey, other)}), oid4vci.InvalidProof, "signature"},

		{"signed by another key", sign(t, other, header, claims), oid4vci.InvalidProof, "signature"},
		{"signature empty", input + ".", oid4vci.InvalidProof, "signature"},
		{"signature of other claims", segment(t, header) + "." + segment(t, with(claims, object{"nonce": goodNonce + "2"})) + good[len(input):],
			oid4vci.InvalidProof, "signature"},

		{"wrong audience", withClaims(object{"aud": "https://other.example.org"}), oid4vci.InvalidProof, "aud"},
		{"audience with slash", withClaims(object{"aud": issuerID + "/"}), oid4vci.InvalidProof, "aud"},
		{"audience missing", withoutClaim("aud"), oid4vci.InvalidProof, "aud"},
		{"two audiences", withClaims(object{"aud": []string{issuerID, "https://other.example.org"}}), oid4vci.InvalidProof, "aud"},
		{"audience an object", withClaims(object{"aud": object{}}), oid4vci.InvalidProof, "aud"},
		{"iss in anonymous use", withClaims(object{"iss": "wallet"}), oid4vci.InvalidProof, "iss"},
		{"iat missing", withoutClaim("iat"), oid4vci.InvalidProof, "iat is missing"},
		{"iat text", withClaims(object{"iat": "now"}), oid4vci.InvalidProof, "iat"},
		{"iat negative", withClaims(object{"iat": -1}), oid4vci.InvalidProof, "iat"},
		{"iat out of range", withClaims(object{"iat": 1e300}), oid4vci.InvalidProof, "iat"},
		{"future iat", withClaims(object{"iat": now.Add(61 * time.Second).Unix()}), oid4vci.InvalidProof, "future"},
		{"old iat", withClaims(object{"iat": now.Add(-6*time.Minute - time.Second).Unix()}), oid4vci.InvalidProof, "long ago"},
		{"expired", withClaims(object{"exp": now.Add(-2 * time.Minute).Unix()}), oid4vci.InvalidProof, "exp"},
		{"not yet valid", withClaims(object{"nbf": now.Add(2 * time.Minute).Unix()}), oid4vci.InvalidProof, "nbf"},
		{"nonce missing", withoutClaim("nonce"), oid4vci.InvalidProof, "nonce"},
		{"nonce empty", withClaims(object{"nonce": ""}), oid4vci.InvalidProof, "nonce"},
		{"nonce a number", withClaims(object{"nonce": 5}), oid4vci.InvalidProof, "nonce"},
		{"old nonce", withClaims(object{"nonce": "yesterday"}), oid4vci.InvalidNonce, "nonce"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			verified, err := newVerifier().VerifyJWTProofs(t.Context(), []string{tt.proof})
			requireRefused(t, err, tt.code, tt.part)
			require.Nil(t, verified)

			fresh := newKey(t, elliptic.P256())
			verified, err = newVerifier().VerifyJWTProofs(t.Context(), []string{sign(t, fresh, goodHeader(t, fresh), claims), tt.proof})
			requireRefused(t, err, tt.code, tt.part)
			require.Nil(t, verified, "one bad proof spoils the request")
		})
	}
}

// hs256 signs with the public key as secret, the classic confusion of algorithms.
func hs256(t testing.TB, header, claims object) string {
	t.Helper()
	input := segment(t, header) + "." + segment(t, claims)
	mac := hmac.New(sha256.New, []byte(segment(t, header["jwk"])))
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestVerifyJWTProofsOfABatch(t *testing.T) {
	a, b := newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	proofA := sign(t, a, goodHeader(t, a), goodClaims())
	proofB := sign(t, b, goodHeader(t, b), goodClaims())
	proofOther := sign(t, b, goodHeader(t, b), with(goodClaims(), object{"nonce": goodNonce + "-2"}))

	var asked []string
	v := newVerifier()
	v.CheckNonce = func(_ context.Context, nonce string) error {
		asked = append(asked, nonce)
		return nil
	}
	verified, err := v.VerifyJWTProofs(t.Context(), []string{proofA, proofB})
	require.NoError(t, err)
	require.True(t, a.PublicKey.Equal(verified[0].Key))
	require.True(t, b.PublicKey.Equal(verified[1].Key))
	require.Equal(t, []string{goodNonce}, asked, "a nonce that proofs share is checked once")

	asked = nil
	_, err = v.VerifyJWTProofs(t.Context(), []string{proofA, proofOther})
	require.NoError(t, err)
	require.Equal(t, []string{goodNonce, goodNonce + "-2"}, asked)

	asked = nil
	again := sign(t, a, goodHeader(t, a), with(goodClaims(), object{"nonce": goodNonce + "-3"}))
	_, err = v.VerifyJWTProofs(t.Context(), []string{proofA, again})
	requireRefused(t, err, oid4vci.InvalidProof, "proof 2: the key is used twice")
	require.Empty(t, asked, "a refused request uses no nonce up")

	_, err = v.VerifyJWTProofs(t.Context(), nil)
	requireRefused(t, err, oid4vci.InvalidProof, "missing")
}

func TestVerifyJWTProofsAlgorithmNotOffered(t *testing.T) {
	key := newKey(t, elliptic.P384())
	v := newVerifier()
	v.Algorithms = []string{"ES256"}
	_, err := v.VerifyJWTProofs(t.Context(), []string{sign(t, key, goodHeader(t, key), goodClaims())})
	requireRefused(t, err, oid4vci.InvalidProof, "alg")
}

func TestVerifyJWTProofsOfAKnownClient(t *testing.T) {
	key := newKey(t, elliptic.P256())
	v := newVerifier()
	v.ClientID = "wallet"
	for iss, accepted := range map[string]bool{"wallet": true, "another": false} {
		_, err := v.VerifyJWTProofs(t.Context(), []string{sign(t, key, goodHeader(t, key), with(goodClaims(), object{"iss": iss}))})
		if accepted {
			require.NoError(t, err)
			continue
		}
		requireRefused(t, err, oid4vci.InvalidProof, "iss")
	}
}

func TestVerifyJWTProofsCannotJudge(t *testing.T) {
	key := newKey(t, elliptic.P256())
	proofs := []string{sign(t, key, goodHeader(t, key), goodClaims())}
	down := errors.New("store is down")
	tests := map[string]func(*oid4vci.ProofVerifier){
		"nonce store down":  func(v *oid4vci.ProofVerifier) { v.CheckNonce = func(context.Context, string) error { return down } },
		"no nonce check":    func(v *oid4vci.ProofVerifier) { v.CheckNonce = nil },
		"no audience":       func(v *oid4vci.ProofVerifier) { v.Audience = "" },
		"no algorithms":     func(v *oid4vci.ProofVerifier) { v.Algorithms = nil },
		"unknown algorithm": func(v *oid4vci.ProofVerifier) { v.Algorithms = []string{"HS256"} },
		"no clock":          func(v *oid4vci.ProofVerifier) { v.Now = nil },
		"no age":            func(v *oid4vci.ProofVerifier) { v.MaxAge = 0 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVerifier()
			change(&v)
			verified, err := v.VerifyJWTProofs(t.Context(), proofs)
			require.Error(t, err)
			require.Nil(t, verified)
			var refused *oid4vci.Error
			require.False(t, errors.As(err, &refused), "the wallet is not to blame")
		})
	}
}

func TestSignJWTProof(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		t.Run(curve.Params().Name, func(t *testing.T) {
			key := newKey(t, curve)
			claims := oid4vci.ProofClaims{Audience: issuerID, IssuedAt: now, Nonce: goodNonce}
			proof, err := oid4vci.SignJWTProof(key, claims)
			require.NoError(t, err)
			verified, err := newVerifier().VerifyJWTProofs(t.Context(), []string{proof})
			require.NoError(t, err)
			require.True(t, key.PublicKey.Equal(verified[0].Key))
			require.Equal(t, now, verified[0].IssuedAt)
			want, err := oid4vci.Thumbprint(&key.PublicKey)
			require.NoError(t, err)
			require.Equal(t, want, verified[0].Thumbprint)
		})
	}
	t.Run("unsupported curve", func(t *testing.T) {
		key := newKey(t, elliptic.P224())
		_, err := oid4vci.SignJWTProof(key, oid4vci.ProofClaims{Audience: issuerID, IssuedAt: now})
		require.Error(t, err)
		_, err = oid4vci.Thumbprint(&key.PublicKey)
		require.Error(t, err)
	})
}

func FuzzVerifyJWTProofs(f *testing.F) {
	key := newKey(f, elliptic.P256())
	f.Add(sign(f, key, goodHeader(f, key), goodClaims()))
	f.Add(sign(f, key, with(without(goodHeader(f, key), "jwk"), object{"x5c": []string{certify(f, &key.PublicKey, key)}}), goodClaims()))
	f.Add("e30.e30.")
	f.Add("..")
	v := newVerifier()
	f.Fuzz(func(t *testing.T, proof string) {
		verified, err := v.VerifyJWTProofs(t.Context(), []string{proof})
		if err == nil {
			require.Len(t, verified, 1)
			return
		}
		var refused *oid4vci.Error
		require.ErrorAs(t, err, &refused)
		requireDescription(t, refused)
	})
}
