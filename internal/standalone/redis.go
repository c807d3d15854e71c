package standalone

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// redisTick is how late a key may expire. Moving the clock walks over every key, so it is not done at each command.
const redisTick = 100 * time.Millisecond

// Redis is a Redis server inside this process, on loopback only. What it holds is lost when the process ends.
type Redis struct {
	server *miniredis.Miniredis
	url    string
	stop   chan struct{}
	ticker sync.WaitGroup
	once   sync.Once
}

// StartRedis starts the server on a free port with a password of its own.
func StartRedis() (*Redis, error) {
	server := miniredis.NewMiniRedis()
	password := rand.Text()
	server.RequireAuth(password)
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start embedded Redis: %w", err)
	}
	address := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: server.Addr(), Path: "/0"}
	r := &Redis{server: server, url: address.String(), stop: make(chan struct{})}
	r.ticker.Go(r.runClock)
	return r, nil
}

// URL is the address to connect to, password included: a secret.
func (r *Redis) URL() string { return r.url }

// Close stops the server and closes its connections.
func (r *Redis) Close() {
	r.once.Do(func() {
		close(r.stop)
		r.ticker.Wait()
		r.server.Close()
	})
}

// runClock makes time pass for the server, which by itself lets no key expire.
func (r *Redis) runClock() {
	ticker := time.NewTicker(redisTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-r.stop:
			return
		case <-ticker.C:
			now := time.Now()
			r.server.FastForward(now.Sub(last))
			last = now
		}
	}
}
