package domain

import "slices"

// Mover is who lets a step of a lifecycle happen, as the audit tells them apart.
type Mover string

// The movers.
const (
	ByAccount Mover = "account" // an operator or a holder, with one of the permissions that the step needs
	ByWallet  Mover = "wallet"
	BySystem  Mover = "system"
)

// Step is one way for a thing to get from one of some states into another.
type Step[S ~string] struct {
	From   []S          // none: the thing comes into being
	To     S            // empty: it stays in its state
	Action string       // as the audit names it
	By     []Mover      //
	Needs  []Permission // one of these, of an account
	When   string       // what else must hold, in words
}

// Lifecycle is everything that can happen to a thing that has states. The lifecycles below are the rule, a state that no step leads to from
// where a thing is cannot be its next one, and docs/lifecycle.md is written from them.
type Lifecycle[S ~string] []Step[S]

// can says whether a step leads from one state to the other.
func (l Lifecycle[S]) can(from, to S) bool {
	return from != to && slices.ContainsFunc(l, func(s Step[S]) bool { return s.To == to && slices.Contains(s.From, from) })
}

// ends says whether no step leads out of the state.
func (l Lifecycle[S]) ends(state S) bool {
	return !slices.ContainsFunc(l, func(s Step[S]) bool { return s.To != "" && slices.Contains(s.From, state) })
}

// does says whether the action makes sense in the state, where an account is who takes it.
func (l Lifecycle[S]) does(action string, state S) bool {
	return slices.ContainsFunc(l, func(s Step[S]) bool {
		return s.Action == action && slices.Contains(s.By, ByAccount) && slices.Contains(s.From, state)
	})
}

// Tells says whether the lifecycle has a step with the action from one state to another by the mover; from is empty for what comes into
// being.
func (l Lifecycle[S]) Tells(action string, from, to S, by Mover) bool {
	return slices.ContainsFunc(l, func(s Step[S]) bool {
		return s.Action == action && s.To == to && slices.Contains(s.By, by) && (from == "" && len(s.From) == 0 || slices.Contains(s.From, from))
	})
}

var (
	byAccount = []Mover{ByAccount}
	byWallet  = []Mover{ByWallet}
	bySystem  = []Mover{BySystem}

	liveDocument = []DocumentState{DocumentActive, DocumentDisabled}
	openRequest  = []RequestState{RequestReceived, RequestAwaitingApproval, RequestAwaitingCollection, RequestLocked}

	openCancellation = []CancellationState{CancellationReceived, CancellationAwaitingApproval}
)

// DocumentLifecycle gives what can happen to documents.
func DocumentLifecycle() Lifecycle[DocumentState] { return slices.Clone(documentLifecycle) }

