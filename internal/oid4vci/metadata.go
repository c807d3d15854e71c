package oid4vci

import (
	"encoding/json"
	"fmt"
	"slices"
)

// FormatMdoc is the Credential Format Identifier of ISO/IEC 18013-5 documents.
const FormatMdoc = "mso_mdoc"

// BindingCOSEKey is the cryptographic binding method of mdocs: the device key is a COSE_Key in the MSO.
const BindingCOSEKey = "cose_key"

// COSE algorithm numbers for CredentialConfiguration.CredentialSigningAlgs: those in the issuerAuth header, and the fully
// specified ones that name the curve as well.
const (
	COSEES256  = -7  // ECDSA with SHA-256
	COSEES384  = -35 // ECDSA with SHA-384
	COSEES512  = -36 // ECDSA with SHA-512
	COSEESP256 = -9  // ECDSA with SHA-256 on P-256
	COSEESP384 = -51 // ECDSA with SHA-384 on P-384
	COSEESP512 = -52 // ECDSA with SHA-512 on P-521
)

// IssuerMetadata is the Credential Issuer Metadata (Credential Issuer Metadata Parameters). An endpoint that is not
// offered is empty.
type IssuerMetadata struct {
	CredentialIssuer            string                             `json:"credential_issuer"`
	AuthorizationServers        []string                           `json:"authorization_servers,omitempty"`
	CredentialEndpoint          string                             `json:"credential_endpoint"`
	NonceEndpoint               string                             `json:"nonce_endpoint,omitempty"`
	DeferredCredentialEndpoint  string                             `json:"deferred_credential_endpoint,omitempty"`
	NotificationEndpoint        string                             `json:"notification_endpoint,omitempty"`
	CredentialRequestEncryption *RequestEncryptionSupport          `json:"credential_request_encryption,omitempty"`
	ResponseEncryption          *ResponseEncryptionSupport         `json:"credential_response_encryption,omitempty"`
	BatchCredentialIssuance     *BatchCredentialIssuance           `json:"batch_credential_issuance,omitempty"`
	Display                     []Display                          `json:"display,omitempty"`
	CredentialConfigurations    map[string]CredentialConfiguration `json:"credential_configurations_supported"`
}

// RequestEncryptionSupport says how requests may or must be encrypted. JWKS is a JSON Web Key Set.
type RequestEncryptionSupport struct {
	JWKS               json.RawMessage `json:"jwks"`
	EncValuesSupported []string        `json:"enc_values_supported"`
	ZipValuesSupported []string        `json:"zip_values_supported,omitempty"`
	EncryptionRequired bool            `json:"encryption_required"`
}

// ResponseEncryptionSupport says how responses can or have to be encrypted.
type ResponseEncryptionSupport struct {
	AlgValuesSupported []string `json:"alg_values_supported"`
	EncValuesSupported []string `json:"enc_values_supported"`
	ZipValuesSupported []string `json:"zip_values_supported,omitempty"`
	EncryptionRequired bool     `json:"encryption_required"`
}

// BatchCredentialIssuance announces that one request may carry several proofs, at most BatchSize (2 or more).
type BatchCredentialIssuance struct {
	BatchSize int `json:"batch_size"`
}

// Display is how an issuer, a credential or a claim is shown in one language (Locale, a BCP 47 tag).
type Display struct {
	Name            string `json:"name,omitempty"`
	Locale          string `json:"locale,omitempty"`
	Logo            *Image `json:"logo,omitempty"`
	Description     string `json:"description,omitempty"`
	BackgroundColor string `json:"background_color,omitempty"`
	BackgroundImage *Image `json:"background_image,omitempty"`
	TextColor       string `json:"text_color,omitempty"`
}

// Image is where a picture is found (https or data URI).
type Image struct {
	URI     string `json:"uri"`
	AltText string `json:"alt_text,omitempty"`
}

// CredentialConfiguration describes one kind of document, in the credential format profile for mdocs. Of a configuration
// in another format only Format and Scope are read.
type CredentialConfiguration struct {
	Format                string               `json:"format"`
	Scope                 string               `json:"scope,omitempty"`
	DocType               string               `json:"doctype,omitempty"`
	BindingMethods        []string             `json:"cryptographic_binding_methods_supported,omitempty"`
	CredentialSigningAlgs []int                `json:"credential_signing_alg_values_supported,omitempty"`
	ProofTypes            map[string]ProofType `json:"proof_types_supported,omitempty"`
	Metadata              *CredentialMetadata  `json:"credential_metadata,omitempty"`
}

// Names of proof types.
const (
	ProofTypeJWT         = "jwt"
	ProofTypeAttestation = "attestation"
)

