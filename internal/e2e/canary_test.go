package e2e_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	workflowpb "go.temporal.io/api/workflow/v1"
	workflowservice "go.temporal.io/api/workflowservice/v1"
	temporal "go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/engine"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/standalone/devserver"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/workflows/messages"
)

// canaries are things that must never be seen outside the database and the messages to the holder, by name. What is looked for are all
// the forms in which they might be written.
type canaries map[string][]needle

// needle is one form of a canary.
type needle struct {
	bytes  []byte
	folded bool // letters in lower case; else exactly as it is
	number bool // no digit may stand beside it, or it is part of some other number
}

// text adds a text of letters and digits that occurs nowhere else by chance.
func (c canaries) text(name, value string) {
	forms := []needle{{bytes: []byte(strings.ToLower(value)), folded: true}}
	if escaped := strings.ToLower(url.QueryEscape(value)); escaped != strings.ToLower(value) {
		forms = append(forms, needle{bytes: []byte(escaped), folded: true})
	}
	c[name] = append(c[name], append(forms, encoded([]byte(value))...)...)
}

// number adds a number that is long enough.
func (c canaries) number(name string, forms ...string) {
	for _, form := range forms {
		c[name] = append(c[name], needle{bytes: []byte(form), number: true})
		c[name] = append(c[name], encoded([]byte(form))...)
	}
}

// code adds an authentication code, which people and programs also write in two groups.
func (c canaries) code(name, code string) {
	half := len(code) / 2
	c.number(name, code, code[:half]+" "+code[half:])
}

// bytes adds pieces of a picture or document.
func (c canaries) bytes(name string, value []byte) {
	const piece, pieces = 24, 8
	for i := range pieces {
		at := (len(value) - piece) * i / (pieces - 1)
		c[name] = append(c[name], needle{bytes: value[at : at+piece]})
		c[name] = append(c[name], encoded(value[at:at+piece])...)
	}
}

// encoded gives value in hexadecimal and base64. Where in a longer text of base64 the value begins is not known, so there is one form
// for each of the three places in a group.
func encoded(value []byte) []needle {
	out := []needle{{bytes: []byte(hex.EncodeToString(value)), folded: true}}
	for shift := range 3 {
		padded := append(make([]byte, shift), value...)
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := alphabet.EncodeToString(padded[:len(padded)-len(padded)%3])
			if shift > 0 {
				text = text[4:] // the first group depends on what stands before
			}
			if n := (needle{bytes: []byte(text)}); len(text) >= 8 && !slices.ContainsFunc(out, n.equal) {
				out = append(out, n)
			}
		}
	}
	return out
}

func (n needle) equal(o needle) bool { return bytes.Equal(n.bytes, o.bytes) && n.folded == o.folded }

// in says whether the needle is in the text, which comes as it is and in lower case.
func (n needle) in(text, lower []byte) bool {
	if n.folded {
		return bytes.Contains(lower, n.bytes)
	}
	if !n.number {
		return bytes.Contains(text, n.bytes)
	}
	for from := 0; ; {
		at := bytes.Index(text[from:], n.bytes)
		if at < 0 {
			return false
		}
		begin, end := from+at, from+at+len(n.bytes)
		if (begin == 0 || !isDigit(text[begin-1])) && (end == len(text) || !isDigit(text[end])) {
			return true
		}
		from = begin + 1
	}
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// found names every canary that is in the text, with the form.
func (c canaries) found(text []byte) []string {
	lower := bytes.ToLower(text)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		for _, n := range c[name] {
			if n.in(text, lower) {
				out = append(out, fmt.Sprintf("%s as %.40q", name, n.bytes))
			}
		}
	}
	return out
}

// unsaid is a text that nothing else says.
func unsaid(kind string) string { return "canary" + kind + strings.ToLower(rand.Text()[:10]) }

