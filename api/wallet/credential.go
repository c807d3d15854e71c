package wallet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// A proof is fresh by its nonce; its time only has to be plausible for a phone's clock.
const (
	proofMaxAge = 10 * time.Minute
	proofLeeway = 2 * time.Minute
)

// credential answers POST /oid4vci/credential (Credential Request). All proofs are good and all documents are issued, or none is.
func (s *server) credential(c *gin.Context) {
	ctx := c.Request.Context()
	token, ok := s.bearerToken(c)
	if !ok {
		return
	}
	access, err := s.Issuer.CheckAccess(ctx, token)
	if err != nil {
		s.refuse(c, atCredential, err)
		return
	}
	request, err := readCredentialRequest(c, access)
	if err != nil {
		s.refuse(c, atCredential, err)
		return
	}
	walletKeys, err := s.verifyProofs(ctx, request.Proofs, access)
	if err != nil {
		s.refuse(c, atCredential, err)
		return
	}
	documents, err := s.Issuer.Collect(ctx, issuer.Collect{AccessToken: token, ConfigurationID: access.ConfigurationID, Keys: walletKeys,
		Platform: PlatformOf(c.Request.UserAgent())})
	if err != nil {
		s.refuse(c, atCredential, err)
		return
	}
	var response oid4vci.CredentialResponse
	for _, d := range documents {
		response.Credentials = append(response.Credentials, oid4vci.NewIssuedMdoc(d))
	}
	s.send(c, http.StatusOK, response)
}

// bearerToken takes the access token from the Authorization header, the only place it is looked for. Without one the answer says nothing
// but the scheme (RFC 6750, 3.1); ok is false when an answer was sent.
func (s *server) bearerToken(c *gin.Context) (token string, ok bool) {
	headers := c.Request.Header.Values("Authorization")
	if len(headers) > 1 {
		s.refuse(c, atCredential, oid4vci.NewError(oid4vci.InvalidRequest, "more than one Authorization header"))
		return "", false
	}
	if len(headers) == 1 {
		scheme, credentials, found := strings.Cut(headers[0], " ")
		if found && strings.EqualFold(scheme, oid4vci.TokenTypeBearer) {
			return strings.Trim(credentials, " "), true
		}
	}
	c.Header("WWW-Authenticate", oid4vci.TokenTypeBearer)
	c.Status(http.StatusUnauthorized)
	return "", false
}

func readCredentialRequest(c *gin.Context, access issuer.Access) (oid4vci.CredentialRequest, error) {
	var none oid4vci.CredentialRequest
	if !isContentType(c, oid4vci.ContentTypeJSON) {
		return none, &statusError{http.StatusUnsupportedMediaType,
			oid4vci.NewError(oid4vci.InvalidCredentialRequest, "the content type is not "+oid4vci.ContentTypeJSON)}
	}
	body, err := readBody(c, oid4vci.MaxCredentialRequest)
	if errors.Is(err, errTooLarge) {
		return none, &statusError{http.StatusRequestEntityTooLarge,
			oid4vci.NewError(oid4vci.InvalidCredentialRequest, "the request is too large")}
	}
	if err != nil {
		return none, oid4vci.NewError(oid4vci.InvalidCredentialRequest, "the request broke off")
	}
	request, refused := oid4vci.ParseCredentialRequest(body, access.MaxCopies)
	switch {
	case refused != nil:
		return none, refused
	case request.CredentialIdentifier != "" && request.CredentialIdentifier != access.ConfigurationID:
		return none, oid4vci.NewError(oid4vci.UnknownCredentialIdentifier, "the access token is for another document")
	case request.CredentialConfigurationID != "" && request.CredentialConfigurationID != access.ConfigurationID:
		return none, oid4vci.NewError(oid4vci.UnknownCredentialConfiguration, "the access token is for another document")
	case request.ResponseEncryption != nil:
		return none, oid4vci.NewError(oid4vci.InvalidEncryptionParameters, "encrypted responses are not supported")
	case len(request.Proofs.Attestation) > 0:
		return none, oid4vci.NewError(oid4vci.InvalidProof, "proofs of type attestation are not supported, send proofs of type jwt")
	}
	return request, nil
}

// verifyProofs gives the keys whose possession is proved, in order, and after them, as far as the profile has copies for, those that come
// attested with them (jwt Proof Type: a credential for each attested key). That a nonce is ours and in time is checked here; that it served
// nobody else, and what the keys must be attested, is checked in issuer.Collect.
func (s *server) verifyProofs(ctx context.Context, proofs oid4vci.Proofs, access issuer.Access) ([]issuer.WalletKey, error) {
	verified, err := oid4vci.ProofVerifier{
		Audience: s.BaseURL, Algorithms: proofAlgorithms(), Now: s.Now, MaxAge: proofMaxAge, Leeway: proofLeeway,
		CheckNonce: func(_ context.Context, nonce string) error {
			if !s.Issuer.CheckNonce(nonce) {
				return oid4vci.ErrNonceRefused
			}
			return nil
		},
		AttestationRoots: access.AttestationRoots,
	}.VerifyJWTProofs(ctx, proofs.JWT)
	if err != nil {
		return nil, err
	}
	walletKeys := make([]issuer.WalletKey, len(verified))
	for i, p := range verified {
		walletKeys[i] = issuer.WalletKey{Key: p.Key, Thumbprint: p.Thumbprint, Nonce: p.Nonce, Attestation: stated(p.Attestation)}
	}
	for _, p := range verified {
		if p.Attestation != nil {
			walletKeys = addAttested(walletKeys, p, access.MaxCopies)
		}
	}
	return walletKeys, nil
}

// stated gives what the rules look at of an attestation, nil of none.
func stated(a *oid4vci.KeyAttestation) *domain.Attestation {
	if a == nil {
		return nil
	}
	root := sha256.Sum256(a.Root.Raw)
	return &domain.Attestation{Resistances: domain.StatedResistances(a.KeyStorage, a.UserAuthentication), Root: hex.EncodeToString(root[:])}
}

// addAttested adds the further keys of a proof's attestation, up to so many in all.
func addAttested(keys []issuer.WalletKey, p oid4vci.VerifiedProof, most int) []issuer.WalletKey {
	for _, k := range p.Attestation.Keys {
		there := slices.ContainsFunc(keys, func(other issuer.WalletKey) bool { return other.Thumbprint == k.Thumbprint })
		if !there && len(keys) < most {
			keys = append(keys, issuer.WalletKey{Key: k.Key, Thumbprint: k.Thumbprint, Nonce: p.Nonce, Attestation: stated(p.Attestation)})
		}
	}
	return keys
}

// PlatformOf guesses a platform from the User-Agent of a wallet or a browser. It is for lists and reports; nothing may depend on it.
func PlatformOf(userAgent string) domain.Platform {
	ua := strings.ToLower(userAgent)
	for _, mark := range []string{"android", "okhttp"} {
		if strings.Contains(ua, mark) {
			return domain.PlatformAndroid
		}
	}
	// CFNetwork is what apps send that leave the header to the system.
	for _, mark := range []string{"iphone", "ipad", "ipod", "ios/", "cfnetwork"} {
		if strings.Contains(ua, mark) {
			return domain.PlatformIOS
		}
	}
	return domain.PlatformOther
}
