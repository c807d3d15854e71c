package operator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/api/problem"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func (s *server) ask(t testing.TB, token, personID, profileID string) map[string]any {
	t.Helper()
	return s.call(t, token, http.MethodPost, "/v1/requests", map[string]any{"person_id": personID, "profile_id": profileID}).
		object(t, http.StatusCreated)
}

func withApproval(o *domain.ProfileOptions) { o.ValidateIssuance = true }

func TestRequestWithoutApproval(t *testing.T) {
	s := newServer(t)
	person, profile := s.Person(t), s.Profile(t, "mdl")
	preview := s.call(t, s.admin, http.MethodPost, "/v1/requests/preview", map[string]any{"person_id": person.ID, "profile_id": profile.ID}).
		object(t, http.StatusOK)
	require.Equal(t, false, preview["needs_approval"])
	require.Empty(t, preview["problems"])
	require.Equal(t, []any{
		map[string]any{"channel": "email", "kind": "collection_link", "to": "e…@holder.example"},
		map[string]any{"channel": "email", "kind": "authentication_code", "to": "e…@holder.example"},
	}, preview["deliveries"])
	require.Empty(t, s.Mail.Sent())

	a := s.call(t, s.admin, http.MethodPost, "/v1/requests", map[string]any{"person_id": person.ID, "profile_id": profile.ID})
	r := a.object(t, http.StatusCreated)
	path := "/v1/requests/" + text(t, r, "id")
	require.Equal(t, path, a.header.Get("Location"))
	require.Equal(t, "awaiting_collection", r["state"])
	require.Equal(t, "api_client", r["channel"])
	require.NotContains(t, r, "decision")
	require.Equal(t, r, s.call(t, s.admin, http.MethodGet, path, nil).object(t, http.StatusOK))
	require.Len(t, s.Mail.Sent(), 2)

	messages := s.call(t, s.admin, http.MethodGet, path+"/messages", nil).items(t)
	require.Len(t, messages, 2)
	for _, m := range messages {
		require.Equal(t, "sent", m["state"])
		require.Len(t, m["attempts"], 1)
	}
	shown := s.call(t, s.admin, http.MethodPost, path+"/code", nil)
	code := shown.object(t, http.StatusOK)
	require.Equal(t, "no-store", shown.header.Get("Cache-Control"))
	require.Contains(t, s.Mail.Sent()[0].Text, text(t, code, "link"))
	require.Contains(t, strings.ReplaceAll(s.Mail.Sent()[1].Text, " ", ""), text(t, code, "code"))

	again := s.call(t, s.admin, http.MethodPost, path+"/resend", nil).object(t, http.StatusOK)
	require.Equal(t, 2.0, again["generation"])
	require.Len(t, s.Mail.Sent(), 4)
	newer := s.call(t, s.admin, http.MethodPost, path+"/code", nil).object(t, http.StatusOK)
	require.NotEqual(t, code["link"], newer["link"])

	canceled := s.call(t, s.admin, http.MethodPost, path+"/cancel", map[string]any{"reason": "moved away"}).object(t, http.StatusOK)
	require.Equal(t, "canceled", canceled["state"])
	var actions []any
	for _, e := range s.call(t, s.admin, http.MethodGet, path+"/timeline", nil).items(t) {
		actions = append(actions, e["action"])
	}
	require.Equal(t, []any{"request.create", "request.begin", "request.view_code", "request.resend", "request.view_code",
		"request.cancel"}, actions)
	page := s.call(t, s.admin, http.MethodGet, path+"/timeline?limit=4", nil).object(t, http.StatusOK)
	require.Len(t, s.call(t, s.admin, http.MethodGet, fmt.Sprintf("%s/timeline?after=%.0f", path, page["next"]), nil).items(t), 2)
	s.call(t, s.admin, http.MethodGet, path+"/timeline?after=-1", nil).refused(t, domain.CodeInvalid)
	s.changesNothing(t, func() {
		for _, act := range []string{"/cancel", "/resend", "/code"} {
			p := s.call(t, s.admin, http.MethodPost, path+act, map[string]any{}).refused(t, domain.CodeWrongState)
			require.Equal(t, "canceled", p.Details["state"])
		}
	})
	for _, token := range []string{"link", "code"} {
		require.NotContains(t, s.Logs.String(), text(t, newer, token))
	}
}

