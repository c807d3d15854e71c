// Package cache keeps in Redis what several API processes share and what may be lost at any time: sign-in sessions, used nonces and rate
// limits. Losing it costs a new sign-in or a wallet's retry. It is not a store: documents, codes and attempt counters are in SQL.
//
// It needs one Redis of version 7 or later (with replicas, if wanted, behind one address), not Redis Cluster. Keys begin with "mdocket:"
// and never show what a caller put into them: tokens, nonces, addresses and the like are hashed.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// Time-outs of every call. A caller waits at most a few seconds for a Redis that does not answer.
const (
	dialTimeout = 2 * time.Second
	callTimeout = time.Second
	maxRetries  = 1
)

// Cache is a connection pool to one Redis. It is safe for concurrent use.
type Cache struct {
	client *redis.Client
}

// Open connects to the Redis named by a URL such as redis://user:password@host:6379/0, rediss://… (TLS) or unix:///path?db=0,
// and checks that it answers. Errors never hold the URL, which may hold a password.
func Open(ctx context.Context, url string) (*Cache, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("open cache: the Redis URL is not valid")
	}
	options.DialTimeout = dialTimeout
	options.ReadTimeout = callTimeout
	options.WriteTimeout = callTimeout
	options.PoolTimeout = callTimeout
	options.MaxRetries = maxRetries
	options.DialerRetries = 1
	options.ContextTimeoutEnabled = true
	options.ClientName = "mdocket"
	// The library's own unstructured log says only what the errors say too.
	logging.Disable()
	c := &Cache{client: redis.NewClient(options)}
	if err := c.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open cache: %w", err), c.client.Close())
	}
	return c, nil
}

// Ping says whether Redis answers.
func (c *Cache) Ping(ctx context.Context) error {
	if err := c.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping Redis: %w", err)
	}
	return nil
}

// Close closes all connections.
func (c *Cache) Close() error { return c.client.Close() }

// ClaimNonce marks a nonce as used by owner for ttl. The first owner gets it, and gets it again when the request is repeated; anyone else
// is refused (false). The owner is whatever tells a repetition from a replay: for a credential request (OpenID4VCI 1.0, clause 8.2) the
// thumbprint of its keys; a value that is never good twice, such as a DPoP `jti`, is claimed for an owner that is new at each call.
func (c *Cache) ClaimNonce(ctx context.Context, nonce, owner string, ttl time.Duration) (bool, error) {
	if ttl < time.Millisecond {
		return false, errors.New("claim nonce: the lifetime is not positive")
	}
	claimed, err := claimNonce.Run(ctx, c.client, []string{key("nonce", nonce)}, digest(owner), ttl.Milliseconds()).Bool()
	if err != nil {
		return false, fmt.Errorf("claim nonce: %w", err)
	}
	return claimed, nil
}

var claimNonce = redis.NewScript(`
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
	return 1
end
if redis.call('GET', KEYS[1]) == ARGV[1] then
	return 1
end
return 0
`)

// Allow counts one event under subject and says whether it is within limit events per window. The window is fixed: it begins with the
// first event and ends all at once. When the answer is no, the event is not counted and retryAfter is the rest of the window.
// The subject names what is limited and for whom, for example "token-by-address|192.0.2.7".
func (c *Cache) Allow(ctx context.Context, subject string, limit int, window time.Duration) (ok bool, retryAfter time.Duration, err error) {
	if limit < 1 || window < time.Millisecond {
		return false, 0, errors.New("count for rate limit: limit and window have to be positive")
	}
	rest, err := countEvent.Run(ctx, c.client, []string{key("rate", subject)}, limit, window.Milliseconds()).Int64()
	if err != nil {
		return false, 0, fmt.Errorf("count for rate limit: %w", err)
	}
	if rest == 0 {
		return true, 0, nil
	}
	return false, time.Duration(rest) * time.Millisecond, nil
}

// Source names where a caller comes from for a limit: an IPv4 address, or the /64 network of an IPv6 address, since whoever has one of its
// addresses has them all.
func Source(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}

// Spent says whether Allow would refuse the next event under subject, without counting one.
func (c *Cache) Spent(ctx context.Context, subject string, limit int) (spent bool, retryAfter time.Duration, err error) {
	pipe := c.client.Pipeline()
	count := pipe.Get(ctx, key("rate", subject))
	rest := pipe.PTTL(ctx, key("rate", subject))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return false, 0, fmt.Errorf("read rate limit: %w", err)
	}
	n, err := count.Int()
	if errors.Is(err, redis.Nil) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, fmt.Errorf("read rate limit: %w", err)
	}
	return n >= limit && rest.Val() > 0, rest.Val(), nil
}

// countEvent returns 0, or the milliseconds until the window ends when its limit is reached. A key without an end would refuse for ever.
var countEvent = redis.NewScript(`
local limit, window = tonumber(ARGV[1]), ARGV[2]
local count = tonumber(redis.call('GET', KEYS[1]) or '0')
local rest = redis.call('PTTL', KEYS[1])
if count > 0 and rest <= 0 then
	redis.call('DEL', KEYS[1])
	count = 0
end
if count >= limit then
	return rest
end
if redis.call('INCR', KEYS[1]) == 1 then
	redis.call('PEXPIRE', KEYS[1], window)
end
return 0
`)

// key names a Redis key; the last part is hashed.
func key(kind, secret string) string { return "mdocket:" + kind + ":" + digest(secret) }

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
