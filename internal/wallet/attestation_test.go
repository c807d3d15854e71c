package wallet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/wallet"
)

// attesting is an issuer that demands key attestations, and the attestor that it trusts.
func attesting(t testing.TB, required oid4vci.KeyAttestationsRequired) (*testIssuer, wallet.Attestor) {
	t.Helper()
	attestor, root, err := wallet.NewAttestor(now)
	require.NoError(t, err)
	issuer := newTestIssuer(t)
	issuer.Attestors = x509.NewCertPool()
	issuer.Attestors.AddCert(root)
	c := issuer.Metadata.CredentialConfigurations["mdl"]
	c.ProofTypes = map[string]oid4vci.ProofType{"jwt": {SigningAlgs: []string{"ES256"}, KeyAttestationsRequired: &required}}
	issuer.Metadata.CredentialConfigurations["mdl"] = c
	return issuer, attestor
}

func TestAttestedKeys(t *testing.T) {
	issuer, attestor := attesting(t, oid4vci.KeyAttestationsRequired{KeyStorage: []string{"iso_18045_moderate", "iso_18045_high"}})
	issuer.refreshes(yes())
	attestor.KeyStorage = "iso_18045_high"
	w := newTestWallet(t, t.TempDir(), func(o *wallet.Options) { o.Attestor = &attestor })
	issuer.lose("/dmv/credential", 1)
	got, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{Keys: 3})
	require.NoError(t, err)
	require.Len(t, got.Document.Copies, 3)
	require.Equal(t, 1, issuer.seen().Issued, "the lost answer was for the same keys")
	refreshed, err := w.Refresh(t.Context(), got.Document.ID)
	require.NoError(t, err)
	require.True(t, refreshed.Updated)
	require.Equal(t, 2, issuer.seen().Issued)
}

func TestAttestationsThatTheWalletCannotMake(t *testing.T) {
	for name, c := range map[string]struct {
		required oid4vci.KeyAttestationsRequired
		states   func(*wallet.Attestor)
	}{
		"no key_storage": {oid4vci.KeyAttestationsRequired{KeyStorage: []string{"iso_18045_high"}}, func(*wallet.Attestor) {}},
		"another key_storage": {oid4vci.KeyAttestationsRequired{KeyStorage: []string{"iso_18045_high"}},
			func(a *wallet.Attestor) { a.KeyStorage = "iso_18045_moderate" }},
		"no user_authentication": {oid4vci.KeyAttestationsRequired{UserAuthentication: []string{"iso_18045_high"}},
			func(a *wallet.Attestor) { a.KeyStorage = "iso_18045_high" }},
	} {
		t.Run(name, func(t *testing.T) {
			issuer, attestor := attesting(t, c.required)
			c.states(&attestor)
			w := newTestWallet(t, t.TempDir(), func(o *wallet.Options) { o.Attestor = &attestor })
			_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
			require.ErrorIs(t, err, wallet.ErrUnsupported)
			require.Zero(t, issuer.count("/dmv/token"), "the code is not used up")
			w.requireEmpty(t)
		})
	}
	t.Run("algorithm", func(t *testing.T) {
		issuer, attestor := attesting(t, oid4vci.KeyAttestationsRequired{})
		c := issuer.Metadata.CredentialConfigurations["mdl"]
		c.ProofTypes["jwt"] = oid4vci.ProofType{SigningAlgs: []string{"ES384"}, KeyAttestationsRequired: &oid4vci.KeyAttestationsRequired{}}
		w := newTestWallet(t, t.TempDir(), func(o *wallet.Options) { o.KeyCurve, o.Attestor = elliptic.P384(), &attestor })
		_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
		require.ErrorIs(t, err, wallet.ErrUnsupported)
	})
}

func TestAttestorsAreChecked(t *testing.T) {
	good, _, err := wallet.NewAttestor(now)
	require.NoError(t, err)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	store, err := wallet.Open(t.TempDir())
	require.NoError(t, err)
	for name, change := range map[string]func(*wallet.Attestor){
		"no key":         func(a *wallet.Attestor) { a.Key = nil },
		"no certificate": func(a *wallet.Attestor) { a.Chain = nil },
		"of another key": func(a *wallet.Attestor) { a.Key = other },
	} {
		bad := good
		change(&bad)
		_, err := wallet.New(wallet.Options{Store: store, Attestor: &bad})
		require.ErrorContains(t, err, "attestor", name)
	}
	_, err = wallet.New(wallet.Options{Store: store, Attestor: &good})
	require.NoError(t, err)
}

// An attestor that nobody asks is not heard.
func TestNoAttestationWithoutDemand(t *testing.T) {
	attestor, _, err := wallet.NewAttestor(now)
	require.NoError(t, err)
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), func(o *wallet.Options) { o.Attestor = &attestor })
	_, err = w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	require.NoError(t, err)
	header := decodeHeader(t, issuer.seen().Requests[0].Proofs.JWT[0])
	require.NotContains(t, header, "key_attestation")
}

func decodeHeader(t testing.TB, jwt string) string {
	t.Helper()
	encoded, _, _ := strings.Cut(jwt, ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	require.NoError(t, err)
	return string(header)
}
