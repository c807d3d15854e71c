package domain_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

func decoded(t testing.TB, text string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	require.NoError(t, decoder.Decode(&value))
	return value
}

const device = `{
	"id": "7", "isCompliant": true, "managed": "true", "model": "Smith, \"Ann\"", "empty": "", "spaced": " x ",
	"version": 17.10, "big": 12345678901234567890,
	"nothing": null, "list": ["first", {"name": "second"}], "@odata.type": "#device", "two words": "yes", "a=b": "c=d", "ümlaut": "ß",
	"owner": {"unit": {"code": "A1"}, "1": "one"}
}`

func TestRequiredAttributes(t *testing.T) {
	for text, c := range map[string]struct {
		canonical string
		unmet     []string
	}{
		"":                                       {"", nil},
		"  ":                                     {"", nil},
		"isCompliant=true":                       {"isCompliant=true", nil},
		" isCompliant = true , managed=true ":    {"isCompliant=true, managed=true", nil},
		"isCompliant=True":                       {"isCompliant=True", []string{"isCompliant"}},
		"iscompliant=true":                       {"iscompliant=true", []string{"iscompliant"}},
		"isCompliant=1":                          {"isCompliant=1", []string{"isCompliant"}},
		"id=7,id2=7":                             {"id=7, id2=7", []string{"id2"}},
		"owner.unit.code=A1":                     {"owner.unit.code=A1", nil},
		"owner.1=one":                            {"owner.1=one", nil},
		"owner.unit=A1":                          {"owner.unit=A1", []string{"owner.unit"}},
		"owner.unit.code.x=A1, id=8":             {"owner.unit.code.x=A1, id=8", []string{"owner.unit.code.x", "id"}},
		"list.0=first, list.1.name=second":       {"list.0=first, list.1.name=second", nil},
		"list.2=first, list.-1=x, list.00=first": {"list.2=first, list.-1=x, list.00=first", []string{"list.2", "list.-1", "list.00"}},
		"list=first":                             {"list=first", []string{"list"}},
		"version=17.10, big=12345678901234567890": {"version=17.10, big=12345678901234567890", nil},
		"version=17.1":           {"version=17.1", []string{"version"}},
		`nothing=null`:           {"nothing=null", []string{"nothing"}},
		`nothing=""`:             {`nothing=""`, []string{"nothing"}},
		`missing=""`:             {`missing=""`, []string{"missing"}},
		`empty=""`:               {`empty=""`, nil},
		`spaced=" x "`:           {`spaced=" x "`, nil},
		`spaced= x `:             {`spaced=x`, []string{"spaced"}},
		`model="Smith, ""Ann"""`: {`model="Smith, ""Ann"""`, nil},
		`id="7"`:                 {`id=7`, nil},
		`"@odata.type"=#device`:  {`"@odata.type"=#device`, nil},
		`@odata.type=#device`:    {`@odata.type=#device`, []string{"@odata.type"}},
		`"two words" = yes`:      {`"two words"=yes`, nil},
		`"a=b"="c=d"`:            {`"a=b"="c=d"`, nil},
		`"owner"."unit".code=A1`: {`owner.unit.code=A1`, nil},
		"ümlaut=ß":               {"ümlaut=ß", nil},
		"id=7 8":                 {"id=7 8", []string{"id"}},
	} {
		t.Run(text, func(t *testing.T) {
			attributes, err := domain.ParseRequiredAttributes(text)
			require.NoError(t, err)
			require.Equal(t, c.canonical, attributes.String())
			require.Equal(t, c.unmet, attributes.Unmet(decoded(t, device)))
			again, err := domain.ParseRequiredAttributes(c.canonical)
			require.NoError(t, err)
			require.Equal(t, attributes, again)
		})
	}
}

func TestRequiredAttributesOfOtherValues(t *testing.T) {
	attributes, err := domain.ParseRequiredAttributes("a=1.5, b.c=x")
	require.NoError(t, err)
	require.Equal(t, domain.RequiredAttributes{{Path: []string{"a"}, Value: "1.5"}, {Path: []string{"b", "c"}, Value: "x"}}, attributes)
	for _, text := range []string{"null", "[]", "1", `"text"`, "{}", `[{"a": 1.5}]`} {
		require.Equal(t, []string{"a", "b.c"}, attributes.Unmet(decoded(t, text)), text)
	}
	require.Equal(t, []string{"a", "b.c"}, attributes.Unmet(nil))
	require.Equal(t, []string{"b.c"}, attributes.Unmet(map[string]any{"a": 1.5}), "decoded without UseNumber")
}

func TestRequiredAttributesErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a":                         "wants = after a field name at position 2",
		"a b=1":                     "wants = after a field name at position 3",
		"=1":                        "wants a field name at position 1",
		"a=":                        "wants a value at position 3",
		"a= , b=1":                  "wants a value at position 4",
		"a=1,":                      "wants a field name at position 5",
		"a=1,,b=1":                  "wants a field name at position 5",
		",a=1":                      "wants a field name at position 1",
		"a.=1":                      "wants a field name at position 3",
		".a=1":                      "wants a field name at position 1",
		"a..b=1":                    "wants a field name at position 3",
		`a.""=1`:                    "has an empty field name at position 5",
		"a. b=1":                    "wants a field name at position 3",
		"a=b=c":                     "wants quotes around a value with such a character at position 4",
		"a==b":                      "wants a value at position 3",
		`ä="x`:                      "opens quotes around a value that are not closed at position 3",
		`"ä`:                        "opens quotes around a field name that are not closed at position 1",
		`a=x"y"`:                    "wants quotes around a value with such a character at position 4",
		`a"b"=1`:                    "wants quotes around a field name with such a character at position 2",
		`a="x"y`:                    "wants a comma at position 6",
		`"a"b=1`:                    "wants = after a field name at position 4",
		"a=1, b=2, a=3":             "names a field for the second time at position 11",
		`a.b=1, "a".b=1`:            "names a field for the second time at position 8",
		"a=\t1":                     "has a character that cannot be written at position 3",
		"a=1\n":                     "has a character that cannot be written at position 4",
		"a=\"x\x00\"":               "has a character that cannot be written at position 5",
		"a=x\xff":                   "has a character that cannot be written at position 4",
		strings.Repeat("a", 4097):   "are longer than 4096 bytes",
		numbered(51):                "are more than 50",
		"a=secret-value, b=other=x": "at position 24",
	} {
		attributes, err := domain.ParseRequiredAttributes(text)
		require.ErrorContains(t, err, want, "%q", text)
		require.NotContains(t, err.Error(), "secret-value")
		require.Nil(t, attributes)
	}
	_, err := domain.ParseRequiredAttributes(numbered(50))
	require.NoError(t, err)
}

func numbered(n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf("a%d=1", i)
	}
	return strings.Join(parts, ",")
}

func TestMDMRuleCheck(t *testing.T) {
	for name, c := range map[string]struct {
		rule domain.MDMRule
		want []string
	}{
		"nothing":                     {domain.MDMRule{}, []string{}},
		"unrestricted":                {domain.MDMRule{Restriction: domain.MDMUnrestricted}, []string{}},
		"registered":                  {domain.MDMRule{Restriction: domain.MDMMustBeRegistered}, []string{}},
		"registered, all":             {domain.MDMRule{domain.MDMMustBeRegistered, "devices-1", "a=1"}, []string{}},
		"not registered":              {domain.MDMRule{Restriction: domain.MDMMustNotBeRegistered, System: "devices"}, []string{}},
		"unknown":                     {domain.MDMRule{"registered", "x y", "a"}, []string{"restriction"}},
		"system without":              {domain.MDMRule{System: "devices"}, []string{"system"}},
		"system unrestricted":         {domain.MDMRule{Restriction: domain.MDMUnrestricted, System: "devices"}, []string{"system"}},
		"bad system":                  {domain.MDMRule{Restriction: domain.MDMMustBeRegistered, System: "De vices"}, []string{"system"}},
		"attributes not registered":   {domain.MDMRule{domain.MDMMustNotBeRegistered, "", "a=1"}, []string{"required_attributes"}},
		"attributes and system alone": {domain.MDMRule{"", "devices", "a=1"}, []string{"system", "required_attributes"}},
		"bad attributes":              {domain.MDMRule{domain.MDMMustBeRegistered, "", "a"}, []string{"required_attributes"}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, fields(c.rule.Check())) })
	}
	bad := domain.MDMRule{Restriction: domain.MDMMustBeRegistered, RequiredAttributes: "a=1, b"}
	require.Equal(t, "bad: required_attributes wants = after a field name at position 7", bad.Check().Err(domain.CodeInvalid, "bad").Error())

	var rule domain.MDMRule
	rule.Defaults()
	text, err := json.Marshal(rule)
	require.NoError(t, err)
	require.JSONEq(t, `{"restriction": "unrestricted"}`, string(text))
	rule.Restriction = domain.MDMMustBeRegistered
	rule.Defaults()
	require.Equal(t, domain.MDMMustBeRegistered, rule.Restriction)
}

