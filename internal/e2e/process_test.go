package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// leashed runs a program under its own process id, beside a watcher that kills it when the other end of file descriptor 3 is closed
// without a word: when the test binary is gone, however it ended.
const leashed = `(read -r _ <&3 || kill -KILL $$) & exec "$@" 3<&-`

// stopPatience is how long a process may take to stop in good order.
const stopPatience = time.Minute

// process is one run of a program.
type process struct {
	name  string
	log   string // file with both output streams
	cmd   *exec.Cmd
	leash *os.File
	done  chan struct{} // closed when it has ended
	err   error         // how it ended
}

// launch starts a program whose output is appended to the file log.
func launch(name, log string, env []string, program string, args ...string) (_ *process, err error) {
	held, leash, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make leash: %w", err)
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, errors.Join(err, leash.Close())
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	p := &process{name: name, log: log, leash: leash, done: make(chan struct{}),
		cmd: exec.Command("/bin/sh", append([]string{"-c", leashed, "leashed", program}, args...)...)}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, out, out
	p.cmd.ExtraFiles = []*os.File{held}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the test binary, which then lets go of the leash
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), leash.Close())
	}
	go func() {
		p.err = p.cmd.Wait()
		_, _ = io.WriteString(leash, "ended\n") // the watcher must not kill whoever has the process id next
		_ = leash.Close()
		close(p.done)
	}()
	return p, nil
}

// start launches a program that is gone at the end of the test.
func start(t testing.TB, name string, env []string, program string, args ...string) *process {
	t.Helper()
	p, err := launch(name, filepath.Join(t.TempDir(), name+".log"), env, program, args...)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.kill()
		tellLog(t, name, p.log)
	})
	return p
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends it at once and returns when it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// stop asks it to end in good order, as an init system does, and demands that it does.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.end(t, syscall.SIGTERM)
}

// interrupt does the same as Ctrl-C.
func (p *process) interrupt(t testing.TB) {
	t.Helper()
	p.end(t, os.Interrupt)
}

func (p *process) end(t testing.TB, s os.Signal) {
	t.Helper()
	p.signal(s)
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		p.kill()
		require.Fail(t, p.name+" did not stop in time")
	}
	require.NoError(t, p.err, "%s did not end in good order", p.name)
}

func (p *process) output(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	require.NoError(t, err)
	return string(text)
}

// waitOutput gives the first match of the pattern in what the process prints.
func (p *process) waitOutput(t testing.TB, pattern *regexp.Regexp) []string {
	t.Helper()
	var hit []string
	until(t, time.Minute, fmt.Sprintf("%s prints %s", p.name, pattern), func() (bool, error) {
		if hit = pattern.FindStringSubmatch(p.output(t)); hit != nil {
			return true, nil
		}
		select {
		case <-p.done:
			return false, fmt.Errorf("it ended before: %w; it said:\n%s", errors.Join(p.err, errors.New("no match")), p.output(t))
		default:
			return false, nil
		}
	})
	return hit
}

// tellLog shows the end of a log if the test has failed.
func tellLog(t testing.TB, name, file string) {
	if !t.Failed() {
		return
	}
	const most = 6 << 10
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	t.Logf("the end of what %s said:\n%s", name, text[max(0, len(text)-most):])
}

// outcome is how a command that was run to its end ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs a command to its end.
func run(t testing.TB, env []string, program string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = env, &stdout, &stderr, t.TempDir()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopPatience
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// mustRun runs a command that has to succeed and gives its output.
func mustRun(t testing.TB, env []string, program string, args ...string) string {
	t.Helper()
	got := run(t, env, program, args...)
	require.Zero(t, got.code, "%v:\n%s%s", args, got.stdout, got.stderr)
	return got.stdout
}

// supervisor keeps a program running as an init system does: whatever is killed is started again.
type supervisor struct {
	name    string
	deaths  atomic.Int64 // by SIGKILL, after which it was started again
	mu      sync.Mutex
	current *process
	stopped chan struct{} // closed to say that it shall end
	ended   chan struct{} // closed when the last process has ended
	trouble error         // an end that nobody asked for
}

// supervise starts a program and keeps it running until the end of the test, when it has to stop in good order. The file pid holds the
// process id of the one that runs.
func supervise(t testing.TB, name, log, pid string, env []string, program string, args ...string) *supervisor {
	t.Helper()
	again := func() (*process, error) {
		p, err := launch(name, log, env, program, args...)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(pid, []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o600); err != nil {
			p.kill()
			return nil, fmt.Errorf("write process id of %s: %w", name, err)
		}
		return p, nil
	}
	first, err := again()
	require.NoError(t, err)
	s := &supervisor{name: name, current: first, stopped: make(chan struct{}), ended: make(chan struct{})}
	go s.watch(again)
	t.Cleanup(func() {
		s.stop(t)
		tellLog(t, name, log)
	})
	return s
}

func (s *supervisor) watch(again func() (*process, error)) {
	defer close(s.ended)
	for {
		p := s.running()
		select {
		case <-s.stopped:
			p.signal(syscall.SIGTERM)
			select {
			case <-p.done:
			case <-time.After(stopPatience):
				p.kill()
			}
			if p.err != nil {
				s.trouble = fmt.Errorf("%s did not stop in good order: %w", s.name, p.err)
			}
			return
		case <-p.done:
		}
		var exit *exec.ExitError
		if !errors.As(p.err, &exit) || !killed(exit) {
			s.trouble = fmt.Errorf("%s ended by itself: %w", s.name, errors.Join(p.err, errors.New("not killed")))
			return
		}
		next, err := again()
		if err != nil {
			s.trouble = err
			return
		}
		s.mu.Lock()
		s.current = next
		s.mu.Unlock()
		s.deaths.Add(1)
	}
}

func killed(exit *exec.ExitError) bool {
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

func (s *supervisor) running() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// kill ends the program as a crash would and returns when it was started again.
func (s *supervisor) kill(t testing.TB) {
	t.Helper()
	deaths := s.deaths.Load()
	s.running().kill()
	until(t, patience, s.name+" is started again", func() (bool, error) { return s.deaths.Load() > deaths, s.gaveUp() })
}

// stop ends the program for good; it may be called again.
func (s *supervisor) stop(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	select {
	case <-s.stopped:
	default:
		close(s.stopped)
	}
	s.mu.Unlock()
	<-s.ended
	require.NoError(t, s.trouble)
}

// Ports that a process may come back to have to be kept from others meanwhile: these are below the range from which connections get theirs.
const (
	lowestPort  = 20000
	highestPort = 32000
)

var givenPorts sync.Map

// freeAddress gives a loopback address that nobody listens on and that no other test was given.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if _, taken := givenPorts.LoadOrStore(port, true); taken {
			continue
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		require.NoError(t, l.Close())
		return address
	}
	require.FailNow(t, "no free port")
	return ""
}
