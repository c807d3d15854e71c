package issuer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/verifier"
)

// held is a document in a wallet.
type held struct {
	document domain.Document
	signed   [][]byte
	token    issuer.Token // of the collection
}

// redeemAll gives everything that comes for the request's present link and code.
func redeemAll(t *testing.T, f *issuertest.Fixture, id string) issuer.Token {
	t.Helper()
	link, code := onScreen(t, f, id)
	offer, err := f.Issuer.Offer(t.Context(), link)
	require.NoError(t, err)
	token, err := f.Issuer.Redeem(t.Context(), offer.PreAuthorizedCode, code, id)
	require.NoError(t, err)
	return token
}

// hold takes a request of the profile to a document in a wallet.
func hold(t *testing.T, f *issuertest.Fixture, person domain.Person, profile domain.Profile, n int) held {
	t.Helper()
	r := newRequest(t, f, person, profile)
	h := held{token: redeemAll(t, f, r.ID)}
	var err error
	h.signed, err = collect(t.Context(), f, profile, h.token.AccessToken, walletKeys(t, f, n))
	require.NoError(t, err)
	h.document = documentOf(t, f, r.ID)
	return h
}

// askUpdate asks for an update as the administrator.
func askUpdate(t *testing.T, f *issuertest.Fixture, documentID string) domain.Request {
	t.Helper()
	r, err := f.Issuer.UpdateDocument(t.Context(), f.Admin(), "", issuer.NewUpdate{DocumentID: documentID, Reason: domain.ReasonReprovision})
	require.NoError(t, err)
	return r
}

// renew uses a refresh token that works.
func renew(t *testing.T, f *issuertest.Fixture, refreshToken string) issuer.Token {
	t.Helper()
	token, err := f.Issuer.Refresh(t.Context(), refreshToken)
	require.NoError(t, err)
	return token
}

