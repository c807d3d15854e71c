package mdoc_test

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/stretchr/testify/require"
)

// annexDTime lies within the validity of the example's MSO and of its document signer.
var annexDTime = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)

func annexD(t *testing.T) (mdoc.Document, *mdoc.IssuerSigned, map[string][]byte) {
	t.Helper()
	values := vectors(t)
	response, err := mdoc.DecodeDeviceResponse(values["device_response"])
	require.NoError(t, err)
	require.Equal(t, "1.0", response.Version)
	require.Zero(t, response.Status)
	require.Len(t, response.Documents, 1)
	document := response.Documents[0]
	require.Equal(t, docTypeMDL, document.DocType)
	parsed, err := mdoc.Parse(document.IssuerSigned)
	require.NoError(t, err)
	return document, parsed, values
}

func TestAnnexDContent(t *testing.T) {
	_, parsed, values := annexD(t)

	require.Equal(t, values["ds_cert"], parsed.Chain[0].Raw)
	require.Len(t, parsed.NameSpaces, 1)
	got := map[string]any{}
	for _, item := range parsed.NameSpaces[0].Items {
		got[item.Identifier] = item.Value
	}
	require.Equal(t, map[string]any{
		"family_name":     "Doe",
		"issue_date":      mdoc.FullDate("2019-10-20"),
		"expiry_date":     mdoc.FullDate("2024-10-20"),
		"document_number": "123456789",
		"portrait":        values["device_response_portrait_data"],
		"driving_privileges": []any{
			mdoc.Map{
				{Key: "vehicle_category_code", Value: "A"},
				{Key: "issue_date", Value: mdoc.FullDate("2018-08-09")},
				{Key: "expiry_date", Value: mdoc.FullDate("2024-10-20")},
			},
			mdoc.Map{
				{Key: "vehicle_category_code", Value: "B"},
				{Key: "issue_date", Value: mdoc.FullDate("2017-02-23")},
				{Key: "expiry_date", Value: mdoc.FullDate("2024-10-20")},
			},
		},
	}, got)

	point, err := parsed.MSO.DeviceKey.Bytes()
	require.NoError(t, err)
	require.Equal(t, values["static_device_key_x"], point[1:33])
	require.Equal(t, values["static_device_key_y"], point[33:])
	require.Equal(t, time.Date(2020, 10, 1, 13, 30, 2, 0, time.UTC), parsed.MSO.Validity.Signed)
	require.Nil(t, parsed.MSO.Status)
}

func TestAnnexDVerifies(t *testing.T) {
	_, parsed, _ := annexD(t)

	// The example does not hold its IACA root, so the document signer itself is the trust anchor here.
	anchor := x509.NewCertPool()
	anchor.AddCert(parsed.Chain[0])
	verified, err := parsed.Verify(mdoc.VerifyOptions{Roots: anchor, Now: annexDTime, DocType: docTypeMDL})
	require.NoError(t, err)
	require.Equal(t, parsed.Chain[0], verified.Signer)
	require.Len(t, verified.NameSpaces[0].Elements, 6)

	// Without the anchor the chain, and only the chain, fails: signature, digests and validity hold.
	_, err = parsed.Verify(mdoc.VerifyOptions{Roots: x509.NewCertPool(), Now: annexDTime})
	requireChecks(t, err, mdoc.CheckChain)
}

func TestAnnexDMSOEncodesIdentically(t *testing.T) {
	_, parsed, _ := annexD(t)
	encoded, err := parsed.MSO.MarshalCBOR()
	require.NoError(t, err)
	require.Equal(t, parsed.MSOBytes, encoded)
}

// The example authenticates the device with a MAC. Rebuilding it proves the DeviceAuthentication bytes (clause 9.1.3.5).
func TestAnnexDDeviceAuthentication(t *testing.T) {
	document, parsed, values := annexD(t)
	transcript, err := mdoc.UnwrapEncoded(values["session_transcript_bytes"])
	require.NoError(t, err)
	authentication, err := mdoc.DeviceAuthentication(transcript, document.DocType, document.DeviceNameSpaces)
	require.NoError(t, err)

	reader, err := ecdh.P256().NewPrivateKey(values["ephemeral_reader_key_d"])
	require.NoError(t, err)
	device, err := parsed.MSO.DeviceKey.ECDH()
	require.NoError(t, err)
	shared, err := reader.ECDH(device)
	require.NoError(t, err)
	salt := sha256.Sum256(values["session_transcript_bytes"])
	key, err := hkdf.Key(sha256.New, shared, salt[:], "EMacKey", 32)
	require.NoError(t, err)

	var mac struct {
		_           struct{} `cbor:",toarray"`
		Protected   []byte
		Unprotected map[int]any
		Payload     []byte
		Tag         []byte
	}
	require.NoError(t, cbor.Unmarshal(document.DeviceMAC, &mac))
	structure, err := cbor.Marshal([]any{"MAC0", mac.Protected, []byte{}, authentication})
	require.NoError(t, err)
	sum := hmac.New(sha256.New, key)
	sum.Write(structure)
	require.Equal(t, mac.Tag, sum.Sum(nil))

	_, err = document.Verify(mdoc.VerifyOptions{Roots: x509.NewCertPool(), Now: annexDTime}, transcript)
	requireChecks(t, err, mdoc.CheckChain, mdoc.CheckDevice)
}
