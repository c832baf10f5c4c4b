// Package amorphous is a store of objects that are kept for good, laid out the
// way they are read.
//
// Amorphous data has no fixed shape: which properties an object has may change
// at any time, and so may the properties themselves. It is always writable, in
// very high volume, by many programs at once that know nothing of one another.
// So nothing here locks, and nothing is read before it is written: every write
// carries a version, and the newest wins, in whatever order writes arrive.
//
// # The nouns
//
// A [Store] holds tables of rows. A [Row] lies in a partition; rows of one
// partition lie together, sorted by Order and then ID, and are read in that
// order, a page at a time. A [Stamp] says which of two writes is newer. A
// [Collection] keeps typed objects in a Store, by a [Layout] of field names;
// most programs need nothing else:
//
//	type Message struct {
//		ID   string `persistence:"key"`
//		To   string
//		At   time.Time
//		Text string
//	}
//
//	store, err := amorphous.Open(ctx, embedded.Dir("data", nil), nil)
//	inbox, err := amorphous.NewCollection[Message](store, "inbox",
//		&amorphous.Layout{PartitionBy: "To", Newest: "At"})
//	err = inbox.Put(ctx, Message{ID: "m1", To: "ann", At: time.Now(), Text: "hello"})
//	latest, err := inbox.List(ctx, "ann", 20)
//
// # Stores
//
// A Store stands over a driver: package embedded keeps rows in an SQLite file
// in this process, package cassandra in Cassandra. Both keep the same contract,
// which package amorphoustest tests. Importing a driver registers its URL
// scheme:
//
//	import _ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
//
//	store, err := amorphous.Open(ctx, amorphous.URL("cassandra://h1,h2/keyspace"), nil)
//
// [Features] tell in which promises drivers differ.
//
// # Newest wins
//
// A write that comes late, or twice, changes nothing that is newer. A delete is
// a version too: it forbids what is older, so a late write does not bring an
// object back. Versions are microseconds of the process's clock, or the
// caller's own growing numbers:
//
//	err := inbox.PutAt(ctx, amorphous.Stamp{Version: 42}, message)
//
// # Any property can change
//
// Programs that know other properties of an object write other cells of its
// row, told apart by [Row].Shape, and readers merge them by property with
// [Merge]. So a program that has not heard of a property never removes it, and
// Patch writes some properties without reading the others:
//
//	err := inbox.Patch(ctx, Message{ID: "m1", To: "ann", At: at, Text: "edited"}, "Text")
//
// A property whose type changed is no garbage: reading an old value of it is
// fault.ErrCorrupt, or what Layout.Convert makes of it. A [Document] needs no
// struct at all.
//
// # Partitions
//
// The rule of this store is to write data the way it will be read. With
// Layout.PartitionBy, rows that share a field's value are one partition;
// Layout.Newest sorts it. A partition that grows for ever becomes slow, so
// Layout.Bucket bounds it by time; reading goes from one bucket to the next by
// itself. A key is unique in its collection, and an object whose partition
// changed moves, unless Layout.Copies lets it lie at many places.
//
// # Derived on the way in
//
// One object often becomes many rows: a message lies in the inbox of every
// reader. [Derived] keeps such rows, and knows from which object they come. The
// rows of an object are those of its newest version: the next one removes what
// it no longer implies, in whatever order versions arrive:
//
//	inbox, err := amorphous.NewDerived[Copy](store, "inbox",
//		&amorphous.Layout{PartitionBy: "To", Newest: "At", Bucket: 24 * time.Hour}, nil)
//	err = inbox.Put(ctx, amorphous.Origin{Key: "m1", Stamp: amorphous.Stamp{Version: 2}}, copies)
//
// [DerivedRows] is the same below any type.
//
// # Pages
//
// A cursor names a place in a partition. It costs the server nothing, survives
// restarts, may be shown to strangers, and goes on where it was while others
// write:
//
//	messages, next, err := inbox.Page(ctx, "ann", &amorphous.Query{Limit: 50, After: cursor})
//
// [Scan] reads everything, and can stop at any object and go on in another
// process. A read may ask for another consistency than the store's own:
//
//	m, err := inbox.Get(amorphous.WithConsistency(ctx, amorphous.LocalOne), "m1")
//
// # Counting
//
// A [Counter] counts objects by dimensions and buckets of time, exactly: an
// object counts once, as its newest version says, however often it is written
// and whatever crashes. Counts are read as a series, a total, or the largest k:
//
//	mentions, err := amorphous.NewCounter(store, "mentions", &amorphous.Counts{
//		By: []string{"team"}, Per: []time.Duration{time.Minute, 24 * time.Hour}, Zone: "Africa/Accra"})
//	err = mentions.Put(ctx, amorphous.Counted{Key: "t1", Counts: []amorphous.Count{{Of: []string{"ghana"}, At: at, N: 1}}})
//	minutes, err := mentions.Series(ctx, amorphous.CountQuery{Of: []string{"ghana"}, Per: time.Minute})
//
// A driver that is a [Tallier] keeps the sums in the transaction that changes
// them. Elsewhere each object is a row that is counted, and sums of time that
// is over are kept until somebody changes a row of it; there reads and writes
// must overlap, as quorum and quorum do.
//
// # Errors
//
// Every error has a class of package fault and one of three outcomes. Writes
// may be repeated whatever the outcome was: a repeat with the same stamp is
// the same write.
package amorphous
