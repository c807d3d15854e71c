package issuer_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/workflows/messages"
)

// updateAll asks for updates of documents by one batch.
func updateAll(t *testing.T, f *issuertest.Fixture, caller domain.Caller, in issuer.NewBatch) issuer.BatchView {
	t.Helper()
	in.Operation, in.Reason = domain.BatchUpdate, domain.ReasonReprovision
	b, err := f.Issuer.CreateBatch(t.Context(), caller, "", in)
	require.NoError(t, err)
	return b
}

// itemsOf gives the items of a batch by the document that was selected.
func itemsOf(t *testing.T, f *issuertest.Fixture, caller domain.Caller, batchID string) map[string]domain.BatchItem {
	t.Helper()
	items, err := f.Issuer.BatchItems(t.Context(), caller, batchID, "", 0, 500)
	require.NoError(t, err)
	out := map[string]domain.BatchItem{}
	for _, it := range items {
		out[it.SubjectID] = it
	}
	return out
}

// Each document gets the update that the single act would make, or its refusal, word for word (G1, G3).
func TestBatchOfUpdates(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		in := func(group string) func(*domain.Person) { return inGroup(t, f, group) }
		profile, other := guardedProfile(t, f, "licence"), f.Profile(t, "other")
		chief := f.Person(t, in("Traffic"))
		clerk := f.Caller(t, "clerk", chief.ID, issuertest.Grants{domain.PermUpdate: domain.ScopeDepartment})
		issued := func(profile domain.Profile) domain.Document {
			return f.Issue(t, f.Person(t, in("Traffic")).ID, profile.ID)
		}

		wallet := hold(t, f, f.Person(t, in("Traffic")), profile, 1)
		good := []domain.Document{wallet.document}
		for range 8 { // more than one page
			good = append(good, issued(profile))
		}
		disabled, canceled, leaving, updated, bare := issued(profile), issued(profile), issued(profile), issued(profile), issued(profile)
		_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), disabled.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err)
		c := askToCancel(t, f, canceled.ID)
		_, err = f.Issuer.ApproveCancellation(ctx, operator(t, f, "boss", domain.PermApprove), c.ID, "")
		require.NoError(t, err)
		askToCancel(t, f, leaving.ID)
		askUpdate(t, f, updated.ID)
		lacking, err := f.Store.Person(ctx, bare.PersonID)
		require.NoError(t, err)
		lacking.BirthDate = ""
		_, err = f.Issuer.UpdatePerson(ctx, f.Admin(), lacking)
		require.NoError(t, err)
		ofOther, far := issued(other), f.Issue(t, f.Person(t, in("Parks")).ID, profile.ID)
		bad := map[string]domain.Code{disabled.ID: domain.CodeWrongState, canceled.ID: domain.CodeWrongState, leaving.ID: domain.CodeConflict,
			updated.ID: domain.CodeConflict, bare.ID: domain.CodeMissingData, ofOther.ID: domain.CodeInvalid, far.ID: domain.CodeNotFound,
			nobodyID: domain.CodeNotFound}

		chosen := issuer.NewBatch{ProfileID: profile.ID, Notes: "new law"}
		for _, d := range good {
			chosen.Documents = append(chosen.Documents, d.ID)
		}
		for id := range bad {
			chosen.Documents = append(chosen.Documents, id)
		}
		preview := chosen
		preview.Operation, preview.Reason = domain.BatchUpdate, domain.ReasonReprovision
		foreseen, err := f.Issuer.PreviewBatch(ctx, clerk, preview)
		require.NoError(t, err)
		require.Equal(t, profile.ID, foreseen.Profile.ID)
		require.Equal(t, []int{17, 17}, []int{foreseen.Total, foreseen.Checked})
		require.Equal(t, []issuer.RefusedItems{{Code: domain.CodeConflict, Count: 2}, {Code: domain.CodeInvalid, Count: 1},
			{Code: domain.CodeMissingData, Count: 1}, {Code: domain.CodeNotFound, Count: 2}, {Code: domain.CodeWrongState, Count: 2}}, foreseen.Refused)

		before := len(entriesOf(t, f, "request.update"))
		b := updateAll(t, f, clerk, chosen)
		require.Equal(t, []any{domain.BatchCompleted, 17, len(good), len(bad)}, []any{b.State, b.Total, b.Completed, b.Failed})
		items := itemsOf(t, f, clerk, b.ID)
		for id, code := range bad {
			_, err := f.Issuer.UpdateDocument(ctx, clerk, "", issuer.NewUpdate{DocumentID: id, ProfileID: profile.ID, Reason: "reprovision"})
			codeIs(t, code, err)
			require.Equal(t, []any{domain.ItemFailed, code, err.Error(), ""},
				[]any{items[id].State, items[id].Code, items[id].Message, items[id].RequestID})
		}
		var asked []string
		for _, d := range good {
			it := items[d.ID]
			require.Equal(t, []any{domain.ItemCompleted, d.ID, d.Serial, d.PersonID, d.Platform},
				[]any{it.State, it.DocumentID, it.Serial, it.PersonID, it.Platform})
			r := reload(t, f, it.RequestID)
			require.Equal(t, []any{domain.RequestUpdate, d.ID, clerk.AccountID, domain.RequestByOperator, domain.RequestAwaitingCollection},
				[]any{r.Kind(), r.Replaces, r.RequestedBy, r.Channel, r.State}, "its workflow was started")
			messages, err := f.Issuer.RequestMessages(ctx, f.Admin(), r.ID)
			require.NoError(t, err)
			require.Len(t, messages, 1)
			require.Equal(t, domain.MessageReprovision, messages[0].Kind)
			asked = append(asked, r.ID)
		}
		entries := entriesOf(t, f, "request.update")[before:]
		require.Len(t, entries, len(good), "each item once")
		for _, e := range entries {
			require.Equal(t, []any{clerk.AccountID, domain.ReasonReprovision, "new law", b.ID, domain.Change{After: "received"}},
				[]any{e.Actor, e.Reason, e.Notes, e.Changes["batch"].After, e.Changes["state"]})
			require.Equal(t, items[e.DocumentID].RequestID, e.RequestID)
			require.Contains(t, asked, e.RequestID)
		}

		token := renew(t, f, wallet.token.RefreshToken)
		require.True(t, token.UpdateAvailable)
		_, err = collect(ctx, f, profile, token.AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		require.Equal(t, domain.DocumentSuperseded, state(t, f, wallet.document.ID))
		it := itemsOf(t, f, clerk, b.ID)[wallet.document.ID]
		require.Equal(t, wallet.document.Serial, it.Serial, "an item stays that of the document that was selected")
	})
}

