package issuer_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// Every refusal of a request names what is wrong and changes nothing; the preview tells the same.
func TestRequestsRefused(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl")
		bare := f.Person(t, func(p *domain.Person) { p.Email, p.Mobile = "", "" })
		incomplete, err := f.Issuer.CreatePerson(ctx, f.Admin(), "", domain.Person{GivenName: "A", FamilyName: "B", Email: "a@b.example",
			Attributes: map[string]any{"issuing_country": "UT", "driving_privileges": "none"}})
		require.NoError(t, err)
		gone := f.Person(t, func(p *domain.Person) { p.Status = domain.PersonInactive })
		soon := f.Person(t, func(p *domain.Person) { p.MaxExpiry = "2020-01-01" })
		both := f.Profile(t, "both", func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyDefault })
		none := f.Profile(t, "none", func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyNone })
		of := func(personID, profileID string, expiry domain.Date) issuer.NewRequest {
			return issuer.NewRequest{PersonID: personID, ProfileID: profileID, ExpiryDate: expiry}
		}
		long := domain.DateOf(f.Clock.Now().AddDate(2, 0, 0))
		last := domain.DateOf(f.Clock.Now().AddDate(0, 0, 455))

		// A profile whose format is not installed any more: stored as an earlier version of the server let it.
		lost := domain.Profile{ID: newID(t), Name: "lost", Version: 1, CreatedAt: f.Clock.Now(), Options: profile.Options}
		lost.Options.Format = "no-such-format"
		require.NoError(t, f.Store.InsertProfile(ctx, lost))

		for name, c := range map[string]struct {
			in     issuer.NewRequest
			code   domain.Code
			fields []string
		}{
			"unknown person":     {of("none", profile.ID, ""), domain.CodeNotFound, nil},
			"person not text":    {of("a\x00", profile.ID, ""), domain.CodeNotFound, nil},
			"no person":          {of("", profile.ID, ""), domain.CodeNotFound, nil},
			"unknown profile":    {of(person.ID, "none", ""), domain.CodeNotFound, nil},
			"date broken":        {of(person.ID, profile.ID, "1.1.2030"), domain.CodeInvalid, []string{"expiry_date"}},
			"date over":          {of(person.ID, profile.ID, "2020-01-01"), domain.CodeLifetimeOver, nil},
			"date past signer":   {of(person.ID, profile.ID, long), domain.CodeLifetimeBeyondSigner, nil},
			"person's end":       {of(soon.ID, profile.ID, ""), domain.CodeLifetimeOver, nil},
			"inactive":           {of(gone.ID, profile.ID, ""), domain.CodePersonInactive, nil},
			"no address":         {of(bare.ID, profile.ID, ""), domain.CodeMissingContact, []string{"email"}},
			"no address, no SMS": {of(bare.ID, both.ID, ""), domain.CodeMissingContact, []string{"email", "mobile"}},
			"format gone":        {of(person.ID, lost.ID, ""), domain.CodeUnknownFormat, []string{"format"}},
			"every missing value": {of(incomplete.ID, profile.ID, ""), domain.CodeMissingData,
				[]string{"birth_date", "issuing_authority", "portrait", "driving_privileges", "un_distinguishing_sign"}},
		} {
			t.Run(name, func(t *testing.T) {
				head := f.AuditHead(t)
				_, err := f.Issuer.CreateRequest(t.Context(), f.Admin(), "", c.in)
				codeIs(t, c.code, err)
				if c.fields != nil {
					var short []string
					for _, field := range fieldsOf(t, err) {
						short = append(short, field[strings.LastIndexAny(field, "./")+1:])
					}
					require.ElementsMatch(t, c.fields, short)
				}
				require.Equal(t, head, f.AuditHead(t), "nothing changed")
				preview, err := f.Issuer.PreviewRequest(t.Context(), f.Admin(), c.in)
				switch c.code {
				case domain.CodeNotFound, domain.CodeInvalid:
					codeIs(t, c.code, err)
				default:
					require.NoError(t, err)
					require.NotEmpty(t, preview.Problems)
				}
			})
		}

		all, err := f.Issuer.Requests(ctx, f.Admin(), issuer.RequestFilter{}, "", 0)
		require.NoError(t, err)
		require.Empty(t, all)
		for name, in := range map[string]issuer.NewRequest{
			"nothing is sent, so nothing is needed": {PersonID: bare.ID, ProfileID: none.ID},
			"the last day a signer covers":          {PersonID: person.ID, ProfileID: profile.ID, ExpiryDate: last},
		} {
			_, err := f.Issuer.CreateRequest(ctx, f.Admin(), "", in)
			require.NoError(t, err, name)
		}
	})
}

