package public_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/public"
	"github.com/mdocket/mdocket/api/wallet"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	reference "github.com/mdocket/mdocket/internal/wallet"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	os.Exit(m.Run())
}

const (
	phone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
	desktop = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

// authority is an issuing authority with its public pages and wallet endpoints on loopback.
type authority struct {
	*issuertest.Fixture
	web *httptest.Server
	t   testing.TB
}

func newAuthority(t testing.TB, change ...func(*issuer.Config)) *authority {
	t.Helper()
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	a := &authority{t: t, web: httptest.NewServer(engine)}
	t.Cleanup(a.web.Close)
	a.Fixture = issuertest.New(t, issuertest.Options{BaseURL: a.web.URL, Config: func(c *issuer.Config) {
		for _, each := range change {
			each(c)
		}
	}})
	public.Register(engine, public.Deps{Issuer: a.Issuer, BaseURL: a.Config.BaseURL, ServerName: "Test & Authority", Log: a.Issuer.Log})
	wallet.Register(engine, wallet.Deps{Issuer: a.Issuer, BaseURL: a.Config.BaseURL, Log: a.Issuer.Log, Now: a.Clock.Now})
	return a
}

// collection is a document that waits for a wallet.
type collection struct {
	request    domain.Request
	link, code string
}

// path is the path of the collection page.
func (c collection) path() string { return c.link[strings.Index(c.link, "/c/"):] }

func (c collection) token() string { return strings.TrimPrefix(c.path(), "/c/") }

func (a *authority) newCollection(profile domain.Profile) collection {
	a.t.Helper()
	person := a.Person(a.t)
	r, err := a.Issuer.CreateRequest(a.t.Context(), a.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
	require.NoError(a.t, err)
	shown, err := a.Issuer.ViewCode(a.t.Context(), a.Admin(), r.ID)
	require.NoError(a.t, err)
	return collection{r, shown.Link, shown.Code}
}

// collect lets the reference wallet collect from the address of the collection page alone, and gives the document's id.
func (a *authority) collect(c collection) string {
	a.t.Helper()
	folder, err := reference.Open(a.t.TempDir())
	require.NoError(a.t, err)
	w, err := reference.New(reference.Options{Store: folder, HTTPClient: a.web.Client(), Now: a.Clock.Now})
	require.NoError(a.t, err)
	_, err = w.Collect(a.t.Context(), c.link, c.code, reference.CollectOptions{Keys: 2})
	require.NoError(a.t, err)
	r, err := a.Issuer.Request(a.t.Context(), a.Admin(), c.request.ID)
	require.NoError(a.t, err)
	require.Equal(a.t, domain.RequestIssued, r.State)
	return r.DocumentID
}

// answer is an HTTP answer, read.
type answer struct {
	status int
	header http.Header
	body   string
}

// get fetches a path with header fields given as name and value in turn.
func (a *authority) get(path string, header ...string) answer {
	return a.do(http.MethodGet, path, header...)
}

func (a *authority) do(method, path string, header ...string) answer {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), method, a.web.URL+path, nil)
	require.NoError(a.t, err)
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := a.web.Client().Do(request)
	require.NoError(a.t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	require.NoError(a.t, response.Body.Close())
	return answer{response.StatusCode, response.Header, string(body)}
}
