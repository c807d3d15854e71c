package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// SessionTTL says how long a session lasts: Idle after its last use, and never longer than Absolute after its beginning.
type SessionTTL struct {
	Idle     time.Duration
	Absolute time.Duration
}

// A session is two keys: one with the account and the absolute lifetime, one that only lives for the idle time and is renewed at each use.
// It also names the epoch of its account, a random value under a third key that lives as long as the longest session. Without its epoch
// a session is void, so that removing one key ends all sessions of an account, and so does losing it.

// PutSession begins a session of an account. The token itself is never stored; tokenHash is the caller's hash of it.
func (c *Cache) PutSession(ctx context.Context, tokenHash, accountID string, ttl SessionTTL) error {
	if tokenHash == "" || accountID == "" || ttl.Idle < time.Millisecond || ttl.Absolute < time.Millisecond {
		return errors.New("put session: token, account and lifetimes are needed")
	}
	keys := []string{sessionKey(tokenHash), sessionUseKey(tokenHash), epochKey(accountID)}
	err := putSession.Run(ctx, c.client, keys, accountID, ttl.Idle.Milliseconds(), ttl.Absolute.Milliseconds(), rand.Text()).Err()
	if err != nil {
		return fmt.Errorf("put session: %w", err)
	}
	return nil
}

var putSession = redis.NewScript(`
local account, idle, absolute, fresh = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local epoch = redis.call('GET', KEYS[3])
if not epoch then
	epoch = fresh
	redis.call('SET', KEYS[3], epoch, 'PX', absolute)
elseif redis.call('PTTL', KEYS[3]) < tonumber(absolute) then
	redis.call('PEXPIRE', KEYS[3], absolute)
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'account', account, 'epoch', epoch, 'idle', idle)
redis.call('PEXPIRE', KEYS[1], absolute)
redis.call('SET', KEYS[2], '', 'PX', idle)
return 1
`)

// Session returns the account of a live session and renews its idle time. ok is false when there is none, or none any more.
func (c *Cache) Session(ctx context.Context, tokenHash string) (accountID string, ok bool, err error) {
	session, err := c.client.HMGet(ctx, sessionKey(tokenHash), "account", "epoch", "idle").Result()
	if err != nil {
		return "", false, fmt.Errorf("read session: %w", err)
	}
	accountID, hasAccount := session[0].(string)
	epoch, hasEpoch := session[1].(string)
	idle, hasIdle := session[2].(string)
	if !hasAccount || !hasEpoch || !hasIdle {
		return "", false, nil
	}
	live, err := useSession.Run(ctx, c.client, []string{sessionUseKey(tokenHash), epochKey(accountID)}, epoch, idle).Bool()
	if err != nil {
		return "", false, fmt.Errorf("renew session: %w", err)
	}
	if !live {
		return "", false, nil
	}
	return accountID, true, nil
}

var useSession = redis.NewScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
	return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

// DeleteSession ends a session. Ending one that does not exist is no error.
func (c *Cache) DeleteSession(ctx context.Context, tokenHash string) error {
	if err := c.client.Del(ctx, sessionKey(tokenHash), sessionUseKey(tokenHash)).Err(); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// DeleteSessionsOf ends every session that an account has now.
func (c *Cache) DeleteSessionsOf(ctx context.Context, accountID string) error {
	if err := c.client.Del(ctx, epochKey(accountID)).Err(); err != nil {
		return fmt.Errorf("delete sessions of account: %w", err)
	}
	return nil
}

func sessionKey(tokenHash string) string    { return key("session", tokenHash) }
func sessionUseKey(tokenHash string) string { return key("session-use", tokenHash) }
func epochKey(accountID string) string      { return key("session-epoch", accountID) }
