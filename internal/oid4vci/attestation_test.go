package oid4vci_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// attestor signs key attestations, under a root of its own.
type attestor struct {
	root, between, leaf      *x509.Certificate
	rootKey, betweenKey, key *ecdsa.PrivateKey
}

func newAttestor(t testing.TB, curve elliptic.Curve) attestor {
	t.Helper()
	a := attestor{rootKey: newKey(t, elliptic.P384()), betweenKey: newKey(t, elliptic.P256()), key: newKey(t, curve)}
	a.root = issue(t, caTemplate("root"), nil, a.rootKey.Public(), a.rootKey)
	a.between = issue(t, caTemplate("between"), a.root, a.betweenKey.Public(), a.rootKey)
	a.leaf = issue(t, leafTemplate(), a.between, a.key.Public(), a.betweenKey)
	return a
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0),
		NotAfter: now.AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
}

func leafTemplate() *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "attestor"}, NotBefore: now.AddDate(0, -1, 0),
		NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
}

// issue makes a certificate; without a parent it signs itself.
func issue(t testing.TB, template, parent *x509.Certificate, public any, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate
}

func (a attestor) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

func x5c(chain ...*x509.Certificate) []string {
	out := make([]string, len(chain))
	for i, c := range chain {
		out[i] = base64.StdEncoding.EncodeToString(c.Raw)
	}
	return out
}

func (a attestor) header() object {
	return object{"typ": "key-attestation+jwt", "alg": oid4vci.ProofAlgorithm(a.key.Curve), "x5c": x5c(a.leaf, a.between)}
}

func attestationClaims(t testing.TB, keys ...*ecdsa.PrivateKey) object {
	t.Helper()
	jwks := make([]any, len(keys))
	for i, key := range keys {
		jwks[i] = jwkOf(t, key)
	}
	return object{"iat": now.Add(-time.Hour).Unix(), "exp": now.Add(time.Hour).Unix(), "attested_keys": jwks,
		"key_storage": []string{"iso_18045_high"}, "user_authentication": []string{"iso_18045_moderate", "https://example.org/pin"},
		"certification": "https://example.org/certified", "status": object{"status_list": object{"idx": 1, "uri": "https://example.org"}}}
}

// attestedVerifier asks for attestations by the attestor.
func attestedVerifier(a attestor) oid4vci.ProofVerifier {
	v := newVerifier()
	v.AttestationRoots = a.roots()
	return v
}

// attestedProof is a proof of the key that carries the attestation.
func attestedProof(t testing.TB, key *ecdsa.PrivateKey, attestation any) string {
	t.Helper()
	return sign(t, key, with(goodHeader(t, key), object{"key_attestation": attestation}), goodClaims())
}

