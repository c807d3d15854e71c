package store_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

func group(t *testing.T, b backend, parent domain.Group, name string) domain.Group {
	t.Helper()
	g := domain.Group{ID: id(), ParentID: parent.ID, Name: name, Path: domain.PathBelow(parent.Path, name), Version: 1, CreatedAt: kept, UpdatedAt: kept}
	require.NoError(t, b.InsertGroup(t.Context(), g))
	return g
}

func TestGroups(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		top := group(t, b, domain.Group{}, "Top")
		left, right := group(t, b, top, "Left"), group(t, b, top, "Right")
		leaf := group(t, b, left, "Leaf")
		require.Equal(t, "Top/Left/Leaf", leaf.Path)
		require.Equal(t, 3, leaf.Depth())
		require.ErrorIs(t, b.InsertGroup(ctx, domain.Group{ID: id(), Name: "Top", Path: "Top", CreatedAt: kept, UpdatedAt: kept}), store.ErrExists)

		got, err := b.Group(ctx, leaf.ID)
		require.NoError(t, err)
		require.Equal(t, leaf, got)
		got, err = b.GroupByPath(ctx, "Top/Right")
		require.NoError(t, err)
		require.Equal(t, right, got)
		all, err := b.Groups(ctx)
		require.NoError(t, err)
		require.Equal(t, []domain.Group{top, left, leaf, right}, all)
		below, err := b.GroupsBelow(ctx, left.ID)
		require.NoError(t, err)
		require.Equal(t, []domain.Group{left, leaf}, below)

		moved := leaf
		moved.ParentID, moved.Name, moved.Path, moved.Version = right.ID, "Blade", "Top/Right/Blade", 2
		require.NoError(t, b.UpdateGroup(ctx, moved))
		require.ErrorIs(t, b.UpdateGroup(ctx, moved), store.ErrChanged)
		require.NoError(t, b.SetGroupPath(ctx, left.ID, "Top/Links"))
		require.ErrorIs(t, b.SetGroupPath(ctx, left.ID, "Top/Right"), store.ErrExists)

		require.ErrorIs(t, b.DeleteGroup(ctx, right.ID), store.ErrChanged, "it has a group")
		require.NoError(t, b.DeleteGroup(ctx, moved.ID))
		p := insertSamples(t, b).person
		p.GroupID, p.Version = right.ID, p.Version+1
		require.NoError(t, b.UpdatePerson(ctx, p))
		require.ErrorIs(t, b.DeleteGroup(ctx, right.ID), store.ErrChanged, "it has a person")
		read, err := b.Person(ctx, p.ID)
		require.NoError(t, err)
		require.Equal(t, "Top/Right", read.Group)
	})
}

// TestWithin compares what the database says of a set of people with a walk over the tree, while groups and people move at random.
func TestWithin(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx, dice := t.Context(), rand.New(rand.NewPCG(3, 4))
		parents := map[string]string{} // group to parent
		versions := map[string]int{}
		var groups, people []string
		for range 8 {
			parent := ""
			if len(groups) > 0 && dice.IntN(4) > 0 {
				parent = groups[dice.IntN(len(groups))]
			}
			g := domain.Group{ID: id(), ParentID: parent, Name: "n", Version: 1, CreatedAt: kept, UpdatedAt: kept}
			g.Path = g.ID
			require.NoError(t, b.InsertGroup(ctx, g))
			groups, parents[g.ID], versions[g.ID] = append(groups, g.ID), parent, 1
		}
		member := map[string]string{} // person to group
		persons := map[string]domain.Person{}
		for range 12 {
			p := domain.Person{ID: id(), GivenName: "A", FamilyName: "B", Status: domain.PersonActive, Version: 1, CreatedAt: kept, UpdatedAt: kept}
			if dice.IntN(5) > 0 {
				p.GroupID = groups[dice.IntN(len(groups))]
			}
			require.NoError(t, b.InsertPerson(ctx, p))
			people, member[p.ID], persons[p.ID] = append(people, p.ID), p.GroupID, p
		}
		above := func(g, top string) bool { // g is top or below it
			for ; g != ""; g = parents[g] {
				if g == top {
					return true
				}
			}
			return false
		}
		holds := func(w domain.Within, person string) bool {
			g := member[person]
			return w.All || person == w.PersonID && person != "" || w.GroupID != "" && (g == w.GroupID || w.Below && above(g, w.GroupID))
		}
		for range 40 {
			switch g := groups[dice.IntN(len(groups))]; dice.IntN(2) {
			case 0:
				to := groups[dice.IntN(len(groups))]
				if above(to, g) {
					continue // it would hang below itself
				}
				versions[g]++
				parents[g] = to
				require.NoError(t, b.UpdateGroup(ctx, domain.Group{ID: g, ParentID: to, Name: "n", Path: g, Version: versions[g], UpdatedAt: kept}))
			default:
				p := persons[people[dice.IntN(len(people))]]
				p.GroupID, p.Version = g, p.Version+1
				require.NoError(t, b.UpdatePerson(ctx, p))
				member[p.ID], persons[p.ID] = g, p
			}
			viewer := people[dice.IntN(len(people))]
			for _, w := range []domain.Within{{}, {All: true}, {PersonID: viewer}, {PersonID: viewer, GroupID: member[viewer]},
				{PersonID: viewer, GroupID: member[viewer], Below: true}, {GroupID: groups[0], Below: true}} {
				want := map[string]bool{}
				for _, p := range people {
					if holds(w, p) {
						want[p] = true
					}
				}
				got, err := b.PersonsWithin(ctx, w, people...)
				require.NoError(t, err)
				require.Equal(t, want, got, "%+v", w)
				list, err := b.People(ctx, store.PersonFilter{Within: w}, store.Page{Limit: 100})
				require.NoError(t, err)
				var ids []string
				for _, p := range list {
					ids = append(ids, p.ID)
				}
				require.ElementsMatch(t, slices.Collect(maps.Keys(want)), ids, "%+v", w)
			}
		}
	})
}
