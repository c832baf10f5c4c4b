package mysql

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/internal/secure"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

const purpose = "transactional"

// Defaults of Options.
const (
	DefaultMaxConns = 12
	DefaultMaxRow   = 14 << 20
	DefaultTimeout  = 5 * time.Second
	DefaultLockWait = 2 * time.Second
	DefaultTxIdle   = 10 * time.Second
)

// Options of a server; zero values are the defaults.
type Options struct {
	// Password is asked for the password at each new connection, so that it
	// can change. Nil: the URL says where it is, or there is none.
	Password func(ctx context.Context) (string, error)
	// TLS is how the server's certificate is verified. Nil: by the system's
	// certificates and the URL's host name, on another machine.
	TLS *tls.Config
	// Plaintext allows a server on another machine without TLS.
	Plaintext bool
	// Durability is what a COMMIT must survive: fault.Fsynced, which is the
	// default, needs innodb_flush_log_at_trx_commit = 1, fault.Written 1 or 2,
	// fault.Memory takes any. A server that gives less is refused.
	Durability fault.Durability
	// MaxConns bounds the connections. Five of them are not for transactions of
	// the program's own (Store.Tx), of which there is always one. Default
	// DefaultMaxConns.
	MaxConns int
	// MaxRow bounds a row, in bytes; it lies a tenth under the server's
	// max_allowed_packet. Default DefaultMaxRow.
	MaxRow int
	// Timeout bounds the dialling of a connection. Default DefaultTimeout.
	Timeout time.Duration
	// LockWait is how long a statement waits for a row lock before its
	// transaction is run again, in whole seconds. Default DefaultLockWait.
	LockWait time.Duration
	// TxIdle is how long the server keeps a transaction that says nothing, in
	// whole seconds: a process that is stopped, or cut off, holds its row locks
	// no longer. MariaDB has a variable for it (idle_transaction_timeout); MySQL
	// has none, and closes a connection that says nothing for a minute, and
	// longer than TxIdle (wait_timeout). It is longer than any pause within a
	// transaction. Default DefaultTxIdle.
	TxIdle time.Duration
	// Logger gets what the client library has to say. Nil: that of the layer, or of
	// the transactional.Options, with which it is opened, else nobody.
	Logger *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	setDefault(&opts.Durability, fault.Fsynced)
	setDefault(&opts.MaxConns, DefaultMaxConns)
	setDefault(&opts.MaxRow, DefaultMaxRow)
	setDefault(&opts.Timeout, DefaultTimeout)
	setDefault(&opts.LockWait, DefaultLockWait)
	setDefault(&opts.TxIdle, DefaultTxIdle)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	var faults []string
	if opts.MaxConns < 2 {
		faults = append(faults, "MaxConns is 2 at least")
	}
	if opts.MaxRow < 0 || opts.Timeout < 0 {
		faults = append(faults, "MaxRow and Timeout are not negative")
	}
	if opts.LockWait < time.Second || opts.TxIdle < time.Second {
		faults = append(faults, "LockWait and TxIdle are a second at least")
	}
	switch opts.Durability {
	case fault.Fsynced, fault.Written, fault.Memory:
	default:
		faults = append(faults, "Durability is fsynced, written or memory")
	}
	if faults != nil {
		return opts, invalid(strings.Join(faults, "; "))
	}
	return opts, nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

func invalid(message string) error { return fault.New(fault.ErrInvalid, purpose, "open", message) }

// parseURL reads a URL into the client library's Config. No error repeats a
// part of the URL, which may hold a password.
func parseURL(text string, opts *Options) (*mysql.Config, error) {
	text, options, err := schemes.Split(text)
	if err != nil {
		return nil, invalid(err.Error())
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return nil, invalid("the URL cannot be read; it has the form mysql://user@host:3306/database?option=value, with %-escapes for other letters")
	}
	if strings.Contains(u.Host, ",") {
		return nil, invalid("the URL names several hosts, and one is possible: the address of what stands before them")
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr = "tcp", address(u)
	cfg.DBName = strings.TrimPrefix(u.Path, "/")
	if cfg.DBName == "" || strings.Contains(cfg.DBName, "/") {
		return nil, invalid("the URL names no database; it has the form mysql://USER@HOST:3306/DATABASE")
	}
	if u.User != nil {
		cfg.User = u.User.Username()
		if password, set := u.User.Password(); set && opts.Password == nil {
			opts.Password = func(context.Context) (string, error) { return password, nil }
		}
	}
	ca := ""
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if err := option(cfg, opts, &ca, name, options[name]); err != nil {
			return nil, err
		}
	}
	if err := decideTLS(cfg, opts, u.Hostname(), ca); err != nil {
		return nil, err
	}
	return cfg, nil
}

var optionNames = []string{"password-env", "password-file", "socket", "tls", "ca", "plaintext", "durability", "conns"}

// from is a password that is read at each connection.
func from(read func(where string) (string, error), where string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		password, err := read(where)
		return password, fault.Wrap(fault.ErrMisconfigured, purpose, "connect", err)
	}
}

