package public

import (
	"bytes"
	"encoding/pem"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/internal/domain"
)

// Media types of certificates (RFC 8555, 9.1; RFC 2585, 4).
const (
	typePEM  = "application/pem-certificate-chain"
	typeCert = "application/pkix-cert"
	typeCRL  = "application/pkix-crl"
)

// A new root is published long before anything is signed under it, a revocation list is renewed days before its end; an hour delays
// neither.
const pkiMaxAge = time.Hour

// rootsPEM answers GET /pki/iaca.pem with every IACA certificate, the one valid longest first.
func (s *server) rootsPEM(c *gin.Context) {
	roots, err := s.roots(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	var body bytes.Buffer
	for _, der := range roots {
		body.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	serveCached(c, typePEM, pkiMaxAge, "", body.Bytes())
}

// newestRoot answers GET /pki/iaca.cer with the IACA certificate valid longest, in DER.
func (s *server) newestRoot(c *gin.Context) {
	roots, err := s.roots(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	serveCached(c, typeCert, pkiMaxAge, "", roots[0])
}

// roots gives at least one certificate.
func (s *server) roots(c *gin.Context) ([][]byte, error) {
	roots, err := s.Issuer.Roots(c.Request.Context())
	if err == nil && len(roots) == 0 {
		err = domain.Errorf(domain.CodeNotFound, "there is no IACA certificate yet")
	}
	return roots, err
}

// revocationList answers GET /pki/iaca.crl, the address in the certificates' CRL distribution points (ISO/IEC 18013-5 Annex B).
func (s *server) revocationList(c *gin.Context) {
	crl, err := s.Issuer.RevocationList(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	serveCached(c, typeCRL, pkiMaxAge, "", crl)
}
