package public

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/api/qrcode"
	"github.com/mdocket/mdocket/api/wallet"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/telemetry"
)

//go:embed page.css
var pageStyle string

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// pagePolicy lets the page have its own style and nothing else: no script, picture, frame, form or request to anywhere.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// page is what the template shows: Offer or Problem.
type page struct {
	Text          *text
	Style         template.CSS
	ServerName    string
	CorrelationID string // with trouble on our side
	Offer         *offerView
	Problem       *notice
}

// offerView is an offer on the page. The link element in the head and the anchor both carry the deep link, for wallets that are given the
// page's address.
type offerView struct {
	Document string
	Link     template.URL // by reference
	Whole    template.URL // by value, for wallets that cannot fetch an offer
	QR       *qrcode.Code // nil on a phone
	Digits   int
	Deadline time.Time
}

// collectionPage answers GET /c/:token (E8): on a phone a button that opens the wallet, elsewhere the QR code too.
func (s *server) collectionPage(c *gin.Context) {
	p := page{Text: textFor(c.GetHeader("Accept-Language")), ServerName: s.ServerName,
		Style: template.CSS(pageStyle)} //nolint:gosec // our own file
	var err error
	status := http.StatusOK
	if p.Offer, err = s.offerView(c); err != nil {
		status = statusOf(err)
		p.Problem = p.Text.notice(status)
	}
	if status == http.StatusInternalServerError {
		p.CorrelationID = telemetry.CorrelationID(c.Request.Context())
		s.Log.ErrorContext(c.Request.Context(), "collection page failed", "error", err)
	}
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, p); err != nil {
		s.Log.ErrorContext(c.Request.Context(), "collection page not rendered", "error", err)
		c.Status(http.StatusInternalServerError)
		return
	}
	secrecy(c)
	c.Header("Content-Language", p.Text.Language)
	c.Header("Content-Security-Policy", pagePolicy)
	c.Header("Vary", "Accept-Language, User-Agent")
	c.Data(status, "text/html; charset=utf-8", body.Bytes())
}

func (s *server) offerView(c *gin.Context) (*offerView, error) {
	token := c.Param("token")
	offer, err := s.Issuer.Offer(c.Request.Context(), token)
	if err != nil {
		return nil, err
	}
	link, err := oid4vci.DeepLinkByReference(wallet.OfferURI(offer.PublicBaseURL, token))
	if err != nil {
		return nil, err
	}
	whole, err := oid4vci.DeepLinkByValue(wallet.CredentialOffer(s.BaseURL, offer))
	if err != nil {
		return nil, err
	}
	v := &offerView{Document: offer.DisplayName, Digits: offer.CodeDigits, Deadline: offer.Deadline,
		Link:  template.URL(link),  //nolint:gosec // built from our own address and a token that was checked
		Whole: template.URL(whole)} //nolint:gosec // built from what we offer
	if !isPhone(c.Request.UserAgent()) {
		v.QR, err = offerQR(offer, token)
	}
	return v, err
}

// offerQR is the deep link as a QR code.
func offerQR(offer issuer.Offer, token string) (*qrcode.Code, error) {
	link, err := oid4vci.DeepLinkByReference(wallet.OfferURI(offer.QRBaseURL, token))
	if err != nil {
		return nil, err
	}
	return qrcode.New(link)
}

// collectionQR answers GET /c/:token/qr.png with the code alone, for screens that are not this page.
func (s *server) collectionQR(c *gin.Context) {
	secrecy(c)
	picture, err := s.qrPicture(c)
	if err != nil {
		status := statusOf(err)
		if status == http.StatusInternalServerError {
			s.Log.ErrorContext(c.Request.Context(), "QR code failed", "error", err)
		}
		c.Status(status)
		return
	}
	c.Data(http.StatusOK, "image/png", picture)
}

func (s *server) qrPicture(c *gin.Context) ([]byte, error) {
	token := c.Param("token")
	offer, err := s.Issuer.Offer(c.Request.Context(), token)
	if err != nil {
		return nil, err
	}
	code, err := offerQR(offer, token)
	if err != nil {
		return nil, err
	}
	return code.PNG()
}

// secrecy keeps an address that is a secret, and what it leads to, out of caches, search engines and other sites' logs.
func secrecy(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("X-Robots-Tag", "noindex, nofollow")
}

// statusOf is the status of an offer that cannot be shown.
func statusOf(err error) int {
	switch domain.CodeOf(err) {
	case domain.CodeOfferInvalid:
		return http.StatusNotFound
	case domain.CodeOfferExpired:
		return http.StatusGone
	case domain.CodeCodeLocked:
		return http.StatusLocked
	default:
		return http.StatusInternalServerError
	}
}

// isPhone says whether the browser is on a device that has a wallet rather than one that shows a code to it.
func isPhone(userAgent string) bool {
	return wallet.PlatformOf(userAgent) != domain.PlatformOther || strings.Contains(userAgent, "Mobile")
}
