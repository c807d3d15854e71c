package issuer

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	startGrace      = 10 * time.Second // how long a fresh request may take to start by itself
	unsentGrace     = 30 * time.Minute // longer than the longest pause between two tries of a message
	silenceGrace    = 5 * time.Minute  // longer than a page of a batch is silent while it is worked on
	startsAtOnce    = 500
	housekeepingGap = time.Hour
)

// Reconcile starts the workflows of requests, cancellations and batches that should be running: received while the engine was down, past a deadline
// that nobody kept, or without a sign of life. start is for those of requests. Once in an hour it also keeps house. It gives the number of workflows started.
func (is *Issuer) Reconcile(ctx context.Context, start func(ctx context.Context, requestID string) error) (int, error) {
	before := is.Now().Add(-startGrace)
	requests, err := is.Store.RequestsToStart(ctx, before, is.Now().Add(-unsentGrace), startsAtOnce)
	if err != nil {
		return 0, fmt.Errorf("find requests to start: %w", err)
	}
	for n, id := range requests {
		if err := start(ctx, id); err != nil {
			return n, err
		}
	}
	cancellations, err := is.Store.CancellationsToStart(ctx, before, startsAtOnce)
	if err != nil {
		return len(requests), fmt.Errorf("find cancellations to start: %w", err)
	}
	started := len(requests)
	for _, id := range cancellations {
		if err := is.Engine.StartCancellation(ctx, id); err != nil {
			return started, err
		}
		started++
	}
	batches, err := is.Store.BatchesToStart(ctx, before, is.Now().Add(-silenceGrace), startsAtOnce)
	if err != nil {
		return started, fmt.Errorf("find batches to start: %w", err)
	}
	for _, id := range batches {
		if err := is.Engine.StartBatch(ctx, id); err != nil {
			return started, err
		}
		started++
	}
	if now := is.Now(); is.housekeeping.due(now) {
		if err := is.keepHouse(ctx); err != nil {
			return started, err
		}
		is.housekeeping.done(now)
	}
	return started, nil
}

// keepHouse renews signers and the revocation list in time, and erases signed documents that no wallet will ask for any more (F1).
func (is *Issuer) keepHouse(ctx context.Context) error {
	if err := is.EnsureAuthority(ctx); err != nil {
		return fmt.Errorf("renew certificates: %w", err)
	}
	if _, err := is.Store.DropSigned(ctx, is.Now().Add(-is.cfg.KeepSigned)); err != nil {
		return fmt.Errorf("erase collected documents: %w", err)
	}
	return nil
}

// interval says when something is due again; in each process by itself, which is harmless.
type interval struct {
	mu   sync.Mutex
	last time.Time
}

func (i *interval) due(now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return now.Sub(i.last) >= housekeepingGap
}

func (i *interval) done(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last = now
}
