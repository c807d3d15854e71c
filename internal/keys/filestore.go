package keys

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

const (
	fileVersion = 1
	fileSuffix  = ".key.json"
	// maxFileSize is far above any key file (under 1 KiB) and keeps a wrong file from filling the memory.
	maxFileSize = 16 << 10
)

var validID = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// FileStore keeps private keys in a directory, one encrypted file per key (AES-256-GCM over PKCS#8). It is a [Manager] and
// safe for concurrent use, also by several processes on one directory. Opened keys stay in memory.
type FileStore struct {
	dir  string
	aead cipher.AEAD

	mu     sync.RWMutex
	opened map[string]crypto.Signer
}

var _ Manager = (*FileStore)(nil)

// keyFile is the content of one file. The id is bound to the ciphertext as additional data, so a file renamed or copied
// over another is refused.
type keyFile struct {
	Version    int    `json:"version"`
	ID         string `json:"id"`
	Algorithm  string `json:"algorithm"` // of the key: ES256, ES384 or ES512
	Nonce      []byte `json:"nonce"`
	Ciphertext []byte `json:"ciphertext"`
}

// NewFileStore opens the store in dir, creating the directory (mode 0700) if there is none. keyEncryptionKey has 32 bytes,
// usually from [Secret.Derive].
func NewFileStore(dir string, keyEncryptionKey []byte) (*FileStore, error) {
	if len(keyEncryptionKey) != SecretSize {
		return nil, fmt.Errorf("open key store: the key-encryption key must be %d bytes", SecretSize)
	}
	block, err := aes.NewCipher(keyEncryptionKey)
	if err != nil {
		return nil, fmt.Errorf("open key store: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("open key store: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open key store: %w", err)
	}
	return &FileStore{dir: dir, aead: aead, opened: make(map[string]crypto.Signer)}, nil
}

// Generate makes a key and writes its file; see [Manager]. The key is on disk when the call returns.
//
// Errors: [ErrInvalidID], [ErrUnsupportedCurve], [ErrExists].
func (s *FileStore) Generate(ctx context.Context, id string, curve elliptic.Curve) (crypto.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	if !validID.MatchString(id) {
		return nil, fmt.Errorf("generate key: %w", ErrInvalidID)
	}
	algorithm, ok := algorithmOf(curve)
	if !ok {
		return nil, fmt.Errorf("generate key: %w", ErrUnsupportedCurve)
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	content, err := s.seal(id, algorithm, key)
	if err != nil {
		return nil, fmt.Errorf("generate key %s: %w", id, err)
	}
	if err := createFile(s.path(id), content); err != nil {
		return nil, fmt.Errorf("generate key %s: %w", id, err)
	}
	signer := newSigner(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened[id] = signer
	return signer, nil
}

// Open returns the key kept under id; see [Manager].
//
// Errors: [ErrInvalidID], [ErrNotFound], [ErrWrongKey], [ErrDamaged].
func (s *FileStore) Open(ctx context.Context, id string) (crypto.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	if !validID.MatchString(id) {
		return nil, fmt.Errorf("open key: %w", ErrInvalidID)
	}
	s.mu.RLock()
	signer, ok := s.opened[id]
	s.mu.RUnlock()
	if ok {
		return signer, nil
	}
	content, err := s.read(id)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", id, err)
	}
	key, err := s.unseal(id, content)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", id, err)
	}
	return s.keep(id, key), nil
}

// List returns the ids of all keys in the directory, sorted. It does not open them.
func (s *FileStore) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	ids := make([]string, 0, len(entries))
	for _, entry := range entries {
		id, ok := strings.CutSuffix(entry.Name(), fileSuffix)
		if ok && validID.MatchString(id) && entry.Type().IsRegular() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids) // file names sort otherwise: the suffix counts
	return ids, nil
}

func (s *FileStore) path(id string) string {
	return filepath.Join(s.dir, id+fileSuffix)
}

func (s *FileStore) read(id string) ([]byte, error) {
	file, err := os.Open(s.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read from
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if len(content) > maxFileSize {
		return nil, ErrDamaged
	}
	return content, nil
}

func (s *FileStore) seal(id, algorithm string, key *ecdsa.PrivateKey) ([]byte, error) {
	plaintext, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	defer clear(plaintext)
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	content, err := json.Marshal(keyFile{
		Version:    fileVersion,
		ID:         id,
		Algorithm:  algorithm,
		Nonce:      nonce,
		Ciphertext: s.aead.Seal(nil, nonce, plaintext, []byte(id)),
	})
	if err != nil {
		return nil, fmt.Errorf("encode key file: %w", err)
	}
	return content, nil
}

func (s *FileStore) unseal(id string, content []byte) (*ecdsa.PrivateKey, error) {
	var file keyFile
	// The parse errors behind ErrDamaged are dropped: they could quote the content.
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, ErrDamaged
	}
	if file.Version != fileVersion {
		return nil, fmt.Errorf("key file version %d, known is %d: %w", file.Version, fileVersion, ErrDamaged)
	}
	if file.ID != id || len(file.Nonce) != s.aead.NonceSize() {
		return nil, ErrDamaged
	}
	plaintext, err := s.aead.Open(nil, file.Nonce, file.Ciphertext, []byte(id))
	if err != nil {
		return nil, ErrWrongKey
	}
	defer clear(plaintext)
	parsed, err := x509.ParsePKCS8PrivateKey(plaintext)
	if err != nil {
		return nil, ErrDamaged
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, ErrDamaged
	}
	if algorithm, ok := algorithmOf(key.Curve); !ok || algorithm != file.Algorithm {
		return nil, ErrDamaged
	}
	return key, nil
}

// keep remembers an opened key. When two callers opened one file at the same time both get the first one's signer.
func (s *FileStore) keep(id string, key *ecdsa.PrivateKey) crypto.Signer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if signer, ok := s.opened[id]; ok {
		return signer
	}
	signer := newSigner(key)
	s.opened[id] = signer
	return signer
}

// algorithmOf names the ECDSA algorithm of a curve as JOSE and COSE do.
func algorithmOf(curve elliptic.Curve) (string, bool) {
	switch curve {
	case elliptic.P256():
		return "ES256", true
	case elliptic.P384():
		return "ES384", true
	case elliptic.P521():
		return "ES512", true
	default:
		return "", false
	}
}
