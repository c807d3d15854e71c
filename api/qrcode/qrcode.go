// Package qrcode draws QR codes (ISO/IEC 18004) of texts that may be secret: as a picture, and as a drawing for pages. It knows nothing of
// what the texts mean.
package qrcode

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

// Code is a QR code as a square of modules.
type Code struct {
	size int // modules on a side, without the quiet zone
	dark func(x, y int) bool
}

// New encodes text with error correction that bears fifteen percent of damage. An error does not repeat the text.
func New(text string) (*Code, error) {
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		// The library's own error may repeat the text.
		return nil, errors.New("make QR code: the text does not fit")
	}
	return &Code{size: code.Bounds().Dx(), dark: func(x, y int) bool {
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}}, nil
}

// ViewBox is the SVG view box with the quiet zone.
func (c *Code) ViewBox() string {
	return fmt.Sprintf("%d %d %d %d", -quietZone, -quietZone, c.size+2*quietZone, c.size+2*quietZone)
}

// Path is the dark modules as SVG path data: one rectangle for each run in a row.
func (c *Code) Path() string {
	var b strings.Builder
	for y := range c.size {
		for x := 0; x < c.size; x++ {
			start := x
			for x < c.size && c.dark(x, y) {
				x++
			}
			if n := x - start; n > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", start, y, n, n)
			}
		}
	}
	return b.String()
}

// SVG is the code as an SVG document, black on white with the quiet zone. It has no size of its own.
func (c *Code) SVG() string {
	side := c.size + 2*quietZone
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="%s" shape-rendering="crispEdges">`+
		`<rect x="%d" y="%d" width="%d" height="%d" fill="#fff"/><path fill="#000" d="%s"/></svg>`,
		c.ViewBox(), -quietZone, -quietZone, side, side, c.Path())
}

// PNG is the code as a picture with the quiet zone.
func (c *Code) PNG() ([]byte, error) {
	side := (c.size + 2*quietZone) * pixels
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			mx, my := x/pixels-quietZone, y/pixels-quietZone
			if mx >= 0 && my >= 0 && mx < c.size && my < c.size && c.dark(mx, my) {
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
