package wallet_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

const (
	docType   = "org.iso.18013.5.1.mDL"
	nameSpace = "org.iso.18013.5.1"
	txCode    = "493536"
)

var now = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

// testIssuer is a small issuer that keeps to the rules: one code for one wallet, the same keys get the same documents,
// proofs are verified, nonces are used once. Tests bend it through its exported fields before the first request.
type testIssuer struct {
	*httptest.Server
	t      testing.TB
	root   *x509.Certificate
	signer mdoc.Signer

	mu       sync.Mutex
	offers   map[string]oid4vci.CredentialOffer // by offer id
	redeemed map[string]bool                    // codes
	tokens   map[string]bool
	nonces   map[string]bool
	issued   map[string]oid4vci.CredentialResponse // by key thumbprints
	deferred map[string]string                     // transaction id to key thumbprints
	bent     map[string]func(w http.ResponseWriter, r *http.Request) bool
	lost     map[string]int

	requests      map[string]int // by path
	notifications []oid4vci.NotificationRequest
	asked         []oid4vci.CredentialRequest // with good proofs
	keys          []string
	agents        map[string]bool
	refreshTokens map[string]bool

	Metadata   oid4vci.IssuerMetadata
	AS         oid4vci.AuthorizationServerMetadata
	TokenExtra func(*oid4vci.TokenResponse)
	Request    func(*mdoc.Request)               // edits a document before it is signed
	Response   func(*oid4vci.CredentialResponse) // edits a response before it is sent
	Defer      bool                              // answer 202 first
	Attestors  *x509.CertPool                    // whose key attestations are demanded; nil = none
	Update     *bool                             // what answers to refresh tokens say of updates
}

func newTestIssuer(t testing.TB) *testIssuer {
	t.Helper()
	i := &testIssuer{
		t: t, offers: map[string]oid4vci.CredentialOffer{}, redeemed: map[string]bool{}, tokens: map[string]bool{},
		nonces: map[string]bool{}, issued: map[string]oid4vci.CredentialResponse{}, deferred: map[string]string{},
		bent: map[string]func(http.ResponseWriter, *http.Request) bool{}, lost: map[string]int{},
		requests: map[string]int{}, agents: map[string]bool{}, refreshTokens: map[string]bool{},
	}
	i.root, i.signer = newAuthority(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-credential-issuer/dmv", func(w http.ResponseWriter, _ *http.Request) {
		i.send(w, 200, i.Metadata)
	})
	mux.HandleFunc("GET /.well-known/oauth-authorization-server/dmv", func(w http.ResponseWriter, _ *http.Request) {
		i.send(w, 200, i.AS)
	})
	mux.HandleFunc("GET /dmv/offers/{id}", i.offer)
	mux.HandleFunc("GET /dmv/collect/{id}", i.page)
	mux.HandleFunc("POST /dmv/token", i.token)
	mux.HandleFunc("POST /dmv/nonce", i.nonce)
	mux.HandleFunc("POST /dmv/credential", i.credential)
	mux.HandleFunc("POST /dmv/deferred", i.deferredCredential)
	mux.HandleFunc("POST /dmv/notification", i.notification)
	i.Server = httptest.NewServer(i.wrap(mux))
	t.Cleanup(i.Close)

	i.Metadata = oid4vci.IssuerMetadata{
		CredentialIssuer: i.id(), CredentialEndpoint: i.id() + "/credential", NonceEndpoint: i.id() + "/nonce",
		DeferredCredentialEndpoint: i.id() + "/deferred", NotificationEndpoint: i.id() + "/notification",
		BatchCredentialIssuance: &oid4vci.BatchCredentialIssuance{BatchSize: 3},
		CredentialConfigurations: map[string]oid4vci.CredentialConfiguration{
			"mdl": {
				Format: oid4vci.FormatMdoc, DocType: docType, BindingMethods: []string{oid4vci.BindingCOSEKey},
				CredentialSigningAlgs: []int{oid4vci.COSEES256},
				ProofTypes: map[string]oid4vci.ProofType{
					oid4vci.ProofTypeJWT: {SigningAlgs: []string{"ES256", "ES384"}},
				},
			},
			"other": {Format: "dc+sd-jwt"},
		},
	}
	i.AS = oid4vci.AuthorizationServerMetadata{
		Issuer: i.id(), TokenEndpoint: i.id() + "/token", GrantTypesSupported: []string{oid4vci.GrantPreAuthorizedCode},
		PreAuthorizedGrantAnonymousAccess: true,
	}
	return i
}

