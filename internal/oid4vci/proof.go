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

// ProofVerifier checks the key proofs of a credential request (Verifying Proof). All fields but Leeway and ClientID are
// needed. It holds no state and may be used by many goroutines if CheckNonce may.
type ProofVerifier struct {
	// Audience is the Credential Issuer Identifier.
	Audience string
	// Algorithms are the accepted JOSE names, out of ES256, ES384, ES512.
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
}

// VerifiedProof is a key whose possession has been proved.
type VerifiedProof struct {
	Key        *ecdsa.PublicKey
	Thumbprint string // RFC 7638, SHA-256, base64url
	Nonce      string
	IssuedAt   time.Time
	// KeyAttestation is the key_attestation header as sent, empty without one. Nobody has verified it.
	KeyAttestation string
}

// VerifyJWTProofs checks the proofs of one request and returns them in the order given. All are good or none is returned.
// A refusal is an *Error with the code invalid_proof or invalid_nonce; any other error means that the proofs could not be
// judged (the verifier lacks a setting, CheckNonce failed).
//
// A key is taken from the jwk header or from the first certificate of x5c; kid names a key only the wallet knows and is
// refused. The certificates are not validated.
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
	for i, proof := range proofs {
		p, err := v.verify(proof)
		if err != nil {
			return nil, NewError(InvalidProof, fmt.Sprintf("proof %d: %v", i+1, err))
		}
		if keys[p.Thumbprint] {
			return nil, NewError(InvalidProof, fmt.Sprintf("proof %d: the key is used twice", i+1))
		}
		keys[p.Thumbprint] = true
		if !slices.Contains(nonces, p.Nonce) {
			nonces = append(nonces, p.Nonce)
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
func (v ProofVerifier) verify(proof string) (VerifiedProof, error) {
	headerJSON, claimsJSON, err := splitCompact(proof)
	if err != nil {
		return VerifiedProof{}, err
	}
	header, err := members(headerJSON, maxProof)
	if err != nil {
		return VerifiedProof{}, fmt.Errorf("header: %w", err)
	}
	claims, err := members(claimsJSON, maxProof)
	if err != nil {
		return VerifiedProof{}, fmt.Errorf("claims: %w", err)
	}
	alg, err := v.checkHeader(header)
	if err != nil {
		return VerifiedProof{}, err
	}
	key, err := proofKey(header, alg)
	if err != nil {
		return VerifiedProof{}, err
	}
	p := VerifiedProof{Key: key}
	if p.KeyAttestation, _, err = member[string](header, "key_attestation"); err != nil {
		return VerifiedProof{}, err
	}
	if p.Nonce, p.IssuedAt, err = v.checkClaims(claims); err != nil {
		return VerifiedProof{}, err
	}
	signed, err := jose.ParseSignedCompact(proof, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		return VerifiedProof{}, errors.New("not a JWT")
	}
	payload, err := signed.Verify(key)
	if err != nil || !bytes.Equal(payload, claimsJSON) {
		return VerifiedProof{}, errors.New("the signature does not fit the key")
	}
	if p.Thumbprint, err = Thumbprint(key); err != nil {
		return VerifiedProof{}, err
	}
	return p, nil
}

// checkHeader checks everything in the header but the key.
func (v ProofVerifier) checkHeader(header map[string]json.RawMessage) (alg string, err error) {
	typ, _, err := member[string](header, "typ")
	if err != nil {
		return "", err
	}
	if typ != ProofTypHeader {
		return "", errors.New("typ is not " + ProofTypHeader)
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

// proofKey takes the device key from the header and checks that it goes with alg.
func proofKey(header map[string]json.RawMessage, alg string) (*ecdsa.PublicKey, error) {
	if header["kid"] != nil {
		return nil, errors.New("kid is not supported, send the key as jwk")
	}
	var key *ecdsa.PublicKey
	var err error
	switch jwk, x5c := header["jwk"], header["x5c"]; {
	case jwk != nil && x5c == nil:
		key, err = parseJWK(jwk, alg)
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

// parseJWK reads an EC public key for signatures with alg.
func parseJWK(data []byte, alg string) (*ecdsa.PublicKey, error) {
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
	if m["alg"] != nil && text("alg") != alg {
		return nil, errors.New("jwk: alg is another than the proof's")
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
	var chain []string
	if err := json.Unmarshal(x5c, &chain); err != nil || len(chain) == 0 || len(chain) > maxCertificates {
		return nil, errors.New("x5c is not a list of certificates")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(chain[0])
	if err != nil {
		return nil, errors.New("x5c: not base64")
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("x5c: not a certificate")
	}
	key, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("x5c: not an EC key")
	}
	return key, nil
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
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, options)
	if err != nil {
		return "", fmt.Errorf("sign key proof: %w", err)
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
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign key proof: %w", err)
	}
	proof, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("sign key proof: %w", err)
	}
	return proof, nil
}
