package persistence

import (
	"context"
	"sync/atomic"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// An updating is one run of the function of an update.
type updating struct {
	theirs  error // of change, which comes back as it is
	receipt *Receipt
}

// update reads, changes and writes one object in a transaction.
func (l *Layer) update(ctx context.Context, k *kind, key string, change func(obj any) error) (*Receipt, error) {
	if err := l.open("update"); err != nil {
		return nil, err
	}
	if err := l.checkOptions(k, putOptions{hasIf: true}); err != nil {
		return nil, opError("update", k, key, err)
	}
	var ended atomic.Pointer[updating] // nil also when it was cut off: it may run still
	repeat, err := l.transact(ctx, func(ctx context.Context, tx *Tx) (err error) {
		ended.Store(nil)
		u := &updating{}
		defer ended.Store(u)
		obj, err := tx.get(ctx, k, key)
		if err != nil {
			return err
		}
		if u.theirs = change(obj); u.theirs != nil {
			return u.theirs
		}
		if now, err := k.typ.KeyOf(value(obj)); err != nil || now != key {
			return invalid("an update must leave the key as it is")
		}
		u.receipt, err = tx.put(ctx, k, obj, putOptions{})
		return err
	})
	u := ended.Load()
	if u == nil {
		u = &updating{}
	}
	if err != nil && u.theirs == nil {
		err = updateError(k, key, err)
	}
	switch {
	case err != nil && !fault.Accepted(err):
		return nil, err
	case repeat != transactional.RecordID{}:
		return l.Receipt(ctx, repeat.String())
	}
	return u.receipt, err
}

// updateError is opError for what the parts of an update say: the read and the
// write name the same object, and are no operation that the caller knows of.
func updateError(k *kind, key string, err error) error {
	if part, ok := err.(*fault.Error); ok && part.Store == "" && part.Kind == k.name && part.Key == key {
		named := *part
		named.Op = "update"
		return &named
	}
	return opError("update", k, key, err)
}