func TestKeyAttestationsAreAccepted(t *testing.T) {
	key, other := newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		t.Run(curve.Params().Name, func(t *testing.T) {
			a := newAttestor(t, curve)
			attestation := sign(t, a.key, a.header(), attestationClaims(t, other, key))
			verified, err := attestedVerifier(a).VerifyJWTProofs(t.Context(), []string{attestedProof(t, key, attestation)})
			require.NoError(t, err)
			got := verified[0].Attestation
			require.True(t, got.Keys[0].Key.Equal(&other.PublicKey))
			require.True(t, got.Keys[1].Key.Equal(&key.PublicKey))
			require.Equal(t, verified[0].Thumbprint, got.Keys[1].Thumbprint)
			require.Equal(t, []string{"iso_18045_high"}, got.KeyStorage)
			require.Equal(t, []string{"iso_18045_moderate", "https://example.org/pin"}, got.UserAuthentication)
			require.Empty(t, got.Nonce)
			require.True(t, got.Root.Equal(a.root))
		})
	}
	a := newAttestor(t, elliptic.P256())
	header, claims := a.header(), attestationClaims(t, key)
	for name, tc := range map[string]struct {
		header object
		claims object
	}{
		"nothing optional":   {header, without(claims, "key_storage", "user_authentication", "certification", "status")},
		"root in the chain":  {with(header, object{"x5c": x5c(a.leaf, a.between, a.root)}), claims},
		"kid beside x5c":     {with(header, object{"kid": "1"}), claims},
		"clock a bit behind": {header, with(claims, object{"iat": now.Add(59 * time.Second).Unix(), "exp": now.Add(-59 * time.Second).Unix()})},
		"unknown claim":      {header, with(claims, object{"iss": "https://wallet.example.org", "vendor": object{}})},
		"nulls":              {header, with(claims, object{"nonce": nil, "key_storage": nil, "nbf": nil})},
	} {
		t.Run(name, func(t *testing.T) {
			attestation := sign(t, a.key, tc.header, tc.claims)
			_, err := attestedVerifier(a).VerifyJWTProofs(t.Context(), []string{attestedProof(t, key, attestation)})
			require.NoError(t, err)
		})
	}
	t.Run("a signer that is trusted itself", func(t *testing.T) {
		v := newVerifier()
		v.AttestationRoots = x509.NewCertPool()
		v.AttestationRoots.AddCert(a.leaf)
		attestation := sign(t, a.key, with(header, object{"x5c": x5c(a.leaf)}), claims)
		verified, err := v.VerifyJWTProofs(t.Context(), []string{attestedProof(t, key, attestation)})
		require.NoError(t, err)
		require.True(t, verified[0].Attestation.Root.Equal(a.leaf))
	})
}

