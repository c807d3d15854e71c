//go:build unix

package keys

import (
	"io/fs"
	"syscall"
)

// openToOthers reports whether anyone but the owner can use the file. A file of root may be group-readable: its group is
// chosen by whoever mounts the secret, not by the user the server runs as.
func openToOthers(info fs.FileInfo) bool {
	allowed := fs.FileMode(0o700)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == 0 {
		allowed |= 0o040
	}
	return info.Mode().Perm()&^allowed != 0
}
