package beanstalkd

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Options of a queue on servers; zero values are the defaults.
type Options struct {
	// Plaintext allows connections without TLS to addresses that are not
	// loopback. beanstalkd knows neither TLS nor passwords: whoever reaches it
	// owns its jobs.
	Plaintext bool
	// TLS speaks to a TLS proxy in front of the server. Nil: no TLS.
	TLS *tls.Config
	// Durability is the promise of Features. Empty: the weakest of what the
	// servers say when the queue is opened, fault.Written for one that cannot be
	// reached then. A server that later turns out to keep less (it runs without
	// a log, or its log broke) is given no jobs. fault.Memory takes every
	// server; fault.Fsynced is for servers that run with -f0, which they do not
	// tell.
	Durability fault.Durability
	// Timeout of one round trip. Default 5 s.
	Timeout time.Duration
	// DialTimeout of a new connection, which includes its first round trip.
	// Default 2 s.
	DialTimeout time.Duration
	// Producers is how many connections put jobs, per server. Default 16.
	Producers int
	// Consumers is how many connections reserve jobs, per server. Each holds
	// the jobs of one Reserve until they are settled; over the bound Reserve
	// waits. Default 128.
	Consumers int
	// Logger is told when a server goes, comes back, or is ill. Nil: that of the
	// layer which opens the queue, else slog.Default.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = 2 * time.Second
	}
	if o.Producers == 0 {
		o.Producers = 16
	}
	if o.Consumers == 0 {
		o.Consumers = 128
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// validate lists every fault of the options and the addresses.
func (o Options) validate(addrs []string) error {
	var faults []string
	add := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	add(o.Timeout < 0, "Timeout is %v; it must not be negative", o.Timeout)
	add(o.DialTimeout < 0, "DialTimeout is %v; it must not be negative", o.DialTimeout)
	add(o.Producers < 0, "Producers is %d; it must not be negative", o.Producers)
	add(o.Consumers < 0, "Consumers is %d; it must not be negative", o.Consumers)
	known := []fault.Durability{"", fault.Memory, fault.Written, fault.Fsynced}
	add(!slices.Contains(known, o.Durability), "Durability is %q; it is memory, written or fsynced", o.Durability)
	add(o.Plaintext && o.TLS != nil, "plaintext contradicts the options for TLS")
	add(len(addrs) == 0, "no server is named; a URL is such as beanstalkd://127.0.0.1:11300")
	for i, addr := range addrs {
		_, _, err := network(addr)
		add(err != nil, "server %d: %v", i+1, err)
		add(slices.Contains(addrs[:i], addr), "server %d, %s, is named twice", i+1, addr)
		add(err == nil && !o.Plaintext && o.TLS == nil && !loopback(addr),
			"server %d, %s, is not loopback, and beanstalkd has neither TLS nor passwords; use a tunnel, or allow it with ?plaintext=true", i+1, addr)
	}
	if len(faults) == 0 {
		return nil
	}
	return invalid(strings.Join(faults, "; "))
}

func invalid(message string) error {
	return fault.New(fault.ErrInvalid, "transitory", "open", message)
}

const defaultPort = "11300"

// network splits an address: a path is a unix socket, anything else host:port.
func network(addr string) (kind, address string, err error) {
	if strings.ContainsFunc(addr, unicode.IsControl) {
		return "", "", fmt.Errorf("an address has no control characters")
	}
	if strings.HasPrefix(addr, "/") {
		return "unix", addr, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return "", "", fmt.Errorf("an address is host:port or the path of a unix socket")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", "", fmt.Errorf("the port of an address is a number from 1 to 65535")
	}
	return "tcp", addr, nil
}

// loopback says whether an address never leaves this machine.
func loopback(addr string) bool {
	kind, address, err := network(addr)
	if err != nil || kind == "unix" {
		return err == nil
	}
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// parseURL reads beanstalkd://host:port,host:port and
// beanstalkd:///path/to.sock, with options. No error repeats what stands before
// an @: it may be a password, though beanstalkd has none.
func parseURL(text string) (addrs []string, opts Options, err error) {
	rest, ok := strings.CutPrefix(text, "beanstalkd://")
	if !ok {
		return nil, opts, invalid("write beanstalkd://host:11300, beanstalkd://host1,host2 or beanstalkd:///path/to.sock")
	}
	rest, options, err := schemes.Split(rest)
	if err != nil {
		return nil, opts, invalid(err.Error())
	}
	if strings.Contains(rest, "@") {
		return nil, opts, invalid("the URL has a user or a password, and beanstalkd knows neither")
	}
	if strings.HasPrefix(rest, "/") {
		path, err := url.PathUnescape(rest)
		if err != nil {
			return nil, opts, invalid("the path of the unix socket cannot be read")
		}
		addrs = []string{path}
	} else if rest = strings.TrimSuffix(rest, "/"); rest != "" {
		for _, host := range strings.Split(rest, ",") {
			addrs = append(addrs, withPort(host))
		}
	}
	opts, err = parseOptions(options)
	return addrs, opts, err
}

func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), defaultPort)
}

var optionNames = []string{"plaintext", "tls", "durability", "timeout", "dial_timeout", "producers", "consumers"}

// parseOptions reads the options of a URL and lists every fault.
func parseOptions(options map[string]string) (Options, error) {
	var o Options
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if err := o.set(name, options[name]); err != nil {
			faults = append(faults, err.Error())
		}
	}
	if len(faults) == 0 {
		return o, nil
	}
	return o, invalid(strings.Join(faults, "; "))
}

// set sets one option of a URL.
func (o *Options) set(name, value string) (err error) {
	switch name {
	case "plaintext":
		if o.Plaintext, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("option plaintext is true or false")
		}
	case "tls":
		if value != "true" {
			return fmt.Errorf("option tls is true, or is not given")
		}
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	case "durability":
		if o.Durability = fault.Durability(value); value == "" {
			return fmt.Errorf("option durability is memory, written or fsynced")
		}
	case "timeout":
		o.Timeout, err = positiveDuration(name, value)
	case "dial_timeout":
		o.DialTimeout, err = positiveDuration(name, value)
	case "producers":
		o.Producers, err = positive(name, value)
	case "consumers":
		o.Consumers, err = positive(name, value)
	default:
		if near := record.Nearest(name, optionNames...); near != "" {
			return fmt.Errorf("unknown option %q; did you mean %s?", name, near)
		}
		return fmt.Errorf("unknown option %q; there are %s", name, strings.Join(optionNames, ", "))
	}
	return err
}

func positiveDuration(name, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("option %s is a duration such as 5s", name)
	}
	return d, nil
}

func positive(name, value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("option %s is a number from 1 on", name)
	}
	return n, nil
}
