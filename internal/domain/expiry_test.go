package domain_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

// A document of 100 days: from 1 January, noon, to 10 April, noon (2026).
var (
	expiryFrom  = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	expiryUntil = expiryFrom.AddDate(0, 0, 99)
)

// daysAhead is the start of the day so many days before the document's last one.
func daysAhead(days int) time.Time { return time.Date(2026, 4, 10-days, 0, 0, 0, 0, time.UTC) }

func upkeep(now time.Time, change ...func(*domain.Upkeep)) domain.Upkeep {
	u := domain.Upkeep{Now: now, Reminders: []int{60, 30, 14, 7},
		Document: domain.Document{State: domain.DocumentActive, ValidFrom: expiryFrom, ValidUntil: expiryUntil}}
	for _, c := range change {
		c(&u)
	}
	return u
}

func TestReminderTable(t *testing.T) {
	told := func(days int) func(*domain.Upkeep) { return func(u *domain.Upkeep) { u.Plan.Told = days } }
	days := func(days ...int) func(*domain.Upkeep) { return func(u *domain.Upkeep) { u.Reminders = days } }
	from := func(at time.Time) func(*domain.Upkeep) { return func(u *domain.Upkeep) { u.Document.ValidFrom = at } }
	disabled := func(u *domain.Upkeep) { u.Document.State = domain.DocumentDisabled }
	for name, c := range map[string]struct {
		upkeep domain.Upkeep
		remind int
		told   int
		next   time.Time
	}{
		"fresh":                               {upkeep(expiryFrom), 0, 0, daysAhead(60)},
		"right before the first":              {upkeep(daysAhead(60).Add(-1)), 0, 0, daysAhead(60)},
		"the first":                           {upkeep(daysAhead(60)), 60, 60, daysAhead(30)},
		"the first was sent":                  {upkeep(daysAhead(60), told(60)), 0, 60, daysAhead(30)},
		"the second":                          {upkeep(daysAhead(30), told(60)), 30, 30, daysAhead(14)},
		"the last":                            {upkeep(daysAhead(7), told(14)), 7, 7, expiryUntil},
		"after the last":                      {upkeep(daysAhead(3), told(7)), 0, 7, expiryUntil},
		"three were missed: one message":      {upkeep(daysAhead(10)), 14, 14, daysAhead(7)},
		"all were missed: one message":        {upkeep(expiryUntil.Add(-time.Second)), 7, 7, expiryUntil},
		"one missed, one sent":                {upkeep(daysAhead(13), told(60)), 14, 14, daysAhead(7)},
		"in any order":                        {upkeep(daysAhead(10), days(7, 60, 14, 30)), 14, 14, daysAhead(7)},
		"none wanted":                         {upkeep(daysAhead(10), days()), 0, 0, expiryUntil},
		"a new one below those sent":          {upkeep(daysAhead(8), told(14), days(60, 9, 7)), 9, 9, daysAhead(7)},
		"a new one above those sent":          {upkeep(daysAhead(8), told(14), days(20, 7)), 0, 14, daysAhead(7)},
		"issued on the day of a reminder":     {upkeep(daysAhead(30).Add(time.Hour), from(daysAhead(30).Add(time.Hour))), 0, 0, daysAhead(14)},
		"issued the day before a reminder":    {upkeep(daysAhead(30), from(daysAhead(30).Add(-1))), 30, 30, daysAhead(14)},
		"shorter than every reminder":         {upkeep(daysAhead(5), from(daysAhead(5))), 0, 0, expiryUntil},
		"disabled":                            {upkeep(daysAhead(10), disabled), 0, 0, expiryUntil},
		"disabled, the later ones wait":       {upkeep(daysAhead(10), disabled, told(60)), 0, 60, expiryUntil},
		"enabled again: the one that matters": {upkeep(daysAhead(6), told(60)), 7, 7, expiryUntil},
	} {
		t.Run(name, func(t *testing.T) {
			care := c.upkeep.Decide()
			require.Equal(t, []any{false, c.remind, domain.RenewalCause("")}, []any{care.Expire, care.Remind, care.Renew})
			require.Equal(t, c.told, care.Plan.Told)
			require.Equal(t, c.next, care.Plan.NextAt)
			require.Equal(t, c.remind == 0, care.Idle())
		})
	}
}

