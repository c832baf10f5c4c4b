package main

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDistancesAreThoseOfAnAtlas(t *testing.T) {
	for name, c := range map[string]struct {
		lat1, lon1, lat2, lon2 float64
		kilometres, within     float64
	}{
		"nowhere":                  {40.7, -74, 40.7, -74, 0, 0},
		"a degree of the meridian": {0, 0, 1, 0, 111.2, 0.1},
		"New York to London":       {40.7128, -74.0060, 51.5074, -0.1278, 5570, 10},
		"over the date line":       {0, 179.5, 0, -179.5, 111.2, 0.1},
		"pole to pole":             {90, 0, -90, 0, 20015, 1},
		"the other side":           {10, 20, -10, -160, 20015, 1},
		"two corners of a street":  {40.7580, -73.9855, 40.7590, -73.9845, 0.139, 0.002},
	} {
		if got := distance(c.lat1, c.lon1, c.lat2, c.lon2) / 1000; math.Abs(got-c.kilometres) > c.within {
			t.Errorf("%s: %.3f km, want %.3f", name, got, c.kilometres)
		}
	}
}

func TestADistanceIsTheSameBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lat, lon := rapid.Float64Range(-90, 90), rapid.Float64Range(-180, 180)
		a, b, c, d := lat.Draw(t, "lat1"), lon.Draw(t, "lon1"), lat.Draw(t, "lat2"), lon.Draw(t, "lon2")
		there, back := distance(a, b, c, d), distance(c, d, a, b)
		if math.Abs(there-back) > 1e-3 || !(there >= 0 && there < 20_020_000) {
			t.Errorf("%v there, %v back", there, back)
		}
	})
}

func TestNearbyIsNearInPlaceAndTime(t *testing.T) {
	now := time.Date(2026, 5, 1, 20, 0, 0, 0, time.UTC)
	at := func(user string, metresNorth float64, ago time.Duration) Position {
		return Position{User: user, Venue: "v", Lat: 40 + metresNorth/111_195, Lon: -74, At: now.Add(-ago)}
	}
	near := nearbyOf(at("me", 0, 0), []Position{
		at("far", 1100, 0), at("edge", 990, time.Hour), at("gone", 0, staysFor+time.Second),
		at("next", 5, staysFor), at("later", 20, -time.Hour), at("beside", 5, 0),
	})
	got := ""
	for _, n := range near {
		got += fmt.Sprint(n.User, " ", n.Metres, "; ")
	}
	if want := "beside 5; next 5; later 20; edge 990; "; got != want {
		t.Errorf("nearby: %s want %s", got, want)
	}
}

func TestALatePositionMovesNobodyBack(t *testing.T) {
	older := Position{ID: "0000000002", At: time.UnixMicro(1)}
	newer := Position{ID: "0000000001", At: time.UnixMicro(2)}
	if !older.stamp().Less(newer.stamp()) {
		t.Error("stamps do not go by the time of the check-in")
	}
	twin := Position{ID: "0000000003", At: older.At}
	if older.stamp() == twin.stamp() {
		t.Error("two check-ins of one second have one stamp")
	}
}
