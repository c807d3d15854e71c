package operator_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api"
	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// server is the whole API over a fixture.
type server struct {
	*issuertest.Fixture
	handler http.Handler
	admin   string // token
}

func newServer(t testing.TB) *server { return newServerOn(t, issuertest.Options{}) }

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, s *server)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newServer(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, newServerOn(t, issuertest.Options{Postgres: true})) })
}

func newServerOn(t testing.TB, o issuertest.Options) *server {
	t.Helper()
	f := issuertest.New(t, o)
	handler, err := api.New(api.Deps{Issuer: f.Issuer, Access: f.Access, Metrics: f.Metrics, Log: f.Issuer.Log, Ready: f.Store.Ping,
		Now: f.Clock.Now, Config: api.Config{BaseURL: f.Config.BaseURL}})
	require.NoError(t, err)
	return &server{Fixture: f, handler: handler, admin: f.Token(t, f.Admin())}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request. The body is sent as it is when it is a string or bytes, as JSON otherwise; nil sends none. Further arguments are header
// names and values.
func (s *server) call(t testing.TB, token, method, path string, body any, header ...string) answer {
	t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	default:
		form, err := json.Marshal(b)
		require.NoError(t, err)
		r = bytes.NewReader(form)
	}
	req := httptest.NewRequestWithContext(t.Context(), method, path, r)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, req)
	return answer{status: w.Code, header: w.Header(), body: w.Body.Bytes()}
}

// object reads a JSON answer of the status wanted.
func (a answer) object(t testing.TB, status int) map[string]any {
	t.Helper()
	require.Equal(t, status, a.status, string(a.body))
	var out map[string]any
	require.NoError(t, json.Unmarshal(a.body, &out), string(a.body))
	return out
}

// items reads the items of a list.
func (a answer) items(t testing.TB) []map[string]any {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var out struct {
		Items []map[string]any `json:"items"`
	}
	require.NoError(t, json.Unmarshal(a.body, &out))
	require.NotNil(t, out.Items)
	return out.Items
}

// refused checks that the answer is a whole problem document of the code.
func (a answer) refused(t testing.TB, code domain.Code) problem.Problem {
	t.Helper()
	var p problem.Problem
	require.NoError(t, json.Unmarshal(a.body, &p), string(a.body))
	require.Equal(t, code, p.Code, string(a.body))
	require.Equal(t, problem.Status(code), a.status)
	require.Equal(t, a.status, p.Status)
	require.Equal(t, problem.MediaType, a.header.Get("Content-Type"))
	require.NotEmpty(t, p.Title)
	require.Equal(t, a.header.Get("X-Correlation-Id"), p.CorrelationID)
	require.NotEmpty(t, p.CorrelationID)
	return p
}

// changesNothing runs fn and checks that no act was recorded.
func (s *server) changesNothing(t testing.TB, fn func()) {
	t.Helper()
	before := s.AuditHead(t)
	fn()
	require.Equal(t, before, s.AuditHead(t), "something was changed")
}

// reads the text at a path of members.
func text(t testing.TB, object map[string]any, path ...string) string {
	t.Helper()
	for _, p := range path[:len(path)-1] {
		next, ok := object[p].(map[string]any)
		require.True(t, ok, "%s is no object in %v", p, object)
		object = next
	}
	out, ok := object[path[len(path)-1]].(string)
	require.True(t, ok, "%s is no text in %v", path, object)
	return out
}
