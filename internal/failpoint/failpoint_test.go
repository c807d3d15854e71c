package failpoint_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	binary, once := buildProgram(t), filepath.Join(t.TempDir(), "once")
	run := func(name string) error {
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Env = append(os.Environ(), "MDOCKET_FAILPOINT="+name, "MDOCKET_FAILPOINT_ONCE="+once)
		return cmd.Run()
	}
	require.NoError(t, run("elsewhere"))
	requireKilled(t, run("second"))
	require.NoError(t, run("second"), "started again, it lives")
}

// With a peer it is the peer that dies, once, and is gone before the process goes on.
func TestATaggedBuildKillsItsPeerOnce(t *testing.T) {
	binary, once, pid := buildProgram(t), filepath.Join(t.TempDir(), "once"), filepath.Join(t.TempDir(), "peer.pid")
	run := func(name string) string {
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Env = append(os.Environ(), "MDOCKET_FAILPOINT="+name, "MDOCKET_FAILPOINT_ONCE="+once, "MDOCKET_FAILPOINT_PEER="+pid)
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", output)
		return string(output)
	}
	first := startPeer(t, pid)
	require.Equal(t, "survived\n", run("elsewhere"))
	require.Equal(t, "survived\n", run("second"))
	require.ErrorIs(t, syscall.Kill(first.id, 0), syscall.ESRCH, "the peer has not outlived the process")
	<-first.gone
	requireKilled(t, first.err)
	second := startPeer(t, pid)
	require.Equal(t, "survived\n", run("second"))
	require.NoError(t, second.input.Close())
	<-second.gone
	require.NoError(t, second.err, "started again, the process kills nobody")

	for name, content := range map[string]string{"no number": "nobody", "everybody": "-1", "a group": "0", "nobody there": "4194305"} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.Remove(once))
			require.NoError(t, os.WriteFile(pid, []byte(content), 0o600))
			require.Regexp(t, `^failpoint second: [^\n]+\nsurvived\n$`, run("second"))
		})
	}
}

// peer is a process that ends by itself when its input is closed.
type peer struct {
	id    int
	input io.Closer
	gone  chan struct{}
	err   error // how it ended
}

// startPeer starts one and writes its process id to a file.
func startPeer(t *testing.T, file string) *peer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cat")
	input, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &peer{id: cmd.Process.Pid, input: input, gone: make(chan struct{})}
	go func() {
		defer close(p.gone)
		p.err = cmd.Wait()
	}()
	require.NoError(t, os.WriteFile(file, []byte(strconv.Itoa(p.id)), 0o600))
	return p
}

func requireKilled(t *testing.T, err error) {
	t.Helper()
	var died *exec.ExitError
	require.ErrorAs(t, err, &died)
	status, ok := died.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.Equal(t, syscall.SIGKILL, status.Signal())
}

// buildProgram builds the program with failpoints.
func buildProgram(t *testing.T) (binary string) {
	t.Helper()
	dir, err := os.MkdirTemp(".", "_program-") // inside the module, so that it may import the package; passed over by patterns
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600))
	binary = filepath.Join(t.TempDir(), "program")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-tags", "failpoints", "-o", binary, "./"+dir)
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return binary
}
