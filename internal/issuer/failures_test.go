package issuer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// withoutFormat makes the formats of the authority unknown until the test puts them back.
func withoutFormat(t *testing.T, f *issuertest.Fixture) (back func()) {
	t.Helper()
	formats := f.Issuer.Formats
	f.Issuer.Formats = &format.Registry{}
	return func() { f.Issuer.Formats = formats }
}

// refusals gives the codes of the refused collections in the request's timeline, oldest first.
func refusals(t *testing.T, f *issuertest.Fixture, id string) []string {
	t.Helper()
	entries, err := f.Store.Audit(t.Context(), issuer.AuditFilter{RequestID: id, Action: "request.refused"}, 0, 100)
	require.NoError(t, err)
	out := []string{}
	for _, e := range entries {
		require.Equal(t, "wallet", e.Actor)
		require.Equal(t, e.Reason, e.Changes["failure_code"].After)
		out = append(out, e.Reason)
	}
	return out
}

// TestFailedTable walks the table "When a request fails" of docs/profiles.md (C4).
func TestFailedTable(t *testing.T) {
	type world struct {
		f       *issuertest.Fixture
		person  domain.Person
		profile domain.Profile
	}
	inactive := func(t *testing.T, w world) {
		update(t, w.f, w.person.ID, func(p *domain.Person) { p.Status = domain.PersonInactive })
	}
	incomplete := func(t *testing.T, w world) {
		update(t, w.f, w.person.ID, func(p *domain.Person) { delete(p.Attributes, "issuing_country") })
	}
	over := func(t *testing.T, w world) {
		update(t, w.f, w.person.ID, func(p *domain.Person) { p.MaxExpiry = "2020-01-01" })
	}
	gone := func(t *testing.T, w world) { t.Cleanup(withoutFormat(t, w.f)) }
	nothing := func(*testing.T, world) {}

	t.Run("before it begins", func(t *testing.T) {
		for name, c := range map[string]struct {
			happens func(t *testing.T, w world)
			state   domain.RequestState
			code    domain.Code
		}{
			"nothing":        {nothing, domain.RequestAwaitingCollection, ""},
			"lifetime over":  {over, domain.RequestFailed, domain.CodeLifetimeOver},
			"unknown format": {gone, domain.RequestFailed, domain.CodeUnknownFormat},
			"inactive":       {inactive, domain.RequestAwaitingCollection, ""},
			"data missing":   {incomplete, domain.RequestAwaitingCollection, ""},
		} {
			for _, approval := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, approval %t", name, approval), func(t *testing.T) {
					f := issuertest.New(t, issuertest.Options{})
					w := world{f, f.Person(t), f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateIssuance = approval })}
					f.Engine.SetDown(true)
					r := newRequest(t, f, w.person, w.profile)
					f.Engine.SetDown(false)
					c.happens(t, w)
					snap, err := f.Issuer.Begin(t.Context(), r.ID)
					require.NoError(t, err)
					want := c.state
					if approval && want == domain.RequestAwaitingCollection {
						want = domain.RequestAwaitingApproval
					}
					require.Equal(t, want, snap.State)
					now := reload(t, f, r.ID)
					require.Equal(t, want, now.State)
					require.Equal(t, c.code, now.FailureCode)
					again, err := f.Issuer.Begin(t.Context(), r.ID)
					require.NoError(t, err)
					require.Equal(t, want, again.State, "it begins once")
					if want == domain.RequestFailed {
						require.Zero(t, now.Generation, "there was never a link or code")
						timeline, err := f.Issuer.Timeline(t.Context(), f.Admin(), r.ID, 0, 0)
						require.NoError(t, err)
						require.Equal(t, []string{"request.create", "request.fail"}, actionsOf(timeline))
						require.Equal(t, domain.Change{After: string(c.code)}, timeline[1].Changes["failure_code"])
					}
					checkInvariants(t, f)
				})
			}
		}
	})

	t.Run("when a wallet comes", func(t *testing.T) {
		for name, c := range map[string]struct {
			happens func(t *testing.T, w world)
			code    domain.Code // of the collection
			state   domain.RequestState
			late    domain.RequestState // at the deadline
		}{
			"nothing happens, nobody comes": {nil, "", domain.RequestAwaitingCollection, domain.RequestExpired},
			"inactive":                      {inactive, domain.CodePersonInactive, domain.RequestAwaitingCollection, domain.RequestFailed},
			"data missing":                  {incomplete, domain.CodeMissingData, domain.RequestAwaitingCollection, domain.RequestFailed},
			"unknown format":                {gone, domain.CodeUnknownFormat, domain.RequestAwaitingCollection, domain.RequestFailed},
			"lifetime over":                 {over, domain.CodeLifetimeOver, domain.RequestFailed, domain.RequestFailed},
		} {
			t.Run(name, func(t *testing.T) {
				f := issuertest.New(t, issuertest.Options{})
				w := world{f, f.Person(t), f.Profile(t, "mdl")}
				r := newRequest(t, f, w.person, w.profile)
				token := redeem(t, f, r.ID)
				if c.happens != nil {
					c.happens(t, w)
					wallet := walletKeys(t, f, 1)
					for range 3 {
						_, err := collect(t.Context(), f, w.profile, token, wallet)
						if c.state == domain.RequestFailed && reload(t, f, r.ID).State == domain.RequestFailed && domain.CodeOf(err) == domain.CodeOfferInvalid {
							continue // the second time the request has ended
						}
						codeIs(t, c.code, err)
					}
				}
				now := reload(t, f, r.ID)
				require.Equal(t, c.state, now.State)
				require.Equal(t, c.code, now.FailureCode)
				f.Clock.Advance(721 * time.Hour)
				snap, err := f.Issuer.Expire(t.Context(), r.ID)
				require.NoError(t, err)
				require.Equal(t, c.late, snap.State)
				now = reload(t, f, r.ID)
				require.Equal(t, c.late, now.State)
				require.Equal(t, c.code, now.FailureCode)
				checkInvariants(t, f)
			})
		}
	})
}

