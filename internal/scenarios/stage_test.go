package scenarios_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/standalone"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/internal/verifier"
	"github.com/mdocket/mdocket/internal/wallet"
)

// object is a JSON object of a request or answer.
type object = map[string]any

// stage is the server with somebody for every part in a scenario.
type stage struct {
	url, mailboxURL string
	admin           *party // everything, everywhere
}

// party is somebody who calls the API.
type party struct {
	*client.Client
	name string
}

var (
	cast   sync.Once
	chief  *client.Client
	errCst error
)

// enter gives the stage. Scenarios run side by side on one server: each makes its own people, profiles and accounts.
func enter(t *testing.T) *stage {
	t.Helper()
	t.Parallel()
	return enterAlone(t)
}

// enterAlone gives the stage to a scenario that changes what holds for all: it runs before those that run side by side go on.
func enterAlone(t *testing.T) *stage {
	t.Helper()
	s, err := open()
	require.NoError(t, err)
	cast.Do(func() {
		c := client.New(s.URL, "")
		var session struct {
			Token string `json:"token"`
		}
		errCst = c.Do(t.Context(), http.MethodPost, "/v1/sessions", object{"name": standalone.AdminName, "password": s.AdminPassword}, &session)
		chief = c.As(session.Token)
	})
	require.NoError(t, errCst)
	return &stage{url: s.URL, mailboxURL: s.MailboxURL, admin: &party{chief, standalone.AdminName}}
}

// call makes a call that must succeed and gives its answer.
func (p *party) call(t *testing.T, method, path string, in any) object {
	t.Helper()
	var out object
	require.NoError(t, p.Do(t.Context(), method, path, in, &out, client.IdempotencyKey(rand.Text())), "%s %s", method, path)
	return out
}

func (p *party) get(t *testing.T, path string) object {
	t.Helper()
	return p.call(t, http.MethodGet, path, nil)
}

func (p *party) post(t *testing.T, path string, in any) object {
	t.Helper()
	return p.call(t, http.MethodPost, path, in)
}

func (p *party) put(t *testing.T, path string, in any) object {
	t.Helper()
	return p.call(t, http.MethodPut, path, in)
}

// items gives the items of a list.
func (p *party) items(t *testing.T, path string) []object {
	t.Helper()
	return itemsOf(p.get(t, path))
}

func itemsOf(list object) []object {
	var out []object
	all, _ := list["items"].([]any)
	for _, one := range all {
		if o, ok := one.(object); ok {
			out = append(out, o)
		}
	}
	return out
}

// refusal is what a problem says.
type refusal struct {
	status  int
	detail  string
	details map[string]string
	fields  []string // that it names
}

// refused makes a call that must be refused with the code.
func (p *party) refused(t *testing.T, code domain.Code, method, path string, in any) refusal {
	t.Helper()
	err := p.Do(t.Context(), method, path, in, nil, client.IdempotencyKey(rand.Text()))
	var problem *client.Problem
	require.ErrorAs(t, err, &problem, "%s %s is refused", method, path)
	require.Equal(t, string(code), problem.Code, "%s %s: %s", method, path, problem.Error())
	out := refusal{status: problem.Status, detail: problem.Detail, details: problem.Details}
	for _, e := range problem.Errors {
		out.fields = append(out.fields, e.Field)
	}
	return out
}

func text(t *testing.T, o object, name string) string {
	t.Helper()
	s, ok := o[name].(string)
	require.True(t, ok, "%s in %v", name, o)
	return s
}

func id(t *testing.T, o object) string { t.Helper(); return text(t, o, "id") }

// unique makes a name that no other scenario uses.
func unique(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:8]) }

// account makes somebody with the permissions, each in a scope, who works for the person; empty = for nobody.
func (s *stage) account(t *testing.T, personID string, grants map[domain.Permission]domain.Scope) *party {
	t.Helper()
	name := unique("account")
	in := object{"name": name, "email": name + "@office.example"}
	if personID != "" {
		in["person_id"] = personID
	}
	account := id(t, s.admin.post(t, "/v1/accounts", in))
	byScope := map[domain.Scope][]domain.Permission{}
	for p, scope := range grants {
		byScope[scope] = append(byScope[scope], p)
	}
	roles := []object{}
	for scope, permissions := range byScope {
		role := id(t, s.admin.post(t, "/v1/roles", object{"name": unique("role"), "permissions": permissions}))
		roles = append(roles, object{"role_id": role, "scope": scope})
	}
	s.admin.put(t, "/v1/accounts/"+account+"/roles", object{"roles": roles})
	key := s.admin.post(t, "/v1/accounts/"+account+"/api-keys", object{"label": "scenario"})
	return &party{s.admin.As(text(t, key, "secret")), name}
}

