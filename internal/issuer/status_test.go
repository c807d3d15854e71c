package issuer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/verifier"
)

// refresh is long enough for the slowest test machine.
const refresh = 10 * time.Minute

// everyTenMinutes lets lists be signed that often.
func everyTenMinutes(c *issuer.Config) { c.StatusRefresh = refresh }

// Both forms of a list verify and say the same; a list is signed anew when it is due.
func TestStatusListForms(t *testing.T) {
	eachBackendWith(t, issuertest.Options{Config: everyTenMinutes}, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		profile := f.Profile(t, "badge", func(o *domain.ProfileOptions) { o.Format = "staff-badge" })
		d, signed := issue(t, f, f.Person(t), profile, 1)
		copies := copiesOf(t, f, d.RequestID)
		uri := f.Issuer.StatusListURI(copies[0].ListID)
		status := func(asJWT bool) (statuslist.Status, issuer.SignedList) {
			list, err := f.Issuer.StatusList(ctx, copies[0].ListID, asJWT)
			require.NoError(t, err)
			options := statuslist.VerifyOptions{Roots: roots(t, f), Now: f.Clock.Now(), URI: uri}
			token, err := statuslist.VerifyCWT(list.Body, options)
			if asJWT {
				token, err = statuslist.VerifyJWT(string(list.Body), options)
			}
			require.NoError(t, err)
			require.Equal(t, uri, token.Subject)
			require.Equal(t, time.Minute, token.TTL)
			require.Equal(t, issuertest.BaseURL+"/status-lists", token.AggregationURI)
			require.WithinDuration(t, f.Clock.Now().Add(24*time.Hour), token.Expires, time.Minute, "mdocs need an exp")
			require.Equal(t, 2, token.List.Bits())
			require.EqualValues(t, f.Config.StatusEntries, token.List.Len(), "the size tells nothing of the number of documents")
			value, err := token.List.Get(copies[0].StatusIndex)
			require.NoError(t, err)
			return value, list
		}
		for _, asJWT := range []bool{false, true} {
			value, list := status(asJWT)
			require.Equal(t, statuslist.Valid, value)
			require.Equal(t, map[bool]string{false: statuslist.MediaTypeCWT, true: statuslist.MediaTypeJWT}[asJWT], list.MediaType)
			require.Positive(t, list.MaxAge)
			require.LessOrEqual(t, list.MaxAge, refresh, "to the next list")
			require.Equal(t, asJWT, list.Gzip != nil)
			if asJWT {
				content, err := gzip.NewReader(bytes.NewReader(list.Gzip))
				require.NoError(t, err)
				same, err := io.ReadAll(content)
				require.NoError(t, err)
				require.Equal(t, list.Body, same)
			}
			_, again := status(asJWT)
			require.Equal(t, list.ETag, again.ETag, "not signed anew before it is due")
			require.LessOrEqual(t, again.MaxAge, list.MaxAge)
		}
		_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonOther, "")
		require.NoError(t, err)
		f.Clock.Advance(refresh)
		for _, asJWT := range []bool{false, true} {
			value, _ := status(asJWT)
			require.Equal(t, statuslist.Suspended, value)
		}
		require.Equal(t, verifier.StatusSuspended, verify(t, f, signed[0]).Status)

		uris, err := f.Issuer.StatusListURIs(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{uri}, uris)
		_, err = f.Issuer.StatusList(ctx, "none", false)
		codeIs(t, domain.CodeNotFound, err)
	})
}

// A cache may keep a list to the next one, but not longer than verifiers may.
func TestStatusListMaxAge(t *testing.T) {
	o := issuertest.Options{Config: func(c *issuer.Config) { c.StatusRefresh, c.StatusTTL = time.Hour, time.Minute }}
	f := issuertest.New(t, o)
	list := newStatusList(t, f, 1)
	got, err := f.Issuer.StatusList(t.Context(), list.ID, false)
	require.NoError(t, err)
	require.Equal(t, time.Minute, got.MaxAge)
	f.Clock.Advance(time.Hour - 10*time.Second)
	got, err = f.Issuer.StatusList(t.Context(), list.ID, false)
	require.NoError(t, err)
	require.Positive(t, got.MaxAge)
	require.LessOrEqual(t, got.MaxAge, 10*time.Second)
}