func TestApproval(t *testing.T) {
	s := newServer(t)
	approved, other := s.Profile(t, "mdl", withApproval), s.Profile(t, "mdl-other")
	person := s.Person(t)
	requester := s.Token(t, s.Caller(t, "requester", "", issuertest.All(domain.PermRequest, domain.PermApprove)))
	first := s.Caller(t, "first", "", issuertest.All(domain.PermApprove))
	second := s.Token(t, s.Caller(t, "second", "", issuertest.All(domain.PermApprove)))
	holder := s.Token(t, s.Caller(t, "holder", person.ID, issuertest.All(domain.PermApprove)))

	r := s.ask(t, requester, person.ID, approved.ID)
	path := "/v1/requests/" + text(t, r, "id")
	require.Equal(t, "awaiting_approval", r["state"])
	require.Empty(t, s.Mail.Sent())

	t.Run("review lists", func(t *testing.T) {
		require.Len(t, s.call(t, second, http.MethodGet, "/v1/reviews", nil).items(t), 1)
		require.Empty(t, s.call(t, requester, http.MethodGet, "/v1/reviews", nil).items(t))
		require.Empty(t, s.call(t, holder, http.MethodGet, "/v1/reviews", nil).items(t))
	})
	t.Run("neither requester nor recipient decides", func(t *testing.T) {
		s.changesNothing(t, func() {
			for _, token := range []string{requester, holder} {
				s.call(t, token, http.MethodPost, path+"/approve", map[string]any{}).refused(t, domain.CodeSelfApproval)
				s.call(t, token, http.MethodPost, path+"/reject", map[string]any{"reason": "no"}).refused(t, domain.CodeSelfApproval)
			}
		})
	})
	t.Run("bad decisions", func(t *testing.T) {
		s.changesNothing(t, func() {
			s.call(t, second, http.MethodPost, path+"/reject", map[string]any{}).refused(t, domain.CodeInvalid)
			s.call(t, second, http.MethodPost, path+"/reject", map[string]any{"reason": ""}).refused(t, domain.CodeInvalid)
			s.call(t, second, http.MethodPost, path+"/approve", map[string]any{"reason": strings.Repeat("a", 1001)}).refused(t, domain.CodeInvalid)
			s.call(t, second, http.MethodPost, path+"/approve", map[string]any{"expiry_date": "soon"}).refused(t, domain.CodeInvalid)
			s.call(t, second, http.MethodPost, path+"/approve", map[string]any{"expiry_date": "2020-01-01"}).refused(t, domain.CodeLifetimeOver)
			s.call(t, second, http.MethodPost, path+"/approve", map[string]any{"expiry_date": "2099-01-01"}).refused(t,
				domain.CodeLifetimeBeyondSigner)
			s.call(t, second, http.MethodPost, path+"/approve", map[string]any{"profile_id": nobody}).refused(t, domain.CodeNotFound)
			s.call(t, s.admin, http.MethodPost, path+"/resend", nil).refused(t, domain.CodeWrongState)
			s.call(t, s.admin, http.MethodPost, path+"/code", nil).refused(t, domain.CodeWrongState)
		})
	})
	t.Run("the engine is down", func(t *testing.T) {
		s.Engine.SetDown(true)
		defer s.Engine.SetDown(false)
		s.changesNothing(t, func() {
			a := s.call(t, second, http.MethodPost, path+"/approve", map[string]any{})
			a.refused(t, domain.CodeEngineUnavailable)
			require.NotEmpty(t, a.header.Get("Retry-After"))
		})
	})
	t.Run("the first decision wins", func(t *testing.T) {
		decided := s.call(t, s.Token(t, first), http.MethodPost, path+"/approve", map[string]any{"profile_id": other.ID, "reason": "seen"}).
			object(t, http.StatusOK)
		require.Equal(t, "awaiting_collection", decided["state"])
		require.Equal(t, other.ID, decided["profile_id"])
		require.Equal(t, first.AccountID, text(t, decided, "decision", "by"))
		require.Equal(t, "seen", text(t, decided, "decision", "reason"))
		require.Len(t, s.Mail.Sent(), 2)
		s.changesNothing(t, func() {
			for _, act := range []string{"/approve", "/reject"} {
				p := s.call(t, second, http.MethodPost, path+act, map[string]any{"reason": "late"}).refused(t, domain.CodeAlreadyDecided)
				require.Equal(t, "approved", p.Details["decision"])
				require.Equal(t, first.AccountID, p.Details["decided_by"])
				require.NotEmpty(t, p.Details["decided_at"])
			}
		})
	})
	t.Run("rejection", func(t *testing.T) {
		path := "/v1/requests/" + text(t, s.ask(t, requester, person.ID, approved.ID), "id")
		rejected := s.call(t, second, http.MethodPost, path+"/reject", map[string]any{"reason": "no licence"}).object(t, http.StatusOK)
		require.Equal(t, "rejected", rejected["state"])
		p := s.call(t, s.admin, http.MethodPost, path+"/approve", map[string]any{}).refused(t, domain.CodeAlreadyDecided)
		require.Equal(t, "rejected", p.Details["decision"])
	})
}

