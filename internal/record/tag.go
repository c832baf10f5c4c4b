package record

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tagKeys are the keys we read, in the order of our messages.
var tagKeys = []string{Persistence, Transitory, Volatile, Transactional, Amorphous}

// tagOptions are the options that each key takes.
var tagOptions = map[string][]string{
	Persistence:   {"key", "version"},
	Transitory:    {},
	Volatile:      {"ttl"},
	Transactional: {"unique", "index", "rest"},
	Amorphous:     {"ttl", "rest"},
}

// allOptions are the words that are options under some key.
var allOptions = []string{"key", "version", "unique", "index", "rest", "ttl"}

// fieldTags are the parsed tags of one field.
type fieldTags struct {
	omit     bool   // persistence:"-"
	name     string // empty: the default name
	key      bool
	version  bool
	purposes map[string]Options // nil when no purpose is tagged
}

// tagged reports whether some purpose has a tag other than "-".
func (t *fieldTags) tagged() bool {
	for _, o := range t.purposes {
		if !o.Omit {
			return true
		}
	}
	return false
}

// rest reports whether some purpose keeps unknown properties in the field.
func (t *fieldTags) rest() bool {
	for _, o := range t.purposes {
		if o.Rest {
			return true
		}
	}
	return false
}

// parseTags reads the five keys of a struct tag and returns all of its faults,
// each a sentence that names a way out.
func parseTags(tag reflect.StructTag) (t fieldTags, faults []string) {
	pairs, remainder := tagPairs(string(tag))
	if word := ours(remainder); word != "" {
		faults = append(faults, "the tag cannot be read from "+shown(remainder)+
			" on: write "+word+`:"…", with a colon and quotes and no space between`)
	}
	seen := make(map[string]bool)
	for _, p := range pairs {
		if !slices.Contains(tagKeys, p.key) {
			if near := Nearest(p.key, tagKeys...); near != "" {
				faults = append(faults, "the tag key "+shown(p.key)+" would be ignored; did you mean "+shown(near)+"?")
			}
			continue
		}
		if seen[p.key] {
			faults = append(faults, "the tag key "+shown(p.key)+" stands there twice; keep one")
			continue
		}
		seen[p.key] = true
		var more []string
		if p.key == Persistence {
			more = t.parsePersistence(p.value)
		} else {
			more = t.parsePurpose(p.key, p.value)
		}
		faults = append(faults, more...)
	}
	if t.omit && len(t.purposes) > 0 {
		faults = append(faults, `persistence:"-" leaves the field out everywhere, so its other tags would be ignored; remove one or the other`)
	}
	return t, faults
}

// parsePersistence reads the value of the persistence key.
func (t *fieldTags) parsePersistence(value string) (faults []string) {
	first, options := splitOptions(value)
	unnamed := false
	switch {
	case value == "-":
		t.omit = true
		return nil
	case first == "key" || first == "version":
		options, unnamed = append([]string{first}, options...), true
	case first != "":
		t.name = first
		faults = append(faults, nameFaults(Persistence, first)...)
	}
	for i, o := range options {
		switch {
		case slices.Contains(options[:i], o):
			faults = append(faults, "the option "+shown(o)+" stands there twice; keep one")
		case o == "key":
			t.key = true
		case o == "version":
			t.version = true
		default:
			faults = append(faults, unknownOption(Persistence, o, unnamed))
		}
	}
	if t.key && t.version {
		faults = append(faults, "a field cannot be both key and version; tag two fields")
	}
	return faults
}

// parsePurpose reads the value of one of the four purposes' keys.
func (t *fieldTags) parsePurpose(purpose, value string) (faults []string) {
	if t.purposes == nil {
		t.purposes = make(map[string]Options, 1)
	}
	if value == "-" {
		t.purposes[purpose] = Options{Omit: true}
		return nil
	}
	name, options := splitOptions(value)
	o := Options{Name: name}
	if name != "" {
		faults = nameFaults(purpose, name)
	}
	var seen []string
	for _, option := range options {
		word, _, _ := strings.Cut(option, "=")
		if slices.Contains(seen, word) {
			faults = append(faults, "the option "+shown(word)+" stands there twice; keep one")
			continue
		}
		seen = append(seen, word)
		if f := o.set(purpose, option); f != "" {
			faults = append(faults, f)
		}
	}
	if o.Rest && (o.Unique || o.Index) {
		faults = append(faults, `"rest" holds many properties, which no index covers; remove "unique" and "index"`)
	}
	t.purposes[purpose] = o
	return faults
}

