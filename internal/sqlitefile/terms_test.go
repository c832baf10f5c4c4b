package sqlitefile

import (
	"context"
	"errors"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// together runs units in one group, in their order, and returns their answers.
func together(t *testing.T, f *File, terms []Terms, unit func(c Conn, i int) error) []error {
	t.Helper()
	release, blocked := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- f.WriteAs(t.Context(), Terms{Again: true}, func(Conn) error { close(blocked); <-release; return nil })
	}()
	<-blocked
	answers := make([]chan error, len(terms))
	for i := range terms {
		answers[i] = make(chan error, 1)
		go func() {
			answers[i] <- f.WriteAs(t.Context(), terms[i], func(c Conn) error { return unit(c, i) })
		}()
		waitFor(t, f, i+1)
	}
	close(release)
	<-first
	errs := make([]error, len(terms))
	for i, c := range answers {
		errs[i] = <-c
	}
	return errs
}

func TestUnitsThatRunAgainShareTheirFate(t *testing.T) {
	own := errors.New("own")
	again, firm := Terms{Again: true}, Terms{}
	for name, test := range map[string]struct {
		terms []Terms // unit 1 fails
		busy  []bool
		rows  int
	}{
		"all run again":          {[]Terms{again, again, again}, []bool{true, false, false}, 1},
		"one before does not":    {[]Terms{firm, again, again}, []bool{false, false, false}, 2},
		"the one that fails not": {[]Terms{again, firm, again}, []bool{false, false, false}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := openTest(t, Options{})
			errs := together(t, f, test.terms, func(c Conn, i int) error {
				if _, err := c.Exec(t.Context(), "INSERT INTO t VALUES (?, 0)", i); err != nil || i != 1 {
					return err
				}
				return own
			})
			for i, err := range errs {
				switch {
				case i == 1 && err != own:
					t.Errorf("the unit that failed: %v, want its own error", err)
				case i != 1 && errors.Is(err, fault.ErrBusy) != test.busy[i]:
					t.Errorf("unit %d: %v; busy: want %v", i, err, test.busy[i])
				}
			}
			if n := count(t, f); n != test.rows {
				t.Errorf("%d rows, want %d: what is told busy is not applied, the rest is", n, test.rows)
			}
		})
	}
}

func TestAfterAFailureUnitsGetSavepoints(t *testing.T) {
	f := openTest(t, Options{})
	again := Terms{Again: true}
	fails := func(c Conn, i int) error {
		if i == 1 {
			return errors.New("own")
		}
		return nil
	}
	terms := []Terms{again, again, again}
	together(t, f, terms, fails)
	if errs := together(t, f, terms, fails); errs[0] != nil || errs[2] != nil {
		t.Errorf("%v: where failing is common, a unit fails alone", errs)
	}
}

func TestAUnitEndsWithItsContext(t *testing.T) {
	f := openTest(t, Options{})
	end, cancel := context.WithCancel(t.Context())
	hang, kept := make(chan struct{}), make(chan error, 1)
	err := f.WriteAs(t.Context(), Terms{End: end}, func(c Conn) error {
		_, err := c.Exec(t.Context(), "INSERT INTO t VALUES (1, 1)")
		cancel()
		<-hang
		_, later := c.Exec(t.Context(), "INSERT INTO t VALUES (2, 2)")
		kept <- later
		return err
	})
	if err != context.Canceled {
		t.Errorf("err = %v, want that of the context which cuts the unit off", err)
	}
	mustWrite(t, f, "INSERT INTO t VALUES (3, 3)")
	close(hang)
	if err := <-kept; !errors.Is(err, fault.ErrClosed) {
		t.Errorf("a Conn after its unit was cut off: %v, want closed", err)
	}
	if n := count(t, f); n != 1 {
		t.Errorf("%d rows, want only the one of the unit that came later", n)
	}
}
