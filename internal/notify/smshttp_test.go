package notify_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
)

const number = "+491701234567"

func sms() notify.Message {
	return notify.Message{To: number, Text: "Behörde: 1234 5678 is your \"code\" & more", ID: "request-1.code.1"}
}

const jsonBody = `{"to":{{json .To}},"text":{{json .Text}},"id":{{json .ID}}}`

func newHTTPSMS(t *testing.T, config notify.SMSHTTPConfig) *notify.HTTPSMS {
	t.Helper()
	driver, err := notify.NewHTTPSMS(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	return driver
}

func TestHTTPSMSToMailbox(t *testing.T) {
	box := mailbox.New(mailbox.Options{})
	server := httptest.NewServer(box.Handler())
	defer server.Close()
	driver, err := notify.NewSMS(notify.SMSConfig{HTTP: &notify.SMSHTTPConfig{
		URL: server.URL + "/sms", Body: jsonBody, Success: notify.SuccessRule{Statuses: []string{"202"}, JSONPath: "status", Equals: "accepted"},
	}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, driver.(io.Closer).Close()) }()

	receipt, err := driver.Send(t.Context(), sms())
	require.NoError(t, err)
	require.Equal(t, `HTTP 202 {"status":"accepted","id":"request-1.code.1"}`, receipt.Answer)
	kept := box.Messages()
	require.Len(t, kept, 1)
	require.Equal(t, sms(), notify.Message{To: kept[0].To, Text: kept[0].Text, ID: kept[0].ID})

	box.FailNext(mailbox.SMS, 1, 400)
	_, err = driver.Send(t.Context(), sms())
	require.EqualError(t, err, "send SMS: answer: status 400")
	require.True(t, notify.IsPermanent(err))
	requireClean(t, err, number, "1701234567", "1234", "5678", "Behörde")
	var failure *notify.Error
	require.ErrorAs(t, err, &failure)
	require.Contains(t, failure.Answer, "rejected", "what the gateway says is kept")
}

func TestHTTPSMSRequest(t *testing.T) {
	type seen struct {
		method, path, body string
		query              url.Values
		header             http.Header
	}
	var got seen
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got = seen{r.Method, r.URL.Path, string(body), r.URL.Query(), r.Header}
	}))
	defer server.Close()
	trusted := writeCA(t, server)

	t.Run("JSON with bearer token", func(t *testing.T) {
		driver := newHTTPSMS(t, notify.SMSHTTPConfig{
			URL: server.URL + "/v1/messages/{{query .ID}}", Method: http.MethodPut, Body: jsonBody, BearerToken: "token", CAFile: trusted,
			Headers: map[string]string{"Idempotency-Key": "{{.ID}}", "Accept": "application/json"},
		})
		_, err := driver.Send(t.Context(), sms())
		require.NoError(t, err)
		require.Equal(t, http.MethodPut, got.method)
		require.Equal(t, "/v1/messages/request-1.code.1", got.path)
		require.Equal(t, "application/json", got.header.Get("Content-Type"))
		require.Equal(t, "Bearer token", got.header.Get("Authorization"))
		require.Equal(t, "request-1.code.1", got.header.Get("Idempotency-Key"))
		require.Equal(t, "application/json", got.header.Get("Accept"))
		var fields map[string]string
		require.NoError(t, json.Unmarshal([]byte(got.body), &fields))
		require.Equal(t, map[string]string{"to": number, "text": sms().Text, "id": "request-1.code.1"}, fields)
	})
	t.Run("form with basic authentication", func(t *testing.T) {
		driver := newHTTPSMS(t, notify.SMSHTTPConfig{
			URL: server.URL, ContentType: "application/x-www-form-urlencoded", Body: "to={{query .To}}&text={{query .Text}}",
			Username: "user", Password: "secret", CAFile: trusted,
		})
		_, err := driver.Send(t.Context(), sms())
		require.NoError(t, err)
		values, err := url.ParseQuery(got.body)
		require.NoError(t, err)
		require.Equal(t, url.Values{"to": {number}, "text": {sms().Text}}, values)
		require.Equal(t, "Basic dXNlcjpzZWNyZXQ=", got.header.Get("Authorization"))
	})
	t.Run("query", func(t *testing.T) {
		driver := newHTTPSMS(t, notify.SMSHTTPConfig{
			URL: server.URL + "/send?to={{query .To}}&text={{query .Text}}", Method: http.MethodGet, CAFile: trusted,
		})
		_, err := driver.Send(t.Context(), sms())
		require.NoError(t, err)
		require.Equal(t, url.Values{"to": {number}, "text": {sms().Text}}, got.query)
		require.Empty(t, got.body)
		require.Empty(t, got.header.Get("Content-Type"))
	})
	t.Run("untrusted certificate", func(t *testing.T) {
		driver := newHTTPSMS(t, notify.SMSHTTPConfig{URL: server.URL + "/send?to={{query .To}}&text={{query .Text}}", Method: http.MethodGet})
		_, err := driver.Send(t.Context(), sms())
		require.ErrorContains(t, err, "certificate")
		require.False(t, notify.IsPermanent(err))
		requireClean(t, err, number, url.QueryEscape(number), "5678", "Beh")
	})
}

