package mdm_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/mdm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	deviceID     = "5f1c-device-of-somebody"
	bearer       = "static-t0ken"
	clientSecret = "cl1ent s3cret:%"
)

// authority is a certification authority and the file of its root.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "House CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return authority{certificate, key, file}
}

// serve starts a TLS server with a certificate of the authority.
func (a authority) serve(t *testing.T, handler http.HandlerFunc, change ...func(*tls.Config)) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS10}
	for _, f := range change {
		f(server.TLS)
	}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

type answers []http.HandlerFunc

// answering is a handler that gives one answer after another, the last one for ever, and counts the calls.
func answering(calls *atomic.Int32, given ...http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1))
		given[min(n, len(given))-1](w, r)
	}
}

func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func registry(t *testing.T, configs ...mdm.Config) *mdm.Registry {
	t.Helper()
	made, err := mdm.New(configs)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, made.Close()) })
	return made
}

// clean checks that an error is of one kind and holds nothing that it must not.
func clean(t *testing.T, err, kind error) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	require.NotEqual(t, errors.Is(err, mdm.ErrUnavailable), errors.Is(err, mdm.ErrConfiguration), "one of the two")
	for _, private := range []string{deviceID, bearer, clientSecret, "answer-of-the-mdm", "http://", "https://", "/devices"} {
		require.NotContains(t, err.Error(), private)
	}
}

func TestLookup(t *testing.T) {
	ca := newAuthority(t)
	found := `{"id": "7", "compliant": true, "version": 17.10, "owner": {"unit": "A1"}}`
	for name, c := range map[string]struct {
		jsonPath string
		notFound []int
		status   int
		body     string
		found    bool
		want     string // of the device
		wantErr  string
		kind     error
	}{
		"root":                   {status: 200, body: found, found: true, want: found},
		"nested":                 {jsonPath: "data.device", status: 200, body: `{"data": {"device": ` + found + `}}`, found: true, want: found},
		"first of a list":        {jsonPath: "value.0", status: 200, body: `{"value": [` + found + `, {}]}`, found: true, want: found},
		"second of the root":     {jsonPath: "1", status: 200, body: `[{}, ` + found + `]`, found: true, want: found},
		"field named by number":  {jsonPath: "0", status: 200, body: `{"0": ` + found + `}`, found: true, want: found},
		"other success":          {status: 203, body: found, found: true, want: found},
		"empty object":           {status: 200, body: ` {} `, found: true, want: `{}`},
		"not found":              {status: 404, body: "answer-of-the-mdm"},
		"not found, set":         {notFound: []int{400, 410}, status: 410},
		"not found by no answer": {notFound: []int{204}, status: 204},
		"empty list":             {jsonPath: "value.0", status: 200, body: `{"value": []}`},
		"empty list at the end":  {jsonPath: "value", status: 200, body: `{"value": []}`},
		"empty list at the root": {status: 200, body: `[]`},
		"empty list before":      {jsonPath: "value.0.device", status: 200, body: `{"value": []}`},
		"null":                   {status: 200, body: `null`},
		"null at the path":       {jsonPath: "device", status: 200, body: `{"device": null}`},
		"null before the path":   {jsonPath: "device.0", status: 200, body: `{"device": null}`},

		"404 is not set":       {notFound: []int{410}, status: 404, wantErr: "status 404", kind: mdm.ErrConfiguration},
		"bad request":          {status: 400, body: "answer-of-the-mdm", wantErr: "status 400", kind: mdm.ErrConfiguration},
		"unauthorized":         {status: 401, wantErr: "status 401", kind: mdm.ErrConfiguration},
		"forbidden":            {status: 403, wantErr: "status 403", kind: mdm.ErrConfiguration},
		"request time-out":     {status: 408, wantErr: "status 408", kind: mdm.ErrUnavailable},
		"redirect":             {status: 302, wantErr: "status 302", kind: mdm.ErrConfiguration},
		"not modified":         {status: 304, wantErr: "status 304", kind: mdm.ErrConfiguration},
		"not JSON":             {status: 200, body: `<html>answer-of-the-mdm`, wantErr: "not JSON", kind: mdm.ErrConfiguration},
		"no content":           {status: 204, wantErr: "not JSON", kind: mdm.ErrConfiguration},
		"cut JSON":             {status: 200, body: `{"id": "answer-of-the-mdm`, wantErr: "not JSON", kind: mdm.ErrConfiguration},
		"two values":           {status: 200, body: `{} {}`, wantErr: "more than one", kind: mdm.ErrConfiguration},
		"text":                 {status: 200, body: `"answer-of-the-mdm"`, wantErr: "to an object", kind: mdm.ErrConfiguration},
		"false":                {status: 200, body: `false`, wantErr: "to an object", kind: mdm.ErrConfiguration},
		"list of one":          {status: 200, body: `[{}]`, wantErr: "to an object", kind: mdm.ErrConfiguration},
		"path names no field":  {jsonPath: "value.0", status: 200, body: `{"values": []}`, wantErr: "does not have", kind: mdm.ErrConfiguration},
		"path names no number": {jsonPath: "value.id", status: 200, body: `{"value": []}`, wantErr: "has a list", kind: mdm.ErrConfiguration},
		"path is negative":     {jsonPath: "value.-1", status: 200, body: `{"value": [{}]}`, wantErr: "has a list", kind: mdm.ErrConfiguration},
		"path goes too far":    {jsonPath: "value.id.x", status: 200, body: `{"value": {"id": 7}}`, wantErr: "beyond", kind: mdm.ErrConfiguration},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			server := ca.serve(t, answering(&calls, says(c.status, c.body, "Location", "/devices/other")))
			devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL + "/v1/", Path: "/devices/{id}", CAFile: ca.file,
				BearerToken: bearer, JSONPath: c.jsonPath, NotFound: c.notFound})
			device, isFound, err := devices.Lookup(t.Context(), "devices", deviceID)
			require.EqualValues(t, 1, calls.Load(), "nothing here is asked for twice")
			if c.kind != nil {
				require.ErrorContains(t, err, "look up device in MDM devices: ")
				require.ErrorContains(t, err, c.wantErr)
				clean(t, err, c.kind)
				require.Nil(t, device)
				require.False(t, isFound)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.found, isFound)
			if !c.found {
				require.Nil(t, device)
				return
			}
			decoder := json.NewDecoder(strings.NewReader(c.want))
			decoder.UseNumber()
			var want any
			require.NoError(t, decoder.Decode(&want))
			require.Equal(t, want, device, "numbers keep their text")
		})
	}
}

