package persistence_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	_ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/transactional"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
	"github.com/fourfold-dev/fourfold/transitory"
	_ "github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	"github.com/fourfold-dev/fourfold/volatile"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)

// A logbook is written by many.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *logbook) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *logbook) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// hangUp is the address of servers that end every connection before a word.
func hangUp(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepts sync.WaitGroup
	accepts.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); accepts.Wait() })
	return l.Addr().String()
}

// What drivers that were opened by URL, and their clients, have to say goes to the
// layer's logger, and nothing of it to the standard logger, to which slog's
// default, the clients' default and every log.Print write.
func TestDriversSpeakToTheLayersLogger(t *testing.T) {
	var told, standard logbook
	before := log.Writer()
	log.SetOutput(io.MultiWriter(before, &standard))
	defer log.SetOutput(before)
	address := hangUp(t)
	layer, err := persistence.Open(t.Context(), persistence.Stores{
		Transitory:    transitory.URL("beanstalkd://" + address),
		Volatile:      volatile.URL("memcached://" + address),
		Transactional: transactional.URL("mysql://root@" + address + "/app"),
		Amorphous:     amorphous.URL("cassandra://" + address + "/app?connect_timeout=1s"),
	}, &persistence.Options{Logger: slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	// The client of memcached has no words, and neither has its driver.
	for _, words := range []string{"beanstalkd cannot be reached", "mysql client", "cassandra client: "} {
		eventually(t, 30*time.Second, "the layer's log says "+words, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			for _, r := range layer.Check(ctx) {
				if r.Reachable {
					t.Errorf("a server that hangs up is reached: %v", r)
				}
			}
			cancel()
			return strings.Contains(told.String(), words)
		})
	}
	if err := layer.Close(); err != nil {
		t.Error(err)
	}
	if said := standard.String(); said != "" {
		t.Errorf("the standard logger is told:\n%s", said)
	}
}
