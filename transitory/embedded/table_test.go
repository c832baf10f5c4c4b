package embedded

import (
	"context"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// A refill reads as many rows as it needs, in the order of an index: over a
// long queue anything else would read the whole queue each time.
func TestRefillsReadAnIndex(t *testing.T) {
	d, err := Dir(t.TempDir(), nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for query, index := range map[string]string{readyQuery: "transitory_ready", delayedQuery: "transitory_delayed"} {
		args := []any{"t", 1, 2, 3}[:strings.Count(query, "?")]
		var plan []string
		err := d.(*driver).core.file.Read(t.Context(), func(conn sqlitefile.Conn) error {
			return conn.Query(context.Background(), "EXPLAIN QUERY PLAN "+query, args, func(scan func(...any) error) error {
				var id, parent, unused int64
				var detail string
				err := scan(&id, &parent, &unused, &detail)
				plan = append(plan, detail)
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(plan, "; ")
		if !strings.Contains(text, "SEARCH") || !strings.Contains(text, index) || strings.Contains(text, "TEMP B-TREE") {
			t.Errorf("the plan of %q is %q", query, text)
		}
		t.Log(text)
	}
}
