package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/config"
)

const good = `
listen: 0.0.0.0:8443
base_url: https://id.example/dmv/
server_name: Road Office
region: CH
database: postgres://mdocket@db/mdocket
redis: redis://cache:6379/0
secret_file: /etc/mdocket/secret
key_dir: /var/lib/mdocket/keys
temporal: {address: "temporal:7233"}
authority: {country: UT, common_name: Utopia IACA, contact: pki@id.example}
mail: {host: smtp.example, port: 587, username: u, password: s3cr3tpa55, from: id@id.example}
sms:
  http: {url: "https://sms.example/send", body: "{}", headers: {X-Key: "1"}, timeout: 7s}
`

func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mdocket.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLoad(t *testing.T) {
	c, err := config.Load(file(t, good))
	require.NoError(t, err)
	require.Equal(t, "https://id.example/dmv", c.BaseURL, "without the slash at its end")
	require.Equal(t, "UT", c.Authority.Country)
	require.Equal(t, 60*time.Second, c.StatusList.TTL, "what the file does not say has its default")
	require.Equal(t, "default", c.Temporal.Namespace, "inside a section too")
	require.Equal(t, 7*time.Second, c.SMS.HTTP.Timeout)

	n := c.Notify()
	require.Equal(t, "smtp.example", n.Mail.Host)
	require.Equal(t, "s3cr3tpa55", string(n.Mail.Password))
	require.Equal(t, "https://sms.example/send", n.SMS.HTTP.URL)
	require.Nil(t, n.SMS.Email)
	require.Nil(t, config.Defaults().Notify().Mail)
}

func TestEnvironmentOverFile(t *testing.T) {
	for name, value := range map[string]string{"MDOCKET_LISTEN": "127.0.0.1:1", "MDOCKET_TEMPORAL__NAMESPACE": "prod", "MDOCKET_MAIL__PORT": "2525",
		"MDOCKET_STATUS_LIST__TTL": "5m", "MDOCKET_TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1", "MDOCKET_WORKER__SIGNING": "4",
		"MDOCKET_TEST_POSTGRES": "for tests", "MDOCKET_FAILPOINT": "for tests"} {
		t.Setenv(name, value)
	}
	c, err := config.Load(file(t, good))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", c.Listen)
	require.Equal(t, "prod", c.Temporal.Namespace)
	require.Equal(t, "temporal:7233", c.Temporal.Address)
	require.Equal(t, 2525, c.Mail.Port)
	require.Equal(t, 5*time.Minute, c.StatusList.TTL)
	require.Equal(t, []string{"10.0.0.0/8", "192.0.2.1"}, c.TrustedProxies)
	require.Equal(t, 4, c.Worker.Signing)
}

func TestEveryProblemIsNamed(t *testing.T) {
	_, err := config.Load("")
	require.Error(t, err)
	for _, name := range []string{"base_url", "database", "redis", "secret_file", "key_dir", "authority.country", "authority.common_name",
		"authority.contact"} {
		require.ErrorContains(t, err, name+":")
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"http":           {"https://id.example/dmv/", "http://id.example", "base_url"},
		"query":          {"https://id.example/dmv/", "https://id.example/?a=b", "base_url"},
		"user":           {"https://id.example/dmv/", "https://u:p@id.example/", "base_url"},
		"region":         {"region: CH", "region: Switzerland", "region"},
		"country":        {"country: UT", "country: ut", "authority.country"},
		"unknown":        {"region: CH", "region: CH\nregoin: CH", "regoin"},
		"not a number":   {"port: 587", "port: many", "port"},
		"not a duration": {"timeout: 7s", "timeout: soon", "timeout"},
		"templates":      {"region: CH", "region: CH\ntemplates_dir: /no/such", "templates_dir"},
		"formats":        {"region: CH", "region: CH\nformats_dir: /dev/null", "formats_dir"},
		"kept too short": {"region: CH", "region: CH\nkeep_signed: 1s", "keep_signed"},
		"list":           {"region: CH", "region: CH\nstatus_list: {ttl: 10s, refresh: 20s, capacity: 5}", "status_list.capacity"},
		"mail":           {"from: id@id.example", "from: nobody", "from"},
		"no YAML":        {"region: CH", "region: [", "read configuration file"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, good, c.from)
			_, err := config.Load(file(t, strings.Replace(good, c.from, c.to, 1)))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "s3cr3tpa55", "no secret in an error")
		})
	}
	_, err = config.Load("/no/such/file")
	require.ErrorContains(t, err, "read configuration file")
	local, err := config.Load(file(t, strings.Replace(good, "https://id.example/dmv/", "http://127.0.0.1:8080", 1)))
	require.NoError(t, err, "plain HTTP to the own machine")
	require.Equal(t, "http://127.0.0.1:8080", local.BaseURL)
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{good, "", "listen: [", "mail: 1", "sms: {http: {headers: [1]}}", "status_list: {ttl: -1h}", "a: &a [*a]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Load(file(t, text))
		if err == nil {
			require.Empty(t, c.Validate())
		}
	})
}
