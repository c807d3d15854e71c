package mailbox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdocket/mdocket/internal/standalone/mailbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	from = "office@issuer.example"
	to   = "holder@home.example"
)

// lines joins the lines of a message as SMTP wants them.
func lines(parts ...string) []byte { return []byte(strings.Join(parts, "\r\n") + "\r\n") }

func plainEmail(subject, text string) []byte {
	return lines("From: <"+from+">", "To: <"+to+">", "Subject: "+subject, "Message-ID: <one@issuer.example>",
		"Content-Type: text/plain; charset=utf-8", "", text)
}

func start(t *testing.T, opts mailbox.Options) *mailbox.Mailbox {
	t.Helper()
	box := mailbox.New(opts)
	require.NoError(t, box.Start())
	t.Cleanup(func() { require.NoError(t, box.Close()) })
	return box
}

func send(t *testing.T, box *mailbox.Mailbox, raw []byte, recipients ...string) error {
	t.Helper()
	return smtp.SendMail(box.SMTPAddr(), nil, from, recipients, raw)
}

func TestEmailIsDecoded(t *testing.T) {
	received := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	alternative := lines("From: <"+from+">", "To: <"+to+">", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Message-ID: <two@issuer.example>",
		"MIME-Version: 1.0", `Content-Type: multipart/alternative; boundary="b"`, "",
		"--b", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "", "Gr=C3=BC=C3=9Fe",
		"--b", "Content-Type: text/html; charset=iso-8859-1", "Content-Transfer-Encoding: base64", "", "PHA+R3L8337lPC9wPg==", "--b--")
	tests := []struct {
		name string
		raw  []byte
		want mailbox.Message
	}{
		{
			"plain text", plainEmail("Hello", "Good day"),
			mailbox.Message{Subject: "Hello", Text: "Good day\r\n", MessageID: "one@issuer.example"},
		},
		{
			"alternative with charsets and encodings", alternative,
			mailbox.Message{Subject: "Grüße", Text: "Grüße", HTML: "<p>Grüß~å</p>", MessageID: "two@issuer.example"},
		},
		{
			"attachment is passed over",
			lines("Subject: With file", `Content-Type: multipart/mixed; boundary="b"`, "",
				"--b", "Content-Type: application/pdf", "Content-Disposition: attachment", "", "%PDF", "--b", "", "Body", "--b--"),
			mailbox.Message{Subject: "With file", Text: "Body"},
		},
		{"no headers", lines("", "only a body"), mailbox.Message{Text: "only a body\r\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			box := start(t, mailbox.Options{Now: func() time.Time { return received }})
			require.NoError(t, send(t, box, test.raw, to))
			kept := box.Messages()
			require.Len(t, kept, 1)
			require.NotEmpty(t, kept[0].Raw)
			kept[0].Raw = nil
			test.want.Seq, test.want.Kind, test.want.From, test.want.To, test.want.ReceivedAt = 1, mailbox.Email, from, to, received
			require.Equal(t, test.want, kept[0])
		})
	}
}

func TestEveryRecipientGetsAMessage(t *testing.T) {
	box := start(t, mailbox.Options{})
	require.NoError(t, send(t, box, plainEmail("Hello", "Good day"), to, "second@home.example"))
	kept := box.Messages()
	require.Len(t, kept, 2)
	require.Equal(t, []string{to, "second@home.example"}, []string{kept[0].To, kept[1].To})
	require.Equal(t, []int64{1, 2}, []int64{kept[0].Seq, kept[1].Seq})
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name     string
		raw      []byte
		wantCode int
	}{
		{"too large", plainEmail("Hello", strings.Repeat("xxxx\r\n", 1000)), 552},
		{"broken multipart", lines(`Content-Type: multipart/mixed; boundary="b"`, "", "--b", "broken header", "", "--b--"), 554},
		{"too many parts", lines(append([]string{`Content-Type: multipart/mixed; boundary="b"`, ""},
			strings.Split(strings.Repeat("--b\n\n", 150)+"--b--", "\n")...)...), 554},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			box := start(t, mailbox.Options{MaxSize: 4000})
			requireCode(t, send(t, box, test.raw, to), test.wantCode)
			require.Empty(t, box.Messages())
		})
	}
}

func requireCode(t *testing.T, err error, want int) {
	t.Helper()
	var answer *textproto.Error
	require.ErrorAs(t, err, &answer)
	require.Equal(t, want, answer.Code)
}

