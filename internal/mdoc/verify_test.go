package mdoc_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/stretchr/testify/require"
	"github.com/veraison/go-cose"
)

// requireChecks holds the distinct failed checks, in order.
func requireChecks(t *testing.T, err error, want ...mdoc.Check) {
	t.Helper()
	var failure *mdoc.VerificationError
	require.ErrorAs(t, err, &failure)
	var got []mdoc.Check
	for _, problem := range failure.Problems {
		require.NotEmpty(t, problem.Detail)
		require.Contains(t, err.Error(), problem.Detail)
		if !slices.Contains(got, problem.Check) {
			got = append(got, problem.Check)
		}
	}
	require.Equal(t, want, got)
}

func TestVerifyFindsProblems(t *testing.T) {
	issuer, stranger := newAuthority(t, elliptic.P256()), newAuthority(t, elliptic.P256())
	device := newKey(t, elliptic.P256())
	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
	require.NoError(t, err)
	sound := mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt, DocType: docTypeMDL}

	tests := []struct {
		name   string
		change func(*mdoc.VerifyOptions)
		want   []mdoc.Check
	}{
		{"no roots", func(o *mdoc.VerifyOptions) { o.Roots = nil }, []mdoc.Check{mdoc.CheckChain}},
		{"other root", func(o *mdoc.VerifyOptions) { o.Roots = stranger.roots() }, []mdoc.Check{mdoc.CheckChain}},
		{"other docType", func(o *mdoc.VerifyOptions) { o.DocType = "other" }, []mdoc.Check{mdoc.CheckDocType}},
		{"too early", func(o *mdoc.VerifyOptions) { o.Now = signedAt.Add(-time.Second) }, []mdoc.Check{mdoc.CheckValidity}},
		{"expired", func(o *mdoc.VerifyOptions) { o.Now = validUntil.Add(time.Second) }, []mdoc.Check{mdoc.CheckValidity}},
		{"signer expired too", func(o *mdoc.VerifyOptions) { o.Now = signedAt.AddDate(2, 0, 0) },
			[]mdoc.Check{mdoc.CheckChain, mdoc.CheckValidity}},
	}
	parsed, err := mdoc.Parse(issued.Bytes)
	require.NoError(t, err)
	_, err = parsed.Verify(sound)
	require.NoError(t, err)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := sound
			test.change(&opts)
			_, err := parsed.Verify(opts)
			requireChecks(t, err, test.want...)
		})
	}
}

// opened is an mdoc taken apart so that a test can change a piece of it.
type opened struct {
	NameSpaces map[string][]cbor.RawMessage `cbor:"nameSpaces"`
	IssuerAuth struct {
		_           struct{} `cbor:",toarray"`
		Protected   []byte
		Unprotected map[int64]any
		Payload     []byte
		Signature   []byte
	} `cbor:"issuerAuth"`
}

func TestVerifyFindsTampering(t *testing.T) {
	issuer, stranger := newAuthority(t, elliptic.P256()), newAuthority(t, elliptic.P256())
	device := newKey(t, elliptic.P256())
	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
	require.NoError(t, err)

	tests := []struct {
		name   string
		change func(*opened)
		want   []mdoc.Check
	}{
		{"value of an item", func(o *opened) {
			o.NameSpaces[nameSpaceMDL][0] = bytes.Replace(o.NameSpaces[nameSpaceMDL][0], []byte("Mustermann"), []byte("Musterfrau"), 1)
		}, []mdoc.Check{mdoc.CheckDigests}},
		{"digest in the MSO", func(o *opened) {
			at := bytes.Index(o.IssuerAuth.Payload, []byte{0x00, 0x58, 0x20})
			o.IssuerAuth.Payload[at+5] ^= 1
		}, []mdoc.Check{mdoc.CheckSignature, mdoc.CheckDigests}},
		{"signature", func(o *opened) { o.IssuerAuth.Signature[9] ^= 1 }, []mdoc.Check{mdoc.CheckSignature}},
		{"signature cut", func(o *opened) { o.IssuerAuth.Signature = o.IssuerAuth.Signature[:63] }, []mdoc.Check{mdoc.CheckSignature}},
		{"item in another name space", func(o *opened) {
			o.NameSpaces["elsewhere"] = o.NameSpaces[nameSpaceMDL][:1]
		}, []mdoc.Check{mdoc.CheckDigests}},
		{"item twice", func(o *opened) {
			o.NameSpaces[nameSpaceMDL] = append(o.NameSpaces[nameSpaceMDL], o.NameSpaces[nameSpaceMDL][0])
		}, []mdoc.Check{mdoc.CheckDigests}},
		{"certificate of another signer", func(o *opened) {
			o.IssuerAuth.Unprotected[33] = stranger.signer.Chain[0].Raw
		}, []mdoc.Check{mdoc.CheckChain, mdoc.CheckSignature}},
		{"other algorithm", func(o *opened) { o.IssuerAuth.Protected = []byte{0xa1, 0x01, 0x38, 0x22} }, []mdoc.Check{mdoc.CheckSignature}},
		{"no algorithm", func(o *opened) { o.IssuerAuth.Protected = []byte{} }, []mdoc.Check{mdoc.CheckSignature}},
		{"items left out", func(o *opened) { o.NameSpaces[nameSpaceMDL] = o.NameSpaces[nameSpaceMDL][2:3] }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var o opened
			require.NoError(t, cbor.Unmarshal(issued.Bytes, &o))
			test.change(&o)
			encoded, err := cbor.Marshal(o)
			require.NoError(t, err)
			parsed, err := mdoc.Parse(encoded)
			require.NoError(t, err)
			_, err = parsed.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt})
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			requireChecks(t, err, test.want...)
		})
	}
}

