package cql

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// An emulator is Cassandra's reconciliation in memory: cells with write
// timestamps, range tombstones, and of two cells with one timestamp the larger
// value. It understands the statements of table.go, and nothing else.
type emulator struct {
	mu     sync.Mutex
	tables map[string]map[string]*storage // by table and partition

	before func(ctx context.Context, s Statement) error // a seam for faults; may be nil
}

type storage struct {
	cells map[string]stored // by their primary key
	drops []drop
}

type stored struct {
	key   []any
	stamp int64
	value []byte // nil: a tombstone
}

// A drop is a tombstone over the rows that begin with a key.
type drop struct {
	prefix string
	stamp  int64
}

var errMissing = &answer{codeInvalid, "unconfigured table t"}

type answer struct {
	code int
	text string
}

func (a *answer) Error() string { return a.text }
func (a *answer) Code() int     { return a.code }

func keyText(key []any) string {
	var b strings.Builder
	for _, k := range key {
		switch k := k.(type) {
		case string:
			fmt.Fprintf(&b, "%q/", k)
		case []byte:
			fmt.Fprintf(&b, "%q/", k)
		default:
			fmt.Fprintf(&b, "%v/", k)
		}
	}
	return b.String()
}

// table finds the table of a statement.
func (e *emulator) table(text string) (map[string]*storage, error) {
	start := strings.Index(text, `"`)
	if start < 0 {
		return nil, fmt.Errorf("no table in %s", text)
	}
	name, _, _ := strings.Cut(text[start:], " ")
	t := e.tables[name]
	if t == nil {
		return nil, errMissing
	}
	return t, nil
}

func (e *emulator) Exec(ctx context.Context, _ Consistency, s Statement) error {
	if err := e.enter(ctx, s); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.apply(s)
}

