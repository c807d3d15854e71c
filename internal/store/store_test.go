package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/testenv"
)

// backend is one database under test: the store, and a way around it.
type backend struct {
	*store.Store
	dsn    string
	driver string
	raw    *sql.DB
}

// eachBackend runs the test on SQLite and on PostgreSQL, each in an empty migrated database.
func eachBackend(t *testing.T, test func(t *testing.T, b backend)) {
	t.Helper()
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			b := unmigrated(t, driver)
			steps, err := b.Migrate(t.Context())
			require.NoError(t, err)
			require.Positive(t, steps)
			test(t, b)
		})
	}
}

func unmigrated(t *testing.T, driver string) backend {
	t.Helper()
	path := filepath.Join(t.TempDir(), "with space %41 and ü.db") // what a URL would mangle
	b := backend{dsn: "sqlite:" + path, driver: driver}
	source := path
	if driver == "postgres" {
		b.dsn = testenv.Postgres(t)
		source = b.dsn
	}
	b.Store = open(t, b.dsn)
	raw, err := sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })
	b.raw = raw
	return b
}

func open(t *testing.T, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func id() string { return uuid.Must(uuid.NewV7()).String() }

// now is an instant in another zone and with nano-seconds, as callers have it; kept is what the database gives back.
var (
	now  = time.Date(2026, 2, 3, 4, 5, 6, 789_012_345, time.FixedZone("west", -5*3600))
	kept = now.UTC().Truncate(time.Microsecond)
)

// samples are one of everything, each able to stand in the others' references.
type samples struct {
	person   domain.Person
	profile  domain.Profile
	request  domain.Request
	act      store.Act
	document domain.Document
}

func insertSamples(t *testing.T, b backend) samples {
	t.Helper()
	ctx := t.Context()
	s := samples{person: domain.Person{ID: id(), ExternalID: "E-" + id(), LogonName: "Ada." + id(), GivenName: "Ada", FamilyName: "Lovelace",
		Email: "ada@holder.example", Mobile: "+41791234567", BirthDate: "1990-01-31", Language: "en",
		Status: domain.PersonActive, MaxExpiry: "2030-01-01", ExternalMobileID: "m", Version: 1, CreatedAt: kept, UpdatedAt: kept,
		Attributes: map[string]any{"sex": 2.0, "ok": true, "list": []any{map[string]any{"a": "ü'\"\x00"}}, "none": nil}}}
	require.NoError(t, b.InsertPerson(ctx, s.person))
	s.profile = domain.Profile{ID: id(), Name: "p-" + id(), Version: 1, Comment: "first", CreatedBy: "me", CreatedAt: kept,
		Options: domain.ProfileOptions{DisplayName: "Licence", Format: "iso-mdl", MaxCopies: 3, OnReissue: domain.ReissueKeep}}
	s.profile.Options.Defaults()
	require.NoError(t, b.InsertProfile(ctx, s.profile))
	s.request = request(s)
	require.NoError(t, b.InsertRequest(ctx, s.request))
	s.act = store.Act{ID: id(), RequestID: s.request.ID, Kind: domain.ActCollect, AccountID: "wallet", Reason: "r", Fingerprint: "f",
		Params: store.ActParams{Generation: 1, Platform: domain.PlatformIOS, Keys: [][]byte{{1, 2}}, Thumbprints: []string{"t"}}, CreatedAt: kept}
	require.NoError(t, b.InsertAct(ctx, s.act))
	s.document = document(s)
	require.NoError(t, b.InsertDocument(ctx, s.document))
	return s
}

func request(s samples) domain.Request {
	return domain.Request{ID: id(), PersonID: s.person.ID, ProfileID: s.profile.ID, Channel: domain.RequestByOperator, RequestedBy: "me",
		State: domain.RequestAwaitingCollection, ExpiryDate: "2027-01-01", Generation: 1, CodeDigits: 8, CodeExpiresAt: kept.Add(time.Hour),
		ApprovalDeadline: kept.Add(2 * time.Hour), CollectionDeadline: kept.Add(3 * time.Hour), DecidedBy: "you", DecidedAt: kept,
		DecisionReason: "fine", CreatedAt: kept, UpdatedAt: kept}
}

func document(s samples) domain.Document {
	return domain.Document{ID: id(), Serial: id(), RequestID: s.request.ID, ActID: s.act.ID, PersonID: s.person.ID, ProfileID: s.profile.ID,
		ProfileVersion: 1, FormatID: "iso-mdl", FormatVersion: 2, DocType: "org.iso.18013.5.1.mDL", Platform: domain.PlatformIOS,
		State: domain.DocumentPrepared, CredentialGroup: "g", SignerID: "s", SignedAt: kept, ValidFrom: kept, ValidUntil: kept.Add(time.Hour),
		Copies: 2, CreatedAt: kept, UpdatedAt: kept}
}

func TestPeople(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		p := insertSamples(t, b).person
		got, err := b.Person(ctx, p.ID)
		require.NoError(t, err)
		require.Equal(t, p, got, "every field comes back, attributes of every JSON kind too")
		got, err = b.PersonByExternalID(ctx, p.ExternalID)
		require.NoError(t, err)
		require.Equal(t, p, got)

		second := p
		second.ID = id()
		require.ErrorIs(t, b.InsertPerson(ctx, second), store.ErrExists, "one external id, one person")
		second.ExternalID = ""
		require.ErrorIs(t, b.InsertPerson(ctx, second), store.ErrExists, "one logon name, one person")
		second.LogonName = strings.ToUpper(p.LogonName)
		require.ErrorIs(t, b.InsertPerson(ctx, second), store.ErrExists, "whatever its case")
		second.LogonName = ""
		require.NoError(t, b.InsertPerson(ctx, second))
		third := second
		third.ID, third.Attributes = id(), nil
		require.NoError(t, b.InsertPerson(ctx, third), "no external id is nobody's")
		_, err = b.PersonByExternalID(ctx, "")
		require.ErrorIs(t, err, store.ErrNotFound)

		next := p
		next.Version, next.GivenName, next.UpdatedAt = 2, "Augusta", kept.Add(time.Second)
		require.NoError(t, b.UpdatePerson(ctx, next))
		require.ErrorIs(t, b.UpdatePerson(ctx, next), store.ErrChanged, "the version read is not the stored one any more")
		got, err = b.Person(ctx, p.ID)
		require.NoError(t, err)
		require.Equal(t, next, got)
		next.Version, next.ExternalID = 3, "taken"
		second.Version, second.ExternalID = 2, "taken"
		require.NoError(t, b.UpdatePerson(ctx, second))
		require.ErrorIs(t, b.UpdatePerson(ctx, next), store.ErrExists)

		for name, c := range map[string]struct {
			want store.PersonFilter
			ids  []string
		}{
			"all":         {store.PersonFilter{}, []string{third.ID, second.ID, p.ID}},
			"external id": {store.PersonFilter{ExternalID: "taken"}, []string{second.ID}},
			"name":        {store.PersonFilter{FamilyName: "Lovelace"}, []string{third.ID, second.ID, p.ID}},
			"name's case": {store.PersonFilter{FamilyName: "lOvelace"}, []string{third.ID, second.ID, p.ID}},
			"start":       {store.PersonFilter{FamilyName: "Lo*"}, []string{third.ID, second.ID, p.ID}},
			"other start": {store.PersonFilter{FamilyName: "ovel*"}, nil},
			"e-mail":      {store.PersonFilter{Email: "ADA@holder.example", ID: p.ID}, []string{p.ID}},
			"status":      {store.PersonFilter{Status: domain.PersonInactive}, nil},
			"no SQL":      {store.PersonFilter{FamilyName: "' OR '1'='1"}, nil},
			"not text":    {store.PersonFilter{FamilyName: "a\x00\xff"}, nil},
		} {
			c.want.Within = everybody
			people, err := b.People(ctx, c.want, store.Page{Limit: 10})
			require.NoError(t, err, name)
			var ids []string
			for _, p := range people {
				ids = append(ids, p.ID)
			}
			require.Equal(t, c.ids, ids, name)
		}
	})
}

