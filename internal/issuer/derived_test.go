package issuer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// family are profiles of which each is derived from the one before.
func family(t *testing.T, f *issuertest.Fixture, change ...func(o *domain.ProfileOptions)) (parent, child, grandchild domain.Profile) {
	t.Helper()
	parent = f.Profile(t, "parent", change...)
	child = f.Profile(t, "child", func(o *domain.ProfileOptions) { o.DerivedFrom = parent.ID })
	return parent, child, f.Profile(t, "grandchild", func(o *domain.ProfileOptions) { o.DerivedFrom = child.ID })
}

// TestDerivedDocuments walks the table "Derived documents" of docs/profiles.md: whatever cancels a document cancels what is derived from it.
func TestDerivedDocuments(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		parent, child, grandchild := family(t, f)
		boss := operator(t, f, "boss", domain.PermApprove)
		setApproval := func(needed bool) {
			p, err := f.Issuer.Profile(ctx, f.Admin(), parent.ID)
			require.NoError(t, err)
			p.Options.ValidateCancellation = needed
			_, err = f.Issuer.ChangeProfile(ctx, f.Admin(), p.ID, p.Version, issuer.SaveProfile{Options: p.Options})
			require.NoError(t, err)
		}
		for name, c := range map[string]struct {
			end     func(t *testing.T, person domain.Person, docs []domain.Document)
			want    []string // parent, child, grandchild
			guarded bool
		}{
			"canceled": {want: []string{"canceled", "canceled", "canceled"}, end: func(t *testing.T, _ domain.Person, docs []domain.Document) {
				_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), docs[0].ID, domain.DocumentCancel, domain.ReasonStolen, "")
				require.NoError(t, err)
				history, err := f.Issuer.DocumentHistory(ctx, f.Admin(), docs[1].ID, 0, 0)
				require.NoError(t, err)
				last := history[len(history)-1]
				require.Equal(t, []string{"document.cancel", "system", "stolen", "derived from " + docs[0].ID},
					[]string{last.Action, last.Actor, last.Reason, last.Notes})
			}},
			"canceled with approval": {guarded: true, want: []string{"canceled", "canceled", "canceled"},
				end: func(t *testing.T, _ domain.Person, docs []domain.Document) {
					_, err := f.Issuer.ApproveCancellation(ctx, boss, askToCancel(t, f, docs[0].ID).ID, "")
					require.NoError(t, err)
				}},
			"canceled in a batch with what is derived": {want: []string{"canceled", "canceled", "canceled"},
				end: func(t *testing.T, _ domain.Person, docs []domain.Document) {
					b, err := f.Issuer.CreateBatch(ctx, f.Admin(), "", issuer.NewBatch{Operation: domain.BatchCancel,
						Documents: []string{docs[0].ID, docs[1].ID}, Reason: domain.ReasonLost})
					require.NoError(t, err)
					b, err = f.Issuer.Batch(ctx, f.Admin(), b.ID)
					require.NoError(t, err)
					require.Equal(t, []int{1, 1}, []int{b.Completed, b.Failed}, "the second one is canceled already")
				}},
			"erased": {want: []string{"canceled", "canceled", "canceled"}, end: func(t *testing.T, person domain.Person, _ []domain.Document) {
				done, err := f.Issuer.ErasePerson(ctx, f.Admin(), person.ID, issuer.Erase{Reason: domain.ReasonLeft, Confirm: person.ID})
				require.NoError(t, err)
				require.Equal(t, 3, done.Documents)
			}},
			"the one in the middle": {want: []string{"active", "canceled", "canceled"},
				end: func(t *testing.T, _ domain.Person, docs []domain.Document) {
					_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), docs[1].ID, domain.DocumentCancel, domain.ReasonLost, "")
					require.NoError(t, err)
				}},
			"disabled": {want: []string{"disabled operator", "active", "active"}, end: func(t *testing.T, _ domain.Person, docs []domain.Document) {
				_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), docs[0].ID, domain.DocumentDisable, domain.ReasonLost, "")
				require.NoError(t, err)
			}},
			"one of two parents": {want: []string{"canceled", "active", "active"},
				end: func(t *testing.T, person domain.Person, docs []domain.Document) {
					other := f.Issue(t, person.ID, parent.ID)
					_, err := f.Issuer.ChangeDocument(ctx, f.Admin(), docs[0].ID, domain.DocumentCancel, domain.ReasonLost, "")
					require.NoError(t, err)
					require.Equal(t, []string{"active"}, states(t, f, other))
				}},
		} {
			setApproval(c.guarded)
			person := f.Person(t)
			docs := []domain.Document{f.Issue(t, person.ID, parent.ID), f.Issue(t, person.ID, child.ID), f.Issue(t, person.ID, grandchild.ID)}
			c.end(t, person, docs)
			require.Equal(t, c.want, states(t, f, docs...), name)
		}
	})
}

