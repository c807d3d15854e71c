package mdm_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/mdm"
)

// guarded is an MDM with a token endpoint that gives token-1, token-2, …; only the last one given is good.
type guarded struct {
	*httptest.Server
	tokens, lookups, refused atomic.Int32
	lifetime                 int // seconds
	mu                       sync.Mutex
	form                     url.Values
	user, password           string
}

func (a authority) guard(t *testing.T, lifetime int) *guarded {
	t.Helper()
	g := &guarded{lifetime: lifetime}
	g.Server = a.serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			g.mu.Lock()
			defer g.mu.Unlock()
			_ = r.ParseForm()
			g.form = r.PostForm
			g.user, g.password, _ = r.BasicAuth()
			_, _ = fmt.Fprintf(w, `{"access_token": "token-%d", "token_type": "bearer", "expires_in": %d}`, g.tokens.Add(1), g.lifetime)
			return
		}
		g.lookups.Add(1)
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", g.tokens.Load()) {
			g.refused.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "{}")
	})
	return g
}

func (g *guarded) config(ca authority) mdm.Config {
	return mdm.Config{Name: "devices", BaseURL: g.URL, Path: "/devices/{id}", CAFile: ca.file, OAuth: &mdm.OAuthConfig{
		TokenURL: g.URL + "/token", ClientID: "mdocket", ClientSecret: clientSecret, Scope: "devices.read  offline", CAFile: ca.file}}
}

func TestClientCredentials(t *testing.T) {
	ca := newAuthority(t)
	lookup := func(t *testing.T, devices *mdm.Registry) {
		t.Helper()
		_, found, err := devices.Lookup(t.Context(), "", deviceID)
		require.NoError(t, err)
		require.True(t, found)
	}
	t.Run("basic", func(t *testing.T) {
		server := ca.guard(t, 3600)
		devices := registry(t, server.config(ca))
		require.Zero(t, server.tokens.Load(), "no token before it is needed")
		lookup(t, devices)
		lookup(t, devices)
		require.EqualValues(t, 1, server.tokens.Load(), "a token is used until it expires")
		require.Equal(t, url.Values{"grant_type": {"client_credentials"}, "scope": {"devices.read offline"}}, server.form)
		id, err := url.QueryUnescape(server.user)
		require.NoError(t, err)
		secret, err := url.QueryUnescape(server.password) // RFC 6749 2.3.1
		require.NoError(t, err)
		require.Equal(t, []string{"mdocket", clientSecret}, []string{id, secret})
	})
	t.Run("post", func(t *testing.T) {
		server := ca.guard(t, 3600)
		config := server.config(ca)
		config.OAuth.AuthMethod, config.OAuth.Scope = mdm.AuthPost, ""
		lookup(t, registry(t, config))
		require.Equal(t, url.Values{"grant_type": {"client_credentials"}, "client_id": {"mdocket"}, "client_secret": {clientSecret}}, server.form)
		require.Empty(t, server.password)
	})
	t.Run("secret in a file", func(t *testing.T) {
		server := ca.guard(t, 1)
		config := server.config(ca)
		file := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(file, []byte("one\n"), 0o600))
		config.OAuth.ClientSecret, config.OAuth.ClientSecretFile = "", file
		devices := registry(t, config)
		lookup(t, devices)
		require.Equal(t, "one", server.password)
		require.NoError(t, os.WriteFile(file, []byte("two\r\n"), 0o600))
		lookup(t, devices)
		require.Equal(t, "two", server.password, "a changed file holds from the next token on")
		require.NoError(t, os.Remove(file))
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrConfiguration)
	})
	t.Run("expiry", func(t *testing.T) {
		server := ca.guard(t, 5) // so near that the token is not used again
		devices := registry(t, server.config(ca))
		lookup(t, devices)
		lookup(t, devices)
		require.EqualValues(t, 2, server.tokens.Load())
		require.Zero(t, server.refused.Load(), "no token is used when it could expire on the way")
	})
	t.Run("revoked", func(t *testing.T) {
		server := ca.guard(t, 3600)
		devices := registry(t, server.config(ca))
		lookup(t, devices)
		server.tokens.Add(1) // the token of somebody else has replaced it
		lookup(t, devices)
		require.EqualValues(t, 1, server.refused.Load())
		require.EqualValues(t, 3, server.tokens.Load())
		lookup(t, devices)
		require.EqualValues(t, 3, server.tokens.Load())
	})
	t.Run("many at once", func(t *testing.T) {
		server := ca.guard(t, 3600)
		devices := registry(t, server.config(ca))
		var running sync.WaitGroup
		for range 20 {
			running.Go(func() {
				if _, found, err := devices.Lookup(t.Context(), "", deviceID); err != nil || !found {
					t.Errorf("found %t, error %v", found, err)
				}
			})
		}
		running.Wait()
		require.EqualValues(t, 1, server.tokens.Load(), "one token serves all")
	})
}

