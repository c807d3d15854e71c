package issuer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// facts loads what the rules look at for a document of the person under the latest version of the profile. Who acts, by which channel and which other
// requests count is for the caller to add.
func (is *Issuer) facts(ctx context.Context, stage domain.Stage, in NewRequest) (domain.Facts, error) {
	f := domain.Facts{Stage: stage, Now: is.Now(), Expiry: in.ExpiryDate}
	var err error
	if _, err := domain.ParseDate(string(in.ExpiryDate)); err != nil {
		return f, invalid("expiry_date", "must be a day as YYYY-MM-DD")
	}
	if f.Person, err = is.Store.Person(ctx, in.PersonID); err != nil {
		return f, found(err, "person")
	}
	if f.Person.Erased() && stage == domain.AtRequest {
		return f, domain.NotFound("person")
	}
	if f.Profile, err = is.loadProfile(ctx, in.ProfileID); err != nil {
		return f, err
	}
	if f.Settings, err = loadSettings(ctx, is.Store.Queries); err != nil {
		return f, err
	}
	o := f.Profile.Options
	if len(o.CanReceive) > 0 || len(o.CanCollect) > 0 {
		if f.HolderRoles, err = is.Store.RolesOfPerson(ctx, in.PersonID); err != nil {
			return f, fmt.Errorf("load roles of holder: %w", err)
		}
	}
	if o.ExclusiveGroup != "" {
		if f.Documents, err = is.Store.LiveDocuments(ctx, in.PersonID); err != nil {
			return f, fmt.Errorf("load documents: %w", err)
		}
	}
	if err := is.addFormat(&f); err != nil {
		return f, err
	}
	f.SignerLimit, f.DefaultLimit, err = is.authority.limits(ctx)
	return f, err
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

// holdBlock decides, with the person locked to the end of the transaction, whether another open request stands in the way of this one (B5). The
// unique rule of the table holds between requests that block; this holds for the others too.
func holdBlock(ctx context.Context, tx *store.Tx, r domain.Request) error {
	if err := tx.HoldPerson(ctx, r.PersonID); err != nil {
		return fmt.Errorf("hold person: %w", err)
	}
	others, err := tx.OpenRequests(ctx, r.PersonID)
	if err != nil {
		return fmt.Errorf("load open requests: %w", err)
	}
	if refused := r.Blocked(others); refused != nil {
		return refused
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
