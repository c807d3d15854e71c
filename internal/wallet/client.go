package wallet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

const (
	defaultTimeout = 30 * time.Second
	maxRedirects   = 5
	idleConns      = 100
	htmlType       = "text/html"
)

// Client does single steps of the protocol. It keeps no state between them and may be used by many goroutines. Every step
// is sent once: repeating is the caller's decision. Errors are *ProtocolError, or wrap ErrNoAnswer, ErrBadAnswer,
// ErrUnsupported, or those of package oid4vci for messages that do not parse.
type Client struct {
	http      http.Client
	userAgent string
	now       func() time.Time
}

// ClientOptions are the settings of a Client; the zero value is usable.
type ClientOptions struct {
	// HTTPClient lends its transport and time-out; nil gives one with 30 seconds. Its redirect policy is not used.
	HTTPClient *http.Client
	UserAgent  string
	// Now is the clock for the iat of proofs and for Retry-After dates; nil is time.Now.
	Now func() time.Time
}

// NewClient builds a Client.
func NewClient(o ClientOptions) *Client {
	c := &Client{userAgent: o.UserAgent, now: o.Now}
	if o.HTTPClient != nil {
		c.http.Transport, c.http.Timeout = o.HTTPClient.Transport, o.HTTPClient.Timeout
	} else {
		c.http.Timeout = defaultTimeout
		if shared, ok := http.DefaultTransport.(*http.Transport); ok {
			transport := shared.Clone()
			transport.MaxIdleConnsPerHost = idleConns
			c.http.Transport = transport
		}
	}
	c.http.CheckRedirect = checkRedirect
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

// checkRedirect follows redirects of GET requests to allowed addresses. A POST carries a code, a token or a proof meant for
// the address in the metadata and for no other, so its redirect is an error answer.
func checkRedirect(request *http.Request, via []*http.Request) error {
	if via[0].Method != http.MethodGet {
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: too many redirects", ErrBadAnswer)
	}
	return oid4vci.CheckURL(request.URL.String())
}

// Issuer is what a credential issuer and its authorization server publish. It may be fetched once and used for many
// collections.
type Issuer struct {
	Metadata            oid4vci.IssuerMetadata
	AuthorizationServer oid4vci.AuthorizationServerMetadata
}

// FetchOffer gets the credential offer a link leads to. The link is a deep link (openid-credential-offer, haip-vci) with
// the offer in it or by reference, the https address of an offer, or the https address of a collection page, which is
// searched for a deep link.
func (c *Client) FetchOffer(ctx context.Context, link string) (oid4vci.CredentialOffer, error) {
	parsed, err := oid4vci.ParseOfferLink(link)
	if errors.Is(err, oid4vci.ErrNoOffer) {
		return c.fetchLinked(ctx, strings.TrimSpace(link))
	}
	if err != nil {
		return oid4vci.CredentialOffer{}, err
	}
	return c.resolve(ctx, parsed)
}

// resolve fetches an offer by reference.
func (c *Client) resolve(ctx context.Context, link oid4vci.OfferLink) (oid4vci.CredentialOffer, error) {
	if link.Offer != nil {
		return *link.Offer, nil
	}
	got, err := c.do(ctx, call{step: stepOffer, url: link.OfferURI, limit: oid4vci.MaxOffer})
	if err != nil {
		return oid4vci.CredentialOffer{}, err
	}
	return oid4vci.ParseCredentialOffer(got.body)
}

// fetchLinked gets what lies at a plain https address: the offer itself, or a page with a link to one.
func (c *Client) fetchLinked(ctx context.Context, address string) (oid4vci.CredentialOffer, error) {
	accept := oid4vci.ContentTypeJSON + ", " + htmlType + ";q=0.9"
	got, err := c.do(ctx, call{step: stepOffer, url: address, accept: accept, limit: maxPage, html: true})
	if err != nil {
		return oid4vci.CredentialOffer{}, err
	}
	if got.mediaType != htmlType {
		return oid4vci.ParseCredentialOffer(got.body)
	}
	link, err := findOfferLink(got.body)
	if err != nil {
		return oid4vci.CredentialOffer{}, fmt.Errorf("%s: %w", stepOffer, err)
	}
	return c.resolve(ctx, link)
}

// Metadata fetches the metadata of the offer's issuer and of the authorization server the offer is to be used at.
func (c *Client) Metadata(ctx context.Context, offer oid4vci.CredentialOffer) (*Issuer, error) {
	address, err := oid4vci.IssuerMetadataURL(offer.CredentialIssuer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stepMetadata, err)
	}
	got, err := c.do(ctx, call{step: stepMetadata, url: address, limit: oid4vci.MaxMetadata})
	if err != nil {
		return nil, err
	}
	var issuer Issuer
	if issuer.Metadata, err = oid4vci.ParseIssuerMetadata(got.body, offer.CredentialIssuer); err != nil {
		return nil, err
	}
	server, err := chooseServer(issuer.Metadata, offer)
	if err != nil {
		return nil, err
	}
	if address, err = oid4vci.AuthorizationServerMetadataURL(server); err != nil {
		return nil, fmt.Errorf("%s: %w", stepServerMetadata, err)
	}
	if got, err = c.do(ctx, call{step: stepServerMetadata, url: address, limit: oid4vci.MaxMetadata}); err != nil {
		return nil, err
	}
	if issuer.AuthorizationServer, err = oid4vci.ParseAuthorizationServerMetadata(got.body, server); err != nil {
		return nil, err
	}
	return &issuer, nil
}

