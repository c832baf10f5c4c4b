package record_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Types that tests of faults need by name.
type (
	//lint:ignore U1000 unexported fields are what it is about
	hidden struct{ a, b int }
	tagged struct {
		Hash string `transactional:""`
	}
	clashA  struct{ Name string }
	clashB  struct{ Name string }
	anyList []any

	// withTime would be written as its time only.
	withTime struct {
		time.Time
		Extra int
	}
	withColor struct {
		*color
		Extra int
	}
)

func key() reflect.StructField { return keyField }

// one is a struct type with a key and one field of type T with a tag.
func one[T any](tag string) reflect.Type {
	f := reflect.StructField{Name: "Field", Type: reflect.TypeFor[T](), Tag: reflect.StructTag(tag)}
	return reflect.StructOf([]reflect.StructField{key(), f})
}

// refusedTypes are types that cannot be kept, each for one reason.
var refusedTypes = []struct {
	promise string
	typ     reflect.Type
	want    []string // parts of the one sentence
}{
	{"an interface", one[error](""), []string{"struct.Field: ", "interface", "concrete type", `persistence:"-"`}},
	{"any outside of a Rest", one[any](""), []string{"interface", "rest"}},
	{"any inside a slice", one[anyList](""), []string{"interface"}},
	{"a map[string]any without rest", one[map[string]any](""), []string{"map[string]any", "rest", "json.RawMessage"}},
	{"a func", one[func()](""), []string{"func()", `persistence:"-"`}},
	{"a chan", one[chan int](""), []string{"chan int"}},
	{"a complex", one[complex128](""), []string{"complex128", "two float fields"}},
	{"an unsafe pointer", one[unsafe.Pointer](""), []string{"Pointer cannot be stored"}},
	{"a uintptr", one[uintptr](""), []string{"uintptr", "use uint64"}},
	{"a pointer to a pointer", one[**int](""), []string{"pointer to a pointer", "use one pointer"}},
	{"a pointer to a slice", one[*[]int](""), []string{"*[]int"[1:], "nil"}},
	{"a pointer to a map", one[*map[string]int](""), []string{"map[string]int"}},
	{"a map with a struct as key", one[map[color]int](""), []string{"key of a map", "color"}},
	{"a map with a float as key", one[map[float64]int](""), []string{"key of a map", "float64"}},
	{"a struct that shows nothing", one[hidden](""), []string{"hidden", "not exported", "MarshalText"}},
	{"a purpose tag inside a field", one[tagged](""), []string{"Field.Hash", "one property", "purpose tag"}},
	{"a text form that loses fields", one[withTime](""), []string{"withTime", "embedded Time", "lose its other fields"}},
	{"a text form that loses fields", one[withColor](""), []string{"withColor", "embedded *record_test.color", "lose its other fields"}},
	{"a name that is none", one[int](`persistence:"9x"`), []string{`"9x"`, "letters, digits and underscores"}},
	{"a name that is too long", one[int](`persistence:"` + strings.Repeat("x", 65) + `"`), []string{"at most 64"}},
	{"a name that is taken", one[int](`persistence:"id"`), []string{`"id" is also that of ID`, "other_name"}},
	{"a name that differs in case only", one[int](`persistence:"Id"`), []string{`"Id" is also that of ID`}},
	{"a purpose's name that is taken", one[int](`amorphous:"id"`), []string{`"id" is also that of ID`, "amorphous:"}},
	{"two keys", one[string](`persistence:"key"`), []string{"one key", "ID is it already"}},
	{"a version that is no int64", one[int](`persistence:"version"`), []string{"version must be an int64", "not int"}},
	{"a version that is a duration", one[time.Duration](`persistence:"version"`), []string{"version must be an int64"}},
	{"a key that is also the version", one[int64](`persistence:"f,key,version"`), []string{"both key and version", "one key"}},
	{"a misspelt key", one[int](`transactionl:"x"`), []string{`"transactionl"`, `did you mean "transactional"?`}},
	{"a key in capitals", one[int](`Amorphous:"x"`), []string{`did you mean "amorphous"?`}},
	{"a misspelt key", one[int](`persistance:"x"`), []string{`did you mean "persistence"?`}},
	{"a key cut short", one[int](`persist:"-"`), []string{`did you mean "persistence"?`}},
	{"a key that stands there twice", one[int](`volatile:"a" volatile:"b"`), []string{"volatile", "twice"}},
	{"a tag that reflect cannot read", one[int](`json:"a" volatile: "b"`), []string{"cannot be read", `volatile:"…"`}},
	{"a tag without quotes", one[int](`transitory:x`), []string{"cannot be read", "transitory"}},
	{"an unknown option", one[int](`transactional:",uniqe"`), []string{`"uniqe"`, `did you mean "unique"?`}},
	{"an option of another purpose", one[int](`volatile:",unique"`), []string{"volatile takes no option", "transactional tag"}},
	{"an index on a durable row", one[int](`amorphous:",index"`), []string{"amorphous takes no option", "transactional"}},
	{"ttl in a transactional tag", one[int](`transactional:",ttl=1m"`), []string{"volatile or amorphous"}},
	{"rest in a volatile tag", one[map[string]any](`volatile:",rest"`), []string{"volatile takes no option", "transactional or amorphous"}},
	{"key in a purpose tag", one[int](`transactional:",key"`), []string{"persistence tag"}},
	{"an option of transitory", one[int](`transitory:",foo"`), []string{"transitory takes no option", "only a name"}},
	{"an empty option", one[int](`transactional:"a,"`), []string{`no option ""`}},
	{"an option with a value it does not take", one[int](`transactional:",unique=yes"`), []string{"takes no value"}},
	{"ttl without a value", one[int](`volatile:",ttl"`), []string{"needs a duration"}},
	{"ttl that is no duration", one[int](`volatile:",ttl=15"`), []string{"ttl=15 is not a positive duration", "ttl=15m"}},
	{"ttl that is negative", one[int](`volatile:",ttl=-1s"`), []string{"positive"}},
	{"an option that stands there twice", one[int](`transactional:",unique,unique"`), []string{"twice"}},
	{"an option in place of the name", one[int](`transactional:"unique"`), []string{`write ",unique"`}},
	{"ttl in place of the name", one[int](`volatile:"ttl=1m"`), []string{`write ",ttl=1m"`}},
	{"a dash with options", one[int](`volatile:"-,ttl=1m"`), []string{"takes no options"}},
	{"a dash with options", one[int](`persistence:"-,key"`), []string{"takes no options"}},
	{"left out, and kept", one[int](`persistence:"-" volatile:"x"`), []string{"other tags would be ignored"}},
	{"the name after the option", one[string](`persistence:"version,nom"`), []string{"the name stands first"}},
	{"rest of another type", one[map[string]string](`amorphous:",rest"`), []string{"rest needs a field of type map[string]any"}},
	{"rest with an index", one[map[string]any](`transactional:",rest,index"`), []string{"no index covers"}},
	{"rest with a ttl", one[map[string]any](`amorphous:",rest,ttl=1m"`), []string{"ttl", "rest"}},
	{"an index on JSON", one[[]string](`transactional:",index"`), []string{"kept as JSON", "no index covers"}},
	{"an embedded struct with tags", reflect.TypeFor[struct {
		ID     string `persistence:"key"`
		clashA `volatile:"-"`
	}](), []string{"embedded struct", "tag them instead"}},
	{"an embedded pointer", reflect.TypeFor[struct {
		ID string `persistence:"key"`
		*Place
	}](), []string{"embedded pointer", "embed Place itself"}},
	{"embedded structs whose names clash", reflect.TypeFor[struct {
		ID string `persistence:"key"`
		clashA
		clashB
	}](), []string{"clashB.Name", "also that of clashA.Name"}},
	{"a field that is not exported", reflect.TypeFor[struct {
		ID     string `persistence:"key"`
		secret int
	}](), []string{".secret: ", "not exported", "export it", `persistence:"-"`}},
	{"no key", reflect.TypeFor[struct{ ID string }](), []string{"no field is the key", `persistence:"key"`}},
	{"a key of another kind", reflect.TypeFor[struct {
		ID float64 `persistence:"key"`
	}](), []string{"key must be a string, an integer", "float64"}},
	{"a key that may be nil", reflect.TypeFor[struct {
		ID *string `persistence:"key"`
	}](), []string{"key must be", "*string"}},
	{"a field whose name gives none", reflect.TypeFor[struct {
		ID    string `persistence:"key"`
		Größe int
	}](), []string{"Größe", "no property name", `persistence:"some_name"`}},
	{"a type that is no struct", reflect.TypeFor[int](), []string{"only a struct or a Document"}},
	{"a pointer", reflect.TypeFor[*Checkin](), []string{"declare Checkin, without the pointer"}},
	{"another map", reflect.TypeFor[map[string]int](), []string{"declare Document"}},
	{"a time", reflect.TypeFor[time.Time](), []string{"only a struct"}},
}

