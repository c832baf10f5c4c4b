package beanstalkd_test

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/beanstalkd"
)

// smallDisk is a file system of so many bytes, for the superuser.
func smallDisk(t *testing.T, size int) (dir string, resize func(size int)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		t.Skipf("NOT TESTED: a small file system cannot be mounted (%v), so no disk of a server is full", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir, func(size int) {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprint("size=", size)); err != nil {
			t.Fatal(err)
		}
	}
}

// A full disk under the server's log refuses puts, which is no loss; what was
// acknowledged can be taken and deleted meanwhile. A server that cannot start
// again for want of room is a server that is down, and all that it acknowledged
// is there when it has room.
func TestTheDiskOfTheLogIsFull_B7_B8(t *testing.T) {
	dir, resize := smallDisk(t, 1<<20)
	r := start(t, "-b", dir, "-s", "262144", "-f0")
	q := open(t, beanstalkd.Options{}, r)
	acked := map[string]bool{}
	var refusal error
	for i := 0; refusal == nil; i++ {
		body := fmt.Sprintf("%d %s", i, strings.Repeat("x", 4000))
		if refusal = q.Put(t.Context(), transitory.Job{Tube: "t", Body: []byte(body)})[0]; refusal == nil {
			acked[body] = true
		}
		if i > 10_000 {
			t.Fatal("40 MB fit on a disk of one: nothing is proved")
		}
	}
	if fault.OutcomeOf(refusal) != fault.NotApplied || !fault.Retryable(refusal) {
		t.Errorf("a put on a full disk: %v (%v), want not applied, and worth trying again", refusal, fault.OutcomeOf(refusal))
	}
	take := func(most int) {
		t.Helper()
		for range most {
			jobs, err := q.Reserve(within(t, 10*time.Second), []string{"t"}, 1)
			if err != nil || len(jobs) != 1 || !acked[string(jobs[0].Body)] {
				t.Fatalf("reserve: %d jobs, %v; %d of those acknowledged are left", len(jobs), err, len(acked))
			}
			if err := q.Delete(t.Context(), jobs[0].ID)[0]; err != nil {
				t.Fatal(err)
			}
			delete(acked, string(jobs[0].Body))
		}
	}
	take(10)
	r.kill()
	if out, err := exec.Command("beanstalkd", "-l", "127.0.0.1", "-p", "1", "-b", dir).CombinedOutput(); err == nil {
		t.Fatalf("it started on a full disk: %s", out)
	}
	if err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]; !fault.Outage(err) {
		t.Errorf("a put while the server cannot start: %v, want an outage", err)
	}
	resize(64 << 20)
	r.run()
	eventually(t, 30*time.Second, "puts never begin again", func() bool { return q.Put(t.Context(), transitory.Job{Tube: "u"})[0] == nil })
	take(len(acked))
}
