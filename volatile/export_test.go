package volatile

import "testing"

// DecodeForBench returns what a view of T does to the bytes of a value.
func DecodeForBench[T any](b *testing.B) func([]byte) (T, error) {
	codec, err := newCodec[T]()
	if err != nil {
		b.Fatal(err)
	}
	return func(data []byte) (v T, err error) {
		err = codec.decode(data, &v)
		return v, err
	}
}