func TestOldestMessagesGoFirst(t *testing.T) {
	box := start(t, mailbox.Options{MaxMessages: 2})
	for _, subject := range []string{"a", "b", "c"} {
		require.NoError(t, send(t, box, plainEmail(subject, "text"), to))
	}
	kept := box.Messages()
	require.Len(t, kept, 2)
	require.Equal(t, []string{"b", "c"}, []string{kept[0].Subject, kept[1].Subject})
	require.Equal(t, int64(3), kept[1].Seq)
}

func TestFailNext(t *testing.T) {
	box := start(t, mailbox.Options{})
	box.FailNext(mailbox.Email, 1, 451)
	box.FailNext(mailbox.Email, 1, 550)
	err := send(t, box, plainEmail("Hello", "text"), to)
	requireCode(t, err, 451)
	require.ErrorContains(t, err, to, "a real server echoes the address")
	requireCode(t, send(t, box, plainEmail("Hello", "text"), to), 550)
	require.NoError(t, send(t, box, plainEmail("Hello", "text"), to))
	require.Len(t, box.Messages(), 1)
}

func TestWait(t *testing.T) {
	box := start(t, mailbox.Options{})
	found := make(chan mailbox.Message, 1)
	failed := make(chan error, 1)
	go func() {
		message, err := box.Wait(t.Context(), func(m mailbox.Message) bool { return m.Subject == "second" })
		found <- message
		failed <- err
	}()
	require.NoError(t, send(t, box, plainEmail("first", "text"), to))
	require.NoError(t, send(t, box, plainEmail("second", "text"), to))
	require.Equal(t, int64(2), (<-found).Seq)
	require.NoError(t, <-failed)

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := box.Wait(canceled, func(mailbox.Message) bool { return false })
	require.ErrorIs(t, err, context.Canceled)
}

func TestAuthentication(t *testing.T) {
	box := start(t, mailbox.Options{Username: "user", Password: "secret"})
	tests := []struct {
		name     string
		auth     smtp.Auth
		wantCode int
	}{
		{"none", nil, 530},
		{"wrong password", smtp.PlainAuth("", "user", "wrong", "127.0.0.1"), 535},
		{"right", smtp.PlainAuth("", "user", "secret", "127.0.0.1"), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := smtp.SendMail(box.SMTPAddr(), test.auth, from, []string{to}, plainEmail("Hello", "text"))
			if test.wantCode == 0 {
				require.NoError(t, err)
				require.Len(t, box.Messages(), 1)
				return
			}
			requireCode(t, err, test.wantCode)
			require.Empty(t, box.Messages())
		})
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.StartTLS()
	defer server.Close()
	trusted := server.Client().Transport.(*http.Transport).TLSClientConfig
	certificate := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: server.TLS.Certificates}
	client := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted.RootCAs, ServerName: "example.com"}

	t.Run("starttls", func(t *testing.T) {
		box := start(t, mailbox.Options{TLS: certificate})
		session, err := smtp.Dial(box.SMTPAddr())
		require.NoError(t, err)
		require.NoError(t, session.StartTLS(client))
		deliver(t, session)
		require.Len(t, box.Messages(), 1)
	})
	t.Run("implicit", func(t *testing.T) {
		box := start(t, mailbox.Options{TLS: certificate, ImplicitTLS: true})
		conn, err := tls.Dial("tcp", box.SMTPAddr(), client)
		require.NoError(t, err)
		session, err := smtp.NewClient(conn, "example.com")
		require.NoError(t, err)
		deliver(t, session)
		require.Len(t, box.Messages(), 1)
	})
}

func deliver(t *testing.T, session *smtp.Client) {
	t.Helper()
	require.NoError(t, session.Mail(from))
	require.NoError(t, session.Rcpt(to))
	data, err := session.Data()
	require.NoError(t, err)
	_, err = data.Write(plainEmail("Hello", "text"))
	require.NoError(t, err)
	require.NoError(t, data.Close())
	require.NoError(t, session.Quit())
}

func TestStartRefusals(t *testing.T) {
	for name, opts := range map[string]mailbox.Options{
		"all interfaces":     {SMTPAddr: "0.0.0.0:0"},
		"no host":            {SMTPAddr: ":0"},
		"no port":            {SMTPAddr: "127.0.0.1"},
		"other host":         {SMTPAddr: "192.0.2.1:0"},
		"TLS without config": {ImplicitTLS: true},
	} {
		t.Run(name, func(t *testing.T) {
			box := mailbox.New(opts)
			require.Error(t, box.Start())
			require.Empty(t, box.SMTPAddr())
			require.NoError(t, box.Close())
		})
	}
	box := start(t, mailbox.Options{})
	require.Error(t, box.Start(), "already running")
	require.Error(t, mailbox.New(mailbox.Options{SMTPAddr: box.SMTPAddr()}).Start(), "port taken")
}

