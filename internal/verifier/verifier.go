// Package verifier does what somebody does to whom a document is shown: signature and chain, digests, validity, and the status list the document
// names. It trusts the roots it is given and nothing else.
package verifier

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/statuslist"
)

// Status is what the status list says.
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

// Fetcher gets the bytes of a status list (CWT) by its URI.
type Fetcher func(ctx context.Context, uri string) ([]byte, error)

// Options of a verification.
type Options struct {
	Roots *x509.CertPool
	Now   time.Time
	Fetch Fetcher // nil = offline: the status is unknown
}

// Result of a verification.
type Result struct {
	Verified *mdoc.Verified // nil when it could not even be read
	Problems []mdoc.Problem // empty = everything but the status holds
	Status   Status
	StatusBy string // why the status is unknown
}

// OK says whether the document holds in every respect.
func (r Result) OK() bool {
	return r.Verified != nil && len(r.Problems) == 0 && (r.Status == StatusValid || r.Status == StatusNone)
}

// Verify checks the bytes of an IssuerSigned (ISO/IEC 18013-5 9.1.2). The error means that they are no IssuerSigned; what is wrong with one is in
// the result.
func Verify(ctx context.Context, issuerSigned []byte, o Options) (Result, error) {
	parsed, err := mdoc.Parse(issuerSigned)
	if err != nil {
		return Result{}, fmt.Errorf("read document: %w", err)
	}
	out := Result{Status: StatusUnknown}
	out.Verified, err = parsed.Verify(mdoc.VerifyOptions{Roots: o.Roots, Now: o.Now})
	var failed *mdoc.VerificationError
	switch {
	case errors.As(err, &failed):
		out.Problems = failed.Problems
	case err != nil:
		return Result{}, fmt.Errorf("verify document: %w", err)
	}
	if out.Verified == nil {
		return out, nil
	}
	ref := out.Verified.MSO.Status
	if ref == nil {
		out.Status = StatusNone
		return out, nil
	}
	out.Status, err = status(ctx, *ref, o)
	if err != nil {
		out.StatusBy = err.Error()
	}
	return out, nil
}

func status(ctx context.Context, ref mdoc.StatusRef, o Options) (Status, error) {
	if o.Fetch == nil {
		return StatusUnknown, errors.New("the status list was not looked at")
	}
	body, err := o.Fetch(ctx, ref.URI)
	if err != nil {
		return StatusUnknown, fmt.Errorf("fetch status list: %w", err)
	}
	token, err := statuslist.VerifyCWT(body, statuslist.VerifyOptions{Roots: o.Roots, Now: o.Now, URI: ref.URI})
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
		req.Header.Set("Accept", statuslist.MediaTypeCWT)
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
