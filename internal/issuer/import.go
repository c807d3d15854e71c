package issuer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// ImportFormat is the form of a file of people.
type ImportFormat string

// The formats of an import.
const (
	ImportCSV    ImportFormat = "csv"    // RFC 4180; the first line names the columns
	ImportJSON   ImportFormat = "json"   // a list of objects
	ImportNDJSON ImportFormat = "ndjson" // one object on each line
)

// ImportOptions say how to read an import.
type ImportOptions struct {
	Format       ImportFormat
	CreateGroups bool // makes groups that are not there; needs the permission groups in scope all
}

// ImportRow is the outcome of one row of an import.
type ImportRow struct {
	Line       int                 `json:"line"` // of the file, where the row starts; the first line is 1
	ExternalID string              `json:"external_id,omitempty"`
	PersonID   string              `json:"person_id,omitempty"`
	Result     string              `json:"result"` // created, updated or refused
	Code       domain.Code         `json:"code,omitempty"`
	Problems   []domain.FieldError `json:"problems,omitempty"`
}

// The results of a row.
const (
	importCreated = "created"
	importUpdated = "updated"
	importRefused = "refused"
)

// ImportPeople reads a file in UTF-8 row by row and adds or, by external id, changes one person for each; report is called for every row in
// order. Good rows go in; bad rows are reported and change nothing. Fields that a row leaves empty are emptied; the status and images it
// leaves out stay: a file about names does not let anybody in again. Rows are stored some at a time, and memory does not grow with the
// file.
//
// An error means that the beginning of the file is bad, or that reading stopped; rows reported before stay.
func (is *Issuer) ImportPeople(ctx context.Context, caller domain.Caller, file io.Reader, o ImportOptions,
	report func(ImportRow) error) error {
	if err := mayImport(caller, o); err != nil {
		return err
	}
	rows, err := openImport(file, o.Format)
	if err != nil {
		return err
	}
	im := importer{is: is, caller: caller, o: o, report: report}
	for {
		row, err := rows.next()
		if err != nil {
			stored := im.flush(ctx) // what came whole goes in
			if errors.Is(err, io.EOF) || stored != nil {
				return stored
			}
			return err
		}
		if im.full(row) {
			if err := im.flush(ctx); err != nil {
				return err
			}
		}
		im.rows = append(im.rows, row)
		im.size += row.size
	}
}

// mayImport refuses who can import nobody at all; whom they reach is looked at row by row.
func mayImport(caller domain.Caller, o ImportOptions) error {
	if err := caller.Need(domain.PermPeopleWrite); err != nil {
		return err
	}
	if w := caller.Within(domain.PermPeopleWrite); !w.All && w.GroupID == "" {
		return domain.Errorf(domain.CodeForbidden, "the permission %s reaches no group", domain.PermPeopleWrite).
			With("permission", string(domain.PermPeopleWrite))
	}
	if o.CreateGroups {
		return needAll(caller, domain.PermGroups)
	}
	return nil
}

// importRow is one row on its way.
type importRow struct {
	line     int
	size     int // bytes it takes in memory
	person   domain.Person
	portrait *domain.Image
	status   bool // the row says a status

	result string
	err    error // why it is refused
}

// importer stores rows, some in each transaction: a transaction for each would wait for the disk at each.
type importer struct {
	is     *Issuer
	caller domain.Caller
	o      ImportOptions
	report func(ImportRow) error

	rows []*importRow
	size int
}

const (
	chunkRows  = 100
	chunkBytes = 4 << 20
)

// full says whether the rows are to be stored before the next one comes to them. Two rows of one person are never stored together: the
// second changes what the first makes.
func (im *importer) full(next *importRow) bool {
	if len(im.rows) >= chunkRows || im.size >= chunkBytes {
		return true
	}
	id := next.person.ExternalID
	return id != "" && slices.ContainsFunc(im.rows, func(r *importRow) bool { return r.person.ExternalID == id })
}

