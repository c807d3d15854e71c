// Package devserver runs Temporal's development server as a child process: the engine of a standalone start and of the tests that need
// a real engine. It is not for production, which has a cluster of its own.
//
// The server never outlives the process that started it, even when that process is killed: a small guard (guard.sh) stands between the
// two and watches a pipe that only the starting process holds open.
package devserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
)

// CLIVersion is the last release of the Temporal CLI that `go install` can build; its server is the one mdocket is tested with.
const CLIVersion = "v1.5.1"

// DefaultNamespace is the namespace that the server registers when none is asked for.
const DefaultNamespace = "default"

// stopGrace is how long an orderly stop may take before the server is killed.
const stopGrace = 15 * time.Second

// ErrNoCLI says that the program `temporal` was found nowhere.
var ErrNoCLI = errors.New("the Temporal CLI is not installed: run `make tools`, " +
	"or `go install github.com/temporalio/cli/cmd/temporal@" + CLIVersion + "` (about five minutes)")

// FindCLI returns the path of the program `temporal`: from binDir when it is there, else from PATH. The error is ErrNoCLI.
func FindCLI(binDir string) (string, error) {
	if binDir != "" {
		if path, err := exec.LookPath(filepath.Join(binDir, "temporal")); err == nil {
			return filepath.Abs(path)
		}
	}
	path, err := exec.LookPath("temporal")
	if err != nil {
		return "", ErrNoCLI
	}
	return filepath.Abs(path)
}

// Options says how the server is started. Only CLI is needed.
type Options struct {
	CLI       string       // path of the program `temporal`, see FindCLI
	HostPort  string       // address of the gRPC front end; empty: a free port on loopback
	Namespace string       // registered at the start; empty: DefaultNamespace
	DBFile    string       // SQLite file with all state; empty: in memory, lost with the server
	UIPort    int          // port of the web UI on the same host; 0: no web UI
	LogLevel  string       // debug, info, warn, error or never; empty: error
	LogFile   string       // the server's own log is appended here; empty: kept only for the error of a failed start
	RunDir    string       // existing folder, not mounted noexec, for the guard; empty: the system's temporary folder
	Logger    *slog.Logger // start messages; nil: none
}

// Server is a running development server.
type Server struct {
	dev      *testsuite.DevServer
	lifeline *os.File // writing end of the guard's pipe: a line stops the server, closing kills it
	log      *serverLog
	once     sync.Once
	err      error
}

// Start starts the server and returns when its front end answers. A server that exits by itself, for example because its port is taken,
// is an error at once, with the end of its log. When ctx ends before the server is ready the server is killed; later ctx has no meaning.
func Start(ctx context.Context, o Options) (*Server, error) {
	serverLog, err := openLog(o.LogFile)
	if err != nil {
		return nil, fmt.Errorf("open log of Temporal development server: %w", err)
	}
	server, err := start(ctx, o, serverLog)
	if err != nil {
		err = fmt.Errorf("start Temporal development server: %w%s", err, serverLog.tail())
		return nil, errors.Join(err, serverLog.Close())
	}
	return server, nil
}

// HostPort is the address of the gRPC front end.
func (s *Server) HostPort() string { return s.dev.FrontendHostPort() }

// Stop ends the server in good order, or kills it when it takes longer than 15 seconds, and returns when it is gone.
// Stop and Kill may be called any number of times; the first call counts.
func (s *Server) Stop() error {
	s.once.Do(func() {
		if _, err := io.WriteString(s.lifeline, "stop\n"); err != nil && !errors.Is(err, syscall.EPIPE) {
			s.err = fmt.Errorf("ask Temporal development server to stop: %w", err)
		}
		kill := time.AfterFunc(stopGrace, func() { _ = s.lifeline.Close() })
		s.err = errors.Join(s.err, s.wait())
		if kill.Stop() {
			s.err = errors.Join(s.err, s.lifeline.Close())
		}
	})
	return s.err
}

// Kill ends the server as a crash would, without any chance to finish its work, and returns when it is gone.
func (s *Server) Kill() error {
	s.once.Do(func() {
		s.err = errors.Join(s.lifeline.Close(), s.wait())
	})
	return s.err
}

// wait returns when the guard, and so the server, has ended. The interrupt that the SDK sends is ignored by the guard.
// How the server ended says nothing to someone who wanted it gone.
func (s *Server) wait() error {
	err := s.dev.Stop()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return errors.Join(err, s.log.Close())
}

//go:embed guard.sh
var guard []byte

