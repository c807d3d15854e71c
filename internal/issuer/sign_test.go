package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/verifier"
	"github.com/mdocket/mdocket/workflows/messages"
)

var errCrash = errors.New("the process ended here")

// meeting makes the first n who come wait for each other; whoever comes later passes.
func meeting(n int) func() error {
	var mu sync.Mutex
	missing, all := n, make(chan struct{})
	return func() error {
		mu.Lock()
		missing--
		if missing == 0 {
			close(all)
		}
		late := missing < 0
		mu.Unlock()
		if late {
			return nil
		}
		select {
		case <-all:
			return nil
		case <-time.After(20 * time.Second):
			return errors.New("the others did not come")
		}
	}
}

// readyToSign is a request whose code was redeemed, with one recorded act for each wallet.
func readyToSign(t *testing.T, f *issuertest.Fixture, profile domain.Profile, wallets ...[]issuer.WalletKey) (r domain.Request, token string,
	refs []messages.ActRef) {
	t.Helper()
	r = newRequest(t, f, f.Person(t), profile)
	token = redeem(t, f, r.ID)
	r = reload(t, f, r.ID)
	for _, w := range wallets {
		refs = append(refs, collectAct(t, f, r, w))
	}
	return r, token, refs
}

// Two activities sign at the same time: for one act (a repetition whose first run still lives), for two acts with the same keys (a wallet that
// asked twice), for two acts with other keys (two wallets with one token). Both have recorded their intent and signed before either stores.
func TestTwoSignaturesOfOneRequest(t *testing.T) {
	for name, c := range map[string]struct {
		sameAct, sameKeys bool
	}{
		"one act":             {true, true},
		"two acts, same keys": {false, true},
		"two acts, two sets":  {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			gate := &gatedKeys{}
			eachBackendWith(t, issuertest.Options{Keys: gate.wrap}, func(t *testing.T, f *issuertest.Fixture) {
				gate.set(nil)
				profile := f.Profile(t, "mdl")
				wallets := [][]issuer.WalletKey{walletKeys(t, f, 1), walletKeys(t, f, 1)}
				if c.sameKeys {
					wallets[1] = wallets[0]
				}
				r, token, refs := readyToSign(t, f, profile, wallets...)
				if c.sameAct {
					refs[1] = refs[0]
				}
				gate.set(meeting(2))
				errs := make([]error, 2)
				var g errgroup.Group
				for i, ref := range refs {
					g.Go(func() error {
						errs[i] = again(func() error { _, err := f.Issuer.Sign(t.Context(), ref); return err })
						return nil
					})
				}
				require.NoError(t, g.Wait())
				gate.set(nil)
				require.Equal(t, domain.RequestIssued, reload(t, f, r.ID).State)

				winners := 0
				for i, w := range wallets {
					signed, err := collect(t.Context(), f, profile, token, w)
					if err != nil {
						require.False(t, c.sameKeys)
						codeIs(t, domain.CodeOfferInvalid, err)
						codeIs(t, domain.CodeOfferInvalid, errs[i])
						continue
					}
					require.NoError(t, errs[i])
					winners++
					result := verify(t, f, signed[0])
					require.True(t, result.OK(), "%+v", result)
					require.True(t, result.Verified.MSO.DeviceKey.Equal(w[0].Key))
					d, err := f.Store.DocumentOfRequest(t.Context(), r.ID)
					require.NoError(t, err)
					require.Equal(t, d.ValidUntil, result.Verified.MSO.Validity.ValidUntil, "the record says what was signed")
				}
				if c.sameKeys {
					require.Equal(t, 2, winners, "both get the one document")
				} else {
					require.Equal(t, 1, winners)
				}
				copies := copiesOf(t, f, r.ID)
				require.Len(t, copies, 1)
			})
		})
	}
}

func copiesOf(t *testing.T, f *issuertest.Fixture, requestID string) []domain.Copy {
	t.Helper()
	d, err := f.Store.DocumentOfRequest(t.Context(), requestID)
	require.NoError(t, err)
	copies, err := f.Store.Copies(t.Context(), d.ID)
	require.NoError(t, err)
	return copies
}

