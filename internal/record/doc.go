// Package record turns Go structs into records, a list of named properties,
// and back, by a codec that is compiled once per type. The encoding of a
// property is JSON; properties that a program does not know are kept.
//
// What was put comes back: nil and empty slices, maps and byte slices are told
// apart, as are a nil pointer and a pointer to a zero value; integers keep all
// their bits and floats their shortest exact form. What cannot come back as it
// went in is refused, by Compile where the type shows it and by Validate where
// only the value does. The exceptions are few: times are UTC in microseconds,
// raw JSON loses its white space and a raw null is nil, and an empty Rest
// comes back nil from JSON.
//
// # Types
//
//	Go                                  JSON                    column
//	bool                                true, false             bool
//	integers, time.Duration             number                  int, uint
//	float32, float64                    number                  float
//	string (valid UTF-8)                string                  text
//	[]byte, arrays of bytes             base64                  bytes
//	time.Time (years 1 to 9999)         string, RFC 3339        time
//	types with MarshalText and          string                  text
//	UnmarshalText
//	structs, slices, arrays, maps       object, array           json
//	json.RawMessage                     as it is                json
//	pointers to these                   the same, or null       the same, or NULL
//	map[string]any, as a Rest           inline                  json
//
// Named types are as the types that they are made of. The keys of maps are
// strings and integers. A type may contain itself through pointers, slices and
// maps; values are at most MaxDepth levels deep. Other types are refused, each
// with a way out; so are two pointers in a row, and a pointer to what has a
// nil of its own. Methods such as MarshalJSON and json tags mean nothing here.
//
// # Names
//
// A property is named by its persistence tag, else after its Go field in snake
// case: UserID is user_id, HTTPServer is http_server, At is at. Names are
// ASCII letters, digits and underscores, do not begin with a digit, and are at
// most MaxName bytes long; two that differ in case only are one name too many,
// because some databases fold the case of columns.
//
// # Tags
//
// A field has up to five tags, one per purpose and one for all:
//
//	persistence:"key"              the key; persistence:"id,key" names it too
//	persistence:"version"          an int64 that only grows
//	persistence:"name"             the property's name
//	persistence:"-"                left out everywhere
//	transactional:"name,unique"    options unique, index, rest
//	volatile:",ttl=15m"            option ttl
//	amorphous:",ttl=24h"           options ttl, rest
//	transitory:""                  handlers see it, no store keeps it
//	volatile:"-"                   left out of that purpose's whole objects
//
// The tags of a struct that lies inside a field are read for names and "-"
// only, and purpose tags there are refused: the field is kept as one property.
// The fields of an embedded struct are the fields of the struct around it, and
// two with one name are a fault.
//
// # Bytes
//
// Encoding is deterministic: fields in declaration order, keys of maps and
// unknown properties sorted. Decoding is strict and safe against hostile
// bytes: RFC 8259 to the letter, valid UTF-8, no half surrogate pairs, nothing
// after the object, bounded depth, and memory in proportion to the bytes. Of a
// name that stands there twice the last one counts.
package record
