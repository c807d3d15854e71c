package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/client"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
	"github.com/mdocket/mdocket/internal/standalone"
	"github.com/mdocket/mdocket/internal/standalone/mailbox"
	"github.com/mdocket/mdocket/internal/wallet"
)

// concurrent is how many issuances run at once.
const concurrent = 16

// loadRows runs whole issuances over HTTP, and the floor, in turns on one standalone server.
func loadRows(ctx context.Context, o Options) ([]Row, error) {
	l, err := newLoad(ctx, o)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if _, err := l.issuances(ctx, concurrent*2); err != nil { // warm up
		return nil, err
	}
	if _, err := l.floors(ctx, concurrent*2); err != nil {
		return nil, err
	}
	var pairs []pair
	for range o.Rounds {
		floorRate, err := l.floors(ctx, o.Each)
		if err != nil {
			return nil, err
		}
		rate, err := l.issuances(ctx, o.Each)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{rate, floorRate})
	}
	m, ratio := middle(pairs, valueByFloor)
	rows := []Row{{Name: "issuance.e2e", Value: m.value, Unit: "/s", Floor: m.floor, Ratio: ratio, Target: "≥ 0.6",
		Against: "no-op workflow with the same waits, 16 at once (value ÷ floor, the median round)"}}
	for _, at := range []int{1, concurrent} {
		row, err := l.latency(ctx, o, at)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// load is a standalone server, people to issue to, two operators and the holders' post.
type load struct {
	server   *standalone.Standalone
	floor    *floor
	a, b     *client.Client
	wallet   *wallet.Client
	profile  string
	people   []string
	next     int
	issuer   *wallet.Issuer
	issuerMu sync.Mutex
	post     *post
	stop     context.CancelFunc
}

func newLoad(ctx context.Context, o Options) (*load, error) {
	s, err := standalone.Start(ctx, standalone.Options{DataDir: filepath.Join(o.Dir, "load"), BinDir: o.BinDir, Listen: "127.0.0.1:0",
		MailboxAddr: "127.0.0.1:0", Log: o.Log})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	l := &load{server: s, stop: stop, post: newPost(running, s.Mailbox), wallet: wallet.NewClient(wallet.ClientOptions{UserAgent: "mdocket-bench (Android; Mobile)"})}
	if l.floor, err = startFloor(s.Config.Temporal.Address, o.Log); err == nil {
		err = l.seed(ctx, o.Each*(2*o.Rounds+4)+4*concurrent)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *load) close() {
	l.stop()
	if l.floor != nil {
		l.floor.close()
	}
	_ = l.server.Close()
}

// seed makes operators, a profile and people through the acts themselves: only issuances are measured.
func (l *load) seed(ctx context.Context, people int) error {
	all := map[domain.Permission]domain.Scope{}
	for _, p := range domain.Permissions() {
		all[p] = domain.ScopeAll
	}
	caller := domain.Caller{AccountID: "bench", Grants: all}
	is := l.server.Issuer
	role, err := is.CreateRole(ctx, caller, "", issuer.SaveRole{Name: "bench", Permissions: domain.Permissions()})
	if err != nil {
		return err
	}
	for i, to := range []**client.Client{&l.a, &l.b} {
		account, err := is.CreateAccount(ctx, caller, "", issuer.NewAccount{Name: fmt.Sprintf("bench-%d", i)})
		if err != nil {
			return err
		}
		if err := is.AssignRoles(ctx, caller, account.ID, []domain.Assignment{{RoleID: role.ID, Scope: domain.ScopeAll}}); err != nil {
			return err
		}
		_, secret, err := is.CreateAPIKey(ctx, caller, account.ID, "bench", time.Time{})
		if err != nil {
			return err
		}
		*to = client.New(l.server.URL, secret)
	}
	profile, err := is.CreateProfile(ctx, caller, "", example.Profiles()[0])
	if err != nil {
		return err
	}
	l.profile = profile.ID
	return l.importPeople(ctx, caller, people)
}

func (l *load) importPeople(ctx context.Context, caller domain.Caller, n int) error {
	r, w := pipe(n)
	defer func() { _ = r.Close() }()
	err := l.server.Issuer.ImportPeople(ctx, caller, r, issuer.ImportOptions{Format: issuer.ImportCSV, CreateGroups: true}, func(row issuer.ImportRow) error {
		if row.Code != "" {
			return fmt.Errorf("import row %d: %s", row.Line, row.Code)
		}
		l.people = append(l.people, row.PersonID)
		return nil
	})
	return errors.Join(err, <-w)
}

// person gives somebody who has had no document yet, and the address of their post.
func (l *load) take(n int) ([]int, error) {
	if l.next+n > len(l.people) {
		return nil, errors.New("out of people")
	}
	out := make([]int, n)
	for i := range out {
		out[i] = l.next
		l.next++
	}
	return out, nil
}

// issuances runs n whole issuances, some at once, and gives how many were done in a second.
func (l *load) issuances(ctx context.Context, n int) (float64, error) {
	people, err := l.take(n)
	if err != nil {
		return 0, err
	}
	started := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrent)
	for _, p := range people {
		g.Go(func() error {
			ready, err := l.approved(gctx, p)
			if err != nil {
				return err
			}
			return l.collect(gctx, ready)
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(started).Seconds(), nil
}

// ready is a wallet with everything but the document.
type ready struct {
	issuer  *wallet.Issuer
	token   string
	request oid4vci.CredentialRequest
}

// approved goes from the request to the key proof: request, approve, e-mail, SMS, offer, token, nonce.
func (l *load) approved(ctx context.Context, person int) (ready, error) {
	var req struct {
		ID string `json:"id"`
	}
	in := map[string]string{"person_id": l.people[person], "profile_id": l.profile}
	letters := l.post.expect(fmt.Sprintf("holder%d@mailbox.example", person+1), fmt.Sprintf("+4179%07d", 1000000+person))
	if err := l.a.Do(ctx, http.MethodPost, "/v1/requests", in, &req, client.IdempotencyKey(rand.Text())); err != nil {
		return ready{}, fmt.Errorf("request: %w", err)
	}
	if err := l.b.Do(ctx, http.MethodPost, "/v1/requests/"+req.ID+"/approve", map[string]string{}, nil); err != nil {
		return ready{}, fmt.Errorf("approve: %w", err)
	}
	link, code, err := letters.read(ctx)
	if err != nil {
		return ready{}, err
	}
	offer, err := l.wallet.FetchOffer(ctx, link)
	if err != nil {
		return ready{}, err
	}
	out := ready{}
	if out.issuer, err = l.metadata(ctx, offer); err != nil {
		return ready{}, err
	}
	token, err := l.wallet.Token(ctx, out.issuer, offer, oid4vci.NormalizeTxCode(code))
	if err != nil {
		return ready{}, err
	}
	nonce, err := l.wallet.Nonce(ctx, out.issuer)
	if err != nil {
		return ready{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return ready{}, fmt.Errorf("make key: %w", err)
	}
	proofs, err := l.wallet.Proofs(out.issuer, []*ecdsa.PrivateKey{key}, nonce)
	if err != nil {
		return ready{}, err
	}
	out.token = token.AccessToken
	out.request = oid4vci.CredentialRequest{CredentialConfigurationID: offer.CredentialConfigurationIDs[0], Proofs: oid4vci.Proofs{JWT: proofs}}
	return out, nil
}

func (l *load) collect(ctx context.Context, r ready) error {
	got, err := l.wallet.Credential(ctx, r.issuer, r.token, r.request)
	if err != nil {
		return err
	}
	if len(got.Credentials) != 1 {
		return errors.New("no document came back")
	}
	return nil
}

// metadata is fetched once: wallets keep it.
func (l *load) metadata(ctx context.Context, offer oid4vci.CredentialOffer) (*wallet.Issuer, error) {
	l.issuerMu.Lock()
	defer l.issuerMu.Unlock()
	if l.issuer != nil {
		return l.issuer, nil
	}
	is, err := l.wallet.Metadata(ctx, offer)
	l.issuer = is
	return is, err
}

// floors runs n floor workflows and gives how many were done in a second.
func (l *load) floors(ctx context.Context, n int) (float64, error) {
	started := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrent)
	for range n {
		g.Go(func() error {
			id := "floor-" + rand.Text()
			for _, do := range []func() error{
				func() error { return l.floor.begin(gctx, id) },
				func() error { return l.floor.update(gctx, id, floorApprove) },
				func() error { return l.floor.update(gctx, id, floorCollect) },
			} {
				if err := do(); err != nil {
					return fmt.Errorf("floor: %w", err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(started).Seconds(), nil
}

// latency compares the credential endpoint with the bare Update round trip, at so many at once.
func (l *load) latency(ctx context.Context, o Options, at int) (Row, error) {
	var pairs []pair
	for range o.Rounds {
		n := max(o.Each/2, 4*at)
		people, err := l.take(n)
		if err != nil {
			return Row{}, err
		}
		floorTimes, err := l.floorLatency(ctx, n, at)
		if err != nil {
			return Row{}, err
		}
		wallets := make([]ready, n)
		if err := each(ctx, n, concurrent, func(ctx context.Context, i int) (err error) {
			wallets[i], err = l.approved(ctx, people[i])
			return err
		}); err != nil {
			return Row{}, err
		}
		times, err := timed(ctx, n, at, func(ctx context.Context, i int) error { return l.collect(ctx, wallets[i]) })
		if err != nil {
			return Row{}, err
		}
		pairs = append(pairs, pair{percentile(times, 0.95), percentile(floorTimes, 0.95)})
	}
	m, ratio := middle(pairs, valueByFloor)
	return Row{Name: fmt.Sprintf("collect.p95 (%d at once)", at), Value: m.value, Unit: "ms", Floor: m.floor, Ratio: ratio, Target: "≤ 1.5",
		Against: "bare Update that runs one activity (value ÷ floor, the median round)"}, nil
}

func (l *load) floorLatency(ctx context.Context, n, at int) ([]time.Duration, error) {
	ids := make([]string, n)
	err := each(ctx, n, concurrent, func(ctx context.Context, i int) error {
		ids[i] = "floor-" + rand.Text()
		if err := l.floor.begin(ctx, ids[i]); err != nil {
			return err
		}
		return l.floor.update(ctx, ids[i], floorApprove)
	})
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	return timed(ctx, n, at, func(ctx context.Context, i int) error { return l.floor.update(ctx, ids[i], floorCollect) })
}

// each does n things, so many at once.
func each(ctx context.Context, n, at int, do func(ctx context.Context, i int) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(at)
	for i := range n {
		g.Go(func() error { return do(gctx, i) })
	}
	return g.Wait()
}

func timed(ctx context.Context, n, at int, do func(ctx context.Context, i int) error) ([]time.Duration, error) {
	times := make([]time.Duration, n)
	err := each(ctx, n, at, func(ctx context.Context, i int) error {
		started := time.Now()
		err := do(ctx, i)
		times[i] = time.Since(started)
		return err
	})
	return times, err
}

// post hands each holder the messages that arrive for them.
type post struct {
	mu      sync.Mutex
	waiting map[string]chan string
}

func newPost(ctx context.Context, m *mailbox.Mailbox) *post {
	p := &post{waiting: map[string]chan string{}}
	go func() {
		var last int64
		for {
			got, err := m.Wait(ctx, func(m mailbox.Message) bool { return m.Seq > last })
			if err != nil {
				return
			}
			last = got.Seq
			p.deliver(got)
		}
	}()
	return p
}

func (p *post) deliver(m mailbox.Message) {
	text := mailbox.FindCode(m.Text)
	if m.Kind == mailbox.Email {
		text = mailbox.FindLink(m.Text)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if to := p.waiting[m.To]; to != nil && text != "" {
		to <- text
		delete(p.waiting, m.To)
	}
}

// letters are one holder's link and code on their way.
type letters struct{ link, code chan string }

func (p *post) expect(email, mobile string) letters {
	l := letters{make(chan string, 1), make(chan string, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[email], p.waiting[mobile] = l.link, l.code
	return l
}

func (l letters) read(ctx context.Context) (link, code string, err error) {
	for _, from := range []struct {
		ch chan string
		to *string
	}{{l.link, &link}, {l.code, &code}} {
		select {
		case *from.to = <-from.ch:
		case <-time.After(30 * time.Second):
			return "", "", errors.New("link and code did not arrive")
		case <-ctx.Done():
			return "", "", ctx.Err()
		}
	}
	return link, code, nil
}
