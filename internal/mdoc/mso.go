package mdoc

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

const msoVersion = "1.0"

// DigestAlgorithm names the hash of the value digests, as the MSO spells it.
type DigestAlgorithm string

// The digest algorithms of ISO/IEC 18013-5.
const (
	SHA256 DigestAlgorithm = "SHA-256"
	SHA384 DigestAlgorithm = "SHA-384"
	SHA512 DigestAlgorithm = "SHA-512"
)

// MobileSecurityObject (MSO) is what the document signer signs: the digests of all data elements, the key of the holder's
// device, and the validity.
type MobileSecurityObject struct {
	DocType         string
	DigestAlgorithm DigestAlgorithm
	// ValueDigests is sorted: name spaces by their encoding (shorter names first), digests by id.
	ValueDigests []NameSpaceDigests
	// DeviceKey is on P-256, P-384 or P-521.
	DeviceKey *ecdsa.PublicKey
	Validity  ValidityInfo
	// Status is nil when the MSO names no status list.
	Status *StatusRef
}

// NameSpaceDigests holds the digests of one name space.
type NameSpaceDigests struct {
	Name    string
	Digests []Digest
}

// Digest is the hash of one IssuerSignedItemBytes.
type Digest struct {
	ID    uint64
	Value []byte
}

// ValidityInfo holds the dates of the MSO, in UTC and whole seconds.
type ValidityInfo struct {
	Signed, ValidFrom, ValidUntil time.Time
	// ExpectedUpdate is nil when the issuer announces none.
	ExpectedUpdate *time.Time
}

// StatusRef names the entry of a Token Status List that tells the status of the document.
type StatusRef struct {
	Index uint64
	URI   string
}

// MarshalCBOR encodes the MSO with its keys in the order of the standard.
func (m *MobileSecurityObject) MarshalCBOR() ([]byte, error) {
	if m == nil {
		return nil, errors.New("encode MSO: nil")
	}
	key, err := appendCOSEKey(nil, m.DeviceKey)
	if err != nil {
		return nil, fmt.Errorf("encode MSO: %w", err)
	}
	digests := 0
	for _, ns := range m.ValueDigests {
		digests += len(ns.Digests)
	}
	return m.append(make([]byte, 0, m.sizeHint(digests)), key), nil
}

// sizeHint is enough for ordinary documents with that many digests, so that one allocation will do.
func (m *MobileSecurityObject) sizeHint(digests int) int {
	size := 640 + len(m.DocType) + digests*(m.DigestAlgorithm.size()+5)
	if m.Status != nil {
		size += len(m.Status.URI)
	}
	return size
}

func (m *MobileSecurityObject) append(dst, coseKey []byte) []byte {
	pairs := uint64(6)
	if m.Status != nil {
		pairs++
	}
	dst = appendHead(dst, majorMap, pairs)
	dst = appendText(appendText(dst, "version"), msoVersion)
	dst = appendText(appendText(dst, "digestAlgorithm"), string(m.DigestAlgorithm))
	dst = appendHead(appendText(dst, "valueDigests"), majorMap, uint64(len(m.ValueDigests)))
	for _, ns := range m.ValueDigests {
		dst = appendHead(appendText(dst, ns.Name), majorMap, uint64(len(ns.Digests)))
		for _, digest := range ns.Digests {
			dst = appendBytes(appendHead(dst, majorUint, digest.ID), digest.Value)
		}
	}
	dst = appendHead(appendText(dst, "deviceKeyInfo"), majorMap, 1)
	dst = append(appendText(dst, "deviceKey"), coseKey...)
	dst = appendText(appendText(dst, "docType"), m.DocType)
	dst = m.Validity.append(appendText(dst, "validityInfo"))
	if m.Status != nil {
		dst = appendHead(appendText(dst, "status"), majorMap, 1)
		dst = appendHead(appendText(dst, "status_list"), majorMap, 2)
		dst = appendHead(appendText(dst, "idx"), majorUint, m.Status.Index)
		dst = appendText(appendText(dst, "uri"), m.Status.URI)
	}
	return dst
}

func (v ValidityInfo) append(dst []byte) []byte {
	pairs := uint64(3)
	if v.ExpectedUpdate != nil {
		pairs++
	}
	dst = appendHead(dst, majorMap, pairs)
	dst = appendTime(appendText(dst, "signed"), v.Signed)
	dst = appendTime(appendText(dst, "validFrom"), v.ValidFrom)
	dst = appendTime(appendText(dst, "validUntil"), v.ValidUntil)
	if v.ExpectedUpdate != nil {
		dst = appendTime(appendText(dst, "expectedUpdate"), *v.ExpectedUpdate)
	}
	return dst
}

