package oid4vci

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ProofTypHeader is the typ header of a key proof.
const ProofTypHeader = "openid4vci-proof+jwt"

// ErrNonceRefused is what ProofVerifier.CheckNonce returns for a nonce that is unknown, too old or used up.
var ErrNonceRefused = errors.New("nonce refused")

// Bounds of one proof: its length in bytes and the certificates in its x5c header.
const (
	maxProof        = 32 << 10
	maxCertificates = 8
)

// signatureCurves are the algorithms a device key may sign with and the one curve each goes with (RFC 7518, 3.4).
var signatureCurves = map[string]elliptic.Curve{
	string(jose.ES256): elliptic.P256(),
	string(jose.ES384): elliptic.P384(),
	string(jose.ES512): elliptic.P521(),
}

// ProofVerifier checks the key proofs of a credential request (Verifying Proof). All fields but Leeway, ClientID and
// AttestationRoots are needed. It holds no state and may be used by many goroutines if CheckNonce may.
type ProofVerifier struct {
	// Audience is the Credential Issuer Identifier.
	Audience string
	// Algorithms are the accepted JOSE names of proofs and attestations, out of ES256, ES384, ES512.
	Algorithms []string
	// Now is the clock.
	Now func() time.Time
	// MaxAge is how long after its iat a proof is accepted.
	MaxAge time.Duration
	// Leeway is added to both ends for clocks that differ.
	Leeway time.Duration
	// ClientID is the client the access token was given to; empty for anonymous use of the pre-authorized code grant,
	// where a proof must not have an iss.
	ClientID string
	// CheckNonce decides on a c_nonce. It is called once for each distinct nonce of a request, and only when all proofs
	// are otherwise good, so that garbage does not use a nonce up. It returns nil, an error that is ErrNonceRefused, or
	// any other error when it could not decide.
	CheckNonce func(ctx context.Context, nonce string) error
	// AttestationRoots are the certificates of whose key attestations are trusted. With nil, key attestations are not looked at;
	// else every proof must come with one that attests its key.
	AttestationRoots *x509.CertPool
}

// VerifiedProof is a key whose possession has been proved.
type VerifiedProof struct {
	Key        *ecdsa.PublicKey
	Thumbprint string // RFC 7638, SHA-256, base64url
	Nonce      string
	IssuedAt   time.Time
	// Attestation attests the key and maybe others; nil when no attestation was asked for. Proofs may share one.
	Attestation *KeyAttestation
}

// VerifyJWTProofs checks the proofs of one request and returns them in the order given. All are good or none is returned.
// A refusal is an *Error with the code invalid_proof or invalid_nonce; any other error means that the proofs could not be
// judged (the verifier lacks a setting, CheckNonce failed).
//
// A key is taken from the jwk header or from the first certificate of x5c, whose certificates are not validated; kid may
// name a key of the attestation, else it names one that only the wallet knows and is refused.
func (v ProofVerifier) VerifyJWTProofs(ctx context.Context, proofs []string) ([]VerifiedProof, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	if len(proofs) == 0 {
		return nil, NewError(InvalidProof, "proofs is missing")
	}
	verified := make([]VerifiedProof, 0, len(proofs))
	keys := map[string]bool{}
	var nonces []string
	note := func(nonce string) {
		if nonce != "" && !slices.Contains(nonces, nonce) {
			nonces = append(nonces, nonce)
		}
	}
	attestations := map[string]*KeyAttestation{}
	for i, proof := range proofs {
		p, err := v.verify(proof, attestations)
		if err != nil {
			return nil, NewError(InvalidProof, fmt.Sprintf("proof %d: %v", i+1, err))
		}
		if keys[p.Thumbprint] {
			return nil, NewError(InvalidProof, fmt.Sprintf("proof %d: the key is used twice", i+1))
		}
		keys[p.Thumbprint] = true
		note(p.Nonce)
		if p.Attestation != nil {
			note(p.Attestation.Nonce)
		}
		verified = append(verified, p)
	}
	for _, nonce := range nonces {
		err := v.CheckNonce(ctx, nonce)
		if errors.Is(err, ErrNonceRefused) {
			return nil, NewError(InvalidNonce, "the nonce is unknown, too old or used, get another from the nonce endpoint")
		}
		if err != nil {
			return nil, fmt.Errorf("check nonce: %w", err)
		}
	}
	return verified, nil
}

