package issuer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func pathsOf(groups []issuer.GroupView) []string {
	out := make([]string, len(groups))
	for i, g := range groups {
		out[i] = g.Path
	}
	return out
}

func TestGroups(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, admin := t.Context(), f.Admin()
		a, err := f.Issuer.CreateGroup(ctx, admin, "key", issuer.NewGroup{Name: "A"})
		require.NoError(t, err)
		require.Equal(t, 1, a.Version)
		again, err := f.Issuer.CreateGroup(ctx, admin, "key", issuer.NewGroup{Name: "A"})
		require.NoError(t, err)
		require.Equal(t, a, again)
		ab, err := f.Issuer.CreateGroup(ctx, admin, "", issuer.NewGroup{Name: "B", ParentID: a.ID})
		require.NoError(t, err)
		require.Equal(t, "A/B", ab.Path)
		abc := f.Group(t, "A/B/C")
		f.Group(t, "A B") // sorts between A and A/B as text, but not as a tree
		person := f.Person(t, func(p *domain.Person) { p.Group = "A/B/C" })
		require.Equal(t, abc.ID, person.GroupID)
		require.Equal(t, "A/B/C", person.Group)

		all, err := f.Issuer.Groups(ctx, admin, true)
		require.NoError(t, err)
		require.Equal(t, []string{"A", "A/B", "A/B/C", "A B", "Traffic", "Traffic/Licences"}, pathsOf(all))
		require.Equal(t, []int{0, 0, 1, 0, 0, 0}, []int{all[0].People, all[1].People, all[2].People, all[3].People, all[4].People, all[5].People})

		str := func(s string) *string { return &s }
		long := strings.Repeat("ä", 150)
		deep := "0"
		for i := 1; i < domain.MaxGroupDepth; i++ {
			deep += fmt.Sprintf("/%d", i)
		}
		deepest := f.Group(t, deep)
		wide := f.Group(t, long+"/"+long+"/"+long)
		for name, c := range map[string]struct {
			do    func() error
			code  domain.Code
			field string
		}{
			"no name":         {func() error { return createGroup(f, admin, "", "") }, domain.CodeInvalid, "name"},
			"separator":       {func() error { return createGroup(f, admin, "A/B", "") }, domain.CodeInvalid, "name"},
			"spaces":          {func() error { return createGroup(f, admin, " A", "") }, domain.CodeInvalid, "name"},
			"line break":      {func() error { return createGroup(f, admin, "A\nB", "") }, domain.CodeInvalid, "name"},
			"long name":       {func() error { return createGroup(f, admin, long+"x", "") }, domain.CodeInvalid, "name"},
			"not text":        {func() error { return createGroup(f, admin, "\xff", "") }, domain.CodeInvalid, "name"},
			"taken":           {func() error { return createGroup(f, admin, "A", "") }, domain.CodeConflict, ""},
			"taken below":     {func() error { return createGroup(f, admin, "B", a.ID) }, domain.CodeConflict, ""},
			"no such parent":  {func() error { return createGroup(f, admin, "X", "none") }, domain.CodeInvalid, "parent_id"},
			"too deep":        {func() error { return createGroup(f, admin, "X", deepest.ID) }, domain.CodeInvalid, "name"},
			"path too long":   {func() error { return createGroup(f, admin, long, wide.ID) }, domain.CodeInvalid, "name"},
			"unknown":         {func() error { return changeGroup(f, admin, "none", issuer.GroupChange{Version: 1}) }, domain.CodeNotFound, ""},
			"other version":   {func() error { return changeGroup(f, admin, a.ID, issuer.GroupChange{Name: str("X"), Version: 2}) }, domain.CodeConflict, ""},
			"bad name":        {func() error { return changeGroup(f, admin, a.ID, issuer.GroupChange{Name: str(""), Version: 1}) }, domain.CodeInvalid, "name"},
			"below itself":    {func() error { return changeGroup(f, admin, a.ID, issuer.GroupChange{ParentID: &a.ID, Version: 1}) }, domain.CodeInvalid, "parent_id"},
			"below its child": {func() error { return changeGroup(f, admin, a.ID, issuer.GroupChange{ParentID: &abc.ID, Version: 1}) }, domain.CodeInvalid, "parent_id"},
			"below nothing": {func() error {
				return changeGroup(f, admin, a.ID, issuer.GroupChange{ParentID: str("none"), Version: 1})
			}, domain.CodeInvalid, "parent_id"},
			"children too deep": {func() error {
				return changeGroup(f, admin, ab.ID, issuer.GroupChange{ParentID: &deepest.ParentID, Version: 1})
			}, domain.CodeInvalid, "name"},
			"children's paths too long": {func() error {
				return changeGroup(f, admin, ab.ID, issuer.GroupChange{ParentID: &wide.ID, Name: str(long), Version: 1})
			}, domain.CodeInvalid, "name"},
			"onto a name that is taken": {func() error {
				return changeGroup(f, admin, ab.ID, issuer.GroupChange{ParentID: str(""), Name: str("A"), Version: 1})
			}, domain.CodeConflict, ""},
			"delete with people": {func() error { return f.Issuer.DeleteGroup(ctx, admin, abc.ID) }, domain.CodeNotEmpty, ""},
			"delete with groups": {func() error { return f.Issuer.DeleteGroup(ctx, admin, a.ID) }, domain.CodeNotEmpty, ""},
			"delete nothing":     {func() error { return f.Issuer.DeleteGroup(ctx, admin, "none") }, domain.CodeNotFound, ""},
			"no permission":      {func() error { return createGroup(f, operator(t, f, "reader", domain.PermPeopleRead), "X", "") }, domain.CodeForbidden, ""},
		} {
			head := f.AuditHead(t)
			if name == "no permission" {
				head += 3 // making the account
			}
			err := c.do()
			codeIs(t, c.code, err, name)
			if c.field != "" {
				require.Equal(t, c.field, fieldsOf(t, err)[0], name)
			}
			require.Equal(t, head, f.AuditHead(t), "%s changed something", name)
		}

		moved, err := f.Issuer.ChangeGroup(ctx, admin, ab.ID, issuer.GroupChange{Name: str("Bé"), ParentID: str(""), Version: 1})
		require.NoError(t, err)
		require.Equal(t, 2, moved.Version)
		require.Equal(t, "Bé", moved.Path, "composed")
		require.Empty(t, moved.ParentID)
		read, err := f.Issuer.Person(ctx, admin, person.ID)
		require.NoError(t, err)
		require.Equal(t, "Bé/C", read.Group, "people follow")
		require.Equal(t, person.Version, read.Version)
		entries, err := f.Issuer.Audit(ctx, admin, issuer.AuditFilter{Action: "group.change"}, 0, 0)
		require.NoError(t, err)
		require.Equal(t, map[string]domain.Change{"path": {Before: "A/B", After: "Bé"}}, entries[0].Changes)

		require.NoError(t, f.Issuer.DeleteGroup(ctx, admin, a.ID))
		_, err = f.Issuer.Group(ctx, admin, a.ID)
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.ErasePerson(ctx, admin, person.ID, issuer.Erase{Reason: domain.ReasonLeft, Confirm: person.ID})
		require.NoError(t, err)
		require.NoError(t, f.Issuer.DeleteGroup(ctx, admin, abc.ID), "whoever is erased does not hold a group")
	})
}

