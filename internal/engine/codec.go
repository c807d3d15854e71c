package engine

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

const (
	payloadKeySize     = 32 // AES-256
	metadataKeyID      = "encryption-key-id"
	encryptedEncoding  = "binary/encrypted"
	keyIDDomain        = "mdocket payload key id\n"
	maxEncryptedLength = 4 << 20 // twice what Temporal takes
)

var (
	errNotEncrypted = errors.New("the payload is not encrypted")
	errUnknownKey   = errors.New("the payload was encrypted with a key that is not configured")
	errDamaged      = errors.New("the payload is damaged")
)

// payloadCodec encrypts payloads with AES-256-GCM under a random nonce, which stands before the ciphertext. The metadata names the encoding
// and the key; the key's name is authenticated. It refuses payloads that are not encrypted, so nobody with access to Temporal alone can
// slip in one.
type payloadCodec struct {
	first string
	keys  map[string]cipher.AEAD
}

// NewPayloadCodec builds the codec from AES-256 keys of 32 bytes. The first key encrypts, all of them decrypt: to rotate, put a new key
// first and keep the old one until the last workflow that used it is gone from Temporal. A random nonce allows 2^32 payloads a key.
func NewPayloadCodec(keys [][]byte) (converter.PayloadCodec, error) {
	c := &payloadCodec{keys: make(map[string]cipher.AEAD, len(keys))}
	for _, key := range keys {
		if len(key) != payloadKeySize {
			return nil, fmt.Errorf("read payload keys: each must be %d bytes", payloadKeySize)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("read payload keys: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("read payload keys: %w", err)
		}
		sum := sha256.Sum256(append([]byte(keyIDDomain), key...))
		id := hex.EncodeToString(sum[:8])
		if c.first == "" {
			c.first = id
		}
		c.keys[id] = aead
	}
	if c.first == "" {
		return nil, errors.New("read payload keys: at least one is needed")
	}
	return c, nil
}

// Encode implements converter.PayloadCodec.
func (c *payloadCodec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encrypt payload: %w", err)
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encryptedEncoding), metadataKeyID: []byte(c.first)},
			Data:     c.keys[c.first].Seal(nil, nil, plain, []byte(c.first)), //nolint:gosec // G407: this AEAD draws its own nonce
		}
	}
	return out, nil
}

// Decode implements converter.PayloadCodec.
func (c *payloadCodec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := c.open(p)
		if err != nil {
			return nil, fmt.Errorf("decrypt payload: %w", err)
		}
		out[i] = plain
	}
	return out, nil
}

func (c *payloadCodec) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	if string(p.GetMetadata()[converter.MetadataEncoding]) != encryptedEncoding {
		return nil, errNotEncrypted
	}
	id := string(p.GetMetadata()[metadataKeyID])
	aead, ok := c.keys[id]
	if !ok {
		return nil, errUnknownKey
	}
	if len(p.GetData()) > maxEncryptedLength {
		return nil, errDamaged
	}
	plain, err := aead.Open(nil, nil, p.GetData(), []byte(id))
	if err != nil {
		return nil, errDamaged
	}
	inner := &commonpb.Payload{}
	if err := proto.Unmarshal(plain, inner); err != nil {
		return nil, errDamaged
	}
	return inner, nil
}