// unsaidDigits are so many digits, of which the first is not 0.
func unsaidDigits(t testing.TB, n int) string {
	t.Helper()
	lowest := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n-1)), nil)
	drawn, err := rand.Int(rand.Reader, new(big.Int).Mul(lowest, big.NewInt(9)))
	require.NoError(t, err)
	return drawn.Add(drawn, lowest).String()
}

// Whatever happens to a person's data, codes, tokens and documents: Temporal, logs, metrics and refusals do not learn them (A5).
func TestCanary(t *testing.T) {
	t.Parallel()
	engineServer := newEngine(t, "debug")
	site := newSite(t, siteOptions{temporal: engineServer.options.HostPort, logLevel: "debug"})
	site.start(t)
	s := &canaryScenario{site: site, office: openOffice(t, site.url, adminName, site.password, 1), canaries: canaries{}, said: canaries{}}
	s.canaries.text("password", site.password)
	s.makePerson(t)
	s.badInput(t)
	s.refused(t)
	requestID := s.issued(t)
	s.shown(t)

	require.Empty(t, s.canaries.found(s.listing(t, "/v1/audit?limit=500")), "the audit holds no personal data")
	maps.Copy(s.canaries, s.said)
	hay := map[string][]byte{
		"refusals of the API":       s.refusals.Bytes(),
		"metrics":                   []byte(fetch(t, site.metricsURL+"/metrics")),
		"metrics of the worker":     []byte(fetch(t, site.workURL+"/metrics")),
		"messages as operators see": s.listing(t, "/v1/requests/"+requestID+"/messages"),
	}
	maps.Copy(hay, readHistories(t, site, engineServer.options.HostPort, 5))
	site.api.stop(t)
	site.worker.stop(t)
	engineServer.kill(t)
	logs := map[string]string{"api": site.logFile("api"), "worker": site.logFile("worker"), "Temporal": engineServer.options.LogFile}
	for name, file := range logs {
		hay["log of "+name] = readFile(t, file)
	}
	files, err := filepath.Glob(engineServer.options.DBFile + "*")
	require.NoError(t, err)
	for _, file := range files {
		hay["database of Temporal"] = append(hay["database of Temporal"], readFile(t, file)...)
	}

	for name, part := range map[string]string{ // what is looked through is what it should be
		"log of api": `"route":"/oid4vci/token"`, "log of worker": "issuance-" + requestID, "log of Temporal": `"level":"DEBUG"`,
		"database of Temporal": "issuance-" + requestID, "histories": "issuance-" + requestID,
		"decrypted payloads": `"request_id":"` + requestID + `"`,
		"workflows":          "mdocket-reconcile", "metrics": `route="/oid4vci/token"`, "metrics of the worker": `mdocket_documents_issued_total{doctype="org.iso.18013.5.1.mDL"} 2`, "messages as operators see": `"refused"`,
		"refusals of the API": "application/problem+json",
	} {
		require.True(t, bytes.Contains(hay[name], []byte(part)), "%s does not hold %s", name, part)
	}
	require.Contains(t, string(hay["decrypted payloads"]), `"batch_id"`, "batches went through the engine")
	for name, text := range hay {
		require.Empty(t, s.canaries.found(text), "in %s", name)
	}
	s.findsPlanted(t, hay["log of worker"])
}

// canaryScenario is everything that happens to the person with the canaries.
type canaryScenario struct {
	site     *site
	office   *office
	canaries canaries
	said     canaries // what the audit keeps: reasons and notes of operators, names of groups
	person   string
	holder   *holder
	fields   map[string]any
	portrait []byte
	refusals bytes.Buffer // answers with an error, with their headers
}

