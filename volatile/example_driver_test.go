package volatile_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/embedded"
)

// openDriver opens the in-process driver.
func openDriver(ctx context.Context) volatile.Driver {
	driver, err := embedded.New(nil).OpenDriver(ctx)
	if err != nil {
		log.Fatal(err)
	}
	return driver
}

// Whoever opens a driver by hand asks it whether its store is there.
func ExampleChecker() {
	ctx := context.Background()
	driver := openDriver(ctx)
	defer driver.Close()
	if c, ok := driver.(volatile.Checker); ok {
		fmt.Println(c.Check(ctx).Reachable)
	}
	// Output: true
}

// A driver that wraps another one hands its promises on.
func ExampleFeatured() {
	driver := openDriver(context.Background())
	defer driver.Close()
	if f, ok := driver.(volatile.Featured); ok {
		fmt.Println(f.Features().Name)
	}
	// Output: embedded
}

// A Borrower lends a value that its caller only reads, without a copy.
func ExampleBorrower() {
	ctx := context.Background()
	driver := openDriver(ctx)
	defer driver.Close()
	driver.Set(ctx, []volatile.Item{{Key: "k", Value: []byte("large")}})
	if b, ok := driver.(volatile.Borrower); ok {
		lent, found, err := b.Borrow(ctx, "k")
		fmt.Printf("%s %v %v\n", lent.Value, found, err)
	}
	// Output: large true <nil>
}

// A Lent is the same one until its entry is written again.
func ExampleLent() {
	ctx := context.Background()
	driver := openDriver(ctx)
	defer driver.Close()
	write := func(value string) { driver.Set(ctx, []volatile.Item{{Key: "k", Value: []byte(value)}}) }
	borrow := func() *volatile.Lent {
		lent, _, _ := driver.(volatile.Borrower).Borrow(ctx, "k")
		return lent
	}
	write("one")
	borrow().Checked.Store(true)
	fmt.Printf("%s %v\n", borrow().Value, borrow().Checked.Load())
	write("two")
	fmt.Printf("%s %v\n", borrow().Value, borrow().Checked.Load())
	// Output:
	// one true
	// two false
}

// A OneGetter is asked where one entry is wanted, else Get is.
func ExampleOneGetter() {
	ctx := context.Background()
	driver := openDriver(ctx)
	defer driver.Close()
	driver.Set(ctx, []volatile.Item{{Key: "k", Value: []byte("v")}})
	get := func(key string) ([]byte, error) {
		if one, ok := driver.(volatile.OneGetter); ok {
			item, _, err := one.GetOne(ctx, key)
			return item.Value, err
		}
		items, err := driver.Get(ctx, []string{key})
		if len(items) == 0 {
			return nil, err
		}
		return items[0].Value, err
	}
	value, err := get("k")
	fmt.Printf("%s %v\n", value, err)
	// Output: v <nil>
}

// A ManyAdder saves round trips, which a driver in process does not make: then
// Add does.
func ExampleManyAdder() {
	ctx := context.Background()
	driver := openDriver(ctx)
	defer driver.Close()
	adds := []volatile.Increment{{Key: "a", Delta: 2}, {Key: "b", Delta: 3}, {Key: "a", Delta: 5}}
	if many, ok := driver.(volatile.ManyAdder); ok {
		fmt.Println(many.AddAll(ctx, adds))
		return
	}
	for _, add := range adds {
		fmt.Println(driver.Add(ctx, add.Key, add.Delta, add.TTL))
	}
	// Output:
	// 2 <nil>
	// 3 <nil>
	// 7 <nil>
}

// The TTL of an Increment is that of a counter which it begins; one that is
// there keeps its own.
func ExampleIncrement() {
	ctx := context.Background()
	driver := openDriver(ctx)
	defer driver.Close()
	for _, add := range []volatile.Increment{{Key: "visits", Delta: 5, TTL: time.Minute}, {Key: "visits", Delta: -9}} {
		fmt.Println(driver.Add(ctx, add.Key, add.Delta, add.TTL)) // a sum below zero is zero
	}
	// Output:
	// 5 <nil>
	// 0 <nil>
}

// A ManySwapper saves round trips; without it each entry is swapped alone.
func ExampleManySwapper() {
	ctx := context.Background()
	driver := openDriver(ctx)
	defer driver.Close()
	items := []volatile.Item{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")}}
	var errs []error
	if many, ok := driver.(volatile.ManySwapper); ok {
		errs = many.SwapAll(ctx, items)
	} else {
		for _, item := range items {
			errs = append(errs, driver.Swap(ctx, item))
		}
	}
	fmt.Println(errs)
	// Output: [<nil> <nil>]
}

// Any text is a key, and a negative TTL is a mistake.
func ExampleItem() {
	ctx := context.Background()
	driver := openDriver(ctx)
	defer driver.Close()
	errs := driver.Set(ctx, []volatile.Item{
		{Key: "a key with spaces, and ü", Value: []byte("v"), TTL: time.Hour},
		{Key: "k", TTL: -1},
	})
	fmt.Println(errs[0], errors.Is(errs[1], fault.ErrInvalid))
	// Output: <nil> true
}

// A zero Token swaps where nothing is; the Token of an entry is spent by the
// next write.
func ExampleToken() {
	ctx := context.Background()
	driver := openDriver(ctx)
	defer driver.Close()
	first := volatile.Item{Key: "k", Value: []byte("one")}
	fmt.Println(driver.Swap(ctx, first), errors.Is(driver.Swap(ctx, first), fault.ErrConflict))
	items, _ := driver.Get(ctx, []string{"k"})
	fmt.Println(driver.Swap(ctx, volatile.Item{Key: "k", Value: []byte("two"), Token: items[0].Token}))
	// Output:
	// <nil> true
	// <nil>
}

// A Source is what a program passes around before anything is open.
func ExampleSource() {
	ctx := context.Background()
	for _, source := range []volatile.Source{embedded.New(nil), volatile.URL("embeded://")} {
		cache, err := volatile.Open(ctx, source, nil)
		if err != nil {
			fmt.Println(errors.Is(err, fault.ErrInvalid))
			continue
		}
		fmt.Println(cache.Features().Name, cache.Close())
	}
	// Output:
	// embedded <nil>
	// true
}

// An Explainer says what it sends for an entry: a driver in process sends
// nothing, and is none.
func ExampleExplainer() {
	driver := openDriver(context.Background())
	defer driver.Close()
	_, sends := driver.(volatile.Explainer)
	fmt.Println(sends)
	// Output: false
}
