package notify

import "time"

// Data is what a message is made from: one of the types of this file. Their texts are names of one line; a name with a link in
// it is refused, and so is anything missing that is not said to be optional.
type Data interface {
	kind() Kind
	// values gives the template's fields, checked and in the forms of a language. Errors hold no data.
	values(language string) (map[string]string, error)
}

// CollectionLink tells the holder where to collect the document. It has no place for a code.
type CollectionLink struct {
	// ServerName is what the holder knows the issuer by.
	ServerName string
	// GivenName is for the salutation and may be empty.
	GivenName string
	// DocumentName is the document as people call it.
	DocumentName string
	// Link is the https (or http) address of the collection page.
	Link string
	// Deadline is shown in its own time zone.
	Deadline time.Time
}

// AuthenticationCode gives the holder the code to type. It has no place for a link, and its names must not contain one.
type AuthenticationCode struct {
	ServerName, DocumentName string
	// Code is 4 to 12 digits; it is shown in groups, "1234 5678".
	Code string
	// ValidUntil is shown in its own time zone.
	ValidUntil time.Time
}

// LogonCode gives somebody the code to sign in to self-service with. Like [AuthenticationCode] it has no place for a link.
type LogonCode struct {
	ServerName string
	// LogonName is the name to sign in with and may be empty.
	LogonName string
	// Code is 4 to 64 letters, digits and symbols of ASCII; it is shown as it is.
	Code string
	// ValidUntil is shown in its own time zone; zero is a code without an end.
	ValidUntil time.Time
}

// ApprovalReminder tells an approver of a request that waits for a decision.
type ApprovalReminder struct {
	ServerName, DocumentName, RequestID string
	// WaitingSince and Deadline are shown in their own time zones.
	WaitingSince, Deadline time.Time
	// ReviewURL is the https (or http) address where approvers decide.
	ReviewURL string
}

// OutcomeSuccess tells the holder that a wallet has collected the document.
type OutcomeSuccess struct {
	ServerName string
	GivenName  string // may be empty
	// DocumentName is the document as people call it.
	DocumentName string
	// ValidUntil is shown as a date in its own time zone.
	ValidUntil time.Time
}

// OutcomeFailure tells the holder that a request has ended without a document.
type OutcomeFailure struct {
	ServerName   string
	GivenName    string // may be empty
	DocumentName string
	Cause        FailureCause
}

// FailureCause is why a request ended without a document. Templates have a sentence for each.
type FailureCause string

// The causes of failure.
const (
	FailureRejected FailureCause = "rejected" // an approver said no
	FailureCanceled FailureCause = "canceled" // somebody withdrew the request
	FailureExpired  FailureCause = "expired"  // the time for it has run out
	FailureFailed   FailureCause = "failed"   // the document could not be made
)

// FailureCauses lists every cause.
func FailureCauses() []FailureCause {
	return []FailureCause{FailureRejected, FailureCanceled, FailureExpired, FailureFailed}
}

// Reprovision tells the holder that an update of the document waits for the wallet.
type Reprovision struct {
	ServerName   string
	GivenName    string // may be empty
	DocumentName string
	// Deadline is shown in its own time zone; zero is an update that waits without an end.
	Deadline time.Time
}

// ExpiryReminder tells the holder that the document will not be valid for much longer.
type ExpiryReminder struct {
	ServerName   string
	GivenName    string // may be empty
	DocumentName string
	// ValidUntil is shown as a date in its own time zone.
	ValidUntil time.Time
	// DaysLeft is counted from the day of sending: 0 is the last day, 1 the day before it.
	DaysLeft int
}

// Cancellation tells the holder that the document is canceled for good.
type Cancellation struct {
	ServerName   string
	GivenName    string // may be empty
	DocumentName string
	// CanceledAt is shown in its own time zone.
	CanceledAt time.Time
	Cause      CancelCause
}

// CancelCause is why a document was canceled. Templates have a sentence for each.
type CancelCause string

// The causes of cancellations.
const (
	CancelLost        CancelCause = "lost"
	CancelStolen      CancelCause = "stolen"
	CancelDamaged     CancelCause = "damaged"
	CancelCompromised CancelCause = "compromised"
	CancelWithdrawn   CancelCause = "withdrawn"
	CancelLeft        CancelCause = "left" // the holder no longer belongs to the organisation
	CancelOther       CancelCause = "other"
)

