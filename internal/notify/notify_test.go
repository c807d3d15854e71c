package notify_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdocket/mdocket/internal/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// writeCA writes the certificate of a test server as a root file.
func writeCA(t *testing.T, server *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	return path
}

func texts(problems []error) []string {
	var all []string
	for _, problem := range problems {
		all = append(all, problem.Error())
	}
	return all
}

func TestConfigNamesEveryProblem(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(noPEM, nil, 0o600))
	goodMail := &notify.MailConfig{Host: "smtp.example", From: "office@issuer.example"}
	goodHTTP := notify.SMSHTTPConfig{URL: "https://sms.example/send", Body: `{"to":{{json .To}},"text":{{json .Text}}}`}
	tests := []struct {
		name   string
		config notify.Config
		want   []string
	}{
		{"everything off", notify.Config{}, nil},
		{"least", notify.Config{Mail: goodMail, SMS: &notify.SMSConfig{HTTP: &goodHTTP}}, nil},
		{"by e-mail", notify.Config{Mail: goodMail, SMS: &notify.SMSConfig{Email: &notify.SMSEmailConfig{Gateway: "sms.example"}}}, nil},
		{
			"bad mail", notify.Config{Mail: &notify.MailConfig{
				Host: "smtp example", Port: 70000, TLS: "ssl", Password: "hush", From: "office", FromName: "A\nB", HELO: "a b",
				Timeout: time.Hour, CAFile: noPEM,
			}},
			[]string{
				"mail.host:", "mail.port:", "mail.tls:", "mail.password:", "mail.from:",
				"mail.from_name:", "mail.helo:", "mail.timeout:", "mail.ca_file:",
			},
		},
		{
			"password in the clear", notify.Config{Mail: &notify.MailConfig{
				Host: "smtp.example", TLS: notify.TLSNone, Username: "u", Password: "hush", From: "office@issuer.example", CAFile: "/missing.pem",
			}},
			[]string{"mail.username:", "mail.ca_file:"},
		},
		{"no driver", notify.Config{SMS: &notify.SMSConfig{}}, []string{"sms.driver:"}},
		{
			"two drivers", notify.Config{Mail: goodMail, SMS: &notify.SMSConfig{Email: &notify.SMSEmailConfig{}, HTTP: &goodHTTP}},
			[]string{"sms.driver:"},
		},
		{
			"bad gateway", notify.Config{SMS: &notify.SMSConfig{Email: &notify.SMSEmailConfig{Gateway: "sms", Format: "raw", Subject: "a\nb"}}},
			[]string{"sms.email.gateway:", "sms.email.format:", "sms.email.subject:", "sms.email: needs mail"},
		},
		{
			"bad HTTP", notify.Config{SMS: &notify.SMSConfig{HTTP: &notify.SMSHTTPConfig{
				Method: "DELETE", URL: "ftp://sms.example/", ContentType: "/", BearerToken: "hush\n", Username: "u", Timeout: -1, CAFile: noPEM,
				Headers: map[string]string{"a b": "c", "Content-Type": "text/plain", "X-Bad": "{{.Nope}}", "X-Break": "a\nb"},
				Success: notify.SuccessRule{Statuses: []string{"20x", "404", "204-200"}, JSONPath: "a..b", BodyPattern: "("},
			}}},
			[]string{
				"sms.http.method:", "sms.http.url:", "sms.http.content_type:", "sms.http.body: is missing", "sms.http.headers: set content_type",
				"sms.http.headers.X-Bad:", "sms.http.headers: a value", "sms.http.headers: a name", "sms.http.bearer_token: excludes",
				"sms.http.bearer_token: must", "sms.http.success.statuses: \"20x\"", "sms.http.success.statuses: \"404\"",
				"sms.http.success.statuses: \"204-200\"", "sms.http.success.json_path:", "sms.http.success.body_pattern:",
				"sms.http.timeout:", "sms.http.ca_file:",
			},
		},
		{
			"more bad HTTP", notify.Config{SMS: &notify.SMSConfig{HTTP: &notify.SMSHTTPConfig{
				Method: "GET", URL: "https://sms.example/?to={{query .To}}&text={{query .Text}}", Body: "x", ContentType: "text/plain",
				Password: "hush", Success: notify.SuccessRule{Equals: "ok"},
			}}},
			[]string{"sms.http.body: GET", "sms.http.password:", "sms.http.success.equals:"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := texts(test.config.Validate())
			require.Len(t, got, len(test.want), "%v", got)
			for _, want := range test.want {
				require.Condition(t, func() bool { return strings.Contains(strings.Join(got, "\n"), want) }, "%q in %q", want, got)
			}
			require.NotContains(t, strings.Join(got, "\n"), "hush")
		})
	}
}