func TestExpiryTable(t *testing.T) {
	for _, state := range []domain.DocumentState{domain.DocumentActive, domain.DocumentDisabled} {
		for at, expired := range map[time.Time]bool{expiryUntil.Add(-1): false, expiryUntil: true, expiryUntil.AddDate(1, 0, 0): true} {
			u := upkeep(at, func(u *domain.Upkeep) {
				u.Document.State, u.Plan.Told = state, 7
				u.Renewal = domain.RenewalOptions{BeforeExpiryDays: 1}
				u.Plan.Tried = at.Add(-time.Hour)
			})
			require.Equal(t, expired, u.Decide().Expire)
			require.Equal(t, expired, u.Document.StateAt(at) == domain.DocumentExpired, "verifiers agree")
			require.True(t, state.Can(domain.DocumentExpired))
		}
	}
}

func TestRenewalTable(t *testing.T) {
	renewal := func(r domain.RenewalOptions) func(*domain.Upkeep) { return func(u *domain.Upkeep) { u.Renewal = r } }
	before := renewal(domain.RenewalOptions{BeforeExpiryDays: 20})
	change := renewal(domain.RenewalOptions{OnChange: true})
	age := renewal(domain.RenewalOptions{OnAge: true})
	all := renewal(domain.RenewalOptions{BeforeExpiryDays: 20, OnChange: true, OnAge: true})
	digests := func(then, now string) func(*domain.Upkeep) {
		return func(u *domain.Upkeep) { u.Plan.Digest, u.Digest = then, now }
	}
	turn := func(at time.Time) func(*domain.Upkeep) { return func(u *domain.Upkeep) { u.Turn = at } }
	tried := func(at time.Time) func(*domain.Upkeep) { return func(u *domain.Upkeep) { u.Plan.Tried = at } }
	declined := func(u *domain.Upkeep) { u.Declined = true }
	disabled := func(u *domain.Upkeep) { u.Document.State = domain.DocumentDisabled }
	now := daysAhead(40)
	const (
		none = domain.RenewalCause("")
		day  = 24 * time.Hour
	)
	for name, c := range map[string]struct {
		upkeep domain.Upkeep
		renew  domain.RenewalCause
		next   time.Time
	}{
		"off":                      {upkeep(now, digests("a", "b"), turn(now)), none, expiryUntil},
		"nothing to do":            {upkeep(now, all, digests("a", "a")), none, daysAhead(20)},
		"before its days":          {upkeep(daysAhead(20).Add(-1), before), none, daysAhead(20)},
		"on its days":              {upkeep(daysAhead(20), before), domain.RenewalForExpiry, daysAhead(13)},
		"long on its days":         {upkeep(daysAhead(2), before), domain.RenewalForExpiry, expiryUntil},
		"asked for":                {upkeep(daysAhead(18), before, tried(daysAhead(20))), none, daysAhead(13)},
		"a pause later":            {upkeep(daysAhead(13), before, tried(daysAhead(20))), domain.RenewalForExpiry, daysAhead(6)},
		"a pause later, declined":  {upkeep(daysAhead(13), before, tried(daysAhead(20)), declined), none, expiryUntil},
		"data unchanged":           {upkeep(now, change, digests("a", "a")), none, expiryUntil},
		"data changed":             {upkeep(now, change, digests("a", "b")), domain.RenewalForChange, now.Add(domain.RenewalPause)},
		"data changed, asked for":  {upkeep(now, change, digests("a", "b"), tried(now.Add(-day))), none, now.Add(6 * day)},
		"data changed, declined":   {upkeep(now, change, digests("a", "b"), tried(now.Add(-9*day)), declined), none, expiryUntil},
		"data then not known":      {upkeep(now, change, digests("", "b")), none, expiryUntil},
		"data now not known":       {upkeep(now, change, digests("a", "")), none, expiryUntil},
		"age to come":              {upkeep(now, age, turn(now.Add(day))), none, now.Add(day)},
		"age turns":                {upkeep(now, age, turn(now)), domain.RenewalForAge, now.Add(domain.RenewalPause)},
		"age turned, asked for":    {upkeep(now, age, turn(now.Add(-day)), tried(now)), none, now.Add(domain.RenewalPause)},
		"age turned after a try":   {upkeep(now, age, turn(now), tried(now.Add(-1))), domain.RenewalForAge, now.Add(domain.RenewalPause)},
		"age turned after a no":    {upkeep(now, age, turn(now), tried(now.Add(-1)), declined), domain.RenewalForAge, now.Add(domain.RenewalPause)},
		"never an age":             {upkeep(now, age), none, expiryUntil},
		"age after the end":        {upkeep(now, age, turn(expiryUntil.Add(day))), none, expiryUntil},
		"the most telling cause":   {upkeep(daysAhead(5), all, digests("a", "b"), turn(now)), domain.RenewalForChange, expiryUntil},
		"age before expiry":        {upkeep(daysAhead(5), all, digests("a", "a"), turn(now)), domain.RenewalForAge, expiryUntil},
		"expiry after an age's no": {upkeep(daysAhead(20), all, turn(now), tried(now), declined), domain.RenewalForAge, daysAhead(13)},
		"disabled":                 {upkeep(daysAhead(5), all, digests("a", "b"), turn(now), disabled), none, expiryUntil},
	} {
		t.Run(name, func(t *testing.T) {
			c.upkeep.Reminders = nil
			care := c.upkeep.Decide()
			require.Equal(t, c.renew, care.Renew)
			require.Equal(t, c.next, care.Plan.NextAt)
			if c.renew != "" {
				require.Equal(t, c.upkeep.Now, care.Plan.Tried)
			}
			require.Equal(t, c.upkeep.Renewal.Any(), care.Plan.Renews)
		})
	}
}

