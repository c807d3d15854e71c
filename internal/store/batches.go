package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

type batchRow struct {
	ID         string     `db:"id"`
	Operation  string     `db:"operation"`
	ProfileID  OptionalID `db:"profile_id"`
	ExpiryDate string     `db:"expiry_date"`
	Reason     string     `db:"reason"`
	Notes      string     `db:"notes"`
	CreatedBy  string     `db:"created_by"`
	Machine    bool       `db:"machine"`
	State      string     `db:"state"`
	Total      int        `db:"total"`
	Begun      int        `db:"begun"`
	Completed  int        `db:"completed"`
	Failed     int        `db:"failed"`
	CreatedAt  Time       `db:"created_at"`
	UpdatedAt  Time       `db:"updated_at"`
	EndedAt    Time       `db:"ended_at"`
}

const batchColumns = `id, operation, profile_id, expiry_date, reason, notes, created_by, machine, state, total, begun, completed, failed, ` +
	`created_at, updated_at, ended_at`

func (r batchRow) batch() domain.Batch {
	return domain.Batch{
		ID: r.ID, Operation: domain.BatchOperation(r.Operation), ProfileID: string(r.ProfileID), ExpiryDate: domain.Date(r.ExpiryDate),
		Reason: domain.CancelReason(r.Reason), Notes: r.Notes, CreatedBy: r.CreatedBy, Machine: r.Machine, State: domain.BatchState(r.State),
		Total: r.Total, Begun: r.Begun, Completed: r.Completed, Failed: r.Failed, CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
		EndedAt: r.EndedAt.Time,
	}
}

// InsertBatch adds a batch. Its items follow in the same transaction, and then SetBatchTotal.
func (q Queries) InsertBatch(ctx context.Context, b domain.Batch) error {
	return q.insert(ctx, "batches", batchColumns, batchRow{
		ID: b.ID, Operation: string(b.Operation), ProfileID: OptionalID(b.ProfileID), ExpiryDate: string(b.ExpiryDate),
		Reason: string(b.Reason), Notes: b.Notes, CreatedBy: b.CreatedBy, Machine: b.Machine, State: string(b.State),
		Total: b.Total, Begun: b.Begun, Completed: b.Completed, Failed: b.Failed, CreatedAt: At(b.CreatedAt), UpdatedAt: At(b.UpdatedAt),
		EndedAt: At(b.EndedAt)})
}

// SetBatchTotal writes how many items a batch has.
func (q Queries) SetBatchTotal(ctx context.Context, id string, total int) error {
	return q.change(ctx, `UPDATE batches SET total = $1 WHERE id = $2`, total, id)
}

// Selection is what a batch is to be made of: people or documents that a search finds, in the order of their ids. One of both is set.
type Selection struct {
	People    *PersonFilter
	Documents *DocumentFilter
	// Within must hold the person too, beside the filter's own Within.
	Within domain.Within
}

// from gives the table, the column of the person, and the conditions.
func (s Selection) from() (table, person string, f filter) {
	if s.People != nil {
		table, person, f = "persons", "id", s.People.conditions()
	} else {
		table, person, f = "documents", "person_id", s.Documents.conditions()
	}
	f.within(person, s.Within)
	return table, person, f
}

// InsertSelected adds what the selection finds as pending items of a batch that has none, at most limit, and gives how many there are.
func (q Queries) InsertSelected(ctx context.Context, batchID string, s Selection, limit int) (int, error) {
	table, person, f := s.from()
	where := f.where() // before the batch's own argument
	f.args = append(f.args, batchID)
	n, err := q.exec(ctx, `INSERT INTO batch_items (`+batchItemColumns+`)
		SELECT b.id, chosen.n, chosen.id, chosen.person, '', 'pending', '', '', b.created_at
		FROM batches b, (SELECT id, `+person+` AS person, row_number() OVER (ORDER BY id) AS n FROM `+table+where+`
			ORDER BY id LIMIT `+strconv.Itoa(limit)+`) AS chosen
		WHERE b.id = $`+strconv.Itoa(len(f.args)), f.args...)
	return int(n), err
}