func TestCompileRefuses(t *testing.T) {
	for _, c := range refusedTypes {
		typ, faults := record.Compile(c.typ)
		if typ != nil || len(faults) == 0 {
			t.Errorf("%s is refused: %v", c.promise, c.typ)
			continue
		}
		all := errors.Join(faults...).Error()
		for _, part := range c.want {
			if !strings.Contains(all, part) {
				t.Errorf("%s: the fault does not say %q:\n%s", c.promise, part, all)
			}
		}
		for _, f := range faults {
			if !errors.Is(f, fault.ErrInvalid) {
				t.Errorf("%s: the fault has no class: %v", c.promise, f)
			}
		}
	}
}

func TestCompileListsAllFaults(t *testing.T) {
	_, faults := record.Compile(reflect.TypeFor[struct {
		A chan int
		B func()
		C int `volatile:",unique"`
		d int
	}]())
	if len(faults) != 5 {
		t.Errorf("four faulty fields and no key are five faults, each once:\n%v", errors.Join(faults...))
	}
}

func TestForeignTagsAreNotOurs(t *testing.T) {
	for _, key := range strings.Fields("json xml yaml toml db gorm bson validate binding form query mapstructure msgpack " +
		"protobuf sql env default example description redis dynamodbav firestore datastore spanner cql bun ent id name " +
		"transform translate immutable permission perm morph version template") {
		if _, faults := record.Compile(one[int](key + `:"x,required"`)); len(faults) > 0 {
			t.Errorf("a tag key of others, such as %q, is theirs: %v", key, faults)
		}
	}
	if _, faults := record.Compile(one[int](`something broken`)); len(faults) > 0 {
		t.Errorf("a broken tag without a word of ours is not ours: %v", faults)
	}
}

