package beanstalkd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestParseURL(t *testing.T) {
	for url, want := range map[string][]string{
		"beanstalkd://127.0.0.1":                        {"127.0.0.1:11300"},
		"beanstalkd://127.0.0.1:1,localhost:2":          {"127.0.0.1:1", "localhost:2"},
		"beanstalkd://127.0.0.1,[::1]:2,[::1]":          {"127.0.0.1:11300", "[::1]:2", "[::1]:11300"},
		"beanstalkd:///run/queue.sock":                  {"/run/queue.sock"},
		"beanstalkd:///run/a%20b.sock?producers=3":      {"/run/a b.sock"},
		"beanstalkd://h1,h2?plaintext=true":             {"h1:11300", "h2:11300"},
		"beanstalkd://127.0.0.1:7/?timeout=3s&tls=true": {"127.0.0.1:7"},
	} {
		addrs, opts, err := parseURL(url)
		if err == nil {
			err = opts.withDefaults().validate(addrs)
		}
		if err != nil || !slices.Equal(addrs, want) {
			t.Errorf("%s: %v, %v; want %v", url, addrs, err, want)
		}
	}
	_, opts, err := parseURL("beanstalkd://h?plaintext=false&tls=true&durability=memory&timeout=1s&dial_timeout=2s&producers=3&consumers=4")
	if err != nil || opts.Plaintext || opts.TLS == nil || opts.Durability != fault.Memory || opts.Timeout != time.Second ||
		opts.DialTimeout != 2*time.Second || opts.Producers != 3 || opts.Consumers != 4 {
		t.Errorf("got %+v, %v", opts, err)
	}
}

// Every fault is named, with a way out; nothing of a password is.
func TestFaultyURLs(t *testing.T) {
	for url, wants := range map[string][]string{
		"beanstalkd://":                                   {"no server"},
		"beanstalkd://user:secret@h":                      {"password"},
		"beanstalkd://secret@h?x=1":                       {"password"},
		"beanstalkd://10.0.0.1":                           {"loopback", "plaintext=true"},
		"beanstalkd://localhost.evil.example":             {"plaintext=true"},
		"beanstalkd://127.0.0.1?plaintxt=true":            {"plaintxt", "did you mean plaintext"},
		"beanstalkd://127.0.0.1?nonsense=1":               {"nonsense", "there are", "dial_timeout"},
		"beanstalkd://127.0.0.1?producers=0&timeout=soon": {"producers", "timeout"},
		"beanstalkd://127.0.0.1?plaintext=yes":            {"true or false"},
		"beanstalkd://127.0.0.1?durability=forever":       {"memory, written or fsynced"},
		"beanstalkd://127.0.0.1?tls=maybe":                {"true"},
		"beanstalkd://127.0.0.1:1,127.0.0.1:1":            {"twice"},
		"beanstalkd://127.0.0.1:99999":                    {"port"},
		"beanstalkd://127.0.0.1:1,":                       {"server 2"},
		"beanstalkd:relative":                             {"write beanstalkd://"},
		"beanstalkd://127.0.0.1?%zz":                      {"options"},
		"beanstalkd://127.0.0.1?tls=true;producers=2":     {"options"},
		"beanstalkd://127.0.0.1?tls=true&plaintext=true":  {"plaintext contradicts"},
		"beanstalkd://127.0.0.1?producers=1&producers=2":  {"producers", "more than once"},
		"beanstalkd:///sock\nx":                           {"control"},
		"beanstalkd://127.0.0.1#x?plaintext=true":         {"%23"},
	} {
		addrs, opts, err := parseURL(url)
		if err == nil {
			err = opts.withDefaults().validate(addrs)
		}
		if fault.ClassOf(err) != fault.ErrInvalid {
			t.Errorf("%s: %v", url, err)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", url, err, want)
			}
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q tells the password", url, err)
		}
	}
}

// Whatever the URL, parsing ends with addresses or with ErrInvalid.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"beanstalkd://h1:1,h2?plaintext=true", "beanstalkd:///a/b.sock", "beanstalkd://[::1]", "beanstalkd://,", "beanstalkd://u:p@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		addrs, opts, err := parseURL(url)
		if err == nil {
			err = opts.withDefaults().validate(addrs)
		}
		if err != nil && fault.ClassOf(err) != fault.ErrInvalid {
			t.Errorf("%q: %v", url, err)
		}
		if err == nil && len(addrs) == 0 {
			t.Errorf("%q names no server, and is no error", url)
		}
	})
}
