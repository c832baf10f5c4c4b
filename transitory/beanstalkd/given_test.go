package beanstalkd

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/beanstalkd/go-beanstalk"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/transitorytest"
)

// given asks for the suite on the servers that the environment names, which
// nothing here can start. Each check has tubes of its own there, whose jobs it
// removes, and touches no other. The check command names its own server in the same
// variable, like which the suite has had one already.
//
//	FOURFOLD_TRANSITORY=beanstalkd://127.0.0.1 go test ./transitory/beanstalkd -run TestConformanceGiven -v -timeout 1h -args -given
var given = flag.Bool("given", false, "run the suite on the servers that FOURFOLD_TRANSITORY names")

func TestConformanceGiven(t *testing.T) {
	if !*given {
		t.Skip("the campaign that runs the suite on a server of one's own is asked for by -given")
	}
	url := servers.Transitory.Given()
	if _, _, err := parseURL(url); err != nil {
		t.Fatalf("%s names no server: %v", servers.Transitory.Variable, err)
	}
	harness := func(t *testing.T) *transitorytest.Harness { return ownTubes(t, url) }
	transitorytest.Run(t, harness)
	transitorytest.RunModel(t, harness)
}

// What somebody else has in tubes of the same names is neither handed out nor
// counted nor removed, and of ours nothing is left.
func TestGivenServersKeepTheirTubes(t *testing.T) {
	server := servers.Test(t, servers.Beanstalkd{NoLog: true})
	theirs, err := transitory.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	long := strings.Repeat("t", transitory.MaxTube)
	names := []string{"t", "empty", long}
	put := func(q *transitory.Queue, body string) {
		for _, tube := range names {
			for _, job := range []transitory.Job{{}, {Delay: transitory.MaxDelay}} {
				job.Tube, job.Body = tube, []byte(body)
				if err := q.Put(t.Context(), job)[0]; err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	put(theirs, "theirs")
	h := ownTubes(t, server.URL())
	d, err := h.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := transitory.New(d)
	defer q.Close()
	put(q, "ours")
	for _, tube := range names {
		jobs, err := q.Reserve(t.Context(), []string{tube}, 1)
		if err != nil || string(jobs[0].Body) != "ours" || jobs[0].Tube != tube {
			t.Errorf("from %.10q comes %v, %v", tube, jobs, err)
		}
	}
	for who, q := range map[string]*transitory.Queue{"ours": q, "theirs": theirs} {
		stats, err := q.Stats(t.Context(), names...)
		for i, s := range stats {
			if s.Tube != names[i] || s.Ready+s.Reserved != 1 || s.Delayed != 1 {
				t.Errorf("%s: %+v, want two jobs in %.10q", who, s, names[i])
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	h.Close()
	left := map[string]bool{}
	if err := onEach(t.Context(), server.URL(), func(l *link) error {
		l.expect(true)
		tubes, err := l.client.ListTubes()
		for _, tube := range tubes {
			left[tube] = true
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if len(left) != len(names)+1 || !left["default"] || !left[long] {
		t.Errorf("the server's tubes are %v", left)
	}
}

// ownTubes is a harness of servers that are others' too. What it opens sees only
// tubes that begin with a word of the harness's own.
func ownTubes(t *testing.T, url string) *transitorytest.Harness {
	prefix := "fourfold-given-" + strings.ToLower(rand.Text()[:12]) + "."
	open := func(ctx context.Context) (transitory.Driver, error) {
		addrs, opts, err := parseURL(url)
		if err != nil {
			return nil, err
		}
		opts.Logger = slog.New(slog.DiscardHandler)
		d, err := Servers(addrs, &opts).OpenDriver(ctx)
		if err != nil {
			return nil, err
		}
		return &prefixed{driver: d.(*driver), prefix: prefix, names: map[string]string{}}, nil
	}
	return &transitorytest.Harness{Open: open, OpenSecond: open, Close: func() {
		err := onEach(context.Background(), url, func(l *link) error { return empty(l, prefix) })
		if err != nil {
			t.Errorf("jobs of ours may be left in tubes that begin with %s: %v", prefix, err)
		}
	}}
}

// onEach does something over a connection to each of a URL's servers.
func onEach(ctx context.Context, url string, do func(l *link) error) error {
	opened, err := transitory.URL(url).OpenDriver(ctx)
	if err != nil {
		return err
	}
	defer opened.Close()
	for _, s := range opened.(*driver).servers {
		l, err := s.dial(ctx)
		if err != nil {
			return err
		}
		err = do(l)
		s.drop(l)
		if err != nil {
			return err
		}
	}
	return nil
}

// empty deletes all jobs of the tubes that begin with a prefix; when none is left
// the server forgets the tube.
func empty(l *link, prefix string) error {
	l.expect(true)
	tubes, err := l.client.ListTubes()
	if err != nil {
		return err
	}
	for _, name := range tubes {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		tube := beanstalk.NewTube(l.client, name)
		for _, peek := range []func() (uint64, []byte, error){tube.PeekReady, tube.PeekDelayed, tube.PeekBuried} {
			for {
				l.extend(l.timeout)
				l.expect(true)
				id, _, err := peek()
				if err != nil {
					break // there is none of that sort
				}
				l.expect(false)
				if err := l.client.Delete(id); err != nil {
					return fmt.Errorf("delete of job %d in %s: %w", id, name, err)
				}
			}
		}
	}
	return nil
}

// prefixed is a driver whose tubes have other names on its servers.
type prefixed struct {
	*driver
	prefix string

	mu    sync.Mutex
	names map[string]string // of a tube here, by what it is called there
}

// there is what a tube is called on the servers.
func (p *prefixed) there(tube string) string {
	if transitory.ValidTube(tube) != nil {
		return tube
	}
	name := p.prefix + tube
	if len(name) > transitory.MaxTube {
		name = fmt.Sprintf("%s%x", p.prefix, sha256.Sum256([]byte(tube)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names[name] = tube
	return name
}

func (p *prefixed) here(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.names[name]
}

func (p *prefixed) all(tubes []string) []string {
	out := make([]string, len(tubes))
	for i, tube := range tubes {
		out[i] = p.there(tube)
	}
	return out
}

func (p *prefixed) Put(ctx context.Context, jobs []transitory.Job) []error {
	jobs = slices.Clone(jobs)
	for i := range jobs {
		jobs[i].Tube = p.there(jobs[i].Tube)
	}
	return p.driver.Put(ctx, jobs)
}

func (p *prefixed) Reserve(ctx context.Context, tubes []string, most int) ([]transitory.Job, error) {
	jobs, err := p.driver.Reserve(ctx, p.all(tubes), most)
	for i := range jobs {
		jobs[i].Tube = p.here(jobs[i].Tube)
	}
	return jobs, err
}

func (p *prefixed) Stats(ctx context.Context, tubes []string) ([]transitory.TubeStats, error) {
	stats, err := p.driver.Stats(ctx, p.all(tubes))
	for i := range stats {
		stats[i].Tube = p.here(stats[i].Tube)
	}
	return stats, err
}
