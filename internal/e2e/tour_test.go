package e2e_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/mdoc"
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
	// The wallet also answers a reader, with nothing but the name.
	session := filepath.Join(t.TempDir(), "session.cbor")
	require.NoError(t, os.WriteFile(session, []byte{0x83, 0xf6, 0xf6, 0x41, 0x07}, 0o600))
	response := filepath.Join(t.TempDir(), "response.cbor")
	tour += "\ncode=$?\n" + program(t) + ` wallet present "$DOC" ` + response + " --transcript " + session +
		" --element org.mdocket.badge.1/family_name\nexit $code\n"
	got := run(t, cleanEnv(), "bash", "-c", tour)
	require.Equal(t, 1, got.code, "the last command says that the badge does not verify any more")
	for _, want := range []string{"given_name", "status    valid\nverified\n", `"state":"disabled"`, "status    suspended\n"} {
		require.Contains(t, got.stdout, want, got.stderr)
	}
	require.NotContains(t, got.stdout, "urn:mdocket:problem")
	requireShown(t, response, []byte{0x83, 0xf6, 0xf6, 0x41, 0x07}, fetch(t, lines[1]+"/pki/iaca.pem"))
	p.stop(t)
}

// requireShown verifies a DeviceResponse, the device's signature over the session included.
func requireShown(t *testing.T, file string, session []byte, roots string) {
	t.Helper()
	answer, err := mdoc.DecodeDeviceResponse(readFile(t, file))
	require.NoError(t, err)
	require.Len(t, answer.Documents, 1)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM([]byte(roots)))
	options := mdoc.VerifyOptions{Roots: pool, Now: time.Now(), DocType: "org.mdocket.badge.1"}
	verified, err := answer.Documents[0].Verify(options, session)
	require.NoError(t, err)
	require.Len(t, verified.NameSpaces, 1)
	require.Len(t, verified.NameSpaces[0].Elements, 1)
	require.Equal(t, "family_name", verified.NameSpaces[0].Elements[0].Identifier)
	_, err = answer.Documents[0].Verify(options, []byte{0x83, 0xf6, 0xf6, 0x41, 0x08})
	require.Error(t, err, "another session")
}
