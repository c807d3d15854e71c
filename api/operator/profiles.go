package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// ProfileOptions are the rules of a profile.
type ProfileOptions struct {
	DisplayName           string                    `json:"display_name" maxLength:"600" doc:"What people read"`
	Format                string                    `json:"format" maxLength:"100" doc:"Id of a document format"`
	ValidateIssuance      bool                      `json:"validate_issuance,omitempty" doc:"A request needs another person's approval"`
	ValidateCancellation  bool                      `json:"validate_cancellation,omitempty" doc:"A cancellation needs another person's approval"`
	LifetimeDays          int                       `json:"lifetime_days,omitempty" doc:"730 when left out; then shortened to what a document signer can cover"`
	NotificationScheme    domain.NotificationScheme `json:"notification_scheme,omitempty" enum:"default,code_by_email,code_by_sms,none" default:"default" doc:"How link and code reach the holder; they never travel in one message"`
	MaxCopies             int                       `json:"max_copies,omitempty" default:"1" doc:"Most keys a wallet may bring; each gets a copy of its own"`
	CredentialGroup       string                    `json:"credential_group,omitempty" maxLength:"600" doc:"Documents of one group replace each other as on_reissue says"`
	OnReissue             domain.OnReissue          `json:"on_reissue,omitempty" enum:"keep,disable,cancel" default:"disable" doc:"What becomes of the person's other live documents of the group when a document is collected"`
	IssueOverExisting     bool                      `json:"issue_over_existing,omitempty" doc:"A previous document of this profile is canceled on collection"`
	ExclusiveGroup        string                    `json:"exclusive_group,omitempty" maxLength:"600" doc:"Not for a person who holds a live document of another profile of this group"`
	BlockMultipleRequests bool                      `json:"block_multiple_requests,omitempty" doc:"One open request of a person at a time: of the credential group or, without one, of this profile"`
	DerivedFrom           string                    `json:"derived_from,omitempty" maxLength:"64" doc:"Id of another profile: the person must have an active document of it, this one does not outlive that, and is canceled with it"`
	EnforcePhoto          bool                      `json:"enforce_photo,omitempty" doc:"The person must have a portrait"`
	RequisiteData         []string                  `json:"requisite_data,omitempty" maxItems:"100" doc:"What the person must have: fields of people, portrait, signature, attribute.NAME"`
	RequireDataApproved   bool                      `json:"require_data_approved,omitempty" doc:"The person's data must be approved"`
	LogonCode             domain.LogonCodeKind      `json:"logon_code,omitempty" enum:"none,simple,complex" default:"none" doc:"Code for self-service, sent when the document can be collected"`
	MDM                   MDMRule                   `json:"mdm,omitempty" doc:"What the holder's device must be to the mobile device management"`
	KeyAttestation        KeyAttestation            `json:"key_attestation,omitempty" doc:"What the wallet's keys must be attested, at least; both empty: no key attestation is asked for. Refused where no wallet could meet it"`
	CanReceive            []string                  `json:"can_receive,omitempty" maxItems:"100" doc:"Ids of the roles whose holders can receive the document; empty: every role, and none is needed"`
	CanRequest            []string                  `json:"can_request,omitempty" maxItems:"100" doc:"Ids of the roles that can request it; empty: every role"`
	CanValidate           []string                  `json:"can_validate,omitempty" maxItems:"100" doc:"Ids of the roles that can approve or reject a request; empty: every role"`
	CanCollect            []string                  `json:"can_collect,omitempty" maxItems:"100" doc:"Ids of the roles whose holders can collect the document; empty: every role, and none is needed"`
	SelfService           SelfService               `json:"self_service,omitempty" doc:"What a holder sees of the profile"`
	Renewal               Renewal                   `json:"renewal,omitempty" doc:"When an update of a document is asked for by itself"`
}

// MDMRule is what a device must be to the mobile device management.
type MDMRule struct {
	Restriction        domain.MDMRestriction `json:"restriction,omitempty" enum:"unrestricted,must_be_registered,must_not_be_registered" default:"unrestricted"`
	System             string                `json:"system,omitempty" maxLength:"63" doc:"Which MDM; chosen by itself when only one is configured"`
	RequiredAttributes string                `json:"required_attributes,omitempty" maxLength:"4096" doc:"With must_be_registered: comparisons that must all hold, with dots into nested objects" example:"compliant=true, os.name=android"`
}

