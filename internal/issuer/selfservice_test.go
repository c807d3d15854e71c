package issuer_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/store"
)

// holderOf gives a caller whose own person it is, with all that a holder may do.
func holderOf(t *testing.T, f *issuertest.Fixture, person domain.Person) domain.Caller {
	t.Helper()
	return f.Caller(t, "self-"+person.ID, person.ID, issuertest.Grants{domain.PermRequestSelf: domain.ScopeSelf,
		domain.PermCollect: domain.ScopeSelf})
}

func unreachable(p *domain.Person) { p.Email, p.Mobile = "", "" }

func needsApproval(o *domain.ProfileOptions) { o.ValidateIssuance = true }

func sendsNothing(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyNone }

func withoutQR(o *domain.ProfileOptions) {
	hidden := false
	o.SelfService.ShowQR = &hidden
}

func TestMe(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person := f.Person(t)
		me, err := f.Issuer.Me(t.Context(), holderOf(t, f, person))
		require.NoError(t, err)
		require.Equal(t, "Erika Mustermann", me.DisplayName)
		require.Equal(t, person.ID, me.Account.PersonID)
		me, err = f.Issuer.Me(t.Context(), f.Admin())
		require.NoError(t, err)
		require.Equal(t, issuertest.AdminName, me.Account.Name)
		require.Empty(t, me.DisplayName)
	})
}

func TestOwnProfiles(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t, withLogonName("erika"))
		holder := holderOf(t, f, person)
		role, err := f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: "drivers"})
		require.NoError(t, err)
		open := f.Profile(t, "open", func(o *domain.ProfileOptions) {
			o.DisplayName, o.LifetimeDays = "Open", 300
			o.SelfService.ValidityDays, o.SelfService.UserID = 100, "{logon_name}@{display_name}"
		})
		guarded := f.Profile(t, "guarded", needsApproval, withoutQR)
		needy := f.Profile(t, "needy", func(o *domain.ProfileOptions) { o.RequisiteData = []string{"attribute.badge_number", "max_expiry"} })
		f.Profile(t, "others", func(o *domain.ProfileOptions) { o.CanReceive = []string{role.ID} })
		f.Profile(t, "collectors", func(o *domain.ProfileOptions) { o.CanCollect = []string{role.ID} })
		f.Profile(t, "requesters", func(o *domain.ProfileOptions) { o.CanRequest = []string{role.ID} })

		all, err := f.Issuer.OwnProfiles(ctx, holder)
		require.NoError(t, err)
		byID := map[string]issuer.OwnProfile{}
		for _, p := range all {
			byID[p.ID] = p
		}
		require.Len(t, byID, 3, "those for other roles are left out")
		require.Equal(t, issuer.OwnProfile{ID: open.ID, DisplayName: "Open", ShowQR: true, ValidUntil: byID[open.ID].ValidUntil,
			Display: domain.Display{UserID: "erika@Open", ServerName: "Test Authority", ProfileName: "MobileID Erika Mustermann"}}, byID[open.ID])
		require.Equal(t, domain.DateOf(f.Clock.Now().UTC().AddDate(0, 0, 100)), byID[open.ID].ValidUntil, "as long as holders get it for")
		require.True(t, byID[guarded.ID].NeedsApproval)
		require.False(t, byID[guarded.ID].ShowQR)
		require.Equal(t, "erika@holder.example", byID[guarded.ID].Display.UserID)
		require.Len(t, byID[needy.ID].Refusals, 1)
		require.Equal(t, domain.CodeMissingData, byID[needy.ID].Refusals[0].Code)
		require.Len(t, byID[needy.ID].Refusals[0].Fields, 2)

		silent := f.Person(t, unreachable)
		all, err = f.Issuer.OwnProfiles(ctx, holderOf(t, f, silent))
		require.NoError(t, err)
		for _, p := range all {
			require.True(t, p.ShowQR, "it is the only way to %s", p.ID)
			if p.ID != needy.ID {
				require.Empty(t, p.Refusals)
			}
		}
		blind := f.Caller(t, "blind", silent.ID, issuertest.Grants{domain.PermRequestSelf: domain.ScopeSelf})
		all, err = f.Issuer.OwnProfiles(ctx, blind)
		require.NoError(t, err)
		for _, p := range all {
			codes := []domain.Code{}
			for _, r := range p.Refusals {
				codes = append(codes, r.Code)
			}
			require.Contains(t, codes, domain.CodeMissingContact, "no message arrives, and no QR code may be shown")
		}
	})
}

