package amorphous

import (
	"fmt"
	"time"
)

// day is the longest bucket of time, and the only one that is not of one
// length: in a zone with summer time it has 23 or 25 hours twice a year.
const day = 24 * time.Hour

// A calendar divides time into buckets, in one time zone. Buckets follow one
// another without a gap and without overlap, and a shorter one lies wholly in
// one longer one, so that hours and days are sums of minutes.
type calendar struct{ zone *time.Location }

// checkPer says what is wrong with a length of buckets, or nothing.
func checkPer(per time.Duration) string {
	switch {
	case per == day, per >= time.Second && per <= time.Hour && time.Hour%per == 0:
		return ""
	}
	return fmt.Sprintf("Per has %v: use a day, or what divides an hour evenly, a second or more, such as a minute", per)
}

// start returns when the bucket that holds t begins.
//
// Days begin at local midnight, or at the first moment after it where a change
// of the clocks skips it. Shorter buckets are cut from the hour that the
// clocks show, and where the offset of the zone changes within one, it ends
// there and another begins: an hour that the clocks repeat is two hours.
func (c calendar) start(t time.Time, per time.Duration) time.Time {
	t = t.In(c.zone)
	if per == day {
		return c.dayStart(t)
	}
	begin := time.Unix(t.Unix()-sinceEven(t, per), 0).In(c.zone)
	if change, _ := t.ZoneBounds(); !change.IsZero() && begin.Before(change) {
		return change
	}
	return begin
}

// end returns when the bucket that begins at a time ends.
func (c calendar) end(begin time.Time, per time.Duration) time.Time {
	begin = begin.In(c.zone)
	if per == day {
		year, month, date := begin.Date()
		return c.midnight(year, month, date+1)
	}
	end := time.Unix(begin.Unix()-sinceEven(begin, per), 0).Add(per).In(c.zone)
	if _, change := begin.ZoneBounds(); !change.IsZero() && change.Before(end) {
		return change
	}
	return end
}

// sinceEven is how many seconds ago the clocks showed a multiple of per.
func sinceEven(t time.Time, per time.Duration) int64 {
	_, offset := t.Zone()
	seconds := int64(per / time.Second)
	past := (t.Unix() + int64(offset)) % seconds
	if past < 0 {
		past += seconds
	}
	return past
}

// dayStart returns the first moment of t's day. Where clocks are set back over
// midnight, what they repeat of the day before belongs to the new day, which
// has begun already.
func (c calendar) dayStart(t time.Time) time.Time {
	year, month, date := t.Date()
	if next := c.midnight(year, month, date+1); !t.Before(next) {
		return next
	}
	return c.midnight(year, month, date)
}

// midnight returns the first moment at which the clocks show a date, or a
// later one.
func (c calendar) midnight(year int, month time.Month, date int) time.Time {
	utc := time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
	at := utc.Add(-26 * time.Hour).In(c.zone) // before midnight in every zone
	for {
		_, offset := at.Zone()
		begin := utc.Add(-time.Duration(offset) * time.Second)
		if begin.Before(at) {
			begin = at // the change that led here skipped midnight
		}
		_, change := at.ZoneBounds()
		if change.IsZero() || begin.Before(change) {
			return begin.In(c.zone)
		}
		at = change
	}
}

// month returns the first moment of t's month.
func (c calendar) month(t time.Time) time.Time {
	year, month, _ := c.dayStart(t.In(c.zone)).Date()
	return c.midnight(year, month, 1)
}
