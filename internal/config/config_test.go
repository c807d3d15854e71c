package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/mdm"
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
	require.Equal(t, 45*time.Second, c.StatusList.TTL, "what the file does not say has its default")
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
	for name, value := range map[string]string{"MDOCKET_LISTEN": "127.0.0.1:1", "MDOCKET_METRICS_LISTEN": "127.0.0.1:2",
		"MDOCKET_TEMPORAL__NAMESPACE": "prod", "MDOCKET_MAIL__PORT": "2525",
		"MDOCKET_STATUS_LIST__TTL": "5m", "MDOCKET_TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1", "MDOCKET_WORKER__SIGNING": "4",
		"MDOCKET_TEST_POSTGRES": "for tests", "MDOCKET_FAILPOINT": "for tests"} {
		t.Setenv(name, value)
	}
	c, err := config.Load(file(t, good))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", c.Listen)
	require.Equal(t, "127.0.0.1:2", c.MetricsListen)
	require.Equal(t, "prod", c.Temporal.Namespace)
	require.Equal(t, "temporal:7233", c.Temporal.Address)
	require.Equal(t, 2525, c.Mail.Port)
	require.Equal(t, 5*time.Minute, c.StatusList.TTL)
	require.Equal(t, []string{"10.0.0.0/8", "192.0.2.1"}, c.TrustedProxies)
	require.Equal(t, 4, c.Worker.Signing)
}

const devices = good + `
mdm:
  devices:
    base_url: https://mdm.example/v1
    path: "/devices?$filter=deviceId eq '{id}'"
    json_path: value.0
    headers: {X-Tenant: t3nant}
    not_found: [404, 410]
    timeout: 3s
    deadline: 9s
    max_answer: 65536
    oauth: {token_url: "https://login.example/token", client_id: mdocket, client_secret: fr0mfile, scope: devices.read}
  tablets: {base_url: "https://tablets.example", path: "/{id}", bearer_token: t0k3nt0k3n}
`

func TestMDM(t *testing.T) {
	c, err := config.Load(file(t, devices))
	require.NoError(t, err)
	require.Equal(t, []mdm.Config{
		{Name: "devices", BaseURL: "https://mdm.example/v1", Path: "/devices?$filter=deviceId eq '{id}'", JSONPath: "value.0",
			Headers: map[string]mdm.Secret{"X-Tenant": "t3nant"}, NotFound: []int{404, 410}, Timeout: 3 * time.Second, Deadline: 9 * time.Second,
			MaxAnswer: 65536, OAuth: &mdm.OAuthConfig{TokenURL: "https://login.example/token", ClientID: "mdocket", ClientSecret: "fr0mfile",
				Scope: "devices.read"}},
		{Name: "tablets", BaseURL: "https://tablets.example", Path: "/{id}", BearerToken: "t0k3nt0k3n", Headers: map[string]mdm.Secret{}},
	}, c.MDMSystems())
	require.Empty(t, config.Defaults().MDMSystems())

	t.Setenv("MDOCKET_MDM__DEVICES__OAUTH__CLIENT_SECRET", "fr0menv")
	t.Setenv("MDOCKET_MDM__DEVICES__NOT_FOUND", "404,400")
	c, err = config.Load(file(t, devices))
	require.NoError(t, err)
	require.Equal(t, "fr0menv", c.MDM["devices"].OAuth.ClientSecret, "the environment goes over the file")
	require.Equal(t, []int{404, 400}, c.MDMSystems()[0].NotFound)
	require.Equal(t, "mdocket", c.MDM["devices"].OAuth.ClientID)
	require.Equal(t, "t0k3nt0k3n", c.MDM["tablets"].BearerToken)
}

func TestEveryProblemOfMDMsIsNamed(t *testing.T) {
	_, err := config.Load(file(t, good+`
mdm:
  devices: {base_url: "http://mdm.example", path: /devices, oauth: {token_url: login, client_secret: s3cr3tpa55}, not_found: [200], timeout: 20s}
  tablets: {base_url: "https://mdm.example", path: "/{id}", bearer_token_file: /no/such/file, ca_file: /no/such/file, max_answer: 1,
    not_found: [4o4]}
  De vices: {path: s3cr3tpa55}
`))
	for _, name := range []string{"mdm.devices.base_url:", "mdm.devices.oauth.token_url:", "mdm.devices.oauth.client_id:",
		"mdm.devices.not_found:", "mdm.tablets.bearer_token_file:", "mdm.tablets.ca_file:", "mdm.tablets.max_answer:",
		"mdm.tablets.not_found:", "mdm: a name must be"} {
		require.ErrorContains(t, err, name)
	}
	require.NotContains(t, err.Error(), "s3cr3tpa55")
	for name, section := range map[string]string{"a list": "[{base_url: x}]", "unknown": "{devices: {base_ulr: x}}", "text": "devices"} {
		_, err := config.Load(file(t, good+"\nmdm: "+section))
		require.Error(t, err, name)
	}
}

func TestExample(t *testing.T) {
	t.Setenv("MDOCKET_MDM__DEVICES__OAUTH__CLIENT_SECRET", "from a vault")
	c, err := config.Load(filepath.Join("..", "..", "deploy", "config.example.yaml"))
	require.NoError(t, err)
	require.Len(t, c.MDMSystems(), 1)
	require.Equal(t, "from a vault", string(c.MDMSystems()[0].OAuth.ClientSecret))
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
		"metrics":        {"region: CH", "region: CH\nmetrics_listen: 0.0.0.0:8443", "metrics_listen"},
		"list":           {"region: CH", "region: CH\nstatus_list: {ttl: 10s, refresh: 20s, capacity: 5}", "status_list.capacity"},
		"decoys":         {"region: CH", "region: CH\nstatus_list: {decoys: 101}", "status_list.decoys"},
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
	for _, seed := range []string{good, "", "listen: [", "mail: 1", "sms: {http: {headers: [1]}}", "status_list: {ttl: -1h}", "a: &a [*a]",
		devices, "mdm: {d: {path: '{id}'}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Load(file(t, text))
		if err == nil {
			require.Empty(t, c.Validate())
		}
	})
}
