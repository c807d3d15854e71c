package oid4vci

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// KeyAttestationTypHeader is the typ header of a key attestation.
const KeyAttestationTypHeader = "key-attestation+jwt"

// Bounds of one key attestation beside its length, which is that of a proof: the keys it attests, and the values of key_storage and
// user_authentication.
const (
	maxAttestedKeys = 100
	maxStatements   = 16
)

// KeyAttestation is what a trusted attestor says of a wallet's keys (Key Attestation in JWT format).
type KeyAttestation struct {
	Keys []AttestedKey // at least one; no key is there twice
	// KeyStorage and UserAuthentication are the attack potential resistances stated, as sent; nil when nothing is stated.
	KeyStorage         []string
	UserAuthentication []string
	Nonce              string            // empty when it has none
	Root               *x509.Certificate // the trusted certificate that the signer's chain leads to
}

// AttestedKey is a key in an attestation.
type AttestedKey struct {
	Key        *ecdsa.PublicKey
	Thumbprint string // RFC 7638, SHA-256, base64url
	ID         string // kid of the JWK, empty without one
}

// verifyKeyAttestation checks a key attestation that comes with a proof of type jwt: its type, its signature by a certificate that leads to
// one of v.AttestationRoots, its times and its form. Whether its nonce is good and its levels suffice is seen elsewhere. The signer is
// named by x5c; kid and trust_chain would need a registry of keys. A status member is not looked at. The error text goes to the wallet: it
// repeats nothing of the attestation.
func (v ProofVerifier) verifyKeyAttestation(attestation string) (a KeyAttestation, err error) {
	token, err := splitJWT(attestation)
	if err != nil {
		return a, err
	}
	alg, err := v.checkHeader(token.header, KeyAttestationTypHeader)
	if err != nil {
		return a, err
	}
	signer, root, err := v.attestor(token.header["x5c"])
	if err != nil {
		return a, err
	}
	if signer.Curve != signatureCurves[alg] {
		return a, errors.New("alg does not go with the curve of the key")
	}
	if err := token.verify(alg, signer); err != nil {
		return a, err
	}
	a.Root = root
	if err := v.checkAttestationTimes(token.claims); err != nil {
		return a, err
	}
	return a, a.read(token.claims)
}

