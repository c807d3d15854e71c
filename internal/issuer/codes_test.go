package issuer_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// wrong is a code that is certainly not code.
func wrong(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

func TestWrongCodes(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		r := newRequest(t, f, f.Person(t), f.Profile(t, "mdl"))
		link, code := onScreen(t, f, r.ID)
		offer, err := f.Issuer.Offer(ctx, link)
		require.NoError(t, err)
		try := func(code string) error {
			_, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, code, "192.0.2.1")
			return err
		}
		for left, guess := range []string{"3" + code, "", code[:7], wrong(code)} {
			err := try(guess)
			codeIs(t, domain.CodeCodeWrong, err)
			require.Equal(t, fmt.Sprint(4-left), detail(t, err, "attempts_left"), "each try costs an attempt")
			_, err = f.Issuer.Offer(ctx, link)
			require.NoError(t, err, "and leaves the offer")
		}
		require.NoError(t, try(code), "the last attempt may be the right one")
		codeIs(t, domain.CodeOfferInvalid, try(code), "once only")

		// What is not one of our tokens, or is for another purpose, is nothing.
		for _, token := range []string{"", "x", link, offer.PreAuthorizedCode + "A", offer.PreAuthorizedCode[1:], "\x00"} {
			_, err := f.Issuer.Redeem(ctx, token, code, "192.0.2.1")
			codeIs(t, domain.CodeOfferInvalid, err, token)
			_, err = f.Issuer.CheckAccess(ctx, token)
			codeIs(t, domain.CodeTokenInvalid, err, token)
		}
		_, err = f.Issuer.Offer(ctx, offer.PreAuthorizedCode)
		codeIs(t, domain.CodeOfferInvalid, err)
	})
}

func TestLockAndResend(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := f.Profile(t, "mdl")
		r := newRequest(t, f, f.Person(t), profile)
		link, code := onScreen(t, f, r.ID)
		offer, err := f.Issuer.Offer(ctx, link)
		require.NoError(t, err)
		for range 4 {
			_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, wrong(code), "s")
			codeIs(t, domain.CodeCodeWrong, err)
		}
		f.Engine.SetDown(true)
		_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, wrong(code), "s")
		codeIs(t, domain.CodeCodeLocked, err, "the lock needs no engine")
		f.Engine.SetDown(false)
		require.Equal(t, domain.RequestLocked, reload(t, f, r.ID).State)
		_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, code, "s")
		codeIs(t, domain.CodeCodeLocked, err)
		_, err = f.Issuer.Offer(ctx, link)
		codeIs(t, domain.CodeCodeLocked, err)
		_, err = f.Issuer.ViewCode(ctx, f.Admin(), r.ID)
		codeIs(t, domain.CodeWrongState, err)

		r, err = f.Issuer.Resend(ctx, f.Admin(), r.ID)
		require.NoError(t, err)
		require.Equal(t, domain.RequestAwaitingCollection, r.State)
		require.Zero(t, r.Attempts)
		require.Len(t, f.Mail.Sent(), 4, "link and code went out anew")
		newLink, newCode := onScreen(t, f, r.ID)
		require.NotEqual(t, link, newLink)
		require.NotEqual(t, code, newCode)
		_, err = f.Issuer.Offer(ctx, link)
		codeIs(t, domain.CodeOfferInvalid, err, "the old link is dead")
		for _, c := range []string{code, newCode} {
			_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, c, "s")
			codeIs(t, domain.CodeOfferInvalid, err, "and so is the old pre-authorized code")
		}
		fresh, err := f.Issuer.Offer(ctx, newLink)
		require.NoError(t, err)
		_, err = f.Issuer.Redeem(ctx, fresh.PreAuthorizedCode, code, "s")
		codeIs(t, domain.CodeCodeWrong, err, "the old code is not the new one")
		_, err = f.Issuer.Redeem(ctx, fresh.PreAuthorizedCode, newCode, "s")
		require.NoError(t, err)

		timeline, err := f.Issuer.Timeline(ctx, f.Admin(), r.ID, 0, 0)
		require.NoError(t, err)
		counts := map[string]int{}
		for _, a := range actionsOf(timeline) {
			counts[a]++
		}
		require.Equal(t, map[string]int{"request.create": 1, "request.begin": 1, "request.view_code": 2, "request.wrong_code": 5,
			"request.lock": 1, "request.resend": 1, "request.redeem": 1}, counts)
	})
}

