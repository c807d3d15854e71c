package verifier_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/pki"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/verifier"
)

const listURI = "https://issuer.example/status-lists/1"

// authority is a root with a document signer and a signer of status lists.
type authority struct {
	now       time.Time
	roots     *x509.CertPool
	documents mdoc.Signer
	lists     statuslist.Signer
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		return k
	}
	a := authority{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), roots: x509.NewCertPool()}
	start := a.now.Add(-time.Hour)
	rootKey, signerKey, listKey := key(), key(), key()
	root, err := pki.NewIACA(rand.Reader, rootKey, pki.IACAOptions{Subject: pki.Subject{Country: "UT", CommonName: "Root"},
		IssuerAltName: "pki@issuer.example", CRLURL: "https://issuer.example/crl", NotBefore: start, Validity: 365 * 24 * time.Hour})
	require.NoError(t, err)
	a.roots.AddCert(root)
	options := pki.SignerOptions{CommonName: "Signer", NotBefore: start, NotAfter: start.AddDate(0, 6, 0), CRLURL: "https://issuer.example/crl"}
	signer, err := pki.NewDocumentSigner(rand.Reader, root, rootKey, signerKey.Public(), options)
	require.NoError(t, err)
	a.documents = mdoc.Signer{Key: signerKey, Chain: []*x509.Certificate{signer}}
	lister, err := pki.NewStatusListSigner(rand.Reader, root, rootKey, listKey.Public(), options)
	require.NoError(t, err)
	a.lists = statuslist.Signer{Key: listKey, Chain: []*x509.Certificate{lister}}
	return a
}

func (a authority) document(t testing.TB, status *mdoc.StatusRef) []byte {
	t.Helper()
	document, _ := a.issue(t, status)
	return document
}

// issue gives a document and the key of the device it is for.
func (a authority) issue(t testing.TB, status *mdoc.StatusRef) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	device, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	issued, err := mdoc.Issue(rand.Reader, mdoc.Request{DocType: "org.example.1", DigestAlgorithm: mdoc.SHA256, DeviceKey: &device.PublicKey,
		NameSpaces: []mdoc.NameSpace{{Name: "org.example.1", Elements: []mdoc.Element{{Identifier: "name", Value: "Ada"}}}},
		Signed:     a.now, ValidFrom: a.now, ValidUntil: a.now.AddDate(0, 1, 0), Status: status}, a.documents)
	require.NoError(t, err)
	return issued.Bytes, device
}

func (a authority) list(t *testing.T, subject string, set map[uint64]statuslist.Status) []byte {
	t.Helper()
	return a.signedList(t, subject, set).CWT
}

func (a authority) signedList(t *testing.T, subject string, set map[uint64]statuslist.Status) *statuslist.Signed {
	t.Helper()
	list, err := statuslist.New(4, 64)
	require.NoError(t, err)
	for i, v := range set {
		require.NoError(t, list.Set(i, v))
	}
	token, err := statuslist.Token{Subject: subject, IssuedAt: a.now, Expires: a.now.Add(time.Hour), TTL: time.Minute, List: list}.Sign(a.lists)
	require.NoError(t, err)
	return token
}

