// Package server puts the parts of one process together from its configuration: what `mdocket api`, `mdocket worker` and the standalone server have
// in common. It makes no decisions of its own.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/activities"
	"github.com/mdocket/mdocket/api"
	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/engine"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/mdm"
	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/telemetry"
	"github.com/mdocket/mdocket/worker"
)

// Server is one process's parts, connected.
type Server struct {
	Issuer  *issuer.Issuer
	Access  *access.Authenticator
	Store   *store.Store
	Engine  *engine.Engine
	Metrics *telemetry.Metrics
	Log     *slog.Logger

	cfg    config.Config
	cache  *cache.Cache
	closes []func() error
}

// TuneCollector lets the garbage collector run less often than Go's default, unless GOGC says otherwise: a server's heap is small, and what a
// collection costs, mostly looking through the program's own tables, is the same however little there is to free.
func TuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// Open connects to everything but the workflow engine, which may come later, and makes sure that the authority's keys and certificates exist. The
// database must have the schema this program needs.
func Open(ctx context.Context, cfg config.Config, log *slog.Logger) (_ *Server, err error) {
	TuneCollector()
	s := &Server{cfg: cfg, Log: log, Metrics: telemetry.NewMetrics()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	secret, err := keys.LoadSecret(cfg.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("load secret: %w", err)
	}
	keyStore, err := keys.NewFileStore(cfg.KeyDir, secret.Derive("key encryption"))
	if err != nil {
		return nil, fmt.Errorf("open key store: %w", err)
	}
	if s.Store, err = store.Open(ctx, cfg.Database); err != nil {
		return nil, err
	}
	s.closes = append(s.closes, s.Store.Close)
	if err := s.Store.CheckSchema(ctx); err != nil {
		return nil, err
	}
	if s.cache, err = cache.Open(ctx, cfg.Redis); err != nil {
		return nil, err
	}
	s.closes = append(s.closes, s.cache.Close)
	s.Engine, err = engine.NewLazy(engine.Options{HostPort: cfg.Temporal.Address, Namespace: cfg.Temporal.Namespace,
		PayloadKeys: [][]byte{secret.Derive("temporal payloads")}, Logger: log})
	if err != nil {
		return nil, err
	}
	s.closes = append(s.closes, func() error { s.Engine.Close(); return nil })
	deps := issuer.Deps{Store: s.Store, Engine: s.Engine, Cache: s.cache, Keys: keyStore, Secret: secret, Metrics: s.Metrics, Log: log,
		Now: time.Now, Rand: rand.Reader}
	if err := s.channels(&deps); err != nil {
		return nil, err
	}
	devices, err := mdm.New(cfg.MDMSystems())
	if err != nil {
		return nil, err
	}
	s.closes = append(s.closes, devices.Close)
	deps.MDM = devices
	if deps.Attestors.Certificates, err = cfg.Attestation.Roots(); err != nil {
		return nil, fmt.Errorf("load attestation certificates: %w", err)
	}
	deps.Attestors.Most = cfg.Attestation.Most()
	if deps.Formats, err = format.Load(cfg.FormatsDir); err != nil {
		return nil, fmt.Errorf("load document formats: %w", err)
	}
	s.Issuer = issuer.New(issuer.Config{
		BaseURL: cfg.BaseURL, QRBaseURL: cfg.QRBaseURL, ServerName: cfg.ServerName, Language: cfg.Language, DefaultRegion: cfg.Region,
		Authority: issuer.AuthorityConfig{Country: cfg.Authority.Country, State: cfg.Authority.State, Organization: cfg.Authority.Organization,
			CommonName: cfg.Authority.CommonName, Contact: cfg.Authority.Contact, CRLURL: cfg.BaseURL + "/pki/iaca.crl"},
		StatusTTL: cfg.StatusList.TTL, StatusRefresh: cfg.StatusList.Refresh, StatusEntries: cfg.StatusList.Capacity, StatusDecoys: cfg.StatusList.Decoys,
		KeepSigned: cfg.KeepSigned,
	}, deps)
	if err := s.Issuer.EnsureAuthority(ctx); err != nil {
		return nil, fmt.Errorf("prepare authority: %w", err)
	}
	if err := s.Issuer.WarnOfUnmetDemands(ctx); err != nil {
		return nil, err
	}
	s.Access = access.New(s.Store, s.cache, time.Now)
	return s, nil
}

// channels sets up e-mail, SMS and the templates.
func (s *Server) channels(deps *issuer.Deps) error {
	n := s.cfg.Notify()
	var mailer *notify.Mailer
	var err error
	if n.Mail != nil {
		if mailer, err = notify.NewMailer(*n.Mail); err != nil {
			return fmt.Errorf("set up e-mail: %w", err)
		}
		deps.Mailer = mailer
	}
	if n.SMS != nil {
		if deps.SMS, err = notify.NewSMS(*n.SMS, mailer); err != nil {
			return fmt.Errorf("set up SMS: %w", err)
		}
		if driver, ok := deps.SMS.(io.Closer); ok {
			s.closes = append(s.closes, driver.Close)
		}
	}
	if s.cfg.TemplatesDir == "" {
		deps.Templates, err = notify.LoadTemplates(nil)
	} else {
		deps.Templates, err = notify.LoadTemplates(os.DirFS(s.cfg.TemplatesDir))
	}
	if err != nil {
		return fmt.Errorf("load message templates: %w", err)
	}
	return nil
}

// Close releases the connections, last opened first.
func (s *Server) Close() error {
	var errs []error
	for i := len(s.closes) - 1; i >= 0; i-- {
		errs = append(errs, s.closes[i]())
	}
	s.closes = nil
	return errors.Join(errs...)
}

// Ready says whether the process can serve: database and cache answer. The engine may be down: requests are accepted all the same.
func (s *Server) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Store.Ping(ctx) })
	g.Go(func() error { return s.cache.Ping(ctx) })
	return g.Wait()
}

