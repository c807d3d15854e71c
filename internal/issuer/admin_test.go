package issuer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func TestSettings(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		s, err := f.Issuer.Settings(ctx, f.Admin())
		require.NoError(t, err)
		require.Equal(t, domain.DefaultSettings(), s)

		bad := s
		bad.EmailEnabled, bad.AuthenticationCodeAttempts = false, 0
		head := f.AuditHead(t)
		_, err = f.Issuer.ChangeSettings(ctx, f.Admin(), bad)
		codeIs(t, domain.CodeInvalid, err)
		require.ElementsMatch(t, []string{"authentication_code_attempts", "sms_enabled"}, fieldsOf(t, err))
		require.Equal(t, head, f.AuditHead(t))

		s.AuthenticationCodeAttempts, s.SMSEnabled = 7, false
		changed, err := f.Issuer.ChangeSettings(ctx, f.Admin(), s)
		require.NoError(t, err)
		require.Equal(t, 2, changed.Version)
		got, err := f.Issuer.Settings(ctx, f.Admin())
		require.NoError(t, err)
		require.Equal(t, changed, got)
		_, err = f.Issuer.ChangeSettings(ctx, f.Admin(), s)
		codeIs(t, domain.CodeConflict, err, "the version that was read is not the present one")
		require.Equal(t, "2", detail(t, err, "version"))
		entries, err := f.Issuer.Audit(ctx, f.Admin(), issuer.AuditFilter{Action: "settings.change"}, 0, 0)
		require.NoError(t, err)
		require.Equal(t, map[string]domain.Change{"authentication_code_attempts": {Before: "5", After: "7"},
			"sms_enabled": {Before: "true", After: "false"}, "version": {Before: "1", After: "2"}}, entries[0].Changes)

		// What an earlier version stored lacks what came later: that has its default.
		require.NoError(t, f.Store.PutSetting(ctx, "settings", `{"authentication_code_attempts":3}`, "x", f.Clock.Now()))
		got, err = f.Issuer.Settings(ctx, f.Admin())
		require.NoError(t, err)
		want := domain.DefaultSettings()
		want.AuthenticationCodeAttempts = 3
		require.Equal(t, want, got)

		_, err = f.Issuer.Settings(ctx, operator(t, f, "clerk", domain.PermRequest))
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.ChangeSettings(ctx, f.Caller(t, "self", "", issuertest.Grants{domain.PermSettings: domain.ScopeSelf}), s)
		codeIs(t, domain.CodeForbidden, err)
	})
}

