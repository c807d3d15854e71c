// Package config holds the settings of a process: where it listens, what it connects to, whom it speaks for. They come from a YAML file and from
// the environment and are checked at start, with every problem listed at once. What administrators tune while the server runs is in
// internal/domain (Settings).
package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/mdm"
	"github.com/mdocket/mdocket/internal/notify"
)

// EnvPrefix starts the name of every environment variable that is a setting: MDOCKET_TEMPORAL__ADDRESS is temporal.address.
const EnvPrefix = "MDOCKET_"

// Config is everything a process needs to know at start. The names in the file are the tags.
type Config struct {
	Listen         string        `koanf:"listen"`          // address of the API, host:port
	MetricsListen  string        `koanf:"metrics_listen"`  // address of the metrics of a process with an API; empty = not served
	BaseURL        string        `koanf:"base_url"`        // how the world reaches the API; also the credential issuer identifier
	QRBaseURL      string        `koanf:"qr_base_url"`     // of links in QR codes; empty = base_url
	ServerName     string        `koanf:"server_name"`     // in messages and wallets
	Language       string        `koanf:"language"`        // of messages to people who have none
	Region         string        `koanf:"region"`          // of mobile numbers without a country code, ISO 3166-1
	TrustedProxies []string      `koanf:"trusted_proxies"` // addresses or networks whose X-Forwarded-For counts
	Database       string        `koanf:"database"`        // sqlite:PATH or postgres://…
	Redis          string        `koanf:"redis"`           // redis://… or rediss://…
	SecretFile     string        `koanf:"secret_file"`     // 32 bytes that everything secret is derived from
	KeyDir         string        `koanf:"key_dir"`         // encrypted signing keys
	FormatsDir     string        `koanf:"formats_dir"`     // further document formats; empty = only those shipped
	TemplatesDir   string        `koanf:"templates_dir"`   // message templates laid over those shipped
	KeepSigned     time.Duration `koanf:"keep_signed"`     // how long signed documents wait for a wallet that lost the answer
	Temporal       Temporal      `koanf:"temporal"`
	Authority      Authority     `koanf:"authority"`
	StatusList     StatusList    `koanf:"status_list"`
	Mail           *Mail         `koanf:"mail"`
	SMS            *SMS          `koanf:"sms"`
	// MDM are the mobile device management systems by the names that profiles call them. They are not a list, so that the environment can lay
	// secrets over the file.
	MDM         map[string]MDM `koanf:"mdm"`
	Attestation Attestation    `koanf:"attestation"`
	Log         Log            `koanf:"log"`
	Worker      Worker         `koanf:"worker"`
}

// Temporal is the workflow engine.
type Temporal struct {
	Address   string `koanf:"address"`
	Namespace string `koanf:"namespace"`
}

// Authority is whom the built-in certification authority speaks for.
type Authority struct {
	Country      string `koanf:"country"` // ISO 3166-1 alpha-2
	State        string `koanf:"state"`
	Organization string `koanf:"organization"`
	CommonName   string `koanf:"common_name"`
	Contact      string `koanf:"contact"` // e-mail address or URI
}

// StatusList tunes the status lists.
type StatusList struct {
	TTL      time.Duration `koanf:"ttl"`      // how long verifiers may keep one
	Refresh  time.Duration `koanf:"refresh"`  // how often one is signed at the most
	Capacity uint64        `koanf:"capacity"` // entries of a new one
	Decoys   uint64        `koanf:"decoys"`   // of 1000 entries of a new one, how many are taken by no document at the most
}

// Mail is the SMTP server.
type Mail struct {
	Host     string        `koanf:"host"`
	Port     int           `koanf:"port"`
	TLS      string        `koanf:"tls"` // starttls (default), tls or none
	Username string        `koanf:"username"`
	Password string        `koanf:"password"`
	From     string        `koanf:"from"`
	FromName string        `koanf:"from_name"`
	Timeout  time.Duration `koanf:"timeout"`
	CAFile   string        `koanf:"ca_file"`
	HELO     string        `koanf:"helo"`
}

// SMS is the SMS gateway: exactly one of its members.
type SMS struct {
	Email *SMSEmail `koanf:"email"`
	HTTP  *SMSHTTP  `koanf:"http"`
}

// SMSEmail is an e-mail-to-SMS gateway.
type SMSEmail struct {
	Gateway string `koanf:"gateway"`
	Format  string `koanf:"format"`
	Subject string `koanf:"subject"`
}

// SMSHTTP is an HTTP gateway.
type SMSHTTP struct {
	Method         string            `koanf:"method"`
	URL            string            `koanf:"url"`
	AllowPlainHTTP bool              `koanf:"allow_plain_http"`
	Headers        map[string]string `koanf:"headers"`
	ContentType    string            `koanf:"content_type"`
	Body           string            `koanf:"body"`
	BearerToken    string            `koanf:"bearer_token"`
	Username       string            `koanf:"username"`
	Password       string            `koanf:"password"`
	Statuses       []string          `koanf:"statuses"`
	JSONPath       string            `koanf:"json_path"`
	Equals         string            `koanf:"equals"`
	BodyPattern    string            `koanf:"body_pattern"`
	Timeout        time.Duration     `koanf:"timeout"`
	CAFile         string            `koanf:"ca_file"`
}

