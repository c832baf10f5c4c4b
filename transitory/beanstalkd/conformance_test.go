package beanstalkd_test

import (
	"context"
	"flag"
	"syscall"
	"testing"

	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	"github.com/fourfold-dev/fourfold/transitory/transitorytest"
)

// full has the suite do all that it does at its full size. The server itself does
// not always live through MixedOperations then (beanstalkd#160, in 1.12 too): the
// test's log says so.
//
//	go test ./transitory/beanstalkd -run TestConformance -race -v -timeout 1h -args -full
var full = flag.Bool("full", false, "run the suite at its full size")

// harness is a server with its log in a directory of its own.
func harness(t *testing.T) *transitorytest.Harness {
	return harnessOf(start(t, "-b", t.TempDir()))
}

func harnessOf(servers ...*real) *transitorytest.Harness {
	var addrs []string
	for _, r := range servers {
		addrs = append(addrs, r.addr)
	}
	open := func(ctx context.Context) (transitory.Driver, error) {
		return beanstalkd.Servers(addrs, &beanstalkd.Options{Logger: quiet}).OpenDriver(ctx)
	}
	all := func(do func(r *real)) {
		for _, r := range servers {
			do(r)
		}
	}
	return &transitorytest.Harness{
		Open:       open,
		OpenSecond: open,
		Restart:    func(context.Context) error { all((*real).restart); return nil },
		Reconnects: true,
		Pause:      func() { all(func(r *real) { r.signal(syscall.SIGSTOP) }) },
		Resume:     func() { all(func(r *real) { r.signal(syscall.SIGCONT) }) },
		Close:      func() { all((*real).kill) },
		Full:       *full,
	}
}

func TestConformance(t *testing.T) {
	transitorytest.Run(t, harness)
}

func TestModel(t *testing.T) {
	transitorytest.RunModel(t, harness)
}