func TestImages(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		p := insertSamples(t, b).person
		im := domain.Image{PersonID: p.ID, Kind: domain.ImagePortrait, MediaType: "image/jpeg", Bytes: []byte{0, 255, 1}, CapturedAt: kept}
		require.NoError(t, b.PutImage(ctx, im))
		im.Bytes = []byte{9, 0}
		require.NoError(t, b.PutImage(ctx, im), "the next one replaces it")
		signature := domain.Image{PersonID: p.ID, Kind: domain.ImageSignature, MediaType: "image/jp2", Bytes: []byte{1}}
		require.NoError(t, b.PutImage(ctx, signature))
		images, err := b.Images(ctx, p.ID)
		require.NoError(t, err)
		require.Equal(t, map[domain.ImageKind]domain.Image{domain.ImagePortrait: im, domain.ImageSignature: signature}, images)
		got, err := b.Person(ctx, p.ID)
		require.NoError(t, err)
		require.True(t, got.HasPortrait && got.HasSignature)
		im.PersonID = "nobody"
		require.Error(t, b.PutImage(ctx, im), "an image is somebody's")
	})
}

func TestPages(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		ids := []string{s.request.ID}
		for range 6 {
			r := request(s)
			ids = append([]string{r.ID}, ids...)
			require.NoError(t, b.InsertRequest(ctx, r))
		}
		var got []string
		page := store.Page{Limit: 3}
		for {
			rs, err := b.Requests(ctx, store.RequestFilter{Within: everybody, PersonID: s.person.ID}, page)
			require.NoError(t, err)
			for _, r := range rs {
				got = append(got, r.ID)
			}
			if len(rs) < page.Limit {
				break
			}
			page.After = rs[len(rs)-1].ID
		}
		require.Equal(t, ids, got, "newest first, each once")
	})
}

func TestProfiles(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		p := insertSamples(t, b).profile
		got, err := b.Profile(ctx, p.ID)
		require.NoError(t, err)
		require.Equal(t, p, got)
		twin := p
		twin.ID = id()
		require.ErrorIs(t, b.InsertProfile(ctx, twin), store.ErrExists)

		stamp, err := b.ProfilesStamp(ctx)
		require.NoError(t, err)
		next := p
		next.Version, next.Comment, next.Options.MaxCopies = 2, "second", 5
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.AddProfileVersion(ctx, next) }))
		require.ErrorIs(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.AddProfileVersion(ctx, next) }), store.ErrChanged)
		changed, err := b.ProfilesStamp(ctx)
		require.NoError(t, err)
		require.NotEqual(t, stamp, changed)
		got, err = b.ProfileByName(ctx, p.Name)
		require.NoError(t, err)
		require.Equal(t, next, got)
		versions, err := b.ProfileVersions(ctx, p.ID)
		require.NoError(t, err)
		require.Equal(t, []domain.Profile{next, p}, versions)
		all, err := b.Profiles(ctx)
		require.NoError(t, err)
		require.Equal(t, []domain.Profile{next}, all)
	})
}

func TestRequests(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		got, err := b.Request(ctx, s.request.ID)
		require.NoError(t, err)
		require.Equal(t, s.request, got)

		next := s.request
		next.State, next.Generation, next.FailureCode, next.DocumentID, next.Attempts, next.Redeemed = domain.RequestLocked, 2, "c", "d", 3, true
		next.CodeExpiresAt, next.ApprovalDeadline, next.DecidedAt = time.Time{}, time.Time{}, time.Time{}
		require.ErrorIs(t, b.MoveRequest(ctx, next, domain.RequestReceived, 1), store.ErrChanged)
		require.ErrorIs(t, b.MoveRequest(ctx, next, domain.RequestAwaitingCollection, 2), store.ErrChanged)
		require.NoError(t, b.MoveRequest(ctx, next, domain.RequestAwaitingCollection, 1))
		got, err = b.Request(ctx, s.request.ID)
		require.NoError(t, err)
		require.Equal(t, next, got, "times that are not set stay so")

		for name, c := range map[string]struct {
			want store.RequestFilter
			n    int
		}{
			"state":         {store.RequestFilter{Within: everybody, State: domain.RequestLocked}, 1},
			"another state": {store.RequestFilter{Within: everybody, State: domain.RequestIssued}, 0},
			"mine":          {store.RequestFilter{Within: everybody, NotRequestedBy: "me"}, 0},
			"not mine":      {store.RequestFilter{Within: everybody, NotRequestedBy: "you", NotForPerson: "x"}, 1},
			"for me":        {store.RequestFilter{Within: everybody, NotForPerson: s.person.ID}, 0},
		} {
			rs, err := b.Requests(ctx, c.want, store.Page{Limit: 5})
			require.NoError(t, err)
			require.Len(t, rs, c.n, name)
		}

		act, err := b.Act(ctx, s.act.ID)
		require.NoError(t, err)
		require.Equal(t, s.act, act)
		require.NoError(t, b.MarkActApplied(ctx, act.ID))
		require.ErrorIs(t, b.MarkActApplied(ctx, act.ID), store.ErrChanged)
		wrong := s.act
		wrong.ID, wrong.RequestID = id(), "none"
		require.Error(t, b.InsertAct(ctx, wrong), "an act is on a request")
	})
}

