package statuslist

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/veraison/go-cose"
)

// Refusals of a token.
var (
	// ErrSigner: the signer cannot be used, or its certificate does not cover the time from IssuedAt to Expires.
	ErrSigner = errors.New("status list signer not usable")
	// ErrToken: the content of a token that should be signed is incomplete.
	ErrToken = errors.New("status list token incomplete")
	// ErrChain: the certificate does not lead to a trusted root, is not in force, or is not for signing status lists.
	ErrChain = errors.New("status list signer not trusted")
	// ErrSignature: the token is not signed by the key of its certificate.
	ErrSignature = errors.New("status list signature does not verify")
	// ErrSubject: the token is not the one that the document refers to.
	ErrSubject = errors.New("status list is another one than expected")
	// ErrExpired: the token's exp has passed.
	ErrExpired = errors.New("status list token expired")
)

const (
	maxChain = 8
	// maxOverhead is what a token may need beside its list: claims and certificates.
	maxOverhead = 1 << 16
	// maxSeconds is the last second of the year 9999.
	maxSeconds = 253402300799
	// maxTTL keeps a time to live countable: ten years.
	maxTTL = 10 * 366 * 24 * 60 * 60
)

// Token is a status list token (draft clause 5). Times are whole seconds.
type Token struct {
	// Subject is the URI of the token, as the referenced tokens name it.
	Subject  string
	IssuedAt time.Time
	// Expires is required: the draft recommends it, ISO/IEC 18013-5 demands it.
	Expires time.Time
	// TTL is how long the token may be cached; 0 leaves it out. It is cut to whole seconds.
	TTL time.Duration
	// AggregationURI is optional.
	AggregationURI string
	List           *List
}

// Signer is the signer of status lists.
type Signer struct {
	// Key is an ECDSA key on P-256, P-384 or P-521; it signs with ES256, ES384 or ES512.
	Key crypto.Signer
	// Chain is the certificate of Key first, then its issuers, without the root.
	Chain []*x509.Certificate
}

// VerifyOptions says what a verifier trusts and expects.
type VerifyOptions struct {
	// Roots are the trusted roots. Without any, nothing verifies.
	Roots *x509.CertPool
	// Now is the time for which token and certificates must be in force.
	Now time.Time
	// URI is the one that the referenced token names.
	URI string
	// MaxEntries bounds the list; 0 stands for DefaultMaxEntries.
	MaxEntries uint64
}

// curve couples an elliptic curve with the algorithm that belongs to it.
type curve struct {
	elliptic elliptic.Curve
	cose     cose.Algorithm
	jose     jose.SignatureAlgorithm
	hash     crypto.Hash
}

var curves = []curve{
	{elliptic.P256(), cose.AlgorithmES256, jose.ES256, crypto.SHA256},
	{elliptic.P384(), cose.AlgorithmES384, jose.ES384, crypto.SHA384},
	{elliptic.P521(), cose.AlgorithmES512, jose.ES512, crypto.SHA512},
}

var errCurve = errors.New("key is not on P-256, P-384 or P-521")

func curveOf(public crypto.PublicKey) (curve, error) {
	if key, ok := public.(*ecdsa.PublicKey); ok {
		for _, c := range curves {
			if key.Curve == c.elliptic {
				return c, nil
			}
		}
	}
	return curve{}, errCurve
}

// Signed is a status list token in both formats.
type Signed struct {
	// CWT is a tagged COSE_Sign1, to be served as MediaTypeCWT.
	CWT []byte
	// JWT is a compact JWS, to be served as MediaTypeJWT.
	JWT string
}

// Sign signs the token in both formats over the same compressed list. The best compression, which the draft recommends, takes
// about 0.1 s for 2^20 entries. Errors wrap ErrToken or ErrSigner, or are those of the key.
func (t Token) Sign(signer Signer) (*Signed, error) {
	t.IssuedAt, t.Expires = t.IssuedAt.UTC().Truncate(time.Second), t.Expires.UTC().Truncate(time.Second)
	if t.Subject == "" || t.List == nil || t.TTL < 0 || t.TTL/time.Second > maxTTL {
		return nil, fmt.Errorf("%w: subject, list or ttl", ErrToken)
	}
	if t.IssuedAt.Unix() <= 0 || !t.Expires.After(t.IssuedAt) {
		return nil, fmt.Errorf("%w: iat or exp", ErrToken)
	}
	c, err := signer.check(t.IssuedAt, t.Expires)
	if err != nil {
		return nil, err
	}
	lst, err := t.List.Compress()
	if err != nil {
		return nil, err
	}
	signed := new(Signed)
	if signed.CWT, err = t.signCWT(signer, c, lst); err != nil {
		return nil, err
	}
	if signed.JWT, err = t.signJWT(signer, c, lst); err != nil {
		return nil, err
	}
	return signed, nil
}

