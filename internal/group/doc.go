// Package group forms groups without waiting for more: while one group is under
// way, what arrives meanwhile forms the next. A lone item never waits; under load
// groups grow by themselves.
//
// There is no goroutine while there is no work. The first item to arrive
// starts one, it runs group after group until nothing waits, and then it ends;
// [Options.Parallel] bounds how many do so side by side, and [Options.Eager]
// how many do while none of them is small or stands. A lone caller of
// [Group.DoAllHere] needs none.
//
// A caller that leaves never takes the others with it: its item is withdrawn
// when no group has it yet, and otherwise the group goes on without anybody
// waiting for that item. A run that panics fails the items of its own group,
// whose outcome is then unknown, and the next group is run as if nothing had
// happened.
//
// What a lone item must not pay, and many must not cost: an item never waits for
// others (TestLoneItemNeverWaits), what arrives meanwhile forms the next group
// (TestWhatArrivesMeanwhileFormsTheNextGroup), and what waits is bounded
// (TestMaxQueueWaitsForTheContext_A30).
package group