func TestRequestsNeedAPermission(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		in := issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID}
		self := f.Caller(t, "self", person.ID, issuertest.Grants{domain.PermRequest: domain.ScopeSelf})
		other := f.Caller(t, "other", f.Person(t).ID, issuertest.Grants{domain.PermRequest: domain.ScopeSelf})
		_, err := f.Issuer.CreateRequest(ctx, self, "", in)
		require.NoError(t, err)
		for _, call := range []func(domain.Caller) error{
			func(c domain.Caller) error { _, err := f.Issuer.CreateRequest(ctx, c, "", in); return err },
			func(c domain.Caller) error { _, err := f.Issuer.PreviewRequest(ctx, c, in); return err },
		} {
			codeIs(t, domain.CodeForbidden, call(operator(t, f, "n"+newID(t), domain.PermApprove)))
			codeIs(t, domain.CodeNotFound, call(other), "out of scope is as if it were not there")
		}
	})
}

func TestDecisions(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateIssuance = true })
		first, second := operator(t, f, "first", domain.PermApprove), operator(t, f, "second", domain.PermApprove, domain.PermRequest)
		recipient := f.Caller(t, "recipient", person.ID, issuertest.All(domain.PermApprove))
		in := issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID}

		// Neither requester nor recipient decides.
		r, err := f.Issuer.CreateRequest(ctx, second, "", in)
		require.NoError(t, err)
		head := f.AuditHead(t)
		for _, c := range []domain.Caller{second, recipient} {
			_, err = f.Issuer.Approve(ctx, c, r.ID, issuer.Approval{})
			codeIs(t, domain.CodeSelfApproval, err)
			_, err = f.Issuer.Reject(ctx, c, r.ID, "no")
			codeIs(t, domain.CodeSelfApproval, err)
			reviews, err := f.Issuer.Reviews(ctx, c, "", 0)
			require.NoError(t, err)
			require.Empty(t, reviews)
		}
		_, err = f.Issuer.Approve(ctx, operator(t, f, "clerk", domain.PermRequest), r.ID, issuer.Approval{})
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.Approve(ctx, first, "none", issuer.Approval{})
		codeIs(t, domain.CodeNotFound, err)
		for _, reason := range []string{"", strings.Repeat("ä", 1001), "a\x00b", "\xff"} {
			_, err = f.Issuer.Reject(ctx, first, r.ID, reason)
			codeIs(t, domain.CodeInvalid, err, "%q", reason)
			require.Equal(t, []string{"reason"}, fieldsOf(t, err))
		}
		_, err = f.Issuer.Approve(ctx, first, r.ID, issuer.Approval{ExpiryDate: "tomorrow"})
		codeIs(t, domain.CodeInvalid, err)
		_, err = f.Issuer.Approve(ctx, first, r.ID, issuer.Approval{ProfileID: "none"})
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.Resend(ctx, second, r.ID)
		codeIs(t, domain.CodeWrongState, err)
		require.Equal(t, domain.RequestAwaitingApproval, reload(t, f, r.ID).State)
		require.GreaterOrEqual(t, f.AuditHead(t), head)

		// The second decision names the first.
		r, err = f.Issuer.Approve(ctx, first, r.ID, issuer.Approval{})
		require.NoError(t, err)
		third := operator(t, f, "third", domain.PermApprove)
		for _, decide := range []func() error{
			func() error { _, err := f.Issuer.Approve(ctx, third, r.ID, issuer.Approval{}); return err },
			func() error { _, err := f.Issuer.Reject(ctx, third, r.ID, "too late"); return err },
		} {
			err = decide()
			codeIs(t, domain.CodeAlreadyDecided, err)
			require.Equal(t, "approved", detail(t, err, "decision"))
			require.Equal(t, first.AccountID, detail(t, err, "decided_by"))
			at, parseErr := time.Parse(time.RFC3339, detail(t, err, "decided_at"))
			require.NoError(t, parseErr)
			require.WithinDuration(t, f.Clock.Now(), at, time.Minute)
		}

		rejected, err := f.Issuer.CreateRequest(ctx, second, "", in)
		require.NoError(t, err)
		rejected, err = f.Issuer.Reject(ctx, first, rejected.ID, "no driving test")
		require.NoError(t, err)
		require.Equal(t, domain.RequestRejected, rejected.State)
		require.Equal(t, "no driving test", rejected.DecisionReason)
		_, err = f.Issuer.Approve(ctx, third, rejected.ID, issuer.Approval{})
		codeIs(t, domain.CodeAlreadyDecided, err)
		require.Equal(t, "rejected", detail(t, err, "decision"))
		_, err = f.Issuer.CancelRequest(ctx, second, rejected.ID, "")
		codeIs(t, domain.CodeWrongState, err)
		require.Len(t, f.Mail.Sent(), 2, "a rejected request has no link and code")

		canceled, err := f.Issuer.CreateRequest(ctx, second, "", in)
		require.NoError(t, err)
		_, err = f.Issuer.CancelRequest(ctx, second, canceled.ID, "twice")
		require.NoError(t, err)
		_, err = f.Issuer.Approve(ctx, first, canceled.ID, issuer.Approval{})
		codeIs(t, domain.CodeWrongState, err)
	})
}

