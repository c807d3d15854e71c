package wallet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/wallet"
)

// testWallet is a wallet whose pauses take no time and are written down.
type testWallet struct {
	*wallet.Wallet
	dir    string
	pauses []time.Duration
}

func newTestWallet(t testing.TB, dir string, edit func(*wallet.Options)) *testWallet {
	t.Helper()
	store, err := wallet.Open(dir)
	require.NoError(t, err)
	w := &testWallet{dir: dir}
	options := wallet.Options{
		Store: store, UserAgent: "test-wallet/1", Now: func() time.Time { return now },
		HTTPClient: &http.Client{Timeout: 10 * time.Second},
		Wait: func(ctx context.Context, d time.Duration) error {
			w.pauses = append(w.pauses, d)
			return ctx.Err()
		},
	}
	if edit != nil {
		edit(&options)
	}
	w.Wallet, err = wallet.New(options)
	require.NoError(t, err)
	return w
}

// files counts the files in a folder of the wallet.
func (w *testWallet) files(t testing.TB, folder string) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.dir, folder))
	require.NoError(t, err)
	return len(entries)
}

// requireEmpty checks that nothing is left of a collection that came to nothing.
func (w *testWallet) requireEmpty(t testing.TB) {
	t.Helper()
	for _, folder := range []string{"keys", "documents", "pending"} {
		require.Zero(t, w.files(t, folder), folder)
	}
}

func requireRefused(t testing.TB, err error, status int, code oid4vci.ErrorCode) {
	t.Helper()
	var refused *wallet.ProtocolError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, status, refused.Status)
	require.Equal(t, code, refused.Code)
	requireNoSecrets(t, err)
}

// requireNoSecrets checks that an error repeats neither link nor code nor token.
func requireNoSecrets(t testing.TB, err error) {
	t.Helper()
	require.Error(t, err)
	for _, secret := range []string{"secret-", "code-of", "token-", txCode, "Mustermann"} {
		require.NotContains(t, err.Error(), secret)
	}
}

func TestCollectByEveryKindOfLink(t *testing.T) {
	tests := map[string]func(i *testIssuer, id string) string{
		"deep link by reference": func(i *testIssuer, id string) string { return i.link(id) },
		"deep link by value": func(i *testIssuer, id string) string {
			link, err := oid4vci.DeepLinkByValue(i.offerOf(id))
			require.NoError(i.t, err)
			return link
		},
		"address of the offer": func(i *testIssuer, id string) string { return i.offerURI(id) + "\n" },
		"collection page":      func(i *testIssuer, id string) string { return i.id() + "/collect/" + id },
		"page with an anchor": func(i *testIssuer, id string) string {
			i.bend("/dmv/page", func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "text/html")
				_, err := fmt.Fprintf(w, `<a href="mailto:x@y.example">Mail</a><a href="%s">Open</a><a href="%s">Other</a>`,
					i.link(id), i.link("nothing"))
				require.NoError(i.t, err)
				return true
			})
			return i.id() + "/page"
		},
		"short link": func(i *testIssuer, id string) string {
			i.bend("/s", func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, i.offerURI(id), http.StatusFound)
				return true
			})
			return i.URL + "/s"
		},
	}
	for name, link := range tests {
		t.Run(name, func(t *testing.T) {
			issuer := newTestIssuer(t)
			w := newTestWallet(t, t.TempDir(), nil)
			collected, err := w.Collect(t.Context(), link(issuer, issuer.newOffer()), " 493 536 ", wallet.CollectOptions{})
			require.NoError(t, err)
			require.Equal(t, 1, collected.Requests)
			require.True(t, collected.Notified)
			require.Equal(t, docType, collected.Document.DocType)
			require.Equal(t, issuer.id(), collected.Document.CredentialIssuer)
			require.Equal(t, "mdl", collected.Document.ConfigurationID)
			require.Equal(t, now, collected.Document.ValidFrom)
			require.Equal(t, now.AddDate(0, 6, 0), collected.Document.ValidUntil)
			require.Equal(t, oid4vci.CredentialAccepted, issuer.seen().Notifications[0].Event)
			require.Equal(t, []string{"test-wallet/1"}, issuer.seen().Agents)
		})
	}
}

func TestCollectKeepsDocumentsAndKeys(t *testing.T) {
	issuer := newTestIssuer(t)
	dir := t.TempDir()
	w := newTestWallet(t, dir, nil)
	var ids []string
	for range 3 {
		collected, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{Keys: 2})
		require.NoError(t, err)
		ids = append(ids, collected.Document.ID)
	}
	require.Equal(t, 6, w.files(t, "keys"))
	require.Zero(t, w.files(t, "pending"))

	again := newTestWallet(t, dir, nil)
	documents, err := again.List()
	require.NoError(t, err)
	require.Len(t, documents, 3)
	store, err := wallet.Open(dir)
	require.NoError(t, err)
	for _, document := range documents {
		require.Contains(t, ids, document.ID)
		for number := range document.Copies {
			data, key, err := store.Copy(document.ID, number)
			require.NoError(t, err)
			parsed, err := mdoc.Parse(data)
			require.NoError(t, err)
			require.True(t, parsed.MSO.DeviceKey.Equal(&key.PublicKey))
		}
		_, _, err := store.Copy(document.ID, 2)
		require.ErrorIs(t, err, wallet.ErrNotFound)
	}
	err = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		if !entry.IsDir() {
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), path)
		} else if path != dir {
			require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), path)
		}
		return nil
	})
	require.NoError(t, err)
	for _, id := range []string{"", "nothing", "../keys/x", strings.Repeat("x", 100)} {
		_, err := w.Show(id)
		require.ErrorIs(t, err, wallet.ErrNotFound)
	}
}

