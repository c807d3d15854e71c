package wallet_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/wallet"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/store"
	reference "github.com/mdocket/mdocket/internal/wallet"
)

// The whole flow with a wallet that verifies what it gets: base URL with and without a path, offer by reference and by value.
func TestReferenceWalletCollects(t *testing.T) {
	for name, path := range map[string]string{"root": "", "path": "/dmv"} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, path)
			for form, link := range map[string]func(collection) string{
				"by reference": func(c collection) string {
					link, err := oid4vci.DeepLinkByReference(wallet.OfferURI(a.Config.BaseURL, c.linkToken))
					require.NoError(t, err)
					return link
				},
				"by value": func(c collection) string {
					offer, err := a.Issuer.Offer(t.Context(), c.linkToken)
					require.NoError(t, err)
					link, err := oid4vci.DeepLinkByValue(wallet.CredentialOffer(a.Config.BaseURL, offer))
					require.NoError(t, err)
					return link
				},
				"plain address": func(c collection) string { return wallet.OfferURI(a.Config.BaseURL, c.linkToken) },
			} {
				t.Run(form, func(t *testing.T) {
					col := a.newCollection()
					store, err := reference.Open(t.TempDir())
					require.NoError(t, err)
					roots := x509.NewCertPool()
					ders, err := a.Issuer.Roots(t.Context())
					require.NoError(t, err)
					for _, der := range ders {
						root, err := x509.ParseCertificate(der)
						require.NoError(t, err)
						roots.AddCert(root)
					}
					w, err := reference.New(reference.Options{Store: store, HTTPClient: a.web.Client(), Roots: roots, Now: a.Clock.Now})
					require.NoError(t, err)
					_, err = w.Collect(t.Context(), link(col), col.code, reference.CollectOptions{Keys: 2})
					require.NoError(t, err)
					r, err := a.Issuer.Request(t.Context(), a.Admin(), col.request.ID)
					require.NoError(t, err)
					require.Equal(t, domain.RequestIssued, r.State)
				})
			}
		})
	}
}

func TestSeveralKeysGetSeveralDocuments(t *testing.T) {
	a := newAuthority(t, "")
	s := a.redeemed(a.newCollection(), elliptic.P256(), elliptic.P384(), elliptic.P521())
	response, err := s.ask(s.proofs(s.nonce()))
	require.NoError(t, err)
	require.Len(t, response.Credentials, 3)
	seen := map[string]bool{}
	for _, c := range response.Credentials {
		require.False(t, seen[c.Credential])
		seen[c.Credential] = true
	}
	docs, err := a.Issuer.Documents(t.Context(), a.Admin(), store.DocumentFilter{}, "", 0)
	require.NoError(t, err)
	require.Len(t, docs, 1)
	require.Equal(t, 3, docs[0].Copies)
	require.Equal(t, domain.PlatformAndroid, docs[0].Platform)
}

func TestRepeatedRequestGetsTheSameDocument(t *testing.T) {
	a := newAuthority(t, "")
	s := a.redeemed(a.newCollection(), elliptic.P256(), elliptic.P256())
	nonce := s.nonce()
	first, err := s.ask(s.proofs(nonce))
	require.NoError(t, err)

	same, err := s.ask(s.proofs(nonce))
	require.NoError(t, err)
	require.Equal(t, first, same)
	fresh, err := s.ask(s.proofs(s.nonce()))
	require.NoError(t, err)
	require.Equal(t, first, fresh)

	other := s
	other.keys = nil
	for range 2 {
		other.keys = append(other.keys, newKey(t, elliptic.P256()))
	}
	_, err = other.ask(other.proofs(other.nonce()))
	refusedWith(t, err, http.StatusBadRequest, oid4vci.CredentialRequestDenied)
	_, err = other.ask(other.proofs(nonce))
	refusedWith(t, err, http.StatusBadRequest, oid4vci.InvalidNonce)

	swapped := s
	swapped.keys[0], swapped.keys[1] = s.keys[1], s.keys[0]
	_, err = swapped.ask(swapped.proofs(swapped.nonce()))
	refusedWith(t, err, http.StatusBadRequest, oid4vci.CredentialRequestDenied)
}

func TestSecondWalletIsRefused(t *testing.T) {
	a := newAuthority(t, "")
	col := a.newCollection()
	offer, err := a.Issuer.Offer(t.Context(), col.linkToken)
	require.NoError(t, err)
	a.redeemed(col)
	got := a.postForm(tokenForm(offer.PreAuthorizedCode, col.code))
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Equal(t, oid4vci.InvalidGrant, got.oauth(t).Code)

	got = a.do(http.MethodGet, "/oid4vci/offers/"+col.linkToken, nil, nil)
	require.Equal(t, http.StatusNotFound, got.status)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
}

