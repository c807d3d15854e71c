package issuer_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/store"
)

// A race lets contenders who cannot all have their way act at the same moment, for many rounds, on both databases, in the ways of strikes. The
// table says how a round may end; every other combination of states, successes and refusals fails, and so does whatever checkInvariants finds
// after the last round.
type race struct {
	round   func(t *testing.T, f *issuertest.Fixture, n int) round
	allowed []ending
}

// round is a race about to begin.
type round struct {
	contenders []contender
	ends       func() string // the states afterwards, in words
}

// contender is one party, which acts from several goroutines.
type contender struct {
	name  string
	times int
	act   func() error
	once  bool // no more than one of its goroutines may be told of success
	signs bool // it collects
}

// ending is one way for a round to end.
type ending struct {
	ends    string
	won     []string // the contenders who were told of success
	refused told     // what those who were not may have been told, by contender
}

const raceRounds = 9

// strike says when those who do not collect begin.
type strike int

const (
	withTheOthers  strike = iota // all at the same moment
	atTheSignature               // when the document is about to be signed, which goes on
	beforeStoring                // likewise, and it is stored when they are done
	strikes
)

func (r race) run(t *testing.T) {
	gate := &gatedKeys{}
	eachBackendWith(t, issuertest.Options{Keys: gate.wrap}, func(t *testing.T, f *issuertest.Fixture) {
		seen := map[string]int{}
		for n := range raceRounds {
			gate.set(nil)
			round := r.round(t, f, n)
			answers := round.start(gate, strike(n)%strikes)
			gate.set(nil)
			ends := round.ends()
			r.judge(t, round, ends, answers)
			seen[ends+", won by "+strings.Join(winners(answers), " and ")]++
		}
		for _, end := range slices.Sorted(maps.Keys(seen)) {
			t.Logf("%2d x %s", seen[end], end)
		}
	})
}

// start lets everybody act and gives what they were answered. Where everybody signs, two wait for each other before they store.
func (r round) start(gate *gatedKeys, when strike) map[string][]error {
	var mu sync.Mutex
	answers := map[string][]error{}
	var signers, others sync.WaitGroup
	signing, striking := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(striking) })
	nobodyElse := true
	for _, c := range r.contenders {
		group, signal := &others, striking
		if c.signs {
			group, signal = &signers, signing
		}
		nobodyElse = nobodyElse && c.signs
		for range c.times {
			group.Go(func() {
				<-signal
				err := again(c.act)
				mu.Lock()
				defer mu.Unlock()
				answers[c.name] = append(answers[c.name], err)
			})
		}
	}
	switch {
	case when == beforeStoring && nobodyElse:
		gate.set(meeting(2))
	case when == beforeStoring:
		gate.set(func() error { begin(); others.Wait(); return nil })
	case when == atTheSignature:
		gate.set(func() error { begin(); return nil })
	}
	close(signing)
	if when == withTheOthers {
		begin()
	}
	signers.Wait()
	begin() // if nothing was signed
	others.Wait()
	return answers
}

// judge looks the round up in the table.
func (r race) judge(t *testing.T, round round, ends string, answers map[string][]error) {
	t.Helper()
	for _, c := range round.contenders {
		successes := 0
		for _, err := range answers[c.name] {
			if err == nil {
				successes++
			}
		}
		require.True(t, !c.once || successes <= 1, "%s: %d were told of success", c.name, successes)
	}
	require.True(t, slices.ContainsFunc(r.allowed, func(o ending) bool { return o.fits(ends, answers) }),
		"%s, won by %v, is not allowed; answers: %v", ends, winners(answers), answers)
}

func (o ending) fits(ends string, answers map[string][]error) bool {
	if ends != o.ends || !slices.Equal(winners(answers), o.won) {
		return false
	}
	for name, all := range answers {
		for _, err := range all {
			if err != nil && !slices.Contains(o.refused[name], domain.CodeOf(err)) {
				return false
			}
		}
	}
	return true
}

