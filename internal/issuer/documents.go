package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// AllowedAct says whether the caller may do something to a document, and why not (F5).
type AllowedAct struct {
	Act     domain.DocumentAct `json:"act"`
	Allowed bool               `json:"allowed"`
	Code    domain.Code        `json:"code,omitempty"`
	Why     string             `json:"why,omitempty"`
}

// DocumentView is a document with what the caller may do to it.
type DocumentView struct {
	domain.Document
	AllowedActs []AllowedAct
}

// Document reads one document.
func (is *Issuer) Document(ctx context.Context, caller domain.Caller, id string) (DocumentView, error) {
	d, err := is.visibleDocument(ctx, caller, id)
	if err != nil {
		return DocumentView{}, err
	}
	return is.viewDocument(ctx, caller, d)
}

func (is *Issuer) viewDocument(ctx context.Context, caller domain.Caller, d domain.Document) (DocumentView, error) {
	views, err := is.viewDocuments(ctx, caller, d)
	if err != nil {
		return DocumentView{}, err
	}
	return views[0], nil
}

// viewDocuments tells of documents in the states they have now.
func (is *Issuer) viewDocuments(ctx context.Context, caller domain.Caller, docs ...domain.Document) ([]DocumentView, error) {
	waits, err := is.openWishesOf(ctx, is.Store.Queries, docs...)
	if err != nil {
		return nil, err
	}
	may, err := is.documentReach(ctx, caller, docs)
	if err != nil {
		return nil, err
	}
	profiles := map[string]domain.Profile{}
	out := make([]DocumentView, len(docs))
	for i, d := range docs {
		profile, ok := profiles[d.ProfileID]
		if !ok {
			if profile, err = is.loadProfile(ctx, d.ProfileID); err != nil {
				return nil, err
			}
			profiles[d.ProfileID] = profile
		}
		out[i] = DocumentView{Document: is.asOfNow(d)}
		for _, act := range domain.DocumentActs() {
			a := AllowedAct{Act: act, Allowed: true}
			refused := may(act, d)
			switch {
			case refused != nil:
			case act == domain.DocumentUpdate:
				refused = updateAllowed(out[i].Document, waits[d.ID])
			default:
				refused = documentAllowed(out[i].Document, profile, waits[d.ID].cancellationID, act)
			}
			if refused != nil {
				a = AllowedAct{Act: act, Code: domain.CodeOf(refused), Why: refused.Error()}
			}
			out[i].AllowedActs = append(out[i].AllowedActs, a)
		}
	}
	return out, nil
}

// documentReach gives a function that says why the caller may not do an act to one of the documents.
func (is *Issuer) documentReach(ctx context.Context, caller domain.Caller, docs []domain.Document) (
	func(act domain.DocumentAct, d domain.Document) error, error) {
	people := make([]string, len(docs))
	for i, d := range docs {
		people[i] = d.PersonID
	}
	reach := map[domain.Permission]map[string]bool{}
	for _, act := range domain.DocumentActs() {
		p := act.Permission()
		if reach[p] != nil || !caller.Has(p) {
			continue
		}
		var err error
		if reach[p], err = is.reached(ctx, caller.Within(p), people...); err != nil {
			return nil, err
		}
	}
	return func(act domain.DocumentAct, d domain.Document) error {
		p := act.Permission()
		if err := caller.Need(p); err != nil {
			return err
		}
		if !reach[p][d.PersonID] {
			return domain.Errorf(domain.CodeForbidden, "the permission %s does not reach the holder", p).With("permission", string(p))
		}
		return nil
	}, nil
}

// documentAllowed holds the rules of the acts on documents beside permission and scope: state and approval (B2).
func documentAllowed(d domain.Document, profile domain.Profile, open string, act domain.DocumentAct) error {
	if _, ok := act.Target(d.State); !ok {
		return domain.Errorf(domain.CodeWrongState, "the document is %s, which does not allow to %s it", d.State, act).With("state", string(d.State))
	}
	if act == domain.DocumentEnable && d.DisabledBy == domain.DisabledByPerson {
		return domain.Errorf(domain.CodePersonInactive, "the holder is inactive; activate the person instead")
	}
	needsApproval := profile.Options.ValidateCancellation
	switch {
	case act == domain.DocumentCancel && needsApproval:
		return domain.Errorf(domain.CodeApprovalRequired, "the profile asks for another operator's approval before a document is canceled").
			With("act", string(domain.DocumentRequestCancel))
	case act == domain.DocumentRequestCancel && !needsApproval:
		return domain.Errorf(domain.CodeWrongState, "the profile asks for no approval: the document can be canceled directly").
			With("state", string(d.State)).With("act", string(domain.DocumentCancel))
	case act == domain.DocumentRequestCancel && open != "":
		return domain.Errorf(domain.CodeConflict, "somebody asked for the cancellation before, and it is not decided yet").
			With("cancellation_id", open)
	}
	return nil
}

