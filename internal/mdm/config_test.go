package mdm_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/mdm"
)

func valid() mdm.Config {
	return mdm.Config{Name: "devices", BaseURL: "https://mdm.example/v1", Path: "/devices/{id}"}
}

func grant() *mdm.OAuthConfig {
	return &mdm.OAuthConfig{TokenURL: "https://login.example/token?api=2", ClientID: "mdocket", ClientSecret: clientSecret}
}

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	empty, long, secret := write("empty", "\n"), write("long", strings.Repeat("x", 64<<10+1)), write("secret", clientSecret)
	for name, c := range map[string]struct {
		change func(*mdm.Config)
		want   []string // the beginnings of the problems
	}{
		"least":             {func(*mdm.Config) {}, nil},
		"whole":             {func(c *mdm.Config) { c.OAuth, c.NotFound, c.JSONPath = grant(), []int{204, 400, 404, 499}, "value.0" }, nil},
		"bearer token":      {func(c *mdm.Config) { c.BearerToken = bearer }, nil},
		"secret of a file":  {func(c *mdm.Config) { c.OAuth = grant(); c.OAuth.ClientSecret, c.OAuth.ClientSecretFile = "", secret }, nil},
		"own authorization": {func(c *mdm.Config) { c.Headers = map[string]mdm.Secret{"Authorization": "Basic x"} }, nil},
		"http to loopback":  {func(c *mdm.Config) { c.BaseURL = "http://[::1]:8080" }, nil},
		"http on purpose":   {func(c *mdm.Config) { c.BaseURL, c.AllowPlainHTTP = "http://mdm.example", true }, nil},
		"long call":         {func(c *mdm.Config) { c.Timeout = time.Minute }, nil},
		"no name":           {func(c *mdm.Config) { c.Name = "" }, []string{"mdm: a name must be"}},
		"bad name":          {func(c *mdm.Config) { c.Name = "cl1ent s3cret:%" }, []string{"mdm: a name must be"}},
		"http":              {func(c *mdm.Config) { c.BaseURL = "http://mdm.example" }, []string{"mdm.devices.base_url: must be https"}},
		"other scheme":      {func(c *mdm.Config) { c.BaseURL = "ftp://mdm.example" }, []string{"mdm.devices.base_url: must be https"}},
		"no URL":            {func(c *mdm.Config) { c.BaseURL = "" }, []string{"mdm.devices.base_url: must be a URL"}},
		"no host":           {func(c *mdm.Config) { c.BaseURL = "https://:443" }, []string{"mdm.devices.base_url: must be a URL"}},
		"user":              {func(c *mdm.Config) { c.BaseURL = "https://u:cl1ent@mdm.example" }, []string{"mdm.devices.base_url: must be a URL"}},
		"query":             {func(c *mdm.Config) { c.BaseURL = "https://mdm.example/?a=b" }, []string{"mdm.devices.base_url: must have no query"}},
		"fragment":          {func(c *mdm.Config) { c.BaseURL = "https://mdm.example/#" }, []string{"mdm.devices.base_url: must be a URL"}},
		"id in the host":    {func(c *mdm.Config) { c.BaseURL = "https://{id}.example" }, []string{"mdm.devices.base_url: must be a URL"}},
		"no path":           {func(c *mdm.Config) { c.Path = "" }, []string{"mdm.devices.path: must begin with /"}},
		"host by path":      {func(c *mdm.Config) { c.Path = ".evil.example/{id}" }, []string{"mdm.devices.path: must begin with /"}},
		"no place":          {func(c *mdm.Config) { c.Path = "/devices" }, []string{"mdm.devices.path: must have {id}"}},
		"other place":       {func(c *mdm.Config) { c.Path = "/{id}/{user}" }, []string{"mdm.devices.path: must have no braces"}},
		"fragment in path":  {func(c *mdm.Config) { c.Path = "/#{id}" }, []string{"mdm.devices.path: must be ASCII"}},
		"space in path":     {func(c *mdm.Config) { c.Path = "/my devices/{id}" }, []string{"mdm.devices.path: must have no spaces"}},
		"bad escape":        {func(c *mdm.Config) { c.Path = "/%zz/{id}" }, []string{"mdm.devices.path: does not make a URL"}},
		"unencoded":         {func(c *mdm.Config) { c.Path = "/`|/{id}" }, []string{"mdm.devices.path: has characters"}},
		"unencoded base":    {func(c *mdm.Config) { c.BaseURL = "https://mdm.example/^" }, []string{"mdm.devices.path: has characters"}},
		"bad escape, query": {func(c *mdm.Config) { c.Path = "/?a=100%&id={id}" }, []string{"mdm.devices.path: has a %"}},
		"two tokens":        {func(c *mdm.Config) { c.BearerToken, c.OAuth = bearer, grant() }, []string{"mdm.devices.bearer_token: give one"}},
		"token with space":  {func(c *mdm.Config) { c.BearerToken = "a b" }, []string{"mdm.devices.bearer_token: must be"}},
		"no token file":     {func(c *mdm.Config) { c.BearerTokenFile = "/no/such/file" }, []string{"mdm.devices.bearer_token_file: read"}},
		"empty token file":  {func(c *mdm.Config) { c.BearerTokenFile = empty }, []string{"mdm.devices.bearer_token_file: read"}},
		"long token file":   {func(c *mdm.Config) { c.BearerTokenFile = long }, []string{"mdm.devices.bearer_token_file: read"}},
		"folder":            {func(c *mdm.Config) { c.BearerTokenFile = dir }, []string{"mdm.devices.bearer_token_file: read"}},
		"bad token file":    {func(c *mdm.Config) { c.BearerTokenFile = secret }, []string{"mdm.devices.bearer_token_file: must hold"}},
		"no grant": {func(c *mdm.Config) { c.OAuth = &mdm.OAuthConfig{} },
			[]string{"mdm.devices.oauth.token_url", "mdm.devices.oauth.client_id", "mdm.devices.oauth.client_secret"}},
		"two secrets": {func(c *mdm.Config) { c.OAuth = grant(); c.OAuth.ClientSecretFile = secret },
			[]string{"mdm.devices.oauth.client_secret: give one"}},
		"no secret file": {func(c *mdm.Config) { c.OAuth = grant(); c.OAuth.ClientSecret, c.OAuth.ClientSecretFile = "", empty },
			[]string{"mdm.devices.oauth.client_secret_file: read"}},
		"token by http": {func(c *mdm.Config) { c.OAuth = grant(); c.OAuth.TokenURL = "http://login.example" },
			[]string{"mdm.devices.oauth.token_url: must be https"}},
		"auth method": {func(c *mdm.Config) { c.OAuth = grant(); c.OAuth.AuthMethod = "none" }, []string{"mdm.devices.oauth.auth_method"}},
		"CA of tokens": {func(c *mdm.Config) { c.OAuth = grant(); c.OAuth.CAFile = secret },
			[]string{"mdm.devices.oauth.ca_file: holds no PEM"}},
		"no CA file":  {func(c *mdm.Config) { c.CAFile = "/no/such/file" }, []string{"mdm.devices.ca_file: read"}},
		"header name": {func(c *mdm.Config) { c.Headers = map[string]mdm.Secret{"a b": "x"} }, []string{"mdm.devices.headers: a name"}},
		"header value": {func(c *mdm.Config) { c.Headers = map[string]mdm.Secret{"A": "cl1ent\r\nB: x"} },
			[]string{"mdm.devices.headers: the value of A"}},
		"header twice": {func(c *mdm.Config) { c.Headers = map[string]mdm.Secret{"X-A": "x", "x-a": "y"} },
			[]string{"mdm.devices.headers: X-A is given twice"}},
		"header of exchange": {func(c *mdm.Config) { c.Headers = map[string]mdm.Secret{"host": "x"} }, []string{"mdm.devices.headers: Host"}},
		"two authorizations": {func(c *mdm.Config) { c.BearerToken, c.Headers = bearer, map[string]mdm.Secret{"authorization": "x"} },
			[]string{"mdm.devices.headers: Authorization"}},
		"JSON path":          {func(c *mdm.Config) { c.JSONPath = "value..0" }, []string{"mdm.devices.json_path"}},
		"forbidden is found": {func(c *mdm.Config) { c.NotFound = []int{404, 403} }, []string{"mdm.devices.not_found"}},
		"broken is found":    {func(c *mdm.Config) { c.NotFound = []int{500} }, []string{"mdm.devices.not_found"}},
		"success is found":   {func(c *mdm.Config) { c.NotFound = []int{200} }, []string{"mdm.devices.not_found"}},
		"negative time":      {func(c *mdm.Config) { c.Timeout = -1 }, []string{"mdm.devices.timeout"}},
		"call over deadline": {func(c *mdm.Config) { c.Timeout, c.Deadline = 2*time.Second, time.Second }, []string{"mdm.devices.timeout"}},
		"endless":            {func(c *mdm.Config) { c.Deadline = 3 * time.Minute }, []string{"mdm.devices.timeout"}},
		"short answer":       {func(c *mdm.Config) { c.MaxAnswer = 1023 }, []string{"mdm.devices.max_answer"}},
		"endless answer":     {func(c *mdm.Config) { c.MaxAnswer = 1 << 30 }, []string{"mdm.devices.max_answer"}},
		"all at once": {func(c *mdm.Config) {
			*c = mdm.Config{Name: "devices", JSONPath: ".", MaxAnswer: -1, BearerTokenFile: empty}
		},
			[]string{"mdm.devices.base_url", "mdm.devices.json_path", "mdm.devices.max_answer", "mdm.devices.bearer_token_file"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := valid()
			c.change(&config)
			problems := mdm.Validate([]mdm.Config{config})
			require.Len(t, problems, len(c.want), "%v", problems)
			for i, problem := range problems {
				require.True(t, strings.HasPrefix(problem.Error(), c.want[i]), problem.Error())
				for _, private := range []string{bearer, clientSecret, "cl1ent"} {
					require.NotContains(t, problem.Error(), private)
				}
			}
			made, err := mdm.New([]mdm.Config{config})
			if len(c.want) > 0 {
				require.ErrorContains(t, err, c.want[0])
				require.Nil(t, made)
				return
			}
			require.NoError(t, err)
			require.NoError(t, made.Close())
		})
	}
	problems := mdm.Validate([]mdm.Config{valid(), {Name: "tablets"}, valid()})
	require.Len(t, problems, 2)
	require.ErrorContains(t, problems[0], "mdm.tablets.base_url")
	require.ErrorContains(t, problems[1], "mdm.devices: is configured twice")
}

