package example_test

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/example"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
)

// The example data go through the acts as they are: everybody is imported, and everybody can have every example document.
func TestExampleDataAreAccepted(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{})
	var file bytes.Buffer
	require.NoError(t, example.WritePeople(&file, 25))
	var people []string
	require.NoError(t, f.Issuer.ImportPeople(t.Context(), f.Admin(), &file, issuer.ImportOptions{Format: issuer.ImportCSV, CreateGroups: true}, func(r issuer.ImportRow) error {
		require.Equal(t, "created", r.Result, "%+v", r)
		people = append(people, r.PersonID)
		return nil
	}))
	require.Len(t, people, 25)
	profiles := example.Profiles()
	require.NotEmpty(t, profiles)
	for _, in := range profiles {
		profile, err := f.Issuer.CreateProfile(t.Context(), f.Admin(), "", in)
		require.NoError(t, err)
		for _, id := range people {
			preview, err := f.Issuer.PreviewRequest(t.Context(), f.Admin(), issuer.NewRequest{PersonID: id, ProfileID: profile.ID})
			require.NoError(t, err)
			require.Empty(t, preview.Problems, in.Name)
		}
	}
	p, err := f.Issuer.Person(t.Context(), f.Admin(), people[0])
	require.NoError(t, err)
	require.Equal(t, domain.PersonActive, p.Status)
}

func TestPortraits(t *testing.T) {
	first, err := example.Portrait(1)
	require.NoError(t, err)
	second, err := example.Portrait(2)
	require.NoError(t, err)
	require.NotEqual(t, first, second, "another face for each seed")
	again, err := example.Portrait(1)
	require.NoError(t, err)
	require.Equal(t, first, again)
	im, err := jpeg.Decode(bytes.NewReader(first))
	require.NoError(t, err)
	require.Equal(t, 240, im.Bounds().Dx())
	require.Equal(t, 320, im.Bounds().Dy())
}
