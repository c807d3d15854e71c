package verifier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/statuslist"
)

// Status is what the issuer says about a document now.
type Status string

// The statuses. A list that cannot be had or trusted is never read as valid or as revoked.
const (
	StatusValid     Status = "valid"
	StatusInvalid   Status = "invalid"
	StatusSuspended Status = "suspended"
	StatusUnknown   Status = "unknown"
	StatusNone      Status = "none" // the document names no list
)

// maxList bounds a fetched list, in bytes.
const maxList = 32 << 20

// Fetcher gets the bytes of a status list token, CWT or JWT, by its URI.
type Fetcher func(ctx context.Context, uri string) ([]byte, error)

// status finds out the status. The error says why it is unknown.
func status(ctx context.Context, ref *mdoc.StatusRef, o Options) (Status, error) {
	switch {
	case ref == nil && o.Ask == nil:
		return StatusNone, nil
	case ref == nil:
		return StatusUnknown, errors.New("the document names no status list")
	case o.Ask != nil:
		s, err := o.Ask(ctx, *ref)
		if err != nil {
			return StatusUnknown, fmt.Errorf("ask for the status: %w", err)
		}
		return s, nil
	}
	given, err := fromGiven(*ref, o)
	switch {
	case err == nil:
		return given, nil
	case o.Fetch == nil:
		return StatusUnknown, err
	}
	body, err := o.Fetch(ctx, ref.URI)
	if err != nil {
		return StatusUnknown, fmt.Errorf("fetch status list: %w", err)
	}
	return fromList(body, *ref, o)
}

// fromGiven looks for the list of a document among those at hand.
func fromGiven(ref mdoc.StatusRef, o Options) (Status, error) {
	why := errors.New("the status list was not looked at")
	for _, list := range o.Lists {
		s, err := fromList(list, ref, o)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, statuslist.ErrSubject) {
			why = err
		}
	}
	return StatusUnknown, why
}

// fromList verifies a list and reads the status of a document in it.
func fromList(list []byte, ref mdoc.StatusRef, o Options) (Status, error) {
	expected := statuslist.VerifyOptions{Roots: o.Roots, Now: o.Now, URI: ref.URI}
	var token *statuslist.Token
	var err error
	// A compact JWS is base64url text, which begins with its JSON header: never the first byte of a COSE_Sign1.
	if text := bytes.TrimSpace(list); bytes.HasPrefix(text, []byte("ey")) {
		token, err = statuslist.VerifyJWT(string(text), expected)
	} else {
		token, err = statuslist.VerifyCWT(list, expected)
	}
	if err != nil {
		return StatusUnknown, fmt.Errorf("verify status list: %w", err)
	}
	value, err := token.List.Get(ref.Index)
	if err != nil {
		return StatusUnknown, fmt.Errorf("read status list: %w", err)
	}
	switch value {
	case statuslist.Valid:
		return StatusValid, nil
	case statuslist.Suspended:
		return StatusSuspended, nil
	case statuslist.Invalid:
		return StatusInvalid, nil
	}
	return StatusInvalid, nil // application-specific values say nothing good
}

// HTTPFetcher fetches lists over HTTP.
func HTTPFetcher(c *http.Client) Fetcher {
	return func(ctx context.Context, uri string) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
		if err != nil {
			return nil, fmt.Errorf("make request: %w", err)
		}
		req.Header.Set("Accept", statuslist.MediaTypeCWT+", "+statuslist.MediaTypeJWT+";q=0.5")
		resp, err := c.Do(req)
		if err != nil {
			return nil, fmt.Errorf("call: %w", err)
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the server answered %d", resp.StatusCode)
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxList+1))
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		if len(body) > maxList {
			return nil, errors.New("the list is too large")
		}
		return body, nil
	}
}
