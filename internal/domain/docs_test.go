package domain_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

// Every option of a profile, and everything that requisite_data may name, is described in docs/profiles.md.
func TestEveryOptionIsDescribed(t *testing.T) {
	file, err := os.ReadFile("../../docs/profiles.md")
	require.NoError(t, err)
	docs := string(file)
	for prefix, options := range map[string]reflect.Type{
		"": reflect.TypeFor[domain.ProfileOptions](), "mdm.": reflect.TypeFor[domain.MDMRule](),
		"self_service.": reflect.TypeFor[domain.SelfServiceOptions](), "renewal.": reflect.TypeFor[domain.RenewalOptions](),
		"key_attestation.": reflect.TypeFor[domain.Resistances](),
	} {
		for i := range options.NumField() {
			name, _, _ := strings.Cut(options.Field(i).Tag.Get("json"), ",")
			require.NotEmpty(t, name)
			described := strings.Contains(docs, "`"+prefix+name+"`") || strings.Contains(docs, "`."+name+"`") ||
				prefix == "" && strings.Contains(docs, "`"+name+".")
			require.True(t, described, "docs/profiles.md does not describe %s%s", prefix, name)
		}
	}
	for _, name := range domain.Requisites() {
		require.Contains(t, docs, "`"+name+"`")
	}
	for _, code := range domain.CollectionRefusals() {
		require.Contains(t, docs, "`"+string(code)+"`")
	}
}
