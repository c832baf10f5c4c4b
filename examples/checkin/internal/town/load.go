package town

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"
	"unicode/utf8"
)

// Files names the input of Load, plain or gzip, columns separated by tabs.
type Files struct {
	Events  string // uid, UTC time (RFC 3339), latitude, longitude, venue id
	Friends string // a header line, then uid, fid: fid is told of uid's check-ins
	Venues  string // venue id, name, latitude, longitude; may be empty
}

// Load reads a town, in which everybody wants to be told. Rows that cannot be read are in its Rejects; an error
// means that a file is missing, damaged, or of another format.
func Load(files Files) (*Town, error) {
	t := &Town{Name: files.Events}
	if err := eachLine(files.Events, &t.Rejects, t.addEvent); err != nil {
		return nil, err
	}
	if len(t.Events) == 0 {
		return nil, fmt.Errorf("%s: there is no check-in in it", files.Events)
	}
	t.sort()
	edges := map[int64][]int64{}
	if err := eachLine(files.Friends, &t.Rejects, edgeReader(edges)); err != nil {
		return nil, err
	}
	t.Rejects.Repeats = t.befriend(edges)
	if files.Venues == "" {
		return t, nil
	}
	t.venues = map[int64]string{}
	for _, e := range t.Events {
		t.venues[e.Venue] = ""
	}
	if err := eachLine(files.Venues, &t.Rejects, t.nameVenue); err != nil {
		return nil, err
	}
	maps.DeleteFunc(t.venues, func(_ int64, name string) bool { return name == "" })
	return t, nil
}

func (t *Town) addEvent(line int, text []byte) error {
	e, err := parseEvent(text)
	if err != nil {
		return err
	}
	e.Line = int32(line)
	t.Events = append(t.Events, e)
	return nil
}

func parseEvent(text []byte) (e Event, err error) {
	var col [5][]byte
	if err := split(text, col[:]); err != nil {
		return e, err
	}
	if e.User, err = parseID("user", col[0]); err != nil {
		return e, err
	}
	if e.At, err = parseTime(col[1]); err != nil {
		return e, err
	}
	if e.Lat, err = parseDegrees("latitude", col[2], 90); err != nil {
		return e, err
	}
	if e.Lon, err = parseDegrees("longitude", col[3], 180); err != nil {
		return e, err
	}
	e.Venue, err = parseID("venue", col[4])
	return e, err
}

// edgeReader returns a reader of rows that fills edges.
func edgeReader(edges map[int64][]int64) func(line int, text []byte) error {
	return func(line int, text []byte) error {
		if line == 1 && string(text) == "uid\tfid" {
			return nil
		}
		var col [2][]byte
		if err := split(text, col[:]); err != nil {
			return err
		}
		user, err := parseID("user", col[0])
		if err != nil {
			return err
		}
		friend, err := parseID("friend", col[1])
		if err != nil {
			return err
		}
		if user == friend {
			return errors.New("nobody is told of their own check-ins")
		}
		edges[user] = append(edges[user], friend)
		return nil
	}
}

// nameVenue keeps the name of a venue that somebody checks in at. A venue's
// place is taken from its check-ins.
func (t *Town) nameVenue(line int, text []byte) error {
	var col [4][]byte
	if err := split(text, col[:]); err != nil {
		return err
	}
	id, err := parseID("venue", col[0])
	if err != nil {
		return err
	}
	if !utf8.Valid(col[1]) {
		return errors.New("the name is not valid UTF-8")
	}
	if _, used := t.venues[id]; used {
		t.venues[id] = string(bytes.TrimSpace(col[1]))
	}
	return nil
}

// split cuts a row at its tabs into exactly len(columns) columns. There is no
// quoting: a quote is a character like any other.
func split(text []byte, columns [][]byte) error {
	if len(text) == 0 {
		return errors.New("the line is empty")
	}
	if n := bytes.Count(text, []byte{'\t'}) + 1; n != len(columns) {
		return fmt.Errorf("%d columns separated by tabs, not %d", n, len(columns))
	}
	for i := range columns {
		columns[i], text, _ = bytes.Cut(text, []byte{'\t'})
	}
	return nil
}

func parseID(what string, col []byte) (int64, error) {
	id, err := strconv.ParseUint(string(col), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("the %s %s is not a whole number", what, excerpt(col))
	}
	return int64(id), nil
}

func parseTime(col []byte) (int64, error) {
	at, err := time.Parse(time.RFC3339, string(col))
	if err != nil {
		return 0, fmt.Errorf("the time %s is not of the form 2010-10-12T00:21:28Z", excerpt(col))
	}
	if year := at.UTC().Year(); year < 1970 || year > 9999 {
		return 0, fmt.Errorf("the time %s is not between 1970 and 9999", excerpt(col))
	}
	return at.UnixMicro(), nil
}

func parseDegrees(what string, col []byte, limit float64) (float64, error) {
	degrees, err := strconv.ParseFloat(string(col), 64)
	if err != nil || !(degrees >= -limit && degrees <= limit) { // NaN is neither
		return 0, fmt.Errorf("the %s %s is not a number of degrees up to %v", what, excerpt(col), limit)
	}
	return degrees, nil
}

// excerpt quotes what a file holds so that it can be shown on a terminal.
func excerpt(col []byte) string {
	const most = 40
	if len(col) > most {
		return strconv.Quote(string(col[:most])) + "…"
	}
	return strconv.Quote(string(col))
}
