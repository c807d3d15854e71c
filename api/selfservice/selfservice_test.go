package selfservice_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api"
	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// server is the whole API over a fixture, with self-service switched on.
type server struct {
	*issuertest.Fixture
	handler http.Handler
	admin   string // token
}

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, s *server)) {
	for name, o := range map[string]issuertest.Options{"sqlite": {}, "postgres": {Postgres: true}} {
		t.Run(name, func(t *testing.T) { test(t, newServer(t, o)) })
	}
}

func newServer(t *testing.T, o issuertest.Options) *server {
	t.Helper()
	f := issuertest.New(t, o)
	handler, err := api.New(api.Deps{Issuer: f.Issuer, Access: f.Access, Metrics: f.Metrics, Log: f.Issuer.Log, Ready: f.Store.Ping,
		Now: f.Clock.Now, Config: api.Config{BaseURL: f.Config.BaseURL}})
	require.NoError(t, err)
	role, err := f.Issuer.CreateRole(t.Context(), f.Admin(), "", issuer.SaveRole{Name: "holder",
		Permissions: []domain.Permission{domain.PermRequestSelf, domain.PermCollect}})
	require.NoError(t, err)
	settings, err := f.Issuer.Settings(t.Context(), f.Admin())
	require.NoError(t, err)
	settings.SelfServiceRole = role.ID
	_, err = f.Issuer.ChangeSettings(t.Context(), f.Admin(), settings)
	require.NoError(t, err)
	return &server{Fixture: f, handler: handler, admin: f.Token(t, f.Admin())}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request; a body that is no string goes as JSON. Whatever is answered must not be stored.
func (s *server) call(t *testing.T, token, method, path string, body any, header ...string) answer {
	t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		form, err := json.Marshal(b)
		require.NoError(t, err)
		r = bytes.NewReader(form)
	}
	req := httptest.NewRequestWithContext(t.Context(), method, path, r)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, req)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	return answer{status: w.Code, header: w.Header(), body: w.Body.Bytes()}
}

func (a answer) into(t *testing.T, status int, out any) {
	t.Helper()
	require.Equal(t, status, a.status, string(a.body))
	require.NoError(t, json.Unmarshal(a.body, out), string(a.body))
}

func (a answer) object(t *testing.T, status int) map[string]any {
	t.Helper()
	var out map[string]any
	a.into(t, status, &out)
	return out
}

func (a answer) items(t *testing.T) []map[string]any {
	t.Helper()
	var out struct {
		Items []map[string]any `json:"items"`
	}
	a.into(t, http.StatusOK, &out)
	require.NotNil(t, out.Items)
	return out.Items
}

func (a answer) refused(t *testing.T, code domain.Code) problem.Problem {
	t.Helper()
	var p problem.Problem
	require.NoError(t, json.Unmarshal(a.body, &p), string(a.body))
	require.Equal(t, code, p.Code, string(a.body))
	require.Equal(t, problem.Status(code), a.status)
	require.Equal(t, problem.MediaType, a.header.Get("Content-Type"))
	return p
}

// holder is a person who is signed in with a logon code.
type holder struct {
	domain.Person
	code  string
	token string
}

func (s *server) holder(t *testing.T, name string, change ...func(*domain.Person)) holder {
	t.Helper()
	h := holder{Person: s.Person(t, append(change, func(p *domain.Person) { p.LogonName = name })...)}
	made := s.call(t, s.admin, http.MethodPost, "/v1/people/"+h.ID+"/logon-code", map[string]any{"kind": "complex", "deliver": "screen"}).
		object(t, http.StatusCreated)
	require.Equal(t, name, made["logon_name"])
	h.code = made["code"].(string)
	h.token = s.call(t, "", http.MethodPost, "/v1/sessions", map[string]any{"logon_name": name, "logon_code": h.code}).
		object(t, http.StatusCreated)["token"].(string)
	return h
}

func unreachable(p *domain.Person) { p.Email, p.Mobile = "", "" }

