package persistence

import (
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// noStore is what is said of a store that the layer has not.
func noStore(p Purpose) string {
	return "the layer has no such store: give Open a Stores." + title(p.String())
}

// missing are the stores of which Stores has no source: whatever they are asked
// for, they say so. A nil would end the program without a word.
type missing struct {
	once  sync.Once
	queue *transitory.Queue
	cache *volatile.Cache
	rows  *transactional.Store
	cells *amorphous.Store
}

func (m *missing) open() *missing {
	m.once.Do(func() {
		m.queue = transitory.New(noQueue{})
		m.cache, _ = volatile.New(noCache{}, nil)
		m.rows, _ = transactional.New(noRows{}, nil)
		m.cells, _ = amorphous.New(noCells{}, nil)
	})
	return m
}

// noDriver is what the drivers of missing stores have in common.
type noDriver Purpose

func (p noDriver) err(op string) error {
	return fault.New(fault.ErrUnsupported, Purpose(p).String(), op, noStore(Purpose(p)))
}

func (p noDriver) errs(op string, n int) []error {
	out := make([]error, n)
	for i := range out {
		out[i] = p.err(op)
	}
	return out
}

func (p noDriver) check() fault.Report {
	return fault.Report{Purpose: Purpose(p).String(), Driver: "missing", Class: fault.ErrUnsupported, Problems: []string{noStore(Purpose(p))}}
}

type noQueue struct{}

func (noQueue) Put(_ context.Context, jobs []transitory.Job) []error {
	return noDriver(Transitory).errs("put", len(jobs))
}

func (noQueue) Reserve(context.Context, []string, int) ([]transitory.Job, error) {
	return nil, noDriver(Transitory).err("reserve")
}

func (noQueue) Delete(_ context.Context, ids []transitory.ID) []error {
	return noDriver(Transitory).errs("delete", len(ids))
}

func (noQueue) Release(_ context.Context, releases []transitory.Release) []error {
	return noDriver(Transitory).errs("release", len(releases))
}

func (noQueue) Touch(_ context.Context, ids []transitory.ID) []error {
	return noDriver(Transitory).errs("touch", len(ids))
}

func (noQueue) Stats(context.Context, []string) ([]transitory.TubeStats, error) {
	return nil, noDriver(Transitory).err("stats")
}

func (noQueue) Features() transitory.Features {
	return transitory.Features{Name: "missing", MaxBody: math.MaxInt32}
}
func (noQueue) Check(context.Context) fault.Report { return noDriver(Transitory).check() }
func (noQueue) Close() error                       { return nil }

type noCache struct{}

func (noCache) Get(context.Context, []string) ([]volatile.Item, error) {
	return nil, noDriver(Volatile).err("get")
}

func (noCache) Set(_ context.Context, items []volatile.Item) []error {
	return noDriver(Volatile).errs("set", len(items))
}

func (noCache) Swap(context.Context, volatile.Item) error { return noDriver(Volatile).err("swap") }

func (noCache) Delete(_ context.Context, keys []string) []error {
	return noDriver(Volatile).errs("delete", len(keys))
}

func (noCache) Add(context.Context, string, int64, time.Duration) (uint64, error) {
	return 0, noDriver(Volatile).err("add")
}
func (noCache) Features() volatile.Features        { return volatile.Features{Name: "missing"} }
func (noCache) Check(context.Context) fault.Report { return noDriver(Volatile).check() }
func (noCache) Close() error                       { return nil }

type noRows struct{}

func (noRows) Run(context.Context, func(transactional.Conn) error) error {
	return noDriver(Transactional).err("run")
}

func (noRows) View(context.Context, func(transactional.Conn) error) error {
	return noDriver(Transactional).err("view")
}

func (noRows) Features() transactional.Features {
	clause := func([]string, []string) string { return "" }
	all := func(int64, int) bool { return false }
	return transactional.Features{Name: "missing", MaxRow: math.MaxInt32, Dialect: transactional.Dialect{
		Name: "missing", Quote: strings.Clone, Uint: func(n uint64) any { return n }, Upsert: clause, Replace: clause,
		AllWon: all, AllNew: all, IgnoreDuplicate: func([]string) string { return "" },
	}}
}
func (noRows) Check(context.Context) fault.Report { return noDriver(Transactional).check() }
func (noRows) Close() error                       { return nil }

type noCells struct{}

func (noCells) Write(_ context.Context, _ amorphous.Table, rows []amorphous.Row) []error {
	return noDriver(Amorphous).errs("write", len(rows))
}

func (noCells) Read(context.Context, amorphous.Table, []amorphous.Address) ([]amorphous.Row, error) {
	return nil, noDriver(Amorphous).err("read")
}

func (noCells) Scan(context.Context, amorphous.Table, amorphous.Range) (amorphous.Page, error) {
	return amorphous.Page{}, noDriver(Amorphous).err("scan")
}

func (noCells) Prepare(context.Context, []amorphous.Table) error {
	return noDriver(Amorphous).err("prepare")
}

func (noCells) CreateSchema(context.Context, []amorphous.Table) error {
	return noDriver(Amorphous).err("create schema")
}
func (noCells) Schema([]amorphous.Table) []string { return nil }
func (noCells) Features() amorphous.Features {
	return amorphous.Features{Name: "missing", MaxBody: math.MaxInt32}
}
func (noCells) Check(context.Context) fault.Report { return noDriver(Amorphous).check() }
func (noCells) Close() error                       { return nil }
