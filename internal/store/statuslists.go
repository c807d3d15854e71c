package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// StatusList is one published list of status values.
type StatusList struct {
	ID       string `db:"id"`
	Bits     int    `db:"bits"`
	Capacity uint64 `db:"capacity"`
	Used     uint64 `db:"used"` // places that are taken or reserved, decoys among them
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

// ReserveStatus finds an open list with room for n more entries below three quarters of its capacity (a fuller one makes random places slow
// to find) and counts them in. Open are the lists of that width and of that capacity: one that was made under another capacity takes no
// more. ErrNotFound: no list is open, or every one is full.
func (q Queries) ReserveStatus(ctx context.Context, bits int, capacity uint64, n int) (StatusList, error) {
	var l StatusList
	// The room is asked for twice: PostgreSQL looks at the outer condition again after it waited for another transaction.
	err := q.get(ctx, &l, `UPDATE status_lists SET used = used + $1 WHERE id = (SELECT id FROM status_lists WHERE bits = $2 AND capacity = $3
		AND (used + $1) * 4 <= capacity * 3 ORDER BY id LIMIT 1) AND (used + $1) * 4 <= capacity * 3
		RETURNING id, bits, capacity, used`, n, bits, capacity)
	return l, err
}

// TakeStatusIndex claims a place in a list for ever; false when it is taken.
func (q Queries) TakeStatusIndex(ctx context.Context, listID string, idx uint64, documentID string) (bool, error) {
	n, err := q.exec(ctx, `INSERT INTO status_entries (list_id, idx, document_id, value) VALUES ($1, $2, $3, 0)
		ON CONFLICT (list_id, idx) DO NOTHING`, listID, idx, documentID)
	return n == 1, err
}

// InsertDecoys takes places of a list, each different and none of them taken, for no document, and sets them invalid for ever. They count
// as used.
func (t *Tx) InsertDecoys(ctx context.Context, listID string, indices []uint64) error {
	const most = 500 // rows of one statement
	if _, err := t.exec(ctx, `UPDATE status_lists SET used = used + $1 WHERE id = $2`, len(indices), listID); err != nil {
		return err
	}
	for len(indices) > 0 {
		some := indices[:min(most, len(indices))]
		indices = indices[len(some):]
		var rows strings.Builder
		args := make([]any, 1, len(some)+1)
		args[0] = listID
		for i, idx := range some {
			if i > 0 {
				rows.WriteString(", ")
			}
			args = append(args, idx)
			fmt.Fprintf(&rows, "($1, $%d, '', 1)", len(args))
		}
		if _, err := t.exec(ctx, `INSERT INTO status_entries (list_id, idx, document_id, value) VALUES `+rows.String(), args...); err != nil {
			return err
		}
	}
	return nil
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

// StatusAt reads whose a place in a list is, and its value. The document is empty for a decoy. ErrNotFound: nobody's.
func (q Queries) StatusAt(ctx context.Context, listID string, idx uint64) (documentID string, value uint8, err error) {
	var row struct {
		DocumentID string `db:"document_id"`
		Value      uint8  `db:"value"`
	}
	if idx > 1<<62 { // beyond what either database counts to
		return "", 0, ErrNotFound
	}
	err = q.get(ctx, &row, `SELECT document_id, value FROM status_entries WHERE list_id = $1 AND idx = $2`, listID, idx)
	return row.DocumentID, row.Value, err
}

// StatusToken is a list as it was last signed, in both forms, for all processes to serve.
type StatusToken struct {
	Revision  int64  `db:"revision"` // how often the list was signed; 0 = never, then the rest is empty
	CWT       []byte `db:"cwt"`
	JWT       []byte `db:"jwt"`
	BuiltAt   Time   `db:"built_at"` // nothing that changed before this moment is missing
	ExpiresAt Time   `db:"expires_at"`
	Claimed   bool   `db:"claimed"` // somebody is signing the next ones, or has died of it
}

// StatusToken reads the signed forms of a list. ErrNotFound: nobody has tried to sign it yet.
func (q Queries) StatusToken(ctx context.Context, listID string) (StatusToken, error) {
	var t StatusToken
	err := q.get(ctx, &t, `SELECT revision, cwt, jwt, built_at, expires_at, claim <> '' AS claimed FROM status_tokens WHERE list_id = $1`,
		listID)
	return t, err
}

// ClaimStatusToken lets one caller alone sign a list: true if it was last signed at or before due, and nobody else's claim lasts. The claim
// lasts to until, or to the end of the signing.
func (q Queries) ClaimStatusToken(ctx context.Context, listID, claim string, now, due, until time.Time) (bool, error) {
	n, err := q.exec(ctx, `INSERT INTO status_tokens (list_id, revision, claim, claimed_until) VALUES ($1, 0, $2, $3)
		ON CONFLICT (list_id) DO UPDATE SET claim = excluded.claim, claimed_until = excluded.claimed_until
		WHERE (status_tokens.built_at IS NULL OR status_tokens.built_at <= $4) AND status_tokens.claimed_until <= $5`,
		listID, claim, At(until), At(due), At(now))
	return n == 1, err
}

// StoreStatusToken replaces the signed forms of a list and ends the claim. ErrChanged: the claim was over, and somebody else has one.
func (q Queries) StoreStatusToken(ctx context.Context, listID, claim string, t StatusToken) error {
	return q.change(ctx, `UPDATE status_tokens SET revision = revision + 1, cwt = $1, jwt = $2, built_at = $3, expires_at = $4, claim = '',
		claimed_until = $3 WHERE list_id = $5 AND claim = $6`, t.CWT, t.JWT, t.BuiltAt, t.ExpiresAt, listID, claim)
}

// ReleaseStatusToken ends a claim without a result; others may try from the given time on.
func (q Queries) ReleaseStatusToken(ctx context.Context, listID, claim string, from time.Time) error {
	_, err := q.exec(ctx, `UPDATE status_tokens SET claim = '', claimed_until = $1 WHERE list_id = $2 AND claim = $3`, At(from), listID, claim)
	return err
}
