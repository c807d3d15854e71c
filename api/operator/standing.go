package operator

import (
	"context"
	"errors"
	"net/http"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// standing is what an act that does not concern a person's data tells: no personal data, since it needs no permission to read them.
type standing struct {
	ID           string              `json:"id"`
	Status       domain.PersonStatus `json:"status" enum:"active,inactive"`
	DataApproval *dataApproval       `json:"data_approval,omitempty" doc:"Absent: the data are not approved"`
	Version      int                 `json:"version"`
}

func standingDTO(p domain.Person) standing {
	return standing{ID: p.ID, Status: p.Status, DataApproval: dataApprovalDTO(p.DataApproval), Version: p.Version}
}

type statusChange struct {
	standing
	Documents int `json:"documents" doc:"How many documents were disabled or enabled with it"`
}

type approveDataInput struct {
	rest.ByID
	Body struct {
		VettedOn domain.Date `json:"vetted_on" maxLength:"10" doc:"The day the evidence was looked at, as YYYY-MM-DD; not in the future (UTC)"`
		Notes    string      `json:"notes,omitempty" maxLength:"2000" doc:"Stay in the audit for good: no personal data"`
		Version  int         `json:"version,omitempty" minimum:"1" doc:"The version that was looked at; left out: the present one"`
	}
}

type withdrawDataInput struct {
	rest.ByID
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"1000" doc:"Stays in the audit for good: no personal data"`
	}
}

type erasePersonInput struct {
	rest.ByID
	Body struct {
		Reason  domain.CancelReason `json:"reason" enum:"lost,stolen,damaged,compromised,withdrawn,left,other"`
		Notes   string              `json:"notes,omitempty" maxLength:"2000" doc:"Stay in the audit for good: no personal data"`
		Confirm string              `json:"confirm" maxLength:"64" doc:"The id of the person once more"`
	}
}

type erasure struct {
	ID        string `json:"id"`
	Documents int    `json:"documents" doc:"How many documents were canceled"`
	Requests  int    `json:"requests" doc:"How many open requests were canceled"`
	Accounts  int    `json:"accounts" doc:"How many accounts were retired"`
}

// standing adds the operations on the approval of data, the status, and erasing.
func (o *operator) standing() {
	writes, approves := []domain.Permission{domain.PermPeopleWrite}, []domain.Permission{domain.PermPeopleApprove}
	changes := []domain.Code{domain.CodeNotFound, domain.CodeWrongState, domain.CodeConflict}
	add(o, rest.Operation{ID: "approve-person-data", Method: http.MethodPost, Path: "/v1/people/{id}/approve-data", Tag: tagPeople, Needs: approves,
		Summary: "Approve a person's data",
		Description: "Says that the data were checked against evidence on that day. The approval ends by itself when a name, the birth date, an " +
			"attribute or an image changes. Nobody approves their own data.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeConflict, domain.CodeSelfApproval}}, o.approveData)
	add(o, rest.Operation{ID: "withdraw-person-data-approval", Method: http.MethodPost, Path: "/v1/people/{id}/withdraw-data-approval", Tag: tagPeople,
		Needs: approves, Summary: "Withdraw the approval of a person's data", Description: "Takes the approval back.", Problems: changes},
		o.withdrawData)
	add(o, rest.Operation{ID: "deactivate-person", Method: http.MethodPost, Path: "/v1/people/{id}/deactivate", Tag: tagPeople, Needs: writes,
		Summary: "Deactivate a person",
		Description: "Keeps the person from receiving documents and disables the active ones they have. Open requests stay, but nothing can be " +
			"collected.",
		Problems: changes}, o.deactivate)
	add(o, rest.Operation{ID: "activate-person", Method: http.MethodPost, Path: "/v1/people/{id}/activate", Tag: tagPeople, Needs: writes,
		Summary:     "Activate a person",
		Description: "Lets the person receive documents again and enables exactly the documents that deactivating disabled.",
		Problems:    changes}, o.activate)
	add(o, rest.Operation{ID: "erase-person", Method: http.MethodPost, Path: "/v1/people/{id}/erase", Tag: tagPeople, Needs: writes,
		Summary: "Erase a person's data",
		Description: "Cannot be undone. Cancels the documents and open requests, retires the person's accounts, and destroys every personal field, " +
			"attribute and image; the person is then in no list and not found any more. Audit entries stay, with the id. Personal data go first: " +
			"should the call fail after that (503), repeat it until it succeeds; repeating it is harmless.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeConflict, domain.CodeEngineUnavailable}}, o.erase)
}

func (o *operator) approveData(ctx context.Context, caller domain.Caller, in *approveDataInput) (*rest.Reply[standing], error) {
	p, err := o.Issuer.ApprovePersonData(ctx, caller, in.ID, issuer.Vetting{VettedOn: in.Body.VettedOn, Notes: in.Body.Notes,
		Version: in.Body.Version})
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(standingDTO(p)), nil
}

func (o *operator) withdrawData(ctx context.Context, caller domain.Caller, in *withdrawDataInput) (*rest.Reply[standing], error) {
	p, err := o.Issuer.WithdrawDataApproval(ctx, caller, in.ID, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(standingDTO(p)), nil
}

func (o *operator) deactivate(ctx context.Context, caller domain.Caller, in *withReason) (*rest.Reply[statusChange], error) {
	return statusReply(o.Issuer.DeactivatePerson(ctx, caller, in.ID, in.Body.Reason, in.Body.Notes))
}

func (o *operator) activate(ctx context.Context, caller domain.Caller, in *withNotes) (*rest.Reply[statusChange], error) {
	return statusReply(o.Issuer.ActivatePerson(ctx, caller, in.ID, in.Body.Notes))
}

func statusReply(p domain.Person, documents int, err error) (*rest.Reply[statusChange], error) {
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(statusChange{standing: standingDTO(p), Documents: documents}), nil
}

func (o *operator) erase(ctx context.Context, caller domain.Caller, in *erasePersonInput) (*rest.Reply[erasure], error) {
	done, err := o.Issuer.ErasePerson(ctx, caller, in.ID, issuer.Erase{Reason: in.Body.Reason, Notes: in.Body.Notes, Confirm: in.Body.Confirm})
	for _, account := range done.Accounts { // retired even when a request could not be ended
		err = errors.Join(err, o.Access.SignOutAll(ctx, account))
	}
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(erasure{ID: in.ID, Documents: done.Documents, Requests: done.Requests, Accounts: len(done.Accounts)}), nil
}
