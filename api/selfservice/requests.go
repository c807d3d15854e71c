package selfservice

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/qrcode"
	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/api/wallet"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// OwnRequest is a request as its holder sees it: nothing tells who at the issuer did what.
type OwnRequest struct {
	ID                 string              `json:"id"`
	Kind               domain.RequestKind  `json:"kind" enum:"issue,update" doc:"Update: the wallet asks for a newer version by itself"`
	ProfileID          string              `json:"profile_id"`
	DocumentName       string              `json:"document_name" doc:"The document as people call it"`
	RequestedBy        issuer.Party        `json:"requested_by" enum:"you,issuer"`
	State              domain.RequestState `json:"state" enum:"received,awaiting_approval,awaiting_collection,issued,rejected,canceled,expired,failed,locked"`
	Cancelable         bool                `json:"cancelable"`
	ExpiryDate         domain.Date         `json:"expiry_date,omitempty" doc:"Last day of validity, where one was asked for"`
	ApprovalDeadline   *time.Time          `json:"approval_deadline,omitempty"`
	CollectionDeadline *time.Time          `json:"collection_deadline,omitempty"`
	FailureCode        domain.Code         `json:"failure_code,omitempty" doc:"Why the request failed, or why the last collection was refused"`
	DocumentID         string              `json:"document_id,omitempty"`
	CreatedAt          time.Time           `json:"created_at"`
	UpdatedAt          time.Time           `json:"updated_at"`
}

