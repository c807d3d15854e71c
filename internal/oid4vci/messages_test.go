package oid4vci_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// requireDescription checks the characters of an error_description (RFC 6749, 5.2).
func requireDescription(t testing.TB, refused *oid4vci.Error) {
	t.Helper()
	for _, r := range refused.Description {
		require.Truef(t, r >= 0x20 && r <= 0x7e && r != '"' && r != '\\', "character %U", r)
	}
	require.LessOrEqual(t, len(refused.Description), 300)
}

func TestNewErrorKeepsToTheAllowedCharacters(t *testing.T) {
	e := oid4vci.NewError(oid4vci.InvalidGrant, "it \"is\" a \\ pass\u00e9\n"+strings.Repeat("x", 400))
	requireDescription(t, e)
	require.True(t, strings.HasPrefix(e.Description, "it 'is' a / pass??x"))
	data, err := json.Marshal(e)
	require.NoError(t, err)
	require.Contains(t, string(data), `"error":"invalid_grant"`)
	require.NotContains(t, string(data), "error_uri")
}

func TestErrorStatus(t *testing.T) {
	statuses := map[oid4vci.ErrorCode]int{
		oid4vci.InvalidRequest: http.StatusBadRequest, oid4vci.InvalidGrant: http.StatusBadRequest,
		oid4vci.InvalidProof: http.StatusBadRequest, oid4vci.InvalidClient: http.StatusUnauthorized,
		oid4vci.InvalidToken: http.StatusUnauthorized, oid4vci.InsufficientScope: http.StatusForbidden,
		oid4vci.ServerError: http.StatusInternalServerError, oid4vci.TemporarilyUnavailable: http.StatusServiceUnavailable,
	}
	for code, status := range statuses {
		require.Equal(t, status, oid4vci.NewError(code, "").Status(), code)
	}
	require.Equal(t, `Bearer error="invalid_token"`, oid4vci.NewError(oid4vci.InvalidToken, "").BearerChallenge())
	require.Equal(t, `Bearer error="invalid_token", error_description="expired"`,
		oid4vci.NewError(oid4vci.InvalidToken, "expired").BearerChallenge())
	require.Equal(t, "invalid_token: expired", oid4vci.NewError(oid4vci.InvalidToken, "expired").Error())
}

func TestParseError(t *testing.T) {
	e, err := oid4vci.ParseError([]byte(`{"error":"invalid_grant","error_description":"a \"b\" \u001b[31m","x":1}`))
	require.NoError(t, err)
	require.Equal(t, oid4vci.InvalidGrant, e.Code)
	requireDescription(t, e)
	for _, bad := range []string{``, `[]`, `{}`, `{"error":5}`, `<html>`, `{"error":"a","error":"b"}`} {
		_, err := oid4vci.ParseError([]byte(bad))
		require.ErrorIs(t, err, oid4vci.ErrMalformed, bad)
	}
}

func TestWellKnownAddresses(t *testing.T) {
	tests := []struct{ identifier, issuer, server string }{
		{"https://issuer.example.com", "https://issuer.example.com/.well-known/openid-credential-issuer",
			"https://issuer.example.com/.well-known/oauth-authorization-server"},
		{"https://issuer.example.com/tenant", "https://issuer.example.com/.well-known/openid-credential-issuer/tenant",
			"https://issuer.example.com/.well-known/oauth-authorization-server/tenant"},
		{"https://issuer.example.com:8443/a/b%20c/", "https://issuer.example.com:8443/.well-known/openid-credential-issuer/a/b%20c",
			"https://issuer.example.com:8443/.well-known/oauth-authorization-server/a/b%20c"},
		{"http://127.0.0.1:8080/dmv", "http://127.0.0.1:8080/.well-known/openid-credential-issuer/dmv",
			"http://127.0.0.1:8080/.well-known/oauth-authorization-server/dmv"},
	}
	for _, tt := range tests {
		got, err := oid4vci.IssuerMetadataURL(tt.identifier)
		require.NoError(t, err)
		require.Equal(t, tt.issuer, got)
		got, err = oid4vci.AuthorizationServerMetadataURL(tt.identifier)
		require.NoError(t, err)
		require.Equal(t, tt.server, got)
	}
}

func TestCheckURL(t *testing.T) {
	good := []string{"https://a.example", "https://a.example:1/x?y=z", "http://localhost:8080/x", "http://127.1.2.3", "http://[::1]:9/"}
	for _, address := range good {
		require.NoError(t, oid4vci.CheckURL(address), address)
	}
	bad := []string{
		"", "a.example", "/path", "http://a.example", "http://127.0.0.1.example", "ftp://localhost", "https:///x", "https:x",
		"https://user@a.example", "https://a.example/#", "https://a.example/#x", "https://a.example/%zz", "javascript:alert(1)",
		"https://a.example/" + strings.Repeat("x", 3000),
	}
	for _, address := range bad {
		require.ErrorIs(t, oid4vci.CheckURL(address), oid4vci.ErrUnsafeURL, address)
	}
	for _, query := range []string{"https://a.example?x=y", "https://a.example?"} {
		require.NoError(t, oid4vci.CheckURL(query))
		require.ErrorIs(t, oid4vci.CheckIssuerIdentifier(query), oid4vci.ErrUnsafeURL)
		_, err := oid4vci.IssuerMetadataURL(query)
		require.ErrorIs(t, err, oid4vci.ErrUnsafeURL)
	}
}

