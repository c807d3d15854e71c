package public_test

import (
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/public"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/statuslist"
)

func TestStatusLists(t *testing.T) {
	a := newAuthority(t)
	none := a.get("/status-lists")
	require.JSONEq(t, `{"status_lists":[]}`, none.body)
	require.Equal(t, "application/json", none.header.Get("Content-Type"))
	require.Equal(t, http.StatusNotModified, a.get("/status-lists", "If-None-Match", none.header.Get("ETag")).status)
	require.Equal(t, http.StatusOK, a.do(http.MethodHead, "/status-lists").status)
	id := a.collect(a.newCollection(a.Profile(t, "mdl")))

	got := a.get("/status-lists")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "public, max-age=60", got.header.Get("Cache-Control"))
	require.NotEqual(t, none.header.Get("ETag"), got.header.Get("ETag"))
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

// signing lets lists be signed at most once in the given time from now on.
func (a *authority) signing(every time.Duration) {
	a.t.Helper()
	config := a.Config
	config.StatusRefresh, config.StatusTTL = every, 2*every
	engine := gin.New()
	public.Register(engine, public.Deps{Issuer: issuer.New(config, a.Deps), BaseURL: a.Config.BaseURL, Log: a.Deps.Log})
	a.web = httptest.NewServer(engine)
	a.t.Cleanup(a.web.Close)
}

// listPath gives the path of a status list.
func (a *authority) listPath() string {
	a.t.Helper()
	a.collect(a.newCollection(a.Profile(a.t, "mdl")))
	uris, err := a.Issuer.StatusListURIs(a.t.Context())
	require.NoError(a.t, err)
	return strings.TrimPrefix(uris[0], a.Config.BaseURL)
}

func TestStatusListForm(t *testing.T) {
	a := newAuthority(t)
	path := a.listPath()
	const cwt, jwt, none = statuslist.MediaTypeCWT, statuslist.MediaTypeJWT, ""
	for accept, want := range map[string]string{
		"":                           cwt,
		" ":                          cwt,
		"*/*":                        cwt,
		"application/*":              cwt,
		cwt:                          cwt,
		jwt:                          jwt,
		"Application/StatusList+JWT": jwt,
		"text/html, */*;q=0.1":       cwt,
		"application/statuslist+jwt, application/statuslist+cwt":             cwt,
		"application/statuslist+jwt, application/statuslist+cwt;q=0.5":       jwt,
		"application/statuslist+jwt;q=0.5, application/statuslist+cwt;q=0.9": cwt,
		"application/statuslist+jwt, */*;q=0.1":                              jwt,
		"application/statuslist+jwt, */*":                                    jwt,
		"application/statuslist+jwt;q=0.5, */*":                              cwt,
		"application/statuslist+jwt;q=0, */*":                                cwt,
		"application/statuslist+cwt;q=0, */*":                                jwt,
		"application/statuslist+jwt;q=x, application/*;q=0.1":                cwt,
		"application/statuslist+jwt;q=NaN":                                   none,
		"application/statuslist+jwt;q=0":                                     none,
		"application/statuslist+cwt;q=0, application/statuslist+jwt;q=2":     none,
		"text/html":                      none,
		"application/jwt, text/*":        none,
		"application/statuslist+jwt/x":   none,
		"*/*;q=0":                        none,
		";;,,q=1":                        none,
		"application/statuslist+jwt+cwt": none,
	} {
		t.Run(accept, func(t *testing.T) {
			got := a.get(path, "Accept", accept)
			require.Equal(t, "Accept, Accept-Encoding", got.header.Get("Vary"))
			require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
			if want == none {
				require.Equal(t, http.StatusNotAcceptable, got.status)
				require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
				require.Contains(t, got.body, `"available":"application/statuslist+cwt, application/statuslist+jwt"`)
				return
			}
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, want, got.header.Get("Content-Type"))
		})
	}
}

