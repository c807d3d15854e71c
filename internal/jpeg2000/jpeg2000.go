// Package jpeg2000 reads the frame of JPEG 2000 pictures (ISO/IEC 15444-1): the boxes of a JP2 file, the headers of the codestream and the chain of its
// tile-parts from the first byte to the last. It says whether a picture is whole and how large it is.
//
// It does not decode the coefficients: the arithmetic decoder takes any bytes, so nothing more would be learnt about a picture than what its frame
// tells.
package jpeg2000

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrInvalid is what every error of Parse is.
var ErrInvalid = errors.New("jpeg2000: not a picture")

// Config is what the headers say of a picture.
type Config struct {
	Width, Height int // pixels, both positive
	Components    int // 1 to 4: grey or colours, perhaps with opacity
	Depth         int // bits of the deepest component
}

// The markers (Annex A) that are looked at; others come in segments, which are passed over.
const (
	markerSOC = 0xff4f // start of codestream
	markerSIZ = 0xff51 // size
	markerCOD = 0xff52 // coding style
	markerQCD = 0xff5c // quantization
	markerSOT = 0xff90 // start of tile-part
	markerSOD = 0xff93 // start of data
	markerEOC = 0xffd9 // end of codestream
)

const (
	maxComponents = 4     // of pictures of people; the standard has 16384
	maxTiles      = 65535 // A.4.2
	maxLevels     = 32    // of decomposition, A.6.1
	maxSide       = 1 << 16
)

var jp2Signature = []byte{0, 0, 0, 12, 'j', 'P', ' ', ' ', 0x0d, 0x0a, 0x87, 0x0a}

