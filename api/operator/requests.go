package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// RequestFields are what a caller says of a request.
type RequestFields struct {
	PersonID   string      `json:"person_id" minLength:"1" maxLength:"64"`
	ProfileID  string      `json:"profile_id" minLength:"1" maxLength:"64"`
	ExpiryDate domain.Date `json:"expiry_date,omitempty" maxLength:"10" doc:"Last day of validity as YYYY-MM-DD; as the profile says when left out"`
}

func (f RequestFields) request() issuer.NewRequest {
	return issuer.NewRequest{PersonID: f.PersonID, ProfileID: f.ProfileID, ExpiryDate: f.ExpiryDate}
}

// decision is what was decided on a request, by whom and why.
type decision struct {
	By     string     `json:"by" doc:"Account"`
	At     *time.Time `json:"at,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

type request struct {
	ID                 string                `json:"id"`
	Kind               domain.RequestKind    `json:"kind" enum:"issue,update" doc:"Update: a newer version of a document, which takes its place"`
	Replaces           string                `json:"replaces,omitempty" doc:"The document that an update is of"`
	PersonID           string                `json:"person_id"`
	ProfileID          string                `json:"profile_id"`
	Channel            domain.RequestChannel `json:"channel" enum:"operator,self_service,api_client"`
	RequestedBy        string                `json:"requested_by" doc:"Account"`
	State              domain.RequestState   `json:"state" enum:"received,awaiting_approval,awaiting_collection,issued,rejected,canceled,expired,failed,locked"`
	ExpiryDate         domain.Date           `json:"expiry_date,omitempty"`
	Generation         int                   `json:"generation" doc:"Of link and code: raised by approval and every re-send; 0 = none yet"`
	Attempts           int                   `json:"attempts" doc:"Wrong codes since the last generation"`
	CodeExpiresAt      *time.Time            `json:"code_expires_at,omitempty"`
	ApprovalDeadline   *time.Time            `json:"approval_deadline,omitempty"`
	CollectionDeadline *time.Time            `json:"collection_deadline,omitempty"`
	Decision           *decision             `json:"decision,omitempty"`
	FailureCode        domain.Code           `json:"failure_code,omitempty" doc:"Why the request failed or, while it is open, why the last collection was refused"`
	DocumentID         string                `json:"document_id,omitempty"`
	CreatedAt          time.Time             `json:"created_at"`
	UpdatedAt          time.Time             `json:"updated_at"`
}

func requestDTO(r domain.Request) request {
	out := request{ID: r.ID, Kind: r.Kind(), Replaces: r.Replaces, PersonID: r.PersonID, ProfileID: r.ProfileID, Channel: r.Channel, RequestedBy: r.RequestedBy, State: r.State,
		ExpiryDate: r.ExpiryDate, Generation: r.Generation, Attempts: r.Attempts, CodeExpiresAt: rest.Optional(r.CodeExpiresAt),
		ApprovalDeadline: rest.Optional(r.ApprovalDeadline), CollectionDeadline: rest.Optional(r.CollectionDeadline), FailureCode: r.FailureCode,
		DocumentID: r.DocumentID, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
	if r.DecidedBy != "" {
		out.Decision = &decision{By: r.DecidedBy, At: rest.Optional(r.DecidedAt), Reason: r.DecisionReason}
	}
	return out
}

func requestID(r domain.Request) string { return r.ID }

type newRequestInput struct {
	rest.Idempotent
	Body RequestFields
}

type previewInput struct {
	Body RequestFields
}

type delivery struct {
	Channel domain.Channel     `json:"channel" enum:"email,sms"`
	Kind    domain.MessageKind `json:"kind" enum:"collection_link,authentication_code,logon_code"`
	To      string             `json:"to" doc:"Masked"`
}

type finding struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// obstacle is a finding that stands in the way of a request.
type obstacle struct {
	Code    domain.Code `json:"code" doc:"The code that the request would be refused with"`
	Field   string      `json:"field"`
	Problem string      `json:"problem"`
}

type preview struct {
	NeedsApproval     bool        `json:"needs_approval"`
	Approvers         int         `json:"approvers" doc:"How many accounts could decide on the request now"`
	NeedsDataApproval bool        `json:"needs_data_approval" doc:"The document cannot be collected before the person's data are approved"`
	Deliveries        []delivery  `json:"deliveries"`
	ValidUntil        domain.Date `json:"valid_until,omitempty" doc:"Last day of validity if the document were collected now"`
	Problems          []obstacle  `json:"problems" doc:"Why the request would be refused; empty: it would be accepted"`
}

type listRequestsInput struct {
	rest.Paging
	PersonID string              `query:"person_id" maxLength:"64"`
	State    domain.RequestState `query:"state" enum:"received,awaiting_approval,awaiting_collection,issued,rejected,canceled,expired,failed,locked"`
}

type approveInput struct {
	rest.ByID
	Body struct {
		ProfileID  string      `json:"profile_id,omitempty" maxLength:"64" doc:"Another profile than the one asked for"`
		ExpiryDate domain.Date `json:"expiry_date,omitempty" maxLength:"10" doc:"Last day of validity"`
		Reason     string      `json:"reason,omitempty" maxLength:"1000"`
	}
}

type rejectInput struct {
	rest.ByID
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"1000"`
	}
}

