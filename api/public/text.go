package public

import (
	"fmt"
	"net/http"
	"time"

	"golang.org/x/text/language"
)

// text is the collection page in one language. Nothing in it is about the person.
type text struct {
	Language       string // BCP 47
	Ready          string
	Open           string
	Scan           string
	QRLabel        string
	ThisDevice     string
	NothingHappens string
	OtherWay       string
	codeFormat     string // takes the number of digits
	Until          string
	timeLayout     string

	unknown, expired, locked, failed notice
}

// notice is what stands on the page instead of an offer.
type notice struct{ Title, Body string }

// Code says that the code comes by itself.
func (t *text) Code(digits int) string { return fmt.Sprintf(t.codeFormat, digits) }

// Time writes an instant in UTC.
func (t *text) Time(at time.Time) string { return at.UTC().Format(t.timeLayout) }

// notice gives what to say with an error status.
func (t *text) notice(status int) *notice {
	switch status {
	case http.StatusNotFound:
		return &t.unknown
	case http.StatusGone:
		return &t.expired
	case http.StatusLocked:
		return &t.locked
	default:
		return &t.failed
	}
}

// texts are the languages of the page; the first is for visitors who read none of them.
var texts = []*text{
	{
		Language:       "en",
		Ready:          "Your document is ready to be added to your wallet.",
		Open:           "Open in my wallet app",
		Scan:           "Scan this code with your wallet app or with the camera of your phone.",
		QRLabel:        "QR code that opens the wallet app",
		ThisDevice:     "Is your wallet on this device?",
		NothingHappens: "If nothing happens, install your wallet app first and come back to this page.",
		OtherWay:       "Try another way to open it",
		codeFormat: "Your wallet will ask for a code of %d digits. The code reaches you separately; it is not on this page. " +
			"Type it only into your wallet and never tell it to anybody.",
		Until:      "You can collect your document until",
		timeLayout: "2 January 2006, 15:04 UTC",
		unknown: notice{"This link does not work",
			"It was already used, was replaced by a newer one, or is not complete. Open the link in your latest message. " +
				"If that does not help, ask the office that issues your document for a new one."},
		expired: notice{"The time to collect your document is over",
			"Ask the office that issues your document for a new link."},
		locked: notice{"Your document is locked",
			"Too many wrong codes were entered. Ask the office that issues your document for a new link and code."},
		failed: notice{"Something went wrong on our side",
			"Your document is not lost. Open the link again in a few minutes."},
	},
	{
		Language:       "de",
		Ready:          "Ihr Dokument kann jetzt in Ihre Wallet aufgenommen werden.",
		Open:           "In meiner Wallet-App öffnen",
		Scan:           "Scannen Sie diesen Code mit Ihrer Wallet-App oder mit der Kamera Ihres Telefons.",
		QRLabel:        "QR-Code, der die Wallet-App öffnet",
		ThisDevice:     "Ist Ihre Wallet auf diesem Gerät?",
		NothingHappens: "Wenn nichts geschieht, installieren Sie zuerst Ihre Wallet-App und kehren Sie auf diese Seite zurück.",
		OtherWay:       "Auf andere Weise öffnen",
		codeFormat: "Ihre Wallet wird nach einem Code mit %d Ziffern fragen. Sie erhalten den Code getrennt; er steht nicht auf dieser Seite. " +
			"Geben Sie ihn nur in Ihrer Wallet ein und nennen Sie ihn niemandem.",
		Until:      "Sie können Ihr Dokument abholen bis",
		timeLayout: "02.01.2006, 15:04 UTC",
		unknown: notice{"Dieser Link funktioniert nicht",
			"Er wurde schon benutzt, durch einen neueren ersetzt oder ist nicht vollständig. Öffnen Sie den Link in Ihrer neuesten Nachricht. " +
				"Wenn das nicht hilft, bitten Sie die ausstellende Stelle um einen neuen."},
		expired: notice{"Die Zeit zum Abholen Ihres Dokuments ist vorbei",
			"Bitten Sie die ausstellende Stelle um einen neuen Link."},
		locked: notice{"Ihr Dokument ist gesperrt",
			"Es wurden zu viele falsche Codes eingegeben. Bitten Sie die ausstellende Stelle um einen neuen Link und Code."},
		failed: notice{"Bei uns ist etwas schiefgegangen",
			"Ihr Dokument ist nicht verloren. Öffnen Sie den Link in einigen Minuten noch einmal."},
	},
}

var matcher = func() language.Matcher {
	tags := make([]language.Tag, len(texts))
	for i, t := range texts {
		tags[i] = language.Make(t.Language)
	}
	return language.NewMatcher(tags)
}()

// textFor picks the language by an Accept-Language header.
func textFor(acceptLanguage string) *text {
	_, i := language.MatchStrings(matcher, acceptLanguage)
	return texts[i]
}
