package notify_test

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/notify"
)

const document, authority = "Driving Licence", "City of A & B"

// TestNamesAreTheDomains holds the lists of this package, which knows nothing of mdocket, to those of the domain.
func TestNamesAreTheDomains(t *testing.T) {
	var kinds []domain.MessageKind
	for _, kind := range notify.Kinds() {
		kinds = append(kinds, domain.MessageKind(kind))
	}
	require.Equal(t, domain.MessageKinds(), kinds)

	var cancelReasons []domain.CancelReason
	for _, cause := range notify.CancelCauses() {
		cancelReasons = append(cancelReasons, domain.CancelReason(cause))
	}
	require.Equal(t, domain.CancelReasons(), cancelReasons)

	var failures, ended []domain.RequestState
	for _, cause := range notify.FailureCauses() {
		failures = append(failures, domain.RequestState(cause))
	}
	for _, state := range domain.RequestStates() {
		if !state.Open() && state != domain.RequestIssued {
			ended = append(ended, state)
		}
	}
	require.ElementsMatch(t, ended, failures, "every end of a request without a document")
}

func TestShippedLanguagesAreComplete(t *testing.T) {
	templates := load(t, nil)
	require.Equal(t, []string{"de", "en"}, templates.Languages())
	names := make(map[string]bool)
	for _, file := range templates.Files() {
		require.False(t, file.Operator)
		names[file.Name] = true
	}
	for _, kind := range notify.Kinds() {
		require.NotEmpty(t, kind.Parts())
		require.NotEmpty(t, kind.Fields())
		for _, part := range kind.Parts() {
			for _, language := range templates.Languages() {
				require.True(t, names[language+"/"+string(kind)+"."+part], "%s %s %s", language, kind, part)
			}
		}
	}
	require.Empty(t, notify.Kind("fax").Parts())
	require.Empty(t, notify.Kind("fax").Fields())
	require.Empty(t, notify.Kind("fax").Samples())
}

func TestFieldsHoldOnlyWhatIsNeeded(t *testing.T) {
	document := []string{"DocumentName", "GivenName", "ServerName"}
	for kind, want := range map[notify.Kind][]string{
		notify.KindCollectionLink:     append([]string{"Deadline", "Link"}, document...),
		notify.KindAuthenticationCode: {"Code", "DocumentName", "ServerName", "ValidUntil"},
		notify.KindLogonCode:          {"Code", "LogonName", "ServerName", "ValidUntil"},
		notify.KindApprovalReminder:   {"Deadline", "DocumentName", "RequestID", "ReviewURL", "ServerName", "WaitingSince"},
		notify.KindOutcomeSuccess:     append([]string{"ValidUntil"}, document...),
		notify.KindOutcomeFailure:     append([]string{"Cause"}, document...),
		notify.KindReprovision:        append([]string{"Deadline"}, document...),
		notify.KindExpiryReminder:     append([]string{"DaysLeft", "ValidUntil"}, document...),
		notify.KindCancellation:       append([]string{"CanceledAt", "Cause"}, document...),
	} {
		require.ElementsMatch(t, want, kind.Fields(), kind)
	}
}

var anyLink = regexp.MustCompile(`(?i)://|www\.|href=|src=|mailto:`)

// TestShippedTextsOfEverySample goes through all branches of all shipped templates.
func TestShippedTextsOfEverySample(t *testing.T) {
	templates := load(t, nil)
	for _, language := range templates.Languages() {
		for _, kind := range notify.Kinds() {
			linked := kind == notify.KindCollectionLink || kind == notify.KindApprovalReminder
			for _, sample := range kind.Samples() {
				got, err := templates.Render(language, sample)
				require.NoError(t, err)
				require.Equal(t, language, got.Language)
				require.Contains(t, got.HTML, `<html lang="`+language+`">`)
				whole := got.Subject + got.Text + got.HTML + got.SMS
				require.Equal(t, linked, anyLink.MatchString(whole), "%s %s", language, kind)
				for _, slip := range []string{"<no value>", "{{", "  \n", "\n\n\n", " .", " ,", ",,", "true", "false"} {
					require.NotContains(t, got.Subject+"\n"+got.Text+"\n"+got.SMS, slip, "%s %s", language, kind)
				}
				require.Less(t, len(got.SMS), 306, "two joined messages at the most, with short names")
				for line := range strings.SplitSeq(got.Text, "\n") {
					require.LessOrEqual(t, len([]rune(line)), 110, "%s %s", language, kind)
				}
				require.True(t, strings.HasSuffix(got.Text, "\n"))
			}
		}
	}
}

func TestEveryCauseHasItsOwnText(t *testing.T) {
	templates := load(t, nil)
	for _, language := range templates.Languages() {
		seen := make(map[string]bool)
		take := func(data notify.Data) {
			got, err := templates.Render(language, data)
			require.NoError(t, err)
			for _, text := range []string{got.Text, got.HTML} {
				require.False(t, seen[text], "%s %+v", language, data)
				seen[text] = true
			}
		}
		take(notify.OutcomeFailure{ServerName: authority, DocumentName: document, Cause: notify.FailureRejected})
		for _, cause := range notify.FailureCauses()[1:] {
			take(notify.OutcomeFailure{ServerName: authority, DocumentName: document, Cause: cause})
		}
		for _, cause := range notify.CancelCauses() {
			take(notify.Cancellation{ServerName: authority, DocumentName: document, CanceledAt: deadline, Cause: cause})
		}
		require.Len(t, seen, 2*(len(notify.FailureCauses())+len(notify.CancelCauses())))
	}
}

