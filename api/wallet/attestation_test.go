package wallet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/store"
	reference "github.com/mdocket/mdocket/internal/wallet"
)

// attested is an authority that trusts an attestor and demands its attestations.
type attested struct {
	*authority
	attestor reference.Attestor
	root     *x509.Certificate
}

func newAttested(t testing.TB, demand domain.Resistances, options ...func(*domain.ProfileOptions)) attested {
	t.Helper()
	attestor, root, err := reference.NewAttestor(time.Now())
	require.NoError(t, err)
	attestor.KeyStorage, attestor.UserAuthentication = "iso_18045_moderate", "iso_18045_moderate"
	o := issuertest.Options{Attestors: issuer.Attestors{Certificates: []*x509.Certificate{root},
		Most: domain.Resistances{KeyStorage: domain.PotentialHigh, UserAuthentication: domain.PotentialHigh}}}
	options = append(options, func(o *domain.ProfileOptions) { o.KeyAttestation = demand })
	return attested{newAuthorityWith(t, "", o, options...), attestor, root}
}

// moderate demands it of both.
func moderate() domain.Resistances {
	return domain.Resistances{KeyStorage: domain.PotentialModerate, UserAuthentication: domain.PotentialModerate}
}

// attestation makes one of the keys.
func (a attested) attestation(t testing.TB, nonce string, change func(*oid4vci.KeyAttestationClaims), keys ...*ecdsa.PrivateKey) string {
	t.Helper()
	claims := oid4vci.KeyAttestationClaims{KeyStorage: []string{"iso_18045_high"}, UserAuthentication: []string{"iso_18045_moderate"},
		IssuedAt: a.Clock.Now(), ExpiresAt: a.Clock.Now().Add(time.Hour), Nonce: nonce}
	for _, key := range keys {
		claims.Keys = append(claims.Keys, &key.PublicKey)
	}
	if change != nil {
		change(&claims)
	}
	signed, err := oid4vci.SignKeyAttestation(a.attestor.Key, a.attestor.Chain, claims)
	require.NoError(t, err)
	return signed
}

// with gives the session's proofs with an attestation each.
func (s session) with(t testing.TB, nonce, attestation string) []string {
	t.Helper()
	proofs, err := s.client().AttestedProofs(s.issuer, s.keys, nonce, attestation)
	require.NoError(t, err)
	return proofs
}

func (a *authority) required(t testing.TB) *oid4vci.KeyAttestationsRequired {
	t.Helper()
	body := a.do(http.MethodGet, "/.well-known/openid-credential-issuer", nil, nil).body
	m, err := oid4vci.ParseIssuerMetadata([]byte(body), a.Config.BaseURL)
	require.NoError(t, err)
	return m.CredentialConfigurations[configuration].ProofTypes["jwt"].KeyAttestationsRequired
}

func (a *authority) demandBiometrics(t testing.TB, p domain.AttackPotential) {
	t.Helper()
	s, err := a.Issuer.Settings(t.Context(), a.Admin())
	require.NoError(t, err)
	s.BiometricVerification = p
	_, err = a.Issuer.ChangeSettings(t.Context(), a.Admin(), s)
	require.NoError(t, err)
}

// The metadata say what is accepted, and follow profile and setting at once.
func TestMetadataSayWhichAttestationsAreRequired(t *testing.T) {
	a := newAttested(t, domain.Resistances{})
	require.Nil(t, a.required(t))
	a.demandBiometrics(t, domain.PotentialModerate)
	require.Equal(t, &oid4vci.KeyAttestationsRequired{UserAuthentication: []string{"iso_18045_moderate", "iso_18045_high"}}, a.required(t))
	a.newVersion(t, func(o *domain.ProfileOptions) {
		o.KeyAttestation = domain.Resistances{KeyStorage: domain.PotentialBasic, UserAuthentication: domain.PotentialEnhancedBasic}
	})
	require.Equal(t, &oid4vci.KeyAttestationsRequired{
		KeyStorage:         []string{"iso_18045_basic", "iso_18045_enhanced-basic", "iso_18045_moderate", "iso_18045_high"},
		UserAuthentication: []string{"iso_18045_moderate", "iso_18045_high"}}, a.required(t), "the setting demands more")
	a.demandBiometrics(t, "")
	require.Equal(t, []string{"iso_18045_enhanced-basic", "iso_18045_moderate", "iso_18045_high"}, a.required(t).UserAuthentication)
}