func TestRequestsToStart(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		at := kept.AddDate(0, 1, 0)
		var due []string
		for _, c := range []struct {
			state                        domain.RequestState
			created, approval, collected time.Time
			due                          bool
		}{
			{domain.RequestReceived, at.Add(-time.Second), time.Time{}, time.Time{}, true},
			{domain.RequestReceived, at, time.Time{}, time.Time{}, false},
			{domain.RequestAwaitingApproval, kept, at.Add(-time.Microsecond), time.Time{}, true},
			{domain.RequestAwaitingApproval, kept, at.Add(time.Second), time.Time{}, false},
			{domain.RequestAwaitingCollection, kept, kept, at.Add(-time.Second), true},
			{domain.RequestAwaitingCollection, kept, kept, at.Add(time.Second), false},
			{domain.RequestLocked, kept, kept, at.Add(-time.Second), true},
			{domain.RequestIssued, kept, kept, kept, false},
			{domain.RequestCanceled, kept, kept, kept, false},
		} {
			r := request(s)
			r.State, r.CreatedAt, r.ApprovalDeadline, r.CollectionDeadline = c.state, c.created, c.approval, c.collected
			require.NoError(t, b.InsertRequest(ctx, r))
			if c.due {
				due = append(due, r.ID)
			}
		}
		// A message nobody has tried to send for an hour: its workflow may be lost.
		for _, c := range []struct {
			state store.MessageState
			tried time.Time
			due   bool
		}{
			{store.MessagePending, at.Add(-time.Hour - time.Second), true},
			{store.MessagePending, at.Add(-time.Hour), false},
			{store.MessageFailed, kept, false},
		} {
			r := request(s)
			r.State, r.CreatedAt, r.ApprovalDeadline, r.CollectionDeadline = domain.RequestAwaitingCollection, kept, kept, at.Add(time.Hour)
			require.NoError(t, b.InsertRequest(ctx, r))
			require.NoError(t, b.InsertMessage(ctx, store.Message{ID: r.ID, RequestID: store.OptionalID(r.ID), PersonID: r.PersonID, Channel: domain.ChannelSMS,
				Kind: domain.MessageAuthenticationCode, State: c.state, CreatedAt: store.At(kept), UpdatedAt: store.At(c.tried)}))
			if c.due {
				due = append(due, r.ID)
			}
		}
		ids, err := b.RequestsToStart(ctx, at, at.Add(-time.Hour), 100)
		require.NoError(t, err)
		require.Equal(t, append([]string{s.request.ID}, due...), ids)
		ids, err = b.RequestsToStart(ctx, at, at.Add(-time.Hour), 2)
		require.NoError(t, err)
		require.Len(t, ids, 2)
	})
}

func TestCodeAttempts(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		r := insertSamples(t, b).request
		const limit = 5
		var spent atomic.Int64
		g, gctx := errgroup.WithContext(ctx)
		for range 20 {
			g.Go(func() error {
				n, err := b.CountAttempt(gctx, r.ID, 1, limit)
				switch {
				case errors.Is(err, store.ErrChanged):
					return nil
				case err != nil:
					return err
				case n < 1 || n > limit:
					return fmt.Errorf("attempt %d", n)
				}
				spent.Add(1)
				return nil
			})
		}
		require.NoError(t, g.Wait())
		require.EqualValues(t, limit, spent.Load())
		_, err := b.CountAttempt(ctx, r.ID, 2, 100)
		require.ErrorIs(t, err, store.ErrChanged, "another generation")

		require.ErrorIs(t, b.RedeemCode(ctx, r.ID, 2, now), store.ErrChanged)
		require.NoError(t, b.RedeemCode(ctx, r.ID, 1, now))
		require.ErrorIs(t, b.RedeemCode(ctx, r.ID, 1, now), store.ErrChanged, "once")
		_, err = b.CountAttempt(ctx, r.ID, 1, 100)
		require.ErrorIs(t, err, store.ErrChanged, "there is nothing left to try")
	})
}

func TestHoldRequest(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error {
			got, err := tx.HoldRequest(ctx, s.request.ID, s.request.State, 1)
			require.Equal(t, s.request, got)
			return err
		}))
		for _, c := range []struct {
			id         string
			state      domain.RequestState
			generation int
		}{{s.request.ID, domain.RequestLocked, 1}, {s.request.ID, s.request.State, 2}, {"none", s.request.State, 1}} {
			require.ErrorIs(t, b.Tx(ctx, func(tx *store.Tx) error {
				_, err := tx.HoldRequest(ctx, c.id, c.state, c.generation)
				return err
			}), store.ErrChanged)
		}
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.HoldPerson(ctx, s.person.ID) }))
		require.ErrorIs(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.HoldPerson(ctx, "nobody") }), store.ErrChanged)
	})
}

