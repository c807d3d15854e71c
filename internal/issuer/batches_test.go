package issuer_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/workflows/messages"
)

// nobodyID is the id of nothing.
const nobodyID = "00000000-0000-7000-8000-000000000000"

// outcome is what came of the items of a batch: the code by subject, "" for those that are completed.
func outcome(t *testing.T, f *issuertest.Fixture, caller domain.Caller, batchID string) map[string]domain.Code {
	t.Helper()
	items, err := f.Issuer.BatchItems(t.Context(), caller, batchID, "", 0, 500)
	require.NoError(t, err)
	out := map[string]domain.Code{}
	for i, it := range items {
		require.Contains(t, []domain.BatchItemState{domain.ItemCompleted, domain.ItemFailed}, it.State)
		require.Equal(t, it.State == domain.ItemFailed, it.Code != "")
		require.Equal(t, it.Code != "", it.Message != "")
		if i > 0 {
			require.Less(t, items[i-1].SubjectID, it.SubjectID, "items are sorted")
		}
		out[it.SubjectID] = it.Code
	}
	return out
}

// inGroup puts a person into the group of the path, which is made if there is none.
func inGroup(t *testing.T, f *issuertest.Fixture, path string) func(*domain.Person) {
	t.Helper()
	f.Group(t, path)
	return func(p *domain.Person) { p.Group = path }
}

func state(t *testing.T, f *issuertest.Fixture, documentID string) domain.DocumentState {
	t.Helper()
	d, err := f.Store.Document(t.Context(), documentID)
	require.NoError(t, err)
	return d.State
}

// entriesOf gives the audit entries of an action.
func entriesOf(t *testing.T, f *issuertest.Fixture, action string) []domain.AuditEntry {
	t.Helper()
	all, err := f.Store.Audit(t.Context(), issuer.AuditFilter{Action: action}, 0, 1000)
	require.NoError(t, err)
	return all
}

// A batch does to each document what the single act does, and each fails by itself (G1–G3).
func TestBatchesOfDocuments(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		free := f.Profile(t, "free")
		guarded := f.Profile(t, "guarded", func(o *domain.ProfileOptions) { o.ValidateCancellation = true })
		person := f.Person(t)
		active, alsoActive := f.Issue(t, person.ID, free.ID), f.Issue(t, f.Person(t).ID, free.ID)
		needsApproval := f.Issue(t, person.ID, guarded.ID)
		gone := f.Issue(t, person.ID, free.ID)
		_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), gone.ID, domain.DocumentCancel, domain.ReasonLost, "")
		require.NoError(t, err)
		var many []string // more than one page
		for range 9 {
			many = append(many, f.Issue(t, person.ID, free.ID).ID)
		}
		chosen := append([]string{active.ID, alsoActive.ID, needsApproval.ID, gone.ID, nobodyID, active.ID}, many...)
		clerk := operator(t, f, "clerk", domain.PermCancel, domain.PermDisable)
		before := len(entriesOf(t, f, "document.cancel"))

		run := func(op domain.BatchOperation, reason domain.CancelReason, wrong map[string]domain.Code) issuer.BatchView {
			b, err := f.Issuer.CreateBatch(t.Context(), clerk, "", issuer.NewBatch{Operation: op, Documents: chosen, Reason: reason,
				Notes: "a note"})
			require.NoError(t, err)
			require.Equal(t, domain.BatchCompleted, b.State, "the engine of the tests is quick")
			require.Equal(t, len(chosen)-1, b.Total, "what is named twice is one item")
			require.Equal(t, len(wrong), b.Failed)
			require.Equal(t, b.Total-b.Failed, b.Completed)
			require.False(t, b.EndedAt.IsZero())
			got := outcome(t, f, clerk, b.ID)
			for id, code := range got {
				require.Equal(t, wrong[id], code, id)
			}
			return b
		}
		run(domain.BatchDisable, domain.ReasonStolen, map[string]domain.Code{gone.ID: domain.CodeWrongState, nobodyID: domain.CodeNotFound})
		require.Equal(t, domain.DocumentDisabled, state(t, f, needsApproval.ID))
		run(domain.BatchEnable, "", map[string]domain.Code{gone.ID: domain.CodeWrongState, nobodyID: domain.CodeNotFound})
		require.Equal(t, domain.DocumentActive, state(t, f, needsApproval.ID))
		b := run(domain.BatchCancel, domain.ReasonStolen, map[string]domain.Code{gone.ID: domain.CodeWrongState, nobodyID: domain.CodeNotFound,
			needsApproval.ID: domain.CodeApprovalRequired})
		require.Equal(t, domain.DocumentActive, state(t, f, needsApproval.ID))
		for _, id := range append(many, active.ID, alsoActive.ID) {
			require.Equal(t, domain.DocumentCanceled, state(t, f, id))
		}

		canceled := entriesOf(t, f, "document.cancel")[before:]
		require.Len(t, canceled, b.Completed, "each item once")
		for _, e := range canceled {
			require.Equal(t, clerk.AccountID, e.Actor)
			require.Equal(t, "batch", e.Channel)
			require.Equal(t, string(domain.ReasonStolen), e.Reason)
			require.Equal(t, "a note", e.Notes)
			require.Equal(t, map[string]domain.Change{"state": {Before: "active", After: "canceled"}, "batch": {After: b.ID}}, e.Changes)
		}
		made, ended := entriesOf(t, f, "batch.create"), entriesOf(t, f, "batch.end")
		require.Len(t, made, 3)
		require.Len(t, ended, 3)
		require.Equal(t, map[string]domain.Change{"operation": {After: "cancel"}, "items": {After: "14"}}, made[2].Changes)
		require.Equal(t, clerk.AccountID, made[2].Actor)
		require.Equal(t, b.ID, made[2].Subject)
		require.Equal(t, map[string]domain.Change{"completed": {After: "11"}, "failed": {After: "3"}}, ended[2].Changes)

		items, err := f.Issuer.BatchItems(t.Context(), clerk, b.ID, domain.ItemCompleted, 0, 500)
		require.NoError(t, err)
		require.Len(t, items, b.Completed)
		at := slices.IndexFunc(items, func(it domain.BatchItem) bool { return it.SubjectID == active.ID })
		it := items[at]
		require.Equal(t, []string{active.ID, active.RequestID, active.Serial, person.ID, string(domain.PlatformAndroid)},
			[]string{it.DocumentID, it.RequestID, it.Serial, it.PersonID, string(it.Platform)})
	})
}