// The reference wallet attests its keys when it collects and when it refreshes.
func TestReferenceWalletAttestsItsKeys(t *testing.T) {
	a := newAttested(t, moderate())
	open := func(attestor *reference.Attestor) *reference.Wallet {
		st, err := reference.Open(t.TempDir())
		require.NoError(t, err)
		w, err := reference.New(reference.Options{Store: st, HTTPClient: a.web.Client(), Now: a.Clock.Now, Attestor: attestor})
		require.NoError(t, err)
		return w
	}
	col := a.newCollection()
	link := a.Config.BaseURL + "/oid4vci/offers/" + col.linkToken
	_, err := open(nil).Collect(t.Context(), link, col.code, reference.CollectOptions{})
	require.ErrorIs(t, err, reference.ErrUnsupported)
	weak := a.attestor
	weak.UserAuthentication = "iso_18045_basic"
	_, err = open(&weak).Collect(t.Context(), link, col.code, reference.CollectOptions{})
	require.ErrorIs(t, err, reference.ErrUnsupported, "nothing is used up for what would be refused")
	w := open(&a.attestor)
	got, err := w.Collect(t.Context(), link, col.code, reference.CollectOptions{Keys: 2})
	require.NoError(t, err)
	require.Len(t, got.Document.Copies, 2)

	a.askUpdate(t, col.request.ID)
	refreshed, err := w.Refresh(t.Context(), got.Document.ID)
	require.NoError(t, err)
	require.True(t, refreshed.Updated)

	entries, err := a.Issuer.Audit(t.Context(), a.Admin(), issuer.AuditFilter{Action: "request.issue"}, 0, 0)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	sum := sha256.Sum256(a.root.Raw)
	for _, e := range entries {
		var noted []domain.Attestation
		require.NoError(t, json.Unmarshal([]byte(e.Changes["key_attestation"].After), &noted))
		require.Equal(t, []domain.Attestation{{Resistances: moderate(), Root: hex.EncodeToString(sum[:])}}, noted)
	}
}

// Bad attestations change nothing, when a document is collected and when an update is.
func TestBadAttestationsChangeNothing(t *testing.T) {
	a := newAttested(t, moderate())
	s := a.redeemed(a.newCollection(), elliptic.P256(), elliptic.P384())
	a.refuseBadAttestations(t, s)
	nonce := s.nonce()
	_, err := s.ask(s.with(t, nonce, a.attestation(t, nonce, nil, s.keys...)))
	require.NoError(t, err, "nothing of the above used anything up")

	updated := a.refreshed(t)
	a.refuseBadAttestations(t, updated)
	nonce = updated.nonce()
	_, err = updated.ask(updated.with(t, nonce, a.attestation(t, nonce, nil, updated.keys...)))
	require.NoError(t, err)
}

// refreshed gives a wallet with an access token for an update.
func (a attested) refreshed(t testing.TB) session {
	t.Helper()
	col := a.newCollection()
	offer, err := a.client().FetchOffer(t.Context(), a.Config.BaseURL+"/oid4vci/offers/"+col.linkToken)
	require.NoError(t, err)
	metadata, err := a.client().Metadata(t.Context(), offer)
	require.NoError(t, err)
	token, err := a.client().Token(t.Context(), metadata, offer, col.code)
	require.NoError(t, err)
	first := session{authority: a.authority, issuer: metadata, token: token.AccessToken, keys: []*ecdsa.PrivateKey{newKey(t, elliptic.P256())}}
	nonce := first.nonce()
	_, err = first.ask(first.with(t, nonce, a.attestation(t, nonce, nil, first.keys...)))
	require.NoError(t, err)
	a.askUpdate(t, col.request.ID)
	token, err = a.client().Refresh(t.Context(), metadata, token.RefreshToken)
	require.NoError(t, err)
	require.True(t, *token.UpdateAvailable)
	return session{authority: a.authority, issuer: metadata, token: token.AccessToken,
		keys: []*ecdsa.PrivateKey{newKey(t, elliptic.P256()), newKey(t, elliptic.P256())}}
}

