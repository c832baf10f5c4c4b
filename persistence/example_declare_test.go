package persistence_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

// exampleLayer is a layer in a directory that goes when the example ends.
func exampleLayer() (*persistence.Layer, func()) {
	dir, err := os.MkdirTemp("", "fourfold")
	if err != nil {
		panic(err)
	}
	layer, err := embedded.Open(context.Background(), dir, nil)
	if err != nil {
		panic(err)
	}
	return layer, func() {
		if err := layer.Close(); err != nil {
			fmt.Println(err)
		}
		os.RemoveAll(dir)
	}
}

// A type whose tags alone say what is kept where needs no plan. Get puts the
// object together again.
func ExampleDeclare() {
	type User struct {
		ID    string    `persistence:"key"`
		Email string    `transactional:",unique"`
		Bio   string    `amorphous:""`
		Seen  time.Time `volatile:",ttl=15m"`
	}
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	users := persistence.Declare[User](layer, "user", nil)
	_, err := users.Put(ctx, User{ID: "ann", Email: "ann@example.org", Bio: "sails", Seen: time.Unix(1767225600, 0)})
	if err != nil {
		fmt.Println(err)
		return
	}
	user, err := users.Get(ctx, "ann")
	fmt.Println(user, err)
	// Output: {ann ann@example.org sails 2026-01-01 00:00:00 +0000 UTC} <nil>
}

// The options of a kind that was renamed: what is queued under the old name
// still runs, and the tables keep theirs.
func ExampleKindOptions() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{{Purpose: persistence.Amorphous}},
		persistence.KindOptions{Formerly: []string{"checkin"}, Table: "checkin"})
	_, err := visits.Put(context.Background(), visit{ID: "v1", User: "ann"})
	fmt.Println(err)
	// Output: <nil>
}

// A Document is an object without a struct; its key is under "id".
func ExampleDocument() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	notes := persistence.Declare(layer, "note", persistence.Plan[persistence.Document]{{Purpose: persistence.Amorphous}})
	if _, err := notes.Put(ctx, persistence.Document{"id": "n1", "text": "buy milk", "stars": 3}); err != nil {
		fmt.Println(err)
		return
	}
	note, err := notes.Get(ctx, "n1")
	fmt.Println(note["text"], note["stars"], err)
	// Output: buy milk 3 <nil>
}

// A plan is data: it can be printed, and compared in a test.
func ExamplePlan_Outline() {
	notify := func(context.Context, visit) error { return nil }
	plan := persistence.Plan[visit]{
		{Priority: 3, Name: "object", Purpose: persistence.Amorphous},
		{Priority: 2, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 1, Name: "distribute", Purpose: persistence.Transitory, RealTime: true, Do: notify},
	}
	fmt.Print(plan.Outline())
	// Output:
	// 1  real time   distribute  transitory  runs Do
	// 2  background  activity    amorphous   writes the object by User, newest At first
	// 3  background  object      amorphous   writes the object by key
}

// All faults of a plan are listed together, each with a way out.
func ExamplePlan_Validate() {
	plan := persistence.Plan[visit]{
		{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "Usr", Priority: 1},
		{Name: "object", Purpose: persistence.Amorphous, Priority: -1},
	}
	fmt.Println(plan.Validate())
	// Output:
	// plan has 2 faults:
	// 	plan of visit, task "object": Priority is -1: use 0 (before Put returns) to 1048576
	// 	plan of visit, task "activity": PartitionBy names "Usr", which is no kept field of visit: did you mean "User"?
}

// Explain tells what one Put would do, and writes nothing.
func ExampleExplanation() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User"},
	})
	explanation, err := visits.Explain(visit{ID: "v1", User: "ann"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, task := range explanation.Tasks {
		fmt.Println(task.Name+":", task.Does)
	}
	fmt.Println(explanation.Warnings[0])
	// Output:
	// transactional: upsert into visit (id, user, venue, at), id "v1", if newer
	// activity: upsert into visit__activity, partition "ann", id "v1", if newer; the older place is removed
	// nobody works on this layer: tasks above priority 0 wait until some program calls Work
}

// A Query names a task and reads the rows where that task laid them out.
func ExampleQuery() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
	})
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, venue := range []string{"pier", "cafe", "park"} {
		at := start.Add(time.Duration(i) * time.Hour)
		if _, err := visits.Put(ctx, visit{ID: venue, User: "ann", Venue: venue, At: at}); err != nil {
			fmt.Println(err)
		}
	}
	query := persistence.Query{Task: "activity", Where: map[string]any{"User": "ann"}, From: start.Add(time.Hour)}
	for v, err := range visits.Find(ctx, query) {
		fmt.Println(v.Venue, err)
	}
	// Output:
	// park <nil>
	// cafe <nil>
}

// A Page ends with the cursor of the next.
func ExamplePage() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{{Purpose: persistence.Transactional}})
	for i := range 5 {
		if _, err := visits.Put(ctx, visit{ID: fmt.Sprint("v", i)}); err != nil {
			fmt.Println(err)
		}
	}
	query := persistence.Query{Limit: 2}
	for {
		page, err := visits.FindPage(ctx, query)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(page.Objects), "from", page.Objects[0].ID)
		if query.After = page.Next; page.Next == "" {
			return
		}
	}
	// Output:
	// 2 from v0
	// 2 from v2
	// 1 from v4
}
