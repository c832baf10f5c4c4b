package servers

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Cassandra is one node, with an empty keyspace "fourfold". It runs on the jars
// that FetchCassandra has put into the cache directory, and needs Java 17.
type Cassandra struct {
	// Heap in MiB. Default 1024; a node takes 400 more beside it.
	Heap int
	// Periodic answers a write before the commit log is synced, as Cassandra does
	// by default: a node that is killed may lose what it acknowledged last.
	// Default: a write waits for its sync.
	Periodic bool
	// Optimize lets the JVM optimize for the long run, which costs seconds of CPU
	// at the start. For measurements.
	Optimize bool
	// YAML are more lines of cassandra.yaml.
	YAML string
	// TLS is how to speak to it when YAML makes it speak TLS; ServerName must be
	// set.
	TLS *tls.Config

	ring *ring // nil: the node is alone
}

// A ring is what the nodes of a cluster know of each other, and one node's place
// in it.
type ring struct {
	hosts   []string
	node    int
	storage int // the port at which nodes meet
}

func (c Cassandra) plan(ctx context.Context, at place) (*launch, error) {
	java, err := FindJava(ctx)
	if err != nil {
		return nil, err
	}
	jars, err := cassandraJars()
	if err != nil {
		return nil, err
	}
	if c.Heap == 0 {
		c.Heap = 1024
	}
	greet := inSession()
	if c.ring == nil {
		storage, err := freePort(at.host)
		if err != nil {
			return nil, err
		}
		c.ring = &ring{hosts: []string{at.host}, storage: storage}
		greet = inSession(createKeyspace(1))
	}
	if c.TLS != nil {
		greet = throughTLS(c.TLS, greet)
	}
	return &launch{
		name: "cassandra", prefix: "cassandra://", tail: "/" + keyspace, deadline: 3 * time.Minute,
		address: net.JoinHostPort(at.host, strconv.Itoa(at.port)),
		command: c.command(java, jars, at.dir),
		prepare: func(context.Context) error { return c.configure(at) },
		greet:   greet,
	}, nil
}

// command is the JVM with the flags that Cassandra's own scripts give it on
// Java 17 (conf/jvm17-server.options), and those that make a short life cheap.
func (c Cassandra) command(java, jars, dir string) []string {
	conf := filepath.Join(dir, "conf")
	heap := strconv.Itoa(c.Heap) + "m"
	command := []string{
		java, "-Xms" + heap, "-Xmx" + heap, "-Xss512k", "-XX:+UseSerialGC",
		"-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-XX:MaxDirectMemorySize=256m",
		"-XX:ErrorFile=" + filepath.Join(dir, "crash.log"), "-XX:-CreateCoredumpOnCrash",
	}
	if !c.Optimize {
		command = append(command, "-XX:TieredStopAtLevel=1")
	}
	for _, m := range strings.Fields(exports) {
		command = append(command, "--add-exports", m+"=ALL-UNNAMED")
	}
	for _, m := range strings.Fields(opens) {
		command = append(command, "--add-opens", m+"=ALL-UNNAMED")
	}
	return append(command,
		"-Djdk.attach.allowAttachSelf=true", "-Djava.security.manager=allow",
		"-Dio.netty.tryReflectionSetAccessible=true", "-Djava.net.preferIPv4Stack=true",
		"-Djava.io.tmpdir="+dir, "-Dcassandra.storagedir="+dir,
		"-Dcassandra.config=file://"+filepath.Join(conf, "cassandra.yaml"),
		"-Dlogback.configurationFile="+filepath.Join(conf, "logback.xml"),
		"-Dcassandra-foreground=yes", "-Dcassandra.libjemalloc=-",
		// There is nobody else to wait for.
		"-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.ring_delay_ms=1000",
		"-Dcassandra.superuser_setup_delay_ms=0",
		"-cp", conf+":"+filepath.Join(jars, "*"),
		"org.apache.cassandra.service.CassandraDaemon")
}