func ownRequestForm(r issuer.OwnRequest) OwnRequest {
	out := OwnRequest{ID: r.ID, Kind: r.Kind(), ProfileID: r.ProfileID, DocumentName: r.DocumentName, RequestedBy: issuer.PartyIssuer, State: r.State,
		Cancelable: r.State.Open(), ExpiryDate: r.ExpiryDate, ApprovalDeadline: rest.Optional(r.ApprovalDeadline),
		CollectionDeadline: rest.Optional(r.CollectionDeadline), FailureCode: r.FailureCode, DocumentID: r.DocumentID,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
	if r.Own {
		out.RequestedBy = issuer.PartyHolder
	}
	return out
}

type ownStep struct {
	At     time.Time           `json:"at"`
	Action string              `json:"action" example:"request.approve"`
	By     issuer.Party        `json:"by" enum:"you,wallet,issuer"`
	State  domain.RequestState `json:"state,omitempty" doc:"The state that it led to; absent: it stayed the same"`
}

type ownRequestWithTimeline struct {
	OwnRequest
	Timeline []ownStep `json:"timeline" doc:"What happened, oldest first; the first 1,000 steps"`
}

// ownQR is what a screen shows for the holder's own device.
type ownQR struct {
	RequestID     string    `json:"request_id"`
	DocumentName  string    `json:"document_name"`
	Link          string    `json:"link" doc:"What the QR code says: it opens the wallet with the credential offer"`
	Page          string    `json:"page" doc:"The collection page, for the device that shows this"`
	PNG           []byte    `json:"qr_png" doc:"The QR code as a picture"`
	SVG           string    `json:"qr_svg" doc:"The QR code as an SVG document"`
	Code          string    `json:"code" doc:"The authentication code, to type into the wallet"`
	CodeExpiresAt time.Time `json:"code_expires_at"`
	ShowUntil     time.Time `json:"show_until" doc:"The screen hides link and code then; they can be asked for again"`
	Deadline      time.Time `json:"collection_deadline"`
	Display       display   `json:"display"`
}

func ownQRForm(q issuer.OwnQR) (ownQR, error) {
	link, err := oid4vci.DeepLinkByReference(wallet.OfferURI(q.QRBaseURL, q.LinkToken))
	if err != nil {
		return ownQR{}, fmt.Errorf("make link: %w", err)
	}
	code, err := qrcode.New(link)
	if err != nil {
		return ownQR{}, err
	}
	picture, err := code.PNG()
	if err != nil {
		return ownQR{}, err
	}
	return ownQR{RequestID: q.RequestID, DocumentName: q.DocumentName, Link: link, Page: q.Page, PNG: picture, SVG: code.SVG(), Code: q.Code,
		CodeExpiresAt: q.CodeExpiresAt.UTC(), ShowUntil: q.ShowUntil.UTC(), Deadline: q.Deadline.UTC(), Display: display(q.Display)}, nil
}

type newOwnRequest struct {
	OwnRequest
	QR *ownQR `json:"qr,omitempty" doc:"Where no message reaches the holder and no approval is needed"`
}

type newOwnRequestInput struct {
	rest.Idempotent
	Body struct {
		ProfileID string `json:"profile_id" minLength:"1" maxLength:"64"`
	}
}

func (s *server) requests() {
	rest.Add(s.rest, rest.Operation{ID: "create-my-request", Method: http.MethodPost, Path: "/v1/me/requests", Tag: tag, Needs: needs,
		Status: http.StatusCreated, Summary: "Ask for a document for me",
		Description: "Asks for a document for the caller's own person. Link and code are sent as the profile says. Where no message reaches " +
			"the person, and no approval is needed, the QR code comes with the answer; that needs the permission `collect`.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeIdempotencyReused, domain.CodePersonInactive, domain.CodeRoleMissing,
			domain.CodeDataNotApproved, domain.CodeExclusiveGroup, domain.CodeRequestOpen, domain.CodeMissingData, domain.CodeMissingContact,
			domain.CodeChannelOff, domain.CodeUnknownFormat, domain.CodeLifetimeBeyondSigner, domain.CodeLifetimeOver}}, s.createRequest)
	rest.Add(s.rest, rest.Operation{ID: "list-my-requests", Method: http.MethodGet, Path: "/v1/me/requests", Tag: tag, Needs: needs,
		Summary: "My requests", Description: "Lists the requests for the caller's own person, whoever made them, newest first.",
		Problems: []domain.Code{domain.CodeInvalid, domain.CodePersonInactive}}, s.listRequests)
	rest.Add(s.rest, rest.Operation{ID: "get-my-request", Method: http.MethodGet, Path: "/v1/me/requests/{id}", Tag: tag, Needs: needs,
		Summary: "Read one of my requests", Description: "Gives one request with everything that happened to it.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodePersonInactive}}, s.getRequest)
	rest.Add(s.rest, rest.Operation{ID: "cancel-my-request", Method: http.MethodPost, Path: "/v1/me/requests/{id}/cancel", Tag: tag,
		Needs: needs, Summary: "Cancel one of my requests", Description: "Ends an open request for the caller's own person, whoever made it.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeWrongState, domain.CodePersonInactive, domain.CodeEngineUnavailable}},
		s.cancelRequest)
	rest.Add(s.rest, rest.Operation{ID: "get-my-request-qr", Method: http.MethodGet, Path: "/v1/me/requests/{id}/qr", Tag: tag,
		Needs:   []domain.Permission{domain.PermCollect},
		Summary: "Show link, QR code and authentication code",
		Description: "Shows what the holder's own device needs to collect the document. It is audited. Refused with 409 while an approval is " +
			"needed and not given, and with 403 where the profile sends the link by e-mail only and some message reaches the person. A code that " +
			"was not sent works for a short time from now on.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeApprovalRequired, domain.CodeWrongState, domain.CodeConflict,
			domain.CodeOfferExpired, domain.CodeRoleMissing, domain.CodePersonInactive}}, s.getQR)
}

func (s *server) createRequest(ctx context.Context, caller domain.Caller, in *newOwnRequestInput) (*rest.Created[newOwnRequest], error) {
	r, shown, err := s.Issuer.CreateOwnRequest(ctx, caller, in.Key, in.Body.ProfileID)
	if err != nil {
		return nil, err
	}
	out := newOwnRequest{OwnRequest: ownRequestForm(r)}
	if shown != nil {
		qr, err := ownQRForm(*shown)
		if err != nil {
			return nil, err
		}
		out.QR = &qr
	}
	return &rest.Created[newOwnRequest]{Location: "/v1/me/requests/" + r.ID, Body: out}, nil
}

func (s *server) listRequests(ctx context.Context, caller domain.Caller, in *rest.Paging) (*rest.Reply[rest.Page[OwnRequest]], error) {
	all, err := s.Issuer.OwnRequests(ctx, caller, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.PageOf(all, in.Limit, ownRequestForm, func(r issuer.OwnRequest) string { return r.ID })), nil
}

func (s *server) getRequest(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[ownRequestWithTimeline], error) {
	r, steps, err := s.Issuer.OwnRequest(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(ownRequestWithTimeline{OwnRequest: ownRequestForm(r), Timeline: rest.ListOf(steps, func(o issuer.OwnStep) ownStep {
		return ownStep{At: o.At.UTC(), Action: o.Action, By: o.By, State: o.State}
	})}), nil
}

func (s *server) cancelRequest(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[OwnRequest], error) {
	r, err := s.Issuer.CancelOwnRequest(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(ownRequestForm(r)), nil
}

func (s *server) getQR(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[ownQR], error) {
	shown, err := s.Issuer.OwnQR(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	qr, err := ownQRForm(shown)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(qr), nil
}
