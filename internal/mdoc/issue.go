package mdoc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"time"

	"github.com/veraison/go-cose"
)

const (
	saltBytes = 16 // what the standard asks for: 128 bits
	drawBytes = 8

	headerX5Chain = cose.HeaderLabelX5Chain
)

// Refusals of Prepare and Issue. The text after them names the field, data element or date, never a value.
var (
	// ErrRequest: docType, name spaces, digest algorithm, device key or status reference are not acceptable.
	ErrRequest = errors.New("mdoc request not acceptable")
	// ErrElement: a data element is nameless, named twice, without a value, or its value breaks a rule of the standard.
	ErrElement = errors.New("data element not acceptable")
	// ErrValidity: the dates are not in the order signed <= validFrom < validUntil.
	ErrValidity = errors.New("validity not acceptable")
	// ErrSigner: the signer's key or chain cannot be used at all.
	ErrSigner = errors.New("document signer not usable")
	// ErrSignerValidity: the signer's certificate does not cover the time from signed to validUntil; another signer may.
	ErrSignerValidity = errors.New("document signer certificate does not cover the validity")
)

// Request is the content of one mdoc.
type Request struct {
	DocType         string
	NameSpaces      []NameSpace
	DigestAlgorithm DigestAlgorithm
	// DeviceKey is the holder's key, on P-256, P-384 or P-521.
	DeviceKey *ecdsa.PublicKey
	// Times are put into UTC and cut to whole seconds.
	Signed, ValidFrom, ValidUntil time.Time
	// ExpectedUpdate is optional.
	ExpectedUpdate *time.Time
	// Status is optional.
	Status *StatusRef
	// Buffer is optional memory for the result, whatever it holds. When it is large enough, Issued.Bytes lies in it, so it is the caller's again
	// once those are done with.
	Buffer []byte
}

// Signer is a document signer (DS).
type Signer struct {
	// Key is an ECDSA key on P-256, P-384 or P-521; it signs with ES256, ES384 or ES512.
	Key crypto.Signer
	// Chain is the x5chain: the certificate of Key first, then its issuers, without the IACA root.
	Chain []*x509.Certificate
}

// Issued is a signed mdoc.
type Issued struct {
	// Bytes is the IssuerSigned structure, encoded.
	Bytes []byte
	MSO   MobileSecurityObject
}

// ErrSpent is returned when a Prepared has been signed already.
var ErrSpent = errors.New("prepared mdoc is signed already")

// Issue checks the request, builds the mdoc and signs it: Prepare and Sign in one.
func Issue(random io.Reader, req Request, signer Signer) (*Issued, error) {
	prepared, err := Prepare(random, req, signer)
	if err != nil {
		return nil, err
	}
	return prepared.Sign()
}

// Prepared is an mdoc that lacks only the signature. All checks have been made. It is for one goroutine.
type Prepared struct {
	mso       MobileSecurityObject
	encoded   []byte // IssuerSigned up to issuerAuth, with room for it; nil once signed
	protected []byte // the protected header of issuerAuth
	payload   []byte // the payload of issuerAuth: #6.24(bstr .cbor MSO)
	signer    Signer
	curve     curve
}

// Prepare checks the request against the standard and the signer, and encodes everything that the signature will cover.
//
// The salts and the order of the digest ids come from random and from nothing else, in one read: for each name space in order
// 16 octets per element as salts, then 8 octets per element as draws of a shuffle. The same stream therefore gives the same
// bytes, and random must never yield the same stream for two documents.
//
// Errors wrap ErrRequest, ErrElement, ErrValidity, ErrSigner, ErrSignerValidity, or the error of random.
func Prepare(random io.Reader, req Request, signer Signer) (*Prepared, error) {
	keyCurve, err := signer.check()
	if err != nil {
		return nil, err
	}
	count, err := req.checkNames()
	if err != nil {
		return nil, err
	}
	mso, err := req.newMSO()
	if err != nil {
		return nil, err
	}
	if err := checkValidity(mso.Validity, signer.Chain[0]); err != nil {
		return nil, err
	}
	coseKey, err := appendCOSEKey(make([]byte, 0, 160), req.DeviceKey)
	if err != nil {
		return nil, fmt.Errorf("%w: device key: %w", ErrRequest, err)
	}
	stream := make([]byte, count*(saltBytes+drawBytes))
	if _, err := io.ReadFull(random, stream); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	encoded, err := encodeNameSpaces(req, stream, &mso, signer.sizeHint()+mso.sizeHint(count))
	if err != nil {
		return nil, err
	}
	object := mso.append(make([]byte, 0, mso.sizeHint(count)), coseKey)
	if len(encoded)+len(object)+signer.sizeHint() > maxEncodedBytes {
		return nil, fmt.Errorf("%w: %w", ErrRequest, errTooLarge)
	}
	return &Prepared{
		mso:       mso,
		encoded:   encoded,
		protected: appendInt([]byte{majorMap<<5 | 1, byte(cose.HeaderLabelAlgorithm)}, int64(keyCurve.algorithm)),
		payload:   appendEncoded(make([]byte, 0, len(object)+8), object),
		signer:    signer,
		curve:     keyCurve,
	}, nil
}