// chooseServer finds the authorization server for the pre-authorized code grant (Credential Issuer Metadata Parameters,
// authorization_servers).
func chooseServer(m oid4vci.IssuerMetadata, offer oid4vci.CredentialOffer) (string, error) {
	named := ""
	if offer.Grants.PreAuthorizedCode != nil {
		named = offer.Grants.PreAuthorizedCode.AuthorizationServer
	}
	switch {
	case named != "" && !slices.Contains(m.AuthorizationServers, named):
		return "", fmt.Errorf("choose authorization server: %w: the offer names one the issuer does not", ErrBadAnswer)
	case named != "":
		return named, nil
	case len(m.AuthorizationServers) > 0:
		return m.AuthorizationServers[0], nil
	default:
		return m.CredentialIssuer, nil
	}
}

// Token redeems the offer's pre-authorized code, with the transaction code if txCode is not empty. The code is sent as
// given.
func (c *Client) Token(
	ctx context.Context, issuer *Issuer, offer oid4vci.CredentialOffer, txCode string,
) (oid4vci.TokenResponse, error) {
	grant := offer.Grants.PreAuthorizedCode
	server := issuer.AuthorizationServer
	switch {
	case grant == nil:
		return oid4vci.TokenResponse{}, fmt.Errorf("%s: %w: an offer without pre-authorized code", stepToken, ErrUnsupported)
	case !server.SupportsGrant(oid4vci.GrantPreAuthorizedCode):
		return oid4vci.TokenResponse{}, fmt.Errorf("%s: %w: the server does not list the grant", stepToken, ErrUnsupported)
	case !server.PreAuthorizedGrantAnonymousAccess:
		return oid4vci.TokenResponse{}, fmt.Errorf("%s: %w: the server demands a client_id", stepToken, ErrUnsupported)
	}
	return c.token(ctx, stepToken, issuer, oid4vci.TokenRequest{
		GrantType: oid4vci.GrantPreAuthorizedCode, PreAuthorizedCode: grant.PreAuthorizedCode, TxCode: txCode,
	})
}

// Refresh exchanges a refresh token for an access token and, as a rule, the next refresh token (RFC 6749, 6).
func (c *Client) Refresh(ctx context.Context, issuer *Issuer, refreshToken string) (oid4vci.TokenResponse, error) {
	if !issuer.AuthorizationServer.SupportsGrant(oid4vci.GrantRefreshToken) {
		return oid4vci.TokenResponse{}, fmt.Errorf("%s: %w: the server does not list the grant", stepRefresh, ErrUnsupported)
	}
	return c.token(ctx, stepRefresh, issuer, oid4vci.TokenRequest{
		GrantType: oid4vci.GrantRefreshToken, RefreshToken: refreshToken,
	})
}

// token sends a token request.
func (c *Client) token(
	ctx context.Context, step string, issuer *Issuer, request oid4vci.TokenRequest,
) (oid4vci.TokenResponse, error) {
	form, err := request.Form()
	if err != nil {
		return oid4vci.TokenResponse{}, err
	}
	got, err := c.do(ctx, call{
		step: step, url: issuer.AuthorizationServer.TokenEndpoint, limit: oid4vci.MaxSmallResponse,
		post: true, contentType: oid4vci.ContentTypeForm, body: []byte(form.Encode()),
	})
	if err != nil {
		return oid4vci.TokenResponse{}, err
	}
	token, err := oid4vci.ParseTokenResponse(got.body)
	if err != nil {
		return oid4vci.TokenResponse{}, err
	}
	if !strings.EqualFold(token.TokenType, oid4vci.TokenTypeBearer) {
		return oid4vci.TokenResponse{}, fmt.Errorf("%s: %w: token type", step, ErrUnsupported)
	}
	return token, nil
}

