package statuslist_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/stretchr/testify/require"
)

// vectorFile holds the examples and test vectors of draft-ietf-oauth-status-list.
type vectorFile struct {
	Short []struct {
		Bits  int    `json:"bits"`
		Bytes string `json:"byte_array_hex"`
		Lst   string `json:"lst"`
	} `json:"short"`
	Long []struct {
		Bits    int              `json:"bits"`
		Size    uint64           `json:"size"`
		Nonzero map[string]uint8 `json:"nonzero"`
		JSON    struct {
			Bits int    `json:"bits"`
			Lst  string `json:"lst"`
		} `json:"json"`
		CBOR string `json:"cbor_hex"`
	} `json:"long"`
	CWT string `json:"status_list_cwt_hex"`
}

// vectors reads the test vectors. They lie beside the checkout.
func vectors(tb testing.TB) vectorFile {
	tb.Helper()
	folder := os.Getenv("MDOCKET_VECTORS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		tb.Skipf("no test vectors: set MDOCKET_VECTORS to the folder that holds them")
	}
	content, err := os.ReadFile(filepath.Join(folder, "token-status-list.json"))
	require.NoError(tb, err)
	var file vectorFile
	require.NoError(tb, json.Unmarshal(content, &file))
	return file
}

func unpack(t *testing.T, lst []byte) []byte {
	t.Helper()
	reader, err := zlib.NewReader(bytes.NewReader(lst))
	require.NoError(t, err)
	var packed bytes.Buffer
	_, err = packed.ReadFrom(reader)
	require.NoError(t, err)
	return packed.Bytes()
}

func TestShortVectors(t *testing.T) {
	statuses := map[int][]statuslist.Status{
		1: {1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1},
		2: {1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3},
	}
	for _, vector := range vectors(t).Short {
		t.Run(strconv.Itoa(vector.Bits), func(t *testing.T) {
			want := statuses[vector.Bits]
			lst, err := base64.RawURLEncoding.DecodeString(vector.Lst)
			require.NoError(t, err)
			decoded, err := statuslist.Decompress(vector.Bits, lst, 0)
			require.NoError(t, err)
			require.EqualValues(t, len(want), decoded.Len())

			built, err := statuslist.New(vector.Bits, uint64(len(want)))
			require.NoError(t, err)
			for i, status := range want {
				got, err := decoded.Get(uint64(i))
				require.NoError(t, err)
				require.Equal(t, status, got)
				require.NoError(t, built.Set(uint64(i), status))
			}
			require.Equal(t, decoded, built)
			compressed, err := built.Compress()
			require.NoError(t, err)
			require.Equal(t, vector.Bytes, hex.EncodeToString(unpack(t, compressed)))
		})
	}
}

func TestLongVectors(t *testing.T) {
	for _, vector := range vectors(t).Long {
		t.Run(strconv.Itoa(vector.Bits), func(t *testing.T) {
			lst, err := base64.RawURLEncoding.DecodeString(vector.JSON.Lst)
			require.NoError(t, err)
			var fromCBOR struct {
				Bits int    `cbor:"bits"`
				Lst  []byte `cbor:"lst"`
			}
			encoded, err := hex.DecodeString(vector.CBOR)
			require.NoError(t, err)
			require.NoError(t, cbor.Unmarshal(encoded, &fromCBOR))
			require.Equal(t, lst, fromCBOR.Lst)
			require.Equal(t, vector.Bits, vector.JSON.Bits)
			require.Equal(t, vector.Bits, fromCBOR.Bits)

			decoded, err := statuslist.Decompress(vector.Bits, lst, vector.Size)
			require.NoError(t, err)
			require.Equal(t, vector.Size, decoded.Len())
			nonzero := map[uint64]statuslist.Status{}
			for text, status := range vector.Nonzero {
				index, err := strconv.ParseUint(text, 10, 64)
				require.NoError(t, err)
				nonzero[index] = statuslist.Status(status)
			}
			for index := range decoded.Len() {
				got, err := decoded.Get(index)
				if err != nil || got != nonzero[index] {
					require.NoError(t, err)
					require.Equal(t, nonzero[index], got, "index %d", index)
				}
			}

			built, err := statuslist.Build(vector.Bits, vector.Size, maps.All(nonzero))
			require.NoError(t, err)
			require.Equal(t, decoded, built)
			compressed, err := built.Compress()
			require.NoError(t, err)
			// Another deflate implementation may find other bytes: what must agree is the header and the content.
			require.Equal(t, lst[:2], compressed[:2])
			require.Equal(t, unpack(t, lst), unpack(t, compressed))
			require.LessOrEqual(t, len(compressed), len(lst)*21/20)
		})
	}
}

