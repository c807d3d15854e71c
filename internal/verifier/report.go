package verifier

import (
	"slices"
	"strings"

	"github.com/mdocket/mdocket/internal/mdoc"
)

// CheckStatus is the check that a document is neither revoked nor suspended. It comes after those of internal/mdoc.
const CheckStatus mdoc.Check = "status"

// CheckNames lists every check in the order in which results have them.
func CheckNames() []mdoc.Check {
	return []mdoc.Check{mdoc.CheckChain, mdoc.CheckSignature, mdoc.CheckDigests, mdoc.CheckDocType, mdoc.CheckValidity, mdoc.CheckDevice,
		CheckStatus}
}

// Outcome is how a check went.
type Outcome string

// The outcomes. What was not checked counts neither for nor against a document, but for the status: a document of unknown status is not
// valid.
const (
	OutcomeOK         Outcome = "ok"
	OutcomeFailed     Outcome = "failed"
	OutcomeNotChecked Outcome = "not_checked"
)

// Check is how one check went. Problem says why it failed or was not made; it repeats nothing of the document.
type Check struct {
	Check   mdoc.Check `json:"check"`
	Outcome Outcome    `json:"outcome"`
	Problem string     `json:"problem,omitempty"`
}

// Report is what may be told of a verification: no data element, and of the bytes that were presented nothing but the docType of a document
// whose issuer is proved.
type Report struct {
	Valid     bool             `json:"valid"` // every document is
	Documents []DocumentReport `json:"documents"`
}

// DocumentReport is the part of a report on one document.
type DocumentReport struct {
	DocType string  `json:"doc_type,omitempty"` // empty unless the document holds
	Valid   bool    `json:"valid"`
	Checks  []Check `json:"checks"`
}

// NewReport makes the report on results; without any it is not valid.
func NewReport(results []Result) Report {
	out := Report{Valid: len(results) > 0, Documents: make([]DocumentReport, len(results))}
	for i, r := range results {
		out.Documents[i] = DocumentReport{Valid: r.OK(), Checks: r.Checks}
		if r.Verified != nil {
			out.Documents[i].DocType = r.Verified.MSO.DocType
		}
		out.Valid = out.Valid && r.OK()
	}
	return out
}

// checks sorts what was found by check. device is how the device's check went if no problem names it.
func checks(r Result, presented bool, device Check) []Check {
	out := make([]Check, 0, len(CheckNames()))
	for _, name := range CheckNames() {
		c := Check{Check: name, Outcome: OutcomeOK}
		switch {
		case name == CheckStatus:
			c = statusCheck(r)
		case slices.ContainsFunc(r.Problems, func(p mdoc.Problem) bool { return p.Check == name }):
			c.Outcome, c.Problem = OutcomeFailed, explain(name, r.Problems)
		case name == mdoc.CheckDevice:
			c = device
		case name == mdoc.CheckDocType && !presented:
			c.Outcome, c.Problem = OutcomeNotChecked, "the document alone was given: nothing says which docType it should have"
		}
		out = append(out, c)
	}
	return out
}

// explain says why a check failed. Problems of digests and of the device may name what the document chose, so they are told in general; of
// the others the first words are ours.
func explain(name mdoc.Check, problems []mdoc.Problem) string {
	switch name {
	case mdoc.CheckDigests:
		return "a data element is not the one that was signed, or occurs twice"
	case mdoc.CheckDevice:
		return "the session is not signed by the device the document was issued to"
	default:
	}
	var texts []string
	for _, p := range problems {
		if p.Check == name {
			text, _, _ := strings.Cut(p.Detail, ":")
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "; ")
}

func statusCheck(r Result) Check {
	c := Check{Check: CheckStatus}
	switch r.Status {
	case StatusValid:
		c.Outcome = OutcomeOK
	case StatusInvalid, StatusSuspended:
		c.Outcome, c.Problem = OutcomeFailed, "the status is "+string(r.Status)
	case StatusNone:
		c.Outcome, c.Problem = OutcomeNotChecked, "the document names no status list"
	case StatusUnknown:
		c.Outcome, c.Problem = OutcomeNotChecked, "the status could not be found out"
		if r.Verified == nil {
			c.Problem = "the document does not hold"
		}
	}
	return c
}
