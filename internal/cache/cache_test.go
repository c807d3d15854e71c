package cache_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a Redis with a way to let time pass: the embedded one moves its clock, the real one has to be waited for.
type backend struct {
	cache *cache.Cache
	raw   *redis.Client
	// eventually waits until lifetimes of about ttl are over and requires done to become true.
	eventually func(t *testing.T, ttl time.Duration, done func() bool)
}

// onBoth runs a test against redis-server and against the embedded Redis of a standalone start.
func onBoth(t *testing.T, test func(t *testing.T, b backend)) {
	t.Run("redis-server", func(t *testing.T) {
		test(t, open(t, testenv.Redis(t), func(t *testing.T, ttl time.Duration, done func() bool) {
			require.Eventually(t, done, ttl+20*time.Second, ttl/10)
		}))
	})
	t.Run("miniredis", func(t *testing.T) {
		server := miniredis.RunT(t)
		test(t, open(t, "redis://"+server.Addr()+"/0", func(t *testing.T, ttl time.Duration, done func() bool) {
			server.FastForward(ttl + time.Millisecond)
			require.True(t, done())
		}))
	})
}

func open(t *testing.T, url string, eventually func(*testing.T, time.Duration, func() bool)) backend {
	t.Helper()
	c, err := cache.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	raw := redis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })
	return backend{cache: c, raw: raw, eventually: eventually}
}

var day = cache.SessionTTL{Idle: time.Hour, Absolute: 24 * time.Hour}

func requireSession(t *testing.T, c *cache.Cache, token, want string) {
	t.Helper()
	got, ok, err := c.Session(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, want != "", ok)
	require.Equal(t, want, got)
}

func TestSessionLivesUntilDeleted(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		requireSession(t, b.cache, "token", "")
		require.NoError(t, b.cache.PutSession(t.Context(), "token", "account", day))
		requireSession(t, b.cache, "token", "account")
		requireSession(t, b.cache, "other", "")

		require.NoError(t, b.cache.DeleteSession(t.Context(), "token"))
		requireSession(t, b.cache, "token", "")
		require.NoError(t, b.cache.DeleteSession(t.Context(), "token"), "deleting twice is harmless")
	})
}

func TestSessionEndsWhenIdle(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		ttl := cache.SessionTTL{Idle: 300 * time.Millisecond, Absolute: time.Hour}
		require.NoError(t, b.cache.PutSession(t.Context(), "token", "account", ttl))
		b.eventually(t, ttl.Idle, func() bool { return countKeys(t, b.raw, "mdocket:session-use:*") == 0 })
		requireSession(t, b.cache, "token", "")
	})
}

func TestUsingASessionRenewsItsIdleTimeOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		require.NoError(t, b.cache.PutSession(t.Context(), "token", "account", day))
		use := findKey(t, b.raw, "mdocket:session-use:*")
		session := findKey(t, b.raw, "mdocket:session:*")
		require.NoError(t, b.raw.PExpire(t.Context(), use, time.Minute).Err())
		require.NoError(t, b.raw.PExpire(t.Context(), session, 2*time.Minute).Err())

		requireSession(t, b.cache, "token", "account")

		require.Greater(t, b.raw.PTTL(t.Context(), use).Val(), 59*time.Minute)
		require.LessOrEqual(t, b.raw.PTTL(t.Context(), session).Val(), 2*time.Minute)
	})
}

func TestSessionEndsAbsolutelyHoweverMuchItIsUsed(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		ttl := cache.SessionTTL{Idle: time.Hour, Absolute: 300 * time.Millisecond}
		require.NoError(t, b.cache.PutSession(t.Context(), "token", "account", ttl))
		b.eventually(t, ttl.Absolute, func() bool {
			_, ok, err := b.cache.Session(t.Context(), "token")
			require.NoError(t, err)
			return !ok
		})
	})
}

func TestDeleteSessionsOfEndsAllOfOneAccount(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		for token, account := range map[string]string{"a1": "a", "a2": "a", "b1": "b"} {
			require.NoError(t, b.cache.PutSession(t.Context(), token, account, day))
		}
		require.NoError(t, b.cache.DeleteSessionsOf(t.Context(), "a"))
		requireSession(t, b.cache, "a1", "")
		requireSession(t, b.cache, "a2", "")
		requireSession(t, b.cache, "b1", "b")

		require.NoError(t, b.cache.PutSession(t.Context(), "a3", "a", day))
		requireSession(t, b.cache, "a3", "a")
		requireSession(t, b.cache, "a1", "")
	})
}

