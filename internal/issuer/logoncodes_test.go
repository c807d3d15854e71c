package issuer_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/store"
)

// setSettings changes the settings in force.
func setSettings(t *testing.T, f *issuertest.Fixture, change func(s *domain.Settings)) {
	t.Helper()
	s, err := f.Issuer.Settings(t.Context(), f.Admin())
	require.NoError(t, err)
	change(&s)
	_, err = f.Issuer.ChangeSettings(t.Context(), f.Admin(), s)
	require.NoError(t, err)
}

// holderRole makes a role for holders and lets people sign in with it.
func holderRole(t *testing.T, f *issuertest.Fixture, name string, permissions ...domain.Permission) domain.Role {
	t.Helper()
	role, err := f.Issuer.CreateRole(t.Context(), f.Admin(), "", issuer.SaveRole{Name: name, Permissions: permissions})
	require.NoError(t, err)
	setSettings(t, f, func(s *domain.Settings) { s.SelfServiceRole = role.ID })
	return role
}

func withLogonName(name string) func(*domain.Person) {
	return func(p *domain.Person) { p.LogonName = name }
}

// showLogonCode makes a logon code and reads it on screen.
func showLogonCode(t *testing.T, f *issuertest.Fixture, personID string, kind domain.LogonCodeKind) issuer.LogonCode {
	t.Helper()
	in := issuer.NewLogonCode{PersonID: personID, Kind: kind, Deliver: issuer.LogonOnScreen}
	c, err := f.Issuer.CreateLogonCode(t.Context(), f.Admin(), "", in)
	require.NoError(t, err)
	return c
}

// wrongLogon is a code that keeps to the rule of simple ones and is certainly not code.
func wrongLogon(code string) string { return wrong(code) }

// logonActions gives what the audit tells of a person's logon codes and sessions, in order.
func logonActions(t *testing.T, f *issuertest.Fixture, personID string) []string {
	t.Helper()
	entries, err := f.Store.Audit(t.Context(), store.AuditFilter{PersonID: personID}, 0, 1000)
	require.NoError(t, err)
	var out []string
	for _, action := range actionsOf(entries) {
		if strings.HasPrefix(action, "logon_code.") || strings.HasPrefix(action, "session.") || strings.HasPrefix(action, "account.") {
			out = append(out, action)
		}
	}
	return out
}

func TestSignInWithLogonCode(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		role := holderRole(t, f, "holder", domain.PermRequestSelf, domain.PermCollect)
		person := f.Person(t, withLogonName("Erika.Mustermann"))
		simple := showLogonCode(t, f, person.ID, domain.LogonCodeSimple)
		require.Regexp(t, `^[0-9]{12}$`, simple.Code)
		require.Equal(t, "Erika.Mustermann", simple.Name)
		require.WithinDuration(t, f.Clock.Now().Add(720*time.Hour), simple.ExpiresAt, time.Minute)

		account, err := f.Issuer.AcceptLogonCode(ctx, "ERIKA.mustermann", simple.Code[:4]+" "+simple.Code[4:]+"\t", "192.0.2.1")
		require.NoError(t, err)
		a, err := f.Store.Account(ctx, account)
		require.NoError(t, err)
		require.Equal(t, domain.Account{ID: account, Name: "holder-" + person.ID, PersonID: person.ID}, a)
		session, err := f.Access.OpenSession(ctx, account)
		require.NoError(t, err)
		caller, err := f.Access.Authenticate(ctx, session.Token)
		require.NoError(t, err)
		require.Equal(t, domain.Caller{AccountID: account, PersonID: person.ID, GroupID: person.GroupID, Roles: []string{role.ID},
			Grants: issuertest.Grants{domain.PermRequestSelf: domain.ScopeSelf, domain.PermCollect: domain.ScopeSelf}}, caller)
		_, err = f.Access.SignIn(ctx, a.Name, "")
		codeIs(t, domain.CodeUnauthenticated, err, "the account has no password")

		again, err := f.Issuer.AcceptLogonCode(ctx, "erika.mustermann", simple.Code, "192.0.2.1")
		require.NoError(t, err)
		require.Equal(t, account, again, "it is not for single use, and there is one account")

		complexOne := showLogonCode(t, f, person.ID, domain.LogonCodeComplex)
		rule, err := domain.ParseLogonCodeRule(domain.DefaultLogonCodeComplex)
		require.NoError(t, err)
		require.True(t, rule.Matches(complexOne.Code))
		_, err = f.Issuer.AcceptLogonCode(ctx, "erika.mustermann", simple.Code, "192.0.2.1")
		codeIs(t, domain.CodeUnauthenticated, err, "it was replaced")
		_, err = f.Issuer.AcceptLogonCode(ctx, "erika.mustermann", complexOne.Code, "192.0.2.1")
		require.NoError(t, err)

		require.Equal(t, []string{"logon_code.create", "logon_code.view", "account.create", "session.open", "session.open", "logon_code.create",
			"logon_code.view", "logon_code.wrong", "session.open"}, logonActions(t, f, person.ID))
		stored := dump(t, f)
		require.Contains(t, stored, person.ID, "the dump is one")
		for _, secret := range []string{simple.Code, complexOne.Code} {
			require.NotContains(t, stored, secret, "a code is nowhere")
			require.NotContains(t, f.Logs.String(), secret)
		}
		require.NotContains(t, f.Logs.String(), "Mustermann")
	})
}

