package memcached

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// Options of a memcached source; zero values are the defaults.
type Options struct {
	// Timeout bounds dialling and every single operation. It is what a member
	// that died costs once. Default 500 ms; 10 ms to 1 min.
	Timeout time.Duration
	// Conns is how many connections one member has, beside the one that
	// operations share when many are under way, and the driver's own. Sixteen
	// times as many operations are under way at once; further ones wait.
	// Default 64.
	Conns int
	// MaxValue is the largest value, in bytes. It must fit the servers' -I
	// (1 MiB by default) with a kilobyte to spare; Check tells. Default
	// 1,047,552.
	MaxValue int
	// TLS encrypts the connections and verifies the servers. nil: plaintext.
	TLS *tls.Config
	// AllowPlaintext permits plaintext to addresses other than loopback and
	// Unix sockets. memcached's own protocol has neither encryption nor a
	// password worth the name.
	AllowPlaintext bool
}

// DefaultMaxValue fits the default item size of a memcached.
const DefaultMaxValue = 1<<20 - 1024

// New returns a source over the members at the addresses: "host:port", "host"
// (port 11211) or the path of a Unix socket. The set of addresses decides
// which key lies where: every process must name the same ones, in any order
// and in the same spelling.
func New(addresses []string, opts *Options) volatile.Source {
	s := &source{addresses: addresses}
	if opts != nil {
		s.opts = *opts
	}
	return s
}

type source struct {
	addresses []string
	opts      Options
}

// OpenDriver validates the source and opens its driver, without asking any
// member.
func (s *source) OpenDriver(ctx context.Context) (volatile.Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	opts, addresses, err := s.opts.withDefaults(s.addresses)
	if err != nil {
		return nil, fault.Wrap(fault.ErrInvalid, "volatile", "open", err)
	}
	return open(addresses, opts), nil
}

// An address is where a member is.
type address struct{ network, name string }

// Network is "tcp" or "unix".
func (a address) Network() string { return a.network }

// String is "host:port" or a path. Names are resolved at every dial.
func (a address) String() string { return a.name }

// withDefaults returns the options and addresses made whole, or all faults.
func (o Options) withDefaults(names []string) (Options, []address, error) {
	if o.Timeout == 0 {
		o.Timeout = 500 * time.Millisecond
	}
	if o.Conns == 0 {
		o.Conns = 64
	}
	if o.MaxValue == 0 {
		o.MaxValue = DefaultMaxValue
	}
	var faults []error
	if o.Timeout < 10*time.Millisecond || o.Timeout > time.Minute {
		faults = append(faults, fmt.Errorf("a timeout of %v; 10ms to 1m", o.Timeout))
	}
	if o.Conns < 1 || o.Conns > 10_000 {
		faults = append(faults, fmt.Errorf("%d connections; 1 to 10000", o.Conns))
	}
	if o.MaxValue < 64<<10 || o.MaxValue > 1<<30-1024 {
		faults = append(faults, fmt.Errorf("values of %d bytes at most; 64 KiB to 1 GiB", o.MaxValue))
	}
	if o.AllowPlaintext && o.TLS != nil {
		faults = append(faults, errors.New("plaintext contradicts the options for TLS"))
	}
	if len(names) == 0 {
		faults = append(faults, errors.New("no address; name one member at least, such as localhost:11211"))
	}
	var addresses []address
	for _, name := range names {
		a, err := parseAddress(name)
		if err == nil && slices.Contains(addresses, a) {
			err = fmt.Errorf("the address %q is named twice", name)
		}
		if err == nil && a.network == "tcp" && o.TLS == nil && !o.AllowPlaintext && !loopback(a.name) {
			err = fmt.Errorf("plaintext to %s, which is not this machine; use TLS (tls=true), or permit it by name (plaintext=true)", a.name)
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		addresses = append(addresses, a)
	}
	return o, addresses, errors.Join(faults...)
}

// parseAddress reads "host:port", "host" or "/path".
func parseAddress(name string) (address, error) {
	if strings.ContainsFunc(name, unicode.IsControl) {
		return address{}, fmt.Errorf("the address %q, which has a control character", name)
	}
	if strings.HasPrefix(name, "/") {
		return address{"unix", name}, nil
	}
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		host, port = strings.Trim(name, "[]"), "11211"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return address{}, fmt.Errorf("the port of %q; 1 to 65535", name)
	}
	if _, err := netip.ParseAddr(host); err != nil && (host == "" || strings.ContainsAny(host, ":/?#@[]% \t\r\n")) {
		return address{}, fmt.Errorf("the host of %q; a name, an address, or the path of a Unix socket", name)
	}
	return address{"tcp", net.JoinHostPort(host, port)}, nil
}