func createGroup(f *issuertest.Fixture, caller domain.Caller, name, parentID string) error {
	_, err := f.Issuer.CreateGroup(context.Background(), caller, "", issuer.NewGroup{Name: name, ParentID: parentID})
	return err
}

func changeGroup(f *issuertest.Fixture, caller domain.Caller, id string, c issuer.GroupChange) error {
	_, err := f.Issuer.ChangeGroup(context.Background(), caller, id, c)
	return err
}

// officer gives a caller whose person is in the group, with the permissions in the scope.
func officer(t *testing.T, f *issuertest.Fixture, name, group string, scope domain.Scope, permissions ...domain.Permission) domain.Caller {
	t.Helper()
	p := f.Person(t, func(p *domain.Person) { p.Group = group })
	grants := issuertest.Grants{}
	for _, permission := range permissions {
		grants[permission] = scope
	}
	return f.Caller(t, name, p.ID, grants)
}

func TestGroupScopes(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		own, below, beside := f.Group(t, "Top/Own"), f.Group(t, "Top/Own/Below"), f.Group(t, "Top/Beside")
		leaf := f.Group(t, "Top/Own/Below/Leaf")
		division := officer(t, f, "division", "Top/Own", domain.ScopeDivision, domain.PermGroups)
		department := officer(t, f, "department", "Top/Own", domain.ScopeDepartment, domain.PermGroups, domain.PermPeopleRead)
		nowhere := f.Caller(t, "nowhere", "", issuertest.Grants{domain.PermGroups: domain.ScopeDivision})
		seesAll := officer(t, f, "sees-all", "Top/Own", domain.ScopeDivision, domain.PermGroups)
		seesAll.Grants[domain.PermPeopleRead] = domain.ScopeAll

		for name, c := range map[string]struct {
			caller domain.Caller
			want   []string
		}{
			"division":   {division, []string{"Top/Own", "Top/Own/Below", "Top/Own/Below/Leaf"}},
			"department": {department, []string{"Top/Own"}},
			"nowhere":    {nowhere, []string{}},
		} {
			all, err := f.Issuer.Groups(ctx, c.caller, false)
			require.NoError(t, err)
			require.Equal(t, c.want, pathsOf(all), name)
			for _, g := range []domain.Group{own, below, beside} {
				_, err := f.Issuer.Group(ctx, c.caller, g.ID)
				if slices.Contains(c.want, g.Path) {
					require.NoError(t, err, name)
				} else {
					codeIs(t, domain.CodeNotFound, err, name)
				}
			}
		}
		name := "X"
		top := ""
		for what, c := range map[string]struct {
			do   func() error
			code domain.Code
		}{
			"create at the top":        {func() error { return createGroup(f, division, "X", "") }, domain.CodeInvalid},
			"create beside":            {func() error { return createGroup(f, division, "X", beside.ID) }, domain.CodeInvalid},
			"create above":             {func() error { return createGroup(f, division, "X", own.ParentID) }, domain.CodeInvalid},
			"rename own":               {func() error { return changeGroup(f, division, own.ID, issuer.GroupChange{Name: &name, Version: 1}) }, domain.CodeForbidden},
			"rename beside":            {func() error { return changeGroup(f, division, beside.ID, issuer.GroupChange{Name: &name, Version: 1}) }, domain.CodeNotFound},
			"rename what is seen only": {func() error { return changeGroup(f, seesAll, beside.ID, issuer.GroupChange{Name: &name, Version: 1}) }, domain.CodeForbidden},
			"move out": {func() error {
				return changeGroup(f, division, leaf.ID, issuer.GroupChange{ParentID: &beside.ID, Version: 1})
			}, domain.CodeInvalid},
			"move to the top":           {func() error { return changeGroup(f, division, leaf.ID, issuer.GroupChange{ParentID: &top, Version: 1}) }, domain.CodeInvalid},
			"delete own":                {func() error { return f.Issuer.DeleteGroup(ctx, division, own.ID) }, domain.CodeForbidden},
			"delete beside":             {func() error { return f.Issuer.DeleteGroup(ctx, division, beside.ID) }, domain.CodeNotFound},
			"department":                {func() error { return createGroup(f, department, "X", own.ID) }, domain.CodeForbidden},
			"department changes":        {func() error { return changeGroup(f, department, own.ID, issuer.GroupChange{Name: &name, Version: 1}) }, domain.CodeForbidden},
			"department deletes":        {func() error { return f.Issuer.DeleteGroup(ctx, department, beside.ID) }, domain.CodeForbidden},
			"a caller without a person": {func() error { return createGroup(f, nowhere, "X", own.ID) }, domain.CodeForbidden},
		} {
			head := f.AuditHead(t)
			codeIs(t, c.code, c.do(), what)
			require.Equal(t, head, f.AuditHead(t), what)
		}
		require.NoError(t, createGroup(f, division, "New", own.ID))
		require.NoError(t, changeGroup(f, division, leaf.ID, issuer.GroupChange{ParentID: &own.ID, Name: &name, Version: 1}))
		require.NoError(t, f.Issuer.DeleteGroup(ctx, division, leaf.ID))
	})
}

