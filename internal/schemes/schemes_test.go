package schemes

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func open(_ context.Context, url string) (string, error) { return "opened " + url, nil }

func TestADriverIsFoundByItsScheme(t *testing.T) {
	r := New[string]("volatile", "embedded", "memcached")
	r.Register("other", open)
	if got, err := r.Open(t.Context(), "other://x"); err != nil || got != "opened other://x" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheErrorSaysTheWayOutAndNoPassword(t *testing.T) {
	r := New[string]("volatile", "embedded", "memcached")
	r.Register("other", open)
	for url, want := range map[string]string{
		"memcached://u:secret@h": `no driver is registered for memcached; import _ "github.com/fourfold-dev/fourfold/volatile/memcached"`,
		"memcache://u:secret@h":  "no driver is registered for memcache; known are embedded, memcached, other",
		"secret:pw@h":            "the URL has no scheme",
		"se cret://h":            "the URL has no scheme",
		"se cret@h:11":           "the URL has no scheme",
		"//secret:1":             "the URL has no scheme",
		"secret":                 "the URL has no scheme; known are embedded, memcached, other",
		":secret":                "the URL has no scheme",
		"":                       "the URL has no scheme",
	} {
		_, err := r.Open(t.Context(), url)
		if !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "cret") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
}

func TestASchemeIsTakenOnce(t *testing.T) {
	for name, register := range map[string]func(r *Registry[string]){
		"twice":       func(r *Registry[string]) { r.Register("other", open); r.Register("other", open) },
		"no scheme":   func(r *Registry[string]) { r.Register("", open) },
		"no function": func(r *Registry[string]) { r.Register("other", nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			register(New[string]("volatile"))
		}()
	}
}

func TestWhatIsDroppedElsewhereIsAnError(t *testing.T) {
	before, options, err := Split("other://u:p%23@h1,h2/x?tls=true&ca=%2Fa%20b&empty")
	if err != nil || before != "other://u:p%23@h1,h2/x" || len(options) != 3 || options["tls"] != "true" || options["ca"] != "/a b" {
		t.Errorf("%q, %q, %v", before, options, err)
	}
	for url, want := range map[string]string{
		"other://h?tls=true;ca=secret":    "cannot be read",
		"other://h?tls=true&ca=%zzsecret": "cannot be read",
		"other://h?tls=true#secret":       "%23",
		"other://h#secret?tls=true":       "%23",
		"other://h?ca=secret&ca=secret":   `"ca" is given more than once`,
	} {
		if _, _, err := Split(url); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
}

// One URL is one directory, with the same options, for every purpose.
func TestDirectory(t *testing.T) {
	for text, want := range map[string]string{
		"embedded:///var/lib/shop": "/var/lib/shop", "embedded:/var/lib/shop": "/var/lib/shop", "embedded:data": "data", "embedded:a/b?relaxed=false": "a/b",
		"embedded:a%20b": "a b", "embedded:///a b": "/a b", "embedded:50%25+": "50%+", "embedded:a%3Fb": "a?b", "embedded:data?relaxed=true": "data relaxed",
	} {
		dir, relaxed, err := Directory(text)
		if relaxed {
			dir += " relaxed"
		}
		if dir != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", text, dir, err, want)
		}
	}
	for text, want := range map[string]string{
		"embedded:": "names no directory", "embedded://": "names no directory", "embedded:?relaxed=true": "names no directory",
		"embedded://secret/dir": "names no host", "embedded://u:secret@/dir": "names no host", "embedded:%secret": "write a % as %25",
		"embedded:d?relaxed=true&relaxed=false": `option "relaxed" is given more than once`, "embedded:d?relaxed=secret": "true or false",
		"embedded:d?relaxt=true": `unknown option "relaxt"`, "embedded:d#relaxed=true": "write %23", "embedded:d?relaxed=%zz": "cannot be read",
	} {
		dir, _, err := Directory(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q, %v; want %q", text, dir, err, want)
		}
	}
}
