// Package mailbox is the built-in sink for messages: a real SMTP server on a loopback port and an HTTP handler that takes
// SMS and shows everything received. The standalone mode delivers into it, and tests read from it what a holder or an
// approver would have read.
//
// It is no mail server: it relays nothing, keeps nothing on disk and listens on loopback only, because it shows collection
// links and authentication codes to whoever asks.
package mailbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Defaults of [Options].
const (
	DefaultSMTPAddr    = "127.0.0.1:0"
	DefaultMaxMessages = 1000
	DefaultMaxSize     = 1 << 20
)

// Kind is the channel a message came in by.
type Kind string

// The channels.
const (
	Email Kind = "email"
	SMS   Kind = "sms"
)

// Options of a mailbox. The zero value is a mailbox on a free loopback port, without TLS and without authentication.
type Options struct {
	// SMTPAddr is where SMTP listens, host:port; the host must be a loopback address or "localhost". Port 0 picks a free
	// one.
	SMTPAddr string
	// MaxMessages is how many messages are kept; the oldest go first.
	MaxMessages int
	// MaxSize is the largest message accepted, in bytes, on both channels.
	MaxSize int64
	// TLS offers STARTTLS when set.
	TLS *tls.Config
	// ImplicitTLS makes the port speak TLS from the first byte (RFC 8314) instead of offering STARTTLS. Needs TLS.
	ImplicitTLS bool
	// Username and Password make SMTP authentication (PLAIN) obligatory when Username is set.
	Username, Password string
	// Now gives the time of reception; nil is [time.Now].
	Now func() time.Time
}

// Message is one message received by one recipient. An e-mail to several recipients is kept once for each.
type Message struct {
	// Seq counts the messages from 1 in the order of reception, and never repeats.
	Seq  int64 `json:"seq"`
	Kind Kind  `json:"kind"`
	// From is the envelope sender of an e-mail; empty for SMS.
	From string `json:"from,omitempty"`
	// To is the envelope recipient of an e-mail, the number of an SMS.
	To      string `json:"to"`
	Subject string `json:"subject,omitempty"`
	// Text is the decoded text part of an e-mail, or the SMS.
	Text string `json:"text"`
	// HTML is the decoded HTML part of an e-mail.
	HTML string `json:"html,omitempty"`
	// MessageID is the Message-ID of an e-mail, without angle brackets.
	MessageID string `json:"message_id,omitempty"`
	// ID is the id that the sender of an SMS gave it.
	ID         string    `json:"id,omitempty"`
	ReceivedAt time.Time `json:"received_at"`
	// Raw is the e-mail as it came in.
	Raw []byte `json:"-"`
}

// Mailbox is a running sink. All its methods are safe for concurrent use.
type Mailbox struct {
	opts Options

	mu       sync.Mutex
	messages []Message     // oldest first, at most MaxMessages
	lastSeq  int64         // Seq of the newest message
	changed  chan struct{} // closed and replaced when a message arrives
	failures map[Kind][]int
	listener *trackingListener // nil unless running
	server   *smtp.Server
	served   chan error // result of the accept loop
}

// New makes a mailbox that does not listen yet. Its [Mailbox.Handler] works without SMTP too.
func New(opts Options) *Mailbox {
	if opts.SMTPAddr == "" {
		opts.SMTPAddr = DefaultSMTPAddr
	}
	if opts.MaxMessages <= 0 {
		opts.MaxMessages = DefaultMaxMessages
	}
	if opts.MaxSize <= 0 {
		opts.MaxSize = DefaultMaxSize
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Mailbox{opts: opts, changed: make(chan struct{}), failures: make(map[Kind][]int)}
}

// Start makes the mailbox listen for SMTP. It fails when the address is not a loopback address, the port is taken or the
// mailbox runs already.
func (m *Mailbox) Start() error {
	if err := checkLoopback(m.opts.SMTPAddr); err != nil {
		return err
	}
	if m.opts.ImplicitTLS && m.opts.TLS == nil {
		return errors.New("implicit TLS needs a TLS configuration")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener != nil {
		return errors.New("mailbox is already running")
	}
	var config net.ListenConfig
	inner, err := config.Listen(context.Background(), "tcp", m.opts.SMTPAddr)
	if err != nil {
		return fmt.Errorf("listen for SMTP: %w", err)
	}
	m.listener = &trackingListener{Listener: inner, conns: make(map[net.Conn]struct{})}
	m.server = m.newSMTPServer()
	m.served = make(chan error, 1)

	var accepting net.Listener = m.listener
	if m.opts.ImplicitTLS {
		accepting = tls.NewListener(accepting, m.opts.TLS)
	}
	go func(server *smtp.Server, served chan<- error) { served <- server.Serve(accepting) }(m.server, m.served)
	return nil
}

// Close stops SMTP, cuts open connections and returns when their goroutines have ended. Messages stay readable. Closing a
// mailbox that does not run does nothing.
func (m *Mailbox) Close() error {
	m.mu.Lock()
	listener, server, served := m.listener, m.server, m.served
	m.listener, m.server, m.served = nil, nil, nil
	m.mu.Unlock()
	if listener == nil {
		return nil
	}
	// Order matters: no connection can be added once the accept loop has returned, so none survives closeConns.
	err := listener.Close()
	if serveErr := <-served; serveErr != nil && !errors.Is(serveErr, net.ErrClosed) {
		err = errors.Join(err, serveErr)
	}
	listener.closeConns()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownPatience)
	defer cancel()
	if err = errors.Join(err, server.Shutdown(ctx)); err != nil {
		return fmt.Errorf("close mailbox: %w", err)
	}
	return nil
}

// shutdownPatience bounds the wait for connection goroutines whose connections are already cut.
const shutdownPatience = 5 * time.Second

// SMTPAddr is the address SMTP listens on, host:port, or "" when the mailbox does not run.
func (m *Mailbox) SMTPAddr() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener == nil {
		return ""
	}
	return m.listener.Addr().String()
}

