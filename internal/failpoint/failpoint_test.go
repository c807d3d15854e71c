package failpoint_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/failpoint"
)

// program reaches two places and ends.
const program = `package main

import "github.com/mdocket/mdocket/internal/failpoint"

func main() {
	failpoint.Hit("first")
	failpoint.Hit("second")
	println("survived")
}
`

func TestANormalBuildLives(t *testing.T) {
	t.Setenv("MDOCKET_FAILPOINT", "here")
	t.Setenv("MDOCKET_FAILPOINT_ONCE", filepath.Join(t.TempDir(), "once"))
	failpoint.Hit("here")
	require.NoFileExists(t, os.Getenv("MDOCKET_FAILPOINT_ONCE"))
}

// With the build tag the process dies at the named place, once.
func TestATaggedBuildDiesOnce(t *testing.T) {
	dir, err := os.MkdirTemp(".", "_program-") // inside the module, so that it may import the package; passed over by patterns
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600))
	binary := filepath.Join(t.TempDir(), "program")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-tags", "failpoints", "-o", binary, "./"+dir).CombinedOutput()
	require.NoError(t, err, "%s", output)

	once := filepath.Join(t.TempDir(), "once")
	run := func(name string) error {
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Env = append(os.Environ(), "MDOCKET_FAILPOINT="+name, "MDOCKET_FAILPOINT_ONCE="+once)
		return cmd.Run()
	}
	require.NoError(t, run("elsewhere"))
	err = run("second")
	var died *exec.ExitError
	require.True(t, errors.As(err, &died), "%v", err)
	status, ok := died.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.Equal(t, syscall.SIGKILL, status.Signal())
	require.NoError(t, run("second"), "started again, it lives")
}