func TestStatus(t *testing.T) {
	a := newAuthority(t)
	answer := func(body []byte) verifier.Fetcher {
		return func(_ context.Context, uri string) ([]byte, error) {
			if uri != listURI {
				return nil, errors.New("another list")
			}
			return body, nil
		}
	}
	stranger := newAuthority(t)
	for name, c := range map[string]struct {
		ref   *mdoc.StatusRef
		fetch verifier.Fetcher
		later time.Duration
		want  verifier.Status
		ok    bool
	}{
		"valid":            {ref: &mdoc.StatusRef{Index: 7, URI: listURI}, fetch: answer(a.list(t, listURI, nil)), want: verifier.StatusValid, ok: true},
		"no list":          {fetch: answer(nil), want: verifier.StatusNone, ok: true},
		"invalid":          {ref: &mdoc.StatusRef{Index: 7, URI: listURI}, fetch: answer(a.list(t, listURI, map[uint64]statuslist.Status{7: 1})), want: verifier.StatusInvalid},
		"suspended":        {ref: &mdoc.StatusRef{Index: 7, URI: listURI}, fetch: answer(a.list(t, listURI, map[uint64]statuslist.Status{7: 2})), want: verifier.StatusSuspended},
		"another value":    {ref: &mdoc.StatusRef{Index: 7, URI: listURI}, fetch: answer(a.list(t, listURI, map[uint64]statuslist.Status{7: 9})), want: verifier.StatusInvalid},
		"offline":          {ref: &mdoc.StatusRef{Index: 7, URI: listURI}, want: verifier.StatusUnknown},
		"not to be had":    {ref: &mdoc.StatusRef{Index: 7, URI: listURI + "2"}, fetch: answer(nil), want: verifier.StatusUnknown},
		"junk":             {ref: &mdoc.StatusRef{Index: 7, URI: listURI}, fetch: answer([]byte("<html>")), want: verifier.StatusUnknown},
		"of another":       {ref: &mdoc.StatusRef{Index: 7, URI: listURI}, fetch: answer(a.list(t, listURI+"2", nil)), want: verifier.StatusUnknown},
		"of a stranger":    {ref: &mdoc.StatusRef{Index: 7, URI: listURI}, fetch: answer(stranger.list(t, listURI, nil)), want: verifier.StatusUnknown},
		"too old":          {ref: &mdoc.StatusRef{Index: 7, URI: listURI}, fetch: answer(a.list(t, listURI, nil)), later: time.Hour, want: verifier.StatusUnknown},
		"outside the list": {ref: &mdoc.StatusRef{Index: 64, URI: listURI}, fetch: answer(a.list(t, listURI, nil)), want: verifier.StatusUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := verifier.Verify(t.Context(), a.document(t, c.ref), verifier.Options{Roots: a.roots, Now: a.now.Add(c.later), Fetch: c.fetch})
			require.NoError(t, err)
			require.Equal(t, c.want, got.Status)
			require.Equal(t, c.ok, got.OK())
			require.Equal(t, c.want == verifier.StatusUnknown, got.StatusBy != "", "an unknown status says why: %s", got.StatusBy)
			require.Empty(t, got.Problems)
		})
	}
}

func TestWhatIsNoDocumentAndWhatDoesNotHold(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	good := a.document(t, nil)
	for _, junk := range [][]byte{nil, []byte("x"), good[:len(good)-1]} {
		_, err := verifier.Verify(t.Context(), junk, verifier.Options{Roots: a.roots, Now: a.now})
		require.Error(t, err)
	}
	for name, o := range map[string]verifier.Options{
		"too late": {Roots: a.roots, Now: a.now.AddDate(0, 2, 0)}, "too early": {Roots: a.roots, Now: a.now.Add(-time.Minute)},
		"another root": {Roots: stranger.roots, Now: a.now}, "no root": {Now: a.now},
	} {
		got, err := verifier.Verify(t.Context(), good, o)
		require.NoError(t, err, name)
		require.NotEmpty(t, got.Problems, name)
		require.False(t, got.OK(), name)
		require.Equal(t, verifier.StatusUnknown, got.Status, name)
	}
	changed := append([]byte(nil), good...)
	for i := range changed {
		if string(changed[i:min(len(changed), i+3)]) == "Ada" {
			changed[i] = 'E'
		}
	}
	got, err := verifier.Verify(t.Context(), changed, verifier.Options{Roots: a.roots, Now: a.now})
	require.NoError(t, err)
	require.False(t, got.OK(), "a changed element does not match its digest")
}

func TestHTTPFetcher(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Accept"), statuslist.MediaTypeCWT+",") || r.URL.Path != "/list" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte("list"))
	}))
	defer server.Close()
	fetch := verifier.HTTPFetcher(server.Client())
	body, err := fetch(t.Context(), server.URL+"/list")
	require.NoError(t, err)
	require.Equal(t, "list", string(body))
	for _, uri := range []string{server.URL + "/other", "http://[::1", "http://127.0.0.1:1/"} {
		_, err = fetch(t.Context(), uri)
		require.Error(t, err, uri)
	}
}

// Whatever is presented, it is unreadable, or every check of it is told of, without a root holding any.
func FuzzPresent(f *testing.F) {
	a := newAuthority(f)
	document, key := a.issue(f, nil)
	f.Add([]byte{0xa0})
	f.Add([]byte("\xa2jnameSpaces\xa0jissuerAuth\x84@\xa0@@"))
	f.Add(document)
	f.Add(present(f, document, key))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := verifier.Present(t.Context(), b, verifier.Options{Roots: x509.NewCertPool(), Now: time.Now(), SessionTranscript: transcript})
		if err != nil {
			require.ErrorIs(t, err, verifier.ErrUnreadable)
			return
		}
		require.NotEmpty(t, got)
		require.False(t, verifier.NewReport(got).Valid, "nothing holds without a root")
		for _, r := range got {
			require.Len(t, r.Checks, len(verifier.CheckNames()))
		}
	})
}
