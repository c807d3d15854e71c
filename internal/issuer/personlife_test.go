package issuer_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/store"
)

func today(f *issuertest.Fixture) domain.Date { return domain.DateOf(f.Clock.Now()) }

func readPerson(t *testing.T, f *issuertest.Fixture, id string) domain.Person {
	t.Helper()
	p, err := f.Issuer.Person(t.Context(), f.Admin(), id)
	require.NoError(t, err)
	return p
}

func TestApprovingPersonData(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, admin := t.Context(), f.Admin()
		p := f.Person(t)
		approver := operator(t, f, "approver", domain.PermPeopleApprove)
		head := f.AuditHead(t)
		approved, err := f.Issuer.ApprovePersonData(ctx, approver, p.ID, issuer.Vetting{VettedOn: today(f), Notes: "passport", Version: p.Version})
		require.NoError(t, err)
		require.Equal(t, approver.AccountID, approved.DataApproval.By)
		require.Equal(t, today(f), approved.DataApproval.VettedOn)
		require.Equal(t, p.Version+1, approved.Version)
		stored := readPerson(t, f, p.ID)
		require.True(t, stored.DataApproval.Approved())
		require.Equal(t, head+1, f.AuditHead(t))
		entries, err := f.Issuer.Audit(ctx, admin, issuer.AuditFilter{PersonID: p.ID, Action: "person.approve_data"}, 0, 0)
		require.NoError(t, err)
		require.Equal(t, "passport", entries[0].Notes)
		require.Equal(t, map[string]domain.Change{"data_approved": {After: string(today(f))}}, entries[0].Changes)

		own := f.Caller(t, "own", p.ID, issuertest.All(domain.PermPeopleApprove))
		department := f.Caller(t, "department", f.Person(t, func(p *domain.Person) { p.Group = "" }).ID,
			issuertest.Grants{domain.PermPeopleApprove: domain.ScopeDepartment})
		good := issuer.Vetting{VettedOn: today(f)}
		for name, c := range map[string]struct {
			caller domain.Caller
			id     string
			v      issuer.Vetting
			code   domain.Code
			field  string
		}{
			"nobody":        {approver, "none", good, domain.CodeNotFound, ""},
			"no permission": {operator(t, f, "writer", domain.PermPeopleWrite), p.ID, good, domain.CodeForbidden, ""},
			"out of scope":  {department, p.ID, good, domain.CodeNotFound, ""},
			"own data":      {own, p.ID, good, domain.CodeSelfApproval, ""},
			"no day":        {approver, p.ID, issuer.Vetting{}, domain.CodeInvalid, "vetted_on"},
			"not a day":     {approver, p.ID, issuer.Vetting{VettedOn: "2026-02-30"}, domain.CodeInvalid, "vetted_on"},
			"tomorrow":      {approver, p.ID, issuer.Vetting{VettedOn: domain.DateOf(f.Clock.Now().AddDate(0, 0, 1))}, domain.CodeInvalid, "vetted_on"},
			"notes":         {approver, p.ID, issuer.Vetting{VettedOn: today(f), Notes: strings.Repeat("n", 2001)}, domain.CodeInvalid, "notes"},
			"older version": {approver, p.ID, issuer.Vetting{VettedOn: today(f), Version: p.Version}, domain.CodeConflict, ""},
		} {
			_, err := f.Issuer.ApprovePersonData(ctx, c.caller, c.id, c.v)
			codeIs(t, c.code, err, name)
			if c.field != "" {
				require.Equal(t, []string{c.field}, fieldsOf(t, err), name)
			}
		}
		require.Equal(t, stored, readPerson(t, f, p.ID))

		_, err = f.Issuer.WithdrawDataApproval(ctx, approver, p.ID, "")
		codeIs(t, domain.CodeInvalid, err)
		_, err = f.Issuer.WithdrawDataApproval(ctx, department, p.ID, "x")
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.WithdrawDataApproval(ctx, operator(t, f, "reader", domain.PermPeopleRead), p.ID, "x")
		codeIs(t, domain.CodeForbidden, err)
		withdrawn, err := f.Issuer.WithdrawDataApproval(ctx, approver, p.ID, "forged")
		require.NoError(t, err)
		require.False(t, withdrawn.DataApproval.Approved())
		_, err = f.Issuer.WithdrawDataApproval(ctx, approver, p.ID, "again")
		codeIs(t, domain.CodeWrongState, err)
	})
}