// MDM is one mobile device management system.
type MDM struct {
	BaseURL         string            `koanf:"base_url"`
	AllowPlainHTTP  bool              `koanf:"allow_plain_http"`
	Path            string            `koanf:"path"` // with {id} in it
	Headers         map[string]string `koanf:"headers"`
	BearerToken     string            `koanf:"bearer_token"`
	BearerTokenFile string            `koanf:"bearer_token_file"`
	OAuth           *MDMOAuth         `koanf:"oauth"`
	Timeout         time.Duration     `koanf:"timeout"`  // of one call
	Deadline        time.Duration     `koanf:"deadline"` // of a lookup with its repetitions
	CAFile          string            `koanf:"ca_file"`
	MaxAnswer       int64             `koanf:"max_answer"` // bytes
	JSONPath        string            `koanf:"json_path"`
	NotFound        []string          `koanf:"not_found"` // statuses
}

// MDMOAuth gets the tokens for an MDM by the client credentials grant.
type MDMOAuth struct {
	TokenURL         string `koanf:"token_url"`
	ClientID         string `koanf:"client_id"`
	ClientSecret     string `koanf:"client_secret"`
	ClientSecretFile string `koanf:"client_secret_file"`
	Scope            string `koanf:"scope"`
	AuthMethod       string `koanf:"auth_method"`
	CAFile           string `koanf:"ca_file"`
}

// Log is how much is logged, and how.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // json or text
}

// Worker bounds what a worker process does at once.
type Worker struct {
	Listen  string `koanf:"listen"`  // address of its health and metrics; empty = none
	Signing int    `koanf:"signing"` // signatures at once; 0 = twice the processors
}

// Defaults are the settings before file and environment.
func Defaults() Config {
	return Config{
		Listen: "127.0.0.1:8080", ServerName: "mdocket", Language: "en", Region: "US", KeepSigned: 72 * time.Hour,
		Temporal:    Temporal{Address: "127.0.0.1:7233", Namespace: "default"},
		StatusList:  StatusList{TTL: 45 * time.Second, Refresh: 15 * time.Second, Capacity: 1 << 20, Decoys: 10},
		Attestation: Attestation{KeyStorage: string(domain.PotentialHigh), UserAuthentication: string(domain.PotentialHigh)},
		Log:         Log{Level: "info", Format: "json"},
	}
}

// Load reads the file, if path is not empty, lays the environment over it and checks the result. The error names every problem.
func Load(path string) (Config, error) {
	k := koanf.New(".")
	if path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return Config{}, fmt.Errorf("read configuration file: %w", err)
		}
	}
	if err := k.Load(env.Provider(".", env.Opt{Prefix: EnvPrefix, TransformFunc: fromEnv}), nil); err != nil {
		return Config{}, fmt.Errorf("read environment: %w", err)
	}
	c := Defaults()
	err := k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: &c, TagName: "koanf", WeaklyTypedInput: true, ErrorUnused: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(",")),
	}})
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c.BaseURL, c.QRBaseURL = strings.TrimRight(c.BaseURL, "/"), strings.TrimRight(c.QRBaseURL, "/")
	if problems := c.Validate(); len(problems) > 0 {
		return Config{}, fmt.Errorf("check configuration: %w", errors.Join(problems...))
	}
	return c, nil
}

// notSettings are variables with the prefix that mean something else: they steer tests and tools.
var notSettings = regexp.MustCompile(`^(TEST_|FAILPOINT|VECTORS|PASSWORD$|TOKEN$|URL$)`)

func fromEnv(name, value string) (string, any) {
	name = strings.TrimPrefix(name, EnvPrefix)
	if notSettings.MatchString(name) {
		return "", nil
	}
	return strings.ReplaceAll(strings.ToLower(name), "__", "."), value
}

var countryCode = regexp.MustCompile(`^[A-Z]{2}$`)