func TestKeyOfAnotherDocumentIsRefused(t *testing.T) {
	a := newAuthority(t, "")
	first := a.redeemed(a.newCollection(), elliptic.P256())
	_, err := first.ask(first.proofs(first.nonce()))
	require.NoError(t, err)
	second := a.redeemed(a.newCollection())
	second.keys = first.keys
	_, err = second.ask(second.proofs(second.nonce()))
	refusedWith(t, err, http.StatusBadRequest, oid4vci.InvalidProof)
}

func TestProofsAreRefused(t *testing.T) {
	a := newAuthority(t, "")
	s := a.redeemed(a.newCollection(), elliptic.P256())
	sign := func(c oid4vci.ProofClaims) string {
		proof, err := oid4vci.SignJWTProof(s.keys[0], c)
		require.NoError(t, err)
		return proof
	}
	good := func() oid4vci.ProofClaims {
		return oid4vci.ProofClaims{Audience: a.Config.BaseURL, IssuedAt: a.Clock.Now(), Nonce: s.nonce()}
	}
	old := s.nonce()
	a.Clock.Advance(6 * time.Minute)
	for name, tc := range map[string]struct {
		proofs func() []string
		code   oid4vci.ErrorCode
	}{
		"old nonce": {func() []string { c := good(); c.Nonce = old; return []string{sign(c)} }, oid4vci.InvalidNonce},
		"foreign nonce": {func() []string {
			c := good()
			c.Nonce = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
			return []string{sign(c)}
		},
			oid4vci.InvalidNonce},
		"no nonce":       {func() []string { c := good(); c.Nonce = ""; return []string{sign(c)} }, oid4vci.InvalidProof},
		"other audience": {func() []string { c := good(); c.Audience = "https://other.example"; return []string{sign(c)} }, oid4vci.InvalidProof},
		"issuer named":   {func() []string { c := good(); c.Issuer = "wallet"; return []string{sign(c)} }, oid4vci.InvalidProof},
		"too old": {func() []string { c := good(); c.IssuedAt = c.IssuedAt.Add(-time.Hour); return []string{sign(c)} },
			oid4vci.InvalidProof},
		"from the future": {func() []string { c := good(); c.IssuedAt = c.IssuedAt.Add(time.Hour); return []string{sign(c)} },
			oid4vci.InvalidProof},
		"one good, one bad": {func() []string { return []string{sign(good()), "a.b.c"} }, oid4vci.InvalidProof},
		"same key twice":    {func() []string { return []string{sign(good()), sign(good())} }, oid4vci.InvalidProof},
		"too many":          {func() []string { return []string{"a", "b", "c", "d"} }, oid4vci.InvalidProof},
		"none":              {func() []string { return nil }, oid4vci.InvalidProof},
	} {
		t.Run(name, func(t *testing.T) {
			proofs := tc.proofs()
			a.changesNothing(t, func() {
				_, err := s.ask(proofs)
				refusedWith(t, err, http.StatusBadRequest, tc.code)
			})
		})
	}
	_, err := s.ask([]string{sign(good())})
	require.NoError(t, err, "nothing of the above used anything up")
}