func TestOwnRequestToDocument(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		holder := holderOf(t, f, person)
		profile := f.Profile(t, "mdl", needsApproval)
		r, qr, err := f.Issuer.CreateOwnRequest(ctx, holder, "key", profile.ID)
		require.NoError(t, err)
		require.Nil(t, qr)
		require.Equal(t, domain.RequestByHolder, r.Channel)
		require.True(t, r.Own)
		require.Equal(t, "Driving licence", r.DocumentName)
		same, _, err := f.Issuer.CreateOwnRequest(ctx, holder, "key", profile.ID)
		require.NoError(t, err)
		require.Equal(t, r.ID, same.ID)
		_, err = f.Issuer.OwnQR(ctx, holder, r.ID)
		codeIs(t, domain.CodeApprovalRequired, err)
		_, err = f.Issuer.Approve(ctx, f.Admin(), r.ID, issuer.Approval{Reason: "looks like Erika"})
		require.NoError(t, err)

		sent := reload(t, f, r.ID)
		shown, err := f.Issuer.OwnQR(ctx, holder, r.ID)
		require.NoError(t, err)
		require.Equal(t, issuertest.BaseURL, shown.QRBaseURL)
		require.Equal(t, linkOf(t, shown.Page), shown.LinkToken)
		require.WithinDuration(t, f.Clock.Now().Add(2*time.Minute), shown.ShowUntil, 10*time.Second)
		require.Equal(t, sent.CodeExpiresAt, reload(t, f, r.ID).CodeExpiresAt, "the code that was sent works as long as before")
		offer, err := f.Issuer.Offer(ctx, shown.LinkToken)
		require.NoError(t, err)
		token, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, shown.Code, "192.0.2.1")
		require.NoError(t, err)
		_, err = f.Issuer.OwnQR(ctx, holder, r.ID)
		codeIs(t, domain.CodeWrongState, err, "it was used")
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		_, err = f.Issuer.OwnQR(ctx, holder, r.ID)
		codeIs(t, domain.CodeWrongState, err)

		got, steps, err := f.Issuer.OwnRequest(ctx, holder, r.ID)
		require.NoError(t, err)
		require.Equal(t, domain.RequestIssued, got.State)
		type step struct {
			action string
			by     issuer.Party
			state  domain.RequestState
		}
		var told []step
		for _, s := range steps {
			told = append(told, step{s.Action, s.By, s.State})
		}
		require.Equal(t, []step{
			{"request.create", issuer.PartyHolder, domain.RequestReceived},
			{"request.begin", issuer.PartyIssuer, domain.RequestAwaitingApproval},
			{"request.approve", issuer.PartyIssuer, domain.RequestAwaitingCollection},
			{"request.view_code", issuer.PartyHolder, ""},
			{"request.redeem", issuer.PartyWallet, ""},
			{"request.issue", issuer.PartyWallet, domain.RequestIssued},
		}, told)
		docs, err := f.Issuer.OwnDocuments(ctx, holder, "", 0)
		require.NoError(t, err)
		require.Len(t, docs, 1)
		require.Equal(t, got.DocumentID, docs[0].ID)
		require.Equal(t, "Driving licence", docs[0].DocumentName)
	})
}

