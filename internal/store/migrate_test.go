package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// TestMigrateFromEarlierVersions fills a database of version 2 and brings it to the newest: nothing is lost, paths of groups become a tree, messages
// keep their attempts.
func TestMigrateFromEarlierVersions(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			ctx := t.Context()
			b := unmigrated(t, driver)
			require.NoError(t, b.MigrateTo(ctx, 2))
			at := store.At(kept)
			exec := func(text string, args ...any) {
				t.Helper()
				require.NoError(t, b.Exec(ctx, text, args...))
			}
			groups := map[string]string{"a": "Division/Left", "b": "Division/Right/Deep", "c": "", "d": "Division", "e": "Division/Left"}
			for id, path := range groups {
				exec(`INSERT INTO persons (id, external_id, logon_name, given_name, family_name, email, mobile, birth_date, group_path, language, status,
					max_expiry, external_mobile_id, attributes, version, created_at, updated_at)
					VALUES ($1, $2, '', 'Ada', 'Lovelace', 'Ada@Holder.example', '', '', $3, '', 'active', '', '', '{}', 1, $4, $4)`,
					id, "E-"+id, path, at)
			}
			exec(`INSERT INTO profiles (id, name, version) VALUES ('p', 'p', 1)`)
			exec(`INSERT INTO profile_versions (profile_id, version, options, comment, created_by, created_at) VALUES ('p', 1, '{}', '', '', $1)`, at)
			exec(`INSERT INTO requests (id, person_id, profile_id, channel, requested_by, state, expiry_date, generation, code_digits, attempts, redeemed,
				decided_by, decision_reason, failure_code, document_id, created_at, updated_at)
				VALUES ('r', 'a', 'p', 'operator', 'me', 'awaiting_collection', '', 1, 8, 0, $2, '', '', '', '', $1, $1)`, at, false)
			exec(`INSERT INTO messages (id, request_id, generation, channel, kind, state, account_id, created_at, updated_at)
				VALUES ('m', 'r', 1, 'email', 'collection_link', 'pending', '', $1, $1)`, at)
			exec(`INSERT INTO message_attempts (id, message_id, outcome, answer, at) VALUES ('t', 'm', 'temporary', 'later', $1)`, at)

			steps, err := b.Migrate(ctx)
			require.NoError(t, err)
			require.Positive(t, steps)
			require.NoError(t, b.CheckSchema(ctx))
			for id, path := range groups {
				p, err := b.Person(ctx, id)
				require.NoError(t, err)
				require.Equal(t, path, p.Group, id)
				require.Equal(t, "E-"+id, p.ExternalID)
			}
			tree, err := b.Groups(ctx)
			require.NoError(t, err)
			above := map[string]string{}
			var paths []string
			for _, g := range tree {
				above[g.ID] = g.Path
				paths = append(paths, g.Path)
			}
			require.Equal(t, []string{"Division", "Division/Left", "Division/Right", "Division/Right/Deep"}, paths)
			for _, g := range tree {
				require.Equal(t, domain.PathBelow(above[g.ParentID], g.Name), g.Path)
			}
			people, err := b.People(ctx, store.PersonFilter{Within: everybody, FamilyName: "LOVE*", Email: "ada@holder.EXAMPLE"}, store.Page{Limit: 10})
			require.NoError(t, err)
			require.Len(t, people, len(groups))
			pending, err := b.PendingMessages(ctx, "r", 1)
			require.NoError(t, err)
			require.Len(t, pending, 1)
			require.Equal(t, "a", pending[0].PersonID)
			attempts, err := b.AttemptsOf(ctx, "m")
			require.NoError(t, err)
			require.Equal(t, []store.MessageAttempt{{ID: "t", MessageID: "m", Outcome: "temporary", Answer: "later", At: at}}, attempts)
			r, err := b.Request(ctx, "r")
			require.NoError(t, err)
			require.Equal(t, domain.RequestAwaitingCollection, r.State, fmt.Sprint(r))
		})
	}
}
