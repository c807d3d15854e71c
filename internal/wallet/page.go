package wallet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// maxPage bounds a collection page, in bytes.
const maxPage = 512 << 10

// relOffer marks the link element of a collection page that carries the deep link.
const relOffer = oid4vci.OfferScheme

// findOfferLink searches a page for <link rel="openid-credential-offer" href="…">, or else for the first anchor whose
// address is a link to an offer.
func findOfferLink(page []byte) (oid4vci.OfferLink, error) {
	var anchor *oid4vci.OfferLink
	tokens := html.NewTokenizer(bytes.NewReader(page))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			if err := tokens.Err(); !errors.Is(err, io.EOF) {
				return oid4vci.OfferLink{}, fmt.Errorf("%w: page: %w", ErrBadAnswer, err)
			}
			if anchor == nil {
				return oid4vci.OfferLink{}, fmt.Errorf("%w: the page has no link to an offer", ErrBadAnswer)
			}
			return *anchor, nil
		case html.StartTagToken, html.SelfClosingTagToken:
			element := tokens.Token()
			isLink := element.DataAtom == atom.Link && slices.Contains(strings.Fields(attribute(element, "rel")), relOffer)
			if !isLink && (element.DataAtom != atom.A || anchor != nil) {
				continue
			}
			parsed, err := oid4vci.ParseOfferLink(attribute(element, "href"))
			if isLink {
				return parsed, err
			}
			if err == nil {
				anchor = &parsed
			}
		case html.TextToken, html.EndTagToken, html.CommentToken, html.DoctypeToken:
		}
	}
}

func attribute(element html.Token, name string) string {
	for _, a := range element.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
