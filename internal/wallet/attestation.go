package wallet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// Attestor signs key attestations for issuers that demand them (OpenID4VCI 1.0, Appendix D). It states what it is told to: it is for trying
// such an issuer out, whose operator has to trust it, and says nothing true of keys in files.
type Attestor struct {
	Key *ecdsa.PrivateKey
	// Chain starts with the certificate of the key; the one that issuers trust is left out.
	Chain []*x509.Certificate
	// KeyStorage and UserAuthentication are the attack potential resistances stated; empty = none.
	KeyStorage         string
	UserAuthentication string
}

// NewAttestor makes an attestor that states nothing yet, and the certificate that an issuer has to trust for it. Both are valid for a year.
func NewAttestor(now time.Time) (Attestor, *x509.Certificate, error) {
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mdocket wallet attestation root"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Attestor{}, nil, fmt.Errorf("make attestor: %w", err)
	}
	root, err := certify(&template, &template, &rootKey.PublicKey, rootKey)
	if err != nil {
		return Attestor{}, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Attestor{}, nil, fmt.Errorf("make attestor: %w", err)
	}
	template.SerialNumber, template.Subject.CommonName = big.NewInt(2), "mdocket wallet attestor"
	template.IsCA, template.KeyUsage = false, x509.KeyUsageDigitalSignature
	leaf, err := certify(&template, root, &key.PublicKey, rootKey)
	if err != nil {
		return Attestor{}, nil, err
	}
	return Attestor{Key: key, Chain: []*x509.Certificate{leaf}}, root, nil
}

func certify(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("make attestor: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make attestor: %w", err)
	}
	return certificate, nil
}

// attestationLifetime is how long an attestation holds; each is made for one request.
const attestationLifetime = 10 * time.Minute

// check refuses an attestor that could sign nothing useful.
func (a Attestor) check() error {
	switch {
	case a.Key == nil || len(a.Chain) == 0:
		return errors.New("attestor: key and certificate are needed")
	case !a.Key.PublicKey.Equal(a.Chain[0].PublicKey):
		return errors.New("attestor: the certificate is of another key")
	case oid4vci.ProofAlgorithm(a.Key.Curve) == "":
		return fmt.Errorf("attestor: curve of the key: %w", ErrUnsupported)
	}
	return nil
}

// meets tells whether what the attestor states is accepted.
func (a Attestor) meets(required oid4vci.KeyAttestationsRequired) bool {
	return (len(required.KeyStorage) == 0 || slices.Contains(required.KeyStorage, a.KeyStorage)) &&
		(len(required.UserAuthentication) == 0 || slices.Contains(required.UserAuthentication, a.UserAuthentication))
}

// checkAttestations tells whether the wallet can do what a configuration demands of key attestations.
func (w *Wallet) checkAttestations(proof oid4vci.ProofType) error {
	switch required := proof.KeyAttestationsRequired; {
	case required == nil:
		return nil
	case w.attestor == nil:
		return fmt.Errorf("choose configuration: %w: key attestations, without an attestor", ErrUnsupported)
	case !slices.Contains(proof.SigningAlgs, oid4vci.ProofAlgorithm(w.attestor.Key.Curve)):
		return fmt.Errorf("choose configuration: %w: the issuer does not take the curve of the attestor's key", ErrUnsupported)
	case !w.attestor.meets(*required):
		return fmt.Errorf("choose configuration: %w: the issuer demands more than the attestor states", ErrUnsupported)
	}
	return nil
}

// attest gives one attestation of all keys, empty when the configuration asks for none or the wallet has no attestor.
func (w *Wallet) attest(c oid4vci.CredentialConfiguration, keys []*ecdsa.PrivateKey, nonce string) (string, error) {
	if c.ProofTypes[oid4vci.ProofTypeJWT].KeyAttestationsRequired == nil || w.attestor == nil {
		return "", nil
	}
	stated := func(value string) []string {
		if value == "" {
			return nil
		}
		return []string{value}
	}
	claims := oid4vci.KeyAttestationClaims{KeyStorage: stated(w.attestor.KeyStorage),
		UserAuthentication: stated(w.attestor.UserAuthentication), IssuedAt: w.now(), ExpiresAt: w.now().Add(attestationLifetime), Nonce: nonce}
	for _, key := range keys {
		claims.Keys = append(claims.Keys, &key.PublicKey)
	}
	return oid4vci.SignKeyAttestation(w.attestor.Key, w.attestor.Chain, claims)
}
