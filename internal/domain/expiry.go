package domain

import (
	"slices"
	"time"
)

// RenewalOptions say when a document is to be replaced by a newer version that nobody asks for (F6).
type RenewalOptions struct {
	// BeforeExpiryDays is how many days before its last day of validity a document is renewed; 0 = not.
	BeforeExpiryDays int `json:"before_expiry_days,omitempty"`
	// OnChange renews when the data that the document's elements are made from are others than when it was issued.
	OnChange bool `json:"on_change"`
	// OnAge renews when an age that the document states has turned.
	OnAge bool `json:"on_age"`
}

// Any says whether documents are renewed at all.
func (r RenewalOptions) Any() bool { return r.BeforeExpiryDays > 0 || r.OnChange || r.OnAge }

// checkRenewal also catches windows that a document is in from its first day: it would be renewed for ever.
func (o ProfileOptions) checkRenewal(ps *Problems) {
	const field = "renewal.before_expiry_days"
	days, lifetime := o.Renewal.BeforeExpiryDays, o.LifetimeDays
	if lifetime == 0 {
		lifetime = DefaultLifetimeDays
	}
	switch {
	case days < 0 || days > maxValidityDays:
		ps.Add(field, "must be between 0 and %d", maxValidityDays)
	case days >= lifetime && days > 0 && lifetime > 0:
		ps.Add(field, "must be less than the %d days that a document lasts", lifetime)
	case days >= o.SelfService.ValidityDays && days > 0 && o.SelfService.ValidityDays > 0:
		ps.Add(field, "must be less than self_service.validity_days")
	}
}

// RenewalCause says why a document is renewed.
type RenewalCause string

// The causes of renewal; where several hold, the first counts.
const (
	RenewalForChange RenewalCause = "its data have changed"
	RenewalForAge    RenewalCause = "an age in it has turned"
	RenewalForExpiry RenewalCause = "it expires soon"
)

// Told is the cause as records keep it: the day on which an age turned would give a birthday away.
func (c RenewalCause) Told() string {
	if c == RenewalForAge || c == RenewalForChange {
		return "what it states has changed"
	}
	return string(c)
}

// RenewalPause is how long a renewal waits that was refused, or whose update came to nothing by itself, before it is asked for again.
const RenewalPause = 7 * 24 * time.Hour

// Plan is what is kept of a live document so that what time brings is done to it, and done once.
type Plan struct {
	NextAt  time.Time // when something is to be done about it, or looked at, at the latest; zero = never
	Told    int       // days of the last reminder that was dealt with: those of as many or more are past; 0 = none was
	Renews  bool      // it is renewed: a change of its person's data is to be looked at
	Digest  string    // keyed, of the data it was made from; empty = not known, or nobody asks
	Tried   time.Time // when a renewal was last asked for; zero = not since the person or the rules changed
	Refused string    // why the last renewal was refused; empty = it was not
}

// Upkeep is everything that decides what time brings to a document (F6).
type Upkeep struct {
	Now       time.Time
	Document  Document // as it is stored
	Plan      Plan
	Reminders []int // of the settings: days before the last day of validity
	Renewal   RenewalOptions
	Digest    string    // as in Plan, of the data as they are now
	Turn      time.Time // when the document's ages last turned or, if none has, first turn; zero = none will
	TurnAfter time.Time // when the next one turns after that; zero = none will
	Declined  bool      // somebody rejected or canceled the update that was last asked for
}

// Care is what is to be done about a document now. A document that expires is not cared for any more.
type Care struct {
	Expire bool
	Remind int          // days of the one reminder to be sent; 0 = none
	Renew  RenewalCause // why an update is to be asked for; empty = it is not
	Plan   Plan         // as it is to be when all that is done
}

// Idle says that there is nothing to do but to note the plan.
func (c Care) Idle() bool { return !c.Expire && c.Remind == 0 && c.Renew == "" }