// Twenty writers read a number, think, and write the next one: the lock they take first keeps every step.
func TestReadThenWrite(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		g, gctx := errgroup.WithContext(ctx)
		for range 20 {
			g.Go(func() error {
				return b.Tx(gctx, func(tx *store.Tx) error {
					r, err := tx.HoldRequest(gctx, s.request.ID, s.request.State, 1)
					if err != nil {
						return err
					}
					r.Attempts++
					return tx.MoveRequest(gctx, r, r.State, r.Generation)
				})
			})
		}
		require.NoError(t, g.Wait())
		r, err := b.Request(ctx, s.request.ID)
		require.NoError(t, err)
		require.Equal(t, 20, r.Attempts)
	})
}

func TestMessages(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		first := store.Message{ID: id(), RequestID: store.OptionalID(s.request.ID), PersonID: s.person.ID, Generation: 1, Channel: domain.ChannelEmail, Kind: domain.MessageCollectionLink,
			State: store.MessagePending, CreatedAt: store.At(now), UpdatedAt: store.At(now)}
		second := first
		second.ID, second.Channel, second.Kind, second.AccountID = id(), domain.ChannelSMS, domain.MessageAuthenticationCode, "a"
		require.NoError(t, b.InsertMessage(ctx, first))
		require.NoError(t, b.InsertMessage(ctx, second))
		pending, err := b.PendingMessages(ctx, s.request.ID, 1)
		require.NoError(t, err)
		require.Equal(t, []store.Message{first, second}, pending)
		none, err := b.PendingMessages(ctx, s.request.ID, 2)
		require.NoError(t, err)
		require.Empty(t, none)

		later := store.At(now.Add(time.Minute))
		failed := store.MessageAttempt{ID: id(), MessageID: first.ID, Outcome: "temporary", Answer: "later", At: later}
		sent := store.MessageAttempt{ID: id(), MessageID: first.ID, Outcome: "sent", Answer: "250", At: later}
		require.NoError(t, b.NoteAttempt(ctx, failed, store.MessagePending))
		require.NoError(t, b.NoteAttempt(ctx, sent, store.MessageSent))
		late := store.MessageAttempt{ID: id(), MessageID: first.ID, Outcome: "refused", Answer: "no", At: later}
		require.NoError(t, b.NoteAttempt(ctx, late, store.MessageFailed))
		attempts, err := b.AttemptsOf(ctx, first.ID, second.ID)
		require.NoError(t, err)
		require.Equal(t, []store.MessageAttempt{failed, sent, late}, attempts)

		require.NoError(t, b.ReplaceMessages(ctx, s.request.ID, now))
		all, err := b.Messages(ctx, s.request.ID)
		require.NoError(t, err)
		require.Equal(t, store.MessageSent, all[0].State, "what was sent stays sent, whatever comes later")
		require.Equal(t, store.MessageReplaced, all[1].State)
	})
}

func TestDocuments(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		d := s.document
		for _, read := range []func() (domain.Document, error){
			func() (domain.Document, error) { return b.Document(ctx, d.ID) },
			func() (domain.Document, error) { return b.DocumentBySerial(ctx, d.Serial) },
			func() (domain.Document, error) { return b.DocumentOfRequest(ctx, d.RequestID) },
		} {
			got, err := read()
			require.NoError(t, err)
			require.Equal(t, d, got)
		}
		twin := document(s)
		require.ErrorIs(t, b.InsertDocument(ctx, twin), store.ErrExists, "one request, one document")
		listed, err := b.Documents(ctx, store.DocumentFilter{Within: everybody}, store.Page{Limit: 5})
		require.NoError(t, err)
		require.Empty(t, listed, "a prepared document is in no list")

		// Another act takes the intent over; the first one cannot finish it then.
		second := s.act
		second.ID = id()
		require.NoError(t, b.InsertAct(ctx, second))
		taken := d
		taken.ActID, taken.SignerID, taken.Platform, taken.Copies = second.ID, "other", domain.PlatformAndroid, 3
		require.NoError(t, b.ReassignIntent(ctx, taken))
		require.ErrorIs(t, b.Activate(ctx, d, domain.Plan{}, now), store.ErrChanged)
		taken.SignedAt, taken.ValidUntil, taken.FormatVersion = kept.Add(time.Second), kept.Add(48*time.Hour), 3
		require.NoError(t, b.Activate(ctx, taken, domain.Plan{}, now))
		taken.State = domain.DocumentActive
		got, err := b.Document(ctx, d.ID)
		require.NoError(t, err)
		require.Equal(t, taken, got, "the terms are those it was signed with")
		require.ErrorIs(t, b.Activate(ctx, taken, domain.Plan{}, now), store.ErrChanged)
		require.ErrorIs(t, b.ReassignIntent(ctx, taken), store.ErrChanged)
		require.ErrorIs(t, b.ReplaceIntent(ctx, taken), store.ErrChanged)

		for name, c := range map[string]struct {
			want store.DocumentFilter
			n    int
		}{
			"all":             {store.DocumentFilter{Within: everybody}, 1},
			"person":          {store.DocumentFilter{Within: everybody, PersonID: s.person.ID, ProfileID: s.profile.ID, Serial: d.Serial}, 1},
			"another":         {store.DocumentFilter{Within: everybody, PersonID: "x"}, 0},
			"active":          {store.DocumentFilter{Within: everybody, State: domain.DocumentActive}, 1},
			"active in time":  {store.DocumentFilter{Within: everybody, State: domain.DocumentActive, At: taken.ValidUntil.Add(-time.Microsecond)}, 1},
			"active too late": {store.DocumentFilter{Within: everybody, State: domain.DocumentActive, At: taken.ValidUntil}, 0},
			"expired early":   {store.DocumentFilter{Within: everybody, State: domain.DocumentExpired, At: taken.ValidUntil.Add(-time.Microsecond)}, 0},
			"expired":         {store.DocumentFilter{Within: everybody, State: domain.DocumentExpired, At: taken.ValidUntil}, 1},
			"canceled":        {store.DocumentFilter{Within: everybody, State: domain.DocumentCanceled, At: taken.ValidUntil}, 0},
		} {
			listed, err := b.Documents(ctx, c.want, store.Page{Limit: 5})
			require.NoError(t, err, name)
			require.Len(t, listed, c.n, name)
		}

		live, err := b.LiveDocuments(ctx, s.person.ID)
		require.NoError(t, err)
		require.Equal(t, []domain.Document{taken}, live)
		require.ErrorIs(t, b.MoveDocument(ctx, d.ID, domain.DocumentDisabled, domain.DocumentActive, "", now), store.ErrChanged)
		require.NoError(t, b.MoveDocument(ctx, d.ID, domain.DocumentActive, domain.DocumentCanceled, "", now))
		live, err = b.LiveDocuments(ctx, s.person.ID)
		require.NoError(t, err)
		require.Empty(t, live)
	})
}

