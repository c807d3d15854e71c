package operator

import (
	"context"
	"net/http"
	"time"

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
		ExpiryDate: r.ExpiryDate, Generation: r.Generation, Attempts: r.Attempts, CodeExpiresAt: optional(r.CodeExpiresAt),
		ApprovalDeadline: optional(r.ApprovalDeadline), CollectionDeadline: optional(r.CollectionDeadline), FailureCode: r.FailureCode,
		DocumentID: r.DocumentID, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
	if r.DecidedBy != "" {
		out.Decision = &decision{By: r.DecidedBy, At: optional(r.DecidedAt), Reason: r.DecisionReason}
	}
	return out
}

func requestID(r domain.Request) string { return r.ID }

type newRequestInput struct {
	Idempotent
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
	Paging
	PersonID string              `query:"person_id" maxLength:"64"`
	State    domain.RequestState `query:"state" enum:"received,awaiting_approval,awaiting_collection,issued,rejected,canceled,expired,failed,locked"`
}

type approveInput struct {
	ByID
	Body struct {
		ProfileID  string      `json:"profile_id,omitempty" maxLength:"64" doc:"Another profile than the one asked for"`
		ExpiryDate domain.Date `json:"expiry_date,omitempty" maxLength:"10" doc:"Last day of validity"`
		Reason     string      `json:"reason,omitempty" maxLength:"1000"`
	}
}