// Where no message arrives, the answer brings the QR code, whatever the profile says of showing it; a code that was not sent works for a
// short time.
func TestOwnRequestWithoutContact(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t, unreachable)
		holder := holderOf(t, f, person)
		hidden := f.Profile(t, "hidden", withoutQR)
		r, qr, err := f.Issuer.CreateOwnRequest(ctx, holder, "key", hidden.ID)
		require.NoError(t, err)
		require.NotNil(t, qr)
		require.Equal(t, domain.RequestAwaitingCollection, r.State)
		require.Equal(t, r.ID, qr.RequestID)
		require.WithinDuration(t, f.Clock.Now().Add(2*time.Minute), qr.CodeExpiresAt, 10*time.Second)
		require.Equal(t, qr.CodeExpiresAt, qr.ShowUntil)
		require.Empty(t, f.Mail.Sent())

		f.Clock.Advance(3 * time.Minute)
		offer, err := f.Issuer.Offer(ctx, qr.LinkToken)
		require.NoError(t, err)
		_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, qr.Code, "192.0.2.1")
		codeIs(t, domain.CodeOfferExpired, err)
		_, again, err := f.Issuer.CreateOwnRequest(ctx, holder, "key", hidden.ID)
		require.NoError(t, err)
		require.Equal(t, qr.Code, again.Code, "the repeated call shows it anew")
		token, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, again.Code, "192.0.2.1")
		require.NoError(t, err)
		_, err = collect(ctx, f, hidden, token.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)

		guarded := f.Profile(t, "guarded", needsApproval)
		r, qr, err = f.Issuer.CreateOwnRequest(ctx, holder, "", guarded.ID)
		require.NoError(t, err)
		require.Nil(t, qr)
		_, err = f.Issuer.OwnQR(ctx, holder, r.ID)
		codeIs(t, domain.CodeApprovalRequired, err)
		_, err = f.Issuer.Approve(ctx, f.Admin(), r.ID, issuer.Approval{})
		require.NoError(t, err, "missing contact data is not in the way of the approval either")
		_, err = f.Issuer.OwnQR(ctx, holder, r.ID)
		require.NoError(t, err)

		blind := f.Caller(t, "blind", person.ID, issuertest.Grants{domain.PermRequestSelf: domain.ScopeSelf})
		_, _, err = f.Issuer.CreateOwnRequest(ctx, blind, "", hidden.ID)
		codeIs(t, domain.CodeMissingContact, err, "nothing would ever arrive")
		_, err = f.Issuer.CreateRequest(ctx, f.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: hidden.ID})
		codeIs(t, domain.CodeMissingContact, err, "an operator's request is not for the holder's screen")
	})
}

// The engine may be down: the request and its QR code are there all the same.
func TestOwnRequestWithoutContactWhileTheEngineIsDown(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		holder := holderOf(t, f, f.Person(t, unreachable))
		profile := f.Profile(t, "mdl")
		f.Engine.SetDown(true)
		r, qr, err := f.Issuer.CreateOwnRequest(ctx, holder, "", profile.ID)
		require.NoError(t, err)
		require.NotNil(t, qr)
		f.Engine.SetDown(false)
		offer, err := f.Issuer.Offer(ctx, qr.LinkToken)
		require.NoError(t, err)
		token, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, qr.Code, "192.0.2.1")
		require.NoError(t, err)
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		require.Equal(t, domain.RequestIssued, reload(t, f, r.ID).State)
	})
}

