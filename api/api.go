// Package api is everything mdocket serves over HTTP: the operators' API under /v1, the endpoints of wallets, the public pages, and what machines ask
// of a server (health, the OpenAPI document). It holds the router and what every call goes through; the endpoints are in the
// folders below, one for each audience. It decides nothing: acts are in internal/issuer, callers are recognised in internal/access.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/api/operator"
	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/api/public"
	"github.com/mdocket/mdocket/api/wallet"
	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/telemetry"
)

// Config is what an operator of the server decides about HTTP. Its zero value but for BaseURL is usable.
type Config struct {
	BaseURL        string   // public, without a trailing slash; also the credential issuer identifier
	ServerName     string   // shown on pages and in wallets
	TrustedProxies []string // addresses or networks whose X-Forwarded-For is believed; empty = none
	MaxBody        int64    // bytes of a request body; 0 = 2 MiB. Some endpoints take less.
	MaxImport      int64    // bytes of an import, which is read as a stream; 0 = 4 GiB
}

const (
	defaultMaxBody   = 2 << 20
	defaultMaxImport = 4 << 30
	readyTimeout     = 5 * time.Second
)

// Deps are the parts the API works with. All are needed.
type Deps struct {
	Issuer  *issuer.Issuer
	Access  *access.Authenticator
	Metrics *telemetry.Metrics
	Log     *slog.Logger
	Ready   func(ctx context.Context) error // whether everything the server needs answers
	Now     func() time.Time
	Config  Config
}

// New makes the handler of the whole server.
func New(d Deps) (http.Handler, error) {
	if d.Config.MaxBody == 0 {
		d.Config.MaxBody = defaultMaxBody
	}
	if d.Config.MaxImport == 0 {
		d.Config.MaxImport = defaultMaxImport
	}
	r, err := d.router()
	if err != nil {
		return nil, err
	}
	document := mountJSON(r, operator.Deps{Issuer: d.Issuer, Access: d.Access, Log: d.Log})
	wallet.Register(r, wallet.Deps{Issuer: d.Issuer, BaseURL: d.Config.BaseURL, ServerName: d.Config.ServerName, Log: d.Log, Now: d.Now})
	public.Register(r, public.Deps{Issuer: d.Issuer, BaseURL: d.Config.BaseURL, ServerName: d.Config.ServerName,
		Log: d.Log})
	if err := mountDocument(r, document); err != nil {
		return nil, err
	}
	d.mountMachines(r)
	return r, nil
}

// releaseMode keeps Gin from writing to standard output. Gin has one mode for the whole process.
var releaseMode = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) })

// router makes the router with what every call goes through.
func (d Deps) router() (*gin.Engine, error) {
	releaseMode()
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	if err := r.SetTrustedProxies(d.Config.TrustedProxies); err != nil {
		return nil, fmt.Errorf("read trusted proxies: %w", err)
	}
	r.Use(correlate, d.observe, d.recover, plainAddress, securityHeaders(strings.HasPrefix(d.Config.BaseURL, "https://")),
		limitBody(d.Config.MaxBody, map[string]int64{operator.ImportPath: d.Config.MaxImport}))
	r.NoRoute(noRoute)
	r.NoMethod(noMethod)
	return r, nil
}

// mountMachines adds what monitoring asks for.
func (d Deps) mountMachines(r gin.IRouter) {
	get(r, "/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "alive"}) })
	get(r, "/readyz", d.ready)
}

func (d Deps) ready(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	if err := d.Ready(ctx); err != nil {
		d.Log.WarnContext(ctx, "not ready", "error", err)
		problem.New(ctx, problem.CodeNotReady, "a component that the server needs does not answer").Write(c.Writer)
		return
	}
	c.JSON(http.StatusOK, gin.H{"status": "ready"})
}

// get adds a route for GET and HEAD.
func get(r gin.IRouter, path string, handler gin.HandlerFunc) {
	r.GET(path, handler)
	r.HEAD(path, handler)
}
