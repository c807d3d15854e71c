package notify

import (
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
	checker := &treeChecker{name: name}
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
		case *parse.TextNode, *parse.CommentNode:
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
	}
}

func (c *treeChecker) argument(argument parse.Node, within bool) {
	switch node := argument.(type) {
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
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
	fields := kinds[c.name.kind].fields()
	switch {
	case len(idents) == 0:
		c.report(node, "name a field instead of printing everything")
	case len(idents) > 1:
		c.report(node, "a value has no fields")
	case slices.Contains(fields, idents[0]):
	case idents[0] == fieldLink || idents[0] == fieldCode:
		c.report(node, "."+idents[0]+" does not belong here: link and code must never be in one message")
	default:
		c.report(node, "unknown field ."+idents[0]+", known are ."+strings.Join(fields, ", ."))
	}
}

// checkSamples renders a template with all samples of its kind and looks at the result.
func checkSamples(name templateName, template executor) []*TemplateProblem {
	problem := func(text string) []*TemplateProblem { return []*TemplateProblem{{File: name.file(), Text: text}} }
	kind := kinds[name.kind]
	for _, sample := range kind.samples {
		values, err := sample.values(name.language)
		if err != nil {
			return problem("sample: " + err.Error())
		}
		text, err := execute(template, values)
		if err != nil {
			return []*TemplateProblem{problemOf(name, err)}
		}
		text = strings.TrimSpace(text)
		required := values[kind.required]
		switch {
		case text == "":
			return problem("renders to nothing")
		case name.part == partSubject && hasControl(text):
			return problem("subject must be one line")
		case name.part == partSubject && utf8.RuneCountInString(text) > maxSubject:
			return problem("subject is longer than " + strconv.Itoa(maxSubject) + " characters")
		case name.part == partSubject && strings.Contains(text, required):
			return problem("subject must not show ." + kind.required + ": notifications show it on locked screens")
		case name.part != partSubject && !strings.Contains(text, required):
			return problem("must always show ." + kind.required)
		case name.part == partSMS && utf8.RuneCountInString(text) > maxSMS:
			return problem("SMS is longer than " + strconv.Itoa(maxSMS) + " characters")
		}
	}
	return nil
}
