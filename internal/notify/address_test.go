package notify_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/notify"
)

func TestNormalizeMobile(t *testing.T) {
	tests := []struct {
		name, number, region, want string
		wantErr                    error
	}{
		{"national", "0170 1234567", "DE", "+491701234567", nil},
		{"region in lower case", "0170 1234567", "de", "+491701234567", nil},
		{"grouped", "(0170) 12-34.567", "DE", "+491701234567", nil},
		{"international", "+49 170 1234567", "", "+491701234567", nil},
		{"international beats region", "+49 170 1234567", "US", "+491701234567", nil},
		{"zeros instead of plus", "0049 170 1234567", "DE", "+491701234567", nil},
		{"spaces around", "  +491701234567 ", "", "+491701234567", nil},
		{"plan that does not tell mobile apart", "(201) 555-0123", "US", "+12015550123", nil},
		{"national without region", "0170 1234567", "", "", notify.ErrMobile},
		{"fixed line", "030 123456", "DE", "", notify.ErrMobile},
		{"toll-free", "0800 1234567", "DE", "", notify.ErrMobile},
		{"too short", "+49170", "", "", notify.ErrMobile},
		{"empty", "", "DE", "", notify.ErrMobile},
		{"letters", "1-800-FLOWERS", "US", "", notify.ErrMobile},
		{"extension", "+49 170 1234567 ext. 5", "", "", notify.ErrMobile},
		{"URI", "tel:+491701234567", "", "", notify.ErrMobile},
		{"two plus signs", "++491701234567", "", "", notify.ErrMobile},
		{"line break", "+4917012\n34567", "", "", notify.ErrMobile},
		{"other digits", "+４９１７０１２３４５６７", "", "", notify.ErrMobile},
		{"overlong", "+49170" + strings.Repeat(" ", 40) + "1234567", "", "", notify.ErrMobile},
		{"unknown region", "0170 1234567", "XX", "", notify.ErrRegion},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := notify.NormalizeMobile(test.number, test.region)
			require.ErrorIs(t, err, test.wantErr)
			require.Equal(t, test.want, got)
		})
	}
}

func TestValidEmail(t *testing.T) {
	valid := []string{
		"ada@home.example", "ada.love+lace@sub.home.example", "o'hara_1@home.example", "ada@xn--mller-kva.example",
		strings.Repeat("a", 64) + "@home.example",
	}
	for _, address := range valid {
		require.NoError(t, notify.ValidEmail(address), address)
	}
	invalid := map[string]string{
		"empty":               "",
		"no domain":           "ada",
		"empty domain":        "ada@",
		"single label":        "ada@localhost",
		"display name":        "Ada <ada@home.example>",
		"angle brackets":      "<ada@home.example>",
		"two addresses":       "ada@home.example, eve@home.example",
		"quoted local part":   `"ada lace"@home.example`,
		"quoted at":           `"a@b"@home.example`,
		"comment":             "ada@home.example (Ada)",
		"line break":          "ada@home.example\r\nBcc: eve@home.example",
		"trailing space":      "ada@home.example ",
		"control character":   "a\x00da@home.example",
		"address literal":     "ada@[192.0.2.1]",
		"address as domain":   "ada@192.0.2.1",
		"leading hyphen":      "ada@-home.example",
		"underscore domain":   "ada@home_1.example",
		"empty label":         "ada@home..example",
		"leading dot":         ".ada@home.example",
		"two dots":            "a..da@home.example",
		"international local": "ädä@home.example",
		"international host":  "ada@müller.example",
		"long local part":     strings.Repeat("a", 65) + "@home.example",
		"long label":          "ada@" + strings.Repeat("a", 64) + ".example",
		"long address":        "ada@" + strings.Repeat("abcdefgh.", 30) + "example",
	}
	for name, address := range invalid {
		t.Run(name, func(t *testing.T) {
			err := notify.ValidEmail(address)
			require.ErrorIs(t, err, notify.ErrEmail)
			require.NotContains(t, err.Error(), "ada")
		})
	}
}

func FuzzNormalizeMobile(f *testing.F) {
	f.Add("0170 1234567", "DE")
	f.Add("+1 (201) 555-0123", "")
	f.Add("00 49 170/1234567", "AT")
	f.Add("+0", "ZZ")
	shape := regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	f.Fuzz(func(t *testing.T, number, region string) {
		normal, err := notify.NormalizeMobile(number, region)
		if err != nil {
			require.Empty(t, normal)
			return
		}
		require.Regexp(t, shape, normal)
		again, err := notify.NormalizeMobile(normal, "")
		require.NoError(t, err)
		require.Equal(t, normal, again)
	})
}

func FuzzValidEmail(f *testing.F) {
	f.Add("ada@home.example")
	f.Add(`"a b"@home.example`)
	f.Add("Ada <ada@home.example>")
	f.Add("ada@home.example\r\nBcc: eve@home.example")
	f.Fuzz(func(t *testing.T, address string) {
		if err := notify.ValidEmail(address); err != nil {
			require.ErrorIs(t, err, notify.ErrEmail)
			return
		}
		require.Regexp(t, `^[!-?A-~]+@[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+$`, address, "nothing that needs quoting in a header or command")
		require.LessOrEqual(t, len(address), 254)
	})
}