// TestWhatEndsAnApproval changes one thing at a time, by each way there is.
func TestWhatEndsAnApproval(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, admin := t.Context(), f.Admin()
		f.Group(t, "Other")
		edit := func(change func(p *domain.Person)) func(domain.Person) error {
			return func(p domain.Person) error {
				change(&p)
				_, err := f.Issuer.UpdatePerson(ctx, admin, p)
				return err
			}
		}
		put := func(kind domain.ImageKind, b []byte) func(domain.Person) error {
			return func(p domain.Person) error {
				return f.Issuer.PutImage(ctx, admin, domain.Image{PersonID: p.ID, Kind: kind, Bytes: b})
			}
		}
		// A file with everything as it is but for one member, as NDJSON.
		file := func(name, value string) func(domain.Person) error {
			return func(p domain.Person) error {
				row := map[string]any{"external_id": p.ExternalID, "given_name": p.GivenName, "family_name": p.FamilyName,
					"birth_date": string(p.BirthDate), "group": p.Group, "attributes": p.Attributes, "email": p.Email, "mobile": p.Mobile}
				row[name] = value
				return importNDJSON(t, f, row)
			}
		}
		for name, c := range map[string]struct {
			do    func(p domain.Person) error
			keeps bool
		}{
			"given name":         {edit(func(p *domain.Person) { p.GivenName = "Eva" }), false},
			"family name":        {edit(func(p *domain.Person) { p.FamilyName = "Muster" }), false},
			"birth date":         {edit(func(p *domain.Person) { p.BirthDate = "1990-03-02" }), false},
			"attribute":          {edit(func(p *domain.Person) { p.Attributes["sex"] = 1.0 }), false},
			"attribute more":     {edit(func(p *domain.Person) { p.Attributes["more"] = "x" }), false},
			"no attributes":      {edit(func(p *domain.Person) { p.Attributes = nil }), false},
			"portrait":           {put(domain.ImagePortrait, jpegOf(t, 16, 16)), false},
			"signature":          {put(domain.ImageSignature, jpegOf(t, 16, 16)), false},
			"imported name":      {file("given_name", "Eva"), false},
			"imported portrait":  {file("portrait", base64Of(jpegOf(t, 16, 16))), false},
			"nothing":            {edit(func(*domain.Person) {}), true},
			"e-mail":             {edit(func(p *domain.Person) { p.Email = "eva@holder.example" }), true},
			"mobile":             {edit(func(p *domain.Person) { p.Mobile = "" }), true},
			"group":              {edit(func(p *domain.Person) { p.Group = "Other" }), true},
			"status":             {edit(func(p *domain.Person) { p.Status = domain.PersonInactive }), true},
			"external id":        {edit(func(p *domain.Person) { p.ExternalID = "other-" + p.ExternalID }), true},
			"max expiry":         {edit(func(p *domain.Person) { p.MaxExpiry = "2040-01-01" }), true},
			"same portrait":      {put(domain.ImagePortrait, issuertest.Portrait()), true},
			"imported as it is":  {file("portrait", base64Of(issuertest.Portrait())), true},
			"imported e-mail":    {file("email", "eva@holder.example"), true},
			"approval made here": {edit(func(p *domain.Person) { p.DataApproval = domain.DataApproval{} }), true},
		} {
			p := f.Person(t)
			p, err := f.Issuer.ApprovePersonData(ctx, admin, p.ID, issuer.Vetting{VettedOn: "2026-01-02"})
			require.NoError(t, err)
			require.NoError(t, c.do(p), name)
			now := readPerson(t, f, p.ID)
			require.Equal(t, c.keeps, now.DataApproval.Approved(), name)
			require.Greater(t, now.Version, p.Version, name)
			entries, err := f.Issuer.Audit(ctx, admin, issuer.AuditFilter{PersonID: p.ID}, 0, 0)
			require.NoError(t, err)
			ended := slices.ContainsFunc(entries, func(e domain.AuditEntry) bool {
				return e.Changes["data_approved"] == domain.Change{Before: "2026-01-02"}
			})
			require.Equal(t, !c.keeps, ended, name)
		}
		// Nobody approves by writing it down.
		p := f.Person(t)
		p.DataApproval = domain.DataApproval{By: "me", At: f.Clock.Now(), VettedOn: today(f)}
		p, err := f.Issuer.UpdatePerson(ctx, admin, p)
		require.NoError(t, err)
		require.False(t, p.DataApproval.Approved())
		p.ExternalID = ""
		p.DataApproval.By = "me"
		p, err = f.Issuer.CreatePerson(ctx, admin, "", p)
		require.NoError(t, err)
		require.False(t, p.DataApproval.Approved())
	})
}