func TestLogonCodeRefusalsLookAlike(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		role := holderRole(t, f, "holder", domain.PermRequestSelf)
		codeOf := func(name string, change ...func(*domain.Person)) (domain.Person, string) {
			p := f.Person(t, append(change, withLogonName(name))...)
			return p, showLogonCode(t, f, p.ID, domain.LogonCodeSimple).Code
		}
		_, active := codeOf("active")
		inactive, inactiveCode := codeOf("inactive")
		_, _, err := f.Issuer.DeactivatePerson(ctx, f.Admin(), inactive.ID, domain.ReasonLeft, "")
		require.NoError(t, err)
		erased, erasedCode := codeOf("erased")
		_, err = f.Issuer.ErasePerson(ctx, f.Admin(), erased.ID, issuer.Erase{Reason: domain.ReasonLeft, Confirm: erased.ID})
		require.NoError(t, err)
		_, barredCode := codeOf("barred")
		account, err := f.Issuer.AcceptLogonCode(ctx, "barred", barredCode, "192.0.2.9")
		require.NoError(t, err)
		disabled := true
		_, err = f.Issuer.ChangeAccount(ctx, f.Admin(), account, issuer.AccountChange{Disabled: &disabled})
		require.NoError(t, err)
		locked, lockedCode := codeOf("locked")
		for range 5 {
			_, err := f.Store.CountLogonTry(ctx, locked.ID, 5, f.Clock.Now())
			require.NoError(t, err)
		}
		require.NoError(t, f.Issuer.AssignRoles(ctx, f.Admin(), account, []domain.Assignment{{RoleID: role.ID, Scope: domain.ScopeNone}}))
		f.Person(t, withLogonName("codeless"))

		_, want := f.Issuer.AcceptLogonCode(ctx, "active", wrongLogon(active), "192.0.2.1")
		codeIs(t, domain.CodeUnauthenticated, want)
		cases := map[string]struct{ name, code string }{
			"unknown name":    {"nobody", active},
			"name not text":   {"a\x00\xff", active},
			"no name":         {"", active},
			"no code":         {"active", ""},
			"spaces":          {"active", "  "},
			"longer":          {"active", active + "1"},
			"shorter":         {"active", active[1:]},
			"endless":         {"active", strings.Repeat(active, 1000)},
			"another's":       {"active", barredCode},
			"inactive person": {"inactive", inactiveCode},
			"erased person":   {"erased", erasedCode},
			"barred account":  {"barred", barredCode},
			"locked code":     {"locked", lockedCode},
			"nobody made one": {"codeless", active},
		}
		t.Run("cases", func(t *testing.T) {
			for name, c := range cases {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					began := time.Now()
					_, err := f.Issuer.AcceptLogonCode(t.Context(), c.name, c.code, "192.0.2.2")
					require.Equal(t, want, err)
					require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond, "the time taken tells nothing either")
				})
			}
		})
	})
}

