package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
)

// settings are all settings in force; durations are whole seconds.
type settings struct {
	Version                      int    `json:"version" minimum:"1" doc:"Grows with every change; a change names the version it was made from"`
	AuthenticationCodeComplexity string `json:"authentication_code_complexity" maxLength:"10" doc:"mm-nnN: mm to nn digits" example:"04-08N"`
	AuthenticationCodeLifetime   int64  `json:"authentication_code_lifetime" minimum:"0" maximum:"316224000" doc:"0: as long as the request"`
	ScreenCodeLifetime           int64  `json:"screen_code_lifetime" minimum:"0" maximum:"316224000" doc:"Of codes read on screen"`
	AuthenticationCodeAttempts   int    `json:"authentication_code_attempts" doc:"Wrong codes before the request is locked"`
	ApprovalDeadline             int64  `json:"approval_deadline" minimum:"0" maximum:"316224000"`
	ApprovalReminder             int64  `json:"approval_reminder" minimum:"0" maximum:"316224000" doc:"How often approvers are reminded; 0: never"`
	CollectionDeadline           int64  `json:"collection_deadline" minimum:"0" maximum:"316224000"`
	ExpiryReminderDays           []int  `json:"expiry_reminder_days" maxItems:"10" doc:"How many days before the last day of validity of a document its holder is reminded, each 1 to 365; empty: never"`
	LogonCodeSimple              string `json:"logon_code_simple" maxLength:"200" doc:"Rule of simple logon codes: mm-nn, then classes U, L, S, N, then [excluded characters]" example:"12-12N"`
	LogonCodeComplex             string `json:"logon_code_complex" maxLength:"200" doc:"Rule of complex ones" example:"12-12ULSN[BGIlOQDSZ]"`
	LogonCodeLifetime            int64  `json:"logon_code_lifetime" minimum:"0" maximum:"316224000" doc:"0: until it is replaced"`
	LogonCodeAttempts            int    `json:"logon_code_attempts" doc:"Wrong logon codes before the code is locked"`
	SelfServiceRole              string `json:"self_service_role" maxLength:"64" doc:"Id of the role, in scope self, of whoever signs in with a logon code; empty: such sign-ins are off"`
	RequestBeforeDataApproval    bool   `json:"request_before_data_approval" doc:"Requests may be made before the data are approved, where the profile demands that; they are neither approved nor collected before"`
	PublicBaseURL                string `json:"public_base_url" maxLength:"300" doc:"Where links in messages and on the collection page lead; empty: as configured. Issuer identifier and status lists stay as configured"`
	QRBaseURL                    string `json:"qr_base_url" maxLength:"300" doc:"Where links in QR codes lead; empty: as configured"`
	EmailEnabled                 bool   `json:"email_enabled"`
	SMSEnabled                   bool   `json:"sms_enabled"`
	BiometricVerification        string `json:"biometric_verification" maxLength:"100" doc:"Least user_authentication that the key attestations of the wallets of every profile must state: iso_18045_basic, iso_18045_enhanced-basic, iso_18045_moderate, iso_18045_high; empty: off. Refused where no wallet could meet it"`
}

func settingsDTO(s domain.Settings) settings {
	whole := func(d domain.Seconds) int64 { return int64(time.Duration(d) / time.Second) }
	return settings{Version: s.Version, AuthenticationCodeComplexity: s.AuthenticationCodeComplexity,
		AuthenticationCodeLifetime: whole(s.AuthenticationCodeLifetime), ScreenCodeLifetime: whole(s.ScreenCodeLifetime),
		AuthenticationCodeAttempts: s.AuthenticationCodeAttempts, ApprovalDeadline: whole(s.ApprovalDeadline),
		ApprovalReminder: whole(s.ApprovalReminder), CollectionDeadline: whole(s.CollectionDeadline), LogonCodeSimple: s.LogonCodeSimple,
		LogonCodeComplex: s.LogonCodeComplex, LogonCodeLifetime: whole(s.LogonCodeLifetime), LogonCodeAttempts: s.LogonCodeAttempts,
		SelfServiceRole: s.SelfServiceRole, RequestBeforeDataApproval: s.RequestBeforeDataApproval, PublicBaseURL: s.PublicBaseURL,
		QRBaseURL: s.QRBaseURL, EmailEnabled: s.EmailEnabled, SMSEnabled: s.SMSEnabled,
		BiometricVerification: string(s.BiometricVerification), ExpiryReminderDays: append([]int{}, s.ExpiryReminderDays...)}
}

func (s settings) domain() domain.Settings {
	seconds := func(n int64) domain.Seconds { return domain.Seconds(time.Duration(n) * time.Second) }
	return domain.Settings{Version: s.Version, AuthenticationCodeComplexity: s.AuthenticationCodeComplexity,
		AuthenticationCodeLifetime: seconds(s.AuthenticationCodeLifetime), ScreenCodeLifetime: seconds(s.ScreenCodeLifetime),
		AuthenticationCodeAttempts: s.AuthenticationCodeAttempts, ApprovalDeadline: seconds(s.ApprovalDeadline),
		ApprovalReminder: seconds(s.ApprovalReminder), CollectionDeadline: seconds(s.CollectionDeadline), LogonCodeSimple: s.LogonCodeSimple,
		LogonCodeComplex: s.LogonCodeComplex, LogonCodeLifetime: seconds(s.LogonCodeLifetime), LogonCodeAttempts: s.LogonCodeAttempts,
		SelfServiceRole: s.SelfServiceRole, RequestBeforeDataApproval: s.RequestBeforeDataApproval, PublicBaseURL: s.PublicBaseURL,
		QRBaseURL: s.QRBaseURL, EmailEnabled: s.EmailEnabled, SMSEnabled: s.SMSEnabled,
		BiometricVerification: domain.AttackPotential(s.BiometricVerification), ExpiryReminderDays: s.ExpiryReminderDays}
}

type settingsInput struct {
	Body settings
}

func (o *operator) settings() {
	needs := []domain.Permission{domain.PermSettings}
	add(o, rest.Operation{ID: "get-settings", Method: http.MethodGet, Path: "/v1/settings", Tag: tagSettings, Needs: needs,
		Summary: "Read the settings", Description: "Gives every setting in force. Durations are whole seconds."}, o.getSettings)
	add(o, rest.Operation{ID: "change-settings", Method: http.MethodPut, Path: "/v1/settings", Tag: tagSettings, Needs: needs,
		Summary: "Change the settings",
		Description: "Replaces all settings at once, so that no combination is ever half in force. The version must be the one that was read, or the " +
			"answer is 409 with the present one in details.",
		Problems: []domain.Code{domain.CodeConflict}}, o.changeSettings)
}

func (o *operator) getSettings(ctx context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Reply[settings], error) {
	return settingsReply(o.Issuer.Settings(ctx, caller))
}

func (o *operator) changeSettings(ctx context.Context, caller domain.Caller, in *settingsInput) (*rest.Reply[settings], error) {
	return settingsReply(o.Issuer.ChangeSettings(ctx, caller, in.Body.domain()))
}

func settingsReply(s domain.Settings, err error) (*rest.Reply[settings], error) {
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(settingsDTO(s)), nil
}