func TestOwnQRRules(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		holder := holderOf(t, f, person)
		role, err := f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: "collectors"})
		require.NoError(t, err)
		ask := func(profile domain.Profile) string {
			t.Helper()
			r, _, err := f.Issuer.CreateOwnRequest(ctx, holder, "", profile.ID)
			require.NoError(t, err)
			return r.ID
		}
		mailOnly := ask(f.Profile(t, "mail-only", withoutQR))
		_, err = f.Issuer.OwnQR(ctx, holder, mailOnly)
		codeIs(t, domain.CodeForbidden, err)

		plain := f.Profile(t, "plain")
		id := ask(plain)
		_, err = f.Issuer.OwnQR(ctx, f.Caller(t, "cannot-collect", person.ID, issuertest.Grants{domain.PermRequestSelf: domain.ScopeSelf}), id)
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.OwnQR(ctx, holderOf(t, f, f.Person(t)), id)
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.OwnQR(ctx, f.Admin(), id)
		codeIs(t, domain.CodeForbidden, err, "an operator reads link and code as an operator")

		// A profile that is for others since does not show the code any more.
		_, err = f.Issuer.ChangeProfile(ctx, f.Admin(), plain.ID, plain.Version, issuer.SaveProfile{Options: func() domain.ProfileOptions {
			o := plain.Options
			o.CanCollect = []string{role.ID}
			return o
		}()})
		require.NoError(t, err)
		_, err = f.Issuer.OwnQR(ctx, holder, id)
		codeIs(t, domain.CodeRoleMissing, err)
		require.Equal(t, []string{"can_collect"}, fieldsOf(t, err))
		_, as, err := f.Issuer.Account(ctx, f.Admin(), holder.AccountID)
		require.NoError(t, err)
		as = append(as, domain.Assignment{RoleID: role.ID, Scope: domain.ScopeNone})
		require.NoError(t, f.Issuer.AssignRoles(ctx, f.Admin(), holder.AccountID, as))
		_, err = f.Issuer.OwnQR(ctx, holder, id)
		require.NoError(t, err)

		// Nothing was sent: the code works from now on, for a short time.
		unsent := ask(f.Profile(t, "unsent", sendsNothing))
		shown, err := f.Issuer.OwnQR(ctx, holder, unsent)
		require.NoError(t, err)
		require.WithinDuration(t, f.Clock.Now().Add(2*time.Minute), shown.CodeExpiresAt, 10*time.Second)

		// A code that has run out is good again on screen.
		setSettings(t, f, func(s *domain.Settings) { s.AuthenticationCodeLifetime = domain.Seconds(time.Hour) })
		short := ask(f.Profile(t, "short"))
		f.Clock.Advance(2 * time.Hour)
		shown, err = f.Issuer.OwnQR(ctx, holder, short)
		require.NoError(t, err)
		require.WithinDuration(t, f.Clock.Now().Add(2*time.Minute), shown.CodeExpiresAt, 10*time.Second)

		f.Clock.Advance(31 * 24 * time.Hour)
		_, err = f.Issuer.OwnQR(ctx, holder, short)
		codeIs(t, domain.CodeOfferExpired, err)
		_, err = f.Issuer.CancelOwnRequest(ctx, holder, short)
		require.NoError(t, err)
		_, err = f.Issuer.OwnQR(ctx, holder, short)
		codeIs(t, domain.CodeWrongState, err)
		for _, bad := range []string{"", "x", newID(t), "\x00"} {
			_, err := f.Issuer.OwnQR(ctx, holder, bad)
			codeIs(t, domain.CodeNotFound, err)
		}
	})
}

func TestQRCodesLeadWhereTheSettingsSay(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{Config: func(c *issuer.Config) { c.QRBaseURL = "https://qr.example" }})
	ctx := t.Context()
	holder := holderOf(t, f, f.Person(t))
	r, _, err := f.Issuer.CreateOwnRequest(ctx, holder, "", f.Profile(t, "mdl").ID)
	require.NoError(t, err)
	shown, err := f.Issuer.OwnQR(ctx, holder, r.ID)
	require.NoError(t, err)
	require.Equal(t, "https://qr.example", shown.QRBaseURL)
	setSettings(t, f, func(s *domain.Settings) { s.QRBaseURL = "https://phones.example" })
	shown, err = f.Issuer.OwnQR(ctx, holder, r.ID)
	require.NoError(t, err)
	require.Equal(t, "https://phones.example", shown.QRBaseURL)
}

// An update has neither link nor code: the wallet asks for it.
func TestOwnUpdates(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		holder := holderOf(t, f, person)
		doc, _ := issue(t, f, person, f.Profile(t, "mdl"), 1)
		update, err := f.Issuer.UpdateDocument(ctx, f.Admin(), "", issuer.NewUpdate{DocumentID: doc.ID, Reason: domain.ReasonReprovision})
		require.NoError(t, err)
		got, _, err := f.Issuer.OwnRequest(ctx, holder, update.ID)
		require.NoError(t, err)
		require.Equal(t, domain.RequestUpdate, got.Kind())
		_, err = f.Issuer.OwnQR(ctx, holder, update.ID)
		codeIs(t, domain.CodeWrongState, err)
	})
}

