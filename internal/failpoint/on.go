//go:build failpoints

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Hit kills the victim if this is the place the environment names and the once-file (MDOCKET_FAILPOINT_ONCE) could be made: a process that
// is started again with the same environment does not kill a second time. The victim is this process, or the one named by
// MDOCKET_FAILPOINT_PEER.
func Hit(name string) {
	if os.Getenv("MDOCKET_FAILPOINT") != name {
		return
	}
	f, err := os.OpenFile(os.Getenv("MDOCKET_FAILPOINT_ONCE"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_ = f.Close()
	if file := os.Getenv("MDOCKET_FAILPOINT_PEER"); file != "" {
		if err := killPeer(file); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "failpoint "+name+":", err) // the test sees that nobody has died
		}
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way; nothing after this line may run
}

// killPeer kills the process whose id is in the file and returns when it is gone: when its parent has been told.
func killPeer(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read id of the peer: %w", err)
	}
	id, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || id <= 1 {
		return errors.New("read id of the peer: not a process id")
	}
	peer, err := os.FindProcess(id)
	if err != nil {
		return fmt.Errorf("find peer: %w", err)
	}
	if err := peer.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill peer: %w", err)
	}
	for !errors.Is(peer.Signal(syscall.Signal(0)), os.ErrProcessDone) {
		time.Sleep(time.Millisecond)
	}
	return peer.Release()
}
