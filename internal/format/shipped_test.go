package format_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/mdoc"
)

var update = flag.Bool("update", false, "write the golden files")

var shippedIDs = []string{"aamva-mdl", "eu-pid", "iso-mdl", "photo-id", "staff-badge"}

// sampleInput is the sample person with pictures of a few bytes, so that golden files can show them.
func sampleInput() format.Input {
	in := format.SampleInput(from)
	in.ValidUntil, in.Signed = until, signed
	in.Images = map[domain.ImageKind]domain.Image{
		domain.ImagePortrait:  {Kind: domain.ImagePortrait, Bytes: []byte{0xff, 0xd8, 0xff, 1}, CapturedAt: captured},
		domain.ImageSignature: {Kind: domain.ImageSignature, Bytes: []byte{0xff, 0xd8, 0xff, 2}},
	}
	return in
}

// minimalInput is a person with nothing but what the format asks for.
func minimalInput(id string) format.Input {
	in := format.Input{Serial: "0123456789", ValidFrom: from, ValidUntil: until, Signed: signed}
	in.Person = domain.Person{GivenName: "Erika", FamilyName: "Mustermann", BirthDate: "1990-03-01"}
	portrait := map[domain.ImageKind]domain.Image{domain.ImagePortrait: {Kind: domain.ImagePortrait, Bytes: []byte{0xff, 0xd8, 0xff, 1}}}
	attributes := map[string]any{"issuing_country": "UT", "issuing_authority": "Utopia"}
	switch id {
	case "aamva-mdl":
		attributes["sex"], attributes["DHS_compliance"], attributes["domestic_driving_privileges"] = "9", "N", "[]"
		fallthrough
	case "iso-mdl":
		attributes["un_distinguishing_sign"], attributes["driving_privileges"] = "UTO", "[]"
		in.Images, in.Person.HasPortrait = portrait, true
	case "eu-pid":
		attributes["nationality"], attributes["birth_city"] = "UT", "Sample City"
	case "photo-id":
		in.Images, in.Person.HasPortrait = portrait, true
	case "staff-badge":
		in.Person.ExternalID, attributes = "E-1", nil
	}
	in.Person.Attributes = attributes
	return in
}

// rows gives "name space/identifier CBOR" for every element.
func rows(t *testing.T, spaces []mdoc.NameSpace) []string {
	t.Helper()
	var lines []string
	for _, space := range spaces {
		for _, e := range space.Elements {
			encoded, err := mdoc.Map{{Key: "v", Value: e.Value}}.MarshalCBOR()
			require.NoError(t, err)
			lines = append(lines, fmt.Sprintf("%s/%s %s", space.Name, e.Identifier, hex.EncodeToString(encoded[len("\xa1av"):])))
		}
	}
	return lines
}