func TestCopies(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		mine := domain.Copy{DocumentID: s.document.ID, N: 1, KeyThumbprint: "second", PublicKey: []byte{1}, Seed: []byte{2}, ListID: "l",
			StatusIndex: 1 << 40}
		first := mine
		first.N, first.KeyThumbprint, first.StatusIndex = 0, "first", 0
		require.NoError(t, b.InsertCopy(ctx, mine))
		require.NoError(t, b.InsertCopy(ctx, first))
		got, err := b.Copies(ctx, s.document.ID)
		require.NoError(t, err)
		require.Equal(t, []domain.Copy{first, mine}, got)
		reused := mine
		reused.N = 2
		require.ErrorIs(t, b.InsertCopy(ctx, reused), store.ErrExists, "one key, one copy")

		require.NoError(t, b.StoreSigned(ctx, s.document.ID, 0, []byte("signed")))
		require.ErrorIs(t, b.StoreSigned(ctx, s.document.ID, 0, []byte("again")), store.ErrChanged, "the first result wins")
		require.ErrorIs(t, b.StoreSigned(ctx, s.document.ID, 7, []byte("x")), store.ErrChanged)
		got, err = b.Copies(ctx, s.document.ID)
		require.NoError(t, err)
		require.Equal(t, []byte("signed"), got[0].IssuerSigned)
		require.Nil(t, got[0].Seed, "the seed is erased")

		n, err := b.DropSigned(ctx, now.Add(time.Hour))
		require.NoError(t, err)
		require.Zero(t, n, "not while it is being prepared")
		require.NoError(t, b.Activate(ctx, s.document, domain.Plan{}, now))
		n, err = b.DropSigned(ctx, kept)
		require.NoError(t, err)
		require.Zero(t, n, "not before its time")
		n, err = b.DropSigned(ctx, kept.Add(time.Microsecond))
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		got, err = b.Copies(ctx, s.document.ID)
		require.NoError(t, err)
		require.Nil(t, got[0].IssuerSigned)

		other := samples{person: s.person, profile: s.profile, request: request(s), act: s.act}
		require.NoError(t, b.InsertRequest(ctx, other.request))
		other.act.ID, other.act.RequestID = id(), other.request.ID
		require.NoError(t, b.InsertAct(ctx, other.act))
		other.document = document(other)
		require.NoError(t, b.InsertDocument(ctx, other.document))
		forgotten := domain.Copy{DocumentID: other.document.ID, KeyThumbprint: "third", PublicKey: []byte{1}, ListID: "l", StatusIndex: 5}
		require.NoError(t, b.InsertCopy(ctx, forgotten))
		require.NoError(t, b.ReplaceIntent(ctx, other.document))
		got, err = b.Copies(ctx, other.document.ID)
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

func TestAccounts(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		has, err := b.HasAccounts(ctx)
		require.NoError(t, err)
		require.False(t, has)
		person := insertSamples(t, b).person
		a := domain.Account{ID: id(), Name: "ada", PersonID: person.ID, Email: "a@b.example"}
		require.NoError(t, b.InsertAccount(ctx, a, "hash"))
		twin := a
		twin.ID = id()
		require.ErrorIs(t, b.InsertAccount(ctx, twin, ""), store.ErrExists)
		plain := domain.Account{ID: id(), Name: "plain"}
		require.NoError(t, b.InsertAccount(ctx, plain, ""))
		has, err = b.HasAccounts(ctx)
		require.NoError(t, err)
		require.True(t, has)
		all, err := b.Accounts(ctx, store.Page{Limit: 5})
		require.NoError(t, err)
		require.Equal(t, []domain.Account{plain, a}, all)

		for n := 1; n <= 3; n++ {
			got, err := b.CountSignInFailure(ctx, a.ID)
			require.NoError(t, err)
			require.Equal(t, n, got)
		}
		require.NoError(t, b.AcceptSignIn(ctx, a.ID, now))
		got, err := b.CountSignInFailure(ctx, a.ID)
		require.NoError(t, err)
		require.Equal(t, 1, got, "a sign-in ends the row of failures")
		until := now.Add(time.Hour)
		require.NoError(t, b.LockSignIn(ctx, a.ID, until))
		require.ErrorIs(t, b.AcceptSignIn(ctx, a.ID, until.Add(-time.Second)), store.ErrChanged)
		login, err := b.AccountByName(ctx, "ada")
		require.NoError(t, err)
		require.Equal(t, store.Login{Account: a, PasswordHash: "hash", LockedUntil: kept.Add(time.Hour)}, login)
		require.NoError(t, b.AcceptSignIn(ctx, a.ID, until))

		// Without a new hash the password and the lock stay.
		a.Email, a.Disabled = "c@d.example", true
		require.NoError(t, b.SetAccount(ctx, a, ""))
		login, err = b.AccountByName(ctx, "ada")
		require.NoError(t, err)
		require.Equal(t, store.Login{Account: a, Barred: true, PasswordHash: "hash", LockedUntil: kept.Add(time.Hour)}, login)
		require.ErrorIs(t, b.AcceptSignIn(ctx, a.ID, until), store.ErrChanged, "not while it is disabled")
		require.NoError(t, b.SetAccount(ctx, a, "new"))
		login, err = b.AccountByName(ctx, "ada")
		require.NoError(t, err)
		require.Equal(t, store.Login{Account: a, Barred: true, PasswordHash: "new"}, login, "a new password unlocks")
		require.ErrorIs(t, b.SetAccount(ctx, domain.Account{ID: "none"}, ""), store.ErrChanged)
	})
}

// everybody is the reach of scope all.
var everybody = domain.Within{All: true}

