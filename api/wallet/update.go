package wallet

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// updateStatus tells whether an update of a document waits. It is beyond the standards, like the member of that name in answers to refresh
// tokens.
type updateStatus struct {
	UpdateAvailable bool `json:"update_available"`
}

// update answers GET /oid4vci/update: whether an update waits for the document that the access token is for (E6). Asking changes nothing. To
// collect the update the wallet uses its refresh token, whose access token then is for the update.
func (s *server) update(c *gin.Context) {
	noStore(c)
	token, ok := s.bearerToken(c)
	if !ok {
		return
	}
	available, err := s.Issuer.UpdateAvailable(c.Request.Context(), token)
	if err != nil {
		s.refuse(c, atCredential, err)
		return
	}
	s.send(c, http.StatusOK, updateStatus{UpdateAvailable: available})
}
