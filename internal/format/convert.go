package format

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mdocket/mdocket/internal/mdoc"
)

// valueType is the type of a data element as format files spell it.
type valueType string

const (
	typeText       valueType = "tstr"
	typeUint       valueType = "uint"
	typeInt        valueType = "int"
	typeBool       valueType = "bool"
	typeBytes      valueType = "bstr"
	typeFullDate   valueType = "full-date"
	typeTDate      valueType = "tdate"
	typeEitherDate valueType = "tdate-or-full-date"
	typeArray      valueType = "array"
	typeMap        valueType = "map"
	typeAny        valueType = "any"
)

// Bounds on values. Text of an mdoc has at most 150 characters (ISO/IEC 18013-5).
const (
	maxText          = 150
	maxBytes         = 4 << 20
	defaultMaxItems  = 100
	maxItems         = 1000
	maxAnyDepth      = 8
	maxStructureText = 64 << 10 // of an attribute that holds a structure as JSON text
	maxMisfits       = 20       // reported for one element
	maxExactFloat    = 1 << 53  // whole numbers up to here survive a float64
)

// schema is the type of a value with its limits.
type schema struct {
	kind      valueType
	enum      []any // string, uint64 or int64 as kind says; empty = no closed list
	min, max  *int64
	maxLength int // characters of text, bytes of a byte string
	pattern   *regexp.Regexp
	items     *schema // of an array
	minItems  int
	maxItems  int
	single    bool    // a value that is no list stands for a list of one
	fields    []field // of a map
	minFields int
}

// String gives the type as format files spell it, of an array with its items.
func (s *schema) String() string {
	if s.kind == typeArray && s.items != nil {
		return string(typeArray) + " of " + s.items.String()
	}
	return string(s.kind)
}

type field struct {
	name      string
	mandatory bool
	schema    schema
}

// step is one step into a structure: a field of a map or, when name is empty, an item of an array.
type step struct {
	name  string
	index int
}

// conversion turns one raw value into the types of package mdoc and collects what does not fit.
type conversion struct {
	path    []step
	misfits []string // "[0].codes is not a list": path and what is wrong, never the value
}

// convert gives raw as the schema's type, or nil when raw is nothing (nil or blank text) or does not fit; misfits says why
// it does not.
//
// Raw values are what attributes hold (string, bool, float64, []any, map[string]any), numbers from YAML and JSON (int64, uint64,
// json.Number), and []byte and time.Time from images and computations. Text is read as the type: "180", "true", "2020-01-02", base64
// for bytes, JSON for arrays and maps.
func (c *conversion) convert(s *schema, raw any) any {
	if isBlank(raw) {
		return nil
	}
	switch s.kind {
	case typeText:
		return c.text(s, raw)
	case typeUint:
		return c.unsigned(s, raw)
	case typeInt:
		return c.signed(s, raw)
	case typeBool:
		return c.boolean(raw)
	case typeBytes:
		return c.bytes(s, raw)
	case typeFullDate, typeTDate, typeEitherDate:
		return c.date(s.kind, raw)
	case typeArray:
		return c.array(s, raw)
	case typeMap:
		return c.fieldMap(s, raw)
	case typeAny:
		return c.anything(raw, 0)
	}
	return c.misfit("has a type that is not known")
}

func isBlank(raw any) bool {
	switch v := raw.(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(v) == ""
	case []byte:
		return len(v) == 0
	}
	return false
}

// misfit notes what is wrong with the value at the current path. It gives nil, the value that does not fit.
func (c *conversion) misfit(text string) any {
	if len(c.misfits) >= maxMisfits {
		return nil
	}
	var b strings.Builder
	for _, s := range c.path {
		if s.name != "" {
			b.WriteString("." + s.name)
		} else {
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		}
	}
	c.misfits = append(c.misfits, b.String()+" "+text)
	return nil
}

func (c *conversion) enter(s step) { c.path = append(c.path, s) }
func (c *conversion) leave()       { c.path = c.path[:len(c.path)-1] }

