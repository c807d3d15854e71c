package access_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

const password = "a long enough password"

// eachBackend runs the test with an account "ada" on SQLite and on PostgreSQL.
func eachBackend(t *testing.T, test func(t *testing.T, f *issuertest.Fixture, ada domain.Account)) {
	t.Helper()
	for name, o := range map[string]issuertest.Options{"sqlite": {}, "postgres": {Postgres: true}} {
		t.Run(name, func(t *testing.T) {
			f := issuertest.New(t, o)
			ada, err := f.Issuer.CreateAccount(t.Context(), f.Admin(), "", issuer.NewAccount{Name: "ada", Password: password})
			require.NoError(t, err)
			test(t, f, ada)
		})
	}
}

func codeIs(t *testing.T, want domain.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, want, domain.CodeOf(err), "%v", err)
}

func TestSignIn(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture, ada domain.Account) {
		ctx := t.Context()
		s, err := f.Access.SignIn(ctx, "ada", password)
		require.NoError(t, err)
		require.Equal(t, ada.ID, s.AccountID)
		require.True(t, strings.HasPrefix(s.Token, "mds_") && len(s.Token) > 40)
		require.WithinDuration(t, f.Clock.Now().Add(8*time.Hour), s.ExpiresAt, time.Minute)
		other, err := f.Access.SignIn(ctx, "ada", password)
		require.NoError(t, err)
		require.NotEqual(t, s.Token, other.Token)

		caller, err := f.Access.Authenticate(ctx, s.Token)
		require.NoError(t, err)
		require.Equal(t, domain.Caller{AccountID: ada.ID, Grants: map[domain.Permission]domain.Scope{}}, caller, "nothing is granted by default")

		require.NoError(t, f.Access.SignOut(ctx, s.Token))
		_, err = f.Access.Authenticate(ctx, s.Token)
		codeIs(t, domain.CodeUnauthenticated, err)
		_, err = f.Access.Authenticate(ctx, other.Token)
		require.NoError(t, err, "the other session goes on")
		require.NoError(t, f.Access.SignOutAll(ctx, ada.ID))
		_, err = f.Access.Authenticate(ctx, other.Token)
		codeIs(t, domain.CodeUnauthenticated, err)
		require.NoError(t, f.Access.SignOut(ctx, "mds_unknown"), "signing out twice is no error")
	})
}

func TestSignInRefusalsLookAlike(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture, ada domain.Account) {
		ctx := t.Context()
		machine, err := f.Issuer.CreateAccount(ctx, f.Admin(), "", issuer.NewAccount{Name: "machine"})
		require.NoError(t, err)
		_, wrong := f.Access.SignIn(ctx, "ada", "a wrong password")
		codeIs(t, domain.CodeUnauthenticated, wrong)
		for name, c := range map[string]struct{ name, password string }{
			"unknown name":     {"eve", password},
			"name not text":    {"e\x00\xffve", password},
			"empty":            {"", ""},
			"no password set":  {"machine", ""},
			"hash as password": {"machine", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$a2V5"},
			"endless password": {"eve", strings.Repeat("x", 1<<20)},
		} {
			_, err := f.Access.SignIn(ctx, c.name, c.password)
			require.Equal(t, wrong, err, name)
		}
		disabled := true
		_, err = f.Issuer.ChangeAccount(ctx, f.Admin(), ada.ID, issuer.AccountChange{Disabled: &disabled})
		require.NoError(t, err)
		_, err = f.Access.SignIn(ctx, "ada", password)
		require.Equal(t, wrong, err, "disabled")
		require.NotEmpty(t, machine.ID)
	})
}

func TestSignInLocks(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture, ada domain.Account) {
		ctx := t.Context()
		fail := func(n int) (err error) {
			for range n {
				_, err = f.Access.SignIn(ctx, "ada", "a wrong password")
			}
			return err
		}
		codeIs(t, domain.CodeUnauthenticated, fail(4))
		_, err := f.Access.SignIn(ctx, "ada", password)
		require.NoError(t, err, "four failures do not lock")
		codeIs(t, domain.CodeUnauthenticated, fail(4))
		codeIs(t, domain.CodeSignInLocked, fail(1))
		_, err = f.Access.SignIn(ctx, "ada", password)
		codeIs(t, domain.CodeSignInLocked, err)
		var refused *domain.Error
		require.ErrorAs(t, err, &refused)
		until, parseErr := time.Parse(time.RFC3339, refused.Details["until"])
		require.NoError(t, parseErr)
		require.WithinDuration(t, f.Clock.Now().Add(15*time.Minute), until, time.Minute)

		f.Clock.Advance(14 * time.Minute)
		_, err = f.Access.SignIn(ctx, "ada", password)
		codeIs(t, domain.CodeSignInLocked, err)
		f.Clock.Advance(time.Minute + time.Second)
		_, err = f.Access.SignIn(ctx, "ada", password)
		require.NoError(t, err, "the lock ends by itself")

		codeIs(t, domain.CodeSignInLocked, fail(5))
		fresh := "another long password"
		_, err = f.Issuer.ChangeAccount(ctx, f.Admin(), ada.ID, issuer.AccountChange{Password: &fresh})
		require.NoError(t, err)
		_, err = f.Access.SignIn(ctx, "ada", fresh)
		require.NoError(t, err, "a new password unlocks")
		_, err = f.Access.SignIn(ctx, "ada", password)
		codeIs(t, domain.CodeUnauthenticated, err)
	})
}

