package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type allowedAct struct {
	Act     domain.DocumentAct `json:"act" enum:"disable,enable,cancel,request_cancel,update"`
	Allowed bool               `json:"allowed"`
	Code    domain.Code        `json:"code,omitempty" doc:"Why not, for machines"`
	Why     string             `json:"why,omitempty" doc:"Why not, in words"`
}

type document struct {
	ID              string               `json:"id"`
	Serial          string               `json:"serial"`
	DocType         string               `json:"doc_type"`
	RequestID       string               `json:"request_id"`
	PersonID        string               `json:"person_id"`
	ProfileID       string               `json:"profile_id"`
	ProfileVersion  int                  `json:"profile_version"`
	FormatID        string               `json:"format_id"`
	FormatVersion   int                  `json:"format_version"`
	Platform        domain.Platform      `json:"platform" enum:"android,ios,other"`
	State           domain.DocumentState `json:"state" enum:"active,disabled,canceled,expired,superseded"`
	CredentialGroup string               `json:"credential_group,omitempty"`
	ValidFrom       time.Time            `json:"valid_from"`
	ValidUntil      time.Time            `json:"valid_until"`
	Copies          int                  `json:"copies" doc:"One for each key of the wallet"`
	CreatedAt       time.Time            `json:"created_at"`
	UpdatedAt       time.Time            `json:"updated_at"`
	AllowedActs     []allowedAct         `json:"allowed_actions" doc:"What the caller may do to it, or why not"`
}

func documentDTO(d issuer.DocumentView) document {
	return document{ID: d.ID, Serial: d.Serial, DocType: d.DocType, RequestID: d.RequestID, PersonID: d.PersonID, ProfileID: d.ProfileID,
		ProfileVersion: d.ProfileVersion, FormatID: d.FormatID, FormatVersion: d.FormatVersion, Platform: d.Platform, State: d.State,
		CredentialGroup: d.CredentialGroup, ValidFrom: d.ValidFrom.UTC(), ValidUntil: d.ValidUntil.UTC(), Copies: d.Copies,
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
		AllowedActs: rest.ListOf(d.AllowedActs, func(a issuer.AllowedAct) allowedAct { return allowedAct(a) })}
}

type listDocumentsInput struct {
	rest.Paging
	PersonID  string               `query:"person_id" maxLength:"64"`
	ProfileID string               `query:"profile_id" maxLength:"64"`
	State     domain.DocumentState `query:"state" enum:"active,disabled,canceled,expired,superseded"`
	Serial    string               `query:"serial" maxLength:"64"`
}

// reasonAndNotes say why a document is to change.
type reasonAndNotes struct {
	Reason domain.CancelReason `json:"reason" enum:"lost,stolen,damaged,compromised,withdrawn,left,other"`
	Notes  string              `json:"notes,omitempty" maxLength:"2000"`
}

// withReason carries the reason of an act that needs one.
type withReason struct {
	rest.ByID
	Body reasonAndNotes
}

type withNotes struct {
	rest.ByID
	Body struct {
		Notes string `json:"notes,omitempty" maxLength:"2000"`
	}
}

func (o *operator) documents() {
	reads := []domain.Permission{domain.PermDocumentsRead}
	changes := []domain.Code{domain.CodeNotFound, domain.CodeWrongState, domain.CodeConflict}
	add(o, rest.Operation{ID: "list-documents", Method: http.MethodGet, Path: "/v1/documents", Tag: tagDocuments, Needs: reads,
		Summary: "List documents", Description: "Newest first, within the caller's scope.", Problems: []domain.Code{domain.CodeInvalid}},
		o.listDocuments)
	add(o, rest.Operation{ID: "get-document", Method: http.MethodGet, Path: "/v1/documents/{id}", Tag: tagDocuments, Needs: reads,
		Summary: "Read a document", Description: "Gives one document with what the caller may do to it.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.getDocument)
	add(o, rest.Operation{ID: "get-document-history", Method: http.MethodGet, Path: "/v1/documents/{id}/history", Tag: tagDocuments, Needs: reads,
		Summary: "History of a document", Description: "Everything that happened to the document, oldest first, in pages.",
		Problems: []domain.Code{domain.CodeInvalid, domain.CodeNotFound}}, o.history)
	add(o, rest.Operation{ID: "disable-document", Method: http.MethodPost, Path: "/v1/documents/{id}/disable", Tag: tagDocuments,
		Needs:   []domain.Permission{domain.PermDisable},
		Summary: "Disable a document",
		Description: "Tells verifiers that the document does not count for now; what is in the wallet stays. The status list of a format with one " +
			"status bit, such as the mDL, cannot say so: for those only the online status changes.",
		Problems: changes}, o.disableDocument)
	add(o, rest.Operation{ID: "enable-document", Method: http.MethodPost, Path: "/v1/documents/{id}/enable", Tag: tagDocuments,
		Needs:   []domain.Permission{domain.PermDisable},
		Summary: "Enable a document", Description: "Makes a disabled document count again.", Problems: changes}, o.enableDocument)
	add(o, rest.Operation{ID: "cancel-document", Method: http.MethodPost, Path: "/v1/documents/{id}/cancel", Tag: tagDocuments,
		Needs:   []domain.Permission{domain.PermCancel},
		Summary: "Cancel a document",
		Description: "Ends the document, with all its copies, for good. Where the profile says validate_cancellation this is refused, and a " +
			"cancellation is requested instead.",
		Problems: append([]domain.Code{domain.CodeApprovalRequired}, changes...)}, o.cancelDocument)
}

func (o *operator) listDocuments(ctx context.Context, caller domain.Caller, in *listDocumentsInput) (*rest.Reply[rest.Page[document]], error) {
	all, err := o.Issuer.Documents(ctx, caller, issuer.DocumentFilter{PersonID: in.PersonID, ProfileID: in.ProfileID, State: in.State,
		Serial: in.Serial}, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.PageOf(all, in.Limit, documentDTO, func(d issuer.DocumentView) string { return d.ID })), nil
}

func (o *operator) getDocument(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[document], error) {
	return documentReply(o.Issuer.Document(ctx, caller, in.ID))
}

func (o *operator) history(ctx context.Context, caller domain.Caller, in *happenedInput) (*rest.Reply[auditPage], error) {
	all, err := o.Issuer.DocumentHistory(ctx, caller, in.ID, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(auditPageOf(all, in.Limit)), nil
}

func (o *operator) disableDocument(ctx context.Context, caller domain.Caller, in *withReason) (*rest.Reply[document], error) {
	return documentReply(o.Issuer.ChangeDocument(ctx, caller, in.ID, domain.DocumentDisable, in.Body.Reason, in.Body.Notes))
}

func (o *operator) enableDocument(ctx context.Context, caller domain.Caller, in *withNotes) (*rest.Reply[document], error) {
	return documentReply(o.Issuer.ChangeDocument(ctx, caller, in.ID, domain.DocumentEnable, "", in.Body.Notes))
}

func (o *operator) cancelDocument(ctx context.Context, caller domain.Caller, in *withReason) (*rest.Reply[document], error) {
	return documentReply(o.Issuer.ChangeDocument(ctx, caller, in.ID, domain.DocumentCancel, in.Body.Reason, in.Body.Notes))
}

func documentReply(d issuer.DocumentView, err error) (*rest.Reply[document], error) {
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(documentDTO(d)), nil
}
