package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// D10: the server takes no more connections.
func TestTooManyConnections_D10(t *testing.T) {
	s := ownServer(t, "max_connections = 10")
	name := s.database(t)
	store := open(t, mysql.Open(s.url(name), nil), things)
	store.Close()
	var hogs []*sql.Conn
	hog := s.pool(t, "", "")
	hog.SetMaxOpenConns(0)
	for range 20 {
		c, err := hog.Conn(t.Context())
		if err != nil {
			break
		}
		hogs = append(hogs, c)
	}
	store, err := transactional.Open(t.Context(), mysql.Open(s.url(name), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, err = store.Apply(t.Context(), unit(put("a", 1, 1)))
	if !fault.Retryable(err) || fault.Unknown(err) {
		t.Errorf("a server that is full refuses for the moment: %v", err)
	}
	hog.SetMaxIdleConns(-1)
	for _, c := range hogs {
		c.Close()
	}
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 1))); err != nil {
		t.Errorf("and serves when there is room: %v", err)
	}
}

// D11: the server stops and goes on.
func TestStoppedServer_D11(t *testing.T) {
	s := ownServer(t)
	store := open(t, mysql.Open(s.url(s.database(t)), nil), things)
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 1))); err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	_, err := store.Apply(ctx, unit(put("a", 2, 2)))
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 3*time.Second {
		t.Errorf("a call obeys its context although the server is silent: %v after %v", err, time.Since(began))
	}
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	if _, err := store.Read(ctx, things, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("so does a read: %v", err)
	}
	cancel()
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(20) {
		if _, err := store.Apply(t.Context(), unit(put("a", 10+i, 10+i))); err != nil {
			t.Errorf("connections that were abandoned are never used again: %v", err)
		}
		if n := value(t, store, "a"); n != 10+i {
			t.Errorf("the answer is the one to the question: %d, want %d", n, 10+i)
		}
	}
}

var kills = flag.Int("kills", 3, "how often TestKilledServer kills its server; 200 in the long tier")

// D3, D21: the server is killed and started again under load, each time at a
// moment by chance; units are whole or not there, those acknowledged are there.
//
//	go test ./transactional/mysql -run KilledServer -timeout=2h -args -kills=200
func TestKilledServer_D3_D21(t *testing.T) {
	s := ownServer(t)
	store := open(t, mysql.Open(s.url(s.database(t)), nil), things)
	var (
		mu    sync.Mutex
		acked []string
		all   []string
		wg    sync.WaitGroup
	)
	stop := make(chan struct{})
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d.%d", w, i)
				_, err := store.Apply(context.Background(), unit(put(id+"/left", 1, 1), put(id+"/right", 1, 1)))
				mu.Lock()
				all = append(all, id)
				if err == nil {
					acked = append(acked, id)
				} else if errors.Is(err, fault.ErrInvalid) || errors.Is(err, fault.ErrRefused) {
					t.Errorf("a server that dies is an outage or unknown: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	progress := func(more int) {
		mu.Lock()
		from := len(acked)
		mu.Unlock()
		eventually(t, 30*time.Second, "there is progress when the server is back", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acked) >= from+more
		})
	}
	for range *kills {
		progress(1 + rand.IntN(100))
		s.kill()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
	}
	progress(50)
	close(stop)
	wg.Wait()
	for _, id := range all {
		if value(t, store, id+"/left") != value(t, store, id+"/right") {
			t.Errorf("unit %s is there in part", id)
		}
	}
	for _, id := range acked {
		if value(t, store, id+"/left") != 1 {
			t.Errorf("unit %s was acknowledged and is not there", id)
		}
	}
}

// D4: a server whose COMMIT is not durable is refused, unless it was asked for
// by name.
func TestDurability_D4(t *testing.T) {
	s := ownServer(t)
	name := s.database(t)
	for flush, good := range map[int][]fault.Durability{0: {fault.Memory}, 2: {fault.Memory, fault.Written}, 1: {fault.Memory, fault.Written, fault.Fsynced}} {
		s.exec(t, fmt.Sprint("SET GLOBAL innodb_flush_log_at_trx_commit = ", flush))
		for _, want := range []fault.Durability{fault.Memory, fault.Written, fault.Fsynced} {
			store, err := transactional.Open(t.Context(), mysql.Open(s.url(name)+"?durability="+string(want), nil), nil)
			if err != nil {
				t.Fatal(err)
			}
			err = store.CreateSchema(t.Context(), things)
			accepted := false
			for _, d := range good {
				accepted = accepted || d == want
			}
			if accepted != (err == nil) || !accepted && fault.ClassOf(err) != fault.ErrMisconfigured {
				t.Errorf("innodb_flush_log_at_trx_commit=%d for %s: %v", flush, want, err)
			}
			if store.Features().Durability != want {
				t.Errorf("the store says %s", store.Features().Durability)
			}
			store.Close()
		}
	}
}

