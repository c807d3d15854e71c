package domain

import "time"

// CancellationState is where the wish to cancel a document stands, where that needs approval (B2, F4).
type CancellationState string

// The states of a cancellation.
const (
	CancellationReceived         CancellationState = "received"
	CancellationAwaitingApproval CancellationState = "awaiting_approval"
	CancellationApproved         CancellationState = "approved" // and the document was canceled with it
	CancellationRejected         CancellationState = "rejected"
	CancellationWithdrawn        CancellationState = "withdrawn"
	CancellationExpired          CancellationState = "expired" // nobody decided in time, or the document ended first
)

// CancellationStates lists every state.
func CancellationStates() []CancellationState {
	return []CancellationState{CancellationReceived, CancellationAwaitingApproval, CancellationApproved, CancellationRejected,
		CancellationWithdrawn, CancellationExpired}
}

// Can says whether a cancellation may move from s to next.
func (s CancellationState) Can(next CancellationState) bool {
	return cancellationLifecycle.can(s, next)
}

// Open says whether the cancellation still waits for something.
func (s CancellationState) Open() bool { return !cancellationLifecycle.ends(s) }

// Cancellation is one wish to cancel a document whose profile demands another operator's approval for that.
type Cancellation struct {
	ID             string
	DocumentID     string
	PersonID       string // the document's
	RequestedBy    string // account id
	Reason         CancelReason
	Notes          string
	State          CancellationState
	Deadline       time.Time // of the decision; zero until it waits for approval
	DecidedBy      string
	DecidedAt      time.Time
	DecisionReason string
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// CancellationAct is something an operator does to an open cancellation.
type CancellationAct string

// The acts on cancellations.
const (
	CancellationApprove  CancellationAct = "approve"
	CancellationReject   CancellationAct = "reject"
	CancellationWithdraw CancellationAct = "withdraw"
)

// CancellationActs lists the acts.
func CancellationActs() []CancellationAct {
	return []CancellationAct{CancellationApprove, CancellationReject, CancellationWithdraw}
}

// Target gives the state the act leads to.
func (a CancellationAct) Target() CancellationState {
	switch a {
	case CancellationApprove:
		return CancellationApproved
	case CancellationReject:
		return CancellationRejected
	case CancellationWithdraw:
		return CancellationWithdrawn
	}
	return ""
}

// AllowedIn says in which states of a cancellation the act makes sense.
func (a CancellationAct) AllowedIn(s CancellationState) bool { return s.Can(a.Target()) }

// Decides says whether the act is an approver's.
func (a CancellationAct) Decides() bool { return a == CancellationApprove || a == CancellationReject }
