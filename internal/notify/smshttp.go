package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

const (
	defaultHTTPTimeout = 15 * time.Second
	// maxResponse is read of a response to apply the success rule to.
	maxResponse = 64 << 10
)

// SMSHTTPConfig is any SMS gateway with an HTTP interface.
//
// URL (after the host), Body and header values are templates (text/template) with the fields .To, .Text and .ID of [Message]
// and the functions json (a quoted JSON string) and query (percent-encoding for a query or form). For example the body
//
//	{"to": {{json .To}}, "text": {{json .Text}}, "reference": {{json .ID}}}
type SMSHTTPConfig struct {
	// Method is POST (the default), PUT or GET.
	Method string
	// URL is https; http only to loopback, or anywhere with AllowPlainHTTP.
	URL            string
	AllowPlainHTTP bool
	Headers        map[string]string
	// ContentType of the body; empty is application/json.
	ContentType string
	Body        string
	// BearerToken, or Username and Password, become the Authorization header.
	BearerToken Secret
	Username    string
	Password    Secret
	Success     SuccessRule
	// Timeout bounds one message from dialling to the end of the answer; 0 is 15 seconds.
	Timeout time.Duration
	// CAFile holds PEM roots to be trusted instead of the system's.
	CAFile string
}

// SuccessRule says when an answer means that the gateway took the message: the status is listed, and every further condition
// that is set holds.
type SuccessRule struct {
	// Statuses are 2xx statuses and ranges such as "202" or "200-204"; empty is 200-299.
	Statuses []string
	// JSONPath leads to a value of a JSON answer, names and array indices with dots between ("messages.0.status"), which must
	// equal Equals. Numbers and booleans are compared as they are written.
	JSONPath, Equals string
	// BodyPattern is a regular expression (RE2) that must match in the answer.
	BodyPattern string
}

// Validate names every problem, each error beginning with the setting. Templates are tried with a sample message.
func (c SMSHTTPConfig) Validate() []error {
	_, problems := c.build()
	return problems
}

// HTTPSMS sends SMS through an HTTP gateway. It is safe for concurrent use.
type HTTPSMS struct {
	config  SMSHTTPConfig
	url     *template.Template
	body    *template.Template
	headers map[string]*template.Template
	success successRule
	client  *http.Client
}

// NewHTTPSMS makes the driver. The error names every problem of the configuration.
func NewHTTPSMS(config SMSHTTPConfig) (*HTTPSMS, error) {
	driver, problems := config.build()
	if len(problems) > 0 {
		return nil, fmt.Errorf("configure SMS by HTTP: %w", errors.Join(problems...))
	}
	return driver, nil
}

