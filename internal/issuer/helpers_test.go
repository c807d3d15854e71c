package issuer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/verifier"
	"github.com/mdocket/mdocket/workflows/messages"
)

// eachBackend runs the test on SQLite and on PostgreSQL, and checks afterwards what must always hold.
func eachBackend(t *testing.T, test func(t *testing.T, f *issuertest.Fixture)) {
	t.Helper()
	eachBackendWith(t, issuertest.Options{}, test)
}

func eachBackendWith(t *testing.T, o issuertest.Options, test func(t *testing.T, f *issuertest.Fixture)) {
	t.Helper()
	for _, backend := range []string{"sqlite", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			o := o
			o.Postgres = backend == "postgres"
			f := issuertest.New(t, o)
			test(t, f)
			checkInvariants(t, f)
		})
	}
}

// rawSQL is a way around the store.
func rawSQL(t *testing.T, f *issuertest.Fixture) *sql.DB {
	t.Helper()
	driver, source := "postgres", f.DSN
	if path, ok := strings.CutPrefix(f.DSN, "sqlite:"); ok {
		driver, source = "sqlite", path
	}
	db, err := sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// checkInvariants: the audit chain is intact, and every change of a state in it is a step of the lifecycles; every index of a status list is either that of a copy and says what its document's state asks for,
// or invalid; what is issued is signed, what is not is not.
func checkInvariants(t *testing.T, f *issuertest.Fixture) {
	t.Helper()
	check, err := f.Issuer.VerifyAudit(t.Context(), f.Admin())
	require.NoError(t, err)
	require.True(t, check.Intact, "%+v", check)
	checkSteps(t, f)

	db := rawSQL(t, f)
	rows, err := db.QueryContext(t.Context(), `SELECT e.value, COALESCE(d.state, ''), COALESCE(r.state, ''), COALESCE(l.bits, 0)
		FROM status_entries e LEFT JOIN document_copies c ON c.list_id = e.list_id AND c.status_index = e.idx
		LEFT JOIN documents d ON d.id = c.document_id LEFT JOIN requests r ON r.id = d.request_id
		LEFT JOIN status_lists l ON l.id = e.list_id`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var value, bits int
		var document, request string
		require.NoError(t, rows.Scan(&value, &document, &request, &bits))
		want := 1
		switch domain.DocumentState(document) {
		case domain.DocumentActive:
			want = 0
		case domain.DocumentDisabled:
			want = map[int]int{1: 0, 2: 2}[bits]
		case domain.DocumentPrepared:
			want = 0
			require.True(t, domain.RequestState(request).Open(), "an intent outlived its request, which is %s", request)
		case domain.DocumentExpired:
			continue // its own end says it, whatever its index said last
		case domain.DocumentCanceled, domain.DocumentSuperseded:
		}
		require.Equal(t, want, value, "status of a document that is %q", document)
	}
	require.NoError(t, rows.Err())

	for what, query := range map[string]string{
		"copies without a status entry": `SELECT count(*) FROM document_copies c LEFT JOIN status_entries e ON e.list_id = c.list_id
			AND e.idx = c.status_index AND e.document_id = c.document_id WHERE e.idx IS NULL`,
		"documents whose number of copies is wrong": `SELECT count(*) FROM documents d
			WHERE d.copies <> (SELECT count(*) FROM document_copies c WHERE c.document_id = d.id)`,
		"issued requests without a document": `SELECT count(*) FROM requests r LEFT JOIN documents d ON d.id = r.document_id
			AND d.request_id = r.id AND d.state <> 'prepared' WHERE r.state = 'issued' AND d.id IS NULL`,
		"live documents of requests not issued": `SELECT count(*) FROM documents d JOIN requests r ON r.id = d.request_id
			WHERE d.state IN ('active', 'disabled') AND r.state <> 'issued'`,
		"signed bytes of documents never issued": `SELECT count(*) FROM document_copies c JOIN documents d ON d.id = c.document_id
			JOIN requests r ON r.id = d.request_id WHERE c.issuer_signed IS NOT NULL AND r.state <> 'issued'`,
		"open cancellations of ended documents": `SELECT count(*) FROM cancellations c JOIN documents d ON d.id = c.document_id
			WHERE c.state IN ('received', 'awaiting_approval') AND d.state NOT IN ('active', 'disabled')`,
		"live documents that nobody looks at": `SELECT count(*) FROM documents WHERE state IN ('active', 'disabled') AND next_at IS NULL`,
		"ended documents of which a plan is kept": `SELECT count(*) FROM documents
			WHERE state IN ('canceled', 'expired', 'superseded') AND (next_at IS NOT NULL OR data_digest <> '')`,
		"open updates of ended documents": `SELECT count(*) FROM requests r JOIN documents d ON d.id = r.replaces
			WHERE r.state IN ('received', 'awaiting_approval', 'awaiting_collection') AND d.state NOT IN ('active', 'disabled')`,
		"documents superseded by nothing, or not although they are replaced": `SELECT count(*) FROM documents d
			WHERE (d.state = 'superseded') <> (EXISTS (SELECT 1 FROM requests r WHERE r.replaces = d.id AND r.state = 'issued'))`,
		"approved cancellations of documents not canceled": `SELECT count(*) FROM cancellations c JOIN documents d ON d.id = c.document_id
			WHERE c.state = 'approved' AND d.state <> 'canceled'`,
		"seeds kept after signing": `SELECT count(*) FROM document_copies c JOIN documents d ON d.id = c.document_id
			WHERE c.seed IS NOT NULL AND d.state IN ('active', 'disabled')`,
		"lists fuller than they say": `SELECT count(*) FROM status_lists l
			WHERE l.used < (SELECT count(*) FROM status_entries e WHERE e.list_id = l.id) OR l.used * 4 > l.capacity * 3`,
		"pending messages of ended requests": `SELECT count(*) FROM messages m JOIN requests r ON r.id = m.request_id
			WHERE m.state = 'pending' AND m.generation > 0 AND r.state IN ('issued', 'canceled', 'expired', 'rejected')`,
	} {
		var n int
		require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&n), what)
		require.Zero(t, n, what)
	}
}

