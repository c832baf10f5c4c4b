package persistence_test

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

type Mention struct {
	ID     string `persistence:"key"`
	Entity string
	At     time.Time
}

var kickoff = time.Date(2022, 11, 28, 13, 0, 0, 0, time.UTC)

// Counts per entity and minute, hour or day. A mention that is put twice counts
// once, and one that is deleted no longer.
func ExampleCounts() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()
	mentions := persistence.Declare(layer, "mention", persistence.Plan[Mention]{
		{Priority: 1, Name: "entities", Purpose: persistence.Amorphous, Count: &persistence.Counts{
			By: []string{"Entity"}, At: "At", Per: []time.Duration{time.Minute, time.Hour, 24 * time.Hour}, Zone: "Africa/Accra"}},
		{Priority: 2, Purpose: persistence.Amorphous},
	})
	for i, entity := range []string{"black stars", "black stars", "kudus", "black stars", "kudus"} {
		m := Mention{ID: fmt.Sprint("m", i%4), Entity: entity, At: kickoff.Add(time.Duration(i%4) * 25 * time.Second)}
		mentions.Put(ctx, m)
	}
	mentions.Delete(ctx, "m3")
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

// A field that is a slice counts for each element, and Of selects by the first
// fields.
func ExampleCountQuery() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()
	type Photo struct {
		ID    string `persistence:"key"`
		Album string
		Tags  []string
	}
	photos := persistence.Declare(layer, "photo", persistence.Plan[Photo]{
		{Name: "tags", Purpose: persistence.Amorphous, Count: &persistence.Counts{By: []string{"Album", "Tags"}}},
	})
	for _, p := range []Photo{{"1", "sea", []string{"boat", "sun"}}, {"2", "sea", []string{"sun"}}, {"3", "home", []string{"sun"}}} {
		if _, err := photos.Put(ctx, p); err != nil {
			fmt.Println(err)
		}
	}
	top, err := photos.Top(ctx, persistence.CountQuery{Of: []any{"sea"}}, 5)
	fmt.Println(top[0].Of, top[0].N, top[1].Of, top[1].N, err)
	// Output: [sea sun] 2 [sea boat] 1 <nil>
}

// A Count is a bucket of a Series, or a value of a Top.
func ExampleCount() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()
	type Sale struct {
		ID    string `persistence:"key"`
		At    time.Time
		Cents int
	}
	sales := persistence.Declare(layer, "sale", persistence.Plan[Sale]{
		{Name: "turnover", Purpose: persistence.Amorphous, Count: &persistence.Counts{
			At: "At", Per: []time.Duration{time.Hour}, Zone: "Asia/Kolkata", Sum: "Cents"}},
	})
	morning := time.Date(2026, 1, 2, 4, 45, 0, 0, time.UTC)
	for i, cents := range []int{250, 199} {
		if _, err := sales.Put(ctx, Sale{fmt.Sprint(i), morning.Add(time.Duration(i) * time.Hour), cents}); err != nil {
			fmt.Println(err)
		}
	}
	hours, err := sales.Series(ctx, persistence.CountQuery{})
	for _, c := range hours {
		fmt.Println(c.At.Format("15:04 MST"), c.N)
	}
	fmt.Println(err)
	// Output:
	// 10:00 IST 250
	// 11:00 IST 199
	// <nil>
}