func TestCloseCutsConnections(t *testing.T) {
	box := mailbox.New(mailbox.Options{})
	require.NoError(t, box.Start())
	conn, err := net.Dial("tcp", box.SMTPAddr())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	greeting := make([]byte, 3)
	_, err = io.ReadFull(conn, greeting)
	require.NoError(t, err)
	require.NoError(t, box.Close())
	_, err = io.ReadAll(conn)
	require.NoError(t, err, "the connection ends")
	require.NoError(t, box.Start(), "a closed mailbox can start again")
	require.NoError(t, box.Close())
}

// call sends one request to the handler.
func call(t *testing.T, box *mailbox.Mailbox, method, target, contentType, body string) *http.Response {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	recorder := httptest.NewRecorder()
	box.Handler().ServeHTTP(recorder, request)
	return recorder.Result()
}

func read(t *testing.T, response *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return string(body)
}

func TestSMSSink(t *testing.T) {
	const object = `{"to":"+491701234567","text":"Hello","id":"x1"}`
	tests := []struct {
		name, contentType, body string
		fail                    int
		wantStatus              int
		wantBody                string
	}{
		{"accepted", "application/json", object, 0, 202, `{"status":"accepted","id":"x1"}`},
		{"charset", "application/json; charset=utf-8", object, 0, 202, `{"status":"accepted","id":"x1"}`},
		{"id is made up", "application/json", `{"to":"+491701234567","text":"Hello"}`, 0, 202, `{"status":"accepted","id":"sms-1"}`},
		{"injected", "application/json", object, 503, 503, `{"status":"rejected","id":"x1","to":"+491701234567","text":"Hello"}`},
		{"form", "application/x-www-form-urlencoded", "to=1", 0, 415, ""},
		{"no type", "", object, 0, 415, ""},
		{"broken", "application/json", `{"to"`, 0, 400, ""},
		{"trailing", "application/json", object + "{}", 0, 400, ""},
		{"unknown field", "application/json", `{"to":"1","text":"a","html":"b"}`, 0, 400, ""},
		{"no number", "application/json", `{"text":"a"}`, 0, 400, ""},
		{"no text", "application/json", `{"to":"1"}`, 0, 400, ""},
		{"too large", "application/json", `{"to":"1","text":"` + strings.Repeat("x", 300) + `"}`, 0, 413, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			box := mailbox.New(mailbox.Options{MaxSize: 200})
			if test.fail != 0 {
				box.FailNext(mailbox.SMS, 1, test.fail)
			}
			response := call(t, box, http.MethodPost, "/sms", test.contentType, test.body)
			body := read(t, response)
			require.Equal(t, test.wantStatus, response.StatusCode)
			if test.wantBody != "" {
				require.JSONEq(t, test.wantBody, body)
			}
			if test.wantStatus != 202 {
				require.Empty(t, box.Messages())
				return
			}
			kept := box.Messages()
			require.Len(t, kept, 1)
			require.Equal(t, mailbox.SMS, kept[0].Kind)
			require.Equal(t, "+491701234567", kept[0].To)
			require.Equal(t, "Hello", kept[0].Text)
			require.Contains(t, body, strconv.Quote(kept[0].ID))
		})
	}
}