func TestVerdictOfALookup(t *testing.T) {
	ca := newAuthority(t)
	var calls atomic.Int32
	server := ca.serve(t, answering(&calls, says(200, `{"value": [{"version": 17.10, "owner": {"unit": "A1"}}]}`)))
	devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file, JSONPath: "value.0"})
	device, found, err := devices.Lookup(t.Context(), "", deviceID)
	require.NoError(t, err)
	rule := domain.MDMRule{Restriction: domain.MDMMustBeRegistered, RequiredAttributes: "version=17.10, owner.unit=A1"}
	verdict, err := rule.Verdict(deviceID, found, device)
	require.NoError(t, err)
	require.True(t, verdict.Allowed())
}

func TestRequest(t *testing.T) {
	ca := newAuthority(t)
	var got *http.Request
	server := ca.serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = io.WriteString(w, "{}")
	})
	for id, c := range map[string]struct{ segment, literal string }{
		deviceID:            {deviceID, deviceID},
		"a b":               {"a%20b", "a%20b"},
		"a/b":               {"a%2Fb", "a%2Fb"},
		"a+b&c=d;e,f:g@h$i": {"a%2Bb%26c%3Dd%3Be%2Cf%3Ag%40h%24i", "a%2Bb%26c%3Dd%3Be%2Cf%3Ag%40h%24i"},
		"x?all=true#":       {"x%3Fall%3Dtrue%23", "x%3Fall%3Dtrue%23"},
		"100%":              {"100%25", "100%25"},
		"%2e%2e%2f":         {"%252e%252e%252f", "%252e%252e%252f"},
		"x' or 'a' eq 'a":   {"x%27%20or%20%27a%27%20eq%20%27a", "x%27%27%20or%20%27%27a%27%27%20eq%20%27%27a"},
		"{id}":              {"%7Bid%7D", "%7Bid%7D"},
		"gerät-é":           {"ger%C3%A4t-%C3%A9", "ger%C3%A4t-%C3%A9"},
		"...":               {"...", "..."},
		"a..b/.c":           {"a..b%2F.c", "a..b%2F.c"},
	} {
		t.Run(id, func(t *testing.T) {
			config := mdm.Config{Name: "devices", BaseURL: server.URL + "/v1", CAFile: ca.file,
				Path: "/tenants/{id}/devices('{id}')?$filter=id eq '{id}'&top={id}", BearerToken: bearer, Headers: map[string]mdm.Secret{"x-tenant": "t3nant", "Accept": "application/device+json"}}
			_, found, err := registry(t, config).Lookup(t.Context(), "", id)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, "/v1/tenants/"+c.segment+"/devices('"+c.literal+"')?$filter=id%20eq%20'"+c.literal+"'&top="+c.segment, got.RequestURI)
			require.Equal(t, http.MethodGet, got.Method)
			require.Equal(t, "Bearer "+bearer, got.Header.Get("Authorization"))
			require.Equal(t, "t3nant", got.Header.Get("X-Tenant"))
			require.Equal(t, []string{"application/device+json"}, got.Header.Values("Accept"))
			require.Equal(t, "mdocket", got.UserAgent())
		})
	}
	devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, CAFile: ca.file, Path: "/{id}"})
	got = nil
	for _, id := range []string{".", "..", "../users", "x/../../users", `..\users`, "x/.", "a\nb", "a\x00", "\xff", strings.Repeat("x", 601)} {
		_, _, err := devices.Lookup(t.Context(), "", id)
		clean(t, err, mdm.ErrConfiguration)
		require.ErrorContains(t, err, "external mobile id cannot be that of a device")
	}
	for _, id := range []string{"", "  "} {
		_, found, err := devices.Lookup(t.Context(), "", id)
		require.NoError(t, err)
		require.False(t, found)
	}
	require.Nil(t, got, "nobody was asked")
}

