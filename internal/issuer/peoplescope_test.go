package issuer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/store"
)

func TestSearch(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		f.Group(t, "Div/Dep")
		f.Group(t, "Division")
		add := func(change func(p *domain.Person)) domain.Person { return f.Person(t, change) }
		a := add(func(p *domain.Person) {
			p.ExternalID, p.LogonName, p.GivenName, p.FamilyName, p.Email = "X-1", "Ada.L", "Ada", "Straße", "Ada@Holder.Example"
			p.Mobile, p.BirthDate, p.Group, p.MaxExpiry, p.ExternalMobileID = "+41791110001", "1990-01-01", "Div/Dep", "2030-01-01", "mdm-1"
		})
		b := add(func(p *domain.Person) {
			p.ExternalID, p.LogonName, p.GivenName, p.FamilyName, p.Email = "X-2", "Adam", "Adam", "Strasser", "adam@holder.example"
			p.Mobile, p.BirthDate, p.Group, p.MaxExpiry, p.ExternalMobileID = "+41791110002", "1991-01-01", "Div", "2031-01-01", "mdm-2"
		})
		c := add(func(p *domain.Person) {
			p.ExternalID, p.GivenName, p.FamilyName, p.Email, p.Mobile = "Y%_3", "E\u0301va", "O'Neil*", "", ""
			p.BirthDate, p.Group, p.Status = "", "Division", domain.PersonInactive
		})
		_, err := f.Issuer.ApprovePersonData(ctx, f.Admin(), b.ID, issuer.Vetting{VettedOn: "2026-01-02"})
		require.NoError(t, err)
		yes, no := true, false
		for name, q := range map[string]struct {
			want  issuer.PersonFilter
			group string
			found []domain.Person
		}{
			"everybody":             {issuer.PersonFilter{}, "", []domain.Person{c, b, a}},
			"id":                    {issuer.PersonFilter{ID: a.ID}, "", []domain.Person{a}},
			"external id":           {issuer.PersonFilter{ExternalID: "X-1"}, "", []domain.Person{a}},
			"external id, case":     {issuer.PersonFilter{ExternalID: "x-1"}, "", nil},
			"external ids":          {issuer.PersonFilter{ExternalID: "X-*"}, "", []domain.Person{b, a}},
			"no wildcards":          {issuer.PersonFilter{ExternalID: "Y%*"}, "", []domain.Person{c}},
			"no SQL":                {issuer.PersonFilter{ExternalID: "_-1"}, "", nil},
			"any external id":       {issuer.PersonFilter{ExternalID: "*"}, "", []domain.Person{c, b, a}},
			"logon name":            {issuer.PersonFilter{LogonName: "ADA.l"}, "", []domain.Person{a}},
			"logon names":           {issuer.PersonFilter{LogonName: "ada*"}, "", []domain.Person{b, a}},
			"any logon name":        {issuer.PersonFilter{LogonName: "*"}, "", []domain.Person{b, a}},
			"given name":            {issuer.PersonFilter{GivenName: "ada"}, "", []domain.Person{a}},
			"given name, composed":  {issuer.PersonFilter{GivenName: "\u00c9VA"}, "", []domain.Person{c}},
			"family name folds":     {issuer.PersonFilter{FamilyName: "STRASSE"}, "", []domain.Person{a}},
			"family names":          {issuer.PersonFilter{FamilyName: "stras*"}, "", []domain.Person{b, a}},
			"family name with star": {issuer.PersonFilter{FamilyName: "o'neil**"}, "", []domain.Person{c}},
			"e-mail":                {issuer.PersonFilter{Email: "ADA@holder.example"}, "", []domain.Person{a}},
			"e-mails":               {issuer.PersonFilter{Email: "ada*"}, "", []domain.Person{b, a}},
			"mobile":                {issuer.PersonFilter{Mobile: "+41791110001"}, "", []domain.Person{a}},
			"mobile as typed":       {issuer.PersonFilter{Mobile: "079 111 00 02"}, "", []domain.Person{b}},
			"mobiles":               {issuer.PersonFilter{Mobile: "+41 79 111*"}, "", []domain.Person{b, a}},
			"mobiles, 00":           {issuer.PersonFilter{Mobile: "0041 (79)*"}, "", []domain.Person{b, a}},
			"any mobile":            {issuer.PersonFilter{Mobile: "*"}, "", []domain.Person{b, a}},
			"birth date":            {issuer.PersonFilter{BirthDate: "1991-01-01"}, "", []domain.Person{b}},
			"group":                 {issuer.PersonFilter{}, "Div", []domain.Person{b}},
			"groups below":          {issuer.PersonFilter{GroupsBelow: true}, "Div", []domain.Person{b, a}},
			"group id":              {issuer.PersonFilter{GroupID: c.GroupID}, "", []domain.Person{c}},
			"status":                {issuer.PersonFilter{Status: domain.PersonInactive}, "", []domain.Person{c}},
			"max expiry":            {issuer.PersonFilter{MaxExpiryUntil: "2030-01-01"}, "", []domain.Person{a}},
			"mobile id":             {issuer.PersonFilter{ExternalMobileID: "mdm-1"}, "", []domain.Person{a}},
			"mobile ids":            {issuer.PersonFilter{ExternalMobileID: "mdm*"}, "", []domain.Person{b, a}},
			"approved":              {issuer.PersonFilter{DataApproved: &yes}, "", []domain.Person{b}},
			"not approved":          {issuer.PersonFilter{DataApproved: &no}, "", []domain.Person{c, a}},
			"together": {issuer.PersonFilter{FamilyName: "stras*", Status: domain.PersonActive, GroupsBelow: true, BirthDate: "1990-01-01"}, "Div",
				[]domain.Person{a}},
			"nobody": {issuer.PersonFilter{FamilyName: "stras*", GivenName: "eva"}, "", nil},
		} {
			people, err := f.Issuer.People(ctx, f.Admin(), q.want, q.group, "", 0)
			require.NoError(t, err, name)
			require.Equal(t, idsOf(q.found), idsOf(people), name)
		}
		department := officer(t, f, "department", "Div", domain.ScopeDepartment, domain.PermPeopleRead)
		for name, q := range map[string]struct {
			caller domain.Caller
			want   issuer.PersonFilter
			group  string
			field  string
		}{
			"no such group":     {f.Admin(), issuer.PersonFilter{}, "Nowhere", "group"},
			"no such group id":  {f.Admin(), issuer.PersonFilter{GroupID: "none"}, "", "group_id"},
			"below nothing":     {f.Admin(), issuer.PersonFilter{GroupsBelow: true}, "", "group"},
			"group out of view": {department, issuer.PersonFilter{}, "Div/Dep", "group"},
			"not a day":         {f.Admin(), issuer.PersonFilter{BirthDate: "1.1.1990"}, "", "birth_date"},
			"not a day either":  {f.Admin(), issuer.PersonFilter{MaxExpiryUntil: "2030"}, "", "max_expiry_until"},
			"status":            {f.Admin(), issuer.PersonFilter{Status: "gone"}, "", "status"},
			"mobile":            {f.Admin(), issuer.PersonFilter{Mobile: "12"}, "", "mobile"},
			"national start":    {f.Admin(), issuer.PersonFilter{Mobile: "079*"}, "", "mobile"},
			"letters":           {f.Admin(), issuer.PersonFilter{Mobile: "+41a*"}, "", "mobile"},
		} {
			_, err := f.Issuer.People(ctx, q.caller, q.want, q.group, "", 0)
			codeIs(t, domain.CodeInvalid, err, name)
			require.Equal(t, []string{q.field}, fieldsOf(t, err), name)
		}
		// Pages go on where they stopped, whoever comes in between.
		first, err := f.Issuer.People(ctx, f.Admin(), issuer.PersonFilter{FamilyName: "stras*"}, "", "", 1)
		require.NoError(t, err)
		add(func(p *domain.Person) { p.FamilyName, p.ExternalID = "Strasz", "X-9" })
		next, err := f.Issuer.People(ctx, f.Admin(), issuer.PersonFilter{FamilyName: "stras*"}, "", first[0].ID, 5)
		require.NoError(t, err)
		require.Equal(t, []string{a.ID}, idsOf(next))
	})
}