// states gives state and what disabled it of documents.
func states(t *testing.T, f *issuertest.Fixture, docs ...domain.Document) []string {
	t.Helper()
	out := make([]string, len(docs))
	for i, d := range docs {
		d, err := f.Store.Document(t.Context(), d.ID)
		require.NoError(t, err)
		out[i] = strings.TrimSuffix(string(d.State)+" "+string(d.DisabledBy), " ")
	}
	return out
}

func TestDocumentsFollowTheirPerson(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, admin := t.Context(), f.Admin()
		badge := f.Profile(t, "badge", func(o *domain.ProfileOptions) { o.Format = "staff-badge" })
		licence := f.Profile(t, "licence")
		short := f.Profile(t, "short", func(o *domain.ProfileOptions) { o.LifetimeDays = 1 })
		writer := operator(t, f, "writer", domain.PermPeopleWrite)
		setStatus := func(id string, s domain.PersonStatus) func() error {
			return func() error {
				p := readPerson(t, f, id)
				p.Status = s
				_, err := f.Issuer.UpdatePerson(ctx, admin, p)
				return err
			}
		}
		for way, c := range map[string]struct {
			off, on func(p domain.Person) error
			reason  domain.CancelReason
		}{
			"own calls": {
				func(p domain.Person) error {
					off, n, err := f.Issuer.DeactivatePerson(ctx, writer, p.ID, domain.ReasonLeft, "n")
					require.Equal(t, 2, n)
					require.Equal(t, domain.PersonInactive, off.Status)
					return err
				},
				func(p domain.Person) error {
					on, n, err := f.Issuer.ActivatePerson(ctx, writer, p.ID, "back")
					require.Equal(t, 2, n)
					require.Equal(t, domain.PersonActive, on.Status)
					return err
				}, domain.ReasonLeft},
			"change": {
				func(p domain.Person) error { return setStatus(p.ID, domain.PersonInactive)() },
				func(p domain.Person) error { return setStatus(p.ID, domain.PersonActive)() }, ""},
			"import": {
				func(p domain.Person) error {
					return importNDJSON(t, f, map[string]any{"external_id": p.ExternalID, "given_name": "A", "family_name": "B", "status": "inactive"})
				},
				func(p domain.Person) error {
					return importNDJSON(t, f, map[string]any{"external_id": p.ExternalID, "given_name": "A", "family_name": "B", "status": "active"})
				}, ""},
		} {
			p := f.Person(t, func(p *domain.Person) { p.Attributes["job_title"] = "Clerk" })
			active, twoBits := f.Issue(t, p.ID, licence.ID), f.Issue(t, p.ID, badge.ID)
			byOperator, canceled, ended := f.Issue(t, p.ID, licence.ID), f.Issue(t, p.ID, licence.ID), f.Issue(t, p.ID, short.ID)
			f.Clock.Advance(25 * time.Hour)
			_, err := f.Issuer.ChangeDocument(ctx, admin, byOperator.ID, domain.DocumentDisable, domain.ReasonLost, "")
			require.NoError(t, err)
			_, err = f.Issuer.ChangeDocument(ctx, admin, canceled.ID, domain.DocumentCancel, domain.ReasonLost, "")
			require.NoError(t, err)
			all := []domain.Document{active, twoBits, byOperator, canceled, ended}

			require.NoError(t, c.off(p), way)
			require.Equal(t, []string{"disabled person", "disabled person", "disabled operator", "canceled", "active"}, states(t, f, all...), way)
			history, err := f.Issuer.DocumentHistory(ctx, admin, active.ID, 0, 0)
			require.NoError(t, err)
			last := history[len(history)-1]
			require.Equal(t, "document.disable", last.Action)
			require.Equal(t, string(c.reason), last.Reason)
			require.Equal(t, "the person was deactivated", last.Notes)
			checkInvariants(t, f)

			// What an operator does in between is the operator's.
			_, err = f.Issuer.ChangeDocument(ctx, admin, canceled.ID, domain.DocumentEnable, "", "")
			codeIs(t, domain.CodeWrongState, err)
			require.NoError(t, c.on(p), way)
			require.Equal(t, []string{"active", "active", "disabled operator", "canceled", "active"}, states(t, f, all...), way)
			checkInvariants(t, f)
		}
	})
}