// attestor takes the signer's key from an x5c header (RFC 7515, 4.1.6), once its chain is found to lead to a trusted certificate.
func (v ProofVerifier) attestor(x5c []byte) (*ecdsa.PublicKey, *x509.Certificate, error) {
	if x5c == nil {
		return nil, nil, errors.New("x5c is missing")
	}
	encoded, err := certificateList(x5c)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := parseCertificate(encoded[0])
	if err != nil {
		return nil, nil, err
	}
	between := x509.NewCertPool()
	for _, text := range encoded[1:] {
		certificate, err := parseCertificate(text)
		if err != nil {
			return nil, nil, err
		}
		between.AddCert(certificate)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok:
		return nil, nil, errors.New("x5c: not an EC key")
	case leaf.IsCA:
		return nil, nil, errors.New("x5c: a certification authority signs no attestations")
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, nil, errors.New("x5c: the certificate is not for signatures")
	}
	paths, err := leaf.Verify(x509.VerifyOptions{Roots: v.AttestationRoots, Intermediates: between, CurrentTime: v.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return nil, nil, errors.New("x5c: a certificate has expired or is not yet valid")
	}
	if err != nil {
		return nil, nil, errors.New("x5c: does not lead to a certificate that is trusted here")
	}
	path := paths[0]
	return key, path[len(path)-1], nil
}

// checkAttestationTimes checks iat, exp and nbf. With a proof of type jwt an attestation must have an end.
func (v ProofVerifier) checkAttestationTimes(claims map[string]json.RawMessage) error {
	issued, hasIat, err := numericDate(claims, "iat")
	if err != nil {
		return err
	}
	expires, hasExp, err := numericDate(claims, "exp")
	if err != nil {
		return err
	}
	before, _, err := numericDate(claims, "nbf")
	if err != nil {
		return err
	}
	now := v.Now()
	switch {
	case !hasIat:
		return errors.New("iat is missing")
	case issued.After(now.Add(v.Leeway)):
		return errors.New("iat is in the future")
	case !hasExp:
		return errors.New("exp is missing")
	case !expires.After(now.Add(-v.Leeway)):
		return errors.New("exp is past")
	case before.After(now.Add(v.Leeway)):
		return errors.New("nbf is in the future")
	}
	return nil
}

// read takes what is attested from the claims.
func (a *KeyAttestation) read(claims map[string]json.RawMessage) (err error) {
	jwks, _, err := member[[]json.RawMessage](claims, "attested_keys")
	if err != nil {
		return err
	}
	if len(jwks) == 0 || len(jwks) > maxAttestedKeys {
		return fmt.Errorf("attested_keys is not a list of 1 to %d keys", maxAttestedKeys)
	}
	for i, jwk := range jwks {
		key, err := attestedKey(jwk)
		if err != nil {
			return fmt.Errorf("attested_keys: key %d: %w", i+1, err)
		}
		if a.attests(key.Thumbprint) {
			return fmt.Errorf("attested_keys: key %d is there twice", i+1)
		}
		a.Keys = append(a.Keys, key)
	}
	if a.KeyStorage, err = statements(claims, "key_storage"); err != nil {
		return err
	}
	if a.UserAuthentication, err = statements(claims, "user_authentication"); err != nil {
		return err
	}
	if _, _, err = member[string](claims, "certification"); err != nil {
		return err
	}
	nonce, hasNonce, err := member[string](claims, "nonce")
	if err != nil {
		return err
	}
	if hasNonce && (nonce == "" || len(nonce) > maxSecret) {
		return errors.New("nonce is empty or too long")
	}
	a.Nonce = nonce
	return nil
}

func attestedKey(data []byte) (AttestedKey, error) {
	key, err := parseJWK(data)
	if err != nil {
		return AttestedKey{}, err
	}
	m, err := members(data, maxProof)
	if err != nil {
		return AttestedKey{}, err
	}
	id, _, err := member[string](m, "kid")
	if err != nil {
		return AttestedKey{}, err
	}
	thumbprint, err := Thumbprint(key)
	return AttestedKey{Key: key, Thumbprint: thumbprint, ID: id}, err
}

// statements reads key_storage or user_authentication: left out, or a list of texts that is not empty.
func statements(claims map[string]json.RawMessage, name string) ([]string, error) {
	values, has, err := member[[]string](claims, name)
	if err != nil || !has {
		return nil, err
	}
	if len(values) == 0 || len(values) > maxStatements ||
		slices.ContainsFunc(values, func(v string) bool { return v == "" || len(v) > maxName }) {
		return nil, fmt.Errorf("%s is not a list of 1 to %d values", name, maxStatements)
	}
	return values, nil
}

// attests says whether the key with the thumbprint is among the attested ones.
func (a KeyAttestation) attests(thumbprint string) bool {
	return slices.ContainsFunc(a.Keys, func(k AttestedKey) bool { return k.Thumbprint == thumbprint })
}

// named gives the attested key that the kid header of a proof means: the one whose JWK has that kid or, as in the standard's example, the
// one at that place, counted from 0.
func (a KeyAttestation) named(kid string) (AttestedKey, bool) {
	if i := slices.IndexFunc(a.Keys, func(k AttestedKey) bool { return kid != "" && k.ID == kid }); i >= 0 {
		return a.Keys[i], true
	}
	place, err := strconv.ParseUint(kid, 10, 8)
	if err != nil || place >= uint64(len(a.Keys)) {
		return AttestedKey{}, false
	}
	return a.Keys[place], true
}

// KeyAttestationClaims are what an attestation says.
type KeyAttestationClaims struct {
	Keys               []*ecdsa.PublicKey
	KeyStorage         []string // nil = nothing is said
	UserAuthentication []string // likewise
	IssuedAt           time.Time
	ExpiresAt          time.Time
	Nonce              string // c_nonce; empty = none
}

// SignKeyAttestation makes a key attestation. The first certificate of the chain is that of the key; the trusted one is left out.
func SignKeyAttestation(key *ecdsa.PrivateKey, chain []*x509.Certificate, claims KeyAttestationClaims) (string, error) {
	alg := ProofAlgorithm(key.Curve)
	if alg == "" {
		return "", errors.New("sign key attestation: unsupported curve")
	}
	x5c := make([]string, len(chain))
	for i, certificate := range chain {
		x5c[i] = base64.StdEncoding.EncodeToString(certificate.Raw)
	}
	jwks := make([]jose.JSONWebKey, len(claims.Keys))
	for i, attested := range claims.Keys {
		jwks[i] = jose.JSONWebKey{Key: attested}
	}
	payload, err := json.Marshal(struct {
		IssuedAt           int64             `json:"iat"`
		ExpiresAt          int64             `json:"exp"`
		Keys               []jose.JSONWebKey `json:"attested_keys"`
		KeyStorage         []string          `json:"key_storage,omitempty"`
		UserAuthentication []string          `json:"user_authentication,omitempty"`
		Nonce              string            `json:"nonce,omitempty"`
	}{claims.IssuedAt.Unix(), claims.ExpiresAt.Unix(), jwks, claims.KeyStorage, claims.UserAuthentication, claims.Nonce})
	if err != nil {
		return "", fmt.Errorf("sign key attestation: %w", err)
	}
	options := (&jose.SignerOptions{}).WithType(KeyAttestationTypHeader).WithHeader("x5c", x5c)
	attestation, err := signCompact(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, options, payload)
	if err != nil {
		return "", fmt.Errorf("sign key attestation: %w", err)
	}
	return attestation, nil
}
