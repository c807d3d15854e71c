package store

import (
	"context"

	"github.com/mdocket/mdocket/internal/domain"
)

// What is open or live is said by what it is not: of many open things PostgreSQL would else look through all, where those of a few people or documents
// are asked for, as long as it does not know how many there are.
const (
	openRequest      = `state NOT IN ('issued', 'rejected', 'canceled', 'expired', 'failed')`
	openCancellation = `state NOT IN ('approved', 'rejected', 'withdrawn', 'expired')`
	heldDocument     = `state NOT IN ('prepared', 'canceled', 'expired', 'superseded')`
)

// OpenUpdates reads the open updates of the documents, at most one of each.
func (q Queries) OpenUpdates(ctx context.Context, documentIDs ...string) ([]domain.Request, error) {
	if len(documentIDs) == 0 {
		return nil, nil
	}
	var f filter
	f.add(openRequest)
	f.oneOf("replaces", documentIDs)
	return q.requests(ctx, f.where()+" ORDER BY id", f.args...)
}

// HoldOpenUpdate locks the open update of a document to the end of the transaction and reads it as it is now; ErrNotFound when there is none.
func (t *Tx) HoldOpenUpdate(ctx context.Context, documentID string) (domain.Request, error) {
	var r requestRow
	err := t.get(ctx, &r, `UPDATE requests SET updated_at = updated_at WHERE replaces = $1 AND `+openRequest+` RETURNING `+requestColumns, documentID)
	return r.request(), err
}

// NewestVersion reads the last of the documents that took each other's place by updates, beginning with the given one.
func (q Queries) NewestVersion(ctx context.Context, documentID string) (domain.Document, error) {
	var r documentRow
	err := q.get(ctx, &r, `WITH RECURSIVE versions (id) AS (SELECT CAST($1 AS TEXT)
		UNION SELECT u.document_id FROM requests u JOIN versions v ON u.replaces = v.id WHERE u.state = 'issued')
		SELECT `+documentColumns+` FROM documents WHERE id IN (SELECT id FROM versions)
		AND NOT EXISTS (SELECT 1 FROM requests u WHERE u.replaces = documents.id AND u.state = 'issued')`, documentID)
	return r.document(), err
}

// RefreshChain is what is known of the refresh tokens of a request's document, of which each use makes the next one.
type RefreshChain struct {
	Used  int    `db:"refresh_used"`  // number of the last one that was used; 0 = none yet
	Mark  string `db:"refresh_mark"`  // of that one: several may have been made with its number, and one of them counts
	Ended bool   `db:"refresh_ended"` // an old one came back: none counts any more
}

// HoldRefreshChain locks an issued request to the end of the transaction and reads it with its chain; ErrNotFound when it is not issued or of another
// generation.
func (t *Tx) HoldRefreshChain(ctx context.Context, requestID string, generation int) (domain.Request, RefreshChain, error) {
	var r struct {
		requestRow
		RefreshChain
	}
	err := t.get(ctx, &r, `UPDATE requests SET updated_at = updated_at WHERE id = $1 AND generation = $2 AND state = 'issued'
		RETURNING `+requestColumns+`, refresh_used, refresh_mark, refresh_ended`, requestID, generation)
	return r.request(), r.RefreshChain, err
}

// SetRefreshChain writes the chain of a request; ErrChanged when there is no such request.
func (q Queries) SetRefreshChain(ctx context.Context, requestID string, c RefreshChain) error {
	return q.change(ctx, `UPDATE requests SET refresh_used = $1, refresh_mark = $2, refresh_ended = $3 WHERE id = $4`, c.Used, c.Mark, c.Ended,
		requestID)
}