func winners(answers map[string][]error) []string {
	out := []string{}
	for name, all := range answers {
		if slices.ContainsFunc(all, func(err error) bool { return err == nil }) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// told are the codes of refusals, by contender.
type told map[string][]domain.Code

var (
	tooLate  = []domain.Code{domain.CodeWrongState, domain.CodeConflict}     // an operator whom somebody else was faster than
	notYours = []domain.Code{domain.CodeWrongState, domain.CodeOfferInvalid} // a wallet whose document is gone or another's
)

func TestRaceCancelAgainstCollect(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			profile := f.Profile(t, fmt.Sprint("mdl-", n))
			r := newRequest(t, f, f.Person(t), profile)
			token := redeem(t, f, r.ID)
			return round{
				contenders: []contender{
					collector(t, f, "wallet", profile, token), collector(t, f, "other wallet", profile, token),
					{name: "cancel", times: 3, once: true, act: func() error {
						_, err := f.Issuer.CancelRequest(t.Context(), f.Admin(), r.ID, "")
						return err
					}},
				},
				ends: func() string { return requestEnd(t, f, r.ID) },
			}
		},
		allowed: []ending{
			{"request issued, its document active", []string{"wallet"}, told{"cancel": tooLate, "other wallet": notYours}},
			{"request issued, its document active", []string{"other wallet"}, told{"cancel": tooLate, "wallet": notYours}},
			{"request canceled, no document", []string{"cancel"}, told{"cancel": tooLate, "wallet": notYours, "other wallet": notYours}},
			{"request canceled, its document canceled", []string{"cancel"}, told{"cancel": tooLate, "wallet": notYours, "other wallet": notYours}},
		},
	}.run(t)
}

func TestRaceCancelAgainstCollectOfTheUpdate(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			return endAgainstUpdate(t, f, f.Profile(t, fmt.Sprint("mdl-", n)), "cancel", func(id string) error {
				_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), id, domain.DocumentCancel, domain.ReasonLost, "")
				return err
			})
		},
		allowed: []ending{
			{"document superseded, request issued, its document active", []string{"wallet"}, told{"cancel": tooLate}},
			{"document canceled, request canceled, no document", []string{"cancel"}, told{"cancel": tooLate, "wallet": notYours}},
			{"document canceled, request canceled, its document canceled", []string{"cancel"}, told{"cancel": tooLate, "wallet": notYours}},
		},
	}.run(t)
}

func TestRaceDisableAgainstCollectOfTheUpdate(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			return endAgainstUpdate(t, f, f.Profile(t, fmt.Sprint("mdl-", n)), "disable", func(id string) error {
				_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), id, domain.DocumentDisable, domain.ReasonLost, "")
				return err
			})
		},
		allowed: []ending{
			{"document superseded, request issued, its document active", []string{"wallet"}, told{"disable": tooLate}},
			{"document disabled, request awaiting_collection, no document", []string{"disable"}, told{"disable": tooLate, "wallet": notYours}},
			{"document disabled, request awaiting_collection, its document prepared", []string{"disable"},
				told{"disable": tooLate, "wallet": notYours}},
		},
	}.run(t)
}

// Asking for approval of the cancellation is enough to keep the new version from being collected.
func TestRaceRequestCancelAgainstCollectOfTheUpdate(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			return endAgainstUpdate(t, f, guardedProfile(t, f, fmt.Sprint("guarded-", n)), "request", func(id string) error {
				_, err := f.Issuer.RequestCancellation(t.Context(), f.Admin(), "", issuer.NewCancellation{DocumentID: id, Reason: domain.ReasonLost})
				return err
			})
		},
		allowed: []ending{
			{"document superseded, request issued, its document active", []string{"wallet"}, told{"request": tooLate}},
			{"document active, request awaiting_collection, no document", []string{"request"}, told{"request": tooLate, "wallet": notYours}},
			{"document active, request awaiting_collection, its document prepared", []string{"request"},
				told{"request": tooLate, "wallet": notYours}},
		},
	}.run(t)
}

