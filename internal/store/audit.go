package store

import (
	"context"
	"strconv"

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

// AuditFilter narrows the audit; empty fields do not.
type AuditFilter struct {
	PersonID   string
	RequestID  string
	DocumentID string
	Action     string
}

// Audit lists entries with a number above after, oldest first.
func (q Queries) Audit(ctx context.Context, want AuditFilter, after int64, limit int) ([]domain.AuditEntry, error) {
	var f filter
	f.add("seq > ?", after)
	f.equal("person_id", want.PersonID)
	f.equal("request_id", want.RequestID)
	f.equal("document_id", want.DocumentID)
	f.equal("action", want.Action)
	var rows []auditRow
	err := q.list(ctx, &rows, `SELECT `+auditColumns+` FROM audit_entries`+f.where()+` ORDER BY seq LIMIT `+strconv.Itoa(limit), f.args...)
	out := make([]domain.AuditEntry, len(rows))
	for i, r := range rows {
		out[i] = r.entry()
	}
	return out, err
}
