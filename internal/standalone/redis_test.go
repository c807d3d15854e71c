package standalone_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdocket/mdocket/internal/standalone"
)

func TestRedisKeepsAndExpires(t *testing.T) {
	defer goleak.VerifyNone(t)
	server, err := standalone.StartRedis()
	require.NoError(t, err)
	defer server.Close()
	options, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	client := redis.NewClient(options)
	defer func() { require.NoError(t, client.Close()) }()

	require.NoError(t, client.Set(t.Context(), "long", "x", time.Hour).Err())
	require.NoError(t, client.Set(t.Context(), "short", "x", 200*time.Millisecond).Err())

	require.Eventually(t, func() bool {
		return client.Exists(t.Context(), "short").Val() == 0
	}, 10*time.Second, 20*time.Millisecond, "time passes by itself")
	require.EqualValues(t, 1, client.Exists(t.Context(), "long").Val())
}

func TestRedisAsksForThePassword(t *testing.T) {
	server, err := standalone.StartRedis()
	require.NoError(t, err)
	t.Cleanup(server.Close)
	options, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	options.Username, options.Password = "", ""
	client := redis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, client.Close()) })

	require.ErrorContains(t, client.Ping(t.Context()).Err(), "NOAUTH")
}

func TestRedisCloseIsRepeatable(t *testing.T) {
	defer goleak.VerifyNone(t)
	server, err := standalone.StartRedis()
	require.NoError(t, err)
	server.Close()
	server.Close()
}
