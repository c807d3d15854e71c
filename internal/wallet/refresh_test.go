package wallet_test

import (
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/wallet"
)

func yes() *bool { return new(true) }
func no() *bool  { return new(false) }

// collected is a wallet with a document of two copies from an issuer that refreshes.
func collected(t testing.TB, update *bool) (*testIssuer, *testWallet, wallet.Document) {
	t.Helper()
	issuer := newTestIssuer(t)
	issuer.refreshes(update)
	w := newTestWallet(t, t.TempDir(), nil)
	got, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{Keys: 2})
	require.NoError(t, err)
	return issuer, w, got.Document
}

// requireDocument checks that the document is whole and nothing but it is in the wallet.
func (w *testWallet) requireDocument(t testing.TB, document wallet.Document) {
	t.Helper()
	store, err := wallet.Open(w.dir)
	require.NoError(t, err)
	listed, err := w.List()
	require.NoError(t, err)
	require.Equal(t, []wallet.Document{document}, listed)
	for n, c := range document.Copies {
		data, key, err := store.Copy(document.ID, n)
		require.NoError(t, err)
		parsed, err := mdoc.Parse(data)
		require.NoError(t, err)
		require.True(t, parsed.MSO.DeviceKey.Equal(&key.PublicKey))
		thumbprint, err := oid4vci.Thumbprint(&key.PublicKey)
		require.NoError(t, err)
		require.Equal(t, c.KeyID, thumbprint)
	}
	require.Equal(t, 1+len(document.Copies), w.files(t, "documents"))
	require.Equal(t, len(document.Copies), w.files(t, "keys"))
	require.Equal(t, 1, w.files(t, "tokens"))
	require.Zero(t, w.files(t, "pending"))
}

func TestRefreshReplacesTheDocument(t *testing.T) {
	for name, update := range map[string]*bool{"the issuer has one": yes(), "the issuer does not say": nil} {
		t.Run(name, func(t *testing.T) {
			issuer, w, first := collected(t, update)
			w.requireDocument(t, first)
			last := first
			for n := range 3 {
				got, err := w.Refresh(t.Context(), first.ID)
				require.NoError(t, err)
				require.True(t, got.Updated)
				require.Equal(t, first.ID, got.Document.ID, "it keeps its id")
				require.Equal(t, n+1, got.Document.Version)
				require.Len(t, got.Document.Copies, 2)
				require.NotContains(t, last.Copies, got.Document.Copies[0], "each version has keys of its own")
				w.requireDocument(t, got.Document)
				last = got.Document
			}
			require.Equal(t, 4, issuer.seen().Issued)
		})
	}
}

func TestRefreshWithoutNews(t *testing.T) {
	issuer, w, document := collected(t, no())
	for range 2 {
		got, err := w.Refresh(t.Context(), document.ID)
		require.NoError(t, err)
		require.Equal(t, wallet.Refreshed{Document: document}, *got)
		w.requireDocument(t, document)
	}
	require.Equal(t, 1, issuer.seen().Issued)
	require.Equal(t, 1, issuer.count("/dmv/credential"))
}