// A refusal is kept with the request, is in the audit once for each code and generation, and is gone when a collection succeeds.
func TestRefusedCollectionsAreKept(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		r := newRequest(t, f, person, profile)
		token, wallet := redeem(t, f, r.ID), walletKeys(t, f, 1)
		refused := func(code domain.Code, audited ...string) {
			t.Helper()
			_, err := collect(ctx, f, profile, token, wallet)
			codeIs(t, code, err)
			now := reload(t, f, r.ID)
			require.Equal(t, code, now.FailureCode)
			require.Equal(t, domain.RequestAwaitingCollection, now.State)
			require.Equal(t, audited, refusals(t, f, r.ID))
		}
		status := func(s domain.PersonStatus) { update(t, f, person.ID, func(p *domain.Person) { p.Status = s }) }
		country := func(has bool) {
			update(t, f, person.ID, func(p *domain.Person) {
				delete(p.Attributes, "issuing_country")
				if has {
					p.Attributes["issuing_country"] = "UT"
				}
			})
		}
		status(domain.PersonInactive)
		refused(domain.CodePersonInactive, "person_inactive")
		refused(domain.CodePersonInactive, "person_inactive")
		country(false)
		status(domain.PersonActive)
		refused(domain.CodeMissingData, "person_inactive", "missing_data")
		country(true)
		status(domain.PersonInactive)
		refused(domain.CodePersonInactive, "person_inactive", "missing_data")
		entries, err := f.Store.Audit(ctx, issuer.AuditFilter{RequestID: r.ID, Action: "request.refused"}, 0, 10)
		require.NoError(t, err)
		require.Contains(t, entries[1].Notes, "issuing_country", "the operator reads what is missing")

		// A new link and code start anew.
		_, err = f.Issuer.Resend(ctx, f.Admin(), r.ID)
		require.NoError(t, err)
		require.Empty(t, reload(t, f, r.ID).FailureCode)
		token = redeem(t, f, r.ID)
		wallet[0].Nonce = walletKeys(t, f, 1)[0].Nonce
		refused(domain.CodePersonInactive, "person_inactive", "missing_data", "person_inactive")
		status(domain.PersonActive)
		_, err = collect(ctx, f, profile, token, wallet)
		require.NoError(t, err)
		now := reload(t, f, r.ID)
		require.Equal(t, domain.RequestIssued, now.State)
		require.Empty(t, now.FailureCode)

		// What is no rule is not kept.
		second := newRequest(t, f, person, profile)
		_, err = collect(ctx, f, profile, redeem(t, f, second.ID), wallet)
		codeIs(t, domain.CodeNonceInvalid, err)
		require.Empty(t, reload(t, f, second.ID).FailureCode)
		require.Empty(t, refusals(t, f, second.ID))
		_, err = f.Issuer.CancelRequest(ctx, f.Admin(), second.ID, "")
		require.NoError(t, err)
	})
}

