package issuer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/verifier"
)

// What becomes of the documents a person has when the next one is collected (B4).
func TestReissue(t *testing.T) {
	const (
		sameProfile = iota
		sameGroup
		otherGroup
		noGroup
		kinds
	)
	type states [kinds]domain.DocumentState
	const active, disabled, canceled = domain.DocumentActive, domain.DocumentDisabled, domain.DocumentCanceled
	cases := map[string]struct {
		group string
		on    domain.OnReissue
		over  bool
		want  states
	}{
		"keep":                  {"g", domain.ReissueKeep, false, states{active, active, active, active}},
		"disable":               {"g", domain.ReissueDisable, false, states{disabled, disabled, active, active}},
		"cancel":                {"g", domain.ReissueCancel, false, states{canceled, canceled, active, active}},
		"keep but over":         {"g", domain.ReissueKeep, true, states{canceled, active, active, active}},
		"disable and over":      {"g", domain.ReissueDisable, true, states{canceled, disabled, active, active}},
		"no group":              {"", domain.ReissueCancel, false, states{active, active, active, active}},
		"no group, but over":    {"", domain.ReissueCancel, true, states{canceled, active, active, active}},
		"default is to disable": {"g", "", false, states{disabled, disabled, active, active}},
	}
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				group := func(g string) func(*domain.ProfileOptions) {
					return func(o *domain.ProfileOptions) { o.CredentialGroup, o.OnReissue = g, domain.ReissueKeep }
				}
				prefix := strings.NewReplacer(" ", "-", ",", "").Replace(name)
				profiles := [kinds]domain.Profile{f.Profile(t, prefix+"-same", group(c.group)), f.Profile(t, prefix+"-group", group("g")),
					f.Profile(t, prefix+"-other", group("h")), f.Profile(t, prefix+"-none", group(""))}
				person := f.Person(t)
				var old [kinds]domain.Document
				for i, p := range profiles {
					old[i], _ = issue(t, f, person, p, 1)
				}
				stranger, _ := issue(t, f, f.Person(t), profiles[sameProfile], 1)

				o := profiles[sameProfile].Options
				o.OnReissue, o.IssueOverExisting = c.on, c.over
				_, err := f.Issuer.ChangeProfile(t.Context(), f.Admin(), profiles[sameProfile].ID, 1, issuer.SaveProfile{Options: o})
				require.NoError(t, err)
				fresh, signed := issue(t, f, person, profiles[sameProfile], 2)
				require.True(t, verify(t, f, signed[0]).OK())
				var got states
				for i, d := range old {
					now, err := f.Store.Document(t.Context(), d.ID)
					require.NoError(t, err)
					got[i] = now.State
					if now.State == active {
						continue
					}
					history, err := f.Issuer.DocumentHistory(t.Context(), f.Admin(), d.ID, 0, 0)
					require.NoError(t, err)
					last := history[len(history)-1]
					require.Equal(t, "document.reissue", last.Action)
					require.Equal(t, "replaced by "+fresh.ID, last.Notes)
				}
				require.Equal(t, c.want, got)
				other, err := f.Store.Document(t.Context(), stranger.ID)
				require.NoError(t, err)
				require.Equal(t, active, other.State, "somebody else's documents are not touched")
			})
		}
	})
}

// One bit for the mDL: disabling does not show in the list, canceling does and for good. Two bits for the badge: suspended and back.
func TestStatusBits(t *testing.T) {
	type step struct {
		act    domain.DocumentAct
		status verifier.Status
		state  domain.DocumentState
	}
	const disable, enable, cancel = domain.DocumentDisable, domain.DocumentEnable, domain.DocumentCancel
	for name, c := range map[string]struct {
		format string
		steps  []step
	}{
		"mDL": {"iso-mdl", []step{
			{disable, verifier.StatusValid, domain.DocumentDisabled},
			{enable, verifier.StatusValid, domain.DocumentActive},
			{disable, verifier.StatusValid, domain.DocumentDisabled},
			{cancel, verifier.StatusInvalid, domain.DocumentCanceled},
		}},
		"badge": {"staff-badge", []step{
			{disable, verifier.StatusSuspended, domain.DocumentDisabled},
			{enable, verifier.StatusValid, domain.DocumentActive},
			{disable, verifier.StatusSuspended, domain.DocumentDisabled},
			{cancel, verifier.StatusInvalid, domain.DocumentCanceled},
		}},
		"at once": {"staff-badge", []step{{cancel, verifier.StatusInvalid, domain.DocumentCanceled}}},
	} {
		t.Run(name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
				ctx := t.Context()
				profile := f.Profile(t, "p", func(o *domain.ProfileOptions) { o.Format = c.format })
				d, signed := issue(t, f, f.Person(t), profile, 3)
				_, bystander := issue(t, f, f.Person(t), profile, 1)
				for _, s := range c.steps {
					view, err := f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, s.act, domain.ReasonLost, "told by telephone\nat noon")
					require.NoError(t, err)
					require.Equal(t, s.state, view.State)
					for _, b := range signed {
						require.Equal(t, s.status, verify(t, f, b).Status, "every copy, after %s", s.act)
					}
					online, err := f.Issuer.VerifySerial(ctx, d.Serial, "s")
					require.NoError(t, err)
					require.Equal(t, s.state, online.State)
					require.Equal(t, s.state == domain.DocumentActive, online.Valid, "online, disabled is not valid whatever the bits")
				}
				require.True(t, verify(t, f, bystander[0]).OK())
				for _, act := range []domain.DocumentAct{disable, enable, cancel} {
					_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, act, domain.ReasonLost, "")
					codeIs(t, domain.CodeWrongState, err, "canceled is for good")
				}
				history, err := f.Issuer.DocumentHistory(ctx, f.Admin(), d.ID, 0, 0)
				require.NoError(t, err)
				last := history[len(history)-1]
				require.Equal(t, "document.cancel", last.Action)
				require.Equal(t, "lost", last.Reason)
				require.Equal(t, "told by telephone\nat noon", last.Notes)
			})
		})
	}
}