type rejectInput struct {
	ByID
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"1000"`
	}
}

// withFreeReason carries a reason in words that may be left out.
type withFreeReason struct {
	ByID
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
		CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC(), Attempts: listOf(m.Attempts, func(a issuer.MessageAttempt) attempt {
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
	add(o, operation{id: "create-request", method: http.MethodPost, path: "/v1/requests", tag: tagRequests, status: http.StatusCreated,
		needs:   requests,
		summary: "Request a document",
		description: "Asks for a document for a person. An accepted request is never lost: while the workflow engine is down it stays received and is " +
			"started later.",
		problems: append([]domain.Code{domain.CodeNotFound, domain.CodeIdempotencyReused}, ruleCodes()...)}, o.createRequest)
	add(o, operation{id: "preview-request", method: http.MethodPost, path: "/v1/requests/preview", tag: tagRequests, needs: requests,
		summary:     "Preview a request",
		description: "Tells what would be sent where, how many could approve, and everything that is in the way, without creating anything.",
		problems:    []domain.Code{domain.CodeNotFound}}, o.previewRequest)
	add(o, operation{id: "list-requests", method: http.MethodGet, path: "/v1/requests", tag: tagRequests, needs: reads,
		summary: "List requests", description: "Newest first, within the caller's scope.", problems: []domain.Code{domain.CodeInvalid}},
		o.listRequests)
	add(o, operation{id: "get-request", method: http.MethodGet, path: "/v1/requests/{id}", tag: tagRequests, needs: reads,
		summary: "Read a request", description: "Gives one request.", problems: []domain.Code{domain.CodeNotFound}}, o.getRequest)
	add(o, operation{id: "get-request-timeline", method: http.MethodGet, path: "/v1/requests/{id}/timeline", tag: tagRequests, needs: reads,
		summary: "Timeline of a request", description: "Everything that happened to the request, oldest first.",
		problems: []domain.Code{domain.CodeNotFound}}, o.timeline)
	add(o, operation{id: "list-request-messages", method: http.MethodGet, path: "/v1/requests/{id}/messages", tag: tagRequests, needs: reads,
		summary: "Messages of a request", description: "What was sent, or waits to be sent, with every attempt; neither content nor addresses.",
		problems: []domain.Code{domain.CodeNotFound}}, o.messages)
	o.decisions()
	add(o, operation{id: "list-reviews", method: http.MethodGet, path: "/v1/reviews", tag: tagRequests,
		needs:       []domain.Permission{domain.PermApprove},
		summary:     "What waits for my approval",
		description: "Requests that the caller may decide on, newest first: neither asked for by the caller nor for the caller.",
		problems:    []domain.Code{domain.CodeInvalid}}, o.reviews)
}

// decisions registers what is done to a request.
func (o *operator) decisions() {
	approves := []domain.Permission{domain.PermApprove}
	inState := []domain.Code{domain.CodeNotFound, domain.CodeWrongState, domain.CodeEngineUnavailable}
	decided := append([]domain.Code{domain.CodeAlreadyDecided, domain.CodeSelfApproval}, inState...)
	add(o, operation{id: "approve-request", method: http.MethodPost, path: "/v1/requests/{id}/approve", tag: tagRequests, needs: approves,
		summary: "Approve a request",
		description: "Lets the request through, if wanted with another profile or expiry date. Link and code come into being now. After somebody else's " +
			"decision the answer is 409 with that decision in details.",
		problems: append(ruleCodes(), decided...)}, o.approve)
	add(o, operation{id: "reject-request", method: http.MethodPost, path: "/v1/requests/{id}/reject", tag: tagRequests, needs: approves,
		summary: "Reject a request", description: "Refuses the request for good.", problems: append([]domain.Code{domain.CodeRoleMissing}, decided...)},
		o.reject)
	add(o, operation{id: "cancel-request", method: http.MethodPost, path: "/v1/requests/{id}/cancel", tag: tagRequests,
		needs:   []domain.Permission{domain.PermRequest, domain.PermRequestSelf, domain.PermUpdate},
		summary: "Cancel a request",
		description: "Ends an open request: by whoever made it, or by an operator who may request for its person; an update by one who may update, " +
			"too.",
		problems: inState}, o.cancelRequest)
	add(o, operation{id: "resend-request", method: http.MethodPost, path: "/v1/requests/{id}/resend", tag: tagRequests,
		needs:   []domain.Permission{domain.PermRequest, domain.PermUpdate},
		summary: "Send link and code again",
		description: "Makes a new link and code and sends them as the profile says; the old ones work no longer. This also unlocks a request after too " +
			"many wrong codes. Of an update, whose permission is update too, the message is sent again.",
		problems: inState}, o.resend)
	add(o, operation{id: "view-code", method: http.MethodPost, path: "/v1/requests/{id}/code", tag: tagRequests,
		needs:   []domain.Permission{domain.PermViewCode},
		summary: "Show link and code",
		description: "Shows both on screen, to be read to the holder. It is audited. Where the profile sends nothing, the code then works for a short " +
			"time only.",
		problems: []domain.Code{domain.CodeNotFound, domain.CodeWrongState}}, o.viewCode)
}

func (o *operator) createRequest(ctx context.Context, caller domain.Caller, in *newRequestInput) (*created[request], error) {
	r, err := o.Issuer.CreateRequest(ctx, caller, in.Key, in.Body.request())
	if err != nil {
		return nil, err
	}
	return &created[request]{Location: "/v1/requests/" + r.ID, Body: requestDTO(r)}, nil
}

func (o *operator) previewRequest(ctx context.Context, caller domain.Caller, in *previewInput) (*reply[preview], error) {
	p, err := o.Issuer.PreviewRequest(ctx, caller, in.Body.request())
	if err != nil {
		return nil, err
	}
	return replyWith(preview{NeedsApproval: p.NeedsApproval, Approvers: p.Approvers, NeedsDataApproval: p.NeedsDataApproval, ValidUntil: p.ValidUntil,
		Deliveries: listOf(p.Deliveries, func(d issuer.PreviewDelivery) delivery { return delivery(d) }),
		Problems:   listOf(p.Problems, func(p issuer.PreviewProblem) obstacle { return obstacle(p) })}), nil
}

func (o *operator) listRequests(ctx context.Context, caller domain.Caller, in *listRequestsInput) (*reply[page[request]], error) {
	all, err := o.Issuer.Requests(ctx, caller, issuer.RequestFilter{PersonID: in.PersonID, State: in.State}, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return replyWith(pageOf(all, in.Limit, requestDTO, requestID)), nil
}

func (o *operator) reviews(ctx context.Context, caller domain.Caller, in *Paging) (*reply[page[request]], error) {
	all, err := o.Issuer.Reviews(ctx, caller, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return replyWith(pageOf(all, in.Limit, requestDTO, requestID)), nil
}

func (o *operator) getRequest(ctx context.Context, caller domain.Caller, in *ByID) (*reply[request], error) {
	return requestReply(o.Issuer.Request(ctx, caller, in.ID))
}

func (o *operator) timeline(ctx context.Context, caller domain.Caller, in *ByID) (*reply[list[auditEntry]], error) {
	all, err := o.Issuer.Timeline(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return replyWith(list[auditEntry]{Items: listOf(all, auditDTO)}), nil
}

func (o *operator) messages(ctx context.Context, caller domain.Caller, in *ByID) (*reply[list[message]], error) {
	all, err := o.Issuer.RequestMessages(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return replyWith(list[message]{Items: listOf(all, messageDTO)}), nil
}

func (o *operator) approve(ctx context.Context, caller domain.Caller, in *approveInput) (*reply[request], error) {
	return requestReply(o.Issuer.Approve(ctx, caller, in.ID, issuer.Approval{ProfileID: in.Body.ProfileID, ExpiryDate: in.Body.ExpiryDate,
		Reason: in.Body.Reason}))
}

func (o *operator) reject(ctx context.Context, caller domain.Caller, in *rejectInput) (*reply[request], error) {
	return requestReply(o.Issuer.Reject(ctx, caller, in.ID, in.Body.Reason))
}

func (o *operator) cancelRequest(ctx context.Context, caller domain.Caller, in *withFreeReason) (*reply[request], error) {
	return requestReply(o.Issuer.CancelRequest(ctx, caller, in.ID, in.Body.Reason))
}

func (o *operator) resend(ctx context.Context, caller domain.Caller, in *ByID) (*reply[request], error) {
	return requestReply(o.Issuer.Resend(ctx, caller, in.ID))
}

func requestReply(r domain.Request, err error) (*reply[request], error) {
	if err != nil {
		return nil, err
	}
	return replyWith(requestDTO(r)), nil
}

func (o *operator) viewCode(ctx context.Context, caller domain.Caller, in *ByID) (*reply[onScreen], error) {
	s, err := o.Issuer.ViewCode(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return replyWith(onScreen{Link: s.Link, Code: s.Code, ExpiresAt: s.ExpiresAt.UTC(), LogonCode: s.LogonCode,
		LogonExpiresAt: optional(s.LogonExpiresAt)}), nil
}
