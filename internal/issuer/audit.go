package issuer

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// Audit lists audit entries with a number above after, oldest first (J1): those about people whom the permission audit reaches. What is about nobody is
// for scope all.
func (is *Issuer) Audit(ctx context.Context, caller domain.Caller, want store.AuditFilter, after int64, limit int) ([]domain.AuditEntry, error) {
	if err := caller.Need(domain.PermAudit); err != nil {
		return nil, err
	}
	limit, err := auditLimit(after, limit)
	if err != nil {
		return nil, err
	}
	return is.auditPage(ctx, caller, want, after, limit)
}

// auditLimit checks a page of audit entries and gives how many are on it at the most.
func auditLimit(after int64, limit int) (int, error) {
	if after < 0 {
		return 0, invalid("after", "must not be negative")
	}
	pg, err := page("", limit)
	return pg.Limit, err
}

// happened lists the entries about a thing that the caller may see, oldest first, with a number above after.
func (is *Issuer) happened(ctx context.Context, want store.AuditFilter, after int64, limit int) ([]domain.AuditEntry, error) {
	limit, err := auditLimit(after, limit)
	if err != nil {
		return nil, err
	}
	out, err := is.Store.Audit(ctx, want, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list what happened: %w", err)
	}
	return out, nil
}

func (is *Issuer) auditPage(ctx context.Context, caller domain.Caller, want store.AuditFilter, after int64, limit int) ([]domain.AuditEntry, error) {
	out, err := is.Store.AuditWithin(ctx, caller.Within(domain.PermAudit), want, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list audit: %w", err)
	}
	return out, nil
}

// ExportAudit gives write all entries that Audit lists, page by page; at least one page, which may be empty. It is framed by audit entries as
// [Issuer.ExportReport] is, and ends before them.
func (is *Issuer) ExportAudit(ctx context.Context, caller domain.Caller, want store.AuditFilter, write func([]domain.AuditEntry) error) error {
	if err := caller.Need(domain.PermAudit); err != nil {
		return err
	}
	last, _, err := is.Store.AuditHead(ctx)
	if err != nil {
		return fmt.Errorf("load audit head: %w", err)
	}
	return is.export(ctx, caller, "audit", toldOfAudit(want), func(ctx context.Context, count func(n int)) error {
		for after := int64(0); ; {
			entries, err := is.auditPage(ctx, caller, want, after, exportPage)
			if err != nil {
				return err
			}
			more := len(entries) == exportPage && entries[len(entries)-1].Seq < last
			for len(entries) > 0 && entries[len(entries)-1].Seq > last {
				entries = entries[:len(entries)-1]
			}
			if err := write(entries); err != nil {
				return fmt.Errorf("write entries: %w", err)
			}
			count(len(entries))
			if !more {
				return nil
			}
			after = entries[len(entries)-1].Seq
		}
	})
}

// anAction is the form of actions.
var anAction = regexp.MustCompile(`^[a-z_]{1,40}\.[a-z_]{1,40}$`)

// toldOfAudit gives what an export of the audit was asked for. Of values that are neither ids, actions nor times only the fact is told.
func toldOfAudit(want store.AuditFilter) map[string]domain.Change {
	out := map[string]domain.Change{}
	for name, v := range map[string]string{"actor": want.Actor, "action": want.Action, "subject": want.Subject, "person_id": want.PersonID,
		"request_id": want.RequestID, "document_id": want.DocumentID} {
		if v != "" && uuid.Validate(v) != nil && (name != "action" || !anAction.MatchString(v)) {
			v = "given"
		}
		if v != "" {
			out["filter."+name] = domain.Change{After: v}
		}
	}
	for name, v := range map[string]time.Time{"from": want.From, "until": want.Until} {
		if !v.IsZero() {
			out["filter."+name] = domain.Change{After: v.UTC().Format(time.RFC3339Nano)}
		}
	}
	return out
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

// VerifyChain walks the whole audit, some entries at a time, and names the first one whose number or hash does not follow from the one before (J1).
// Entries appended while it runs are left out. Whoever can write to the whole database can make a chain anew or cut its end off and set the head back;
// only a head that was kept elsewhere shows that.
func VerifyChain(ctx context.Context, s *store.Store) (AuditCheck, error) {
	const batch = 1000
	lastSeq, lastHash, err := s.AuditHead(ctx)
	if err != nil {
		return AuditCheck{}, fmt.Errorf("load audit head: %w", err)
	}
	var out AuditCheck
	before, _, err := s.AuditStrays(ctx)
	if err != nil {
		return out, fmt.Errorf("look for strays in audit: %w", err)
	}
	if before > 0 {
		out.FirstBroken, out.Problem = 1, "an entry stands before it"
		return out, nil
	}
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
	_, beyond, err := s.AuditStrays(ctx)
	if err != nil {
		return out, fmt.Errorf("look for strays in audit: %w", err)
	}
	switch {
	case out.Entries < lastSeq:
		out.FirstBroken, out.Problem = out.Entries+1, "the entry is missing"
	case hash != lastHash:
		out.FirstBroken, out.Problem = lastSeq, "the entry is not the one that was last written"
	case beyond > 0:
		out.FirstBroken, out.Problem = beyond, "the entry stands after the one that was last written"
	default:
		out.Intact, out.Head = true, hash
	}
	return out, nil
}