func TestLogonCodesLockAndExpire(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		holderRole(t, f, "holder", domain.PermRequestSelf)
		person := f.Person(t, withLogonName("erika"))
		code := showLogonCode(t, f, person.ID, domain.LogonCodeSimple).Code
		try := func(code string) error {
			_, err := f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.1")
			return err
		}
		fail := func(n int) {
			t.Helper()
			var g errgroup.Group
			for range n {
				g.Go(func() error { return try(wrongLogon(code)) })
			}
			codeIs(t, domain.CodeUnauthenticated, g.Wait())
		}
		fail(4)
		require.NoError(t, try(code), "four failures do not lock")
		fail(5)
		codeIs(t, domain.CodeUnauthenticated, try(code), "five do")
		actions := logonActions(t, f, person.ID)
		require.Equal(t, "logon_code.lock", actions[len(actions)-1])
		f.Clock.Advance(100 * 24 * time.Hour)
		codeIs(t, domain.CodeUnauthenticated, try(code), "time does not unlock it")

		code = showLogonCode(t, f, person.ID, domain.LogonCodeSimple).Code
		require.NoError(t, try(code), "a new one does")
		f.Clock.Advance(720*time.Hour - time.Minute)
		require.NoError(t, try(code))
		f.Clock.Advance(2 * time.Minute)
		codeIs(t, domain.CodeUnauthenticated, try(code), "it has expired")

		setSettings(t, f, func(s *domain.Settings) { s.LogonCodeLifetime = 0 })
		shown := showLogonCode(t, f, person.ID, domain.LogonCodeSimple)
		require.Zero(t, shown.ExpiresAt)
		f.Clock.Advance(10 * 365 * 24 * time.Hour)
		_, err := f.Issuer.AcceptLogonCode(ctx, "erika", shown.Code, "192.0.2.1")
		require.NoError(t, err, "without a lifetime it works until it is replaced")
	})
}

// Many wrong codes at once, from many places: no more are compared than the limit allows, and the right one is worth nothing after them.
func TestParallelLogonGuessesCannotOutrunTheLock(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		holderRole(t, f, "holder", domain.PermRequestSelf)
		person := f.Person(t, withLogonName("erika"))
		code := showLogonCode(t, f, person.ID, domain.LogonCodeSimple).Code
		var g errgroup.Group
		for i := range 40 {
			g.Go(func() error {
				_, err := f.Issuer.AcceptLogonCode(ctx, "erika", wrongLogon(code), fmt.Sprintf("192.0.2.%d", i))
				if domain.CodeOf(err) != domain.CodeUnauthenticated {
					return fmt.Errorf("guess %d: %w", i, err)
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		_, err := f.Issuer.AcceptLogonCode(ctx, "erika", code, "198.51.100.1")
		codeIs(t, domain.CodeUnauthenticated, err)
		require.Equal(t, []string{"logon_code.create", "logon_code.view", "logon_code.wrong", "logon_code.wrong", "logon_code.wrong",
			"logon_code.wrong", "logon_code.lock"}, logonActions(t, f, person.ID), "five were compared")
	})
}

func TestParallelFirstSignInsMakeOneAccount(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		holderRole(t, f, "holder", domain.PermRequestSelf)
		person := f.Person(t, withLogonName("erika"))
		code := showLogonCode(t, f, person.ID, domain.LogonCodeSimple).Code
		var g errgroup.Group
		accounts := make([]string, 5)
		for i := range accounts {
			g.Go(func() error {
				var err error
				accounts[i], err = f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.1")
				return err
			})
		}
		require.NoError(t, g.Wait())
		all, err := f.Store.AccountsOfPerson(ctx, person.ID)
		require.NoError(t, err)
		require.Len(t, all, 1)
		for _, id := range accounts {
			require.Equal(t, all[0].ID, id)
		}
	})
}

