package scenarios_test

import (
	"net/http"
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
