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
		"head changed":      {[]string{`UPDATE audit_head SET hash = 'x'`}, -1},
		"head pushed ahead": {[]string{`UPDATE audit_head SET seq = seq + 1`}, 0},
		"nothing":           {nil, 0},
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
					case "head pushed ahead":
						want = head + 1
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
		})
	}
}

func TestAuditIsReadWithPermission(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		reader, clerk := operator(t, f, "reader", domain.PermAudit), operator(t, f, "clerk", domain.PermRequest)
		self := f.Caller(t, "self", "", issuertest.Grants{domain.PermAudit: domain.ScopeSelf})
		for _, c := range []domain.Caller{clerk, self} {
			_, err := f.Issuer.Audit(ctx, c, issuer.AuditFilter{}, 0, 0)
			codeIs(t, domain.CodeForbidden, err)
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
