package public_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"html"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
	reference "github.com/mdocket/mdocket/internal/wallet"
)

var update = flag.Bool("update", false, "write golden files")

var (
	qrPath  = regexp.MustCompile(` d="[^"]*"`)
	byValue = regexp.MustCompile(`openid-credential-offer://\?credential_offer=[^"]*`)
	endTime = regexp.MustCompile(`<strong>[^<]*</strong>`)
	style   = regexp.MustCompile(`(?s)<style>(.*)</style>`)
)

func TestPagesAreAsTheyWere(t *testing.T) {
	a := newAuthority(t)
	col := a.newCollection(a.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.DisplayName = `Licence <b>"A&B"</b>` }))
	for name, tc := range map[string]struct{ path, agent, language string }{
		"phone-en":   {col.path(), phone, "en-GB,en;q=0.9"},
		"desktop-de": {col.path(), desktop, "de-CH, fr;q=0.8"},
		"unknown-fr": {"/c/unknown", desktop, "fr"},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.get(tc.path, "User-Agent", tc.agent, "Accept-Language", tc.language).body
			got = strings.NewReplacer(col.token(), "TOKEN", strings.ReplaceAll(a.web.URL, "http://", "http%3A%2F%2F"), "BASE",
				strings.Replace(a.web.URL[len("http://"):], ":", "%3A", 1), "HOST").Replace(got)
			got = qrPath.ReplaceAllString(got, ` d="PATH"`)
			got = byValue.ReplaceAllString(got, "OFFER")
			got = endTime.ReplaceAllString(got, `<strong>TIME</strong>`)
			golden := filepath.Join("testdata", name+".html")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got)
		})
	}
}

func TestCollectionPageHasTheOfferByValueToo(t *testing.T) {
	a := newAuthority(t)
	col := a.newCollection(a.Profile(t, "mdl"))
	for name, agent := range map[string]string{"phone": phone, "desktop": desktop} {
		t.Run(name, func(t *testing.T) {
			link := html.UnescapeString(byValue.FindString(a.get(col.path(), "User-Agent", agent).body))
			parsed, err := oid4vci.ParseOfferLink(link)
			require.NoError(t, err)
			require.NotNil(t, parsed.Offer)
			require.Equal(t, []string{"mdl"}, parsed.Offer.CredentialConfigurationIDs)
			require.NotEmpty(t, parsed.Offer.Grants.PreAuthorizedCode.PreAuthorizedCode)
		})
	}
}

func TestCollectionPage(t *testing.T) {
	a := newAuthority(t)
	col := a.newCollection(a.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.DisplayName = `<script>alert("x")</script>` }))
	for name, agent := range map[string]string{"phone": phone, "desktop": desktop} {
		t.Run(name, func(t *testing.T) {
			got := a.get(col.path(), "User-Agent", agent)
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, "text/html; charset=utf-8", got.header.Get("Content-Type"))
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.Equal(t, "no-referrer", got.header.Get("Referrer-Policy"))
			require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
			require.Equal(t, "en", got.header.Get("Content-Language"))

			used := style.FindStringSubmatch(got.body)
			require.NotNil(t, used)
			sum := sha256.Sum256([]byte(used[1]))
			require.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
				"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", got.header.Get("Content-Security-Policy"))

			require.NotContains(t, strings.ToLower(got.body), "<script")
			require.NotContains(t, got.body, "ZgotmplZ")
			require.Contains(t, got.body, "&lt;script&gt;")
			require.Equal(t, agent == desktop, strings.Contains(got.body, "<svg"))
			require.Contains(t, got.body, `href="openid-credential-offer://?credential_offer_uri=http`)
			for _, personal := range []string{"Erika", "Mustermann", "erika@", "+41791234567", "D-77", col.code + "<"} {
				require.NotContains(t, got.body, personal)
			}
		})
	}
	require.Empty(t, a.do(http.MethodHead, col.path()).body)
	require.Equal(t, http.StatusOK, a.do(http.MethodHead, col.path()).status)
	require.Equal(t, http.StatusMethodNotAllowed, a.do(http.MethodPost, col.path()).status)
}

// A wallet that is given the address of the page finds the offer by the link in the head as well as by the anchor, and collects.
func TestWalletFindsTheOfferOnThePage(t *testing.T) {
	a := newAuthority(t)
	profile := a.Profile(t, "mdl")
	client := reference.NewClient(reference.ClientOptions{HTTPClient: a.web.Client()})
	col := a.newCollection(profile)
	for range 2 {
		offer, err := client.FetchOffer(t.Context(), col.link)
		require.NoError(t, err)
		require.Equal(t, a.Config.BaseURL, offer.CredentialIssuer)
	}
	anchor := regexp.MustCompile(`<a href="([^"]+)"`).FindStringSubmatch(a.get(col.path(), "User-Agent", desktop).body)
	require.NotNil(t, anchor)
	link, err := oid4vci.ParseOfferLink(anchor[1])
	require.NoError(t, err)
	require.Equal(t, a.web.URL+"/oid4vci/offers/"+col.token(), link.OfferURI)
	require.NotEmpty(t, a.collect(col))

	got := a.get(col.path())
	require.Equal(t, http.StatusNotFound, got.status, "collected")
	require.Contains(t, got.body, "This link does not work")
}

