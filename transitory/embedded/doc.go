// Package embedded is the queue in process: a directory with one SQLite file,
// no server. It keeps the promises of package transitory: a job whose Put
// returned nil is fsynced; the most urgent job comes first, and among equals
// the one that was put first; a reservation that is not touched ends with its
// TTR.
//
//	driver, err := embedded.Dir("/var/lib/app", nil).OpenDriver(ctx)
//	queue := transitory.New(driver)
//
// or, by URL, embedded:///var/lib/app, embedded:relative/dir, with
// ?relaxed=true for [Options].Relaxed.
//
// # What is on disk and what is in memory
//
// The file is the log: each job is a row from Put to Delete, and Release
// changes the row. Concurrent calls share statements and one fsync. Reservations,
// TTRs and the order of jobs live in memory, because this process alone has
// the directory: after a crash every job that was reserved is ready again.
//
// How often jobs were handed out goes into a second file, without an fsync: a
// kill does not forget it, so that a job which kills its worker can be told
// from the others. A power cut may.
//
// Memory is bounded: of each tube it knows a window of the most urgent ready
// jobs, of all tubes together a window of the delayed ones that are due next,
// and of bodies a number of bytes ([Options]). What lies beyond is read from
// the table when a window runs low. What is reserved is in memory, without its
// body.
//
// # Several openings
//
// A directory may be opened more than once in a process; all openings are one
// queue. Closing one makes ready again what it had reserved. A second process
// is refused with fault.ErrMisconfigured, and told who holds the directory.
//
// A disk that loses or changes what it had fsynced of the write-ahead log takes
// the file back to an earlier moment, without an error: see "Backups, and a
// damaged disk" in package persistence/embedded.
package embedded
