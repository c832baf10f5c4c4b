package amorphous

import (
	"context"
	"sync"
)

// TableRows are rows of one table, for [Store.WriteAll].
type TableRows struct {
	Table Table // as for Write
	Rows  []Row // each is written on its own
}

// A TablesWriter is a driver that sends rows of several tables together.
type TablesWriter interface {
	// WriteTables is Write of rows of several tables, each on its own as there.
	// The result is aligned with writes and their rows.
	WriteTables(ctx context.Context, writes []TableRows) [][]error
}

// JoinsTables reports whether WriteAll sends rows of several tables together.
func (s *Store) JoinsTables() bool {
	_, ok := s.driver.(TablesWriter)
	return ok
}

// WriteAll is Write of rows of several tables, each on its own as there. Where the
// driver can, they are sent together: a server has as much work with a request for
// one row as for two. Else, and where one of them is not valid, the tables are
// written side by side. The result is aligned with writes and their rows.
func (s *Store) WriteAll(ctx context.Context, writes []TableRows) [][]error {
	if joint, ok := s.driver.(TablesWriter); ok {
		if valid := s.validTables(ctx, writes); valid != nil {
			out := joint.WriteTables(ctx, valid)
			for i, errs := range out {
				for n, err := range errs {
					errs[n] = locate(err, "write", writes[i].Table.Name, writes[i].Rows[n].ID)
				}
			}
			return out
		}
	}
	out := make([][]error, len(writes))
	var wg sync.WaitGroup
	for i := range writes {
		wg.Go(func() { out[i] = s.Write(ctx, writes[i].Table, writes[i].Rows...) })
	}
	wg.Wait()
	return out
}

// validTables are the writes as a driver knows their tables; nil when something is
// wrong with one of them.
func (s *Store) validTables(ctx context.Context, writes []TableRows) []TableRows {
	out := make([]TableRows, len(writes))
	for i, w := range writes {
		qualified, err := s.enter(ctx, w.Table)
		if err != nil {
			return nil
		}
		for n := range w.Rows {
			if s.validateRow(w.Table, &w.Rows[n]) != nil {
				return nil
			}
		}
		out[i] = TableRows{qualified, w.Rows}
	}
	return out
}