// The whole way of an update: one e-mail without link or code, the wallet asks, gets the latest of everything, and the old version is invalid.
func TestUpdate(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) {
			o.NotificationScheme, o.LogonCode, o.CredentialGroup, o.OnReissue = domain.NotifyDefault, domain.LogonCodeNone, "driving", domain.ReissueCancel
		})
		first := hold(t, f, person, profile, 2)
		person.FamilyName = "Neumann"
		_, err := f.Issuer.UpdatePerson(ctx, f.Admin(), person)
		require.NoError(t, err)
		o := profile.Options
		o.LifetimeDays, o.LogonCode = 100, domain.LogonCodeSimple
		_, err = f.Issuer.ChangeProfile(ctx, f.Admin(), profile.ID, profile.Version, issuer.SaveProfile{Options: o})
		require.NoError(t, err)
		before, texts := len(f.Mail.Sent()), len(f.SMS.Sent())

		none := renew(t, f, first.token.RefreshToken)
		require.False(t, none.UpdateAvailable)
		clerk := operator(t, f, "clerk", domain.PermUpdate)
		r, err := f.Issuer.UpdateDocument(ctx, clerk, "", issuer.NewUpdate{DocumentID: first.document.ID, ProfileID: profile.ID, Reason: "reprovision",
			Notes: "married"})
		require.NoError(t, err)
		require.Equal(t, []any{domain.RequestUpdate, first.document.ID, domain.RequestAwaitingCollection, clerk.AccountID, domain.RequestByOperator},
			[]any{r.Kind(), r.Replaces, r.State, r.RequestedBy, r.Channel})
		mails := f.Mail.Sent()[before:]
		require.Len(t, mails, 1)
		require.Len(t, f.SMS.Sent(), texts)
		require.Equal(t, person.Email, mails[0].To)
		require.NotRegexp(t, `/c/|openid-credential-offer`, mails[0].Text+mails[0].HTML+mails[0].Subject)
		require.NotRegexp(t, codePattern, mails[0].Text)
		messages, err := f.Issuer.RequestMessages(ctx, clerk, r.ID)
		require.NoError(t, err)
		require.Len(t, messages, 1)
		require.Equal(t, domain.MessageReprovision, messages[0].Kind)

		_, err = f.Issuer.ViewCode(ctx, f.Admin(), r.ID)
		codeIs(t, domain.CodeWrongState, err)
		require.Equal(t, domain.CodeConflict, allowedActs(t, f, first.document.ID)[domain.DocumentUpdate])
		require.Equal(t, domain.DocumentActive, stateOf(t, f, first.document.ID))
		require.True(t, verify(t, f, first.signed[0]).OK(), "until it is collected nothing changes")

		available, err := f.Issuer.UpdateAvailable(ctx, none.AccessToken)
		require.NoError(t, err)
		require.True(t, available)
		token := renew(t, f, none.RefreshToken)
		require.True(t, token.UpdateAvailable)
		require.Equal(t, profile.Name, token.ConfigurationID)
		available, err = f.Issuer.UpdateAvailable(ctx, token.AccessToken)
		require.NoError(t, err)
		require.True(t, available)
		wallet := walletKeys(t, f, 2)
		signed, err := collect(ctx, f, profile, token.AccessToken, wallet)
		require.NoError(t, err)
		again, err := collect(ctx, f, profile, token.AccessToken, wallet)
		require.NoError(t, err)
		require.Equal(t, signed, again)
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 2))
		codeIs(t, domain.CodeOfferInvalid, err)

		r = reload(t, f, r.ID)
		require.Equal(t, domain.RequestIssued, r.State)
		d, err := f.Store.Document(ctx, r.DocumentID)
		require.NoError(t, err)
		require.NotEqual(t, first.document.Serial, d.Serial)
		require.Equal(t, []any{domain.DocumentActive, 2, "driving"}, []any{d.State, d.ProfileVersion, d.CredentialGroup})
		require.Equal(t, 100*24*time.Hour, d.ValidUntil.Sub(d.ValidFrom))
		require.Equal(t, domain.DocumentSuperseded, stateOf(t, f, first.document.ID))
		for i := range signed {
			result := verify(t, f, signed[i])
			require.True(t, result.OK(), "%+v", result)
			require.Equal(t, "Neumann", values(result)["family_name"])
			require.Equal(t, verifier.StatusInvalid, verify(t, f, first.signed[i]).Status, "every copy of the old version")
		}

		timeline, err := f.Issuer.Timeline(ctx, clerk, r.ID, 0, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"request.update", "request.begin", "request.redeem", "document.prepare", "request.issue"}, actionsOf(timeline))
		require.Equal(t, []string{"reprovision", "married"}, []string{timeline[0].Reason, timeline[0].Notes})
		history, err := f.Issuer.DocumentHistory(ctx, f.Admin(), first.document.ID, 0, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"document.prepare", "request.issue", "request.update", "document.supersede"}, actionsOf(history))
		require.Equal(t, "replaced by "+d.ID, history[3].Notes)

		// The chain goes on from version to version.
		next := renew(t, f, token.RefreshToken)
		require.False(t, next.UpdateAvailable)
		kept, err := collect(ctx, f, profile, next.AccessToken, wallet)
		require.NoError(t, err)
		require.Equal(t, signed, kept, "the same keys get the newest version again")
		askUpdate(t, f, d.ID)
		next = renew(t, f, next.RefreshToken)
		require.True(t, next.UpdateAvailable)
		_, err = collect(ctx, f, profile, next.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		require.Equal(t, domain.DocumentSuperseded, stateOf(t, f, d.ID))
	})
}

