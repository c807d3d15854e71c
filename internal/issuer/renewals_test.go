package issuer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/workflows/messages"
)

// The whole way of a renewal: asked for in time by nobody, collected without a code, and renewed again when its turn comes.
func TestRenewalBeforeExpiry(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", lasts(100), renews(domain.RenewalOptions{BeforeExpiryDays: 20}))
		h := hold(t, f, person, profile, 1)
		clerks, err := f.Issuer.CreateRole(ctx, f.Admin(), "", issuer.SaveRole{Name: "clerks", Permissions: []domain.Permission{domain.PermRequest}})
		require.NoError(t, err)
		o := profile.Options
		o.CanRequest = []string{clerks.ID}
		_, err = f.Issuer.ChangeProfile(ctx, f.Admin(), profile.ID, profile.Version, issuer.SaveProfile{Options: o})
		require.NoError(t, err)
		remindOn(t, f)
		at(t, f, daysBefore(h.document, 21))
		require.Zero(t, tend(t, f))
		at(t, f, daysBefore(h.document, 20))
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))
		require.Zero(t, tend(t, f))
		u := openUpdate(t, f, h.document.ID)
		require.Equal(t, []any{domain.RequestUpdate, domain.RequestAwaitingCollection, "system", domain.RequestByOperator},
			[]any{u.Kind(), u.State, u.RequestedBy, u.Channel})
		asked := historyOf(t, f, h.document.ID, "request.update")
		require.Len(t, asked, 1)
		require.Equal(t, []string{"system", "reprovision", "renewed: it expires soon"}, []string{asked[0].Actor, asked[0].Reason, asked[0].Notes})
		sent, err := f.Issuer.RequestMessages(ctx, f.Admin(), u.ID)
		require.NoError(t, err)
		require.Len(t, sent, 1)
		require.Equal(t, domain.MessageReprovision, sent[0].Kind)

		token := renew(t, f, h.token.RefreshToken)
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		next := documentOf(t, f, u.ID)
		require.Equal(t, domain.DocumentActive, next.State)
		require.True(t, h.document.Gains(next.ValidUntil))
		require.Equal(t, domain.DocumentSuperseded, stateOf(t, f, h.document.ID))
		at(t, f, h.document.ValidUntil)
		require.Zero(t, tend(t, f), "the old one does not expire any more")
		at(t, f, daysBefore(next, 20))
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))
	})
}

