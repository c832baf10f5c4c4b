package persistence

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A visit is what most tests of declarations declare: nothing is tagged but
// its key.
type visit struct {
	ID    string `persistence:"key"`
	User  string
	Venue string
	At    time.Time
	Marks []string
	Score float64
}

// full is a layer with all four stores.
var full = site{has: func(Purpose) bool { return true }, horizon: 7 * 24 * time.Hour}

// without is a layer that lacks some stores.
func without(lacking ...Purpose) site {
	return site{has: func(p Purpose) bool { return !slices.Contains(lacking, p) }}
}

func do(context.Context, visit) error        { return nil }
func tx(context.Context, *Tx, visit) error   { return nil }
func onDelete(context.Context, string) error { return nil }
func compiled[T any](p Plan[T], s site) (*kind, []string) {
	return compileKind("visit", p, KindOptions{}, s)
}

// object is a sound task beside the faulty one: the record.
var object = Task[visit]{Name: "object", Purpose: Amorphous, Priority: 9}

// Every row is one fault that is refused early, and the exact sentence, which
// names the kind, the type, the task and a way out.
var faultyTasks = []struct {
	name string
	task Task[visit]
	want string
}{
	{"no purpose", Task[visit]{Name: "a", Priority: 1, Do: do},
		`task "a": it has no Purpose: say Transitory, Volatile, Transactional or Amorphous`},
	{"purpose out of range", Task[visit]{Name: "a", Purpose: 9, Priority: 1, Do: do},
		`task "a": it has no Purpose: say Transitory, Volatile, Transactional or Amorphous`},
	{"no name", Task[visit]{Purpose: Volatile, Priority: 1, Do: do},
		`task 1: it has no Name: a task with a handler, Derive or Count needs one, which stands in queued envelopes and must not change`},
	{"bad name", Task[visit]{Name: "Notify Friends", Purpose: Volatile, Priority: 1, Do: do},
		`task "Notify Friends": the name is not valid: ` + nameRule},
	{"bad former name", Task[visit]{Name: "a", Was: []string{"A"}, Purpose: Volatile, Priority: 1, Do: do},
		`task "a": the former name "A" is not valid: ` + nameRule},
	{"repeated former name", Task[visit]{Name: "a", Was: []string{"a"}, Purpose: Volatile, Priority: 1, Do: do},
		`task "a": Was repeats "a": remove it`},
	{"Do and External", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Do: do, External: true},
		`task "a": it has Do and External: one task does one thing, so make 2 tasks of it`},
	{"Do and Tx", Task[visit]{Name: "a", Purpose: Transactional, Priority: 1, Do: do, Tx: tx},
		`task "a": it has Do and Tx: one task does one thing, so make 2 tasks of it`},
	{"Tx elsewhere", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, Tx: tx},
		`task "a": it has Tx and its Purpose is amorphous: a handler inside a transaction needs the Purpose Transactional; use Do otherwise`},
	{"Do at 0", Task[visit]{Name: "a", Purpose: Volatile, Do: do},
		`task "a": Do at priority 0 would hold up every Put, and 0 is also what a forgotten Priority is: give it a Priority of 1 or more`},
	{"Tx at 0", Task[visit]{Name: "a", Purpose: Transactional, Tx: tx},
		`task "a": Tx at priority 0 would hold up every Put, and 0 is also what a forgotten Priority is: give it a Priority of 1 or more`},
	{"External at 0", Task[visit]{Name: "a", Purpose: Volatile, External: true},
		`task "a": External at priority 0 would hold up every Put, and 0 is also what a forgotten Priority is: give it a Priority of 1 or more`},
	{"negative priority", Task[visit]{Name: "a", Purpose: Volatile, Priority: -1, Do: do},
		`task "a": Priority is -1: use 0 (before Put returns) to 1048576`},
	{"priority too large", Task[visit]{Name: "a", Purpose: Volatile, Priority: MaxPriority + 1, Do: do},
		`task "a": Priority is 1048577: use 0 (before Put returns) to 1048576`},
	{"real time behind background", Task[visit]{Name: "a", Purpose: Volatile, Priority: 10, RealTime: true, Do: do},
		`task "a": it is RealTime at priority 10, behind the background task "object" at priority 9: real-time tasks go before all background tasks, so give it a priority of at most 9, or leave out RealTime`},
	{"negative duration", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Do: do, Timeout: -time.Second},
		`task "a": Timeout is -1s: use a positive duration, or leave it out`},
	{"negative number", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Do: do, MaxAttempts: -1},
		`task "a": MaxAttempts is -1: use a positive number, or leave it out`},
	{"Delay at 0", Task[visit]{Name: "a", Purpose: Volatile, Delay: time.Second},
		`task "a": Delay is 1s, and priority 0 is before Put returns: give it a Priority of 1 or more, or leave out Delay`},
	{"Delay over the horizon", Task[visit]{Name: "a", Purpose: Transactional, Priority: 1, Do: do, Delay: 200 * time.Hour},
		`task "a": Delay is 200h0m0s, and what is older than Options.Horizon (168h0m0s) never runs: shorten the one or raise the other`},
	{"Late without Within", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Do: do, Late: Expire},
		`task "a": Late says what becomes of a task past its Within, and it has no Within: set Within, or leave out Late`},
	{"unknown Late", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Do: do, Within: time.Second, Late: 7},
		`task "a": Late is 7: use RunLate or Expire`},
	{"Blocks alone", Task[visit]{Name: "a", Purpose: Transactional, Priority: 1, Tx: tx, Blocks: true},
		`task "a": Blocks keeps an ordering key, and it has no OrderingKey: set OrderingKey, or leave out Blocks`},
	{"OnDelete of a write", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, OnDelete: onDelete},
		`task "a": OnDelete belongs to a task with Do or Tx: a default write removes what it wrote by itself, so leave it out`},
	{"Timeout of a write", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Timeout: time.Second, Concurrency: 2},
		`task "a": Timeout and Concurrency bound a handler, and it has none: leave them out`},
	{"Stale of a row", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, PartitionBy: "User", Stale: time.Hour, Parts: true},
		`task "a": Stale and Parts say how to serve a volatile default write, or what Rebuild brings back, and it is neither: leave them out`},
	{"Stale without TTL", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Stale: time.Hour},
		`task "a": Stale and Ahead count from the end of the TTL, and it has none: set TTL, or leave them out`},
	{"Ahead of all", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, TTL: time.Minute, Ahead: time.Minute},
		`task "a": Ahead is 1m0s and TTL is 1m0s, so that it would be read again at once: shorten Ahead`},
	{"layout of a handler", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, Do: do, PartitionBy: "User", TTL: time.Hour},
		`task "a": PartitionBy and TTL lay out a default write, and it has Do: leave them out, or write in a task of its own`},
	{"PartitionBy elsewhere", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, PartitionBy: "User"},
		`task "a": PartitionBy lays out an amorphous default write, and its Purpose is volatile: leave it out, or use the Purpose Amorphous`},
	{"Newest without PartitionBy", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, Newest: "At"},
		`task "a": Newest orders the rows of a partition, and it has no PartitionBy: set PartitionBy, or leave out Newest`},
	{"Bucket without Newest", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, PartitionBy: "User", Bucket: time.Hour},
		`task "a": Bucket divides a partition by the time of Newest, and it has no Newest: set Newest, or leave out Bucket`},
	{"Bucket without time", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, PartitionBy: "User", Newest: "Score", Bucket: time.Hour},
		`task "a": Bucket divides time, and Newest is Score, a float64: order by a time.Time, or leave out Bucket`},
	{"tiny Bucket", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, PartitionBy: "User", Newest: "At", Bucket: time.Second},
		`task "a": Bucket is 1s, which makes more partitions than rows: use a minute or more`},
	{"TTL of a row", Task[visit]{Name: "a", Purpose: Transactional, Priority: 1, TTL: time.Hour},
		`task "a": TTL ends what is volatile or amorphous, and its Purpose is transactional: leave out TTL, or use another Purpose`},
	{"TTL of a job", Task[visit]{Name: "a", Purpose: Transitory, Priority: 1, TTL: time.Hour},
		`task "a": TTL ends what is volatile or amorphous, and its Purpose is transitory: leave out TTL, or use another Purpose`},
	{"near miss of a field", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, PartitionBy: "Usr"},
		`task "a": PartitionBy names "Usr", which is no kept field of visit: did you mean "User"?`},
	{"property for field", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, PartitionBy: "user"},
		`task "a": PartitionBy names "user", which is no kept field of visit: did you mean "User"?`},
	{"no such field", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, PartitionBy: "User", Newest: "Temperature"},
		`task "a": Newest names "Temperature", which is no kept field of visit: its fields are ID, User, Venue, At, Marks, Score`},
	{"unknown of Fields", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Fields: []string{"Venu"}},
		`task "a": Fields names "Venu", which is no kept field of visit: did you mean "Venue"?`},
	{"partition by slice", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, PartitionBy: "Marks"},
		`task "a": PartitionBy is Marks, a []string, which cannot name a partition: use a string, a number, a bool or a time.Time`},
	{"order by slice", Task[visit]{Name: "a", Purpose: Amorphous, Priority: 1, PartitionBy: "User", Newest: "Marks"},
		`task "a": Newest is Marks, a []string, which cannot order rows: use a string, a number, a bool or a time.Time`},
	{"ordering by slice", Task[visit]{Name: "a", Purpose: Transactional, Priority: 1, Tx: tx, OrderingKey: "Marks"},
		`task "a": OrderingKey is Marks, a []string, which cannot order tasks: use a string, a number, a bool or a time.Time`},
	{"OrderingKey in the queue", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Do: do, OrderingKey: "User"},
		`task "a": OrderingKey in transitory custody is refused, for ` + cannot + `: give Declare persistence.KindOptions{Custody: persistence.TransactionalCustody}, or leave out OrderingKey`},
	{"PerKey in the queue", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Do: do, PerKey: 1},
		`task "a": PerKey in transitory custody is refused, for ` + cannot + `: give Declare persistence.KindOptions{Custody: persistence.TransactionalCustody}, or leave out PerKey`},
	{"Delay in the queue", Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Do: do, Delay: 61 * time.Second},
		`task "a": Delay in transitory custody is refused, for ` + cannot + `: give Declare persistence.KindOptions{Custody: persistence.TransactionalCustody}, or leave out Delay`},
	{"second record", Task[visit]{Name: "object-2", Purpose: Amorphous, Priority: 1},
		`task "object": it would be the record, and so would task "object-2", for both are an amorphous default write without PartitionBy: a kind has one record, so remove one of them, or give one PartitionBy`},
}

