package selfservice

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// ownDocument is a document as its holder sees it.
type ownDocument struct {
	ID           string               `json:"id"`
	Serial       string               `json:"serial"`
	DocumentName string               `json:"document_name" doc:"The document as people call it"`
	DocType      string               `json:"doc_type"`
	Platform     domain.Platform      `json:"platform" enum:"android,ios,other" doc:"Of the wallet that holds it"`
	State        domain.DocumentState `json:"state" enum:"active,disabled,canceled,expired,superseded"`
	ValidFrom    time.Time            `json:"valid_from"`
	ValidUntil   time.Time            `json:"valid_until"`
	RequestID    string               `json:"request_id"`
	Cancellation string               `json:"cancellation_id,omitempty" doc:"The cancellation that waits for approval"`
}

func ownDocumentForm(d issuer.OwnDocument) ownDocument {
	return ownDocument{ID: d.ID, Serial: d.Serial, DocumentName: d.DocumentName, DocType: d.DocType, Platform: d.Platform, State: d.State,
		ValidFrom: d.ValidFrom.UTC(), ValidUntil: d.ValidUntil.UTC(), RequestID: d.RequestID, Cancellation: d.CancellationID}
}

type reportLostInput struct {
	rest.ByID
	Body struct {
		Reason domain.CancelReason `json:"reason" enum:"lost,stolen,damaged,compromised"`
		Notes  string              `json:"notes,omitempty" maxLength:"2000" doc:"For the issuer"`
	}
}

func (s *server) documents() {
	rest.Add(s.rest, rest.Operation{ID: "list-my-documents", Method: http.MethodGet, Path: "/v1/me/documents", Tag: tag, Needs: needs,
		Summary: "My documents", Description: "Lists the documents of the caller's own person, newest first; also those that have ended.",
		Problems: []domain.Code{domain.CodeInvalid, domain.CodePersonInactive}}, s.listDocuments)
	rest.Add(s.rest, rest.Operation{ID: "report-my-document-lost", Method: http.MethodPost, Path: "/v1/me/documents/{id}/report-lost",
		Tag: tag, Needs: needs, Summary: "Report a document lost",
		Description: "Takes the document out of use: it is canceled for good or, where the profile demands another person's approval for that, " +
			"disabled at once, with a cancellation that waits for approval. Reporting it again changes nothing.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeWrongState, domain.CodePersonInactive}}, s.reportLost)
}

func (s *server) listDocuments(ctx context.Context, caller domain.Caller, in *rest.Paging) (*rest.Reply[rest.Page[ownDocument]], error) {
	all, err := s.Issuer.OwnDocuments(ctx, caller, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.PageOf(all, in.Limit, ownDocumentForm, func(d issuer.OwnDocument) string { return d.ID })), nil
}

func (s *server) reportLost(ctx context.Context, caller domain.Caller, in *reportLostInput) (*rest.Reply[ownDocument], error) {
	d, err := s.Issuer.ReportLost(ctx, caller, in.ID, in.Body.Reason, in.Body.Notes)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(ownDocumentForm(d)), nil
}