func TestTextsToHolders(t *testing.T) {
	templates := load(t, nil)
	logon := notify.LogonCode{ServerName: authority, LogonName: "ada", Code: `aB3<&"'+x#{}`, ValidUntil: deadline}
	endless := notify.LogonCode{ServerName: authority, Code: "0123456789"}
	success := notify.OutcomeSuccess{ServerName: authority, GivenName: "Ada", DocumentName: document, ValidUntil: deadline}
	failure := func(cause notify.FailureCause) notify.Data {
		return notify.OutcomeFailure{ServerName: authority, GivenName: "Ada", DocumentName: document, Cause: cause}
	}
	update := notify.Reprovision{ServerName: authority, GivenName: "Ada", DocumentName: document, Deadline: deadline}
	expiry := func(days int) notify.Data {
		return notify.ExpiryReminder{ServerName: authority, GivenName: "Ada", DocumentName: document, ValidUntil: deadline, DaysLeft: days}
	}
	cancellation := func(cause notify.CancelCause) notify.Data {
		return notify.Cancellation{ServerName: authority, GivenName: "Ada", DocumentName: document, CanceledAt: deadline, Cause: cause}
	}
	tests := []struct {
		name, language string
		data           notify.Data
		wantSubject    string
		wantText       []string // in text and HTML
		wantNot        []string
		wantSMS        string
	}{
		{
			"logon code", "en", logon, "City of A & B: your sign-in code",
			[]string{"ada", `aB3<&"'+x#{}`, "14 March 2026, 15:09 CET", "no link on purpose"}, nil,
			`City of A & B: aB3<&"'+x#{} is your code to sign in to self-service, valid until 14 March 2026, 15:09 CET. Never tell it to anybody.`,
		},
		{
			"logon code in German", "de", logon, "City of A & B: Ihr Anmeldecode",
			[]string{"ada", `aB3<&"'+x#{}`, "14. März 2026, 15:09 Uhr CET", "enthält absichtlich keinen Link"}, nil,
			`City of A & B: aB3<&"'+x#{} ist Ihr Code für die Anmeldung bei der Selbstbedienung, gültig bis 14. März 2026, 15:09 Uhr CET. ` +
				`Nennen Sie ihn niemandem.`,
		},
		{
			"logon code without an end", "en", endless, "City of A & B: your sign-in code",
			[]string{"0123456789", "exactly as it is shown."}, []string{"valid until", "A & B as"},
			"City of A & B: 0123456789 is your code to sign in to self-service. Never tell it to anybody.",
		},
		{
			"collected", "en", success, "City of A & B: your Driving Licence was collected",
			[]string{"Hello Ada,", "valid until 14 March 2026.", "If it was not you"}, []string{"15:09"}, "",
		},
		{
			"collected, in German", "de", success, "City of A & B: Driving Licence wurde abgeholt",
			[]string{"Guten Tag Ada,", "Es gilt bis 14. März 2026.", "sofort"}, []string{"15:09"}, "",
		},
		{
			"rejected", "en", failure(notify.FailureRejected), "City of A & B: your Driving Licence was not issued",
			[]string{"Hello Ada,", "examined and not approved."}, []string{"in time", "technical", "canceled"}, "",
		},
		{
			"request expired, in German", "de", failure(notify.FailureExpired), "City of A & B: Driving Licence wurde nicht ausgestellt",
			[]string{"Guten Tag Ada,", "nicht rechtzeitig abgeschlossen."}, []string{"genehmigt", "technisch", "abgebrochen"}, "",
		},
		{
			"update", "en", update, "City of A & B: an update of your Driving Licence is waiting",
			[]string{"Hello Ada,", "let it update the document", "before 14 March 2026, 15:09 CET."}, nil, "",
		},
		{
			"update without an end, in German", "de", notify.Reprovision{ServerName: authority, DocumentName: document},
			"City of A & B: Aktualisierung für Driving Licence liegt bereit",
			[]string{"Guten Tag,", "Öffnen Sie die Wallet"}, []string{"Zeitpunkt", "Ada"}, "",
		},
		{
			"expires", "en", expiry(30), "City of A & B: your Driving Licence is valid until 14 March 2026",
			[]string{"Hello Ada,", "That is in 30 days."}, []string{"today", "tomorrow", "15:09"}, "",
		},
		{
			"expires tomorrow, in German", "de", expiry(1), "City of A & B: Driving Licence gilt bis 14. März 2026",
			[]string{"Guten Tag Ada,", "Das ist morgen."}, []string{"heute", "Tagen", "15:09"}, "",
		},
		{
			"expires today", "en", expiry(0), "City of A & B: your Driving Licence is valid until 14 March 2026",
			[]string{"That is today."}, nil, "",
		},
		{
			"canceled", "en", cancellation(notify.CancelStolen), "City of A & B: your Driving Licence was canceled",
			[]string{"Hello Ada,", "canceled on 14 March 2026, 15:09 CET.", "It was reported stolen."}, []string{"lost", "damaged"}, "",
		},
		{
			"canceled, in German", "de", cancellation(notify.CancelWithdrawn), "City of A & B: Driving Licence ist nicht mehr gültig",
			[]string{"Guten Tag Ada,", "14. März 2026, 15:09 Uhr CET.", "City of A & B hat es zurückgezogen."}, []string{"gestohlen"}, "",
		},
	}
	tags := regexp.MustCompile(`</?strong>`)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := templates.Render(test.language, test.data)
			require.NoError(t, err)
			require.Equal(t, test.wantSubject, got.Subject)
			require.Equal(t, test.wantSMS, got.SMS)
			_, body, _ := strings.Cut(got.HTML, "<body")
			shown := html.UnescapeString(tags.ReplaceAllString(body, ""))
			for _, want := range test.wantText {
				require.Contains(t, got.Text, want)
				require.Contains(t, shown, want)
			}
			for _, not := range test.wantNot {
				require.NotContains(t, got.Text, not)
				require.NotContains(t, shown, not)
			}
			require.Contains(t, got.HTML, "City of A &amp; B")
		})
	}
}

