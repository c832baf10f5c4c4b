package persistence

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

func goTypeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// checkPurpose checks what a task is: a handler, external, or a default write.
func (c *compiler) checkPurpose(w *wording) {
	if w.purpose == 0 || w.purpose > Amorphous {
		c.taskFault(w, "it has no Purpose: say Transitory, Volatile, Transactional or Amorphous")
	}
	actions := w.actions()
	if len(actions) > 1 {
		c.taskFault(w, "it has %s: one task does one thing, so make %d tasks of it", strings.Join(actions, " and "), len(actions))
	}
	if w.tx != nil && w.purpose != Transactional && w.purpose != 0 {
		c.taskFault(w, "it has Tx and its Purpose is %s: a handler inside a transaction needs the Purpose Transactional; use Do otherwise", w.purpose)
	}
	c.checkDerive(w, actions)
	c.checkRebuild(w)
	if len(actions) > 0 && w.priority == 0 {
		c.taskFault(w, "%s at priority 0 would hold up every Put, and 0 is also what a forgotten Priority is: give it a Priority of 1 or more", actions[0])
	}
}

// actions names the words by which a task is more than a default write.
func (w *wording) actions() []string {
	var out []string
	for _, a := range []struct {
		word string
		used bool
	}{{"Do", w.do != nil}, {"Tx", w.tx != nil}, {"External", w.external}} {
		if a.used {
			out = append(out, a.word)
		}
	}
	return out
}

// checkRange refuses numbers and durations out of range.
func (c *compiler) checkRange(w *wording) {
	if w.priority < 0 || w.priority > MaxPriority {
		c.taskFault(w, "Priority is %d: use 0 (before Put returns) to %d", w.priority, MaxPriority)
	}
	for _, d := range []struct {
		word  string
		value time.Duration
	}{{"Within", w.within}, {"Bucket", w.bucket}, {"TTL", w.ttl}, {"Stale", w.stale}, {"Ahead", w.ahead}, {"Delay", w.delay}, {"Timeout", w.timeout}} {
		if d.value < 0 {
			c.taskFault(w, "%s is %v: use a positive duration, or leave it out", d.word, d.value)
		}
	}
	for _, n := range []struct {
		word  string
		value int
	}{{"MaxAttempts", w.maxAttempts}, {"Concurrency", w.concurrency}, {"PerKey", w.perKey}} {
		if n.value < 0 {
			c.taskFault(w, "%s is %d: use a positive number, or leave it out", n.word, n.value)
		}
	}
	if w.perKey > MaxPerKey {
		c.taskFault(w, "PerKey is %d, and %d is the most: use less, or leave it out", w.perKey, MaxPerKey)
	}
	if w.bucket > 0 && w.bucket < time.Minute {
		c.taskFault(w, "Bucket is %v, which makes more partitions than rows: use a minute or more", w.bucket)
	}
	if w.delay > 0 && w.priority == 0 {
		c.taskFault(w, "Delay is %v, and priority 0 is before Put returns: give it a Priority of 1 or more, or leave out Delay", w.delay)
	}
	if c.site.horizon > 0 && w.delay >= c.site.horizon {
		c.taskFault(w, "Delay is %v, and what is older than Options.Horizon (%v) never runs: shorten the one or raise the other", w.delay, c.site.horizon)
	}
}

// checkWords refuses words that would be ignored.
func (c *compiler) checkWords(w *wording) {
	switch {
	case w.late > Expire:
		c.taskFault(w, "Late is %d: use RunLate or Expire", w.late)
	case w.late != RunLate && w.within == 0:
		c.taskFault(w, "Late says what becomes of a task past its Within, and it has no Within: set Within, or leave out Late")
	}
	if w.blocks && w.orderingKey == "" {
		c.taskFault(w, "Blocks keeps an ordering key, and it has no OrderingKey: set OrderingKey, or leave out Blocks")
	}
	if w.onDelete != nil && !w.handles() {
		c.taskFault(w, "OnDelete belongs to a task with Do or Tx: a default write removes what it wrote by itself, so leave it out")
	}
	if w.handles() {
		return
	}
	words := used(map[string]bool{"Timeout": w.timeout > 0, "Concurrency": w.concurrency > 0, "PerKey": w.perKey > 0}, "Timeout", "Concurrency", "PerKey")
	if len(words) > 0 {
		c.taskFault(w, "%s a handler, and it has none: leave %s out", verb(words, "bounds", "bound"), it(words))
	}
}