// makePerson creates a person every field of whom is a canary, and changes it.
func (s *canaryScenario) makePerson(t *testing.T) {
	t.Helper()
	attributes := map[string]any{"issuing_country": "UT", "issuing_authority": "Utopia Road Office", "un_distinguishing_sign": "UTO",
		"driving_privileges": []any{map[string]any{"vehicle_category_code": unsaid("category")}}}
	for _, name := range []string{"document_number", "administrative_number", "birth_place", "resident_address", "resident_city",
		"resident_state", "resident_postal_code", "family_name_national_character", "given_name_national_character"} {
		attributes[name] = unsaid(strings.ReplaceAll(name, "_", ""))
		s.canaries.text(name, attributes[name].(string))
	}
	s.canaries.text("category", attributes["driving_privileges"].([]any)[0].(map[string]any)["vehicle_category_code"].(string))
	mobile := "+4179" + unsaidDigits(t, 7)
	s.canaries.number("mobile", mobile[1:], mobile[3:], "0"+mobile[3:])
	s.canaries.number("birth date", "1931-07-29", "19310729")
	s.fields = map[string]any{"external_id": unsaid("external"), "logon_name": unsaid("logon"), "given_name": unsaid("given"),
		"family_name": unsaid("family"), "email": unsaid("local") + "@" + unsaid("host") + ".example", "group": unsaid("group"),
		"external_mobile_id": unsaid("device"), "mobile": mobile, "birth_date": "1931-07-29", "attributes": attributes}
	for name, value := range s.fields {
		switch text, ok := value.(string); {
		case !ok || name == "mobile" || name == "birth_date":
		case name == "group":
			s.said.text(name, text)
		default:
			s.canaries.text(name, text)
		}
	}
	local, host, _ := strings.Cut(s.fields["email"].(string), "@")
	s.canaries.text("local part", local)
	s.canaries.text("mail host", host)
	create(t, s.office.a, "/v1/groups", map[string]any{"name": s.fields["group"]})
	s.person = create(t, s.office.a, "/v1/people", s.fields)

	var err error
	s.portrait, err = example.Portrait(4711)
	require.NoError(t, err)
	s.canaries.bytes("portrait", s.portrait)
	_, err = s.office.a.Send(t.Context(), http.MethodPut, "/v1/people/"+s.person+"/images/portrait", "image/jpeg", bytes.NewReader(s.portrait))
	require.NoError(t, err)
	path := "/v1/people/" + s.person
	var read struct {
		Version int `json:"version"`
	}
	require.NoError(t, s.office.a.Do(t.Context(), http.MethodGet, path, nil, &read))
	s.fields["version"], s.fields["given_name"] = read.Version, unsaid("changed")
	s.canaries.text("changed given name", s.fields["given_name"].(string))
	require.NoError(t, s.office.a.Do(t.Context(), http.MethodPut, path, s.fields, nil))
	s.holder = newHolderAt(t, s.site.postURL, s.fields["email"].(string), mobile)
	require.NoError(t, s.office.a.Do(t.Context(), http.MethodPost, "/v1/people/search", map[string]any{"email": s.fields["email"]}, nil))
}

// refuse sends a call that has to be refused, and keeps the whole answer.
func (s *canaryScenario) refuse(t *testing.T, method, path, token, body string, header ...string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.site.url+path, strings.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: client.New("", "").HTTP.Timeout}
	resp, err := plain.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.GreaterOrEqual(t, resp.StatusCode, http.StatusBadRequest, "%s %s", method, path)
	require.Less(t, resp.StatusCode, http.StatusInternalServerError, "%s %s: %s", method, path, answer)
	require.NoError(t, resp.Header.Write(&s.refusals))
	s.refusals.Write(answer)
}