// A certificate under the IACA that is not one of a document signer cannot vouch for an mdoc.
func TestVerifyRefusesOtherCertificates(t *testing.T) {
	otherUsage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 2}})
	require.NoError(t, err)
	tests := map[string]func(*x509.Certificate){
		"no extended key usage":    func(c *x509.Certificate) { c.ExtraExtensions = nil },
		"other extended key usage": func(c *x509.Certificate) { c.ExtraExtensions[0].Value = otherUsage },
		"other key usage":          func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement },
		"unknown critical extension": func(c *x509.Certificate) {
			extension := c.ExtraExtensions[0]
			extension.Id = asn1.ObjectIdentifier{1, 2, 3, 4}
			c.ExtraExtensions = append(c.ExtraExtensions, extension)
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			issuer, device := newAuthorityFor(t, elliptic.P256(), change), newKey(t, elliptic.P256())
			issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
			require.NoError(t, err)
			parsed, err := mdoc.Parse(issued.Bytes)
			require.NoError(t, err)
			_, err = parsed.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt})
			requireChecks(t, err, mdoc.CheckChain)
		})
	}
}

// A foreign issuer's mistakes that our own Issue would refuse.
func TestVerifyFindsBadContentUnderAGoodSignature(t *testing.T) {
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
	require.NoError(t, err)
	resign := func(t *testing.T, mso mdoc.MobileSecurityObject, protected cose.ProtectedHeader) *mdoc.IssuerSigned {
		encoded, err := mso.MarshalCBOR()
		require.NoError(t, err)
		payload, err := cbor.Marshal(cbor.Tag{Number: 24, Content: encoded})
		require.NoError(t, err)
		signer, err := cose.NewSigner(cose.AlgorithmES256, issuer.signer.Key)
		require.NoError(t, err)
		auth, err := cose.Sign1Untagged(rand.Reader, signer, cose.Headers{
			Protected:   protected,
			Unprotected: cose.UnprotectedHeader{int64(33): issuer.signer.Chain[0].Raw},
		}, payload, nil)
		require.NoError(t, err)
		bytes, err := cbor.Marshal(map[string]cbor.RawMessage{"issuerAuth": auth})
		require.NoError(t, err)
		parsed, err := mdoc.Parse(bytes)
		require.NoError(t, err)
		return parsed
	}
	verify := func(parsed *mdoc.IssuerSigned) error {
		_, err := parsed.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt})
		return err
	}
	es256 := func() cose.ProtectedHeader {
		return cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.AlgorithmES256}
	}

	t.Run("signed before the signer was", func(t *testing.T) {
		mso := issued.MSO
		mso.Validity.Signed = issuer.signer.Chain[0].NotBefore.Add(-time.Hour)
		requireChecks(t, verify(resign(t, mso, es256())), mdoc.CheckValidity)
	})
	t.Run("dates out of order", func(t *testing.T) {
		mso := issued.MSO
		mso.Validity.Signed = mso.Validity.ValidFrom.Add(time.Hour)
		requireChecks(t, verify(resign(t, mso, es256())), mdoc.CheckValidity)
	})
	t.Run("critical header", func(t *testing.T) {
		protected := es256()
		protected[cose.HeaderLabelCritical] = []any{int64(99)}
		protected[int64(99)] = "x"
		requireChecks(t, verify(resign(t, issued.MSO, protected)), mdoc.CheckSignature)
	})
	t.Run("nothing wrong", func(t *testing.T) {
		require.NoError(t, verify(resign(t, issued.MSO, es256())))
	})
}

