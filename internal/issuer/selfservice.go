package issuer

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/failpoint"
	"github.com/mdocket/mdocket/internal/store"
)

// Self-service is what people do for themselves (C5, B14): see what they can get, ask for it, collect it with their own device, and say
// that it is lost. Nothing of others is ever shown: not even who at the issuer did something.

// Me is what a caller learns of themself.
type Me struct {
	Account     domain.Account
	DisplayName string // given and family name; empty when the account is of nobody
}

// Me tells a caller who they are.
func (is *Issuer) Me(ctx context.Context, caller domain.Caller) (Me, error) {
	a, err := is.Store.Account(ctx, caller.AccountID)
	if err != nil {
		return Me{}, found(err, "account")
	}
	if caller.PersonID == "" {
		return Me{Account: a}, nil
	}
	p, err := is.Store.Person(ctx, caller.PersonID)
	return Me{Account: a, DisplayName: strings.TrimSpace(p.GivenName + " " + p.FamilyName)}, found(err, "person")
}

// own gives the caller's own person, who must be active, if the caller has the permission in any scope.
func (is *Issuer) own(ctx context.Context, caller domain.Caller, p domain.Permission) (domain.Person, error) {
	if err := caller.Need(p); err != nil {
		return domain.Person{}, err
	}
	if caller.PersonID == "" {
		return domain.Person{}, domain.Errorf(domain.CodeForbidden, "the account is of no person, and self-service is for people")
	}
	person, err := is.Store.Person(ctx, caller.PersonID)
	if err != nil {
		return person, found(err, "person")
	}
	if person.Status != domain.PersonActive {
		return person, domain.Errorf(domain.CodePersonInactive, "only an active person can use self-service")
	}
	return person, nil
}

// OwnProfile is a profile as a holder sees it.
type OwnProfile struct {
	ID            string
	DisplayName   string
	NeedsApproval bool
	ShowQR        bool
	ValidUntil    domain.Date // last day of validity if it were collected now; empty when the lifetime is refused
	Display       domain.Display
	Refusals      []*domain.Error // why it cannot be asked for now; empty = it can
}

// OwnProfiles lists what the holder can get, and why not, if not now. Profiles that are for other roles are left out.
func (is *Issuer) OwnProfiles(ctx context.Context, caller domain.Caller) ([]OwnProfile, error) {
	person, err := is.own(ctx, caller, domain.PermRequestSelf)
	if err != nil {
		return nil, err
	}
	profiles, err := is.Store.Profiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	var out []OwnProfile
	for _, p := range profiles {
		f, err := is.requestFacts(ctx, caller, NewRequest{PersonID: person.ID, ProfileID: p.ID})
		if err != nil {
			return nil, err
		}
		verdict := f.Judge()
		if slices.ContainsFunc(verdict.Refusals, func(e *domain.Error) bool { return e.Code == domain.CodeRoleMissing }) {
			continue
		}
		o := OwnProfile{ID: p.ID, DisplayName: p.Options.DisplayName, NeedsApproval: p.Options.ValidateIssuance,
			ShowQR: showsQR(p.Options, person), Display: p.Options.Display(person, is.cfg.ServerName), Refusals: verdict.Refusals}
		if !verdict.ValidUntil.IsZero() {
			o.ValidUntil = domain.DateOf(verdict.ValidUntil)
		}
		out = append(out, o)
	}
	return out, nil
}

// showsQR: a person whom no message reaches gets the QR code whatever the profile says (C5).
func showsQR(o domain.ProfileOptions, person domain.Person) bool {
	return o.SelfService.ShowQR == nil || *o.SelfService.ShowQR || person.Unreachable()
}

// OwnRequest is a request as its holder sees it.
type OwnRequest struct {
	domain.Request
	DocumentName string
	Own          bool // the holder asked for it, not the issuer
}

