package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// AuditEntry is one line of the audit (J1): who did what to whom, when, why, and what it changed. Changes hold no personal data.
type AuditEntry struct {
	Seq        int64             `json:"seq"`
	At         time.Time         `json:"at"` // UTC, micro-seconds
	Actor      string            `json:"actor"`
	Action     string            `json:"action"`  // for example request.approve
	Subject    string            `json:"subject"` // id of the thing acted on
	PersonID   string            `json:"person_id,omitempty"`
	RequestID  string            `json:"request_id,omitempty"`
	DocumentID string            `json:"document_id,omitempty"`
	Channel    string            `json:"channel,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Notes      string            `json:"notes,omitempty"`
	Changes    map[string]Change `json:"changes,omitempty"`
	Hash       string            `json:"hash"` // see Chain
}

// Change is a field before and after.
type Change struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

// Chain gives the hash of the entry after the one whose hash is prev: hex SHA-256 over prev, a line feed and the JSON form of the entry
// without its hash. The first entry follows the empty hash.
func (e AuditEntry) Chain(prev string) string {
	e.Hash = ""
	e.At = e.At.UTC().Truncate(time.Microsecond)
	if len(e.Changes) == 0 {
		e.Changes = nil
	}
	form, err := json.Marshal(e) // map keys are sorted; every field is a text, number or time
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append([]byte(prev+"\n"), form...))
	return hex.EncodeToString(sum[:])
}
