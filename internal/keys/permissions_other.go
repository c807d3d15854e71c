//go:build !unix

package keys

import "io/fs"

// openToOthers has nothing to judge by where the file system has no permission bits.
func openToOthers(fs.FileInfo) bool { return false }
