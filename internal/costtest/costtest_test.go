package costtest

import (
	"fmt"
	"testing"
)

var sink []byte

func TestOfCountsAllocationsAndBytes(t *testing.T) {
	got := Of(100, func() { sink = make([]byte, 4096) })
	if got.Allocs < 1 || got.Allocs > 1.5 || got.Bytes < 4096 || got.Bytes > 6000 {
		t.Errorf("one slice of 4096 bytes is %+v", got)
	}
}

type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper()                      {}
func (f *failing) Logf(string, ...any)          {}
func (f *failing) Errorf(form string, a ...any) { f.said = fmt.Sprintf(form, a...) }

func TestCheckFailsOverTheBound(t *testing.T) {
	for _, c := range []struct {
		most Bound
		ok   bool
	}{{Bound{2, 8192}, true}, {Bound{0.5, 8192}, false}, {Bound{2, 1000}, false}} {
		tb := &failing{TB: t}
		Check(tb, "a slice", 1, c.most, func() { sink = make([]byte, 4096) })
		if (tb.said == "") != c.ok {
			t.Errorf("with %+v: %q", c.most, tb.said)
		}
	}
}
