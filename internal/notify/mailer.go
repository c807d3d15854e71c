package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"
)

// TLSMode is how the connection to the SMTP server is protected.
type TLSMode string

// The TLS modes.
const (
	// TLSStartTLS upgrades the connection and fails where the server cannot (the default; port 587).
	TLSStartTLS TLSMode = "starttls"
	// TLSImplicit speaks TLS from the first byte, RFC 8314 (port 465).
	TLSImplicit TLSMode = "tls"
	// TLSNone sends in the clear (port 25). Credentials are then allowed on loopback only.
	TLSNone TLSMode = "none"
)

const defaultMailTimeout = 30 * time.Second

// MailConfig is the SMTP server and who the messages come from.
type MailConfig struct {
	Host string
	// Port 0 is the usual port of the TLS mode.
	Port int
	// TLS is empty for [TLSStartTLS].
	TLS TLSMode
	// Username and Password authenticate when Username is set, with the best mechanism that the server has.
	Username string
	Password Secret
	// From is a plain address, FromName the name shown before it.
	From, FromName string
	// Timeout bounds the sending of one message from dialling to the final answer; 0 is 30 seconds.
	Timeout time.Duration
	// CAFile holds PEM roots to be trusted instead of the system's.
	CAFile string
	// HELO is the host name this side gives itself; empty is that of the machine.
	HELO string
}