// People who fail the rules of the profile get no request, and a reason (C6).
func TestBatchOfRequests(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence")
		fit, alsoFit := f.Person(t), f.Person(t)
		inactive := f.Person(t, func(p *domain.Person) { p.Status = domain.PersonInactive })
		unreachable := f.Person(t, func(p *domain.Person) { p.Email = "" })
		clerk := operator(t, f, "clerk", domain.PermRequest)
		in := issuer.NewBatch{Operation: domain.BatchRequest, ProfileID: profile.ID, ExpiryDate: domain.DateOf(f.Clock.Now().AddDate(1, 0, 0)),
			People: []string{unreachable.ID, fit.ID, nobodyID, inactive.ID, alsoFit.ID}, Notes: "the class of 26"}
		b, err := f.Issuer.CreateBatch(t.Context(), clerk, "", in)
		require.NoError(t, err)
		require.Equal(t, map[string]domain.Code{fit.ID: "", alsoFit.ID: "", inactive.ID: domain.CodePersonInactive,
			unreachable.ID: domain.CodeMissingContact, nobodyID: domain.CodeNotFound}, outcome(t, f, clerk, b.ID))
		items, err := f.Issuer.BatchItems(t.Context(), clerk, b.ID, domain.ItemCompleted, 0, 10)
		require.NoError(t, err)
		require.Len(t, items, 2)
		for _, it := range items {
			r := reload(t, f, it.RequestID)
			require.Equal(t, it.PersonID, r.PersonID)
			require.Equal(t, clerk.AccountID, r.RequestedBy)
			require.Equal(t, domain.RequestByOperator, r.Channel)
			require.Equal(t, in.ExpiryDate, r.ExpiryDate)
			require.Equal(t, domain.RequestAwaitingCollection, r.State, "its workflow was started")
			require.Empty(t, it.DocumentID)
		}
		all, err := f.Issuer.Requests(t.Context(), f.Admin(), issuer.RequestFilter{}, "", 50)
		require.NoError(t, err)
		require.Len(t, all, 2)
		entry := entriesOf(t, f, "request.create")[0]
		require.Equal(t, "the class of 26", entry.Notes)
		require.Equal(t, b.ID, entry.Changes["batch"].After)

		_, err = collect(t.Context(), f, profile, redeem(t, f, items[0].RequestID), walletKeys(t, f, 1))
		require.NoError(t, err)
		items, err = f.Issuer.BatchItems(t.Context(), clerk, b.ID, domain.ItemCompleted, 0, 1)
		require.NoError(t, err)
		require.NotEmpty(t, items[0].Serial, "what was collected later shows")
	})
}