var documentLifecycle = Lifecycle[DocumentState]{
	{To: DocumentPrepared, Action: "document.prepare", By: byWallet,
		When: "the wallet collects a request, and the rules of its profile hold"},
	{From: []DocumentState{DocumentPrepared}, To: DocumentActive, Action: "request.issue", By: byWallet,
		When: "the first signature that is stored; the person is active and as they were when it was made; " +
			"what it updates is active, and nobody wants that canceled"},
	{From: []DocumentState{DocumentPrepared}, To: DocumentCanceled, Action: "request.cancel", By: []Mover{ByAccount, BySystem},
		When: "its request is canceled"},
	{From: []DocumentState{DocumentPrepared}, To: DocumentCanceled, Action: "request.expire", By: bySystem,
		When: "its request expires"},
	{From: []DocumentState{DocumentPrepared}, To: DocumentCanceled, Action: "request.fail", By: []Mover{ByWallet, BySystem},
		When: "its request fails"},

	{From: []DocumentState{DocumentActive}, To: DocumentDisabled, Action: "document.disable", By: byAccount, Needs: []Permission{PermDisable},
		When: "with a reason"},
	{From: []DocumentState{DocumentActive}, To: DocumentDisabled, Action: "document.disable", By: byAccount,
		Needs: []Permission{PermPeopleWrite},
		When:  "its person is deactivated"},
	{From: []DocumentState{DocumentActive}, To: DocumentDisabled, Action: "document.disable", By: byAccount,
		Needs: []Permission{PermRequestSelf},
		When:  "its holder reports it lost, and the profile asks for approval of cancellations, which the report then asks for"},
	{From: []DocumentState{DocumentActive}, To: DocumentDisabled, Action: "document.reissue", By: bySystem,
		When: "another document of the credential group is collected, whose profile says `on_reissue: disable`"},
	{From: []DocumentState{DocumentDisabled}, To: DocumentActive, Action: "document.enable", By: byAccount, Needs: []Permission{PermDisable},
		When: "its person is active"},
	{From: []DocumentState{DocumentDisabled}, To: DocumentActive, Action: "document.enable", By: byAccount,
		Needs: []Permission{PermPeopleWrite},
		When:  "its person is activated, and deactivating them is what disabled it"},

	{From: liveDocument, To: DocumentCanceled, Action: "document.cancel", By: byAccount, Needs: []Permission{PermCancel},
		When: "with a reason; the profile asks for no approval of cancellations"},
	{From: liveDocument, To: DocumentCanceled, Action: "document.cancel", By: byAccount, Needs: []Permission{PermApprove},
		When: "somebody asked for the cancellation, and this is the approval"},
	{From: liveDocument, To: DocumentCanceled, Action: "document.cancel", By: byAccount, Needs: []Permission{PermRequestSelf},
		When: "its holder reports it lost, and the profile asks for no approval of cancellations"},
	{From: liveDocument, To: DocumentCanceled, Action: "document.cancel", By: byAccount, Needs: []Permission{PermPeopleWrite},
		When: "its person is erased"},
	{From: liveDocument, To: DocumentCanceled, Action: "document.cancel", By: bySystem,
		When: "the document that it is derived from is canceled, and its person has no other one of that profile"},
	{From: liveDocument, To: DocumentCanceled, Action: "document.reissue", By: bySystem,
		When: "another document is collected: of the credential group, whose profile says `on_reissue: cancel`, " +
			"or of the same profile with `issue_over_existing`"},
	{From: []DocumentState{DocumentActive}, To: DocumentSuperseded, Action: "document.supersede", By: byWallet,
		When: "the wallet collects its update"},
	{From: liveDocument, To: DocumentExpired, Action: "document.expire", By: bySystem,
		When: "its end has come; from that moment on it counts as expired everywhere"},

	{From: liveDocument, Action: "cancellation.create", By: byAccount, Needs: []Permission{PermCancel},
		When: "with a reason; the profile asks for approval of cancellations, and nobody asked before"},
	{From: []DocumentState{DocumentActive}, Action: "request.update", By: byAccount, Needs: []Permission{PermUpdate},
		When: "the rules of the profile hold, no update of it is open, and nobody wants it canceled"},
	{From: []DocumentState{DocumentActive}, Action: "request.update", By: bySystem,
		When: "likewise, and its profile renews it: it expires soon, its data have changed, or an age in it has turned"},
}

// RequestLifecycle gives what can happen to requests.
func RequestLifecycle() Lifecycle[RequestState] { return slices.Clone(requestLifecycle) }