// CreateOwnRequest asks for a document for the caller's own person (C1). Where no message reaches the holder and no approval is needed, the
// QR code comes with the answer (C5); else it is nil.
func (is *Issuer) CreateOwnRequest(ctx context.Context, caller domain.Caller, key, profileID string) (OwnRequest, *OwnQR, error) {
	person, err := is.own(ctx, caller, domain.PermRequestSelf)
	if err != nil {
		return OwnRequest{}, nil, err
	}
	r, err := is.CreateRequest(ctx, caller, key, NewRequest{PersonID: person.ID, ProfileID: profileID})
	if err != nil {
		return OwnRequest{}, nil, err
	}
	var qr *OwnQR
	if person.Unreachable() {
		// The workflow begins the request too, whoever comes first; the answer does not wait for it.
		if _, err := is.Begin(ctx, r.ID); err != nil {
			is.Log.InfoContext(ctx, "request not begun at once", "request_id", r.ID, "error", err)
		}
		if shown, err := is.OwnQR(ctx, caller, r.ID); err == nil {
			qr = &shown
		} else if domain.CodeOf(err) == domain.CodeInternal {
			return OwnRequest{}, nil, err
		}
		if r, err = is.Store.Request(ctx, r.ID); err != nil {
			return OwnRequest{}, nil, fmt.Errorf("load request: %w", err)
		}
	}
	out, err := is.viewOwnRequests(ctx, caller, r)
	if err != nil {
		return OwnRequest{}, nil, err
	}
	return out[0], qr, nil
}

// viewOwnRequests tells holders of their requests.
func (is *Issuer) viewOwnRequests(ctx context.Context, caller domain.Caller, all ...domain.Request) ([]OwnRequest, error) {
	mine, err := is.ownAccounts(ctx, caller)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	out := make([]OwnRequest, len(all))
	for i, r := range all {
		name, err := is.documentName(ctx, names, r.ProfileID)
		if err != nil {
			return nil, err
		}
		out[i] = OwnRequest{Request: r, DocumentName: name, Own: mine[r.RequestedBy]}
	}
	return out, nil
}

// documentName gives what people call the document of a profile; names keeps what was looked up before.
func (is *Issuer) documentName(ctx context.Context, names map[string]string, profileID string) (string, error) {
	if name, ok := names[profileID]; ok {
		return name, nil
	}
	p, err := is.loadProfile(ctx, profileID)
	names[profileID] = p.Options.DisplayName
	return p.Options.DisplayName, err
}

// ownAccounts gives the ids of the accounts of the caller's person.
func (is *Issuer) ownAccounts(ctx context.Context, caller domain.Caller) (map[string]bool, error) {
	all, err := is.Store.AccountsOfPerson(ctx, caller.PersonID)
	if err != nil {
		return nil, fmt.Errorf("load accounts: %w", err)
	}
	mine := map[string]bool{caller.AccountID: true}
	for _, a := range all {
		mine[a.ID] = true
	}
	return mine, nil
}

// ownRequest loads a request for the caller's own person; others look as if they did not exist.
func (is *Issuer) ownRequest(ctx context.Context, caller domain.Caller, id string) (domain.Request, error) {
	r, err := is.Store.Request(ctx, id)
	if err != nil {
		return domain.Request{}, found(err, "request")
	}
	if !caller.Owns(r.PersonID) {
		return domain.Request{}, domain.NotFound("request")
	}
	return r, nil
}

// OwnRequests lists the requests for the caller's own person, newest first.
func (is *Issuer) OwnRequests(ctx context.Context, caller domain.Caller, after string, limit int) ([]OwnRequest, error) {
	person, err := is.own(ctx, caller, domain.PermRequestSelf)
	if err != nil {
		return nil, err
	}
	all, err := is.listRequests(ctx, store.RequestFilter{Within: domain.Within{PersonID: person.ID}}, after, limit)
	if err != nil {
		return nil, err
	}
	return is.viewOwnRequests(ctx, caller, all...)
}

// Party is who did something, as far as a holder is told.
type Party string

// The parties.
const (
	PartyHolder Party = "you"
	PartyWallet Party = "wallet"
	PartyIssuer Party = "issuer"
)

// OwnStep is something that happened to a request, without who at the issuer did it and why.
type OwnStep struct {
	At     time.Time
	Action string              // as in the audit
	By     Party               //
	State  domain.RequestState // that it led to; empty = the state did not change
}

