package e2e_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"
	"github.com/stretchr/testify/require"
	workflowservice "go.temporal.io/api/workflowservice/v1"
	temporal "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/mdocket/mdocket/internal/standalone/devserver"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/internal/testenv"
)

const adminName = "chief"

// site is an installation as in production: the API and a worker as processes of their own, on PostgreSQL, Redis and Temporal. E-mail
// and SMS go to a mailbox inside the test.
type site struct {
	dir        string
	program    string
	database   string // URL
	config     string // file
	env        []string
	url        string // of the API
	metricsURL string // of the API's metrics
	workURL    string // of the worker's health and metrics
	postURL    string // of the mailbox
	password   string // of the administrator
	mailbox    *mailbox.Mailbox
	api        *supervisor
	worker     *supervisor
}

// siteOptions are where a site differs from others.
type siteOptions struct {
	program   string   // default: mdocket as it is shipped
	database  string   // URL; default: an empty one on the PostgreSQL of all tests
	temporal  string   // address
	namespace string   // default: default
	logLevel  string   // default: info
	env       []string // of its processes, beside a clean one
	like      *site    // take over the data of another site, whose processes are stopped
	bare      bool     // without an administrator
}

// newSite sets a site up: configuration, secret, schema, and the first administrator unless it is bare. Nothing runs yet.
func newSite(t testing.TB, o siteOptions) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), program: o.program, database: o.database, password: rand.Text(), mailbox: newMailbox(t)}
	if s.program == "" {
		s.program = program(t)
	}
	if s.database == "" {
		s.database = testenv.Postgres(t)
	}
	s.config = filepath.Join(s.dir, "mdocket.yaml")
	s.env = cleanEnv(o.env...)
	s.url, s.metricsURL, s.workURL = "http://"+freeAddress(t), "http://"+freeAddress(t), "http://"+freeAddress(t)
	s.writeConfig(t, o)
	if o.like != nil {
		s.password = o.like.password
		s.copy(t, o.like)
		return s
	}
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "keys"), 0o700))
	mustRun(t, s.env, s.program, "secret", filepath.Join(s.dir, "secret.key"))
	mustRun(t, s.env, s.program, "migrate", "--database", s.database)
	if !o.bare {
		s.makeAdmin(t)
	}
	return s
}

// makeAdmin makes the first administrator.
func (s *site) makeAdmin(t testing.TB) {
	t.Helper()
	mustRun(t, append(cleanEnv(), "MDOCKET_PASSWORD="+s.password), s.program, "migrate", "admin", adminName, "--config", s.config)
}

// writeConfig writes the configuration file; JSON is YAML too.
func (s *site) writeConfig(t testing.TB, o siteOptions) {
	t.Helper()
	address := func(url string) string { return strings.TrimPrefix(url, "http://") }
	gateway := httptest.NewServer(s.mailbox.Handler())
	t.Cleanup(gateway.Close)
	s.postURL = gateway.URL
	host, port, err := net.SplitHostPort(s.mailbox.SMTPAddr())
	require.NoError(t, err)
	smtpPort, err := strconv.Atoi(port)
	require.NoError(t, err)
	type section = map[string]any
	text, err := json.MarshalIndent(section{
		"listen": address(s.url), "metrics_listen": address(s.metricsURL), "base_url": s.url,
		"server_name": "Utopia Road Office", "database": s.database, "redis": testenv.Redis(t),
		"secret_file": filepath.Join(s.dir, "secret.key"), "key_dir": filepath.Join(s.dir, "keys"), "region": "CH",
		"temporal":    section{"address": o.temporal, "namespace": or(o.namespace, devserver.DefaultNamespace)},
		"authority":   section{"country": "UT", "organization": "Utopia", "common_name": "Utopia IACA", "contact": "https://utopia.example"},
		"status_list": section{"ttl": "60s", "refresh": "0s", "capacity": 4096},
		"mail":        section{"host": host, "port": smtpPort, "tls": "none", "from": "no-reply@utopia.example", "helo": "localhost"},
		"sms": section{"http": section{"method": http.MethodPost, "url": s.postURL + "/sms", "json_path": "status", "equals": "accepted",
			"body": `{"to": {{json .To}}, "text": {{json .Text}}, "id": {{json .ID}}}`}},
		"worker": section{"listen": address(s.workURL)},
		"log":    section{"format": "json", "level": or(o.logLevel, "info")},
	}, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.config, text, 0o600))
}