// checkKeeping refuses words that say how a cache entry, or a value of a view
// that is rebuilt, is served where none is, or where it would never be served so.
func (c *compiler) checkKeeping(w *wording) {
	words := used(map[string]bool{"Stale": w.stale > 0, "Ahead": w.ahead > 0, "Parts": w.parts}, "Stale", "Ahead", "Parts")
	switch {
	case len(words) == 0 || w.purpose == 0:
	case w.write != writeCache && (w.rebuild == nil || w.do == nil):
		c.taskFault(w, "%s a volatile default write, or what Rebuild brings back, and it is neither: leave %s out", verb(words, "says how to serve", "say how to serve"), it(words))
	case w.ttl == 0 && w.stale+w.ahead > 0:
		c.taskFault(w, "Stale and Ahead count from the end of the TTL, and it has none: set TTL, or leave them out")
	case w.ahead > 0 && w.ahead >= w.ttl:
		c.taskFault(w, "Ahead is %v and TTL is %v, so that it would be read again at once: shorten Ahead", w.ahead, w.ttl)
	}
}

// checkLayout refuses words of layout that do not go together, or that lay out
// nothing.
func (c *compiler) checkLayout(w *wording) {
	words := used(map[string]bool{
		"PartitionBy": w.partitionBy != "", "Newest": w.newestBy != "", "Bucket": w.bucket > 0, "TTL": w.ttl > 0, "Expires": w.expiresBy != "", "Fields": len(w.fields) > 0,
	}, "PartitionBy", "Newest", "Bucket", "TTL", "Expires", "Fields")
	if w.rebuild != nil && w.do != nil {
		words = slices.DeleteFunc(words, func(word string) bool { return word == "TTL" }) // of the view
	}
	if len(words) == 0 || w.purpose == 0 || w.counts != nil {
		return
	}
	if w.write == writeNone {
		c.taskFault(w, "%s a default write, and it has %s: leave %s out, or write in a task of its own", verb(words, "lays out", "lay out"), w.actions()[0], it(words))
		return
	}
	placed := used(map[string]bool{"PartitionBy": w.partitionBy != "", "Newest": w.newestBy != "", "Bucket": w.bucket > 0, "Expires": w.expiresBy != ""}, "PartitionBy", "Newest", "Bucket", "Expires")
	if w.write != writeCell && w.write != writeDerived && len(placed) > 0 {
		c.taskFault(w, "%s an amorphous default write, and its Purpose is %s: leave %s out, or use the Purpose Amorphous", verb(placed, "lays out", "lay out"), w.purpose, it(placed))
		return
	}
	if w.newestBy != "" && w.partitionBy == "" {
		c.taskFault(w, "Newest orders the rows of a partition, and it has no PartitionBy: set PartitionBy, or leave out Newest")
	}
	if w.bucket > 0 && w.newestBy == "" {
		c.taskFault(w, "Bucket divides a partition by the time of Newest, and it has no Newest: set Newest, or leave out Bucket")
	}
	if w.ttl > 0 && w.expiresBy != "" {
		c.taskFault(w, "TTL and Expires both say when an object ends: leave out one of them")
	}
	if w.ttl > 0 && (w.write == writeRow || w.write == writeJob) {
		c.taskFault(w, "TTL ends what is volatile or amorphous, and its Purpose is %s: leave out TTL, or use another Purpose", w.purpose)
	}
}

// used returns the words that are set, in this order.
func used(set map[string]bool, inOrder ...string) []string {
	var out []string
	for _, word := range inOrder {
		if set[word] {
			out = append(out, word)
		}
	}
	return out
}

// verb joins words and a verb that agrees with them.
func verb(words []string, one, many string) string {
	if len(words) == 1 {
		return words[0] + " " + one
	}
	last := len(words) - 1
	return fmt.Sprintf("%s and %s %s", strings.Join(words[:last], ", "), words[last], many)
}

func it(words []string) string {
	if len(words) == 1 {
		return "it"
	}
	return "them"
}
