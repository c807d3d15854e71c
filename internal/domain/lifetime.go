package domain

import "time"

// Lifetime is what limits how long a document is valid (B3).
type Lifetime struct {
	Days            int       // of the profile; 0 = unset, then DefaultLifetimeDays
	SelfServiceDays int       // bound of documents that holders ask for themselves (B14); 0 = none
	RequestedDate   Date      // last day asked for at request or approval; empty = none
	PersonMax       Date      // last day the person may hold documents; empty = none
	ParentEnd       time.Time // of the document that this one is derived from; zero = none
	SignerLimit     time.Time // the latest end any document signer certificate can cover
	DefaultLimit    time.Time // the latest end of a document for which nobody asked for a lifetime or date; zero = SignerLimit
}

// ValidUntil gives the end of validity for a document that starts at from: the earliest of the limits, to the second. An explicit lifetime
// or date that no signer can cover is refused (CodeLifetimeBeyondSigner) rather than silently shortened; the default lifetime is shortened,
// to DefaultLimit.
// A document that would end before it starts is refused with CodeLifetimeOver.
func (l Lifetime) ValidUntil(from time.Time) (time.Time, error) {
	until, refused := l.validUntil(from)
	if refused != nil {
		return time.Time{}, refused
	}
	return until, nil
}

func (l Lifetime) validUntil(from time.Time) (time.Time, *Error) {
	days := l.Days
	if days == 0 {
		days = DefaultLifetimeDays
	}
	until := from.UTC().AddDate(0, 0, days) // in UTC no day is shorter than another
	if l.Days == 0 && l.RequestedDate == "" && !l.DefaultLimit.IsZero() && l.DefaultLimit.Before(until) {
		until = l.DefaultLimit
	}
	if bound := from.UTC().AddDate(0, 0, l.SelfServiceDays); l.SelfServiceDays > 0 && bound.Before(until) {
		until = bound
	}
	for _, d := range []Date{l.RequestedDate, l.PersonMax} {
		if d != "" && d.End().Before(until) {
			until = d.End().Add(-time.Second)
		}
	}
	if !l.ParentEnd.IsZero() && l.ParentEnd.Before(until) {
		until = l.ParentEnd
	}
	if until.After(l.SignerLimit) {
		if l.Days != 0 || (l.RequestedDate != "" && l.RequestedDate.End().After(l.SignerLimit)) {
			return time.Time{}, Errorf(CodeLifetimeBeyondSigner,
				"no document signer certificate covers the lifetime asked for; the latest possible day is %s", DateOf(l.SignerLimit)).
				With("latest", string(DateOf(l.SignerLimit)))
		}
		until = l.SignerLimit
	}
	until = until.UTC().Truncate(time.Second)
	if !until.After(from) {
		return time.Time{}, Errorf(CodeLifetimeOver, "the document would have expired before it starts")
	}
	return until, nil
}
