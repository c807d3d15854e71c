package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

// settings are all settings in force; durations are whole seconds.
type settings struct {
	AuthenticationCodeComplexity string `json:"authentication_code_complexity" maxLength:"10" doc:"mm-nnN: mm to nn digits" example:"04-08N"`
	AuthenticationCodeLifetime   int64  `json:"authentication_code_lifetime" minimum:"0" maximum:"316224000" doc:"0: as long as the request"`
	ScreenCodeLifetime           int64  `json:"screen_code_lifetime" minimum:"0" maximum:"316224000" doc:"Of codes read on screen"`
	AuthenticationCodeAttempts   int    `json:"authentication_code_attempts" doc:"Wrong codes before the request is locked"`
	ApprovalDeadline             int64  `json:"approval_deadline" minimum:"0" maximum:"316224000"`
	ApprovalReminder             int64  `json:"approval_reminder" minimum:"0" maximum:"316224000" doc:"How often approvers are reminded; 0: never"`
	CollectionDeadline           int64  `json:"collection_deadline" minimum:"0" maximum:"316224000"`
	EmailEnabled                 bool   `json:"email_enabled"`
	SMSEnabled                   bool   `json:"sms_enabled"`
}

func settingsDTO(s domain.Settings) settings {
	whole := func(d domain.Seconds) int64 { return int64(time.Duration(d) / time.Second) }
	return settings{AuthenticationCodeComplexity: s.AuthenticationCodeComplexity,
		AuthenticationCodeLifetime: whole(s.AuthenticationCodeLifetime),
		ScreenCodeLifetime:         whole(s.ScreenCodeLifetime), AuthenticationCodeAttempts: s.AuthenticationCodeAttempts,
		ApprovalDeadline: whole(s.ApprovalDeadline), ApprovalReminder: whole(s.ApprovalReminder), CollectionDeadline: whole(s.CollectionDeadline),
		EmailEnabled: s.EmailEnabled, SMSEnabled: s.SMSEnabled}
}

func (s settings) domain() domain.Settings {
	seconds := func(n int64) domain.Seconds { return domain.Seconds(time.Duration(n) * time.Second) }
	return domain.Settings{AuthenticationCodeComplexity: s.AuthenticationCodeComplexity,
		AuthenticationCodeLifetime: seconds(s.AuthenticationCodeLifetime), ScreenCodeLifetime: seconds(s.ScreenCodeLifetime),
		AuthenticationCodeAttempts: s.AuthenticationCodeAttempts, ApprovalDeadline: seconds(s.ApprovalDeadline),
		ApprovalReminder: seconds(s.ApprovalReminder), CollectionDeadline: seconds(s.CollectionDeadline), EmailEnabled: s.EmailEnabled,
		SMSEnabled: s.SMSEnabled}
}

type settingsInput struct {
	Body settings
}

func (o *operator) settings() {
	needs := []domain.Permission{domain.PermSettings}
	add(o, operation{id: "get-settings", method: http.MethodGet, path: "/v1/settings", tag: tagSettings, needs: needs,
		summary: "Read the settings", description: "Gives every setting in force. Durations are whole seconds."}, o.getSettings)
	add(o, operation{id: "change-settings", method: http.MethodPut, path: "/v1/settings", tag: tagSettings, needs: needs,
		summary: "Change the settings", description: "Replaces all settings at once, so that no combination is ever half in force."},
		o.changeSettings)
}

func (o *operator) getSettings(ctx context.Context, caller domain.Caller, _ *nothing) (*reply[settings], error) {
	return settingsReply(o.Issuer.Settings(ctx, caller))
}

func (o *operator) changeSettings(ctx context.Context, caller domain.Caller, in *settingsInput) (*reply[settings], error) {
	return settingsReply(o.Issuer.ChangeSettings(ctx, caller, in.Body.domain()))
}

func settingsReply(s domain.Settings, err error) (*reply[settings], error) {
	if err != nil {
		return nil, err
	}
	return replyWith(settingsDTO(s)), nil
}