// Requests that the engine cannot take now are started by the reconciler.
func TestRequestsOfABatchAreNotLost(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence")
		f.Engine.SetDown(true)
		b, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "", issuer.NewBatch{Operation: domain.BatchRequest, ProfileID: profile.ID,
			People: []string{f.Person(t).ID, f.Person(t).ID}})
		require.NoError(t, err)
		require.Equal(t, domain.BatchReceived, b.State, "accepted")
		require.NoError(t, f.Engine.RunBatch(t.Context(), b.ID))
		items, err := f.Issuer.BatchItems(t.Context(), f.Admin(), b.ID, domain.ItemCompleted, 0, 10)
		require.NoError(t, err)
		require.Len(t, items, 2)
		require.Equal(t, domain.RequestReceived, reload(t, f, items[0].RequestID).State)
		f.Engine.SetDown(false)
		f.Clock.Advance(time.Minute)
		_, err = f.Issuer.Reconcile(t.Context(), f.Engine.StartIssuance)
		require.NoError(t, err)
		for _, it := range items {
			require.Equal(t, domain.RequestAwaitingCollection, reload(t, f, it.RequestID).State)
		}
	})
}

// One selected is the single operation (G1): done when the call returns, without the engine.
func TestBatchOfOne(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence", func(o *domain.ProfileOptions) { o.ValidateCancellation = true })
		person := f.Person(t)
		d := f.Issue(t, person.ID, profile.ID)
		f.Engine.SetDown(true)
		ask := func(in issuer.NewBatch) issuer.BatchView {
			b, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "", in)
			require.NoError(t, err)
			require.Equal(t, domain.BatchCompleted, b.State)
			require.Equal(t, 1, b.Total)
			require.NotNil(t, b.Item)
			return b
		}
		b := ask(issuer.NewBatch{Operation: domain.BatchDisable, Documents: []string{d.ID}, Reason: domain.ReasonLost})
		require.Equal(t, domain.ItemCompleted, b.Item.State)
		require.Equal(t, d.Serial, b.Item.Serial)
		require.Equal(t, domain.DocumentDisabled, state(t, f, d.ID))
		b = ask(issuer.NewBatch{Operation: domain.BatchCancel, Documents: []string{d.ID}, Reason: domain.ReasonLost})
		require.Equal(t, domain.CodeApprovalRequired, b.Item.Code)
		b = ask(issuer.NewBatch{Operation: domain.BatchRequest, People: []string{person.ID}, ProfileID: profile.ID})
		require.Equal(t, domain.RequestReceived, reload(t, f, b.Item.RequestID).State)

		_, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "", issuer.NewBatch{Operation: domain.BatchDisable, Documents: []string{nobodyID},
			Reason: domain.ReasonLost})
		codeIs(t, domain.CodeNotFound, err, "where there is nothing to do, there is no batch")
	})
}

func TestBatchPreview(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence")
		inactive := f.Person(t, func(p *domain.Person) { p.Status = domain.PersonInactive })
		person := f.Person(t)
		document := f.Issue(t, person.ID, profile.ID)
		head := f.AuditHead(t)
		ask := func(in issuer.NewBatch) issuer.BatchPreview {
			p, err := f.Issuer.PreviewBatch(t.Context(), f.Admin(), in)
			require.NoError(t, err)
			require.Equal(t, in.Operation, p.Operation)
			return p
		}
		p := ask(issuer.NewBatch{Operation: domain.BatchRequest, ProfileID: profile.ID, People: []string{inactive.ID, person.ID, person.ID,
			nobodyID}})
		require.Equal(t, profile.ID, p.Profile.ID)
		require.Equal(t, []int{3, 3}, []int{p.Total, p.Checked})
		require.Equal(t, []issuer.RefusedItems{{Code: domain.CodeNotFound, Count: 1}, {Code: domain.CodePersonInactive, Count: 1}}, p.Refused)
		p = ask(issuer.NewBatch{Operation: domain.BatchRequest, ProfileID: profile.ID, PersonFilter: &issuer.PersonFilter{}})
		require.Equal(t, []int{2, 2}, []int{p.Total, p.Checked})
		p = ask(issuer.NewBatch{Operation: domain.BatchEnable, DocumentFilter: &issuer.DocumentFilter{PersonID: person.ID}})
		require.Nil(t, p.Profile)
		require.Equal(t, []issuer.RefusedItems{{Code: domain.CodeWrongState, Count: 1}}, p.Refused)
		p = ask(issuer.NewBatch{Operation: domain.BatchCancel, Documents: []string{document.ID}, Reason: domain.ReasonLost})
		require.Empty(t, p.Refused)
		require.Equal(t, head, f.AuditHead(t))
		all, err := f.Issuer.Batches(t.Context(), f.Admin(), issuer.BatchFilter{}, "", 10)
		require.NoError(t, err)
		require.Empty(t, all, "a preview makes nothing")
		require.Equal(t, domain.DocumentActive, state(t, f, document.ID))
	})
}