// Decide says what is to be done about a live document. A disabled one only expires: it is looked at again when it is enabled.
func (u Upkeep) Decide() Care {
	if !u.Now.Before(u.Document.ValidUntil) {
		return Care{Expire: true}
	}
	c := Care{Plan: u.Plan}
	c.Plan.NextAt, c.Plan.Renews = u.Document.ValidUntil, u.Renewal.Any()
	switch {
	case !u.Renewal.OnChange:
		c.Plan.Digest = ""
	case u.Plan.Digest == "":
		c.Plan.Digest = u.Digest // from here on
	}
	if !u.Renewal.Any() {
		c.Plan.Tried, c.Plan.Refused = time.Time{}, ""
	}
	if u.Document.State == DocumentActive {
		u.remind(&c)
		u.renew(&c)
	}
	return c
}

// next notes a moment to come; one that is past is no longer waited for.
func (u Upkeep) next(c *Care, at time.Time) {
	if at.After(u.Now) && at.Before(c.Plan.NextAt) {
		c.Plan.NextAt = at
	}
}

// remind chooses the closest reminder that is due and was not dealt with: one message, however many were missed. A document that was
// issued on the day of a reminder or later does not get that one.
func (u Upkeep) remind(c *Care) {
	for _, days := range u.Reminders {
		at := daysBefore(u.Document.ValidUntil, days)
		u.next(c, at)
		past := !at.After(u.Now) && at.After(u.Document.ValidFrom)
		if past && (u.Plan.Told == 0 || days < u.Plan.Told) && (c.Remind == 0 || days < c.Remind) {
			c.Remind = days
		}
	}
	if c.Remind != 0 {
		c.Plan.Told = c.Remind
	}
}

// renew asks once for each moment that brings a renewal: when the data change, an age turns, the end draws near. What was refused, or ran
// out, is asked for again after a pause; what somebody has declined is not, until another such moment.
func (u Upkeep) renew(c *Care) {
	since, due := u.due(c)
	if len(due) == 0 {
		return
	}
	again := u.Plan.Tried.Add(RenewalPause)
	switch {
	case u.Plan.Tried.IsZero() || u.Plan.Tried.Before(since):
	case u.Declined:
		return
	case u.Now.Before(again):
		u.next(c, again)
		return
	}
	c.Renew, c.Plan.Tried = due[0], u.Now
	u.next(c, u.Now.Add(RenewalPause))
}

// due gives the causes that hold, and the latest moment that brought one; that of changed data is told by Plan.Tried alone.
func (u Upkeep) due(c *Care) (since time.Time, causes []RenewalCause) {
	if u.Renewal.OnChange && u.Plan.Digest != "" && u.Digest != "" && u.Plan.Digest != u.Digest {
		causes = append(causes, RenewalForChange)
	}
	if u.Renewal.OnAge && !u.Turn.IsZero() {
		u.next(c, u.Turn)
		u.next(c, u.TurnAfter)
		if !u.Turn.After(u.Now) {
			since, causes = u.Turn, append(causes, RenewalForAge)
		}
	}
	if u.Renewal.BeforeExpiryDays > 0 {
		at := daysBefore(u.Document.ValidUntil, u.Renewal.BeforeExpiryDays)
		u.next(c, at)
		if !at.After(u.Now) {
			causes = append(causes, RenewalForExpiry)
			if at.After(since) {
				since = at
			}
		}
	}
	return since, causes
}

// daysBefore gives the start of the day that is so many days before the day of the instant (UTC).
func daysBefore(t time.Time, days int) time.Time { return DateOf(t).Start().AddDate(0, 0, -days) }

// DaysLeft counts the days from the day of now to that of until: 0 on the last day.
func DaysLeft(now, until time.Time) int {
	return int(DateOf(until).Start().Sub(DateOf(now).Start()) / (24 * time.Hour))
}

// Gains says whether a new version that ends at until would be worth a renewal for the sake of the end: it must last at least a day longer.
func (d *Document) Gains(until time.Time) bool { return !until.Before(d.ValidUntil.AddDate(0, 0, 1)) }

const (
	maxReminders    = 10
	maxReminderDays = 365
)

func checkReminders(ps *Problems, days []int) {
	const field = "expiry_reminder_days"
	if len(days) > maxReminders {
		ps.Add(field, "are more than %d", maxReminders)
		return
	}
	for i, n := range days {
		if n < 1 || n > maxReminderDays {
			ps.Add(field, "must be 1 to %d", maxReminderDays)
			return
		}
		if slices.Index(days, n) < i {
			ps.Add(field, "name %d twice", n)
			return
		}
	}
}
