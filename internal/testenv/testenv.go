// Package testenv gives tests real components: PostgreSQL, Redis and Temporal's development server, each a private throw-away child on
// loopback or a Unix socket, started when a test first asks for it and shared by the tests of one test binary.
//
// Nothing here is skipped: a test whose component is not installed fails and says how to install it. No child outlives the test binary,
// however that ends; there is nothing to stop and no TestMain to write.
package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mdocket/mdocket/internal/standalone/devserver"
)

// Temporal returns the address (host:port) of a development server whose state is in memory. Tests of one binary share it and its namespace
// "default", so they choose task queues and workflow ids of their own.
func Temporal(t testing.TB) string {
	t.Helper()
	server, err := sharedTemporal()
	if err != nil {
		t.Fatalf("Temporal for tests: %v", err)
	}
	return server.HostPort()
}

var sharedTemporal = sync.OnceValues(func() (*devserver.Server, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	cli, err := devserver.FindCLI(filepath.Join(root, "bin"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := startContext()
	defer cancel()
	return devserver.Start(ctx, devserver.Options{CLI: cli})
})

// moduleRoot returns the folder of go.mod, above the package folder in which `go test` runs a test binary.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("locate the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("locate the module: no go.mod above the working folder")
		}
		dir = parent
	}
}
