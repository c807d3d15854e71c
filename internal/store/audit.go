package store

import (
	"context"
	"strconv"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

type auditRow struct {
	Seq        int64                          `db:"seq"`
	At         Time                           `db:"at"`
	Actor      string                         `db:"actor"`
	Action     string                         `db:"action"`
	Subject    string                         `db:"subject"`
	PersonID   string                         `db:"person_id"`
	RequestID  string                         `db:"request_id"`
	DocumentID string                         `db:"document_id"`
	Channel    string                         `db:"channel"`
	Reason     string                         `db:"reason"`
	Notes      string                         `db:"notes"`
	Changes    JSON[map[string]domain.Change] `db:"changes"`
	Hash       string                         `db:"hash"`
}

const auditColumns = `seq, at, actor, action, subject, person_id, request_id, document_id, channel, reason, notes, changes, hash`

func (r auditRow) entry() domain.AuditEntry {
	return domain.AuditEntry{Seq: r.Seq, At: r.At.Time, Actor: r.Actor, Action: r.Action, Subject: r.Subject, PersonID: r.PersonID,
		RequestID: r.RequestID, DocumentID: r.DocumentID, Channel: r.Channel, Reason: r.Reason, Notes: r.Notes, Changes: r.Changes.V,
		Hash: r.Hash}
}

// AppendAudit adds entries to the end of the chain, in order. The head row is locked from here to the end of the transaction, so call it
// last: entries of different transactions never share a place in the chain.
func (t *Tx) AppendAudit(ctx context.Context, entries ...domain.AuditEntry) error {
	var head struct {
		Seq  int64  `db:"seq"`
		Hash string `db:"hash"`
	}
	err := t.get(ctx, &head, `UPDATE audit_head SET seq = seq + $1 WHERE one = 1 RETURNING seq, hash`, len(entries))
	if err != nil {
		return err
	}
	hash, seq := head.Hash, head.Seq-int64(len(entries))
	rows := make([]auditRow, len(entries))
	for i, e := range entries {
		seq++
		e.Seq, e.At = seq, At(e.At).Time
		hash = e.Chain(hash)
		rows[i] = auditRow{Seq: e.Seq, At: At(e.At), Actor: e.Actor, Action: e.Action, Subject: e.Subject, PersonID: e.PersonID,
			RequestID: e.RequestID, DocumentID: e.DocumentID, Channel: e.Channel, Reason: e.Reason, Notes: e.Notes,
			Changes: JSON[map[string]domain.Change]{e.Changes}, Hash: hash}
	}
	if err := insertAll(ctx, t.Queries, "audit_entries", auditColumns, rows); err != nil {
		return err
	}
	return t.change(ctx, `UPDATE audit_head SET hash = $1 WHERE one = 1`, hash)
}

// HoldAudit locks the end of the chain to the end of the transaction: until then no other transaction that leaves an audit entry commits. It
// is for the few things that must happen once only and that no unique rule can hold.
func (t *Tx) HoldAudit(ctx context.Context) error {
	return t.change(ctx, `UPDATE audit_head SET seq = seq WHERE one = 1`)
}

// AuditHead gives the number and hash of the last entry.
func (q Queries) AuditHead(ctx context.Context) (seq int64, hash string, err error) {
	var head struct {
		Seq  int64  `db:"seq"`
		Hash string `db:"hash"`
	}
	err = q.get(ctx, &head, `SELECT seq, hash FROM audit_head WHERE one = 1`)
	return head.Seq, head.Hash, err
}

// AuditStrays tells of entries whose numbers nobody gave: how many come before the first, and the number of the first beyond the last; 0 for none. Both
// are of one moment, so that entries which are just being appended are none.
func (q Queries) AuditStrays(ctx context.Context) (before, beyond int64, err error) {
	var strays struct {
		Before int64 `db:"before_first"`
		Beyond int64 `db:"beyond_last"`
	}
	err = q.get(ctx, &strays, `SELECT (SELECT count(*) FROM audit_entries WHERE seq < 1) AS before_first, COALESCE((SELECT min(seq) FROM audit_entries
		WHERE seq > COALESCE((SELECT seq FROM audit_head WHERE one = 1), 0)), 0) AS beyond_last`)
	return strays.Before, strays.Beyond, err
}

// AuditFilter narrows the audit; empty fields do not.
type AuditFilter struct {
	Actor      string
	Action     string
	Subject    string
	PersonID   string
	RequestID  string
	DocumentID string
	From       time.Time // entries of this instant and later
	Until      time.Time // entries before this instant
}

// conditions gives the filter in SQL.
func (want AuditFilter) conditions(after int64) filter {
	var f filter
	f.add("seq > ?", after)
	for _, id := range []struct{ column, value string }{{"person_id", want.PersonID}, {"request_id", want.RequestID}, {"document_id", want.DocumentID}} {
		if id.value != "" {
			f.add(id.column+" <> '' AND "+id.column+" = ?", id.value) // the indexes leave the empty ones out
		}
	}
	f.equal("actor", want.Actor)
	f.equal("action", want.Action)
	f.equal("subject", want.Subject)
	if !want.From.IsZero() {
		f.add("at >= ?", At(want.From))
	}
	if !want.Until.IsZero() {
		f.add("at < ?", At(want.Until))
	}
	return f
}

// Audit lists entries with a number above after, oldest first: about everybody, for callers that know that whoever asks may see them.
func (q Queries) Audit(ctx context.Context, want AuditFilter, after int64, limit int) ([]domain.AuditEntry, error) {
	return q.AuditWithin(ctx, domain.Within{All: true}, want, after, limit)
}

// AuditWithin is Audit of the entries about people of the set; what is about nobody is for everybody's.
func (q Queries) AuditWithin(ctx context.Context, w domain.Within, want AuditFilter, after int64, limit int) ([]domain.AuditEntry, error) {
	if w.Nobody() {
		return []domain.AuditEntry{}, nil
	}
	f, from := want.conditions(after), " FROM audit_entries"
	if !w.All {
		from += " LEFT JOIN persons p ON p.id = person_id LEFT JOIN groups g ON g.id = p.group_id"
		f.add("person_id <> ''")
		if err := q.addPeople(ctx, &f, "person_id", true, w); err != nil {
			return nil, err
		}
	}
	return listAs(ctx, q, auditRow.entry, `SELECT `+auditColumns+from+f.where()+` ORDER BY seq LIMIT `+strconv.Itoa(limit), f.args...)
}
