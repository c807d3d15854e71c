package issuer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// Whoever can write to the database past the program is found out, and the first entry that is wrong is named.
func TestTamperingIsFound(t *testing.T) {
	const rest = `at, actor, action, subject, person_id, request_id, document_id, channel, reason, notes, changes, hash`
	cases := map[string]struct {
		statements []string
		broken     int64
	}{
		"actor changed":   {[]string{`UPDATE audit_entries SET actor = 'somebody else' WHERE seq = 5`}, 5},
		"time changed":    {[]string{`UPDATE audit_entries SET at = (SELECT at FROM audit_entries WHERE seq = 1) WHERE seq = 7`}, 7},
		"changes changed": {[]string{`UPDATE audit_entries SET changes = '{"state":{"before":"a","after":"b"}}' WHERE seq = 6`}, 6},
		"hash changed":    {[]string{`UPDATE audit_entries SET hash = 'x' WHERE seq = 5`}, 5},
		"first changed":   {[]string{`UPDATE audit_entries SET reason = 'x' WHERE seq = 1`}, 1},
		"one removed":     {[]string{`DELETE FROM audit_entries WHERE seq = 4`}, 4},
		"last removed":    {[]string{`DELETE FROM audit_entries WHERE seq = (SELECT max(seq) FROM audit_entries)`}, -1},
		"all removed":     {[]string{`DELETE FROM audit_entries`}, 1},
		"two swapped": {[]string{`UPDATE audit_entries SET seq = -1 WHERE seq = 3`, `UPDATE audit_entries SET seq = 3 WHERE seq = 4`,
			`UPDATE audit_entries SET seq = 4 WHERE seq = -1`}, 3},
		"two at the end removed":    {[]string{`DELETE FROM audit_entries WHERE seq > (SELECT max(seq) FROM audit_entries) - 2`}, -2},
		"two in the middle removed": {[]string{`DELETE FROM audit_entries WHERE seq IN (4, 5)`}, 4},
		"one inserted": {[]string{`UPDATE audit_entries SET seq = -(seq + 1) WHERE seq >= 4`, `UPDATE audit_entries SET seq = -seq WHERE seq < 0`,
			`INSERT INTO audit_entries SELECT 4, ` + rest + ` FROM audit_entries WHERE seq = 3`}, 4},
		"one inserted at the end":   {[]string{`INSERT INTO audit_entries SELECT seq + 1, ` + rest + ` FROM audit_entries ORDER BY seq DESC LIMIT 1`}, 0},
		"one inserted further on":   {[]string{`INSERT INTO audit_entries SELECT seq + 5, ` + rest + ` FROM audit_entries ORDER BY seq DESC LIMIT 1`}, 4},
		"one inserted at the start": {[]string{`INSERT INTO audit_entries SELECT 0, ` + rest + ` FROM audit_entries WHERE seq = 1`}, 1},
		"head changed":              {[]string{`UPDATE audit_head SET hash = 'x'`}, -1},
		"head pushed ahead":         {[]string{`UPDATE audit_head SET seq = seq + 1`}, 0},
		"head pulled back":          {[]string{`UPDATE audit_head SET seq = seq - 1`}, -2},
		"nothing":                   {nil, 0},
	}
	for _, backend := range []string{"sqlite", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			f := issuertest.New(t, issuertest.Options{Postgres: backend == "postgres"})
			newRequest(t, f, f.Person(t), f.Profile(t, "mdl"))
			head := f.AuditHead(t)
			db := rawSQL(t, f)
			run := func(t *testing.T, statements ...string) {
				t.Helper()
				for _, statement := range statements {
					_, err := db.ExecContext(t.Context(), statement)
					require.NoError(t, err, statement)
				}
			}
			if backend == "postgres" {
				run(t, `DROP TRIGGER audit_entries_append_only ON audit_entries`)
			} else {
				run(t, `DROP TRIGGER audit_entries_no_update`, `DROP TRIGGER audit_entries_no_delete`)
			}
			run(t, `CREATE TABLE true_entries AS SELECT * FROM audit_entries`, `CREATE TABLE true_head AS SELECT * FROM audit_head`)
			for name, c := range cases {
				t.Run(name, func(t *testing.T) {
					run(t, c.statements...)
					check, err := f.Issuer.VerifyAudit(t.Context(), f.Admin())
					require.NoError(t, err)
					want := c.broken
					switch name {
					case "last removed", "head changed":
						want = head
					case "two at the end removed", "head pulled back":
						want = head - 1
					case "head pushed ahead", "one inserted at the end":
						want = head + 1
					case "one inserted further on":
						want = head + 5
					}
					if want == 0 {
						require.Len(t, check.Head, 64)
						require.Equal(t, issuer.AuditCheck{Entries: head, Intact: true, Head: check.Head}, check)
					} else {
						require.False(t, check.Intact)
						require.Equal(t, want, check.FirstBroken)
						require.NotEmpty(t, check.Problem)
					}
					run(t, `DELETE FROM audit_entries`, `INSERT INTO audit_entries SELECT * FROM true_entries`,
						`DELETE FROM audit_head`, `INSERT INTO audit_head SELECT * FROM true_head`)
				})
			}
			check, err := f.Issuer.VerifyAudit(t.Context(), f.Admin())
			require.NoError(t, err)
			require.True(t, check.Intact, "undone, it holds again")

			// Who knows how hashes are made has to make all that follow anew.
			entries, err := f.Store.Audit(t.Context(), issuer.AuditFilter{}, 3, 2)
			require.NoError(t, err)
			forged := entries[1]
			forged.Actor = "somebody else"
			run(t, `UPDATE audit_entries SET actor = 'somebody else', hash = '`+forged.Chain(entries[0].Hash)+`' WHERE seq = 5`)
			check, err = f.Issuer.VerifyAudit(t.Context(), f.Admin())
			require.NoError(t, err)
			require.False(t, check.Intact)
			require.EqualValues(t, 6, check.FirstBroken)
		})
	}
}

func TestAuditIsReadWithPermission(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		reader, clerk := operator(t, f, "reader", domain.PermAudit), operator(t, f, "clerk", domain.PermRequest)
		self := f.Caller(t, "self", "", issuertest.Grants{domain.PermAudit: domain.ScopeSelf})
		_, err := f.Issuer.Audit(ctx, clerk, issuer.AuditFilter{}, 0, 0)
		codeIs(t, domain.CodeForbidden, err)
		for _, c := range []domain.Caller{clerk, self} {
			_, err = f.Issuer.VerifyAudit(ctx, c)
			codeIs(t, domain.CodeForbidden, err)
		}
		all, err := f.Issuer.Audit(ctx, reader, issuer.AuditFilter{}, 0, 500)
		require.NoError(t, err)
		require.EqualValues(t, f.AuditHead(t), len(all))
		rest, err := f.Issuer.Audit(ctx, reader, issuer.AuditFilter{}, all[2].Seq, 1)
		require.NoError(t, err)
		require.Equal(t, all[3:4], rest)
		_, err = f.Issuer.Audit(ctx, reader, issuer.AuditFilter{}, -1, 0)
		codeIs(t, domain.CodeInvalid, err)
		_, err = f.Issuer.Audit(ctx, reader, issuer.AuditFilter{}, 0, 501)
		codeIs(t, domain.CodeInvalid, err)
	})
}
