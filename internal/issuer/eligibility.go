package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// facts loads what the rules look at for a document of the person under the latest version of the profile. Who acts, by which channel and which other
// requests count is for the caller to add.
func (is *Issuer) facts(ctx context.Context, stage domain.Stage, in NewRequest) (domain.Facts, error) {
	all, err := is.factsOf(ctx, stage, in)
	if err != nil {
		return domain.Facts{}, err
	}
	return all[0].Facts, all[0].err
}

// loaded are facts, or why there are none.
type loaded struct {
	domain.Facts
	err error
}

// factsOf is facts for many wishes, in the same order, with as many statements as for one. What is wrong with one wish is in its place.
func (is *Issuer) factsOf(ctx context.Context, stage domain.Stage, wishes ...NewRequest) ([]loaded, error) {
	settings, err := loadSettings(ctx, is.Store.Queries)
	if err != nil {
		return nil, err
	}
	signerLimit, defaultLimit, err := is.authority.limits(ctx)
	if err != nil {
		return nil, err
	}
	people, err := is.Store.PeopleByID(ctx, distinct(wishes, func(w NewRequest) string { return w.PersonID })...)
	if err != nil {
		return nil, fmt.Errorf("load people: %w", err)
	}
	profiles, err := is.profilesOf(ctx, wishes)
	if err != nil {
		return nil, err
	}
	out := make([]loaded, len(wishes))
	for i, w := range wishes {
		f := loaded{Facts: domain.Facts{Stage: stage, Now: is.Now(), Expiry: w.ExpiryDate, Person: people[w.PersonID], Profile: profiles[w.ProfileID],
			Settings: settings, SignerLimit: signerLimit, DefaultLimit: defaultLimit}}
		_, badDate := domain.ParseDate(string(w.ExpiryDate))
		switch {
		case badDate != nil:
			f.err = invalid("expiry_date", "must be a day as YYYY-MM-DD")
		case f.Person.ID == "", f.Person.Erased() && stage == domain.AtRequest:
			f.err = domain.NotFound("person")
		case f.Profile.ID == "":
			f.err = domain.NotFound("profile")
		default:
			f.err = is.addFormat(&f.Facts)
		}
		out[i] = f
	}
	return out, is.addHoldings(ctx, out)
}

// profilesOf gives the latest versions of the profiles of the wishes, as far as there are such profiles.
func (is *Issuer) profilesOf(ctx context.Context, wishes []NewRequest) (map[string]domain.Profile, error) {
	out := map[string]domain.Profile{}
	for _, id := range distinct(wishes, func(w NewRequest) string { return w.ProfileID }) {
		profile, err := is.Store.Profile(ctx, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("load profile: %w", err)
		}
		out[id] = profile
	}
	return out, nil
}

// addHoldings adds the roles and the live documents of the people, where the profile looks at them.
func (is *Issuer) addHoldings(ctx context.Context, all []loaded) error {
	withRoles := peopleOf(all, func(p domain.Profile) bool { return len(p.Options.CanReceive)+len(p.Options.CanCollect) > 0 })
	roles, err := is.Store.RolesOfPeople(ctx, withRoles...)
	if err != nil {
		return fmt.Errorf("load roles of holders: %w", err)
	}
	withDocuments := peopleOf(all, func(p domain.Profile) bool { return p.Options.ExclusiveGroup != "" || p.Options.DerivedFrom != "" })
	documents, err := is.Store.LiveDocuments(ctx, withDocuments...)
	if err != nil {
		return fmt.Errorf("load documents: %w", err)
	}
	held := by(documents, func(d domain.Document) string { return d.PersonID })
	for i := range all {
		f := &all[i]
		f.HolderRoles, f.Documents = roles[f.Person.ID], held[f.Person.ID]
	}
	return nil
}

// peopleOf gives the people of whom facts are about a profile with the property.
func peopleOf(all []loaded, has func(domain.Profile) bool) []string {
	chosen := slices.DeleteFunc(slices.Clone(all), func(f loaded) bool { return f.err != nil || !has(f.Profile) })
	return distinct(chosen, func(f loaded) string { return f.Person.ID })
}

// distinct gives what the things are known by, sorted and each once.
func distinct[T any](all []T, name func(T) string) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = name(x)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// by sorts things into heaps of those that are known by the same name.
func by[T any](all []T, name func(T) string) map[string][]T {
	out := map[string][]T{}
	for _, x := range all {
		out[name(x)] = append(out[name(x)], x)
	}
	return out
}

// addFormat adds whether the format is installed, and what it says of the person's data.
func (is *Issuer) addFormat(f *domain.Facts) error {
	installed, ok := is.Formats.Get(f.Profile.Options.Format)
	if f.FormatKnown = ok; !ok {
		return nil
	}
	err := installed.Check(f.Person)
	if misfit, ok := asDomain(err); ok {
		f.Misfits = misfit.Fields
		return nil
	}
	return err
}

// openRequests gives the person's open requests as far as they count for one of the profile.
func openRequests(ctx context.Context, q store.Queries, profile domain.Profile, personID string) ([]domain.Request, error) {
	if !profile.MeetsOthers() {
		return nil, nil
	}
	out, err := q.OpenRequests(ctx, personID)
	if err != nil {
		return nil, fmt.Errorf("load open requests: %w", err)
	}
	return out, nil
}