func TestAnOperatorsDisableStays(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, admin := t.Context(), f.Admin()
		p, profile := f.Person(t), f.Profile(t, "mdl")
		d := f.Issue(t, p.ID, profile.ID)
		_, _, err := f.Issuer.DeactivatePerson(ctx, admin, p.ID, domain.ReasonLeft, "")
		require.NoError(t, err)
		require.NoError(t, f.Store.MoveDocument(ctx, d.ID, domain.DocumentDisabled, domain.DocumentDisabled, domain.DisabledByOperator, f.Clock.Now()))
		_, n, err := f.Issuer.ActivatePerson(ctx, admin, p.ID, "")
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, []string{"disabled operator"}, states(t, f, d))

		// One that came to its end while it was disabled is not enabled.
		short := f.Profile(t, "short", func(o *domain.ProfileOptions) { o.LifetimeDays = 1 })
		ended := f.Issue(t, p.ID, short.ID)
		_, n, err = f.Issuer.DeactivatePerson(ctx, admin, p.ID, domain.ReasonLeft, "")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		f.Clock.Advance(25 * time.Hour)
		_, n, err = f.Issuer.ActivatePerson(ctx, admin, p.ID, "")
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, []string{"disabled person"}, states(t, f, ended))
	})
}

func TestStatusRefused(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, admin := t.Context(), f.Admin()
		p := f.Person(t)
		own := f.Caller(t, "own", p.ID, issuertest.All(domain.PermPeopleWrite))
		self := f.Caller(t, "self", p.ID, issuertest.Grants{domain.PermPeopleWrite: domain.ScopeSelf})
		other := f.Person(t)
		reader := operator(t, f, "reader", domain.PermPeopleRead)
		long := strings.Repeat("n", 2001)
		off := func(c domain.Caller, id string, reason domain.CancelReason, notes string) func() error {
			return func() error { _, _, err := f.Issuer.DeactivatePerson(ctx, c, id, reason, notes); return err }
		}
		on := func(c domain.Caller, id, notes string) func() error {
			return func() error { _, _, err := f.Issuer.ActivatePerson(ctx, c, id, notes); return err }
		}
		erase := func(c domain.Caller, id string, in issuer.Erase) func() error {
			return func() error { _, err := f.Issuer.ErasePerson(ctx, c, id, in); return err }
		}
		yes := issuer.Erase{Reason: domain.ReasonLeft, Confirm: p.ID}
		for name, c := range map[string]struct {
			do    func() error
			code  domain.Code
			field string
		}{
			"deactivate nobody":       {off(admin, "none", domain.ReasonLeft, ""), domain.CodeNotFound, ""},
			"deactivate, no right":    {off(reader, p.ID, domain.ReasonLeft, ""), domain.CodeForbidden, ""},
			"deactivate out of scope": {off(self, other.ID, domain.ReasonLeft, ""), domain.CodeNotFound, ""},
			"deactivate, no reason":   {off(admin, p.ID, "", ""), domain.CodeInvalid, "reason"},
			"deactivate, odd reason":  {off(admin, p.ID, "because", ""), domain.CodeInvalid, "reason"},
			"deactivate, long notes":  {off(admin, p.ID, domain.ReasonLeft, long), domain.CodeInvalid, "notes"},
			"deactivate oneself":      {off(own, p.ID, domain.ReasonLeft, ""), domain.CodeForbidden, ""},
			"activate the active":     {on(admin, p.ID, ""), domain.CodeWrongState, ""},
			"activate nobody":         {on(admin, "none", ""), domain.CodeNotFound, ""},
			"activate, no right":      {on(reader, p.ID, ""), domain.CodeForbidden, ""},
			"activate out of scope":   {on(self, other.ID, ""), domain.CodeNotFound, ""},
			"activate, long notes":    {on(admin, p.ID, long), domain.CodeInvalid, "notes"},
			"erase nobody":            {erase(admin, "none", issuer.Erase{Reason: domain.ReasonLeft, Confirm: "none"}), domain.CodeNotFound, ""},
			"erase, no right":         {erase(reader, p.ID, yes), domain.CodeForbidden, ""},
			"erase out of scope":      {erase(self, other.ID, issuer.Erase{Reason: domain.ReasonLeft, Confirm: other.ID}), domain.CodeNotFound, ""},
			"erase oneself":           {erase(own, p.ID, yes), domain.CodeForbidden, ""},
			"erase unconfirmed":       {erase(admin, p.ID, issuer.Erase{Reason: domain.ReasonLeft}), domain.CodeInvalid, "confirm"},
			"erase another":           {erase(admin, p.ID, issuer.Erase{Reason: domain.ReasonLeft, Confirm: other.ID}), domain.CodeInvalid, "confirm"},
			"erase without reason":    {erase(admin, p.ID, issuer.Erase{Confirm: p.ID}), domain.CodeInvalid, "reason"},
			"erase, long notes":       {erase(admin, p.ID, issuer.Erase{Reason: domain.ReasonLeft, Confirm: p.ID, Notes: long}), domain.CodeInvalid, "notes"},
			"change oneself": {func() error {
				me := p
				me.Status = domain.PersonInactive
				_, err := f.Issuer.UpdatePerson(ctx, own, me)
				return err
			}, domain.CodeForbidden, ""},
		} {
			head := f.AuditHead(t)
			err := c.do()
			codeIs(t, c.code, err, name)
			if c.field != "" {
				require.Equal(t, []string{c.field}, fieldsOf(t, err), name)
			}
			require.Equal(t, head, f.AuditHead(t), name)
			require.Equal(t, p, readPerson(t, f, p.ID), name)
		}
		_, _, err := f.Issuer.DeactivatePerson(ctx, admin, p.ID, domain.ReasonLeft, "")
		require.NoError(t, err)
		codeIs(t, domain.CodeWrongState, off(admin, p.ID, domain.ReasonLeft, "")())
	})
}

