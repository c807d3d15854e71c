package workflows_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"github.com/mdocket/mdocket/worker"
	"github.com/mdocket/mdocket/workflows"
	"github.com/mdocket/mdocket/workflows/messages"
)

func TestExpiry(t *testing.T) {
	for name, failing := range map[string]int{"works": 0, "fails": -1} {
		t.Run(name, func(t *testing.T) {
			var suite testsuite.WorkflowTestSuite
			suite.SetLogger(log.NewStructuredLogger(quiet))
			env := suite.NewTestWorkflowEnvironment()
			issuer := newFakeIssuer(env.Now)
			issuer.failing["SweepDocuments"] = failing
			worker.RegisterRequests(env, bind(issuer, func(context.Context, string) error { return nil }))
			env.ExecuteWorkflow(workflows.Expiry)
			require.Equal(t, 1, issuer.called("SweepDocuments"), "the schedule comes again soon, so there is one try")
			if failing != 0 {
				require.Error(t, env.GetWorkflowError())
				require.NotContains(t, env.GetWorkflowError().Error(), "192.0.2.1")
				return
			}
			require.NoError(t, env.GetWorkflowError())
			var result messages.ExpiryResult
			require.NoError(t, env.GetWorkflowResult(&result))
			require.Equal(t, messages.ExpiryResult{Expired: 1, Reminded: 2, Renewed: 3}, result)
		})
	}
}
