package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

const (
	planColumns  = `next_at, reminded_days, renews, data_digest, renewal_tried_at, renewal_refused`
	liveDocument = `state IN ('active', 'disabled')`
)

// DueDocument is a live document with its plan.
type DueDocument struct {
	domain.Document
	Plan domain.Plan
}

type dueRow struct {
	documentRow
	NextAt  Time   `db:"next_at"`
	Told    int    `db:"reminded_days"`
	Renews  bool   `db:"renews"`
	Digest  string `db:"data_digest"`
	Tried   Time   `db:"renewal_tried_at"`
	Refused string `db:"renewal_refused"`
}

func (r dueRow) due() DueDocument {
	return DueDocument{Document: r.document(), Plan: domain.Plan{NextAt: r.NextAt.Time, Told: r.Told, Renews: r.Renews, Digest: r.Digest,
		Tried: r.Tried.Time, Refused: r.Refused}}
}

// DueDocuments lists live documents that something is to be done about, the longest waiting first.
func (q Queries) DueDocuments(ctx context.Context, now time.Time, limit int) ([]DueDocument, error) {
	return listAs(ctx, q, dueRow.due, `SELECT `+documentColumns+`, `+planColumns+` FROM documents WHERE next_at <= $1 AND `+liveDocument+
		` ORDER BY next_at, id LIMIT $2`, At(now), limit)
}

// SetPlan writes the plan of a document if it still is in the state known, and due when it was known to be; else ErrChanged.
func (q Queries) SetPlan(ctx context.Context, known DueDocument, p domain.Plan) error {
	return q.change(ctx, `UPDATE documents SET next_at = $1, reminded_days = $2, renews = $3, data_digest = $4, renewal_tried_at = $5,
		renewal_refused = $6 WHERE id = $7 AND state = $8 AND next_at = $9`,
		At(p.NextAt), p.Told, p.Renews, p.Digest, At(p.Tried), p.Refused, known.ID, string(known.State), At(known.Plan.NextAt))
}

// renewing is a document that is renewed, or whose plan is about to say so: a sweep that is looking at it must find it changed.
const renewing = `(renews OR next_at <= $1)`

// RecheckDocumentsOf has the live documents of a person that are renewed looked at again, as if no renewal had been tried.
func (q Queries) RecheckDocumentsOf(ctx context.Context, personID string, at time.Time) error {
	_, err := q.exec(ctx, `UPDATE documents SET next_at = $1, renewal_tried_at = NULL WHERE person_id = $2 AND `+renewing+` AND `+liveDocument,
		At(at), personID)
	return err
}

// DocumentRecheck asks for live documents to be looked at again, as if no renewal had been tried: those of a profile, those that are
// renewed of the people of a group and the groups below it, or all.
type DocumentRecheck struct {
	ID        string `db:"id"`
	ProfileID string `db:"profile_id"`
	GroupID   string `db:"group_id"`
	Reached   string `db:"reached"` // id of the last document that was marked
}

// InsertDocumentRecheck records what NextRecheck is to do.
func (q Queries) InsertDocumentRecheck(ctx context.Context, r DocumentRecheck) error {
	return q.insert(ctx, "document_rechecks", "id, profile_id, group_id, reached", r)
}

// NextRecheck marks the next documents of the oldest recheck, at most so many, and says whether there was one.
func (s *Store) NextRecheck(ctx context.Context, at time.Time, limit int) (bool, error) {
	found := false
	err := s.Tx(ctx, func(tx *Tx) error {
		var r DocumentRecheck
		err := tx.get(ctx, &r, `SELECT id, profile_id, group_id, reached FROM document_rechecks ORDER BY id LIMIT 1`)
		if found = err == nil; errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("load recheck: %w", err)
		}
		ids, err := tx.recheckable(ctx, r, at, limit)
		if err != nil {
			return fmt.Errorf("find documents to recheck: %w", err)
		}
		if len(ids) < limit {
			err = tx.change(ctx, `DELETE FROM document_rechecks WHERE id = $1 AND reached = $2`, r.ID, r.Reached)
		} else {
			err = tx.change(ctx, `UPDATE document_rechecks SET reached = $1 WHERE id = $2 AND reached = $3`, ids[limit-1], r.ID, r.Reached)
		}
		if err != nil {
			return err
		}
		return tx.mark(ctx, ids, at)
	})
	if errors.Is(err, ErrChanged) { // another process marked them
		err = nil
	}
	return found, err
}

func (t *Tx) recheckable(ctx context.Context, r DocumentRecheck, at time.Time, limit int) ([]string, error) {
	var f filter
	f.add(liveDocument)
	f.add("id > ?", r.Reached)
	f.equal("profile_id", r.ProfileID)
	if r.GroupID != "" {
		f.add("(renews OR next_at <= ?)", At(at))
		f.add("person_id IN (SELECT id FROM persons WHERE group_id IN ("+groupSet(true)+"))", r.GroupID)
	}
	var ids []string
	err := t.list(ctx, &ids, `SELECT id FROM documents`+f.where()+` ORDER BY id LIMIT `+strconv.Itoa(limit), f.args...)
	return ids, err
}

func (t *Tx) mark(ctx context.Context, ids []string, at time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	var f filter
	f.add("next_at = ?", At(at))
	set := f.pop()
	f.add(liveDocument)
	f.oneOf("id", ids)
	if _, err := t.exec(ctx, `UPDATE documents SET renewal_tried_at = NULL, `+set+f.where(), f.args...); err != nil {
		return fmt.Errorf("mark documents: %w", err)
	}
	return nil
}

// LastUpdate reads the update that was asked for last of a document; ErrNotFound when there was none.
func (q Queries) LastUpdate(ctx context.Context, documentID string) (domain.Request, error) {
	var r requestRow
	err := q.get(ctx, &r, `SELECT `+requestColumns+` FROM requests WHERE replaces = $1 ORDER BY id DESC LIMIT 1`, documentID)
	return r.request(), err
}