// Validate names every problem.
func (c Config) Validate() []error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	required := func(name, value string) {
		if value == "" {
			add("%s: is required", name)
		}
	}
	required("listen", c.Listen)
	if c.MetricsListen != "" && c.MetricsListen == c.Listen {
		add("metrics_listen: must be another address than that of the API")
	}
	required("server_name", c.ServerName)
	required("database", c.Database)
	required("redis", c.Redis)
	required("secret_file", c.SecretFile)
	required("key_dir", c.KeyDir)
	required("temporal.address", c.Temporal.Address)
	required("temporal.namespace", c.Temporal.Namespace)
	required("authority.common_name", c.Authority.CommonName)
	required("authority.contact", c.Authority.Contact)
	if !countryCode.MatchString(c.Authority.Country) {
		add("authority.country: must be two capital letters (ISO 3166-1)")
	}
	if !countryCode.MatchString(c.Region) {
		add("region: must be two capital letters (ISO 3166-1)")
	}
	if !isBase(c.BaseURL) {
		add("base_url: must be an https URL without query; http only to a loopback host")
	}
	if c.QRBaseURL != "" && !isBase(c.QRBaseURL) {
		add("qr_base_url: must be an https URL without query; http only to a loopback host")
	}
	for _, dir := range []struct{ name, path string }{{"formats_dir", c.FormatsDir}, {"templates_dir", c.TemplatesDir}} {
		if dir.path == "" {
			continue
		}
		if info, err := os.Stat(dir.path); err != nil || !info.IsDir() {
			add("%s: is not a folder", dir.name)
		}
	}
	if c.StatusList.TTL < time.Second || c.StatusList.Refresh < 0 || c.StatusList.Refresh > c.StatusList.TTL {
		add("status_list: ttl must be at least 1s, and refresh between 0s and ttl")
	}
	if n := c.StatusList.Capacity; n < 1<<10 || n > 1<<26 {
		add("status_list.capacity: must be between 1024 and 67108864")
	}
	if c.StatusList.Decoys > 100 {
		add("status_list.decoys: must be between 0 and 100 (of 1000)")
	}
	if c.KeepSigned < time.Minute {
		add("keep_signed: must be at least 1m")
	}
	problems = append(problems, c.Attestation.validate()...)
	problems = append(problems, c.Notify().Validate()...)
	return append(problems, mdm.Validate(c.MDMSystems())...)
}

func isBase(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return false
	}
	host := u.Hostname()
	loopback := host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
	return u.Scheme == "https" || (u.Scheme == "http" && loopback)
}

// Notify gives the settings of the channels in the form internal/notify has them.
func (c Config) Notify() notify.Config {
	var out notify.Config
	if m := c.Mail; m != nil {
		out.Mail = &notify.MailConfig{Host: m.Host, Port: m.Port, TLS: notify.TLSMode(m.TLS), Username: m.Username,
			Password: notify.Secret(m.Password), From: m.From, FromName: m.FromName, Timeout: m.Timeout, CAFile: m.CAFile, HELO: m.HELO}
	}
	if s := c.SMS; s != nil {
		out.SMS = &notify.SMSConfig{}
		if e := s.Email; e != nil {
			out.SMS.Email = &notify.SMSEmailConfig{Gateway: e.Gateway, Format: notify.NumberFormat(e.Format), Subject: e.Subject}
		}
		if h := s.HTTP; h != nil {
			out.SMS.HTTP = &notify.SMSHTTPConfig{Method: h.Method, URL: h.URL, AllowPlainHTTP: h.AllowPlainHTTP, Headers: h.Headers,
				ContentType: h.ContentType, Body: h.Body, BearerToken: notify.Secret(h.BearerToken), Username: h.Username,
				Password: notify.Secret(h.Password), Success: notify.SuccessRule{Statuses: h.Statuses, JSONPath: h.JSONPath, Equals: h.Equals,
					BodyPattern: h.BodyPattern}, Timeout: h.Timeout, CAFile: h.CAFile}
		}
	}
	return out
}

// MDMSystems gives the settings of the mobile device management systems in the form internal/mdm has them, in the order of their names.
func (c Config) MDMSystems() []mdm.Config {
	systems := make([]mdm.Config, 0, len(c.MDM))
	for _, name := range slices.Sorted(maps.Keys(c.MDM)) {
		m := c.MDM[name]
		system := mdm.Config{Name: name, BaseURL: m.BaseURL, AllowPlainHTTP: m.AllowPlainHTTP, Path: m.Path,
			Headers: make(map[string]mdm.Secret, len(m.Headers)), BearerToken: mdm.Secret(m.BearerToken), BearerTokenFile: m.BearerTokenFile,
			Timeout: m.Timeout, Deadline: m.Deadline, CAFile: m.CAFile, MaxAnswer: m.MaxAnswer, JSONPath: m.JSONPath}
		for header, value := range m.Headers {
			system.Headers[header] = mdm.Secret(value)
		}
		for _, text := range m.NotFound {
			status, err := strconv.Atoi(text)
			if err != nil {
				status = 0 // which no status is, so that the check finds it
			}
			system.NotFound = append(system.NotFound, status)
		}
		if o := m.OAuth; o != nil {
			system.OAuth = &mdm.OAuthConfig{TokenURL: o.TokenURL, ClientID: o.ClientID, ClientSecret: mdm.Secret(o.ClientSecret),
				ClientSecretFile: o.ClientSecretFile, Scope: o.Scope, AuthMethod: o.AuthMethod, CAFile: o.CAFile}
		}
		systems = append(systems, system)
	}
	return systems
}
