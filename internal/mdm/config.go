package mdm

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/http/httpguts"

	"github.com/mdocket/mdocket/internal/domain"
)

// Config is one MDM system.
type Config struct {
	// Name is what profiles call it: 1 to 63 of a-z, 0-9, dash and underscore.
	Name string
	// BaseURL is https; http only to loopback, or anywhere with AllowPlainHTTP, which holds for the token endpoint too.
	BaseURL        string
	AllowPlainHTTP bool
	// Path follows BaseURL and may have a query: "/devices/{id}", "/devices?$filter=deviceId eq '{id}'". {id} is replaced by the external mobile
	// id, percent-encoded; within '{id}' single quotes in the id are doubled first, as OData wants them in its literals.
	Path string
	// Headers go with every lookup.
	Headers map[string]Secret
	// At most one of BearerToken, BearerTokenFile and OAuth says how a lookup is authorized. The file is read when a token is first needed, and
	// again after a token was refused.
	BearerToken     Secret
	BearerTokenFile string
	OAuth           *OAuthConfig
	// Timeout bounds one call, Deadline a whole lookup with its tokens and repetitions; 0 is 5 and 15 seconds.
	Timeout, Deadline time.Duration
	// CAFile holds PEM roots that are trusted for BaseURL instead of the machine's.
	CAFile string
	// MaxAnswer is the most bytes of an answer, unpacked; 0 is 1 MiB.
	MaxAnswer int64
	// JSONPath leads to the device in the answer: names and, in lists, numbers of entries from 0, with dots between ("value.0"). Empty is the
	// whole answer. A list that is too short for the path, or empty at its end, and null, mean that the device is not found.
	JSONPath string
	// NotFound are the statuses that mean that the device is not found; empty is 404.
	NotFound []int
}

// OAuthConfig is the client credentials grant of OAuth 2 (RFC 6749 4.4).
type OAuthConfig struct {
	TokenURL string
	ClientID string
	// Exactly one of the two. The file is read for every token.
	ClientSecret     Secret
	ClientSecretFile string
	// Scope is a list with spaces between, and may be empty.
	Scope string
	// AuthMethod is client_secret_basic (the default) or client_secret_post.
	AuthMethod string
	// CAFile holds PEM roots that are trusted for TokenURL instead of the machine's.
	CAFile string
}

// The authentication methods of clients, by their registered names (RFC 7591 2).
const (
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
)

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

const (
	defaultTimeout   = 5 * time.Second
	defaultDeadline  = 15 * time.Second
	maxDeadline      = 2 * time.Minute
	defaultMaxAnswer = 1 << 20
	leastMaxAnswer   = 1 << 10
	mostMaxAnswer    = 16 << 20
	maxTokenAnswer   = 64 << 10
	maxSecretFile    = 64 << 10
)

// Validate names every problem of the systems, each error beginning with the setting ("mdm.devices.base_url: …"). No secret appears in them. Files
// are opened, addresses are not.
func Validate(configs []Config) []error {
	var problems []error
	seen := make(map[string]bool)
	for _, config := range configs {
		if seen[config.Name] && domain.ValidMDMSystem(config.Name) {
			problems = append(problems, fmt.Errorf("mdm.%s: is configured twice", config.Name))
		}
		seen[config.Name] = true
		_, found := config.build()
		problems = append(problems, found...)
	}
	return problems
}

// build makes the system and collects every problem on the way; the system is usable only without problems.
func (c Config) build() (*system, []error) {
	var problems []error
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("mdm."+c.Name+"."+format, args...))
	}
	if !domain.ValidMDMSystem(c.Name) {
		// The name itself stays out: it could be a value in the wrong place.
		return nil, []error{errors.New("mdm: a name must be 1 to 63 of a-z, 0-9, dash and underscore, starting with a letter or digit")}
	}
	made := &system{maxAnswer: c.MaxAnswer, timeout: c.Timeout, deadline: c.Deadline, notFound: c.NotFound, pause: pause}

	if err := checkURL(c.BaseURL, c.AllowPlainHTTP); err != nil {
		report("base_url: %w", err)
	} else if strings.Contains(c.BaseURL, "?") {
		report("base_url: must have no query")
	} else if address, err := parseAddress(c.BaseURL, c.Path); err != nil {
		report("path: %w", err)
	} else {
		made.address = address
	}
	if made.header = c.header(report); c.JSONPath != "" {
		made.path = strings.Split(c.JSONPath, ".")
		if slices.Contains(made.path, "") {
			report("json_path: must be names and numbers of entries with dots between")
		}
	}
	if len(made.notFound) == 0 {
		made.notFound = []int{http.StatusNotFound}
	}
	for _, status := range made.notFound {
		if !canMeanNotFound(status) {
			report("not_found: must be 204 or statuses of 4xx that speak of the device, so not 401, 403, 407, 408, 425 and 429")
			break
		}
	}
	if made.timeout == 0 {
		made.timeout = defaultTimeout
	}
	if made.deadline == 0 {
		made.deadline = max(defaultDeadline, made.timeout)
	}
	if made.timeout < 0 || made.timeout > made.deadline || made.deadline > maxDeadline {
		report("timeout: must be positive and at most deadline, which is at most %s", maxDeadline)
	}
	if made.maxAnswer == 0 {
		made.maxAnswer = defaultMaxAnswer
	}
	if made.maxAnswer < leastMaxAnswer || made.maxAnswer > mostMaxAnswer {
		report("max_answer: must be between %d and %d bytes", leastMaxAnswer, mostMaxAnswer)
	}
	var err error
	if made.client, err = newClient(c.CAFile, made.maxAnswer); err != nil {
		report("ca_file: %w", err)
	}
	made.tokens = c.tokens(report)
	return made, problems
}