// What a search finds is what the caller may find and may act on: neither permission widens the other.
func TestBatchBySearch(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence")
		in := func(group string) func(*domain.Person) { return inGroup(t, f, group) }
		here, below, elsewhere := f.Person(t, in("Traffic")), f.Person(t, in("Traffic/Licences")), f.Person(t, in("Parks"))
		docs := map[string]domain.Document{}
		for _, p := range []domain.Person{here, below, elsewhere} {
			docs[p.ID] = f.Issue(t, p.ID, profile.ID)
		}
		chief := f.Person(t, in("Traffic"))
		both := f.Caller(t, "both", chief.ID, issuertest.Grants{domain.PermDocumentsRead: domain.ScopeAll,
			domain.PermDisable: domain.ScopeDivision})
		reader := f.Caller(t, "reader", chief.ID, issuertest.Grants{domain.PermDocumentsRead: domain.ScopeDepartment,
			domain.PermDisable: domain.ScopeAll})
		blind := f.Caller(t, "blind", chief.ID, issuertest.Grants{domain.PermDisable: domain.ScopeAll})
		for name, c := range map[string]struct {
			caller domain.Caller
			want   issuer.NewBatch
			finds  []string
			code   domain.Code
		}{
			"all":       {caller: f.Admin(), finds: []string{here.ID, below.ID, elsewhere.ID}},
			"one group": {caller: f.Admin(), want: issuer.NewBatch{Group: "Traffic"}, finds: []string{here.ID}},
			"and those below": {caller: f.Admin(), want: issuer.NewBatch{Group: "Traffic",
				DocumentFilter: &issuer.DocumentFilter{GroupsBelow: true}}, finds: []string{here.ID, below.ID}},
			"no such group":        {caller: f.Admin(), want: issuer.NewBatch{Group: "Traffic/None"}, code: domain.CodeInvalid},
			"acts on the division": {caller: both, finds: []string{here.ID, below.ID}},
			"sees the department":  {caller: reader, finds: []string{here.ID}},
			"may not look":         {caller: blind, code: domain.CodeForbidden},
			"nothing of that profile": {caller: f.Admin(), want: issuer.NewBatch{DocumentFilter: &issuer.DocumentFilter{ProfileID: nobodyID}},
				code: domain.CodeNotFound},
		} {
			t.Run(name, func(t *testing.T) {
				want := c.want
				want.Operation, want.Reason = domain.BatchDisable, domain.ReasonOther
				if want.DocumentFilter == nil {
					want.DocumentFilter = &issuer.DocumentFilter{}
				}
				want.DocumentFilter.State = domain.DocumentActive
				b, err := f.Issuer.CreateBatch(t.Context(), c.caller, "", want)
				if c.code != "" {
					codeIs(t, c.code, err)
					return
				}
				require.NoError(t, err)
				finds := map[string]domain.Code{}
				for _, id := range c.finds {
					finds[docs[id].ID] = ""
				}
				require.Equal(t, finds, outcome(t, f, c.caller, b.ID))
				again := issuer.NewBatch{Operation: domain.BatchEnable, DocumentFilter: &issuer.DocumentFilter{State: domain.DocumentDisabled}}
				b, err = f.Issuer.CreateBatch(t.Context(), f.Admin(), "", again)
				require.NoError(t, err)
				require.Equal(t, len(c.finds), b.Completed)
			})
		}
		_, err := f.Issuer.CreateBatch(t.Context(), operator(t, f, "asker", domain.PermRequest), "",
			issuer.NewBatch{Operation: domain.BatchRequest,
				ProfileID: profile.ID, PersonFilter: &issuer.PersonFilter{}})
		codeIs(t, domain.CodeForbidden, err)
		b, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "", issuer.NewBatch{Operation: domain.BatchRequest, ProfileID: profile.ID,
			PersonFilter: &issuer.PersonFilter{}, Group: "Parks"})
		require.NoError(t, err)
		require.Equal(t, elsewhere.ID, b.Item.PersonID)
	})
}