func TestApprovalMaySwitchProfileAndExpiry(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateIssuance = true })
		badge := f.Profile(t, "badge", func(o *domain.ProfileOptions) { o.Format = "staff-badge" })
		boss := operator(t, f, "boss", domain.PermApprove)
		r := newRequest(t, f, person, profile)
		last := domain.DateOf(f.Clock.Now().AddDate(0, 0, 20))
		r, err := f.Issuer.Approve(ctx, boss, r.ID, issuer.Approval{ProfileID: badge.ID, ExpiryDate: last})
		require.NoError(t, err)
		require.Equal(t, badge.ID, r.ProfileID)
		require.Equal(t, last, r.ExpiryDate)
		_, err = collect(ctx, f, profile, redeem(t, f, r.ID), walletKeys(t, f, 1))
		codeIs(t, domain.CodeInvalid, err, "the other profile was not granted")
		signed, err := collect(ctx, f, badge, redeemed(t, f, r), walletKeys(t, f, 1))
		require.NoError(t, err)
		result := verify(t, f, signed[0])
		require.Equal(t, "org.mdocket.badge.1", result.Verified.MSO.DocType)
		require.Equal(t, last.End().Add(-time.Second), result.Verified.MSO.Validity.ValidUntil)

		// At approval the rules count again, for what is approved.
		again := newRequest(t, f, person, profile)
		_, err = f.Issuer.Approve(ctx, boss, again.ID, issuer.Approval{ExpiryDate: domain.DateOf(f.Clock.Now().AddDate(3, 0, 0))})
		codeIs(t, domain.CodeLifetimeBeyondSigner, err)
		person.Status = domain.PersonInactive
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), person)
		require.NoError(t, err)
		_, err = f.Issuer.Approve(ctx, boss, again.ID, issuer.Approval{})
		codeIs(t, domain.CodePersonInactive, err)
		require.Equal(t, domain.RequestAwaitingApproval, reload(t, f, again.ID).State)
	})
}

// redeemed gives another access token for a request whose code was redeemed: by a re-send.
func redeemed(t *testing.T, f *issuertest.Fixture, r domain.Request) string {
	t.Helper()
	_, err := f.Issuer.Resend(t.Context(), f.Admin(), r.ID)
	require.NoError(t, err)
	return redeem(t, f, r.ID)
}

// Ten approvers decide at the same time: one decision counts, and everybody else learns whose.
func TestParallelDecisions(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateIssuance = true })
		r := newRequest(t, f, person, profile)
		boss := operator(t, f, "boss", domain.PermApprove)
		var mu sync.Mutex
		var winners, losers []string
		g, gctx := errgroup.WithContext(ctx)
		for i := range 10 {
			c := boss
			c.AccountID = newID(t)
			g.Go(func() error {
				var err error
				if i%2 == 0 {
					_, err = f.Issuer.Approve(gctx, c, r.ID, issuer.Approval{})
				} else {
					_, err = f.Issuer.Reject(gctx, c, r.ID, "no")
				}
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					winners = append(winners, c.AccountID)
				case domain.CodeOf(err) == domain.CodeAlreadyDecided:
					losers = append(losers, detail(t, err, "decided_by"))
				default:
					return err
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		require.Len(t, winners, 1)
		require.Len(t, losers, 9)
		for _, by := range losers {
			require.Equal(t, winners[0], by)
		}
		require.Equal(t, winners[0], reload(t, f, r.ID).DecidedBy)
	})
}