// Two documents of one person, of a profile that lets one request of its group be open at a time: the first is updated, as if they had been asked for
// one after the other.
func TestBatchOfUpdatesKeepsToTheBlock(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person := f.Person(t)
		profile := f.Profile(t, "licence", func(o *domain.ProfileOptions) { o.OnReissue = domain.ReissueKeep })
		docs := []string{f.Issue(t, person.ID, profile.ID).ID, f.Issue(t, person.ID, profile.ID).ID, f.Issue(t, f.Person(t).ID, profile.ID).ID}
		o := profile.Options
		o.BlockMultipleRequests = true
		_, err := f.Issuer.ChangeProfile(t.Context(), f.Admin(), profile.ID, profile.Version, issuer.SaveProfile{Options: o})
		require.NoError(t, err)
		slices.Sort(docs[:2])
		b := updateAll(t, f, f.Admin(), issuer.NewBatch{Documents: docs})
		require.Equal(t, map[string]domain.Code{docs[0]: "", docs[1]: domain.CodeRequestOpen, docs[2]: ""}, outcome(t, f, f.Admin(), b.ID))
		open, err := f.Store.OpenRequests(t.Context(), person.ID)
		require.NoError(t, err)
		require.Len(t, open, 1)
		require.Equal(t, docs[0], open[0].Replaces)
	})
}

// One selected is the single update (G1), with the engine away: nothing is lost.
func TestBatchOfOneUpdate(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		d := f.Issue(t, f.Person(t).ID, f.Profile(t, "licence").ID)
		f.Engine.SetDown(true)
		b := updateAll(t, f, f.Admin(), issuer.NewBatch{DocumentFilter: &issuer.DocumentFilter{Serial: d.Serial}})
		require.Equal(t, domain.BatchCompleted, b.State)
		require.Equal(t, []any{domain.ItemCompleted, d.ID, d.Serial}, []any{b.Item.State, b.Item.DocumentID, b.Item.Serial})
		require.Equal(t, domain.RequestReceived, reload(t, f, b.Item.RequestID).State)
		again := updateAll(t, f, f.Admin(), issuer.NewBatch{Documents: []string{d.ID}})
		require.Equal(t, domain.CodeConflict, again.Item.Code)
		require.NotEqual(t, b.ID, again.ID)

		f.Engine.SetDown(false)
		f.Clock.Advance(time.Minute)
		_, err := f.Issuer.Reconcile(t.Context(), f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Equal(t, domain.RequestAwaitingCollection, reload(t, f, b.Item.RequestID).State)
	})
}

// The worker dies between a commit and what follows it, at any place, again and again: every document has one update in the end, and every update its
// workflow (G2).
func TestBatchOfUpdatesSurvivesCrashes(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := f.Profile(t, "licence")
		const many = 230 // three chunks
		docs := make([]string, many)
		for i := range docs {
			docs[i] = f.Issue(t, f.Person(t).ID, profile.ID).ID
		}
		f.Engine.SetDown(true)
		b := updateAll(t, f, f.Admin(), issuer.NewBatch{Documents: docs})
		_, err := f.Issuer.BeginBatch(ctx, b.ID)
		require.NoError(t, err)
		page := messages.BatchPage{BatchID: b.ID, From: 1, To: many}
		dies := func(int) error { return errCrash }
		for range 3 {
			require.ErrorIs(t, f.Issuer.RunBatch(ctx, page, dies), errCrash, "a chunk is committed, and nobody knows")
		}
		require.NoError(t, f.Issuer.RunBatch(ctx, page, goOn))
		result, err := f.Issuer.EndBatch(ctx, b.ID)
		require.NoError(t, err)
		require.Equal(t, messages.BatchResult{Total: many, Completed: many}, result)
		require.Len(t, entriesOf(t, f, "request.update"), many)
		open, err := f.Store.OpenUpdates(ctx, docs...)
		require.NoError(t, err)
		require.Len(t, open, many)

		require.Error(t, f.Issuer.StartRequests(ctx, page, goOn), "the engine is away")
		f.Engine.SetDown(false)
		require.ErrorIs(t, f.Issuer.StartRequests(ctx, page, dies), errCrash)
		require.Equal(t, domain.RequestReceived, reload(t, f, open[many-1].ID).State)
		var g errgroup.Group
		for range 2 {
			g.Go(func() error { return again(func() error { return f.Issuer.StartRequests(ctx, page, goOn) }) })
		}
		require.NoError(t, g.Wait())
		for _, r := range open {
			require.NotEqual(t, domain.RequestReceived, reload(t, f, r.ID).State)
			sent, err := f.Issuer.RequestMessages(ctx, f.Admin(), r.ID)
			require.NoError(t, err)
			require.Len(t, sent, 1)
		}
		require.NoError(t, f.Issuer.StartRequests(ctx, page, func(int) error { return errors.New("something was left") }))
	})
}
