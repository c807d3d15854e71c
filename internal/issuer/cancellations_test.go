package issuer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/verifier"
	"github.com/mdocket/mdocket/workflows/messages"
)

// guardedProfile is a profile whose documents are canceled with approval only.
func guardedProfile(t *testing.T, f *issuertest.Fixture, name string) domain.Profile {
	t.Helper()
	return f.Profile(t, name, func(o *domain.ProfileOptions) { o.ValidateCancellation = true })
}

// askToCancel asks as the administrator.
func askToCancel(t *testing.T, f *issuertest.Fixture, documentID string) domain.Cancellation {
	t.Helper()
	c, err := f.Issuer.RequestCancellation(t.Context(), f.Admin(), "", issuer.NewCancellation{DocumentID: documentID,
		Reason: domain.ReasonLost, Notes: "in the train"})
	require.NoError(t, err)
	return c
}

func cancellationNow(t *testing.T, f *issuertest.Fixture, id string) domain.Cancellation {
	t.Helper()
	c, err := f.Store.Cancellation(t.Context(), id)
	require.NoError(t, err)
	return c
}

func stateOf(t *testing.T, f *issuertest.Fixture, documentID string) domain.DocumentState {
	t.Helper()
	d, err := f.Store.Document(t.Context(), documentID)
	require.NoError(t, err)
	return d.State
}

// allowedActs gives the code of each act on a document, empty where it is allowed, as read and as listed.
func allowedActs(t *testing.T, f *issuertest.Fixture, documentID string) map[domain.DocumentAct]domain.Code {
	t.Helper()
	view, err := f.Issuer.Document(t.Context(), f.Admin(), documentID)
	require.NoError(t, err)
	listed, err := f.Issuer.Documents(t.Context(), f.Admin(), issuer.DocumentFilter{Serial: view.Serial}, "", 0)
	require.NoError(t, err)
	require.Equal(t, []issuer.DocumentView{view}, listed)
	out := map[domain.DocumentAct]domain.Code{}
	for _, a := range view.AllowedActs {
		out[a.Act] = a.Code
	}
	return out
}

func TestCancellationApproved(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		d, signed := issue(t, f, f.Person(t), guardedProfile(t, f, "guarded"), 2)
		require.Equal(t, map[domain.DocumentAct]domain.Code{"disable": "", "enable": domain.CodeWrongState,
			"cancel": domain.CodeApprovalRequired, "request_cancel": "", "update": ""}, allowedActs(t, f, d.ID))
		_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentCancel, domain.ReasonLost, "")
		codeIs(t, domain.CodeApprovalRequired, err)
		require.Equal(t, "request_cancel", detail(t, err, "act"))
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentRequestCancel, domain.ReasonLost, "")
		codeIs(t, domain.CodeWrongState, err, "asking is no change")

		c := askToCancel(t, f, d.ID)
		require.Equal(t, domain.CancellationAwaitingApproval, c.State)
		require.WithinDuration(t, f.Clock.Now().Add(30*24*time.Hour), c.Deadline, time.Minute)
		require.Equal(t, domain.DocumentActive, stateOf(t, f, d.ID), "until it is approved nothing changes")
		require.Equal(t, domain.CodeConflict, allowedActs(t, f, d.ID)[domain.DocumentRequestCancel])
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err, "it may be disabled meanwhile")

		boss := operator(t, f, "boss", domain.PermApprove)
		approved, err := f.Issuer.ApproveCancellation(ctx, boss, c.ID, "seen the report")
		require.NoError(t, err)
		require.Equal(t, domain.CancellationApproved, approved.State)
		require.Equal(t, []string{boss.AccountID, "seen the report"}, []string{approved.DecidedBy, approved.DecisionReason})
		require.Equal(t, domain.DocumentCanceled, stateOf(t, f, d.ID))
		require.Equal(t, domain.CodeWrongState, allowedActs(t, f, d.ID)[domain.DocumentRequestCancel])
		for _, s := range signed {
			require.Equal(t, verifier.StatusInvalid, verify(t, f, s).Status, "every copy is revoked")
		}

		history, err := f.Issuer.DocumentHistory(ctx, f.Admin(), d.ID, 0, 0)
		require.NoError(t, err)
		last := history[len(history)-5:]
		require.Equal(t, []string{"cancellation.create", "cancellation.begin", "document.disable", "cancellation.approve", "document.cancel"},
			actionsOf(last))
		require.Equal(t, []string{f.Admin().AccountID, "lost", "in the train", c.ID}, []string{last[0].Actor, last[0].Reason, last[0].Notes,
			last[0].Subject})
		require.Equal(t, []string{boss.AccountID, "seen the report"}, []string{last[3].Actor, last[3].Reason})
		require.Equal(t, []string{boss.AccountID, "lost", "in the train"}, []string{last[4].Actor, last[4].Reason, last[4].Notes})
		require.Equal(t, domain.Change{Before: "disabled", After: "canceled"}, last[4].Changes["state"])
	})
}