// Validate names every problem, each error beginning with the setting.
func (c MailConfig) Validate() []error {
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.Host == "" || strings.ContainsAny(c.Host, "/ \t\r\n") {
		report("host: must be a host name or an IP address")
	}
	if c.Port < 0 || c.Port > 65535 {
		report("port: must be between 0 (default) and 65535")
	}
	switch c.TLS {
	case "", TLSStartTLS, TLSImplicit:
	case TLSNone:
		if c.Username != "" && !isLoopback(c.Host) {
			report("username: would be sent in the clear; choose tls starttls or tls")
		}
	default:
		report("tls: must be none, starttls or tls")
	}
	if c.Username == "" && c.Password != "" {
		report("password: has no username")
	}
	if ValidEmail(c.From) != nil {
		report("from: %w", ErrEmail)
	}
	if hasControl(c.FromName) {
		report("from_name: must have no control characters")
	}
	if c.HELO != "" && strings.ContainsFunc(c.HELO, func(r rune) bool { return !isLetterOrDigit(r) && !strings.ContainsRune("-.:[]", r) }) {
		report("helo: must be a host name or an address literal")
	}
	if err := checkTimeout(c.Timeout); err != nil {
		problems = append(problems, err)
	}
	if _, err := clientTLS(c.Host, c.CAFile); err != nil {
		problems = append(problems, err)
	}
	return problems
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

// Email is one message to one person.
type Email struct {
	// To is a plain address, see [ValidEmail].
	To string
	// Subject is one line.
	Subject string
	// Text is required; HTML adds the alternative.
	Text, HTML string
	// MessageID is a stable id from the caller, the same at every repetition, so that a duplicate can be recognised: dot-atom
	// text (letters, digits, "-._" and the like), with or without "@domain". Without it the domain of the sender is added.
	MessageID string
	// Language of the text, a BCP 47 tag; may be empty.
	Language string
}

// Mailer sends e-mail over SMTP, one connection a message. It is safe for concurrent use.
type Mailer struct {
	config MailConfig
	tls    *tls.Config
}

// NewMailer makes a mailer; nothing is dialled yet. The error names every problem of the configuration.
func NewMailer(config MailConfig) (*Mailer, error) {
	if problems := config.Validate(); len(problems) > 0 {
		return nil, fmt.Errorf("configure e-mail: %w", errors.Join(problems...))
	}
	if config.TLS == "" {
		config.TLS = TLSStartTLS
	}
	if config.Port == 0 {
		config.Port = map[TLSMode]int{TLSStartTLS: 587, TLSImplicit: 465, TLSNone: 25}[config.TLS]
	}
	if config.Timeout == 0 {
		config.Timeout = defaultMailTimeout
	}
	tlsConfig, err := clientTLS(config.Host, config.CAFile)
	if err != nil {
		return nil, fmt.Errorf("configure e-mail: %w", err)
	}
	return &Mailer{config: config, tls: tlsConfig}, nil
}

// Send delivers one message to the server and returns its final answer (RFC 5321, 4.2). Errors are [*Error]. A 5xx answer to
// the recipient or to the message is permanent; a 5xx before that concerns our account or the connection, which an operator
// can mend, and is not. A connection lost after the content leaves open whether the message was taken; it counts as not sent.
func (m *Mailer) Send(ctx context.Context, email Email) (Receipt, error) {
	message, err := m.compose(email)
	if err != nil {
		return Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()

	// The library bounds single steps and leaves a connection open when the handshake fails, so the connection is ours: it
	// ends with the context or with this function, whichever is first.
	release := func() {}
	defer func() { release() }()
	client, err := m.client(func(dialled net.Conn) {
		hangUp := func() { _ = dialled.Close() } // after QUIT or a failure there is nothing left to lose on it
		stop := context.AfterFunc(ctx, hangUp)
		release = func() {
			stop()
			hangUp()
		}
	})
	if err != nil {
		reason := scrub(err.Error(), m.config.Username, string(m.config.Password))
		return Receipt{}, &Error{Channel: channelEmail, Step: "configure", reason: reason}
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return Receipt{}, m.connectError(ctx, email, err)
	}
	if err := client.SendWithSMTPClient(session, message); err != nil {
		return Receipt{}, sendError(ctx, err)
	}
	// The message is the server's by now: a failing farewell changes nothing.
	_ = client.CloseWithSMTPClient(session)
	local, _, _ := strings.Cut(email.To, "@")
	return Receipt{Answer: scrub(message.ServerResponse(), email.To, local, email.Subject, email.Text)}, nil
}

// client makes a library client for one message; the library's clients are not safe for concurrent use. dialled is told of the
// connection before anything is said on it.
func (m *Mailer) client(dialled func(net.Conn)) (*mail.Client, error) {
	options := []mail.Option{
		mail.WithPort(m.config.Port),
		mail.WithTimeout(m.config.Timeout),
		mail.WithTLSConfig(m.tls),
		mail.WithoutNoop(),
		mail.WithoutRset(),
		mail.WithoutSMTPUTF8(), // addresses are ASCII; asking for it could make a relay refuse
		mail.WithDialContextFunc(m.dial(dialled)),
	}
	if m.config.HELO != "" {
		options = append(options, mail.WithHELO(m.config.HELO))
	}
	mechanisms := []mail.SMTPAuthType{
		mail.SMTPAuthSCRAMSHA256PLUS, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1PLUS, mail.SMTPAuthSCRAMSHA1,
		mail.SMTPAuthPlain, mail.SMTPAuthLogin,
	}
	switch m.config.TLS {
	case TLSImplicit, TLSNone:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS)) // the dialler does TLS where there is any
	case TLSStartTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.config.TLS == TLSNone {
		mechanisms = []mail.SMTPAuthType{
			mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc,
		}
	}
	if m.config.Username != "" {
		options = append(options, mail.WithUsername(m.config.Username), mail.WithPassword(string(m.config.Password)),
			mail.WithOpportunisticSMTPAuth(mechanisms...))
	}
	return mail.NewClient(m.config.Host, options...)
}

func (m *Mailer) dial(dialled func(net.Conn)) mail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		dialled(conn)
		if m.config.TLS != TLSImplicit {
			return conn, nil
		}
		secured := tls.Client(conn, m.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		return secured, nil
	}
}

