package wallet

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// maxForm bounds a token request, in bytes.
const maxForm = 64 << 10

// token answers POST /oid4vci/token (Token Request; RFC 6749, 6).
func (s *server) token(c *gin.Context) {
	request, err := readTokenRequest(c)
	if err != nil {
		s.refuse(c, atToken, err)
		return
	}
	var token issuer.Token
	var updateAvailable *bool
	if request.GrantType == oid4vci.GrantRefreshToken {
		token, err = s.Issuer.Refresh(c.Request.Context(), request.RefreshToken)
		updateAvailable = &token.UpdateAvailable
	} else {
		token, err = s.Issuer.Redeem(c.Request.Context(), request.PreAuthorizedCode, request.TxCode, c.ClientIP())
	}
	if err != nil {
		s.refuse(c, atToken, err)
		return
	}
	s.send(c, http.StatusOK, oid4vci.TokenResponse{
		AccessToken: token.AccessToken, TokenType: oid4vci.TokenTypeBearer, ExpiresIn: int(token.ExpiresIn / time.Second),
		RefreshToken: token.RefreshToken, AuthorizationDetails: granted(request.AuthorizationDetails, token.ConfigurationID),
		UpdateAvailable: updateAvailable,
	})
}

func readTokenRequest(c *gin.Context) (oid4vci.TokenRequest, error) {
	if !isContentType(c, oid4vci.ContentTypeForm) {
		return oid4vci.TokenRequest{}, oid4vci.NewError(oid4vci.InvalidRequest, "the content type is not "+oid4vci.ContentTypeForm)
	}
	body, err := readBody(c, maxForm)
	if errors.Is(err, errTooLarge) {
		return oid4vci.TokenRequest{}, &statusError{http.StatusRequestEntityTooLarge,
			oid4vci.NewError(oid4vci.InvalidRequest, "the request is too large")}
	}
	if err != nil {
		return oid4vci.TokenRequest{}, oid4vci.NewError(oid4vci.InvalidRequest, "the request broke off")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return oid4vci.TokenRequest{}, oid4vci.NewError(oid4vci.InvalidRequest, "the request is not a form")
	}
	request, refused := oid4vci.ParseTokenRequest(form)
	if refused != nil {
		return oid4vci.TokenRequest{}, refused
	}
	switch request.GrantType {
	case oid4vci.GrantPreAuthorizedCode:
	case oid4vci.GrantRefreshToken:
		return request, nil
	default:
		return oid4vci.TokenRequest{}, oid4vci.NewError(oid4vci.UnsupportedGrantType,
			"only the pre-authorized code and refresh token grants are supported")
	}
	request.TxCode = oid4vci.NormalizeTxCode(request.TxCode)
	if request.TxCode == "" {
		return oid4vci.TokenRequest{}, oid4vci.NewError(oid4vci.InvalidRequest, "tx_code is missing")
	}
	return request, nil
}

// granted answers authorization details that ask for the configuration the token is for. The one data set it leads to goes by the
// configuration's name (Successful Token Response).
func granted(asked []oid4vci.AuthorizationDetail, configurationID string) []oid4vci.AuthorizationDetail {
	for _, d := range asked {
		if d.CredentialConfigurationID == configurationID {
			return []oid4vci.AuthorizationDetail{{Type: oid4vci.AuthorizationDetailsType, CredentialConfigurationID: configurationID,
				CredentialIdentifiers: []string{configurationID}}}
		}
	}
	return nil
}

// nonce answers POST /oid4vci/nonce (Nonce Endpoint).
func (s *server) nonce(c *gin.Context) {
	nonce, err := s.Issuer.NewNonce()
	if err != nil {
		s.refuse(c, atOther, err)
		return
	}
	s.send(c, http.StatusOK, oid4vci.NonceResponse{CNonce: nonce})
}