func FuzzAddress(f *testing.F) {
	for _, path := range []string{"/devices/{id}", "/devices?$filter=id eq '{id}'", "/('{id}')/{id}?a={id}&b=%20",
		"//evil.example/{id}", "/\\evil/{id}", "/`{id}"} {
		for _, id := range []string{deviceID, "../x", "/", "a'b", "a b+c%?#&=/\\", "\xff"} {
			f.Add(path, id)
		}
	}
	f.Fuzz(func(t *testing.T, path, id string) {
		const base = "https://mdm.example/v1"
		plain, err := mdm.AddressOf(base, path, "plain")
		if err != nil {
			return
		}
		hostile, err := mdm.AddressOf(base, path, id)
		if err != nil {
			require.ErrorIs(t, err, mdm.ErrConfiguration)
			require.NotContains(t, err.Error(), deviceID)
			return
		}
		want, err := url.Parse(plain)
		require.NoError(t, err)
		got, err := url.Parse(hostile)
		require.NoError(t, err)
		require.Equal(t, "mdm.example", got.Host)
		require.Nil(t, got.User)
		require.Empty(t, got.Fragment)
		require.True(t, strings.HasPrefix(got.EscapedPath(), "/v1/"))
		require.Equal(t, strings.Count(want.EscapedPath(), "/"), strings.Count(got.EscapedPath(), "/"), "no id adds a segment")
		require.Equal(t, strings.Count(want.RawQuery, "&"), strings.Count(got.RawQuery, "&"), "or a parameter")
		require.Equal(t, strings.Count(want.RawQuery, "="), strings.Count(got.RawQuery, "="))
	})
}
