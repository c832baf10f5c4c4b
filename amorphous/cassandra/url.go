package cassandra

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/internal/secure"
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
	rest, options, err := schemes.Split(rest)
	if err != nil {
		return opts, badURL(err.Error())
	}
	authority, keyspace, found := strings.Cut(rest, "/")
	if !ok || !found || keyspace == "" || authority == "" {
		return opts, badURL(form)
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, escaped, set := strings.Cut(authority[:at], ":")
		var err1, err2 error
		opts.Username, err1 = url.PathUnescape(user)
		password, err2 := url.PathUnescape(escaped)
		if err1 != nil || err2 != nil {
			return opts, badURL("user or password is not encoded as a URL asks")
		}
		if set {
			opts.Password = func(context.Context) (string, error) { return password, nil }
		}
		authority = authority[at+1:]
	}
	opts.Hosts, opts.Keyspace = strings.Split(authority, ","), keyspace
	for _, name := range slices.Sorted(maps.Keys(options)) { // what read and write say counts more than consistency
		if err := opts.set(name, options[name]); err != nil {
			return opts, err
		}
	}
	if opts.Password != nil && opts.Username == "" {
		return opts, badURL("there is a password, and no user")
	}
	return opts, nil
}

var optionNames = []string{
	"consistency", "write", "read", "dc", "timeout", "connect_timeout", "coalesce", "conns", "in_flight", "hedge",
	"password-env", "password-file", "tls", "ca", "servername", "plaintext",
}

// set applies one parameter of a URL.
func (o *Options) set(name, value string) error {
	var err error
	switch name {
	case "consistency":
		o.WriteConsistency, o.ReadConsistency = value, value
	case "write":
		o.WriteConsistency = value
	case "read":
		o.ReadConsistency = value
	case "dc":
		o.LocalDC = value
	case "timeout":
		o.Timeout, err = time.ParseDuration(value)
	case "connect_timeout":
		o.ConnectTimeout, err = time.ParseDuration(value)
	case "coalesce":
		o.Coalesce, err = time.ParseDuration(value)
	case "hedge":
		if o.Hedge, err = time.ParseDuration(value); o.Hedge == 0 {
			o.Hedge = -1
		}
	case "conns":
		o.Conns, err = strconv.Atoi(value)
	case "in_flight":
		o.InFlight, err = strconv.Atoi(value)
	case "password-env":
		o.Password = from(secure.PasswordFromEnv, value)
	case "password-file":
		o.Password = from(secure.PasswordFromFile, value)
	case "tls":
		var on bool
		if on, err = strconv.ParseBool(value); on {
			o.TLS, err = secure.Config(o.TLS, "")
		}
	case "ca":
		if o.TLS, err = secure.Config(o.TLS, value); err != nil {
			return fault.Wrap(fault.ErrInvalid, "", "", err)
		}
	case "servername":
		if o.TLS, err = secure.Config(o.TLS, ""); err == nil {
			o.TLS.ServerName = value
		}
	case "plaintext":
		o.Plaintext, err = strconv.ParseBool(value)
	default:
		if near := record.Nearest(name, optionNames...); near != "" {
			return badURL(fmt.Sprintf("unknown parameter; did you mean %s?", near))
		}
		return badURL("unknown parameter; there are " + strings.Join(optionNames, ", "))
	}
	if err != nil || o.Timeout < 0 || o.ConnectTimeout < 0 || o.Coalesce < 0 || o.Conns < 0 || o.InFlight < 0 {
		return badURL("the parameter " + name + " has no meaning with that value")
	}
	return nil
}

// from is a password that is read at each connection.
func from(read func(where string) (string, error), where string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return read(where) }
}

func badURL(message string) error { return fault.New(fault.ErrInvalid, "", "", message) }