// A request that was refused and then canceled was canceled: it has not failed.
func TestCanceledAfterARefusal(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person, profile := f.Person(t), f.Profile(t, "mdl")
		r := newRequest(t, f, person, profile)
		token := redeem(t, f, r.ID)
		update(t, f, person.ID, func(p *domain.Person) { p.Status = domain.PersonInactive })
		_, err := collect(t.Context(), f, profile, token, walletKeys(t, f, 1))
		codeIs(t, domain.CodePersonInactive, err)
		_, err = f.Issuer.CancelRequest(t.Context(), f.Admin(), r.ID, "left")
		require.NoError(t, err)
		now := reload(t, f, r.ID)
		require.Equal(t, domain.RequestCanceled, now.State)
		require.Empty(t, now.FailureCode)
	})
}

// Whatever anybody does in whatever order, requests move as the table of states says, and the timeline tells every move.
func TestRandomActsKeepToTheStates(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ended := map[domain.RequestState]int{}
		for seed := range uint64(24) {
			ended[randomActs(t, f, rand.New(rand.NewPCG(seed, 4)))]++
		}
		t.Log(ended)
		require.GreaterOrEqual(t, len(ended), 4, "the walks end in many places")
	})
}

// randomActs drives one request by forty acts and gives the state it came to.
func randomActs(t *testing.T, f *issuertest.Fixture, random *rand.Rand) domain.RequestState {
	t.Helper()
	ctx := t.Context()
	name := fmt.Sprintf("r%d", random.Uint64())
	blocks := random.IntN(2) == 0
	profile := f.Profile(t, name, func(o *domain.ProfileOptions) {
		o.ValidateIssuance, o.RequireDataApproved, o.BlockMultipleRequests = random.IntN(2) == 0, random.IntN(4) == 0, blocks
		o.ExclusiveGroup = name
	})
	other := f.Profile(t, name+"-other", func(o *domain.ProfileOptions) { o.ExclusiveGroup = name })
	person := f.Person(t)
	setSettings(t, f, func(s *domain.Settings) { s.RequestBeforeDataApproval = true })
	boss := operator(t, f, name+"-boss", domain.PermApprove)
	f.Engine.SetDown(random.IntN(3) == 0)
	r := newRequest(t, f, person, profile)
	f.Engine.SetDown(false)

	token := ""
	var did []string
	acts := map[string]func() error{
		"begin":   func() error { _, err := f.Issuer.Begin(ctx, r.ID); return err },
		"expire":  func() error { _, err := f.Issuer.Expire(ctx, r.ID); return err },
		"approve": func() error { _, err := f.Issuer.Approve(ctx, boss, r.ID, issuer.Approval{}); return err },
		"switch": func() error {
			_, err := f.Issuer.Approve(ctx, boss, r.ID, issuer.Approval{ProfileID: other.ID})
			return err
		},
		"reject": func() error { _, err := f.Issuer.Reject(ctx, boss, r.ID, "no"); return err },
		"cancel": func() error { _, err := f.Issuer.CancelRequest(ctx, f.Admin(), r.ID, ""); return err },
		"resend": func() error { _, err := f.Issuer.Resend(ctx, f.Admin(), r.ID); return err },
		"redeem": func() error {
			shown, err := f.Issuer.ViewCode(ctx, f.Admin(), r.ID)
			if err != nil {
				return err
			}
			offer, err := f.Issuer.Offer(ctx, linkOf(t, shown.Link))
			if err != nil {
				return err
			}
			code := shown.Code
			if random.IntN(2) == 0 {
				code = wrong(code)
			}
			redeemed, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, code, name)
			if err == nil {
				token = redeemed.AccessToken
			}
			return err
		},
		"collect": func() error {
			now, err := f.Store.Profile(ctx, reload(t, f, r.ID).ProfileID)
			if err != nil {
				return err
			}
			_, err = collect(ctx, f, now, token, walletKeys(t, f, 1))
			return err
		},
		"forget": func() error { f.Engine.Forget(r.ID); return nil },
		"change person": func() error {
			update(t, f, person.ID, func(p *domain.Person) {
				p.Status = []domain.PersonStatus{domain.PersonActive, domain.PersonInactive}[random.IntN(2)]
				p.MaxExpiry = []domain.Date{"", "", "", "2020-01-01"}[random.IntN(4)]
			})
			return nil
		},
		"approve data": func() error { approvedData(t, f, person.ID); return nil },
		"exclude": func() error {
			if random.IntN(4) > 0 {
				return nil
			}
			p, err := f.Store.Person(ctx, person.ID)
			if err != nil || p.Status != domain.PersonActive || p.MaxExpiry != "" {
				return err
			}
			another, err := f.Issuer.CreateRequest(ctx, f.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: other.ID})
			if err != nil {
				return err
			}
			_, err = collect(ctx, f, other, redeem(t, f, another.ID), walletKeys(t, f, 1))
			return err
		},
		"later": func() error {
			f.Clock.Advance([]time.Duration{time.Hour, 100 * time.Hour, 800 * time.Hour}[random.IntN(3)])
			return nil
		},
	}
	names := []string{"redeem", "redeem", "redeem", "redeem", "collect", "collect", "collect", "approve", "approve", "approve data", "begin", "resend",
		"change person", "change person"} // these more often than the rest, or nearly every walk ends soon
	for act := range acts {
		names = append(names, act)
	}
	slices.Sort(names)
	for range 40 {
		act := names[random.IntN(len(names))]
		did = append(did, act)
		if err := acts[act](); err != nil {
			require.NotEqual(t, domain.CodeInternal, domain.CodeOf(err), "%v: %v", did, err)
		}
		now := reload(t, f, r.ID)
		require.Equal(t, now.FailureCode != "", now.State == domain.RequestFailed || now.State.Open() && now.FailureCode != "",
			"%v: only what failed or may fail has a failure code", did)
	}
	// The timeline is one walk over the table, from the receipt to where the request stands.
	timeline, err := f.Store.Audit(ctx, issuer.AuditFilter{RequestID: r.ID}, 0, 1000)
	require.NoError(t, err)
	at := domain.RequestState("")
	for _, e := range timeline {
		moved, ok := e.Changes["state"]
		if !ok || e.Subject != r.ID {
			continue
		}
		require.Equal(t, string(at), moved.Before, "%v", did)
		next := domain.RequestState(moved.After)
		require.True(t, at == "" && next == domain.RequestReceived || at.Can(next), "%v: from %s to %s", did, at, next)
		at = next
	}
	require.Equal(t, reload(t, f, r.ID).State, at, "%v", did)
	return at
}
