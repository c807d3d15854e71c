package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

func batchOf(operation domain.BatchOperation) domain.Batch {
	return domain.Batch{ID: id(), Operation: operation, Reason: domain.ReasonLost, Notes: "n", CreatedBy: "me", Machine: true,
		State: domain.BatchReceived, CreatedAt: kept, UpdatedAt: kept}
}

// insertBatch adds a batch of the subjects.
func insertBatch(t *testing.T, b backend, batch domain.Batch, items ...domain.BatchItem) domain.Batch {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.InsertBatch(ctx, batch); err != nil {
			return err
		}
		for i := range items {
			items[i].BatchID, items[i].N, items[i].State, items[i].UpdatedAt = batch.ID, i+1, domain.ItemPending, kept
		}
		if err := tx.InsertBatchItems(ctx, items); err != nil {
			return err
		}
		return tx.SetBatchTotal(ctx, batch.ID, len(items))
	}))
	batch.Total = len(items)
	return batch
}

func TestBatches(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		want := batchOf(domain.BatchRequest)
		want.ProfileID, want.ExpiryDate = s.profile.ID, "2030-01-01"
		want = insertBatch(t, b, want, domain.BatchItem{SubjectID: s.person.ID, PersonID: s.person.ID}, domain.BatchItem{SubjectID: "unknown"})
		got, err := b.Batch(ctx, want.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, err = b.Batch(ctx, id())
		require.ErrorIs(t, err, store.ErrNotFound)

		require.ErrorIs(t, b.CompleteBatch(ctx, want.ID, kept), store.ErrChanged, "not begun")
		later := kept.Add(time.Minute)
		require.NoError(t, b.BeginBatch(ctx, want.ID, later))
		require.ErrorIs(t, b.BeginBatch(ctx, want.ID, later), store.ErrChanged)
		require.Error(t, b.CountBatchItems(ctx, want.ID, 1, 0, later), "no item is done before it is begun")
		require.NoError(t, b.HandOut(ctx, want.ID, 2, later))
		require.NoError(t, b.HandOut(ctx, want.ID, 1, later), "an earlier page takes nothing back")
		require.NoError(t, b.CountBatchItems(ctx, want.ID, 1, 0, later))
		require.ErrorIs(t, b.CompleteBatch(ctx, want.ID, later), store.ErrChanged, "one item is left")
		require.NoError(t, b.CountBatchItems(ctx, want.ID, 0, 1, later))
		require.Error(t, b.CountBatchItems(ctx, want.ID, 0, 1, later), "no more items than there are")
		require.NoError(t, b.CompleteBatch(ctx, want.ID, later))
		require.ErrorIs(t, b.CompleteBatch(ctx, want.ID, later), store.ErrChanged)
		want.State, want.Begun, want.Completed, want.Failed, want.UpdatedAt, want.EndedAt = domain.BatchCompleted, 2, 1, 1, later, later
		got, err = b.Batch(ctx, want.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestSelections(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		division := domain.Group{ID: id(), Name: "D", Path: "D", Version: 1, CreatedAt: kept, UpdatedAt: kept}
		require.NoError(t, b.InsertGroup(ctx, division))
		department := domain.Group{ID: id(), ParentID: division.ID, Name: "d", Path: "D/d", Version: 1, CreatedAt: kept, UpdatedAt: kept}
		require.NoError(t, b.InsertGroup(ctx, department))
		var inside, outside []samples
		for i := range 7 {
			s := insertSamples(t, b)
			if i%2 == 0 {
				s.person.GroupID, s.person.Group, s.person.Version = department.ID, department.Path, 2
				require.NoError(t, b.UpdatePerson(ctx, s.person))
				inside = append(inside, s)
			} else {
				outside = append(outside, s)
			}
			if i < 6 { // the last one stays prepared
				require.NoError(t, b.Activate(ctx, s.document, domain.Plan{}, kept))
			}
		}
		people := func(all ...samples) []string {
			var ids []string
			for _, s := range all {
				ids = append(ids, s.person.ID)
			}
			slices.Sort(ids)
			return ids
		}
		documents := func(all ...samples) []string {
			var ids []string
			for _, s := range all {
				ids = append(ids, s.document.ID)
			}
			slices.Sort(ids)
			return ids
		}
		onlyInside := domain.Within{GroupID: department.ID}
		all := slices.Concat(inside, outside)
		for name, c := range map[string]struct {
			of   store.Selection
			want []string
		}{
			"everybody":           {store.Selection{People: &store.PersonFilter{Within: everybody}, Within: everybody}, people(all...)},
			"nobody to be found":  {store.Selection{People: &store.PersonFilter{}, Within: everybody}, nil},
			"nobody to act on":    {store.Selection{People: &store.PersonFilter{Within: everybody}}, nil},
			"people found inside": {store.Selection{People: &store.PersonFilter{Within: onlyInside}, Within: everybody}, people(inside...)},
			"people acted on":     {store.Selection{People: &store.PersonFilter{Within: everybody}, Within: onlyInside}, people(inside...)},
			"one person": {store.Selection{People: &store.PersonFilter{Within: everybody, ID: inside[1].person.ID},
				Within: onlyInside}, people(inside[1])},
			"documents": {store.Selection{Documents: &store.DocumentFilter{Within: everybody}, Within: everybody},
				documents(slices.Concat(inside[:3], outside)...)},
			"documents inside": {store.Selection{Documents: &store.DocumentFilter{Within: everybody}, Within: onlyInside},
				documents(inside[:3]...)},
			"documents of nobody": {store.Selection{Documents: &store.DocumentFilter{Within: everybody}}, nil},
			"documents of a group": {store.Selection{Documents: &store.DocumentFilter{Within: everybody, GroupID: department.ID},
				Within: everybody}, documents(inside[:3]...)},
			"documents of none": {store.Selection{Documents: &store.DocumentFilter{Within: everybody, GroupID: division.ID},
				Within: everybody}, nil},
			"documents of division": {store.Selection{Documents: &store.DocumentFilter{Within: everybody, GroupID: division.ID,
				GroupsBelow: true}, Within: everybody}, documents(inside[:3]...)},
			"active after the end": {store.Selection{Documents: &store.DocumentFilter{Within: everybody, State: domain.DocumentActive,
				At: kept.Add(2 * time.Hour)}, Within: everybody}, nil},
		} {
			t.Run(name, func(t *testing.T) {
				n, err := b.CountSelected(ctx, c.of, 100)
				require.NoError(t, err)
				require.Len(t, c.want, n)
				n, err = b.CountSelected(ctx, c.of, 2)
				require.NoError(t, err)
				require.Equal(t, min(2, len(c.want)), n)

				first, err := b.Selected(ctx, c.of, 2)
				require.NoError(t, err)
				require.Len(t, first, min(2, len(c.want)))

				batch := insertBatch(t, b, batchOf(domain.BatchDisable))
				n, err = b.InsertSelected(ctx, batch.ID, c.of, 100)
				require.NoError(t, err)
				require.Len(t, c.want, n)
				items, err := b.PendingBatchItems(ctx, batch.ID, 1, 100, 100)
				require.NoError(t, err)
				var got []string
				for i, it := range items {
					require.Equal(t, i+1, it.N)
					require.Equal(t, kept, it.UpdatedAt)
					require.NotEmpty(t, it.PersonID)
					got = append(got, it.SubjectID)
				}
				require.Equal(t, c.want, got)
				for i, it := range first {
					require.Equal(t, items[i].SubjectID, it.SubjectID)
					require.Equal(t, items[i].PersonID, it.PersonID)
				}
				bounded := insertBatch(t, b, batchOf(domain.BatchDisable))
				n, err = b.InsertSelected(ctx, bounded.ID, c.of, 2)
				require.NoError(t, err)
				require.Equal(t, min(2, len(c.want)), n)
			})
		}

		owners, err := b.DocumentOwners(ctx, onlyInside, inside[0].document.ID, outside[0].document.ID, inside[3].document.ID, id())
		require.NoError(t, err)
		require.Equal(t, map[string]string{inside[0].document.ID: inside[0].person.ID}, owners, "not outside, not prepared, not unknown")
		loaded, err := b.DocumentsByID(ctx, inside[0].document.ID, id())
		require.NoError(t, err)
		require.Len(t, loaded, 1)
		require.Equal(t, domain.DocumentActive, loaded[inside[0].document.ID].State)
	})
}

func TestBatchItems(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		one, two := insertSamples(t, b), insertSamples(t, b)
		require.NoError(t, b.Activate(ctx, one.document, domain.Plan{}, kept))
		batch := insertBatch(t, b, batchOf(domain.BatchCancel),
			domain.BatchItem{SubjectID: one.document.ID, PersonID: one.person.ID},
			domain.BatchItem{SubjectID: two.document.ID}, // not found when the batch was made
			domain.BatchItem{SubjectID: one.document.ID, PersonID: two.person.ID},
			domain.BatchItem{SubjectID: id(), PersonID: two.person.ID})
		require.NoError(t, b.HandOut(ctx, batch.ID, 3, kept))
		later := kept.Add(time.Minute)
		done := []domain.BatchItem{{N: 1, State: domain.ItemCompleted},
			{N: 2, State: domain.ItemFailed, Code: domain.CodeNotFound, Message: "document not found"}}
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.EndBatchItems(ctx, batch.ID, done, later) }))
		err := b.Tx(ctx, func(tx *store.Tx) error {
			return tx.EndBatchItems(ctx, batch.ID, []domain.BatchItem{{N: 2, State: domain.ItemCompleted}, {N: 3, State: domain.ItemCompleted}},
				later)
		})
		require.ErrorIs(t, err, store.ErrChanged, "an item ends once")

		list := func(want store.BatchItemFilter, after, limit int) []domain.BatchItem {
			want.BatchID = batch.ID
			all, err := b.BatchItems(ctx, want, after, limit)
			require.NoError(t, err)
			return all
		}
		all := list(store.BatchItemFilter{Within: everybody}, 0, 10)
		require.Equal(t, []domain.BatchItem{
			{BatchID: batch.ID, N: 1, SubjectID: one.document.ID, PersonID: one.person.ID, DocumentID: one.document.ID,
				RequestID: one.request.ID, Serial: one.document.Serial, Platform: domain.PlatformIOS, State: domain.ItemCompleted, UpdatedAt: later},
			{BatchID: batch.ID, N: 2, SubjectID: two.document.ID, State: domain.ItemFailed, Code: domain.CodeNotFound,
				Message: "document not found", UpdatedAt: later},
			{BatchID: batch.ID, N: 3, SubjectID: one.document.ID, PersonID: two.person.ID, DocumentID: one.document.ID,
				RequestID: one.request.ID, Serial: one.document.Serial, Platform: domain.PlatformIOS, State: domain.ItemInProgress, UpdatedAt: kept},
			{BatchID: batch.ID, N: 4, SubjectID: all[3].SubjectID, PersonID: two.person.ID, State: domain.ItemPending, UpdatedAt: kept},
		}, all)
		numbers := func(items []domain.BatchItem) []int {
			var out []int
			for _, it := range items {
				out = append(out, it.N)
			}
			return out
		}
		of := func(s samples) domain.Within { return domain.Within{PersonID: s.person.ID} }
		require.Equal(t, []int{2, 3}, numbers(list(store.BatchItemFilter{Within: everybody}, 1, 2)))
		require.Equal(t, []int{1}, numbers(list(store.BatchItemFilter{Within: everybody, State: domain.ItemCompleted}, 0, 9)))
		require.Equal(t, []int{2}, numbers(list(store.BatchItemFilter{Within: everybody, State: domain.ItemFailed}, 0, 9)))
		require.Equal(t, []int{3}, numbers(list(store.BatchItemFilter{Within: everybody, State: domain.ItemInProgress}, 0, 9)))
		require.Equal(t, []int{4}, numbers(list(store.BatchItemFilter{Within: everybody, State: domain.ItemPending}, 0, 9)))
		require.Equal(t, []int{1}, numbers(list(store.BatchItemFilter{Within: of(one)}, 0, 9)))
		require.Equal(t, []int{1, 2}, numbers(list(store.BatchItemFilter{Within: of(one), Unknown: true}, 0, 9)))
		require.Empty(t, list(store.BatchItemFilter{}, 0, 9), "the zero set reaches nobody")
		require.Equal(t, []int{2}, numbers(list(store.BatchItemFilter{Unknown: true}, 0, 9)))

		pending, err := b.PendingBatchItems(ctx, batch.ID, 1, 4, 10)
		require.NoError(t, err)
		require.Equal(t, []int{3, 4}, numbers(pending))
		pending, err = b.PendingBatchItems(ctx, batch.ID, 1, 3, 10)
		require.NoError(t, err)
		require.Equal(t, []int{3}, numbers(pending))

		asked := insertBatch(t, b, batchOf(domain.BatchRequest), domain.BatchItem{SubjectID: one.person.ID, PersonID: one.person.ID})
		require.NoError(t, b.HandOut(ctx, asked.ID, 1, kept))
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error {
			return tx.EndBatchItems(ctx, asked.ID, []domain.BatchItem{{N: 1, State: domain.ItemCompleted, RequestID: one.request.ID}}, later)
		}))
		items, err := b.BatchItems(ctx, store.BatchItemFilter{BatchID: asked.ID, Within: everybody}, 0, 9)
		require.NoError(t, err)
		require.Equal(t, one.request.ID, items[0].RequestID)
		require.Empty(t, items[0].Serial, "nothing was collected yet")
		r := one.request
		r.DocumentID = one.document.ID
		require.NoError(t, b.MoveRequest(ctx, r, r.State, r.Generation))
		items, err = b.BatchItems(ctx, store.BatchItemFilter{BatchID: asked.ID, Within: everybody}, 0, 9)
		require.NoError(t, err)
		require.Equal(t, one.document.Serial, items[0].Serial)
	})
}

