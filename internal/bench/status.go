package bench

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/api"
	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/telemetry"
)

const (
	listEntries = 1 << 20
	listSet     = listEntries / 100 // entries that are not valid
	listFetches = 2000              // in one round
)

// statusRows measures a status list of a million entries of which one in a hundred is set: making it, and fetching it.
func statusRows(ctx context.Context, o Options) ([]Row, error) {
	set, err := randomIndices()
	if err != nil {
		return nil, err
	}
	rows, err := buildRows(o, set)
	if err != nil {
		return nil, err
	}
	fetch, err := fetchRow(ctx, o, set)
	return append(rows, fetch), err
}

// randomIndices draws the entries that are set.
func randomIndices() ([]uint64, error) {
	drawn := make(map[uint64]bool, listSet)
	out := make([]uint64, 0, listSet)
	for len(out) < listSet {
		n, err := rand.Int(rand.Reader, big.NewInt(listEntries))
		if err != nil {
			return nil, fmt.Errorf("read randomness: %w", err)
		}
		if idx := n.Uint64(); !drawn[idx] {
			drawn[idx] = true
			out = append(out, idx)
		}
	}
	return out, nil
}

// buildRows compares building and signing both forms of the list with compressing its bits alone.
func buildRows(o Options, set []uint64) ([]Row, error) {
	_, signer, _, err := licence()
	if err != nil {
		return nil, err
	}
	packed := make([]byte, listEntries/8)
	for _, idx := range set {
		packed[idx/8] |= 1 << (idx % 8)
	}
	var pairs []pair
	var signed *statuslist.Signed
	for range o.Rounds {
		begun := time.Now()
		w, err := zlib.NewWriterLevel(io.Discard, zlib.BestCompression)
		if err == nil {
			_, err = w.Write(packed)
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("compress: %w", err)
		}
		bare := time.Since(begun)
		begun = time.Now()
		if signed, err = signedList(set, statuslist.Signer{Key: signer.Key, Chain: signer.Chain}); err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{milliseconds(time.Since(begun)), milliseconds(bare)})
	}
	m, ratio := middle(pairs, floorByValue)
	// The information in so many random bits, of which so many are set: no list that says it all is smaller.
	p := float64(listSet) / listEntries
	least := -(p*math.Log2(p) + (1-p)*math.Log2(1-p)) * listEntries / 8 / 1024
	size := func(form string, n int) Row {
		value := float64(n) / 1024
		return Row{Name: "status.size." + form, Value: value, Unit: "KiB", Floor: least, Ratio: value / least,
			Against: "the information in it (value ÷ floor)"}
	}
	return []Row{
		{Name: "status.build", Value: m.value, Unit: "ms", Floor: m.floor, Ratio: ratio, Target: "",
			Against: "zlib at its best over the same bits; 2^20 entries, 1 % set, CWT and JWT (floor ÷ value, the median pair)"},
		size("cwt", len(signed.CWT)), size("jwt", len(signed.JWT)),
	}, nil
}

