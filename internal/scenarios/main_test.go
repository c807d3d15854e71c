package scenarios_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mdocket/mdocket/internal/standalone"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shut(); err != nil {
		fmt.Fprintln(os.Stderr, "scenarios:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// The one server of all scenarios; it starts with the first that asks for it.
var (
	house    *standalone.Standalone
	houseDir string
	opening  sync.Once
	errHouse error
)

func open() (*standalone.Standalone, error) {
	opening.Do(func() {
		if houseDir, errHouse = os.MkdirTemp("", "mdocket-scenarios-"); errHouse != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		house, errHouse = standalone.Start(ctx, standalone.Options{DataDir: filepath.Join(houseDir, "data"), BinDir: binDir(),
			Listen: "127.0.0.1:0", MailboxAddr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	})
	return house, errHouse
}

func shut() error {
	if house == nil {
		return nil
	}
	return errors.Join(house.Close(), os.RemoveAll(houseDir))
}

// binDir is where the build puts the Temporal CLI.
func binDir() string {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return filepath.Join(dir, "bin")
		}
		dir = filepath.Dir(dir)
	}
	return ""
}