// Nonce gets a c_nonce; it is empty when the issuer has no nonce endpoint.
func (c *Client) Nonce(ctx context.Context, issuer *Issuer) (string, error) {
	if issuer.Metadata.NonceEndpoint == "" {
		return "", nil
	}
	got, err := c.do(ctx, call{step: stepNonce, url: issuer.Metadata.NonceEndpoint, limit: oid4vci.MaxSmallResponse, post: true})
	if err != nil {
		return "", err
	}
	nonce, err := oid4vci.ParseNonceResponse(got.body)
	return nonce.CNonce, err
}

// Proofs makes one key proof for each key.
func (c *Client) Proofs(issuer *Issuer, keys []*ecdsa.PrivateKey, nonce string) ([]string, error) {
	return c.AttestedProofs(issuer, keys, nonce, "")
}

// AttestedProofs is Proofs with a key attestation in each proof, none if it is empty.
func (c *Client) AttestedProofs(issuer *Issuer, keys []*ecdsa.PrivateKey, nonce, attestation string) ([]string, error) {
	claims := oid4vci.ProofClaims{Audience: issuer.Metadata.CredentialIssuer, IssuedAt: c.now(), Nonce: nonce, KeyAttestation: attestation}
	proofs := make([]string, 0, len(keys))
	for _, key := range keys {
		proof, err := oid4vci.SignJWTProof(key, claims)
		if err != nil {
			return nil, err
		}
		proofs = append(proofs, proof)
	}
	return proofs, nil
}

// Credential sends a credential request. The response has credentials or, with status 202, a transaction id.
func (c *Client) Credential(
	ctx context.Context, issuer *Issuer, accessToken string, request oid4vci.CredentialRequest,
) (oid4vci.CredentialResponse, error) {
	return c.credentials(ctx, stepCredential, issuer.Metadata.CredentialEndpoint, accessToken, request)
}

// Deferred asks for credentials that were not ready; the response is as for Credential.
func (c *Client) Deferred(
	ctx context.Context, issuer *Issuer, accessToken, transactionID string,
) (oid4vci.CredentialResponse, error) {
	endpoint := issuer.Metadata.DeferredCredentialEndpoint
	if endpoint == "" {
		return oid4vci.CredentialResponse{}, fmt.Errorf("%s: %w: the issuer names no endpoint", stepDeferred, ErrBadAnswer)
	}
	request := oid4vci.DeferredCredentialRequest{TransactionID: transactionID}
	return c.credentials(ctx, stepDeferred, endpoint, accessToken, request)
}

func (c *Client) credentials(
	ctx context.Context, step, endpoint, accessToken string, request any,
) (oid4vci.CredentialResponse, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return oid4vci.CredentialResponse{}, fmt.Errorf("%s: %w", step, err)
	}
	got, err := c.do(ctx, call{
		step: step, url: endpoint, limit: oid4vci.MaxCredentialResponse,
		post: true, contentType: oid4vci.ContentTypeJSON, body: body, token: accessToken,
	})
	if err != nil {
		return oid4vci.CredentialResponse{}, err
	}
	response, err := oid4vci.ParseCredentialResponse(got.body)
	if err != nil {
		return oid4vci.CredentialResponse{}, err
	}
	if deferred := response.TransactionID != ""; deferred != (got.status == http.StatusAccepted) {
		return oid4vci.CredentialResponse{}, fmt.Errorf("%s: %w: status %d does not fit the body", step, ErrBadAnswer, got.status)
	}
	return response, nil
}

// Notify reports an event to the issuer's notification endpoint; without one it does nothing.
func (c *Client) Notify(ctx context.Context, issuer *Issuer, accessToken string, request oid4vci.NotificationRequest) error {
	if issuer.Metadata.NotificationEndpoint == "" {
		return nil
	}
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("%s: %w", stepNotify, err)
	}
	_, err = c.do(ctx, call{
		step: stepNotify, url: issuer.Metadata.NotificationEndpoint, limit: oid4vci.MaxSmallResponse, anyAnswer: true,
		post: true, contentType: oid4vci.ContentTypeJSON, body: body, token: accessToken,
	})
	return err
}