func TestAShortSessionDoesNotShortenALongOne(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		require.NoError(t, b.cache.PutSession(t.Context(), "long", "account", day))
		short := cache.SessionTTL{Idle: 300 * time.Millisecond, Absolute: 300 * time.Millisecond}
		require.NoError(t, b.cache.PutSession(t.Context(), "short", "account", short))
		b.eventually(t, short.Absolute, func() bool {
			_, ok, err := b.cache.Session(t.Context(), "short")
			require.NoError(t, err)
			return !ok
		})
		requireSession(t, b.cache, "long", "account")
	})
}

func TestALongSessionExtendsTheEpochOfAShortOne(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		short := cache.SessionTTL{Idle: time.Minute, Absolute: time.Minute}
		require.NoError(t, b.cache.PutSession(t.Context(), "short", "account", short))
		require.NoError(t, b.cache.PutSession(t.Context(), "long", "account", day))
		epoch := findKey(t, b.raw, "mdocket:session-epoch:*")
		require.Greater(t, b.raw.PTTL(t.Context(), epoch).Val(), 23*time.Hour)
		requireSession(t, b.cache, "short", "account")
	})
}

func TestPutSessionRefusesNonsense(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		require.Error(t, b.cache.PutSession(t.Context(), "", "account", day))
		require.Error(t, b.cache.PutSession(t.Context(), "token", "", day))
		require.Error(t, b.cache.PutSession(t.Context(), "token", "account", cache.SessionTTL{Idle: time.Hour}))
		require.Error(t, b.cache.PutSession(t.Context(), "token", "account", cache.SessionTTL{Absolute: time.Hour}))
		require.Zero(t, countKeys(t, b.raw, "*"))
	})
}

func claim(t *testing.T, c *cache.Cache, nonce, owner string, ttl time.Duration) bool {
	t.Helper()
	ok, err := c.ClaimNonce(t.Context(), nonce, owner, ttl)
	require.NoError(t, err)
	return ok
}

func TestNonceIsGoodForOneOwner(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		require.True(t, claim(t, b.cache, "nonce", "keys A", time.Minute))
		require.False(t, claim(t, b.cache, "nonce", "keys B", time.Minute))
		require.True(t, claim(t, b.cache, "nonce", "keys A", time.Minute), "the same request again")
		require.True(t, claim(t, b.cache, "other nonce", "keys B", time.Minute))
		_, err := b.cache.ClaimNonce(t.Context(), "nonce", "keys A", 0)
		require.Error(t, err)
	})
}

func TestNonceIsForgottenAfterItsLifetime(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		const ttl = 300 * time.Millisecond
		require.True(t, claim(t, b.cache, "nonce", "keys A", ttl))
		b.eventually(t, ttl, func() bool { return claim(t, b.cache, "nonce", "keys B", ttl) })
	})
}

func TestNonceIsClaimedOnceByManyAtATime(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		var claims atomic.Int64
		var wait sync.WaitGroup
		for i := range 32 {
			wait.Go(func() {
				ok, err := b.cache.ClaimNonce(context.WithoutCancel(t.Context()), "nonce", fmt.Sprint("keys ", i), time.Minute)
				if err == nil && ok {
					claims.Add(1)
				}
			})
		}
		wait.Wait()
		require.EqualValues(t, 1, claims.Load())
	})
}

func TestAllowCountsPerSubjectAndWindow(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		const window = time.Minute
		for range 3 {
			ok, retryAfter, err := b.cache.Allow(t.Context(), "token|192.0.2.7", 3, window)
			require.NoError(t, err)
			require.True(t, ok)
			require.Zero(t, retryAfter)
		}
		ok, retryAfter, err := b.cache.Allow(t.Context(), "token|192.0.2.7", 3, window)
		require.NoError(t, err)
		require.False(t, ok)
		require.Positive(t, retryAfter)
		require.LessOrEqual(t, retryAfter, window)

		ok, _, err = b.cache.Allow(t.Context(), "token|192.0.2.8", 3, window)
		require.NoError(t, err)
		require.True(t, ok)
	})
}

func TestSpentLooksWithoutCounting(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		look := func() bool {
			spent, retryAfter, err := b.cache.Spent(t.Context(), "subject", 2)
			require.NoError(t, err)
			require.Equal(t, spent, spent && retryAfter > 0 && retryAfter <= time.Minute)
			return spent
		}
		require.False(t, look())
		for range 2 {
			require.False(t, look())
			ok, _, err := b.cache.Allow(t.Context(), "subject", 2, time.Minute)
			require.NoError(t, err)
			require.True(t, ok)
		}
		require.True(t, look())
		require.True(t, look())
	})
}