// An update may be asked for before its document is disabled; then it waits until that is enabled again.
func TestRaceDisableAgainstUpdate(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			d := f.Issue(t, f.Person(t).ID, f.Profile(t, fmt.Sprint("mdl-", n)).ID)
			return round{
				contenders: []contender{updater(t, f, "update", d.ID, ""), disabler(t, f, d.ID)},
				ends:       func() string { return updatesEnd(t, f, d.ID) },
			}
		},
		allowed: []ending{
			{"document disabled, 0 updates", []string{"disable"}, told{"disable": tooLate, "update": tooLate}},
			{"document disabled, 1 updates", []string{"disable", "update"}, told{"disable": tooLate, "update": tooLate}},
		},
	}.run(t)
}

// However many ask for an update, there is one; whoever repeats a call with its key learns of the one that the call made.
func TestRaceTwoUpdates(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			d := f.Issue(t, f.Person(t).ID, f.Profile(t, fmt.Sprint("mdl-", n)).ID)
			repeated := updater(t, f, "repeated", d.ID, "key-"+d.ID)
			repeated.once = false
			return round{contenders: []contender{updater(t, f, "update", d.ID, ""), repeated},
				ends: func() string { return updatesEnd(t, f, d.ID) }}
		},
		allowed: []ending{
			{"document active, 1 updates", []string{"update"}, told{"update": tooLate, "repeated": tooLate}},
			{"document active, 1 updates", []string{"repeated"}, told{"update": tooLate}},
		},
	}.run(t)
}

// Two wallets come with one token, both have signed documents, one is stored.
func TestRaceTwoCollectionsOfOneUpdate(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			return endAgainstUpdate(t, f, f.Profile(t, fmt.Sprint("mdl-", n)), "", nil)
		},
		allowed: []ending{
			{"document superseded, request issued, its document active", []string{"wallet"}, told{"other wallet": notYours}},
			{"document superseded, request issued, its document active", []string{"other wallet"}, told{"wallet": notYours}},
		},
	}.run(t)
}

// Whoever is erased in the middle of a collection is left without a document, and nothing signed is left of them.
func TestRaceEraseAgainstCollect(t *testing.T) {
	gone := []domain.Code{domain.CodeWrongState, domain.CodeOfferInvalid, domain.CodePersonInactive, domain.CodeMissingData}
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			profile, person := f.Profile(t, fmt.Sprint("mdl-", n)), f.Person(t)
			r := newRequest(t, f, person, profile)
			token := redeem(t, f, r.ID)
			return round{
				contenders: []contender{collector(t, f, "wallet", profile, token),
					{name: "erase", times: 2, act: func() error {
						_, err := f.Issuer.ErasePerson(t.Context(), f.Admin(), person.ID, issuer.Erase{Reason: domain.ReasonLeft, Confirm: person.ID})
						return err
					}}},
				ends: func() string {
					p, err := f.Store.Person(t.Context(), person.ID)
					require.NoError(t, err)
					require.True(t, p.Erased())
					return requestEnd(t, f, r.ID) + signedLeft(t, f, r.ID)
				},
			}
		},
		allowed: []ending{
			{"request issued, its document canceled", []string{"erase", "wallet"}, told{"wallet": gone}},
			{"request canceled, no document", []string{"erase"}, told{"wallet": gone}},
			{"request canceled, its document canceled", []string{"erase"}, told{"wallet": gone}},
		},
	}.run(t)
}

