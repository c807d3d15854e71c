package issuer_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/workflows/messages"
)

// tend sweeps the documents.
func tend(t *testing.T, f *issuertest.Fixture) messages.ExpiryResult {
	t.Helper()
	done, err := f.Issuer.SweepDocuments(t.Context())
	require.NoError(t, err)
	return done
}

// at moves the clock to an instant to come.
func at(t *testing.T, f *issuertest.Fixture, instant time.Time) {
	t.Helper()
	ahead := instant.Sub(f.Clock.Now())
	require.Positive(t, ahead)
	f.Clock.Advance(ahead)
}

// daysBefore is a moment of the day so many days before the document's last one.
func daysBefore(d domain.Document, days int) time.Time {
	return domain.DateOf(d.ValidUntil).Start().AddDate(0, 0, -days).Add(time.Minute)
}

func lasts(days int) func(*domain.ProfileOptions) {
	return func(o *domain.ProfileOptions) {
		o.LifetimeDays, o.SelfService.NotifyOutcome = days, domain.OutcomeQuiet
	}
}

func renews(r domain.RenewalOptions) func(*domain.ProfileOptions) {
	return func(o *domain.ProfileOptions) { o.Renewal = r }
}

func remindOn(t *testing.T, f *issuertest.Fixture, days ...int) {
	t.Helper()
	s, err := f.Issuer.Settings(t.Context(), f.Admin())
	require.NoError(t, err)
	s.ExpiryReminderDays = days
	_, err = f.Issuer.ChangeSettings(t.Context(), f.Admin(), s)
	require.NoError(t, err)
}

// changed stores a change of a person.
func changed(t *testing.T, f *issuertest.Fixture, personID string, change func(p *domain.Person)) {
	t.Helper()
	p, err := f.Store.Person(t.Context(), personID)
	require.NoError(t, err)
	change(&p)
	_, err = f.Issuer.UpdatePerson(t.Context(), f.Admin(), p)
	require.NoError(t, err)
}

// historyOf gives the entries of a document's history with the action.
func historyOf(t *testing.T, f *issuertest.Fixture, documentID, action string) []domain.AuditEntry {
	t.Helper()
	all, err := f.Issuer.DocumentHistory(t.Context(), f.Admin(), documentID, 0, 0)
	require.NoError(t, err)
	var out []domain.AuditEntry
	for _, e := range all {
		if e.Action == action {
			out = append(out, e)
		}
	}
	return out
}

// openUpdate gives the open update of a document; the zero request when there is none.
func openUpdate(t *testing.T, f *issuertest.Fixture, documentID string) domain.Request {
	t.Helper()
	all, err := f.Store.OpenUpdates(t.Context(), documentID)
	require.NoError(t, err)
	if len(all) == 0 {
		return domain.Request{}
	}
	return all[0]
}

// A document's whole life: each reminder once, then the end, which verifiers see before the sweep comes.
func TestRemindersAndExpiry(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		d, signed := issue(t, f, person, f.Profile(t, "mdl", lasts(100)), 1)
		require.Zero(t, tend(t, f))
		var want []string
		for _, days := range []int{60, 30, 14, 7} {
			at(t, f, daysBefore(d, days).Add(-2*time.Minute))
			require.Zero(t, tend(t, f), "%d days before, too early", days)
			at(t, f, daysBefore(d, days))
			require.Equal(t, messages.ExpiryResult{Reminded: 1}, tend(t, f))
			require.Zero(t, tend(t, f), "once")
			require.Equal(t, 1, sweep(t, f))
			want = append(want, fmt.Sprintf("expiry_reminder %d sent", days))
			require.Equal(t, want, notices(t, f, person.ID))
			mails := f.Mail.Sent()
			require.Contains(t, mails[len(mails)-1].Text, fmt.Sprintf("in %d days", days))
			require.Equal(t, person.Email, mails[len(mails)-1].To)
		}
		at(t, f, d.ValidUntil.Add(time.Second))
		for range 2 {
			state, err := f.Issuer.VerifySerial(ctx, d.Serial, "verifier")
			require.NoError(t, err)
			require.Equal(t, []any{domain.DocumentExpired, false}, []any{state.State, state.Valid})
			listed, err := f.Issuer.Documents(ctx, f.Admin(), store.DocumentFilter{State: domain.DocumentExpired}, "", 0)
			require.NoError(t, err)
			require.Len(t, listed, 1)
			require.False(t, verify(t, f, signed[0]).OK())
			tend(t, f)
		}
		require.Equal(t, domain.DocumentExpired, stateOf(t, f, d.ID))
		ended := historyOf(t, f, d.ID, "document.expire")
		require.Len(t, ended, 1)
		require.Equal(t, domain.System().AccountID, ended[0].Actor)
		require.Equal(t, domain.Change{Before: "active", After: "expired"}, ended[0].Changes["state"])
		_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentCancel, domain.ReasonLost, "")
		codeIs(t, domain.CodeWrongState, err)
		f.Clock.Advance(1000 * 24 * time.Hour)
		require.Zero(t, tend(t, f))
	})
}