// badInput sends canaries wherever a caller can put something.
func (s *canaryScenario) badInput(t *testing.T) {
	t.Helper()
	bird := func(kind string) string {
		text := unsaid("bad" + kind)
		s.canaries.text("bad input: "+kind, text)
		return text
	}
	a := s.office.a.Token
	s.canaries.text("session", a)
	const post, get, put = http.MethodPost, http.MethodGet, http.MethodPut
	object := func(members map[string]any) string {
		text, err := json.Marshal(members)
		require.NoError(t, err)
		return string(text)
	}
	with := func(name string, value any) string {
		members := maps.Clone(s.fields)
		delete(members, "version")
		members[name] = value
		return object(members)
	}

	s.refuse(t, post, "/v1/sessions", "", object(map[string]any{"name": bird("name"), "password": bird("password")}))
	s.refuse(t, post, "/v1/people", a, `{"given_name": "`+bird("cutoff"))
	s.refuse(t, post, "/v1/people", a, with("member", bird("member")))
	s.refuse(t, post, "/v1/people", a, with("email", bird("email")))
	s.refuse(t, post, "/v1/people", a, with("mobile", bird("mobile")))
	s.refuse(t, post, "/v1/people", a, with("birth_date", bird("date")))
	s.refuse(t, post, "/v1/people", a, with("status", bird("status")))
	s.refuse(t, post, "/v1/people", a, with("language", bird("language")))
	s.refuse(t, post, "/v1/people", a, with("max_expiry", bird("expiry")))
	s.refuse(t, post, "/v1/people", a, with("group", bird("group")))
	s.refuse(t, post, "/v1/people", a, with("attributes", bird("attributes")))
	s.refuse(t, post, "/v1/people", a, with("given_name", []string{bird("list")}))
	s.refuse(t, post, "/v1/people", a, with("given_name", strings.Repeat(bird("long"), 100)))
	s.refuse(t, post, "/v1/people", a, object(s.fields)) // the external id is taken, and a version has no place here
	s.refuse(t, post, "/v1/people", a, with("language", "de"))
	s.refuse(t, put, "/v1/people/"+s.person, a, object(s.fields)) // changed meanwhile
	s.refuse(t, post, "/v1/people", a, object(s.fields), "Content-Type", "application/"+bird("type"))
	s.refuse(t, post, "/v1/people", a, with("language", "de"), "Idempotency-Key", bird("key")+" with a space")
	s.refuse(t, post, "/v1/people", bird("token"), object(s.fields))
	s.refuse(t, get, "/v1/people", "", "", "Authorization", "Basic "+bird("basic"))
	s.refuse(t, post, "/v1/people/import", a, bird("column")+",given_name\na,b\n", "Content-Type", "text/csv")
	s.refuse(t, put, "/v1/people/"+s.person+"/images/portrait", a, "\xff\xd8\xff"+bird("picture"), "Content-Type", "image/jpeg")
	s.refuse(t, put, "/v1/people/"+s.person+"/images/"+bird("kind"), a, "", "Content-Type", "image/jpeg")
	s.refuse(t, put, "/v1/people/"+s.person+"/images/portrait?captured_at="+bird("time"), a, string(s.portrait), "Content-Type", "image/jpeg")
	for _, path := range []string{"/v1/people?family_name=", "/v1/people?after=", "/v1/people?limit=", "/v1/people?status=",
		"/v1/requests?state=", "/v1/people/", "/v1/requests/", "/v1/documents/", "/v1/profiles/", "/v1/audit?after="} {
		s.refuse(t, get, path+bird("query of "+path), a, "")
	}
	for _, path := range []string{"/", "/c/", "/oid4vci/offers/", "/verify/", "/status-lists/", "/pki/", "/docs/",
		"/.well-known/openid-credential-issuer/"} {
		s.refuse(t, get, path+bird("path below "+path), "", "", "User-Agent", bird("agent"), "Referer", "https://"+bird("referrer")+".example",
			"Accept-Language", bird("tongue"), "Cookie", "c="+bird("cookie"), "X-Correlation-Id", bird("correlation"),
			"X-Forwarded-For", bird("forwarded"), "Traceparent", bird("trace"), "Accept", bird("accept"))
	}
	s.refuse(t, strings.ToUpper(bird("method")), "/v1/people", a, "")
	profile := func(name, format string) string {
		return object(map[string]any{"name": name, "options": map[string]any{"display_name": "x", "format": format}})
	}
	s.refuse(t, post, "/v1/profiles", a, profile(bird("profile")+" ", "iso-mdl"))
	s.refuse(t, post, "/v1/profiles", a, profile("fine", bird("format")))
	s.refuse(t, post, "/v1/requests", a, object(map[string]any{"person_id": bird("person"), "profile_id": s.office.profiles["mdl"]}))
	s.refuse(t, post, "/v1/requests", a, object(map[string]any{"person_id": s.person, "profile_id": s.office.profiles["mdl"],
		"expiry_date": bird("day")}))
	s.refuse(t, put, "/v1/settings", s.office.admin.Token, object(map[string]any{"authentication_code_complexity": bird("complexity")}))

	form := func(pairs ...string) string {
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values.Encode()
	}
	const urlEncoded = "application/x-www-form-urlencoded"
	s.refuse(t, post, "/oid4vci/token", "", form("grant_type", bird("grant")), "Content-Type", urlEncoded)
	s.refuse(t, post, "/oid4vci/token", "", form("grant_type", oid4vci.GrantPreAuthorizedCode, "pre-authorized_code", bird("code"),
		"tx_code", "1", "client_id", bird("client")), "Content-Type", urlEncoded)
	s.refuse(t, post, "/oid4vci/token", "", bird("form")+"=%zz", "Content-Type", urlEncoded)
	s.refuse(t, post, "/oid4vci/credential", bird("access"), object(map[string]any{"credential_configuration_id": bird("configuration")}))
	s.refuse(t, post, "/oid4vci/credential", "", bird("credential"))
}

