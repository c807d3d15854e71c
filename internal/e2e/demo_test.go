package e2e_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDemo(t *testing.T) {
	out := mustRun(t, cleanEnv(), program(t), "demo")
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	require.Regexp(t, regexp.MustCompile(`^demo ok: document [A-Z2-7]{16} in [0-9.]+ s$`), lines[len(lines)-1], out)
}
