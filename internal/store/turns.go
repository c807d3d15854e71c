package store

import "context"

// turns lets one writer after the other at the database, in the order they came. SQLite has one writer at a time; its own way to wait is to sleep and look
// again, ever more seldom, which leaves the unlucky waiting long after it is free. Other processes still wait in that way. Nil, as on PostgreSQL, is no
// waiting.
type turns chan struct{}

// take waits for a turn, which ends with the function given.
func (t turns) take(ctx context.Context) (end func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