func TestUpdateRefused(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		guarded := guardedProfile(t, f, "guarded")
		once := f.Profile(t, "once", func(o *domain.ProfileOptions) { o.BlockMultipleRequests = true })
		in := func(p domain.Profile, change ...func(id string)) string {
			d, _ := issue(t, f, person, p, 1)
			for _, c := range change {
				c(d.ID)
			}
			return d.ID
		}
		act := func(act domain.DocumentAct) func(id string) {
			return func(id string) {
				_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), id, act, domain.ReasonOther, "")
				require.NoError(t, err)
			}
		}
		bare := f.Person(t)
		incomplete, _ := issue(t, f, bare, profile, 1)
		delete(bare.Attributes, "issuing_country")
		_, err := f.Issuer.UpdatePerson(ctx, f.Admin(), bare)
		require.NoError(t, err)
		superseded := hold(t, f, person, profile, 1)
		askUpdate(t, f, superseded.document.ID)
		_, err = collect(ctx, f, profile, renew(t, f, superseded.token.RefreshToken).AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		prepared := newRequest(t, f, person, profile)
		redeem(t, f, prepared.ID)
		f.Profile(t, "other")
		reader := operator(t, f, "reader", domain.PermDocumentsRead, domain.PermRequest)
		stranger := f.Caller(t, "stranger", f.Person(t).ID, issuertest.Grants{domain.PermUpdate: domain.ScopeSelf})

		type wish = issuer.NewUpdate
		for name, c := range map[string]struct {
			caller domain.Caller
			in     wish
			want   domain.Code
		}{
			"no permission":       {reader, wish{DocumentID: in(profile), Reason: "reprovision"}, domain.CodeForbidden},
			"out of scope":        {stranger, wish{DocumentID: in(profile), Reason: "reprovision"}, domain.CodeNotFound},
			"unknown":             {f.Admin(), wish{DocumentID: newID(t), Reason: "reprovision"}, domain.CodeNotFound},
			"no reason":           {f.Admin(), wish{DocumentID: in(profile)}, domain.CodeInvalid},
			"another reason":      {f.Admin(), wish{DocumentID: in(profile), Reason: "lost"}, domain.CodeInvalid},
			"notes too long":      {f.Admin(), wish{DocumentID: in(profile), Reason: "reprovision", Notes: strings.Repeat("ä", 2001)}, domain.CodeInvalid},
			"another profile":     {f.Admin(), wish{DocumentID: in(profile), Reason: "reprovision", ProfileID: guarded.ID}, domain.CodeInvalid},
			"disabled":            {f.Admin(), wish{DocumentID: in(profile, act(domain.DocumentDisable)), Reason: "reprovision"}, domain.CodeWrongState},
			"canceled":            {f.Admin(), wish{DocumentID: in(profile, act(domain.DocumentCancel)), Reason: "reprovision"}, domain.CodeWrongState},
			"superseded":          {f.Admin(), wish{DocumentID: superseded.document.ID, Reason: "reprovision"}, domain.CodeWrongState},
			"an open update":      {f.Admin(), wish{DocumentID: in(profile, func(id string) { askUpdate(t, f, id) }), Reason: "reprovision"}, domain.CodeConflict},
			"an open cancelation": {f.Admin(), wish{DocumentID: in(guarded, func(id string) { askToCancel(t, f, id) }), Reason: "reprovision"}, domain.CodeConflict},
			"data missing":        {f.Admin(), wish{DocumentID: incomplete.ID, Reason: "reprovision"}, domain.CodeMissingData},
			"an open request": {f.Admin(), wish{DocumentID: in(once, func(string) { newRequest(t, f, person, once) }), Reason: "reprovision"},
				domain.CodeRequestOpen},
		} {
			head := f.AuditHead(t)
			_, err := f.Issuer.UpdateDocument(ctx, c.caller, "", c.in)
			codeIs(t, c.want, err, name)
			require.Equal(t, head, f.AuditHead(t), name)
			if c.want == domain.CodeWrongState || c.want == domain.CodeConflict {
				require.Equal(t, c.want, allowedActs(t, f, c.in.DocumentID)[domain.DocumentUpdate], name)
			}
		}
		expired := in(profile)
		f.Clock.Advance(800 * 24 * time.Hour)
		_, err = f.Issuer.UpdateDocument(ctx, f.Admin(), "", wish{DocumentID: expired, Reason: "reprovision"})
		codeIs(t, domain.CodeWrongState, err)
		require.Equal(t, domain.CodeWrongState, allowedActs(t, f, expired)[domain.DocumentUpdate])
	})
}

// An update that was accepted is never lost and never made twice; a day given for the document holds on; nobody needs an address for it.
func TestUpdateIsAcceptedOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl")
		day := domain.DateOf(f.Clock.Now().AddDate(0, 0, 40))
		r, err := f.Issuer.CreateRequest(ctx, f.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID, ExpiryDate: day})
		require.NoError(t, err)
		first := redeemAll(t, f, r.ID)
		_, err = collect(ctx, f, profile, first.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		d := documentOf(t, f, r.ID)
		person.Email, person.Mobile = "", ""
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), person)
		require.NoError(t, err)

		f.Engine.SetDown(true)
		in := issuer.NewUpdate{DocumentID: d.ID, Reason: "reprovision"}
		u, err := f.Issuer.UpdateDocument(ctx, f.Admin(), "k", in)
		require.NoError(t, err)
		require.Equal(t, domain.RequestReceived, u.State)
		require.False(t, renew(t, f, first.RefreshToken).UpdateAvailable, "it cannot be collected yet")
		f.Engine.SetDown(false)
		f.Clock.Advance(time.Minute)
		started, err := f.Issuer.Reconcile(ctx, f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Equal(t, 1, started)
		again, err := f.Issuer.UpdateDocument(ctx, f.Admin(), "k", in)
		require.NoError(t, err)
		require.Equal(t, u.ID, again.ID)
		require.Equal(t, domain.RequestAwaitingCollection, again.State)
		in.Notes = "other"
		_, err = f.Issuer.UpdateDocument(ctx, f.Admin(), "k", in)
		codeIs(t, domain.CodeIdempotencyReused, err)

		_, err = collect(ctx, f, profile, renew(t, f, first.RefreshToken).AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		require.Equal(t, d.ValidUntil.Format(time.DateOnly), documentOf(t, f, u.ID).ValidUntil.Format(time.DateOnly))
		in.Notes = ""
		again, err = f.Issuer.UpdateDocument(ctx, f.Admin(), "k", in)
		require.NoError(t, err)
		require.Equal(t, u.ID, again.ID, "also when it is long done")
	})
}

