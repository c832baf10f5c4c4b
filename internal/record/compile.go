package record

import (
	"reflect"
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A declarationFault is one sentence about a type: where, what is wrong, and a
// way out. It is fault.ErrInvalid.
type declarationFault struct{ where, text string }

func (f *declarationFault) Error() string { return f.where + ": " + f.text }
func (f *declarationFault) Unwrap() error { return fault.ErrInvalid }

// leaveOut is the way out that is always there.
const leaveOut = `leave it out with persistence:"-"`

// Compile compiles a struct type (or Document, whose Type has no Fields, a Rest
// that is the whole map, and a Set with a constant Shape), or returns all of
// its faults at once, each a sentence with the type, the field and a way out.
func Compile(t reflect.Type) (*Type, []error) {
	if t == documentType {
		return compileDocument(), nil
	}
	name := typeName(t)
	if t.Kind() != reflect.Struct || t == timeType {
		return nil, []error{&declarationFault{name, "only a struct or a Document can be declared; " + declarable(t)}}
	}
	b := &builder{codecs: make(map[reflect.Type]codec)}
	typ := &Type{Go: t, name: name}
	parts := b.parts(name, t)
	typ.Fields = b.fields(name, parts)
	b.assign(typ, parts)
	if len(b.faults) > 0 {
		return nil, b.faults
	}
	typ.declared = declaredNames(typ.Fields)
	typ.all = typ.Set(pointers(typ.Fields))
	return typ, nil
}

// compileDocument returns the Type of Document.
func compileDocument() *Type {
	t := &Type{Go: documentType, name: "Document", declared: map[string]struct{}{}}
	t.Rest = &Field{Go: "Document", Name: "document", Type: documentType, Column: ColumnJSON, codec: documentCodec{}, rest: true}
	t.Rest.Purposes = map[string]Options{}
	t.all = t.Set(nil)
	return t
}

// declarable says what to declare instead of a type that is no struct.
func declarable(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		return "declare " + typeName(t.Elem()) + ", without the pointer"
	case t.Kind() == reflect.Map && t.Key() == stringType:
		return "declare Document (map[string]any) itself"
	}
	return "put " + typeName(t) + " into a field of a struct that has a key"
}

// A builder compiles the codecs of one declared type and collects its faults.
type builder struct {
	faults []error
	codecs map[reflect.Type]codec // also those under way, so that a type may contain itself
}

// fault records a fault and returns nil, a codec that nobody will call.
func (b *builder) fault(where, text string) codec {
	b.faults = append(b.faults, &declarationFault{where, text})
	return nil
}

// A part is one kept field, before it has a codec.
type part struct {
	goName string // from the root of flattening, "A.B"
	where  string // for messages: "Type.A.B"
	field  reflect.StructField
	index  []int
	tags   fieldTags
}

// fields compiles the fields of the declared struct.
func (b *builder) fields(name string, parts []part) (fields []Field) {
	for _, p := range parts {
		f := Field{Go: p.goName, Name: p.tags.name, Type: p.field.Type, Index: p.index, Purposes: p.tags.purposes}
		if f.Name == "" {
			f.Name = b.defaultName(p)
		}
		if f.Purposes == nil {
			f.Purposes = map[string]Options{}
		}
		if f.rest = p.tags.rest(); f.rest {
			f.codec, f.Column = b.rest(p), ColumnJSON
		} else if f.codec = b.codec(p.where, p.field.Type); f.codec != nil {
			f.Column, f.text = columnOf(p.field.Type)
			b.checkOptions(p, f)
		}
		b.checkMarkers(p)
		fields = append(fields, f)
	}
	b.checkNames(name, fields)
	return fields
}

// parts lists the kept fields of a struct, those of embedded structs in place.
func (b *builder) parts(where string, t reflect.Type) []part {
	return b.collect(nil, where, "", nil, t)
}

func (b *builder) collect(out []part, where, prefix string, index []int, t reflect.Type) []part {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		p := part{goName: prefix + f.Name, where: where + "." + f.Name, field: f}
		p.index = append(append(p.index, index...), i)
		var faults []string
		p.tags, faults = parseTags(f.Tag)
		for _, text := range faults {
			b.fault(p.where, text)
		}
		switch {
		case p.tags.omit:
		case f.Anonymous && f.Type.Kind() == reflect.Struct && !special(f.Type) && p.tags.name == "":
			b.checkEmbedded(p)
			out = b.collect(out, p.where, p.goName+".", p.index, f.Type)
		case !f.IsExported():
			b.fault(p.where, "the field is not exported, so it would be lost; export it, or "+leaveOut)
		case f.Anonymous && f.Type.Kind() == reflect.Pointer && p.tags.name == "":
			b.fault(p.where, "an embedded pointer would not tell nil from empty; embed "+typeName(f.Type.Elem())+
				" itself, or give the field a name")
		default:
			out = append(out, p)
		}
	}
	return out
}