func TestParseRefuses(t *testing.T) {
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
	require.NoError(t, err)
	reopen := func(change func(*opened)) []byte {
		var o opened
		require.NoError(t, cbor.Unmarshal(issued.Bytes, &o))
		change(&o)
		encoded, err := cbor.Marshal(o)
		require.NoError(t, err)
		return encoded
	}
	item := func(encoded ...byte) []byte {
		return reopen(func(o *opened) {
			raw, err := cbor.Marshal(cbor.Tag{Number: 24, Content: encoded})
			require.NoError(t, err)
			o.NameSpaces[nameSpaceMDL][0] = raw
		})
	}
	mso := func(old, replacement string) []byte {
		require.Len(t, replacement, len(old))
		return reopen(func(o *opened) {
			require.Contains(t, string(o.IssuerAuth.Payload), old)
			o.IssuerAuth.Payload = bytes.Replace(o.IssuerAuth.Payload, []byte(old), []byte(replacement), 1)
		})
	}
	withValue := func(value ...byte) []byte {
		encoded := []byte("\xa4\x68digestID\x00\x66random\x50aaaaaaaaaaaaaaaa\x71elementIdentifier\x61e\x6celementValue")
		return item(append(encoded, value...)...)
	}
	_, err = mdoc.Parse(withValue(0x01))
	require.NoError(t, err)

	tests := map[string][]byte{
		"nothing":                     nil,
		"trailing data":               append(slices.Clone(issued.Bytes), 0),
		"cut":                         issued.Bytes[:len(issued.Bytes)-1],
		"another type":                {0x01},
		"no issuerAuth":               {0xa0},
		"indefinite length":           append([]byte{0xbf}, append(slices.Clone(issued.Bytes[1:]), 0xff)...),
		"duplicate key":               append([]byte{0xa3}, append(slices.Clone(issued.Bytes[1:]), "\x6anameSpaces\xa0"...)...),
		"too deep":                    append([]byte("\xa1\x6anameSpaces"), bytes.Repeat([]byte{0x81}, 40)...),
		"too large":                   make([]byte, 9<<20),
		"tagged issuerAuth":           []byte("\xa1\x6aissuerAuth\xd2\x84\x40\xa0\x40\x40"),
		"no x5chain":                  reopen(func(o *opened) { delete(o.IssuerAuth.Unprotected, 33) }),
		"x5chain of another type":     reopen(func(o *opened) { o.IssuerAuth.Unprotected[33] = "x" }),
		"x5chain with another type":   reopen(func(o *opened) { o.IssuerAuth.Unprotected[33] = []any{"x"} }),
		"x5chain with no certificate": reopen(func(o *opened) { o.IssuerAuth.Unprotected[33] = []byte{1} }),
		"endless x5chain": reopen(func(o *opened) {
			o.IssuerAuth.Unprotected[33] = slices.Repeat([]any{issuer.signer.Chain[0].Raw}, 9)
		}),
		"payload without tag":    reopen(func(o *opened) { o.IssuerAuth.Payload = o.IssuerAuth.Payload[2:] }),
		"item without tag":       reopen(func(o *opened) { o.NameSpaces[nameSpaceMDL][0] = cbor.RawMessage{0x41, 0xa0} }),
		"item empty":             item(0xa0),
		"item of another type":   item(0x01),
		"value with key twice":   withValue([]byte("\xa2\x61k\x01\x61k\x02")...),
		"number key twice":       withValue(0xa2, 0x01, 0x01, 0x01, 0x02),
		"key twice further down": withValue([]byte("\x81\xa2\x61k\x01\x61k\x02")...),
		"MSO version":            mso("\x631.0", "\x639.9"),
		"MSO digest algorithm":   mso("SHA-256", "SHA-257"),
		"MSO without docType":    mso("docType", "docTyqe"),
		"MSO date":               mso("2026-03-01T12:00:00Z", "2026-03-01 12:00:00Z"),
		"MSO without status idx": mso("\x63idx", "\x63idy"),
		"MSO key type":           mso("\xa4\x01\x02\x20\x01", "\xa4\x01\x03\x20\x01"),
		"MSO key curve":          mso("\xa4\x01\x02\x20\x01", "\xa4\x01\x02\x20\x03"),
		"MSO key missing":        mso("deviceKey\xa4", "deviceKez\xa4"),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := mdoc.Parse(data)
			require.ErrorIs(t, err, mdoc.ErrMalformed)
		})
	}
}

func FuzzParse(f *testing.F) {
	issuer, device := newAuthority(f, elliptic.P256()), newKey(f, elliptic.P256())
	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
	require.NoError(f, err)
	f.Add(issued.Bytes)
	f.Add([]byte("\xa2\x6anameSpaces\xa1\x61n\x81\xd8\x18\x41\xa0\x6aissuerAuth\x84\x43\xa1\x01\x26\xa0\x41\x00\x41\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := mdoc.Parse(data)
		if err != nil {
			require.ErrorIs(t, err, mdoc.ErrMalformed)
			return
		}
		if _, err := parsed.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt}); err != nil {
			var failure *mdoc.VerificationError
			require.ErrorAs(t, err, &failure)
		}
		encoded, err := parsed.MSO.MarshalCBOR()
		require.NoError(t, err)
		var again mdoc.MobileSecurityObject
		require.NoError(t, again.UnmarshalCBOR(encoded))
		require.Equal(t, parsed.MSO, again)
	})
}
