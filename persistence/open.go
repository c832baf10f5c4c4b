package persistence

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/hlc"
	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// Open opens a layer over its stores. Servers need not be there: the layer
// starts, Check says what is down, and works when it comes. An in-process
// store whose directory another process has open is an error at once. A nil
// opts means the defaults.
func Open(ctx context.Context, stores Stores, opts *Options) (*Layer, error) {
	o, err := opts.withDefaults()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	l := &Layer{opts: o, log: o.Logger, kinds: map[string]*kind{}, closing: make(chan struct{})}
	l.owner, l.began = rand.Uint64()|1, time.Now()
	l.life, l.end = context.WithCancel(context.Background())
	if err := l.openStores(schemes.WithLogger(ctx, l.log), stores); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	owners.Store(l.owner, nil)
	l.engine = newEngine(l)
	if err := l.openTicks(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	crash.Point("open.after")
	return l, nil
}

// owners are those of the layers that are open in this process; the keys are uint64.
var owners sync.Map

func livingOwners() (out []uint64) {
	owners.Range(func(owner, _ any) bool {
		out = append(out, owner.(uint64))
		return true
	})
	return out
}

// openStores opens what Stores names.
func (l *Layer) openStores(ctx context.Context, s Stores) error {
	if s == (Stores{}) {
		return fault.New(fault.ErrInvalid, "", "open", "Stores names no store: give it at least one source, such as embedded.Stores(dir)")
	}
	if s.Transitory != nil {
		driver, err := s.Transitory.OpenDriver(ctx)
		if err != nil {
			return openError(Transitory, err)
		}
		l.queue = transitory.New(driver)
	}
	if s.Volatile != nil {
		driver, err := s.Volatile.OpenDriver(ctx)
		if err != nil {
			return openError(Volatile, err)
		}
		if l.cache, err = volatile.New(driver, &volatile.Options{Namespace: l.opts.Namespace,
			Rebuilds: l.opts.Rebuilds, RebuildRate: l.opts.RebuildRate}); err != nil {
			return err
		}
	}
	return l.openTables(ctx, s)
}

// openError says which store cannot be opened, unless its error does.
func openError(p Purpose, err error) error {
	var e *fault.Error
	if errors.As(err, &e) && e.Store == p.String() {
		return err
	}
	return fmt.Errorf("%s: %w", p, err)
}

func (l *Layer) openTables(ctx context.Context, s Stores) error {
	if s.Transactional != nil {
		driver, err := s.Transactional.OpenDriver(ctx)
		if err != nil {
			return openError(Transactional, err)
		}
		if l.rows, err = transactional.New(driver, &transactional.Options{Namespace: l.opts.Namespace, Logger: l.log}); err != nil {
			return err
		}
		if !driver.Features().SharedLog {
			// No other process can hold a claim, but other layers of this one can:
			// what a crash left is free at once.
			crash.Point("open.recover.before")
			if _, err := l.rows.Recover(ctx, livingOwners()...); err != nil {
				return err
			}
		}
	}
	crash.Point("open.recover.after")
	if s.Amorphous != nil {
		driver, err := s.Amorphous.OpenDriver(ctx)
		if err != nil {
			return openError(Amorphous, err)
		}
		if l.cells, err = amorphous.New(driver, &amorphous.Options{Namespace: l.opts.Namespace}); err != nil {
			return err
		}
	}
	return nil
}

// openTicks continues the clock above every version that was handed out
// before, where a durable store remembers it. A shared store that is not there
// yet is not waited for.
func (l *Layer) openTicks(ctx context.Context) error {
	if l.rows == nil {
		l.ticks = &ticks{clock: hlc.New(0, nil)}
		return nil
	}
	shared := l.rows.Features().SharedLog
	if shared {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, probeEvery)
		defer cancel()
	}
	ceiling, err := l.rows.Raise(ctx, ceilingName, 0)
	if err != nil && !shared {
		return err
	}
	l.ticks = newTicks(l, ceiling)
	if shared {
		l.spawn(l.watchSkew)
	}
	return nil
}

