package persistence_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
	"github.com/fourfold-dev/fourfold/transactional"
)

// Two layouts of the task "kept", one after the other.
var (
	byTeam = persistence.Task[flyer]{PartitionBy: "Team", Newest: "At"}
	byTag  = persistence.Task[flyer]{PartitionBy: "Tag", Newest: "At"}
)

const (
	liesByTeam = "rows by team (text), newest at (time) first"
	liesByTag  = "rows by tag (text), newest at (time) first"
)

// twice declares two plans over one directory, in two layers that are open at once;
// n objects are stored by the first before there is the second.
func twice(t *testing.T, before, after persistence.Task[flyer], n int) (old, young *persistence.Layer, h, g *persistence.Handle[flyer]) {
	dir := t.TempDir()
	old = persistencetest.Open(t, persistencetest.Options{Dir: dir})
	h = declareKept(old, "flyer", before)
	for i := range n {
		putFlyer(t, h, i)
	}
	persistencetest.Drain(t, old)
	young = persistencetest.Open(t, persistencetest.Options{Dir: dir})
	return old, young, h, declareKept(young, "flyer", after)
}

// The log says what Check says, when the kind is declared, and once.
func TestAChangedLayoutIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		putFlyer(t, declareKept(persistencetest.Open(t, persistencetest.Options{Dir: dir}), "flyer", byTeam), 1)
		var log bytes.Buffer
		opts := &persistence.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
		layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Layer: opts})
		declareKept(layer, "flyer", byTag)
		time.Sleep(5 * time.Minute)
		layer.Close()
		if n := strings.Count(log.String(), "task \\\"kept\\\": it holds what was stored as "+liesByTeam); n != 1 {
			t.Errorf("it was logged %d times:\n%s", n, &log)
		}
	})
}

// Nothing that was never stored by a former plan is told of, nor is what a store
// from before there were fingerprints holds.
func TestNoFalseAlarmOfLayouts(t *testing.T) {
	counted := func(c persistence.Counts) persistence.Task[flyer] { return persistence.Task[flyer]{Count: &c} }
	hours := counted(persistence.Counts{By: []string{"Team"}, At: "At", Per: []time.Duration{time.Hour}})
	many := counted(persistence.Counts{By: []string{"Team"}, At: "At", Per: []time.Duration{24 * time.Hour, time.Hour}, Zone: "UTC", Shards: 4})
	derived := func(partition string) persistence.Task[flyer] {
		return persistence.Task[flyer]{PartitionBy: partition, Derive: persistence.Rows(pinnedAt)}
	}
	lasting := byTeam
	lasting.TTL, lasting.Priority, lasting.Fields = time.Hour, 3, []string{"Team", "At"}
	for name, test := range map[string]struct {
		before, after persistence.Task[flyer]
		stored        int
	}{
		"nothing is stored, of rows":         {byTeam, byTag, 0},
		"nothing is stored, of counts":       {hours, counted(persistence.Counts{}), 0},
		"nothing is stored, of derived rows": {derived("Board"), derived("Flyer"), 0},
		"the same":                           {byTeam, byTeam, 9},
		"what decides no place":              {byTeam, lasting, 9},
		"what may change at any time":        {hours, many, 9},
	} {
		t.Run(name, func(t *testing.T) {
			_, young, _, g := twice(t, test.before, test.after, test.stored)
			saysOfLayouts(t, young)
			putFlyer(t, g, 2)
			persistencetest.Drain(t, young)
			saysOfLayouts(t, young)
		})
	}
	t.Run("a store from before", func(t *testing.T) {
		old, young, _, _ := twice(t, byTeam, byTag, 1)
		saysOfLayouts(t, young, changedFrom(liesByTeam, liesByTag))
		forgetFingerprints(t, old)
		saysOfLayouts(t, young)
	})
	t.Run("a plan that is taken back", func(t *testing.T) {
		old, young, _, _ := twice(t, byTeam, byTag, 1)
		saysOfLayouts(t, old, changedFrom(liesByTag, liesByTeam))
		young.Close()
		saysOfLayouts(t, old)
	})
	t.Run("a kind and a task that come and go", func(t *testing.T) {
		_, young, _, _ := twice(t, byTeam, byTeam, 1)
		again, third := persistencetest.Open(t), persistence.Plan[flyer]{{Name: "object", Purpose: persistence.Amorphous}}
		saysOfLayouts(t, again)
		persistence.Declare(young, "other", append(third, persistence.Task[flyer]{Name: "new", Purpose: persistence.Amorphous, PartitionBy: "Tag"}))
		saysOfLayouts(t, young)
	})
}

