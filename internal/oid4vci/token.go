package oid4vci

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// maxSecret bounds codes and tokens, maxTxCode a transaction code (both in bytes).
const (
	maxSecret = 4096
	maxTxCode = 64
)

// TokenRequest is a request to the token endpoint (Token Request; RFC 6749, 4.1.3 and 6). A parameter that was not sent,
// or was sent without a value, is empty.
type TokenRequest struct {
	GrantType            string
	PreAuthorizedCode    string
	TxCode               string // as entered by the holder; see NormalizeTxCode
	Code                 string
	RedirectURI          string
	CodeVerifier         string
	RefreshToken         string
	ClientID             string
	Scope                string
	AuthorizationDetails []AuthorizationDetail
}

// AuthorizationDetailsType is the type of authorization details of this protocol.
const AuthorizationDetailsType = "openid_credential"

// AuthorizationDetail names a credential configuration that is asked for or, in a token response, the credential data
// sets that can be collected with the token (Using Authorization Details Parameter; Successful Token Response).
type AuthorizationDetail struct {
	Type                      string   `json:"type"`
	CredentialConfigurationID string   `json:"credential_configuration_id"`
	Locations                 []string `json:"locations,omitempty"`
	CredentialIdentifiers     []string `json:"credential_identifiers,omitempty"`
}

// ParseTokenRequest reads the form of a token request. Parameters it does not know are ignored, given twice or not
// (RFC 8707 lets a client repeat resource); one it knows is refused when given twice. It checks that the parameters of
// the grant are there, not whether a code is right. Errors have the codes invalid_request, unsupported_grant_type and
// invalid_authorization_details.
func ParseTokenRequest(form url.Values) (TokenRequest, *Error) {
	var r TokenRequest
	var details string
	parameters := []struct {
		name  string
		value *string
		limit int
	}{
		{"grant_type", &r.GrantType, maxName},
		{"pre-authorized_code", &r.PreAuthorizedCode, maxSecret},
		{"tx_code", &r.TxCode, maxTxCode},
		{"code", &r.Code, maxSecret},
		{"redirect_uri", &r.RedirectURI, maxURL},
		{"code_verifier", &r.CodeVerifier, maxName},
		{"refresh_token", &r.RefreshToken, maxSecret},
		{"client_id", &r.ClientID, maxURL},
		{"scope", &r.Scope, maxSecret},
		{"authorization_details", &details, MaxSmallRequest},
	}
	for _, p := range parameters {
		values := form[p.name]
		if len(values) > 1 {
			return TokenRequest{}, NewError(InvalidRequest, p.name+" is given twice")
		}
		if len(values) == 0 {
			continue
		}
		if len(values[0]) > p.limit {
			return TokenRequest{}, NewError(InvalidRequest, p.name+" is too long")
		}
		*p.value = values[0]
	}
	if err := r.checkGrant(); err != nil {
		return TokenRequest{}, err
	}
	if details != "" {
		var err *Error
		if r.AuthorizationDetails, err = parseAuthorizationDetails(details); err != nil {
			return TokenRequest{}, err
		}
	}
	return r, nil
}

// checkGrant checks that the request has what its grant type needs.
func (r TokenRequest) checkGrant() *Error {
	var needed, value string
	switch r.GrantType {
	case "":
		return NewError(InvalidRequest, "grant_type is missing")
	case GrantPreAuthorizedCode:
		needed, value = "pre-authorized_code", r.PreAuthorizedCode
	case GrantAuthorizationCode:
		needed, value = "code", r.Code
	case GrantRefreshToken:
		needed, value = "refresh_token", r.RefreshToken
	default:
		return NewError(UnsupportedGrantType, "")
	}
	if value == "" {
		return NewError(InvalidRequest, needed+" is missing")
	}
	if r.TxCode != "" && r.GrantType != GrantPreAuthorizedCode {
		return NewError(InvalidRequest, "tx_code belongs to the pre-authorized code grant only")
	}
	return nil
}

func parseAuthorizationDetails(text string) ([]AuthorizationDetail, *Error) {
	objects, err := decode[[]json.RawMessage]([]byte(text), MaxSmallRequest)
	if err != nil || len(objects) == 0 || len(objects) > maxNames {
		return nil, NewError(InvalidAuthorizationDetails, "authorization_details is not an array of objects")
	}
	details := make([]AuthorizationDetail, 0, len(objects))
	for _, object := range objects {
		m, err := members(object, MaxSmallRequest)
		if err != nil {
			return nil, NewError(InvalidAuthorizationDetails, "authorization_details is not an array of objects")
		}
		var d AuthorizationDetail
		var errs [3]error
		d.Type, _, errs[0] = member[string](m, "type")
		d.CredentialConfigurationID, _, errs[1] = member[string](m, "credential_configuration_id")
		d.Locations, _, errs[2] = member[[]string](m, "locations")
		for _, err := range errs {
			if err != nil {
				return nil, NewError(InvalidAuthorizationDetails, "a member of authorization_details is of the wrong type")
			}
		}
		if d.Type != AuthorizationDetailsType {
			return nil, NewError(InvalidAuthorizationDetails, "type of authorization_details is not known")
		}
		if d.CredentialConfigurationID == "" {
			return nil, NewError(InvalidAuthorizationDetails, "credential_configuration_id is missing")
		}
		details = append(details, d)
	}
	return details, nil
}

