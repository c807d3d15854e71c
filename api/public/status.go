package public

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/internal/domain"
)

// Media types of status lists (Token Status List, clause 8.1).
const (
	typeCWT = "application/statuslist+cwt"
	typeJWT = "application/statuslist+jwt"
)

// statusList answers GET /status-lists/:id: the signed list as a CWT, or as a JWT to those who ask for one.
func (s *server) statusList(c *gin.Context) {
	c.Header("Vary", "Accept")
	list, err := s.Issuer.StatusList(c.Request.Context(), c.Param("id"), prefersJWT(c.Request.Header.Values("Accept")))
	if err != nil {
		s.fail(c, err)
		return
	}
	serveCached(c, list.MediaType, list.MaxAge, list.ETag, list.Body)
}

// aggregation is the list of lists (Token Status List, clause 9).
type aggregation struct {
	StatusLists []string `json:"status_lists"`
}

// statusLists answers GET /status-lists.
func (s *server) statusLists(c *gin.Context) {
	uris, err := s.Issuer.StatusListURIs(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Cache-Control", "public, max-age=60")
	c.JSON(http.StatusOK, aggregation{StatusLists: uris})
}

// prefersJWT reads Accept headers (RFC 9110, 12.5.1) and says whether the JWT form is wanted more than the CWT form. Readers of mdocs
// that send no header, or one that names neither, get the CWT: a reader that is refused its list would have to trust revoked documents,
// or none.
func prefersJWT(accept []string) bool {
	cwt, jwt := preference{}, preference{}
	for _, header := range accept {
		for entry := range strings.SplitSeq(header, ",") {
			mediaRange, parameters, _ := strings.Cut(entry, ";")
			mediaRange = strings.ToLower(strings.TrimSpace(mediaRange))
			q := quality(parameters)
			cwt.consider(mediaRange, typeCWT, q)
			jwt.consider(mediaRange, typeJWT, q)
		}
	}
	return jwt.q > cwt.q
}

// preference is the quality of the most specific media range so far.
type preference struct {
	specificity int
	q           float64
}

func (p *preference) consider(mediaRange, mediaType string, q float64) {
	specificity := 0
	switch mediaRange {
	case mediaType:
		specificity = 3
	case "application/*":
		specificity = 2
	case "*/*":
		specificity = 1
	}
	if specificity > p.specificity {
		p.specificity, p.q = specificity, q
	}
}

// quality finds the weight among the parameters of a media range: 1 when there is none, 0 when it is not a weight.
func quality(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}

// onlineStatus is what a verifier learns about a serial number.
type onlineStatus struct {
	Serial     string               `json:"serial"`
	DocType    string               `json:"doc_type"`
	State      domain.DocumentState `json:"state"`
	Valid      bool                 `json:"valid"`
	ValidFrom  string               `json:"valid_from"`  // RFC 3339
	ValidUntil string               `json:"valid_until"` // RFC 3339
}

// verify answers GET /verify/:serial with the state at this moment.
func (s *server) verify(c *gin.Context) {
	serial := strings.ToUpper(c.Param("serial"))
	status, err := s.Issuer.VerifySerial(c.Request.Context(), serial, c.ClientIP())
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, onlineStatus(status))
}