// Whatever decided first stays; the second learns who it was.
func TestCancellationDecisions(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		d, _ := issue(t, f, f.Person(t), guardedProfile(t, f, "guarded"), 1)
		boss, other := operator(t, f, "boss", domain.PermApprove), operator(t, f, "other", domain.PermApprove, domain.PermCancel)
		first := askToCancel(t, f, d.ID)
		_, err := f.Issuer.RejectCancellation(ctx, boss, first.ID, "")
		codeIs(t, domain.CodeInvalid, err)
		_, err = f.Issuer.RejectCancellation(ctx, boss, first.ID, strings.Repeat("a", 1001))
		codeIs(t, domain.CodeInvalid, err)
		rejected, err := f.Issuer.RejectCancellation(ctx, boss, first.ID, "no proof")
		require.NoError(t, err)
		require.Equal(t, domain.CancellationRejected, rejected.State)
		// Somebody else's later decision is refused, before the workflow is asked and after it was lost.
		for range 2 {
			_, err = f.Issuer.ApproveCancellation(ctx, other, first.ID, "")
			codeIs(t, domain.CodeAlreadyDecided, err)
			require.Equal(t, []string{"rejected", boss.AccountID}, []string{detail(t, err, "decision"), detail(t, err, "decided_by")})
			f.Engine.Forget(first.ID)
		}
		_, err = f.Issuer.WithdrawCancellation(ctx, f.Admin(), first.ID, "")
		codeIs(t, domain.CodeWrongState, err)
		require.Equal(t, domain.DocumentActive, stateOf(t, f, d.ID))

		second := askToCancel(t, f, d.ID)
		withdrawn, err := f.Issuer.WithdrawCancellation(ctx, other, second.ID, "found again")
		require.NoError(t, err, "an operator who may cancel")
		require.Equal(t, domain.CancellationWithdrawn, withdrawn.State)
		require.Empty(t, withdrawn.DecidedBy)
		_, err = f.Issuer.ApproveCancellation(ctx, boss, second.ID, "")
		codeIs(t, domain.CodeWrongState, err)
		require.Equal(t, "withdrawn", detail(t, err, "state"))

		third := askToCancel(t, f, d.ID)
		f.Engine.Forget(third.ID)
		_, err = f.Issuer.WithdrawCancellation(ctx, f.Admin(), third.ID, "")
		require.NoError(t, err, "who asked; a lost workflow is started anew")
	})
}