func TestRolesAndGrants(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		clerk := domain.Role{ID: id(), Name: "clerk", Permissions: []domain.Permission{domain.PermRequest, domain.PermPeopleRead}}
		reader := domain.Role{ID: id(), Name: "reader", Permissions: []domain.Permission{domain.PermPeopleRead, domain.PermApprove}}
		require.NoError(t, b.InsertRole(ctx, clerk))
		require.NoError(t, b.InsertRole(ctx, reader))
		require.ErrorIs(t, b.InsertRole(ctx, domain.Role{ID: id(), Name: "clerk"}), store.ErrExists)
		require.ErrorIs(t, b.UpdateRole(ctx, domain.Role{ID: reader.ID, Name: "clerk"}), store.ErrExists)
		require.ErrorIs(t, b.UpdateRole(ctx, domain.Role{ID: "none", Name: "x"}), store.ErrChanged)
		roles, err := b.Roles(ctx)
		require.NoError(t, err)
		require.Equal(t, []domain.Role{clerk, reader}, roles)

		a := domain.Account{ID: id(), Name: "a", Email: "a@b.example"}
		none := domain.Account{ID: id(), Name: "b"}
		for _, account := range []domain.Account{a, none} {
			require.NoError(t, b.InsertAccount(ctx, account, ""))
			require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error {
				return tx.SetAssignments(ctx, account.ID, []domain.Assignment{{RoleID: clerk.ID, Scope: domain.ScopeSelf},
					{RoleID: reader.ID, Scope: domain.ScopeAll}})
			}))
		}
		caller, err := b.Caller(ctx, a.ID)
		require.NoError(t, err)
		require.Equal(t, domain.Caller{AccountID: a.ID, Roles: []string{clerk.ID, reader.ID}, Grants: map[domain.Permission]domain.Scope{
			domain.PermRequest: domain.ScopeSelf, domain.PermPeopleRead: domain.ScopeAll, domain.PermApprove: domain.ScopeAll}}, caller,
			"the widest scope counts")
		approvers, err := b.Approvers(ctx)
		require.NoError(t, err)
		require.Equal(t, []store.Approver{{Account: a, Roles: caller.Roles, Scope: domain.ScopeAll},
			{Account: none, Roles: caller.Roles, Scope: domain.ScopeAll}}, approvers)

		require.Error(t, b.Tx(ctx, func(tx *store.Tx) error {
			return tx.SetAssignments(ctx, a.ID, []domain.Assignment{{RoleID: "none", Scope: domain.ScopeAll}})
		}))
		as, err := b.Assignments(ctx, a.ID)
		require.NoError(t, err)
		require.Len(t, as, 2, "a failed change leaves the roles")
	})
}

func TestAPIKeys(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		a := domain.Account{ID: id(), Name: "a"}
		require.NoError(t, b.InsertAccount(ctx, a, ""))
		k := store.APIKey{ID: id(), AccountID: a.ID, Label: "l", SecretHash: "h", ExpiresAt: kept, CreatedAt: kept}
		require.NoError(t, b.InsertAPIKey(ctx, k))
		got, err := b.APIKey(ctx, k.ID)
		require.NoError(t, err)
		require.Equal(t, k, got)
		require.ErrorIs(t, b.RevokeAPIKey(ctx, "another", k.ID), store.ErrChanged)
		require.NoError(t, b.RevokeAPIKey(ctx, a.ID, k.ID))
		all, err := b.APIKeys(ctx, a.ID)
		require.NoError(t, err)
		k.Revoked = true
		require.Equal(t, []store.APIKey{k}, all)
	})
}

func TestCertificatesAndSettings(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		short := store.Certificate{ID: id(), Kind: store.CertificateDS, KeyID: "k", DER: []byte{0, 1}, NotBefore: store.At(now),
			NotAfter: store.At(now.Add(time.Hour)), CreatedAt: store.At(now)}
		long := short
		long.ID, long.NotAfter, long.RevokedAt = id(), store.At(now.Add(2*time.Hour)), store.At(now)
		require.NoError(t, b.InsertCertificate(ctx, short))
		require.NoError(t, b.InsertCertificate(ctx, long))
		got, err := b.Certificates(ctx, store.CertificateDS)
		require.NoError(t, err)
		require.Equal(t, []store.Certificate{long, short}, got)
		got, err = b.Certificates(ctx, store.CertificateIACA)
		require.NoError(t, err)
		require.Empty(t, got)

		_, err = b.LatestCRL(ctx)
		require.ErrorIs(t, err, store.ErrNotFound)
		list := func(n int64, der byte) store.CRL {
			return store.CRL{Number: n, DER: []byte{der}, ThisUpdate: store.At(now), NextUpdate: store.At(now)}
		}
		require.NoError(t, b.InsertCRL(ctx, list(1, 1)))
		require.NoError(t, b.InsertCRL(ctx, list(2, 2)))
		require.ErrorIs(t, b.InsertCRL(ctx, list(2, 3)), store.ErrExists)
		crl, err := b.LatestCRL(ctx)
		require.NoError(t, err)
		require.Equal(t, []byte{2}, crl.DER)

		_, err = b.Setting(ctx, "s")
		require.ErrorIs(t, err, store.ErrNotFound)
		require.NoError(t, b.PutSetting(ctx, "s", "1", "me", now))
		require.NoError(t, b.PutSetting(ctx, "s", "2", "me", now))
		v, err := b.Setting(ctx, "s")
		require.NoError(t, err)
		require.Equal(t, "2", v)
		settings, err := b.Settings(ctx)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"s": "2"}, settings)
	})
}

func TestIdempotencyKeys(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		k := store.IdempotencyKey{AccountID: "a", Key: "k", Act: "x", Fingerprint: "f", ResourceID: "r", CreatedAt: store.At(now)}
		require.NoError(t, b.InsertIdempotencyKey(ctx, k))
		require.ErrorIs(t, b.InsertIdempotencyKey(ctx, k), store.ErrExists)
		other := k
		other.AccountID = "b"
		require.NoError(t, b.InsertIdempotencyKey(ctx, other), "another account's keys are its own")
		got, err := b.IdempotencyKey(ctx, "a", "k")
		require.NoError(t, err)
		require.Equal(t, k, got)
	})
}

