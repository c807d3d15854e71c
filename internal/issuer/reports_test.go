package issuer_test

import (
	"context"
	"encoding/base64"
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
)

// readRows gives all rows of a report as text by column, read page by page.
func readRows(t *testing.T, f *issuertest.Fixture, caller domain.Caller, q issuer.ReportQuery) []map[string]string {
	t.Helper()
	var out []map[string]string
	for {
		p, err := f.Issuer.Report(t.Context(), caller, q)
		require.NoError(t, err)
		for _, row := range p.Rows {
			require.Len(t, row, len(p.Columns))
			item := map[string]string{}
			for i, c := range p.Columns {
				item[c.Name] = fmt.Sprint(row[i])
			}
			out = append(out, item)
		}
		if p.Next == "" {
			return out
		}
		q.After = p.Next
	}
}

// columnOf gives one column of rows.
func columnOf(rows []map[string]string, name string) []string {
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = row[name]
	}
	return out
}

func TestReports(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		f.Group(t, "Traffic/Boats")
		boats := f.Person(t, func(p *domain.Person) { p.Group, p.FamilyName = "Traffic/Boats", "Seefahrer" })
		cars := f.Person(t)
		plain := f.Profile(t, "plain", func(o *domain.ProfileOptions) { o.CredentialGroup, o.LifetimeDays = "driving", 20 })
		checked := f.Profile(t, "checked", func(o *domain.ProfileOptions) { o.ValidateIssuance, o.LifetimeDays = true, 200 })
		first, second := f.Issue(t, boats.ID, plain.ID), f.Issue(t, cars.ID, plain.ID)
		waiting := newRequest(t, f, cars, checked)
		_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), first.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err)
		reader := operator(t, f, "reader", domain.PermReports, domain.PermPeopleRead)

		all := readRows(t, f, reader, issuer.ReportQuery{Name: "documents", Sort: "issued_at", Limit: 1})
		require.Equal(t, []string{first.ID, second.ID}, columnOf(all, "id"))
		require.Equal(t, map[string]string{"id": first.ID, "serial": first.Serial, "doc_type": "org.iso.18013.5.1.mDL", "category": "driving",
			"profile_id": plain.ID, "profile": "plain", "profile_version": "1", "format": "iso-mdl", "format_version": fmt.Sprint(first.FormatVersion),
			"platform": "android", "state": "disabled", "issued_at": all[0]["issued_at"], "valid_from": all[0]["valid_from"],
			"valid_until": fmt.Sprint(first.ValidUntil.UTC()), "copies": "1", "request_id": first.RequestID, "updated_at": all[0]["updated_at"],
			"person_id": boats.ID, "group": "Traffic/Boats", "external_id": boats.ExternalID, "given_name": "Erika", "family_name": "Seefahrer"}, all[0])
		require.Equal(t, []string{second.ID}, columnOf(readRows(t, f, reader, issuer.ReportQuery{Name: "mobile-documents",
			Filters: map[string]string{"group": "Traffic/Licences", "state": "", "platform": "android"}}), "id"))
		require.Len(t, readRows(t, f, reader, issuer.ReportQuery{Name: "documents", Filters: map[string]string{"group": "Traffic"}}), 2)
		require.Equal(t, []string{waiting.ID}, columnOf(readRows(t, f, reader, issuer.ReportQuery{Name: "reviews"}), "id"))
		require.Equal(t, []string{waiting.ID, second.RequestID, first.RequestID}, columnOf(readRows(t, f, reader, issuer.ReportQuery{Name: "requests"}), "id"))
		require.Equal(t, []string{"1", "1"}, columnOf(readRows(t, f, reader, issuer.ReportQuery{Name: "issued-documents",
			Filters: map[string]string{"issued_from": string(today(f)), "issued_until": string(today(f))}}), "documents"))
		require.Empty(t, readRows(t, f, reader, issuer.ReportQuery{Name: "expiring-documents", Filters: map[string]string{"days": "10"}}))
		require.Len(t, readRows(t, f, reader, issuer.ReportQuery{Name: "expiring-documents"}), 2, "within 30 days unless told otherwise")

		f.Clock.Advance(21 * 24 * time.Hour)
		require.Empty(t, readRows(t, f, reader, issuer.ReportQuery{Name: "mobile-documents"}), "states are those of now")
		require.Equal(t, []string{"expired", "expired"}, columnOf(readRows(t, f, reader, issuer.ReportQuery{Name: "documents"}), "state"))
		require.Len(t, readRows(t, f, reader, issuer.ReportQuery{Name: "documents", Filters: map[string]string{"state": "expired"}}), 2)
	})
}

