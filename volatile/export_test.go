package volatile

import (
	"testing"

	"github.com/fourfold-dev/fourfold/internal/record"
)

// DecodeForBench returns what a view of T does to the bytes of a value.
func DecodeForBench[T any](b *testing.B) func([]byte) (T, error) {
	codec, err := record.ValuesOf[T](purpose, "new", volatileFields)
	if err != nil {
		b.Fatal(err)
	}
	return func(data []byte) (v T, err error) {
		err = codec.Decode(data, &v)
		return v, err
	}
}
