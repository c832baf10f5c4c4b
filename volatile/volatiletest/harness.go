// Package volatiletest is the contract of package volatile made executable:
// one suite that every driver passes.
//
//	func TestConformance(t *testing.T) {
//		volatiletest.Run(t, volatiletest.Harness{
//			Virtual: true,
//			Start: func(t testing.TB) volatiletest.Server {
//				return volatiletest.Server{Source: embedded.New(nil)}
//			},
//		})
//	}
//
// Each check carries the sentence of the contract that it proves, and prints
// it when it fails. A check that needs more than a driver or its harness
// offers is skipped, and says which promise is lacking.
package volatiletest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
)

// A Harness makes the suite run over one driver.
type Harness struct {
	// Start gives one check a cache of its own, empty. It registers its own
	// clean-up with t.
	Start func(t testing.TB) Server
	// Virtual says that the driver needs no real time and no sockets: the
	// checks run in testing/synctest bubbles, and TTLs of days are waited for.
	Virtual bool
	// Small shrinks the long checks, for drivers that pay for every operation.
	Small bool
	// OneServer says that Start empties a server which all checks share, where
	// others have one each: no check runs beside another.
	OneServer bool
}

// A Server is what one check runs against.
type Server struct {
	// Source opens the driver, more than once.
	Source volatile.Source
	// Restart loses every entry, as the restart of a server does; nil when
	// the harness cannot.
	Restart func()
	// Pause makes the server silent without closing anything, until Resume;
	// nil when the harness cannot.
	Pause, Resume func()
	// Impatient opens the same cache by drivers that give a silent server up
	// after a fifth of a second or so; nil when the harness cannot Pause.
	Impatient volatile.Source
}

// A check proves one sentence of the contract.
type check struct {
	name    string
	promise string
	needs   func(e *env) string // what is lacking; empty: nothing
	waits   bool                // it mostly waits: where time is real it runs beside the others that do
	run     func(t *testing.T, e *env)
}

// An env is what a check has in hand.
type env struct {
	harness Harness
	server  Server
	driver  volatile.Driver
	ctx     context.Context
}

// Run runs the whole suite. Where time is real, the checks that mostly wait do so
// side by side, each with a cache of its own.
func Run(t *testing.T, h Harness) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	var waits []check
	for _, c := range allChecks() {
		switch {
		case h.Virtual:
			t.Run(c.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { h.run(t, c) }) })
		case c.waits && !h.OneServer:
			waits = append(waits, c)
		default:
			t.Run(c.name, func(t *testing.T) { h.run(t, c) })
		}
	}
	for _, c := range waits {
		waiting.Go(func() { t.Run(c.name, func(t *testing.T) { h.run(t, c) }) })
	}
}

func allChecks() []check {
	var all []check
	for _, group := range [][]check{entryChecks, swapChecks, counterChecks, timeChecks, keyChecks, lifeChecks, cacheChecks, interleaveChecks, faceChecks, viewChecks, meetingChecks, modelChecks} {
		all = append(all, group...)
	}
	return all
}

func (h Harness) run(t *testing.T, c check) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the promise: %s", c.promise)
		}
	})
	e := &env{harness: h, server: h.Start(t), ctx: t.Context()}
	e.driver = e.open(t)
	if c.needs != nil {
		if lacking := c.needs(e); lacking != "" {
			t.Skipf("skipped, %s: %s", lacking, c.promise)
		}
	}
	c.run(t, e)
}

// open opens the driver once more, until the check ends.
func (e *env) open(t testing.TB) volatile.Driver {
	t.Helper()
	return openFrom(t, e.server.Source)
}

func openFrom(t testing.TB, source volatile.Source) volatile.Driver {
	t.Helper()
	driver, err := source.OpenDriver(context.Background())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { driver.Close() })
	return driver
}

// cache opens a Cache, as another process would, until the check ends.
func (e *env) cache(t testing.TB, opts *volatile.Options) *volatile.Cache {
	t.Helper()
	cache, err := volatile.New(e.open(t), opts)
	if err != nil {
		t.Fatalf("new cache: %v", err)
	}
	t.Cleanup(func() { cache.Close() })
	return cache
}

func (e *env) features() volatile.Features {
	return e.driver.(volatile.Featured).Features()
}

// size returns n, or small where every operation costs.
func (e *env) size(n, small int) int {
	if e.harness.Small || testing.Short() {
		return small
	}
	return n
}

// set writes one entry.
func (e *env) set(t testing.TB, key string, value []byte, ttl time.Duration) {
	t.Helper()
	if err := e.driver.Set(e.ctx, []volatile.Item{{Key: key, Value: value, TTL: ttl}})[0]; err != nil {
		t.Fatalf("set %q: %v", key, err)
	}
}

