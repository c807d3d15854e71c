package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

func TestLogonCodes(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		person := insertSamples(t, b).person
		_, err := b.LogonCode(ctx, person.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = b.CountLogonTry(ctx, person.ID, 5, now)
		require.ErrorIs(t, err, store.ErrChanged, "there is none")

		c := store.LogonCode{PersonID: person.ID, Seed: []byte{0, 1, 0xff}, Rule: "12-12N", ExpiresAt: store.At(now.Add(time.Hour)),
			CreatedAt: store.At(now)}
		require.NoError(t, b.PutLogonCode(ctx, c))
		got, err := b.LogonCode(ctx, person.ID)
		require.NoError(t, err)
		require.Equal(t, c, got)

		for n := 1; n <= 2; n++ {
			got, err = b.CountLogonTry(ctx, person.ID, 2, now)
			require.NoError(t, err)
			require.Equal(t, n, got.Failures)
			require.Equal(t, c.Seed, got.Seed)
		}
		_, err = b.CountLogonTry(ctx, person.ID, 2, now)
		require.ErrorIs(t, err, store.ErrChanged, "no try is left")
		require.ErrorIs(t, b.ForgetLogonFailures(ctx, person.ID, []byte("another")), store.ErrChanged)
		require.NoError(t, b.ForgetLogonFailures(ctx, person.ID, c.Seed))
		_, err = b.CountLogonTry(ctx, person.ID, 2, now)
		require.NoError(t, err)
		_, err = b.CountLogonTry(ctx, person.ID, 5, now.Add(time.Hour))
		require.ErrorIs(t, err, store.ErrChanged, "it has expired")

		next := store.LogonCode{PersonID: person.ID, Seed: []byte{2}, Rule: "04-04L", CreatedAt: store.At(now.Add(time.Minute))}
		require.NoError(t, b.PutLogonCode(ctx, next))
		got, err = b.LogonCode(ctx, person.ID)
		require.NoError(t, err)
		require.Equal(t, next, got, "nothing stays of the one before")
		_, err = b.CountLogonTry(ctx, person.ID, 1, now.Add(1000*time.Hour))
		require.NoError(t, err, "it has no end")

		require.NoError(t, b.DeleteLogonCode(ctx, person.ID))
		require.NoError(t, b.DeleteLogonCode(ctx, person.ID))
		_, err = b.LogonCode(ctx, person.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
		require.Error(t, b.PutLogonCode(ctx, store.LogonCode{PersonID: "nobody", Seed: []byte{1}, Rule: "x", CreatedAt: store.At(now)}))
	})
}

func TestParallelLogonTriesKeepTheLimit(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		person := insertSamples(t, b).person
		require.NoError(t, b.PutLogonCode(ctx, store.LogonCode{PersonID: person.ID, Seed: []byte{1}, Rule: "12-12N", CreatedAt: store.At(now)}))
		const limit = 5
		var counted atomic.Int32
		var g errgroup.Group
		for range 4 * limit {
			g.Go(func() error {
				_, err := b.CountLogonTry(ctx, person.ID, limit, now)
				if err == nil {
					counted.Add(1)
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		require.EqualValues(t, limit, counted.Load())
	})
}

// Whoever's person is not active is out, with every account and key.
func TestAccountsOfInactivePeopleAreBarred(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		p := insertSamples(t, b).person
		a := domain.Account{ID: id(), Name: "ada", PersonID: p.ID, Email: "ada@issuer.example"}
		require.NoError(t, b.InsertAccount(ctx, a, "hash"))
		role := domain.Role{ID: id(), Name: "approver", Permissions: []domain.Permission{domain.PermApprove}}
		require.NoError(t, b.InsertRole(ctx, role))
		require.NoError(t, b.SetAssignments(ctx, a.ID, []domain.Assignment{{RoleID: role.ID, Scope: domain.ScopeAll}}))
		check := func(in bool, why string) {
			t.Helper()
			login, err := b.AccountByName(ctx, a.Name)
			require.NoError(t, err)
			require.Equal(t, !in, login.Barred, why)
			_, err = b.Caller(ctx, a.ID)
			accepted := b.AcceptSignIn(ctx, a.ID, now)
			approvers, listErr := b.Approvers(ctx)
			require.NoError(t, listErr)
			if in {
				require.NoError(t, err, why)
				require.NoError(t, accepted, why)
				require.Len(t, approvers, 1, why)
				return
			}
			require.ErrorIs(t, err, store.ErrNotFound, why)
			require.ErrorIs(t, accepted, store.ErrChanged, why)
			require.Empty(t, approvers, why)
		}
		change := func(fn func(p *domain.Person)) {
			t.Helper()
			fn(&p)
			p.Version++
			require.NoError(t, b.UpdatePerson(ctx, p))
		}
		check(true, "active")
		change(func(p *domain.Person) { p.Status = domain.PersonInactive })
		check(false, "inactive")
		change(func(p *domain.Person) { p.Status = domain.PersonActive })
		check(true, "active again")
		change(func(p *domain.Person) { p.ErasedAt = kept })
		check(false, "erased")
		change(func(p *domain.Person) { p.ErasedAt = time.Time{} })
		a.Disabled = true
		require.NoError(t, b.SetAccount(ctx, a, ""))
		check(false, "disabled")
	})
}
