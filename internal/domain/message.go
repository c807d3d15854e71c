package domain

import "slices"

// Delivery is one message that goes to somebody over a channel.
type Delivery struct {
	Channel Channel
	Kind    MessageKind
}

// Channel is a way to reach a person.
type Channel string

// The channels.
const (
	ChannelEmail Channel = "email"
	ChannelSMS   Channel = "sms"
)

// MessageKind names a message template (D1).
type MessageKind string

// The kinds of message.
const (
	MessageCollectionLink     MessageKind = "collection_link"
	MessageAuthenticationCode MessageKind = "authentication_code"
	MessageLogonCode          MessageKind = "logon_code"        // for self-service (B8)
	MessageApprovalReminder   MessageKind = "approval_reminder" // to approvers; all others go to the holder
	MessageOutcomeSuccess     MessageKind = "outcome_success"
	MessageOutcomeFailure     MessageKind = "outcome_failure"
	MessageReprovision        MessageKind = "reprovision" // an update of the document waits
	MessageExpiryReminder     MessageKind = "expiry_reminder"
	MessageCancellation       MessageKind = "cancellation" // the document was canceled
)

// MessageKinds lists every kind.
func MessageKinds() []MessageKind {
	return []MessageKind{MessageCollectionLink, MessageAuthenticationCode, MessageLogonCode, MessageApprovalReminder, MessageOutcomeSuccess,
		MessageOutcomeFailure, MessageReprovision, MessageExpiryReminder, MessageCancellation}
}

// Valid says whether k is one of the kinds.
func (k MessageKind) Valid() bool { return slices.Contains(MessageKinds(), k) }