// Proofs that are good in everything but their algorithm: signed by the key they show, in the way their header says.
func TestProofAlgorithmsThatAreNotOfferedAreRefused(t *testing.T) {
	a := newAuthority(t, "")
	s := a.redeemed(a.newCollection(), elliptic.P256())
	ec := s.keys[0]
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	shown, err := json.Marshal(jose.JSONWebKey{Key: ec.Public()})
	require.NoError(t, err)
	sign := func(algorithm jose.SignatureAlgorithm, key, public any, claims []byte) string {
		options := (&jose.SignerOptions{}).WithType(oid4vci.ProofTypHeader).WithHeader("jwk", jose.JSONWebKey{Key: public})
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
		require.NoError(t, err)
		proof, err := signer.Sign(claims)
		require.NoError(t, err)
		compact, err := proof.CompactSerialize()
		require.NoError(t, err)
		return compact
	}
	// renamed keeps the signature over a header that names another algorithm.
	renamed := func(algorithm string, claims []byte) string {
		header, err := json.Marshal(map[string]any{"typ": oid4vci.ProofTypHeader, "alg": algorithm, "jwk": json.RawMessage(shown)})
		require.NoError(t, err)
		input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
		digest := sha256.Sum256([]byte(input))
		r, v, err := ecdsa.Sign(rand.Reader, ec, digest[:])
		require.NoError(t, err)
		signature := append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
		return input + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	good := func() string { return s.proofs(s.nonce())[0] }
	for name, proof := range map[string]func(claims []byte) string{
		"RS256": func(claims []byte) string { return sign(jose.RS256, rsaKey, rsaKey.Public(), claims) },
		"PS256": func(claims []byte) string { return sign(jose.PS256, rsaKey, rsaKey.Public(), claims) },
		"EdDSA": func(claims []byte) string { return sign(jose.EdDSA, edKey, edKey.Public(), claims) },
		// The public key as a secret that both sides know, the classic confusion of algorithms.
		"HS256":      func(claims []byte) string { return sign(jose.HS256, shown, ec.Public(), claims) },
		"ES256K":     func(claims []byte) string { return renamed("ES256K", claims) },
		"lower case": func(claims []byte) string { return renamed("es256", claims) },
		"empty":      func(claims []byte) string { return renamed("", claims) },
		"none": func(claims []byte) string {
			proof := renamed("none", claims)
			return proof[:strings.LastIndex(proof, ".")+1]
		},
		"none with a signature": func(claims []byte) string { return renamed("none", claims) },
	} {
		t.Run(name, func(t *testing.T) {
			claims, err := base64.RawURLEncoding.DecodeString(strings.Split(good(), ".")[1])
			require.NoError(t, err)
			for _, proofs := range [][]string{{proof(claims)}, {good(), proof(claims)}} {
				a.changesNothing(t, func() {
					_, err := s.ask(proofs)
					refusedWith(t, err, http.StatusBadRequest, oid4vci.InvalidProof)
				})
			}
		})
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(good(), ".")[1])
	require.NoError(t, err)
	_, err = s.ask([]string{renamed("ES256", claims)})
	require.NoError(t, err, "it was the algorithm alone")
}

func TestWhatTheAuthorityRefuses(t *testing.T) {
	a := newAuthority(t, "")
	t.Run("engine down", func(t *testing.T) {
		s := a.redeemed(a.newCollection(), elliptic.P256())
		a.Engine.SetDown(true)
		_, err := s.ask(s.proofs(s.nonce()))
		refusedWith(t, err, http.StatusServiceUnavailable, oid4vci.TemporarilyUnavailable)
		var refused *reference.ProtocolError
		require.ErrorAs(t, err, &refused)
		require.Positive(t, refused.RetryAfter)
		a.Engine.SetDown(false)
		_, err = s.ask(s.proofs(s.nonce()))
		require.NoError(t, err)
	})
	t.Run("person no longer active", func(t *testing.T) {
		col := a.newCollection()
		s := a.redeemed(col, elliptic.P256())
		p, err := a.Issuer.Person(t.Context(), a.Admin(), col.request.PersonID)
		require.NoError(t, err)
		p.Status = domain.PersonInactive
		_, err = a.Issuer.UpdatePerson(t.Context(), a.Admin(), p)
		require.NoError(t, err)
		_, err = s.ask(s.proofs(s.nonce()))
		refusedWith(t, err, http.StatusBadRequest, oid4vci.CredentialRequestDenied)
	})
	t.Run("canceled", func(t *testing.T) {
		col := a.newCollection()
		s := a.redeemed(col, elliptic.P256())
		_, err := a.Issuer.CancelRequest(t.Context(), a.Admin(), col.request.ID, "moved away")
		require.NoError(t, err)
		_, err = s.ask(s.proofs(s.nonce()))
		refusedWith(t, err, http.StatusBadRequest, oid4vci.CredentialRequestDenied)
	})
	t.Run("new link and code", func(t *testing.T) {
		col := a.newCollection()
		s := a.redeemed(col, elliptic.P256())
		r, err := a.Issuer.Resend(t.Context(), a.Admin(), col.request.ID)
		require.NoError(t, err)
		_, err = s.ask(s.proofs(s.nonce()))
		refusedWith(t, err, http.StatusUnauthorized, oid4vci.InvalidToken)
		again := a.redeemed(a.read(r), elliptic.P256())
		_, err = again.ask(again.proofs(again.nonce()))
		require.NoError(t, err)
	})
	t.Run("token too old", func(t *testing.T) {
		s := a.redeemed(a.newCollection(), elliptic.P256())
		a.Clock.Advance(time.Hour)
		_, err := s.ask(s.proofs(s.nonce()))
		refusedWith(t, err, http.StatusUnauthorized, oid4vci.InvalidToken)
	})
	t.Run("database away", func(t *testing.T) {
		s := a.redeemed(a.newCollection(), elliptic.P256())
		proofs := s.proofs(s.nonce())
		require.NoError(t, a.Store.Close())
		_, err := s.ask(proofs)
		refusedWith(t, err, http.StatusInternalServerError, oid4vci.ServerError)
		var refused *reference.ProtocolError
		require.ErrorAs(t, err, &refused)
		require.Empty(t, refused.Description)
		require.Contains(t, a.Logs.String(), "wallet request failed")
	})
}