// all gives the permissions in scope all.
func all(permissions ...domain.Permission) map[domain.Permission]domain.Scope {
	return in(domain.ScopeAll, permissions...)
}

func in(scope domain.Scope, permissions ...domain.Permission) map[domain.Permission]domain.Scope {
	out := map[domain.Permission]domain.Scope{}
	for _, p := range permissions {
		out[p] = scope
	}
	return out
}

// operators are one who asks and one who approves.
func (s *stage) operators(t *testing.T) (asks, approves *party) {
	t.Helper()
	return s.account(t, "", all(domain.PermRequest, domain.PermDocumentsRead, domain.PermCancel, domain.PermDisable, domain.PermUpdate,
		domain.PermViewCode, domain.PermPeopleRead)), s.account(t, "", all(domain.PermApprove))
}

// with changes what a thing is made from.
type with = object

func merged(base object, changes []with) object {
	for _, c := range changes {
		maps.Copy(base, c)
	}
	return base
}

// person makes somebody with everything a driving licence needs, a portrait included.
func (s *stage) person(t *testing.T, changes ...with) string {
	t.Helper()
	name := unique("p")
	p := issuertest.NewPerson()
	base := object{"given_name": p.GivenName, "family_name": p.FamilyName, "birth_date": p.BirthDate, "external_id": name,
		"email": name + "@holder.example", "mobile": mobileOf(name), "attributes": p.Attributes}
	person := id(t, s.admin.post(t, "/v1/people", merged(base, changes)))
	s.portrait(t, person)
	return person
}

// mobileOf makes a number from a name.
func mobileOf(name string) string {
	n := uint64(0)
	for _, r := range name {
		n = n*131 + uint64(r)
	}
	return fmt.Sprintf("+4179%07d", n%10_000_000)
}

func (s *stage) portrait(t *testing.T, person string) {
	t.Helper()
	_, err := s.admin.Send(t.Context(), http.MethodPut, "/v1/people/"+person+"/images/portrait", "image/jpeg", bytes.NewReader(issuertest.Portrait()))
	require.NoError(t, err)
}

// profile makes a credential profile of driving licences that are sent for by e-mail and SMS.
func (s *stage) profile(t *testing.T, options ...with) string {
	t.Helper()
	base := object{"display_name": "Driving licence", "format": "iso-mdl", "notification_scheme": "code_by_sms"}
	return id(t, s.admin.post(t, "/v1/profiles", object{"name": unique("profile"), "comment": "scenario", "options": merged(base, options)}))
}

// ask makes a request.
func (p *party) ask(t *testing.T, person, profile string, changes ...with) string {
	t.Helper()
	return id(t, p.post(t, "/v1/requests", merged(object{"person_id": person, "profile_id": profile}, changes)))
}

// patience is how long anything may take that happens by itself.
const patience = time.Minute

func until(t *testing.T, what string, ask func() bool) {
	t.Helper()
	require.Eventually(t, ask, patience, 50*time.Millisecond, what)
}

// waits until a request is in the state, and gives it.
func (p *party) waits(t *testing.T, request string, state domain.RequestState) object {
	t.Helper()
	var r object
	until(t, "the request is "+string(state), func() bool {
		r = p.get(t, "/v1/requests/"+request)
		return r["state"] == string(state)
	})
	return r
}

// holder reads a person's messages and has a wallet.
type holder struct {
	*wallet.Wallet
	store         *wallet.Store
	post          *client.Client
	email, mobile string
}

// holder gives the person's side of things.
func (s *stage) holder(t *testing.T, person string) *holder {
	t.Helper()
	return s.holderWith(t, person, nil)
}