// option reads one option of the URL's query.
func option(cfg *mysql.Config, opts *Options, ca *string, name, value string) error {
	switch name {
	case "password-env":
		opts.Password = from(secure.PasswordFromEnv, value)
	case "password-file":
		opts.Password = from(secure.PasswordFromFile, value)
	case "socket":
		cfg.Net, cfg.Addr = "unix", value
	case "ca":
		*ca = value
	case "durability":
		opts.Durability = fault.Durability(value)
	case "conns":
		n, err := strconv.Atoi(value)
		if err != nil {
			return invalid("option conns is a number")
		}
		opts.MaxConns = n
	case "tls", "plaintext":
		on, err := strconv.ParseBool(value)
		if err != nil {
			return invalid("option " + name + " is true or false")
		}
		if name == "plaintext" {
			opts.Plaintext = on
		} else if on && opts.TLS == nil {
			opts.TLS = &tls.Config{}
		}
	default:
		if near := record.Nearest(name, optionNames...); near != "" {
			return invalid(fmt.Sprintf("unknown option %q; did you mean %s?", name, near))
		}
		return invalid(fmt.Sprintf("unknown option %q; there are %s", name, strings.Join(optionNames, ", ")))
	}
	return nil
}

func address(u *url.URL) string {
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "3306"
	}
	return net.JoinHostPort(host, port)
}

// decideTLS decides about TLS: verified unless the server is on this machine, or
// plaintext was asked for by name.
func decideTLS(cfg *mysql.Config, opts *Options, host, ca string) error {
	here := cfg.Net == "unix" || secure.Local(host)
	switch {
	case opts.Plaintext && (opts.TLS != nil || ca != ""):
		return invalid("plaintext contradicts the options for TLS")
	case opts.Plaintext, here && opts.TLS == nil && ca == "":
		return nil
	}
	config, err := secure.Config(opts.TLS, ca)
	if err != nil {
		return fault.Wrap(fault.ErrInvalid, purpose, "open", err)
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	cfg.TLS = config
	return nil
}

// connectorOf finishes a Config.
func connectorOf(cfg *mysql.Config, opts Options) (driver.Connector, error) {
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = opts.Timeout, 30*time.Second, 30*time.Second
	cfg.MaxAllowedPacket = 0 // ask the server
	cfg.Logger = logger{opts.Logger}
	err := cfg.Apply(mysql.BeforeConnect(func(ctx context.Context, cfg *mysql.Config) error {
		if opts.Password == nil {
			return nil
		}
		password, err := opts.Password(ctx)
		cfg.Passwd = password
		return err
	}))
	if err == nil {
		var inner driver.Connector
		if inner, err = mysql.NewConnector(cfg); err == nil {
			return &connector{inner: inner, opts: opts}, nil
		}
	}
	// The library's message may repeat what it was given.
	return nil, fault.Wrap(fault.ErrInvalid, purpose, "open", errors.New("the client library refuses the URL's values"))
}

// A logger gives the client library's lines to slog.
type logger struct{ to *slog.Logger }

// Print implements mysql.Logger.
func (l logger) Print(v ...any) {
	l.to.Warn("mysql client", "message", fmt.Sprint(v...))
}
