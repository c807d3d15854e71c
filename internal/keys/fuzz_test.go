package keys_test

import (
	"crypto/elliptic"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/keys"
)

// FuzzOpen feeds arbitrary bytes as a key file: it opens or is refused with one of the two errors a caller knows.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	store, err := keys.NewFileStore(dir, keyEncryptionKey)
	require.NoError(f, err)
	_, err = store.Generate(f.Context(), "seed", elliptic.P256())
	require.NoError(f, err)
	seed, err := os.ReadFile(keyPath(dir, "seed"))
	require.NoError(f, err)
	f.Add(seed)
	f.Add([]byte(`{"version":1,"id":"fuzz","algorithm":"ES256","nonce":"AAAAAAAAAAAAAAAA","ciphertext":""}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(keyPath(dir, "fuzz"), content, 0o600))
		_, err := newStore(t, dir).Open(t.Context(), "fuzz")
		require.True(t, err == nil || errors.Is(err, keys.ErrDamaged) || errors.Is(err, keys.ErrWrongKey))
	})
}