func testOffer() oid4vci.CredentialOffer {
	return oid4vci.CredentialOffer{
		CredentialIssuer:           issuerID,
		CredentialConfigurationIDs: []string{"org.iso.18013.5.1.mDL"},
		Grants: oid4vci.OfferGrants{PreAuthorizedCode: &oid4vci.PreAuthorizedCodeGrant{
			PreAuthorizedCode: "code+/ &=", TxCode: &oid4vci.TxCode{InputMode: oid4vci.InputModeNumeric, Length: 6, Description: "See the message."},
		}},
	}
}

func TestOfferLinkByValue(t *testing.T) {
	link, err := oid4vci.DeepLinkByValue(testOffer())
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(link, "openid-credential-offer://?credential_offer=%7B"))
	require.NotContains(t, link, "+")
	parsed, err := oid4vci.ParseOfferLink(link)
	require.NoError(t, err)
	require.Equal(t, testOffer(), *parsed.Offer)
	require.Empty(t, parsed.OfferURI)

	parsed, err = oid4vci.ParseOfferLink(strings.Replace(link, "openid-credential-offer://", "https://wallet.example/offer", 1))
	require.NoError(t, err)
	require.NotNil(t, parsed.Offer)

	_, err = oid4vci.DeepLinkByValue(oid4vci.CredentialOffer{})
	require.Error(t, err)
	long := testOffer()
	for i := range 99 {
		long.CredentialConfigurationIDs = append(long.CredentialConfigurationIDs, fmt.Sprintf("%d%s", i, strings.Repeat("x", 200)))
	}
	_, err = oid4vci.DeepLinkByValue(long)
	require.ErrorIs(t, err, oid4vci.ErrMalformed)
}

func TestOfferLinkByReference(t *testing.T) {
	const uri = "https://issuer.example.org/offers/x?y=1 2"
	link, err := oid4vci.DeepLinkByReference("https://issuer.example.org/offers/x?y=1%202")
	require.NoError(t, err)
	require.Equal(t, "openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fissuer.example.org%2Foffers%2Fx%3Fy%3D1%25202", link)
	for _, form := range []string{link, " " + link + "\n", strings.Replace(link, "openid-credential-offer", "haip-vci", 1),
		strings.Replace(link, "openid-credential-offer://", "https://wallet.example/offer", 1)} {
		parsed, err := oid4vci.ParseOfferLink(form)
		require.NoError(t, err)
		require.Equal(t, strings.ReplaceAll(uri, " ", "%20"), parsed.OfferURI)
		require.Nil(t, parsed.Offer)
	}
	_, err = oid4vci.DeepLinkByReference("http://issuer.example.org/offers/x")
	require.ErrorIs(t, err, oid4vci.ErrUnsafeURL)
}

func TestParseOfferLinkRefuses(t *testing.T) {
	const scheme = "openid-credential-offer://?"
	tests := []struct {
		name, link string
		want       error
	}{
		{"empty", "", oid4vci.ErrUnsafeURL},
		{"no scheme", "credential_offer_uri=https%3A%2F%2Fa.example", oid4vci.ErrUnsafeURL},
		{"javascript", "javascript:alert(1)?credential_offer_uri=https%3A%2F%2Fa.example", oid4vci.ErrUnsafeURL},
		{"http", "http://a.example/?credential_offer_uri=https%3A%2F%2Fa.example", oid4vci.ErrUnsafeURL},
		{"https without offer", "https://issuer.example.org/collect/abc", oid4vci.ErrNoOffer},
		{"no offer", scheme, oid4vci.ErrMalformed},
		{"both", scheme + "credential_offer=%7B%7D&credential_offer_uri=https%3A%2F%2Fa.example", oid4vci.ErrMalformed},
		{"twice", scheme + "credential_offer_uri=https%3A%2F%2Fa.example&credential_offer_uri=https%3A%2F%2Fb.example", oid4vci.ErrMalformed},
		{"offer over http", scheme + "credential_offer_uri=http%3A%2F%2Fa.example", oid4vci.ErrUnsafeURL},
		{"offer in a file", scheme + "credential_offer_uri=file%3A%2F%2F%2Fetc%2Fpasswd", oid4vci.ErrUnsafeURL},
		{"bad query", scheme + "credential_offer=%zz", oid4vci.ErrMalformed},
		{"bad address", "openid-credential-offer://%zz", oid4vci.ErrMalformed},
		{"garbage offer", scheme + "credential_offer=garbage", oid4vci.ErrMalformed},
		{"long", scheme + strings.Repeat("x", 20<<10), oid4vci.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := oid4vci.ParseOfferLink(tt.link)
			require.ErrorIs(t, err, tt.want)
			require.NotContains(t, err.Error(), "example")
		})
	}
}

