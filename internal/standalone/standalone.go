package standalone

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/server"
	"github.com/mdocket/mdocket/internal/standalone/devserver"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/internal/store"
)

// AdminName is the name of the first administrator.
const AdminName = "admin"

// Options of a standalone server.
type Options struct {
	DataDir      string
	BinDir       string // where the Temporal CLI may be; else PATH
	Listen       string // of the API, host:port; port 0 picks a free one
	BaseURL      string // how others reach the API; empty = http:// and the listening address
	MailboxAddr  string // of the mailbox page; port 0 picks a free one
	TemporalUI   int    // port of the Temporal web UI; 0 = none
	TemporalAddr string // of an engine that runs already; empty = a child process
	Database     string // as the server's setting; empty = an SQLite file in DataDir
	Log          *slog.Logger
	Progress     func(text string) // says what is being done; may be nil
	// Configure changes the embedded settings before they are checked; may be nil.
	Configure func(cfg *config.Config)
}

// Standalone is a running server with everything it needs.
type Standalone struct {
	*server.Server
	URL           string // of the API
	MailboxURL    string
	TemporalURL   string // of the web UI; empty = none
	AdminPassword string // only set at the first start
	Config        config.Config
	Mailbox       *mailbox.Mailbox

	temporal *devserver.Server
	stop     context.CancelFunc
	running  sync.WaitGroup
	closes   []func() error
	mu       sync.Mutex
	failure  error
}

// Start brings up Temporal, Redis, the mailbox, the database, the API and the workers, in one process beside the Temporal child. Data in DataDir is
// kept between starts.
func Start(ctx context.Context, o Options) (_ *Standalone, err error) {
	say := o.Progress
	if say == nil {
		say = func(string) {}
	}
	if o.TemporalUI < 0 || o.TemporalUI > 65535 {
		return nil, errors.New("the port of the Temporal UI must be 0 to 65535")
	}
	s := &Standalone{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	cfg, listener, err := s.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	say("starting the workflow engine (Temporal)")
	if err := s.startTemporal(ctx, o); err != nil {
		return nil, err
	}
	cfg.Temporal.Address = o.TemporalAddr
	if s.temporal != nil {
		cfg.Temporal.Address = s.temporal.HostPort()
	}
	say("preparing keys and certificates")
	if s.Server, err = server.Open(ctx, cfg, o.Log); err != nil {
		return nil, err
	}
	s.closes = append(s.closes, s.Server.Close)
	s.Config = cfg
	if err := s.bootstrap(ctx); err != nil {
		return nil, err
	}
	handler, err := s.Handler()
	if err != nil {
		return nil, err
	}
	say("starting the API and the workers")
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	workers := s.Workers()
	s.running.Go(func() { workers.Run(running) })
	s.running.Go(func() { s.note(server.Serve(running, listener, handler)) })
	select {
	case <-workers.Ready():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s, nil
}

// prepare readies everything that needs no engine: listener, Redis, mailbox, secret and database.
func (s *Standalone) prepare(ctx context.Context, o Options) (config.Config, net.Listener, error) {
	cfg := config.Defaults()
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return cfg, nil, fmt.Errorf("listen for the API: %w", err)
	}
	s.closes = append(s.closes, ignoreClosed(listener.Close))
	redis, err := StartRedis()
	if err != nil {
		return cfg, nil, err
	}
	s.closes = append(s.closes, func() error { redis.Close(); return nil })
	if err := s.startMailbox(o.MailboxAddr); err != nil {
		return cfg, nil, err
	}
	s.URL = strings.TrimRight(o.BaseURL, "/")
	if s.URL == "" {
		s.URL = "http://" + loopbackAddr(listener)
	}
	if err := s.settings(&cfg, o, redis.URL()); err != nil {
		return cfg, nil, err
	}
	if problems := cfg.Validate(); len(problems) > 0 {
		return cfg, nil, fmt.Errorf("check settings: %w", errors.Join(problems...))
	}
	if err := os.MkdirAll(cfg.KeyDir, 0o700); err != nil {
		return cfg, nil, fmt.Errorf("make key folder: %w", err)
	}
	if _, err := keys.CreateSecret(cfg.SecretFile, rand.Reader); err != nil && !errors.Is(err, keys.ErrExists) && !errors.Is(err, fs.ErrExist) {
		return cfg, nil, fmt.Errorf("make secret: %w", err)
	}
	db, err := store.Open(ctx, cfg.Database)
	if err != nil {
		return cfg, nil, err
	}
	_, err = db.Migrate(ctx)
	return cfg, listener, errors.Join(err, db.Close())
}

// settings are the embedded defaults: a private authority that no verifier trusts by itself.
func (s *Standalone) settings(cfg *config.Config, o Options, redisURL string) error {
	host, port, err := net.SplitHostPort(s.Mailbox.SMTPAddr())
	if err != nil {
		return fmt.Errorf("read mailbox address: %w", err)
	}
	smtpPort, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("read mailbox address: %w", err)
	}
	cfg.BaseURL, cfg.ServerName = s.URL, "mdocket standalone"
	cfg.Redis = redisURL
	if cfg.Database = o.Database; cfg.Database == "" {
		cfg.Database = "sqlite:" + filepath.Join(o.DataDir, "mdocket.db")
	}
	cfg.SecretFile = filepath.Join(o.DataDir, "secret.key")
	cfg.KeyDir = filepath.Join(o.DataDir, "keys")
	cfg.Authority = config.Authority{Country: "UT", Organization: "mdocket standalone", CommonName: "mdocket standalone IACA",
		Contact: "https://mdocket.example"}
	cfg.StatusList.Refresh = time.Second
	cfg.Mail = &config.Mail{Host: host, Port: smtpPort, TLS: "none", From: "no-reply@mdocket.example", FromName: "mdocket", HELO: "localhost"}
	cfg.SMS = &config.SMS{HTTP: &config.SMSHTTP{Method: http.MethodPost, URL: s.MailboxURL + "/sms",
		Body: `{"to": {{json .To}}, "text": {{json .Text}}, "id": {{json .ID}}}`, JSONPath: "status", Equals: "accepted"}}
	// An operator's own files, where there are any.
	for folder, setting := range map[string]*string{"formats": &cfg.FormatsDir, "templates": &cfg.TemplatesDir,
		"attestation": &cfg.Attestation.RootsDir} {
		dir := filepath.Join(o.DataDir, folder)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			*setting = dir
		}
	}
	if o.Configure != nil {
		o.Configure(cfg)
	}
	return nil
}

