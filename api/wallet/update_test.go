package wallet_test

import (
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/store"
	reference "github.com/mdocket/mdocket/internal/wallet"
)

// askUpdate asks for an update of the document of a request.
func (a *authority) askUpdate(t testing.TB, requestID string) domain.Request {
	t.Helper()
	d, err := a.Store.DocumentOfRequest(t.Context(), requestID)
	require.NoError(t, err)
	u, err := a.Issuer.UpdateDocument(t.Context(), a.Admin(), "", issuer.NewUpdate{DocumentID: d.ID, Reason: domain.ReasonReprovision})
	require.NoError(t, err)
	return u
}

var errLost = errors.New("the answer got lost")

// answerLoss carries requests to a path out and loses their answers.
type answerLoss struct {
	http.RoundTripper
	mu   sync.Mutex
	path string
	left int
}

func (l *answerLoss) lose(path string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.path, l.left = path, n
}

// RoundTrip implements http.RoundTripper.
func (l *answerLoss) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.left == 0 || !strings.HasSuffix(r.URL.Path, l.path) {
		return response, err
	}
	l.left--
	return nil, errors.Join(errLost, response.Body.Close())
}

// holder is a reference wallet with a document of two copies.
type holder struct {
	*reference.Wallet
	store    *reference.Store
	loss     *answerLoss
	document reference.Document
	request  domain.Request
}

func (a *authority) newHolder(t testing.TB) holder {
	t.Helper()
	h := holder{loss: &answerLoss{RoundTripper: a.web.Client().Transport}}
	var err error
	h.store, err = reference.Open(t.TempDir())
	require.NoError(t, err)
	h.Wallet, err = reference.New(reference.Options{Store: h.store, HTTPClient: &http.Client{Transport: h.loss}, Now: a.Clock.Now,
		Retry: reference.Retry{Attempts: 2, Backoff: 1}})
	require.NoError(t, err)
	col := a.newCollection()
	got, err := h.Collect(t.Context(), a.Config.BaseURL+"/oid4vci/offers/"+col.linkToken, col.code, reference.CollectOptions{Keys: 2})
	require.NoError(t, err)
	h.document, h.request = got.Document, col.request
	return h
}

// requireHeld checks that the wallet has the document of a request with all its copies, and that it is active.
func (a *authority) requireHeld(t testing.TB, h holder, requestID string) {
	t.Helper()
	d, err := a.Store.DocumentOfRequest(t.Context(), requestID)
	require.NoError(t, err)
	require.Equal(t, domain.DocumentActive, d.State)
	copies, err := a.Store.Copies(t.Context(), d.ID)
	require.NoError(t, err)
	listed, err := h.List()
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.Equal(t, h.document.ID, listed[0].ID)
	require.Len(t, copies, len(listed[0].Copies))
	for i, c := range copies {
		require.Equal(t, c.KeyThumbprint, listed[0].Copies[i].KeyID)
		data, _, err := h.store.Copy(h.document.ID, i)
		require.NoError(t, err)
		require.Equal(t, c.IssuerSigned, data)
	}
}

// The reference wallet gets the newer version by itself, whatever answers get lost on the way.
func TestReferenceWalletRefreshes(t *testing.T) {
	for _, path := range []string{"", "/dmv"} {
		for _, lost := range []string{"", "/oid4vci/token", "/oid4vci/nonce", "/oid4vci/credential"} {
			for _, times := range []int{1, 2} { // two are all that the wallet sends of a step
				t.Run(path+lost, func(t *testing.T) {
					a := newAuthority(t, path)
					h := a.newHolder(t)
					news := func() *reference.Refreshed {
						got, err := h.Refresh(t.Context(), h.document.ID)
						require.NoError(t, err)
						return got
					}
					require.False(t, news().Updated)
					a.requireHeld(t, h, h.request.ID)

					u := a.askUpdate(t, h.request.ID)
					if lost != "" {
						h.loss.lose(lost, times)
						if times == 2 {
							_, err := h.Refresh(t.Context(), h.document.ID)
							require.ErrorIs(t, err, reference.ErrNoAnswer)
						}
					}
					require.True(t, news().Updated)
					a.requireHeld(t, h, u.ID)
					old, err := a.Store.DocumentOfRequest(t.Context(), h.request.ID)
					require.NoError(t, err)
					require.Equal(t, domain.DocumentSuperseded, old.State)
					require.False(t, news().Updated)

					u = a.askUpdate(t, u.ID)
					require.True(t, news().Updated)
					a.requireHeld(t, h, u.ID)
				})
			}
		}
	}
}