// What is wrong with each is the only thing that is wrong with it.
func TestKeyAttestationsAreRefused(t *testing.T) {
	a, stranger := newAttestor(t, elliptic.P256()), newAttestor(t, elliptic.P256())
	key, other, p384 := newKey(t, elliptic.P256()), newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	d, err := key.Bytes()
	require.NoError(t, err)
	header, claims := a.header(), attestationClaims(t, key)
	good := sign(t, a.key, header, claims)
	input := good[:strings.LastIndex(good, ".")]

	withHeader := func(changes object) string { return sign(t, a.key, with(header, changes), claims) }
	withClaims := func(changes object) string { return sign(t, a.key, header, with(claims, changes)) }
	withoutClaim := func(name string) string { return sign(t, a.key, header, without(claims, name)) }
	withKeys := func(jwks ...any) string { return withClaims(object{"attested_keys": jwks}) }
	withLeaf := func(change func(*x509.Certificate)) string {
		template := leafTemplate()
		change(template)
		return withHeader(object{"x5c": x5c(issue(t, template, a.between, a.key.Public(), a.betweenKey), a.between)})
	}
	oldBetween := caTemplate("between")
	oldBetween.NotAfter = now.Add(-time.Minute)
	narrow := caTemplate("between")
	narrow.IsCA, narrow.KeyUsage = false, x509.KeyUsageDigitalSignature
	many := make([]any, 101)
	for i := range many {
		many[i] = jwkOf(t, key)
	}

	tests := []struct {
		name        string
		attestation any
		part        string
	}{
		{"a number", 5, "key_attestation"},
		{"empty", "", "not a JWT"},
		{"garbage", "garbage", "not a JWT"},
		{"five parts", good + ".x.y", "not a JWT"},
		{"padding", good + "==", "not a JWT"},
		{"header no JSON", sign(t, a.key, "{", claims), "header"},
		{"claims an array", sign(t, a.key, header, "[]"), "claims"},
		{"claim given twice", sign(t, a.key, header, `{"iat":1,"iat":2}`), "twice"},
		{"typ of a proof", withHeader(object{"typ": "openid4vci-proof+jwt"}), "typ"},
		{"typ missing", sign(t, a.key, without(header, "typ"), claims), "typ"},
		{"alg none", segment(t, with(header, object{"alg": "none"})) + "." + segment(t, claims) + ".", "alg"},
		{"alg HS256", hs256(t, with(header, object{"alg": "HS256", "jwk": object{}}), claims), "alg"},
		{"alg of another curve", withHeader(object{"alg": "ES384"}), "curve"},
		{"crit", withHeader(object{"crit": []string{"x"}, "x": 1}), "crit"},

		{"no x5c", sign(t, a.key, without(header, "x5c"), claims), "x5c is missing"},
		{"kid instead", sign(t, a.key, with(without(header, "x5c"), object{"kid": "1"}), claims), "x5c is missing"},
		{"jwk instead", sign(t, a.key, with(without(header, "x5c"), object{"jwk": jwkOf(t, a.key)}), claims), "x5c is missing"},
		{"x5c empty", withHeader(object{"x5c": []string{}}), "x5c"},
		{"x5c too long", withHeader(object{"x5c": strings.Split(strings.Repeat("MII,", 9), ",")}), "x5c is not a list"},
		{"x5c no certificate", withHeader(object{"x5c": []string{"MIIB"}}), "x5c: not a certificate"},
		{"x5c no certificate at second place", withHeader(object{"x5c": append(x5c(a.leaf), "MIIB")}), "x5c: not a certificate"},
		{"x5c of an RSA key", withHeader(object{"x5c": x5c(issue(t, leafTemplate(), a.between, rsaKey.Public(), a.betweenKey), a.between)}),
			"not an EC key"},
		{"signer of another root", sign(t, stranger.key, stranger.header(), claims), "trusted"},
		{"another root of the same name", sign(t, stranger.key, with(stranger.header(),
			object{"x5c": x5c(stranger.leaf, stranger.between, a.root)}), claims), "trusted"},
		{"own certificate", withHeader(object{"x5c": x5c(issue(t, leafTemplate(), nil, a.key.Public(), a.key))}), "trusted"},
		{"chain with a gap", withHeader(object{"x5c": x5c(a.leaf)}), "trusted"},
		{"chain over a certificate that certifies nobody", withHeader(object{"x5c": x5c(a.leaf,
			issue(t, narrow, a.root, a.betweenKey.Public(), a.rootKey))}), "trusted"},
		{"expired certificate", withLeaf(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }), "expired"},
		{"certificate of tomorrow", withLeaf(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }), "not yet valid"},
		{"expired authority", withHeader(object{"x5c": x5c(a.leaf, issue(t, oldBetween, a.root, a.betweenKey.Public(), a.rootKey))}), "x5c"},
		{"an authority as signer", withLeaf(func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
		}), "authority"},
		{"certificate not for signatures", withLeaf(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), "not for signatures"},

		{"signed by another key", sign(t, other, header, claims), "signature"},
		{"no signature", input + ".", "signature"},
		{"signature of other claims", segment(t, header) + "." + segment(t, with(claims, object{"key_storage": []string{"iso_18045_basic"}})) +
			good[len(input):], "signature"},

		{"iat missing", withoutClaim("iat"), "iat is missing"},
		{"iat text", withClaims(object{"iat": "now"}), "iat"},
		{"iat in the future", withClaims(object{"iat": now.Add(61 * time.Second).Unix()}), "iat is in the future"},
		{"exp missing", withoutClaim("exp"), "exp is missing"},
		{"exp negative", withClaims(object{"exp": -1}), "exp"},
		{"expired", withClaims(object{"exp": now.Add(-time.Minute).Unix()}), "exp is past"},
		{"nbf in the future", withClaims(object{"nbf": now.Add(2 * time.Minute).Unix()}), "nbf"},
		{"nbf text", withClaims(object{"nbf": "soon"}), "nbf"},

		{"keys missing", withoutClaim("attested_keys"), "attested_keys"},
		{"keys empty", withKeys(), "attested_keys"},
		{"keys no list", withClaims(object{"attested_keys": jwkOf(t, key)}), "attested_keys"},
		{"too many keys", withKeys(many...), "1 to 100"},
		{"key twice", withKeys(jwkOf(t, key), with(jwkOf(t, key), object{"kid": "2"})), "key 2 is there twice"},
		{"key no object", withKeys("key"), "attested_keys: key 1"},
		{"key RSA", withKeys(jwkOf(t, key), object{"kty": "RSA", "n": "AQAB", "e": "AQAB"}), "attested_keys: key 2: jwk: kty"},
		{"private key", withKeys(with(jwkOf(t, key), object{"d": base64.RawURLEncoding.EncodeToString(d)})), "private"},
		{"key with a kid that is no text", withKeys(with(jwkOf(t, key), object{"kid": 1})), "kid"},
		{"another key", withKeys(jwkOf(t, other), jwkOf(t, p384)), "not one that key_attestation attests"},

		{"key_storage empty", withClaims(object{"key_storage": []string{}}), "key_storage"},
		{"key_storage a text", withClaims(object{"key_storage": "iso_18045_high"}), "key_storage"},
		{"key_storage of numbers", withClaims(object{"key_storage": []int{5}}), "key_storage"},
		{"key_storage with nothing in it", withClaims(object{"key_storage": []string{""}}), "key_storage"},
		{"key_storage too long", withClaims(object{"key_storage": strings.Split(strings.Repeat("x,", 16)+"x", ",")}), "key_storage"},
		{"a value too long", withClaims(object{"user_authentication": []string{strings.Repeat("x", 600)}}), "user_authentication"},
		{"certification no text", withClaims(object{"certification": object{}}), "certification"},
		{"nonce empty", withClaims(object{"nonce": ""}), "nonce"},
		{"nonce a number", withClaims(object{"nonce": 5}), "nonce"},
		{"nonce too long", withClaims(object{"nonce": strings.Repeat("x", 10_000)}), "nonce"},
	}
	v := attestedVerifier(a)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			verified, err := v.VerifyJWTProofs(t.Context(), []string{attestedProof(t, key, tt.attestation)})
			requireRefused(t, err, oid4vci.InvalidProof, tt.part)
			require.ErrorContains(t, err, "key_attestation")
			require.Nil(t, verified)
		})
	}
	_, err = v.VerifyJWTProofs(t.Context(), []string{sign(t, key, goodHeader(t, key), goodClaims())})
	requireRefused(t, err, oid4vci.InvalidProof, "key_attestation is missing")
	_, err = v.VerifyJWTProofs(t.Context(), []string{attestedProof(t, key, good), sign(t, other, goodHeader(t, other), goodClaims())})
	requireRefused(t, err, oid4vci.InvalidProof, "proof 2: key_attestation is missing")
	v.AttestationRoots = x509.NewCertPool()
	_, err = v.VerifyJWTProofs(t.Context(), []string{attestedProof(t, key, good)})
	requireRefused(t, err, oid4vci.InvalidProof, "trusted")
	_, err = attestedVerifier(a).VerifyJWTProofs(t.Context(), []string{attestedProof(t, key, good)})
	require.NoError(t, err, "it was what was changed alone")
}

