package store

import (
	"context"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

// MessageState says whether a message went out.
type MessageState string

// The states of a message.
const (
	MessagePending  MessageState = "pending"
	MessageSent     MessageState = "sent"
	MessageFailed   MessageState = "failed"   // refused for good, or out of time
	MessageReplaced MessageState = "replaced" // a newer generation made it pointless
)

// Message is the intent to tell somebody something (D3). It holds no content: that is made when it is sent. Link and codes of a request belong to a
// generation and are sent by its workflow; all others are sent when they are due.
type Message struct {
	ID         string             `db:"id"`
	RequestID  OptionalID         `db:"request_id"`  // what it is about, if a request
	PersonID   string             `db:"person_id"`   // whom it goes to or, for an approver's, whom it is about
	DocumentID string             `db:"document_id"` // what it is about, if a document
	Generation int                `db:"generation"`
	Channel    domain.Channel     `db:"channel"`
	Kind       domain.MessageKind `db:"kind"`
	Cause      string             `db:"cause"` // what the text depends on beside the kind: a state or reason
	State      MessageState       `db:"state"`
	AccountID  string             `db:"account_id"` // the approver it goes to; empty = the holder
	Tries      int                `db:"tries"`
	DueAt      Time               `db:"due_at"` // of the next try; zero = sent by the request's workflow
	CreatedAt  Time               `db:"created_at"`
	UpdatedAt  Time               `db:"updated_at"`
}

// MessageAttempt is one try to send a message.
type MessageAttempt struct {
	ID        string `db:"id"`
	MessageID string `db:"message_id"`
	Outcome   string `db:"outcome"` // sent, temporary, refused
	Answer    string `db:"answer"`  // of the gateway, without content
	At        Time   `db:"at"`
}

const messageColumns = `id, request_id, person_id, document_id, generation, channel, kind, cause, state, account_id, tries, due_at, created_at, ` +
	`updated_at`

// InsertMessage records the intent.
func (q Queries) InsertMessage(ctx context.Context, m Message) error {
	return q.insert(ctx, "messages", messageColumns, m)
}

// Messages lists the messages of a request, oldest first.
func (q Queries) Messages(ctx context.Context, requestID string) ([]Message, error) {
	var out []Message
	err := q.list(ctx, &out, `SELECT `+messageColumns+` FROM messages WHERE request_id = $1 ORDER BY id`, requestID)
	return out, err
}

// PendingMessages lists what of a generation still has to go out.
func (q Queries) PendingMessages(ctx context.Context, requestID string, generation int) ([]Message, error) {
	var out []Message
	err := q.list(ctx, &out, `SELECT `+messageColumns+` FROM messages WHERE request_id = $1 AND generation = $2 AND state = 'pending'
		ORDER BY id`, requestID, generation)
	return out, err
}

// ReplaceMessages takes every pending message that the request's workflow sends out of the queue.
func (q Queries) ReplaceMessages(ctx context.Context, requestID string, at time.Time) error {
	_, err := q.exec(ctx, `UPDATE messages SET state = 'replaced', updated_at = $1 WHERE request_id = $2 AND state = 'pending' AND due_at IS NULL`,
		At(at), requestID)
	return err
}

// DueMessages lists messages whose next try is due, the longest waiting first.
func (q Queries) DueMessages(ctx context.Context, now time.Time, limit int) ([]Message, error) {
	var out []Message
	err := q.list(ctx, &out, `SELECT `+messageColumns+` FROM messages WHERE state = 'pending' AND due_at <= $1 ORDER BY due_at, id LIMIT $2`,
		At(now), limit)
	return out, err
}

// PutOff sets when the next try of a pending message is due, if it still is due at the instant known; else ErrChanged. Whoever puts a message off
// before sending it has it to himself until then.
func (q Queries) PutOff(ctx context.Context, id string, known, until time.Time) error {
	return q.change(ctx, `UPDATE messages SET due_at = $1 WHERE id = $2 AND due_at = $3 AND state = 'pending'`, At(until), id, At(known))
}

// DropMessages takes every pending message to a person or about one out of the queue.
func (q Queries) DropMessages(ctx context.Context, personID string, at time.Time) error {
	_, err := q.exec(ctx, `UPDATE messages SET state = 'replaced', updated_at = $1 WHERE person_id = $2 AND state = 'pending'`, At(at), personID)
	return err
}

// EndMessage gives a pending message its last state; ErrChanged when it has one.
func (q Queries) EndMessage(ctx context.Context, id string, state MessageState, at time.Time) error {
	return q.change(ctx, `UPDATE messages SET state = $1, updated_at = $2 WHERE id = $3 AND state = 'pending'`, string(state), At(at), id)
}

// MessageFilter narrows a list of messages; empty fields do not.
type MessageFilter struct {
	Within    domain.Within
	PersonID  string
	RequestID string
	State     MessageState
	Kind      domain.MessageKind
	Channel   domain.Channel
}

// MessageList lists messages, newest first.
func (q Queries) MessageList(ctx context.Context, want MessageFilter, page Page) ([]Message, error) {
	var f filter
	f.within("person_id", want.Within)
	f.equal("person_id", want.PersonID)
	f.equal("request_id", want.RequestID)
	f.equal("state", string(want.State))
	f.equal("kind", string(want.Kind))
	f.equal("channel", string(want.Channel))
	tail := page.newestFirst(&f)
	var out []Message
	err := q.list(ctx, &out, `SELECT `+messageColumns+` FROM messages`+tail, f.args...)
	return out, err
}

// AttemptsOf lists the tries of messages, oldest first.
func (q Queries) AttemptsOf(ctx context.Context, messageIDs ...string) ([]MessageAttempt, error) {
	if len(messageIDs) == 0 {
		return nil, nil
	}
	var f filter
	f.oneOf("message_id", messageIDs)
	var out []MessageAttempt
	err := q.list(ctx, &out, `SELECT id, message_id, outcome, answer, at FROM message_attempts`+f.where()+` ORDER BY id`, f.args...)
	return out, err
}

// NoteAttempt records a try and, unless it is to be tried again, the message's new state.
func (q Queries) NoteAttempt(ctx context.Context, a MessageAttempt, state MessageState) error {
	if err := q.insert(ctx, "message_attempts", "id, message_id, outcome, answer, at", a); err != nil {
		return err
	}
	_, err := q.exec(ctx, `UPDATE messages SET state = $1, tries = tries + 1, updated_at = $2 WHERE id = $3 AND state = 'pending'`, string(state),
		a.At, a.MessageID)
	return err
}