func TestRaceDeactivateAgainstCollect(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			profile, person := f.Profile(t, fmt.Sprint("mdl-", n)), f.Person(t)
			r := newRequest(t, f, person, profile)
			token := redeem(t, f, r.ID)
			return round{
				contenders: []contender{collector(t, f, "wallet", profile, token), deactivator(t, f, person.ID)},
				ends:       func() string { return requestEnd(t, f, r.ID) },
			}
		},
		allowed: []ending{
			{"request issued, its document disabled", []string{"deactivate", "wallet"}, told{"deactivate": tooLate}},
			{"request awaiting_collection, no document", []string{"deactivate"},
				told{"deactivate": tooLate, "wallet": {domain.CodePersonInactive}}},
			{"request awaiting_collection, its document prepared", []string{"deactivate"},
				told{"deactivate": tooLate, "wallet": {domain.CodePersonInactive}}},
		},
	}.run(t)
}

// What disabled a document decides whether activating its person enables it.
func TestRaceDisableAgainstDeactivate(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			person := f.Person(t)
			d := f.Issue(t, person.ID, f.Profile(t, fmt.Sprint("mdl-", n)).ID)
			return round{
				contenders: []contender{deactivator(t, f, person.ID), disabler(t, f, d.ID)},
				ends: func() string {
					now := states(t, f, d)[0]
					_, _, err := f.Issuer.ActivatePerson(t.Context(), f.Admin(), person.ID, "")
					require.NoError(t, err)
					return now + ", then " + states(t, f, d)[0]
				},
			}
		},
		allowed: []ending{
			{"disabled operator, then disabled operator", []string{"deactivate", "disable"}, told{"deactivate": tooLate, "disable": tooLate}},
			{"disabled person, then active", []string{"deactivate"}, told{"deactivate": tooLate, "disable": tooLate}},
		},
	}.run(t)
}

func TestRaceDisableAgainstActivate(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			person := f.Person(t)
			d := f.Issue(t, person.ID, f.Profile(t, fmt.Sprint("mdl-", n)).ID)
			require.NoError(t, deactivator(t, f, person.ID).act())
			return round{
				contenders: []contender{disabler(t, f, d.ID), {name: "activate", times: 2, once: true, act: func() error {
					_, _, err := f.Issuer.ActivatePerson(t.Context(), f.Admin(), person.ID, "")
					return err
				}}},
				ends: func() string { return states(t, f, d)[0] },
			}
		},
		allowed: []ending{
			{"active", []string{"activate"}, told{"activate": tooLate, "disable": tooLate}},
			{"disabled operator", []string{"activate", "disable"}, told{"activate": tooLate, "disable": tooLate}},
		},
	}.run(t)
}

// Nobody makes a document of an inactive person active.
func TestRaceEnableAgainstDeactivate(t *testing.T) {
	all := told{"deactivate": tooLate, "enable": {domain.CodeWrongState, domain.CodeConflict, domain.CodePersonInactive}}
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			person := f.Person(t)
			d := f.Issue(t, person.ID, f.Profile(t, fmt.Sprint("mdl-", n)).ID)
			_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, "")
			require.NoError(t, err)
			return round{
				contenders: []contender{deactivator(t, f, person.ID), {name: "enable", times: 3, once: true, act: func() error {
					_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), d.ID, domain.DocumentEnable, "", "")
					return err
				}}},
				ends: func() string { return states(t, f, d)[0] },
			}
		},
		allowed: []ending{
			{"disabled person", []string{"deactivate", "enable"}, all},
			{"disabled operator", []string{"deactivate"}, all},
		},
	}.run(t)
}