// What is remembered follows the options: data that were not known count from now on, and nothing is kept for what is switched off.
func TestPlanFollowsTheOptions(t *testing.T) {
	on := domain.RenewalOptions{OnChange: true}
	for name, c := range map[string]struct {
		renewal   domain.RenewalOptions
		then, now string
		want      string
	}{
		"not known yet": {on, "", "b", "b"},
		"changed":       {on, "a", "b", "a"},
		"cannot tell":   {on, "a", "", "a"},
		"off":           {domain.RenewalOptions{OnAge: true}, "a", "b", ""},
	} {
		u := upkeep(expiryFrom, func(u *domain.Upkeep) { u.Renewal, u.Plan.Digest, u.Digest = c.renewal, c.then, c.now })
		require.Equal(t, c.want, u.Decide().Plan.Digest, name)
	}
	off := upkeep(expiryFrom, func(u *domain.Upkeep) {
		u.Plan = domain.Plan{Renews: true, Digest: "a", Tried: expiryFrom, Refused: "missing_data", Told: 60}
	}).Decide().Plan
	require.Equal(t, domain.Plan{NextAt: daysAhead(60), Told: 60}, off)
}

// Whatever the circumstances: the next look is to come and not after the end, what was done is not done again, and a document is looked
// at a bounded number of times in its life.
func TestDecisionsEnd(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 6))
		u := upkeep(expiryFrom.Add(time.Duration(random.IntN(1000)) * time.Hour))
		u.Reminders = nil
		for range random.IntN(5) {
			u.Reminders = append(u.Reminders, 1+random.IntN(120))
		}
		u.Renewal = domain.RenewalOptions{BeforeExpiryDays: random.IntN(99), OnChange: random.IntN(2) == 0, OnAge: random.IntN(2) == 0}
		u.Plan.Digest, u.Digest = "a", []string{"a", "b", ""}[random.IntN(3)]
		u.Turn = []time.Time{{}, expiryFrom.AddDate(0, 0, random.IntN(150))}[random.IntN(2)]
		u.Declined = random.IntN(3) == 0
		reminded := map[int]bool{}
		for looks := 0; ; looks++ {
			require.Less(t, looks, 60, "seed %d", seed)
			care := u.Decide()
			if care.Expire {
				require.False(t, u.Now.Before(expiryUntil))
				break
			}
			require.True(t, care.Plan.NextAt.After(u.Now), "seed %d", seed)
			require.False(t, care.Plan.NextAt.After(expiryUntil), "seed %d", seed)
			require.False(t, care.Remind != 0 && reminded[care.Remind], "seed %d", seed)
			reminded[care.Remind] = true
			u.Plan = care.Plan
			require.True(t, u.Decide().Idle(), "at once again there is nothing to do, seed %d", seed)
			u.Now = care.Plan.NextAt
		}
	}
}