func TestWrongLogonCodesAreLimitedBySource(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	ctx := t.Context()
	holderRole(t, f, "holder", domain.PermRequestSelf)
	person := f.Person(t, withLogonName("erika"))
	code := showLogonCode(t, f, person.ID, domain.LogonCodeSimple).Code
	var g errgroup.Group
	for range 30 {
		g.Go(func() error {
			_, err := f.Issuer.AcceptLogonCode(ctx, "nobody", code, "192.0.2.1")
			if domain.CodeOf(err) != domain.CodeUnauthenticated {
				return err
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	_, err := f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.1")
	codeIs(t, domain.CodeRateLimited, err)
	require.NotEmpty(t, detail(t, err, "retry_after"))
	_, err = f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.2")
	require.NoError(t, err)
}

func TestRoleOfHolders(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t, withLogonName("erika"))
		code := showLogonCode(t, f, person.ID, domain.LogonCodeSimple).Code
		_, err := f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.1")
		codeIs(t, domain.CodeForbidden, err, "switched off unless a role is set")
		_, err = f.Issuer.AcceptLogonCode(ctx, "nobody", code, "192.0.2.1")
		codeIs(t, domain.CodeForbidden, err)

		first := holderRole(t, f, "first", domain.PermRequestSelf)
		account, err := f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.1")
		require.NoError(t, err)
		extra, err := f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: "drivers"})
		require.NoError(t, err)
		mine := []domain.Assignment{{RoleID: first.ID, Scope: domain.ScopeSelf}, {RoleID: extra.ID, Scope: domain.ScopeNone}}
		require.NoError(t, f.Issuer.AssignRoles(ctx, f.Admin(), account, mine))
		_, err = f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.1")
		require.NoError(t, err)
		_, got, err := f.Issuer.Account(ctx, f.Admin(), account)
		require.NoError(t, err)
		require.ElementsMatch(t, mine, got, "a role beside it stays")

		second := holderRole(t, f, "second", domain.PermCollect)
		same, err := f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.1")
		require.NoError(t, err)
		require.Equal(t, account, same)
		_, got, err = f.Issuer.Account(ctx, f.Admin(), account)
		require.NoError(t, err)
		require.Equal(t, []domain.Assignment{{RoleID: second.ID, Scope: domain.ScopeSelf}}, got, "the setting names another one")
	})
}

// Nobody gets in by an account that only looks like a holder's.
func TestHoldersAccountNamesAreReserved(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	ctx := t.Context()
	holderRole(t, f, "holder", domain.PermRequestSelf)
	person := f.Person(t, withLogonName("erika"))
	_, err := f.Issuer.CreateAccount(ctx, f.Admin(), "", issuer.NewAccount{Name: "holder-" + person.ID})
	codeIs(t, domain.CodeInvalid, err)
	require.Equal(t, []string{"name"}, fieldsOf(t, err))

	code := showLogonCode(t, f, person.ID, domain.LogonCodeSimple).Code
	require.NoError(t, f.Store.InsertAccount(ctx, domain.Account{ID: newID(t), Name: "holder-" + person.ID}, ""))
	_, err = f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.1")
	codeIs(t, domain.CodeInternal, err)
}

