package persistence_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// partitioned is set for the process that has a network of its own.
const partitioned = "FOURFOLD_PARTITIONED"

// alone runs a test again in a process with a network of its own, in which it may
// drop packets; it reports whether this is that process. Where that takes rights
// or a program that are not there, the test is skipped, aloud.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(partitioned) != "" {
		upLoopback(t)
		return true
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("NOT TESTED: nft is not on PATH, so no packet is dropped")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), partitioned+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if err != nil {
		t.Skipf("NOT TESTED: a network of one's own takes root, so no packet is dropped: %v", err)
	}
	err = cmd.Wait()
	_, skipped, _ := strings.Cut(out.String(), "NOT TESTED")
	switch {
	case skipped != "":
		t.Skip("NOT TESTED" + skipped)
	case err != nil:
		t.Errorf("%v\n%s", err, &out)
	default:
		t.Logf("%s", &out)
	}
	return false
}

// upLoopback begins the only device of a new network.
func upLoopback(t *testing.T) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	request := struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Fatal(errno)
	}
}

// nft runs one command of nft.
func nft(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("nft", command).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %s: %v: %s", command, err, out)
	}
	return string(out)
}

// partition drops every packet to and from a port, without a word to either side.
func partition(t *testing.T, port string) (heal func()) {
	t.Helper()
	nft(t, "add table inet cut")
	nft(t, "add chain inet cut out { type filter hook output priority 0 ; }")
	nft(t, "add rule inet cut out tcp dport "+port+" counter drop")
	nft(t, "add rule inet cut out tcp sport "+port+" counter drop")
	return func() {
		t.Helper()
		if said := nft(t, "list chain inet cut out"); !strings.Contains(said, "counter packets") || strings.Count(said, "packets 0 ") == 2 {
			t.Errorf("no packet was dropped: nothing is proved: %s", said)
		}
		nft(t, "delete table inet cut")
	}
}

// Packets to the queue are dropped, with no RST, for longer than every timeout,
// while its connections are in use. Puts do not wait for the network's own
// patience, which is a quarter of an hour: they are accepted in the outbox, or say
// that they are not or that nobody knows. Others go on; and when the partition
// heals, with what the network retransmits, all that was accepted is done and
// nothing is that was refused.
func TestAPartition_F4_B16(t *testing.T) {
	if !alone(t) {
		return
	}
	server := servers.Test(t, servers.Beanstalkd{})
	_, port, err := net.SplitHostPort(server.Address())
	if err != nil {
		t.Fatal(err)
	}
	stores := embedded.Stores(t.TempDir())
	stores.Transitory = transitory.URL(server.URL() + "?timeout=500ms&dial_timeout=500ms")
	layer, err := persistence.Open(t.Context(), stores, &persistence.Options{Lease: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	var mu sync.Mutex
	ran := map[string]int{}
	do := func(_ context.Context, p page) error {
		mu.Lock()
		defer mu.Unlock()
		ran[p.ID]++
		return nil
	}
	plan := persistence.Plan[page]{{Priority: 1, Name: "run", Purpose: persistence.Transitory, Do: do}}
	queued := persistence.Declare(layer, "queued", plan, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	kept := persistence.Declare(layer, "kept", plan, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	serve(t, layer)

	var accepted []*persistence.Receipt
	var refused []string
	unknown := 0
	put := func(h *persistence.Handle[page], id string) {
		t.Helper()
		began := time.Now()
		r, err := h.Put(t.Context(), page{ID: id})
		switch {
		case err == nil:
			accepted = append(accepted, r)
		case fault.Unknown(err):
			unknown++
		case fault.Accepted(err) || fault.OutcomeOf(err) == fault.NotApplied:
			refused = append(refused, id)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("Put %s took %v: %v", id, took, err)
		}
	}
	for i := range 20 {
		put(queued, fmt.Sprint("before", i))
	}
	heal := partition(t, port)
	cut := time.Now()
	for i := 0; i < 5 || time.Since(cut) < 2*time.Second; i++ {
		put(queued, fmt.Sprint("cut", i))
		put(kept, fmt.Sprint("kept", i))
		wait(t, accepted[len(accepted)-1], nil)
	}
	heal()
	for i := range 5 {
		put(queued, fmt.Sprint("after", i))
	}
	for _, r := range accepted {
		wait(t, r, nil)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, r := range accepted {
		if ran[r.Key] == 0 {
			t.Errorf("%s was accepted, and its handler never ran", r.Key)
		}
	}
	for _, id := range refused {
		if ran[id] > 0 {
			t.Errorf("%s was refused, and not applied, and its handler ran", id)
		}
	}
	t.Logf("%d accepted, %d refused, %d unknown", len(accepted), len(refused), unknown)
}