func TestParseCredentialOfferRefuses(t *testing.T) {
	offer := func(change func(*oid4vci.CredentialOffer)) string {
		o := testOffer()
		change(&o)
		data, err := json.Marshal(o)
		require.NoError(t, err)
		return string(data)
	}
	tests := []struct{ name, offer string }{
		{"no JSON", "hello"},
		{"an array", "[]"},
		{"null", "null"},
		{"two values", "{} {}"},
		{"not UTF-8", "{\"credential_issuer\":\"\xff\"}"},
		{"deep", strings.Repeat("[", 1000) + strings.Repeat("]", 1000)},
		{"large", `{"x":"` + strings.Repeat("x", oid4vci.MaxOffer) + `"}`},
		{"name twice", `{"credential_issuer":"https://a.example","credential_issuer":"https://b.example","credential_configuration_ids":["x"]}`},
		{"issuer missing", offer(func(o *oid4vci.CredentialOffer) { o.CredentialIssuer = "" })},
		{"issuer over http", offer(func(o *oid4vci.CredentialOffer) { o.CredentialIssuer = "http://issuer.example.org" })},
		{"issuer with query", offer(func(o *oid4vci.CredentialOffer) { o.CredentialIssuer = "https://issuer.example.org?x=y" })},
		{"no configuration", offer(func(o *oid4vci.CredentialOffer) { o.CredentialConfigurationIDs = nil })},
		{"configuration twice", offer(func(o *oid4vci.CredentialOffer) { o.CredentialConfigurationIDs = []string{"x", "x"} })},
		{"configuration empty", offer(func(o *oid4vci.CredentialOffer) { o.CredentialConfigurationIDs = []string{""} })},
		{"too many configurations", offer(func(o *oid4vci.CredentialOffer) {
			o.CredentialConfigurationIDs = strings.Split(strings.Repeat("x,", 200), ",")
		})},
		{"no code", offer(func(o *oid4vci.CredentialOffer) { o.Grants.PreAuthorizedCode.PreAuthorizedCode = "" })},
		{"input mode", offer(func(o *oid4vci.CredentialOffer) { o.Grants.PreAuthorizedCode.TxCode.InputMode = "voice" })},
		{"length", offer(func(o *oid4vci.CredentialOffer) { o.Grants.PreAuthorizedCode.TxCode.Length = -1 })},
		{"description", offer(func(o *oid4vci.CredentialOffer) {
			o.Grants.PreAuthorizedCode.TxCode.Description = strings.Repeat("ü", 301)
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := oid4vci.ParseCredentialOffer([]byte(tt.offer))
			require.Error(t, err)
			malformed := strings.Contains(err.Error(), oid4vci.ErrMalformed.Error())
			require.Equal(t, !malformed, strings.Contains(err.Error(), oid4vci.ErrUnsafeURL.Error()))
		})
	}
	unknown := `{"credential_issuer":"https://a.example","credential_configuration_ids":["x"],"vendor":{"a":[1,{"a":1}]},"grants":{"x":{}}}`
	got, err := oid4vci.ParseCredentialOffer([]byte(unknown))
	require.NoError(t, err, "unknown members are ignored")
	require.Nil(t, got.Grants.PreAuthorizedCode)
}

func TestParseTokenRequest(t *testing.T) {
	const code = "&pre-authorized_code=abc"
	const grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Apre-authorized_code"
	tests := []struct {
		name, form string
		want       oid4vci.TokenRequest
		code       oid4vci.ErrorCode
	}{
		{name: "with code", form: grant + code + "&tx_code=123+456",
			want: oid4vci.TokenRequest{GrantType: oid4vci.GrantPreAuthorizedCode, PreAuthorizedCode: "abc", TxCode: "123 456"}},
		{name: "without code", form: grant + code,
			want: oid4vci.TokenRequest{GrantType: oid4vci.GrantPreAuthorizedCode, PreAuthorizedCode: "abc"}},
		{name: "empty code is none", form: grant + code + "&tx_code=",
			want: oid4vci.TokenRequest{GrantType: oid4vci.GrantPreAuthorizedCode, PreAuthorizedCode: "abc"}},
		{name: "unknown parameters, even twice", form: grant + code + "&resource=https%3A%2F%2Fa.example&resource=x&user_pin=1234",
			want: oid4vci.TokenRequest{GrantType: oid4vci.GrantPreAuthorizedCode, PreAuthorizedCode: "abc"}},
		{name: "refresh", form: "grant_type=refresh_token&refresh_token=r&client_id=c&scope=s",
			want: oid4vci.TokenRequest{GrantType: oid4vci.GrantRefreshToken, RefreshToken: "r", ClientID: "c", Scope: "s"}},
		{name: "authorization code", form: "grant_type=authorization_code&code=x&redirect_uri=u&code_verifier=v",
			want: oid4vci.TokenRequest{GrantType: oid4vci.GrantAuthorizationCode, Code: "x", RedirectURI: "u", CodeVerifier: "v"}},
		{name: "authorization details", form: grant + code + "&authorization_details=" +
			url.QueryEscape(`[{"type":"openid_credential","credential_configuration_id":"mdl","locations":["https://a.example"],"x":{}}]`),
			want: oid4vci.TokenRequest{GrantType: oid4vci.GrantPreAuthorizedCode, PreAuthorizedCode: "abc",
				AuthorizationDetails: []oid4vci.AuthorizationDetail{
					{Type: "openid_credential", CredentialConfigurationID: "mdl", Locations: []string{"https://a.example"}}}}},

		{name: "nothing", form: "", code: oid4vci.InvalidRequest},
		{name: "unknown grant", form: "grant_type=password&username=x", code: oid4vci.UnsupportedGrantType},
		{name: "code missing", form: grant, code: oid4vci.InvalidRequest},
		{name: "code empty", form: grant + "&pre-authorized_code=", code: oid4vci.InvalidRequest},
		{name: "code twice", form: grant + code + code, code: oid4vci.InvalidRequest},
		{name: "grant twice", form: grant + "&" + grant + code, code: oid4vci.InvalidRequest},
		{name: "tx_code twice", form: grant + code + "&tx_code=1&tx_code=2", code: oid4vci.InvalidRequest},
		{name: "tx_code long", form: grant + code + "&tx_code=" + strings.Repeat("1", 65), code: oid4vci.InvalidRequest},
		{name: "code long", form: grant + "&pre-authorized_code=" + strings.Repeat("1", 5000), code: oid4vci.InvalidRequest},
		{name: "tx_code with refresh", form: "grant_type=refresh_token&refresh_token=r&tx_code=1", code: oid4vci.InvalidRequest},
		{name: "refresh token missing", form: "grant_type=refresh_token", code: oid4vci.InvalidRequest},
		{name: "details no JSON", form: grant + code + "&authorization_details=x", code: oid4vci.InvalidAuthorizationDetails},
		{name: "details empty", form: grant + code + "&authorization_details=%5B%5D", code: oid4vci.InvalidAuthorizationDetails},
		{name: "details no object", form: grant + code + "&authorization_details=%5B1%5D", code: oid4vci.InvalidAuthorizationDetails},
		{name: "details type", form: grant + code + "&authorization_details=" +
			url.QueryEscape(`[{"type":"x","credential_configuration_id":"y"}]`),
			code: oid4vci.InvalidAuthorizationDetails},
		{name: "details id", form: grant + code + "&authorization_details=" + url.QueryEscape(`[{"type":"openid_credential"}]`),
			code: oid4vci.InvalidAuthorizationDetails},
		{name: "details id type", form: grant + code + "&authorization_details=" +
			url.QueryEscape(`[{"type":"openid_credential","credential_configuration_id":1}]`), code: oid4vci.InvalidAuthorizationDetails},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			form, err := url.ParseQuery(tt.form)
			require.NoError(t, err)
			got, refused := oid4vci.ParseTokenRequest(form)
			if tt.code != "" {
				require.NotNil(t, refused)
				require.Equal(t, tt.code, refused.Code)
				return
			}
			require.Nil(t, refused)
			require.Equal(t, tt.want, got)
			sent, err := got.Form()
			require.NoError(t, err)
			back, refused := oid4vci.ParseTokenRequest(sent)
			require.Nil(t, refused)
			require.Equal(t, tt.want, back)
		})
	}
}

