package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

// A derived document needs an active one of its parent's profile, of several the one that ends last, and ends with it.
func TestDerivedDocuments(t *testing.T) {
	everywhere := []string{"request", "approval", "collection"}
	held := func(id, profileID string, state domain.DocumentState, days int) domain.Document {
		return domain.Document{ID: id, ProfileID: profileID, State: state, ValidUntil: noon.AddDate(0, 0, days)}
	}
	for name, c := range map[string]struct {
		held   []domain.Document
		parent string
		days   int
	}{
		"none":               {},
		"of another profile": {held: []domain.Document{held("a", "other", domain.DocumentActive, 10)}},
		"disabled":           {held: []domain.Document{held("a", "parent", domain.DocumentDisabled, 10)}},
		"past its end":       {held: []domain.Document{held("a", "parent", domain.DocumentActive, 0)}},
		"active":             {held: []domain.Document{held("a", "parent", domain.DocumentActive, 10)}, parent: "a", days: 10},
		"several": {held: []domain.Document{held("a", "parent", domain.DocumentActive, 10),
			held("b", "parent", domain.DocumentActive, 30), held("c", "parent", domain.DocumentDisabled, 40)}, parent: "b", days: 30},
		"longer than the rest": {held: []domain.Document{held("a", "parent", domain.DocumentActive, 900)}, parent: "a", days: 100},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(f *domain.Facts) {
				f.Profile.Options.DerivedFrom, f.Profile.Options.LifetimeDays, f.Documents = "parent", 100, c.held
			}
			f := allowedFacts(change)
			parent, derived := f.Parent()
			require.True(t, derived)
			require.Equal(t, c.parent, parent.ID)
			if c.parent == "" {
				require.Equal(t, everywhere, refusedAt(t, domain.CodeMissingData, change))
				return
			}
			require.Empty(t, refusedAt(t, "", change))
			require.Equal(t, noon.AddDate(0, 0, c.days).Truncate(time.Second), f.Judge().ValidUntil)
		})
	}
	_, derived := allowedFacts().Parent()
	require.False(t, derived)
}
