package issuer

import (
	"context"
	"fmt"
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
}

// Preview tells what a request would do, before anything is created (C1).
type Preview struct {
	NeedsApproval bool
	Deliveries    []PreviewDelivery
	ValidUntil    domain.Date
	Problems      []domain.FieldError // why the request would be refused; empty = it would be accepted
}

// PreviewDelivery is one message that would be sent, and where; the address is masked.
type PreviewDelivery struct {
	Channel domain.Channel
	Kind    domain.MessageKind
	To      string
}

// eligible is everything a request's rules look at.
type eligible struct {
	person   domain.Person
	profile  domain.Profile
	settings domain.Settings
	expiry   domain.Date
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
		el, err := is.loadEligible(ctx, in)
		if err != nil {
			return domain.Request{}, err
		}
		if err := is.checkEligible(ctx, el); err != nil {
			return domain.Request{}, err
		}
		now := is.Now()
		r := domain.Request{ID: newID(), PersonID: in.PersonID, ProfileID: in.ProfileID, Channel: channelOf(caller, in.PersonID),
			RequestedBy: caller.AccountID, State: domain.RequestReceived, ExpiryDate: in.ExpiryDate, CreatedAt: now, UpdatedAt: now}
		id, _, err = is.create(ctx, caller, "request.create", key, in, r.ID, func(tx *store.Tx) error {
			if err := tx.InsertRequest(ctx, r); err != nil {
				return fmt.Errorf("insert request: %w", err)
			}
			return tx.AppendAudit(ctx, is.transition(caller, "request.create", r, ""))
		})
		if err != nil {
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

// PreviewRequest checks a request and tells what would be sent where.
func (is *Issuer) PreviewRequest(ctx context.Context, caller domain.Caller, in NewRequest) (Preview, error) {
	if err := is.mayRequest(ctx, caller, "person", in.PersonID); err != nil {
		return Preview{}, err
	}
	el, err := is.loadEligible(ctx, in)
	if err != nil {
		return Preview{}, err
	}
	out := Preview{NeedsApproval: el.profile.Options.ValidateIssuance}
	for _, d := range el.profile.Options.NotificationScheme.Deliveries() {
		to := mask(el.person.Email)
		if d.Channel == domain.ChannelSMS {
			to = mask(el.person.Mobile)
		}
		out.Deliveries = append(out.Deliveries, PreviewDelivery{Channel: d.Channel, Kind: d.Kind, To: to})
	}
	if until, err := is.validUntil(ctx, el); err == nil {
		out.ValidUntil = domain.DateOf(until)
	}
	if err := is.checkEligible(ctx, el); err != nil {
		refused, ok := asDomain(err)
		if !ok {
			return Preview{}, err
		}
		out.Problems = refused.Fields
		if len(out.Problems) == 0 {
			out.Problems = []domain.FieldError{{Field: string(refused.Code), Problem: refused.Message}}
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

func (is *Issuer) loadEligible(ctx context.Context, in NewRequest) (eligible, error) {
	el := eligible{expiry: in.ExpiryDate}
	var err error
	if _, err := domain.ParseDate(string(in.ExpiryDate)); err != nil {
		return el, invalid("expiry_date", "must be a day as YYYY-MM-DD")
	}
	if el.person, err = is.Store.Person(ctx, in.PersonID); err != nil {
		return el, found(err, "person")
	}
	if el.profile, err = is.loadProfile(ctx, in.ProfileID); err != nil {
		return el, err
	}
	el.settings, err = loadSettings(ctx, is.Store.Queries)
	return el, err
}

// checkEligible holds the rules of a request, checked when it is made and again when it is approved.
func (is *Issuer) checkEligible(ctx context.Context, el eligible) error {
	if el.person.Status != domain.PersonActive {
		return domain.Errorf(domain.CodePersonInactive, "only an active person can receive a document")
	}
	if err := checkContact(el); err != nil {
		return err
	}
	f, ok := is.Formats.Get(el.profile.Options.Format)
	if !ok {
		return unknownFormat()
	}
	if err := f.Check(el.person); err != nil {
		return err
	}
	_, err := is.validUntil(ctx, el)
	return err
}

// checkContact: only the contact data that the chosen delivery needs is required, and its channels must be on.
func checkContact(el eligible) error {
	var missing, off domain.Problems
	seen := map[domain.Channel]bool{}
	for _, d := range el.profile.Options.NotificationScheme.Deliveries() {
		if seen[d.Channel] {
			continue
		}
		seen[d.Channel] = true
		switch d.Channel {
		case domain.ChannelEmail:
			if el.person.Email == "" {
				missing.Add("email", "is needed by the profile's notification scheme")
			}
			if !el.settings.EmailEnabled {
				off.Add("email_enabled", "is off, and the profile's notification scheme needs e-mail")
			}
		case domain.ChannelSMS:
			if el.person.Mobile == "" {
				missing.Add("mobile", "is needed by the profile's notification scheme")
			}
			if !el.settings.SMSEnabled {
				off.Add("sms_enabled", "is off, and the profile's notification scheme needs SMS")
			}
		}
	}
	if err := off.Err(domain.CodeChannelOff, "a channel is switched off"); err != nil {
		return err
	}
	return missing.Err(domain.CodeMissingContact, "contact data is missing")
}

// Request reads one request.
func (is *Issuer) Request(ctx context.Context, caller domain.Caller, id string) (domain.Request, error) {
	return is.visibleRequest(ctx, caller, id)
}

// seesRequests gives whose requests the caller may see: of those they may request or approve for, and their own.
func seesRequests(caller domain.Caller) (domain.Within, error) {
	if !caller.Has(domain.PermRequest) && !caller.Has(domain.PermApprove) && !caller.Has(domain.PermRequestSelf) {
		return domain.Within{}, caller.Need(domain.PermRequest)
	}
	w := caller.Within(domain.PermRequest, domain.PermApprove)
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

// Reviews lists what waits for this approver: in scope, not asked for by and not for themself (C3).
func (is *Issuer) Reviews(ctx context.Context, caller domain.Caller, after string, limit int) ([]domain.Request, error) {
	if err := caller.Need(domain.PermApprove); err != nil {
		return nil, err
	}
	return is.listRequests(ctx, store.RequestFilter{Within: caller.Within(domain.PermApprove), State: domain.RequestAwaitingApproval,
		NotRequestedBy: caller.AccountID, NotForPerson: caller.PersonID}, after, limit)
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

// Timeline lists everything that happened to a request, oldest first (C4, J2).
func (is *Issuer) Timeline(ctx context.Context, caller domain.Caller, id string) ([]domain.AuditEntry, error) {
	if _, err := is.visibleRequest(ctx, caller, id); err != nil {
		return nil, err
	}
	const most = 1000
	out, err := is.Store.Audit(ctx, store.AuditFilter{RequestID: id}, 0, most)
	if err != nil {
		return nil, fmt.Errorf("load timeline: %w", err)
	}
	return out, nil
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