// checkEmbedded refuses tags that say nothing about an embedded struct, whose
// fields have tags of their own.
func (b *builder) checkEmbedded(p part) {
	if len(p.tags.purposes) > 0 || p.tags.key || p.tags.version {
		b.fault(p.where, "the fields of an embedded struct are kept as fields of their own; tag them instead, or give this one a name")
	}
}

// defaultName derives the property name from the Go name.
func (b *builder) defaultName(p part) string {
	name := snakeCase(p.field.Name)
	if !ValidName(name) {
		b.fault(p.where, "no property name can be made from the field's name; give it one, as in persistence:\"some_name\"")
	}
	return name
}

// rest compiles the field of the unknown properties.
func (b *builder) rest(p part) codec {
	if !isDocument(p.field.Type) {
		return b.fault(p.where, "the option rest needs a field of type map[string]any, not "+typeName(p.field.Type))
	}
	for purpose, o := range p.tags.purposes {
		if o.TTL > 0 {
			b.fault(p.where, "the option ttl of "+purpose+" does not go with rest; remove one of them")
		}
	}
	return documentCodec{}
}

// checkOptions refuses options that the field's type gives no sense to.
func (b *builder) checkOptions(p part, f Field) {
	if o := f.Purposes[Transactional]; (o.Unique || o.Index) && f.Column == ColumnJSON {
		b.fault(p.where, typeName(f.Type)+" is kept as JSON, which no index covers; remove \"unique\" and \"index\", or use a plain type")
	}
}

// checkMarkers checks the types of key and version.
func (b *builder) checkMarkers(p part) {
	t := p.field.Type
	if p.tags.key && !isKey(t) {
		b.fault(p.where, "a key must be a string, an integer or a type with a text form, not "+typeName(t)+"; keep its text in a string")
	}
	if p.tags.version && (t.Kind() != reflect.Int64 || t == durationType || isText(t)) {
		b.fault(p.where, "a version must be an int64, not "+typeName(t)+"; it only ever grows")
	}
}

// isKey reports whether a key may have the type.
func isKey(t reflect.Type) bool {
	return t.Kind() == reflect.String || isInteger(t.Kind()) && t != durationType || isText(t)
}

// checkNames refuses two properties of one name, under every purpose's names,
// and names that differ in case only.
func (b *builder) checkNames(where string, fields []Field) {
	type place struct{ purpose, folded string }
	taken := map[place]*Field{}
	for i := range fields {
		f := &fields[i]
		if f.rest {
			continue
		}
		for _, purpose := range tagKeys {
			at := place{purpose, strings.ToLower(f.nameFor(purpose))}
			other, clash := taken[at]
			taken[at] = f
			if clash && (purpose == Persistence || f.renamed(purpose) || other.renamed(purpose)) {
				b.fault(where+"."+f.Go, "its property name "+shown(f.nameFor(purpose))+" is also that of "+other.Go+
					"; give one of them another, as in "+purpose+`:"other_name"`)
			}
		}
	}
}

// renamed reports whether a purpose has a name of its own for the field.
func (f *Field) renamed(purpose string) bool { return f.Purposes[purpose].Name != "" }

// nameFor returns the field's property name under a purpose.
func (f *Field) nameFor(purpose string) string {
	if f.renamed(purpose) {
		return f.Purposes[purpose].Name
	}
	return f.Name
}

// assign finds key, version and Rest among the fields, which are aligned with
// the parts.
func (b *builder) assign(t *Type, parts []part) {
	one := func(what string, found **Field, f *Field) {
		if *found != nil {
			b.fault(t.name+"."+f.Go, "a type has one "+what+", and "+(*found).Go+" is it already; tag only one field")
			return
		}
		*found = f
	}
	for i, p := range parts {
		f := &t.Fields[i]
		t.Tagged = t.Tagged || p.tags.tagged()
		if p.tags.key {
			one("key", &t.Key, f)
		}
		if p.tags.version {
			one("version", &t.Version, f)
		}
		if p.tags.rest() {
			one("rest", &t.Rest, f)
		}
	}
	if t.Key == nil {
		b.fault(t.name, "no field is the key; tag one, as in ID string `persistence:\"key\"`")
	}
}

// declaredNames are all names under which a declared property may lie.
func declaredNames(fields []Field) map[string]struct{} {
	names := make(map[string]struct{}, len(fields))
	for i := range fields {
		if fields[i].rest {
			continue
		}
		for _, purpose := range tagKeys {
			names[fields[i].nameFor(purpose)] = struct{}{}
		}
	}
	return names
}

// pointers returns pointers to all fields.
func pointers(fields []Field) []*Field {
	out := make([]*Field, len(fields))
	for i := range fields {
		out[i] = &fields[i]
	}
	return out
}

// typeName is how messages name a type: without its package where it has a
// name of its own, and without the fields of a struct that has none.
func typeName(t reflect.Type) string {
	switch {
	case t.Name() != "" && t.PkgPath() != "":
		return t.Name()
	case t.Kind() == reflect.Struct:
		return "struct"
	}
	return t.String()
}
