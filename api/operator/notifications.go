package operator

import (
	"context"
	"net/http"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

type listNotificationsInput struct {
	rest.Paging
	PersonID  string             `query:"person_id" maxLength:"64"`
	RequestID string             `query:"request_id" maxLength:"64"`
	State     string             `query:"state" enum:"pending,sent,failed,replaced"`
	Kind      domain.MessageKind `query:"kind" enum:"collection_link,authentication_code,logon_code,approval_reminder,outcome_success,outcome_failure,reprovision,expiry_reminder,cancellation"`
	Channel   domain.Channel     `query:"channel" enum:"email,sms"`
}

// notification is a message with what it is about.
type notification struct {
	message
	PersonID   string `json:"person_id" doc:"The holder it goes to or, with an account, is about"`
	RequestID  string `json:"request_id,omitempty"`
	DocumentID string `json:"document_id,omitempty"`
}

func notificationDTO(m issuer.SentMessage) notification {
	return notification{message: messageDTO(m), PersonID: m.PersonID, RequestID: string(m.RequestID), DocumentID: m.DocumentID}
}

type messageTemplate struct {
	Language string             `json:"language"`
	Kind     domain.MessageKind `json:"kind"`
	Part     string             `json:"part" doc:"End of the file name: subject.txt, text.txt, html.html or sms.txt"`
	Source   string             `json:"source" enum:"shipped,operator"`
}

func templateDTO(f issuer.MessageTemplate) messageTemplate {
	out := messageTemplate{Language: f.Language, Kind: domain.MessageKind(f.Kind), Part: f.Part, Source: "shipped"}
	if f.Operator {
		out.Source = "operator"
	}
	return out
}

type previewMessageInput struct {
	Body struct {
		Kind     domain.MessageKind `json:"kind" enum:"collection_link,authentication_code,logon_code,approval_reminder,outcome_success,outcome_failure,reprovision,expiry_reminder,cancellation"`
		Language string             `json:"language,omitempty" maxLength:"35" doc:"Language tag; the server's when left out"`
	}
}

type messageText struct {
	Language string `json:"language" doc:"That the texts are in"`
	Subject  string `json:"subject" doc:"Of the e-mail"`
	Text     string `json:"text"`
	HTML     string `json:"html"`
	SMS      string `json:"sms,omitempty"`
}

func (o *operator) notifications() {
	add(o, rest.Operation{ID: "list-notifications", Method: http.MethodGet, Path: "/v1/notifications", Tag: tagNotifications,
		Needs:   []domain.Permission{domain.PermReports},
		Summary: "List notifications",
		Description: "Messages with every attempt to send them and what the gateways answered, newest first, within the caller's scope: neither content " +
			"nor addresses.",
		Problems: []domain.Code{domain.CodeInvalid}}, o.listNotifications)
	add(o, rest.Operation{ID: "list-templates", Method: http.MethodGet, Path: "/v1/templates", Tag: tagNotifications,
		Needs:   []domain.Permission{domain.PermSettings},
		Summary: "List message templates", Description: "Every template in use, by language, kind and part."}, o.listTemplates)
	add(o, rest.Operation{ID: "preview-message", Method: http.MethodPost, Path: "/v1/templates/preview", Tag: tagNotifications,
		Needs:   []domain.Permission{domain.PermSettings},
		Summary: "Preview a message", Description: "Shows a kind of message in a language with made-up data, as it would be sent."}, o.previewMessage)
}

func (o *operator) listNotifications(ctx context.Context, caller domain.Caller, in *listNotificationsInput) (*rest.Reply[rest.Page[notification]], error) {
	all, err := o.Issuer.Notifications(ctx, caller, issuer.MessageFilter{PersonID: in.PersonID, RequestID: in.RequestID,
		State: issuer.MessageState(in.State), Kind: in.Kind, Channel: in.Channel}, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.PageOf(all, in.Limit, notificationDTO, func(m issuer.SentMessage) string { return m.ID })), nil
}

func (o *operator) listTemplates(_ context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Reply[rest.List[messageTemplate]], error) {
	all, err := o.Issuer.MessageTemplates(caller)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[messageTemplate]{Items: rest.ListOf(all, templateDTO)}), nil
}

func (o *operator) previewMessage(_ context.Context, caller domain.Caller, in *previewMessageInput) (*rest.Reply[messageText], error) {
	text, err := o.Issuer.PreviewMessage(caller, in.Body.Kind, in.Body.Language)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(messageText{Language: text.Language, Subject: text.Subject, Text: text.Text, HTML: text.HTML, SMS: text.SMS}), nil
}
