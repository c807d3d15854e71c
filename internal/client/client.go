// Package client calls mdocket's own API. The CLI, the demonstration and the load tool use it; it knows paths and JSON, not resources.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// Client calls one server as one account. It is safe for concurrent use.
type Client struct {
	BaseURL string
	Token   string // bearer token: a session's or an API key; empty = nobody
	HTTP    *http.Client
}

// New makes a client.
func New(baseURL, token string) *Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment}
	return &Client{BaseURL: strings.TrimRight(baseURL, "/"), Token: token, HTTP: &http.Client{Transport: transport, Timeout: time.Minute}}
}

// As gives a client of the same server for another token.
func (c *Client) As(token string) *Client {
	return &Client{BaseURL: c.BaseURL, Token: token, HTTP: c.HTTP}
}

// Problem is a refusal as the server words it (RFC 9457).
type Problem struct {
	Status        int               `json:"status"`
	Title         string            `json:"title"`
	Detail        string            `json:"detail"`
	Code          string            `json:"code"`
	CorrelationID string            `json:"correlation_id"`
	Details       map[string]string `json:"details"`
	Errors        []struct {
		Field   string `json:"field"`
		Problem string `json:"problem"`
	} `json:"errors"`
}

// Error gives the refusal on one line.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s: %s", p.Status, p.Code, p.Detail)
	for _, e := range p.Errors {
		fmt.Fprintf(&b, "; %s %s", e.Field, e.Problem)
	}
	return b.String()
}

// CodeOf gives the code of a refusal, or nothing for any other error.
func CodeOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// Option changes one call.
type Option func(*http.Request)

// IdempotencyKey makes a creating call safe to repeat.
func IdempotencyKey(key string) Option {
	return func(r *http.Request) { r.Header.Set("Idempotency-Key", key) }
}

// Accept asks for a media type.
func Accept(mediaType string) Option {
	return func(r *http.Request) { r.Header.Set("Accept", mediaType) }
}

// Do sends in as JSON, if it is not nil, and reads the answer into out, if it is not nil. A refusal is a *Problem.
func (c *Client) Do(ctx context.Context, method, path string, in, out any, opts ...Option) error {
	var body io.Reader
	mediaType := ""
	if in != nil {
		form, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write request: %w", err)
		}
		body, mediaType = bytes.NewReader(form), "application/json"
	}
	answer, err := c.Send(ctx, method, path, mediaType, body, opts...)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read answer of %s: %w", path, err)
	}
	return nil
}

// Send sends a body as it is and gives the answer's body.
func (c *Client) Send(ctx context.Context, method, path, mediaType string, body io.Reader, opts ...Option) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.BaseURL+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	for _, o := range opts {
		o(req)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", path, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		p := &Problem{}
		if json.Unmarshal(answer, p) != nil || p.Code == "" {
			p = &Problem{Code: "unknown", Detail: "the server answered " + resp.Status}
		}
		p.Status = resp.StatusCode
		return nil, p
	}
	return answer, nil
}
