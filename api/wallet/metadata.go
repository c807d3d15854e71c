package wallet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// metadataCaching lets wallets keep the metadata but ask each time whether it still holds: an offer may name a profile that was made a moment ago.
const metadataCaching = "public, no-cache"

// proofAlgorithms are the JOSE algorithms of key proofs (E2).
func proofAlgorithms() []string { return []string{"ES256", "ES384", "ES512"} }

// metadataCache is the issuer metadata as it was last built, and of which profiles.
type metadataCache struct {
	mu    sync.Mutex
	body  []byte
	stamp string
}

// issuerMetadata answers GET /.well-known/openid-credential-issuer.
func (s *server) issuerMetadata(c *gin.Context) {
	body, err := s.issuerMetadataBody(c.Request.Context())
	if err != nil {
		s.refuse(c, atOther, err)
		return
	}
	serveCached(c, body)
}

func (s *server) issuerMetadataBody(ctx context.Context) ([]byte, error) {
	m := &s.metadata
	m.mu.Lock()
	defer m.mu.Unlock()
	stamp, err := s.Issuer.ConfigurationsStamp(ctx)
	if err != nil {
		return nil, err
	}
	if m.body != nil && m.stamp == stamp {
		return m.body, nil
	}
	configurations, err := s.Issuer.Configurations(ctx)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(s.describe(configurations))
	if err != nil {
		return nil, fmt.Errorf("encode issuer metadata: %w", err)
	}
	m.body, m.stamp = body, stamp
	return body, nil
}

func (s *server) describe(configurations []issuer.Configuration) oid4vci.IssuerMetadata {
	m := oid4vci.IssuerMetadata{
		CredentialIssuer:         s.BaseURL,
		CredentialEndpoint:       s.BaseURL + pathCredential,
		NonceEndpoint:            s.BaseURL + pathNonce,
		CredentialConfigurations: make(map[string]oid4vci.CredentialConfiguration, len(configurations)),
	}
	if s.ServerName != "" {
		m.Display = []oid4vci.Display{{Name: s.ServerName}}
	}
	most := 1
	for _, conf := range configurations {
		most = max(most, conf.MaxCopies)
		m.CredentialConfigurations[conf.Name] = describeConfiguration(conf)
	}
	if most > 1 {
		m.BatchCredentialIssuance = &oid4vci.BatchCredentialIssuance{BatchSize: most}
	}
	return m
}

func describeConfiguration(conf issuer.Configuration) oid4vci.CredentialConfiguration {
	described := &oid4vci.CredentialMetadata{Display: display(conf)}
	for _, claim := range conf.Format.Claims() {
		to := oid4vci.Claim{Path: oid4vci.ElementPath(claim.NameSpace, claim.Element), Mandatory: claim.Mandatory}
		for _, label := range claim.Display {
			to.Display = append(to.Display, oid4vci.Display{Name: label.Name, Locale: label.Locale})
		}
		described.Claims = append(described.Claims, to)
	}
	return oid4vci.CredentialConfiguration{
		Format:                oid4vci.FormatMdoc,
		DocType:               conf.Format.DocType,
		BindingMethods:        []string{oid4vci.BindingCOSEKey},
		CredentialSigningAlgs: []int{oid4vci.COSEES256, oid4vci.COSEESP256},
		ProofTypes: map[string]oid4vci.ProofType{oid4vci.ProofTypeJWT: {SigningAlgs: proofAlgorithms(),
			KeyAttestationsRequired: attestationsRequired(conf.Attestation)}},
		Metadata: described,
	}
}

// attestationsRequired lists what meets the demand; nil when no attestation is asked for.
func attestationsRequired(demand domain.Resistances) *oid4vci.KeyAttestationsRequired {
	if !demand.Demanded() {
		return nil
	}
	accepted := func(least domain.AttackPotential) (out []string) {
		for _, p := range least.Accepted() {
			out = append(out, string(p))
		}
		return out
	}
	return &oid4vci.KeyAttestationsRequired{KeyStorage: accepted(demand.KeyStorage), UserAuthentication: accepted(demand.UserAuthentication)}
}

// display is the format's, under the profile's name. A profile that goes by one of the format's own names goes by the others in their
// languages; any other name has no translation and holds in every language.
func display(conf issuer.Configuration) []oid4vci.Display {
	translated := false
	for _, d := range conf.Format.Display {
		translated = translated || d.Name == conf.DisplayName
	}
	out := make([]oid4vci.Display, 0, len(conf.Format.Display))
	for _, d := range conf.Format.Display {
		shown := oid4vci.Display{Name: conf.DisplayName, Locale: d.Locale, Description: d.Description, BackgroundColor: d.BackgroundColor,
			TextColor: d.TextColor}
		if translated {
			shown.Name = d.Name
		}
		out = append(out, shown)
	}
	return out
}

// authorizationServerMetadata answers GET /.well-known/oauth-authorization-server. There is no authorization endpoint, so there are no
// response types.
func (s *server) authorizationServerMetadata(c *gin.Context) {
	body, err := json.Marshal(oid4vci.AuthorizationServerMetadata{
		Issuer:                             s.BaseURL,
		TokenEndpoint:                      s.BaseURL + pathToken,
		GrantTypesSupported:                []string{oid4vci.GrantPreAuthorizedCode, oid4vci.GrantRefreshToken},
		TokenEndpointAuthMethodsSupported:  []string{"none"},
		AuthorizationDetailsTypesSupported: []string{oid4vci.AuthorizationDetailsType},
		PreAuthorizedGrantAnonymousAccess:  true,
		StatusListAggregationEndpoint:      s.Issuer.StatusListsURI(),
	})
	if err != nil {
		s.refuse(c, atOther, fmt.Errorf("encode authorization server metadata: %w", err))
		return
	}
	serveCached(c, body)
}

// serveCached sends JSON that may be cached, or 304 to a caller that has it.
func serveCached(c *gin.Context, body []byte) {
	sum := sha256.Sum256(body)
	c.Header("Cache-Control", metadataCaching)
	c.Header("Content-Type", oid4vci.ContentTypeJSON)
	c.Header("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, bytes.NewReader(body))
}
