package issuer_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// role makes a role of that name without permissions: it only stands for a set of people.
func role(t *testing.T, f *issuertest.Fixture, name string, permissions ...domain.Permission) string {
	t.Helper()
	r, err := f.Issuer.CreateRole(t.Context(), f.Admin(), "", issuer.SaveRole{Name: name, Permissions: permissions})
	require.NoError(t, err)
	return r.ID
}

// withRoles makes an account with the roles in scope all; personID may be empty.
func withRoles(t *testing.T, f *issuertest.Fixture, name, personID string, roles ...string) domain.Caller {
	t.Helper()
	a, err := f.Issuer.CreateAccount(t.Context(), f.Admin(), "", issuer.NewAccount{Name: name, PersonID: personID, Email: name + "@issuer.example"})
	require.NoError(t, err)
	var as []domain.Assignment
	for _, id := range roles {
		as = append(as, domain.Assignment{RoleID: id, Scope: domain.ScopeAll})
	}
	require.NoError(t, f.Issuer.AssignRoles(t.Context(), f.Admin(), a.ID, as))
	c, err := f.Store.Caller(t.Context(), a.ID)
	require.NoError(t, err)
	return c
}

// newVersion saves the next version of a profile.
func newVersion(t *testing.T, f *issuertest.Fixture, p domain.Profile, change func(o *domain.ProfileOptions)) domain.Profile {
	t.Helper()
	change(&p.Options)
	p, err := f.Issuer.ChangeProfile(t.Context(), f.Admin(), p.ID, p.Version, issuer.SaveProfile{Options: p.Options})
	require.NoError(t, err)
	return p
}

func request(t *testing.T, f *issuertest.Fixture, c domain.Caller, person domain.Person, profile domain.Profile) (domain.Request, error) {
	t.Helper()
	return f.Issuer.CreateRequest(t.Context(), c, "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
}

// update changes the person as an operator does.
func update(t *testing.T, f *issuertest.Fixture, id string, change func(p *domain.Person)) {
	t.Helper()
	p, err := f.Store.Person(t.Context(), id)
	require.NoError(t, err)
	change(&p)
	_, err = f.Issuer.UpdatePerson(t.Context(), f.Admin(), p)
	require.NoError(t, err)
}

// Every save is held to every rule, and all that is wrong is listed.
func TestProfileRules(t *testing.T) {
	eachBackendWith(t, issuertest.Options{MDM: &devices{}}, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		known := role(t, f, "known")
		good := f.Profile(t, "good", func(o *domain.ProfileOptions) {
			o.CanReceive, o.CanRequest, o.CanValidate, o.CanCollect = []string{known}, []string{known}, []string{known}, []string{known}
			o.RequisiteData = []string{"attribute.sex", "portrait", "email"}
			o.ExclusiveGroup, o.CredentialGroup, o.BlockMultipleRequests = "ids", "driving", true
			o.LogonCode, o.EnforcePhoto, o.RequireDataApproved = domain.LogonCodeComplex, true, true
			o.MDM = domain.MDMRule{Restriction: domain.MDMMustBeRegistered, RequiredAttributes: "compliant=true"}
		})
		require.Equal(t, "only", good.Options.MDM.System, "the only one is chosen by itself, and written down")
		read, err := f.Issuer.Profile(ctx, f.Admin(), good.ID)
		require.NoError(t, err)
		require.Equal(t, good, read)

		bad := good.Options
		bad.CanReceive, bad.CanCollect, bad.RequisiteData = []string{known, "none"}, []string{"neither"}, []string{"shoe_size"}
		bad.Format, bad.LifetimeDays, bad.MDM.System = "gone", 5000, "other"
		head := f.AuditHead(t)
		for name, save := range map[string]func() error{
			"create": func() error {
				_, err := f.Issuer.CreateProfile(ctx, f.Admin(), "", issuer.SaveProfile{Name: "bad", Options: bad})
				return err
			},
			"change": func() error {
				_, err := f.Issuer.ChangeProfile(ctx, f.Admin(), good.ID, good.Version, issuer.SaveProfile{Options: bad})
				return err
			},
		} {
			err := save()
			codeIs(t, domain.CodeInvalid, err, name)
			require.ElementsMatch(t, []string{"can_receive[1]", "can_collect[0]", "requisite_data[0]", "format", "lifetime_days", "mdm.system"},
				fieldsOf(t, err), name)
		}
		for code, one := range map[domain.Code]func(o *domain.ProfileOptions){
			domain.CodeUnknownFormat:        func(o *domain.ProfileOptions) { o.Format = "gone" },
			domain.CodeLifetimeBeyondSigner: func(o *domain.ProfileOptions) { o.LifetimeDays = 5000 },
		} {
			o := good.Options
			one(&o)
			_, err := f.Issuer.CreateProfile(ctx, f.Admin(), "", issuer.SaveProfile{Name: "bad", Options: o})
			codeIs(t, code, err)
		}
		require.Equal(t, head, f.AuditHead(t))
	})
}

