package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/veraison/go-cose"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/pki"
	"github.com/mdocket/mdocket/internal/server"
)

// serverHeap is what a standalone server that is at work keeps in memory, about.
const serverHeap = 16 << 20

// issueRows compares building and signing one mDL with a bare signature of the same library, on one processor, turn by turn.
func issueRows(_ context.Context, o Options) ([]Row, error) {
	req, signer, _, err := licence()
	if err != nil {
		return nil, err
	}
	bare, err := cose.NewSigner(cose.AlgorithmES256, signer.Key)
	if err != nil {
		return nil, fmt.Errorf("make bare signer: %w", err)
	}
	payload := make([]byte, 1500) // the size of an MSO with 25 digests
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	// The collector as a server has it: in an empty process it would run, over all of the program's tables, at every hundredth document.
	server.TuneCollector()
	heap := make([]byte, serverHeap)
	defer runtime.KeepAlive(heap)
	var failed error
	note := func(err error) {
		if err != nil {
			failed = err
		}
	}
	var pairs []pair
	var last testing.BenchmarkResult
	for range max(o.Rounds, 5) {
		b := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				_, err := bare.Sign(rand.Reader, payload)
				note(err)
			}
		})
		last = testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				issued, err := mdoc.Issue(rand.Reader, req, signer)
				note(err)
				if err == nil {
					req.Buffer = issued.Bytes // as internal/issuer does once a document is stored
				}
			}
		})
		pairs = append(pairs, pair{perOp(last), perOp(b)})
	}
	if failed != nil {
		return nil, failed
	}
	m, ratio := middle(pairs, floorByValue)
	return []Row{
		{Name: "mdoc.issue", Value: m.value, Unit: "µs", Floor: m.floor, Ratio: ratio, Target: "≥ 0.5",
			Against: "one bare P-256 signature (floor ÷ value, the median pair)"},
		{Name: "mdoc.issue.allocs", Value: float64(last.AllocsPerOp()), Unit: "allocs"},
		{Name: "mdoc.issue.bytes", Value: float64(last.AllocedBytesPerOp()) / 1024, Unit: "KiB"},
	}, nil
}

func perOp(r testing.BenchmarkResult) float64 {
	return float64(r.T.Nanoseconds()) / float64(r.N) / 1000
}

// licence is an mDL with 25 data elements and a portrait of 20 KB, a signer for it, and the root of that.
func licence() (mdoc.Request, mdoc.Signer, *x509.Certificate, error) {
	now := time.Now().UTC().Truncate(time.Second)
	iacaKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	device, err3 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return mdoc.Request{}, mdoc.Signer{}, nil, fmt.Errorf("make key: %w", err)
		}
	}
	iaca, err := pki.NewIACA(rand.Reader, iacaKey, pki.IACAOptions{Subject: pki.Subject{Country: "UT", CommonName: "bench IACA"},
		IssuerAltName: "https://mdocket.example", CRLURL: "https://mdocket.example/crl", NotBefore: now.Add(-time.Hour), Validity: 1000 * time.Hour})
	if err != nil {
		return mdoc.Request{}, mdoc.Signer{}, nil, err
	}
	ds, err := pki.NewDocumentSigner(rand.Reader, iaca, iacaKey, key.Public(), pki.SignerOptions{CommonName: "bench signer",
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(900 * time.Hour)})
	if err != nil {
		return mdoc.Request{}, mdoc.Signer{}, nil, err
	}
	portrait := make([]byte, 20<<10)
	if _, err := rand.Read(portrait); err != nil {
		return mdoc.Request{}, mdoc.Signer{}, nil, fmt.Errorf("read randomness: %w", err)
	}
	elements := []mdoc.Element{{Identifier: "portrait", Value: portrait}, {Identifier: "birth_date", Value: mdoc.FullDate("1980-02-29")},
		{Identifier: "age_over_18", Value: true}, {Identifier: "height", Value: uint64(170)}}
	for i := len(elements); i < 25; i++ {
		elements = append(elements, mdoc.Element{Identifier: fmt.Sprintf("element_%02d", i), Value: "an ordinary value"})
	}
	return mdoc.Request{DocType: "org.iso.18013.5.1.mDL", NameSpaces: []mdoc.NameSpace{{Name: "org.iso.18013.5.1", Elements: elements}},
			DigestAlgorithm: "SHA-256", DeviceKey: &device.PublicKey, Signed: now, ValidFrom: now, ValidUntil: now.Add(800 * time.Hour),
			Status: &mdoc.StatusRef{Index: 412, URI: "https://mdocket.example/status-lists/1"}},
		mdoc.Signer{Key: key, Chain: []*x509.Certificate{ds}}, iaca, nil
}
