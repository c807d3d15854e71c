package notify_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
)

const (
	sender = "office@issuer.example"
	holder = "holder.name@home.example"
)

func startMailbox(t *testing.T, opts mailbox.Options) *mailbox.Mailbox {
	t.Helper()
	box := mailbox.New(opts)
	require.NoError(t, box.Start())
	t.Cleanup(func() { require.NoError(t, box.Close()) })
	return box
}

// mailConfig points to an SMTP server without TLS.
func mailConfig(t *testing.T, address string) notify.MailConfig {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	return notify.MailConfig{
		Host: host, Port: number, TLS: notify.TLSNone, From: sender, FromName: "Grüne Behörde",
		HELO: "issuer.example", Timeout: 10 * time.Second,
	}
}

func newMailer(t *testing.T, config notify.MailConfig) *notify.Mailer {
	t.Helper()
	mailer, err := notify.NewMailer(config)
	require.NoError(t, err)
	return mailer
}

func email() notify.Email {
	return notify.Email{
		To: holder, Subject: "Führerschein abholen", Text: "Grüße\nhttps://issuer.example/c/abc\n", HTML: "<p>Grüße</p>",
		MessageID: "request-1.link.1", Language: "de",
	}
}

func TestMailerSends(t *testing.T) {
	box := startMailbox(t, mailbox.Options{})
	mailer := newMailer(t, mailConfig(t, box.SMTPAddr()))
	receipt, err := mailer.Send(t.Context(), email())
	require.NoError(t, err)
	require.NotEmpty(t, receipt.Answer)
	require.NotContains(t, receipt.Answer, "holder")

	message, err := box.Wait(t.Context(), func(m mailbox.Message) bool { return m.To == holder })
	require.NoError(t, err)
	require.Equal(t, sender, message.From)
	require.Equal(t, "Führerschein abholen", message.Subject)
	require.Equal(t, "request-1.link.1@issuer.example", message.MessageID)
	require.Equal(t, "Grüße\nhttps://issuer.example/c/abc\n", strings.ReplaceAll(message.Text, "\r\n", "\n"))
	require.Equal(t, "<p>Grüße</p>", strings.TrimSpace(message.HTML))
	raw := string(message.Raw)
	require.Contains(t, raw, "multipart/alternative")
	require.Contains(t, raw, "Auto-Submitted: auto-generated")
	require.Contains(t, raw, "Content-Language: de")
	require.NotContains(t, raw, "User-Agent")
	require.Less(t, strings.Index(raw, "text/plain"), strings.Index(raw, "text/html"), "the best alternative comes last, RFC 2046")

	repeated := email()
	repeated.HTML, repeated.MessageID = "", "request-1.link.1@other.example"
	_, err = mailer.Send(t.Context(), repeated)
	require.NoError(t, err)
	message, err = box.Wait(t.Context(), func(m mailbox.Message) bool { return m.HTML == "" })
	require.NoError(t, err)
	require.Equal(t, repeated.MessageID, message.MessageID)
	require.NotContains(t, string(message.Raw), "multipart")
}

func TestMailerIsSafeForConcurrentUse(t *testing.T) {
	box := startMailbox(t, mailbox.Options{Username: "user", Password: "secret"})
	config := mailConfig(t, box.SMTPAddr())
	config.Username, config.Password = "user", "secret"
	mailer := newMailer(t, config)
	var group sync.WaitGroup
	failures := make(chan error, 8)
	for range cap(failures) {
		group.Go(func() {
			_, err := mailer.Send(t.Context(), email())
			failures <- err
		})
	}
	group.Wait()
	for range cap(failures) {
		require.NoError(t, <-failures)
	}
	require.Len(t, box.Messages(), cap(failures))
}

