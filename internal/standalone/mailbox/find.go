package mailbox

import "regexp"

var (
	collectionLink     = regexp.MustCompile(`https?://\S+/c/[A-Za-z0-9_-]+`)
	authenticationCode = regexp.MustCompile(`\b\d{4} \d{4}\b`)
)

// FindLink gives the collection link in the text of a message, or nothing.
func FindLink(text string) string { return collectionLink.FindString(text) }

// FindCode gives the authentication code in the text of a message, eight digits in two groups as the shipped templates and default settings have
// it, or nothing.
func FindCode(text string) string { return authenticationCode.FindString(text) }
