package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

func TestKindsOfRequest(t *testing.T) {
	require.Equal(t, domain.RequestIssue, domain.Request{}.Kind())
	require.Equal(t, domain.RequestUpdate, domain.Request{Replaces: "a document"}.Kind())
}

// The holder of an update is told once, by e-mail, and types nothing.
func TestUpdateDeliveries(t *testing.T) {
	one := []domain.Delivery{{Channel: domain.ChannelEmail, Kind: domain.MessageReprovision}}
	for scheme, want := range map[domain.NotificationScheme][]domain.Delivery{domain.NotifyDefault: one, domain.NotifyCodeByEmail: one,
		domain.NotifyCodeBySMS: one, domain.NotifyNone: nil} {
		o := domain.ProfileOptions{NotificationScheme: scheme, LogonCode: domain.LogonCodeComplex}
		require.Equal(t, want, o.UpdateDeliveries(), scheme)
	}
}
