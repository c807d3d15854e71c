package issuer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/verifier"
)

// The whole way of a document: request, approval, link and code in two messages, redemption, collection, signature, status.
func TestRequestToDocument(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) {
			o.ValidateIssuance, o.LifetimeDays, o.CredentialGroup, o.NotificationScheme = true, 100, "driving", domain.NotifyDefault
		})
		clerk := operator(t, f, "clerk", domain.PermRequest)
		boss := operator(t, f, "boss", domain.PermApprove)
		in := issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID}

		head := f.AuditHead(t)
		preview, err := f.Issuer.PreviewRequest(ctx, clerk, in)
		require.NoError(t, err)
		require.Equal(t, issuer.Preview{NeedsApproval: true, Approvers: 2, ValidUntil: domain.DateOf(f.Clock.Now().UTC().AddDate(0, 0, 100)),
			Deliveries: []issuer.PreviewDelivery{
				{Channel: domain.ChannelEmail, Kind: domain.MessageCollectionLink, To: "e…@holder.example"},
				{Channel: domain.ChannelEmail, Kind: domain.MessageAuthenticationCode, To: "e…@holder.example"},
				{Channel: domain.ChannelSMS, Kind: domain.MessageAuthenticationCode, To: "…567"},
			}}, preview)
		require.Equal(t, head, f.AuditHead(t), "a preview changes nothing")

		r, err := f.Issuer.CreateRequest(ctx, clerk, "", in)
		require.NoError(t, err)
		require.Equal(t, domain.RequestAwaitingApproval, r.State)
		require.Equal(t, domain.RequestByOperator, r.Channel)
		require.Zero(t, r.Generation, "link and code come into being at approval only")
		require.Empty(t, f.Mail.Sent())
		reviews, err := f.Issuer.Reviews(ctx, boss, "", 0)
		require.NoError(t, err)
		require.Len(t, reviews, 1)

		r, err = f.Issuer.Approve(ctx, boss, r.ID, issuer.Approval{Reason: "known in person"})
		require.NoError(t, err)
		require.Equal(t, domain.RequestAwaitingCollection, r.State)
		require.Equal(t, boss.AccountID, r.DecidedBy)

		mails, texts := f.Mail.Sent(), f.SMS.Sent()
		require.Len(t, mails, 2)
		require.Len(t, texts, 1)
		link, code := linkOf(t, mails[0].Text), codeIn(t, mails[1].Text)
		require.Len(t, code, 8)
		require.NotContains(t, mails[0].Text+mails[0].HTML+mails[0].Subject, code, "link and code never travel in one message")
		require.NotContains(t, mails[1].Text+mails[1].HTML+mails[1].Subject, link)
		require.NotContains(t, texts[0].Text, link)
		require.Equal(t, person.Mobile, texts[0].To)

		var offer issuer.Offer
		for range 3 {
			offer, err = f.Issuer.Offer(ctx, link)
			require.NoError(t, err, "an offer may be fetched more than once")
		}
		require.Equal(t, "mdl", offer.ConfigurationID)
		require.Equal(t, 8, offer.CodeDigits)
		token, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, code, "192.0.2.1")
		require.NoError(t, err)
		require.Equal(t, "mdl", token.ConfigurationID)
		entitled, err := f.Issuer.CheckAccess(ctx, token.AccessToken)
		require.NoError(t, err)
		require.Equal(t, issuer.Access{ConfigurationID: "mdl", MaxCopies: 3}, entitled)

		wallet := walletKeys(t, f, 2)
		signed, err := collect(ctx, f, profile, token.AccessToken, wallet)
		require.NoError(t, err)
		require.Len(t, signed, 2)
		r = reload(t, f, r.ID)
		require.Equal(t, domain.RequestIssued, r.State)

		view, err := f.Issuer.Document(ctx, f.Admin(), r.DocumentID)
		require.NoError(t, err)
		d := view.Document
		require.Equal(t, domain.DocumentActive, d.State)
		require.Equal(t, "org.iso.18013.5.1.mDL", d.DocType)
		require.Equal(t, domain.PlatformAndroid, d.Platform)
		require.Equal(t, "driving", d.CredentialGroup)
		require.Equal(t, 2, d.Copies)
		require.Regexp(t, `^[A-Z2-7]{16}$`, d.Serial)
		require.Equal(t, 100*24*time.Hour, d.ValidUntil.Sub(d.ValidFrom))

		copies := make([]verifier.Result, 2)
		for i := range signed {
			copies[i] = verify(t, f, signed[i])
			require.True(t, copies[i].OK(), "%+v", copies[i])
			mso := copies[i].Verified.MSO
			require.True(t, mso.DeviceKey.Equal(wallet[i].Key), "each copy is bound to its key, in order")
			require.Equal(t, d.ValidFrom, mso.Validity.ValidFrom)
			require.Equal(t, d.ValidUntil, mso.Validity.ValidUntil)
			require.Equal(t, "Mustermann", values(copies[i])["family_name"])
			require.Equal(t, issuertest.Portrait(), values(copies[i])["portrait"])
			require.Equal(t, mdoc.FullDate("1990-03-01"), values(copies[i])["birth_date"])
		}
		a, b := copies[0].Verified.MSO, copies[1].Verified.MSO
		require.NotEqual(t, a.Status.Index, b.Status.Index)
		require.Empty(t, sharedDigests(a, b), "copies share no salt, so no digest")

		head = f.AuditHead(t)
		repeated, err := collect(ctx, f, profile, token.AccessToken, wallet)
		require.NoError(t, err)
		require.Equal(t, signed, repeated, "the same keys get the same bytes")
		require.Equal(t, head, f.AuditHead(t))
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 2))
		codeIs(t, domain.CodeOfferInvalid, err)
		_, err = collect(ctx, f, profile, token.AccessToken, wallet[:1])
		codeIs(t, domain.CodeNonceInvalid, err, "fewer keys are other keys")
		_, err = f.Issuer.Offer(ctx, link)
		codeIs(t, domain.CodeOfferInvalid, err)

		timeline, err := f.Issuer.Timeline(ctx, clerk, r.ID, 0, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"request.create", "request.begin", "request.approve", "request.redeem", "document.prepare", "request.issue"},
			actionsOf(timeline))
		require.Equal(t, domain.Change{Before: "awaiting_approval", After: "awaiting_collection"}, timeline[2].Changes["state"])
		require.Equal(t, boss.AccountID, timeline[2].Actor)
		require.Equal(t, "known in person", timeline[2].Reason)
	})
}

