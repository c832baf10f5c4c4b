package persistence_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	_ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/transactional"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
	"github.com/fourfold-dev/fourfold/transitory"
	_ "github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	"github.com/fourfold-dev/fourfold/volatile"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)

// An explanation says what each driver sends, in its own words, and asks no
// server: the real ones are all down. No value of the object is in it, and no
// password.
func TestExplainSaysWhatIsSent(t *testing.T) {
	const password, value = "pass-canary", "value-canary"
	for name, test := range map[string]struct {
		stores persistence.Stores
		want   map[string][]string // what stands in the lines of a task, in their order
	}{
		"embedded": {embedded.Stores(t.TempDir()), map[string][]string{
			"row":   {`INSERT INTO "ff_visit" ("id", "version", "tie", "deleted", "user", "venue", "at") VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT`},
			"cell":  {"SELECT part,ord,id,version,tie FROM amorphous$ff_visit__cell", "INSERT OR FAIL INTO amorphous$ff_visit__cell"},
			"by":    {"INSERT OR FAIL INTO amorphous$ff_visit__by$places", "INSERT OR FAIL INTO amorphous$ff_visit__by("},
			"entry": nil,
			"queue": {"INSERT INTO transitory_jobs (id, tube,"},
			"tell":  nil,
		}},
		"servers": {persistence.Stores{
			Transitory:    transitory.URL("beanstalkd://127.0.0.1:1"),
			Volatile:      volatile.URL("memcached://127.0.0.1:1"),
			Transactional: transactional.URL("mysql://ann:" + password + "@127.0.0.1:1/app"),
			Amorphous:     amorphous.URL("cassandra://ann:" + password + "@127.0.0.1:1/app"),
		}, map[string][]string{
			"row":   {"INSERT INTO `ff_visit` (`id`, `version`, `tie`, `deleted`, `user`, `venue`, `at`) VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY"},
			"cell":  {`UPDATE "app"."ff_visit__cell" USING TIMESTAMP ? SET cell = ? WHERE part = ? AND ord = ? AND id = ? AND shape = ?`},
			"by":    {`UPDATE "app"."ff_visit__by" USING TIMESTAMP ?`},
			"entry": {"gets <generation>:ff:", "add <generation>:ff:", "cas <generation>:ff:"},
			"queue": {"use visit.queue", "put 4 0 30 "},
			"tell":  nil,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			layer, err := persistence.Open(t.Context(), test.stores, &persistence.Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer layer.Close()
			visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
				{Name: "row", Purpose: persistence.Transactional},
				{Name: "cell", Priority: 1, Purpose: persistence.Amorphous},
				{Name: "by", Priority: 2, Purpose: persistence.Amorphous, PartitionBy: "User"},
				{Name: "entry", Priority: 3, Purpose: persistence.Volatile},
				{Name: "queue", Priority: 4, Purpose: persistence.Transitory},
				{Name: "tell", Priority: 5, Purpose: persistence.Transitory, Do: nothing},
			})
			e, err := visits.Explain(visit{ID: "v1", User: "ann", Venue: value})
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range e.Tasks {
				want := test.want[task.Name]
				if len(task.Sends) != len(want) {
					t.Errorf("%s sends %q, want %d lines", task.Name, task.Sends, len(want))
					continue
				}
				for i, text := range task.Sends {
					if !strings.HasPrefix(text, want[i]) {
						t.Errorf("%s sends %q, want %q…", task.Name, text, want[i])
					}
				}
			}
			all := e.String()
			for _, secret := range []string{password, value} {
				if strings.Contains(all, secret) {
					t.Errorf("the explanation tells %q:\n%s", secret, all)
				}
			}
			if !strings.Contains(all, "  row sends\n    INSERT INTO ") {
				t.Errorf("it is not printed:\n%s", all)
			}
			t.Log("\n" + all)
		})
	}
}