// Of changes made from the same version, one counts.
func TestParallelChangesOfSettings(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		s, err := f.Issuer.Settings(t.Context(), f.Admin())
		require.NoError(t, err)
		outcomes := make([]domain.Code, 20)
		var g errgroup.Group
		for i := range outcomes {
			g.Go(func() error {
				mine := s
				mine.AuthenticationCodeAttempts = i%20 + 1
				if _, err := f.Issuer.ChangeSettings(t.Context(), f.Admin(), mine); err != nil {
					outcomes[i] = domain.CodeOf(err)
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		won := slices.Index(outcomes, "")
		require.GreaterOrEqual(t, won, 0)
		for i, code := range outcomes {
			if i != won {
				require.Equal(t, domain.CodeConflict, code)
			}
		}
		got, err := f.Issuer.Settings(t.Context(), f.Admin())
		require.NoError(t, err)
		require.Equal(t, 2, got.Version)
		require.Equal(t, won+1, got.AuthenticationCodeAttempts)
	})
}

// What only the server knows: which roles there are, and whether its own address is https.
func TestSettingsOfThisServer(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		role, err := f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: "holder", Permissions: []domain.Permission{domain.PermRequestSelf}})
		require.NoError(t, err)
		s, err := f.Issuer.Settings(ctx, f.Admin())
		require.NoError(t, err)
		bad := s
		bad.SelfServiceRole, bad.PublicBaseURL, bad.QRBaseURL, bad.LogonCodeAttempts = "none", "http://a.example", "http://b.example", 21
		_, err = f.Issuer.ChangeSettings(ctx, f.Admin(), bad)
		codeIs(t, domain.CodeInvalid, err)
		require.ElementsMatch(t, []string{"self_service_role", "public_base_url", "qr_base_url", "logon_code_attempts"}, fieldsOf(t, err))
		s.SelfServiceRole, s.PublicBaseURL, s.QRBaseURL = role.ID, "https://a.example", "https://b.example"
		_, err = f.Issuer.ChangeSettings(ctx, f.Admin(), s)
		require.NoError(t, err)

		r := newRequest(t, f, f.Person(t), f.Profile(t, "mdl"))
		shown, err := f.Issuer.ViewCode(ctx, f.Admin(), r.ID)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(shown.Link, "https://a.example/c/"))
		require.Contains(t, f.Mail.Sent()[0].Text, shown.Link, "the link in the message is the same")
		offer, err := f.Issuer.Offer(ctx, strings.TrimPrefix(shown.Link, "https://a.example/c/"))
		require.NoError(t, err)
		require.Equal(t, []string{"https://a.example", "https://b.example"}, []string{offer.PublicBaseURL, offer.QRBaseURL})
	})
	f := issuertest.New(t, issuertest.Options{BaseURL: "http://127.0.0.1:8080"})
	s, err := f.Issuer.Settings(t.Context(), f.Admin())
	require.NoError(t, err)
	s.QRBaseURL = "http://192.0.2.7:8080"
	_, err = f.Issuer.ChangeSettings(t.Context(), f.Admin(), s)
	require.NoError(t, err, "a server without TLS may lead to itself")
}

func TestProfiles(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		p := f.Profile(t, "mdl")
		require.Equal(t, 1, p.Version)
		require.Equal(t, f.Admin().AccountID, p.CreatedBy)
		head := f.AuditHead(t)
		save := func(name string, change func(*domain.ProfileOptions)) error {
			o := p.Options
			change(&o)
			_, err := f.Issuer.CreateProfile(ctx, f.Admin(), "", issuer.SaveProfile{Name: name, Options: o})
			return err
		}
		codeIs(t, domain.CodeConflict, save("mdl", func(*domain.ProfileOptions) {}))
		codeIs(t, domain.CodeUnknownFormat, save("x", func(o *domain.ProfileOptions) { o.Format = "none" }))
		codeIs(t, domain.CodeInvalid, save("Upper Case", func(o *domain.ProfileOptions) { o.MaxCopies = 31 }))
		_, err := f.Issuer.CreateProfile(ctx, f.Admin(), "", issuer.SaveProfile{Name: "x", Comment: "a\x00b", Options: p.Options})
		codeIs(t, domain.CodeInvalid, err)
		require.Equal(t, []string{"comment"}, fieldsOf(t, err))
		require.Equal(t, head, f.AuditHead(t))

		o := p.Options
		o.MaxCopies = 9
		next, err := f.Issuer.ChangeProfile(ctx, f.Admin(), p.ID, 1, issuer.SaveProfile{Name: "ignored", Comment: "more copies", Options: o})
		require.NoError(t, err)
		require.Equal(t, 2, next.Version)
		require.Equal(t, "mdl", next.Name, "the name stays")
		_, err = f.Issuer.ChangeProfile(ctx, f.Admin(), p.ID, 1, issuer.SaveProfile{Options: o})
		codeIs(t, domain.CodeConflict, err)
		require.Equal(t, "2", detail(t, err, "version"))
		_, err = f.Issuer.ChangeProfile(ctx, f.Admin(), "none", 1, issuer.SaveProfile{Options: o})
		codeIs(t, domain.CodeNotFound, err)
		versions, err := f.Issuer.ProfileVersions(ctx, f.Admin(), p.ID)
		require.NoError(t, err)
		require.Equal(t, []domain.Profile{next, p}, versions)
		_, err = f.Issuer.ProfileVersions(ctx, f.Admin(), "none")
		codeIs(t, domain.CodeNotFound, err)

		// Collection uses the latest version.
		_, signed := issue(t, f, f.Person(t), next, 9)
		require.Len(t, signed, 9)

		all, err := f.Issuer.Configurations(ctx)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, "mdl", all[0].Name)
		require.Equal(t, 9, all[0].MaxCopies)
		lost := domain.Profile{ID: newID(t), Name: "lost", Version: 1, CreatedAt: f.Clock.Now(), Options: o}
		lost.Options.Format = "gone"
		require.NoError(t, f.Store.InsertProfile(ctx, lost))
		all, err = f.Issuer.Configurations(ctx)
		require.NoError(t, err)
		require.Len(t, all, 1, "nothing can be issued without the format")
		formats, err := f.Issuer.DocumentFormats(f.Admin())
		require.NoError(t, err)
		require.NotEmpty(t, formats)

		clerk := operator(t, f, "clerk", domain.PermRequest)
		_, err = f.Issuer.Profiles(ctx, clerk)
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.Profile(ctx, clerk, p.ID)
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.CreateProfile(ctx, operator(t, f, "reader", domain.PermProfilesRead), "", issuer.SaveProfile{})
		codeIs(t, domain.CodeForbidden, err)
	})
}