// check refuses a verifier that would leave out a check.
func (v ProofVerifier) check() error {
	switch {
	case v.Audience == "", len(v.Algorithms) == 0, v.Now == nil, v.MaxAge <= 0, v.Leeway < 0, v.CheckNonce == nil:
		return errors.New("proof verifier: a setting is missing")
	}
	for _, alg := range v.Algorithms {
		if signatureCurves[alg] == nil {
			return errors.New("proof verifier: unknown algorithm")
		}
	}
	return nil
}

// verify checks one proof but for its nonce's worth. The error text goes to the wallet: it repeats nothing of the proof.
// attestations are those of the request that were found good.
func (v ProofVerifier) verify(proof string, attestations map[string]*KeyAttestation) (VerifiedProof, error) {
	token, err := splitJWT(proof)
	if err != nil {
		return VerifiedProof{}, err
	}
	alg, err := v.checkHeader(token.header, ProofTypHeader)
	if err != nil {
		return VerifiedProof{}, err
	}
	var p VerifiedProof
	if p.Attestation, err = v.attestation(token.header, attestations); err != nil {
		return VerifiedProof{}, err
	}
	key, err := proofKey(token.header, alg, p.Attestation)
	if err != nil {
		return VerifiedProof{}, err
	}
	p.Key = key
	if p.Nonce, p.IssuedAt, err = v.checkClaims(token.claims); err != nil {
		return VerifiedProof{}, err
	}
	if err := token.verify(alg, key); err != nil {
		return VerifiedProof{}, err
	}
	if p.Thumbprint, err = Thumbprint(key); err != nil {
		return VerifiedProof{}, err
	}
	if p.Attestation != nil && !p.Attestation.attests(p.Thumbprint) {
		return VerifiedProof{}, errors.New("the key is not one that key_attestation attests")
	}
	return p, nil
}

// attestation verifies the one in the header, if any is asked for. One that several proofs of a request carry is verified once.
func (v ProofVerifier) attestation(header map[string]json.RawMessage, known map[string]*KeyAttestation) (*KeyAttestation, error) {
	if v.AttestationRoots == nil {
		return nil, nil
	}
	sent, has, err := member[string](header, "key_attestation")
	if err != nil {
		return nil, err
	}
	if !has {
		return nil, errors.New("key_attestation is missing")
	}
	if known[sent] == nil {
		verified, err := v.verifyKeyAttestation(sent)
		if err != nil {
			return nil, fmt.Errorf("key_attestation: %w", err)
		}
		known[sent] = &verified
	}
	return known[sent], nil
}

// checkHeader checks everything in the header but the key.
func (v ProofVerifier) checkHeader(header map[string]json.RawMessage, want string) (alg string, err error) {
	typ, _, err := member[string](header, "typ")
	if err != nil {
		return "", err
	}
	if typ != want {
		return "", errors.New("typ is not " + want)
	}
	if alg, _, err = member[string](header, "alg"); err != nil {
		return "", err
	}
	if !slices.Contains(v.Algorithms, alg) {
		return "", errors.New("alg is not supported")
	}
	for _, name := range []string{"crit", "b64"} {
		if header[name] != nil {
			return "", errors.New(name + " is not supported")
		}
	}
	return alg, nil
}