func TestNormalizeTxCode(t *testing.T) {
	for entered, want := range map[string]string{
		"123456": "123456", " 123 456\r\n": "123456", "123\u00a0456": "123456", "12\u20033\t4": "1234", "\u200b1\u200d2\ufeff3\u200e": "123",
		"ab-C": "ab-C", "": "", " ": "",
	} {
		require.Equal(t, want, oid4vci.NormalizeTxCode(entered))
	}
}

func TestParseCredentialRequest(t *testing.T) {
	tests := []struct {
		name, body string
		code       oid4vci.ErrorCode
		part       string
	}{
		{name: "by configuration", body: `{"credential_configuration_id":"mdl","proofs":{"jwt":["a","b"]}}`},
		{name: "by identifier", body: `{"credential_identifier":"mdl-1","proofs":{"jwt":["a"]}}`},
		{name: "attestation", body: `{"credential_configuration_id":"mdl","proofs":{"attestation":["a"]}}`},
		{name: "no proofs", body: `{"credential_configuration_id":"mdl"}`},
		{name: "unknown member", body: `{"credential_configuration_id":"mdl","proofs":{"jwt":["a"]},"format":"mso_mdoc","x":[{}]}`},
		{name: "proof beside proofs is unknown",
			body: `{"credential_configuration_id":"mdl","proof":{"proof_type":"jwt","jwt":"a"},"proofs":{"jwt":["a"]}}`},
		{name: "encryption",
			body: `{"credential_configuration_id":"mdl","credential_response_encryption":{"jwk":{"kty":"EC"},"enc":"A256GCM","zip":"DEF"}}`},

		{name: "empty", body: ``, code: oid4vci.InvalidCredentialRequest, part: "JSON"},
		{name: "array", body: `[]`, code: oid4vci.InvalidCredentialRequest},
		{name: "null", body: `null`, code: oid4vci.InvalidCredentialRequest},
		{name: "trailing", body: `{"credential_configuration_id":"mdl"}{}`, code: oid4vci.InvalidCredentialRequest},
		{name: "name twice", body: `{"credential_configuration_id":"a","credential_configuration_id":"b"}`,
			code: oid4vci.InvalidCredentialRequest, part: "twice"},
		{name: "inner name twice", body: `{"credential_configuration_id":"a","proofs":{"jwt":["a"],"jwt":["b"]}}`,
			code: oid4vci.InvalidCredentialRequest, part: "twice"},
		{name: "deep", body: strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100),
			code: oid4vci.InvalidCredentialRequest, part: "nested"},
		{name: "large", body: `{"x":"` + strings.Repeat("x", oid4vci.MaxCredentialRequest) + `"}`,
			code: oid4vci.InvalidCredentialRequest, part: "larger"},
		{name: "nothing named", body: `{"proofs":{"jwt":["a"]}}`, code: oid4vci.InvalidCredentialRequest, part: "exactly one"},
		{name: "other case", body: `{"Credential_Configuration_Id":"mdl"}`, code: oid4vci.InvalidCredentialRequest, part: "exactly one"},
		{name: "both named", body: `{"credential_configuration_id":"a","credential_identifier":"b"}`,
			code: oid4vci.InvalidCredentialRequest, part: "exactly one"},
		{name: "wrong type", body: `{"credential_configuration_id":5}`, code: oid4vci.InvalidCredentialRequest, part: "type"},
		{name: "wrong type of identifier", body: `{"credential_identifier":[]}`, code: oid4vci.InvalidCredentialRequest, part: "type"},
		{name: "long", body: `{"credential_configuration_id":"` + strings.Repeat("x", 300) + `"}`,
			code: oid4vci.InvalidCredentialRequest, part: "long"},

		{name: "legacy proof", body: `{"credential_configuration_id":"mdl","proof":{"proof_type":"jwt","jwt":"a"}}`,
			code: oid4vci.InvalidProof, part: "proofs"},
		{name: "proofs an array", body: `{"credential_configuration_id":"mdl","proofs":["a"]}`, code: oid4vci.InvalidProof},
		{name: "no proof type", body: `{"credential_configuration_id":"mdl","proofs":{}}`, code: oid4vci.InvalidProof, part: "exactly one"},
		{name: "two proof types", body: `{"credential_configuration_id":"mdl","proofs":{"jwt":["a"],"attestation":["a"]}}`,
			code: oid4vci.InvalidProof, part: "exactly one"},
		{name: "unknown proof type", body: `{"credential_configuration_id":"mdl","proofs":{"di_vp":[{}]}}`,
			code: oid4vci.InvalidProof, part: "supported"},
		{name: "jwt empty", body: `{"credential_configuration_id":"mdl","proofs":{"jwt":[]}}`, code: oid4vci.InvalidProof, part: "empty"},
		{name: "jwt null", body: `{"credential_configuration_id":"mdl","proofs":{"jwt":null}}`, code: oid4vci.InvalidProof},
		{name: "jwt a string", body: `{"credential_configuration_id":"mdl","proofs":{"jwt":"a"}}`,
			code: oid4vci.InvalidProof, part: "type"},
		{name: "jwt of numbers", body: `{"credential_configuration_id":"mdl","proofs":{"jwt":[1]}}`,
			code: oid4vci.InvalidProof, part: "type"},
		{name: "attestation of numbers", body: `{"credential_configuration_id":"mdl","proofs":{"attestation":[1]}}`,
			code: oid4vci.InvalidProof, part: "type"},
		{name: "too many proofs", body: `{"credential_configuration_id":"mdl","proofs":{"jwt":["a","b","c"]}}`,
			code: oid4vci.InvalidProof, part: "more than 2"},
		{name: "two attestations", body: `{"credential_configuration_id":"mdl","proofs":{"attestation":["a","b"]}}`,
			code: oid4vci.InvalidProof, part: "one"},

		{name: "encryption a string", body: `{"credential_configuration_id":"mdl","credential_response_encryption":"x"}`,
			code: oid4vci.InvalidEncryptionParameters},
		{name: "encryption empty", body: `{"credential_configuration_id":"mdl","credential_response_encryption":{}}`,
			code: oid4vci.InvalidEncryptionParameters},
		{name: "encryption jwk", body: `{"credential_configuration_id":"mdl","credential_response_encryption":{"jwk":"x","enc":"A256GCM"}}`,
			code: oid4vci.InvalidEncryptionParameters},
		{name: "encryption enc", body: `{"credential_configuration_id":"mdl","credential_response_encryption":{"jwk":{},"enc":5}}`,
			code: oid4vci.InvalidEncryptionParameters},
		{name: "encryption zip",
			body: `{"credential_configuration_id":"mdl","credential_response_encryption":{"jwk":{},"enc":"A256GCM","zip":5}}`,
			code: oid4vci.InvalidEncryptionParameters},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, refused := oid4vci.ParseCredentialRequest([]byte(tt.body), 2)
			if tt.code != "" {
				require.NotNil(t, refused)
				require.Equal(t, tt.code, refused.Code)
				require.Contains(t, refused.Description, tt.part)
				requireDescription(t, refused)
				return
			}
			require.Nil(t, refused)
			data, err := json.Marshal(got)
			require.NoError(t, err)
			back, refused := oid4vci.ParseCredentialRequest(data, 2)
			require.Nil(t, refused)
			require.Equal(t, got, back)
		})
	}
	got, refused := oid4vci.ParseCredentialRequest([]byte(tests[0].body), 2)
	require.Nil(t, refused)
	require.Equal(t, oid4vci.CredentialRequest{CredentialConfigurationID: "mdl", Proofs: oid4vci.Proofs{JWT: []string{"a", "b"}}}, got)
}