// Who is not told: and what of missed reminders comes late.
func TestWhoIsReminded(t *testing.T) {
	for name, c := range map[string]struct {
		options []func(*domain.ProfileOptions)
		person  func(*domain.Person)
		days    int // before the end, when somebody looks for the first time
		before  func(t *testing.T, f *issuertest.Fixture, d domain.Document)
		want    []string
	}{
		"three missed":             {days: 10, want: []string{"expiry_reminder 14 sent"}},
		"all missed":               {days: 0, want: []string{"expiry_reminder 7 sent"}},
		"too short for the others": {options: []func(*domain.ProfileOptions){lasts(20)}, days: 14, want: []string{"expiry_reminder 14 sent"}},
		"too short for any":        {options: []func(*domain.ProfileOptions){lasts(7)}, days: 3},
		"no address":               {person: func(p *domain.Person) { p.Email = "" }, options: []func(*domain.ProfileOptions){noLetters}, days: 10},
		"scheme none":              {options: []func(*domain.ProfileOptions){noLetters}, days: 10},
		"disabled": {days: 10, before: func(t *testing.T, f *issuertest.Fixture, d domain.Document) {
			_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, "")
			require.NoError(t, err)
		}},
		"enabled again": {days: 10, before: func(t *testing.T, f *issuertest.Fixture, d domain.Document) {
			_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, "")
			require.NoError(t, err)
			tend(t, f)
			_, err = f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentEnable, "", "")
			require.NoError(t, err)
		}, want: []string{"expiry_reminder 14 sent"}},
		"canceled": {days: 10, before: func(t *testing.T, f *issuertest.Fixture, d domain.Document) {
			_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentCancel, domain.ReasonLost, "")
			require.NoError(t, err)
		}, want: []string{"cancellation lost sent"}},
		"disabled before it went out": {days: 10, before: func(t *testing.T, f *issuertest.Fixture, d domain.Document) {
			tend(t, f)
			_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, "")
			require.NoError(t, err)
		}, want: []string{"expiry_reminder 14 replaced"}},
		"switched off": {days: 10, before: func(t *testing.T, f *issuertest.Fixture, _ domain.Document) { remindOn(t, f) }},
		"days of the settings": {days: 40, before: func(t *testing.T, f *issuertest.Fixture, _ domain.Document) { remindOn(t, f, 50, 45) },
			want: []string{"expiry_reminder 45 sent"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
				person := f.Person(t)
				if c.person != nil {
					changed(t, f, person.ID, c.person)
				}
				d, _ := issue(t, f, person, f.Profile(t, "mdl", append([]func(*domain.ProfileOptions){lasts(100)}, c.options...)...), 1)
				at(t, f, daysBefore(d, c.days))
				if c.before != nil {
					c.before(t, f, d)
				}
				tend(t, f)
				sweep(t, f)
				require.Equal(t, c.want, notices(t, f, person.ID))
				require.Zero(t, tend(t, f))
			})
		})
	}
}

func noLetters(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyNone }

// A change of the settings reaches documents that were planned by the old ones, however many at once.
func TestSettingsReachEveryDocument(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl", lasts(100))
		var docs []domain.Document
		for range 3 {
			d, _ := issue(t, f, f.Person(t), profile, 1)
			docs = append(docs, d)
		}
		f.Clock.Advance(2 * time.Hour)
		require.Zero(t, tend(t, f))
		at(t, f, daysBefore(docs[0], 80))
		require.Zero(t, tend(t, f), "the next reminder is far")
		remindOn(t, f, 90, 7)
		require.Equal(t, messages.ExpiryResult{Reminded: 3}, tend(t, f))
		require.Zero(t, tend(t, f))
	})
}

// What is open on a document ends with it, disabled or not.
func TestExpiryEndsWhatIsOpen(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := guardedProfile(t, f, "guarded")
		updated, _ := issue(t, f, f.Person(t), profile, 1)
		update := askUpdate(t, f, updated.ID)
		wished, _ := issue(t, f, f.Person(t), profile, 1)
		wish := askToCancel(t, f, wished.ID)
		disabled, _ := issue(t, f, f.Person(t), f.Profile(t, "badge", func(o *domain.ProfileOptions) { o.Format = "staff-badge" }), 1)
		_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), disabled.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err)
		f.Clock.Advance(800 * 24 * time.Hour)
		require.Equal(t, messages.ExpiryResult{Expired: 3}, tend(t, f))
		for _, d := range []domain.Document{updated, wished, disabled} {
			require.Equal(t, domain.DocumentExpired, stateOf(t, f, d.ID))
		}
		require.Equal(t, domain.RequestExpired, reload(t, f, update.ID).State)
		require.Equal(t, domain.CancellationExpired, cancellationNow(t, f, wish.ID).State)
		require.Zero(t, tend(t, f))
	})
}

// The sweep does each thing once, however many processes do it at the same moment and wherever one of them dies.
func TestManySweeps(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		const each = 4
		short, long := f.Profile(t, "short", lasts(20)), f.Profile(t, "long", lasts(50), renews(domain.RenewalOptions{BeforeExpiryDays: 32}))
		var ending, renewed []domain.Document
		for range each {
			d, _ := issue(t, f, f.Person(t), short, 1)
			ending = append(ending, d)
			d, _ = issue(t, f, f.Person(t), long, 1)
			renewed = append(renewed, d)
		}
		at(t, f, ending[each-1].ValidUntil.Add(time.Minute)) // 30 days before the end of the others
		dying, die := context.WithCancel(ctx)
		deps := f.Deps
		deps.Engine = dyingEngine{f.Engine, die}
		_, err := issuer.New(f.Config, deps).SweepDocuments(dying)
		require.ErrorIs(t, err, context.Canceled, "it died when it had renewed one, before that was started")
		var done [8]messages.ExpiryResult
		var g errgroup.Group
		for i := range done {
			g.Go(func() (err error) { done[i], err = f.Issuer.SweepDocuments(ctx); return err })
		}
		require.NoError(t, g.Wait())
		require.Zero(t, tend(t, f))
		var sum messages.ExpiryResult
		for _, one := range done {
			sum.Expired, sum.Reminded, sum.Renewed = sum.Expired+one.Expired, sum.Reminded+one.Reminded, sum.Renewed+one.Renewed
		}
		require.Equal(t, each-1, sum.Renewed, "but for that of the sweep that died")
		for _, d := range ending {
			require.Len(t, historyOf(t, f, d.ID, "document.expire"), 1)
		}
		sweep(t, f)
		f.Clock.Advance(time.Minute)
		_, err = f.Issuer.Reconcile(ctx, f.Engine.StartIssuance)
		require.NoError(t, err)
		for _, d := range renewed {
			require.Len(t, historyOf(t, f, d.ID, "request.update"), 1)
			require.Equal(t, domain.RequestAwaitingCollection, openUpdate(t, f, d.ID).State)
			require.Equal(t, []string{"expiry_reminder 30 sent"}, notices(t, f, d.PersonID), "in the transaction of the renewal")
		}
	})
}

// dyingEngine ends its process instead of starting a workflow.
type dyingEngine struct {
	issuer.Engine
	die context.CancelFunc
}

func (e dyingEngine) StartIssuance(ctx context.Context, _ string) error {
	e.die()
	return ctx.Err()
}