// columnsLeft are what an erased person keeps: nothing of it is personal. A column that comes later has to be added here, or be blanked.
var columnsLeft = []string{"id", "group_id", "status", "erased_at", "version", "created_at", "updated_at"}

// TestErase fills every field of a person and everything that hangs on one with a canary and looks for it in every table afterwards.
func TestErase(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, admin := t.Context(), f.Admin()
		const canary = "Canarybird"
		p := f.Person(t, func(p *domain.Person) {
			p.ExternalID, p.LogonName, p.GivenName, p.FamilyName = canary+"1", canary+"2", canary+"3", canary+"4"
			p.Email, p.Mobile, p.BirthDate, p.MaxExpiry = canary+"@holder.example", "+41795551234", "1971-11-17", "2047-11-17"
			p.Language, p.ExternalMobileID = "ca-"+canary[:6], canary+"5"
			p.Attributes["job_title"], p.Attributes["nested"] = canary, map[string]any{canary: []any{canary}}
		})
		require.NoError(t, f.Issuer.PutImage(ctx, admin, domain.Image{PersonID: p.ID, Kind: domain.ImageSignature,
			Bytes: codestreamWith(canary), CapturedAt: f.Clock.Now()}))
		p, err := f.Issuer.ApprovePersonData(ctx, admin, p.ID, issuer.Vetting{VettedOn: "2026-01-02"})
		require.NoError(t, err)
		profile := f.Profile(t, "mdl")
		approval := f.Profile(t, "approval", func(o *domain.ProfileOptions) { o.ValidateIssuance, o.ValidateCancellation = true, true })
		guarded := f.Profile(t, "guarded", func(o *domain.ProfileOptions) { o.ValidateCancellation = true })
		live, disabled, other := f.Issue(t, p.ID, profile.ID), f.Issue(t, p.ID, guarded.ID), f.Issue(t, f.Person(t).ID, profile.ID)
		wish, err := f.Issuer.RequestCancellation(ctx, admin, "", issuer.NewCancellation{DocumentID: disabled.ID, Reason: domain.ReasonLost})
		require.NoError(t, err)
		f.Mail.Fail(errors.New("451 later")) // so that messages wait
		open, waiting := newRequest(t, f, p, profile), newRequest(t, f, p, approval)
		account, err := f.Issuer.CreateAccount(ctx, admin, "", issuer.NewAccount{Name: strings.ToLower(canary), PersonID: p.ID,
			Email: canary + "@holder.example", Password: issuertest.AdminPassword})
		require.NoError(t, err)
		_, _, err = f.Issuer.CreateAPIKey(ctx, admin, account.ID, canary, time.Time{})
		require.NoError(t, err)
		require.NoError(t, f.Store.PutLogonCode(ctx, store.LogonCode{PersonID: p.ID, Seed: []byte(canary), Rule: canary, CreatedAt: store.At(f.Clock.Now())}))
		db := rawSQL(t, f)
		found := search(t, db, f, canary)
		for _, table := range []string{"persons", "person_images", "accounts", "api_keys", "logon_codes", "document_copies"} {
			require.Contains(t, found, table, "the test fills it")
		}
		blank := emptyColumns(t, db, p.ID)
		require.Subset(t, []string{"erased_at"}, blank, "the test fills every column of the person")

		writer := officer(t, f, "writer", issuertest.PersonGroup, domain.ScopeDepartment, domain.PermPeopleWrite)
		done, err := f.Issuer.ErasePerson(ctx, writer, p.ID, issuer.Erase{Reason: domain.ReasonLeft, Notes: "asked to", Confirm: p.ID})
		require.NoError(t, err)
		require.Equal(t, issuer.Erasure{Documents: 2, Requests: 2, Accounts: []string{account.ID}}, done)

		require.Empty(t, search(t, db, f, canary))
		for _, personal := range []string{"+41795551234", "1971-11-17", "2047-11-17"} {
			require.Empty(t, search(t, db, f, personal))
		}
		filled := []string{}
		for _, column := range columnsOf(t, db) {
			if !slices.Contains(emptyColumns(t, db, p.ID), column) {
				filled = append(filled, column)
			}
		}
		require.ElementsMatch(t, columnsLeft, filled)
		require.Equal(t, []string{"canceled", "canceled", "active"}, states(t, f, live, disabled, other))
		for _, r := range []domain.Request{open, waiting} {
			require.Equal(t, domain.RequestCanceled, reload(t, f, r.ID).State)
		}
		wish, err = f.Store.Cancellation(ctx, wish.ID)
		require.NoError(t, err)
		require.Equal(t, domain.CancellationExpired, wish.State)
		_, err = f.Store.Caller(ctx, account.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
		copies, err := f.Store.Copies(ctx, live.ID)
		require.NoError(t, err)
		require.Nil(t, copies[0].IssuerSigned)
		var pending int
		require.NoError(t, db.QueryRowContext(ctx, `SELECT count(*) FROM messages WHERE state = 'pending' AND person_id = $1`, p.ID).Scan(&pending))
		require.Zero(t, pending)

		// The person is not found in any way, by id nor in a list; the audit still tells what was done to whom.
		_, err = f.Issuer.Person(ctx, admin, p.ID)
		codeIs(t, domain.CodeNotFound, err)
		for name, err := range map[string]error{
			"update":     errAfter(f.Issuer.UpdatePerson(ctx, admin, p)),
			"approve":    errAfter(f.Issuer.ApprovePersonData(ctx, admin, p.ID, issuer.Vetting{VettedOn: today(f)})),
			"withdraw":   errAfter(f.Issuer.WithdrawDataApproval(ctx, admin, p.ID, "x")),
			"image":      errAfter(f.Issuer.Image(ctx, admin, p.ID, domain.ImagePortrait)),
			"put image":  f.Issuer.PutImage(ctx, admin, domain.Image{PersonID: p.ID, Kind: domain.ImagePortrait, Bytes: issuertest.Portrait()}),
			"activate":   errAfterTwo(f.Issuer.ActivatePerson(ctx, admin, p.ID, "")),
			"deactivate": errAfterTwo(f.Issuer.DeactivatePerson(ctx, admin, p.ID, domain.ReasonLeft, "")),
		} {
			codeIs(t, domain.CodeNotFound, err, name)
		}
		for _, want := range []issuer.PersonFilter{{}, {ID: p.ID}, {Status: domain.PersonInactive}, {GroupID: p.GroupID}} {
			people, err := f.Issuer.People(ctx, admin, want, "", "", 0)
			require.NoError(t, err)
			require.False(t, slices.ContainsFunc(people, func(found domain.Person) bool { return found.ID == p.ID }))
		}
		entries, err := f.Issuer.Audit(ctx, admin, issuer.AuditFilter{PersonID: p.ID}, 0, 0)
		require.NoError(t, err)
		actions := actionsOf(entries)
		at := slices.Index(actions, "person.erase")
		require.Equal(t, "person.create", actions[0])
		require.Equal(t, []string{"person.erase", "document.cancel", "document.cancel", "cancellation.expire", "account.retire", "request.cancel",
			"request.cancel"}, actions[at:])
		require.Equal(t, "withdrawn", entries[at+1].Reason)

		// Again is harmless, and the external id is free.
		head := f.AuditHead(t)
		done, err = f.Issuer.ErasePerson(ctx, writer, p.ID, issuer.Erase{Reason: domain.ReasonLeft, Confirm: p.ID})
		require.NoError(t, err)
		require.Equal(t, issuer.Erasure{Accounts: []string{account.ID}}, done)
		require.Equal(t, head, f.AuditHead(t))
		fresh := f.Person(t, func(p *domain.Person) { p.ExternalID, p.LogonName = canary+"1", canary+"2" })
		require.NotEqual(t, p.ID, fresh.ID)
	})
}

