package cassandra

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra/internal/cql"
	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/internal/secure"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Options of a session that Open opens; zero values are the defaults.
type Options struct {
	// Hosts are contact points, "host" or "host:port". Required.
	Hosts []string
	// Keyspace is where the tables are. Required; it must exist, because how
	// it is replicated is not ours to say.
	Keyspace string
	// Username; empty: none.
	Username string
	// Password is asked for the password each time that a session is opened,
	// so that it can change. Nil: none.
	Password func(ctx context.Context) (string, error)
	// Authenticators are the server's authenticators that get the password.
	// Default: Cassandra's own PasswordAuthenticator.
	Authenticators []string
	// TLS is how the servers' certificates are verified. Nil: by the system's
	// certificates and the hosts' names, on other machines.
	TLS *tls.Config
	// Plaintext allows servers on other machines without TLS.
	Plaintext bool
	// LocalDC prefers the hosts of a data centre; empty: all alike.
	LocalDC string
	// Consistency of writes and reads: "one", "local_one", "quorum",
	// "local_quorum", "each_quorum", "all", "two" or "three". Default
	// "local_quorum" for both. Placed tables need a quorum for both, and one
	// across data centres when more than one of them writes.
	WriteConsistency, ReadConsistency string
	// Timeout bounds one statement. Default 10 s.
	Timeout time.Duration
	// ConnectTimeout bounds the making of one connection. Default 5 s. An
	// attempt to open the session, which makes several, has five times that.
	ConnectTimeout time.Duration
	// Conns are connections per host. Default 2.
	Conns int
	// Coalesce is how long a request waits for others to share its packet.
	// Default zero: it pays only with many hundred callers, and our groups
	// have joined what came together.
	Coalesce time.Duration
	// InFlight bounds the statements under way at once. Default 256.
	InFlight int
	// Hedge is how long a write, or a read of few rows, waits for its answer
	// before it is sent once more, to whichever node the client picks: a node that
	// hangs does not hold it up. All of the store's statements may be repeated.
	// Default DefaultHedge; negative: never.
	Hedge time.Duration
	// Logger gets what the client says. Nil: that of the layer which opens the
	// store, else nobody.
	Logger *slog.Logger
}

// DefaultHedge is the default of Options.Hedge.
const DefaultHedge = cql.DefaultHedge

// Open is the Source of a store on servers. Nothing connects before the store
// is used, and a program starts without them: until they answer, every call is
// fault.ErrUnavailable.
func Open(opts Options) amorphous.Source {
	return amorphous.SourceFunc(func(ctx context.Context) (amorphous.Driver, error) {
		opts := opts
		if opts.Logger == nil {
			opts.Logger = schemes.Logger(ctx)
		}
		if len(opts.Hosts) == 0 {
			return nil, fault.New(fault.ErrInvalid, "", "", "no host is named")
		}
		inner, err := driverOptions(opts.Keyspace, opts.WriteConsistency, opts.ReadConsistency)
		if err != nil {
			return nil, err
		}
		inner.Address = strings.Join(opts.Hosts, ",") + "/" + opts.Keyspace
		inner.Timeout, inner.InFlight, inner.Hedge = opts.Timeout, opts.InFlight, cql.HedgeOf(opts.Hedge)
		if _, err := opts.cluster(""); err != nil {
			return nil, err
		}
		return cql.New(&cql.Connector{Connect: opts.connect, Deadline: 5 * opts.connectTimeout()}, inner)
	})
}

// SessionOptions of a session that is handed over; zero values are the
// defaults.
type SessionOptions struct {
	// Consistency as in Options.
	WriteConsistency, ReadConsistency string
	// Timeout bounds one statement. Default 10 s.
	Timeout time.Duration
	// InFlight bounds the statements under way at once. Default 256.
	InFlight int
	// Hedge as in Options.
	Hedge time.Duration
}

// FromSession is the Source of a store on a session that a program already
// has. The program closes it. The session's retry and speculation policies do
// not apply to the store's statements, and its keyspace does not matter.
func FromSession(s *gocql.Session, keyspace string, opts *SessionOptions) amorphous.Source {
	return amorphous.SourceFunc(func(context.Context) (amorphous.Driver, error) {
		if s == nil {
			return nil, fault.New(fault.ErrInvalid, "", "", "there is no session")
		}
		var o SessionOptions
		if opts != nil {
			o = *opts
		}
		inner, err := driverOptions(keyspace, o.WriteConsistency, o.ReadConsistency)
		if err != nil {
			return nil, err
		}
		inner.Address, inner.Timeout, inner.InFlight, inner.Hedge = keyspace, o.Timeout, o.InFlight, cql.HedgeOf(o.Hedge)
		return cql.New(cql.Handed(session{s, nil}), inner)
	})
}

func driverOptions(keyspace, write, read string) (cql.Options, error) {
	opts := cql.Options{Keyspace: keyspace}
	for _, c := range []struct {
		name string
		to   *cql.Consistency
	}{{write, &opts.Write}, {read, &opts.Read}} {
		if c.name == "" {
			continue
		}
		var ok bool
		if *c.to, ok = cql.ParseConsistency(strings.ToLower(c.name)); !ok {
			return opts, fault.New(fault.ErrInvalid, "", "", "the consistency is one, local_one, two, three, quorum, local_quorum, each_quorum or all")
		}
	}
	return opts, nil
}