func idsOf(people []domain.Person) []string {
	out := []string{}
	for _, p := range people {
		out = append(out, p.ID)
	}
	return out
}

func TestPlacingPeople(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		for _, path := range []string{"Top/Own/Below", "Top/Beside"} {
			f.Group(t, path)
		}
		division := officer(t, f, "division", "Top/Own", domain.ScopeDivision, domain.PermPeopleWrite)
		department := officer(t, f, "department", "Top/Own", domain.ScopeDepartment, domain.PermPeopleWrite)
		self := officer(t, f, "self", "Top/Own", domain.ScopeSelf, domain.PermPeopleWrite)
		lone := officer(t, f, "lone", "", domain.ScopeDivision, domain.PermPeopleWrite)
		for name, c := range map[string]struct {
			caller   domain.Caller
			from, to string // from "-" = a new person
			code     domain.Code
		}{
			"all, new":                  {f.Admin(), "-", "Top/Own", ""},
			"all, new without group":    {f.Admin(), "-", "", ""},
			"all, new, no such group":   {f.Admin(), "-", "Top/No", domain.CodeInvalid},
			"all, moves":                {f.Admin(), "Top/Own", "Top/Beside", ""},
			"all, takes out":            {f.Admin(), "Top/Own", "", ""},
			"all, to no such group":     {f.Admin(), "Top/Own", "Top", ""},
			"division, new":             {division, "-", "Top/Own/Below", ""},
			"division, new beside":      {division, "-", "Top/Beside", domain.CodeInvalid},
			"division, new above":       {division, "-", "Top", domain.CodeInvalid},
			"division, new without":     {division, "-", "", domain.CodeInvalid},
			"division, stays":           {division, "Top/Own", "Top/Own", ""},
			"division, down":            {division, "Top/Own", "Top/Own/Below", ""},
			"division, out":             {division, "Top/Own", "Top/Beside", domain.CodeInvalid},
			"division, to nowhere":      {division, "Top/Own", "", domain.CodeInvalid},
			"division, in":              {division, "Top/Beside", "Top/Own", domain.CodeNotFound},
			"division, in from nowhere": {division, "", "Top/Own", domain.CodeNotFound},
			"department, new":           {department, "-", "Top/Own", ""},
			"department, new below":     {department, "-", "Top/Own/Below", domain.CodeInvalid},
			"department, down":          {department, "Top/Own", "Top/Own/Below", domain.CodeInvalid},
			"self, new":                 {self, "-", "Top/Own", domain.CodeForbidden},
			"no group, new":             {lone, "-", "Top/Own", domain.CodeForbidden},
			"no group, new without":     {lone, "-", "", domain.CodeForbidden},
		} {
			var got domain.Person
			var err error
			head := int64(0)
			if c.from == "-" {
				p := issuertest.NewPerson()
				p.Group = c.to
				head = f.AuditHead(t)
				got, err = f.Issuer.CreatePerson(ctx, c.caller, "", p)
			} else {
				p := f.Person(t, func(p *domain.Person) { p.Group = c.from })
				p.Group = c.to
				head = f.AuditHead(t)
				got, err = f.Issuer.UpdatePerson(ctx, c.caller, p)
			}
			if c.code != "" {
				codeIs(t, c.code, err, name)
				require.Equal(t, head, f.AuditHead(t), name)
				if c.code == domain.CodeInvalid {
					require.Equal(t, []string{"group"}, fieldsOf(t, err), name)
				}
				continue
			}
			require.NoError(t, err, name)
			require.Equal(t, c.to, got.Group, name)
		}
		// One's own person can be changed in any scope, but not moved by scope self.
		me := readPerson(t, f, self.PersonID)
		me.Email = "me@holder.example"
		me, err := f.Issuer.UpdatePerson(ctx, self, me)
		require.NoError(t, err)
		for _, path := range []string{"Top/Own/Below", "Top/No", ""} {
			me.Group = path
			_, err = f.Issuer.UpdatePerson(ctx, self, me)
			codeIs(t, domain.CodeForbidden, err)
		}
		// A move is told in the audit by the ids.
		p := f.Person(t, func(p *domain.Person) { p.Group = "Top/Own" })
		from := p.GroupID
		p.Group = "Top/Own/Below"
		p, err = f.Issuer.UpdatePerson(ctx, division, p)
		require.NoError(t, err)
		entries, err := f.Issuer.Audit(ctx, f.Admin(), issuer.AuditFilter{PersonID: p.ID, Action: "person.update"}, 0, 0)
		require.NoError(t, err)
		require.Equal(t, map[string]domain.Change{"group_id": {Before: from, After: p.GroupID}}, entries[0].Changes)
	})
}