func TestCredentialResponse(t *testing.T) {
	issued := oid4vci.CredentialResponse{
		Credentials: []oid4vci.IssuedCredential{oid4vci.NewIssuedMdoc([]byte{0xa2, 0xff})}, NotificationID: "n",
	}
	data, err := json.Marshal(issued)
	require.NoError(t, err)
	require.JSONEq(t, `{"credentials":[{"credential":"ov8"}],"notification_id":"n"}`, string(data))
	parsed, err := oid4vci.ParseCredentialResponse(data)
	require.NoError(t, err)
	bytes, err := parsed.Credentials[0].Mdoc()
	require.NoError(t, err)
	require.Equal(t, []byte{0xa2, 0xff}, bytes)

	parsed, err = oid4vci.ParseCredentialResponse([]byte(`{"transaction_id":"t","interval":5}`))
	require.NoError(t, err)
	require.Equal(t, oid4vci.CredentialResponse{TransactionID: "t", Interval: 5}, parsed)

	for _, bad := range []string{
		``, `{}`, `{"credentials":[]}`, `{"credentials":[{"credential":{}}]}`, `{"transaction_id":"t"}`, `{"transaction_id":"t","interval":-1}`,
		`{"credentials":[{"credential":"AA"}],"transaction_id":"t","interval":1}`, `{"transaction_id":"t","interval":1,"notification_id":"n"}`,
		`{"credentials":[{"credential":"AA"}],"notification_id":"` + strings.Repeat("n", 5000) + `"}`,
	} {
		_, err := oid4vci.ParseCredentialResponse([]byte(bad))
		require.ErrorIs(t, err, oid4vci.ErrMalformed, bad)
	}
	for _, bad := range []string{"", "A", "AB==", "*", "AB"} {
		_, err := oid4vci.IssuedCredential{Credential: bad}.Mdoc()
		require.ErrorIs(t, err, oid4vci.ErrMalformed, bad)
	}
}