// newAuthority makes an IACA root and a document signer.
func newAuthority(t testing.TB) (*x509.Certificate, mdoc.Signer) {
	t.Helper()
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 0, 18013, 5, 1, 2}})
	require.NoError(t, err)
	rootTemplate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"UT"}, CommonName: "Utopia IACA"},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(8, 0, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	signerTemplate := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Country: []string{"UT"}, CommonName: "Utopia DS"},
		NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}
	certify := func(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
		require.NoError(t, err)
		certificate, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return certificate
	}
	rootKey, key := newKey(t), newKey(t)
	root := certify(rootTemplate, rootTemplate, rootKey.Public(), rootKey)
	return root, mdoc.Signer{Key: key, Chain: []*x509.Certificate{certify(signerTemplate, root, key.Public(), rootKey)}}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func (i *testIssuer) id() string { return i.URL + "/dmv" }

// newOffer makes an offer and returns its id, which is part of its address, of the collection page's and of the code.
func (i *testIssuer) newOffer() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	id := fmt.Sprintf("secret-%d", len(i.offers)+1)
	i.offers[id] = oid4vci.CredentialOffer{
		CredentialIssuer: i.id(), CredentialConfigurationIDs: []string{"other", "mdl"},
		Grants: oid4vci.OfferGrants{PreAuthorizedCode: &oid4vci.PreAuthorizedCodeGrant{
			PreAuthorizedCode: "code-of-" + id, TxCode: &oid4vci.TxCode{InputMode: oid4vci.InputModeNumeric, Length: 6},
		}},
	}
	return id
}

// change edits an offer.
func (i *testIssuer) change(id string, edit func(*oid4vci.CredentialOffer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	offer := i.offers[id]
	edit(&offer)
	i.offers[id] = offer
}

func (i *testIssuer) offerURI(id string) string { return i.id() + "/offers/" + id }

func (i *testIssuer) link(id string) string {
	link, err := oid4vci.DeepLinkByReference(i.offerURI(id))
	require.NoError(i.t, err)
	return link
}

// bend puts a handler before the one of the path; it tells whether it has answered.
func (i *testIssuer) bend(path string, handler func(w http.ResponseWriter, r *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.bent[path] = handler
}

// bendTimes answers the first n requests to the path with a status and an error code.
func (i *testIssuer) bendTimes(path string, n, status int, code oid4vci.ErrorCode, header http.Header) {
	i.bend(path, func(w http.ResponseWriter, _ *http.Request) bool {
		if n--; n < 0 {
			return false
		}
		maps.Copy(w.Header(), header)
		i.send(w, status, oid4vci.NewError(code, ""))
		return true
	})
}

// lose carries out the next n requests to the path and breaks the connection instead of answering.
func (i *testIssuer) lose(path string, n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lost[path] = n
}

func (i *testIssuer) count(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests[path]
}

// expireTokens makes all access tokens unknown.
func (i *testIssuer) expireTokens() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.tokens)
}

// offerOf returns an offer by its id.
func (i *testIssuer) offerOf(id string) oid4vci.CredentialOffer {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.offers[id]
}

// seen is what the issuer has seen so far.
type seen struct {
	Issued        int // sets of keys that documents were issued for
	Notifications []oid4vci.NotificationRequest
	Requests      []oid4vci.CredentialRequest
	Keys          []string // thumbprints, in order
	Agents        []string // distinct User-Agent headers
}

func (i *testIssuer) seen() seen {
	i.mu.Lock()
	defer i.mu.Unlock()
	return seen{
		Issued: len(i.issued), Notifications: slices.Clone(i.notifications), Requests: slices.Clone(i.asked),
		Keys: slices.Clone(i.keys), Agents: slices.Collect(maps.Keys(i.agents)),
	}
}

func (i *testIssuer) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock() // one request at a time: the issuer's state needs no more
		i.requests[r.URL.Path]++
		i.agents[r.Header.Get("User-Agent")] = true
		if handler := i.bent[r.URL.Path]; handler != nil && handler(w, r) {
			return
		}
		if i.lost[r.URL.Path] > 0 {
			i.lost[r.URL.Path]--
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

func (i *testIssuer) send(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", oid4vci.ContentTypeJSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone
}

func (i *testIssuer) refuse(w http.ResponseWriter, e *oid4vci.Error) { i.send(w, e.Status(), e) }

func (i *testIssuer) offer(w http.ResponseWriter, r *http.Request) {
	offer, known := i.offers[r.PathValue("id")]
	if !known {
		http.NotFound(w, r)
		return
	}
	i.send(w, 200, offer)
}

func (i *testIssuer) page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, `<!doctype html><html><head><title>Collect</title><link rel="icon" href="/x.png">
		<link rel="openid-credential-offer" href="%s"></head><body><a href="/help">Help</a></body></html>`,
		i.link(r.PathValue("id")))
}

