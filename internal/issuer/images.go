package issuer

import (
	"bytes"
	"image/jpeg"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/jpeg2000"
)

const (
	maxImageBytes  = 1 << 20
	maxImagePixels = 2048 // on a side
	maxImageScans  = 32   // of a progressive JPEG; each costs a pass over the whole picture
	minImagePixels = 8
)

// decoding bounds how many pictures are decoded at once: each takes memory for all of its pixels.
var decoding = make(chan struct{}, 2)

// checkImage says what kind of picture the bytes are: image/jpeg, decoded in full, or image/jp2, its frame read to the end (internal/jpeg2000).
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
		c, err := jpeg2000.Parse(b)
		if err != nil {
			return "", refuse("is neither a JPEG nor a JPEG 2000 picture")
		}
		width, height, mediaType = c.Width, c.Height, "image/jp2"
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
