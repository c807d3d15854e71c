package api

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/swaggest/swgui/v5/static"

	"github.com/mdocket/mdocket/api/operator"
	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/api/selfservice"
)

// apiVersion is the version of the operators' API: the major number is in the paths.
const apiVersion = "1.0.0"

// Document gives the OpenAPI 3.1 document of everything under /v1 as YAML, without a running server. It is the same at every call.
func Document() ([]byte, error) {
	releaseMode()
	document, err := mountJSON(gin.New(), operator.Deps{}).YAML()
	if err != nil {
		return nil, fmt.Errorf("write OpenAPI document: %w", err)
	}
	return document, nil
}

// mountJSON adds the APIs of operators and holders and gives their description.
func mountJSON(r *gin.Engine, d operator.Deps) *huma.OpenAPI {
	problem.UseInHuma()
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: readJSON}
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "mdocket operator API", Version: apiVersion, License: &huma.License{Name: "Apache 2.0",
				Identifier: "Apache-2.0"},
				Description: "For operators, approvers, administrators and machine clients of an issuing authority of mobile identity documents.\n\n" +
					"Every failure is a problem document (RFC 9457) with a stable code. Lists come in pages: give the next of one page as after for the " +
					"following one. Creating calls take an Idempotency-Key. Times are RFC 3339 in UTC."},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{rest.SecurityScheme: {Type: "http", Scheme: "bearer",
					Description: "The token of a session, or an API key"}},
			},
			Tags: append(operator.Tags(), selfservice.Tags()...),
		},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
	api := humagin.New(r, config)
	operator.Register(api, d)
	selfservice.Register(api, selfservice.Deps{Issuer: d.Issuer, Access: d.Access, Log: d.Log})
	return api.OpenAPI()
}

var errBody = errors.New("not JSON in UTF-8")

// readJSON reads a body. What no database could keep is refused here: bytes that are not UTF-8, and the character U+0000.
func readJSON(data []byte, v any) error {
	if !utf8.Valid(data) || bytes.Contains(data, []byte(`\u0000`)) {
		return errBody
	}
	return json.Unmarshal(data, v)
}

var (
	//go:embed docs/index.html
	docsPage []byte
	//go:embed docs/init.js
	docsScript []byte
)

// docsPolicy lets the page of the documentation load its own files; Swagger UI sets styles on elements.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// mountDocument serves the OpenAPI document and, at /docs, a page to browse it that needs nothing from elsewhere.
func mountDocument(r gin.IRouter, document *huma.OpenAPI) error {
	asJSON, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("write OpenAPI document: %w", err)
	}
	asYAML, err := document.YAML()
	if err != nil {
		return fmt.Errorf("write OpenAPI document: %w", err)
	}
	get(r, "/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/vnd.oai.openapi+json", asJSON) })
	get(r, "/openapi.yaml", func(c *gin.Context) { c.Data(http.StatusOK, "application/vnd.oai.openapi", asYAML) })
	get(r, "/docs", func(c *gin.Context) {
		c.Header("Content-Security-Policy", docsPolicy)
		c.Data(http.StatusOK, "text/html; charset=utf-8", docsPage)
	})
	get(r, "/docs/init.js", func(c *gin.Context) { c.Data(http.StatusOK, "text/javascript; charset=utf-8", docsScript) })
	for name, mediaType := range map[string]string{"swagger-ui.css": "text/css; charset=utf-8",
		"swagger-ui-bundle.js": "text/javascript; charset=utf-8"} {
		compressed, err := static.FS.ReadFile(name + ".gz")
		if err != nil {
			return fmt.Errorf("load page of the documentation: %w", err)
		}
		get(r, "/docs/"+name, serveCompressed(compressed, mediaType))
	}
	return nil
}

// serveCompressed sends gzip to whoever takes it, and the content to others.
func serveCompressed(compressed []byte, mediaType string) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Vary", "Accept-Encoding")
		c.Header("Cache-Control", "public, max-age=86400")
		if strings.Contains(c.GetHeader("Accept-Encoding"), "gzip") {
			c.Header("Content-Encoding", "gzip")
			c.Data(http.StatusOK, mediaType, compressed)
			return
		}
		c.Header("Content-Type", mediaType)
		content, err := gzip.NewReader(bytes.NewReader(compressed))
		if err != nil { // it is part of the program and covered by a test
			c.Status(http.StatusInternalServerError)
			return
		}
		_, _ = io.Copy(c.Writer, content) //nolint:gosec // our own content; whoever stops reading is gone
	}
}