// openCancellations gives the ids of the open cancellations of the documents, by document.
func (is *Issuer) openCancellations(ctx context.Context, docs ...domain.Document) (map[string]string, error) {
	ids := make([]string, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	all, err := is.Store.OpenCancellations(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("load open cancellations: %w", err)
	}
	out := make(map[string]string, len(all))
	for _, c := range all {
		out[c.DocumentID] = c.ID
	}
	return out, nil
}

func (is *Issuer) visibleDocument(ctx context.Context, caller domain.Caller, id string) (domain.Document, error) {
	if err := caller.Need(domain.PermDocumentsRead); err != nil {
		return domain.Document{}, err
	}
	d, err := is.Store.Document(ctx, id)
	if err != nil {
		return d, found(err, "document")
	}
	if d.State == domain.DocumentPrepared {
		return d, domain.NotFound("document")
	}
	if err := is.needFor(ctx, caller, domain.PermDocumentsRead, "document", d.PersonID); err != nil {
		return domain.Document{}, err
	}
	return d, nil
}

// Documents lists documents, newest first.
func (is *Issuer) Documents(ctx context.Context, caller domain.Caller, want store.DocumentFilter, after string, limit int) ([]DocumentView, error) {
	if err := caller.Need(domain.PermDocumentsRead); err != nil {
		return nil, err
	}
	want.Within = caller.Within(domain.PermDocumentsRead)
	pg, err := page(after, limit)
	if err != nil {
		return nil, err
	}
	want.At = is.Now()
	docs, err := is.Store.Documents(ctx, want, pg)
	if err != nil {
		return nil, fmt.Errorf("list documents: %w", err)
	}
	return is.viewDocuments(ctx, caller, docs...)
}

// documentState is the state a reader should see now.
func (is *Issuer) documentState(d domain.Document) domain.DocumentState { return d.StateAt(is.Now()) }

func (is *Issuer) asOfNow(d domain.Document) domain.Document {
	d.State = is.documentState(d)
	return d
}

// DocumentHistory lists what happened to a document, oldest first, from the audit entry after the given one on (J2).
func (is *Issuer) DocumentHistory(ctx context.Context, caller domain.Caller, id string, after int64, limit int) ([]domain.AuditEntry, error) {
	if _, err := is.visibleDocument(ctx, caller, id); err != nil {
		return nil, err
	}
	return is.happened(ctx, store.AuditFilter{DocumentID: id}, after, limit)
}

// ChangeDocument disables, enables or cancels one document (F2, F4). Disabling and canceling need a reason. What changes is what verifiers are told,
// not what is in the wallet.
func (is *Issuer) ChangeDocument(ctx context.Context, caller domain.Caller, id string, act domain.DocumentAct, reason domain.CancelReason,
	notes string) (DocumentView, error) {
	if err := caller.Need(act.Permission()); err != nil {
		return DocumentView{}, err
	}
	if err := checkReason(act, reason, notes); err != nil {
		return DocumentView{}, err
	}
	d, err := is.Store.Document(ctx, id)
	if err != nil {
		return DocumentView{}, found(err, "document")
	}
	if d.State == domain.DocumentPrepared {
		return DocumentView{}, domain.NotFound("document")
	}
	if err := is.needFor(ctx, caller, act.Permission(), "document", d.PersonID); err != nil {
		return DocumentView{}, err
	}
	profile, err := is.loadProfile(ctx, d.ProfileID)
	if err != nil {
		return DocumentView{}, err
	}
	if err := documentAllowed(is.asOfNow(d), profile, "", act); err != nil {
		return DocumentView{}, err
	}
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		entries, err := is.changeDocument(ctx, tx, caller, d, documentChange{act: act, reason: reason, notes: notes})
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, entries...)
	})
	if errors.Is(err, store.ErrChanged) {
		return DocumentView{}, domain.Errorf(domain.CodeConflict, "the document was changed meanwhile; read it again")
	}
	if err != nil {
		return DocumentView{}, err
	}
	if d, err = is.Store.Document(ctx, id); err != nil {
		return DocumentView{}, fmt.Errorf("load document: %w", err)
	}
	return is.viewDocument(ctx, caller, d)
}

// documentChange is what an operator does to a document, and why.
type documentChange struct {
	act     domain.DocumentAct
	reason  domain.CancelReason
	notes   string
	channel string // of the audit entry
}

// changeDocument is the part in the transaction of a change that the rules allow. It gives the entries for the audit; store.ErrChanged when the
// document is not in the state of d any more.
func (is *Issuer) changeDocument(ctx context.Context, tx *store.Tx, caller domain.Caller, d domain.Document, c documentChange) (
	[]domain.AuditEntry, error) {
	to, _ := c.act.Target(d.State)
	if to == domain.DocumentActive {
		if err := needActive(ctx, tx, d.PersonID); err != nil {
			return nil, err
		}
	}
	ended, err := is.moveDocument(ctx, tx, d, to, domain.DisabledByOperator)
	if err != nil {
		return nil, err
	}
	if to == domain.DocumentCanceled {
		if err := is.queueCancellation(ctx, tx, d, c.reason); err != nil {
			return nil, err
		}
		derived, err := is.cancelDerived(ctx, tx, d, c.reason)
		if err != nil {
			return nil, err
		}
		ended = append(ended, derived...)
	}
	e := is.documentEntry(caller, "document."+string(c.act), d, to)
	e.Channel, e.Reason, e.Notes = c.channel, string(c.reason), c.notes
	return append([]domain.AuditEntry{e}, ended...), nil
}

