package wallet_test

import (
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/wallet"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

func tokenForm(preAuthorized, code string) url.Values {
	return url.Values{"grant_type": {oid4vci.GrantPreAuthorizedCode}, "pre-authorized_code": {preAuthorized}, "tx_code": {code}}
}

func wrong(code string) string {
	return strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, code)
}

func TestMetadata(t *testing.T) {
	a := newAuthority(t, "/dmv")
	a.Profile(t, "licence", func(o *domain.ProfileOptions) { o.DisplayName, o.MaxCopies = "Mobile driving licence", 7 })
	got := a.do(http.MethodGet, a.web.URL+"/.well-known/openid-credential-issuer/dmv", nil, nil)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, oid4vci.ContentTypeJSON, got.header.Get("Content-Type"))
	require.Equal(t, "public, no-cache", got.header.Get("Cache-Control"))
	require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
	m, err := oid4vci.ParseIssuerMetadata([]byte(got.body), a.Config.BaseURL)
	require.NoError(t, err)
	require.Equal(t, a.web.URL+"/dmv/oid4vci/credential", m.CredentialEndpoint)
	require.Equal(t, a.web.URL+"/dmv/oid4vci/nonce", m.NonceEndpoint)
	require.Equal(t, 7, m.BatchCredentialIssuance.BatchSize)
	require.Equal(t, []oid4vci.Display{{Name: "Test Authority"}}, m.Display)
	require.Len(t, m.CredentialConfigurations, 2)

	mdl := m.CredentialConfigurations[configuration]
	require.Equal(t, oid4vci.FormatMdoc, mdl.Format)
	require.Equal(t, "org.iso.18013.5.1.mDL", mdl.DocType)
	require.Equal(t, []string{"cose_key"}, mdl.BindingMethods)
	require.Equal(t, []int{-7, -9}, mdl.CredentialSigningAlgs)
	require.Equal(t, map[string]oid4vci.ProofType{"jwt": {SigningAlgs: []string{"ES256", "ES384", "ES512"}}}, mdl.ProofTypes)
	require.Equal(t, []string{"en Driving licence", "de Driving licence"}, names(mdl.Metadata.Display))
	require.Equal(t, []string{"en Mobile driving licence", "de Mobiler Führerschein"},
		names(m.CredentialConfigurations["licence"].Metadata.Display))
	first := mdl.Metadata.Claims[0]
	require.Equal(t, oid4vci.ClaimPath{"org.iso.18013.5.1", "family_name"}, first.Path)
	require.True(t, first.Mandatory)
	require.Equal(t, []string{"en Family name", "de Familienname"}, names(first.Display))

	cached := a.do(http.MethodGet, a.web.URL+"/.well-known/openid-credential-issuer/dmv", nil,
		http.Header{"If-None-Match": {got.header.Get("ETag")}})
	require.Equal(t, http.StatusNotModified, cached.status)
	require.Empty(t, cached.body)

	// Wallets of earlier drafts append to the identifier; the proxy takes its path off.
	require.Equal(t, got.body, a.do(http.MethodGet, "/.well-known/openid-credential-issuer", nil, nil).body)

	got = a.do(http.MethodGet, a.web.URL+"/.well-known/oauth-authorization-server/dmv", nil, nil)
	require.Equal(t, http.StatusOK, got.status)
	as, err := oid4vci.ParseAuthorizationServerMetadata([]byte(got.body), a.Config.BaseURL)
	require.NoError(t, err)
	require.True(t, as.PreAuthorizedGrantAnonymousAccess)
	require.Equal(t, []string{oid4vci.GrantPreAuthorizedCode, oid4vci.GrantRefreshToken}, as.GrantTypesSupported)
	require.Equal(t, a.web.URL+"/dmv/oid4vci/token", as.TokenEndpoint)
	require.Equal(t, a.web.URL+"/dmv/status-lists", as.StatusListAggregationEndpoint)
}

func names(displays []oid4vci.Display) []string {
	out := make([]string, len(displays))
	for i, d := range displays {
		out[i] = d.Locale + " " + d.Name
	}
	return out
}

