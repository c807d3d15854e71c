package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/telemetry"
)

// CorrelationHeader carries the correlation id, in both directions.
const CorrelationHeader = "X-Correlation-Id"

// correlationID is what is taken from a caller: a UUID, 32 hexadecimal digits, or what telemetry.NewCorrelationID makes. Nothing that could spell a
// name, because the id is in every log record of the call.
var correlationID = regexp.MustCompile(`^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[A-Z2-7]{26})$`)

// correlate gives the call its correlation id.
func correlate(c *gin.Context) {
	id := c.GetHeader(CorrelationHeader)
	if !correlationID.MatchString(id) {
		id = telemetry.NewCorrelationID()
	}
	c.Request = c.Request.WithContext(telemetry.WithCorrelationID(c.Request.Context(), id))
	c.Header(CorrelationHeader, id)
}

// observe logs and counts the call by its route: paths and queries hold links and tokens and are never written down.
func (d Deps) observe(c *gin.Context) {
	start := time.Now()
	defer func() {
		route, status, took := c.FullPath(), c.Writer.Status(), time.Since(start)
		d.Metrics.RequestAnswered(route, c.Request.Method, status, took)
		if route == "" {
			route = "none"
		}
		d.Log.LogAttrs(c.Request.Context(), logLevel(route), "call", slog.String("method", method(c.Request.Method)), slog.String("route", route),
			slog.Int("status", status), slog.Float64("duration_ms", float64(took.Microseconds())/1000))
	}()
	c.Next()
}

// logLevel keeps what monitoring asks for every few seconds out of the log.
func logLevel(route string) slog.Level {
	switch route {
	case "/healthz", "/readyz":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// method keeps a method that a caller made up out of the log.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// recover turns a panic into an internal error. The panic's value may hold anything, so only its type is logged unless it is the runtime's own.
func (d Deps) recover(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v) // a handler gave up on purpose
		}
		cause := fmt.Sprintf("%T", v)
		if own, ok := v.(runtime.Error); ok {
			cause = own.Error()
		}
		ctx := c.Request.Context()
		d.Log.ErrorContext(ctx, "call panicked", "cause", cause, "stack", string(debug.Stack()))
		c.Abort()
		if c.Writer.Written() {
			panic(http.ErrAbortHandler) // the answer is cut off; the caller must not take it for whole
		}
		problem.New(ctx, domain.CodeInternal, "the correlation id finds the cause in the server's log").Write(c.Writer)
	}()
	c.Next()
}

// plainAddress refuses addresses with characters that no database keeps, before they reach one.
func plainAddress(c *gin.Context) {
	if plain(c.Request.URL.Path) && plainQuery(c.Request.URL.Query()) {
		return
	}
	problem.New(c.Request.Context(), problem.CodeMalformed, "the address holds characters that cannot be used").Write(c.Writer)
	c.Abort()
}

func plainQuery(query url.Values) bool {
	for name, values := range query {
		if !plain(name) || slices.ContainsFunc(values, func(v string) bool { return !plain(v) }) {
			return false
		}
	}
	return true
}

func plain(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// securityHeaders sets what every answer carries; a page that needs more says so itself.
func securityHeaders(https bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		h := c.Writer.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		if https {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if strings.HasPrefix(c.FullPath(), "/v1/") {
			h.Set("Cache-Control", "no-store") // personal data
		}
	}
}

// limitBody bounds request bodies; some routes have a limit of their own.
func limitBody(limit int64, special map[string]int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		limit := limit
		if own, ok := special[c.FullPath()]; ok {
			limit = own
		}
		if c.Request.ContentLength > limit {
			problem.From(c.Request.Context(), nil, &http.MaxBytesError{Limit: limit}).Write(c.Writer)
			c.Abort()
			return
		}
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
	}
}

func noRoute(c *gin.Context) {
	problem.New(c.Request.Context(), domain.CodeNotFound, "nothing is served at this path").Write(c.Writer)
}

func noMethod(c *gin.Context) {
	p := problem.New(c.Request.Context(), problem.CodeMethodNotAllowed, "the path does not take this method")
	if allow := c.Writer.Header().Get("Allow"); allow != "" {
		p.Details = map[string]string{"allow": allow}
	}
	p.Write(c.Writer)
}
