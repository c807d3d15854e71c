package wallet

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// OfferURI is where the credential offer behind a collection link is found, below a base URL.
func OfferURI(baseURL, linkToken string) string { return baseURL + pathOffers + linkToken }

// CredentialOffer is the issuer's offer in the words of the protocol (Credential Offer Parameters); oid4vci.DeepLinkByValue puts it into
// a link. The text of the transaction code is for the holder, in English: the protocol has one text and says no language.
func CredentialOffer(credentialIssuer string, o issuer.Offer) oid4vci.CredentialOffer {
	return oid4vci.CredentialOffer{
		CredentialIssuer:           credentialIssuer,
		CredentialConfigurationIDs: []string{o.ConfigurationID},
		Grants: oid4vci.OfferGrants{PreAuthorizedCode: &oid4vci.PreAuthorizedCodeGrant{
			PreAuthorizedCode: o.PreAuthorizedCode,
			TxCode: &oid4vci.TxCode{InputMode: oid4vci.InputModeNumeric, Length: o.CodeDigits,
				Description: "The authentication code that was sent to you separately"},
		}},
	}
}

// offer answers GET /oid4vci/offers/:token, any number of times until the document is collected.
func (s *server) offer(c *gin.Context) {
	noStore(c)
	offer, err := s.Issuer.Offer(c.Request.Context(), c.Param("token"))
	if err != nil {
		s.refuse(c, atOther, err)
		return
	}
	s.send(c, http.StatusOK, CredentialOffer(s.BaseURL, offer))
}