func TestHolderSignsIn(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		h := s.holder(t, "erika")
		me := s.call(t, h.token, http.MethodGet, "/v1/me", nil).object(t, http.StatusOK)
		require.Equal(t, "holder-"+h.ID, me["account_name"])
		require.Equal(t, "Erika Mustermann", me["display_name"])
		require.Equal(t, h.ID, me["person_id"])
		require.Equal(t, []any{map[string]any{"permission": "request_self", "scope": "self"},
			map[string]any{"permission": "collect", "scope": "self"}}, me["grants"])
		s.call(t, h.token, http.MethodGet, "/v1/people", nil).refused(t, domain.CodeForbidden)

		wrong := s.call(t, "", http.MethodPost, "/v1/sessions", map[string]any{"logon_name": "erika", "logon_code": "AAAA-not-it"})
		unknown := s.call(t, "", http.MethodPost, "/v1/sessions", map[string]any{"logon_name": "nobody", "logon_code": h.code})
		first, second := wrong.refused(t, domain.CodeUnauthenticated), unknown.refused(t, domain.CodeUnauthenticated)
		first.CorrelationID, second.CorrelationID = "", ""
		require.Equal(t, first, second)
		require.NotContains(t, string(wrong.body), "AAAA")

		require.Equal(t, http.StatusNoContent, s.call(t, h.token, http.MethodDelete, "/v1/sessions/current", nil).status)
		s.call(t, h.token, http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)
	})
}

func TestBadSignIns(t *testing.T) {
	s := newServer(t, issuertest.Options{})
	s.Person(t, func(p *domain.Person) { p.LogonName = "erika" })
	for name, c := range map[string]struct {
		body   any
		code   domain.Code
		fields []string
	}{
		"nothing":     {map[string]any{}, domain.CodeInvalid, []string{"name", "password"}},
		"name alone":  {map[string]any{"name": "a"}, domain.CodeInvalid, []string{"password"}},
		"logon alone": {map[string]any{"logon_name": "a"}, domain.CodeInvalid, []string{"logon_code"}},
		"code alone":  {map[string]any{"logon_code": "a"}, domain.CodeInvalid, []string{"logon_name"}},
		"empty":       {map[string]any{"logon_name": "", "logon_code": ""}, domain.CodeInvalid, []string{"name", "password"}},
		"both": {map[string]any{"name": "a", "password": "b", "logon_name": "c", "logon_code": "d"}, domain.CodeInvalid,
			[]string{"name", "password"}},
		"mixed":  {map[string]any{"name": "a", "logon_code": "d"}, domain.CodeInvalid, []string{"name", "logon_name"}},
		"number": {map[string]any{"logon_name": "erika", "logon_code": 123456}, domain.CodeInvalid, []string{"logon_code"}},
		"endless code": {map[string]any{"logon_name": "erika", "logon_code": strings.Repeat("1", 129)}, domain.CodeInvalid,
			[]string{"logon_code"}},
		"endless name": {map[string]any{"logon_name": strings.Repeat("e", 151), "logon_code": "1"}, domain.CodeInvalid,
			[]string{"logon_name"}},
		"unknown member": {map[string]any{"logon_name": "erika", "logon_code": "1", "otp": "1"}, domain.CodeInvalid, []string{"otp"}},
		"null":           {`{"logon_name": null, "logon_code": "1"}`, domain.CodeInvalid, []string{"logon_name"}},
		"NUL":            {`{"logon_name": "a\u0000", "logon_code": "1"}`, problem.CodeMalformed, nil},
		"not UTF-8":      {"{\"logon_name\": \"\xff\", \"logon_code\": \"1\"}", problem.CodeMalformed, nil},
		"not JSON":       {`logon_name=erika`, problem.CodeMalformed, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.call(t, "", http.MethodPost, "/v1/sessions", c.body).refused(t, c.code)
			var fields []string
			for _, e := range p.Errors {
				fields = append(fields, e.Field)
			}
			require.Equal(t, c.fields, fields)
		})
	}
}

func TestSignInSwitchedOff(t *testing.T) {
	s := newServer(t, issuertest.Options{})
	h := s.holder(t, "erika")
	settings, err := s.Issuer.Settings(t.Context(), s.Admin())
	require.NoError(t, err)
	settings.SelfServiceRole = ""
	_, err = s.Issuer.ChangeSettings(t.Context(), s.Admin(), settings)
	require.NoError(t, err)
	s.call(t, "", http.MethodPost, "/v1/sessions", map[string]any{"logon_name": "erika", "logon_code": h.code}).
		refused(t, domain.CodeForbidden)
}