// TestShippedGolden holds what a full and a minimal person give in each format, as CBOR and as the preview shows it.
func TestShippedGolden(t *testing.T) {
	for _, id := range shippedIDs {
		for _, c := range []struct {
			name string
			in   format.Input
		}{{"full", sampleInput()}, {"minimal", minimalInput(id)}} {
			t.Run(id+" "+c.name, func(t *testing.T) {
				f := load(t, id)
				require.NoError(t, f.Check(c.in.Person))
				spaces, err := f.Build(c.in)
				require.NoError(t, err)
				preview, err := f.Preview(c.in)
				require.NoError(t, err)
				require.True(t, preview.OK())
				lines := rows(t, spaces)
				next := 0
				for _, e := range preview.Elements {
					if e.Value == "" {
						require.False(t, e.Mandatory)
						continue
					}
					require.True(t, strings.HasPrefix(lines[next], e.NameSpace+"/"+e.Identifier+" "), "the preview has the elements of the document")
					lines[next] += "\n  " + e.Value
					next++
				}
				require.Len(t, lines, next)
				if c.name == "full" {
					require.Len(t, lines, len(f.Claims()), "the sample person has a value for every element")
				}
				got := strings.Join(lines, "\n") + "\n"
				path := filepath.Join("testdata", id+"-"+c.name+".txt")
				if *update {
					require.NoError(t, os.MkdirAll("testdata", 0o750))
					require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Equal(t, string(want), got)
			})
		}
	}
}

func TestShippedMandatory(t *testing.T) {
	const aamva = "org.iso.18013.5.1.aamva/"
	mandatory := map[string][]string{
		"iso-mdl": mandatoryMDL,
		"aamva-mdl": append(slices.Clone(mandatoryMDL), aamva+"domestic_driving_privileges", aamva+"family_name_truncation",
			aamva+"given_name_truncation", aamva+"sex", aamva+"DHS_compliance"),
		"eu-pid": {"family_name", "given_name", "birth_date", "place_of_birth", "nationality", "expiry_date", "issuing_authority",
			"issuing_country"},
		"photo-id": {"family_name_unicode", "given_name_unicode", "family_name_latin1", "given_name_latin1", "birth_date", "portrait",
			"issue_date", "expiry_date", "issuing_authority_unicode", "issuing_country", "document_number", "age_over_18"},
		"staff-badge": {"employee_number", "given_name", "family_name", "badge_number", "valid_from", "valid_until"},
	}
	docTypes := map[string]string{
		"iso-mdl": "org.iso.18013.5.1.mDL", "aamva-mdl": "org.iso.18013.5.1.mDL", "eu-pid": "eu.europa.ec.eudi.pid.1",
		"photo-id": "org.iso.23220.photoID.1", "staff-badge": "org.mdocket.badge.1",
	}
	spaces := map[string][]string{
		"iso-mdl": {"org.iso.18013.5.1"}, "aamva-mdl": {"org.iso.18013.5.1", "org.iso.18013.5.1.aamva"},
		"eu-pid": {"eu.europa.ec.eudi.pid.1"}, "photo-id": {"org.iso.23220.1", "org.iso.23220.photoID.1"}, "staff-badge": {"org.mdocket.badge.1"},
	}
	bits := map[string]int{"iso-mdl": 1, "aamva-mdl": 1, "eu-pid": 1, "photo-id": 2, "staff-badge": 2}
	for _, id := range shippedIDs {
		t.Run(id, func(t *testing.T) {
			f := load(t, id)
			require.Equal(t, docTypes[id], f.DocType)
			require.Equal(t, bits[id], f.StatusBits)
			var names, got []string
			for _, claim := range f.Claims() {
				if !slices.Contains(names, claim.NameSpace) {
					names = append(names, claim.NameSpace)
				}
				if !claim.Mandatory {
					continue
				}
				if claim.NameSpace+"/" == aamva {
					claim.Element = aamva + claim.Element
				}
				got = append(got, claim.Element)
			}
			require.Equal(t, spaces[id], names)
			require.Equal(t, mandatory[id], got)
			require.Equal(t, []string{"en", "de"}, []string{f.Display[0].Locale, f.Display[1].Locale})
		})
	}
	t.Run("the North American mDL has the ISO name space of the other one", func(t *testing.T) {
		iso := load(t, "iso-mdl").Claims()
		require.Equal(t, iso, load(t, "aamva-mdl").Claims()[:len(iso)])
	})
}

// TestShippedVerify issues a document of each format and reads it back as a verifier does.
func TestShippedVerify(t *testing.T) {
	roots, signer := authority(t)
	device, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for _, id := range shippedIDs {
		for _, in := range []format.Input{format.SampleInput(from), minimalInput(id)} {
			in.ValidUntil, in.Signed = from.AddDate(0, 3, 0), from
			f := load(t, id)
			spaces, err := f.Build(in)
			require.NoError(t, err)
			issued, err := mdoc.Issue(rand.Reader, mdoc.Request{
				DocType: f.DocType, NameSpaces: spaces, DigestAlgorithm: f.DigestAlgorithm, DeviceKey: &device.PublicKey,
				Signed: in.Signed, ValidFrom: in.ValidFrom, ValidUntil: in.ValidUntil,
			}, signer)
			require.NoError(t, err)
			parsed, err := mdoc.Parse(issued.Bytes)
			require.NoError(t, err)
			verified, err := parsed.Verify(mdoc.VerifyOptions{Roots: roots, Now: from.AddDate(0, 0, 1), DocType: f.DocType})
			require.NoError(t, err)
			require.ElementsMatch(t, spaces, verified.NameSpaces)
		}
	}
}

func authority(t *testing.T) (*x509.CertPool, mdoc.Signer) {
	t.Helper()
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 0, 18013, 5, 1, 2}})
	require.NoError(t, err)
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	certify := func(template, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, rootKey)
		require.NoError(t, err)
		certificate, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return certificate
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"UT"}, CommonName: "Utopia IACA"}, IsCA: true,
		NotBefore: from.AddDate(-1, 0, 0), NotAfter: from.AddDate(8, 0, 0), BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	root := certify(template, template, rootKey.Public())
	ds := certify(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Country: []string{"UT"}, CommonName: "Utopia DS"},
		NotBefore: from.AddDate(0, -1, 0), NotAfter: from.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, root, key.Public())
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return pool, mdoc.Signer{Key: key, Chain: []*x509.Certificate{ds}}
}

