package mdoc_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/stretchr/testify/require"
)

// transcript is an encoded SessionTranscript: [null, null, "session"].
var transcript = []byte("\x83\xf6\xf6\x67session")

func TestPresentation(t *testing.T) {
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P384())
	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
	require.NoError(t, err)

	tests := []struct {
		name   string
		choose map[string][]string
		want   map[string][]string
	}{
		{"everything", nil, map[string][]string{
			nameSpaceMDL: {"family_name", "given_name", "birth_date", "portrait", "portrait_capture_date", "height", "age_over_18",
				"driving_privileges"},
			nameSpaceMDL + ".UT": {"resident_county"},
		}},
		{"some", map[string][]string{nameSpaceMDL: {"portrait", "age_over_18", "age_over_21"}, "elsewhere": {"x"}},
			map[string][]string{nameSpaceMDL: {"portrait", "age_over_18"}}},
		{"nothing", map[string][]string{}, map[string][]string{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			encoded, err := mdoc.BuildDeviceResponse(mdoc.Presentation{
				IssuerSigned: issued.Bytes, Select: test.choose, DeviceKey: device, SessionTranscript: transcript,
			})
			require.NoError(t, err)
			response, err := mdoc.DecodeDeviceResponse(encoded)
			require.NoError(t, err)
			require.Len(t, response.Documents, 1)
			document := response.Documents[0]
			verified, err := document.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt, DocType: docTypeMDL}, transcript)
			require.NoError(t, err)
			got := map[string][]string{}
			for _, ns := range verified.NameSpaces {
				for _, element := range ns.Elements {
					got[ns.Name] = append(got[ns.Name], element.Identifier)
				}
			}
			require.Equal(t, test.want, got)
		})
	}
}

func TestPresentationRefused(t *testing.T) {
	issuer, device, other := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
	require.NoError(t, err)

	sound := mdoc.Presentation{IssuerSigned: issued.Bytes, DeviceKey: device, SessionTranscript: transcript}
	tests := []struct {
		name   string
		want   error
		change func(*mdoc.Presentation)
	}{
		{"no document", mdoc.ErrMalformed, func(p *mdoc.Presentation) { p.IssuerSigned = nil }},
		{"no key", mdoc.ErrPresentation, func(p *mdoc.Presentation) { p.DeviceKey = nil }},
		{"other key", mdoc.ErrPresentation, func(p *mdoc.Presentation) { p.DeviceKey = other }},
		{"no transcript", mdoc.ErrPresentation, func(p *mdoc.Presentation) { p.SessionTranscript = nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := sound
			test.change(&p)
			_, err := mdoc.BuildDeviceResponse(p)
			require.ErrorIs(t, err, test.want)
		})
	}
}

func TestDeviceAuthenticationFails(t *testing.T) {
	issuer, device := newAuthority(t, elliptic.P256()), newKey(t, elliptic.P256())
	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
	require.NoError(t, err)
	encoded, err := mdoc.BuildDeviceResponse(mdoc.Presentation{
		IssuerSigned: issued.Bytes, DeviceKey: device, SessionTranscript: transcript,
	})
	require.NoError(t, err)
	attached, err := cbor.Marshal([]any{[]byte{0xa1, 0x01, 0x26}, map[int]any{}, []byte{1}, make([]byte, 64)})
	require.NoError(t, err)

	tests := []struct {
		name       string
		change     func(*mdoc.Document)
		transcript []byte
		want       []mdoc.Check
	}{
		{"other session", func(*mdoc.Document) {}, []byte{0x80}, []mdoc.Check{mdoc.CheckDevice}},
		{"no session", func(*mdoc.Document) {}, nil, []mdoc.Check{mdoc.CheckDevice}},
		{"no signature", func(d *mdoc.Document) { d.DeviceSignature = nil }, transcript, []mdoc.Check{mdoc.CheckDevice}},
		{"malformed signature", func(d *mdoc.Document) { d.DeviceSignature = []byte{0x01} }, transcript, []mdoc.Check{mdoc.CheckDevice}},
		{"attached payload", func(d *mdoc.Document) { d.DeviceSignature = attached }, transcript, []mdoc.Check{mdoc.CheckDevice}},
		{"other name spaces", func(d *mdoc.Document) { d.DeviceNameSpaces = []byte{0xd8, 0x18, 0x44, 0xa1, 0x61, 'n', 0xa0} },
			transcript, []mdoc.Check{mdoc.CheckDevice}},
		{"no name spaces", func(d *mdoc.Document) { d.DeviceNameSpaces = nil }, transcript, []mdoc.Check{mdoc.CheckDevice}},
		{"other docType", func(d *mdoc.Document) { d.DocType = "other" }, transcript,
			[]mdoc.Check{mdoc.CheckDocType, mdoc.CheckDevice}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			response, err := mdoc.DecodeDeviceResponse(encoded)
			require.NoError(t, err)
			document := response.Documents[0]
			test.change(&document)
			_, err = document.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt}, test.transcript)
			requireChecks(t, err, test.want...)
		})
	}
	_, err = (&mdoc.Document{DocType: docTypeMDL}).Verify(mdoc.VerifyOptions{}, transcript)
	require.ErrorIs(t, err, mdoc.ErrMalformed)
}

func TestDecodeDeviceResponseRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":                     "",
		"no version":                  "\xa1\x66status\x00",
		"no status":                   "\xa1\x67version\x631.0",
		"document without docType":    "\xa3\x67version\x631.0\x66status\x00\x69documents\x81\xa0",
		"trailing data":               "\xa2\x67version\x631.0\x66status\x00\x00",
		"documents of another type":   "\xa3\x67version\x631.0\x66status\x00\x69documents\x01",
		"document without its mdoc":   "\xa3\x67version\x631.0\x66status\x00\x69documents\x81\xa1\x67docType\x61d",
		"version occurs a second one": "\xa3\x67version\x631.0\x66status\x00\x67version\x631.0",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mdoc.DecodeDeviceResponse([]byte(data))
			require.ErrorIs(t, err, mdoc.ErrMalformed)
		})
	}
}

func FuzzDecodeDeviceResponse(f *testing.F) {
	issuer, device := newAuthority(f, elliptic.P256()), newKey(f, elliptic.P256())
	issued, err := mdoc.Issue(rand.Reader, newRequest(&device.PublicKey), issuer.signer)
	require.NoError(f, err)
	encoded, err := mdoc.BuildDeviceResponse(mdoc.Presentation{
		IssuerSigned: issued.Bytes, DeviceKey: device, SessionTranscript: transcript,
	})
	require.NoError(f, err)
	f.Add(encoded)
	f.Add([]byte("\xa2\x67version\x631.0\x66status\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		response, err := mdoc.DecodeDeviceResponse(data)
		if err != nil {
			require.ErrorIs(t, err, mdoc.ErrMalformed)
			return
		}
		for _, document := range response.Documents {
			// Only the untouched seed may verify; anything else must fail with an error, not a crash.
			if _, err := document.Verify(mdoc.VerifyOptions{Roots: issuer.roots(), Now: signedAt}, transcript); err == nil {
				require.Equal(t, docTypeMDL, document.DocType)
			}
		}
	})
}