// OwnRequest reads one request of the caller's own person with everything that happened to it, oldest first (C4).
func (is *Issuer) OwnRequest(ctx context.Context, caller domain.Caller, id string) (OwnRequest, []OwnStep, error) {
	if _, err := is.own(ctx, caller, domain.PermRequestSelf); err != nil {
		return OwnRequest{}, nil, err
	}
	r, err := is.ownRequest(ctx, caller, id)
	if err != nil {
		return OwnRequest{}, nil, err
	}
	views, err := is.viewOwnRequests(ctx, caller, r)
	if err != nil {
		return OwnRequest{}, nil, err
	}
	mine, err := is.ownAccounts(ctx, caller)
	if err != nil {
		return OwnRequest{}, nil, err
	}
	const most = 1000
	entries, err := is.Store.Audit(ctx, store.AuditFilter{RequestID: id}, 0, most)
	if err != nil {
		return OwnRequest{}, nil, fmt.Errorf("load timeline: %w", err)
	}
	var steps []OwnStep
	for _, e := range entries {
		if e.Subject != r.ID { // about the document that came of it
			continue
		}
		step := OwnStep{At: e.At, Action: e.Action, By: PartyIssuer, State: domain.RequestState(e.Changes["state"].After)}
		switch {
		case mine[e.Actor]:
			step.By = PartyHolder
		case e.Actor == wallet().AccountID:
			step.By = PartyWallet
		}
		steps = append(steps, step)
	}
	return views[0], steps, nil
}

// CancelOwnRequest ends an open request of the caller's own person, whoever asked for it, at any step.
func (is *Issuer) CancelOwnRequest(ctx context.Context, caller domain.Caller, id string) (OwnRequest, error) {
	if _, err := is.own(ctx, caller, domain.PermRequestSelf); err != nil {
		return OwnRequest{}, err
	}
	r, err := is.ownRequest(ctx, caller, id)
	if err != nil {
		return OwnRequest{}, err
	}
	if r, err = is.decide(ctx, caller, r, store.Act{Kind: domain.ActCancel}); err != nil {
		return OwnRequest{}, err
	}
	views, err := is.viewOwnRequests(ctx, caller, r)
	if err != nil {
		return OwnRequest{}, err
	}
	return views[0], nil
}

// OwnQR is what a holder's screen shows so that their own device can collect the document.
type OwnQR struct {
	RequestID     string
	DocumentName  string
	Page          string // address of the collection page, for the device that shows this
	LinkToken     string // of the credential offer
	QRBaseURL     string // where the credential offer of a QR code is found, without a trailing slash
	Code          string // authentication code
	CodeExpiresAt time.Time
	ShowUntil     time.Time // the screen hides the code then
	Deadline      time.Time // of the collection
	Display       domain.Display
}

// OwnQR shows link and authentication code of a request to its holder (C5). It needs the permission collect and a role of the profile's
// can_collect, and is audited. Before an approval that is needed it is refused with CodeApprovalRequired; where the profile sends the link
// by e-mail only, with CodeForbidden, unless no message reaches the holder. A code that was not sent, or that has run out, works from now
// on for the short time of codes on screen.
func (is *Issuer) OwnQR(ctx context.Context, caller domain.Caller, id string) (OwnQR, error) {
	person, err := is.own(ctx, caller, domain.PermCollect)
	if err != nil {
		return OwnQR{}, err
	}
	r, err := is.ownRequest(ctx, caller, id)
	if err != nil {
		return OwnQR{}, err
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return OwnQR{}, err
	}
	if err := is.checkOwnQR(ctx, r, profile.Options, person); err != nil {
		return OwnQR{}, err
	}
	var out OwnQR
	err = is.moveRequest(ctx, r, caller, "request.view_code", "", func(_ *store.Tx, next *domain.Request, s domain.Settings) error {
		screen := earlierOf(is.Now().Add(time.Duration(s.ScreenCodeLifetime)), next.CollectionDeadline)
		unsent := profile.Options.NotificationScheme == domain.NotifyNone || person.Unreachable()
		if unsent || !is.Now().Before(next.CodeExpiresAt) {
			next.CodeExpiresAt = screen
		}
		page, err := is.collectionLink(s, *next)
		out = OwnQR{RequestID: next.ID, DocumentName: profile.Options.DisplayName, Page: page, LinkToken: path.Base(page),
			QRBaseURL: is.qrBaseURL(s), Code: is.code(*next), CodeExpiresAt: next.CodeExpiresAt, ShowUntil: earlierOf(screen, next.CodeExpiresAt),
			Deadline: next.CollectionDeadline, Display: profile.Options.Display(person, is.cfg.ServerName)}
		return err
	})
	if errors.Is(err, store.ErrChanged) {
		err = domain.Errorf(domain.CodeConflict, "the request was changed meanwhile; read it again")
	}
	if err != nil {
		return OwnQR{}, err
	}
	return out, nil
}