// ProofType says which algorithms (JOSE names) a proof of that type may be signed with, and whether it has to come with a
// key attestation.
type ProofType struct {
	SigningAlgs             []string                 `json:"proof_signing_alg_values_supported"`
	KeyAttestationsRequired *KeyAttestationsRequired `json:"key_attestations_required,omitempty"`
}

// KeyAttestationsRequired lists accepted attack potential resistances; both lists empty asks for any key attestation.
type KeyAttestationsRequired struct {
	KeyStorage         []string `json:"key_storage,omitempty"`
	UserAuthentication []string `json:"user_authentication,omitempty"`
}

// CredentialMetadata is how a credential and its claims are shown.
type CredentialMetadata struct {
	Display []Display `json:"display,omitempty"`
	Claims  []Claim   `json:"claims,omitempty"`
}

// Claim describes one data element. The order of claims is the order of display.
type Claim struct {
	Path      ClaimPath `json:"path"`
	Mandatory bool      `json:"mandatory,omitempty"`
	Display   []Display `json:"display,omitempty"`
}

// ClaimPath is a claims path pointer: name space, data element identifier, then strings, integers or nulls that lead
// further into the value (Semantics for ISO mdoc-based credentials).
type ClaimPath []any

// ElementPath is the path to a whole data element.
func ElementPath(nameSpace, elementIdentifier string) ClaimPath {
	return ClaimPath{nameSpace, elementIdentifier}
}

// Element returns the name space and data element identifier the path starts with; ok is false for a path that is not
// one into an mdoc.
func (p ClaimPath) Element() (nameSpace, elementIdentifier string, ok bool) {
	if len(p) < 2 {
		return "", "", false
	}
	nameSpace, first := p[0].(string)
	elementIdentifier, second := p[1].(string)
	return nameSpace, elementIdentifier, first && second
}

// UnmarshalJSON reads a configuration; in a format other than mso_mdoc the members have other types and are left out.
func (c *CredentialConfiguration) UnmarshalJSON(data []byte) error {
	var common struct {
		Format string `json:"format"`
		Scope  string `json:"scope"`
	}
	if err := json.Unmarshal(data, &common); err != nil {
		return err
	}
	*c = CredentialConfiguration{Format: common.Format, Scope: common.Scope}
	if common.Format != FormatMdoc {
		return nil
	}
	type plain CredentialConfiguration
	return json.Unmarshal(data, (*plain)(c))
}

// ParseIssuerMetadata reads issuer metadata of at most MaxMetadata bytes. The credential_issuer in it must be identical to
// credentialIssuer, from which the address it was fetched from was made; otherwise nothing of it may be used. Errors are
// ErrMalformed, ErrUnsafeURL or ErrIssuerMismatch.
func ParseIssuerMetadata(data []byte, credentialIssuer string) (IssuerMetadata, error) {
	m, err := decode[IssuerMetadata](data, MaxMetadata)
	if err != nil {
		return IssuerMetadata{}, fmt.Errorf("parse issuer metadata: %w", err)
	}
	if m.CredentialIssuer != credentialIssuer {
		return IssuerMetadata{}, fmt.Errorf("parse issuer metadata: %w", ErrIssuerMismatch)
	}
	if err := m.Validate(); err != nil {
		return IssuerMetadata{}, fmt.Errorf("parse issuer metadata: %w", err)
	}
	return m, nil
}

