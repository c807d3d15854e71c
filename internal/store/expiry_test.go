package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// live puts an active document with a plan into the database.
func live(t *testing.T, b backend, p domain.Plan) store.DueDocument {
	t.Helper()
	s := insertSamples(t, b)
	require.NoError(t, b.Activate(t.Context(), s.document, domain.Plan{NextAt: p.NextAt, Renews: p.Renews, Digest: p.Digest}, kept))
	s.document.State = domain.DocumentActive
	d := store.DueDocument{Document: s.document, Plan: domain.Plan{NextAt: p.NextAt, Renews: p.Renews, Digest: p.Digest}}
	if p.Told != 0 || p.Tried != (time.Time{}) || p.Refused != "" {
		require.NoError(t, b.SetPlan(t.Context(), d, p))
		d.Plan = p
	}
	return d
}

func TestPlans(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		due := func(at time.Time, limit int) []store.DueDocument {
			t.Helper()
			got, err := b.DueDocuments(ctx, at, limit)
			require.NoError(t, err)
			return got
		}
		prepared := insertSamples(t, b)
		require.Empty(t, due(kept.AddDate(10, 0, 0), 10), "a prepared document has no plan")
		third := live(t, b, domain.Plan{NextAt: kept.Add(time.Microsecond)})
		first := live(t, b, domain.Plan{NextAt: kept.Add(-time.Hour), Told: 30, Renews: true, Digest: "d", Tried: kept.Add(-time.Minute),
			Refused: "missing_data"})
		second := live(t, b, domain.Plan{NextAt: kept, Renews: true, Digest: "e"})
		later := live(t, b, domain.Plan{NextAt: kept.Add(time.Hour)})
		require.Equal(t, []store.DueDocument{first, second}, due(kept, 10), "the longest waiting first")
		require.Equal(t, []store.DueDocument{first}, due(kept, 1))
		require.Equal(t, []store.DueDocument{first, second, third, later}, due(kept.Add(time.Hour), 10))

		next := domain.Plan{NextAt: kept.Add(2 * time.Hour), Told: 14}
		require.NoError(t, b.SetPlan(ctx, first, next))
		require.ErrorIs(t, b.SetPlan(ctx, first, next), store.ErrChanged, "somebody has planned it already")
		other := second
		other.State = domain.DocumentDisabled
		require.ErrorIs(t, b.SetPlan(ctx, other, next), store.ErrChanged, "it is in another state")

		// A document that stays live is due at once, one that ended never again.
		require.NoError(t, b.MoveDocument(ctx, later.ID, domain.DocumentActive, domain.DocumentDisabled, domain.DisabledByOperator,
			kept.Add(-2*time.Hour)))
		require.Equal(t, later.ID, due(kept, 10)[0].ID)
		require.NoError(t, b.MoveDocument(ctx, second.ID, domain.DocumentActive, domain.DocumentExpired, "", kept))
		for _, d := range due(kept.AddDate(10, 0, 0), 10) {
			require.NotEqual(t, second.ID, d.ID)
			require.NotEqual(t, prepared.document.ID, d.ID)
		}
		var digest string
		var planned *string
		require.NoError(t, b.raw.QueryRowContext(ctx, `SELECT data_digest, CAST(next_at AS TEXT) FROM documents WHERE id = $1`, second.ID).
			Scan(&digest, &planned))
		require.Empty(t, digest, "nothing of the person's data stays")
		require.Nil(t, planned)
	})
}

func TestRechecksOfAPerson(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		later := kept.AddDate(1, 0, 0)
		renewed := live(t, b, domain.Plan{NextAt: later, Renews: true, Tried: kept, Refused: "role_missing"})
		plain, other := live(t, b, domain.Plan{NextAt: later}), live(t, b, domain.Plan{NextAt: later, Renews: true})
		require.NoError(t, b.RecheckDocumentsOf(ctx, renewed.PersonID, kept))
		require.NoError(t, b.RecheckDocumentsOf(ctx, plain.PersonID, kept))
		due, err := b.DueDocuments(ctx, kept, 10)
		require.NoError(t, err)
		renewed.Plan.NextAt, renewed.Plan.Tried = kept, time.Time{}
		require.Equal(t, []store.DueDocument{renewed}, due)
		require.NotEqual(t, other.PersonID, renewed.PersonID)
		require.NoError(t, b.MoveDocument(ctx, renewed.ID, domain.DocumentActive, domain.DocumentCanceled, "", kept))
		require.NoError(t, b.RecheckDocumentsOf(ctx, renewed.PersonID, kept))
		due, err = b.DueDocuments(ctx, kept, 10)
		require.NoError(t, err)
		require.Empty(t, due)
	})
}

