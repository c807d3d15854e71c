package mdm

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const placeholder = "{id}"

// address makes the URL of a device.
type address struct {
	parts  []addressPart
	suffix string // what follows the last id
}

// addressPart is what precedes an id, and how the id is written behind it.
type addressPart struct {
	prefix string
	quoted bool // within single quotes
}

// sampleID has what must be encoded in path and query, and in a literal of OData.
const sampleID = `a/b?c#d&e=f+g %h'i"é`

// parseAddress checks the template, and that an id can neither leave its place in it nor change the host.
func parseAddress(base, path string) (address, error) {
	if !strings.HasPrefix(path, "/") {
		return address{}, errors.New("must begin with /")
	}
	if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r > '~' }) || strings.ContainsAny(path, `#\"<>`) {
		return address{}, errors.New("must be ASCII without #, \\, \", < and >")
	}
	route, query, hasQuery := strings.Cut(path, "?")
	if strings.Contains(route, " ") {
		return address{}, errors.New("must have no spaces before the query")
	}
	if _, err := url.QueryUnescape(query); err != nil {
		return address{}, errors.New("has a % in its query that does not begin an escape: write %25")
	}
	text := strings.TrimRight(base, "/") + route
	if hasQuery {
		text += "?" + strings.ReplaceAll(query, " ", "%20")
	}
	pieces := strings.Split(text, placeholder)
	if len(pieces) == 1 {
		return address{}, errors.New("must have {id} in it")
	}
	if strings.ContainsAny(strings.Join(pieces, ""), "{}") {
		return address{}, errors.New("must have no braces but those of {id}")
	}
	var made address
	for i, piece := range pieces[1:] {
		quoted := strings.HasSuffix(pieces[i], "'") && strings.HasPrefix(piece, "'")
		made.parts = append(made.parts, addressPart{prefix: pieces[i], quoted: quoted})
		made.suffix = piece
	}
	want, err := url.Parse(base)
	if err != nil {
		return address{}, errors.New("does not follow a URL")
	}
	got, err := url.Parse(made.of(sampleID))
	if err != nil || got.Host != want.Host || got.Scheme != want.Scheme {
		return address{}, errors.New("does not make a URL")
	}
	// A path with characters that are not allowed in one is encoded anew when it is sent, and an encoded slash of the id would be lost.
	if !strings.HasSuffix(made.of(sampleID), got.RequestURI()) {
		return address{}, errors.New("has characters that must be percent-encoded")
	}
	return made, nil
}

// of writes an id into its places. Everything is encoded that RFC 3986 does not count as unreserved.
func (a address) of(id string) string {
	var target strings.Builder
	for _, part := range a.parts {
		value := id
		if part.quoted {
			value = strings.ReplaceAll(value, "'", "''")
		}
		target.WriteString(part.prefix)
		target.WriteString(strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
	target.WriteString(a.suffix)
	return target.String()
}

const maxID = 600 // bytes: 150 characters of up to four

// checkID refuses ids that no encoding keeps in their place: proxies decode and tidy paths, so that "x/.." would ask for something else.
func checkID(id string) error {
	refused := len(id) > maxID || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl)
	for part := range strings.FieldsFuncSeq(id, func(r rune) bool { return r == '/' || r == '\\' }) {
		refused = refused || part == "." || part == ".."
	}
	if refused {
		return fmt.Errorf("%w: the external mobile id cannot be that of a device", ErrConfiguration)
	}
	return nil
}
