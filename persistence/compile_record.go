package persistence

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
)

// composeRecord finds the tasks whose default writes are the object that Get
// returns: the transactional one, and the amorphous one by key for what the
// first does not hold. A volatile write of everything that they hold is the
// cache; one of fields that they do not hold is a part of the object that may
// be lost.
func (c *compiler) composeRecord() {
	row := c.only(writeRow, "a transactional default write")
	cell := c.only(writeCell, "an amorphous default write without PartitionBy")
	k := c.kind
	if row != nil {
		k.record = append(k.record, row.task)
	}
	if cell != nil && (row == nil || !k.covers(k.record, cell.set)) {
		k.record = append(k.record, cell.task)
	}
	if len(k.record) > 1 {
		c.checkHalves(row, cell)
	}
	for _, w := range c.words {
		if w.write == writeCache {
			c.placeCached(w)
		}
	}
	k.oneLook = k.cache != nil && k.holdsAll()
}

// only returns the one task of the record that writes like this.
func (c *compiler) only(how write, what string) *wording {
	var found *wording
	for _, w := range c.words {
		if w.write != how || w.partitionBy != "" || w.newestBy != "" || w.set == nil {
			continue // Newest without PartitionBy has a fault of its own
		}
		if found != nil {
			c.taskFault(w, "it would be the record, and so would task %q, for both are %s: a kind has one record, so remove one of them, or give one PartitionBy", found.name, what)
			continue
		}
		found = w
	}
	return found
}

// checkHalves refuses words that would leave half of an object behind, where
// two stores hold one record.
func (c *compiler) checkHalves(halves ...*wording) {
	for _, w := range halves {
		if w.when != nil {
			c.taskFault(w, "When would leave half of an object, for tasks %q and %q hold the record together: leave out When, or let one task store all of it", halves[0].name, halves[1].name)
		}
		if w.ttl != 0 || w.expires != nil {
			c.taskFault(w, "TTL would leave half of an object, for tasks %q and %q hold the record together: leave out TTL, or let one task store all of it", halves[0].name, halves[1].name)
		}
	}
}

// checkPatched refuses layouts that could not follow the record.
func (c *compiler) checkPatched() {
	k := c.kind
	if !k.opts.Patched || len(c.found) > 0 {
		return
	}
	for _, w := range c.words {
		k.tasks = append(k.tasks, w.task)
	}
	err := k.patchable()
	k.tasks = nil
	switch {
	case err != nil:
		c.fault("KindOptions.Patched: %v", err)
	case !k.record[0].whole:
		c.fault("KindOptions.Patched: layouts follow the record, and task %q does not keep the whole object: leave out its Fields, or Patched", k.record[0].name)
	}
}

// checkExpires refuses a cache that would serve an object after its end.
func (c *compiler) checkExpires() {
	for _, w := range c.words {
		if w.expires != nil && w.partition == nil && c.kind.cache != nil {
			c.taskFault(w, "Expires ends the object, and task %q would serve it all the same: remove one of them", c.kind.cache.name)
		}
	}
}

// placeCached decides what a volatile default write is to Get.
func (c *compiler) placeCached(w *wording) {
	k := c.kind
	partial := !w.whole && (len(w.fields) > 0 || !isDocument(k.typ) && splits(k.typ, Volatile))
	switch {
	case !partial, len(k.record) == 0 && k.cache == nil:
		if k.cache != nil {
			c.taskFault(w, "it caches the whole object, and so does task %q: give one of them Fields, or remove it", k.cache.name)
			return
		}
		k.cache = w.task
	case len(k.record) == 0 || !k.covers(k.record, w.set):
		k.parts = append(k.parts, w.task)
	}
}

// covers reports whether the tasks hold every field of the set between them.
func (k *kind) covers(tasks []*task, set *record.Set) bool {
	for _, f := range set.Fields {
		if !always(k.typ, f) && !slices.ContainsFunc(tasks, func(t *task) bool { return holds(t.set, f) }) {
			return false
		}
	}
	return true
}

func holds(set *record.Set, f *record.Field) bool {
	return slices.ContainsFunc(set.Fields, func(g *record.Field) bool { return g.Go == f.Go })
}

// checkKept refuses a field that no task keeps, in a type whose tags say what
// is kept where.
func (c *compiler) checkKept() {
	typ := c.kind.typ
	tagged := slices.ContainsFunc(typ.Fields, func(f record.Field) bool { return !isRest(typ, &f) && taggedForAny(&f) })
	if !tagged {
		return
	}
	for _, f := range fieldsOf(typ) {
		if always(typ, f) || taggedFor(f, Transitory) {
			continue
		}
		if slices.ContainsFunc(c.words, func(w *wording) bool { return w.set != nil && holds(w.set, f) }) {
			continue
		}
		c.fault("no task keeps the field %s, %s: %s", f.Go, whyLost(f), wayOut(f))
	}
}

