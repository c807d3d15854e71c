// Package issuertest gives tests a whole issuing authority: the real issuer on a real database, with keys in files, a certification authority of
// its own and the shipped formats and templates. Only what leaves the house is a recorder (e-mail, SMS), and the workflow engine is a
// short one that carries acts out at once, in this process. It is not for tests of workflows.
package issuertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"image"
	"image/color"
	"image/jpeg"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/telemetry"
	"github.com/mdocket/mdocket/internal/testenv"
)

// BaseURL is the public address of the authority in tests.
const BaseURL = "https://issuer.example"

// AdminName and AdminPassword sign the administrator in that [Fixture.Admin] stands for.
const (
	AdminName     = "admin"
	AdminPassword = "correct horse battery staple"
)

// Options change the fixture; the zero value is an authority on SQLite.
type Options struct {
	Postgres bool                            // on PostgreSQL instead of SQLite
	Config   func(*issuer.Config)            // changes the configuration before the authority is made
	BaseURL  string                          // instead of BaseURL; for a server on loopback
	Keys     func(keys.Manager) keys.Manager // wraps the keys, to see or stop what is signed
	MDM      issuer.MDM                      // device management; nil = none

	Attestors issuer.Attestors // whose key attestations are trusted
}

// Fixture is a running authority. All of it ends with the test.
type Fixture struct {
	Issuer  *issuer.Issuer
	Store   *store.Store
	Access  *access.Authenticator
	Cache   *cache.Cache
	Engine  *Engine
	Mail    *Mailer
	SMS     *Phone
	Metrics *telemetry.Metrics
	Clock   *Clock
	Logs    *Logs // everything logged, as JSON lines
	Config  issuer.Config
	Deps    issuer.Deps // of the issuer: for a second one, as another process would be
	DSN     string      // of the database

	admin domain.Caller
}

// New makes an authority with its certificates and the first administrator.
func New(t testing.TB, o Options) *Fixture {
	t.Helper()
	f := &Fixture{Mail: &Mailer{}, SMS: &Phone{}, Metrics: telemetry.NewMetrics(), Clock: &Clock{}, Logs: &Logs{}}
	f.Config = issuer.Config{
		BaseURL: BaseURL, ServerName: "Test Authority", Language: "en", DefaultRegion: "CH",
		Authority: issuer.AuthorityConfig{Country: "UT", Organization: "Test Authority", CommonName: "Test IACA",
			Contact: "pki@issuer.example", CRLURL: BaseURL + "/crl"},
		StatusTTL: time.Minute, StatusRefresh: 0, StatusEntries: 1 << 12, KeepSigned: time.Hour,
	}
	if o.BaseURL != "" {
		f.Config.BaseURL, f.Config.Authority.CRLURL = o.BaseURL, o.BaseURL+"/crl"
	}
	if o.Config != nil {
		o.Config(&f.Config)
	}
	dir := t.TempDir()
	f.DSN = "sqlite:" + filepath.Join(dir, "mdocket.db")
	if o.Postgres {
		f.DSN = testenv.Postgres(t)
	}
	f.Store = openStore(t, f.DSN)
	f.openCache(t)

	secretBytes := make([]byte, keys.SecretSize)
	_, err := rand.Read(secretBytes)
	check(t, "make secret", err)
	secret, err := keys.NewSecret(secretBytes)
	check(t, "make secret", err)
	keyStore, err := keys.NewFileStore(filepath.Join(dir, "keys"), secret.Derive("keys"))
	check(t, "open key store", err)
	formats, err := format.Load("")
	check(t, "load formats", err)
	templates, err := notify.LoadTemplates(nil)
	check(t, "load templates", err)
	log, err := telemetry.NewLogger(f.Logs, "json", "debug")
	check(t, "make logger", err)

	f.Engine = &Engine{}
	f.Deps = issuer.Deps{Store: f.Store, Engine: f.Engine, Cache: f.Cache, Formats: formats, Keys: keyStore, Secret: secret,
		Mailer: f.Mail, SMS: f.SMS, MDM: o.MDM, Attestors: o.Attestors, Templates: templates, Metrics: f.Metrics, Log: log, Now: f.Clock.Now,
		Rand: rand.Reader}
	if o.Keys != nil {
		f.Deps.Keys = o.Keys(keyStore)
	}
	f.Issuer = issuer.New(f.Config, f.Deps)
	f.Engine.issuer = f.Issuer
	f.Access = access.New(f.Store, f.Cache, f.Clock.Now)

	check(t, "make certificates", f.Issuer.EnsureAuthority(t.Context()))
	_, err = f.Issuer.Bootstrap(t.Context(), AdminName, AdminPassword)
	check(t, "make administrator", err)
	login, err := f.Store.AccountByName(t.Context(), AdminName)
	check(t, "load administrator", err)
	f.admin = f.caller(t, login.Account)
	f.Group(t, PersonGroup)
	return f
}