// KeyAttestation is what a wallet's keys must be attested.
type KeyAttestation struct {
	KeyStorage         domain.AttackPotential `json:"key_storage,omitempty" enum:",iso_18045_basic,iso_18045_enhanced-basic,iso_18045_moderate,iso_18045_high" doc:"Least resistance of what keeps the keys"`
	UserAuthentication domain.AttackPotential `json:"user_authentication,omitempty" enum:",iso_18045_basic,iso_18045_enhanced-basic,iso_18045_moderate,iso_18045_high" doc:"Least resistance of how the user is authenticated before a key is used"`
}

// Renewal says when an update of a document is asked for by itself.
type Renewal struct {
	BeforeExpiryDays int  `json:"before_expiry_days,omitempty" doc:"So many days before the document's last day of validity, if the new version lasts longer; less than a document lasts. 0: not"`
	OnChange         bool `json:"on_change,omitempty" doc:"When the data that the document's elements are made from have changed"`
	OnAge            bool `json:"on_age,omitempty" doc:"When an age that the document states turns; needs a format with such an age"`
}

// SelfService is what a holder sees of a profile.
type SelfService struct {
	ShowQR        *bool          `json:"show_qr,omitempty" doc:"The holder may collect by a QR code on screen; true when left out"`
	ValidityDays  int            `json:"validity_days,omitempty" doc:"Bound of the lifetime of documents that holders ask for themselves; 730 when left out"`
	UserID        string         `json:"user_id,omitempty" maxLength:"600" default:"{email}" doc:"Shown beside the QR code; may hold {email}, {logon_name}, {common_name}, {server_name}, {display_name}"`
	ServerName    string         `json:"server_name,omitempty" maxLength:"600" default:"{server_name}" doc:"Likewise"`
	ProfileName   string         `json:"profile_name,omitempty" maxLength:"600" default:"MobileID {common_name}" doc:"Likewise"`
	NotifyOutcome domain.Outcome `json:"notify_outcome,omitempty" enum:"always,never" default:"always" doc:"Whether the holder is told how an issuance ended"`
}

func optionsDTO(o domain.ProfileOptions) ProfileOptions {
	return ProfileOptions{DisplayName: o.DisplayName, Format: o.Format, ValidateIssuance: o.ValidateIssuance,
		ValidateCancellation: o.ValidateCancellation, LifetimeDays: o.LifetimeDays, NotificationScheme: o.NotificationScheme,
		MaxCopies: o.MaxCopies, CredentialGroup: o.CredentialGroup, OnReissue: o.OnReissue, IssueOverExisting: o.IssueOverExisting,
		ExclusiveGroup: o.ExclusiveGroup, BlockMultipleRequests: o.BlockMultipleRequests, DerivedFrom: o.DerivedFrom, EnforcePhoto: o.EnforcePhoto,
		RequisiteData: o.RequisiteData, RequireDataApproved: o.RequireDataApproved, LogonCode: o.LogonCode, MDM: MDMRule(o.MDM),
		CanReceive: o.CanReceive, CanRequest: o.CanRequest, CanValidate: o.CanValidate, CanCollect: o.CanCollect,
		SelfService: SelfService(o.SelfService), KeyAttestation: KeyAttestation(o.KeyAttestation), Renewal: Renewal(o.Renewal)}
}

func (o ProfileOptions) domain() domain.ProfileOptions {
	return domain.ProfileOptions{DisplayName: o.DisplayName, Format: o.Format, ValidateIssuance: o.ValidateIssuance,
		ValidateCancellation: o.ValidateCancellation, LifetimeDays: o.LifetimeDays, NotificationScheme: o.NotificationScheme,
		MaxCopies: o.MaxCopies, CredentialGroup: o.CredentialGroup, OnReissue: o.OnReissue, IssueOverExisting: o.IssueOverExisting,
		ExclusiveGroup: o.ExclusiveGroup, BlockMultipleRequests: o.BlockMultipleRequests, DerivedFrom: o.DerivedFrom, EnforcePhoto: o.EnforcePhoto,
		RequisiteData: o.RequisiteData, RequireDataApproved: o.RequireDataApproved, LogonCode: o.LogonCode, MDM: domain.MDMRule(o.MDM),
		CanReceive: o.CanReceive, CanRequest: o.CanRequest, CanValidate: o.CanValidate, CanCollect: o.CanCollect,
		SelfService: domain.SelfServiceOptions(o.SelfService), KeyAttestation: domain.Resistances(o.KeyAttestation),
		Renewal: domain.RenewalOptions(o.Renewal)}
}

type profile struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Version   int            `json:"version"`
	Comment   string         `json:"comment,omitempty"`
	Options   ProfileOptions `json:"options"`
	CreatedBy string         `json:"created_by" doc:"Account that made this version"`
	CreatedAt time.Time      `json:"created_at" doc:"When this version was made"`
}

