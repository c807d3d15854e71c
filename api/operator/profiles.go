package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// ProfileOptions are the rules of a profile.
type ProfileOptions struct {
	DisplayName          string                    `json:"display_name" maxLength:"600" doc:"What people read"`
	Format               string                    `json:"format" maxLength:"100" doc:"Id of a document format"`
	ValidateIssuance     bool                      `json:"validate_issuance,omitempty" doc:"A request needs another person's approval"`
	ValidateCancellation bool                      `json:"validate_cancellation,omitempty" doc:"A cancellation needs another person's approval"`
	LifetimeDays         int                       `json:"lifetime_days,omitempty" doc:"730 when left out; then shortened to what a document signer can cover"`
	NotificationScheme   domain.NotificationScheme `json:"notification_scheme,omitempty" enum:"default,code_by_email,code_by_sms,none" default:"default" doc:"How link and code reach the holder; they never travel in one message"`
	MaxCopies            int                       `json:"max_copies,omitempty" default:"1" doc:"Most keys a wallet may bring; each gets a copy of its own"`
	CredentialGroup      string                    `json:"credential_group,omitempty" maxLength:"600" doc:"Documents of one group replace each other as on_reissue says"`
	OnReissue            domain.OnReissue          `json:"on_reissue,omitempty" enum:"keep,disable,cancel" default:"disable" doc:"What becomes of the person's other live documents of the group when a document is collected"`
	IssueOverExisting    bool                      `json:"issue_over_existing,omitempty" doc:"A previous document of this profile is canceled on collection"`
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
	return profile{ID: p.ID, Name: p.Name, Version: p.Version, Comment: p.Comment, Options: ProfileOptions(p.Options), CreatedBy: p.CreatedBy,
		CreatedAt: p.CreatedAt.UTC()}
}

type newProfileInput struct {
	Idempotent
	Body struct {
		Name    string         `json:"name" maxLength:"100" doc:"Unique and for good; wallets see it as the credential configuration id"`
		Comment string         `json:"comment,omitempty" maxLength:"4000"`
		Options ProfileOptions `json:"options"`
	}
}

type changeProfileInput struct {
	ByID
	Body struct {
		Version int            `json:"version" minimum:"1" doc:"The version that was read"`
		Comment string         `json:"comment,omitempty" maxLength:"4000"`
		Options ProfileOptions `json:"options"`
	}
}

func (o *operator) profiles() {
	reads, writes := []domain.Permission{domain.PermProfilesRead}, []domain.Permission{domain.PermProfilesWrite}
	add(o, operation{id: "create-profile", method: http.MethodPost, path: "/v1/profiles", tag: tagProfiles, status: http.StatusCreated,
		needs:   writes,
		summary: "Create a profile", description: "Adds a credential profile as its version 1.",
		problems: []domain.Code{domain.CodeConflict, domain.CodeIdempotencyReused, domain.CodeUnknownFormat,
			domain.CodeLifetimeBeyondSigner}}, o.createProfile)
	add(o, operation{id: "list-profiles", method: http.MethodGet, path: "/v1/profiles", tag: tagProfiles, needs: reads,
		summary: "List profiles", description: "Gives the current version of every profile, by name."}, o.listProfiles)
	add(o, operation{id: "get-profile", method: http.MethodGet, path: "/v1/profiles/{id}", tag: tagProfiles, needs: reads,
		summary: "Read a profile", description: "Gives the current version.", problems: []domain.Code{domain.CodeNotFound}}, o.getProfile)
	add(o, operation{id: "change-profile", method: http.MethodPut, path: "/v1/profiles/{id}", tag: tagProfiles, needs: writes,
		summary: "Change a profile",
		description: "Makes a further version with these options; what is left out has its default. Open requests are collected under the latest " +
			"version. The version given must be the one that was read.",
		problems: []domain.Code{domain.CodeNotFound, domain.CodeConflict, domain.CodeUnknownFormat, domain.CodeLifetimeBeyondSigner}},
		o.changeProfile)
	add(o, operation{id: "list-profile-versions", method: http.MethodGet, path: "/v1/profiles/{id}/versions", tag: tagProfiles, needs: reads,
		summary: "List versions of a profile", description: "Newest first.", problems: []domain.Code{domain.CodeNotFound}}, o.listProfileVersions)
}

func (o *operator) createProfile(ctx context.Context, caller domain.Caller, in *newProfileInput) (*created[profile], error) {
	p, err := o.Issuer.CreateProfile(ctx, caller, in.Key, issuer.SaveProfile{Name: in.Body.Name, Comment: in.Body.Comment,
		Options: domain.ProfileOptions(in.Body.Options)})
	if err != nil {
		return nil, err
	}
	return &created[profile]{Location: "/v1/profiles/" + p.ID, Body: profileDTO(p)}, nil
}

func (o *operator) listProfiles(ctx context.Context, caller domain.Caller, _ *nothing) (*reply[list[profile]], error) {
	all, err := o.Issuer.Profiles(ctx, caller)
	if err != nil {
		return nil, err
	}
	return replyWith(list[profile]{Items: listOf(all, profileDTO)}), nil
}

func (o *operator) getProfile(ctx context.Context, caller domain.Caller, in *ByID) (*reply[profile], error) {
	p, err := o.Issuer.Profile(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return replyWith(profileDTO(p)), nil
}

func (o *operator) changeProfile(ctx context.Context, caller domain.Caller, in *changeProfileInput) (*reply[profile], error) {
	p, err := o.Issuer.ChangeProfile(ctx, caller, in.ID, in.Body.Version, issuer.SaveProfile{Comment: in.Body.Comment,
		Options: domain.ProfileOptions(in.Body.Options)})
	if err != nil {
		return nil, err
	}
	return replyWith(profileDTO(p)), nil
}

func (o *operator) listProfileVersions(ctx context.Context, caller domain.Caller, in *ByID) (*reply[list[profile]], error) {
	all, err := o.Issuer.ProfileVersions(ctx, caller, in.ID)
	if err != nil {
		return nil, err
	}
	return replyWith(list[profile]{Items: listOf(all, profileDTO)}), nil
}