func (a attested) refuseBadAttestations(t *testing.T, s session) {
	t.Helper()
	stranger, _, err := reference.NewAttestor(time.Now())
	require.NoError(t, err)
	foreign, old := a, s.nonce()
	foreign.attestor.Key, foreign.attestor.Chain = stranger.Key, stranger.Chain
	stolen := a
	stolen.attestor.Key = newKey(t, elliptic.P256())
	a.Clock.Advance(6 * time.Minute) // so that old is
	all := func(from attested, change func(*oid4vci.KeyAttestationClaims)) func(string) []string {
		return func(nonce string) []string { return s.with(t, nonce, from.attestation(t, nonce, change, s.keys...)) }
	}
	for name, tc := range map[string]struct {
		proofs func(nonce string) []string
		code   oid4vci.ErrorCode
	}{
		"none":                {s.proofs, oid4vci.InvalidProof},
		"no JWT":              {func(nonce string) []string { return s.with(t, nonce, "a.b.c") }, oid4vci.InvalidProof},
		"a proof instead":     {func(nonce string) []string { return s.with(t, nonce, s.proofs(nonce)[0]) }, oid4vci.InvalidProof},
		"of another attestor": {all(foreign, nil), oid4vci.InvalidProof},
		"signed by another":   {all(stolen, nil), oid4vci.InvalidProof},
		"for one key of two": {func(nonce string) []string { return s.with(t, nonce, a.attestation(t, nonce, nil, s.keys[0])) },
			oid4vci.InvalidProof},
		"with one proof of two": {func(nonce string) []string {
			return []string{s.with(t, nonce, a.attestation(t, nonce, nil, s.keys...))[0], s.proofs(nonce)[1]}
		}, oid4vci.InvalidProof},
		"for other keys": {func(nonce string) []string {
			return s.with(t, nonce, a.attestation(t, nonce, nil, newKey(t, elliptic.P256()), newKey(t, elliptic.P256())))
		}, oid4vci.InvalidProof},
		"expired": {all(a, func(c *oid4vci.KeyAttestationClaims) { c.ExpiresAt = c.IssuedAt.Add(-time.Hour) }), oid4vci.InvalidProof},
		"from the future": {all(a, func(c *oid4vci.KeyAttestationClaims) { c.IssuedAt = c.IssuedAt.Add(time.Hour) }),
			oid4vci.InvalidProof},
		"with an old nonce":     {all(a, func(c *oid4vci.KeyAttestationClaims) { c.Nonce = old }), oid4vci.InvalidNonce},
		"with a foreign nonce":  {all(a, func(c *oid4vci.KeyAttestationClaims) { c.Nonce = "foreign" }), oid4vci.InvalidNonce},
		"without a key_storage": {all(a, func(c *oid4vci.KeyAttestationClaims) { c.KeyStorage = nil }), oid4vci.InvalidProof},
		"with a weak key_storage": {all(a, func(c *oid4vci.KeyAttestationClaims) { c.KeyStorage = []string{"iso_18045_enhanced-basic"} }),
			oid4vci.InvalidProof},
		"with a key_storage nobody knows": {all(a, func(c *oid4vci.KeyAttestationClaims) { c.KeyStorage = []string{"https://vendor.example"} }),
			oid4vci.InvalidProof},
		"without user_authentication": {all(a, func(c *oid4vci.KeyAttestationClaims) { c.UserAuthentication = nil }), oid4vci.InvalidProof},
		"with a weak way around user_authentication": {all(a, func(c *oid4vci.KeyAttestationClaims) {
			c.UserAuthentication = []string{"iso_18045_high", "iso_18045_basic"}
		}), oid4vci.InvalidProof},
		"for too many keys": {all(a, func(c *oid4vci.KeyAttestationClaims) {
			for range 101 {
				c.Keys = append(c.Keys, &newKey(t, elliptic.P256()).PublicKey)
			}
		}), oid4vci.InvalidProof},
	} {
		t.Run(name, func(t *testing.T) {
			proofs := tc.proofs(s.nonce())
			a.changesNothing(t, func() {
				_, err := s.ask(proofs)
				refusedWith(t, err, http.StatusBadRequest, tc.code)
				var refused *reference.ProtocolError
				require.ErrorAs(t, err, &refused)
				require.NotEmpty(t, refused.Description)
			})
		})
	}
}

