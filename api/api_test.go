package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api"
	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

type server struct {
	*issuertest.Fixture
	handler http.Handler
}

func newServer(t *testing.T, change ...func(*api.Deps)) server {
	t.Helper()
	f := issuertest.New(t, issuertest.Options{})
	d := api.Deps{Issuer: f.Issuer, Access: f.Access, Metrics: f.Metrics, Log: f.Issuer.Log, Ready: f.Store.Ping, Now: f.Clock.Now,
		Config: api.Config{BaseURL: f.Config.BaseURL, ServerName: "Test Authority"}}
	for _, c := range change {
		c(&d)
	}
	handler, err := api.New(d)
	require.NoError(t, err)
	return server{f, handler}
}

func (s server) do(t *testing.T, method, path string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, body)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, req)
	return w
}

func (s server) get(t *testing.T, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return s.do(t, http.MethodGet, path, nil, header...)
}

// measured gives the metrics.
func (s server) measured(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	require.Equal(t, http.StatusOK, w.Code)
	return w.Body.String()
}

func problemOf(t *testing.T, w *httptest.ResponseRecorder) problem.Problem {
	t.Helper()
	require.Equal(t, problem.MediaType, w.Header().Get("Content-Type"), w.Body.String())
	var p problem.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, w.Code, p.Status)
	require.Equal(t, w.Header().Get(api.CorrelationHeader), p.CorrelationID)
	return p
}

func TestCorrelationID(t *testing.T) {
	s := newServer(t)
	for name, c := range map[string]struct {
		sent  string
		taken bool
	}{
		"none":      {"", false},
		"uuid":      {"0189a2b4-0000-7000-8000-00000000abcd", true},
		"trace id":  {"4bf92f3577b34da6a3ce929d0e0e4736", true},
		"our own":   {"5GQX2QZ7NYWJZ3V6BSTKXEYQ4M", true},
		"a name":    {"erika-mustermann", false},
		"too long":  {strings.Repeat("a", 500), false},
		"line feed": {"4bf92f3577b34da6a3ce929d0e0e4736\nforged", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.get(t, "/healthz", api.CorrelationHeader, c.sent)
			got := w.Header().Get(api.CorrelationHeader)
			require.NotEmpty(t, got)
			require.Equal(t, c.taken, got == c.sent)
			require.Contains(t, s.Logs.String(), got)
		})
	}
	require.NotContains(t, s.Logs.String(), "mustermann")
}

func TestUnknownPathsAndMethods(t *testing.T) {
	s := newServer(t)
	require.Equal(t, domain.CodeNotFound, problemOf(t, s.get(t, "/nothing/here")).Code)
	require.Equal(t, domain.CodeNotFound, problemOf(t, s.get(t, "/healthz/")).Code)
	w := s.do(t, http.MethodDelete, "/v1/people", nil)
	p := problemOf(t, w)
	require.Equal(t, problem.CodeMethodNotAllowed, p.Code)
	require.Contains(t, w.Header().Get("Allow"), http.MethodPost)
	require.Equal(t, w.Header().Get("Allow"), p.Details["allow"])
}

func TestPanicIsAnInternalErrorWithoutInnerText(t *testing.T) {
	for name, value := range map[string]any{"text": "canary text", "error": errors.New("canary error")} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(d *api.Deps) { d.Ready = func(context.Context) error { panic(value) } })
			w := s.get(t, "/readyz")
			p := problemOf(t, w)
			require.Equal(t, domain.CodeInternal, p.Code)
			require.NotContains(t, w.Body.String(), "canary")
			require.NotContains(t, s.Logs.String(), "canary")
			require.Contains(t, s.Logs.String(), "call panicked")
			require.Contains(t, s.Logs.String(), p.CorrelationID)
			require.Contains(t, s.measured(t), `http_requests_total{method="GET",route="/readyz",status="500"} 1`)
		})
	}
	t.Run("abort stays abort", func(t *testing.T) {
		s := newServer(t, func(d *api.Deps) { d.Ready = func(context.Context) error { panic(http.ErrAbortHandler) } })
		require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { s.get(t, "/readyz") })
	})
}

func TestHealthAndReadiness(t *testing.T) {
	down := false
	s := newServer(t, func(d *api.Deps) {
		d.Ready = func(ctx context.Context) error {
			if down {
				return errors.New("canary: the database is gone")
			}
			return ctx.Err()
		}
	})
	require.Equal(t, http.StatusOK, s.get(t, "/readyz").Code)
	down = true
	w := s.get(t, "/readyz")
	require.Equal(t, problem.CodeNotReady, problemOf(t, w).Code)
	require.NotContains(t, w.Body.String(), "canary")
	require.Contains(t, s.Logs.String(), "canary")
	require.JSONEq(t, `{"status": "alive"}`, s.get(t, "/healthz").Body.String())
	require.Equal(t, http.StatusOK, s.do(t, http.MethodHead, "/healthz", nil).Code)
}

