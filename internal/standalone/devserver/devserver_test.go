package devserver_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"

	"github.com/mdocket/mdocket/internal/standalone/devserver"
)

// ownerEnv makes the test binary a process that starts a server, prints its address and waits to be killed.
const ownerEnv = "MDOCKET_TEST_DEVSERVER_OWNER"

func TestMain(m *testing.M) {
	if runDir := os.Getenv(ownerEnv); runDir != "" {
		ownServer(runDir)
	}
	goleak.VerifyTestMain(m)
}

func ownServer(runDir string) {
	server, err := devserver.Start(context.Background(), devserver.Options{CLI: os.Getenv("MDOCKET_TEST_CLI"), RunDir: runDir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(server.HostPort())
	select {}
}

func cli(t *testing.T) string {
	t.Helper()
	path, err := devserver.FindCLI(filepath.Join("..", "..", "..", "bin"))
	require.NoError(t, err)
	return path
}

func TestServerAnswersAndStops(t *testing.T) {
	runDir := t.TempDir()
	server, err := devserver.Start(t.Context(), devserver.Options{CLI: cli(t), Namespace: "authority", RunDir: runDir})
	require.NoError(t, err)

	describeNamespace(t, server.HostPort(), "authority")

	require.NoError(t, server.Stop())
	require.NoError(t, server.Stop(), "stopping twice is harmless")
	require.False(t, listens(t, server.HostPort()))
	requireEmpty(t, runDir)
}

func TestKilledServerStartsAgainOnTheSamePortWithItsState(t *testing.T) {
	options := devserver.Options{CLI: cli(t), DBFile: filepath.Join(t.TempDir(), "temporal.db"), RunDir: t.TempDir()}
	server, err := devserver.Start(t.Context(), options)
	require.NoError(t, err)
	options.HostPort = server.HostPort()
	startWorkflow(t, server.HostPort(), "survivor")

	require.NoError(t, server.Kill())
	require.False(t, listens(t, options.HostPort))
	requireEmpty(t, options.RunDir)

	server, err = devserver.Start(t.Context(), options)
	require.NoError(t, err)
	require.Equal(t, options.HostPort, server.HostPort())
	requireWorkflow(t, server.HostPort(), "survivor")
	require.NoError(t, server.Stop())
}

func TestServerDoesNotOutliveAKilledOwner(t *testing.T) {
	for name, target := range map[string]func(pid int) int{
		"process":       func(pid int) int { return pid },
		"process group": func(pid int) int { return -pid },
	} {
		t.Run(name, func(t *testing.T) { killOwner(t, target) })
	}
}

// killOwner kills a process that has started a server, or the whole process group of it, and requires that nothing is left of the server.
func killOwner(t *testing.T, target func(pid int) int) {
	runDir := t.TempDir()
	owner := exec.CommandContext(t.Context(), os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"="+runDir, "MDOCKET_TEST_CLI="+cli(t))
	owner.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	address, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	address = strings.TrimSpace(address)
	require.True(t, listens(t, address), "the owner printed %q", address)

	require.NoError(t, syscall.Kill(target(owner.Process.Pid), syscall.SIGKILL))
	require.Error(t, owner.Wait())

	require.Eventually(t, func() bool { return !listens(t, address) }, 20*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		entries, err := os.ReadDir(runDir)
		return err == nil && len(entries) == 0
	}, 20*time.Second, 50*time.Millisecond, "the guard removes its folder")
}

func TestFailedStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })

	for name, test := range map[string]struct {
		change func(*devserver.Options)
		want   string
	}{
		"no such program":    {func(o *devserver.Options) { o.CLI = filepath.Join(o.RunDir, "missing") }, "exited"},
		"port taken":         {func(o *devserver.Options) { o.HostPort = taken.Addr().String() }, "exited"},
		"no folder for data": {func(o *devserver.Options) { o.DBFile = filepath.Join(o.RunDir, "missing", "x.db") }, "exited"},
		"no folder for run":  {func(o *devserver.Options) { o.RunDir = filepath.Join(o.RunDir, "missing") }, "make folder"},
		"no folder for log":  {func(o *devserver.Options) { o.LogFile = filepath.Join(o.RunDir, "missing", "x.log") }, "open log"},
	} {
		t.Run(name, func(t *testing.T) {
			runDir := t.TempDir()
			options := devserver.Options{CLI: cli(t), RunDir: runDir}
			test.change(&options)

			_, err := devserver.Start(t.Context(), options)

			require.ErrorContains(t, err, test.want)
			requireEmpty(t, runDir)
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := devserver.Start(ctx, devserver.Options{CLI: cli(t), RunDir: t.TempDir()})
	require.ErrorIs(t, err, context.Canceled)
}

func TestLogFileIsAppendedTo(t *testing.T) {
	logFile := filepath.Join(t.TempDir(), "temporal.log")
	require.NoError(t, os.WriteFile(logFile, []byte("temporal server exited with code 1\n"), 0o600))
	server, err := devserver.Start(t.Context(), devserver.Options{CLI: cli(t), LogFile: logFile})
	require.NoError(t, err, "what an earlier start has logged does not count")
	require.NoError(t, server.Stop())

	text, err := os.ReadFile(logFile)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(text), "temporal server exited with code"))
}

func TestFindCLI(t *testing.T) {
	binDir, onPath := t.TempDir(), t.TempDir()
	t.Setenv("PATH", onPath)
	_, err := devserver.FindCLI(binDir)
	require.ErrorIs(t, err, devserver.ErrNoCLI)
	require.ErrorContains(t, err, "make tools")

	place := func(dir string) string {
		path := filepath.Join(dir, "temporal")
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700))
		return path
	}
	want := place(onPath)
	got, err := devserver.FindCLI(binDir)
	require.NoError(t, err)
	require.Equal(t, want, got)

	want = place(binDir)
	got, err = devserver.FindCLI(binDir)
	require.NoError(t, err)
	require.Equal(t, want, got, "the project's own program comes first")
}

func dial(t *testing.T, hostPort string) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: hostPort})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func describeNamespace(t *testing.T, hostPort, namespace string) {
	t.Helper()
	request := &workflowservice.DescribeNamespaceRequest{Namespace: namespace}
	response, err := dial(t, hostPort).WorkflowService().DescribeNamespace(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, enums.NAMESPACE_STATE_REGISTERED, response.GetNamespaceInfo().GetState())
}

func startWorkflow(t *testing.T, hostPort, id string) {
	t.Helper()
	_, err := dial(t, hostPort).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: "nobody"}, "nothing")
	require.NoError(t, err)
}

func requireWorkflow(t *testing.T, hostPort, id string) {
	t.Helper()
	description, err := dial(t, hostPort).DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, description.GetWorkflowExecutionInfo().GetStatus())
}

func listens(t *testing.T, address string) bool {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return false
	}
	require.NoError(t, conn.Close())
	return true
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}