func TestShow(t *testing.T) {
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), nil)
	collected, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	require.NoError(t, err)
	details, err := w.Show(collected.Document.ID)
	require.NoError(t, err)
	require.Equal(t, collected.Document, details.Document)
	shown := map[string]string{}
	for _, element := range details.Elements {
		require.Equal(t, nameSpace, element.NameSpace)
		shown[element.Identifier] = element.Value
	}
	require.Equal(t, map[string]string{
		"family_name":             "Mustermann\ufffd[31m",
		"birth_date":              "1964-08-12",
		"portrait":                "JPEG picture, 1000 bytes",
		"portrait_capture_date":   "2026-01-02T03:04:05Z",
		"signature_usual_mark":    "JPEG 2000 picture, 5 bytes",
		"biometric_template_face": "64 bytes",
		"height":                  "175",
		"temperature":             "-3",
		"age_over_18":             "true",
		"token":                   "010203",
		"driving_privileges":      "[{vehicle_category_code: B, issue_date: 1984-01-31}]",
	}, shown)
}

func TestCollectSeveralKeys(t *testing.T) {
	tests := []struct {
		name         string
		batchSize    int
		keys, copies int
	}{
		{"as many as asked for", 3, 2, 2},
		{"no more than the issuer takes", 3, 50, 3},
		{"no batches", 0, 5, 1},
		{"none asked for", 3, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			issuer := newTestIssuer(t)
			issuer.Metadata.BatchCredentialIssuance = nil
			if tt.batchSize > 0 {
				issuer.Metadata.BatchCredentialIssuance = &oid4vci.BatchCredentialIssuance{BatchSize: tt.batchSize}
			}
			w := newTestWallet(t, t.TempDir(), func(o *wallet.Options) { o.KeyCurve = elliptic.P384() })
			collected, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{Keys: tt.keys})
			require.NoError(t, err)
			require.Len(t, collected.Document.Copies, tt.copies)
			require.Equal(t, tt.copies, w.files(t, "keys"))
		})
	}
	t.Run("the issuer gives fewer", func(t *testing.T) {
		issuer := newTestIssuer(t)
		issuer.Response = func(r *oid4vci.CredentialResponse) { r.Credentials = r.Credentials[1:] }
		w := newTestWallet(t, t.TempDir(), nil)
		collected, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{Keys: 3})
		require.NoError(t, err)
		require.Len(t, collected.Document.Copies, 2)
		require.Equal(t, 2, w.files(t, "keys"), "a key without a copy is deleted")
	})
}

func TestCollectReusesMetadata(t *testing.T) {
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), nil)
	known, err := w.Client().Metadata(t.Context(), issuer.offerOf(issuer.newOffer()))
	require.NoError(t, err)
	for range 3 {
		_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{Issuer: known})
		require.NoError(t, err)
	}
	require.Equal(t, 1, issuer.count("/.well-known/openid-credential-issuer/dmv"))
	require.Equal(t, 1, issuer.count("/.well-known/oauth-authorization-server/dmv"))

	other := newTestIssuer(t)
	_, err = w.Collect(t.Context(), other.link(other.newOffer()), txCode, wallet.CollectOptions{Issuer: known})
	require.ErrorIs(t, err, oid4vci.ErrIssuerMismatch)
}

func TestCollectByIdentifier(t *testing.T) {
	issuer := newTestIssuer(t)
	issuer.TokenExtra = func(r *oid4vci.TokenResponse) {
		r.AuthorizationDetails = []oid4vci.AuthorizationDetail{{
			Type: oid4vci.AuthorizationDetailsType, CredentialConfigurationID: "mdl", CredentialIdentifiers: []string{"mdl-1", "mdl-2"},
		}}
	}
	w := newTestWallet(t, t.TempDir(), nil)
	_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	require.NoError(t, err)
	require.Equal(t, "mdl-1", issuer.seen().Requests[0].CredentialIdentifier)
	require.Empty(t, issuer.seen().Requests[0].CredentialConfigurationID)
}