// withFreeReason carries a reason in words that may be left out.
type withFreeReason struct {
	rest.ByID
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"1000"`
	}
}

type attempt struct {
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome" enum:"sent,temporary,refused"`
	Answer  string    `json:"answer,omitempty" doc:"What the gateway said, without content"`
}

type message struct {
	ID         string             `json:"id"`
	Generation int                `json:"generation" doc:"Of link and code; reminders to approvers count down from -1"`
	Channel    domain.Channel     `json:"channel" enum:"email,sms"`
	Kind       domain.MessageKind `json:"kind" enum:"collection_link,authentication_code,logon_code,approval_reminder,outcome_success,outcome_failure,reprovision,expiry_reminder,cancellation"`
	State      string             `json:"state" enum:"pending,sent,failed,replaced"`
	AccountID  string             `json:"account_id,omitempty" doc:"The approver it goes to; absent: the holder"`
	CreatedAt  time.Time          `json:"created_at"`
	UpdatedAt  time.Time          `json:"updated_at"`
	Attempts   []attempt          `json:"attempts"`
}

func messageDTO(m issuer.SentMessage) message {
	return message{ID: m.ID, Generation: m.Generation, Channel: m.Channel, Kind: m.Kind, State: string(m.State), AccountID: m.AccountID,
		CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC(), Attempts: rest.ListOf(m.Attempts, func(a issuer.MessageAttempt) attempt {
			return attempt{At: a.At.UTC(), Outcome: a.Outcome, Answer: a.Answer}
		})}
}

type onScreen struct {
	Link           string     `json:"link" doc:"Opens the wallet, or shows a QR code for it"`
	Code           string     `json:"code" doc:"Authentication code"`
	ExpiresAt      time.Time  `json:"expires_at"`
	LogonCode      string     `json:"logon_code,omitempty" doc:"For self-service, where the profile gives one and sends nothing"`
	LogonExpiresAt *time.Time `json:"logon_expires_at,omitempty" doc:"Absent: it works until it is replaced"`
}

// ruleCodes are those with which the rules of a profile refuse a request or its approval.
func ruleCodes() []domain.Code {
	return []domain.Code{domain.CodeRoleMissing, domain.CodePersonInactive, domain.CodeUnknownFormat, domain.CodeDataNotApproved,
		domain.CodeExclusiveGroup, domain.CodeRequestOpen, domain.CodeChannelOff, domain.CodeMissingData, domain.CodeMissingContact,
		domain.CodeLifetimeBeyondSigner, domain.CodeLifetimeOver}
}

