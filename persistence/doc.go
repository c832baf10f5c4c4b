// Package persistence is the front door of Fourfold: declare once, per type of
// object, why its data is kept; one Put then fans the object out into
// prioritized tasks, each routed to the store made for its purpose.
//
// # Purposes
//
// Data is not just stored; it is stored for a purpose, and the purpose matters
// within a slice of time.
//
//	transitory     until one unit of work is done, then gone   beanstalkd
//	volatile       while useful; may be lost and is rebuilt    memcached
//	transactional  the whole change or none of it              MySQL, MariaDB
//	amorphous      for good, in any shape, at any volume       Cassandra
//
// Each purpose is a package of its own that is worth importing alone, and has
// an in-process store beside its server: package embedded gives all four in one
// directory. A layer mixes them freely: see [Stores].
//
// # Declaring
//
// [Declare] binds a Go type to a name and a [Plan]: the tasks that one Put
// causes. The plan is data. It can be printed ([Plan.Outline]), validated
// without a store ([Plan.Validate]), and asked what it would do, in the words of
// each driver ([Handle.Explain]). A faulty declaration panics at start-up, with all of its
// faults listed together.
//
// The type says what is kept where. A field is tagged with the purpose that
// keeps it:
//
//	type Account struct {
//		ID     string    `persistence:"key"`
//		Email  string    `transactional:",unique"`
//		Bio    string    `amorphous:""`
//		Online time.Time `volatile:",ttl=15m"`
//		Form   string    `transitory:""` // handlers see it, no store keeps it
//		Secret string    `persistence:"-"`
//	}
//
// A property is named by its persistence tag, else after its Go field in snake
// case: UserID is user_id. The tags are
//
//	persistence:"key"              the key; persistence:"id,key" names it too
//	persistence:"version"          an int64 that only grows, instead of a clock's
//	persistence:"name"             the property's name
//	persistence:"-"                left out everywhere
//	transactional:"name,unique"    options unique, index (Query.Where may name it), rest
//	volatile:",ttl=15m"            option ttl
//	amorphous:",ttl=24h"           options ttl, rest
//	transitory:""                  handlers see it, no store keeps it
//	volatile:"-"                   left out of that purpose's whole objects
//
// where rest is a map[string]any that holds the properties that the type does
// not know. Fields are bools, integers, floats, strings, bytes, times, durations,
// types that marshal themselves to text, json.RawMessage, pointers to these, and
// structs, slices, arrays and maps of them; what is not kept as it was is refused
// when it is declared, with a way out.
//
// A type whose tags alone say everything needs no plan. A type without purpose
// tags is kept whole by each default write of its plan. A task with Do or Tx
// runs a function; with neither it is the default write of its purpose.
//
// A task with Derive writes rows that the object implies, any number of them,
// where they are read: one per friend, per tag, per hour. They follow the
// object: what its newest version does not imply is removed. See [Rows], and
// [Derived] for reading.
//
// What a volatile handler keeps may vanish at any time; with [Rebuild] in its
// plan it comes back by itself. [ViewOf] is where it lies.
//
// # Putting
//
// Priority 0 means before Put returns: transactional writes at 0 are part of
// the acceptance itself, and their refusal refuses the Put; the other stores
// are written right after it. Priorities above 0 order starts. Real-time tasks
// have workers that no other class takes. [Layer.Work] runs tasks until its
// context ends, [Layer.Drain] runs what is due and returns.
//
// [Handle.Put] returns a [Receipt]: what is done, what is pending, where
// custody lies and how durable that is. An error for which fault.Accepted is
// true comes with a receipt too: the object is accepted, and what is not done
// yet will be.
//
// # Custody
//
// Custody is where an accepted object is recorded until its last task is done.
// In transactional custody that is a row of an outbox table, committed together
// with what the kind writes transactionally; in transitory custody it is one
// job in the queue. See [Custody] for the default, [KindOptions] to choose.
//
// # Handlers
//
// A handler's answer decides: nil is done; an error is tried again after one
// second, and then twice as long each time up to ten minutes (a minute in
// transitory custody), less up to a quarter by chance, until MaxAttempts of its
// task make a dead letter; [Permanent] makes a dead letter at once; [Snooze] waits without
// spending an attempt. An error of a store that cannot be reached spends none
// either: the task waits in custody until the store is back. [Current] tells a
// handler its task id, attempt and version. A Put inside a handler takes its
// token from the run, so a handler that runs twice puts once.
//
// # Schema
//
// In process, tables are made when they are first used. On servers they are not
// made by themselves: after the last Declare, [Layer.CreateSchema] makes what is
// missing, and only ever adds; [Layer.Schema] returns the statements instead.
// [Layer.Check] tells what is missing, and everything else that would not work.
//
// # Reading
//
// An object can be read once its record is written: at priority 0 when Put
// returns, else when that task is done. Until then it is not found, or the
// version before is; [Receipt.Wait] waits for it.
//
// [Handle.Get] reads the cache first if the kind has one, then the record, and
// refills the cache under a lease. It returns what Put was given, never parts
// of two versions and never a partial object: an unreachable durable part is an
// error. A cache entry with a TTL may be served for longer (Task.Stale) or be
// read again ahead of its end (Task.Ahead); [Handle.GetAged] says how old the
// answer is. A Get that begins after a Put of this process has written the record
// and returned sees that version or a newer one; another process may lag by a
// second behind a cache that was away. Beside a Put that is under way a Get sees
// either version, and one after the other only where the cache fails meanwhile,
// a rebuild outlives its lease, or a read went past the cache. [Handle.Find] reads a layout: a partition newest first, a range of
// time, the record. What a task with Count counts is read by [Handle.Series],
// [Handle.Total] and [Handle.Top].
//
// A read asks an amorphous store for another consistency than the store's own
// through its context (amorphous.WithConsistency); it then goes past the cache.
// Handle.Scan reads everything, and goes on in another process.
//
// # Open objects
//
// Any property can change. Handle.Patch puts some fields without reading the
// others, and each property keeps its newest value. A field whose type changed
// reads with a clear error, or by KindOptions.Convert. A task that comes to a
// plan later is filled by Handle.Backfill from the objects that exist.
//
// # Changed layouts
//
// What is stored stays as it was when PartitionBy, Newest, Bucket, or By, At, Sum,
// Zone and the shortest Per of a Count change: reads mix the two, or are empty,
// until Handle.Repair has mended what Handle.Verify finds. [Layer.Check] says so,
// and the log when the kind is declared, with what it was, what it is, and the
// call that mends it; so it does of a task whose rows lie under a name in Was. Each
// program writes down what it declares, and a verification from the beginning to
// the end, all of whose differences are repaired, strikes what others did: one that
// goes on storing the former way beside it is noticed within a minute, or when it
// closes. What lies in a store from before there were such fingerprints is not told
// of, nor is a function that changed: When, Derive and Do have none.
// (TestAChangedPlanIsMended, TestLayoutsOfTwoProgramsSideBySide)
//
// # Damage, and forgetting
//
// Handle.Verify compares what layouts, copies, derived rows, counts and the
// cache hold with what the record implies, and Handle.Repair mends what differs.
// Handle.Erase removes one key from everywhere, at a version of its own that
// keeps late retries out, and proves it by a second look.
//
// # Promises
//
// Users may rely on these. The tests named hold them by killing, cutting and
// delaying; where one stands in another package, its path stands before it. What
// can break, row by row, and which test proves each, is in internal/catalogue.
//
//   - P1 Accepted is durable. When Put returns nil, every task of the object is
//     done or will be, whatever crashes next, to the durability that the receipt
//     names. (TestCrash_A1_A3_A4_A5_A7_F7, TestCrashOverServers_A4_F12,
//     TestCrashDuringAnOutage_F12)
//   - P2 All or nothing. No crash can leave an object with some of its tasks
//     accepted and others forgotten. (TestCrash_A1_A3_A4_A5_A7_F7,
//     TestARefusedRowRefusesThePut, TestTxIsAllOrNothing)
//   - P3 Siblings are independent. A store that is down, slow or refusing holds
//     up its own tasks only. (TestAmorphousDown_F1_F4,
//     TestASlowStoreHoldsUpItsOwnTasksOnly_A13_D23,
//     internal/flow.TestAFailingTaskDoesNotHoldItsSiblings)
//   - P4 Newest wins, everywhere. A late retry, a replay or a stale cache fill
//     never overwrites a newer version in any store. (TestUpdatesAreNotLost,
//     TestReadersWhileTheCacheIsLost_F9, internal/hlc.TestNeverBackward_A21,
//     TestAReplayResurrectsNothing, and the suites that every driver of a purpose passes)
//   - P5 Effects. Tasks run at least once under a stable id; a transactional
//     task has its effect exactly once. (TestUnknownTxTask_A5_D1,
//     TestAStoppedProcessLosesItsClaims_A19_A20_A22, TestAHandlersPutsHappenOnce_F7)
//   - P6 Three outcomes. An unknown outcome is reported as itself, and repeated
//     only where that is harmless. (TestUnknownAcceptance, TestUnknownQueue,
//     TestUnknownDefaultWrites)
//   - P7 Nothing vanishes. A task that cannot succeed becomes a dead letter with
//     its reason; no age and no count removes one. Times are kept in UTC and
//     microseconds. (TestDeadLettersAreReplayedEditedAndDiscarded,
//     TestStatsAccountForEverything, TestALongBacklogKeepsItsClaims)
//   - P8 An outage is free. An unreachable store spends no retry budget, and its
//     backlog begins to drain by itself within five seconds of its return, in
//     no more writes at a time than Options.Workers says.
//     (internal/flow.TestAnOutageIsFree, TestAmorphousDown_F1_F4,
//     TestAmorphousFlaps_F3, TestAStoreThatStoppedAndCameBack_D11,
//     TestABadObjectThatLooksLikeAnOutage, TestADrainIsBounded_F1)
//   - P9 Real time stays real time. Real-time tasks have workers that no other
//     task takes. (TestRealTimeIsNotDelayedByBackground, TestUrgentTasksStartFirst,
//     TestASpikeDoesNotKeepRealTimeWaiting, TestBackgroundWritesYieldToRealTime)
//   - P10 Bad input is refused early, with a clear error and nothing written.
//     (TestFaultyObjectsAreRefusedBeforeAnyStore_A29, TestFaultsAreListedTogether)
//   - P11 Bounded. What this process holds, and how much it does at a time, has
//     limits: see [Options]. (TestWhatIsPendingLiesInCustody_A18,
//     TestBoundsOfAMinute_F1, TestALongBacklogAndAHerd, TestManyUnknownAcceptances, internal/group.TestMaxQueueWaitsForTheContext_A30)
//
// # Clocks
//
// Versions come from the clock of the machine that puts, which never goes back
// for this purpose, with a transactional store also over restarts. A machine that
// is more than Options.MaxSkew ahead of the shared transactional store puts
// nothing. One that is behind, by however much, puts above what its layer has
// read: what a program makes of an object that it got or found is newer. What it
// puts unread loses against a newer version that another one put; receipt and
// Stats say superseded then. The exception is Cassandra, whose writes and deletes
// are blind: there a write that lost says done, and a deleted object that was
// looked for in vain is not known to be deleted, so the clocks of the machines
// that put must agree. (TestAWriterWhoseClockIsSlow_E7)
//
// Leases and due times are measured by the store's clock. When that leaps ahead,
// or a machine was suspended, owners that live keep what they hold; when it goes
// back, all processes go on from where it was, as long as one of them saw it.
// Nothing is lost or claimed again and again then, and no Put is refused for it.
// (TestTheDatabasesClockJumps_A21, TestAMachineThatIsAheadPutsNothing_A21,
// TestResumeIsNoStorm_A22)
//
// A task that waits for its time waits by the clock of the process that decided
// so: where the clocks of two processes differ by an hour it may start an hour
// late or early.
//
// # Not promised
//
//   - Order between different keys, and atomicity across stores at one instant.
//   - Exactly-once calls of handlers that reach outside: after a crash, or when
//     a claim was lost, a handler runs again. Its task id is the same.
//   - What a server acknowledged before its fsync, when the power goes. A
//     beanstalkd writes its log at once and fsyncs it when something is written
//     50 ms or more after the last fsync (its default; -f0 fsyncs each): until
//     then "written" jobs survive a kill and not a power cut. A single Cassandra
//     node fsyncs its commit log every 10 s (its default, periodic); a quorum of
//     three nodes loses such a write only if two lose power within that time. A
//     MariaDB whose COMMIT is not fsynced is refused, unless it was asked for by
//     name.
//   - A cache entry, at any moment. memcached evicts when its memory is full (64
//     MB by default) and forgets all when it restarts; an entry costs a read of
//     the record then. While a cache is away other processes may be served what
//     it remembered for one second after it is back.
//   - What an in-process store's disk loses after it had fsynced it. SQLite
//     takes a log that was cut short for a shorter history, without an error:
//     package persistence/embedded says how one would notice.
//   - What a server of yours loses as a whole: commits that a failover forgets, or
//     that a backup lacks from which one store is restored. Whatever is put again
//     is whole in every store again, and [Handle.Verify] finds what is not.
//   - A deadline. A task is started in its order; how soon depends on the load.
//
// # Closing
//
// Whoever opens closes. [Layer.Close] stops Work at two speeds, as the end of
// Work's context does: nothing new is taken, handlers finish for Options.Grace,
// then their contexts end, and what is left stays in custody.
package persistence
