package format

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on files. They keep a hostile or damaged file from costing more than its size.
const (
	maxFileBytes = 256 << 10
	maxTokens    = 30_000 // the parser's time grows with the square of the keys of a map
	maxProblems  = 100
	maxFlowDepth = 16 // of [ and {
	maxLineDepth = 4  // of "- - -" in one line
	maxQuoted    = 60 // characters of a file's text repeated in a problem
)

// document collects the problems of one file while it is read.
type document struct {
	problems []Problem
	found    int // all problems, also those beyond maxProblems
}

func (d *document) problem(line, column int, format string, args ...any) {
	d.found++
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, Problem{Line: max(line, 1), Column: max(column, 1), Message: fmt.Sprintf(format, args...)})
	}
}

// at notes a problem at the start of a node.
func (d *document) at(n ast.Node, format string, args ...any) {
	p := start(n)
	d.problem(p.Line, p.Column, format, args...)
}

// start gives where a node begins as a reader sees it: a block mapping at its first key, not at the colon after it.
func start(n ast.Node) token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return token.Position{Line: 1, Column: 1}
	}
	return *n.GetToken().Position
}

// root parses the bytes and gives the top node, or nil after noting why there is none.
func (d *document) root(data []byte) ast.Node {
	if len(data) > maxFileBytes {
		d.problem(1, 1, "the file is larger than %d bytes", maxFileBytes)
		return nil
	}
	tokens := lexer.Tokenize(string(data))
	if len(tokens) > maxTokens {
		d.problem(1, 1, "the file has more than %d YAML tokens", maxTokens)
		return nil
	}
	if deep := tooDeep(tokens); deep != nil {
		d.problem(deep.Position.Line, deep.Position.Column, "is nested too deeply")
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		d.problem(1, 1, "the file must hold exactly one YAML document")
		return nil
	}
	return file.Docs[0].Body
}

func (d *document) syntax(err error) {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
		d.problem(at.GetToken().Position.Line, at.GetToken().Position.Column, "not YAML: %s", quotable(at.GetMessage()))
		return
	}
	d.problem(1, 1, "not YAML")
}

// tooDeep finds the token at which nesting passes what any format needs. The parser recurses, so this comes before it.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, line, inLine := 0, 0, 0
	for _, t := range tokens {
		if t.Position == nil {
			continue
		}
		if t.Position.Line != line {
			line, inLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			inLine++
		default:
		}
		if flow > maxFlowDepth || inLine > maxLineDepth {
			return t
		}
	}
	return nil
}

// object is a mapping whose keys have been checked.
type object struct {
	doc     *document
	node    ast.Node
	keys    []string // in the order of the file
	entries map[string]entry
}

type entry struct {
	key, value ast.Node
}

// object reads a mapping. Keys outside known (none given = any) and repeated keys are problems. A node that is no mapping is a problem and
// gives nil.
func (d *document) object(n ast.Node, what string, known ...string) *object {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.at(n, "%s must be a map", what)
		return nil
	}
	o := &object{doc: d, node: n, entries: map[string]entry{}}
	for _, pair := range m.Values {
		key, isText := pair.Key.(*ast.StringNode)
		switch {
		case !isText:
			d.at(pair.Key, "a key of %s must be plain text", what)
		case len(known) > 0 && !slices.Contains(known, key.Value):
			d.at(key, "%s has no key %s; its keys are %s", what, quote(key.Value), strings.Join(known, ", "))
		case o.has(key.Value):
			d.at(key, "key %s occurs twice", quote(key.Value))
		default:
			o.keys = append(o.keys, key.Value)
			o.entries[key.Value] = entry{key, pair.Value}
		}
	}
	return o
}

// at gives where the value of key begins.
func (o *object) at(key string) token.Position {
	return start(o.entries[key].value)
}

func (o *object) has(key string) bool {
	_, ok := o.entries[key]
	return ok
}