// whyLost says why no task keeps a field.
func whyLost(f *record.Field) string {
	if purposes := tagsOf(f); len(purposes) > 0 {
		return fmt.Sprintf("which is tagged %s", strings.Join(purposes, " and "))
	}
	return "which has no tag in a type that has"
}

// wayOut says how a field can be kept, or lost on purpose.
func wayOut(f *record.Field) string {
	if purposes := tagsOf(f); len(purposes) > 0 {
		return fmt.Sprintf("add a default write of that purpose to the plan, as in {Purpose: persistence.%s}, or tag the field `persistence:\"-\"`", title(purposes[0]))
	}
	return "tag it for the purpose that keeps it, as in `amorphous:\"\"`, `transitory:\"\"` if only handlers need it, or `persistence:\"-\"` to leave it out"
}

func tagsOf(f *record.Field) []string {
	var out []string
	for p := Transitory; p <= Amorphous; p++ {
		if taggedFor(f, p) {
			out = append(out, p.String())
		}
	}
	return out
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// cannot is what transitory custody cannot promise.
const cannot = "what beanstalkd cannot do, it cannot promise: order per key across processes, limits per key across processes, " +
	"delays over a minute, and a receipt that another process completes need transactional custody"

// queueDelay is the longest Delay that transitory custody takes.
const queueDelay = time.Minute

// chooseCustody resolves AutoCustody and refuses what the custody cannot keep.
func (c *compiler) chooseCustody() {
	k := c.kind
	k.custody = k.opts.Custody
	if k.custody > TransitoryCustody {
		c.fault("Custody is %d: use AutoCustody, TransactionalCustody or TransitoryCustody", k.custody)
		return
	}
	needs := slices.ContainsFunc(c.words, func(w *wording) bool { return w.purpose == Transactional })
	if k.custody == AutoCustody {
		k.custody = TransitoryCustody
		if needs || c.site.layered() && (!c.site.has(Transitory) || c.allAtOnce() && c.site.has(Transactional)) {
			k.custody = TransactionalCustody
		}
	}
	if c.site.layered() {
		c.checkStores()
	}
	// A plan alone does not know its custody: the options of Declare may say.
	if k.custody == TransitoryCustody && (c.site.layered() || needs) {
		for _, w := range c.words {
			c.checkQueued(w)
		}
	}
}

// allAtOnce reports whether everything is written before Put returns. The
// envelope is then finished by Put itself, which a row allows and a job, that
// only its reserver may delete, does not.
func (c *compiler) allAtOnce() bool {
	return !slices.ContainsFunc(c.words, func(w *wording) bool { return w.priority > 0 })
}

// checkQueued refuses what a job in a queue cannot promise.
func (c *compiler) checkQueued(w *wording) {
	const instead = "give Declare persistence.KindOptions{Custody: persistence.TransactionalCustody}, or leave out %s"
	switch {
	case w.tx != nil && w.purpose == Transactional:
		c.taskFault(w, "Tx has its effect exactly once, which needs transactional custody: leave out KindOptions.Custody")
	case w.write == writeRow && w.priority == 0:
		c.taskFault(w, "a transactional write at priority 0 commits together with its envelope, which needs transactional custody: leave out KindOptions.Custody, or give the task a Priority of 1 or more")
	}
	for _, word := range []struct {
		name string
		used bool
	}{{"OrderingKey", w.orderingKey != ""}, {"PerKey", w.perKey > 0}, {"Delay", w.delay > queueDelay}} {
		if word.used {
			c.taskFault(w, "%s in transitory custody is refused, for %s: "+instead, word.name, cannot, word.name)
		}
	}
}

// checkStores refuses a plan whose layer lacks a store.
func (c *compiler) checkStores() {
	k, has := c.kind, c.site.has
	for _, w := range c.words {
		// Handlers of transitory purpose need no queue: an outbox feeds them too.
		queued := w.purpose == Transitory && w.write == writeNone
		if w.purpose >= Transitory && w.purpose <= Amorphous && !queued && !has(w.purpose) {
			c.taskFault(w, "its purpose is %s, and %s, or remove the task", w.purpose, noStore(w.purpose))
		}
	}
	switch {
	case k.custody == TransactionalCustody && k.opts.Custody == TransactionalCustody && !has(Transactional):
		c.fault("Custody is transactional, and the layer has no transactional store: give Open a Stores.Transactional, or leave out KindOptions.Custody")
	case k.custody == TransitoryCustody && !has(Transitory):
		c.fault("Custody is transitory, and the layer has no transitory store: give Open a Stores.Transitory, or leave out KindOptions.Custody")
	case !has(Transactional) && !has(Transitory):
		c.fault("nothing can hold what is accepted until it is done: give Open a Stores.Transactional or a Stores.Transitory")
	}
	later := slices.ContainsFunc(c.words, func(w *wording) bool { return w.priority > 0 })
	if later && !has(Transactional) && !has(Amorphous) {
		c.fault("a task that cannot succeed becomes a dead letter, and no store can keep it: give Open a Stores.Transactional or a Stores.Amorphous")
	}
}
