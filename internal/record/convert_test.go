package record

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

type priced struct {
	ID    string `persistence:"key"`
	Price int64
	Tags  []string
	At    time.Time
}

func TestConvert(t *testing.T) {
	typ, errs := Compile(reflect.TypeFor[priced]())
	if errs != nil {
		t.Fatal(errs)
	}
	errs = typ.Convert(map[string]Conversion{
		"Price": func(old any) (any, error) {
			text, ok := old.(string)
			if !ok {
				return "no int64", nil
			}
			return strconv.ParseInt(strings.TrimPrefix(text, "EUR "), 10, 64)
		},
		"Tags": func(old any) (any, error) {
			if old == true {
				return nil, nil
			}
			return []string{old.(string)}, nil
		},
	})
	if errs != nil {
		t.Fatal(errs)
	}
	set := typ.Set(pointers(typ.Fields))
	at := time.Unix(9, 0).UTC()
	for _, test := range []struct {
		body, fails string
		want        priced
	}{
		{`{"id":"a","price":7,"tags":["x"],"at":"1970-01-01T00:00:09Z"}`, "", priced{"a", 7, []string{"x"}, at}},
		{`{"id":"a","price":"EUR 8","tags":"x","at":"1970-01-01T00:00:09Z"}`, "", priced{"a", 8, []string{"x"}, at}},
		{`{"id":"a","price":null,"tags":null}`, "", priced{ID: "a"}},
		{`{"id":"a","tags":true,"price":"9"}`, "", priced{ID: "a", Price: 9}},
		{`{"id":"a","price":"EUR x"}`, "price: its conversion fails", priced{}},
		{`{"id":"a","price":1.5}`, "price: its conversion returned a string", priced{}},
		{`{"id":"a","at":12}`, "at:", priced{}}, // without a conversion: a clear error
		{`{"id":"a","price":"EUR 8}`, "", priced{}},
	} {
		var got priced
		err := set.Decode([]byte(test.body), reflect.ValueOf(&got))
		broken := test.fails != "" || strings.Contains(test.body, `8}`)
		switch {
		case broken && (!errors.Is(err, fault.ErrCorrupt) || !strings.Contains(err.Error(), test.fails)):
			t.Errorf("%s: got %v, want %q", test.body, err, test.fails)
		case !broken && (err != nil || !reflect.DeepEqual(got, test.want)):
			t.Errorf("%s: got %+v, %v", test.body, got, err)
		}
	}
	for _, bad := range []map[string]Conversion{{"Nope": func(old any) (any, error) { return old, nil }}, {"Price": nil}} {
		if errs := typ.Convert(bad); len(errs) != 1 || !errors.Is(errs[0], fault.ErrInvalid) {
			t.Errorf("a faulty conversion is refused: %v", errs)
		}
	}
}
