package issuer

import (
	"bytes"
	"encoding/binary"
	"image/jpeg"

	"github.com/mdocket/mdocket/internal/domain"
)

const (
	maxImageBytes  = 1 << 20
	maxImagePixels = 2048 // on a side
	maxImageScans  = 32   // of a progressive JPEG; each costs a pass over the whole picture
	minImagePixels = 8
)

// decoding bounds how many pictures are decoded at once: each takes memory for all of its pixels.
var decoding = make(chan struct{}, 2)

// checkImage says what kind of picture the bytes are: image/jpeg, decoded in full, or image/jp2, its headers read (ISO/IEC 15444-1).
func checkImage(kind domain.ImageKind, b []byte) (string, error) {
	field := string(kind)
	refuse := func(problem string) error {
		return &domain.Error{Code: domain.CodeImageInvalid, Message: "the picture is not usable",
			Fields: []domain.FieldError{{Field: field, Problem: problem}}}
	}
	if kind != domain.ImagePortrait && kind != domain.ImageSignature {
		return "", invalid("kind", "must be portrait or signature")
	}
	if len(b) == 0 || len(b) > maxImageBytes {
		return "", refuse("must be 1 byte to 1 MiB")
	}
	width, height, mediaType := 0, 0, ""
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xd8}) && bytes.Count(b, []byte{0xff, 0xda}) > maxImageScans:
		return "", refuse("is a JPEG picture of too many scans")
	case bytes.HasPrefix(b, []byte{0xff, 0xd8}):
		c, err := jpeg.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			return "", refuse("is not a JPEG picture")
		}
		width, height, mediaType = c.Width, c.Height, "image/jpeg"
	default:
		w, h, ok := jpeg2000Size(b)
		if !ok {
			return "", refuse("is neither a JPEG nor a JPEG 2000 picture")
		}
		width, height, mediaType = w, h, "image/jp2"
	}
	if width < minImagePixels || height < minImagePixels || width > maxImagePixels || height > maxImagePixels {
		return "", refuse("must be 8 to 2048 pixels on each side")
	}
	if mediaType == "image/jpeg" {
		decoding <- struct{}{}
		_, err := jpeg.Decode(bytes.NewReader(b))
		<-decoding
		if err != nil {
			return "", refuse("is not a JPEG picture")
		}
	}
	return mediaType, nil
}

var (
	jp2Signature = []byte{0, 0, 0, 12, 'j', 'P', ' ', ' ', 0x0d, 0x0a, 0x87, 0x0a}
	codestream   = []byte{0xff, 0x4f, 0xff, 0x51} // SOC and SIZ markers
)

// jpeg2000Size reads the size from the SIZ marker segment of a JPEG 2000 codestream, bare or inside a JP2 file. The codestream must reach its
// end marker.
func jpeg2000Size(b []byte) (width, height int, ok bool) {
	if bytes.HasPrefix(b, jp2Signature) {
		if b, ok = jp2Codestream(b); !ok {
			return 0, 0, false
		}
	}
	// SOC(2) SIZ(2) Lsiz(2) Rsiz(2) Xsiz(4) Ysiz(4) XOsiz(4) YOsiz(4)
	if !bytes.HasPrefix(b, codestream) || len(b) < 26 || !bytes.HasSuffix(b, []byte{0xff, 0xd9}) {
		return 0, 0, false
	}
	at := func(i int) int64 { return int64(binary.BigEndian.Uint32(b[i:])) }
	w, h := at(8)-at(16), at(12)-at(20)
	if w <= 0 || h <= 0 || w > maxImagePixels || h > maxImagePixels {
		return 0, 0, false
	}
	return int(w), int(h), true
}

// jp2Codestream walks the boxes of a JP2 file to its contiguous codestream.
func jp2Codestream(b []byte) ([]byte, bool) {
	for len(b) >= 8 {
		size, kind, head := uint64(binary.BigEndian.Uint32(b)), string(b[4:8]), uint64(8)
		switch size {
		case 0: // up to the end of the file
			size = uint64(len(b))
		case 1:
			if len(b) < 16 {
				return nil, false
			}
			size, head = binary.BigEndian.Uint64(b[8:]), 16
		}
		if size < head || size > uint64(len(b)) {
			return nil, false
		}
		if kind == "jp2c" {
			return b[head:size], true
		}
		b = b[size:]
	}
	return nil, false
}
