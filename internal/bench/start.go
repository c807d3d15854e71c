package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/standalone/devserver"
)

// pipe feeds example people; the channel tells how writing ended.
func pipe(n int) (*io.PipeReader, <-chan error) {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := example.WritePeople(w, n)
		done <- errors.Join(err, w.Close())
	}()
	return r, done
}

// startRows takes the time from the start of the process to the line that says it is running, and its resident memory then; with the Temporal
// child, and without, against a Temporal that runs already.
func startRows(ctx context.Context, o Options) ([]Row, error) {
	cli, err := devserver.FindCLI(o.BinDir)
	if err != nil {
		return nil, err
	}
	outside, err := devserver.Start(ctx, devserver.Options{CLI: cli})
	if err != nil {
		return nil, err
	}
	defer func() { _ = outside.Stop() }()
	var with, without started
	for i := range o.Rounds {
		if err := with.add(ctx, o, fmt.Sprintf("with-%d", i)); err != nil {
			return nil, err
		}
		if err := without.add(ctx, o, fmt.Sprintf("without-%d", i), "--temporal", outside.HostPort()); err != nil {
			return nil, err
		}
	}
	return []Row{
		{Name: "start.time", Value: median(with.seconds), Unit: "s", Floor: median(without.seconds),
			Ratio: median(with.seconds) / median(without.seconds), Against: "the same without the Temporal child; first start, with new keys"},
		{Name: "start.memory", Value: median(with.own), Unit: "MiB", Floor: median(without.own), Ratio: median(with.own) / median(without.own),
			Against: "resident memory of mdocket alone; the floor is without the child"},
		{Name: "start.memory.temporal", Value: median(with.children), Unit: "MiB", Against: "resident memory of the Temporal child"},
	}, nil
}

type started struct{ seconds, own, children []float64 }

func (s *started) add(ctx context.Context, o Options, name string, args ...string) error {
	dir := filepath.Join(o.Dir, name)
	args = append([]string{"standalone", "--data", dir, "--listen", "127.0.0.1:0", "--mailbox", "127.0.0.1:0", "--temporal-ui", "0"}, args...)
	cmd := exec.CommandContext(ctx, o.Binary, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	lines := bufio.NewScanner(out)
	for more := true; more && lines.Text() != "mdocket is running"; {
		more = lines.Scan()
	}
	took := time.Since(begun).Seconds()
	own, children := memory(ctx, cmd.Process.Pid)
	stopErr := cmd.Process.Signal(syscall.SIGTERM)
	_, copyErr := io.Copy(io.Discard, out)
	if err := errors.Join(lines.Err(), stopErr, copyErr, cmd.Wait()); err != nil {
		return fmt.Errorf("run server: %w", err)
	}
	s.seconds, s.own, s.children = append(s.seconds, took), append(s.own, own), append(s.children, children)
	return nil
}

// memory gives the resident memory of a process and of what descends from it, in MiB.
func memory(ctx context.Context, pid int) (own, descendants float64) {
	table, err := exec.CommandContext(ctx, "ps", "-A", "-o", "pid=,ppid=,rss=").Output()
	if err != nil {
		return 0, 0
	}
	parent, size := map[int]int{}, map[int]float64{}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		id, err1 := strconv.Atoi(f[0])
		of, err2 := strconv.Atoi(f[1])
		kib, err3 := strconv.ParseFloat(f[2], 64)
		if err1 == nil && err2 == nil && err3 == nil {
			parent[id], size[id] = of, kib/1024
		}
	}
	for id := range size {
		for up := parent[id]; up > 1; up = parent[up] {
			if up == pid {
				descendants += size[id]
				break
			}
		}
	}
	return size[pid], descendants
}
