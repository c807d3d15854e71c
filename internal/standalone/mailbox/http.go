package mailbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Handler serves the mailbox over HTTP, with paths relative to where it is mounted:
//
//	GET  /                     page with all messages, newest first
//	GET  /messages/{seq}/html  HTML part of one e-mail, in a sandbox
//	POST /sms                  takes {"to","text","id"}, answers 202 {"status":"accepted","id"}
//	GET  /api/messages         JSON array, oldest first; query: to, kind (email or sms), after (only greater seq)
//	GET  /healthz              200 as long as the process serves
//
// It has no authentication. Whoever mounts it must keep it on loopback.
func (m *Mailbox) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", m.servePage)
	mux.HandleFunc("GET /messages/{seq}/html", m.serveHTMLPart)
	mux.HandleFunc("POST /sms", m.serveSMS)
	mux.HandleFunc("GET /api/messages", m.serveMessages)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Content-Security-Policy", pagePolicy)
		mux.ServeHTTP(w, r)
	})
}

// smsRequest is what the SMS sink takes.
type smsRequest struct {
	To   string `json:"to"`
	Text string `json:"text"`
	ID   string `json:"id"`
}

// smsAnswer is what the SMS sink answers. A refusal echoes number and text, as real gateways do, so that tests see whether
// they are kept out of records.
type smsAnswer struct {
	Status string `json:"status"`
	ID     string `json:"id,omitempty"`
	To     string `json:"to,omitempty"`
	Text   string `json:"text,omitempty"`
}

func (m *Mailbox) serveSMS(w http.ResponseWriter, r *http.Request) {
	// A page in a browser cannot send this media type to another origin without asking first.
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		writeProblem(w, http.StatusUnsupportedMediaType, "the body must be application/json")
		return
	}
	var request smsRequest
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, m.opts.MaxSize))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			writeProblem(w, http.StatusRequestEntityTooLarge, "the body is too large")
			return
		}
		writeProblem(w, http.StatusBadRequest, "the body must be one JSON object with to, text and id")
		return
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) || request.To == "" || request.Text == "" {
		writeProblem(w, http.StatusBadRequest, "the body must be one JSON object with to, text and id")
		return
	}
	if status := m.nextFailure(SMS); status != 0 {
		writeJSON(w, status, smsAnswer{Status: "rejected", ID: request.ID, To: request.To, Text: request.Text})
		return
	}
	seq := m.add(Message{Kind: SMS, To: request.To, Text: request.Text, ID: request.ID})
	if request.ID == "" {
		request.ID = "sms-" + strconv.FormatInt(seq, 10)
	}
	writeJSON(w, http.StatusAccepted, smsAnswer{Status: "accepted", ID: request.ID})
}

func (m *Mailbox) serveMessages(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	kind := Kind(query.Get("kind"))
	if kind != "" && kind != Email && kind != SMS {
		writeProblem(w, http.StatusBadRequest, "kind must be email or sms")
		return
	}
	var after int64
	if value := query.Get("after"); value != "" {
		var err error
		if after, err = strconv.ParseInt(value, 10, 64); err != nil {
			writeProblem(w, http.StatusBadRequest, "after must be a number")
			return
		}
	}
	to := query.Get("to")
	found := []Message{}
	for _, message := range m.Messages() {
		if message.Seq > after && (kind == "" || message.Kind == kind) && (to == "" || message.To == to) {
			found = append(found, message)
		}
	}
	writeJSON(w, http.StatusOK, found)
}

func (m *Mailbox) serveHTMLPart(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.ParseInt(r.PathValue("seq"), 10, 64)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	for _, message := range m.Messages() {
		if message.Seq == seq && message.HTML != "" {
			w.Header().Set("Content-Security-Policy", htmlPartPolicy)
			write(w, http.StatusOK, "text/html; charset=utf-8", []byte(message.HTML))
			return
		}
	}
	http.NotFound(w, r)
}

