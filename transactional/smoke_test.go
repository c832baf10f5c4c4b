package transactional_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
	"time"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	s, err := transactional.Open(ctx, embedded.Dir(t.TempDir(), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tab := &transactional.Table{Name: "orders", Columns: []transactional.Column{{"email", transactional.Text}, {"version", transactional.Uint}}, Unique: [][]string{{"email"}}}
	w := func(id string, v int64, email string, m transactional.Mode) error {
		r, err := s.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{{Table: tab, Mode: m, Row: transactional.Row{ID: id, Stamp: transactional.Stamp{Version: v}, Values: []any{email, uint64(1<<63 + 5)}}}}})
		t.Log(id, v, r, err)
		return err
	}
	w("a", 1, "x", transactional.Newest)
	w("a", 1, "x", transactional.Newest)
	w("a", 0, "x", transactional.Newest)
	if err := w("b", 0, "x", transactional.Newest); !errors.Is(err, fault.ErrExists) {
		t.Fatal(err)
	}
	w("b", 3, "y", transactional.Insert)
	w("b", 4, "y", transactional.Insert)
	rows, err := s.Read(ctx, tab, "a", "b")
	t.Log(rows, err)
	id := transactional.RecordID{1}
	_, err = s.Apply(ctx, &transactional.Unit{Add: []transactional.Record{{ID: id, Kind: "k", Key: "a", Lane: "l", Body: []byte("x"), Token: "t", Remember: time.Hour, Orders: []transactional.Order{{"t", "k"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	recs, err := s.Claim(ctx, transactional.ClaimRequest{Lanes: []string{"l", "m"}, Max: 5, Owner: 7, Lease: time.Second})
	t.Log(recs, err)
	_, err = s.Apply(ctx, &transactional.Unit{Settle: []transactional.Settlement{{ID: id, Owner: 7, Done: true}}})
	t.Log(err)
	t.Log(s.Find(ctx, id))
	t.Log(s.Sweep(ctx))
	t.Log(s.Urgent(ctx, []string{"l"}))
	t.Log(s.Raise(ctx, "hlc", 5))
	t.Log(s.Clock(ctx))
	rows, next, err := s.Scan(ctx, tab, transactional.Filter{By: "email", Limit: 1})
	t.Log(rows, next, err)
	rows, next, err = s.Scan(ctx, tab, transactional.Filter{By: "email", Limit: 1, After: next})
	t.Log(rows, next, err)
	for _, x := range s.Schema(tab) {
		t.Log(x)
	}
	err = s.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
		rows, err := tx.Read(ctx, tab, "a")
		t.Log(rows, err)
		_, err = tx.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{{Table: tab, Row: transactional.Row{ID: "a", Stamp: transactional.Stamp{Version: 9}, Deleted: true}}}})
		return err
	})
	t.Log(err)
	t.Log(s.Read(ctx, tab, "a", "b"))
	t.Log(s.PurgeTombstones(ctx, tab, 10))
	t.Log(s.Read(ctx, tab, "a", "b"))
}