// A wish to cancel has one end. The profile asks for approval no more, so that the document can be canceled directly too.
func TestRaceDecisionsOnACancellation(t *testing.T) {
	decided := []domain.Code{domain.CodeWrongState, domain.CodeAlreadyDecided, domain.CodeConflict}
	all := told{"approve": decided, "reject": decided, "withdraw": decided, "cancel": decided}
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			ctx, profile := t.Context(), guardedProfile(t, f, fmt.Sprint("guarded-", n))
			c := askToCancel(t, f, f.Issue(t, f.Person(t).ID, profile.ID).ID)
			o := profile.Options
			o.ValidateCancellation = false
			_, err := f.Issuer.ChangeProfile(ctx, f.Admin(), profile.ID, profile.Version, issuer.SaveProfile{Options: o})
			require.NoError(t, err)
			boss := operator(t, f, fmt.Sprint("boss-", n), domain.PermApprove)
			act := func(name string, act func() error) contender {
				return contender{name: name, times: 2, once: true, act: act}
			}
			return round{
				contenders: []contender{
					act("approve", func() error { _, err := f.Issuer.ApproveCancellation(ctx, boss, c.ID, ""); return err }),
					act("reject", func() error { _, err := f.Issuer.RejectCancellation(ctx, boss, c.ID, "no"); return err }),
					act("withdraw", func() error { _, err := f.Issuer.WithdrawCancellation(ctx, f.Admin(), c.ID, ""); return err }),
					act("cancel", func() error {
						_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), c.DocumentID, domain.DocumentCancel, domain.ReasonLost, "")
						return err
					}),
				},
				ends: func() string {
					return fmt.Sprintf("cancellation %s, document %s", cancellationNow(t, f, c.ID).State, stateOf(t, f, c.DocumentID))
				},
			}
		},
		allowed: []ending{
			{"cancellation approved, document canceled", []string{"approve"}, all},
			{"cancellation rejected, document canceled", []string{"cancel", "reject"}, all},
			{"cancellation withdrawn, document canceled", []string{"cancel", "withdraw"}, all},
			{"cancellation expired, document canceled", []string{"cancel"}, all},
		},
	}.run(t)
}

// A derived document never comes to be after its parent was canceled, and none is left when it was.
func TestRaceCancelAgainstCollectOfTheDerived(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			person, parent := f.Person(t), f.Profile(t, fmt.Sprint("parent-", n))
			profile := f.Profile(t, fmt.Sprint("derived-", n), func(o *domain.ProfileOptions) { o.DerivedFrom = parent.ID })
			d := f.Issue(t, person.ID, parent.ID)
			r := newRequest(t, f, person, profile)
			return round{
				contenders: []contender{collector(t, f, "wallet", profile, redeem(t, f, r.ID)), canceler(t, f, "cancel", d.ID)},
				ends:       func() string { return fmt.Sprintf("parent %s, %s", stateOf(t, f, d.ID), requestEnd(t, f, r.ID)) },
			}
		},
		allowed: []ending{
			{"parent canceled, request issued, its document canceled", []string{"cancel", "wallet"}, told{"cancel": tooLate}},
			{"parent canceled, request awaiting_collection, no document", []string{"cancel"},
				told{"cancel": tooLate, "wallet": {domain.CodeMissingData}}},
			{"parent canceled, request awaiting_collection, its document prepared", []string{"cancel"},
				told{"cancel": tooLate, "wallet": {domain.CodeMissingData}}},
		},
	}.run(t)
}

// Whoever cancels the last one of two parents cancels what is derived from them, also when nobody can tell who that is.
func TestRaceCancelOfTwoParents(t *testing.T) {
	race{
		round: func(t *testing.T, f *issuertest.Fixture, n int) round {
			person, parent := f.Person(t), f.Profile(t, fmt.Sprint("parent-", n))
			profile := f.Profile(t, fmt.Sprint("derived-", n), func(o *domain.ProfileOptions) { o.DerivedFrom = parent.ID })
			one, two := f.Issue(t, person.ID, parent.ID), f.Issue(t, person.ID, parent.ID)
			derived := f.Issue(t, person.ID, profile.ID)
			return round{
				contenders: []contender{canceler(t, f, "one", one.ID), canceler(t, f, "two", two.ID)},
				ends:       func() string { return strings.Join(states(t, f, one, two, derived), ", ") },
			}
		},
		allowed: []ending{{"canceled, canceled, canceled", []string{"one", "two"}, told{"one": tooLate, "two": tooLate}}},
	}.run(t)
}