// What changes a document's data, and what does not.
func TestRenewalOnChange(t *testing.T) {
	change := func(change func(*domain.Person)) func(*testing.T, *issuertest.Fixture, domain.Person) {
		return func(t *testing.T, f *issuertest.Fixture, p domain.Person) { changed(t, f, p.ID, change) }
	}
	importing := func(column, value string) func(*testing.T, *issuertest.Fixture, domain.Person) {
		return func(t *testing.T, f *issuertest.Fixture, p domain.Person) {
			file := "external_id,given_name,family_name,birth_date,email,group," + column + "\n" + p.ExternalID + ",Erika,Mustermann,1990-03-01," +
				p.Email + "," + p.Group + "," + value + "\n"
			require.NoError(t, f.Issuer.ImportPeople(t.Context(), f.Admin(), strings.NewReader(file), issuer.ImportOptions{Format: issuer.ImportCSV},
				func(row issuer.ImportRow) error {
					require.Equal(t, "updated", row.Result, "%v", row.Problems)
					return nil
				}))
		}
	}
	for name, c := range map[string]struct {
		act     func(t *testing.T, f *issuertest.Fixture, p domain.Person)
		renewed bool
	}{
		"a name":     {change(func(p *domain.Person) { p.FamilyName = "Musterfrau" }), true},
		"the mobile": {change(func(p *domain.Person) { p.Mobile = "+41790000000" }), false},
		"nothing":    {change(func(*domain.Person) {}), false},
		"there and back": {func(t *testing.T, f *issuertest.Fixture, p domain.Person) {
			changed(t, f, p.ID, func(p *domain.Person) { p.GivenName = "E" })
			changed(t, f, p.ID, func(p *domain.Person) { p.GivenName = "Erika" })
		}, false},
		"another picture": {func(t *testing.T, f *issuertest.Fixture, p domain.Person) {
			require.NoError(t, f.Issuer.PutImage(t.Context(), f.Admin(), domain.Image{PersonID: p.ID, Kind: domain.ImagePortrait,
				Bytes: append(issuertest.Portrait(), 0)}))
		}, true},
		"the same picture": {func(t *testing.T, f *issuertest.Fixture, p domain.Person) {
			require.NoError(t, f.Issuer.PutImage(t.Context(), f.Admin(), domain.Image{PersonID: p.ID, Kind: domain.ImagePortrait,
				Bytes: issuertest.Portrait()}))
		}, false},
		"an import of a mapped attribute": {importing("attribute.job_title", "Examiner"), true},
		"an import of another":            {importing("attribute.shoe_size", "38"), false},
		"the name of the group": {func(t *testing.T, f *issuertest.Fixture, p domain.Person) {
			g, err := f.Store.Group(t.Context(), p.GroupID)
			require.NoError(t, err)
			renamed := "Renamed"
			_, err = f.Issuer.ChangeGroup(t.Context(), f.Admin(), g.ID, issuer.GroupChange{Name: &renamed, Version: g.Version})
			require.NoError(t, err)
		}, true},
		"the approval of the data": {func(t *testing.T, f *issuertest.Fixture, p domain.Person) {
			_, err := f.Issuer.ApprovePersonData(t.Context(), f.Admin(), p.ID, issuer.Vetting{VettedOn: domain.DateOf(f.Clock.Now())})
			require.NoError(t, err)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
				person := f.Person(t)
				on := f.Profile(t, "on", func(o *domain.ProfileOptions) { o.Format, o.Renewal.OnChange = "staff-badge", true })
				off := f.Profile(t, "off", func(o *domain.ProfileOptions) { o.Format = "staff-badge" })
				watched, _ := issue(t, f, person, on, 1)
				plain, _ := issue(t, f, person, off, 1)
				f.Clock.Advance(2 * time.Hour)
				require.Zero(t, tend(t, f))
				c.act(t, f, person)
				done := tend(t, f)
				require.Equal(t, c.renewed, done.Renewed == 1)
				require.Equal(t, c.renewed, openUpdate(t, f, watched.ID).ID != "")
				require.Empty(t, openUpdate(t, f, plain.ID).ID)
				require.Zero(t, tend(t, f))
			})
		})
	}
}

// An age turns at midnight of the birthday.
func TestRenewalOnAge(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		birthday := domain.DateOf(f.Clock.Now().AddDate(0, 0, 5)).Start()
		person := f.Person(t, func(p *domain.Person) { p.BirthDate = domain.DateOf(birthday.AddDate(-18, 0, 0)) })
		profile := f.Profile(t, "mdl", renews(domain.RenewalOptions{OnAge: true}))
		h := hold(t, f, person, profile, 1)
		at(t, f, birthday.Add(-time.Minute))
		require.Zero(t, tend(t, f))
		at(t, f, birthday.Add(time.Second))
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))
		signed, err := collect(t.Context(), f, profile, renew(t, f, h.token.RefreshToken).AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		require.Equal(t, false, values(verify(t, f, h.signed[0]))["age_over_18"])
		require.Equal(t, true, values(verify(t, f, signed[0]))["age_over_18"])
		f.Clock.Advance(24 * time.Hour)
		require.Zero(t, tend(t, f), "once a year")

		later, _ := issue(t, f, person, profile, 1)
		changed(t, f, person.ID, func(p *domain.Person) { p.BirthDate = domain.DateOf(f.Clock.Now().AddDate(-20, 0, 3)) })
		require.Zero(t, tend(t, f))
		f.Clock.Advance(4 * 24 * time.Hour)
		require.Equal(t, messages.ExpiryResult{Renewed: 2}, tend(t, f), "the right birth date counts")
		require.NotEmpty(t, openUpdate(t, f, later.ID).ID)
	})
}