func TestCancellationsRefused(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		holder := f.Person(t)
		guarded, _ := issue(t, f, holder, guardedProfile(t, f, "guarded"), 1)
		plain, _ := issue(t, f, holder, f.Profile(t, "plain"), 1)
		over, _ := issue(t, f, holder, f.Profile(t, "over", func(o *domain.ProfileOptions) {
			o.ValidateCancellation, o.LifetimeDays = true, 1
		}), 1)
		f.Clock.Advance(25 * time.Hour)
		open, _ := issue(t, f, holder, guardedProfile(t, f, "open"), 1)
		c := askToCancel(t, f, open.ID)
		self := f.Caller(t, "self", holder.ID, issuertest.Grants{domain.PermCancel: domain.ScopeSelf, domain.PermApprove: domain.ScopeSelf})
		stranger := f.Caller(t, "stranger", f.Person(t).ID, issuertest.Grants{domain.PermCancel: domain.ScopeSelf, domain.PermApprove: domain.ScopeSelf})
		holderBoss := f.Caller(t, "holder-boss", holder.ID, issuertest.All(domain.PermApprove))
		reader := operator(t, f, "reader", domain.PermDocumentsRead)
		boss := operator(t, f, "boss", domain.PermApprove)
		head := f.AuditHead(t)

		for name, x := range map[string]struct {
			caller domain.Caller
			in     issuer.NewCancellation
			want   domain.Code
		}{
			"no permission":      {boss, issuer.NewCancellation{DocumentID: guarded.ID, Reason: "lost"}, domain.CodeForbidden},
			"another's document": {stranger, issuer.NewCancellation{DocumentID: guarded.ID, Reason: "lost"}, domain.CodeNotFound},
			"unknown":            {f.Admin(), issuer.NewCancellation{DocumentID: "none", Reason: "lost"}, domain.CodeNotFound},
			"no reason":          {f.Admin(), issuer.NewCancellation{DocumentID: guarded.ID}, domain.CodeInvalid},
			"unknown reason":     {f.Admin(), issuer.NewCancellation{DocumentID: guarded.ID, Reason: "bored"}, domain.CodeInvalid},
			"long notes": {f.Admin(), issuer.NewCancellation{DocumentID: guarded.ID, Reason: "lost", Notes: strings.Repeat("a", 2001)},
				domain.CodeInvalid},
			"no approval needed": {f.Admin(), issuer.NewCancellation{DocumentID: plain.ID, Reason: "lost"}, domain.CodeWrongState},
			"expired document":   {f.Admin(), issuer.NewCancellation{DocumentID: over.ID, Reason: "lost"}, domain.CodeWrongState},
			"asked already":      {f.Admin(), issuer.NewCancellation{DocumentID: open.ID, Reason: "lost"}, domain.CodeConflict},
		} {
			_, err := f.Issuer.RequestCancellation(ctx, x.caller, "", x.in)
			codeIs(t, x.want, err, name)
		}
		_, err := f.Issuer.RequestCancellation(ctx, f.Admin(), "", issuer.NewCancellation{DocumentID: open.ID, Reason: "lost"})
		require.Equal(t, c.ID, detail(t, err, "cancellation_id"))

		approve := func(caller domain.Caller, id string) error {
			_, err := f.Issuer.ApproveCancellation(ctx, caller, id, "")
			return err
		}
		reject := func(caller domain.Caller, id string) error {
			_, err := f.Issuer.RejectCancellation(ctx, caller, id, "no")
			return err
		}
		withdraw := func(caller domain.Caller, id string) error {
			_, err := f.Issuer.WithdrawCancellation(ctx, caller, id, "")
			return err
		}
		read := func(caller domain.Caller, id string) error {
			_, err := f.Issuer.Cancellation(ctx, caller, id)
			return err
		}
		for name, x := range map[string]struct {
			act    func(domain.Caller, string) error
			caller domain.Caller
			id     string
			want   domain.Code
		}{
			"approve without permission":  {approve, reader, c.ID, domain.CodeForbidden},
			"approve one's own wish":      {approve, f.Admin(), c.ID, domain.CodeSelfApproval},
			"approve one's own document":  {approve, holderBoss, c.ID, domain.CodeSelfApproval},
			"approve in scope self":       {approve, self, c.ID, domain.CodeSelfApproval},
			"approve out of scope":        {approve, stranger, c.ID, domain.CodeNotFound},
			"approve unknown":             {approve, boss, "none", domain.CodeNotFound},
			"reject one's own wish":       {reject, f.Admin(), c.ID, domain.CodeSelfApproval},
			"reject out of scope":         {reject, stranger, c.ID, domain.CodeNotFound},
			"withdraw as approver":        {withdraw, boss, c.ID, domain.CodeForbidden},
			"withdraw out of scope":       {withdraw, stranger, c.ID, domain.CodeNotFound},
			"withdraw without permission": {withdraw, reader, c.ID, domain.CodeForbidden},
			"read without permission":     {read, reader, c.ID, domain.CodeForbidden},
			"read out of scope":           {read, stranger, c.ID, domain.CodeNotFound},
			"read unknown":                {read, boss, "none", domain.CodeNotFound},
		} {
			codeIs(t, x.want, x.act(x.caller, x.id), name)
		}
		require.Equal(t, head, f.AuditHead(t), "what is refused changes nothing")
		require.NoError(t, read(boss, c.ID))
		require.NoError(t, read(self, c.ID))

		list := func(caller domain.Caller, want issuer.CancellationFilter) []domain.Cancellation {
			all, err := f.Issuer.Cancellations(ctx, caller, want, "", 0)
			require.NoError(t, err)
			return all
		}
		reviews := func(caller domain.Caller) []domain.Cancellation {
			all, err := f.Issuer.CancellationReviews(ctx, caller, "", 0)
			require.NoError(t, err)
			return all
		}
		for _, caller := range []domain.Caller{f.Admin(), boss, self} {
			require.Equal(t, []domain.Cancellation{c}, list(caller, issuer.CancellationFilter{DocumentID: open.ID}))
		}
		require.Empty(t, list(stranger, issuer.CancellationFilter{}))
		require.Empty(t, list(stranger, issuer.CancellationFilter{PersonID: holder.ID}))
		_, err = f.Issuer.Cancellations(ctx, reader, issuer.CancellationFilter{}, "", 0)
		codeIs(t, domain.CodeForbidden, err)
		require.Equal(t, []domain.Cancellation{c}, reviews(boss))
		for name, caller := range map[string]domain.Caller{"asked": f.Admin(), "holds": holderBoss, "self": self} {
			require.Empty(t, reviews(caller), name)
		}
		_, err = f.Issuer.CancellationReviews(ctx, reader, "", 0)
		codeIs(t, domain.CodeForbidden, err)
		_, err = f.Issuer.CancellationReviews(ctx, boss, "not an id", 0)
		codeIs(t, domain.CodeInvalid, err)
	})
}