// checkOwnQR holds the rules of showing a request's QR code to the holder.
func (is *Issuer) checkOwnQR(ctx context.Context, r domain.Request, o domain.ProfileOptions, person domain.Person) error {
	if err := noCode(r); err != nil {
		return err
	}
	if err := domain.CheckShowQR(r, o); err != nil && (domain.CodeOf(err) != domain.CodeForbidden || !showsQR(o, person)) {
		return err
	}
	if !is.Now().Before(r.CollectionDeadline) {
		return domain.Errorf(domain.CodeOfferExpired, "the time to collect the document is over")
	}
	if r.Redeemed {
		return domain.Errorf(domain.CodeWrongState, "a wallet has used link and code").With("state", string(r.State))
	}
	if len(o.CanCollect) == 0 {
		return nil
	}
	roles, err := is.Store.RolesOfPeople(ctx, person.ID)
	if err != nil {
		return fmt.Errorf("load roles: %w", err)
	}
	if !slices.ContainsFunc(roles[person.ID], func(id string) bool { return slices.Contains(o.CanCollect, id) }) {
		return &domain.Error{Code: domain.CodeRoleMissing, Message: "the profile is for other roles",
			Fields: []domain.FieldError{{Field: "can_collect", Problem: "has none of the holder's roles"}}}
	}
	return nil
}

// OwnDocument is a document as its holder sees it.
type OwnDocument struct {
	domain.Document
	DocumentName   string
	CancellationID string // of the cancellation that waits for approval, if any
}

// OwnDocuments lists the documents of the caller's own person, newest first, ended ones too.
func (is *Issuer) OwnDocuments(ctx context.Context, caller domain.Caller, after string, limit int) ([]OwnDocument, error) {
	person, err := is.own(ctx, caller, domain.PermRequestSelf)
	if err != nil {
		return nil, err
	}
	pg, err := page(after, limit)
	if err != nil {
		return nil, err
	}
	all, err := is.Store.Documents(ctx, store.DocumentFilter{Within: domain.Within{PersonID: person.ID}, At: is.Now()}, pg)
	if err != nil {
		return nil, fmt.Errorf("list documents: %w", err)
	}
	return is.viewOwnDocuments(ctx, all...)
}

// viewOwnDocuments tells holders of their documents in the states they have now.
func (is *Issuer) viewOwnDocuments(ctx context.Context, all ...domain.Document) ([]OwnDocument, error) {
	open, err := is.openCancellations(ctx, all...)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	out := make([]OwnDocument, len(all))
	for i, d := range all {
		name, err := is.documentName(ctx, names, d.ProfileID)
		if err != nil {
			return nil, err
		}
		out[i] = OwnDocument{Document: is.asOfNow(d), DocumentName: name, CancellationID: open[d.ID]}
	}
	return out, nil
}

// LossReasons lists the reasons for which holders report their documents.
func LossReasons() []domain.CancelReason {
	return []domain.CancelReason{domain.ReasonLost, domain.ReasonStolen, domain.ReasonDamaged, domain.ReasonCompromise}
}