// A report shows rows in the scope of the permission reports, and personal data in the scope of people_read.
func TestReportsShowWhatTheCallerMaySee(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		f.Group(t, "Traffic/Boats")
		person := func(group string) domain.Person { return f.Person(t, func(p *domain.Person) { p.Group = group }) }
		boats, cars, top := person("Traffic/Boats"), person("Traffic/Licences"), person("Traffic")
		profile := f.Profile(t, "plain")
		for _, p := range []domain.Person{boats, cars, top} {
			f.Issue(t, p.ID, profile.ID)
		}
		grants := func(reports, people domain.Scope) issuertest.Grants {
			return issuertest.Grants{domain.PermReports: reports, domain.PermPeopleRead: people}
		}
		const none, self, department, division, everywhere = domain.ScopeNone, domain.ScopeSelf, domain.ScopeDepartment, domain.ScopeDivision, domain.ScopeAll
		for name, c := range map[string]struct {
			person domain.Person
			grants issuertest.Grants
			rows   []string // people
			named  []string
		}{
			"all":                       {cars, grants(everywhere, everywhere), []string{boats.ID, cars.ID, top.ID}, []string{boats.ID, cars.ID, top.ID}},
			"all, names of nobody":      {cars, grants(everywhere, none), []string{boats.ID, cars.ID, top.ID}, nil},
			"all, names of department":  {cars, grants(everywhere, department), []string{boats.ID, cars.ID, top.ID}, []string{cars.ID}},
			"all, names of division":    {top, grants(everywhere, division), []string{boats.ID, cars.ID, top.ID}, []string{boats.ID, cars.ID, top.ID}},
			"division, names of self":   {top, grants(division, self), []string{boats.ID, cars.ID, top.ID}, []string{top.ID}},
			"department, names of all":  {boats, grants(department, everywhere), []string{boats.ID}, []string{boats.ID}},
			"self":                      {boats, grants(self, self), []string{boats.ID}, []string{boats.ID}},
			"self, names of department": {boats, grants(self, department), []string{boats.ID}, []string{boats.ID}},
		} {
			t.Run(name, func(t *testing.T) {
				caller := f.Caller(t, strings.NewReplacer(" ", "-", ",", "").Replace(name), c.person.ID, c.grants)
				rows := readRows(t, f, caller, issuer.ReportQuery{Name: "documents"})
				require.ElementsMatch(t, c.rows, columnOf(rows, "person_id"))
				for _, row := range rows {
					named := slices.Contains(c.named, row["person_id"])
					for _, column := range []string{"given_name", "family_name", "external_id"} {
						require.Equal(t, named, row[column] != "", column)
					}
				}
				require.Equal(t, fmt.Sprint(len(c.rows)), readRows(t, f, caller, issuer.ReportQuery{Name: "issued-documents"})[0]["documents"])
				require.Len(t, readRows(t, f, caller, issuer.ReportQuery{Name: "requests"}), len(c.rows))
				_, err := f.Issuer.Report(t.Context(), caller, issuer.ReportQuery{Name: "documents", Filters: map[string]string{"group": "Elsewhere"}})
				codeIs(t, domain.CodeInvalid, err)
				exported := 0
				require.NoError(t, f.Issuer.ExportReport(t.Context(), caller, issuer.ReportQuery{Name: "documents"}, func(p issuer.ReportPage) error {
					exported += len(p.Rows)
					return nil
				}))
				require.Equal(t, len(c.rows), exported)
			})
		}
	})
}

