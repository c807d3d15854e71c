//go:build failpoints

package failpoint

import (
	"os"
	"syscall"
)

// Hit kills the process if this is the place the environment names and the once-file (MDOCKET_FAILPOINT_ONCE) could be made: a process that
// is started again with the same environment does not die a second time.
func Hit(name string) {
	if os.Getenv("MDOCKET_FAILPOINT") != name {
		return
	}
	f, err := os.OpenFile(os.Getenv("MDOCKET_FAILPOINT_ONCE"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_ = f.Close()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way; nothing after this line may run
}
