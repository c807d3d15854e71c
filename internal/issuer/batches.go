package issuer

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/workflows/messages"
)

// A batch is one operation on many people or documents (C6, G1–G4). Making it fixes what it is about; after that it runs to its end. Each
// item is held to the same rules as the single act, with the rights that the creator has at that moment, and changes together with what
// it does, in one transaction: so it is done once, however often a page is run. The workflows of requests and updates are started when all
// items are done. A batch of one item is carried out at once, without the engine.

const (
	// MostBatchItems is how many items one batch may have.
	MostBatchItems = 1_000_000
	// MostSelected is how many people or documents may be named one by one.
	MostSelected = 10_000
	// PreviewedItems is how many items a preview holds to the rules.
	PreviewedItems = 1_000

	actBatch      = "batch.create"
	tooManyChosen = "finds more than %d; make it narrower"
)

// NewBatch is a wish for a batch. Exactly one of People, PersonFilter, Documents and DocumentFilter is set: people for requests,
// documents for all else.
type NewBatch struct {
	Operation      domain.BatchOperation `json:"operation"`
	People         []string              `json:"people,omitempty"`
	PersonFilter   *PersonFilter         `json:"person_filter,omitempty"`
	Documents      []string              `json:"documents,omitempty"`
	DocumentFilter *DocumentFilter       `json:"document_filter,omitempty"`
	Group          string                `json:"group,omitempty"`       // path of the group of a search, instead of its id
	ProfileID      string                `json:"profile_id,omitempty"`  // of requests; of updates: the documents' own, if given
	ExpiryDate     domain.Date           `json:"expiry_date,omitempty"` // of requests: last day of validity
	Reason         domain.CancelReason   `json:"reason,omitempty"`      // as the single act needs it
	Notes          string                `json:"notes,omitempty"`
}

// BatchPreview tells what a batch would do, before anything is created.
type BatchPreview struct {
	Operation domain.BatchOperation
	Profile   *domain.Profile // if the batch names one
	Total     int
	Checked   int // so many of the first items were held to the rules
	Refused   []RefusedItems
}

// RefusedItems counts the checked items that would be refused now for one cause.
type RefusedItems struct {
	Code  domain.Code
	Count int
}

// BatchView is a batch for its reader. Item is what came of the only item of a batch of one, where the reader may see it.
type BatchView struct {
	domain.Batch
	Item *domain.BatchItem
}

