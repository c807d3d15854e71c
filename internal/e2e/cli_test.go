package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Mistakes in the arguments end with code 2, one line that says what is wrong and one that says where help is.
func TestWrongArguments(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown command":         {"isue"},
		"unknown subcommand":      {"audit", "repair"},
		"unknown flag":            {"demo", "--fast"},
		"flag without its value":  {"verify", "--roots"},
		"value of the wrong type": {"bench", "--rounds", "many"},
		"argument too many":       {"migrate", "now"},
		"nothing to measure":      {"bench", "nonsense"},
		"no rounds":               {"bench", "mdoc", "--rounds", "0"},
		"part of a table":         {"bench", "mdoc", "--markdown", "page.md"},
		"no copies":               {"wallet", "collect", "x", "--copies", "0"},
		"too many copies":         {"wallet", "collect", "x", "--copies", "31"},
		"argument missing":        {"wallet", "collect"},
		"neither id nor all":      {"wallet", "refresh"},
		"both id and all":         {"wallet", "refresh", "x", "--all"},
		"required flag missing":   {"verify", "go.mod"},
	} {
		t.Run(name, func(t *testing.T) {
			if args[0] == "verify" && args[1] == "go.mod" {
				args = []string{"verify", filepath.Join(root, "go.mod")}
			}
			got := run(t, cleanEnv(), program(t), args...)
			require.Equal(t, 2, got.code, got.stderr)
			require.Empty(t, got.stdout)
			require.Regexp(t, "^mdocket: [^\n]+\nmdocket: see `mdocket help`\n$", got.stderr)
		})
	}
}

// What cannot be done ends with code 1 and one line.
func TestFailures(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	garbage := file("garbage.cbor", "\xa2\x6anot a document")
	empty := file("empty.cbor", "")
	missing := filepath.Join(dir, "missing")
	newDatabase := filepath.Join(dir, "new.db")
	for name, args := range map[string][]string{
		"audit without a database":           {"audit", "verify"},
		"migrate without a database":         {"migrate"},
		"audit of a missing database":        {"audit", "verify", "--database", "sqlite:" + newDatabase},
		"audit of an unreachable database":   {"audit", "verify", "--database", "postgres://127.0.0.1:1/none?sslmode=disable"},
		"audit of an unknown kind":           {"audit", "verify", "--database", "mysql:none"},
		"audit of what is not a database":    {"audit", "verify", "--database", "sqlite:" + garbage},
		"api without its configuration file": {"api", "--config", missing},
		"worker with a broken file":          {"worker", "--config", file("broken.yaml", "listen: [")},
		"show a document that is not there":  {"wallet", "show", "none", "--dir", filepath.Join(dir, "wallet")},
		"collect from nowhere":               {"wallet", "collect", "http://127.0.0.1:1/c/none", "--dir", filepath.Join(dir, "wallet")},
		"secret over an existing file":       {"secret", garbage},
		"standalone with a bad base URL":     {"standalone", "--data", missing, "--listen", "127.0.0.1:0", "--mailbox", "127.0.0.1:0", "--base-url", "http://x.example/a?b"},
		"standalone with a bad address":      {"standalone", "--data", missing, "--listen", "nonsense"},
		"standalone with a bad port":         {"standalone", "--data", missing, "--temporal-ui", "-5"},
		"present without a transcript":       {"wallet", "present", "none", filepath.Join(dir, "out"), "--transcript", missing, "--dir", filepath.Join(dir, "wallet")},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, cleanEnv(), program(t), args...)
			require.Equal(t, 1, got.code, got.stderr)
			require.Regexp(t, "^mdocket: [^\n]+\n$", got.stderr)
		})
	}
	require.NoFileExists(t, newDatabase, "looking at a database does not make one")
	require.NoFileExists(t, filepath.Join(missing, "secret.key"), "a start that is refused leaves no keys")
	t.Run("verify garbage", func(t *testing.T) {
		// Roots that can be read are needed to come as far as the document.
		good := file("good.pem", iaca(t))
		for _, document := range []string{garbage, empty} {
			got := run(t, cleanEnv(), program(t), "verify", document, "--roots", good)
			require.Equal(t, 1, got.code, got.stderr)
			require.Regexp(t, "^mdocket: [^\n]+\n$", got.stderr)
		}
	})
}

// The first administrator is made with a password that can be used, once: a refusal says why on one line and leaves the place free.
func TestFirstAdministrator(t *testing.T) {
	s := newSite(t, siteOptions{temporal: "127.0.0.1:1", bare: true})
	db := s.open(t)
	for name, c := range map[string]struct {
		env, account, says string
	}{
		"no password":    {"", adminName, "MDOCKET_PASSWORD is not set"},
		"empty password": {"MDOCKET_PASSWORD=", adminName, "MDOCKET_PASSWORD is not set"},
		"short password": {"MDOCKET_PASSWORD=" + s.password[:11], adminName, "password must be 12 to"},
		"bad name":       {"MDOCKET_PASSWORD=" + s.password, "The Chief", "name must be"},
	} {
		t.Run(name, func(t *testing.T) {
			env := s.env
			if c.env != "" {
				env = append(cleanEnv(), c.env)
			}
			got := run(t, env, s.program, "migrate", "admin", c.account, "--config", s.config)
			require.Equal(t, 1, got.code, got.stderr)
			require.Empty(t, got.stdout)
			require.Regexp(t, "^mdocket: [^\n]*"+regexp.QuoteMeta(c.says)+"[^\n]*\n$", got.stderr)
			require.Zero(t, count(t, db, `SELECT count(*) FROM accounts`))
		})
	}
	s.makeAdmin(t)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM accounts`))
	again := run(t, append(cleanEnv(), "MDOCKET_PASSWORD="+s.password), s.program, "migrate", "admin", "second", "--config", s.config)
	require.Equal(t, 1, again.code)
	require.Regexp(t, "^mdocket: there are accounts already; [^\n]+\n$", again.stderr)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM accounts`))
	s.startAPI(t)
	s.waitReady(t)
	signIn(t, s.url, adminName, s.password)
}

// Every problem of a configuration is named at once, so that nobody has to start ten times.
func TestBadConfigurationListsEveryProblem(t *testing.T) {
	config := filepath.Join(t.TempDir(), "mdocket.yaml")
	require.NoError(t, os.WriteFile(config, []byte("base_url: http://somewhere.example\nregion: Switzerland\nkeep_signed: 1s\n"), 0o600))
	for _, command := range []string{"api", "worker"} {
		got := run(t, cleanEnv("MDOCKET_STATUS_LIST__CAPACITY=3"), program(t), command, "--config", config)
		require.Equal(t, 1, got.code)
		for _, setting := range []string{"database", "redis", "secret_file", "key_dir", "authority.common_name", "authority.contact",
			"authority.country", "region", "base_url", "keep_signed", "status_list.capacity"} {
			require.Regexp(t, `(?m)(^|: )`+strings.ReplaceAll(setting, ".", `\.`)+`: `, got.stderr, setting)
		}
	}
	got := run(t, cleanEnv("MDOCKET_DATBASE=sqlite:x"), program(t), "api")
	require.Equal(t, 1, got.code)
	require.Contains(t, got.stderr, "datbase", "a misspelt variable is not passed over")
}