const (
	exports = `java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch
		java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server
		java.sql/java.sql java.base/java.lang.ref java.base/java.lang.reflect jdk.unsupported/sun.misc
		jdk.attach/sun.tools.attach jdk.compiler/com.sun.tools.javac.file`
	opens = `java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref
		java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module
		java.base/jdk.internal.util.jar jdk.management/com.sun.management.internal java.base/sun.nio.ch
		java.base/sun.nio.cs java.base/java.lang java.base/java.lang.reflect java.base/java.util
		java.base/java.nio java.base/java.io java.base/java.net java.rmi/sun.rmi.transport.tcp
		jdk.compiler/com.sun.tools.javac`
)

// configure writes the node's configuration.
func (c Cassandra) configure(at place) error {
	conf := filepath.Join(at.dir, "conf")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(conf, "logback.xml"), []byte(logback), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(conf, "cassandra.yaml"), []byte(c.yaml(at)), 0o600)
}

const logback = `<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
  <logger name="org.apache.cassandra.service.StorageService" level="INFO"/>
</configuration>
`

// yaml is cassandra.yaml. The nodes of a ring have their tokens given, and no
// data to stream, so that they can all start at once: joining one after the
// other takes 19 s a node. Requests may take longer than by default (2 s for a
// write), because all nodes and the tests share a few cores.
func (c Cassandra) yaml(at place) string {
	nodes, sync := len(c.ring.hosts), "batch"
	if c.Periodic {
		sync = "periodic\ncommitlog_sync_period: 10000ms"
	}
	step := ^uint64(0)/uint64(nodes) + 1
	token := int64(-1<<63) + int64(step*uint64(c.ring.node))
	seeds := make([]string, nodes)
	for i, host := range c.ring.hosts {
		seeds[i] = net.JoinHostPort(host, strconv.Itoa(c.ring.storage))
	}
	return fmt.Sprintf(`cluster_name: fourfold
num_tokens: 1
initial_token: "%d"
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
listen_address: %s
rpc_address: %s
storage_port: %d
native_transport_port: %d
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "%s"
auto_snapshot: false
read_request_timeout: 10s
range_request_timeout: 20s
write_request_timeout: 10s
counter_write_request_timeout: 10s
request_timeout: 20s
commitlog_sync: %s
%s
`, token, at.host, at.host, c.ring.storage, at.port, strings.Join(seeds, ","), sync, c.YAML)
}

// Ring starts a cluster of n Cassandra nodes, at 127.0.0.1 to 127.0.0.n and one
// port, with a keyspace "fourfold" that each node holds whole. It returns when
// every node answers and sees all others. All of 127.0.0.0/8 must be this
// machine, as it is on Linux.
func Ring(ctx context.Context, n int, kind Cassandra, opts *Options) ([]*Server, error) {
	if kind.Heap == 0 {
		kind.Heap = 768
	}
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("127.0.0.%d", i+1)
	}
	port, err := freePort(hosts...)
	if err != nil {
		return nil, err
	}
	storage, err := freePort(hosts...)
	if err != nil {
		return nil, err
	}
	nodes, err := startTogether(n, func(i int) (*Server, error) {
		node := kind
		node.ring = &ring{hosts: hosts, node: i, storage: storage}
		return start(ctx, node, hosts[i], port, opts)
	})
	if err == nil {
		err = meet(ctx, nodes)
	}
	if err != nil {
		for _, node := range nodes {
			if node != nil {
				_ = node.Close()
			}
		}
		return nil, err
	}
	return nodes, nil
}

// startTogether starts n servers side by side. It returns those that run also
// when others failed.
func startTogether(n int, start func(i int) (*Server, error)) ([]*Server, error) {
	nodes, errs := make([]*Server, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { nodes[i], errs[i] = start(i) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nodes, err
		}
	}
	return nodes, nil
}

// meet waits until every node sees all others, and makes the keyspace.
func meet(ctx context.Context, nodes []*Server) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for i, node := range nodes {
		word := inSession(seesAll)
		if i == len(nodes)-1 {
			word = inSession(seesAll, createKeyspace(len(nodes)))
		}
		if err := node.await(ctx, node.process, word); err != nil {
			return fmt.Errorf("servers: the nodes of the ring do not find each other: %w", err)
		}
	}
	return nil
}