func TestTokenResponse(t *testing.T) {
	parsed, err := oid4vci.ParseTokenResponse([]byte(`{"access_token":"abc","token_type":"Bearer","expires_in":300,"x":1,
		"authorization_details":[
		{"type":"openid_credential","credential_configuration_id":"mdl","credential_identifiers":["a","b"]},
		{"type":"openid_credential","credential_configuration_id":"pid","credential_identifiers":["c"]}]}`))
	require.NoError(t, err)
	require.Equal(t, 300, parsed.ExpiresIn)
	require.Equal(t, []string{"a", "b"}, parsed.CredentialIdentifiers("mdl"))
	require.Empty(t, parsed.CredentialIdentifiers("other"))
	for _, bad := range []string{
		``, `{}`, `{"access_token":"abc"}`, `{"access_token":"a b","token_type":"Bearer"}`, `{"access_token":"a\r\nb","token_type":"Bearer"}`,
		`{"access_token":"==","token_type":"Bearer"}`, `{"access_token":"abc","token_type":"Bearer","expires_in":-1}`,
		`{"access_token":5,"token_type":"Bearer"}`,
	} {
		_, err := oid4vci.ParseTokenResponse([]byte(bad))
		require.ErrorIs(t, err, oid4vci.ErrMalformed, bad)
	}
}

func TestNonceResponse(t *testing.T) {
	parsed, err := oid4vci.ParseNonceResponse([]byte(`{"c_nonce":"n"}`))
	require.NoError(t, err)
	require.Equal(t, "n", parsed.CNonce)
	for _, bad := range []string{``, `{}`, `{"c_nonce":5}`, `{"c_nonce":"` + strings.Repeat("n", 5000) + `"}`} {
		_, err := oid4vci.ParseNonceResponse([]byte(bad))
		require.ErrorIs(t, err, oid4vci.ErrMalformed, bad)
	}
}

func TestDeferredCredentialRequest(t *testing.T) {
	got, refused := oid4vci.ParseDeferredCredentialRequest([]byte(`{"transaction_id":"t","x":1}`))
	require.Nil(t, refused)
	require.Equal(t, oid4vci.DeferredCredentialRequest{TransactionID: "t"}, got)
	for bad, code := range map[string]oid4vci.ErrorCode{
		``: oid4vci.InvalidCredentialRequest, `{}`: oid4vci.InvalidCredentialRequest, `{"transaction_id":1}`: oid4vci.InvalidCredentialRequest,
		`{"transaction_id":"t","credential_response_encryption":{}}`: oid4vci.InvalidEncryptionParameters,
	} {
		_, refused := oid4vci.ParseDeferredCredentialRequest([]byte(bad))
		require.NotNil(t, refused)
		require.Equal(t, code, refused.Code, bad)
	}
}

func TestNotificationRequest(t *testing.T) {
	got, refused := oid4vci.ParseNotificationRequest([]byte(
		`{"notification_id":"n","event":"credential_failure","event_description":"disk \"full\"","x":1}`))
	require.Nil(t, refused)
	require.Equal(t, oid4vci.NotificationRequest{NotificationID: "n", Event: oid4vci.CredentialFailure, EventDescription: "disk 'full'"}, got)
	for _, bad := range []string{
		``, `{}`, `{"notification_id":"n"}`, `{"notification_id":"n","event":"Credential_Accepted"}`,
		`{"notification_id":1,"event":"credential_accepted"}`,
		`{"notification_id":"n","event":1}`, `{"notification_id":"n","event":"credential_accepted","event_description":1}`,
	} {
		_, refused := oid4vci.ParseNotificationRequest([]byte(bad))
		require.NotNil(t, refused, bad)
		require.Equal(t, oid4vci.InvalidNotificationRequest, refused.Code)
	}
}

func testMetadata() oid4vci.IssuerMetadata {
	return oid4vci.IssuerMetadata{
		CredentialIssuer: issuerID, CredentialEndpoint: issuerID + "/credential", NonceEndpoint: issuerID + "/nonce",
		DeferredCredentialEndpoint: issuerID + "/deferred", NotificationEndpoint: issuerID + "/notification",
		BatchCredentialIssuance: &oid4vci.BatchCredentialIssuance{BatchSize: 10},
		Display:                 []oid4vci.Display{{Name: "DMV", Locale: "en"}},
		CredentialConfigurations: map[string]oid4vci.CredentialConfiguration{"org.iso.18013.5.1.mDL": {
			Format: oid4vci.FormatMdoc, DocType: "org.iso.18013.5.1.mDL", BindingMethods: []string{oid4vci.BindingCOSEKey},
			CredentialSigningAlgs: []int{oid4vci.COSEES256, oid4vci.COSEESP256},
			ProofTypes:            map[string]oid4vci.ProofType{oid4vci.ProofTypeJWT: {SigningAlgs: []string{"ES256"}}},
			Metadata: &oid4vci.CredentialMetadata{
				Display: []oid4vci.Display{{Name: "Driving licence", Locale: "en", Logo: &oid4vci.Image{URI: "https://issuer.example.org/logo.png"}}},
				Claims:  []oid4vci.Claim{{Path: oid4vci.ElementPath("org.iso.18013.5.1", "family_name"), Mandatory: true}},
			},
		}},
	}
}

