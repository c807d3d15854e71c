package public_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/public"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/mdoc"
	reference "github.com/mdocket/mdocket/internal/wallet"
)

var session = []byte{0x83, 0xf6, 0xf6, 0x67, 's', 'e', 's', 's', 'i', 'o', 'n'}

// post sends a body to POST /verify.
func (a *authority) post(contentType string, body []byte) answer {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.web.URL+"/verify", bytes.NewReader(body))
	require.NoError(a.t, err)
	request.Header.Set("Content-Type", contentType)
	response, err := a.web.Client().Do(request)
	require.NoError(a.t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	require.NoError(a.t, response.Body.Close())
	return answer{response.StatusCode, response.Header, string(text)}
}

// presented collects a document and gives it as it was issued, and as its wallet presents it.
func (a *authority) presented() (id string, issuerSigned, response []byte) {
	a.t.Helper()
	folder, err := reference.Open(a.t.TempDir())
	require.NoError(a.t, err)
	w, err := reference.New(reference.Options{Store: folder, HTTPClient: a.web.Client(), Now: a.Clock.Now})
	require.NoError(a.t, err)
	c := a.newCollection(a.Profile(a.t, "mdl"))
	got, err := w.Collect(a.t.Context(), c.link, c.code, reference.CollectOptions{Keys: 1})
	require.NoError(a.t, err)
	issuerSigned, key, err := folder.Copy(got.Document.ID, 0)
	require.NoError(a.t, err)
	response, err = mdoc.BuildDeviceResponse(mdoc.Presentation{IssuerSigned: issuerSigned, DeviceKey: key, SessionTranscript: session})
	require.NoError(a.t, err)
	r, err := a.Issuer.Request(a.t.Context(), a.Admin(), c.request.ID)
	require.NoError(a.t, err)
	return r.DocumentID, issuerSigned, response
}

// asJSON is the JSON form of what is presented.
func asJSON(t *testing.T, encoding *base64.Encoding, document, transcript []byte) []byte {
	t.Helper()
	form := map[string]string{"document": encoding.EncodeToString(document)}
	if transcript != nil {
		form["session_transcript"] = encoding.EncodeToString(transcript)
	}
	body, err := json.Marshal(form)
	require.NoError(t, err)
	return body
}

func TestVerifyPresented(t *testing.T) {
	a := newAuthority(t)
	id, issuerSigned, response := a.presented()
	checks := func(valid bool, device, doctype, status string) string {
		part := func(name, outcome, problem string) map[string]string {
			out := map[string]string{"check": name, "outcome": outcome}
			if problem != "" {
				out["problem"] = problem
			}
			return out
		}
		text := map[string]string{"ok": "", "not given": "the session transcript was not given",
			"alone":   "the document alone was given: no device has presented it",
			"nothing": "the document alone was given: nothing says which docType it should have", "suspended": "the status is suspended"}
		outcome := func(how string) string {
			return map[string]string{"ok": "ok", "suspended": "failed"}[how]
		}
		skipped := func(how string) string {
			if o := outcome(how); o != "" {
				return o
			}
			return "not_checked"
		}
		all := []any{part("chain", "ok", ""), part("signature", "ok", ""), part("digests", "ok", ""),
			part("doctype", skipped(doctype), text[doctype]), part("validity", "ok", ""), part("device", skipped(device), text[device]),
			part("status", skipped(status), text[status])}
		form, err := json.Marshal(map[string]any{"valid": valid,
			"documents": []any{map[string]any{"doc_type": "org.iso.18013.5.1.mDL", "valid": valid, "checks": all}}})
		require.NoError(t, err)
		return string(form)
	}
	for name, c := range map[string]struct {
		contentType string
		body        []byte
		want        string
	}{
		"IssuerSigned":          {"application/cbor", issuerSigned, checks(true, "alone", "nothing", "ok")},
		"DeviceResponse":        {"application/cbor", response, checks(true, "not given", "ok", "ok")},
		"JSON":                  {"application/json; charset=utf-8", asJSON(t, base64.RawURLEncoding, response, nil), checks(true, "not given", "ok", "ok")},
		"JSON with a session":   {"application/json", asJSON(t, base64.RawURLEncoding, response, session), checks(true, "ok", "ok", "ok")},
		"JSON with padding":     {"Application/JSON", asJSON(t, base64.URLEncoding, response, session), checks(true, "ok", "ok", "ok")},
		"IssuerSigned and JSON": {"application/json", asJSON(t, base64.RawURLEncoding, issuerSigned, nil), checks(true, "alone", "nothing", "ok")},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.post(c.contentType, c.body)
			require.Equal(t, http.StatusOK, got.status, got.body)
			require.JSONEq(t, c.want, got.body)
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
		})
	}
	_, err := a.Issuer.ChangeDocument(t.Context(), a.Admin(), id, domain.DocumentDisable, domain.ReasonLost, "")
	require.NoError(t, err)
	got := a.post("application/cbor", response)
	require.Equal(t, http.StatusOK, got.status)
	require.JSONEq(t, checks(false, "not given", "ok", "suspended"), got.body)
	require.NotContains(t, a.Logs.String(), "Mustermann")

	browser := a.do(http.MethodOptions, "/verify", "Origin", "https://verifier.example", "Access-Control-Request-Method", "POST")
	require.Equal(t, http.StatusNoContent, browser.status)
	require.Equal(t, "POST", browser.header.Get("Access-Control-Allow-Methods"))
	require.Equal(t, "Content-Type", browser.header.Get("Access-Control-Allow-Headers"))
	require.Equal(t, http.StatusMethodNotAllowed, a.get("/verify").status)
}