// A process ends between intent and signature. The next run signs the same intent: same salts, same index. Other keys take the intent over, and
// the indices of the first are invalid for ever.
func TestSigningAfterACrash(t *testing.T) {
	gate := &gatedKeys{}
	eachBackendWith(t, issuertest.Options{Keys: gate.wrap}, func(t *testing.T, f *issuertest.Fixture) {
		gate.set(nil)
		ctx := t.Context()
		profile := f.Profile(t, "mdl")
		first, second := walletKeys(t, f, 2), walletKeys(t, f, 1)

		r, token, refs := readyToSign(t, f, profile, first)
		gate.set(func() error { return errCrash })
		_, err := f.Issuer.Sign(ctx, refs[0])
		require.ErrorIs(t, err, errCrash)
		before := copiesOf(t, f, r.ID)
		require.Len(t, before, 2)
		require.NotEmpty(t, before[0].Seed)
		_, err = f.Issuer.VerifySerial(ctx, documentOf(t, f, r.ID).Serial, "s")
		codeIs(t, domain.CodeNotFound, err, "an intent is no document")
		_, err = f.Issuer.Document(ctx, f.Admin(), documentOf(t, f, r.ID).ID)
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), documentOf(t, f, r.ID).ID, domain.DocumentCancel, domain.ReasonLost, "")
		codeIs(t, domain.CodeNotFound, err)
		gate.set(nil)
		_, err = f.Issuer.Sign(ctx, refs[0])
		require.NoError(t, err)
		after := copiesOf(t, f, r.ID)
		for i := range after {
			require.Equal(t, before[i].StatusIndex, after[i].StatusIndex)
			require.Empty(t, after[i].Seed)
		}
		signed, err := collect(ctx, f, profile, token, first)
		require.NoError(t, err)
		require.Len(t, signed, 2)

		r, token, refs = readyToSign(t, f, profile, walletKeys(t, f, 2))
		gate.set(func() error { return errCrash })
		_, err = f.Issuer.Sign(ctx, refs[0])
		require.ErrorIs(t, err, errCrash)
		lost := copiesOf(t, f, r.ID)
		gate.set(nil)
		signed, err = collect(ctx, f, profile, token, second)
		require.NoError(t, err)
		require.True(t, verify(t, f, signed[0]).OK())
		require.Equal(t, 1, documentOf(t, f, r.ID).Copies)
		for _, c := range lost {
			entries, err := f.Store.SetStatusEntries(ctx, c.ListID)
			require.NoError(t, err)
			require.Contains(t, invalidIndices(entries), c.StatusIndex)
		}
	})
}

// Between intent and retry the profile moves to a format with other status bits: the intent is made anew in the right list.
func TestSigningAfterACrashAndANewFormat(t *testing.T) {
	gate := &gatedKeys{}
	eachBackendWith(t, issuertest.Options{Keys: gate.wrap}, func(t *testing.T, f *issuertest.Fixture) {
		gate.set(nil)
		ctx := t.Context()
		profile := f.Profile(t, "p")
		wallet := walletKeys(t, f, 1)
		r, token, refs := readyToSign(t, f, profile, wallet)
		gate.set(func() error { return errCrash })
		_, err := f.Issuer.Sign(ctx, refs[0])
		require.ErrorIs(t, err, errCrash)
		gate.set(nil)
		o := profile.Options
		o.Format = "staff-badge"
		_, err = f.Issuer.ChangeProfile(ctx, f.Admin(), profile.ID, 1, issuer.SaveProfile{Options: o})
		require.NoError(t, err)
		signed, err := collect(ctx, f, profile, token, wallet)
		require.NoError(t, err)
		result := verify(t, f, signed[0])
		require.True(t, result.OK(), "%+v", result)
		require.Equal(t, "org.mdocket.badge.1", result.Verified.MSO.DocType)
		d := documentOf(t, f, r.ID)
		require.Equal(t, 2, d.ProfileVersion)
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err)
		require.Equal(t, verifier.StatusSuspended, verify(t, f, signed[0]).Status)
	})
}