func TestDocumentActsRefused(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person := f.Person(t)
		d, _ := issue(t, f, person, f.Profile(t, "mdl"), 1)
		guarded, _ := issue(t, f, person, f.Profile(t, "guarded", func(o *domain.ProfileOptions) { o.ValidateCancellation = true }), 1)
		reader := operator(t, f, "reader", domain.PermDocumentsRead)
		self := f.Caller(t, "self", f.Person(t).ID, issuertest.Grants{domain.PermDisable: domain.ScopeSelf, domain.PermDocumentsRead: domain.ScopeSelf})
		owner := f.Caller(t, "owner", person.ID, issuertest.Grants{domain.PermDisable: domain.ScopeSelf, domain.PermDocumentsRead: domain.ScopeSelf})
		for name, c := range map[string]struct {
			caller domain.Caller
			id     string
			act    domain.DocumentAct
			reason domain.CancelReason
			notes  string
			want   domain.Code
		}{
			"no permission":       {reader, d.ID, domain.DocumentDisable, domain.ReasonLost, "", domain.CodeForbidden},
			"another's document":  {self, d.ID, domain.DocumentDisable, domain.ReasonLost, "", domain.CodeNotFound},
			"unknown":             {f.Admin(), "none", domain.DocumentDisable, domain.ReasonLost, "", domain.CodeNotFound},
			"no reason":           {f.Admin(), d.ID, domain.DocumentCancel, "", "", domain.CodeInvalid},
			"another reason":      {f.Admin(), d.ID, domain.DocumentDisable, "bored", "", domain.CodeInvalid},
			"notes too long":      {f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, strings.Repeat("ä", 2001), domain.CodeInvalid},
			"notes not text":      {f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, "a\x00b", domain.CodeInvalid},
			"unknown act":         {f.Admin(), d.ID, "burn", domain.ReasonLost, "", domain.CodeForbidden},
			"not disabled":        {f.Admin(), d.ID, domain.DocumentEnable, "", "", domain.CodeWrongState},
			"needs another's nod": {f.Admin(), guarded.ID, domain.DocumentCancel, domain.ReasonLost, "", domain.CodeApprovalRequired},
		} {
			head := f.AuditHead(t)
			_, err := f.Issuer.ChangeDocument(ctx, c.caller, c.id, c.act, c.reason, c.notes)
			codeIs(t, c.want, err, name)
			require.Equal(t, head, f.AuditHead(t), name)
		}
		_, err := f.Issuer.ChangeDocument(ctx, owner, d.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err)

		// Every document tells what the caller may do, and why not.
		view, err := f.Issuer.Document(ctx, f.Admin(), guarded.ID)
		require.NoError(t, err)
		codes := map[domain.DocumentAct]domain.Code{}
		for _, a := range view.AllowedActs {
			codes[a.Act] = a.Code
			require.Equal(t, a.Allowed, a.Why == "")
		}
		require.Subset(t, codes, map[domain.DocumentAct]domain.Code{domain.DocumentDisable: "", domain.DocumentEnable: domain.CodeWrongState,
			domain.DocumentCancel: domain.CodeApprovalRequired})
		listed, err := f.Issuer.Documents(ctx, reader, issuer.DocumentFilter{PersonID: person.ID}, "", 0)
		require.NoError(t, err)
		require.Len(t, listed, 2)
		for _, a := range append(listed[0].AllowedActs, listed[1].AllowedActs...) {
			require.Equal(t, domain.CodeForbidden, a.Code)
		}

		// Scope self sees its own only.
		_, err = f.Issuer.Document(ctx, self, d.ID)
		codeIs(t, domain.CodeNotFound, err)
		_, err = f.Issuer.DocumentHistory(ctx, self, d.ID, 0, 0)
		codeIs(t, domain.CodeNotFound, err)
		for _, want := range []issuer.DocumentFilter{{}, {PersonID: person.ID}} {
			mine, err := f.Issuer.Documents(ctx, self, want, "", 0)
			require.NoError(t, err)
			require.Empty(t, mine)
		}
		mine, err := f.Issuer.Documents(ctx, owner, issuer.DocumentFilter{}, "", 0)
		require.NoError(t, err)
		require.Len(t, mine, 2)
		_, err = f.Issuer.Documents(ctx, operator(t, f, "nobody"), issuer.DocumentFilter{}, "", 0)
		codeIs(t, domain.CodeForbidden, err)
		for _, limit := range []int{-1, 501} {
			_, err = f.Issuer.Documents(ctx, f.Admin(), issuer.DocumentFilter{}, "", limit)
			codeIs(t, domain.CodeInvalid, err)
		}
		_, err = f.Issuer.Documents(ctx, f.Admin(), issuer.DocumentFilter{}, "not an id", 0)
		codeIs(t, domain.CodeInvalid, err)
	})
}

