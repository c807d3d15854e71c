package issuer

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/access"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/store"
)

// NewAccount is an account to be made (I3). An empty password makes an account that only uses API keys.
type NewAccount struct {
	Name     string `json:"name"`
	Email    string `json:"email,omitempty"`
	PersonID string `json:"person_id,omitempty"`
	Password string `json:"password,omitempty"`
}

var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{1,99}$`)

// CreateAccount adds an account without any role.
func (is *Issuer) CreateAccount(ctx context.Context, caller domain.Caller, key string, in NewAccount) (domain.Account, error) {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return domain.Account{}, err
	}
	id, replayed, err := is.replay(ctx, caller, "account.create", key, in)
	if err != nil {
		return domain.Account{}, err
	}
	if !replayed {
		a, passwordHash, err := is.prepareAccount(ctx, in)
		if err != nil {
			return domain.Account{}, err
		}
		id, _, err = is.create(ctx, caller, "account.create", key, in, a.ID, func(tx *store.Tx) error {
			return is.insertAccount(ctx, tx, caller, a, passwordHash)
		})
		if err != nil {
			return domain.Account{}, err
		}
	}
	a, err := is.Store.Account(ctx, id)
	return a, found(err, "account")
}

func (is *Issuer) prepareAccount(ctx context.Context, in NewAccount) (domain.Account, string, error) {
	var problems domain.Problems
	if !accountName.MatchString(in.Name) {
		problems.Add("name", "must be 2 to 100 of a-z, 0-9, dot, dash, underscore, @, starting with a letter or digit")
	}
	if id, ok := strings.CutPrefix(in.Name, holderPrefix); ok && uuid.Validate(id) == nil {
		problems.Add("name", "must not be %s and an id: such accounts are made for holders who sign in with a logon code", holderPrefix)
	}
	if in.Email != "" && notify.ValidEmail(in.Email) != nil {
		problems.Add("email", "is not an e-mail address")
	}
	if in.PersonID != "" {
		if p, err := is.Store.Person(ctx, in.PersonID); errors.Is(err, store.ErrNotFound) || err == nil && p.Erased() {
			problems.Add("person_id", "names nobody")
		} else if err != nil {
			return domain.Account{}, "", fmt.Errorf("load person: %w", err)
		}
	}
	if err := problems.Err(domain.CodeInvalid, "the account breaks a rule"); err != nil {
		return domain.Account{}, "", err
	}
	passwordHash := ""
	if in.Password != "" {
		var err error
		if passwordHash, err = access.HashPassword(in.Password); err != nil {
			return domain.Account{}, "", err
		}
	}
	return domain.Account{ID: newID(), Name: in.Name, Email: in.Email, PersonID: in.PersonID}, passwordHash, nil
}

func (is *Issuer) insertAccount(ctx context.Context, tx *store.Tx, caller domain.Caller, a domain.Account, passwordHash string) error {
	err := tx.InsertAccount(ctx, a, passwordHash)
	if errors.Is(err, store.ErrExists) {
		return domain.Errorf(domain.CodeConflict, "another account has this name")
	}
	if err != nil {
		return fmt.Errorf("insert account: %w", err)
	}
	return tx.AppendAudit(ctx, is.entry(caller, "account.create", a.ID))
}

// Bootstrap makes the first administrator with every permission, if there is no account yet; made is false when there is. Several processes
// may call it at once.
func (is *Issuer) Bootstrap(ctx context.Context, name, password string) (made bool, err error) {
	has, err := is.Store.HasAccounts(ctx)
	if err != nil {
		return false, fmt.Errorf("look for accounts: %w", err)
	}
	if has {
		return false, nil
	}
	a, passwordHash, err := is.prepareAccount(ctx, NewAccount{Name: name, Password: password})
	if err != nil {
		return false, err
	}
	role := domain.Role{ID: newID(), Name: "administrator", Permissions: domain.Permissions()}
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		made = false
		if err := tx.HoldAudit(ctx); err != nil {
			return fmt.Errorf("wait for other processes: %w", err)
		}
		if has, err := tx.HasAccounts(ctx); err != nil || has {
			return err
		}
		made = true
		if err := is.insertAccount(ctx, tx, domain.System(), a, passwordHash); err != nil {
			return err
		}
		if err := tx.InsertRole(ctx, role); err != nil {
			return fmt.Errorf("insert role: %w", err)
		}
		if err := tx.SetAssignments(ctx, a.ID, []domain.Assignment{{RoleID: role.ID, Scope: domain.ScopeAll}}); err != nil {
			return fmt.Errorf("assign role: %w", err)
		}
		return tx.AppendAudit(ctx, is.entry(domain.System(), "account.assign", a.ID))
	})
	return made && err == nil, err
}

// Accounts lists accounts, newest first.
func (is *Issuer) Accounts(ctx context.Context, caller domain.Caller, after string, limit int) ([]domain.Account, error) {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return nil, err
	}
	pg, err := page(after, limit)
	if err != nil {
		return nil, err
	}
	out, err := is.Store.Accounts(ctx, pg)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return out, nil
}

// Account reads one account with its roles.
func (is *Issuer) Account(ctx context.Context, caller domain.Caller, id string) (domain.Account, []domain.Assignment, error) {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return domain.Account{}, nil, err
	}
	a, err := is.Store.Account(ctx, id)
	if err != nil {
		return a, nil, found(err, "account")
	}
	as, err := is.Store.Assignments(ctx, id)
	if err != nil {
		return a, nil, fmt.Errorf("load roles: %w", err)
	}
	return a, as, nil
}

// AccountChange is what may change of an account; nil stays.
type AccountChange struct {
	Email    *string
	Password *string
	Disabled *bool
}

// ChangeAccount changes an account. Sessions of an account that was disabled or got a new password end; the API sees to that.
func (is *Issuer) ChangeAccount(ctx context.Context, caller domain.Caller, id string, c AccountChange) (domain.Account, error) {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return domain.Account{}, err
	}
	if c.Disabled != nil && *c.Disabled && id == caller.AccountID {
		return domain.Account{}, invalid("disabled", "cannot be set on your own account")
	}
	if c.Email != nil && *c.Email != "" && notify.ValidEmail(*c.Email) != nil {
		return domain.Account{}, invalid("email", "is not an e-mail address")
	}
	passwordHash := ""
	if c.Password != nil {
		var err error
		if passwordHash, err = access.HashPassword(*c.Password); err != nil {
			return domain.Account{}, err
		}
	}
	var a domain.Account
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		var err error
		if err = holdAccount(ctx, tx, id); err != nil {
			return err
		}
		if a, err = tx.Account(ctx, id); err != nil {
			return found(err, "account")
		}
		e := is.entry(caller, "account.change", id)
		e.Changes = map[string]domain.Change{}
		if c.Email != nil {
			a.Email = *c.Email
		}
		if c.Disabled != nil {
			e.Changes["disabled"] = domain.Change{Before: fmt.Sprint(a.Disabled), After: fmt.Sprint(*c.Disabled)}
			a.Disabled = *c.Disabled
		}
		if err := tx.SetAccount(ctx, a, passwordHash); err != nil {
			return fmt.Errorf("change account: %w", err)
		}
		return tx.AppendAudit(ctx, e)
	})
	return a, err
}

// AssignRoles replaces the roles of an account.
func (is *Issuer) AssignRoles(ctx context.Context, caller domain.Caller, id string, as []domain.Assignment) error {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return err
	}
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := holdAccount(ctx, tx, id); err != nil {
			return err
		}
		var problems domain.Problems
		seen := map[string]bool{}
		e := is.entry(caller, "account.assign", id)
		e.Changes = map[string]domain.Change{}
		for _, a := range as {
			switch _, err := tx.Role(ctx, a.RoleID); {
			case errors.Is(err, store.ErrNotFound):
				problems.Add("role_id", "names no role")
			case err != nil:
				return fmt.Errorf("load role: %w", err)
			case seen[a.RoleID]:
				problems.Add("role_id", "is there twice")
			}
			if !a.Scope.Valid() {
				problems.Add("scope", "must be none, self, department, division or all")
			}
			seen[a.RoleID] = true
			e.Changes[a.RoleID] = domain.Change{After: string(a.Scope)}
		}
		if err := problems.Err(domain.CodeInvalid, "the roles break a rule"); err != nil {
			return err
		}
		if err := tx.SetAssignments(ctx, id, as); err != nil {
			return fmt.Errorf("assign roles: %w", err)
		}
		return tx.AppendAudit(ctx, e)
	})
}

// holdAccount serialises changes of one account: each reads what the one before has written.
func holdAccount(ctx context.Context, tx *store.Tx, id string) error {
	err := tx.HoldAccount(ctx, id)
	if errors.Is(err, store.ErrChanged) {
		err = store.ErrNotFound
	}
	return found(err, "account")
}

// SaveRole is what a caller says of a role.
type SaveRole struct {
	Name        string              `json:"name"`
	Permissions []domain.Permission `json:"permissions"`
}

// CreateRole adds a role (I1).
func (is *Issuer) CreateRole(ctx context.Context, caller domain.Caller, key string, in SaveRole) (domain.Role, error) {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return domain.Role{}, err
	}
	if err := checkRole(in); err != nil {
		return domain.Role{}, err
	}
	r := domain.Role{ID: newID(), Name: in.Name, Permissions: in.Permissions}
	id, _, err := is.create(ctx, caller, "role.create", key, in, r.ID, func(tx *store.Tx) error {
		err := tx.InsertRole(ctx, r)
		if errors.Is(err, store.ErrExists) {
			return domain.Errorf(domain.CodeConflict, "another role has this name")
		}
		if err != nil {
			return fmt.Errorf("insert role: %w", err)
		}
		return tx.AppendAudit(ctx, is.roleEntry(caller, "role.create", r))
	})
	if err != nil {
		return domain.Role{}, err
	}
	out, err := is.Store.Role(ctx, id)
	return out, found(err, "role")
}

// ChangeRole replaces a role's name and permissions. version is that of the role the caller read; CodeConflict when it was changed since.
func (is *Issuer) ChangeRole(ctx context.Context, caller domain.Caller, id, version string, in SaveRole) (domain.Role, error) {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return domain.Role{}, err
	}
	if err := checkRole(in); err != nil {
		return domain.Role{}, err
	}
	r := domain.Role{ID: id, Name: in.Name, Permissions: in.Permissions}
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.HoldAudit(ctx); err != nil { // one change at a time: each reads what the one before has written
			return fmt.Errorf("wait for other changes: %w", err)
		}
		old, err := tx.Role(ctx, id)
		if err != nil {
			return found(err, "role")
		}
		if old.Version() != version {
			return domain.Errorf(domain.CodeConflict, "the role was changed meanwhile; read it again").With("version", old.Version())
		}
		err = tx.UpdateRole(ctx, r)
		if errors.Is(err, store.ErrExists) {
			return domain.Errorf(domain.CodeConflict, "another role has this name")
		}
		if err != nil {
			return fmt.Errorf("change role: %w", err)
		}
		return tx.AppendAudit(ctx, is.roleEntry(caller, "role.change", r))
	})
	if err != nil {
		return domain.Role{}, err
	}
	return r, nil
}

func (is *Issuer) roleEntry(caller domain.Caller, action string, r domain.Role) domain.AuditEntry {
	e := is.entry(caller, action, r.ID)
	e.Changes = map[string]domain.Change{}
	for _, p := range r.Permissions {
		e.Changes[string(p)] = domain.Change{After: "granted"}
	}
	return e
}

func checkRole(in SaveRole) error {
	var problems domain.Problems
	if !accountName.MatchString(in.Name) {
		problems.Add("name", "must be 2 to 100 of a-z, 0-9, dot, dash, underscore, @, starting with a letter or digit")
	}
	for _, p := range in.Permissions {
		if !p.Valid() {
			problems.Add("permissions", "hold one that does not exist")
			break
		}
	}
	return problems.Err(domain.CodeInvalid, "the role breaks a rule")
}

// Roles lists every role.
func (is *Issuer) Roles(ctx context.Context, caller domain.Caller) ([]domain.Role, error) {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return nil, err
	}
	out, err := is.Store.Roles(ctx)
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	return out, nil
}

// CreateAPIKey makes a key for an account and gives its secret, which is shown this once.
func (is *Issuer) CreateAPIKey(ctx context.Context, caller domain.Caller, accountID, label string, expires time.Time) (store.APIKey, string, error) {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return store.APIKey{}, "", err
	}
	var problems domain.Problems
	checkNote(&problems, "label", label, 100)
	if label == "" {
		problems.Add("label", "is required")
	}
	if err := problems.Err(domain.CodeInvalid, "the API key breaks a rule"); err != nil {
		return store.APIKey{}, "", err
	}
	if !expires.IsZero() && !expires.After(is.Now()) {
		return store.APIKey{}, "", invalid("expires_at", "must be in the future")
	}
	k := store.APIKey{ID: newID(), AccountID: accountID, Label: label, ExpiresAt: expires, CreatedAt: is.Now()}
	secret, secretHash, err := access.NewAPIKey(k.ID)
	if err != nil {
		return k, "", err
	}
	k.SecretHash = secretHash
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Account(ctx, accountID); err != nil {
			return found(err, "account")
		}
		if err := tx.InsertAPIKey(ctx, k); err != nil {
			return fmt.Errorf("insert API key: %w", err)
		}
		return tx.AppendAudit(ctx, is.entry(caller, "api_key.create", k.ID))
	})
	return k, secret, err
}

// APIKeys lists an account's keys without their secrets.
func (is *Issuer) APIKeys(ctx context.Context, caller domain.Caller, accountID string) ([]store.APIKey, error) {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return nil, err
	}
	if _, err := is.Store.Account(ctx, accountID); err != nil {
		return nil, found(err, "account")
	}
	out, err := is.Store.APIKeys(ctx, accountID)
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return out, nil
}

// RevokeAPIKey ends a key for good.
func (is *Issuer) RevokeAPIKey(ctx context.Context, caller domain.Caller, accountID, id string) error {
	if err := needAll(caller, domain.PermRoles); err != nil {
		return err
	}
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		err := tx.RevokeAPIKey(ctx, accountID, id)
		if errors.Is(err, store.ErrChanged) {
			return domain.NotFound("API key")
		}
		if err != nil {
			return fmt.Errorf("revoke API key: %w", err)
		}
		return tx.AppendAudit(ctx, is.entry(caller, "api_key.revoke", id))
	})
}