var requestLifecycle = Lifecycle[RequestState]{
	{To: RequestReceived, Action: "request.create", By: byAccount, Needs: []Permission{PermRequest, PermRequestSelf},
		When: "the rules of the profile hold"},
	{To: RequestReceived, Action: "request.update", By: byAccount, Needs: []Permission{PermUpdate},
		When: "the document may be updated"},
	{To: RequestReceived, Action: "request.update", By: bySystem,
		When: "the document may be updated, and its profile renews it"},
	{From: []RequestState{RequestReceived}, To: RequestAwaitingApproval, Action: "request.begin", By: bySystem,
		When: "the profile asks for approval"},
	{From: []RequestState{RequestReceived}, To: RequestAwaitingCollection, Action: "request.begin", By: bySystem,
		When: "the profile asks for no approval"},
	{From: []RequestState{RequestReceived}, To: RequestFailed, Action: "request.fail", By: bySystem,
		When: "nobody could ever collect it"},

	{From: []RequestState{RequestAwaitingApproval}, To: RequestAwaitingCollection, Action: "request.approve", By: byAccount,
		Needs: []Permission{PermApprove},
		When:  "neither who asked for it nor who receives it; the rules of the profile that is approved hold"},
	{From: []RequestState{RequestAwaitingApproval}, To: RequestRejected, Action: "request.reject", By: byAccount,
		Needs: []Permission{PermApprove},
		When:  "neither who asked for it nor who receives it; with a reason"},

	{From: []RequestState{RequestAwaitingCollection}, To: RequestIssued, Action: "request.issue", By: byWallet,
		When: "the document is signed and stored"},
	{From: []RequestState{RequestAwaitingCollection}, To: RequestLocked, Action: "request.lock", By: byWallet,
		When: "too many wrong codes"},
	{From: []RequestState{RequestAwaitingCollection}, To: RequestFailed, Action: "request.fail", By: byWallet,
		When: "its lifetime is over, or the document that it updates has ended"},
	{From: []RequestState{RequestAwaitingCollection, RequestLocked}, To: RequestAwaitingCollection, Action: "request.resend", By: byAccount,
		Needs: []Permission{PermRequest, PermUpdate}, When: "link and code sent before are void; `update` is for updates"},

	{From: openRequest, To: RequestCanceled, Action: "request.cancel", By: byAccount,
		Needs: []Permission{PermRequest, PermRequestSelf, PermUpdate},
		When:  "by who asked for it, or may ask for its person; `update` is for updates"},
	{From: openRequest, To: RequestCanceled, Action: "request.cancel", By: byAccount, Needs: []Permission{PermPeopleWrite},
		When: "its person is erased"},
	{From: openRequest, To: RequestCanceled, Action: "request.cancel", By: bySystem,
		When: "an update, whose document is canceled or replaced"},
	{From: openRequest, To: RequestExpired, Action: "request.expire", By: bySystem,
		When: "its deadline has passed, or an update's document has expired"},
	{From: []RequestState{RequestAwaitingCollection, RequestLocked}, To: RequestFailed, Action: "request.fail", By: bySystem,
		When: "its deadline has passed, and the last collection was refused"},
}

// CancellationLifecycle gives what can happen to cancellations that need approval.
func CancellationLifecycle() Lifecycle[CancellationState] { return slices.Clone(cancellationLifecycle) }

var cancellationLifecycle = Lifecycle[CancellationState]{
	{To: CancellationReceived, Action: "cancellation.create", By: byAccount, Needs: []Permission{PermCancel, PermRequestSelf},
		When: "by an operator, or by the holder who reports the document lost"},
	{From: []CancellationState{CancellationReceived}, To: CancellationAwaitingApproval, Action: "cancellation.begin", By: bySystem},
	{From: []CancellationState{CancellationAwaitingApproval}, To: CancellationApproved, Action: "cancellation.approve", By: byAccount,
		Needs: []Permission{PermApprove}, When: "neither who asked for it nor who holds the document, which is canceled with it"},
	{From: []CancellationState{CancellationAwaitingApproval}, To: CancellationRejected, Action: "cancellation.reject", By: byAccount,
		Needs: []Permission{PermApprove}, When: "neither who asked for it nor who holds the document; with a reason"},
	{From: openCancellation, To: CancellationWithdrawn, Action: "cancellation.withdraw", By: byAccount,
		Needs: []Permission{PermCancel}, When: "by who asked for it, or may cancel the document"},
	{From: openCancellation, To: CancellationExpired, Action: "cancellation.expire", By: bySystem,
		When: "its deadline has passed, or the document came to its end in another way"},
}