func TestExpiredDocuments(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		d, signed := issue(t, f, f.Person(t), f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.LifetimeDays = 10 }), 1)
		count := func(state domain.DocumentState) int {
			docs, err := f.Issuer.Documents(ctx, f.Admin(), issuer.DocumentFilter{State: state}, "", 0)
			require.NoError(t, err)
			for _, d := range docs {
				require.Equal(t, state, d.State, "the filter and what is shown agree")
			}
			return len(docs)
		}
		require.Equal(t, []int{1, 0}, []int{count(domain.DocumentActive), count(domain.DocumentExpired)})
		f.Clock.Advance(10 * 24 * time.Hour)
		require.Equal(t, []int{0, 1}, []int{count(domain.DocumentActive), count(domain.DocumentExpired)})
		online, err := f.Issuer.VerifySerial(ctx, d.Serial, "s")
		require.NoError(t, err)
		require.Equal(t, domain.DocumentExpired, online.State)
		require.False(t, online.Valid)
		require.NotEmpty(t, verify(t, f, signed[0]).Problems)
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentCancel, domain.ReasonLost, "")
		codeIs(t, domain.CodeWrongState, err)
	})
}

// Operators act on one document at once: whatever wins, status list and state agree (checkInvariants), and nobody is told of a success that was not.
func TestParallelDocumentActs(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "badge", func(o *domain.ProfileOptions) { o.Format = "staff-badge" })
		d, _ := issue(t, f, f.Person(t), profile, 1)
		var g errgroup.Group
		acts := []domain.DocumentAct{domain.DocumentDisable, domain.DocumentEnable, domain.DocumentDisable, domain.DocumentCancel, domain.DocumentCancel}
		errs := make([]error, len(acts))
		for i, act := range acts {
			g.Go(func() error {
				_, errs[i] = f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, act, domain.ReasonOther, "")
				return nil
			})
		}
		require.NoError(t, g.Wait())
		succeeded := 0
		for _, err := range errs {
			if err == nil {
				succeeded++
				continue
			}
			require.Contains(t, []domain.Code{domain.CodeWrongState, domain.CodeConflict}, domain.CodeOf(err), "%v", err)
		}
		history, err := f.Issuer.DocumentHistory(t.Context(), f.Admin(), d.ID, 0, 0)
		require.NoError(t, err)
		changes := 0
		for _, action := range actionsOf(history) {
			if strings.HasPrefix(action, "document.") && action != "document.prepare" {
				changes++
			}
		}
		require.Equal(t, succeeded, changes)
		require.Positive(t, changes)
	})
}

func TestOnlineStatus(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		d, _ := issue(t, f, f.Person(t), f.Profile(t, "mdl"), 1)
		got, err := f.Issuer.VerifySerial(ctx, d.Serial, "192.0.2.1")
		require.NoError(t, err)
		require.Equal(t, issuer.OnlineStatus{Serial: d.Serial, DocType: d.DocType, State: domain.DocumentActive, Valid: true,
			ValidFrom: d.ValidFrom.Format(time.RFC3339), ValidUntil: d.ValidUntil.Format(time.RFC3339)}, got)
		for _, serial := range []string{"", "none", "a\x00", strings.ToLower(d.Serial)} {
			_, err = f.Issuer.VerifySerial(ctx, serial, "192.0.2.1")
			codeIs(t, domain.CodeNotFound, err)
		}
		for range 55 {
			_, err = f.Issuer.VerifySerial(ctx, d.Serial, "192.0.2.1")
			require.NoError(t, err)
		}
		_, err = f.Issuer.VerifySerial(ctx, d.Serial, "192.0.2.1")
		codeIs(t, domain.CodeRateLimited, err)
		require.NotEmpty(t, detail(t, err, "retry_after"))
		_, err = f.Issuer.VerifySerial(ctx, d.Serial, "192.0.2.2")
		require.NoError(t, err)
	})
}
