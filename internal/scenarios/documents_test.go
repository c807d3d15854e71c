package scenarios_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/verifier"
	"github.com/mdocket/mdocket/internal/wallet"
)

// F1, F2, F4 and F5: a document tells what may be done to it and why not; disabling, enabling and canceling reach verifiers.
func TestF1F2F4F5Lifecycle(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	person := s.person(t)
	document, bytes := s.issue(t, person, s.profile(t, with{"format": "staff-badge"}))
	d := asks.get(t, "/v1/documents/"+document)
	require.Equal(t, "active", d["state"])
	require.NotEmpty(t, d["serial"])
	allowed := func() map[any]any {
		out := map[any]any{}
		acts, _ := asks.get(t, "/v1/documents/"+document)["allowed_actions"].([]any)
		for _, a := range acts {
			out[a.(object)["act"]] = a.(object)["allowed"]
		}
		return out
	}
	require.Equal(t, true, allowed()["disable"])
	require.Equal(t, false, allowed()["enable"])
	asks.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/documents/"+document+"/disable", object{"reason": "bored"})
	asks.post(t, "/v1/documents/"+document+"/disable", object{"reason": "lost", "notes": "by phone"})
	until(t, "verifiers are told", func() bool { return s.checks(t, bytes) == verifier.StatusSuspended })
	asks.refused(t, domain.CodeWrongState, http.MethodPost, "/v1/documents/"+document+"/disable", object{"reason": "lost"})
	asks.post(t, "/v1/documents/"+document+"/enable", object{"notes": "found"})
	until(t, "verifiers are told", func() bool { return s.checks(t, bytes) == verifier.StatusValid })
	asks.post(t, "/v1/documents/"+document+"/cancel", object{"reason": "stolen"})
	until(t, "verifiers are told", func() bool { return s.checks(t, bytes) == verifier.StatusInvalid })
	asks.refused(t, domain.CodeWrongState, http.MethodPost, "/v1/documents/"+document+"/enable", object{})
	for act, may := range allowed() {
		require.Equal(t, false, may, act)
	}
	require.GreaterOrEqual(t, len(asks.items(t, "/v1/documents/"+document+"/history")), 4)
}

// F8: anybody may ask about a serial number; nobody learns personal data.
func TestF8OnlineStatus(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	document, _ := s.issue(t, s.person(t), s.profile(t))
	serial := text(t, asks.get(t, "/v1/documents/"+document), "serial")
	public := &party{client.New(s.url, ""), "a verifier"}
	answer := public.get(t, "/verify/"+serial)
	require.Equal(t, true, answer["valid"])
	for _, secret := range []string{"Erika", "Mustermann", "1990"} {
		require.NotContains(t, answer, secret)
	}
	asks.post(t, "/v1/documents/"+document+"/disable", object{"reason": "lost"})
	require.Equal(t, false, public.get(t, "/verify/"+serial)["valid"])
	public.refused(t, domain.CodeNotFound, http.MethodGet, "/verify/0000000000", nil)
}

// E2: several keys in one request give several copies with nothing in common but the data; E4: the same keys again give the same document.
func TestE2E4CopiesAndRepetition(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	person := s.person(t)
	request := asks.ask(t, person, s.profile(t, with{"max_copies": 3}))
	holder := s.holder(t, person)
	link, code := holder.reads(t, 1)
	got, err := holder.Collect(t.Context(), link, code, wallet.CollectOptions{Keys: 3})
	require.NoError(t, err)
	require.Len(t, got.Document.Copies, 3)
	document := text(t, asks.get(t, "/v1/requests/"+request), "document_id")
	places := map[any]bool{}
	for _, c := range asks.items(t, "/v1/documents/"+document+"/copies") {
		places[c["status_index"]] = true
	}
	require.Len(t, places, 3)
	_, err = holder.Collect(t.Context(), link, code, wallet.CollectOptions{})
	require.Error(t, err, "one code, one wallet")
}

// J1 and J2: every act is on record and the chain holds.
func TestJ1J2Audit(t *testing.T) {
	s := enter(t)
	auditor := s.account(t, "", all(domain.PermAudit))
	began := time.Now().Add(-time.Second)
	person := s.person(t)
	document, _ := s.issue(t, person, s.profile(t))
	s.admin.post(t, "/v1/documents/"+document+"/cancel", object{"reason": "stolen", "notes": "told by phone"})
	var actions []any
	for _, e := range auditor.items(t, "/v1/audit?person_id="+person+"&limit=500") {
		actions = append(actions, e["action"])
		require.True(t, at(t, e, "at").After(began))
		require.NotContains(t, e, "email")
	}
	require.Subset(t, actions, []any{"person.create", "person.image", "request.create", "request.begin", "request.redeem", "document.prepare",
		"request.issue", "document.cancel"})
	check := auditor.get(t, "/v1/audit/verification")
	require.Equal(t, true, check["intact"])
}