func TestCWTExample(t *testing.T) {
	data, err := hex.DecodeString(vectors(t).CWT)
	require.NoError(t, err)
	token, err := statuslist.DecodeUnverifiedCWT(data)
	require.NoError(t, err)
	require.Equal(t, "https://example.com/statuslists/1", token.Subject)
	require.Equal(t, time.Unix(1686920170, 0).UTC(), token.IssuedAt)
	require.Equal(t, time.Unix(2291720170, 0).UTC(), token.Expires)
	require.Equal(t, 12*time.Hour, token.TTL)
	require.Equal(t, 1, token.List.Bits())
	require.EqualValues(t, 16, token.List.Len())
	first, err := token.List.Get(0)
	require.NoError(t, err)
	require.Equal(t, statuslist.Invalid, first)
}

func TestListKeepsStatuses(t *testing.T) {
	for _, bits := range []int{1, 2, 4, 8} {
		t.Run(strconv.Itoa(bits), func(t *testing.T) {
			const entries = 1000
			list, err := statuslist.New(bits, entries)
			require.NoError(t, err)
			require.Equal(t, bits, list.Bits())
			random := rand.New(rand.NewPCG(1, uint64(bits)))
			want := make([]statuslist.Status, entries)
			for range 5 * entries {
				index := random.Uint64N(entries)
				want[index] = statuslist.Status(random.UintN(1 << bits))
				require.NoError(t, list.Set(index, want[index]))
			}
			compressed, err := list.Compress()
			require.NoError(t, err)
			again, err := statuslist.Decompress(bits, compressed, entries)
			require.NoError(t, err)
			for index, status := range want {
				got, err := again.Get(uint64(index))
				require.NoError(t, err)
				require.Equal(t, status, got)
			}
		})
	}
}

func TestListRefuses(t *testing.T) {
	for _, bits := range []int{-1, 0, 3, 5, 16} {
		_, err := statuslist.New(bits, 8)
		require.ErrorIs(t, err, statuslist.ErrBits)
		_, err = statuslist.Decompress(bits, nil, 0)
		require.ErrorIs(t, err, statuslist.ErrBits)
	}
	_, err := statuslist.New(1, 1<<60)
	require.ErrorIs(t, err, statuslist.ErrTooLarge)

	list, err := statuslist.New(1, 9)
	require.NoError(t, err)
	require.EqualValues(t, 16, list.Len(), "whole octets")
	require.ErrorIs(t, list.Set(16, statuslist.Invalid), statuslist.ErrIndex)
	_, err = list.Get(1 << 63)
	require.ErrorIs(t, err, statuslist.ErrIndex)
	require.ErrorIs(t, list.Set(3, statuslist.Suspended), statuslist.ErrStatus)
	got, err := list.Get(3)
	require.NoError(t, err)
	require.Equal(t, statuslist.Valid, got)
	_, err = statuslist.Build(1, 8, maps.All(map[uint64]statuslist.Status{9: statuslist.Invalid}))
	require.ErrorIs(t, err, statuslist.ErrIndex)
	_, err = statuslist.Build(3, 8, maps.All(map[uint64]statuslist.Status{}))
	require.ErrorIs(t, err, statuslist.ErrBits)
}