func TestAccounts(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		made, err := f.Issuer.Bootstrap(ctx, "second", issuertest.AdminPassword)
		require.NoError(t, err)
		require.False(t, made, "there is an administrator")
		for _, p := range domain.Permissions() {
			require.Equal(t, domain.ScopeAll, f.Admin().Grants[p], "the first administrator may do everything")
		}

		a, err := f.Issuer.CreateAccount(ctx, f.Admin(), "", issuer.NewAccount{Name: "ada", Email: "ada@issuer.example"})
		require.NoError(t, err)
		head := f.AuditHead(t)
		for name, in := range map[string]issuer.NewAccount{
			"name":     {Name: "A da"},
			"email":    {Name: "bob", Email: "nowhere"},
			"person":   {Name: "bob", PersonID: "none"},
			"password": {Name: "bob", Password: "short"},
		} {
			_, err := f.Issuer.CreateAccount(ctx, f.Admin(), "", in)
			codeIs(t, domain.CodeInvalid, err, name)
			require.Contains(t, fieldsOf(t, err)[0], name)
		}
		_, err = f.Issuer.CreateAccount(ctx, f.Admin(), "", issuer.NewAccount{Name: "ada"})
		codeIs(t, domain.CodeConflict, err)
		yes, wrongMail, short := true, "nowhere", "short"
		_, err = f.Issuer.ChangeAccount(ctx, f.Admin(), f.Admin().AccountID, issuer.AccountChange{Disabled: &yes})
		codeIs(t, domain.CodeInvalid, err, "nobody locks themself out")
		_, err = f.Issuer.ChangeAccount(ctx, f.Admin(), a.ID, issuer.AccountChange{Email: &wrongMail})
		codeIs(t, domain.CodeInvalid, err)
		_, err = f.Issuer.ChangeAccount(ctx, f.Admin(), a.ID, issuer.AccountChange{Password: &short})
		codeIs(t, domain.CodeInvalid, err)
		_, err = f.Issuer.ChangeAccount(ctx, f.Admin(), "none", issuer.AccountChange{})
		codeIs(t, domain.CodeNotFound, err)
		require.Equal(t, head, f.AuditHead(t))
		changed, err := f.Issuer.ChangeAccount(ctx, f.Admin(), a.ID, issuer.AccountChange{Disabled: &yes})
		require.NoError(t, err)
		require.True(t, changed.Disabled)
		require.Equal(t, a.Email, changed.Email)
		all, err := f.Issuer.Accounts(ctx, f.Admin(), "", 0)
		require.NoError(t, err)
		require.Len(t, all, 2)
		_, _, err = f.Issuer.Account(ctx, f.Admin(), "none")
		codeIs(t, domain.CodeNotFound, err)
	})
}

