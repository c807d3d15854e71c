package verifier_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/verifier"
)

var transcript = []byte{0x83, 0xf6, 0xf6, 0x67, 's', 'e', 's', 's', 'i', 'o', 'n'}

// present makes the DeviceResponse of a document.
func present(t testing.TB, document []byte, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	response, err := mdoc.BuildDeviceResponse(mdoc.Presentation{IssuerSigned: document, DeviceKey: key, SessionTranscript: transcript})
	require.NoError(t, err)
	return response
}

// outcomes gives how the checks went, in order: o = ok, f = failed, n = not checked.
func outcomes(r verifier.Result) string {
	out := ""
	for _, c := range r.Checks {
		out += string(c.Outcome[0])
	}
	return out
}

// combined is a DeviceResponse of several documents.
func combined(t *testing.T, responses ...[]byte) []byte {
	t.Helper()
	type response struct {
		Version   string            `cbor:"version"`
		Documents []cbor.RawMessage `cbor:"documents"`
		Status    uint64            `cbor:"status"`
	}
	all := response{Version: "1.0", Documents: []cbor.RawMessage{}}
	for _, r := range responses {
		var one response
		require.NoError(t, cbor.Unmarshal(r, &one))
		all.Documents = append(all.Documents, one.Documents...)
	}
	out, err := cbor.Marshal(all)
	require.NoError(t, err)
	return out
}

// withMAC takes the device's signature away and puts a MAC in its place.
func withMAC(t *testing.T, response []byte) []byte {
	t.Helper()
	var r map[string]any
	require.NoError(t, cbor.Unmarshal(response, &r))
	documents, ok := r["documents"].([]any)
	require.True(t, ok)
	first, ok := documents[0].(map[any]any)
	require.True(t, ok)
	signed, ok := first["deviceSigned"].(map[any]any)
	require.True(t, ok)
	signed["deviceAuth"] = map[string]any{"deviceMac": []any{[]byte{0xa1, 1, 5}, map[int]int{}, nil, make([]byte, 32)}}
	out, err := cbor.Marshal(r)
	require.NoError(t, err)
	return out
}

func TestPresent(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	ref := &mdoc.StatusRef{Index: 7, URI: listURI}
	document, key := a.issue(t, ref)
	other, otherKey := a.issue(t, nil)
	response := present(t, document, key)
	stolen, err := mdoc.DecodeDeviceResponse(response)
	require.NoError(t, err)
	require.Len(t, stolen.Documents, 1)
	good := a.list(t, listURI, nil)
	// chain, signature, digests, doctype, validity, device, status
	for name, c := range map[string]struct {
		presented []byte
		change    func(o *verifier.Options)
		want      []string
		valid     bool
	}{
		"in a session":         {response, nil, []string{"ooooooo"}, true},
		"session not known":    {response, func(o *verifier.Options) { o.SessionTranscript = nil }, []string{"ooooono"}, true},
		"another session":      {response, func(o *verifier.Options) { o.SessionTranscript = []byte{0x80} }, []string{"ooooofn"}, false},
		"with a MAC":           {withMAC(t, response), nil, []string{"ooooono"}, true},
		"issued":               {document, nil, []string{"ooonono"}, true},
		"two documents":        {combined(t, response, present(t, other, otherKey)), nil, []string{"ooooooo", "oooooon"}, true},
		"revoked and whole":    {combined(t, response, present(t, other, otherKey)), func(o *verifier.Options) { o.Lists = [][]byte{a.list(t, listURI, map[uint64]statuslist.Status{7: 1})} }, []string{"oooooof", "oooooon"}, false},
		"offline":              {document, func(o *verifier.Options) { o.Lists = nil }, []string{"ooononn"}, false},
		"a changed element":    {bytes.Replace(response, []byte("Ada"), []byte("Eda"), 1), nil, []string{"oofooon"}, false},
		"of another docType":   {bytes.Replace(response, []byte("docTypemorg.example.1"), []byte("docTypemorg.example.2"), 1), nil, []string{"ooofofn"}, false},
		"no root":              {document, func(o *verifier.Options) { o.Roots = nil }, []string{"foononn"}, false},
		"another root":         {document, func(o *verifier.Options) { o.Roots = stranger.roots }, []string{"foononn"}, false},
		"signer revoked":       {document, func(o *verifier.Options) { o.Revoked = func(*x509.Certificate) bool { return true } }, []string{"foononn"}, false},
		"signer not revoked":   {document, func(o *verifier.Options) { o.Revoked = func(c *x509.Certificate) bool { return c.IsCA } }, []string{"ooonono"}, true},
		"too late":             {document, func(o *verifier.Options) { o.Now = a.now.AddDate(0, 2, 0) }, []string{"ooonfnn"}, false},
		"too late for all":     {document, func(o *verifier.Options) { o.Now = a.now.AddDate(2, 0, 0) }, []string{"foonfnn"}, false},
		"signature turned":     {flipLast(document), nil, []string{"ofononn"}, false},
		"the issuer is asked":  {document, func(o *verifier.Options) { o.Ask = answers(verifier.StatusSuspended, nil) }, []string{"ooononf"}, false},
		"the issuer is silent": {document, func(o *verifier.Options) { o.Ask = answers(verifier.StatusValid, errors.New("secret cause")) }, []string{"ooononn"}, false},
		"asked about no list":  {other, func(o *verifier.Options) { o.Ask = answers(verifier.StatusValid, nil) }, []string{"ooononn"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := verifier.Options{Roots: a.roots, Now: a.now, SessionTranscript: transcript, Lists: [][]byte{good}}
			if c.change != nil {
				c.change(&o)
			}
			got, err := verifier.Present(t.Context(), c.presented, o)
			require.NoError(t, err)
			var went []string
			for _, r := range got {
				went = append(went, outcomes(r))
				for i, check := range r.Checks {
					require.Equal(t, verifier.CheckNames()[i], check.Check)
					require.Equal(t, check.Outcome == verifier.OutcomeOK, check.Problem == "")
				}
			}
			require.Equal(t, c.want, went)
			report := verifier.NewReport(got)
			require.Equal(t, c.valid, report.Valid)
			text, err := json.Marshal(report)
			require.NoError(t, err)
			for _, ofTheDocument := range []string{"Ada", "Eda", `\"name\"`, "x509", "secret cause", listURI} {
				require.NotContains(t, string(text), ofTheDocument)
			}
		})
	}
}