func TestRetries(t *testing.T) {
	ca := newAuthority(t)
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	cutOff := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"id": "answer-of-the-mdm`)
		panic(http.ErrAbortHandler)
	}
	ok, ms := says(200, "{}"), time.Millisecond
	for name, c := range map[string]struct {
		answers answers
		calls   int32
		pauses  []time.Duration
		wantErr string
		kind    error
	}{
		"500 then ok":         {answers{says(500, ""), ok}, 2, []time.Duration{200 * ms}, "", nil},
		"503 twice then ok":   {answers{says(503, ""), says(502, ""), ok}, 3, []time.Duration{200 * ms, 400 * ms}, "", nil},
		"500 then not found":  {answers{says(500, ""), says(404, "")}, 2, []time.Duration{200 * ms}, "", nil},
		"500 for ever":        {answers{says(500, "answer-of-the-mdm")}, 3, []time.Duration{200 * ms, 400 * ms}, "status 500", mdm.ErrUnavailable},
		"500 then refused":    {answers{says(500, ""), says(403, "")}, 2, []time.Duration{200 * ms}, "status 403", mdm.ErrConfiguration},
		"429 with time":       {answers{says(429, "", "Retry-After", "3"), ok}, 2, []time.Duration{3 * time.Second}, "", nil},
		"429 at once":         {answers{says(429, "", "Retry-After", "0"), ok}, 2, []time.Duration{200 * ms}, "", nil},
		"429 not to be read":  {answers{says(429, "", "Retry-After", "soon"), ok}, 2, []time.Duration{200 * ms}, "", nil},
		"429 for too long":    {answers{says(429, "", "Retry-After", "11"), ok}, 1, nil, "status 429", mdm.ErrUnavailable},
		"503 for ages":        {answers{says(503, "", "Retry-After", "99999999"), ok}, 1, nil, "status 503", mdm.ErrUnavailable},
		"connection lost":     {answers{hangUp, ok}, 2, []time.Duration{200 * ms}, "", nil},
		"answer cut off":      {answers{cutOff, ok}, 2, []time.Duration{200 * ms}, "", nil},
		"always cut off":      {answers{cutOff}, 3, []time.Duration{200 * ms, 400 * ms}, "connection is broken", mdm.ErrUnavailable},
		"refused is not lost": {answers{says(400, ""), ok}, 1, nil, "status 400", mdm.ErrConfiguration},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			server := ca.serve(t, answering(&calls, c.answers...))
			devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file})
			var pauses []time.Duration
			devices.SetPause(func(_ context.Context, d time.Duration) error {
				pauses = append(pauses, d)
				return nil
			})
			_, _, err := devices.Lookup(t.Context(), "", deviceID)
			require.Equal(t, c.calls, calls.Load())
			require.Equal(t, c.pauses, pauses)
			if c.kind == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.wantErr)
			clean(t, err, c.kind)
		})
	}
	t.Run("by the clock", func(t *testing.T) {
		var calls atomic.Int32
		server := ca.serve(t, answering(&calls, says(429, "", "Retry-After", "1"), ok))
		devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file})
		start := time.Now()
		_, found, err := devices.Lookup(t.Context(), "", deviceID)
		require.NoError(t, err)
		require.True(t, found)
		require.GreaterOrEqual(t, time.Since(start), time.Second)
	})
	t.Run("not beyond the deadline", func(t *testing.T) {
		var calls atomic.Int32
		server := ca.serve(t, answering(&calls, says(429, "", "Retry-After", "9"), ok))
		devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file, Deadline: 8 * time.Second})
		start := time.Now()
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrUnavailable)
		require.Less(t, time.Since(start), 5*time.Second, "what cannot be done in time is not begun")
	})
	t.Run("caller leaves", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int32
		server := ca.serve(t, answering(&calls, says(429, "", "Retry-After", "9")))
		devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file})
		time.AfterFunc(50*time.Millisecond, cancel)
		start := time.Now()
		_, _, err := devices.Lookup(ctx, "", deviceID)
		clean(t, err, mdm.ErrUnavailable)
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, time.Since(start), 5*time.Second)
		_, _, err = devices.Lookup(ctx, "", deviceID)
		clean(t, err, mdm.ErrUnavailable)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0,
		"Fri, 01 May 2026 12:00:09 GMT": 9 * time.Second, "Fri, 01 May 2026 11:00:00 GMT": 0,
	} {
		require.Equal(t, want, mdm.RetryAfter(text, now), text)
	}
}

