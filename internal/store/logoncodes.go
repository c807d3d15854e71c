package store

import (
	"context"
	"errors"
	"time"
)

// LogonCode is what a person's logon code is made from (B8); the code itself is nowhere. A person has one at most.
type LogonCode struct {
	PersonID  string `db:"person_id"`
	Seed      []byte `db:"seed"`
	Rule      string `db:"rule"`
	Failures  int    `db:"failures"`   // wrong codes in a row, and right ones not yet compared
	ExpiresAt Time   `db:"expires_at"` // zero = until it is replaced
	CreatedAt Time   `db:"created_at"`
}

const logonCodeColumns = `person_id, seed, rule, failures, expires_at, created_at`

// PutLogonCode stores a person's logon code in place of the one before.
func (q Queries) PutLogonCode(ctx context.Context, c LogonCode) error {
	_, err := q.exec(ctx, `INSERT INTO logon_codes (`+logonCodeColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (person_id) DO UPDATE SET seed = excluded.seed, rule = excluded.rule, failures = excluded.failures,
		expires_at = excluded.expires_at, created_at = excluded.created_at`,
		c.PersonID, c.Seed, c.Rule, c.Failures, c.ExpiresAt, c.CreatedAt)
	return err
}

// LogonCode reads a person's logon code, expired or locked or not.
func (q Queries) LogonCode(ctx context.Context, personID string) (LogonCode, error) {
	var c LogonCode
	err := q.get(ctx, &c, `SELECT `+logonCodeColumns+` FROM logon_codes WHERE person_id = $1`, personID)
	return c, err
}

// CountLogonTry spends one try at a person's logon code before anything is compared, so that parallel guesses cannot outrun the limit, and
// reads the code with it; ErrChanged when there is none, it has expired, or no try is left.
func (q Queries) CountLogonTry(ctx context.Context, personID string, limit int, now time.Time) (LogonCode, error) {
	var c LogonCode
	err := q.get(ctx, &c, `UPDATE logon_codes SET failures = failures + 1 WHERE person_id = $1 AND failures < $2
		AND (expires_at IS NULL OR expires_at > $3) RETURNING `+logonCodeColumns, personID, limit, At(now))
	if errors.Is(err, ErrNotFound) {
		err = ErrChanged
	}
	return c, err
}

// ForgetLogonFailures notes that a right logon code was typed; ErrChanged when another code was made meanwhile.
func (q Queries) ForgetLogonFailures(ctx context.Context, personID string, seed []byte) error {
	return q.change(ctx, `UPDATE logon_codes SET failures = 0 WHERE person_id = $1 AND seed = $2`, personID, seed)
}

// DeleteLogonCode takes a person's logon code away; it is no error when there is none.
func (q Queries) DeleteLogonCode(ctx context.Context, personID string) error {
	_, err := q.exec(ctx, `DELETE FROM logon_codes WHERE person_id = $1`, personID)
	return err
}