// A document that is out of use is not refreshed, and the wallet keeps what it has for the day it is.
func TestReferenceWalletOfADisabledDocument(t *testing.T) {
	a := newAuthority(t, "")
	h := a.newHolder(t)
	u := a.askUpdate(t, h.request.ID)
	d, err := a.Store.DocumentOfRequest(t.Context(), h.request.ID)
	require.NoError(t, err)
	change := func(act domain.DocumentAct) {
		_, err := a.Issuer.ChangeDocument(t.Context(), a.Admin(), d.ID, act, domain.ReasonLost, "")
		require.NoError(t, err)
	}
	change(domain.DocumentDisable)
	_, err = h.Refresh(t.Context(), h.document.ID)
	refusedWith(t, err, http.StatusBadRequest, oid4vci.InvalidGrant)
	change(domain.DocumentEnable)
	_, err = h.Refresh(t.Context(), h.document.ID)
	require.NoError(t, err)
	a.requireHeld(t, h, u.ID)
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {oid4vci.GrantRefreshToken}, "refresh_token": {token}}
}

// tokens reads a token response.
func (r answer) tokens(t testing.TB) oid4vci.TokenResponse {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.body)
	require.Equal(t, "no-store", r.header.Get("Cache-Control"))
	parsed, err := oid4vci.ParseTokenResponse([]byte(r.body))
	require.NoError(t, err)
	return parsed
}

func TestRefreshTokenGrant(t *testing.T) {
	a := newAuthority(t, "")
	col := a.newCollection()
	offer, err := a.Issuer.Offer(t.Context(), col.linkToken)
	require.NoError(t, err)
	first := a.postForm(tokenForm(offer.PreAuthorizedCode, col.code))
	require.NotContains(t, first.body, "update_available", "that is for answers to refresh tokens")
	token := first.tokens(t)
	require.NotEmpty(t, token.RefreshToken)
	refused := func(form url.Values, code oid4vci.ErrorCode) {
		t.Helper()
		a.changesNothing(t, func() {
			got := a.postForm(form)
			require.Equal(t, http.StatusBadRequest, got.status)
			require.Equal(t, code, got.oauth(t).Code)
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		})
	}
	refused(refreshForm(token.RefreshToken), oid4vci.InvalidGrant) // not collected yet

	s := session{authority: a, token: token.AccessToken}
	s.issuer, err = a.client().Metadata(t.Context(), oid4vci.CredentialOffer{CredentialIssuer: a.Config.BaseURL})
	require.NoError(t, err)
	s.keys = append(s.keys, newKey(t, elliptic.P256()))
	issued, err := s.ask(s.proofs(s.nonce()))
	require.NoError(t, err)

	for name, form := range map[string]url.Values{"missing": refreshForm(""), "twice": {"grant_type": {oid4vci.GrantRefreshToken},
		"refresh_token": {token.RefreshToken, token.RefreshToken}}, "too long": refreshForm(strings.Repeat("x", 5000))} {
		t.Run(name, func(*testing.T) { refused(form, oid4vci.InvalidRequest) })
	}
	refused(refreshForm("x"), oid4vci.InvalidGrant)
	refused(refreshForm(token.AccessToken), oid4vci.InvalidGrant)

	form := refreshForm(token.RefreshToken)
	form.Set("authorization_details", `[{"type":"openid_credential","credential_configuration_id":"mdl"}]`)
	form.Set("scope", "whatever")
	form.Set("client_id", "somebody")
	got := a.postForm(form)
	require.Contains(t, got.body, `"update_available":false`)
	next := got.tokens(t)
	require.Equal(t, []string{configuration}, next.CredentialIdentifiers(configuration))
	require.Equal(t, 3600, next.ExpiresIn)
	s.token = next.AccessToken
	again, err := s.ask(s.proofs(s.nonce()))
	require.NoError(t, err)
	require.Equal(t, issued, again, "the same keys, the same document")
	s.keys[0] = newKey(t, elliptic.P256())
	_, err = s.ask(s.proofs(s.nonce()))
	refusedWith(t, err, http.StatusBadRequest, oid4vci.CredentialRequestDenied)

	a.askUpdate(t, col.request.ID)
	next = a.postForm(refreshForm(next.RefreshToken)).tokens(t)
	require.True(t, *next.UpdateAvailable)
	s.token = next.AccessToken
	_, err = s.ask(s.proofs(s.nonce()))
	require.NoError(t, err)

	// An old token comes back: no token works any more.
	require.Equal(t, oid4vci.InvalidGrant, a.postForm(refreshForm(token.RefreshToken)).oauth(t).Code)
	refused(refreshForm(next.RefreshToken), oid4vci.InvalidGrant)
	docs, err := a.Issuer.Documents(t.Context(), a.Admin(), store.DocumentFilter{State: domain.DocumentActive}, "", 0)
	require.NoError(t, err)
	require.Len(t, docs, 1)
	require.NotContains(t, a.Logs.String(), token.RefreshToken)
}