func TestReportsRefuse(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	ctx := t.Context()
	reader := operator(t, f, "reader", domain.PermReports)
	for i := range 2 {
		f.Issue(t, f.Person(t).ID, f.Profile(t, fmt.Sprint("plain-", i)).ID)
	}
	page, err := f.Issuer.Report(ctx, reader, issuer.ReportQuery{Name: "documents", Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, page.Next)
	forged := func(form string) string { return base64.RawURLEncoding.EncodeToString([]byte(form)) }
	filter := func(name, value string) issuer.ReportQuery {
		return issuer.ReportQuery{Name: "documents", Filters: map[string]string{name: value}}
	}
	for name, c := range map[string]struct {
		q      issuer.ReportQuery
		fields []string
	}{
		"sort unknown":         {issuer.ReportQuery{Name: "documents", Sort: "shoe_size"}, []string{"sort"}},
		"sort by a name":       {issuer.ReportQuery{Name: "documents", Sort: "family_name"}, []string{"sort"}},
		"sort injected":        {issuer.ReportQuery{Name: "documents", Sort: "issued_at; DROP TABLE documents"}, []string{"sort"}},
		"cursor no base64":     {issuer.ReportQuery{Name: "documents", After: "§"}, []string{"after"}},
		"cursor no JSON":       {issuer.ReportQuery{Name: "documents", After: forged("{")}, []string{"after"}},
		"cursor empty":         {issuer.ReportQuery{Name: "documents", After: forged("{}")}, []string{"after"}},
		"cursor of other sort": {issuer.ReportQuery{Name: "documents", Sort: "serial", After: page.Next}, []string{"after"}},
		"cursor of other list": {issuer.ReportQuery{Name: "mobile-documents", After: page.Next}, []string{"after"}},
		"cursor of other kind": {issuer.ReportQuery{Name: "documents", After: forged(`{"r":"documents","s":"-issued_at","v":"x","i":"x"}`)}, []string{"after"}},
		"filter unknown":       {issuer.ReportQuery{Name: "documents", Filters: map[string]string{"days": "1", "channel": "sms"}}, []string{"channel", "days"}},
		"id":                   {filter("person_id", "Erika"), []string{"person_id"}},
		"choice":               {filter("state", "prepared"), []string{"state"}},
		"day":                  {filter("issued_from", "2026-02-30"), []string{"issued_from"}},
		"day without year":     {filter("issued_from", "0000-01-01"), []string{"issued_from"}},
		"text too long":        {filter("category", strings.Repeat("a", 151)), []string{"category"}},
		"group":                {filter("group", "Nowhere"), []string{"group"}},
		"number":               {issuer.ReportQuery{Name: "expiring-documents", Filters: map[string]string{"days": "many"}}, []string{"days"}},
		"number too large":     {issuer.ReportQuery{Name: "expiring-documents", Filters: map[string]string{"days": "3651"}}, []string{"days"}},
		"number too small":     {issuer.ReportQuery{Name: "expiring-documents", Filters: map[string]string{"days": "0"}}, []string{"days"}},
	} {
		t.Run(name, func(t *testing.T) {
			head := f.AuditHead(t)
			_, err := f.Issuer.Report(ctx, reader, c.q)
			codeIs(t, domain.CodeInvalid, err)
			require.Equal(t, c.fields, fieldsOf(t, err))
			if c.q.After == "" {
				err = f.Issuer.ExportReport(ctx, reader, c.q, func(issuer.ReportPage) error { return errors.New("nothing may come") })
				codeIs(t, domain.CodeInvalid, err)
				require.Equal(t, c.fields, fieldsOf(t, err))
			}
			require.Equal(t, head, f.AuditHead(t))
		})
	}
	_, err = f.Issuer.Report(ctx, reader, issuer.ReportQuery{Name: "documents", Limit: 501})
	codeIs(t, domain.CodeInvalid, err)
	err = f.Issuer.ExportReport(ctx, reader, issuer.ReportQuery{Name: "documents", After: page.Next}, nil)
	codeIs(t, domain.CodeInvalid, err)
	_, err = f.Issuer.Report(ctx, reader, issuer.ReportQuery{Name: "nothing"})
	codeIs(t, domain.CodeNotFound, err)
	stranger := operator(t, f, "stranger", domain.PermDocumentsRead, domain.PermPeopleRead)
	_, err = f.Issuer.Reports(stranger)
	codeIs(t, domain.CodeForbidden, err)
	_, err = f.Issuer.Report(ctx, stranger, issuer.ReportQuery{Name: "documents"})
	codeIs(t, domain.CodeForbidden, err)
	codeIs(t, domain.CodeForbidden, f.Issuer.ExportReport(ctx, stranger, issuer.ReportQuery{Name: "documents"}, nil))
	codeIs(t, domain.CodeForbidden, f.Issuer.ExportAudit(ctx, stranger, issuer.AuditFilter{}, nil))
	all, err := f.Issuer.Reports(reader)
	require.NoError(t, err)
	require.Len(t, all, 9)
}

// An export leaves its traces whatever becomes of it, and none of them says what a caller could have made up.
func TestExportsAreAudited(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		reader := operator(t, f, "reader", domain.PermReports, domain.PermAudit)
		profile := f.Profile(t, "plain")
		for range 3 {
			f.Issue(t, f.Person(t).ID, profile.ID)
		}
		last := func(n int) []domain.AuditEntry {
			entries, err := f.Store.Audit(ctx, issuer.AuditFilter{}, f.AuditHead(t)-int64(n), n)
			require.NoError(t, err)
			return entries
		}
		after := func(e domain.AuditEntry) map[string]string {
			out := map[string]string{}
			for name, c := range e.Changes {
				require.Empty(t, c.Before)
				out[name] = c.After
			}
			return out
		}
		group, err := f.Store.GroupByPath(ctx, issuertest.PersonGroup)
		require.NoError(t, err)
		q := issuer.ReportQuery{Name: "documents", Sort: "serial", Filters: map[string]string{"state": "active", "profile_id": profile.ID,
			"group": issuertest.PersonGroup, "category": "Mustermann", "issued_from": "2020-01-01", "person_id": ""}}
		told := map[string]string{"sort": "serial", "filter.state": "active", "filter.profile_id": profile.ID, "filter.group": group.ID,
			"filter.category": "given", "filter.issued_from": "2020-01-01"}

		head := f.AuditHead(t)
		pages := 0
		require.NoError(t, f.Issuer.ExportReport(ctx, reader, q, func(p issuer.ReportPage) error {
			pages++
			require.Empty(t, p.Rows)
			require.NotEmpty(t, p.Columns, "the names of the columns come even without rows")
			require.Equal(t, head+1, f.AuditHead(t), "what is asked for is noted before anything is given out")
			return nil
		}))
		require.Equal(t, 1, pages)
		require.Equal(t, head+2, f.AuditHead(t))
		entries := last(2)
		require.Equal(t, []string{"report.export_started", "report.export"}, actionsOf(entries))
		for _, e := range entries {
			require.Equal(t, reader.AccountID, e.Actor)
			require.Equal(t, "documents", e.Subject)
		}
		require.Equal(t, told, after(entries[0]))
		told["rows"], told["complete"] = "0", "true"
		require.Equal(t, told, after(entries[1]))

		boom := errors.New("the reader is gone")
		require.ErrorIs(t, f.Issuer.ExportReport(ctx, reader, issuer.ReportQuery{Name: "requests"}, func(issuer.ReportPage) error { return boom }), boom)
		require.Equal(t, map[string]string{"sort": "-id", "rows": "0", "complete": "false"}, after(last(1)[0]))

		leaving, leave := context.WithCancel(ctx)
		err = f.Issuer.ExportReport(leaving, reader, issuer.ReportQuery{Name: "requests"}, func(p issuer.ReportPage) error {
			leave()
			return leaving.Err()
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, "report.export", last(1)[0].Action, "also when nobody waits for the end")

		require.NoError(t, f.Issuer.ExportReport(ctx, reader, issuer.ReportQuery{Name: "expiring-documents"}, func(issuer.ReportPage) error { return nil }))
		require.Equal(t, "30", after(last(1)[0])["filter.days"])

		before := f.AuditHead(t)
		var got []domain.AuditEntry
		want := issuer.AuditFilter{Actor: "Mustermann", Action: "request.create", Subject: profile.ID, From: time.Unix(1, 0), Until: time.Unix(2, 0)}
		keep := func(entries []domain.AuditEntry) error {
			got = append(got, entries...)
			return nil
		}
		require.NoError(t, f.Issuer.ExportAudit(ctx, reader, want, keep))
		require.Empty(t, got)
		require.Equal(t, map[string]string{"filter.actor": "given", "filter.action": "request.create", "filter.subject": profile.ID,
			"filter.from": "1970-01-01T00:00:01Z", "filter.until": "1970-01-01T00:00:02Z", "rows": "0", "complete": "true"}, after(last(1)[0]))
		require.NoError(t, f.Issuer.ExportAudit(ctx, reader, issuer.AuditFilter{}, keep))
		require.Len(t, got, int(before)+2, "what was there before it began")
		require.Equal(t, "audit", last(1)[0].Subject)
	})
}