// appendTime encodes a time as tdate. Every time that comes here has a four-digit year, so the form is always the right one.
func appendTime(dst []byte, t time.Time) []byte {
	dst = appendHead(dst, majorTag, tagTDate)
	dst = appendHead(dst, majorText, uint64(len(layoutTDate)))
	return t.UTC().AppendFormat(dst, layoutTDate)
}

// UnmarshalCBOR decodes an MSO. Members that this package does not know are skipped. Errors wrap ErrMalformed.
func (m *MobileSecurityObject) UnmarshalCBOR(data []byte) error {
	var wire struct {
		Version         string                       `cbor:"version"`
		DigestAlgorithm DigestAlgorithm              `cbor:"digestAlgorithm"`
		ValueDigests    map[string]map[uint64][]byte `cbor:"valueDigests"`
		DeviceKeyInfo   struct {
			DeviceKey cbor.RawMessage `cbor:"deviceKey"`
		} `cbor:"deviceKeyInfo"`
		DocType      string `cbor:"docType"`
		ValidityInfo struct {
			Signed         TDate  `cbor:"signed"`
			ValidFrom      TDate  `cbor:"validFrom"`
			ValidUntil     TDate  `cbor:"validUntil"`
			ExpectedUpdate *TDate `cbor:"expectedUpdate"`
		} `cbor:"validityInfo"`
		Status *struct {
			StatusList *struct {
				Index *uint64 `cbor:"idx"`
				URI   string  `cbor:"uri"`
			} `cbor:"status_list"`
		} `cbor:"status"`
	}
	if err := decode(data, &wire); err != nil {
		return malformed("MSO", err)
	}
	if wire.Version != msoVersion {
		return malformed("MSO", errors.New("version is not "+msoVersion))
	}
	if wire.DocType == "" {
		return malformed("MSO", errors.New("docType is missing"))
	}
	if wire.DigestAlgorithm.size() == 0 {
		return malformed("MSO", errors.New("digest algorithm is not one of SHA-256, SHA-384, SHA-512"))
	}
	key, err := parseCOSEKey(wire.DeviceKeyInfo.DeviceKey)
	if err != nil {
		return malformed("device key", err)
	}
	read := MobileSecurityObject{
		DocType:         wire.DocType,
		DigestAlgorithm: wire.DigestAlgorithm,
		ValueDigests:    sortDigests(wire.ValueDigests),
		DeviceKey:       key,
	}
	info := wire.ValidityInfo
	if read.Validity, err = parseValidity(info.Signed, info.ValidFrom, info.ValidUntil, info.ExpectedUpdate); err != nil {
		return malformed("validityInfo", err)
	}
	if wire.Status != nil && wire.Status.StatusList != nil {
		list := wire.Status.StatusList
		if list.Index == nil || list.URI == "" {
			return malformed("status", errors.New("idx or uri is missing"))
		}
		read.Status = &StatusRef{Index: *list.Index, URI: list.URI}
	}
	*m = read
	return nil
}

func sortDigests(byName map[string]map[uint64][]byte) []NameSpaceDigests {
	sorted := make([]NameSpaceDigests, 0, len(byName))
	for name, byID := range byName {
		digests := make([]Digest, 0, len(byID))
		for id, value := range byID {
			digests = append(digests, Digest{ID: id, Value: value})
		}
		slices.SortFunc(digests, func(a, b Digest) int { return cmp.Compare(a.ID, b.ID) })
		sorted = append(sorted, NameSpaceDigests{Name: name, Digests: digests})
	}
	slices.SortFunc(sorted, func(a, b NameSpaceDigests) int { return compareKeys(a.Name, b.Name) })
	return sorted
}