// Many passwords are tried at the same time, the right one last: all tries passed the first look at the lock together, and yet the right one is
// worth nothing after five failures.
func TestParallelSignInsCannotOutrunTheLock(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture, ada domain.Account) {
		ctx := t.Context()
		gate := &gate{Sessions: f.Cache, now: f.Clock.Now}
		slow := access.New(f.Store, gate, gate.Now)
		arrived := make(chan struct{})
		release := make(chan struct{})
		gate.hook = func() { close(arrived); <-release } // after the account was read, before the password is checked
		g := errgroup.Group{}
		var right error
		g.Go(func() error {
			_, right = slow.SignIn(ctx, "ada", password)
			return nil
		})
		<-arrived
		for range 8 {
			g.Go(func() error {
				_, err := f.Access.SignIn(ctx, "ada", "a wrong password")
				if domain.CodeOf(err) != domain.CodeUnauthenticated && domain.CodeOf(err) != domain.CodeSignInLocked {
					return errors.Join(errors.New("a wrong password was not refused"), err)
				}
				return nil
			})
		}
		locked := func() bool {
			login, err := f.Store.AccountByName(ctx, "ada")
			return err == nil && !login.LockedUntil.IsZero()
		}
		require.Eventually(t, locked, 10*time.Second, 5*time.Millisecond)
		close(release)
		require.NoError(t, g.Wait())
		codeIs(t, domain.CodeSignInLocked, right)
		require.Zero(t, gate.opened, "no session was opened")
	})
}

// gate stops the first caller that asks for the time, and counts sessions.
type gate struct {
	access.Sessions
	now    func() time.Time
	hook   func()
	opened int
}

func (g *gate) Now() time.Time {
	if hook := g.hook; hook != nil {
		g.hook = nil
		hook()
	}
	return g.now()
}

func (g *gate) PutSession(ctx context.Context, tokenHash, accountID string, ttl cache.SessionTTL) error {
	g.opened++
	return g.Sessions.PutSession(ctx, tokenHash, accountID, ttl)
}

func TestAPIKeys(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture, ada domain.Account) {
		ctx := t.Context()
		role, err := f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: "clerk", Permissions: []domain.Permission{domain.PermRequest}})
		require.NoError(t, err)
		require.NoError(t, f.Issuer.AssignRoles(ctx, f.Admin(), ada.ID, []domain.Assignment{{RoleID: role.ID, Scope: domain.ScopeAll}}))
		key, secret, err := f.Issuer.CreateAPIKey(ctx, f.Admin(), ada.ID, "test", f.Clock.Now().Add(time.Hour))
		require.NoError(t, err)
		caller, err := f.Access.Authenticate(ctx, secret)
		require.NoError(t, err)
		require.Equal(t, domain.Caller{AccountID: ada.ID, Machine: true, Roles: []string{role.ID}, Grants: issuertest.All(domain.PermRequest)}, caller)

		id, rest, found := strings.Cut(strings.TrimPrefix(secret, "mdk_"), "_")
		require.True(t, found)
		require.Equal(t, key.ID, id)
		for _, bad := range []string{"", "mdk_", "mdk_" + id, "mdk_" + id + "_", "mdk__" + rest, "mdk_x_" + rest, secret + "x", secret[:len(secret)-1],
			"mdk_" + uuid.NewString() + "_" + rest, "mdk_{" + id + "}_" + rest, "mds_" + rest, strings.ToUpper(secret), " " + secret, rest,
			"mdk_\x00_" + rest, "mdk_" + id + "_" + key.SecretHash} {
			_, err := f.Access.Authenticate(ctx, bad)
			codeIs(t, domain.CodeUnauthenticated, err)
			require.NotContains(t, err.Error(), rest)
		}

		f.Clock.Advance(time.Hour)
		_, err = f.Access.Authenticate(ctx, secret)
		codeIs(t, domain.CodeUnauthenticated, err)

		key, secret, err = f.Issuer.CreateAPIKey(ctx, f.Admin(), ada.ID, "test", time.Time{})
		require.NoError(t, err)
		_, err = f.Access.Authenticate(ctx, secret)
		require.NoError(t, err)
		require.NoError(t, f.Issuer.RevokeAPIKey(ctx, f.Admin(), ada.ID, key.ID))
		_, err = f.Access.Authenticate(ctx, secret)
		codeIs(t, domain.CodeUnauthenticated, err)
	})
}

func TestDisabledAccountsAreOutAtOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture, ada domain.Account) {
		ctx := t.Context()
		s, err := f.Access.SignIn(ctx, "ada", password)
		require.NoError(t, err)
		_, secret, err := f.Issuer.CreateAPIKey(ctx, f.Admin(), ada.ID, "test", time.Time{})
		require.NoError(t, err)
		for _, disabled := range []bool{true, false} {
			_, err = f.Issuer.ChangeAccount(ctx, f.Admin(), ada.ID, issuer.AccountChange{Disabled: &disabled})
			require.NoError(t, err)
			for _, token := range []string{s.Token, secret} {
				_, err := f.Access.Authenticate(ctx, token)
				if disabled {
					codeIs(t, domain.CodeUnauthenticated, err)
				} else {
					require.NoError(t, err)
				}
			}
		}
	})
}

// Whoever's person is not active is out at once, and finds the same answer as with a wrong password.
func TestAccountsOfInactivePeopleAreOut(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture, ada domain.Account) {
		ctx := t.Context()
		person := f.Person(t)
		own, err := f.Issuer.CreateAccount(ctx, f.Admin(), "", issuer.NewAccount{Name: "own", PersonID: person.ID, Password: password})
		require.NoError(t, err)
		session, err := f.Access.OpenSession(ctx, own.ID)
		require.NoError(t, err)
		require.Equal(t, own.ID, session.AccountID)
		require.WithinDuration(t, f.Clock.Now().Add(8*time.Hour), session.ExpiresAt, time.Minute)
		_, key, err := f.Issuer.CreateAPIKey(ctx, f.Admin(), own.ID, "test", time.Time{})
		require.NoError(t, err)
		_, wrong := f.Access.SignIn(ctx, ada.Name, "a wrong password")
		_, _, err = f.Issuer.DeactivatePerson(ctx, f.Admin(), person.ID, domain.ReasonLeft, "")
		require.NoError(t, err)
		for _, token := range []string{session.Token, key} {
			_, err := f.Access.Authenticate(ctx, token)
			codeIs(t, domain.CodeUnauthenticated, err)
		}
		_, err = f.Access.SignIn(ctx, own.Name, password)
		require.Equal(t, wrong, err)
		_, _, err = f.Issuer.ActivatePerson(ctx, f.Admin(), person.ID, "")
		require.NoError(t, err)
		for _, token := range []string{session.Token, key} {
			_, err := f.Access.Authenticate(ctx, token)
			require.NoError(t, err, "and in again when the person is active again")
		}
		_, err = f.Access.SignIn(ctx, own.Name, password)
		require.NoError(t, err)
	})
}

// Redis is where sessions are: without it nobody is let in, and API keys go on.
func TestSessionsNeedTheirStore(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	ctx := t.Context()
	broken := access.New(f.Store, brokenSessions{}, f.Clock.Now)
	_, err := broken.SignIn(ctx, issuertest.AdminName, issuertest.AdminPassword)
	codeIs(t, domain.CodeInternal, err)
	_, err = broken.OpenSession(ctx, "account")
	codeIs(t, domain.CodeInternal, err)
	_, err = broken.Authenticate(ctx, "mds_x")
	codeIs(t, domain.CodeInternal, err)
	require.Error(t, broken.SignOut(ctx, "mds_x"))
	require.Error(t, broken.SignOutAll(ctx, "x"))
	_, err = broken.Authenticate(ctx, f.Token(t, f.Admin()))
	require.NoError(t, err)
}

func TestHashPassword(t *testing.T) {
	for _, bad := range []string{"", "short", strings.Repeat("x", 11), strings.Repeat("ä", 257)} {
		_, err := access.HashPassword(bad)
		codeIs(t, domain.CodeInvalid, err)
		var refused *domain.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "password", refused.Fields[0].Field)
		if bad != "" {
			require.NotContains(t, err.Error(), bad)
		}
	}
	for _, good := range []string{strings.Repeat("x", 12), strings.Repeat("ä", 256), " spaces count 1 "} {
		a, err := access.HashPassword(good)
		require.NoError(t, err)
		b, err := access.HashPassword(good)
		require.NoError(t, err)
		require.NotEqual(t, a, b, "salted")
		require.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`, a)
	}
}
