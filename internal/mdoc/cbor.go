package mdoc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// Bounds on what is encoded and decoded. They are far above any real document and keep a hostile one cheap.
const (
	maxEncodedBytes = 8 << 20
	maxNesting      = 16
	maxEntries      = 4096
	maxTextRunes    = 150
)

const (
	majorUint   = 0
	majorNegInt = 1
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorTag    = 6
	majorSimple = 7

	simpleFalse = 20
	simpleTrue  = 21
	simpleNull  = 22
)

var (
	errTooLarge     = errors.New("encoding is larger than allowed")
	errTruncated    = errors.New("encoding ends early")
	errNotEncoded   = errors.New("not an encoded CBOR data item (tag 24)")
	errDuplicateKey = errors.New("map key occurs twice")
	errNoValue      = errors.New("value is missing")
	errNotPlain     = errors.New("value is not of a plain type")
	errTextLength   = fmt.Errorf("text has more than %d characters", maxTextRunes)
	errTextUTF8     = errors.New("text is not UTF-8")
)

var (
	encMode = mustEncMode()
	decMode = mustDecMode()
)

func mustEncMode() cbor.EncMode {
	mode, err := cbor.EncOptions{Sort: cbor.SortCoreDeterministic, IndefLength: cbor.IndefLengthForbidden}.EncMode()
	if err != nil {
		panic(err) // the options are constant: this cannot depend on input
	}
	return mode
}

func mustDecMode() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		MaxNestedLevels:   maxNesting,
		MaxArrayElements:  maxEntries,
		MaxMapPairs:       maxEntries,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constant: this cannot depend on input
	}
	return mode
}

// decode reads exactly one bounded data item into v.
func decode(data []byte, v any) error {
	if len(data) > maxEncodedBytes {
		return errTooLarge
	}
	return decMode.Unmarshal(data, v)
}

// appendHead appends the head of a data item in its shortest form.
func appendHead(dst []byte, major byte, arg uint64) []byte {
	lead := major << 5
	switch {
	case arg < 24:
		return append(dst, lead|byte(arg))
	case arg <= math.MaxUint8:
		return append(dst, lead|24, byte(arg))
	case arg <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, lead|25), uint16(arg))
	case arg <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, lead|26), uint32(arg))
	default:
		return binary.BigEndian.AppendUint64(append(dst, lead|27), arg)
	}
}

func appendText(dst []byte, s string) []byte {
	return append(appendHead(dst, majorText, uint64(len(s))), s...)
}

func appendBytes(dst, b []byte) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(b))), b...)
}

func appendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendHead(dst, majorNegInt, uint64(-1-n))
	}
	return appendHead(dst, majorUint, uint64(n))
}

// appendEncoded wraps an encoded data item as #6.24(bstr .cbor item).
func appendEncoded(dst, item []byte) []byte {
	return appendBytes(appendHead(dst, majorTag, tagEncoded), item)
}

// appendValue encodes an element value. The plain types are written directly, because reflection would cost more than the
// rest of the document; everything else goes through the CBOR library with sorted keys.
func appendValue(dst []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return nil, errNoValue
	case string:
		return appendText(dst, v), nil
	case []byte:
		return appendBytes(dst, v), nil
	case bool:
		if v {
			return appendHead(dst, majorSimple, simpleTrue), nil
		}
		return appendHead(dst, majorSimple, simpleFalse), nil
	case uint64:
		return appendHead(dst, majorUint, v), nil
	case uint:
		return appendHead(dst, majorUint, uint64(v)), nil
	case int64:
		return appendInt(dst, v), nil
	case int:
		return appendInt(dst, int64(v)), nil
	case FullDate:
		return appendFullDate(dst, v)
	case TDate:
		return appendTDate(dst, v)
	case Map:
		return appendMap(dst, v)
	case []any:
		return appendArray(dst, v)
	case []string:
		dst = appendHead(dst, majorArray, uint64(len(v)))
		for _, s := range v {
			dst = appendText(dst, s)
		}
		return dst, nil
	default:
		encoded, err := encMode.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode %T: %w", v, err)
		}
		return append(dst, encoded...), nil
	}
}

