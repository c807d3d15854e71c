package domain

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Group is a node of the tree of departments and divisions (A2).
type Group struct {
	ID        string
	ParentID  string // empty = at the top
	Name      string // unique among the groups with the same parent
	Path      string // the names from the top down, joined by GroupSeparator
	Version   int    // grows with every change
	CreatedAt time.Time
	UpdatedAt time.Time
}

// GroupSeparator joins the names of a path; no name has it.
const GroupSeparator = "/"

// Bounds of the tree.
const (
	MaxGroupDepth = 20
	MaxGroupPath  = 600 // characters of a path; a database index must hold it
)

// PathBelow gives the path of a group of that name below a parent's path; empty = at the top.
func PathBelow(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + GroupSeparator + name
}

// Depth gives how many names the path has.
func (g Group) Depth() int { return strings.Count(g.Path, GroupSeparator) + 1 }

// CheckGroupName reports what is wrong with a group's name.
func CheckGroupName(name string) Problems {
	var ps Problems
	checkText(&ps, "name", name, true)
	if strings.Contains(name, GroupSeparator) {
		ps.Add("name", "must not have a %s", GroupSeparator)
	}
	if name != strings.TrimSpace(name) {
		ps.Add("name", "must not start or end with spaces")
	}
	return ps
}

// CheckGroupPath reports what is wrong with a path whose names are good: too many, or too long together.
func CheckGroupPath(path string) Problems {
	var ps Problems
	if (Group{Path: path}).Depth() > MaxGroupDepth {
		ps.Add("name", "makes the tree deeper than %d groups", MaxGroupDepth)
	}
	if utf8.RuneCountInString(path) > MaxGroupPath {
		ps.Add("name", "makes a path longer than %d characters", MaxGroupPath)
	}
	return ps
}
