package sqlitefile

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// bindValue converts an argument into what SQLite stores.
func bindValue(arg any) (driver.Value, error) {
	switch v := arg.(type) {
	case nil, int64, string, []byte, bool:
		return v, nil
	case int:
		return int64(v), nil
	case uint64:
		return int64(v), nil // the same 64 bits; *uint64 reads them back
	case float64:
		if math.IsNaN(v) {
			return nil, errors.New("SQLite would store NaN as NULL")
		}
		return v, nil
	}
	return nil, fmt.Errorf("a %T is not taken; convert it to one of the types that Conn lists", arg)
}

// scanRow copies one row into its destinations.
func scanRow(row []driver.Value, dest []any) error {
	if len(dest) != len(row) {
		return fault.New(fault.ErrInvalid, "", "scan", fmt.Sprintf("%d destinations for %d columns", len(dest), len(row)))
	}
	for i, v := range row {
		if err := scanValue(v, dest[i]); err != nil {
			return &fault.Error{Op: "scan", Class: fault.ErrCorrupt, Err: fmt.Errorf("column %d: %w", i, err)}
		}
	}
	return nil
}

// scanValue copies one column into a destination.
func scanValue(v driver.Value, dest any) error {
	switch d := dest.(type) {
	case *any:
		if b, ok := v.([]byte); ok {
			v, _ = toBytes(b)
		}
		*d = v
		return nil
	case *[]byte:
		if v == nil {
			*d = nil
			return nil
		}
		return into(v, d, toBytes)
	case *int64:
		return into(v, d, toInt64)
	case *int:
		return into(v, d, toInt)
	case *uint64:
		return into(v, d, toUint64)
	case *float64:
		return into(v, d, toFloat)
	case *bool:
		return into(v, d, toBool)
	case *string:
		return into(v, d, toString)
	}
	return scanNullable(v, dest)
}

// scanNullable serves the destinations that can say NULL.
func scanNullable(v driver.Value, dest any) error {
	switch d := dest.(type) {
	case **int64:
		return intoPointer(v, d, toInt64)
	case **int:
		return intoPointer(v, d, toInt)
	case **uint64:
		return intoPointer(v, d, toUint64)
	case **float64:
		return intoPointer(v, d, toFloat)
	case **bool:
		return intoPointer(v, d, toBool)
	case **string:
		return intoPointer(v, d, toString)
	case sql.Scanner:
		return d.Scan(v)
	}
	return fmt.Errorf("a %T is not a destination that Conn lists", dest)
}

func into[T any](v driver.Value, dest *T, convert func(driver.Value) (T, bool)) error {
	t, ok := convert(v)
	if !ok {
		return fmt.Errorf("a %s does not fit a %T", typeName(v), *dest)
	}
	*dest = t
	return nil
}

func intoPointer[T any](v driver.Value, dest **T, convert func(driver.Value) (T, bool)) error {
	*dest = nil
	if v == nil {
		return nil
	}
	t := new(T)
	if err := into(v, t, convert); err != nil {
		return err
	}
	*dest = t
	return nil
}

// typeName is what SQLite calls the type of a value. The value itself stays
// out of messages.
func typeName(v driver.Value) string {
	switch v.(type) {
	case nil:
		return "NULL"
	case int64:
		return "INTEGER"
	case float64:
		return "REAL"
	case string:
		return "TEXT"
	case []byte:
		return "BLOB"
	}
	return fmt.Sprintf("%T", v)
}

func toInt64(v driver.Value) (int64, bool) {
	n, ok := v.(int64)
	return n, ok
}

func toInt(v driver.Value) (int, bool) {
	n, ok := v.(int64)
	return int(n), ok && int64(int(n)) == n
}

func toUint64(v driver.Value) (uint64, bool) {
	n, ok := v.(int64)
	return uint64(n), ok
}

func toFloat(v driver.Value) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case int64:
		return float64(n), int64(float64(n)) == n
	}
	return 0, false
}

func toBool(v driver.Value) (bool, bool) {
	n, ok := v.(int64)
	return n == 1, ok && (n == 0 || n == 1)
}

func toString(v driver.Value) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case []byte:
		return string(s), true
	}
	return "", false
}

// toBytes need not copy a blob: the driver made it for this row. Of an empty
// blob the driver makes a nil slice.
func toBytes(v driver.Value) ([]byte, bool) {
	switch b := v.(type) {
	case []byte:
		if b == nil {
			b = []byte{}
		}
		return b, true
	case string:
		return []byte(b), true
	}
	return nil, false
}
