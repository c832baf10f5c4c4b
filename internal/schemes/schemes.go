// Package schemes finds the driver of a URL by its scheme, in the same way, and
// with the same words, for each of the four purposes.
package schemes

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

const module = "github.com/fourfold-dev/fourfold/"

// A Registry knows what opens the URLs of one purpose. It is safe for concurrent
// use.
type Registry[D any] struct {
	purpose string
	ours    []string // schemes of this module, each named after its package

	mu   sync.Mutex
	open map[string]func(ctx context.Context, url string) (D, error)
}

// New returns a registry that knows how this module's own drivers are imported.
func New[D any](purpose string, ours ...string) *Registry[D] {
	return &Registry[D]{purpose: purpose, ours: ours, open: map[string]func(context.Context, string) (D, error){}}
}

// Register makes a driver known. It panics when the scheme is taken or empty, or
// when open is nil.
func (r *Registry[D]) Register(scheme string, open func(ctx context.Context, url string) (D, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if scheme == "" || open == nil {
		panic(r.purpose + ": Register needs a scheme and a function")
	}
	if _, taken := r.open[scheme]; taken {
		panic(fmt.Sprintf("%s: Register called twice for scheme %q", r.purpose, scheme))
	}
	r.open[scheme] = open
}

// Open opens what a URL names. A scheme that nobody registered is
// fault.ErrInvalid, with the import that mends it. No error of its own says more
// of the URL than its scheme: what follows may hold a password.
func (r *Registry[D]) Open(ctx context.Context, url string) (driver D, err error) {
	scheme, rest, _ := strings.Cut(url, ":")
	r.mu.Lock()
	open := r.open[scheme]
	r.mu.Unlock()
	switch {
	case open != nil:
		return open(ctx, url)
	case slices.Contains(r.ours, scheme):
		return driver, r.fault(fmt.Sprintf("no driver is registered for %s; import _ %q", scheme, module+r.purpose+"/"+scheme))
	case !valid(scheme) || !strings.HasPrefix(rest, "//"): // it may be user:password@host
		return driver, r.fault("the URL has no scheme; known are " + r.known())
	}
	return driver, r.fault(fmt.Sprintf("no driver is registered for %s; known are %s", scheme, r.known()))
}

func (r *Registry[D]) fault(message string) error {
	return fault.New(fault.ErrInvalid, r.purpose, "open", message)
}

// known lists the schemes that are registered, or would be by an import.
func (r *Registry[D]) known() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.ours)
	for scheme := range r.open {
		if !slices.Contains(all, scheme) {
			all = append(all, scheme)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// valid says whether a text looks like a scheme, so that no part of a malformed
// URL stands in an error.
func valid(scheme string) bool {
	for i, c := range []byte(scheme) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || strings.IndexByte("+-.", c) >= 0)) {
			return false
		}
	}
	return scheme != ""
}

// Split divides a URL into what stands before its options, and the options, each
// of them given once. What package net/url drops without a word is an error, which
// quotes no value: a pair that is malformed may be the one that asks for TLS.
func Split(text string) (before string, options map[string]string, err error) {
	before, query, _ := strings.Cut(text, "?")
	if strings.Contains(text, "#") {
		return "", nil, errors.New("a URL with a # would end there; write %23")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", nil, errors.New("the options of the URL cannot be read; they have the form name=value&name=value, with %-escapes for other letters")
	}
	options = map[string]string{}
	for name, given := range values {
		if len(given) > 1 {
			return "", nil, fmt.Errorf("option %q is given more than once", name)
		}
		options[name] = given[0]
	}
	return before, options, nil
}

// Directory reads the URL of a store in a directory, embedded:///absolute/dir or
// embedded:relative/dir, with %-escapes and relaxed=true as the only option: one
// URL is one directory for every purpose that lies in one. An error quotes nothing
// but names of options.
func Directory(text string) (dir string, relaxed bool, err error) {
	before, options, err := Split(text)
	if err != nil {
		return "", false, err
	}
	_, dir, _ = strings.Cut(before, ":")
	if rest, slashes := strings.CutPrefix(dir, "//"); slashes {
		if rest != "" && rest[0] != '/' {
			return "", false, errors.New("an embedded URL names no host; write embedded:///absolute/directory or embedded:relative/directory")
		}
		dir = rest
	}
	if dir, err = url.PathUnescape(dir); err != nil {
		return "", false, errors.New("the directory of the URL cannot be read; write a % as %25")
	}
	if dir == "" {
		return "", false, errors.New("the URL names no directory; write embedded:///absolute/directory or embedded:relative/directory")
	}
	for name, value := range options {
		switch {
		case name != "relaxed":
			return "", false, fmt.Errorf("unknown option %q; the only one is relaxed=true", name)
		case value != "true" && value != "false":
			return "", false, errors.New("option relaxed is true or false")
		}
		relaxed = value == "true"
	}
	return dir, relaxed, nil
}