func TestTransactionCode(t *testing.T) {
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), nil)
	id := issuer.newOffer()

	_, err := w.Collect(t.Context(), issuer.link(id), " ", wallet.CollectOptions{})
	require.ErrorIs(t, err, wallet.ErrTransactionCodeNeeded)
	require.Zero(t, issuer.count("/dmv/token"))

	_, err = w.Collect(t.Context(), issuer.link(id), "000000", wallet.CollectOptions{})
	requireRefused(t, err, http.StatusBadRequest, oid4vci.InvalidGrant)
	var refused *wallet.ProtocolError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "wrong transaction code", refused.Description)
	require.Equal(t, 1, issuer.count("/dmv/token"), "a refusal is not repeated")
	w.requireEmpty(t)

	_, err = w.Collect(t.Context(), issuer.link(id), txCode, wallet.CollectOptions{})
	require.NoError(t, err, "the offer can be fetched again and the right code works")

	another := newTestWallet(t, t.TempDir(), nil)
	_, err = another.Collect(t.Context(), issuer.link(id), txCode, wallet.CollectOptions{})
	requireRefused(t, err, http.StatusBadRequest, oid4vci.InvalidGrant)
	another.requireEmpty(t)

	free := issuer.newOffer()
	issuer.change(free, func(o *oid4vci.CredentialOffer) { o.Grants.PreAuthorizedCode.TxCode = nil })
	_, err = w.Collect(t.Context(), issuer.link(free), "123", wallet.CollectOptions{})
	require.NoError(t, err, "a code nobody asked for is not sent")
}

func TestLostAnswers(t *testing.T) {
	for _, path := range []string{"/dmv/nonce", "/dmv/credential", "/.well-known/openid-credential-issuer/dmv"} {
		t.Run(path, func(t *testing.T) {
			issuer := newTestIssuer(t)
			w := newTestWallet(t, t.TempDir(), nil)
			issuer.lose(path, 3)
			collected, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{Keys: 2})
			require.NoError(t, err)
			// Of a GET on a connection that has been used, the HTTP transport repeats one by itself.
			require.Subset(t, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}, w.pauses)
			require.GreaterOrEqual(t, len(w.pauses), 2)
			require.Equal(t, 1, issuer.seen().Issued, "all requests carried the same keys")
			require.Len(t, collected.Document.Copies, 2)
			require.Equal(t, 2, w.files(t, "keys"))
		})
	}
}

func TestCrashBetweenRequestAndAnswer(t *testing.T) {
	issuer := newTestIssuer(t)
	dir := t.TempDir()
	w := newTestWallet(t, dir, nil)
	link := issuer.link(issuer.newOffer())
	issuer.lose("/dmv/credential", 4)
	_, err := w.Collect(t.Context(), link, txCode, wallet.CollectOptions{})
	require.ErrorIs(t, err, wallet.ErrNoAnswer)
	requireNoSecrets(t, err)
	require.Len(t, w.pauses, 3)
	begun, err := w.Pending()
	require.NoError(t, err)
	require.Len(t, begun, 1)
	require.Equal(t, issuer.id(), begun[0].CredentialIssuer)
	require.False(t, begun[0].Deferred)

	after := newTestWallet(t, dir, nil)
	collected, err := after.Collect(t.Context(), link, "", wallet.CollectOptions{})
	require.NoError(t, err, "the code is redeemed, the token is on disk")
	require.Equal(t, 1, issuer.seen().Issued)
	require.Equal(t, issuer.seen().Keys[0], collected.Document.Copies[0].KeyID)
	require.Zero(t, after.files(t, "pending"))
	_, err = after.Resume(t.Context(), begun[0].ID)
	require.ErrorIs(t, err, wallet.ErrNotFound)
}

func TestResumeAfterTheTokenExpired(t *testing.T) {
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), nil)
	link := issuer.link(issuer.newOffer())
	issuer.lose("/dmv/credential", 4)
	_, err := w.Collect(t.Context(), link, txCode, wallet.CollectOptions{})
	require.ErrorIs(t, err, wallet.ErrNoAnswer)

	issuer.expireTokens()
	_, err = w.Collect(t.Context(), link, txCode, wallet.CollectOptions{})
	requireRefused(t, err, http.StatusBadRequest, oid4vci.InvalidGrant)
	w.requireEmpty(t)

	link = issuer.link(issuer.newOffer())
	issuer.lose("/dmv/credential", 4)
	_, err = w.Collect(t.Context(), link, txCode, wallet.CollectOptions{})
	require.ErrorIs(t, err, wallet.ErrNoAnswer)
	begun, err := w.Pending()
	require.NoError(t, err)
	issuer.expireTokens()
	_, err = w.Resume(t.Context(), begun[0].ID)
	requireRefused(t, err, http.StatusUnauthorized, oid4vci.InvalidToken)
	w.requireEmpty(t)
}

func TestDiscard(t *testing.T) {
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), nil)
	issuer.bendTimes("/dmv/credential", 1, http.StatusBadRequest, oid4vci.InvalidProof, nil)
	_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	requireRefused(t, err, http.StatusBadRequest, oid4vci.InvalidProof)
	begun, err := w.Pending()
	require.NoError(t, err)
	require.NoError(t, w.Discard(begun[0].ID))
	w.requireEmpty(t)
	require.ErrorIs(t, w.Discard(begun[0].ID), wallet.ErrNotFound)
}