// Names of the steps in errors.
const (
	stepOffer          = "fetch credential offer"
	stepMetadata       = "fetch issuer metadata"
	stepServerMetadata = "fetch authorization server metadata"
	stepToken          = "request token"
	stepRefresh        = "refresh token"
	stepNonce          = "request nonce"
	stepCredential     = "request credential"
	stepDeferred       = "request deferred credential"
	stepNotify         = "send notification"
)

// call is one request: GET, or POST with post.
type call struct {
	step        string
	url         string
	post        bool
	contentType string
	body        []byte
	token       string
	accept      string // application/json if empty
	html        bool   // a page is accepted as well as JSON
	anyAnswer   bool   // the body of the answer does not matter
	limit       int    // of the answer's body, in bytes
}

type answer struct {
	status    int
	mediaType string
	body      []byte
}

// do sends a request and reads the whole answer. An answer outside 2xx is a *ProtocolError.
func (c *Client) do(ctx context.Context, q call) (answer, error) {
	if err := oid4vci.CheckURL(q.url); err != nil {
		return answer{}, fmt.Errorf("%s: %w", q.step, err)
	}
	request, err := c.newRequest(ctx, q)
	if err != nil {
		return answer{}, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, transportError(ctx, q.step, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(q.limit)+1))
	closeErr := response.Body.Close()
	if err != nil {
		return answer{}, transportError(ctx, q.step, err)
	}
	if closeErr != nil {
		return answer{}, transportError(ctx, q.step, closeErr)
	}
	if len(body) > q.limit {
		return answer{}, fmt.Errorf("%s: %w: larger than %d bytes", q.step, ErrBadAnswer, q.limit)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return answer{}, c.protocolError(q.step, response, body)
	}
	got := answer{status: response.StatusCode, body: body}
	// A type that does not parse is as good as none: the comparison refuses both.
	got.mediaType, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type"))
	if !q.anyAnswer && got.mediaType != oid4vci.ContentTypeJSON && (!q.html || got.mediaType != htmlType) {
		return answer{}, fmt.Errorf("%s: %w: content type", q.step, ErrBadAnswer)
	}
	return got, nil
}

func (c *Client) newRequest(ctx context.Context, q call) (*http.Request, error) {
	method := http.MethodGet
	if q.post {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, q.url, bytes.NewReader(q.body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: address", q.step, ErrBadAnswer)
	}
	accept := q.accept
	if accept == "" {
		accept = oid4vci.ContentTypeJSON
	}
	request.Header.Set("Accept", accept)
	if c.userAgent != "" {
		request.Header.Set("User-Agent", c.userAgent)
	}
	if q.contentType != "" {
		request.Header.Set("Content-Type", q.contentType)
	}
	if q.token != "" {
		request.Header.Set("Authorization", oid4vci.TokenTypeBearer+" "+q.token)
	}
	return request, nil
}

// transportError takes the address, which may be secret, out of the error of a request that got no whole answer.
func transportError(ctx context.Context, step string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", step, ctx.Err())
	}
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	if errors.Is(err, oid4vci.ErrUnsafeURL) || errors.Is(err, ErrBadAnswer) {
		return fmt.Errorf("%s: redirect: %w", step, err)
	}
	return fmt.Errorf("%s: %w: %w", step, ErrNoAnswer, err)
}

// bearerError finds the error code in a WWW-Authenticate header (RFC 6750, 3).
var bearerError = regexp.MustCompile(`error="([a-z_]{1,100})"`)

func (c *Client) protocolError(step string, response *http.Response, body []byte) error {
	refused := &ProtocolError{Step: step, Status: response.StatusCode, RetryAfter: c.retryAfter(response.Header.Get("Retry-After"))}
	if sent, err := oid4vci.ParseError(body); err == nil {
		refused.Code, refused.Description = sent.Code, sent.Description
	} else if found := bearerError.FindStringSubmatch(response.Header.Get("WWW-Authenticate")); found != nil {
		refused.Code = oid4vci.ErrorCode(found[1])
	}
	return refused
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3); anything else, and the past, is 0. A day is the most it returns.
func (c *Client) retryAfter(value string) time.Duration {
	const longest = 24 * time.Hour
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(max(0, min(seconds, int(longest/time.Second)))) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(c.now()), longest))
}