// value gives the node under key. A key that is there without a value is a problem; so is a missing key when it is needed.
func (o *object) value(key string, needed bool) (ast.Node, bool) {
	e, ok := o.entries[key]
	if !ok {
		if needed {
			o.doc.at(o.node, "%s is required", key)
		}
		return nil, false
	}
	if _, null := e.value.(*ast.NullNode); null || e.value == nil {
		o.doc.at(e.key, "%s has no value", key)
		return nil, false
	}
	return e.value, true
}

// text gives the text under key, with its node for further problems; the node is nil when there is no usable text.
func (o *object) text(key string, needed bool) (string, ast.Node) {
	n, ok := o.value(key, needed)
	if !ok {
		return "", nil
	}
	text, ok := textOf(n)
	switch {
	case !ok:
		o.doc.at(n, "%s must be text; put it in quotes", key)
	case strings.TrimSpace(text) == "":
		o.doc.at(n, "%s is empty", key)
	default:
		return text, n
	}
	return "", nil
}

// number gives the whole number under key when it is there and between low and high, and whether it is.
func (o *object) number(key string, needed bool, low, high int64) (int64, bool) {
	n, ok := o.value(key, needed)
	if !ok {
		return 0, false
	}
	var v int64
	i, ok := n.(*ast.IntegerNode)
	if ok {
		v, ok = asInt(i.Value)
	}
	if !ok || v < low || v > high {
		o.doc.at(n, "%s must be a whole number from %d to %d", key, low, high)
		return 0, false
	}
	return v, true
}

func (o *object) boolean(key string) bool {
	n, ok := o.value(key, false)
	if !ok {
		return false
	}
	b, ok := n.(*ast.BoolNode)
	if !ok {
		o.doc.at(n, "%s must be true or false", key)
		return false
	}
	return b.Value
}

// list gives the items under key; an empty list is a problem.
func (o *object) list(key string, needed bool) []ast.Node {
	n, ok := o.value(key, needed)
	if !ok {
		return nil
	}
	s, ok := n.(*ast.SequenceNode)
	if !ok || len(s.Values) == 0 {
		o.doc.at(n, "%s must be a list with at least one item", key)
		return nil
	}
	return s.Values
}

func textOf(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	}
	return "", false
}

// plain turns a node into what attributes hold. Anchors, aliases and tags are not part of format files.
func (d *document) plain(n ast.Node) (any, bool) {
	switch v := n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return textOf(n)
	case *ast.IntegerNode:
		return integer(v.Value), true
	case *ast.FloatNode:
		return v.Value, true
	case *ast.BoolNode:
		return v.Value, true
	case *ast.SequenceNode:
		list := make([]any, 0, len(v.Values))
		for _, item := range v.Values {
			value, ok := d.plain(item)
			if !ok {
				return nil, false
			}
			list = append(list, value)
		}
		return list, true
	case *ast.MappingNode:
		return d.plainMap(n)
	}
	d.at(n, "must be text, a number, true, false, a list or a map")
	return nil, false
}

func (d *document) plainMap(n ast.Node) (any, bool) {
	o := d.object(n, "the value")
	if o == nil {
		return nil, false
	}
	m := make(map[string]any, len(o.keys))
	for _, key := range o.keys {
		value, ok := d.plain(o.entries[key].value)
		if !ok {
			return nil, false
		}
		m[key] = value
	}
	return m, true
}

// integer brings the parser's numbers, unsigned unless negative, to one type as far as possible, so that closed lists compare.
func integer(v any) any {
	if n, ok := asInt(v); ok {
		return n
	}
	return v
}

// quote repeats a little of the file in a problem.
func quote(text string) string { return fmt.Sprintf("%q", quotable(text)) }

func quotable(text string) string {
	if runes := []rune(text); len(runes) > maxQuoted {
		return string(runes[:maxQuoted]) + "…"
	}
	return text
}