func TestIdempotencyKeys(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		in := issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID}
		r, err := f.Issuer.CreateRequest(ctx, f.Admin(), "key-1", in)
		require.NoError(t, err)
		same, err := f.Issuer.CreateRequest(ctx, f.Admin(), "key-1", in)
		require.NoError(t, err)
		require.Equal(t, r.ID, same.ID)
		require.Len(t, f.Mail.Sent(), 2, "nothing is sent a second time")

		other := in
		other.ExpiryDate = domain.DateOf(f.Clock.Now().AddDate(0, 0, 9))
		_, err = f.Issuer.CreateRequest(ctx, f.Admin(), "key-1", other)
		codeIs(t, domain.CodeIdempotencyReused, err, "other content")
		_, err = f.Issuer.CreatePerson(ctx, f.Admin(), "key-1", issuertest.NewPerson())
		codeIs(t, domain.CodeIdempotencyReused, err, "another act")
		theirs, err := f.Issuer.CreateRequest(ctx, operator(t, f, "other", domain.PermRequest), "key-1", in)
		require.NoError(t, err)
		require.NotEqual(t, r.ID, theirs.ID, "another caller's keys are its own")
		for _, key := range []string{strings.Repeat("k", 256), "a b", "k\x00", "ü"} {
			_, err = f.Issuer.CreateRequest(ctx, f.Admin(), key, in)
			codeIs(t, domain.CodeInvalid, err)
			require.Equal(t, []string{"idempotency_key"}, fieldsOf(t, err))
		}

		// A repetition is accepted even when the rules would refuse it by now.
		person.Status = domain.PersonInactive
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), person)
		require.NoError(t, err)
		same, err = f.Issuer.CreateRequest(ctx, f.Admin(), "key-1", in)
		require.NoError(t, err)
		require.Equal(t, r.ID, same.ID)
		_, err = f.Issuer.CreateRequest(ctx, f.Admin(), "key-2", in)
		codeIs(t, domain.CodePersonInactive, err)
		person.Status, person.Version = domain.PersonActive, person.Version+1
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), person)
		require.NoError(t, err)
		_, err = f.Issuer.CreateRequest(ctx, f.Admin(), "key-2", in)
		require.NoError(t, err, "a refused call did not use its key up")

		// The same of every other creating act.
		for name, create := range map[string]func(key string) (string, error){
			"person": func(key string) (string, error) {
				p := issuertest.NewPerson()
				p.ExternalID = "once"
				p, err := f.Issuer.CreatePerson(ctx, f.Admin(), key, p)
				return p.ID, err
			},
			"profile": func(key string) (string, error) {
				p, err := f.Issuer.CreateProfile(ctx, f.Admin(), key, issuer.SaveProfile{Name: "once", Options: profile.Options})
				return p.ID, err
			},
			"account": func(key string) (string, error) {
				a, err := f.Issuer.CreateAccount(ctx, f.Admin(), key, issuer.NewAccount{Name: "once", Password: "a long enough password"})
				return a.ID, err
			},
			"role": func(key string) (string, error) {
				r, err := f.Issuer.CreateRole(ctx, f.Admin(), key, issuer.SaveRole{Name: "once", Permissions: domain.Permissions()})
				return r.ID, err
			},
		} {
			id, err := create("once " + name)
			codeIs(t, domain.CodeInvalid, err)
			require.Empty(t, id)
			first, err := create("once-" + name)
			require.NoError(t, err, name)
			second, err := create("once-" + name)
			require.NoError(t, err, name)
			require.Equal(t, first, second, name)
			_, err = create("")
			codeIs(t, domain.CodeConflict, err, name)
		}
	})
}