// Whoever got hold of the code before is out when a new one is made.
func TestNewLogonCodeEndsSessions(t *testing.T) {
	s := newServer(t, issuertest.Options{})
	h := s.holder(t, "erika")
	own := s.Token(t, s.Caller(t, "own", h.ID, issuertest.Grants{domain.PermRequestSelf: domain.ScopeSelf}))
	s.call(t, h.token, http.MethodGet, "/v1/me", nil).object(t, http.StatusOK)
	made := s.call(t, s.admin, http.MethodPost, "/v1/people/"+h.ID+"/logon-code", map[string]any{"kind": "simple", "deliver": "email"}).
		object(t, http.StatusCreated)
	require.NotContains(t, made, "code")
	s.call(t, h.token, http.MethodGet, "/v1/me", nil).refused(t, domain.CodeUnauthenticated)
	s.call(t, own, http.MethodGet, "/v1/me", nil).object(t, http.StatusOK)
}

// A holder without any contact data asks, reads the code from the screen, collects, loses the phone and says so.
func TestHolderCollectsFromTheScreen(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		h := s.holder(t, "erika", unreachable)
		profile := s.Profile(t, "mdl")
		profiles := s.call(t, h.token, http.MethodGet, "/v1/me/profiles", nil).items(t)
		require.Len(t, profiles, 1)
		require.Equal(t, true, profiles[0]["allowed"])
		require.Equal(t, []any{}, profiles[0]["refusals"])
		require.Equal(t, map[string]any{"server_name": "Test Authority", "profile_name": "MobileID Erika Mustermann"}, profiles[0]["display"])

		a := s.call(t, h.token, http.MethodPost, "/v1/me/requests", map[string]any{"profile_id": profile.ID}, "Idempotency-Key", "one")
		made := a.object(t, http.StatusCreated)
		id := made["id"].(string)
		require.Equal(t, "/v1/me/requests/"+id, a.header.Get("Location"))
		require.Equal(t, "you", made["requested_by"])
		qr, ok := made["qr"].(map[string]any)
		require.True(t, ok, string(a.body))
		s.checkQR(t, qr)
		again := s.call(t, h.token, http.MethodPost, "/v1/me/requests", map[string]any{"profile_id": profile.ID}, "Idempotency-Key", "one").
			object(t, http.StatusCreated)
		require.Equal(t, id, again["id"])
		s.call(t, h.token, http.MethodPost, "/v1/me/requests", map[string]any{"profile_id": nobody}, "Idempotency-Key", "one").
			refused(t, domain.CodeIdempotencyReused)
		s.checkQR(t, s.call(t, h.token, http.MethodGet, "/v1/me/requests/"+id+"/qr", nil).object(t, http.StatusOK))
		s.collect(t, qr)

		got := s.call(t, h.token, http.MethodGet, "/v1/me/requests/"+id, nil).object(t, http.StatusOK)
		require.Equal(t, "issued", got["state"])
		require.Equal(t, false, got["cancelable"])
		for _, step := range got["timeline"].([]any) {
			require.Contains(t, []any{"you", "wallet", "issuer"}, step.(map[string]any)["by"])
		}
		documents := s.call(t, h.token, http.MethodGet, "/v1/me/documents", nil).items(t)
		require.Len(t, documents, 1)
		lost := "/v1/me/documents/" + documents[0]["id"].(string) + "/report-lost"
		for range 2 {
			d := s.call(t, h.token, http.MethodPost, lost, map[string]any{"reason": "stolen", "notes": "on the train"}).object(t, http.StatusOK)
			require.Equal(t, "canceled", d["state"])
		}
	})
}

const nobody = "01890000-0000-7000-8000-000000000000"