// Validate checks the rules of Credential Issuer Metadata Parameters and of the mdoc profile. Errors are ErrMalformed or
// ErrUnsafeURL.
func (m IssuerMetadata) Validate() error {
	if err := CheckIssuerIdentifier(m.CredentialIssuer); err != nil {
		return fmt.Errorf("credential_issuer: %w", err)
	}
	if err := checkNames("authorization_servers", m.AuthorizationServers); err != nil {
		return err
	}
	for _, server := range m.AuthorizationServers {
		if err := CheckIssuerIdentifier(server); err != nil {
			return fmt.Errorf("authorization_servers: %w", err)
		}
	}
	if err := CheckURL(m.CredentialEndpoint); err != nil {
		return fmt.Errorf("credential_endpoint: %w", err)
	}
	optional := []struct{ name, address string }{
		{"nonce_endpoint", m.NonceEndpoint},
		{"deferred_credential_endpoint", m.DeferredCredentialEndpoint},
		{"notification_endpoint", m.NotificationEndpoint},
	}
	for _, e := range optional {
		if e.address == "" {
			continue
		}
		if err := CheckURL(e.address); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	if m.BatchCredentialIssuance != nil && m.BatchCredentialIssuance.BatchSize < 2 {
		return fmt.Errorf("%w: batch_size is less than 2", ErrMalformed)
	}
	if m.CredentialConfigurations == nil {
		return fmt.Errorf("%w: credential_configurations_supported is missing", ErrMalformed)
	}
	for id, c := range m.CredentialConfigurations {
		if id == "" || len(id) > maxName {
			return fmt.Errorf("%w: credential_configurations_supported has a name that is empty or too long", ErrMalformed)
		}
		if err := c.validate(); err != nil {
			return fmt.Errorf("credential configuration: %w", err)
		}
	}
	return nil
}

func (c CredentialConfiguration) validate() error {
	if c.Format == "" {
		return fmt.Errorf("%w: format is missing", ErrMalformed)
	}
	if c.Format != FormatMdoc {
		return nil
	}
	if c.DocType == "" || len(c.DocType) > maxName {
		return fmt.Errorf("%w: doctype", ErrMalformed)
	}
	if (len(c.BindingMethods) > 0) != (len(c.ProofTypes) > 0) {
		return fmt.Errorf("%w: binding methods and proof types come together", ErrMalformed)
	}
	for _, t := range c.ProofTypes {
		if len(t.SigningAlgs) == 0 {
			return fmt.Errorf("%w: proof_signing_alg_values_supported is empty", ErrMalformed)
		}
	}
	if c.Metadata == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, claim := range c.Metadata.Claims {
		if _, _, ok := claim.Path.Element(); !ok {
			return fmt.Errorf("%w: a claim path does not start with name space and element", ErrMalformed)
		}
		key, err := json.Marshal(claim.Path)
		if err != nil {
			return fmt.Errorf("%w: a claim path", ErrMalformed)
		}
		if seen[string(key)] {
			return fmt.Errorf("%w: a claim is described twice", ErrMalformed)
		}
		seen[string(key)] = true
	}
	return nil
}

// AuthorizationServerMetadata is the part of RFC 8414 metadata the protocol uses. ResponseTypesSupported may be left out
// by a server that knows the pre-authorized code grant only.
type AuthorizationServerMetadata struct {
	Issuer                             string   `json:"issuer"`
	TokenEndpoint                      string   `json:"token_endpoint"`
	AuthorizationEndpoint              string   `json:"authorization_endpoint,omitempty"`
	PushedAuthorizationRequestEndpoint string   `json:"pushed_authorization_request_endpoint,omitempty"`
	JWKSURI                            string   `json:"jwks_uri,omitempty"`
	ResponseTypesSupported             []string `json:"response_types_supported,omitempty"`
	GrantTypesSupported                []string `json:"grant_types_supported,omitempty"`
	ScopesSupported                    []string `json:"scopes_supported,omitempty"`
	TokenEndpointAuthMethodsSupported  []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	CodeChallengeMethodsSupported      []string `json:"code_challenge_methods_supported,omitempty"`
	DPoPSigningAlgValuesSupported      []string `json:"dpop_signing_alg_values_supported,omitempty"`
	AuthorizationDetailsTypesSupported []string `json:"authorization_details_types_supported,omitempty"`
	RequirePushedAuthorizationRequests bool     `json:"require_pushed_authorization_requests,omitempty"`
	IssParameterSupported              bool     `json:"authorization_response_iss_parameter_supported,omitempty"`
	PreAuthorizedGrantAnonymousAccess  bool     `json:"pre-authorized_grant_anonymous_access_supported"`
	StatusListAggregationEndpoint      string   `json:"status_list_aggregation_endpoint,omitempty"` // Token Status List, 9.1
}

// ParseAuthorizationServerMetadata reads authorization server metadata of at most MaxMetadata bytes. The issuer in it must
// be identical to issuer (RFC 8414, 3.3). Errors are ErrMalformed, ErrUnsafeURL or ErrIssuerMismatch.
func ParseAuthorizationServerMetadata(data []byte, issuer string) (AuthorizationServerMetadata, error) {
	m, err := decode[AuthorizationServerMetadata](data, MaxMetadata)
	if err != nil {
		return AuthorizationServerMetadata{}, fmt.Errorf("parse authorization server metadata: %w", err)
	}
	if m.Issuer != issuer {
		return AuthorizationServerMetadata{}, fmt.Errorf("parse authorization server metadata: %w", ErrIssuerMismatch)
	}
	if err := CheckIssuerIdentifier(m.Issuer); err != nil {
		return AuthorizationServerMetadata{}, fmt.Errorf("parse authorization server metadata: issuer: %w", err)
	}
	if err := CheckURL(m.TokenEndpoint); err != nil {
		return AuthorizationServerMetadata{}, fmt.Errorf("parse authorization server metadata: token_endpoint: %w", err)
	}
	return m, nil
}

// SupportsGrant tells whether the server lists the grant type. A server that lists none has the defaults of RFC 8414,
// authorization_code and implicit.
func (m AuthorizationServerMetadata) SupportsGrant(grantType string) bool {
	if m.GrantTypesSupported == nil {
		return grantType == GrantAuthorizationCode
	}
	return slices.Contains(m.GrantTypesSupported, grantType)
}
