package store

import (
	"context"
	"errors"
	"time"
)

// turns lets one writer after the other at the database, in the order they came. SQLite has one writer at a time; its own way to wait is to sleep and look
// again, ever more seldom, which leaves the unlucky waiting long after it is free. Other processes still wait in that way. Nil, as on PostgreSQL, is no
// waiting.
type turns chan struct{}

// turnPatience bounds the wait, so that a writer who waits for itself, inside a transaction for one outside, fails instead of hanging.
const turnPatience = 30 * time.Second

var errBusy = errors.New("others have been writing for too long")

// take waits for a turn, which ends with the function given.
func (t turns) take(ctx context.Context) (end func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	end = func() { <-t }
	select {
	case t <- struct{}{}:
		return end, nil
	default:
	}
	tooLong := time.NewTimer(turnPatience)
	defer tooLong.Stop()
	select {
	case t <- struct{}{}:
		return end, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-tooLong.C:
		return nil, errBusy
	}
}