// The workflow learns of a lock by itself; it may get lost.
func TestTheEngineIsToldOfALock(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		r := newRequest(t, f, f.Person(t), f.Profile(t, "mdl"))
		link, code := onScreen(t, f, r.ID)
		offer, err := f.Issuer.Offer(t.Context(), link)
		require.NoError(t, err)
		for range 5 {
			_, err = f.Issuer.Redeem(t.Context(), offer.PreAuthorizedCode, wrong(code), "s")
		}
		codeIs(t, domain.CodeCodeLocked, err)
		require.Equal(t, []string{r.ID}, f.Engine.Locked())
	})
}

// Fifty guesses at the same time: five are compared, whatever their order, and the right code is not among them.
func TestParallelGuesses(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		r := newRequest(t, f, f.Person(t), f.Profile(t, "mdl"))
		link, code := onScreen(t, f, r.ID)
		offer, err := f.Issuer.Offer(t.Context(), link)
		require.NoError(t, err)
		var compared, locked atomic.Int64
		g, gctx := errgroup.WithContext(t.Context())
		for i := range 50 {
			g.Go(func() error {
				_, err := f.Issuer.Redeem(gctx, offer.PreAuthorizedCode, wrong(code), fmt.Sprint("source ", i))
				switch domain.CodeOf(err) {
				case domain.CodeCodeWrong:
					compared.Add(1)
				case domain.CodeCodeLocked:
					locked.Add(1)
				default:
					return fmt.Errorf("neither wrong nor locked: %w", err)
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		require.EqualValues(t, 4, compared.Load())
		require.EqualValues(t, 46, locked.Load())
		r = reload(t, f, r.ID)
		require.Equal(t, domain.RequestLocked, r.State)
		require.Equal(t, 5, r.Attempts)
	})
}

// Two wallets have the link and the code: one gets the token.
func TestTwoWalletsRedeem(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person, profile := f.Person(t), f.Profile(t, "mdl")
		for range 5 {
			r := newRequest(t, f, person, profile)
			link, code := onScreen(t, f, r.ID)
			offer, err := f.Issuer.Offer(t.Context(), link)
			require.NoError(t, err)
			var won atomic.Int64
			g, gctx := errgroup.WithContext(t.Context())
			for range 2 {
				g.Go(func() error {
					_, err := f.Issuer.Redeem(gctx, offer.PreAuthorizedCode, code, "s")
					if err == nil {
						won.Add(1)
						return nil
					}
					if domain.CodeOf(err) != domain.CodeOfferInvalid {
						return err
					}
					return nil
				})
			}
			require.NoError(t, g.Wait())
			require.EqualValues(t, 1, won.Load())
		}
	})
}

// Looking at link and code on screen while a wallet redeems them must not make the code good again, nor give attempts back.
func TestViewingTheCodeTakesNothingBack(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person, profile := f.Person(t), f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyNone })
		for range 8 {
			r := newRequest(t, f, person, profile)
			link, code := onScreen(t, f, r.ID)
			offer, err := f.Issuer.Offer(t.Context(), link)
			require.NoError(t, err)
			g, gctx := errgroup.WithContext(t.Context())
			for range 3 {
				g.Go(func() error {
					_, err := f.Issuer.ViewCode(gctx, f.Admin(), r.ID)
					return err
				})
			}
			g.Go(func() error {
				if _, err := f.Issuer.Redeem(gctx, offer.PreAuthorizedCode, wrong(code), "s"); domain.CodeOf(err) != domain.CodeCodeWrong {
					return fmt.Errorf("a wrong code was not refused as such: %w", err)
				}
				_, err := f.Issuer.Redeem(gctx, offer.PreAuthorizedCode, code, "s")
				return err
			})
			require.NoError(t, g.Wait())
			r = reload(t, f, r.ID)
			require.True(t, r.Redeemed)
			require.Equal(t, 2, r.Attempts)
		}
	})
}