// A wallet that proves one of its attested keys gets a document for each, as far as the profile has copies.
func TestFurtherAttestedKeysGetDocuments(t *testing.T) {
	for name, c := range map[string]struct{ most, want int }{"all": {5, 4}, "as many as there are copies": {3, 3}, "one": {1, 1}} {
		t.Run(name, func(t *testing.T) {
			a := newAttested(t, moderate(), func(o *domain.ProfileOptions) { o.MaxCopies = c.most })
			s := a.redeemed(a.newCollection(), elliptic.P256(), elliptic.P384(), elliptic.P256(), elliptic.P256())
			nonce := s.nonce()
			attestation := a.attestation(t, nonce, nil, s.keys...)
			proves := s
			proves.keys = s.keys[1:2]
			first, err := proves.ask(proves.with(t, nonce, attestation))
			require.NoError(t, err)
			require.Len(t, first.Credentials, c.want)
			docs, err := a.Issuer.Documents(t.Context(), a.Admin(), store.DocumentFilter{}, "", 0)
			require.NoError(t, err)
			copies, err := a.Store.Copies(t.Context(), docs[0].ID)
			require.NoError(t, err)
			var got, want []string
			for _, i := range []int{1, 0, 2, 3}[:c.want] { // the proved one, then the others in their order
				thumbprint, err := oid4vci.Thumbprint(&s.keys[i].PublicKey)
				require.NoError(t, err)
				want = append(want, thumbprint)
			}
			for _, cp := range copies {
				got = append(got, cp.KeyThumbprint)
			}
			require.Equal(t, want, got)
			again, err := proves.ask(proves.with(t, nonce, attestation))
			require.NoError(t, err)
			require.Equal(t, first, again)
		})
	}
}

// Where nobody demands them, attestations are not looked at, and keys that they name get nothing.
func TestAttestationsThatNobodyDemands(t *testing.T) {
	a := newAttested(t, domain.Resistances{})
	for _, attestation := range []string{"a.b.c", a.attestation(t, "", nil, newKey(t, elliptic.P256()), newKey(t, elliptic.P256()))} {
		s := a.redeemed(a.newCollection(), elliptic.P256())
		got, err := s.ask(s.with(t, s.nonce(), attestation))
		require.NoError(t, err)
		require.Len(t, got.Credentials, 1)
	}
}

func TestNothingOfAnAttestationIsLoggedOrStored(t *testing.T) {
	a := newAttested(t, moderate())
	s := a.redeemed(a.newCollection(), elliptic.P256())
	nonce := s.nonce()
	const word = "https://canary.example/vendor"
	says := func(c *oid4vci.KeyAttestationClaims) { c.KeyStorage = []string{word, "iso_18045_high"} }
	attestation := a.attestation(t, nonce, says, s.keys...)
	_, err := s.ask(s.with(t, nonce, attestation))
	require.NoError(t, err)
	_, err = s.ask(s.with(t, s.nonce(), attestation+"x"))
	require.Error(t, err)
	for _, rows := range a.rows(t) {
		for _, row := range rows {
			require.NotContains(t, row, word)
			require.NotContains(t, row, attestation)
		}
	}
	require.NotContains(t, a.Logs.String(), word)
	require.NotContains(t, a.Logs.String(), attestation)
}