// difference is where a format departs from the list of the other issuer because the standard or the rulebook says so.
type difference struct {
	goType    string // empty = as in the list
	mandatory bool
}

// TestAgainstVectors compares names, mandatory marks and types with the list of another issuer.
func TestAgainstVectors(t *testing.T) {
	folder := os.Getenv("MDOCKET_VECTORS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	data, err := os.ReadFile(filepath.Join(folder, "doctypes.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("doctypes.json is not in the vectors folder; set MDOCKET_VECTORS")
	}
	require.NoError(t, err)
	var list struct {
		DocTypes map[string][]struct {
			NameSpace, Element, Type string
			Mandatory                bool
		}
	}
	require.NoError(t, json.Unmarshal(data, &list))
	goTypes := map[string][]string{
		"String": {"string"}, "StringOptions": {"string"}, "Number": {"uint64"}, "IntegerOptions": {"uint64"}, "Boolean": {"bool"},
		"Date": {"mdoc.FullDate"}, "DateTime": {"mdoc.TDate"}, "Picture": {"[]uint8"}, "Blob": {"[]uint8"}, "ComplexType": {"[]interface {}"},
	}
	portraitTaken := map[string]difference{"org.iso.18013.5.1/portrait_capture_date": {goType: "mdoc.TDate"}}
	const aamva = "org.iso.18013.5.1.aamva/"
	for _, c := range []struct {
		format  string
		spaces  []string
		differs map[string]difference // by "name space/element"
		more    []string              // elements that the list has not
	}{
		{"iso-mdl", []string{"org.iso.18013.5.1"}, portraitTaken, nil},
		{"aamva-mdl", []string{"org.iso.18013.5.1", "org.iso.18013.5.1.aamva"}, map[string]difference{
			"org.iso.18013.5.1/portrait_capture_date": {goType: "mdoc.TDate"},
			// The list has a later set of elements; the marks are those of version 1.2 of the guidelines.
			aamva + "domestic_driving_privileges": {mandatory: true}, aamva + "DHS_compliance": {mandatory: true},
			aamva + "hazmat_endorsement_expiration_date": {}, aamva + "aamva_version": {},
		}, []string{aamva + "aka_family_name.v2", aamva + "aka_given_name.v2", aamva + "CDL_indicator", aamva + "DHS_compliance_text"}},
		{"eu-pid", []string{"eu.europa.ec.eudi.pid.1"}, map[string]difference{
			// The rulebook has place_of_birth in its place.
			"eu.europa.ec.eudi.pid.1/birth_place": {},
		}, []string{"eu.europa.ec.eudi.pid.1/place_of_birth", "eu.europa.ec.eudi.pid.1/trust_anchor",
			"eu.europa.ec.eudi.pid.1/attestation_legal_category"}},
		{"photo-id", []string{"org.iso.23220.1", "org.iso.23220.photoID.1"}, map[string]difference{
			// A structure (ISO/IEC TS 23220-2 6.3.1.1.3), as that issuer itself encodes it.
			"org.iso.23220.1/birth_date": {goType: "mdoc.Map", mandatory: true}, "org.iso.23220.1/age_over_18": {mandatory: true},
		}, nil},
	} {
		t.Run(c.format, func(t *testing.T) {
			f := load(t, c.format)
			spaces, err := f.Build(sampleInput())
			require.NoError(t, err)
			built, marks := map[string]string{}, map[string]bool{}
			for _, space := range spaces {
				for _, e := range space.Elements {
					built[space.Name+"/"+e.Identifier] = fmt.Sprintf("%T", e.Value)
				}
			}
			for _, claim := range f.Claims() {
				marks[claim.NameSpace+"/"+claim.Element] = claim.Mandatory
			}
			for _, e := range list.DocTypes[f.DocType] {
				if !slices.Contains(c.spaces, e.NameSpace) {
					continue
				}
				name := e.NameSpace + "/" + e.Element
				mandatory, ours := marks[name]
				require.True(t, ours, "%s is in the format", name)
				delete(marks, name)
				want, differs := c.differs[name]
				if !differs {
					want.mandatory = e.Mandatory
				}
				require.Equal(t, want.mandatory, mandatory, name)
				if want.goType != "" {
					require.Equal(t, want.goType, built[name], name)
					continue
				}
				require.Contains(t, goTypes[e.Type], built[name], name)
			}
			more := make([]string, 0, len(marks))
			for name := range marks {
				more = append(more, name)
			}
			require.ElementsMatch(t, c.more, more, "the format has no other elements")
		})
	}
}