// What the rules refuse is told once, tried again each week, and at once when the person was mended.
func TestRefusedRenewals(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", lasts(100), renews(domain.RenewalOptions{BeforeExpiryDays: 50}))
		d, _ := issue(t, f, person, profile, 1)
		remindOn(t, f)
		changed(t, f, person.ID, func(p *domain.Person) { delete(p.Attributes, "issuing_country") })
		at(t, f, daysBefore(d, 50))
		for range 3 {
			require.Zero(t, tend(t, f))
			f.Clock.Advance(domain.RenewalPause)
		}
		refused := historyOf(t, f, d.ID, "document.refuse_renewal")
		require.Len(t, refused, 1)
		require.Equal(t, "missing_data", refused[0].Reason)
		require.Contains(t, refused[0].Notes, "it expires soon, but ")
		changed(t, f, person.ID, func(p *domain.Person) {
			p.Attributes["issuing_country"], p.MaxExpiry = "UT", domain.DateOf(d.ValidUntil)
		})
		require.Zero(t, tend(t, f))
		refused = historyOf(t, f, d.ID, "document.refuse_renewal")
		require.Len(t, refused, 2)
		require.Equal(t, "not_longer", refused[1].Reason)
		changed(t, f, person.ID, func(p *domain.Person) { p.MaxExpiry = "" })
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))

		// A last day that was asked for holds on: there is nothing to gain.
		day := domain.DateOf(f.Clock.Now().AddDate(0, 0, 40))
		r, err := f.Issuer.CreateRequest(ctx, f.Admin(), "", issuer.NewRequest{PersonID: f.Person(t).ID, ProfileID: profile.ID, ExpiryDate: day})
		require.NoError(t, err)
		_, err = collect(ctx, f, profile, redeem(t, f, r.ID), walletKeys(t, f, 1))
		require.NoError(t, err)
		f.Clock.Advance(2 * time.Hour)
		require.Zero(t, tend(t, f))
		bound := historyOf(t, f, documentOf(t, f, r.ID).ID, "document.refuse_renewal")
		require.Len(t, bound, 1)
		require.Equal(t, "not_longer", bound[0].Reason)
	})
}

// While something else is under way the renewal waits, without a word.
func TestRenewalWaits(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.ValidateCancellation, o.Renewal.OnChange = true, true })
		var docs []domain.Document
		for range 3 {
			d, _ := issue(t, f, f.Person(t), profile, 1)
			docs = append(docs, d)
		}
		updated, wished, disabled := docs[0], docs[1], docs[2]
		asked := askUpdate(t, f, updated.ID)
		wish := askToCancel(t, f, wished.ID)
		_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), disabled.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err)
		for _, d := range docs {
			changed(t, f, d.PersonID, func(p *domain.Person) { p.FamilyName = "Musterfrau" })
		}
		require.Zero(t, tend(t, f))
		require.Equal(t, asked.ID, openUpdate(t, f, updated.ID).ID)
		for _, d := range docs {
			require.Empty(t, historyOf(t, f, d.ID, "document.refuse_renewal"))
		}
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), disabled.ID, domain.DocumentEnable, "", "")
		require.NoError(t, err)
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f), "enabled: at once")
		_, err = f.Issuer.WithdrawCancellation(ctx, f.Admin(), wish.ID, "")
		require.NoError(t, err)
		f.Clock.Advance(domain.RenewalPause)
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f), "the others within a week")
		require.NotEmpty(t, openUpdate(t, f, wished.ID).ID)

		f.Clock.Advance(40 * 24 * time.Hour)
		_, err = f.Issuer.Expire(ctx, asked.ID)
		require.NoError(t, err)
		require.Empty(t, openUpdate(t, f, updated.ID).ID)
		tend(t, f)
		require.NotEmpty(t, openUpdate(t, f, updated.ID).ID, "the update ran out: another one")
	})
}