// refused has a request rejected and another canceled, each with a reason.
func (s *canaryScenario) refused(t *testing.T) {
	t.Helper()
	reason := unsaid("reason")
	s.said.text("reason", reason)
	id := s.office.ask(t, s.person, "mdl")
	s.office.waitState(t, id, domain.RequestAwaitingApproval)
	s.refuse(t, http.MethodPost, "/v1/requests/"+id+"/reject", s.office.b.Token, `{"reason": "`+strings.Repeat(reason, 100)+`"}`)
	require.NoError(t, s.office.b.Do(t.Context(), http.MethodPost, "/v1/requests/"+id+"/reject", map[string]string{"reason": reason}, nil))
	s.refuse(t, http.MethodPost, "/v1/requests/"+id+"/approve", s.office.b.Token, `{"reason": "`+reason+`"}`)
	id = s.office.ask(t, s.person, "mdl")
	require.NoError(t, s.office.a.Do(t.Context(), http.MethodPost, "/v1/requests/"+id+"/cancel", map[string]string{"reason": reason}, nil))
}

// issued has a document issued after failures of every kind: gateways that refuse for the moment and for good, wrong codes until the
// request is locked, a new link and code, and bad calls of the wallet.
func (s *canaryScenario) issued(t *testing.T) (requestID string) {
	t.Helper()
	id := s.office.ask(t, s.person, "mdl")
	s.site.mailbox.FailNext(mailbox.Email, 1, 450)
	s.site.mailbox.FailNext(mailbox.SMS, 1, http.StatusServiceUnavailable)
	reason := unsaid("approval")
	s.said.text("reason of approval", reason)
	s.office.waitState(t, id, domain.RequestAwaitingApproval)
	require.NoError(t, s.office.b.Do(t.Context(), http.MethodPost, "/v1/requests/"+id+"/approve", map[string]string{"reason": reason}, nil))
	first := s.keep("first", s.holder.read(t, 0))
	for range domain.DefaultSettings().AuthenticationCodeAttempts {
		s.redeem(t, first, unsaidDigits(t, 8), false)
	}
	require.Equal(t, string(domain.RequestLocked), s.office.look(t, id).State)

	s.site.mailbox.FailNext(mailbox.SMS, 1, http.StatusBadRequest)
	s.office.resend(t, id)
	until(t, patience, "the gateway has refused the SMS for good", func() (bool, error) {
		return bytes.Contains(s.listing(t, "/v1/requests/"+id+"/messages"), []byte(`"failed"`)), nil
	})
	s.office.resend(t, id)
	last := s.keep("last", s.holder.read(t, first.last))
	s.redeem(t, first, first.code, false)
	s.redeem(t, last, unsaidDigits(t, 8), false)
	access := s.redeem(t, last, last.code, true)
	s.collect(t, access)
	require.Equal(t, string(domain.RequestIssued), s.office.look(t, id).State)

	notes := unsaid("notes")
	s.said.text("notes", notes)
	document := "/v1/documents/" + s.updated(t, s.office.look(t, id).DocumentID, access.RefreshToken, notes)
	for _, act := range []string{"disable", "enable", "cancel"} {
		body := map[string]string{"notes": notes}
		if act != "enable" {
			body["reason"] = "lost"
		}
		require.NoError(t, s.office.a.Do(t.Context(), http.MethodPost, document+"/"+act, body, nil))
	}
	return id
}