// A small list fills up; the next one is opened, and documents name the list they are in.
func TestStatusListsFillUp(t *testing.T) {
	o := issuertest.Options{Config: func(c *issuer.Config) { c.StatusEntries = 8 }}
	eachBackendWith(t, o, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl")
		person := f.Person(t)
		for range 4 {
			_, signed := issue(t, f, person, profile, 3)
			for _, b := range signed {
				require.True(t, verify(t, f, b).OK())
			}
		}
		uris, err := f.Issuer.StatusListURIs(t.Context())
		require.NoError(t, err)
		require.Len(t, uris, 2)
	})
}

// Some entries of a list are invalid from the start, in a number that is drawn, and no document ever gets one of them.
func TestDecoysAreNobodys(t *testing.T) {
	o := issuertest.Options{Config: func(c *issuer.Config) { c.StatusEntries, c.StatusDecoys = 64, 250 }}
	eachBackendWith(t, o, func(t *testing.T, f *issuertest.Fixture) {
		profile, person := f.Profile(t, "mdl"), f.Person(t)
		lists := map[string][]uint64{} // indices of documents
		for len(lists) < 2 {           // until the first list is full
			d, _ := issue(t, f, person, profile, 3)
			for _, c := range copiesOf(t, f, d.RequestID) {
				lists[c.ListID] = append(lists[c.ListID], c.StatusIndex)
			}
		}
		for listID, taken := range lists {
			entries, err := f.Store.SetStatusEntries(t.Context(), listID)
			require.NoError(t, err)
			decoys := invalidIndices(entries)
			require.GreaterOrEqual(t, len(decoys), 8)
			require.LessOrEqual(t, len(decoys), 16)
			require.Len(t, decoys, len(entries))
			require.False(t, slices.ContainsFunc(taken, func(idx uint64) bool { return slices.Contains(decoys, idx) }))
			list, err := f.Store.StatusList(t.Context(), listID)
			require.NoError(t, err)
			require.EqualValues(t, len(decoys)+len(taken), list.Used)
		}
	})
}

// newStatusList opens a list with room for n entries.
func newStatusList(t *testing.T, f *issuertest.Fixture, n int) store.StatusList {
	t.Helper()
	list := store.StatusList{ID: newID(t), Bits: 1, Capacity: uint64(2 * n)}
	require.NoError(t, f.Store.InsertStatusList(t.Context(), list, f.Clock.Now()))
	list, err := f.Store.ReserveStatus(t.Context(), 1, list.Capacity, n)
	require.NoError(t, err)
	return list
}

// countedKeys counts signatures.
func countedKeys() (*gatedKeys, *atomic.Int64) {
	gate, n := &gatedKeys{}, &atomic.Int64{}
	gate.set(func() error { n.Add(1); return nil })
	return gate, n
}

// formsOfAList is how many signatures one signing of a list takes: a CWT and a JWT.
const formsOfAList = 2

// invalidIn counts the invalid entries of a signed list.
func invalidIn(t *testing.T, f *issuertest.Fixture, listID string, signed issuer.SignedList) int {
	t.Helper()
	token, err := statuslist.VerifyCWT(signed.Body,
		statuslist.VerifyOptions{Roots: roots(t, f), Now: f.Clock.Now(), URI: f.Issuer.StatusListURI(listID)})
	require.NoError(t, err)
	n := 0
	for i := range token.List.Len() {
		value, err := token.List.Get(i)
		require.NoError(t, err)
		if value != statuslist.Valid {
			n++
		}
	}
	return n
}