// CancelCauses lists every cause.
func CancelCauses() []CancelCause {
	return []CancelCause{CancelLost, CancelStolen, CancelDamaged, CancelCompromised, CancelWithdrawn, CancelLeft, CancelOther}
}

func (CollectionLink) kind() Kind { return KindCollectionLink }

func (c CollectionLink) values(language string) (map[string]string, error) {
	fields := newFields(language)
	fields.name(fieldServer, c.ServerName)
	fields.optionalName(fieldGivenName, c.GivenName)
	fields.name(fieldDocument, c.DocumentName)
	fields.address(fieldLink, c.Link)
	fields.time("Deadline", c.Deadline)
	return fields.done()
}

func (AuthenticationCode) kind() Kind { return KindAuthenticationCode }

func (a AuthenticationCode) values(language string) (map[string]string, error) {
	fields := newFields(language)
	fields.name(fieldServer, a.ServerName)
	fields.name(fieldDocument, a.DocumentName)
	fields.digits(fieldCode, a.Code)
	fields.time("ValidUntil", a.ValidUntil)
	return fields.done()
}

func (LogonCode) kind() Kind { return KindLogonCode }

func (l LogonCode) values(language string) (map[string]string, error) {
	fields := newFields(language)
	fields.name(fieldServer, l.ServerName)
	fields.optionalName("LogonName", l.LogonName)
	fields.symbols(fieldCode, l.Code)
	fields.optionalTime("ValidUntil", l.ValidUntil)
	return fields.done()
}

func (ApprovalReminder) kind() Kind { return KindApprovalReminder }

func (a ApprovalReminder) values(language string) (map[string]string, error) {
	fields := newFields(language)
	fields.name(fieldServer, a.ServerName)
	fields.name(fieldDocument, a.DocumentName)
	fields.name("RequestID", a.RequestID)
	fields.time("WaitingSince", a.WaitingSince)
	fields.time("Deadline", a.Deadline)
	fields.address(fieldReview, a.ReviewURL)
	return fields.done()
}

func (OutcomeSuccess) kind() Kind { return KindOutcomeSuccess }

func (o OutcomeSuccess) values(language string) (map[string]string, error) {
	fields := documentFields(language, o.ServerName, o.GivenName, o.DocumentName)
	fields.date("ValidUntil", o.ValidUntil)
	return fields.done()
}

func (OutcomeFailure) kind() Kind { return KindOutcomeFailure }

func (o OutcomeFailure) values(language string) (map[string]string, error) {
	fields := documentFields(language, o.ServerName, o.GivenName, o.DocumentName)
	fields.word(fieldCause, string(o.Cause), words(FailureCauses()))
	return fields.done()
}

func (Reprovision) kind() Kind { return KindReprovision }

func (r Reprovision) values(language string) (map[string]string, error) {
	fields := documentFields(language, r.ServerName, r.GivenName, r.DocumentName)
	fields.optionalTime("Deadline", r.Deadline)
	return fields.done()
}

func (ExpiryReminder) kind() Kind { return KindExpiryReminder }

func (e ExpiryReminder) values(language string) (map[string]string, error) {
	fields := documentFields(language, e.ServerName, e.GivenName, e.DocumentName)
	fields.date("ValidUntil", e.ValidUntil)
	fields.count("DaysLeft", e.DaysLeft)
	return fields.done()
}

func (Cancellation) kind() Kind { return KindCancellation }

func (c Cancellation) values(language string) (map[string]string, error) {
	fields := documentFields(language, c.ServerName, c.GivenName, c.DocumentName)
	fields.time("CanceledAt", c.CanceledAt)
	fields.word(fieldCause, string(c.Cause), words(CancelCauses()))
	return fields.done()
}

// documentFields begins the fields of what holders are told of their documents.
func documentFields(language, server, givenName, document string) *fieldSet {
	fields := newFields(language)
	fields.name(fieldServer, server)
	fields.optionalName(fieldGivenName, givenName)
	fields.name(fieldDocument, document)
	return fields
}