func sharedDigests(a, b mdoc.MobileSecurityObject) []string {
	seen := map[string]bool{}
	for _, ns := range a.ValueDigests {
		for _, d := range ns.Digests {
			seen[string(d.Value)] = true
		}
	}
	var out []string
	for _, ns := range b.ValueDigests {
		for _, d := range ns.Digests {
			if seen[string(d.Value)] {
				out = append(out, string(d.Value))
			}
		}
	}
	return out
}

// A holder asks for themself, a machine for others: the channel is on record.
func TestChannels(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, other, profile := f.Person(t), f.Person(t), f.Profile(t, "mdl")
		holder := f.Caller(t, "holder", person.ID, issuertest.All(domain.PermRequestSelf))
		in := issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID}
		r, err := f.Issuer.CreateRequest(ctx, holder, "", in)
		require.NoError(t, err)
		require.Equal(t, domain.RequestByHolder, r.Channel)
		machine := operator(t, f, "machine", domain.PermRequest)
		machine.Machine = true
		m, err := f.Issuer.CreateRequest(ctx, machine, "", in)
		require.NoError(t, err)
		require.Equal(t, domain.RequestByClient, m.Channel)

		// The holder sees what is theirs and nothing else.
		theirs := newRequest(t, f, other, profile)
		_, err = f.Issuer.CreateRequest(ctx, holder, "", issuer.NewRequest{PersonID: other.ID, ProfileID: profile.ID})
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.Request(ctx, holder, theirs.ID)
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.Timeline(ctx, holder, theirs.ID, 0, 0)
		codeIs(t, domain.CodeNotFound, err)
		mine, err := f.Issuer.Requests(ctx, holder, issuer.RequestFilter{}, "", 0)
		require.NoError(t, err)
		require.Len(t, mine, 2)
		none, err := f.Issuer.Requests(ctx, holder, issuer.RequestFilter{PersonID: other.ID}, "", 0)
		require.NoError(t, err)
		require.Empty(t, none)
		_, err = f.Issuer.CancelRequest(ctx, holder, theirs.ID, "")
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.CancelRequest(ctx, holder, r.ID, "changed my mind")
		require.NoError(t, err)
		_, err = f.Issuer.Resend(ctx, holder, m.ID)
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.ViewCode(ctx, holder, m.ID)
		codeIs(t, domain.CodeForbidden, err)
		all, err := f.Issuer.Requests(ctx, f.Admin(), issuer.RequestFilter{}, "", 0)
		require.NoError(t, err)
		require.Len(t, all, 3)
		nobody := operator(t, f, "nobody")
		_, err = f.Issuer.Requests(ctx, nobody, issuer.RequestFilter{}, "", 0)
		codeIs(t, domain.CodeForbidden, err)
	})
}
