package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// PersonFields are what a caller says of a person. A member that is left out is empty.
type PersonFields struct {
	ExternalID       string              `json:"external_id,omitempty" maxLength:"600" doc:"Employee number or the like; unique"`
	LogonName        string              `json:"logon_name,omitempty" maxLength:"600"`
	GivenName        string              `json:"given_name" maxLength:"600"`
	FamilyName       string              `json:"family_name" maxLength:"600"`
	Email            string              `json:"email,omitempty" maxLength:"320"`
	Mobile           string              `json:"mobile,omitempty" maxLength:"50" doc:"Kept as E.164"`
	BirthDate        domain.Date         `json:"birth_date,omitempty" maxLength:"10" doc:"Day as YYYY-MM-DD"`
	Group            string              `json:"group,omitempty" maxLength:"600" doc:"Path of the group, such as Division/Department"`
	Language         string              `json:"language,omitempty" maxLength:"35" doc:"Language tag of the messages to this person"`
	Status           domain.PersonStatus `json:"status,omitempty" enum:"active,inactive" doc:"Only an active person can receive documents. Left out: a new person is active, others stay as they are."`
	MaxExpiry        domain.Date         `json:"max_expiry,omitempty" maxLength:"10" doc:"No document of this person is valid after this day"`
	ExternalMobileID string              `json:"external_mobile_id,omitempty" maxLength:"600" doc:"Of the person's device in the mobile device management"`
	Attributes       map[string]any      `json:"attributes,omitempty" doc:"Further values for document formats, by name"`
}

func (f PersonFields) person() domain.Person {
	return domain.Person{ExternalID: f.ExternalID, LogonName: f.LogonName, GivenName: f.GivenName, FamilyName: f.FamilyName, Email: f.Email,
		Mobile: f.Mobile, BirthDate: f.BirthDate, Group: f.Group, Language: f.Language, Status: f.Status, MaxExpiry: f.MaxExpiry,
		ExternalMobileID: f.ExternalMobileID, Attributes: f.Attributes}
}

// dataApproval says who checked a person's data against evidence.
type dataApproval struct {
	By       string      `json:"by" doc:"Account"`
	At       time.Time   `json:"at"`
	VettedOn domain.Date `json:"vetted_on" doc:"The day the evidence was looked at"`
}

func dataApprovalDTO(a domain.DataApproval) *dataApproval {
	if !a.Approved() {
		return nil
	}
	return &dataApproval{By: a.By, At: a.At.UTC(), VettedOn: a.VettedOn}
}

type person struct {
	ID string `json:"id"`
	PersonFields
	GroupID      string        `json:"group_id,omitempty"`
	HasPortrait  bool          `json:"has_portrait"`
	HasSignature bool          `json:"has_signature"`
	DataApproval *dataApproval `json:"data_approval,omitempty" doc:"Absent: the data are not approved"`
	Version      int           `json:"version" doc:"Grows with every change; a change names the version it was made from"`
	CreatedAt    time.Time     `json:"created_at"`
	UpdatedAt    time.Time     `json:"updated_at"`
}

func personDTO(p domain.Person) person {
	return person{ID: p.ID, PersonFields: PersonFields{ExternalID: p.ExternalID, LogonName: p.LogonName, GivenName: p.GivenName,
		FamilyName: p.FamilyName, Email: p.Email, Mobile: p.Mobile, BirthDate: p.BirthDate, Group: p.Group, Language: p.Language,
		Status: p.Status, MaxExpiry: p.MaxExpiry, ExternalMobileID: p.ExternalMobileID, Attributes: p.Attributes},
		GroupID: p.GroupID, HasPortrait: p.HasPortrait, HasSignature: p.HasSignature, DataApproval: dataApprovalDTO(p.DataApproval),
		Version: p.Version, CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC()}
}

type newPersonInput struct {
	rest.Idempotent
	Body PersonFields
}

type changePersonInput struct {
	rest.ByID
	Body struct {
		PersonFields
		Version int `json:"version" minimum:"1" doc:"The version that was read"`
	}
}

type listPeopleInput struct {
	rest.Paging
	Status       domain.PersonStatus `query:"status" enum:"active,inactive"`
	GroupID      string              `query:"group_id" maxLength:"64"`
	GroupsBelow  bool                `query:"groups_below" doc:"With group_id: and every group below it"`
	DataApproved string              `query:"data_approved" enum:"true,false"`
}

// PersonSearch looks for people who have every field as given.
type PersonSearch struct {
	ID               string              `json:"id,omitempty" maxLength:"64"`
	ExternalID       string              `json:"external_id,omitempty" maxLength:"601"`
	LogonName        string              `json:"logon_name,omitempty" maxLength:"601"`
	GivenName        string              `json:"given_name,omitempty" maxLength:"601"`
	FamilyName       string              `json:"family_name,omitempty" maxLength:"601"`
	Email            string              `json:"email,omitempty" maxLength:"321"`
	Mobile           string              `json:"mobile,omitempty" maxLength:"50" doc:"In any form; with a * it begins with + and the country code"`
	BirthDate        domain.Date         `json:"birth_date,omitempty" maxLength:"10" doc:"Day as YYYY-MM-DD"`
	Group            string              `json:"group,omitempty" maxLength:"600" doc:"Path of the group"`
	GroupsBelow      bool                `json:"groups_below,omitempty" doc:"And every group below it"`
	Status           domain.PersonStatus `json:"status,omitempty" enum:"active,inactive"`
	MaxExpiryUntil   domain.Date         `json:"max_expiry_until,omitempty" maxLength:"10" doc:"Has a max_expiry on or before this day"`
	ExternalMobileID string              `json:"external_mobile_id,omitempty" maxLength:"601"`
	DataApproved     *bool               `json:"data_approved,omitempty"`
}