// D13: what no packet can hold is refused before it is sent; what is large
// together is split.
func TestPackets_D13(t *testing.T) {
	s := ownServer(t, "max_allowed_packet = 1048576")
	name := s.database(t)
	store := open(t, mysql.Open(s.url(name), &mysql.Options{MaxRow: 900_000}), things)
	big := func(id string, n int) transactional.Write {
		w := put(id, 1, 1)
		w.Row.Values[1] = strings.Repeat("x", n)
		return w
	}
	_, err := store.Apply(t.Context(), unit(big("a", 3_000_000)))
	class(t, "a row over MaxRow is ErrTooLarge", err, fault.ErrTooLarge)
	u := &transactional.Unit{}
	for i := range 10 {
		u.Writes = append(u.Writes, big(fmt.Sprint("b", i), 800_000))
	}
	if _, err := store.Apply(t.Context(), u); err != nil {
		t.Errorf("rows that are too large together are written all the same: %v", err)
	}
	rows, err := store.Read(t.Context(), things, "b9")
	if err != nil || len(rows) != 1 || len(rows[0].Values[1].(string)) != 800_000 {
		t.Errorf("the last of them is %d rows, %v", len(rows), err)
	}
	liar := open(t, mysql.Open(s.url(name), nil), things) // MaxRow is over what the server takes
	if liar.Check(t.Context()).OK() {
		t.Error("Check says that rows of MaxRow do not fit")
	}
	_, err = liar.Apply(t.Context(), unit(big("c", 3_000_000)))
	class(t, "a row that the server's packet cannot hold is ErrTooLarge", err, fault.ErrTooLarge)
	if _, err := liar.Apply(t.Context(), unit(put("d", 1, 1))); err != nil {
		t.Errorf("and the next unit is fine: %v", err)
	}
}

// D17: somebody holds the table's metadata.
func TestMetadataLock_D17(t *testing.T) {
	s, name, store := fresh(t, nil, things)
	c, err := s.pool(t, name, "").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ExecContext(t.Context(), "LOCK TABLES ff_things WRITE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	_, err = store.Apply(ctx, unit(put("a", 1, 1)))
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call obeys its context while a table is locked: %v", err)
	}
	if _, err := store.Raise(t.Context(), "other", 1); err != nil {
		t.Errorf("other tables are not held up: %v", err)
	}
	if _, err := c.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Apply(t.Context(), unit(put("a", 2, 2))); err != nil {
		t.Errorf("afterwards all is well: %v", err)
	}
}

// D18: a column goes missing and comes back.
func TestSchemaDrift_D18(t *testing.T) {
	s, name, store := fresh(t, nil, things)
	s.exec(t, "ALTER TABLE "+name+".ff_things DROP COLUMN s")
	_, err := store.Apply(t.Context(), unit(put("a", 1, 1)))
	var missing *transactional.SchemaError
	if !errors.As(err, &missing) || !errors.Is(err, fault.ErrMisconfigured) || len(missing.Statements) != 1 {
		t.Fatalf("a missing column is a SchemaError with what mends it: %v", err)
	}
	s.exec(t, "USE "+name)
	s.exec(t, strings.Replace(missing.Statements[0], "`ff_things`", name+".ff_things", 1))
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 1))); err != nil {
		t.Errorf("the statement mends it, and work resumes: %v", err)
	}
}

// A row that somebody keeps locked holds up those who want it, and nobody
// else.
func TestLockedRowHoldsUpItsOwn_D23(t *testing.T) {
	s, name, store := fresh(t, &mysql.Options{LockWait: time.Second}, things)
	if _, err := store.Apply(t.Context(), unit(put("held", 1, 0))); err != nil {
		t.Fatal(err)
	}
	holder, err := s.pool(t, name, "").Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Rollback()
	if _, err := holder.Exec("UPDATE " + store.Name(things) + " SET n = 5 WHERE id = 'held'"); err != nil {
		t.Fatal(err)
	}
	late := make(chan error, 2)
	var wg sync.WaitGroup
	for i := range 200 {
		if i%100 == 50 {
			go func() {
				_, err := store.Apply(context.Background(), unit(put("held", 2, 2), put(fmt.Sprint("with", i), 1, 1)))
				late <- err
			}()
			continue
		}
		wg.Go(func() {
			if _, err := store.Apply(context.Background(), unit(put(fmt.Sprint("row", i), 1, 1))); err != nil {
				t.Errorf("a unit beside one that waits for a lock succeeds: %v", err)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-late:
		t.Errorf("a unit that wants a locked row waits for it: %v", err)
	default:
	}
	holder.Rollback()
	for range 2 {
		if err := <-late; err != nil {
			t.Errorf("and succeeds when it is free: %v", err)
		}
	}
	if value(t, store, "held") != 2 || value(t, store, "with50") != 1 {
		t.Error("with everything that it writes")
	}
}

// A20, seen from the server: a process that is stopped in a transaction keeps
// its row locks for TxIdle, and not for ever.
func TestASilentTransactionLetsGo_A20(t *testing.T) {
	s, name, quick := fresh(t, &mysql.Options{LockWait: time.Second}, things)
	if _, err := quick.Apply(t.Context(), unit(put("held", 1, 1))); err != nil {
		t.Fatal(err)
	}
	silent, err := transactional.Open(t.Context(), mysql.Open(s.url(name), &mysql.Options{TxIdle: time.Second}),
		&transactional.Options{TxTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	holds, free, over := make(chan struct{}, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		over <- silent.Tx(context.Background(), func(ctx context.Context, tx *transactional.Tx) error {
			_, err := tx.Apply(ctx, unit(put("held", 2, 2)))
			select {
			case holds <- struct{}{}:
				<-free // as one that is stopped: the connection lives, and says nothing
			default:
			}
			return err
		})
	}()
	<-holds
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := quick.Apply(ctx, unit(put("held", 3, 3))); err != nil {
		t.Errorf("a row that a silent transaction keeps locked is not free after 30 s: %v", err)
	}
	close(free)
	if err := <-over; err != nil && !fault.Retryable(err) && !fault.Unknown(err) {
		t.Errorf("who was silent learns that it is over: %v", err)
	}
	if n := value(t, quick, "held"); n != 3 {
		t.Errorf("the newest wins: %d, want 3", n)
	}
	if err := silent.Close(); err != nil {
		t.Error(err)
	}
}