// Whoever is not active is out at once: with sessions, API keys and passwords, holders and operators.
func TestInactivePeopleAreOut(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		holderRole(t, f, "holder", domain.PermRequestSelf)
		person := f.Person(t, withLogonName("erika"))
		code := showLogonCode(t, f, person.ID, domain.LogonCodeSimple).Code
		account, err := f.Issuer.AcceptLogonCode(ctx, "erika", code, "192.0.2.1")
		require.NoError(t, err)
		holder, err := f.Access.OpenSession(ctx, account)
		require.NoError(t, err)
		const password = "a long enough password"
		operator, err := f.Issuer.CreateAccount(ctx, f.Admin(), "", issuer.NewAccount{Name: "operator", PersonID: person.ID, Password: password})
		require.NoError(t, err)
		_, apiKey, err := f.Issuer.CreateAPIKey(ctx, f.Admin(), operator.ID, "test", time.Time{})
		require.NoError(t, err)
		session, err := f.Access.SignIn(ctx, "operator", password)
		require.NoError(t, err)
		check := func(in bool) {
			t.Helper()
			for _, token := range []string{holder.Token, session.Token, apiKey} {
				_, err := f.Access.Authenticate(ctx, token)
				if in {
					require.NoError(t, err)
				} else {
					codeIs(t, domain.CodeUnauthenticated, err)
				}
			}
			_, err := f.Access.SignIn(ctx, "operator", password)
			if in {
				require.NoError(t, err)
			} else {
				codeIs(t, domain.CodeUnauthenticated, err)
			}
		}
		check(true)
		_, _, err = f.Issuer.DeactivatePerson(ctx, f.Admin(), person.ID, domain.ReasonLeft, "")
		require.NoError(t, err)
		check(false)
		_, _, err = f.Issuer.ActivatePerson(ctx, f.Admin(), person.ID, "")
		require.NoError(t, err)
		check(true)
		_, err = f.Issuer.ErasePerson(ctx, f.Admin(), person.ID, issuer.Erase{Reason: domain.ReasonLeft, Confirm: person.ID})
		require.NoError(t, err)
		for _, token := range []string{holder.Token, session.Token, apiKey} {
			_, err := f.Access.Authenticate(ctx, token)
			codeIs(t, domain.CodeUnauthenticated, err)
		}
		_, err = f.Store.LogonCode(ctx, person.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

func TestCreateLogonCodeRefusals(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t, withLogonName("erika"))
		nameless := f.Person(t)
		silent := f.Person(t, withLogonName("silent"), func(p *domain.Person) { p.Email, p.Mobile = "", "" })
		inactive := f.Person(t, withLogonName("inactive"), func(p *domain.Person) { p.Status = domain.PersonInactive })
		clerk := f.Caller(t, "clerk", "", issuertest.All(domain.PermRequest))
		own := f.Caller(t, "own", nameless.ID, issuertest.Grants{domain.PermRequest: domain.ScopeSelf, domain.PermViewCode: domain.ScopeAll})
		stranger := f.Caller(t, "none", person.ID, issuertest.All(domain.PermRequestSelf, domain.PermViewCode))
		admin := f.Admin()
		type wish = issuer.NewLogonCode
		onScreen := func(in *wish) { in.Deliver = issuer.LogonOnScreen }
		bySMS := func(p domain.Person) func(in *wish) {
			return func(in *wish) { in.PersonID, in.Deliver = p.ID, issuer.LogonBySMS }
		}
		good := wish{PersonID: person.ID, Kind: domain.LogonCodeSimple, Deliver: issuer.LogonByEmail}
		for name, c := range map[string]struct {
			caller domain.Caller
			change func(in *wish)
			code   domain.Code
			fields []string
		}{
			"no kind":         {admin, func(in *wish) { in.Kind = "" }, domain.CodeInvalid, []string{"kind"}},
			"kind none":       {admin, func(in *wish) { in.Kind = domain.LogonCodeNone }, domain.CodeInvalid, []string{"kind"}},
			"all wrong":       {admin, func(in *wish) { in.Kind, in.Deliver = "x", "post" }, domain.CodeInvalid, []string{"kind", "deliver"}},
			"no logon name":   {admin, func(in *wish) { in.PersonID = nameless.ID }, domain.CodeMissingData, []string{"logon_name"}},
			"no e-mail":       {admin, func(in *wish) { in.PersonID = silent.ID }, domain.CodeMissingContact, []string{"email"}},
			"no mobile":       {admin, bySMS(silent), domain.CodeMissingContact, []string{"mobile"}},
			"inactive":        {admin, func(in *wish) { in.PersonID = inactive.ID }, domain.CodePersonInactive, nil},
			"nobody":          {admin, func(in *wish) { in.PersonID = newID(t) }, domain.CodeNotFound, nil},
			"not on screen":   {clerk, onScreen, domain.CodeForbidden, nil},
			"out of scope":    {own, func(*wish) {}, domain.CodeNotFound, nil},
			"screen of other": {own, onScreen, domain.CodeNotFound, nil},
			"no permission":   {stranger, func(*wish) {}, domain.CodeForbidden, nil},
		} {
			t.Run(name, func(t *testing.T) {
				in := good
				c.change(&in)
				before := f.AuditHead(t)
				_, err := f.Issuer.CreateLogonCode(ctx, c.caller, "", in)
				codeIs(t, c.code, err)
				if c.fields != nil {
					require.Equal(t, c.fields, fieldsOf(t, err))
				}
				require.Equal(t, before, f.AuditHead(t))
				_, err = f.Store.LogonCode(ctx, in.PersonID)
				require.ErrorIs(t, err, store.ErrNotFound)
			})
		}
		setSettings(t, f, func(s *domain.Settings) { s.SMSEnabled = false })
		in := good
		in.Deliver = issuer.LogonBySMS
		_, err := f.Issuer.CreateLogonCode(ctx, f.Admin(), "", in)
		codeIs(t, domain.CodeChannelOff, err)
		_, err = f.Issuer.CreateLogonCode(ctx, clerk, "", good)
		require.NoError(t, err)
	})
}