// Ten thousand changes within a period cost one signing of the list, by two processes together; after the period both show all of them.
func TestOneSigningForTenThousandChanges(t *testing.T) {
	const documents, steps = 10_000, 10
	gate, signatures := countedKeys()
	eachBackendWith(t, issuertest.Options{Keys: gate.wrap, Config: everyTenMinutes}, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		list := newStatusList(t, f, documents)
		require.NoError(t, f.Store.Tx(ctx, func(tx *store.Tx) error {
			for i := range documents {
				if _, err := tx.TakeStatusIndex(ctx, list.ID, uint64(i), fmt.Sprint("d", i)); err != nil {
					return err
				}
			}
			return nil
		}))
		processes := []*issuer.Issuer{f.Issuer, issuer.New(f.Config, f.Deps)}
		show := func(want int) {
			t.Helper()
			for _, process := range processes {
				got, err := process.StatusList(ctx, list.ID, false)
				require.NoError(t, err)
				require.Equal(t, want, invalidIn(t, f, list.ID, got))
			}
		}
		before := signatures.Load()
		show(0)
		for step := range steps {
			require.NoError(t, f.Store.Tx(ctx, func(tx *store.Tx) error {
				for i := step * documents / steps; i < (step+1)*documents/steps; i++ {
					if err := tx.SetStatus(ctx, fmt.Sprint("d", i), uint8(statuslist.Invalid)); err != nil {
						return err
					}
				}
				return nil
			}))
			for _, process := range processes {
				_, err := process.StatusList(ctx, list.ID, step%2 == 0)
				require.NoError(t, err)
			}
			f.Clock.Advance(refresh / 1000)
		}
		require.EqualValues(t, formsOfAList, signatures.Load()-before)
		f.Clock.Advance(refresh)
		show(documents)
		require.EqualValues(t, 2*formsOfAList, signatures.Load()-before, "one process signs, the other takes it over")
	})
}

// However many ask at once, in two processes, each period sees one signing of each list.
func TestListsAreSignedOnceUnderConcurrency(t *testing.T) {
	gate, signatures := countedKeys()
	o := issuertest.Options{Keys: gate.wrap, Config: func(c *issuer.Config) { c.StatusRefresh = time.Hour }}
	eachBackendWith(t, o, func(t *testing.T, f *issuertest.Fixture) {
		lists := []store.StatusList{newStatusList(t, f, 100), newStatusList(t, f, 100)}
		processes := []*issuer.Issuer{f.Issuer, issuer.New(f.Config, f.Deps)}
		before := signatures.Load()
		const periods = 3
		for range periods {
			g, ctx := errgroup.WithContext(t.Context())
			for i := range 32 {
				g.Go(func() error {
					_, err := processes[i%2].StatusList(ctx, lists[i/2%2].ID, i%3 == 0)
					return err
				})
			}
			require.NoError(t, g.Wait())
			f.Clock.Advance(time.Hour)
		}
		require.EqualValues(t, periods*len(lists)*formsOfAList, signatures.Load()-before)
		for _, l := range lists {
			token, err := f.Store.StatusToken(t.Context(), l.ID)
			require.NoError(t, err)
			require.EqualValues(t, periods, token.Revision)
		}
	})
}