// holdBlock decides, with the people locked to the end of the transaction, whether another open request stands in the way of one of these, or one of
// these in that of another (B5). The unique rule of the table holds between requests that block; this holds for the others too.
func holdBlock(ctx context.Context, tx *store.Tx, all ...domain.Request) error {
	meeting := slices.DeleteFunc(slices.Clone(all), func(r domain.Request) bool { return !r.MeetsOthers() })
	people := distinct(meeting, func(r domain.Request) string { return r.PersonID })
	if err := tx.HoldPeople(ctx, people...); err != nil {
		return fmt.Errorf("hold people: %w", err)
	}
	open, err := tx.OpenRequests(ctx, people...)
	if err != nil {
		return fmt.Errorf("load open requests: %w", err)
	}
	others := by(open, func(r domain.Request) string { return r.PersonID })
	for _, r := range meeting {
		if refused := r.Blocked(others[r.PersonID]); refused != nil {
			return refused
		}
		others[r.PersonID] = append(others[r.PersonID], r)
	}
	return nil
}

// prevented says with which code the request's collection could never pass, if so, before anything is sent for it.
func (is *Issuer) prevented(ctx context.Context, r domain.Request, profile domain.Profile) (domain.Code, error) {
	if _, ok := is.Formats.Get(profile.Options.Format); !ok {
		return domain.CodeUnknownFormat, nil
	}
	person, err := is.Store.Person(ctx, r.PersonID)
	if err != nil {
		return "", found(err, "person")
	}
	f := domain.Facts{Person: person, Profile: profile, Channel: r.Channel, Expiry: r.ExpiryDate}
	if f.SignerLimit, f.DefaultLimit, err = is.authority.limits(ctx); err != nil {
		return "", err
	}
	_, err = f.Lifetime().ValidUntil(is.Now())
	if code := domain.CodeOf(err); err != nil && code.PreventsBegin() {
		return code, nil
	}
	return "", nil
}

// approvers lists who may decide on a request of the profile for the person that requestedBy made (C3): within reach of their permission, with a role
// that may validate, neither requester nor recipient.
func (is *Issuer) approvers(ctx context.Context, person domain.Person, profile domain.Profile, requestedBy string) ([]domain.Account, error) {
	all, err := is.Store.Approvers(ctx)
	if err != nil {
		return nil, fmt.Errorf("find approvers: %w", err)
	}
	var out []domain.Account
	for _, a := range all {
		itself := a.Account.ID == requestedBy || (a.Account.PersonID != "" && a.Account.PersonID == person.ID)
		if !itself && approverReaches(a, person) && profile.Options.CheckValidator(a.Roles) == nil {
			out = append(out, a.Account)
		}
	}
	return out, nil
}

// approversOf lists who may decide on the request.
func (is *Issuer) approversOf(ctx context.Context, r domain.Request) ([]domain.Account, error) {
	person, err := is.Store.Person(ctx, r.PersonID)
	if err != nil {
		return nil, fmt.Errorf("load person: %w", err)
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return nil, err
	}
	return is.approvers(ctx, person, profile, r.RequestedBy)
}

// approverReaches is domain.Within by the paths of groups, for many approvers and one person.
func approverReaches(a store.Approver, person domain.Person) bool {
	switch a.Scope {
	case domain.ScopeAll:
		return true
	case domain.ScopeDivision:
		return a.GroupPath != "" && strings.HasPrefix(person.Group+domain.GroupSeparator, a.GroupPath+domain.GroupSeparator)
	case domain.ScopeDepartment:
		return a.GroupPath != "" && a.GroupPath == person.Group
	case domain.ScopeNone, domain.ScopeSelf:
	}
	return false
}

// notMyProfiles gives the profiles whose requests somebody with the roles may not decide on (B13).
func (is *Issuer) notMyProfiles(ctx context.Context, roles []string) ([]string, error) {
	all, err := is.Store.Profiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	var out []string
	for _, p := range all {
		if p.Options.CheckValidator(roles) != nil {
			out = append(out, p.ID)
		}
	}
	return out, nil
}

// mdmPatience bounds how long a wallet waits for the device management.
const mdmPatience = 20 * time.Second

// checkDevice holds the holder's device to the profile's rule (B10). What the device management is asked for never gets into an error or a log.
func (is *Issuer) checkDevice(ctx context.Context, r domain.Request, profile domain.Profile) error {
	rule := profile.Options.MDM
	if rule.Restriction == "" || rule.Restriction == domain.MDMUnrestricted {
		return nil
	}
	person, err := is.Store.Person(ctx, r.PersonID)
	if err != nil {
		return found(err, "person")
	}
	verdict, err := is.askDevice(ctx, rule, person.ExternalMobileID)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("check device: %w", ctx.Err())
		}
		is.Log.WarnContext(ctx, "device management not asked", "request_id", r.ID, "profile_id", profile.ID, "system", rule.System, "error", err)
		return domain.Errorf(domain.CodeDeviceUnknown, "the device management could not be asked; try again")
	}
	if !verdict.Allowed() {
		return domain.Errorf(domain.CodeDeviceRefused, "%s", verdict.Text()).With("reason", string(verdict.Reason))
	}
	return nil
}

func (is *Issuer) askDevice(ctx context.Context, rule domain.MDMRule, mobileID string) (domain.MDMVerdict, error) {
	var device any
	var known bool
	if rule.NeedsLookup(mobileID) {
		if is.MDM == nil {
			return domain.MDMVerdict{}, errors.New("no device management is configured")
		}
		ctx, cancel := context.WithTimeout(ctx, mdmPatience)
		defer cancel()
		var err error
		if device, known, err = is.MDM.Lookup(ctx, rule.System, mobileID); err != nil {
			return domain.MDMVerdict{}, err
		}
	}
	return rule.Verdict(mobileID, known, device)
}