// TestMDMVerdict goes through restriction, id, answer of the MDM and attributes.
func TestMDMVerdict(t *testing.T) {
	const (
		whatever = domain.MDMUnrestricted
		must     = domain.MDMMustBeRegistered
		mustNot  = domain.MDMMustNotBeRegistered
	)
	held, differ := "isCompliant=true, owner.unit.code=A1", "isCompliant=false, id=7, owner.unit.code=B2"
	for _, c := range []struct {
		restriction domain.MDMRestriction
		id          string
		found       bool
		attributes  string
		want        domain.MDMReason
		unmet       []string
		lookup      bool
	}{
		{"", "", false, "", domain.MDMAllowed, nil, false},
		{"", "m", true, "", domain.MDMAllowed, nil, false},
		{whatever, "", false, "", domain.MDMAllowed, nil, false},
		{whatever, "", true, "", domain.MDMAllowed, nil, false},
		{whatever, "m", false, "", domain.MDMAllowed, nil, false},
		{whatever, "m", true, "", domain.MDMAllowed, nil, false},
		{must, "", false, "", domain.MDMNoMobileID, nil, false},
		{must, "", true, "", domain.MDMNoMobileID, nil, false},
		{must, " ", true, "", domain.MDMNoMobileID, nil, false},
		{must, "", true, held, domain.MDMNoMobileID, nil, false},
		{must, "m", false, "", domain.MDMNotRegistered, nil, true},
		{must, "m", false, held, domain.MDMNotRegistered, nil, true},
		{must, "m", false, differ, domain.MDMNotRegistered, nil, true},
		{must, "m", true, "", domain.MDMAllowed, nil, true},
		{must, "m", true, held, domain.MDMAllowed, nil, true},
		{must, "m", true, differ, domain.MDMAttributesDiffer, []string{"isCompliant", "owner.unit.code"}, true},
		{mustNot, "", false, "", domain.MDMAllowed, nil, false},
		{mustNot, "", true, "", domain.MDMAllowed, nil, false},
		{mustNot, "m", false, "", domain.MDMAllowed, nil, true},
		{mustNot, "m", true, "", domain.MDMRegistered, nil, true},
	} {
		t.Run(fmt.Sprintf("%s id=%q found=%t %s", c.restriction, c.id, c.found, c.attributes), func(t *testing.T) {
			rule := domain.MDMRule{Restriction: c.restriction, RequiredAttributes: c.attributes}
			verdict, err := rule.Verdict(c.id, c.found, decoded(t, device))
			require.NoError(t, err)
			require.Equal(t, domain.MDMVerdict{Reason: c.want, Attributes: c.unmet}, verdict)
			require.Equal(t, c.want == domain.MDMAllowed, verdict.Allowed())
			require.Equal(t, c.lookup, rule.NeedsLookup(c.id))
			require.NotContains(t, verdict.Text(), "A1")
			require.NotContains(t, verdict.Text(), "B2")
			for _, name := range c.unmet {
				require.Contains(t, verdict.Text(), name)
			}
		})
	}

	for _, broken := range []domain.MDMRule{
		{Restriction: "anything"}, {Restriction: must, RequiredAttributes: "a"}, {Restriction: mustNot, RequiredAttributes: held}, {System: "devices"},
	} {
		verdict, err := broken.Verdict("m", true, decoded(t, device))
		require.ErrorIs(t, err, domain.Errorf(domain.CodeInvalid, ""))
		require.False(t, verdict.Allowed(), "what is not understood allows nothing")
		require.Contains(t, verdict.Text(), "not been checked")
	}
	verdict, err := domain.MDMRule{Restriction: must, RequiredAttributes: held}.Verdict("m", true, nil)
	require.NoError(t, err)
	require.Equal(t, domain.MDMAttributesDiffer, verdict.Reason, "found, but nothing is known of it")
	require.False(t, domain.MDMVerdict{}.Allowed())
}

func FuzzParseRequiredAttributes(f *testing.F) {
	for _, seed := range []string{"isCompliant=true", ` a . b = " x, ""y""" , "@odata.type"=#device `, "a=1,", `a="`, "a=b=c", "list.0=first", ""} {
		f.Add(seed, device)
	}
	f.Add("a=1e2, b.0.c=true", `{"a": 1e2, "b": [{"c": true}]}`)
	f.Fuzz(func(t *testing.T, text, answer string) {
		attributes, err := domain.ParseRequiredAttributes(text)
		if err != nil {
			require.Nil(t, attributes)
			return
		}
		again, err := domain.ParseRequiredAttributes(attributes.String())
		require.NoError(t, err)
		require.Equal(t, attributes, again)
		var value any
		if json.Unmarshal([]byte(answer), &value) == nil {
			require.LessOrEqual(t, len(attributes.Unmet(value)), len(attributes))
		}
		require.Len(t, attributes.Unmet(nil), len(attributes))
	})
}
