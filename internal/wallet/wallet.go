package wallet

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// Wallet collects documents into a store and shows them. It may be used by many goroutines, each for another offer.
type Wallet struct {
	client   *Client
	store    *Store
	curve    elliptic.Curve
	roots    *x509.CertPool
	attestor *Attestor
	retry    Retry
	now      func() time.Time
	wait     func(context.Context, time.Duration) error
}

// Options are the settings of a Wallet. Store is needed.
type Options struct {
	Store *Store
	// HTTPClient and UserAgent are as in ClientOptions.
	HTTPClient *http.Client
	UserAgent  string
	// KeyCurve is the curve of device keys: P-256 (if nil), P-384 or P-521.
	KeyCurve elliptic.Curve
	// Roots are the IACA certificates trusted. With nil the signature of a document is checked, but not whose it is.
	Roots *x509.CertPool
	// Attestor signs key attestations for issuers that demand them; with nil, their documents cannot be collected.
	Attestor *Attestor
	Retry    Retry
	// Now is the clock, time.Now if nil.
	Now func() time.Time
	// Wait pauses between attempts until the duration has passed or the context ends; nil waits with a timer.
	Wait func(context.Context, time.Duration) error
}

// Retry bounds how often a step is sent when it gets no answer or one with status 429 or 5xx. The zero value of a field
// stands for the default.
type Retry struct {
	// Attempts is the most a step is sent, the first included. Default 4.
	Attempts int
	// Backoff is the first pause; each is twice the one before. A Retry-After of the issuer takes its place. Default 500 ms.
	Backoff time.Duration
	// MaxWait is the longest pause; when the issuer asks for more, its answer is returned instead. Default 30 s.
	MaxWait time.Duration
}

const (
	defaultAttempts = 4
	defaultBackoff  = 500 * time.Millisecond
	defaultMaxWait  = 30 * time.Second
)

// New builds a wallet over a store.
func New(o Options) (*Wallet, error) {
	if o.Store == nil {
		return nil, errors.New("new wallet: no store")
	}
	w := &Wallet{
		client: NewClient(ClientOptions{HTTPClient: o.HTTPClient, UserAgent: o.UserAgent, Now: o.Now}),
		store:  o.Store, curve: o.KeyCurve, roots: o.Roots, attestor: o.Attestor, retry: o.Retry, now: o.Now, wait: o.Wait,
	}
	if w.curve == nil {
		w.curve = elliptic.P256()
	}
	if oid4vci.ProofAlgorithm(w.curve) == "" {
		return nil, fmt.Errorf("new wallet: curve of device keys: %w", ErrUnsupported)
	}
	if w.attestor != nil {
		if err := w.attestor.check(); err != nil {
			return nil, fmt.Errorf("new wallet: %w", err)
		}
	}
	if w.retry.Attempts <= 0 {
		w.retry.Attempts = defaultAttempts
	}
	if w.retry.Backoff <= 0 {
		w.retry.Backoff = defaultBackoff
	}
	if w.retry.MaxWait <= 0 {
		w.retry.MaxWait = defaultMaxWait
	}
	if w.now == nil {
		w.now = time.Now
	}
	if w.wait == nil {
		w.wait = waitTimer
	}
	return w, nil
}

// Client is the wallet's client, for single steps.
func (w *Wallet) Client() *Client { return w.client }

// List returns the documents in the wallet, oldest first.
func (w *Wallet) List() ([]Document, error) { return w.store.Documents() }

// Details is a document with its content in printable form.
type Details struct {
	Document Document
	Elements []Element
}

// Element is one data element. Value is printable text; of a picture or other long bytes it is a summary.
type Element struct {
	NameSpace  string
	Identifier string
	Value      string
}

// Show returns a document with the elements of its first copy, or ErrNotFound.
func (w *Wallet) Show(id string) (*Details, error) {
	document, err := w.store.Document(id)
	if err != nil {
		return nil, err
	}
	data, _, err := w.store.Copy(id, 0)
	if err != nil {
		return nil, err
	}
	elements, err := readElements(data)
	if err != nil {
		return nil, fmt.Errorf("show document: %w", err)
	}
	return &Details{Document: document, Elements: elements}, nil
}

func waitTimer(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