func TestHTTPSMSAnswers(t *testing.T) {
	nested := notify.SuccessRule{JSONPath: "messages.0.status", Equals: "0"}
	pattern := notify.SuccessRule{BodyPattern: `(?m)^OK: [0-9]+$`}
	tests := []struct {
		name          string
		rule          notify.SuccessRule
		status        int
		body          string
		wantText      string // "" is success
		wantPermanent bool
	}{
		{"any 2xx", notify.SuccessRule{}, 204, "", "", false},
		{"range", notify.SuccessRule{Statuses: []string{"201", "203-205"}}, 204, "", "", false},
		{"2xx not listed", notify.SuccessRule{Statuses: []string{"201", "203-205"}}, 200, "", "success rule", true},
		{"JSON number", nested, 200, `{"messages":[{"status":0}]}`, "", false},
		{"JSON string", nested, 200, `{"messages":[{"status":"0"}]}`, "", false},
		{"JSON boolean", notify.SuccessRule{JSONPath: "ok", Equals: "true"}, 200, `{"ok":true}`, "", false},
		{"JSON other value", nested, 200, `{"messages":[{"status":"4"}]}`, "success rule", true},
		{"JSON path misses", nested, 200, `{"messages":[]}`, "success rule", true},
		{"JSON path through a value", nested, 200, `{"messages":"x"}`, "success rule", true},
		{"JSON null", nested, 200, `null`, "success rule", true},
		{"JSON object at the end", notify.SuccessRule{JSONPath: "messages", Equals: ""}, 200, `{"messages":{}}`, "success rule", true},
		{"not JSON", nested, 200, `<html>`, "success rule", true},
		{"pattern", pattern, 200, "OK: 77", "", false},
		{"pattern misses", pattern, 200, "ERROR: 77", "success rule", true},
		{"bad request", notify.SuccessRule{}, 400, "", "status 400", true},
		{"not found", notify.SuccessRule{}, 404, "", "status 404", true},
		{"unprocessable", notify.SuccessRule{}, 422, "", "status 422", true},
		{"our credentials are wrong", notify.SuccessRule{}, 401, "", "status 401", false},
		{"our account has no money", notify.SuccessRule{}, 402, "", "status 402", false},
		{"our account may not", notify.SuccessRule{}, 403, "", "status 403", false},
		{"our proxy wants credentials", notify.SuccessRule{}, 407, "", "status 407", false},
		{"time-out", notify.SuccessRule{}, 408, "", "status 408", false},
		{"too early", notify.SuccessRule{}, 425, "", "status 425", false},
		{"too many", notify.SuccessRule{}, 429, "", "status 429", false},
		{"broken", notify.SuccessRule{}, 500, "", "status 500", false},
		{"success words in a failure", pattern, 503, "OK: 77", "status 503", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}))
			defer server.Close()
			driver := newHTTPSMS(t, notify.SMSHTTPConfig{URL: server.URL, Body: jsonBody, Success: test.rule})
			receipt, err := driver.Send(t.Context(), sms())
			if test.wantText == "" {
				require.NoError(t, err)
				require.Contains(t, receipt.Answer, test.body)
				return
			}
			require.ErrorContains(t, err, test.wantText)
			require.Equal(t, test.wantPermanent, notify.IsPermanent(err))
			var failure *notify.Error
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.status, failure.Status)
			require.Contains(t, failure.Answer, test.body)
		})
	}
}