func TestRoles(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		clerk, err := f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: "clerk", Permissions: []domain.Permission{domain.PermRequest}})
		require.NoError(t, err)
		_, err = f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: "clerk"})
		codeIs(t, domain.CodeConflict, err)
		_, err = f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: "!", Permissions: []domain.Permission{"fly"}})
		codeIs(t, domain.CodeInvalid, err)
		require.Equal(t, []string{"name", "permissions"}, fieldsOf(t, err))
		_, err = f.Issuer.ChangeRole(ctx, f.Admin(), clerk.ID, clerk.Version(), issuer.SaveRole{Name: "administrator"})
		codeIs(t, domain.CodeConflict, err)
		_, err = f.Issuer.ChangeRole(ctx, f.Admin(), "none", "x", issuer.SaveRole{Name: "nobody"})
		codeIs(t, domain.CodeNotFound, err)

		a, err := f.Issuer.CreateAccount(ctx, f.Admin(), "", issuer.NewAccount{Name: "ada"})
		require.NoError(t, err)
		for name, as := range map[string][]domain.Assignment{
			"unknown role": {{RoleID: "none", Scope: domain.ScopeAll}},
			"scope":        {{RoleID: clerk.ID, Scope: "galaxy"}},
			"twice":        {{RoleID: clerk.ID, Scope: domain.ScopeAll}, {RoleID: clerk.ID, Scope: domain.ScopeSelf}},
		} {
			codeIs(t, domain.CodeInvalid, f.Issuer.AssignRoles(ctx, f.Admin(), a.ID, as), name)
		}
		codeIs(t, domain.CodeNotFound, f.Issuer.AssignRoles(ctx, f.Admin(), "none", nil))
		want := []domain.Assignment{{RoleID: clerk.ID, Scope: domain.ScopeSelf}}
		require.NoError(t, f.Issuer.AssignRoles(ctx, f.Admin(), a.ID, want))
		_, got, err := f.Issuer.Account(ctx, f.Admin(), a.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)

		// A changed role changes what its holders may do, at the next call.
		token := f.Token(t, domain.Caller{AccountID: a.ID})
		save := issuer.SaveRole{Name: "clerk", Permissions: []domain.Permission{domain.PermAudit}}
		changed, err := f.Issuer.ChangeRole(ctx, f.Admin(), clerk.ID, clerk.Version(), save)
		require.NoError(t, err)
		_, err = f.Issuer.ChangeRole(ctx, f.Admin(), clerk.ID, clerk.Version(), save)
		codeIs(t, domain.CodeConflict, err, "somebody changed it since it was read")
		require.Equal(t, changed.Version(), detail(t, err, "version"))
		caller, err := f.Access.Authenticate(ctx, token)
		require.NoError(t, err)
		require.Equal(t, map[domain.Permission]domain.Scope{domain.PermAudit: domain.ScopeSelf}, caller.Grants)
		require.NoError(t, f.Issuer.AssignRoles(ctx, f.Admin(), a.ID, nil))
		caller, err = f.Access.Authenticate(ctx, token)
		require.NoError(t, err)
		require.Empty(t, caller.Grants)
		roles, err := f.Issuer.Roles(ctx, f.Admin())
		require.NoError(t, err)
		require.Len(t, roles, 2)
	})
}

func TestAPIKeys(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		a, err := f.Issuer.CreateAccount(ctx, f.Admin(), "", issuer.NewAccount{Name: "ada"})
		require.NoError(t, err)
		for _, label := range []string{"", strings.Repeat("x", 101), "a\x00"} {
			_, _, err = f.Issuer.CreateAPIKey(ctx, f.Admin(), a.ID, label, time.Time{})
			codeIs(t, domain.CodeInvalid, err)
			require.Equal(t, []string{"label"}, fieldsOf(t, err))
		}
		_, _, err = f.Issuer.CreateAPIKey(ctx, f.Admin(), a.ID, "x", f.Clock.Now())
		codeIs(t, domain.CodeInvalid, err)
		_, _, err = f.Issuer.CreateAPIKey(ctx, f.Admin(), "none", "x", time.Time{})
		codeIs(t, domain.CodeNotFound, err)
		k, secret, err := f.Issuer.CreateAPIKey(ctx, f.Admin(), a.ID, "x", time.Time{})
		require.NoError(t, err)
		require.NotContains(t, dump(t, f), secret)
		codeIs(t, domain.CodeNotFound, f.Issuer.RevokeAPIKey(ctx, f.Admin(), f.Admin().AccountID, k.ID))
		require.NoError(t, f.Issuer.RevokeAPIKey(ctx, f.Admin(), a.ID, k.ID))
		all, err := f.Issuer.APIKeys(ctx, f.Admin(), a.ID)
		require.NoError(t, err)
		require.True(t, all[0].Revoked)
		_, err = f.Issuer.APIKeys(ctx, f.Admin(), "none")
		codeIs(t, domain.CodeNotFound, err)
	})
}

