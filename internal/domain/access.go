package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// Permission is one thing a role may allow (I1).
type Permission string

// The permissions.
const (
	PermRequest        Permission = "request"         // documents for others
	PermRequestSelf    Permission = "request_self"    // a document for oneself
	PermApprove        Permission = "approve"         // approve or reject requests
	PermViewCode       Permission = "view_code"       // read link and codes on screen
	PermCancel         Permission = "cancel"          // cancel documents
	PermDisable        Permission = "disable"         // disable and enable documents
	PermUpdate         Permission = "update"          // update documents with the latest profile and data
	PermCollect        Permission = "collect"         // collect one's own documents by self-service
	PermCollectUpdates Permission = "collect_updates" // collect updates of one's own documents by self-service
	PermDocumentsRead  Permission = "documents_read"  // see documents
	PermPeopleRead     Permission = "people_read"     // see people
	PermPeopleWrite    Permission = "people_write"    // create, change, import, deactivate and erase people
	PermPeopleApprove  Permission = "people_approve"  // approve people's data
	PermGroups         Permission = "groups"          // create, rename and move groups
	PermProfilesRead   Permission = "profiles_read"   // see profiles and formats
	PermProfilesWrite  Permission = "profiles_write"  // create and change profiles
	PermSettings       Permission = "settings"        // read and change settings
	PermRoles          Permission = "roles"           // accounts, roles, API keys
	PermKeys           Permission = "keys"            // signers and certificates
	PermAudit          Permission = "audit"           // read and verify the audit
	PermReports        Permission = "reports"         // reports
)

// Permissions lists every permission.
func Permissions() []Permission {
	return []Permission{PermRequest, PermRequestSelf, PermApprove, PermViewCode, PermCancel, PermDisable, PermUpdate, PermCollect,
		PermCollectUpdates, PermDocumentsRead, PermPeopleRead, PermPeopleWrite, PermPeopleApprove, PermGroups, PermProfilesRead,
		PermProfilesWrite, PermSettings, PermRoles, PermKeys, PermAudit, PermReports}
}

// Valid says whether p is one of the permissions.
func (p Permission) Valid() bool { return slices.Contains(Permissions(), p) }

// Scope says whom a permission reaches (I2).
type Scope string

// The scopes, from narrow to wide. Each reaches everybody that a narrower one reaches.
const (
	ScopeNone       Scope = "none"
	ScopeSelf       Scope = "self"       // the account's own person
	ScopeDepartment Scope = "department" // the people of the own person's group
	ScopeDivision   Scope = "division"   // the people of the own person's group and of every group below it
	ScopeAll        Scope = "all"
)

// Scopes lists every scope, from narrow to wide.
func Scopes() []Scope {
	return []Scope{ScopeNone, ScopeSelf, ScopeDepartment, ScopeDivision, ScopeAll}
}

// Valid says whether s is one of the scopes.
func (s Scope) Valid() bool { return slices.Contains(Scopes(), s) }

// Wider gives the wider of two scopes.
func (s Scope) Wider(t Scope) Scope {
	if slices.Index(Scopes(), t) > slices.Index(Scopes(), s) {
		return t
	}
	return s
}

// Caller is whoever asks for an act: an account with what it may do, and where.
type Caller struct {
	AccountID string
	PersonID  string   // the account's own person, if any
	GroupID   string   // that person's group, if any
	Machine   bool     // signed in with an API key
	Roles     []string // ids of the account's roles
	Grants    map[Permission]Scope
}

// System is the caller of acts that time or the engine brings about.
func System() Caller { return Caller{AccountID: "system"} }

// Has says whether the caller has the permission in any scope.
func (c Caller) Has(p Permission) bool { return c.Grants[p] != "" && c.Grants[p] != ScopeNone }

// Need refuses a caller without the permission.
func (c Caller) Need(p Permission) error {
	if c.Has(p) {
		return nil
	}
	return Errorf(CodeForbidden, "the permission %s is missing", p).With("permission", string(p))
}

// Owns says whether the person is the caller's own.
func (c Caller) Owns(personID string) bool { return personID != "" && personID == c.PersonID }

// Within is the set of people that a scope reaches, seen from one caller: everybody, or the person PersonID and, where GroupID is set, the
// people of that group and, where Below is set, of the groups below it. The zero value reaches nobody.
type Within struct {
	All      bool
	PersonID string
	GroupID  string
	Below    bool
}

// Within gives whom the caller's permission reaches; with several permissions, whom any of them reaches.
func (c Caller) Within(ps ...Permission) Within {
	scope := ScopeNone
	for _, p := range ps {
		scope = scope.Wider(c.Grants[p])
	}
	switch scope {
	case ScopeAll:
		return Within{All: true}
	case ScopeDivision:
		return Within{PersonID: c.PersonID, GroupID: c.GroupID, Below: true}
	case ScopeDepartment:
		return Within{PersonID: c.PersonID, GroupID: c.GroupID}
	case ScopeSelf:
		return Within{PersonID: c.PersonID}
	case ScopeNone:
	}
	return Within{}
}

// Nobody says that the set is empty whatever the groups are.
func (w Within) Nobody() bool { return !w.All && w.PersonID == "" && w.GroupID == "" }

// Account is somebody or something that signs in (I3).
type Account struct {
	ID       string
	Name     string
	PersonID string
	Email    string // where approval reminders go
	Disabled bool
}

// Role is a named set of permissions.
type Role struct {
	ID          string
	Name        string
	Permissions []Permission
}

// Version names what the role says now: it changes with name and permissions.
func (r Role) Version() string {
	h := sha256.New()
	h.Write([]byte(r.Name))
	for _, p := range r.Permissions {
		h.Write([]byte("\n" + p))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Assignment gives an account a role in a scope.
type Assignment struct {
	RoleID string
	Scope  Scope
}
