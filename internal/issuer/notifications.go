package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/failpoint"
	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/store"
)

// errUnsent makes the engine try again later.
var errUnsent = errors.New("messages are still unsent")

// Notify sends the messages of a request's generation that have not gone out yet (D3). It may be called any number of times: what was recorded as
// sent is not sent again. An error means that something is still unsent and worth another try; what a gateway refused for good is recorded as
// failed. Each message carries a stable id, so that a gateway can recognise the one repetition a crash right after sending may cause.
func (is *Issuer) Notify(ctx context.Context, requestID string, generation int) error {
	r, err := is.Store.Request(ctx, requestID)
	if err != nil {
		return found(err, "request")
	}
	if r.State != domain.RequestAwaitingCollection || r.Generation != generation {
		return nil
	}
	pending, err := is.Store.PendingMessages(ctx, requestID, generation)
	if err != nil {
		return fmt.Errorf("load messages: %w", err)
	}
	if len(pending) == 0 {
		return nil
	}
	settings, err := loadSettings(ctx, is.Store.Queries)
	if err != nil {
		return err
	}
	about, err := is.aboutRequest(ctx, r)
	if err != nil {
		return err
	}
	unsent := false
	for _, m := range pending {
		data, err := is.content(ctx, m, about, settings)
		if err == nil {
			err = is.deliver(ctx, m, addressOf(about.person, m.Channel), is.language(about.person.Language), data, settings)
		}
		switch {
		case errors.Is(err, errUnsent):
			unsent = true
		case errors.Is(err, errPointless):
			err = is.endNotice(ctx, m, store.MessageReplaced)
			unsent = unsent || err != nil
		case err != nil:
			is.Log.ErrorContext(ctx, "message not sent", "message_id", m.ID, "error", err)
			unsent = true
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if unsent {
		return errUnsent
	}
	return nil
}

// about is what a message's content is made from.
type about struct {
	person   domain.Person
	profile  domain.Profile  // of the request or document; zero when the message is about neither
	request  domain.Request  // zero when the message is about a document, or about neither
	document domain.Document // zero unless the message is about one
}

// aboutMessage loads what a message is about, as it is now.
func (is *Issuer) aboutMessage(ctx context.Context, m store.Message) (about, error) {
	var a about
	var err error
	switch {
	case m.DocumentID != "":
		if a.document, err = is.Store.Document(ctx, m.DocumentID); err != nil {
			return a, fmt.Errorf("load document: %w", err)
		}
		if a.profile, err = is.loadProfile(ctx, a.document.ProfileID); err != nil {
			return a, err
		}
	case m.RequestID != "":
		r, err := is.Store.Request(ctx, string(m.RequestID))
		if err != nil {
			return a, fmt.Errorf("load request: %w", err)
		}
		return is.aboutRequest(ctx, r)
	}
	if a.person, err = is.Store.Person(ctx, m.PersonID); err != nil {
		return a, fmt.Errorf("load person: %w", err)
	}
	return a, nil
}

// aboutRequest loads the rest of what messages about a request need.
func (is *Issuer) aboutRequest(ctx context.Context, r domain.Request) (about, error) {
	a := about{request: r}
	var err error
	if a.person, err = is.Store.Person(ctx, r.PersonID); err != nil {
		return a, fmt.Errorf("load person: %w", err)
	}
	a.profile, err = is.loadProfile(ctx, r.ProfileID)
	return a, err
}

func addressOf(p domain.Person, channel domain.Channel) string {
	if channel == domain.ChannelSMS {
		return p.Mobile
	}
	return p.Email
}

// errPointless says that a message has nothing to tell any more.
var errPointless = errors.New("the message is pointless now")

// content makes what a message to the holder says.
func (is *Issuer) content(ctx context.Context, m store.Message, a about, s domain.Settings) (notify.Data, error) {
	if a.person.Erased() || addressOf(a.person, m.Channel) == "" {
		return nil, errPointless
	}
	server, name, document := is.cfg.ServerName, a.person.GivenName, a.profile.Options.DisplayName
	switch m.Kind {
	case domain.MessageCollectionLink:
		link, err := is.collectionLink(s, a.request)
		if err != nil {
			return nil, err
		}
		return notify.CollectionLink{ServerName: server, GivenName: name, DocumentName: document, Link: link,
			Deadline: a.request.CollectionDeadline.UTC()}, nil
	case domain.MessageAuthenticationCode:
		return notify.AuthenticationCode{ServerName: server, DocumentName: document, Code: is.code(a.request),
			ValidUntil: a.request.CodeExpiresAt.UTC()}, nil
	case domain.MessageLogonCode:
		code, expires, ok, err := is.currentLogonCode(ctx, is.Store.Queries, a.person.ID)
		if err == nil && !ok {
			err = errPointless
		}
		return notify.LogonCode{ServerName: server, LogonName: a.person.LogonName, Code: code, ValidUntil: expires.UTC()}, err
	case domain.MessageOutcomeSuccess:
		return notify.OutcomeSuccess{ServerName: server, GivenName: name, DocumentName: document, ValidUntil: a.document.ValidUntil.UTC()}, nil
	case domain.MessageOutcomeFailure:
		return notify.OutcomeFailure{ServerName: server, GivenName: name, DocumentName: document, Cause: notify.FailureCause(m.Cause)}, nil
	case domain.MessageReprovision:
		return notify.Reprovision{ServerName: server, GivenName: name, DocumentName: document, Deadline: a.request.CollectionDeadline.UTC()}, nil
	case domain.MessageExpiryReminder:
		if is.documentState(a.document) != domain.DocumentActive {
			return nil, errPointless
		}
		return notify.ExpiryReminder{ServerName: server, GivenName: name, DocumentName: document, ValidUntil: a.document.ValidUntil.UTC(),
			DaysLeft: domain.DaysLeft(is.Now(), a.document.ValidUntil)}, nil
	case domain.MessageCancellation:
		return notify.Cancellation{ServerName: server, GivenName: name, DocumentName: document, CanceledAt: m.CreatedAt.UTC(),
			Cause: notify.CancelCause(m.Cause)}, nil
	case domain.MessageApprovalReminder:
	}
	return nil, fmt.Errorf("make message: %s does not go to the holder", m.Kind)
}

// deliver renders and sends one message and records the outcome.
func (is *Issuer) deliver(ctx context.Context, m store.Message, to, language string, data notify.Data, s domain.Settings) error {
	receipt, sendErr := is.send(ctx, m, to, language, data, s)
	failpoint.Hit("notify.sent")
	attempt := store.MessageAttempt{ID: newID(), MessageID: m.ID, Outcome: "sent", Answer: receipt.Answer, At: store.At(is.Now())}
	state := store.MessageSent
	switch {
	case sendErr == nil:
	case notify.IsPermanent(sendErr):
		attempt.Outcome, attempt.Answer, state = "refused", answer(sendErr), store.MessageFailed
	default:
		attempt.Outcome, attempt.Answer, state = "temporary", answer(sendErr), store.MessagePending
	}
	is.Metrics.NotificationTried(string(m.Channel), attempt.Outcome)
	ctx = context.WithoutCancel(ctx) // what went out is recorded even when the process is stopping
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.NoteAttempt(ctx, attempt, state); err != nil {
			return fmt.Errorf("record attempt: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if state == store.MessagePending {
		return errUnsent
	}
	return nil
}

// answer gives what is kept of a failed attempt: what failed, and what the gateway said, in which internal/notify leaves no address or content.
func answer(err error) string {
	var failed *notify.Error
	if errors.As(err, &failed) && failed.Answer != "" {
		return failed.Error() + ": " + failed.Answer
	}
	return err.Error()
}

// send renders and hands over one message. A channel that is off or not configured is worth another try: an operator may switch it on.
func (is *Issuer) send(ctx context.Context, m store.Message, to, language string, data notify.Data, s domain.Settings) (notify.Receipt, error) {
	text, err := is.Templates.Render(language, data)
	if err != nil {
		return notify.Receipt{}, fmt.Errorf("render message: %w", err)
	}
	switch m.Channel {
	case domain.ChannelEmail:
		if !s.EmailEnabled || is.Mailer == nil {
			return notify.Receipt{}, errors.New("e-mail is switched off")
		}
		return is.Mailer.Send(ctx, notify.Email{To: to, Subject: text.Subject, Text: text.Text, HTML: text.HTML, MessageID: m.ID,
			Language: text.Language})
	case domain.ChannelSMS:
		if !s.SMSEnabled || is.SMS == nil {
			return notify.Receipt{}, errors.New("SMS is switched off")
		}
		return is.SMS.Send(ctx, notify.Message{To: to, Text: text.SMS, ID: m.ID})
	}
	return notify.Receipt{}, fmt.Errorf("send message: unknown channel %s", m.Channel)
}

func (is *Issuer) language(of string) string {
	if of != "" {
		return of
	}
	return is.cfg.Language
}

// RemindApprovers tells everybody who may decide on a request that it waits (C3). n counts the reminders of a request.
func (is *Issuer) RemindApprovers(ctx context.Context, requestID string, n int) error {
	r, err := is.Store.Request(ctx, requestID)
	if err != nil {
		return found(err, "request")
	}
	if r.State != domain.RequestAwaitingApproval {
		return nil
	}
	messages, err := is.reminders(ctx, r, n)
	if err != nil {
		return err
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return err
	}
	settings, err := loadSettings(ctx, is.Store.Queries)
	if err != nil {
		return err
	}
	data := notify.ApprovalReminder{ServerName: is.cfg.ServerName, DocumentName: profile.Options.DisplayName, RequestID: r.ID,
		WaitingSince: r.CreatedAt.UTC(), Deadline: r.ApprovalDeadline.UTC(), ReviewURL: is.publicBaseURL(settings) + "/v1/reviews"}
	unsent := false
	for _, m := range messages {
		account, err := is.Store.Account(ctx, m.AccountID)
		if err != nil {
			return fmt.Errorf("load approver: %w", err)
		}
		if err := is.deliver(ctx, m, account.Email, is.cfg.Language, data, settings); err != nil {
			unsent = true
		}
	}
	if unsent {
		return errUnsent
	}
	return nil
}

// reminders gives what of the n-th round still has to go out; the first call of a round queues it. A reminder's generation is the negative of its
// round, which keeps it apart from the holder's messages.
func (is *Issuer) reminders(ctx context.Context, r domain.Request, n int) ([]store.Message, error) {
	all, err := is.Store.Messages(ctx, r.ID)
	if err != nil {
		return nil, fmt.Errorf("load messages: %w", err)
	}
	round := -n
	for _, m := range all {
		if m.Generation == round {
			pending, err := is.Store.PendingMessages(ctx, r.ID, round)
			if err != nil {
				return nil, fmt.Errorf("load messages: %w", err)
			}
			return pending, nil
		}
	}
	approvers, err := is.approversOf(ctx, r)
	if err != nil {
		return nil, err
	}
	now := store.At(is.Now())
	var out []store.Message
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		out = out[:0]
		for _, a := range approvers {
			if a.Email == "" {
				continue
			}
			m := store.Message{ID: newID(), RequestID: store.OptionalID(r.ID), PersonID: r.PersonID, Generation: round, Channel: domain.ChannelEmail,
				Kind: domain.MessageApprovalReminder, State: store.MessagePending, AccountID: a.ID, CreatedAt: now, UpdatedAt: now}
			if err := tx.InsertMessage(ctx, m); err != nil {
				return fmt.Errorf("queue reminder: %w", err)
			}
			out = append(out, m)
		}
		e := is.transition(domain.System(), "request.remind", r, r.State)
		e.Notes = fmt.Sprintf("reminder %d to %d approvers", n, len(out))
		return tx.AppendAudit(ctx, e)
	})
	return out, err
}

// SentMessage is a message of a request with every try to send it (D3). No content, no address.
type SentMessage struct {
	store.Message
	Attempts []store.MessageAttempt
}

// RequestMessages lists what was sent for a request, oldest first.
func (is *Issuer) RequestMessages(ctx context.Context, caller domain.Caller, id string) ([]SentMessage, error) {
	if _, err := is.visibleRequest(ctx, caller, id); err != nil {
		return nil, err
	}
	all, err := is.Store.Messages(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("load messages: %w", err)
	}
	return is.withAttempts(ctx, all)
}

// withAttempts adds every try to send to messages.
func (is *Issuer) withAttempts(ctx context.Context, all []store.Message) ([]SentMessage, error) {
	ids := make([]string, len(all))
	for i, m := range all {
		ids[i] = m.ID
	}
	attempts, err := is.Store.AttemptsOf(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("load attempts: %w", err)
	}
	out := make([]SentMessage, len(all))
	at := make(map[string]int, len(all))
	for i, m := range all {
		out[i] = SentMessage{Message: m}
		at[m.ID] = i
	}
	for _, a := range attempts {
		i := at[a.MessageID]
		out[i].Attempts = append(out[i].Attempts, a)
	}
	return out, nil
}

// OnScreen is what an operator with the permission view_code reads to the holder (B7).
type OnScreen struct {
	Link           string
	Code           string
	ExpiresAt      time.Time
	LogonCode      string    // where the profile gives one and sends nothing; empty when it was locked or has expired
	LogonExpiresAt time.Time // zero = when it is replaced
}

// ViewCode shows link and code of a request. Reading is audited, and the code then works only for the short time of codes on screen when nothing
// was sent to the holder.
func (is *Issuer) ViewCode(ctx context.Context, caller domain.Caller, id string) (OnScreen, error) {
	if err := caller.Need(domain.PermViewCode); err != nil {
		return OnScreen{}, err
	}
	r, err := is.Store.Request(ctx, id)
	if err != nil {
		return OnScreen{}, found(err, "request")
	}
	if err := is.needFor(ctx, caller, domain.PermViewCode, "request", r.PersonID); err != nil {
		return OnScreen{}, err
	}
	if r.State != domain.RequestAwaitingCollection {
		return OnScreen{}, domain.Errorf(domain.CodeWrongState, "the request is %s, which has no link and code", r.State).
			With("state", string(r.State))
	}
	if err := noCode(r); err != nil {
		return OnScreen{}, err
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return OnScreen{}, err
	}
	var out OnScreen
	err = is.moveRequest(ctx, r, caller, "request.view_code", "", func(tx *store.Tx, next *domain.Request, s domain.Settings) error {
		if profile.Options.NotificationScheme == domain.NotifyNone {
			next.CodeExpiresAt = earlierOf(is.Now().Add(time.Duration(s.ScreenCodeLifetime)), r.CollectionDeadline)
		}
		link, err := is.collectionLink(s, *next)
		if err != nil {
			return err
		}
		out = OnScreen{Link: link, Code: is.code(*next), ExpiresAt: next.CodeExpiresAt}
		if profile.Options.NotificationScheme == domain.NotifyNone && profile.Options.LogonCode != domain.LogonCodeNone {
			out.LogonCode, out.LogonExpiresAt, _, err = is.currentLogonCode(ctx, tx.Queries, r.PersonID)
		}
		return err
	})
	if errors.Is(err, store.ErrChanged) {
		err = domain.Errorf(domain.CodeConflict, "the request was changed meanwhile; read it again")
	}
	if err != nil {
		return OnScreen{}, err
	}
	return out, nil
}