func (c *conversion) text(s *schema, raw any) any {
	v, ok := raw.(string)
	switch {
	case !ok:
		return c.misfit("is not text")
	case !utf8.ValidString(v):
		return c.misfit("is not valid UTF-8")
	case len(v) > s.maxLength && utf8.RuneCountInString(v) > s.maxLength:
		return c.misfit("is longer than " + strconv.Itoa(s.maxLength) + " characters")
	case len(s.enum) > 0 && !slices.Contains(s.enum, raw):
		return c.misfit("is not in the closed list of the format")
	case s.pattern != nil && !s.pattern.MatchString(v):
		return c.misfit("does not have the form that the format asks for")
	}
	return raw
}

func (c *conversion) unsigned(s *schema, raw any) any {
	v, ok := asUint(raw)
	if !ok {
		return c.misfit("is not a whole number from 0 up")
	}
	if v > math.MaxInt64 {
		if s.max != nil {
			return c.misfit("is above the highest value of the format")
		}
	} else if !c.inRange(s, int64(v)) {
		return nil
	}
	return c.listed(s, v)
}

func (c *conversion) signed(s *schema, raw any) any {
	v, ok := asInt(raw)
	if !ok {
		return c.misfit("is not a whole number")
	}
	if !c.inRange(s, v) {
		return nil
	}
	return c.listed(s, v)
}

func (c *conversion) inRange(s *schema, v int64) bool {
	if s.min != nil && v < *s.min {
		c.misfit("is below the lowest value of the format")
		return false
	}
	if s.max != nil && v > *s.max {
		c.misfit("is above the highest value of the format")
		return false
	}
	return true
}

func (c *conversion) listed(s *schema, v any) any {
	if len(s.enum) > 0 && !slices.Contains(s.enum, v) {
		return c.misfit("is not in the closed list of the format")
	}
	return v
}

func (c *conversion) boolean(raw any) any {
	switch raw {
	case true, "true":
		return true
	case false, "false":
		return false
	}
	return c.misfit("is neither true nor false")
}

func (c *conversion) bytes(s *schema, raw any) any {
	v, ok := raw.([]byte)
	if text, isText := raw.(string); isText {
		v, ok = decodeBase64(text)
	}
	if !ok {
		return c.misfit("is not base64")
	}
	if len(v) > s.maxLength {
		return c.misfit("is longer than " + strconv.Itoa(s.maxLength) + " bytes")
	}
	return v
}

// decodeBase64 reads both alphabets, with and without padding (RFC 4648 4 and 5).
func decodeBase64(text string) ([]byte, bool) {
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	v, err := encoding.DecodeString(strings.TrimRight(strings.TrimSpace(text), "="))
	return v, err == nil && len(v) > 0
}

func (c *conversion) date(kind valueType, raw any) any {
	switch v := raw.(type) {
	case time.Time:
		if kind == typeTDate {
			return mdoc.NewTDate(v)
		}
		return mdoc.NewFullDate(v.UTC())
	case string:
		if day := mdoc.FullDate(v); kind != typeTDate && len(v) == len(time.DateOnly) {
			if _, err := day.Time(); err == nil {
				return day
			}
		}
		if at, err := time.Parse(time.RFC3339, v); err == nil && kind != typeFullDate {
			return mdoc.NewTDate(at)
		}
	}
	switch kind {
	case typeFullDate:
		return c.misfit("is not a day as YYYY-MM-DD")
	case typeTDate:
		return c.misfit("is not a time as YYYY-MM-DDThh:mm:ssZ")
	default:
		return c.misfit("is neither a day as YYYY-MM-DD nor a time as YYYY-MM-DDThh:mm:ssZ")
	}
}

func (c *conversion) array(s *schema, raw any) any {
	list, ok := fromJSON(raw).([]any)
	if !ok && s.single {
		list, ok = []any{raw}, true
	}
	switch {
	case !ok:
		return c.misfit("is not a list")
	case len(list) > s.maxItems:
		return c.misfit("has more than " + strconv.Itoa(s.maxItems) + " items")
	case len(list) < s.minItems:
		return c.misfit("has fewer than " + strconv.Itoa(s.minItems) + " items")
	}
	out := make([]any, 0, len(list))
	for i, item := range list {
		c.enter(step{index: i})
		if isBlank(item) {
			c.misfit("is empty")
		}
		out = append(out, c.convert(s.items, item))
		c.leave()
	}
	return out
}

