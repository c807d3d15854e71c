package issuer

import (
	"context"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// Audit lists audit entries with a number above after, oldest first (J1).
func (is *Issuer) Audit(ctx context.Context, caller domain.Caller, want store.AuditFilter, after int64, limit int) ([]domain.AuditEntry, error) {
	if err := needAll(caller, domain.PermAudit); err != nil {
		return nil, err
	}
	pg, err := page("", limit)
	if err != nil {
		return nil, err
	}
	if after < 0 {
		return nil, invalid("after", "must not be negative")
	}
	out, err := is.Store.Audit(ctx, want, after, pg.Limit)
	if err != nil {
		return nil, fmt.Errorf("list audit: %w", err)
	}
	return out, nil
}

// AuditCheck is the outcome of verifying the chain.
type AuditCheck struct {
	Entries     int64  // checked
	Intact      bool   // every hash follows from the one before
	FirstBroken int64  // number of the first entry that does not; 0 = none
	Problem     string // what is wrong with it
	Head        string // hash of the last entry checked
}

// VerifyAudit checks the chain for a caller with the permission.
func (is *Issuer) VerifyAudit(ctx context.Context, caller domain.Caller) (AuditCheck, error) {
	if err := needAll(caller, domain.PermAudit); err != nil {
		return AuditCheck{}, err
	}
	return VerifyChain(ctx, is.Store)
}

// VerifyChain walks the whole audit and names the first entry whose number or hash does not follow from the one before (J1). Entries appended while
// it runs are left out.
func VerifyChain(ctx context.Context, s *store.Store) (AuditCheck, error) {
	const batch = 1000
	lastSeq, lastHash, err := s.AuditHead(ctx)
	if err != nil {
		return AuditCheck{}, fmt.Errorf("load audit head: %w", err)
	}
	var out AuditCheck
	hash := ""
	for out.Entries < lastSeq {
		entries, err := s.Audit(ctx, store.AuditFilter{}, out.Entries, batch)
		if err != nil {
			return out, fmt.Errorf("read audit: %w", err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if out.Entries == lastSeq {
				break
			}
			want := out.Entries + 1
			switch {
			case e.Seq != want:
				out.FirstBroken, out.Problem = want, "the entry is missing"
				return out, nil
			case e.Chain(hash) != e.Hash:
				out.FirstBroken, out.Problem = want, "the entry was changed, or the one before it"
				return out, nil
			}
			hash, out.Entries = e.Hash, want
		}
	}
	switch {
	case out.Entries < lastSeq:
		out.FirstBroken, out.Problem = out.Entries+1, "the entry is missing"
	case hash != lastHash:
		out.FirstBroken, out.Problem = lastSeq, "the entry is not the one that was last written"
	default:
		out.Intact, out.Head = true, hash
	}
	return out, nil
}