func TestDeniedCollectionIsForgotten(t *testing.T) {
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), nil)
	issuer.bendTimes("/dmv/credential", 1, http.StatusBadRequest, oid4vci.CredentialRequestDenied, nil)
	_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	requireRefused(t, err, http.StatusBadRequest, oid4vci.CredentialRequestDenied)
	w.requireEmpty(t)
}

func TestBusyIssuer(t *testing.T) {
	busy := func(value string) http.Header { return http.Header{"Retry-After": []string{value}} }
	tests := []struct {
		name, path, value string
		pause             time.Duration
	}{
		{"seconds", "/dmv/credential", "7", 7 * time.Second},
		{"a date", "/dmv/token", now.Add(9 * time.Second).Format(http.TimeFormat), 9 * time.Second},
		{"nothing usable", "/dmv/nonce", "soon", 500 * time.Millisecond},
		{"the past", "/dmv/nonce", now.Add(-time.Hour).Format(http.TimeFormat), 500 * time.Millisecond},
		{"negative", "/dmv/nonce", "-5", 500 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			issuer := newTestIssuer(t)
			w := newTestWallet(t, t.TempDir(), nil)
			issuer.bendTimes(tt.path, 1, http.StatusServiceUnavailable, oid4vci.TemporarilyUnavailable, busy(tt.value))
			_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
			require.NoError(t, err)
			require.Equal(t, []time.Duration{tt.pause}, w.pauses)
		})
	}
	t.Run("longer than the wallet waits", func(t *testing.T) {
		issuer := newTestIssuer(t)
		w := newTestWallet(t, t.TempDir(), nil)
		issuer.bendTimes("/dmv/credential", 1, http.StatusServiceUnavailable, oid4vci.TemporarilyUnavailable, busy("99999999999"))
		_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
		requireRefused(t, err, http.StatusServiceUnavailable, oid4vci.TemporarilyUnavailable)
		var refused *wallet.ProtocolError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 24*time.Hour, refused.RetryAfter)
		require.Empty(t, w.pauses)
		begun, err := w.Pending()
		require.NoError(t, err)
		_, err = w.Resume(t.Context(), begun[0].ID)
		require.NoError(t, err)
	})
	t.Run("always", func(t *testing.T) {
		issuer := newTestIssuer(t)
		w := newTestWallet(t, t.TempDir(), func(o *wallet.Options) {
			o.Retry = wallet.Retry{Attempts: 2, Backoff: time.Minute, MaxWait: time.Second}
		})
		issuer.bendTimes("/dmv/token", 9, http.StatusTooManyRequests, "", nil)
		_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
		requireRefused(t, err, http.StatusTooManyRequests, "")
		require.Equal(t, []time.Duration{time.Second}, w.pauses)
		w.requireEmpty(t)
	})
}

func TestNonceIsReplacedOnce(t *testing.T) {
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), nil)
	issuer.bendTimes("/dmv/credential", 1, http.StatusBadRequest, oid4vci.InvalidNonce, nil)
	collected, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	require.NoError(t, err)
	require.Equal(t, 2, collected.Requests)
	require.Equal(t, 2, issuer.count("/dmv/nonce"))
	require.Empty(t, w.pauses)

	issuer.bendTimes("/dmv/credential", 2, http.StatusBadRequest, oid4vci.InvalidNonce, nil)
	_, err = w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	requireRefused(t, err, http.StatusBadRequest, oid4vci.InvalidNonce)
	require.Equal(t, 4, issuer.count("/dmv/nonce"))
}

func TestDeferredIssuance(t *testing.T) {
	collect := func(t *testing.T) (*testIssuer, *testWallet, string) {
		issuer := newTestIssuer(t)
		issuer.Defer = true
		w := newTestWallet(t, t.TempDir(), nil)
		_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{Keys: 2})
		var deferred *wallet.DeferredError
		require.ErrorAs(t, err, &deferred)
		requireNoSecrets(t, err)
		require.Equal(t, time.Minute, deferred.Interval)
		begun, err := w.Pending()
		require.NoError(t, err)
		require.Equal(t, deferred.CollectionID, begun[0].ID)
		require.True(t, begun[0].Deferred)
		return issuer, w, deferred.CollectionID
	}
	t.Run("delivered later", func(t *testing.T) {
		issuer, w, id := collect(t)
		collected, err := w.Resume(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, collected.Document.Copies, 2)
		require.Equal(t, 1, issuer.count("/dmv/deferred"))
		require.Equal(t, 1, issuer.count("/dmv/credential"))
	})
	t.Run("put off again", func(t *testing.T) {
		issuer, w, id := collect(t)
		issuer.bend("/dmv/deferred", func(rw http.ResponseWriter, _ *http.Request) bool {
			for transaction := range issuer.deferred {
				issuer.send(rw, http.StatusAccepted, oid4vci.CredentialResponse{TransactionID: transaction, Interval: 1 << 60})
			}
			return true
		})
		_, err := w.Resume(t.Context(), id)
		var deferred *wallet.DeferredError
		require.ErrorAs(t, err, &deferred)
		require.Equal(t, 30*24*time.Hour, deferred.Interval)
	})
	t.Run("answer lost after the transaction ended", func(t *testing.T) {
		issuer, w, id := collect(t)
		issuer.lose("/dmv/deferred", 1)
		collected, err := w.Resume(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, collected.Document.Copies, 2)
		require.Equal(t, 2, issuer.count("/dmv/deferred"))
		require.Equal(t, 3, collected.Requests)
		require.Equal(t, 1, issuer.seen().Issued)
	})
	t.Run("no endpoint", func(t *testing.T) {
		issuer, w, id := collect(t)
		issuer.Metadata.DeferredCredentialEndpoint = ""
		_, err := w.Resume(t.Context(), id)
		require.ErrorIs(t, err, wallet.ErrBadAnswer)
	})
}

