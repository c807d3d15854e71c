package notify

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxAnswer bounds what is kept of a gateway's answer.
	maxAnswer = 2048
	removed   = "[removed]"
	// echoLetters is how many letters and digits in a row an answer may share with a private text before it counts as an echo.
	echoLetters = 10
	// echoDigits is the same for digits alone: half an authentication code, or the end of a number as gateways like to show it.
	echoDigits = 4
)

var addressPattern = regexp.MustCompile(`[^\s<>"'(),;:=@]+@[^\s<>"'(),;:=@]+`)

// scrub makes an answer fit for the records: bounded, printable, and without e-mail addresses and whatever it echoes of the
// private texts (recipient, content, credentials), even in part, escaped or grouped differently.
func scrub(answer string, private ...string) string {
	answer = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(answer, ""))
	// What the end cuts off need not be searched; an echo across the cut is long enough to be seen on this side of it.
	answer = cut(answer, 2*maxAnswer)
	answer = addressPattern.ReplaceAllString(answer, removed)

	drop := make([]bool, len(answer))
	markEchoes(drop, answer, private, projectLetters, echoLetters)
	markEchoes(drop, answer, private, projectDigits, echoDigits)
	var kept strings.Builder
	for i := range len(answer) {
		switch {
		case !drop[i]:
			kept.WriteByte(answer[i])
		case i == 0 || !drop[i-1]:
			kept.WriteString(removed)
		}
	}
	return cut(strings.TrimSpace(kept.String()), maxAnswer)
}

// projection is what a comparison looks at of a text, and where each character begins in it.
type projection struct {
	characters []rune
	offsets    []int
}

// gap stands in a projection where what is before and behind it does not belong together.
const gap rune = 0

// projectLetters keeps letters and digits in lower case; whatever is between them may be escaping.
func projectLetters(text string) projection {
	var p projection
	for offset, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			p.characters, p.offsets = append(p.characters, unicode.ToLower(r)), append(p.offsets, offset)
		}
	}
	return p
}

// projectDigits keeps runs of digits, which may be grouped in the ways of numbers and codes.
func projectDigits(text string) projection {
	var p projection
	for offset, r := range text {
		switch {
		case r >= '0' && r <= '9':
			p.characters, p.offsets = append(p.characters, r), append(p.offsets, offset)
		case !strings.ContainsRune(" ().+/-", r):
			p.characters, p.offsets = append(p.characters, gap), append(p.offsets, offset)
		}
	}
	return p
}

// markEchoes marks every stretch of answer that shares length characters in a row with a private text, or all of a shorter one.
func markEchoes(drop []bool, answer string, private []string, project func(string) projection, length int) {
	echoes := make(map[string]struct{})
	lengths := make(map[int]struct{})
	for _, text := range private {
		characters := project(text).characters
		size := min(len(characters), length)
		if size < echoDigits {
			continue // too short to be told from the gateway's own words
		}
		lengths[size] = struct{}{}
		for start := 0; start+size <= len(characters); start++ {
			echoes[string(characters[start:start+size])] = struct{}{}
		}
	}
	found := project(answer)
	for size := range lengths {
		for start := 0; start+size <= len(found.characters); start++ {
			window := string(found.characters[start : start+size])
			if _, echo := echoes[window]; !echo || strings.ContainsRune(window, gap) {
				continue
			}
			last := found.offsets[start+size-1]
			_, width := utf8.DecodeRuneInString(answer[last:])
			for i := found.offsets[start]; i < last+width; i++ {
				drop[i] = true
			}
		}
	}
}

// cut shortens a text to a number of bytes without breaking a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