// Form is the request as a form to send.
func (r TokenRequest) Form() (url.Values, error) {
	form := url.Values{}
	parameters := []struct{ name, value string }{
		{"grant_type", r.GrantType},
		{"pre-authorized_code", r.PreAuthorizedCode},
		{"tx_code", r.TxCode},
		{"code", r.Code},
		{"redirect_uri", r.RedirectURI},
		{"code_verifier", r.CodeVerifier},
		{"refresh_token", r.RefreshToken},
		{"client_id", r.ClientID},
		{"scope", r.Scope},
	}
	for _, p := range parameters {
		if p.value != "" {
			form.Set(p.name, p.value)
		}
	}
	if len(r.AuthorizationDetails) > 0 {
		data, err := json.Marshal(r.AuthorizationDetails)
		if err != nil {
			return nil, fmt.Errorf("encode authorization details: %w", err)
		}
		form.Set("authorization_details", string(data))
	}
	return form, nil
}

// NormalizeTxCode removes what comes along when a code is read off a message and typed or pasted: white space of any
// script and invisible format characters. Digits and letters stay as they are.
func NormalizeTxCode(entered string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, entered)
}

// TokenResponse is a successful answer of the token endpoint (RFC 6749, 5.1; Successful Token Response). ExpiresIn is in
// seconds, 0 if not said. It is sent with Cache-Control: no-store.
type TokenResponse struct {
	AccessToken          string                `json:"access_token"`
	TokenType            string                `json:"token_type"`
	ExpiresIn            int                   `json:"expires_in,omitempty"`
	RefreshToken         string                `json:"refresh_token,omitempty"`
	Scope                string                `json:"scope,omitempty"`
	AuthorizationDetails []AuthorizationDetail `json:"authorization_details,omitempty"`
	// UpdateAvailable is beyond the standards: in an answer to a refresh token it says whether a new version of the document
	// waits to be collected with the access token. Nil: the issuer does not say.
	UpdateAvailable *bool `json:"update_available,omitempty"`
}

// Token types.
const (
	TokenTypeBearer = "Bearer"
	TokenTypeDPoP   = "DPoP"
)

// ParseTokenResponse reads a token response of at most MaxSmallResponse bytes. Errors are ErrMalformed.
func ParseTokenResponse(data []byte) (TokenResponse, error) {
	r, err := decode[TokenResponse](data, MaxSmallResponse)
	if err != nil {
		return TokenResponse{}, fmt.Errorf("parse token response: %w", err)
	}
	if !isToken68(r.AccessToken) || r.TokenType == "" || r.ExpiresIn < 0 || len(r.RefreshToken) > maxSecret {
		return TokenResponse{}, fmt.Errorf("parse token response: %w: access_token, token_type, expires_in or refresh_token", ErrMalformed)
	}
	return r, nil
}

// CredentialIdentifiers are the identifiers the token response gives for the configuration; a wallet has to use one of
// them instead of the configuration's own id when there are any.
func (r TokenResponse) CredentialIdentifiers(configurationID string) []string {
	var identifiers []string
	for _, d := range r.AuthorizationDetails {
		if d.Type == AuthorizationDetailsType && d.CredentialConfigurationID == configurationID {
			identifiers = append(identifiers, d.CredentialIdentifiers...)
		}
	}
	return slices.Clip(identifiers)
}

// isToken68 tells whether a token can stand in an Authorization header (RFC 6750, 2.1).
func isToken68(token string) bool {
	if token == "" || len(token) > maxSecret {
		return false
	}
	body := strings.TrimRight(token, "=")
	for _, c := range []byte(body) {
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && !strings.ContainsRune("-._~+/", rune(c)) {
			return false
		}
	}
	return body != ""
}

// NonceResponse is the answer of the nonce endpoint, sent with Cache-Control: no-store.
type NonceResponse struct {
	CNonce string `json:"c_nonce"`
}

// ParseNonceResponse reads a nonce response. Errors are ErrMalformed.
func ParseNonceResponse(data []byte) (NonceResponse, error) {
	r, err := decode[NonceResponse](data, MaxSmallResponse)
	if err != nil {
		return NonceResponse{}, fmt.Errorf("parse nonce response: %w", err)
	}
	if r.CNonce == "" || len(r.CNonce) > maxSecret {
		return NonceResponse{}, fmt.Errorf("parse nonce response: %w: c_nonce", ErrMalformed)
	}
	return r, nil
}