func TestShippedAges(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.DateTime, s)
		require.NoError(t, err)
		return v
	}
	for _, id := range []string{"iso-mdl", "aamva-mdl", "eu-pid", "photo-id"} {
		for _, c := range []struct {
			name           string
			born           domain.Date
			from           time.Time
			over18, over21 bool
			age            uint64
		}{
			{"the day before 18", "2008-06-15", at("2026-06-14 23:59:59"), false, false, 17},
			{"18", "2008-06-15", at("2026-06-15 00:00:00"), true, false, 18},
			{"the day before 21", "2005-06-15", at("2026-06-14 23:59:59"), true, false, 20},
			{"21", "2005-06-15", at("2026-06-15 00:00:00"), true, true, 21},
			{"29 February, 28 February of a common year", "2008-02-29", at("2026-02-28 23:59:59"), false, false, 17},
			{"29 February, 1 March of a common year", "2008-02-29", at("2026-03-01 00:00:00"), true, false, 18},
			{"29 February, leap year", "2008-02-29", at("2032-02-29 00:00:00"), true, true, 24},
			{"the year turns", "2008-12-31", at("2026-12-31 00:00:00"), true, false, 18},
			{"the day before the year turns", "2009-01-01", at("2026-12-31 23:59:59"), false, false, 17},
			{"a zone behind UTC counts in UTC", "2008-06-15", at("2026-06-15 01:00:00").In(time.FixedZone("", -5*3600)), true, false, 18},
			{"born today", "2026-06-15", at("2026-06-15 00:00:00"), false, false, 0},
			{"99", "1927-06-15", at("2026-06-15 00:00:00"), true, true, 99},
			{"100", "1926-06-15", at("2026-06-15 00:00:00"), true, true, 100},
		} {
			t.Run(id+" "+c.name, func(t *testing.T) {
				in := sampleInput()
				in.Person.BirthDate, in.ValidFrom, in.ValidUntil, in.Signed = c.born, c.from, c.from.AddDate(1, 0, 0), c.from
				spaces, err := load(t, id).Build(in)
				require.NoError(t, err)
				got := values(spaces)
				require.Equal(t, c.over18, got["age_over_18"])
				require.Equal(t, c.over21, got["age_over_21"])
				require.Equal(t, c.age, got["age_in_years"])
				require.Equal(t, uint64(c.born.Start().Year()), got["age_birth_year"])
			})
		}
	}
}