func (m *Mailbox) servePage(w http.ResponseWriter, _ *http.Request) {
	messages := m.Messages()
	slices.Reverse(messages)
	shown := make([]shownMessage, 0, len(messages))
	for _, message := range messages {
		shown = append(shown, shownMessage{Message: message, Segments: splitLinks(message.Text)})
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, pageData{Style: pageStyle, Messages: shown}); err != nil {
		writeProblem(w, http.StatusInternalServerError, "the page cannot be shown")
		return
	}
	write(w, http.StatusOK, "text/html; charset=utf-8", page.Bytes())
}

// segment is a piece of text; URL is set when the piece is a link.
type segment struct{ Text, URL string }

type shownMessage struct {
	Message
	Segments []segment
}

type pageData struct {
	Style    template.CSS
	Messages []shownMessage
}

var linkPattern = regexp.MustCompile(`https?://[^\s<>"]+`)

// splitLinks cuts a text into links and what is between. Punctuation that ends a sentence is no part of a link.
func splitLinks(text string) []segment {
	var segments []segment
	rest := 0
	for _, found := range linkPattern.FindAllStringIndex(text, -1) {
		link := strings.TrimRight(text[found[0]:found[1]], ".,;:!?)]}'")
		if found[0] > rest {
			segments = append(segments, segment{Text: text[rest:found[0]]})
		}
		segments = append(segments, segment{Text: link, URL: link})
		rest = found[0] + len(link)
	}
	if rest < len(text) {
		segments = append(segments, segment{Text: text[rest:]})
	}
	return segments
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	writeJSON(w, status, map[string]string{"status": "error", "detail": detail})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"status":"error"}`)
	}
	write(w, status, "application/json", body)
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	// A failed write means that the reader has gone.
	_, _ = w.Write(body)
}

var (
	// pagePolicy allows the one style sheet of the page, by its hash, and nothing else.
	pagePolicy = "default-src 'none'; style-src 'sha256-" + styleHash() + "'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// htmlPartPolicy shows foreign HTML without scripts, forms, remote content or an origin; links open in new tabs.
	htmlPartPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; " +
		"img-src data:; frame-ancestors 'none'"
)

func styleHash() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}

const pageStyle = `body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:50rem;padding:1rem;color:#1b1b1b;background:#fff}
article{border:1px solid #767676;border-radius:.4rem;padding:.75rem 1rem;margin:1rem 0}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1rem;margin:.5rem 0}dt{color:#4a4a4a}dd{margin:0;overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;background:#f3f3f3;padding:.75rem;margin:.5rem 0}`

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mailbox</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
<h1>Mailbox</h1>
<p>E-mails and SMS that this installation has sent, newest first. Reload the page to see what has arrived since.</p>
{{- range .Messages}}
<article aria-labelledby="m{{.Seq}}">
<h2 id="m{{.Seq}}">{{if eq .Kind "sms"}}SMS{{else}}{{or .Subject "(no subject)"}}{{end}}</h2>
<dl>
<dt>To</dt><dd>{{.To}}</dd>
{{- if .From}}
<dt>From</dt><dd>{{.From}}</dd>
{{- end}}
<dt>Received</dt>
<dd><time datetime="{{.ReceivedAt.Format "2006-01-02T15:04:05Z07:00"}}">{{.ReceivedAt.Format "2006-01-02 15:04:05 MST"}}</time></dd>
</dl>
<pre>{{range .Segments}}{{if .URL -}}
<a href="{{.URL}}" target="_blank" rel="noopener noreferrer">{{.Text}}</a>{{else}}{{.Text}}{{end}}{{end}}</pre>
{{- if .HTML}}
<p><a href="messages/{{.Seq}}/html">Show as HTML<span> (message {{.Seq}})</span></a></p>
{{- end}}
</article>
{{- else}}
<p>No messages yet.</p>
{{- end}}
</main>
</body>
</html>
`))