func TestFaultsOfTasks(t *testing.T) {
	for _, test := range faultyTasks {
		t.Run(test.name, func(t *testing.T) {
			_, got := compiled(Plan[visit]{test.task, object}, full)
			want := []string{`kind "visit" (visit)` + sep(test.want) + test.want}
			if !slices.Equal(got, want) {
				t.Errorf("faults:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), want[0])
			}
		})
	}
}

// sep joins the kind and what follows it.
func sep(sentence string) string {
	if strings.HasPrefix(sentence, "task") {
		return ", "
	}
	return ": "
}

func TestFaultsOfPlans(t *testing.T) {
	many := make(Plan[visit], MaxTasks+1)
	for i := range many {
		many[i] = Task[visit]{Name: "t" + string(rune('a'+i/26)) + string(rune('a'+i%26)), Purpose: Volatile, Priority: 1, Do: do}
	}
	a := Task[visit]{Name: "a", Purpose: Volatile, Priority: 1, Do: do}
	b := Task[visit]{Name: "b", Purpose: Volatile, Priority: 1, Do: do}
	tests := []struct {
		name string
		plan Plan[visit]
		site site
		opts KindOptions
		want []string
	}{
		{"no task", Plan[visit]{}, full, KindOptions{},
			[]string{`the plan has no task: add one, or pass nil to go by the field tags`}},
		{"no tags and no plan", nil, full, KindOptions{},
			[]string{"without a plan the field tags must say where each field is stored, and no field of visit has a tag of a store: tag its fields, as in `transactional:\"\"`, or give a plan such as persistence.Plan[visit]{{Purpose: persistence.Amorphous}}"}},
		{"too many tasks", many, full, KindOptions{},
			[]string{`the plan has 65 tasks, and the limit is 64: let one handler do several things, or declare a second kind`}},
		{"two of one name", Plan[visit]{a, a}, full, KindOptions{},
			[]string{`task "a": the name "a" is that of another task as well: names and former names of one plan are all different`}},
		{"a name and a former name", Plan[visit]{a, func() Task[visit] { b := b; b.Was = []string{"a"}; return b }()}, full, KindOptions{},
			[]string{`task "b": the name "a" is that of another task as well: names and former names of one plan are all different`}},
		{"one table", Plan[visit]{{Name: "x-y", Purpose: Volatile, Priority: 1, Do: do}, {Name: "x_y", Purpose: Volatile, Priority: 1, Do: do}}, full, KindOptions{},
			[]string{`task "x_y": the name "x_y" and the name "x-y" of another task would be one table: choose names that differ in more than hyphens and underscores`}},
		{"two caches", Plan[visit]{{Name: "c1", Purpose: Volatile}, {Name: "c2", Purpose: Volatile}}, full, KindOptions{},
			[]string{`task "c2": it caches the whole object, and so does task "c1": give one of them Fields, or remove it`}},
		{"bad options", Plan[visit]{a}, full, KindOptions{Custody: 9, Table: "T", Formerly: []string{"visit", "X", "old", "old"}},
			[]string{
				`the Table "T" is not valid: ` + nameRule,
				`the name "visit" stands in Formerly, and is the kind's already: remove it`,
				`the former name "X" is not valid: ` + nameRule,
				`the name "old" stands in Formerly, and is the kind's already: remove it`,
				`Custody is 9: use AutoCustody, TransactionalCustody or TransitoryCustody`,
			}},
		{"missing store", Plan[visit]{{Purpose: Amorphous}}, without(Amorphous), KindOptions{},
			[]string{`task "amorphous": its purpose is amorphous, and the layer has no such store: give Open a Stores.Amorphous, or remove the task`}},
		{"missing store of a handler", Plan[visit]{a}, without(Volatile), KindOptions{},
			[]string{`task "a": its purpose is volatile, and the layer has no such store: give Open a Stores.Volatile, or remove the task`}},
		{"no custody", Plan[visit]{{Purpose: Amorphous}}, without(Transitory, Transactional), KindOptions{},
			[]string{`nothing can hold what is accepted until it is done: give Open a Stores.Transactional or a Stores.Transitory`}},
		{"no outbox", Plan[visit]{a}, without(Transactional), KindOptions{Custody: TransactionalCustody},
			[]string{`Custody is transactional, and the layer has no transactional store: give Open a Stores.Transactional, or leave out KindOptions.Custody`}},
		{"no queue", Plan[visit]{a}, without(Transitory), KindOptions{Custody: TransitoryCustody},
			[]string{`Custody is transitory, and the layer has no transitory store: give Open a Stores.Transitory, or leave out KindOptions.Custody`}},
		{"no place for dead letters", Plan[visit]{a}, without(Transactional, Amorphous), KindOptions{},
			[]string{`a task that cannot succeed becomes a dead letter, and no store can keep it: give Open a Stores.Transactional or a Stores.Amorphous`}},
		{"Tx in the queue", Plan[visit]{{Name: "a", Purpose: Transactional, Priority: 1, Tx: tx}}, full, KindOptions{Custody: TransitoryCustody},
			[]string{`task "a": Tx has its effect exactly once, which needs transactional custody: leave out KindOptions.Custody`}},
		{"row at 0 in the queue", Plan[visit]{{Purpose: Transactional}}, full, KindOptions{Custody: TransitoryCustody},
			[]string{`task "transactional": a transactional write at priority 0 commits together with its envelope, which needs transactional custody: leave out KindOptions.Custody, or give the task a Priority of 1 or more`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, got := compileKind("visit", test.plan, test.opts, test.site)
			for i, want := range test.want {
				test.want[i] = `kind "visit" (visit)` + sep(want) + want
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("faults:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.want, "\n\t"))
			}
		})
	}
}

func TestFaultsOfTags(t *testing.T) {
	type lost struct {
		ID    string `persistence:"key"`
		Email string `transactional:",unique"`
		Bio   string
	}
	type unkept struct {
		ID    string `persistence:"key"`
		Email string `transactional:""`
		Bio   string `amorphous:""`
	}
	type lives struct {
		ID string `persistence:"key"`
		A  string `volatile:",ttl=1m"`
		B  string `volatile:",ttl=2m"`
	}
	type half struct {
		ID string `persistence:"key"`
		A  string `amorphous:",ttl=1m"`
		B  string `amorphous:""`
	}
	type split struct {
		ID string `persistence:"key"`
		A  string `transactional:""`
		B  string `amorphous:""`
	}
	type near struct {
		ID string `persistence:"key" transactionel:"id"`
	}
	type hidden struct {
		ID string `persistence:"key"`
		A  string `transactional:""`
		B  string
	}
	const k = `kind "visit" `
	tests := []struct {
		name string
		got  func() (*kind, []string)
		want []string
	}{
		{"no task keeps it", func() (*kind, []string) { return compiled[lost](nil, full) },
			[]string{k + "(lost): no task keeps the field Bio, which has no tag in a type that has: tag it for the purpose that keeps it, as in `amorphous:\"\"`, `transitory:\"\"` if only handlers need it, or `persistence:\"-\"` to leave it out"}},
		{"no task of its purpose", func() (*kind, []string) { return compiled(Plan[unkept]{{Purpose: Transactional}}, full) },
			[]string{k + "(unkept): no task keeps the field Bio, which is tagged amorphous: add a default write of that purpose to the plan, as in {Purpose: persistence.Amorphous}, or tag the field `persistence:\"-\"`"}},
		{"two lives", func() (*kind, []string) { return compiled[lives](nil, full) },
			[]string{k + `(lives), task "volatile": A has ttl=1m0s and B has ttl=2m0s, but they are one entry: use one ttl, or a plan with a task for each`}},
		{"half a life", func() (*kind, []string) { return compiled[half](nil, full) },
			[]string{k + `(half), task "amorphous": ttl=1m0s of A would also end B, which lies in the same row and has none: give TTL to the task, or the ttl to every field`}},
		{"half by When", func() (*kind, []string) {
			return compiled(Plan[split]{{Purpose: Transactional}, {Purpose: Amorphous, When: func(split) bool { return true }}}, full)
		},
			[]string{k + `(split), task "amorphous": When would leave half of an object, for tasks "transactional" and "amorphous" hold the record together: leave out When, or let one task store all of it`}},
		{"half by TTL", func() (*kind, []string) {
			return compiled(Plan[split]{{Purpose: Transactional}, {Purpose: Amorphous, TTL: time.Hour}}, full)
		},
			[]string{k + `(split), task "amorphous": TTL would leave half of an object, for tasks "transactional" and "amorphous" hold the record together: leave out TTL, or let one task store all of it`}},
		{"near miss of a tag", func() (*kind, []string) { return compiled(Plan[near]{{Purpose: Amorphous}}, full) },
			[]string{k + `(near): near.ID: the tag key "transactionel" would be ignored; did you mean "transactional"?`}},
		{"Fields against tags", func() (*kind, []string) {
			return compiled(Plan[hidden]{{Purpose: Transactional}, {Purpose: Amorphous}, {Purpose: Volatile, Fields: []string{"A"}}}, full)
		},
			[]string{k + `(hidden), task "volatile": Fields names "A", which the tags keep out of what is volatile: tag it volatile:"" as well, or remove it from Fields`}},
		{"a Document has no fields", func() (*kind, []string) {
			return compiled(Plan[Document]{{Purpose: Amorphous, PartitionBy: "user"}}, full)
		},
			[]string{k + `(Document), task "amorphous": PartitionBy names the field "user", and a Document has none: declare a struct for it`}},
		{"not a struct", func() (*kind, []string) { return compiled(Plan[string]{{Purpose: Amorphous}}, full) },
			[]string{k + `(string): string: only a struct or a Document can be declared; put string into a field of a struct that has a key`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, got := test.got(); !slices.Equal(got, test.want) {
				t.Errorf("faults:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.want, "\n\t"))
			}
		})
	}
}

func TestFaultsAreListedTogether(t *testing.T) {
	// P10: a faulty declaration is refused with all faults listed.
	plan := Plan[visit]{
		{Name: "a", Purpose: Volatile, Do: do},
		{Name: "b", Purpose: Amorphous, Priority: 1, PartitionBy: "Usr", Newest: "Tim"},
		{Name: "c", Purpose: Transactional, Priority: -2, TTL: -time.Second},
	}
	_, got := compileKind("Visit", plan, KindOptions{}, full)
	if len(got) != 6 {
		t.Errorf("%d faults, want 6:\n\t%s", len(got), strings.Join(got, "\n\t"))
	}
	err := plan.Validate()
	if !errors.Is(err, fault.ErrInvalid) {
		t.Fatalf("Validate returned %v, which is not fault.ErrInvalid", err)
	}
	for _, word := range []string{"has 5 faults", `"Usr"`, `"Tim"`, "priority 0", "Priority is -2", "TTL is -1s"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("Validate does not mention %s:\n%v", word, err)
		}
	}
}

func TestSoundDeclarations(t *testing.T) {
	// Near misses of the rules: what stands just inside of them is accepted.
	a := Task[visit]{Name: "a", Purpose: Volatile, Priority: 9, RealTime: true, Do: do}
	for name, plan := range map[string]Plan[visit]{
		"real time beside background":    {a, object},
		"longest name":                   {{Name: strings.Repeat("a", 40), Purpose: Volatile, Priority: 1, Do: do}},
		"largest priority":               {{Name: "a", Purpose: Volatile, Priority: MaxPriority, Do: do}},
		"a minute's delay in the queue":  {{Name: "a", Purpose: Volatile, Priority: 1, Do: do, Delay: time.Minute}},
		"order in the outbox":            {{Purpose: Transactional}, {Name: "a", Purpose: Volatile, Priority: 1, Do: do, OrderingKey: "User", Blocks: true, PerKey: 1, Delay: time.Hour}},
		"copy of a transactional record": {{Purpose: Transactional}, {Purpose: Amorphous, Priority: 3}},
		"bucket of a minute":             {{Purpose: Amorphous, PartitionBy: "User", Newest: "At", Bucket: time.Minute, TTL: time.Hour}},
	} {
		if _, got := compiled(plan, full); len(got) != 0 {
			t.Errorf("%s is refused:\n\t%s", name, strings.Join(got, "\n\t"))
		}
		if err := plan.Validate(); err != nil {
			t.Errorf("%s is not valid: %v", name, err)
		}
	}
	// A plan alone does not know the custody, so it does not refuse what only
	// one of them cannot do.
	if err := (Plan[visit]{{Name: "a", Purpose: Volatile, Priority: 1, Do: do, OrderingKey: "User"}}).Validate(); err != nil {
		t.Errorf("a plan without a layer is refused for its custody: %v", err)
	}
	if _, got := compiled(Plan[visit]{{Name: "a", Purpose: Transitory, Priority: 1, Do: do}}, without(Transitory)); len(got) != 0 {
		t.Errorf("a handler needs no queue, for the outbox feeds it too:\n\t%s", strings.Join(got, "\n\t"))
	}
}
