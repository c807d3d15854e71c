package scenarios_test

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
)

// C1: operators, holders and API clients ask, each recorded with their channel; a preview tells before what would be sent where.
func TestC1Requests(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	person, profile := s.person(t), s.profile(t, with{"validate_issuance": true})
	wish := object{"person_id": person, "profile_id": profile}
	preview := asks.post(t, "/v1/requests/preview", wish)
	require.Equal(t, true, preview["needs_approval"])
	require.Empty(t, preview["problems"])
	require.Len(t, preview["deliveries"], 2)
	require.NotContains(t, preview["deliveries"].([]any)[0].(object)["to"], s.holder(t, person).email, "addresses are masked")
	require.Empty(t, asks.items(t, "/v1/requests?person_id="+person), "nothing was made")

	require.Equal(t, "api_client", asks.post(t, "/v1/requests", wish)["channel"])
	me := s.account(t, person, in(domain.ScopeSelf, domain.PermRequestSelf))
	require.Equal(t, "self_service", asks.get(t, "/v1/requests/"+id(t, me.post(t, "/v1/me/requests", object{"profile_id": profile})))["channel"])
	require.Equal(t, "operator", s.admin.post(t, "/v1/requests", wish)["channel"])

	// Only the contact data that the delivery needs is required.
	quiet := s.person(t, with{"email": "", "mobile": ""})
	asks.refused(t, domain.CodeMissingContact, http.MethodPost, "/v1/requests", object{"person_id": quiet, "profile_id": profile})
	asks.ask(t, quiet, s.profile(t, with{"notification_scheme": "none"}))
	mailOnly := s.person(t, with{"mobile": ""})
	asks.refused(t, domain.CodeMissingContact, http.MethodPost, "/v1/requests", object{"person_id": mailOnly, "profile_id": profile})
	asks.ask(t, mailOnly, s.profile(t, with{"notification_scheme": "code_by_email"}))
	asks.refused(t, domain.CodeNotFound, http.MethodPost, "/v1/requests", object{"person_id": "nobody", "profile_id": profile})
}

// C2: a request is accepted once, however often the call is repeated.
func TestC2AcceptedOnce(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	person, profile := s.person(t), s.profile(t)
	key := client.IdempotencyKey(rand.Text())
	wish := object{"person_id": person, "profile_id": profile}
	var first, again object
	require.NoError(t, asks.Do(t.Context(), http.MethodPost, "/v1/requests", wish, &first, key))
	require.NoError(t, asks.Do(t.Context(), http.MethodPost, "/v1/requests", wish, &again, key))
	require.Equal(t, first["id"], again["id"])
	wish["expiry_date"] = time.Now().AddDate(0, 0, 30).Format(time.DateOnly)
	require.Equal(t, string(domain.CodeIdempotencyReused), client.CodeOf(asks.Do(t.Context(), http.MethodPost, "/v1/requests", wish, nil, key)))
	require.Len(t, asks.items(t, "/v1/requests?person_id="+person), 1)
	asks.waits(t, id(t, first), domain.RequestAwaitingCollection)
}

// C3: somebody else approves, perhaps with another profile and date, or rejects with a reason; the second decision learns of the first.
func TestC3Approval(t *testing.T) {
	s := enter(t)
	asks, approves := s.operators(t)
	person := s.person(t)
	profile, other := s.profile(t, with{"validate_issuance": true}), s.profile(t, with{"format": "staff-badge"})
	request := asks.ask(t, person, profile)
	asks.waits(t, request, domain.RequestAwaitingApproval)
	require.Len(t, reviewsOf(t, approves, request), 1)

	both := s.account(t, "", all(domain.PermRequest, domain.PermApprove))
	own := both.ask(t, person, profile)
	both.waits(t, own, domain.RequestAwaitingApproval)
	both.refused(t, domain.CodeSelfApproval, http.MethodPost, "/v1/requests/"+own+"/approve", object{})
	require.Empty(t, reviewsOf(t, both, own))
	recipient := s.account(t, person, all(domain.PermApprove))
	recipient.refused(t, domain.CodeSelfApproval, http.MethodPost, "/v1/requests/"+request+"/approve", object{})
	asks.refused(t, domain.CodeForbidden, http.MethodPost, "/v1/requests/"+request+"/approve", object{})

	day := time.Now().UTC().AddDate(0, 0, 40).Format(time.DateOnly)
	approved := approves.post(t, "/v1/requests/"+request+"/approve", object{"profile_id": other, "expiry_date": day, "reason": "badge will do"})
	require.Equal(t, other, approved["profile_id"])
	s.holder(t, person).collects(t)
	d := s.admin.get(t, "/v1/documents/"+text(t, asks.waits(t, request, domain.RequestIssued), "document_id"))
	require.Equal(t, day, at(t, d, "valid_until").UTC().Format(time.DateOnly))

	third := asks.ask(t, person, profile)
	asks.waits(t, third, domain.RequestAwaitingApproval)
	approves.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/requests/"+third+"/reject", object{"reason": ""})
	approves.post(t, "/v1/requests/"+third+"/reject", object{"reason": "no need"})
	_, late := s.operators(t)
	problem := late.refused(t, domain.CodeAlreadyDecided, http.MethodPost, "/v1/requests/"+third+"/approve", object{})
	require.Equal(t, "rejected", problem.details["decision"])
}