// checkClaims checks audience, times and issuer.
func (v ProofVerifier) checkClaims(claims map[string]json.RawMessage) (nonce string, issuedAt time.Time, err error) {
	if !isAudience(claims["aud"], v.Audience) {
		return "", time.Time{}, errors.New("aud is not the credential issuer identifier")
	}
	iss, hasIss, err := member[string](claims, "iss")
	switch {
	case err != nil:
		return "", time.Time{}, err
	case hasIss && v.ClientID == "":
		return "", time.Time{}, errors.New("iss must be left out for anonymous use of a pre-authorized code")
	case hasIss && iss != v.ClientID:
		return "", time.Time{}, errors.New("iss is not the client_id")
	}
	issuedAt, hasIat, err := numericDate(claims, "iat")
	if err != nil {
		return "", time.Time{}, err
	}
	now := v.Now()
	switch {
	case !hasIat:
		return "", time.Time{}, errors.New("iat is missing")
	case issuedAt.After(now.Add(v.Leeway)):
		return "", time.Time{}, errors.New("iat is in the future")
	case issuedAt.Before(now.Add(-v.MaxAge - v.Leeway)):
		return "", time.Time{}, errors.New("iat is too long ago")
	}
	// The standard gives a proof neither exp nor nbf; a wallet that sets them means them (RFC 7519, 4.1.4 and 4.1.5).
	if exp, has, err := numericDate(claims, "exp"); err != nil || has && !exp.After(now.Add(-v.Leeway)) {
		return "", time.Time{}, errors.New("exp is past")
	}
	if nbf, has, err := numericDate(claims, "nbf"); err != nil || has && nbf.After(now.Add(v.Leeway)) {
		return "", time.Time{}, errors.New("nbf is in the future")
	}
	nonce, _, err = member[string](claims, "nonce")
	if err != nil {
		return "", time.Time{}, err
	}
	if nonce == "" || len(nonce) > maxSecret {
		return "", time.Time{}, errors.New("nonce is missing or too long")
	}
	return nonce, issuedAt, nil
}

// proofKey takes the device key from the header and checks that it goes with alg. attestation is the one of the header, nil
// without one.
func proofKey(header map[string]json.RawMessage, alg string, attestation *KeyAttestation) (*ecdsa.PublicKey, error) {
	kid, hasKid, err := member[string](header, "kid")
	if err != nil {
		return nil, err
	}
	if hasKid && attestation == nil {
		return nil, errors.New("kid is not supported, send the key as jwk")
	}
	var key *ecdsa.PublicKey
	switch jwk, x5c := header["jwk"], header["x5c"]; {
	case hasKid && jwk == nil && x5c == nil:
		attested, found := attestation.named(kid)
		if !found {
			return nil, errors.New("kid names no key of key_attestation")
		}
		key = attested.Key
	case hasKid:
		return nil, errors.New("kid must not be there beside jwk or x5c")
	case jwk != nil && x5c == nil:
		key, err = parseJWK(jwk)
	case x5c != nil && jwk == nil:
		key, err = leafKey(x5c)
	default:
		return nil, errors.New("exactly one of jwk and x5c is needed")
	}
	if err != nil {
		return nil, err
	}
	if key.Curve != signatureCurves[alg] {
		return nil, errors.New("alg does not go with the curve of the key")
	}
	return key, nil
}