func TestHTTPSMSAnswerIsScrubbed(t *testing.T) {
	message := sms()
	quoted, err := json.Marshal(message.Text)
	require.NoError(t, err)
	for name, body := range map[string]string{
		"plain":              "ID 77 accepted " + message.To + " " + message.Text + " end",
		"JSON":               `{"id":77,"to":"` + message.To + `","text":` + string(quoted) + `,"state":"end"}`,
		"query":              "id=77&to=" + url.QueryEscape(message.To) + "&text=" + url.QueryEscape(message.Text) + "&end",
		"path escape":        "77 " + url.PathEscape(message.Text) + " end",
		"national number":    "77 0170 1234567 and 0170/123 45 67 end",
		"masked number":      "77 *******4567 end",
		"code together":      "77 12345678 end",
		"code apart":         "77 12-34-56-78 1 2 3 4 5 6 7 8 end",
		"half the code":      "77 1234 end",
		"shortened text":     "77 " + message.Text[:30] + "... end",
		"credentials":        "77 Bearer top-secret-token end",
		"in other words":     "77 ACCEPTED 2 parts end",
		"control characters": "77 \x00\x1b[31m\xff\r\n end",
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
			defer server.Close()
			driver := newHTTPSMS(t, notify.SMSHTTPConfig{URL: server.URL, Body: jsonBody, BearerToken: "top-secret-token"})
			receipt, err := driver.Send(t.Context(), message)
			require.NoError(t, err)
			for _, private := range []string{
				"491701", "1701", "1234", "5678", "4567", "34-56", "3 4 5", "is your", "secret", "\x00", "\x1b", "\xff",
			} {
				require.NotContains(t, receipt.Answer, private)
			}
			require.Contains(t, receipt.Answer, "77", "what is not private stays")
			require.Contains(t, receipt.Answer, "end")
		})
	}
	t.Run("bounded", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("é", 1<<20))
		}))
		defer server.Close()
		receipt, err := newHTTPSMS(t, notify.SMSHTTPConfig{URL: server.URL, Body: jsonBody}).Send(t.Context(), message)
		require.NoError(t, err)
		require.LessOrEqual(t, len(receipt.Answer), 2048)
		require.True(t, strings.HasSuffix(receipt.Answer, "é"), "cut between characters")
	})
}

func TestHTTPSMSCloseEndsIdleConnections(t *testing.T) {
	closed := make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	driver, err := notify.NewHTTPSMS(notify.SMSHTTPConfig{URL: server.URL, Body: jsonBody})
	require.NoError(t, err)
	for range 2 {
		_, err = driver.Send(t.Context(), sms())
		require.NoError(t, err)
	}
	require.Empty(t, closed, "the connection is kept for the next message")
	require.NoError(t, driver.Close())
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		require.Fail(t, "the connection is still open")
	}
}

func TestHTTPSMSFollowsNoRedirect(t *testing.T) {
	reached := make(chan struct{}, 10)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) }))
		_, err := newHTTPSMS(t, notify.SMSHTTPConfig{URL: server.URL, Body: jsonBody}).Send(t.Context(), sms())
		server.Close()
		var failure *notify.Error
		require.ErrorAs(t, err, &failure)
		require.Equal(t, status, failure.Status)
		require.False(t, notify.IsPermanent(err))
	}
	require.Empty(t, reached)
}

