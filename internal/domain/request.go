package domain

import "time"

// RequestState is where a request stands (C4).
type RequestState string

// The states of a request.
const (
	RequestReceived           RequestState = "received"
	RequestAwaitingApproval   RequestState = "awaiting_approval"
	RequestAwaitingCollection RequestState = "awaiting_collection"
	RequestIssued             RequestState = "issued"
	RequestRejected           RequestState = "rejected"
	RequestCanceled           RequestState = "canceled"
	RequestExpired            RequestState = "expired"
	RequestFailed             RequestState = "failed"
	RequestLocked             RequestState = "locked" // too many wrong codes; an operator can send a new one
)

// RequestStates lists every state.
func RequestStates() []RequestState {
	return []RequestState{RequestReceived, RequestAwaitingApproval, RequestAwaitingCollection, RequestIssued, RequestRejected,
		RequestCanceled, RequestExpired, RequestFailed, RequestLocked}
}

// Can says whether a request may move from s to next.
func (s RequestState) Can(next RequestState) bool { return requestLifecycle.can(s, next) }

// Open says whether the request still waits for something.
func (s RequestState) Open() bool { return !requestLifecycle.ends(s) }

// RequestChannel is the way a request came in (C1).
type RequestChannel string

// The request channels.
const (
	RequestByOperator RequestChannel = "operator"
	RequestByHolder   RequestChannel = "self_service"
	RequestByClient   RequestChannel = "api_client"
)

// RequestKind says what a request is for.
type RequestKind string

// The kinds of request.
const (
	RequestIssue  RequestKind = "issue"  // a document
	RequestUpdate RequestKind = "update" // a newer version of a document, which takes its place (F3)
)

// Kind says what the request is for.
func (r Request) Kind() RequestKind {
	if r.Replaces != "" {
		return RequestUpdate
	}
	return RequestIssue
}

// Request is one wish for a document and its way to the wallet.
type Request struct {
	ID                 string
	PersonID           string
	ProfileID          string
	Channel            RequestChannel
	RequestedBy        string // account id
	State              RequestState
	ExpiryDate         Date // last day of validity asked for; empty = as the profile says
	Generation         int  // of link and code; 0 = none yet, raised by approval and every re-send
	CodeDigits         int  // length of the code of this generation
	Attempts           int  // wrong codes since the last generation
	Redeemed           bool // the pre-authorized code of this generation was redeemed
	CodeExpiresAt      time.Time
	ApprovalDeadline   time.Time
	CollectionDeadline time.Time
	DecidedBy          string
	DecidedAt          time.Time
	DecisionReason     string
	BlockGroup         string // of what other requests of the person it counts as one (B5): the credential group, or the profile without one
	Blocking           bool   // at most one open blocking request of a person and block group
	FailureCode        Code   // why it failed or, while it is open, why the last collection was refused
	DocumentID         string
	Replaces           string // id of the document that an update replaces; empty = the request is for another document (F3)
	CreatedAt          time.Time
	UpdatedAt          time.Time
}

// ActKind is something a person or a wallet does to an open request.
type ActKind string

// The kinds of act.
const (
	ActApprove ActKind = "approve"
	ActReject  ActKind = "reject"
	ActCancel  ActKind = "cancel"
	ActResend  ActKind = "resend"
	ActCollect ActKind = "collect"
)

// AllowedIn says in which request states the act makes sense.
func (k ActKind) AllowedIn(s RequestState) bool {
	if k == ActCollect {
		return s.Can(RequestIssued)
	}
	return requestLifecycle.does("request."+string(k), s)
}