func profileDTO(p domain.Profile) profile {
	return profile{ID: p.ID, Name: p.Name, Version: p.Version, Comment: p.Comment, Options: optionsDTO(p.Options), CreatedBy: p.CreatedBy,
		CreatedAt: p.CreatedAt.UTC()}
}

type newProfileInput struct {
	rest.Idempotent
	Body struct {
		Name    string         `json:"name" maxLength:"100" doc:"Unique and for good; wallets see it as the credential configuration id"`
		Comment string         `json:"comment,omitempty" maxLength:"4000"`
		Options ProfileOptions `json:"options"`
	}
}

type changeProfileInput struct {
	rest.ByID
	Body struct {
		Version int            `json:"version" minimum:"1" doc:"The version that was read"`
		Comment string         `json:"comment,omitempty" maxLength:"4000"`
		Options ProfileOptions `json:"options"`
	}
}

func (o *operator) profiles() {
	reads, writes := []domain.Permission{domain.PermProfilesRead}, []domain.Permission{domain.PermProfilesWrite}
	add(o, rest.Operation{ID: "create-profile", Method: http.MethodPost, Path: "/v1/profiles", Tag: tagProfiles, Status: http.StatusCreated,
		Needs:       writes,
		Summary:     "Create a profile",
		Description: "Adds a credential profile as its version 1. What is left out has its default; unknown members are refused.",
		Problems: []domain.Code{domain.CodeConflict, domain.CodeIdempotencyReused, domain.CodeUnknownFormat,
			domain.CodeLifetimeBeyondSigner}}, o.createProfile)
	add(o, rest.Operation{ID: "list-profiles", Method: http.MethodGet, Path: "/v1/profiles", Tag: tagProfiles, Needs: reads,
		Summary: "List profiles", Description: "Gives the current version of every profile, by name."}, o.listProfiles)
	add(o, rest.Operation{ID: "get-profile", Method: http.MethodGet, Path: "/v1/profiles/{id}", Tag: tagProfiles, Needs: reads,
		Summary: "Read a profile", Description: "Gives the current version.", Problems: []domain.Code{domain.CodeNotFound}}, o.getProfile)
	add(o, rest.Operation{ID: "change-profile", Method: http.MethodPut, Path: "/v1/profiles/{id}", Tag: tagProfiles, Needs: writes,
		Summary: "Change a profile",
		Description: "Makes a further version with these options; what is left out has its default, unknown members are refused. Open requests are " +
			"collected under the latest version. The version given must be the one that was read, or the answer is 409 with the present one in details.",
		Problems: []domain.Code{domain.CodeNotFound, domain.CodeConflict, domain.CodeUnknownFormat, domain.CodeLifetimeBeyondSigner}},
		o.changeProfile)
	add(o, rest.Operation{ID: "list-profile-versions", Method: http.MethodGet, Path: "/v1/profiles/{id}/versions", Tag: tagProfiles, Needs: reads,
		Summary: "List versions of a profile", Description: "Newest first.", Problems: []domain.Code{domain.CodeNotFound}}, o.listProfileVersions)
}

func (o *operator) createProfile(ctx context.Context, caller domain.Caller, in *newProfileInput) (*rest.Created[profile], error) {
	p, err := o.Issuer.CreateProfile(ctx, caller, in.Key, issuer.SaveProfile{Name: in.Body.Name, Comment: in.Body.Comment,
		Options: in.Body.Options.domain()})
	if err != nil {
		return nil, err
	}
	return &rest.Created[profile]{Location: "/v1/profiles/" + p.ID, Body: profileDTO(p)}, nil
}

func (o *operator) listProfiles(ctx context.Context, caller domain.Caller, _ *rest.Nothing) (*rest.Reply[rest.List[profile]], error) {
	all, err := o.Issuer.Profiles(ctx, caller)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[profile]{Items: rest.ListOf(all, profileDTO)}), nil
}

func (o *operator) getProfile(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[profile], error) {
	p, err := o.Issuer.Profile(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(profileDTO(p)), nil
}

func (o *operator) changeProfile(ctx context.Context, caller domain.Caller, in *changeProfileInput) (*rest.Reply[profile], error) {
	p, err := o.Issuer.ChangeProfile(ctx, caller, in.ID, in.Body.Version, issuer.SaveProfile{Comment: in.Body.Comment,
		Options: in.Body.Options.domain()})
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(profileDTO(p)), nil
}

func (o *operator) listProfileVersions(ctx context.Context, caller domain.Caller, in *rest.ByID) (*rest.Reply[rest.List[profile]], error) {
	all, err := o.Issuer.ProfileVersions(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return rest.ReplyWith(rest.List[profile]{Items: rest.ListOf(all, profileDTO)}), nil
}