// get reads one entry.
func (e *env) get(t testing.TB, key string) (volatile.Item, bool) {
	t.Helper()
	items, err := e.driver.Get(e.ctx, []string{key})
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	if len(items) > 1 {
		t.Fatalf("get %q returned %d items", key, len(items))
	}
	e.agree(t, key, items)
	if len(items) == 0 {
		return volatile.Item{}, false
	}
	if items[0].Key != key {
		t.Fatalf("get %q returned the key %q", key, items[0].Key)
	}
	return items[0], true
}

// agree checks that GetOne and Borrow say the same as Get did. An entry may end between
// the two.
func (e *env) agree(t testing.TB, key string, items []volatile.Item) {
	t.Helper()
	if one, ok := e.driver.(volatile.OneGetter); ok {
		item, found, err := one.GetOne(e.ctx, key)
		e.agrees(t, key, items, item, found, err)
	}
	if lender, ok := e.driver.(volatile.Borrower); ok {
		lent, found, err := lender.Borrow(e.ctx, key)
		var item volatile.Item
		if found {
			item = volatile.Item{Key: key, Value: lent.Value, Token: lent.Token}
		}
		e.agrees(t, key, items, item, found, err)
	}
}

func (e *env) agrees(t testing.TB, key string, items []volatile.Item, item volatile.Item, found bool, err error) {
	t.Helper()
	switch {
	case err != nil:
		t.Fatalf("get one %q: %v", key, err)
	case found && (len(items) == 0 || string(item.Value) != string(items[0].Value) || item.Token != items[0].Token):
		t.Fatalf("get one %q: %v; get says %v", key, item, items)
	case !found && len(items) > 0:
		if again, err := e.driver.Get(e.ctx, []string{key}); err != nil || len(again) > 0 {
			t.Fatalf("get one %q: nothing; get says %v, %v", key, again, err)
		}
	}
}

// want checks the value of one entry; nil means a miss.
func (e *env) want(t testing.TB, key string, value []byte) {
	t.Helper()
	item, ok := e.get(t, key)
	switch {
	case ok && value == nil:
		t.Errorf("%q is there with %s; want a miss", key, brief(item.Value))
	case !ok && value != nil:
		t.Errorf("%q is not there; want %s", key, brief(value))
	case string(item.Value) != string(value):
		t.Errorf("%q holds %s; want %s", key, brief(item.Value), brief(value))
	}
}

// eventually waits until a condition holds: in a bubble at once, else by real
// time.
func (e *env) eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); ; {
		if holds() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
		pass(5 * time.Millisecond)
	}
}

// pass lets time pass: virtual time in a bubble.
func pass(d time.Duration) { <-time.After(d) }

func brief(value []byte) string {
	if len(value) > 40 {
		return fmt.Sprintf("%q… (%d bytes)", value[:40], len(value))
	}
	return fmt.Sprintf("%q", value)
}

// needsVirtual says why a check has no variant in real time.
func needsVirtual(why string) func(e *env) string {
	return func(e *env) string {
		if !e.harness.Virtual {
			return why
		}
		return ""
	}
}

func needsRestart(e *env) string {
	if e.server.Restart == nil {
		return "the harness cannot restart it"
	}
	return ""
}

func needsPause(e *env) string {
	if e.server.Pause == nil || e.server.Resume == nil {
		return "the harness cannot pause it"
	}
	return ""
}

func needsSilence(e *env) string {
	if lacking := needsPause(e); lacking != "" || e.server.Impatient != nil {
		return lacking
	}
	return "the harness has no driver that gives a silent server up soon"
}

// weird are strings that break encoders: the list of go-cloud's drivertest and
// what memcached's protocol gives a meaning.
var weird = []string{
	"a", "A", "á", "a b", " a", "a ", "a\tb", "a\nb", "a\r\nb", "a\r\nflush_all\r\n", "\x01", "\x1f", "\x7f", "%", "%25", "%20", "a%20b",
	"a/b", "a:b", "a::b", "::", "a\\b", "'", "\"", "`", "<>&", "..", ".", "~", "_", "-", "#", "##", "#a", "=", "==", "~a", "!", "\u00a0", "\u2028",
	"\ufeff", "\ufffd", "e\u0301", "é", "日本語", "العربية", "שלום", "😀", "👩‍👩‍👧", "İi̇ı", "ß", "ss", "\U0010ffff",
	strings.Repeat("k", 200), strings.Repeat("k", 249), strings.Repeat("k", 250), strings.Repeat("k", 251), strings.Repeat("k", 1000),
	strings.Repeat("k", 999) + "j", strings.Repeat(" ", 250), strings.Repeat("é", 125), strings.Repeat("é", 500), strings.Repeat("😀", 256),
	strings.Repeat("k", volatile.MaxItemKey),
}