// A holder who has no parent gets nothing derived, at no step; what is collected ends with its parent.
func TestDerivedNeedsItsParent(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		parent, child, _ := family(t, f, func(o *domain.ProfileOptions) { o.LifetimeDays = 30 })
		person := f.Person(t)
		refused := func(err error) {
			t.Helper()
			codeIs(t, domain.CodeMissingData, err)
			require.Equal(t, []string{"derived_from"}, fieldsOf(t, err))
		}
		_, err := request(t, f, f.Admin(), person, child)
		refused(err)

		d := f.Issue(t, person.ID, parent.ID)
		r := newRequest(t, f, person, child)
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentDisable, domain.ReasonLost, "")
		require.NoError(t, err)
		token, wallet := redeem(t, f, r.ID), walletKeys(t, f, 1)
		_, err = collect(ctx, f, child, token, wallet)
		refused(err)
		_, err = f.Issuer.ChangeDocument(ctx, f.Admin(), d.ID, domain.DocumentEnable, "", "")
		require.NoError(t, err)
		_, err = collect(ctx, f, child, token, wallet)
		require.NoError(t, err)
		derived := documentOf(t, f, r.ID)
		require.Equal(t, d.ValidUntil, derived.ValidUntil)
	})
}

// The parent's update and its reissue leave the holder a parent; a reissue under another profile does not.
func TestDerivedWhenTheParentIsReplaced(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		parent, child, _ := family(t, f, func(o *domain.ProfileOptions) {
			o.CredentialGroup, o.OnReissue = "driving", domain.ReissueCancel
		})
		person := f.Person(t)
		first := hold(t, f, person, parent, 1)
		derived := f.Issue(t, person.ID, child.ID)
		askUpdate(t, f, first.document.ID)
		_, err := collect(ctx, f, parent, renew(t, f, first.token.RefreshToken).AccessToken, walletKeys(t, f, 1))
		require.NoError(t, err)
		require.Equal(t, []string{"superseded", "active"}, states(t, f, first.document, derived))
		f.Issue(t, person.ID, parent.ID)
		require.Equal(t, []string{"active"}, states(t, f, derived))
		waiting := askUpdate(t, f, derived.ID)
		f.Issue(t, person.ID, f.Profile(t, "another", func(o *domain.ProfileOptions) {
			o.CredentialGroup, o.OnReissue = "driving", domain.ReissueCancel
		}).ID)
		require.Equal(t, []string{"canceled"}, states(t, f, derived))
		require.Equal(t, domain.RequestCanceled, reload(t, f, waiting.ID).State)
	})
}

func TestProfilesToDeriveFrom(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	parent, child, _ := family(t, f, func(o *domain.ProfileOptions) { o.CredentialGroup = "driving" })
	for name, change := range map[string]func(o *domain.ProfileOptions){
		"no profile":          func(o *domain.ProfileOptions) { o.DerivedFrom = newID(t) },
		"itself":              func(o *domain.ProfileOptions) { o.DerivedFrom = child.ID },
		"one that it cancels": func(o *domain.ProfileOptions) { o.CredentialGroup, o.OnReissue = "driving", domain.ReissueCancel },
	} {
		o := child.Options
		o.DerivedFrom = parent.ID
		change(&o)
		_, err := f.Issuer.ChangeProfile(t.Context(), f.Admin(), child.ID, child.Version, issuer.SaveProfile{Options: o})
		codeIs(t, domain.CodeInvalid, err, name)
		require.Equal(t, []string{"derived_from"}, fieldsOf(t, err), name)
	}
}