func openStore(t testing.TB, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn)
	check(t, "open store", err)
	t.Cleanup(func() { check(t, "close store", s.Close()) })
	_, err = s.Migrate(t.Context())
	check(t, "migrate store", err)
	return s
}

func (f *Fixture) openCache(t testing.TB) {
	t.Helper()
	c, err := cache.Open(t.Context(), testenv.Redis(t))
	check(t, "open cache", err)
	t.Cleanup(func() { check(t, "close cache", c.Close()) })
	f.Cache = c
}

// Admin is an operator who may do everything everywhere and has no person record.
func (f *Fixture) Admin() domain.Caller { return f.admin }

// Grants are permissions, each in a scope.
type Grants map[domain.Permission]domain.Scope

// All gives the permissions in scope all.
func All(permissions ...domain.Permission) Grants {
	g := Grants{}
	for _, p := range permissions {
		g[p] = domain.ScopeAll
	}
	return g
}

// Caller makes an account with the grants; personID may be empty. Its name is name, which must be unique.
func (f *Fixture) Caller(t testing.TB, name, personID string, grants Grants) domain.Caller {
	t.Helper()
	ctx := t.Context()
	a, err := f.Issuer.CreateAccount(ctx, f.admin, "", issuer.NewAccount{Name: name, PersonID: personID, Email: name + "@issuer.example"})
	check(t, "create account", err)
	byScope := map[domain.Scope][]domain.Permission{}
	for _, p := range domain.Permissions() {
		if s := grants[p]; s != "" {
			byScope[s] = append(byScope[s], p)
		}
	}
	var assignments []domain.Assignment
	for scope, permissions := range byScope {
		role, err := f.Issuer.CreateRole(ctx, f.admin, "", issuer.SaveRole{Name: name + "-" + string(scope), Permissions: permissions})
		check(t, "create role", err)
		assignments = append(assignments, domain.Assignment{RoleID: role.ID, Scope: scope})
	}
	check(t, "assign roles", f.Issuer.AssignRoles(ctx, f.admin, a.ID, assignments))
	return f.caller(t, a)
}

func (f *Fixture) caller(t testing.TB, a domain.Account) domain.Caller {
	t.Helper()
	c, err := f.Store.Caller(t.Context(), a.ID)
	check(t, "load caller", err)
	return c
}

// Token makes a bearer token of the caller's account: an API key.
func (f *Fixture) Token(t testing.TB, caller domain.Caller) string {
	t.Helper()
	_, secret, err := f.Issuer.CreateAPIKey(t.Context(), f.admin, caller.AccountID, "test", time.Time{})
	check(t, "create API key", err)
	return secret
}

// NewPerson is a person with a value for every mandatory data element of the mDL and of the staff badge, without images and id.
func NewPerson() domain.Person {
	return domain.Person{
		GivenName: "Erika", FamilyName: "Mustermann", Email: "erika@holder.example", Mobile: "+41791234567", BirthDate: "1990-03-01",
		Group: PersonGroup, Status: domain.PersonActive,
		Attributes: map[string]any{
			"issuing_country": "UT", "issuing_authority": "Test Authority", "document_number": "D-77", "un_distinguishing_sign": "UTO",
			"driving_privileges": []any{
				map[string]any{"vehicle_category_code": "B", "issue_date": "2018-08-09", "expiry_date": "2038-09-01"},
			},
			"sex": float64(2), "height": float64(170), "nationality": "UT", "resident_city": "Sample City",
		},
	}
}