// What happens while the document is being signed: the intent is recorded, nothing is stored yet.
func TestInterruptedCollections(t *testing.T) {
	type world struct {
		f       *issuertest.Fixture
		profile domain.Profile
		r       domain.Request
	}
	for name, c := range map[string]struct {
		meanwhile func(ctx context.Context, w world) error
		state     domain.RequestState
		code      domain.Code // of the collection
		document  domain.DocumentState
	}{
		"canceled": {func(ctx context.Context, w world) error {
			_, err := w.f.Issuer.CancelRequest(ctx, w.f.Admin(), w.r.ID, "stop")
			return err
		}, domain.RequestCanceled, domain.CodeWrongState, domain.DocumentCanceled},
		"expired": {func(ctx context.Context, w world) error {
			w.f.Clock.Advance(721 * time.Hour)
			_, err := w.f.Issuer.Expire(ctx, w.r.ID)
			return err
		}, domain.RequestExpired, domain.CodeWrongState, domain.DocumentCanceled},
		"sent again": {func(ctx context.Context, w world) error {
			_, err := w.f.Issuer.Resend(ctx, w.f.Admin(), w.r.ID)
			return err
		}, domain.RequestAwaitingCollection, domain.CodeOfferInvalid, domain.DocumentPrepared},
		"nothing happened": {func(context.Context, world) error { return nil }, domain.RequestIssued, "", domain.DocumentActive},
	} {
		t.Run(name, func(t *testing.T) {
			gate := &gatedKeys{}
			eachBackendWith(t, issuertest.Options{Keys: gate.wrap}, func(t *testing.T, f *issuertest.Fixture) {
				gate.set(nil)
				profile := f.Profile(t, "mdl")
				wallet := walletKeys(t, f, 1)
				r, token, refs := readyToSign(t, f, profile, wallet)
				var once sync.Once
				var failed error
				gate.set(func() error {
					once.Do(func() { failed = c.meanwhile(t.Context(), world{f, profile, r}) })
					return nil
				})
				err := again(func() error { _, err := f.Issuer.Sign(t.Context(), refs[0]); return err })
				gate.set(nil)
				require.NoError(t, failed)
				if c.code == "" {
					require.NoError(t, err)
				} else {
					codeIs(t, c.code, err)
				}
				require.Equal(t, c.state, reload(t, f, r.ID).State)
				require.Equal(t, c.document, documentOf(t, f, r.ID).State)
				if c.state != domain.RequestAwaitingCollection {
					return
				}
				// The old token is worthless; with the new link the wallet comes again, with the same keys.
				_, err = collect(t.Context(), f, profile, token, wallet)
				codeIs(t, domain.CodeTokenInvalid, err)
				fresh := walletKeys(t, f, 1)
				wallet[0].Nonce = fresh[0].Nonce
				signed, err := collect(t.Context(), f, profile, redeem(t, f, r.ID), wallet)
				require.NoError(t, err)
				require.True(t, verify(t, f, signed[0]).OK())
			})
		})
	}
}

// Two requests of one person in one credential group are collected at the same moment: in the end the person has one live document.
func TestParallelCollectionsOfOneGroup(t *testing.T) {
	gate := &gatedKeys{}
	eachBackendWith(t, issuertest.Options{Keys: gate.wrap}, func(t *testing.T, f *issuertest.Fixture) {
		gate.set(nil)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.CredentialGroup, o.OnReissue = "driving", domain.ReissueCancel })
		for range 5 {
			person := f.Person(t)
			gate.set(nil)
			var refs []messages.ActRef
			for range 2 {
				r := newRequest(t, f, person, profile)
				redeem(t, f, r.ID)
				refs = append(refs, collectAct(t, f, reload(t, f, r.ID), walletKeys(t, f, 1)))
			}
			gate.set(meeting(2))
			g, gctx := errgroup.WithContext(t.Context())
			for _, ref := range refs {
				g.Go(func() error {
					return again(func() error { _, err := f.Issuer.Sign(gctx, ref); return err })
				})
			}
			require.NoError(t, g.Wait())
			live, err := f.Store.LiveDocuments(t.Context(), person.ID)
			require.NoError(t, err)
			require.Len(t, live, 1)
		}
	})
}

func TestKeysBelongToOneDocument(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		first, second := newRequest(t, f, person, profile), newRequest(t, f, person, profile)
		wallet := walletKeys(t, f, 2)
		_, err := collect(ctx, f, profile, redeem(t, f, first.ID), wallet)
		require.NoError(t, err)

		token := redeem(t, f, second.ID)
		reused := append(walletKeys(t, f, 1), wallet[1])
		reused[1].Nonce = reused[0].Nonce
		_, err = collect(ctx, f, profile, token, reused)
		codeIs(t, domain.CodeKeyReused, err)
		twice := walletKeys(t, f, 1)
		_, err = collect(ctx, f, profile, token, append(twice, twice[0]))
		codeIs(t, domain.CodeKeyReused, err)
		_, err = collect(ctx, f, profile, token, nil)
		codeIs(t, domain.CodeKeyCount, err)
		_, err = collect(ctx, f, profile, token, walletKeys(t, f, 4))
		codeIs(t, domain.CodeKeyCount, err)
		_, err = f.Store.DocumentOfRequest(ctx, second.ID)
		require.Error(t, err, "a refused collection leaves no intent")
		_, err = collect(ctx, f, profile, token, walletKeys(t, f, 3))
		require.NoError(t, err)
	})
}