// PreviewBatch counts what would be selected and says how much of it would be refused.
func (is *Issuer) PreviewBatch(ctx context.Context, caller domain.Caller, in NewBatch) (BatchPreview, error) {
	if err := checkBatch(caller, in); err != nil {
		return BatchPreview{}, err
	}
	b, of, err := is.prepareBatch(ctx, caller, in)
	if err != nil {
		return BatchPreview{}, err
	}
	out := BatchPreview{Operation: in.Operation}
	if b.ProfileID != "" {
		profile, err := is.loadProfile(ctx, b.ProfileID)
		if err != nil {
			return BatchPreview{}, err
		}
		out.Profile = &profile
	}
	items, total, err := is.previewed(ctx, of)
	if err != nil {
		return BatchPreview{}, err
	}
	out.Total, out.Checked = total, len(items)
	counts := map[domain.Code]int{}
	for some := range slices.Chunk(items, chunkSize) {
		steps, err := is.judgeItems(ctx, b, caller, some)
		if err != nil {
			return BatchPreview{}, err
		}
		for _, s := range steps {
			if s.refused != nil {
				counts[s.refused.Code]++
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		out.Refused = append(out.Refused, RefusedItems{Code: code, Count: counts[code]})
	}
	return out, nil
}

// previewed gives the first items that the choice would make, and how many there would be.
func (is *Issuer) previewed(ctx context.Context, of choice) ([]domain.BatchItem, int, error) {
	if of.search == nil {
		items, err := is.namedItems(ctx, of, PreviewedItems)
		return items, len(of.ids), err
	}
	total, err := is.Store.CountSelected(ctx, *of.search, MostBatchItems+1)
	if err != nil {
		return nil, 0, fmt.Errorf("count selection: %w", err)
	}
	if total > MostBatchItems {
		return nil, 0, invalid(of.field, fmt.Sprintf(tooManyChosen, MostBatchItems))
	}
	items, err := is.Store.Selected(ctx, *of.search, PreviewedItems)
	if err != nil {
		return nil, 0, fmt.Errorf("read selection: %w", err)
	}
	return items, total, nil
}

// CreateBatch accepts a batch and starts it. Once it is accepted it runs to its end; if the engine is down, the reconciler starts it
// later. A batch of one item is completed when the call returns, unless the database failed meanwhile. Where the caller reaches nothing
// of what is named, there is no batch.
func (is *Issuer) CreateBatch(ctx context.Context, caller domain.Caller, key string, in NewBatch) (BatchView, error) {
	if err := checkBatch(caller, in); err != nil {
		return BatchView{}, err
	}
	id, replayed, err := is.replay(ctx, caller, actBatch, key, in)
	if err != nil {
		return BatchView{}, err
	}
	if !replayed {
		b, of, err := is.prepareBatch(ctx, caller, in)
		if err != nil {
			return BatchView{}, err
		}
		var named []domain.BatchItem
		if of.search == nil {
			if named, err = is.namedItems(ctx, of, MostSelected); err != nil {
				return BatchView{}, err
			}
		}
		id, _, err = is.create(ctx, caller, actBatch, key, in, b.ID, func(tx *store.Tx) error {
			return is.insertBatch(ctx, tx, caller, b, of, named)
		})
		if err != nil {
			return BatchView{}, err
		}
	}
	b, err := is.Store.Batch(ctx, id)
	if err != nil {
		return BatchView{}, found(err, "batch")
	}
	if b.State != domain.BatchCompleted {
		is.startBatch(ctx, b)
	}
	return is.Batch(ctx, caller, id)
}

// insertBatch adds the batch with its items and the entry for the audit.
func (is *Issuer) insertBatch(ctx context.Context, tx *store.Tx, caller domain.Caller, b domain.Batch, of choice,
	named []domain.BatchItem) error {
	if err := tx.InsertBatch(ctx, b); err != nil {
		return fmt.Errorf("insert batch: %w", err)
	}
	if of.search == nil {
		b.Total = len(named)
		for i := range named {
			named[i].BatchID, named[i].UpdatedAt = b.ID, b.CreatedAt
		}
		if err := tx.InsertBatchItems(ctx, named); err != nil {
			return fmt.Errorf("insert items: %w", err)
		}
	} else {
		var err error
		if b.Total, err = tx.InsertSelected(ctx, b.ID, *of.search, MostBatchItems+1); err != nil {
			return fmt.Errorf("insert items: %w", err)
		}
	}
	switch {
	case b.Total > MostBatchItems:
		return invalid(of.field, fmt.Sprintf(tooManyChosen, MostBatchItems))
	case b.Total == 0, of.search == nil && !slices.ContainsFunc(named, func(it domain.BatchItem) bool { return it.PersonID != "" }):
		return domain.NotFound(of.what)
	}
	if err := tx.SetBatchTotal(ctx, b.ID, b.Total); err != nil {
		return fmt.Errorf("count items: %w", err)
	}
	e := is.entry(caller, actBatch, b.ID)
	e.Reason, e.Notes = string(b.Reason), b.Notes
	e.Changes = map[string]domain.Change{"operation": {After: string(b.Operation)}, "items": {After: fmt.Sprint(b.Total)}}
	return tx.AppendAudit(ctx, e)
}

// startBatch has the batch carried out: one item here and now, more of them by the engine. What cannot be started now, the reconciler
// starts.
func (is *Issuer) startBatch(ctx context.Context, b domain.Batch) {
	if b.Total == 1 {
		err := is.runHere(ctx, b.ID)
		if err == nil {
			return
		}
		is.Log.WarnContext(ctx, "batch of one not carried out yet", "batch_id", b.ID, "error", err)
	}
	if err := is.Engine.StartBatch(ctx, b.ID); err != nil {
		is.Log.WarnContext(ctx, "batch accepted, workflow not started yet", "batch_id", b.ID, "code", string(domain.CodeOf(err)))
	}
}

func (is *Issuer) runHere(ctx context.Context, id string) error {
	if _, err := is.BeginBatch(ctx, id); err != nil {
		return err
	}
	page := messages.BatchPage{BatchID: id, From: 1, To: 1}
	if err := is.RunBatch(ctx, page, func(int) error { return nil }); err != nil {
		return err
	}
	if _, err := is.EndBatch(ctx, id); err != nil {
		return err
	}
	if err := is.StartRequests(ctx, page, func(int) error { return nil }); err != nil {
		is.Log.WarnContext(ctx, "batch of one carried out, workflow not started yet", "batch_id", id, "code", string(domain.CodeOf(err)))
	}
	return nil
}

// choice is what a batch is to be made of.
type choice struct {
	what   string           // person or document
	field  string           // of the input that chooses
	ids    []string         // sorted, each once; or
	search *store.Selection // what a search finds
	within domain.Within    // whom the permission of the operation reaches
}

// prepareBatch gives the batch as it is to be stored, and what it is to be made of. What the caller may not find, a search does not find
// either.
func (is *Issuer) prepareBatch(ctx context.Context, caller domain.Caller, in NewBatch) (domain.Batch, choice, error) {
	now := is.Now()
	b := domain.Batch{ID: newID(), Operation: in.Operation, ProfileID: in.ProfileID, ExpiryDate: in.ExpiryDate, Reason: in.Reason,
		Notes:     in.Notes,
		CreatedBy: caller.AccountID, Machine: caller.Machine, State: domain.BatchReceived, CreatedAt: now, UpdatedAt: now}
	of := choice{what: subjectOf(in.Operation), within: caller.Within(in.Operation.Permission())}
	if in.ProfileID != "" {
		if _, err := is.loadProfile(ctx, in.ProfileID); err != nil {
			return b, of, err
		}
	}
	switch {
	case in.PersonFilter != nil:
		want := *in.PersonFilter
		of.field, of.search = "person_filter", &store.Selection{People: &want, Within: of.within}
		if err := is.searchFor(ctx, caller, domain.PermPeopleRead, &want, in.Group); err != nil {
			return b, of, inside(of.field, err)
		}
	case in.DocumentFilter != nil:
		want := *in.DocumentFilter
		of.field, of.search = "document_filter", &store.Selection{Documents: &want, Within: of.within}
		holders := store.PersonFilter{GroupID: want.GroupID, GroupsBelow: want.GroupsBelow}
		if err := is.searchFor(ctx, caller, domain.PermDocumentsRead, &holders, in.Group); err != nil {
			return b, of, inside(of.field, err)
		}
		want.Within, want.GroupID, want.At = holders.Within, holders.GroupID, is.Now()
	default:
		of.ids = slices.Concat(in.People, in.Documents)
		slices.Sort(of.ids)
		of.ids = slices.Compact(of.ids)
	}
	return b, of, nil
}

// subjectOf names what the items of an operation are.
func subjectOf(o domain.BatchOperation) string {
	if _, documents := o.DocumentAct(); documents {
		return "document"
	}
	return "person"
}

// searchFor narrows a search to whom the caller's permission reaches, and to the group of the path.
func (is *Issuer) searchFor(ctx context.Context, caller domain.Caller, p domain.Permission, want *store.PersonFilter, group string) error {
	if err := caller.Need(p); err != nil {
		return err
	}
	want.Within = caller.Within(p)
	if err := is.checkSearch(want); err != nil {
		return err
	}
	return is.findGroup(ctx, want, group)
}

// inside puts the member of the input before the fields of a refusal.
func inside(member string, err error) error {
	if refused, ok := asDomain(err); ok {
		for i, f := range refused.Fields {
			refused.Fields[i].Field = member + "." + f.Field
		}
	}
	return err
}

// checkBatch refuses a caller without the permission of the operation, and reports everything about the form of the wish that breaks a
// rule.
func checkBatch(caller domain.Caller, in NewBatch) error {
	if !in.Operation.Valid() {
		return invalid("operation", "names no operation of batches")
	}
	if err := caller.Need(in.Operation.Permission()); err != nil {
		return err
	}
	var problems domain.Problems
	act, documents := in.Operation.DocumentAct()
	chosen := 0
	for _, c := range []struct {
		field string
		given bool
		fits  bool
	}{{"people", len(in.People) > 0, !documents}, {"person_filter", in.PersonFilter != nil, !documents},
		{"documents", len(in.Documents) > 0, documents}, {"document_filter", in.DocumentFilter != nil, documents}} {
		if c.given && !c.fits {
			problems.Add(c.field, "does not go with the operation %s", in.Operation)
		}
		if c.given {
			chosen++
		}
	}
	if chosen != 1 {
		problems.Add("operation", "needs exactly one selection: people or person_filter for requests, documents or document_filter for all else")
	}
	named, field := in.People, "people"
	if documents {
		named, field = in.Documents, "documents"
	}
	if len(named) > MostSelected {
		problems.Add(field, "must be at most %d; a search takes more", MostSelected)
	}
	if slices.ContainsFunc(named, func(id string) bool { return uuid.Validate(id) != nil }) {
		problems.Add(field, "must be ids")
	}
	if in.Group != "" && in.PersonFilter == nil && in.DocumentFilter == nil {
		problems.Add("group", "narrows a search only")
	}
	if documents && act != domain.DocumentUpdate && in.ProfileID != "" {
		problems.Add("profile_id", "goes with requests and updates only; a search for documents has a profile of its own")
	}
	if !documents && in.ProfileID == "" {
		problems.Add("profile_id", "is required")
	}
	if _, err := domain.ParseDate(string(in.ExpiryDate)); err != nil {
		problems.Add("expiry_date", "must be a day as YYYY-MM-DD")
	} else if documents && in.ExpiryDate != "" {
		problems.Add("expiry_date", "goes with requests only")
	}
	if (!documents || act == domain.DocumentEnable) && in.Reason != "" {
		problems.Add("reason", "goes with disable, cancel and update only")
	}
	var single error // what the single act would say
	switch {
	case !documents:
		checkNote(&problems, "notes", in.Notes, 2*maxNote)
	case act == domain.DocumentUpdate:
		single = checkUpdate(NewUpdate{Reason: string(in.Reason), Notes: in.Notes})
	default:
		single = checkReason(act, in.Reason, in.Notes)
	}
	if refused, ok := asDomain(single); ok {
		problems = append(problems, refused.Fields...)
	}
	return problems.Err(domain.CodeInvalid, "the input breaks a rule")
}

// namedItems makes items of the first of the ids. Those that the operation does not reach have no person.
func (is *Issuer) namedItems(ctx context.Context, of choice, limit int) ([]domain.BatchItem, error) {
	ids := of.ids[:min(limit, len(of.ids))]
	items := make([]domain.BatchItem, 0, len(ids))
	for some := range slices.Chunk(ids, chunkSize) {
		owners := map[string]string{}
		if of.what == "document" {
			var err error
			if owners, err = is.Store.DocumentOwners(ctx, of.within, some...); err != nil {
				return nil, fmt.Errorf("look up owners: %w", err)
			}
		} else {
			reached, err := is.Store.PersonsWithin(ctx, of.within, some...)
			if err != nil {
				return nil, fmt.Errorf("look up scope: %w", err)
			}
			for id := range reached {
				owners[id] = id
			}
		}
		for _, id := range some {
			items = append(items, domain.BatchItem{N: len(items) + 1, SubjectID: id, PersonID: owners[id], State: domain.ItemPending})
		}
	}
	return items, nil
}

// Batch reads one batch: that of the caller, or one with an item that the caller's reports reach.
func (is *Issuer) Batch(ctx context.Context, caller domain.Caller, id string) (BatchView, error) {
	all, err := is.Batches(ctx, caller, BatchFilter{ID: id}, "", 1)
	if err != nil {
		return BatchView{}, err
	}
	if len(all) == 0 {
		return BatchView{}, domain.NotFound("batch")
	}
	out := BatchView{Batch: all[0]}
	if out.Total != 1 {
		return out, nil
	}
	items, err := is.itemsOf(ctx, caller, out.Batch, "", 0, 1)
	if err == nil && len(items) == 1 {
		out.Item = &items[0]
	}
	return out, err
}

// Batches lists batches, newest first: the caller's own, and those with an item that the caller's reports reach.
func (is *Issuer) Batches(ctx context.Context, caller domain.Caller, want BatchFilter, after string, limit int) ([]domain.Batch, error) {
	if err := needAny(caller, domain.PermReports, domain.PermRequest, domain.PermUpdate, domain.PermDisable, domain.PermCancel); err != nil {
		return nil, err
	}
	pg, err := page(after, limit)
	if err != nil {
		return nil, err
	}
	want.Within, want.OwnerID = caller.Within(domain.PermReports), caller.AccountID
	out, err := is.Store.Batches(ctx, want, pg)
	if err != nil {
		return nil, fmt.Errorf("list batches: %w", err)
	}
	return out, nil
}

// needAny refuses a caller who has none of the permissions; it names the first.
func needAny(caller domain.Caller, ps ...domain.Permission) error {
	if slices.ContainsFunc(ps, caller.Has) {
		return nil
	}
	return caller.Need(ps[0])
}

// BatchItems lists the items of a batch in order, from the one after the given number; empty state = all. Items about people whom neither
// the caller's reports nor, in a batch of the caller's own, the permission for the operation reaches now are left out.
func (is *Issuer) BatchItems(ctx context.Context, caller domain.Caller, id string, state domain.BatchItemState, after, limit int) (
	[]domain.BatchItem, error) {
	b, err := is.Batch(ctx, caller, id)
	if err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxPage {
		return nil, invalid("limit", fmt.Sprintf("must be between 1 and %d", maxPage))
	}
	return is.itemsOf(ctx, caller, b.Batch, state, after, limit)
}

func (is *Issuer) itemsOf(ctx context.Context, caller domain.Caller, b domain.Batch, state domain.BatchItemState, after, limit int) (
	[]domain.BatchItem, error) {
	want := store.BatchItemFilter{BatchID: b.ID, Within: caller.Within(domain.PermReports), State: state}
	if b.CreatedBy == caller.AccountID {
		want.Within, want.Unknown = caller.Within(domain.PermReports, b.Operation.Permission()), true
	}
	out, err := is.Store.BatchItems(ctx, want, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list items: %w", err)
	}
	return out, nil
}
