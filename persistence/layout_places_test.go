package persistence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestPlacesThatNoStoreCanName(t *testing.T) {
	k := mustCompile(t, Plan[moment]{{Name: "log", Purpose: Amorphous, PartitionBy: "User", Newest: "ID"}})
	log := k.task("log")
	for name, test := range map[string]struct {
		obj  moment
		want error
	}{
		"a long partition": {moment{ID: "a", User: strings.Repeat("x", 256)}, fault.ErrTooLarge},
		"a long order":     {moment{ID: strings.Repeat("x", 255), User: "a"}, fault.ErrTooLarge},
		"a NUL":            {moment{ID: "a", User: "x\x00"}, fault.ErrInvalid},
		"no UTF-8":         {moment{ID: "a", User: "\xff"}, fault.ErrInvalid},
	} {
		if _, _, err := log.place(&test.obj, nil); !errors.Is(err, test.want) {
			t.Errorf("%s is %v, want %v", name, err, test.want)
		}
	}
}

// FuzzPartition states that two values never share a partition, whatever is in
// them, and that a partition is never empty.
func FuzzPartition(f *testing.F) {
	f.Add("", "\x1e", int64(1), int64(2))
	f.Add("a", "a\x1f1", int64(1), int64(1))
	f.Fuzz(func(t *testing.T, a, b string, n, m int64) {
		if partitionName(a) == "" {
			t.Error("an empty name")
		}
		if a != b && partitionName(a) == partitionName(b) {
			t.Errorf("%q and %q share a partition", a, b)
		}
		if (a != b || n != m) && bucketName(partitionName(a), n) == bucketName(partitionName(b), m) {
			t.Errorf("%q %d and %q %d share a bucket", a, n, b, m)
		}
		if got, err := bucketNumber(bucketOrder(n)); err != nil || got != n {
			t.Errorf("bucket %d is read as %d, %v", n, got, err)
		}
		if (bytes.Compare(bucketOrder(n), bucketOrder(m)) < 0) != (n > m) {
			t.Errorf("buckets %d and %d do not lie newest first", n, m)
		}
	})
}

// FuzzCursor states that no text is both accepted and read differently when it
// is written again, and that none of them panics.
func FuzzCursor(f *testing.F) {
	f.Add(cursor{shape: 7, bucket: -3, inner: []byte("x")}.String())
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCursor(s)
		if err != nil {
			return
		}
		again, err := parseCursor(c.String())
		if err != nil || again.shape != c.shape || again.bucket != c.bucket || !bytes.Equal(again.inner, c.inner) {
			t.Errorf("%q is %+v, and again %+v, %v", s, c, again, err)
		}
	})
}

func TestExplainSaysWhatAPutWouldDo(t *testing.T) {
	l := readers(t)
	l.engine = &engine{layer: l}
	k := mustCompile(t, Plan[moment]{
		{Purpose: Transactional},
		{Name: "tell", Purpose: Volatile, Priority: 1, RealTime: true, Do: func(context.Context, moment) error { return nil },
			When: func(m moment) bool { return m.User == "bob" }},
		{Name: "log", Purpose: Amorphous, Priority: 2, PartitionBy: "User", Newest: "At", TTL: time.Hour},
		{Purpose: Volatile},
	})
	e, err := l.explain(k, &moment{ID: "m1", User: "ann", At: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	got := e.String()
	for _, want := range []string{
		`Put visit "m1"`, "transactional custody (fsynced)", "bytes, lane /visit/bg\n",
		`upsert into visit (id, user, at), id "m1", if newer`, "set visit:m1",
		"(not for this object: When is false)", `partition "ann", At newest first`, "for 1h0m0s",
		"nobody works on this layer: tasks above priority 0 wait until some program calls Work",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the explanation does not say %q:\n%s", want, got)
		}
	}
	if told, err := l.explain(k, &moment{ID: "m2", User: "bob", At: time.Unix(0, 0)}); err != nil || told.Lane != "/visit/rt" {
		t.Errorf("an envelope with a task in real time waits in lane %q (%v)", told.Lane, err)
	}
	if _, err := json.Marshal(e); err != nil {
		t.Errorf("an explanation is data: %v", err)
	}
	if _, err := l.explain(k, &moment{}); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("an object without a key is %v", err)
	}
}

func TestAnIndexDoesNotCostTheCache(t *testing.T) {
	type indexed struct {
		ID   string `persistence:"key"`
		User string `transactional:",index" volatile:""`
		Text string `transactional:"" volatile:""`
	}
	k := mustCompile(t, Plan[indexed]{{Purpose: Transactional}, {Purpose: Volatile}})
	if k.cache == nil || len(k.parts) > 0 {
		t.Errorf("cache %v, parts %v: tags that name every field are as good as none", k.cache, k.parts)
	}
}