// holderWith gives the person a wallet that attests its keys.
func (s *stage) holderWith(t *testing.T, person string, attests *wallet.Attestor) *holder {
	t.Helper()
	p := s.admin.get(t, "/v1/people/"+person)
	st, err := wallet.Open(filepath.Join(t.TempDir(), "wallet"))
	require.NoError(t, err)
	w, err := wallet.New(wallet.Options{Store: st, Attestor: attests})
	require.NoError(t, err)
	h := &holder{Wallet: w, store: st, post: client.New(s.mailboxURL, "")}
	h.email, _ = p["email"].(string)
	h.mobile, _ = p["mobile"].(string)
	return h
}

// mail gives everything that was sent to the holder, oldest first.
func (h *holder) mail(t *testing.T) []mailbox.Message {
	t.Helper()
	var every, own []mailbox.Message
	require.NoError(t, h.post.Do(t.Context(), http.MethodGet, "/api/messages", nil, &every))
	for _, m := range every {
		if m.To == h.email || m.To == h.mobile {
			own = append(own, m)
		}
	}
	return own
}

// reads waits for the n-th link and the n-th code, counted from 1.
func (h *holder) reads(t *testing.T, n int) (link, code string) {
	t.Helper()
	until(t, "link and code have come", func() bool {
		var links, codes []string
		for _, m := range h.mail(t) {
			if l := mailbox.FindLink(m.Text); l != "" {
				links = append(links, l)
			} else if c := mailbox.FindCode(m.Text); c != "" {
				codes = append(codes, strings.ReplaceAll(c, " ", ""))
			}
		}
		if len(links) < n || len(codes) < n {
			return false
		}
		link, code = links[n-1], codes[n-1]
		return true
	})
	return link, code
}

// receives waits for a message with the words in its text or subject.
func (h *holder) receives(t *testing.T, words string) mailbox.Message {
	t.Helper()
	var got mailbox.Message
	until(t, "a message says "+words, func() bool {
		for _, m := range h.mail(t) {
			if strings.Contains(m.Subject+"\n"+m.Text, words) {
				got = m
				return true
			}
		}
		return false
	})
	return got
}

// collects takes the document of the first link and code into the wallet and gives its bytes.
func (h *holder) collects(t *testing.T) []byte {
	t.Helper()
	link, code := h.reads(t, 1)
	return h.collectsWith(t, link, code)
}

func (h *holder) collectsWith(t *testing.T, link, code string) []byte {
	t.Helper()
	got, err := h.Collect(t.Context(), link, code, wallet.CollectOptions{})
	require.NoError(t, err)
	document, _, err := h.store.Copy(got.Document.ID, 0)
	require.NoError(t, err)
	return document
}

// issue goes the whole way and gives the document's id and bytes. The profile must need no approval.
func (s *stage) issue(t *testing.T, person, profile string) (document string, bytes []byte) {
	t.Helper()
	asks, _ := s.operators(t)
	request := asks.ask(t, person, profile)
	bytes = s.holder(t, person).collects(t)
	return text(t, asks.get(t, "/v1/requests/"+request), "document_id"), bytes
}

// checks verifies a document as a relying party does: everything but the status must hold; it gives the status of the status list.
func (s *stage) checks(t *testing.T, document []byte) verifier.Status {
	t.Helper()
	answer, err := client.New(s.url, "").Send(t.Context(), http.MethodGet, "/pki/iaca.pem", "", nil)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(answer))
	result, err := verifier.Verify(t.Context(), document, verifier.Options{Roots: roots, Now: time.Now(), Fetch: verifier.HTTPFetcher(http.DefaultClient)})
	require.NoError(t, err)
	require.Empty(t, result.Problems)
	return result.Status
}

// state gives the state of a document.
func (s *stage) state(t *testing.T, document string) string {
	t.Helper()
	return text(t, s.admin.get(t, "/v1/documents/"+document), "state")
}

// lines reads an NDJSON answer.
func lines(t *testing.T, answer []byte) []object {
	t.Helper()
	var out []object
	scan := bufio.NewScanner(bytes.NewReader(answer))
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var o object
		require.NoError(t, json.Unmarshal(scan.Bytes(), &o))
		out = append(out, o)
	}
	require.NoError(t, scan.Err())
	return out
}

func isRefusal(err error) bool { return errors.As(err, new(*client.Problem)) }

func base64Portrait() string { return base64.StdEncoding.EncodeToString(issuertest.Portrait()) }