func errAfter[T any](_ T, err error) error            { return err }
func errAfterTwo[T, U any](_ T, _ U, err error) error { return err }
func base64Of(b []byte) string                        { return encodeBase64(b) }
func codestreamWith(text string) []byte               { return withText(codestream(64, 80), text) }
func withText(stream []byte, text string) []byte {
	return append(append(slices.Clone(stream[:len(stream)-2]), text...), 0xff, 0xd9)
}
func tableList(f *issuertest.Fixture) (sql string) {
	if f.Store.Driver() == "sqlite" {
		return `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	}
	return `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
}

// search gives the tables that hold the text in some row, as text or as bytes.
func search(t *testing.T, db *sql.DB, f *issuertest.Fixture, text string) []string {
	t.Helper()
	var found []string
	for _, table := range texts(t, db, tableList(f)) {
		if holds(t, db, table, text) {
			found = append(found, table)
		}
	}
	return found
}

func holds(t *testing.T, db *sql.DB, table, text string) bool {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+table)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(t, err)
	hit := false
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		require.NoError(t, rows.Scan(values...))
		for _, v := range values {
			form := fmt.Sprint(*v.(*any))
			if b, ok := (*v.(*any)).([]byte); ok {
				form = string(b)
			}
			hit = hit || strings.Contains(strings.ToLower(form), strings.ToLower(text))
		}
	}
	require.NoError(t, rows.Err())
	return hit
}