func TestMetadataFollowsProfiles(t *testing.T) {
	a := newAuthority(t, "", func(o *domain.ProfileOptions) { o.MaxCopies = 1 })
	read := func() oid4vci.IssuerMetadata {
		m, err := oid4vci.ParseIssuerMetadata([]byte(a.do(http.MethodGet, "/.well-known/openid-credential-issuer", nil, nil).body),
			a.Config.BaseURL)
		require.NoError(t, err)
		return m
	}
	require.Nil(t, read().BatchCredentialIssuance)
	a.Profile(t, "second")
	a.Clock.Advance(5 * time.Second)
	require.Equal(t, 3, read().BatchCredentialIssuance.BatchSize)
	require.Contains(t, read().CredentialConfigurations, "second")
}

func TestOffer(t *testing.T) {
	a := newAuthority(t, "")
	col := a.newCollection()
	got := a.do(http.MethodGet, "/oid4vci/offers/"+col.linkToken, nil, nil)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, oid4vci.ContentTypeJSON, got.header.Get("Content-Type"))
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.Equal(t, got.body, a.do(http.MethodGet, "/oid4vci/offers/"+col.linkToken, nil, nil).body, "it can be fetched again")
	offer, err := oid4vci.ParseCredentialOffer([]byte(got.body))
	require.NoError(t, err)
	require.Equal(t, a.Config.BaseURL, offer.CredentialIssuer)
	require.Equal(t, []string{configuration}, offer.CredentialConfigurationIDs)
	tx := offer.Grants.PreAuthorizedCode.TxCode
	require.Equal(t, "numeric", tx.InputMode)
	require.Equal(t, len(col.code), tx.Length)
	require.NotEmpty(t, tx.Description)
	require.NotContains(t, got.body, col.code)

	require.Equal(t, http.StatusNotFound, a.do(http.MethodGet, "/oid4vci/offers/unknown", nil, nil).status)
	a.Clock.Advance(365 * 24 * time.Hour)
	require.Equal(t, http.StatusGone, a.do(http.MethodGet, "/oid4vci/offers/"+col.linkToken, nil, nil).status)
}