// cluster is the client's configuration.
func (o *Options) cluster(password string) (*gocql.ClusterConfig, error) {
	c := gocql.NewCluster()
	here := true
	for _, host := range o.Hosts {
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			name, port = host, "9042"
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || name == "" {
			return nil, fault.New(fault.ErrInvalid, "", "", "a host has the form host or host:port")
		}
		here = here && secure.Local(name)
		c.Hosts = append(c.Hosts, net.JoinHostPort(name, port))
		c.Port = int(number) // of the peers that the first host names
	}
	c.Keyspace = o.Keyspace
	c.Timeout, c.WriteTimeout, c.ConnectTimeout = o.Timeout, o.Timeout, o.connectTimeout()
	if c.Timeout == 0 {
		c.Timeout, c.WriteTimeout = 10*time.Second, 10*time.Second
	}
	// Opening a session must not hang on a schema that servers disagree about,
	// nor read more of it than how our keyspace is replicated.
	c.MaxWaitSchemaAgreement = o.connectTimeout()
	c.Metadata.CacheMode = gocql.KeyspaceOnly
	if o.Conns > 0 {
		c.NumConns = o.Conns
	}
	c.WriteCoalesceWaitTime = o.Coalesce
	c.ReconnectInterval = time.Second // a server that returns is used again at once
	c.RetryPolicy = nil
	lines := cql.NewLines(o.connectTimeout())
	c.Dialer, c.Logger = lines, logger{o.Logger, lines}
	// A policy object serves one session only.
	fallback := gocql.RoundRobinHostPolicy()
	if o.LocalDC != "" {
		fallback = gocql.DCAwareRoundRobinPolicy(o.LocalDC)
	}
	c.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(fallback, gocql.ShuffleReplicas())
	if o.Username != "" {
		allowed := o.Authenticators
		if len(allowed) == 0 {
			allowed = []string{"org.apache.cassandra.auth.PasswordAuthenticator"}
		}
		c.Authenticator = gocql.PasswordAuthenticator{Username: o.Username, Password: password, AllowedAuthenticators: allowed}
	}
	return c, o.secure(c, here)
}

// secure decides about TLS: verified unless all servers are on this machine, or
// plaintext was asked for by name. A session tells the servers' addresses by
// itself, so where one is elsewhere, all are spoken to by TLS.
func (o *Options) secure(c *gocql.ClusterConfig, here bool) error {
	switch {
	case o.Plaintext && o.TLS != nil:
		return fault.New(fault.ErrInvalid, "", "", "plaintext contradicts the options for TLS")
	case o.Plaintext, here && o.TLS == nil:
		return nil
	}
	config, err := secure.Config(o.TLS, "")
	if err == nil {
		c.SslOpts = &gocql.SslOptions{Config: config, EnableHostVerification: !config.InsecureSkipVerify}
	}
	return err
}

func (o *Options) connectTimeout() time.Duration {
	if o.ConnectTimeout == 0 {
		return 5 * time.Second
	}
	return o.ConnectTimeout
}

// connect opens a session, with a configuration of its own: the client's
// policies keep what they learned of one session, and panic with two.
func (o *Options) connect(ctx context.Context) (cql.Session, error) {
	password := ""
	if o.Password != nil {
		var err error
		if password, err = o.Password(ctx); err != nil {
			return nil, fault.Wrap(fault.ErrMisconfigured, "", "", err)
		}
	}
	cluster, err := o.cluster(password)
	if err != nil {
		return nil, err
	}
	s, err := begin(cluster)
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, gocql.ErrNoConnectionsStarted):
		return nil, o.diagnose(err, password)
	case misconfigured.MatchString(err.Error()):
		return nil, &fault.Error{Class: fault.ErrMisconfigured, Err: err}
	}
	return nil, err
}

// begin opens a session that ends its lines when it is closed.
func begin(cluster *gocql.ClusterConfig) (session, error) {
	lines := cluster.Dialer.(*cql.Lines)
	s, err := cluster.CreateSession()
	if err != nil {
		lines.End()
	}
	return session{s, lines}, err
}

// misconfigured matches what the client says of passwords and certificates: it
// keeps no more than the text of an error.
var misconfigured = regexp.MustCompile(`(?i)credentials|authenticat|username|x509|tls: `)

// diagnose finds out whether a session failed for want of its keyspace, of
// which the client says no more than that no connection was made.
func (o *Options) diagnose(cause error, password string) error {
	without := *o
	without.Keyspace = ""
	cluster, err := without.cluster(password)
	if err != nil {
		return cause
	}
	s, err := begin(cluster)
	if err != nil {
		return cause
	}
	defer s.Close()
	var name string
	err = s.Session.Query("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?", o.Keyspace).Scan(&name)
	if errors.Is(err, gocql.ErrNotFound) {
		return cql.MissingKeyspace(o.Keyspace)
	}
	return cause
}
