package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

func TestBatchOperations(t *testing.T) {
	for _, o := range domain.BatchOperations() {
		require.True(t, o.Valid(), o)
		require.True(t, o.Permission().Valid(), o)
		act, documents := o.DocumentAct()
		require.Equal(t, o != domain.BatchRequest, documents, o)
		if documents {
			require.Contains(t, domain.DocumentActs(), act)
			require.Equal(t, string(o), string(act), "the batch is called as the act")
		}
	}
	require.False(t, domain.BatchOperation("erase").Valid())
	require.Empty(t, domain.BatchOperation("erase").Permission())
}

func TestBatchCounts(t *testing.T) {
	for name, c := range map[string]struct {
		batch               domain.Batch
		pending, inProgress int
	}{
		"received": {domain.Batch{Total: 9}, 9, 0},
		"running":  {domain.Batch{Total: 9, Begun: 6, Completed: 3, Failed: 1}, 3, 2},
		"ended":    {domain.Batch{Total: 9, Begun: 9, Completed: 8, Failed: 1}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.pending, c.batch.Pending())
			require.Equal(t, c.inProgress, c.batch.InProgress())
			require.Equal(t, c.batch.Total, c.pending+c.inProgress+c.batch.Completed+c.batch.Failed)
		})
	}
}