func TestRequestsOfOneself(t *testing.T) {
	s := newServer(t)
	person, stranger, profile := s.Person(t), s.Person(t), s.Profile(t, "mdl")
	holder := s.Token(t, s.Caller(t, "holder", person.ID, issuertest.Grants{domain.PermRequestSelf: domain.ScopeSelf}))
	mine := s.ask(t, holder, person.ID, profile.ID)
	require.Equal(t, "self_service", mine["channel"])
	s.ask(t, s.admin, stranger.ID, profile.ID)
	listed := s.call(t, holder, http.MethodGet, "/v1/requests", nil).items(t)
	require.Len(t, listed, 1)
	require.Equal(t, mine["id"], listed[0]["id"])
	require.Len(t, s.call(t, s.admin, http.MethodGet, "/v1/requests", nil).items(t), 2)
	require.Len(t, s.call(t, s.admin, http.MethodGet, "/v1/requests?person_id="+stranger.ID+"&state=awaiting_collection", nil).items(t), 1)
	require.Empty(t, s.call(t, s.admin, http.MethodGet, "/v1/requests?state=issued", nil).items(t))
	s.changesNothing(t, func() {
		s.call(t, holder, http.MethodPost, "/v1/requests", map[string]any{"person_id": stranger.ID, "profile_id": profile.ID}).refused(t,
			domain.CodeForbidden)
	})
}

func TestBadRequests(t *testing.T) {
	s := newServer(t)
	profile, sms := s.Profile(t, "mdl"), s.Profile(t, "mdl-sms",
		func(o *domain.ProfileOptions) { o.NotificationScheme = domain.NotifyCodeBySMS })
	person := s.Person(t)
	inactive := s.Person(t, func(p *domain.Person) { p.Status = domain.PersonInactive })
	bare := s.Person(t, func(p *domain.Person) { p.Attributes = nil })
	mute := s.Person(t, func(p *domain.Person) { p.Email = "" })
	landline := s.Person(t, func(p *domain.Person) { p.Mobile = "" })
	of := func(p domain.Person, profileID string) map[string]any {
		return map[string]any{"person_id": p.ID, "profile_id": profileID}
	}
	until := func(day string) map[string]any {
		return map[string]any{"person_id": person.ID, "profile_id": profile.ID, "expiry_date": day}
	}
	for name, c := range map[string]struct {
		body  map[string]any
		code  domain.Code
		field string
	}{
		"nobody":          {map[string]any{"person_id": nobody, "profile_id": profile.ID}, domain.CodeNotFound, ""},
		"no profile":      {map[string]any{"person_id": person.ID, "profile_id": nobody}, domain.CodeNotFound, ""},
		"person missing":  {map[string]any{"profile_id": profile.ID}, domain.CodeInvalid, "person_id"},
		"empty profile":   {map[string]any{"person_id": person.ID, "profile_id": ""}, domain.CodeInvalid, "profile_id"},
		"id not text":     {map[string]any{"person_id": 7, "profile_id": profile.ID}, domain.CodeInvalid, "person_id"},
		"inactive":        {of(inactive, profile.ID), domain.CodePersonInactive, ""},
		"data missing":    {of(bare, profile.ID), domain.CodeMissingData, "issuing_country"},
		"e-mail missing":  {of(mute, profile.ID), domain.CodeMissingContact, "email"},
		"mobile missing":  {of(landline, sms.ID), domain.CodeMissingContact, "mobile"},
		"day":             {until("31.12.2027"), domain.CodeInvalid, "expiry_date"},
		"day in the past": {until("2020-01-01"), domain.CodeLifetimeOver, ""},
		"day far away":    {until("2099-01-01"), domain.CodeLifetimeBeyondSigner, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.changesNothing(t, func() {
				p := s.call(t, s.admin, http.MethodPost, "/v1/requests", c.body).refused(t, c.code)
				if c.field != "" {
					require.Equal(t, c.field, p.Errors[0].Field)
				}
				a := s.call(t, s.admin, http.MethodPost, "/v1/requests/preview", c.body)
				if a.status == http.StatusOK {
					require.NotEmpty(t, a.object(t, http.StatusOK)["problems"], "the preview says what is in the way")
				} else {
					a.refused(t, c.code)
				}
			})
		})
	}
	t.Run("channel off", func(t *testing.T) {
		settings := s.call(t, s.admin, http.MethodGet, "/v1/settings", nil).object(t, http.StatusOK)
		settings["sms_enabled"] = false
		s.call(t, s.admin, http.MethodPut, "/v1/settings", settings).object(t, http.StatusOK)
		s.call(t, s.admin, http.MethodPost, "/v1/requests", of(person, sms.ID)).refused(t, domain.CodeChannelOff)
	})
	t.Run("accepted while the engine is down", func(t *testing.T) {
		s.Engine.SetDown(true)
		defer s.Engine.SetDown(false)
		require.Equal(t, "received", s.ask(t, s.admin, person.ID, profile.ID)["state"])
	})
}