// The audit is read in the scope of the permission, and by whatever was asked for.
func TestAuditIsNarrowed(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		f.Group(t, "Traffic/Boats")
		boats := f.Person(t, func(p *domain.Person) { p.Group = "Traffic/Boats" })
		cars, top := f.Person(t), f.Person(t, func(p *domain.Person) { p.Group = "Traffic" })
		profile := f.Profile(t, "plain")
		middle := f.Clock.Now()
		d := f.Issue(t, boats.ID, profile.ID)
		f.Issue(t, cars.ID, profile.ID)
		admin := f.Admin()
		all, err := f.Issuer.Audit(ctx, admin, issuer.AuditFilter{}, 0, 500)
		require.NoError(t, err)
		for name, c := range map[string]struct {
			person domain.Person
			scope  domain.Scope
			sees   []string
		}{
			"self": {top, domain.ScopeSelf, []string{top.ID}}, "department": {boats, domain.ScopeDepartment, []string{boats.ID}},
			"division": {top, domain.ScopeDivision, []string{boats.ID, cars.ID, top.ID}},
		} {
			caller := f.Caller(t, name, c.person.ID, issuertest.Grants{domain.PermAudit: c.scope})
			got, err := f.Issuer.Audit(ctx, caller, issuer.AuditFilter{Until: all[len(all)-1].At.Add(time.Microsecond)}, 0, 500)
			require.NoError(t, err)
			var want []domain.AuditEntry
			for _, e := range all {
				if slices.Contains(c.sees, e.PersonID) {
					want = append(want, e)
				}
			}
			require.NotEmpty(t, want)
			require.Equal(t, want, got, name)
			none, err := f.Issuer.Audit(ctx, caller, issuer.AuditFilter{Action: "profile.create"}, 0, 0)
			require.NoError(t, err)
			require.Empty(t, none, "what is about nobody is for scope all")
			_, err = f.Issuer.VerifyAudit(ctx, caller)
			codeIs(t, domain.CodeForbidden, err)
		}
		for name, c := range map[string]struct {
			want issuer.AuditFilter
			is   func(e domain.AuditEntry) bool
		}{
			"actor":    {issuer.AuditFilter{Actor: "wallet"}, func(e domain.AuditEntry) bool { return e.Actor == "wallet" }},
			"action":   {issuer.AuditFilter{Action: "request.create"}, func(e domain.AuditEntry) bool { return e.Action == "request.create" }},
			"subject":  {issuer.AuditFilter{Subject: profile.ID}, func(e domain.AuditEntry) bool { return e.Subject == profile.ID }},
			"person":   {issuer.AuditFilter{PersonID: cars.ID}, func(e domain.AuditEntry) bool { return e.PersonID == cars.ID }},
			"request":  {issuer.AuditFilter{RequestID: d.RequestID}, func(e domain.AuditEntry) bool { return e.RequestID == d.RequestID }},
			"document": {issuer.AuditFilter{DocumentID: d.ID}, func(e domain.AuditEntry) bool { return e.DocumentID == d.ID }},
			"from":     {issuer.AuditFilter{From: middle}, func(e domain.AuditEntry) bool { return !e.At.Before(middle.Truncate(time.Microsecond)) }},
			"until":    {issuer.AuditFilter{Until: middle}, func(e domain.AuditEntry) bool { return e.At.Before(middle.Truncate(time.Microsecond)) }},
		} {
			got, err := f.Issuer.Audit(ctx, admin, c.want, 0, 500)
			require.NoError(t, err)
			var want []domain.AuditEntry
			for _, e := range all {
				if c.is(e) {
					want = append(want, e)
				}
			}
			require.NotEmpty(t, want, name)
			require.GreaterOrEqual(t, len(got), len(want), name)
			require.Equal(t, want, got[:len(want)], name)
			for _, e := range got[len(want):] {
				require.Greater(t, e.Seq, all[len(all)-1].Seq, name)
			}
		}
	})
}