// bad values of the sample person's attributes; nil = without it
func TestShippedBadValues(t *testing.T) {
	const (
		closedList = "is not in the closed list of the format"
		form       = "does not have the form that the format asks for"
	)
	for _, c := range []struct {
		format, attribute string
		value             any
		element, problem  string
	}{
		{"aamva-mdl", "sex", float64(0), "org.iso.18013.5.1.aamva/sex", "attribute sex " + closedList},
		{"aamva-mdl", "DHS_compliance", "M", "DHS_compliance", "attribute DHS_compliance " + closedList},
		{"aamva-mdl", "DHS_compliance", true, "DHS_compliance", "attribute DHS_compliance is not text"},
		{"aamva-mdl", "family_name_truncation", "n", "family_name_truncation", "attribute family_name_truncation " + closedList},
		{"aamva-mdl", "EDL_credential", float64(3), "EDL_credential", "attribute EDL_credential " + closedList},
		{"aamva-mdl", "organ_donor", float64(0), "organ_donor", "attribute organ_donor " + closedList},
		{"aamva-mdl", "veteran", "yes", "veteran", "attribute veteran is not a whole number from 0 up"},
		{"aamva-mdl", "weight_range", "10", "weight_range", "attribute weight_range is above the highest value of the format"},
		{"aamva-mdl", "name_suffix", "X", "name_suffix", "attribute name_suffix " + closedList},
		{"aamva-mdl", "resident_county", "37", "resident_county", "attribute resident_county " + form},
		{"aamva-mdl", "race_ethnicity", "X", "race_ethnicity", "attribute race_ethnicity " + closedList},
		{"aamva-mdl", "hazmat_endorsement_expiration_date", "2028-02-30", "hazmat_endorsement_expiration_date",
			"attribute hazmat_endorsement_expiration_date is not a day as YYYY-MM-DD"},
		{"aamva-mdl", "domestic_driving_privileges", []any{map[string]any{}}, "domestic_driving_privileges",
			"attribute domestic_driving_privileges[0] has fewer than 1 fields"},
		{"aamva-mdl", "domestic_driving_privileges", []any{map[string]any{"domestic_vehicle_restrictions": []any{}}},
			"domestic_driving_privileges", "attribute domestic_driving_privileges[0].domestic_vehicle_restrictions has fewer than 1 items"},
		{"aamva-mdl", "domestic_driving_privileges", []any{map[string]any{"domestic_vehicle_class": map[string]any{
			"domestic_vehicle_class_code": "D"}}}, "domestic_driving_privileges",
			"attribute domestic_driving_privileges[0].domestic_vehicle_class.domestic_vehicle_class_description is required"},
		{"eu-pid", "nationalities", []any{}, "nationality", "attribute nationalities has fewer than 1 items"},
		{"eu-pid", "nationalities", []any{"UT", "UTO"}, "nationality", "attribute nationalities[1] " + form},
		{"eu-pid", "nationalities", "UT, DE", "nationality", "attribute nationalities[0] " + form},
		{"eu-pid", "nationalities", map[string]any{"a": "UT"}, "nationality", "attribute nationalities[0] is not text"},
		{"eu-pid", "place_of_birth", "Sample City", "place_of_birth", "attribute place_of_birth is not a map"},
		{"eu-pid", "place_of_birth", map[string]any{}, "place_of_birth", "attribute place_of_birth has fewer than 1 fields"},
		{"eu-pid", "place_of_birth", map[string]any{"country": "Utopia"}, "place_of_birth", "attribute place_of_birth.country " + form},
		{"eu-pid", "place_of_birth", map[string]any{"city": "Sample City"}, "place_of_birth",
			"attribute place_of_birth has a field that the format does not have"},
		{"eu-pid", "pid_sex", "7", "sex", "attribute pid_sex " + closedList},
		{"eu-pid", "sex", float64(7), "sex", "attribute sex " + closedList},
		{"eu-pid", "issuing_country", "ut", "issuing_country", "attribute issuing_country " + form},
		{"eu-pid", "issuing_jurisdiction", "UT", "issuing_jurisdiction", "attribute issuing_jurisdiction " + form},
		{"eu-pid", "resident_house_number", float64(1), "resident_house_number", "attribute resident_house_number is not text"},
		{"photo-id", "family_name_latin1", "Мустерманн", "family_name_latin1", "attribute family_name_latin1 " + form},
		{"photo-id", "birth_date_approximate_mask", "0000001", "birth_date", "attribute birth_date_approximate_mask " + form},
		{"photo-id", "nationality", "UTOP", "nationality", "attribute nationality " + form},
		{"photo-id", "sex", float64(3), "sex", "attribute sex " + closedList},
		{"photo-id", "resident_city_latin1", "Šample", "resident_city_latin1", "attribute resident_city_latin1 " + form},
	} {
		t.Run(fmt.Sprintf("%s %s %v", c.format, c.attribute, c.value), func(t *testing.T) {
			f, in := load(t, c.format), sampleInput()
			in.Person.Attributes[c.attribute] = c.value
			_, err := f.Build(in)
			got := fields(t, err)
			require.Equal(t, []string{"does not fit: " + c.problem}, got[c.element])
			require.Equal(t, got, fields(t, f.Check(in.Person)), "the same is found at request time")
			preview, err := f.Preview(in)
			require.NoError(t, err)
			require.Equal(t, len(got), preview.Faulty())
		})
	}
}

