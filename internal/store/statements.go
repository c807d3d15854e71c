package store

import (
	"context"
	"database/sql"
	"sync"

	"github.com/jmoiron/sqlx"
)

// statements keeps the prepared form of the texts we ask again and again: to parse and plan one of our short queries costs more than to run it.
// Texts that depend on what was asked (filters, many rows at once) come in ever new forms; when there is no more room they run unprepared.
type statements struct {
	db *sqlx.DB

	mu sync.RWMutex
	by map[string]*sqlx.Stmt
}

const (
	mostStatements  = 400
	longestPrepared = 2000 // characters; longer texts write many rows at once
)

func newStatements(db *sqlx.DB) *statements { return &statements{db: db, by: map[string]*sqlx.Stmt{}} }

// known gives the prepared form of a text, or nil.
func (s *statements) known(query string) *sqlx.Stmt {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.by[query]
}

// room says whether one more text may be prepared.
func (s *statements) room(query string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.by) < mostStatements && len(query) <= longestPrepared
}

// prepare makes a text known. A text that cannot be prepared stays unknown: running it says why. It takes a connection from the pool, so it must
// not be called inside a transaction: all connections could be waiting for one more.
func (s *statements) prepare(ctx context.Context, query string) *sqlx.Stmt {
	if stmt := s.known(query); stmt != nil || !s.room(query) {
		return stmt
	}
	stmt, err := s.db.PreparexContext(ctx, query)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	first := s.by[query]
	if first == nil {
		s.by[query] = stmt
	}
	s.mu.Unlock()
	if first != nil {
		_ = stmt.Close() // without the lock: it waits for its connection, which may be busy in a transaction that needs the lock to go on
		return first
	}
	return stmt
}

// onStore runs texts prepared, each as its own transaction.
type onStore struct {
	*sqlx.DB
	*statements
	turns
}

func (s onStore) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := s.prepare(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return s.DB.QueryContext(ctx, query, args...)
}

func (s onStore) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	if stmt := s.prepare(ctx, query); stmt != nil {
		return stmt.QueryxContext(ctx, args...)
	}
	return s.DB.QueryxContext(ctx, query, args...)
}

func (s onStore) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	if stmt := s.prepare(ctx, query); stmt != nil {
		return stmt.QueryRowxContext(ctx, args...)
	}
	return s.DB.QueryRowxContext(ctx, query, args...)
}

func (s onStore) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	end, err := s.take(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if stmt := s.prepare(ctx, query); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return s.DB.ExecContext(ctx, query, args...)
}

// onTx runs texts in a transaction: prepared if they are known; what is not yet known is noted, to be prepared after the transaction.
type onTx struct {
	*sqlx.Tx
	*statements
	missed []string
}

// inTx gives the prepared form of a text for this transaction, or nil.
func (t *onTx) inTx(ctx context.Context, query string) *sqlx.Stmt {
	if stmt := t.known(query); stmt != nil {
		return t.StmtxContext(ctx, stmt)
	}
	t.missed = append(t.missed, query)
	return nil
}

func (t *onTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := t.inTx(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

func (t *onTx) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	if stmt := t.inTx(ctx, query); stmt != nil {
		return stmt.QueryxContext(ctx, args...)
	}
	return t.Tx.QueryxContext(ctx, query, args...)
}

func (t *onTx) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	if stmt := t.inTx(ctx, query); stmt != nil {
		return stmt.QueryRowxContext(ctx, args...)
	}
	return t.Tx.QueryRowxContext(ctx, query, args...)
}

func (t *onTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := t.inTx(ctx, query); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}