var logonLine = regexp.MustCompile(`(?m)^([0-9]{12})\s*$`)

// logonIn gives the logon code in a message.
func logonIn(t *testing.T, text string) string {
	t.Helper()
	found := logonLine.FindStringSubmatch(text)
	require.NotNil(t, found, "no logon code in %q", text)
	return found[1]
}

func TestLogonCodesAreSentOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		holderRole(t, f, "holder", domain.PermRequestSelf)
		person := f.Person(t, withLogonName("erika"))
		in := issuer.NewLogonCode{PersonID: person.ID, Kind: domain.LogonCodeSimple, Deliver: issuer.LogonByEmail}
		made, err := f.Issuer.CreateLogonCode(ctx, f.Admin(), "key-1", in)
		require.NoError(t, err)
		require.Empty(t, made.Code)
		require.Empty(t, made.Name)
		same, err := f.Issuer.CreateLogonCode(ctx, f.Admin(), "key-1", in)
		require.NoError(t, err)
		require.Equal(t, made, same)
		sent, err := f.Issuer.SendNotices(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, sent)
		mails := f.Mail.Sent()
		require.Len(t, mails, 1)
		require.Equal(t, "erika@holder.example", mails[0].To)
		_, err = f.Issuer.AcceptLogonCode(ctx, "erika", logonIn(t, mails[0].Text), "192.0.2.1")
		require.NoError(t, err)

		in.Deliver = issuer.LogonBySMS
		_, err = f.Issuer.CreateLogonCode(ctx, f.Admin(), "key-1", in)
		codeIs(t, domain.CodeIdempotencyReused, err)
		_, err = f.Issuer.CreateLogonCode(ctx, f.Admin(), "key-2", in)
		require.NoError(t, err)
		_, err = f.Issuer.SendNotices(ctx)
		require.NoError(t, err)
		require.Len(t, f.SMS.Sent(), 1)
		require.Equal(t, "+41791234567", f.SMS.Sent()[0].To)

		in.Deliver = issuer.LogonOnScreen
		shown, err := f.Issuer.CreateLogonCode(ctx, f.Admin(), "key-3", in)
		require.NoError(t, err)
		again, err := f.Issuer.CreateLogonCode(ctx, f.Admin(), "key-3", in)
		require.NoError(t, err)
		require.NotEmpty(t, shown.AccountID, "sessions of the code before end")
		shown.AccountID = ""
		require.Equal(t, shown, again, "the same call shows the same code, and is audited each time")
		actions := logonActions(t, f, person.ID)
		require.Equal(t, []string{"logon_code.create", "logon_code.view", "logon_code.view"}, actions[len(actions)-3:])
		for range 5 {
			_, err := f.Store.CountLogonTry(ctx, person.ID, 5, f.Clock.Now())
			require.NoError(t, err)
		}
		_, err = f.Issuer.CreateLogonCode(ctx, f.Admin(), "key-3", in)
		codeIs(t, domain.CodeConflict, err, "it was locked meanwhile")
	})
}

