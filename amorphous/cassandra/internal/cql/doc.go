// Package cql is the amorphous store on Cassandra, over whatever client holds
// the session: the tables and statements, the protocol that keeps one place
// per row, grouping, and the classes of errors. It imports no client; package
// cassandra and package gocqlv1 each adapt one to [Session], so that a program
// links the client that it uses and no other.
//
// # Newest wins, in Cassandra's terms
//
// Stamp.Version is the write timestamp, so Cassandra itself lets the newest
// win, whenever a write arrives. Of two cells with one timestamp Cassandra
// keeps the larger value, so every value begins with the Tie, big-endian: all
// stores agree.
//
// A delete is a marker: a cell of shape zero in the row, whose value is the
// tombstone's Tie. Readers leave out what is not newer than the marker. So that
// the dead are not kept, a range tombstone one microsecond below the marker
// goes with it in the same mutation. The tombstone alone would not do: it
// cannot tell two ties of one version apart. Purge removes markers.
//
// What expires is written with a TTL, rounded up to whole seconds, and with
// the exact moment in its value, which readers obey.
//
// # One place per row
//
// A Placed table has a companion with a partition per ID, a row per place that
// a write named, and the newest stamp of each. A write registers its place,
// then writes its cell and reads all places again. Two writers both register
// before they read, so at quorum at least one of them sees both places; whoever
// sees two buries what the newer one overrules: marker and range tombstone at
// the older place. Since burying is a write with a timestamp, it does not
// matter whether it comes before or after the cell that it kills. See settle.
package cql
