package town

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	events = "7\t2010-10-12T00:21:28Z\t40.5\t-73.78280639649999\t11\n" +
		"2\t2010-10-11T20:21:20Z\t40.75\t-73.5\t12\n" +
		"7\t2010-10-12T00:21:28Z\t40.5\t-73.78280639649999\t11\n" +
		"1\t2010-10-12T00:21:28Z\t40.5\t-73.5\t11\n"
	friends = "uid\tfid\n7\t1\n7\t2\n1\t7\n7\t2\n"
	venues  = "11\tCafé \"Chez\u00a0Nous\"\t40.5\t-73.5\n99\tnobody goes there\t1\t2\n"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(content string) string {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write([]byte(content))
	w.Close()
	return buf.String()
}

func TestLoadOrdersByTimeThenUserThenLine(t *testing.T) {
	for _, form := range []func(string) string{func(s string) string { return s }, zipped} {
		town, err := Load(Files{
			Events:  write(t, "events", form(events)),
			Friends: write(t, "friends", form(friends)),
			Venues:  write(t, "venues", form(venues)),
		})
		if err != nil {
			t.Fatal(err)
		}
		var order []int32
		for _, e := range town.Events {
			order = append(order, e.Line)
		}
		if got, want := fmt.Sprint(order), "[2 4 1 3]"; got != want {
			t.Errorf("lines in order of arrival: %s, want %s", got, want)
		}
		if got, want := fmt.Sprint(town.Friends), "map[1:[7] 7:[1 2]]"; got != want {
			t.Errorf("friends %s, want %s", got, want)
		}
		if town.Rejects.Repeats != 1 || town.Rejects.Count != 0 {
			t.Errorf("rejects %+v, want none, and one repeated friendship", town.Rejects)
		}
		if got, want := town.VenueName(11), "Café \"Chez\u00a0Nous\""; got != want {
			t.Errorf("name %q, want %q: a quote is a character like any other", got, want)
		}
		if got := town.VenueName(12); got != "venue 12" {
			t.Errorf("a venue without a name is shown as %q", got)
		}
	}
}

