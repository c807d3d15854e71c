package statuslist

import (
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/json"
)

const typeJWT = "statuslist+jwt"

// jwtClaims are the claims of a status list token in JWT format (draft clause 5.1).
type jwtClaims struct {
	Subject    string   `json:"sub"`
	IssuedAt   number   `json:"iat"`
	Expires    number   `json:"exp"`
	TTL        *number  `json:"ttl,omitempty"`
	StatusList jsonList `json:"status_list"`
}

// jsonList is the StatusList structure in JSON (draft clause 4.2).
type jsonList struct {
	Bits           int    `json:"bits"`
	Lst            string `json:"lst"`
	AggregationURI string `json:"aggregation_uri,omitempty"`
}

// signJWT signs a prepared token as a compact JWS with alg, typ and x5c in its header.
func (t Token) signJWT(signer Signer, c curve, lst []byte) (string, error) {
	payload, err := json.Marshal(jwtClaims{
		Subject:  t.Subject,
		IssuedAt: number(t.IssuedAt.Unix()),
		Expires:  number(t.Expires.Unix()),
		TTL:      t.seconds(),
		StatusList: jsonList{
			Bits:           t.List.Bits(),
			Lst:            base64.RawURLEncoding.EncodeToString(lst),
			AggregationURI: t.AggregationURI,
		},
	})
	if err != nil {
		return "", fmt.Errorf("encode status list claims: %w", err)
	}
	x5c := make([]string, len(signer.Chain))
	for i, certificate := range signer.Chain {
		x5c[i] = base64.StdEncoding.EncodeToString(certificate.Raw)
	}
	key, err := jose.NewSigner(
		jose.SigningKey{Algorithm: c.jose, Key: cryptosigner.Opaque(signer.Key)},
		new(jose.SignerOptions).WithType(typeJWT).WithHeader("x5c", x5c))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSigner, err)
	}
	signed, err := key.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign status list: %w", err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("encode status list token: %w", err)
	}
	return compact, nil
}

// VerifyJWT verifies a token in JWT format as VerifyCWT does for CWT, with the same errors.
func VerifyJWT(data string, opts VerifyOptions) (*Token, error) {
	signed, err := parseJWT(data, opts.MaxEntries)
	if err != nil {
		return nil, err
	}
	if opts.Roots == nil {
		return nil, fmt.Errorf("%w: no trusted root is given", ErrChain) // x509 would fall back on the roots of the system
	}
	header := signed.Signatures[0].Protected
	chains, err := header.Certificates(opts.x509())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	leaf := chains[0][0]
	if err := checkPurpose(leaf); err != nil {
		return nil, err
	}
	c, err := curveOf(leaf.PublicKey)
	if err != nil || header.Algorithm != string(c.jose) {
		return nil, fmt.Errorf("%w: algorithm does not belong to the key", ErrSignature)
	}
	payload, err := signed.Verify(leaf.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	token, err := decodeJWT(payload, opts.MaxEntries)
	if err != nil {
		return nil, err
	}
	if err := token.check(opts); err != nil {
		return nil, err
	}
	return token, nil
}

func parseJWT(data string, maxEntries uint64) (*jose.JSONWebSignature, error) {
	// The list is base64 inside base64: 16/9 of its size.
	if uint64(len(data)) > 2*orDefault(maxEntries)+maxOverhead {
		return nil, ErrTooLarge
	}
	algorithms := make([]jose.SignatureAlgorithm, len(curves))
	for i, c := range curves {
		algorithms[i] = c.jose
	}
	signed, err := jose.ParseSignedCompact(data, algorithms)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if typ := signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType]; typ != typeJWT {
		return nil, fmt.Errorf("%w: typ is not %s", ErrMalformed, typeJWT)
	}
	return signed, nil
}

// decodeJWT reads the claims with a JSON reader that refuses duplicate names.
func decodeJWT(payload []byte, maxEntries uint64) (*Token, error) {
	var wire jwtClaims
	if err := json.Unmarshal(payload, &wire); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	lst, err := base64.RawURLEncoding.DecodeString(wire.StatusList.Lst)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return claims{
		subject:        wire.Subject,
		issuedAt:       wire.IssuedAt,
		expires:        wire.Expires,
		ttl:            wire.TTL,
		bits:           wire.StatusList.Bits,
		lst:            lst,
		aggregationURI: wire.StatusList.AggregationURI,
	}.token(maxEntries)
}