func TestVerifyPresentedRefuses(t *testing.T) {
	a := newAuthority(t)
	for name, c := range map[string]struct {
		contentType, body string
		status            int
		code              string
	}{
		"no content type":      {"", "x", http.StatusUnsupportedMediaType, "unsupported_media_type"},
		"a form":               {"application/x-www-form-urlencoded", "document=x", http.StatusUnsupportedMediaType, "unsupported_media_type"},
		"broken content type":  {"application/", "x", http.StatusUnsupportedMediaType, "unsupported_media_type"},
		"nothing":              {"application/cbor", "", http.StatusUnprocessableEntity, "invalid"},
		"no CBOR":              {"application/cbor", "hello", http.StatusUnprocessableEntity, "invalid"},
		"no JSON":              {"application/json", "hello", http.StatusBadRequest, "malformed"},
		"an array":             {"application/json", "[]", http.StatusBadRequest, "malformed"},
		"two objects":          {"application/json", `{"document":"oA"}{}`, http.StatusBadRequest, "malformed"},
		"unknown member":       {"application/json", `{"document":"oA","image":"x"}`, http.StatusBadRequest, "malformed"},
		"no document":          {"application/json", `{}`, http.StatusUnprocessableEntity, "invalid"},
		"base64":               {"application/json", `{"document":"+/+/"}`, http.StatusUnprocessableEntity, "invalid"},
		"no base64":            {"application/json", `{"document":"a b"}`, http.StatusUnprocessableEntity, "invalid"},
		"empty transcript":     {"application/json", `{"document":"oA","session_transcript":""}`, http.StatusUnprocessableEntity, "invalid"},
		"transcript not CBOR":  {"application/json", `{"document":"oA","session_transcript":"gg"}`, http.StatusUnprocessableEntity, "invalid"},
		"too large":            {"application/cbor", strings.Repeat("x", 3<<19+1), http.StatusRequestEntityTooLarge, "too_large"},
		"too large, not known": {"application/json", `{"document":"` + strings.Repeat("A", 3<<19) + `"}`, http.StatusRequestEntityTooLarge, "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.post(c.contentType, []byte(c.body))
			require.Equal(t, c.status, got.status, got.body)
			require.Contains(t, got.body, `"code":"`+c.code+`"`)
			require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
		})
	}
	got := a.post("application/cbor", nil)
	for range 30 {
		got = a.post("application/cbor", nil)
	}
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
}

// Whatever body comes, it is read or refused with an error that callers understand.
func FuzzReadPresented(f *testing.F) {
	f.Add("application/cbor", []byte{0xa0})
	f.Add("application/json", []byte(`{"document":"oA","session_transcript":"gA=="}`))
	f.Add("application/json; charset=\"", []byte(`{"document":`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		got, err := public.ReadPresented(contentType, bytes.NewReader(body))
		if err == nil {
			require.True(t, len(got.Document) > 0 || strings.Contains(strings.ToLower(contentType), "cbor"))
			return
		}
		var refused *domain.Error
		if !errors.As(err, &refused) {
			require.Contains(t, err.Error(), "the body ")
		}
	})
}
