package amorphous

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Limits of names. The longest name that a server takes is Cassandra's, 48
// bytes, of which a driver keeps three for companions of a table.
const (
	maxName      = 40
	maxNamespace = 16
	maxQualified = 45 // namespace, underscore, name
)

// ValidName reports whether name can be the name of a Table: a lower-case
// letter, then lower-case letters, digits and underscores, at most 40 bytes.
// Every store can hold such a name, with a Namespace of up to four bytes in
// front of it; a longer Namespace shortens the longest name accordingly.
func ValidName(name string) bool {
	if len(name) == 0 || len(name) > maxName || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for i := 1; i < len(name); i++ {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// qualify returns the table under the name that drivers know.
func (s *Store) qualify(table Table) (Table, error) {
	s.mu.RLock()
	known := s.names[table.Name]
	s.mu.RUnlock()
	if known != "" {
		table.Name = known
		return table, nil
	}
	if !ValidName(table.Name) {
		return table, invalid("the table's name %q is not valid: a lower-case letter, then lower-case letters, digits and underscores, at most %d bytes", table.Name, maxName)
	}
	qualified := s.prefix + table.Name
	if len(qualified) > maxQualified {
		return table, invalid("the table's name %q is %d bytes with its namespace; the limit is %d", qualified, len(qualified), maxQualified)
	}
	s.mu.Lock()
	s.names[table.Name] = qualified
	s.mu.Unlock()
	table.Name = qualified
	return table, nil
}

func (s *Store) qualifyAll(tables []Table) ([]Table, error) {
	out := make([]Table, len(tables))
	for i, table := range tables {
		qualified, err := s.qualify(table)
		if err != nil {
			return nil, err
		}
		out[i] = qualified
	}
	return out, nil
}

// validateRow checks a row before the driver sees it. A tombstone in a Placed
// table needs no place.
func (s *Store) validateRow(table Table, row *Row) error {
	if err := validateKey("ID", row.ID); err != nil {
		return err
	}
	if row.Partition != "" || !row.Deleted || !table.Placed {
		if err := validateKey("Partition", row.Partition); err != nil {
			return err
		}
	}
	switch {
	case len(row.Order) > MaxOrder:
		return tooLarge("Order", len(row.Order), MaxOrder)
	case row.Stamp.Version <= 0:
		return invalid("the stamp's version is %d; versions are greater than zero", row.Stamp.Version)
	case row.Deleted && (row.Shape != 0 || len(row.Body) != 0 || !row.Expires.IsZero()):
		return invalid("a tombstone has no shape, no body and does not expire")
	case !row.Deleted && row.Shape == 0:
		return invalid("shape zero is the tombstone's")
	case s.features.MaxBody > 0 && len(row.Body) > s.features.MaxBody:
		return tooLarge("body", len(row.Body), s.features.MaxBody)
	}
	return nil
}

func validateAddress(table Table, at *Address) error {
	if err := validateKey("ID", at.ID); err != nil {
		return err
	}
	if !table.Placed {
		if err := validateKey("Partition", at.Partition); err != nil {
			return err
		}
	}
	if len(at.Order) > MaxOrder {
		return tooLarge("Order", len(at.Order), MaxOrder)
	}
	return nil
}

func validateRange(r *Range) error {
	if r.Partition == "" {
		if r.From != nil || r.To != nil || r.Reverse {
			return invalid("bounds and Reverse need a Partition: across partitions there is no common order")
		}
	} else if err := validateKey("Partition", r.Partition); err != nil {
		return err
	}
	switch {
	case r.Limit < 0:
		return invalid("the limit is %d; zero means %d", r.Limit, DefaultLimit)
	case r.Limit > MaxLimit:
		return invalid("the limit is %d; it is at most %d, further rows come by cursor", r.Limit, MaxLimit)
	case len(r.From) > MaxOrder+1 || len(r.To) > MaxOrder+1:
		// One byte more than an Order, so that a bound can lie just past it.
		return tooLarge("bound", max(len(r.From), len(r.To)), MaxOrder+1)
	}
	return nil
}

// validateKey checks a Partition or an ID: every store compares these
// bytewise and returns them unchanged, which rules out what one of them would
// normalise or cut.
func validateKey(what, key string) error {
	switch {
	case key == "":
		return invalid("the %s is empty", what)
	case len(key) > MaxKey:
		return tooLarge(what, len(key), MaxKey)
	case !utf8.ValidString(key):
		return invalid("the %s is not valid UTF-8", what)
	case strings.IndexByte(key, 0) >= 0:
		return invalid("the %s has a NUL byte", what)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fault.New(fault.ErrInvalid, "", "", fmt.Sprintf(format, args...))
}

func tooLarge(what string, size, limit int) error {
	return fault.New(fault.ErrTooLarge, "", "", fmt.Sprintf("the %s has %d bytes; the limit is %d", what, size, limit))
}