// checkQR checks what a screen gets: the picture, the drawing and the link are of one offer that can be read.
func (s *server) checkQR(t *testing.T, qr map[string]any) {
	t.Helper()
	link, err := url.Parse(qr["link"].(string))
	require.NoError(t, err)
	require.Equal(t, "openid-credential-offer", link.Scheme)
	offerAt := link.Query().Get("credential_offer_uri")
	require.True(t, strings.HasPrefix(offerAt, issuertest.BaseURL+"/"), offerAt)
	token := path.Base(offerAt)
	require.Equal(t, issuertest.BaseURL+"/c/"+token, qr["page"])
	_, err = s.Issuer.Offer(t.Context(), token)
	require.NoError(t, err)
	picture, err := base64.StdEncoding.DecodeString(qr["qr_png"].(string))
	require.NoError(t, err)
	img, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	require.Greater(t, img.Bounds().Dx(), 200)
	require.True(t, strings.HasPrefix(qr["qr_svg"].(string), "<svg "))
	require.Regexp(t, `^[0-9]{8}$`, qr["code"])
	until, err := time.Parse(time.RFC3339, qr["show_until"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, s.Clock.Now().Add(2*time.Minute), until, 10*time.Second)
}

// collect does what a wallet does with the code of a screen.
func (s *server) collect(t *testing.T, qr map[string]any) {
	t.Helper()
	ctx := t.Context()
	offer, err := s.Issuer.Offer(ctx, path.Base(qr["page"].(string)))
	require.NoError(t, err)
	token, err := s.Issuer.Redeem(ctx, offer.PreAuthorizedCode, qr["code"].(string), "192.0.2.1")
	require.NoError(t, err)
	_, err = s.Issuer.Collect(ctx, issuer.Collect{AccessToken: token.AccessToken, ConfigurationID: token.ConfigurationID,
		Keys: []issuer.WalletKey{s.WalletKey(t)}, Platform: domain.PlatformIOS})
	require.NoError(t, err)
}

func TestHolderSeesNoOneElse(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		h, other := s.holder(t, "erika"), s.holder(t, "max")
		guarded := s.Profile(t, "guarded", func(o *domain.ProfileOptions) { o.ValidateIssuance, o.ValidateCancellation = true, true })
		plain := s.Profile(t, "plain")
		doc := s.Issue(t, h.ID, plain.ID)
		made := s.call(t, h.token, http.MethodPost, "/v1/me/requests", map[string]any{"profile_id": guarded.ID}).object(t, http.StatusCreated)
		require.NotContains(t, made, "qr")
		id := made["id"].(string)
		require.Equal(t, "awaiting_approval", made["state"])
		s.call(t, h.token, http.MethodGet, "/v1/me/requests/"+id+"/qr", nil).refused(t, domain.CodeApprovalRequired)
		approver := s.Caller(t, "approver", "", issuertest.All(domain.PermApprove))
		_, err := s.Issuer.Approve(t.Context(), approver, id, issuer.Approval{Reason: "known to me"})
		require.NoError(t, err)

		for _, a := range []answer{
			s.call(t, h.token, http.MethodGet, "/v1/me/requests", nil),
			s.call(t, h.token, http.MethodGet, "/v1/me/requests/"+id, nil),
			s.call(t, h.token, http.MethodGet, "/v1/me/requests/"+id+"/qr", nil),
			s.call(t, h.token, http.MethodGet, "/v1/me/documents", nil),
			s.call(t, h.token, http.MethodPost, "/v1/me/requests/"+id+"/cancel", nil),
		} {
			require.Equal(t, http.StatusOK, a.status, string(a.body))
			for _, inner := range []string{approver.AccountID, s.Admin().AccountID, "known to me", "decided_by", "generation"} {
				require.NotContains(t, string(a.body), inner)
			}
		}
		for _, c := range []struct{ method, path, what string }{
			{http.MethodGet, "/v1/me/requests/%s", "request"}, {http.MethodGet, "/v1/me/requests/%s/qr", "request"},
			{http.MethodPost, "/v1/me/requests/%s/cancel", "request"}, {http.MethodPost, "/v1/me/documents/%s/report-lost", "document"},
		} {
			var body any
			existing := id
			if c.what == "document" {
				body, existing = map[string]any{"reason": "lost"}, doc.ID
			}
			theirs := s.call(t, other.token, c.method, fmt.Sprintf(c.path, existing), body).refused(t, domain.CodeNotFound)
			none := s.call(t, other.token, c.method, fmt.Sprintf(c.path, nobody), body).refused(t, domain.CodeNotFound)
			theirs.CorrelationID, none.CorrelationID = "", ""
			require.Equal(t, none, theirs, "%s of another looks as if it did not exist", c.what)
		}
	})
}

