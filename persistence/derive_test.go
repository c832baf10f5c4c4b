package persistence

import (
	"context"
	"iter"
	"strings"
	"testing"
	"time"
)

type parcel struct {
	ID   string `persistence:"key"`
	To   []string
	Text string
	At   time.Time
}

type slip struct {
	ID   string `persistence:"key"`
	To   string
	Text string
	At   time.Time
}

func slips(p parcel) iter.Seq[slip] {
	return func(yield func(slip) bool) {
		for _, to := range p.To {
			if !yield(slip{p.ID, to, p.Text, p.At}) {
				return
			}
		}
	}
}

// TestDeriveWords: what does not go together is refused, with a way out.
func TestDeriveWords(t *testing.T) {
	type unkeyed struct{ To string }
	yes := func(parcel) bool { return true }
	do := func(context.Context, parcel) error { return nil }
	for want, task := range map[string]Task[parcel]{
		"has no Name":             {Purpose: Amorphous, Derive: Rows(slips)},
		"When would leave":        {Name: "d", Purpose: Amorphous, Derive: Rows(slips), When: yes},
		"Derive and Do":           {Name: "d", Purpose: Amorphous, Priority: 1, Derive: Rows(slips), Do: do},
		"Purpose is volatile":     {Name: "d", Purpose: Volatile, Derive: Rows(slips)},
		"no kept field of slip":   {Name: "d", Purpose: Amorphous, Derive: Rows(slips), PartitionBy: "Too"},
		"Bucket divides time":     {Name: "d", Purpose: Amorphous, Derive: Rows(slips), PartitionBy: "To", Newest: "Text", Bucket: time.Hour},
		"has no function":         {Name: "d", Purpose: Amorphous, Derive: Rows[parcel, slip](nil)},
		"unkeyed":                 {Name: "d", Purpose: Amorphous, Derive: Rows(func(parcel) iter.Seq[unkeyed] { return nil })},
		"Timeout bounds":          {Name: "d", Purpose: Amorphous, Derive: Rows(slips), Timeout: time.Second},
		"has no PartitionBy":      {Name: "d", Purpose: Amorphous, Derive: Rows(slips), Newest: "At"},
		"declare a struct":        {Name: "d", Purpose: Amorphous, Derive: Rows(func(parcel) iter.Seq[Document] { return nil })},
		"Fields names \"Nobody\"": {Name: "d", Purpose: Amorphous, Derive: Rows(slips), Fields: []string{"Nobody"}},
	} {
		err := Plan[parcel]{task}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a fault with %q, got %v", want, err)
		} else {
			t.Log(err)
		}
	}
	plan := Plan[parcel]{{Name: "slips", Purpose: Amorphous, Priority: 1, Derive: Rows(slips), PartitionBy: "To", Newest: "At", Bucket: time.Hour, TTL: time.Hour}}
	if err := plan.Validate(); err != nil {
		t.Error(err)
	}
	want := "1  background  slips  amorphous  derives rows of slip by To, newest At first; in buckets of 1h0m0s; for 1h0m0s\n"
	if got := plan.Outline(); got != want {
		t.Errorf("outline: got %q, want %q", got, want)
	}
}
