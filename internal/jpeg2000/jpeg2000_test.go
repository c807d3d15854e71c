package jpeg2000_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/jpeg2000"
)

// The pictures in testdata were made by another encoder (OpenJPEG) from gradients: with one tile and with many in parts, with precincts and markers
// in the data, in a file and bare.
func picture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return b
}

func TestParse(t *testing.T) {
	for name, components := range map[string]int{"colour.jp2": 3, "precincts.jp2": 3, "tiles.j2k": 3, "grey.j2k": 1} {
		t.Run(name, func(t *testing.T) {
			b := picture(t, name)
			got, err := jpeg2000.Parse(b)
			require.NoError(t, err)
			require.Equal(t, jpeg2000.Config{Width: 48, Height: 64, Components: components, Depth: 8}, got)
			for n := range b {
				_, err := jpeg2000.Parse(b[:n])
				require.ErrorIs(t, err, jpeg2000.ErrInvalid, "cut to %d bytes", n)
			}
		})
	}
}

// replace puts other bytes in the place of the first that are found, or of as many from an offset behind them.
func replace(t *testing.T, b, at []byte, offset int, by ...byte) []byte {
	t.Helper()
	i := bytes.Index(b, at)
	require.GreaterOrEqual(t, i, 0)
	out := bytes.Clone(b)
	copy(out[i+offset:], by)
	return out
}

func TestBrokenPictures(t *testing.T) {
	siz, cod, qcd, sot := []byte{0xff, 0x51}, []byte{0xff, 0x52}, []byte{0xff, 0x5c}, []byte{0xff, 0x90}
	file, bare, tiles := picture(t, "colour.jp2"), picture(t, "grey.j2k"), picture(t, "tiles.j2k")
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	afterHeader := bytes.Index(bare, sot)
	for name, b := range map[string][]byte{
		"nothing":                           nil,
		"something else":                    []byte("GIF89a and more"),
		"bytes after the end":               append(bytes.Clone(bare), 0),
		"two ends":                          append(bytes.Clone(bare), 0xff, 0xd9),
		"size twice":                        append(append(bytes.Clone(bare[:afterHeader]), bare[2:43]...), bare[afterHeader:]...),
		"no size":                           append([]byte{0xff, 0x4f}, bare[43:]...),
		"no tile-part":                      append(bytes.Clone(bare[:afterHeader]), 0xff, 0xd9),
		"width nothing":                     replace(t, bare, siz, 6, number(0)...),
		"height huge":                       replace(t, bare, siz, 10, number(1<<31)...),
		"picture beside its grid":           replace(t, bare, siz, 14, number(48)...),
		"tiles of nothing":                  replace(t, bare, siz, 22, number(0)...),
		"tiles beside the picture":          replace(t, bare, siz, 30, number(1)...),
		"more tiles than there may be":      replace(t, replace(t, bare, siz, 6, number(60000)...), siz, 22, number(1)...),
		"no component":                      replace(t, bare, siz, 38, 0, 0),
		"more components than the size has": replace(t, bare, siz, 38, 0, 3),
		"depth of 128":                      replace(t, bare, siz, 40, 0x7f),
		"sampling of nothing":               replace(t, bare, siz, 41, 0),
		"size too short":                    replace(t, bare, siz, 2, 0, 20),
		"unknown progression":               replace(t, bare, cod, 5, 5),
		"no layer":                          replace(t, bare, cod, 6, 0, 0),
		"33 levels":                         replace(t, bare, cod, 9, 33),
		"other levels than steps":           replace(t, bare, cod, 9, 31),
		"code-blocks too large":             replace(t, bare, cod, 10, 8, 8),
		"unknown wavelet":                   replace(t, bare, cod, 13, 2),
		"precincts that are not there":      replace(t, bare, cod, 4, 1),
		"no coding style":                   replace(t, bare, cod, 0, 0xff, 0x64),
		"no quantization":                   replace(t, bare, qcd, 0, 0xff, 0x64),
		"unknown quantization":              replace(t, bare, qcd, 4, 0x1f),
		"derived quantization of many":      replace(t, bare, qcd, 4, 1),
		"a tile there is none of":           replace(t, bare, sot, 4, 0, 1),
		"a tile-part too long":              replace(t, bare, sot, 6, number(1<<30)...),
		"a tile-part shorter than its head": replace(t, bare, sot, 6, number(12)...),
		"a tile-part without data":          replace(t, bare, sot, 6, number(14)...),
		"a part before the first":           replace(t, tiles, sot, 10, 1),
		"a part that is not the last":       replace(t, bare, sot, 11, 9),
		"parts without their number":        replace(t, tiles, sot, 11, 1),
		"no file type":                      replace(t, file, []byte("ftyp"), 0, []byte("xxxx")...),
		"no header in the file":             replace(t, file, []byte("jp2h"), 0, []byte("xxxx")...),
		"no codestream in the file":         replace(t, file, []byte("jp2c"), 0, []byte("xxxx")...),
		"a box longer than the file":        replace(t, file, []byte("jp2h"), -4, 0x7f),
		"a box shorter than its head":       replace(t, file, []byte("jp2h"), -4, number(7)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jpeg2000.Parse(b)
			require.ErrorIs(t, err, jpeg2000.ErrInvalid)
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"colour.jp2", "precincts.jp2", "tiles.j2k", "grey.j2k"} {
		f.Add(picture(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := jpeg2000.Parse(b)
		if err != nil {
			require.ErrorIs(t, err, jpeg2000.ErrInvalid)
			return
		}
		require.Positive(t, min(got.Width, got.Height, got.Components, got.Depth))
	})
}
