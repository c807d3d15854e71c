package public_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/public"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/statuslist"
)

func TestStatusLists(t *testing.T) {
	a := newAuthority(t)
	require.JSONEq(t, `{"status_lists":[]}`, a.get("/status-lists").body)
	id := a.collect(a.newCollection(a.Profile(t, "mdl")))

	got := a.get("/status-lists")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "public, max-age=60", got.header.Get("Cache-Control"))
	var lists struct {
		StatusLists []string `json:"status_lists"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &lists))
	require.Len(t, lists.StatusLists, 1)
	uri := lists.StatusLists[0]
	path := strings.TrimPrefix(uri, a.web.URL)

	roots := a.roots()
	verified := func() (set int) {
		opts := statuslist.VerifyOptions{Roots: roots, Now: a.Clock.Now(), URI: uri}
		cwt, err := statuslist.VerifyCWT([]byte(a.get(path).body), opts)
		require.NoError(t, err)
		jwt, err := statuslist.VerifyJWT(a.get(path, "Accept", statuslist.MediaTypeJWT).body, opts)
		require.NoError(t, err)
		for i := range a.Config.StatusEntries {
			inCWT, err := cwt.List.Get(i)
			require.NoError(t, err)
			inJWT, err := jwt.List.Get(i)
			require.NoError(t, err)
			require.Equal(t, inCWT, inJWT)
			if inCWT != statuslist.Valid {
				set++
			}
		}
		return set
	}
	require.Zero(t, verified())
	_, err := a.Issuer.ChangeDocument(t.Context(), a.Admin(), id, domain.DocumentCancel, domain.ReasonLost, "")
	require.NoError(t, err)
	require.Equal(t, 2, verified(), "every copy")

	got = a.get("/status-lists/unknown")
	require.Equal(t, http.StatusNotFound, got.status)
	require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
}

// roots reads the published IACA certificates.
func (a *authority) roots() *x509.CertPool {
	a.t.Helper()
	pool := x509.NewCertPool()
	require.True(a.t, pool.AppendCertsFromPEM([]byte(a.get("/pki/iaca.pem").body)))
	return pool
}

func TestStatusListForm(t *testing.T) {
	a := newAuthority(t)
	a.collect(a.newCollection(a.Profile(t, "mdl")))
	uris, err := a.Issuer.StatusListURIs(t.Context())
	require.NoError(t, err)
	path := strings.TrimPrefix(uris[0], a.web.URL)
	for accept, want := range map[string]string{
		"":                           statuslist.MediaTypeCWT,
		"*/*":                        statuslist.MediaTypeCWT,
		"application/*":              statuslist.MediaTypeCWT,
		"text/html":                  statuslist.MediaTypeCWT,
		statuslist.MediaTypeCWT:      statuslist.MediaTypeCWT,
		statuslist.MediaTypeJWT:      statuslist.MediaTypeJWT,
		"Application/StatusList+JWT": statuslist.MediaTypeJWT,
		"application/statuslist+jwt, application/statuslist+cwt":             statuslist.MediaTypeCWT,
		"application/statuslist+jwt, application/statuslist+cwt;q=0.5":       statuslist.MediaTypeJWT,
		"application/statuslist+jwt;q=0.5, application/statuslist+cwt;q=0.9": statuslist.MediaTypeCWT,
		"application/statuslist+jwt, */*;q=0.1":                              statuslist.MediaTypeJWT,
		"application/statuslist+jwt;q=0, */*":                                statuslist.MediaTypeCWT,
		"application/statuslist+cwt;q=0, */*":                                statuslist.MediaTypeJWT,
		"application/statuslist+jwt;q=x":                                     statuslist.MediaTypeCWT,
		"application/statuslist+jwt;q=NaN":                                   statuslist.MediaTypeCWT,
	} {
		t.Run(accept, func(t *testing.T) {
			got := a.get(path, "Accept", accept)
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, want, got.header.Get("Content-Type"))
			require.Equal(t, "Accept", got.header.Get("Vary"))
			require.Equal(t, "public, max-age=60", got.header.Get("Cache-Control"))
			require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
		})
	}
}

func TestStatusListIsCached(t *testing.T) {
	a := newAuthority(t)
	a.collect(a.newCollection(a.Profile(t, "mdl")))
	uris, err := a.Issuer.StatusListURIs(t.Context())
	require.NoError(t, err)
	path := strings.TrimPrefix(uris[0], a.web.URL)
	// The fixture signs at every call, so entity tags differ; a fixed one comes from the certificates.
	require.NotEmpty(t, a.get(path).header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, a.get(path, "If-None-Match", "*").status)
	require.Equal(t, http.StatusOK, a.get(path, "If-None-Match", `"other"`).status)
	head := a.do(http.MethodHead, path)
	require.Equal(t, http.StatusOK, head.status)
	require.Equal(t, statuslist.MediaTypeCWT, head.header.Get("Content-Type"))
	require.Empty(t, head.body)
}

func TestVerify(t *testing.T) {
	a := newAuthority(t)
	id := a.collect(a.newCollection(a.Profile(t, "mdl")))
	doc, err := a.Issuer.Document(t.Context(), a.Admin(), id)
	require.NoError(t, err)
	read := func() map[string]any {
		t.Helper()
		got := a.get("/verify/" + strings.ToLower(doc.Serial))
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		var status map[string]any
		require.NoError(t, json.Unmarshal([]byte(got.body), &status))
		return status
	}
	require.Equal(t, map[string]any{"serial": doc.Serial, "doc_type": "org.iso.18013.5.1.mDL", "state": "active", "valid": true,
		"valid_from": doc.ValidFrom.UTC().Format(time.RFC3339), "valid_until": doc.ValidUntil.UTC().Format(time.RFC3339)}, read())

	change := func(act domain.DocumentAct) {
		_, err := a.Issuer.ChangeDocument(t.Context(), a.Admin(), id, act, domain.ReasonLost, "")
		require.NoError(t, err)
	}
	change(domain.DocumentDisable)
	require.Equal(t, "disabled", read()["state"])
	require.Equal(t, false, read()["valid"])
	change(domain.DocumentCancel)
	require.Equal(t, "canceled", read()["state"])
	require.Equal(t, false, read()["valid"])

	got := a.get("/verify/UNKNOWN")
	require.Equal(t, http.StatusNotFound, got.status)
	require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	for got.status == http.StatusNotFound {
		got = a.get("/verify/UNKNOWN")
	}
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
}

func TestCertificates(t *testing.T) {
	a := newAuthority(t)
	for path, mediaType := range map[string]string{
		"/pki/iaca.pem": "application/pem-certificate-chain",
		"/pki/iaca.cer": "application/pkix-cert",
		"/pki/iaca.crl": "application/pkix-crl",
	} {
		t.Run(path, func(t *testing.T) {
			got := a.get(path)
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, mediaType, got.header.Get("Content-Type"))
			require.Equal(t, "public, max-age=3600", got.header.Get("Cache-Control"))
			require.Equal(t, http.StatusNotModified, a.get(path, "If-None-Match", got.header.Get("ETag")).status)
			head := a.do(http.MethodHead, path)
			require.Equal(t, http.StatusOK, head.status)
			require.Equal(t, got.header.Get("Content-Length"), head.header.Get("Content-Length"))
		})
	}
	root, err := x509.ParseCertificate([]byte(a.get("/pki/iaca.cer").body))
	require.NoError(t, err)
	block, rest := pem.Decode([]byte(a.get("/pki/iaca.pem").body))
	require.NotNil(t, block)
	require.Empty(t, rest)
	require.Equal(t, root.Raw, block.Bytes)
	crl, err := x509.ParseRevocationList([]byte(a.get("/pki/iaca.crl").body))
	require.NoError(t, err)
	require.NoError(t, crl.CheckSignatureFrom(root))
}

func TestTroubleOnOurSideSaysNothing(t *testing.T) {
	a := newAuthority(t)
	require.NoError(t, a.Store.Close())
	for _, path := range []string{"/status-lists", "/status-lists/x", "/verify/X", "/pki/iaca.pem", "/pki/iaca.cer", "/pki/iaca.crl"} {
		got := a.get(path)
		require.Equal(t, http.StatusInternalServerError, got.status, path)
		require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		require.NotContains(t, got.body, "sql")
	}
}

// Whatever Accept header comes, a list is served, and as a JWT only where the header names something.
func FuzzAccept(f *testing.F) {
	a := newAuthority(f)
	a.collect(a.newCollection(a.Profile(f, "mdl")))
	uris, err := a.Issuer.StatusListURIs(f.Context())
	require.NoError(f, err)
	engine := gin.New()
	public.Register(engine, public.Deps{Issuer: a.Issuer, BaseURL: a.Config.BaseURL, Log: a.Issuer.Log})
	f.Add("application/statuslist+jwt;q=0.5, */*;q=0.1")
	f.Add("a/b;q==,;;,")
	f.Fuzz(func(t *testing.T, accept string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimPrefix(uris[0], a.web.URL), nil)
		request.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, request)
		require.Equal(t, http.StatusOK, w.Code)
		if w.Header().Get("Content-Type") != statuslist.MediaTypeCWT {
			require.Equal(t, statuslist.MediaTypeJWT, w.Header().Get("Content-Type"))
			require.Contains(t, accept, "/")
		}
	})
}

// Whatever address and language come, the answer is a page.
func FuzzCollectionPage(f *testing.F) {
	a := newAuthority(f)
	col := a.newCollection(a.Profile(f, "mdl"))
	engine := gin.New()
	public.Register(engine, public.Deps{Issuer: a.Issuer, BaseURL: a.Config.BaseURL, Log: a.Issuer.Log})
	f.Add(col.token(), "de-CH, en;q=0.5")
	f.Add("unknown", "x-;q")
	f.Fuzz(func(t *testing.T, token, language string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		request.URL.Path = "/c/" + strings.ReplaceAll(token, "/", "") + "x"
		if token == col.token() {
			request.URL.Path = "/c/" + token
		}
		request.Header.Set("Accept-Language", language)
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, request)
		require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, w.Code)
		require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	})
}