// privateMembers are the JWK members that hold private or secret key material, for every key type registered.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// parseJWK reads an EC public key for signatures.
func parseJWK(data []byte) (*ecdsa.PublicKey, error) {
	m, err := members(data, maxProof)
	if err != nil {
		return nil, fmt.Errorf("jwk: %w", err)
	}
	for _, name := range privateMembers {
		if _, has := m[name]; has {
			return nil, errors.New("jwk contains a private key")
		}
	}
	text := func(name string) string {
		// A member of another type is as good as none: the checks below refuse both.
		value, _, err := member[string](m, name)
		if err != nil {
			return ""
		}
		return value
	}
	if text("kty") != "EC" {
		return nil, errors.New("jwk: kty is not EC")
	}
	if m["use"] != nil && text("use") != "sig" {
		return nil, errors.New("jwk: use is not sig")
	}
	var curve elliptic.Curve
	for _, c := range signatureCurves {
		if c.Params().Name == text("crv") {
			curve = c
		}
	}
	if curve == nil {
		return nil, errors.New("jwk: crv is not supported")
	}
	if m["alg"] != nil && text("alg") != ProofAlgorithm(curve) {
		return nil, errors.New("jwk: alg does not go with crv")
	}
	size := coordinateSize(curve)
	point := []byte{4} // SEC 1, 2.3.3: uncompressed
	for _, name := range []string{"x", "y"} {
		coordinate, err := base64.RawURLEncoding.Strict().DecodeString(text(name))
		if err != nil || len(coordinate) != size {
			return nil, fmt.Errorf("jwk: %s is not %d bytes in base64url", name, size)
		}
		point = append(point, coordinate...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, errors.New("jwk: the point is not on the curve")
	}
	return key, nil
}

// leafKey takes the key from the first certificate of an x5c header (RFC 7515, 4.1.6).
func leafKey(x5c []byte) (*ecdsa.PublicKey, error) {
	encoded, err := certificateList(x5c)
	if err != nil {
		return nil, err
	}
	leaf, err := parseCertificate(encoded[0])
	if err != nil {
		return nil, err
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("x5c: not an EC key")
	}
	return key, nil
}

// certificateList reads an x5c header: at least one certificate, in base64.
func certificateList(x5c []byte) ([]string, error) {
	var encoded []string
	if err := json.Unmarshal(x5c, &encoded); err != nil || len(encoded) == 0 || len(encoded) > maxCertificates {
		return nil, errors.New("x5c is not a list of certificates")
	}
	return encoded, nil
}

func parseCertificate(encoded string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, errors.New("x5c: not base64")
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("x5c: not a certificate")
	}
	return certificate, nil
}

// jwt is a JWT whose signature nobody has verified.
type jwt struct {
	compact        string
	header, claims map[string]json.RawMessage
	payload        []byte
}

func splitJWT(compact string) (jwt, error) {
	header, payload, err := splitCompact(compact)
	if err != nil {
		return jwt{}, err
	}
	token := jwt{compact: compact, payload: payload}
	if token.header, err = members(header, maxProof); err != nil {
		return jwt{}, fmt.Errorf("header: %w", err)
	}
	if token.claims, err = members(payload, maxProof); err != nil {
		return jwt{}, fmt.Errorf("claims: %w", err)
	}
	return token, nil
}

// verify checks the signature.
func (t jwt) verify(alg string, key *ecdsa.PublicKey) error {
	signed, err := jose.ParseSignedCompact(t.compact, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		return errors.New("not a JWT")
	}
	payload, err := signed.Verify(key)
	if err != nil || !bytes.Equal(payload, t.payload) {
		return errors.New("the signature does not fit the key")
	}
	return nil
}

// splitCompact decodes header and payload of a JWS in compact form. It is stricter than base64 decoders are: line breaks
// and spare bits are refused.
func splitCompact(proof string) (header, payload []byte, err error) {
	if len(proof) > maxProof {
		return nil, nil, fmt.Errorf("longer than %d bytes", maxProof)
	}
	parts := strings.Split(proof, ".")
	if len(parts) != 3 || strings.ContainsAny(proof, "\r\n") {
		return nil, nil, errors.New("not a JWT")
	}
	strict := base64.RawURLEncoding.Strict()
	if header, err = strict.DecodeString(parts[0]); err != nil {
		return nil, nil, errors.New("not a JWT")
	}
	if payload, err = strict.DecodeString(parts[1]); err != nil {
		return nil, nil, errors.New("not a JWT")
	}
	if _, err = strict.DecodeString(parts[2]); err != nil {
		return nil, nil, errors.New("not a JWT")
	}
	return header, payload, nil
}