func TestHostileDocuments(t *testing.T) {
	stranger := newKey(t)
	tests := map[string]func(*testIssuer){
		"another docType": func(i *testIssuer) { i.Request = func(r *mdoc.Request) { r.DocType = "org.example.other" } },
		"a foreign key":   func(i *testIssuer) { i.Request = func(r *mdoc.Request) { r.DeviceKey = &stranger.PublicKey } },
		"expired":         func(i *testIssuer) { i.Request = expire },
		"one key twice": func(i *testIssuer) {
			i.Response = func(r *oid4vci.CredentialResponse) { r.Credentials = append(r.Credentials, r.Credentials[0]) }
		},
		"a changed element": func(i *testIssuer) {
			i.Response = func(r *oid4vci.CredentialResponse) {
				data, err := r.Credentials[0].Mdoc()
				require.NoError(i.t, err)
				r.Credentials = []oid4vci.IssuedCredential{
					oid4vci.NewIssuedMdoc([]byte(strings.Replace(string(data), "Mustermann", "Mustermaus", 1)))}
			}
		},
		"garbage": func(i *testIssuer) {
			i.Response = func(r *oid4vci.CredentialResponse) {
				r.Credentials = []oid4vci.IssuedCredential{oid4vci.NewIssuedMdoc([]byte("garbage"))}
			}
		},
	}
	for name, bend := range tests {
		t.Run(name, func(t *testing.T) {
			issuer := newTestIssuer(t)
			bend(issuer)
			w := newTestWallet(t, t.TempDir(), nil)
			_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
			require.ErrorIs(t, err, wallet.ErrBadDocument)
			requireNoSecrets(t, err)
			require.Zero(t, w.files(t, "documents"))
			require.Equal(t, oid4vci.CredentialFailure, issuer.seen().Notifications[0].Event)
		})
	}
	t.Run("not base64url", func(t *testing.T) {
		issuer := newTestIssuer(t)
		issuer.Response = func(r *oid4vci.CredentialResponse) { r.Credentials[0].Credential = "***" }
		w := newTestWallet(t, t.TempDir(), nil)
		_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
		require.ErrorIs(t, err, oid4vci.ErrMalformed)
	})
	t.Run("valid later", func(t *testing.T) {
		issuer := newTestIssuer(t)
		issuer.Request = func(r *mdoc.Request) { r.ValidFrom = now.AddDate(0, 1, 0) }
		w := newTestWallet(t, t.TempDir(), nil)
		_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
		require.NoError(t, err)
	})
}

func expire(r *mdoc.Request) {
	r.Signed, r.ValidFrom, r.ValidUntil = now.AddDate(0, 0, -3), now.AddDate(0, 0, -3), now.AddDate(0, 0, -1)
}

func TestTrustedRoots(t *testing.T) {
	issuer, other := newTestIssuer(t), newTestIssuer(t)
	for name, tt := range map[string]struct {
		root     *x509.Certificate
		accepted bool
	}{"of the issuer": {issuer.root, true}, "of another": {other.root, false}} {
		t.Run(name, func(t *testing.T) {
			roots := x509.NewCertPool()
			roots.AddCert(tt.root)
			w := newTestWallet(t, t.TempDir(), func(o *wallet.Options) { o.Roots = roots })
			_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
			if tt.accepted {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, wallet.ErrBadDocument)
		})
	}
}