// Accounts, roles and keys are for those with the permission in scope all.
func TestAccessNeedsThePermission(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		head := f.AuditHead(t)
		for _, c := range []domain.Caller{{AccountID: "x", Grants: issuertest.All(domain.PermSettings)}, domain.System(),
			{AccountID: "x", Grants: issuertest.Grants{domain.PermRoles: domain.ScopeSelf}}} {
			for name, call := range map[string]func() error{
				"create account": func() error { _, err := f.Issuer.CreateAccount(ctx, c, "", issuer.NewAccount{Name: "xx"}); return err },
				"accounts":       func() error { _, err := f.Issuer.Accounts(ctx, c, "", 0); return err },
				"account":        func() error { _, _, err := f.Issuer.Account(ctx, c, "x"); return err },
				"change account": func() error { _, err := f.Issuer.ChangeAccount(ctx, c, "x", issuer.AccountChange{}); return err },
				"assign":         func() error { return f.Issuer.AssignRoles(ctx, c, "x", nil) },
				"create role":    func() error { _, err := f.Issuer.CreateRole(ctx, c, "", issuer.SaveRole{Name: "xx"}); return err },
				"change role":    func() error { _, err := f.Issuer.ChangeRole(ctx, c, "x", "", issuer.SaveRole{Name: "xx"}); return err },
				"roles":          func() error { _, err := f.Issuer.Roles(ctx, c); return err },
				"create API key": func() error { _, _, err := f.Issuer.CreateAPIKey(ctx, c, "x", "l", time.Time{}); return err },
				"API keys":       func() error { _, err := f.Issuer.APIKeys(ctx, c, "x"); return err },
				"revoke API key": func() error { return f.Issuer.RevokeAPIKey(ctx, c, "x", "y") },
			} {
				codeIs(t, domain.CodeForbidden, call(), name)
			}
		}
		require.Equal(t, head, f.AuditHead(t))
	})
}

// Two administrators change one account at once: nothing of either is lost, and roles are those of one of them.
func TestAccountsAreChangedOneAtATime(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		var roles []string
		for _, name := range []string{"left", "right"} {
			r, err := f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: name, Permissions: []domain.Permission{domain.PermReports}})
			require.NoError(t, err)
			roles = append(roles, r.ID)
		}
		for i := range 10 {
			a, err := f.Issuer.CreateAccount(ctx, f.Admin(), "", issuer.NewAccount{Name: fmt.Sprintf("shared-%d", i)})
			require.NoError(t, err)
			yes, mail := true, "shared@office.example"
			var g errgroup.Group
			for _, change := range []issuer.AccountChange{{Disabled: &yes}, {Email: &mail}} {
				g.Go(func() error { _, err := f.Issuer.ChangeAccount(ctx, f.Admin(), a.ID, change); return err })
			}
			for _, role := range roles {
				g.Go(func() error {
					return f.Issuer.AssignRoles(ctx, f.Admin(), a.ID, []domain.Assignment{{RoleID: role, Scope: domain.ScopeAll}})
				})
			}
			require.NoError(t, g.Wait())
			got, as, err := f.Issuer.Account(ctx, f.Admin(), a.ID)
			require.NoError(t, err)
			require.True(t, got.Disabled)
			require.Equal(t, mail, got.Email)
			require.Len(t, as, 1)
		}
	})
}
