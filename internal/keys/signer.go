package keys

import (
	"crypto"
	"crypto/ecdsa"
	"io"
)

// signer signs with a private key it does not give away: the key is closed over, so neither a type assertion nor printing
// by reflection reaches it.
type signer struct {
	public *ecdsa.PublicKey
	sign   func(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func newSigner(key *ecdsa.PrivateKey) *signer {
	public := key.PublicKey
	return &signer{public: &public, sign: key.Sign}
}

// Public returns the public half, an *ecdsa.PublicKey.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign signs a digest; the signature is the ASN.1 form of ECDSA.
func (s *signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.sign(random, digest, opts)
}