// isAudience accepts the string itself or an array of just it (RFC 7519, 4.1.3).
func isAudience(aud json.RawMessage, want string) bool {
	var one string
	if json.Unmarshal(aud, &one) == nil {
		return one == want
	}
	var list []string
	return json.Unmarshal(aud, &list) == nil && len(list) == 1 && list[0] == want
}

// numericDate reads a NumericDate (RFC 7519, 2), cut to whole seconds.
func numericDate(claims map[string]json.RawMessage, name string) (t time.Time, ok bool, err error) {
	seconds, ok, err := member[float64](claims, name)
	if err != nil || !ok {
		return time.Time{}, false, err
	}
	const year9999 = 253402300799
	if seconds < 0 || seconds > year9999 {
		return time.Time{}, false, fmt.Errorf("%w: %s is not a date", ErrMalformed, name)
	}
	return time.Unix(int64(math.Floor(seconds)), 0).UTC(), true, nil
}

func coordinateSize(curve elliptic.Curve) int {
	return (curve.Params().BitSize + 7) / 8
}

// Thumbprint is the JWK thumbprint of an EC key (RFC 7638) with SHA-256, in base64url. The error is for a key on another
// curve than P-256, P-384 and P-521.
func Thumbprint(key *ecdsa.PublicKey) (string, error) {
	if ProofAlgorithm(key.Curve) == "" {
		return "", errors.New("compute thumbprint: unsupported curve")
	}
	point, err := key.Bytes()
	if err != nil {
		return "", fmt.Errorf("compute thumbprint: %w", err)
	}
	size := coordinateSize(key.Curve)
	encode := base64.RawURLEncoding.EncodeToString
	canonical := fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`,
		key.Curve.Params().Name, encode(point[1:1+size]), encode(point[1+size:]))
	sum := sha256.Sum256([]byte(canonical))
	return encode(sum[:]), nil
}

// ProofClaims are the claims of a key proof.
type ProofClaims struct {
	Issuer   string // client_id; empty for anonymous use of a pre-authorized code
	Audience string // Credential Issuer Identifier
	IssuedAt time.Time
	Nonce    string // c_nonce; empty if the issuer has no nonce endpoint
	// KeyAttestation goes into the header, empty = none.
	KeyAttestation string
}

// ProofAlgorithm is the JOSE name of the algorithm a key on the curve signs with, empty for an unsupported curve.
func ProofAlgorithm(curve elliptic.Curve) string {
	for alg, c := range signatureCurves {
		if c == curve {
			return alg
		}
	}
	return ""
}

// SignJWTProof makes a key proof of type jwt with the public key in its jwk header.
func SignJWTProof(key *ecdsa.PrivateKey, claims ProofClaims) (string, error) {
	alg := ProofAlgorithm(key.Curve)
	if alg == "" {
		return "", errors.New("sign key proof: unsupported curve")
	}
	options := (&jose.SignerOptions{EmbedJWK: true}).WithType(ProofTypHeader)
	if claims.KeyAttestation != "" {
		options.WithHeader("key_attestation", claims.KeyAttestation)
	}
	payload, err := json.Marshal(struct {
		Issuer   string `json:"iss,omitempty"`
		Audience string `json:"aud"`
		IssuedAt int64  `json:"iat"`
		Nonce    string `json:"nonce,omitempty"`
	}{claims.Issuer, claims.Audience, claims.IssuedAt.Unix(), claims.Nonce})
	if err != nil {
		return "", fmt.Errorf("sign key proof: %w", err)
	}
	proof, err := signCompact(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, options, payload)
	if err != nil {
		return "", fmt.Errorf("sign key proof: %w", err)
	}
	return proof, nil
}

// signCompact makes a JWS in compact form.
func signCompact(key jose.SigningKey, options *jose.SignerOptions, payload []byte) (string, error) {
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