// A conflict says what is taken and nothing of whom it belongs to, near or far.
func TestTaken(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		f.Group(t, "Far")
		far := f.Person(t, func(p *domain.Person) { p.ExternalID, p.LogonName, p.Group = "FAR", "far", "Far" })
		near := f.Person(t, func(p *domain.Person) { p.ExternalID, p.LogonName = "NEAR", "near" })
		writer := officer(t, f, "writer", issuertest.PersonGroup, domain.ScopeDepartment, domain.PermPeopleWrite)
		p := f.Person(t)
		for name, c := range map[string]struct {
			external, logon string
			fields          []string
		}{
			"far":        {"FAR", "", []string{"external_id"}},
			"near":       {"NEAR", "", []string{"external_id"}},
			"logon":      {"", "FaR", []string{"logon_name"}},
			"both":       {"FAR", "near", []string{"external_id", "logon_name"}},
			"just logon": {"FREE", "near", []string{"logon_name"}},
		} {
			next := p
			next.ExternalID, next.LogonName = c.external, c.logon
			_, created := f.Issuer.CreatePerson(t.Context(), writer, "", next)
			_, updated := f.Issuer.UpdatePerson(t.Context(), writer, next)
			for _, err := range []error{created, updated} {
				codeIs(t, domain.CodeConflict, err, name)
				require.Equal(t, c.fields, fieldsOf(t, err), name)
				require.NotContains(t, err.Error(), far.ID)
				require.NotContains(t, err.Error(), near.ID)
			}
		}
		require.Equal(t, p, readPerson(t, f, p.ID))
	})
}