func TestMailerTLSAndAuthentication(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.StartTLS()
	defer server.Close()
	certificate := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: server.TLS.Certificates}
	trusted := writeCA(t, server)

	tests := []struct {
		name     string
		server   mailbox.Options
		change   func(*notify.MailConfig)
		wantText string // "" is success
	}{
		{"starttls", mailbox.Options{TLS: certificate}, func(c *notify.MailConfig) { c.TLS = "" }, ""},
		{
			"starttls with authentication", mailbox.Options{TLS: certificate, Username: "user", Password: "secret"},
			func(c *notify.MailConfig) { c.TLS, c.Username, c.Password = notify.TLSStartTLS, "user", "secret" }, "",
		},
		{
			"implicit with authentication", mailbox.Options{TLS: certificate, ImplicitTLS: true, Username: "user", Password: "secret"},
			func(c *notify.MailConfig) { c.TLS, c.Username, c.Password = notify.TLSImplicit, "user", "secret" }, "",
		},
		{
			"authentication in the clear on loopback", mailbox.Options{Username: "user", Password: "secret"},
			func(c *notify.MailConfig) { c.Username, c.Password = "user", "secret" }, "",
		},
		{
			"wrong password", mailbox.Options{TLS: certificate, Username: "user", Password: "secret"},
			func(c *notify.MailConfig) { c.TLS, c.Username, c.Password = notify.TLSStartTLS, "user", "wrong" }, "send e-mail: connect: status 535",
		},
		{
			"password missing", mailbox.Options{TLS: certificate, Username: "user", Password: "secret"},
			func(c *notify.MailConfig) { c.TLS = notify.TLSStartTLS }, "send e-mail: MAIL: status 530 5.7.0",
		},
		{
			"server without starttls", mailbox.Options{},
			func(c *notify.MailConfig) { c.TLS = notify.TLSStartTLS }, "does not support STARTTLS",
		},
		{
			"untrusted certificate", mailbox.Options{TLS: certificate},
			func(c *notify.MailConfig) { c.TLS, c.CAFile = notify.TLSStartTLS, "" }, "certificate",
		},
		{
			"untrusted certificate, implicit", mailbox.Options{TLS: certificate, ImplicitTLS: true},
			func(c *notify.MailConfig) { c.TLS, c.CAFile = notify.TLSImplicit, "" }, "certificate",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			box := startMailbox(t, test.server)
			config := mailConfig(t, box.SMTPAddr())
			config.CAFile = trusted
			test.change(&config)
			_, err := newMailer(t, config).Send(t.Context(), email())
			if test.wantText == "" {
				require.NoError(t, err)
				require.Len(t, box.Messages(), 1)
				return
			}
			require.ErrorContains(t, err, test.wantText)
			require.False(t, notify.IsPermanent(err), "an operator can mend it while the request waits")
			requireClean(t, err, holder, "holder", "secret", "wrong")
			require.Empty(t, box.Messages())
		})
	}
}

// scripted is an SMTP server that answers commands from a table by their first word ("" greets, "." ends the content); it says
// 250 to what is not in the table and nothing at all to what has an empty answer.
func scripted(t *testing.T, answers map[string]string) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { converse(conn, answers) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		group.Wait() // ends only when the mailer has closed its connections
	})
	return listener.Addr().String()
}

func converse(conn net.Conn, answers map[string]string) {
	defer func() { _ = conn.Close() }()
	say := func(word, otherwise string) bool {
		answer, found := answers[word]
		if !found {
			answer = otherwise
		}
		if answer == "cut" {
			return false
		}
		if answer != "" {
			_, _ = fmt.Fprintf(conn, "%s\r\n", answer)
		}
		return true
	}
	if !say("", "220 ready") {
		return
	}
	content := false
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := lines.Text()
		if content && line != "." {
			continue
		}
		word, _, _ := strings.Cut(line, " ")
		content = word == "DATA" && answers["DATA"] == ""
		otherwise := "250 ok"
		if content {
			otherwise = "354 go"
		}
		if !say(word, otherwise) {
			return
		}
	}
}

func TestMailerErrors(t *testing.T) {
	tests := []struct {
		name          string
		answers       map[string]string
		wantText      string
		wantPermanent bool
	}{
		{"greeting refused", map[string]string{"": "554 no service for " + holder}, "send e-mail: connect: status 554", false},
		{"busy", map[string]string{"": "421 try later"}, "send e-mail: connect: status 421", false},
		{"sender refused", map[string]string{"MAIL": "550 5.7.1 not you"}, "send e-mail: MAIL: status 550", false},
		{"recipient unknown", map[string]string{"RCPT": "550 5.1.1 <" + holder + "> unknown"}, "send e-mail: RCPT: status 550", true},
		{"recipient busy", map[string]string{"RCPT": "450 4.2.1 <" + holder + "> try later"}, "send e-mail: RCPT: status 450", false},
		{"account at recipient", map[string]string{"RCPT": "530 5.7.0 log in first"}, "send e-mail: RCPT: status 530", false},
		{"DATA refused", map[string]string{"DATA": "554 no"}, "send e-mail: DATA: status 554", false},
		{"content refused", map[string]string{".": "554 5.6.0 " + holder + " will not read this"}, "send e-mail: end of DATA: status 554", true},
		{"content deferred", map[string]string{".": "451 4.3.0 try later"}, "send e-mail: end of DATA: status 451", false},
		{"cut at greeting", map[string]string{"": "cut"}, "send e-mail: connect: EOF", false},
		{"cut at recipient", map[string]string{"RCPT": "cut"}, "send e-mail: RCPT: no answer", false},
		{"cut at the end", map[string]string{".": "cut"}, "send e-mail: end of DATA: no answer", false},
		{"not SMTP", map[string]string{"": "HTTP/1.1 200 OK"}, "send e-mail: connect: ", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mailer := newMailer(t, mailConfig(t, scripted(t, test.answers)))
			receipt, err := mailer.Send(t.Context(), email())
			require.ErrorContains(t, err, test.wantText)
			require.Equal(t, test.wantPermanent, notify.IsPermanent(err))
			require.Empty(t, receipt)
			requireClean(t, err, holder, "holder", "home.example", "Führerschein", "request-1")
		})
	}
}