// Sign signs the prepared mdoc, once: a second call returns ErrSpent, so that one intent never becomes two documents. After any
// other error it may be called again.
func (p *Prepared) Sign() (*Issued, error) {
	if p.encoded == nil {
		return nil, ErrSpent
	}
	signer, err := newCOSESigner(p.curve, p.signer.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	signature, err := signer.Sign(rand.Reader, p.toBeSigned())
	if err != nil {
		return nil, fmt.Errorf("sign MSO: %w", err)
	}
	issued := &Issued{Bytes: p.appendIssuerAuth(appendText(p.encoded, "issuerAuth"), signature), MSO: p.mso}
	p.encoded = nil
	return issued, nil
}

// toBeSigned is the Sig_structure of issuerAuth (RFC 9052 clause 4.4), with empty external data.
func (p *Prepared) toBeSigned() []byte {
	structure := appendHead(make([]byte, 0, len(p.payload)+64), majorArray, 4)
	structure = appendText(structure, "Signature1")
	structure = appendBytes(structure, p.protected)
	structure = appendBytes(structure, nil)
	return appendBytes(structure, p.payload)
}

// appendIssuerAuth encodes the untagged COSE_Sign1 with alg protected and x5chain unprotected (ISO/IEC 18013-5 clause 9.1.2.4).
// The x5chain is a bstr for one certificate and an array of them for more (RFC 9360).
func (p *Prepared) appendIssuerAuth(dst, signature []byte) []byte {
	dst = appendBytes(appendHead(dst, majorArray, 4), p.protected)
	dst = appendInt(appendHead(dst, majorMap, 1), headerX5Chain)
	if len(p.signer.Chain) > 1 {
		dst = appendHead(dst, majorArray, uint64(len(p.signer.Chain)))
	}
	for _, certificate := range p.signer.Chain {
		dst = appendBytes(dst, certificate.Raw)
	}
	return appendBytes(appendBytes(dst, p.payload), signature)
}

// newCOSESigner wraps a key that may sit in a hardware module.
func newCOSESigner(c curve, key crypto.Signer) (cose.Signer, error) {
	if _, inMemory := key.(*ecdsa.PrivateKey); !inMemory {
		key = namedHash{Signer: key, hash: c.hash}
	}
	return cose.NewSigner(c.algorithm, key)
}

// namedHash tells a key which hash made the digest. go-cose passes no options, and keys of some modules insist on them.
type namedHash struct {
	crypto.Signer
	hash crypto.Hash
}

func (k namedHash) Sign(random io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(random, digest, k.hash)
}

// check finds the curve of the key and refuses a chain that does not belong to it.
func (s Signer) check() (curve, error) {
	if s.Key == nil || len(s.Chain) == 0 || slices.Contains(s.Chain, nil) {
		return curve{}, fmt.Errorf("%w: key or certificate is missing", ErrSigner)
	}
	public, ok := s.Key.Public().(*ecdsa.PublicKey)
	if !ok {
		return curve{}, fmt.Errorf("%w: %w", ErrSigner, errCurve)
	}
	c, err := curveOf(public)
	if err != nil {
		return curve{}, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	if !public.Equal(s.Chain[0].PublicKey) {
		return curve{}, fmt.Errorf("%w: certificate is for another key", ErrSigner)
	}
	for i, certificate := range s.Chain {
		if string(certificate.RawIssuer) == string(certificate.RawSubject) {
			return curve{}, fmt.Errorf("%w: chain holds a self-issued certificate; the IACA root stays out of it", ErrSigner)
		}
		if i > 0 && string(s.Chain[i-1].RawIssuer) != string(certificate.RawSubject) {
			return curve{}, fmt.Errorf("%w: chain is not in order", ErrSigner)
		}
	}
	return c, nil
}

// checkNames checks everything that is named and returns the number of data elements.
func (r Request) checkNames() (int, error) {
	if err := checkName(r.DocType); err != nil {
		return 0, fmt.Errorf("%w: docType: %w", ErrRequest, err)
	}
	if len(r.NameSpaces) == 0 || len(r.NameSpaces) > maxEntries {
		return 0, fmt.Errorf("%w: %d name spaces", ErrRequest, len(r.NameSpaces))
	}
	count := 0
	names := make(map[string]struct{}, len(r.NameSpaces))
	for _, ns := range r.NameSpaces {
		if err := checkName(ns.Name); err != nil {
			return 0, fmt.Errorf("%w: name space: %w", ErrRequest, err)
		}
		if _, twice := names[ns.Name]; twice {
			return 0, fmt.Errorf("%w: name space %q occurs twice", ErrRequest, ns.Name)
		}
		names[ns.Name] = struct{}{}
		if err := ns.checkIdentifiers(); err != nil {
			return 0, err
		}
		count += len(ns.Elements)
	}
	return count, nil
}

func (ns NameSpace) checkIdentifiers() error {
	if len(ns.Elements) == 0 || len(ns.Elements) > maxEntries {
		return fmt.Errorf("%w: name space %q has %d data elements", ErrElement, ns.Name, len(ns.Elements))
	}
	for i, element := range ns.Elements {
		if err := checkName(element.Identifier); err != nil {
			return fmt.Errorf("%w: identifier in %q: %w", ErrElement, ns.Name, err)
		}
		// Few and short: comparing is quicker than a map.
		for _, before := range ns.Elements[:i] {
			if before.Identifier == element.Identifier {
				return fmt.Errorf("%w: %q occurs twice in %q", ErrElement, element.Identifier, ns.Name)
			}
		}
	}
	return nil
}

func checkName(name string) error {
	if name == "" {
		return errors.New("name is empty")
	}
	return checkText([]byte(name))
}

// newMSO takes over what the request says; the digests follow when the items have been encoded.
func (r Request) newMSO() (MobileSecurityObject, error) {
	if r.DigestAlgorithm.size() == 0 {
		return MobileSecurityObject{}, fmt.Errorf("%w: digest algorithm is not one of SHA-256, SHA-384, SHA-512", ErrRequest)
	}
	mso := MobileSecurityObject{
		DocType:         r.DocType,
		DigestAlgorithm: r.DigestAlgorithm,
		ValueDigests:    make([]NameSpaceDigests, 0, len(r.NameSpaces)),
		DeviceKey:       r.DeviceKey,
		Validity: ValidityInfo{
			Signed:     wholeSeconds(r.Signed),
			ValidFrom:  wholeSeconds(r.ValidFrom),
			ValidUntil: wholeSeconds(r.ValidUntil),
		},
	}
	if r.ExpectedUpdate != nil {
		at := wholeSeconds(*r.ExpectedUpdate)
		mso.Validity.ExpectedUpdate = &at
	}
	if r.Status != nil {
		if err := checkName(r.Status.URI); err != nil {
			return MobileSecurityObject{}, fmt.Errorf("%w: status list URI: %w", ErrRequest, err)
		}
		status := *r.Status
		mso.Status = &status
	}
	return mso, nil
}

func wholeSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// checkValidity holds signer's notBefore <= signed <= validFrom < validUntil <= signer's notAfter (clause 9.1.2.4).
func checkValidity(v ValidityInfo, signer *x509.Certificate) error {
	switch {
	case v.ValidFrom.Before(v.Signed):
		return fmt.Errorf("%w: validFrom is before signed", ErrValidity)
	case !v.ValidUntil.After(v.ValidFrom):
		return fmt.Errorf("%w: validUntil is not after validFrom", ErrValidity)
	case v.ExpectedUpdate != nil && (v.ExpectedUpdate.Before(v.Signed) || v.ExpectedUpdate.After(v.ValidUntil)):
		return fmt.Errorf("%w: expectedUpdate is not between signed and validUntil", ErrValidity)
	case v.Signed.Before(signer.NotBefore):
		return fmt.Errorf("%w: signed is before its notBefore", ErrSignerValidity)
	case v.ValidUntil.After(signer.NotAfter):
		return fmt.Errorf("%w: validUntil is after its notAfter", ErrSignerValidity)
	default:
		return nil
	}
}

// encodeNameSpaces encodes IssuerSigned up to issuerAuth, for which it leaves room, and adds the digests of all items to the MSO.
func encodeNameSpaces(req Request, stream []byte, mso *MobileSecurityObject, room int) ([]byte, error) {
	out := req.Buffer[:0]
	if size := req.sizeHint() + room; cap(out) < size {
		out = make([]byte, 0, size)
	}
	out = appendHead(out, majorMap, 2)
	out = appendHead(appendText(out, "nameSpaces"), majorMap, uint64(len(req.NameSpaces)))
	var err error
	for _, ns := range req.NameSpaces {
		count := len(ns.Elements)
		salts, draws := stream[:count*saltBytes], stream[count*saltBytes:count*(saltBytes+drawBytes)]
		stream = stream[count*(saltBytes+drawBytes):]

		ids := shuffledIDs(draws)
		digests := make([]Digest, count)
		sums := make([]byte, 0, count*mso.DigestAlgorithm.size())
		out = appendHead(appendText(out, ns.Name), majorArray, uint64(count))
		for i, element := range ns.Elements {
			start, from := len(out), len(sums)
			out, err = appendItem(out, ids[i], salts[i*saltBytes:(i+1)*saltBytes], element)
			if err != nil {
				return nil, fmt.Errorf("%w: %q in %q: %w", ErrElement, element.Identifier, ns.Name, err)
			}
			sums = mso.DigestAlgorithm.appendSum(sums, out[start:])
			// The place in the MSO is the id, not the order of the elements: nothing else may link the two.
			digests[ids[i]] = Digest{ID: ids[i], Value: sums[from:len(sums):len(sums)]}
		}
		mso.ValueDigests = append(mso.ValueDigests, NameSpaceDigests{Name: ns.Name, Digests: digests})
	}
	slices.SortFunc(mso.ValueDigests, func(a, b NameSpaceDigests) int { return compareKeys(a.Name, b.Name) })
	return out, nil
}

// appendItem encodes IssuerSignedItemBytes, #6.24(bstr .cbor IssuerSignedItem), with the keys in the order of the standard.
//
// The item is written in place behind a head of the usual size and moved only when it is larger: a portrait is copied once or
// twice, never encoded into a buffer of its own.
func appendItem(dst []byte, id uint64, salt []byte, element Element) ([]byte, error) {
	usualHead := 2
	if value, ok := element.Value.([]byte); ok && len(value) >= 256 {
		usualHead = 3
	}
	dst = appendHead(dst, majorTag, tagEncoded)
	start := len(dst)
	dst = append(dst, make([]byte, usualHead)...)
	dst = appendHead(dst, majorMap, 4)
	dst = appendHead(appendText(dst, "digestID"), majorUint, id)
	dst = appendBytes(appendText(dst, "random"), salt)
	dst = appendText(appendText(dst, "elementIdentifier"), element.Identifier)
	dst = appendText(dst, "elementValue")
	value := len(dst)
	dst, err := appendValue(dst, element.Value)
	if err != nil {
		return nil, err
	}
	if err := checkTexts(dst[value:]); err != nil {
		return nil, err
	}
	item := dst[start+usualHead:]
	if isContainer(dst[value]) {
		// Our own parser must be able to read it: nesting and counts are bounded there.
		if err := decMode.Wellformed(item); err != nil {
			return nil, err
		}
	}
	length := uint64(len(item))
	var head [9]byte
	size := len(appendHead(head[:0], majorBytes, length))
	dst = slices.Insert(dst, start, head[:size-usualHead]...)
	appendHead(dst[:start], majorBytes, length) // writes into the gap
	return dst, nil
}

func isContainer(lead byte) bool {
	major := lead >> 5
	return major == majorArray || major == majorMap || major == majorTag
}

// shuffledIDs is a random permutation of 0 … n-1, driven by one draw of eight octets for each id (Fisher-Yates). Scaling a
// draw by multiplication leaves a bias below n/2^64.
func shuffledIDs(draws []byte) []uint64 {
	ids := make([]uint64, len(draws)/drawBytes)
	for i := range ids {
		j, _ := bits.Mul64(binary.BigEndian.Uint64(draws[i*drawBytes:]), uint64(i)+1)
		ids[i] = ids[j]
		ids[j] = uint64(i)
	}
	return ids
}

// sizeHint is an upper bound of issuerAuth without its payload.
func (s Signer) sizeHint() int {
	size := 256
	for _, certificate := range s.Chain {
		size += len(certificate.Raw) + 8
	}
	return size
}

// sizeHint estimates the encoded name spaces, so that the portrait is not moved by a growing buffer.
func (r Request) sizeHint() int {
	const perItem = 160
	size := 64
	for _, ns := range r.NameSpaces {
		size += len(ns.Name) + len(ns.Elements)*perItem
		for _, element := range ns.Elements {
			switch value := element.Value.(type) {
			case []byte:
				size += len(value)
			case string:
				size += len(value)
			}
		}
	}
	return size
}
