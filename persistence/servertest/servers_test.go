package servertest_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
)

var variables = []string{"FOURFOLD_TRANSITORY", "FOURFOLD_VOLATILE", "FOURFOLD_TRANSACTIONAL", "FOURFOLD_AMORPHOUS"}

// A fake is a test that notes how it was ended, and goes on.
type fake struct {
	testing.TB
	skipped, failed string
}

type ended struct{}

func (f *fake) Skip(args ...any) { f.skipped = fmt.Sprint(args...); panic(ended{}) }
func (f *fake) Fatalf(format string, args ...any) {
	f.failed = fmt.Sprintf(format, args...)
	panic(ended{})
}

// ends runs what should end a test, and returns how.
func ends(t *testing.T, test func(tb testing.TB)) *fake {
	t.Helper()
	f := &fake{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != (ended{}) {
				panic(r)
			}
		}()
		test(f)
		t.Error("the test goes on")
	}()
	return f
}

// address is the host and port in a URL with one server.
func address(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	rest, _, _ = strings.Cut(rest, "/")
	if _, host, ok := strings.Cut(rest, "@"); ok {
		return host
	}
	return rest
}

func answers(url string) bool {
	conn, err := net.Dial("tcp", address(url))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func TestKillAndRestartInOneLineEach(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{
		Own: true, Purposes: []persistence.Purpose{persistence.Transitory, persistence.Volatile, persistence.Transactional},
	})
	for _, p := range []persistence.Purpose{persistence.Transitory, persistence.Volatile, persistence.Transactional} {
		url := servers.URL(p)
		if !answers(url) {
			t.Errorf("%v: %s does not answer when Start returns", p, url)
		}
		servers.Kill(p)
		if answers(url) {
			t.Errorf("%v: Kill returns when the server is gone", p)
		}
		servers.Restart(p)
		if !answers(url) || servers.URL(p) != url {
			t.Errorf("%v: Restart brings it back at the same address", p)
		}
		servers.Pause(p)
		servers.Resume(p)
	}
	stores := servers.Stores()
	if stores.Transitory == nil || stores.Volatile == nil || stores.Transactional == nil || stores.Amorphous != nil {
		t.Error("Stores has a source for each purpose that was asked for, and for no other")
	}
}

func TestSeveralServersOfAPurpose(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{
		Purposes: []persistence.Purpose{persistence.Volatile},
		Nodes:    map[persistence.Purpose]int{persistence.Volatile: 3},
	})
	members := strings.Split(address(servers.URL(persistence.Volatile)), ",")
	if len(members) != 3 {
		t.Fatalf("%v, want three members", members)
	}
	servers.Kill(persistence.Volatile, 1)
	for i, member := range members {
		if got := answers("memcached://" + member); got != (i != 1) {
			t.Errorf("member %d answers: %v; only node 1 was killed", i, got)
		}
	}
	f := ends(t, func(tb testing.TB) {
		servertest.Start(tb, servertest.Options{Purposes: []persistence.Purpose{persistence.Volatile}, Own: true}).Kill(persistence.Volatile, 1)
	})
	if !strings.Contains(f.failed, "no node 1 of 1") {
		t.Error(f.failed)
	}
}

