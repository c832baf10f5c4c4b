package amorphous

import (
	"testing"
	"time"
)

// TestCalendar walks through years of zones with every kind of change, minute
// by minute around the changes: buckets follow one another without gap and
// overlap, begin and end where they say, and lie in one another.
func TestCalendar(t *testing.T) {
	for zone, years := range map[string][]int{
		"UTC": {2026}, "Europe/Berlin": {2026}, "Asia/Kolkata": {2026}, "America/St_Johns": {2005, 2026},
		"Australia/Lord_Howe": {2026}, "America/Sao_Paulo": {2017}, "Pacific/Apia": {2011}, "America/Havana": {2026}, "Africa/Accra": {1918, 2022},
	} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		c := calendar{location}
		pers := []time.Duration{day, time.Hour, 15 * time.Minute, time.Minute}
		for _, year := range years {
			for at := time.Date(year-1, 12, 31, 12, 0, 30, 0, time.UTC); at.Year() <= year; {
				for i, per := range pers {
					begin := c.start(at, per)
					end := c.end(begin, per)
					if begin.After(at) || !end.After(at) {
						t.Fatalf("%s: %v is not in its %v from %v to %v", zone, at, per, begin, end)
					}
					if !c.start(begin, per).Equal(begin) || !c.start(end, per).Equal(end) || !c.start(end.Add(-time.Second), per).Equal(begin) {
						t.Fatalf("%s: the %v from %v to %v does not join its neighbours", zone, per, begin, end)
					}
					if i > 0 && !c.start(begin, pers[i-1]).Equal(c.start(at, pers[i-1])) {
						t.Fatalf("%s: the %v of %v lies in two of %v", zone, per, at, pers[i-1])
					}
				}
				// Minutes around a change of the clocks, else hours.
				step := 67 * time.Minute
				if _, change := at.In(location).ZoneBounds(); !change.IsZero() && change.Sub(at) < 3*time.Hour || near(at, location) {
					step = time.Minute
				}
				at = at.Add(step)
			}
		}
	}
}

// near reports whether the clocks changed within the last hours.
func near(at time.Time, location *time.Location) bool {
	change, _ := at.In(location).ZoneBounds()
	return !change.IsZero() && at.Sub(change) < 3*time.Hour
}

func TestDays(t *testing.T) {
	for _, c := range []struct {
		zone  string
		at    time.Time
		begin string
		hours float64
	}{
		{"Europe/Berlin", time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC), "2026-03-29T00:00:00+01:00", 23},
		{"Europe/Berlin", time.Date(2026, 10, 25, 12, 0, 0, 0, time.UTC), "2026-10-25T00:00:00+02:00", 25},
		{"America/Sao_Paulo", time.Date(2017, 10, 15, 12, 0, 0, 0, time.UTC), "2017-10-15T01:00:00-02:00", 23}, // midnight was skipped
		{"Pacific/Apia", time.Date(2011, 12, 31, 0, 0, 0, 0, time.UTC), "2011-12-31T00:00:00+14:00", 24},       // the 30th was skipped
		{"America/Havana", time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), "2026-11-01T00:00:00-04:00", 25},     // midnight comes twice
		{"America/St_Johns", time.Date(2005, 10, 30, 12, 0, 0, 0, time.UTC), "2005-10-30T00:00:00-02:30", 25},  // set back over midnight
		{"Asia/Kolkata", time.Date(2026, 1, 1, 18, 29, 0, 0, time.UTC), "2026-01-01T00:00:00+05:30", 24},
	} {
		location, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		cal := calendar{location}
		begin := cal.start(c.at, day)
		if got, hours := begin.Format(time.RFC3339), cal.end(begin, day).Sub(begin).Hours(); got != c.begin || hours != c.hours {
			t.Errorf("%s: the day of %v begins %s and has %v hours, want %s and %v", c.zone, c.at, got, hours, c.begin, c.hours)
		}
	}
}
