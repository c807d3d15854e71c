package issuer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/engine"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// TestLostAnswers carries acts out and loses the answer, as when a repetition finds the workflow ended: whoever acted learns that it is done, and it
// is done once.
func TestLostAnswers(t *testing.T) {
	for name, lost := range map[string]error{"workflow ended": engine.ErrNoWorkflow,
		"refused by the next one": domain.Errorf(domain.CodeWrongState, "too late"),
		"no answer in time":       domain.Errorf(domain.CodeEngineUnavailable, "try again")} {
		t.Run(name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
				ctx := t.Context()
				person := f.Person(t)
				plain := f.Profile(t, "plain")
				guarded := f.Profile(t, "guarded", func(o *domain.ProfileOptions) { o.ValidateIssuance, o.ValidateCancellation = true, true })
				approver := operator(t, f, "approver", domain.PermApprove)
				document, _ := issue(t, f, person, f.Profile(t, "kept", func(o *domain.ProfileOptions) { o.ValidateCancellation = true }), 1)
				wish, err := f.Issuer.RequestCancellation(ctx, f.Admin(), "", issuer.NewCancellation{DocumentID: document.ID, Reason: domain.ReasonLost})
				require.NoError(t, err)
				canceled, rejected, approved := newRequest(t, f, person, plain), newRequest(t, f, person, guarded), newRequest(t, f, person, guarded)

				f.Engine.LoseAnswers(lost)
				defer f.Engine.LoseAnswers(nil)
				r, err := f.Issuer.CancelRequest(ctx, f.Admin(), canceled.ID, "")
				require.NoError(t, err)
				require.Equal(t, domain.RequestCanceled, r.State)
				r, err = f.Issuer.Reject(ctx, approver, rejected.ID, "no")
				require.NoError(t, err)
				require.Equal(t, domain.RequestRejected, r.State)
				r, err = f.Issuer.Approve(ctx, approver, approved.ID, issuer.Approval{})
				require.NoError(t, err)
				require.Equal(t, 1, r.Generation)
				c, err := f.Issuer.ApproveCancellation(ctx, approver, wish.ID, "")
				require.NoError(t, err)
				require.Equal(t, domain.CancellationApproved, c.State)
			})
		})
	}
}