// A list that cannot be signed is served as it was, with a line in the log and not more than one try in five seconds, until its exp.
func TestTheLastListIsServedUntilItExpires(t *testing.T) {
	gate := &gatedKeys{}
	eachBackendWith(t, issuertest.Options{Keys: gate.wrap, Config: everyTenMinutes}, func(t *testing.T, f *issuertest.Fixture) {
		gate.set(nil)
		ctx := t.Context()
		d, _ := issue(t, f, f.Person(t), f.Profile(t, "mdl"), 1)
		listID := copiesOf(t, f, d.RequestID)[0].ListID
		good, err := f.Issuer.StatusList(ctx, listID, false)
		require.NoError(t, err)
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentCancel, domain.ReasonLost, "")
		require.NoError(t, err)

		tries := 0
		gate.set(func() error { tries++; return errors.New("the module does not answer") })
		f.Clock.Advance(refresh)
		for range 5 {
			got, err := f.Issuer.StatusList(ctx, listID, false)
			require.NoError(t, err)
			require.Equal(t, good.Body, got.Body)
			require.LessOrEqual(t, got.MaxAge, 5*time.Second, "to the next try")
		}
		require.Equal(t, 1, tries)
		require.Equal(t, 1, strings.Count(f.Logs.String(), "the status list could not be renewed"))
		require.Contains(t, f.Logs.String(), "the module does not answer")
		f.Clock.Advance(5 * time.Second)
		other := issuer.New(f.Config, f.Deps)
		got, err := other.StatusList(ctx, listID, false)
		require.NoError(t, err, "a process that never had one takes the stored one")
		require.Equal(t, good.Body, got.Body)
		require.Equal(t, 2, tries)

		gate.set(nil)
		f.Clock.Advance(5 * time.Second)
		got, err = f.Issuer.StatusList(ctx, listID, false)
		require.NoError(t, err)
		require.Equal(t, 1, invalidIn(t, f, listID, got))

		gate.set(func() error { return errors.New("the module does not answer") })
		f.Clock.Advance(24 * time.Hour)
		_, err = f.Issuer.StatusList(ctx, listID, true)
		require.ErrorContains(t, err, "sign status list")
		_, err = other.StatusList(ctx, listID, true)
		require.ErrorContains(t, err, "failed a moment ago")
		gate.set(nil)
	})
}

// Without the database a process serves what it has.
func TestTheListOutlivesTheDatabase(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{Config: everyTenMinutes})
	list := newStatusList(t, f, 1)
	good, err := f.Issuer.StatusList(t.Context(), list.ID, true)
	require.NoError(t, err)
	require.NoError(t, f.Store.Close())
	f.Clock.Advance(refresh)
	got, err := f.Issuer.StatusList(t.Context(), list.ID, true)
	require.NoError(t, err)
	require.Equal(t, good.Body, got.Body)
	f.Clock.Advance(24 * time.Hour)
	_, err = f.Issuer.StatusList(t.Context(), list.ID, true)
	require.ErrorContains(t, err, "load signed status list")
}

// A process that dies while it makes a list holds the others up for a few seconds: they serve the last one, then one of them makes it.
func TestAListWhoseMakerDied(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{Config: everyTenMinutes})
	ctx, list := t.Context(), newStatusList(t, f, 1)
	good, err := f.Issuer.StatusList(ctx, list.ID, false)
	require.NoError(t, err)
	f.Clock.Advance(refresh)
	now := f.Clock.Now()
	ok, err := f.Store.ClaimStatusToken(ctx, list.ID, "dead", now, now, now.Add(15*time.Second))
	require.NoError(t, err)
	require.True(t, ok)
	got, err := f.Issuer.StatusList(ctx, list.ID, false)
	require.NoError(t, err)
	require.Equal(t, good.Body, got.Body)
	require.Contains(t, f.Logs.String(), "another process has begun and does not finish")
	f.Clock.Advance(15 * time.Second)
	got, err = f.Issuer.StatusList(ctx, list.ID, false)
	require.NoError(t, err)
	require.NotEqual(t, good.Body, got.Body)
}

// Nobody waits for a list longer than he wants, and a caller that leaves does not spoil it for others.
func TestCallersThatLeave(t *testing.T) {
	gate := &gatedKeys{}
	f := issuertest.New(t, issuertest.Options{Keys: gate.wrap, Config: everyTenMinutes})
	list := newStatusList(t, f, 1)
	signing, goOn := make(chan struct{}), make(chan struct{})
	first := true
	gate.set(func() error {
		if first {
			first = false
			close(signing)
			<-goOn
		}
		return nil
	})
	leaving, leave := context.WithCancel(t.Context())
	g := errgroup.Group{}
	g.Go(func() error {
		_, err := f.Issuer.StatusList(leaving, list.ID, false)
		return err
	})
	<-signing
	leave()
	_, err := f.Issuer.StatusList(leaving, list.ID, false)
	require.ErrorIs(t, err, context.Canceled)
	close(goOn)
	require.NoError(t, g.Wait())
	require.Equal(t, int64(1), func() int64 {
		token, err := f.Store.StatusToken(t.Context(), list.ID)
		require.NoError(t, err)
		return token.Revision
	}())
}