func appendArray(dst []byte, values []any) ([]byte, error) {
	dst = appendHead(dst, majorArray, uint64(len(values)))
	var err error
	for _, value := range values {
		if dst, err = appendValue(dst, value); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func appendMap(dst []byte, m Map) ([]byte, error) {
	dst = appendHead(dst, majorMap, uint64(len(m)))
	seen := make(map[string]struct{}, len(m))
	var err error
	for _, entry := range m {
		if _, twice := seen[entry.Key]; twice {
			return nil, errDuplicateKey
		}
		seen[entry.Key] = struct{}{}
		if dst, err = appendValue(appendText(dst, entry.Key), entry.Value); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// readHead reads the head at the start of b. size is the length of the head itself.
func readHead(b []byte) (major byte, arg uint64, size int, err error) {
	if len(b) == 0 {
		return 0, 0, 0, errTruncated
	}
	major, info := b[0]>>5, b[0]&0x1f
	if info < 24 {
		return major, uint64(info), 1, nil
	}
	if info > 27 {
		return 0, 0, 0, errors.New("indefinite or reserved length")
	}
	width := 1 << (info - 24)
	if len(b) < 1+width {
		return 0, 0, 0, errTruncated
	}
	for _, octet := range b[1 : 1+width] {
		arg = arg<<8 | uint64(octet)
	}
	return major, arg, 1 + width, nil
}

// readString reads the byte or text string at the start of b.
func readString(b []byte, want byte) (content, rest []byte, err error) {
	major, length, size, err := readHead(b)
	if err != nil {
		return nil, nil, err
	}
	if major != want {
		return nil, nil, errors.New("string of another type expected")
	}
	if length > uint64(len(b)-size) { //nolint:gosec // size was read from b
		return nil, nil, errTruncated
	}
	end := size + int(length) //nolint:gosec // bounded by len(b)
	return b[size:end], b[end:], nil
}

// unwrapEncoded returns the data item inside #6.24(bstr .cbor item), which must fill the whole of b.
func unwrapEncoded(b []byte) ([]byte, error) {
	major, number, size, err := readHead(b)
	if err != nil || major != majorTag || number != tagEncoded {
		return nil, errNotEncoded
	}
	content, rest, err := readString(b[size:], majorBytes)
	if err != nil || len(rest) != 0 {
		return nil, errNotEncoded
	}
	return content, nil
}

// checkTexts walks the heads of a definite-length encoding and refuses text that is not UTF-8 or longer than an mdoc may carry.
// Containers need no recursion: their members simply follow.
func checkTexts(b []byte) error {
	for len(b) > 0 {
		major, arg, size, err := readHead(b)
		if err != nil {
			return err
		}
		b = b[size:]
		if major != majorBytes && major != majorText {
			continue
		}
		if arg > uint64(len(b)) {
			return errTruncated
		}
		if major == majorText {
			if err := checkText(b[:arg]); err != nil {
				return err
			}
		}
		b = b[arg:]
	}
	return nil
}

func checkText(text []byte) error {
	if !utf8.Valid(text) {
		return errTextUTF8
	}
	if len(text) > maxTextRunes && utf8.RuneCount(text) > maxTextRunes {
		return errTextLength
	}
	return nil
}

// decodeValue turns an element value into the Go types that Element lists. What they cannot express is checked and left raw.
func decodeValue(raw cbor.RawMessage) (any, error) {
	value, _, err := readValue(raw)
	if err == nil {
		return value, nil
	}
	if errors.Is(err, errDuplicateKey) {
		return nil, err
	}
	var checked any
	if err := decode(raw, &checked); err != nil {
		return nil, err
	}
	return raw, nil
}

// readValue reads one value of an encoding that is known to be well-formed, so its nesting and counts are bounded.
func readValue(b []byte) (value any, rest []byte, err error) {
	major, arg, size, err := readHead(b)
	if err != nil {
		return nil, nil, err
	}
	rest = b[size:]
	switch major {
	case majorUint:
		return arg, rest, nil
	case majorNegInt:
		if arg > math.MaxInt64 {
			return nil, nil, errNotPlain
		}
		return -1 - int64(arg), rest, nil
	case majorBytes:
		content, rest, err := readString(b, majorBytes)
		return content, rest, err
	case majorText:
		content, rest, err := readString(b, majorText)
		return string(content), rest, err
	case majorArray:
		return readArray(rest, arg)
	case majorMap:
		return readMap(rest, arg)
	case majorTag:
		return readDate(rest, arg)
	default:
		// One-byte heads only: in a longer one the argument is a float or another simple value.
		if size != 1 {
			return nil, nil, errNotPlain
		}
		return readSimple(rest, arg)
	}
}

func readSimple(rest []byte, number uint64) (any, []byte, error) {
	switch number {
	case simpleFalse:
		return false, rest, nil
	case simpleTrue:
		return true, rest, nil
	case simpleNull:
		return nil, rest, nil
	default:
		return nil, nil, errNotPlain
	}
}

func readArray(rest []byte, count uint64) (any, []byte, error) {
	if count > uint64(len(rest)) {
		return nil, nil, errTruncated
	}
	values := make([]any, 0, count)
	for range count {
		value, after, err := readValue(rest)
		if err != nil {
			return nil, nil, err
		}
		values, rest = append(values, value), after
	}
	return values, rest, nil
}

func readMap(rest []byte, count uint64) (any, []byte, error) {
	if count > uint64(len(rest)) {
		return nil, nil, errTruncated
	}
	entries := make(Map, 0, count)
	seen := make(map[string]struct{}, count)
	for range count {
		text, afterKey, err := readString(rest, majorText)
		if err != nil {
			return nil, nil, errNotPlain
		}
		key := string(text)
		if _, twice := seen[key]; twice {
			return nil, nil, errDuplicateKey
		}
		seen[key] = struct{}{}
		value, after, err := readValue(afterKey)
		if err != nil {
			return nil, nil, err
		}
		entries, rest = append(entries, Entry{Key: key, Value: value}), after
	}
	return entries, rest, nil
}

// readDate reads what follows the head of a tag that stands for a date.
func readDate(rest []byte, number uint64) (any, []byte, error) {
	text, rest, err := readString(rest, majorText)
	if err != nil {
		return nil, nil, errNotPlain
	}
	switch number {
	case tagFullDate:
		date := FullDate(text)
		if _, err := date.Time(); err != nil {
			return nil, nil, errNotPlain
		}
		return date, rest, nil
	case tagTDate:
		date := TDate(text)
		if _, err := date.Time(); err != nil {
			return nil, nil, errNotPlain
		}
		return date, rest, nil
	default:
		return nil, nil, errNotPlain
	}
}