// compose checks a message and builds it; what it refuses no repetition can cure.
func (m *Mailer) compose(email Email) (*mail.Msg, error) {
	invalid := func(reason string) error {
		return &Error{Channel: channelEmail, Step: "compose", Permanent: true, reason: reason}
	}
	id, err := m.messageID(email.MessageID)
	switch {
	case ValidEmail(email.To) != nil:
		return nil, invalid("recipient is " + ErrEmail.Error())
	case email.Subject == "" || hasControl(email.Subject):
		return nil, invalid("subject must be one line")
	case email.Text == "":
		return nil, invalid("text is missing")
	case email.Language != "" && !isLanguageTag(email.Language):
		return nil, invalid("language is not a BCP 47 tag")
	case err != nil:
		return nil, invalid(err.Error())
	}
	message := mail.NewMsg(mail.WithCharset(mail.CharsetUTF8), mail.WithEncoding(mail.EncodingQP), mail.WithNoDefaultUserAgent())
	if err := message.FromFormat(m.config.FromName, m.config.From); err != nil {
		return nil, invalid("sender cannot be written as a header")
	}
	if err := message.To(email.To); err != nil {
		return nil, invalid("recipient cannot be written as a header")
	}
	message.Subject(email.Subject)
	message.SetMessageIDWithValue(id)
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office replies, please
	if email.Language != "" {
		message.SetGenHeader(mail.HeaderContentLang, email.Language)
	}
	message.SetBodyString(mail.TypeTextPlain, email.Text)
	if email.HTML != "" {
		message.AddAlternativeString(mail.TypeTextHTML, email.HTML)
	}
	return message, nil
}

// messageID completes a caller's id to a Message-ID without the angle brackets (RFC 5322, 3.6.4).
func (m *Mailer) messageID(id string) (string, error) {
	left, right, found := strings.Cut(id, "@")
	if !found {
		_, right, _ = strings.Cut(m.config.From, "@")
	}
	if len(left)+len(right) >= maxAddress || !isDotAtom(left) || !isDotAtom(right) {
		return "", errors.New("message id must be dot-atom text")
	}
	return left + "@" + right, nil
}

// connectError describes a failure before the server has heard of any recipient: network, certificate, greeting, STARTTLS,
// authentication.
func (m *Mailer) connectError(ctx context.Context, email Email, err error) error {
	failure := &Error{Channel: channelEmail, Step: "connect", cause: ctx.Err()}
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		failure.Status = answer.Code
		return failure
	}
	if failure.cause != nil {
		failure.reason = failure.cause.Error()
		return failure
	}
	failure.reason = cut(scrub(err.Error(), email.To, m.config.Username, string(m.config.Password)), maxReason)
	return failure
}

// maxReason bounds the words of a library in an error text.
const maxReason = 300

// sendError describes a failure of the transaction. The library's own text holds the recipient and is not used.
func sendError(ctx context.Context, err error) error {
	failure := &Error{Channel: channelEmail, Step: "transaction", cause: ctx.Err()}
	cause, ok := errors.AsType[*mail.SendError](err)
	if !ok {
		failure.reason = "no answer"
		return failure
	}
	failure.Status, failure.Enhanced = cause.ErrorCode(), cause.EnhancedStatusCode()
	ofMessage := false
	switch cause.Reason {
	case mail.ErrSMTPRcptTo:
		failure.Step, ofMessage = "RCPT", true
	case mail.ErrSMTPDataClose:
		failure.Step, ofMessage = "end of DATA", true
	case mail.ErrSMTPMailFrom:
		failure.Step = "MAIL"
	case mail.ErrSMTPData, mail.ErrWriteContent:
		failure.Step = "DATA"
	case mail.ErrGetSender, mail.ErrGetRcpts, mail.ErrSMTPReset, mail.ErrConnCheck, mail.ErrNoUnencoded, mail.ErrAmbiguous:
	}
	if failure.Status == 0 {
		failure.reason = "no answer"
		return failure
	}
	failure.Permanent = ofMessage && failure.Status/100 == 5 && !isAccountStatus(failure.Status)
	failure.Answer = strings.TrimSpace(strconv.Itoa(failure.Status) + " " + failure.Enhanced)
	return failure
}

// isAccountStatus knows the 5xx codes of RFC 4954, 6, that speak of our authentication wherever they appear.
func isAccountStatus(status int) bool {
	switch status {
	case 530, 534, 535, 538:
		return true
	default:
		return false
	}
}