// checkSteps: whatever the audit tells of a document, request or cancellation that changed its state is what docs/lifecycle.md says.
func checkSteps(t *testing.T, f *issuertest.Fixture) {
	t.Helper()
	const page = 1000
	for after := int64(0); ; {
		entries, err := f.Store.Audit(t.Context(), store.AuditFilter{}, after, page)
		require.NoError(t, err)
		for _, e := range entries {
			after = e.Seq
			state, changed := e.Changes["state"]
			if !changed {
				continue
			}
			by := domain.ByAccount
			switch e.Actor {
			case "wallet":
				by = domain.ByWallet
			case domain.System().AccountID:
				by = domain.BySystem
			}
			told := true
			switch thing, _, _ := strings.Cut(e.Action, "."); thing {
			case "document":
				told = domain.DocumentLifecycle().Tells(e.Action, domain.DocumentState(state.Before), domain.DocumentState(state.After), by)
			case "request":
				told = domain.RequestLifecycle().Tells(e.Action, domain.RequestState(state.Before), domain.RequestState(state.After), by)
			case "cancellation":
				told = domain.CancellationLifecycle().Tells(e.Action, domain.CancellationState(state.Before), domain.CancellationState(state.After), by)
			}
			require.True(t, told, "%s from %q to %q by %s is no step of the lifecycle", e.Action, state.Before, state.After, by)
		}
		if len(entries) < page {
			return
		}
	}
}

func newID(t testing.TB) string {
	t.Helper()
	id, err := uuid.NewV7()
	require.NoError(t, err)
	return id.String()
}

func codeIs(t *testing.T, want domain.Code, err error, what ...any) {
	t.Helper()
	require.Error(t, err, what...)
	require.Equal(t, want, domain.CodeOf(err), "%v %v", err, what)
}

// fieldsOf gives the fields an error names.
func fieldsOf(t *testing.T, err error) []string {
	t.Helper()
	var refused *domain.Error
	require.ErrorAs(t, err, &refused)
	out := []string{}
	for _, p := range refused.Fields {
		out = append(out, p.Field)
	}
	return out
}