func TestNetwork(t *testing.T) {
	ca := newAuthority(t)
	noPause := func(devices *mdm.Registry) *mdm.Registry {
		devices.SetPause(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
		return devices
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	t.Run("time-out", func(t *testing.T) {
		var calls atomic.Int32
		server := ca.serve(t, answering(&calls, hang, says(200, "{}")))
		devices := noPause(registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file, Timeout: 200 * time.Millisecond}))
		_, found, err := devices.Lookup(t.Context(), "", deviceID)
		require.NoError(t, err, "the next attempt has its own time")
		require.True(t, found)
	})
	t.Run("time-out in the body", func(t *testing.T) {
		server := ca.serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"id": "answer-of-the-mdm`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		devices := noPause(registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file, Timeout: 100 * time.Millisecond}))
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("deadline", func(t *testing.T) {
		var calls atomic.Int32
		server := ca.serve(t, answering(&calls, hang))
		devices := noPause(registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file,
			Timeout: 200 * time.Millisecond, Deadline: 300 * time.Millisecond}))
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualValues(t, 1, calls.Load(), "there was no time for another")
	})
	t.Run("nobody there", func(t *testing.T) {
		server := ca.serve(t, says(200, "{}"))
		server.Close()
		devices := noPause(registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file}))
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrUnavailable)
		require.ErrorContains(t, err, "connection refused")
	})
	t.Run("no such host", func(t *testing.T) {
		devices := noPause(registry(t, mdm.Config{Name: "devices", BaseURL: "https://mdm.invalid", Path: "/{id}", Timeout: time.Second,
			Deadline: 3 * time.Second}))
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrUnavailable)
	})
	t.Run("wrong CA", func(t *testing.T) {
		server := ca.serve(t, says(200, "{}"))
		for _, file := range []string{newAuthority(t).file, ""} {
			devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: file})
			_, _, err := devices.Lookup(t.Context(), "", deviceID)
			clean(t, err, mdm.ErrConfiguration)
			require.ErrorContains(t, err, "certificate of the server: x509")
		}
	})
	t.Run("another's certificate", func(t *testing.T) {
		server := ca.serve(t, says(200, "{}"))
		elsewhere := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
		devices := noPause(registry(t, mdm.Config{Name: "devices", BaseURL: elsewhere, Path: "/{id}", CAFile: ca.file}))
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrConfiguration)
	})
	t.Run("old TLS", func(t *testing.T) {
		server := ca.serve(t, says(200, "{}"), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 })
		devices := noPause(registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file}))
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		require.Error(t, err)
		clean(t, err, mdm.ErrConfiguration)
		require.ErrorContains(t, err, "protocol version")
	})
	t.Run("TLS 1.2", func(t *testing.T) {
		server := ca.serve(t, says(200, "{}"), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
		_, found, err := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file}).Lookup(t.Context(), "", deviceID)
		require.NoError(t, err)
		require.True(t, found)
	})
	t.Run("no TLS", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(says(200, "{}")))
		defer server.Close()
		devices := registry(t, mdm.Config{Name: "devices", BaseURL: strings.Replace(server.URL, "http:", "https:", 1), Path: "/{id}"})
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrConfiguration)
		require.ErrorContains(t, err, "does not speak TLS")
	})
	t.Run("plain HTTP to loopback", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(says(200, "{}")))
		defer server.Close()
		_, found, err := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}"}).Lookup(t.Context(), "", deviceID)
		require.NoError(t, err)
		require.True(t, found)
	})
	t.Run("no HTTP", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		var running sync.WaitGroup
		running.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, "answer-of-the-mdm\r\n\r\n")
				_ = conn.Close()
			}
		})
		defer running.Wait()
		defer func() { require.NoError(t, listener.Close()) }()
		devices := noPause(registry(t, mdm.Config{Name: "devices", BaseURL: "http://" + listener.Addr().String(), Path: "/{id}"}))
		_, _, err = devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrUnavailable)
	})
	t.Run("too long", func(t *testing.T) {
		var calls atomic.Int32
		server := ca.serve(t, answering(&calls, says(200, `{"a": "`+strings.Repeat("x", 1016)+`"}`), says(200, `{"a": "`+strings.Repeat("x", 1014)+`"}`)))
		devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file, MaxAnswer: 1024})
		_, _, err := devices.Lookup(t.Context(), "", deviceID)
		clean(t, err, mdm.ErrConfiguration)
		require.ErrorContains(t, err, "too long")
		require.EqualValues(t, 1, calls.Load())
		_, found, err := devices.Lookup(t.Context(), "", deviceID)
		require.NoError(t, err, "just not too long")
		require.True(t, found)
	})
	t.Run("redirect", func(t *testing.T) {
		var reached atomic.Int32
		other := ca.serve(t, answering(&reached, says(200, "{}")))
		for _, status := range []int{301, 302, 303, 307, 308} {
			server := ca.serve(t, says(status, "", "Location", other.URL+"/devices"))
			devices := registry(t, mdm.Config{Name: "devices", BaseURL: server.URL, Path: "/{id}", CAFile: ca.file, BearerToken: bearer})
			_, _, err := devices.Lookup(t.Context(), "", deviceID)
			clean(t, err, mdm.ErrConfiguration)
			require.ErrorContains(t, err, fmt.Sprint(status))
		}
		require.Zero(t, reached.Load())
	})
}

