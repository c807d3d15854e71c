package domain

import (
	"slices"
	"time"
)

// DocumentState is where an issued document stands (F1).
type DocumentState string

// The states of a document. A prepared document has an intent and status indices but no signature yet; it is in no list.
const (
	DocumentPrepared   DocumentState = "prepared"
	DocumentActive     DocumentState = "active"
	DocumentDisabled   DocumentState = "disabled"
	DocumentCanceled   DocumentState = "canceled"
	DocumentExpired    DocumentState = "expired"
	DocumentSuperseded DocumentState = "superseded"
)

// DocumentStates lists every state.
func DocumentStates() []DocumentState {
	return []DocumentState{DocumentPrepared, DocumentActive, DocumentDisabled, DocumentCanceled, DocumentExpired, DocumentSuperseded}
}

// Can says whether a document may move from s to next.
func (s DocumentState) Can(next DocumentState) bool { return documentLifecycle.can(s, next) }

// Live says whether the document counts as one the person has.
func (s DocumentState) Live() bool { return s == DocumentActive || s == DocumentDisabled }

// Platform of the wallet that holds a document.
type Platform string

// The platforms.
const (
	PlatformAndroid Platform = "android"
	PlatformIOS     Platform = "ios"
	PlatformOther   Platform = "other"
)

// Document is what the authority knows of an issued mdoc (F1). One document may have several copies, one per wallet key.
type Document struct {
	ID              string
	Serial          string // printed on reports, asked for by verifiers
	RequestID       string
	ActID           string // the act of collection it was prepared for
	PersonID        string
	ProfileID       string
	ProfileVersion  int
	FormatID        string
	FormatVersion   int
	DocType         string
	Platform        Platform
	State           DocumentState
	CredentialGroup string // as the profile said when it was collected (B4)
	ExclusiveGroup  string // likewise (B5)
	DisabledBy      DisabledBy
	SignerID        string
	SignedAt        time.Time
	ValidFrom       time.Time
	ValidUntil      time.Time
	Copies          int
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// DisabledBy says what disabled a document, because only that may enable it by itself again.
type DisabledBy string

// What disables documents.
const (
	DisabledByOperator DisabledBy = "operator"
	DisabledByReissue  DisabledBy = "reissue" // another document of the credential group was collected (B4)
	DisabledByPerson   DisabledBy = "person"  // the person was deactivated (A4)
)

// StateAt gives the state a verifier should see at the instant: an active or disabled document past its end is expired.
func (d *Document) StateAt(at time.Time) DocumentState {
	if d.State.Live() && !at.Before(d.ValidUntil) {
		return DocumentExpired
	}
	return d.State
}

// Copy is one signed mdoc of a document: bound to one wallet key, with its own salts and status index (E2).
type Copy struct {
	DocumentID    string
	N             int
	KeyThumbprint string // RFC 7638, SHA-256, base64url
	PublicKey     []byte // PKIX DER
	Seed          []byte // salts and digest ids are drawn from it; erased once the document is signed
	ListID        string
	StatusIndex   uint64
	IssuerSigned  []byte // kept only until the wallet has it (F1)
}

// DocumentAct is something an operator does to a document.
type DocumentAct string

// The acts on documents.
const (
	DocumentDisable DocumentAct = "disable"
	DocumentEnable  DocumentAct = "enable"
	DocumentCancel  DocumentAct = "cancel"
	// DocumentRequestCancel asks another operator for the cancellation, where the profile demands that.
	DocumentRequestCancel DocumentAct = "request_cancel"
	// DocumentUpdate asks for a newer version that takes the document's place (F3).
	DocumentUpdate DocumentAct = "update"
)

// DocumentActs lists the acts.
func DocumentActs() []DocumentAct {
	return []DocumentAct{DocumentDisable, DocumentEnable, DocumentCancel, DocumentRequestCancel, DocumentUpdate}
}

// documentActions are the acts as the audit names them.
var documentActions = map[DocumentAct]string{DocumentDisable: "document.disable", DocumentEnable: "document.enable", DocumentCancel: "document.cancel",
	DocumentRequestCancel: "cancellation.create", DocumentUpdate: "request.update"}

// step gives the first step of the lifecycle with the act, which is the operator's; the others with the same action are cascades.
func (a DocumentAct) step() (Step[DocumentState], bool) {
	i := slices.IndexFunc(documentLifecycle, func(s Step[DocumentState]) bool { return s.Action == documentActions[a] })
	if i < 0 {
		return Step[DocumentState]{}, false
	}
	return documentLifecycle[i], true
}

// Permission is the one that an operator needs for the act.
func (a DocumentAct) Permission() Permission {
	s, ok := a.step()
	if !ok {
		return ""
	}
	return s.Needs[0]
}

// Target gives the state the act leads to from s, and whether it may. Asking for a cancellation or an update changes nothing by itself.
func (a DocumentAct) Target(s DocumentState) (DocumentState, bool) {
	step, ok := a.step()
	if !ok {
		return s, false
	}
	to := step.To
	if to == "" {
		to = s
	}
	return to, slices.Contains(step.From, s)
}

// CancelReason says why a document was canceled (F4).
type CancelReason string

// The reasons a document can be canceled or disabled for.
const (
	ReasonLost       CancelReason = "lost"
	ReasonStolen     CancelReason = "stolen"
	ReasonDamaged    CancelReason = "damaged"
	ReasonCompromise CancelReason = "compromised"
	ReasonWithdrawn  CancelReason = "withdrawn"
	ReasonLeft       CancelReason = "left"
	ReasonOther      CancelReason = "other"
)

// CancelReasons lists the reasons.
func CancelReasons() []CancelReason {
	return []CancelReason{ReasonLost, ReasonStolen, ReasonDamaged, ReasonCompromise, ReasonWithdrawn, ReasonLeft, ReasonOther}
}