// set applies one option of a purpose's tag, or returns a fault.
func (o *Options) set(purpose, option string) string {
	word, value, valued := strings.Cut(option, "=")
	if !slices.Contains(tagOptions[purpose], word) {
		return unknownOption(purpose, word, false)
	}
	if valued != (word == "ttl") {
		if valued {
			return "the option " + shown(word) + " takes no value; write just " + word
		}
		return "the option ttl needs a duration, such as ttl=15m"
	}
	switch word {
	case "unique":
		o.Unique = true
	case "index":
		o.Index = true
	case "rest":
		o.Rest = true
	case "ttl":
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return "ttl=" + strings.Trim(shown(value), `"`) + " is not a positive duration; write it as in ttl=15m or ttl=24h"
		}
		o.TTL = d
	}
	return ""
}

// unknownOption is the fault of an option that the key does not take; unnamed
// where an option stood in place of the name.
func unknownOption(key, word string, unnamed bool) string {
	s := key + " takes no option " + shown(word)
	var others []string
	for _, k := range tagKeys {
		if slices.Contains(tagOptions[k], word) {
			others = append(others, k)
		}
	}
	switch near := Nearest(word, tagOptions[key]...); {
	case len(others) > 0:
		return s + "; it belongs in the " + strings.Join(others, " or ") + " tag"
	case near != "":
		return s + "; did you mean " + shown(near) + "?"
	case unnamed && ValidName(word):
		return s + `; the name stands first, as in "` + word + `,key"`
	case len(tagOptions[key]) == 0:
		return s + "; it takes only a name or \"-\""
	}
	return s + "; it takes " + strings.Join(tagOptions[key], " and ")
}

// nameFaults checks the first element of a tag's value.
func nameFaults(key, name string) []string {
	switch {
	case name == "-":
		return []string{key + `:"-" leaves the field out and takes no options; remove them`}
	case slices.Contains(allOptions, name) || strings.HasPrefix(name, "ttl="):
		return []string{"in " + key + ":" + strconv.Quote(name) + " the option stands where the name belongs; write " +
			strconv.Quote(","+name)}
	case !ValidName(name):
		return []string{shown(name) + " is not a property name; use letters, digits and underscores, not a digit first, at most " +
			strconv.Itoa(MaxName) + " bytes"}
	}
	return nil
}

// splitOptions splits "name,option,option"; an empty option stays, so that it
// is refused.
func splitOptions(value string) (name string, options []string) {
	parts := strings.Split(value, ",")
	return parts[0], parts[1:]
}

// A tagPair is one key:"value" of a struct tag.
type tagPair struct{ key, value string }

// tagPairs splits a struct tag by the convention of package reflect. What
// follows the first departure from the convention, which reflect would
// silently ignore, is the remainder.
func tagPairs(tag string) (pairs []tagPair, remainder string) {
	for {
		tag = strings.TrimLeft(tag, " ")
		if tag == "" {
			return pairs, ""
		}
		colon := strings.IndexFunc(tag, func(r rune) bool { return r <= ' ' || r == ':' || r == '"' || r == 0x7f })
		if colon <= 0 || colon+1 >= len(tag) || tag[colon] != ':' || tag[colon+1] != '"' {
			return pairs, tag
		}
		quoted, err := strconv.QuotedPrefix(tag[colon+1:])
		if err != nil {
			return pairs, tag
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return pairs, tag
		}
		pairs = append(pairs, tagPair{tag[:colon], value})
		tag = tag[colon+1+len(quoted):]
	}
}

// ours returns the first word in an unreadable remainder of a tag that is one
// of our keys, or nearly so; other people's broken tags are not our business.
func ours(remainder string) string {
	words := strings.FieldsFunc(remainder, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	for _, w := range words {
		if near := Nearest(w, tagKeys...); near != "" {
			return near
		}
	}
	return ""
}
