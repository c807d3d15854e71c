package store

import (
	"context"
	"errors"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

type requestRow struct {
	ID                 string     `db:"id"`
	PersonID           string     `db:"person_id"`
	ProfileID          string     `db:"profile_id"`
	Channel            string     `db:"channel"`
	RequestedBy        string     `db:"requested_by"`
	State              string     `db:"state"`
	ExpiryDate         string     `db:"expiry_date"`
	Generation         int        `db:"generation"`
	CodeDigits         int        `db:"code_digits"`
	Attempts           int        `db:"attempts"`
	Redeemed           bool       `db:"redeemed"`
	CodeExpiresAt      Time       `db:"code_expires_at"`
	ApprovalDeadline   Time       `db:"approval_deadline"`
	CollectionDeadline Time       `db:"collection_deadline"`
	DecidedBy          string     `db:"decided_by"`
	DecidedAt          Time       `db:"decided_at"`
	DecisionReason     string     `db:"decision_reason"`
	BlockGroup         string     `db:"block_group"`
	Blocking           bool       `db:"blocking"`
	FailureCode        string     `db:"failure_code"`
	DocumentID         string     `db:"document_id"`
	Replaces           OptionalID `db:"replaces"`
	CreatedAt          Time       `db:"created_at"`
	UpdatedAt          Time       `db:"updated_at"`
}

const requestColumns = `id, person_id, profile_id, channel, requested_by, state, expiry_date, generation, code_digits, attempts, redeemed, ` +
	`code_expires_at, approval_deadline, collection_deadline, decided_by, decided_at, decision_reason, block_group, blocking, failure_code, document_id, ` +
	`replaces, created_at, updated_at`

func (r requestRow) request() domain.Request {
	return domain.Request{
		ID: r.ID, PersonID: r.PersonID, ProfileID: r.ProfileID, Channel: domain.RequestChannel(r.Channel), RequestedBy: r.RequestedBy,
		State: domain.RequestState(r.State), ExpiryDate: domain.Date(r.ExpiryDate), Generation: r.Generation, CodeDigits: r.CodeDigits, Attempts: r.Attempts,
		Redeemed: r.Redeemed, CodeExpiresAt: r.CodeExpiresAt.Time, ApprovalDeadline: r.ApprovalDeadline.Time,
		CollectionDeadline: r.CollectionDeadline.Time, DecidedBy: r.DecidedBy, DecidedAt: r.DecidedAt.Time, DecisionReason: r.DecisionReason,
		BlockGroup: r.BlockGroup, Blocking: r.Blocking, FailureCode: domain.Code(r.FailureCode), DocumentID: r.DocumentID, Replaces: string(r.Replaces), CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
	}
}

func rowOfRequest(r domain.Request) requestRow {
	return requestRow{
		ID: r.ID, PersonID: r.PersonID, ProfileID: r.ProfileID, Channel: string(r.Channel), RequestedBy: r.RequestedBy,
		State: string(r.State), ExpiryDate: string(r.ExpiryDate), Generation: r.Generation, CodeDigits: r.CodeDigits, Attempts: r.Attempts, Redeemed: r.Redeemed,
		CodeExpiresAt: At(r.CodeExpiresAt), ApprovalDeadline: At(r.ApprovalDeadline), CollectionDeadline: At(r.CollectionDeadline),
		DecidedBy: r.DecidedBy, DecidedAt: At(r.DecidedAt), DecisionReason: r.DecisionReason,
		BlockGroup: r.BlockGroup, Blocking: r.Blocking, FailureCode: string(r.FailureCode),
		DocumentID: r.DocumentID, Replaces: OptionalID(r.Replaces), CreatedAt: At(r.CreatedAt), UpdatedAt: At(r.UpdatedAt),
	}
}

// InsertRequest adds a request; a second open blocking one of the person and block group is ErrExists, and so is a second open or issued update of a
// document.
func (q Queries) InsertRequest(ctx context.Context, r domain.Request) error {
	return q.insert(ctx, "requests", requestColumns, rowOfRequest(r))
}

// InsertRequests is InsertRequest for many at once; one that is refused refuses all.
func (q Queries) InsertRequests(ctx context.Context, all []domain.Request) error {
	rows := make([]requestRow, len(all))
	for i, r := range all {
		rows[i] = rowOfRequest(r)
	}
	return insertAll(ctx, q, "requests", requestColumns, rows)
}

// MoveRequest writes r where the stored row is still in the state from and of the generation; else ErrChanged. A second open blocking request
// of the person and block group is ErrExists.
func (q Queries) MoveRequest(ctx context.Context, r domain.Request, from domain.RequestState, generation int) error {
	w := rowOfRequest(r)
	return q.change(ctx, `UPDATE requests SET profile_id = $1, state = $2, expiry_date = $3, generation = $4, code_digits = $5, attempts = $6,
		redeemed = $7, code_expires_at = $8, approval_deadline = $9, collection_deadline = $10, decided_by = $11, decided_at = $12,
		decision_reason = $13, failure_code = $14, document_id = $15, updated_at = $16, block_group = $17, blocking = $18
		WHERE id = $19 AND state = $20 AND generation = $21`, w.ProfileID, w.State, w.ExpiryDate, w.Generation, w.CodeDigits, w.Attempts, w.Redeemed, w.CodeExpiresAt, w.ApprovalDeadline,
		w.CollectionDeadline, w.DecidedBy, w.DecidedAt, w.DecisionReason, w.FailureCode, w.DocumentID, w.UpdatedAt, w.BlockGroup, w.Blocking, w.ID,
		string(from), generation)
}

// HoldRequest locks a request to the end of the transaction and reads it as it is now, if it is in the state and of the generation; else
// ErrChanged. What was read before the transaction may be out of date in everything else.
func (t *Tx) HoldRequest(ctx context.Context, id string, state domain.RequestState, generation int) (domain.Request, error) {
	var r requestRow
	err := t.get(ctx, &r, `UPDATE requests SET updated_at = updated_at WHERE id = $1 AND state = $2 AND generation = $3
		RETURNING `+requestColumns, id, string(state), generation)
	if errors.Is(err, ErrNotFound) {
		err = ErrChanged
	}
	return r.request(), err
}

// CountAttempt spends one attempt at the code before it is compared, so that parallel guesses cannot outrun the limit, and gives how many are
// spent; ErrChanged when none is left, the code was redeemed, or generation is not the present one.
func (q Queries) CountAttempt(ctx context.Context, id string, generation, limit int) (int, error) {
	var n int
	err := q.get(ctx, &n, `UPDATE requests SET attempts = attempts + 1 WHERE id = $1 AND generation = $2 AND state = 'awaiting_collection'
		AND NOT redeemed AND attempts < $3 RETURNING attempts`, id, generation, limit)
	if errors.Is(err, ErrNotFound) {
		err = ErrChanged
	}
	return n, err
}

// RedeemCode marks the pre-authorized code of the generation as redeemed, once; ErrChanged when it was, or is not the present one.
func (q Queries) RedeemCode(ctx context.Context, id string, generation int, at time.Time) error {
	return q.change(ctx, `UPDATE requests SET redeemed = TRUE, updated_at = $1 WHERE id = $2 AND generation = $3
		AND state = 'awaiting_collection' AND NOT redeemed`, At(at), id, generation)
}

// Request reads one request.
func (q Queries) Request(ctx context.Context, id string) (domain.Request, error) {
	var r requestRow
	err := q.get(ctx, &r, `SELECT `+requestColumns+` FROM requests WHERE id = $1`, id)
	return r.request(), err
}

// RequestsByID reads those of the requests that there are.
func (q Queries) RequestsByID(ctx context.Context, ids ...string) (map[string]domain.Request, error) {
	out := make(map[string]domain.Request, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	var f filter
	f.oneOf("id", ids)
	all, err := q.requests(ctx, f.where(), f.args...)
	for _, r := range all {
		out[r.ID] = r
	}
	return out, err
}

// RequestFilter narrows a list of requests; empty fields do not.
type RequestFilter struct {
	Within         domain.Within
	PersonID       string
	ProfileID      string
	State          domain.RequestState
	NotRequestedBy string   // leaves out what this account asked for
	NotForPerson   string   // leaves out what is for this person
	NotOfProfiles  []string // leaves out what is of these profiles
}

// Requests lists requests, newest first.
func (q Queries) Requests(ctx context.Context, want RequestFilter, page Page) ([]domain.Request, error) {
	var f filter
	f.within("person_id", want.Within)
	f.equal("person_id", want.PersonID)
	f.equal("profile_id", want.ProfileID)
	f.equal("state", string(want.State))
	if want.NotRequestedBy != "" {
		f.add("requested_by <> ?", want.NotRequestedBy)
	}
	if want.NotForPerson != "" {
		f.add("person_id <> ?", want.NotForPerson)
	}
	for _, id := range want.NotOfProfiles {
		f.add("profile_id <> ?", id)
	}
	tail := page.newestFirst(&f)
	return q.requests(ctx, tail, f.args...)
}

func (q Queries) requests(ctx context.Context, tail string, args ...any) ([]domain.Request, error) {
	return listAs(ctx, q, requestRow.request, `SELECT `+requestColumns+` FROM requests`+tail, args...)
}

// OpenRequests lists the open requests of people.
func (q Queries) OpenRequests(ctx context.Context, personIDs ...string) ([]domain.Request, error) {
	if len(personIDs) == 0 {
		return nil, nil
	}
	var f filter
	f.oneOf("person_id", personIDs)
	f.add(openRequest)
	return q.requests(ctx, f.where()+" ORDER BY id", f.args...)
}

// RequestsToStart gives the ids of requests whose workflow should be running but may not be: received before the instant, past a deadline by
// then, or with a message that nobody has tried to send since stale.
func (q Queries) RequestsToStart(ctx context.Context, before, stale time.Time, limit int) ([]string, error) {
	var ids []string
	err := q.list(ctx, &ids, `SELECT id FROM requests WHERE (state = 'received' AND created_at < $1)
		OR (state = 'awaiting_approval' AND approval_deadline < $1)
		OR (state IN ('awaiting_collection', 'locked') AND collection_deadline < $1)
		OR (state = 'awaiting_collection' AND id IN (SELECT request_id FROM messages WHERE state = 'pending' AND due_at IS NULL AND updated_at < $2))
		ORDER BY id LIMIT $3`, At(before), At(stale), limit)
	return ids, err
}

// Act is a recorded act on a request: what a person decided, or which keys a wallet brought.
type Act struct {
	ID          string
	RequestID   string
	Kind        domain.ActKind
	AccountID   string
	Reason      string
	Params      ActParams
	Fingerprint string // of what makes a repeat the same act
	Applied     bool
	CreatedAt   time.Time
}

// ActParams are the details of an act by kind.
type ActParams struct {
	ProfileID  string          `json:"profile_id,omitempty"`  // approve: switch to this profile
	ExpiryDate domain.Date     `json:"expiry_date,omitempty"` // approve: last day of validity
	Generation int             `json:"generation,omitempty"`  // collect: of the link and code used
	Platform   domain.Platform `json:"platform,omitempty"`    // collect
	Keys       [][]byte        `json:"keys,omitempty"`        // collect: PKIX DER
	// Thumbprints are those of the keys, in the same order (RFC 7638, SHA-256, base64url).
	Thumbprints []string `json:"thumbprints,omitempty"`
	// Attestations are what is known of the keys by trusted attestations.
	Attestations []domain.Attestation `json:"attestations,omitempty"`
}

type actRow struct {
	ID          string          `db:"id"`
	RequestID   string          `db:"request_id"`
	Kind        string          `db:"kind"`
	AccountID   string          `db:"account_id"`
	Reason      string          `db:"reason"`
	Params      JSON[ActParams] `db:"params"`
	Fingerprint string          `db:"fingerprint"`
	Applied     bool            `db:"applied"`
	CreatedAt   Time            `db:"created_at"`
}

const actColumns = `id, request_id, kind, account_id, reason, params, fingerprint, applied, created_at`

// InsertAct records an act.
func (q Queries) InsertAct(ctx context.Context, a Act) error {
	return q.insert(ctx, "request_acts", actColumns, actRow{ID: a.ID, RequestID: a.RequestID, Kind: string(a.Kind), AccountID: a.AccountID,
		Reason: a.Reason, Params: JSON[ActParams]{a.Params}, Fingerprint: a.Fingerprint, Applied: a.Applied, CreatedAt: At(a.CreatedAt)})
}

// Act reads one act.
func (q Queries) Act(ctx context.Context, id string) (Act, error) {
	var r actRow
	err := q.get(ctx, &r, `SELECT `+actColumns+` FROM request_acts WHERE id = $1`, id)
	return Act{ID: r.ID, RequestID: r.RequestID, Kind: domain.ActKind(r.Kind), AccountID: r.AccountID, Reason: r.Reason, Params: r.Params.V,
		Fingerprint: r.Fingerprint, Applied: r.Applied, CreatedAt: r.CreatedAt.Time}, err
}

// MarkActApplied notes that the act took effect, once; ErrChanged when it had.
func (q Queries) MarkActApplied(ctx context.Context, id string) error {
	return q.change(ctx, `UPDATE request_acts SET applied = TRUE WHERE id = $1 AND NOT applied`, id)
}
