package public

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
)

// Media types of status lists (Token Status List, clause 8.1).
const (
	typeCWT = "application/statuslist+cwt"
	typeJWT = "application/statuslist+jwt"
)

// aggregationMaxAge is how long the list of lists may be kept. A list is new long before the second document that names it is shown.
const aggregationMaxAge = time.Minute

// statusList answers GET /status-lists/:id: the signed list as a CWT or as a JWT, whichever the caller prefers. Past states of a list
// (clause 8.4) are not given: who kept them could follow single documents.
func (s *server) statusList(c *gin.Context) {
	ctx := c.Request.Context()
	c.Header("Vary", "Accept, Accept-Encoding")
	if c.Request.URL.RawQuery != "" && c.Request.URL.Query().Has("time") {
		s.fail(c, problem.New(ctx, problem.CodeNotSupported, "only the present state of a status list is given"))
		return
	}
	mediaType := preferred(c.Request.Header.Values("Accept"), typeCWT, typeJWT)
	if mediaType == "" {
		p := problem.New(ctx, problem.CodeNotAcceptable, "a status list is there in the forms that available names")
		p.Details = map[string]string{"available": typeCWT + ", " + typeJWT}
		s.fail(c, p)
		return
	}
	list, err := s.Issuer.StatusList(ctx, c.Param("id"), mediaType == typeJWT)
	if err != nil {
		s.fail(c, err)
		return
	}
	body, etag := list.Body, list.ETag
	// Clause 8.2 asks for a content coding of the JWT form, which is base64 of base64.
	if list.Gzip != nil && takesGzip(c.Request.Header.Values("Accept-Encoding")) {
		body, etag = list.Gzip, strings.TrimSuffix(list.ETag, `"`)+`-gzip"`
		c.Header("Content-Encoding", "gzip")
	}
	serveCached(c, list.MediaType, list.MaxAge, etag, body)
}

// aggregation is the list of lists (Token Status List, clause 9.3).
type aggregation struct {
	StatusLists []string `json:"status_lists"`
}

// statusLists answers GET /status-lists, the aggregation_uri of every list.
func (s *server) statusLists(c *gin.Context) {
	uris, err := s.Issuer.StatusListURIs(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	body, err := json.Marshal(aggregation{StatusLists: uris})
	if err != nil {
		s.fail(c, fmt.Errorf("encode status list aggregation: %w", err))
		return
	}
	serveCached(c, "application/json", aggregationMaxAge, "", body)
}

// preferred gives the offered media type that Accept headers (RFC 9110, 12.5.1) prefer: the one with the highest weight, of those the one
// that is named most exactly, of those the first. Without a header that is the first; empty means that none is accepted.
func preferred(accept []string, offered ...string) string {
	if len(accept) == 0 || len(accept) == 1 && strings.TrimSpace(accept[0]) == "" {
		return offered[0]
	}
	best, bestType := preference{}, ""
	for _, mediaType := range offered {
		var p preference
		for _, header := range accept {
			for entry := range strings.SplitSeq(header, ",") {
				mediaRange, parameters, _ := strings.Cut(entry, ";")
				p.consider(strings.ToLower(strings.TrimSpace(mediaRange)), mediaType, quality(parameters))
			}
		}
		if p.q > best.q || p.q == best.q && p.q > 0 && p.specificity > best.specificity {
			best, bestType = p, mediaType
		}
	}
	return bestType
}

// preference is the weight of the most specific media range so far.
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

// takesGzip reads Accept-Encoding headers (RFC 9110, 12.5.3).
func takesGzip(headers []string) bool {
	takes, named := false, false
	for _, header := range headers {
		for entry := range strings.SplitSeq(header, ",") {
			coding, parameters, _ := strings.Cut(entry, ";")
			switch coding = strings.ToLower(strings.TrimSpace(coding)); {
			case coding == "gzip" || coding == "x-gzip":
				takes, named = quality(parameters) > 0, true
			case coding == "*" && !named:
				takes = quality(parameters) > 0
			}
		}
	}
	return takes
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