// Messages returns what is kept, oldest first.
func (m *Mailbox) Messages() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Message(nil), m.messages...)
}

// Wait returns the oldest kept message that match accepts, waiting for it to arrive if need be. It fails only with the
// context.
func (m *Mailbox) Wait(ctx context.Context, match func(Message) bool) (Message, error) {
	var seen int64
	for {
		m.mu.Lock()
		kept, changed := m.messages, m.changed // kept messages are never changed in place
		m.mu.Unlock()
		for _, message := range kept {
			if message.Seq <= seen {
				continue
			}
			if match(message) {
				return message, nil
			}
			seen = message.Seq
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Message{}, fmt.Errorf("wait for message: %w", ctx.Err())
		}
	}
}

// FailNext makes the next n messages of a kind fail with a status from 400 to 599: an e-mail with the SMTP status at RCPT, an
// SMS with the HTTP status. Both answers echo what was sent, as real servers do. Calls queue up.
func (m *Mailbox) FailNext(kind Kind, n, status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		m.failures[kind] = append(m.failures[kind], status)
	}
}

// nextFailure takes the next queued failure of a kind; 0 is none.
func (m *Mailbox) nextFailure(kind Kind) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	queue := m.failures[kind]
	if len(queue) == 0 {
		return 0
	}
	m.failures[kind] = queue[1:]
	return queue[0]
}

// add numbers and keeps messages, drops the oldest beyond the limit and wakes those who wait. It returns the last number given.
func (m *Mailbox) add(messages ...Message) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	received := m.opts.Now().UTC()
	for _, message := range messages {
		m.lastSeq++
		message.Seq, message.ReceivedAt = m.lastSeq, received
		if message.Kind == SMS && message.ID == "" {
			message.ID = "sms-" + strconv.FormatInt(message.Seq, 10)
		}
		m.messages = append(m.messages, message)
	}
	if excess := len(m.messages) - m.opts.MaxMessages; excess > 0 {
		m.messages = append([]Message(nil), m.messages[excess:]...)
	}
	close(m.changed)
	m.changed = make(chan struct{})
	return m.lastSeq
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("parse SMTP address: %w", err)
	}
	if ip := net.ParseIP(host); (ip != nil && ip.IsLoopback()) || strings.EqualFold(host, "localhost") {
		return nil
	}
	return fmt.Errorf("SMTP address %q is not a loopback address", addr)
}

// trackingListener remembers accepted connections, so that closing the mailbox can cut them: the SMTP server either cuts or
// waits, never both.
type trackingListener struct {
	net.Listener
	once     sync.Once
	closeErr error
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
}

func (l *trackingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: conn, listener: l}
	l.mu.Lock()
	l.conns[tracked] = struct{}{}
	l.mu.Unlock()
	return tracked, nil
}

// Close may be called again by the SMTP server's own shutdown.
func (l *trackingListener) Close() error {
	l.once.Do(func() { l.closeErr = l.Listener.Close() })
	return l.closeErr
}

func (l *trackingListener) closeConns() {
	l.mu.Lock()
	open := make([]net.Conn, 0, len(l.conns))
	for conn := range l.conns {
		open = append(open, conn)
	}
	l.mu.Unlock()
	for _, conn := range open {
		// The peer may have closed first; there is nothing left to do about an error.
		_ = conn.Close()
	}
}

type trackedConn struct {
	net.Conn
	listener *trackingListener
}

func (c *trackedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
