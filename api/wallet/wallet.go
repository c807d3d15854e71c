// Package wallet is what wallets talk to: the credential issuer and authorization server of OpenID for Verifiable Credential Issuance
// 1.0, with the pre-authorized code flow, key proofs of type jwt and refresh tokens for newer versions of a document (E1, E2, E4, E6).
//
// It reads and checks messages, has internal/issuer act, and writes answers and errors in the standard's words. It decides nothing:
// whether a code, token or nonce is good and who gets what is the issuer's matter.
//
// Every endpoint answers to scripts of any origin, because there are wallets in browsers; nothing here goes by cookies.
package wallet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// Paths of the endpoints below the base URL.
const (
	pathOffers     = "/oid4vci/offers/"
	pathToken      = "/oid4vci/token"
	pathNonce      = "/oid4vci/nonce"
	pathCredential = "/oid4vci/credential"
	pathUpdate     = "/oid4vci/update"
)

// Deps are the parts the endpoints work with. All but ServerName are needed.
type Deps struct {
	Issuer     *issuer.Issuer
	BaseURL    string // public, without a trailing slash; also the credential issuer identifier
	ServerName string // what the issuer is called in wallets; empty = not said
	Log        *slog.Logger
	Now        func() time.Time
}

// server holds the endpoints.
type server struct {
	Deps
	metadata metadataCache
}

// Register adds the endpoints to a router that serves the root of the host, or what a proxy passes on of the base URL's path: all paths
// are relative to the base URL but for the two well-known ones, where the path of the base URL comes last (Credential Issuer Metadata
// Retrieval; RFC 8414, 3.1). The router's engine should have HandleMethodNotAllowed set.
func Register(r gin.IRouter, d Deps) {
	s := &server{Deps: d}
	for _, suffix := range suffixes(d.BaseURL) {
		s.readable(r, "/.well-known/openid-credential-issuer"+suffix, s.issuerMetadata)
		s.readable(r, "/.well-known/oauth-authorization-server"+suffix, s.authorizationServerMetadata)
	}
	s.readable(r, pathOffers+":token", s.offer)
	s.postable(r, pathToken, s.token)
	s.postable(r, pathNonce, s.nonce)
	s.postable(r, pathCredential, s.credential)
	s.readable(r, pathUpdate, s.update)
}

// suffixes gives what may follow a well-known string: nothing, and the path of the base URL.
func suffixes(baseURL string) []string {
	out := []string{""}
	_, rest, _ := strings.Cut(baseURL, "://")
	if _, path, ok := strings.Cut(strings.TrimRight(rest, "/"), "/"); ok {
		out = append(out, "/"+path)
	}
	return out
}

func (s *server) readable(r gin.IRouter, path string, handle gin.HandlerFunc) {
	allow := crossOrigin("GET, HEAD")
	r.GET(path, allow, handle)
	r.HEAD(path, allow, handle)
	r.OPTIONS(path, allow, preflight)
}

func (s *server) postable(r gin.IRouter, path string, handle gin.HandlerFunc) {
	allow := crossOrigin("POST")
	r.POST(path, allow, noStore, handle)
	r.OPTIONS(path, allow, preflight)
}

// crossOrigin lets scripts of every origin call and read the answer, without the browser's credentials (Fetch standard, CORS protocol).
func crossOrigin(methods string) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Access-Control-Allow-Origin", "*")
		c.Header("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
		if c.Request.Method == http.MethodOptions {
			c.Header("Access-Control-Allow-Methods", methods)
			c.Header("Access-Control-Allow-Headers", "Authorization, Content-Type")
			c.Header("Access-Control-Max-Age", "86400")
		}
	}
}

func preflight(c *gin.Context) { c.Status(http.StatusNoContent) }

// noStore keeps codes, tokens, nonces and documents out of caches.
func noStore(c *gin.Context) { c.Header("Cache-Control", "no-store") }

// send writes a JSON answer.
func (s *server) send(c *gin.Context, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.Log.ErrorContext(c.Request.Context(), "answer not encoded", "error", err)
		c.Status(http.StatusInternalServerError)
		return
	}
	c.Data(status, oid4vci.ContentTypeJSON, body)
}

var errTooLarge = errors.New("body too large")

// readBody reads a bounded body; errTooLarge when there is more.
func readBody(c *gin.Context, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return body, nil
}

// isContentType says whether the body is declared to be of the media type.
func isContentType(c *gin.Context, mediaType string) bool {
	return strings.EqualFold(c.ContentType(), mediaType)
}
