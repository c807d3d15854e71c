package format

import (
	_ "embed" // the pictures
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

//go:embed sample/portrait.jpg
var samplePortrait []byte

//go:embed sample/signature.jpg
var sampleSignature []byte

// SampleSerial stands for the serial number of a document that there is not.
const SampleSerial = "0000000000"

// SampleInput is a made-up person with drawn pictures, who has a value for every element of every shipped format, and a document that is
// signed at now and valid from then for two years. It is for previews.
func SampleInput(now time.Time) Input {
	return Input{
		Person: samplePerson(),
		Images: map[domain.ImageKind]domain.Image{
			domain.ImagePortrait: {Kind: domain.ImagePortrait, MediaType: "image/jpeg", Bytes: samplePortrait, CapturedAt: now.AddDate(0, -1, 0)},
			domain.ImageSignature: {Kind: domain.ImageSignature, MediaType: "image/jpeg", Bytes: sampleSignature,
				CapturedAt: now.AddDate(0, -1, 0)},
		},
		Serial: SampleSerial, ValidFrom: now, ValidUntil: now.AddDate(2, 0, 0), Signed: now,
	}
}

func samplePerson() domain.Person {
	const template = "c2FtcGxl" // no biometric template, only bytes in its place
	return domain.Person{
		ExternalID: "E-1007", LogonName: "erika.mustermann", GivenName: "Erika", FamilyName: "Mustermann", Email: "erika@example.org",
		Mobile: "+4915112345678", BirthDate: "1990-03-01", Group: "Registry/Counter", Language: "de", Status: domain.PersonActive,
		HasPortrait: true, HasSignature: true,
		Attributes: map[string]any{
			// the issuing authority
			"issuing_country": "UT", "issuing_authority": "Utopia Registry", "issuing_jurisdiction": "UT-UA", "un_distinguishing_sign": "UTO",
			"trust_anchor": "https://issuer.example/iaca",
			// numbers
			"document_number": "D-77", "administrative_number": "ADM-1", "pid_number": "P-12", "photo_id_number": "I-34", "person_id": "N-5",
			"personal_administrative_number": "123456782", "travel_document_number": "C01X00T47", "audit_information": "AUD-9",
			"aamva_version": float64(2),
			// names
			"family_name_birth": "Gabler", "given_name_birth": "Erika", "name_at_birth": "Erika Gabler",
			"family_name_latin1": "Mustermann", "given_name_latin1": "Erika", "family_name_national_character": "Мустерманн",
			"given_name_national_character": "Ерика", "name_suffix": "JR", "aka_family_name": "Musterfrau", "aka_given_name": "Rika",
			"aka_suffix": "III", "family_name_truncation": "N", "given_name_truncation": "N",
			// birth and nationality
			"birth_date_approximate_mask": "00000000", "birth_place": "Sample City, Utopia", "birth_country": "UT", "birth_state": "Utopia East",
			"birth_city": "Sample City", "place_of_birth": map[string]any{"country": "UT", "region": "Utopia East", "locality": "Sample City"},
			"nationality": "UT", "nationalities": []any{"UT", "DE"},
			// residence
			"resident_address": "Sample Street 1, 12345 Sample City", "resident_street": "Sample Street", "resident_house_number": "1",
			"resident_postal_code": "12345", "resident_city": "Sample City", "resident_city_latin1": "Sample City",
			"resident_state": "Utopia East", "resident_country": "UT", "resident_county": "037",
			// appearance
			"sex": float64(2), "height": float64(170), "weight": float64(64), "weight_range": float64(3), "eye_colour": "blue",
			"hair_colour": "auburn", "race_ethnicity": "W", "biometric_template_face": template, "biometric_template_finger": template,
			"biometric_template_signature_sign": template, "biometric_template_iris": template,
			// driving
			"driving_privileges": []any{
				map[string]any{"vehicle_category_code": "A", "issue_date": "2018-08-09", "expiry_date": "2028-09-01"},
				map[string]any{"vehicle_category_code": "B", "codes": []any{map[string]any{"code": "01", "sign": ">=", "value": "2024"}}},
			},
			"domestic_driving_privileges": []any{map[string]any{
				"domestic_vehicle_class": map[string]any{"domestic_vehicle_class_code": "D",
					"domestic_vehicle_class_description": "Light vehicles", "issue_date": "2018-08-09", "expiry_date": "2028-09-01"},
				"domestic_vehicle_restrictions": []any{map[string]any{"domestic_vehicle_restriction_code": "B",
					"domestic_vehicle_restriction_description": "Corrective lenses"}},
				"domestic_vehicle_endorsements": []any{map[string]any{"domestic_vehicle_endorsement_code": "M",
					"domestic_vehicle_endorsement_description": "Motorcycles"}},
			}},
			"DHS_compliance": "F", "DHS_compliance_text": "Sample text", "DHS_temporary_lawful_status": float64(1), "EDL_credential": float64(1),
			"CDL_indicator": float64(1), "hazmat_endorsement_expiration_date": "2028-09-01", "organ_donor": float64(1), "veteran": float64(1),
			// staff
			"job_title": "Examiner", "organisation": "Utopia Registry", "access_level": "3",
		},
	}
}
