package issuer_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/notify"
)

// outcomes gives state and attempts of the messages of a request: "collection_link email sent [temporary sent]".
func outcomes(t *testing.T, f *issuertest.Fixture, id string) []string {
	t.Helper()
	all, err := f.Issuer.RequestMessages(t.Context(), f.Admin(), id)
	require.NoError(t, err)
	out := make([]string, len(all))
	for i, m := range all {
		var attempts []string
		for _, a := range m.Attempts {
			attempts = append(attempts, a.Outcome)
		}
		out[i] = fmt.Sprintf("%s %s %s %v", m.Kind, m.Channel, m.State, attempts)
	}
	return out
}

func TestDeliveryTriesAgain(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyCodeBySMS })
		f.Mail.Fail(errors.New("421 try later"))
		r := newRequest(t, f, f.Person(t), profile)
		require.Equal(t, domain.RequestAwaitingCollection, r.State, "a failing channel does not lose the request")
		require.Equal(t, []string{"collection_link email pending [temporary]", "authentication_code sms sent [sent]"}, outcomes(t, f, r.ID))
		require.Error(t, f.Issuer.Notify(ctx, r.ID, 1), "worth another try")
		f.Mail.Fail(nil)
		for range 3 {
			require.NoError(t, f.Issuer.Notify(ctx, r.ID, 1))
		}
		require.Len(t, f.Mail.Sent(), 1, "what was sent is not sent again")
		require.Len(t, f.SMS.Sent(), 1)
		require.Equal(t, []string{"collection_link email sent [temporary temporary sent]", "authentication_code sms sent [sent]"}, outcomes(t, f, r.ID))
		messages, err := f.Issuer.RequestMessages(ctx, f.Admin(), r.ID)
		require.NoError(t, err)
		require.Equal(t, messages[0].ID, f.Mail.Sent()[0].MessageID, "a stable id, so that a duplicate can be recognised")
		require.Equal(t, "421 try later", messages[0].Attempts[0].Answer)
		require.Equal(t, "250 2.0.0 kept", messages[0].Attempts[2].Answer)

		// Another generation, another request, an ended one: nothing to send.
		require.NoError(t, f.Issuer.Notify(ctx, r.ID, 2))
		codeIs(t, domain.CodeNotFound, f.Issuer.Notify(ctx, "none", 1))
	})
}

func TestDeliveryRefusedForGood(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		f.SMS.Fail(&notify.Error{Channel: "SMS", Step: "answer", Status: 400, Answer: "number not in service", Permanent: true})
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyCodeBySMS })
		r := newRequest(t, f, f.Person(t), profile)
		want := []string{"collection_link email sent [sent]", "authentication_code sms failed [refused]"}
		require.Equal(t, want, outcomes(t, f, r.ID))
		require.NoError(t, f.Issuer.Notify(t.Context(), r.ID, 1))
		require.Equal(t, want, outcomes(t, f, r.ID), "not tried again")
		messages, err := f.Issuer.RequestMessages(t.Context(), f.Admin(), r.ID)
		require.NoError(t, err)
		require.Equal(t, "send SMS: answer: status 400: number not in service", messages[1].Attempts[0].Answer, "the gateway's answer is kept")

		f.SMS.Fail(nil)
		_, err = f.Issuer.Resend(t.Context(), f.Admin(), r.ID)
		require.NoError(t, err)
		require.Equal(t, append(want, "collection_link email sent [sent]", "authentication_code sms sent [sent]"), outcomes(t, f, r.ID))
	})
}

func TestResendReplacesWhatIsStillUnsent(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		f.Mail.Fail(errors.New("down"))
		r := newRequest(t, f, f.Person(t), f.Profile(t, "mdl"))
		_, err := f.Issuer.Resend(t.Context(), f.Admin(), r.ID)
		require.NoError(t, err)
		f.Mail.Fail(nil)
		require.NoError(t, f.Issuer.Notify(t.Context(), r.ID, 1))
		require.Empty(t, f.Mail.Sent(), "the first generation is over")
		require.NoError(t, f.Issuer.Notify(t.Context(), r.ID, 2))
		require.Len(t, f.Mail.Sent(), 2)
		require.Equal(t, []string{"collection_link email replaced [temporary]", "authentication_code email replaced [temporary]",
			"collection_link email sent [temporary sent]", "authentication_code email sent [temporary sent]"}, outcomes(t, f, r.ID))
	})
}

func TestChannelsSwitchedOff(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "both", func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyDefault })
		f.Engine.SetDown(true)
		early := newRequest(t, f, person, profile)
		f.Engine.SetDown(false)
		settings, err := f.Issuer.Settings(ctx, f.Admin())
		require.NoError(t, err)
		set := func(email, sms bool) {
			settings.EmailEnabled, settings.SMSEnabled = email, sms
			settings, err = f.Issuer.ChangeSettings(ctx, f.Admin(), settings)
			require.NoError(t, err)
		}
		set(false, false)
		_, err = f.Issuer.CreateRequest(ctx, f.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
		codeIs(t, domain.CodeChannelOff, err)
		require.Equal(t, []string{"email_enabled", "sms_enabled"}, fieldsOf(t, err))

		// What was accepted before waits until the channels are on again.
		require.NoError(t, f.Engine.StartIssuance(ctx, early.ID))
		require.Empty(t, f.Mail.Sent())
		require.Empty(t, f.SMS.Sent())
		set(true, false)
		require.Error(t, f.Issuer.Notify(ctx, early.ID, 1))
		require.Len(t, f.Mail.Sent(), 2)
		require.Empty(t, f.SMS.Sent())
		set(true, true)
		require.NoError(t, f.Issuer.Notify(ctx, early.ID, 1))
		require.Len(t, f.SMS.Sent(), 1)
		require.Equal(t, []string{"collection_link email sent [temporary sent]", "authentication_code email sent [temporary sent]",
			"authentication_code sms sent [temporary temporary sent]"}, outcomes(t, f, early.ID))
	})
}