// flush stores the rows and reports them. If they cannot be stored together, each is stored by itself.
func (im *importer) flush(ctx context.Context) error {
	rows := im.rows
	im.rows, im.size = nil, 0
	im.prepare(rows)
	good := slices.DeleteFunc(slices.Clone(rows), func(r *importRow) bool { return r.err != nil })
	if len(good) > 1 && im.store(ctx, good) == nil {
		good = nil
	}
	for _, row := range good {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		im.storeAlone(ctx, row)
	}
	for _, row := range rows {
		if err := im.report(im.outcome(ctx, row)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// prepare checks the rows, side by side: pictures take time. Ids are given in the order of the file.
func (im *importer) prepare(rows []*importRow) {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, row := range rows {
		if row.err != nil {
			continue
		}
		g.Go(func() error {
			row.status = row.person.Status != ""
			row.person, row.err = im.is.preparePerson(row.person)
			if row.portrait != nil {
				row.checkPortrait()
			}
			return nil
		})
	}
	_ = g.Wait() // what is wrong with a row is in the row
	for _, row := range rows {
		row.person.ID = newID()
	}
}

// checkPortrait adds what is wrong with the picture to what is wrong with the row.
func (row *importRow) checkPortrait() {
	mediaType, err := checkImage(domain.ImagePortrait, row.portrait.Bytes)
	row.portrait.MediaType = mediaType
	bad, ok := asDomain(row.err)
	if picture, isPicture := asDomain(err); ok && isPicture {
		bad.Fields = append(bad.Fields, picture.Fields...)
		return
	}
	if row.err == nil {
		row.err = err
	}
}

// storeAlone stores one row in its own transaction, again when it met another change of the person or their documents.
func (im *importer) storeAlone(ctx context.Context, row *importRow) {
	const tries = 5
	for range tries {
		err := im.store(ctx, []*importRow{row})
		if err == nil {
			return
		}
		row.err = im.is.personRefused(ctx, row.person, err)
		if !errors.Is(err, store.ErrChanged) {
			return
		}
	}
}

// store adds or changes the people of the rows in one transaction. Rows that the rules refuse are marked; an error means that nothing was
// stored, and it is some row's if it is one of the store's.
func (im *importer) store(ctx context.Context, rows []*importRow) error {
	refused := make([]error, len(rows))
	err := im.is.Store.Tx(ctx, func(tx *store.Tx) error {
		clear(refused)
		return im.storeIn(ctx, tx, rows, refused)
	})
	if err != nil {
		return err
	}
	for i, row := range rows {
		row.err = refused[i]
	}
	return nil
}

func (im *importer) storeIn(ctx context.Context, tx *store.Tx, rows []*importRow, refused []error) error {
	r, err := reachOf(ctx, tx.Queries, im.caller.Within(domain.PermPeopleWrite))
	if err != nil {
		return err
	}
	groups, entries, err := im.groups(ctx, tx, rows)
	if err != nil {
		return err
	}
	known, err := tx.PeopleByExternalID(ctx, externalIDs(rows)...)
	if err != nil {
		return fmt.Errorf("look for people: %w", err)
	}
	var fresh []domain.Person
	var portraits []domain.Image
	for i, row := range rows {
		if old, is := known[row.person.ExternalID]; is {
			old, next, err := im.changeTo(ctx, tx, r, groups, old.ID, row)
			if _, ok := asDomain(err); ok {
				refused[i] = err
				continue
			}
			if err != nil {
				return err
			}
			changed, err := im.change(ctx, tx, old, next, row)
			if err != nil {
				return err
			}
			row.result = importUpdated
			entries = append(entries, changed...)
			continue
		}
		p := row.person
		if p.GroupID, refused[i] = r.place(groups, p.Group, "", true); refused[i] != nil {
			continue
		}
		row.result = importCreated
		fresh = append(fresh, p)
		entries = append(entries, im.entry("person.create", p.ID))
		if row.portrait != nil {
			portrait := *row.portrait
			portrait.PersonID = p.ID
			portraits = append(portraits, portrait)
			e := im.entry("person.image", p.ID)
			e.Changes = map[string]domain.Change{string(portrait.Kind): {After: portrait.MediaType}}
			entries = append(entries, e)
		}
	}
	if err := tx.InsertPeople(ctx, fresh); err != nil {
		return fmt.Errorf("insert people: %w", err)
	}
	for _, portrait := range portraits {
		if err := tx.PutImage(ctx, portrait); err != nil {
			return fmt.Errorf("store image: %w", err)
		}
	}
	return tx.AppendAudit(ctx, entries...)
}

func externalIDs(rows []*importRow) []string {
	var ids []string
	for _, row := range rows {
		if row.person.ExternalID != "" {
			ids = append(ids, row.person.ExternalID)
		}
	}
	return ids
}

func (im *importer) entry(action, personID string) domain.AuditEntry {
	e := im.is.personEntry(im.caller, action, personID)
	e.Channel = "import"
	return e
}

// changeTo holds the person whom the row's external id belongs to and gives them as they are and as they are to be. Of somebody out of
// reach only that the id is taken is said.
func (im *importer) changeTo(ctx context.Context, tx *store.Tx, r reach, groups map[string]domain.Group, id string, row *importRow) (
	old, next domain.Person, err error) {
	old, err = holdPerson(ctx, tx, id)
	switch {
	case domain.CodeOf(err) == domain.CodeNotFound, err == nil && old.ExternalID != row.person.ExternalID:
		return old, next, fmt.Errorf("find person again: %w", store.ErrChanged)
	case err != nil:
		return old, next, err
	case !r.person(old):
		return old, next, &domain.Error{Code: domain.CodeConflict, Message: "the external id or the logon name is taken",
			Fields: []domain.FieldError{{Field: "external_id", Problem: "is taken"}}}
	}
	next = row.person
	if !row.status {
		next.Status = old.Status
	}
	if err := keepsOwn(im.caller, old, next.Status); err != nil {
		return old, next, err
	}
	next.GroupID, err = r.place(groups, next.Group, old.GroupID, false)
	return old, next, err
}

// change writes a held person with the portrait of the row and gives the entries for the audit.
func (im *importer) change(ctx context.Context, tx *store.Tx, old, next domain.Person, row *importRow) ([]domain.AuditEntry, error) {
	var images []domain.AuditEntry
	other := false
	if row.portrait != nil {
		e, isOther, err := im.is.putImage(ctx, tx, im.caller, old, *row.portrait)
		if err != nil {
			return nil, err
		}
		e.Channel, other = "import", isOther
		images = append(images, e)
	}
	entries, err := im.is.changePerson(ctx, tx, old, next, other, im.entry("person.update", old.ID))
	row.person.ID = old.ID
	return append(entries, images...), err
}

// groups reads the groups that the rows name, by path, and makes those that are not there, where that is asked for. A path that cannot be
// made stays out, and its rows are refused.
func (im *importer) groups(ctx context.Context, tx *store.Tx, rows []*importRow) (map[string]domain.Group, []domain.AuditEntry, error) {
	var paths []string
	for _, row := range rows {
		if row.person.Group != "" && !slices.Contains(paths, row.person.Group) {
			paths = append(paths, row.person.Group)
		}
	}
	have, err := tx.GroupsByPath(ctx, paths...)
	if err != nil {
		return nil, nil, fmt.Errorf("load groups: %w", err)
	}
	if !im.o.CreateGroups || len(have) == len(paths) {
		return have, nil, nil
	}
	if err := tx.HoldAudit(ctx); err != nil {
		return nil, nil, fmt.Errorf("wait for other changes of groups: %w", err)
	}
	var entries []domain.AuditEntry
	for _, path := range paths {
		names := strings.Split(path, domain.GroupSeparator)
		bad := slices.ContainsFunc(names, func(name string) bool { return len(domain.CheckGroupName(name)) > 0 })
		if bad || len(domain.CheckGroupPath(path)) > 0 {
			continue
		}
		made, err := im.makePath(ctx, tx, names, have)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, made...)
	}
	return have, entries, nil
}

// makePath makes what is missing of a path, from the top down, and notes all of its groups in have.
func (im *importer) makePath(ctx context.Context, tx *store.Tx, names []string, have map[string]domain.Group) ([]domain.AuditEntry, error) {
	var entries []domain.AuditEntry
	var parent domain.Group
	for _, name := range names {
		path := domain.PathBelow(parent.Path, name)
		g, ok := have[path]
		if !ok {
			found, err := tx.GroupsByPath(ctx, path)
			if err != nil {
				return nil, fmt.Errorf("load group: %w", err)
			}
			g, ok = found[path]
		}
		if !ok {
			var e domain.AuditEntry
			var err error
			if g, e, err = im.is.insertGroup(ctx, tx, im.caller, newID(), parent, name); err != nil {
				return nil, err
			}
			e.Channel = "import"
			entries = append(entries, e)
		}
		have[path], parent = g, g
	}
	return entries, nil
}

// outcome gives what is reported of a row.
func (im *importer) outcome(ctx context.Context, row *importRow) ImportRow {
	out := ImportRow{Line: row.line, ExternalID: row.person.ExternalID}
	if row.err == nil {
		out.PersonID, out.Result = row.person.ID, row.result
		return out
	}
	var refused *domain.Error
	if !errors.As(row.err, &refused) {
		im.is.Log.ErrorContext(ctx, "import row failed", "error", row.err)
		refused = domain.Errorf(domain.CodeInternal, "the row could not be stored; try it again")
	}
	out.Result, out.Code, out.Problems = importRefused, refused.Code, refused.Fields
	if len(out.Problems) == 0 {
		out.Problems = []domain.FieldError{{Field: "row", Problem: refused.Message}}
	}
	return out
}