func TestCodeLifetimes(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		sent := f.Profile(t, "sent")
		screen := f.Profile(t, "screen", func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyNone })
		settings, err := f.Issuer.Settings(ctx, f.Admin())
		require.NoError(t, err)
		settings.AuthenticationCodeLifetime = domain.Seconds(time.Hour)
		settings, err = f.Issuer.ChangeSettings(ctx, f.Admin(), settings)
		require.NoError(t, err)

		byMail, onPaper := newRequest(t, f, person, sent), newRequest(t, f, person, screen)
		require.Len(t, f.Mail.Sent(), 2, "nothing is sent under the scheme none")
		head := f.AuditHead(t)
		shown, err := f.Issuer.ViewCode(ctx, operator(t, f, "viewer", domain.PermViewCode), onPaper.ID)
		require.NoError(t, err)
		require.WithinDuration(t, f.Clock.Now().Add(2*time.Minute), shown.ExpiresAt, 10*time.Second)
		require.Greater(t, f.AuditHead(t), head, "reading is audited")
		mailed, err := f.Issuer.ViewCode(ctx, f.Admin(), byMail.ID)
		require.NoError(t, err)
		require.WithinDuration(t, f.Clock.Now().Add(time.Hour), mailed.ExpiresAt, 10*time.Second, "what was sent keeps its time")

		redeem := func(s issuer.OnScreen) error {
			offer, err := f.Issuer.Offer(ctx, linkOf(t, s.Link))
			require.NoError(t, err)
			_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, s.Code, "s")
			return err
		}
		f.Clock.Advance(2*time.Minute + time.Second)
		codeIs(t, domain.CodeOfferExpired, redeem(shown))
		shown, err = f.Issuer.ViewCode(ctx, f.Admin(), onPaper.ID)
		require.NoError(t, err, "shown again, it works again")
		require.NoError(t, redeem(shown))
		f.Clock.Advance(time.Hour)
		codeIs(t, domain.CodeOfferExpired, redeem(mailed))

		settings.AuthenticationCodeLifetime = 0
		_, err = f.Issuer.ChangeSettings(ctx, f.Admin(), settings)
		require.NoError(t, err)
		r := newRequest(t, f, person, sent)
		require.Equal(t, r.CollectionDeadline, r.CodeExpiresAt, "no lifetime: as long as the request")
	})
}

func TestViewCodeNeedsPermissionAndScope(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		r := newRequest(t, f, person, f.Profile(t, "mdl"))
		_, err := f.Issuer.ViewCode(ctx, operator(t, f, "clerk", domain.PermRequest, domain.PermApprove), r.ID)
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.ViewCode(ctx, f.Caller(t, "other", f.Person(t).ID, issuertest.Grants{domain.PermViewCode: domain.ScopeSelf}), r.ID)
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.ViewCode(ctx, f.Admin(), "none")
		codeIs(t, domain.CodeNotFound, err)
	})
}

// A code that went out keeps its length when the setting changes, and its limit follows the setting.
func TestSettingsDoNotBreakCodesAlreadySent(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		old := newRequest(t, f, person, profile)
		strict := newRequest(t, f, person, profile)
		code := codeIn(t, f.Mail.Sent()[1].Text)
		require.Len(t, code, 8)
		strictLink, strictCode := onScreen(t, f, strict.ID)
		strictOffer, err := f.Issuer.Offer(ctx, strictLink)
		require.NoError(t, err)
		for range 3 {
			_, err = f.Issuer.Redeem(ctx, strictOffer.PreAuthorizedCode, wrong(strictCode), "s")
			codeIs(t, domain.CodeCodeWrong, err)
		}

		settings, err := f.Issuer.Settings(ctx, f.Admin())
		require.NoError(t, err)
		settings.AuthenticationCodeComplexity, settings.AuthenticationCodeAttempts = "04-05N", 2
		_, err = f.Issuer.ChangeSettings(ctx, f.Admin(), settings)
		require.NoError(t, err)

		offer, err := f.Issuer.Offer(ctx, linkOf(t, f.Mail.Sent()[0].Text))
		require.NoError(t, err)
		require.Equal(t, 8, offer.CodeDigits)
		_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, code, "s")
		require.NoError(t, err)
		require.True(t, reload(t, f, old.ID).Redeemed)

		_, err = f.Issuer.Redeem(ctx, strictOffer.PreAuthorizedCode, strictCode, "s")
		codeIs(t, domain.CodeCodeLocked, err, "more attempts are spent than are allowed now")
		require.Equal(t, domain.RequestLocked, reload(t, f, strict.ID).State)

		r := newRequest(t, f, person, profile)
		_, short := onScreen(t, f, r.ID)
		require.Len(t, short, 5)
	})
}