// updated has a batch ask for a newer version of the document, which the wallet then collects, and others disable and enable that; it gives its id.
func (s *canaryScenario) updated(t *testing.T, document, refreshToken, notes string) (newer string) {
	t.Helper()
	s.canaries.text("refresh token", refreshToken)
	update := s.batched(t, document, map[string]any{"operation": "update", "reason": domain.ReasonReprovision, "notes": notes})
	s.office.waitState(t, update, domain.RequestAwaitingApproval)
	s.office.approve(t, update)
	s.office.waitState(t, update, domain.RequestAwaitingCollection)
	c := s.holder.wallet.Client()
	issuer, err := c.Metadata(t.Context(), oid4vci.CredentialOffer{CredentialIssuer: s.site.url})
	require.NoError(t, err)
	token, err := c.Refresh(t.Context(), issuer, refreshToken)
	require.NoError(t, err)
	s.canaries.text("next access token", token.AccessToken)
	s.canaries.text("next refresh token", token.RefreshToken)
	s.collect(t, token)
	require.Equal(t, string(domain.RequestIssued), s.office.look(t, update).State)
	newer = s.office.look(t, update).DocumentID
	s.batched(t, newer, map[string]any{"operation": "disable", "reason": domain.ReasonLost, "notes": notes})
	s.batched(t, newer, map[string]any{"operation": "enable", "notes": notes})
	return newer
}

// batched does something to a document by a batch, in which something unknown is as well: a batch of one would not take the way through the engine. It
// gives the request of the item.
func (s *canaryScenario) batched(t *testing.T, document string, wish map[string]any) (requestID string) {
	t.Helper()
	wish["documents"] = []string{document, "00000000-0000-7000-8000-000000000000"}
	var b batch
	require.NoError(t, s.office.a.Do(t.Context(), http.MethodPost, "/v1/batches", wish, &b, client.IdempotencyKey(rand.Text())))
	until(t, patience, "the batch is completed", func() (bool, error) {
		return b.State == "completed", s.office.a.Do(t.Context(), http.MethodGet, "/v1/batches/"+b.ID, nil, &b)
	})
	require.Equal(t, batch{ID: b.ID, State: "completed", Total: 2, Completed: 1, Failed: 1}, b)
	var items struct {
		Items []struct {
			RequestID string `json:"request_id"`
		}
	}
	require.NoError(t, s.office.a.Do(t.Context(), http.MethodGet, "/v1/batches/"+b.ID+"/items?state=completed", nil, &items))
	s.listing(t, "/v1/batches/"+b.ID+"/items.csv")
	return items.Items[0].RequestID
}

// keep makes canaries of a link and a code.
func (s *canaryScenario) keep(which string, l letters) letters {
	_, token, _ := strings.Cut(l.link, "/c/")
	s.canaries.text(which+" link", token)
	s.canaries.code(which+" code", l.code)
	return l
}

