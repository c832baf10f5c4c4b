package persistence_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A book is a log that several goroutines write to.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// canary is the password of servers that tests break: whatever becomes of them,
// nothing that is printed shows it.
const canary = "canary0of0the0tests"

// tells is what a person may read of a layer, beside its log.
func tells(ctx context.Context, layer *persistence.Layer) string {
	letters, err := layer.DeadLetters().List(ctx, persistence.DeadFilter{})
	stats, err2 := layer.Stats(ctx)
	return fmt.Sprintf("%+v %v %v %v %v", letters, err, stats, err2, layer.Check(ctx))
}

// close ends the program, and looks for what it told of the password that its
// database has: in its log, the errors that its tasks met, and its reports.
func (w *ward) close() {
	told := tells(context.Background(), w.layer) + "\n"
	if explained, err := w.sales.Explain(sale{ID: "x"}); err != nil {
		w.Error(err)
	} else {
		told += fmt.Sprintf("%v %+v\n", explained, explained)
	}
	_ = w.layer.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	told += w.log.String() + strings.Join(slices.Collect(maps.Keys(w.errs)), "\n")
	if v := persistencetest.CheckLogs(strings.NewReader(told), canary); v.Evidence != "" {
		w.Errorf("%v:\n%s", v, strings.ReplaceAll(told, canary, "(the secret)"))
	}
}

// A password of a store's URL, and a value that an object holds, appear in no
// error, no log, no report and no %+v, whichever store cannot be reached or
// cannot even be configured.
func TestSecretsAreNeverPrinted(t *testing.T) {
	const password, value = "canary-of-the-url", "canary-of-the-object"
	bad := map[string]func(*persistence.Stores){
		"memcached": func(s *persistence.Stores) {
			s.Volatile = volatile.URL("memcached://ann:" + password + "@127.0.0.1:1")
		},
		"mysql": func(s *persistence.Stores) {
			s.Transactional = transactional.URL("mysql://ann:" + password + "@127.0.0.1:1/db")
		},
		"mysql with a faulty option": func(s *persistence.Stores) {
			s.Transactional = transactional.URL("mysql://ann:" + password + "@127.0.0.1:1/db?no_such=" + password)
		},
		"cassandra": func(s *persistence.Stores) {
			s.Amorphous = amorphous.URL("cassandra://ann:" + password + "@127.0.0.1:1/ks?timeout=300ms")
		},
		"beanstalkd": func(s *persistence.Stores) {
			s.Transitory = transitory.URL("beanstalkd://ann:" + password + "@127.0.0.1:1")
		},
		"no scheme": func(s *persistence.Stores) {
			s.Transitory = transitory.URL("nothing://ann:" + password + "@127.0.0.1:1")
		},
	}
	for name, spoil := range bad {
		t.Run(name, func(t *testing.T) {
			var log book
			stores := embedded.Stores(t.TempDir())
			spoil(&stores)
			opts := &persistence.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
			say := func(args ...any) { fmt.Fprintf(&log, "%v\n", args) }
			say(fmt.Sprintf("%+v %#v", stores, opts))
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			layer, err := persistence.Open(ctx, stores, opts)
			say(err)
			if err == nil {
				defer layer.Close()
				useSecretly(ctx, layer, value, say)
			}
			for _, canary := range []string{password, value} {
				if v := persistencetest.CheckLogs(strings.NewReader(log.String()), canary); v.Evidence != "" && !v.Unknown {
					t.Errorf("%v:\n%s", v, strings.ReplaceAll(log.String(), canary, "(the secret)"))
				}
			}
			if len(log.String()) < 50 {
				t.Error("nothing was said: nothing is proved")
			}
		})
	}
}

// useSecretly does a little of everything with an object that holds a secret,
// and says what comes of it.
func useSecretly(ctx context.Context, layer *persistence.Layer, value string, say func(...any)) {
	secrets := persistence.Declare(layer, "secret", persistence.Plan[page]{
		{Priority: 0, Purpose: persistence.Transactional},
		{Priority: 0, Purpose: persistence.Volatile},
		{Priority: 1, Name: "fails", Purpose: persistence.Transitory, MaxAttempts: 1, Do: func(context.Context, page) error {
			return persistence.Permanent(fmt.Errorf("it fails"))
		}},
		{Priority: 2, Purpose: persistence.Amorphous},
	})
	receipt, err := secrets.Put(ctx, page{ID: "s", Text: value})
	say(receipt, err)
	left, err := layer.Drain(ctx)
	say(left, err)
	_, err = secrets.Get(ctx, "s")
	say(err)
	say(layer.Check(ctx))
	stats, err := layer.Stats(ctx)
	say(stats, err)
	say(layer.CreateSchema(ctx))
}