// History and timeline tell everything that happens in the life of a document (J2).
func TestHistoryAndTimelineAreComplete(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx, admin := t.Context(), f.Admin()
		boss := operator(t, f, "boss", domain.PermApprove, domain.PermCancel)
		person := f.Person(t)
		profile := f.Profile(t, "guarded", func(o *domain.ProfileOptions) { o.ValidateIssuance, o.ValidateCancellation = true, true })
		r := newRequest(t, f, person, profile)
		require.NoError(t, f.Issuer.RemindApprovers(ctx, r.ID, 1))
		_, err := f.Issuer.Approve(ctx, boss, r.ID, issuer.Approval{})
		require.NoError(t, err)
		_, err = f.Issuer.Resend(ctx, admin, r.ID)
		require.NoError(t, err)
		link, code := onScreen(t, f, r.ID)
		offer, err := f.Issuer.Offer(ctx, link)
		require.NoError(t, err)
		_, err = f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, strings.Repeat("0", len(code)), "192.0.2.1")
		codeIs(t, domain.CodeCodeWrong, err)
		token, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, code, "192.0.2.1")
		require.NoError(t, err)
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		d := documentOf(t, f, r.ID)
		for _, act := range []domain.DocumentAct{domain.DocumentDisable, domain.DocumentEnable} {
			_, err = f.Issuer.ChangeDocument(ctx, admin, d.ID, act, domain.ReasonLost, "")
			require.NoError(t, err)
		}
		update, err := f.Issuer.UpdateDocument(ctx, admin, "", issuer.NewUpdate{DocumentID: d.ID, Reason: domain.ReasonReprovision})
		require.NoError(t, err)
		_, err = f.Issuer.Reject(ctx, boss, update.ID, "no need")
		require.NoError(t, err)
		_, err = f.Issuer.RejectCancellation(ctx, boss, askToCancel(t, f, d.ID).ID, "no")
		require.NoError(t, err)
		_, err = f.Issuer.WithdrawCancellation(ctx, admin, askToCancel(t, f, d.ID).ID, "found")
		require.NoError(t, err)
		_, err = f.Issuer.ApproveCancellation(ctx, boss, askToCancel(t, f, d.ID).ID, "")
		require.NoError(t, err)

		timeline, err := f.Issuer.Timeline(ctx, admin, r.ID, 0, 0)
		require.NoError(t, err)
		history, err := f.Issuer.DocumentHistory(ctx, admin, d.ID, 0, 0)
		require.NoError(t, err)
		for _, list := range [][]domain.AuditEntry{timeline, history} {
			for i, e := range list {
				require.Equal(t, person.ID, e.PersonID, e.Action)
				require.True(t, i == 0 || e.Seq > list[i-1].Seq)
			}
		}
		ofUpdate, err := f.Issuer.Timeline(ctx, admin, update.ID, 0, 0)
		require.NoError(t, err)
		whole, err := f.Store.Audit(ctx, issuer.AuditFilter{PersonID: person.ID}, 0, 1000)
		require.NoError(t, err)
		told := slices.Concat(timeline, history, ofUpdate)
		for _, e := range whole {
			if !strings.HasPrefix(e.Action, "person.") {
				require.True(t, slices.ContainsFunc(told, func(x domain.AuditEntry) bool { return x.Seq == e.Seq }), "%s is in none", e.Action)
			}
		}
		require.Equal(t, []string{"request.create", "request.begin", "request.remind", "request.approve", "request.resend", "request.view_code",
			"request.wrong_code", "request.redeem", "document.prepare", "request.issue", "document.disable", "document.enable", "document.cancel"},
			actionsOf(timeline))
		require.Equal(t, []string{"document.prepare", "request.issue", "document.disable", "document.enable", "request.update",
			"cancellation.create", "cancellation.begin", "cancellation.reject", "cancellation.create", "cancellation.begin", "cancellation.withdraw",
			"cancellation.create", "cancellation.begin", "cancellation.approve", "document.cancel"}, actionsOf(history))
		require.Equal(t, []string{"request.update", "request.begin", "request.reject"}, actionsOf(ofUpdate))
		for _, c := range []struct {
			whole []domain.AuditEntry
			page  func(after int64, limit int) ([]domain.AuditEntry, error)
		}{
			{timeline, func(after int64, limit int) ([]domain.AuditEntry, error) {
				return f.Issuer.Timeline(ctx, admin, r.ID, after, limit)
			}},
			{history, func(after int64, limit int) ([]domain.AuditEntry, error) {
				return f.Issuer.DocumentHistory(ctx, admin, d.ID, after, limit)
			}},
		} {
			var paged []domain.AuditEntry
			for after := int64(0); ; after = paged[len(paged)-1].Seq {
				entries, err := c.page(after, 2)
				require.NoError(t, err)
				require.LessOrEqual(t, len(entries), 2)
				if len(entries) == 0 {
					break
				}
				paged = append(paged, entries...)
			}
			require.Equal(t, c.whole, paged)
			for _, bad := range []struct {
				after int64
				limit int
			}{{-1, 0}, {0, -1}, {0, 501}} {
				_, err := c.page(bad.after, bad.limit)
				codeIs(t, domain.CodeInvalid, err)
			}
		}
	})
}

// FuzzReportCursor: whatever is given as the place where a page begins is refused or gives rows that the caller may see.
func FuzzReportCursor(f *testing.F) {
	fixture := issuertest.New(f, issuertest.Options{})
	reader := fixture.Admin()
	for _, seed := range []string{`{"r":"documents","s":"-issued_at","v":"2026-01-01T00:00:00.000000Z","i":"x"}`, `{"r":"documents","s":"-issued_at","v":"","i":"x"}`,
		`{"r":"documents"`, `null`, `[]`, "\xff"} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(seed)))
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, after string) {
		p, err := fixture.Issuer.Report(t.Context(), reader, issuer.ReportQuery{Name: "documents", After: after})
		if err != nil {
			codeIs(t, domain.CodeInvalid, err)
			return
		}
		require.Empty(t, p.Rows)
	})
}