// detail gives one detail of a refusal.
func detail(t *testing.T, err error, name string) string {
	t.Helper()
	var refused *domain.Error
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Details, name)
	return refused.Details[name]
}

// operator is an account with the permissions in scope all.
func operator(t *testing.T, f *issuertest.Fixture, name string, permissions ...domain.Permission) domain.Caller {
	t.Helper()
	return f.Caller(t, name, "", issuertest.All(permissions...))
}

// newRequest makes a request by the administrator.
func newRequest(t *testing.T, f *issuertest.Fixture, person domain.Person, profile domain.Profile) domain.Request {
	t.Helper()
	r, err := f.Issuer.CreateRequest(t.Context(), f.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
	require.NoError(t, err)
	return r
}

func reload(t *testing.T, f *issuertest.Fixture, id string) domain.Request {
	t.Helper()
	r, err := f.Store.Request(t.Context(), id)
	require.NoError(t, err)
	return r
}

// onScreen gives link token and code as an operator reads them.
func onScreen(t *testing.T, f *issuertest.Fixture, id string) (linkToken, code string) {
	t.Helper()
	shown, err := f.Issuer.ViewCode(t.Context(), f.Admin(), id)
	require.NoError(t, err)
	return linkOf(t, shown.Link), shown.Code
}

var linkPattern = regexp.MustCompile(regexp.QuoteMeta(issuertest.BaseURL) + `/c/([A-Za-z0-9_-]+)`)

func linkOf(t *testing.T, text string) string {
	t.Helper()
	found := linkPattern.FindStringSubmatch(text)
	require.NotNil(t, found, "no link in the message")
	return found[1]
}

var codePattern = regexp.MustCompile(`(?m)^([0-9][0-9 ]{3,20})\s*$`)

func codeIn(t *testing.T, text string) string {
	t.Helper()
	found := codePattern.FindStringSubmatch(text)
	require.NotNil(t, found, "no code in the message")
	return strings.ReplaceAll(strings.TrimSpace(found[1]), " ", "")
}

// redeem gives the access token of the request's present link and code.
func redeem(t *testing.T, f *issuertest.Fixture, id string) string {
	t.Helper()
	link, code := onScreen(t, f, id)
	offer, err := f.Issuer.Offer(t.Context(), link)
	require.NoError(t, err)
	token, err := f.Issuer.Redeem(t.Context(), offer.PreAuthorizedCode, code, id)
	require.NoError(t, err)
	return token.AccessToken
}

// walletKeys makes n keys under one nonce.
func walletKeys(t testing.TB, f *issuertest.Fixture, n int) []issuer.WalletKey {
	t.Helper()
	nonce, err := f.Issuer.NewNonce()
	require.NoError(t, err)
	out := make([]issuer.WalletKey, n)
	for i := range out {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		thumbprint, err := oid4vci.Thumbprint(&key.PublicKey)
		require.NoError(t, err)
		out[i] = issuer.WalletKey{Key: &key.PublicKey, Thumbprint: thumbprint, Nonce: nonce}
	}
	return out
}

func collect(ctx context.Context, f *issuertest.Fixture, profile domain.Profile, token string, keys []issuer.WalletKey) ([][]byte, error) {
	return f.Issuer.Collect(ctx, issuer.Collect{AccessToken: token, ConfigurationID: profile.Name, Keys: keys, Platform: domain.PlatformAndroid})
}

// issue takes a request of the profile to a signed document with n copies.
func issue(t *testing.T, f *issuertest.Fixture, person domain.Person, profile domain.Profile, n int) (domain.Document, [][]byte) {
	t.Helper()
	r := newRequest(t, f, person, profile)
	signed, err := collect(t.Context(), f, profile, redeem(t, f, r.ID), walletKeys(t, f, n))
	require.NoError(t, err)
	d, err := f.Store.DocumentOfRequest(t.Context(), r.ID)
	require.NoError(t, err)
	return d, signed
}

// collectAct records a collection without carrying it out, as the API does before it calls the engine.
func collectAct(t *testing.T, f *issuertest.Fixture, r domain.Request, wallet []issuer.WalletKey) messages.ActRef {
	t.Helper()
	a := store.Act{ID: newID(t), RequestID: r.ID, Kind: domain.ActCollect, AccountID: "wallet", CreatedAt: f.Clock.Now(),
		Params: store.ActParams{Generation: r.Generation, Platform: domain.PlatformOther}}
	for _, k := range wallet {
		der, err := x509.MarshalPKIXPublicKey(k.Key)
		require.NoError(t, err)
		a.Params.Keys, a.Params.Thumbprints = append(a.Params.Keys, der), append(a.Params.Thumbprints, k.Thumbprint)
	}
	require.NoError(t, f.Store.InsertAct(t.Context(), a))
	return messages.ActRef{RequestID: r.ID, ActID: a.ID}
}

// again repeats an activity until it succeeds or is refused, as the engine does.
func again(activity func() error) error {
	var err error
	for range 20 {
		if err = activity(); err == nil || domain.CodeOf(err) != domain.CodeInternal {
			return err
		}
	}
	return err
}

func roots(t *testing.T, f *issuertest.Fixture) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	ders, err := f.Issuer.Roots(t.Context())
	require.NoError(t, err)
	for _, der := range ders {
		require.True(t, pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	return pool
}

// verify checks a document as a verifier does who fetches the status list from this authority.
func verify(t *testing.T, f *issuertest.Fixture, signed []byte) verifier.Result {
	t.Helper()
	fetch := func(ctx context.Context, uri string) ([]byte, error) {
		id, ok := strings.CutPrefix(uri, issuertest.BaseURL+"/status-lists/")
		if !ok {
			return nil, fmt.Errorf("not our list")
		}
		list, err := f.Issuer.StatusList(ctx, id, false)
		return list.Body, err
	}
	result, err := verifier.Verify(t.Context(), signed, verifier.Options{Roots: roots(t, f), Now: f.Clock.Now(), Fetch: fetch})
	require.NoError(t, err)
	return result
}

// values gives the data elements of a verified document.
func values(result verifier.Result) map[string]any {
	out := map[string]any{}
	for _, ns := range result.Verified.NameSpaces {
		for _, e := range ns.Elements {
			out[e.Identifier] = e.Value
		}
	}
	return out
}

func documentOf(t *testing.T, f *issuertest.Fixture, requestID string) domain.Document {
	t.Helper()
	d, err := f.Store.DocumentOfRequest(t.Context(), requestID)
	require.NoError(t, err)
	return d
}

// invalidIndices gives the places of a list that are invalid.
func invalidIndices(entries []store.StatusEntry) []uint64 {
	var out []uint64
	for _, e := range entries {
		if e.Value == uint8(statuslist.Invalid) {
			out = append(out, e.Idx)
		}
	}
	return out
}

// actionsOf gives the actions of audit entries, in order.
func actionsOf(entries []domain.AuditEntry) []string {
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Action
	}
	return out
}

// gatedKeys lets a test look in right before a document is signed: after the intent was recorded, before anything is stored.
type gatedKeys struct {
	keys.Manager
	mu     sync.Mutex
	before func() error // nil = sign at once
}

// wrap is the Keys option of the fixture.
func (g *gatedKeys) wrap(m keys.Manager) keys.Manager {
	g.Manager = m
	return g
}

// set installs what happens before each signature from now on; an error is the signature's.
func (g *gatedKeys) set(before func() error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before = before
}

func (g *gatedKeys) Generate(ctx context.Context, id string, curve elliptic.Curve) (crypto.Signer, error) {
	s, err := g.Manager.Generate(ctx, id, curve)
	return gatedSigner{s, g}, err
}

func (g *gatedKeys) Open(ctx context.Context, id string) (crypto.Signer, error) {
	s, err := g.Manager.Open(ctx, id)
	return gatedSigner{s, g}, err
}

type gatedSigner struct {
	crypto.Signer
	gate *gatedKeys
}

func (s gatedSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.gate.mu.Lock()
	before := s.gate.before
	s.gate.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return nil, err
		}
	}
	return s.Signer.Sign(random, digest, opts)
}
