package domain

import (
	"fmt"
	"time"
)

// Date is a calendar day without a time zone, "2006-01-02"; the empty Date means none.
type Date string

// ParseDate reads "2006-01-02"; the empty text is no date and no error.
func ParseDate(s string) (Date, error) {
	if s == "" {
		return "", nil
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return "", fmt.Errorf("parse date: want YYYY-MM-DD")
	}
	return Date(s), nil
}

// DateOf gives the UTC day of t.
func DateOf(t time.Time) Date { return Date(t.UTC().Format(time.DateOnly)) }

// Start gives the first instant of the day in UTC, or the zero time for no date.
func (d Date) Start() time.Time {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return time.Time{}
	}
	return t
}

// End gives the first instant after the day in UTC, or the zero time for no date.
func (d Date) End() time.Time {
	if d == "" {
		return time.Time{}
	}
	return d.Start().AddDate(0, 0, 1)
}

// Age gives the completed years between birth date d and the instant at (UTC). Someone born on 29 February completes a year on 1 March
// of a common year.
func (d Date) Age(at time.Time) int {
	birth, at := d.Start(), at.UTC()
	years := at.Year() - birth.Year()
	if at.Month() < birth.Month() || (at.Month() == birth.Month() && at.Day() < birth.Day()) {
		years--
	}
	return years
}
