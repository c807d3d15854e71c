package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type cancellation struct {
	ID          string                   `json:"id"`
	DocumentID  string                   `json:"document_id"`
	PersonID    string                   `json:"person_id"`
	RequestedBy string                   `json:"requested_by" doc:"Account"`
	Reason      domain.CancelReason      `json:"reason" enum:"lost,stolen,damaged,compromised,withdrawn,left,other"`
	Notes       string                   `json:"notes,omitempty"`
	State       domain.CancellationState `json:"state" enum:"received,awaiting_approval,approved,rejected,withdrawn,expired" doc:"Approved: the document is canceled. Expired: nobody decided in time, or the document ended in another way first"`
	Deadline    *time.Time               `json:"deadline,omitempty" doc:"Of the decision"`
	Decision    *decision                `json:"decision,omitempty"`
	CreatedAt   time.Time                `json:"created_at"`
	UpdatedAt   time.Time                `json:"updated_at"`
}

func cancellationDTO(c domain.Cancellation) cancellation {
	out := cancellation{ID: c.ID, DocumentID: c.DocumentID, PersonID: c.PersonID, RequestedBy: c.RequestedBy, Reason: c.Reason, Notes: c.Notes,
		State: c.State, Deadline: optional(c.Deadline), CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC()}
	if c.DecidedBy != "" {
		out.Decision = &decision{By: c.DecidedBy, At: optional(c.DecidedAt), Reason: c.DecisionReason}
	}
	return out
}

func pageOfCancellations(all []domain.Cancellation, limit int, err error) (*reply[page[cancellation]], error) {
	if err != nil {
		return nil, err
	}
	return replyWith(pageOf(all, limit, cancellationDTO, func(c domain.Cancellation) string { return c.ID })), nil
}

func cancellationReply(c domain.Cancellation, err error) (*reply[cancellation], error) {
	if err != nil {
		return nil, err
	}
	return replyWith(cancellationDTO(c)), nil
}

type requestCancelInput struct {
	ByID
	Idempotent
	Body reasonAndNotes
}

type listCancellationsInput struct {
	Paging
	DocumentID string                   `query:"document_id" maxLength:"64"`
	State      domain.CancellationState `query:"state" enum:"received,awaiting_approval,approved,rejected,withdrawn,expired"`
}

func (o *operator) cancellations() {
	reads := []domain.Permission{domain.PermCancel, domain.PermApprove}
	cancels := []domain.Permission{domain.PermCancel}
	approves := []domain.Permission{domain.PermApprove}
	inState := []domain.Code{domain.CodeNotFound, domain.CodeWrongState, domain.CodeEngineUnavailable}
	decided := append([]domain.Code{domain.CodeAlreadyDecided, domain.CodeSelfApproval}, inState...)
	add(o, operation{id: "request-cancel-document", method: http.MethodPost, path: "/v1/documents/{id}/request-cancel", tag: tagCancellations,
		status: http.StatusCreated, needs: cancels,
		summary: "Ask for the cancellation of a document",
		description: "For documents whose profile says validate_cancellation: another operator has to approve. Until then the document stays as it is. " +
			"A document has at most one open cancellation. An accepted one is never lost: while the workflow engine is down it stays received and is " +
			"started later.",
		problems: []domain.Code{domain.CodeNotFound, domain.CodeIdempotencyReused, domain.CodeWrongState, domain.CodeConflict}}, o.requestCancel)
	add(o, operation{id: "list-cancellations", method: http.MethodGet, path: "/v1/cancellations", tag: tagCancellations, needs: reads,
		summary: "List cancellations", description: "Newest first, within the caller's scope.", problems: []domain.Code{domain.CodeInvalid}},
		o.listCancellations)
	add(o, operation{id: "get-cancellation", method: http.MethodGet, path: "/v1/cancellations/{id}", tag: tagCancellations, needs: reads,
		summary: "Read a cancellation", description: "Gives one cancellation.", problems: []domain.Code{domain.CodeNotFound}}, o.getCancellation)
	add(o, operation{id: "approve-cancellation", method: http.MethodPost, path: "/v1/cancellations/{id}/approve", tag: tagCancellations,
		needs:   approves,
		summary: "Approve a cancellation",
		description: "Ends the document, with all its copies, for good. After somebody else's decision the answer is 409 with that decision in " +
			"details.",
		problems: decided}, o.approveCancellation)
	add(o, operation{id: "reject-cancellation", method: http.MethodPost, path: "/v1/cancellations/{id}/reject", tag: tagCancellations,
		needs: approves, summary: "Reject a cancellation", description: "Leaves the document as it is.", problems: decided}, o.rejectCancellation)
	add(o, operation{id: "withdraw-cancellation", method: http.MethodPost, path: "/v1/cancellations/{id}/withdraw", tag: tagCancellations,
		needs: cancels, summary: "Withdraw a cancellation",
		description: "Takes the wish back: by whoever asked, or by an operator who may cancel the document.", problems: inState},
		o.withdrawCancellation)
	add(o, operation{id: "list-cancellation-reviews", method: http.MethodGet, path: "/v1/cancellation-reviews", tag: tagCancellations,
		needs:       approves,
		summary:     "Which cancellations wait for my approval",
		description: "Cancellations that the caller may decide on, newest first: neither asked for by the caller nor of the caller's own document.",
		problems:    []domain.Code{domain.CodeInvalid}}, o.cancellationReviews)
}

func (o *operator) requestCancel(ctx context.Context, caller domain.Caller, in *requestCancelInput) (*created[cancellation], error) {
	c, err := o.Issuer.RequestCancellation(ctx, caller, in.Key, issuer.NewCancellation{DocumentID: in.ID, Reason: in.Body.Reason,
		Notes: in.Body.Notes})
	if err != nil {
		return nil, err
	}
	return &created[cancellation]{Location: "/v1/cancellations/" + c.ID, Body: cancellationDTO(c)}, nil
}

func (o *operator) listCancellations(ctx context.Context, caller domain.Caller, in *listCancellationsInput) (*reply[page[cancellation]], error) {
	all, err := o.Issuer.Cancellations(ctx, caller, issuer.CancellationFilter{DocumentID: in.DocumentID, State: in.State}, in.After, in.Limit)
	return pageOfCancellations(all, in.Limit, err)
}

func (o *operator) cancellationReviews(ctx context.Context, caller domain.Caller, in *Paging) (*reply[page[cancellation]], error) {
	all, err := o.Issuer.CancellationReviews(ctx, caller, in.After, in.Limit)
	return pageOfCancellations(all, in.Limit, err)
}

func (o *operator) getCancellation(ctx context.Context, caller domain.Caller, in *ByID) (*reply[cancellation], error) {
	return cancellationReply(o.Issuer.Cancellation(ctx, caller, in.ID))
}

func (o *operator) approveCancellation(ctx context.Context, caller domain.Caller, in *withFreeReason) (*reply[cancellation], error) {
	return cancellationReply(o.Issuer.ApproveCancellation(ctx, caller, in.ID, in.Body.Reason))
}

func (o *operator) rejectCancellation(ctx context.Context, caller domain.Caller, in *rejectInput) (*reply[cancellation], error) {
	return cancellationReply(o.Issuer.RejectCancellation(ctx, caller, in.ID, in.Body.Reason))
}

func (o *operator) withdrawCancellation(ctx context.Context, caller domain.Caller, in *withFreeReason) (*reply[cancellation], error) {
	return cancellationReply(o.Issuer.WithdrawCancellation(ctx, caller, in.ID, in.Body.Reason))
}