// Parse reads a JP2 file or a bare codestream. Every error is ErrInvalid and says what is wrong.
func Parse(b []byte) (Config, error) {
	if bytes.HasPrefix(b, jp2Signature) {
		var err error
		if b, err = codestreamOf(b); err != nil {
			return Config{}, err
		}
	}
	p := &parser{rest: b}
	if err := p.codestream(); err != nil {
		return Config{}, err
	}
	return p.config, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// codestreamOf walks the boxes of a JP2 file (Annex I): signature, file type and header come before the codestream. What comes after it is of no concern.
func codestreamOf(b []byte) ([]byte, error) {
	seen := map[string]bool{}
	for len(b) >= 8 {
		size, kind, head := uint64(binary.BigEndian.Uint32(b)), string(b[4:8]), uint64(8)
		switch size {
		case 0: // up to the end of the file
			size = uint64(len(b))
		case 1:
			if len(b) < 16 {
				return nil, invalid("a box is cut off")
			}
			size, head = binary.BigEndian.Uint64(b[8:]), 16
		}
		if size < head || size > uint64(len(b)) {
			return nil, invalid("a box is cut off")
		}
		if kind == "jp2c" {
			if !seen["ftyp"] || !seen["jp2h"] {
				return nil, invalid("the codestream comes before file type and header")
			}
			return b[head:size], nil
		}
		seen[kind] = true
		b = b[size:]
	}
	return nil, invalid("there is no codestream")
}

// parser walks a codestream.
type parser struct {
	rest   []byte
	config Config
	tiles  []tile
}

// tile is how far a tile has come.
type tile struct {
	parts int // seen
	of    int // in all, once a part has said so
}

// codestream is the whole (A.3): the main header, the tile-parts, the end.
func (p *parser) codestream() error {
	if m, ok := p.marker(); !ok || m != markerSOC {
		return invalid("the codestream does not begin with its marker")
	}
	if err := p.mainHeader(); err != nil {
		return err
	}
	for {
		m, ok := p.marker()
		switch {
		case ok && m == markerSOT:
			if err := p.tilePart(); err != nil {
				return err
			}
		case ok && m == markerEOC && len(p.rest) == 0:
			return p.complete()
		case ok && m == markerEOC:
			return invalid("the codestream goes on after its end")
		default:
			return invalid("a tile-part or the end is missing")
		}
	}
}

// marker takes the next two bytes.
func (p *parser) marker() (uint16, bool) {
	if len(p.rest) < 2 {
		return 0, false
	}
	m := binary.BigEndian.Uint16(p.rest)
	p.rest = p.rest[2:]
	return m, true
}

// segment takes a marker segment, whose length counts itself.
func (p *parser) segment() ([]byte, error) {
	if len(p.rest) < 2 {
		return nil, invalid("a marker segment is cut off")
	}
	n := int(binary.BigEndian.Uint16(p.rest))
	if n < 2 || n > len(p.rest) {
		return nil, invalid("a marker segment is cut off")
	}
	s := p.rest[2:n]
	p.rest = p.rest[n:]
	return s, nil
}

// mainHeader reads the segments up to the first tile-part, which it leaves: size first, coding style and quantization somewhere (A.3).
func (p *parser) mainHeader() error {
	levels, quantized := -1, []byte(nil)
	for first := true; ; first = false {
		if len(p.rest) >= 2 && binary.BigEndian.Uint16(p.rest) == markerSOT {
			break
		}
		m, _ := p.marker()
		if first != (m == markerSIZ) {
			return invalid("the size does not come first, or comes twice")
		}
		s, err := p.segment()
		if err != nil {
			return err
		}
		switch m {
		case markerSIZ:
			err = p.size(s)
		case markerCOD:
			levels, err = codingStyle(s)
		case markerQCD:
			quantized = s
		case markerSOC, markerSOD, markerEOC:
			err = invalid("the header is not followed by a tile-part")
		}
		if err != nil {
			return err
		}
	}
	if levels < 0 || quantized == nil {
		return invalid("coding style or quantization is missing")
	}
	return quantization(quantized, levels)
}

// size reads SIZ (A.5.1).
func (p *parser) size(s []byte) error {
	const fixed = 36
	if len(s) < fixed {
		return invalid("the size is cut off")
	}
	at := func(i int) int64 { return int64(binary.BigEndian.Uint32(s[i:])) }
	xsiz, ysiz, x0, y0 := at(2), at(6), at(10), at(14)
	tw, th, tx0, ty0 := at(18), at(22), at(26), at(30)
	n := int(binary.BigEndian.Uint16(s[34:]))
	width, height := xsiz-x0, ysiz-y0
	switch {
	case width < 1 || height < 1 || width > maxSide || height > maxSide:
		return invalid("it has no pixels, or too many")
	case n < 1 || n > maxComponents || len(s) != fixed+3*n:
		return invalid("it has not one to four components")
	case tw < 1 || th < 1 || tx0 > x0 || ty0 > y0 || tx0+tw <= x0 || ty0+th <= y0:
		return invalid("the first tile holds nothing of it")
	}
	tiles := ceil(xsiz-tx0, tw) * ceil(ysiz-ty0, th)
	if tiles > maxTiles {
		return invalid("it has too many tiles")
	}
	p.config, p.tiles = Config{Width: int(width), Height: int(height), Components: n}, make([]tile, tiles)
	for c := s[fixed:]; len(c) > 0; c = c[3:] {
		depth := int(c[0]&0x7f) + 1
		if depth > 38 || c[1] == 0 || c[2] == 0 {
			return invalid("a component is of no depth or sampling that there is")
		}
		p.config.Depth = max(p.config.Depth, depth)
	}
	return nil
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }

// codingStyle reads COD (A.6.1) and gives the levels of decomposition.
func codingStyle(s []byte) (levels int, err error) {
	const fixed = 10
	if len(s) < fixed {
		return 0, invalid("the coding style is cut off")
	}
	progression, layers := s[1], binary.BigEndian.Uint16(s[2:])
	levels = int(s[5])
	width, height := s[6]&0xf, s[7]&0xf // of a code-block: two to the power of this and 2
	precincts := 0
	if s[0]&1 != 0 {
		precincts = levels + 1
	}
	switch {
	case progression > 4 || layers == 0 || s[4] > 1 || s[9] > 1:
		return 0, invalid("the coding style is none that there is")
	case levels > maxLevels || width > 8 || height > 8 || width+height > 8:
		return 0, invalid("decomposition or code-blocks are none that there are")
	case len(s) != fixed+precincts:
		return 0, invalid("the coding style has not one precinct size for each resolution")
	}
	return levels, nil
}

// quantization checks QCD (A.6.4): one step for each subband, or one from which the others are derived.
func quantization(s []byte, levels int) error {
	if len(s) < 1 {
		return invalid("the quantization is cut off")
	}
	bands, steps := 3*levels+1, len(s)-1
	switch s[0] & 0x1f {
	case 0:
		if steps >= bands {
			return nil
		}
	case 1:
		if steps == 2 {
			return nil
		}
	case 2:
		if steps >= 2*bands && steps%2 == 0 {
			return nil
		}
	}
	return invalid("the quantization does not fit the decomposition")
}

// tilePart reads a tile-part whose marker was taken (A.4.2): which tile it is of, how long it is, its header, its data.
func (p *parser) tilePart() error {
	whole := len(p.rest) + 2 // with the marker, which its length counts
	s, err := p.segment()
	if err != nil {
		return err
	}
	if len(s) != 8 {
		return invalid("the header of a tile-part is not of its length")
	}
	index, length, part, parts := int(binary.BigEndian.Uint16(s)), int64(binary.BigEndian.Uint32(s[2:])), int(s[6]), int(s[7])
	if index >= len(p.tiles) {
		return invalid("a tile-part is of no tile of it")
	}
	t := &p.tiles[index]
	if part != t.parts || parts != 0 && (part >= parts || t.of != 0 && parts != t.of) || t.of != 0 && part >= t.of {
		return invalid("the parts of a tile are not in order")
	}
	t.parts++
	t.of = max(t.of, parts)
	const end = 2 // the marker of the end
	if length == 0 {
		length = int64(whole - end) // it is the last one
	}
	if length > int64(whole-end) {
		return invalid("a tile-part is cut off")
	}
	data := int(length) - (whole - len(p.rest)) // what is left of it
	if data < 0 {
		return invalid("a tile-part is shorter than its header")
	}
	after := p.rest[data:]
	p.rest = p.rest[:data]
	for {
		m, ok := p.marker()
		if !ok {
			return invalid("a tile-part has no data")
		}
		if m == markerSOD {
			break
		}
		if _, err := p.segment(); err != nil {
			return err
		}
	}
	p.rest = after
	return nil
}

// complete says whether every part of every tile was there.
func (p *parser) complete() error {
	for _, t := range p.tiles {
		if t.parts == 0 || t.of != 0 && t.parts != t.of {
			return invalid("a tile is missing")
		}
	}
	return nil
}
