// Package store keeps everything mdocket remembers, in SQLite or PostgreSQL with one query text for both. It knows rows and transactions,
// not rules: what may happen when is decided in internal/issuer.
//
// What a call returned without error is durable once its transaction is committed.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq" // also registers the driver "postgres"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // also registers the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What a caller decides on.
var (
	// ErrNotFound means that no row matches.
	ErrNotFound = errors.New("store: not found")
	// ErrExists means that a unique rule refused the row.
	ErrExists = errors.New("store: exists already")
	// ErrChanged means that a conditional change found the row in another state or version.
	ErrChanged = errors.New("store: changed meanwhile")
)

//go:embed migrations
var migrations embed.FS

// Inserts number no parameters on SQLite: there $1 is a name, and looking thousands of names up costs more than the rows.
func init() { sqlx.BindDriver("sqlite", sqlx.QUESTION) }

// Queries are the reads and writes; on a Store each is its own transaction, on a Tx all belong to one.
type Queries struct {
	ext sqlx.ExtContext
	now func() time.Time
}

// Store is an open database.
type Store struct {
	Queries
	db       *sqlx.DB
	prepared *statements
	turns    turns
	driver   string
}

// Tx is one transaction.
type Tx struct{ Queries }

// Open opens the database at dsn: "sqlite:PATH" or "postgres://…". It does not migrate.
func Open(ctx context.Context, dsn string) (*Store, error) {
	driver, source, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	db, err := sqlx.Open(driver, source)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	var writers turns
	switch driver {
	case "sqlite":
		writers = make(turns, 1)
		db.SetMaxOpenConns(8)
		db.SetMaxIdleConns(8)
	default:
		db.SetMaxOpenConns(24)
		db.SetMaxIdleConns(24)
		db.SetConnMaxIdleTime(5 * time.Minute)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("reach database: %w", err)
	}
	prepared := newStatements(db)
	return &Store{Queries: Queries{ext: onStore{db, prepared, writers}, now: time.Now}, db: db, prepared: prepared, turns: writers, driver: driver}, nil
}

// parseDSN turns our address form into what the drivers want. Passwords never appear in its errors.
func parseDSN(dsn string) (driver, source string, err error) {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok && path != "" {
		q := url.Values{
			"_txlock": {"immediate"},
			"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(ON)", "cache_size(-16000)"},
		}
		return "sqlite", "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode(), nil
	}
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		u, err := url.Parse(dsn)
		if err != nil {
			return "", "", errors.New("open database: the postgres address is not a valid URL")
		}
		q := u.Query()
		if q.Get("sslmode") == "" {
			q.Set("sslmode", "verify-full") // the driver's default has changed over time; ours does not
		}
		if q.Get("connect_timeout") == "" {
			q.Set("connect_timeout", "10")
		}
		u.RawQuery = q.Encode()
		return "postgres", u.String(), nil
	}
	return "", "", errors.New("open database: want sqlite:PATH or postgres://USER@HOST/NAME")
}

// Close releases the connections.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.driver == "postgres" {
		return nil // all it could say is that the server has closed a connection before, by a restart for example
	}
	return err
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Driver gives "sqlite" or "postgres".
func (s *Store) Driver() string { return s.driver }

