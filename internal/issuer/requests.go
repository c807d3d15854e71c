package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/failpoint"
	"github.com/mdocket/mdocket/internal/store"
)

// NewRequest is a wish for a document.
type NewRequest struct {
	PersonID   string      `json:"person_id"`
	ProfileID  string      `json:"profile_id"`
	ExpiryDate domain.Date `json:"expiry_date,omitempty"` // last day of validity; empty = as the profile says

	replaces string // of an update: the document
}

// Preview tells what a request would do, before anything is created (C1).
type Preview struct {
	NeedsApproval     bool
	Approvers         int  // how many accounts could decide on it now; 0 when none has to
	NeedsDataApproval bool // the document cannot be collected before the person's data are approved
	Deliveries        []PreviewDelivery
	ValidUntil        domain.Date
	Problems          []PreviewProblem // why the request would be refused; empty = it would be accepted
}

// PreviewDelivery is one message that would be sent, and where; the address is masked.
type PreviewDelivery struct {
	Channel domain.Channel
	Kind    domain.MessageKind
	To      string
}

// PreviewProblem is one thing that is in the way of a request.
type PreviewProblem struct {
	Code    domain.Code
	Field   string
	Problem string
}

// CreateRequest accepts a request (C1, C2). Once it is accepted it is never lost: if the engine is down, the reconciler starts it later.
func (is *Issuer) CreateRequest(ctx context.Context, caller domain.Caller, key string, in NewRequest) (domain.Request, error) {
	if err := is.mayRequest(ctx, caller, "person", in.PersonID); err != nil {
		return domain.Request{}, err
	}
	id, replayed, err := is.replay(ctx, caller, "request.create", key, in)
	if err != nil {
		return domain.Request{}, err
	}
	if !replayed {
		if id, err = is.acceptRequest(ctx, caller, key, in); err != nil {
			return domain.Request{}, err
		}
		failpoint.Hit("request.committed")
	}
	if err := is.Engine.StartIssuance(ctx, id); err != nil {
		is.Log.WarnContext(ctx, "request accepted, workflow not started yet", "request_id", id, "code", string(domain.CodeOf(err)))
	}
	failpoint.Hit("request.started")
	r, err := is.Store.Request(ctx, id)
	return r, found(err, "request")
}

// acceptRequest stores a request that the rules allow and gives its id.
func (is *Issuer) acceptRequest(ctx context.Context, caller domain.Caller, key string, in NewRequest) (string, error) {
	const act = "request.create"
	r, err := is.prepareRequest(ctx, caller, in)
	if err != nil {
		// A call with the same key may just have been accepted, and its request be the one in the way.
		if id, replayed, replayErr := is.replay(ctx, caller, act, key, in); replayErr == nil && replayed {
			return id, nil
		}
		return "", err
	}
	id, _, err := is.create(ctx, caller, act, key, in, r.ID, func(tx *store.Tx) error {
		e, err := is.insertRequest(ctx, tx, caller, r)
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, e)
	})
	return id, err
}

// prepared is a request as it is to be stored, or why there is none.
type prepared struct {
	request domain.Request
	err     error
}

// prepareRequest holds a new request to the rules and gives it as it is to be stored.
func (is *Issuer) prepareRequest(ctx context.Context, caller domain.Caller, in NewRequest) (domain.Request, error) {
	return theOne(is.prepareRequests(ctx, caller, in))
}

func theOne(all []prepared, err error) (domain.Request, error) {
	if err != nil {
		return domain.Request{}, err
	}
	return all[0].request, all[0].err
}

// prepareRequests is prepareRequest for many wishes, in the same order: each as if those before it that are allowed were there.
func (is *Issuer) prepareRequests(ctx context.Context, caller domain.Caller, wishes ...NewRequest) ([]prepared, error) {
	all, err := is.requestFactsOf(ctx, caller, wishes...)
	if err != nil {
		return nil, err
	}
	out := make([]prepared, len(wishes))
	allowed := map[string][]domain.Request{} // by person
	for i, in := range wishes {
		f := all[i]
		if f.err != nil {
			out[i].err = f.err
			continue
		}
		if f.Profile.MeetsOthers() {
			f.OpenRequests = slices.Concat(f.OpenRequests, allowed[in.PersonID])
		}
		if out[i].err = f.Judge().Err(); out[i].err != nil {
			continue
		}
		r := domain.Request{ID: newID(), PersonID: in.PersonID, ProfileID: in.ProfileID, Channel: f.Channel, RequestedBy: caller.AccountID,
			State: domain.RequestReceived, ExpiryDate: in.ExpiryDate, Replaces: in.replaces, BlockGroup: f.Profile.BlockGroup(),
			Blocking: f.Profile.Options.BlockMultipleRequests, CreatedAt: f.Now, UpdatedAt: f.Now}
		out[i].request, allowed[in.PersonID] = r, append(allowed[in.PersonID], r)
	}
	return out, nil
}

