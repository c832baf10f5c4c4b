package persistence_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

type Mention struct {
	ID     string `persistence:"key"`
	Entity string
	At     time.Time
}

// Counts per entity and minute, hour or day. A mention that is put twice counts
// once, and one that is deleted no longer.
func ExampleCounts() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "fourfold")
	defer os.RemoveAll(dir)
	layer, err := persistence.Open(ctx, embedded.Stores(dir), nil)
	if err != nil {
		panic(err)
	}
	defer layer.Close()
	mentions := persistence.Declare(layer, "mention", persistence.Plan[Mention]{
		{Priority: 1, Name: "entities", Purpose: persistence.Amorphous, Count: &persistence.Counts{
			By: []string{"Entity"}, At: "At", Per: []time.Duration{time.Minute, time.Hour, 24 * time.Hour}, Zone: "Africa/Accra",
		}},
		{Priority: 2, Purpose: persistence.Amorphous},
	})
	kickoff := time.Date(2022, 11, 28, 13, 0, 0, 0, time.UTC)
	for i, entity := range []string{"black stars", "black stars", "kudus", "black stars", "kudus"} {
		m := Mention{ID: fmt.Sprint("m", i%4), Entity: entity, At: kickoff.Add(time.Duration(i%4) * 25 * time.Second)}
		if _, err := mentions.Put(ctx, m); err != nil {
			panic(err)
		}
	}
	if _, err := mentions.Delete(ctx, "m3"); err != nil {
		panic(err)
	}
	layer.Drain(ctx)
	top, _ := mentions.Top(ctx, persistence.CountQuery{}, 10)
	for _, c := range top {
		fmt.Println(c.Of[0], c.N)
	}
	series, _ := mentions.Series(ctx, persistence.CountQuery{Of: []any{"kudus"}, Per: time.Minute, From: kickoff})
	for _, c := range series {
		fmt.Println(c.At.Format("15:04"), c.N)
	}
	total, err := mentions.Total(ctx, persistence.CountQuery{From: kickoff, To: kickoff.Add(time.Hour)})
	fmt.Println(total, err)
	// Output:
	// kudus 2
	// black stars 1
	// 13:00 2
	// 3 <nil>
}
