package notify

import (
	"errors"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
	"unicode/utf8"
)

// parseAndCheck parses one template and finds everything wrong with it: what it asks for, by its syntax tree, and what it
// makes of sample data.
func parseAndCheck(name templateName, source string) (executor, []*TemplateProblem) {
	template, syntax, err := parseSource(name, source)
	if err != nil {
		return template, []*TemplateProblem{problemOf(name, err)}
	}
	checker := &treeChecker{name: name, fields: name.kind.Fields(), words: kinds[name.kind].words}
	checker.check(syntax)
	if len(checker.problems) > 0 {
		return template, checker.problems
	}
	return template, checkSamples(name, template)
}

// locatedPattern finds the place in the texts of both template libraries.
var locatedPattern = regexp.MustCompile(`^(?:html/)?template: ?[^:]*:([0-9]+)(?::[0-9]+)?: (?s:(.*))$`)

func problemOf(name templateName, err error) *TemplateProblem {
	problem := &TemplateProblem{File: name.file(), Text: err.Error()}
	if found := locatedPattern.FindStringSubmatch(err.Error()); found != nil {
		if line, err := strconv.Atoi(found[1]); err == nil {
			problem.Line, problem.Text = line, found[2]
		}
	}
	return problem
}

// treeChecker goes through a syntax tree, so that branches which the samples do not take are checked too.
type treeChecker struct {
	name     templateName
	fields   []string
	words    map[string][]string
	tree     *parse.Tree
	problems []*TemplateProblem
}

// functions are those that cannot make a short template into a long text.
var functions = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len"}

func (c *treeChecker) check(template *texttemplate.Template) {
	for _, part := range template.Templates() {
		if part.Tree == nil {
			continue
		}
		c.tree = part.Tree
		if part.Name() != template.Name() {
			c.report(part.Root, "templates within templates are not supported")
			continue
		}
		c.list(part.Root, false)
	}
}

func (c *treeChecker) report(node parse.Node, text string) {
	location, _ := c.tree.ErrorContext(node)
	c.problems = append(c.problems, problemOf(c.name, locatedError{location, text}))
}

// locatedError has the shape of the library's own errors.
type locatedError struct{ location, text string }

func (e locatedError) Error() string { return "template: " + e.location + ": " + e.text }

// list checks a list of nodes; within says that dot is the value of a "with", not the data.
func (c *treeChecker) list(list *parse.ListNode, within bool) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch node := node.(type) {
		case *parse.CommentNode:
		case *parse.TextNode:
			c.text(node)
		case *parse.ActionNode:
			c.pipe(node.Pipe, within)
		case *parse.IfNode:
			c.pipe(node.Pipe, within)
			c.list(node.List, within)
			c.list(node.ElseList, within)
		case *parse.WithNode:
			c.pipe(node.Pipe, within)
			c.list(node.List, true)
			c.list(node.ElseList, within)
		case *parse.TemplateNode:
			c.report(node, "templates within templates are not supported")
		default:
			c.report(node, "this action is not supported: there is nothing to loop over")
		}
	}
}

func (c *treeChecker) pipe(pipe *parse.PipeNode, within bool) {
	if pipe == nil {
		return
	}
	for _, command := range pipe.Cmds {
		for _, argument := range command.Args {
			c.argument(argument, within)
		}
		c.comparison(command)
	}
}

// comparison holds enumerated fields to comparisons with words that exist: a misspelt word would silently never be true, and a
// word by itself is in no language.
func (c *treeChecker) comparison(command *parse.CommandNode) {
	function, _ := command.Args[0].(*parse.IdentifierNode)
	compares := function != nil && (function.Ident == "eq" || function.Ident == "ne")
	for _, argument := range command.Args {
		field := fieldOf(argument)
		known, enumerated := c.words[field]
		if !enumerated {
			continue
		}
		if !compares {
			c.report(argument, "."+field+` is not for readers: write a text for each, as in {{if eq .`+field+` "`+known[0]+`"}}`)
			continue
		}
		for _, other := range command.Args[1:] {
			if word, ok := other.(*parse.StringNode); ok && !slices.Contains(known, word.Text) {
				c.report(word, "."+field+" is never "+word.Quoted+", known are "+strings.Join(known, ", "))
			}
		}
	}
}

// fieldOf gives the name of the field that a node is, if it is one.
func fieldOf(node parse.Node) string {
	switch node := node.(type) {
	case *parse.FieldNode:
		return node.Ident[0]
	case *parse.VariableNode:
		if node.Ident[0] == "$" && len(node.Ident) > 1 {
			return node.Ident[1]
		}
	default:
	}
	return ""
}

