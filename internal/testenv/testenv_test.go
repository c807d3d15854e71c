package testenv_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/mdocket/mdocket/internal/testenv"
)

// ownerEnv makes TestOwner start every component, print where they are and wait to be killed.
const ownerEnv = "MDOCKET_TEST_TESTENV_OWNER"

func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestPostgresDatabasesAreFreshAndDropped(t *testing.T) {
	var dropped string
	t.Run("a test", func(t *testing.T) {
		first, second := testenv.Postgres(t), testenv.Postgres(t)
		require.NotEqual(t, first, second)
		for _, address := range []string{first, second} {
			_, err := open(t, address).ExecContext(t.Context(), "CREATE TABLE same_name (id BIGINT PRIMARY KEY)")
			require.NoError(t, err)
		}
		dropped = first
	})
	err := open(t, dropped).PingContext(t.Context())
	require.ErrorContains(t, err, "does not exist")
}

func TestPostgresUsesTheClusterOfTheEnvironment(t *testing.T) {
	cluster, err := testenv.StartPostgres()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Stop()) })
	t.Setenv(testenv.PostgresEnv, cluster.URL())

	address := testenv.Postgres(t)

	var socket string
	require.NoError(t, open(t, address).QueryRowContext(t.Context(), "SHOW unix_socket_directories").Scan(&socket))
	require.Contains(t, cluster.URL(), filepath.Base(socket))
}

func TestPostgresStopRemovesItsData(t *testing.T) {
	t.Setenv("TMPDIR", worldReadableDir(t))
	cluster, err := testenv.StartPostgres()
	require.NoError(t, err)
	require.NotEmpty(t, entries(t, os.TempDir()))

	require.NoError(t, cluster.Stop())
	require.Empty(t, entries(t, os.TempDir()))
}

// A killed cluster comes back at its address with what was committed, and without what was not, again and again.
func TestLastingPostgresIsKilledAndStartsAgain(t *testing.T) {
	t.Setenv("TMPDIR", worldReadableDir(t))
	cluster, err := testenv.StartLastingPostgres()
	require.NoError(t, err)
	db := open(t, cluster.URL())
	_, err = db.ExecContext(t.Context(), "CREATE TABLE kept (n BIGINT PRIMARY KEY)")
	require.NoError(t, err)
	for n := range 3 {
		_, err = db.ExecContext(t.Context(), "INSERT INTO kept VALUES ($1)", n)
		require.NoError(t, err)
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO kept VALUES (-1)")
		require.NoError(t, err)

		require.NoError(t, cluster.Kill())
		require.Error(t, tx.Commit())
		require.Error(t, db.PingContext(t.Context()))
		require.NoError(t, cluster.Start())
		var rows int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM kept WHERE n >= 0").Scan(&rows))
		require.Equal(t, n+1, rows)
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM kept").Scan(&rows))
		require.Equal(t, n+1, rows)
	}
	require.NoError(t, db.Close())
	require.NoError(t, cluster.Kill())
	require.NoError(t, cluster.Stop())
	require.Empty(t, entries(t, os.TempDir()))
}

func TestRedisDatabasesAreSeparate(t *testing.T) {
	for range 2 {
		options, err := redis.ParseURL(testenv.Redis(t))
		require.NoError(t, err)
		c := redis.NewClient(options)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		set, err := c.SetNX(t.Context(), "same key", "x", 0).Result()
		require.NoError(t, err)
		require.True(t, set)
	}
}

func TestTemporalIsShared(t *testing.T) {
	address := testenv.Temporal(t)
	require.Equal(t, address, testenv.Temporal(t))
	c, err := client.DialContext(t.Context(), client.Options{HostPort: address})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	_, err = c.CheckHealth(t.Context(), &client.CheckHealthRequest{})
	require.NoError(t, err)
}

// TestOwner is the process that TestNothingOutlivesTheTestBinary kills; by itself it only shows that all components run side by side.
func TestOwner(t *testing.T) {
	if os.Getenv(ownerEnv) != "" {
		t.Setenv(testenv.PostgresEnv, "")
	}
	postgres, redisURL, temporal := testenv.Postgres(t), testenv.Redis(t), testenv.Temporal(t)
	require.NoError(t, open(t, postgres).PingContext(t.Context()))
	options, err := redis.ParseURL(redisURL)
	require.NoError(t, err)
	require.True(t, listens(t, options.Addr))
	require.True(t, listens(t, temporal))
	if os.Getenv(ownerEnv) != "" {
		_, err := fmt.Fprintln(os.NewFile(3, "report"), options.Addr, temporal)
		require.NoError(t, err)
		select {}
	}
}

func TestNothingOutlivesTheTestBinary(t *testing.T) {
	dir := worldReadableDir(t)
	report, reportEnd, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, report.Close()) })
	owner := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOwner$")
	owner.Env = append(os.Environ(), ownerEnv+"=1", "TMPDIR="+dir)
	owner.ExtraFiles = []*os.File{reportEnd}
	owner.Stdout, owner.Stderr = os.Stdout, os.Stderr
	require.NoError(t, owner.Start())
	require.NoError(t, reportEnd.Close())
	line := make([]byte, 200)
	n, err := report.Read(line)
	require.NoError(t, err)
	addresses := strings.Fields(string(line[:n]))
	require.Len(t, addresses, 2)
	require.NotEmpty(t, entries(t, dir))

	require.NoError(t, owner.Process.Kill())
	require.Error(t, owner.Wait())

	require.Eventually(t, func() bool {
		return !listens(t, addresses[0]) && !listens(t, addresses[1]) && len(entries(t, dir)) == 0
	}, 30*time.Second, 50*time.Millisecond, "the guards stop every component and remove its files")
	_, err = report.Read(line)
	require.ErrorIs(t, err, io.EOF, "no child holds the test's files open")
}

// worldReadableDir is a temporary folder that the user of the PostgreSQL server can pass through.
func worldReadableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "mdocket-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o777))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	found, err := os.ReadDir(dir)
	require.NoError(t, err)
	return found
}

func listens(t *testing.T, address string) bool {
	t.Helper()
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	require.NoError(t, conn.Close())
	return true
}