func (s *Standalone) startTemporal(ctx context.Context, o Options) error {
	if o.TemporalAddr != "" {
		return nil
	}
	cli, err := devserver.FindCLI(o.BinDir)
	if err != nil {
		return err
	}
	s.temporal, err = devserver.Start(ctx, devserver.Options{CLI: cli, DBFile: filepath.Join(o.DataDir, "temporal.db"), UIPort: o.TemporalUI,
		LogFile: filepath.Join(o.DataDir, "temporal.log"), Logger: o.Log})
	if err != nil {
		return err
	}
	if o.TemporalUI != 0 {
		s.TemporalURL = "http://127.0.0.1:" + strconv.Itoa(o.TemporalUI)
	}
	return nil
}

func (s *Standalone) startMailbox(addr string) error {
	s.Mailbox = mailbox.New(mailbox.Options{})
	if err := s.Mailbox.Start(); err != nil {
		return err
	}
	s.closes = append(s.closes, s.Mailbox.Close)
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the mailbox: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener, s.Mailbox.Handler()) }()
	s.closes = append(s.closes, func() error { stop(); return <-done })
	s.MailboxURL = "http://" + loopbackAddr(listener)
	return nil
}

// bootstrap makes the first administrator with a random password.
func (s *Standalone) bootstrap(ctx context.Context) error {
	b := make([]byte, 15)
	if _, err := rand.Read(b); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	password := strings.ToLower(base32.StdEncoding.EncodeToString(b))
	made, err := s.Issuer.Bootstrap(ctx, AdminName, password)
	if err != nil {
		return fmt.Errorf("make administrator: %w", err)
	}
	if made {
		s.AdminPassword = password
	}
	return nil
}

func (s *Standalone) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = errors.Join(s.failure, err)
}

// Close stops everything in order and returns when the last process is gone.
func (s *Standalone) Close() error {
	if s.stop != nil {
		s.stop()
		s.running.Wait()
	}
	s.mu.Lock()
	errs := []error{s.failure}
	s.mu.Unlock()
	for i := len(s.closes) - 1; i >= 0; i-- {
		errs = append(errs, s.closes[i]())
	}
	s.closes = nil
	if s.temporal != nil {
		errs = append(errs, s.temporal.Stop())
		s.temporal = nil
	}
	return errors.Join(errs...)
}

// loopbackAddr is the address by which this machine reaches a listener.
func loopbackAddr(l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return l.Addr().String()
	}
	return net.JoinHostPort("127.0.0.1", port)
}

func ignoreClosed(f func() error) func() error {
	return func() error {
		if err := f(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}
