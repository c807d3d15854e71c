// Package notify sends messages: e-mail over SMTP, SMS through an e-mail-to-SMS gateway or an HTTP gateway, with texts from
// templates that an operator can replace.
//
// It gets finished values, sends one message at a time and returns what the server or gateway answered. It knows nothing of
// requests, retries or SQL: the caller repeats a message that failed for the time being ([IsPermanent] is false) under the
// same id. Errors and receipts carry no addresses, numbers or content.
//
// A link and a code never travel in one message: no kind of [Data] holds both, and [LoadTemplates] refuses a template that asks
// for what its kind does not have, or writes out an address beside a code.
package notify

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// Receipt is what a server or gateway answered to a message it took.
type Receipt struct {
	// Answer is the answer in words, at most 2048 bytes, without recipient, code and content should the other side have
	// echoed them. It may be empty.
	Answer string
}

// Config of the channels.
type Config struct {
	// Mail is the SMTP server; nil switches e-mail off.
	Mail *MailConfig
	// SMS is the SMS driver; nil switches SMS off.
	SMS *SMSConfig
}

// Validate names every problem of the configuration, each error beginning with the setting ("mail.port: …"). No secret
// appears in them.
func (c Config) Validate() []error {
	var problems []error
	if c.Mail != nil {
		problems = append(problems, prefixed("mail", c.Mail.Validate())...)
	}
	if c.SMS != nil {
		problems = append(problems, prefixed("sms", c.SMS.Validate())...)
		if c.SMS.Email != nil && c.Mail == nil {
			problems = append(problems, errors.New("sms.email: needs mail to be configured"))
		}
	}
	return problems
}

func prefixed(prefix string, problems []error) []error {
	named := make([]error, 0, len(problems))
	for _, problem := range problems {
		named = append(named, fmt.Errorf("%s.%w", prefix, problem))
	}
	return named
}

// Secret is a password or token that does not show itself when printed, logged or marshalled.
type Secret string

const hidden = "[hidden]"

// String hides the secret.
func (Secret) String() string { return hidden }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return hidden }

// MarshalText hides the secret from JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the secret from logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// ErrRefused is in the chain of every [Error] that repeating the same message cannot cure.
var ErrRefused = errors.New("refused for good")

// IsPermanent tells a refusal for good from a failure worth repeating: network trouble, SMTP 4xx, HTTP 429 and 5xx and
// trouble with our own account.
func IsPermanent(err error) bool { return errors.Is(err, ErrRefused) }

// Error is a message not sent. Its text holds statuses and reasons only, no recipient and no content.
type Error struct {
	// Channel is "e-mail" or "SMS".
	Channel string
	// Step is what failed, in the words of the protocol: "connect", "RCPT", "answer", ….
	Step string
	// Status is the SMTP reply code or HTTP status, 0 when there was none.
	Status int
	// Enhanced is the enhanced SMTP status (RFC 3463) such as "5.1.1", where the server gave one.
	Enhanced string
	// Answer is the gateway's answer for the record, treated as [Receipt.Answer] is. It is no part of the error text.
	Answer string
	// Permanent says that repeating cannot help; [ErrRefused] is then in the chain.
	Permanent bool

	reason string // words of our own, or of the network below any recipient
	cause  error  // context errors only; others could carry what was sent
}

// Error implements error.
func (e *Error) Error() string {
	text := []string{"send " + e.Channel, e.Step}
	if e.Status != 0 {
		text = append(text, strings.TrimSpace("status "+strconv.Itoa(e.Status)+" "+e.Enhanced))
	}
	if e.reason != "" {
		text = append(text, e.reason)
	}
	return strings.Join(text, ": ")
}

// Unwrap gives [ErrRefused] and context errors to errors.Is.
func (e *Error) Unwrap() []error {
	var chain []error
	if e.Permanent {
		chain = append(chain, ErrRefused)
	}
	if e.cause != nil {
		chain = append(chain, e.cause)
	}
	return chain
}

const (
	channelEmail = "e-mail"
	channelSMS   = "SMS"
)

// maxTimeout is longer than any server needs and shorter than a worker should be held.
const maxTimeout = 5 * time.Minute

func checkTimeout(timeout time.Duration) error {
	if timeout < 0 || timeout > maxTimeout {
		return fmt.Errorf("timeout: must be between 0 (default) and %s", maxTimeout)
	}
	return nil
}

// clientTLS is the TLS configuration towards a server; the roots in caFile, when given, are trusted instead of those of the system.
func clientTLS(serverName, caFile string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	if caFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(caFile) // #nosec G304 -- a file that the operator names
	if err != nil {
		return nil, fmt.Errorf("ca_file: read: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("ca_file: holds no PEM certificate")
	}
	return config, nil
}
