package e2e_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/verifier"
)

// Where the profile asks for it, one operator asks for a cancellation and another approves. It is asked for while Temporal is down, and waits
// through another death of it; then a verifier of the document learns that it is invalid (F4).
func TestCancellationWithApproval(t *testing.T) {
	t.Parallel()
	temporal := newEngine(t, "error")
	site := newSite(t, siteOptions{temporal: temporal.options.HostPort})
	site.start(t)
	office := openOffice(t, site.url, adminName, site.password, 1)
	guarded := example.Profiles()[0]
	guarded.Name, guarded.Options.ValidateIssuance, guarded.Options.ValidateCancellation = "guarded", false, true
	office.profiles["guarded"] = create(t, office.a, "/v1/profiles", guarded)
	requestID, copies := issue(t, office, newHolder(t, site.postURL, 0), office.people[0], "guarded", 1)
	document := "/v1/documents/" + office.look(t, requestID).DocumentID
	act := func(c *client.Client, path string, in map[string]string) (state string, err error) {
		var out struct {
			State string `json:"state"`
		}
		err = persist(t, func() error { return c.Do(t.Context(), http.MethodPost, path, in, &out) })
		return out.State, err
	}

	_, err := act(office.a, document+"/cancel", map[string]string{"reason": "lost"})
	require.Equal(t, string(domain.CodeApprovalRequired), client.CodeOf(err))
	temporal.kill(t)
	wish := "/v1/cancellations/" + create(t, office.a, document+"/request-cancel", map[string]string{"reason": "lost"})
	temporal.start(t)
	until(t, patience, "the cancellation waits for approval", func() (bool, error) {
		var out struct {
			State string `json:"state"`
		}
		err := office.a.Do(t.Context(), http.MethodGet, wish, nil, &out)
		return out.State == string(domain.CancellationAwaitingApproval), err
	})
	_, err = act(office.a, wish+"/approve", map[string]string{})
	require.Equal(t, string(domain.CodeSelfApproval), client.CodeOf(err))
	temporal.kill(t)
	temporal.start(t)
	requireValid(t, site.url, copies[0])
	state, err := act(office.b, wish+"/approve", map[string]string{"reason": "seen the report"})
	require.NoError(t, err)
	require.Equal(t, string(domain.CancellationApproved), state)
	until(t, patience, "the status list says invalid", func() (bool, error) {
		return verify(t, site.url, copies[0]) == verifier.StatusInvalid, nil
	})
	_, err = act(office.b, wish+"/reject", map[string]string{"reason": "late"})
	require.Equal(t, string(domain.CodeAlreadyDecided), client.CodeOf(err))

	site.api.stop(t)
	site.worker.stop(t)
	require.Zero(t, site.api.deaths.Load()+site.worker.deaths.Load())
	require.Contains(t, auditOf(t, site.database), "intact")
}
