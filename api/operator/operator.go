// Package operator is the API of operators, approvers, administrators and machine clients: everything under /v1, one file for each resource.
// It translates: JSON into the acts of internal/issuer and back. What is allowed, to whom and when, is decided there and not here.
package operator

import (
	"context"
	"log/slog"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mdocket/mdocket/api/rest"
	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
)

// ImportPath is the route, as Gin writes it, whose body is read as a stream and may be larger than others.
const ImportPath = "/v1/people/import"

// Deps are the parts the API works with.
type Deps struct {
	Issuer *issuer.Issuer
	Access *access.Authenticator
	Log    *slog.Logger
}

type operator struct {
	Deps
	api      huma.API
	stopping stopSignals
}

// Register adds every operation to the API, whose adapter must be humagin.
func Register(api huma.API, d Deps) {
	o := &operator{Deps: d, api: api}
	o.sessions()
	o.accounts()
	o.roles()
	o.groups()
	o.people()
	o.images()
	o.logonCodes()
	o.imports()
	o.profiles()
	o.formats()
	o.requests()
	o.documents()
	o.copies()
	o.updates()
	o.cancellations()
	o.batches()
	o.notifications()
	o.settings()
	o.reports()
	o.audit()
}

// Tags lists the groups of operations in the order of the documentation.
func Tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: tagSessions, Description: "Signing in and out"},
		{Name: tagAccounts, Description: "Accounts, roles and API keys"},
		{Name: tagGroups, Description: "The tree of divisions and departments"},
		{Name: tagPeople, Description: "Holders and future holders of documents"},
		{Name: tagProfiles, Description: "Credential profiles and document formats"},
		{Name: tagRequests, Description: "Requests, approval and collection"},
		{Name: tagDocuments, Description: "Issued documents"},
		{Name: tagCancellations, Description: "Cancellations that need another operator's approval"},
		{Name: tagBatches, Description: "One operation on many people or documents"},
		{Name: tagNotifications, Description: "Messages to holders and approvers"},
		{Name: tagSettings, Description: "Settings in force"},
		{Name: tagReports, Description: "Lists to read and download"},
		{Name: tagAudit, Description: "The append-only audit"},
	}
}

const (
	tagSessions      = "Sessions"
	tagAccounts      = "Accounts"
	tagGroups        = "Groups"
	tagPeople        = "People"
	tagProfiles      = "Profiles"
	tagRequests      = "Requests"
	tagDocuments     = "Documents"
	tagCancellations = "Cancellations"
	tagBatches       = "Batches"
	tagNotifications = "Notifications"
	tagSettings      = "Settings"
	tagReports       = "Reports"
	tagAudit         = "Audit"
)

// add registers an operation whose handler gets the caller.
func add[I, O any](o *operator, op rest.Operation, handler func(ctx context.Context, caller domain.Caller, in *I) (*O, error)) {
	rest.Add(rest.Registrar{API: o.api, Access: o.Access, Log: o.Log}, op, handler)
}
