package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/server"
	"github.com/mdocket/mdocket/internal/verifier"
)

// verifyRows compares the verification of one mDL with that of its two signatures alone (the issuer's, and the root's under the signer's
// certificate), on one processor, turn by turn.
func verifyRows(ctx context.Context, o Options) ([]Row, error) {
	req, signer, root, err := licence()
	if err != nil {
		return nil, err
	}
	issued, err := mdoc.Issue(rand.Reader, req, signer)
	if err != nil {
		return nil, fmt.Errorf("issue document: %w", err)
	}
	trust := verifier.Options{Roots: x509.NewCertPool(), Now: time.Now(),
		Ask: func(context.Context, mdoc.StatusRef) (verifier.Status, error) { return verifier.StatusValid, nil }}
	trust.Roots.AddCert(root)
	digest := sha256.Sum256(signer.Chain[0].RawTBSCertificate)
	public, ok := signer.Key.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("the signer has no EC key")
	}
	signature, err := signer.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("make bare signature: %w", err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	server.TuneCollector()
	heap := make([]byte, serverHeap)
	defer runtime.KeepAlive(heap)
	var failed error
	var pairs []pair
	for range max(o.Rounds, 5) {
		bare := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				for range 2 {
					if !ecdsa.VerifyASN1(public, digest[:], signature) {
						failed = errors.New("the bare signature does not verify")
					}
				}
			}
		})
		whole := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				result, err := verifier.Verify(ctx, issued.Bytes, trust)
				if err != nil || !result.OK() {
					failed = errors.Join(errors.New("the document does not verify"), err)
				}
			}
		})
		pairs = append(pairs, pair{perOp(whole), perOp(bare)})
	}
	if failed != nil {
		return nil, failed
	}
	m, ratio := middle(pairs, floorByValue)
	return []Row{{Name: "verify.document", Value: m.value, Unit: "µs", Floor: m.floor, Ratio: ratio, Target: "≥ 0.5",
		Against: "bare P-256 verification of its two signatures (floor ÷ value, the median pair)"}}, nil
}