// A person who lacks mandatory elements is refused with every one of them, at the request and at its preview.
func TestEveryMissingElementIsListed(t *testing.T) {
	s := newServer(t)
	profile := s.Profile(t, "mdl")
	person := s.call(t, s.admin, http.MethodPost, "/v1/people", map[string]any{"given_name": "A", "family_name": "B", "email": "a@b.example",
		"attributes": map[string]any{"issuing_country": "UT", "driving_privileges": "none"}}).object(t, http.StatusCreated)
	body := map[string]any{"person_id": text(t, person, "id"), "profile_id": profile.ID}
	want := []string{"birth_date", "issuing_authority", "portrait", "driving_privileges", "un_distinguishing_sign"}
	s.changesNothing(t, func() {
		p := s.call(t, s.admin, http.MethodPost, "/v1/requests", body).refused(t, domain.CodeMissingData)
		var missing []string
		for _, e := range p.Errors {
			missing = append(missing, e.Field)
			require.NotEmpty(t, e.Problem, e.Field)
		}
		require.ElementsMatch(t, want, missing)

		problems := s.call(t, s.admin, http.MethodPost, "/v1/requests/preview", body).object(t, http.StatusOK)["problems"]
		var previewed []string
		for _, problem := range problems.([]any) {
			previewed = append(previewed, text(t, problem.(map[string]any), "field"))
		}
		require.Subset(t, previewed, want)
	})
	require.Empty(t, s.call(t, s.admin, http.MethodGet, "/v1/requests?person_id="+text(t, person, "id"), nil).items(t))
}

// FuzzCreateRequest sends any body: every answer is a request or a whole problem document, never the server's fault.
func FuzzCreateRequest(f *testing.F) {
	s := newServer(f)
	person, profile := s.Person(f), s.Profile(f, "mdl")
	for _, seed := range []string{`{}`, `[]`, `null`, `"`, `{"person_id": 1e999}`, `{"person_id":"a","person_id":"b"}`, "\xff",
		`{"person_id":"` + person.ID + `","profile_id":"` + profile.ID + `"}`,
		`{"person_id":"` + person.ID + `","profile_id":"` + profile.ID + `","expiry_date":"2027-01-01"}`,
		`{"person_id":"\ud800","profile_id":"x"}`, strings.Repeat("[", 10001)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a := s.call(t, s.admin, http.MethodPost, "/v1/requests", body)
		if a.status == http.StatusCreated {
			require.Equal(t, person.ID, a.object(t, http.StatusCreated)["person_id"])
			return
		}
		var p problem.Problem
		require.NoError(t, json.Unmarshal(a.body, &p))
		require.Less(t, a.status, 500, string(a.body))
		require.Equal(t, a.status, p.Status)
	})
}
