package qrcode_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/qrcode"
)

const link = "openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fissuer.example%2Foid4vci%2Foffers%2Fabc"

var run = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)

// The drawing and the picture show the same modules, and these have the marks of a QR code in three corners.
func TestPathAndPictureAgree(t *testing.T) {
	code, err := qrcode.New(link)
	require.NoError(t, err)
	var left, top, width, height int
	_, err = fmt.Sscanf(code.ViewBox(), "%d %d %d %d", &left, &top, &width, &height)
	require.NoError(t, err)
	require.Equal(t, []int{-4, -4, width}, []int{left, top, height}, "a square with the quiet zone around")
	size := width - 8

	dark := map[[2]int]bool{}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		return n
	}
	require.Empty(t, run.ReplaceAllString(code.Path(), ""), "runs and nothing else")
	for _, m := range run.FindAllStringSubmatch(code.Path(), -1) {
		require.Equal(t, m[3], m[4])
		for i := range number(m[3]) {
			dark[[2]int{number(m[1]) + i, number(m[2])}] = true
		}
	}
	picture, err := code.PNG()
	require.NoError(t, err)
	img, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	scale := img.Bounds().Dx() / width
	require.Equal(t, width*scale, img.Bounds().Dy())
	for x := -4; x < size+4; x++ {
		for y := -4; y < size+4; y++ {
			black := color.GrayModel.Convert(img.At((x+4)*scale+scale/2, (y+4)*scale+scale/2)) == color.Gray{}
			require.Equal(t, dark[[2]int{x, y}], black, "module %d, %d", x, y)
		}
	}
	for _, corner := range [][2]int{{0, 0}, {size - 7, 0}, {0, size - 7}} {
		for i := range 7 {
			require.True(t, dark[[2]int{corner[0] + i, corner[1]}] && dark[[2]int{corner[0], corner[1] + i}], "finder pattern")
		}
		require.False(t, dark[[2]int{corner[0] + 1, corner[1] + 1}])
		require.True(t, dark[[2]int{corner[0] + 3, corner[1] + 3}])
	}
}

func TestSVGIsADocumentOfItsOwn(t *testing.T) {
	code, err := qrcode.New(link)
	require.NoError(t, err)
	d := xml.NewDecoder(strings.NewReader(code.SVG()))
	var names []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok {
			require.Equal(t, "http://www.w3.org/2000/svg", start.Name.Space)
			names = append(names, start.Name.Local)
		}
	}
	require.Equal(t, []string{"svg", "rect", "path"}, names)
	require.Contains(t, code.SVG(), code.Path())
}

func TestTextThatDoesNotFit(t *testing.T) {
	_, err := qrcode.New(strings.Repeat("secret", 1000))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}