func TestKeyAttestationsThatNobodyAsksForAreNotLookedAt(t *testing.T) {
	key := newKey(t, elliptic.P256())
	for _, attestation := range []any{"a.b.c", 5, nil} {
		verified, err := newVerifier().VerifyJWTProofs(t.Context(), []string{attestedProof(t, key, attestation)})
		require.NoError(t, err)
		require.Nil(t, verified[0].Attestation)
	}
}

func TestProofsNameAttestedKeys(t *testing.T) {
	a := newAttestor(t, elliptic.P256())
	keys := []*ecdsa.PrivateKey{newKey(t, elliptic.P256()), newKey(t, elliptic.P384()), newKey(t, elliptic.P256())}
	named := attestationClaims(t)
	named["attested_keys"] = []any{with(jwkOf(t, keys[0]), object{"kid": "2"}), jwkOf(t, keys[1]),
		with(jwkOf(t, keys[2]), object{"kid": "third"})}
	attestation := sign(t, a.key, a.header(), named)
	proof := func(key *ecdsa.PrivateKey, kid any) string {
		return sign(t, key, with(without(goodHeader(t, key), "jwk"), object{"kid": kid, "key_attestation": attestation}), goodClaims())
	}
	header := goodHeader(t, keys[0])
	v := attestedVerifier(a)
	for name, tc := range map[string]struct {
		kid string
		key int
	}{"by kid": {"third", 2}, "by place": {"1", 1}, "by kid that looks like a place": {"2", 0}, "by the first place": {"0", 0}} {
		t.Run(name, func(t *testing.T) {
			verified, err := v.VerifyJWTProofs(t.Context(), []string{proof(keys[tc.key], tc.kid)})
			require.NoError(t, err)
			require.True(t, keys[tc.key].PublicKey.Equal(verified[0].Key))
		})
	}
	for name, tc := range map[string]struct {
		proof string
		part  string
	}{
		"no such place":     {proof(keys[0], "3"), "kid names no key"},
		"negative":          {proof(keys[0], "-1"), "kid names no key"},
		"no such kid":       {proof(keys[0], "fourth"), "kid names no key"},
		"empty":             {proof(keys[0], ""), "kid names no key"},
		"a number":          {proof(keys[0], 0), "kid"},
		"signed by another": {proof(keys[0], "third"), "signature"},
		"of another curve":  {proof(keys[0], "1"), "curve"},
		"beside a key":      {sign(t, keys[0], with(header, object{"kid": "0", "key_attestation": attestation}), goodClaims()), "kid"},
		"neither kid nor key": {sign(t, keys[0], with(without(header, "jwk"), object{"key_attestation": attestation}), goodClaims()),
			"exactly one"},
		"without attestations": {sign(t, keys[0], with(without(header, "jwk"), object{"kid": "0"}), goodClaims()), "key_attestation"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.VerifyJWTProofs(t.Context(), []string{tc.proof})
			requireRefused(t, err, oid4vci.InvalidProof, tc.part)
		})
	}
	_, err := v.VerifyJWTProofs(t.Context(), []string{proof(keys[0], "0"), proof(keys[0], "2")})
	requireRefused(t, err, oid4vci.InvalidProof, "used twice")
}

