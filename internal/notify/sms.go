package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Message is one SMS.
type Message struct {
	// To is the number in E.164, see [NormalizeMobile].
	To string
	// Text is sent as it is; the provider splits it where needed.
	Text string
	// ID is a stable id from the caller, the same at every repetition: dot-atom text.
	ID string
}

// SMS sends short messages.
type SMS interface {
	// Send hands one message to the gateway and returns its answer. Errors are [*Error]. A message that the gateway has taken
	// is not yet one that the phone has received.
	Send(ctx context.Context, message Message) (Receipt, error)
}

// SMSConfig chooses the driver: exactly one of its fields is set.
type SMSConfig struct {
	Email *SMSEmailConfig
	HTTP  *SMSHTTPConfig
}

// Validate names every problem, each error beginning with the setting.
func (c SMSConfig) Validate() []error {
	switch {
	case c.Email != nil && c.HTTP != nil:
		return []error{errors.New("driver: choose one of email and http")}
	case c.Email != nil:
		return prefixed("email", c.Email.Validate())
	case c.HTTP != nil:
		return prefixed("http", c.HTTP.Validate())
	default:
		return []error{errors.New("driver: choose one of email and http")}
	}
}

// NewSMS makes the configured driver. mailer carries the messages of the e-mail-to-SMS driver and may be nil for the other. A driver
// that is an [io.Closer] holds connections, and is closed when nothing is sent any more.
func NewSMS(config SMSConfig, mailer *Mailer) (SMS, error) {
	if problems := config.Validate(); len(problems) > 0 {
		return nil, fmt.Errorf("configure SMS: %w", errors.Join(problems...))
	}
	if config.HTTP != nil {
		return NewHTTPSMS(*config.HTTP)
	}
	if mailer == nil {
		return nil, errors.New("configure SMS: the e-mail driver needs a mailer")
	}
	return NewEmailSMS(*config.Email, mailer)
}

// NumberFormat is how an e-mail-to-SMS gateway wants the number before the "@".
type NumberFormat string

// The number formats, for the number +49 170 1234567.
const (
	NumberPlus       NumberFormat = "plus"        // +491701234567, the default
	NumberDigits     NumberFormat = "digits"      // 491701234567
	NumberDoubleZero NumberFormat = "double_zero" // 00491701234567
)

// SMSEmailConfig is an e-mail-to-SMS gateway.
type SMSEmailConfig struct {
	// Gateway is the domain after the "@".
	Gateway string
	// Format is empty for [NumberPlus].
	Format NumberFormat
	// Subject of the e-mail, for gateways that want a keyword there; empty is "SMS".
	Subject string
}

// Validate names every problem, each error beginning with the setting.
func (c SMSEmailConfig) Validate() []error {
	var problems []error
	if !isDomain(c.Gateway) {
		problems = append(problems, errors.New("gateway: must be a domain name"))
	}
	switch c.Format {
	case "", NumberPlus, NumberDigits, NumberDoubleZero:
	default:
		problems = append(problems, errors.New("format: must be plus, digits or double_zero"))
	}
	if hasControl(c.Subject) {
		problems = append(problems, errors.New("subject: must have no control characters"))
	}
	return problems
}

// EmailSMS sends SMS as e-mails to <number>@<gateway>.
type EmailSMS struct {
	config SMSEmailConfig
	mailer *Mailer
}

// NewEmailSMS makes the driver. The error names every problem of the configuration.
func NewEmailSMS(config SMSEmailConfig, mailer *Mailer) (*EmailSMS, error) {
	if problems := config.Validate(); len(problems) > 0 {
		return nil, fmt.Errorf("configure SMS by e-mail: %w", errors.Join(problems...))
	}
	if config.Subject == "" {
		config.Subject = "SMS"
	}
	return &EmailSMS{config: config, mailer: mailer}, nil
}

// Send implements [SMS]. The text goes as a plain e-mail whose Message-ID is made from the message's id.
func (s *EmailSMS) Send(ctx context.Context, message Message) (Receipt, error) {
	if err := checkMessage(message); err != nil {
		return Receipt{}, err
	}
	number := message.To
	switch s.config.Format {
	case NumberDigits:
		number = strings.TrimPrefix(number, "+")
	case NumberDoubleZero:
		number = "00" + strings.TrimPrefix(number, "+")
	case NumberPlus:
	}
	receipt, err := s.mailer.Send(ctx, Email{
		To: number + "@" + s.config.Gateway, Subject: s.config.Subject, Text: message.Text, MessageID: message.ID,
	})
	if failure, ok := errors.AsType[*Error](err); ok {
		failure.Channel = channelSMS
	}
	// The number may be echoed without the gateway's domain.
	return Receipt{Answer: scrub(receipt.Answer, message.To)}, err
}

// checkMessage refuses what no repetition can cure.
func checkMessage(message Message) error {
	reason := ""
	switch {
	case !isE164(message.To):
		reason = "recipient is not an E.164 number"
	case strings.TrimSpace(message.Text) == "":
		reason = "text is missing"
	case !isDotAtom(message.ID):
		reason = "message id must be dot-atom text"
	default:
		return nil
	}
	return &Error{Channel: channelSMS, Step: "compose", Permanent: true, reason: reason}
}

// isE164 checks for "+" and 7 to 15 digits that do not begin with 0.
func isE164(number string) bool {
	digits, found := strings.CutPrefix(number, "+")
	return found && len(digits) >= 7 && len(digits) <= 15 && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}