// Workers gives the workers of this process.
func (s *Server) Workers() *worker.Workers {
	acts := worker.Activities{Issuance: activities.NewIssuance(s.Issuer, s.Engine.StartIssuance, s.Log),
		Cancellation: activities.NewCancellation(s.Issuer, s.Log), Batch: activities.NewBatch(s.Issuer, s.Log), Notices: activities.NewNotices(s.Issuer, s.Log),
		Expiry: activities.NewExpiry(s.Issuer, s.Log)}
	return worker.New(s.Engine, acts, s.Log, worker.Options{Signatures: s.cfg.Worker.Signing})
}

// Handler gives the API.
func (s *Server) Handler() (http.Handler, error) {
	return api.New(api.Deps{Issuer: s.Issuer, Access: s.Access, Metrics: s.Metrics, Log: s.Log, Ready: s.Ready, Now: time.Now,
		Config: api.Config{BaseURL: s.cfg.BaseURL, ServerName: s.cfg.ServerName,
			TrustedProxies: s.cfg.TrustedProxies}})
}

// Monitoring gives the metrics of a process with an API, for a listener that the public does not reach.
func (s *Server) Monitoring() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.Metrics.Handler())
	return mux
}

// Operations gives health, readiness and metrics of a process without an API.
func (s *Server) Operations() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := errors.Join(s.Ready(r.Context()), s.Engine.Ping(r.Context())); err != nil {
			s.Log.WarnContext(r.Context(), "worker is not ready", "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("GET /metrics", s.Metrics.Handler())
	return mux
}

// bodyTimeout bounds reading a call and writing its answer. An import of people, which may take longer, moves it on while it proceeds.
const bodyTimeout = 2 * time.Minute

// Serve answers HTTP on the listener until the context ends, then lets running calls finish.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: bodyTimeout, WriteTimeout: bodyTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) }}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}
