package engine_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/mdocket/mdocket/internal/engine"
)

var (
	oldKey = bytes.Repeat([]byte{1}, 32)
	newKey = bytes.Repeat([]byte{2}, 32)
)

func secret() []*commonpb.Payload {
	return []*commonpb.Payload{
		{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`{"request_id":"canary"}`)},
		{},
	}
}

func TestCodecRoundTrip(t *testing.T) {
	codec, err := engine.NewPayloadCodec([][]byte{newKey})
	require.NoError(t, err)
	encrypted, err := codec.Encode(secret())
	require.NoError(t, err)
	for _, p := range encrypted {
		require.Equal(t, "binary/encrypted", string(p.GetMetadata()["encoding"]))
		require.NotContains(t, p.String(), "canary")
		require.NotContains(t, p.String(), "json/plain")
	}
	again, err := codec.Encode(secret())
	require.NoError(t, err)
	require.NotEqual(t, encrypted[0].GetData(), again[0].GetData(), "equal payloads must not look equal")
	plain, err := codec.Decode(encrypted)
	require.NoError(t, err)
	for i, p := range secret() {
		require.True(t, proto.Equal(p, plain[i]))
	}
}

func TestCodecRotation(t *testing.T) {
	before, err := engine.NewPayloadCodec([][]byte{oldKey})
	require.NoError(t, err)
	during, err := engine.NewPayloadCodec([][]byte{newKey, oldKey})
	require.NoError(t, err)
	after, err := engine.NewPayloadCodec([][]byte{newKey})
	require.NoError(t, err)

	old, err := before.Encode(secret())
	require.NoError(t, err)
	plain, err := during.Decode(old)
	require.NoError(t, err)
	require.True(t, proto.Equal(secret()[0], plain[0]))
	_, err = after.Decode(old)
	require.ErrorContains(t, err, "key that is not configured")

	fresh, err := during.Encode(secret())
	require.NoError(t, err)
	_, err = after.Decode(fresh)
	require.NoError(t, err, "the first key encrypts")
}

func TestCodecRefuses(t *testing.T) {
	codec, err := engine.NewPayloadCodec([][]byte{newKey, oldKey})
	require.NoError(t, err)
	for name, change := range map[string]func(*commonpb.Payload){
		"plain text":      func(p *commonpb.Payload) { p.Metadata["encoding"] = []byte("json/plain") },
		"no metadata":     func(p *commonpb.Payload) { p.Metadata = nil },
		"no data":         func(p *commonpb.Payload) { p.Data = nil },
		"a flipped bit":   func(p *commonpb.Payload) { p.Data[len(p.Data)-1] ^= 1 },
		"a changed nonce": func(p *commonpb.Payload) { p.Data[0] ^= 1 },
		"a cut end":       func(p *commonpb.Payload) { p.Data = p.Data[:len(p.Data)-1] },
		"an unknown key":  func(p *commonpb.Payload) { p.Metadata["encryption-key-id"] = []byte("?") },
		"the wrong key": func(p *commonpb.Payload) {
			other, err := engine.NewPayloadCodec([][]byte{oldKey})
			require.NoError(t, err)
			q, err := other.Encode(secret())
			require.NoError(t, err)
			p.Metadata = q[0].GetMetadata()
		},
		"too much": func(p *commonpb.Payload) { p.Data = make([]byte, 5<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			encrypted, err := codec.Encode(secret())
			require.NoError(t, err)
			change(encrypted[0])
			_, err = codec.Decode(encrypted)
			require.ErrorContains(t, err, "decrypt payload")
		})
	}
}

func TestCodecNeedsKeys(t *testing.T) {
	for name, keys := range map[string][][]byte{"none": nil, "short": {newKey[:16]}, "second is short": {newKey, {}}} {
		t.Run(name, func(t *testing.T) {
			_, err := engine.NewPayloadCodec(keys)
			require.ErrorContains(t, err, "payload keys")
		})
	}
}

func FuzzCodecDecode(f *testing.F) {
	codec, err := engine.NewPayloadCodec([][]byte{newKey, oldKey})
	require.NoError(f, err)
	encrypted, err := codec.Encode(secret())
	require.NoError(f, err)
	f.Add([]byte("binary/encrypted"), encrypted[0].GetMetadata()["encryption-key-id"], encrypted[0].GetData())
	f.Add([]byte("binary/encrypted"), encrypted[0].GetMetadata()["encryption-key-id"], []byte{})
	f.Add([]byte("json/plain"), []byte{}, []byte(`"x"`))
	f.Fuzz(func(t *testing.T, encoding, id, data []byte) {
		p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": encoding, "encryption-key-id": id}, Data: data}
		plain, err := codec.Decode([]*commonpb.Payload{p})
		if err != nil {
			require.Nil(t, plain)
			return
		}
		require.Equal(t, encrypted[0].GetData(), data, "only what the codec made can be decrypted")
	})
}
