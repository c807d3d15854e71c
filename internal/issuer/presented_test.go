package issuer_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/verifier"
)

var presentedIn = []byte{0x83, 0xf6, 0xf6, 0x67, 's', 'e', 's', 's', 'i', 'o', 'n'}

// shown is a document in a wallet that can present it.
type shown struct {
	domain.Document
	issuerSigned []byte
	key          *ecdsa.PrivateKey
}

// issueToKey takes a request of the profile to a document with one copy, of whose key the test has both parts.
func issueToKey(t *testing.T, f *issuertest.Fixture, person domain.Person, profile domain.Profile) shown {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	nonce, err := f.Issuer.NewNonce()
	require.NoError(t, err)
	thumbprint, err := oid4vci.Thumbprint(&key.PublicKey)
	require.NoError(t, err)
	r := newRequest(t, f, person, profile)
	signed, err := collect(t.Context(), f, profile, redeem(t, f, r.ID),
		[]issuer.WalletKey{{Key: &key.PublicKey, Thumbprint: thumbprint, Nonce: nonce}})
	require.NoError(t, err)
	return shown{documentOf(t, f, r.ID), signed[0], key}
}

// present makes the DeviceResponse of a session.
func (s shown) present(t *testing.T) []byte {
	t.Helper()
	response, err := mdoc.BuildDeviceResponse(
		mdoc.Presentation{IssuerSigned: s.issuerSigned, DeviceKey: s.key, SessionTranscript: presentedIn})
	require.NoError(t, err)
	return response
}

// checkOutcomes gives the outcomes of a document's checks by name.
func checkOutcomes(d verifier.DocumentReport) map[string]string {
	out := map[string]string{}
	for _, c := range d.Checks {
		out[string(c.Check)] = string(c.Outcome)
	}
	return out
}

const passed, failed, unchecked = "ok", "failed", "not_checked"

func TestVerifyPresented(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		s := issueToKey(t, f, f.Person(t), f.Profile(t, "mdl"))
		response := s.present(t)
		ask := func(document, transcript []byte) verifier.Report {
			t.Helper()
			report, err := f.Issuer.VerifyPresented(ctx, issuer.Presented{Document: document, SessionTranscript: transcript}, newID(t))
			require.NoError(t, err)
			require.Len(t, report.Documents, 1)
			require.Equal(t, report.Valid, report.Documents[0].Valid)
			text, err := json.Marshal(report)
			require.NoError(t, err)
			for _, personal := range []string{"Mustermann", "Erika", "family_name", "org.iso.18013.5.1\"", s.Serial} {
				require.NotContains(t, string(text), personal)
			}
			return report
		}
		whole := map[string]string{"chain": passed, "signature": passed, "digests": passed, "doctype": passed, "validity": passed,
			"device": passed, "status": passed}
		with := func(changes ...string) map[string]string {
			out := map[string]string{}
			for name, outcome := range whole {
				out[name] = outcome
			}
			for i := 0; i < len(changes); i += 2 {
				out[changes[i]] = changes[i+1]
			}
			return out
		}
		report := ask(response, presentedIn)
		require.Equal(t, whole, checkOutcomes(report.Documents[0]))
		require.True(t, report.Valid)
		require.Equal(t, "org.iso.18013.5.1.mDL", report.Documents[0].DocType)

		report = ask(s.issuerSigned, nil)
		require.True(t, report.Valid)
		require.Equal(t, with("device", unchecked, "doctype", unchecked), checkOutcomes(report.Documents[0]))
		report = ask(response, nil)
		require.True(t, report.Valid)
		require.Equal(t, with("device", unchecked), checkOutcomes(report.Documents[0]))
		report = ask(response, []byte{0x80})
		require.False(t, report.Valid)
		require.Equal(t, with("device", failed, "status", unchecked), checkOutcomes(report.Documents[0]))
		require.Empty(t, report.Documents[0].DocType)
		report = ask(bytes.Replace(response, []byte("Mustermann"), []byte("Musterfrau"), 1), presentedIn)
		require.Equal(t, with("digests", failed, "status", unchecked), checkOutcomes(report.Documents[0]))

		// The state counts, also where the status list of an mDL says nothing of it.
		for _, step := range []struct {
			act     domain.DocumentAct
			outcome string
		}{{domain.DocumentDisable, failed}, {domain.DocumentEnable, passed}, {domain.DocumentCancel, failed}} {
			_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), s.ID, step.act, domain.ReasonLost, "")
			require.NoError(t, err)
			report = ask(response, presentedIn)
			require.Equal(t, step.outcome == passed, report.Valid)
			require.Equal(t, with("status", step.outcome), checkOutcomes(report.Documents[0]), step.act)
		}
		f.Clock.Advance(s.ValidUntil.Sub(f.Clock.Now()) + time.Hour)
		report = ask(s.issuerSigned, nil)
		require.Equal(t, failed, checkOutcomes(report.Documents[0])["validity"])
		require.False(t, report.Valid)
	})
}

