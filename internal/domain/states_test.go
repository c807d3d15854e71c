package domain_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

// requestMoves is what C4 allows, written down a second time: a slip in the code's table shows as a difference.
var requestMoves = map[domain.RequestState][]domain.RequestState{
	"received":            {"awaiting_approval", "awaiting_collection", "canceled", "expired", "failed"},
	"awaiting_approval":   {"awaiting_collection", "rejected", "canceled", "expired"},
	"awaiting_collection": {"issued", "locked", "canceled", "expired", "failed"},
	"locked":              {"awaiting_collection", "canceled", "expired", "failed"},
	"issued":              nil, "rejected": nil, "canceled": nil, "expired": nil, "failed": nil,
}

// documentMoves is what F1, F2 and F4 allow.
var documentMoves = map[domain.DocumentState][]domain.DocumentState{
	"prepared": {"active", "canceled"},
	"active":   {"disabled", "canceled", "expired", "superseded"},
	"disabled": {"active", "canceled", "expired"},
	"canceled": nil, "expired": nil, "superseded": nil,
}

// cancellationMoves is what F4 allows where a cancellation needs approval.
var cancellationMoves = map[domain.CancellationState][]domain.CancellationState{
	"received":          {"awaiting_approval", "withdrawn", "expired"},
	"awaiting_approval": {"approved", "rejected", "withdrawn", "expired"},
	"approved":          nil, "rejected": nil, "withdrawn": nil, "expired": nil,
}

// checkMachine compares a state machine with its table, then walks it at random.
func checkMachine[S ~string](t *testing.T, start S, states []S, table map[S][]S, can func(from, to S) bool) {
	t.Helper()
	require.Len(t, table, len(states), "every state is in the table")
	for _, from := range states {
		for _, to := range states {
			require.Equal(t, slices.Contains(table[from], to), can(from, to), "%s to %s", from, to)
		}
		require.False(t, can(from, from), "%s to itself", from)
		require.False(t, can(from, "nonsense"))
		require.False(t, can("nonsense", from))
	}

	dice := rand.New(rand.NewPCG(1, 2))
	reached := map[S]bool{start: true}
	for range 2000 {
		at := start
		for steps := 0; len(table[at]) > 0 && steps < 100; steps++ {
			next := states[dice.IntN(len(states))]
			if !can(at, next) {
				continue
			}
			require.Contains(t, table[at], next)
			at = next
			reached[at] = true
		}
	}
	require.Len(t, reached, len(states), "every state can be reached")
}

func TestRequestStates(t *testing.T) {
	checkMachine(t, domain.RequestReceived, domain.RequestStates(), requestMoves, domain.RequestState.Can)
	for s, next := range requestMoves {
		require.Equal(t, len(next) > 0, s.Open(), "%s", s)
	}
	require.False(t, domain.RequestState("nonsense").Open())
}

func TestDocumentStates(t *testing.T) {
	checkMachine(t, domain.DocumentPrepared, domain.DocumentStates(), documentMoves, domain.DocumentState.Can)
	for s := range documentMoves {
		require.Equal(t, s == "active" || s == "disabled", s.Live(), "%s", s)
	}
}

func TestCancellationStates(t *testing.T) {
	checkMachine(t, domain.CancellationReceived, domain.CancellationStates(), cancellationMoves, domain.CancellationState.Can)
	for s, next := range cancellationMoves {
		require.Equal(t, len(next) > 0, s.Open(), "%s", s)
	}
	require.False(t, domain.CancellationState("nonsense").Open())
}

func TestActsOnCancellations(t *testing.T) {
	in := map[domain.CancellationAct][]domain.CancellationState{
		domain.CancellationApprove:  {"awaiting_approval"},
		domain.CancellationReject:   {"awaiting_approval"},
		domain.CancellationWithdraw: {"received", "awaiting_approval"},
	}
	require.Len(t, domain.CancellationActs(), len(in))
	in["nonsense"] = nil
	for act, states := range in {
		for _, s := range domain.CancellationStates() {
			require.Equal(t, slices.Contains(states, s), act.AllowedIn(s), "%s in %s", act, s)
		}
		require.Equal(t, act == "approve" || act == "reject", act.Decides(), "%s", act)
	}
}

func TestActsOnRequests(t *testing.T) {
	in := map[domain.ActKind][]domain.RequestState{
		domain.ActApprove: {"awaiting_approval"},
		domain.ActReject:  {"awaiting_approval"},
		domain.ActCancel:  {"received", "awaiting_approval", "awaiting_collection", "locked"},
		domain.ActResend:  {"awaiting_collection", "locked"},
		domain.ActCollect: {"awaiting_collection"},
		"nonsense":        nil,
	}
	leads := map[domain.ActKind]domain.RequestState{domain.ActApprove: "awaiting_collection", domain.ActReject: "rejected",
		domain.ActCancel: "canceled", domain.ActResend: "awaiting_collection", domain.ActCollect: "issued"}
	for kind, states := range in {
		for _, s := range domain.RequestStates() {
			allowed := kind.AllowedIn(s)
			require.Equal(t, slices.Contains(states, s), allowed, "%s in %s", kind, s)
			if allowed && s != leads[kind] {
				require.True(t, s.Can(leads[kind]), "%s is allowed in %s, so the state it leads to is too", kind, s)
			}
		}
	}
}

func TestActsOnDocuments(t *testing.T) {
	type step struct {
		to domain.DocumentState
		ok bool
	}
	want := map[domain.DocumentAct]map[domain.DocumentState]bool{
		domain.DocumentDisable: {"active": true},
		domain.DocumentEnable:  {"disabled": true},
		domain.DocumentCancel:  {"active": true, "disabled": true},
	}
	to := map[domain.DocumentAct]domain.DocumentState{domain.DocumentDisable: "disabled", domain.DocumentEnable: "active",
		domain.DocumentCancel: "canceled"}
	for act, from := range want {
		for _, s := range domain.DocumentStates() {
			next, ok := act.Target(s)
			require.Equal(t, step{to[act], from[s]}, step{next, ok}, "%s in %s", act, s)
			require.True(t, !ok || s.Can(next), "%s in %s", act, s)
		}
	}
	require.ElementsMatch(t, append(slices.Collect(maps.Keys(want)), domain.DocumentRequestCancel, domain.DocumentUpdate), domain.DocumentActs())
	for _, s := range domain.DocumentStates() {
		next, ok := domain.DocumentRequestCancel.Target(s)
		require.Equal(t, step{s, s.Live()}, step{next, ok}, "asking in %s changes nothing", s)
		next, ok = domain.DocumentUpdate.Target(s)
		require.Equal(t, step{s, s == domain.DocumentActive}, step{next, ok}, "asking in %s changes nothing", s)
	}
	_, ok := domain.DocumentAct("nonsense").Target(domain.DocumentActive)
	require.False(t, ok)
}

func TestStateAt(t *testing.T) {
	end := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, s := range domain.DocumentStates() {
		d := domain.Document{State: s, ValidUntil: end}
		require.Equal(t, s, d.StateAt(end.Add(-time.Nanosecond)), "%s before its end", s)
		after := s
		if s.Live() {
			after = domain.DocumentExpired
		}
		require.Equal(t, after, d.StateAt(end), "%s at its end", s)
	}
}

func TestCancelReasonsAreDistinct(t *testing.T) {
	reasons := domain.CancelReasons()
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(reasons))), len(reasons))
	require.NotContains(t, reasons, domain.CancelReason(""))
}