func TestIssuerMetadata(t *testing.T) {
	data, err := json.Marshal(testMetadata())
	require.NoError(t, err)
	parsed, err := oid4vci.ParseIssuerMetadata(data, issuerID)
	require.NoError(t, err)
	require.Equal(t, testMetadata(), parsed)

	_, err = oid4vci.ParseIssuerMetadata(data, issuerID+"/")
	require.ErrorIs(t, err, oid4vci.ErrIssuerMismatch)

	other := strings.Replace(string(data), `"credential_configurations_supported":{`,
		`"credential_configurations_supported":{"sd":{"format":"dc+sd-jwt","vct":"x","credential_signing_alg_values_supported":["ES256"]},`, 1)
	parsed, err = oid4vci.ParseIssuerMetadata([]byte(other), issuerID)
	require.NoError(t, err)
	require.Equal(t, oid4vci.CredentialConfiguration{Format: "dc+sd-jwt"}, parsed.CredentialConfigurations["sd"])
}

func TestIssuerMetadataRefuses(t *testing.T) {
	const mdl = "org.iso.18013.5.1.mDL"
	change := func(edit func(*oid4vci.CredentialConfiguration)) func(*oid4vci.IssuerMetadata) {
		return func(m *oid4vci.IssuerMetadata) {
			c := m.CredentialConfigurations[mdl]
			edit(&c)
			m.CredentialConfigurations[mdl] = c
		}
	}
	tests := map[string]func(*oid4vci.IssuerMetadata){
		"endpoint missing":        func(m *oid4vci.IssuerMetadata) { m.CredentialEndpoint = "" },
		"endpoint over http":      func(m *oid4vci.IssuerMetadata) { m.CredentialEndpoint = "http://issuer.example.org/credential" },
		"nonce over http":         func(m *oid4vci.IssuerMetadata) { m.NonceEndpoint = "http://issuer.example.org/nonce" },
		"deferred a path":         func(m *oid4vci.IssuerMetadata) { m.DeferredCredentialEndpoint = "/deferred" },
		"notification in a file":  func(m *oid4vci.IssuerMetadata) { m.NotificationEndpoint = "file:///x" },
		"server over http":        func(m *oid4vci.IssuerMetadata) { m.AuthorizationServers = []string{"http://as.example.org"} },
		"server empty":            func(m *oid4vci.IssuerMetadata) { m.AuthorizationServers = []string{""} },
		"batch of one":            func(m *oid4vci.IssuerMetadata) { m.BatchCredentialIssuance.BatchSize = 1 },
		"no configurations":       func(m *oid4vci.IssuerMetadata) { m.CredentialConfigurations = nil },
		"configuration unnamed":   func(m *oid4vci.IssuerMetadata) { m.CredentialConfigurations[""] = m.CredentialConfigurations[mdl] },
		"format missing":          change(func(c *oid4vci.CredentialConfiguration) { c.Format = "" }),
		"doctype missing":         change(func(c *oid4vci.CredentialConfiguration) { c.DocType = "" }),
		"binding without proof":   change(func(c *oid4vci.CredentialConfiguration) { c.ProofTypes = nil }),
		"proof without binding":   change(func(c *oid4vci.CredentialConfiguration) { c.BindingMethods = nil }),
		"proof without algorithm": change(func(c *oid4vci.CredentialConfiguration) { c.ProofTypes = map[string]oid4vci.ProofType{"jwt": {}} }),
		"short claim path":        change(func(c *oid4vci.CredentialConfiguration) { c.Metadata.Claims[0].Path = oid4vci.ClaimPath{"a"} }),
		"claim path of numbers":   change(func(c *oid4vci.CredentialConfiguration) { c.Metadata.Claims[0].Path = oid4vci.ClaimPath{"a", 1} }),
		"claim twice": change(func(c *oid4vci.CredentialConfiguration) {
			c.Metadata.Claims = append(c.Metadata.Claims, c.Metadata.Claims[0])
		}),
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			m := testMetadata()
			edit(&m)
			data, err := json.Marshal(m)
			require.NoError(t, err)
			_, err = oid4vci.ParseIssuerMetadata(data, issuerID)
			require.Error(t, err)
			require.NotErrorIs(t, err, oid4vci.ErrIssuerMismatch)
		})
	}
	for _, bad := range []string{"", "{", "[]", `{"credential_issuer":5}`,
		`{"credential_issuer":"` + issuerID + `","credential_configurations_supported":{"a":5}}`,
		strings.Repeat(" ", oid4vci.MaxMetadata+1)} {
		_, err := oid4vci.ParseIssuerMetadata([]byte(bad), issuerID)
		require.ErrorIs(t, err, oid4vci.ErrMalformed)
	}
}