func TestPageOfAnOfferThatIsOver(t *testing.T) {
	a := newAuthority(t)
	profile := a.Profile(t, "mdl")
	check := func(t *testing.T, path string, status int, title, titel string) {
		t.Helper()
		got := a.get(path)
		require.Equal(t, status, got.status)
		require.Contains(t, got.body, "<h1>"+title+"</h1>")
		require.NotContains(t, got.body, oid4vci.OfferScheme)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		require.NotEmpty(t, got.header.Get("Content-Security-Policy"))
		require.Contains(t, a.get(path, "Accept-Language", "de").body, "<h1>"+titel+"</h1>")
		picture := a.get(path + "/qr.png")
		require.Equal(t, status, picture.status)
		require.Empty(t, picture.body)
	}
	t.Run("unknown", func(t *testing.T) {
		check(t, "/c/unknown", http.StatusNotFound, "This link does not work", "Dieser Link funktioniert nicht")
	})
	t.Run("locked", func(t *testing.T) {
		col := a.newCollection(profile)
		offer, err := a.Issuer.Offer(t.Context(), col.token())
		require.NoError(t, err)
		for range domain.DefaultSettings().AuthenticationCodeAttempts {
			_, err := a.Issuer.Redeem(t.Context(), offer.PreAuthorizedCode, "wrong", "192.0.2.1")
			require.Error(t, err)
		}
		check(t, col.path(), http.StatusLocked, "Your document is locked", "Ihr Dokument ist gesperrt")
	})
	t.Run("replaced", func(t *testing.T) {
		col := a.newCollection(profile)
		_, err := a.Issuer.Resend(t.Context(), a.Admin(), col.request.ID)
		require.NoError(t, err)
		check(t, col.path(), http.StatusNotFound, "This link does not work", "Dieser Link funktioniert nicht")
	})
	t.Run("expired", func(t *testing.T) {
		col := a.newCollection(profile)
		a.Clock.Advance(365 * 24 * time.Hour)
		check(t, col.path(), http.StatusGone, "The time to collect your document is over", "Die Zeit zum Abholen Ihres Dokuments ist vorbei")
	})
	t.Run("our fault", func(t *testing.T) {
		col := a.newCollection(profile)
		require.NoError(t, a.Store.Close())
		check(t, col.path(), http.StatusInternalServerError, "Something went wrong on our side", "Bei uns ist etwas schiefgegangen")
		require.Contains(t, a.Logs.String(), "collection page failed")
		require.NotContains(t, a.Logs.String(), col.token())
	})
}

func TestQRLeadsToItsOwnAddress(t *testing.T) {
	a := newAuthority(t)
	b := newAuthority(t, func(c *issuer.Config) { c.QRBaseURL = "https://lan.example:8443" })
	c := newAuthority(t, func(c *issuer.Config) { c.QRBaseURL = "https://lan.example:8443" })
	c.change(func(s *domain.Settings) { s.QRBaseURL = "https://other.example" }) // goes before the configuration
	pictures := map[string]bool{}
	for _, at := range []*authority{a, b, c} {
		col := at.newCollection(at.Profile(t, "mdl"))
		got := at.get(col.path() + "/qr.png")
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, "image/png", got.header.Get("Content-Type"))
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		picture, err := png.Decode(bytes.NewReader([]byte(got.body)))
		require.NoError(t, err)
		size := picture.Bounds()
		require.Equal(t, size.Dx(), size.Dy())
		require.Zero(t, (size.Dx()/8-8-17)%4, "a QR code has 17+4n modules on a side, here with a quiet zone of 4 and 8 pixels each")
		r, _, _, _ := picture.At(31, 31).RGBA()
		require.NotZero(t, r, "quiet zone")
		r, _, _, _ = picture.At(32, 32).RGBA()
		require.Zero(t, r, "finder pattern")
		pictures[got.body] = true
		require.Contains(t, at.get(col.path(), "User-Agent", desktop).body, ` d="`+svgPath(picture)+`"`, "the page shows the same code")
		require.Contains(t, at.get(col.path()).body, "credential_offer_uri=http%3A%2F%2F127.0.0.1", "the link is for this device")
	}
	require.Len(t, pictures, 3)
}

// The setting for links moves the page's link and, where no other address is set for it, the QR code; not the issuer, which the offer names.
func TestLinksLeadToThePublicAddress(t *testing.T) {
	a := newAuthority(t)
	col := a.newCollection(a.Profile(t, "mdl"))
	before := a.get(col.path() + "/qr.png").body
	a.change(func(s *domain.Settings) { s.PublicBaseURL = "https://wallet.example" })
	page := a.get(col.path()).body
	require.Contains(t, page, "credential_offer_uri=https%3A%2F%2Fwallet.example%2F")
	require.Contains(t, page, "credential_issuer%22%3A%22http%3A%2F%2F127.0.0.1", "the offer by value names the issuer as it is configured")
	require.NotEqual(t, before, a.get(col.path()+"/qr.png").body)
	require.True(t, strings.HasPrefix(a.newCollection(a.Profile(t, "other")).link, "https://wallet.example/c/"))
}

// change changes the settings.
func (a *authority) change(change func(*domain.Settings)) {
	a.t.Helper()
	s, err := a.Issuer.Settings(a.t.Context(), a.Admin())
	require.NoError(a.t, err)
	change(&s)
	_, err = a.Issuer.ChangeSettings(a.t.Context(), a.Admin(), s)
	require.NoError(a.t, err)
}

// svgPath draws a picture of 8 pixels a module and 4 modules of quiet zone as the page does.
func svgPath(picture image.Image) string {
	var path strings.Builder
	modules := picture.Bounds().Dx()/8 - 8
	dark := func(x, y int) bool {
		if x == modules {
			return false
		}
		r, _, _, _ := picture.At((x+4)*8+4, (y+4)*8+4).RGBA()
		return r == 0
	}
	for y := range modules {
		start := -1
		for x := range modules + 1 {
			switch {
			case dark(x, y) && start < 0:
				start = x
			case !dark(x, y) && start >= 0:
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", start, y, x-start, x-start)
				start = -1
			}
		}
	}
	return path.String()
}