// Close ends idle connections to the gateway. Whoever opened the driver calls it once nothing is sent any more.
func (s *HTTPSMS) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Send implements [SMS]. Network trouble, redirects (none is followed), the statuses 408, 425, 429 and 5xx, and those that speak
// of our account (401, 402, 403, 407), which an operator can mend, are worth repeating. Other 4xx are permanent, and so is a 2xx
// answer that misses the success rule: the gateway has decided, and a repetition could reach the phone twice.
func (s *HTTPSMS) Send(ctx context.Context, message Message) (Receipt, error) {
	if err := checkMessage(message); err != nil {
		return Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	request, err := s.request(ctx, message)
	if err != nil {
		return Receipt{}, &Error{Channel: channelSMS, Step: "compose", Permanent: true, reason: "templates do not make a request"}
	}
	response, err := s.client.Do(request)
	if err != nil {
		return Receipt{}, s.transportError(ctx, message, err)
	}
	defer func() {
		// The answer has been read as far as it is wanted.
		_ = response.Body.Close()
	}()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	answer := s.scrubbed(message, "HTTP "+strconv.Itoa(response.StatusCode)+" "+string(body))
	if s.success.hasStatus(response.StatusCode) {
		if err != nil && s.success.needsBody() {
			failure := s.transportError(ctx, message, err)
			failure.Status, failure.Answer = response.StatusCode, answer
			return Receipt{}, failure
		}
		if s.success.holds(body) {
			return Receipt{Answer: answer}, nil
		}
	}
	failure := &Error{Channel: channelSMS, Step: "answer", Status: response.StatusCode, Answer: answer}
	switch response.StatusCode / 100 {
	case 4:
		failure.Permanent = !slices.Contains(passing4xx, response.StatusCode)
	case 2:
		failure.Permanent, failure.reason = true, "success rule does not hold"
	}
	return Receipt{}, failure
}

// passing4xx are the statuses of this class that do not speak of the message but of the moment or of our account.
var passing4xx = []int{
	http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
	http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusProxyAuthRequired,
}

// transportError describes a failure without an answer. The URL can hold number and text, so the library's wrapping that
// prints it is left out.
func (s *HTTPSMS) transportError(ctx context.Context, message Message, err error) *Error {
	failure := &Error{Channel: channelSMS, Step: "connect", cause: ctx.Err()}
	if failure.cause != nil {
		failure.reason = failure.cause.Error()
		return failure
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	failure.reason = cut(s.scrubbed(message, err.Error()), maxReason)
	return failure
}

func (s *HTTPSMS) scrubbed(message Message, text string) string {
	return scrub(text, message.To, message.Text, string(s.config.BearerToken), string(s.config.Password))
}

func (s *HTTPSMS) request(ctx context.Context, message Message) (*http.Request, error) {
	target, err := rendered(s.url, message)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if s.config.Method != http.MethodGet {
		text, err := rendered(s.body, message)
		if err != nil {
			return nil, err
		}
		body = strings.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, s.config.Method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", s.config.ContentType)
	}
	for name, value := range s.headers {
		text, err := rendered(value, message)
		if err != nil {
			return nil, err
		}
		if hasControl(text) {
			return nil, errors.New("header value has a line break")
		}
		request.Header.Set(name, text)
	}
	switch {
	case s.config.BearerToken != "":
		request.Header.Set("Authorization", "Bearer "+string(s.config.BearerToken))
	case s.config.Username != "":
		request.SetBasicAuth(s.config.Username, string(s.config.Password))
	}
	return request, nil
}

func rendered(text *template.Template, message Message) (string, error) {
	var out strings.Builder
	if err := text.Execute(&out, message); err != nil {
		return "", fmt.Errorf("render: %w", err)
	}
	return out.String(), nil
}

// build makes the driver and collects every problem on the way; the driver is usable only without problems.
func (c SMSHTTPConfig) build() (*HTTPSMS, []error) {
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	parse := func(setting, text string) *template.Template {
		parsed, err := template.New(setting).Option("missingkey=error").Funcs(templateFunctions).Parse(text)
		if err == nil {
			_, err = rendered(parsed, sampleMessage)
		}
		if err != nil {
			report("%s: %w", setting, err)
			return nil
		}
		return parsed
	}

	if c.Method == "" {
		c.Method = http.MethodPost
	}
	if c.ContentType == "" {
		c.ContentType = "application/json"
	}
	if c.Timeout == 0 {
		c.Timeout = defaultHTTPTimeout
	}
	driver := &HTTPSMS{config: c, headers: make(map[string]*template.Template)}
	if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodGet}, c.Method) {
		report("method: must be POST, PUT or GET")
	}
	if driver.url = parse("url", c.URL); driver.url != nil {
		if err := c.checkURL(driver.url); err != nil {
			report("url: %w", err)
		}
	}
	mediaType, _, err := mime.ParseMediaType(c.ContentType)
	if err != nil {
		report("content_type: must be a media type")
	}
	if c.Method == http.MethodGet && c.Body != "" {
		report("body: GET has none")
	}
	if c.Method != http.MethodGet && c.Body == "" {
		report("body: is missing")
	}
	if driver.body = parse("body", c.Body); driver.body != nil && c.Body != "" {
		if err := checkBody(mediaType, driver.body); err != nil {
			report("body: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isLetterOrDigit(r) && r != '-' && r != '_' }) {
			report("headers: a name must be letters, digits and hyphens")
			continue
		}
		if strings.EqualFold(name, "Content-Type") {
			report("headers: set content_type instead of the header")
		}
		if hasControl(c.Headers[name]) {
			report("headers: a value must have no control characters")
		}
		driver.headers[name] = parse("headers."+name, c.Headers[name])
	}
	if c.BearerToken != "" && c.Username != "" {
		report("bearer_token: excludes username and password")
	}
	if c.Username == "" && c.Password != "" {
		report("password: has no username")
	}
	if hasControl(string(c.BearerToken)) {
		report("bearer_token: must have no control characters")
	}
	success, ruleProblems := c.Success.compile()
	driver.success = success
	problems = append(problems, prefixed("success", ruleProblems)...)
	if err := checkTimeout(c.Timeout); err != nil {
		problems = append(problems, err)
	}
	tlsConfig, err := clientTLS("", c.CAFile)
	if err != nil {
		return driver, append(problems, err)
	}
	driver.client = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 10, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		},
		// A redirect could carry number and code to another host, or turn the POST into a GET that succeeds at nothing.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return driver, problems
}

// sampleMessage has every character that a template must escape.
var sampleMessage = Message{To: "+491701234567", Text: "Sample \"text\", 1 + 1 = 2 & <ä>\n100 % \\ #2", ID: "sample-1"}