// register adds a compiled kind and prepares its tables.
func (l *Layer) register(ctx context.Context, k *kind) error {
	if err := l.open("declare"); err != nil {
		return err
	}
	if k.custody == TransitoryCustody && l.queue != nil && !k.opts.MemoryQueue &&
		l.queue.Features().Durability == fault.Memory {
		return fault.New(fault.ErrInvalid, "transitory", "declare",
			"the queue loses its jobs when its server stops; start it with a log, or allow that with KindOptions.MemoryQueue")
	}
	if err := errors.Join(l.openDerived(k), l.openViews(k)); err != nil {
		return err
	}
	l.mu.Lock()
	for _, name := range append([]string{k.name}, k.formerly...) {
		if l.kinds[name] != nil {
			l.mu.Unlock()
			return fault.New(fault.ErrExists, "", "declare", "a kind named "+name+" is declared already")
		}
	}
	l.nameLanes(k)
	k.references = holdsReferences(k.typ.Go)
	k.limit = l.limitOf(k)
	for _, t := range k.tasks {
		t.limit = newLimiter(t.concurrency, t.perKey)
		t.spec = t.specOf(k)
		if k.keepsAlone(t) {
			k.alone = append(k.alone, t)
		}
		l.chooseBook(k, t)
		if err := l.registerCounter(k, t); err != nil {
			l.mu.Unlock()
			return err
		}
	}
	for _, name := range append([]string{k.name}, k.formerly...) {
		l.kinds[name] = k
	}
	l.order = append(slices.Clip(l.order), k)
	l.mu.Unlock()
	crash.Point("declare.before")
	if err := l.prepareTables(ctx, k); err != nil && !fault.Outage(err) {
		return err
	}
	l.watchLayouts(ctx, k)
	if k.cache != nil && len(k.record) > 0 {
		l.watchOwed(ctx)
	}
	if k.custody == TransitoryCustody {
		l.watchErased(ctx)
	}
	crash.Point("declare.after")
	l.engine.wake()
	return nil
}

func (l *Layer) prepareTables(ctx context.Context, k *kind) error {
	for _, t := range k.tasks {
		switch t.write {
		case writeRow:
			if err := l.rows.Prepare(ctx, t.row); err != nil {
				return err
			}
		case writeCell:
			if err := l.cells.Prepare(ctx, t.table()); err != nil {
				return err
			}
		case writeCount:
			if err := l.cells.Prepare(ctx, t.count.counter.Tables()...); err != nil {
				return err
			}
		case writeDerived:
			if err := l.cells.Prepare(ctx, t.derive.rows.Tables()...); err != nil {
				return err
			}
		}
	}
	return nil
}

// limitOf is the largest encoded object that every store of the plan takes. A
// margin is left for what the stores add to it.
func (l *Layer) limitOf(k *kind) int {
	const margin = 1 << 10
	limit := 0
	lower := func(n int) {
		if n > margin && (limit == 0 || n-margin < limit) {
			limit = n - margin
		}
	}
	for _, t := range k.tasks {
		switch t.write {
		case writeRow:
			lower(l.rows.Features().MaxRow)
		case writeCell:
			lower(l.cells.Features().MaxBody)
		case writeJob:
			lower(l.queue.Features().MaxBody)
		}
	}
	if k.custody == TransitoryCustody {
		lower(min(MaxTransitory, l.queue.Features().MaxBody))
	} else if l.rows != nil {
		lower(l.rows.Features().MaxRow)
	}
	return limit
}

// holdsReferences reports whether copies of a type's values share memory.
func holdsReferences(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return false
		}
		for i := range t.NumField() {
			if holdsReferences(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Array:
		return holdsReferences(t.Elem())
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	}
	return false
}

// spawn runs fn until it returns or the layer closes, which waits for it. A
// layer that is closed already does not start it.
func (l *Layer) spawn(fn func(ctx context.Context)) {
	l.taskMu.Lock()
	defer l.taskMu.Unlock()
	if l.life.Err() == nil {
		l.tasks.Go(func() { fn(l.life) })
	}
}

// Close stops Work, waits for what is under way, and closes the stores that
// the layer opened. Every later call returns fault.ErrClosed. Closing twice is
// fine.
func (l *Layer) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	close(l.closing)
	if l.engine != nil {
		l.engine.stopped()
	}
	l.taskMu.Lock()
	l.end()
	l.taskMu.Unlock()
	l.tasks.Wait()
	l.leaveLayouts()
	owners.Delete(l.owner)
	var errs []error
	if l.queue != nil {
		errs = append(errs, l.queue.Close())
	}
	if l.cache != nil {
		errs = append(errs, l.cache.Close())
	}
	if l.rows != nil {
		errs = append(errs, l.rows.Close())
	}
	if l.cells != nil {
		errs = append(errs, l.cells.Close())
	}
	return errors.Join(errs...)
}
