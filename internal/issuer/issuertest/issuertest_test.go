package issuertest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

func TestARequestRunsToCollectionOnBothDatabases(t *testing.T) {
	for name, o := range map[string]issuertest.Options{"sqlite": {}, "postgres": {Postgres: true}} {
		t.Run(name, func(t *testing.T) {
			f := issuertest.New(t, o)
			person, profile := f.Person(t), f.Profile(t, "mdl")
			r, err := f.Issuer.CreateRequest(t.Context(), f.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
			require.NoError(t, err)
			require.Equal(t, domain.RequestAwaitingCollection, r.State)
			require.Len(t, f.Mail.Sent(), 2)
		})
	}
}

func TestEngineDown(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	person, profile := f.Person(t), f.Profile(t, "mdl")
	f.Engine.SetDown(true)
	r, err := f.Issuer.CreateRequest(t.Context(), f.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: profile.ID})
	require.NoError(t, err)
	require.Equal(t, domain.RequestReceived, r.State)
	f.Engine.SetDown(false)
	require.NoError(t, f.Engine.StartIssuance(t.Context(), r.ID))
	r, err = f.Issuer.Request(t.Context(), f.Admin(), r.ID)
	require.NoError(t, err)
	require.Equal(t, domain.RequestAwaitingCollection, r.State)
}

func TestCallerHasExactlyItsGrants(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	c := f.Caller(t, "approver", "", issuertest.All(domain.PermApprove))
	require.Equal(t, map[domain.Permission]domain.Scope{domain.PermApprove: domain.ScopeAll}, c.Grants)
	again, err := f.Access.Authenticate(t.Context(), f.Token(t, c))
	require.NoError(t, err)
	require.Equal(t, c.AccountID, again.AccountID)
	require.True(t, again.Machine)
}

func TestIssue(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	person, profile := f.Person(t), f.Profile(t, "mdl")
	d := f.Issue(t, person.ID, profile.ID)
	require.Equal(t, domain.DocumentActive, d.State)
	require.Equal(t, person.ID, d.PersonID)
}