func TestToken(t *testing.T) {
	a := newAuthority(t, "")
	offered := func() (collection, string) {
		col := a.newCollection()
		offer, err := a.Issuer.Offer(t.Context(), col.linkToken)
		require.NoError(t, err)
		return col, offer.PreAuthorizedCode
	}
	t.Run("good", func(t *testing.T) {
		col, preAuthorized := offered()
		form := tokenForm(preAuthorized, col.code[:4]+" "+col.code[4:]+"\u00a0")
		form["resource"] = []string{"https://a.example", "https://b.example"}
		form["user_pin"] = []string{"1"}
		got := a.postForm(form)
		require.Equal(t, http.StatusOK, got.status, got.body)
		require.Equal(t, oid4vci.ContentTypeJSON, got.header.Get("Content-Type"))
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
		token, err := oid4vci.ParseTokenResponse([]byte(got.body))
		require.NoError(t, err)
		require.Equal(t, "Bearer", token.TokenType)
		require.Equal(t, 3600, token.ExpiresIn)
		require.Empty(t, token.AuthorizationDetails)
	})
	t.Run("authorization details", func(t *testing.T) {
		col, preAuthorized := offered()
		form := tokenForm(preAuthorized, col.code)
		form.Set("authorization_details", `[{"type":"openid_credential","credential_configuration_id":"mdl"}]`)
		token, err := oid4vci.ParseTokenResponse([]byte(a.postForm(form).body))
		require.NoError(t, err)
		require.Equal(t, []string{"mdl"}, token.CredentialIdentifiers("mdl"))
	})
	t.Run("refused", func(t *testing.T) {
		col, preAuthorized := offered()
		for name, tc := range map[string]struct {
			change func(url.Values)
			code   oid4vci.ErrorCode
		}{
			"no code":          {func(f url.Values) { f.Del("tx_code") }, oid4vci.InvalidRequest},
			"blank code":       {func(f url.Values) { f.Set("tx_code", " ") }, oid4vci.InvalidRequest},
			"no grant type":    {func(f url.Values) { f.Del("grant_type") }, oid4vci.InvalidRequest},
			"other grant type": {func(f url.Values) { f.Set("grant_type", "password") }, oid4vci.UnsupportedGrantType},
			"refresh token": {func(f url.Values) {
				f.Set("grant_type", "refresh_token")
				f.Set("refresh_token", "x")
				f.Del("tx_code")
			}, oid4vci.InvalidGrant},
			"no pre-authorized":   {func(f url.Values) { f.Del("pre-authorized_code") }, oid4vci.InvalidRequest},
			"unknown":             {func(f url.Values) { f.Set("pre-authorized_code", "unknown") }, oid4vci.InvalidGrant},
			"link as code":        {func(f url.Values) { f.Set("pre-authorized_code", col.linkToken) }, oid4vci.InvalidGrant},
			"twice":               {func(f url.Values) { f.Add("tx_code", col.code) }, oid4vci.InvalidRequest},
			"unreadable details":  {func(f url.Values) { f.Set("authorization_details", "{") }, oid4vci.InvalidAuthorizationDetails},
			"other details' type": {func(f url.Values) { f.Set("authorization_details", `[{"type":"x"}]`) }, oid4vci.InvalidAuthorizationDetails},
		} {
			t.Run(name, func(t *testing.T) {
				form := tokenForm(preAuthorized, col.code)
				tc.change(form)
				a.changesNothing(t, func() {
					got := a.postForm(form)
					require.Equal(t, http.StatusBadRequest, got.status)
					require.Equal(t, tc.code, got.oauth(t).Code)
					require.Equal(t, "no-store", got.header.Get("Cache-Control"))
				})
			})
		}
		require.Equal(t, http.StatusOK, a.postForm(tokenForm(preAuthorized, col.code)).status, "nothing of the above used the offer up")
	})
	t.Run("not a form", func(t *testing.T) {
		col, preAuthorized := offered()
		form := tokenForm(preAuthorized, col.code).Encode()
		for name, tc := range map[string]struct {
			contentType, body, query string
			status                   int
		}{
			"json":      {oid4vci.ContentTypeJSON, `{"grant_type":"x"}`, "", http.StatusBadRequest},
			"no type":   {"", form, "", http.StatusBadRequest},
			"in query":  {oid4vci.ContentTypeForm, "", "?" + form, http.StatusBadRequest},
			"broken":    {oid4vci.ContentTypeForm, "a=%zz", "", http.StatusBadRequest},
			"too large": {oid4vci.ContentTypeForm, form + "&x=" + strings.Repeat("x", 64<<10), "", http.StatusRequestEntityTooLarge},
		} {
			t.Run(name, func(t *testing.T) {
				a.changesNothing(t, func() {
					got := a.do(http.MethodPost, "/oid4vci/token"+tc.query, []byte(tc.body), http.Header{"Content-Type": {tc.contentType}})
					require.Equal(t, tc.status, got.status)
					require.Equal(t, oid4vci.InvalidRequest, got.oauth(t).Code)
				})
			})
		}
	})
	t.Run("expired", func(t *testing.T) {
		col, preAuthorized := offered()
		a.Clock.Advance(365 * 24 * time.Hour)
		got := a.postForm(tokenForm(preAuthorized, col.code))
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Equal(t, oid4vci.InvalidGrant, got.oauth(t).Code)
	})
}

