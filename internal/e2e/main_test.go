package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sideBySide is how many tests run at once. They wait for timeouts of other processes most of their time, so the number of processors says
// nothing about it.
const sideBySide = "16"

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "end-to-end tests:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", sideBySide); err != nil {
			return 1, fmt.Errorf("set parallelism: %w", err)
		}
	}
	if root, err = moduleRoot(); err != nil {
		return 1, err
	}
	if buildDir, err = os.MkdirTemp("", "mdocket-e2e-"); err != nil {
		return 1, fmt.Errorf("make folder for programs: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(buildDir)) }()
	if err := os.Symlink(filepath.Join(root, "bin", "temporal"), filepath.Join(buildDir, "temporal")); err != nil {
		return 1, fmt.Errorf("link the Temporal CLI: %w", err)
	}
	return m.Run(), nil
}

var (
	root     string // folder of go.mod
	buildDir string // of the programs under test; the Temporal CLI lies beside them, as after `make`
)

// program gives the path of mdocket as it is shipped.
func program(t testing.TB) string {
	t.Helper()
	path, err := builtProgram()
	require.NoError(t, err)
	return path
}

// mortalProgram gives the path of mdocket with its failpoints.
func mortalProgram(t testing.TB) string {
	t.Helper()
	path, err := builtMortalProgram()
	require.NoError(t, err)
	return path
}

var (
	builtProgram       = sync.OnceValues(func() (string, error) { return build("mdocket") })
	builtMortalProgram = sync.OnceValues(func() (string, error) { return build("mdocket-mortal", "-tags", "failpoints") })
)

func build(name string, flags ...string) (string, error) {
	path := filepath.Join(buildDir, name)
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", path}, flags...), "./cmd/mdocket")...)
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return path, nil
}

// moduleRoot gives the folder of go.mod above the package folder, in which `go test` runs a test binary.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("locate the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("locate the module: no go.mod above the working folder")
		}
		dir = parent
	}
}

// cleanEnv is the environment of programs under test: this one's without any of mdocket's own variables, and the given ones.
func cleanEnv(more ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MDOCKET_") {
			env = append(env, v)
		}
	}
	return append(env, more...)
}

// until repeats ask until it says yes. It fails the test when ask gives an error or the time is over.
func until(t testing.TB, patience time.Duration, what string, ask func() (bool, error)) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask()
		require.NoError(t, err, what)
		if ok {
			return
		}
		select {
		case <-t.Context().Done():
			require.FailNow(t, "the test ended while waiting until "+what)
		case <-deadline.C:
			require.FailNow(t, fmt.Sprintf("waited %s in vain until %s", patience, what))
		case <-tick.C:
		}
	}
}