// Thirty wrong codes from one address, over many requests, and the address has to wait; right ones do not count.
func TestCodesPerSource(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		offer := func() (issuer.Offer, string) {
			r := newRequest(t, f, person, profile)
			link, code := onScreen(t, f, r.ID)
			o, err := f.Issuer.Offer(ctx, link)
			require.NoError(t, err)
			return o, code
		}
		const source = "192.0.2.9"
		for range 6 {
			o, code := offer()
			for range 5 {
				_, err := f.Issuer.Redeem(ctx, o.PreAuthorizedCode, wrong(code), source)
				require.Contains(t, []domain.Code{domain.CodeCodeWrong, domain.CodeCodeLocked}, domain.CodeOf(err))
			}
		}
		o, code := offer()
		_, err := f.Issuer.Redeem(ctx, o.PreAuthorizedCode, code, source)
		codeIs(t, domain.CodeRateLimited, err)
		_, err = f.Issuer.Redeem(ctx, o.PreAuthorizedCode, code, "192.0.2.10")
		require.NoError(t, err)
	})
}

func TestNonces(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	nonce, err := f.Issuer.NewNonce()
	require.NoError(t, err)
	other, err := f.Issuer.NewNonce()
	require.NoError(t, err)
	require.NotEqual(t, nonce, other)
	require.True(t, f.Issuer.CheckNonce(nonce))
	for _, bad := range []string{"", "x", nonce[1:], nonce + "A", nonce[:20] + other[20:], "=" + nonce} {
		require.False(t, f.Issuer.CheckNonce(bad))
	}
	f.Clock.Advance(5 * time.Minute)
	require.False(t, f.Issuer.CheckNonce(nonce))
}

// A nonce serves one set of keys of one request.
func TestNonceReplay(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		first, second := newRequest(t, f, person, profile), newRequest(t, f, person, profile)
		wallet, thief := walletKeys(t, f, 1), walletKeys(t, f, 1)
		thief[0].Nonce = wallet[0].Nonce
		token := redeem(t, f, first.ID)
		_, err := collect(ctx, f, profile, token, wallet)
		require.NoError(t, err)
		_, err = collect(ctx, f, profile, redeem(t, f, second.ID), thief)
		codeIs(t, domain.CodeNonceInvalid, err)
		require.Equal(t, domain.RequestAwaitingCollection, reload(t, f, second.ID).State)
		_, err = collect(ctx, f, profile, token, wallet)
		require.NoError(t, err, "a repetition is no replay")
	})
}

func FuzzTokens(f *testing.F) {
	fixture := issuertest.New(f, issuertest.Options{})
	for _, seed := range []string{"", "AAAA", "\x00", "eyJhbGciOiJub25lIn0.e30.", "////"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		_, err := fixture.Issuer.Offer(t.Context(), token)
		codeIs(t, domain.CodeOfferInvalid, err)
		_, err = fixture.Issuer.Redeem(t.Context(), token, "1234", "s")
		codeIs(t, domain.CodeOfferInvalid, err)
		_, err = fixture.Issuer.CheckAccess(t.Context(), token)
		codeIs(t, domain.CodeTokenInvalid, err)
		require.False(t, fixture.Issuer.CheckNonce(token))
	})
}