// Where requests need approval, updates do; the profile stays, and a rejected update leaves the document as it is.
func TestUpdateApproval(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl")
		first := hold(t, f, person, profile, 1)
		o := profile.Options
		o.ValidateIssuance = true
		_, err := f.Issuer.ChangeProfile(ctx, f.Admin(), profile.ID, profile.Version, issuer.SaveProfile{Options: o})
		require.NoError(t, err)
		other := f.Profile(t, "other")
		boss := operator(t, f, "boss", domain.PermApprove)
		before := len(f.Mail.Sent())

		r := askUpdate(t, f, first.document.ID)
		require.Equal(t, domain.RequestAwaitingApproval, r.State)
		require.Empty(t, f.Mail.Sent()[before:])
		reviews, err := f.Issuer.Reviews(ctx, boss, "", 0)
		require.NoError(t, err)
		require.Len(t, reviews, 1)
		_, err = f.Issuer.Approve(ctx, f.Admin(), r.ID, issuer.Approval{})
		codeIs(t, domain.CodeSelfApproval, err)
		_, err = f.Issuer.Approve(ctx, boss, r.ID, issuer.Approval{ProfileID: other.ID})
		codeIs(t, domain.CodeInvalid, err)
		require.Equal(t, []string{"profile_id"}, fieldsOf(t, err))
		token := renew(t, f, first.token.RefreshToken)
		require.False(t, token.UpdateAvailable)
		_, err = f.Issuer.Reject(ctx, boss, r.ID, "not now")
		require.NoError(t, err)
		require.Equal(t, domain.DocumentActive, stateOf(t, f, first.document.ID))

		r = askUpdate(t, f, first.document.ID)
		r, err = f.Issuer.Approve(ctx, boss, r.ID, issuer.Approval{ProfileID: profile.ID})
		require.NoError(t, err)
		require.Equal(t, domain.RequestAwaitingCollection, r.State)
		require.Len(t, f.Mail.Sent()[before:], 1)
		token = renew(t, f, token.RefreshToken)
		require.True(t, token.UpdateAvailable)
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
	})
}

// Whoever may update handles updates: sees, sends again, cancels them, and nothing else.
func TestHandlingUpdates(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		first := hold(t, f, person, profile, 1)
		clerk := operator(t, f, "clerk", domain.PermUpdate)
		plain := newRequest(t, f, person, profile)
		_, err := f.Issuer.Resend(ctx, clerk, plain.ID)
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.CancelRequest(ctx, clerk, plain.ID, "")
		codeIs(t, domain.CodeForbidden, err)

		r := askUpdate(t, f, first.document.ID)
		token := renew(t, f, first.token.RefreshToken)
		before := len(f.Mail.Sent())
		sent, err := f.Issuer.Resend(ctx, clerk, r.ID)
		require.NoError(t, err)
		require.Equal(t, 2, sent.Generation)
		require.Len(t, f.Mail.Sent()[before:], 1)
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 1))
		codeIs(t, domain.CodeTokenInvalid, err, "of the generation before")
		_, err = f.Issuer.UpdateAvailable(ctx, token.AccessToken)
		codeIs(t, domain.CodeTokenInvalid, err)
		token = renew(t, f, token.RefreshToken)
		require.True(t, token.UpdateAvailable)

		// The intent of a collection that was never finished goes with the update.
		collectAct(t, f, reload(t, f, r.ID), walletKeys(t, f, 1))
		_, err = f.Issuer.CancelRequest(ctx, clerk, r.ID, "asked by mistake")
		require.NoError(t, err)
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 1))
		codeIs(t, domain.CodeOfferInvalid, err)
		require.Equal(t, domain.DocumentActive, stateOf(t, f, first.document.ID))
		require.True(t, verify(t, f, first.signed[0]).OK())
		token = renew(t, f, token.RefreshToken)
		require.False(t, token.UpdateAvailable)

		r = askUpdate(t, f, first.document.ID)
		f.Clock.Advance(365 * 24 * time.Hour)
		require.False(t, renew(t, f, token.RefreshToken).UpdateAvailable, "too late")
		snap, err := f.Issuer.Expire(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, domain.RequestExpired, snap.State)
		require.Equal(t, domain.DocumentActive, stateOf(t, f, first.document.ID))
	})
}

