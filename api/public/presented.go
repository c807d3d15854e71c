package public

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// maxPresented bounds the body of POST /verify, in bytes: several documents with pictures.
const maxPresented = 3 << 19

// presentedForm is the JSON form of what is presented. Its members are base64url (RFC 4648, 5) of CBOR.
type presentedForm struct {
	Document          string  `json:"document"`                     // an IssuerSigned or a DeviceResponse
	SessionTranscript *string `json:"session_transcript,omitempty"` // of the session in which a DeviceResponse was presented
}

// verifyPresented answers POST /verify: the documents of the body are checked, and the answer tells of each check how it went (F8). The
// body is the CBOR of an IssuerSigned or of a DeviceResponse, or presentedForm. Nothing of it is kept, logged or repeated.
func (s *server) verifyPresented(c *gin.Context) {
	presented, err := readPresented(c.GetHeader("Content-Type"), http.MaxBytesReader(c.Writer, c.Request.Body, maxPresented))
	if err != nil {
		s.failPresented(c, err)
		return
	}
	report, err := s.Issuer.VerifyPresented(c.Request.Context(), presented, c.ClientIP())
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, report)
}

// verifyOptions answers the question that browsers ask before they post a document to another origin.
func verifyOptions(c *gin.Context) {
	c.Header("Access-Control-Allow-Methods", http.MethodPost)
	c.Header("Access-Control-Allow-Headers", "Content-Type")
	c.Header("Access-Control-Max-Age", "86400")
	c.Header("Allow", "OPTIONS, POST")
	c.Status(http.StatusNoContent)
}

// Refusals of a body.
var (
	errBodyType = errors.New("the body must be application/cbor or application/json")
	errBodyForm = errors.New("the body must be one JSON object with document and, if known, session_transcript")
	errBodyRead = errors.New("the body ended early")
)

// readPresented reads the body of POST /verify. Errors are or wrap errBodyType, errBodyForm, errBodyRead, *http.MaxBytesError,
// *domain.Error.
func readPresented(contentType string, body io.Reader) (issuer.Presented, error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "application/cbor" && mediaType != "application/json" {
		return issuer.Presented{}, errBodyType
	}
	content, err := io.ReadAll(body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return issuer.Presented{}, err
	case err != nil:
		return issuer.Presented{}, errBodyRead
	case mediaType == "application/cbor":
		return issuer.Presented{Document: content}, nil
	}
	var form presentedForm
	in := json.NewDecoder(bytes.NewReader(content))
	in.DisallowUnknownFields()
	if err := in.Decode(&form); err != nil {
		return issuer.Presented{}, errBodyForm
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return issuer.Presented{}, errBodyForm
	}
	return form.decode()
}

func (f presentedForm) decode() (out issuer.Presented, err error) {
	var problems domain.Problems
	if out.Document, err = decodeBase64URL(f.Document); err != nil || len(out.Document) == 0 {
		problems.Add("document", "must be base64url")
	}
	if f.SessionTranscript != nil {
		if out.SessionTranscript, err = decodeBase64URL(*f.SessionTranscript); err != nil || len(out.SessionTranscript) == 0 {
			problems.Add("session_transcript", "must be base64url")
		}
	}
	return out, problems.Err(domain.CodeInvalid, "the input breaks a rule")
}

// decodeBase64URL takes padding or none.
func decodeBase64URL(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
}

// failPresented answers with the problem of a body.
func (s *server) failPresented(c *gin.Context, err error) {
	ctx := c.Request.Context()
	switch {
	case errors.Is(err, errBodyType):
		err = problem.New(ctx, problem.CodeUnsupportedMediaType, err.Error())
	case errors.Is(err, errBodyForm), errors.Is(err, errBodyRead):
		err = problem.New(ctx, problem.CodeMalformed, err.Error())
	}
	s.fail(c, err)
}
