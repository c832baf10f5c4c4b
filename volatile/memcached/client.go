package memcached

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// FromClient returns a source over the members at the addresses, reached the
// way that a client of the caller's reaches them. The client does not tell its
// servers, so they are named again, as for [New]. What is taken from the client
// is what it exports, as it is when the source is opened:
//
//   - DialContext makes every connection, to an address as it is named here. It
//     must end with its context, as a net.Dialer does.
//   - Timeout and MaxIdleConns, where they are set, are the defaults of
//     Options.Timeout and Options.Conns.
//
// The client's own connections are not used, nor its way of choosing a server.
// Each connection of the driver must have read the member's generation before
// anything is asked over it, and end with its epoch, or an old entry could be
// served after an outage; a connection of the client's pool is one of any age,
// which the caller may be using, and it does not say which. So the client is
// neither changed nor closed, its limits hold for the driver's connections
// beside its own, and keys of the driver do not meet those of the client.
//
// TLS is then the business of DialContext: Options.TLS beside it is refused,
// and so is a connection to another machine that does not show a TLS state, as
// a tls.Conn does, unless Options.AllowPlaintext is set. A connection that is
// neither a net.Conn of package net nor offers NetConn, as a tls.Conn does,
// hides when the server has closed it: the next operation over it fails.
func FromClient(client *memcache.Client, addresses []string, opts *Options) volatile.Source {
	return volatile.SourceFunc(func(ctx context.Context) (volatile.Driver, error) {
		if client == nil {
			return nil, fault.New(fault.ErrInvalid, "volatile", "open", "there is no *memcache.Client")
		}
		own := opts.of(client)
		if client.DialContext == nil {
			return New(addresses, &own).OpenDriver(ctx)
		}
		if own.TLS != nil {
			return nil, fault.New(fault.ErrInvalid, "volatile", "open", "TLS in the options beside the client's DialContext, which dials: let it return TLS connections")
		}
		h := handed{client.DialContext, own.AllowPlaintext}
		own.AllowPlaintext = true // what is plaintext is seen when it was dialled
		d, err := New(addresses, &own).OpenDriver(ctx)
		if err != nil {
			return nil, err
		}
		for _, m := range d.(*driver).members {
			m.dialer = h.dial
		}
		return d, nil
	})
}

// of takes from a client what is not set.
func (o *Options) of(client *memcache.Client) Options {
	var own Options
	if o != nil {
		own = *o
	}
	if own.Timeout == 0 {
		own.Timeout = client.Timeout
	}
	if own.Conns == 0 {
		own.Conns = max(client.MaxIdleConns, 0) // the client takes less than one for its default
	}
	return own
}

// handed is how a caller's client dials.
type handed struct {
	to        func(ctx context.Context, network, address string) (net.Conn, error)
	plaintext bool // is permitted
}

// dial dials, and refuses plaintext to another machine.
func (h handed) dial(ctx context.Context, network, name string) (net.Conn, error) {
	nc, err := h.to(ctx, network, name)
	if err != nil {
		return nil, err
	}
	if nc == nil {
		return nil, errors.New("the client's DialContext returned neither a connection nor an error")
	}
	_, secure := nc.(interface{ ConnectionState() tls.ConnectionState })
	if !secure && !h.plaintext && network != "unix" && !loopback(name) {
		nc.Close()
		return nil, fmt.Errorf("plaintext to %s, which is not this machine: the client's DialContext returned a %T; let it return TLS connections, or permit plaintext by name (AllowPlaintext)", name, nc)
	}
	return nc, nil
}

// below returns the connection that another one is made over.
func below(nc net.Conn) net.Conn {
	for {
		over, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = over.NetConn()
	}
}