// compareKeys orders text keys as core deterministic encoding does (RFC 8949 clause 4.2.1).
func compareKeys(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func parseValidity(signed, from, until TDate, expectedUpdate *TDate) (ValidityInfo, error) {
	var (
		info ValidityInfo
		err  error
	)
	if info.Signed, err = signed.Time(); err != nil {
		return ValidityInfo{}, fmt.Errorf("read signed: %w", err)
	}
	if info.ValidFrom, err = from.Time(); err != nil {
		return ValidityInfo{}, fmt.Errorf("read validFrom: %w", err)
	}
	if info.ValidUntil, err = until.Time(); err != nil {
		return ValidityInfo{}, fmt.Errorf("read validUntil: %w", err)
	}
	if expectedUpdate != nil {
		at, err := expectedUpdate.Time()
		if err != nil {
			return ValidityInfo{}, fmt.Errorf("read expectedUpdate: %w", err)
		}
		info.ExpectedUpdate = &at
	}
	return info, nil
}

// size is the length of a digest in octets, 0 for an algorithm that the standard does not know.
func (a DigestAlgorithm) size() int {
	switch a {
	case SHA256:
		return sha256.Size
	case SHA384:
		return sha512.Size384
	case SHA512:
		return sha512.Size
	default:
		return 0
	}
}

// appendSum appends the digest of data. The algorithm has been checked.
func (a DigestAlgorithm) appendSum(dst, data []byte) []byte {
	switch a {
	case SHA384:
		sum := sha512.Sum384(data)
		return append(dst, sum[:]...)
	case SHA512:
		sum := sha512.Sum512(data)
		return append(dst, sum[:]...)
	case SHA256:
		fallthrough
	default:
		sum := sha256.Sum256(data)
		return append(dst, sum[:]...)
	}
}

// curve couples an elliptic curve with its COSE names: ES256 belongs to P-256, ES384 to P-384, ES512 to P-521.
type curve struct {
	elliptic  elliptic.Curve
	id        int64
	width     int
	algorithm cose.Algorithm
	hash      crypto.Hash
}

var curves = []curve{
	{elliptic.P256(), 1, 32, cose.AlgorithmES256, crypto.SHA256},
	{elliptic.P384(), 2, 48, cose.AlgorithmES384, crypto.SHA384},
	{elliptic.P521(), 3, 66, cose.AlgorithmES512, crypto.SHA512},
}

var errCurve = errors.New("key is not on P-256, P-384 or P-521")

func curveOf(key *ecdsa.PublicKey) (curve, error) {
	if key != nil {
		for _, c := range curves {
			if key.Curve == c.elliptic {
				return c, nil
			}
		}
	}
	return curve{}, errCurve
}

// appendCOSEKey encodes the public key as an untagged COSE_Key: kty EC2, crv, x, y with their leading zeros.
func appendCOSEKey(dst []byte, key *ecdsa.PublicKey) ([]byte, error) {
	c, err := curveOf(key)
	if err != nil {
		return nil, err
	}
	point, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode COSE_Key: %w", err)
	}
	dst = appendHead(dst, majorMap, 4)
	dst = appendInt(appendInt(dst, 1), 2)
	dst = appendInt(appendInt(dst, -1), c.id)
	dst = appendBytes(appendInt(dst, -2), point[1:1+c.width])
	return appendBytes(appendInt(dst, -3), point[1+c.width:]), nil
}

func parseCOSEKey(raw cbor.RawMessage) (*ecdsa.PublicKey, error) {
	var wire struct {
		Type  int64  `cbor:"1,keyasint"`
		Curve int64  `cbor:"-1,keyasint"`
		X     []byte `cbor:"-2,keyasint"`
		Y     []byte `cbor:"-3,keyasint"`
	}
	if err := decode(raw, &wire); err != nil {
		return nil, err
	}
	for _, c := range curves {
		if wire.Type != 2 || wire.Curve != c.id {
			continue
		}
		if len(wire.X) != c.width || len(wire.Y) != c.width {
			return nil, errors.New("coordinate is not of the curve's length")
		}
		key, err := ecdsa.ParseUncompressedPublicKey(c.elliptic, slices.Concat([]byte{4}, wire.X, wire.Y))
		if err != nil {
			return nil, errors.New("point is not on the curve")
		}
		return key, nil
	}
	return nil, errCurve
}

// digest finds the digest of an item. It is nil when the MSO has none.
func (m *MobileSecurityObject) digest(nameSpace string, id uint64) []byte {
	for _, ns := range m.ValueDigests {
		if ns.Name != nameSpace {
			continue
		}
		at, found := slices.BinarySearchFunc(ns.Digests, id, func(d Digest, id uint64) int { return cmp.Compare(d.ID, id) })
		if found {
			return ns.Digests[at].Value
		}
	}
	return nil
}

// matches reports whether the item's bytes, tag included, have the digest that the MSO lists for its id.
func (m *MobileSecurityObject) matches(nameSpace string, item Item) bool {
	want := m.digest(nameSpace, item.DigestID)
	return want != nil && bytes.Equal(want, m.DigestAlgorithm.appendSum(nil, item.Raw))
}