// What no row can have is not found on either database; PostgreSQL cannot even be asked for it.
func TestLookUpsOfWhatIsNotThere(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		for _, missing := range []string{"", "none", "a\x00b", "\xff", strings.Repeat("x", 10_000)} {
			for name, read := range map[string]func() error{
				"person":      func() error { _, err := b.Person(ctx, missing); return err },
				"external id": func() error { _, err := b.PersonByExternalID(ctx, missing); return err },
				"profile":     func() error { _, err := b.Profile(ctx, missing); return err },
				"name":        func() error { _, err := b.ProfileByName(ctx, missing); return err },
				"request":     func() error { _, err := b.Request(ctx, missing); return err },
				"act":         func() error { _, err := b.Act(ctx, missing); return err },
				"document":    func() error { _, err := b.Document(ctx, missing); return err },
				"wish":        func() error { _, err := b.Cancellation(ctx, missing); return err },
				"act on it":   func() error { _, err := b.CancellationAct(ctx, missing); return err },
				"serial":      func() error { _, err := b.DocumentBySerial(ctx, missing); return err },
				"account":     func() error { _, err := b.Account(ctx, missing); return err },
				"login":       func() error { _, err := b.AccountByName(ctx, missing); return err },
				"role":        func() error { _, err := b.Role(ctx, missing); return err },
				"API key":     func() error { _, err := b.APIKey(ctx, missing); return err },
				"status list": func() error { _, err := b.StatusList(ctx, missing); return err },
				"key":         func() error { _, err := b.IdempotencyKey(ctx, "a", missing); return err },
			} {
				require.ErrorIs(t, read(), store.ErrNotFound, "%s %q", name, missing)
			}
			rs, err := b.Requests(ctx, store.RequestFilter{Within: everybody, PersonID: missing + "x"}, store.Page{Limit: 1})
			require.NoError(t, err)
			require.Empty(t, rs)
		}
	})
}

// entries are audit entries of every shape.
func entries(n int) []domain.AuditEntry {
	out := make([]domain.AuditEntry, n)
	for i := range out {
		out[i] = domain.AuditEntry{At: now.Add(time.Duration(i)), Actor: "a", Action: "thing.do", Subject: fmt.Sprint(i), PersonID: "p",
			RequestID: "r", DocumentID: "d", Channel: "c", Reason: "ü\n\"'", Notes: "n"}
		if i%2 == 0 {
			out[i].Changes = map[string]domain.Change{"state": {Before: "x", After: "y"}, "a": {}}
		}
	}
	return out
}

func checkChain(t *testing.T, b backend, want int) {
	t.Helper()
	all, err := b.Audit(t.Context(), store.AuditFilter{}, 0, want+10)
	require.NoError(t, err)
	require.Len(t, all, want)
	hash := ""
	for i, e := range all {
		require.EqualValues(t, i+1, e.Seq)
		require.Equal(t, e.Chain(hash), e.Hash, "entry %d", e.Seq)
		hash = e.Hash
	}
	seq, head, err := b.AuditHead(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, want, seq)
	require.Equal(t, hash, head)
}

func TestAuditAppend(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		g, gctx := errgroup.WithContext(ctx)
		for range 16 {
			g.Go(func() error {
				for range 5 {
					if err := b.Tx(gctx, func(tx *store.Tx) error { return tx.AppendAudit(gctx, entries(2)...) }); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		gaveUp := errors.New("gave up")
		require.ErrorIs(t, b.Tx(ctx, func(tx *store.Tx) error {
			require.NoError(t, tx.AppendAudit(ctx, entries(3)...))
			return gaveUp
		}), gaveUp)
		checkChain(t, b, 160)

		for name, want := range map[string]store.AuditFilter{"person": {PersonID: "p"}, "request": {RequestID: "r"},
			"document": {DocumentID: "d"}, "action": {Action: "thing.do"}} {
			some, err := b.Audit(ctx, want, 100, 7)
			require.NoError(t, err)
			require.Len(t, some, 7, name)
			require.EqualValues(t, 101, some[0].Seq, "the ones after the last")
		}
		some, err := b.Audit(ctx, store.AuditFilter{Action: "thing.undo"}, 0, 7)
		require.NoError(t, err)
		require.Empty(t, some)
	})
}

func TestAuditIsAppendOnly(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.AppendAudit(ctx, entries(3)...) }))
		for _, tamper := range []string{`UPDATE audit_entries SET actor = 'x' WHERE seq = 2`, `DELETE FROM audit_entries WHERE seq = 2`,
			`DELETE FROM audit_entries`, `UPDATE audit_entries SET seq = 9 WHERE seq = 3`} {
			_, err := b.raw.ExecContext(ctx, tamper)
			require.ErrorContains(t, err, "append-only", tamper)
		}
		checkChain(t, b, 3)
	})
}

// HoldAudit lets no other transaction with an audit entry commit in between.
func TestHoldAuditIsExclusive(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		var inside, most atomic.Int64
		g, gctx := errgroup.WithContext(ctx)
		for range 10 {
			g.Go(func() error {
				return b.Tx(gctx, func(tx *store.Tx) error {
					if err := tx.HoldAudit(gctx); err != nil {
						return err
					}
					most.Store(max(most.Load(), inside.Add(1)))
					defer inside.Add(-1)
					return tx.AppendAudit(gctx, entries(1)...)
				})
			})
		}
		require.NoError(t, g.Wait())
		require.EqualValues(t, 1, most.Load())
		checkChain(t, b, 10)
	})
}

func TestTx(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		s := insertSamples(t, b)
		refused := errors.New("refused")
		err := b.Tx(ctx, func(tx *store.Tx) error {
			require.NoError(t, tx.PutSetting(ctx, "s", "1", "me", now))
			v, err := tx.Setting(ctx, "s")
			require.NoError(t, err)
			require.Equal(t, "1", v, "a transaction sees what it wrote")
			return refused
		})
		require.ErrorIs(t, err, refused)
		_, err = b.Setting(ctx, "s")
		require.ErrorIs(t, err, store.ErrNotFound, "what failed left nothing")

		canceled, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, b.Tx(canceled, func(*store.Tx) error { return nil }), context.Canceled)
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.HoldPerson(ctx, s.person.ID) }), "nothing is left locked")
	})
}

