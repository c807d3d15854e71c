package mdoc_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/stretchr/testify/require"
	"github.com/veraison/go-cose"
)

// licence has 25 data elements, one of them a portrait of 20 KB.
func licence(tb testing.TB) mdoc.Request {
	device := newKey(tb, elliptic.P256())
	req := newRequest(&device.PublicKey)
	req.NameSpaces = req.NameSpaces[:1]
	elements := &req.NameSpaces[0].Elements
	(*elements)[3].Value = bytes.Repeat([]byte{0x5a}, 20<<10)
	for i := len(*elements); i < 25; i++ {
		*elements = append(*elements, mdoc.Element{Identifier: fmt.Sprintf("element_%02d", i), Value: "an ordinary value"})
	}
	return req
}

func BenchmarkIssue(b *testing.B) {
	issuer, req := newAuthority(b, elliptic.P256()), licence(b)
	b.ReportAllocs()
	for b.Loop() {
		_, err := mdoc.Issue(rand.Reader, req, issuer.signer)
		require.NoError(b, err)
	}
}

func BenchmarkPrepare(b *testing.B) {
	issuer, req := newAuthority(b, elliptic.P256()), licence(b)
	b.ReportAllocs()
	for b.Loop() {
		_, err := mdoc.Prepare(rand.Reader, req, issuer.signer)
		require.NoError(b, err)
	}
}

// BenchmarkBareSign is the floor: one COSE signature over a payload of an MSO's size.
func BenchmarkBareSign(b *testing.B) {
	key := newKey(b, elliptic.P256())
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	require.NoError(b, err)
	payload := make([]byte, 1500)
	b.ReportAllocs()
	for b.Loop() {
		_, err := signer.Sign(rand.Reader, payload)
		require.NoError(b, err)
	}
}

func BenchmarkVerify(b *testing.B) {
	issuer, req := newAuthority(b, elliptic.P256()), licence(b)
	issued, err := mdoc.Issue(rand.Reader, req, issuer.signer)
	require.NoError(b, err)
	opts := mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt}
	b.ReportAllocs()
	for b.Loop() {
		parsed, err := mdoc.Parse(issued.Bytes)
		require.NoError(b, err)
		_, err = parsed.Verify(opts)
		require.NoError(b, err)
	}
}
