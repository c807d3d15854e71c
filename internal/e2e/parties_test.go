package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/internal/verifier"
	"github.com/mdocket/mdocket/internal/wallet"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// office is the people who work with an installation, each with a session: an administrator, operator a who asks for documents and
// operator b who approves.
type office struct {
	admin, a, b *client.Client
	profiles    map[string]string // ids by name
	people      []string          // ids of example people
}

// The operators' names; their password is the administrator's.
const (
	operatorA = "operator-a"
	operatorB = "operator-b"
)

// openOffice makes operators, the example profiles and some example people.
func openOffice(t testing.TB, url, admin, password string, people int) *office {
	t.Helper()
	o := &office{admin: signIn(t, url, admin, password), profiles: map[string]string{}}
	role := create(t, o.admin, "/v1/roles", issuer.SaveRole{Name: "officer", Permissions: domain.Permissions()})
	for _, name := range []string{operatorA, operatorB} {
		account := create(t, o.admin, "/v1/accounts", map[string]string{"name": name, "password": password})
		require.NoError(t, o.admin.Do(t.Context(), http.MethodPut, "/v1/accounts/"+account+"/roles",
			map[string]any{"roles": []map[string]string{{"role_id": role, "scope": "all"}}}, nil))
	}
	o.a, o.b = signIn(t, url, operatorA, password), signIn(t, url, operatorB, password)
	for _, p := range example.Profiles() {
		o.profiles[p.Name] = create(t, o.a, "/v1/profiles", p)
	}
	var file bytes.Buffer
	require.NoError(t, example.WritePeople(&file, people))
	o.people = importPeople(t, o.a, &file)
	require.Len(t, o.people, people)
	return o
}

// holder makes an account for a person, who does things for themselves, and signs it in.
func (o *office) holder(t testing.TB, person string) *client.Client {
	t.Helper()
	const name = "holder"
	password := rand.Text()
	role := create(t, o.admin, "/v1/roles", issuer.SaveRole{Name: name, Permissions: []domain.Permission{domain.PermRequestSelf}})
	account := create(t, o.admin, "/v1/accounts", map[string]string{"name": name, "password": password, "person_id": person})
	require.NoError(t, o.admin.Do(t.Context(), http.MethodPut, "/v1/accounts/"+account+"/roles",
		map[string]any{"roles": []map[string]string{{"role_id": role, "scope": "self"}}}, nil))
	return signIn(t, o.admin.BaseURL, name, password)
}

// at gives the same office at an installation that was copied from its own.
func (o *office) at(t testing.TB, url, admin, password string) *office {
	t.Helper()
	return &office{admin: signIn(t, url, admin, password), a: signIn(t, url, operatorA, password), b: signIn(t, url, operatorB, password),
		profiles: o.profiles, people: o.people}
}

func signIn(t testing.TB, url, name, password string) *client.Client {
	t.Helper()
	c := client.New(url, "")
	var session struct {
		Token string `json:"token"`
	}
	require.NoError(t, c.Do(t.Context(), http.MethodPost, "/v1/sessions", map[string]string{"name": name, "password": password}, &session))
	return c.As(session.Token)
}

func create(t testing.TB, c *client.Client, path string, in any) (id string) {
	t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	require.NoError(t, c.Do(t.Context(), http.MethodPost, path, in, &made, client.IdempotencyKey(rand.Text())))
	require.NotEmpty(t, made.ID)
	return made.ID
}