// A restriction needs a device management to ask.
func TestMDMRuleWithoutMDM(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	o := domain.ProfileOptions{DisplayName: "x", Format: "iso-mdl", MDM: domain.MDMRule{Restriction: domain.MDMMustNotBeRegistered}}
	_, err := f.Issuer.CreateProfile(t.Context(), f.Admin(), "", issuer.SaveProfile{Name: "x", Options: o})
	codeIs(t, domain.CodeInvalid, err)
	require.Equal(t, []string{"mdm.restriction"}, fieldsOf(t, err))
}

// The preview tells everything at once: each problem with its code, every message, who would be asked.
func TestPreviewTellsEverything(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		validator := role(t, f, "validator", domain.PermApprove)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) {
			o.ValidateIssuance, o.RequireDataApproved, o.EnforcePhoto, o.LogonCode = true, true, true, domain.LogonCodeSimple
			o.RequisiteData, o.CanValidate = []string{"attribute.eye_colour"}, []string{validator}
		})
		withRoles(t, f, "first", "", validator)
		person := f.Person(t)
		clerk := withRoles(t, f, "second", "", validator, role(t, f, "clerk", domain.PermRequest))
		in := issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID}
		preview, err := f.Issuer.PreviewRequest(ctx, clerk, in)
		require.NoError(t, err)
		require.True(t, preview.NeedsApproval)
		require.True(t, preview.NeedsDataApproval)
		require.Equal(t, 1, preview.Approvers, "neither the requester nor somebody without the role")
		require.Len(t, preview.Deliveries, 3)
		require.Equal(t, issuer.PreviewDelivery{Channel: domain.ChannelEmail, Kind: domain.MessageLogonCode, To: "e…@holder.example"},
			preview.Deliveries[2])
		require.NotEmpty(t, preview.ValidUntil)
		var told []string
		for _, p := range preview.Problems {
			told = append(told, string(p.Code)+" "+p.Field)
			require.NotEmpty(t, p.Problem)
		}
		require.Equal(t, []string{"data_not_approved data_not_approved", "missing_data attribute.eye_colour", "missing_data logon_name"}, told)

		_, err = f.Issuer.CreateRequest(ctx, clerk, "", in)
		codeIs(t, domain.CodeDataNotApproved, err)
		require.Equal(t, []string{"data_not_approved", "attribute.eye_colour", "logon_name"}, fieldsOf(t, err), "the refusal lists the same")
	})
}

// approvedData approves the person's data as the permission people_approve does, without going through it.
func approvedData(t *testing.T, f *issuertest.Fixture, id string) {
	t.Helper()
	p, err := f.Store.Person(t.Context(), id)
	require.NoError(t, err)
	p.DataApproval = domain.DataApproval{By: f.Admin().AccountID, At: f.Clock.Now(), VettedOn: "2026-01-01"}
	p.Version++
	require.NoError(t, f.Store.UpdatePerson(t.Context(), p))
}