func (o *operator) requests() {
	reads := []domain.Permission{domain.PermRequest, domain.PermApprove, domain.PermUpdate, domain.PermRequestSelf}
	requests := []domain.Permission{domain.PermRequest, domain.PermRequestSelf}
	add(o, rest.Operation{ID: "create-request", Method: http.MethodPost, Path: "/v1/requests", Tag: tagRequests, Status: http.StatusCreated,
		Needs:   requests,
		Summary: "Request a document",
		Description: "Asks for a document for a person. An accepted request is never lost: while the workflow engine is down it stays received and is " +
			"started later.",
		Problems: append([]domain.Code{domain.CodeNotFound, domain.CodeIdempotencyReused}, ruleCodes()...)}, o.createRequest)
	add(o, rest.Operation{ID: "preview-request", Method: http.MethodPost, Path: "/v1/requests/preview", Tag: tagRequests, Needs: requests,
		Summary:     "Preview a request",
		Description: "Tells what would be sent where, how many could approve, and everything that is in the way, without creating anything.",
		Problems:    []domain.Code{domain.CodeNotFound}}, o.previewRequest)
	add(o, rest.Operation{ID: "list-requests", Method: http.MethodGet, Path: "/v1/requests", Tag: tagRequests, Needs: reads,
		Summary: "List requests", Description: "Newest first, within the caller's scope.", Problems: []domain.Code{domain.CodeInvalid}},
		o.listRequests)
	add(o, rest.Operation{ID: "get-request", Method: http.MethodGet, Path: "/v1/requests/{id}", Tag: tagRequests, Needs: reads,
		Summary: "Read a request", Description: "Gives one request.", Problems: []domain.Code{domain.CodeNotFound}}, o.getRequest)
	add(o, rest.Operation{ID: "get-request-timeline", Method: http.MethodGet, Path: "/v1/requests/{id}/timeline", Tag: tagRequests, Needs: reads,
		Summary: "Timeline of a request", Description: "Everything that happened to the request, oldest first, in pages.",
		Problems: []domain.Code{domain.CodeInvalid, domain.CodeNotFound}}, o.timeline)
	add(o, rest.Operation{ID: "list-request-messages", Method: http.MethodGet, Path: "/v1/requests/{id}/messages", Tag: tagRequests, Needs: reads,
		Summary: "Messages of a request", Description: "What was sent, or waits to be sent, with every attempt; neither content nor addresses.",
		Problems: []domain.Code{domain.CodeNotFound}}, o.messages)
	o.decisions()
	add(o, rest.Operation{ID: "list-reviews", Method: http.MethodGet, Path: "/v1/reviews", Tag: tagRequests,
		Needs:       []domain.Permission{domain.PermApprove},
		Summary:     "What waits for my approval",
		Description: "Requests that the caller may decide on, newest first: neither asked for by the caller nor for the caller.",
		Problems:    []domain.Code{domain.CodeInvalid}}, o.reviews)
}