func TestRegistry(t *testing.T) {
	ca := newAuthority(t)
	server := func(name string) mdm.Config {
		return mdm.Config{Name: name, BaseURL: ca.serve(t, says(200, `{"system": "`+name+`"}`)).URL, Path: "/{id}", CAFile: ca.file}
	}
	none := registry(t)
	require.Empty(t, none.Names())
	for _, name := range []string{"", "tablets"} {
		_, err := none.Choose(name)
		clean(t, err, mdm.ErrConfiguration)
		require.ErrorContains(t, err, "no MDM is configured")
		_, _, err = none.Lookup(t.Context(), name, deviceID)
		clean(t, err, mdm.ErrConfiguration)
	}
	one := registry(t, server("devices"))
	name, err := one.Choose("")
	require.NoError(t, err)
	require.Equal(t, "devices", name)
	_, err = one.Choose("tablets")
	clean(t, err, mdm.ErrConfiguration)
	require.ErrorContains(t, err, "no MDM of this name")

	two := registry(t, server("tablets"), server("devices"))
	require.Equal(t, []string{"devices", "tablets"}, two.Names())
	_, err = two.Choose("")
	clean(t, err, mdm.ErrConfiguration)
	require.ErrorContains(t, err, "several")
	var running sync.WaitGroup
	for _, name := range []string{"devices", "tablets", "devices", "tablets"} {
		running.Go(func() {
			device, found, err := two.Lookup(t.Context(), name, deviceID)
			if err != nil || !found || device.(map[string]any)["system"] != name {
				t.Errorf("%s: %v %v %v", name, device, found, err)
			}
		})
	}
	running.Wait()
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{`{"value": [{"id": 1}]}`, `[]`, `null`, `{"value": {}}`, `1`} {
		f.Add(seed, "value.0")
	}
	f.Fuzz(func(t *testing.T, body, path string) {
		var value any
		if json.Unmarshal([]byte(body), &value) != nil {
			return
		}
		device, found, err := mdm.DeviceAt(value, strings.Split(path, "."))
		if err != nil {
			require.ErrorIs(t, err, mdm.ErrConfiguration)
		}
		require.Equal(t, found, device != nil)
		if found {
			require.IsType(t, map[string]any{}, device)
		}
	})
}
