package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// redisDatabases is how many tests of one binary can have a database of their own.
const redisDatabases = 4096

// Redis returns the URL of an empty database of a redis-server without persistence. Tests of one binary share the server, not the database.
func Redis(t testing.TB) string {
	t.Helper()
	server, err := sharedRedis()
	if err != nil {
		t.Fatalf("Redis for tests: %v", err)
	}
	number := server.used.Add(1) - 1
	if number >= redisDatabases {
		t.Fatalf("Redis for tests: more than %d databases in one test binary", redisDatabases)
	}
	return fmt.Sprintf("redis://%s/%d", server.address, number)
}

type redisServer struct {
	child   *child
	address string
	used    atomic.Int64
}

var sharedRedis = sync.OnceValues(func() (*redisServer, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not installed: run `make components`")
	}
	dir, err := os.MkdirTemp("", "mdocket-redis-")
	if err != nil {
		return nil, fmt.Errorf("make folder for redis-server: %w", err)
	}
	server, err := startRedis(program, dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start redis-server: %w", err), os.RemoveAll(dir))
	}
	return server, nil
})

func startRedis(program, dir string) (*redisServer, error) {
	ctx, cancel := startContext()
	defer cancel()
	host, port, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	child, err := startChild(nil, dir, "KILL", program, "--bind", host, "--port", port, "--dir", dir,
		"--save", "", "--appendonly", "no", "--databases", fmt.Sprint(redisDatabases))
	if err != nil {
		return nil, err
	}
	server := &redisServer{child: child, address: net.JoinHostPort(host, port)}
	if err := child.waitReady(ctx, server.ping); err != nil {
		return nil, errors.Join(err, child.stop())
	}
	return server, nil
}

func (s *redisServer) ping(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: s.address, MaxRetries: -1})
	return errors.Join(client.Ping(ctx).Err(), client.Close())
}
