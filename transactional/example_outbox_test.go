package transactional_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// A record with a token is accepted once: its repeat adds nothing, and the
// result names the first.
func ExampleRecord() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	for i := range byte(2) {
		record := transactional.Record{ID: transactional.RecordID{1 + i}, Kind: "mail", Key: "u1", Lane: "mail",
			Body: []byte("hello"), Token: "request 7", Digest: 7, Remember: time.Hour}
		result := must(store.Apply(ctx, &transactional.Unit{Add: []transactional.Record{record}}))
		fmt.Println(result.Repeats)
	}
	// Output:
	// []
	// [01000000000000000000000000000000]
}

// An ID finds its record as long as that is there, and the mark of its end then.
func ExampleRecordID() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	id := transactional.RecordID{0xca, 0xfe}
	must(store.Apply(ctx, &transactional.Unit{Add: []transactional.Record{{ID: id, Kind: "mail", Lane: "mail"}}}))
	record, _, err := store.Find(ctx, id)
	fmt.Println(id, record.Kind, err)
	_, _, err = store.Find(ctx, transactional.RecordID{1})
	fmt.Println(errors.Is(err, fault.ErrNotFound))
	// Output:
	// cafe0000000000000000000000000000 mail <nil>
	// true
}

// The most urgent records of some lanes, for one worker and a minute.
func ExampleClaimRequest() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	for i := range byte(3) {
		record := transactional.Record{ID: transactional.RecordID{i + 1}, Kind: "mail", Lane: "mail", Priority: uint32(9 - i)}
		must(store.Apply(ctx, &transactional.Unit{Add: []transactional.Record{record}}))
	}
	for owner := range uint64(3) {
		request := transactional.ClaimRequest{Lanes: []string{"mail", "sms"}, Max: 2, Owner: owner + 1, Lease: time.Minute}
		for _, r := range must(store.Claim(ctx, request)) {
			fmt.Println("owner", owner+1, "priority", r.Priority)
		}
	}
	// Output:
	// owner 1 priority 7
	// owner 1 priority 8
	// owner 2 priority 9
}

// A task that failed goes back to its lane, with what is left of it.
func ExampleSettlement() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	must(store.Apply(ctx, &transactional.Unit{Add: []transactional.Record{{ID: transactional.RecordID{1}, Kind: "mail", Lane: "mail"}}}))
	request := transactional.ClaimRequest{Lanes: []string{"mail"}, Max: 1, Owner: 7, Lease: time.Minute}
	for range 2 {
		r := must(store.Claim(ctx, request))[0]
		fmt.Printf("%d %q\n", r.Seq, r.Progress)
		must(store.Apply(ctx, &transactional.Unit{Settle: []transactional.Settlement{
			{ID: r.ID, Owner: 7, Seq: r.Seq, Lane: "mail", Progress: []byte("two of three")}}}))
	}
	// Output:
	// 0 ""
	// 1 "two of three"
}

// The second mail to a user waits until the first is done.
func ExampleOrder() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	for i := range byte(2) {
		must(store.Apply(ctx, &transactional.Unit{Add: []transactional.Record{{ID: transactional.RecordID{i + 1}, Kind: "mail",
			Lane: "mail", Body: []byte{'1' + i}, Orders: []transactional.Order{{Task: "send", Key: "u1"}}}}}))
	}
	request := transactional.ClaimRequest{Lanes: []string{"mail"}, Max: 10, Owner: 7, Lease: time.Minute}
	for range 2 {
		for _, r := range must(store.Claim(ctx, request)) {
			fmt.Printf("mail %s\n", r.Body)
			must(store.Apply(ctx, &transactional.Unit{Settle: []transactional.Settlement{{ID: r.ID, Owner: 7, Seq: r.Seq, Done: true}}}))
		}
	}
	// Output:
	// mail 1
	// mail 2
}

// A task that cannot succeed is kept for a person, who may remove it.
func ExampleDeadLetter() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	letter := transactional.DeadLetter{ID: "t1", Kind: "mail", Key: "u1", Task: "send", Reason: "no such address", Attempts: 5}
	must(store.Apply(ctx, &transactional.Unit{Bury: []transactional.DeadLetter{letter}}))
	for _, l := range must(store.DeadLetters(ctx, transactional.DeadFilter{})) {
		fmt.Println(l.Kind, l.Key, l.Task, l.Reason)
		must(store.Apply(ctx, &transactional.Unit{Unbury: []string{l.ID}}))
	}
	fmt.Println(len(must(store.DeadLetters(ctx, transactional.DeadFilter{}))))
	// Output:
	// mail u1 send no such address
	// 0
}

// Letters are listed by what they are of, a page at a time.
func ExampleDeadFilter() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	for _, id := range []string{"t1", "t2", "t3"} {
		must(store.Apply(ctx, &transactional.Unit{Bury: []transactional.DeadLetter{{ID: id, Kind: "mail", Key: "u1", Task: "send"}}}))
	}
	filter := transactional.DeadFilter{Kind: "mail", Limit: 2}
	for range 2 {
		for _, l := range must(store.DeadLetters(ctx, filter)) {
			fmt.Println(l.ID)
			filter.After = l.ID
		}
	}
	// Output:
	// t1
	// t2
	// t3
}

// A slot is one of so many places, held as long as it is renewed.
func ExampleSlot() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	slot := must(store.Enter(ctx, "invoice", "customer 7", 2, time.Minute))
	fmt.Println(slot.Name, slot.Key, store.Stay(ctx, slot, time.Minute), store.Leave(ctx, slot))
	fmt.Println(errors.Is(store.Stay(ctx, slot, time.Minute), fault.ErrConflict))
	// Output:
	// invoice customer 7 <nil> <nil>
	// true
}

// Two programs share a database, each in a namespace of its own.
func ExampleOptions() {
	ctx := context.Background()
	dir := must(os.MkdirTemp("", "example"))
	defer os.RemoveAll(dir)
	store, err := transactional.Open(ctx, embedded.Dir(dir, nil), &transactional.Options{Namespace: "shop", TxTimeout: time.Second})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	fmt.Println(store.Name(pages))
	_, err = transactional.Open(ctx, embedded.Dir(dir, nil), &transactional.Options{Namespace: "a shop"})
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output:
	// "shop_pages"
	// true
}

// Where tables are made by hand, the error says what is missing.
func ExampleSchemaError() {
	var err error = fmt.Errorf("at start: %w", &transactional.SchemaError{Statements: []string{"ALTER TABLE `ff_pages` ADD `views` BIGINT"}})
	fmt.Println(errors.Is(err, fault.ErrMisconfigured))
	if missing := new(transactional.SchemaError); errors.As(err, &missing) {
		for _, statement := range missing.Statements {
			fmt.Println(statement + ";") // for whoever may change the schema
		}
	}
	// Output:
	// true
	// ALTER TABLE `ff_pages` ADD `views` BIGINT;
}