// fieldMap keeps the order in which the format declares the fields, which is the order of the standard's examples.
func (c *conversion) fieldMap(s *schema, raw any) any {
	in, ok := fromJSON(raw).(map[string]any)
	if !ok {
		return c.misfit("is not a map")
	}
	out := make(mdoc.Map, 0, len(in))
	known := 0
	for i := range s.fields {
		f := &s.fields[i]
		value, given := in[f.name]
		if given {
			known++
		}
		c.enter(step{name: f.name})
		if isBlank(value) {
			if f.mandatory {
				c.misfit("is required")
			}
		} else {
			out = append(out, mdoc.Entry{Key: f.name, Value: c.convert(&f.schema, value)})
		}
		c.leave()
	}
	if known < len(in) {
		return c.misfit("has a field that the format does not have")
	}
	if len(out) < s.minFields {
		return c.misfit("has fewer than " + strconv.Itoa(s.minFields) + " fields")
	}
	return out
}

// anything keeps the value's own type: text, boolean, whole number, other number, list or map (keys sorted).
func (c *conversion) anything(raw any, depth int) any {
	if depth > maxAnyDepth {
		return c.misfit("is nested too deeply")
	}
	if v, ok := asInt(raw); ok && !isText(raw) {
		return v
	}
	switch v := raw.(type) {
	case string:
		return c.text(&schema{maxLength: maxText}, v)
	case bool, uint64, float64:
		return v
	case json.Number:
		if number, err := v.Float64(); err == nil {
			return number
		}
	case []any:
		return c.anyArray(v, depth)
	case map[string]any:
		return c.anyMap(v, depth)
	}
	return c.misfit("is of a type that a document cannot hold")
}

func (c *conversion) anyArray(list []any, depth int) any {
	if len(list) > maxItems {
		return c.misfit("has more than " + strconv.Itoa(maxItems) + " items")
	}
	out := make([]any, 0, len(list))
	for i, item := range list {
		c.enter(step{index: i})
		out = append(out, c.anything(item, depth+1))
		c.leave()
	}
	return out
}

// anyMap does not name the keys of a misfit: unlike declared fields they are the person's data.
func (c *conversion) anyMap(in map[string]any, depth int) any {
	if len(in) > maxItems {
		return c.misfit("has more than " + strconv.Itoa(maxItems) + " fields")
	}
	keys := make([]string, 0, len(in))
	for key := range in {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	out := make(mdoc.Map, 0, len(in))
	for i, key := range keys {
		c.enter(step{index: i})
		c.text(&schema{maxLength: maxText}, key)
		out = append(out, mdoc.Entry{Key: key, Value: c.anything(in[key], depth+1)})
		c.leave()
	}
	return out
}

// fromJSON reads a structure that came as text, for example from a CSV import; everything else passes unchanged.
func fromJSON(raw any) any {
	text, ok := raw.(string)
	if !ok || len(text) > maxStructureText {
		return raw
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return raw
	}
	if _, err := decoder.Token(); err != io.EOF {
		return raw
	}
	return v
}

func isText(raw any) bool {
	_, ok := raw.(string)
	return ok
}

func asUint(raw any) (uint64, bool) {
	switch v := raw.(type) {
	case uint64:
		return v, true
	case string:
		return parseUint(v)
	case json.Number:
		return parseUint(v.String())
	default:
		n, ok := asInt(raw)
		return uint64(max(n, 0)), ok && n >= 0
	}
}

func parseUint(text string) (uint64, bool) {
	v, err := strconv.ParseUint(text, 10, 64)
	return v, err == nil
}

func asInt(raw any) (int64, bool) {
	switch v := raw.(type) {
	case int64:
		return v, true
	case uint64:
		return int64(v & math.MaxInt64), v <= math.MaxInt64
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) <= maxExactFloat
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	}
	return 0, false
}
