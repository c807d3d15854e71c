package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type change struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

type auditEntry struct {
	Seq        int64             `json:"seq" doc:"Place in the chain, from 1"`
	At         time.Time         `json:"at"`
	Actor      string            `json:"actor" doc:"Account, or system or wallet"`
	Action     string            `json:"action" example:"request.approve"`
	Subject    string            `json:"subject" doc:"Id of the thing acted on"`
	PersonID   string            `json:"person_id,omitempty"`
	RequestID  string            `json:"request_id,omitempty"`
	DocumentID string            `json:"document_id,omitempty"`
	Channel    string            `json:"channel,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Notes      string            `json:"notes,omitempty"`
	Changes    map[string]change `json:"changes,omitempty"`
	Hash       string            `json:"hash" doc:"SHA-256 over the hash of the entry before and this entry"`
}

func auditDTO(e domain.AuditEntry) auditEntry {
	out := auditEntry{Seq: e.Seq, At: e.At.UTC(), Actor: e.Actor, Action: e.Action, Subject: e.Subject, PersonID: e.PersonID,
		RequestID:  e.RequestID,
		DocumentID: e.DocumentID, Channel: e.Channel, Reason: e.Reason, Notes: e.Notes, Hash: e.Hash}
	if len(e.Changes) > 0 {
		out.Changes = make(map[string]change, len(e.Changes))
		for name, c := range e.Changes {
			out.Changes[name] = change(c)
		}
	}
	return out
}

type auditPage struct {
	Items []auditEntry `json:"items"`
	Next  int64        `json:"next,omitempty" doc:"Give it as after for the next page; absent on the last page"`
}

type auditInput struct {
	After      int64  `query:"after" minimum:"0" doc:"Number of the entry after which the page begins"`
	Limit      int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	PersonID   string `query:"person_id" maxLength:"64"`
	RequestID  string `query:"request_id" maxLength:"64"`
	DocumentID string `query:"document_id" maxLength:"64"`
	Action     string `query:"action" maxLength:"64"`
}

type auditVerification struct {
	Intact      bool   `json:"intact"`
	Entries     int64  `json:"entries" doc:"Entries that were found in order"`
	FirstBroken int64  `json:"first_broken,omitempty" doc:"Number of the first entry that does not follow from the one before"`
	Problem     string `json:"problem,omitempty" doc:"What is wrong with it"`
}

func (o *operator) audit() {
	needs := []domain.Permission{domain.PermAudit}
	add(o, operation{id: "list-audit", method: http.MethodGet, path: "/v1/audit", tag: tagAudit, needs: needs,
		summary: "List audit entries", description: "Oldest first, by their number.", problems: []domain.Code{domain.CodeInvalid}}, o.listAudit)
	add(o, operation{id: "verify-audit", method: http.MethodGet, path: "/v1/audit/verification", tag: tagAudit, needs: needs,
		summary:     "Verify the audit",
		description: "Checks the whole chain and names the first entry that does not follow from the one before. It takes time in proportion to the audit."},
		o.verifyAudit)
}

func (o *operator) listAudit(ctx context.Context, caller domain.Caller, in *auditInput) (*reply[auditPage], error) {
	all, err := o.Issuer.Audit(ctx, caller, issuer.AuditFilter{PersonID: in.PersonID, RequestID: in.RequestID, DocumentID: in.DocumentID,
		Action: in.Action}, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := auditPage{Items: listOf(all, auditDTO)}
	if len(all) == in.Limit {
		out.Next = all[len(all)-1].Seq
	}
	return replyWith(out), nil
}

func (o *operator) verifyAudit(ctx context.Context, caller domain.Caller, _ *nothing) (*reply[auditVerification], error) {
	c, err := o.Issuer.VerifyAudit(ctx, caller)
	if err != nil {
		return nil, err
	}
	return replyWith(auditVerification{Intact: c.Intact, Entries: c.Entries, FirstBroken: c.FirstBroken, Problem: c.Problem}), nil
}
