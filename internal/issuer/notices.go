package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/store"
)

// Notices are messages that no workflow waits for: how an issuance ended, that a document was canceled. They are queued in the transaction that
// brings them about and sent by a sweep soon after, so they cost the workflows nothing and are never lost.

const (
	noticeLease   = 10 * time.Minute // how long one process has notices to itself; longer than sweepPatience and the longest try together
	noticePatient = 7 * 24 * time.Hour
	noticesAtOnce = 20
	sweepPatience = 4 * time.Minute
)

// noticePause gives how long to wait after the n-th try in vain: 30 seconds, then twice as long each time, at most two hours.
func noticePause(n int) time.Duration {
	const first, longest = 30 * time.Second, 2 * time.Hour
	if n > 8 {
		return longest
	}
	return min(first<<max(n-1, 0), longest)
}

// notice is a message to be queued.
type notice struct {
	kind       domain.MessageKind
	channel    domain.Channel
	personID   string
	requestID  string // what it is about, if a request
	documentID string // what it is about, if a document
	cause      string
}

// queueNotice records the intent; the sweep sends it.
func (is *Issuer) queueNotice(ctx context.Context, tx *store.Tx, n notice) error {
	now := store.At(is.Now())
	err := tx.InsertMessage(ctx, store.Message{ID: newID(), RequestID: store.OptionalID(n.requestID), PersonID: n.personID,
		DocumentID: n.documentID, Channel: n.channel, Kind: n.kind, Cause: n.cause, State: store.MessagePending, DueAt: now, CreatedAt: now,
		UpdatedAt: now})
	if err != nil {
		return fmt.Errorf("queue notice: %w", err)
	}
	return nil
}

// queueOutcome tells the holder how the request ended, if the profile wants that (B14) and there is an address. A profile that sends nothing
// sends this neither.
func (is *Issuer) queueOutcome(ctx context.Context, tx *store.Tx, r domain.Request, profile domain.Profile, person domain.Person) error {
	o := profile.Options
	if o.SelfService.NotifyOutcome != domain.OutcomeTold || o.NotificationScheme == domain.NotifyNone || person.Email == "" {
		return nil
	}
	n := notice{kind: domain.MessageOutcomeFailure, channel: domain.ChannelEmail, personID: r.PersonID, requestID: r.ID, cause: string(r.State)}
	if r.State == domain.RequestIssued {
		n.kind, n.documentID, n.cause = domain.MessageOutcomeSuccess, r.DocumentID, ""
	}
	return is.queueNotice(ctx, tx, n)
}

// queueEnd is queueOutcome for a request that ended without a document.
func (is *Issuer) queueEnd(ctx context.Context, tx *store.Tx, r domain.Request) error {
	profile, err := tx.Profile(ctx, r.ProfileID)
	if err != nil {
		return fmt.Errorf("load profile: %w", err)
	}
	person, err := tx.Person(ctx, r.PersonID)
	if err != nil {
		return fmt.Errorf("load person: %w", err)
	}
	return is.queueOutcome(ctx, tx, r, profile, person)
}

// queueCancellation tells the holder that the document was canceled.
func (is *Issuer) queueCancellation(ctx context.Context, tx *store.Tx, d domain.Document, reason domain.CancelReason) error {
	person, err := tx.Person(ctx, d.PersonID)
	if err != nil {
		return fmt.Errorf("load person: %w", err)
	}
	if person.Email == "" {
		return nil
	}
	return is.queueNotice(ctx, tx, notice{kind: domain.MessageCancellation, channel: domain.ChannelEmail, personID: d.PersonID,
		requestID: d.RequestID, documentID: d.ID, cause: string(reason)})
}