// forgetFingerprints makes a store one from before there were any.
func forgetFingerprints(t *testing.T, layer *persistence.Layer) {
	t.Helper()
	positions := &transactional.Table{Name: "layer__own__positions", Columns: []transactional.Column{{Name: "body", Type: transactional.Bytes}}}
	rows, _, err := layer.Transactional().Scan(t.Context(), positions, transactional.Filter{From: "layout/", To: "layout0"})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d fingerprints, %v; want one for each layout", len(rows), err)
	}
	var u transactional.Unit
	for _, r := range rows {
		r.Stamp.Tie++
		u.Writes = append(u.Writes, transactional.Write{Table: positions, Row: transactional.Row{ID: r.ID, Stamp: r.Stamp, Deleted: true}})
	}
	if _, err := layer.Transactional().Apply(t.Context(), &u); err != nil {
		t.Fatal(err)
	}
}

// An old program that goes on beside a new one is noticed within a minute, also
// when all that it had stored was mended before.
func TestLayoutsOfTwoProgramsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, young, h, g := twice(t, byTeam, byTag, 2)
		putFlyer(t, g, 2)
		saysOfLayouts(t, old, changedFrom(liesByTag, liesByTeam))
		saysOfLayouts(t, young, changedFrom(liesByTeam, liesByTag))
		mendFound(t, g)
		saysOfLayouts(t, young)
		time.Sleep(time.Hour)
		saysOfLayouts(t, young) // the old one has stored nothing since
		putFlyer(t, h, 3)
		time.Sleep(time.Minute + time.Second)
		saysOfLayouts(t, young, changedFrom(liesByTeam, liesByTag))
		mendFound(t, g)
		saysOfLayouts(t, young)
		putFlyer(t, h, 4)
		old.Close()
		saysOfLayouts(t, young, changedFrom(liesByTeam, liesByTag))
		mendFound(t, g)
		time.Sleep(time.Hour)
		saysOfLayouts(t, young)
		if got := readKept(t, g, byTag); strings.Count(got, "{f") != 5 {
			t.Errorf("it reads\n%s", got)
		}
	})
}

