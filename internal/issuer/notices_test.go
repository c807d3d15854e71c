package issuer_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/notify"
)

// notices gives kind, cause and state of the messages to a person that no workflow sends, oldest first.
func notices(t *testing.T, f *issuertest.Fixture, personID string) []string {
	t.Helper()
	all, err := f.Issuer.Notifications(t.Context(), f.Admin(), issuer.MessageFilter{PersonID: personID}, "", 100)
	require.NoError(t, err)
	var out []string
	for i := len(all) - 1; i >= 0; i-- {
		if m := all[i]; m.Generation == 0 {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", m.Kind, m.Cause, m.State)))
		}
	}
	return out
}

func sweep(t *testing.T, f *issuertest.Fixture) int {
	t.Helper()
	n, err := f.Issuer.SendNotices(t.Context())
	require.NoError(t, err)
	return n
}

// TestOutcomes walks every end of a request: what the holder is told (B14).
func TestOutcomes(t *testing.T) {
	approved := func(o *domain.ProfileOptions) { o.ValidateIssuance = true }
	wait := func(*testing.T, *issuertest.Fixture, domain.Request, domain.Profile) {}
	for name, c := range map[string]struct {
		options func(*domain.ProfileOptions)
		person  func(*domain.Person)
		end     func(t *testing.T, f *issuertest.Fixture, r domain.Request, p domain.Profile)
		want    []string
	}{
		"open": {end: wait},
		"issued": {end: func(t *testing.T, f *issuertest.Fixture, r domain.Request, p domain.Profile) {
			_, err := collect(t.Context(), f, p, redeem(t, f, r.ID), walletKeys(t, f, 1))
			require.NoError(t, err)
		}, want: []string{"outcome_success  sent"}},
		"issued, holder not told": {
			options: func(o *domain.ProfileOptions) { o.SelfService.NotifyOutcome = domain.OutcomeQuiet },
			end: func(t *testing.T, f *issuertest.Fixture, r domain.Request, p domain.Profile) {
				_, err := collect(t.Context(), f, p, redeem(t, f, r.ID), walletKeys(t, f, 1))
				require.NoError(t, err)
			}},
		"issued, scheme none": {
			options: func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyNone },
			end: func(t *testing.T, f *issuertest.Fixture, r domain.Request, p domain.Profile) {
				_, err := collect(t.Context(), f, p, redeem(t, f, r.ID), walletKeys(t, f, 1))
				require.NoError(t, err)
			}},
		"rejected": {options: approved, end: func(t *testing.T, f *issuertest.Fixture, r domain.Request, _ domain.Profile) {
			_, err := f.Issuer.Reject(t.Context(), operator(t, f, "approver", domain.PermApprove), r.ID, "no")
			require.NoError(t, err)
		}, want: []string{"outcome_failure rejected sent"}},
		"canceled": {end: func(t *testing.T, f *issuertest.Fixture, r domain.Request, _ domain.Profile) {
			_, err := f.Issuer.CancelRequest(t.Context(), f.Admin(), r.ID, "")
			require.NoError(t, err)
		}, want: []string{"outcome_failure canceled sent"}},
		"expired": {end: func(t *testing.T, f *issuertest.Fixture, r domain.Request, _ domain.Profile) {
			f.Clock.Advance(800 * time.Hour)
			_, err := f.Issuer.Expire(t.Context(), r.ID)
			require.NoError(t, err)
		}, want: []string{"outcome_failure expired sent"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
				var change []func(*domain.Person)
				if c.person != nil {
					change = append(change, c.person)
				}
				var options []func(*domain.ProfileOptions)
				if c.options != nil {
					options = append(options, c.options)
				}
				person, profile := f.Person(t, change...), f.Profile(t, "mdl", options...)
				r := newRequest(t, f, person, profile)
				before := len(f.Mail.Sent())
				c.end(t, f, r, profile)
				require.Len(t, f.Mail.Sent(), before, "no workflow sends it")
				require.Equal(t, len(c.want), sweep(t, f))
				require.Equal(t, c.want, notices(t, f, person.ID))
				require.Len(t, f.Mail.Sent(), before+len(c.want))
				require.Zero(t, sweep(t, f), "once")
			})
		})
	}
}

func TestCancellationNotice(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person, profile := f.Person(t), f.Profile(t, "mdl")
		d, _ := issue(t, f, person, profile, 1)
		_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err)
		_, err = f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentCancel, domain.ReasonStolen, "")
		require.NoError(t, err)
		require.Equal(t, 2, sweep(t, f))
		require.Equal(t, []string{"outcome_success  sent", "cancellation stolen sent"}, notices(t, f, person.ID))
	})
}