func signedList(set []uint64, by statuslist.Signer) (*statuslist.Signed, error) {
	list, err := statuslist.Build(1, listEntries, func(yield func(uint64, statuslist.Status) bool) {
		for _, idx := range set {
			if !yield(idx, statuslist.Invalid) {
				return
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("build status list: %w", err)
	}
	now := time.Now()
	signed, err := statuslist.Token{Subject: "https://mdocket.example/status-lists/1", IssuedAt: now, Expires: now.Add(time.Hour),
		TTL: time.Minute, List: list}.Sign(by)
	if err != nil {
		return nil, fmt.Errorf("sign status list: %w", err)
	}
	return signed, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// fetchRow compares fetching the list over HTTP from the API as it is served with fetching the same bytes from a handler that does nothing
// else.
func fetchRow(ctx context.Context, o Options, set []uint64) (row Row, err error) {
	at, stop, err := listen()
	if err != nil {
		return row, err
	}
	defer stop()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(o.Dir, "status.db"))
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	handler, path, err := listServer(ctx, o, db, "http://"+at.Addr().String(), set)
	if err != nil {
		return row, err
	}
	serve(at, handler)
	body, err := get(ctx, "http://"+at.Addr().String()+path)
	if err != nil {
		return row, err
	}
	bareAt, stopBare, err := listen()
	if err != nil {
		return row, err
	}
	defer stopBare()
	bare := gin.New()
	bare.GET(path, func(c *gin.Context) { c.Data(http.StatusOK, statuslist.MediaTypeCWT, body) })
	serve(bareAt, bare)
	var pairs []pair
	for round := range 3*o.Rounds + 1 { // short and many: other work on the machine hits one side of a round more than the other
		floor, err := fetches(ctx, "http://"+bareAt.Addr().String()+path)
		if err != nil {
			return row, err
		}
		rate, err := fetches(ctx, "http://"+at.Addr().String()+path)
		if err != nil {
			return row, err
		}
		if round > 0 { // the first one warms up
			pairs = append(pairs, pair{rate, floor})
		}
	}
	m, ratio := middle(pairs, valueByFloor)
	return Row{Name: "status.fetch", Value: m.value, Unit: "/s", Floor: m.floor, Ratio: ratio, Target: "≥ 0.8",
		Against: "bare Gin handler that sends the same bytes, 16 at once (value ÷ floor, the median round)"}, nil
}

// listServer is the whole API over a database with the list in it.
func listServer(ctx context.Context, o Options, db *store.Store, baseURL string, set []uint64) (
	handler http.Handler, path string, err error) {
	if _, err := db.Migrate(ctx); err != nil {
		return nil, "", err
	}
	random := make([]byte, keys.SecretSize)
	if _, err := rand.Read(random); err != nil {
		return nil, "", fmt.Errorf("read randomness: %w", err)
	}
	secret, err := keys.NewSecret(random)
	if err != nil {
		return nil, "", err
	}
	keyStore, err := keys.NewFileStore(filepath.Join(o.Dir, "status-keys"), secret.Derive("keys"))
	if err != nil {
		return nil, "", err
	}
	log, err := telemetry.NewLogger(io.Discard, "json", "info")
	if err != nil {
		return nil, "", err
	}
	metrics := telemetry.NewMetrics()
	is := issuer.New(issuer.Config{BaseURL: baseURL, StatusTTL: time.Hour, StatusRefresh: time.Hour, StatusEntries: listEntries,
		Authority: issuer.AuthorityConfig{Country: "UT", CommonName: "bench IACA", Contact: "pki@mdocket.example", CRLURL: baseURL + "/crl"}},
		issuer.Deps{Store: db, Keys: keyStore, Secret: secret, Metrics: metrics, Log: log, Now: time.Now, Rand: rand.Reader})
	if err := is.EnsureAuthority(ctx); err != nil {
		return nil, "", err
	}
	list := store.StatusList{ID: "bench", Bits: 1, Capacity: listEntries}
	err = db.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.InsertStatusList(ctx, list, time.Now()); err != nil {
			return err
		}
		return tx.InsertDecoys(ctx, list.ID, set)
	})
	if err != nil {
		return nil, "", fmt.Errorf("fill status list: %w", err)
	}
	handler, err = api.New(api.Deps{Issuer: is, Access: access.New(db, nil, time.Now), Metrics: metrics, Log: log, Now: time.Now,
		Ready: db.Ping, Config: api.Config{BaseURL: baseURL}})
	return handler, "/status-lists/" + list.ID, err
}

func listen() (net.Listener, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	return l, func() { _ = l.Close() }, nil
}

// serve answers until the listener is closed.
func serve(l net.Listener, handler http.Handler) {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }()
}

// fetches gets the address again and again and gives how often in a second.
func fetches(ctx context.Context, url string) (float64, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrent, DisableCompression: true}}
	defer client.CloseIdleConnections()
	begun := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for range concurrent {
		g.Go(func() error {
			for range listFetches / concurrent {
				if _, err := getWith(gctx, client, url); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return listFetches / time.Since(begun).Seconds(), nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	return getWith(ctx, http.DefaultClient, url)
}

func getWith(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept", statuslist.MediaTypeCWT)
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch status list: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return nil, fmt.Errorf("fetch status list: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch status list: the server answered %d", resp.StatusCode)
	}
	return body.Bytes(), nil
}
