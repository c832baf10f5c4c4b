package volatile

import "github.com/fourfold-dev/fourfold/internal/record"

// volatileFields are what a cache keeps of a type: the fields tagged volatile,
// else all that are not tagged for other purposes only; the key in any case.
func volatileFields(typ *record.Type) []*record.Field {
	tagged := false
	for i := range typ.Fields {
		if opts, ok := typ.Fields[i].Purposes[record.Volatile]; ok && !opts.Omit {
			tagged = true
		}
	}
	var fields []*record.Field
	for i := range typ.Fields {
		f := &typ.Fields[i]
		opts, here := f.Purposes[record.Volatile]
		keep := here && !opts.Omit || !here && !tagged && !elsewhere(f)
		if !keep && f != typ.Key {
			continue
		}
		if opts.Name != "" {
			renamed := *f
			renamed.Name = opts.Name
			f = &renamed
		}
		fields = append(fields, f)
	}
	return fields
}

// elsewhere reports whether a field is tagged for some purpose.
func elsewhere(f *record.Field) bool {
	for _, opts := range f.Purposes {
		if !opts.Omit {
			return true
		}
	}
	return false
}