func start(ctx context.Context, o Options, serverLog *serverLog) (_ *Server, err error) {
	guardPath, err := placeGuard(o.RunDir, o.CLI)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(filepath.Dir(guardPath)))
		}
	}()

	guardEnd, lifeline, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe to the guard: %w", err)
	}
	defer func() {
		err = errors.Join(err, guardEnd.Close())
		if err != nil {
			err = errors.Join(err, lifeline.Close())
		}
	}()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() { cancelOnExit(ctx, cancel, serverLog) })

	dev, err := startDevServer(ctx, testsuite.DevServerOptions{
		ExistingPath: guardPath,
		ClientOptions: &client.Options{
			HostPort:  o.HostPort,
			Namespace: valueOr(o.Namespace, DefaultNamespace),
			Logger:    log.NewStructuredLogger(loggerOrNone(o.Logger)),
		},
		DBFilename: o.DBFile,
		EnableUI:   o.UIPort != 0,
		UIPort:     uiPort(o.UIPort),
		LogFormat:  "json",
		LogLevel:   valueOr(o.LogLevel, "error"),
		ExtraArgs:  tuning(),
		Stdout:     serverLog.file,
		Stderr:     guardEnd,
	})
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, err
	}
	dev.Client().Close()
	return &Server{dev: dev, lifeline: lifeline, log: serverLog}, nil
}

// tuning are the settings without which the server is slow: by default its only history shard is polled 20 times a second, so that every
// step of an idle workflow waits up to 50 ms, and SQLite waits for the disk at every commit.
func tuning() []string {
	return []string{
		"--dynamic-config-value", "history.transferProcessorMaxPollRPS=100000",
		"--sqlite-pragma", "journal_mode=WAL",
		"--sqlite-pragma", "synchronous=NORMAL",
	}
}

// placeGuard makes a folder of its own for the guard and for a link to the CLI, which the guard expects beside itself.
// The guard removes the folder when it ends.
func placeGuard(runDir, cli string) (path string, err error) {
	cli, err = filepath.Abs(cli)
	if err != nil {
		return "", fmt.Errorf("locate the Temporal CLI: %w", err)
	}
	dir, err := os.MkdirTemp(runDir, "mdocket-temporal-")
	if err != nil {
		return "", fmt.Errorf("make folder for the guard: %w", err)
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("locate folder of the guard: %w", err)
	}
	path = filepath.Join(dir, "guard.sh")
	if err := os.WriteFile(path, guard, 0o700); err != nil { //nolint:gosec // a program has to be executable; only its owner may
		return "", fmt.Errorf("write guard: %w", err)
	}
	if err := os.Symlink(cli, filepath.Join(dir, "temporal")); err != nil {
		return "", fmt.Errorf("link the Temporal CLI: %w", err)
	}
	return path, nil
}

// startDevServer repeats a start that fails because some other child, forked while the guard was being written, still holds the file open
// for writing. That lasts until the child's exec.
func startDevServer(ctx context.Context, o testsuite.DevServerOptions) (*testsuite.DevServer, error) {
	for {
		dev, err := testsuite.StartDevServer(ctx, o)
		if !errors.Is(err, syscall.ETXTBSY) {
			return dev, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// cancelOnExit looks into the log for the guard's last line until ctx ends, because the SDK would go on dialing a dead server for a minute.
func cancelOnExit(ctx context.Context, cancel context.CancelCauseFunc, serverLog *serverLog) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if serverLog.contains(exitMarker) {
				cancel(errors.New("the server exited before it was ready"))
				return
			}
		}
	}
}

// exitMarker begins the line that the guard writes when the server has ended.
const exitMarker = "temporal server exited with code "

// serverLog is the file that the server logs to, from the point where this start began.
type serverLog struct {
	file  *os.File
	begin int64
}

// openLog opens the file for appending; without a name it is a temporary file that has no name any more and vanishes when it is closed.
func openLog(name string) (*serverLog, error) {
	if name == "" {
		file, err := os.CreateTemp("", "mdocket-temporal-*.log")
		if err != nil {
			return nil, err
		}
		if err := os.Remove(file.Name()); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return &serverLog{file: file}, nil
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &serverLog{file: file, begin: info.Size()}, nil
}

func (l *serverLog) Close() error { return l.file.Close() }

// text returns at most the last 4 KiB that this start has logged; what cannot be read is missing.
func (l *serverLog) text() string {
	info, err := l.file.Stat()
	if err != nil {
		return ""
	}
	buffer := make([]byte, 4<<10)
	n, err := l.file.ReadAt(buffer, max(l.begin, info.Size()-int64(len(buffer))))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return string(buffer[:n])
}

func (l *serverLog) contains(marker string) bool { return strings.Contains(l.text(), marker) }

// tail returns the log's end in the form of an addition to an error text, empty when nothing was logged.
func (l *serverLog) tail() string {
	text := strings.TrimSpace(l.text())
	if text == "" {
		return ""
	}
	return "; end of its log:\n" + text
}

func uiPort(port int) string {
	if port == 0 {
		return ""
	}
	return strconv.Itoa(port)
}

func valueOr(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func loggerOrNone(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return logger
}