// seconds is the TTL as a claim, nil for none.
func (t Token) seconds() *number {
	seconds := number(int64(t.TTL / time.Second))
	if seconds == 0 {
		return nil
	}
	return &seconds
}

func (s Signer) check(from, until time.Time) (curve, error) {
	if s.Key == nil || len(s.Chain) == 0 || len(s.Chain) > maxChain || slices.Contains(s.Chain, nil) {
		return curve{}, fmt.Errorf("%w: key or certificate is missing", ErrSigner)
	}
	c, err := curveOf(s.Key.Public())
	if err != nil {
		return curve{}, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	leaf := s.Chain[0]
	if public, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(s.Key.Public()) {
		return curve{}, fmt.Errorf("%w: certificate is for another key", ErrSigner)
	}
	if from.Before(leaf.NotBefore) || until.After(leaf.NotAfter) {
		return curve{}, fmt.Errorf("%w: certificate does not cover iat to exp", ErrSigner)
	}
	return c, nil
}

// check holds a decoded token against what the verifier expects.
func (t *Token) check(opts VerifyOptions) error {
	if t.Subject != opts.URI {
		return ErrSubject
	}
	if !opts.Now.Before(t.Expires) {
		return ErrExpired
	}
	return nil
}

func (opts VerifyOptions) x509() x509.VerifyOptions {
	return x509.VerifyOptions{
		Roots:       opts.Roots,
		CurrentTime: opts.Now,
		// The extended key usage for status lists is optional and has no number yet; checkPurpose says what is refused.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
}

// checkPurpose refuses certificates that stand under the same root for another purpose, such as the certificates of holders:
// a status list is signed with digitalSignature and without any of the usages of the web and of mail.
func checkPurpose(leaf *x509.Certificate) error {
	if leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 || len(leaf.ExtKeyUsage) != 0 {
		return fmt.Errorf("%w: certificate is for another purpose", ErrChain)
	}
	return nil
}

// claims is what both encodings carry.
type claims struct {
	subject        string
	issuedAt       number
	expires        number
	ttl            *number
	bits           int
	lst            []byte
	aggregationURI string
}

// token checks the claims and unpacks the list.
func (c claims) token(maxEntries uint64) (*Token, error) {
	if c.subject == "" {
		return nil, fmt.Errorf("%w: no subject", ErrMalformed)
	}
	token := &Token{Subject: c.subject, AggregationURI: c.aggregationURI}
	var err error
	if token.IssuedAt, err = readTime(c.issuedAt); err != nil {
		return nil, err
	}
	if token.Expires, err = readTime(c.expires); err != nil {
		return nil, err
	}
	if c.ttl != nil {
		if token.TTL, err = readTTL(*c.ttl); err != nil {
			return nil, err
		}
	}
	if token.List, err = Decompress(c.bits, c.lst, maxEntries); err != nil {
		return nil, err
	}
	return token, nil
}

// readTime reads a NumericDate (RFC 7519, RFC 8392), which may have a fraction. A fraction is cut off.
func readTime(seconds number) (time.Time, error) {
	if seconds > 0 && seconds <= maxSeconds {
		return time.Unix(int64(seconds), 0).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%w: iat or exp is missing or out of range", ErrMalformed)
}

func readTTL(seconds number) (time.Duration, error) {
	if seconds > 0 && seconds <= maxTTL {
		return time.Duration(float64(seconds) * float64(time.Second)), nil
	}
	return 0, fmt.Errorf("%w: ttl is out of range", ErrMalformed)
}

// number is a NumericDate or a number of seconds. It is written as an integer; when read it may be a float as well (RFC 7519
// clause 2, RFC 8392 clause 2).
type number float64

// MarshalJSON writes the integer in plain digits.
func (n number) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(n), 10), nil }

// MarshalCBOR writes the integer.
func (n number) MarshalCBOR() ([]byte, error) { return encMode.Marshal(int64(n)) }

// UnmarshalCBOR reads an unsigned integer or a float.
func (n *number) UnmarshalCBOR(data []byte) error {
	var value any
	if err := decMode.Unmarshal(data, &value); err != nil {
		return err
	}
	switch v := value.(type) {
	case uint64:
		*n = number(v)
	case float64:
		*n = number(v)
	default:
		return errors.New("not a number")
	}
	return nil
}
