package amorphoustest_test

import (
	"fmt"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/amorphoustest"
	"github.com/fourfold-dev/fourfold/amorphous/embedded"
)

// What a driver's own test is.
func ExampleRun() {
	TestConformance := func(t *testing.T) {
		amorphoustest.Run(t, amorphoustest.Harness{Source: embedded.Dir(t.TempDir(), nil), Rows: 500})
	}
	_ = TestConformance
}

// The model says what a table must hold, in whatever order it was written.
func ExampleModel() {
	model := amorphoustest.Model{Placed: true}
	row := func(version int64, partition string) amorphous.Row {
		return amorphous.Row{Partition: partition, ID: "a", Shape: 1, Stamp: amorphous.Stamp{Version: version}, Body: []byte("{}")}
	}
	fmt.Println(model.WriteAll([]amorphous.Row{row(2, "new")}), model.Write(row(1, "old")))
	for _, r := range model.Live() {
		fmt.Println(r.Partition, r.ID, r.Stamp.Version)
	}
	// Output:
	// [false] true
	// new a 2
}