// Migrate brings the schema to the newest version and returns how many steps it took. Several processes may call it at once.
func (s *Store) Migrate(ctx context.Context) (int, error) {
	p, err := s.migrator()
	if err != nil {
		return 0, err
	}
	if s.driver == "postgres" {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return 0, fmt.Errorf("migrate: %w", err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(7021867413)`); err != nil {
			return 0, fmt.Errorf("lock for migration: %w", err)
		}
		defer func() {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(7021867413)`)
		}()
	}
	steps, err := p.Up(ctx)
	for i := 0; err != nil && s.overtaken(ctx, err, i); i++ {
		steps, err = p.Up(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	return len(steps), nil
}

// overtaken says whether a migration of SQLite is worth another try: SQLite has no lock that outlives a transaction, so of two migrations at the
// same time one fails at what the other has just made. Each step is a transaction, so nothing is left half done.
func (s *Store) overtaken(ctx context.Context, err error, tries int) bool {
	const most, pause = 20, 50 * time.Millisecond
	var failed *sqlite.Error
	if tries == most || !errors.As(err, &failed) {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

// CheckSchema refuses a database that is not at the version this program needs.
func (s *Store) CheckSchema(ctx context.Context) error {
	p, err := s.migrator()
	if err != nil {
		return err
	}
	pending, err := p.HasPending(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if pending {
		return errors.New("the database schema is older than this program: run `mdocket migrate`")
	}
	return nil
}

func (s *Store) migrator() (*goose.Provider, error) {
	dialect := goose.DialectSQLite3
	if s.driver == "postgres" {
		dialect = goose.DialectPostgres
	}
	dir, err := fs.Sub(migrations, "migrations/"+s.driver)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, s.db.DB, dir)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

// Tx runs fn in one transaction and commits when it returns nil. fn may run again after a serialization failure or deadlock, so it must
// not do anything outside the transaction.
func (s *Store) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	const tries, pause = 5, 20 * time.Millisecond
	for i := 1; ; i++ {
		err := s.once(ctx, fn)
		if err == nil || i == tries || !transient(err) {
			return err
		}
		// The other transaction goes first: trying again at once could take its lock away and meet the same deadlock.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(i) * pause):
		}
	}
}

func (s *Store) once(ctx context.Context, fn func(tx *Tx) error) error {
	missed, err := s.inTurn(ctx, fn)
	if err != nil {
		return err
	}
	for _, query := range missed {
		s.prepared.prepare(ctx, query)
	}
	return nil
}

// inTurn is one try of a transaction; it gives the texts that were not known.
func (s *Store) inTurn(ctx context.Context, fn func(tx *Tx) error) (missed []string, err error) {
	end, err := s.turns.take(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer end()
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	in := &onTx{Tx: tx, statements: s.prepared}
	if err := fn(&Tx{Queries{ext: in, now: s.now}}); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return in.missed, nil
}

// transient says whether the whole transaction may be tried again.
func transient(err error) bool {
	var pe *pq.Error
	if errors.As(err, &pe) {
		return pe.Code == "40001" || pe.Code == "40P01"
	}
	var se *sqlite.Error
	if errors.As(err, &se) {
		return se.Code()&0xff == sqlite3.SQLITE_BUSY || se.Code()&0xff == sqlite3.SQLITE_LOCKED
	}
	return false
}

// translate turns driver errors into the sentinels.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	var pe *pq.Error
	if errors.As(err, &pe) && pe.Code == "23505" {
		return fmt.Errorf("%w (%s)", ErrExists, pe.Constraint)
	}
	var se *sqlite.Error
	if errors.As(err, &se) && (se.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || se.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return ErrExists
	}
	return err
}

// get reads one row into dest; no row is ErrNotFound.
func (q Queries) get(ctx context.Context, dest any, query string, args ...any) error {
	err := sqlx.GetContext(ctx, q.ext, dest, query, args...)
	if unstorable(err) {
		return ErrNotFound
	}
	return translate(err)
}

// list reads all rows into dest, a pointer to a slice.
func (q Queries) list(ctx context.Context, dest any, query string, args ...any) error {
	err := sqlx.SelectContext(ctx, q.ext, dest, query, args...)
	if unstorable(err) {
		return nil
	}
	return translate(err)
}

// listAs reads all rows and gives each in another form.
func listAs[R, T any](ctx context.Context, q Queries, as func(R) T, query string, args ...any) ([]T, error) {
	var rows []R
	if err := q.list(ctx, &rows, query, args...); err != nil {
		return nil, err
	}
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = as(r)
	}
	return out, nil
}

// unstorable says that PostgreSQL was asked for a text it cannot hold (a zero byte, broken UTF-8): no row has it.
func unstorable(err error) bool {
	var pe *pq.Error
	return errors.As(err, &pe) && pe.Code == "22021"
}

// insert writes one row from a struct with db tags.
func (q Queries) insert(ctx context.Context, table, columns string, row any) error {
	_, err := sqlx.NamedExecContext(ctx, q.ext, insertText(table, columns), row)
	return translate(err)
}

// insertAll writes any number of rows, many with each statement.
func insertAll[T any](ctx context.Context, q Queries, table, columns string, rows []T) error {
	for some := range slices.Chunk(rows, rowsAtOnce) {
		if err := q.insert(ctx, table, columns, some); err != nil {
			return err
		}
	}
	return nil
}

// rowsAtOnce bounds the rows of one statement: SQLite takes 32,766 parameters.
const rowsAtOnce = 500

func insertText(table, columns string) string {
	names := strings.Split(columns, ", ")
	return "INSERT INTO " + table + " (" + columns + ") VALUES (:" + strings.Join(names, ", :") + ")"
}

// change runs a conditional update and wants exactly one row touched; otherwise ErrChanged.
func (q Queries) change(ctx context.Context, query string, args ...any) error {
	n, err := q.exec(ctx, query, args...)
	if err != nil {
		return err
	}
	if n != 1 {
		return ErrChanged
	}
	return nil
}

// exec runs a statement and gives the number of rows touched.
func (q Queries) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := q.ext.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, translate(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("count rows: %w", err)
	}
	return n, nil
}