// C4: every state has its way, and the timeline tells it.
func TestC4StatesAndTimeline(t *testing.T) {
	s := enter(t)
	asks, approves := s.operators(t)
	person, profile := s.person(t), s.profile(t, with{"validate_issuance": true})
	request := asks.ask(t, person, profile)
	asks.waits(t, request, domain.RequestAwaitingApproval)
	approves.post(t, "/v1/requests/"+request+"/approve", object{})
	s.holder(t, person).collects(t)
	asks.waits(t, request, domain.RequestIssued)
	var states []any
	for _, e := range asks.items(t, "/v1/requests/"+request+"/timeline") {
		if changes, ok := e["changes"].(object); ok && changes["state"] != nil {
			states = append(states, changes["state"].(object)["after"])
		}
	}
	require.Equal(t, []any{"received", "awaiting_approval", "awaiting_collection", "issued"}, states)
	asks.refused(t, domain.CodeWrongState, http.MethodPost, "/v1/requests/"+request+"/cancel", object{})

	canceled := asks.ask(t, person, profile)
	asks.post(t, "/v1/requests/"+canceled+"/cancel", object{"reason": "mistake"})
	asks.waits(t, canceled, domain.RequestCanceled)
	require.NotEmpty(t, asks.items(t, "/v1/requests?state=canceled&person_id="+person))
}

// C5: the holder's QR comes on request, by itself where no message reaches them, and never before a needed approval.
func TestC5SelfServiceQR(t *testing.T) {
	s := enter(t)
	rights := in(domain.ScopeSelf, domain.PermRequestSelf, domain.PermCollect)
	person := s.person(t)
	me := s.account(t, person, rights)
	request := id(t, me.post(t, "/v1/me/requests", object{"profile_id": s.profile(t)}))
	until(t, "there is a QR", func() bool {
		return me.Do(t.Context(), http.MethodGet, "/v1/me/requests/"+request+"/qr", nil, nil) == nil
	})
	qr := me.get(t, "/v1/me/requests/"+request+"/qr")
	require.NotEmpty(t, qr["qr_png"])
	s.holder(t, person).collectsWith(t, text(t, qr, "link"), text(t, qr, "code"))

	approved := s.profile(t, with{"validate_issuance": true})
	waiting := id(t, me.post(t, "/v1/me/requests", object{"profile_id": approved}))
	problem := me.refused(t, domain.CodeApprovalRequired, http.MethodGet, "/v1/me/requests/"+waiting+"/qr", nil)
	require.Equal(t, http.StatusConflict, problem.status)

	alone := s.person(t, with{"email": "", "mobile": ""})
	quiet := s.account(t, alone, rights)
	var made object
	until(t, "the answer carries the QR", func() bool {
		made = quiet.post(t, "/v1/me/requests", object{"profile_id": s.profile(t)})
		return made["qr"] != nil
	})
	shown := made["qr"].(object)
	s.holder(t, alone).collectsWith(t, text(t, shown, "link"), text(t, shown, "code"))
}