// decisions registers what is done to a request.
func (o *operator) decisions() {
	approves := []domain.Permission{domain.PermApprove}
	inState := []domain.Code{domain.CodeNotFound, domain.CodeWrongState, domain.CodeEngineUnavailable}
	decided := append([]domain.Code{domain.CodeAlreadyDecided, domain.CodeSelfApproval}, inState...)
	add(o, rest.Operation{ID: "approve-request", Method: http.MethodPost, Path: "/v1/requests/{id}/approve", Tag: tagRequests, Needs: approves,
		Summary: "Approve a request",
		Description: "Lets the request through, if wanted with another profile or expiry date. Link and code come into being now. After somebody else's " +
			"decision the answer is 409 with that decision in details.",
		Problems: append(ruleCodes(), decided...)}, o.approve)
	add(o, rest.Operation{ID: "reject-request", Method: http.MethodPost, Path: "/v1/requests/{id}/reject", Tag: tagRequests, Needs: approves,
		Summary: "Reject a request", Description: "Refuses the request for good.", Problems: append([]domain.Code{domain.CodeRoleMissing}, decided...)},
		o.reject)
	add(o, rest.Operation{ID: "cancel-request", Method: http.MethodPost, Path: "/v1/requests/{id}/cancel", Tag: tagRequests,
		Needs:   []domain.Permission{domain.PermRequest, domain.PermRequestSelf, domain.PermUpdate},
		Summary: "Cancel a request",
		Description: "Ends an open request: by whoever made it, or by an operator who may request for its person; an update by one who may update, " +
			"too.",
		Problems: inState}, o.cancelRequest)
	add(o, rest.Operation{ID: "resend-request", Method: http.MethodPost, Path: "/v1/requests/{id}/resend", Tag: tagRequests,
		Needs:   []domain.Permission{domain.PermRequest, domain.PermUpdate},
		Summary: "Send link and code again",
		Description: "Makes a new link and code and sends them as the profile says; the old ones work no longer. This also unlocks a request after too " +
			"many wrong codes. Of an update, whose permission is update too, the message is sent again.",
		Problems: inState}, o.resend)
	add(o, rest.Operation{ID: "view-code", Method: http.MethodPost, Path: "/v1/requests/{id}/code", Tag: tagRequests,
		Needs:   []domain.Permission{domain.PermViewCode},
		Summary: "Show link and code",
		Description: "Shows both on screen, to be read to the holder. It is audited. Where the profile sends nothing, the code then works for a short " +
			"time only.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeWrongState}}, o.viewCode)
}

func (o *operator) createRequest(ctx context.Context, caller domain.Caller, in *newRequestInput) (*rest.Created[request], error) {
	r, err := o.Issuer.CreateRequest(ctx, caller, in.Key, in.Body.request())
	if err != nil {
		return nil, err
	}
	return &rest.Created[request]{Location: "/v1/requests/" + r.ID, Body: requestDTO(r)}, nil
}

func (o *operator) previewRequest(ctx context.Context, caller domain.Caller, in *previewInput) (*rest.Reply[preview], error) {
	p, err := o.Issuer.PreviewRequest(ctx, caller, in.Body.request())
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(preview{NeedsApproval: p.NeedsApproval, Approvers: p.Approvers, NeedsDataApproval: p.NeedsDataApproval, ValidUntil: p.ValidUntil,
		Deliveries: rest.ListOf(p.Deliveries, func(d issuer.PreviewDelivery) delivery { return delivery(d) }),
		Problems:   rest.ListOf(p.Problems, func(p issuer.PreviewProblem) obstacle { return obstacle(p) })}), nil
}

func (o *operator) listRequests(ctx context.Context, caller domain.Caller, in *listRequestsInput) (*rest.Reply[rest.Page[request]], error) {
	all, err := o.Issuer.Requests(ctx, caller, issuer.RequestFilter{PersonID: in.PersonID, State: in.State}, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.PageOf(all, in.Limit, requestDTO, requestID)), nil
}

func (o *operator) reviews(ctx context.Context, caller domain.Caller, in *rest.Paging) (*rest.Reply[rest.Page[request]], error) {
	all, err := o.Issuer.Reviews(ctx, caller, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.PageOf(all, in.Limit, requestDTO, requestID)), nil
}

func (o *operator) getRequest(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[request], error) {
	return requestReply(o.Issuer.Request(ctx, caller, in.ID))
}

func (o *operator) timeline(ctx context.Context, caller domain.Caller, in *happenedInput) (*rest.Reply[auditPage], error) {
	all, err := o.Issuer.Timeline(ctx, caller, in.ID, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(auditPageOf(all, in.Limit)), nil
}

func (o *operator) messages(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[rest.List[message]], error) {
	all, err := o.Issuer.RequestMessages(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[message]{Items: rest.ListOf(all, messageDTO)}), nil
}

func (o *operator) approve(ctx context.Context, caller domain.Caller, in *approveInput) (*rest.Reply[request], error) {
	return requestReply(o.Issuer.Approve(ctx, caller, in.ID, issuer.Approval{ProfileID: in.Body.ProfileID, ExpiryDate: in.Body.ExpiryDate,
		Reason: in.Body.Reason}))
}

func (o *operator) reject(ctx context.Context, caller domain.Caller, in *rejectInput) (*rest.Reply[request], error) {
	return requestReply(o.Issuer.Reject(ctx, caller, in.ID, in.Body.Reason))
}

func (o *operator) cancelRequest(ctx context.Context, caller domain.Caller, in *withFreeReason) (*rest.Reply[request], error) {
	return requestReply(o.Issuer.CancelRequest(ctx, caller, in.ID, in.Body.Reason))
}

func (o *operator) resend(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[request], error) {
	return requestReply(o.Issuer.Resend(ctx, caller, in.ID))
}

func requestReply(r domain.Request, err error) (*rest.Reply[request], error) {
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(requestDTO(r)), nil
}

func (o *operator) viewCode(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[onScreen], error) {
	s, err := o.Issuer.ViewCode(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(onScreen{Link: s.Link, Code: s.Code, ExpiresAt: s.ExpiresAt.UTC(), LogonCode: s.LogonCode,
		LogonExpiresAt: rest.Optional(s.LogonExpiresAt)}), nil
}