func TestNonceOfAnAttestation(t *testing.T) {
	a := newAttestor(t, elliptic.P256())
	keys := []*ecdsa.PrivateKey{newKey(t, elliptic.P256()), newKey(t, elliptic.P256())}
	proofs := func(nonce string) []string {
		attestation := sign(t, a.key, a.header(), with(attestationClaims(t, keys...), object{"nonce": nonce}))
		return []string{attestedProof(t, keys[0], attestation), attestedProof(t, keys[1], attestation)}
	}
	var asked []string
	v := attestedVerifier(a)
	check := v.CheckNonce
	v.CheckNonce = func(ctx context.Context, nonce string) error {
		asked = append(asked, nonce)
		return check(ctx, nonce)
	}
	verified, err := v.VerifyJWTProofs(t.Context(), proofs(goodNonce))
	require.NoError(t, err)
	require.Equal(t, goodNonce, verified[0].Attestation.Nonce)
	require.Same(t, verified[0].Attestation, verified[1].Attestation)
	require.Equal(t, []string{goodNonce}, asked, "one that proofs and attestation share is checked once")
	asked = nil
	_, err = v.VerifyJWTProofs(t.Context(), proofs(goodNonce+"-2"))
	require.NoError(t, err)
	require.Equal(t, []string{goodNonce, goodNonce + "-2"}, asked, "it may have another one of ours")
	_, err = v.VerifyJWTProofs(t.Context(), proofs("yesterday"))
	requireRefused(t, err, oid4vci.InvalidNonce, "nonce")
}

