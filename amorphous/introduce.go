package amorphous

import "slices"

// entire reports whether each share is all that its origin implies.
func entire(shares []share) bool {
	return !slices.ContainsFunc(shares, func(s share) bool { return s.more || s.of.chunks > 0 })
}

// introduce registers the batch and writes its rows in one transaction, less
// those of which a newer version is registered already, and returns what is
// registered.
func (w *deriving) introduce(registrar Registrar, shares []share) map[string][]entry {
	d := w.rows
	rows := w.batch
	if d.spread != nil && len(rows) > 0 {
		rows = slices.Clone(rows)
		if err := d.spread.place(w.ctx, rows); err != nil {
			failAll(shares, err)
			return nil
		}
	}
	entries := d.register.entries(shares, w.batch)
	all := make([]Introduction, len(shares))
	for i, s := range shares {
		all[i] = Introduction{Entry: entries[i], Rows: rows[s.from:s.to:s.to]}
	}
	register, err := d.store.enter(w.ctx, d.register.table)
	if err != nil {
		failAll(shares, err)
		return nil
	}
	table, err := d.store.enter(w.ctx, d.table)
	if err != nil {
		failAll(shares, err)
		return nil
	}
	cells, errs := registrar.Register(w.ctx, register, table, all)
	known := map[string][]entry{}
	for i, s := range shares {
		var found []entry
		for c := range cells[i] {
			e, err := parseEntry(&cells[i][c])
			s.of.fail(err)
			found = append(found, e)
		}
		s.of.fail(errs[i])
		known[s.of.Key] = found
	}
	d.register.complete(w.ctx, shares, known)
	return known
}

func failAll(shares []share, err error) {
	for _, s := range shares {
		s.of.fail(err)
	}
}
