// Package embedded is a transactional database in the process itself: a
// directory with one SQLite file, which anyone can open, behind one writer
// that commits concurrent transactions together. It keeps the promises that a
// server keeps; what is acknowledged was fsynced, unless [Options].Relaxed
// gives that up.
//
//	store, err := transactional.Open(ctx, embedded.Dir("data", nil), nil)
//
// Importing the package also makes URLs known: embedded:///var/lib/app/data,
// or embedded:data for a directory relative to where the program runs, with
// ?relaxed=true.
//
// Tables are created when they are first used. There is one writer: an
// interactive transaction keeps all other writes waiting, and is cut off when
// it takes too long. Readers never wait, and never keep a writer waiting.
//
// A disk that loses or changes what it had fsynced of the write-ahead log takes
// the file back to an earlier moment, without an error: see "Backups, and a
// damaged disk" in package persistence/embedded.
//
// An outbox at rest costs nothing: whoever looks into it every second touches
// the file only when something was committed, or is due. What another program
// wrote into the outbox by hand is found within 30 seconds.
package embedded
