package statuslist

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

var (
	// encMode keeps the order of the members below, which is the draft's; there are no Go maps to sort.
	encMode = mustEncMode()
	decMode = mustDecMode()
)

func mustEncMode() cbor.EncMode {
	mode, err := cbor.EncOptions{IndefLength: cbor.IndefLengthForbidden}.EncMode()
	if err != nil {
		panic(err) // the options are constant: this cannot depend on input
	}
	return mode
}

func mustDecMode() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		MaxNestedLevels:   8,
		MaxArrayElements:  64,
		MaxMapPairs:       64,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constant: this cannot depend on input
	}
	return mode
}

// cwtClaims are the claims of a status list token in CWT format (draft clause 5.2).
type cwtClaims struct {
	Subject    string   `cbor:"2,keyasint"`
	IssuedAt   number   `cbor:"6,keyasint"`
	Expires    number   `cbor:"4,keyasint"`
	TTL        *number  `cbor:"65534,keyasint,omitempty"`
	StatusList cborList `cbor:"65533,keyasint"`
}

// cborList is the StatusList structure in CBOR (draft clause 4.3).
type cborList struct {
	Bits           int    `cbor:"bits"`
	Lst            []byte `cbor:"lst"`
	AggregationURI string `cbor:"aggregation_uri,omitempty"`
}

// signCWT signs a prepared token as COSE_Sign1, tagged (18), with alg, typ and x5chain in the protected header (ISO/IEC 18013-5
// clause 12.3.6).
func (t Token) signCWT(signer Signer, c curve, lst []byte) ([]byte, error) {
	payload, err := encMode.Marshal(cwtClaims{
		Subject:    t.Subject,
		IssuedAt:   number(t.IssuedAt.Unix()),
		Expires:    number(t.Expires.Unix()),
		TTL:        t.seconds(),
		StatusList: cborList{Bits: t.List.Bits(), Lst: lst, AggregationURI: t.AggregationURI},
	})
	if err != nil {
		return nil, fmt.Errorf("encode status list claims: %w", err)
	}
	key, err := cose.NewSigner(c.cose, namedHash{Signer: signer.Key, hash: c.hash})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	headers := cose.Headers{Protected: cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: c.cose,
		cose.HeaderLabelType:      MediaTypeCWT,
		cose.HeaderLabelX5Chain:   x5chain(signer.Chain),
	}}
	signed, err := cose.Sign1(rand.Reader, key, headers, payload, nil)
	if err != nil {
		return nil, fmt.Errorf("sign status list: %w", err)
	}
	return signed, nil
}

// namedHash tells a key which hash made the digest. go-cose passes no options, and keys of some modules insist on them.
type namedHash struct {
	crypto.Signer
	hash crypto.Hash
}

func (k namedHash) Sign(random io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(random, digest, k.hash)
}

// x5chain is a bstr for one certificate and an array of them for more (RFC 9360).
func x5chain(chain []*x509.Certificate) any {
	if len(chain) == 1 {
		return chain[0].Raw
	}
	raw := make([]any, len(chain))
	for i, certificate := range chain {
		raw[i] = certificate.Raw
	}
	return raw
}

// VerifyCWT verifies a token in CWT format: certificate chain, purpose of the certificate, signature, typ, subject and
// expiry. Errors are or wrap ErrMalformed, ErrBits, ErrTooLarge, ErrChain, ErrSignature, ErrSubject, ErrExpired. Any of them
// means that the status is not known.
func VerifyCWT(data []byte, opts VerifyOptions) (*Token, error) {
	message, err := parseCWT(data, opts.MaxEntries)
	if err != nil {
		return nil, err
	}
	leaf, err := verifyX5Chain(message.Headers.Protected[cose.HeaderLabelX5Chain], opts)
	if err != nil {
		return nil, err
	}
	if err := verifySignature(message, leaf.PublicKey); err != nil {
		return nil, err
	}
	token, err := decodeCWT(message, opts.MaxEntries)
	if err != nil {
		return nil, err
	}
	if err := token.check(opts); err != nil {
		return nil, err
	}
	return token, nil
}

// parseCWT reads the COSE_Sign1. Earlier drafts left the tag out, and some issuers still do.
func parseCWT(data []byte, maxEntries uint64) (*cose.Sign1Message, error) {
	if uint64(len(data)) > orDefault(maxEntries)+maxOverhead {
		return nil, ErrTooLarge
	}
	if err := decMode.Wellformed(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	const untagged = 0x84
	message := new(cose.Sign1Message)
	var err error
	if data[0] == untagged {
		err = (*cose.UntaggedSign1Message)(message).UnmarshalCBOR(data)
	} else {
		err = message.UnmarshalCBOR(data)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if message.Headers.Protected[cose.HeaderLabelType] != MediaTypeCWT {
		return nil, fmt.Errorf("%w: typ is not %s", ErrMalformed, MediaTypeCWT)
	}
	return message, nil
}

func verifyX5Chain(header any, opts VerifyOptions) (*x509.Certificate, error) {
	var raws []any
	switch value := header.(type) {
	case []byte:
		raws = []any{value}
	case []any:
		raws = value
	}
	if len(raws) == 0 || len(raws) > maxChain {
		return nil, fmt.Errorf("%w: no certificate, or too many", ErrMalformed)
	}
	chain := make([]*x509.Certificate, 0, len(raws))
	for _, raw := range raws {
		der, ok := raw.([]byte)
		if !ok {
			return nil, fmt.Errorf("%w: certificate is not a byte string", ErrMalformed)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		chain = append(chain, certificate)
	}
	if opts.Roots == nil {
		return nil, fmt.Errorf("%w: no trusted root is given", ErrChain) // x509 would fall back on the roots of the system
	}
	verify := opts.x509()
	verify.Intermediates = x509.NewCertPool()
	for _, certificate := range chain[1:] {
		verify.Intermediates.AddCert(certificate)
	}
	if _, err := chain[0].Verify(verify); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	return chain[0], checkPurpose(chain[0])
}

// verifySignature verifies with the one algorithm that belongs to the key's curve.
func verifySignature(message *cose.Sign1Message, public crypto.PublicKey) error {
	c, err := curveOf(public)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	protected := message.Headers.Protected
	if _, critical := protected[cose.HeaderLabelCritical]; critical {
		return fmt.Errorf("%w: critical header is not understood", ErrSignature)
	}
	if algorithm, err := protected.Algorithm(); err != nil || algorithm != c.cose {
		return fmt.Errorf("%w: algorithm is missing or does not belong to the key", ErrSignature)
	}
	verifier, err := cose.NewVerifier(c.cose, public)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if err := message.Verify(nil, verifier); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

func decodeCWT(message *cose.Sign1Message, maxEntries uint64) (*Token, error) {
	var wire cwtClaims
	if err := decMode.Unmarshal(message.Payload, &wire); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return claims{
		subject:        wire.Subject,
		issuedAt:       wire.IssuedAt,
		expires:        wire.Expires,
		ttl:            wire.TTL,
		bits:           wire.StatusList.Bits,
		lst:            wire.StatusList.Lst,
		aggregationURI: wire.StatusList.AggregationURI,
	}.token(maxEntries)
}