// Data that are not approved: a setting lets requests be made, nothing lets them be approved or collected (B6).
func TestDataMustBeApproved(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.RequireDataApproved = true })
		guarded := f.Profile(t, "guarded", func(o *domain.ProfileOptions) { o.RequireDataApproved, o.ValidateIssuance = true, true })
		person := f.Person(t)
		_, err := request(t, f, f.Admin(), person, profile)
		codeIs(t, domain.CodeDataNotApproved, err)
		setSettings(t, f, func(s *domain.Settings) { s.RequestBeforeDataApproval = true })
		direct, err := request(t, f, f.Admin(), person, profile)
		require.NoError(t, err)
		waiting, err := request(t, f, f.Admin(), person, guarded)
		require.NoError(t, err)

		boss := operator(t, f, "boss", domain.PermApprove)
		_, err = f.Issuer.Approve(ctx, boss, waiting.ID, issuer.Approval{})
		codeIs(t, domain.CodeDataNotApproved, err)
		token := redeem(t, f, direct.ID)
		_, err = collect(ctx, f, profile, token, walletKeys(t, f, 1))
		codeIs(t, domain.CodeDataNotApproved, err)
		require.Equal(t, domain.CodeDataNotApproved, reload(t, f, direct.ID).FailureCode)

		approvedData(t, f, person.ID)
		_, err = f.Issuer.Approve(ctx, boss, waiting.ID, issuer.Approval{})
		require.NoError(t, err)
		_, err = collect(ctx, f, profile, token, walletKeys(t, f, 1))
		require.NoError(t, err)
	})
}

// Each of the four role sets, where it counts (B13).
func TestRoleSets(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		holderRole, requestRole, validateRole := role(t, f, "member"), role(t, f, "clerks", domain.PermRequest), role(t, f, "judges", domain.PermApprove)
		selfRole := role(t, f, "selves", domain.PermRequestSelf)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) {
			o.CanReceive, o.CanCollect, o.CanRequest, o.CanValidate = []string{holderRole}, []string{holderRole}, []string{requestRole},
				[]string{validateRole}
			o.ValidateIssuance = true
		})
		stranger, member := f.Person(t), f.Person(t)
		memberCaller := withRoles(t, f, "member", member.ID, holderRole, selfRole)
		clerk := withRoles(t, f, "clerk", "", requestRole)

		_, err := request(t, f, clerk, stranger, profile)
		codeIs(t, domain.CodeRoleMissing, err)
		require.Equal(t, []string{"can_receive", "can_collect"}, fieldsOf(t, err))
		_, err = request(t, f, operator(t, f, "other-clerk", domain.PermRequest), member, profile)
		codeIs(t, domain.CodeRoleMissing, err)
		require.Equal(t, []string{"can_request"}, fieldsOf(t, err))
		_, err = request(t, f, memberCaller, member, profile)
		codeIs(t, domain.CodeRoleMissing, err, "who asks for themself needs can_request too")
		r, err := request(t, f, clerk, member, profile)
		require.NoError(t, err)

		other, judge := operator(t, f, "other-judge", domain.PermApprove), withRoles(t, f, "judge", "", validateRole)
		for _, c := range []struct {
			caller domain.Caller
			sees   int
		}{{other, 0}, {judge, 1}} {
			reviews, err := f.Issuer.Reviews(ctx, c.caller, "", 0)
			require.NoError(t, err)
			require.Len(t, reviews, c.sees)
		}
		_, err = f.Issuer.Approve(ctx, other, r.ID, issuer.Approval{})
		codeIs(t, domain.CodeRoleMissing, err)
		_, err = f.Issuer.Reject(ctx, other, r.ID, "no")
		codeIs(t, domain.CodeRoleMissing, err)
		open := f.Profile(t, "open")
		_, err = f.Issuer.Approve(ctx, other, r.ID, issuer.Approval{ProfileID: open.ID})
		codeIs(t, domain.CodeRoleMissing, err, "a switch to another profile is no way around")
		closed := f.Profile(t, "closed", func(o *domain.ProfileOptions) { o.CanReceive = []string{validateRole} })
		_, err = f.Issuer.Approve(ctx, judge, r.ID, issuer.Approval{ProfileID: closed.ID})
		codeIs(t, domain.CodeRoleMissing, err, "the person must be able to receive what is approved")
		require.Equal(t, []string{"can_receive"}, fieldsOf(t, err))
		_, err = f.Issuer.Approve(ctx, judge, r.ID, issuer.Approval{})
		require.NoError(t, err)

		// The role is gone when the wallet comes, and back when it comes again.
		token := redeem(t, f, r.ID)
		require.NoError(t, f.Issuer.AssignRoles(ctx, f.Admin(), memberCaller.AccountID, nil))
		_, err = collect(ctx, f, profile, token, walletKeys(t, f, 1))
		codeIs(t, domain.CodeRoleMissing, err)
		require.NoError(t, f.Issuer.AssignRoles(ctx, f.Admin(), memberCaller.AccountID,
			[]domain.Assignment{{RoleID: holderRole, Scope: domain.ScopeNone}}), "membership counts in any scope")
		_, err = collect(ctx, f, profile, token, walletKeys(t, f, 1))
		require.NoError(t, err)
	})
}

