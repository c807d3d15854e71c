package oid4vci_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// vector reads one of the specification's examples, found through MDOCKET_VECTORS or beside the working tree.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	root := os.Getenv("MDOCKET_VECTORS")
	if root == "" {
		root = "../../../shared/vectors"
	}
	folder := filepath.Join(root, "openid4vci-1.0")
	if _, err := os.Stat(folder); os.IsNotExist(err) {
		t.Skip("the folder of test vectors is not here; set MDOCKET_VECTORS")
	}
	data, err := os.ReadFile(filepath.Join(folder, name))
	require.NoError(t, err)
	return data
}

// body cuts the HTTP header off an example.
func body(data []byte) []byte {
	_, after, found := bytes.Cut(data, []byte("\n\n"))
	if !found {
		return data
	}
	return after
}

func TestVectorOffers(t *testing.T) {
	authorization, err := oid4vci.ParseCredentialOffer(body(vector(t, "credential_offer_authz_code.txt")))
	require.NoError(t, err)
	require.Nil(t, authorization.Grants.PreAuthorizedCode)
	require.Equal(t, "eyJhbGciOiJSU0Et...FYUaBy", authorization.Grants.AuthorizationCode.IssuerState)

	reference, err := oid4vci.ParseCredentialOffer(vector(t, "credential_offer_by_reference.json"))
	require.NoError(t, err)
	require.Equal(t, "https://credential-issuer.example.com", reference.CredentialIssuer)
	require.NotNil(t, reference.Grants.PreAuthorizedCode.TxCode, "an empty tx_code asks for a code")

	described, err := oid4vci.ParseCredentialOffer(vector(t, "credential_offer_pre-authz_code.json"))
	require.NoError(t, err)
	require.Equal(t, []string{"UniversityDegreeCredential"}, described.CredentialConfigurationIDs)
	require.Equal(t, "adhjhdjajkdkhjhdj", described.Grants.PreAuthorizedCode.PreAuthorizedCode)
	require.Contains(t, described.Grants.PreAuthorizedCode.TxCode.Description, "via SMS")
}

func TestVectorMetadata(t *testing.T) {
	var part struct {
		Configurations map[string]oid4vci.CredentialConfiguration `json:"credential_configurations_supported"`
	}
	require.NoError(t, json.Unmarshal(vector(t, "credential_metadata_mso_mdoc.json"), &part))
	// The example leaves out the proof types that the standard asks for beside binding methods.
	mdl := part.Configurations["org.iso.18013.5.1.mDL"]
	mdl.ProofTypes = map[string]oid4vci.ProofType{oid4vci.ProofTypeJWT: {SigningAlgs: []string{"ES256"}}}
	metadata := oid4vci.IssuerMetadata{
		CredentialIssuer:         "https://credential-issuer.example.com",
		CredentialEndpoint:       "https://credential-issuer.example.com/credential",
		CredentialConfigurations: map[string]oid4vci.CredentialConfiguration{"org.iso.18013.5.1.mDL": mdl},
	}
	require.NoError(t, metadata.Validate())
	require.Equal(t, oid4vci.FormatMdoc, mdl.Format)
	require.Equal(t, []string{oid4vci.BindingCOSEKey}, mdl.BindingMethods)
	require.Equal(t, []int{oid4vci.COSEES256, oid4vci.COSEESP256}, mdl.CredentialSigningAlgs)
	require.Len(t, mdl.Metadata.Display, 2)
	require.Equal(t, "state mobile driving license", mdl.Metadata.Display[0].Logo.AltText)
	nameSpace, element, ok := mdl.Metadata.Claims[2].Path.Element()
	require.True(t, ok)
	require.Equal(t, "org.iso.18013.5.1", nameSpace)
	require.Equal(t, "birth_date", element)
	require.True(t, mdl.Metadata.Claims[2].Mandatory)
}

func TestVectorCredentialRequestOfADraftIsRefused(t *testing.T) {
	_, refused := oid4vci.ParseCredentialRequest(vector(t, "credential_request_iso_mdl.json"), 1)
	require.NotNil(t, refused)
	require.Equal(t, oid4vci.InvalidCredentialRequest, refused.Code, "format and doctype no longer name what is asked for")
}

func TestVectorCredentialResponse(t *testing.T) {
	response, err := oid4vci.ParseCredentialResponse(body(vector(t, "credential_response_mso_mdoc.txt")))
	require.NoError(t, err)
	require.Len(t, response.Credentials, 1)
	_, err = response.Credentials[0].Mdoc()
	require.ErrorIs(t, err, oid4vci.ErrMalformed, "the example is abridged with dots")
}

func TestVectorThumbprint(t *testing.T) {
	// The example has a line break inside a string.
	text := strings.ReplaceAll(string(vector(t, "issuer_jwks.json")), "\n        c2dt", "c2dt")
	var set struct {
		JWKS struct {
			Keys []struct{ Kid, X, Y string } `json:"keys"`
		} `json:"jwks"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &set))
	jwk := set.JWKS.Keys[0]
	x, err := base64.RawURLEncoding.DecodeString(jwk.X)
	require.NoError(t, err)
	y, err := base64.RawURLEncoding.DecodeString(jwk.Y)
	require.NoError(t, err)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	require.NoError(t, err)
	thumbprint, err := oid4vci.Thumbprint(key)
	require.NoError(t, err)
	require.Equal(t, "urn:ietf:params:oauth:jwk-thumbprint:sha-256:"+thumbprint, jwk.Kid)
}

func TestVectorWalletAttestationIsNoKeyProof(t *testing.T) {
	jwt := strings.ReplaceAll(string(vector(t, "wallet_attestation.jwt.txt")), "\n", "")
	_, err := newVerifier().VerifyJWTProofs(t.Context(), []string{jwt})
	requireRefused(t, err, oid4vci.InvalidProof, "typ")
}
