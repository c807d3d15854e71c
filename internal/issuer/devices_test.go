package issuer_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/mdm"
)

// devices is a device management with one system, "only", that knows no device.
type devices struct{}

func (*devices) Choose(name string) (string, error) {
	if name != "" && name != "only" {
		return "", errors.New("no such system")
	}
	return "only", nil
}

func (*devices) Lookup(context.Context, string, string) (any, bool, error) { return nil, false, nil }

// mobileID is a canary: it may be in the address that is asked, and nowhere else.
const mobileID = "canary-device-4711"

// manager is a device management over TLS.
type manager struct {
	mu     sync.Mutex
	answer http.HandlerFunc
	asked  int
}

func (m *manager) set(answer http.HandlerFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer, m.asked = answer, 0
}

func (m *manager) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.asked++
	answer := m.answer
	m.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, "/"+mobileID) || r.Header.Get("Authorization") != "Bearer let-me-in" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	answer(w, r)
}

// newManager starts one and gives the registry that asks it.
func newManager(t *testing.T) (*manager, *mdm.Registry) {
	t.Helper()
	m := &manager{}
	web := httptest.NewTLSServer(m)
	t.Cleanup(web.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	require.NoError(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600))
	registry, err := mdm.New([]mdm.Config{{Name: "phones", BaseURL: web.URL, Path: "/devices/{id}", BearerToken: "let-me-in", CAFile: roots,
		Timeout: 300 * time.Millisecond, Deadline: 700 * time.Millisecond}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, registry.Close()) })
	return m, registry
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// TestMDMTable walks the table "Device" of docs/profiles.md with a device management over TLS: which device may collect.
func TestMDMTable(t *testing.T) {
	m, registry := newManager(t)
	known, unknown := says(http.StatusOK, `{"compliant":true,"os":{"name":"android"}}`), says(http.StatusNotFound, `{}`)
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	registered := domain.MDMRule{Restriction: domain.MDMMustBeRegistered}
	unregistered := domain.MDMRule{Restriction: domain.MDMMustNotBeRegistered}
	requires := func(attributes string) domain.MDMRule {
		return domain.MDMRule{Restriction: domain.MDMMustBeRegistered, RequiredAttributes: attributes}
	}
	for name, c := range map[string]struct {
		rule   domain.MDMRule
		id     string
		answer http.HandlerFunc
		code   domain.Code
		asked  bool
	}{
		"unrestricted":                       {domain.MDMRule{}, mobileID, unknown, "", false},
		"registered, known":                  {registered, mobileID, known, "", true},
		"registered, unknown":                {registered, mobileID, unknown, domain.CodeDeviceRefused, true},
		"registered, no id":                  {registered, "", known, domain.CodeDeviceRefused, false},
		"registered, attributes hold":        {requires("compliant=true, os.name=android"), mobileID, known, "", true},
		"registered, an attribute differs":   {requires("compliant=true, os.name=ios"), mobileID, known, domain.CodeDeviceRefused, true},
		"registered, an attribute is absent": {requires("owner=company"), mobileID, known, domain.CodeDeviceRefused, true},
		"not registered, known":              {unregistered, mobileID, known, domain.CodeDeviceRefused, true},
		"not registered, unknown":            {unregistered, mobileID, unknown, "", true},
		"not registered, no id":              {unregistered, "", known, "", false},
		"server fails":                       {registered, mobileID, says(http.StatusInternalServerError, ""), domain.CodeDeviceUnknown, true},
		"server is silent":                   {unregistered, mobileID, silent, domain.CodeDeviceUnknown, true},
		"answer is not JSON":                 {registered, mobileID, says(http.StatusOK, "<html>"), domain.CodeDeviceUnknown, true},
		"credentials are refused":            {registered, mobileID, says(http.StatusUnauthorized, "{}"), domain.CodeDeviceUnknown, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := issuertest.New(t, issuertest.Options{MDM: registry})
			m.set(c.answer)
			profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.MDM = c.rule })
			person := f.Person(t, func(p *domain.Person) { p.ExternalMobileID = c.id })
			r := newRequest(t, f, person, profile)
			require.Zero(t, m.count(), "nobody is asked before a wallet comes")
			token, wallet := redeem(t, f, r.ID), walletKeys(t, f, 1)
			_, err := collect(t.Context(), f, profile, token, wallet)
			require.Equal(t, c.asked, m.count() > 0)
			require.NotContains(t, f.Logs.String(), mobileID)
			if c.code == "" {
				require.NoError(t, err)
				asked := m.count()
				_, err = collect(t.Context(), f, profile, token, wallet)
				require.NoError(t, err)
				require.Equal(t, asked, m.count(), "a document that was issued is handed out again without asking")
				return
			}
			codeIs(t, c.code, err)
			require.NotContains(t, err.Error(), mobileID)
			require.Equal(t, r.ID, detail(t, err, "request_id"))
			now := reload(t, f, r.ID)
			require.Equal(t, domain.RequestAwaitingCollection, now.State)
			require.Equal(t, c.code, now.FailureCode)
			timeline, err := f.Issuer.Timeline(t.Context(), f.Admin(), r.ID, 0, 0)
			require.NoError(t, err)
			last := timeline[len(timeline)-1]
			require.Equal(t, "request.refused", last.Action)
			require.Equal(t, string(c.code), last.Reason)
			require.NotContains(t, last.Notes, mobileID)
			_, err = f.Store.DocumentOfRequest(t.Context(), r.ID)
			require.Error(t, err, "nothing was prepared")

			// Mended, the same wallet gets the document with the same token.
			m.set(known)
			if c.rule.Restriction == domain.MDMMustNotBeRegistered {
				m.set(unknown)
			}
			update(t, f, person.ID, func(p *domain.Person) { p.ExternalMobileID = mobileID })
			newVersion(t, f, profile, func(o *domain.ProfileOptions) { o.MDM.RequiredAttributes = "" })
			_, err = collect(t.Context(), f, profile, token, wallet)
			require.NoError(t, err)
			require.Empty(t, reload(t, f, r.ID).FailureCode)
		})
	}
}

// A server that is not there, and one whose certificate nobody vouches for, are as silent ones.
func TestMDMUnreachable(t *testing.T) {
	web := httptest.NewTLSServer(http.NotFoundHandler())
	strange := web.URL
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	t.Cleanup(web.Close)
	for name, address := range map[string]string{"certificate": strange, "nobody": gone.URL} {
		t.Run(name, func(t *testing.T) {
			registry, err := mdm.New([]mdm.Config{{Name: "phones", BaseURL: address, Path: "/devices/{id}", Timeout: 200 * time.Millisecond,
				Deadline: 500 * time.Millisecond}})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, registry.Close()) })
			f := issuertest.New(t, issuertest.Options{MDM: registry})
			profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.MDM.Restriction = domain.MDMMustNotBeRegistered })
			r := newRequest(t, f, f.Person(t, func(p *domain.Person) { p.ExternalMobileID = mobileID }), profile)
			_, err = collect(t.Context(), f, profile, redeem(t, f, r.ID), walletKeys(t, f, 1))
			codeIs(t, domain.CodeDeviceUnknown, err)
			require.NotContains(t, err.Error()+f.Logs.String(), mobileID)
			require.Contains(t, f.Logs.String(), "device management not asked", "the operator of the server learns why")
		})
	}
}