// Every step can be canceled by the holder, also what an operator asked for.
func TestCancelOwnRequests(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		holder := holderOf(t, f, person)
		profile, guarded := f.Profile(t, "mdl"), f.Profile(t, "guarded", needsApproval)
		for name, make := range map[string]func(t *testing.T) string{
			"waiting for approval": func(t *testing.T) string {
				r, _, err := f.Issuer.CreateOwnRequest(ctx, holder, "", guarded.ID)
				require.NoError(t, err)
				return r.ID
			},
			"waiting for collection": func(t *testing.T) string {
				r, _, err := f.Issuer.CreateOwnRequest(ctx, holder, "", profile.ID)
				require.NoError(t, err)
				return r.ID
			},
			"received": func(t *testing.T) string {
				f.Engine.SetDown(true)
				defer f.Engine.SetDown(false)
				r, _, err := f.Issuer.CreateOwnRequest(ctx, holder, "", profile.ID)
				require.NoError(t, err)
				require.Equal(t, domain.RequestReceived, r.State)
				return r.ID
			},
			"an operator's": func(t *testing.T) string { return newRequest(t, f, person, profile).ID },
			"locked": func(t *testing.T) string {
				r := newRequest(t, f, person, profile)
				link, code := onScreen(t, f, r.ID)
				offer, err := f.Issuer.Offer(ctx, link)
				require.NoError(t, err)
				for range 5 {
					_, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, wrong(code), "192.0.2.1")
					require.Error(t, err)
				}
				return r.ID
			},
		} {
			t.Run(name, func(t *testing.T) {
				id := make(t)
				_, err := f.Issuer.CancelOwnRequest(ctx, holderOf(t, f, f.Person(t)), id)
				codeIs(t, domain.CodeNotFound, err)
				r, err := f.Issuer.CancelOwnRequest(ctx, holder, id)
				require.NoError(t, err)
				require.Equal(t, domain.RequestCanceled, r.State)
				_, err = f.Issuer.CancelOwnRequest(ctx, holder, id)
				codeIs(t, domain.CodeWrongState, err)
			})
		}
	})
}