func (i *testIssuer) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		i.refuse(w, oid4vci.NewError(oid4vci.InvalidRequest, ""))
		return
	}
	request, refused := oid4vci.ParseTokenRequest(r.PostForm)
	if refused != nil {
		i.refuse(w, refused)
		return
	}
	if request.GrantType == oid4vci.GrantRefreshToken {
		i.refresh(w, request.RefreshToken)
		return
	}
	offer, known := i.offers[strings.TrimPrefix(request.PreAuthorizedCode, "code-of-")]
	asked := known && offer.Grants.PreAuthorizedCode.TxCode != nil
	switch {
	case !known || i.redeemed[request.PreAuthorizedCode]:
		i.refuse(w, oid4vci.NewError(oid4vci.InvalidGrant, "the code is unknown or used"))
	case asked != (request.TxCode != ""):
		i.refuse(w, oid4vci.NewError(oid4vci.InvalidRequest, "tx_code"))
	case asked && request.TxCode != txCode:
		i.refuse(w, oid4vci.NewError(oid4vci.InvalidGrant, "wrong transaction code"))
	default:
		i.redeemed[request.PreAuthorizedCode] = true
		response := oid4vci.TokenResponse{AccessToken: "token-" + rand.Text(), TokenType: "bearer", ExpiresIn: 300}
		i.tokens[response.AccessToken] = true
		if i.TokenExtra != nil {
			i.TokenExtra(&response)
		}
		i.send(w, 200, response)
	}
}

// refresh takes each refresh token once and gives another.
func (i *testIssuer) refresh(w http.ResponseWriter, token string) {
	if !i.refreshTokens[token] {
		i.refuse(w, oid4vci.NewError(oid4vci.InvalidGrant, "the refresh token is unknown or used"))
		return
	}
	delete(i.refreshTokens, token)
	response := oid4vci.TokenResponse{AccessToken: "token-" + rand.Text(), TokenType: "Bearer", ExpiresIn: 300,
		RefreshToken: "token-" + rand.Text(), UpdateAvailable: i.Update}
	i.tokens[response.AccessToken], i.refreshTokens[response.RefreshToken] = true, true
	i.send(w, 200, response)
}

// refreshes makes the issuer give refresh tokens and say what it has.
func (i *testIssuer) refreshes(update *bool) {
	i.AS.GrantTypesSupported = append(i.AS.GrantTypesSupported, oid4vci.GrantRefreshToken)
	i.Update = update
	i.TokenExtra = func(response *oid4vci.TokenResponse) {
		response.RefreshToken = "token-" + rand.Text()
		i.refreshTokens[response.RefreshToken] = true
	}
}

// set changes the issuer between two requests.
func (i *testIssuer) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func (i *testIssuer) nonce(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	i.nonces[nonce] = true
	i.send(w, 200, oid4vci.NonceResponse{CNonce: nonce})
}

// bearer checks the access token.
func (i *testIssuer) bearer(w http.ResponseWriter, r *http.Request) bool {
	token, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if isBearer && i.tokens[token] {
		return true
	}
	e := oid4vci.NewError(oid4vci.InvalidToken, "")
	w.Header().Set("WWW-Authenticate", e.BearerChallenge())
	w.WriteHeader(e.Status())
	return false
}

func (i *testIssuer) credential(w http.ResponseWriter, r *http.Request) {
	if !i.bearer(w, r) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, oid4vci.MaxCredentialRequest+1))
	if err != nil {
		i.refuse(w, oid4vci.NewError(oid4vci.InvalidCredentialRequest, ""))
		return
	}
	request, refused := oid4vci.ParseCredentialRequest(body, 3)
	if refused != nil {
		i.refuse(w, refused)
		return
	}
	verifier := oid4vci.ProofVerifier{
		Audience: i.id(), Algorithms: []string{"ES256", "ES384"}, Now: func() time.Time { return now }, MaxAge: time.Minute,
		CheckNonce: func(_ context.Context, nonce string) error {
			if !i.nonces[nonce] {
				return oid4vci.ErrNonceRefused
			}
			delete(i.nonces, nonce)
			return nil
		},
		AttestationRoots: i.Attestors,
	}
	proofs, err := verifier.VerifyJWTProofs(r.Context(), request.Proofs.JWT)
	if err != nil {
		if !errors.As(err, &refused) {
			refused = oid4vci.NewError(oid4vci.ServerError, "")
		}
		i.refuse(w, refused)
		return
	}
	i.asked = append(i.asked, request)
	var thumbprints []string
	for _, proof := range proofs {
		thumbprints = append(thumbprints, proof.Thumbprint)
	}
	i.keys = append(i.keys, thumbprints...)
	id := strings.Join(thumbprints, " ")
	if _, done := i.issued[id]; !done {
		i.issued[id] = i.issue(proofs)
	}
	if i.Defer && !slices.Contains(slices.Collect(maps.Values(i.deferred)), id) {
		transaction := rand.Text()
		i.deferred[transaction] = id
		i.send(w, 202, oid4vci.CredentialResponse{TransactionID: transaction, Interval: 60})
		return
	}
	i.respond(w, i.issued[id])
}

