package store

import (
	"context"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

type cancellationRow struct {
	ID             string `db:"id"`
	DocumentID     string `db:"document_id"`
	PersonID       string `db:"person_id"`
	RequestedBy    string `db:"requested_by"`
	Reason         string `db:"reason"`
	Notes          string `db:"notes"`
	State          string `db:"state"`
	Deadline       Time   `db:"deadline"`
	DecidedBy      string `db:"decided_by"`
	DecidedAt      Time   `db:"decided_at"`
	DecisionReason string `db:"decision_reason"`
	CreatedAt      Time   `db:"created_at"`
	UpdatedAt      Time   `db:"updated_at"`
}

const cancellationColumns = `id, document_id, person_id, requested_by, reason, notes, state, deadline, decided_by, decided_at, ` +
	`decision_reason, created_at, updated_at`

func (r cancellationRow) cancellation() domain.Cancellation {
	return domain.Cancellation{
		ID: r.ID, DocumentID: r.DocumentID, PersonID: r.PersonID, RequestedBy: r.RequestedBy, Reason: domain.CancelReason(r.Reason),
		Notes: r.Notes, State: domain.CancellationState(r.State), Deadline: r.Deadline.Time, DecidedBy: r.DecidedBy,
		DecidedAt: r.DecidedAt.Time, DecisionReason: r.DecisionReason, CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
	}
}

func rowOfCancellation(c domain.Cancellation) cancellationRow {
	return cancellationRow{
		ID: c.ID, DocumentID: c.DocumentID, PersonID: c.PersonID, RequestedBy: c.RequestedBy, Reason: string(c.Reason), Notes: c.Notes,
		State: string(c.State), Deadline: At(c.Deadline), DecidedBy: c.DecidedBy, DecidedAt: At(c.DecidedAt),
		DecisionReason: c.DecisionReason, CreatedAt: At(c.CreatedAt), UpdatedAt: At(c.UpdatedAt),
	}
}

// InsertCancellation adds a cancellation; a second open one of the same document is ErrExists.
func (q Queries) InsertCancellation(ctx context.Context, c domain.Cancellation) error {
	return q.insert(ctx, "cancellations", cancellationColumns, rowOfCancellation(c))
}

// MoveCancellation writes state, deadline and decision where the stored row is still in the state from; else ErrChanged.
func (q Queries) MoveCancellation(ctx context.Context, c domain.Cancellation, from domain.CancellationState) error {
	w := rowOfCancellation(c)
	return q.change(ctx, `UPDATE cancellations SET state = $1, deadline = $2, decided_by = $3, decided_at = $4, decision_reason = $5,
		updated_at = $6 WHERE id = $7 AND state = $8`, w.State, w.Deadline, w.DecidedBy, w.DecidedAt, w.DecisionReason, w.UpdatedAt, w.ID,
		string(from))
}

// Cancellation reads one cancellation.
func (q Queries) Cancellation(ctx context.Context, id string) (domain.Cancellation, error) {
	var r cancellationRow
	err := q.get(ctx, &r, `SELECT `+cancellationColumns+` FROM cancellations WHERE id = $1`, id)
	return r.cancellation(), err
}

// CancellationFilter narrows a list of cancellations; empty fields do not.
type CancellationFilter struct {
	Within         domain.Within
	DocumentID     string
	PersonID       string
	State          domain.CancellationState
	NotRequestedBy string // leaves out what this account asked for
	NotForPerson   string // leaves out documents of this person
}

// Cancellations lists cancellations, newest first.
func (q Queries) Cancellations(ctx context.Context, want CancellationFilter, page Page) ([]domain.Cancellation, error) {
	var f filter
	f.within("person_id", want.Within)
	f.equal("document_id", want.DocumentID)
	f.equal("person_id", want.PersonID)
	f.equal("state", string(want.State))
	if want.NotRequestedBy != "" {
		f.add("requested_by <> ?", want.NotRequestedBy)
	}
	if want.NotForPerson != "" {
		f.add("person_id <> ?", want.NotForPerson)
	}
	tail := page.newestFirst(&f)
	return q.cancellations(ctx, tail, f.args...)
}

// OpenCancellations reads the open cancellations of the documents, at most one of each.
func (q Queries) OpenCancellations(ctx context.Context, documentIDs ...string) ([]domain.Cancellation, error) {
	if len(documentIDs) == 0 {
		return nil, nil
	}
	var f filter
	f.add(openCancellation)
	f.oneOf("document_id", documentIDs)
	return q.cancellations(ctx, f.where()+" ORDER BY id", f.args...)
}

func (q Queries) cancellations(ctx context.Context, tail string, args ...any) ([]domain.Cancellation, error) {
	return listAs(ctx, q, cancellationRow.cancellation, `SELECT `+cancellationColumns+` FROM cancellations`+tail, args...)
}

// CancellationsToStart gives the ids of cancellations whose workflow should be running but may not be: received before the instant, or past
// their deadline by then.
func (q Queries) CancellationsToStart(ctx context.Context, before time.Time, limit int) ([]string, error) {
	var ids []string
	err := q.list(ctx, &ids, `SELECT id FROM cancellations WHERE (state = 'received' AND created_at < $1)
		OR (state = 'awaiting_approval' AND deadline < $1) ORDER BY id LIMIT $2`, At(before), limit)
	return ids, err
}

// CancellationAct is a recorded act on a cancellation: what an operator decided.
type CancellationAct struct {
	ID             string
	CancellationID string
	Kind           domain.CancellationAct
	AccountID      string
	Reason         string
	Applied        bool
	CreatedAt      time.Time
}

type cancellationActRow struct {
	ID             string `db:"id"`
	CancellationID string `db:"cancellation_id"`
	Kind           string `db:"kind"`
	AccountID      string `db:"account_id"`
	Reason         string `db:"reason"`
	Applied        bool   `db:"applied"`
	CreatedAt      Time   `db:"created_at"`
}

const cancellationActColumns = `id, cancellation_id, kind, account_id, reason, applied, created_at`

// InsertCancellationAct records an act.
func (q Queries) InsertCancellationAct(ctx context.Context, a CancellationAct) error {
	return q.insert(ctx, "cancellation_acts", cancellationActColumns, cancellationActRow{ID: a.ID, CancellationID: a.CancellationID,
		Kind: string(a.Kind), AccountID: a.AccountID, Reason: a.Reason, Applied: a.Applied, CreatedAt: At(a.CreatedAt)})
}

// CancellationAct reads one act.
func (q Queries) CancellationAct(ctx context.Context, id string) (CancellationAct, error) {
	var r cancellationActRow
	err := q.get(ctx, &r, `SELECT `+cancellationActColumns+` FROM cancellation_acts WHERE id = $1`, id)
	return CancellationAct{ID: r.ID, CancellationID: r.CancellationID, Kind: domain.CancellationAct(r.Kind), AccountID: r.AccountID,
		Reason: r.Reason, Applied: r.Applied, CreatedAt: r.CreatedAt.Time}, err
}

// MarkCancellationActApplied notes that the act took effect, once; ErrChanged when it had.
func (q Queries) MarkCancellationActApplied(ctx context.Context, id string) error {
	return q.change(ctx, `UPDATE cancellation_acts SET applied = TRUE WHERE id = $1 AND NOT applied`, id)
}