// answers is an issuer that says the same of every document.
func answers(s verifier.Status, err error) func(context.Context, mdoc.StatusRef) (verifier.Status, error) {
	return func(context.Context, mdoc.StatusRef) (verifier.Status, error) { return s, err }
}

// flipLast turns one bit of the signature, which is where a document ends.
func flipLast(document []byte) []byte {
	out := bytes.Clone(document)
	out[len(out)-1] ^= 1
	return out
}

func TestPresentRefuses(t *testing.T) {
	a := newAuthority(t)
	document, key := a.issue(t, nil)
	response := present(t, document, key)
	seventeen := make([][]byte, 17)
	for i := range seventeen {
		seventeen[i] = response
	}
	o := verifier.Options{Roots: a.roots, Now: a.now}
	for name, junk := range map[string][]byte{
		"nothing": nil, "text": []byte("x"), "cut off": response[:len(response)-1], "no documents": combined(t), "too many": combined(t, seventeen...),
		"a document cut off": document[:len(document)-1], "a broken document": bytes.Replace(response, []byte("issuerAuth"), []byte("issuerOuth"), 1),
	} {
		_, err := verifier.Present(t.Context(), junk, o)
		require.ErrorIs(t, err, verifier.ErrUnreadable, name)
	}
	o.SessionTranscript = []byte{0x82, 1}
	_, err := verifier.Present(t.Context(), response, o)
	require.ErrorIs(t, err, verifier.ErrTranscript)
	require.False(t, verifier.NewReport(nil).Valid)
}

// Lists at hand are used by their subject, in either form; only what none of them says is fetched.
func TestGivenLists(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	document := a.document(t, &mdoc.StatusRef{Index: 7, URI: listURI})
	set := map[uint64]statuslist.Status{7: statuslist.Invalid}
	of := func(uri string, set map[uint64]statuslist.Status) *statuslist.Signed {
		return a.signedList(t, uri, set)
	}
	for name, c := range map[string]struct {
		lists   [][]byte
		fetched bool
		later   time.Duration
		want    verifier.Status
		by      string
	}{
		"CWT":              {lists: [][]byte{of(listURI, set).CWT}, want: verifier.StatusInvalid},
		"JWT":              {lists: [][]byte{[]byte(of(listURI, set).JWT + "\n")}, want: verifier.StatusInvalid},
		"among others":     {lists: [][]byte{of("https://o.example/1", nil).CWT, []byte(of(listURI, set).JWT)}, want: verifier.StatusInvalid},
		"only others":      {lists: [][]byte{of("https://o.example/1", nil).CWT}, want: verifier.StatusUnknown, by: "was not looked at"},
		"of a stranger":    {lists: [][]byte{stranger.list(t, listURI, set)}, want: verifier.StatusUnknown, by: "not trusted"},
		"junk":             {lists: [][]byte{{}, []byte("ey"), []byte("\xd2")}, want: verifier.StatusUnknown, by: "malformed"},
		"too old":          {lists: [][]byte{of(listURI, set).CWT}, later: time.Hour, want: verifier.StatusUnknown, by: "expired"},
		"fetched instead":  {lists: [][]byte{of("https://o.example/1", set).CWT}, fetched: true, want: verifier.StatusValid},
		"needs no fetch":   {lists: [][]byte{of(listURI, set).CWT}, fetched: true, want: verifier.StatusInvalid},
		"no list anywhere": {want: verifier.StatusUnknown, by: "was not looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			o := verifier.Options{Roots: a.roots, Now: a.now.Add(c.later), Lists: c.lists}
			if c.fetched {
				fetched := []byte(of(listURI, nil).JWT)
				o.Fetch = func(context.Context, string) ([]byte, error) { return fetched, nil }
			}
			got, err := verifier.Verify(t.Context(), document, o)
			require.NoError(t, err)
			require.Equal(t, c.want, got.Status)
			require.Contains(t, got.StatusBy, c.by)
		})
	}
}