// TestPIDPlaceOfBirth: the place comes from its own attribute or, piece by piece, from those that the photo ID reads too.
func TestPIDPlaceOfBirth(t *testing.T) {
	f := load(t, "eu-pid")
	for _, c := range []struct {
		name       string
		attributes map[string]any
		want       any
		problems   []string
	}{
		{"whole", map[string]any{"place_of_birth": map[string]any{"locality": "A", "country": "UT"}, "birth_city": "B"},
			mdoc.Map{{Key: "country", Value: "UT"}, {Key: "locality", Value: "A"}}, nil},
		{"whole, from a CSV file", map[string]any{"place_of_birth": `{"region":"R"}`}, mdoc.Map{{Key: "region", Value: "R"}}, nil},
		{"pieces", map[string]any{"birth_city": "B", "birth_country": "UT", "birth_state": " "},
			mdoc.Map{{Key: "country", Value: "UT"}, {Key: "locality", Value: "B"}}, nil},
		{"one piece", map[string]any{"birth_state": "R"}, mdoc.Map{{Key: "region", Value: "R"}}, nil},
		{"nothing", nil, nil, []string{"is required: person has no attribute place_of_birth, person has no attribute birth_country, " +
			"person has no attribute birth_state, person has no attribute birth_city"}},
		{"every piece wrong", map[string]any{
			"birth_country": "Utopia", "birth_state": true, "birth_city": strings.Repeat("x", 151),
		}, nil, []string{
			"does not fit: attribute birth_country does not have the form that the format asks for",
			"does not fit: attribute birth_state is not text",
			"does not fit: attribute birth_city is longer than 150 characters",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := minimalInput("eu-pid")
			delete(in.Person.Attributes, "birth_city")
			for name, value := range c.attributes {
				in.Person.Attributes[name] = value
			}
			spaces, err := f.Build(in)
			if c.problems != nil {
				require.Equal(t, c.problems, fields(t, err)["place_of_birth"])
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, values(spaces)["place_of_birth"])
		})
	}
}

func TestPIDNationality(t *testing.T) {
	f := load(t, "eu-pid")
	for name, attributes := range map[string]map[string]any{
		"one": {"nationality": "UT"}, "a list of one": {"nationality": []any{"UT"}}, "from a CSV file": {"nationality": `["UT"]`},
		"the list wins": {"nationality": "DE", "nationalities": []any{"UT"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := minimalInput("eu-pid")
			for name, value := range attributes {
				in.Person.Attributes[name] = value
			}
			spaces, err := f.Build(in)
			require.NoError(t, err)
			require.Equal(t, []any{"UT"}, values(spaces)["nationality"])
		})
	}
}

