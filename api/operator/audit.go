package operator

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mdocket/mdocket/api/rest"
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

func auditPageOf(all []domain.AuditEntry, limit int) auditPage {
	out := auditPage{Items: rest.ListOf(all, auditDTO)}
	if len(all) == limit {
		out.Next = all[len(all)-1].Seq
	}
	return out
}

// AuditPaging asks for one keyset page of entries, oldest first.
type AuditPaging struct {
	After int64 `query:"after" minimum:"0" doc:"Number of the entry after which the page begins"`
	Limit int   `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

// happenedInput asks for what happened to one thing.
type happenedInput struct {
	rest.ByID
	AuditPaging
}

type auditInput struct {
	AsCSV
	AuditPaging
	Actor      string    `query:"actor" maxLength:"64" doc:"Account, or system or wallet"`
	Action     string    `query:"action" maxLength:"64"`
	Subject    string    `query:"subject" maxLength:"64" doc:"Id of the thing acted on"`
	PersonID   string    `query:"person_id" maxLength:"64"`
	RequestID  string    `query:"request_id" maxLength:"64"`
	DocumentID string    `query:"document_id" maxLength:"64"`
	From       time.Time `query:"from" doc:"Entries of this instant and later"`
	Until      time.Time `query:"until" doc:"Entries before this instant"`
}

func (in *auditInput) filter() issuer.AuditFilter {
	return issuer.AuditFilter{Actor: in.Actor, Action: in.Action, Subject: in.Subject, PersonID: in.PersonID, RequestID: in.RequestID,
		DocumentID: in.DocumentID, From: in.From, Until: in.Until}
}

type auditVerification struct {
	Intact      bool   `json:"intact"`
	Entries     int64  `json:"entries" doc:"Entries that were found in order"`
	FirstBroken int64  `json:"first_broken,omitempty" doc:"Number of the first entry that does not follow from the one before"`
	Problem     string `json:"problem,omitempty" doc:"What is wrong with it"`
	Head        string `json:"head,omitempty" doc:"Hash of the last entry of an intact chain: keep it elsewhere with the number of entries, and whoever makes the chain anew is found out"`
}

func (o *operator) audit() {
	needs := []domain.Permission{domain.PermAudit}
	add(o, rest.Operation{ID: "list-audit", Method: http.MethodGet, Path: "/v1/audit", Tag: tagAudit, Needs: needs,
		Summary:     "List audit entries",
		Description: "Oldest first, by their number: entries about people within the caller's scope; in scope all also those about nobody. " + csvNote,
		Problems:    []domain.Code{domain.CodeInvalid}, Responses: jsonOrCSV[auditPage](o, "AuditPage")}, o.listAudit)
	add(o, rest.Operation{ID: "verify-audit", Method: http.MethodGet, Path: "/v1/audit/verification", Tag: tagAudit, Needs: needs,
		Summary:     "Verify the audit",
		Description: "Checks the whole chain and names the first entry that does not follow from the one before. It takes time in proportion to the audit."},
		o.verifyAudit)
}

func (o *operator) listAudit(ctx context.Context, caller domain.Caller, in *auditInput) (*huma.StreamResponse, error) {
	if in.wanted() {
		return o.download(ctx, "audit", func(out *csvAnswer) error {
			return o.Issuer.ExportAudit(ctx, caller, in.filter(), func(entries []domain.AuditEntry) error {
				return out.page(auditColumns, len(entries), func(i int) []string { return auditRow(entries[i]) })
			})
		}), nil
	}
	all, err := o.Issuer.Audit(ctx, caller, in.filter(), in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return answerJSON(auditPageOf(all, in.Limit))
}

var auditColumns = []string{"seq", "at", "actor", "action", "subject", "person_id", "request_id", "document_id", "channel", "reason", "notes",
	"changes", "hash"}

func auditRow(e domain.AuditEntry) []string {
	changes := ""
	if len(e.Changes) > 0 {
		form, err := json.Marshal(auditDTO(e).Changes)
		if err == nil { // texts only
			changes = string(form)
		}
	}
	return []string{strconv.FormatInt(e.Seq, 10), csvTime(e.At), harmless(e.Actor), e.Action, harmless(e.Subject), e.PersonID, e.RequestID, e.DocumentID,
		e.Channel, harmless(e.Reason), harmless(e.Notes), changes, e.Hash}
}

func (o *operator) verifyAudit(ctx context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Reply[auditVerification], error) {
	c, err := o.Issuer.VerifyAudit(ctx, caller)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(auditVerification{Intact: c.Intact, Entries: c.Entries, FirstBroken: c.FirstBroken, Problem: c.Problem,
		Head: c.Head}), nil
}