// SendNotices sends the notices that are due and gives how many went out. Those that fail for the time being are tried again later, for a week.
// Several processes may sweep at once: each notice belongs to whoever put it off first.
func (is *Issuer) SendNotices(ctx context.Context) (int, error) {
	began, sent := is.Now(), 0
	for is.Now().Sub(began) < sweepPatience {
		due, err := is.Store.DueMessages(ctx, is.Now(), noticesAtOnce)
		if err != nil {
			return sent, fmt.Errorf("find notices: %w", err)
		}
		if len(due) == 0 {
			return sent, nil
		}
		settings, err := loadSettings(ctx, is.Store.Queries)
		if err != nil {
			return sent, err
		}
		lease := is.Now().Add(noticeLease)
		ours, err := is.lease(ctx, due, lease)
		if err != nil {
			return sent, err
		}
		var failed error // one that fails in a way nobody foresaw must not hold the others up
		for _, m := range ours {
			if ctx.Err() != nil || is.Now().Sub(began) > sweepPatience {
				break // what is left comes up again when the lease ends
			}
			ok, err := is.sendNotice(ctx, m, lease, settings)
			failed = errors.Join(failed, err)
			if ok {
				sent++
			}
		}
		if failed = errors.Join(failed, ctx.Err()); failed != nil {
			return sent, failed
		}
	}
	return sent, nil
}

// lease puts the notices off together and gives those that nobody else put off first.
func (is *Issuer) lease(ctx context.Context, due []store.Message, until time.Time) ([]store.Message, error) {
	var ours []store.Message
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		ours = ours[:0]
		for _, m := range due {
			err := tx.PutOff(ctx, m.ID, m.DueAt.Time, until)
			if err == nil {
				ours = append(ours, m)
			} else if !errors.Is(err, store.ErrChanged) {
				return fmt.Errorf("put off notice: %w", err)
			}
		}
		return nil
	})
	return ours, err
}

// sendNotice sends one notice that nobody else has, and says whether it went out.
func (is *Issuer) sendNotice(ctx context.Context, m store.Message, lease time.Time, s domain.Settings) (bool, error) {
	about, err := is.aboutMessage(ctx, m)
	if err != nil {
		return false, err
	}
	data, err := is.content(ctx, m, about, s)
	if errors.Is(err, errPointless) || about.person.Status != domain.PersonActive && m.Kind == domain.MessageLogonCode {
		return false, is.endNotice(ctx, m, store.MessageReplaced)
	}
	if err != nil {
		return false, err
	}
	err = is.deliver(ctx, m, addressOf(about.person, m.Channel), is.language(about.person.Language), data, s)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, errUnsent) {
		return false, err
	}
	if is.Now().Sub(m.CreatedAt.Time) > noticePatient {
		return false, is.endNotice(ctx, m, store.MessageFailed)
	}
	err = is.Store.PutOff(ctx, m.ID, store.At(lease).Time, is.Now().Add(noticePause(m.Tries+1)))
	if err != nil && !errors.Is(err, store.ErrChanged) {
		return false, fmt.Errorf("put off notice: %w", err)
	}
	return false, nil
}

func (is *Issuer) endNotice(ctx context.Context, m store.Message, state store.MessageState) error {
	err := is.Store.EndMessage(ctx, m.ID, state, is.Now())
	if err != nil && !errors.Is(err, store.ErrChanged) {
		return fmt.Errorf("end notice: %w", err)
	}
	return nil
}

// Notifications lists messages with every try to send them, newest first: no content, no address (D3).
func (is *Issuer) Notifications(ctx context.Context, caller domain.Caller, want store.MessageFilter, after string, limit int) ([]SentMessage, error) {
	if err := caller.Need(domain.PermReports); err != nil {
		return nil, err
	}
	pg, err := page(after, limit)
	if err != nil {
		return nil, err
	}
	want.Within = caller.Within(domain.PermReports)
	all, err := is.Store.MessageList(ctx, want, pg)
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	return is.withAttempts(ctx, all)
}

// MessageTemplates lists the templates in use (D1).
func (is *Issuer) MessageTemplates(caller domain.Caller) ([]MessageTemplate, error) {
	if err := caller.Need(domain.PermSettings); err != nil {
		return nil, err
	}
	return is.Templates.Files(), nil
}

// PreviewMessage shows a kind of message in a language with made-up data, as it would be sent.
func (is *Issuer) PreviewMessage(caller domain.Caller, kind domain.MessageKind, language string) (MessageText, error) {
	if err := caller.Need(domain.PermSettings); err != nil {
		return MessageText{}, err
	}
	if !kind.Valid() {
		return MessageText{}, invalid("kind", "names no kind of message")
	}
	out, err := is.Templates.Preview(is.language(language), notify.Kind(kind))
	if err != nil {
		return MessageText{}, fmt.Errorf("preview message: %w", err)
	}
	return out, nil
}
