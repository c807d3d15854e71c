// Package messages holds what workflows, activities and the engine say to each other: names of workflows, updates, signals, activities and
// queues, workflow ids, and the payloads. Payloads carry ids, durations, states and codes only; never personal data.
package messages

import (
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

// Task queues. Signing has its own, so that its concurrency can be limited and its workers can sit beside the keys; the pages of batches have
// theirs, so that a large batch leaves everything else its turn.
const (
	QueueRequests = "mdocket-requests"
	QueueSigning  = "mdocket-signing"
	QueueBatches  = "mdocket-batches"
)

// Heartbeat is how long an activity that talks to the outside may be silent before its worker counts as dead. Activities report three times as often.
const Heartbeat = 9 * time.Second

// Workflow types.
const (
	WorkflowIssuance     = "Issuance"
	WorkflowCancellation = "Cancellation"
	WorkflowBatch        = "Batch"
	WorkflowReconcile    = "Reconcile"
	WorkflowNotices      = "Notices"
	WorkflowExpiry       = "Expiry"
)

// Updates of the issuance workflow, named as the acts; each carries an ActRef and answers with a Snapshot, the update id is the act's id.
const (
	UpdateApprove = string(domain.ActApprove)
	UpdateReject  = string(domain.ActReject)
	UpdateCancel  = string(domain.ActCancel)
	UpdateResend  = string(domain.ActResend)
	UpdateCollect = string(domain.ActCollect)
)

// SignalLocked tells the issuance workflow that too many wrong codes locked the request. It carries nothing: the workflow looks at SQL
// again, so a signal that comes late or twice does no harm.
const SignalLocked = "locked"

// Schedules start a workflow again and again.
const (
	ScheduleReconcile = "mdocket-reconcile"
	ScheduleNotices   = "mdocket-notices"
	ScheduleExpiry    = "mdocket-expiry"
)

// IssuanceID gives the workflow id of a request's issuance. It is made from the request id, so a second start is harmless.
func IssuanceID(requestID string) string { return "issuance-" + requestID }

// IssuanceInput starts an issuance.
type IssuanceInput struct {
	RequestID string `json:"request_id"`
}

// IssuanceResult is how an issuance ended. Rejected, canceled and expired are results, not failures.
type IssuanceResult struct {
	State domain.RequestState `json:"state"`
}

// ActRef names an act that is recorded in SQL.
type ActRef struct {
	RequestID string `json:"request_id"`
	ActID     string `json:"act_id"`
}

// Snapshot is the request as SQL has it after a step: all that the workflow needs to know to wait for the next one.
type Snapshot struct {
	State         domain.RequestState `json:"state"`
	Generation    int                 `json:"generation,omitempty"`
	Deadline      time.Time           `json:"deadline"`                 // of the present state; zero = none
	ReminderEvery time.Duration       `json:"reminder_every,omitempty"` // while awaiting approval; 0 = never
	Unsent        bool                `json:"unsent,omitempty"`         // messages of this generation wait to be sent
}

// NotifyInput asks for the messages of one generation of a request to be sent.
type NotifyInput struct {
	RequestID  string `json:"request_id"`
	Generation int    `json:"generation"`
}

// ReminderInput asks for the n-th reminder to the approvers.
type ReminderInput struct {
	RequestID string `json:"request_id"`
	N         int    `json:"n"`
}

// CancellationID gives the workflow id of a cancellation that needs approval. It is made from its id, so a second start is harmless.
func CancellationID(cancellationID string) string { return "cancellation-" + cancellationID }

// CancellationInput starts the workflow of a cancellation.
type CancellationInput struct {
	CancellationID string `json:"cancellation_id"`
}

// CancellationResult is how a cancellation ended. Rejected, withdrawn and expired are results, not failures.
type CancellationResult struct {
	State domain.CancellationState `json:"state"`
}

// CancellationActRef names an act on a cancellation that is recorded in SQL. The cancellation workflow has one update for each
// domain.CancellationAct, named as the act; each carries a CancellationActRef and answers with a CancellationSnapshot, the update id is the
// act's id.
type CancellationActRef struct {
	CancellationID string `json:"cancellation_id"`
	ActID          string `json:"act_id"`
}

// CancellationSnapshot is the cancellation as SQL has it after a step.
type CancellationSnapshot struct {
	State    domain.CancellationState `json:"state"`
	Deadline time.Time                `json:"deadline"` // zero unless it waits for approval
}

// BatchID gives the workflow id of a batch. It is made from its id, so a second start is harmless.
func BatchID(batchID string) string { return "batch-" + batchID }

// BatchInput starts the workflow of a batch, or continues it.
type BatchInput struct {
	BatchID string `json:"batch_id"`
	Next    int    `json:"next,omitempty"` // the first item that is not done for certain or, of a completed batch, not started; 0 = the first one
}

// BatchSnapshot is all that the workflow needs to know of a batch.
type BatchSnapshot struct {
	State    domain.BatchState `json:"state"`
	Total    int               `json:"total"`
	Requests bool              `json:"requests,omitempty"` // the items become requests, whose workflows are to be started
}

// BatchPage names the items of a batch from one number to another, both included.
type BatchPage struct {
	BatchID string `json:"batch_id"`
	From    int    `json:"from"`
	To      int    `json:"to"`
}

// BatchResult is how a batch ended.
type BatchResult struct {
	Total     int `json:"total"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
}

// ExpiryResult counts what a sweep of documents did.
type ExpiryResult struct {
	Expired  int `json:"expired"`
	Reminded int `json:"reminded"`
	Renewed  int `json:"renewed"`
}

// NoticesResult counts what a sweep of notices did.
type NoticesResult struct {
	Sent int `json:"sent"`
}

// ReconcileResult counts what a reconciliation did.
type ReconcileResult struct {
	Started int `json:"started"`
}
