package client_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
)

type thing struct {
	Name string `json:"name"`
}

// server answers by path and tells what it was asked.
func server(t *testing.T, seen *http.Request) *client.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = *r
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		switch r.URL.Path {
		case "/echo":
			_, _ = w.Write(body)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/refuse":
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"code":"conflict","detail":"taken","details":{"version":"2"},"errors":[{"field":"name","problem":"is taken"}]}`))
		case "/broken":
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte(`<html>`))
		case "/text":
			_, _ = w.Write([]byte(`not JSON`))
		}
	}))
	t.Cleanup(s.Close)
	return client.New(s.URL+"/", "token")
}

func TestDo(t *testing.T) {
	var seen http.Request
	c := server(t, &seen)
	var out thing
	err := c.Do(t.Context(), http.MethodPost, "/echo", thing{"a"}, &out, client.IdempotencyKey("k"), client.Accept("application/x"))
	require.NoError(t, err)
	require.Equal(t, thing{"a"}, out)
	require.Equal(t, "Bearer token", seen.Header.Get("Authorization"))
	require.Equal(t, "application/json", seen.Header.Get("Content-Type"))
	require.Equal(t, "k", seen.Header.Get("Idempotency-Key"))
	require.Equal(t, "application/x", seen.Header.Get("Accept"))
	require.NoError(t, c.As("").Do(t.Context(), http.MethodGet, "/none", nil, nil))
	require.Empty(t, seen.Header.Get("Authorization"))
	require.Empty(t, seen.Header.Get("Content-Type"))
	raw, err := c.As("other").Send(t.Context(), http.MethodPut, "/echo", "text/csv", strings.NewReader("a,b"))
	require.NoError(t, err)
	require.Equal(t, "a,b", string(raw))
	require.Equal(t, "Bearer other", seen.Header.Get("Authorization"))
}

func TestRefusals(t *testing.T) {
	var seen http.Request
	c := server(t, &seen)
	err := c.Do(t.Context(), http.MethodPost, "/refuse", nil, nil)
	require.Equal(t, "conflict", client.CodeOf(err))
	require.Equal(t, "409 conflict: taken; name is taken", err.Error())
	var p *client.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, "2", p.Details["version"])
	err = c.Do(t.Context(), http.MethodGet, "/broken", nil, nil)
	require.Equal(t, "unknown", client.CodeOf(err))
	require.ErrorContains(t, err, "502")
	var syntax *json.SyntaxError
	require.ErrorAs(t, c.Do(t.Context(), http.MethodGet, "/text", nil, &thing{}), &syntax)
	require.Error(t, c.Do(t.Context(), http.MethodGet, "/echo", make(chan int), nil))
	err = client.New("http://127.0.0.1:1", "").Do(t.Context(), http.MethodGet, "/", nil, nil)
	require.Error(t, err)
	require.Empty(t, client.CodeOf(err))
	require.Empty(t, client.CodeOf(errors.New("x")))
}