func (s PersonSearch) filter() issuer.PersonFilter {
	return issuer.PersonFilter{ID: s.ID, ExternalID: s.ExternalID, LogonName: s.LogonName, GivenName: s.GivenName, FamilyName: s.FamilyName,
		Email: s.Email, Mobile: s.Mobile, BirthDate: s.BirthDate, GroupsBelow: s.GroupsBelow, Status: s.Status,
		MaxExpiryUntil: s.MaxExpiryUntil, ExternalMobileID: s.ExternalMobileID, DataApproved: s.DataApproved}
}

type searchPeopleInput struct {
	Body struct {
		PersonSearch
		After string `json:"after,omitempty" maxLength:"64" doc:"The next of the page before"`
		Limit int    `json:"limit,omitempty" minimum:"1" maximum:"500" default:"50"`
	}
}

func (o *operator) people() {
	reads, writes := []domain.Permission{domain.PermPeopleRead}, []domain.Permission{domain.PermPeopleWrite}
	add(o, rest.Operation{ID: "create-person", Method: http.MethodPost, Path: "/v1/people", Tag: tagPeople, Status: http.StatusCreated,
		Needs:       writes,
		Summary:     "Create a person",
		Description: "Adds a holder or future holder. Below scope all, a group within the scope is required.",
		Problems:    []domain.Code{domain.CodeConflict, domain.CodeIdempotencyReused}}, o.createPerson)
	add(o, rest.Operation{ID: "list-people", Method: http.MethodGet, Path: "/v1/people", Tag: tagPeople, Needs: reads,
		Summary:     "List people",
		Description: "Newest first. To look for somebody, use the search: names and addresses do not belong into URLs.",
		Problems:    []domain.Code{domain.CodeInvalid}}, o.listPeople)
	add(o, rest.Operation{ID: "search-people", Method: http.MethodPost, Path: "/v1/people/search", Tag: tagPeople, Needs: reads,
		Summary: "Search people",
		Description: "Gives the people who have every field as given, newest first. Names, e-mail address and logon name are compared without " +
			"case. They, external_id, mobile and external_mobile_id may end in * for \"starts with\"."}, o.searchPeople)
	add(o, rest.Operation{ID: "get-person", Method: http.MethodGet, Path: "/v1/people/{id}", Tag: tagPeople, Needs: reads,
		Summary: "Read a person", Description: "Gives one person.", Problems: []domain.Code{domain.CodeNotFound}}, o.getPerson)
	add(o, rest.Operation{ID: "change-person", Method: http.MethodPut, Path: "/v1/people/{id}", Tag: tagPeople, Needs: writes,
		Summary: "Change a person",
		Description: "Replaces every field; what is left out is emptied. Images and, when it is left out, the status stay. The version must be the " +
			"one that was read, or the answer is 409 with the present version in details. Another name, birth date or attribute ends the approval " +
			"of the data. Another status disables or enables documents, as deactivate and activate do. Another group needs the permission for the " +
			"people of both.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeConflict}}, o.changePerson)
	o.standing()
}

func (o *operator) createPerson(ctx context.Context, caller domain.Caller, in *newPersonInput) (*rest.Created[person], error) {
	p, err := o.Issuer.CreatePerson(ctx, caller, in.Key, in.Body.person())
	if err != nil {
		return nil, err
	}
	return &rest.Created[person]{Location: "/v1/people/" + p.ID, Body: personDTO(p)}, nil
}

func (o *operator) listPeople(ctx context.Context, caller domain.Caller, in *listPeopleInput) (*rest.Reply[rest.Page[person]], error) {
	want := issuer.PersonFilter{Status: in.Status, GroupID: in.GroupID, GroupsBelow: in.GroupsBelow}
	if in.DataApproved != "" {
		approved := in.DataApproved == "true"
		want.DataApproved = &approved
	}
	return o.peoplePage(ctx, caller, want, "", in.After, in.Limit)
}

func (o *operator) searchPeople(ctx context.Context, caller domain.Caller, in *searchPeopleInput) (*rest.Reply[rest.Page[person]], error) {
	return o.peoplePage(ctx, caller, in.Body.filter(), in.Body.Group, in.Body.After, in.Body.Limit)
}

func (o *operator) peoplePage(ctx context.Context, caller domain.Caller, want issuer.PersonFilter, group, after string,
	limit int) (*rest.Reply[rest.Page[person]], error) {
	all, err := o.Issuer.People(ctx, caller, want, group, after, limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.PageOf(all, limit, personDTO, func(p domain.Person) string { return p.ID })), nil
}

func (o *operator) getPerson(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[person], error) {
	p, err := o.Issuer.Person(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(personDTO(p)), nil
}

func (o *operator) changePerson(ctx context.Context, caller domain.Caller, in *changePersonInput) (*rest.Reply[person], error) {
	p := in.Body.person()
	p.ID, p.Version = in.ID, in.Body.Version
	p, err := o.Issuer.UpdatePerson(ctx, caller, p)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(personDTO(p)), nil
}
