package transactional

// A seen is what a transaction knows of rows that it has read or written: they
// are locked, so what was there is there still, and writing them with care
// needs no second look. Its zero value knows nothing yet, and a nil one never
// does: the caller of Join may write beside us.
type seen struct {
	rows map[resource]sight
}

// A sight is a row as it was seen.
type sight struct {
	stamped
	there bool
	loose bool // not there, and not locked either: another may insert it
}

func (n *seen) note(space, id string, row sight) {
	if n.rows == nil {
		n.rows = map[resource]sight{}
	}
	n.rows[resource{space: space, id: id}] = row
}

// read notes what a locking read of ids returned. No server locks what is not
// there, so where others write too, an absent row may be there a moment later.
func (n *seen) read(p *plan, ids []string, rows []Row, alone bool) {
	if n == nil {
		return
	}
	for _, id := range ids {
		n.note(p.physical, id, sight{loose: !alone})
	}
	for i := range rows {
		r := &rows[i]
		n.note(p.physical, r.ID, sight{stamped: stamped{r.Stamp, r.Deleted}, there: true})
	}
}

// wrote notes what was written.
func (n *seen) wrote(ws []*write) {
	if n == nil {
		return
	}
	for _, w := range ws {
		if w.mode != Newest {
			n.note(w.plan.physical, w.id, sight{stamped: stamped{w.stamp, w.deleted}, there: true})
		} else {
			delete(n.rows, resource{space: w.plan.physical, id: w.id}) // a newer one may have won
		}
	}
}

// forget forgets everything: SQL of the user's own may have changed any row.
func (n *seen) forget() {
	if n != nil {
		n.rows = nil
	}
}

// stamps returns the stamps of the rows that are to be written, if all of them
// were seen. To insert a row that was not there needs no lock: the statement
// fails when somebody else was first.
func (n *seen) stamps(ws []*write) (found map[string]stamped, ok bool) {
	if n == nil {
		return nil, false
	}
	found = make(map[string]stamped, len(ws))
	for _, w := range ws {
		row, known := n.rows[resource{space: w.plan.physical, id: w.id}]
		if !known || row.loose && (w.mode != Insert || w.deleted) {
			return nil, false
		}
		if row.there {
			found[w.id] = row.stamped
		}
	}
	return found, true
}
