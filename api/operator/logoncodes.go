package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type newLogonCodeInput struct {
	rest.ByID
	rest.Idempotent
	Body struct {
		Kind    domain.LogonCodeKind `json:"kind" enum:"simple,complex" doc:"Which of the rules of the settings the code follows"`
		Deliver issuer.LogonDelivery `json:"deliver" enum:"email,sms,screen" doc:"How the code reaches the holder; screen: it comes with the answer"`
	}
}

type logonCode struct {
	LogonName string     `json:"logon_name,omitempty" doc:"On screen only"`
	Code      string     `json:"code,omitempty" doc:"On screen only"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Absent: it works until it is replaced"`
}

func (o *operator) logonCodes() {
	add(o, rest.Operation{ID: "create-logon-code", Method: http.MethodPost, Path: "/v1/people/{id}/logon-code", Tag: tagPeople,
		Status: http.StatusCreated, Needs: []domain.Permission{domain.PermRequest},
		Summary: "Make a logon code",
		Description: "Makes a new logon code for self-service, in place of the one before, and sends it or shows it on screen. Sessions opened " +
			"with the one before end. Showing also needs the permission `view_code` and is audited.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeIdempotencyReused, domain.CodePersonInactive, domain.CodeMissingData,
			domain.CodeMissingContact, domain.CodeChannelOff, domain.CodeConflict}}, o.createLogonCode)
}

func (o *operator) createLogonCode(ctx context.Context, caller domain.Caller, in *newLogonCodeInput) (*rest.Created[logonCode], error) {
	c, err := o.Issuer.CreateLogonCode(ctx, caller, in.Key, issuer.NewLogonCode{PersonID: in.ID, Kind: in.Body.Kind, Deliver: in.Body.Deliver})
	if err != nil {
		return nil, err
	}
	if c.AccountID != "" {
		if err := o.Access.SignOutAll(ctx, c.AccountID); err != nil {
			return nil, err
		}
	}
	return &rest.Created[logonCode]{Location: "/v1/people/" + in.ID, Body: logonCode{LogonName: c.Name, Code: c.Code,
		ExpiresAt: rest.Optional(c.ExpiresAt)}}, nil
}
