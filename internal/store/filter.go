package store

import (
	"strconv"
	"strings"
)

// filter collects conditions and their arguments for one query.
type filter struct {
	conds []string
	args  []any
}

// add notes a condition with one "?" for each argument.
func (f *filter) add(cond string, args ...any) {
	var b strings.Builder
	for _, r := range cond {
		if r == '?' {
			f.args = append(f.args, args[0])
			args = args[1:]
			b.WriteString("$" + strconv.Itoa(len(f.args)))
			continue
		}
		b.WriteRune(r)
	}
	f.conds = append(f.conds, b.String())
}

// equal adds column = value unless value is empty.
func (f *filter) equal(column, value string) {
	if value != "" {
		f.add(column+" = ?", value)
	}
}

// where gives " WHERE …" or nothing.
func (f *filter) where() string {
	if len(f.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conds, " AND ")
}

// Page asks for one keyset page. After is the id the last page ended with; empty starts at the beginning.
type Page struct {
	After string
	Limit int
}

// newestFirst finishes a query over ids that grow with time.
func (p Page) newestFirst(f *filter) string {
	if p.After != "" {
		f.add("id < ?", p.After)
	}
	return f.where() + " ORDER BY id DESC LIMIT " + strconv.Itoa(p.Limit)
}