// requestFacts loads what the rules of a new request look at. Whoever may request for a person may see the person's requests, so a refusal may name
// the one that is in the way.
func (is *Issuer) requestFacts(ctx context.Context, caller domain.Caller, in NewRequest) (domain.Facts, error) {
	all, err := is.requestFactsOf(ctx, caller, in)
	if err != nil {
		return domain.Facts{}, err
	}
	return all[0].Facts, all[0].err
}

// requestFactsOf is requestFacts for many wishes, as factsOf is for facts.
func (is *Issuer) requestFactsOf(ctx context.Context, caller domain.Caller, wishes ...NewRequest) ([]loaded, error) {
	all, err := is.factsOf(ctx, domain.AtRequest, wishes...)
	if err != nil {
		return nil, err
	}
	requests, err := is.Store.OpenRequests(ctx, peopleOf(all, domain.Profile.MeetsOthers)...)
	if err != nil {
		return nil, fmt.Errorf("load open requests: %w", err)
	}
	open := by(requests, func(r domain.Request) string { return r.PersonID })
	for i, in := range wishes {
		f := &all[i]
		f.Update, f.Channel, f.ActorRoles = in.replaces != "", channelOf(caller, in.PersonID), caller.Roles
		f.OnScreen = f.Channel == domain.RequestByHolder && caller.Has(domain.PermCollect)
		if f.Profile.MeetsOthers() {
			f.OpenRequests = open[f.Person.ID]
		}
	}
	return all, nil
}

// insertRequest is the part in the transaction of a request that the rules allow; it gives the entry for the audit.
func (is *Issuer) insertRequest(ctx context.Context, tx *store.Tx, caller domain.Caller, r domain.Request) (domain.AuditEntry, error) {
	entries, err := is.insertRequests(ctx, tx, caller, r)
	if err != nil {
		return domain.AuditEntry{}, err
	}
	return entries[0], nil
}

// insertRequests is insertRequest for many at once; one that is refused refuses all.
func (is *Issuer) insertRequests(ctx context.Context, tx *store.Tx, caller domain.Caller, all ...domain.Request) ([]domain.AuditEntry, error) {
	if err := holdBlock(ctx, tx, all...); err != nil {
		return nil, err
	}
	err := tx.InsertRequests(ctx, all)
	if errors.Is(err, store.ErrExists) {
		return nil, domain.RequestOpen()
	}
	if err != nil {
		return nil, fmt.Errorf("insert requests: %w", err)
	}
	entries := make([]domain.AuditEntry, len(all))
	for i, r := range all {
		entries[i] = is.transition(caller, "request.create", r, "")
	}
	return entries, nil
}

// PreviewRequest checks a request and tells what would be sent where, who would be asked, and everything that is in the way.
func (is *Issuer) PreviewRequest(ctx context.Context, caller domain.Caller, in NewRequest) (Preview, error) {
	if err := is.mayRequest(ctx, caller, "person", in.PersonID); err != nil {
		return Preview{}, err
	}
	f, err := is.requestFacts(ctx, caller, in)
	if err != nil {
		return Preview{}, err
	}
	verdict := f.Judge()
	out := Preview{NeedsApproval: f.Profile.Options.ValidateIssuance, NeedsDataApproval: f.NeedsDataApproval()}
	if out.NeedsApproval {
		approvers, err := is.approvers(ctx, f.Person, f.Profile, caller.AccountID)
		if err != nil {
			return Preview{}, err
		}
		out.Approvers = len(approvers)
	}
	for _, d := range f.Deliveries() {
		out.Deliveries = append(out.Deliveries, PreviewDelivery{Channel: d.Channel, Kind: d.Kind, To: mask(addressOf(f.Person, d.Channel))})
	}
	if !verdict.ValidUntil.IsZero() {
		out.ValidUntil = domain.DateOf(verdict.ValidUntil)
	}
	for _, refused := range verdict.Refusals {
		for _, finding := range refused.Findings() {
			out.Problems = append(out.Problems, PreviewProblem{Code: refused.Code, Field: finding.Field, Problem: finding.Problem})
		}
	}
	return out, nil
}

