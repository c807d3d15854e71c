package bench

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/standalone"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/workflows/messages"
)

// smallBatch is the batch that the large one is compared with.
const smallBatch = 1000

// batchRows carries out operations on documents by the batch, in turns with a plain loop over the same chunks in the same process, which knows no
// Temporal.
func batchRows(ctx context.Context, o Options) (rows []Row, err error) {
	b, err := newBatches(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.db.Close(), b.server.Close()) }()
	for _, b.wish = range []issuer.NewBatch{{Operation: domain.BatchCancel, Reason: domain.ReasonOther},
		{Operation: domain.BatchUpdate, Reason: domain.ReasonReprovision}} {
		more, err := b.rows(ctx, o)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// rows takes the figures of one operation.
func (b *batches) rows(ctx context.Context, o Options) ([]Row, error) {
	if _, err := b.pair(ctx, smallBatch, b.await); err != nil { // warm up, until as many workflows are in memory as there ever are
		return nil, err
	}
	b.peak = 0
	var small []pair
	for range o.Rounds {
		p, err := b.pair(ctx, smallBatch, b.takeBack)
		if err != nil {
			return nil, err
		}
		small = append(small, p)
	}
	smallPeak := b.peak
	b.peak = 0
	large, err := b.pair(ctx, o.Items, b.takeBack)
	if err != nil {
		return nil, err
	}
	m, ratio := middle(small, valueByFloor)
	name := "batch." + string(b.wish.Operation)
	against := "the same chunks in a plain loop on " + b.server.Store.Driver() + ", without Temporal (value ÷ floor"
	out := []Row{
		{Name: fmt.Sprintf("%s (%d)", name, smallBatch), Value: m.value, Unit: "/s", Floor: m.floor, Ratio: ratio, Target: "≥ 0.6",
			Against: against + ", the median round)"},
		{Name: fmt.Sprintf("%s (%d)", name, o.Items), Value: large.value, Unit: "/s", Floor: large.floor, Ratio: valueByFloor(large),
			Target: "≥ 0.6", Against: against + ")"},
		{Name: name + ".item", Value: 1000 / large.value, Unit: "ms", Floor: 1000 / m.value, Ratio: m.value / large.value, Target: "≤ 1.15",
			Against: fmt.Sprintf("time of an item in a batch of %d; the floor is that in a batch of %d", o.Items, smallBatch)},
		{Name: name + ".memory", Value: b.peak, Unit: "MiB", Floor: smallPeak, Ratio: b.peak / smallPeak, Target: "≤ 1.5",
			Against: fmt.Sprintf("resident memory of the process at the most; the floor is with batches of %d", smallBatch)},
	}
	if b.wish.Operation.MakesRequests() {
		return append(out, Row{Name: name + ".start", Value: b.starts, Unit: "/s", Against: "workflows of updates started and begun after a batch of " +
			fmt.Sprint(smallBatch)}), nil
	}
	return append(out, Row{Name: name + ".events", Value: float64(b.events), Unit: "events",
		Against: "history of the large batch; Temporal warns at 10,240"}), nil
}

// batches is a standalone server with somebody who may do everything.
type batches struct {
	server *standalone.Standalone
	db     *sql.DB // of the server, around it
	caller domain.Caller
	wish   issuer.NewBatch // what is measured
	events int64           // of the last batch
	starts float64         // workflows in a second, after a batch
	peak   float64         // MiB of the process while a batch ran
}

func newBatches(ctx context.Context, o Options) (*batches, error) {
	s, err := standalone.Start(ctx, standalone.Options{DataDir: filepath.Join(o.Dir, "batch"), BinDir: o.BinDir, Listen: "127.0.0.1:0",
		MailboxAddr: "127.0.0.1:0", Database: o.Database, Log: o.Log})
	if err != nil {
		return nil, err
	}
	b := &batches{server: s, caller: everything("bench")}
	if b.db, err = openBare(s.Config.Database); err == nil {
		err = b.account(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return b, nil
}

// everything is a caller who may do everything everywhere.
func everything(account string) domain.Caller {
	all := map[domain.Permission]domain.Scope{}
	for _, p := range domain.Permissions() {
		all[p] = domain.ScopeAll
	}
	return domain.Caller{AccountID: account, Grants: all}
}

// account makes the caller a real account: its rights are looked up while a batch runs.
func (b *batches) account(ctx context.Context) error {
	is, name := b.server.Issuer, "bench-batches"
	role, err := is.CreateRole(ctx, b.caller, "", issuer.SaveRole{Name: name, Permissions: domain.Permissions()})
	if err != nil {
		return err
	}
	account, err := is.CreateAccount(ctx, b.caller, "", issuer.NewAccount{Name: name})
	if err != nil {
		return err
	}
	if err := is.AssignRoles(ctx, b.caller, account.ID, []domain.Assignment{{RoleID: role.ID, Scope: domain.ScopeAll}}); err != nil {
		return err
	}
	b.caller.AccountID = account.ID
	return nil
}

// pair changes n documents in the plain loop and n others by a batch, and gives items a second. after says what becomes of the requests of the batch,
// so that they are not in the way of what is measured next.
func (b *batches) pair(ctx context.Context, n int, after func(context.Context) error) (pair, error) {
	var p pair
	for _, run := range []struct {
		to    *float64
		do    func(context.Context, string) error
		after func(context.Context) error
	}{{&p.floor, b.loop, b.takeBack}, {&p.value, b.batch, after}} {
		profile, err := b.seed(ctx, n)
		if err != nil {
			return p, err
		}
		started := time.Now()
		if err := run.do(ctx, profile); err != nil {
			return p, err
		}
		*run.to = float64(n) / time.Since(started).Seconds()
		if err := run.after(ctx); err != nil {
			return p, err
		}
	}
	return p, nil
}

// await returns when the workflows of all requests of a small batch have begun.
func (b *batches) await(ctx context.Context) error {
	for started := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		var left int
		if err := b.db.QueryRowContext(ctx, `SELECT count(*) FROM requests WHERE state = 'received'`).Scan(&left); err != nil {
			return fmt.Errorf("count requests: %w", err)
		}
		if left == 0 {
			b.starts = smallBatch / time.Since(started).Seconds()
			return nil
		}
	}
}

// takeBack ends the requests that no workflow has begun with.
func (b *batches) takeBack(ctx context.Context) error {
	if _, err := b.db.ExecContext(ctx, `UPDATE requests SET state = 'canceled' WHERE state = 'received'`); err != nil {
		return fmt.Errorf("take requests back: %w", err)
	}
	return nil
}

// batch has the documents of the profile changed as operators do, and waits for the end.
func (b *batches) batch(ctx context.Context, profileID string) error {
	stop := watchResident()
	defer func() { b.peak = max(b.peak, stop()) }()
	wish := b.wish
	wish.DocumentFilter = &issuer.DocumentFilter{ProfileID: profileID}
	got, err := b.server.Issuer.CreateBatch(ctx, b.caller, "", wish)
	for err == nil && got.State != domain.BatchCompleted {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		got, err = b.server.Issuer.Batch(ctx, b.caller, got.ID)
	}
	if err != nil {
		return err
	}
	if got.Failed > 0 {
		return fmt.Errorf("%d items failed", got.Failed)
	}
	d, err := b.server.Engine.Client().DescribeWorkflowExecution(ctx, messages.BatchID(got.ID), "")
	if err != nil {
		return fmt.Errorf("describe workflow: %w", err)
	}
	b.events = d.GetWorkflowExecutionInfo().GetHistoryLength()
	return nil
}

// loop does the same without the engine.
func (b *batches) loop(ctx context.Context, profileID string) error {
	now := time.Now()
	made := domain.Batch{ID: uuid.Must(uuid.NewV7()).String(), Operation: b.wish.Operation, Reason: b.wish.Reason,
		CreatedBy: b.caller.AccountID, State: domain.BatchReceived, CreatedAt: now, UpdatedAt: now}
	everybody := domain.Within{All: true}
	err := b.server.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.InsertBatch(ctx, made); err != nil {
			return err
		}
		var err error
		made.Total, err = tx.InsertSelected(ctx, made.ID, store.Selection{Within: everybody,
			Documents: &store.DocumentFilter{Within: everybody, ProfileID: profileID}}, issuer.MostBatchItems)
		if err != nil {
			return err
		}
		return tx.SetBatchTotal(ctx, made.ID, made.Total)
	})
	if err != nil {
		return fmt.Errorf("insert batch: %w", err)
	}
	is := b.server.Issuer
	if _, err := is.BeginBatch(ctx, made.ID); err != nil {
		return err
	}
	page := messages.BatchPage{BatchID: made.ID, From: 1, To: made.Total}
	if err := is.RunBatch(ctx, page, func(int) error { return ctx.Err() }); err != nil {
		return err
	}
	_, err = is.EndBatch(ctx, made.ID)
	return err
}