func TestVerifyPresentedRefuses(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		s := issueToKey(t, f, f.Person(t), f.Profile(t, "mdl"))
		for name, c := range map[string]struct {
			presented issuer.Presented
			field     string
		}{
			"nothing":           {issuer.Presented{}, "document"},
			"text":              {issuer.Presented{Document: []byte("hello")}, "document"},
			"a map":             {issuer.Presented{Document: []byte{0xa0}}, "document"},
			"cut off":           {issuer.Presented{Document: s.issuerSigned[:len(s.issuerSigned)-1]}, "document"},
			"broken transcript": {issuer.Presented{Document: s.issuerSigned, SessionTranscript: []byte{0x82}}, "session_transcript"},
		} {
			_, err := f.Issuer.VerifyPresented(t.Context(), c.presented, name)
			codeIs(t, domain.CodeInvalid, err, name)
			require.Equal(t, []string{c.field}, fieldsOf(t, err))
		}
		for range 30 {
			_, err := f.Issuer.VerifyPresented(t.Context(), issuer.Presented{Document: s.issuerSigned}, "192.0.2.1")
			require.NoError(t, err)
		}
		_, err := f.Issuer.VerifyPresented(t.Context(), issuer.Presented{Document: s.issuerSigned}, "192.0.2.1")
		codeIs(t, domain.CodeRateLimited, err)
		require.NotEmpty(t, detail(t, err, "retry_after"))
	})
}

// A document of another authority, one whose signer is revoked, and ones that name a place in our lists that is not theirs.
func TestVerifyPresentedOfOthers(t *testing.T) {
	f, stranger := issuertest.New(t, issuertest.Options{}), issuertest.New(t, issuertest.Options{})
	ctx := t.Context()
	ask := func(document []byte) map[string]string {
		t.Helper()
		report, err := f.Issuer.VerifyPresented(ctx, issuer.Presented{Document: document}, newID(t))
		require.NoError(t, err)
		require.False(t, report.Valid)
		return checkOutcomes(report.Documents[0])
	}
	theirs := issueToKey(t, stranger, stranger.Person(t), stranger.Profile(t, "mdl"))
	require.Equal(t, failed, ask(theirs.issuerSigned)["chain"])

	ours := issueToKey(t, f, f.Person(t), f.Profile(t, "mdl"))
	list := copiesOf(t, f, ours.RequestID)[0]
	for name, ref := range map[string]*mdoc.StatusRef{
		"nobody's place": {Index: (list.StatusIndex + 1) % f.Config.StatusEntries, URI: f.Issuer.StatusListURI(list.ListID)},
		"no list":        nil,
		"unknown list":   {Index: list.StatusIndex, URI: f.Issuer.StatusListURI("none")},
		"another host's": {Index: list.StatusIndex, URI: "https://other.example/status-lists/" + list.ListID},
	} {
		got := ask(forged(t, f, ours, ref))
		require.Equal(t, passed, got["signature"], name)
		require.NotEqual(t, passed, got["status"], name)
	}
	db := rawSQL(t, f)
	_, err := db.ExecContext(ctx, `UPDATE certificates SET revoked_at = not_before WHERE kind = 'document_signer'`)
	require.NoError(t, err)
	require.Equal(t, failed, ask(ours.issuerSigned)["chain"])

	require.NoError(t, f.Store.Close())
	_, err = f.Issuer.VerifyPresented(ctx, issuer.Presented{Document: ours.issuerSigned}, newID(t))
	codeIs(t, domain.CodeInternal, err)
}

// forged signs, with our own signer, a document that names some place in a list.
func forged(t *testing.T, f *issuertest.Fixture, s shown, ref *mdoc.StatusRef) []byte {
	t.Helper()
	rows, err := f.Store.Certificates(t.Context(), "document_signer")
	require.NoError(t, err)
	key, err := f.Deps.Keys.Open(t.Context(), rows[0].KeyID)
	require.NoError(t, err)
	signer, err := x509.ParseCertificate(rows[0].DER)
	require.NoError(t, err)
	issued, err := mdoc.Issue(rand.Reader, mdoc.Request{DocType: s.DocType, DigestAlgorithm: mdoc.SHA256, DeviceKey: &s.key.PublicKey,
		NameSpaces: []mdoc.NameSpace{{Name: "n", Elements: []mdoc.Element{{Identifier: "e", Value: "v"}}}},
		Signed:     s.SignedAt, ValidFrom: s.ValidFrom, ValidUntil: s.ValidUntil, Status: ref},
		mdoc.Signer{Key: key, Chain: []*x509.Certificate{signer}})
	require.NoError(t, err)
	return issued.Bytes
}