func TestCancellationIdempotency(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		d, _ := issue(t, f, f.Person(t), guardedProfile(t, f, "guarded"), 1)
		in := issuer.NewCancellation{DocumentID: d.ID, Reason: domain.ReasonStolen}
		ids := make([]string, 6)
		var g errgroup.Group
		for i := range ids {
			g.Go(func() error {
				c, err := f.Issuer.RequestCancellation(ctx, f.Admin(), "k1", in)
				ids[i] = c.ID
				return err
			})
		}
		require.NoError(t, g.Wait())
		c, err := f.Issuer.RequestCancellation(ctx, f.Admin(), "k1", in)
		require.NoError(t, err)
		for _, id := range ids {
			require.Equal(t, c.ID, id)
		}
		in.Notes = "other"
		_, err = f.Issuer.RequestCancellation(ctx, f.Admin(), "k1", in)
		codeIs(t, domain.CodeIdempotencyReused, err)
	})
}

// An accepted cancellation is never lost, and its deadline is kept.
func TestCancellationWithoutEngine(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		d, _ := issue(t, f, f.Person(t), guardedProfile(t, f, "guarded"), 1)
		boss := operator(t, f, "boss", domain.PermApprove)
		f.Engine.SetDown(true)
		c := askToCancel(t, f, d.ID)
		require.Equal(t, domain.CancellationReceived, c.State)
		_, err := f.Issuer.ApproveCancellation(ctx, boss, c.ID, "")
		codeIs(t, domain.CodeEngineUnavailable, err)
		f.Clock.Advance(11 * time.Second)
		_, err = f.Issuer.Reconcile(ctx, f.Engine.StartIssuance)
		codeIs(t, domain.CodeEngineUnavailable, err)
		f.Engine.SetDown(false)
		n, err := f.Issuer.Reconcile(ctx, f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, domain.CancellationAwaitingApproval, cancellationNow(t, f, c.ID).State)
		n, err = f.Issuer.Reconcile(ctx, f.Engine.StartIssuance)
		require.NoError(t, err)
		require.Zero(t, n)

		snap, err := f.Issuer.ExpireCancellation(ctx, c.ID)
		require.NoError(t, err)
		require.Equal(t, domain.CancellationAwaitingApproval, snap.State, "not before the deadline")
		f.Clock.Advance(721 * time.Hour)
		for range 2 {
			snap, err = f.Issuer.ExpireCancellation(ctx, c.ID)
			require.NoError(t, err)
			require.Equal(t, messages.CancellationSnapshot{State: domain.CancellationExpired}, snap)
		}
		require.Equal(t, domain.DocumentActive, stateOf(t, f, d.ID))
		_, err = f.Issuer.ApproveCancellation(ctx, boss, c.ID, "")
		codeIs(t, domain.CodeWrongState, err)
		for name, call := range map[string]func(context.Context, string) (messages.CancellationSnapshot, error){
			"begin": f.Issuer.BeginCancellation, "expire": f.Issuer.ExpireCancellation,
			"apply": func(ctx context.Context, id string) (messages.CancellationSnapshot, error) {
				return f.Issuer.ApplyCancellation(ctx, messages.CancellationActRef{CancellationID: id, ActID: id})
			},
		} {
			_, err := call(ctx, "none")
			codeIs(t, domain.CodeNotFound, err, name)
		}
	})
}