// collector is a wallet that repeats itself: with the same keys it always gets the same document.
func collector(t *testing.T, f *issuertest.Fixture, name string, profile domain.Profile, token string) contender {
	keys := walletKeys(t, f, 1)
	return contender{name: name, times: 3, signs: true, act: func() error {
		signed, err := collect(t.Context(), f, profile, token, keys)
		if err == nil && len(signed) != 1 {
			return fmt.Errorf("%d copies", len(signed))
		}
		return err
	}}
}

func updater(t *testing.T, f *issuertest.Fixture, name, documentID, key string) contender {
	return contender{name: name, times: 6, once: true, act: func() error {
		_, err := f.Issuer.UpdateDocument(t.Context(), f.Admin(), key, issuer.NewUpdate{DocumentID: documentID, Reason: domain.ReasonReprovision})
		return err
	}}
}

func canceler(t *testing.T, f *issuertest.Fixture, name, documentID string) contender {
	return contender{name: name, times: 3, once: true, act: func() error {
		_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), documentID, domain.DocumentCancel, domain.ReasonLost, "")
		return err
	}}
}

func disabler(t *testing.T, f *issuertest.Fixture, documentID string) contender {
	return contender{name: "disable", times: 3, once: true, act: func() error {
		_, err := f.Issuer.ChangeDocument(t.Context(), f.Admin(), documentID, domain.DocumentDisable, domain.ReasonLost, "")
		return err
	}}
}

func deactivator(t *testing.T, f *issuertest.Fixture, personID string) contender {
	return contender{name: "deactivate", times: 2, once: true, act: func() error {
		_, _, err := f.Issuer.DeactivatePerson(t.Context(), f.Admin(), personID, domain.ReasonLeft, "")
		return err
	}}
}

// endAgainstUpdate lets a wallet collect the update of a document while operators do something to that; while a second wallet collects it too,
// where there is nothing that operators do.
func endAgainstUpdate(t *testing.T, f *issuertest.Fixture, profile domain.Profile, name string, end func(documentID string) error) round {
	h := hold(t, f, f.Person(t), profile, 1)
	r := askUpdate(t, f, h.document.ID)
	token := renew(t, f, h.token.RefreshToken).AccessToken
	rival := contender{name: name, times: 3, once: true, act: func() error { return end(h.document.ID) }}
	if end == nil {
		rival = collector(t, f, "other wallet", profile, token)
	}
	return round{
		contenders: []contender{collector(t, f, "wallet", profile, token), rival},
		ends: func() string {
			live, err := f.Store.LiveDocuments(t.Context(), h.document.PersonID)
			require.NoError(t, err)
			require.LessOrEqual(t, len(live), 1)
			return fmt.Sprintf("document %s, %s", stateOf(t, f, h.document.ID), requestEnd(t, f, r.ID))
		},
	}
}

// requestEnd tells of a request and its document.
func requestEnd(t *testing.T, f *issuertest.Fixture, id string) string {
	d, err := f.Store.DocumentOfRequest(t.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Sprintf("request %s, no document", reload(t, f, id).State)
	}
	require.NoError(t, err)
	return fmt.Sprintf("request %s, its document %s", reload(t, f, id).State, d.State)
}

// signedLeft tells of signed bytes that are kept of a request's document.
func signedLeft(t *testing.T, f *issuertest.Fixture, id string) string {
	d, err := f.Store.DocumentOfRequest(t.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return ""
	}
	require.NoError(t, err)
	copies, err := f.Store.Copies(t.Context(), d.ID)
	require.NoError(t, err)
	for _, c := range copies {
		if c.IssuerSigned != nil {
			return ", signed bytes kept"
		}
	}
	return ""
}

// updatesEnd tells of a document and counts its updates.
func updatesEnd(t *testing.T, f *issuertest.Fixture, documentID string) string {
	var updates int
	row := rawSQL(t, f).QueryRowContext(t.Context(), `SELECT count(*) FROM requests WHERE replaces = $1`, documentID)
	require.NoError(t, row.Scan(&updates))
	return fmt.Sprintf("document %s, %d updates", stateOf(t, f, documentID), updates)
}