func TestHTTPSMSNetwork(t *testing.T) {
	hanging := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hanging:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hanging)
	target := server.URL + "/send?to={{query .To}}&text={{query .Text}}"

	t.Run("time-out", func(t *testing.T) {
		driver := newHTTPSMS(t, notify.SMSHTTPConfig{URL: target, Method: http.MethodGet, Timeout: 100 * time.Millisecond})
		_, err := driver.Send(t.Context(), sms())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.False(t, notify.IsPermanent(err))
		requireClean(t, err, "491701234567", "5678")
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newHTTPSMS(t, notify.SMSHTTPConfig{URL: target, Method: http.MethodGet}).Send(ctx, sms())
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("nobody there", func(t *testing.T) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		driver := newHTTPSMS(t, notify.SMSHTTPConfig{URL: gone.URL + "/send?to={{query .To}}&text={{query .Text}}", Method: http.MethodGet})
		_, err := driver.Send(t.Context(), sms())
		require.ErrorContains(t, err, "send SMS: connect: dial tcp")
		require.False(t, notify.IsPermanent(err))
		requireClean(t, err, "491701234567", "5678")
	})
	t.Run("answer cut off", func(t *testing.T) {
		cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"status":`)
		}))
		defer cut.Close()
		_, err := newHTTPSMS(t, notify.SMSHTTPConfig{URL: cut.URL, Body: jsonBody}).Send(t.Context(), sms())
		require.NoError(t, err, "the status says all that is asked for")
		rule := notify.SuccessRule{JSONPath: "status", Equals: "ok"}
		_, err = newHTTPSMS(t, notify.SMSHTTPConfig{URL: cut.URL, Body: jsonBody, Success: rule}).Send(t.Context(), sms())
		require.ErrorContains(t, err, "unexpected EOF")
		require.False(t, notify.IsPermanent(err))
	})
}

func TestSMSRefusesBadMessages(t *testing.T) {
	driver := newHTTPSMS(t, notify.SMSHTTPConfig{URL: "https://sms.example/", Body: jsonBody})
	mailer := newMailer(t, notify.MailConfig{Host: "127.0.0.1", Port: 1, From: sender})
	gateway, err := notify.NewEmailSMS(notify.SMSEmailConfig{Gateway: "sms.example"}, mailer)
	require.NoError(t, err)
	for name, message := range map[string]notify.Message{
		"national number": {To: "01701234567", Text: "x", ID: "a"},
		"spaces":          {To: "+49 170 1234567", Text: "x", ID: "a"},
		"too long":        {To: "+4917012345671234", Text: "x", ID: "a"},
		"no text":         {To: number, Text: " \n", ID: "a"},
		"no id":           {To: number, Text: "x"},
		"id with break":   {To: number, Text: "x", ID: "a\r\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sender := range []notify.SMS{driver, gateway} {
				_, err := sender.Send(t.Context(), message)
				require.True(t, notify.IsPermanent(err))
				require.ErrorContains(t, err, "send SMS: compose: ")
				requireClean(t, err, "1701234567")
			}
		})
	}
}

func TestEmailSMS(t *testing.T) {
	box := startMailbox(t, mailbox.Options{})
	mailer := newMailer(t, mailConfig(t, box.SMTPAddr()))
	for format, wantTo := range map[notify.NumberFormat]string{
		"":                      "+491701234567@sms.example",
		notify.NumberPlus:       "+491701234567@sms.example",
		notify.NumberDigits:     "491701234567@sms.example",
		notify.NumberDoubleZero: "00491701234567@sms.example",
	} {
		t.Run("format "+string(format), func(t *testing.T) {
			config := notify.SMSConfig{Email: &notify.SMSEmailConfig{Gateway: "sms.example", Format: format, Subject: "keyword"}}
			driver, err := notify.NewSMS(config, mailer)
			require.NoError(t, err)
			before := len(box.Messages())
			receipt, err := driver.Send(t.Context(), sms())
			require.NoError(t, err)
			require.NotContains(t, receipt.Answer, "1701234567")
			message := box.Messages()[before]
			require.Equal(t, wantTo, message.To)
			require.Equal(t, "keyword", message.Subject)
			require.Equal(t, sms().Text, strings.TrimSpace(message.Text))
			require.Equal(t, "request-1.code.1@issuer.example", message.MessageID)
			require.Empty(t, message.HTML)
		})
	}
	driver, err := notify.NewEmailSMS(notify.SMSEmailConfig{Gateway: "sms.example"}, mailer)
	require.NoError(t, err)
	box.FailNext(mailbox.Email, 1, 550)
	_, err = driver.Send(t.Context(), sms())
	require.EqualError(t, err, "send SMS: RCPT: status 550 5.1.1")
	require.True(t, notify.IsPermanent(err))
	requireClean(t, err, "1701234567")
}

func TestNewSMSErrors(t *testing.T) {
	_, err := notify.NewSMS(notify.SMSConfig{}, nil)
	require.ErrorContains(t, err, "choose one")
	_, err = notify.NewSMS(notify.SMSConfig{Email: &notify.SMSEmailConfig{Gateway: "sms.example"}}, nil)
	require.ErrorContains(t, err, "needs a mailer")
	_, err = notify.NewEmailSMS(notify.SMSEmailConfig{}, nil)
	require.ErrorContains(t, err, "gateway")
}
