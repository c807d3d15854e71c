package issuer

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/verifier"
)

// Presented is what was shown to somebody who now asks whether it holds (F8).
type Presented struct {
	Document []byte // CBOR: an IssuerSigned or a DeviceResponse
	// SessionTranscript is the CBOR of the session in which it was shown; nil = not known, and the device's signature is not checked.
	SessionTranscript []byte
}

// VerifyPresented checks documents against the IACA certificates of this authority and against the state they are in at this moment:
// disabled, canceled and expired ones fail, also where the status list says nothing of it. What is presented is not kept. Errors are
// CodeInvalid for what is no document, and CodeRateLimited.
func (is *Issuer) VerifyPresented(ctx context.Context, p Presented, source string) (verifier.Report, error) {
	const limit = 30 // per minute and source: each costs some signatures
	if err := is.limitVerifier(ctx, "presented", source, limit); err != nil {
		return verifier.Report{}, err
	}
	o := verifier.Options{Now: is.Now(), SessionTranscript: p.SessionTranscript}
	var err error
	if o.Roots, err = is.rootPool(ctx); err != nil {
		return verifier.Report{}, err
	}
	if o.Revoked, err = is.revokedSigners(ctx); err != nil {
		return verifier.Report{}, err
	}
	var failed error
	o.Ask = func(ctx context.Context, ref mdoc.StatusRef) (verifier.Status, error) {
		s, err := is.statusNow(ctx, ref)
		failed = errors.Join(failed, err)
		return s, err
	}
	results, err := verifier.Present(ctx, p.Document, o)
	switch {
	case errors.Is(err, verifier.ErrTranscript):
		return verifier.Report{}, invalid("session_transcript", "must be the CBOR of a SessionTranscript")
	case errors.Is(err, verifier.ErrUnreadable):
		return verifier.Report{}, invalid("document", "must be the CBOR of an IssuerSigned or of a DeviceResponse with 1 to 16 documents")
	case err != nil:
		return verifier.Report{}, fmt.Errorf("verify presented document: %w", err)
	case failed != nil:
		return verifier.Report{}, failed
	}
	return verifier.NewReport(results), nil
}

// limitVerifier counts a call of a verifier. Without the cache there is no limit: verifiers come first.
func (is *Issuer) limitVerifier(ctx context.Context, kind, source string, limit int) error {
	ok, wait, err := is.Cache.Allow(ctx, kind+"|"+cache.Source(source), limit, time.Minute)
	if err != nil {
		is.Log.WarnContext(ctx, "rate limit not available", "error", err)
		return nil
	}
	if !ok {
		return domain.Errorf(domain.CodeRateLimited, "too many calls from this address; try again later").
			With("retry_after", fmt.Sprint(int(wait.Seconds())+1))
	}
	return nil
}

// rootPool holds every IACA certificate.
func (is *Issuer) rootPool(ctx context.Context) (*x509.CertPool, error) {
	ders, err := is.Roots(ctx)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, der := range ders {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse IACA: %w", err)
		}
		pool.AddCert(root)
	}
	return pool, nil
}

// revokedSigners tells which document signers are revoked.
func (is *Issuer) revokedSigners(ctx context.Context) (func(*x509.Certificate) bool, error) {
	rows, err := is.Store.Certificates(ctx, store.CertificateDS)
	if err != nil {
		return nil, fmt.Errorf("load document signers: %w", err)
	}
	return func(signer *x509.Certificate) bool {
		for _, r := range rows {
			if bytes.Equal(r.DER, signer.Raw) {
				return !r.RevokedAt.IsZero()
			}
		}
		return false // it is under a root of ours all the same: one that another program made
	}, nil
}

// statusNow gives the status of the document that has a place in one of our lists. A place that was never given out is invalid.
func (is *Issuer) statusNow(ctx context.Context, ref mdoc.StatusRef) (verifier.Status, error) {
	listID, ours := strings.CutPrefix(ref.URI, is.StatusListsURI()+"/")
	if !ours {
		return verifier.StatusUnknown, nil
	}
	documentID, value, err := is.Store.StatusAt(ctx, listID, ref.Index)
	if errors.Is(err, store.ErrNotFound) || err == nil && (documentID == "" || value == uint8(statuslist.Invalid)) {
		return verifier.StatusInvalid, nil
	}
	if err != nil {
		return verifier.StatusUnknown, fmt.Errorf("load status: %w", err)
	}
	d, err := is.Store.Document(ctx, documentID)
	if err != nil {
		return verifier.StatusUnknown, fmt.Errorf("load document: %w", err)
	}
	switch is.documentState(d) {
	case domain.DocumentActive:
		return verifier.StatusValid, nil
	case domain.DocumentDisabled:
		return verifier.StatusSuspended, nil
	case domain.DocumentPrepared, domain.DocumentCanceled, domain.DocumentExpired, domain.DocumentSuperseded:
	}
	return verifier.StatusInvalid, nil
}
