package transitory

import "github.com/fourfold-dev/fourfold/internal/record"

// carried are the fields that travel in a job: all but those that their tag
// keeps out of the queue. A handler sees the object, not only what one store
// keeps of it.
func carried(typ *record.Type) []*record.Field {
	var fields []*record.Field
	for i := range typ.Fields {
		f := typ.Fields[i]
		opts := f.Purposes[record.Transitory]
		if opts.Omit {
			continue
		}
		if opts.Name != "" {
			f.Name = opts.Name
		}
		fields = append(fields, &f)
	}
	return fields
}