func TestWrongCodes(t *testing.T) {
	a := newAuthority(t, "")
	attempts := domain.DefaultSettings().AuthenticationCodeAttempts
	col := a.newCollection()
	offer, err := a.Issuer.Offer(t.Context(), col.linkToken)
	require.NoError(t, err)
	for n := 1; n < attempts; n++ {
		got := a.postForm(tokenForm(offer.PreAuthorizedCode, wrong(col.code)))
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Equal(t, oid4vci.InvalidGrant, got.oauth(t).Code)
		require.Contains(t, got.oauth(t).Description, fmt.Sprintf("attempts left: %d", attempts-n))
	}
	require.Equal(t, http.StatusOK, a.postForm(tokenForm(offer.PreAuthorizedCode, col.code)).status, "a wrong code does not burn the offer")

	col = a.newCollection()
	offer, err = a.Issuer.Offer(t.Context(), col.linkToken)
	require.NoError(t, err)
	for range attempts {
		got := a.postForm(tokenForm(offer.PreAuthorizedCode, wrong(col.code)))
		require.Equal(t, oid4vci.InvalidGrant, got.oauth(t).Code)
	}
	got := a.postForm(tokenForm(offer.PreAuthorizedCode, col.code))
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Equal(t, oid4vci.InvalidGrant, got.oauth(t).Code)
	require.Contains(t, got.oauth(t).Description, "too many wrong codes")
	require.Equal(t, http.StatusLocked, a.do(http.MethodGet, "/oid4vci/offers/"+col.linkToken, nil, nil).status)
}

func TestCodesFromOneAddressAreLimited(t *testing.T) {
	a := newAuthority(t, "")
	const most = 30
	got := answer{}
	for tried := 0; tried <= most; {
		col := a.newCollection()
		offer, err := a.Issuer.Offer(t.Context(), col.linkToken)
		require.NoError(t, err)
		for range domain.DefaultSettings().AuthenticationCodeAttempts {
			got = a.postForm(tokenForm(offer.PreAuthorizedCode, wrong(col.code)))
			tried++
		}
	}
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, oid4vci.TemporarilyUnavailable, got.oauth(t).Code)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
}

func TestNonce(t *testing.T) {
	a := newAuthority(t, "")
	got := a.do(http.MethodPost, "/oid4vci/nonce", nil, nil)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.Equal(t, oid4vci.ContentTypeJSON, got.header.Get("Content-Type"))
	nonce, err := oid4vci.ParseNonceResponse([]byte(got.body))
	require.NoError(t, err)
	require.True(t, a.Issuer.CheckNonce(nonce.CNonce))
	require.NotEqual(t, got.body, a.do(http.MethodPost, "/oid4vci/nonce", nil, nil).body)
}

func TestCredentialNeedsAToken(t *testing.T) {
	a := newAuthority(t, "")
	s := a.redeemed(a.newCollection(), elliptic.P256())
	for name, tc := range map[string]struct {
		authorization []string
		status        int
		challenge     string
	}{
		"none":      {nil, http.StatusUnauthorized, "Bearer"},
		"basic":     {[]string{"Basic YTpi"}, http.StatusUnauthorized, "Bearer"},
		"no value":  {[]string{"Bearer"}, http.StatusUnauthorized, "Bearer"},
		"unknown":   {[]string{"Bearer unknown"}, http.StatusUnauthorized, `Bearer error="invalid_token"`},
		"empty":     {[]string{"Bearer  "}, http.StatusUnauthorized, "Bearer"},
		"two":       {[]string{"Bearer " + s.token, "Bearer " + s.token}, http.StatusBadRequest, ""},
		"not ASCII": {[]string{"Bearer \u00e4\u00e4"}, http.StatusUnauthorized, `Bearer error="invalid_token"`},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Content-Type": {oid4vci.ContentTypeJSON}}
			if tc.authorization != nil {
				header["Authorization"] = tc.authorization
			}
			var got answer
			a.changesNothing(t, func() { got = a.do(http.MethodPost, "/oid4vci/credential", []byte(`{}`), header) })
			require.Equal(t, tc.status, got.status)
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.True(t, strings.HasPrefix(got.header.Get("WWW-Authenticate"), tc.challenge))
			if tc.challenge == "Bearer" {
				require.Equal(t, "Bearer", got.header.Get("WWW-Authenticate"), "no error code without credentials")
				require.Empty(t, got.body)
			}
		})
	}
}