func TestHostileIssuers(t *testing.T) {
	const metadata, server = "/.well-known/openid-credential-issuer/dmv", "/.well-known/oauth-authorization-server/dmv"
	answer := func(path, contentType, body string) func(*testIssuer) {
		return func(i *testIssuer) {
			i.bend(path, func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", contentType)
				_, _ = io.WriteString(w, body) // the wallet may stop reading
				return true
			})
		}
	}
	redirect := func(path, to string) func(*testIssuer) {
		return func(i *testIssuer) {
			i.bend(path, func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, to, http.StatusTemporaryRedirect)
				return true
			})
		}
	}
	mdl := func(edit func(*oid4vci.CredentialConfiguration)) func(*testIssuer) {
		return func(i *testIssuer) {
			c := i.Metadata.CredentialConfigurations["mdl"]
			edit(&c)
			i.Metadata.CredentialConfigurations["mdl"] = c
		}
	}
	offer := func(edit func(*oid4vci.CredentialOffer)) func(*testIssuer) {
		return func(i *testIssuer) { i.change("secret-1", edit) }
	}
	large := strings.Repeat(" ", oid4vci.MaxMetadata+2)
	tests := []struct {
		name string
		bend func(*testIssuer)
		want error
	}{
		{"metadata of another issuer", func(i *testIssuer) { i.Metadata.CredentialIssuer = "https://other.example" }, oid4vci.ErrIssuerMismatch},
		{"metadata oversize", answer(metadata, "application/json", large), wallet.ErrBadAnswer},
		{"metadata garbage", answer(metadata, "application/json", "garbage"), oid4vci.ErrMalformed},
		{"metadata HTML", answer(metadata, "text/html", "<html>"), wallet.ErrBadAnswer},
		{"metadata of no type", answer(metadata, "", "{}"), wallet.ErrBadAnswer},
		{"metadata redirected to http", redirect(metadata, "http://issuer.example/x"), oid4vci.ErrUnsafeURL},
		{"metadata redirected in circles", redirect(metadata, metadata), wallet.ErrBadAnswer},
		{"credential endpoint over http",
			func(i *testIssuer) { i.Metadata.CredentialEndpoint = "http://issuer.example/c" }, oid4vci.ErrUnsafeURL},
		{"server of another issuer", func(i *testIssuer) { i.AS.Issuer = "https://other.example" }, oid4vci.ErrIssuerMismatch},
		{"server oversize", answer(server, "application/json", large), wallet.ErrBadAnswer},
		{"server garbage", answer(server, "application/json", "["), oid4vci.ErrMalformed},
		{"token endpoint over http", func(i *testIssuer) { i.AS.TokenEndpoint = "http://issuer.example/t" }, oid4vci.ErrUnsafeURL},
		{"server without the grant", func(i *testIssuer) { i.AS.GrantTypesSupported = nil }, wallet.ErrUnsupported},
		{"server not anonymous", func(i *testIssuer) { i.AS.PreAuthorizedGrantAnonymousAccess = false }, wallet.ErrUnsupported},
		{"token garbage", answer("/dmv/token", "application/json", `{"access_token":5}`), oid4vci.ErrMalformed},
		{"token with DPoP",
			func(i *testIssuer) { i.TokenExtra = func(r *oid4vci.TokenResponse) { r.TokenType = "DPoP" } }, wallet.ErrUnsupported},
		{"nonce garbage", answer("/dmv/nonce", "application/json", `{}`), oid4vci.ErrMalformed},
		{"credential garbage", answer("/dmv/credential", "application/json", `{}`), oid4vci.ErrMalformed},
		{"deferred with 200", answer("/dmv/credential", "application/json", `{"transaction_id":"t","interval":1}`), wallet.ErrBadAnswer},

		{"offer garbage", answer("/dmv/offers/secret-1", "application/json", `nonsense`), oid4vci.ErrMalformed},
		{"offer as text", answer("/dmv/offers/secret-1", "text/plain", `{}`), wallet.ErrBadAnswer},
		{"offer HTML by reference", answer("/dmv/offers/secret-1", "text/html", `<a>`), wallet.ErrBadAnswer},
		{"offer oversize", answer("/dmv/offers/secret-1", "application/json", large), wallet.ErrBadAnswer},
		{"offer without code", offer(func(o *oid4vci.CredentialOffer) { o.Grants.PreAuthorizedCode = nil }), wallet.ErrUnsupported},
		{"offer of an unknown configuration",
			offer(func(o *oid4vci.CredentialOffer) { o.CredentialConfigurationIDs = []string{"x"} }), wallet.ErrBadAnswer},
		{"offer of no mdoc",
			offer(func(o *oid4vci.CredentialOffer) { o.CredentialConfigurationIDs = []string{"other"} }), wallet.ErrUnsupported},
		{"offer names an unknown server", offer(func(o *oid4vci.CredentialOffer) {
			grant := *o.Grants.PreAuthorizedCode
			grant.AuthorizationServer = "https://other.example"
			o.Grants.PreAuthorizedCode = &grant
		}), wallet.ErrBadAnswer},

		{"encrypted requests", func(i *testIssuer) {
			i.Metadata.CredentialRequestEncryption = &oid4vci.RequestEncryptionSupport{EncryptionRequired: true}
		}, wallet.ErrUnsupported},
		{"encrypted responses", func(i *testIssuer) {
			i.Metadata.ResponseEncryption = &oid4vci.ResponseEncryptionSupport{EncryptionRequired: true}
		}, wallet.ErrUnsupported},
		{"no key binding", mdl(func(c *oid4vci.CredentialConfiguration) { c.BindingMethods, c.ProofTypes = nil, nil }), wallet.ErrUnsupported},
		{"another algorithm", mdl(func(c *oid4vci.CredentialConfiguration) {
			c.ProofTypes = map[string]oid4vci.ProofType{"jwt": {SigningAlgs: []string{"ES512"}}}
		}), wallet.ErrUnsupported},
		{"key attestations", mdl(func(c *oid4vci.CredentialConfiguration) {
			c.ProofTypes = map[string]oid4vci.ProofType{
				"jwt": {SigningAlgs: []string{"ES256"}, KeyAttestationsRequired: &oid4vci.KeyAttestationsRequired{}}}
		}), wallet.ErrUnsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			issuer := newTestIssuer(t)
			link := issuer.link(issuer.newOffer())
			tt.bend(issuer)
			w := newTestWallet(t, t.TempDir(), nil)
			_, err := w.Collect(t.Context(), link, txCode, wallet.CollectOptions{})
			require.ErrorIs(t, err, tt.want)
			requireNoSecrets(t, err)
			require.Zero(t, w.files(t, "documents"))
			require.Empty(t, w.pauses, "a bad answer is not asked for again")
		})
	}
}

