package amorphous

import "context"

// A transactionLedger leaves counting to a driver that does it in
// transactions.
type transactionLedger struct {
	store  *Store
	driver Tallier
	table  Table
}

func (l *transactionLedger) tables() []Table { return []Table{l.table} }

func (l *transactionLedger) record(ctx context.Context, members []Member) []error {
	table, err := l.store.enter(ctx, l.table)
	if err == nil {
		return l.driver.Tally(ctx, table, members)
	}
	errs := make([]error, len(members))
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (l *transactionLedger) sums(ctx context.Context, ranges []Range) ([]Tally, error) {
	table, err := l.store.enter(ctx, l.table)
	if err != nil {
		return nil, err
	}
	return l.driver.Tallies(ctx, table, ranges)
}
