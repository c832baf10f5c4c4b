package persistencetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An element is an object of which scans are expected to speak.
type element struct {
	put     Event
	sure    bool      // accepted
	known   time.Time // when it was first accepted or found
	missing int       // scans in which it was missing after that
	absent  time.Time // the end of the last of these
	last    bool      // the last scan found it
	found   bool      // some scan did
}

// CheckSet: each object that was accepted with a Key is found by the scans of
// that key, from some scan on and up to the last: it is lost when the last one
// misses it, and also when it was found before. A scan finds nothing twice, and
// nothing that was never put or was refused. How long it takes until scans find
// an object for good is no failure: the summary says it, as the freshness of
// the list.
func CheckSet(events []Event) Verdict {
	v := Verdict{Check: "set"}
	type list struct{ store, key string }
	puts := map[string]map[string]*element{} // by key and id
	for _, e := range events {
		if e.Verb == Put && e.Key != "" {
			putElement(puts, e)
		}
	}
	lists := map[list]map[string]*element{}
	scans := 0
	for _, e := range events {
		if e.Verb != Listed {
			continue
		}
		scans++
		at := list{e.Store, e.Key}
		if lists[at] == nil {
			lists[at] = map[string]*element{}
			for id, el := range puts[e.Key] {
				of := *el
				lists[at][id] = &of
			}
		}
		if why := lookThrough(e, lists[at]); why != "" && v.Evidence == "" {
			v.Evidence = fmt.Sprintf("%v: %s", e, why)
		}
	}
	var fresh []time.Duration
	var lost []string
	stale := 0
	for at, elements := range lists {
		for _, el := range elements {
			switch {
			case el.last && el.sure:
				fresh = append(fresh, max(el.absent.Sub(el.known), 0))
				if el.missing > 0 {
					stale++
				}
			case !el.last && (el.sure || el.found) && el.missing > 0:
				lost = append(lost, fmt.Sprintf("lost: %v, which the last scan of %s %s misses", el.put, at.store, at.key))
			}
		}
	}
	if slices.Sort(lost); len(lost) > 0 && v.Evidence == "" {
		v.Evidence = lost[0]
	}
	v.Summary = fmt.Sprintf("%d scans, %d lost, %d found late", scans, len(lost), stale)
	if slices.Sort(fresh); len(fresh) > 0 {
		v.Summary += fmt.Sprintf(", for good after %v in the median and %v at most",
			fresh[len(fresh)/2].Round(time.Millisecond), fresh[len(fresh)-1].Round(time.Millisecond))
	}
	return v.need(scans, 1, "scans")
}

// putElement notes a Put: an accepted one counts from its end on.
func putElement(puts map[string]map[string]*element, e Event) {
	of := puts[e.Key]
	if of == nil {
		of = map[string]*element{}
		puts[e.Key] = of
	}
	el := of[e.ID]
	if el == nil {
		el = &element{put: e}
		of[e.ID] = el
	}
	if e.Outcome == fault.Applied && !el.sure {
		el.put, el.sure, el.known = e, true, e.At
	} else if e.Outcome == fault.OutcomeUnknown && !el.sure {
		el.put = e
	}
}

// lookThrough compares a scan with what it might find; what it finds and should
// not is the answer.
func lookThrough(scan Event, elements map[string]*element) (wrong string) {
	began := scan.Began
	if began.IsZero() {
		began = scan.At
	}
	there := map[string]bool{}
	for _, id := range scan.IDs {
		el := elements[id]
		switch {
		case there[id]:
			return id + " is found twice"
		case el == nil:
			return id + " is found, and was never put"
		case !el.sure && el.put.Outcome == fault.NotApplied:
			return id + " is found, and its Put was refused"
		}
		there[id] = true
	}
	for id, el := range elements {
		if el.last = there[id]; el.last {
			if !el.found && el.known.IsZero() {
				el.known = scan.At
			}
			el.found = true
		} else if !el.known.IsZero() && !began.Before(el.known) {
			el.missing++
			el.absent = scan.At
		}
	}
	return ""
}
