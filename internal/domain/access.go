package domain

import (
	"slices"
)

// Permission is one thing a role may allow (I1).
type Permission string

// The permissions.
const (
	PermRequest       Permission = "request"        // documents for others
	PermRequestSelf   Permission = "request_self"   // a document for oneself
	PermApprove       Permission = "approve"        // approve or reject requests
	PermViewCode      Permission = "view_code"      // read link and code on screen
	PermCancel        Permission = "cancel"         // cancel documents
	PermDisable       Permission = "disable"        // disable and enable documents
	PermDocumentsRead Permission = "documents_read" // see documents
	PermPeopleRead    Permission = "people_read"    // see people
	PermPeopleWrite   Permission = "people_write"   // create, change, import people
	PermProfilesRead  Permission = "profiles_read"  // see profiles and formats
	PermProfilesWrite Permission = "profiles_write" // create and change profiles
	PermSettings      Permission = "settings"       // read and change settings
	PermRoles         Permission = "roles"          // accounts, roles, API keys
	PermKeys          Permission = "keys"           // signers and certificates
	PermAudit         Permission = "audit"          // read and verify the audit
	PermReports       Permission = "reports"        // reports
)

// Permissions lists every permission.
func Permissions() []Permission {
	return []Permission{PermRequest, PermRequestSelf, PermApprove, PermViewCode, PermCancel, PermDisable, PermDocumentsRead, PermPeopleRead,
		PermPeopleWrite, PermProfilesRead, PermProfilesWrite, PermSettings, PermRoles, PermKeys, PermAudit, PermReports}
}

// Valid says whether p is one of the permissions.
func (p Permission) Valid() bool { return slices.Contains(Permissions(), p) }

// Scope says whom a permission reaches (I2).
type Scope string

// The scopes, from narrow to wide.
const (
	ScopeNone Scope = "none"
	ScopeSelf Scope = "self" // the account's own person
	ScopeAll  Scope = "all"
)

var scopeWidth = map[Scope]int{ScopeNone: 0, ScopeSelf: 1, ScopeAll: 2}

// Valid says whether s is one of the scopes.
func (s Scope) Valid() bool { _, ok := scopeWidth[s]; return ok }

// Wider gives the wider of two scopes.
func (s Scope) Wider(t Scope) Scope {
	if scopeWidth[t] > scopeWidth[s] {
		return t
	}
	return s
}

// Caller is whoever asks for an act: an account with what it may do, and where.
type Caller struct {
	AccountID string
	PersonID  string // the account's own person, if any
	Machine   bool   // signed in with an API key
	Grants    map[Permission]Scope
}

// System is the caller of acts that time or the engine brings about.
func System() Caller { return Caller{AccountID: "system"} }

// Has says whether the caller has the permission in any scope.
func (c Caller) Has(p Permission) bool { return c.Grants[p] != "" && c.Grants[p] != ScopeNone }

// Reaches says whether the caller has the permission for things of the person.
func (c Caller) Reaches(p Permission, personID string) bool {
	switch c.Grants[p] {
	case ScopeAll:
		return true
	case ScopeSelf:
		return personID != "" && personID == c.PersonID
	case ScopeNone:
	}
	return false
}

// Need refuses a caller without the permission.
func (c Caller) Need(p Permission) error {
	if c.Has(p) {
		return nil
	}
	return Errorf(CodeForbidden, "the permission %s is missing", p).With("permission", string(p))
}

// NeedFor refuses a caller without the permission; for things out of scope it answers as if they did not exist.
func (c Caller) NeedFor(p Permission, personID string) error {
	if err := c.Need(p); err != nil {
		return err
	}
	if !c.Reaches(p, personID) {
		return Errorf(CodeNotFound, "not found")
	}
	return nil
}

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

// Assignment gives an account a role in a scope.
type Assignment struct {
	RoleID string
	Scope  Scope
}