// mask leaves enough of an address to recognise it.
func mask(address string) string {
	if local, host, ok := strings.Cut(address, "@"); ok {
		_, first := utf8.DecodeRuneInString(local)
		return local[:first] + "…@" + host
	}
	if len(address) > 4 {
		return "…" + address[len(address)-3:]
	}
	return ""
}

// mayRequest: for others with request, for oneself with request_self too.
func (is *Issuer) mayRequest(ctx context.Context, caller domain.Caller, what, personID string) error {
	if caller.Owns(personID) && caller.Has(domain.PermRequestSelf) {
		return nil
	}
	return is.needFor(ctx, caller, domain.PermRequest, what, personID)
}

func channelOf(caller domain.Caller, personID string) domain.RequestChannel {
	switch {
	case caller.Owns(personID):
		return domain.RequestByHolder
	case caller.Machine:
		return domain.RequestByClient
	}
	return domain.RequestByOperator
}

// Request reads one request.
func (is *Issuer) Request(ctx context.Context, caller domain.Caller, id string) (domain.Request, error) {
	return is.visibleRequest(ctx, caller, id)
}

// seesRequests gives whose requests the caller may see: of those they may request, approve or update for, and their own.
func seesRequests(caller domain.Caller) (domain.Within, error) {
	if err := needAny(caller, domain.PermRequest, domain.PermApprove, domain.PermUpdate, domain.PermRequestSelf); err != nil {
		return domain.Within{}, err
	}
	w := caller.Within(domain.PermRequest, domain.PermApprove, domain.PermUpdate)
	if w.Nobody() && caller.Has(domain.PermRequestSelf) {
		w.PersonID = caller.PersonID
	}
	return w, nil
}

// visibleRequest loads a request that the caller may see; to others it looks as if it did not exist.
func (is *Issuer) visibleRequest(ctx context.Context, caller domain.Caller, id string) (domain.Request, error) {
	w, err := seesRequests(caller)
	if err != nil {
		return domain.Request{}, err
	}
	r, err := is.Store.Request(ctx, id)
	if err != nil {
		return r, found(err, "request")
	}
	if err := is.needReach(ctx, w, "request", r.PersonID); err != nil {
		return domain.Request{}, err
	}
	return r, nil
}

// Requests lists requests, newest first.
func (is *Issuer) Requests(ctx context.Context, caller domain.Caller, want store.RequestFilter, after string, limit int) ([]domain.Request, error) {
	var err error
	if want.Within, err = seesRequests(caller); err != nil {
		return nil, err
	}
	return is.listRequests(ctx, want, after, limit)
}

// Reviews lists what waits for this approver: in scope, of profiles for one of their roles, not asked for by and not for themself (C3).
func (is *Issuer) Reviews(ctx context.Context, caller domain.Caller, after string, limit int) ([]domain.Request, error) {
	if err := caller.Need(domain.PermApprove); err != nil {
		return nil, err
	}
	notMine, err := is.notMyProfiles(ctx, caller.Roles)
	if err != nil {
		return nil, err
	}
	return is.listRequests(ctx, store.RequestFilter{Within: caller.Within(domain.PermApprove), State: domain.RequestAwaitingApproval,
		NotRequestedBy: caller.AccountID, NotForPerson: caller.PersonID, NotOfProfiles: notMine}, after, limit)
}

func (is *Issuer) listRequests(ctx context.Context, want store.RequestFilter, after string, limit int) ([]domain.Request, error) {
	pg, err := page(after, limit)
	if err != nil {
		return nil, err
	}
	out, err := is.Store.Requests(ctx, want, pg)
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return out, nil
}

// Timeline lists what happened to a request, oldest first, from the audit entry after the given one on (C4, J2).
func (is *Issuer) Timeline(ctx context.Context, caller domain.Caller, id string, after int64, limit int) ([]domain.AuditEntry, error) {
	if _, err := is.visibleRequest(ctx, caller, id); err != nil {
		return nil, err
	}
	return is.happened(ctx, store.AuditFilter{RequestID: id}, after, limit)
}

// transition is the audit entry of a request that came into the state it has now.
func (is *Issuer) transition(caller domain.Caller, action string, r domain.Request, from domain.RequestState) domain.AuditEntry {
	e := is.entry(caller, action, r.ID)
	e.PersonID, e.RequestID, e.DocumentID, e.Channel = r.PersonID, r.ID, r.DocumentID, string(r.Channel)
	if from != r.State {
		e.Changes = map[string]domain.Change{"state": {Before: string(from), After: string(r.State)}}
		is.Metrics.RequestEntered(string(r.State))
	}
	return e
}
