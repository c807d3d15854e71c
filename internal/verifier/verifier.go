// Package verifier does what somebody does to whom a document is shown: chain, signature, digests, validity, the device's signature over
// the session, and the status. It trusts the roots it is given and nothing else, and it says of every check how it went.
//
// It does not talk to wallets (ISO/IEC 18013-5 clause 8) and decides nothing about what a document entitles to.
package verifier

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/mdocket/mdocket/internal/mdoc"
)

// maxDocuments bounds how many documents of one DeviceResponse are looked at.
const maxDocuments = 16

// Refusals of what cannot be verified at all.
var (
	// ErrUnreadable: the bytes are neither an IssuerSigned nor a DeviceResponse with documents.
	ErrUnreadable = errors.New("not an mdoc: neither an IssuerSigned nor a DeviceResponse with documents")
	// ErrTranscript: the session transcript is not CBOR.
	ErrTranscript = errors.New("the session transcript is not CBOR")
)

// Options of a verification.
type Options struct {
	Roots *x509.CertPool
	Now   time.Time
	// SessionTranscript is the encoded SessionTranscript of the session in which a DeviceResponse was presented (clause 9.1.5.1). Without
	// it the device's signature is not checked.
	SessionTranscript []byte
	// Revoked says whether a document signer's certificate is revoked. Nil: none is.
	Revoked func(signer *x509.Certificate) bool
	// Ask gives the status by other means than lists; then neither Lists nor Fetch is used, and a document that names no list has an
	// unknown status.
	Ask func(ctx context.Context, ref mdoc.StatusRef) (Status, error)
	// Lists are status list tokens at hand, as CWT or JWT. The one whose subject a document names is used instead of fetching it.
	Lists [][]byte
	// Fetch gets other lists. Nil = offline.
	Fetch Fetcher
}

// Result of the verification of one document.
type Result struct {
	Verified *mdoc.Verified // nil when a check other than the status failed
	Problems []mdoc.Problem // in full, with names of data elements; empty = everything but the status holds
	Status   Status
	StatusBy string  // why the status is unknown
	Checks   []Check // every check once, in the order of CheckNames
}

// OK says whether the document holds in every respect that could be checked, its status among them.
func (r Result) OK() bool {
	return r.Verified != nil && len(r.Problems) == 0 && (r.Status == StatusValid || r.Status == StatusNone)
}

// Verify checks the bytes of an IssuerSigned (clause 9.1.2), which nobody presents. The error wraps ErrUnreadable; what is wrong with a
// document is in the result.
func Verify(ctx context.Context, issuerSigned []byte, o Options) (Result, error) {
	return verify(ctx, mdoc.Document{IssuerSigned: issuerSigned}, o)
}

// Present checks the bytes of a DeviceResponse, document by document, or of an IssuerSigned. There is at least one result. Errors wrap
// ErrUnreadable or ErrTranscript.
func Present(ctx context.Context, presented []byte, o Options) ([]Result, error) {
	if o.SessionTranscript != nil && cbor.Wellformed(o.SessionTranscript) != nil {
		return nil, ErrTranscript
	}
	response, err := mdoc.DecodeDeviceResponse(presented)
	if err != nil {
		one, err := Verify(ctx, presented, o)
		if err != nil {
			return nil, err
		}
		return []Result{one}, nil
	}
	if len(response.Documents) == 0 || len(response.Documents) > maxDocuments {
		return nil, fmt.Errorf("%w: no document, or more than %d", ErrUnreadable, maxDocuments)
	}
	out := make([]Result, len(response.Documents))
	for i, d := range response.Documents {
		if out[i], err = verify(ctx, d, o); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// verify checks one document; its DocType is empty when it was not presented.
func verify(ctx context.Context, d mdoc.Document, o Options) (Result, error) {
	parsed, err := mdoc.Parse(d.IssuerSigned)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	out := Result{Status: StatusUnknown, StatusBy: "the document does not hold"}
	device := deviceCheck(d, o.SessionTranscript)
	if out.Verified, out.Problems, err = prove(parsed, d, o, device.Outcome == OutcomeOK); err != nil {
		return Result{}, err
	}
	if o.Revoked != nil && o.Revoked(parsed.Chain[0]) {
		revoked := mdoc.Problem{Check: mdoc.CheckChain, Detail: "the signer's certificate is revoked"}
		out.Verified, out.Problems = nil, append(out.Problems, revoked)
	}
	if out.Verified != nil {
		out.Status, out.StatusBy = StatusUnknown, ""
		if out.Status, err = status(ctx, out.Verified.MSO.Status, o); err != nil {
			out.StatusBy = err.Error()
		}
	}
	out.Checks = checks(out, d.DocType != "", device)
	return out, nil
}

// prove makes the checks of the mdoc itself, that of the device among them if wanted.
func prove(parsed *mdoc.IssuerSigned, d mdoc.Document, o Options, device bool) (*mdoc.Verified, []mdoc.Problem, error) {
	trust := mdoc.VerifyOptions{Roots: o.Roots, Now: o.Now}
	var verified *mdoc.Verified
	var err error
	if device {
		verified, err = d.Verify(trust, o.SessionTranscript)
	} else {
		trust.DocType = d.DocType
		verified, err = parsed.Verify(trust)
	}
	var failed *mdoc.VerificationError
	switch {
	case errors.As(err, &failed):
		return nil, slices.Clone(failed.Problems), nil
	case err != nil:
		return nil, nil, fmt.Errorf("verify document: %w", err)
	}
	return verified, nil, nil
}

// deviceCheck says whether the device's signature can be checked: the outcome is OutcomeOK if so, until it turns out otherwise.
func deviceCheck(d mdoc.Document, transcript []byte) Check {
	no := func(why string) Check {
		return Check{Check: mdoc.CheckDevice, Outcome: OutcomeNotChecked, Problem: why}
	}
	switch {
	case d.DocType == "":
		return no("the document alone was given: no device has presented it")
	case transcript == nil:
		return no("the session transcript was not given")
	case d.DeviceSignature == nil && d.DeviceMAC != nil:
		return no("the device has authenticated with a MAC, which only the reader of the session can check")
	}
	return Check{Check: mdoc.CheckDevice, Outcome: OutcomeOK}
}
