package mdm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// tokenFunc gets a token that was not there before.
type tokenFunc func(ctx context.Context) (*oauth2.Token, error)

// tokens keeps a bearer token until it expires or is refused. One caller at a time gets a token; the others wait for it.
type tokens struct {
	get    tokenFunc
	client *http.Client // of the token endpoint; nil when there is none
	turn   chan struct{}
	kept   *oauth2.Token
}

func newTokens(get tokenFunc) *tokens { return &tokens{get: get, turn: make(chan struct{}, 1)} }

// token gives the kept token, or another when refused is the kept one or it expires within seconds.
func (t *tokens) token(ctx context.Context, refused string) (string, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", failureOf(ctx, ctx.Err())
	}
	if t.kept.Valid() && t.kept.AccessToken != refused {
		return t.kept.AccessToken, nil
	}
	t.kept = nil
	token, err := t.get(ctx)
	if err != nil {
		return "", err
	}
	if !strings.EqualFold(token.Type(), "Bearer") || !validToken(token.AccessToken) {
		return "", fmt.Errorf("%w: there is no bearer token for it", ErrConfiguration)
	}
	if token.AccessToken != refused {
		t.kept = token
	}
	return token.AccessToken, nil
}

func validToken(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

func fixedToken(token Secret) tokenFunc {
	return func(context.Context) (*oauth2.Token, error) { return &oauth2.Token{AccessToken: string(token)}, nil }
}

func fileToken(path string) tokenFunc {
	return func(context.Context) (*oauth2.Token, error) {
		token, err := readSecret(path)
		if err != nil {
			return nil, fmt.Errorf("%w: bearer_token_file: %w", ErrConfiguration, err)
		}
		return &oauth2.Token{AccessToken: token}, nil
	}
}

// grant gets tokens from the token endpoint. A failure is not repeated here: the request is a POST.
func (o OAuthConfig) grant(client *http.Client) tokenFunc {
	return func(ctx context.Context) (*oauth2.Token, error) {
		secret := string(o.ClientSecret)
		if o.ClientSecretFile != "" {
			var err error
			if secret, err = readSecret(o.ClientSecretFile); err != nil {
				return nil, fmt.Errorf("%w: client_secret_file: %w", ErrConfiguration, err)
			}
		}
		// The style is always said: left open, the library would try both and send a wrong secret twice.
		style := oauth2.AuthStyleInHeader
		if o.AuthMethod == AuthPost {
			style = oauth2.AuthStyleInParams
		}
		config := clientcredentials.Config{
			ClientID: o.ClientID, ClientSecret: secret, TokenURL: o.TokenURL, Scopes: strings.Fields(o.Scope), AuthStyle: style,
		}
		token, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
		if err != nil {
			return nil, tokenFailure(ctx, err)
		}
		return token, nil
	}
}

// tokenErrors are the error codes of RFC 6749 5.2. Others could be anything, so they are not repeated.
var tokenErrors = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

func tokenFailure(ctx context.Context, err error) error {
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		status, reason := refusal.Response.StatusCode, ""
		if slices.Contains(tokenErrors, refusal.ErrorCode) {
			reason = " " + refusal.ErrorCode
		}
		return fmt.Errorf("%w: token endpoint: status %d%s", kindOf(status), status, reason)
	}
	if _, exchange := errors.AsType[*url.Error](err); !exchange {
		return fmt.Errorf("%w: token endpoint: the answer holds no token", ErrConfiguration)
	}
	failure := failureOf(ctx, err)
	failure.again = false
	failure.reason = "token endpoint: " + failure.reason
	return failure
}