// A document that cannot be looked at is in nobody's way.
func TestOneBrokenDocument(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl", lasts(100), renews(domain.RenewalOptions{OnAge: true}))
		broken, _ := issue(t, f, f.Person(t), profile, 1)
		sound, _ := issue(t, f, f.Person(t), profile, 1)
		_, err := rawSQL(t, f).ExecContext(t.Context(), `UPDATE persons SET attributes = '[' WHERE id = $1`, broken.PersonID)
		require.NoError(t, err)
		at(t, f, daysBefore(sound, 60))
		require.Equal(t, messages.ExpiryResult{Reminded: 1}, tend(t, f))
		require.Contains(t, f.Logs.String(), broken.ID)
		_, err = rawSQL(t, f).ExecContext(t.Context(), `UPDATE persons SET attributes = '{}' WHERE id = $1`, broken.PersonID)
		require.NoError(t, err)
		require.Zero(t, tend(t, f))
		f.Clock.Advance(time.Hour)
		require.Equal(t, messages.ExpiryResult{Reminded: 1}, tend(t, f))
	})
}

// A document expires while a wallet collects its renewal: the old one is superseded and there is a new one, or it is expired and there is
// none.
func TestRaceExpiryAgainstCollectOfTheRenewal(t *testing.T) {
	margins := []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond, 400 * time.Millisecond}
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			profile := f.Profile(t, fmt.Sprint("mdl-", n), lasts(3), renews(domain.RenewalOptions{BeforeExpiryDays: 1}))
			h := hold(t, f, f.Person(t), profile, 1)
			at(t, f, daysBefore(h.document, 0))
			tend(t, f)
			update := openUpdate(t, f, h.document.ID)
			require.Equal(t, domain.System().AccountID, update.RequestedBy)
			at(t, f, h.document.ValidUntil.Add(-time.Minute))
			token := renew(t, f, h.token.RefreshToken)
			require.True(t, token.UpdateAvailable)
			at(t, f, h.document.ValidUntil.Add(-margins[n/2%len(margins)]))
			return round{
				contenders: []contender{
					collector(t, f, "wallet", profile, token.AccessToken),
					{name: "expiry", times: 4, act: func() error {
						for f.Clock.Now().Before(h.document.ValidUntil) {
							runtime.Gosched()
						}
						if _, err := f.Issuer.SweepDocuments(t.Context()); err != nil {
							return err
						}
						if state := stateOf(t, f, h.document.ID); state != domain.DocumentExpired {
							return domain.Errorf(domain.CodeWrongState, "the document is %s", state)
						}
						return nil
					}},
				},
				ends: func() string {
					tend(t, f)
					live, err := f.Store.LiveDocuments(t.Context(), h.document.PersonID)
					require.NoError(t, err)
					return fmt.Sprintf("document %s, %s, %d live", stateOf(t, f, h.document.ID), requestEnd(t, f, update.ID), len(live))
				},
			}
		},
		allowed: []ending{
			{"document superseded, request issued, its document active, 1 live", []string{"wallet"}, told{"expiry": tooLate}},
			{"document expired, request expired, no document, 0 live", []string{"expiry"}, told{"wallet": notYours}},
			{"document expired, request expired, its document canceled, 0 live", []string{"expiry"}, told{"wallet": notYours}},
			{"document expired, request failed, no document, 0 live", []string{"expiry"}, told{"wallet": notYours}},
			{"document expired, request failed, its document canceled, 0 live", []string{"expiry"}, told{"wallet": notYours}},
		},
	}.run(t)
}

// The plan of a document says nothing of its person to whoever reads the database.
func TestDigestsTellNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person, profile := f.Person(t), f.Profile(t, "mdl", renews(domain.RenewalOptions{OnChange: true}))
		seen := map[string]bool{}
		for range 2 {
			d, _ := issue(t, f, person, profile, 1)
			var digest string
			require.NoError(t, rawSQL(t, f).QueryRowContext(t.Context(), `SELECT data_digest FROM documents WHERE id = $1`, d.ID).Scan(&digest))
			require.Len(t, digest, 64)
			require.False(t, seen[digest], "not even that two documents are of the same data")
			seen[digest] = true
		}
		require.NotContains(t, strings.ToLower(f.Logs.String()), "mustermann")
	})
}
