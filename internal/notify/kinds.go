package notify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Kind names what a message is about; it is the first part of the template's file name.
type Kind string

// The kinds.
const (
	KindCollectionLink     Kind = "collection_link"     // e-mail
	KindAuthenticationCode Kind = "authentication_code" // e-mail and SMS
	KindLogonCode          Kind = "logon_code"          // e-mail and SMS
	KindApprovalReminder   Kind = "approval_reminder"   // e-mail
	KindOutcomeSuccess     Kind = "outcome_success"     // e-mail
	KindOutcomeFailure     Kind = "outcome_failure"     // e-mail
	KindReprovision        Kind = "reprovision"         // e-mail
	KindExpiryReminder     Kind = "expiry_reminder"     // e-mail
	KindCancellation       Kind = "cancellation"        // e-mail
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{KindCollectionLink, KindAuthenticationCode, KindLogonCode, KindApprovalReminder, KindOutcomeSuccess, KindOutcomeFailure,
		KindReprovision, KindExpiryReminder, KindCancellation}
}

// Parts lists the endings of a kind's template files: "subject.txt", "text.txt", "html.html" of the e-mail and, for kinds that
// go by SMS too, "sms.txt". An unknown kind has none.
func (k Kind) Parts() []string { return slices.Clone(kinds[k].parts) }

// Fields lists, in the order of the alphabet, what the templates of a kind may use. An unknown kind has none.
func (k Kind) Fields() []string {
	for _, sample := range kinds[k].samples {
		if values, err := sample.values(fallbackLanguage); err == nil {
			return slices.Sorted(maps.Keys(values))
		}
	}
	return nil
}

// Samples gives made-up data of a kind: first the usual case, then those that take other branches of the templates, such as
// optional fields unset and every cause. An unknown kind has none.
func (k Kind) Samples() []Data { return slices.Clone(kinds[k].samples) }

// ErrKind is an unknown kind.
var ErrKind = errors.New("not a kind of message")

// Preview renders a kind with the first of its [Kind.Samples], as [Templates.Render] does. Errors: [ErrKind].
func (t *Templates) Preview(language string, kind Kind) (Rendered, error) {
	samples := kinds[kind].samples
	if len(samples) == 0 {
		return Rendered{}, fmt.Errorf("preview message: %w", ErrKind)
	}
	return t.Render(language, samples[0])
}

// kindInfo is what the check of templates knows of a kind.
type kindInfo struct {
	parts []string
	// required is the field without which the message has no point.
	required string
	// words are the values of enumerated fields. Templates choose their own words for them, in their own language.
	words map[string][]string
	// samples cover every word, and optional fields set and unset.
	samples []Data
}

var (
	emailParts = []string{partSubject, partText, partHTML}
	allParts   = []string{partSubject, partText, partHTML, partSMS}
	// privateFields must not be seen on a locked screen, where notifications show subjects.
	privateFields = []string{fieldLink, fieldCode, fieldReview}
)

const (
	sampleServer   = "Sample Authority"
	sampleDocument = "Sample Licence"
	sampleName     = "Ada"
)

var (
	sampleTime = time.Date(2026, time.March, 14, 15, 9, 0, 0, time.UTC)

	kinds = map[Kind]kindInfo{
		KindCollectionLink: {
			parts: emailParts, required: fieldLink,
			samples: []Data{
				CollectionLink{sampleServer, sampleName, sampleDocument, "https://issuer.example/collect/sample", sampleTime},
				CollectionLink{sampleServer, "", sampleDocument, "https://issuer.example/collect/sample", sampleTime},
			},
		},
		KindAuthenticationCode: {
			parts: allParts, required: fieldCode,
			samples: []Data{AuthenticationCode{sampleServer, sampleDocument, "90817263", sampleTime}},
		},
		KindLogonCode: {
			parts: allParts, required: fieldCode,
			samples: []Data{
				LogonCode{sampleServer, "ada", "k7#Vm+w2=Tx9", sampleTime},
				LogonCode{sampleServer, "", "908172635544", time.Time{}},
			},
		},
		KindApprovalReminder: {
			parts: emailParts, required: fieldReview,
			samples: []Data{ApprovalReminder{
				sampleServer, sampleDocument, "sample-request", sampleTime, sampleTime.Add(time.Hour), "https://issuer.example/review/sample",
			}},
		},
		KindOutcomeSuccess: {
			parts: emailParts, required: fieldDocument,
			samples: []Data{
				OutcomeSuccess{sampleServer, sampleName, sampleDocument, sampleTime},
				OutcomeSuccess{sampleServer, "", sampleDocument, sampleTime},
			},
		},
		KindOutcomeFailure: {
			parts: emailParts, required: fieldDocument, words: map[string][]string{fieldCause: words(FailureCauses())},
			samples: samplesOf(FailureCauses(), func(name string, cause FailureCause) Data {
				return OutcomeFailure{sampleServer, name, sampleDocument, cause}
			}),
		},
		KindReprovision: {
			parts: emailParts, required: fieldDocument,
			samples: []Data{
				Reprovision{sampleServer, sampleName, sampleDocument, sampleTime},
				Reprovision{sampleServer, "", sampleDocument, time.Time{}},
			},
		},
		KindExpiryReminder: {
			parts: emailParts, required: "ValidUntil",
			samples: []Data{
				ExpiryReminder{sampleServer, sampleName, sampleDocument, sampleTime, 14},
				ExpiryReminder{sampleServer, sampleName, sampleDocument, sampleTime, 1},
				ExpiryReminder{sampleServer, "", sampleDocument, sampleTime, 0},
			},
		},
		KindCancellation: {
			parts: emailParts, required: fieldDocument, words: map[string][]string{fieldCause: words(CancelCauses())},
			samples: samplesOf(CancelCauses(), func(name string, cause CancelCause) Data {
				return Cancellation{sampleServer, name, sampleDocument, sampleTime, cause}
			}),
		},
	}
)

// samplesOf makes a sample for every cause, and one without a name.
func samplesOf[C ~string](causes []C, sample func(name string, cause C) Data) []Data {
	all := make([]Data, 0, len(causes)+1)
	for _, cause := range causes {
		all = append(all, sample(sampleName, cause))
	}
	return append(all, sample("", causes[0]))
}

func words[C ~string](causes []C) []string {
	all := make([]string, 0, len(causes))
	for _, cause := range causes {
		all = append(all, string(cause))
	}
	return all
}
