// Package live starts a real Cassandra for the tests of the adapters: one node
// from the jars of its published Maven artifact, without a container.
//
// The jars are looked for in FOURFOLD_CASSANDRA_LIB, else in
// ~/.cache/fourfold/cassandra-*/lib, where this puts them:
//
//	mvn dependency:copy-dependencies -DoutputDirectory=$HOME/.cache/fourfold/cassandra-5.0.6/lib
//
// with a pom whose one dependency is org.apache.cassandra:cassandra-all:5.0.6.
// Java 17 is taken from JAVA_HOME or PATH. FOURFOLD_CASSANDRA names a server
// that runs already, as host:port.
package live

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Node is a running Cassandra.
type Node struct {
	Addr string // host:port of the native protocol
	cmd  *exec.Cmd
	dir  string
	lib  string
	port [2]int
}

// Start starts a node for the tests of a package, or skips aloud.
func Start(t testing.TB) *Node {
	t.Helper()
	if addr := os.Getenv("FOURFOLD_CASSANDRA"); addr != "" {
		return &Node{Addr: addr}
	}
	lib, err := findJars()
	if err == nil {
		_, err = exec.LookPath(java())
	}
	if err != nil {
		t.Skipf("SKIPPED: that the store works on a real Cassandra (%v; see package live)", err)
	}
	if testing.Short() {
		t.Skip("SKIPPED by -short: that the store works on a real Cassandra")
	}
	n := &Node{lib: lib, dir: t.TempDir(), port: [2]int{freePort(t), freePort(t)}}
	n.Addr = fmt.Sprintf("127.0.0.1:%d", n.port[0])
	if err := n.configure(); err != nil {
		t.Fatal(err)
	}
	if err := n.run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stop)
	return n
}

// Restart kills the node and starts it again on its data.
func (n *Node) Restart(t *testing.T) {
	t.Helper()
	if n.cmd == nil {
		t.Skip("SKIPPED: that writes survive a restart of the server (it is not ours to restart)")
	}
	n.stop()
	if err := n.run(); err != nil {
		t.Fatal(err)
	}
}

func findJars() (string, error) {
	if lib := os.Getenv("FOURFOLD_CASSANDRA_LIB"); lib != "" {
		return lib, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	found, _ := filepath.Glob(filepath.Join(home, ".cache", "fourfold", "cassandra-*", "lib", "apache-cassandra-*.jar"))
	more, _ := filepath.Glob(filepath.Join(home, ".cache", "fourfold", "cassandra-*", "lib", "cassandra-all-*.jar"))
	found = append(found, more...)
	if len(found) == 0 {
		return "", errors.New("no jars of Cassandra")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func java() string {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return filepath.Join(home, "bin", "java")
	}
	return "java"
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

const yaml = `cluster_name: fourfold
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
native_transport_port: %d
storage_port: %d
start_native_transport: true
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "127.0.0.1:%[2]d"}]
data_file_directories: ["%[3]s/data"]
commitlog_directory: "%[3]s/commitlog"
saved_caches_directory: "%[3]s/caches"
hints_directory: "%[3]s/hints"
cdc_raw_directory: "%[3]s/cdc"
commitlog_sync: batch
auto_snapshot: false
disk_failure_policy: stop
`

const logback = `<configuration><appender name="O" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%level %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="O"/></root></configuration>`

func (n *Node) configure() error {
	conf := filepath.Join(n.dir, "conf")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf(yaml, n.port[0], n.port[1], n.dir)
	if err := os.WriteFile(filepath.Join(conf, "cassandra.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(conf, "logback.xml"), []byte(logback), 0o600)
}

// The modules that Cassandra opens to itself under Java 17.
var (
	exports = []string{"java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch",
		"java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server",
		"java.sql/java.sql", "java.base/java.lang.ref", "java.base/java.lang.reflect", "jdk.unsupported/sun.misc",
		"jdk.attach/sun.tools.attach", "jdk.compiler/com.sun.tools.javac.file"}
	opens = []string{"java.base/java.lang.module", "java.base/jdk.internal.loader", "java.base/jdk.internal.ref",
		"java.base/jdk.internal.reflect", "java.base/jdk.internal.math", "java.base/jdk.internal.module",
		"java.base/jdk.internal.util.jar", "jdk.management/com.sun.management.internal", "java.base/sun.nio.ch",
		"java.base/java.lang", "java.base/java.util", "java.base/java.nio", "java.base/java.io", "java.base/java.net",
		"java.rmi/sun.rmi.transport.tcp", "java.base/sun.nio.cs"}
)

func (n *Node) args() []string {
	args := []string{"-Xms512m", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dcassandra.config=file://" + n.dir + "/conf/cassandra.yaml", "-Dcassandra.storagedir=" + n.dir,
		"-Dcassandra-foreground=yes", "-Dlogback.configurationFile=" + n.dir + "/conf/logback.xml",
		"-Djava.security.manager=allow", "-Djdk.attach.allowAttachSelf=true",
		"-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.ring_delay_ms=1000"}
	for _, m := range exports {
		args = append(args, "--add-exports", m+"=ALL-UNNAMED")
	}
	for _, m := range opens {
		args = append(args, "--add-opens", m+"=ALL-UNNAMED")
	}
	return append(args, "-cp", n.dir+"/conf:"+n.lib+"/*", "org.apache.cassandra.service.CassandraDaemon")
}

// run starts the process and waits until it says that it is ready.
func (n *Node) run() error {
	n.cmd = exec.Command(java(), n.args()...)
	n.cmd.Dir = n.dir
	dieWithParent(n.cmd)
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	n.cmd.Stderr = n.cmd.Stdout
	if err := n.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() {
		var tail []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "Startup complete") {
				ready <- nil
				io.Copy(io.Discard, out)
				return
			}
			if tail = append(tail, lines.Text()); len(tail) > 30 {
				tail = tail[1:]
			}
		}
		ready <- errors.New("the node did not start:\n" + strings.Join(tail, "\n"))
	}()
	select {
	case err = <-ready:
	case <-time.After(3 * time.Minute):
		err = errors.New("the node was not ready after three minutes")
	}
	if err != nil {
		n.stop()
	}
	return err
}

// stop ends the process that we started, and no other.
func (n *Node) stop() {
	if n.cmd == nil || n.cmd.Process == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}
