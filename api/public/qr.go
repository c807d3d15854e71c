package public

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"

	"github.com/boombuler/barcode/qr"
)

const (
	quietZone = 4 // modules; ISO/IEC 18004 asks for four
	pixels    = 8 // of a module in a picture
)

// qrCode is a QR code as a square of modules.
type qrCode struct {
	Size int // modules on a side, without the quiet zone
	dark func(x, y int) bool
}

// newQR encodes text with error correction that bears fifteen percent of damage.
func newQR(text string) (*qrCode, error) {
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		// The library's text may repeat the link.
		return nil, errors.New("make QR code: the text does not fit")
	}
	return &qrCode{Size: code.Bounds().Dx(), dark: func(x, y int) bool {
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}}, nil
}

// ViewBox is the SVG view box with the quiet zone.
func (q *qrCode) ViewBox() string {
	return fmt.Sprintf("%d %d %d %d", -quietZone, -quietZone, q.Size+2*quietZone, q.Size+2*quietZone)
}

// Path is the dark modules as SVG path data: one rectangle for each run in a row.
func (q *qrCode) Path() string {
	var b strings.Builder
	for y := range q.Size {
		for x := 0; x < q.Size; x++ {
			start := x
			for x < q.Size && q.dark(x, y) {
				x++
			}
			if n := x - start; n > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", start, y, n, n)
			}
		}
	}
	return b.String()
}

// png is the code as a picture with the quiet zone.
func (q *qrCode) png() ([]byte, error) {
	side := (q.Size + 2*quietZone) * pixels
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			mx, my := x/pixels-quietZone, y/pixels-quietZone
			if mx >= 0 && my >= 0 && mx < q.Size && my < q.Size && q.dark(mx, my) {
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("draw QR code: %w", err)
	}
	return b.Bytes(), nil
}
