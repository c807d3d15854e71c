package bench

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/server"
	"github.com/mdocket/mdocket/internal/standalone"
	"github.com/mdocket/mdocket/internal/store"
)

const (
	importChunk = 100 // rows that an import stores in one transaction
	searches    = 400 // of each round
	searchers   = 4   // at once
)

// peopleRows imports people through the API, compares that with bare inserts, and then searches among them.
func peopleRows(ctx context.Context, o Options) ([]Row, error) {
	rows, err := peopleOn(ctx, o, "sqlite", func(name string) (string, func() error, error) {
		return "sqlite:" + filepath.Join(o.Dir, name+".db"), func() error { return nil }, nil
	})
	if err != nil || o.Database == "" {
		return rows, err
	}
	more, err := peopleOn(ctx, o, "postgres", func(name string) (string, func() error, error) { return besides(ctx, o.Database, name) })
	return append(rows, more...), err
}

// peopleOn takes the figures on one kind of database; open makes an empty one.
func peopleOn(ctx context.Context, o Options, kind string, open func(name string) (dsn string, drop func() error, err error)) (
	rows []Row, err error) {
	small, err := importInto(ctx, o, open, kind+"-small", o.People/10, nil)
	if err != nil {
		return nil, err
	}
	var imports []pair
	var peak float64
	var search Row
	for round := range min(o.Rounds, 3) {
		name := fmt.Sprintf("%s-%d", kind, round)
		floor, err := insertInto(ctx, open, name+"-bare", o.People)
		if err != nil {
			return nil, err
		}
		last := func(s *peopleServer) (err error) {
			search, err = s.searchRow(ctx, o, kind)
			return err
		}
		if round > 0 {
			last = nil
		}
		got, err := importInto(ctx, o, open, name, o.People, last)
		if err != nil {
			return nil, err
		}
		imports = append(imports, pair{got.rate, floor})
		peak = max(peak, got.peak)
	}
	m, ratio := middle(imports, valueByFloor)
	return []Row{
		{Name: fmt.Sprintf("people.import (%d, %s)", o.People, kind), Value: m.value, Unit: "/s", Floor: m.floor, Ratio: ratio,
			Against: fmt.Sprintf("bare inserts of the same rows, %d in each transaction (value ÷ floor, the median round)", importChunk)},
		{Name: fmt.Sprintf("people.import.memory (%s)", kind), Value: peak, Unit: "MiB", Floor: small.peak, Ratio: peak / small.peak,
			Target: "≤ 1.5", Against: fmt.Sprintf("resident memory of the process at the most; the floor is with %d rows", o.People/10)},
		search,
	}, nil
}

// imported is what an import took.
type imported struct{ rate, peak float64 }

