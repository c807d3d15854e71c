package store

import (
	"context"
	"slices"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

// Login is what signing in needs to know of an account.
type Login struct {
	Account      domain.Account
	Barred       bool // disabled, or of a person who is not active
	PasswordHash string
	Failures     int
	LockedUntil  time.Time
}

type accountRow struct {
	ID           string     `db:"id"`
	Name         string     `db:"name"`
	PersonID     OptionalID `db:"person_id"`
	Email        string     `db:"email"`
	PasswordHash string     `db:"password_hash"`
	Disabled     bool       `db:"disabled"`
	Failures     int        `db:"failures"`
	LockedUntil  Time       `db:"locked_until"`
	CreatedAt    Time       `db:"created_at"`
}

const accountColumns = `id, name, person_id, email, password_hash, disabled, failures, locked_until, created_at`

func (r accountRow) account() domain.Account {
	return domain.Account{ID: r.ID, Name: r.Name, PersonID: string(r.PersonID), Email: r.Email, Disabled: r.Disabled}
}

func (r accountRow) login() Login {
	return Login{Account: r.account(), PasswordHash: r.PasswordHash, Failures: r.Failures, LockedUntil: r.LockedUntil.Time}
}

// mayEnter is true of an account a that gets in: it is enabled and, where it is a person's, the person is active. Whoever is deactivated or erased
// is out at once, with every account and key.
const mayEnter = `(NOT a.disabled AND (a.person_id IS NULL OR EXISTS (SELECT 1 FROM persons p WHERE p.id = a.person_id AND p.status = 'active'
	AND p.erased_at IS NULL)))`

// InsertAccount adds an account; a second one of that name is ErrExists. An empty hash means that it has no password.
func (q Queries) InsertAccount(ctx context.Context, a domain.Account, passwordHash string) error {
	return q.insert(ctx, "accounts", accountColumns, accountRow{
		ID: a.ID, Name: a.Name, PersonID: OptionalID(a.PersonID), Email: a.Email,
		PasswordHash: passwordHash, Disabled: a.Disabled, CreatedAt: At(q.now()),
	})
}

// HoldAccount keeps everybody else from changing the account or its roles until the transaction ends; ErrChanged when there is none.
func (t *Tx) HoldAccount(ctx context.Context, id string) error {
	return t.change(ctx, `UPDATE accounts SET name = name WHERE id = $1`, id)
}

// SetAccount changes what may change of an account: e-mail, disabled; and, when the hash is not empty, the password, which also unlocks it.
func (q Queries) SetAccount(ctx context.Context, a domain.Account, passwordHash string) error {
	return q.change(ctx, `UPDATE accounts SET email = $1, disabled = $2,
		password_hash = CASE WHEN $3 = '' THEN password_hash ELSE $3 END,
		failures = CASE WHEN $3 = '' THEN failures ELSE 0 END,
		locked_until = CASE WHEN $3 = '' THEN locked_until ELSE NULL END WHERE id = $4`, a.Email, a.Disabled, passwordHash, a.ID)
}

// AccountByName reads what signing in needs.
func (q Queries) AccountByName(ctx context.Context, name string) (Login, error) {
	var r struct {
		accountRow
		Barred bool `db:"barred"`
	}
	err := q.get(ctx, &r, `SELECT `+accountColumns+`, NOT `+mayEnter+` AS barred FROM accounts a WHERE name = $1`, name)
	login := r.login()
	login.Barred = r.Barred
	return login, err
}

// Account reads one account.
func (q Queries) Account(ctx context.Context, id string) (domain.Account, error) {
	var r accountRow
	err := q.get(ctx, &r, `SELECT `+accountColumns+` FROM accounts WHERE id = $1`, id)
	return r.account(), err
}

// Accounts lists accounts, newest first.
func (q Queries) Accounts(ctx context.Context, page Page) ([]domain.Account, error) {
	var f filter
	tail := page.newestFirst(&f)
	return listAs(ctx, q, accountRow.account, `SELECT `+accountColumns+` FROM accounts`+tail, f.args...)
}

// HasAccounts says whether anybody can sign in yet.
func (q Queries) HasAccounts(ctx context.Context) (bool, error) {
	var yes bool
	err := q.get(ctx, &yes, `SELECT EXISTS (SELECT 1 FROM accounts)`)
	return yes, err
}

// CountSignInFailure adds a failed sign-in and gives how many there were in a row.
func (q Queries) CountSignInFailure(ctx context.Context, accountID string) (int, error) {
	var n int
	err := q.get(ctx, &n, `UPDATE accounts SET failures = failures + 1 WHERE id = $1 RETURNING failures`, accountID)
	return n, err
}

// LockSignIn locks an account until the instant; the count of failures starts anew.
func (q Queries) LockSignIn(ctx context.Context, accountID string, until time.Time) error {
	return q.change(ctx, `UPDATE accounts SET failures = 0, locked_until = $1 WHERE id = $2`, At(until), accountID)
}

// AcceptSignIn forgets the failures of an account that is not locked and not barred now; else ErrChanged. A right password counts only if
// this succeeds, so of any number of passwords tried at once those after the lock are worth nothing.
func (q Queries) AcceptSignIn(ctx context.Context, accountID string, now time.Time) error {
	return q.change(ctx, `UPDATE accounts AS a SET failures = 0 WHERE id = $1 AND `+mayEnter+` AND (locked_until IS NULL OR locked_until <= $2)`,
		accountID, At(now))
}

// APIKey is one secret of an account.
type APIKey struct {
	ID         string
	AccountID  string
	Label      string
	SecretHash string
	ExpiresAt  time.Time
	Revoked    bool
	CreatedAt  time.Time
}

type apiKeyRow struct {
	ID         string `db:"id"`
	AccountID  string `db:"account_id"`
	Label      string `db:"label"`
	SecretHash string `db:"secret_hash"`
	ExpiresAt  Time   `db:"expires_at"`
	Revoked    bool   `db:"revoked"`
	CreatedAt  Time   `db:"created_at"`
}

const apiKeyColumns = `id, account_id, label, secret_hash, expires_at, revoked, created_at`

func (r apiKeyRow) key() APIKey {
	return APIKey{ID: r.ID, AccountID: r.AccountID, Label: r.Label, SecretHash: r.SecretHash, ExpiresAt: r.ExpiresAt.Time,
		Revoked: r.Revoked, CreatedAt: r.CreatedAt.Time}
}

// InsertAPIKey adds a key.
func (q Queries) InsertAPIKey(ctx context.Context, k APIKey) error {
	return q.insert(ctx, "api_keys", apiKeyColumns, apiKeyRow{ID: k.ID, AccountID: k.AccountID, Label: k.Label, SecretHash: k.SecretHash,
		ExpiresAt: At(k.ExpiresAt), Revoked: k.Revoked, CreatedAt: At(k.CreatedAt)})
}

// APIKey reads one key.
func (q Queries) APIKey(ctx context.Context, id string) (APIKey, error) {
	var r apiKeyRow
	err := q.get(ctx, &r, `SELECT `+apiKeyColumns+` FROM api_keys WHERE id = $1`, id)
	return r.key(), err
}

// APIKeys lists an account's keys, newest first.
func (q Queries) APIKeys(ctx context.Context, accountID string) ([]APIKey, error) {
	return listAs(ctx, q, apiKeyRow.key, `SELECT `+apiKeyColumns+` FROM api_keys WHERE account_id = $1 ORDER BY id DESC`, accountID)
}

// RevokeAPIKey ends a key for good.
func (q Queries) RevokeAPIKey(ctx context.Context, accountID, id string) error {
	return q.change(ctx, `UPDATE api_keys SET revoked = TRUE WHERE id = $1 AND account_id = $2`, id, accountID)
}

type roleRow struct {
	ID          string                    `db:"id"`
	Name        string                    `db:"name"`
	Permissions JSON[[]domain.Permission] `db:"permissions"`
}

func (r roleRow) role() domain.Role {
	return domain.Role{ID: r.ID, Name: r.Name, Permissions: r.Permissions.V}
}

// InsertRole adds a role; a second one of that name is ErrExists.
func (q Queries) InsertRole(ctx context.Context, r domain.Role) error {
	return q.insert(ctx, "roles", "id, name, permissions", roleRow{r.ID, r.Name, JSON[[]domain.Permission]{r.Permissions}})
}

// UpdateRole replaces a role's name and permissions.
func (q Queries) UpdateRole(ctx context.Context, r domain.Role) error {
	return q.change(ctx, `UPDATE roles SET name = $1, permissions = $2 WHERE id = $3`, r.Name, JSON[[]domain.Permission]{r.Permissions}, r.ID)
}

// Role reads one role.
func (q Queries) Role(ctx context.Context, id string) (domain.Role, error) {
	var r roleRow
	err := q.get(ctx, &r, `SELECT id, name, permissions FROM roles WHERE id = $1`, id)
	return r.role(), err
}

// Roles lists every role by name.
func (q Queries) Roles(ctx context.Context) ([]domain.Role, error) {
	return listAs(ctx, q, roleRow.role, `SELECT id, name, permissions FROM roles ORDER BY name`)
}

// SetAssignments replaces the roles of an account.
func (q Queries) SetAssignments(ctx context.Context, accountID string, as []domain.Assignment) error {
	if _, err := q.exec(ctx, `DELETE FROM role_assignments WHERE account_id = $1`, accountID); err != nil {
		return err
	}
	for _, a := range as {
		_, err := q.exec(ctx, `INSERT INTO role_assignments (account_id, role_id, scope) VALUES ($1, $2, $3)`,
			accountID, a.RoleID, string(a.Scope))
		if err != nil {
			return err
		}
	}
	return nil
}

// Assignments lists the roles of an account.
func (q Queries) Assignments(ctx context.Context, accountID string) ([]domain.Assignment, error) {
	var rows []struct {
		RoleID string `db:"role_id"`
		Scope  string `db:"scope"`
	}
	err := q.list(ctx, &rows, `SELECT role_id, scope FROM role_assignments WHERE account_id = $1 ORDER BY role_id`, accountID)
	out := make([]domain.Assignment, len(rows))
	for i, r := range rows {
		out[i] = domain.Assignment{RoleID: r.RoleID, Scope: domain.Scope(r.Scope)}
	}
	return out, err
}

// Caller reads who an account is and what it may do, and how far. ErrNotFound when there is none, it is disabled, or its person is not active.
func (q Queries) Caller(ctx context.Context, accountID string) (domain.Caller, error) {
	var account struct {
		PersonID OptionalID `db:"person_id"`
		GroupID  OptionalID `db:"group_id"`
	}
	err := q.get(ctx, &account, `SELECT a.person_id, p.group_id FROM accounts a LEFT JOIN persons p ON p.id = a.person_id
		WHERE a.id = $1 AND `+mayEnter, accountID)
	if err != nil {
		return domain.Caller{}, err
	}
	var rows []struct {
		RoleID      string                    `db:"role_id"`
		Scope       string                    `db:"scope"`
		Permissions JSON[[]domain.Permission] `db:"permissions"`
	}
	err = q.list(ctx, &rows, `SELECT a.role_id, a.scope, r.permissions FROM role_assignments a JOIN roles r ON r.id = a.role_id
		WHERE a.account_id = $1 ORDER BY a.role_id`, accountID)
	c := domain.Caller{AccountID: accountID, PersonID: string(account.PersonID), GroupID: string(account.GroupID),
		Grants: map[domain.Permission]domain.Scope{}}
	for _, r := range rows {
		c.Roles = append(c.Roles, r.RoleID)
		for _, p := range r.Permissions.V {
			c.Grants[p] = domain.Scope(r.Scope).Wider(c.Grants[p])
		}
	}
	return c, err
}

// RolesOfPeople gives the ids of the roles that enabled accounts of the people have, by person.
func (q Queries) RolesOfPeople(ctx context.Context, personIDs ...string) (map[string][]string, error) {
	out := make(map[string][]string, len(personIDs))
	if len(personIDs) == 0 {
		return out, nil
	}
	var f filter
	f.oneOf("a.person_id", personIDs)
	f.add("NOT a.disabled")
	var rows []struct {
		PersonID string `db:"person_id"`
		RoleID   string `db:"role_id"`
	}
	err := q.list(ctx, &rows, `SELECT DISTINCT a.person_id, x.role_id FROM role_assignments x JOIN accounts a ON a.id = x.account_id`+
		f.where()+` ORDER BY x.role_id`, f.args...)
	for _, r := range rows {
		out[r.PersonID] = append(out[r.PersonID], r.RoleID)
	}
	return out, err
}

// AccountsOfPerson lists the accounts of a person.
func (q Queries) AccountsOfPerson(ctx context.Context, personID string) ([]domain.Account, error) {
	return listAs(ctx, q, accountRow.account, `SELECT `+accountColumns+` FROM accounts WHERE person_id = $1 ORDER BY id`, personID)
}

// RetireAccount makes an account useless and nameless: disabled, without e-mail address, password and keys, under a name that says nothing.
func (q Queries) RetireAccount(ctx context.Context, id, name string) error {
	if _, err := q.exec(ctx, `UPDATE api_keys SET revoked = TRUE, label = '' WHERE account_id = $1`, id); err != nil {
		return err
	}
	return q.change(ctx, `UPDATE accounts SET name = $1, email = '', password_hash = '', disabled = TRUE WHERE id = $2`, name, id)
}

// Approver is an account that holds the permission approve beyond its own person.
type Approver struct {
	Account   domain.Account
	Roles     []string     // ids of all its roles
	Scope     domain.Scope // of the permission approve: department, division or all
	GroupPath string       // of its own person's group; empty = none
}

// Approvers lists the accounts that get in and hold the permission approve beyond their own person.
func (q Queries) Approvers(ctx context.Context) ([]Approver, error) {
	var rows []struct {
		accountRow
		GroupPath   OptionalID                `db:"group_path"`
		RoleID      string                    `db:"role_id"`
		Scope       string                    `db:"scope"`
		Permissions JSON[[]domain.Permission] `db:"permissions"`
	}
	const beyond = `y.scope NOT IN ('none', 'self')` // spares the many who may do something for themselves only
	err := q.list(ctx, &rows, `SELECT a.id, a.name, a.person_id, a.email, g.path AS group_path, x.role_id, x.scope, r.permissions FROM accounts a
		JOIN role_assignments x ON x.account_id = a.id JOIN roles r ON r.id = x.role_id
		LEFT JOIN persons h ON h.id = a.person_id LEFT JOIN groups g ON g.id = h.group_id
		WHERE `+mayEnter+` AND EXISTS (SELECT 1 FROM role_assignments y WHERE y.account_id = a.id AND `+beyond+`) ORDER BY a.id, x.role_id`)
	if err != nil {
		return nil, err
	}
	var all []Approver
	for _, r := range rows {
		if len(all) == 0 || all[len(all)-1].Account.ID != r.ID {
			all = append(all, Approver{Account: r.account(), Scope: domain.ScopeNone, GroupPath: string(r.GroupPath)})
		}
		a := &all[len(all)-1]
		a.Roles = append(a.Roles, r.RoleID)
		if slices.Contains(r.Permissions.V, domain.PermApprove) {
			a.Scope = a.Scope.Wider(domain.Scope(r.Scope))
		}
	}
	return slices.DeleteFunc(all, func(a Approver) bool { return a.Scope == domain.ScopeNone || a.Scope == domain.ScopeSelf }), nil
}