// redeem tries a code as a wallet does.
func (s *canaryScenario) redeem(t *testing.T, l letters, code string, good bool) oid4vci.TokenResponse {
	t.Helper()
	s.canaries.code("code "+code, code)
	c := s.holder.wallet.Client()
	offer, err := c.FetchOffer(t.Context(), l.link)
	if err != nil {
		require.False(t, good)
		return oid4vci.TokenResponse{}
	}
	s.canaries.text("pre-authorized code", offer.Grants.PreAuthorizedCode.PreAuthorizedCode)
	issuer, err := c.Metadata(t.Context(), offer)
	require.NoError(t, err)
	if !good {
		s.refuse(t, http.MethodPost, "/oid4vci/token", "", url.Values{"grant_type": {oid4vci.GrantPreAuthorizedCode},
			"pre-authorized_code": {offer.Grants.PreAuthorizedCode.PreAuthorizedCode}, "tx_code": {code}}.Encode(),
			"Content-Type", "application/x-www-form-urlencoded")
		return oid4vci.TokenResponse{}
	}
	token, err := c.Token(t.Context(), issuer, offer, code)
	require.NoError(t, err)
	s.canaries.text("access token", token.AccessToken)
	return token
}

// collect gets the document, after asking for it wrongly.
func (s *canaryScenario) collect(t *testing.T, token oid4vci.TokenResponse) {
	t.Helper()
	c := s.holder.wallet.Client()
	issuer, err := c.Metadata(t.Context(), oid4vci.CredentialOffer{CredentialIssuer: s.site.url})
	require.NoError(t, err)
	ask := func(nonce string) []string {
		s.canaries.text("nonce", nonce)
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		proofs, err := c.Proofs(issuer, []*ecdsa.PrivateKey{key}, nonce)
		require.NoError(t, err)
		s.canaries.text("proof", proofs[0])
		return proofs
	}
	request := func(proofs []string) oid4vci.CredentialRequest {
		return oid4vci.CredentialRequest{CredentialConfigurationID: "mdl", Proofs: oid4vci.Proofs{JWT: proofs}}
	}
	bad, err := json.Marshal(request(ask(unsaid("nonce"))))
	require.NoError(t, err)
	s.refuse(t, http.MethodPost, "/oid4vci/credential", token.AccessToken, string(bad))
	nonce, err := c.Nonce(t.Context(), issuer)
	require.NoError(t, err)
	got, err := c.Credential(t.Context(), issuer, token.AccessToken, request(ask(nonce)))
	require.NoError(t, err)
	require.Len(t, got.Credentials, 1)
	document, err := got.Credentials[0].Mdoc()
	require.NoError(t, err)
	requireValid(t, s.site.url, document)
	s.canaries.bytes("document", document)
}

// shown has an operator read link and code on screen.
func (s *canaryScenario) shown(t *testing.T) {
	t.Helper()
	id := s.office.ask(t, s.person, "staff-badge")
	s.office.waitState(t, id, domain.RequestAwaitingCollection)
	var screen struct{ Link, Code string }
	require.NoError(t, s.office.b.Do(t.Context(), http.MethodPost, "/v1/requests/"+id+"/code", nil, &screen))
	s.keep("shown", letters{link: screen.Link, code: screen.Code})
	require.NoError(t, s.office.a.Do(t.Context(), http.MethodPost, "/v1/requests/"+id+"/cancel", map[string]string{}, nil))
}

func (s *canaryScenario) listing(t *testing.T, path string) []byte {
	t.Helper()
	body, err := s.office.a.Send(t.Context(), http.MethodGet, path, "", nil)
	require.NoError(t, err)
	return body
}