// Whoever says no to a renewal is not asked again until something new happens.
func TestDeclinedRenewals(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", lasts(300), renews(domain.RenewalOptions{OnChange: true, BeforeExpiryDays: 100}))
		d, _ := issue(t, f, person, profile, 1)
		o := profile.Options
		o.ValidateIssuance = true
		_, err := f.Issuer.ChangeProfile(ctx, f.Admin(), profile.ID, profile.Version, issuer.SaveProfile{Options: o})
		require.NoError(t, err)
		remindOn(t, f)
		boss := operator(t, f, "boss", domain.PermApprove)
		no := func() {
			t.Helper()
			u := openUpdate(t, f, d.ID)
			require.Equal(t, domain.RequestAwaitingApproval, u.State)
			_, err := f.Issuer.Reject(ctx, boss, u.ID, "not now")
			require.NoError(t, err)
		}
		changed(t, f, person.ID, func(p *domain.Person) { p.FamilyName = "Musterfrau" })
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))
		no()
		for range 3 {
			f.Clock.Advance(domain.RenewalPause)
			require.Zero(t, tend(t, f))
		}
		changed(t, f, person.ID, func(p *domain.Person) { p.FamilyName = "Neumann" })
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))
		_, err = f.Issuer.CancelRequest(ctx, f.Admin(), openUpdate(t, f, d.ID).ID, "no")
		require.NoError(t, err)
		f.Clock.Advance(domain.RenewalPause)
		require.Zero(t, tend(t, f))
		at(t, f, daysBefore(d, 100))
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f), "the end draws near: that is new")
	})
}

// Renewal that is switched on later begins with the data of then; one that is switched off ends.
func TestRenewalIsSwitched(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", lasts(100))
		d, _ := issue(t, f, person, profile, 1)
		changed(t, f, person.ID, func(p *domain.Person) { p.FamilyName = "Before" })
		save := func(r domain.RenewalOptions) {
			t.Helper()
			o := profile.Options
			o.Renewal = r
			var err error
			profile, err = f.Issuer.ChangeProfile(ctx, f.Admin(), profile.ID, profile.Version, issuer.SaveProfile{Options: o})
			require.NoError(t, err)
			tend(t, f)
		}
		save(domain.RenewalOptions{OnChange: true})
		require.Empty(t, openUpdate(t, f, d.ID).ID)
		save(domain.RenewalOptions{})
		changed(t, f, person.ID, func(p *domain.Person) { p.FamilyName = "Off" })
		require.Zero(t, tend(t, f))
		save(domain.RenewalOptions{OnChange: true})
		changed(t, f, person.ID, func(p *domain.Person) { p.FamilyName = "On" })
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))
		_, err := f.Issuer.CancelRequest(ctx, f.Admin(), openUpdate(t, f, d.ID).ID, "")
		require.NoError(t, err)
		at(t, f, daysBefore(d, 40))
		save(domain.RenewalOptions{BeforeExpiryDays: 50})
		require.NotEmpty(t, openUpdate(t, f, d.ID).ID, "it is within its days")
	})
}

func TestBadRenewalOptions(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		for name, c := range map[string]struct {
			change func(*domain.ProfileOptions)
			want   string
		}{
			"ages of a format without": {func(o *domain.ProfileOptions) { o.Format, o.Renewal.OnAge = "staff-badge", true }, "renewal.on_age"},
			"longer than any signer":   {func(o *domain.ProfileOptions) { o.Renewal.BeforeExpiryDays = 600 }, "renewal.before_expiry_days"},
			"as long as the lifetime":  {func(o *domain.ProfileOptions) { o.LifetimeDays, o.Renewal.BeforeExpiryDays = 90, 90 }, "renewal.before_expiry_days"},
		} {
			head := f.AuditHead(t)
			o := f.Profile(t, "sound-"+strings.ReplaceAll(name, " ", "-")).Options
			c.change(&o)
			_, err := f.Issuer.CreateProfile(t.Context(), f.Admin(), "", issuer.SaveProfile{Name: "bad", Options: o})
			codeIs(t, domain.CodeInvalid, err, name)
			require.Equal(t, []string{c.want}, fieldsOf(t, err), name)
			require.Equal(t, head+1, f.AuditHead(t), name)
		}
	})
}

