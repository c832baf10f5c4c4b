package volatiletest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

var entryChecks = []check{
	{name: "Features", promise: "Every driver implements Featured and Checker, and what it says is plausible.", run: checkFeatures},
	{name: "SetGet", promise: "Get returns what Set wrote, byte for byte; nil and empty are the same.", run: checkSetGet},
	{name: "Miss", promise: "A miss is not an error; Get returns the entries that are there, in any order.", run: checkMiss},
	{name: "Delete", promise: "Delete removes entries; one that is not there is fine.", run: checkDelete},
	{name: "MaxValue", promise: "A value of MaxValue is kept; a larger one is fault.ErrTooLarge before anything is sent, and the old value stays.", run: checkMaxValue},
	{name: "Aliasing", promise: "Every method copies what it keeps and what it returns.", run: checkAliasing},
	{name: "Aligned", promise: "Slices of errors are aligned with the argument; one faulty item does not touch the others.", run: checkAligned},
}

func checkFeatures(t *testing.T, e *env) {
	f := e.features()
	if f.Name == "" || f.MaxValue < 64<<10 || f.Resolution <= 0 || f.Resolution > time.Second {
		t.Errorf("features %+v", f)
	}
	report := e.driver.(volatile.Checker).Check(e.ctx)
	if !report.OK() {
		t.Errorf("check: %v", report)
	}
	if report.Purpose != "volatile" || report.Driver != f.Name || report.Version == "" || report.Durability != fault.Memory {
		t.Errorf("report %+v", report)
	}
	if report.MaxObject != f.MaxValue {
		t.Errorf("the report says %d bytes at most, the features %d", report.MaxObject, f.MaxValue)
	}
}

func checkSetGet(t *testing.T, e *env) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	values := [][]byte{[]byte("v"), {}, {0}, []byte("\r\n"), []byte("END\r\n"), []byte("VALUE a 0 1\r\n"), []byte("\xff\xfe"), every,
		bytes.Repeat([]byte("x"), 100_000)}
	for i, value := range values {
		key := fmt.Sprintf("k%d", i)
		e.set(t, key, value, 0)
		e.want(t, key, value)
	}
	e.set(t, "nil", nil, 0)
	if item, ok := e.get(t, "nil"); !ok || len(item.Value) != 0 {
		t.Errorf("a nil value came back as %v, %v", item.Value, ok)
	}
	e.set(t, "k0", []byte("second"), 0)
	e.want(t, "k0", []byte("second"))
	for _, value := range weird {
		e.set(t, "weird", []byte(value), 0)
		e.want(t, "weird", []byte(value))
	}
}

func checkMiss(t *testing.T, e *env) {
	e.want(t, "nothing", nil)
	items, err := e.driver.Get(e.ctx, nil)
	if len(items) != 0 || err != nil {
		t.Errorf("get of no keys: %v, %v", items, err)
	}
	var keys []string
	for i := range 300 {
		key := fmt.Sprintf("m%d", i)
		keys = append(keys, key)
		if i%3 == 0 {
			e.set(t, key, []byte(key), 0)
		}
	}
	keys = append(keys, "m0", "m0")
	items, err = e.driver.Get(e.ctx, keys)
	if err != nil {
		t.Fatalf("get of 300 keys: %v", err)
	}
	found := map[string]bool{}
	for _, item := range items {
		found[item.Key] = true
		if string(item.Value) != item.Key {
			t.Errorf("%q holds %s", item.Key, brief(item.Value))
		}
	}
	if len(found) != 100 {
		t.Errorf("found %d of 100 entries among 300 keys", len(found))
	}
}

func checkDelete(t *testing.T, e *env) {
	e.set(t, "a", []byte("1"), 0)
	e.set(t, "b", []byte("2"), 0)
	for _, err := range e.driver.Delete(e.ctx, []string{"a", "nothing"}) {
		if err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	e.want(t, "a", nil)
	e.want(t, "b", []byte("2"))
	if errs := e.driver.Delete(e.ctx, nil); len(errs) != 0 {
		t.Errorf("delete of nothing: %v", errs)
	}
}

func checkMaxValue(t *testing.T, e *env) {
	most := e.features().MaxValue
	largest := bytes.Repeat([]byte("x"), most)
	longKey := strings.Repeat("k", volatile.MaxItemKey)
	for _, key := range []string{"k", longKey} {
		e.set(t, key, largest, 0)
		e.want(t, key, largest)
	}
	e.set(t, "k", []byte("old"), 0)
	larger := append(largest, 'x')
	if err := e.driver.Set(e.ctx, []volatile.Item{{Key: "k", Value: larger}})[0]; !errors.Is(err, fault.ErrTooLarge) {
		t.Errorf("set of %d bytes: %v", len(larger), err)
	}
	e.want(t, "k", []byte("old"))
	item, _ := e.get(t, "k")
	if err := e.driver.Swap(e.ctx, volatile.Item{Key: "k", Value: larger, Token: item.Token}); !errors.Is(err, fault.ErrTooLarge) {
		t.Errorf("swap of %d bytes: %v", len(larger), err)
	}
	e.want(t, "k", []byte("old"))
}

func checkAliasing(t *testing.T, e *env) {
	value := []byte("value")
	e.set(t, "set", value, 0)
	if err := e.driver.Swap(e.ctx, volatile.Item{Key: "swap", Value: value}); err != nil {
		t.Fatalf("swap: %v", err)
	}
	copy(value, "XXXXX")
	for _, key := range []string{"set", "swap"} {
		item, _ := e.get(t, key)
		if string(item.Value) != "value" {
			t.Errorf("%s kept the caller's own slice: %q", key, item.Value)
		}
		copy(item.Value, "YYYYY")
		e.want(t, key, []byte("value"))
	}
}

func checkAligned(t *testing.T, e *env) {
	items := []volatile.Item{
		{Key: "a", Value: []byte("1")}, {Key: "", Value: []byte("2")}, {Key: "b", Value: []byte("3")},
		{Key: "c", TTL: -1}, {Key: "d", Value: make([]byte, e.features().MaxValue+1)}, {Key: "e", Value: []byte("6")},
	}
	errs := e.driver.Set(e.ctx, items)
	want := []error{nil, fault.ErrInvalid, nil, fault.ErrInvalid, fault.ErrTooLarge, nil}
	if len(errs) != len(want) {
		t.Fatalf("%d errors for %d items", len(errs), len(items))
	}
	for i, err := range errs {
		if !errors.Is(err, want[i]) {
			t.Errorf("item %d: %v; want %v", i, err, want[i])
		}
	}
	e.want(t, "a", []byte("1"))
	e.want(t, "b", []byte("3"))
	e.want(t, "c", nil)
	e.want(t, "e", []byte("6"))
	errs = e.driver.Delete(e.ctx, []string{"a", "", "b"})
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], fault.ErrInvalid) || errs[2] != nil {
		t.Errorf("delete with a faulty key: %v", errs)
	}
	e.want(t, "b", nil)
}