func TestRechecks(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		later := kept.AddDate(1, 0, 0)
		var all []store.DueDocument
		for i := range 5 {
			all = append(all, live(t, b, domain.Plan{NextAt: later, Renews: i%2 == 0, Tried: kept}))
		}
		top, below := domain.Group{ID: id(), Name: "Top", Path: "Top", Version: 1, CreatedAt: kept, UpdatedAt: kept}, domain.Group{}
		below = top
		below.ID, below.Name, below.Path, below.ParentID = id(), "Below", "Top/Below", top.ID
		require.NoError(t, b.InsertGroup(ctx, top))
		require.NoError(t, b.InsertGroup(ctx, below))
		for i, group := range []string{top.ID, below.ID, below.ID} {
			p, err := b.Person(ctx, all[i].PersonID)
			require.NoError(t, err)
			p.GroupID, p.Version = group, p.Version+1
			require.NoError(t, b.UpdatePerson(ctx, p))
		}
		for name, c := range map[string]struct {
			recheck store.DocumentRecheck
			want    []int
		}{
			"all":        {store.DocumentRecheck{}, []int{0, 1, 2, 3, 4}},
			"profile":    {store.DocumentRecheck{ProfileID: all[3].ProfileID}, []int{3}},
			"group":      {store.DocumentRecheck{GroupID: top.ID}, []int{0, 2}},
			"group leaf": {store.DocumentRecheck{GroupID: below.ID}, []int{2}},
			"nobody":     {store.DocumentRecheck{GroupID: id()}, nil},
		} {
			c.recheck.ID = id()
			require.NoError(t, b.InsertDocumentRecheck(ctx, c.recheck), name)
			for pages := 0; ; pages++ {
				found, err := b.NextRecheck(ctx, kept, 2)
				require.NoError(t, err)
				if !found {
					require.Equal(t, len(c.want)/2+1, pages, "%s: two at a time, and the last page is not full", name)
					break
				}
			}
			due, err := b.DueDocuments(ctx, kept, 10)
			require.NoError(t, err)
			var got []string
			for _, d := range due {
				require.Zero(t, d.Plan.Tried, name)
				got = append(got, d.ID)
				require.NoError(t, b.SetPlan(ctx, d, domain.Plan{NextAt: later, Renews: d.Plan.Renews, Tried: kept}))
			}
			var want []string
			for _, i := range c.want {
				want = append(want, all[i].ID)
			}
			require.ElementsMatch(t, want, got, name)
		}
	})
}

// However many processes sweep at once, each document is marked, and each plan is written by one.
func TestSweepsAtOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		const documents = 7
		for range documents {
			live(t, b, domain.Plan{NextAt: kept.AddDate(1, 0, 0)})
		}
		require.NoError(t, b.InsertDocumentRecheck(ctx, store.DocumentRecheck{ID: id()}))
		var mu sync.Mutex
		planned := map[string]int{}
		var g errgroup.Group
		for range 8 {
			g.Go(func() error {
				for more := true; more; {
					var err error
					if more, err = b.NextRecheck(ctx, kept, 2); err != nil {
						return err
					}
				}
				due, err := b.DueDocuments(ctx, kept, 100)
				if err != nil {
					return err
				}
				for _, d := range due {
					if b.SetPlan(ctx, d, domain.Plan{NextAt: kept.AddDate(1, 0, 0)}) == nil {
						mu.Lock()
						planned[d.ID]++
						mu.Unlock()
					}
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		require.Len(t, planned, documents)
		for _, n := range planned {
			require.Equal(t, 1, n)
		}
	})
}

func TestLastUpdate(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		_, err := b.LastUpdate(ctx, s.document.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
		for _, state := range []domain.RequestState{domain.RequestRejected, domain.RequestExpired} {
			u := updateOf(s, s.document.ID)
			u.State = state
			require.NoError(t, b.InsertRequest(ctx, u))
			last, err := b.LastUpdate(ctx, s.document.ID)
			require.NoError(t, err)
			require.Equal(t, u, last)
		}
	})
}

// Documents from before there were plans are due: the first look makes their plans.
func TestEarlierDocumentsAreDue(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			ctx := t.Context()
			b := unmigrated(t, driver)
			require.NoError(t, b.MigrateTo(ctx, 7))
			var want []string
			for _, state := range domain.DocumentStates() {
				s := insertSamples(t, b)
				require.NoError(t, b.Exec(ctx, `UPDATE documents SET state = $1 WHERE id = $2`, string(state), s.document.ID))
				if state.Live() {
					want = append(want, s.document.ID)
				}
			}
			_, err := b.Migrate(ctx)
			require.NoError(t, err)
			due, err := b.DueDocuments(ctx, kept, 10)
			require.NoError(t, err)
			var got []string
			for _, d := range due {
				got = append(got, d.ID)
				require.NoError(t, b.SetPlan(ctx, d, domain.Plan{NextAt: kept.AddDate(1, 0, 0)}))
			}
			require.Equal(t, want, got)
		})
	}
}
