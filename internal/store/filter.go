package store

import (
	"strconv"
	"strings"

	"github.com/mdocket/mdocket/internal/domain"
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

// within narrows a query to rows whose column names a person that the set holds.
func (f *filter) within(column string, w domain.Within) {
	switch {
	case w.All:
	case w.Nobody():
		f.add("1 = 0")
	case w.GroupID == "":
		f.add(column+" = ?", w.PersonID)
	default:
		f.add("("+column+" = ? OR "+column+" IN (SELECT id FROM persons WHERE group_id IN ("+groupSet(w.Below)+")))", w.PersonID, w.GroupID)
	}
}

// inGroup adds that the column names the group or, with below, a group below it.
func (f *filter) inGroup(column, id string, below bool) {
	f.add(column+" IN ("+groupSet(below)+")", id)
}

// groupSet is a set of group ids with one argument, the group at its top.
func groupSet(below bool) string {
	if !below {
		return "?"
	}
	return `WITH RECURSIVE below (id) AS (SELECT id FROM groups WHERE id = ? UNION ALL
		SELECT g.id FROM groups g JOIN below ON g.parent_id = below.id) SELECT id FROM below`
}

// text adds column = value or, where value ends in *, that it starts with what is before; nothing when value is empty.
func (f *filter) text(column, value string) {
	if prefix, ok := strings.CutSuffix(value, "*"); ok {
		f.startsWith(column, prefix)
		return
	}
	f.equal(column, value)
}

// oneOf adds column IN (values). The last value is said again until their number is a power of two, so that there are few texts to be prepared.
func (f *filter) oneOf(column string, values []string) {
	n := 1
	for n < len(values) {
		n *= 2
	}
	args := make([]any, n)
	for i := range args {
		args[i] = values[min(i, len(values)-1)]
	}
	f.add(column+" IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
}

// startsWith adds that the column's text starts with prefix. The column must compare by bytes (COLLATE "C" on PostgreSQL).
func (f *filter) startsWith(column, prefix string) {
	if prefix == "" {
		f.add(column + " <> ''")
	} else {
		f.add(column+" >= ? AND "+column+" < ?", prefix, prefix+"\U0010FFFF")
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
