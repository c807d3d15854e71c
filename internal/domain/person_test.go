package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

func TestSameIdentity(t *testing.T) {
	base := func() domain.Person {
		return domain.Person{ID: "1", GivenName: "Ada", FamilyName: "B", BirthDate: "1990-01-01", Email: "a@b.example", Version: 3,
			Attributes: map[string]any{"sex": 2.0, "list": []any{"a", map[string]any{"b": true}}}}
	}
	for name, c := range map[string]struct {
		change func(p *domain.Person)
		same   bool
	}{
		"nothing":            {func(*domain.Person) {}, true},
		"given name":         {func(p *domain.Person) { p.GivenName = "ada" }, false},
		"family name":        {func(p *domain.Person) { p.FamilyName = "" }, false},
		"birth date":         {func(p *domain.Person) { p.BirthDate = "" }, false},
		"attribute":          {func(p *domain.Person) { p.Attributes["sex"] = 1.0 }, false},
		"attribute's type":   {func(p *domain.Person) { p.Attributes["sex"] = "2" }, false},
		"deep inside":        {func(p *domain.Person) { p.Attributes["list"] = []any{"a", map[string]any{"b": false}} }, false},
		"one more":           {func(p *domain.Person) { p.Attributes["x"] = nil }, false},
		"one less":           {func(p *domain.Person) { delete(p.Attributes, "sex") }, false},
		"none":               {func(p *domain.Person) { p.Attributes = nil }, false},
		"same number":        {func(p *domain.Person) { p.Attributes["sex"] = 2 }, true},
		"not to be compared": {func(p *domain.Person) { p.Attributes["sex"] = func() {} }, false},
		"all but identity": {func(p *domain.Person) {
			p.ID, p.Email, p.Mobile, p.GroupID, p.Status, p.MaxExpiry, p.Version = "2", "", "1", "g", domain.PersonInactive, "2030-01-01", 9
		}, true},
	} {
		p, q := base(), base()
		c.change(&q)
		require.Equal(t, c.same, p.SameIdentity(&q), name)
		require.Equal(t, c.same, q.SameIdentity(&p), name)
	}
	none, empty := domain.Person{}, domain.Person{Attributes: map[string]any{}}
	require.True(t, none.SameIdentity(&empty))
	require.False(t, none.Erased())
	none.ErasedAt = time.Unix(0, 0)
	require.True(t, none.Erased())
}

func TestPersonsGroupPath(t *testing.T) {
	p := domain.Person{GivenName: "A", FamilyName: "B", Status: domain.PersonActive}
	for path, good := range map[string]bool{"": true, "Division/Department": true, strings.Repeat("ä", domain.MaxGroupPath): true,
		strings.Repeat("ä", domain.MaxGroupPath+1): false, "a\nb": false, "\xff": false, "a\x00": false} {
		p.Group = path
		require.Equal(t, good, len(p.Check()) == 0, path)
	}
}

func TestGroupPaths(t *testing.T) {
	require.Equal(t, "A", domain.PathBelow("", "A"))
	require.Equal(t, "A/B", domain.PathBelow("A", "B"))
	deepest := strings.TrimSuffix(strings.Repeat("a/", domain.MaxGroupDepth), "/")
	for path, good := range map[string]bool{"A": true, deepest: true, deepest + "/a": false, strings.Repeat("ü", domain.MaxGroupPath): true,
		strings.Repeat("ü", domain.MaxGroupPath+1): false} {
		require.Equal(t, good, len(domain.CheckGroupPath(path)) == 0, path)
		require.Equal(t, strings.Count(path, "/")+1, domain.Group{Path: path}.Depth())
	}
	for name, good := range map[string]bool{"A": true, "Ä ö": true, "": false, " ": false, " A": false, "A ": false, "a/b": false, "a\tb": false,
		"\xff": false, strings.Repeat("a", 150): true, strings.Repeat("a", 151): false} {
		require.Equal(t, good, len(domain.CheckGroupName(name)) == 0, "%q", name)
	}
}