// An update has no offer: neither link nor code leads to it.
func TestUpdateHasNoOffer(t *testing.T) {
	a := newAuthority(t, "")
	col := a.newCollection()
	s := a.redeemed(col, elliptic.P256())
	_, err := s.ask(s.proofs(s.nonce()))
	require.NoError(t, err)
	u := a.askUpdate(t, col.request.ID)
	_, err = a.Issuer.ViewCode(t.Context(), a.Admin(), u.ID)
	require.Equal(t, domain.CodeWrongState, domain.CodeOf(err))
	for _, m := range a.Mail.Sent()[len(a.Mail.Sent())-1:] {
		require.NotContains(t, m.Text+m.HTML, "/c/")
	}
}

func TestUpdateEndpoint(t *testing.T) {
	a := newAuthority(t, "/dmv")
	col := a.newCollection()
	s := a.redeemed(col, elliptic.P256())
	ask := func(header http.Header) (got answer) {
		a.changesNothing(t, func() { got = a.do(http.MethodGet, "/oid4vci/update", nil, header) })
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
		return got
	}
	bearer := http.Header{"Authorization": {"Bearer " + s.token}}
	says := func(want bool) {
		t.Helper()
		got := ask(bearer)
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, oid4vci.ContentTypeJSON, got.header.Get("Content-Type"))
		var said map[string]bool
		require.NoError(t, json.Unmarshal([]byte(got.body), &said))
		require.Equal(t, map[string]bool{"update_available": want}, said)
	}
	says(false)
	_, err := s.ask(s.proofs(s.nonce()))
	require.NoError(t, err)
	says(false)
	a.askUpdate(t, col.request.ID)
	says(true)

	got := ask(nil)
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Equal(t, "Bearer", got.header.Get("WWW-Authenticate"))
	got = ask(http.Header{"Authorization": {"Bearer nonsense"}})
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Contains(t, got.header.Get("WWW-Authenticate"), `error="invalid_token"`)
	got = a.do(http.MethodPost, "/oid4vci/update", nil, bearer)
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	got = a.do(http.MethodOptions, "/oid4vci/update", nil, nil)
	require.Equal(t, http.StatusNoContent, got.status)
	require.Equal(t, "GET, HEAD", got.header.Get("Access-Control-Allow-Methods"))
}