// Each item is done with the rights that the creator has at that moment, not with those of the time when the batch was made.
func TestBatchRunsWithPresentRights(t *testing.T) {
	for name, take := range map[string]func(t *testing.T, f *issuertest.Fixture, clerk domain.Caller){
		"account disabled": func(t *testing.T, f *issuertest.Fixture, clerk domain.Caller) {
			yes := true
			_, err := f.Issuer.ChangeAccount(t.Context(), f.Admin(), clerk.AccountID, issuer.AccountChange{Disabled: &yes})
			require.NoError(t, err)
		},
		"role taken": func(t *testing.T, f *issuertest.Fixture, clerk domain.Caller) {
			require.NoError(t, f.Issuer.AssignRoles(t.Context(), f.Admin(), clerk.AccountID, nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
				profile := f.Profile(t, "licence")
				clerk := operator(t, f, "clerk", domain.PermDisable)
				var docs []string
				for range 8 {
					docs = append(docs, f.Issue(t, f.Person(t).ID, profile.ID).ID)
				}
				f.Engine.SetDown(true)
				b, err := f.Issuer.CreateBatch(t.Context(), clerk, "", issuer.NewBatch{Operation: domain.BatchDisable, Documents: docs,
					Reason: domain.ReasonLeft})
				require.NoError(t, err)
				_, err = f.Issuer.BeginBatch(t.Context(), b.ID)
				require.NoError(t, err)
				require.NoError(t, f.Issuer.RunBatch(t.Context(), messages.BatchPage{BatchID: b.ID, From: 1, To: 3}, goOn))
				take(t, f, clerk)
				require.NoError(t, f.Engine.RunBatch(t.Context(), b.ID))
				items, err := f.Issuer.BatchItems(t.Context(), f.Admin(), b.ID, "", 0, 10)
				require.NoError(t, err)
				for _, it := range items {
					want, code := domain.DocumentDisabled, domain.Code("")
					if it.N > 3 {
						want, code = domain.DocumentActive, domain.CodeForbidden
					}
					require.Equal(t, want, state(t, f, it.SubjectID), it.N)
					require.Equal(t, code, it.Code, it.N)
				}
			})
		})
	}
}

func goOn(int) error { return nil }

// However often and by however many a page is run, each item is done once (G2).
func TestBatchItemsAreDoneOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence")
		var people, docs []string
		for range 12 {
			p := f.Person(t)
			people = append(people, p.ID)
			docs = append(docs, f.Issue(t, p.ID, profile.ID).ID)
		}
		requests := len(entriesOf(t, f, "request.create"))
		f.Engine.SetDown(true)
		for _, in := range []issuer.NewBatch{{Operation: domain.BatchUpdate, Documents: docs, Reason: domain.ReasonReprovision},
			{Operation: domain.BatchCancel, Documents: docs, Reason: domain.ReasonLost},
			{Operation: domain.BatchRequest, People: people, ProfileID: profile.ID}} {
			b, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "", in)
			require.NoError(t, err)
			_, err = f.Issuer.BeginBatch(t.Context(), b.ID)
			require.NoError(t, err)
			g, ctx := errgroup.WithContext(t.Context())
			for range 4 {
				g.Go(func() error {
					return again(func() error {
						return f.Issuer.RunBatch(ctx, messages.BatchPage{BatchID: b.ID, From: 1, To: 12}, goOn)
					})
				})
			}
			require.NoError(t, g.Wait())
			for range 2 {
				result, err := f.Issuer.EndBatch(t.Context(), b.ID)
				require.NoError(t, err)
				require.Equal(t, messages.BatchResult{Total: 12, Completed: 12}, result)
			}
			require.NoError(t, f.Issuer.RunBatch(t.Context(), messages.BatchPage{BatchID: b.ID, From: 1, To: 12}, goOn), "nothing is left")
		}
		require.Len(t, entriesOf(t, f, "request.update"), 12)
		require.Len(t, entriesOf(t, f, "document.cancel"), 12)
		require.Len(t, entriesOf(t, f, "request.create")[requests:], 12)
		require.Len(t, entriesOf(t, f, "batch.end"), 3)
	})
}

// An item that somebody else changes between the look and the deed fails or succeeds by itself; the others of its transaction are done.
func TestContestedItem(t *testing.T) {
	for _, in := range []issuer.NewBatch{{Operation: domain.BatchDisable, Reason: domain.ReasonLost},
		{Operation: domain.BatchUpdate, Reason: domain.ReasonReprovision}} {
		t.Run(string(in.Operation), func(t *testing.T) { testContestedItem(t, in) })
	}
}

