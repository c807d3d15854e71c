package messages_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/workflows/messages"
)

// sent gives the error as it comes out of Temporal.
func sent(err error) error {
	converter := temporal.GetDefaultFailureConverter()
	return converter.FailureToError(converter.ErrorToFailure(err))
}

func TestRefusalRoundTrip(t *testing.T) {
	for name, want := range map[string]*domain.Error{
		"plain":   domain.Errorf(domain.CodeWrongState, "the request is issued"),
		"details": domain.Errorf(domain.CodeAlreadyDecided, "decided").With("by", "account-7"),
		"fields":  {Code: domain.CodeInvalid, Message: "invalid", Fields: []domain.FieldError{{Field: "name", Problem: "is required"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := messages.AsRefusal(fmt.Errorf("update: %w", sent(messages.Refusal(want))))
			require.True(t, ok)
			require.Equal(t, want, got)
		})
	}
}

func TestOtherErrorsAreNoRefusals(t *testing.T) {
	for name, err := range map[string]error{
		"none":          nil,
		"plain":         errors.New("x"),
		"application":   temporal.NewApplicationError("x", string(domain.CodeInvalid)),
		"other details": temporal.NewApplicationError("x", string(domain.CodeInvalid), "details"),
		"other type":    temporal.NewApplicationError("x", "other", map[string]string{"code": string(domain.CodeInvalid)}),
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := messages.AsRefusal(sent(err))
			require.False(t, ok)
		})
	}
}

func TestWorkflowIDs(t *testing.T) {
	require.Equal(t, "issuance-r1", messages.IssuanceID("r1"))
	require.Equal(t, "cancellation-c1", messages.CancellationID("c1"))
	require.Equal(t, "batch-b1", messages.BatchID("b1"))
}
