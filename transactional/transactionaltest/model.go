package transactionaltest

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A Model is the contract of rows, records, tokens and dead letters as a pure
// function of what was applied. It knows no time: leases last, what is due
// later never becomes due, and nothing is forgotten.
type Model struct {
	rows   map[string]map[string]transactional.Row // by table name and id
	unique map[string]*transactional.Table
	state
}

type state struct {
	records map[transactional.RecordID]transactional.Record
	later   map[transactional.RecordID]bool
	marks   map[transactional.RecordID][]byte
	tokens  map[[2]string]token
	dead    map[string]transactional.DeadLetter
}

type token struct {
	id     transactional.RecordID
	digest uint64
}

// NewModel returns an empty Model.
func NewModel() *Model {
	return &Model{rows: map[string]map[string]transactional.Row{}, unique: map[string]*transactional.Table{}, state: state{
		records: map[transactional.RecordID]transactional.Record{}, later: map[transactional.RecordID]bool{},
		marks: map[transactional.RecordID][]byte{}, tokens: map[[2]string]token{}, dead: map[string]transactional.DeadLetter{},
	}}
}

func (m *Model) clone() *Model {
	c := &Model{rows: map[string]map[string]transactional.Row{}, unique: m.unique, state: state{
		records: maps.Clone(m.records), later: maps.Clone(m.later), marks: maps.Clone(m.marks),
		tokens: maps.Clone(m.tokens), dead: maps.Clone(m.dead),
	}}
	for name, rows := range m.rows {
		c.rows[name] = maps.Clone(rows)
	}
	return c
}

// Apply applies a unit and returns its result, or the classes of everything
// that is wrong with it, in which case nothing is applied.
func (m *Model) Apply(u *transactional.Unit) (transactional.Result, []error) {
	var (
		res    transactional.Result
		faults []error
	)
	for i, r := range u.Add {
		before, there := m.tokens[[2]string{r.Kind, r.Token}]
		switch {
		case r.Token == "" || !there:
		case before.digest != r.Digest:
			faults = append(faults, fault.ErrConflict)
		default:
			if res.Repeats == nil {
				res.Repeats = make([]transactional.RecordID, len(u.Add))
			}
			res.Repeats[i] = before.id
		}
	}
	if res.Repeats != nil || faults != nil {
		return res, faults
	}
	next := m.clone()
	faults = slices.Concat(next.applyWrites(u, &res), next.applySettle(u), next.applyDead(u), next.applyAdd(u))
	if faults == nil {
		*m = *next
	}
	return res, faults
}

func (m *Model) applyWrites(u *transactional.Unit, res *transactional.Result) (faults []error) {
	for i, w := range u.Writes {
		rows := m.rows[w.Table.Name]
		if rows == nil {
			rows = map[string]transactional.Row{}
			m.rows[w.Table.Name] = rows
		}
		at, there := rows[w.Row.ID]
		live, newer := there && !at.Deleted, !there || w.Row.Stamp.Newer(at.Stamp)
		switch {
		case w.Mode == transactional.Newest && !newer:
			if at.Stamp != w.Row.Stamp {
				if res.Superseded == nil {
					res.Superseded = make([]bool, len(u.Writes))
				}
				res.Superseded[i] = true
			}
			continue
		case w.Mode == transactional.Insert && (live || !newer):
			faults = append(faults, fault.ErrExists)
		case w.Mode == transactional.Above && !newer,
			w.Mode == transactional.IfVersion && (!newer || !(there && at.Stamp.Version == w.Expect || w.Expect == 0 && !live)):
			faults = append(faults, fault.ErrConflict)
		}
		rows[w.Row.ID] = w.Row
		if m.collides(w) {
			faults = append(faults, fault.ErrExists)
		}
	}
	return faults
}

// collides reports whether another live row has the same unique values.
func (m *Model) collides(w transactional.Write) bool {
	if w.Row.Deleted {
		return false
	}
	for _, names := range w.Table.Unique {
		for id, other := range m.rows[w.Table.Name] {
			same := id != w.Row.ID && !other.Deleted
			for _, name := range names {
				i := slices.IndexFunc(w.Table.Columns, func(c transactional.Column) bool { return c.Name == name })
				same = same && other.Values[i] != nil && other.Values[i] == w.Row.Values[i]
			}
			if same {
				return true
			}
		}
	}
	return false
}

func (m *Model) applySettle(u *transactional.Unit) (faults []error) {
	for _, t := range u.Settle {
		r, there := m.records[t.ID]
		if !there || r.Owner != t.Owner || r.Seq != t.Seq {
			faults = append(faults, fault.ErrConflict)
			continue
		}
		if t.Done {
			delete(m.records, t.ID)
			m.marks[t.ID] = append([]byte{}, t.Mark...)
			continue
		}
		r.Seq++
		if t.Progress != nil {
			r.Progress = t.Progress
		}
		if !t.Hold {
			r.Owner, r.Lane, r.Priority = 0, t.Lane, t.Priority
			m.later[t.ID] = !t.Due.IsZero()
		}
		m.records[t.ID] = r
	}
	return faults
}

func (m *Model) applyDead(u *transactional.Unit) (faults []error) {
	for _, id := range u.Unbury {
		if _, there := m.dead[id]; !there {
			faults = append(faults, fault.ErrNotFound)
		}
	}
	for _, id := range u.Unbury {
		delete(m.dead, id)
	}
	for _, l := range u.Bury {
		if _, there := m.dead[l.ID]; !there {
			m.dead[l.ID] = l
		}
	}
	return faults
}

func (m *Model) applyAdd(u *transactional.Unit) (faults []error) {
	for _, r := range u.Add {
		if _, there := m.records[r.ID]; there {
			faults = append(faults, fault.ErrExists)
		}
		if r.Token != "" {
			m.tokens[[2]string{r.Kind, r.Token}] = token{r.ID, r.Digest}
		}
		m.later[r.ID] = !r.Due.IsZero()
		m.records[r.ID] = r
	}
	return faults
}

// Claim makes owner hold the next records of the lanes and returns their ids,
// in order.
func (m *Model) Claim(owner uint64, most int, lanes ...string) []transactional.RecordID {
	var due []transactional.Record
	for id, r := range m.records {
		if r.Owner == 0 && !m.later[id] && slices.Contains(lanes, r.Lane) {
			due = append(due, r)
		}
	}
	slices.SortFunc(due, func(a, b transactional.Record) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), bytes.Compare(a.ID[:], b.ID[:]))
	})
	due = due[:min(most, len(due))]
	for i := range due {
		due[i].Owner = owner
		m.records[due[i].ID] = due[i]
	}
	return ids(due)
}

// Urgent is the smallest priority of a due record in the lanes.
func (m *Model) Urgent(lanes ...string) (priority uint32, ok bool) {
	for id, r := range m.records {
		if r.Owner == 0 && !m.later[id] && slices.Contains(lanes, r.Lane) && (!ok || r.Priority < priority) {
			priority, ok = r.Priority, true
		}
	}
	return priority, ok
}