func testContestedItem(t *testing.T, in issuer.NewBatch) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence")
		var docs []string
		for range 5 {
			docs = append(docs, f.Issue(t, f.Person(t).ID, profile.ID).ID)
		}
		var looks atomic.Int32
		deps := f.Deps
		deps.Now = func() time.Time {
			if looks.Add(1) == 3 { // the documents were read before, and nothing is written yet
				_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), docs[2], domain.DocumentCancel, domain.ReasonLost, "")
				require.NoError(t, err)
			}
			return f.Clock.Now()
		}
		f.Engine.SetDown(true)
		in.Documents = docs
		b, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "", in)
		require.NoError(t, err)
		_, err = f.Issuer.BeginBatch(t.Context(), b.ID)
		require.NoError(t, err)
		require.NoError(t, issuer.New(f.Config, deps).RunBatch(t.Context(), messages.BatchPage{BatchID: b.ID, From: 1, To: 5}, goOn))
		require.Greater(t, looks.Load(), int32(3))
		want := map[string]domain.Code{docs[0]: "", docs[1]: "", docs[2]: domain.CodeWrongState, docs[3]: "", docs[4]: ""}
		require.Equal(t, want, outcome(t, f, f.Admin(), b.ID))
		done := append(entriesOf(t, f, "document.disable"), entriesOf(t, f, "request.update")...)
		require.Len(t, done, 4)
	})
}

// A batch that the engine did not take, or lost, is started later (C2).
func TestBatchesAreNotLost(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence")
		ask := func() string {
			b, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "", issuer.NewBatch{Operation: domain.BatchDisable, Reason: domain.ReasonLost,
				Documents: []string{f.Issue(t, f.Person(t).ID, profile.ID).ID, f.Issue(t, f.Person(t).ID, profile.ID).ID}})
			require.NoError(t, err)
			return b.ID
		}
		first := ask()
		f.Engine.SetDown(true)
		d1, d2 := f.Person(t), f.Person(t)
		f.Engine.SetDown(false)
		docs := []string{f.Issue(t, d1.ID, profile.ID).ID, f.Issue(t, d2.ID, profile.ID).ID}
		f.Engine.SetDown(true)
		b, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "k1", issuer.NewBatch{Operation: domain.BatchDisable, Documents: docs,
			Reason: domain.ReasonLost})
		require.NoError(t, err)
		require.Equal(t, domain.BatchReceived, b.State)
		f.Engine.SetDown(false)
		n, err := f.Issuer.Reconcile(t.Context(), f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Zero(t, n, "it may be starting by itself")
		f.Clock.Advance(time.Minute)
		n, err = f.Issuer.Reconcile(t.Context(), f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		for _, id := range []string{first, b.ID} {
			b, err := f.Issuer.Batch(t.Context(), f.Admin(), id)
			require.NoError(t, err)
			require.Equal(t, domain.BatchCompleted, b.State)
		}

		f.Engine.SetDown(true)
		b, err = f.Issuer.CreateBatch(t.Context(), f.Admin(), "k2", issuer.NewBatch{Operation: domain.BatchEnable, Documents: docs})
		require.NoError(t, err)
		_, err = f.Issuer.BeginBatch(t.Context(), b.ID)
		require.NoError(t, err)
		require.NoError(t, f.Issuer.RunBatch(t.Context(), messages.BatchPage{BatchID: b.ID, From: 1, To: 1}, goOn))
		f.Engine.SetDown(false)
		f.Clock.Advance(time.Minute)
		n, err = f.Issuer.Reconcile(t.Context(), f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Zero(t, n, "it shows signs of life")
		f.Clock.Advance(5 * time.Minute)
		n, err = f.Issuer.Reconcile(t.Context(), f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, map[string]domain.Code{docs[0]: "", docs[1]: ""}, outcome(t, f, f.Admin(), b.ID))
	})
}

func TestBatchIdempotency(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence")
		d := f.Issue(t, f.Person(t).ID, profile.ID)
		in := issuer.NewBatch{Operation: domain.BatchDisable, Documents: []string{d.ID}, Reason: domain.ReasonLost}
		first, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "key", in)
		require.NoError(t, err)
		_, err = f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentEnable, "", "")
		require.NoError(t, err)
		second, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "key", in)
		require.NoError(t, err)
		require.Equal(t, first, second)
		require.Equal(t, domain.DocumentActive, state(t, f, d.ID), "it was not done again")
		in.Reason = domain.ReasonStolen
		_, err = f.Issuer.CreateBatch(t.Context(), f.Admin(), "key", in)
		codeIs(t, domain.CodeIdempotencyReused, err)
	})
}