func TestTokenIsNotRedirected(t *testing.T) {
	issuer := newTestIssuer(t)
	issuer.bend("/dmv/token", func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "/dmv/nonce", http.StatusTemporaryRedirect)
		return true
	})
	w := newTestWallet(t, t.TempDir(), nil)
	_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	requireRefused(t, err, http.StatusTemporaryRedirect, "")
	require.Zero(t, issuer.count("/dmv/nonce"))
}

func TestSeveralAuthorizationServers(t *testing.T) {
	issuer := newTestIssuer(t)
	second := issuer.URL + "/second"
	issuer.Metadata.AuthorizationServers = []string{issuer.id(), second}
	issuer.bend("/.well-known/oauth-authorization-server/second", func(w http.ResponseWriter, _ *http.Request) bool {
		as := issuer.AS
		as.Issuer = second
		issuer.send(w, http.StatusOK, as)
		return true
	})
	w := newTestWallet(t, t.TempDir(), nil)
	offer := issuer.offerOf(issuer.newOffer())
	got, err := w.Client().Metadata(t.Context(), offer)
	require.NoError(t, err)
	require.Equal(t, issuer.id(), got.AuthorizationServer.Issuer)
	offer.Grants.PreAuthorizedCode.AuthorizationServer = second
	got, err = w.Client().Metadata(t.Context(), offer)
	require.NoError(t, err)
	require.Equal(t, second, got.AuthorizationServer.Issuer)
}

func TestIssuerWithoutOptionalEndpoints(t *testing.T) {
	issuer := newTestIssuer(t)
	issuer.Metadata.NotificationEndpoint = ""
	w := newTestWallet(t, t.TempDir(), nil)
	collected, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{ConfigurationID: "mdl"})
	require.NoError(t, err)
	require.False(t, collected.Notified)
	known, err := w.Client().Metadata(t.Context(), issuer.offerOf("secret-1"))
	require.NoError(t, err)
	require.NoError(t, w.Client().Notify(t.Context(), known, "token", oid4vci.NotificationRequest{NotificationID: "n"}))
	known.Metadata.NonceEndpoint = ""
	nonce, err := w.Client().Nonce(t.Context(), known)
	require.NoError(t, err)
	require.Empty(t, nonce)

	_, err = w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{ConfigurationID: "other"})
	require.ErrorIs(t, err, wallet.ErrUnsupported)
}

func TestCanceledCollection(t *testing.T) {
	issuer := newTestIssuer(t)
	ctx, cancel := context.WithCancel(t.Context())
	issuer.bend("/dmv/credential", func(http.ResponseWriter, *http.Request) bool {
		cancel()
		panic(http.ErrAbortHandler)
	})
	w := newTestWallet(t, t.TempDir(), nil)
	_, err := w.Collect(ctx, issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	require.ErrorIs(t, err, context.Canceled)
	requireNoSecrets(t, err)
	require.Equal(t, 1, w.files(t, "pending"))
}

func TestDefaultWait(t *testing.T) {
	issuer := newTestIssuer(t)
	w := newTestWallet(t, t.TempDir(), func(o *wallet.Options) {
		o.Wait = nil
		o.Retry.Backoff = time.Millisecond
	})
	issuer.lose("/dmv/credential", 1)
	_, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	require.NoError(t, err)

	issuer.bend("/dmv/token", func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = w.Collect(ctx, issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestNewRefuses(t *testing.T) {
	_, err := wallet.New(wallet.Options{})
	require.Error(t, err)
	store, err := wallet.Open(t.TempDir())
	require.NoError(t, err)
	_, err = wallet.New(wallet.Options{Store: store, KeyCurve: elliptic.P224()})
	require.ErrorIs(t, err, wallet.ErrUnsupported)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = wallet.Open(file)
	require.Error(t, err)
}

func TestDamagedStore(t *testing.T) {
	issuer := newTestIssuer(t)
	dir := t.TempDir()
	w := newTestWallet(t, dir, nil)
	collected, err := w.Collect(t.Context(), issuer.link(issuer.newOffer()), txCode, wallet.CollectOptions{})
	require.NoError(t, err)
	id, keyID := collected.Document.ID, collected.Document.Copies[0].KeyID
	key := filepath.Join(dir, "keys", keyID+".pem")
	for _, damage := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		require.NoError(t, os.WriteFile(key, []byte(damage), 0o600))
		_, err = w.Show(id)
		require.Error(t, err)
	}
	require.NoError(t, os.Remove(key))
	_, err = w.Show(id)
	require.ErrorIs(t, err, wallet.ErrNotFound)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "documents", id+".json"), []byte("{"), 0o600))
	_, err = w.List()
	require.Error(t, err)
}