// The wish ends with the document: when that runs out, and when it is canceled in another way.
func TestCancellationEndsWithItsDocument(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		boss := operator(t, f, "boss", domain.PermApprove)
		short, _ := issue(t, f, f.Person(t), f.Profile(t, "short", func(o *domain.ProfileOptions) {
			o.ValidateCancellation, o.LifetimeDays = true, 3
		}), 1)
		c := askToCancel(t, f, short.ID)
		require.Equal(t, short.ValidUntil, c.Deadline, "sooner than the deadline of approvals")

		direct := guardedProfile(t, f, "direct")
		person := f.Person(t)
		canceled, _ := issue(t, f, person, direct, 1)
		byHand := askToCancel(t, f, canceled.ID)
		replaced, _ := issue(t, f, person, f.Profile(t, "replacing", func(o *domain.ProfileOptions) {
			o.ValidateCancellation, o.IssueOverExisting = true, true
		}), 1)
		byReissue := askToCancel(t, f, replaced.ID)

		o := direct.Options
		o.ValidateCancellation = false
		_, err := f.Issuer.ChangeProfile(ctx, f.Admin(), direct.ID, direct.Version, issuer.SaveProfile{Options: o})
		require.NoError(t, err)
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), canceled.ID, domain.DocumentCancel, domain.ReasonStolen, "")
		require.NoError(t, err)
		replacing, err := f.Store.ProfileByName(ctx, "replacing")
		require.NoError(t, err)
		issue(t, f, person, replacing, 1)

		f.Clock.Advance(73 * time.Hour)
		_, err = f.Issuer.ApproveCancellation(ctx, boss, c.ID, "")
		codeIs(t, domain.CodeWrongState, err, "the document is over")
		require.Equal(t, "expired", detail(t, err, "state"))
		_, err = f.Issuer.ExpireCancellation(ctx, c.ID)
		require.NoError(t, err)
		for name, x := range map[string]domain.Cancellation{"time": c, "by hand": byHand, "reissue": byReissue} {
			require.Equal(t, domain.CancellationExpired, cancellationNow(t, f, x.ID).State, name)
			_, err = f.Issuer.ApproveCancellation(ctx, boss, x.ID, "")
			codeIs(t, domain.CodeWrongState, err, name)
			history, err := f.Issuer.DocumentHistory(ctx, f.Admin(), x.DocumentID, 0, 0)
			require.NoError(t, err)
			last := history[len(history)-1]
			require.Equal(t, []string{"cancellation.expire", "system", x.ID}, []string{last.Action, last.Actor, last.Subject}, name)
		}
		require.Equal(t, domain.DocumentCanceled, stateOf(t, f, replaced.ID))
	})
}

// An approval that the engine repeats is one cancellation.
func TestCancellationAppliesOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		d, _ := issue(t, f, f.Person(t), guardedProfile(t, f, "guarded"), 1)
		c := askToCancel(t, f, d.ID)
		_, err := f.Issuer.ApproveCancellation(ctx, operator(t, f, "boss", domain.PermApprove), c.ID, "")
		require.NoError(t, err)
		var actID string
		require.NoError(t, rawSQL(t, f).QueryRowContext(ctx, `SELECT id FROM cancellation_acts`).Scan(&actID))
		head := f.AuditHead(t)
		snap, err := f.Issuer.ApplyCancellation(ctx, messages.CancellationActRef{CancellationID: c.ID, ActID: actID})
		require.NoError(t, err)
		require.Equal(t, domain.CancellationApproved, snap.State)
		snap, err = f.Issuer.BeginCancellation(ctx, c.ID)
		require.NoError(t, err)
		require.Equal(t, domain.CancellationApproved, snap.State)
		require.Equal(t, head, f.AuditHead(t))
	})
}