// ReportLost takes a document of the caller's own person out of use (F4): it is canceled or, where the profile demands another person's
// approval for that, disabled at once, with a cancellation that waits for approval. Only an operator enables it again. Reporting a document
// again changes nothing.
func (is *Issuer) ReportLost(ctx context.Context, caller domain.Caller, id string, reason domain.CancelReason, notes string) (
	OwnDocument, error) {
	if _, err := is.own(ctx, caller, domain.PermRequestSelf); err != nil {
		return OwnDocument{}, err
	}
	var problems domain.Problems
	if !slices.Contains(LossReasons(), reason) {
		problems.Add("reason", "is required: one of lost, stolen, damaged, compromised")
	}
	checkNote(&problems, "notes", notes, 2*maxNote)
	if err := problems.Err(domain.CodeInvalid, "the input breaks a rule"); err != nil {
		return OwnDocument{}, err
	}
	const tries = 5 // a report is not lost to somebody else's change at the same time
	var err error
	for range tries {
		if err = is.reportLost(ctx, caller, id, reason, notes); !errors.Is(err, store.ErrChanged) && !errors.Is(err, store.ErrExists) {
			break
		}
	}
	if err != nil {
		return OwnDocument{}, err
	}
	d, err := is.Store.Document(ctx, id)
	if err != nil {
		return OwnDocument{}, fmt.Errorf("load document: %w", err)
	}
	views, err := is.viewOwnDocuments(ctx, d)
	if err != nil {
		return OwnDocument{}, err
	}
	return views[0], nil
}

func (is *Issuer) reportLost(ctx context.Context, caller domain.Caller, id string, reason domain.CancelReason, notes string) error {
	d, err := is.Store.Document(ctx, id)
	if err != nil {
		return found(err, "document")
	}
	if !caller.Owns(d.PersonID) || d.State == domain.DocumentPrepared {
		return domain.NotFound("document")
	}
	switch state := is.documentState(d); {
	case state == domain.DocumentCanceled:
		return nil
	case !state.Live():
		return domain.Errorf(domain.CodeWrongState, "the document is %s: it is out of use", state).With("state", string(state))
	}
	profile, err := is.loadProfile(ctx, d.ProfileID)
	if err != nil {
		return err
	}
	change := documentChange{act: domain.DocumentCancel, reason: reason, notes: notes, channel: string(domain.RequestByHolder)}
	if profile.Options.ValidateCancellation {
		return is.reportForApproval(ctx, caller, d, change)
	}
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		entries, err := is.changeDocument(ctx, tx, caller, d, change)
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, entries...)
	})
}

// reportForApproval disables the document and asks for its cancellation, as far as that was not done before.
func (is *Issuer) reportForApproval(ctx context.Context, caller domain.Caller, d domain.Document, change documentChange) error {
	now := is.Now()
	c := domain.Cancellation{ID: newID(), DocumentID: d.ID, PersonID: d.PersonID, RequestedBy: caller.AccountID, Reason: change.reason,
		Notes: change.notes, State: domain.CancellationReceived, CreatedAt: now, UpdatedAt: now}
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.HoldDocument(ctx, d.ID, d.State); err != nil {
			return fmt.Errorf("hold document: %w", err)
		}
		var entries []domain.AuditEntry
		open, err := tx.OpenCancellations(ctx, d.ID)
		if err != nil {
			return fmt.Errorf("load open cancellations: %w", err)
		}
		if len(open) > 0 {
			c = open[0]
		} else {
			if err := tx.InsertCancellation(ctx, c); err != nil {
				return fmt.Errorf("insert cancellation: %w", err)
			}
			e := is.cancellationEntry(caller, "cancellation.create", c, "")
			e.Channel, e.Reason, e.Notes = change.channel, string(c.Reason), c.Notes
			entries = append(entries, e)
		}
		if d.State == domain.DocumentActive {
			change.act = domain.DocumentDisable
			disabled, err := is.changeDocument(ctx, tx, caller, d, change)
			if err != nil {
				return err
			}
			entries = append(entries, disabled...)
		} else if d.DisabledBy != domain.DisabledByOperator {
			// What disabled it before would enable it again by itself.
			if err := tx.MoveDocument(ctx, d.ID, d.State, d.State, domain.DisabledByOperator, now); err != nil {
				return fmt.Errorf("keep document disabled: %w", err)
			}
		}
		if len(entries) == 0 {
			return nil
		}
		return tx.AppendAudit(ctx, entries...)
	})
	if err != nil {
		return err
	}
	failpoint.Hit("report.committed")
	if err := is.Engine.StartCancellation(ctx, c.ID); err != nil {
		is.Log.WarnContext(ctx, "cancellation accepted, workflow not started yet", "cancellation_id", c.ID, "code", string(domain.CodeOf(err)))
	}
	return nil
}
