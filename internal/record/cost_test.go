package record_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/costtest"
	"github.com/fourfold-dev/fourfold/internal/record"
)

// TestKeyCosts bounds what the encoding of keys and orders allocates.
func TestKeyCosts(t *testing.T) {
	type keyed struct {
		ID string `persistence:"key"`
		N  int64
		At time.Time
	}
	typ := compile[keyed](t)
	v := reflect.ValueOf(&keyed{ID: "000000123456", N: 123456, At: time.UnixMicro(1795886457076100)}).Elem()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	costtest.Check(t, "the key of an object", 1, costtest.Bound{Allocs: 0.2, Bytes: 32}, func() {
		_, err := typ.KeyOf(v)
		must(err)
	})
	costtest.Check(t, "a number as a partition", 1, costtest.Bound{Allocs: 1.2, Bytes: 64}, func() {
		_, err := record.Text(v.Field(1))
		must(err)
	})
	costtest.Check(t, "a time as an order", 1, costtest.Bound{Allocs: 2.2, Bytes: 96}, func() {
		_, err := record.Order(v.Field(2), true)
		must(err)
	})
}