func TestSignKeyAttestation(t *testing.T) {
	key := newKey(t, elliptic.P256())
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		a := newAttestor(t, curve)
		attestation, err := oid4vci.SignKeyAttestation(a.key, []*x509.Certificate{a.leaf, a.between}, oid4vci.KeyAttestationClaims{
			Keys: []*ecdsa.PublicKey{&key.PublicKey}, KeyStorage: []string{"iso_18045_basic"}, UserAuthentication: []string{"iso_18045_high"},
			IssuedAt: now, ExpiresAt: now.Add(time.Hour), Nonce: goodNonce})
		require.NoError(t, err)
		proof, err := oid4vci.SignJWTProof(key, oid4vci.ProofClaims{Audience: issuerID, IssuedAt: now, Nonce: goodNonce,
			KeyAttestation: attestation})
		require.NoError(t, err)
		verified, err := attestedVerifier(a).VerifyJWTProofs(t.Context(), []string{proof})
		require.NoError(t, err)
		got := verified[0].Attestation
		require.Equal(t, []string{"iso_18045_basic"}, got.KeyStorage)
		require.Equal(t, []string{"iso_18045_high"}, got.UserAuthentication)
		require.Equal(t, goodNonce, got.Nonce)
	}
	_, err := oid4vci.SignKeyAttestation(newKey(t, elliptic.P224()), nil, oid4vci.KeyAttestationClaims{})
	require.Error(t, err)
}

// Thirty proofs with an attestation of thirty keys each fit into what is read of a request.
func TestALargeAttestationFits(t *testing.T) {
	a := newAttestor(t, elliptic.P256())
	keys := make([]*ecdsa.PrivateKey, 30)
	for i := range keys {
		keys[i] = newKey(t, elliptic.P256())
	}
	attestation := sign(t, a.key, a.header(), attestationClaims(t, keys...))
	proofs := make([]string, len(keys))
	for i, key := range keys {
		proofs[i] = attestedProof(t, key, attestation)
	}
	_, err := attestedVerifier(a).VerifyJWTProofs(t.Context(), proofs)
	require.NoError(t, err)
	request, err := json.Marshal(oid4vci.CredentialRequest{CredentialConfigurationID: "mdl", Proofs: oid4vci.Proofs{JWT: proofs}})
	require.NoError(t, err)
	_, refused := oid4vci.ParseCredentialRequest(request, len(proofs))
	require.Nil(t, refused)
}

func FuzzKeyAttestation(f *testing.F) {
	key := newKey(f, elliptic.P256())
	a := newAttestor(f, elliptic.P256())
	header, claims := a.header(), attestationClaims(f, key)
	f.Add(sign(f, a.key, header, claims))
	f.Add(sign(f, a.key, with(header, object{"x5c": x5c(a.leaf)}), claims))
	f.Add(sign(f, a.key, header, with(claims, object{"attested_keys": []any{object{"kty": "RSA"}}, "exp": 1e300})))
	f.Add("e30.e30.")
	f.Add("")
	v := attestedVerifier(a)
	f.Fuzz(func(t *testing.T, attestation string) {
		verified, err := v.VerifyKeyAttestation(attestation)
		if err != nil {
			require.Less(t, len(err.Error()), 250, "it fits into a description")
			return
		}
		require.NotEmpty(t, verified.Keys)
		require.True(t, verified.Root.Equal(a.root))
	})
}

func FuzzKeyAttestationClaims(f *testing.F) {
	key := newKey(f, elliptic.P256())
	for _, seed := range []object{
		attestationClaims(f, key), with(attestationClaims(f, key, newKey(f, elliptic.P521())), object{"nonce": goodNonce, "nbf": 0}),
		with(attestationClaims(f, key), object{"attested_keys": []any{object{"kty": "RSA", "n": "AQAB"}}}), {"iat": 1e300, "exp": "x"},
	} {
		form, err := json.Marshal(seed)
		require.NoError(f, err)
		f.Add(form)
	}
	v := newVerifier()
	f.Fuzz(func(t *testing.T, payload []byte) {
		read, err := v.ReadKeyAttestation(payload)
		if err != nil {
			require.Less(t, len(err.Error()), 250, "it fits into a description")
			return
		}
		require.NotEmpty(t, read.Keys)
		for _, k := range read.Keys {
			require.Len(t, k.Thumbprint, 43)
		}
	})
}
