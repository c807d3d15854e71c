package keys

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
)

// SecretSize is the length of the server secret and of every key derived from it, in bytes.
const SecretSize = 32

const (
	redacted = "[secret]"
	// hkdfSalt separates these derivations from any other use of the same bytes.
	hkdfSalt = "mdocket server secret v1"
)

// Secret is the server secret. It is only ever used through [Secret.Derive] and shows itself as "[secret]" wherever it is
// printed, logged or encoded. Make one with [LoadSecret], [CreateSecret] or [NewSecret]; the zero value is not usable.
type Secret struct {
	// derive closes over the key, which keeps the bytes out of reach of everything that prints by reflection.
	derive func(purpose string) []byte
}

// NewSecret makes a Secret of 32 bytes already in memory; the slice may be cleared afterwards. Any other length is
// [ErrSecretLength].
func NewSecret(secret []byte) (*Secret, error) {
	if len(secret) != SecretSize {
		return nil, ErrSecretLength
	}
	pseudorandomKey, err := hkdf.Extract(sha256.New, secret, []byte(hkdfSalt))
	if err != nil {
		return nil, fmt.Errorf("extract from server secret: %w", err)
	}
	return &Secret{derive: func(purpose string) []byte {
		// HKDF-Expand (RFC 5869, 2.3) for one block, which is all that 32 bytes need; written out because it cannot fail.
		block := hmac.New(sha256.New, pseudorandomKey)
		block.Write([]byte(purpose))
		block.Write([]byte{1})
		return block.Sum(nil)
	}}, nil
}

// LoadSecret reads the server secret from a file of exactly 32 raw bytes.
//
// Errors: [ErrNotFound], [ErrSecretLength], [ErrSecretPermissions] when the file is open to others. A file of root may be
// readable by its group, which is how mounted secrets reach a process that does not run as root.
func LoadSecret(path string) (*Secret, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load server secret: %w", ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("load server secret: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read from

	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("load server secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("load server secret: not a regular file: %w", ErrSecretLength)
	}
	if openToOthers(info) {
		return nil, fmt.Errorf("load server secret: mode %#o: %w", info.Mode().Perm(), ErrSecretPermissions)
	}
	content, err := io.ReadAll(io.LimitReader(file, SecretSize+1))
	if err != nil {
		return nil, fmt.Errorf("load server secret: %w", err)
	}
	defer clear(content)
	secret, err := NewSecret(content)
	if err != nil {
		return nil, fmt.Errorf("load server secret: %w", err)
	}
	return secret, nil
}

// CreateSecret draws a new server secret from random and writes it to path with mode 0600. The file appears whole or not at
// all, is on disk when the call returns, and never replaces another: a taken path is [ErrExists].
func CreateSecret(path string, random io.Reader) (*Secret, error) {
	content := make([]byte, SecretSize)
	defer clear(content)
	if _, err := io.ReadFull(random, content); err != nil {
		return nil, fmt.Errorf("create server secret: %w", err)
	}
	secret, err := NewSecret(content)
	if err != nil {
		return nil, fmt.Errorf("create server secret: %w", err)
	}
	if err := createFile(path, content); err != nil {
		return nil, fmt.Errorf("create server secret: %w", err)
	}
	return secret, nil
}

// Derive returns the 32-byte key for a purpose (HKDF-SHA-256, RFC 5869, with the purpose as info): always the same for one
// purpose, and telling nothing about the secret or the key of another purpose.
func (s Secret) Derive(purpose string) []byte {
	return s.derive(purpose)
}

// Format writes "[secret]" for every verb and flag.
func (Secret) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, redacted) // fmt has no way to report it
}

// String returns "[secret]".
func (Secret) String() string { return redacted }

// GoString returns "[secret]".
func (Secret) GoString() string { return redacted }

// LogValue returns "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[secret]" as a JSON string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