// C6: many people, one profile: who fails the rules gets no request and a reason.
func TestC6BatchRequest(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	profile := s.profile(t, with{"format": "staff-badge"})
	good, silent := []string{s.person(t), s.person(t), s.person(t)}, s.person(t, with{"mobile": ""})
	selection := object{"operation": "request", "profile_id": profile, "people": append([]string{silent, "01890000-0000-7000-8000-000000000000"}, good...)}
	preview := asks.post(t, "/v1/batches/preview", selection)
	require.EqualValues(t, 5, preview["total"])
	require.Len(t, preview["refused"], 2)
	batch := asks.post(t, "/v1/batches", selection)
	until(t, "the batch is done", func() bool { batch = asks.get(t, "/v1/batches/"+id(t, batch)); return batch["state"] == "completed" })
	require.EqualValues(t, 3, batch["completed"])
	require.EqualValues(t, 2, batch["failed"])
	codes := map[any]int{}
	for _, item := range asks.items(t, "/v1/batches/"+id(t, batch)+"/items") {
		codes[item["code"]]++
		if item["code"] == nil {
			asks.waits(t, text(t, item, "request_id"), domain.RequestAwaitingCollection)
		}
	}
	require.Equal(t, map[any]int{nil: 3, "missing_contact": 1, "not_found": 1}, codes)
	for _, person := range good {
		s.holder(t, person).collects(t)
	}
}

// D1: every kind of message has a template in every language, which can be tried; outcome and cancellation are told.
func TestD1Messages(t *testing.T) {
	s := enter(t)
	kinds := map[any]bool{}
	for _, f := range s.admin.items(t, "/v1/templates") {
		kinds[f["kind"]] = true
	}
	for _, kind := range domain.MessageKinds() {
		require.True(t, kinds[string(kind)], kind)
		for _, language := range []string{"en", "de"} {
			shown := s.admin.post(t, "/v1/templates/preview", object{"kind": kind, "language": language})
			require.NotEmpty(t, shown["subject"])
			require.NotEmpty(t, shown["html"])
		}
	}
	asks, approves := s.operators(t)
	person, profile := s.person(t, with{"language": "de"}), s.profile(t, with{"validate_issuance": true})
	request := asks.ask(t, person, profile)
	asks.waits(t, request, domain.RequestAwaitingApproval)
	approves.post(t, "/v1/requests/"+request+"/reject", object{"reason": "no"})
	holder := s.holder(t, person)
	holder.receives(t, "nicht genehmigt")

	other := s.person(t)
	document, _ := s.issue(t, other, s.profile(t))
	asks.post(t, "/v1/documents/"+document+"/cancel", object{"reason": "stolen"})
	s.holder(t, other).receives(t, "cancel")
	s.admin.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/templates/preview", object{"kind": "pigeon"})
}

// D2 and D3: messages go through SMTP and the HTTP gateway, every attempt is on record with the gateway's answer, and a re-send makes the old code
// worthless.
func TestD2D3DeliveryOnRecord(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	person := s.person(t)
	request := asks.ask(t, person, s.profile(t))
	holder := s.holder(t, person)
	link, code := holder.reads(t, 1)
	var sent []object
	until(t, "both are on record", func() bool {
		sent = asks.items(t, "/v1/requests/"+request+"/messages")
		return len(sent) == 2 && sent[0]["state"] == "sent" && sent[1]["state"] == "sent"
	})
	for _, m := range sent {
		attempts := m["attempts"].([]any)
		require.Len(t, attempts, 1)
		require.NotEmpty(t, attempts[0].(object)["answer"])
		require.NotContains(t, attempts[0].(object)["answer"], code)
	}
	report := s.account(t, "", all(domain.PermReports))
	require.Len(t, report.items(t, "/v1/notifications?request_id="+request), 2)

	asks.post(t, "/v1/requests/"+request+"/resend", nil)
	link2, code2 := holder.reads(t, 2)
	require.NotEqual(t, code, code2)
	_, err := holder.Client().FetchOffer(t.Context(), link)
	require.Error(t, err)
	holder.collectsWith(t, link2, code2)
}

// D4: a wrong code costs an attempt and leaves the offer; a code is used once.
func TestD4Codes(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	person := s.person(t)
	request := asks.ask(t, person, s.profile(t))
	holder := s.holder(t, person)
	link, code := holder.reads(t, 1)
	wallet := holder.Client()
	offer, err := wallet.FetchOffer(t.Context(), link)
	require.NoError(t, err)
	issuer, err := wallet.Metadata(t.Context(), offer)
	require.NoError(t, err)
	_, err = wallet.Token(t.Context(), issuer, offer, "00"+code[2:4]+"9999")
	require.ErrorContains(t, err, "invalid_grant")
	require.EqualValues(t, 1, asks.get(t, "/v1/requests/"+request)["attempts"])
	_, err = wallet.Token(t.Context(), issuer, offer, code[:4]+" "+code[4:])
	require.NoError(t, err)
	_, err = wallet.Token(t.Context(), issuer, offer, code)
	require.ErrorContains(t, err, "invalid_grant")
}