// needActive locks the person to the end of the transaction and refuses one who is inactive: nothing becomes active for them (A4).
func needActive(ctx context.Context, tx *store.Tx, personID string) error {
	if err := tx.HoldPerson(ctx, personID); err != nil {
		return fmt.Errorf("hold person: %w", err)
	}
	person, err := tx.Person(ctx, personID)
	if err != nil {
		return fmt.Errorf("load person: %w", err)
	}
	if person.Status != domain.PersonActive {
		return domain.Errorf(domain.CodePersonInactive, "the holder is inactive; activate the person instead")
	}
	return nil
}

func checkReason(act domain.DocumentAct, reason domain.CancelReason, notes string) error {
	var problems domain.Problems
	if act != domain.DocumentEnable && !slices.Contains(domain.CancelReasons(), reason) {
		problems.Add("reason", "is required: one of lost, stolen, damaged, compromised, withdrawn, left, other")
	}
	checkNote(&problems, "notes", notes, 2*maxNote)
	return problems.Err(domain.CodeInvalid, "the input breaks a rule")
}

// moveDocument changes the state and what the status list says with it. It gives audit entries of what ended with the document, for the caller to
// append after its own. by is what disables the document, if to is disabled.
func (is *Issuer) moveDocument(ctx context.Context, tx *store.Tx, d domain.Document, to domain.DocumentState, by domain.DisabledBy) (
	[]domain.AuditEntry, error) {
	if !d.State.Can(to) {
		return nil, domain.Errorf(domain.CodeWrongState, "a document cannot go from %s to %s", d.State, to)
	}
	if to != domain.DocumentDisabled {
		by = ""
	}
	if err := tx.MoveDocument(ctx, d.ID, d.State, to, by, is.Now()); err != nil {
		return nil, fmt.Errorf("move document: %w", err)
	}
	if value, changes := is.statusOf(d, to); changes {
		if err := tx.SetStatus(ctx, d.ID, uint8(value)); err != nil {
			return nil, fmt.Errorf("set status: %w", err)
		}
	}
	if to.Live() {
		return nil, nil
	}
	ended, err := is.expireCancellationsOf(ctx, tx, d, to)
	if err != nil {
		return nil, err
	}
	updates, err := is.endUpdatesOf(ctx, tx, d, to)
	return append(ended, updates...), err
}

func (is *Issuer) documentEntry(caller domain.Caller, action string, d domain.Document, to domain.DocumentState) domain.AuditEntry {
	e := is.entry(caller, action, d.ID)
	e.PersonID, e.RequestID, e.DocumentID = d.PersonID, d.RequestID, d.ID
	e.Changes = map[string]domain.Change{"state": {Before: string(d.State), After: string(to)}}
	return e
}

// OnlineStatus is what a verifier learns about a serial number (F8). No personal data.
type OnlineStatus struct {
	Serial     string
	DocType    string
	State      domain.DocumentState
	Valid      bool
	ValidFrom  string
	ValidUntil string
}

// VerifySerial answers a verifier who asks about a serial number.
func (is *Issuer) VerifySerial(ctx context.Context, serial, source string) (OnlineStatus, error) {
	const limit, window = 60, 60 // per minute and source
	ok, wait, err := is.Cache.Allow(ctx, "serial|"+cache.Source(source), limit, window*time.Second)
	if err != nil {
		is.Log.WarnContext(ctx, "rate limit not available", "error", err)
	} else if !ok {
		return OnlineStatus{}, domain.Errorf(domain.CodeRateLimited, "too many calls from this address; try again later").
			With("retry_after", fmt.Sprint(int(wait.Seconds())+1))
	}
	d, err := is.Store.DocumentBySerial(ctx, serial)
	if errors.Is(err, store.ErrNotFound) || (err == nil && d.State == domain.DocumentPrepared) {
		return OnlineStatus{}, domain.Errorf(domain.CodeNotFound, "no document has this serial number")
	}
	if err != nil {
		return OnlineStatus{}, fmt.Errorf("load document: %w", err)
	}
	state := is.documentState(d)
	return OnlineStatus{Serial: d.Serial, DocType: d.DocType, State: state,
		Valid:     state == domain.DocumentActive && !is.Now().Before(d.ValidFrom),
		ValidFrom: d.ValidFrom.UTC().Format(time.RFC3339), ValidUntil: d.ValidUntil.UTC().Format(time.RFC3339)}, nil
}