func TestOwnThingsOnly(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, other := f.Person(t), f.Person(t)
		holder, stranger := holderOf(t, f, person), holderOf(t, f, other)
		profile := f.Profile(t, "mdl")
		doc, _ := issue(t, f, person, profile, 1)
		mine := newRequest(t, f, person, profile)
		theirs := newRequest(t, f, other, profile)

		for _, id := range []string{mine.ID, newID(t), "x"} {
			_, _, err := f.Issuer.OwnRequest(ctx, stranger, id)
			require.Equal(t, domain.NotFound("request"), err)
		}
		for _, id := range []string{doc.ID, newID(t), "x"} {
			_, err := f.Issuer.ReportLost(ctx, stranger, id, domain.ReasonLost, "")
			require.Equal(t, domain.NotFound("document"), err)
		}
		requests, err := f.Issuer.OwnRequests(ctx, stranger, "", 0)
		require.NoError(t, err)
		require.Len(t, requests, 1)
		require.Equal(t, theirs.ID, requests[0].ID)
		require.False(t, requests[0].Own)
		docs, err := f.Issuer.OwnDocuments(ctx, stranger, "", 0)
		require.NoError(t, err)
		require.Empty(t, docs)
		first, err := f.Issuer.OwnRequests(ctx, holder, "", 1)
		require.NoError(t, err)
		require.Equal(t, mine.ID, first[0].ID)
		rest, err := f.Issuer.OwnRequests(ctx, holder, mine.ID, 0)
		require.NoError(t, err)
		require.Equal(t, doc.RequestID, rest[0].ID)
		_, err = f.Issuer.OwnRequests(ctx, holder, "x", 1)
		codeIs(t, domain.CodeInvalid, err)
		_, err = f.Issuer.OwnDocuments(ctx, holder, "", 501)
		codeIs(t, domain.CodeInvalid, err)

		// A wide scope does not widen what is one's own.
		boss := f.Caller(t, "boss", other.ID, issuertest.All(domain.Permissions()...))
		_, _, err = f.Issuer.OwnRequest(ctx, boss, mine.ID)
		codeIs(t, domain.CodeNotFound, err)

		for name, c := range map[string]struct {
			caller domain.Caller
			code   domain.Code
		}{
			"no permission": {f.Caller(t, "none", person.ID, issuertest.All(domain.PermRequest, domain.PermDocumentsRead)), domain.CodeForbidden},
			"no person":     {f.Admin(), domain.CodeForbidden},
			"inactive": {func() domain.Caller {
				p := f.Person(t)
				c := holderOf(t, f, p)
				_, _, err := f.Issuer.DeactivatePerson(ctx, f.Admin(), p.ID, domain.ReasonLeft, "")
				require.NoError(t, err)
				return c
			}(), domain.CodePersonInactive},
		} {
			for act, err := range map[string]error{
				"profiles":  second(f.Issuer.OwnProfiles(ctx, c.caller)),
				"create":    third(f.Issuer.CreateOwnRequest(ctx, c.caller, "", profile.ID)),
				"requests":  second(f.Issuer.OwnRequests(ctx, c.caller, "", 0)),
				"request":   third(f.Issuer.OwnRequest(ctx, c.caller, mine.ID)),
				"cancel":    second(f.Issuer.CancelOwnRequest(ctx, c.caller, mine.ID)),
				"qr":        second(f.Issuer.OwnQR(ctx, c.caller, mine.ID)),
				"documents": second(f.Issuer.OwnDocuments(ctx, c.caller, "", 0)),
				"lost":      second(f.Issuer.ReportLost(ctx, c.caller, doc.ID, domain.ReasonLost, "")),
			} {
				codeIs(t, c.code, err, name, act)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }

func TestReportLost(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		holder := holderOf(t, f, person)
		profile := f.Profile(t, "mdl")
		doc, signed := issue(t, f, person, profile, 2)
		for _, reason := range []domain.CancelReason{"", "withdrawn", "left", "other", "x"} {
			_, err := f.Issuer.ReportLost(ctx, holder, doc.ID, reason, "")
			codeIs(t, domain.CodeInvalid, err)
			require.Equal(t, []string{"reason"}, fieldsOf(t, err))
		}
		_, err := f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonLost, string(make([]byte, 2001)))
		codeIs(t, domain.CodeInvalid, err)

		got, err := f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonStolen, "on the train")
		require.NoError(t, err)
		require.Equal(t, domain.DocumentCanceled, got.State)
		require.Empty(t, got.CancellationID)
		for _, one := range signed {
			require.False(t, verify(t, f, one).OK())
		}
		before := f.AuditHead(t)
		again, err := f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonLost, "")
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.Equal(t, before, f.AuditHead(t), "reporting it again changes nothing")
		history, err := f.Issuer.DocumentHistory(ctx, f.Admin(), doc.ID, 0, 0)
		require.NoError(t, err)
		last := history[len(history)-1]
		require.Equal(t, []string{"document.cancel", "stolen", "on the train", holder.AccountID, "self_service"},
			[]string{last.Action, last.Reason, last.Notes, last.Actor, last.Channel})

		ended, _ := issue(t, f, person, profile, 1)
		f.Clock.Advance(3 * 365 * 24 * time.Hour)
		_, err = f.Issuer.ReportLost(ctx, holder, ended.ID, domain.ReasonLost, "")
		codeIs(t, domain.CodeWrongState, err)
	})
}