func TestBatchList(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		one, two := insertSamples(t, b), insertSamples(t, b)
		first := insertBatch(t, b, batchOf(domain.BatchCancel), domain.BatchItem{SubjectID: one.document.ID, PersonID: one.person.ID})
		second := batchOf(domain.BatchDisable)
		second.CreatedBy = "you"
		second = insertBatch(t, b, second, domain.BatchItem{SubjectID: two.document.ID, PersonID: two.person.ID})
		require.NoError(t, b.BeginBatch(ctx, second.ID, kept))
		of := func(s samples) domain.Within { return domain.Within{PersonID: s.person.ID} }
		for name, c := range map[string]struct {
			want store.BatchFilter
			ids  []string
		}{
			"all":                 {store.BatchFilter{Within: everybody}, []string{second.ID, first.ID}},
			"none":                {store.BatchFilter{}, nil},
			"own":                 {store.BatchFilter{OwnerID: "me"}, []string{first.ID}},
			"about somebody":      {store.BatchFilter{Within: of(two)}, []string{second.ID}},
			"own or about":        {store.BatchFilter{Within: of(two), OwnerID: "me"}, []string{second.ID, first.ID}},
			"own or about, ended": {store.BatchFilter{Within: of(two), OwnerID: "me", State: domain.BatchCompleted}, nil},
			"operation":           {store.BatchFilter{Within: everybody, Operation: domain.BatchCancel}, []string{first.ID}},
			"state":               {store.BatchFilter{Within: everybody, State: domain.BatchRunning}, []string{second.ID}},
			"maker":               {store.BatchFilter{Within: everybody, CreatedBy: "you"}, []string{second.ID}},
			"id":                  {store.BatchFilter{Within: of(one), ID: first.ID}, []string{first.ID}},
			"id out of reach":     {store.BatchFilter{Within: of(one), ID: second.ID}, nil},
		} {
			all, err := b.Batches(ctx, c.want, store.Page{Limit: 10})
			require.NoError(t, err, name)
			var ids []string
			for _, x := range all {
				ids = append(ids, x.ID)
			}
			require.Equal(t, c.ids, ids, name)
		}

		for name, c := range map[string]struct {
			before, stale time.Time
			ids           []string
		}{
			"too early":           {kept, kept, nil},
			"not begun":           {kept.Add(1), kept, nil}, // cut to micro-seconds, this is the same instant
			"not begun in time":   {kept.Add(time.Second), kept, []string{first.ID}},
			"no sign of life":     {kept, kept.Add(time.Second), []string{second.ID}},
			"both, one at a time": {kept.Add(time.Second), kept.Add(time.Second), []string{first.ID}},
		} {
			ids, err := b.BatchesToStart(ctx, c.before, c.stale, 1)
			require.NoError(t, err, name)
			require.Equal(t, c.ids, ids, name)
		}
	})
}

// One statement takes hundreds of rows; more than that takes several statements.
func TestManyAuditEntriesAtOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		const many = 1203
		entries := make([]domain.AuditEntry, many)
		for i := range entries {
			entries[i] = domain.AuditEntry{At: now, Actor: "me", Action: "many", Subject: id()}
		}
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.AppendAudit(ctx, entries...) }))
		got, err := b.Audit(ctx, store.AuditFilter{Action: "many"}, 0, many+1)
		require.NoError(t, err)
		require.Len(t, got, many)
		hash := ""
		for i, e := range got {
			require.Equal(t, int64(i+1), e.Seq)
			require.Equal(t, entries[i].Subject, e.Subject)
			hash = e.Chain(hash)
			require.Equal(t, hash, e.Hash)
		}
		_, head, err := b.AuditHead(ctx)
		require.NoError(t, err)
		require.Equal(t, hash, head)
	})
}