func columnsOf(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT * FROM persons WHERE 1 = 0`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(t, err)
	require.NoError(t, rows.Err())
	return columns
}

// emptyColumns gives the columns of a person that say nothing.
func emptyColumns(t *testing.T, db *sql.DB, id string) []string {
	t.Helper()
	columns := columnsOf(t, db)
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(any)
	}
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT * FROM persons WHERE id = $1`, id).Scan(values...))
	var out []string
	for i, column := range columns {
		switch v := (*values[i].(*any)).(type) {
		case nil:
			out = append(out, column)
		case string:
			if v == "" || v == "{}" {
				out = append(out, column)
			}
		case []byte:
			if len(v) == 0 || string(v) == "{}" {
				out = append(out, column)
			}
		}
	}
	return out
}

// TestEraseSurvivesAnOutage: the data go even when the engine is down; repeating the call ends what is left.
func TestEraseSurvivesAnOutage(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, admin := t.Context(), f.Admin()
		p, profile := f.Person(t), f.Profile(t, "mdl")
		d := f.Issue(t, p.ID, profile.ID)
		first, second := newRequest(t, f, p, profile), newRequest(t, f, p, profile)
		token, keys := redeem(t, f, first.ID), walletKeys(t, f, 1)
		f.Engine.SetDown(true)
		yes := issuer.Erase{Reason: domain.ReasonLeft, Confirm: p.ID}
		done, err := f.Issuer.ErasePerson(ctx, admin, p.ID, yes)
		codeIs(t, domain.CodeEngineUnavailable, err)
		require.Equal(t, 1, done.Documents)
		_, err = f.Issuer.Person(ctx, admin, p.ID)
		codeIs(t, domain.CodeNotFound, err)
		require.Equal(t, []string{"canceled"}, states(t, f, d))
		for _, r := range []domain.Request{first, second} {
			require.True(t, reload(t, f, r.ID).State.Open())
		}
		f.Engine.SetDown(false)
		_, err = collect(ctx, f, profile, token, keys)
		codeIs(t, domain.CodePersonInactive, err)
		f.Engine.Forget(second.ID) // a workflow that is gone is started for it
		done, err = f.Issuer.ErasePerson(ctx, admin, p.ID, yes)
		require.NoError(t, err)
		require.Equal(t, 2, done.Requests)
		for _, r := range []domain.Request{first, second} {
			require.Equal(t, domain.RequestCanceled, reload(t, f, r.ID).State)
		}
	})
}

// While a person is inactive nobody makes a document of theirs active, whatever disabled it.
func TestNothingIsEnabledForAnInactivePerson(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "badge", func(o *domain.ProfileOptions) { o.Format = "staff-badge" })
		byOperator, _ := issue(t, f, person, profile, 1)
		byPerson, _ := issue(t, f, person, profile, 1)
		_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), byOperator.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err)
		_, _, err = f.Issuer.DeactivatePerson(ctx, f.Admin(), person.ID, domain.ReasonLeft, "")
		require.NoError(t, err)
		for _, id := range []string{byOperator.ID, byPerson.ID} {
			_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), id, domain.DocumentEnable, "", "")
			codeIs(t, domain.CodePersonInactive, err)
		}
		_, _, err = f.Issuer.ActivatePerson(ctx, f.Admin(), person.ID, "")
		require.NoError(t, err)
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), byOperator.ID, domain.DocumentEnable, "", "")
		require.NoError(t, err)
	})
}