// E1 and E8: any conforming wallet finds its way from the link: page, offer by reference as often as it likes, metadata; E9 collects with it.
func TestE1E8E9Collection(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	person := s.person(t)
	profile := s.profile(t)
	asks.ask(t, person, profile)
	holder := s.holder(t, person)
	link, code := holder.reads(t, 1)
	public := client.New(s.url, "")
	page, err := public.Send(t.Context(), http.MethodGet, link[len(s.url):], "", nil, client.Accept("text/html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "openid-credential-offer://")
	require.NotContains(t, string(page), "<script", "it works without JavaScript")
	for range 3 {
		offer, err := holder.Client().FetchOffer(t.Context(), link)
		require.NoError(t, err)
		require.Len(t, offer.CredentialConfigurationIDs, 1)
		metadata, err := holder.Client().Metadata(t.Context(), offer)
		require.NoError(t, err)
		require.NotNil(t, metadata)
	}
	require.Equal(t, verifier.StatusValid, s.checks(t, holder.collectsWith(t, link, code)))
	documents, err := holder.store.Documents()
	require.NoError(t, err)
	require.Len(t, documents, 1)
}

// F3 and E6: an update brings the latest data into the wallet without a code; the old version is no longer valid.
func TestF3E6Update(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	person := s.person(t)
	profile := s.profile(t, with{"format": "staff-badge"})
	request := asks.ask(t, person, profile)
	holder := s.holder(t, person)
	old := holder.collects(t)
	document := text(t, asks.get(t, "/v1/requests/"+request), "document_id")
	asks.refused(t, domain.CodeInvalid, http.MethodPost, "/v1/documents/"+document+"/update", object{"reason": "boredom"})
	p := s.admin.get(t, "/v1/people/"+person)
	s.admin.put(t, "/v1/people/"+person, object{"version": p["version"], "given_name": p["given_name"], "family_name": "Newname", "email": p["email"],
		"mobile": p["mobile"], "birth_date": p["birth_date"], "attributes": p["attributes"], "external_id": p["external_id"]})
	update := id(t, asks.post(t, "/v1/documents/"+document+"/update", object{"reason": "reprovision"}))
	asks.waits(t, update, domain.RequestAwaitingCollection)
	until(t, "the holder is told", func() bool {
		return len(s.admin.items(t, "/v1/notifications?kind=reprovision&state=sent&person_id="+person)) == 1
	})
	kept, err := holder.store.Documents()
	require.NoError(t, err)
	_, err = holder.Refresh(t.Context(), kept[0].ID)
	require.NoError(t, err)
	fresh, _, err := holder.store.Copy(kept[0].ID, 0)
	require.NoError(t, err)
	require.NotEqual(t, old, fresh)
	require.Equal(t, verifier.StatusValid, s.checks(t, fresh))
	require.Equal(t, "superseded", s.state(t, document))
	until(t, "the old version is revoked", func() bool { return s.checks(t, old) == verifier.StatusInvalid })
}

// G1 and G2: one operation over many documents, each on its own, with progress and results.
func TestG1G2G3Batch(t *testing.T) {
	s := enter(t)
	asks, _ := s.operators(t)
	profile, guarded := s.profile(t, with{"format": "staff-badge"}), s.profile(t, with{"format": "staff-badge", "validate_cancellation": true})
	var documents []string
	for range 3 {
		d, _ := s.issue(t, s.person(t), profile)
		documents = append(documents, d)
	}
	needs, _ := s.issue(t, s.person(t), guarded)
	batch := asks.post(t, "/v1/batches", object{"operation": "cancel", "reason": "withdrawn", "documents": append(documents, needs)})
	until(t, "the batch is done", func() bool { batch = asks.get(t, "/v1/batches/"+id(t, batch)); return batch["state"] == "completed" })
	require.EqualValues(t, 3, batch["completed"])
	failed := asks.items(t, "/v1/batches/"+id(t, batch)+"/items?state=failed")
	require.Len(t, failed, 1)
	require.Equal(t, "approval_required", failed[0]["code"])
	for _, d := range documents {
		require.Equal(t, "canceled", s.state(t, d))
	}
	require.Equal(t, "active", s.state(t, needs))
	csv, err := asks.Send(t.Context(), http.MethodGet, "/v1/batches/"+id(t, batch)+"/items.csv", "", nil)
	require.NoError(t, err)
	require.Contains(t, string(csv), needs)
	require.Contains(t, string(csv), "approval_required")
}

// J3: reports with filter, sort and pages, and as CSV.
func TestJ3Reports(t *testing.T) {
	s := enter(t)
	profile := s.profile(t, with{"format": "staff-badge"})
	for range 3 {
		s.issue(t, s.person(t), profile)
	}
	reporter := s.account(t, "", all(domain.PermReports))
	var names []any
	for _, r := range reporter.items(t, "/v1/reports") {
		names = append(names, r["name"])
	}
	require.Subset(t, names, []any{"mobile-documents", "documents", "issued-documents", "reviews", "requests", "batches", "expiring-documents",
		"failed-notifications"})
	path := "/v1/reports/mobile-documents?profile_id=" + profile + "&limit=2"
	first := reporter.get(t, path)
	require.Len(t, first["items"], 2)
	require.Len(t, reporter.items(t, path+"&after="+text(t, first, "next")), 1)
	csv, err := reporter.Send(t.Context(), http.MethodGet, "/v1/reports/mobile-documents?format=csv&profile_id="+profile, "", nil)
	require.NoError(t, err)
	require.Len(t, strings.Split(strings.TrimSpace(string(csv)), "\r\n"), 4, "a header and a line for each")
	require.NotContains(t, string(csv), "Mustermann", "names need another permission")
	s.account(t, "", nil).refused(t, domain.CodeForbidden, http.MethodGet, path, nil)
}