// What happens to the document decides what becomes of its update.
func TestDocumentChangesWhileItsUpdateWaits(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		boss := operator(t, f, "boss", domain.PermApprove)
		change := func(h held, act domain.DocumentAct) {
			_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), h.document.ID, act, domain.ReasonLost, "")
			require.NoError(t, err)
		}
		profile, guarded := f.Profile(t, "mdl"), guardedProfile(t, f, "guarded")
		waiting := func(p domain.Profile) (held, domain.Request, issuer.Token) {
			h := hold(t, f, f.Person(t), p, 1)
			r := askUpdate(t, f, h.document.ID)
			return h, r, renew(t, f, h.token.RefreshToken)
		}
		refused := func(r domain.Request, p domain.Profile, token issuer.Token, want domain.RequestState) {
			t.Helper()
			_, err := collect(ctx, f, p, token.AccessToken, walletKeys(t, f, 1))
			require.Contains(t, []domain.Code{domain.CodeWrongState, domain.CodeOfferInvalid}, domain.CodeOf(err), "%v", err)
			require.Equal(t, want, reload(t, f, r.ID).State)
			_, err = f.Store.DocumentOfRequest(ctx, r.ID)
			require.Error(t, err, "nothing was prepared")
		}

		t.Run("canceled", func(t *testing.T) {
			h, r, token := waiting(profile)
			change(h, domain.DocumentCancel)
			require.Equal(t, domain.RequestCanceled, reload(t, f, r.ID).State)
			refused(r, profile, token, domain.RequestCanceled)
			_, err := f.Issuer.Refresh(ctx, token.RefreshToken)
			codeIs(t, domain.CodeTokenInvalid, err)
			timeline, err := f.Issuer.Timeline(ctx, f.Admin(), r.ID, 0, 0)
			require.NoError(t, err)
			last := timeline[len(timeline)-1]
			require.Equal(t, []string{"request.cancel", "system", "the document is canceled"}, []string{last.Action, last.Actor, last.Notes})
			_, err = f.Issuer.CancelRequest(ctx, f.Admin(), r.ID, "")
			codeIs(t, domain.CodeWrongState, err)
		})
		t.Run("disabled", func(t *testing.T) {
			h, r, token := waiting(profile)
			change(h, domain.DocumentDisable)
			refused(r, profile, token, domain.RequestAwaitingCollection)
			require.Equal(t, domain.CodeWrongState, reload(t, f, r.ID).FailureCode)
			_, err := f.Issuer.Refresh(ctx, token.RefreshToken)
			codeIs(t, domain.CodeTokenInvalid, err)
			available, err := f.Issuer.UpdateAvailable(ctx, token.AccessToken)
			require.NoError(t, err)
			require.False(t, available)

			change(h, domain.DocumentEnable)
			token = renew(t, f, token.RefreshToken)
			require.True(t, token.UpdateAvailable)
			_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 1))
			require.NoError(t, err)
			require.Empty(t, reload(t, f, r.ID).FailureCode)
		})
		t.Run("about to be canceled", func(t *testing.T) {
			h, r, token := waiting(guarded)
			c := askToCancel(t, f, h.document.ID)
			refused(r, guarded, token, domain.RequestAwaitingCollection)
			next := renew(t, f, token.RefreshToken)
			require.False(t, next.UpdateAvailable)
			_, err := f.Issuer.RejectCancellation(ctx, boss, c.ID, "no proof")
			require.NoError(t, err)
			_, err = collect(ctx, f, guarded, token.AccessToken, walletKeys(t, f, 1))
			require.NoError(t, err)

			h, r, _ = waiting(guarded)
			c = askToCancel(t, f, h.document.ID)
			_, err = f.Issuer.ApproveCancellation(ctx, boss, c.ID, "")
			require.NoError(t, err)
			require.Equal(t, domain.RequestCanceled, reload(t, f, r.ID).State)
			history, err := f.Issuer.DocumentHistory(ctx, f.Admin(), h.document.ID, 0, 0)
			require.NoError(t, err)
			require.Equal(t, "document.cancel", history[len(history)-1].Action)
		})
		t.Run("holder deactivated", func(t *testing.T) {
			h, r, token := waiting(profile)
			p, err := f.Store.Person(ctx, h.document.PersonID)
			require.NoError(t, err)
			p.Status = domain.PersonInactive
			_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), p)
			require.NoError(t, err)
			refused(r, profile, token, domain.RequestAwaitingCollection)
		})
		t.Run("expired", func(t *testing.T) {
			day := domain.DateOf(f.Clock.Now().AddDate(0, 0, 5))
			person := f.Person(t)
			r, err := f.Issuer.CreateRequest(ctx, f.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID, ExpiryDate: day})
			require.NoError(t, err)
			first := redeemAll(t, f, r.ID)
			_, err = collect(ctx, f, profile, first.AccessToken, walletKeys(t, f, 1))
			require.NoError(t, err)
			d := documentOf(t, f, r.ID)
			u := askUpdate(t, f, d.ID)
			require.Equal(t, d.ValidUntil, u.CollectionDeadline, "it waits no longer than its document lives")
			renew(t, f, first.RefreshToken)
			ref := collectAct(t, f, u, walletKeys(t, f, 1))
			f.Clock.Advance(6 * 24 * time.Hour)
			_, err = f.Issuer.Refresh(ctx, first.RefreshToken)
			codeIs(t, domain.CodeTokenInvalid, err)
			snap, err := f.Issuer.Sign(ctx, ref)
			require.NoError(t, err)
			require.Equal(t, domain.RequestFailed, snap.State, "a collection that came too late ends it")
			require.Equal(t, domain.CodeWrongState, reload(t, f, u.ID).FailureCode)
		})
	})
}