func TestReportLostNeedingApproval(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		holder := holderOf(t, f, person)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateCancellation = true })
		doc, _ := issue(t, f, person, profile, 1)
		got, err := f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonLost, "at sea")
		require.NoError(t, err)
		require.Equal(t, domain.DocumentDisabled, got.State, "out of use at once")
		require.Equal(t, domain.DisabledByOperator, got.DisabledBy, "and only an operator ends that")
		c, err := f.Issuer.Cancellation(ctx, f.Admin(), got.CancellationID)
		require.NoError(t, err)
		require.Equal(t, domain.CancellationAwaitingApproval, c.State)
		require.Equal(t, []string{holder.AccountID, "lost", "at sea"}, []string{c.RequestedBy, string(c.Reason), c.Notes})

		before := f.AuditHead(t)
		again, err := f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonStolen, "")
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.Equal(t, before, f.AuditHead(t))

		// Enabled by an operator while the cancellation is open, it is disabled again; the cancellation stays the same.
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), doc.ID, domain.DocumentEnable, "", "")
		require.NoError(t, err)
		again, err = f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonStolen, "")
		require.NoError(t, err)
		require.Equal(t, domain.DocumentDisabled, again.State)
		require.Equal(t, c.ID, again.CancellationID)

		// Rejected, the document stays disabled until an operator enables it; reported once more, there is another cancellation.
		_, err = f.Issuer.RejectCancellation(ctx, f.Admin(), c.ID, "it was found")
		require.NoError(t, err)
		again, err = f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonLost, "")
		require.NoError(t, err)
		require.Equal(t, domain.DocumentDisabled, again.State)
		require.NotEqual(t, c.ID, again.CancellationID)
		_, err = f.Issuer.ApproveCancellation(ctx, f.Admin(), again.CancellationID, "")
		require.NoError(t, err)
		again, err = f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonLost, "")
		require.NoError(t, err)
		require.Equal(t, domain.DocumentCanceled, again.State)
	})
}

// What disabled a document before would enable it by itself again; not after it was reported.
func TestReportLostOutlastsReactivation(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		holder := holderOf(t, f, person)
		doc, _ := issue(t, f, person, f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateCancellation = true }), 1)
		require.NoError(t, f.Store.MoveDocument(ctx, doc.ID, domain.DocumentActive, domain.DocumentDisabled, domain.DisabledByPerson,
			f.Clock.Now()))
		got, err := f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonLost, "")
		require.NoError(t, err)
		require.Equal(t, domain.DisabledByOperator, got.DisabledBy)
		_, _, err = f.Issuer.DeactivatePerson(ctx, f.Admin(), person.ID, domain.ReasonLeft, "")
		require.NoError(t, err)
		_, _, err = f.Issuer.ActivatePerson(ctx, f.Admin(), person.ID, "")
		require.NoError(t, err)
		now, err := f.Store.Document(ctx, doc.ID)
		require.NoError(t, err)
		require.Equal(t, domain.DocumentDisabled, now.State)
	})
}

// Reports at the same time, and an operator's change in between, lead to one cancellation and a document out of use.
func TestParallelReports(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		holder := holderOf(t, f, person)
		doc, _ := issue(t, f, person, f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateCancellation = true }), 1)
		var g errgroup.Group
		for range 6 {
			g.Go(func() error {
				_, err := f.Issuer.ReportLost(ctx, holder, doc.ID, domain.ReasonLost, "")
				return err
			})
		}
		g.Go(func() error {
			_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), doc.ID, domain.DocumentDisable, domain.ReasonLost, "")
			if c := domain.CodeOf(err); err != nil && c != domain.CodeConflict && c != domain.CodeWrongState {
				return errors.Join(errors.New("disable"), err)
			}
			return nil
		})
		require.NoError(t, g.Wait())
		all, err := f.Store.Cancellations(ctx, store.CancellationFilter{Within: domain.Within{All: true}, DocumentID: doc.ID},
			store.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, all, 1)
		now, err := f.Store.Document(ctx, doc.ID)
		require.NoError(t, err)
		require.Equal(t, domain.DocumentDisabled, now.State, fmt.Sprint(now.DisabledBy))
	})
}
