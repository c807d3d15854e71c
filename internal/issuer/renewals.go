package issuer

import (
	"context"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// A renewal is an update that nobody asked for (F6): it goes the way of every update, with the system as the one who asks.

// notLonger is why a document is not renewed for the sake of its end: the new version would end at the same time.
const notLonger = "not_longer"

// renewal is what came of looking whether a document can be renewed: an update, a refusal, or neither where something is under way that
// comes first.
type renewal struct {
	update  *domain.Request
	refused string // a code, or notLonger
	why     string
}

// prepareRenewal holds a renewal to the rules of an update. Nobody's roles count. It came in by the channel of the request that brought
// the document: a bound on what holders get for themselves holds on.
func (is *Issuer) prepareRenewal(ctx context.Context, d store.DueDocument, cause domain.RenewalCause) (renewal, error) {
	waits, err := is.openWishes(ctx, is.Store.Queries, d.Document)
	if err != nil {
		return renewal{}, err
	}
	if updateAllowed(is.asOfNow(d.Document), waits) != nil {
		return renewal{refused: d.Plan.Refused}, nil
	}
	origin, err := is.Store.Request(ctx, d.RequestID)
	if err != nil {
		return renewal{}, fmt.Errorf("load request: %w", err)
	}
	f, err := is.requestFacts(ctx, domain.System(), NewRequest{PersonID: d.PersonID, ProfileID: d.ProfileID, ExpiryDate: origin.ExpiryDate,
		replaces: d.ID})
	if err != nil {
		return refusedRenewal(d, err)
	}
	f.Channel, f.ActorRoles = origin.Channel, f.Profile.Options.CanRequest
	verdict := f.Judge()
	if err := verdict.Err(); err != nil {
		return refusedRenewal(d, err)
	}
	if cause == domain.RenewalForExpiry && !d.Gains(verdict.ValidUntil) {
		return renewal{refused: notLonger, why: "a new version would not last longer"}, nil
	}
	return renewal{update: &domain.Request{ID: newID(), PersonID: d.PersonID, ProfileID: d.ProfileID, Channel: f.Channel,
		RequestedBy: domain.System().AccountID, State: domain.RequestReceived, ExpiryDate: origin.ExpiryDate, Replaces: d.ID,
		BlockGroup: f.Profile.BlockGroup(), Blocking: f.Profile.Options.BlockMultipleRequests, CreatedAt: f.Now, UpdatedAt: f.Now}}, nil
}

// refusedRenewal turns what the rules say into the outcome; other errors stay errors. Something under way is no refusal.
func refusedRenewal(d store.DueDocument, err error) (renewal, error) {
	refused, ok := asDomain(err)
	switch {
	case !ok:
		return renewal{}, err
	case refused.Code == domain.CodeConflict || refused.Code == domain.CodeWrongState:
		return renewal{refused: d.Plan.Refused}, nil
	}
	return renewal{refused: string(refused.Code), why: refused.Error()}, nil
}

// recordRenewal is the part in the transaction: the update, or the entry for the audit that says why there is none. The same refusal is
// told once.
func (is *Issuer) recordRenewal(ctx context.Context, tx *store.Tx, d store.DueDocument, cause domain.RenewalCause, r *renewal) (
	[]domain.AuditEntry, error) {
	if r.update != nil {
		e, err := is.insertUpdate(ctx, tx, domain.System(), *r.update, "renewed: "+cause.Told())
		if err != nil {
			return nil, err
		}
		return []domain.AuditEntry{e}, nil
	}
	if r.refused == "" || r.refused == d.Plan.Refused {
		return nil, nil
	}
	e := is.entry(domain.System(), "document.refuse_renewal", d.ID)
	e.PersonID, e.RequestID, e.DocumentID = d.PersonID, d.RequestID, d.ID
	e.Reason, e.Notes = r.refused, cut(cause.Told()+", but "+r.why, maxNote)
	return []domain.AuditEntry{e}, nil
}

// startRenewal starts the update on its way. One that cannot be started is found by the reconciler.
func (is *Issuer) startRenewal(ctx context.Context, r domain.Request) {
	if err := is.Engine.StartIssuance(ctx, r.ID); err != nil {
		is.Log.WarnContext(ctx, "renewal accepted, workflow not started yet", "request_id", r.ID, "code", string(domain.CodeOf(err)))
	}
}
