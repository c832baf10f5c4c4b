// Package transitory is for data that is kept until one unit of work is done,
// and then is gone: a queue of jobs, atomic, very fast, and there again after a
// crash. It can be used alone, as a typed queue, and is where package
// persistence lets envelopes wait.
//
// # The nouns
//
// A [Job] is bytes with a priority, 0 first. It waits in a tube, which is a
// name ([ValidTube]) and needs no declaration. To reserve a job is to have it
// alone for its TTR; [Queue.Delete] ends it, [Queue.Release] gives it back, and
// [Queue.Touch] starts the TTR again. A reservation that is none of these in
// time ends by itself: the job is ready again, and whoever held it learns that
// from fault.ErrNotFound. So a job runs at least once, and its effect should be
// one that may be repeated.
//
// A [Queue] is what programs hold. Below it is a [Driver]: package embedded is
// a queue in a directory, package beanstalkd the servers of that name. A
// [Source] opens one, by [Open] from a URL.
//
// A [Tube] is a typed queue: values go in, and [Tube.Work] runs a handler on
// each.
//
//	queue, err := transitory.Open(ctx, "embedded:///var/lib/shop")
//	orders, err := transitory.NewTube[Order](queue, "orders", nil)
//	err = orders.Put(ctx, Order{ID: "o1"}, transitory.Delay(time.Minute))
//	err = orders.Work(ctx, 8, func(ctx context.Context, o Order) error {
//		return ship(ctx, o) // nil deletes the job, an error tries again later
//	})
//
// # Order
//
// Reserve hands out the most urgent job over all the tubes that it is asked
// for, and among jobs of one tube and one priority the one that was put first
// (with one producer, where [Features].FIFO is true).
//
// # Durability
//
// [Features].Durability says what a job survives whose Put returned nil.
// Reservations are never durable: after a restart of the queue every job that
// was reserved is ready.
//
// # Errors
//
// Every error has a class of package fault. Jobs that are put, deleted or
// released together fail alone: errors are aligned with their jobs. An error
// for which fault.Unknown is true says that the answer was lost, and the change
// may be there or not.
//
// # Goals and non-goals
//
// The queue is made for jobs that are soon done: it has no topics, no groups of
// consumers and no history, and a delay is an hour at most. It does not store
// results. It does not order jobs of one key across workers, and does not limit
// how many run; package persistence does both.
package transitory