// A batch is for its creator, and for reports as far as they reach.
func TestWhoSeesABatch(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "licence")
		in := func(group string) func(*domain.Person) { return inGroup(t, f, group) }
		here, elsewhere, chief := f.Person(t, in("Traffic")), f.Person(t, in("Parks")), f.Person(t, in("Traffic"))
		a, b := f.Issue(t, here.ID, profile.ID), f.Issue(t, elsewhere.ID, profile.ID)
		clerk := operator(t, f, "clerk", domain.PermDisable)
		one, err := f.Issuer.CreateBatch(t.Context(), clerk, "", issuer.NewBatch{Operation: domain.BatchDisable, Documents: []string{a.ID,
			b.ID, nobodyID},
			Reason: domain.ReasonLost})
		require.NoError(t, err)
		two, err := f.Issuer.CreateBatch(t.Context(), clerk, "", issuer.NewBatch{Operation: domain.BatchEnable, Documents: []string{b.ID}})
		require.NoError(t, err)
		moved := clerk // the same account, whose reach has become smaller
		moved.PersonID, moved.GroupID = chief.ID, here.GroupID
		moved.Grants = map[domain.Permission]domain.Scope{domain.PermDisable: domain.ScopeDepartment}
		for name, c := range map[string]struct {
			caller domain.Caller
			list   []string
			items  map[string]int // of the batches in the list
			single bool           // the item of the batch of one
		}{
			"creator":           {clerk, []string{two.ID, one.ID}, map[string]int{one.ID: 3, two.ID: 1}, true},
			"creator who moved": {moved, []string{two.ID, one.ID}, map[string]int{one.ID: 2, two.ID: 0}, false},
			"reports": {operator(t, f, "reports", domain.PermReports), []string{two.ID, one.ID}, map[string]int{one.ID: 3, two.ID: 1},
				true},
			"reports of a department": {f.Caller(t, "local", chief.ID, issuertest.Grants{domain.PermReports: domain.ScopeDepartment}),
				[]string{one.ID},
				map[string]int{one.ID: 1}, false},
			"reports of oneself": {f.Caller(t, "own", chief.ID, issuertest.Grants{domain.PermReports: domain.ScopeSelf}), nil, nil, false},
			"another operator":   {operator(t, f, "other", domain.PermDisable), nil, nil, false},
		} {
			t.Run(name, func(t *testing.T) {
				all, err := f.Issuer.Batches(t.Context(), c.caller, issuer.BatchFilter{}, "", 10)
				require.NoError(t, err)
				var ids []string
				for _, x := range all {
					ids = append(ids, x.ID)
				}
				require.Equal(t, c.list, ids)
				for _, id := range []string{one.ID, two.ID} {
					items, err := f.Issuer.BatchItems(t.Context(), c.caller, id, "", 0, 10)
					if !slices.Contains(c.list, id) {
						codeIs(t, domain.CodeNotFound, err)
						_, err := f.Issuer.Batch(t.Context(), c.caller, id)
						codeIs(t, domain.CodeNotFound, err)
						continue
					}
					require.NoError(t, err)
					require.Len(t, items, c.items[id])
				}
				if slices.Contains(c.list, two.ID) {
					got, err := f.Issuer.Batch(t.Context(), c.caller, two.ID)
					require.NoError(t, err)
					require.Equal(t, c.single, got.Item != nil)
				}
			})
		}
		_, err = f.Issuer.Batches(t.Context(), operator(t, f, "stranger", domain.PermAudit), issuer.BatchFilter{}, "", 10)
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.BatchItems(t.Context(), clerk, one.ID, "", 0, 0)
		codeIs(t, domain.CodeInvalid, err)
	})
}