// Who is reminded is who may decide: by reach, by role, neither requester nor recipient, and with an address.
func TestRemindersGoToWhoMayDecide(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		judges := role(t, f, "judges", domain.PermApprove)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateIssuance, o.CanValidate = true, []string{judges} })
		person := f.Person(t) // of issuertest.PersonGroup
		above := f.Group(t, "Traffic")
		elsewhere := f.Group(t, "Harbour/Boats")
		in := func(group domain.Group) string {
			return f.Person(t, func(p *domain.Person) { p.Group = group.Path }).ID
		}
		scoped := func(name, personID string, scope domain.Scope) domain.Caller {
			c := withRoles(t, f, name, personID)
			require.NoError(t, f.Issuer.AssignRoles(ctx, f.Admin(), c.AccountID, []domain.Assignment{{RoleID: judges, Scope: scope}}))
			return c
		}
		scoped("everywhere", "", domain.ScopeAll)
		scoped("division-above", in(above), domain.ScopeDivision)
		scoped("department", f.Person(t).ID, domain.ScopeDepartment)
		scoped("department-above", in(above), domain.ScopeDepartment)
		scoped("division-elsewhere", in(elsewhere), domain.ScopeDivision)
		scoped("department-of-nothing", f.Person(t, func(p *domain.Person) { p.Group = "" }).ID, domain.ScopeDepartment)
		scoped("only-self", f.Person(t).ID, domain.ScopeSelf)
		scoped("recipient", person.ID, domain.ScopeAll)
		operator(t, f, "without-role", domain.PermApprove)
		requester := withRoles(t, f, "requester", "", judges, role(t, f, "clerks", domain.PermRequest))
		want := []string{"department@issuer.example", "division-above@issuer.example", "everywhere@issuer.example"}

		preview, err := f.Issuer.PreviewRequest(ctx, requester, issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
		require.NoError(t, err)
		require.Equal(t, len(want), preview.Approvers)
		r, err := request(t, f, requester, person, profile)
		require.NoError(t, err)
		require.NoError(t, f.Issuer.RemindApprovers(ctx, r.ID, 1))
		var got []string
		for _, m := range f.Mail.Sent() {
			got = append(got, m.To)
		}
		require.ElementsMatch(t, want, got)
		for _, name := range []string{"everywhere", "division-above", "department", "department-above", "division-elsewhere",
			"department-of-nothing", "only-self", "recipient", "without-role"} {
			login, err := f.Store.AccountByName(ctx, name)
			require.NoError(t, err)
			c, err := f.Store.Caller(ctx, login.Account.ID)
			require.NoError(t, err)
			reviews, err := f.Issuer.Reviews(ctx, c, "", 0)
			require.NoError(t, err)
			require.Equal(t, slices.Contains(want, name+"@issuer.example"), len(reviews) == 1, "%s is reminded of what they see", name)
		}
	})
}