// findsPlanted proves that the search finds each canary in a log, in every form.
func (s *canaryScenario) findsPlanted(t *testing.T, log []byte) {
	t.Helper()
	require.Greater(t, len(s.canaries), 100)
	end := log[max(0, len(log)-1000):]
	for name, forms := range s.canaries {
		for _, n := range forms {
			planted := slices.Concat(end, []byte(`{"level":"ERROR","msg":"mail to `), n.bytes, []byte(` failed"}`+"\n"))
			require.Contains(t, strings.Join(s.canaries.found(planted), "\n"), name)
		}
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// readHistories gives everything that Temporal tells about all workflows, which are those of so many requests and those of the
// schedules: as it is, as JSON, and with every payload decrypted.
func readHistories(t testing.TB, s *site, address string, requests int) map[string][]byte {
	t.Helper()
	secret, err := keys.LoadSecret(filepath.Join(s.dir, "secret.key"))
	require.NoError(t, err)
	codec, err := engine.NewPayloadCodec([][]byte{secret.Derive("temporal payloads")})
	require.NoError(t, err)
	c := dialEngine(t, address, devserver.DefaultNamespace)
	var workflows, histories, plain bytes.Buffer
	add := func(to *bytes.Buffer, message proto.Message) {
		raw, err := proto.Marshal(message)
		require.NoError(t, err)
		text, err := protojson.Marshal(message)
		require.NoError(t, err)
		to.Write(raw)
		to.Write(text)
		require.NoError(t, proxy.VisitPayloads(context.Background(), message, proxy.VisitPayloadsOptions{
			Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
				for _, p := range payloads {
					if opened, err := codec.Decode([]*commonpb.Payload{p}); err == nil {
						plain.Write(opened[0].GetData())
					} else {
						plain.Write(p.GetData()) // the engine's own, such as the memo of a schedule
					}
					plain.WriteByte('\n')
				}
				return payloads, nil
			}}))
	}
	var all []*workflowpb.WorkflowExecutionInfo
	until(t, patience, "Temporal lists the workflows of all requests, and the schedules", func() (bool, error) {
		all = append(listWorkflows(t, c, ""), listWorkflows(t, c, "TemporalNamespaceDivision = 'TemporalScheduler'")...)
		issuances, listed := 0, map[string]bool{}
		for _, w := range all {
			if w.GetType().GetName() == messages.WorkflowIssuance {
				issuances++
			}
			listed[w.GetExecution().GetWorkflowId()] = true
		}
		const scheduler = "temporal-sys-scheduler:"
		return issuances == requests && listed[scheduler+messages.ScheduleReconcile] && listed[scheduler+messages.ScheduleNotices] &&
			listed[scheduler+messages.ScheduleExpiry], nil
	})
	for _, w := range all {
		add(&workflows, w)
		add(&histories, history(t, c, w.GetExecution()))
		described, err := c.WorkflowService().DescribeWorkflowExecution(t.Context(), &workflowservice.DescribeWorkflowExecutionRequest{
			Namespace: devserver.DefaultNamespace, Execution: w.GetExecution()})
		require.NoError(t, err)
		add(&workflows, described)
	}
	return map[string][]byte{"workflows": workflows.Bytes(), "histories": histories.Bytes(), "decrypted payloads": plain.Bytes()}
}

func listWorkflows(t testing.TB, c temporal.Client, query string) []*workflowpb.WorkflowExecutionInfo {
	t.Helper()
	var all []*workflowpb.WorkflowExecutionInfo
	var next []byte
	for {
		page, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query, NextPageToken: next})
		require.NoError(t, err)
		all = append(all, page.GetExecutions()...)
		if next = page.GetNextPageToken(); len(next) == 0 {
			return all
		}
	}
}

func history(t testing.TB, c temporal.Client, of *commonpb.WorkflowExecution) *historypb.History {
	t.Helper()
	all := &historypb.History{}
	var next []byte
	for {
		page, err := c.WorkflowService().GetWorkflowExecutionHistory(t.Context(), &workflowservice.GetWorkflowExecutionHistoryRequest{
			Namespace: devserver.DefaultNamespace, Execution: of, NextPageToken: next})
		require.NoError(t, err)
		all.Events = append(all.Events, page.GetHistory().GetEvents()...)
		if next = page.GetNextPageToken(); len(next) == 0 {
			return all
		}
	}
}