func TestDaysLeft(t *testing.T) {
	end := time.Date(2026, 4, 10, 23, 59, 59, 0, time.UTC)
	for now, want := range map[time.Time]int{end: 0, end.Add(-23 * time.Hour): 0, end.Add(-24 * time.Hour): 1,
		time.Date(2026, 4, 3, 0, 0, 0, 0, time.UTC): 7, time.Date(2026, 2, 10, 3, 0, 0, 0, time.FixedZone("east", 4*3600)): 60} {
		require.Equal(t, want, domain.DaysLeft(now, end), now)
	}
}

func TestRenewalOptionsAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*domain.ProfileOptions)
		want   string // field; empty = allowed
	}{
		"off": {func(*domain.ProfileOptions) {}, ""},
		"everything": {func(o *domain.ProfileOptions) {
			o.Renewal = domain.RenewalOptions{BeforeExpiryDays: 30, OnChange: true, OnAge: true}
		}, ""},
		"negative":                   {func(o *domain.ProfileOptions) { o.Renewal.BeforeExpiryDays = -1 }, "renewal.before_expiry_days"},
		"beyond any validity":        {func(o *domain.ProfileOptions) { o.Renewal.BeforeExpiryDays = 40_000 }, "renewal.before_expiry_days"},
		"the whole default lifetime": {func(o *domain.ProfileOptions) { o.Renewal.BeforeExpiryDays = 730 }, "renewal.before_expiry_days"},
		"the whole lifetime":         {func(o *domain.ProfileOptions) { o.LifetimeDays, o.Renewal.BeforeExpiryDays = 30, 30 }, "renewal.before_expiry_days"},
		"a day less":                 {func(o *domain.ProfileOptions) { o.LifetimeDays, o.Renewal.BeforeExpiryDays = 30, 29 }, ""},
		"all that holders get": {func(o *domain.ProfileOptions) { o.SelfService.ValidityDays, o.Renewal.BeforeExpiryDays = 20, 20 },
			"renewal.before_expiry_days"},
	} {
		o := domain.ProfileOptions{DisplayName: "Licence", Format: "iso-mdl"}
		o.Defaults()
		c.change(&o)
		var fields []string
		for _, p := range domain.CheckProfile("licence", o) {
			fields = append(fields, p.Field)
		}
		if c.want == "" {
			require.Empty(t, fields, name)
		} else {
			require.Equal(t, []string{c.want}, fields, name)
		}
	}
}

func TestReminderDaysAreChecked(t *testing.T) {
	require.Equal(t, []int{60, 30, 14, 7}, domain.DefaultSettings().ExpiryReminderDays)
	for name, c := range map[string]struct {
		days []int
		bad  bool
	}{
		"none": {nil, false}, "one": {[]int{1}, false}, "any order": {[]int{7, 365, 60}, false}, "ten": {[]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, false},
		"today": {[]int{0}, true}, "after the end": {[]int{-7}, true}, "over a year": {[]int{366}, true}, "twice": {[]int{7, 30, 7}, true},
		"eleven": {[]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, true},
	} {
		s := domain.DefaultSettings()
		s.ExpiryReminderDays = c.days
		problems := s.Check()
		require.Equal(t, c.bad, len(problems) == 1 && problems[0].Field == "expiry_reminder_days", name)
		require.Equal(t, c.bad, len(problems) > 0, name)
	}
}

func TestGains(t *testing.T) {
	d := domain.Document{ValidUntil: expiryUntil}
	for until, want := range map[time.Time]bool{expiryUntil: false, expiryUntil.Add(24*time.Hour - 1): false, expiryUntil.Add(24 * time.Hour): true} {
		require.Equal(t, want, d.Gains(until))
	}
}