func TestLogsAndMetricsKnowRoutesOnly(t *testing.T) {
	s := newServer(t)
	s.get(t, "/c/canary-token?lang=canary-query")
	s.get(t, "/v1/people/canary-id", "Authorization", "Bearer canary-bearer")
	s.get(t, "/canary-path")
	s.do(t, "CANARY", "/healthz", nil)
	metrics := s.measured(t)
	require.Contains(t, metrics, `route="/c/:token"`)
	require.Contains(t, metrics, `route="/v1/people/:id"`)
	require.Contains(t, metrics, `route="none"`)
	logs := s.Logs.String()
	require.Contains(t, logs, `"route":"/c/:token"`)
	require.Regexp(t, regexp.MustCompile(`"method":"GET","route":"/v1/people/:id","status":401,"duration_ms":[0-9.]+,"correlation_id":"\w+"`), logs)
	for _, text := range []string{logs, metrics} {
		require.NotContains(t, strings.ToLower(text), "canary")
	}
}

func TestSecurityHeaders(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/healthz", "/v1/me", "/nothing", "/openapi.json"} {
		h := s.get(t, path).Header()
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), path)
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"), path)
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'", path)
		require.NotEmpty(t, h.Get("Strict-Transport-Security"), path)
		require.Empty(t, h.Get("Access-Control-Allow-Origin"), path)
	}
	require.Equal(t, "no-store", s.get(t, "/v1/me").Header().Get("Cache-Control"))
	plain := newServer(t, func(d *api.Deps) { d.Config.BaseURL = "http://127.0.0.1:8080" })
	require.Empty(t, plain.get(t, "/healthz").Header().Get("Strict-Transport-Security"))
}

func TestBodiesAreBounded(t *testing.T) {
	s := newServer(t, func(d *api.Deps) { d.Config.MaxBody, d.Config.MaxImport = 1000, 2000 })
	token := s.Token(t, s.Admin())
	post := func(path, mediaType string, size int, declared bool) *httptest.ResponseRecorder {
		body := io.Reader(strings.NewReader("given_name,family_name\n" + strings.Repeat(",\n", size/2)))
		if !declared {
			body = io.MultiReader(body)
		}
		return s.do(t, http.MethodPost, path, body, "Content-Type", mediaType, "Authorization", "Bearer "+token)
	}
	for _, declared := range []bool{true, false} {
		p := problemOf(t, post("/v1/people", "application/json", 1100, declared))
		require.Equal(t, problem.CodeTooLarge, p.Code)
		require.Equal(t, "1000", p.Details["limit"])
	}
	require.Equal(t, http.StatusOK, post("/v1/people/import", "text/csv", 1100, false).Code)
	require.Equal(t, problem.CodeTooLarge, problemOf(t, post("/v1/people/import", "text/csv", 2100, true)).Code)
	cut := post("/v1/people/import", "text/csv", 2100, false)
	require.Equal(t, http.StatusOK, cut.Code)
	lines := strings.Split(strings.TrimSpace(cut.Body.String()), "\n")
	require.Contains(t, lines[len(lines)-1], `"problem":{"type":"urn:mdocket:problem:too_large"`)
}

func TestTrustedProxies(t *testing.T) {
	// The limit of sign-ins counts for each address: who is believed to be a proxy is what decides.
	flood := func(s server) int {
		last := 0
		for i := range 61 {
			w := s.do(t, http.MethodPost, "/v1/sessions", strings.NewReader(`{"name":"nobody","password":"`+strings.Repeat("a", 1024)+`"}`),
				"Content-Type", "application/json", "X-Forwarded-For", "203.0.113."+string(rune('0'+i%10)))
			last = w.Code
		}
		return last
	}
	require.Equal(t, http.StatusTooManyRequests, flood(newServer(t)))
	require.Equal(t, http.StatusUnauthorized, flood(newServer(t, func(d *api.Deps) { d.Config.TrustedProxies = []string{"192.0.2.0/24"} })))
	_, err := api.New(api.Deps{Config: api.Config{TrustedProxies: []string{"not an address"}}})
	require.ErrorContains(t, err, "trusted proxies")
}

func TestEveryAudienceIsMounted(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/.well-known/openid-credential-issuer", "/pki/iaca.pem", "/status-lists", "/v1/me", "/docs"} {
		require.NotEqual(t, http.StatusNotFound, s.get(t, path).Code, path)
	}
	require.Equal(t, http.StatusNotFound, s.get(t, "/metrics").Code, "they have a listener of their own")
}