// importPeople gives the ids in the order of the file; no row may be refused.
func importPeople(t testing.TB, c *client.Client, file io.Reader) []string {
	t.Helper()
	answer, err := c.Send(t.Context(), http.MethodPost, "/v1/people/import?create_groups=true", "text/csv", file)
	require.NoError(t, err)
	var ids []string
	lines := bufio.NewScanner(bytes.NewReader(answer))
	for lines.Scan() {
		var row struct {
			PersonID string `json:"person_id"`
			Code     string `json:"code"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		require.Empty(t, row.Code)
		if row.PersonID != "" {
			ids = append(ids, row.PersonID)
		}
	}
	require.NoError(t, lines.Err())
	return ids
}

// request is a request as the API shows it.
type request struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	Generation int    `json:"generation"`
	DocumentID string `json:"document_id"`
}

// patience is how long an act may take through crashes and restarts; the longest single waits in it are the seconds after which Temporal
// gives an activity of a dead worker to another one.
const patience = 3 * time.Minute

// persist repeats a call as a careful client does: while there is no answer, or one that blames the moment.
func persist(t testing.TB, call func() error) error {
	t.Helper()
	var last error
	until(t, patience, "there is an answer", func() (bool, error) {
		last = call()
		var refused *client.Problem
		return last == nil || errors.As(last, &refused) && refused.Status < http.StatusInternalServerError, nil
	})
	return last
}

// ask makes a request; all repetitions carry the same key, so there is one.
func (o *office) ask(t testing.TB, person, profile string) string {
	t.Helper()
	key, made := client.IdempotencyKey(rand.Text()), request{}
	in := map[string]string{"person_id": person, "profile_id": o.profiles[profile]}
	require.NoError(t, persist(t, func() error { return o.a.Do(t.Context(), http.MethodPost, "/v1/requests", in, &made, key) }))
	return made.ID
}

// look reads a request.
func (o *office) look(t testing.TB, id string) request {
	t.Helper()
	var r request
	require.NoError(t, persist(t, func() error { return o.a.Do(t.Context(), http.MethodGet, "/v1/requests/"+id, nil, &r) }))
	return r
}

func (o *office) waitState(t testing.TB, id string, state domain.RequestState) {
	t.Helper()
	until(t, patience, "the request is "+string(state), func() (bool, error) { return o.look(t, id).State == string(state), nil })
}

// approve decides as operator b. A repetition that finds the request decided is a success: the first call came through.
func (o *office) approve(t testing.TB, id string) {
	t.Helper()
	err := persist(t, func() error {
		return o.b.Do(t.Context(), http.MethodPost, "/v1/requests/"+id+"/approve", map[string]string{}, nil)
	})
	if client.CodeOf(err) == string(domain.CodeAlreadyDecided) {
		err = nil
	}
	require.NoError(t, err)
}

// resend has link and code made anew.
func (o *office) resend(t testing.TB, id string) {
	t.Helper()
	require.NoError(t, persist(t, func() error { return o.a.Do(t.Context(), http.MethodPost, "/v1/requests/"+id+"/resend", nil, nil) }))
}

// holder receives messages and has a wallet.
type holder struct {
	post   *client.Client // of the mailbox
	email  string
	mobile string
	wallet *wallet.Wallet
	store  *wallet.Store
}

// newHolder gives the n-th example person, counted from 0.
func newHolder(t testing.TB, mailboxURL string, n int) *holder {
	t.Helper()
	return newHolderAt(t, mailboxURL, fmt.Sprintf("holder%d@mailbox.example", n+1), fmt.Sprintf("+4179%07d", 1000000+n))
}

func newHolderAt(t testing.TB, mailboxURL, email, mobile string) *holder {
	t.Helper()
	st, err := wallet.Open(filepath.Join(t.TempDir(), "wallet"))
	require.NoError(t, err)
	w, err := wallet.New(wallet.Options{Store: st,
		Retry: wallet.Retry{Attempts: 60, Backoff: 250 * time.Millisecond, MaxWait: 5 * time.Second}})
	require.NoError(t, err)
	return &holder{post: client.New(mailboxURL, ""), email: email, mobile: mobile, wallet: w, store: st}
}

// letters are what the holder reads: the newest link from the e-mails and the newest code from the SMS.
type letters struct {
	link, code string
	last       int64 // number of the later one in the mailbox
}

// read waits for a link and a code that came after the given message of the mailbox.
func (h *holder) read(t testing.TB, after int64) letters {
	t.Helper()
	var got letters
	until(t, patience, "link and code have arrived", func() (bool, error) {
		got = letters{}
		all, err := h.mail(t.Context())
		for _, m := range all {
			if m.Seq <= after {
				continue
			}
			if m.Kind == mailbox.Email {
				if link := mailbox.FindLink(m.Text); link != "" {
					got.link, got.last = link, m.Seq
				}
			} else {
				got.code, got.last = digits(mailbox.FindCode(m.Text)), m.Seq
			}
		}
		return got.link != "" && got.code != "", err
	})
	return got
}

// mail gives everything that was sent to the holder, oldest first.
func (h *holder) mail(ctx context.Context) ([]mailbox.Message, error) {
	var all, own []mailbox.Message
	if err := h.post.Do(ctx, http.MethodGet, "/api/messages", nil, &all); err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.To == h.email || m.To == h.mobile {
			own = append(own, m)
		}
	}
	return own, nil
}

func digits(text string) string { return strings.ReplaceAll(text, " ", "") }

// collect takes the document into the wallet and gives the bytes of its copies.
func (h *holder) collect(t testing.TB, l letters, copies int) [][]byte {
	t.Helper()
	got, err := h.wallet.Collect(t.Context(), l.link, l.code, wallet.CollectOptions{Keys: copies})
	require.NoError(t, err)
	return h.copies(t, got)
}

func (h *holder) copies(t testing.TB, got *wallet.Collected) [][]byte {
	t.Helper()
	out := make([][]byte, len(got.Document.Copies))
	for i := range out {
		var err error
		out[i], _, err = h.store.Copy(got.Document.ID, i)
		require.NoError(t, err)
	}
	return out
}

// issue goes the whole way from a request to a verified document in the wallet.
func issue(t testing.TB, o *office, h *holder, person, profile string, copies int) (requestID string, documents [][]byte) {
	t.Helper()
	requestID = o.ask(t, person, profile)
	if profile == "mdl" {
		o.approve(t, requestID)
	}
	documents = h.collect(t, h.read(t, 0), copies)
	for _, d := range documents {
		requireValid(t, o.a.BaseURL, d)
	}
	return requestID, documents
}

// requireValid demands that a document verifies in every respect: chain, signature, digests, validity, status list.
func requireValid(t testing.TB, url string, document []byte) {
	t.Helper()
	require.Equal(t, verifier.StatusValid, verify(t, url, document))
}

// verify demands that everything but the status holds, and gives the status.
func verify(t testing.TB, url string, document []byte) verifier.Status {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(fetch(t, url+"/pki/iaca.pem"))))
	result, err := verifier.Verify(t.Context(), document, verifier.Options{Roots: roots, Now: time.Now(),
		Fetch: verifier.HTTPFetcher(http.DefaultClient)})
	require.NoError(t, err)
	require.Empty(t, result.Problems)
	require.Empty(t, result.StatusBy)
	return result.Status
}

// fetch gets something public.
func fetch(t testing.TB, url string) string {
	t.Helper()
	body, err := client.New(url, "").Send(t.Context(), http.MethodGet, "", "", nil)
	require.NoError(t, err)
	return string(body)
}
