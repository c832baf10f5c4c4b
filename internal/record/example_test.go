package record_test

import (
	"fmt"
	"reflect"

	"github.com/fourfold-dev/fourfold/internal/record"
)

type user struct {
	ID    string `persistence:"key"`
	Email string `transactional:",unique"`
	Tags  []string
	Rest  map[string]any `amorphous:",rest"`
}

func ExampleCompile() {
	typ, faults := record.Compile(reflect.TypeFor[user]())
	fmt.Println(len(faults), "faults")
	for _, f := range typ.Fields {
		fmt.Println(f.Go, "is", f.Name, "in a column of type", f.Column)
	}
	// Output:
	// 0 faults
	// ID is id in a column of type text
	// Email is email in a column of type text
	// Tags is tags in a column of type json
	// Rest is rest in a column of type json
}

func ExampleCompile_faults() {
	_, faults := record.Compile(reflect.TypeFor[struct {
		ID     string   `persistence:"key"`
		Email  string   `transactionl:",unique"`
		Notify chan int `volatile:",ttl=1"`
	}]())
	for _, f := range faults {
		fmt.Println(f)
	}
	// Output:
	// struct.Email: the tag key "transactionl" would be ignored; did you mean "transactional"?
	// struct.Notify: ttl=1 is not a positive duration; write it as in ttl=15m or ttl=24h
	// struct.Notify: a chan int cannot be stored; leave it out with persistence:"-"
}

func ExampleSet() {
	typ, _ := record.Compile(reflect.TypeFor[user]())
	set := typ.Set([]*record.Field{typ.Key, typ.Lookup("Email"), typ.Rest})
	in := user{ID: "u1", Email: "ann@example.com", Tags: []string{"new"}, Rest: map[string]any{"color": "red"}}
	data, err := set.Append(nil, reflect.ValueOf(&in))
	fmt.Printf("%s %v\n", data, err)
	var out user
	err = set.Decode([]byte(`{"id":"u1","email":5}`), reflect.ValueOf(&out))
	fmt.Println(err)
	// Output:
	// {"id":"u1","email":"ann@example.com","color":"red"} <nil>
	// decode: corrupt: user.email: it is not a string (byte 19)
}

func ExampleMerge() {
	merged, err := record.Merge([]byte(`{"id":"u1","color":"blue"}`), []byte(`{"color":"red","size":3}`))
	fmt.Printf("%s %v\n", merged, err)
	// Output: {"id":"u1","color":"blue","size":3} <nil>
}

func ExampleOrder() {
	older, _ := record.Order(reflect.ValueOf(1), true)
	newer, _ := record.Order(reflect.ValueOf(2), true)
	fmt.Println(string(newer) < string(older))
	// Output: true
}