var (
	// linkPattern finds what mail programs make into links.
	linkPattern = regexp.MustCompile(`(?i)://|\bwww\.`)
	// schemaPattern finds where HTML names its own schemas by addresses.
	schemaPattern = regexp.MustCompile(`(?is)<!doctype[^>]*>|\bxmlns(?::\w+)?\s*=\s*(?:"[^"]*"|'[^']*')`)
)

// text refuses addresses written out beside a code: whoever gets hold of the message would have all that signing in takes, and
// readers would learn to follow links beside codes.
func (c *treeChecker) text(node *parse.TextNode) {
	if !slices.Contains(c.fields, fieldCode) {
		return
	}
	text := schemaPattern.ReplaceAllStringFunc(string(node.Text), func(schema string) string { return strings.Repeat(" ", len(schema)) })
	for _, found := range linkPattern.FindAllStringIndex(text, -1) {
		// A node of its own, for the line is counted from where it begins.
		c.report(&parse.TextNode{NodeType: parse.NodeText, Pos: node.Pos + parse.Pos(found[0])}, linkBesideCode)
	}
}

const linkBesideCode = "no link belongs here: link and code must never be in one message"

func (c *treeChecker) argument(argument parse.Node, within bool) {
	switch node := argument.(type) {
	case *parse.StringNode:
		if slices.Contains(c.fields, fieldCode) && linkPattern.MatchString(node.Text) {
			c.report(node, linkBesideCode)
		}
	case *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
	case *parse.FieldNode:
		if within {
			c.report(node, "within \"with\" write $."+node.Ident[0])
			return
		}
		c.field(node, node.Ident)
	case *parse.VariableNode:
		if node.Ident[0] == "$" {
			c.field(node, node.Ident[1:])
		} else if len(node.Ident) > 1 {
			c.report(node, "a value has no fields")
		}
	case *parse.DotNode:
		if !within {
			c.report(node, "name a field instead of printing everything")
		}
	case *parse.IdentifierNode:
		if !slices.Contains(functions, node.Ident) {
			c.report(node, "function "+node.Ident+" is not supported")
		}
	case *parse.PipeNode:
		c.pipe(node, within)
	default:
		c.report(node, "a value has no fields")
	}
}

func (c *treeChecker) field(node parse.Node, idents []string) {
	switch {
	case len(idents) == 0:
		c.report(node, "name a field instead of printing everything")
	case len(idents) > 1:
		c.report(node, "a value has no fields")
	case slices.Contains(c.fields, idents[0]):
	case idents[0] == fieldLink || idents[0] == fieldCode:
		c.report(node, "."+idents[0]+" does not belong here: link and code must never be in one message")
	default:
		c.report(node, "unknown field ."+idents[0]+", known are ."+strings.Join(c.fields, ", ."))
	}
}

// checkSamples renders a template with all samples of its kind and looks at the results.
func checkSamples(name templateName, template executor) []*TemplateProblem {
	var problems []*TemplateProblem
	for _, sample := range kinds[name.kind].samples {
		var problem *TemplateProblem
		if values, err := sample.values(name.language); err != nil {
			problem = &TemplateProblem{File: name.file(), Text: "sample: " + err.Error()}
		} else if text, err := execute(template, values); err != nil {
			problem = problemOf(name, err)
		} else if err := checkText(name, strings.TrimSpace(text), values); err != nil {
			problem = &TemplateProblem{File: name.file(), Text: err.Error()}
		}
		if problem != nil && !slices.ContainsFunc(problems, func(p *TemplateProblem) bool { return *p == *problem }) {
			problems = append(problems, problem)
		}
	}
	return problems
}

// checkText looks at what a template makes of sample values.
func checkText(name templateName, text string, values map[string]string) error {
	length := utf8.RuneCountInString(text)
	if text == "" {
		return errors.New("renders to nothing")
	}
	if name.part == partSubject {
		for _, field := range privateFields {
			if value := values[field]; value != "" && strings.Contains(text, value) {
				return errors.New("subject must not show ." + field + ": notifications show it on locked screens")
			}
		}
		switch {
		case hasControl(text):
			return errors.New("subject must be one line")
		case length > maxSubject:
			return errors.New("subject is longer than " + strconv.Itoa(maxSubject) + " characters")
		}
		return nil
	}
	shown := text
	if name.part == partHTML {
		shown = html.UnescapeString(text)
	}
	required := kinds[name.kind].required
	switch {
	case !strings.Contains(shown, values[required]):
		return errors.New("must always show ." + required)
	case name.part == partSMS && length > maxSMS:
		return errors.New("SMS is longer than " + strconv.Itoa(maxSMS) + " characters")
	}
	return nil
}