// What a holder asked for themself stays bounded when it is renewed.
func TestRenewalKeepsTheBoundOfSelfService(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) {
			o.LifetimeDays, o.SelfService.ValidityDays, o.Renewal.BeforeExpiryDays = 300, 40, 10
		})
		self := f.Caller(t, "self", person.ID, issuertest.Grants{domain.PermRequestSelf: domain.ScopeSelf})
		r, err := f.Issuer.CreateRequest(ctx, self, "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
		require.NoError(t, err)
		first := redeemAll(t, f, r.ID)
		_, err = collect(ctx, f, profile, first.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		d := documentOf(t, f, r.ID)
		require.Equal(t, 40*24*time.Hour, d.ValidUntil.Sub(d.ValidFrom))
		at(t, f, daysBefore(d, 10))
		require.Equal(t, 1, tend(t, f).Renewed)
		_, err = collect(ctx, f, profile, renew(t, f, first.RefreshToken).AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		update, err := f.Store.LastUpdate(ctx, d.ID)
		require.NoError(t, err)
		next := documentOf(t, f, update.ID)
		require.Equal(t, 40*24*time.Hour, next.ValidUntil.Sub(next.ValidFrom))
	})
}

// A no counts for the age that turned, not for the next one.
func TestNextAgeAfterADeclinedOne(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		birthday := domain.DateOf(f.Clock.Now().AddDate(0, 0, 5)).Start()
		person := f.Person(t, func(p *domain.Person) { p.BirthDate = domain.DateOf(birthday.AddDate(-20, 0, 0)) })
		profile := f.Profile(t, "mdl", lasts(400), renews(domain.RenewalOptions{OnAge: true}))
		d, _ := issue(t, f, person, profile, 1)
		remindOn(t, f)
		at(t, f, birthday.Add(time.Second))
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))
		_, err := f.Issuer.CancelRequest(ctx, f.Admin(), openUpdate(t, f, d.ID).ID, "no")
		require.NoError(t, err)
		at(t, f, birthday.AddDate(1, 0, 0).Add(-time.Minute))
		require.Zero(t, tend(t, f))
		at(t, f, birthday.AddDate(1, 0, 0).Add(time.Second))
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))
	})
}

// What somebody declined before a renewal was first asked for says nothing about it: a refusal by the rules is tried again.
func TestRefusedRenewalAfterADeclinedUpdate(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		profile := f.Profile(t, "mdl", lasts(100), renews(domain.RenewalOptions{BeforeExpiryDays: 50}))
		d, _ := issue(t, f, person, profile, 1)
		remindOn(t, f)
		_, err := f.Issuer.UpdateDocument(ctx, f.Admin(), "", issuer.NewUpdate{DocumentID: d.ID, Reason: domain.ReasonReprovision})
		require.NoError(t, err)
		_, err = f.Issuer.CancelRequest(ctx, f.Admin(), openUpdate(t, f, d.ID).ID, "no")
		require.NoError(t, err)
		country := person.Attributes["issuing_country"]
		changed(t, f, person.ID, func(p *domain.Person) { delete(p.Attributes, "issuing_country") })
		at(t, f, daysBefore(d, 50))
		require.Zero(t, tend(t, f))
		// Mended around the acts, which would have it looked at again at once.
		mended, err := f.Store.Person(ctx, person.ID)
		require.NoError(t, err)
		mended.Version, mended.Attributes["issuing_country"] = mended.Version+1, country
		require.NoError(t, f.Store.UpdatePerson(ctx, mended))
		f.Clock.Advance(domain.RenewalPause)
		require.Equal(t, messages.ExpiryResult{Renewed: 1}, tend(t, f))
	})
}