// the codes that only the PID has stay out of the attribute that every document reads
func TestPIDSex(t *testing.T) {
	in := sampleInput()
	in.Person.Attributes["sex"], in.Person.Attributes["pid_sex"] = "9", "5"
	for id, want := range map[string]uint64{"eu-pid": 5, "iso-mdl": 9, "photo-id": 9, "aamva-mdl": 9} {
		spaces, err := load(t, id).Build(in)
		require.NoError(t, err)
		require.Equal(t, want, values(spaces)["sex"], id)
	}
}

// somebody whose name has no Latin form in the record
func TestPhotoIDLatinNames(t *testing.T) {
	in := minimalInput("photo-id")
	in.Person.FamilyName, in.Person.GivenName = "Мустерманн", "Jürgen"
	f := load(t, "photo-id")
	_, err := f.Build(in)
	require.Equal(t, map[string][]string{"family_name_latin1": {
		"does not fit: person's family_name does not have the form that the format asks for",
	}}, fields(t, err))
	in.Person.Attributes["family_name_latin1"] = "Mustermann"
	spaces, err := f.Build(in)
	require.NoError(t, err)
	got := values(spaces)
	require.Equal(t, []any{"Мустерманн", "Mustermann", "Jürgen", "Jürgen"},
		[]any{got["family_name_unicode"], got["family_name_latin1"], got["given_name_unicode"], got["given_name_latin1"]})
}

var readsAttribute = regexp.MustCompile(`attribute ([A-Za-z0-9_.]+)`)

// TestDocumentedAttributes: the table of attribute names in the documentation is whole and has no name too many.
func TestDocumentedAttributes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "formats.md"))
	require.NoError(t, err)
	_, table, found := strings.Cut(string(text), "| attribute | ")
	require.True(t, found)
	documented := map[string][]string{}
	var columns []string
	for i, line := range strings.Split(table, "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		switch {
		case i == 0:
			columns = cells // the name of the first column is cut off
		case i == 1:
		case !strings.HasPrefix(line, "| `"):
			cells = nil
		default:
			var marked []string
			for n, cell := range cells[1 : len(cells)-1] {
				if strings.TrimSpace(cell) != "" {
					marked = append(marked, strings.Trim(columns[n], " `"))
				}
			}
			for _, name := range strings.Split(cells[0], ",") {
				documented[strings.Trim(name, " `")] = marked
			}
		}
		if cells == nil {
			break
		}
	}
	read := map[string][]string{}
	for _, id := range shippedIDs {
		preview, err := load(t, id).Preview(sampleInput())
		require.NoError(t, err)
		for _, e := range preview.Elements {
			for _, match := range readsAttribute.FindAllStringSubmatch(e.Source, -1) {
				if !slices.Contains(read[match[1]], id) {
					read[match[1]] = append(read[match[1]], id)
				}
			}
		}
	}
	require.Equal(t, read, documented)
	for name := range format.SampleInput(from).Person.Attributes {
		require.Contains(t, read, name, "the sample person has no attribute that no format reads")
	}
}

// FuzzPerson feeds people's attributes, which come from outside, to every shipped format.
func FuzzPerson(f *testing.F) {
	for _, id := range shippedIDs {
		seed, err := json.Marshal(minimalInput(id).Person.Attributes)
		require.NoError(f, err)
		f.Add(seed)
	}
	seed, err := json.Marshal(sampleInput().Person.Attributes)
	require.NoError(f, err)
	f.Add(seed)
	f.Add([]byte(`{"nationality":[[["UT"]]],"place_of_birth":{"country":null},"sex":1e300,"driving_privileges":"[{}]"}`))
	registry, err := format.Load("")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		var attributes map[string]any
		if json.Unmarshal(data, &attributes) != nil {
			return
		}
		in := sampleInput()
		in.Person.Attributes = attributes
		for _, document := range registry.List() {
			preview, err := document.Preview(in)
			require.NoError(t, err)
			spaces, err := document.Build(in)
			if err != nil {
				require.Equal(t, domain.CodeMissingData, domain.CodeOf(err))
				require.Len(t, fields(t, err), preview.Faulty())
				continue
			}
			require.True(t, preview.OK())
			_, err = mdocBytes(spaces)
			require.NoError(t, err)
		}
	})
}
