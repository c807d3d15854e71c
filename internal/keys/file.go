package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// createFile writes a new file with mode 0600. It appears under its name whole or not at all, is on disk when the call
// returns, and an existing file is left alone ([ErrExists]).
func createFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	temporary, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("create file: %w", err)
	}
	defer func() {
		// The finished file is a second link, so the temporary name goes in every case.
		err = errors.Join(err, os.Remove(temporary.Name()))
	}()
	if err := writeAndSync(temporary, content); err != nil {
		return err
	}
	// A link, not a rename: of two writers only the first may win, and a rename would replace.
	if err := os.Link(temporary.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return ErrExists
		}
		return fmt.Errorf("link file: %w", err)
	}
	return syncDir(dir)
}

func writeAndSync(file *os.File, content []byte) error {
	_, err := file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// syncDir makes a new directory entry survive a crash.
func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(handle.Sync(), handle.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
