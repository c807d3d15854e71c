package mailbox

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // decodes parts in charsets other than UTF-8
	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	maxRecipients = 50
	maxParts      = 100
	idleTimeout   = time.Minute
)

func (m *Mailbox) newSMTPServer() *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		plain := &session{mailbox: m}
		if m.opts.Username == "" {
			return plain, nil
		}
		return &authSession{session: plain}, nil
	}))
	server.Domain = "mailbox.localhost"
	server.MaxMessageBytes = m.opts.MaxSize
	server.MaxRecipients = maxRecipients
	server.ReadTimeout = idleTimeout
	server.WriteTimeout = idleTimeout
	server.EnableSMTPUTF8 = true
	// Loopback without TLS is what the standalone mode uses; with TLS the password has to wait for it.
	server.AllowInsecureAuth = m.opts.TLS == nil
	// The server would log addresses of messages it cannot handle.
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if !m.opts.ImplicitTLS {
		server.TLSConfig = m.opts.TLS
	}
	return server
}

// session takes the messages of one connection.
type session struct {
	mailbox *Mailbox
	from    string
	to      []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if status := s.mailbox.nextFailure(Email); status != 0 {
		return &smtp.SMTPError{
			Code: status, EnhancedCode: smtp.EnhancedCode{status / 100, 1, 1}, Message: "<" + to + "> refused by the mailbox",
		}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // the server's own error when the size limit is passed
	}
	parsed, err := parseEmail(raw)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "message cannot be parsed"}
	}
	parsed.From = s.from
	messages := make([]Message, 0, len(s.to))
	for _, to := range s.to {
		parsed.To = to
		messages = append(messages, parsed)
	}
	s.mailbox.add(messages...)
	return nil
}

func (s *session) Reset() { s.from, s.to = "", nil }

func (s *session) Logout() error { return nil }

// authSession is a session that takes mail only after authentication.
type authSession struct {
	*session
	authenticated bool
}

func (s *authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *authSession) Auth(mechanism string) (sasl.Server, error) {
	if mechanism != sasl.Plain {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	return sasl.NewPlainServer(func(_, username, password string) error {
		sameName := subtle.ConstantTimeCompare([]byte(username), []byte(s.mailbox.opts.Username))
		samePassword := subtle.ConstantTimeCompare([]byte(password), []byte(s.mailbox.opts.Password))
		if sameName&samePassword != 1 {
			return smtp.ErrAuthFailed
		}
		s.authenticated = true
		return nil
	}), nil
}

func (s *authSession) Mail(from string, opts *smtp.MailOptions) error {
	if !s.authenticated {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "authentication required"}
	}
	return s.session.Mail(from, opts)
}

// parseEmail decodes the headers and the text and HTML parts of a message. The first part of each type counts; attachments are passed over.
func parseEmail(raw []byte) (Message, error) {
	reader, err := mail.CreateReader(bytes.NewReader(raw))
	if err != nil && !message.IsUnknownCharset(err) {
		return Message{}, fmt.Errorf("read headers: %w", err)
	}
	parsed := Message{Kind: Email, Raw: raw}
	// A header that cannot be decoded is shown as it is.
	if parsed.Subject, err = reader.Header.Subject(); err != nil {
		parsed.Subject = reader.Header.Get("Subject")
	}
	if parsed.MessageID, err = reader.Header.MessageID(); err != nil {
		parsed.MessageID = reader.Header.Get("Message-Id")
	}
	for range maxParts {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return parsed, nil
		}
		if err != nil && !message.IsUnknownCharset(err) {
			return Message{}, fmt.Errorf("read part: %w", err)
		}
		header, inline := part.Header.(*mail.InlineHeader)
		if !inline {
			continue
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return Message{}, fmt.Errorf("decode part: %w", err)
		}
		mediaType, _, err := header.ContentType()
		if err != nil {
			mediaType = "text/plain"
		}
		switch {
		case mediaType == "text/plain" && parsed.Text == "":
			parsed.Text = string(body)
		case mediaType == "text/html" && parsed.HTML == "":
			parsed.HTML = string(body)
		}
	}
	return Message{}, errors.New("too many parts")
}
