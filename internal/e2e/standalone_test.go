package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/standalone"
)

// alone is a standalone server: one process and its Temporal.
type alone struct {
	process  *process
	url      string
	mailbox  string
	password string // shown at the first start only
}

var (
	runningLine  = regexp.MustCompile(`(?s)mdocket is running\n  API +(http://\S+)/v1\n.*  mailbox +(http://\S+)\n.*stop with Ctrl-C`)
	passwordLine = regexp.MustCompile(`sign in as "admin" with the password (\S+)`)
)

// startAlone starts a standalone server on the data in dir and waits until it says that it runs.
func startAlone(t testing.TB, dir, listen, mailbox string) *alone {
	t.Helper()
	p := start(t, "standalone", cleanEnv(), program(t), "standalone", "--data", dir, "--listen", listen, "--mailbox", mailbox,
		"--temporal-ui", "0")
	lines := p.waitOutput(t, runningLine)
	a := &alone{process: p, url: lines[1], mailbox: lines[2]}
	if password := passwordLine.FindStringSubmatch(p.output(t)); password != nil {
		a.password = password[1]
	}
	return a
}

// Everything but sessions is there again after a stop, an open request with its workflow included.
func TestStandaloneKeepsData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	listen, mail := freeAddress(t), freeAddress(t)
	first := startAlone(t, dir, listen, mail)
	require.NotEmpty(t, first.password)
	office := openOffice(t, first.url, standalone.AdminName, first.password, 2)
	requestID, documents := issue(t, office, newHolder(t, first.mailbox, 0), office.people[0], "mdl", 1)
	documentID := office.look(t, requestID).DocumentID
	open := office.ask(t, office.people[1], "mdl")
	office.waitState(t, open, domain.RequestAwaitingApproval)
	roots := fetch(t, first.url+"/pki/iaca.pem")
	first.process.stop(t)

	second := startAlone(t, dir, listen, mail)
	require.Equal(t, first.url, second.url)
	require.Empty(t, second.password, "the password is shown once")
	require.NotContains(t, second.process.output(t), first.password)
	require.Equal(t, roots, fetch(t, second.url+"/pki/iaca.pem"))
	again := office.at(t, second.url, standalone.AdminName, first.password)
	var document struct {
		State string `json:"state"`
	}
	require.NoError(t, again.a.Do(t.Context(), http.MethodGet, "/v1/documents/"+documentID, nil, &document))
	require.Equal(t, string(domain.DocumentActive), document.State)
	requireValid(t, second.url, documents[0])

	require.Equal(t, string(domain.RequestAwaitingApproval), again.look(t, open).State)
	again.approve(t, open)
	holder := newHolder(t, second.mailbox, 1)
	requireValid(t, second.url, holder.collect(t, holder.read(t, 0), 2)[1])
	require.Equal(t, string(domain.RequestIssued), again.look(t, open).State)

	require.Contains(t, auditOf(t, "sqlite:"+filepath.Join(dir, "mdocket.db")), "intact", "while it runs")
	second.process.stop(t)
	require.Contains(t, auditOf(t, "sqlite:"+filepath.Join(dir, "mdocket.db")), "intact", "after it has stopped")
}

// auditOf checks the audit chain of a database with the command for it.
func auditOf(t testing.TB, database string) string {
	t.Helper()
	return mustRun(t, cleanEnv(), program(t), "audit", "verify", "--database", database)
}

// iaca makes some root certificate, as PEM.
func iaca(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "some root"}, NotBefore: time.Now(),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