func TestFieldsOfAType(t *testing.T) {
	typ := compile[Checkin](t)
	var got []string
	for _, f := range typ.Fields {
		got = append(got, fmt.Sprint(f.Go, " ", f.Name, " ", f.Column, " ", f.Index))
	}
	want := []string{
		"Base.ID id text [0 0]", "Base.At at time [0 1]", "UserID user_id text [1]", "Count count int [2]",
		"Big big uint [3]", "Tags tags json [4]", "Labels labels json [5]", "Where where json [6]", "Wait wait int [7]",
		"Data data bytes [8]", "Raw raw json [9]", "Version version int [10]", "Rest rest json [11]",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("fields are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if typ.Key != &typ.Fields[0] || typ.Version != &typ.Fields[11] || typ.Rest != &typ.Fields[12] || !typ.Tagged {
		t.Errorf("key %v, version %v, rest %v, tagged %v", typ.Key, typ.Version, typ.Rest, typ.Tagged)
	}
	options := map[string]map[string]record.Options{
		"UserID": {"transactional": {Index: true}, "volatile": {}},
		"Count":  {"volatile": {Name: "n", TTL: 15 * time.Minute}},
		"Tags":   {"volatile": {Omit: true}},
		"Rest":   {"amorphous": {Rest: true}},
		"Wait":   {},
	}
	for name, want := range options {
		if f := typ.Lookup(name); f == nil || !reflect.DeepEqual(f.Purposes, want) {
			t.Errorf("%s has the options %v", name, f)
		}
	}
	if typ.Lookup("ID") != typ.Key || typ.Lookup("Base.ID") != typ.Key || typ.Lookup("id") != nil {
		t.Error("Lookup takes Go names, also of promoted fields")
	}
}

func TestTagged(t *testing.T) {
	for tag, want := range map[string]bool{
		``: false, `json:"x"`: false, `persistence:"x"`: false, `volatile:"-"`: false,
		`volatile:""`: true, `transitory:""`: true, `volatile:"-" amorphous:"x"`: true,
	} {
		typ, faults := record.Compile(one[int](tag))
		if len(faults) > 0 || typ.Tagged != want {
			t.Errorf("a type with the tag %q is tagged: %v, want %v (%v)", tag, typ.Tagged, want, faults)
		}
	}
}

func TestDefaultNames(t *testing.T) {
	for goName, want := range map[string]string{
		"ID2": "id2", "At": "at", "UserID": "user_id", "HTTPServer": "http_server", "URL": "url",
		"A": "a", "AB": "ab", "Ab": "ab", "AbC": "ab_c", "X1Y2": "x1_y2", "With_Score": "with_score", "Snake_case": "snake_case",
	} {
		typ, faults := record.Compile(reflect.StructOf([]reflect.StructField{key(), {Name: goName, Type: reflect.TypeFor[int]()}}))
		if len(faults) > 0 || typ.Fields[1].Name != want {
			t.Errorf("the default name of %s is %v, want %s (%v)", goName, typ, want, faults)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		typ    reflect.Type
		column record.ColumnType
	}{
		{reflect.TypeFor[level](), record.ColumnInt}, {reflect.TypeFor[*uint8](), record.ColumnUint},
		{reflect.TypeFor[float32](), record.ColumnFloat}, {reflect.TypeFor[*bool](), record.ColumnBool},
		{reflect.TypeFor[color](), record.ColumnText}, {reflect.TypeFor[*ring](), record.ColumnText},
		{reflect.TypeFor[blob](), record.ColumnBytes}, {reflect.TypeFor[[4]byte](), record.ColumnBytes},
		{reflect.TypeFor[*time.Time](), record.ColumnTime}, {reflect.TypeFor[time.Duration](), record.ColumnInt},
		{reflect.TypeFor[node](), record.ColumnJSON}, {reflect.TypeFor[[]color](), record.ColumnJSON},
	} {
		typ, faults := record.Compile(reflect.StructOf([]reflect.StructField{key(), {Name: "F", Type: c.typ}}))
		if len(faults) > 0 || typ.Fields[1].Column != c.column {
			t.Errorf("the column of %v is %v, want %s (%v)", c.typ, typ, c.column, faults)
		}
	}
}

func TestKeys(t *testing.T) {
	check := func(v any, want string) {
		t.Helper()
		typ, faults := record.Compile(reflect.TypeOf(v))
		if len(faults) > 0 {
			t.Fatal(errors.Join(faults...))
		}
		got, err := typ.KeyOf(reflect.ValueOf(v))
		if want == "" && !errors.Is(err, fault.ErrInvalid) || want != "" && (err != nil || got != want) {
			t.Errorf("the key of %+v is %q, %v; want %q", v, got, err, want)
		}
	}
	type byString struct {
		ID name `persistence:"key"`
	}
	check(byString{"a b"}, "a b")
	check(byString{""}, "")
	check(byString{"a\x00"}, "")
	check(byString{"\xff"}, "")
	check(byString{name(strings.Repeat("x", record.MaxKey))}, strings.Repeat("x", record.MaxKey))
	check(byString{name(strings.Repeat("x", record.MaxKey+1))}, "")
	check(struct {
		ID int8 `persistence:"key"`
	}{-3}, "-3")
	check(struct {
		ID uint64 `persistence:"key"`
	}{1<<64 - 1}, "18446744073709551615")
	check(struct {
		ID color `persistence:"nr,key"`
	}{color{1, 2, 3}}, "#010203")
	check(record.Document{"id": "x"}, "x")
	check(record.Document{"id": int64(7)}, "7")
	check(record.Document{"id": 1.5}, "")
	check(record.Document{"name": "x"}, "")
	check(record.Document(nil), "")
}
