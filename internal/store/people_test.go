package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

func person(external string) domain.Person {
	return domain.Person{ID: id(), ExternalID: external, GivenName: "A", FamilyName: "B", Status: domain.PersonActive, Version: 1,
		Attributes: map[string]any{}, CreatedAt: kept, UpdatedAt: kept}
}

func TestManyPeople(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		require.NoError(t, b.InsertPeople(ctx, nil))
		var many []domain.Person
		for i := range 700 { // more than one statement takes
			many = append(many, person(fmt.Sprintf("E%d", i)))
		}
		require.NoError(t, b.Tx(ctx, func(tx *store.Tx) error { return tx.InsertPeople(ctx, many) }))
		found, err := b.PeopleByExternalID(ctx, "E0", "E699", "none", "")
		require.NoError(t, err)
		require.Equal(t, map[string]domain.Person{"E0": many[0], "E699": many[699]}, found)
		found, err = b.PeopleByExternalID(ctx)
		require.NoError(t, err)
		require.Empty(t, found)

		err = b.Tx(ctx, func(tx *store.Tx) error { return tx.InsertPeople(ctx, []domain.Person{person("new"), person("E5")}) })
		require.ErrorIs(t, err, store.ErrExists)
		_, err = b.PersonByExternalID(ctx, "new")
		require.ErrorIs(t, err, store.ErrNotFound, "all or none")
		lost := person("lost")
		lost.GroupID = id()
		require.ErrorIs(t, b.InsertPeople(ctx, []domain.Person{lost}), store.ErrNoGroup)
		require.ErrorIs(t, b.InsertPerson(ctx, lost), store.ErrNoGroup)
		moved := many[0]
		moved.GroupID, moved.Version = id(), 2
		require.ErrorIs(t, b.UpdatePerson(ctx, moved), store.ErrNoGroup)
	})
}

func TestGroupLookups(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		top := group(t, b, domain.Group{}, "Top")
		left, right := group(t, b, top, "Left"), group(t, b, top, "Right")
		byPath, err := b.GroupsByPath(ctx, "Top/Left", "Top/None", "Top")
		require.NoError(t, err)
		require.Equal(t, map[string]domain.Group{"Top": top, "Top/Left": left}, byPath)
		byPath, err = b.GroupsByPath(ctx)
		require.NoError(t, err)
		require.Empty(t, byPath)
		orphan := domain.Group{ID: id(), ParentID: id(), Name: "x", Path: "x", Version: 1, CreatedAt: kept, UpdatedAt: kept}
		require.ErrorIs(t, b.InsertGroup(ctx, orphan), store.ErrNoGroup)

		for i, g := range []string{left.ID, left.ID, right.ID, ""} {
			p := person(fmt.Sprint(i))
			p.GroupID = g
			if i == 1 {
				p.ErasedAt = kept
			}
			require.NoError(t, b.InsertPerson(ctx, p))
		}
		sizes, err := b.GroupSizes(ctx)
		require.NoError(t, err)
		require.Equal(t, map[string]int{left.ID: 1, right.ID: 1}, sizes)

		// Whoever is erased does not hold a group.
		erased := group(t, b, top, "Erased")
		p := person("gone")
		p.GroupID, p.ErasedAt = erased.ID, kept
		require.NoError(t, b.InsertPerson(ctx, p))
		require.NoError(t, b.DeleteGroup(ctx, erased.ID))
		p, err = b.Person(ctx, p.ID)
		require.NoError(t, err)
		require.Empty(t, p.GroupID)
		require.ErrorIs(t, b.DeleteGroup(ctx, erased.ID), store.ErrChanged)
	})
}

func TestWhatIsKeptOfAPersonsDocuments(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		ctx := t.Context()
		one, other := insertSamples(t, b), insertSamples(t, b)
		for _, s := range []samples{one, other} {
			require.NoError(t, b.InsertCopy(ctx, domain.Copy{DocumentID: s.document.ID, KeyThumbprint: id(), PublicKey: []byte{1}, Seed: []byte{2},
				ListID: "l"}))
			require.NoError(t, b.StoreSigned(ctx, s.document.ID, 0, []byte("signed")))
		}
		require.NoError(t, b.DropSignedOf(ctx, one.person.ID))
		for _, c := range []struct {
			of   samples
			want []byte
		}{{one, nil}, {other, []byte("signed")}} {
			copies, err := b.Copies(ctx, c.of.document.ID)
			require.NoError(t, err)
			require.Equal(t, c.want, copies[0].IssuerSigned)
		}
	})
}