// world is the tree and the people as they should be.
type world struct {
	parents map[string]string // group to the one above
	member  map[string]string // person to group
}

func (w world) below(group, top string) bool {
	for ; group != ""; group = w.parents[group] {
		if group == top {
			return true
		}
	}
	return false
}

func (w world) path(group string, names map[string]string) string {
	if group == "" {
		return ""
	}
	return domain.PathBelow(w.path(w.parents[group], names), names[group])
}

// TestScopesWhileEverythingMoves lets groups and people move at random and operators of scope department and division try everything there
// is on people: whoever is out of their scope at that moment does not exist for them, and stays as they are.
func TestScopesWhileEverythingMoves(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, dice := t.Context(), rand.New(rand.NewPCG(7, 11))
		w := world{parents: map[string]string{}, member: map[string]string{}}
		names := map[string]string{}
		var groups, people []string
		for i := range 7 {
			parent := ""
			if i > 0 && dice.IntN(3) > 0 {
				parent = groups[dice.IntN(len(groups))]
			}
			g, err := f.Issuer.CreateGroup(ctx, f.Admin(), "", issuer.NewGroup{Name: fmt.Sprintf("g%d", i), ParentID: parent})
			require.NoError(t, err)
			groups, w.parents[g.ID], names[g.ID] = append(groups, g.ID), parent, g.Name
		}
		all := domain.Permissions()
		type actor struct {
			caller domain.Caller
			below  bool
		}
		var actors []actor
		for i := range 14 {
			group := ""
			if dice.IntN(6) > 0 || i < 4 {
				group = groups[dice.IntN(len(groups))]
			}
			p := f.Person(t, func(p *domain.Person) { p.Group, p.ExternalID = w.path(group, names), fmt.Sprintf("P%d", i) })
			people, w.member[p.ID] = append(people, p.ID), group
			if i < 4 {
				scope := []domain.Scope{domain.ScopeDepartment, domain.ScopeDivision}[i%2]
				grants := issuertest.Grants{}
				for _, permission := range all {
					grants[permission] = scope
				}
				actors = append(actors, actor{f.Caller(t, fmt.Sprintf("actor%d", i), p.ID, grants), scope == domain.ScopeDivision})
			}
		}
		reach := func(a actor, person string) bool {
			own := w.member[a.caller.PersonID]
			g := w.member[person]
			return person == a.caller.PersonID || (own != "" && (g == own || (a.below && w.below(g, own))))
		}
		refused := func(err error, what string) {
			t.Helper()
			codeIs(t, domain.CodeNotFound, err, what)
			require.Equal(t, "person not found", strings.Split(err.Error(), ":")[0], what)
		}
		for range 60 {
			// The administrator moves a group or a person.
			if g := groups[dice.IntN(len(groups))]; dice.IntN(2) == 0 {
				to := append([]string{""}, groups...)[dice.IntN(len(groups)+1)]
				if !w.below(to, g) {
					old, err := f.Issuer.Group(ctx, f.Admin(), g)
					require.NoError(t, err)
					_, err = f.Issuer.ChangeGroup(ctx, f.Admin(), g, issuer.GroupChange{ParentID: &to, Version: old.Version})
					require.NoError(t, err)
					w.parents[g] = to
				}
			} else {
				p := readPerson(t, f, people[dice.IntN(len(people))])
				p.Group = w.path(g, names)
				_, err := f.Issuer.UpdatePerson(ctx, f.Admin(), p)
				require.NoError(t, err)
				w.member[p.ID] = g
			}
			a := actors[dice.IntN(len(actors))]
			caller, err := f.Store.Caller(ctx, a.caller.AccountID) // as each call finds out anew
			require.NoError(t, err)
			id := people[dice.IntN(len(people))]
			before := readPerson(t, f, id)
			in := reach(a, id)

			listed, err := f.Issuer.People(ctx, caller, issuer.PersonFilter{}, "", "", 100)
			require.NoError(t, err)
			want := []string{}
			for _, p := range people {
				if reach(a, p) {
					want = append(want, p)
				}
			}
			require.ElementsMatch(t, want, idsOf(listed))
			listed, err = f.Issuer.People(ctx, caller, issuer.PersonFilter{ID: id, ExternalID: before.ExternalID}, "", "", 0)
			require.NoError(t, err)
			require.Equal(t, in, len(listed) == 1)

			_, err = f.Issuer.Person(ctx, caller, id)
			if in {
				require.NoError(t, err)
				continue
			}
			refused(err, "read")
			_, err = f.Issuer.Image(ctx, caller, id, domain.ImagePortrait)
			refused(err, "read image")
			refused(f.Issuer.PutImage(ctx, caller, domain.Image{PersonID: id, Kind: domain.ImagePortrait, Bytes: issuertest.Portrait()}), "image")
			next := before
			next.FamilyName = "Taken"
			refused(errAfter(f.Issuer.UpdatePerson(ctx, caller, next)), "update")
			next.Group = readPerson(t, f, caller.PersonID).Group // into the own group
			refused(errAfter(f.Issuer.UpdatePerson(ctx, caller, next)), "take")
			refused(errAfter(f.Issuer.ApprovePersonData(ctx, caller, id, issuer.Vetting{VettedOn: today(f)})), "approve")
			refused(errAfter(f.Issuer.WithdrawDataApproval(ctx, caller, id, "x")), "withdraw")
			refused(errAfterTwo(f.Issuer.DeactivatePerson(ctx, caller, id, domain.ReasonLeft, "")), "deactivate")
			refused(errAfterTwo(f.Issuer.ActivatePerson(ctx, caller, id, "")), "activate")
			refused(errAfter(f.Issuer.ErasePerson(ctx, caller, id, issuer.Erase{Reason: domain.ReasonLeft, Confirm: id})), "erase")
			file := fmt.Sprintf("external_id,given_name,family_name,group\n%s,Taken,Over,%s\n", before.ExternalID, next.Group)
			short, rows, err := importFile(t, f, caller, asCSV, strings.NewReader(file))
			if caller.GroupID == "" {
				codeIs(t, domain.CodeForbidden, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, []string{"2 refused conflict external_id"}, short)
				require.Empty(t, rows[0].PersonID)
			}
			require.Equal(t, before, readPerson(t, f, id), "nothing changed")

			// Nobody new comes into a group out of reach either.
			if g := w.member[id]; g != "" {
				fresh := issuertest.NewPerson()
				fresh.Group = w.path(g, names)
				_, err = f.Issuer.CreatePerson(ctx, caller, "", fresh)
				require.Contains(t, []domain.Code{domain.CodeInvalid, domain.CodeForbidden}, domain.CodeOf(err))
				_, err = f.Issuer.Group(ctx, caller, g)
				codeIs(t, domain.CodeNotFound, err)
				seen, err := f.Issuer.Groups(ctx, caller, true)
				require.NoError(t, err)
				require.False(t, slices.ContainsFunc(seen, func(v issuer.GroupView) bool { return v.ID == g }))
			}
		}
		stored, err := f.Store.People(ctx, store.PersonFilter{Within: domain.Within{All: true}}, store.Page{Limit: 100})
		require.NoError(t, err)
		require.Len(t, stored, len(people))
	})
}