// copy takes over database, keys and secret of another site.
func (s *site) copy(t testing.TB, from *site) {
	t.Helper()
	copying.Lock()
	defer copying.Unlock()
	own, source := databaseName(t, s.database), databaseName(t, from.database)
	maintenance, err := url.Parse(s.database)
	require.NoError(t, err)
	maintenance.Path = "/postgres"
	execute(t, maintenance.String(), "DROP DATABASE "+own, "CREATE DATABASE "+own+" TEMPLATE "+source)
	require.NoError(t, os.CopyFS(filepath.Join(s.dir, "keys"), os.DirFS(filepath.Join(from.dir, "keys"))))
	secret, err := os.ReadFile(filepath.Join(from.dir, "secret.key"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "secret.key"), secret, 0o600))
	require.NoError(t, onlyOwner(s.dir))
}

// copying: PostgreSQL copies a database for one at a time.
var copying sync.Mutex

// onlyOwner takes from others what copying may have given them.
func onlyOwner(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
}

func databaseName(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return strings.TrimPrefix(u.Path, "/")
}

func execute(t testing.TB, address string, statements ...string) {
	t.Helper()
	db, err := sql.Open("postgres", address)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// start starts API and worker and waits until both are ready.
func (s *site) start(t testing.TB) {
	t.Helper()
	s.startAPI(t)
	s.startWorker(t)
	s.waitReady(t)
}

func (s *site) startAPI(t testing.TB) {
	t.Helper()
	s.api = supervise(t, "api", s.logFile("api"), s.pidFile("api"), s.env, s.program, "api", "--config", s.config)
}

func (s *site) startWorker(t testing.TB) {
	t.Helper()
	s.worker = supervise(t, "worker", s.logFile("worker"), s.pidFile("worker"), s.env, s.program, "worker", "--config", s.config)
}

func (s *site) logFile(name string) string { return filepath.Join(s.dir, name+".log") }
func (s *site) pidFile(name string) string { return filepath.Join(s.dir, name+".pid") }

func (s *site) waitReady(t testing.TB) {
	t.Helper()
	until(t, time.Minute, "the API is ready", func() (bool, error) { return s.ready(t.Context()), s.api.gaveUp() })
	if s.worker != nil {
		until(t, time.Minute, "the worker is ready", func() (bool, error) {
			return ready(t.Context(), s.workURL), s.worker.gaveUp()
		})
	}
}

func (s *site) ready(ctx context.Context) bool { return ready(ctx, s.url) }

// ready asks the API or a worker.
func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode < http.StatusMultipleChoices
}

// gaveUp gives why the program runs no more, if it does not.
func (s *supervisor) gaveUp() error {
	select {
	case <-s.ended:
		return errors.Join(s.trouble, errors.New(s.name+" is not running"))
	default:
		return nil
	}
}

// open gives a connection to the site's database, to look at it beside the program.
func (s *site) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", s.database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func newMailbox(t testing.TB) *mailbox.Mailbox {
	t.Helper()
	m := mailbox.New(mailbox.Options{})
	require.NoError(t, m.Start())
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// engineServer is a Temporal of one test's own, which may be killed and started again with its data and address.
type engineServer struct {
	options devserver.Options
	running *devserver.Server
}

func newEngine(t testing.TB, logLevel string) *engineServer {
	t.Helper()
	cli, err := devserver.FindCLI(filepath.Join(root, "bin"))
	require.NoError(t, err)
	dir := t.TempDir()
	e := &engineServer{options: devserver.Options{CLI: cli, HostPort: freeAddress(t), DBFile: filepath.Join(dir, "temporal.db"),
		LogFile: filepath.Join(dir, "temporal.log"), LogLevel: logLevel}}
	t.Cleanup(func() { e.kill(t) })
	e.start(t)
	return e
}

func (e *engineServer) start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var err error
	e.running, err = devserver.Start(ctx, e.options)
	require.NoError(t, err)
}

// kill ends it as a crash would.
func (e *engineServer) kill(t testing.TB) {
	t.Helper()
	if e.running != nil {
		require.NoError(t, e.running.Kill())
		e.running = nil
	}
}

// dialEngine connects to Temporal beside the program.
func dialEngine(t testing.TB, address, namespace string) temporal.Client {
	t.Helper()
	c, err := temporal.DialContext(t.Context(), temporal.Options{HostPort: address, Namespace: namespace,
		Logger: log.NewStructuredLogger(quiet())})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// newNamespace makes a namespace, in which a site is alone on a shared Temporal.
func newNamespace(t testing.TB, address string) string {
	t.Helper()
	name := "e2e-" + strings.ToLower(rand.Text()[:12])
	c := dialEngine(t, address, name).WorkflowService()
	_, err := c.RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{Namespace: name,
		WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour)})
	require.NoError(t, err)
	until(t, time.Minute, "the namespace is known everywhere", func() (bool, error) {
		_, err := c.ListWorkflowExecutions(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: name})
		return err == nil, nil
	})
	return name
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
