package persistence

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Validate checks a plan without a layer. The error is fault.ErrInvalid and
// lists all faults, each with the task, the word and a way out. What depends
// on stores and custody is known to Declare only.
func (p Plan[T]) Validate() error {
	c := compilerOf(p)
	if len(c.found) == 0 {
		return nil
	}
	return &refusal{what: "plan", faults: c.found}
}

// maxName is the longest name of a kind or task, in bytes.
const maxName = 40

// nameRule is the grammar of names, as faults give it.
const nameRule = "use at most 40 lower-case letters and digits, a letter first, with single hyphens or underscores between them; " +
	"such a name can name a tube, a table and a column family alike"

// validName reports whether a kind or a task may bear the name.
func validName(name string) bool {
	if name == "" || len(name) > maxName || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	joint := false // the byte before was a hyphen or an underscore
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			joint = false
		case (c == '-' || c == '_') && !joint:
			joint = true
		default:
			return false
		}
	}
	return !joint
}

// maxPhysical is the longest name of a table before its namespace: the
// shortest limit of any server, less the longest namespace.
const maxPhysical = 28

// physical is the name of a table that belongs to these durable names: joined
// by two underscores, which no name of a kind or task holds. One that is too
// long for some server ends in a digest of the whole.
func physical(names ...string) string {
	whole := strings.ReplaceAll(strings.Join(names, "__"), "-", "_")
	if len(whole) <= maxPhysical {
		return whole
	}
	const digits = 8
	sum := sha256.Sum256([]byte(whole))
	return whole[:maxPhysical-digits-1] + "_" + hex.EncodeToString(sum[:digits/2])
}

// checkNames checks the names of a kind.
func (c *compiler) checkNames(name string, opts KindOptions) {
	if !validName(name) {
		c.fault("the name is not valid: %s", nameRule)
	}
	if opts.Table != "" && !validName(opts.Table) {
		c.fault("the Table %q is not valid: %s", opts.Table, nameRule)
	}
	for i, former := range opts.Formerly {
		switch {
		case !validName(former):
			c.fault("the former name %q is not valid: %s", former, nameRule)
		case former == name || slices.Contains(opts.Formerly[:i], former):
			c.fault("the name %q stands in Formerly, and is the kind's already: remove it", former)
		}
	}
}

// checkPlan checks the tasks, each and together.
func (c *compiler) checkPlan() {
	switch n := len(c.words); {
	case n == 0 && len(c.found) == 0:
		c.fault("the plan has no task: add one, or pass nil to go by the field tags")
	case n > MaxTasks:
		c.fault("the plan has %d tasks, and the limit is %d: let one handler do several things, or declare a second kind", n, MaxTasks)
	}
	for _, w := range c.words {
		c.checkNamesOf(w)
		c.checkPurpose(w)
		c.checkRange(w)
		c.checkWords(w)
		c.checkLayout(w)
		c.checkCount(w)
		c.checkKeeping(w)
	}
	c.checkUnique()
	c.checkRealTime()
}

// checkNamesOf checks the durable names of one task.
func (c *compiler) checkNamesOf(w *wording) {
	if w.name == "" && w.purpose != 0 {
		c.taskFault(w, "it has no Name: a task with a handler, Derive or Count needs one, which stands in queued envelopes and must not change")
	} else if w.name != "" && !validName(w.name) {
		c.taskFault(w, "the name is not valid: %s", nameRule)
	}
	for _, was := range w.was {
		if !validName(was) {
			c.taskFault(w, "the former name %q is not valid: %s", was, nameRule)
		}
	}
}

// checkUnique refuses two tasks of one name. Hyphens and underscores are the
// same in the name of a table.
func (c *compiler) checkUnique() {
	type owner struct {
		name string
		word *wording
	}
	taken := map[string]owner{}
	for _, w := range c.words {
		for _, name := range append([]string{w.name}, w.was...) {
			if name == "" {
				continue
			}
			other, found := taken[physical(name)]
			taken[physical(name)] = owner{name, w}
			switch {
			case !found:
			case other.word == w:
				c.taskFault(w, "Was repeats %q: remove it", name)
			case other.name == name:
				c.taskFault(w, "the name %q is that of another task as well: names and former names of one plan are all different", name)
			default:
				c.taskFault(w, "the name %q and the name %q of another task would be one table: choose names that differ in more than hyphens and underscores", name, other.name)
			}
		}
	}
}

// checkRealTime refuses a real-time task behind a background one.
func (c *compiler) checkRealTime() {
	var first *wording // the background task with the smallest priority
	for _, w := range c.words {
		if !w.realTime && w.priority > 0 && (first == nil || w.priority < first.priority) {
			first = w
		}
	}
	if first == nil {
		return
	}
	for _, w := range c.words {
		if w.realTime && w.priority > first.priority {
			c.taskFault(w, "it is RealTime at priority %d, behind the background %s at priority %d: real-time tasks go before all background tasks, so give it a priority of at most %d, or leave out RealTime",
				w.priority, first.label(), first.priority, first.priority)
		}
	}
}

// compilerOf compiles a plan without a layer.
func compilerOf[T any](p Plan[T]) *compiler {
	typ := goTypeOf[T]()
	c := &compiler{typ: typeName(typ), kind: &kind{table: "plan"}}
	c.who = fmt.Sprintf("plan of %s", c.typ)
	c.compile(typ, erase(p), p == nil)
	return c
}
