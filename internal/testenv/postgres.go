package testenv

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	_ "github.com/lib/pq" // the driver "postgres"
)

// PostgresEnv names the environment variable with the URL of a running cluster's maintenance database, whose user may create databases.
// When it is set no cluster is started: that is how one cluster serves the many test binaries of `make test`.
const PostgresEnv = "MDOCKET_TEST_POSTGRES"

// Postgres returns the URL of a fresh, empty database, dropped when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	maintenance := os.Getenv(PostgresEnv)
	if maintenance == "" {
		cluster, err := sharedCluster()
		if err != nil {
			t.Fatalf("PostgreSQL for tests: %v", err)
		}
		maintenance = cluster.URL()
	}
	name := "test_" + strings.ToLower(rand.Text())
	if err := execute(t.Context(), maintenance, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := execute(context.Background(), maintenance, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	database, err := url.Parse(maintenance)
	if err != nil {
		t.Fatalf("read %s: %v", PostgresEnv, err)
	}
	database.Path = "/" + name
	return database.String()
}

var sharedCluster = sync.OnceValues(StartPostgres)

// Cluster is a private PostgreSQL cluster that is reached over a Unix socket only. It does not wait for the disk, so it keeps nothing safe
// from the death of the machine.
type Cluster struct {
	child *child
	url   string
}

// StartPostgres makes a cluster in a temporary folder and starts it. PostgreSQL refuses to run as root; then the user "postgres" runs it.
// What is committed does not survive the death of the server either.
func StartPostgres() (*Cluster, error) {
	return startPostgres("synchronous_commit=off", "full_page_writes=off")
}

// StartLastingPostgres makes a cluster that keeps what is committed when it is killed.
func StartLastingPostgres() (*Cluster, error) { return startPostgres() }

func startPostgres(settings ...string) (*Cluster, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	owner, err := postgresUser()
	if err != nil {
		return nil, err
	}
	dir, err := ownedFolder(owner)
	if err != nil {
		return nil, err
	}
	cluster, err := startCluster(bin, owner, dir, settings)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	return cluster, nil
}

// URL is the address of the cluster's maintenance database for a user who may do everything.
func (c *Cluster) URL() string { return c.url }

// Stop ends the cluster and removes its data. A cluster that is never stopped ends with the process.
func (c *Cluster) Stop() error { return c.child.stop() }

// Kill ends the server with SIGKILL and returns when the last of its processes is gone.
func (c *Cluster) Kill() error { return c.child.kill() }

// Start starts a killed server again, at the same address and with its data. It returns when it answers.
func (c *Cluster) Start() error {
	if err := c.child.restart(); err != nil {
		return err
	}
	ctx, cancel := startContext()
	defer cancel()
	return c.child.waitReady(ctx, c.answers)
}

func (c *Cluster) answers(ctx context.Context) error { return execute(ctx, c.url, "SELECT 1") }

func startCluster(bin string, owner *syscall.Credential, dir string, settings []string) (*Cluster, error) {
	ctx, cancel := startContext()
	defer cancel()
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir = dir
	initdb.Env = childEnv()
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if output, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make cluster: %w\n%s", err, output)
	}
	// SIGQUIT is PostgreSQL's immediate shutdown: no checkpoint, no waiting for clients.
	args := []string{"-D", data, "-k", dir}
	for _, s := range append([]string{"listen_addresses=", "fsync=off", "wal_level=minimal", "max_wal_senders=0", "max_connections=500"},
		settings...) {
		args = append(args, "-c", s)
	}
	child, err := startChild(owner, dir, "QUIT", filepath.Join(bin, "postgres"), args...)
	if err != nil {
		return nil, err
	}
	query := url.Values{"host": {dir}, "sslmode": {"disable"}}
	address := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: query.Encode()}
	cluster := &Cluster{child: child, url: address.String()}
	if err := child.waitReady(ctx, cluster.answers); err != nil {
		return nil, errors.Join(err, child.stop())
	}
	return cluster, nil
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, address, statement string) (err error) {
	db, err := sql.Open("postgres", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// postgresBin returns the folder of the newest installed PostgreSQL. Debian keeps the server's programs out of PATH.
func postgresBin() (string, error) {
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin/initdb",
		"/opt/homebrew/opt/postgresql*/bin/initdb",
		"/usr/local/opt/postgresql*/bin/initdb",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for PostgreSQL: %w", err)
		}
		if len(found) > 0 {
			return filepath.Dir(slices.MaxFunc(found, byVersion)), nil
		}
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("PostgreSQL is not installed: run `make components`")
	}
	return filepath.Dir(path), nil
}

// byVersion compares paths such as /usr/lib/postgresql/15/bin/initdb by the number in them.
func byVersion(a, b string) int {
	number := func(path string) int {
		digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
		if len(digits) == 0 {
			return 0
		}
		n, err := strconv.Atoi(digits[0])
		if err != nil {
			return 0
		}
		return n
	}
	return cmp.Compare(number(a), number(b))
}

// postgresUser returns who has to run the server; nil is the current user.
func postgresUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil // what exec takes for: do not change the user
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root and there is no user to run it: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read user id of postgres: %w", err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read group id of postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// ownedFolder makes a temporary folder that only the server's user (and root) may enter; its name leaves room for the socket's.
func ownedFolder(owner *syscall.Credential) (string, error) {
	dir, err := os.MkdirTemp("", "mdocket-pg-")
	if err != nil {
		return "", fmt.Errorf("make folder for PostgreSQL: %w", err)
	}
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return "", errors.Join(fmt.Errorf("give folder to PostgreSQL: %w", err), os.RemoveAll(dir))
		}
	}
	return dir, nil
}