// transportHeaders belong to the exchange itself.
var transportHeaders = []string{"Host", "Connection", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Accept-Encoding"}

// header checks and copies the headers.
func (c Config) header(report func(string, ...any)) http.Header {
	header := http.Header{"Accept": {"application/json"}, "User-Agent": {"mdocket"}}
	seen := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			report("headers: a name is not one of a header field")
		case !httpguts.ValidHeaderFieldValue(string(c.Headers[name])):
			report("headers: the value of %s has control characters", name)
		case seen[canonical]:
			report("headers: %s is given twice", canonical)
		case slices.Contains(transportHeaders, canonical):
			report("headers: %s is not yours to set", canonical)
		case canonical == "Authorization" && (c.BearerToken != "" || c.BearerTokenFile != "" || c.OAuth != nil):
			report("headers: Authorization excludes bearer_token, bearer_token_file and oauth")
		}
		seen[canonical] = true
		header.Set(name, string(c.Headers[name]))
	}
	return header
}

// tokens checks how lookups are authorized and gives what makes the tokens, or nil when they have none.
func (c Config) tokens(report func(string, ...any)) *tokens {
	ways := 0
	for _, given := range []bool{c.BearerToken != "", c.BearerTokenFile != "", c.OAuth != nil} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		report("bearer_token: give one of bearer_token, bearer_token_file and oauth")
		return nil
	}
	switch {
	case c.BearerToken != "":
		if !validToken(string(c.BearerToken)) {
			report("bearer_token: must be visible ASCII characters")
		}
		return newTokens(fixedToken(c.BearerToken))
	case c.BearerTokenFile != "":
		if token, err := readSecret(c.BearerTokenFile); err != nil {
			report("bearer_token_file: %w", err)
		} else if !validToken(token) {
			report("bearer_token_file: must hold visible ASCII characters on one line")
		}
		return newTokens(fileToken(c.BearerTokenFile))
	case c.OAuth != nil:
		return c.OAuth.tokens(c.AllowPlainHTTP, report)
	}
	return nil
}

func (o OAuthConfig) tokens(allowPlainHTTP bool, report func(string, ...any)) *tokens {
	if err := checkURL(o.TokenURL, allowPlainHTTP); err != nil {
		report("oauth.token_url: %w", err)
	}
	if o.ClientID == "" {
		report("oauth.client_id: is required")
	}
	if (o.ClientSecret == "") == (o.ClientSecretFile == "") {
		report("oauth.client_secret: give one of client_secret and client_secret_file")
	} else if o.ClientSecretFile != "" {
		if _, err := readSecret(o.ClientSecretFile); err != nil {
			report("oauth.client_secret_file: %w", err)
		}
	}
	if o.AuthMethod != "" && o.AuthMethod != AuthBasic && o.AuthMethod != AuthPost {
		report("oauth.auth_method: must be %s or %s", AuthBasic, AuthPost)
	}
	client, err := newClient(o.CAFile, maxTokenAnswer)
	if err != nil {
		report("oauth.ca_file: %w", err)
		return nil
	}
	made := newTokens(o.grant(client))
	made.client = client
	return made
}

// canMeanNotFound excludes the statuses that speak of the caller or of the moment: taken for "not found" they would let everybody through where
// devices must not be registered.
func canMeanNotFound(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly,
		http.StatusTooManyRequests:
		return false
	case http.StatusNoContent:
		return true
	}
	return status/100 == 4
}

func checkURL(text string, allowPlainHTTP bool) error {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || parsed.User != nil || parsed.Fragment != "" || strings.ContainsAny(text, "{}#") ||
		strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII }) {
		return errors.New("must be a URL with scheme and host, without user name and fragment")
	}
	if parsed.Scheme == "https" || parsed.Scheme == "http" && (allowPlainHTTP || isLoopback(parsed.Hostname())) {
		return nil
	}
	return errors.New("must be https, or allow_plain_http be set")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// readSecret gives the content of a file without the line break at its end. Errors name the file only.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecretFile {
		return "", fmt.Errorf("read: %s is no file of at most %d bytes", path, maxSecretFile)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("read: %s is empty", path)
	}
	return secret, nil
}

// newClient trusts the roots in caFile, when given, instead of the machine's, follows no redirect, which could carry id and token to another host,
// and reads answers of at most so many bytes.
func newClient(caFile string, maxAnswer int64) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("holds no PEM certificate")
		}
	}
	return &http.Client{
		Transport: &wholeAnswers{limit: maxAnswer, next: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost: 10, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
