package wallet_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// deviceManagement answers as the test says.
type deviceManagement struct {
	found bool
	err   error
}

func (*deviceManagement) Choose(string) (string, error) { return "phones", nil }

func (d *deviceManagement) Lookup(context.Context, string, string) (any, bool, error) {
	return nil, d.found, d.err
}

// What the rules refuse is told in one way, whichever rule it was: the wallet learns whom to ask, not what is wrong with its holder.
func TestRulesRefuseAlike(t *testing.T) {
	devices := &deviceManagement{}
	a := newAuthorityWith(t, "", issuertest.Options{MDM: devices})
	var texts []string
	for name, c := range map[string]struct {
		person  func(p *domain.Person)
		options func(o *domain.ProfileOptions)
	}{
		"inactive":      {person: func(p *domain.Person) { p.Status = domain.PersonInactive }},
		"data missing":  {person: func(p *domain.Person) { delete(p.Attributes, "issuing_country") }},
		"lifetime over": {person: func(p *domain.Person) { p.MaxExpiry = "2020-01-01" }},
		"requisite":     {options: func(o *domain.ProfileOptions) { o.RequisiteData = []string{"attribute.eye_colour"} }},
		"not approved":  {options: func(o *domain.ProfileOptions) { o.RequireDataApproved = true }},
		"device":        {options: func(o *domain.ProfileOptions) { o.MDM.Restriction = domain.MDMMustBeRegistered }},
	} {
		t.Run(name, func(t *testing.T) {
			col := a.newCollection()
			s := a.redeemed(col, elliptic.P256())
			ctx := t.Context()
			if c.person != nil {
				p, err := a.Store.Person(ctx, col.request.PersonID)
				require.NoError(t, err)
				c.person(&p)
				_, err = a.Issuer.UpdatePerson(ctx, a.Admin(), p)
				require.NoError(t, err)
			}
			if c.options != nil {
				before := a.profile.Options
				a.newVersion(t, c.options)
				defer a.newVersion(t, func(o *domain.ProfileOptions) { *o = before })
			}
			answer := s.postCredential(`{"credential_configuration_id":"` + configuration + `","proofs":{"jwt":["` + s.proofs(s.nonce())[0] + `"]}}`)
			require.Equal(t, http.StatusBadRequest, answer.status, answer.body)
			sent := answer.oauth(t)
			require.Equal(t, oid4vci.CredentialRequestDenied, sent.Code)
			require.Contains(t, sent.Description, col.request.ID)
			texts = append(texts, strings.ReplaceAll(sent.Description, col.request.ID, "ID"))
			now, err := a.Store.Request(ctx, col.request.ID)
			require.NoError(t, err)
			require.NotEmpty(t, now.FailureCode, "the issuer's people see which rule it was")
		})
	}
	for _, text := range texts {
		require.Equal(t, "the issuer's rules do not allow the document to be collected now; ask the issuer, reference ID", text)
	}
}

// A device management that does not answer is worth another try: 503 with a time to wait, and no word of devices.
func TestDeviceManagementDoesNotAnswer(t *testing.T) {
	devices := &deviceManagement{err: errors.New("silent")}
	a := newAuthorityWith(t, "", issuertest.Options{MDM: devices}, func(o *domain.ProfileOptions) { o.MDM.Restriction = domain.MDMMustNotBeRegistered })
	s := a.redeemed(a.newCollection(func(p *domain.Person) { p.ExternalMobileID = "canary-4711" }), elliptic.P256())
	body := `{"credential_configuration_id":"` + configuration + `","proofs":{"jwt":["` + s.proofs(s.nonce())[0] + `"]}}`
	answer := s.postCredential(body)
	require.Equal(t, http.StatusServiceUnavailable, answer.status, answer.body)
	require.NotEmpty(t, answer.header.Get("Retry-After"))
	require.Equal(t, oid4vci.TemporarilyUnavailable, answer.oauth(t).Code)
	require.NotContains(t, answer.body, "device")
	require.NotContains(t, answer.body+a.Logs.String(), "canary-4711")
	devices.err = nil
	answer = s.postCredential(body)
	require.Equal(t, http.StatusOK, answer.status, "the same request again: "+answer.body)
}

// newVersion saves the next version of the authority's profile.
func (a *authority) newVersion(t testing.TB, change func(o *domain.ProfileOptions)) {
	t.Helper()
	p := a.profile
	change(&p.Options)
	p, err := a.Issuer.ChangeProfile(t.Context(), a.Admin(), p.ID, p.Version, issuer.SaveProfile{Options: p.Options})
	require.NoError(t, err)
	a.profile = p
}