// Fifty requests at the same moment: one is accepted, the others learn which one is in the way (B5).
func TestFiftyRequestsOfOneGroup(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		blocking := f.Profile(t, "blocking", func(o *domain.ProfileOptions) { o.BlockMultipleRequests, o.CredentialGroup = true, "driving" })
		lenient := f.Profile(t, "lenient", func(o *domain.ProfileOptions) { o.CredentialGroup = "driving" })
		alone := f.Profile(t, "alone", func(o *domain.ProfileOptions) { o.BlockMultipleRequests = true })
		for name, profiles := range map[string][]domain.Profile{
			"one profile of a group":    {blocking},
			"one profile without group": {alone},
		} {
			t.Run(name, func(t *testing.T) {
				person := f.Person(t)
				var accepted, refused atomic.Int64
				var g errgroup.Group
				for i := range 50 {
					g.Go(func() error {
						r, err := f.Issuer.CreateRequest(t.Context(), f.Admin(), "",
							issuer.NewRequest{PersonID: person.ID, ProfileID: profiles[i%len(profiles)].ID})
						switch {
						case err == nil:
							accepted.Add(1)
							return nil
						case domain.CodeOf(err) != domain.CodeRequestOpen:
							return fmt.Errorf("request %s: %w", r.ID, err)
						}
						refused.Add(1)
						return nil
					})
				}
				require.NoError(t, g.Wait())
				require.EqualValues(t, 1, accepted.Load())
				require.EqualValues(t, 49, refused.Load())
				open, err := f.Store.OpenRequests(t.Context(), person.ID)
				require.NoError(t, err)
				require.Len(t, open, 1)
				_, err = request(t, f, f.Admin(), person, profiles[0])
				codeIs(t, domain.CodeRequestOpen, err)
				require.Equal(t, open[0].ID, detail(t, err, "request_id"))
			})
		}
		t.Run("a blocking and a lenient profile", func(t *testing.T) {
			person := f.Person(t)
			var g errgroup.Group
			for i := range 50 {
				g.Go(func() error {
					_, err := f.Issuer.CreateRequest(t.Context(), f.Admin(), "",
						issuer.NewRequest{PersonID: person.ID, ProfileID: []string{blocking.ID, lenient.ID}[i%2]})
					if err != nil && domain.CodeOf(err) != domain.CodeRequestOpen {
						return err
					}
					return nil
				})
			}
			require.NoError(t, g.Wait())
			open, err := f.Store.OpenRequests(t.Context(), person.ID)
			require.NoError(t, err)
			require.NotEmpty(t, open)
			if slices.ContainsFunc(open, func(r domain.Request) bool { return r.Blocking }) {
				require.Len(t, open, 1, "a blocking request is open alone")
			}
		})
		t.Run("many with one key", func(t *testing.T) {
			person := f.Person(t)
			ids := make([]string, 20)
			var g errgroup.Group
			for i := range ids {
				g.Go(func() error {
					r, err := f.Issuer.CreateRequest(t.Context(), f.Admin(), "once-"+person.ID,
						issuer.NewRequest{PersonID: person.ID, ProfileID: blocking.ID})
					ids[i] = r.ID
					return err
				})
			}
			require.NoError(t, g.Wait(), "a repeated call is not in its own way")
			require.Len(t, slices.Compact(ids), 1)
		})
	})
}

// An approval that switches the profile moves the request into the other group, where another one may be in the way.
func TestApprovalMovesTheBlock(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		asked := f.Profile(t, "asked", func(o *domain.ProfileOptions) {
			o.ValidateIssuance, o.BlockMultipleRequests, o.CredentialGroup = true, true, "a"
		})
		other := f.Profile(t, "other", func(o *domain.ProfileOptions) { o.BlockMultipleRequests, o.CredentialGroup = true, "b" })
		boss := operator(t, f, "boss", domain.PermApprove)
		person := f.Person(t)
		r, err := request(t, f, f.Admin(), person, asked)
		require.NoError(t, err)
		inTheWay, err := request(t, f, f.Admin(), person, other)
		require.NoError(t, err)
		_, err = f.Issuer.Approve(ctx, boss, r.ID, issuer.Approval{ProfileID: other.ID})
		codeIs(t, domain.CodeRequestOpen, err)
		require.Equal(t, inTheWay.ID, detail(t, err, "request_id"))
		_, err = f.Issuer.CancelRequest(ctx, f.Admin(), inTheWay.ID, "")
		require.NoError(t, err)
		r, err = f.Issuer.Approve(ctx, boss, r.ID, issuer.Approval{ProfileID: other.ID})
		require.NoError(t, err)
		require.Equal(t, other.ID, r.ProfileID)
		_, err = request(t, f, f.Admin(), person, other)
		codeIs(t, domain.CodeRequestOpen, err)
		_, err = request(t, f, f.Admin(), person, asked)
		require.NoError(t, err, "the group it was asked for in is free")
		timeline, err := f.Issuer.Timeline(ctx, f.Admin(), r.ID, 0, 0)
		require.NoError(t, err)
		last := timeline[len(timeline)-1]
		require.Equal(t, domain.Change{Before: asked.ID, After: other.ID}, last.Changes["profile_id"])
	})
}