func TestBatchInput(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	profile := f.Profile(t, "licence")
	d := f.Issue(t, f.Person(t).ID, profile.ID)
	tooMany := make([]string, issuer.MostSelected+1)
	for i := range tooMany {
		tooMany[i] = nobodyID
	}
	documents, people := []string{d.ID, nobodyID}, []string{d.PersonID, nobodyID}
	for name, c := range map[string]struct {
		in     issuer.NewBatch
		fields []string
	}{
		"no operation":    {issuer.NewBatch{Documents: documents}, []string{"operation"}},
		"other operation": {issuer.NewBatch{Operation: "erase", Documents: documents}, []string{"operation"}},
		"no selection":    {issuer.NewBatch{Operation: domain.BatchEnable}, []string{"operation"}},
		"two selections": {issuer.NewBatch{Operation: domain.BatchEnable, Documents: documents, DocumentFilter: &issuer.DocumentFilter{}},
			[]string{"operation"}},
		"people to enable": {issuer.NewBatch{Operation: domain.BatchEnable, People: people}, []string{"people"}},
		"documents to get": {issuer.NewBatch{Operation: domain.BatchRequest, Documents: documents, ProfileID: profile.ID},
			[]string{"documents"}},
		"no profile": {issuer.NewBatch{Operation: domain.BatchRequest, People: people}, []string{"profile_id"}},
		"profile too much": {issuer.NewBatch{Operation: domain.BatchEnable, Documents: documents, ProfileID: profile.ID},
			[]string{"profile_id"}},
		"not a day": {issuer.NewBatch{Operation: domain.BatchRequest, People: people, ProfileID: profile.ID, ExpiryDate: "soon"},
			[]string{"expiry_date"}},
		"reason missing": {issuer.NewBatch{Operation: domain.BatchCancel, Documents: documents}, []string{"reason"}},
		"reason unknown": {issuer.NewBatch{Operation: domain.BatchCancel, Documents: documents, Reason: "x"}, []string{"reason"}},
		"reason to enable": {issuer.NewBatch{Operation: domain.BatchEnable, Documents: documents, Reason: domain.ReasonLost},
			[]string{"reason"}},
		"reason to request": {issuer.NewBatch{Operation: domain.BatchRequest, People: people, ProfileID: profile.ID,
			Reason: domain.ReasonLost}, []string{"reason"}},
		"long notes": {issuer.NewBatch{Operation: domain.BatchRequest, People: people, ProfileID: profile.ID, Notes: strings.Repeat("x", 2001)},
			[]string{"notes"}},
		"long notes to enable": {issuer.NewBatch{Operation: domain.BatchEnable, Documents: documents, Notes: strings.Repeat("x", 2001)},
			[]string{"notes"}},
		"not ids":            {issuer.NewBatch{Operation: domain.BatchEnable, Documents: []string{"1"}}, []string{"documents"}},
		"too many":           {issuer.NewBatch{Operation: domain.BatchEnable, Documents: tooMany}, []string{"documents"}},
		"group of the named": {issuer.NewBatch{Operation: domain.BatchEnable, Documents: documents, Group: "Traffic"}, []string{"group"}},
		"several": {issuer.NewBatch{Operation: domain.BatchCancel, Notes: strings.Repeat("x", 2001), Documents: []string{"1"}, ExpiryDate: "x"},
			[]string{"documents", "expiry_date", "reason", "notes"}},
		"several to update": {issuer.NewBatch{Operation: domain.BatchUpdate, Notes: strings.Repeat("x", 2001), Documents: []string{"1"},
			ExpiryDate: "2030-01-01"}, []string{"documents", "expiry_date", "reason", "notes"}},
		"people to update": {issuer.NewBatch{Operation: domain.BatchUpdate, People: people, Reason: domain.ReasonReprovision}, []string{"people"}},
		"reason not reprovision": {issuer.NewBatch{Operation: domain.BatchUpdate, Documents: documents, Reason: domain.ReasonLost},
			[]string{"reason"}},
		"reprovision to cancel": {issuer.NewBatch{Operation: domain.BatchCancel, Documents: documents, Reason: domain.ReasonReprovision},
			[]string{"reason"}},
	} {
		t.Run(name, func(t *testing.T) {
			head := f.AuditHead(t)
			_, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "", c.in)
			codeIs(t, domain.CodeInvalid, err)
			require.Equal(t, c.fields, fieldsOf(t, err))
			_, err = f.Issuer.PreviewBatch(t.Context(), f.Admin(), c.in)
			codeIs(t, domain.CodeInvalid, err)
			require.Equal(t, head, f.AuditHead(t))
		})
	}
	_, err := f.Issuer.CreateBatch(t.Context(), f.Admin(), "", issuer.NewBatch{Operation: domain.BatchRequest, People: people,
		ProfileID: nobodyID})
	codeIs(t, domain.CodeNotFound, err)
	_, err = f.Issuer.CreateBatch(t.Context(), f.Admin(), "", issuer.NewBatch{Operation: domain.BatchUpdate, Documents: documents,
		ProfileID: nobodyID, Reason: domain.ReasonReprovision})
	codeIs(t, domain.CodeNotFound, err)
	for _, op := range domain.BatchOperations() {
		_, err := f.Issuer.CreateBatch(t.Context(), operator(t, f, "none-"+string(op)), "", issuer.NewBatch{Operation: op})
		codeIs(t, domain.CodeForbidden, err)
	}
	_, err = f.Issuer.BeginBatch(t.Context(), nobodyID)
	codeIs(t, domain.CodeNotFound, err)
	_, err = f.Issuer.EndBatch(t.Context(), nobodyID)
	codeIs(t, domain.CodeNotFound, err)
	codeIs(t, domain.CodeNotFound, f.Issuer.RunBatch(t.Context(), messages.BatchPage{BatchID: nobodyID, From: 1, To: 1}, goOn))
}
