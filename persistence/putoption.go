package persistence

// A PutOption is an option of Put, Create and Delete: Token, IfVersion or
// AtVersion.
type PutOption interface{ apply(*putOptions) }

type putOptions struct {
	token     string
	ifVersion int64
	hasIf     bool
	atVersion int64
	create    bool
	delete    bool
	key       string // of a delete
	patches   bool
	patch     []string // the fields of a patch
}

// op is what the caller called, for errors.
func (p *putOptions) op() string {
	switch {
	case p.create:
		return "create"
	case p.delete:
		return "delete"
	case p.patches:
		return "patch"
	}
	return "put"
}

type optionFunc func(*putOptions)

func (f optionFunc) apply(p *putOptions) { f(p) }

// Token names the Put: in transactional custody the same token of one kind is
// accepted once within Options.Remember, and then returns the receipt of the
// first time; with other content it is fault.ErrConflict. In transitory
// custody it fixes the task ids only, and a repeat is a new version. 1 to 128
// bytes.
func Token(id string) PutOption { return optionFunc(func(p *putOptions) { p.token = id }) }

// IfVersion makes the Put conditional: the stored version must be v (zero: the
// object is not there), else fault.ErrConflict. The kind's record must be
// transactional.
func IfVersion(v int64) PutOption {
	return optionFunc(func(p *putOptions) { p.ifVersion, p.hasIf = v, true })
}

// AtVersion gives a Delete its version, where the kind has a version field.
func AtVersion(v int64) PutOption {
	return optionFunc(func(p *putOptions) { p.atVersion = v })
}

func putOf(opts []PutOption) putOptions {
	if len(opts) == 0 {
		return putOptions{} // what an option gets to see is on the heap
	}
	var p putOptions
	for _, o := range opts {
		o.apply(&p)
	}
	return p
}
