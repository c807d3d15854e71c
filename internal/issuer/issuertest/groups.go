package issuertest

import (
	"errors"
	"strings"
	"testing"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/store"
)

// PersonGroup is the path of the group that [NewPerson] is in; [New] makes it.
const PersonGroup = "Traffic/Licences"

// Group gives the group of a path; what is missing of it is made.
func (f *Fixture) Group(t testing.TB, path string) domain.Group {
	t.Helper()
	var g domain.Group
	for name := range strings.SplitSeq(path, domain.GroupSeparator) {
		parent := g
		var err error
		g, err = f.Store.GroupByPath(t.Context(), domain.PathBelow(parent.Path, name))
		if errors.Is(err, store.ErrNotFound) {
			g, err = f.Issuer.CreateGroup(t.Context(), f.admin, "", issuer.NewGroup{Name: name, ParentID: parent.ID})
		}
		check(t, "make group", err)
	}
	return g
}
