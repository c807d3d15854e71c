// Package statuslist holds Token Status Lists (draft-ietf-oauth-status-list, and ISO/IEC 18013-5 second edition clause 12.3.6):
// the compressed array of statuses, and the signed token that carries it as CWT or JWT.
//
// It is pure: it reads no clock, no file and no network. It does not hand out indices, does not decide what a status means for
// a document, and does not fetch or cache lists. A list that cannot be fetched or verified says nothing: neither valid nor
// revoked.
package statuslist

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
)

// Media types of a status list token, for Content-Type and Accept (draft clause 8.1).
const (
	MediaTypeCWT = "application/statuslist+cwt"
	MediaTypeJWT = "application/statuslist+jwt"
)

// Status is the status type of one referenced token (draft clause 7.1).
type Status uint8

// The registered status types. Others are application specific or reserved.
const (
	// Valid: correct and in force.
	Valid Status = 0
	// Invalid: revoked, for good.
	Invalid Status = 1
	// Suspended: not valid for the time being. It needs a list of 2 bits or more.
	Suspended Status = 2
)

// String returns the registered name, or the number.
func (s Status) String() string {
	switch s {
	case Valid:
		return "VALID"
	case Invalid:
		return "INVALID"
	case Suspended:
		return "SUSPENDED"
	default:
		return strconv.Itoa(int(s))
	}
}

// Refusals of a list.
var (
	// ErrBits: bits is not 1, 2, 4 or 8.
	ErrBits = errors.New("status list bits are not 1, 2, 4 or 8")
	// ErrIndex: the index lies outside the list. No statement about the status can be made.
	ErrIndex = errors.New("index is outside the status list")
	// ErrStatus: the status does not fit into the bits of the list.
	ErrStatus = errors.New("status does not fit into the list")
	// ErrTooLarge: the list or token is larger than the reader allows.
	ErrTooLarge = errors.New("status list is larger than allowed")
	// ErrMalformed: the bytes are not a status list or status list token.
	ErrMalformed = errors.New("status list malformed")
)

// DefaultMaxEntries bounds a list where the caller gives no bound.
const DefaultMaxEntries = 1 << 22

// absoluteMaxEntries bounds every list: 256 MiB at 8 bits.
const absoluteMaxEntries = 1 << 28

// List is an array of statuses of 1, 2, 4 or 8 bits each, packed into octets from the least significant bit upwards (draft
// clause 4.1). It is not safe for concurrent writing.
type List struct {
	bits   int
	packed []byte
}

// New returns a list of at least the given number of entries, all Valid. It is filled up to whole octets. Errors are ErrBits,
// and ErrTooLarge beyond 2^28 entries.
func New(bits int, entries uint64) (*List, error) {
	if !validBits(bits) {
		return nil, ErrBits
	}
	if entries > absoluteMaxEntries {
		return nil, ErrTooLarge
	}
	return &List{bits: bits, packed: make([]byte, packedSize(bits, entries))}, nil
}

// Build returns a list of the given number of entries in which all are Valid but those that statuses yields; maps.All serves
// for a map. An index that is yielded twice keeps the later status.
func Build(bits int, entries uint64, statuses iter.Seq2[uint64, Status]) (*List, error) {
	list, err := New(bits, entries)
	if err != nil {
		return nil, err
	}
	for index, status := range statuses {
		if err := list.Set(index, status); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Bits is the number of bits of one status.
func (l *List) Bits() int { return l.bits }

// Len is the number of entries.
func (l *List) Len() uint64 {
	return uint64(len(l.packed)) * 8 / uint64(l.bits) //nolint:gosec // bits are 1, 2, 4 or 8
}

// Get returns the status at the index, or ErrIndex.
func (l *List) Get(index uint64) (Status, error) {
	at, shift, err := l.locate(index)
	if err != nil {
		return 0, err
	}
	return Status(l.packed[at] >> shift & l.mask()), nil
}

// Set stores the status at the index. It returns ErrIndex or ErrStatus, and then changes nothing.
func (l *List) Set(index uint64, status Status) error {
	at, shift, err := l.locate(index)
	if err != nil {
		return err
	}
	if byte(status) > l.mask() {
		return fmt.Errorf("%w: %s in %d bits", ErrStatus, status, l.bits)
	}
	l.packed[at] = l.packed[at]&^(l.mask()<<shift) | byte(status)<<shift
	return nil
}

func (l *List) mask() byte { return byte(1<<l.bits - 1) }

// locate finds the octet of an entry and how far its bits are shifted.
func (l *List) locate(index uint64) (at uint64, shift uint, err error) {
	if index >= l.Len() {
		return 0, 0, fmt.Errorf("%w: index %d of %d", ErrIndex, index, l.Len())
	}
	bit := index * uint64(l.bits) //nolint:gosec // bits are 1, 2, 4 or 8
	return bit / 8, uint(bit % 8), nil
}

// Compress returns the packed statuses as a zlib stream (RFC 1950) of the best compression: the member "lst".
func (l *List) Compress() ([]byte, error) {
	var out bytes.Buffer
	writer, err := zlib.NewWriterLevel(&out, zlib.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compress status list: %w", err)
	}
	if _, err := writer.Write(l.packed); err != nil {
		return nil, fmt.Errorf("compress status list: %w", err)
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("compress status list: %w", err)
	}
	return out.Bytes(), nil
}

// Decompress reads the member "lst". A list of more than maxEntries entries (filled up to whole octets) is refused with
// ErrTooLarge before it is unpacked any further; 0 stands for DefaultMaxEntries. Other errors are ErrBits or wrap ErrMalformed.
func Decompress(bits int, lst []byte, maxEntries uint64) (*List, error) {
	if !validBits(bits) {
		return nil, ErrBits
	}
	source := bytes.NewReader(lst)
	reader, err := zlib.NewReader(source)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	limit := packedSize(bits, orDefault(maxEntries))
	packed, err := io.ReadAll(io.LimitReader(reader, int64(limit)+1)) //nolint:gosec // bounded by the capacity of a list
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if uint64(len(packed)) > limit {
		return nil, ErrTooLarge
	}
	if err := reader.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if source.Len() != 0 {
		return nil, fmt.Errorf("%w: data after the compressed list", ErrMalformed)
	}
	return &List{bits: bits, packed: packed}, nil
}

func orDefault(maxEntries uint64) uint64 {
	if maxEntries == 0 {
		return DefaultMaxEntries
	}
	return min(maxEntries, absoluteMaxEntries)
}

func validBits(bits int) bool { return bits == 1 || bits == 2 || bits == 4 || bits == 8 }

// packedSize is the number of octets that so many entries take.
func packedSize(bits int, entries uint64) uint64 {
	return (entries*uint64(bits) + 7) / 8 //nolint:gosec // bits are 1, 2, 4 or 8
}

// Aggregation is the document that lists the URIs of an issuer's status list tokens (draft clause 9.3). It is served as
// application/json.
type Aggregation struct {
	StatusLists []string `json:"status_lists"`
}
