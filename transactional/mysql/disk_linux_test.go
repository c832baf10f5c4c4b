package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// A disk is a file system of its own, for the superuser.
type disk string

func newDisk(t *testing.T) disk {
	t.Helper()
	d := disk(t.TempDir())
	if err := syscall.Mount("tmpfs", string(d), "tmpfs", 0, "size=1g"); err != nil {
		t.Skipf("NOT TESTED: a small file system cannot be mounted (%v), so no disk of a server is full", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(string(d), syscall.MNT_DETACH) })
	return d
}

// leave makes the disk so large that so many bytes are free.
func (d disk) leave(t *testing.T, free int64) {
	t.Helper()
	var now syscall.Statfs_t
	err := syscall.Statfs(string(d), &now)
	if err == nil {
		size := int64(now.Blocks-now.Bfree)*now.Bsize + free
		err = syscall.Mount("tmpfs", string(d), "tmpfs", syscall.MS_REMOUNT, fmt.Sprint("size=", size))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// D12: the disk of the server's data is full. A statement that finds no room is
// refused, and what was read can be read; a row that finds none when half of it is
// written makes MariaDB abort. Both are an outage, or unknown if COMMIT may have
// been sent: units are whole or not there, what was acknowledged stays, and work
// goes on when there is room.
func TestTheDiskOfTheServerIsFull_D12(t *testing.T) {
	theServer(t)
	d := newDisk(t)
	s, err := servers.Start(t.Context(), servers.MariaDB{
		Args: []string{"--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M", "--skip-stack-trace"},
	}, &servers.Options{Dir: string(d)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := sql.Open("mysql", "root@tcp("+s.Address()+")/fourfold")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f := &filling{T: t, store: open(t, mysql.Open(s.URL(), nil), things), db: db}
	d.leave(t, 5<<20)

	f.fill(3000, 1114) // rows that lie within a page
	f.whole("while the disk is full")
	if r := f.store.Check(t.Context()); !r.Reachable {
		t.Fatalf("the server is gone: %v", r)
	}
	if err := f.apply(f.n, 3000); err == nil {
		t.Error("there is room again: nothing is proved")
	}
	d.leave(t, 4<<20)
	if err := f.apply(f.n, 3000); err != nil {
		t.Errorf("a unit when there is room: %v", err)
	}
	f.fill(300_000, 0)
	t.Logf("with half a row on a full disk: %v", f.store.Check(t.Context()))

	s.Kill()
	d.leave(t, 64<<20)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.whole("after a restart")
	for i := range f.n {
		if err := f.apply(i, 1); err != nil {
			t.Errorf("a unit when there is room: %v", err)
		}
	}
	f.whole("at the end")
}

// A filling puts units into a store until nothing more fits.
type filling struct {
	*testing.T
	store *transactional.Store
	db    *sql.DB
	n     int // units that were tried
	acked []int
}

// apply puts a unit of 40 rows, and every third of one, which commits itself.
func (f *filling) apply(i, size int) error {
	ctx, cancel := context.WithTimeout(f.Context(), 30*time.Second)
	defer cancel()
	u := &transactional.Unit{}
	for part := range 40 {
		w := put(fmt.Sprintf("%d/%d", i, part), 1, 1)
		w.Row.Values[1] = strings.Repeat("x", size)
		if u.Writes = append(u.Writes, w); i%3 == 0 {
			break
		}
	}
	f.n = max(f.n, i+1)
	_, err := f.store.Apply(ctx, u)
	if err == nil {
		f.acked = append(f.acked, i)
	}
	return err
}

// fill fills the disk, until of both sorts of units three were refused, at least
// one by the number, if it is not 0.
func (f *filling) fill(size int, number uint16) {
	f.Helper()
	var refused [2]int
	numbers := map[uint16]int{}
	for i := f.n; min(refused[0], refused[1]) < 3; i++ {
		if i > 1000 {
			f.Fatalf("a thousand units fit on a disk of 5 MB: nothing is proved")
		}
		err := f.apply(i, size)
		if err == nil {
			continue
		}
		single := i%3 == 0
		if single {
			refused[0]++
		} else {
			refused[1]++
		}
		var answer *driver.MySQLError
		answered := errors.As(err, &answer)
		if answered {
			numbers[answer.Number]++
		}
		unknown := fault.Unknown(err)
		if unknown && !single || !unknown && !errors.Is(err, fault.ErrUnavailable) || answered && unknown != single {
			f.Errorf("a unit on a full disk (lone row %v): %v, want an outage, or unknown if it commits itself", single, err)
		}
	}
	f.Logf("rows of %d bytes: %d units in, %d lone rows and %d units refused, answers %v", size, len(f.acked), refused[0], refused[1], numbers)
	if number != 0 && numbers[number] == 0 {
		f.Errorf("nothing was refused with %d: nothing is proved", number)
	}
}

// whole checks that every unit is there or not, and those acknowledged are.
func (f *filling) whole(when string) {
	f.Helper()
	rows, err := f.db.QueryContext(f.Context(), "SELECT SUBSTRING_INDEX(id, '/', 1), COUNT(*) FROM ff_things GROUP BY 1")
	if err != nil {
		f.Fatalf("%s nothing can be read: %v", when, err)
	}
	defer rows.Close()
	there := map[int]int{}
	for rows.Next() {
		var unit, n int
		if err := rows.Scan(&unit, &n); err != nil {
			f.Fatal(err)
		}
		if there[unit] = n; n != 40 && (unit%3 != 0 || n != 1) {
			f.Errorf("%s: of unit %d there are %d rows of 40", when, unit, n)
		}
	}
	if err := rows.Err(); err != nil {
		f.Error(err)
	}
	for _, i := range f.acked {
		if there[i] == 0 {
			f.Errorf("%s: unit %d was acknowledged and is not there", when, i)
		}
	}
}