// CountSelected counts what the selection finds, up to limit.
func (q Queries) CountSelected(ctx context.Context, s Selection, limit int) (int, error) {
	table, _, f := s.from()
	var n int
	err := q.get(ctx, &n, `SELECT count(*) FROM (SELECT 1 AS one FROM `+table+f.where()+` LIMIT `+strconv.Itoa(limit)+`) AS chosen`, f.args...)
	return n, err
}

// Selected gives the first things that the selection finds, as the items that a batch would have.
func (q Queries) Selected(ctx context.Context, s Selection, limit int) ([]domain.BatchItem, error) {
	table, person, f := s.from()
	var rows []struct {
		ID     string `db:"id"`
		Person string `db:"person"`
	}
	err := q.list(ctx, &rows, `SELECT id, `+person+` AS person FROM `+table+f.where()+` ORDER BY id LIMIT `+strconv.Itoa(limit), f.args...)
	out := make([]domain.BatchItem, len(rows))
	for i, r := range rows {
		out[i] = domain.BatchItem{N: i + 1, SubjectID: r.ID, PersonID: r.Person, State: domain.ItemPending}
	}
	return out, err
}

// DocumentOwners gives the people of those of the documents that are of people whom the set holds, by document; prepared ones count as
// unknown.
func (q Queries) DocumentOwners(ctx context.Context, w domain.Within, ids ...string) (map[string]string, error) {
	out := make(map[string]string, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	f := DocumentFilter{Within: w}.conditions()
	f.oneOf("id", ids)
	var rows []struct {
		ID       string `db:"id"`
		PersonID string `db:"person_id"`
	}
	err := q.list(ctx, &rows, `SELECT id, person_id FROM documents`+f.where(), f.args...)
	for _, r := range rows {
		out[r.ID] = r.PersonID
	}
	return out, err
}

// DocumentsByID reads those of the documents that there are.
func (q Queries) DocumentsByID(ctx context.Context, ids ...string) (map[string]domain.Document, error) {
	out := make(map[string]domain.Document, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	var f filter
	f.oneOf("id", ids)
	all, err := q.documents(ctx, f.where(), f.args...)
	for _, d := range all {
		out[d.ID] = d
	}
	return out, err
}

// Batch reads one batch.
func (q Queries) Batch(ctx context.Context, id string) (domain.Batch, error) {
	var r batchRow
	err := q.get(ctx, &r, `SELECT `+batchColumns+` FROM batches WHERE id = $1`, id)
	return r.batch(), err
}

// BatchFilter narrows a list of batches; empty fields do not.
type BatchFilter struct {
	// Within finds batches of which at least one item concerns somebody whom the set holds; OwnerID finds those that the account made as well.
	Within    domain.Within
	OwnerID   string
	ID        string
	Operation domain.BatchOperation
	State     domain.BatchState
	CreatedBy string
}

// Batches lists batches, newest first.
func (q Queries) Batches(ctx context.Context, want BatchFilter, page Page) ([]domain.Batch, error) {
	var f filter
	if !want.Within.All {
		f.add("created_by = ?", want.OwnerID)
		own := f.pop()
		f.within("i.person_id", want.Within)
		f.conds = append(f.conds, "("+own+" OR EXISTS (SELECT 1 FROM batch_items i WHERE i.batch_id = batches.id AND "+f.pop()+"))")
	}
	f.equal("id", want.ID)
	f.equal("operation", string(want.Operation))
	f.equal("state", string(want.State))
	f.equal("created_by", want.CreatedBy)
	tail := page.newestFirst(&f)
	return listAs(ctx, q, batchRow.batch, `SELECT `+batchColumns+` FROM batches`+tail, f.args...)
}

// pop takes the last condition back, to be made part of another one; its arguments stay.
func (f *filter) pop() string {
	last := f.conds[len(f.conds)-1]
	f.conds = f.conds[:len(f.conds)-1]
	return last
}

// BeginBatch lets a received batch run; else ErrChanged.
func (q Queries) BeginBatch(ctx context.Context, id string, at time.Time) error {
	return q.change(ctx, `UPDATE batches SET state = 'running', updated_at = $1 WHERE id = $2 AND state = 'received'`, At(at), id)
}

// HandOut notes that the items up to the n-th are being worked on.
func (q Queries) HandOut(ctx context.Context, id string, n int, at time.Time) error {
	_, err := q.exec(ctx, `UPDATE batches SET begun = $1, updated_at = $2 WHERE id = $3 AND begun < $1`, n, At(at), id)
	return err
}

// CountBatchItems adds to the counts of a batch.
func (q Queries) CountBatchItems(ctx context.Context, id string, completed, failed int, at time.Time) error {
	return q.change(ctx, `UPDATE batches SET completed = completed + $1, failed = failed + $2, updated_at = $3 WHERE id = $4`, completed,
		failed,
		At(at), id)
}

// CompleteBatch ends a running batch none of whose items is left; else ErrChanged.
func (q Queries) CompleteBatch(ctx context.Context, id string, at time.Time) error {
	return q.change(ctx, `UPDATE batches SET state = 'completed', updated_at = $1, ended_at = $1 WHERE id = $2 AND state = 'running'
		AND completed + failed = total`, At(at), id)
}

// BatchesToStart gives the ids of batches whose workflow should be running but may not be: received before the instant, or running
// without a sign of life since stale.
func (q Queries) BatchesToStart(ctx context.Context, before, stale time.Time, limit int) ([]string, error) {
	var ids []string
	err := q.list(ctx, &ids, `SELECT id FROM batches WHERE state <> 'completed' AND ((state = 'received' AND created_at < $1)
		OR (state = 'running' AND updated_at < $2)) ORDER BY id LIMIT $3`, At(before), At(stale), limit)
	return ids, err
}

type batchItemRow struct {
	BatchID   string `db:"batch_id"`
	N         int    `db:"n"`
	SubjectID string `db:"subject_id"`
	PersonID  string `db:"person_id"`
	RequestID string `db:"request_id"`
	State     string `db:"state"`
	Code      string `db:"code"`
	Message   string `db:"message"`
	UpdatedAt Time   `db:"updated_at"`
}

const batchItemColumns = `batch_id, n, subject_id, person_id, request_id, state, code, message, updated_at`

// InsertBatchItems adds items.
func (q Queries) InsertBatchItems(ctx context.Context, items []domain.BatchItem) error {
	rows := make([]batchItemRow, len(items))
	for i, it := range items {
		rows[i] = batchItemRow{BatchID: it.BatchID, N: it.N, SubjectID: it.SubjectID, PersonID: it.PersonID, RequestID: it.RequestID,
			State: string(it.State), Code: string(it.Code), Message: it.Message, UpdatedAt: At(it.UpdatedAt)}
	}
	return insertAll(ctx, q, "batch_items", batchItemColumns, rows)
}

// PendingBatchItems reads the items of a batch from one number to another that are not done, in order: what was selected, without results.
func (q Queries) PendingBatchItems(ctx context.Context, batchID string, from, to, limit int) ([]domain.BatchItem, error) {
	var rows []batchItemRow
	err := q.list(ctx, &rows, `SELECT `+batchItemColumns+` FROM batch_items WHERE batch_id = $1 AND n BETWEEN $2 AND $3 AND state = 'pending'
		ORDER BY n LIMIT $4`, batchID, from, to, limit)
	out := make([]domain.BatchItem, len(rows))
	for i, r := range rows {
		out[i] = domain.BatchItem{BatchID: r.BatchID, N: r.N, SubjectID: r.SubjectID, PersonID: r.PersonID, State: domain.ItemPending,
			UpdatedAt: r.UpdatedAt.Time}
	}
	return out, err
}

// EndBatchItems writes request, state, code and message of items, in the order of their numbers, that were pending; ErrChanged when one
// of them was not. It locks them to the end of the transaction.
func (t *Tx) EndBatchItems(ctx context.Context, batchID string, items []domain.BatchItem, at time.Time) error {
	if len(items) == 0 {
		return nil
	}
	// The range says nothing that the numbers do not say, but without it PostgreSQL may look at every item of the batch.
	args := []any{batchID, At(at), items[0].N, items[len(items)-1].N}
	values := make([]string, len(items))
	for i, it := range items {
		n := len(args)
		values[i] = fmt.Sprintf("(CAST($%d AS INTEGER), $%d, $%d, $%d, $%d)", n+1, n+2, n+3, n+4, n+5)
		args = append(args, it.N, it.RequestID, string(it.State), string(it.Code), it.Message)
	}
	n, err := t.exec(ctx, `UPDATE batch_items SET request_id = v.column2, state = v.column3, code = v.column4, message = v.column5,
		updated_at = $2 FROM (VALUES `+strings.Join(values, ", ")+`) AS v
		WHERE batch_id = $1 AND n BETWEEN $3 AND $4 AND n = v.column1 AND batch_items.state = 'pending'`, args...)
	if err == nil && n != int64(len(items)) {
		err = ErrChanged
	}
	return err
}

// RequestsOfBatch gives number and request of the items of a batch from one number to another whose request has only been received, in order.
func (q Queries) RequestsOfBatch(ctx context.Context, batchID string, from, to, limit int) ([]domain.BatchItem, error) {
	as := func(r batchItemRow) domain.BatchItem {
		return domain.BatchItem{BatchID: batchID, N: r.N, RequestID: r.RequestID}
	}
	return listAs(ctx, q, as, `SELECT n, request_id FROM batch_items WHERE batch_id = $1 AND n BETWEEN $2 AND $3 AND
		(SELECT r.state FROM requests r WHERE r.id = request_id) = 'received' ORDER BY n LIMIT $4`, batchID, from, to, limit)
}

// BatchItemFilter narrows the items of one batch.
type BatchItemFilter struct {
	BatchID string
	Within  domain.Within
	Unknown bool // also those whose subject was not found, beside those within
	State   domain.BatchItemState
}

// BatchItems lists items with a number above after, in order, with what came of them.
func (q Queries) BatchItems(ctx context.Context, want BatchItemFilter, after, limit int) ([]domain.BatchItem, error) {
	var f filter
	f.add("i.batch_id = ? AND i.n > ?", want.BatchID, after)
	switch want.State {
	case domain.ItemPending:
		f.add("i.state = 'pending' AND i.n > b.begun")
	case domain.ItemInProgress:
		f.add("i.state = 'pending' AND i.n <= b.begun")
	default:
		f.equal("i.state", string(want.State))
	}
	f.within("i.person_id", want.Within)
	if want.Unknown && !want.Within.All {
		f.conds = append(f.conds, "(i.person_id = '' OR "+f.pop()+")")
	}
	var rows []struct {
		batchItemRow
		DocumentID string `db:"document_id"`
		Serial     string `db:"serial"`
		Platform   string `db:"platform"`
		Begun      bool   `db:"begun"`
	}
	err := q.list(ctx, &rows, `SELECT i.batch_id, i.n, i.subject_id, i.person_id,
		CASE WHEN b.operation IN ('request', 'update') THEN i.request_id ELSE COALESCE(d.request_id, '') END AS request_id,
		COALESCE(d.id, '') AS document_id, COALESCE(d.serial, '') AS serial, COALESCE(d.platform, '') AS platform,
		i.state, i.code, i.message, i.updated_at, i.n <= b.begun AS begun
		FROM batch_items i JOIN batches b ON b.id = i.batch_id
		LEFT JOIN requests r ON b.operation = 'request' AND r.id = i.request_id
		LEFT JOIN documents d ON d.state <> 'prepared' AND i.person_id <> ''
			AND d.id = CASE WHEN b.operation = 'request' THEN r.document_id ELSE i.subject_id END`+
		f.where()+` ORDER BY i.n LIMIT `+strconv.Itoa(limit), f.args...)
	out := make([]domain.BatchItem, len(rows))
	for i, r := range rows {
		out[i] = domain.BatchItem{BatchID: r.BatchID, N: r.N, SubjectID: r.SubjectID, PersonID: r.PersonID, DocumentID: r.DocumentID,
			RequestID: r.RequestID, Serial: r.Serial, Platform: domain.Platform(r.Platform), State: domain.BatchItemState(r.State),
			Code: domain.Code(r.Code), Message: r.Message, UpdatedAt: r.UpdatedAt.Time}
		if out[i].State == domain.ItemPending && r.Begun {
			out[i].State = domain.ItemInProgress
		}
	}
	return out, err
}