func TestNoticesAreTriedAgainForAWeek(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person := f.Person(t)
		r := newRequest(t, f, person, f.Profile(t, "mdl"))
		_, err := f.Issuer.CancelRequest(t.Context(), f.Admin(), r.ID, "")
		require.NoError(t, err)
		f.Mail.Fail(errors.New("421 try later"))
		tries := func() int {
			all, err := f.Issuer.Notifications(t.Context(), f.Admin(), issuer.MessageFilter{Kind: domain.MessageOutcomeFailure}, "", 10)
			require.NoError(t, err)
			require.Len(t, all, 1)
			return len(all[0].Attempts)
		}
		require.Zero(t, sweep(t, f))
		require.Equal(t, 1, tries())
		require.Zero(t, sweep(t, f))
		require.Equal(t, 1, tries(), "not before it is due again")
		for want, pause := range map[int]time.Duration{2: 30 * time.Second} {
			f.Clock.Advance(pause)
			require.Zero(t, sweep(t, f))
			require.Equal(t, want, tries())
		}
		f.Clock.Advance(time.Minute)
		f.Mail.Fail(nil)
		require.Equal(t, 1, sweep(t, f))
		require.Equal(t, []string{"outcome_failure canceled sent"}, notices(t, f, person.ID))

		other := f.Person(t)
		r = newRequest(t, f, other, f.Profile(t, "badge"))
		_, err = f.Issuer.CancelRequest(t.Context(), f.Admin(), r.ID, "")
		require.NoError(t, err)
		f.Mail.Fail(errors.New("421 try later"))
		for range 100 {
			f.Clock.Advance(3 * time.Hour)
			require.Zero(t, sweep(t, f))
		}
		require.Equal(t, []string{"outcome_failure canceled failed"}, notices(t, f, other.ID), "given up after a week")
	})
}

func TestNoticesRefusedForGood(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person := f.Person(t)
		r := newRequest(t, f, person, f.Profile(t, "mdl"))
		_, err := f.Issuer.CancelRequest(t.Context(), f.Admin(), r.ID, "")
		require.NoError(t, err)
		f.Mail.Fail(&notify.Error{Channel: "e-mail", Step: "RCPT", Status: 550, Permanent: true})
		sweep(t, f)
		f.Mail.Fail(nil)
		f.Clock.Advance(time.Hour)
		require.Zero(t, sweep(t, f))
		require.Equal(t, []string{"outcome_failure canceled failed"}, notices(t, f, person.ID))
	})
}

// TestSweepsSideBySide lets several processes sweep at once: each notice goes out once.
func TestSweepsSideBySide(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl")
		const people = 12
		for range people {
			r := newRequest(t, f, f.Person(t), profile)
			_, err := f.Issuer.CancelRequest(t.Context(), f.Admin(), r.ID, "")
			require.NoError(t, err)
		}
		before := len(f.Mail.Sent())
		var all sync.WaitGroup
		sent := make([]int, 6)
		for i := range sent {
			all.Go(func() {
				n, err := f.Issuer.SendNotices(t.Context())
				if err == nil {
					sent[i] = n
				}
			})
		}
		all.Wait()
		total := sweep(t, f)
		for _, n := range sent {
			total += n
		}
		require.Equal(t, people, total)
		require.Len(t, f.Mail.Sent(), before+people)
	})
}

func TestNotificationsInScope(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person := f.Person(t)
		newRequest(t, f, person, f.Profile(t, "mdl"))
		newRequest(t, f, f.Person(t), f.Profile(t, "badge"))
		none := f.Caller(t, "none", "", issuertest.Grants{})
		_, err := f.Issuer.Notifications(t.Context(), none, issuer.MessageFilter{}, "", 10)
		codeIs(t, domain.CodeForbidden, err)
		own := f.Caller(t, "own", person.ID, issuertest.Grants{domain.PermReports: domain.ScopeSelf})
		all, err := f.Issuer.Notifications(t.Context(), own, issuer.MessageFilter{}, "", 10)
		require.NoError(t, err)
		require.Len(t, all, 2)
		for _, m := range all {
			require.Equal(t, person.ID, m.PersonID)
			require.Len(t, m.Attempts, 1)
		}
		_, err = f.Issuer.Notifications(t.Context(), f.Admin(), issuer.MessageFilter{}, "x", 10)
		codeIs(t, domain.CodeInvalid, err)
	})
}

func TestTemplatesAndPreview(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	files, err := f.Issuer.MessageTemplates(f.Admin())
	require.NoError(t, err)
	for _, kind := range domain.MessageKinds() {
		for _, language := range []string{"en", "de", "", "xx"} {
			text, err := f.Issuer.PreviewMessage(f.Admin(), kind, language)
			require.NoError(t, err)
			require.NotEmpty(t, text.Subject)
			require.NotEmpty(t, text.Text)
			require.NotEmpty(t, text.HTML)
		}
		found := 0
		for _, file := range files {
			if string(file.Kind) == string(kind) {
				found++
			}
		}
		require.GreaterOrEqual(t, found, 6, "%s in two languages", kind)
	}
	_, err = f.Issuer.PreviewMessage(f.Admin(), "pigeon", "en")
	codeIs(t, domain.CodeInvalid, err)
	none := f.Caller(t, "none", "", issuertest.Grants{})
	_, err = f.Issuer.PreviewMessage(none, domain.MessageCancellation, "en")
	codeIs(t, domain.CodeForbidden, err)
	_, err = f.Issuer.MessageTemplates(none)
	codeIs(t, domain.CodeForbidden, err)
}
