package volatile

import (
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A face is a typed use of a Cache (a view, a limiter …) with keys of its own:
// neither the cache's plain entries nor another face's can meet them.
type face struct {
	cache  *Cache
	prefix string
}

// face returns the face of a kind, which is one letter, and a name of 1 to 64
// letters, digits, '_' and '-'. Faces of one kind and name share their
// entries, in whatever process they are.
func (c *Cache) face(kind, name string) (face, error) {
	if err := checkName("the name", name, 64); err != nil {
		return face{}, fault.Wrap(fault.ErrInvalid, purpose, "new", err)
	}
	return face{cache: c, prefix: c.opts.Namespace + "." + kind + "." + name + ":"}, nil
}

// key validates a program's key and puts the face's prefix in front.
func (f face) key(op, key string) (string, error) {
	if err := f.cache.ready(op, key); err != nil {
		return "", err
	}
	return f.prefix + key, nil
}
