package api_test

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api"
	"github.com/mdocket/mdocket/internal/domain"
)

type openAPI struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components map[string]map[string]struct {
		Properties map[string]property
	}
}

type operation struct {
	OperationID string `yaml:"operationId"`
	Summary     string
	Description string
	Tags        []string
	Security    []map[string][]string
	RequestBody *struct {
		Content map[string]struct {
			Schema map[string]any
		}
	} `yaml:"requestBody"`
	Responses map[string]struct {
		Description string
		Content     map[string]struct{}
	}
}

type property struct {
	Enum  []string
	Items struct{ Enum []string }
}

func document(t *testing.T) openAPI {
	t.Helper()
	form, err := api.Document()
	require.NoError(t, err)
	var d openAPI
	require.NoError(t, yaml.Unmarshal(form, &d))
	return d
}

func TestDocumentIsTheSameAtEveryCall(t *testing.T) {
	first, err := api.Document()
	require.NoError(t, err)
	for range 3 {
		again, err := api.Document()
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
	}
	served := newServer(t).get(t, "/openapi.yaml")
	require.Equal(t, string(first), served.Body.String())
}

func TestEveryRouteHasAnOperationAndEveryOperationARoute(t *testing.T) {
	engine, ok := newServer(t).handler.(*gin.Engine)
	require.True(t, ok)
	parameter := regexp.MustCompile(`:(\w+)`)
	var routes, operations []string
	for _, r := range engine.Routes() {
		if strings.HasPrefix(r.Path, "/v1") {
			routes = append(routes, r.Method+" "+parameter.ReplaceAllString(r.Path, "{$1}"))
		}
	}
	for path, methods := range document(t).Paths {
		for method := range methods {
			operations = append(operations, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(routes)
	slices.Sort(operations)
	require.Equal(t, routes, operations)
}

func TestEveryOperationIsDescribed(t *testing.T) {
	d := document(t)
	require.Equal(t, "3.1.0", d.OpenAPI)
	ids := map[string]bool{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			require.NotEmpty(t, op.OperationID, path)
			require.False(t, ids[op.OperationID], "%s is there twice", op.OperationID)
			ids[op.OperationID] = true
			require.NotEmpty(t, op.Summary, op.OperationID)
			require.NotEmpty(t, op.Description, op.OperationID)
			require.Len(t, op.Tags, 1, op.OperationID)
			require.Contains(t, op.Responses, "500", op.OperationID)
			require.NotContains(t, op.Responses, "default", op.OperationID)
			if op.OperationID != "sign-in" {
				require.Equal(t, []map[string][]string{{"bearer": {}}}, op.Security, op.OperationID)
			}
			require.Contains(t, op.Responses, "401", op.OperationID)
			if method == "post" || method == "put" || method == "patch" {
				require.Contains(t, op.Responses, "422", op.OperationID)
			}
			for status, r := range op.Responses {
				require.NotEmpty(t, r.Description)
				if status >= "400" {
					require.Contains(t, r.Content, "application/problem+json", op.OperationID)
				}
			}
		}
	}
}

// TestEnumerations compares the values in the document, written by hand, with those of the domain.
func TestEnumerations(t *testing.T) {
	schemas := document(t).Components["schemas"]
	of := func(schema, member string) []string {
		p, ok := schemas[schema].Properties[member]
		require.True(t, ok, "%s.%s", schema, member)
		if len(p.Enum) == 0 {
			return p.Items.Enum
		}
		return p.Enum
	}
	documentStates := slices.DeleteFunc(domain.DocumentStates(), func(s domain.DocumentState) bool { return s == domain.DocumentPrepared })
	require.ElementsMatch(t, names(domain.RequestStates()), of("Request", "state"))
	require.ElementsMatch(t, names(documentStates), of("Document", "state"))
	require.ElementsMatch(t, names(domain.CancelReasons()), of("ReasonAndNotes", "reason"))
	require.ElementsMatch(t, names(domain.CancelReasons()), of("Cancellation", "reason"))
	require.ElementsMatch(t, names(domain.CancellationStates()), of("Cancellation", "state"))
	require.ElementsMatch(t, names(domain.DocumentActs()), of("AllowedAct", "act"))
	require.ElementsMatch(t, names(domain.Permissions()), of("SaveRole", "permissions"))
	for _, scheme := range of("ProfileOptions", "notification_scheme") {
		require.True(t, domain.NotificationScheme(scheme).Valid())
	}
	for _, scope := range of("Assignment", "scope") {
		require.True(t, domain.Scope(scope).Valid())
	}
}

func names[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

func TestDocumentationNeedsNothingFromElsewhere(t *testing.T) {
	s := newServer(t)
	page := s.get(t, "/docs")
	require.Equal(t, http.StatusOK, page.Code)
	require.NotContains(t, page.Body.String(), "://")
	require.NotContains(t, page.Header().Get("Content-Security-Policy"), "script-src 'self' 'unsafe-inline'")
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1) {
		if strings.HasPrefix(m[1], "data:") {
			continue
		}
		plain := s.get(t, "/"+m[1])
		require.Equal(t, http.StatusOK, plain.Code, m[1])
		require.Empty(t, plain.Header().Get("Content-Encoding"), m[1])
		body, err := io.ReadAll(plain.Body)
		require.NoError(t, err)
		require.NotEmpty(t, body)
		packed := s.get(t, "/"+m[1], "Accept-Encoding", "br, gzip")
		if packed.Header().Get("Content-Encoding") == "gzip" {
			require.Less(t, packed.Body.Len(), len(body))
		}
	}
	require.Contains(t, s.get(t, "/docs/swagger-ui-bundle.js").Body.String(), "SwaggerUIBundle")
	require.True(t, strings.HasPrefix(s.get(t, "/openapi.json").Body.String(), `{"components"`))
}