func TestLoadCountsAndShowsBadRows(t *testing.T) {
	good := "7\t2010-10-12T00:21:28Z\t40.5\t-73.7\t11\n"
	for name, bad := range map[string]string{
		"no user":         "\t2010-10-12T00:21:28Z\t40.5\t-73.7\t11",
		"negative user":   "-1\t2010-10-12T00:21:28Z\t40.5\t-73.7\t11",
		"user too large":  "99999999999999999999\t2010-10-12T00:21:28Z\t40.5\t-73.7\t11",
		"no such day":     "7\t2010-02-30T00:21:28Z\t40.5\t-73.7\t11",
		"no zone":         "7\t2010-10-12T00:21:28\t40.5\t-73.7\t11",
		"before 1970":     "7\t0000-10-12T00:21:28Z\t40.5\t-73.7\t11",
		"not a number":    "7\t2010-10-12T00:21:28Z\tNaN\t-73.7\t11",
		"infinite":        "7\t2010-10-12T00:21:28Z\t40.5\t-Inf\t11",
		"off the globe":   "7\t2010-10-12T00:21:28Z\t90.5\t-73.7\t11",
		"column missing":  "7\t2010-10-12T00:21:28Z\t40.5\t-73.7",
		"column too much": "7\t2010-10-12T00:21:28Z\t40.5\t-73.7\t11\t",
		"commas":          "7,2010-10-12T00:21:28Z,40.5,-73.7,11",
		"empty":           "",
		"NUL":             "7\x00\t2010-10-12T00:21:28Z\t40.5\t-73.7\t11",
		"too long":        strings.Repeat("7", 3*maxLine),
		"just too long":   strings.Repeat("7", maxLine),
	} {
		town, err := Load(Files{
			Events:  write(t, "events", good+bad+"\n"+good),
			Friends: write(t, "friends", friends),
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(town.Events) != 2 || town.Events[1].Line != 3 {
			t.Errorf("%s: events %+v, want lines 1 and 3", name, town.Events)
		}
		if town.Rejects.Count != 1 || len(town.Rejects.First) != 1 || town.Rejects.First[0].Line != 2 {
			t.Errorf("%s: rejects %+v, want line 2", name, town.Rejects)
		} else if text := town.Rejects.First[0].String(); len(text) > 250 || strings.ContainsAny(text, "\x00\n") {
			t.Errorf("%s: shown as %q", name, text)
		}
	}
}

func TestLoadShowsAFewBadRowsAndCountsAll(t *testing.T) {
	town, err := Load(Files{
		Events:  write(t, "events", events+strings.Repeat("bad\n", 1000)),
		Friends: write(t, "friends", friends+"3\t3\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if town.Rejects.Count != 1001 || len(town.Rejects.First) != shownRejects+1 {
		t.Errorf("%d counted, %d shown; want 1001 and %d", town.Rejects.Count, len(town.Rejects.First), shownRejects+1)
	}
}

func TestLoadRefusesOtherFiles(t *testing.T) {
	good := Files{Events: write(t, "events", events), Friends: write(t, "friends", friends)}
	for name, change := range map[string]func(f *Files){
		"missing":       func(f *Files) { f.Events = filepath.Join(t.TempDir(), "none") },
		"a directory":   func(f *Files) { f.Events = t.TempDir() },
		"empty":         func(f *Files) { f.Events = write(t, "empty", "") },
		"swapped":       func(f *Files) { f.Events, f.Friends = f.Friends, f.Events },
		"not a table":   func(f *Files) { f.Friends = write(t, "text", "Dear friends,\nhow are you?\n") },
		"not gzip":      func(f *Files) { f.Events = write(t, "magic", "\x1f\x8bnot really") },
		"cut gzip":      func(f *Files) { f.Events = write(t, "cut", zipped(strings.Repeat(events, 50))[:100]) },
		"damaged gzip":  func(f *Files) { f.Events = write(t, "damaged", damaged(zipped(strings.Repeat(events, 50)))) },
		"other venues":  func(f *Files) { f.Venues = f.Events },
		"venue missing": func(f *Files) { f.Venues = filepath.Join(t.TempDir(), "none") },
	} {
		files := good
		change(&files)
		town, err := Load(files)
		if err == nil {
			t.Errorf("%s: loaded %d events, want an error", name, len(town.Events))
		} else if !strings.Contains(err.Error(), "/") {
			t.Errorf("%s: %q does not name the file", name, err)
		}
	}
}

// damaged breaks the checksum at the end: all rows can be read before it.
func damaged(zip string) string {
	b := []byte(zip)
	b[len(b)-6] ^= 0xff
	return string(b)
}

func TestAReadErrorIsNotTheEndOfTheFile(t *testing.T) {
	broken := errors.New("the disk is on fire")
	r := io.MultiReader(strings.NewReader(events), iotest.ErrReader(broken))
	var town Town
	err := eachLineOf(r, "events", &town.Rejects, town.addEvent)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("error %v, want %v after line 4", err, broken)
	}
}

func TestLineNumbersAreThoseOfAnEditor(t *testing.T) {
	var town Town
	in := "\ufeff" + strings.ReplaceAll(events, "\n", "\r\n") + "bad\r\n" + strings.TrimSuffix(events, "\n")
	if err := eachLineOf(strings.NewReader(in), "events", &town.Rejects, town.addEvent); err != nil {
		t.Fatal(err)
	}
	if n := len(town.Events); n != 8 || town.Events[7].Line != 9 {
		t.Errorf("%d events, want 8, the last on line 9", n)
	}
	if town.Rejects.Count != 1 || town.Rejects.First[0].Line != 5 {
		t.Errorf("rejects %+v, want line 5", town.Rejects)
	}
}

// FuzzEvents: whatever a file holds, no row vanishes: each line is an event or
// a reject, in the limits that the stores can keep.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(events))
	f.Add([]byte(zipped(events)))
	f.Add([]byte("1\t2010-10-12T00:21:28+14:00\t-0x1p-2\t1_0\t+1\n\n\r\n\ufeff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var town Town
		if err := eachLineOf(bytes.NewReader(data), "fuzz", &town.Rejects, town.addEvent); err != nil {
			return
		}
		if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			lines := bytes.Count(data, []byte{'\n'})
			if len(data) > 0 && data[len(data)-1] != '\n' {
				lines++
			}
			if got := len(town.Events) + town.Rejects.Count; got != lines {
				t.Fatalf("%d lines, but %d events and %d rejects", lines, len(town.Events), town.Rejects.Count)
			}
		}
		last := int32(0)
		for _, e := range town.Events {
			switch {
			case e.Line <= last:
				t.Fatalf("line %d after line %d", e.Line, last)
			case e.User < 0 || e.Venue < 0:
				t.Fatalf("negative id in %+v", e)
			case math.Abs(e.Lat) > 90 || math.Abs(e.Lon) > 180 || e.Lat != e.Lat || e.Lon != e.Lon:
				t.Fatalf("impossible place in %+v", e)
			case e.Time().Year() < 1970 || e.Time().Year() > 9999:
				t.Fatalf("impossible time in %+v", e)
			}
			last = e.Line
		}
	})
}

// FuzzFriends: a friend is somebody else, and named once.
func FuzzFriends(f *testing.F) {
	f.Add([]byte(friends))
	f.Add([]byte("1\t1\n2\t1\n2\t1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var town Town
		edges := map[int64][]int64{}
		if err := eachLineOf(bytes.NewReader(data), "fuzz", &town.Rejects, edgeReader(edges)); err != nil {
			return
		}
		town.befriend(edges)
		for user, friends := range town.Friends {
			for i, friend := range friends {
				if friend == user || i > 0 && friends[i-1] >= friend {
					t.Fatalf("the friends of %d are %v", user, friends)
				}
			}
		}
	})
}
