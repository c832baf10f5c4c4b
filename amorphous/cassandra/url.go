package cassandra

import (
	"context"
	"crypto/tls"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func init() {
	amorphous.Register("cassandra", func(ctx context.Context, text string) (amorphous.Driver, error) {
		opts, err := parseURL(text)
		if err != nil {
			return nil, err
		}
		return Open(opts).OpenDriver(ctx)
	})
}

const form = "the URL has the form cassandra://[user:password@]host[:port][,host…]/keyspace[?parameters]"

// parseURL reads a URL by hand, since net/url takes no list of hosts. Its
// errors quote nothing of what it was given: there may be a password in it.
func parseURL(text string) (Options, error) {
	var opts Options
	rest, ok := strings.CutPrefix(text, "cassandra://")
	rest, query, _ := strings.Cut(rest, "?")
	authority, keyspace, found := strings.Cut(rest, "/")
	if !ok || !found || keyspace == "" || authority == "" {
		return opts, badURL(form)
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		var err1, err2 error
		opts.Username, err1 = url.PathUnescape(user)
		opts.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return opts, badURL("user or password is not encoded as a URL asks")
		}
		authority = authority[at+1:]
	}
	opts.Hosts, opts.Keyspace = strings.Split(authority, ","), keyspace
	values, err := url.ParseQuery(query)
	if err != nil {
		return opts, badURL("the parameters cannot be read")
	}
	for name := range values {
		if err := opts.set(name, values.Get(name)); err != nil {
			return opts, err
		}
	}
	return opts, nil
}

// set applies one parameter of a URL.
func (o *Options) set(name, value string) error {
	var err error
	switch name {
	case "consistency":
		o.WriteConsistency, o.ReadConsistency = value, value
	case "write", "write_consistency":
		o.WriteConsistency = value
	case "read", "read_consistency":
		o.ReadConsistency = value
	case "dc":
		o.LocalDC = value
	case "timeout":
		o.Timeout, err = time.ParseDuration(value)
	case "connect_timeout":
		o.ConnectTimeout, err = time.ParseDuration(value)
	case "coalesce":
		o.Coalesce, err = time.ParseDuration(value)
	case "conns":
		o.Conns, err = strconv.Atoi(value)
	case "in_flight":
		o.InFlight, err = strconv.Atoi(value)
	case "tls":
		var on bool
		if on, err = strconv.ParseBool(value); on {
			o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	default:
		return badURL("the parameters are consistency, read, write, dc, timeout, connect_timeout, coalesce, conns, in_flight and tls")
	}
	if err != nil || o.Timeout < 0 || o.ConnectTimeout < 0 || o.Coalesce < 0 || o.Conns < 0 || o.InFlight < 0 {
		return badURL("the parameter " + name + " has no meaning with that value")
	}
	return nil
}

func badURL(message string) error { return fault.New(fault.ErrInvalid, "", "", message) }