var templateFunctions = template.FuncMap{
	"json": func(text string) (string, error) {
		quoted, err := json.Marshal(text)
		return string(quoted), err
	},
	"query": url.QueryEscape,
}

// checkURL checks scheme and host, which no message may change, and that the values in the query survive.
func (c SMSHTTPConfig) checkURL(text *template.Template) error {
	fixed, _, templated := strings.Cut(c.URL, "{{")
	base, err := url.Parse(fixed)
	if err != nil || base.Host == "" || base.User != nil || templated && base.Path == "" && base.RawQuery == "" {
		return errors.New("must begin with scheme, host and path, without user name and template actions up to there")
	}
	switch {
	case base.Scheme == "https":
	case base.Scheme == "http" && (c.AllowPlainHTTP || isLoopback(base.Hostname())):
	case base.Scheme == "http":
		return errors.New("must be https, or allow_plain_http be set")
	default:
		return errors.New("must be https")
	}
	target, err := rendered(text, sampleMessage)
	if err != nil {
		return err
	}
	parsed, err := url.Parse(target)
	if err != nil || strings.ContainsAny(target, " \n\"<>") || parsed.Fragment != "" {
		return errors.New("values must be escaped: use {{query .To}} and {{query .Text}}")
	}
	if strings.Contains(c.URL, ".Text") {
		return checkForm(parsed.RawQuery)
	}
	return nil
}

// checkBody checks that the values survive in the body's format, where the format is known.
func checkBody(mediaType string, body *template.Template) error {
	text, err := rendered(body, sampleMessage)
	if err != nil {
		return err
	}
	switch {
	case mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"):
		if !json.Valid([]byte(text)) {
			return errors.New("does not make valid JSON: use {{json .Text}} without quotes around it")
		}
	case mediaType == "application/x-www-form-urlencoded":
		return checkForm(text)
	}
	return nil
}

func checkForm(form string) error {
	values, err := url.ParseQuery(form)
	if err != nil {
		return errors.New("values must be escaped: use {{query .Text}}")
	}
	for _, value := range values {
		if slices.ContainsFunc(value, func(text string) bool { return strings.Contains(text, sampleMessage.Text) }) {
			return nil
		}
	}
	return errors.New("does not carry the text unchanged: use {{query .Text}}")
}

// successRule is a [SuccessRule] ready for use.
type successRule struct {
	statuses []statusRange
	path     []string
	equals   string
	pattern  *regexp.Regexp
}

type statusRange struct{ first, last int }

func (r SuccessRule) compile() (successRule, []error) {
	var problems []error
	rule := successRule{equals: r.Equals, statuses: []statusRange{{200, 299}}}
	if len(r.Statuses) > 0 {
		rule.statuses = nil
	}
	for _, text := range r.Statuses {
		first, last, isRange := strings.Cut(strings.ReplaceAll(text, " ", ""), "-")
		if !isRange {
			last = first
		}
		from, fromErr := strconv.Atoi(first)
		to, toErr := strconv.Atoi(last)
		if fromErr != nil || toErr != nil || from < 200 || to > 299 || from > to {
			problems = append(problems, fmt.Errorf("statuses: %q must be a 2xx status or a range of them", text))
			continue
		}
		rule.statuses = append(rule.statuses, statusRange{from, to})
	}
	switch {
	case r.JSONPath != "":
		rule.path = strings.Split(r.JSONPath, ".")
		if slices.Contains(rule.path, "") {
			problems = append(problems, errors.New("json_path: must be names and indices with dots between"))
		}
	case r.Equals != "":
		problems = append(problems, errors.New("equals: needs json_path"))
	}
	if r.BodyPattern != "" {
		var err error
		if rule.pattern, err = regexp.Compile(r.BodyPattern); err != nil {
			problems = append(problems, fmt.Errorf("body_pattern: %w", err))
		}
	}
	return rule, problems
}

func (r successRule) hasStatus(status int) bool {
	return slices.ContainsFunc(r.statuses, func(s statusRange) bool { return s.first <= status && status <= s.last })
}

func (r successRule) needsBody() bool { return r.path != nil || r.pattern != nil }

func (r successRule) holds(body []byte) bool {
	if r.pattern != nil && !r.pattern.Match(body) {
		return false
	}
	if r.path == nil {
		return true
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return false
	}
	for _, step := range r.path {
		switch container := value.(type) {
		case map[string]any:
			value = container[step]
		case []any:
			index, err := strconv.Atoi(step)
			if err != nil || index < 0 || index >= len(container) {
				return false
			}
			value = container[index]
		default:
			return false
		}
	}
	switch leaf := value.(type) {
	case string:
		return leaf == r.equals
	case json.Number:
		return leaf.String() == r.equals
	case bool:
		return strconv.FormatBool(leaf) == r.equals
	default:
		return false
	}
}
