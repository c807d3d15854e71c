package store

import "context"

// IdempotencyKey remembers which thing a caller's key made (C2).
type IdempotencyKey struct {
	AccountID   string `db:"account_id"`
	Key         string `db:"key"`
	Act         string `db:"act"`
	Fingerprint string `db:"fingerprint"`
	ResourceID  string `db:"resource_id"`
	CreatedAt   Time   `db:"created_at"`
}

const idempotencyColumns = `account_id, key, act, fingerprint, resource_id, created_at`

// InsertIdempotencyKey claims a key in the transaction that makes the thing; ErrExists when it is claimed.
func (q Queries) InsertIdempotencyKey(ctx context.Context, k IdempotencyKey) error {
	return q.insert(ctx, "idempotency_keys", idempotencyColumns, k)
}

// IdempotencyKey reads a claimed key.
func (q Queries) IdempotencyKey(ctx context.Context, accountID, key string) (IdempotencyKey, error) {
	var k IdempotencyKey
	err := q.get(ctx, &k, `SELECT `+idempotencyColumns+` FROM idempotency_keys WHERE account_id = $1 AND key = $2`, accountID, key)
	return k, err
}
