package sqlitefile

import (
	"context"
	"fmt"
	"sync"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// openSlots holds a slot per directory that this process has open, or is
// opening or closing.
var openSlots = struct {
	sync.Mutex
	byDir map[string]*slot
}{byDir: map[string]*slot{}}

// A slot is the place of one directory. Its token is held while the database
// is opened or closed, so that an opening waits for a closing, with its own
// context, and no directory waits for another.
type slot struct {
	dir   string
	users int           // openings and those who wait for the token; guarded by openSlots
	token chan struct{} // capacity 1

	db   *database // nil when closed; guarded by the token, as refs is
	refs int
}

func openShared(ctx context.Context, dir string, opts Options) (*File, error) {
	s := useSlot(dir)
	select {
	case s.token <- struct{}{}:
	case <-ctx.Done():
		s.unuse()
		return nil, ctx.Err()
	}
	err := s.acquire(opts)
	db := s.db
	<-s.token
	if err != nil {
		s.unuse()
		return nil, err
	}
	return &File{slot: s, db: db, closing: make(chan struct{}), reads: map[*unitConn]struct{}{}}, nil
}

func useSlot(dir string) *slot {
	openSlots.Lock()
	defer openSlots.Unlock()
	s := openSlots.byDir[dir]
	if s == nil {
		s = &slot{dir: dir, token: make(chan struct{}, 1)}
		openSlots.byDir[dir] = s
	}
	s.users++
	return s
}

func (s *slot) unuse() {
	openSlots.Lock()
	defer openSlots.Unlock()
	if s.users--; s.users == 0 {
		delete(openSlots.byDir, s.dir)
	}
}

// acquire opens the database for the first opening; the token is held.
func (s *slot) acquire(opts Options) error {
	if s.db != nil && s.db.opts != opts {
		return fault.New(fault.ErrMisconfigured, "", "open",
			fmt.Sprintf("%s is open in this process with other options: %+v, not %+v", s.dir, s.db.opts, opts))
	}
	if s.db == nil {
		db, err := openDatabase(s.dir, opts)
		if err != nil {
			return err
		}
		s.db = db
	}
	s.refs++
	return nil
}

// release ends one opening, and the database with the last one.
func (s *slot) release() (err error) {
	s.token <- struct{}{}
	if s.refs--; s.refs == 0 {
		err = s.db.close()
		s.db = nil
	}
	<-s.token
	s.unuse()
	return err
}