// TestStepsSideBySide goes through the protocol step by step from many goroutines with one client, as a load generator does.
func TestStepsSideBySide(t *testing.T) {
	issuer := newTestIssuer(t)
	client := wallet.NewClient(wallet.ClientOptions{Now: func() time.Time { return now }})
	ctx := t.Context()
	known, err := client.Metadata(ctx, issuer.offerOf(issuer.newOffer()))
	require.NoError(t, err)
	collect := func(link string) error {
		offer, err := client.FetchOffer(ctx, link)
		if err != nil {
			return err
		}
		token, err := client.Token(ctx, known, offer, txCode)
		if err != nil {
			return err
		}
		nonce, err := client.Nonce(ctx, known)
		if err != nil {
			return err
		}
		proofs, err := client.Proofs(known, []*ecdsa.PrivateKey{newKey(t)}, nonce)
		if err != nil {
			return err
		}
		response, err := client.Credential(ctx, known, token.AccessToken, oid4vci.CredentialRequest{
			CredentialConfigurationID: "mdl", Proofs: oid4vci.Proofs{JWT: proofs},
		})
		if err != nil {
			return err
		}
		if len(response.Credentials) != 1 {
			return errors.New("no credential")
		}
		return nil
	}
	const collections = 12
	failures := make([]error, collections)
	var group sync.WaitGroup
	for n := range collections {
		link := issuer.link(issuer.newOffer())
		group.Go(func() { failures[n] = collect(link) })
	}
	group.Wait()
	require.NoError(t, errors.Join(failures...))
	require.Equal(t, collections, issuer.seen().Issued)
	require.Equal(t, 1, issuer.count("/.well-known/openid-credential-issuer/dmv"))
}

func TestClientRefusesUnsafeLinks(t *testing.T) {
	client := wallet.NewClient(wallet.ClientOptions{})
	for _, link := range []string{
		"", "hello", "http://issuer.example/secret-1", "ftp://localhost/secret-1", "file:///secret-1",
		"openid-credential-offer://?credential_offer_uri=http%3A%2F%2Fissuer.example%2Fsecret-1",
		"https://user:secret-1@issuer.example/x",
	} {
		_, err := client.FetchOffer(t.Context(), link)
		require.ErrorIs(t, err, oid4vci.ErrUnsafeURL, link)
		requireNoSecrets(t, err)
	}
}

func TestUnreachableIssuer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.URL
	client := wallet.NewClient(wallet.ClientOptions{HTTPClient: server.Client()})
	_, err := client.FetchOffer(t.Context(), address+"/secret-1")
	requireRefused(t, err, http.StatusNotFound, "")
	server.Close()
	_, err = client.FetchOffer(t.Context(), address+"/secret-1")
	require.ErrorIs(t, err, wallet.ErrNoAnswer)
	requireNoSecrets(t, err)
}

// roundTrip answers every request with a page.
type roundTrip string

func (page roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": []string{"text/html"}},
		Body: io.NopCloser(strings.NewReader(string(page))), Request: r,
	}, nil
}

func TestPageWithoutLink(t *testing.T) {
	for name, page := range map[string]string{
		"empty": "", "plain": "<p>Hello", "other link": `<a href="https://issuer.example/help">`, "oversize": strings.Repeat("x", 600<<10),
		"link without offer": `<link rel="openid-credential-offer" href="openid-credential-offer://">`,
		"unsafe link":        `<a href="openid-credential-offer://?credential_offer_uri=http%3A%2F%2Fissuer.example">`,
		"script":             `<script>"<a href='openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fissuer.example'>"</script>`,
	} {
		t.Run(name, func(t *testing.T) {
			client := wallet.NewClient(wallet.ClientOptions{HTTPClient: &http.Client{Transport: roundTrip(page)}})
			_, err := client.FetchOffer(t.Context(), "https://issuer.example/collect")
			require.Error(t, err)
			require.NotErrorIs(t, err, wallet.ErrNoAnswer)
		})
	}
}

func FuzzCollectionPage(f *testing.F) {
	offer := oid4vci.CredentialOffer{CredentialIssuer: "https://issuer.example", CredentialConfigurationIDs: []string{"mdl"}}
	link, err := oid4vci.DeepLinkByValue(offer)
	require.NoError(f, err)
	f.Add(`<a href="` + link + `">`)
	f.Add(`<link rel="openid-credential-offer" href='` + link + `'/>`)
	f.Add(`<link rel=openid-credential-offer><a <a href=`)
	f.Fuzz(func(t *testing.T, page string) {
		client := wallet.NewClient(wallet.ClientOptions{HTTPClient: &http.Client{Transport: roundTrip(page)}})
		got, err := client.FetchOffer(t.Context(), "https://issuer.example/collect")
		if err == nil {
			require.NoError(t, got.Validate())
		}
	})
}