func TestAllowBeginsAgainAfterTheWindow(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		const window = 300 * time.Millisecond
		allow := func() bool {
			ok, _, err := b.cache.Allow(t.Context(), "subject", 1, window)
			require.NoError(t, err)
			return ok
		}
		require.True(t, allow())
		b.eventually(t, window, allow)
	})
}

func TestAllowNeverRefusesForEver(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		ok, _, err := b.cache.Allow(t.Context(), "subject", 1, time.Minute)
		require.NoError(t, err)
		require.True(t, ok)
		require.NoError(t, b.raw.Persist(t.Context(), findKey(t, b.raw, "mdocket:rate:*")).Err())

		ok, _, err = b.cache.Allow(t.Context(), "subject", 1, time.Minute)
		require.NoError(t, err)
		require.True(t, ok)
		require.Positive(t, b.raw.PTTL(t.Context(), findKey(t, b.raw, "mdocket:rate:*")).Val())
	})
}

func TestAllowRefusesNonsense(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		for _, test := range []struct {
			limit  int
			window time.Duration
		}{{0, time.Minute}, {-1, time.Minute}, {1, 0}, {1, time.Microsecond}} {
			_, _, err := b.cache.Allow(t.Context(), "subject", test.limit, test.window)
			require.Error(t, err)
		}
	})
}

func TestEveryKeyIsPrefixedEndsAndShowsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		const canary = "canary@example.org"
		require.NoError(t, b.cache.PutSession(t.Context(), canary, "account", day))
		require.True(t, claim(t, b.cache, canary, canary, time.Minute))
		_, _, err := b.cache.Allow(t.Context(), canary, 1, time.Minute)
		require.NoError(t, err)

		keys, err := b.raw.Keys(t.Context(), "*").Result()
		require.NoError(t, err)
		require.Len(t, keys, 5)
		for _, key := range keys {
			require.True(t, strings.HasPrefix(key, "mdocket:"), key)
			require.NotContains(t, key, "canary")
			require.Positive(t, b.raw.PTTL(t.Context(), key).Val(), key)
			if b.raw.Type(t.Context(), key).Val() == "string" {
				require.NotContains(t, b.raw.Get(t.Context(), key).Val(), "canary")
			}
		}
	})
}

func TestOpenFailsClearly(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, url := range map[string]string{
		"no URL":     "",
		"not Redis":  "https://user:canary@example.org/",
		"bad URL":    "redis://user:canary@[::1",
		"not there":  "redis://user:canary@" + closed.Addr().String() + "/0",
		"bad option": "redis://user:canary@localhost/0?canary=1",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cache.Open(t.Context(), url)
			require.ErrorContains(t, err, "open cache")
			require.NotContains(t, err.Error(), "canary")
		})
	}
}

func TestASilentRedisIsGivenUpSoon(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, silent.Close()) })
	begin := time.Now()

	_, err = cache.Open(t.Context(), "redis://"+silent.Addr().String())

	require.Error(t, err)
	require.Less(t, time.Since(begin), 15*time.Second)
}

func TestALostRedisIsAnErrorNotAnAnswer(t *testing.T) {
	server := miniredis.RunT(t)
	c, err := cache.Open(t.Context(), "redis://"+server.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	server.Close()

	require.Error(t, c.Ping(t.Context()))
	require.Error(t, c.PutSession(t.Context(), "token", "account", day))
	_, ok, err := c.Session(t.Context(), "token")
	require.Error(t, err)
	require.False(t, ok)
	require.Error(t, c.DeleteSession(t.Context(), "token"))
	require.Error(t, c.DeleteSessionsOf(t.Context(), "account"))
	ok, err = c.ClaimNonce(t.Context(), "nonce", "owner", time.Minute)
	require.Error(t, err)
	require.False(t, ok)
	ok, _, err = c.Allow(t.Context(), "subject", 1, time.Minute)
	require.Error(t, err)
	require.False(t, ok)
}

func countKeys(t *testing.T, raw *redis.Client, pattern string) int {
	t.Helper()
	keys, err := raw.Keys(t.Context(), pattern).Result()
	require.NoError(t, err)
	return len(keys)
}

func findKey(t *testing.T, raw *redis.Client, pattern string) string {
	t.Helper()
	keys, err := raw.Keys(t.Context(), pattern).Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	return keys[0]
}

func TestSource(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "::ffff:192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "not an address": "not an address", "": "",
	} {
		require.Equal(t, want, cache.Source(address), address)
	}
}
