package mdoc

import (
	"errors"
	"fmt"
	"time"
)

const (
	tagTDate    = 0
	tagEncoded  = 24
	tagFullDate = 1004

	layoutFullDate = "2006-01-02"
	layoutTDate    = "2006-01-02T15:04:05Z"
)

var (
	errFullDate = errors.New("full-date is not of the form YYYY-MM-DD")
	errTDate    = errors.New("tdate is not of the form YYYY-MM-DDThh:mm:ssZ")
)

// FullDate is a calendar date of the form YYYY-MM-DD. It is encoded as full-date, CBOR tag 1004 (RFC 8943).
type FullDate string

// NewFullDate returns the calendar date of t in t's own location.
func NewFullDate(t time.Time) FullDate { return FullDate(t.Format(layoutFullDate)) }

// Time returns the date as midnight UTC.
func (d FullDate) Time() (time.Time, error) {
	return parseExactly(layoutFullDate, string(d), errFullDate)
}

// MarshalCBOR encodes the date with its tag. It refuses anything that is not a calendar date.
func (d FullDate) MarshalCBOR() ([]byte, error) { return appendFullDate(nil, d) }

// TDate is a point in time of the form YYYY-MM-DDThh:mm:ssZ: UTC, whole seconds. It is encoded as tdate, CBOR tag 0 (RFC 8949
// clause 3.4.1, restricted by ISO/IEC 18013-5).
type TDate string

// NewTDate returns t in UTC, cut to whole seconds.
func NewTDate(t time.Time) TDate { return TDate(t.UTC().Format(layoutTDate)) }

// Time returns the point in time, in UTC.
func (d TDate) Time() (time.Time, error) { return parseExactly(layoutTDate, string(d), errTDate) }

// MarshalCBOR encodes the point in time with its tag. It refuses anything that is not of the form above.
func (d TDate) MarshalCBOR() ([]byte, error) { return appendTDate(nil, d) }

// UnmarshalCBOR accepts tag 0 with text of exactly the form above.
func (d *TDate) UnmarshalCBOR(data []byte) error {
	major, number, size, err := readHead(data)
	if err != nil || major != majorTag || number != tagTDate {
		return errTDate
	}
	value, rest, err := readDate(data[size:], number)
	read, isTDate := value.(TDate)
	if err != nil || !isTDate || len(rest) != 0 {
		return errTDate
	}
	*d = read
	return nil
}

// Map is a CBOR map with text keys that keeps the order of its entries.
type Map []Entry

// Entry is one key and value of a Map. The value is of the types that Element allows.
type Entry struct {
	Key   string
	Value any
}

// MarshalCBOR encodes the map in the order of its entries. It refuses a key that occurs twice.
func (m Map) MarshalCBOR() ([]byte, error) { return appendMap(nil, m) }

// Element is one data element of a name space.
//
// Value is one of: string, bool, any Go integer, []byte, FullDate, TDate, Map, []any, []string, cbor.RawMessage, or a struct or
// map that fxamacker/cbor can encode (its keys are then sorted). Parsing yields string, bool, uint64, int64 (negative numbers),
// []byte, FullDate, TDate, Map, []any and nil; a value that these cannot express is handed out as cbor.RawMessage.
type Element struct {
	Identifier string
	Value      any
}

// NameSpace is a name space with its data elements, in order.
type NameSpace struct {
	Name     string
	Elements []Element
}

// parseExactly parses text of exactly the layout's length, because time.Parse lets a fraction of a second pass.
func parseExactly(layout, text string, refusal error) (time.Time, error) {
	if len(text) != len(layout) {
		return time.Time{}, refusal
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return time.Time{}, refusal
	}
	return t, nil
}

func appendFullDate(dst []byte, d FullDate) ([]byte, error) {
	if _, err := d.Time(); err != nil {
		return nil, fmt.Errorf("encode full-date: %w", err)
	}
	return appendText(appendHead(dst, majorTag, tagFullDate), string(d)), nil
}

func appendTDate(dst []byte, d TDate) ([]byte, error) {
	if _, err := d.Time(); err != nil {
		return nil, fmt.Errorf("encode tdate: %w", err)
	}
	return appendText(appendHead(dst, majorTag, tagTDate), string(d)), nil
}