func TestAuthorizationServerMetadata(t *testing.T) {
	m := oid4vci.AuthorizationServerMetadata{
		Issuer: issuerID, TokenEndpoint: issuerID + "/token", GrantTypesSupported: []string{oid4vci.GrantPreAuthorizedCode},
		PreAuthorizedGrantAnonymousAccess: true,
	}
	data, err := json.Marshal(m)
	require.NoError(t, err)
	require.Contains(t, string(data), `"pre-authorized_grant_anonymous_access_supported":true`)
	parsed, err := oid4vci.ParseAuthorizationServerMetadata(data, issuerID)
	require.NoError(t, err)
	require.Equal(t, m, parsed)
	require.True(t, parsed.SupportsGrant(oid4vci.GrantPreAuthorizedCode))
	require.False(t, parsed.SupportsGrant(oid4vci.GrantRefreshToken))
	require.True(t, oid4vci.AuthorizationServerMetadata{}.SupportsGrant(oid4vci.GrantAuthorizationCode))

	_, err = oid4vci.ParseAuthorizationServerMetadata(data, "https://other.example.org")
	require.ErrorIs(t, err, oid4vci.ErrIssuerMismatch)
	_, err = oid4vci.ParseAuthorizationServerMetadata([]byte(`{"issuer":"`+issuerID+`","token_endpoint":"http://a.example"}`), issuerID)
	require.ErrorIs(t, err, oid4vci.ErrUnsafeURL)
	_, err = oid4vci.ParseAuthorizationServerMetadata([]byte(`[`), issuerID)
	require.ErrorIs(t, err, oid4vci.ErrMalformed)
}

func FuzzParseTokenRequest(f *testing.F) {
	f.Add("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Apre-authorized_code&pre-authorized_code=a&tx_code=1+2")
	f.Add("grant_type=refresh_token&refresh_token=x&authorization_details=%5B%7B%22type%22%3A%22openid_credential%22%7D%5D")
	f.Fuzz(func(t *testing.T, text string) {
		form, err := url.ParseQuery(text)
		if err != nil {
			t.Skip()
		}
		r, refused := oid4vci.ParseTokenRequest(form)
		if refused != nil {
			requireDescription(t, refused)
			return
		}
		sent, err := r.Form()
		require.NoError(t, err)
		back, refused := oid4vci.ParseTokenRequest(sent)
		require.Nil(t, refused)
		require.Equal(t, r.PreAuthorizedCode, back.PreAuthorizedCode)
	})
}

func FuzzParseCredentialRequest(f *testing.F) {
	f.Add([]byte(`{"credential_configuration_id":"mdl","proofs":{"jwt":["a","b"]}}`))
	f.Add([]byte(`{"credential_identifier":"mdl","proofs":{"attestation":["a"]},"credential_response_encryption":{"jwk":{},"enc":"x"}}`))
	f.Add([]byte(`{"format":"mso_mdoc","proof":{"proof_type":"jwt"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, refused := oid4vci.ParseCredentialRequest(data, 10)
		if refused != nil {
			requireDescription(t, refused)
			return
		}
		require.NotEqual(t, r.CredentialConfigurationID == "", r.CredentialIdentifier == "")
		require.LessOrEqual(t, len(r.Proofs.JWT), 10)
	})
}

func FuzzParseOfferLink(f *testing.F) {
	link, err := oid4vci.DeepLinkByValue(testOffer())
	require.NoError(f, err)
	f.Add(link)
	f.Add("openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fa.example")
	f.Add("https://a.example/x")
	f.Fuzz(func(t *testing.T, text string) {
		link, err := oid4vci.ParseOfferLink(text)
		if err != nil {
			return
		}
		if link.Offer == nil {
			require.NoError(t, oid4vci.CheckURL(link.OfferURI))
			return
		}
		require.NoError(t, link.Offer.Validate())
	})
}

// FuzzParseResponses feeds what a wallet reads from an issuer.
func FuzzParseResponses(f *testing.F) {
	metadata, err := json.Marshal(testMetadata())
	require.NoError(f, err)
	offer, err := json.Marshal(testOffer())
	require.NoError(f, err)
	for _, seed := range []string{string(metadata), string(offer), `{"access_token":"a","token_type":"Bearer"}`, `{"c_nonce":"n"}`,
		`{"credentials":[{"credential":"AA"}]}`, `{"transaction_id":"t","interval":5}`, `{"error":"invalid_grant"}`,
		`{"issuer":"` + issuerID + `","token_endpoint":"https://a.example"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := oid4vci.ParseIssuerMetadata(data, issuerID); err == nil {
			require.NoError(t, m.Validate())
		}
		if m, err := oid4vci.ParseAuthorizationServerMetadata(data, issuerID); err == nil {
			require.Equal(t, issuerID, m.Issuer)
		}
		if o, err := oid4vci.ParseCredentialOffer(data); err == nil {
			require.NoError(t, o.Validate())
		}
		if r, err := oid4vci.ParseTokenResponse(data); err == nil {
			require.NotEmpty(t, r.AccessToken)
		}
		if r, err := oid4vci.ParseNonceResponse(data); err == nil {
			require.NotEmpty(t, r.CNonce)
		}
		if r, err := oid4vci.ParseCredentialResponse(data); err == nil {
			require.NotEqual(t, len(r.Credentials) > 0, r.TransactionID != "")
		}
		if e, err := oid4vci.ParseError(data); err == nil {
			requireDescription(t, e)
		}
	})
}

// FuzzParseRequests feeds the small requests of a wallet.
func FuzzParseRequests(f *testing.F) {
	f.Add([]byte(`{"transaction_id":"t"}`))
	f.Add([]byte(`{"notification_id":"n","event":"credential_accepted","event_description":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, refused := oid4vci.ParseDeferredCredentialRequest(data); refused == nil {
			require.NotEmpty(t, r.TransactionID)
		}
		if r, refused := oid4vci.ParseNotificationRequest(data); refused == nil {
			require.NotEmpty(t, r.NotificationID)
		}
	})
}
