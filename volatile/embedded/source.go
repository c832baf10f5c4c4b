package embedded

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/maypok86/otter/v2"

	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// Options of an in-process cache; zero values are the defaults.
type Options struct {
	// Size bounds keys, values and bookkeeping together, in bytes. Default
	// 64 MB (64,000,000); 64 kB at least.
	Size int64
}

const (
	defaultSize = 64_000_000
	leastSize   = 64_000
)

func init() {
	volatile.Register("embedded", func(ctx context.Context, url string) (volatile.Driver, error) {
		opts, err := parse(url)
		if err != nil {
			return nil, err
		}
		return New(opts).OpenDriver(ctx)
	})
}

// New returns a source of one in-process cache: every driver that it opens
// shows the same entries, and the last one to be closed frees them. nil means
// the defaults.
func New(opts *Options) volatile.Source {
	s := &source{size: defaultSize}
	if opts != nil && opts.Size != 0 {
		s.size = opts.Size
	}
	return s
}

// A source counts the openings of one store.
type source struct {
	size  int64
	clock otter.Clock // nil: the time

	mu    sync.Mutex
	store *store
	open  int
}

// OpenDriver opens the cache, or opens it once more.
func (s *source) OpenDriver(ctx context.Context) (volatile.Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.size < leastSize {
		return nil, invalid(fmt.Sprintf("a size of %d bytes; %d at least", s.size, leastSize))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == 0 {
		store, err := newStore(s.size, s.clock)
		if err != nil {
			return nil, err
		}
		s.store = store
	}
	s.open++
	return &driver{store: s.store, release: s.release}, nil
}

// release closes one opening.
func (s *source) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.open == 0 {
		s.store.close()
		s.store = nil
	}
}

// parse reads "embedded:?size=64MB".
func parse(raw string) (*Options, error) {
	before, options, err := schemes.Split(raw)
	if err != nil {
		return nil, invalid(err.Error())
	}
	if _, path, _ := strings.Cut(before, ":"); path != "" && path != "//" {
		return nil, invalid("an embedded: URL names no place; it is embedded: or embedded:?size=64MB")
	}
	opts := &Options{}
	for name, value := range options {
		if name != "size" {
			return nil, invalid(fmt.Sprintf("unknown option %q; the only one is size", name))
		}
		if opts.Size, err = parseSize(value); err != nil {
			return nil, err
		}
	}
	return opts, nil
}

var units = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// parseSize reads a number with a unit, such as 64MB.
func parseSize(text string) (int64, error) {
	for _, unit := range units {
		number, found := strings.CutSuffix(text, unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n*unit.factor >= leastSize && n*unit.factor < math.MaxInt64/2) {
			break
		}
		return int64(n * unit.factor), nil
	}
	return 0, invalid(fmt.Sprintf("a size of %q; write it as 64MB or 1GiB, 64kB at least", text))
}

func invalid(message string) error {
	return fault.New(fault.ErrInvalid, "volatile", "open", message)
}