func TestDecompressRefuses(t *testing.T) {
	bomb, err := statuslist.New(8, 1<<24)
	require.NoError(t, err)
	bombed, err := bomb.Compress()
	require.NoError(t, err)
	require.Less(t, len(bombed), 1<<15)
	sound, err := statuslist.New(1, 64)
	require.NoError(t, err)
	lst, err := sound.Compress()
	require.NoError(t, err)
	broken := bytes.Clone(lst)
	broken[len(broken)-1] ^= 1

	for name, test := range map[string]struct {
		lst  []byte
		max  uint64
		want error
	}{
		"bomb":               {bombed, 0, statuslist.ErrTooLarge},
		"one entry too many": {lst, 56, statuslist.ErrTooLarge},
		"nothing":            {nil, 0, statuslist.ErrMalformed},
		"not zlib":           {[]byte("plain text"), 0, statuslist.ErrMalformed},
		"cut":                {lst[:len(lst)-1], 0, statuslist.ErrMalformed},
		"checksum":           {broken, 0, statuslist.ErrMalformed},
		"data behind":        {append(bytes.Clone(lst), 0), 0, statuslist.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := statuslist.Decompress(1, test.lst, test.max)
			require.ErrorIs(t, err, test.want)
		})
	}
	exact, err := statuslist.Decompress(1, lst, 64)
	require.NoError(t, err)
	require.EqualValues(t, 64, exact.Len())
}

func TestStatusNames(t *testing.T) {
	for status, name := range map[statuslist.Status]string{
		statuslist.Valid: "VALID", statuslist.Invalid: "INVALID", statuslist.Suspended: "SUSPENDED", 12: "12",
	} {
		require.Equal(t, name, status.String())
	}
}

func TestAggregationDocument(t *testing.T) {
	encoded, err := json.Marshal(statuslist.Aggregation{StatusLists: []string{"https://example.com/statuslists/1"}})
	require.NoError(t, err)
	require.JSONEq(t, `{"status_lists":["https://example.com/statuslists/1"]}`, string(encoded))
}

func FuzzDecompress(f *testing.F) {
	list, err := statuslist.New(2, 64)
	require.NoError(f, err)
	lst, err := list.Compress()
	require.NoError(f, err)
	f.Add(2, lst)
	f.Add(1, []byte{0x78, 0xda})
	f.Fuzz(func(t *testing.T, bits int, lst []byte) {
		const maxEntries = 1 << 12
		list, err := statuslist.Decompress(bits, lst, maxEntries)
		if err != nil {
			return
		}
		require.LessOrEqual(t, list.Len(), uint64(maxEntries))
		_, err = list.Get(list.Len())
		require.ErrorIs(t, err, statuslist.ErrIndex)
	})
}

// onePercent yields random statuses for 1 % of 2^20 entries.
func onePercent() map[uint64]statuslist.Status {
	const entries = 1 << 20
	random := rand.New(rand.NewPCG(1, 2))
	statuses := make(map[uint64]statuslist.Status, entries/100)
	for len(statuses) < entries/100 {
		statuses[random.Uint64N(entries)] = statuslist.Invalid
	}
	return statuses
}

func BenchmarkBuild(b *testing.B) {
	statuses := onePercent()
	b.ReportAllocs()
	for b.Loop() {
		_, err := statuslist.Build(1, 1<<20, maps.All(statuses))
		require.NoError(b, err)
	}
}

func BenchmarkBuildAndCompress(b *testing.B) {
	statuses := onePercent()
	b.ReportAllocs()
	for b.Loop() {
		list, err := statuslist.Build(1, 1<<20, maps.All(statuses))
		require.NoError(b, err)
		_, err = list.Compress()
		require.NoError(b, err)
	}
}

func BenchmarkDecompress(b *testing.B) {
	list, err := statuslist.Build(1, 1<<20, maps.All(onePercent()))
	require.NoError(b, err)
	lst, err := list.Compress()
	require.NoError(b, err)
	b.ReportMetric(float64(len(lst)), "lst-bytes")
	b.ReportAllocs()
	for b.Loop() {
		_, err := statuslist.Decompress(1, lst, 1<<20)
		require.NoError(b, err)
	}
}