func TestSecretsAreReadableByTheOwnerOnly(t *testing.T) {
	_, w, document := collected(t, no())
	info, err := os.Stat(filepath.Join(w.dir, "tokens", document.ID+".json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	info, err = os.Stat(filepath.Join(w.dir, "tokens"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// Wherever it was broken off, the next refresh goes on: with the keys that were sent, or with other ones where they are refused.
func TestRefreshGoesOn(t *testing.T) {
	tests := map[string]struct {
		breakOff func(i *testIssuer)
		mend     func(i *testIssuer)
		issued   int
	}{
		"no answer to the credential request": {
			breakOff: func(i *testIssuer) { i.lose("/dmv/credential", 4) },
			mend:     func(i *testIssuer) { i.Update = no() }, // it has been issued
			issued:   2,
		},
		"no answer, and the keys are refused later": {
			breakOff: func(i *testIssuer) { i.lose("/dmv/credential", 4) },
			mend: func(i *testIssuer) {
				denials := 1
				i.bent["/dmv/credential"] = func(w http.ResponseWriter, _ *http.Request) bool {
					if denials--; denials < 0 {
						return false
					}
					i.refuse(w, oid4vci.NewError(oid4vci.CredentialRequestDenied, ""))
					return true
				}
			},
			issued: 3,
		},
		"issued later": {
			breakOff: func(i *testIssuer) { i.set(func() { i.Defer = true }) },
			mend:     func(i *testIssuer) { i.Update = no() },
			issued:   2,
		},
		"the access token is refused": {
			breakOff: func(i *testIssuer) {
				i.bendTimes("/dmv/credential", 1, http.StatusUnauthorized, oid4vci.InvalidToken, nil)
			},
			mend:   func(*testIssuer) {},
			issued: 2,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			issuer, w, first := collected(t, yes())
			test.breakOff(issuer)
			_, err := w.Refresh(t.Context(), first.ID)
			requireNoSecrets(t, err)
			issuer.set(func() { test.mend(issuer) })

			got, err := w.Refresh(t.Context(), first.ID)
			require.NoError(t, err)
			require.True(t, got.Updated)
			require.Equal(t, 1, got.Document.Version)
			w.requireDocument(t, got.Document)
			require.Equal(t, test.issued, issuer.seen().Issued)
		})
	}
}

// A wallet that stopped after the new version was stored has its keys, whatever the issuer says afterwards.
func TestCrashAfterTheVersionWasStored(t *testing.T) {
	issuer, w, first := collected(t, yes())
	old := map[string][]byte{}
	for _, folder := range []string{"documents", "keys"} {
		files, err := os.ReadDir(filepath.Join(w.dir, folder))
		require.NoError(t, err)
		for _, f := range files {
			name := filepath.Join(w.dir, folder, f.Name())
			old[name], err = os.ReadFile(name)
			require.NoError(t, err)
		}
	}
	var begun []byte
	pending := filepath.Join(w.dir, "pending", "refresh-"+first.ID+".json")
	issuer.bend("/dmv/credential", func(http.ResponseWriter, *http.Request) bool {
		var err error
		begun, err = os.ReadFile(pending)
		require.NoError(t, err)
		return false
	})
	got, err := w.Refresh(t.Context(), first.ID)
	require.NoError(t, err)
	for name, data := range old {
		if _, err := os.Stat(name); err != nil {
			require.NoError(t, os.WriteFile(name, data, 0o600))
		}
	}
	require.NoError(t, os.WriteFile(pending, begun, 0o600))
	issuer.bendTimes("/dmv/credential", 1, http.StatusBadRequest, oid4vci.CredentialRequestDenied, nil)
	issuer.set(func() { issuer.Update = no() })

	again, err := w.Refresh(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, got.Document, again.Document)
	w.requireDocument(t, got.Document)

	require.NoError(t, os.WriteFile(pending, begun, 0o600))
	require.NoError(t, w.Discard("refresh-"+first.ID))
	w.requireDocument(t, got.Document)
}

func TestRefreshTokenIsLost(t *testing.T) {
	issuer, w, document := collected(t, yes())
	issuer.set(func() { clear(issuer.refreshTokens) })
	_, err := w.Refresh(t.Context(), document.ID)
	requireRefused(t, err, http.StatusBadRequest, oid4vci.InvalidGrant)
	w.requireDocument(t, document)
}

func TestRefreshOfWhatCannotBe(t *testing.T) {
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), nil)
	got, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	require.NoError(t, err)
	_, err = w.Refresh(t.Context(), got.Document.ID)
	require.ErrorIs(t, err, wallet.ErrNoRefreshToken)
	for _, id := range []string{"nothing", "../keys/x", ""} {
		_, err = w.Refresh(t.Context(), id)
		require.ErrorIs(t, err, wallet.ErrNotFound)
	}

	issuer, w, document := collected(t, yes())
	issuer.set(func() { issuer.AS.GrantTypesSupported = issuer.AS.GrantTypesSupported[:1] })
	_, err = w.Refresh(t.Context(), document.ID)
	require.ErrorIs(t, err, wallet.ErrUnsupported)
	w.requireDocument(t, document)
}

// The document can be read at any time, in the old version or in the new one.
func TestReadWhileItIsReplaced(t *testing.T) {
	_, w, document := collected(t, yes())
	store, err := wallet.Open(w.dir)
	require.NoError(t, err)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				data, key, err := store.Copy(document.ID, 1)
				if err == nil {
					var parsed *mdoc.IssuerSigned
					if parsed, err = mdoc.Parse(data); err == nil && !parsed.MSO.DeviceKey.Equal(&key.PublicKey) {
						err = wallet.ErrBadDocument
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		_, err := w.Refresh(t.Context(), document.ID)
		require.NoError(t, err)
	}
	close(done)
	readers.Wait()
}
