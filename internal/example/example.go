// Package example makes sample data for the demonstration, the example start and the load tool: made-up people with drawn portraits, and profiles.
package example

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

var (
	givenNames  = []string{"Ada", "Bruno", "Clara", "David", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Lena"}
	familyNames = []string{"Ahrens", "Bianchi", "Costa", "Duval", "Ekholm", "Fischer", "Garcia", "Horvat", "Ivanova", "Jensen"}
)

// WritePeople writes a CSV file for POST /v1/people/import with n people: everything an mDL or a staff badge needs, portraits included.
func WritePeople(w io.Writer, n int) error {
	out := csv.NewWriter(w)
	err := out.Write([]string{"external_id", "given_name", "family_name", "email", "mobile", "birth_date", "group", "portrait",
		"attribute.document_number", "attribute.issuing_country", "attribute.issuing_authority", "attribute.un_distinguishing_sign",
		"attribute.driving_privileges", "attribute.sex", "attribute.height", "attribute.eye_colour", "attribute.job_title"})
	if err != nil {
		return fmt.Errorf("write people: %w", err)
	}
	for i := range n {
		portrait, err := Portrait(i)
		if err != nil {
			return err
		}
		given, family := givenNames[i%len(givenNames)], familyNames[(i/len(givenNames)+i)%len(familyNames)]
		err = out.Write([]string{
			fmt.Sprintf("E%05d", i+1), given, family, fmt.Sprintf("holder%d@mailbox.example", i+1), fmt.Sprintf("+4179%07d", 1000000+i),
			fmt.Sprintf("%d-%02d-%02d", 1960+i%40, 1+i%12, 1+i%28), "Registry/Counter", base64.StdEncoding.EncodeToString(portrait),
			fmt.Sprintf("UT%07d", 4000000+i), "UT", "Utopia Road Office", "UTO",
			`[{"vehicle_category_code":"B","issue_date":"2019-04-01","expiry_date":"2034-04-01"}]`,
			fmt.Sprint(1 + i%2), fmt.Sprint(155 + i%40), "brown", "Clerk",
		})
		if err != nil {
			return fmt.Errorf("write people: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write people: %w", err)
	}
	return nil
}

// Portrait draws a simple face as a JPEG of 240 by 320 pixels, another one for each seed.
func Portrait(seed int) ([]byte, error) {
	const w, h = 240, 320
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	wall := color.RGBA{uint8(170 + seed*13%60), uint8(180 + seed*7%50), 210, 255}
	skin := color.RGBA{uint8(150 + seed*29%100), uint8(110 + seed*17%80), uint8(90 + seed*11%60), 255}
	dark := color.RGBA{50, 40, 45, 255}
	in := func(x, y, cx, cy, rx, ry float64) bool {
		dx, dy := (x-cx)/rx, (y-cy)/ry
		return dx*dx+dy*dy <= 1
	}
	for y := range h {
		for x := range w {
			fx, fy := float64(x), float64(y)
			c := wall
			switch {
			case in(fx, fy, 95, 150, 8, 6), in(fx, fy, 145, 150, 8, 6), in(fx, fy, 120, 205, 22, 5):
				c = dark
			case in(fx, fy, 120, 160, 62, 84):
				c = skin
			case in(fx, fy, 120, 130, 72, 90), in(fx, fy, 120, 330, 110, 90):
				c = dark
			}
			img.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		return nil, fmt.Errorf("draw portrait: %w", err)
	}
	return b.Bytes(), nil
}

// Profiles are an mDL that needs approval and a staff badge that does not.
func Profiles() []issuer.SaveProfile {
	profiles := []issuer.SaveProfile{
		{Name: "mdl", Comment: "example", Options: domain.ProfileOptions{DisplayName: "Mobile driving licence", Format: "iso-mdl",
			ValidateIssuance: true, LifetimeDays: 365, MaxCopies: 5, CredentialGroup: "driving", OnReissue: domain.ReissueCancel}},
		{Name: "staff-badge", Comment: "example", Options: domain.ProfileOptions{DisplayName: "Staff badge", Format: "staff-badge",
			NotificationScheme: domain.NotifyCodeBySMS, MaxCopies: 1, CredentialGroup: "badge"}},
	}
	for i := range profiles {
		profiles[i].Options.Defaults()
	}
	return profiles
}
