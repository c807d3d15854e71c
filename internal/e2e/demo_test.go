package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The demonstration cleans up behind itself: it is told to make its folder in one that is empty again when it has ended.
func demoEnv(t *testing.T) (env []string, folder string) {
	t.Helper()
	folder = t.TempDir()
	return append(cleanEnv(), "TMPDIR="+folder), folder
}

func requireEmpty(t *testing.T, folder string) {
	t.Helper()
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
}

// With --keep the server stays up, and somebody can sign in, until it is stopped.
func TestDemoKeeps(t *testing.T) {
	env, folder := demoEnv(t)
	p := start(t, "demo", env, program(t), "demo", "--keep")
	told := p.waitOutput(t, regexp.MustCompile(`(?s)\ndemo ok: document [A-Z2-7]{16} in [0-9.]+ s\n.*\n  API +(http://\S+)/v1\n.*`+
		`stop with Ctrl-C\nadministrator: (\S+), password (\S+)\n`))
	url, admin, password := told[1], told[2], told[3]
	office := signIn(t, url, admin, password)
	require.Equal(t, http.StatusOK, answers(t, url+"/readyz"))
	var people struct {
		Items []json.RawMessage `json:"items"`
	}
	require.NoError(t, office.Do(t.Context(), http.MethodGet, "/v1/people", nil, &people))
	require.Len(t, people.Items, 10, "what the demonstration made is there to look at")
	select {
	case <-p.done:
		require.Fail(t, "it has ended by itself", p.output(t))
	default:
	}

	p.interrupt(t)
	require.Zero(t, answers(t, url+"/readyz"), "the server is gone")
	require.NotContains(t, p.output(t), "mdocket: ", "no complaint at the end")
	requireEmpty(t, folder)
}

// answers gives the status of an answer, 0 for none.
func answers(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// A step that fails ends the demonstration with its number, its name and what went wrong, on one line.
func TestDemoFails(t *testing.T) {
	env, folder := demoEnv(t)
	log := filepath.Join(t.TempDir(), "demo.log")
	p, err := launch("demo", log, env, program(t), "demo")
	require.NoError(t, err)
	t.Cleanup(func() {
		p.kill()
		tellLog(t, "demo", log)
	})
	// A file where the wallet wants its folder: everything before the wallet's step goes well.
	until(t, time.Minute, "the demonstration has its folder", func() (bool, error) {
		data, err := filepath.Glob(filepath.Join(folder, "mdocket-demo-*"))
		if len(data) == 1 {
			err = os.WriteFile(filepath.Join(data[0], "wallet"), nil, 0o600)
		}
		return len(data) == 1, err
	})
	<-p.done
	var exit *exec.ExitError
	require.ErrorAs(t, p.err, &exit)
	require.Equal(t, 1, exit.ExitCode())
	lines := strings.Split(strings.TrimRight(p.output(t), "\n"), "\n")
	last := lines[len(lines)-1]
	failed := regexp.MustCompile(`^mdocket: demo failed at step (\d+) \(collect with the reference wallet \(OpenID4VCI\)\): \S.*$`).
		FindStringSubmatch(last)
	require.NotNil(t, failed, last)
	step, err := strconv.Atoi(failed[1])
	require.NoError(t, err)
	require.Regexp(t, fmt.Sprintf(`^ ?%d  [^:]+.*: arrived, \d+ digits$`, step-1), lines[len(lines)-2], "the step before went well")
	require.NotContains(t, p.output(t), "demo ok")
	require.NotContains(t, p.output(t), "goroutine ")
	requireEmpty(t, folder)
}

// Where there is no place for its folder, it says so and does not start.
func TestDemoWithoutAFolder(t *testing.T) {
	got := run(t, append(cleanEnv(), "TMPDIR="+filepath.Join(t.TempDir(), "missing")), program(t), "demo")
	require.Equal(t, 1, got.code)
	require.Empty(t, got.stdout)
	require.Regexp(t, "^mdocket: make folder: [^\n]+\n$", got.stderr)
}

func TestDemo(t *testing.T) {
	out := mustRun(t, cleanEnv(), program(t), "demo")
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	require.Regexp(t, regexp.MustCompile(`^demo ok: document [A-Z2-7]{16} in [0-9.]+ s$`), lines[len(lines)-1], out)
}