func TestAServerOfTheEnvironmentIsUsedAndNotTouched(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // nothing can be started
	for i, v := range variables {
		t.Setenv(v, fmt.Sprintf("given%d://user:secret@host", i))
	}
	servers := servertest.Start(t)
	if got := servers.URL(persistence.Amorphous); got != "given3://user:secret@host" {
		t.Error(got)
	}
	for name, touch := range map[string]func(*servertest.Servers){
		"Kill":    func(s *servertest.Servers) { s.Kill(persistence.Amorphous) },
		"Restart": func(s *servertest.Servers) { s.Restart(persistence.Amorphous) },
		"Pause":   func(s *servertest.Servers) { s.Pause(persistence.Amorphous) },
		"Resume":  func(s *servertest.Servers) { s.Resume(persistence.Amorphous) },
	} {
		f := ends(t, func(tb testing.TB) { touch(servertest.Start(tb)) })
		for _, word := range []string{name, "amorphous", "FOURFOLD_AMORPHOUS", "Own: true"} {
			if !strings.Contains(f.failed, word) {
				t.Errorf("the refusal says %q, and not %q", f.failed, word)
			}
		}
		if strings.Contains(f.failed, "secret") {
			t.Errorf("the refusal shows a password: %s", f.failed)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // without Cassandra's jars
	for _, v := range variables {
		t.Setenv(v, "")
	}
	f := ends(t, func(tb testing.TB) {
		servertest.Start(tb, servertest.Options{Purposes: []persistence.Purpose{persistence.Transitory, persistence.Volatile, persistence.Amorphous}})
	})
	for _, word := range []string{"NOT TESTED", "needs beanstalkd", "needs memcached", "Cassandra", "Debian package", "FOURFOLD_TRANSITORY", "FOURFOLD_AMORPHOUS"} {
		if !strings.Contains(f.skipped, word) {
			t.Errorf("the skip says %q, and not %q", f.skipped, word)
		}
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	tests := map[string]struct {
		options []servertest.Options
		want    string
	}{
		"no purpose":       {[]servertest.Options{{Purposes: []persistence.Purpose{9}}}, "which is none"},
		"a purpose twice":  {[]servertest.Options{{Purposes: []persistence.Purpose{persistence.Volatile, persistence.Volatile}}}, "twice"},
		"no node":          {[]servertest.Options{{Nodes: map[persistence.Purpose]int{persistence.Volatile: 0}}}, "1 to 9"},
		"several MariaDBs": {[]servertest.Options{{Nodes: map[persistence.Purpose]int{persistence.Transactional: 2}}}, "MariaDB"},
		"two Options":      {make([]servertest.Options, 2), "one Options"},
	}
	for name, test := range tests {
		if f := ends(t, func(tb testing.TB) { servertest.Start(tb, test.options...) }); !strings.Contains(f.failed, test.want) {
			t.Errorf("%s: %q, want %q", name, f.failed, test.want)
		}
	}
	t.Setenv("FOURFOLD_VOLATILE", "memcached://given")
	f := ends(t, func(tb testing.TB) {
		servertest.Start(tb, servertest.Options{Purposes: []persistence.Purpose{persistence.Volatile}}).URL(persistence.Amorphous)
	})
	if !strings.Contains(f.failed, "Options.Purposes") {
		t.Error(f.failed)
	}
}

func TestEveryStartHasItsOwnNamespace(t *testing.T) {
	t.Setenv("FOURFOLD_VOLATILE", "memcached://given")
	volatile := servertest.Options{Purposes: []persistence.Purpose{persistence.Volatile}}
	a, b := servertest.Start(t, volatile).Options().Namespace, servertest.Start(t, volatile).Options().Namespace
	if a == b || len(a) > 16 {
		t.Errorf("%q and %q; tests that share a server must not share data", a, b)
	}
}

type run func() int

func (r run) Run() int { return r() }

func TestMainStartsOnceForAllTests(t *testing.T) {
	volatile := servertest.Options{Purposes: []persistence.Purpose{persistence.Volatile}}
	servertest.Start(t, volatile) // or a skip
	t.Setenv("FOURFOLD_VOLATILE", "")
	var url string
	status := servertest.Main(run(func() int {
		url = os.Getenv("FOURFOLD_VOLATILE")
		if a, b := servertest.URL(t, persistence.Volatile), servertest.URL(t, persistence.Volatile); a != url || b != url {
			t.Errorf("%s and %s, want the one that Main has started, %s", a, b, url)
		}
		if !answers(url) {
			t.Error("while the tests run the server answers")
		}
		return 3
	}), volatile)
	if status != 3 {
		t.Errorf("status %d, want that of the tests", status)
	}
	if answers(url) {
		t.Error("Main ends what it started")
	}
}
