package issuertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"path"
	"testing"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// Issue requests a document of a profile without approval for the person and collects it with one fresh key, as a wallet would.
func (f *Fixture) Issue(t testing.TB, personID, profileID string) domain.Document {
	t.Helper()
	ctx := t.Context()
	r, err := f.Issuer.CreateRequest(ctx, f.admin, "", issuer.NewRequest{PersonID: personID, ProfileID: profileID})
	check(t, "create request", err)
	screen, err := f.Issuer.ViewCode(ctx, f.admin, r.ID)
	check(t, "view code", err)
	offer, err := f.Issuer.Offer(ctx, path.Base(screen.Link))
	check(t, "read offer", err)
	token, err := f.Issuer.Redeem(ctx, offer.PreAuthorizedCode, screen.Code, "192.0.2.1")
	check(t, "redeem code", err)
	_, err = f.Issuer.Collect(ctx, issuer.Collect{AccessToken: token.AccessToken, ConfigurationID: token.ConfigurationID,
		Keys: []issuer.WalletKey{f.WalletKey(t)}, Platform: domain.PlatformAndroid})
	check(t, "collect", err)
	r, err = f.Store.Request(ctx, r.ID)
	check(t, "load request", err)
	d, err := f.Store.Document(ctx, r.DocumentID)
	check(t, "load document", err)
	return d
}

// WalletKey is a fresh key with a fresh nonce, as after a valid proof.
func (f *Fixture) WalletKey(t testing.TB) issuer.WalletKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, "make key", err)
	thumbprint, err := oid4vci.Thumbprint(&key.PublicKey)
	check(t, "make thumbprint", err)
	nonce, err := f.Issuer.NewNonce()
	check(t, "make nonce", err)
	return issuer.WalletKey{Key: &key.PublicKey, Thumbprint: thumbprint, Nonce: nonce}
}