func TestBadCalls(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		h := s.holder(t, "erika")
		doc := s.Issue(t, h.ID, s.Profile(t, "plain").ID)
		lost := "/v1/me/documents/" + doc.ID + "/report-lost"
		for name, c := range map[string]struct {
			method, path string
			body         any
			header       []string
			code         domain.Code
		}{
			"no profile":      {http.MethodPost, "/v1/me/requests", map[string]any{}, nil, domain.CodeInvalid},
			"empty profile":   {http.MethodPost, "/v1/me/requests", map[string]any{"profile_id": ""}, nil, domain.CodeInvalid},
			"unknown profile": {http.MethodPost, "/v1/me/requests", map[string]any{"profile_id": nobody}, nil, domain.CodeNotFound},
			"for somebody": {http.MethodPost, "/v1/me/requests", map[string]any{"profile_id": nobody, "person_id": nobody}, nil,
				domain.CodeInvalid},
			"with expiry": {http.MethodPost, "/v1/me/requests", map[string]any{"profile_id": nobody, "expiry_date": "2040-01-01"}, nil,
				domain.CodeInvalid},
			"bad key": {http.MethodPost, "/v1/me/requests", map[string]any{"profile_id": nobody}, []string{"Idempotency-Key", "ä"},
				domain.CodeInvalid},
			"no body":             {http.MethodPost, "/v1/me/requests", nil, nil, problem.CodeMalformed},
			"long id":             {http.MethodGet, "/v1/me/requests/" + strings.Repeat("a", 65), nil, nil, domain.CodeInvalid},
			"bad id":              {http.MethodGet, "/v1/me/requests/x", nil, nil, domain.CodeNotFound},
			"bad id of a QR code": {http.MethodGet, "/v1/me/requests/x/qr", nil, nil, domain.CodeNotFound},
			"bad page":            {http.MethodGet, "/v1/me/requests?after=x", nil, nil, domain.CodeInvalid},
			"bad limit":           {http.MethodGet, "/v1/me/documents?limit=501", nil, nil, domain.CodeInvalid},
			"unknown parameter":   {http.MethodGet, "/v1/me/requests?person_id=" + nobody, nil, nil, domain.CodeInvalid},
			"no reason":           {http.MethodPost, lost, map[string]any{}, nil, domain.CodeInvalid},
			"other reason":        {http.MethodPost, lost, map[string]any{"reason": "withdrawn"}, nil, domain.CodeInvalid},
			"endless notes": {http.MethodPost, lost, map[string]any{"reason": "lost", "notes": strings.Repeat("n", 2001)}, nil,
				domain.CodeInvalid},
			"logon code, bad kind": {http.MethodPost, "/v1/people/" + h.ID + "/logon-code", map[string]any{"kind": "none", "deliver": "email"},
				nil, domain.CodeForbidden},
		} {
			t.Run(name, func(t *testing.T) {
				before := s.AuditHead(t)
				token := h.token
				if strings.HasPrefix(name, "logon code") {
					s.call(t, s.admin, c.method, c.path, c.body).refused(t, domain.CodeInvalid)
					c.body = map[string]any{"kind": "simple", "deliver": "email"}
				}
				s.call(t, token, c.method, c.path, c.body, c.header...).refused(t, c.code)
				require.Equal(t, before, s.AuditHead(t), "something was changed")
			})
		}
	})
}

// Where the profile sends nothing, the operator reads the logon code with link and code.
func TestOperatorReadsTheLogonCode(t *testing.T) {
	s := newServer(t, issuertest.Options{})
	person := s.Person(t, unreachable, func(p *domain.Person) { p.LogonName = "erika" })
	profile := s.Profile(t, "on-screen", func(o *domain.ProfileOptions) {
		o.NotificationScheme, o.LogonCode = domain.NotifyNone, domain.LogonCodeComplex
	})
	r, err := s.Issuer.CreateRequest(t.Context(), s.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
	require.NoError(t, err)
	shown := s.call(t, s.admin, http.MethodPost, "/v1/requests/"+r.ID+"/code", nil).object(t, http.StatusOK)
	require.NotEmpty(t, shown["logon_expires_at"])
	s.call(t, "", http.MethodPost, "/v1/sessions", map[string]any{"logon_name": "erika", "logon_code": shown["logon_code"]}).
		object(t, http.StatusCreated)
}
