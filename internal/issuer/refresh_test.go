package issuer_test

import (
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// refusedToken asks that the refresh token does not work.
func refusedToken(t *testing.T, f *issuertest.Fixture, refreshToken string, what ...any) {
	t.Helper()
	_, err := f.Issuer.Refresh(t.Context(), refreshToken)
	codeIs(t, domain.CodeTokenInvalid, err, what...)
}

// Each use gives another token; the last one used goes on working until its successor is used, so that a lost answer strands nobody.
func TestRefreshTokensAreReplaced(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl")
		r := newRequest(t, f, f.Person(t), profile)
		first := redeemAll(t, f, r.ID)
		refusedToken(t, f, first.RefreshToken, "there is no document yet")
		wallet := walletKeys(t, f, 1)
		signed, err := collect(t.Context(), f, profile, first.AccessToken, wallet)
		require.NoError(t, err)

		head := f.AuditHead(t)
		lost := []issuer.Token{renew(t, f, first.RefreshToken), renew(t, f, first.RefreshToken)}
		second := renew(t, f, first.RefreshToken)
		require.NotEqual(t, lost[0].RefreshToken, second.RefreshToken)
		again, err := collect(t.Context(), f, profile, second.AccessToken, wallet)
		require.NoError(t, err)
		require.Equal(t, signed, again)
		_, err = collect(t.Context(), f, profile, second.AccessToken, walletKeys(t, f, 1))
		codeIs(t, domain.CodeOfferInvalid, err, "with other keys there is nothing to collect")
		for range 5 {
			second = renew(t, f, second.RefreshToken)
			require.False(t, second.UpdateAvailable)
		}
		require.Equal(t, head, f.AuditHead(t), "nothing happened that anybody would ask about")
	})
}

// Whoever brings an old token, or one of two with the same number, ends the chain.
func TestStolenRefreshTokens(t *testing.T) {
	for name, steal := range map[string]func(t *testing.T, f *issuertest.Fixture, first string) (old, present string){
		"an old one": func(t *testing.T, f *issuertest.Fixture, first string) (string, string) {
			second := renew(t, f, first).RefreshToken
			return first, renew(t, f, second).RefreshToken
		},
		"side by side": func(t *testing.T, f *issuertest.Fixture, first string) (string, string) {
			thiefs, holders := renew(t, f, first).RefreshToken, renew(t, f, first).RefreshToken
			return holders, renew(t, f, thiefs).RefreshToken
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
				h := hold(t, f, f.Person(t), f.Profile(t, "mdl"), 1)
				old, present := steal(t, f, h.token.RefreshToken)
				refusedToken(t, f, old)
				refusedToken(t, f, present, "none works any more")
				refusedToken(t, f, old)
				timeline, err := f.Issuer.Timeline(t.Context(), f.Admin(), h.document.RequestID, 0, 0)
				require.NoError(t, err)
				last := timeline[len(timeline)-1]
				require.Equal(t, []string{"request.end_refresh", "wallet", h.document.ID}, []string{last.Action, last.Actor, last.DocumentID})
				require.Equal(t, "request.issue", timeline[len(timeline)-2].Action, "it is told once")
				require.Equal(t, domain.DocumentActive, stateOf(t, f, h.document.ID), "the document is not touched")
				askUpdate(t, f, h.document.ID)
				refusedToken(t, f, present)
			})
		})
	}
}

func TestRefreshTokensThatNeverWork(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl")
		h := hold(t, f, f.Person(t), profile, 1)
		sealed, err := base64.RawURLEncoding.DecodeString(h.token.RefreshToken)
		require.NoError(t, err)
		for i := range sealed {
			bent := append([]byte(nil), sealed...)
			bent[i] ^= 1
			refusedToken(t, f, base64.RawURLEncoding.EncodeToString(bent), i)
		}
		for _, token := range []string{"", "x", h.token.AccessToken, h.token.RefreshToken + "A", h.token.RefreshToken + "="} {
			refusedToken(t, f, token)
		}
		_, err = f.Issuer.CheckAccess(t.Context(), h.token.RefreshToken)
		codeIs(t, domain.CodeTokenInvalid, err)

		// A wallet that did not collect before the code was sent again is out.
		r := newRequest(t, f, f.Person(t), profile)
		early := redeemAll(t, f, r.ID)
		_, err = f.Issuer.Resend(t.Context(), f.Admin(), r.ID)
		require.NoError(t, err)
		late := redeemAll(t, f, r.ID)
		_, err = collect(t.Context(), f, profile, late.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		refusedToken(t, f, early.RefreshToken)
		renew(t, f, late.RefreshToken)
	})
}

// Refresh tokens work as long as the document is active, and rest while it is disabled.
func TestRefreshFollowsTheDocument(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl")
		change := func(h held, act domain.DocumentAct) {
			_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), h.document.ID, act, domain.ReasonLost, "")
			require.NoError(t, err)
		}
		h := hold(t, f, f.Person(t), profile, 1)
		change(h, domain.DocumentDisable)
		refusedToken(t, f, h.token.RefreshToken)
		change(h, domain.DocumentEnable)
		next := renew(t, f, h.token.RefreshToken)
		change(h, domain.DocumentCancel)
		refusedToken(t, f, next.RefreshToken)

		h = hold(t, f, f.Person(t), profile, 1)
		f.Clock.Advance(800 * 24 * time.Hour)
		refusedToken(t, f, h.token.RefreshToken, "expired")
	})
}

// What an access token says of updates, without changing anything.
func TestUpdateAvailable(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl")
		asks := func(token string) bool {
			head := f.AuditHead(t)
			available, err := f.Issuer.UpdateAvailable(t.Context(), token)
			require.NoError(t, err)
			require.Equal(t, head, f.AuditHead(t))
			return available
		}
		r := newRequest(t, f, f.Person(t), profile)
		token := redeemAll(t, f, r.ID)
		require.False(t, asks(token.AccessToken), "not collected yet")
		_, err := collect(t.Context(), f, profile, token.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		require.False(t, asks(token.AccessToken))
		u := askUpdate(t, f, documentOf(t, f, r.ID).ID)
		require.True(t, asks(token.AccessToken))
		require.False(t, reload(t, f, u.ID).Redeemed)
		_, err = f.Issuer.CancelRequest(t.Context(), f.Admin(), u.ID, "")
		require.NoError(t, err)
		require.False(t, asks(token.AccessToken))
		_, err = f.Issuer.UpdateAvailable(t.Context(), token.RefreshToken)
		codeIs(t, domain.CodeTokenInvalid, err)
	})
}

// A wallet that asks many times at once with one token is not taken for a thief; one token of the answers counts in the end.
func TestParallelRefreshes(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl")
		h := hold(t, f, f.Person(t), profile, 1)
		u := askUpdate(t, f, h.document.ID)
		var mu sync.Mutex
		var answers []issuer.Token
		var g errgroup.Group
		for range 16 {
			g.Go(func() error {
				token, err := f.Issuer.Refresh(t.Context(), h.token.RefreshToken)
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, token)
				return err
			})
		}
		require.NoError(t, g.Wait())
		for _, a := range answers {
			require.True(t, a.UpdateAvailable)
		}
		timeline, err := f.Issuer.Timeline(t.Context(), f.Admin(), u.ID, 0, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"request.update", "request.begin", "request.redeem"}, actionsOf(timeline), "one of them is on record")
		_, err = collect(t.Context(), f, profile, answers[3].AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		renew(t, f, answers[3].RefreshToken)
		refusedToken(t, f, answers[4].RefreshToken)
	})
}