func TestCredentialRequestsAreChecked(t *testing.T) {
	a := newAuthority(t, "")
	s := a.redeemed(a.newCollection(), elliptic.P256())
	proofs, err := json.Marshal(s.proofs(s.nonce()))
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		contentType, body string
		status            int
		code              oid4vci.ErrorCode
	}{
		"no type":    {"", `{}`, http.StatusUnsupportedMediaType, oid4vci.InvalidCredentialRequest},
		"form":       {oid4vci.ContentTypeForm, `a=b`, http.StatusUnsupportedMediaType, oid4vci.InvalidCredentialRequest},
		"encrypted":  {oid4vci.ContentTypeJWT, `a.b.c.d.e`, http.StatusUnsupportedMediaType, oid4vci.InvalidCredentialRequest},
		"not JSON":   {oid4vci.ContentTypeJSON, "\xa2\x61\x61", http.StatusBadRequest, oid4vci.InvalidCredentialRequest},
		"empty":      {oid4vci.ContentTypeJSON, "", http.StatusBadRequest, oid4vci.InvalidCredentialRequest},
		"names none": {oid4vci.ContentTypeJSON, `{}`, http.StatusBadRequest, oid4vci.InvalidCredentialRequest},
		"names both": {oid4vci.ContentTypeJSON, `{"credential_configuration_id":"mdl","credential_identifier":"mdl"}`,
			http.StatusBadRequest, oid4vci.InvalidCredentialRequest},
		"too large": {oid4vci.ContentTypeJSON, `{"x":"` + strings.Repeat("x", oid4vci.MaxCredentialRequest) + `"}`,
			http.StatusRequestEntityTooLarge, oid4vci.InvalidCredentialRequest},
		"other": {oid4vci.ContentTypeJSON, `{"credential_configuration_id":"other"}`,
			http.StatusBadRequest, oid4vci.UnknownCredentialConfiguration},
		"other set": {oid4vci.ContentTypeJSON, `{"credential_identifier":"other"}`,
			http.StatusBadRequest, oid4vci.UnknownCredentialIdentifier},
		"no proofs": {oid4vci.ContentTypeJSON, `{"credential_configuration_id":"mdl"}`, http.StatusBadRequest, oid4vci.InvalidProof},
		"garbage": {oid4vci.ContentTypeJSON, `{"credential_configuration_id":"mdl","proofs":{"jwt":["e30.e30.AA"]}}`,
			http.StatusBadRequest, oid4vci.InvalidProof},
		"attestation": {oid4vci.ContentTypeJSON, `{"credential_configuration_id":"mdl","proofs":{"attestation":["e30.e30.AA"]}}`,
			http.StatusBadRequest, oid4vci.InvalidProof},
		"draft proof": {oid4vci.ContentTypeJSON, `{"credential_configuration_id":"mdl","proof":{"proof_type":"jwt"}}`,
			http.StatusBadRequest, oid4vci.InvalidProof},
		"encryption": {oid4vci.ContentTypeJSON, `{"credential_configuration_id":"mdl","proofs":{"jwt":` + string(proofs) +
			`},"credential_response_encryption":{"jwk":{"kty":"EC"},"enc":"A128GCM"}}`, http.StatusBadRequest, oid4vci.InvalidEncryptionParameters},
	} {
		t.Run(name, func(t *testing.T) {
			var got answer
			a.changesNothing(t, func() {
				got = a.do(http.MethodPost, "/oid4vci/credential", []byte(tc.body),
					http.Header{"Content-Type": {tc.contentType}, "Authorization": {"Bearer " + s.token}})
			})
			require.Equal(t, tc.status, got.status)
			require.Equal(t, tc.code, got.oauth(t).Code)
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		})
	}
	got := s.postCredential(`{"credential_identifier":"mdl","proofs":{"jwt":` + string(proofs) + `},"unknown":1}`)
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
}