// Two approvals that lead into one group at the same moment: one counts.
func TestParallelApprovalsIntoOneGroup(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		to := f.Profile(t, "to", func(o *domain.ProfileOptions) { o.BlockMultipleRequests, o.CredentialGroup = true, "b" })
		boss := operator(t, f, "boss", domain.PermApprove)
		asked := f.Profile(t, "asked", func(o *domain.ProfileOptions) { o.ValidateIssuance = true })
		for range 3 {
			person := f.Person(t)
			var approved atomic.Int64
			var g errgroup.Group
			for range 6 {
				r, err := request(t, f, f.Admin(), person, asked)
				require.NoError(t, err)
				g.Go(func() error {
					_, err := f.Issuer.Approve(t.Context(), boss, r.ID, issuer.Approval{ProfileID: to.ID})
					switch {
					case err == nil:
						approved.Add(1)
					case domain.CodeOf(err) != domain.CodeRequestOpen:
						return err
					}
					return nil
				})
			}
			require.NoError(t, g.Wait())
			require.EqualValues(t, 1, approved.Load())
		}
	})
}

// TestGroupsTable walks the table "Groups" of docs/profiles.md: what becomes of the document a person holds when one is collected, and whether it
// can be, for every combination of groups and options.
func TestGroupsTable(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	n := 0
	for _, sameGroup := range []bool{false, true} {
		for _, exclusive := range []bool{false, true} {
			for _, reissue := range []domain.OnReissue{domain.ReissueKeep, domain.ReissueDisable, domain.ReissueCancel} {
				for _, over := range []bool{false, true} {
					for _, sameProfile := range []bool{false, true} {
						t.Run(fmt.Sprintf("same credential group %t, exclusive %t, %s, issue over %t, same profile %t", sameGroup, exclusive, reissue,
							over, sameProfile), func(t *testing.T) {
							n++
							options := func(o *domain.ProfileOptions) {
								o.OnReissue, o.IssueOverExisting = reissue, over
								if sameGroup {
									o.CredentialGroup = "driving"
								}
								if exclusive {
									o.ExclusiveGroup = "ids"
								}
							}
							mine := f.Profile(t, fmt.Sprintf("mine-%d", n), options)
							held := mine
							if !sameProfile {
								held = f.Profile(t, fmt.Sprintf("held-%d", n), options)
							}
							person := f.Person(t)
							before, _ := issue(t, f, person, held, 1)
							if exclusive && !sameProfile {
								_, err := request(t, f, f.Admin(), person, mine)
								codeIs(t, domain.CodeExclusiveGroup, err)
								require.Equal(t, before.ID, detail(t, err, "document_id"))
								return
							}
							after, _ := issue(t, f, person, mine, 1)
							want, by := domain.DocumentActive, domain.DisabledBy("")
							switch {
							case over && sameProfile, sameGroup && reissue == domain.ReissueCancel:
								want = domain.DocumentCanceled
							case sameGroup && reissue == domain.ReissueDisable:
								want, by = domain.DocumentDisabled, domain.DisabledByReissue
							}
							now, err := f.Store.Document(t.Context(), before.ID)
							require.NoError(t, err)
							require.Equal(t, want, now.State)
							require.Equal(t, by, now.DisabledBy)
							require.Equal(t, domain.DocumentActive, after.State)
							require.Equal(t, mine.Options.CredentialGroup, after.CredentialGroup)
							require.Equal(t, mine.Options.ExclusiveGroup, after.ExclusiveGroup)
						})
					}
				}
			}
		}
	}
	checkInvariants(t, f)
}

