package domain

import (
	"slices"
	"time"
)

// BatchOperation is what a batch does to each of its items (C6, G1).
type BatchOperation string

// The operations.
const (
	BatchRequest BatchOperation = "request" // a document of one profile for each person
	BatchUpdate  BatchOperation = "update"  // a newer version of each document
	BatchDisable BatchOperation = "disable"
	BatchEnable  BatchOperation = "enable"
	BatchCancel  BatchOperation = "cancel"
)

// batchOperations says of each operation which permission it takes and, where its items are documents, which act it is.
var batchOperations = map[BatchOperation]struct {
	permission Permission
	act        DocumentAct
}{
	BatchRequest: {permission: PermRequest},
	BatchUpdate:  {permission: PermUpdate, act: DocumentUpdate},
	BatchDisable: {permission: PermDisable, act: DocumentDisable},
	BatchEnable:  {permission: PermDisable, act: DocumentEnable},
	BatchCancel:  {permission: PermCancel, act: DocumentCancel},
}

// BatchOperations lists the operations.
func BatchOperations() []BatchOperation {
	return []BatchOperation{BatchRequest, BatchUpdate, BatchDisable, BatchEnable, BatchCancel}
}

// Valid says whether o is one of the operations.
func (o BatchOperation) Valid() bool { return slices.Contains(BatchOperations(), o) }

// Permission is the one that each item takes, as the single act does.
func (o BatchOperation) Permission() Permission { return batchOperations[o].permission }

// DocumentAct gives the act that the operation does to documents; false where its items are people.
func (o BatchOperation) DocumentAct() (DocumentAct, bool) {
	act := batchOperations[o].act
	return act, act != ""
}

// MakesRequests says whether an item that is completed is a request, whose workflow is to be started.
func (o BatchOperation) MakesRequests() bool { return o == BatchRequest || o == BatchUpdate }

// BatchState is where a batch stands. Once received, it runs to its end: there is no way to stop it.
type BatchState string

// The states of a batch.
const (
	BatchReceived  BatchState = "received"
	BatchRunning   BatchState = "running"
	BatchCompleted BatchState = "completed" // every item is completed or failed
)

// Batch is one operation on many items, each independent of the others (G1, G2).
type Batch struct {
	ID         string
	Operation  BatchOperation
	ProfileID  string       // of requests; of updates, if all documents are to be of one
	ExpiryDate Date         // of requests: last day of validity; empty = as the profile says
	Reason     CancelReason // of changes of documents that need one; ReasonReprovision of updates
	Notes      string
	CreatedBy  string // account, with whose rights of the moment each item is carried out
	Machine    bool   // it came in with an API key
	State      BatchState
	Total      int
	Begun      int // items 1 to Begun have been handed out
	Completed  int
	Failed     int
	CreatedAt  time.Time
	UpdatedAt  time.Time
	EndedAt    time.Time
}

// Pending counts the items that nobody has begun with.
func (b Batch) Pending() int { return b.Total - b.Begun }

// InProgress counts the items that are being worked on.
func (b Batch) InProgress() int { return b.Begun - b.Completed - b.Failed }

// BatchItemState is where an item stands.
type BatchItemState string

// The states of an item.
const (
	ItemPending    BatchItemState = "pending"
	ItemInProgress BatchItemState = "in_progress"
	ItemCompleted  BatchItemState = "completed"
	ItemFailed     BatchItemState = "failed"
)

// BatchItem is one person or document of a batch and what came of it. Texts hold no personal data.
type BatchItem struct {
	BatchID    string
	N          int    // 1 to Total; sorted by subject
	SubjectID  string // the person or document as it was selected
	PersonID   string // whom it concerns; empty = there was no such thing within the creator's reach
	DocumentID string
	RequestID  string
	Serial     string
	Platform   Platform
	State      BatchItemState
	Code       Code   // why it failed
	Message    string // the same in words
	UpdatedAt  time.Time
}
