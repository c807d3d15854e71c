package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
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
		State: c.State, Deadline: rest.Optional(c.Deadline), CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC()}
	if c.DecidedBy != "" {
		out.Decision = &decision{By: c.DecidedBy, At: rest.Optional(c.DecidedAt), Reason: c.DecisionReason}
	}
	return out
}

func pageOfCancellations(all []domain.Cancellation, limit int, err error) (*rest.Reply[rest.Page[cancellation]], error) {
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.PageOf(all, limit, cancellationDTO, func(c domain.Cancellation) string { return c.ID })), nil
}

func cancellationReply(c domain.Cancellation, err error) (*rest.Reply[cancellation], error) {
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(cancellationDTO(c)), nil
}

type requestCancelInput struct {
	rest.ByID
	rest.Idempotent
	Body reasonAndNotes
}

type listCancellationsInput struct {
	rest.Paging
	DocumentID string                   `query:"document_id" maxLength:"64"`
	State      domain.CancellationState `query:"state" enum:"received,awaiting_approval,approved,rejected,withdrawn,expired"`
}

func (o *operator) cancellations() {
	reads := []domain.Permission{domain.PermCancel, domain.PermApprove}
	cancels := []domain.Permission{domain.PermCancel}
	approves := []domain.Permission{domain.PermApprove}
	inState := []domain.Code{domain.CodeNotFound, domain.CodeWrongState, domain.CodeEngineUnavailable}
	decided := append([]domain.Code{domain.CodeAlreadyDecided, domain.CodeSelfApproval}, inState...)
	add(o, rest.Operation{ID: "request-cancel-document", Method: http.MethodPost, Path: "/v1/documents/{id}/request-cancel", Tag: tagCancellations,
		Status: http.StatusCreated, Needs: cancels,
		Summary: "Ask for the cancellation of a document",
		Description: "For documents whose profile says validate_cancellation: another operator has to approve. Until then the document stays as it is. " +
			"A document has at most one open cancellation. An accepted one is never lost: while the workflow engine is down it stays received and is " +
			"started later.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeIdempotencyReused, domain.CodeWrongState, domain.CodeConflict}}, o.requestCancel)
	add(o, rest.Operation{ID: "list-cancellations", Method: http.MethodGet, Path: "/v1/cancellations", Tag: tagCancellations, Needs: reads,
		Summary: "List cancellations", Description: "Newest first, within the caller's scope.", Problems: []domain.Code{domain.CodeInvalid}},
		o.listCancellations)
	add(o, rest.Operation{ID: "get-cancellation", Method: http.MethodGet, Path: "/v1/cancellations/{id}", Tag: tagCancellations, Needs: reads,
		Summary: "Read a cancellation", Description: "Gives one cancellation.", Problems: []domain.Code{domain.CodeNotFound}}, o.getCancellation)
	add(o, rest.Operation{ID: "approve-cancellation", Method: http.MethodPost, Path: "/v1/cancellations/{id}/approve", Tag: tagCancellations,
		Needs:   approves,
		Summary: "Approve a cancellation",
		Description: "Ends the document, with all its copies, for good. After somebody else's decision the answer is 409 with that decision in " +
			"details.",
		Problems: decided}, o.approveCancellation)
	add(o, rest.Operation{ID: "reject-cancellation", Method: http.MethodPost, Path: "/v1/cancellations/{id}/reject", Tag: tagCancellations,
		Needs: approves, Summary: "Reject a cancellation", Description: "Leaves the document as it is.", Problems: decided}, o.rejectCancellation)
	add(o, rest.Operation{ID: "withdraw-cancellation", Method: http.MethodPost, Path: "/v1/cancellations/{id}/withdraw", Tag: tagCancellations,
		Needs: cancels, Summary: "Withdraw a cancellation",
		Description: "Takes the wish back: by whoever asked, or by an operator who may cancel the document.", Problems: inState},
		o.withdrawCancellation)
	add(o, rest.Operation{ID: "list-cancellation-reviews", Method: http.MethodGet, Path: "/v1/cancellation-reviews", Tag: tagCancellations,
		Needs:       approves,
		Summary:     "Which cancellations wait for my approval",
		Description: "Cancellations that the caller may decide on, newest first: neither asked for by the caller nor of the caller's own document.",
		Problems:    []domain.Code{domain.CodeInvalid}}, o.cancellationReviews)
}

func (o *operator) requestCancel(ctx context.Context, caller domain.Caller, in *requestCancelInput) (*rest.Created[cancellation], error) {
	c, err := o.Issuer.RequestCancellation(ctx, caller, in.Key, issuer.NewCancellation{DocumentID: in.ID, Reason: in.Body.Reason,
		Notes: in.Body.Notes})
	if err != nil {
		return nil, err
	}
	return &rest.Created[cancellation]{Location: "/v1/cancellations/" + c.ID, Body: cancellationDTO(c)}, nil
}

func (o *operator) listCancellations(ctx context.Context, caller domain.Caller, in *listCancellationsInput) (*rest.Reply[rest.Page[cancellation]], error) {
	all, err := o.Issuer.Cancellations(ctx, caller, issuer.CancellationFilter{DocumentID: in.DocumentID, State: in.State}, in.After, in.Limit)
	return pageOfCancellations(all, in.Limit, err)
}

func (o *operator) cancellationReviews(ctx context.Context, caller domain.Caller, in *rest.Paging) (*rest.Reply[rest.Page[cancellation]], error) {
	all, err := o.Issuer.CancellationReviews(ctx, caller, in.After, in.Limit)
	return pageOfCancellations(all, in.Limit, err)
}

func (o *operator) getCancellation(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[cancellation], error) {
	return cancellationReply(o.Issuer.Cancellation(ctx, caller, in.ID))
}

func (o *operator) approveCancellation(ctx context.Context, caller domain.Caller, in *withFreeReason) (*rest.Reply[cancellation], error) {
	return cancellationReply(o.Issuer.ApproveCancellation(ctx, caller, in.ID, in.Body.Reason))
}

func (o *operator) rejectCancellation(ctx context.Context, caller domain.Caller, in *rejectInput) (*rest.Reply[cancellation], error) {
	return cancellationReply(o.Issuer.RejectCancellation(ctx, caller, in.ID, in.Body.Reason))
}

func (o *operator) withdrawCancellation(ctx context.Context, caller domain.Caller, in *withFreeReason) (*rest.Reply[cancellation], error) {
	return cancellationReply(o.Issuer.WithdrawCancellation(ctx, caller, in.ID, in.Body.Reason))
}