func TestLogonCodeComesWithTheRequest(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		holderRole(t, f, "holder", domain.PermRequestSelf)
		profile := func(scheme domain.NotificationScheme) domain.Profile {
			return f.Profile(t, "p-"+strings.ReplaceAll(string(scheme), "_", "-"), func(o *domain.ProfileOptions) {
				o.NotificationScheme, o.LogonCode = scheme, domain.LogonCodeSimple
			})
		}
		signIn := func(name, code string) error {
			_, err := f.Issuer.AcceptLogonCode(ctx, name, code, "192.0.2.1")
			return err
		}
		byMail := f.Person(t, withLogonName("by-mail"))
		r := newRequest(t, f, byMail, profile(domain.NotifyCodeByEmail))
		mails := f.Mail.Sent()
		require.Len(t, mails, 3, "link, authentication code and logon code, each on its own")
		first := logonIn(t, mails[2].Text)
		require.NotContains(t, mails[0].Text+mails[1].Text, first)
		require.NotRegexp(t, linkPattern, mails[2].Text)
		require.NoError(t, signIn("by-mail", first))
		_, err := f.Issuer.Resend(ctx, f.Admin(), r.ID)
		require.NoError(t, err)
		mails = f.Mail.Sent()
		require.Len(t, mails, 6)
		require.Error(t, signIn("by-mail", first), "a new one was made")
		require.NoError(t, signIn("by-mail", logonIn(t, mails[5].Text)))
		shown, err := f.Issuer.ViewCode(ctx, f.Admin(), r.ID)
		require.NoError(t, err)
		require.Empty(t, shown.LogonCode, "it was sent")

		bySMS := f.Person(t, withLogonName("by-sms"))
		newRequest(t, f, bySMS, profile(domain.NotifyCodeBySMS))
		texts := f.SMS.Sent()
		require.Len(t, texts, 2)
		found := regexp.MustCompile(`[0-9]{12}`).FindString(texts[1].Text)
		require.NoError(t, signIn("by-sms", found))

		silent := f.Person(t, withLogonName("silent"), func(p *domain.Person) { p.Email, p.Mobile = "", "" })
		r = newRequest(t, f, silent, profile(domain.NotifyNone))
		shown, err = f.Issuer.ViewCode(ctx, f.Admin(), r.ID)
		require.NoError(t, err)
		require.NoError(t, signIn("silent", shown.LogonCode))
		require.WithinDuration(t, f.Clock.Now().Add(720*time.Hour), shown.LogonExpiresAt, time.Minute)

		without := f.Profile(t, "without", func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyNone })
		plain := f.Person(t, withLogonName("plain"))
		shown, err = f.Issuer.ViewCode(ctx, f.Admin(), newRequest(t, f, plain, without).ID)
		require.NoError(t, err)
		require.Empty(t, shown.LogonCode)
		_, err = f.Store.LogonCode(ctx, plain.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}