// importInto sends n people to a server on an empty database, lets then look at it, and drops it.
func importInto(ctx context.Context, o Options, open func(string) (string, func() error, error), name string, n int,
	then func(*peopleServer) error) (_ imported, err error) {
	dsn, drop, err := open(name)
	if err != nil {
		return imported{}, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	s, err := openPeopleServer(ctx, o, dsn, filepath.Join(o.Dir, name))
	if err != nil {
		return imported{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	debug.FreeOSMemory()
	stop := watchResident()
	started := time.Now()
	err = s.importPeople(ctx, n)
	took := time.Since(started)
	out := imported{rate: float64(n) / took.Seconds(), peak: stop()}
	if err != nil || then == nil {
		return out, err
	}
	return out, then(s)
}

// besides makes an empty database beside one of PostgreSQL.
func besides(ctx context.Context, dsn, name string) (string, func() error, error) {
	name = "bench_" + strings.ReplaceAll(name, "-", "_") + "_" + strings.ToLower(rand.Text()[:8])
	u, err := url.Parse(dsn)
	if err != nil {
		return "", nil, errors.New("make database: the postgres address is not a valid URL")
	}
	run := func(statement string) (err error) {
		db, err := sql.Open("postgres", dsn)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		_, err = db.ExecContext(context.WithoutCancel(ctx), statement)
		return err
	}
	if err := run("CREATE DATABASE " + name); err != nil {
		return "", nil, fmt.Errorf("make database: %w", err)
	}
	u.Path = "/" + name
	return u.String(), func() error { return run("DROP DATABASE " + name + " WITH (FORCE)") }, nil
}

// peopleServer is an API without a workflow engine: people need none.
type peopleServer struct {
	*server.Server
	url, secret, dsn string
	stop             context.CancelFunc
	redis            *standalone.Redis
	done             chan error
}

func openPeopleServer(ctx context.Context, o Options, dsn, dir string) (_ *peopleServer, err error) {
	s := &peopleServer{dsn: dsn, stop: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.redis, err = standalone.StartRedis(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.url = "http://" + listener.Addr().String()
	cfg := config.Defaults()
	cfg.BaseURL, cfg.ServerName, cfg.Redis, cfg.Database = s.url, "bench", s.redis.URL(), dsn
	cfg.SecretFile, cfg.KeyDir = filepath.Join(dir, "secret.key"), filepath.Join(dir, "keys")
	cfg.Authority = config.Authority{Country: "UT", CommonName: "bench IACA", Contact: "https://mdocket.example"}
	if err := os.MkdirAll(cfg.KeyDir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	if _, err := keys.CreateSecret(cfg.SecretFile, rand.Reader); err != nil {
		return nil, err
	}
	if err := migrate(ctx, dsn); err != nil {
		return nil, err
	}
	if s.Server, err = server.Open(ctx, cfg, o.Log); err != nil {
		return nil, err
	}
	handler, err := s.Handler()
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	s.stop, s.done = stop, make(chan error, 1)
	go func() { s.done <- server.Serve(running, listener, handler) }()
	return s, s.account(ctx)
}

func migrate(ctx context.Context, dsn string) error {
	db, err := store.Open(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = db.Migrate(ctx)
	return errors.Join(err, db.Close())
}

// account makes a machine client that may do everything with people.
func (s *peopleServer) account(ctx context.Context) error {
	caller := everything("bench")
	role, err := s.Issuer.CreateRole(ctx, caller, "", issuer.SaveRole{Name: "bench", Permissions: domain.Permissions()})
	if err != nil {
		return err
	}
	account, err := s.Issuer.CreateAccount(ctx, caller, "", issuer.NewAccount{Name: "bench"})
	if err != nil {
		return err
	}
	if err := s.Issuer.AssignRoles(ctx, caller, account.ID, []domain.Assignment{{RoleID: role.ID, Scope: domain.ScopeAll}}); err != nil {
		return err
	}
	_, s.secret, err = s.Issuer.CreateAPIKey(ctx, caller, account.ID, "bench", time.Time{})
	return err
}

func (s *peopleServer) close() error {
	s.stop()
	var errs []error
	if s.done != nil {
		errs = append(errs, <-s.done)
	}
	if s.Server != nil {
		errs = append(errs, s.Close())
	}
	if s.redis != nil {
		s.redis.Close()
	}
	return errors.Join(errs...)
}

// made is the i-th person: names as they are spread in a country, everything else their own.
func made(i int) domain.Person {
	return domain.Person{
		ExternalID: fmt.Sprintf("B%07d", i), LogonName: fmt.Sprintf("user.%07d", i), GivenName: fmt.Sprintf("Given%d", i*7919%1500),
		FamilyName: fmt.Sprintf("Family%d", i*104729%20000), Email: fmt.Sprintf("user%07d@holder.example", i),
		Mobile: fmt.Sprintf("+4179%07d", i%10_000_000), BirthDate: domain.Date(fmt.Sprintf("%d-%02d-%02d", 1940+i%65, 1+i%12, 1+i%28)),
		Group: fmt.Sprintf("Division %d/Department %d", i%5, i%50), Status: domain.PersonActive, ExternalMobileID: fmt.Sprintf("device-%07d", i),
		MaxExpiry: "2040-01-01", Attributes: map[string]any{"document_number": fmt.Sprintf("UT%07d", i), "issuing_country": "UT"},
	}
}

// writeMade writes n people as CSV.
func writeMade(w io.Writer, n int) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "external_id,logon_name,given_name,family_name,email,mobile,birth_date,group,external_mobile_id,max_expiry,"+
		"attribute.document_number,attribute.issuing_country")
	for i := range n {
		p := made(i)
		fmt.Fprintf(out, "%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s\n", p.ExternalID, p.LogonName, p.GivenName, p.FamilyName, p.Email, p.Mobile, p.BirthDate,
			p.Group, p.ExternalMobileID, p.MaxExpiry, p.Attributes["document_number"], p.Attributes["issuing_country"])
	}
	return out.Flush()
}

// importPeople sends a file as `mdocket people import` does.
func (s *peopleServer) importPeople(ctx context.Context, n int) error {
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(writeMade(w, n)) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/people/import?results=refused&create_groups=true", r)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "text/csv")
	req.Header.Set("Authorization", "Bearer "+s.secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var last struct {
		Summary struct {
			Created int `json:"created"`
		} `json:"summary"`
	}
	lines := json.NewDecoder(resp.Body)
	for err == nil {
		err = lines.Decode(&last)
	}
	if !errors.Is(err, io.EOF) || last.Summary.Created != n {
		return fmt.Errorf("import: %d of %d people came in", last.Summary.Created, n)
	}
	return nil
}

// watchResident notes the resident memory of this process; the function it gives ends that and says how much it was at the most, in MiB.
// Where the system does not tell, that is 0.
func watchResident() (stop func() float64) {
	done := make(chan struct{})
	var watching sync.WaitGroup
	most := 0.0
	watching.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, resident())
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() float64 { close(done); watching.Wait(); return most }
}

func resident() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return 0
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// bareColumns are those of the table of people, as an insert names them.
const bareColumns = `id, external_id, logon_name, given_name, family_name, email, mobile, birth_date, group_id, language, status, max_expiry,
	external_mobile_id, attributes, given_key, family_key, email_key, logon_key, data_approved_by, data_approved_at, data_vetted_on, erased_at,
	version, created_at, updated_at`

const bareWidth = 25 // of those

// insertInto writes n people into an empty database with nothing around it, and gives how many in a second.
func insertInto(ctx context.Context, open func(string) (string, func() error, error), name string, n int) (_ float64, err error) {
	dsn, drop, err := open(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := migrate(ctx, dsn); err != nil {
		return 0, err
	}
	db, err := openBare(dsn)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	group := uuid.NewString()
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	_, err = db.ExecContext(ctx, `INSERT INTO groups (id, parent_id, name, path, version, created_at, updated_at)
		VALUES ($1, NULL, 'g', 'g', 1, $2, $2)`, group, now)
	if err != nil {
		return 0, fmt.Errorf("insert group: %w", err)
	}
	text := bareInsert(dsn)
	var took time.Duration
	n -= n % importChunk
	for from := 0; from < n; from += importChunk {
		args := make([]any, 0, importChunk*bareWidth)
		for i := from; i < from+importChunk; i++ {
			p := made(i)
			form, err := json.Marshal(p.Attributes)
			if err != nil {
				return 0, fmt.Errorf("write attributes: %w", err)
			}
			args = append(args, uuid.Must(uuid.NewV7()).String(), p.ExternalID, p.LogonName, p.GivenName, p.FamilyName, p.Email, p.Mobile,
				string(p.BirthDate), group, "", string(p.Status), string(p.MaxExpiry), p.ExternalMobileID, string(form), store.Fold(p.GivenName),
				store.Fold(p.FamilyName), store.Fold(p.Email), store.Fold(p.LogonName), "", nil, "", nil, 1, now, now)
		}
		started := time.Now() // making the rows is not what is measured
		if err := insertBare(ctx, db, text, args); err != nil {
			return 0, err
		}
		took += time.Since(started)
	}
	return float64(n) / took.Seconds(), nil
}

// bareInsert inserts a chunk. SQLite takes parameters without numbers faster.
func bareInsert(dsn string) string {
	var text strings.Builder
	text.WriteString("INSERT INTO persons (" + bareColumns + ") VALUES ")
	for n := range importChunk * bareWidth {
		switch {
		case n%bareWidth != 0:
			text.WriteString(", ")
		case n == 0:
			text.WriteString("(")
		default:
			text.WriteString("), (")
		}
		if strings.HasPrefix(dsn, "sqlite:") {
			text.WriteString("?")
		} else {
			text.WriteString("$" + strconv.Itoa(n+1))
		}
	}
	return text.String() + ")"
}

func insertBare(ctx context.Context, db *sql.DB, text string, args []any) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if _, err := tx.ExecContext(ctx, text, args...); err != nil {
		return errors.Join(fmt.Errorf("insert people: %w", err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// openBare opens a database around the store, as safe as the store does.
func openBare(dsn string) (*sql.DB, error) {
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok {
		return sql.Open("postgres", dsn)
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(ON)",
		"cache_size(-16000)"}}
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
}

// question is a search as the API takes it and as the bare query for the same people.
type question struct {
	body  map[string]string
	where string
	args  []any
}

// ask makes the k-th search about the i-th person: by everything that operators look for.
func ask(k, i int) question {
	p := made(i)
	switch k % 6 {
	case 0:
		return question{map[string]string{"external_id": p.ExternalID}, "external_id = $1 AND external_id <> ''", []any{p.ExternalID}}
	case 1:
		return question{map[string]string{"email": p.Email}, "email_key = $1", []any{store.Fold(p.Email)}}
	case 2:
		return question{map[string]string{"family_name": p.FamilyName, "given_name": p.GivenName}, "family_key = $1 AND given_key = $2",
			[]any{store.Fold(p.FamilyName), store.Fold(p.GivenName)}}
	case 3:
		start := p.FamilyName[:len(p.FamilyName)-1]
		return question{map[string]string{"family_name": start + "*"}, "family_key >= $1 AND family_key < $2",
			[]any{store.Fold(start), store.Fold(start) + "\U0010FFFF"}}
	case 4:
		return question{map[string]string{"mobile": p.Mobile}, "mobile = $1 AND mobile <> ''", []any{p.Mobile}}
	}
	return question{map[string]string{"birth_date": string(p.BirthDate), "family_name": p.FamilyName}, "birth_date = $1 AND family_key = $2",
		[]any{string(p.BirthDate), store.Fold(p.FamilyName)}}
}

// searchRow compares searches through the API with the bare queries.
func (s *peopleServer) searchRow(ctx context.Context, o Options, kind string) (_ Row, err error) {
	db, err := openBare(s.dsn)
	if err != nil {
		return Row{}, fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "ANALYZE"); err != nil { // as a database does by itself after a while
		return Row{}, fmt.Errorf("analyze: %w", err)
	}
	api := client.New(s.url, s.secret)
	var pairs []pair
	for range o.Rounds {
		questions := make([]question, searches)
		for k := range questions {
			i, err := rand.Int(rand.Reader, big.NewInt(int64(o.People)))
			if err != nil {
				return Row{}, fmt.Errorf("read randomness: %w", err)
			}
			questions[k] = ask(k, int(i.Int64()))
		}
		bare, err := timed(ctx, searches, searchers, func(ctx context.Context, k int) error { return queryBare(ctx, db, questions[k]) })
		if err != nil {
			return Row{}, fmt.Errorf("bare query: %w", err)
		}
		through, err := timed(ctx, searches, searchers, func(ctx context.Context, k int) error {
			var page struct {
				Items []json.RawMessage `json:"items"`
			}
			if err := api.Do(ctx, http.MethodPost, "/v1/people/search", questions[k].body, &page); err != nil {
				return err
			}
			if len(page.Items) == 0 {
				return errors.New("nobody was found")
			}
			return nil
		})
		if err != nil {
			return Row{}, fmt.Errorf("search: %w", err)
		}
		pairs = append(pairs, pair{percentile(through, 0.95), percentile(bare, 0.95)})
	}
	m, ratio := middle(pairs, valueByFloor)
	return Row{Name: fmt.Sprintf("people.search.p95 (%d, %s)", o.People, kind), Value: m.value, Unit: "ms", Floor: m.floor, Ratio: ratio,
		Against: fmt.Sprintf("the bare indexed query, %d at once (value ÷ floor, the median round)", searchers)}, nil
}

// queryBare reads what a search finds, and nothing more.
func queryBare(ctx context.Context, db *sql.DB, q question) (err error) {
	text := `SELECT ` + bareColumns + ` FROM persons WHERE erased_at IS NULL AND ` + q.where + ` ORDER BY id DESC LIMIT 50` //nolint:gosec // of constants
	found, err := db.QueryContext(ctx, text, q.args...)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, found.Close()) }()
	columns, err := found.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(sql.RawBytes)
	}
	n := 0
	for ; found.Next(); n++ {
		if err := found.Scan(values...); err != nil {
			return err
		}
	}
	if err := found.Err(); err != nil || n > 0 {
		return err
	}
	return errors.New("nobody was found")
}