// TestParallelMoves moves groups below each other from two sides at once: whoever is second sees what the first did, so no circle ever
// closes and every path says where its group is.
func TestParallelMoves(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		const n = 4
		ids := make([]string, n)
		for i := range ids {
			ids[i] = f.Group(t, fmt.Sprintf("G%d", i)).ID
		}
		var g errgroup.Group
		for worker := range 3 {
			g.Go(func() error {
				dice := rand.New(rand.NewPCG(uint64(worker), 1))
				for range 15 {
					id, to := ids[dice.IntN(n)], ids[dice.IntN(n)]
					if dice.IntN(3) == 0 {
						to = ""
					}
					old, err := f.Issuer.Group(t.Context(), f.Admin(), id)
					if err != nil {
						return err
					}
					_, err = f.Issuer.ChangeGroup(t.Context(), f.Admin(), id, issuer.GroupChange{ParentID: &to, Version: old.Version})
					if code := domain.CodeOf(err); err != nil && code != domain.CodeConflict && code != domain.CodeInvalid {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		all, err := f.Issuer.Groups(t.Context(), f.Admin(), false)
		require.NoError(t, err)
		byID := map[string]domain.Group{}
		for _, g := range all {
			byID[g.ID] = g.Group
		}
		for _, g := range byID {
			path, up := g.Name, g.ParentID
			for range n {
				if up == "" {
					break
				}
				path, up = byID[up].Name+"/"+path, byID[up].ParentID
			}
			require.Empty(t, up, "a circle")
			require.Equal(t, path, g.Path)
		}
	})
}