func TestMailerErrorKeepsEnhancedStatus(t *testing.T) {
	answers := map[string]string{"EHLO": "250-hello\r\n250 ENHANCEDSTATUSCODES", "RCPT": "550 5.1.1 <" + holder + "> unknown"}
	_, err := newMailer(t, mailConfig(t, scripted(t, answers))).Send(t.Context(), email())
	require.EqualError(t, err, "send e-mail: RCPT: status 550 5.1.1")
	var failure *notify.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "550 5.1.1", failure.Answer)
}

func TestMailboxFailures(t *testing.T) {
	box := startMailbox(t, mailbox.Options{})
	mailer := newMailer(t, mailConfig(t, box.SMTPAddr()))
	box.FailNext(mailbox.Email, 1, 451)
	box.FailNext(mailbox.Email, 1, 550)
	_, err := mailer.Send(t.Context(), email())
	require.EqualError(t, err, "send e-mail: RCPT: status 451 4.1.1")
	require.False(t, notify.IsPermanent(err))
	_, err = mailer.Send(t.Context(), email())
	require.EqualError(t, err, "send e-mail: RCPT: status 550 5.1.1")
	require.True(t, notify.IsPermanent(err))
	_, err = mailer.Send(t.Context(), email())
	require.NoError(t, err)
}

func TestMailerAfterAcceptance(t *testing.T) {
	for name, quit := range map[string]string{"error": "500 what", "cut": "cut"} {
		t.Run(name, func(t *testing.T) {
			address := scripted(t, map[string]string{"QUIT": quit, ".": "250 2.0.0 queued as 4XyZ for <" + holder + ">"})
			receipt, err := newMailer(t, mailConfig(t, address)).Send(t.Context(), email())
			require.NoError(t, err, "the server has the message")
			require.Contains(t, receipt.Answer, "2.0.0 queued as 4XyZ")
			require.NotContains(t, receipt.Answer, "holder")
		})
	}
}

func TestMailerTimesOut(t *testing.T) {
	for name, answers := range map[string]map[string]string{
		"greeting": {"": ""}, "hello": {"EHLO": ""}, "recipient": {"RCPT": ""}, "end": {".": ""},
	} {
		t.Run(name, func(t *testing.T) {
			config := mailConfig(t, scripted(t, answers))
			config.Timeout = 100 * time.Millisecond
			_, err := newMailer(t, config).Send(t.Context(), email())
			require.Error(t, err)
			require.False(t, notify.IsPermanent(err))
			requireClean(t, err, holder, "holder")
		})
	}
}

func TestMailerStopsWithTheContext(t *testing.T) {
	config := mailConfig(t, scripted(t, map[string]string{"RCPT": ""}))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := newMailer(t, config).Send(ctx, email())
	require.Less(t, time.Since(began), config.Timeout/2, "the context ends it, not the time-out")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, notify.IsPermanent(err))

	canceled, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	_, err = newMailer(t, config).Send(canceled, email())
	require.ErrorIs(t, err, context.Canceled)
}

func TestMailerRefusesBadMessages(t *testing.T) {
	mailer := newMailer(t, notify.MailConfig{Host: "127.0.0.1", Port: 1, From: sender})
	for name, change := range map[string]func(*notify.Email){
		"recipient":        func(e *notify.Email) { e.To = "Holder <" + holder + ">" },
		"empty subject":    func(e *notify.Email) { e.Subject = "" },
		"two-line subject": func(e *notify.Email) { e.Subject = "a\r\nBcc: eve@home.example" },
		"no text":          func(e *notify.Email) { e.Text = "" },
		"language":         func(e *notify.Email) { e.Language = "de\r\n" },
		"empty id":         func(e *notify.Email) { e.MessageID = "" },
		"id with break":    func(e *notify.Email) { e.MessageID = "a\r\nb" },
		"id with spaces":   func(e *notify.Email) { e.MessageID = "a b@issuer.example" },
		"half an id":       func(e *notify.Email) { e.MessageID = "a@" },
	} {
		t.Run(name, func(t *testing.T) {
			bad := email()
			change(&bad)
			_, err := mailer.Send(t.Context(), bad)
			require.True(t, notify.IsPermanent(err), "no repetition can cure it")
			require.ErrorContains(t, err, "compose")
			requireClean(t, err, holder, "eve")
		})
	}
}