// The rules count once more when the wallet comes; what is missing then takes no status index.
func TestCollectionChecksAgain(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := f.Profile(t, "mdl")
		lists := func() (n int) {
			require.NoError(t, rawSQL(t, f).QueryRowContext(ctx, `SELECT count(*) FROM status_entries`).Scan(&n))
			return n
		}
		for name, c := range map[string]struct {
			change func(p *domain.Person)
			code   domain.Code
		}{
			"inactive":     {func(p *domain.Person) { p.Status = domain.PersonInactive }, domain.CodePersonInactive},
			"data missing": {func(p *domain.Person) { delete(p.Attributes, "issuing_country") }, domain.CodeMissingData},
		} {
			person := f.Person(t)
			r := newRequest(t, f, person, profile)
			token := redeem(t, f, r.ID)
			changed := person
			c.change(&changed)
			changed, err := f.Issuer.UpdatePerson(ctx, f.Admin(), changed)
			require.NoError(t, err)
			before := lists()
			_, err = collect(ctx, f, profile, token, walletKeys(t, f, 1))
			codeIs(t, c.code, err, name)
			require.Equal(t, before, lists())
			require.Equal(t, domain.RequestAwaitingCollection, reload(t, f, r.ID).State)
			require.Equal(t, c.code, reload(t, f, r.ID).FailureCode)

			// Mended, the same token serves.
			person = issuertest.NewPerson()
			person.ID, person.Version = changed.ID, changed.Version
			_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), person)
			require.NoError(t, err)
			_, err = collect(ctx, f, profile, token, walletKeys(t, f, 1))
			require.NoError(t, err, name)
			require.Empty(t, reload(t, f, r.ID).FailureCode)
		}
	})
}

// Signed bytes are kept for a wallet that lost the answer, and no longer.
func TestSignedBytesAreErased(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := f.Profile(t, "mdl")
		r := newRequest(t, f, f.Person(t), profile)
		token, wallet := redeem(t, f, r.ID), walletKeys(t, f, 1)
		_, err := collect(ctx, f, profile, token, wallet)
		require.NoError(t, err)
		start := func(context.Context, string) error { return nil }
		_, err = f.Issuer.Reconcile(ctx, start)
		require.NoError(t, err)
		_, err = collect(ctx, f, profile, token, wallet)
		require.NoError(t, err, "within the time they are kept")
		f.Clock.Advance(f.Config.KeepSigned + time.Minute)
		_, err = f.Issuer.Reconcile(ctx, start)
		require.NoError(t, err)
		require.Nil(t, copiesOf(t, f, r.ID)[0].IssuerSigned)
		_, err = collect(ctx, f, profile, token, wallet)
		require.Contains(t, []domain.Code{domain.CodeOfferInvalid, domain.CodeTokenInvalid}, domain.CodeOf(err))
	})
}

// Forty requests of forty people are collected at once: every status index is another one.
func TestParallelIssuance(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl")
		const n = 40
		tokens, wallets := make([]string, n), make([][]issuer.WalletKey, n)
		person := f.Person(t)
		for i := range tokens {
			tokens[i], wallets[i] = redeem(t, f, newRequest(t, f, person, profile).ID), walletKeys(t, f, 2)
		}
		var done atomic.Int64
		g, gctx := errgroup.WithContext(t.Context())
		g.SetLimit(8)
		for i := range tokens {
			g.Go(func() error {
				signed, err := collect(gctx, f, profile, tokens[i], wallets[i])
				if err == nil && len(signed) != 2 {
					err = fmt.Errorf("%d copies", len(signed))
				}
				done.Add(1)
				return err
			})
		}
		require.NoError(t, g.Wait())
		require.EqualValues(t, n, done.Load())
		var indices int
		require.NoError(t, rawSQL(t, f).QueryRowContext(t.Context(), `SELECT count(*) FROM status_entries WHERE value = 0`).Scan(&indices))
		require.Equal(t, 2*n, indices)
	})
}