func TestParallelCallsWithOneKeyMakeOneThing(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person, profile := f.Person(t), f.Profile(t, "mdl")
		ids := make([]string, 20)
		g, gctx := errgroup.WithContext(t.Context())
		for i := range ids {
			g.Go(func() error {
				r, err := f.Issuer.CreateRequest(gctx, f.Admin(), "same", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
				ids[i] = r.ID
				return err
			})
		}
		require.NoError(t, g.Wait())
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
		all, err := f.Issuer.Requests(t.Context(), f.Admin(), issuer.RequestFilter{}, "", 0)
		require.NoError(t, err)
		require.Len(t, all, 1)
	})
}

// An accepted request is never lost: what was received while the engine was down starts later, once.
func TestReconcile(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		f.Engine.SetDown(true)
		r := newRequest(t, f, person, profile)
		require.Equal(t, domain.RequestReceived, r.State)
		require.NotContains(t, f.Logs.String(), person.Email)
		_, err := f.Issuer.CancelRequest(ctx, f.Admin(), r.ID, "")
		codeIs(t, domain.CodeEngineUnavailable, err)
		f.Engine.SetDown(false)

		none, err := f.Issuer.Reconcile(ctx, f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Zero(t, none, "a fresh one may still start by itself")
		f.Clock.Advance(11 * time.Second)
		f.Engine.SetDown(true)
		_, err = f.Issuer.Reconcile(ctx, f.Engine.StartIssuance)
		codeIs(t, domain.CodeEngineUnavailable, err)
		f.Engine.SetDown(false)
		n, err := f.Issuer.Reconcile(ctx, f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, domain.RequestAwaitingCollection, reload(t, f, r.ID).State)
		n, err = f.Issuer.Reconcile(ctx, f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Len(t, f.Mail.Sent(), 2)

		// A request whose workflow was lost gets one when somebody acts on it, and when its deadline was not kept.
		f.Engine.Forget(r.ID)
		_, err = f.Issuer.Resend(ctx, f.Admin(), r.ID)
		require.NoError(t, err)
		require.Equal(t, 2, reload(t, f, r.ID).Generation)
		f.Clock.Advance(721 * time.Hour)
		n, err = f.Issuer.Reconcile(ctx, func(ctx context.Context, id string) error {
			_, err := f.Issuer.Expire(ctx, id)
			return err
		})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, domain.RequestExpired, reload(t, f, r.ID).State)
	})
}

func TestExpiry(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		approval := f.Profile(t, "approval", func(o *domain.ProfileOptions) { o.ValidateIssuance = true })
		waiting, ready := newRequest(t, f, person, approval), newRequest(t, f, person, f.Profile(t, "mdl"))
		snap, err := f.Issuer.Expire(ctx, waiting.ID)
		require.NoError(t, err)
		require.Equal(t, domain.RequestAwaitingApproval, snap.State, "not before the deadline")
		require.Equal(t, 72*time.Hour, snap.ReminderEvery)
		require.WithinDuration(t, f.Clock.Now().Add(720*time.Hour), snap.Deadline, time.Minute)
		link, code := onScreen(t, f, ready.ID)
		offer, err := f.Issuer.Offer(ctx, link)
		require.NoError(t, err)

		f.Clock.Advance(720*time.Hour + time.Second)
		_, err = f.Issuer.Offer(ctx, link)
		codeIs(t, domain.CodeOfferExpired, err, "the deadline counts even when nobody has kept it yet")
		_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, code, "s")
		codeIs(t, domain.CodeOfferExpired, err)
		for _, id := range []string{waiting.ID, ready.ID} {
			for range 2 {
				snap, err = f.Issuer.Expire(ctx, id)
				require.NoError(t, err)
				require.Equal(t, domain.RequestExpired, snap.State)
			}
		}
		_, err = f.Issuer.Offer(ctx, link)
		codeIs(t, domain.CodeOfferExpired, err)
		_, err = f.Issuer.Resend(ctx, f.Admin(), ready.ID)
		codeIs(t, domain.CodeWrongState, err, "an expired offer stays expired")
		_, err = f.Issuer.Approve(ctx, operator(t, f, "boss", domain.PermApprove), waiting.ID, issuer.Approval{})
		codeIs(t, domain.CodeWrongState, err)
		_, err = f.Issuer.Expire(ctx, "none")
		codeIs(t, domain.CodeNotFound, err)
	})
}
