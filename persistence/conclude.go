package persistence

import (
	"context"
	"slices"
	"sync"
)

// A conclusion is what a verification says of the fingerprints of its kind: when it
// has gone over everything, and all that it found is mended, nothing lies any more
// as they say that were there when it began and are not this program's. Who
// declares one of them still, and runs, writes it down again.
type conclusion struct {
	layer *Layer
	kind  *kind

	mu     sync.Mutex
	former []fingerprint // none: there is nothing to conclude
	open   int           // differences that were found, and not mended
	unsure bool          // something was too young to be told
	over   bool
}

// A finding is one difference of a verification that concludes.
type finding struct {
	of      *conclusion
	settled bool
}

// concluding begins a conclusion; nil: there is nothing to conclude.
func (l *Layer) concluding(ctx context.Context, k *kind) *conclusion {
	former, err := l.formerOf(ctx, k, k.laid()...)
	if err != nil || len(former) == 0 || len(k.record) == 0 {
		return nil
	}
	return &conclusion{layer: l, kind: k, former: former}
}

// formerOf reads the fingerprints that tasks had and have no more.
func (l *Layer) formerOf(ctx context.Context, k *kind, tasks ...*task) (former []fingerprint, err error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	all, err := l.readFingerprints(ctx, k)
	for _, f := range all {
		if slices.ContainsFunc(tasks, func(t *task) bool { return t.foreign(f) }) {
			former = append(former, f)
		}
	}
	return former, err
}

// found notes a difference.
func (c *conclusion) found() *finding {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	return &finding{of: c}
}

// mended notes that a difference is gone, or will be found again.
func (f *finding) mended(ctx context.Context) {
	if f == nil {
		return
	}
	f.of.mu.Lock()
	if !f.settled {
		f.settled = true
		f.of.open--
	}
	f.of.mu.Unlock()
	f.of.end(ctx, false)
}

// doubt notes that something may differ.
func (c *conclusion) doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsure = true
}

// end strikes the former fingerprints once nothing is left to find or to mend. What
// cannot be struck is said by Check until another verification ends.
func (c *conclusion) end(ctx context.Context, over bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.over = c.over || over
	var former []fingerprint
	if c.over && !c.unsure && c.open == 0 {
		former, c.former = c.former, nil
	}
	c.mu.Unlock()
	if len(former) == 0 {
		return
	}
	if err := c.layer.strikeFingerprints(ctx, c.kind, former); err != nil {
		c.layer.log.Warn("a layout that was mended could not be noted as such: verify it once more", "kind", c.kind.name, "error", err)
	}
}