// An update replaces its own document and leaves the others alone, whatever a new document would do to them.
func TestUpdateLeavesOtherDocuments(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.CredentialGroup = "driving" })
		first, second := hold(t, f, person, profile, 1), hold(t, f, person, profile, 1)
		o := profile.Options
		o.OnReissue, o.IssueOverExisting, o.ExclusiveGroup = domain.ReissueCancel, true, "one"
		_, err := f.Issuer.ChangeProfile(ctx, f.Admin(), profile.ID, profile.Version, issuer.SaveProfile{Options: o})
		require.NoError(t, err)
		r := askUpdate(t, f, first.document.ID)
		_, err = collect(ctx, f, profile, renew(t, f, first.token.RefreshToken).AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		require.Equal(t, domain.DocumentSuperseded, stateOf(t, f, first.document.ID))
		require.Equal(t, domain.DocumentActive, stateOf(t, f, second.document.ID))
		require.Equal(t, domain.DocumentActive, documentOf(t, f, r.ID).State)
		history, err := f.Issuer.DocumentHistory(ctx, f.Admin(), first.document.ID, 0, 0)
		require.NoError(t, err)
		require.NotContains(t, actionsOf(history), "document.reissue")
	})
}

// A process dies at any step of storing an update; the next try ends it, and there is one live document at any time.
func TestUpdateSurvivesCrashes(t *testing.T) {
	gate := &gatedKeys{}
	eachBackendWith(t, issuertest.Options{Keys: gate.wrap}, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		gate.set(nil)
		profile := f.Profile(t, "mdl")
		h := hold(t, f, f.Person(t), profile, 1)
		r := askUpdate(t, f, h.document.ID)
		token, wallet := renew(t, f, h.token.RefreshToken), walletKeys(t, f, 1)
		crashing, die := context.WithCancel(ctx)
		gate.set(func() error { die(); return errCrash })
		_, err := collect(crashing, f, profile, token.AccessToken, wallet)
		require.Error(t, err)
		gate.set(nil)
		require.Equal(t, domain.DocumentActive, stateOf(t, f, h.document.ID))
		require.Equal(t, domain.DocumentPrepared, documentOf(t, f, r.ID).State)
		require.True(t, verify(t, f, h.signed[0]).OK())
		_, err = collect(ctx, f, profile, token.AccessToken, wallet)
		require.NoError(t, err)
		require.Equal(t, domain.DocumentSuperseded, stateOf(t, f, h.document.ID))
		live, err := f.Store.LiveDocuments(ctx, h.document.PersonID)
		require.NoError(t, err)
		require.Len(t, live, 1)
	})
}
