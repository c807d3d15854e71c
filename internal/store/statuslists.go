package store

import (
	"context"
	"time"
)

// StatusList is one published list of status values.
type StatusList struct {
	ID       string `db:"id"`
	Bits     int    `db:"bits"`
	Capacity uint64 `db:"capacity"`
	Used     uint64 `db:"used"`
}

// InsertStatusList adds an empty list.
func (q Queries) InsertStatusList(ctx context.Context, l StatusList, at time.Time) error {
	_, err := q.exec(ctx, `INSERT INTO status_lists (id, bits, capacity, used, created_at) VALUES ($1, $2, $3, 0, $4)`,
		l.ID, l.Bits, l.Capacity, At(at))
	return err
}

// StatusList reads one list.
func (q Queries) StatusList(ctx context.Context, id string) (StatusList, error) {
	var l StatusList
	err := q.get(ctx, &l, `SELECT id, bits, capacity, used FROM status_lists WHERE id = $1`, id)
	return l, err
}

// StatusLists reads every list, oldest first.
func (q Queries) StatusLists(ctx context.Context) ([]StatusList, error) {
	var out []StatusList
	err := q.list(ctx, &out, `SELECT id, bits, capacity, used FROM status_lists ORDER BY id`)
	return out, err
}

// ReserveStatus finds a list of that width with room for n more entries below three quarters of its capacity (a fuller one makes random
// places slow to find) and counts them in. ErrNotFound: every list is full.
func (q Queries) ReserveStatus(ctx context.Context, bits, n int) (StatusList, error) {
	var l StatusList
	// The room is asked for twice: PostgreSQL looks at the outer condition again after it waited for another transaction.
	err := q.get(ctx, &l, `UPDATE status_lists SET used = used + $1 WHERE id = (SELECT id FROM status_lists WHERE bits = $2
		AND (used + $1) * 4 <= capacity * 3 ORDER BY id LIMIT 1) AND (used + $1) * 4 <= capacity * 3
		RETURNING id, bits, capacity, used`, n, bits)
	return l, err
}

// TakeStatusIndex claims a place in a list for ever; false when it is taken.
func (q Queries) TakeStatusIndex(ctx context.Context, listID string, idx uint64, documentID string) (bool, error) {
	n, err := q.exec(ctx, `INSERT INTO status_entries (list_id, idx, document_id, value) VALUES ($1, $2, $3, 0)
		ON CONFLICT (list_id, idx) DO NOTHING`, listID, idx, documentID)
	return n == 1, err
}

// SetStatus writes the value of every entry of a document. An entry that is invalid (1) stays so.
func (q Queries) SetStatus(ctx context.Context, documentID string, value uint8) error {
	_, err := q.exec(ctx, `UPDATE status_entries SET value = $1 WHERE document_id = $2 AND value <> 1`, value, documentID)
	return err
}

// StatusEntry is a place in a list whose value is not 0.
type StatusEntry struct {
	Idx   uint64 `db:"idx"`
	Value uint8  `db:"value"`
}

// SetStatusEntries reads the entries of a list that are not valid (0).
func (q Queries) SetStatusEntries(ctx context.Context, listID string) ([]StatusEntry, error) {
	var out []StatusEntry
	err := q.list(ctx, &out, `SELECT idx, value FROM status_entries WHERE list_id = $1 AND value <> 0 ORDER BY idx`, listID)
	return out, err
}
