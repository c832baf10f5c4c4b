package persistence

import (
	"strings"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
)

// checkDerive refuses a Derive that does not go together with the other words.
func (c *compiler) checkDerive(w *wording, actions []string) {
	d := w.derive
	if d == nil {
		return
	}
	if d.missing {
		c.taskFault(w, "Derive has no function: give one to persistence.Rows")
	}
	if len(actions) > 0 {
		c.taskFault(w, "it has Derive and %s: one task does one thing, so make %d tasks of it", strings.Join(actions, " and "), len(actions)+1)
		return
	}
	if w.purpose != Amorphous && w.purpose != 0 {
		c.taskFault(w, "Derive writes rows of the amorphous store, and its Purpose is %s: use the Purpose Amorphous, or leave out Derive", w.purpose)
	}
	if w.expiresBy != "" {
		c.taskFault(w, "Expires names a field that ends one row, and the rows of a Derive end together: use TTL")
	}
	if w.when != nil {
		c.taskFault(w, "When would leave behind the rows of an older version for which it was true: leave out When, and let Derive yield nothing instead")
	}
}

// layoutDerived resolves where the rows of a Derive lie. The words name fields
// of the rows' type.
func (c *compiler) layoutDerived(w *wording) {
	d := w.derive
	w.cell = amorphous.Table{Name: physical(c.kind.table, w.name)}
	d.layout = amorphous.Layout{PartitionBy: w.partitionBy, Newest: w.newestBy, Bucket: w.bucket, TTL: w.ttl, Fields: w.fields}
	typ, errs := record.Compile(d.rowType)
	for _, err := range errs {
		c.taskFault(w, "Derive yields %s: %s", typeName(d.rowType), err)
	}
	if d.typ = typ; typ == nil || len(errs) > 0 {
		return
	}
	if isDocument(typ) {
		c.taskFault(w, "Derive yields a Document, which has no fields to lay out by: declare a struct for the rows")
		return
	}
	for i := range typ.Fields {
		f := &typ.Fields[i]
		if ttl := f.Purposes[record.Amorphous].TTL; ttl != 0 && w.ttl != ttl {
			c.taskFault(w, "%s of %s has ttl=%v, and a row has one life: give TTL to the task, and remove it from the tag", f.Go, typeName(d.rowType), ttl)
		}
	}
	for _, name := range w.fields {
		c.lookup(w, typ, "Fields", name)
	}
	if w.partitionBy != "" {
		c.field(w, typ, "PartitionBy", w.partitionBy, "name a partition", text)
	}
	if w.newestBy != "" {
		c.checkBucket(w, c.field(w, typ, "Newest", w.newestBy, "order rows", order))
	}
}