// Two transactions lock two people in opposite order: a database that notices lets one of them run again, and both succeed.
func TestTxRunsAgainAfterDeadlock(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		first, second := insertSamples(t, b).person.ID, insertSamples(t, b).person.ID
		var met sync.WaitGroup // both hold one lock; where there is only one writer at a time they cannot meet
		met.Add(2)
		var runs atomic.Int64
		g, gctx := errgroup.WithContext(ctx)
		for _, order := range [][2]string{{first, second}, {second, first}} {
			g.Go(func() error {
				once := sync.OnceFunc(func() {
					met.Done()
					if b.driver == "postgres" {
						met.Wait()
					}
				})
				return b.Tx(gctx, func(tx *store.Tx) error {
					runs.Add(1)
					if err := tx.HoldPerson(gctx, order[0]); err != nil {
						return err
					}
					once()
					return tx.HoldPerson(gctx, order[1])
				})
			})
		}
		require.NoError(t, g.Wait())
		want := map[string]int64{"sqlite": 2, "postgres": 3}
		require.Equal(t, want[b.driver], runs.Load())
	})
}

func TestMigrateIsIdempotent(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			b := unmigrated(t, driver)
			ctx := t.Context()
			require.ErrorContains(t, b.CheckSchema(ctx), "mdocket migrate")
			// Several processes start at the same time, each with a pool of its own.
			var steps atomic.Int64
			g, gctx := errgroup.WithContext(ctx)
			for range 6 {
				s := open(t, b.dsn)
				g.Go(func() error {
					n, err := s.Migrate(gctx)
					steps.Add(int64(n))
					return err
				})
			}
			require.NoError(t, g.Wait())
			require.NoError(t, b.CheckSchema(ctx))
			n, err := b.Migrate(ctx)
			require.NoError(t, err)
			require.Zero(t, n)
			want, err := unmigrated(t, driver).Migrate(ctx)
			require.NoError(t, err)
			require.EqualValues(t, want, steps.Load(), "one of them did each step")
			insertSamples(t, b)
		})
	}
}

func TestOpenRefusesWithoutThePassword(t *testing.T) {
	const secret = "s3cr3tpa55"
	for _, dsn := range []string{"", "sqlite:", "mysql://u:" + secret + "@h/db", "u:" + secret + "@tcp(h)/db", "postgres:u:" + secret,
		"postgres://u:" + secret + "@h:port/db", "postgres://u:" + secret + "@h:1/%zz", "postgres://u:" + secret + "@%/db",
		"postgres://u:" + secret + "@127.0.0.1:1/db?sslmode=bogus", "postgres://u:" + secret + "@127.0.0.1:1/db?connect_timeout=x" + "1",
		"postgresql://u:" + secret + "@127.0.0.1:1/db?sslmode=disable", "postgres://u:" + secret + "%00@127.0.0.1:1/db?sslmode=disable",
		"postgres://u:" + secret + "@127.0.0.1:1/db?sslrootcert=/no/such/file",
		"sqlite:/no/such/folder/" + "db"} {
		_, err := store.Open(t.Context(), dsn)
		require.Error(t, err, dsn)
		require.NotContains(t, err.Error(), secret)
	}
}

// A server that was restarted leaves connections behind that are broken, which is no reason for a process to end with an error.
func TestCloseWithBrokenConnections(t *testing.T) {
	b := unmigrated(t, "postgres")
	require.NoError(t, b.Ping(t.Context()))
	_, err := b.raw.ExecContext(t.Context(),
		`SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	require.NoError(t, err)
	require.NoError(t, b.Close())
}

func FuzzOpen(f *testing.F) {
	for _, seed := range []string{"@h/db", "@h:port/db", "@[::1/db", "@h/db?sslmode=x", "%", "@h:99999/%zz?a=b#c"} {
		f.Add(seed)
	}
	const secret = "s3cr3tpa55"
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing is ever called
	f.Fuzz(func(t *testing.T, rest string) {
		for _, scheme := range []string{"postgres://u:", "sqlite3://u:"} {
			_, err := store.Open(ctx, scheme+secret+rest)
			require.Error(t, err)
			require.NotContains(t, err.Error(), secret)
		}
	})
}

func TestTimes(t *testing.T) {
	for name, at := range map[string]time.Time{
		"zone":       now,
		"nanosecond": time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		"old":        time.Date(1906, 1, 1, 0, 0, 0, 1000, time.UTC),
		"whole":      time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"monotonic":  time.Now(),
	} {
		t.Run(name, func(t *testing.T) {
			v, err := store.At(at).Value()
			require.NoError(t, err)
			var back store.Time
			require.NoError(t, back.Scan(v))
			require.Equal(t, at.UTC().Truncate(time.Microsecond), back.Time)
			require.Len(t, v, len("2006-01-02T15:04:05.000000Z"), "a fixed width, so that texts compare as instants do")
		})
	}
	v, err := store.At(time.Time{}).Value()
	require.NoError(t, err)
	require.Nil(t, v)
	for _, bad := range []any{"2026-01-01", "2026-01-01T00:00:00Z", "", 7, []byte("2026-01-01T00:00:00.000000Z")} {
		var at store.Time
		require.Error(t, at.Scan(bad), "%v", bad)
	}
}

func TestJSONColumn(t *testing.T) {
	type form struct {
		A []string `json:"a"`
	}
	v, err := store.JSON[form]{V: form{A: []string{"ü", "<>"}}}.Value()
	require.NoError(t, err)
	for _, stored := range []any{v, []byte(v.(string))} {
		var back store.JSON[form]
		require.NoError(t, back.Scan(stored))
		require.Equal(t, form{A: []string{"ü", "<>"}}, back.V)
	}
	for _, bad := range []any{"{", nil, 7, `"secret"`} {
		var back store.JSON[form]
		err := back.Scan(bad)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret", "values stay out of error texts")
	}
	_, err = store.JSON[any]{V: make(chan int)}.Value()
	require.Error(t, err)
}
