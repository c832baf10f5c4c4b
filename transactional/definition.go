package transactional

import "strings"

// A definition is a table as the server should have it.
type definition struct {
	name    string
	columns [][2]string // name and the server's type, with NOT NULL and DEFAULT
	key     []string
	indexes []index
}

type index struct {
	name    string
	unique  bool
	columns []string
}

func (t *systemTable) definition(s *Store) definition {
	d := definition{name: s.prefix + t.name, key: t.key}
	for _, c := range t.columns {
		kind := map[string]string{
			colName:       s.dialect.Key + " NOT NULL DEFAULT ''",
			colID:         s.dialect.ID + " NOT NULL",
			colNumber:     s.dialect.Types[Int] + " NOT NULL DEFAULT 0",
			colPlaces:     s.dialect.Types[Bytes] + " NOT NULL",
			string(Bytes): s.dialect.Types[Bytes],
			string(Text):  s.dialect.Types[Text],
		}[c[1]]
		d.columns = append(d.columns, [2]string{c[0], kind})
	}
	for _, columns := range t.indexes {
		name := d.name + "_" + columns[0]
		d.indexes = append(d.indexes, index{name: name, columns: columns})
	}
	return d
}

func (p *plan) definition(s *Store) definition {
	number := s.dialect.Types[Int] + " NOT NULL"
	d := definition{name: p.physical, key: []string{"id"}}
	d.columns = [][2]string{
		{"id", s.dialect.Key + " NOT NULL"}, {"version", number}, {"tie", number}, {"deleted", number},
	}
	for i, c := range p.table.Columns {
		kind := s.dialect.Types[c.Type]
		if short, ok := s.dialect.IndexedTypes[c.Type]; ok && p.indexed[i] {
			kind = short
		}
		d.columns = append(d.columns, [2]string{p.columns[i], kind})
	}
	for _, kind := range []struct {
		unique bool
		lists  [][]string
	}{{true, p.table.Unique}, {false, p.table.Index}} {
		for _, names := range kind.lists {
			columns := make([]string, len(names))
			for i, name := range names {
				columns[i] = p.columns[p.byName[name]]
			}
			d.indexes = append(d.indexes, index{p.indexName(kind.unique, columns), kind.unique, columns})
		}
	}
	return d
}

// create renders the statements that make the table.
func (d *definition) create(dialect *Dialect) []string {
	q := dialect.Quote
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS " + q(d.name) + " (\n")
	for _, c := range d.columns {
		b.WriteString("  " + q(c[0]) + " " + c[1] + ",\n")
	}
	b.WriteString("  PRIMARY KEY (" + list(q, d.key) + ")")
	var after []string
	for _, i := range d.indexes {
		if dialect.InlineIndex {
			b.WriteString(",\n  " + i.inline(q))
		} else {
			after = append(after, i.create(q, d.name, true))
		}
	}
	b.WriteString("\n)" + dialect.TableSuffix)
	return append([]string{b.String()}, after...)
}

func (i *index) inline(q func(string) string) string {
	kind := "KEY "
	if i.unique {
		kind = "UNIQUE KEY "
	}
	return kind + q(i.name) + " (" + list(q, i.columns) + ")"
}

func (i *index) create(q func(string) string, table string, lenient bool) string {
	kind := "CREATE INDEX "
	if i.unique {
		kind = "CREATE UNIQUE INDEX "
	}
	if lenient {
		kind += "IF NOT EXISTS "
	}
	return kind + q(i.name) + " ON " + q(table) + " (" + list(q, i.columns) + ")"
}
