// Package public is what anyone may read: the collection page behind the link in the e-mail (E8), status lists and the online status of a
// document for verifiers (F7, F8), the certificates and the revocation list of the authority (H2).
//
// Nothing here needs credentials or gives personal data. The collection page knows its visitor by the link alone; it changes nothing, so
// opening it twice, or by a mail scanner, does no harm.
package public

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/issuer"
)

// Deps are the parts the pages work with. ServerName may be empty.
type Deps struct {
	Issuer     *issuer.Issuer
	BaseURL    string // public, without a trailing slash; the credential issuer identifier
	ServerName string // shown on the collection page
	Log        *slog.Logger
}

type server struct{ Deps }

// Register adds the routes to a router that serves the base URL.
func Register(r gin.IRouter, d Deps) {
	s := &server{d}
	get(r, "/c/:token", s.collectionPage)
	get(r, "/c/:token/qr.png", s.collectionQR)

	get(r, "/status-lists", anyOrigin, s.statusLists)
	get(r, "/status-lists/:id", anyOrigin, s.statusList)
	get(r, "/verify/:serial", anyOrigin, s.verify)
	r.POST("/verify", anyOrigin, s.verifyPresented)
	r.OPTIONS("/verify", anyOrigin, verifyOptions)

	get(r, "/pki/iaca.pem", anyOrigin, s.rootsPEM)
	get(r, "/pki/iaca.cer", anyOrigin, s.newestRoot)
	get(r, "/pki/iaca.crl", anyOrigin, s.revocationList)
}

// get adds a route for GET and HEAD.
func get(r gin.IRouter, path string, handlers ...gin.HandlerFunc) {
	r.GET(path, handlers...)
	r.HEAD(path, handlers...)
}

// anyOrigin lets scripts of every origin read the answer (Token Status List, clause 8.1, asks for it; verifiers run in browsers too).
func anyOrigin(c *gin.Context) { c.Header("Access-Control-Allow-Origin", "*") }

// fail answers with a problem document.
func (s *server) fail(c *gin.Context, err error) {
	c.Header("Cache-Control", "no-store")
	problem.From(c.Request.Context(), s.Log, err).Write(c.Writer)
}

// serveCached sends what may be cached for so long, or 304 to a caller that has it. The entity tag is made from the body if it is empty.
func serveCached(c *gin.Context, mediaType string, maxAge time.Duration, etag string, body []byte) {
	if etag == "" {
		sum := sha256.Sum256(body)
		etag = `"` + hex.EncodeToString(sum[:16]) + `"`
	}
	c.Header("Cache-Control", "public, max-age="+strconv.Itoa(int(maxAge/time.Second)))
	c.Header("ETag", etag)
	c.Header("X-Content-Type-Options", "nosniff")
	if known(c.Request.Header.Values("If-None-Match"), etag) {
		c.Status(http.StatusNotModified)
		return
	}
	c.Header("Content-Type", mediaType)
	c.Header("Content-Length", strconv.Itoa(len(body)))
	c.Status(http.StatusOK)
	if c.Request.Method != http.MethodHead {
		_, _ = c.Writer.Write(body) // a caller who left is no error of ours
	}
}

// known reads If-None-Match (RFC 9110, 13.1.2). Our tags are quoted and hold no quotes, so one that is in the list is there as it is, or after W/,
// which makes no difference here.
func known(ifNoneMatch []string, etag string) bool {
	return slices.ContainsFunc(ifNoneMatch, func(tags string) bool { return strings.TrimSpace(tags) == "*" || strings.Contains(tags, etag) })
}