// Two documents that exclude each other are collected at the same moment: both were allowed when they were asked for, one is issued (B5).
func TestParallelCollectionsThatExcludeEachOther(t *testing.T) {
	gate := &gatedKeys{}
	eachBackendWith(t, issuertest.Options{Keys: gate.wrap}, func(t *testing.T, f *issuertest.Fixture) {
		gate.set(nil)
		exclusive := func(o *domain.ProfileOptions) { o.ExclusiveGroup = "ids" }
		profiles := []domain.Profile{f.Profile(t, "one", exclusive), f.Profile(t, "two", exclusive)}
		for range 3 {
			person := f.Person(t)
			gate.set(nil)
			var g errgroup.Group
			requests, errs := make([]domain.Request, 2), make([]error, 2)
			both := meeting(2)
			for i, p := range profiles {
				requests[i] = newRequest(t, f, person, p)
				token, wallet := redeem(t, f, requests[i].ID), walletKeys(t, f, 1)
				g.Go(func() error { _, errs[i] = collect(t.Context(), f, p, token, wallet); return nil })
				if i == 0 {
					gate.set(both)
				}
			}
			require.NoError(t, g.Wait())
			gate.set(nil)
			lost := slices.IndexFunc(errs, func(err error) bool { return err != nil })
			require.GreaterOrEqual(t, lost, 0)
			codeIs(t, domain.CodeExclusiveGroup, errs[lost])
			require.NoError(t, errs[1-lost])
			require.Equal(t, requests[lost].ID, detail(t, errs[lost], "request_id"))
			now := reload(t, f, requests[lost].ID)
			require.Equal(t, domain.RequestAwaitingCollection, now.State)
			require.Equal(t, domain.CodeExclusiveGroup, now.FailureCode)
			live, err := f.Store.LiveDocuments(t.Context(), person.ID)
			require.NoError(t, err)
			require.Len(t, live, 1)
		}
	})
}

// The person changes while the document is being signed: what was signed is thrown away, and everything is looked at again.
func TestThePersonChangesWhileSigning(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *domain.Person)
		code   domain.Code
	}{
		"deactivated":  {func(p *domain.Person) { p.Status = domain.PersonInactive }, domain.CodePersonInactive},
		"renamed":      {func(p *domain.Person) { p.FamilyName = "Neuname" }, ""},
		"data missing": {func(p *domain.Person) { delete(p.Attributes, "issuing_country") }, domain.CodeMissingData},
	} {
		t.Run(name, func(t *testing.T) {
			gate := &gatedKeys{}
			eachBackendWith(t, issuertest.Options{Keys: gate.wrap}, func(t *testing.T, f *issuertest.Fixture) {
				gate.set(nil)
				person, profile := f.Person(t), f.Profile(t, "mdl")
				r := newRequest(t, f, person, profile)
				token, wallet := redeem(t, f, r.ID), walletKeys(t, f, 1)
				var once atomic.Bool
				gate.set(func() error {
					if once.CompareAndSwap(false, true) {
						p, err := f.Store.Person(t.Context(), person.ID)
						if err != nil {
							return err
						}
						c.change(&p)
						p.Version++
						return f.Store.UpdatePerson(t.Context(), p)
					}
					return nil
				})
				signed, err := collect(t.Context(), f, profile, token, wallet)
				gate.set(nil)
				if c.code != "" {
					codeIs(t, c.code, err)
					require.Equal(t, c.code, reload(t, f, r.ID).FailureCode)
					return
				}
				require.NoError(t, err)
				require.Equal(t, "Neuname", values(verify(t, f, signed[0]))["family_name"])
			})
		})
	}
}

// What holders ask for themselves is bounded by the profile's self-service validity, at the preview and in what is signed.
func TestSelfServiceValidity(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.LifetimeDays, o.SelfService.ValidityDays = 100, 10 })
		holder := f.Caller(t, "ada", person.ID, issuertest.Grants{domain.PermRequestSelf: domain.ScopeSelf})
		for _, c := range []struct {
			caller domain.Caller
			days   int
		}{{holder, 10}, {f.Admin(), 100}} {
			want := f.Clock.Now().UTC().AddDate(0, 0, c.days)
			preview, err := f.Issuer.PreviewRequest(ctx, c.caller, issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
			require.NoError(t, err)
			require.Equal(t, domain.DateOf(want), preview.ValidUntil)
			r, err := request(t, f, c.caller, person, profile)
			require.NoError(t, err)
			_, err = collect(ctx, f, profile, redeem(t, f, r.ID), walletKeys(t, f, 1))
			require.NoError(t, err)
			require.WithinDuration(t, want, documentOf(t, f, r.ID).ValidUntil, time.Minute)
		}
	})
}