func TestMessagesAPI(t *testing.T) {
	box := start(t, mailbox.Options{})
	require.NoError(t, send(t, box, plainEmail("Hello", "Good day"), to))
	require.Equal(t, 202, call(t, box, http.MethodPost, "/sms", "application/json", `{"to":"+491701234567","text":"one"}`).StatusCode)
	require.Equal(t, 202, call(t, box, http.MethodPost, "/sms", "application/json", `{"to":"+491707654321","text":"two"}`).StatusCode)
	tests := []struct {
		query      string
		wantStatus int
		wantSeqs   []int64
	}{
		{"", 200, []int64{1, 2, 3}},
		{"?kind=email", 200, []int64{1}},
		{"?kind=sms", 200, []int64{2, 3}},
		{"?to=%2B491707654321", 200, []int64{3}},
		{"?after=1", 200, []int64{2, 3}},
		{"?after=1&kind=email", 200, []int64{}},
		{"?after=x", 400, nil},
		{"?kind=fax", 400, nil},
	}
	for _, test := range tests {
		t.Run(test.query, func(t *testing.T) {
			response := call(t, box, http.MethodGet, "/api/messages"+test.query, "", "")
			body := read(t, response)
			require.Equal(t, test.wantStatus, response.StatusCode)
			if test.wantStatus != 200 {
				return
			}
			require.True(t, strings.HasPrefix(body, "["), "an array even when empty")
			var messages []mailbox.Message
			require.NoError(t, json.Unmarshal([]byte(body), &messages))
			seqs := []int64{}
			for _, message := range messages {
				seqs = append(seqs, message.Seq)
			}
			require.Equal(t, test.wantSeqs, seqs)
		})
	}
	require.Equal(t, 200, call(t, box, http.MethodGet, "/healthz", "", "").StatusCode)
	require.Equal(t, 404, call(t, box, http.MethodGet, "/other", "", "").StatusCode)
	require.Equal(t, 405, call(t, box, http.MethodGet, "/sms", "", "").StatusCode)
}

func TestPage(t *testing.T) {
	box := start(t, mailbox.Options{})
	require.Contains(t, read(t, call(t, box, http.MethodGet, "/", "", "")), "No messages yet")

	text := `Open <https://issuer.example/c/abc?x=1&y=2>, then javascript:alert(1) <script>alert(1)</script>`
	require.NoError(t, send(t, box, plainEmail("<b>Subject</b>", text), to))
	html := lines("Subject: newest", "Content-Type: text/html", "", "<p>Hi<script>1</script></p>")
	require.NoError(t, send(t, box, html, to))

	response := call(t, box, http.MethodGet, "/", "", "")
	body := read(t, response)
	require.Contains(t, body, `<a href="https://issuer.example/c/abc?x=1&amp;y=2"`)
	require.Contains(t, body, "&lt;b&gt;Subject&lt;/b&gt;")
	require.NotContains(t, body, "<script")
	require.NotContains(t, body, `href="javascript`)
	require.Less(t, strings.Index(body, "newest"), strings.Index(body, "Subject&lt;"), "newest first")
	require.Contains(t, body, `href="messages/2/html"`)

	_, rest, _ := strings.Cut(body, "<style>")
	style, _, found := strings.Cut(rest, "</style>")
	require.True(t, found)
	sum := sha256.Sum256([]byte(style))
	policy := response.Header.Get("Content-Security-Policy")
	require.Contains(t, policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'", "the browser must accept the style sheet")
	require.Contains(t, policy, "default-src 'none'")

	part := call(t, box, http.MethodGet, "/messages/2/html", "", "")
	require.Equal(t, "<p>Hi<script>1</script></p>\r\n", read(t, part))
	require.True(t, strings.HasPrefix(part.Header.Get("Content-Security-Policy"), "sandbox "), "scripts cannot run")
	for _, missing := range []string{"/messages/1/html", "/messages/9/html", "/messages/x/html"} {
		require.Equal(t, 404, call(t, box, http.MethodGet, missing, "", "").StatusCode)
	}
}

// FuzzEmail feeds whole messages through SMTP: whatever arrives is kept or refused, and the page still renders.
func FuzzEmail(f *testing.F) {
	f.Add(plainEmail("Hello", "See https://issuer.example/."))
	f.Add(lines(`Content-Type: multipart/alternative; boundary="b"`, "", "--b", "Content-Type: text/html", "", "<p>", "--b--"))
	f.Add(lines("Content-Type: text/plain; charset=unknown", "Content-Transfer-Encoding: base64", "", "!!!"))
	f.Add(lines(`Content-Type: multipart/mixed; boundary=""`, "", "--", "--"))
	box := mailbox.New(mailbox.Options{MaxMessages: 3, MaxSize: 1 << 16})
	if err := box.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := box.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := int64(0)
		if kept := box.Messages(); len(kept) > 0 {
			before = kept[len(kept)-1].Seq
		}
		if err := smtp.SendMail(box.SMTPAddr(), nil, from, []string{to}, raw); err != nil {
			var answer *textproto.Error
			require.ErrorAs(t, err, &answer)
			return
		}
		kept := box.Messages()
		require.Equal(t, before+1, kept[len(kept)-1].Seq)
		response := call(t, box, http.MethodGet, "/", "", "")
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.False(t, bytes.Contains([]byte(read(t, response)), []byte("<script")))
	})
}