// seed makes a profile with n documents, and gives it. Nothing is sent for it.
func (b *batches) seed(ctx context.Context, n int) (profileID string, err error) {
	in := example.Profiles()[1]
	in.Name, in.Options.NotificationScheme = "bench-"+strings.ToLower(rand.Text()), domain.NotifyNone
	profile, err := b.server.Issuer.CreateProfile(ctx, b.caller, "", in)
	if err != nil {
		return "", err
	}
	if err := SeedDocuments(ctx, b.server.Store, profile.ID, n); err != nil {
		return "", err
	}
	if _, err := b.db.ExecContext(ctx, "ANALYZE"); err != nil { // as a database does by itself after a while
		return "", fmt.Errorf("analyze: %w", err)
	}
	return profile.ID, nil
}

// SeedDocuments puts n active documents of a profile, each of a person of its own, straight into the database: as rows that batches can
// work on, without keys or signed bytes. The people have what a staff badge needs and no e-mail address, so nothing is sent to them.
func SeedDocuments(ctx context.Context, s *store.Store, profileID string, n int) error {
	const part = 1000
	list := store.StatusList{ID: rand.Text(), Bits: 1, Capacity: uint64(n)} //nolint:gosec // a number of documents
	if err := s.InsertStatusList(ctx, list, time.Now()); err != nil {
		return fmt.Errorf("seed status list: %w", err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for from := 0; from < n; from += part {
		g.Go(func() error {
			return s.Tx(gctx, func(tx *store.Tx) error {
				for i := from; i < min(from+part, n); i++ {
					if err := seedDocument(gctx, tx, profileID, list.ID, uint64(i)); err != nil { //nolint:gosec // a number of documents
						return fmt.Errorf("seed document: %w", err)
					}
				}
				return nil
			})
		})
	}
	return g.Wait()
}

func seedDocument(ctx context.Context, tx *store.Tx, profileID, listID string, idx uint64) error {
	now := time.Now()
	id := func() string { return uuid.Must(uuid.NewV7()).String() }
	person := domain.Person{ID: id(), ExternalID: id(), GivenName: "Ada", FamilyName: "Beispiel", Status: domain.PersonActive, Version: 1,
		CreatedAt: now, UpdatedAt: now}
	request := domain.Request{ID: id(), PersonID: person.ID, ProfileID: profileID, Channel: domain.RequestByOperator, RequestedBy: "seed",
		State: domain.RequestIssued, CreatedAt: now, UpdatedAt: now}
	act := store.Act{ID: id(), RequestID: request.ID, Kind: domain.ActCollect, AccountID: "wallet", Applied: true, CreatedAt: now}
	document := domain.Document{ID: id(), Serial: id(), RequestID: request.ID, ActID: act.ID, PersonID: person.ID, ProfileID: profileID,
		ProfileVersion: 1, FormatID: "iso-mdl", FormatVersion: 1, DocType: "org.iso.18013.5.1.mDL", Platform: domain.PlatformAndroid,
		State: domain.DocumentActive, SignerID: "seed", SignedAt: now, ValidFrom: now, ValidUntil: now.AddDate(1, 0, 0), Copies: 1,
		CreatedAt: now,
		UpdatedAt: now}
	for _, insert := range []func() error{
		func() error { return tx.InsertPerson(ctx, person) },
		func() error { return tx.InsertRequest(ctx, request) },
		func() error { return tx.InsertAct(ctx, act) },
		func() error { return tx.InsertDocument(ctx, document) },
		func() error { _, err := tx.TakeStatusIndex(ctx, listID, idx, document.ID); return err },
	} {
		if err := insert(); err != nil {
			return err
		}
	}
	return nil
}