func (e *emulator) Batch(ctx context.Context, _ Consistency, statements []Statement) error {
	for _, s := range statements {
		if err := e.enter(ctx, s); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range statements {
		if err := e.apply(s); err != nil {
			return err
		}
	}
	return nil
}

func (e *emulator) enter(ctx context.Context, s Statement) error {
	if err := ctx.Err(); err != nil {
		return NotSent(err)
	}
	if e.before != nil {
		return e.before(ctx, s)
	}
	return nil
}

// eachName gives names to what scans rows of one column.
func eachName(names []string, row func(scan func(dest ...any) error) error) error {
	for _, name := range names {
		if err := row(func(dest ...any) error { *dest[0].(*string) = name; return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (e *emulator) apply(s Statement) error {
	if rest, ok := strings.CutPrefix(s.Text, "CREATE TABLE IF NOT EXISTS "); ok {
		name, _, _ := strings.Cut(rest, " ")
		if e.tables == nil {
			e.tables = map[string]map[string]*storage{}
		}
		if e.tables[name] == nil {
			e.tables[name] = map[string]*storage{}
		}
		return nil
	}
	parts, err := e.table(s.Text)
	if err != nil {
		return err
	}
	stamp := s.Args[0].(int64)
	first := 2
	switch {
	case strings.HasPrefix(s.Text, "DELETE"):
		first = 1
	case strings.Contains(s.Text, "TTL"):
		first = 3
	}
	partition := s.Args[first].(string)
	t := parts[partition]
	if t == nil {
		t = &storage{cells: map[string]stored{}}
		parts[partition] = t
	}
	switch {
	case strings.HasPrefix(s.Text, "DELETE") && strings.HasSuffix(s.Text, "id = ?"):
		t.drops = append(t.drops, drop{keyText(s.Args[1:]), stamp})
	case strings.HasPrefix(s.Text, "DELETE"):
		t.put(stored{key: s.Args[1:], stamp: stamp})
	default:
		t.put(stored{key: s.Args[first:], stamp: stamp, value: s.Args[first-1].([]byte)})
	}
	return nil
}

func (t *storage) put(c stored) {
	k := keyText(c.key)
	old, ok := t.cells[k]
	wins := !ok || c.stamp > old.stamp || c.stamp == old.stamp && old.value != nil && (c.value == nil || bytes.Compare(c.value, old.value) > 0)
	if wins {
		c.value = bytes.Clone(c.value)
		t.cells[k] = c
	}
}

// live are the cells that no tombstone covers, in the order of their keys.
func (t *storage) live() []stored {
	var out []stored
	for k, c := range t.cells {
		covered := slices.ContainsFunc(t.drops, func(d drop) bool { return c.stamp <= d.stamp && strings.HasPrefix(k, d.prefix) })
		if c.value != nil && !covered {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b stored) int { return compareKeys(a.key, b.key) })
	return out
}

func compareKeys(a, b []any) int {
	for i := range min(len(a), len(b)) {
		var c int
		switch x := a[i].(type) {
		case string:
			c = cmp.Compare(x, b[i].(string))
		case []byte:
			c = bytes.Compare(x, b[i].([]byte))
		case int64:
			c = cmp.Compare(x, b[i].(int64))
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func (e *emulator) Each(ctx context.Context, _ Consistency, s Statement, _ int, row func(scan func(dest ...any) error) error) error {
	if err := e.enter(ctx, s); err != nil {
		return err
	}
	e.mu.Lock()
	if strings.Contains(s.Text, "system") {
		answers := []string{"emulated"}
		if strings.Contains(s.Text, "system_schema.tables") {
			answers = nil
			for name := range e.tables { // "keyspace"."table"
				answers = append(answers, strings.Split(name, `"`)[3])
			}
		}
		e.mu.Unlock()
		return eachName(answers, row)
	}
	parts, err := e.table(s.Text)
	if err != nil {
		e.mu.Unlock()
		return err
	}
	var cells []stored
	if head, rest, ok := strings.Cut(s.Text, "part IN ? AND "); ok {
		some := map[string]*storage{}
		for _, partition := range s.Args[0].([]string) {
			if t := parts[partition]; t != nil {
				some[partition] = t
			}
		}
		s.Text, s.Args, parts = head+rest, s.Args[1:], some
	}
	if strings.HasSuffix(s.Text, "IN ?") {
		for _, id := range s.Args[0].([]string) {
			if t := parts[id]; t != nil {
				cells = append(cells, t.live()...)
			}
		}
		s.Text, s.Args, parts = strings.TrimSuffix(s.Text, " WHERE id IN ?"), nil, nil
	}
	for _, partition := range slices.Sorted(maps.Keys(parts)) {
		if one := strings.Contains(s.Text, "WHERE part = ?") || strings.Contains(s.Text, "WHERE id = ?"); !one || partition == s.Args[0] {
			cells = append(cells, parts[partition].live()...)
		}
	}
	e.mu.Unlock()
	if strings.Contains(s.Text, "DESC") {
		slices.Reverse(cells)
	}
	twins := ""
	for _, c := range cells {
		if !selects(s, c.key) {
			continue
		}
		values := append(slices.Clone(c.key), c.value, c.stamp)
		switch {
		case strings.HasPrefix(s.Text, "SELECT DISTINCT"):
			if c.key[0] == twins {
				continue
			}
			twins = c.key[0].(string)
			values = values[:1]
		case strings.HasPrefix(s.Text, "SELECT id, stamp"):
			values = []any{c.key[0], c.value, c.stamp}
		}
		if err := row(func(dest ...any) error { return assign(dest, values) }); err != nil {
			return err
		}
	}
	return nil
}

func assign(dest, values []any) error {
	if len(dest) != len(values) {
		return fmt.Errorf("%d destinations for %d values", len(dest), len(values))
	}
	for i, v := range values {
		switch d := dest[i].(type) {
		case *string:
			*d = v.(string)
		case *[]byte:
			*d = bytes.Clone(v.([]byte))
		case *int64:
			*d = v.(int64)
		default:
			return fmt.Errorf("a %T", d)
		}
	}
	return nil
}

// selects evaluates a WHERE clause. Tokens are the partitions themselves.
func selects(s Statement, key []any) bool {
	_, where, ok := strings.Cut(s.Text, " WHERE ")
	if !ok {
		return true
	}
	where, _, _ = strings.Cut(where, " ORDER BY")
	where, _, _ = strings.Cut(where, " ALLOW FILTERING")
	columns := map[string]int{"part": 0, "ord": 1, "id": 2, "shape": 3}
	if strings.Contains(s.Text, `_At"`) {
		columns = map[string]int{"id": 0, "part": 1, "ord": 2}
	}
	args := s.Args
	for _, condition := range strings.Split(where, " AND ") {
		f := strings.Fields(strings.NewReplacer("token(part)", "part", "(", "", ")", "", ",", " ").Replace(condition))
		n := (len(f) - 1) / 2
		var have, want []any
		for _, column := range f[:n] {
			have = append(have, key[columns[column]])
		}
		if f[len(f)-1] == "''" {
			want = []any{""}
		} else {
			want, args = args[:n], args[n:]
		}
		c := compareKeys(have, want)
		if !map[string]bool{"=": c == 0, ">": c > 0, "<": c < 0, ">=": c >= 0}[f[n]] {
			return false
		}
	}
	return true
}

func (e *emulator) Close() {}

// errLost is an answer that did not come.
var errLost = errors.New("no response received from cassandra within timeout period")

func newEmulated(e *emulator) *Driver {
	d, err := New(Handed(e), Options{Keyspace: "ks", Timeout: 5 * time.Second})
	if err != nil {
		panic(err)
	}
	return d
}
