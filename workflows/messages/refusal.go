package messages

import (
	"errors"

	"go.temporal.io/sdk/temporal"

	"github.com/mdocket/mdocket/internal/domain"
)

// refusal is a domain.Error on its way through Temporal, as the details of an application error.
type refusal struct {
	Code    domain.Code         `json:"code"`
	Message string              `json:"message"`
	Fields  []domain.FieldError `json:"fields,omitempty"`
	Details map[string]string   `json:"details,omitempty"`
}

// Refusal turns a domain error into what activities, update handlers and validators return: an application error that is not retried, whose
// type is the code. AsRefusal turns it back. The text travels in the details, which are always encrypted: the SDK leaves the message of a
// local activity's failure in clear.
func Refusal(err *domain.Error) error {
	return temporal.NewApplicationErrorWithOptions("refused", string(err.Code), temporal.ApplicationErrorOptions{
		NonRetryable: true,
		Details:      []any{refusal{Code: err.Code, Message: err.Message, Fields: err.Fields, Details: err.Details}},
	})
}

// AsRefusal finds the domain error that Refusal put into err, however deep Temporal wrapped it. It gives false for every other error.
func AsRefusal(err error) (*domain.Error, bool) {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || !app.HasDetails() {
		return nil, false
	}
	var r refusal
	if app.Details(&r) != nil || r.Code == "" || string(r.Code) != app.Type() {
		return nil, false
	}
	return &domain.Error{Code: r.Code, Message: r.Message, Fields: r.Fields, Details: r.Details}, true
}
