package persistence

import (
	"errors"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A place is where the transaction found no row.
type place struct {
	table *transactional.Table
	id    string
}

// sawNothing remembers that a row was not there. A database locks no row that
// does not exist, so another transaction may insert it meanwhile.
func (t *Tx) sawNothing(table *transactional.Table, id string) {
	if t.absent == nil {
		t.absent = map[place]bool{}
	}
	t.absent[place{table, id}] = true
}

// insertAbsent makes writes of rows that were read as absent fail when somebody
// inserted them meanwhile: writing over that would lose it.
func (t *Tx) insertAbsent(writes []transactional.Write) {
	for i := range writes {
		w := &writes[i]
		if at := (place{w.Table, w.Row.ID}); t.absent[at] {
			delete(t.absent, at)
			if w.Mode == transactional.Above || w.Mode == transactional.Insert {
				w.Mode, t.raced = transactional.Insert, true
			}
		}
	}
}

// raceLost turns the refusal of such a write into fault.ErrBusy: the function
// runs again, and reads what is there now. A unique value that another row has
// is refused in the same words, and is found out by running again in vain.
func (t *Tx) raceLost(err error) error {
	if t.raced && fault.ClassOf(err) == fault.ErrExists {
		t.again, t.taken = true, err
		return &fault.Error{Op: "put", Store: "transactional", Class: fault.ErrBusy,
			Err: errors.New("a row that was not there was inserted meanwhile, or has a unique value: " + err.Error())}
	}
	return err
}
