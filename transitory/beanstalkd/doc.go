// Package beanstalkd is the queue on servers of that name, by the client
// github.com/beanstalkd/go-beanstalk.
//
//	queue, err := transitory.Open(ctx, "beanstalkd://10.0.0.7,10.0.0.8?plaintext=true")
//	queue, err := transitory.Open(ctx, "beanstalkd:///run/beanstalkd.sock")
//
// or, with [Options] of a program, [Servers]. In a URL they are called
// plaintext=true, tls=true, durability, timeout, dial_timeout, producers and
// consumers.
//
// # What a server promises
//
// A server that runs with -b DIRECTORY writes every job to a log before it
// answers: a kill loses nothing (fault.Written). It fsyncs at most every 50 ms,
// and only when a later write comes; with -f0 always, which lets it take six
// thousand jobs a second at most. Without -b everything is memory. [Servers]
// asks, and Features say what holds for all servers; a server that turns out
// to keep less is given no jobs (fault.ErrMisconfigured). That covers a log
// that broke: after one failed write beanstalkd goes on without it and says
// nothing, but its counters tell, and are looked at every second while jobs are
// being put.
//
// A release is written to the log only when it has a delay: after a kill, a job
// that was released with another priority may have its first one again.
//
// Delays and TTRs have a resolution of a second, and are rounded up.
//
// # What this package does about the server
//
// beanstalkd 1.12 may forget to end a reservation whose connection is silent.
// This package releases what is over itself, so a job of a worker that hangs
// comes back at its TTR. A process that is stopped (not killed) can hold on to
// its jobs for as long as its connections live.
//
// It kicks a job that the server buried because it had no memory, and logs an
// alarm.
//
// # What this package does about the client
//
// The client has no deadlines, no contexts and no way back after an error, and
// some input makes it answer wrongly for ever. So names and sizes are checked
// before it sees them; every operation has a deadline of its own; a context's
// end cuts the connection of a put, whose outcome is then fault.ErrUnknown
// joined with the context's error; answers are handed to it in whole lines of
// bounded sizes; and a connection that saw anything odd is closed. Connections
// that put never reserve. Those that reserve watch one set of tubes for life,
// and a job is settled by the connection that holds it: nobody else may.
//
// # Several servers
//
// A put goes to one server after the other until one takes it; a job whose
// answer was lost goes to no second one. Reserve asks all servers in turn, and
// waits on all of them. Each server orders its own jobs, so Features.Strict and
// FIFO are false, and a more urgent job may wait on another server while one is handed
// out. A server that cannot be reached is tried again at least every two
// seconds; what it holds waits for it. Stats fails while a server cannot be
// asked, rather than to tell less than there is.
//
// # What the client and the server get wrong
//
// And what is done about it, with the tests that hold it:
//
//   - A tube's name with an illegal byte hangs a connection of the client for
//     ever, one that begins with a hyphen puts the job into another tube, one with
//     a line's end executes commands: names are checked before the client sees
//     them, also those of statistics (the suite's TubeNames_B18).
//   - A reserve that blocks holds up every other command of its connection, and
//     one without tubes leaves the answers out of step: connections that reserve
//     do nothing else, with one set of tubes for life
//     (TestConnectionsThatPutNeverReserve, TestConsumersAreBounded, the suite's
//     ReserveArguments).
//   - The client has no deadline, no context and no way back after an error:
//     every round trip has a deadline, and a connection that timed out, answered
//     oddly or ended is replaced, with growing pauses (TestSilentServer_B20,
//     TestOwnDeadline_B15_B16, TestContextCutsAPut, TestCutPoints_B17, TestClassificationOfPut_B21,
//     TestClassificationOfSettlements, TestReconnectionLeavesNothingBehind).
//   - A nil body is sent without its length, one that is too large is refused by
//     the server after it was sent: the one becomes empty, the other is
//     fault.ErrTooLarge before it is sent; the limit is asked of the server
//     (TestLearnsTheServersLimits, the suite's Bodies and BodySizes).
//   - Delays and TTRs are cut to whole seconds: they are rounded up, and
//     Features.Resolution says so (TestDurationsAreRoundedUp; the suite's
//     DelayNotEarly and TTRRedelivers_B11 take it at its word).
//   - A job may be delivered twice: those of package persistence carry what tells
//     repeats apart (persistence.TestAHandlersPutsHappenOnce_F7), and whoever puts
//     jobs by hand writes it into the body.
//   - A put without an answer may have been done: it is fault.ErrUnknown, and
//     goes to no second server (TestClassificationOfPut_B21, TestBatchIsCut_B16).
//   - One connection is slow, many are not, and what joins writes gains nothing:
//     Options.Producers are 16 (BenchmarkPut).
//   - Without -b nothing survives a crash, with it the last writes before a pause
//     may not survive a power cut, and a log that breaks is not mentioned: see
//     above (TestServerWithoutALog, TestBrokenLog_B6,
//     persistence.TestACustodyWhoseLogBroke_B6).
//   - A job whose TTR ends runs again while its first run goes on: the layer
//     touches what runs (persistence.TestLongHandlersKeepTheirClaim), and what is
//     over is given back here (TestTTROfASilentWorker).
//   - The server may crash under many connections that end while they reserve
//     (beanstalkd#160): that is an outage like any other, and its log brings the jobs
//     back (the suite's RestartUnderWay).
//   - An answer that lies about its size makes the client reserve memory for it:
//     sizes are bounded before (TestHostileSizes, FuzzWire_B17).
package beanstalkd