// loopback reports whether an address can only be this machine.
func loopback(hostPort string) bool {
	host, _, _ := net.SplitHostPort(hostPort)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func init() {
	volatile.Register("memcached", func(ctx context.Context, url string) (volatile.Driver, error) {
		s, err := parse(url)
		if err != nil && s != nil {
			_, _, more := s.opts.withDefaults(s.addresses)
			err = errors.Join(err, more)
		}
		if err != nil {
			return nil, fault.Wrap(fault.ErrInvalid, "volatile", "open", err)
		}
		return s.OpenDriver(ctx)
	})
}

// parse reads memcached://h1:11211,h2:11211?timeout=500ms. Package net/url
// takes one host only.
func parse(raw string) (*source, error) {
	rest, ok := strings.CutPrefix(raw, "memcached://")
	if !ok {
		return nil, errors.New("a memcached URL begins with memcached://")
	}
	hosts, options, err := schemes.Split(rest)
	if err != nil {
		return nil, err
	}
	if strings.Contains(hosts, "@") {
		return nil, errors.New("a memcached URL takes no user or password: memcached has none in its text protocol")
	}
	s := &source{}
	for host := range strings.SplitSeq(hosts, ",") {
		if host != "" {
			s.addresses = append(s.addresses, host)
		}
	}
	var faults []error
	var ca string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if err := s.set(name, options[name], &ca); err != nil {
			faults = append(faults, err)
		}
	}
	if ca != "" {
		faults = append(faults, s.trust(ca))
	}
	return s, errors.Join(faults...)
}

// urlOptions are the options that a URL takes.
var urlOptions = []string{"ca", "conns", "max", "plaintext", "servername", "timeout", "tls"}

// set sets one option of a URL.
func (s *source) set(name, value string, ca *string) (err error) {
	switch name {
	case "timeout":
		if s.opts.Timeout, err = time.ParseDuration(value); err != nil || s.opts.Timeout == 0 {
			err = fmt.Errorf("timeout=%s is no duration such as 500ms", value)
		}
	case "conns":
		if s.opts.Conns, err = strconv.Atoi(value); err != nil || s.opts.Conns == 0 {
			err = fmt.Errorf("conns=%s is no number of connections", value)
		}
	case "max":
		if s.opts.MaxValue, err = strconv.Atoi(value); err != nil || s.opts.MaxValue == 0 {
			err = fmt.Errorf("max=%s is no number of bytes", value)
		}
	case "plaintext":
		if s.opts.AllowPlaintext, err = strconv.ParseBool(value); err != nil {
			err = fmt.Errorf("plaintext=%s is neither true nor false", value)
		}
	case "tls":
		var on bool
		if on, err = strconv.ParseBool(value); err != nil {
			err = fmt.Errorf("tls=%s is neither true nor false", value)
		}
		if on {
			s.tls()
		}
	case "servername":
		s.tls().ServerName = value
	case "ca":
		*ca = value
	default:
		err = fmt.Errorf("unknown option %q; %s", name, suggest(name, urlOptions))
	}
	return err
}

// tls returns the TLS configuration, made when first asked for.
func (s *source) tls() *tls.Config {
	if s.opts.TLS == nil {
		s.opts.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return s.opts.TLS
}

// trust makes the certificates in a file the only roots.
func (s *source) trust(path string) error {
	pem, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("ca=%s holds no certificate", path)
	}
	s.tls().RootCAs = roots
	return nil
}

// suggest names the nearest known option when one is near, else all.
func suggest(name string, known []string) string {
	best := slices.MinFunc(known, func(a, b string) int { return distance(name, a) - distance(name, b) })
	if distance(name, best) <= 2 {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known are " + strings.Join(known, ", ")
}

// distance is how many letters must be inserted, removed or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