func (i *testIssuer) respond(w http.ResponseWriter, response oid4vci.CredentialResponse) {
	if i.Response != nil {
		i.Response(&response)
	}
	i.send(w, 200, response)
}

func (i *testIssuer) deferredCredential(w http.ResponseWriter, r *http.Request) {
	if !i.bearer(w, r) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, oid4vci.MaxSmallRequest+1))
	if err != nil {
		i.refuse(w, oid4vci.NewError(oid4vci.InvalidCredentialRequest, ""))
		return
	}
	request, refused := oid4vci.ParseDeferredCredentialRequest(body)
	id, known := i.deferred[request.TransactionID]
	switch {
	case refused != nil:
		i.refuse(w, refused)
	case !known:
		i.refuse(w, oid4vci.NewError(oid4vci.InvalidTransactionID, ""))
	default:
		i.deferred[request.TransactionID+" (done)"] = id
		delete(i.deferred, request.TransactionID)
		i.respond(w, i.issued[id])
	}
}

func (i *testIssuer) notification(w http.ResponseWriter, r *http.Request) {
	if !i.bearer(w, r) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, oid4vci.MaxSmallRequest+1))
	if err != nil {
		i.refuse(w, oid4vci.NewError(oid4vci.InvalidNotificationRequest, ""))
		return
	}
	request, refused := oid4vci.ParseNotificationRequest(body)
	if refused != nil {
		i.refuse(w, refused)
		return
	}
	i.notifications = append(i.notifications, request)
	w.WriteHeader(http.StatusNoContent)
}

// issue makes one document for each key.
func (i *testIssuer) issue(proofs []oid4vci.VerifiedProof) oid4vci.CredentialResponse {
	response := oid4vci.CredentialResponse{NotificationID: rand.Text()}
	for _, proof := range proofs {
		request := mdoc.Request{
			DocType: docType, DigestAlgorithm: mdoc.SHA256, DeviceKey: proof.Key,
			Signed: now, ValidFrom: now, ValidUntil: now.AddDate(0, 6, 0),
			NameSpaces: []mdoc.NameSpace{{Name: nameSpace, Elements: []mdoc.Element{
				{Identifier: "family_name", Value: "Mustermann\x1b[31m"},
				{Identifier: "birth_date", Value: mdoc.FullDate("1964-08-12")},
				{Identifier: "portrait", Value: append([]byte{0xff, 0xd8, 0xff, 0xe0}, bytes.Repeat([]byte{1}, 996)...)},
				{Identifier: "portrait_capture_date", Value: mdoc.TDate("2026-01-02T03:04:05Z")},
				{Identifier: "signature_usual_mark", Value: []byte{0xff, 0x4f, 0xff, 0x51, 0}},
				{Identifier: "biometric_template_face", Value: bytes.Repeat([]byte{7}, 64)},
				{Identifier: "height", Value: uint64(175)},
				{Identifier: "temperature", Value: int64(-3)},
				{Identifier: "age_over_18", Value: true},
				{Identifier: "token", Value: []byte{1, 2, 3}},
				{Identifier: "driving_privileges", Value: []any{
					mdoc.Map{{Key: "vehicle_category_code", Value: "B"}, {Key: "issue_date", Value: mdoc.FullDate("1984-01-31")}},
				}},
			}}},
		}
		if i.Request != nil {
			i.Request(&request)
		}
		issued, err := mdoc.Issue(rand.Reader, request, i.signer)
		if err != nil {
			panic(err)
		}
		response.Credentials = append(response.Credentials, oid4vci.NewIssuedMdoc(issued.Bytes))
	}
	return response
}