func TestStatusListIsCached(t *testing.T) {
	a := newAuthority(t)
	path := a.listPath()
	require.Equal(t, "public, max-age=0", a.get(path).header.Get("Cache-Control"), "the next list is due at once")
	a.signing(10 * time.Minute)
	for _, form := range []string{statuslist.MediaTypeCWT, statuslist.MediaTypeJWT} {
		t.Run(form, func(t *testing.T) {
			got := a.get(path, "Accept-Encoding", "identity", "Accept", form)
			require.Equal(t, http.StatusOK, got.status)
			require.Regexp(t, "^public, max-age=(5[0-9][0-9]|600)$", got.header.Get("Cache-Control"), "to the next list, not for the ttl")
			tag := got.header.Get("ETag")
			require.Regexp(t, `^"[0-9a-f]{32}"$`, tag, "a strong one")
			for _, known := range []string{tag, `"other", ` + tag, "*", "W/" + tag} {
				again := a.get(path, "Accept-Encoding", "identity", "Accept", form, "If-None-Match", known)
				require.Equal(t, http.StatusNotModified, again.status, known)
				require.Empty(t, again.body)
				require.Equal(t, tag, again.header.Get("ETag"))
				require.NotEmpty(t, again.header.Get("Cache-Control"))
			}
			require.Equal(t, http.StatusOK, a.get(path, "Accept-Encoding", "identity", "Accept", form, "If-None-Match", `"other"`).status)
			head := a.do(http.MethodHead, path, "Accept-Encoding", "identity", "Accept", form)
			require.Equal(t, http.StatusOK, head.status)
			require.Equal(t, form, head.header.Get("Content-Type"))
			require.Equal(t, tag, head.header.Get("ETag"))
			require.Equal(t, strconv.Itoa(len(got.body)), head.header.Get("Content-Length"))
			require.Empty(t, head.body)

			a.Clock.Advance(10 * time.Minute)
			require.Equal(t, http.StatusOK, a.get(path, "Accept-Encoding", "identity", "Accept", form, "If-None-Match", tag).status, "the next list")
		})
	}
}

// The JWT is sent compressed to those who say so; the CWT, which is compressed already, is not.
func TestStatusListCoding(t *testing.T) {
	a := newAuthority(t)
	path := a.listPath()
	a.signing(time.Hour)
	plain := a.get(path, "Accept", statuslist.MediaTypeJWT, "Accept-Encoding", "identity")
	for accept, want := range map[string]bool{"gzip": true, "GZIP;q=0.5, br": true, "br, *": true, "gzip;q=0, *": false, "*, gzip;q=0": false,
		"br": false, "identity": false, "x-gzip": true} {
		t.Run(accept, func(t *testing.T) {
			got := a.get(path, "Accept", statuslist.MediaTypeJWT, "Accept-Encoding", accept)
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, map[bool]string{true: "gzip"}[want], got.header.Get("Content-Encoding"))
			body := got.body
			if want {
				require.NotEqual(t, plain.header.Get("ETag"), got.header.Get("ETag"), "other bytes, another tag")
				require.Less(t, len(body), len(plain.body))
				content, err := gzip.NewReader(strings.NewReader(body))
				require.NoError(t, err)
				unpacked, err := io.ReadAll(content)
				require.NoError(t, err)
				body = string(unpacked)
				again := a.get(path, "Accept", statuslist.MediaTypeJWT, "Accept-Encoding", accept, "If-None-Match", got.header.Get("ETag"))
				require.Equal(t, http.StatusNotModified, again.status)
			}
			require.Equal(t, plain.body, body)
		})
	}
	require.Empty(t, a.get(path, "Accept-Encoding", "gzip").header.Get("Content-Encoding"))
}

func TestStatusListsOfThePastAreNotGiven(t *testing.T) {
	a := newAuthority(t)
	got := a.get(a.listPath() + "?time=1686925000")
	require.Equal(t, http.StatusNotImplemented, got.status)
	require.Contains(t, got.body, `"code":"not_supported"`)
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
	require.Equal(t, http.StatusInternalServerError, a.post("application/cbor", []byte{0xa0}).status)
}

// Whatever Accept header comes, a list is served in a form that it names, or none.
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
		switch w.Code {
		case http.StatusNotAcceptable:
			require.NotEmpty(t, strings.TrimSpace(accept))
		case http.StatusOK:
			if w.Header().Get("Content-Type") != statuslist.MediaTypeCWT {
				require.Equal(t, statuslist.MediaTypeJWT, w.Header().Get("Content-Type"))
				require.Contains(t, accept, "/")
			}
		default:
			require.Fail(t, "unexpected answer", w.Code)
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
