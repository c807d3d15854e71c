package e2e_test

import (
	"crypto/rand"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
)

// A request is accepted while Temporal is down, and goes its way by itself when Temporal is back: nobody asks a second time (C2).
// Temporal dies once more while the holder has link and code and not yet the document.
func TestAcceptedWhileEngineIsDown(t *testing.T) {
	t.Parallel()
	temporal := newEngine(t, "error")
	site := newSite(t, siteOptions{temporal: temporal.options.HostPort})
	site.start(t)
	office := openOffice(t, site.url, adminName, site.password, 1)

	temporal.kill(t)
	var made request
	in := map[string]string{"person_id": office.people[0], "profile_id": office.profiles["mdl"]}
	require.NoError(t, office.a.Do(t.Context(), http.MethodPost, "/v1/requests", in, &made, client.IdempotencyKey(rand.Text())))
	require.Equal(t, string(domain.RequestReceived), made.State)
	require.Equal(t, string(domain.RequestReceived), office.look(t, made.ID).State)
	require.True(t, site.ready(t.Context()), "requests are accepted, so the API is ready")

	temporal.start(t)
	office.waitState(t, made.ID, domain.RequestAwaitingApproval)
	office.approve(t, made.ID)
	holder := newHolder(t, site.postURL, 0)
	letters := holder.read(t, 0)

	temporal.kill(t)
	temporal.start(t)
	requireValid(t, site.url, holder.collect(t, letters, 1)[0])
	require.Equal(t, string(domain.RequestIssued), office.look(t, made.ID).State)

	site.api.stop(t)
	site.worker.stop(t)
	require.Zero(t, site.api.deaths.Load()+site.worker.deaths.Load())
	require.Contains(t, auditOf(t, site.database), "intact")
}