func TestMessagesSpeakThePersonsLanguage(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl")
		for language, want := range map[string]string{"": "en", "de": "de", "de-CH": "de", "xx": "en"} {
			before := len(f.Mail.Sent())
			newRequest(t, f, f.Person(t, func(p *domain.Person) { p.Language = language }), profile)
			sent := f.Mail.Sent()[before:]
			require.Len(t, sent, 2)
			require.Equal(t, want, sent[0].Language, "%q", language)
		}
	})
}

// Nothing of what a message says is stored or logged: neither link nor code, whatever happened to the message.
func TestNoContentIsStored(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyDefault })
		person := f.Person(t, func(p *domain.Person) { p.GivenName, p.Email = "Canaria", "canary@holder.example" })
		r := newRequest(t, f, person, profile)
		secrets := []string{}
		link, code := onScreen(t, f, r.ID)
		offer, err := f.Issuer.Offer(ctx, link)
		require.NoError(t, err)
		_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, wrong(code), "s")
		codeIs(t, domain.CodeCodeWrong, err)
		token, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, code, "s")
		require.NoError(t, err)
		f.Mail.Fail(errors.New("down"))
		_, err = f.Issuer.Resend(ctx, f.Admin(), r.ID)
		require.NoError(t, err)
		newLink, newCode := onScreen(t, f, r.ID)
		secrets = append(secrets, link, code, wrong(code), offer.PreAuthorizedCode, token.AccessToken, newLink, newCode)

		stored, elsewhere := dump(t, f), dump(t, f, "persons")
		require.Contains(t, stored, r.ID)
		require.Contains(t, stored, person.Email, "the dump is one")
		for _, secret := range secrets {
			require.NotContains(t, stored, secret)
			require.NotContains(t, f.Logs.String(), secret)
		}
		for _, personal := range []string{person.GivenName, person.Email, person.Mobile} {
			require.NotContains(t, f.Logs.String(), personal)
			require.Contains(t, stored, personal)
			require.NotContains(t, elsewhere, personal, "it is with the person only")
		}
	})
}

// dump gives every value of every table but those named.
func dump(t *testing.T, f *issuertest.Fixture, but ...string) string {
	t.Helper()
	db := rawSQL(t, f)
	names := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if !strings.HasPrefix(f.DSN, "sqlite:") {
		names = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`
	}
	var b strings.Builder
	for _, table := range texts(t, db, names) {
		if slices.Contains(but, table) {
			continue
		}
		dumpTable(t, db, table, &b)
	}
	return b.String()
}

func dumpTable(t *testing.T, db *sql.DB, table string, to *strings.Builder) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+table)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new(any)
		}
		require.NoError(t, rows.Scan(row...))
		for _, v := range row {
			if raw, ok := (*v.(*any)).([]byte); ok {
				fmt.Fprintf(to, "%s\n", raw)
			} else {
				fmt.Fprintln(to, *v.(*any))
			}
		}
	}
	require.NoError(t, rows.Err())
}

// texts gives the one column of a query.
func texts(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var out []string
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(t, rows.Err())
	return out
}

func TestApprovalReminders(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateIssuance = true })
		requester := operator(t, f, "requester", domain.PermRequest, domain.PermApprove)
		operator(t, f, "first", domain.PermApprove)
		operator(t, f, "second", domain.PermApprove)
		operator(t, f, "clerk", domain.PermRequest)
		f.Caller(t, "recipient", person.ID, issuertest.All(domain.PermApprove))
		r, err := f.Issuer.CreateRequest(ctx, requester, "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
		require.NoError(t, err)

		f.Mail.Fail(errors.New("down"))
		require.Error(t, f.Issuer.RemindApprovers(ctx, r.ID, 1))
		f.Mail.Fail(nil)
		for range 3 {
			require.NoError(t, f.Issuer.RemindApprovers(ctx, r.ID, 1))
		}
		to := map[string]int{}
		for _, m := range f.Mail.Sent() {
			to[m.To]++
			require.Contains(t, m.Text, r.ID)
			require.NotContains(t, m.Text+m.Subject+m.HTML, person.FamilyName)
		}
		require.Equal(t, map[string]int{"first@issuer.example": 1, "second@issuer.example": 1}, to,
			"everybody who may decide, once; not the requester, not the recipient")
		require.NoError(t, f.Issuer.RemindApprovers(ctx, r.ID, 2))
		require.Len(t, f.Mail.Sent(), 4)

		_, err = f.Issuer.CancelRequest(ctx, requester, r.ID, "")
		require.NoError(t, err)
		require.NoError(t, f.Issuer.RemindApprovers(ctx, r.ID, 3))
		require.Len(t, f.Mail.Sent(), 4, "nobody is reminded of what is over")
		codeIs(t, domain.CodeNotFound, f.Issuer.RemindApprovers(ctx, "none", 1))
	})
}
