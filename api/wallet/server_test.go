package wallet_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/wallet"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/oid4vci"
	reference "github.com/mdocket/mdocket/internal/wallet"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	os.Exit(m.Run())
}

const configuration = "mdl"

// authority is an issuing authority with its wallet endpoints on loopback.
type authority struct {
	*issuertest.Fixture
	web     *httptest.Server
	t       testing.TB
	profile domain.Profile
}

// newAuthority starts one; path is the path of its base URL, empty for none.
func newAuthority(t testing.TB, path string, options ...func(*domain.ProfileOptions)) *authority {
	t.Helper()
	return newAuthorityWith(t, path, issuertest.Options{}, options...)
}

func newAuthorityWith(t testing.TB, path string, o issuertest.Options, options ...func(*domain.ProfileOptions)) *authority {
	t.Helper()
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	a := &authority{t: t}
	a.web = httptest.NewServer(stripPath(path, engine))
	t.Cleanup(a.web.Close)
	o.BaseURL = a.web.URL + path
	a.Fixture = issuertest.New(t, o)
	wallet.Register(engine, wallet.Deps{Issuer: a.Issuer, BaseURL: a.Config.BaseURL, ServerName: "Test Authority", Log: a.Issuer.Log,
		Now: a.Clock.Now})
	a.profile = a.Profile(t, configuration, options...)
	return a
}

// stripPath is the proxy in front of a base URL with a path.
func stripPath(path string, next http.Handler) http.Handler {
	if path == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.TrimPrefix(r.URL.Path, path)
		next.ServeHTTP(w, r)
	})
}

// collection is a document that waits for a wallet.
type collection struct {
	request   domain.Request
	linkToken string
	code      string
}

func (a *authority) newCollection(change ...func(*domain.Person)) collection {
	a.t.Helper()
	person := a.Person(a.t, change...)
	r, err := a.Issuer.CreateRequest(a.t.Context(), a.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: a.profile.ID})
	require.NoError(a.t, err)
	return a.read(r)
}

// read gets link and code as an operator would.
func (a *authority) read(r domain.Request) collection {
	a.t.Helper()
	shown, err := a.Issuer.ViewCode(a.t.Context(), a.Admin(), r.ID)
	require.NoError(a.t, err)
	return collection{request: r, linkToken: shown.Link[strings.LastIndex(shown.Link, "/")+1:], code: shown.Code}
}

func (a *authority) client() *reference.Client {
	return reference.NewClient(reference.ClientOptions{HTTPClient: a.web.Client(), Now: a.Clock.Now, UserAgent: "okhttp/4.12.0"})
}

// session is a wallet that has an access token and keys.
type session struct {
	*authority
	issuer *reference.Issuer
	token  string
	keys   []*ecdsa.PrivateKey
}

// redeemed goes through the flow up to the token.
func (a *authority) redeemed(col collection, curves ...elliptic.Curve) session {
	a.t.Helper()
	ctx, c := a.t.Context(), a.client()
	link, err := oid4vci.DeepLinkByReference(wallet.OfferURI(a.Config.BaseURL, col.linkToken))
	require.NoError(a.t, err)
	offer, err := c.FetchOffer(ctx, link)
	require.NoError(a.t, err)
	metadata, err := c.Metadata(ctx, offer)
	require.NoError(a.t, err)
	token, err := c.Token(ctx, metadata, offer, col.code)
	require.NoError(a.t, err)
	s := session{authority: a, issuer: metadata, token: token.AccessToken}
	for _, curve := range curves {
		s.keys = append(s.keys, newKey(a.t, curve))
	}
	return s
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

func (s session) nonce() string {
	s.t.Helper()
	nonce, err := s.client().Nonce(s.t.Context(), s.issuer)
	require.NoError(s.t, err)
	return nonce
}

// proofs signs for the session's keys.
func (s session) proofs(nonce string) []string {
	s.t.Helper()
	proofs, err := s.client().Proofs(s.issuer, s.keys, nonce)
	require.NoError(s.t, err)
	return proofs
}

// ask sends a credential request for the configuration with the proofs.
func (s session) ask(proofs []string) (oid4vci.CredentialResponse, error) {
	return s.client().Credential(s.t.Context(), s.issuer, s.token,
		oid4vci.CredentialRequest{CredentialConfigurationID: configuration, Proofs: oid4vci.Proofs{JWT: proofs}})
}

// answer is an HTTP answer, read.
type answer struct {
	status int
	header http.Header
	body   string
}

// oauth gives the error code of an error body.
func (r answer) oauth(t testing.TB) oid4vci.Error {
	t.Helper()
	require.Equal(t, oid4vci.ContentTypeJSON, r.header.Get("Content-Type"))
	var e oid4vci.Error
	require.NoError(t, json.Unmarshal([]byte(r.body), &e))
	return e
}

// do sends a request to a path below the base URL, or to an address.
func (a *authority) do(method, path string, body []byte, header http.Header) answer {
	a.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = a.Config.BaseURL + path
	}
	request, err := http.NewRequestWithContext(a.t.Context(), method, path, bytes.NewReader(body))
	require.NoError(a.t, err)
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := a.web.Client().Do(request)
	require.NoError(a.t, err)
	read, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	require.NoError(a.t, response.Body.Close())
	return answer{response.StatusCode, response.Header, string(read)}
}

func (a *authority) postForm(form url.Values) answer {
	a.t.Helper()
	return a.do(http.MethodPost, "/oid4vci/token", []byte(form.Encode()), http.Header{"Content-Type": {oid4vci.ContentTypeForm}})
}

func (s session) postCredential(body string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/oid4vci/credential", []byte(body),
		http.Header{"Content-Type": {oid4vci.ContentTypeJSON}, "Authorization": {"Bearer " + s.token}})
}

// changesNothing runs fn and checks that no row of any table was added, changed or removed.
func (a *authority) changesNothing(t testing.TB, fn func()) {
	t.Helper()
	before := a.rows(t)
	fn()
	require.Equal(t, before, a.rows(t), "something was changed")
}

// rows reads the whole database: the rows of each table, as text, in the order of the table.
func (a *authority) rows(t testing.TB) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(a.DSN, "sqlite:")+"?mode=ro")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	all := map[string][]string{}
	for _, table := range query(t, db, `SELECT name FROM sqlite_schema WHERE type = 'table'`) {
		all[table] = query(t, db, `SELECT * FROM "`+table+`"`)
	}
	require.NotEmpty(t, all["audit_entries"])
	return all
}

// query gives each row of the answer as text.
func query(t testing.TB, db *sql.DB, statement string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), statement)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, rows.Scan(into...))
		cells := make([]string, len(columns))
		for i, v := range values {
			cells[i] = string(v)
		}
		out = append(out, strings.Join(cells, "|"))
	}
	require.NoError(t, rows.Err())
	return out
}

// refusedWith asks that err is an answer with that code and status.
func refusedWith(t testing.TB, err error, status int, code oid4vci.ErrorCode) {
	t.Helper()
	var refused *reference.ProtocolError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code)
	require.Equal(t, status, refused.Status)
}
