package mdoc

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

const maxChain = 8

// ErrMalformed is wrapped by every refusal to decode: the bytes are not what ISO/IEC 18013-5 describes, or beyond the bounds.
var ErrMalformed = errors.New("mdoc malformed")

func malformed(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
}

// IssuerSigned is a parsed mdoc. Parsing proves nothing: Verify does.
type IssuerSigned struct {
	// NameSpaces is sorted by name (shorter names first); items keep their order. It is empty in a presentation of nothing.
	NameSpaces []IssuerNameSpace
	MSO        MobileSecurityObject
	// MSOBytes is the encoded MSO as it was signed, without its tag.
	MSOBytes []byte
	// Chain is the x5chain: the document signer first.
	Chain []*x509.Certificate

	auth    *cose.UntaggedSign1Message
	rawAuth cbor.RawMessage
}

// IssuerNameSpace is a name space with its items.
type IssuerNameSpace struct {
	Name  string
	Items []Item
}

// Item is an IssuerSignedItem.
type Item struct {
	Element
	DigestID uint64
	Random   []byte
	// Raw is the whole #6.24(bstr .cbor IssuerSignedItem) as received: what the digest covers.
	Raw []byte
}

// Parse decodes an IssuerSigned structure. Input beyond 8 MiB, 16 levels or 4096 members of a container, indefinite lengths and
// duplicate map keys are refused. Errors wrap ErrMalformed.
func Parse(data []byte) (*IssuerSigned, error) {
	var wire struct {
		NameSpaces map[string][]cbor.RawMessage `cbor:"nameSpaces"`
		IssuerAuth cbor.RawMessage              `cbor:"issuerAuth"`
	}
	if err := decode(data, &wire); err != nil {
		return nil, malformed("IssuerSigned", err)
	}
	parsed := &IssuerSigned{rawAuth: wire.IssuerAuth}
	if err := parsed.parseAuth(); err != nil {
		return nil, err
	}
	for name, raws := range wire.NameSpaces {
		ns := IssuerNameSpace{Name: name, Items: make([]Item, 0, len(raws))}
		for _, raw := range raws {
			item, err := parseItem(raw)
			if err != nil {
				return nil, malformed("IssuerSignedItem", err)
			}
			ns.Items = append(ns.Items, item)
		}
		parsed.NameSpaces = append(parsed.NameSpaces, ns)
	}
	slices.SortFunc(parsed.NameSpaces, func(a, b IssuerNameSpace) int { return compareKeys(a.Name, b.Name) })
	return parsed, nil
}

func parseItem(raw cbor.RawMessage) (Item, error) {
	content, err := unwrapEncoded(raw)
	if err != nil {
		return Item{}, err
	}
	var wire struct {
		DigestID   *uint64         `cbor:"digestID"`
		Random     []byte          `cbor:"random"`
		Identifier string          `cbor:"elementIdentifier"`
		Value      cbor.RawMessage `cbor:"elementValue"`
	}
	if err := decode(content, &wire); err != nil {
		return Item{}, err
	}
	if wire.DigestID == nil || wire.Random == nil || wire.Identifier == "" || wire.Value == nil {
		return Item{}, errors.New("a member is missing")
	}
	value, err := decodeValue(wire.Value)
	if err != nil {
		return Item{}, err
	}
	return Item{
		Element:  Element{Identifier: wire.Identifier, Value: value},
		DigestID: *wire.DigestID,
		Random:   wire.Random,
		Raw:      raw,
	}, nil
}

// parseAuth decodes issuerAuth: the COSE_Sign1, the certificates of its x5chain, and the MSO in its payload.
func (s *IssuerSigned) parseAuth() error {
	auth, err := parseSign1(s.rawAuth)
	if err != nil {
		return malformed("issuerAuth", err)
	}
	s.auth = auth
	if s.Chain, err = parseX5Chain(auth.Headers.Unprotected[headerX5Chain]); err != nil {
		return malformed("x5chain", err)
	}
	if s.MSOBytes, err = unwrapEncoded(auth.Payload); err != nil {
		return malformed("MobileSecurityObjectBytes", err)
	}
	return s.MSO.UnmarshalCBOR(s.MSOBytes)
}

func parseSign1(raw []byte) (*cose.UntaggedSign1Message, error) {
	// The bounds of this package come first; the COSE library has wider ones.
	if len(raw) > maxEncodedBytes {
		return nil, errTooLarge
	}
	if err := decMode.Wellformed(raw); err != nil {
		return nil, err
	}
	message := new(cose.UntaggedSign1Message)
	if err := message.UnmarshalCBOR(raw); err != nil {
		return nil, err
	}
	return message, nil
}

func parseX5Chain(header any) ([]*x509.Certificate, error) {
	var raws []any
	switch value := header.(type) {
	case []byte:
		raws = []any{value}
	case []any:
		raws = value
	}
	if len(raws) == 0 || len(raws) > maxChain {
		return nil, errors.New("no certificate, or too many")
	}
	chain := make([]*x509.Certificate, 0, len(raws))
	for _, raw := range raws {
		der, ok := raw.([]byte)
		if !ok {
			return nil, errors.New("certificate is not a byte string")
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		chain = append(chain, certificate)
	}
	return chain, nil
}
