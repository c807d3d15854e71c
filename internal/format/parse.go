package format

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/mdoc"
)

// mDLDocType is the docType for which ISO/IEC 18013-5 12.3.6 allows one status bit only: an mDL cannot be suspended.
const mDLDocType = "org.iso.18013.5.1.mDL"

const (
	maxName       = 100 // characters of an identifier, a docType or a name space
	maxDisplays   = 50
	maxSpaces     = 20
	maxElements   = 300 // per name space
	maxEnum       = 500
	maxPattern    = 500 // characters
	maxAgeOver    = 99  // age_over_NN has two digits
	maxVersion    = 1_000_000
	maxUpdateDays = 3650
	maxFieldDepth = 6 // of arrays and maps in each other
)

var (
	formatID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	locale   = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$`)
	colour   = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)
	ageName  = regexp.MustCompile(`^age_over_([0-9]{2})$`)
)

// Problem is one mistake in a format file. Line and Column count from 1.
type Problem struct {
	Line    int
	Column  int
	Message string
}

// ParseError lists the mistakes of one format file in the order of the file.
type ParseError struct {
	Name     string // of the file
	Problems []Problem
	More     int // mistakes beyond those listed
}

// Error gives one "file:line:column: message" per line.
func (e *ParseError) Error() string {
	lines := make([]string, len(e.Problems), len(e.Problems)+1)
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("%s:%d:%d: %s", e.Name, p.Line, p.Column, p.Message)
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("%s: %d more mistakes", e.Name, e.More))
	}
	return strings.Join(lines, "\n")
}

// Parse reads a format file of at most 256 KiB; name stands for the file in errors. Any mistake gives a *ParseError with all of them, up
// to 100.
func Parse(name string, data []byte) (*Format, error) {
	var d document
	var f *Format
	if root := d.root(data); root != nil {
		f = d.format(root)
	}
	if len(d.problems) > 0 {
		slices.SortStableFunc(d.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, &ParseError{Name: name, Problems: d.problems, More: d.found - len(d.problems)}
	}
	return f, nil
}

func (d *document) format(n ast.Node) *Format {
	o := d.object(n, "a format", "id", "version", "doc_type", "display", "digest_algorithm", "status_bits", "validity", "name_spaces")
	if o == nil {
		return nil
	}
	f := &Format{Display: d.displays(o)}
	var at ast.Node
	if f.ID, at = o.text("id", true); at != nil && !formatID.MatchString(f.ID) {
		d.at(at, "id must be 1 to 63 of a-z, 0-9 and dash, starting with a letter or digit")
	}
	version, _ := o.number("version", true, 1, maxVersion)
	f.Version, f.versionAt = int(version), o.at("version")
	f.DocType, f.docTypeAt = d.name(o, "doc_type"), o.at("doc_type")
	digest, at := o.text("digest_algorithm", true)
	f.DigestAlgorithm = mdoc.DigestAlgorithm(digest)
	if at != nil && !slices.Contains([]mdoc.DigestAlgorithm{mdoc.SHA256, mdoc.SHA384, mdoc.SHA512}, f.DigestAlgorithm) {
		d.at(at, "digest_algorithm must be SHA-256, SHA-384 or SHA-512")
	}
	if bits, ok := o.number("status_bits", true, 1, 2); ok {
		f.StatusBits = int(bits)
		if f.DocType == mDLDocType && bits != 1 {
			d.at(o.entries["status_bits"].value, "status_bits of %s must be 1: an mDL cannot be suspended (ISO/IEC 18013-5)", mDLDocType)
		}
	}
	if v, ok := o.value("validity", false); ok {
		if rules := d.object(v, "validity", "expected_update_days"); rules != nil {
			days, _ := rules.number("expected_update_days", true, 1, maxUpdateDays)
			f.expectedUpdateDays = int(days)
		}
	}
	f.spaces = d.nameSpaces(o)
	return f
}

// name reads an identifier of the mdoc: printable ASCII without spaces.
func (d *document) name(o *object, key string) string {
	text, at := o.text(key, true)
	if at == nil {
		return ""
	}
	if len(text) > maxName || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		d.at(at, "%s must be 1 to %d ASCII characters without spaces", key, maxName)
		return ""
	}
	return text
}

func (d *document) displays(o *object) []Display {
	var displays []Display
	var locales names
	for _, n := range d.bounded(o, "display", maxDisplays) {
		item := d.object(n, "an item of display", "locale", "name", "description", "background_color", "text_color")
		if item == nil {
			continue
		}
		var v Display
		var at ast.Node
		if v.Locale, at = item.text("locale", true); at != nil {
			d.locale(at, v.Locale)
			locales.add(d, at, "locale", v.Locale)
		}
		v.Name = d.shortText(item, "name", true)
		v.Description = d.shortText(item, "description", false)
		v.BackgroundColor = d.colour(item, "background_color")
		v.TextColor = d.colour(item, "text_color")
		displays = append(displays, v)
	}
	return displays
}

func (d *document) locale(at ast.Node, tag string) {
	if !locale.MatchString(tag) {
		d.at(at, "locale must be a language tag such as en or de-CH")
	}
}

func (d *document) shortText(o *object, key string, needed bool) string {
	text, at := o.text(key, needed)
	if at != nil && (!utf8.ValidString(text) || utf8.RuneCountInString(text) > maxText) {
		d.at(at, "%s must be UTF-8 text of at most %d characters", key, maxText)
	}
	return text
}

func (d *document) colour(o *object, key string) string {
	text, at := o.text(key, false)
	if at != nil && !colour.MatchString(text) {
		d.at(at, "%s must be #rrggbb", key)
	}
	return text
}

// bounded gives the items of a needed list of at most limit items.
func (d *document) bounded(o *object, key string, limit int) []ast.Node {
	items := o.list(key, true)
	if len(items) > limit {
		d.at(items[limit], "%s has more than %d items", key, limit)
		return items[:limit]
	}
	return items
}

// names refuses what occurs twice.
type names map[string]int

func (s *names) add(d *document, at ast.Node, what, name string) {
	if *s == nil {
		*s = names{}
	}
	if line, twice := (*s)[name]; twice {
		d.at(at, "%s %s occurs twice, first in line %d", what, quote(name), line)
		return
	}
	(*s)[name] = start(at).Line
}

func (d *document) nameSpaces(o *object) []nameSpace {
	var spaces []nameSpace
	var seen names
	mandatory, undecided, counts := false, false, map[string]int{}
	for _, n := range d.bounded(o, "name_spaces", maxSpaces) {
		item := d.object(n, "an item of name_spaces", "name", "elements")
		if item == nil {
			continue
		}
		space := nameSpace{name: d.name(item, "name")}
		var unread bool
		space.elements, unread = d.elements(item)
		undecided = undecided || unread
		if space.name != "" {
			seen.add(d, item.entries["name"].value, "name space", space.name)
		}
		for _, e := range space.elements {
			counts[e.identifier]++
			mandatory = mandatory || e.mandatory
		}
		spaces = append(spaces, space)
	}
	if len(counts) > 0 && !mandatory && !undecided {
		d.at(o.entries["name_spaces"].key, "at least one element must be mandatory: a document cannot be empty")
	}
	for _, space := range spaces {
		for i := range space.elements {
			e := &space.elements[i]
			e.errorField = e.identifier
			if counts[e.identifier] > 1 {
				e.errorField = space.name + "/" + e.identifier
			}
		}
	}
	return spaces
}

// schemaKeys are the keys that say of which type a value is and what limits it has.
var schemaKeys = []string{"type", "enum", "min", "max", "max_length", "pattern", "items", "min_items", "max_items", "single", "fields",
	"min_fields"}

// elements also says whether there is an element of which cannot be told if it is mandatory.
func (d *document) elements(space *object) (elements []element, undecided bool) {
	var seen names
	for _, n := range d.bounded(space, "elements", maxElements) {
		o := d.object(n, "an element", append([]string{"identifier", "mandatory", "source", "display"}, schemaKeys...)...)
		if o == nil {
			undecided = true
			continue
		}
		e := element{identifier: d.name(o, "identifier"), labels: d.labels(o)}
		before := d.found
		e.mandatory = o.boolean("mandatory")
		undecided = undecided || d.found > before
		if e.identifier != "" {
			seen.add(d, o.entries["identifier"].value, "element", e.identifier)
		}
		usable := d.schema(o, &e.schema, 0)
		if from, ok := o.value("source", true); ok {
			d.source(from, &e, &e.source, usable, true)
		}
		elements = append(elements, e)
	}
	return elements, undecided
}

func (d *document) labels(o *object) []Label {
	n, ok := o.value("display", false)
	if !ok {
		return nil
	}
	display := d.object(n, "display")
	if display == nil {
		return nil
	}
	labels := make([]Label, 0, len(display.keys))
	for _, tag := range display.keys {
		d.locale(display.entries[tag].key, tag)
		labels = append(labels, Label{Locale: tag, Name: d.shortText(display, tag, true)})
	}
	return labels
}

// limitsOf says which keys go with which type, besides type itself.
var limitsOf = map[valueType][]string{
	typeText:       {"enum", "max_length", "pattern"},
	typeUint:       {"enum", "min", "max"},
	typeInt:        {"enum", "min", "max"},
	typeBool:       nil,
	typeBytes:      {"max_length"},
	typeFullDate:   nil,
	typeTDate:      nil,
	typeEitherDate: nil,
	typeArray:      {"items", "min_items", "max_items", "single"},
	typeMap:        {"fields", "min_fields"},
	typeAny:        nil,
}

// schema reads type and limits. It says whether the result can be used to check a value against.
func (d *document) schema(o *object, s *schema, depth int) bool {
	before := d.found
	text, at := o.text("type", true)
	if at == nil {
		return false
	}
	s.kind = valueType(text)
	limits, known := limitsOf[s.kind]
	if !known {
		d.at(at, "type %s is not known; the types are %s", quote(text), strings.Join(typeNames(), ", "))
		return false
	}
	for _, key := range schemaKeys[1:] {
		if o.has(key) && !slices.Contains(limits, key) {
			d.at(o.entries[key].key, "%s does not go with type %s", key, s.kind)
		}
	}
	switch s.kind {
	case typeText:
		d.textLimits(o, s)
	case typeUint, typeInt:
		d.numberLimits(o, s)
	case typeBytes:
		s.maxLength = d.limit(o, "max_length", maxBytes, maxBytes)
	case typeArray:
		s.maxItems = d.limit(o, "max_items", defaultMaxItems, maxItems)
		s.minItems = d.limit(o, "min_items", 0, s.maxItems)
		s.single = o.boolean("single")
		d.items(o, s, depth)
	case typeMap:
		d.fields(o, s, depth)
		s.minFields = d.limit(o, "min_fields", 0, max(len(s.fields), 1))
	case typeBool, typeFullDate, typeTDate, typeEitherDate, typeAny:
	}
	return d.found == before
}

func typeNames() []string {
	return []string{
		string(typeText), string(typeUint), string(typeInt), string(typeBool), string(typeBytes), string(typeFullDate), string(typeTDate),
		string(typeEitherDate), string(typeArray), string(typeMap), string(typeAny),
	}
}

func (d *document) limit(o *object, key string, preset, highest int) int {
	if v, ok := o.number(key, false, 1, int64(highest)); ok {
		return int(v)
	}
	return preset
}

func (d *document) textLimits(o *object, s *schema) {
	s.maxLength = d.limit(o, "max_length", maxText, maxText)
	if expression, at := o.text("pattern", false); at != nil {
		compiled, err := regexp.Compile(`\A(?:` + expression + `)\z`)
		switch {
		case len(expression) > maxPattern:
			d.at(at, "pattern is longer than %d characters", maxPattern)
		case err != nil:
			d.at(at, "pattern is not a regular expression (RE2)")
		default:
			s.pattern = compiled
		}
	}
	d.enum(o, s)
}

func (d *document) numberLimits(o *object, s *schema) {
	lowest := int64(math.MinInt64)
	if s.kind == typeUint {
		lowest = 0
	}
	if v, ok := o.number("min", false, lowest, math.MaxInt64); ok {
		s.min = &v
	}
	if v, ok := o.number("max", false, lowest, math.MaxInt64); ok {
		s.max = &v
		if s.min != nil && v < *s.min {
			d.at(o.entries["max"].value, "max is below min")
		}
	}
	d.enum(o, s)
}

// enum reads a closed list. Its values obey the other limits, which have been read before.
func (d *document) enum(o *object, s *schema) {
	if !o.has("enum") {
		return
	}
	items := d.bounded(o, "enum", maxEnum)
	var seen names
	values := make([]any, 0, len(items))
	for _, n := range items {
		raw, ok := d.plain(n)
		if !ok {
			continue
		}
		if s.kind != typeText && isText(raw) {
			d.at(n, "the closed list of type %s holds numbers only", s.kind)
			continue
		}
		if value := d.fit(n, s, raw, "the value of the closed list"); value != nil {
			seen.add(d, n, "value", fmt.Sprint(value))
			values = append(values, value)
		}
	}
	s.enum = values
}

// fit converts a value of the file to the schema's type, or notes what is wrong with it.
func (d *document) fit(at ast.Node, s *schema, raw any, what string) any {
	var c conversion
	value := c.convert(s, raw)
	for _, misfit := range c.misfits {
		d.at(at, "%s%s", what, misfit)
	}
	if value == nil && len(c.misfits) == 0 {
		d.at(at, "%s is empty", what)
	}
	return value
}

func (d *document) items(o *object, s *schema, depth int) {
	n, ok := o.value("items", true)
	if !ok {
		return
	}
	if item := d.object(n, "items", schemaKeys...); item != nil && d.shallow(n, depth) {
		s.items = &schema{}
		d.schema(item, s.items, depth+1)
	}
}

func (d *document) fields(o *object, s *schema, depth int) {
	var seen names
	for _, n := range d.bounded(o, "fields", maxElements) {
		item := d.object(n, "a field", append([]string{"name", "mandatory"}, schemaKeys...)...)
		if item == nil || !d.shallow(n, depth) {
			continue
		}
		f := field{name: d.name(item, "name"), mandatory: item.boolean("mandatory")}
		if f.name != "" {
			seen.add(d, item.entries["name"].value, "field", f.name)
		}
		d.schema(item, &f.schema, depth+1)
		s.fields = append(s.fields, f)
	}
}

func (d *document) shallow(n ast.Node, depth int) bool {
	if depth >= maxFieldDepth {
		d.at(n, "arrays and maps are nested more than %d deep", maxFieldDepth)
		return false
	}
	return true
}

var sourceKinds = []sourceKind{sourcePerson, sourceAttribute, sourceImage, sourceConstant, sourceComputed, sourceFields}

// source reads where the element's value comes from. usable says whether the element's schema can be checked against.
func (d *document) source(n ast.Node, e *element, s *source, usable, mayFallBack bool) {
	keys := make([]string, 0, len(sourceKinds)+1)
	for _, kind := range sourceKinds {
		keys = append(keys, string(kind))
	}
	if mayFallBack {
		keys = append(keys, "else")
	}
	o := d.object(n, "source", keys...)
	if o == nil {
		return
	}
	for _, key := range o.keys {
		switch {
		case key == "else":
		case s.kind != "":
			d.at(o.entries[key].key, "a source is one of %s; this one has %s and %s", strings.Join(keys[:len(sourceKinds)], ", "), s.kind, key)
		default:
			s.kind = sourceKind(key)
		}
	}
	if s.kind == "" {
		d.at(o.node, "a source needs one of %s", strings.Join(keys[:len(sourceKinds)], ", "))
	} else {
		d.origin(o, e, s, usable)
	}
	if other, ok := o.value("else", false); ok && mayFallBack {
		s.fallback = &source{}
		d.source(other, e, s.fallback, usable, false)
	}
}

// origin reads what stands under the source's key.
func (d *document) origin(o *object, e *element, s *source, usable bool) {
	if s.kind == sourceConstant {
		if n, ok := o.value(string(s.kind), true); ok {
			if raw, ok := d.plain(n); ok && usable {
				s.constant = d.fit(n, &e.schema, raw, "the constant")
			}
		}
		return
	}
	if s.kind == sourceFields {
		d.parts(o, e, s, usable)
		return
	}
	text, at := o.text(string(s.kind), true)
	if at == nil {
		return
	}
	s.name = text
	var types []valueType
	switch s.kind {
	case sourcePerson:
		types = d.person(at, s)
	case sourceAttribute:
		if len(text) > maxName || strings.ContainsAny(text, " \t\r\n") {
			d.at(at, "attribute must be a name of at most %d characters without spaces", maxName)
		}
	case sourceImage:
		types = []valueType{typeBytes}
		if text != string(domain.ImagePortrait) && text != string(domain.ImageSignature) {
			d.at(at, "image must be %s or %s", domain.ImagePortrait, domain.ImageSignature)
		}
	case sourceComputed:
		types = d.computed(at, e, s)
	case sourceConstant, sourceFields:
	}
	if usable && len(types) > 0 && !slices.Contains(types, e.schema.kind) {
		d.at(at, "%s %s cannot be of type %s", s.kind, quote(text), e.schema.kind)
	}
}

// parts reads the sources of a map's fields.
func (d *document) parts(o *object, e *element, s *source, usable bool) {
	n, ok := o.value(string(sourceFields), true)
	if !ok {
		return
	}
	if usable && e.schema.kind != typeMap {
		d.at(o.entries[string(sourceFields)].key, "fields cannot be of type %s", e.schema.kind)
		usable = false
	}
	given := d.object(n, "fields")
	if given == nil {
		return
	}
	if len(given.keys) == 0 {
		d.at(n, "fields is empty")
	}
	s.fields = make([]*source, len(e.schema.fields))
	for _, name := range given.keys {
		part, at := element{identifier: name}, -1
		if usable {
			if at = slices.IndexFunc(e.schema.fields, func(f field) bool { return f.name == name }); at < 0 {
				d.at(given.entries[name].key, "the map has no field %s", quote(name))
			} else {
				part.schema = e.schema.fields[at].schema
			}
		}
		if from, ok := given.value(name, true); ok {
			origin := &source{}
			d.source(from, &part, origin, at >= 0, true)
			if at >= 0 {
				s.fields[at] = origin
			}
		}
	}
	for _, f := range e.schema.fields {
		if usable && f.mandatory && !given.has(f.name) {
			d.at(n, "field %s is mandatory and has no source", quote(f.name))
		}
	}
}

func (d *document) person(at ast.Node, s *source) []valueType {
	pick, known := personFields[s.name]
	if !known {
		d.at(at, "person has no field %s; its fields are %s", quote(s.name), strings.Join(sortedKeys(personFields), ", "))
		return nil
	}
	s.person = pick
	if s.name == "birth_date" {
		return []valueType{typeFullDate, typeEitherDate}
	}
	return []valueType{typeText}
}

func (d *document) computed(at ast.Node, e *element, s *source) []valueType {
	if argument, ok := strings.CutPrefix(s.name, "age_over("); ok && strings.HasSuffix(argument, ")") {
		return d.ageOver(at, e, s, strings.TrimSuffix(argument, ")"))
	}
	c, known := computations[s.name]
	if !known {
		d.at(at, "computed %s is not known; known are age_over(NN), %s", quote(s.name), strings.Join(sortedKeys(computations), ", "))
		return nil
	}
	s.computed = c.value
	return c.types
}

// ageOver also refuses an element age_over_NN that attests another age than its name says.
func (d *document) ageOver(at ast.Node, e *element, s *source, argument string) []valueType {
	years, err := strconv.Atoi(argument)
	if err != nil || years < 0 || years > maxAgeOver {
		d.at(at, "age_over takes an age from 0 to %d", maxAgeOver)
		return nil
	}
	if named := ageName.FindStringSubmatch(e.identifier); named != nil && named[1] != fmt.Sprintf("%02d", years) {
		d.at(at, "element %s cannot come from age_over(%d)", e.identifier, years)
	}
	s.computed = ageOver(years)
	return []valueType{typeBool}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
