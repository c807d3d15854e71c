package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// TestTour pastes the tour of the README into a shell, against a server as the README starts it.
func TestTour(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	blocks := shellBlock.FindAllStringSubmatch(string(readme), -1)
	require.Len(t, blocks, 4, "the two commands, the start, the password, the tour")
	require.Contains(t, blocks[1][1], "make run ARGS=--example")

	p := start(t, "tour", cleanEnv(), program(t), "standalone", "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0",
		"--mailbox", "127.0.0.1:0", "--temporal-ui", "0", "--example")
	lines := p.waitOutput(t, runningLine)
	password := passwordLine.FindStringSubmatch(p.output(t))
	require.NotNil(t, password)

	tour := strings.NewReplacer("http://127.0.0.1:8080", lines[1], "http://127.0.0.1:8081", lines[2], "bin/mdocket", program(t)).
		Replace("PASSWORD='" + password[1] + "'\n" + blocks[3][1])
	got := run(t, cleanEnv(), "bash", "-c", tour)
	require.Equal(t, 1, got.code, "the last command says that the badge does not verify any more")
	for _, want := range []string{"given_name", "status    valid\nverified\n", `"state":"disabled"`, "status    suspended\n"} {
		require.Contains(t, got.stdout, want, got.stderr)
	}
	require.NotContains(t, got.stdout, "urn:mdocket:problem")
	p.stop(t)
}