// Only a verification that has gone over everything, and whose differences are all
// mended, ends what Check says.
func TestWhatEndsAChangedLayout(t *testing.T) {
	for name, test := range map[string]struct {
		verify func(t *testing.T, g *persistence.Handle[flyer])
		ended  bool
	}{
		"all is mended as it is found": {mendFound, true},
		"all is mended later": {func(t *testing.T, g *persistence.Handle[flyer]) {
			diffs, _ := verify(t, g)
			for _, d := range diffs {
				repair(t, g, d)
			}
		}, true},
		"nothing is mended": {func(t *testing.T, g *persistence.Handle[flyer]) { verify(t, g) }, false},
		"all but one is mended, which is mended twice": {func(t *testing.T, g *persistence.Handle[flyer]) {
			diffs, _ := verify(t, g)
			for _, d := range append(diffs[1:], diffs[1]) {
				repair(t, g, d)
			}
		}, false},
		"some is left out": {func(t *testing.T, g *persistence.Handle[flyer]) {
			v := g.Verify(&persistence.VerifyOptions{Young: -1})
			for d, err := range v.Differences(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				repair(t, g, d)
				break
			}
			for d := range g.Verify(&persistence.VerifyOptions{Young: -1, After: v.Cursor()}).Differences(t.Context()) {
				repair(t, g, d)
			}
		}, false},
		"it goes on where it was": {func(t *testing.T, g *persistence.Handle[flyer]) {
			v := g.Verify(&persistence.VerifyOptions{Young: -1})
			for more := true; more; {
				more = false
				for d := range v.Differences(t.Context()) {
					repair(t, g, d)
					more = true
					break
				}
			}
		}, true},
		"all is too young to be told": {func(t *testing.T, g *persistence.Handle[flyer]) {
			for d := range g.Verify(nil).Differences(t.Context()) {
				t.Error(d)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, young, _, g := twice(t, byTeam, byTag, 5)
			test.verify(t, g)
			if test.ended {
				saysOfLayouts(t, young)
			} else {
				saysOfLayouts(t, young, changedFrom(liesByTeam, liesByTag))
			}
		})
	}
}

func repair(t *testing.T, h *persistence.Handle[flyer], d persistence.Difference) {
	t.Helper()
	if err := h.Repair(t.Context(), d); err != nil {
		t.Errorf("%v: %v", d, err)
	}
}

// A task that has another name now holds nothing yet: Check says so until it is
// filled.
func TestARenamedTaskIsFilled(t *testing.T) {
	dir := t.TempDir()
	old := persistencetest.Open(t, persistencetest.Options{Dir: dir})
	putFlyer(t, declareKept(old, "flyer", byTeam), 1)
	old.Close()
	layer := persistencetest.Open(t, persistencetest.Options{Dir: dir})
	h := persistence.Declare(layer, "flyer", persistence.Plan[flyer]{{Name: "object", Purpose: persistence.Amorphous},
		{Name: "teams", Was: []string{"kept"}, Purpose: persistence.Amorphous, PartitionBy: "Team", Newest: "At"}})
	saysOfLayouts(t, layer, `kind "flyer", task "teams": its former name is "kept", under which it holds `+liesByTeam+
		` that are not found under this one: call Handle.Backfill for the task`)
	if done, err := h.Backfill(t.Context(), "teams", nil); err != nil {
		t.Fatal(done, err)
	}
	saysOfLayouts(t, layer)
}

// A kind without a record has nothing to be mended from.
func TestAChangedLayoutWithoutARecord(t *testing.T) {
	alone := func(layer *persistence.Layer, partition string) *persistence.Handle[flyer] {
		return persistence.Declare(layer, "leaflet", persistence.Plan[flyer]{{Name: "kept", Purpose: persistence.Amorphous, PartitionBy: partition}})
	}
	dir := t.TempDir()
	putFlyer(t, alone(persistencetest.Open(t, persistencetest.Options{Dir: dir}), "Team"), 1)
	young := persistencetest.Open(t, persistencetest.Options{Dir: dir})
	alone(young, "Tag")
	saysOfLayouts(t, young, `kind "leaflet", task "kept": it holds what was stored as rows by team (text), and is read as rows by tag (text): `+
		`the former is not found, and the kind has no record to mend it from: put the objects again under a task of another name`)
}

// A store that is away while a kind is declared is asked again later.
func TestFingerprintsWhileTheirStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, faults := t.TempDir(), persistencetest.NewFaults()
		old := persistencetest.Open(t, persistencetest.Options{Dir: dir, Faults: faults})
		faults.Down(persistence.Transactional)
		h := persistence.Declare(old, "flyer", persistence.Plan[flyer]{{Name: "object", Purpose: persistence.Amorphous, Priority: 1},
			{Name: "kept", Purpose: persistence.Amorphous, PartitionBy: "Team", Newest: "At", Priority: 1}}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
		if _, struck := faults.Calls(persistence.Transactional); struck == 0 {
			t.Fatal("nothing met the fault")
		}
		faults.Up()
		putFlyer(t, h, 1)
		persistencetest.Drain(t, old)
		time.Sleep(time.Minute)
		young := persistencetest.Open(t, persistencetest.Options{Dir: dir})
		declareKept(young, "flyer", byTag)
		saysOfLayouts(t, young, changedFrom(liesByTeam, liesByTag))
	})
}

// Without a transactional store the amorphous one keeps the fingerprints.
func TestFingerprintsInTheAmorphousStore(t *testing.T) {
	dir := t.TempDir()
	open := func(task persistence.Task[flyer]) (*persistence.Layer, *persistence.Handle[flyer]) {
		stores := embedded.Stores(dir)
		stores.Transactional = nil
		layer, err := persistence.Open(t.Context(), stores, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { layer.Close() })
		task.Priority = 1
		return layer, declareKept(layer, "flyer", task)
	}
	changes(t, open)
}

// On servers what is there is compared as soon as there are tables.
func TestFingerprintsOnServers(t *testing.T) {
	shared := servertest.Start(t)
	open := func(task persistence.Task[flyer]) (*persistence.Layer, *persistence.Handle[flyer]) {
		layer, err := persistence.Open(t.Context(), shared.Stores(), shared.Options())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { layer.Close() })
		h := declareKept(layer, "flyer", task)
		createSchema(t, layer)
		return layer, h
	}
	changes(t, open)
}

// changes opens one store with one layout after the other.
func changes(t *testing.T, open func(persistence.Task[flyer]) (*persistence.Layer, *persistence.Handle[flyer])) {
	layer, h := open(byTeam)
	for i := range 5 {
		putFlyer(t, h, i)
	}
	persistencetest.Drain(t, layer)
	saysOfLayouts(t, layer)
	layer.Close()
	layer, h = open(byTag)
	saysOfLayouts(t, layer, changedFrom(liesByTeam, liesByTag))
	mendFound(t, h)
	saysOfLayouts(t, layer)
	if got := readKept(t, h, byTag); strings.Count(got, "{f") != 5 {
		t.Errorf("it reads\n%s", got)
	}
	layer.Close()
	layer, _ = open(byTag)
	saysOfLayouts(t, layer)
}