func TestMethods(t *testing.T) {
	a := newAuthority(t, "")
	for path, allowed := range map[string]string{
		"/.well-known/openid-credential-issuer":   http.MethodGet,
		"/.well-known/oauth-authorization-server": http.MethodGet,
		"/oid4vci/offers/x":                       http.MethodGet,
		"/oid4vci/token":                          http.MethodPost,
		"/oid4vci/nonce":                          http.MethodPost,
		"/oid4vci/credential":                     http.MethodPost,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			if method != allowed {
				require.Equal(t, http.StatusMethodNotAllowed, a.do(method, path, nil, nil).status, method+" "+path)
			}
		}
		got := a.do(http.MethodOptions, path, nil, http.Header{"Origin": {"https://wallet.example"}, "Access-Control-Request-Method": {allowed}})
		require.Equal(t, http.StatusNoContent, got.status)
		require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
		require.Empty(t, got.header.Get("Access-Control-Allow-Credentials"))
		require.Contains(t, got.header.Get("Access-Control-Allow-Methods"), allowed)
		require.Contains(t, got.header.Get("Access-Control-Allow-Headers"), "Authorization")
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	a := newAuthority(t, "")
	col := a.newCollection()
	offer, err := a.Issuer.Offer(t.Context(), col.linkToken)
	require.NoError(t, err)
	a.postForm(tokenForm(offer.PreAuthorizedCode, wrong(col.code)))
	s := a.redeemed(col, elliptic.P256())
	nonce := s.nonce()
	_, err = s.ask([]string{"x"})
	require.Error(t, err)
	_, err = s.ask(s.proofs(nonce))
	require.NoError(t, err)
	logs := a.Logs.String()
	require.Contains(t, logs, "wallet request refused")
	for _, secret := range []string{col.linkToken, offer.PreAuthorizedCode, `"` + col.code, s.token, nonce, "Mustermann", "erika@"} {
		require.NotContains(t, logs, secret)
	}
}

func TestPlatformOf(t *testing.T) {
	for agent, want := range map[string]domain.Platform{
		"": domain.PlatformOther,
		"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0":                    domain.PlatformOther,
		"Mozilla/5.0 (Linux; Android 16; Pixel 9) Chrome/140.0.0.0 Mobile": domain.PlatformAndroid,
		"okhttp/4.12.0": domain.PlatformAndroid,
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15": domain.PlatformIOS,
		"Wallet/7 CFNetwork/1568.100.1 Darwin/24.0.0":                                 domain.PlatformIOS,
		"mdocket-wallet": domain.PlatformOther,
	} {
		require.Equal(t, want, wallet.PlatformOf(agent), agent)
	}
}

// Whatever a wallet sends, the answer is an error of the protocol, not trouble on our side, and no document.
func FuzzCredential(f *testing.F) {
	a := newAuthority(f, "")
	s := a.redeemed(a.newCollection(), elliptic.P256())
	engine := gin.New()
	wallet.Register(engine, wallet.Deps{Issuer: a.Issuer, BaseURL: a.Config.BaseURL, Log: a.Issuer.Log, Now: a.Clock.Now})
	f.Add("Bearer "+s.token, []byte(`{"credential_configuration_id":"mdl","proofs":{"jwt":["e30.e30.AA"]}}`))
	f.Add("Bearer "+s.token, []byte(`{"credential_identifier":"mdl","credential_response_encryption":{}}`))
	f.Add("bearer x", []byte("\xa2\x61\x61"))
	f.Fuzz(func(t *testing.T, authorization string, body []byte) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oid4vci/credential", strings.NewReader(string(body)))
		request.Header.Set("Content-Type", oid4vci.ContentTypeJSON)
		request.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, request)
		require.GreaterOrEqual(t, w.Code, 400)
		require.Less(t, w.Code, 500)
	})
}

func FuzzToken(f *testing.F) {
	a := newAuthority(f, "")
	engine := gin.New()
	wallet.Register(engine, wallet.Deps{Issuer: a.Issuer, BaseURL: a.Config.BaseURL, Log: a.Issuer.Log, Now: a.Clock.Now})
	f.Add("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Apre-authorized_code&pre-authorized_code=x&tx_code=1")
	f.Add("grant_type=a&grant_type=b")
	f.Add("%")
	f.Fuzz(func(t *testing.T, body string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oid4vci/token", strings.NewReader(body))
		request.Header.Set("Content-Type", oid4vci.ContentTypeForm)
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, request)
		require.GreaterOrEqual(t, w.Code, 400)
		require.Less(t, w.Code, 500)
	})
}