func TestHTTPTemplatesAreTried(t *testing.T) {
	form := "application/x-www-form-urlencoded"
	tests := []struct {
		name   string
		config notify.SMSHTTPConfig
		want   string // "" is valid
	}{
		{"JSON", notify.SMSHTTPConfig{URL: "https://sms.example/send", Body: `{"t":{{json .Text}}}`}, ""},
		{
			"JSON quoted twice", notify.SMSHTTPConfig{URL: "https://sms.example/send", Body: `{"t":"{{json .Text}}"}`},
			"body: does not make valid JSON",
		},
		{"JSON unquoted", notify.SMSHTTPConfig{URL: "https://sms.example/send", Body: `{"t":"{{.Text}}"}`}, "body: does not make valid JSON"},
		{
			"JSON variant", notify.SMSHTTPConfig{URL: "https://sms.example/", ContentType: "application/vnd.x+json", Body: `{`},
			"body: does not make valid",
		},
		{"form", notify.SMSHTTPConfig{URL: "https://sms.example/send", ContentType: form, Body: `t={{query .Text}}`}, ""},
		{"form unescaped", notify.SMSHTTPConfig{URL: "https://sms.example/send", ContentType: form, Body: `t={{.Text}}`}, "body: "},
		{"other format", notify.SMSHTTPConfig{URL: "https://sms.example/send", ContentType: "text/plain", Body: `{{.Text}}`}, ""},
		{"syntax", notify.SMSHTTPConfig{URL: "https://sms.example/send", Body: `{{json .Text`}, "body: template"},
		{"unknown field", notify.SMSHTTPConfig{URL: "https://sms.example/send", Body: `{{json .Txt}}`}, "body: "},
		{"query", notify.SMSHTTPConfig{Method: "GET", URL: "https://sms.example/send?t={{query .Text}}"}, ""},
		{"query without path", notify.SMSHTTPConfig{Method: "GET", URL: "https://sms.example?t={{query .Text}}"}, ""},
		{"query unescaped", notify.SMSHTTPConfig{Method: "GET", URL: "https://sms.example/send?t={{.Text}}"}, "url: values must be escaped"},
		{"host from message", notify.SMSHTTPConfig{Method: "GET", URL: "https://sms.example{{.ID}}"}, "url: must begin with"},
		{"no host", notify.SMSHTTPConfig{Method: "GET", URL: "https:///send"}, "url: must begin with"},
		{"user in URL", notify.SMSHTTPConfig{Method: "GET", URL: "https://u:p@sms.example/"}, "url: must begin with"},
		{"plain", notify.SMSHTTPConfig{Method: "GET", URL: "http://sms.example/"}, "url: must be https, or"},
		{"plain allowed", notify.SMSHTTPConfig{Method: "GET", URL: "http://sms.example/", AllowPlainHTTP: true}, ""},
		{"plain to loopback", notify.SMSHTTPConfig{Method: "GET", URL: "http://127.0.0.1:8025/sms"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := notify.NewHTTPSMS(test.config)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestSecretHides(t *testing.T) {
	config := notify.MailConfig{Username: "user", Password: "hush"}
	encoded, err := json.Marshal(config)
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "password", config.Password, "config", config)
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s", config, config, config, config.Password), string(encoded), log.String()} {
		require.NotContains(t, shown, "hush")
		require.Contains(t, shown, "hidden")
	}
}

func TestErrorChain(t *testing.T) {
	permanent := fmt.Errorf("attempt: %w", &notify.Error{Channel: "e-mail", Step: "RCPT", Status: 550, Enhanced: "5.1.1", Permanent: true})
	require.True(t, notify.IsPermanent(permanent))
	require.ErrorIs(t, permanent, notify.ErrRefused)
	require.EqualError(t, permanent, "attempt: send e-mail: RCPT: status 550 5.1.1")
	require.False(t, notify.IsPermanent(&notify.Error{Channel: "SMS", Step: "answer", Status: 503}))
	require.False(t, notify.IsPermanent(context.Canceled))
	require.False(t, notify.IsPermanent(nil))
}

// requireClean checks that neither an error nor anything kept from it shows what was sent.
func requireClean(t *testing.T, err error, private ...string) {
	t.Helper()
	var failure *notify.Error
	require.ErrorAs(t, err, &failure)
	for current := err; current != nil; current = errors.Unwrap(current) {
		for _, text := range private {
			require.NotContains(t, current.Error(), text)
			require.NotContains(t, failure.Answer, text)
		}
	}
}
