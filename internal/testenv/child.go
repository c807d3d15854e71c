package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTimeout bounds the start of a component, generously: several test binaries start theirs at once on a small machine.
const startTimeout = time.Minute

func startContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), startTimeout)
}

// guardScript runs a program until its own standard input ends, which is when the test binary closes it or is gone. Then it sends the
// program the signal $1, waits for its end and removes the folder $2. Until then the line "kill" ends the program as a crash would, and
// "start" starts it again. A kill is answered when every process that the program had started is gone too: they all hold the pipe
// "alive" open.
const guardScript = `
signal=$1 dir=$2
shift 2
mkfifo "$dir/alive"
start() {
	cat "$dir/alive" >&2 &
	all=$!
	(trap - HUP INT QUIT TERM; exec "$@" </dev/null >&2 3>"$dir/alive") &
	program=$!
}
trap '' HUP INT QUIT TERM
start "$@"
while read -r order; do
	case $order in
	kill) kill -KILL "$program"; wait "$program" "$all"; program=; echo killed ;;
	start) start "$@" ;;
	esac
done
[ -z "$program" ] || kill -"$signal" "$program"
wait
rm -rf -- "$dir"
`

// child is a running component and the guard that ends it.
type child struct {
	guard    *exec.Cmd
	lifeline *os.File      // orders to the guard; when it is closed, all ends
	answers  *bufio.Reader // of the guard
	logFile  string
}

// startChild runs a program as the given user (nil: this one) in dir, which the guard removes after the program's end. The stop signal
// is a name without SIG.
func startChild(user *syscall.Credential, dir, stopSignal string, program string, args ...string) (_ *child, err error) {
	input, lifeline, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe to the guard: %w", err)
	}
	defer func() {
		err = errors.Join(err, input.Close())
		if err != nil {
			err = errors.Join(err, lifeline.Close())
		}
	}()
	logFile := filepath.Join(dir, "server.log")
	log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	guardArgs := append([]string{"-c", guardScript, "guard", stopSignal, dir, program}, args...)
	guard := exec.Command("/bin/sh", guardArgs...)
	guard.Dir = dir
	guard.Env = childEnv()
	guard.Stdin, guard.Stderr = input, log
	answers, err := guard.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe from the guard: %w", err)
	}
	// A group of its own keeps a Ctrl-C in the terminal away from the component.
	guard.SysProcAttr = &syscall.SysProcAttr{Credential: user, Setpgid: true}
	if err := guard.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(program), err)
	}
	return &child{guard: guard, lifeline: lifeline, answers: bufio.NewReader(answers), logFile: logFile}, nil
}

// childEnv leaves the test's environment out, except what a program needs to be found and to put its temporary files.
func childEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "LC_ALL=C"}
}

// kill ends the component as a crash would, keeps its folder, and returns when all of its processes are gone.
func (c *child) kill() error {
	if err := c.order("kill"); err != nil {
		return err
	}
	if _, err := c.answers.ReadString('\n'); err != nil {
		return fmt.Errorf("wait for the kill: %w%s", err, c.log())
	}
	return nil
}

// restart starts the component again after kill.
func (c *child) restart() error { return c.order("start") }

func (c *child) order(word string) error {
	if _, err := c.lifeline.WriteString(word + "\n"); err != nil {
		return fmt.Errorf("ask the guard to %s: %w", word, err)
	}
	return nil
}

// stop ends the component and returns when its folder is gone.
func (c *child) stop() error {
	if err := c.lifeline.Close(); err != nil {
		return err
	}
	return c.guard.Wait()
}

// waitReady repeats probe until it succeeds. When ctx ends first the error holds what probe said last and the component's log.
func (c *child) waitReady(ctx context.Context, probe func(context.Context) error) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w%s", err, c.log())
		case <-ticker.C:
		}
	}
}

func (c *child) log() string {
	text, err := os.ReadFile(c.logFile)
	if err != nil || len(text) == 0 {
		return ""
	}
	return "; its log:\n" + strings.TrimSpace(string(text))
}

// freeAddress returns a loopback address that nobody listens on at the moment.
func freeAddress(ctx context.Context) (host, port string, err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", fmt.Errorf("find free port: %w", err)
	}
	host, port, err = net.SplitHostPort(listener.Addr().String())
	return host, port, errors.Join(err, listener.Close())
}