func TestClientCredentialsErrors(t *testing.T) {
	ca := newAuthority(t)
	jsonType := []string{"Content-Type", "application/json"}
	for name, c := range map[string]struct {
		answer  func(http.ResponseWriter, *http.Request)
		wantErr string
		kind    error
	}{
		"wrong secret": {says(401, `{"error": "invalid_client", "error_description": "answer-of-the-mdm"}`, jsonType...),
			"token endpoint: status 401 invalid_client", mdm.ErrConfiguration},
		"unknown code":     {says(400, `{"error": "answer-of-the-mdm"}`, jsonType...), "token endpoint: status 400", mdm.ErrConfiguration},
		"error with a 200": {says(200, `{"error": "invalid_scope"}`, jsonType...), "token endpoint: status 200 invalid_scope", mdm.ErrConfiguration},
		"out of order":     {says(503, "answer-of-the-mdm"), "token endpoint: status 503", mdm.ErrUnavailable},
		"too many":         {says(429, ""), "token endpoint: status 429", mdm.ErrUnavailable},
		"redirect":         {says(307, "", "Location", "/other"), "token endpoint: status 307", mdm.ErrConfiguration},
		"not JSON":         {says(200, "<html>answer-of-the-mdm", jsonType...), "token endpoint: the answer holds no token", mdm.ErrConfiguration},
		"no token":         {says(200, "{}", jsonType...), "token endpoint: the answer holds no token", mdm.ErrConfiguration},
		"other kind": {says(200, `{"access_token": "answer-of-the-mdm", "token_type": "DPoP"}`, jsonType...),
			"no bearer token", mdm.ErrConfiguration},
		"token with breaks": {says(200, `{"access_token": "answer-of-the-mdm\nX: y", "token_type": "Bearer"}`, jsonType...),
			"no bearer token", mdm.ErrConfiguration},
		"too long": {says(200, `{"access_token": "`+strings.Repeat("x", 64<<10)+`"}`, jsonType...),
			"token endpoint: the answer is too long", mdm.ErrConfiguration},
		"lost": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"token endpoint: connection is broken", mdm.ErrUnavailable},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			"token endpoint: context deadline exceeded", mdm.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			var calls, lookups atomic.Int32
			tokens := ca.serve(t, answering(&calls, c.answer))
			server := ca.serve(t, answering(&lookups, says(200, "{}")))
			devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/devices/{id}", CAFile: ca.file, Timeout: 300 * time.Millisecond,
				OAuth: &mdm.OAuthConfig{TokenURL: tokens.URL, ClientID: "mdocket", ClientSecret: clientSecret, CAFile: ca.file}})
			_, _, err := devices.Lookup(t.Context(), "", deviceID)
			clean(t, err, c.kind)
			require.ErrorContains(t, err, c.wantErr)
			require.EqualValues(t, 1, calls.Load(), "a POST is not repeated")
			require.Zero(t, lookups.Load())
		})
	}
	t.Run("CA of its own", func(t *testing.T) {
		server := ca.guard(t, 3600)
		config := server.config(ca)
		config.OAuth.CAFile = newAuthority(t).file
		_, _, err := registry(t, config).Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrConfiguration)
		require.ErrorContains(t, err, "token endpoint: certificate")
	})
}

func TestBearerToken(t *testing.T) {
	ca := newAuthority(t)
	var calls atomic.Int32
	good := bearer
	server := ca.serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.Header.Get("Authorization") != "Bearer "+good {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "{}")
	})
	config := mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/devices/{id}", CAFile: ca.file}

	config.BearerToken = bearer
	fixed := registry(t, config)
	_, found, err := fixed.Lookup(t.Context(), "", deviceID)
	require.NoError(t, err)
	require.True(t, found)

	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(bearer+"\n"), 0o600))
	config.BearerToken, config.BearerTokenFile = "", file
	fromFile := registry(t, config)
	_, found, err = fromFile.Lookup(t.Context(), "", deviceID)
	require.NoError(t, err)
	require.True(t, found)

	good = "an0ther"
	calls.Store(0)
	_, _, err = fixed.Lookup(t.Context(), "", deviceID)
	clean(t, err, mdm.ErrConfiguration)
	require.ErrorContains(t, err, "status 401")
	require.EqualValues(t, 1, calls.Load(), "the same token is not tried twice")
	_, _, err = fromFile.Lookup(t.Context(), "", deviceID)
	clean(t, err, mdm.ErrConfiguration)
	require.EqualValues(t, 2, calls.Load())

	require.NoError(t, os.WriteFile(file, []byte(good), 0o600))
	_, found, err = fromFile.Lookup(t.Context(), "", deviceID)
	require.NoError(t, err, "a new token in the file is found when the old one is refused")
	require.True(t, found)
	require.EqualValues(t, 3, calls.Load(), "the old one was dropped already")

	good = bearer
	require.NoError(t, os.Remove(file))
	_, _, err = fromFile.Lookup(t.Context(), "", deviceID)
	clean(t, err, mdm.ErrConfiguration)
	require.NoError(t, os.WriteFile(file, []byte("two lines\nof text"), 0o600))
	_, _, err = fromFile.Lookup(t.Context(), "", deviceID)
	clean(t, err, mdm.ErrConfiguration)
	require.ErrorContains(t, err, "no bearer token")
	require.NotContains(t, err.Error(), "two lines")
}

func TestSecretsAreHidden(t *testing.T) {
	config := mdm.Config{BearerToken: bearer, Headers: map[string]mdm.Secret{"X-Key": bearer}, OAuth: &mdm.OAuthConfig{ClientSecret: bearer}}
	encoded, err := json.Marshal(config)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", config, config, config), fmt.Sprintf("%+v %#v", *config.OAuth, *config.OAuth),
		string(encoded), config.BearerToken.LogValue().String()} {
		require.NotContains(t, text, bearer)
	}
}
