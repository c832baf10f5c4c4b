package persistence

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/transactional"
)

const (
	putPart   = 256 // objects of a PutAll that are put together: as many as a group takes
	putAhead  = 2   // such parts at a time, so that one is encoded while another is committed
	putEncode = 32  // objects that are worth a goroutine of their own, to be encoded
)

// A putting is one object of a PutAll on its way.
type putting struct {
	obj    any
	out    *PutResult
	began  time.Time
	a      *accepting // nil when it was refused
	united bool       // its acceptance is one commit of the transactional store
}

// A putAll puts the objects of one call.
type putAll struct {
	layer    *Layer
	kind     *kind
	options  putOptions
	panicked atomic.Pointer[any] // such as of a When: it is the caller's to recover, as in Put
}

// putAll puts objects, as many at a time as a group takes.
func (l *Layer) putAll(ctx context.Context, k *kind, objs []any, p putOptions) []PutResult {
	out := make([]PutResult, len(objs))
	if p.token != "" && len(objs) > 1 {
		err := opError("put", k, "", invalid("one token names one Put: give PutAll none"))
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	all := putAll{layer: l, kind: k, options: p}
	var under sync.WaitGroup
	slots := make(chan struct{}, putAhead)
	for from := 0; from < len(objs); from += putPart {
		part := make([]putting, min(putPart, len(objs)-from))
		for i := range part {
			part[i].obj, part[i].out = objs[from+i], &out[from+i]
		}
		if len(part) == len(objs) {
			all.put(ctx, part)
			break
		}
		slots <- struct{}{}
		under.Go(func() {
			defer func() { <-slots }()
			all.put(ctx, part)
		})
	}
	under.Wait()
	if v := all.panicked.Load(); v != nil {
		panic(*v)
	}
	return out
}

// put puts the objects of a part. Those that the transactional store accepts go
// to it in one call, all others side by side.
func (all *putAll) put(ctx context.Context, part []putting) {
	all.prepare(ctx, part)
	var beside sync.WaitGroup
	united := make([]*putting, 0, len(part))
	for i := range part {
		switch p := &part[i]; {
		case p.a == nil:
		case p.united:
			united = append(united, p)
		default:
			all.aside(ctx, &beside, p, func() (*Receipt, error) { return all.layer.engine.accept(ctx, p.a) })
		}
	}
	if len(united) > 0 {
		all.unite(ctx, united, &beside)
	}
	beside.Wait()
}

// prepare checks and encodes the objects, in a few goroutines: to start one for
// each cost as much as the work, most of all for the growth of their stacks.
func (all *putAll) prepare(ctx context.Context, part []putting) {
	n := max(1, min(runtime.GOMAXPROCS(0), len(part)/putEncode))
	var beside sync.WaitGroup
	for i := range n {
		some := part[len(part)*i/n : len(part)*(i+1)/n]
		beside.Go(func() {
			for i := range some {
				all.prepareOne(ctx, &some[i])
			}
		})
	}
	beside.Wait()
}

func (all *putAll) prepareOne(ctx context.Context, p *putting) {
	defer all.recover()
	p.began = time.Now()
	a, err := all.layer.acceptable(ctx, all.kind, p.obj, all.options)
	if err != nil {
		all.answer(ctx, p, nil, err)
		return
	}
	if p.united = all.layer.engine.unites(ctx, a); p.united {
		all.layer.engine.gather(a)
	}
	p.a = a
}

func (all *putAll) recover() {
	if v := recover(); v != nil {
		all.panicked.Store(&v)
	}
}

// aside answers for an object in a goroutine of its own.
func (all *putAll) aside(ctx context.Context, beside *sync.WaitGroup, p *putting, do func() (*Receipt, error)) {
	beside.Go(func() {
		defer all.recover()
		receipt, err := do()
		all.answer(ctx, p, receipt, err)
	})
}

func (all *putAll) answer(ctx context.Context, p *putting, receipt *Receipt, err error) {
	size := 0
	if p.a != nil {
		size = len(p.a.version.body)
		if err != nil {
			err = opError(all.options.op(), all.kind, p.a.version.key, err)
		}
	}
	p.out.Receipt, p.out.Err = receipt, err
	all.layer.putDone(ctx, all.kind, receipt, size, p.began, err)
	if p.a != nil {
		p.a.recycle()
	}
}

// unite accepts objects in one call of the transactional store. Of those that
// are accepted, workers get all at once: they would take the first one alone,
// and in small groups what comes after it.
func (all *putAll) unite(ctx context.Context, united []*putting, beside *sync.WaitGroup) {
	e := all.layer.engine
	units := make([]*transactional.Unit, len(united))
	for i, p := range united {
		units[i] = &p.a.unit
	}
	crash.Point("accept.all.before")
	results, errs := all.layer.rows.ApplyAll(ctx, units)
	crash.Point("accept.all.after")
	var ready []*held
	for i, p := range united {
		if errs[i] == nil && (results[i].Repeats != nil || p.a.refreshes() || p.a.held != nil && p.a.urgent()) {
			all.aside(ctx, beside, p, func() (*Receipt, error) { return e.applied(ctx, p.a, results[i], nil) })
			continue
		}
		p.a.together = true
		receipt, err := e.applied(ctx, p.a, results[i], errs[i])
		if err == nil && p.a.mine && e.ready(ctx, p.a.held, nowMicro()) {
			ready = append(ready, p.a.held)
		}
		all.answer(ctx, p, receipt, err)
	}
	e.handAll(ready)
}