// Person stores [NewPerson] with a portrait, changed by the given functions before; it has an external id of its own unless one is given.
func (f *Fixture) Person(t testing.TB, change ...func(*domain.Person)) domain.Person {
	t.Helper()
	p := NewPerson()
	p.ExternalID = "E-" + rand.Text()[:10]
	for _, c := range change {
		c(&p)
	}
	stored, err := f.Issuer.CreatePerson(t.Context(), f.admin, "", p)
	check(t, "create person", err)
	check(t, "store portrait", f.Issuer.PutImage(t.Context(), f.admin, domain.Image{PersonID: stored.ID, Kind: domain.ImagePortrait,
		Bytes: Portrait(), CapturedAt: f.Clock.Now().AddDate(0, -1, 0)}))
	stored, err = f.Store.Person(t.Context(), stored.ID)
	check(t, "load person", err)
	return stored
}

// Portrait is a small JPEG picture.
func Portrait() []byte { return portrait() }

var portrait = sync.OnceValue(func() []byte {
	img := image.NewGray(image.Rect(0, 0, 16, 20))
	for i := range img.Pix {
		img.SetGray(i%16, i/16, color.Gray{Y: uint8(i)})
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		return nil
	}
	return b.Bytes()
})

// Profile stores a profile of the mDL named name that sends link and code by e-mail and needs no approval, changed by the given functions.
func (f *Fixture) Profile(t testing.TB, name string, change ...func(*domain.ProfileOptions)) domain.Profile {
	t.Helper()
	o := domain.ProfileOptions{DisplayName: "Driving licence", Format: "iso-mdl", NotificationScheme: domain.NotifyCodeByEmail, MaxCopies: 3,
		OnReissue: domain.ReissueKeep}
	for _, c := range change {
		c(&o)
	}
	p, err := f.Issuer.CreateProfile(t.Context(), f.admin, "", issuer.SaveProfile{Name: name, Options: o})
	check(t, "create profile", err)
	return p
}

// AuditHead gives the number of the last audit entry: an act that changed nothing leaves it.
func (f *Fixture) AuditHead(t testing.TB) int64 {
	t.Helper()
	seq, _, err := f.Store.AuditHead(t.Context())
	check(t, "read audit head", err)
	return seq
}

// Clock is the time of the authority: the real one, moved ahead as the test likes.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

// Now gives the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Advance moves the time ahead. What Redis keeps does not age with it.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// Mailer keeps e-mails instead of sending them. Its zero value takes everything.
type Mailer struct {
	mu   sync.Mutex
	sent []notify.Email
	fail error
}

// Send keeps the e-mail, or fails as told.
func (m *Mailer) Send(_ context.Context, e notify.Email) (notify.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return notify.Receipt{}, m.fail
	}
	m.sent = append(m.sent, e)
	return notify.Receipt{Answer: "250 2.0.0 kept"}, nil
}

// Fail lets every e-mail fail with err until it is called with nil.
func (m *Mailer) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// Sent gives a copy of what was sent so far, oldest first.
func (m *Mailer) Sent() []notify.Email {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]notify.Email(nil), m.sent...)
}

// Phone keeps SMS instead of sending them. Its zero value takes everything.
type Phone struct {
	mu   sync.Mutex
	sent []notify.Message
	fail error
}

// Send keeps the SMS, or fails as told.
func (p *Phone) Send(_ context.Context, m notify.Message) (notify.Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return notify.Receipt{}, p.fail
	}
	p.sent = append(p.sent, m)
	return notify.Receipt{Answer: "kept"}, nil
}

// Fail lets every SMS fail with err until it is called with nil.
func (p *Phone) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// Sent gives a copy of what was sent so far, oldest first.
func (p *Phone) Sent() []notify.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]notify.Message(nil), p.sent...)
}

// Logs keeps what is logged.
type Logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String gives everything logged so far.
func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func check(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