func TestRenderRefusesBadDataOfHolders(t *testing.T) {
	templates := load(t, nil)
	logon := notify.LogonCode{ServerName: "S", Code: "12345678"}
	tests := map[string]struct {
		data notify.Data
		want string
	}{
		"logon code too short":    {notify.LogonCode{ServerName: "S", Code: "abc"}, "Code is not 4 to 64"},
		"logon code too long":     {notify.LogonCode{ServerName: "S", Code: strings.Repeat("a", 65)}, "Code is not 4 to 64"},
		"logon code with a space": {notify.LogonCode{ServerName: "S", Code: "secret secret"}, "Code is not"},
		"logon code with a break": {notify.LogonCode{ServerName: "S", Code: "secret\nsecret"}, "Code is not"},
		"logon code not ASCII":    {notify.LogonCode{ServerName: "S", Code: "secretÄ"}, "Code is not"},
		"logon code, no server":   {notify.LogonCode{Code: logon.Code}, "ServerName is missing"},
		"link beside a logon code": {
			notify.LogonCode{ServerName: "S", LogonName: "https://secret", Code: logon.Code}, "LogonName contains a link",
		},
		"collected, no end": {notify.OutcomeSuccess{ServerName: "S", DocumentName: "D"}, "ValidUntil is missing"},
		"no cause":          {notify.OutcomeFailure{ServerName: "S", DocumentName: "D"}, "Cause is not one of those known"},
		"cause that is none": {
			notify.OutcomeFailure{ServerName: "S", DocumentName: "D", Cause: "secret"}, "Cause is not one of those known",
		},
		"update of nothing": {notify.Reprovision{ServerName: "S"}, "DocumentName is missing"},
		"expired before": {
			notify.ExpiryReminder{ServerName: "S", DocumentName: "D", ValidUntil: deadline, DaysLeft: -1}, "DaysLeft is negative",
		},
		"cancellation, no time": {
			notify.Cancellation{ServerName: "S", DocumentName: "D", Cause: "lost"}, "CanceledAt is missing",
		},
		"cancellation, bad cause": {
			notify.Cancellation{ServerName: "S", DocumentName: "D", CanceledAt: deadline, Cause: "secret"}, "Cause is not one of those known",
		},
		"link in a given name": {
			notify.Cancellation{ServerName: "S", GivenName: "http://secret", DocumentName: "D", CanceledAt: deadline, Cause: "lost"},
			"GivenName contains a link",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := templates.Render("en", test.data)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "secret")
			require.Empty(t, got)
		})
	}
	for _, code := range []string{
		strings.Repeat("~", domain.MinLogonCode), strings.Repeat("9", domain.MaxLogonCode), "Aa" + domain.LogonCodeSymbols,
	} {
		logon.Code = code
		got, err := templates.Render("en", logon)
		require.NoError(t, err, "every code that the domain makes")
		require.Contains(t, got.Text, "\n"+code+"\n")
	}
}

func TestDatesInOtherLanguages(t *testing.T) {
	overlay := french()
	for name, text := range map[string]string{
		"fr/expiry_reminder.subject.txt": "Rappel",
		"fr/expiry_reminder.text.txt":    "{{.ValidUntil}} ({{.DaysLeft}})",
		"fr/expiry_reminder.html.html":   "<p>{{.ValidUntil}}</p>",
	} {
		overlay[name] = file(text)
	}
	got, err := load(t, overlay).Render("fr", notify.ExpiryReminder{
		ServerName: authority, DocumentName: document, ValidUntil: deadline.Add(9 * time.Hour), DaysLeft: 7,
	})
	require.NoError(t, err)
	require.Equal(t, "2026-03-15 (7)", got.Text)
}
